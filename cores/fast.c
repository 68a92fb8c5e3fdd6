/*
 * The common case of dispatch: instructions and branches whose code is here, and ordinary accesses whose address is
 * known and whose page an L1 TLB has, wherever their line is; with the retirement and the waits that they need as far as
 * the cycle at which these end is known. An access whose page no L1 TLB has is handed to translation with what is known of
 * it. Everything else is left to the general code (dispatch.c, fetch.c, window.c), at the item at which it comes up: addresses
 * that an unanswered load gives, pages whose walks are under way, locked accesses, events, wrong branches.
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

/*
 * The cycle from which on the load `distance` loads back allows what comes `ops` instructions later; from CYCLE_UNKNOWN
 * on: it has not answered; 0: it is none of the latest `reach`. Without jumps, which could not be foreseen.
 */
INLINE uint64_t produced(const struct core *c, uint64_t reach, uint64_t distance, uint64_t ops)
{
    const uint64_t done = c->load_done[(c->loads_dispatched - distance) % LOAD_RING];
    return (done + ops) & -(uint64_t)(distance - 1 < reach);
}

/* core_store_written, where looking at the store alone does not tell. */
static __attribute__((noinline)) bool is_written(struct core *c, uint64_t store_no, uint64_t sq_no)
{
    return core_store_written(c, store_no, sq_no);
}

/*
 * load_forwarded, for a load of a granule that a store in `slot` wrote. The cycle at which it has its data; FORWARD_NOT:
 * not from the store; from CYCLE_UNKNOWN on: the store has none yet. Mostly the store itself tells, as one that
 * core_store_written knows, or one that is not complete or without its line; which of them cannot be foreseen.
 */
#define FORWARD_NOT UINT64_C(0)
INLINE uint64_t take_forwarded(const struct run *run, struct core *c, uint32_t slot, uint64_t start)
{
    const uint64_t store_no = c->forward[slot].window_no, sq_no = c->forward[slot].sq_no;
    const uint64_t stored = flight_of(run, store_no)->done & -(uint64_t)(store_no >= c->head);
    const uint64_t held = u64_max(run->sq[sq_no & run->sq_mask].fill, stored) > c->touch;
    /* Both are below: the top bit of the differences, as gcc would make jumps of two comparisons. */
    uint64_t written = ((sq_no - u64_max(c->filled_head, c->sq_head)) & (store_no - u64_max(c->done_head, c->head))) >> 63;
    if (!LIKELY((written | held) != 0))
        written = is_written(c, store_no, sq_no);
    return (u64_max(start, stored) + run->forward_cycles) & (written - 1);
}

/* An access that comes: what is known of it before its line is looked for. */
struct access {
    const struct access_rec *r;
    struct hit page;
    uint64_t issue, start; /* cycle its address is known; the one after the TLB */
    uint64_t data_ready;   /* of a store; from CYCLE_UNKNOWN on: its data comes from a load that is unanswered */
    uint32_t ip;
};

/* An entry of the window that is complete from the start. */
INLINE struct flight *add_complete(const struct run *run, struct core *c, const struct access *a, const bool write,
                                   uint8_t level, uint64_t place, uint64_t done)
{
    uint64_t no = c->tail++;
    struct flight *e = flight_of(run, no);
    e->instr = c->ordinal;
    e->done = done;
    e->issue = a->issue;
    e->tlb_cycles = (uint16_t)a->page.tlb_cycles;
    e->place = (uint16_t)place;
    e->phase = PH_DONE;
    e->flags = write ? ACC_STORE : 0;
    e->level = level;
    e->common = 1;
    return e;
}

/* The same entry, no longer complete: it waits in `phase`. */
static struct inflight *wait_in(struct core *c, struct flight *e, const struct access *a, enum phase phase)
{
    struct inflight *rest = core_window(c, c->tail - 1);
    e->done = CYCLE_UNKNOWN;
    e->phase = (uint8_t)phase;
    e->common = 0;
    *rest = (struct inflight){.ready = a->start, .data_ready = c->touch, .vaddr = a->r->vaddr, .paddr = a->page.paddr,
                              .translated = a->start, .ip = a->ip};
    return rest;
}

INLINE struct flight *add_load(const struct run *run, struct core *c, const struct access *a, uint8_t level, uint64_t done)
{
    uint64_t i = c->loads_dispatched++ % LOAD_RING;
    c->load_done[i] = done;
    c->load_entry[i] = (uint16_t)c->tail;
    c->window_loads++;
    return add_complete(run, c, a, false, level, i, done);
}

