/*
 * What translate.c shares: which TLB a page belongs to, the pages used latest, for which a translation is a comparison, and
 * when it may be used.
 */
#ifndef CORES_TRANSLATE_H
#define CORES_TRANSLATE_H

#include "cores/core.h"
#include "cores/tlb.h"

/* The access in the log; the front end has no number. */
static inline uint64_t log_number(const struct core *c, waiter_t who)
{
    if (waiter_kind(who) != WAIT_LOAD)
        return CORE_LOG_FETCH;
    return c->head + ((waiter_idx(who) - c->head) & (c->window_size - 1));
}

static inline struct mmu_view mmu_view_of(const struct core_ctx *x, uint32_t asid)
{
    return (struct mmu_view){.state = core_at(x->c, x->c->at.mmu), .params = x->p->mmu[x->p->core.mmu],
                             .ptmem = x->cfg->ptmem, .now = x->lp->now, .asid = asid};
}

static inline struct sarray *array_at(struct core *c, uint64_t offset) { return core_at(c, offset); }

/* ---- TLBs ------------------------------------------------------------------------------------- */

/* What a TLB holds for an address; payload NULL: nothing. */
struct tlb_hit {
    uint64_t *payload;
    unsigned shift;
};

static inline struct sarray *l1_of(struct core *c, bool exec, unsigned shift)
{
    if (exec)
        return shift == PAGE_SHIFT ? array_at(c, c->at.l1i4k) : array_at(c, c->at.l1i2m);
    if (shift == PAGE_SHIFT)
        return array_at(c, c->at.l1d4k);
    return shift == PAGE_SHIFT_2M ? array_at(c, c->at.l1d2m) : array_at(c, c->at.l1d1g);
}

static inline struct sarray *stlb_of(const struct core_ctx *x, unsigned shift)
{
    struct core *c = x->c;
    struct sarray *own_1g = array_at(c, c->at.stlb1g);
    if (shift != PAGE_SHIFT_1G)
        return array_at(c, c->at.stlb);
    return own_1g->nways != 0 || !x->p->stlb.share_1g ? own_1g : array_at(c, c->at.stlb);
}

/* Allowed by the entry's flags? x86 faults otherwise, and the kernel decides. */
static inline bool permits(uint64_t payload, bool write, bool exec)
{
    return (!write || (payload & TLB_W)) && (!exec || (payload & TLB_X));
}

/* ---- pages used latest ------------------------------------------------------------------------ */

static inline struct recent_page *recent_4k(struct core *c, uint64_t vaddr)
{
    return &c->recent_4k[(vaddr >> PAGE_SHIFT) & c->recent_4k_mask];
}

static inline struct recent_page *recent_2m(struct core *c, uint64_t vaddr)
{
    return &c->recent_2m[(vaddr >> PAGE_SHIFT_2M) & c->recent_2m_mask];
}

static inline void note_recent(struct core *c, uint64_t vaddr, unsigned shift, uint64_t payload)
{
    if (shift == PAGE_SHIFT)
        *recent_4k(c, vaddr) = (struct recent_page){vaddr >> PAGE_SHIFT, payload};
    else if (shift == PAGE_SHIFT_2M)
        *recent_2m(c, vaddr) = (struct recent_page){vaddr >> PAGE_SHIFT_2M, payload};
}

/* Whatever page of its set was used latest is so no more. */
static inline void forget_recent(struct core *c, uint64_t vaddr, unsigned shift)
{
    if (shift == PAGE_SHIFT)
        recent_4k(c, vaddr)->page = UINT64_MAX;
    else if (shift == PAGE_SHIFT_2M)
        recent_2m(c, vaddr)->page = UINT64_MAX;
}

/* ---- translations ----------------------------------------------------------------------------- */

/* When a translation found in a TLB at cycle `t` may be used: not before the walk that filled it ended. */
uint64_t core_usable_after(const struct core_ctx *x, uint64_t vaddr, uint64_t t); /* some walk ends after `t` */
static inline uint64_t usable_at(const struct core_ctx *x, uint64_t vaddr, uint64_t t)
{
    return t >= x->c->walked_until ? t : core_usable_after(x, vaddr, t);
}

/* An MMU for which everything is free. */
struct xlate core_translate_ideal(const struct core_ctx *x, uint64_t vaddr, bool write, bool exec, uint64_t issue,
                                  waiter_t who);
/*
 * Everything free: the TLB arrays only save this host the lookup in the tables, nothing is charged
 * or counted.
 */
struct xlate core_translate_free(const struct core_ctx *x, uint64_t vaddr, bool write, bool exec, uint64_t t);
/*
 * A walk that nobody waits for but a prefetch. It needs a walker that is free now, and nobody may walk
 * to that page or wait for a walker.
 */
struct xlate core_walk_ahead(const struct core_ctx *x, uint64_t vaddr, uint64_t asked, uint32_t ip);
/* Not one of the pages used latest: the TLBs, and what is behind them. */
struct xlate core_look_up_data(const struct core_ctx *x, uint64_t vaddr, bool write, uint64_t issue, waiter_t who);

/* The page at `r`, of 1 << shift bytes, which an L1 data TLB used latest, found after `cycles`. */
INLINE struct xlate use_recent(const struct core_ctx *x, uint64_t vaddr, const struct recent_page *r,
                               const unsigned shift, uint64_t issue, waiter_t who, uint64_t cycles)
{
    struct core *c = x->c;
    c->stats.dtlb_l1_hits++;
    c->stats.tlb_l1_cycles += cycles;
    c->tlb_cycles = cycles;
    uint64_t t = usable_at(x, vaddr, issue + cycles);
    CORE_LOG(x, TLB, log_number(c, who), vaddr, shift == PAGE_SHIFT ? CORE_FOUND_4K : CORE_FOUND_2M,
             CORE_FOUND_UNPROBED, issue, cycles, t);
    return (struct xlate){t, (r->payload & ~TLB_FLAGS) + (vaddr & ((UINT64_C(1) << shift) - 1))};
}

/* The translation of a data access that begins at cycle `issue`; `who` is told when it has to wait. */
INLINE struct xlate translate_data(const struct core_ctx *x, uint64_t vaddr, bool write, uint64_t issue, waiter_t who)
{
    struct core *c = x->c;
    vaddr &= radix_va_mask(c->levels);
    c->tlb_cycles = 0;
    if (x->cfg->mmu->free_translation)
        return core_translate_ideal(x, vaddr, write, false, issue, who);
    const uint64_t needs = write ? TLB_W | TLB_D : 0;
    const struct recent_page *r = recent_4k(c, vaddr);
    if (r->page == vaddr >> PAGE_SHIFT) {
        if ((r->payload & needs) == needs)
            return use_recent(x, vaddr, r, PAGE_SHIFT, issue, who, x->p->l1d4k.latency_cycles);
    } else {
        r = recent_2m(c, vaddr);
        if (r->page == vaddr >> PAGE_SHIFT_2M && (r->payload & needs) == needs)
            return use_recent(x, vaddr, r, PAGE_SHIFT_2M, issue, who, x->p->l1d2m.latency_cycles);
    }
    return core_look_up_data(x, vaddr, write, issue, who);
}

#endif
