/*
 * A core as a logical process: layout of its flat state, messages in, ops table.
 *
 * Before each touch, and once per window, the writes to page tables that have become visible are
 * followed: the written line leaves this core's caches, unless the core wrote it itself.
 */
#include "cores/core.h"
#include "cores/dispatch.h"
#include "cores/pwc.h"
#include "cores/tlb.h"

#include <stdio.h>
#include <string.h>

struct array_cfgs {
    struct sarray_cfg l1i4k, l1i2m, l1d4k, l1d2m, l1d1g, stlb, stlb1g, pwc[NPWC], l1i, l1d, l2;
};

static struct sarray_cfg tlb_cfg(const struct tlb_params *t, uint64_t seed)
{
    return tlb_geometry(t->entries, t->ways, t->repl, seed);
}

static struct sarray_cfg cache_cfg(const struct cache_params *c, uint64_t seed)
{
    if (!c->enabled)
        return (struct sarray_cfg){0};
    return (struct sarray_cfg){.nsets = (uint32_t)((c->size_bytes >> LINE_SHIFT) / c->ways),
                               .nways = (uint32_t)c->ways, .repl = (enum repl_kind)c->repl,
                               .seed = seed};
}

static struct array_cfgs array_cfgs(const struct core_params *p, uint32_t instance)
{
    uint64_t seed = (uint64_t)instance << 8;
    struct array_cfgs a = {
        .l1i4k = tlb_cfg(&p->l1i4k, seed + 1), .l1i2m = tlb_cfg(&p->l1i2m, seed + 2),
        .l1d4k = tlb_cfg(&p->l1d4k, seed + 3), .l1d2m = tlb_cfg(&p->l1d2m, seed + 4),
        .l1d1g = tlb_cfg(&p->l1d1g, seed + 5),
        .stlb = tlb_geometry(p->stlb.entries, p->stlb.ways, p->stlb.repl, seed + 6),
        .stlb1g = tlb_geometry(p->stlb.entries_1g, p->stlb.ways_1g, p->stlb.repl, seed + 7),
        .l1i = cache_cfg(&p->l1i, seed + 12), .l1d = cache_cfg(&p->l1d, seed + 13),
        .l2 = cache_cfg(&p->l2, seed + 14),
    };
    const uint64_t entries[NPWC] = {p->pwc.pd_entries, p->pwc.pdpt_entries, p->pwc.pml4_entries,
                                    p->pwc.pml5_entries};
    for (unsigned i = 0; i < NPWC; i++)
        a.pwc[i] = tlb_geometry(entries[i], p->pwc.ways, REPL_LRU, seed + 8 + i);
    return a;
}

static uint64_t pow2_at_least(uint64_t n)
{
    uint64_t p = 64;
    while (p < n)
        p *= 2;
    return p;
}

static uint64_t take(uint64_t *offset, uint64_t bytes)
{
    uint64_t at = *offset;
    *offset += (bytes + 63) & ~UINT64_C(63);
    return at;
}

static uint64_t take_array(uint64_t *offset, const struct sarray_cfg *cfg)
{
    return take(offset, cfg->nways == 0 ? sizeof(struct sarray) : sarray_bytes(cfg));
}

