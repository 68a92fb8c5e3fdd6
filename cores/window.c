/*
 * Accesses in flight: from dispatch to retirement.
 *
 * An access whose address producers have all answered touches at once; otherwise it is parked and
 * touches when the last of them answers, in program order among those that wake at the same time.
 * A completed load hands its time to the accesses that wait for it. Loads retire when their data is
 * there, stores when address and data are known; a store then stays in the store queue until its
 * line is there, in order. Faults are precise: one is raised when its access is the oldest.
 */
#include "cores/translate.h"

/* The index of the oldest access that was woken, `start` being that of the oldest; removes it. One at least is there. */
static inline uint32_t take_wake(struct core *c, uint64_t *words, uint32_t start)
{
    /* From `start` to the end of its word, then the words behind it, then those before; no branch could be foreseen. */
    const uint64_t from = ~UINT64_C(0) << (start % 64), first = UINT64_C(1) << (start / 64);
    const uint64_t behind = c->woken & -(first << 1), others = behind != 0 ? behind : c->woken;
    const uint64_t elsewhere = (words[start / 64] & from) != 0 ? 0 : ~UINT64_C(0);
    const uint32_t w = (uint32_t)__builtin_ctzll((first & ~elsewhere) | (others & elsewhere));
    const uint64_t word = words[w] & (from | elsewhere), rest = words[w] ^ (word & -word);
    words[w] = rest;
    c->woken &= ~((uint64_t)(rest == 0) << w);
    return w * 64 + (uint32_t)__builtin_ctzll(word);
}

/* The number of the access at an index of the window. */
static uint64_t no_of(const struct core *c, uint32_t idx)
{
    return c->head + ((idx - c->head) & (c->window_size - 1));
}

/* ---- producers -------------------------------------------------------------------------------- */

static void wait_for(struct core *c, uint64_t producer_no, uint64_t no, unsigned slot)
{
    struct inflight *p = core_window(c, producer_no), *e = core_window(c, no);
    e->next_dependent[slot] = p->dependents;
    p->dependents = (uint16_t)(1 + ((no & (c->window_size - 1)) << 2 | slot));
}

void core_wait_for_data(struct core *c, struct inflight *e, uint64_t no, uint64_t load, uint8_t ops)
{
    e->slot_ops[SLOT_DATA] = ops;
    e->nwait_data++;
    wait_for(c, c->load_entry[load % LOAD_RING], no, SLOT_DATA);
}

/* A source of access `no` comes from the load `distance` loads back, `ops` instructions later. */
static void add_producer(struct core *c, uint64_t no, unsigned slot, uint64_t distance, uint8_t ops)
{
    if (distance == 0 || distance >= LOAD_RING || distance > c->loads_dispatched)
        return;
    struct inflight *e = core_window(c, no);
    uint64_t i = (c->loads_dispatched - distance) % LOAD_RING;
    uint64_t done = c->load_done[i];
    if (done == CYCLE_UNKNOWN) {
        e->slot_ops[slot] = ops;
        wait_for(c, c->load_entry[i], no, slot);
        if (slot == SLOT_DATA)
            e->nwait_data++;
        else
            e->nwait_addr++;
    } else if (slot == SLOT_DATA) {
        e->data_ready = u64_max(e->data_ready, done + ops);
    } else {
        e->ready = u64_max(e->ready, done + ops);
    }
}

/* Instead of the recorded producers: the load before this access, or none. */
static void add_bracket(const struct core_ctx *x, uint64_t no, const struct access_rec *r)
{
    if (x->p->core.overlap == OVERLAP_INDEPENDENT)
        return;
    uint8_t ops = 0;
    for (unsigned i = 0; i < 2; i++)
        if (r->addr_dep[i] == 1 && r->addr_ops[i] > ops)
            ops = r->addr_ops[i];
    add_producer(x->c, no, SLOT_ADDR0, 1, ops);
}

/*
 * Hands the time of a completed access to those that wait for it, from `link` on. A store that waited for its data
 * only, and for which nobody waits, is complete then and there: between now and its turn in core_run_wakes only
 * older accesses act, and they do not look at it.
 */
