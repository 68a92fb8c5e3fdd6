/*
 * The common case of dispatch, with what it needs of the core in registers: instructions and branches whose
 * code is here, and ordinary accesses whose places in the queues are free, or held by accesses that are
 * complete, and which hit the L1 TLB and L1D, or an older store, or a line on its way. Everything else is left to
 * the general code (dispatch.c, fetch.c, window.c), at the item at which it comes up.
 *
 * Nothing is modelled here that is not there: each step names the function whose result, for this
 * case, it gives. A run without this file has the same statistics (sim.fast_path=false; tested).
 */
#include "cores/fast.h"

#include "cores/dispatch.h"
#include "cores/fast_code.h"
#include "cores/fast_front.h"
#include "cores/l1d.h"
#include "cores/spin.h"

/* ---- an access --------------------------------------------------------------------------------- */

/* A producer `distance` loads back: raises *ready; false: it has not answered. */
INLINE bool produced(const struct core *c, const struct front *f, uint64_t distance, uint64_t ops, uint64_t *ready)
{
    if (distance - 1 >= f->nproducers)
        return true;
    uint64_t done = c->load_done[(f->loads_dispatched - distance) % LOAD_RING];
    if (done == CYCLE_UNKNOWN)
        return false;
    *ready = u64_max(*ready, done + ops);
    return true;
}

/* load_forwarded */
enum forward { FORWARD_NONE, FORWARD_DONE, FORWARD_LATER };
INLINE enum forward take_forwarded(const struct run *run, const struct front *f, uint32_t slot, uint64_t start,
                                   uint64_t *done)
{
    struct core *c = run->c;
    uint64_t store_no = c->forward[slot].window_no, sq_no = c->forward[slot].sq_no;
    uint64_t forward = run->x->p->core.forward_cycles;
    uint64_t done_head = u64_max(c->done_head, f->head), filled_head = u64_max(c->filled_head, f->sq_head);
    while (done_head < f->tail && flight_of(run, done_head)->done <= f->touch)
        done_head++;
    c->done_head = done_head;
    while (filled_head <= sq_no && run->sq[filled_head & run->sq_mask].fill <= f->touch)
        filled_head++;
    c->filled_head = filled_head;
    if (store_no < done_head && sq_no < filled_head)
        return FORWARD_NONE;
    *done = start + forward;
    if (store_no >= f->head) {
        uint64_t stored = flight_of(run, store_no)->done;
        if (stored == CYCLE_UNKNOWN)
            return FORWARD_LATER;
        *done = u64_max(*done, stored + forward);
    }
    return FORWARD_DONE;
}

/* An access that comes: what is known of it before its line is looked for. */
struct access {
    const struct access_rec *r;
    struct hit page;
    uint64_t issue, start; /* cycle its address is known; the one after the TLB */
    uint64_t data_ready;   /* of a store */
    uint64_t granule;
    uint32_t slot, ip;
    bool late; /* the data of a store comes from a load that is unanswered */
};

/* An entry of the window that is complete from the start; its place and its `done` are left to the caller. */
INLINE struct flight *add_complete(const struct run *run, struct front *f, const struct access *a, const bool write,
                                   uint8_t level)
{
    struct flight *e = flight_of(run, f->tail++);
    e->instr = f->ordinal;
    e->issue = a->issue;
    e->tlb_cycles = (uint16_t)a->page.tlb_cycles;
    e->phase = PH_DONE;
    e->flags = write ? ACC_STORE : 0;
    e->level = level;
    e->common = 1;
    f->n2m += a->page.is_2m;
    return e;
}

/* The same entry, no longer complete: it waits in `phase`. */
INLINE struct inflight *wait_in(const struct run *run, const struct front *f, struct flight *e, const struct access *a,
                                enum phase phase)
{
    struct inflight *rest = core_window(run->c, f->tail - 1);
    e->done = CYCLE_UNKNOWN;
    e->phase = (uint8_t)phase;
    e->common = 0;
    *rest = (struct inflight){.ready = a->start, .data_ready = a->data_ready, .vaddr = a->r->vaddr, .paddr = a->page.paddr,
                              .translated = a->start, .ip = a->ip};
    return rest;
}

INLINE struct flight *add_load(const struct run *run, struct front *f, const struct access *a, uint8_t level, uint64_t done)
{
    struct flight *e = add_complete(run, f, a, false, level);
    uint64_t i = f->loads_dispatched++ % LOAD_RING;
    f->nproducers += f->nproducers < LOAD_RING - 1;
    e->done = done;
    e->place = (uint16_t)i;
    run->c->load_done[i] = done;
    run->c->load_entry[i] = f->tail - 1;
    f->window_loads++;
    return e;
}

