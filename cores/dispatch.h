/*
 * What the two halves of the front end share: dispatch.c, which puts instructions into slots, and
 * fetch.c, which says when they are there to be put.
 */
#ifndef CORES_DISPATCH_H
#define CORES_DISPATCH_H

#include "cores/core.h"

/*
 * What became of the next item of a thread's stream: it is behind us; it waits for an answer;
 * it belongs to a later window; or something else comes first, and the whole step must look again.
 */
enum item { ITEM_PASSED, ITEM_BLOCKED, ITEM_LATER, ITEM_AGAIN };

/* Moves the touch clock to cycle `at` if that is below `until`; false: later, and when is noted. */
static inline bool act_at(const struct core_ctx *x, uint64_t at, uint64_t until)
{
    if (at >= until) {
        x->c->later_at = at;
        return false;
    }
    x->c->touch = at;
    x->lp->now = time_of(x->cfg, at);
    return true;
}

/* Dispatch stands where it stood: it would find and say the same again, and change nothing. */
static inline bool core_stands(struct core *c)
{
    if (c->fault_at != CYCLE_UNKNOWN)
        return false;
    if (c->stands_at_access == c->head + 1)
        return core_flight(c, c->head)->done == CYCLE_UNKNOWN;
    return c->stands_at_store == c->sq_head + 1 && core_sq(c, c->sq_head)->fill == CYCLE_UNKNOWN;
}

/*
 * Nothing dispatches before cycle `at`; the time lost goes to `*stall`, and to `cause` as far as the
 * retirement of what dispatch waited for has not given it others.
 */
static inline void stall_until(struct core *c, uint64_t at, uint64_t *stall, enum cpi_cause cause)
{
    c->last_cycle = u64_max(c->last_cycle, at);
    if (at <= c->slot_cycle)
        return;
    cpi_charge(c, CPI_BASE, c->slot_cycle);
    cpi_charge(c, cause, at);
    if (stall != NULL)
        *stall += at - c->slot_cycle;
    c->slot_cycle = at;
    c->slot_k = 0;
}

static inline void take_slots(const struct core_ctx *x, uint64_t n)
{
    struct core *c = x->c;
    uint64_t width = x->p->core.width, cycle = c->slot_cycle;
    uint64_t k = c->slot_k + n - 1; /* the last of the n instructions */
    c->ordinal += n;
    if (k >= 8 * width) {
        cycle += k / width;
        k %= width;
    }
    for (; k >= width; k -= width) /* cheaper than a division for the few that are usual */
        cycle++;
    c->last_cycle = cycle;
    bool full = ++k == width;
    c->slot_cycle = cycle + full;
    c->slot_k = full ? 0 : (uint32_t)k;
}

/*
 * Dispatches up to `n` instructions as far as the reorder buffer allows; returns how many are left
 * (0: all are dispatched), because the oldest access is unanswered.
 */
static inline uint64_t dispatch_instructions(const struct core_ctx *x, uint64_t n)
{
    struct core *c = x->c;
    while (c->ordinal + n > c->rob_limit) {
        if (c->rob_limit > c->ordinal) {
            uint64_t now = c->rob_limit - c->ordinal;
            take_slots(x, now);
            n -= now;
        }
        if (!core_retire_oldest(x))
            return n;
        stall_until(c, c->retire_cycle, &c->stats.stall_rob, CPI_BASE);
    }
    if (n > 0)
        take_slots(x, n);
    return 0;
}

/* A place in the load or store queue; false: the entry in the way is unanswered. In dispatch.c. */
bool core_make_room(const struct core_ctx *x, bool store);
/* More instructions than a gap can have are left before an access: the trace's places and gaps contradict each other. */
_Noreturn void core_refuse_gap(const struct core_ctx *x) __attribute__((cold));

/* Dispatches user instructions up to `offset` after the last access; true: all. */
static inline bool reach(const struct core_ctx *x, uint64_t offset)
{
    struct core *c = x->c;
    if (offset <= c->pos.gap_done)
        return true;
    uint64_t n = offset - c->pos.gap_done;
    if (x->cfg->instruction_limit != 0) {
        SIM_ASSERT(c->pos.ninstr <= x->cfg->instruction_limit, "core %u: beyond the instruction limit", x->lp->instance);
        uint64_t left = x->cfg->instruction_limit - c->pos.ninstr;
        if (n > left)
            n = left;
    }
    uint64_t left = dispatch_instructions(x, n);
    c->stats.instructions += n - left;
    c->pos.ninstr += n - left;
    c->pos.gap_done += (uint32_t)(n - left);
    return left == 0;
}

/* ---- fetch.c */

/* The branch at the thread's position, everything before it passed but for instructions. */
enum item core_pass_branch(const struct core_ctx *x, const struct fe_block *b, uint64_t until);
/* The instruction behind `before` ones after the last access is on `line`, another than the one before. */
enum item core_wait_line(const struct core_ctx *x, const struct fe_block *b, uint64_t line, uint64_t before,
                         uint64_t until);
