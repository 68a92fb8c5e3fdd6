/*
 * The state of the common case of dispatch while it runs, and its steps up to the access itself: retirement,
 * slots, places in the queues, translation. Only for fast.c, which says what all this is.
 */
#ifndef CORES_FAST_FRONT_H
#define CORES_FAST_FRONT_H

#include "cores/core.h"
#include "cores/dispatch.h"
#include "cores/tlb.h"

#define INLINE static inline __attribute__((always_inline))
#define LIKELY(cond) __builtin_expect(!!(cond), 1)

/* ---- the part of struct core that a row of accesses changes ------------------------------------ */

struct front {
    uint64_t slot_cycle, last_cycle, ordinal, touch;
    uint64_t head, tail, retire_cycle, sq_head, sq_tail, sq_drained;
    uint64_t loads_dispatched;
    uint32_t slot_k, window_loads;
    uint64_t nproducers;   /* loads back that a producer can be */
    uint64_t walked_until; /* of the core */
    struct {
        uint64_t ordinal, loads, sq_tail;
    } from; /* when it was taken up */
    /* Since then: accesses to pages of 2 MiB; loads that an older store served; those that wait for a line. */
    uint64_t n2m, nforwards, nmerged;
};

#define FRONT_FIELDS(X) \
    X(slot_cycle) X(last_cycle) X(ordinal) X(touch) X(head) X(tail) X(retire_cycle) X(sq_head) \
    X(sq_tail) X(sq_drained) X(loads_dispatched) X(slot_k) X(window_loads)

INLINE void count_from_here(struct front *f)
{
    f->from.ordinal = f->ordinal;
    f->from.loads = f->loads_dispatched;
    f->from.sq_tail = f->sq_tail;
    f->n2m = f->nforwards = f->nmerged = 0;
}

INLINE void take_up(const struct core *c, struct front *f)
{
#define X(field) f->field = c->field;
    FRONT_FIELDS(X)
#undef X
    f->nproducers = u64_min(c->loads_dispatched, LOAD_RING - 1);
    f->walked_until = c->walked_until;
    count_from_here(f);
}

/* Every access since it was taken up has hit an L1 TLB, and L1D or an older store, or joined a miss. */
INLINE void put_back(const struct core_ctx *x, struct front *f)
{
    struct core *c = x->c;
#define X(field) c->field = f->field;
    FRONT_FIELDS(X)
#undef X
    c->rob_limit = f->head == f->tail ? UINT64_MAX : core_flight(c, f->head)->instr + x->p->core.rob - 1;
    uint64_t nloads = f->loads_dispatched - f->from.loads, nstores = f->sq_tail - f->from.sq_tail, n = nloads + nstores;
    c->stats.instructions += f->ordinal - f->from.ordinal;
    c->pos.ninstr += f->ordinal - f->from.ordinal;
    c->stats.loads += nloads;
    c->stats.stores += nstores;
    c->stats.dtlb_l1_hits += n;
    c->stats.tlb_l1_cycles += (n - f->n2m) * x->p->l1d4k.latency_cycles + f->n2m * x->p->l1d2m.latency_cycles;
    c->stats.l1d_forwards += f->nforwards;
    c->stats.l1d_hits += n - f->nforwards - f->nmerged;
    c->stats.l1d_misses += f->nmerged;
    c->stats.l1d_merged += f->nmerged;
    count_from_here(f);
}

/* What does not change meanwhile. */
struct run {
    const struct core_ctx *x;
    struct core *c;
    const struct fe_block *b;
    struct flight *flights;
    struct store_entry *sq;
    uint64_t window_mask, sq_mask;
    uint64_t rob, load_queue, store_queue, va_mask;
    uint64_t limit; /* cycle before which to stop */
    uint32_t width;
    uint64_t reciprocal;   /* of the width, times 2^32, rounded up */
    uint64_t least_tlb;    /* cycles of an L1 data TLB */
    uint32_t code, prefetch; /* lines of code count; there is a prefetcher */
};

