/*
 * What priv_cache.c and the fast path (fast.c) share of the data caches: the payload of a line, and
 * the plain hit.
 */
#ifndef CORES_L1D_H
#define CORES_L1D_H

#include "cores/core.h"

#define LINE_KIND_MASK UINT64_C(3)
#define LINE_DIRTY UINT64_C(4)
#define LINE_FLAGS UINT64_C(7)      /* what stays with a line that moves on */
#define LINE_PREFETCHED UINT64_C(8) /* and nobody has asked for it yet */
#define LINE_LATENCY_SHIFT 4        /* 12 bits: cycles that this prefetch took */
#define LINE_LATENCY_MAX UINT64_C(0xfff)
#define LINE_READY_SHIFT 16 /* above: cycle at which the line's data is in L1D */

static inline uint32_t cache_set(const struct sarray *a, uint64_t line)
{
    uint64_t n = line >> LINE_SHIFT;
    return (uint32_t)((a->nsets & (a->nsets - 1)) == 0 ? n & (a->nsets - 1) : n % a->nsets);
}

static inline uint32_t miss_bucket_of(uint64_t line)
{
    return (line >> LINE_SHIFT ^ line >> (LINE_SHIFT + 6)) % MISS_BUCKETS;
}

/*
 * Payload of the line of `paddr`, counted as a use, when it is in L1D, no prefetched line that nobody
 * has used yet, and certainly not outstanding; NULL, and nothing changed: look properly.
 */
static inline uint64_t *l1d_hit(struct core *c, uint64_t paddr)
{
    uint64_t line = paddr & ~(LINE_BYTES - 1);
    struct sarray *a = core_at(c, c->at.l1d);
    uint64_t *held;
    if (line == c->last_line) {
        held = core_at(c, c->last_line_word);
        return *held & LINE_PREFETCHED ? NULL : held;
    }
    if (a->nways == 0 || (c->nmisses != 0 && c->miss_bucket[miss_bucket_of(line)] != 0))
        return NULL;
    uint32_t set = cache_set(a, line);
    int way = sarray_find(a, set, line);
    if (way < 0)
        return NULL;
    held = sarray_data(a, set, (uint32_t)way);
    if (*held & LINE_PREFETCHED)
        return NULL;
    sarray_hit(a, set, (uint32_t)way);
    c->last_line = line;
    c->last_line_word = (uint64_t)((char *)held - (char *)c);
    return held;
}

#endif