/* A load of a line that is in L1D as of cycle `comes`. */
static __attribute__((noinline)) void add_load_of_l2(const struct run *run, const struct access *a, uint64_t comes)
{
    add_load(run, run->c, a, SERVED_L2, comes);
}

/* The entry of a store whose data comes from a load that is unanswered. */
static __attribute__((noinline)) void wait_for_data(struct core *c, struct flight *e, const struct access *a)
{
    core_wait_for_data(c, wait_in(c, e, a, PH_DATA), c->tail - 1, c->loads_dispatched - a->r->data_dep, a->r->data_ops);
}

/* A store whose line is there at cycle `fill` (CYCLE_UNKNOWN: outstanding); returns its place in the store queue. */
INLINE uint32_t add_store(const struct run *run, struct core *c, const struct access *a, uint64_t fill, uint32_t level)
{
    uint64_t sq_no = c->sq_tail++, place = sq_no & run->sq_mask, granule = a->r->vaddr >> 3;
    uint32_t slot = core_forward_slot(granule);
    struct store_entry *s = &run->sq[place];
    s->retired = CYCLE_UNKNOWN;
    s->fill = fill;
    s->no = sq_no;
    s->next_waiter = 0;
    s->level = level;
    c->forward[slot].key = granule;
    c->forward[slot].window_no = c->tail;
    c->forward[slot].sq_no = sq_no;
    struct flight *e = add_complete(run, c, a, true, SERVED_L1, place, u64_max(a->start + 1, a->data_ready));
    if (!LIKELY(a->data_ready < CYCLE_UNKNOWN)) {
        struct access copy = *a; /* so that the usual case needs it in no memory */
        wait_for_data(c, e, &copy);
    }
    return (uint32_t)place;
}

/* core_seen_access for a store that joins a line: the prefetchers of L1D do not see it. */
static void note_unseen(struct core *c, const struct access *a)
{
    c->pf.latest[a->ip % PREFETCH_LATEST] = a->r->vaddr >> LINE_SHIFT;
    c->pf.vaddr = a->r->vaddr;
    c->pf.ip = a->ip;
    c->pf.first_use = c->pf.asked_l2 = 0;
}

/* The access shows the prefetchers a new line, and that of L1D sees it if `write` does not keep it from that. */
INLINE bool is_news(const struct run *run, const struct core *c, const struct access *a)
{
    return core_is_news(c, a->ip, a->r->vaddr) & run->prefetch;
}
INLINE bool is_seen(const struct run *run, const bool write) { return !write || run->show_stores; }

/* load_access of a line that is outstanding. Its parameters are those of struct access, in registers. */
static __attribute__((noinline)) void join_load(struct run *run, struct miss *m, const struct access_rec *r,
                                                uint64_t issue, uint64_t start, uint64_t paddr, uint32_t ip)
{
    struct core *c = run->c;
    const struct access a = {.r = r, .page = {.paddr = paddr, .tlb_cycles = start - issue}, .issue = issue, .start = start,
                             .data_ready = c->touch, .ip = ip};
    run->row.nmerged++;
    const uint32_t idx = (uint32_t)(c->tail & run->window_mask);
    struct inflight *e = wait_in(c, add_load(run, c, &a, SERVED_DRAM, CYCLE_UNKNOWN), &a, PH_MEM);
    append_waiter(c, m, waiter_make(WAIT_LOAD, idx), &e->next_waiter);
}

/* store_access of a line that is outstanding. */
static __attribute__((noinline)) void join_store(struct run *run, struct miss *m, const struct access *a)
{
    struct core *c = run->c;
    if (is_news(run, c, a))
        note_unseen(c, a);
    run->row.nmerged++;
    const uint32_t place = add_store(run, c, a, CYCLE_UNKNOWN, SERVED_DRAM);
    m->for_write |= m->state == MISS_QUEUED;
    m->store_waits = 1;
    append_waiter(c, m, waiter_make(WAIT_STORE, place), &run->sq[place].next_waiter);
}

/*
 * The outstanding line of an access, which joins it as one of many; NULL: none, or another case. Not for what the
 * prefetchers have to be shown; and the line may be outstanding without being the first in its place.
 */
INLINE struct miss *find_joint(const struct run *run, struct core *c, const struct access *a, uint64_t line, const bool write)
{
    struct miss *m = first_miss(c, line);
    const bool shown = is_news(run, c, a) & is_seen(run, write);
    return (m->line == line) & (m->kind != LINE_CODE) & (m->prefetch == MISS_DEMAND) & !shown ? m : NULL;
}