static inline struct run make_run(const struct core_ctx *x, const struct fe_block *b, uint64_t until)
{
    struct core *c = x->c;
    const struct core_params *p = x->p;
    return (struct run){.x = x, .c = c, .b = b, .flights = core_flight(c, 0), .sq = core_sq(c, 0),
                        .window_mask = c->window_size - 1, .sq_mask = c->sq_size - 1, .rob = p->core.rob,
                        .load_queue = p->core.load_queue, .store_queue = p->core.store_queue,
                        .va_mask = radix_va_mask(c->levels), .limit = u64_min(until, c->fault_at),
                        .width = (uint32_t)p->core.width,
                        .reciprocal = ((UINT64_C(1) << 32) + p->core.width - 1) / p->core.width,
                        .least_tlb = u64_min(p->l1d4k.latency_cycles, p->l1d2m.latency_cycles),
                        .code = (uint32_t)p->l1i.enabled, .prefetch = c->pf.on};
}

INLINE struct flight *flight_of(const struct run *run, uint64_t no) { return &run->flights[no & run->window_mask]; }

/* ---- retirement and slots ---------------------------------------------------------------------- */

/* core_retire_oldest, for an access that was complete when dispatch came to it; false: another case. */
INLINE bool retire_complete(const struct run *run, struct front *f)
{
    const struct flight *e = flight_of(run, f->head);
    if (e->done > f->slot_cycle) /* unknown, too */
        return false;
    f->retire_cycle = u64_max(f->retire_cycle, e->done);
    if (e->flags & ACC_STORE)
        run->sq[e->place].retired = f->retire_cycle;
    else
        f->window_loads--;
    f->head++;
    return true;
}

/* Makes room in the ROB for the instructions up to `last`; false: another case. */
INLINE bool retire_for(const struct run *run, struct front *f, uint64_t last)
{
    while (flight_of(run, f->head)->instr + run->rob <= last && f->head != f->tail)
        if (!retire_complete(run, f))
            return false;
    return true;
}

/*
 * core_drain_oldest_store, and the wait for it, when its line is there and all up to it can retire; false:
 * another case.
 */
INLINE bool drain_complete(const struct run *run, struct front *f)
{
    const struct store_entry *s = &run->sq[f->sq_head & run->sq_mask];
    while (s->retired == CYCLE_UNKNOWN)
        if (f->head == f->tail || !retire_complete(run, f))
            return false;
    if (s->fill > f->slot_cycle) /* unknown, too */
        return false;
    f->sq_drained = u64_max(f->sq_drained + 1, u64_max(s->retired, s->fill));
    f->sq_head++;
    f->last_cycle = u64_max(f->last_cycle, f->sq_drained);
    if (f->sq_drained > f->slot_cycle) {
        cpi_charge(run->c, CPI_BASE, f->sq_drained);
        run->c->stats.stall_sq += f->sq_drained - f->slot_cycle;
        f->slot_cycle = f->sq_drained;
        f->slot_k = 0;
    }
    return true;
}

/* Where the slots of the next n > 0 instructions end; at most 2^16 of them. */
struct slots {
    uint64_t last; /* cycle of the last one */
    uint32_t rest; /* slots taken in it */
};

INLINE struct slots next_slots(const struct run *run, const struct front *f, uint64_t n)
{
    uint64_t k = f->slot_k + n - 1, cycles = k * run->reciprocal >> 32;
    return (struct slots){f->slot_cycle + cycles, (uint32_t)(k - cycles * run->width) + 1};
}

/* take_slots */
INLINE void take_slots_to(const struct run *run, struct front *f, struct slots s, uint64_t n)
{
    bool full = s.rest == run->width;
    f->ordinal += n;
    f->last_cycle = s.last;
    f->slot_cycle = s.last + full;
    f->slot_k = full ? 0 : s.rest;
}

/* dispatch_instructions, as far as older accesses are complete; false: another case. */
INLINE bool take_instructions(const struct run *run, struct front *f, uint64_t n)
{
    if (!retire_for(run, f, f->ordinal + n))
        return false;
    take_slots_to(run, f, next_slots(run, f, n), n);
    return true;
}

