/*
 * The front end: turns a thread's records and events into dispatch times.
 *
 * Instructions dispatch `width` a cycle in program order. Instruction i waits until instruction
 * i - rob has retired; a load or store waits for its queue entry; a locked access, a fence and a
 * system call wait until everything older has completed and the store queue is written. Instructions
 * between accesses touch no state, so a gap is dispatched at once as far as the window allows.
 * Retirement is as wide as dispatch, so it is never the limit by itself.
 */
#include "cores/dispatch.h"

#include "cores/fast.h"
#include "cores/spin.h"
#include "pdes/control.h"

/* ---- conditions of single items --------------------------------------------------------------- */

/*
 * Dispatch, with all else done that it can do, waits for the oldest access or (`for_line`) for the line of the
 * oldest store. Asking again finds the same until the answer comes, or a message of the kernel.
 */
static inline void stand(struct core *c, bool for_line)
{
    if (for_line)
        c->stands_at_store = c->sq_head + 1;
    else
        c->stands_at_access = c->head + 1;
}

/* All older accesses complete and stores written; false: some are unanswered. */
static bool drain(const struct core_ctx *x)
{
    struct core *c = x->c;
    if (!core_retire_all(x) || !core_drain_stores(x)) {
        stand(c, c->head == c->tail);
        return false;
    }
    uint64_t at = u64_max(c->retire_cycle, c->sq_drained);
    stall_until(c, at, &c->stats.stall_drain, CPI_BASE);
    return true;
}

void core_refuse_gap(const struct core_ctx *x)
{
    err_fatal(ERR_TRACE, "%s: thread %u, block %llu: a branch or event that stands before an access names a later instruction than the access's own",
              x->cfg->host->fe->description, x->c->thread, (unsigned long long)x->c->pos.block);
}

bool core_make_room(const struct core_ctx *x, bool store)
{
    struct core *c = x->c;
    if (store) {
        while (c->sq_tail - c->sq_head >= x->p->core.store_queue) {
            if (!core_drain_oldest_store(x))
                return false;
            stall_until(c, c->sq_drained, &c->stats.stall_sq, CPI_BASE);
        }
        return true;
    }
    while (c->window_loads >= x->p->core.load_queue) {
        if (!core_retire_oldest(x))
            return false;
        stall_until(c, c->retire_cycle, &c->stats.stall_lq, CPI_BASE);
    }
    return true;
}

/*
 * An access that waited since its instruction took its slot dispatches at `at` and takes the first
 * slot of that cycle. (One that did not wait has left the slots in the middle of its cycle, or
 * behind it.)
 */
static inline void keep_slot(const struct core_ctx *x, uint64_t at)
{
    struct core *c = x->c;
    if (c->slot_k != 0 || c->slot_cycle > at)
        return;
    c->slot_cycle = at + (x->p->core.width == 1);
    c->slot_k = x->p->core.width != 1;
}

/* ---- kernel-mode streams ---------------------------------------------------------------------- */

/* The copies of user buffers that a system call makes: one access per line, two instructions each. */
static bool injecting(const struct core *c) { return c->inject.n != 0; }

static struct access_rec next_injected(const struct core *c)
{
    return acc_marked((struct access_rec){.vaddr = c->inject.part[0].vaddr, .gap = 2, .size = 64,
                                          .flags = c->inject.part[0].store ? ACC_STORE : 0});
}

static void pass_injected(struct core *c)
{
    uint64_t next = (c->inject.part[0].vaddr & ~(LINE_BYTES - 1)) + LINE_BYTES;
    c->inject.part[0].vaddr = next;
    if (next < c->inject.part[0].end)
        return;
    c->inject.part[0] = c->inject.part[1];
    c->inject.n--;
}

static void inject(struct core *c, uint64_t vaddr, uint64_t bytes, bool store)
{
    const uint64_t most = UINT64_C(1) << 20; /* a longer copy is one of a megabyte: bounded work */
    if (vaddr == 0 || bytes == 0)
        return;
    uint32_t i = c->inject.n++;
    c->inject.part[i].vaddr = vaddr;
    c->inject.part[i].end = vaddr + u64_min(bytes, most);
    c->inject.part[i].store = store;
}

