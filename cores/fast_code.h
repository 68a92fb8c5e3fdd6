/*
 * The common case of dispatch: branches, pages and lines of code. Only for fast.c, which says what all this is.
 */
#ifndef CORES_FAST_CODE_H
#define CORES_FAST_CODE_H

#include "cores/core.h"
#include "cores/dispatch.h"
#include "cores/fast_front.h"
#include "cores/l1i.h"

/* core_run_ahead, at the touch clock. */
INLINE void run_ahead(const struct run *run, struct core *f)
{
    struct fetch *fetch = &f->fetch;
    fetch->go = 0;
    if (ahead_stands(fetch))
        return;
    core_run_ahead(run->x, run->b);
}

/* Payload of a page that the L1 TLB holds and lets be executed, counted as a use; NULL: another case. */
static __attribute__((noinline)) const uint64_t *search_code_page(struct core *c, uint64_t page)
{
    const uint64_t *held = tlb_lookup(core_at(c, c->at.l1i4k), c->asid, page << PAGE_SHIFT, PAGE_SHIFT);
    if (held == NULL || !(*held & TLB_X))
        return NULL;
    note_code_page(c, page, held);
    return held;
}

/*
 * core_fetch_page at cycle `at` for the page of a line of code that the L1 TLB holds, the time that it costs
 * included; false: another case.
 */
INLINE bool enter_page(const struct run *run, struct core *c, uint64_t line, uint64_t at)
{
    uint64_t vaddr = line << LINE_SHIFT, page = page_of_line(line), latency = run->x->p->l1i4k.latency_cycles;
    uint64_t known = at + latency;
    if (vaddr != (vaddr & run->va_mask) || known < c->walked_until)
        return false;
    const struct code_page *p = code_page(c, page);
    const uint64_t *held =
        p->page == page ? sarray_use_spot(core_at(c, c->at.l1i4k), p->spot) : search_code_page(c, page);
    if (held == NULL)
        return false;
    c->touch = at;
    c->stats.itlb_l1_hits++;
    c->stats.tlb_l1_cycles += latency;
    c->tlb_cycles = latency;
    c->fetch.page = page;
    c->fetch.frame = *held & ~TLB_FLAGS;
    c->fetch.go = c->fetch.on;
    if (known > c->slot_cycle) {
        cpi_charge(c, CPI_BASE, c->slot_cycle);
        cpi_charge(c, CPI_TLB, known);
        c->last_cycle = u64_max(c->last_cycle, known);
        c->stats.stall_ifetch += known - c->slot_cycle;
        c->slot_cycle = known;
        c->slot_k = 0;
    }
    return true;
}

/* The same as line_ready, for line `e` at the head of the queue, which is of another page or comes with what is before it. */
INLINE bool head_comes(const struct run *run, struct core *c, const struct fetch_entry *e, uint32_t before)
{
    if (before > c->pos.gap_done) {
        if (!take_instructions(run, c, c->ordinal + (before - c->pos.gap_done)))
            return false;
        c->pos.gap_done = before;
    }
    if (e->ready > c->slot_cycle)
        return false;
    if (page_of_line(e->line) != c->fetch.page) {
        uint64_t at = u64_max(c->slot_cycle, c->touch);
        if (at >= run->limit || !enter_page(run, c, e->line, at))
            return false;
        if (c->fetch.go && c->slot_cycle <= c->touch)
            run_ahead(run, c);
    }
    pop_line(c);
    return true;
}

/* The same as line_ready, for such a line, wherever it is. */
static __attribute__((noinline)) bool line_comes(const struct run *run, uint64_t line, uint32_t before)
{
    struct core *c = run->c;
    const struct fetch_entry *e = next_line(&c->fetch);
    return c->fetch.head != c->fetch.tail && e->line == line && head_comes(run, c, e, before);
}

/*
 * enter_line, for the line that is next in the fetch queue and here when the instructions before it have
 * their slots; false: another case, and at most some of these have them (pos.gap_done says so).
 */
INLINE bool line_ready(const struct run *run, struct core *c, uint64_t line, uint32_t before)
{
    if (!LIKELY(line_is_here(c, line)))
        return line_comes(run, line, before);
    pop_line(c);
    return true;
}

/* Predicts the branch that prediction stands at, as core_pass_branch does; false: it is wrong. */
static __attribute__((noinline)) bool predict_here(const struct run *run, const struct branch_rec *br, uint64_t line,
                                                   uint64_t next)
{
    struct fetch *fetch = &run->c->fetch;
    if (fetch->wrong == BPRED_RIGHT)
        fetch->wrong = core_predict(run->x, run->b, br);
    if (fetch->wrong != BPRED_RIGHT)
        return false;
    goes_on(run->c, line, next);
    return true;
}

/* The access that the next branch stands before. */
INLINE uint32_t branch_at(const struct fe_block *b, uint32_t no) { return no < b->nbr ? b->br_at[no].pos : UINT32_MAX; }

/* Access `acc` of the block, if it is in the row, which ends at `end`; else `end`. */
INLINE const struct access_rec *in_row(const struct run *run, uint32_t acc, const struct access_rec *end)
{
    const struct access_rec *piece = run->b->piece;
    uint32_t at = acc - run->b->acc_from;
    return at < (uint32_t)(end - piece) ? piece + at : end;
}

