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
#include "cores/prefetch_streamer.h"

#define NROWS(t) (uint32_t)(sizeof(t) / sizeof((t)[0]))

/* clang-format off */
static const struct param_desc rows[] = {
    PREFETCH_COUNT_ROW(prefetch_streamer_params, streams, "page", "32", 1, 1024, "pages of 4 KiB followed"),
    PREFETCH_COUNT_ROW(prefetch_streamer_params, confidence, "request", "2", 1, 15, "requests in one direction, after the first of the page, before the stream is used"),
    PREFETCH_COUNT_ROW(prefetch_streamer_params, distance, "line", "20", 1, 64, "lines that a stream runs ahead at most"),
    PREFETCH_COUNT_ROW(prefetch_streamer_params, degree, "line", "2", 1, 16, "lines asked for by one request"),
};
/* clang-format on */

static size_t state_bytes(const struct prefetch_params *p)
{
    return sizeof(struct streams) + p->streamer.streams * sizeof(struct stream);
}

/* ---- order of use ----------------------------------------------------------------------------- */

static void make_newest(struct streams *t, struct stream *s)
{
    s->newer = 0;
    s->older = t->newest;
    t->newest = stream_link(t, s);
    *(s->older != 0 ? &stream_at(t, s->older)->newer : &t->oldest) = t->newest;
}

/* A place for a stream, in no list: a free one, or that of the stream not used for the longest time. */
static struct stream *take_place(struct streams *t, uint64_t n)
{
    if (t->nused < n)
        return &t->s[t->nused++];
    struct stream *s = stream_at(t, t->oldest);
    uint32_t *link = stream_bucket(t, s->page);
    while (*link != t->oldest)
        link = &stream_at(t, *link)->hash_next;
    *link = s->hash_next;
    t->oldest = s->newer;
    *(t->oldest != 0 ? &stream_at(t, t->oldest)->older : &t->newest) = 0;
    return s;
}

/* ---- streams ---------------------------------------------------------------------------------- */

/* The stream of a neighbour that has asked for lines of `page`, where streams may cross. */
static const struct stream *leads_here(struct streams *t, uint64_t page, uint64_t first, uint64_t last)
{
    const struct stream *s = first < page << PAGE_SHIFT ? stream_find(t, page - 1) : NULL;
    if (s != NULL && s->step == 1 && s->ahead >> (PAGE_SHIFT - LINE_SHIFT) == page)
        return s;
    s = last >= (page + 1) << PAGE_SHIFT ? stream_find(t, page + 1) : NULL;
    if (s != NULL && s->step == -1 && s->ahead >> (PAGE_SHIFT - LINE_SHIFT) == page)
        return s;
    return NULL;
}

struct stream *stream_begin(struct streams *t, uint64_t n, uint64_t addr, uint64_t first, uint64_t last)
{
    uint64_t page = addr >> PAGE_SHIFT, line = addr >> LINE_SHIFT;
    const struct stream *from = leads_here(t, page, first, last);
    const int64_t step = from != NULL ? from->step : 0;
    const uint64_t ahead = from != NULL ? from->ahead : line;
    const uint32_t confidence = from != NULL ? from->confidence : 0;
    struct stream *s = take_place(t, n); /* it may be that of *from */
    uint32_t *bucket = stream_bucket(t, page);
    s->page = page;
    s->latest = line - (uint64_t)step;
    s->ahead = ahead;
    s->step = step;
    s->confidence = confidence;
    s->hash_next = *bucket;
    *bucket = stream_link(t, s);
    make_newest(t, s);
    return s;
}

static void access(void *state, const struct prefetch_params *params, const struct prefetch_access *a,
                   struct prefetch_list *out)
{
    struct stream_run run = streamer_request(state, &params->streamer, a->addr, a->first, a->last);
    for (; run.n > 0; run.n--) {
        run.line += (uint64_t)run.step;
        prefetch_add(out, a, run.line << LINE_SHIFT, PREFETCH_TO_HERE);
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
