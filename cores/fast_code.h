/*
 * The common case of dispatch: branches, pages and lines of code. Only for fast.c, which says what all this is.
 */
#ifndef CORES_FAST_CODE_H
#define CORES_FAST_CODE_H

#include "cores/core.h"
#include "cores/dispatch.h"
#include "cores/fast_front.h"
#include "cores/tlb.h"

/* core_run_ahead, at the touch clock. */
INLINE void run_ahead(const struct run *run, struct core *f)
{
    struct fetch *fetch = &f->fetch;
    fetch->go = 0;
    if (ahead_stands(fetch))
        return;
    core_run_ahead(run->x, run->b);
}

/*
 * core_fetch_page at cycle `at` for the page of a line of code that the L1 TLB holds, the time that it costs
 * included; false: another case.
 */
INLINE bool enter_page(const struct run *run, struct core *f, uint64_t line, uint64_t at)
{
    struct core *c = run->c;
    uint64_t vaddr = line << LINE_SHIFT, page = page_of_line(line), latency = run->x->p->l1i4k.latency_cycles;
    uint64_t known = at + latency;
    struct recent_page *r = &c->recent_code[page & c->recent_code_mask];
    if (vaddr != (vaddr & run->va_mask) || known < f->walked_until ||
        (r->page != page && !find_in_tlb(c, c->at.l1i4k, vaddr, PAGE_SHIFT, TLB_X, r)))
        return false;
    f->touch = at;
    c->stats.itlb_l1_hits++;
    c->stats.tlb_l1_cycles += latency;
    c->tlb_cycles = latency;
    c->fetch.page = page;
    c->fetch.frame = r->payload & ~TLB_FLAGS;
    c->fetch.go = c->fetch.on;
    if (known > f->slot_cycle) {
        cpi_charge(c, CPI_BASE, f->slot_cycle);
        cpi_charge(c, CPI_TLB, known);
        f->last_cycle = u64_max(f->last_cycle, known);
        c->stats.stall_ifetch += known - f->slot_cycle;
        f->slot_cycle = known;
        f->slot_k = 0;
    }
    return true;
}

/*
 * enter_line, for the line that is next in the fetch queue and here when the instructions before it have
 * their slots; false: another case, and at most some of these have them (*gap_done says so).
 */
INLINE bool line_ready(const struct run *run, struct core *f, uint64_t line, uint32_t before, uint32_t *gap_done)
{
    struct core *c = run->c;
    const struct fetch_entry *e = &c->fetch.queue[c->fetch.head];
    if (c->fetch.n == 0 || e->line != line)
        return false;
    bool same_page = page_of_line(line) == c->fetch.page;
    if ((e->ready > f->slot_cycle || !same_page) && before > *gap_done) {
        if (!take_instructions(run, f, before - *gap_done))
            return false;
        *gap_done = before;
    }
    if (e->ready > f->slot_cycle)
        return false;
    if (!same_page) {
        uint64_t at = u64_max(f->slot_cycle, f->touch);
        if (at >= run->limit || !enter_page(run, f, line, at))
            return false;
        if (f->slot_cycle <= f->touch)
            run_ahead(run, f);
    }
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
    fetch->ahead_br++;
    fetch->ahead_line = next;
    fetch->ahead_due = fetch->on & (next != line);
    fetch->go = fetch->on;
    return true;
}

/* Position of the next branch. */
INLINE uint32_t branch_at(const struct run *run)
{
    return run->c->pos.br < run->b->nbr ? run->b->br_at[run->c->pos.br].pos : UINT32_MAX;
}

/*
 * The next branch, and the line of code that it went to; false: another case, and what is before it is passed.
 */
INLINE bool pass_next_branch(const struct run *run, struct core *f, uint32_t *gap_done)
{
    struct core *c = run->c;
    struct fetch *fetch = &c->fetch;
    const struct branch_rec *br = fe_br(run->b, c->pos.br);
    const uint64_t *pcs = run->b->pcs;
    uint64_t line = pcs[br->pc_id] >> LINE_SHIFT, next = br->taken ? pcs[br->target_id] >> LINE_SHIFT : line;
    if (run->code && line != fetch->line && !line_ready(run, f, line, br->instr_off > 0 ? br->instr_off - 1u : 0, gap_done))
        return false;
    if (c->pos.br == fetch->ahead_br && !predict_here(run, br, line, next))
        return false;
    leave_branch(run->x, br, line, next);
    if (fetch->due == NO_LINE)
        return true;
    if (!line_ready(run, f, next, br->instr_off, gap_done))
        return false;
    fetch->due = NO_LINE;
    return true;
}

/* A line that a branch went to, of which the general code has seen no instruction yet. */
INLINE bool enter_first(const struct run *run, struct core *f, uint32_t *gap_done)
{
    struct fetch *fetch = &run->c->fetch;
    if (LIKELY(fetch->due == NO_LINE))
        return true;
    if (!line_ready(run, f, fetch->due, (uint32_t)fetch->due_off, gap_done))
        return false;
    fetch->due = NO_LINE;
    return true;
}

#endif