INLINE void tell_all(const struct core_ctx *x, struct flight *flights, struct inflight *window, uint32_t link, uint64_t done)
{
    struct core *c = x->c;
    while (link != 0) {
        const uint32_t idx = (link - 1) >> 2, slot = (link - 1) & 3;
        struct inflight *d = &window[idx];
        link = d->next_dependent[slot];
        const uint64_t ready = done + d->slot_ops[slot];
        if (slot != SLOT_DATA) {
            d->ready = u64_max(d->ready, ready);
            if (--d->nwait_addr == 0)
                core_set_wake(c, idx);
            continue;
        }
        d->data_ready = u64_max(d->data_ready, ready);
        if (--d->nwait_data != 0 || flights[idx].phase != PH_DATA)
            continue;
        if ((flights[idx].flags & ACC_STORE) && d->dependents == 0 && !lp_logs(x->lp, CE_DONE)) {
            flights[idx].done = u64_max(d->ready + 1, d->data_ready);
            flights[idx].phase = PH_DONE;
        } else {
            core_set_wake(c, idx);
        }
    }
}

static __attribute__((noinline)) void tell_dependents(const struct core_ctx *x, uint32_t link, uint64_t done)
{
    tell_all(x, core_flight(x->c, 0), core_window(x->c, 0), link, done);
}

/* Access `no`, in `f` and `e`, can retire from cycle `done` on. */
static inline void complete(const struct core_ctx *x, uint64_t no, struct flight *f, struct inflight *e, uint64_t done)
{
    struct core *c = x->c;
    f->done = done;
    f->phase = PH_DONE;
    CORE_LOG(x, DONE, no, e->vaddr, done, f->level);
    if (!(f->flags & ACC_STORE) && !e->kernel)
        c->load_done[f->place] = done;
    if (e->dependents != 0) {
        uint32_t link = e->dependents;
        e->dependents = 0;
        tell_dependents(x, link, done);
    }
}

/* ---- the access ------------------------------------------------------------------------------- */

static void mark_fault(struct core *c, struct flight *f, struct inflight *e, uint64_t at)
{
    f->phase = PH_FAULT;
    e->paddr = e->translated = at;
    c->nfaulted++;
}

static inline void store_access(const struct core_ctx *x, uint64_t no, struct flight *f, struct inflight *e,
                                uint64_t start)
{
    struct core *c = x->c;
    struct store_entry *s = core_sq(c, f->place);
    const struct served got = core_data_access(x, &(struct seen){e->vaddr, e->paddr, e->ip}, true, start,
                                               waiter_make(WAIT_STORE, f->place));
    s->fill = got.cycles == LATENCY_WAIT ? CYCLE_UNKNOWN : start + got.cycles;
    s->level = (uint32_t)got.by;
    CORE_LOG(x, DATA, no, e->vaddr, e->paddr, start, got.cycles == LATENCY_WAIT ? 0 : got.cycles,
             got.cycles == LATENCY_WAIT ? CORE_LEVEL_WAITS : got.by);
    uint64_t granule = e->vaddr >> 3;
    uint32_t slot = core_forward_slot(granule);
    c->forward[slot].key = granule;
    c->forward[slot].window_no = no;
    c->forward[slot].sq_no = s->no;
    e->ready = start;
    if (e->nwait_data != 0)
        f->phase = PH_DATA;
    else
        complete(x, no, f, e, u64_max(start + 1, e->data_ready));
}

/* A load whose data an older store still holds in the store queue; true: it takes it from there. */
static inline bool load_forwarded(const struct core_ctx *x, uint64_t no, struct flight *f, struct inflight *e,
                                  uint64_t start)
{
    struct core *c = x->c;
    uint64_t granule = e->vaddr >> 3;
    uint32_t slot = core_forward_slot(granule);
    if (c->forward[slot].key != granule || c->forward[slot].sq_no < c->sq_head ||
        c->forward[slot].window_no >= no ||
        core_store_written(c, c->forward[slot].window_no, c->forward[slot].sq_no))
        return false;
    c->stats.l1d_forwards++;
    uint64_t forward = x->p->core.forward_cycles;
    CORE_LOG(x, DATA, no, e->vaddr, e->paddr, start, forward, CORE_LEVEL_STORE_QUEUE);
    uint64_t store_no = c->forward[slot].window_no;
    e->ready = start + forward;
    if (store_no >= c->head) {
        uint64_t stored = core_flight(c, store_no)->done;
        if (stored == CYCLE_UNKNOWN) {
            e->slot_ops[SLOT_DATA] = (uint8_t)forward;
            e->nwait_data++;
            f->phase = PH_DATA;
            wait_for(c, store_no, no, SLOT_DATA);
            return true;
        }
        e->ready = u64_max(e->ready, stored + forward);
    }
    complete(x, no, f, e, e->ready);
    return true;
}

