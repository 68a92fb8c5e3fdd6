/*
 * The instruction side: branches, code pages and lines of code.
 *
 * Branches. The direction, the target and the return address of each branch are predicted in
 * program order (bpred.c). A wrong prediction is found when the branch executes, one cycle
 * after its instruction has its slot and the load that feeds it, as recorded in the trace, has
 * returned and the dependent instructions between are done; the next instruction dispatches
 * core.refill_cycles later. A right prediction of a taken branch that the BTB does not know is
 * found at decode and costs bpred.btb_miss_cycles. A right one costs nothing. The operands of a
 * branch without a load in the trace's reach are taken to be there.
 *
 * Pages. Each change of code page is looked up in the instruction TLBs: as the lines of code tell, or
 * without L1I as the page events of the trace do.
 *
 * Lines. The trace has the address of each access's instruction, of each branch and of its target;
 * between a target and the next branch code runs straight on, so the lines of code are known in
 * order. The front end is decoupled (G. Reinman, B. Calder, T. Austin, "Fetch directed instruction
 * prefetching", MICRO 1999; Y. Ishii et al., "Re-establishing fetch-directed instruction
 * prefetching", ISPASS 2021): branch prediction runs ahead along the path, one line a cycle, and
 * puts lines into a queue, looking each up in L1I when it enters. An instruction dispatches when its
 * line has come. The queue is bounded, and running ahead stops
 *   - at a branch that is predicted wrong, or is not in the BTB, until dispatch is behind it,
 *   - at a page whose translation is not in the instruction TLB or the STLB, until dispatch has
 *     translated it,
 *   - at a call of the kernel, and at the end of a trace block (it sees no further),
 *   - while all of l1i.mshrs are in use.
 * The other prefetchers look a line up when dispatch gets to it. Fetching is as many stages before
 * dispatch as core.refill_cycles says; here both carry the time of dispatch, which comes to the same
 * stall.
 *
 * Not modelled: wrong paths, and what they fetch (l1i/prefetches_useful is nearly all of them); the
 * bandwidth of L1I and of decode; instruction-TLB misses ahead of dispatch; the code of the kernel.
 * In a trace without branches nothing runs ahead.
 */
#include "cores/dispatch.h"
#include "cores/l1d.h"
#include "cores/l1i.h"

#define MAX_RUN 32u /* lines that code may run straight on without a branch */

/* ---- pages ------------------------------------------------------------------------------------ */

bool core_fetch_page(const struct core_ctx *x, uint64_t vaddr)
{
    struct core *c = x->c;
    struct fetch *f = &c->fetch;
    uint64_t start = u64_max(c->slot_cycle, c->touch);
    struct xlate r = core_translate_code(x, vaddr, start, waiter_make(WAIT_IFETCH, 0));
    f->page = vaddr >> PAGE_SHIFT;
    f->go = f->on;
    if (xlate_waits(r)) {
        c->ifetch_wait = 1;
        return false;
    }
    if (xlate_faults(r))
        c->ifetch_fault = 1;
    else
        f->frame = r.paddr & ~(PAGE_BYTES - 1);
    if (r.time > c->slot_cycle) {
        cpi_charge(c, CPI_BASE, c->slot_cycle);
        cpi_charge(c, CPI_TLB, start + c->tlb_cycles);
        stall_until(c, r.time, &c->stats.stall_ifetch, CPI_WALK);
    }
    return true;
}

void core_ifetch_released(const struct core_ctx *x, struct xlate r)
{
    struct core *c = x->c;
    if (c->ifetch_wait == 0)
        return;
    c->ifetch_wait = 0;
    if (xlate_faults(r))
        c->ifetch_fault = 1;
    else
        c->fetch.frame = r.paddr & ~(PAGE_BYTES - 1);
    stall_until(c, u64_max(r.time, c->touch), &c->stats.stall_ifetch, CPI_WALK);
}

void core_fetch_reset(const struct core_ctx *x)
{
    struct core *c = x->c;
    c->fetch = (struct fetch){.line = NO_LINE, .line_br = UNKNOWN_BRANCH, .due = NO_LINE, .ahead_line = NO_LINE,
                        .ahead_br = c->pos.br, .page = NO_LINE,
                        .on = x->p->l1i.enabled && x->p->l1i.prefetcher == L1I_FETCH_AHEAD,
                        .size = (uint32_t)x->p->l1i.fetch_queue};
    c->branch_wait = 0;
}

/* ---- lines ------------------------------------------------------------------------------------ */

static inline struct fetch_entry *queued(struct core *c, uint32_t no) { return &c->fetch.queue[no % FETCH_QUEUE_MAX]; }