/* Predicts a branch, and learns its outcome. */
enum bpred_miss core_predict(const struct core_ctx *x, const struct fe_block *b, const struct branch_rec *br);
/* Translates the page of the next instruction; false: dispatch waits for a walk. */
bool core_fetch_page(const struct core_ctx *x, uint64_t vaddr);
/* Asks for lines ahead, at the touch clock; only where prediction runs ahead. */
void core_run_ahead(const struct core_ctx *x, const struct fe_block *b);

static inline uint64_t page_of_line(uint64_t line) { return line >> (PAGE_SHIFT - LINE_SHIFT); }

/* The next entry of the queue, if there is one. */
static inline const struct fetch_entry *next_line(const struct fetch *f)
{
    return &f->queue[f->head % FETCH_QUEUE_MAX];
}

/* The head of the queue is dispatched. */
static inline void pop_line(struct core *c)
{
    struct fetch *f = &c->fetch;
    const struct fetch_entry *e = next_line(f);
    f->line = e->line;
    f->line_br = e->br;
    c->stats.l1i_useful += e->ahead != 0;
    f->head++;
    f->go |= f->ahead_due; /* to what else prediction stands at, the place in the queue makes no difference */
}

/*
 * Branches have other numbers from now on, or prediction is on a line that those in the queue did not lead it to: how it came
 * to these is not known.
 */
void core_forget_path(struct core *c);

/*
 * The next branch, `no`, or the first behind it that may not be one that prediction has passed and that stays on the
 * line of the latest instruction. Of those before it nothing comes but that they are counted.
 */
static inline uint32_t first_to_see(const struct fetch *f, uint32_t no)
{
    const struct fetch_entry *e = next_line(f);
    const bool some = f->head != f->tail;
    const uint32_t end = some ? e->br : f->ahead_br, leaves = some ? e->way & WAY_TAKEN : f->ahead_due;
    return (no >= f->line_br) & ((uint64_t)no + leaves < end) ? end - leaves : no;
}

/* Dispatch passes the branch that prediction stands at, on `line`; prediction goes on behind it, on `next`. */
static inline void goes_on(struct core *c, uint64_t line, uint64_t next)
{
    struct fetch *f = &c->fetch;
    if (__builtin_expect(f->head != f->tail, 0))
        core_forget_path(c); /* those lines led elsewhere */
    f->ahead_br++;
    f->ahead_line = next;
    f->ahead_due = f->on & (next != line);
    f->ahead_way = WAY_TAKEN;
    f->go = f->on;
}

/* core_run_ahead would change nothing now. */
static inline bool ahead_stands(const struct fetch *f)
{
    return f->ahead_due ? f->tail - f->head >= f->size : f->wrong != BPRED_RIGHT;
}

/* Is `line` the queue's next one, and here by the next slot? */
static inline bool line_is_here(const struct core *c, uint64_t line)
{
    const struct fetch *f = &c->fetch;
    const struct fetch_entry *e = next_line(f);
    return f->head != f->tail && e->line == line && e->ready <= c->slot_cycle && page_of_line(line) == f->page;
}

/* The next instruction but `before` is on `line`. */
static inline enum item enter_line(const struct core_ctx *x, const struct fe_block *b, uint64_t line,
                                   uint64_t before, uint64_t until)
{
    if (line_is_here(x->c, line)) {
        pop_line(x->c);
        return ITEM_PASSED;
    }
    return core_wait_line(x, b, line, before, until);
}

/* The branch at the thread's position, on `line`, is behind us; the next instruction is on `next`. */
static inline void leave_branch(const struct core_ctx *x, const struct branch_rec *br, uint64_t line, uint64_t next)
{
    struct core *c = x->c;
    c->stats.branches[br->kind]++;
    c->pos.br++;
    if (next != line && x->p->l1i.enabled) {
        c->fetch.due = next;
        c->fetch.due_off = br->instr_off;
    }
}

/* The same as core_pass_branch, at once when prediction has passed it and its line is there. */
static inline enum item pass_branch(const struct core_ctx *x, const struct fe_block *b, uint64_t until)
{
    const struct core *c = x->c;
    const struct branch_rec *br = fe_br(b, c->pos.br);
    uint64_t line = b->pcs[br->pc_id] >> LINE_SHIFT;
    if (c->pos.br == c->fetch.ahead_br || line != c->fetch.line)
        return core_pass_branch(x, b, until);
    leave_branch(x, br, line, br->taken ? b->pcs[br->target_id] >> LINE_SHIFT : line);
    return ITEM_PASSED;
}

/* A taken branch went to another line. */
static inline enum item enter_due(const struct core_ctx *x, const struct fe_block *b, uint64_t until)
{
    struct fetch *f = &x->c->fetch;
    enum item i = enter_line(x, b, f->due, f->due_off, until);
    if (i == ITEM_PASSED)
        f->due = NO_LINE;
    return i;
}

#endif