INLINE void load_access(const struct core_ctx *x, uint64_t no, struct flight *f, struct inflight *e, uint64_t start)
{
    struct core *c = x->c;
    if (load_forwarded(x, no, f, e, start))
        return;
    const struct served got = core_data_access(x, &(struct seen){e->vaddr, e->paddr, e->ip}, false, start,
                                               waiter_make(WAIT_LOAD, (uint32_t)(no & (c->window_size - 1))));
    e->ready = start;
    /* Served by L1D, but waiting for the line on its way from L2. */
    f->level = (uint8_t)(got.by == SERVED_L1 && got.cycles > x->p->l1d.latency_cycles ? SERVED_L2 : got.by);
    CORE_LOG(x, DATA, no, e->vaddr, e->paddr, start, got.cycles == LATENCY_WAIT ? 0 : got.cycles,
             got.cycles == LATENCY_WAIT ? CORE_LEVEL_WAITS : f->level);
    if (got.cycles == LATENCY_WAIT)
        f->phase = PH_MEM;
    else
        complete(x, no, f, e, start + got.cycles + (f->flags & ACC_LOCK ? x->p->core.lock_cycles : 0));
}

INLINE void translated(const struct core_ctx *x, uint64_t no, struct flight *f, struct inflight *e, struct xlate r)
{
    if (xlate_waits(r)) {
        f->phase = PH_XLATE;
        return;
    }
    if (xlate_faults(r)) {
        mark_fault(x->c, f, e, r.time);
        return;
    }
    e->paddr = r.paddr;
    e->translated = r.time;
    if (f->flags & ACC_STORE)
        store_access(x, no, f, e, r.time);
    else
        load_access(x, no, f, e, r.time);
}

/* Translates and accesses, at the touch clock; the address is known. */
INLINE void touch(const struct core_ctx *x, uint64_t no, struct flight *f, struct inflight *e)
{
    struct core *c = x->c;
    uint64_t issue = u64_max(e->ready, c->touch);
    waiter_t who = waiter_make(WAIT_LOAD, (uint32_t)(no & (c->window_size - 1)));
    f->phase = PH_XLATE;
    f->issue = issue;
    CORE_LOG(x, TOUCH, no, e->vaddr, issue);
    struct xlate r = translate_data(x, e->vaddr, f->flags & ACC_STORE, issue, who);
    f->tlb_cycles = (uint16_t)c->tlb_cycles;
    translated(x, no, f, e, r);
}

/* The same for an access that has waited. */
static __attribute__((noinline)) void touch_late(const struct core_ctx *x, uint64_t no, struct flight *f,
                                                 struct inflight *e)
{
    touch(x, no, f, e);
}

void core_touch_missed(const struct core_ctx *x, uint64_t no, struct flight *f, struct inflight *e)
{
    struct core *c = x->c;
    struct xlate r = core_look_up_data(x, e->vaddr & radix_va_mask(c->levels), f->flags & ACC_STORE, f->issue,
                                       waiter_make(WAIT_LOAD, (uint32_t)(no & (c->window_size - 1))));
    f->tlb_cycles = (uint16_t)c->tlb_cycles;
    if (!xlate_waits(r)) /* or it has its phase */
        translated(x, no, f, e, r);
}

void core_access_dispatch(const struct core_ctx *x, const struct access_rec *r, bool kernel, uint64_t at,
                          uint32_t ip)
{
    struct core *c = x->c;
    uint64_t no = c->tail++;
    struct inflight *e = core_window(c, no);
    struct flight *f = core_flight(c, no);
    if (no == c->head)
        c->rob_limit = c->ordinal + x->p->core.rob - 1;
    *f = (struct flight){.instr = c->ordinal, .done = CYCLE_UNKNOWN, .phase = PH_PARKED, .flags = r->flags};
    *e = (struct inflight){.ready = at, .data_ready = at, .vaddr = r->vaddr, .kernel = kernel, .ip = ip};
    if (x->p->core.overlap != OVERLAP_RECORDED)
        add_bracket(x, no, r);
    else if (r->addr_dep[0] | r->addr_dep[1]) {
        add_producer(c, no, SLOT_ADDR0, r->addr_dep[0], r->addr_ops[0]);
        add_producer(c, no, SLOT_ADDR1, r->addr_dep[1], r->addr_ops[1]);
    }
    if (r->flags & ACC_STORE) {
        if (r->data_dep != 0 && x->p->core.overlap != OVERLAP_INDEPENDENT)
            add_producer(c, no, SLOT_DATA, r->data_dep, r->data_ops);
        uint64_t sq_no = c->sq_tail++;
        f->place = (uint16_t)(sq_no & (c->sq_size - 1));
        *core_sq(c, sq_no) = (struct store_entry){.retired = CYCLE_UNKNOWN, .fill = CYCLE_UNKNOWN,
                                                  .no = sq_no};
        c->stats.stores += !kernel;
    } else {
        c->window_loads++;
        if (!kernel) {
            f->place = (uint16_t)(c->loads_dispatched % LOAD_RING);
            c->load_done[f->place] = CYCLE_UNKNOWN;
            c->load_entry[f->place] = (uint16_t)no;
            c->loads_dispatched++;
            c->stats.loads++;
        }
    }
    c->stats.kernel_accesses += kernel;
    CORE_LOG(x, DISPATCH, no, r->vaddr, f->instr, (r->flags & ACC_STORE) | (r->flags & ACC_LOCK), c->thread,
             kernel ? 0 : x->cfg->host->block.pcs[r->pc_id], kernel);
    if (e->nwait_addr == 0)
        touch(x, no, f, e);
}