void core_forget_path(struct core *c)
{
    struct fetch *f = &c->fetch;
    f->line_br = UNKNOWN_BRANCH;
    for (uint32_t i = f->head; i != f->tail; i++) {
        queued(c, i)->br = UNKNOWN_BRANCH;
        queued(c, i)->way = WAY_UNKNOWN;
    }
}

/* The lines of the page behind `line`. */
static void prefetch_behind(const struct core_ctx *x, uint64_t line, uint64_t frame, uint64_t start)
{
    for (uint64_t next = line + 1; next <= line + x->p->l1i.degree; next++)
        if (page_of_line(next) == page_of_line(line))
            core_code_prefetch(x, frame + (next << LINE_SHIFT & (PAGE_BYTES - 1)), start);
}

/*
 * Puts a line at the end of the queue, `br` and `way` with it; false: it cannot be asked for now (only when
 * `ahead`).
 */
static bool enqueue(const struct core_ctx *x, uint64_t line, uint32_t br, enum way way, uint64_t frame, uint64_t start,
                    bool ahead)
{
    struct core *c = x->c;
    uint64_t paddr = frame + (line << LINE_SHIFT & (PAGE_BYTES - 1));
    unsigned how = 0;
    x->lp->now = time_of(x->cfg, c->touch);
    uint64_t ready = core_code_access(x, paddr, start, ahead, &how);
    if (ready == CODE_REFUSED)
        return false;
    if (ahead && (how & CODE_MISSED)) {
        c->stats.l1i_prefetches++;
        how |= CODE_PREFETCHED;
    }
    if (ready == start && how == 0)
        ready = c->touch; /* hits take no bandwidth; misses begin one a cycle */
    *queued(c, c->fetch.tail++) = (struct fetch_entry){
        .line = line, .paddr = paddr, .ready = ready, .br = br, .way = (uint16_t)way,
        .ahead = (how & CODE_PREFETCHED) != 0};
    c->fetch.ahead_cycle = start;
    if ((how & CODE_MISSED) && x->p->l1i.prefetcher != L1I_NONE)
        prefetch_behind(x, line, frame, start);
    return true;
}

void core_code_arrived(const struct core_ctx *x, uint64_t paddr)
{
    struct core *c = x->c;
    for (uint32_t i = c->fetch.head; i != c->fetch.tail; i++) {
        struct fetch_entry *e = queued(c, i);
        if (e->paddr == paddr && e->ready == CYCLE_UNKNOWN)
            e->ready = c->touch;
    }
    c->fetch.go = c->fetch.on;
    if (c->ifetch_wait == 2)
        c->ifetch_wait = 0; /* dispatch looks again */
}

/* The line is not in the queue: what is there belongs to no path that we understand. */
static void demand_line(const struct core_ctx *x, uint64_t line)
{
    struct core *c = x->c;
    struct fetch *f = &c->fetch;
    f->tail = f->head;
    f->line_br = UNKNOWN_BRANCH;
    enqueue(x, line, f->ahead_br, WAY_UNKNOWN, f->frame, c->touch, false);
    f->ahead_line = line;
    f->ahead_due = 0;
}

enum item core_wait_line(const struct core_ctx *x, const struct fe_block *b, uint64_t line, uint64_t before,
                         uint64_t until)
{
    struct core *c = x->c;
    struct fetch *f = &c->fetch;
    bool reached = reach(x, before);
    /*
     * The instructions before took time: asked again now, as when dispatch is asked again after a window's
     * end. How often it is asked must not matter.
     */
    if (line_is_here(c, line)) {
        pop_line(c);
        return ITEM_PASSED;
    }
    if (!reached)
        return ITEM_BLOCKED;
    if (!act_at(x, u64_max(c->slot_cycle, c->touch), u64_min(until, c->fault_at)))
        return ITEM_LATER;
    if (page_of_line(line) != f->page) {
        if (!core_fetch_page(x, line << LINE_SHIFT))
            return ITEM_BLOCKED;
        if (c->ifetch_fault || c->slot_cycle > c->touch)
            return ITEM_AGAIN; /* the translation takes its time */
    }
    uint32_t n = f->head;
    while (n != f->tail && queued(c, n)->line != line)
        n++;
    if (n == f->tail) {
        demand_line(x, line);
        n = f->head;
    }
    if (f->on)
        core_run_ahead(x, b);
    for (uint32_t left = n + 1 - f->head; left > 0; left--) {
        struct fetch_entry *e = queued(c, f->head);
        if (e->ahead == 1 && e->ready > c->slot_cycle) {
            e->ahead = 2;
            c->stats.l1i_late++;
        }
        if (e->ready == CYCLE_UNKNOWN) {
            c->ifetch_wait = 2;
            return ITEM_BLOCKED;
        }
        if (e->ready > c->slot_cycle)
            CORE_LOG(x, FETCH, e->line << LINE_SHIFT, e->paddr, c->slot_cycle, e->ready, e->ahead != 0);
        stall_until(c, e->ready, &c->stats.stall_ifetch, CPI_FETCH);
        pop_line(c);
    }
    return ITEM_PASSED;
}