static __attribute__((noinline)) uint64_t *find_other_line(struct core *c, uint64_t line) { return l1d_find(c, line); }

/* load_access or store_access of any other line: one that misses L1D, or that a prefetch brought. */
static __attribute__((noinline)) void access_line(struct run *run, const struct access *a, bool write)
{
    struct core *c = run->c;
    const uint32_t at = (uint32_t)(c->tail & run->window_mask);
    const struct seen s = {a->r->vaddr, a->page.paddr, a->ip};
    run->x->lp->now = time_of(run->x->cfg, c->touch);
    run->row.nothers++;
    if (write) {
        uint32_t place = add_store(run, c, a, CYCLE_UNKNOWN, SERVED_DRAM);
        const struct served got = core_data_access(run->x, &s, true, a->start, waiter_make(WAIT_STORE, place));
        if (got.cycles != LATENCY_WAIT) {
            run->sq[place].fill = a->start + got.cycles;
            run->sq[place].level = (uint32_t)got.by;
        }
    } else {
        struct flight *e = add_load(run, c, a, SERVED_DRAM, CYCLE_UNKNOWN);
        wait_in(c, e, a, PH_MEM);
        const struct served got = core_data_access(run->x, &s, false, a->start, waiter_make(WAIT_LOAD, at));
        if (got.cycles != LATENCY_WAIT) {
            e->done = c->load_done[e->place] = a->start + got.cycles;
            e->phase = PH_DONE;
            e->level = (uint8_t)(got.by == SERVED_L1 && got.cycles > run->cycles_l1d ? SERVED_L2 : got.by);
        }
    }
    SIM_ASSERT((c->woken | c->nfaulted) == 0, "core %u: an access to a line woke another", run->x->lp->instance);
}

/*
 * core_access_dispatch for an access whose address is known, to a page that an L1 TLB has; false: it is another case,
 * and nothing was changed. `write` is a constant wherever this is used.
 */
INLINE bool hit_access(struct run *run, struct core *c, const struct access_rec *r, uint32_t ip, const bool write)
{
    struct access a = {.r = r, .issue = c->touch, .data_ready = c->touch, .ip = ip};
    if (write || !(r->flags & run->bare)) { /* few stores have none, and which cannot be foreseen */
        const uint64_t reach = u64_min(c->loads_dispatched, LOAD_RING - 1);
        a.issue = u64_max(a.issue, produced(c, reach, r->addr_dep[0], r->addr_ops[0]));
        a.issue = u64_max(a.issue, produced(c, reach, r->addr_dep[1], r->addr_ops[1]));
        if (a.issue >= CYCLE_UNKNOWN)
            return false;
        if (write)
            a.data_ready = u64_max(a.data_ready, produced(c, reach, r->data_dep, r->data_ops));
    }
    if (!find_page(run, c, r->vaddr & run->va_mask, write ? TLB_W | TLB_D : 0, a.issue, &a.page)) {
        run->row.issue = a.issue;
        run->row.data_ready = a.data_ready;
        return false;
    }
    a.start = a.issue + a.page.tlb_cycles;
    if (!write) {
        uint64_t granule = r->vaddr >> 3;
        uint32_t slot = core_forward_slot(granule);
        if (c->forward[slot].key == granule) {
            uint64_t done = take_forwarded(run, c, slot, a.start);
            if (done != FORWARD_NOT) {
                if (!LIKELY(done < CYCLE_UNKNOWN)) {
                    run->row.n2m -= a.page.tlb_cycles == run->cycles_2m; /* if both sizes take as long, it tells nothing */
                    return false;
                }
                add_load(run, c, &a, SERVED_L1, done);
                run->row.nforwards++;
                return true;
            }
        }
    }
    uint64_t line = a.page.paddr & ~(LINE_BYTES - 1), *held = l1d_recent(c, line);
    if (!LIKELY(held != NULL)) {
        struct miss *m = c->nmisses == 0 ? NULL : find_joint(run, c, &a, line, write);
        if (m != NULL && write) {
            struct access copy = a; /* so that the usual case needs it in no memory */
            join_store(run, m, &copy);
            return true;
        }
        if (m != NULL) {
            join_load(run, m, r, a.issue, a.start, a.page.paddr, ip);
            return true;
        }
        held = find_other_line(c, line);
    }
    if (held == NULL || (*held & LINE_PREFETCHED)) {
        struct access copy = a;
        access_line(run, &copy, write);
        return true;
    }
    uint64_t there = a.start + run->cycles_l1d, comes = *held >> LINE_READY_SHIFT;
    if (write) {
        *held |= LINE_DIRTY;
        add_store(run, c, &a, u64_max(there, comes), SERVED_L1);
    } else if (LIKELY(comes <= there)) {
        add_load(run, c, &a, SERVED_L1, there);
    } else {
        struct access copy = a;
        add_load_of_l2(run, &copy, comes);
    }
    if (core_is_news(c, ip, r->vaddr) && run->prefetch) {
        c->pf.latest[ip % PREFETCH_LATEST] = r->vaddr >> LINE_SHIFT;
        if (is_seen(run, write))
            core_show_hit(run->x, &(struct seen){r->vaddr, a.page.paddr, ip}, a.start);
    }
    return true;
}

