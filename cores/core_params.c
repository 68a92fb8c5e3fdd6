/*
 * The keys of a core. Defaults are those of a Golden Cove server core (Sapphire Rapids); the preset
 * files repeat them with the source of each figure.
 */
#include "cores/core_params.h"

#include "cores/mmu.h"
#include "memsys/repl.h"

#define FETCH_LINES_MAX 64
static const char *const l1i_prefetchers[] = {"none", "next_line", "fetch_ahead", NULL};
static const char *const overlap_names[] = {"recorded", "serial", "independent", NULL};

#define K UINT64_C(1024)
#define COUNT(S, field, unit_, def_, min_, max_, doc_)                                       \
    {.name = #field, .type = PARAM_COUNT, .unit = unit_, .def = def_, .min = min_,           \
     .max = max_, .offset = offsetof(struct S, field), .doc = doc_}
#define NAMED(S, key, field, type_, unit_, def_, min_, max_, choices_, doc_)                 \
    {.name = key, .type = type_, .unit = unit_, .def = def_, .min = min_, .max = max_,       \
     .choices = choices_, .offset = offsetof(struct S, field), .doc = doc_}
#define REPL(S)                                                                              \
    NAMED(S, "replacement", repl, PARAM_ENUM, "", "lru", 0, 0, repl_names, "replacement policy")
#define NROWS(t) (uint32_t)(sizeof(t) / sizeof((t)[0]))

/* clang-format off */
static const struct param_desc pipeline_rows[] = {
    COUNT(pipeline_params, count, "core", "0", 0, 4096, "simulated cores, each one logical process; 0: one per thread of the workload"),
    NAMED(pipeline_params, "clock", clock_hz, PARAM_FREQ, "Hz", "3GHz", 100000000, 10000000000, NULL, "core clock; the period is rounded to a femtosecond once"),
    COUNT(pipeline_params, width, "instruction/cycle", "6", 1, 16, "dispatch and retire width"),
    COUNT(pipeline_params, rob, "instruction", "512", 8, 4096, "reorder buffer"),
    COUNT(pipeline_params, load_queue, "load", "192", 1, 1024, "loads between dispatch and retirement"),
    COUNT(pipeline_params, store_queue, "store", "114", 1, 1024, "stores between dispatch and their write to L1D"),
    COUNT(pipeline_params, refill_cycles, "cycle", "17", 0, 200, "front-end refill after a branch predicted wrong, a fault, an interrupt or a system call"),
    COUNT(pipeline_params, lock_cycles, "cycle", "18", 0, 200, "extra latency of a lock-prefixed instruction, which also waits for all older accesses"),
    COUNT(pipeline_params, forward_cycles, "cycle", "5", 0, 50, "latency of a load that takes its data from an older store"),
    COUNT(pipeline_params, syscall_cycles, "cycle", "400", 0, 100000, "entry, dispatch and exit of a system call that the kernel model does not handle itself"),
    COUNT(pipeline_params, fault_entry_cycles, "cycle", "100", 20, 10000, "exception or system-call entry until the kernel's first action; the lookahead of the edge core to kernel"),
    NAMED(pipeline_params, "mmu", mmu, PARAM_ENUM, "", "radix", 0, 0, mmu_names, "MMU design"),
    NAMED(pipeline_params, "overlap", overlap, PARAM_ENUM, "", "recorded", 0, 0, overlap_names, "recorded: an address waits for the loads that the trace names as its producers; serial: for the load before it; independent: for none"),
};

#define TLB_ROWS(name, e, w, l)                                                                              \
    static const struct param_desc name[] = {                                                                \
        COUNT(tlb_params, entries, "entry", e, 0, 65536, "entries; 0: no such TLB"),                         \
        COUNT(tlb_params, ways, "way", w, 0, 128, "associativity; 0: fully associative"),                    \
        COUNT(tlb_params, latency_cycles, "cycle", l, 0, 100, "added to an access that hits here (0: hidden behind a virtually indexed L1 cache)"), \
        REPL(tlb_params),                                                                                    \
    }
TLB_ROWS(l1i4k_rows, "256", "8", "0");
TLB_ROWS(l1i2m_rows, "32", "8", "0");
TLB_ROWS(l1d4k_rows, "96", "6", "0");
TLB_ROWS(l1d2m_rows, "32", "4", "0");
TLB_ROWS(l1d1g_rows, "16", "0", "0");