/* act_at and keep_slot. */
INLINE void act_now(const struct run *run, struct front *f)
{
    f->touch = u64_max(f->touch, f->last_cycle);
    if (LIKELY(f->slot_k != 0 || f->slot_cycle > f->touch))
        return;
    f->slot_cycle = f->touch + (run->width == 1);
    f->slot_k = run->width != 1;
}

/* make_room; false: another case. */
INLINE bool make_room(const struct run *run, struct front *f, const bool write)
{
    if (write) {
        while (f->sq_tail - f->sq_head >= run->store_queue)
            if (!drain_complete(run, f))
                return false;
        return true;
    }
    while (f->window_loads >= run->load_queue) {
        if (!retire_complete(run, f))
            return false;
        f->last_cycle = u64_max(f->last_cycle, f->retire_cycle);
    }
    return true;
}

/*
 * Slots for the instructions up to an access, `gap` after the one before, and a place for it; false: another
 * case, and *gap_done says who has a slot.
 */
INLINE bool make_way(const struct run *run, struct front *f, uint32_t gap, uint32_t *gap_done, const bool write)
{
    if (gap != *gap_done) {
        if (!take_instructions(run, f, gap - *gap_done))
            return false;
        *gap_done = gap;
    }
    return make_room(run, f, write) && u64_max(f->last_cycle, f->touch) < run->limit;
}

/* ---- translation ------------------------------------------------------------------------------- */

/* core_translate for a page that an L1 TLB of one size holds, and not as the latest one; else nothing changes. */
static __attribute__((noinline)) bool find_in_tlb(struct core *c, uint64_t array_at, uint64_t vaddr, unsigned shift,
                                                  uint64_t needs, struct recent_page *recent)
{
    struct sarray *a = core_at(c, array_at);
    if (a->nused == 0)
        return false;
    uint32_t set = tlb_set(a, vaddr, shift);
    int way = sarray_find(a, set, tlb_tag(c->asid, vaddr, shift));
    if (way < 0 || (*sarray_data(a, set, (uint32_t)way) & needs) != needs)
        return false;
    sarray_hit(a, set, (uint32_t)way);
    *recent = (struct recent_page){vaddr >> shift, *sarray_data(a, set, (uint32_t)way)};
    return true;
}

/* A translation from the L1 TLBs. */
struct hit {
    uint64_t paddr;
    uint64_t tlb_cycles; /* from the issue on: when it is known */
    bool is_2m;
};

/* core_translate for pages of 4 KiB that the L1 TLB holds, and those of 2 MiB that it used latest. */
INLINE bool find_page(const struct run *run, const struct front *f, uint64_t vaddr, uint64_t needs, uint64_t issue,
                      struct hit *h)
{
    struct core *c = run->c;
    struct recent_page *r = &c->recent_4k[(vaddr >> PAGE_SHIFT) & c->recent_4k_mask];
    if (issue + run->least_tlb < f->walked_until)
        return false;
    h->is_2m = false;
    if (r->page == vaddr >> PAGE_SHIFT) {
        if ((r->payload & needs) != needs)
            return false;
    } else {
        const struct recent_page *r2 = &c->recent_2m[(vaddr >> PAGE_SHIFT_2M) & c->recent_2m_mask];
        if (r2->page == vaddr >> PAGE_SHIFT_2M && (r2->payload & needs) == needs) {
            h->tlb_cycles = run->x->p->l1d2m.latency_cycles;
            h->paddr = (r2->payload & ~TLB_FLAGS) + (vaddr & ((UINT64_C(1) << PAGE_SHIFT_2M) - 1));
            h->is_2m = true;
            return true;
        }
        if (!find_in_tlb(c, c->at.l1d4k, vaddr, PAGE_SHIFT, needs, r))
            return false;
    }
    h->tlb_cycles = run->x->p->l1d4k.latency_cycles;
    h->paddr = (r->payload & ~TLB_FLAGS) + (vaddr & (PAGE_BYTES - 1));
    return true;
}

#endif
