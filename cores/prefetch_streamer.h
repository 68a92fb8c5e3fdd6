/*
 * streamer, from a request to the lines to be asked for: for its own ops and, without a list of wishes between,
 * for data_prefetch.c. prefetch_streamer.c says what the design is.
 */
#ifndef CORES_PREFETCH_STREAMER_H
#define CORES_PREFETCH_STREAMER_H

#include "cores/prefetch.h"

/*
 * A stream belongs to a page from its first request until it is the one not used for the longest time
 * and its place is needed. Positions are line numbers of the whole address space. Links are bytes from the
 * head of all streams, 0: none.
 */
struct stream {
    uint64_t page;   /* its number */
    uint64_t latest; /* the request that is furthest in its direction */
    uint64_t ahead;  /* the line asked for last */
    int64_t step;    /* 1 or -1; 0: not known */
    uint32_t confidence;
    uint32_t hash_next;    /* in the same bucket */
    uint32_t newer, older; /* in the order of use */
};

#define STREAM_BUCKETS 256u /* so many that one rarely holds two */

struct streams {
    uint32_t nused, newest, oldest, reserved;
    uint32_t bucket[STREAM_BUCKETS];
    struct stream s[];
};

static inline uint32_t *stream_bucket(struct streams *t, uint64_t page)
{
    return &t->bucket[(page * UINT64_C(0x9e3779b97f4a7c15)) >> 56];
}

static inline struct stream *stream_at(struct streams *t, uint32_t link) { return (struct stream *)((char *)t + link); }

static inline uint32_t stream_link(const struct streams *t, const struct stream *s)
{
    return (uint32_t)((const char *)s - (const char *)t);
}

static inline struct stream *stream_find(struct streams *t, uint64_t page)
{
    uint32_t link = *stream_bucket(t, page);
    while (link != 0 && stream_at(t, link)->page != page)
        link = stream_at(t, link)->hash_next;
    return link == 0 ? NULL : stream_at(t, link);
}

/* A stream that is not the newest one becomes it. */
static inline void stream_renew(struct streams *t, struct stream *s)
{
    uint32_t link = stream_link(t, s);
    stream_at(t, s->newer)->older = s->older;
    *(s->older != 0 ? &stream_at(t, s->older)->newer : &t->oldest) = s->newer;
    stream_at(t, t->newest)->newer = link;
    s->newer = 0;
    s->older = t->newest;
    t->newest = link;
}

/* A stream for the page of `addr`, the newest one from now on; lines may be asked for from `first` to `last`. */
struct stream *stream_begin(struct streams *t, uint64_t n, uint64_t addr, uint64_t first, uint64_t last);

/* Puts a request into the stream; false: it does not lead on. */
static inline bool stream_follow(struct stream *s, uint64_t line, uint32_t enough)
{
    int64_t delta = (int64_t)(line - s->latest), way = delta < 0 ? -1 : 1;
    if (delta == 0)
        return false;
    if (s->step != way && s->confidence > 0) {
        s->confidence--;
        return false;
    }
    if (s->step != way) {
        s->step = way;
        s->ahead = line;
    }
    s->confidence += s->confidence < enough;
    s->latest = line;
    if ((int64_t)(line - s->ahead) * way > 0)
        s->ahead = line; /* the requests have overtaken it */
    return s->confidence == enough;
}

/* Lines to be asked for: the `n` behind `line`, in the direction of `step`. */
struct stream_run {
    uint64_t line;
    int64_t step;
    uint64_t n;
};

/* The request of `addr`; lines may be asked for from `first` to `last`. */
static inline struct stream_run streamer_request(struct streams *t, const struct prefetch_streamer_params *p, uint64_t addr,
                                                 uint64_t first, uint64_t last)
{
    uint64_t page = addr >> PAGE_SHIFT, line = addr >> LINE_SHIFT;
    struct stream *s = stream_at(t, t->newest);
    if (t->newest == 0 || s->page != page) {
        s = stream_find(t, page);
        if (s != NULL)
            stream_renew(t, s);
        else
            s = stream_begin(t, p->streams, addr, first, last);
    }
    if (!stream_follow(s, line, (uint32_t)p->confidence))
        return (struct stream_run){.n = 0};
    /* Up to `distance` ahead of the request. */
    struct stream_run run = {.line = s->ahead, .step = s->step};
    uint64_t left = (line - s->ahead) * (uint64_t)s->step + p->distance;
    run.n = left < p->degree ? left : p->degree;
    s->ahead += run.n * (uint64_t)s->step;
    return run;
}

#endif