/* ---- branches --------------------------------------------------------------------------------- */

/* Predicts a branch, which goes from `pc` to `target` if it is taken, and learns its outcome. */
static inline __attribute__((always_inline)) enum bpred_miss predict(struct bpred *p, const struct branch_rec *br,
                                                                     uint64_t pc, uint64_t target)
{
    return p->design == BPRED_none ? BPRED_RIGHT : bpred_branch(p, pc, target, (enum branch_kind)br->kind, br->taken);
}

enum bpred_miss core_predict(const struct core_ctx *x, const struct fe_block *b, const struct branch_rec *br)
{
    return predict(core_at(x->c, x->c->at.bpred), br, b->pcs[br->pc_id], b->pcs[br->target_id]);
}

/* Cycle at which the load that feeds a branch has come through to it; CYCLE_UNKNOWN: unanswered. */
static uint64_t fed_at(const struct core *c, const struct branch_rec *br)
{
    if (br->dep == 0 || br->dep >= LOAD_RING || br->dep > c->loads_dispatched)
        return 0;
    uint64_t done = c->load_done[(c->loads_dispatched - br->dep) % LOAD_RING];
    return done == CYCLE_UNKNOWN ? done : done + br->ops;
}

static void count_miss(struct core *c, enum bpred_miss miss)
{
    c->stats.br_wrong_direction += miss == BPRED_WRONG_DIRECTION;
    c->stats.br_wrong_target += miss == BPRED_WRONG_TARGET;
    c->stats.br_wrong_return += miss == BPRED_WRONG_RETURN;
    c->stats.br_btb_misses += miss == BPRED_LATE_TARGET;
}

/* Dispatch has come to a branch that the front end took wrong. */
static enum item redirect(const struct core_ctx *x, const struct fe_block *b, const struct branch_rec *br,
                          enum bpred_miss miss)
{
    struct core *c = x->c;
    if (!reach(x, br->instr_off))
        return ITEM_BLOCKED;
    uint64_t slot = c->last_cycle, resolved = slot + 1, resume = resolved + x->p->bpred.btb_miss_cycles;
    if (miss != BPRED_LATE_TARGET) {
        uint64_t fed = fed_at(c, br);
        c->branch_wait = fed == CYCLE_UNKNOWN;
        if (c->branch_wait)
            return ITEM_BLOCKED;
        resolved = u64_max(slot, fed) + 1;
        resume = resolved + x->p->core.refill_cycles;
        c->stats.br_resolve_cycles += resolved - slot;
    }
    count_miss(c, miss);
    CORE_LOG(x, BRANCH, b->pcs[br->pc_id], b->pcs[br->target_id], miss, slot, resolved, resume);
    stall_until(c, resume, &c->stats.stall_branch, CPI_BRANCH);
    return ITEM_PASSED;
}

enum item core_pass_branch(const struct core_ctx *x, const struct fe_block *b, uint64_t until)
{
    struct core *c = x->c;
    struct fetch *f = &c->fetch;
    const struct branch_rec *br = fe_br(b, c->pos.br);
    uint64_t line = b->pcs[br->pc_id] >> LINE_SHIFT;
    enum item i;
    if (x->p->l1i.enabled && line != f->line &&
        (i = enter_line(x, b, line, br->instr_off > 0 ? br->instr_off - 1u : 0, until)) != ITEM_PASSED)
        return i;
    uint64_t next = br->taken ? b->pcs[br->target_id] >> LINE_SHIFT : line;
    if (c->pos.br == f->ahead_br) { /* prediction has not run ahead of it, or stands here */
        if (f->wrong == BPRED_RIGHT)
            f->wrong = core_predict(x, b, br);
        if (f->wrong != BPRED_RIGHT && (i = redirect(x, b, br, (enum bpred_miss)f->wrong)) != ITEM_PASSED)
            return i;
        f->wrong = BPRED_RIGHT;
        goes_on(c, line, next);
    }
    leave_branch(x, br, line, next);
    return ITEM_PASSED;
}

