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

/*
 * A stream belongs to a page from its first request until it is the one not used for the longest time
 * and its place is needed. Positions are line numbers of the whole address space. Links are 1 + an
 * index, 0: none.
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

#define BUCKETS 64u

struct streams {
    uint32_t nused, newest, oldest, reserved;
    uint32_t bucket[BUCKETS];
    struct stream s[];
};

static size_t state_bytes(const struct prefetch_params *p)
{
    return sizeof(struct streams) + p->streamer.streams * sizeof(struct stream);
}

static uint32_t *bucket_of(struct streams *t, uint64_t page)
{
    return &t->bucket[(page * UINT64_C(0x9e3779b97f4a7c15)) >> 58];
}

static struct stream *find(struct streams *t, uint64_t page)
{
    uint32_t i = *bucket_of(t, page);
    while (i != 0 && t->s[i - 1].page != page)
        i = t->s[i - 1].hash_next;
    return i == 0 ? NULL : &t->s[i - 1];
}

/* ---- order of use ----------------------------------------------------------------------------- */

static void make_newest(struct streams *t, uint32_t i)
{
    struct stream *s = &t->s[i - 1];
    s->newer = 0;
    s->older = t->newest;
    if (t->newest != 0)
        t->s[t->newest - 1].newer = i;
    t->newest = i;
    if (t->oldest == 0)
        t->oldest = i;
}

static void take_out(struct streams *t, uint32_t i)
{
    const struct stream *s = &t->s[i - 1];
    *(s->newer != 0 ? &t->s[s->newer - 1].older : &t->newest) = s->older;
    *(s->older != 0 ? &t->s[s->older - 1].newer : &t->oldest) = s->newer;
}

/* A place for a stream, in no list: a free one, or that of the stream not used for the longest time. */
static uint32_t take_place(struct streams *t, uint64_t n)
{
    if (t->nused < n)
        return ++t->nused;
    uint32_t i = t->oldest, *link = bucket_of(t, t->s[i - 1].page);
    while (*link != i)
        link = &t->s[*link - 1].hash_next;
    *link = t->s[i - 1].hash_next;
    take_out(t, i);
    return i;
}

/* ---- streams ---------------------------------------------------------------------------------- */

/* The stream of a neighbour that has asked for lines of `page`, where streams may cross. */
static const struct stream *leads_here(struct streams *t, const struct prefetch_access *a,
                                       uint64_t page)
{
    const struct stream *s = a->first < page << PAGE_SHIFT ? find(t, page - 1) : NULL;
    if (s != NULL && s->step == 1 && s->ahead >> (PAGE_SHIFT - LINE_SHIFT) == page)
        return s;
    s = a->last >= (page + 1) << PAGE_SHIFT ? find(t, page + 1) : NULL;
    if (s != NULL && s->step == -1 && s->ahead >> (PAGE_SHIFT - LINE_SHIFT) == page)
        return s;
    return NULL;
}

static struct stream *new_stream(struct streams *t, uint64_t n, const struct prefetch_access *a, uint64_t page,
                                 uint64_t line)
{
    struct stream s = {.page = page, .latest = line, .ahead = line};
    const struct stream *from = leads_here(t, a, page);
    if (from != NULL) {
        s.step = from->step;
        s.confidence = from->confidence;
        s.ahead = from->ahead;
        s.latest = line - (uint64_t)s.step;
    }
    uint32_t i = take_place(t, n), *bucket = bucket_of(t, page);
    s.hash_next = *bucket;
    *bucket = i;
    t->s[i - 1] = s;
    make_newest(t, i);
    return &t->s[i - 1];
}

/* The stream of the page, from now on the newest. */
static struct stream *stream_of(struct streams *t, uint64_t n, const struct prefetch_access *a, uint64_t line)
{
    uint64_t page = a->addr >> PAGE_SHIFT;
    if (t->newest != 0 && t->s[t->newest - 1].page == page)
        return &t->s[t->newest - 1];
    struct stream *s = find(t, page);
    if (s == NULL)
        return new_stream(t, n, a, page, line);
    take_out(t, (uint32_t)(s - t->s) + 1);
    make_newest(t, (uint32_t)(s - t->s) + 1);
    return s;
}

/* Puts a request into the stream; false: it does not lead on. */
static bool follow(struct stream *s, uint64_t line, uint32_t enough)
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
    if (s->confidence < enough)
        s->confidence++;
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
    uint64_t line = a->addr >> LINE_SHIFT;
    struct stream *s = stream_of(t, p->streams, a, line);
    if (!follow(s, line, (uint32_t)p->confidence))
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