/*
 * The access at which the row has to look at branches again: those before the first to see are passed by their number
 * alone, and pos.br may stay behind until then (catch_up).
 */
INLINE const struct access_rec *next_stop(const struct run *run, const struct access_rec *end)
{
    return in_row(run, branch_at(run->b, first_to_see(&run->c->fetch, run->c->pos.br)), end);
}

/* The branches that the row has passed by number alone, those before access `r` or, not `with`, before the one before it. */
static __attribute__((noinline)) void catch_up(const struct run *run, const struct access_rec *r, bool with)
{
    struct core *c = run->c;
    const uint32_t acc = run->b->acc_from + (uint32_t)(r - run->b->piece) + with, end = first_to_see(&c->fetch, c->pos.br);
    while (c->pos.br < end && branch_at(run->b, c->pos.br) < acc)
        c->pos.br++;
}

/* The row ends at `r`; `passed`: the branches before it are behind us. */
static inline const struct access_rec *leave_row(const struct run *run, const struct access_rec *r, bool passed)
{
    catch_up(run, r, passed);
    return r;
}

/* Is the instruction of access `r` one before which to stop? */
INLINE bool is_beyond(const struct run *run, const struct access_rec *r)
{
    const struct core *c = run->c;
    return c->ordinal + (r->gap - c->pos.gap_done) >= run->stop;
}

/* line_ready for the line of access `r`; false: the row ends at it. */
static __attribute__((noinline)) bool code_ready(const struct run *run, uint64_t line, const struct access_rec *r)
{
    if (is_beyond(run, r)) {
        leave_row(run, r, false);
        return false;
    }
    catch_up(run, r, true);
    return line_ready(run, run->c, line, r->gap - 1u);
}

/* A line does not come yet to which a `taken` branch went, the last of `off` instructions; or else that branch is on it. */
INLINE void note_due(struct core *c, uint64_t line, uint32_t off, uint32_t taken)
{
    c->fetch.due = taken ? line : c->fetch.due;
    c->fetch.due_off = taken ? off : c->fetch.due_off;
}

/* Branch `no`, of which prediction does not say all; false: another case, and what is before it is passed. */
static __attribute__((noinline)) bool see_branch(const struct run *run, uint32_t no)
{
    struct core *c = run->c;
    const struct fe_block *b = run->b;
    const struct branch_rec *br = fe_br(b, no);
    uint64_t line = b->pcs[br->pc_id] >> LINE_SHIFT, next = br->taken ? b->pcs[br->target_id] >> LINE_SHIFT : line;
    c->pos.br = no;
    if (line != c->fetch.line && run->code && !line_ready(run, c, line, br->instr_off > 0 ? br->instr_off - 1u : 0))
        return false;
    if (no == c->fetch.ahead_br && !predict_here(run, br, line, next))
        return false;
    c->pos.br = no + 1;
    if (next == line || !run->code)
        return true;
    if (line_ready(run, c, next, br->instr_off))
        return true;
    note_due(c, next, br->instr_off, 1);
    return false;
}

/* pass_branches, from where prediction does not know the way. */
INLINE const struct access_rec *see_branches(const struct run *run, uint32_t acc, const struct access_rec *end)
{
    uint32_t no;
    while (branch_at(run->b, no = first_to_see(&run->c->fetch, run->c->pos.br)) <= acc)
        if (!see_branch(run, no))
            return NULL;
    return next_stop(run, end);
}

/*
 * The branches before access `r`, and the lines of code that they went to. Returns the access at which to look again;
 * NULL: another case, and what is before it is passed. As far as prediction has led from line to line (first_to_see), the
 * queue says all.
 */
INLINE const struct access_rec *pass_branches(const struct run *run, const struct access_rec *r,
                                              const struct access_rec *end)
{
    struct core *c = run->c;
    const struct fetch *f = &c->fetch;
    const struct fe_block *b = run->b;
    const uint32_t acc = b->acc_from + (uint32_t)(r - b->piece);
    if (is_beyond(run, r)) {
        leave_row(run, r, false);
        return NULL;
    }
    while ((f->head != f->tail) & (c->pos.br >= f->line_br)) {
        const struct fetch_entry *e = next_line(f);
        const uint32_t taken = e->way & WAY_TAKEN, br = e->br;
        if ((e->way > WAY_TAKEN) | (c->pos.br + taken > br))
            break;
        const uint32_t at = b->br_at[br - taken].pos;
        if (at > acc)
            return in_row(run, at, end);
        c->pos.br = br;
        if ((e->ready <= c->slot_cycle) & (page_of_line(e->line) == f->page)) {
            pop_line(c);
            continue;
        }
        const uint32_t off = fe_br(b, br - taken)->instr_off;
        if (!head_comes(run, c, e, off - ((off != 0) & (taken ^ 1)))) {
            note_due(c, e->line, off, taken);
            return NULL;
        }
    }
    return see_branches(run, acc, end);
}

/* A line that a branch went to, of which the general code has seen no instruction yet. */
INLINE bool enter_first(const struct run *run)
{
    struct fetch *fetch = &run->c->fetch;
    if (LIKELY(fetch->due == NO_LINE))
        return true;
    if (!line_ready(run, run->c, fetch->due, (uint32_t)fetch->due_off))
        return false;
    fetch->due = NO_LINE;
    return true;
}

#endif