static const struct param_desc stlb_rows[] = {
    COUNT(stlb_params, entries, "entry", "2048", 0, 1048576, "entries shared by 4 KiB and 2 MiB pages; 0: no second level"),
    COUNT(stlb_params, ways, "way", "16", 0, 128, "associativity; 0: fully associative"),
    COUNT(stlb_params, latency_cycles, "cycle", "7", 0, 200, "added to an access that misses the L1 TLBs, once, whatever sizes are probed"),
    REPL(stlb_params),
    COUNT(stlb_params, entries_1g, "entry", "0", 0, 65536, "a separate array for 1 GiB pages; 0: none"),
    COUNT(stlb_params, ways_1g, "way", "4", 0, 128, "its associativity; 0: fully associative"),
    NAMED(stlb_params, "share_1g", share_1g, PARAM_BOOL, "", "true", 0, 1, NULL, "1 GiB pages share the unified array (when there is no separate one)"),
};

static const struct param_desc pwc_rows[] = {
    COUNT(pwc_params, pml5_entries, "entry", "2", 0, 1024, "PML5 entries (five-level tables only); 0: none"),
    COUNT(pwc_params, pml4_entries, "entry", "2", 0, 1024, "PML4 entries; 0: none"),
    COUNT(pwc_params, pdpt_entries, "entry", "4", 0, 1024, "PDPT entries that point to a page directory; 0: none"),
    COUNT(pwc_params, pd_entries, "entry", "32", 0, 4096, "PD entries that point to a page table; 0: none"),
    COUNT(pwc_params, ways, "way", "0", 0, 128, "associativity of each; 0: fully associative"),
    COUNT(pwc_params, latency_cycles, "cycle", "2", 0, 100, "probe of all levels in parallel, at the start of each walk"),
};

static const struct param_desc ptw_rows[] = {
    COUNT(ptw_params, walkers, "walk", "4", 1, 64, "page walks in progress at once; more wait"),
    COUNT(ptw_params, ref_cycles, "cycle", "0", 0, 100000, "0: walk references go through the caches; else every reference costs this much and touches no cache (hand checks, fixed-latency studies)"),
    COUNT(ptw_params, dirty_assist_cycles, "cycle", "100", 0, 10000, "setting the dirty bit of a page that the TLB holds as clean"),
};

#define CACHE_ROWS(on, size, w)                                                                              \
        NAMED(cache_params, "enabled", enabled, PARAM_BOOL, "", on, 0, 1, NULL, "false: every access goes to the next level"), \
        NAMED(cache_params, "size", size_bytes, PARAM_SIZE, "byte", size, 64, K * K * K, NULL, "capacity"),  \
        COUNT(cache_params, ways, "way", w, 1, 128, "associativity"),                                        \
        REPL(cache_params)
#define CACHE_LATENCY(lat)                                                                                   \
        COUNT(cache_params, latency_cycles, "cycle", lat, 0, 500, "load-to-use of a hit, counted from the start of the access")
/* A hit in L1I costs nothing: the pipeline fetches ahead of it. */
static const struct param_desc l1i_rows[] = {
    CACHE_ROWS("true", "32KiB", "8"),
    COUNT(cache_params, mshrs, "line", "16", 1, 64, "outstanding misses; the line that dispatch waits for may be one more"),
    NAMED(cache_params, "prefetcher", prefetcher, PARAM_ENUM, "", "fetch_ahead", 0, 0, l1i_prefetchers, "none: a line is asked for when dispatch comes to it; next_line: and, when it misses, those behind it; fetch_ahead: branch prediction runs ahead and asks for the lines of its path, and those behind each that misses"),
    COUNT(cache_params, degree, "line", "1", 0, 16, "lines of the same page prefetched behind one that misses L1I"),
    COUNT(cache_params, fetch_queue, "line", "24", 1, FETCH_LINES_MAX, "fetch_ahead: lines between prediction and dispatch"),
};
static const struct param_desc l1d_rows[] = {
    CACHE_ROWS("true", "48KiB", "12"),
    CACHE_LATENCY("5"),
    COUNT(cache_params, mshrs, "line", "16", 1, 512, "outstanding misses of loads, stores and walks"),
    NAMED(cache_params, "prefetcher", prefetcher, PARAM_ENUM, "", "ip_stride", 0, 0, prefetch_names, "data prefetcher of L1D"),
};
static const struct param_desc l2_rows[] = {
    CACHE_ROWS("true", "2MiB", "16"),
    CACHE_LATENCY("15"),
    COUNT(cache_params, mshrs, "line", "48", 1, 512, "outstanding requests to the LLC, instruction lines included"),
    COUNT(cache_params, wb_buffers, "line", "32", 1, 512, "write-backs that the LLC has not acknowledged"),
    NAMED(cache_params, "prefetcher", prefetcher, PARAM_ENUM, "", "streamer", 0, 0, prefetch_names, "data prefetcher of L2"),
};
/* clang-format on */