/* ---- events ----------------------------------------------------------------------------------- */

/* A call that MimicOS does not model: a fixed cost here, and the copies of its buffers. */
static void local_syscall(const struct core_ctx *x, const struct fe_event *ev)
{
    struct core *c = x->c;
    c->stats.syscalls++;
    c->stats.syscalls_local++;
    c->syscalls[u64_min(ev->a[0], CORE_SYSCALLS)]++;
    c->stats.kernel_cycles += x->p->core.syscall_cycles;
    stall_until(c, c->slot_cycle + x->p->core.syscall_cycles + x->p->core.refill_cycles, NULL, CPI_KERNEL);
    inject(c, ev->a[2], ev->a[3], false);
    inject(c, ev->a[4], ev->a[5], true);
}

static bool is_kernel_call(const struct core *c, const struct fe_event *ev)
{
    switch (ev->type) {
    case FE_MMAP:
    case FE_MUNMAP:
    case FE_MPROTECT:
    case FE_MREMAP:
    case FE_BRK:
    case FE_MADVISE:
    case FE_FUTEX_WAIT:
    case FE_FUTEX_WAKE:
    case FE_THREAD_CREATE:
        return true;
    case FE_MAP_MARK:
        return ev->a[0] > c->map_order;
    default:
        return false;
    }
}

/* The event at the thread's position, all instructions before it dispatched. */
static enum item take_event(const struct core_ctx *x, const struct fe_event *ev, uint64_t until)
{
    struct core *c = x->c;
    bool drained = is_kernel_call(c, ev) || ev->type == FE_SYSCALL || ev->type == FE_THREAD_EXIT;
    if (drained && !drain(x))
        return ITEM_BLOCKED;
    uint64_t at = u64_max(c->slot_cycle, c->touch);
    if (!act_at(x, at, u64_min(until, c->fault_at)))
        return ITEM_LATER;
    if (ev->type == FE_THREAD_EXIT) {
        c->pos.ev++;
        core_thread_exit(x, ev->a[0], at);
        return ITEM_BLOCKED;
    }
    c->pos.ev++;
    c->pos.gap_done = ev->instr_off;
    c->fetch.go = c->fetch.on;
    if (is_kernel_call(c, ev)) {
        core_call_kernel(x, ev, at);
        return ITEM_BLOCKED;
    }
    switch (ev->type) {
    case FE_IFETCH_PAGE:
        return core_fetch_page(x, ev->a[0] << PAGE_SHIFT) ? ITEM_PASSED : ITEM_BLOCKED;
    case FE_SYSCALL:
        local_syscall(x, ev);
        break;
    case FE_MAP_MARK:
        core_passed_mark(x, ev->a[0], at);
        break;
    case FE_ROI_BEGIN:
        core_tell_control(x, CTRL_ROI_BEGIN, ev->a[0], at);
        break;
    case FE_ROI_END:
        core_tell_control(x, CTRL_ROI_END, ev->a[0], at);
        break;
    case FE_SAMPLE_GAP:
    case FE_FORK:
    case FE_EXEC:
        break;
    default:
        c->stats.unknown_events++;
        break;
    }
    return ITEM_PASSED;
}

/* ---- accesses --------------------------------------------------------------------------------- */

static inline uint32_t ip_of(const struct core *c, const struct fe_block *b, const struct access_rec *r)
{
    return c->pf.on ? prefetch_ip(b->pcs[r->pc_id]) : 0;
}

static enum item take_access(const struct core_ctx *x, const struct access_rec *r, bool kernel, uint64_t until,
                             uint32_t ip)
{
    struct core *c = x->c;
    if ((r->flags & (ACC_LOCK | ACC_FENCE)) && r->gap != 0 && !drain(x))
        return ITEM_BLOCKED;
    if (!core_make_room(x, r->flags & ACC_STORE))
        return ITEM_BLOCKED;
    uint64_t at = u64_max(c->last_cycle, c->touch);
    if (!act_at(x, at, u64_min(until, c->fault_at)))
        return ITEM_LATER;
    keep_slot(x, at);
    core_access_dispatch(x, r, kernel, at, ip);
    if (c->fetch.go && !kernel)
        core_run_ahead(x, &x->cfg->host->block);
    if (c->woken != 0 || c->nfaulted > 0)
        core_run_wakes(x);
    return ITEM_PASSED;
}

