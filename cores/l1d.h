/*
 * What priv_cache.c and the fast ways of dispatch and fetch (fast.c, fetch.c) share of the L1 caches: the
 * payload of a line, outstanding lines and who waits for them, the lines used latest, and the plain hit.
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

static inline uint32_t cache_set(const struct sarray *a, uint64_t line) { return sarray_set_of(a, line >> LINE_SHIFT); }

static inline uint32_t miss_bucket_of(uint64_t line)
{
    return (uint32_t)((line * UINT64_C(0x9e3779b97f4a7c15)) >> 55) % MISS_BUCKETS;
}

/* ---- outstanding lines ------------------------------------------------------------------------- */

static inline uint16_t *miss_bucket(struct core *c, uint64_t line)
{
    return &c->miss_bucket[miss_bucket_of(line)];
}

/* The first miss of a line's bucket, or one of no line. */
static inline struct miss *first_miss(struct core *c, uint64_t line)
{
    return core_miss(c, 0) + *miss_bucket(c, line) - 1;
}

/* The outstanding miss of a line; `code`: of L1I. NULL: none. */
static inline struct miss *find_miss(struct core *c, uint64_t line, bool code)
{
    for (uint32_t i = *miss_bucket(c, line); i != 0;) {
        struct miss *m = core_miss(c, i - 1);
        if (m->line == line && (m->kind == LINE_CODE) == code)
            return m;
        i = m->hash_next;
    }
    return NULL;
}

/* Where `who` keeps the one that waits behind it. */
static inline waiter_t *waiter_link(struct core *c, waiter_t who)
{
    switch (waiter_kind(who)) {
    case WAIT_LOAD:
        return &core_window(c, waiter_idx(who))->next_waiter;
    case WAIT_STORE:
        return &core_sq(c, waiter_idx(who))->next_waiter;
    case WAIT_WALK:
        return &c->walks[waiter_idx(who)].next_waiter;
    default:
        return &c->ifetch_next_waiter;
    }
}

/* `who`, who keeps the next one at `link`, waits for the line of `m`, behind the others. */
static inline void append_waiter(struct core *c, struct miss *m, waiter_t who, waiter_t *link)
{
    *link = 0;
    *(waiter_t *)core_at(c, m->last_link) = who;
    m->last_link = core_offset(c, link);
}

/* `who` waits for the line of `m`, whoever it is. */
static inline void push_waiter(struct core *c, struct miss *m, waiter_t who)
{
    m->store_waits |= waiter_kind(who) == WAIT_STORE || waiter_kind(who) == WAIT_NOBODY;
    if (waiter_kind(who) == WAIT_NOBODY) /* a kernel store: the line only becomes dirty */
        return;
    append_waiter(c, m, who, waiter_link(c, who));
}

/* L2 will be asked for the line of `paddr` in a moment: the host should have its set near by then. */
static inline void core_expect_in_l2(struct core *c, uint64_t paddr)
{
    const struct sarray *a = core_at(c, c->at.l2);
    sarray_prefetch(a, cache_set(a, paddr));
}

/* ---- lines used latest ------------------------------------------------------------------------- */

/* Where the line is noted, if it is the latest of its set. */
static inline struct recent_line *recent_in_l1d(struct core *c, uint64_t line)
{
    return &c->recent_line[(line >> LINE_SHIFT) & c->recent_line_mask];
}

/* `held`, the payload of `line`, has been used. */
static inline void note_recent_line(const struct core *c, struct recent_line *r, uint64_t line, const uint64_t *held)
{
    *r = (struct recent_line){line, (uint64_t)((const char *)held - (const char *)c)};
}

/* The set of `line` changes in another way. */
static inline void forget_recent_line(struct recent_line *r) { r->line = UINT64_MAX; }

/*
 * Payload of a line of L1D that is the latest of its set, or NULL. (A line in L1D is never outstanding.)
 */
static inline uint64_t *l1d_recent(struct core *c, uint64_t line)
{
    struct recent_line *r = recent_in_l1d(c, line);
    return line == r->line ? core_at(c, r->word) : NULL;
}

/*
 * Payload of another line, counted as a use, when it is in L1D and no prefetched line that nobody has
 * used yet; NULL, and nothing changed: look properly.
 */
static inline uint64_t *l1d_find(struct core *c, uint64_t line)
{
    struct sarray *a = core_at(c, c->at.l1d);
    uint64_t *held = sarray_use_if(a, cache_set(a, line), line, LINE_PREFETCHED, 0);
    if (held == NULL) {
        c->absent_line = line;
        return NULL;
    }
    if (*held & LINE_PREFETCHED)
        return NULL;
    note_recent_line(c, recent_in_l1d(c, line), line, held);
    return held;
}

#endif
