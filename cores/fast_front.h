/*
 * The common case of dispatch: what it keeps at hand, and its steps up to the access itself: retirement, slots,
 * places in the queues, translation. Only for fast.c, which says what all this is.
 *
 * The core's own fields are the state: there are more of them than a host has registers, so copies would only be
 * moved about.
 */
#ifndef CORES_FAST_FRONT_H
#define CORES_FAST_FRONT_H

#include "cores/core.h"
#include "cores/dispatch.h"
#include "cores/tlb.h"

#define INLINE static inline __attribute__((always_inline))
#define LIKELY(cond) __builtin_expect(!!(cond), 1)

/* ---- a row ------------------------------------------------------------------------------------- */

/* What does not change meanwhile, and what is counted. */
struct run {
    const struct core_ctx *x;
    struct core *c;
    const struct fe_block *b;
    struct flight *flights;
    struct store_entry *sq;
    uint64_t window_mask, sq_mask;
    uint64_t rob_span; /* instructions that fit behind one in the ROB */
    uint64_t store_queue, va_mask;
    uint32_t load_queue;
    uint32_t bare;  /* flags of a load whose producers need not be looked for: ACC_NO_PRODUCER, or none */
    uint64_t limit; /* cycle before which to stop */
    uint64_t stop;  /* ordinal before which to stop */
    uint32_t width;
    uint64_t reciprocal;   /* of the width, times 2^32, rounded up */
    uint64_t cycles_4k, cycles_2m, least_tlb; /* of the L1 data TLBs */
    uint64_t cycles_l1d, forward_cycles;
    uint32_t code, prefetch; /* lines of code count; there is a prefetcher, */
    uint32_t show_stores;    /*   and that of L1D sees stores */
    struct row {
        uint64_t ordinal, loads, sq_tail; /* of the core when counting began; */
        uint32_t br;                      /*   and the next branch of the block then */
        /*
         * Since then: accesses to pages of 2 MiB; loads that an older store served; accesses that joined a line; those whose
         * line counted itself.
         */
        uint64_t n2m, nforwards, nmerged, nothers;
        uint64_t issue, data_ready; /* of an access whose page no L1 TLB has, as in struct access */
    } row;
    uint64_t fits; /* instructions up to this ordinal are known to find room in the ROB and to be before `stop` */
};

/* Counting begins, for accesses that each hit an L1 TLB. */
INLINE struct row begin_row(const struct core *c)
{
    return (struct row){.ordinal = c->ordinal, .loads = c->loads_dispatched, .sq_tail = c->sq_tail, .br = c->pos.br};
}

/* The instructions since then. */
static inline void count_instructions(struct core *c, struct row *row)
{
    c->stats.instructions += c->ordinal - row->ordinal;
    c->pos.ninstr += c->ordinal - row->ordinal;
    row->ordinal = c->ordinal;
}

INLINE struct flight *flight_of(const struct run *run, uint64_t no) { return &run->flights[no & run->window_mask]; }

/* The core's rob_limit as it is: add_complete leaves it behind where the window was empty. */
static inline void look_at_rob(const struct run *run)
{
    core_set_rob_limit(run->c, flight_of(run, run->c->head), run->rob_span);
}

static __attribute__((noinline)) void count_row(struct run *run)
{
    struct core *c = run->c;
    const struct core_params *p = run->x->p;
    struct row *row = &run->row;
    for (uint32_t no = row->br; no < c->pos.br; no++)
        c->stats.branches[fe_br(run->b, no)->kind]++;
    uint64_t nloads = c->loads_dispatched - row->loads, nstores = c->sq_tail - row->sq_tail, n = nloads + nstores;
    count_instructions(c, row);
    c->stats.loads += nloads;
    c->stats.stores += nstores;
    c->stats.dtlb_l1_hits += n;
    c->stats.tlb_l1_cycles += (n - row->n2m) * p->l1d4k.latency_cycles + row->n2m * p->l1d2m.latency_cycles;
    c->stats.l1d_forwards += row->nforwards;
    c->stats.l1d_hits += n - row->nforwards - row->nmerged - row->nothers;
    c->stats.l1d_misses += row->nmerged;
    c->stats.l1d_merged += row->nmerged;
    *row = begin_row(c);
    look_at_rob(run);
}

