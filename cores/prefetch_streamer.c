/*
 * streamer: follows ascending and descending sequences of lines, one to a 4 KiB page, and runs ahead
 * of them. Source: the L2 streamer of Intel's optimization reference manual (from Sandy Bridge on): it
 * watches the requests that L1D sends, those of L1D's own prefetcher included; one stream to a page,
 * 32 pages; at most two prefetches for one request, up to 20 lines ahead.
 *
 * Not published and chosen here: a stream is used when `confidence` requests in a row went one way;
 * one that goes the other way takes a unit of confidence back, and turns the stream when there is none
 * left (so that a straggler behind a prefetch of L1D does no harm). Where lines beyond the page may be
 * asked for, the stream goes on there: a page without a stream takes over that of its neighbour.
 *
 * Not modelled: prefetches that fill only the LLC, a distance that follows the load of the queues.
 */
#include "cores/prefetch.h"

#define NROWS(t) (uint32_t)(sizeof(t) / sizeof((t)[0]))

/* clang-format off */
static const struct param_desc rows[] = {
    PREFETCH_COUNT_ROW(prefetch_streamer_params, streams, "page", "32", 1, 1024, "pages of 4 KiB followed"),
    PREFETCH_COUNT_ROW(prefetch_streamer_params, confidence, "request", "2", 1, 15, "requests in one direction, after the first of the page, before the stream is used"),
    PREFETCH_COUNT_ROW(prefetch_streamer_params, distance, "line", "20", 1, 64, "lines that a stream runs ahead at most"),
    PREFETCH_COUNT_ROW(prefetch_streamer_params, degree, "line", "2", 1, 16, "lines asked for by one request"),
};
/* clang-format on */

/* All positions are line numbers of the whole address space. */
struct stream {
    uint64_t page;    /* number of its page */
    uint64_t latest;  /* the request that is furthest in its direction */
    uint64_t ahead;   /* the line asked for last */
    uint64_t used_at; /* 0: free */
    int64_t step;     /* 1 or -1; 0: not known */
    uint64_t confidence;
};

struct streams {
    uint64_t nused; /* requests seen: the clock of used_at */
    uint64_t found; /* index of the stream found last, tried first */
    struct stream s[];
};

static size_t state_bytes(const struct prefetch_params *p)
{
    return sizeof(struct streams) + p->streamer.streams * sizeof(struct stream);
}

static struct stream *find(struct streams *t, uint64_t n, uint64_t page)
{
    if (t->s[t->found].page == page && t->s[t->found].used_at != 0)
        return &t->s[t->found];
    for (uint64_t i = 0; i < n; i++)
        if (t->s[i].page == page && t->s[i].used_at != 0) {
            t->found = i;
            return &t->s[i];
        }
    return NULL;
}

/* The stream of a neighbour that has asked for lines of `page`, where streams may cross. */
static const struct stream *leads_here(struct streams *t, uint64_t n, const struct prefetch_access *a, uint64_t page)
{
    const struct stream *s = a->first < page << PAGE_SHIFT ? find(t, n, page - 1) : NULL;
    if (s != NULL && s->step == 1 && s->ahead >> (PAGE_SHIFT - LINE_SHIFT) == page)
        return s;
    s = a->last >= (page + 1) << PAGE_SHIFT ? find(t, n, page + 1) : NULL;
    if (s != NULL && s->step == -1 && s->ahead >> (PAGE_SHIFT - LINE_SHIFT) == page)
        return s;
    return NULL;
}

/* Takes the stream that was not used for the longest time. */
static struct stream *new_stream(struct streams *t, uint64_t n, const struct prefetch_access *a, uint64_t page,
                                 uint64_t line)
{
    struct stream s = {.page = page, .latest = line, .ahead = line};
    const struct stream *from = leads_here(t, n, a, page);
    if (from != NULL) {
        s.step = from->step;
        s.confidence = from->confidence;
        s.ahead = from->ahead;
        s.latest = line - (uint64_t)s.step;
    }
    uint64_t oldest = 0;
    for (uint64_t i = 1; i < n; i++)
        if (t->s[i].used_at < t->s[oldest].used_at)
            oldest = i;
    t->s[oldest] = s;
    t->found = oldest;
    return &t->s[oldest];
}

/* Puts a request into the stream; false: it does not lead on. */
static bool follow(struct stream *s, uint64_t line, uint64_t enough)
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
    s->confidence = u64_min(s->confidence + 1, enough);
    s->latest = line;
    if ((int64_t)(line - s->ahead) * way > 0)
        s->ahead = line; /* the requests have overtaken it */
    return s->confidence == enough;
}

static void access(void *state, const struct prefetch_params *params, const struct prefetch_access *a,
                   struct prefetch_list *out)
{
    const struct prefetch_streamer_params *p = &params->streamer;
    struct streams *t = state;
    uint64_t line = a->addr >> LINE_SHIFT, page = a->addr >> PAGE_SHIFT;
    struct stream *s = find(t, p->streams, page);
    if (s == NULL)
        s = new_stream(t, p->streams, a, page, line);
    s->used_at = ++t->nused;
    if (!follow(s, line, p->confidence))
        return;
    uint64_t end = line + (uint64_t)(s->step * (int64_t)p->distance);
    for (uint64_t i = 0; i < p->degree && s->ahead != end; i++) {
        s->ahead += (uint64_t)s->step;
        prefetch_add(out, a, s->ahead << LINE_SHIFT, PREFETCH_TO_HERE);
    }
}

const struct prefetch_ops prefetch_streamer = {
    .name = "streamer",
    .doc = "runs ahead of ascending and descending sequences of lines in a page",
    .places = PREFETCH_AT_L1D | PREFETCH_AT_L2,
    .rows = rows,
    .nrows = NROWS(rows),
    .params_offset = offsetof(struct prefetch_params, streamer),
    .state_bytes = state_bytes,
    .access = access,
};