/* ---- the row of accesses ----------------------------------------------------------------------- */

/* What became of an access: it is dispatched; it acts now, in a case of its own; or it does not come to that. */
enum outcome { OUT_DONE, OUT_GENERAL, OUT_NOT };

/* The place that an access needs in a queue that is full, and its cycle; NO_CYCLE: it does not come to that. */
#define NO_CYCLE UINT64_MAX
static __attribute__((noinline)) uint64_t wait_and_act(const struct run *run, const bool write)
{
    return wait_for_room(run, write) && act_late(run, run->c) ? run->c->touch : NO_CYCLE;
}

/* An access that acts at cycle `at` if it finds room; see act_now. */
INLINE enum outcome take_access(struct run *run, struct core *c, const struct access_rec *r, uint32_t ip, uint64_t at,
                                const bool write)
{
    if (!LIKELY(has_room(run, c, write)))
        at = wait_and_act(run, write);
    if (!act_now(run, c, at))
        return OUT_NOT;
    return LIKELY(hit_access(run, c, r, ip, write)) ? OUT_DONE : OUT_GENERAL;
}

/*
 * core_access_dispatch for an access whose address is known, to a page that no L1 TLB has. It counts itself, as it does
 * there.
 */
static void miss_tlb(const struct run *run, const struct access_rec *r, uint32_t ip)
{
    struct core *c = run->c;
    const struct access a = {.r = r, .issue = run->row.issue, .ip = ip};
    const uint64_t no = c->tail;
    struct flight *f;
    if (r->flags & ACC_STORE) {
        const uint64_t sq_no = c->sq_tail++, place = sq_no & run->sq_mask;
        run->sq[place] = (struct store_entry){.retired = CYCLE_UNKNOWN, .fill = CYCLE_UNKNOWN, .no = sq_no};
        f = add_complete(run, c, &a, true, SERVED_L1, place, CYCLE_UNKNOWN);
        c->stats.stores++;
    } else {
        f = add_load(run, c, &a, SERVED_L1, CYCLE_UNKNOWN);
        c->stats.loads++;
    }
    struct inflight *e = wait_in(c, f, &a, PH_XLATE);
    e->ready = a.issue;
    if (!(r->flags & ACC_STORE) || run->row.data_ready < CYCLE_UNKNOWN)
        e->data_ready = run->row.data_ready;
    else
        core_wait_for_data(c, e, no, c->loads_dispatched - r->data_dep, r->data_ops);
    core_touch_missed(run->x, no, f, e);
}

/* The general code for an access that is no common case; true: others wait to run. */
static __attribute__((noinline)) bool general_access(struct run *run, const struct access_rec *r, uint32_t ip)
{
    struct core *c = run->c;
    run->x->lp->now = time_of(run->x->cfg, c->touch);
    if (c->l1_missed_page != UINT64_MAX)
        miss_tlb(run, r, ip);
    else
        core_access_dispatch(run->x, r, false, c->touch, ip);
    c->l1_missed_page = UINT64_MAX;
    /* It has counted itself. */
    if (r->flags & ACC_STORE)
        run->row.sq_tail++;
    else
        run->row.loads++;
    return (c->woken | c->nfaulted) != 0;
}

/* The rest of the access that woke them, as in dispatch.c. */
static __attribute__((noinline)) void run_others(struct run *run, const struct access_rec *r)
{
    struct core *c = run->c;
    count_row(run);
    spin_watch(c, run->b, r);
    if (c->fetch.go)
        core_run_ahead(run->x, run->b);
    c->pos.acc++;
    c->pos.gap_done = 0;
    core_run_wakes(run->x);
}

