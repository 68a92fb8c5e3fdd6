/*
 * The LPs of one process under one queue, without windows: the one whose next message or private
 * action is the earliest goes on until another one is behind it. Nothing is known in advance of what
 * an LP may send, so this is what a plain discrete-event simulator does. It exists to measure what
 * windows cost; results are the same.
 *
 * A binary heap of LPs by (time, id); each knows its place in it.
 */
#include "pdes/engine_inside.h"

#include <stdlib.h>

struct lp_heap {
    struct entry {
        simtime_t time;
        struct lp *lp;
    } *entries;
    uint32_t *place; /* by id */
    uint32_t n;
};

static inline bool before(struct entry x, struct entry y)
{
    return x.time != y.time ? x.time < y.time : x.lp->id < y.lp->id;
}

static inline void put(struct lp_heap *h, uint32_t at, struct entry x)
{
    h->entries[at] = x;
    h->place[x.lp->id] = at;
}

static void sift_up(struct lp_heap *h, uint32_t at, struct entry x)
{
    for (; at > 0 && before(x, h->entries[(at - 1) / 2]); at = (at - 1) / 2)
        put(h, at, h->entries[(at - 1) / 2]);
    put(h, at, x);
}

static void sift_down(struct lp_heap *h, uint32_t at, struct entry x)
{
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= h->n)
            break;
        if (child + 1 < h->n && before(h->entries[child + 1], h->entries[child]))
            child++;
        if (!before(h->entries[child], x))
            break;
        put(h, at, h->entries[child]);
        at = child;
    }
    put(h, at, x);
}

void engine_queue_wake(struct engine *e, struct lp *lp, simtime_t time)
{
    struct lp_heap *h = e->heap;
    uint32_t at = h->place[lp->id];
    SIM_ASSERT(time >= u64_max(lp->now, lp->advanced), "a message for %s %u arrives at %llu fs, in its past",
               lp->ops->name, lp->instance, (unsigned long long)time);
    if (time < h->entries[at].time)
        sift_up(h, at, (struct entry){time, lp});
}

/* (Re)builds the heap: at the start, and after LPs were loaded at an epoch's end. */
static void fill(struct engine *e)
{
    struct lp_heap *h = e->heap;
    h->n = 0;
    for (uint32_t i = 0; i < e->nlps; i++) {
        struct lp *lp = e->lps[i];
        h->n++;
        sift_up(h, h->n - 1, (struct entry){*lp->next, lp});
    }
}

/* The earliest entry but the first. */
static inline simtime_t second(const struct lp_heap *h)
{
    simtime_t a = h->n > 1 ? h->entries[1].time : SIM_NEVER, b = h->n > 2 ? h->entries[2].time : SIM_NEVER;
    return u64_min(a, b);
}

/* Readers of mirrored writes pass each of them, even when they have nothing else to do. */
static void pass_mirrors(struct engine *e, simtime_t until)
{
    const struct lp_class *c = &e->classes[e->cfg.mirror_reader_class];
    for (uint32_t i = 0; i < c->nlocal; i++) {
        struct lp *lp = c->local[i];
        c->next[i] = engine_run_lp(e, lp, until);
        sift_down(e->heap, e->heap->place[lp->id], (struct entry){c->next[i], lp});
    }
    if (until > 0 && e->hooks.mirror_floor)
        e->hooks.mirror_floor(e->hooks.mirror_ctx, until - 1);
    e->mirror_due = e->latest_mirror >= until ? until : SIM_NEVER;
}

void engine_queue_run(struct engine *e)
{
    struct lp_heap *h = engine_alloc(NULL, sizeof *h);
    *h = (struct lp_heap){.entries = engine_alloc(NULL, (e->nlps + 1) * sizeof *h->entries),
                          .place = engine_alloc(NULL, (e->nlps + 1) * sizeof *h->place)};
    e->heap = h;
    engine_watch_sends(e, true);
    fill(e);
    while (!engine_close_epochs(e, u64_min(h->entries[0].time, BOUND_NEVER))) {
        fill(e);
        while (h->entries[0].time < e->epoch_end) {
            struct lp *lp = h->entries[0].lp;
            /* What another one sends at that time arrives later, and so does what this one's sends bring about. */
            simtime_t until = u64_min(u64_min(time_add(second(h), 1), h->entries[0].time + e->distance[lp->cls][lp->cls]), e->epoch_end);
            if (e->mirror_due < h->entries[0].time) {
                pass_mirrors(e, h->entries[0].time);
                continue;
            }
            simtime_t next = engine_run_lp(e, lp, until);
            *lp->next = next;
            sift_down(h, h->place[lp->id], (struct entry){next, lp});
            e->host.nwindows++;
        }
    }
    e->heap = NULL;
    free(h->entries);
    free(h->place);
    free(h);
}