/* Offsets and sizes into *c; returns the bytes of the whole state. */
static uint64_t lay_out(struct core *c, const struct core_params *p, const struct array_cfgs *a)
{
    uint64_t n = 0;
    take(&n, sizeof *c);
    c->at.l1i4k = take_array(&n, &a->l1i4k);
    c->at.l1i2m = take_array(&n, &a->l1i2m);
    c->at.l1d4k = take_array(&n, &a->l1d4k);
    c->at.l1d2m = take_array(&n, &a->l1d2m);
    c->at.l1d1g = take_array(&n, &a->l1d1g);
    c->at.stlb = take_array(&n, &a->stlb);
    c->at.stlb1g = take_array(&n, &a->stlb1g);
    const struct mmu_ops *mmu = mmu_table[p->core.mmu];
    c->at.mmu = take(&n, mmu->state_bytes != NULL ? mmu->state_bytes(p->mmu[p->core.mmu]) : 0);
    for (unsigned i = 0; i < NPWC; i++)
        c->at.pwc[i] = take_array(&n, &a->pwc[i]);
    c->at.l1i = take_array(&n, &a->l1i);
    c->at.l1d = take_array(&n, &a->l1d);
    c->at.l2 = take_array(&n, &a->l2);
    c->at.prefetch_l1d = take(&n, prefetch_table[p->l1d.prefetcher]->state_bytes(&p->prefetch));
    c->at.prefetch_l2 = take(&n, prefetch_table[p->l2.prefetcher]->state_bytes(&p->prefetch));
    c->at.bpred = take(&n, bpred_bytes(&p->bpred));

    uint64_t window = p->core.load_queue + p->core.store_queue;
    c->window_size = (uint32_t)pow2_at_least(window);
    c->sq_size = (uint32_t)pow2_at_least(p->core.store_queue);
    /* Misses: every access in flight, every store written late, every walk, lines of code, kernel stores
     * (a handler's page-table writes, accessed bits of every access), and prefetches. */
    c->miss_size = (uint32_t)(window + p->core.store_queue + MAX_WALKERS + window + 64 + p->l1i.mshrs + p->l2.mshrs);
    c->walk_queue_size = (uint32_t)window + 2;
    c->wb_queue_size = (uint32_t)(p->l2.wb_buffers + 4 * (uint64_t)c->miss_size);
    c->cpi.ahead_size = cpi_ahead_size(window + p->core.store_queue);
    c->at.cpi_ahead = take(&n, c->cpi.ahead_size * sizeof(struct cpi_ahead));
    c->at.flights = take(&n, c->window_size * sizeof(struct flight));
    c->at.window = take(&n, c->window_size * sizeof(struct inflight));
    c->at.wake = take(&n, c->window_size / 64 * sizeof(uint64_t));
    /* The one before the first is for what is no store. */
    c->at.sq = take(&n, (c->sq_size + 1) * sizeof(struct store_entry)) + sizeof(struct store_entry);
    c->at.misses = take(&n, (1 + c->miss_size) * sizeof(struct miss)) + sizeof(struct miss); /* one of no line before them */
    c->at.miss_free = take(&n, c->miss_size * sizeof(uint32_t));
    c->at.miss_queue = take(&n, c->miss_size * sizeof(uint32_t));
    c->at.walk_queue = take(&n, c->walk_queue_size * sizeof(struct walk_request));
    c->at.wb_queue = take(&n, c->wb_queue_size * sizeof(uint64_t));
    SIM_ASSERT(window <= 64 * 64 && c->miss_size < UINT16_MAX, "%llu accesses in flight, %u misses",
               (unsigned long long)window, c->miss_size); /* one word says which words of `wake` are in use */
    SIM_ASSERT(n <= UINT32_MAX, "the caches and TLBs of a core take %llu bytes on this host, more than 4 GiB",
               (unsigned long long)n); /* core_offset has 32 bits */
    return n;
}

size_t core_state_bytes(const struct core_params *p)
{
    static struct core probe;
    struct array_cfgs a = array_cfgs(p, 0);
    return lay_out(&probe, p, &a);
}

size_t core_array_bytes(const struct core_params *p)
{
    static struct core probe;
    struct array_cfgs a = array_cfgs(p, 0);
    lay_out(&probe, p, &a);
    return probe.at.cpi_ahead - probe.at.l1i4k; /* they stand together */
}

static void init_array(struct core *c, uint64_t offset, const struct sarray_cfg *cfg)
{
    if (cfg->nways != 0)
        sarray_init(core_at(c, offset), cfg);
}

/* The largest power of two that divides the number of sets, up to the pages kept, less one. */
static uint32_t recent_mask(uint32_t nsets, uint32_t most)
{
    uint32_t divisor = nsets & -nsets;
    return (divisor == 0 ? 1 : divisor < most ? divisor : most) - 1;
}