/* ---- the stream ------------------------------------------------------------------------------- */

static const struct fe_block *block_of(const struct core_ctx *x)
{
    struct core_host *h = x->cfg->host;
    struct core *c = x->c;
    if (!h->loaded || h->thread != c->thread || h->block_no != c->pos.block) {
        enum err e = h->fe->ops->load(h->fe, c->thread, c->pos.block, &h->block);
        if (e != ERR_OK)
            err_end(e); /* the front end has named thread, block and offset */
        h->loaded = true;
        h->thread = c->thread;
        h->block_no = c->pos.block;
    }
    if (!fe_has(&h->block, c->pos.acc) && c->pos.acc < h->block.nacc)
        h->fe->ops->piece(h->fe, c->thread, c->pos.acc, &h->block);
    return &h->block;
}

static void tell_warm(const struct core_ctx *x)
{
    struct core *c = x->c;
    c->warm_told = 1;
    core_tell_control(x, CTRL_WARM, c->pos.ninstr, u64_max(c->slot_cycle, c->touch));
}

/* Position of the next branch in the block. */
static inline uint32_t branch_pos(const struct core *c, const struct fe_block *b)
{
    return c->pos.br < b->nbr ? b->br_at[c->pos.br].pos : UINT32_MAX;
}

/* The branches before an access, and the lines of code up to its instruction. */
static inline enum item pass_code(const struct core_ctx *x, const struct fe_block *b, const struct access_rec *r,
                                  uint64_t until)
{
    struct core *c = x->c;
    struct fetch *f = &c->fetch;
    enum item i;
    for (;;) {
        if (f->due != NO_LINE && (i = enter_due(x, b, until)) != ITEM_PASSED)
            return i;
        if (branch_pos(c, b) > c->pos.acc)
            break;
        if ((i = pass_branch(x, b, until)) != ITEM_PASSED)
            return i;
    }
    if (r->gap == 0 || !x->p->l1i.enabled)
        return ITEM_PASSED;
    uint64_t line = b->pcs[r->pc_id] >> LINE_SHIFT;
    return line == f->line ? ITEM_PASSED : enter_line(x, b, line, r->gap - 1u, until);
}

/*
 * The common case, without the questions of a whole step: accesses up to the next event or the end of
 * the piece, far from the instruction limit and the end of the warm-up. Stops (ITEM_PASSED) where the whole step must
 * look.
 */