/* A row begins, to end before instruction `stop` of the thread and cycle `until`. */
INLINE void begin_run(struct run *run, const struct core_ctx *x, const struct fe_block *b, uint64_t stop, uint64_t until)
{
    struct core *c = x->c;
    const struct core_params *p = x->p;
    /* The thread's instructions and the core's ordinals advance together. */
    const uint64_t left = stop > c->pos.ninstr ? stop - c->pos.ninstr : 0;
    run->x = x;
    run->c = c;
    run->b = b;
    run->flights = core_flight(c, 0);
    run->sq = core_sq(c, 0);
    run->window_mask = c->window_size - 1;
    run->sq_mask = c->sq_size - 1;
    run->rob_span = p->core.rob - 1;
    run->load_queue = (uint32_t)p->core.load_queue;
    run->store_queue = p->core.store_queue;
    run->va_mask = radix_va_mask(c->levels);
    run->limit = u64_min(until, c->fault_at);
    run->stop = left < UINT64_MAX - c->ordinal ? c->ordinal + left : UINT64_MAX;
    run->fits = 0;
    run->width = (uint32_t)p->core.width;
    run->reciprocal = ((UINT64_C(1) << 32) + p->core.width - 1) / p->core.width;
    run->cycles_4k = p->l1d4k.latency_cycles;
    run->cycles_2m = p->l1d2m.latency_cycles;
    run->least_tlb = u64_min(p->l1d4k.latency_cycles, p->l1d2m.latency_cycles);
    run->cycles_l1d = p->l1d.latency_cycles;
    run->forward_cycles = p->core.forward_cycles;
    run->code = (uint32_t)p->l1i.enabled;
    run->prefetch = c->pf.on != 0;
    run->show_stores = p->prefetch.common.stores != 0;
    run->bare = b->regular ? ACC_NO_PRODUCER : 0;
    run->row = begin_row(c);
}

/* ---- retirement and slots ---------------------------------------------------------------------- */

/* core_retire_oldest, for an access that was complete when dispatch came to it; false: another case. */
INLINE bool retire_complete(const struct run *run, struct core *c)
{
    const struct flight *e = flight_of(run, c->head);
    if (e->done > c->slot_cycle) /* unknown, too */
        return false;
    c->retire_cycle = u64_max(c->retire_cycle, e->done);
    *core_retired(run->sq, e) = c->retire_cycle;
    c->window_loads -= 1 - (e->flags & ACC_STORE);
    c->head++;
    core_set_rob_limit(c, flight_of(run, c->head), run->rob_span);
    return true;
}

/*
 * core_retire_oldest for all accesses at the head that were complete when the latest instruction dispatched, and by
 * the touch clock. From then on nobody sees whether they have retired: nothing waits for them, or charges a wait to
 * them; no cycle that they bring into retire_cycle, or a store into `retired`, is another one later; a younger access
 * finds them complete either way (take_forwarded, core_store_written). So it may be done for many at once, ahead of need.
 */
static __attribute__((noinline)) void retire_ripe(const struct run *run)
{
    struct core *c = run->c;
    const uint64_t by = u64_min(c->touch, c->last_cycle), tail = c->tail;
    struct store_entry *const sq = run->sq;
    const struct flight *e = flight_of(run, c->head), *const end = run->flights + c->window_size;
    uint64_t head = c->head, retired = c->retire_cycle, nstores = 0;
    for (;;) { /* twice, where the window's entries begin again */
        const struct flight *const first = e, *const behind = e + u64_min(tail - head, (uint64_t)(end - e));
        for (; e != behind && e->done <= by; e++) { /* unknown is later */
            retired = u64_max(retired, e->done);
            *core_retired(sq, e) = retired;
            nstores += e->flags & ACC_STORE;
        }
        head += (uint64_t)(e - first);
        if (e != end || head == tail)
            break;
        e = run->flights;
    }
    c->window_loads -= (uint32_t)(head - c->head - nstores);
    c->head = head;
    c->retire_cycle = retired;
    core_set_rob_limit(c, flight_of(run, c->head), run->rob_span);
}

/* In the same way core_drain_oldest_store for all stores that were written by then: nothing else forwards from them. */
static __attribute__((noinline)) void drain_ripe(const struct run *run)
{
    struct core *c = run->c;
    const uint64_t by = u64_min(c->touch, c->last_cycle), tail = c->sq_tail;
    uint64_t head = c->sq_head, drained = c->sq_drained;
    for (; head != tail; head++) {
        const struct store_entry *s = &run->sq[head & run->sq_mask];
        uint64_t at = u64_max(drained + 1, u64_max(s->retired, s->fill));
        if (at > by) /* unknown, too */
            break;
        drained = at;
    }
    c->sq_head = head;
    c->sq_drained = drained;
}