/* ---- answers ---------------------------------------------------------------------------------- */

void core_tell_waiters(const struct core_ctx *x, waiter_t who, enum served_by level)
{
    struct core *c = x->c;
    struct flight *const flights = core_flight(c, 0);
    struct inflight *const window = core_window(c, 0);
    struct store_entry *const sq = core_sq(c, 0);
    const uint64_t at = c->touch, latency = x->p->l1d.latency_cycles;
    while (who != 0) {
        const uint32_t idx = waiter_idx(who);
        const enum waiter_kind kind = waiter_kind(who);
        if (kind == WAIT_LOAD) {
            struct flight *f = &flights[idx];
            struct inflight *e = &window[idx];
            uint64_t done = u64_max(at, e->ready + latency);
            if (f->flags & ACC_LOCK)
                done += x->p->core.lock_cycles;
            who = e->next_waiter;
            /* complete, for a load */
            f->done = done;
            f->phase = PH_DONE;
            f->level = (uint8_t)level;
            CORE_LOG(x, DONE, no_of(c, idx), e->vaddr, done, f->level);
            if (!e->kernel)
                c->load_done[f->place] = done;
            const uint32_t dependents = e->dependents;
            e->dependents = 0;
            tell_all(x, flights, window, dependents, done);
        } else if (kind == WAIT_STORE) {
            who = sq[idx].next_waiter;
            sq[idx].fill = at;
            sq[idx].level = level;
        } else {
            SIM_ASSERT(kind == WAIT_WALK, "core %u: kind %u waits for a line", x->lp->instance, kind);
            who = c->walks[idx].next_waiter;
            core_walk_data(x, idx, at, level);
        }
    }
}

/* Everything that the message in progress woke, oldest first. */
void core_run_wakes(const struct core_ctx *x)
{
    struct core *c = x->c;
    uint64_t *words = core_at(c, c->at.wake);
    const uint64_t head = c->head, mask = c->window_size - 1;
    while (c->woken != 0) {
        const uint32_t idx = take_wake(c, words, (uint32_t)(head & mask));
        const uint64_t no = head + ((idx - head) & mask);
        struct inflight *e = core_window(c, idx);
        struct flight *f = core_flight(c, idx);
        switch (f->phase) {
        case PH_PARKED:
            touch_late(x, no, f, e);
            break;
        case PH_XLATE:
            if (e->xlated == 1)
                translated(x, no, f, e, (struct xlate){u64_max(e->ready, c->touch), e->paddr});
            else
                mark_fault(c, f, e, e->paddr);
            e->xlated = 0;
            break;
        case PH_DATA:
            complete(x, no, f, e, u64_max(e->ready + (f->flags & ACC_STORE ? 1 : 0), e->data_ready));
            break;
        default:
            SIM_ASSERT(false, "core %u: access %llu woken in phase %u", x->lp->instance,
                       (unsigned long long)no, f->phase);
        }
    }
    if (c->nfaulted > 0 && (c->run == RUN_USER || c->run == RUN_ENDING))
        core_find_fault(x);
}

/* ---- retirement ------------------------------------------------------------------------------- */

/* cpi_wait_access; most accesses were complete before dispatch came to wait, or before the one that it waited for. */
static inline void charge_wait(struct core *c, uint64_t no, uint64_t done)
{
    if (done > c->slot_cycle && done > c->cpi.upto)
        cpi_wait_access(c, no);
}

bool core_retire_oldest(const struct core_ctx *x)
{
    struct core *c = x->c;
    struct flight *e = core_flight(c, c->head);
    if (e->done == CYCLE_UNKNOWN)
        return false;
    uint64_t from = u64_max(c->cpi.upto, c->slot_cycle);
    charge_wait(c, c->head, e->done);
    c->retire_cycle = u64_max(c->retire_cycle, e->done);
    CORE_LOG(x, RETIRE, c->head, core_window(c, c->head)->vaddr, e->done, c->retire_cycle, from,
             c->cpi.upto > from ? c->cpi.upto - from : 0);
    *core_retired(core_sq(c, 0), e) = c->retire_cycle;
    c->window_loads -= 1 - (e->flags & ACC_STORE);
    c->head++;
    core_set_rob_limit(c, core_flight(c, c->head), x->p->core.rob - 1);
    return true;
}