static enum item run_accesses(const struct core_ctx *x, const struct fe_block *b, uint64_t until)
{
    struct core *c = x->c;
    bool code = x->p->l1i.enabled;
    if (code) /* the lines tell of their pages */
        while (c->pos.ev < b->nev && fe_ev(b, c->pos.ev)->type == FE_IFETCH_PAGE)
            c->pos.ev++;
    uint32_t end = b->acc_to;
    if (c->pos.ev < b->nev && b->ev_at[c->pos.ev].pos < end)
        end = b->ev_at[c->pos.ev].pos;
    uint64_t stop = x->cfg->instruction_limit != 0 ? x->cfg->instruction_limit : UINT64_MAX;
    if (x->cfg->warmup != 0 && !c->warm_told)
        stop = u64_min(stop, x->cfg->warmup);
    for (; c->pos.acc < end; c->pos.acc++, c->pos.gap_done = 0) {
        if (core_may_run_fast(x))
            core_run_fast(x, b, end, stop, until);
        if (c->pos.acc == end)
            break;
        const struct access_rec *r = fe_acc(b, c->pos.acc);
        if (r->flags & (ACC_LOCK | ACC_FENCE))
            return ITEM_PASSED;
        uint64_t n = r->gap - c->pos.gap_done;
        if (n > UINT16_MAX)
            core_refuse_gap(x);
        if (c->pos.ninstr + n >= stop)
            return ITEM_PASSED;
        if (code || branch_pos(c, b) <= c->pos.acc) {
            enum item i = pass_code(x, b, r, until);
            if (i != ITEM_PASSED)
                return i;
            n = r->gap - c->pos.gap_done;
        }
        if (n > 0) {
            uint64_t left = dispatch_instructions(x, n);
            n -= left;
            c->stats.instructions += n;
            c->pos.ninstr += n;
            c->pos.gap_done += (uint32_t)n;
            if (left != 0) {
                stand(c, false);
                return ITEM_BLOCKED;
            }
        }
        bool room = r->flags & ACC_STORE ? c->sq_tail - c->sq_head < x->p->core.store_queue
                                         : c->window_loads < x->p->core.load_queue;
        if (!room && !core_make_room(x, r->flags & ACC_STORE)) {
            stand(c, (r->flags & ACC_STORE) && core_sq(c, c->sq_head)->retired != CYCLE_UNKNOWN);
            return ITEM_BLOCKED;
        }
        if (!act_at(x, u64_max(c->last_cycle, c->touch), u64_min(until, c->fault_at)))
            return ITEM_LATER;
        keep_slot(x, c->touch);
        core_access_dispatch(x, r, false, c->touch, ip_of(c, b, r));
        spin_watch(c, b, r);
        if (c->fetch.go)
            core_run_ahead(x, b);
        if ((c->woken | c->nfaulted) != 0)
            core_run_wakes(x);
    }
    return ITEM_PASSED;
}

/* A page event at the same instruction is about the next one, which the branch leads to. */
static bool branch_first(const struct core *c, const struct fe_block *b)
{
    const struct branch_rec *br = fe_br(b, c->pos.br);
    const struct fe_event *ev = fe_ev(b, c->pos.ev);
    return b->br_at[c->pos.br].pos < b->ev_at[c->pos.ev].pos || br->instr_off < ev->instr_off ||
           (br->instr_off == ev->instr_off && ev->type == FE_IFETCH_PAGE);
}

/* One step of the thread. */
static enum item step(const struct core_ctx *x, uint64_t until)
{
    struct core *c = x->c;
    if (injecting(c)) {
        struct access_rec r = next_injected(c);
        if (c->inject.gap_done < r.gap) {
            uint64_t left = dispatch_instructions(x, r.gap - c->inject.gap_done);
            c->stats.kernel_instructions += r.gap - c->inject.gap_done - left;
            c->inject.gap_done = (uint32_t)(r.gap - left);
            if (left != 0)
                return ITEM_BLOCKED;
        }
        enum item i = take_access(x, &r, true, until, 0);
        if (i == ITEM_PASSED) {
            pass_injected(c);
            c->inject.gap_done = 0;
        }
        return i;
    }
    const struct fe_block *b = block_of(x);
    enum item i = run_accesses(x, b, until);
    if (i != ITEM_PASSED)
        return i;
    if (c->pos.acc < b->nacc && !fe_has(b, c->pos.acc))
        return ITEM_PASSED; /* the next piece first */
    if (c->fetch.due != NO_LINE && (i = enter_due(x, b, until)) != ITEM_PASSED)
        return i;
    const struct fe_event *ev = c->pos.ev < b->nev && b->ev_at[c->pos.ev].pos <= c->pos.acc ? fe_ev(b, c->pos.ev) : NULL;
    const struct branch_rec *br = branch_pos(c, b) <= c->pos.acc ? fe_br(b, c->pos.br) : NULL;
    const struct access_rec *r = c->pos.acc < b->nacc ? fe_acc(b, c->pos.acc) : NULL;
    if (br != NULL && ev != NULL && !branch_first(c, b))
        br = NULL;
    uint64_t goal = br != NULL ? br->instr_off : ev != NULL ? ev->instr_off : r != NULL ? r->gap : b->tail_gap;
    bool within = x->cfg->instruction_limit == 0 ||
                  c->pos.ninstr + goal <= x->cfg->instruction_limit + c->pos.gap_done;
    if (br != NULL && within)
        return pass_branch(x, b, until);
    if (br == NULL && ev == NULL && r != NULL && within && (i = pass_code(x, b, r, until)) != ITEM_PASSED)
        return i;
    if (!reach(x, goal))
        return ITEM_BLOCKED;
    if (c->pos.gap_done < goal) { /* the instruction limit is in between */
        c->limit_hit = 1;
        c->run = RUN_ENDING;
        return ITEM_PASSED;
    }
    if (x->cfg->warmup != 0 && !c->warm_told && c->pos.ninstr >= x->cfg->warmup) {
        if (!act_at(x, u64_max(c->slot_cycle, c->touch), u64_min(until, c->fault_at)))
            return ITEM_LATER;
        tell_warm(x);
    }
    if (ev != NULL)
        return take_event(x, ev, until);
    if (r != NULL) {
        i = take_access(x, r, false, until, ip_of(c, b, r));
        if (i == ITEM_PASSED) {
            spin_watch(c, b, r);
            c->pos.acc++;
            c->pos.gap_done = 0;
        }
        return i;
    }
    if (b->last) {
        c->run = RUN_ENDING;
        return ITEM_PASSED;
    }
    c->pos.block++;
    c->pos.acc = c->pos.ev = c->pos.br = 0;
    c->pos.gap_done = 0;
    c->fetch.ahead_br = c->fetch.stop_ev = 0;
    core_forget_path(c);
    c->fetch.go = c->fetch.on;
    return ITEM_PASSED;
}