static const char *const prefetch_prefixes[] = {
#define X(name) "prefetch." #name,
    PREFETCH_LIST(X)
#undef X
};

void core_param_groups(struct core_params *p, struct param_group g[CORE_NPARAM_GROUPS])
{
    const struct param_group groups[13] = {
        {"core", "pipeline window and dispatch", pipeline_rows, NROWS(pipeline_rows), &p->core},
        {"tlb.l1i4k", "L1 instruction TLB, 4 KiB pages", l1i4k_rows, NROWS(l1i4k_rows), &p->l1i4k},
        {"tlb.l1i2m", "L1 instruction TLB, 2 MiB pages", l1i2m_rows, NROWS(l1i2m_rows), &p->l1i2m},
        {"tlb.l1d4k", "L1 data TLB, 4 KiB pages", l1d4k_rows, NROWS(l1d4k_rows), &p->l1d4k},
        {"tlb.l1d2m", "L1 data TLB, 2 MiB pages", l1d2m_rows, NROWS(l1d2m_rows), &p->l1d2m},
        {"tlb.l1d1g", "L1 data TLB, 1 GiB pages", l1d1g_rows, NROWS(l1d1g_rows), &p->l1d1g},
        {"tlb.stlb", "second-level TLB, instructions and data", stlb_rows, NROWS(stlb_rows), &p->stlb},
        {"pwc", "page-walk caches (interior entries only)", pwc_rows, NROWS(pwc_rows), &p->pwc},
        {"ptw", "page-table walkers", ptw_rows, NROWS(ptw_rows), &p->ptw},
        {"l1i", "private L1 instruction cache", l1i_rows, NROWS(l1i_rows), &p->l1i},
        {"l1d", "private L1 data cache", l1d_rows, NROWS(l1d_rows), &p->l1d},
        {"l2", "private L2 cache", l2_rows, NROWS(l2_rows), &p->l2},
        {"bpred", "branch prediction", bpred_rows, bpred_nrows, &p->bpred},
    };
    size_t n = 0;
    for (; n < sizeof groups / sizeof groups[0]; n++)
        g[n] = groups[n];
    g[n++] = (struct param_group){"prefetch", "data prefetchers of both levels", prefetch_common_rows,
                                  prefetch_common_nrows, &p->prefetch.common};
    for (size_t i = 1; i < PREFETCHER_COUNT; i++) {
        const struct prefetch_ops *o = prefetch_table[i];
        g[n++] = (struct param_group){prefetch_prefixes[i], o->doc, o->rows, o->nrows,
                                      (char *)&p->prefetch + o->params_offset};
    }
    for (size_t i = 0; i < MMU_COUNT; i++)
        g[n++] = (struct param_group){mmu_prefixes[i], mmu_table[i]->doc, mmu_table[i]->rows, mmu_table[i]->nrows, p->mmu[i]};
}

static enum err check_geometry(const char *name, uint64_t entries, uint64_t ways)
{
    if (entries == 0 || ways == 0)
        return ways == 0 && entries > 128
                   ? err_log(ERR_USAGE, "%s: %llu entries cannot be fully associative (at most 128); set ways",
                             name, (unsigned long long)entries)
                   : ERR_OK;
    if (entries % ways != 0)
        return err_log(ERR_USAGE, "%s: %llu entries do not divide into %llu ways (nearest: %llu)", name,
                       (unsigned long long)entries, (unsigned long long)ways,
                       (unsigned long long)(entries < ways ? ways : entries / ways * ways));
    return ERR_OK;
}

static enum err check_cache(const char *name, const struct cache_params *c)
{
    return check_geometry(name, c->size_bytes >> LINE_SHIFT, c->ways);
}