/* ---- running ahead ---------------------------------------------------------------------------- */

/* Where prediction has to wait for a call of the kernel, or ends. */
static void find_stop(struct core *c, const struct fe_block *b)
{
    struct fetch *f = &c->fetch;
    uint32_t ev = c->pos.ev, br = f->ahead_br, above = b->nbr;
    for (; ev < b->nev; ev++) {
        uint16_t type = fe_ev(b, ev)->type;
        if (type != FE_IFETCH_PAGE && type != FE_ROI_BEGIN && type != FE_ROI_END)
            break;
    }
    f->stop_ev = ev + 1;
    f->stop_br = above;
    if (ev == b->nev)
        return;
    uint32_t pos = b->ev_at[ev].pos, off = fe_ev(b, ev)->instr_off;
    while (br < above) { /* the first one behind no access that the event is before */
        uint32_t middle = br + (above - br) / 2;
        if (b->br_at[middle].pos < pos)
            br = middle + 1;
        else
            above = middle;
    }
    while (br < b->nbr && b->br_at[br].pos == pos && fe_br(b, br)->instr_off < off)
        br++;
    f->stop_br = br;
}

/* core_probe_code, at once for the page of the latest instruction and for one that is known to be in the TLB. */
static inline uint64_t probe_code(const struct core_ctx *x, struct core *c, uint64_t line)
{
    uint64_t page = page_of_line(line);
    if (page == c->fetch.page)
        return c->fetch.frame;
    const struct code_page *p = code_page(c, page);
    if (p->page != page || c->touch < c->walked_until)
        return core_probe_code(x, line << LINE_SHIFT);
    return code_page_held(c, p) & ~TLB_FLAGS;
}

/* The line enters the queue; false: not now. */
static inline bool ask_ahead(const struct core_ctx *x, struct core *c, uint64_t line, uint32_t br, enum way way)
{
    struct fetch *f = &c->fetch;
    if (f->tail - f->head >= f->size)
        return false;
    uint64_t frame = probe_code(x, c, line);
    if (frame == XLATE_NONE)
        return false;
    uint64_t paddr = frame + (line << LINE_SHIFT & (PAGE_BYTES - 1)), start = u64_max(c->touch, f->ahead_cycle + 1);
    const uint64_t *held = use_code_line(c, paddr);
    if (held == NULL || (*held & LINE_PREFETCHED) || *held >> LINE_READY_SHIFT > start)
        return enqueue(x, line, br, way, frame, start, true); /* which finds it the latest of its set, if it is there */
    c->stats.l1i_hits++;
    struct fetch_entry *e = queued(c, f->tail++);
    e->line = line;
    e->paddr = paddr;
    e->ready = c->touch;
    e->br = br;
    e->way = (uint16_t)way;
    e->ahead = 0;
    f->ahead_cycle = start;
    return true;
}

void core_run_ahead(const struct core_ctx *x, const struct fe_block *b)
{
    struct core *c = x->c;
    struct fetch *f = &c->fetch;
    f->go = 0;
    if (f->ahead_due && !ask_ahead(x, c, f->ahead_line, f->ahead_br, (enum way)f->ahead_way))
        return;
    f->ahead_due = 0;
    if (f->wrong != BPRED_RIGHT)
        return;
    if (c->pos.ev >= f->stop_ev)
        find_stop(c, b);
    struct bpred *bpred = core_at(c, c->at.bpred);
    uint64_t ahead = f->ahead_line;
    uint32_t no = f->ahead_br;
    while (no < f->stop_br) {
        const struct branch_rec *br = fe_br(b, no);
        uint64_t pc = b->pcs[br->pc_id], target = b->pcs[br->target_id], line = pc >> LINE_SHIFT;
        enum way way = WAY_TAKEN;
        if (line == ahead) {
            enum bpred_miss miss = predict(bpred, br, pc, target);
            if (miss != BPRED_RIGHT) {
                f->wrong = miss;
                break;
            }
            no++;
            if (!br->taken || target >> LINE_SHIFT == line)
                continue;
            ahead = target >> LINE_SHIFT;
        } else if (line - ahead <= MAX_RUN) {
            ahead++;
            way = ahead == line ? WAY_STRAIGHT : WAY_THROUGH;
        } else {
            break; /* no straight way to it: a signal, or instructions that were not recorded */
        }
        if (!ask_ahead(x, c, ahead, no, way)) {
            f->ahead_due = 1;
            f->ahead_way = way;
            break;
        }
    }
    f->ahead_line = ahead;
    f->ahead_br = no;
}