/* The thread's stream is over: everything older completes, then the kernel hears of it. */
static enum item end_thread(const struct core_ctx *x, uint64_t until)
{
    struct core *c = x->c;
    if (!drain(x))
        return ITEM_BLOCKED;
    uint64_t at = u64_max(c->slot_cycle, c->touch);
    if (!act_at(x, at, until))
        return ITEM_LATER;
    core_thread_exit(x, 0, at);
    return ITEM_BLOCKED;
}

/* The page of the next instruction has no translation: precise, like any fault. */
static enum item raise_ifetch_fault(const struct core_ctx *x, uint64_t until)
{
    struct core *c = x->c;
    if (!drain(x))
        return ITEM_BLOCKED;
    uint64_t at = u64_max(c->slot_cycle, c->touch);
    if (!act_at(x, at, until))
        return ITEM_LATER;
    uint64_t page = c->fetch.page;
    c->ifetch_fault = 0;
    c->fetch.page = NO_LINE; /* after the handler it is looked up again */
    c->pos.ev -= !x->p->l1i.enabled;
    core_raise_fault(x, page << PAGE_SHIFT, KF_EXEC, at);
    return ITEM_BLOCKED;
}

static void raise_oldest_fault(const struct core_ctx *x)
{
    struct core *c = x->c;
    uint64_t at = u64_max(c->fault_at, c->touch);
    act_at(x, at, CYCLE_UNKNOWN);
    core_raise_fault(x, core_window(c, c->fault_no)->vaddr, core_flight(c, c->fault_no)->flags & ACC_STORE ? KF_WRITE : 0, at);
}

uint64_t core_dispatch(const struct core_ctx *x, uint64_t until)
{
    struct core *c = x->c;
    if (core_stands(c))
        return CYCLE_UNKNOWN;
    while (c->run == RUN_USER || c->run == RUN_ENDING) {
        enum item i = c->ifetch_fault       ? raise_ifetch_fault(x, until)
                      : c->ifetch_wait != 0 ? ITEM_BLOCKED
                      : c->run == RUN_USER  ? step(x, until)
                                            : end_thread(x, until);
        if (i == ITEM_PASSED || i == ITEM_AGAIN)
            continue;
        if (c->run != RUN_USER && c->run != RUN_ENDING)
            break;
        uint64_t next = i == ITEM_LATER ? c->later_at : CYCLE_UNKNOWN;
        if (c->fault_at > next || c->fault_at >= until)
            return u64_min(next, c->fault_at);
        raise_oldest_fault(x);
    }
    return CYCLE_UNKNOWN;
}