static enum err check_place(const char *name, const struct cache_params *c, unsigned place)
{
    const struct prefetch_ops *o = prefetch_table[c->prefetcher];
    if (c->prefetcher == PREFETCHER_none)
        return ERR_OK;
    if (!c->enabled)
        return err_log(ERR_USAGE, "%s.prefetcher is %s, but %s.enabled is false (set the prefetcher to none)", name,
                       o->name, name);
    if (!(o->places & place))
        return err_log(ERR_USAGE, "%s.prefetcher: %s works in %s only", name, o->name,
                       place == PREFETCH_AT_L2 ? "l1d" : "l2");
    return ERR_OK;
}

static enum err check_prefetch(const struct core_params *p)
{
    enum err e = check_place("l1d", &p->l1d, PREFETCH_AT_L1D), x = check_place("l2", &p->l2, PREFETCH_AT_L2);
    if (x != ERR_OK)
        e = x;
    if (p->l1d.prefetcher != PREFETCHER_none && p->prefetch.common.mshrs_left >= p->l1d.mshrs)
        e = err_log(ERR_USAGE, "prefetch.mshrs_left (%llu) must be below l1d.mshrs (%llu), or no L1D prefetch finds an MSHR",
                    (unsigned long long)p->prefetch.common.mshrs_left, (unsigned long long)p->l1d.mshrs);
    if (p->l2.prefetcher != PREFETCHER_none && p->l2.mshrs <= p->l1d.mshrs + p->l1i.enabled)
        e = err_log(ERR_USAGE, "l2.mshrs (%llu) must exceed l1d.mshrs (%llu)%s, or no prefetch of l2.prefetcher finds an MSHR (raise it, or set the prefetcher to none)",
                    (unsigned long long)p->l2.mshrs, (unsigned long long)p->l1d.mshrs,
                    p->l1i.enabled ? " and one of L1I" : "");
    if (p->prefetch.common.walk && !p->prefetch.common.cross_page)
        e = err_log(ERR_USAGE, "prefetch.walk needs prefetch.cross_page: within its page a prefetch never walks");
    return e;
}

enum err core_params_check(const struct core_params *p)
{
    enum err e = ERR_OK, x;
#define CHECK(call) ((x = (call)) != ERR_OK ? (void)(e = x) : (void)0)
    CHECK(check_geometry("tlb.l1i4k.entries", p->l1i4k.entries, p->l1i4k.ways));
    CHECK(check_geometry("tlb.l1i2m.entries", p->l1i2m.entries, p->l1i2m.ways));
    CHECK(check_geometry("tlb.l1d4k.entries", p->l1d4k.entries, p->l1d4k.ways));
    CHECK(check_geometry("tlb.l1d2m.entries", p->l1d2m.entries, p->l1d2m.ways));
    CHECK(check_geometry("tlb.l1d1g.entries", p->l1d1g.entries, p->l1d1g.ways));
    CHECK(check_geometry("tlb.stlb.entries", p->stlb.entries, p->stlb.ways));
    CHECK(check_geometry("tlb.stlb.entries_1g", p->stlb.entries_1g, p->stlb.ways_1g));
    CHECK(check_geometry("pwc.pml5_entries", p->pwc.pml5_entries, p->pwc.ways));
    CHECK(check_geometry("pwc.pml4_entries", p->pwc.pml4_entries, p->pwc.ways));
    CHECK(check_geometry("pwc.pdpt_entries", p->pwc.pdpt_entries, p->pwc.ways));
    CHECK(check_geometry("pwc.pd_entries", p->pwc.pd_entries, p->pwc.ways));
    CHECK(check_cache("l1i.size", &p->l1i));
    CHECK(check_cache("l1d.size", &p->l1d));
    CHECK(check_cache("l2.size", &p->l2));
    CHECK(bpred_params_check(&p->bpred));
    if (p->l2.mshrs < p->l1d.mshrs)
        CHECK(err_log(ERR_USAGE, "l2.mshrs (%llu) must be at least l1d.mshrs (%llu)",
                      (unsigned long long)p->l2.mshrs, (unsigned long long)p->l1d.mshrs));
    if (p->l2.latency_cycles <= p->l1d.latency_cycles)
        CHECK(err_log(ERR_USAGE, "l2.latency_cycles (%llu) must exceed l1d.latency_cycles (%llu): both count from the start of the access",
                      (unsigned long long)p->l2.latency_cycles, (unsigned long long)p->l1d.latency_cycles));
    CHECK(check_prefetch(p));
#undef CHECK
    return e;
}