static void core_start(struct lp *lp)
{
    struct core_ctx ctx = core_ctx_of(lp);
    const struct core_ctx *x = &ctx;
    struct core *c = x->c;
    struct array_cfgs a = array_cfgs(x->p, lp->instance);
    lay_out(c, x->p, &a);
    init_array(c, c->at.l1i4k, &a.l1i4k);
    init_array(c, c->at.l1i2m, &a.l1i2m);
    init_array(c, c->at.l1d4k, &a.l1d4k);
    init_array(c, c->at.l1d2m, &a.l1d2m);
    init_array(c, c->at.l1d1g, &a.l1d1g);
    init_array(c, c->at.stlb, &a.stlb);
    init_array(c, c->at.stlb1g, &a.stlb1g);
    if (x->cfg->mmu->init != NULL)
        x->cfg->mmu->init(core_at(c, c->at.mmu), x->p->mmu[x->p->core.mmu], ((uint64_t)lp->instance << 8) + 15);
    for (unsigned i = 0; i < NPWC; i++)
        init_array(c, c->at.pwc[i], &a.pwc[i]);
    init_array(c, c->at.l1i, &a.l1i);
    init_array(c, c->at.l1d, &a.l1d);
    init_array(c, c->at.l2, &a.l2);
    bpred_init(core_at(c, c->at.bpred), &x->p->bpred, ((uint64_t)lp->instance << 8) + 15);
    core_miss(c, 0)[-1].line = UINT64_MAX;
    for (uint32_t i = c->miss_size; i-- > 0;)
        ((uint32_t *)core_at(c, c->at.miss_free))[c->nmiss_free++] = i;
    c->run = RUN_IDLE;
    c->cpi.epoch_end = cycle_of(x->cfg, x->cfg->epoch_fs);
    c->fault_at = CYCLE_UNKNOWN;
    c->rob_limit = UINT64_MAX;
    for (uint32_t i = 0; i < SLOTS_AHEAD; i++)
        c->slots_ahead[i] = (struct slots_ahead){(uint8_t)(i / x->p->core.width), (uint8_t)(i % x->p->core.width)};
    core_forget_recent(c);
    c->recent_4k_mask = recent_mask(a.l1d4k.nsets, RECENT_PAGES);
    c->recent_2m_mask = recent_mask(a.l1d2m.nsets, RECENT_PAGES);
    core_fetch_reset(x);
    c->recent_line_mask = recent_mask(a.l1d.nsets, RECENT_LINES);
    for (uint32_t i = 0; i < RECENT_LINES; i++)
        c->recent_line[i].line = UINT64_MAX;
    for (uint32_t i = 0; i < CODE_LINES; i++)
        c->code_line[i].line = UINT64_MAX;
    c->absent_line = c->l1_missed_page = UINT64_MAX;
    c->walk_pages[0] = MAX_WALKERS;
    for (uint32_t i = 0; i < PREFETCH_LATEST; i++)
        c->pf.latest[i] = UINT64_MAX;
    c->pf.on = x->p->l1d.prefetcher != PREFETCHER_none || x->p->l2.prefetcher != PREFETCHER_none;
    c->pf.fills = prefetch_table[x->p->l1d.prefetcher]->fill != NULL;
    for (uint32_t i = 0; i < FORWARD_SLOTS; i++)
        c->forward[i].key = UINT64_MAX;
}

/* Page-table writes visible before `limit`: their lines leave the caches at their time. */
static void follow_mirror(const struct core_ctx *x, simtime_t limit)
{
    struct core *c = x->c;
    uint64_t end = ptmem_log_end(x->cfg->ptmem);
    while (c->mirror_cursor < end) {
        const struct mirror_write *w = ptmem_log_at(x->cfg->ptmem, c->mirror_cursor);
        if (w->time >= limit)
            return;
        if (w->writer != x->lp->id)
            core_line_invalidate(x, w->addr.v & ~(LINE_BYTES - 1), false);
        c->mirror_cursor++;
    }
}

static simtime_t next_mirror(const struct core_ctx *x)
{
    if (x->c->mirror_cursor >= ptmem_log_end(x->cfg->ptmem))
        return SIM_NEVER;
    return ptmem_log_at(x->cfg->ptmem, x->c->mirror_cursor)->time;
}

static __attribute__((noinline)) simtime_t dispatch_until(struct lp *lp, simtime_t until)
{
    struct core_ctx ctx = core_ctx_of(lp);
    const struct core_ctx *x = &ctx;
    for (;;) {
        /* Dispatch up to the next visible page-table write, apply it, go on. */
        simtime_t stop = u64_min(next_mirror(x), until);
        uint64_t until_cycle = stop == SIM_NEVER ? CYCLE_UNKNOWN : cycle_of(x->cfg, stop);
        uint64_t next = core_dispatch(x, until_cycle);
        if (stop == until)
            return next == CYCLE_UNKNOWN ? SIM_NEVER : u64_max(time_of(x->cfg, next), until);
        follow_mirror(x, stop + 1);
    }
}

static simtime_t core_advance(struct lp *lp, simtime_t until)
{
    const struct core_cfg *cfg = lp->cfg;
    struct core *c = lp->state;
    if (c->mirror_cursor >= ptmem_log_end(cfg->ptmem) && core_stands(c))
        return SIM_NEVER; /* what dispatch_until would say */
    return dispatch_until(lp, until);
}

static void core_handle(struct lp *lp, const struct msg *m)
{
    struct core_ctx ctx = core_ctx_of(lp);
    const struct core_ctx *x = &ctx;
    struct core *c = x->c;
    follow_mirror(x, m->time + 1);
    c->touch = u64_max(c->touch, cycle_of(x->cfg, m->time));
    switch (m->type) {
    case MEM_DATA:
        core_line_arrived(x, m);
        break;
    case MEM_WB_ACK:
        core_wb_acked(x);
        break;
    case MEM_INVALIDATE:
        core_line_invalidate(x, m->a[0], true);
        break;
    default:
        c->stands_at_access = c->stands_at_store = 0;
        core_handle_kernel(x, m);
        break;
    }
    if (c->woken != 0 || c->nfaulted > 0)
        core_run_wakes(x);
}