/* An access to the address of the one before. */
static __attribute__((noinline)) void watch_again(struct run *run, const struct access_rec *r)
{
    count_instructions(run->c, &run->row); /* it asks for their number */
    spin_watch(run->c, run->b, r);
}

/* The access needs what the row has not: a fence, a place, an answer, time. The instructions up to its own have their slots. */
static __attribute__((noinline)) const struct access_rec *leave_access(const struct run *run, const struct access_rec *r)
{
    run->c->pos.gap_done = r->gap;
    return leave_row(run, r, true);
}

/*
 * The instructions up to that of access `r`, with ordinal `last`, its place and its cycle, where not all of it is as usual.
 * NO_CYCLE: the row ends at it. The first access of a row comes this way, for act_now's sake.
 */
static __attribute__((noinline)) uint64_t come_late(struct run *run, const struct access_rec *r, uint64_t last)
{
    struct core *c = run->c;
    const bool write = r->flags & ACC_STORE, more = last != c->ordinal;
    if (more && (last >= run->stop || !take_instructions(run, c, last))) {
        leave_row(run, r, last < run->stop);
        return NO_CYCLE;
    }
    if ((r->flags & (ACC_LOCK | ACC_FENCE)) || (!has_room(run, c, write) && !wait_for_room(run, write)) || !act_late(run, c)) {
        leave_access(run, r);
        return NO_CYCLE;
    }
    if (more) /* of an empty window, this access sets the limit */
        run->fits = u64_min(c->head == c->tail ? last : c->rob_limit, run->stop - 1);
    return c->touch;
}

/* The accesses from r on; returns the first that is another case, whose place in the block is not yet noted. */
static const struct access_rec *run_row(struct run *run, const struct access_rec *r, const struct access_rec *end)
{
    struct core *c = run->c;
    const uint64_t *const pcs = run->b->pcs;
    const struct access_rec *stop_at = next_stop(run, end);
    if (c->ordinal >= run->stop)
        return leave_row(run, r, false);
    for (;; r++) {
        if (r >= stop_at) {
            if (r == end)
                return leave_row(run, r, false);
            stop_at = pass_branches(run, r, end);
            if (stop_at == NULL)
                return r;
        }
        const uint64_t pc = pcs[r->pc_id];
        if (pc >> LINE_SHIFT != c->fetch.line && run->code && r->gap != 0) {
            if (!code_ready(run, pc >> LINE_SHIFT, r))
                return r;
            stop_at = next_stop(run, end);
        }
        const uint64_t n = r->gap - c->pos.gap_done, last = c->ordinal + n; /* its own ordinal */
        uint64_t at; /* its cycle */
        if (LIKELY(n != 0) && LIKELY(last <= run->fits))
            at = take_next_slots(run, c, n);
        else if ((at = come_late(run, r, last)) == NO_CYCLE)
            return r;
        c->pos.gap_done = 0;
        const uint32_t ip = prefetch_ip(pc), kind = r->flags & (ACC_STORE | ACC_LOCK | ACC_FENCE);
        const enum outcome out = kind == 0           ? take_access(run, c, r, ip, at, false)
                                 : kind == ACC_STORE ? take_access(run, c, r, ip, at, true)
                                                     : OUT_NOT;
        if (!LIKELY(out == OUT_DONE)) {
            if (out == OUT_NOT)
                return leave_access(run, r);
            if (general_access(run, r, ip)) {
                catch_up(run, r, true);
                c->pos.acc = run->b->acc_from + (uint32_t)(r - run->b->piece);
                run_others(run, r);
                return NULL;
            }
        }
        if (LIKELY(r->vaddr != c->spin.vaddr)) {
            c->spin.vaddr = r->vaddr;
            c->spin.rounds = 0;
        } else {
            watch_again(run, r);
        }
        if (c->fetch.go)
            run_ahead(run, c);
    }
}

void core_run_fast(const struct core_ctx *x, const struct fe_block *b, uint32_t end, uint64_t stop, uint64_t until)
{
    struct core *c = x->c;
    struct run run;
    begin_run(&run, x, b, stop, until);
    const struct access_rec *r = fe_acc(b, c->pos.acc), *first = r;
    const uint64_t touch = c->touch;
    if (enter_first(&run)) /* which may take slots */
        r = run_row(&run, r, fe_acc(b, end));
    if (r == NULL)
        return;
    count_row(&run);
    if (r != first || c->touch != touch)
        x->lp->now = time_of(x->cfg, c->touch);
    c->pos.acc = b->acc_from + (uint32_t)(r - b->piece);
}