bool core_retire_all(const struct core_ctx *x)
{
    struct core *c = x->c;
    const struct flight *const flights = core_flight(c, 0);
    struct store_entry *const sq = core_sq(c, 0);
    const uint64_t mask = c->window_size - 1;
    uint64_t head = c->head, retired = c->retire_cycle, nstores = 0;
    if (lp_logs(x->lp, CE_RETIRE)) {
        while (c->head != c->tail && core_retire_oldest(x))
            ;
        return c->head == c->tail;
    }
    for (; head != c->tail && flights[head & mask].done != CYCLE_UNKNOWN; head++) {
        const struct flight *e = &flights[head & mask];
        charge_wait(c, head, e->done);
        retired = u64_max(retired, e->done);
        *core_retired(sq, e) = retired;
        nstores += e->flags & ACC_STORE;
    }
    c->window_loads -= (uint32_t)(head - c->head - nstores);
    c->head = head;
    c->retire_cycle = retired;
    core_set_rob_limit(c, core_flight(c, c->head), x->p->core.rob - 1);
    return head == c->tail;
}

static inline void write_store(struct core *c, const struct store_entry *s)
{
    if (s->fill > c->slot_cycle && s->fill > c->cpi.upto)
        cpi_wait_store(c, s->level, s->fill);
    c->sq_drained = u64_max(c->sq_drained + 1, u64_max(s->retired, s->fill));
    c->sq_head++;
}

bool core_drain_oldest_store(const struct core_ctx *x)
{
    struct core *c = x->c;
    struct store_entry *s = core_sq(c, c->sq_head);
    while (s->retired == CYCLE_UNKNOWN)
        if (!core_retire_oldest(x))
            return false;
    if (s->fill == CYCLE_UNKNOWN)
        return false;
    write_store(c, s);
    return true;
}

bool core_drain_stores(const struct core_ctx *x)
{
    struct core *c = x->c;
    while (c->sq_head != c->sq_tail) {
        const struct store_entry *s = core_sq(c, c->sq_head);
        if (s->fill == CYCLE_UNKNOWN)
            return false;
        write_store(c, s);
    }
    return true;
}

/* ---- faults ----------------------------------------------------------------------------------- */

/* Finds the fault that is next in program order, once all older accesses have their completion. */
void core_find_fault(const struct core_ctx *x)
{
    struct core *c = x->c;
    if (c->fault_at != CYCLE_UNKNOWN)
        return;
    uint64_t at = c->retire_cycle;
    for (uint64_t no = c->head; no < c->tail; no++) {
        const struct flight *e = core_flight(c, no);
        if (e->phase == PH_FAULT) {
            c->fault_at = u64_max(u64_max(at, core_window(c, no)->paddr), c->touch);
            c->fault_no = no;
            return;
        }
        if (e->done == CYCLE_UNKNOWN)
            return;
        at = u64_max(at, e->done);
    }
}

/*
 * The handler has ended: accesses whose walk found nothing walk again, oldest first, up to the first
 * that finds nothing again; those behind it wait for its handler in turn.
 */
void core_retry_faulted(const struct core_ctx *x)
{
    struct core *c = x->c;
    c->fault_at = CYCLE_UNKNOWN;
    for (uint64_t no = c->head; no < c->tail && c->nfaulted > 0; no++) {
        struct flight *f = core_flight(c, no);
        if (f->phase != PH_FAULT)
            continue;
        c->nfaulted--;
        touch_late(x, no, f, core_window(c, no));
        if (f->phase == PH_FAULT)
            break;
    }
    core_run_wakes(x);
}

/* Another thread comes: nothing is in flight any more. */
void core_window_reset(const struct core_ctx *x)
{
    struct core *c = x->c;
    SIM_ASSERT(c->head == c->tail && c->sq_head == c->sq_tail, "core %u switches threads with %llu accesses in flight",
               x->lp->instance, (unsigned long long)(c->tail - c->head));
    c->loads_dispatched = 0;
    c->spin.vaddr = UINT64_MAX;
    core_forget_recent(c);
    for (uint32_t i = 0; i < FORWARD_SLOTS; i++)
        c->forward[i].key = UINT64_MAX;
}