/*
 * core_drain_oldest_store, and the wait for it, when its line is there and all up to it can retire; false:
 * another case.
 */
INLINE bool drain_complete(const struct run *run, struct core *c)
{
    const struct store_entry *s = &run->sq[c->sq_head & run->sq_mask];
    while (s->retired == CYCLE_UNKNOWN)
        if (c->head == c->tail || !retire_complete(run, c))
            return false;
    if (s->fill > c->slot_cycle) /* unknown, too */
        return false;
    c->sq_drained = u64_max(c->sq_drained + 1, u64_max(s->retired, s->fill));
    c->sq_head++;
    c->last_cycle = u64_max(c->last_cycle, c->sq_drained);
    if (c->sq_drained > c->slot_cycle) {
        cpi_charge(c, CPI_BASE, c->sq_drained);
        c->stats.stall_sq += c->sq_drained - c->slot_cycle;
        c->slot_cycle = c->sq_drained;
        c->slot_k = 0;
    }
    return true;
}

/* dispatch_instructions itself, where the oldest access holds them up; false: it is unanswered. */
static __attribute__((noinline)) bool take_stalled(const struct run *run, uint64_t last)
{
    struct core *c = run->c;
    uint64_t n = last - c->ordinal;
    if (n > UINT16_MAX)
        core_refuse_gap(run->x);
    uint64_t left = dispatch_instructions(run->x, n);
    c->pos.gap_done += (uint32_t)(n - left);
    return left == 0;
}

/* Makes room in the ROB for instructions up to ordinal `last`; false: dispatch must wait for some of it. */
static __attribute__((noinline)) bool retire_for(const struct run *run, uint64_t last)
{
    struct core *c = run->c;
    look_at_rob(run);
    if (last > c->rob_limit)
        retire_ripe(run);
    while (last > c->rob_limit)
        if (!retire_complete(run, c))
            return false;
    return true;
}

/* take_slots; `n`: at most 2^16, at least one. Returns the cycle of the last one. */
INLINE uint64_t take_next_slots(const struct run *run, struct core *c, uint64_t n)
{
    const uint64_t k = c->slot_k + n; /* slots from the start of the cycle to their end */
    if (LIKELY(k < SLOTS_AHEAD)) {
        struct slots_ahead s = c->slots_ahead[k];
        c->slot_cycle += s.cycles;
        c->slot_k = s.rest;
    } else {
        if (n > UINT16_MAX)
            core_refuse_gap(run->x);
        uint64_t cycles = k * run->reciprocal >> 32;
        c->slot_cycle += cycles;
        c->slot_k = (uint32_t)(k - cycles * run->width);
    }
    c->ordinal += n;
    return c->last_cycle = c->slot_cycle - (c->slot_k == 0);
}

/* dispatch_instructions, up to ordinal `last`; false: an unanswered access holds some up. At most 2^16, at least one. */
static __attribute__((noinline)) bool take_instructions(const struct run *run, struct core *c, uint64_t last)
{
    if (last > run->fits && !retire_for(run, last))
        return take_stalled(run, last);
    take_next_slots(run, c, last - c->ordinal);
    return true;
}

/* act_at and keep_slot; false: not before the limit, and nothing was changed. */
static bool act_late(const struct run *run, struct core *c)
{
    uint64_t at = u64_max(c->touch, c->last_cycle);
    if (at >= run->limit)
        return false;
    c->touch = at;
    if ((c->slot_cycle | -(uint64_t)c->slot_k) <= at) {
        c->slot_cycle = at + (run->width == 1);
        c->slot_k = run->width != 1;
    }
    return true;
}

/*
 * The same, where keep_slot has nothing to do and the cycle is known: that of latest instructions that had their slots after an
 * access of the row acted, nothing having been waited for since, as the touch clock is behind none of their slots then; or
 * the touch clock itself, where act_late has been here.
 */
INLINE bool act_now(const struct run *run, struct core *c, uint64_t at)
{
    if (at >= run->limit)
        return false;
    c->touch = at;
    return true;
}