/* A store whose line is there at cycle `fill` (CYCLE_UNKNOWN: outstanding); returns its place in the store queue. */
INLINE uint32_t add_store(const struct run *run, struct front *f, const struct access *a, uint64_t fill, uint32_t level)
{
    struct core *c = run->c;
    struct flight *e = add_complete(run, f, a, true, SERVED_L1);
    uint64_t sq_no = f->sq_tail++;
    e->done = u64_max(a->start + 1, a->data_ready);
    e->place = (uint16_t)(sq_no & run->sq_mask);
    run->sq[e->place] = (struct store_entry){.retired = CYCLE_UNKNOWN, .fill = fill, .no = sq_no, .level = level};
    c->forward[a->slot].key = a->granule;
    c->forward[a->slot].window_no = f->tail - 1;
    c->forward[a->slot].sq_no = sq_no;
    if (!LIKELY(!a->late))
        core_wait_for_data(c, wait_in(run, f, e, a, PH_DATA), f->tail - 1, f->loads_dispatched - a->r->data_dep, a->r->data_ops);
    return e->place;
}

/* The outstanding line of an access that it may join as one of many; NULL: another case. */
INLINE struct miss *find_joint(struct core *c, uint64_t line)
{
    if (c->nmisses == 0 || c->miss_bucket[miss_bucket_of(line)] == 0)
        return NULL;
    struct miss *m = find_miss(c, line, false);
    return m != NULL && m->prefetch == MISS_DEMAND ? m : NULL;
}

/* load_access or store_access of a line that is outstanding. */
INLINE void join(const struct run *run, struct front *f, struct miss *m, const struct access *a, const bool write)
{
    f->nmerged++;
    if (write) {
        uint32_t place = add_store(run, f, a, CYCLE_UNKNOWN, SERVED_DRAM);
        m->for_write |= m->state == MISS_QUEUED;
        push_waiter(run->c, m, waiter_make(WAIT_STORE, place));
    } else {
        wait_in(run, f, add_load(run, f, a, SERVED_DRAM, CYCLE_UNKNOWN), a, PH_MEM);
        push_waiter(run->c, m, waiter_make(WAIT_LOAD, (uint32_t)((f->tail - 1) & run->window_mask)));
    }
}

/* core_seen_access for a store that joins a line: the prefetchers of L1D do not see it. */
INLINE void note_unseen(struct core *c, const struct access *a)
{
    c->pf.latest[a->ip % PREFETCH_LATEST] = a->r->vaddr >> LINE_SHIFT;
    c->pf.vaddr = a->r->vaddr;
    c->pf.ip = a->ip;
    c->pf.first_use = c->pf.asked_l2 = 0;
}

/* The prefetchers see an access that hit. */
INLINE void show_hit(const struct run *run, struct front *f, const struct access *a, bool seen)
{
    struct core *c = run->c;
    c->pf.latest[a->ip % PREFETCH_LATEST] = a->r->vaddr >> LINE_SHIFT;
    if (!seen)
        return;
    c->touch = f->touch;
    core_show_hit(run->x, &(struct seen){a->r->vaddr, a->page.paddr, a->ip}, a->start);
    f->walked_until = c->walked_until; /* a prefetch may have walked */
}

/*
 * core_access_dispatch for an access to a page that is here and to a line that is here or outstanding, or
 * whose data an older store has; false: it is another case, and nothing was changed.
 */
INLINE bool hit_access(const struct run *run, struct front *f, const struct access_rec *r, uint32_t ip, const bool write)
{
    struct core *c = run->c;
    struct access a = {.r = r, .issue = f->touch, .data_ready = f->touch, .granule = r->vaddr >> 3, .ip = ip};
    uint64_t done;
    a.slot = core_forward_slot(a.granule);
    if (!produced(c, f, r->addr_dep[0], r->addr_ops[0], &a.issue) || !produced(c, f, r->addr_dep[1], r->addr_ops[1], &a.issue) ||
        !find_page(run, f, r->vaddr & run->va_mask, write ? TLB_W | TLB_D : 0, a.issue, &a.page))
        return false;
    a.start = a.issue + a.page.tlb_cycles;
    if (write) {
        a.late = !produced(c, f, r->data_dep, r->data_ops, &a.data_ready);
    } else if (c->forward[a.slot].key == a.granule && c->forward[a.slot].sq_no >= f->sq_head) {
        enum forward got = take_forwarded(run, f, a.slot, a.start, &done);
        if (got == FORWARD_LATER)
            return false;
        if (got == FORWARD_DONE) {
            add_load(run, f, &a, SERVED_L1, done);
            f->nforwards++;
            return true;
        }
    }
    uint64_t line = a.page.paddr & ~(LINE_BYTES - 1), *held = l1d_recent(c, line);
    const bool news = run->prefetch && core_is_news(c, ip, r->vaddr), seen = news && (!write || run->x->p->prefetch.common.stores);
    if (held == NULL) {
        struct miss *m = seen ? NULL : find_joint(c, line);
        if (m != NULL) {
            if (news)
                note_unseen(c, &a);
            join(run, f, m, &a, write);
            return true;
        }
        held = l1d_find(c, line);
    }
    if (held == NULL || (*held & LINE_PREFETCHED))
        return false;
    uint64_t there = a.start + run->x->p->l1d.latency_cycles, comes = *held >> LINE_READY_SHIFT;
    done = u64_max(there, comes);
    if (write) {
        *held |= LINE_DIRTY;
        add_store(run, f, &a, done, SERVED_L1);
    } else {
        add_load(run, f, &a, comes > there ? SERVED_L2 : SERVED_L1, done);
    }
    if (news)
        show_hit(run, f, &a, seen);
    return true;
}