static void core_stats_out(struct lp *lp, uint64_t *row)
{
    struct core_ctx ctx = core_ctx_of(lp);
    const struct core_ctx *x = &ctx;
    /* A window may have ended before the epoch: what became visible until then belongs to it. */
    follow_mirror(x, engine_epoch_end(lp->engine));
    simtime_t end_fs = engine_epoch_end(lp->engine);
    uint64_t end = cycle_of(x->cfg, end_fs);
    cpi_close_epoch(x, end);
    struct core_stats s = x->c->stats;
    uint64_t stack = cpi_total(x->c);
    cpi_next_epoch(x->c, cycle_of(x->cfg, end_fs + x->cfg->epoch_fs));
    if (x->c->run == RUN_IDLE)
        s.idle_cycles += end > x->c->idle_since ? end - x->c->idle_since : 0;
    else
        s.cycles += end > x->c->run_since ? end - x->c->run_since : 0;
    SIM_ASSERT(stack == s.cycles, "core %u: the causes add up to %llu of %llu cycles", lp->instance,
               (unsigned long long)stack, (unsigned long long)s.cycles);
    s.l2_used = ((struct sarray *)core_at(x->c, x->c->at.l2))->nused;
    s.stlb_used = ((struct sarray *)core_at(x->c, x->c->at.stlb))->nused;
    memcpy(row, &s, sizeof s);
}

static void check_prefetches(struct lp *lp)
{
    const struct core *c = lp->state;
    const struct core_stats *s = &c->stats;
    SIM_ASSERT(s->l1_prefetched == s->l1_prefetch_useful + s->l1_prefetch_late + s->l1_prefetch_useless +
                                       s->l1_prefetch_unused + c->pf.nunderway[0],
               "core %u: L1D prefetches do not add up", lp->instance);
    SIM_ASSERT(s->l1_prefetched == s->l1_prefetch_l2 + s->l1_prefetch_joined + s->l1_prefetch_llc,
               "core %u: sources of L1D prefetches do not add up", lp->instance);
    SIM_ASSERT(s->l2_prefetched == s->l2_prefetch_useful + s->l2_prefetch_late + s->l2_prefetch_useless +
                                       s->l2_prefetch_unused + c->pf.nunderway[1],
               "core %u: L2 prefetches do not add up", lp->instance);
    SIM_ASSERT(c->requests_sent + c->miss_queue_n == s->l2_misses + s->l2_code_misses + s->l2_pt_misses +
                                                         s->l1_prefetch_llc + s->l2_prefetched,
               "core %u: requests do not add up", lp->instance);
}

static void core_check(struct lp *lp)
{
    const struct core *c = lp->state;
    check_prefetches(lp);
    SIM_ASSERT(c->stats.answers + c->nmisses - c->miss_queue_n == c->requests_sent,
               "core %u: %llu requests, %llu answers, %u outstanding", lp->instance,
               (unsigned long long)c->requests_sent, (unsigned long long)c->stats.answers,
               c->nmisses - c->miss_queue_n);
    SIM_ASSERT(c->stats.wb_acks + c->wbs_out == c->writebacks_sent,
               "core %u: %llu write-backs, %llu acknowledged, %u outstanding", lp->instance,
               (unsigned long long)c->writebacks_sent, (unsigned long long)c->stats.wb_acks, c->wbs_out);
    SIM_ASSERT(c->stats.walk_refs == c->stats.walk_refs_l1 + c->stats.walk_refs_l2 +
                                         c->stats.walk_refs_llc + c->stats.walk_refs_dram,
               "core %u: walk references do not add up", lp->instance);
}

static void core_describe(struct lp *lp, char *buf, size_t size)
{
    static const char *const runs[] = {"idle", "in user code", "in the kernel", "ending"};
    const struct core *c = lp->state;
    snprintf(buf, size, "%s, thread %u, %llu accesses in flight, %u misses", runs[c->run], c->thread,
             (unsigned long long)(c->tail - c->head), c->nmisses);
}

const struct lp_ops core_lp_ops = {
    .name = "core",
    .start = core_start,
    .handle = core_handle,
    .advance = core_advance,
    .stats = core_stats_out,
    .check = core_check,
    .describe = core_describe,
    .events = core_events,
    .nevents = CE_COUNT,
};