/* core_make_room where a queue is full; false: what it waits for is unanswered. */
static __attribute__((noinline)) bool wait_for_room(const struct run *run, const bool write)
{
    struct core *c = run->c;
    retire_ripe(run);
    if (write) {
        drain_ripe(run);
        while (c->sq_tail - c->sq_head >= run->store_queue)
            if (!drain_complete(run, c))
                return core_make_room(run->x, write);
        return true;
    }
    while (c->window_loads >= run->load_queue) {
        if (!retire_complete(run, c))
            return core_make_room(run->x, write);
        c->last_cycle = u64_max(c->last_cycle, c->retire_cycle);
    }
    return true;
}

/* Is there a place in the queue that the access needs? Else wait_for_room. */
INLINE bool has_room(const struct run *run, const struct core *c, const bool write)
{
    return write ? c->sq_tail - c->sq_head < run->store_queue : c->window_loads < run->load_queue;
}

/* ---- translation ------------------------------------------------------------------------------- */

enum found { FOUND_NOT, FOUND_UNFIT, FOUND };

/* A page of one size in its L1 TLB, which is used if it has what the access needs; else nothing changes. */
INLINE enum found find_in_tlb(struct core *c, uint64_t array_at, uint64_t vaddr, const unsigned shift, uint64_t needs,
                              struct recent_page *recent)
{
    struct sarray *a = core_at(c, array_at);
    if (a->nused == 0)
        return FOUND_NOT;
    const uint64_t *held = sarray_use_if(a, tlb_set(a, vaddr, shift), tlb_tag(c->asid, vaddr, shift), 0, needs);
    if (held == NULL)
        return FOUND_NOT;
    if ((*held & needs) != needs)
        return FOUND_UNFIT;
    *recent = (struct recent_page){vaddr >> shift, *held};
    return FOUND;
}

INLINE struct recent_page *latest_4k(struct core *c, uint64_t vaddr)
{
    return &c->recent_4k[(vaddr >> PAGE_SHIFT) & c->recent_4k_mask];
}

INLINE struct recent_page *latest_2m(struct core *c, uint64_t vaddr)
{
    return &c->recent_2m[(vaddr >> PAGE_SHIFT_2M) & c->recent_2m_mask];
}

/*
 * translate_data for a page that an L1 TLB holds, and not as the latest of its set, which it is then: its size as a
 * shift; 0: another case, and nothing changed.
 */
static __attribute__((noinline)) unsigned find_other_page(struct core *c, uint64_t vaddr, uint64_t needs)
{
    enum found is = find_in_tlb(c, c->at.l1d4k, vaddr, PAGE_SHIFT, needs, latest_4k(c, vaddr));
    if (is != FOUND_NOT)
        return is == FOUND ? PAGE_SHIFT : 0;
    is = find_in_tlb(c, c->at.l1d2m, vaddr, PAGE_SHIFT_2M, needs, latest_2m(c, vaddr));
    if (is == FOUND_NOT)
        c->l1_missed_page = vaddr >> PAGE_SHIFT; /* for look_up, which need not look again */
    return is == FOUND ? PAGE_SHIFT_2M : 0;
}

/* A translation from the L1 TLBs. */
struct hit {
    uint64_t paddr;
    uint64_t tlb_cycles; /* from the issue on: when it is known */
};

/* translate_data for pages of 4 KiB and 2 MiB that an L1 TLB holds. */
INLINE bool find_page(struct run *run, struct core *c, uint64_t vaddr, uint64_t needs, uint64_t issue, struct hit *h)
{
    const struct recent_page *r = latest_4k(c, vaddr), *r2 = latest_2m(c, vaddr);
    unsigned shift = PAGE_SHIFT;
    if (issue + run->least_tlb < c->walked_until)
        return false;
    if (r->page != vaddr >> PAGE_SHIFT)
        shift = r2->page == vaddr >> PAGE_SHIFT_2M && (r2->payload & needs) == needs ? PAGE_SHIFT_2M
                                                                                   : find_other_page(c, vaddr, needs);
    else if ((r->payload & needs) != needs)
        return false;
    if (shift == PAGE_SHIFT_2M) {
        h->tlb_cycles = run->cycles_2m;
        h->paddr = (r2->payload & ~TLB_FLAGS) + (vaddr & ((UINT64_C(1) << PAGE_SHIFT_2M) - 1));
        run->row.n2m++;
        return true;
    }
    h->tlb_cycles = run->cycles_4k;
    h->paddr = (r->payload & ~TLB_FLAGS) + (vaddr & (PAGE_BYTES - 1));
    return shift != 0;
}

#endif