/* ---- the row of accesses ----------------------------------------------------------------------- */

/* What became of an access: it is dispatched; it acts now, in a case of its own; or it does not come to that. */
enum outcome { OUT_DONE, OUT_GENERAL, OUT_NOT };

/* `write` is a constant wherever this is used. */
INLINE enum outcome take_access(const struct run *run, struct front *f, const struct access_rec *r, uint32_t *gap_done,
                                uint32_t ip, const bool write)
{
    if (!make_way(run, f, r->gap, gap_done, write))
        return OUT_NOT;
    act_now(run, f);
    return LIKELY(hit_access(run, f, r, ip, write)) ? OUT_DONE : OUT_GENERAL;
}

/* The general code for an access that is no common case; true: others wait to run. */
static __attribute__((noinline)) bool general_access(const struct run *run, const struct access_rec *r, uint32_t ip)
{
    struct core *c = run->c;
    run->x->lp->now = time_of(run->x->cfg, c->touch);
    core_access_dispatch(run->x, r, false, c->touch, ip);
    return (c->nwakes | c->nfaulted) != 0;
}

/* The rest of the access that woke them, as in dispatch.c. */
static __attribute__((noinline)) void run_others(const struct run *run, const struct access_rec *r, uint32_t acc)
{
    struct core *c = run->c;
    spin_watch(c, run->b, r);
    if (c->fetch.go)
        core_run_ahead(run->x, run->b);
    c->pos.acc = acc + 1;
    c->pos.gap_done = 0;
    core_run_wakes(run->x);
}

void core_run_fast(const struct core_ctx *x, const struct fe_block *b, uint32_t end, uint64_t stop, uint64_t until)
{
    struct core *c = x->c;
    const struct run run = make_run(x, b, until);
    uint32_t acc = c->pos.acc, gap_done = c->pos.gap_done, br_at = branch_at(&run);
    struct front f;
    take_up(c, &f);
    /* The thread's instructions and the core's ordinals advance together; a gap is below 2^16. */
    const uint64_t left = stop > c->pos.ninstr ? stop - c->pos.ninstr : 0, stop_ordinal = f.ordinal + left;
    const bool bounded = left <= (uint64_t)(end - acc) << 16;
    for (bool ready = enter_first(&run, &f, &gap_done); ready && acc < end; acc++, gap_done = 0) {
        const struct access_rec *r = fe_acc(b, acc);
        const uint64_t pc = b->pcs[r->pc_id];
        if ((r->flags & (ACC_LOCK | ACC_FENCE)) || (bounded && f.ordinal + (r->gap - gap_done) >= stop_ordinal))
            break;
        while (acc >= br_at && pass_next_branch(&run, &f, &gap_done))
            br_at = branch_at(&run);
        if (acc >= br_at)
            break;
        if (run.code && pc >> LINE_SHIFT != c->fetch.line && r->gap != 0 &&
            !line_ready(&run, &f, pc >> LINE_SHIFT, r->gap - 1u, &gap_done))
            break;
        const uint32_t ip = run.prefetch ? prefetch_ip(pc) : 0;
        const enum outcome out = r->flags & ACC_STORE ? take_access(&run, &f, r, &gap_done, ip, true)
                                                      : take_access(&run, &f, r, &gap_done, ip, false);
        if (!LIKELY(out == OUT_DONE)) {
            if (out == OUT_NOT)
                break;
            put_back(x, &f);
            if (general_access(&run, r, ip)) {
                run_others(&run, r, acc);
                return;
            }
            take_up(c, &f);
        }
        if (r->vaddr == c->spin.vaddr)
            put_back(x, &f); /* it asks for the number of instructions */
        spin_watch(c, b, r);
        if (c->fetch.go)
            run_ahead(&run, &f);
    }
    const bool acted = acc != c->pos.acc || f.touch != c->touch;
    put_back(x, &f);
    if (acted)
        x->lp->now = time_of(x->cfg, c->touch);
    c->pos.acc = acc;
    c->pos.gap_done = gap_done;
}
