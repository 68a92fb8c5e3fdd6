/*
 * Whole cores under random programs with everything in them: dependences, locks, faults, system
 * calls, thread switches, code pages, pages of all sizes in two address spaces, small structures
 * that overflow all the time, and a fuzz process that invalidates lines, shoots down translations
 * and interrupts off the clock's edges. rig_run checks conservation at the end of each run.
 */
#include "core_rig.c"

enum { ACCESSES = 1500, PAGES_4K = 300, PAGES_2M = 4 };

static uint64_t random_page(uint64_t x)
{
    switch (x % 16) {
    case 0:
        return rig_va(3, 7, 0, x >> 8 & 511, 0); /* in a 1 GiB page */
    case 1:
    case 2:
        return rig_va(1, 4, (x >> 8) % PAGES_2M, x >> 16 & 511, 0);
    case 3:
    case 4:
    case 5: { /* far apart */
        uint64_t n = (x >> 8) % PAGES_4K;
        return rig_va(9 + n % 3, n % 5, n % 7, n, 0);
    }
    default: { /* near each other, some often */
        uint64_t n = (x >> 8) % (x & 64 ? 8 : PAGES_4K);
        return rig_va(1, 2, n / 100, n, 0);
    }
    }
}

static uint64_t random_address(uint64_t x, uint64_t y) { return random_page(x) + (y & 0x38) + (y >> 8) % 8 * 64; }

/* The state that a page of 4 KiB starts in: absent, read-only, clean, never used, or ready. */
static uint64_t first_flags(uint64_t va)
{
    static const uint64_t flags[] = {0, 0, RIG_PAGE & ~(PTE_RW | PTE_DIRTY), RIG_PAGE & ~PTE_DIRTY,
                                     RIG_PAGE & ~(PTE_DIRTY | PTE_ACCESSED), RIG_PAGE};
    return flags[rng_draw(3, 0, 0, 0, va) % 6];
}

static void lay_out_pages(struct rig *r)
{
    for (uint32_t s = 0; s < RIG_SPACES; s++) {
        rig_map(r, s, rig_va(3, 7, 0, 0, 0), PAGE_SHIFT_1G, RIG_PAGE & ~PTE_DIRTY);
        for (uint64_t i = 0; i < PAGES_2M; i++)
            rig_map(r, s, rig_va(1, 4, i, 0, 0), PAGE_SHIFT_2M, i % 2 ? RIG_PAGE : RIG_PAGE & ~(PTE_DIRTY | PTE_ACCESSED));
        for (uint64_t n = 0; n < PAGES_4K; n++) {
            const uint64_t va[] = {rig_va(9 + n % 3, n % 5, n % 7, n, 0), rig_va(1, 2, n / 100, n, 0)};
            for (unsigned i = 0; i < 2; i++)
                rig_map(r, s, va[i], PAGE_SHIFT, first_flags(va[i]));
        }
    }
}

static void random_event(struct rig *r, uint32_t thread, uint64_t x, uint32_t gap, uint64_t *order)
{
    static const unsigned types[] = {FE_IFETCH_PAGE, FE_IFETCH_PAGE, FE_IFETCH_PAGE, FE_SYSCALL, FE_SYSCALL,
                                     FE_FUTEX_WAIT,  FE_MMAP,        FE_MAP_MARK,    FE_ROI_BEGIN, FE_SAMPLE_GAP};
    struct fe_event *e = rig_event(r, thread, types[x % 10], (uint32_t)((x >> 8) % (gap + 1)));
    switch (e->type) {
    case FE_IFETCH_PAGE:
        e->a[0] = rig_va(1, 2, 0, x >> 16 & 31, 0) >> PAGE_SHIFT;
        break;
    case FE_SYSCALL:
        e->a[2] = x & 1024 ? random_address(x >> 3, x >> 20) : 0;
        e->a[3] = x >> 40 & 255;
        e->a[4] = x & 2048 ? random_address(x >> 5, x >> 22) : 0;
        e->a[5] = x >> 50 & 127;
        break;
    case FE_MMAP:
    case FE_MAP_MARK:
        *order += x >> 16 & 1;
        e->a[0] = *order;
        break;
    default:
        break;
    }
}

static uint64_t stream_address(uint64_t thread, uint64_t i)
{
    uint64_t half = ACCESSES / 2, line = i < half ? i / 2 : 4 * (i - half);
    return i < half ? rig_va(1, 4, thread % PAGES_2M, line / 64, line % 64 * 64)
                            : rig_va(1, 2, 0, line / 64, line % 64 * 64);
}

static void random_program(struct rig *r, uint32_t thread, uint64_t seed)
{
    uint64_t order = 1;
    for (uint64_t i = 0; i < ACCESSES; i++) {
        uint64_t x = rng_draw(seed, thread, 0, 0, i), y = rng_draw(seed, thread, 0, 1, i),
                 z = rng_draw(seed, thread, 0, 2, i);
        uint32_t gap = z % 4 == 0 ? 0 : z % 97 == 1 ? 300 : (uint32_t)(z >> 8) % 12;
        unsigned flags = y >> 60 < 5 ? ACC_STORE : 0;
        if (i % 250 == 249)
            rig_new_block(r, thread);
        if (z >> 57 < 4)
            random_event(r, thread, rng_draw(seed, thread, 0, 3, i), gap, &order);
        if (gap > 0 && (z >> 52 & 3) != 0) { /* at most one before each access */
            struct branch_rec *br = rig_branch(r, thread, (unsigned)(z >> 43 & 7) % 6, 1 + (uint32_t)(x >> 40) % gap,
                                               (uint32_t)(y >> 50) & 63, (uint32_t)(x >> 50) & 63, true);
            br->taken = br->kind != BR_COND || (z >> 54 & 1);
            br->dep = (uint16_t)(x >> 33 & 7);
            br->ops = (uint8_t)(x >> 36 & 3);
        }
        flags |= z >> 40 & 63 ? 0 : ACC_LOCK;
        flags |= z >> 46 & 63 ? 0 : ACC_FENCE;
        bool streams = (z >> 12 & 3) == 0; /* one line of a stream, for the prefetchers */
        struct access_rec *a = rig_access(r, thread, streams ? stream_address(thread, i) : random_address(x, y), gap, flags);
        a->pc_id = streams ? thread : (uint32_t)(y >> 50) & 63;
        if (z >> 20 & 1)
            a->addr_dep[0] = (uint16_t)(1 + (y >> 20) % 6);
        if ((z >> 21 & 7) == 0)
            a->addr_dep[1] = (uint16_t)(1 + (y >> 30) % 1100);
        if ((flags & ACC_STORE) && (z >> 24 & 1))
            a->data_dep = (uint16_t)(1 + (y >> 40) % 4);
        a->addr_ops[0] = (uint8_t)(z >> 28 & 7);
        a->addr_ops[1] = (uint8_t)(z >> 31 & 7);
        a->data_ops = (uint8_t)(z >> 34 & 7);
    }
    r->threads[thread].blocks[r->threads[thread].nblocks - 1].tail_gap = 13;
}

static uint64_t fuzz_lines[512];

static struct rig *random_machine(uint64_t seed, uint64_t cut_seed)
{
    struct rig *r = rig_open();
    struct core_params *p = &r->p;
    p->core.width = 1 + seed % 6;
    p->core.rob = 64;
    p->core.load_queue = 12;
    p->core.store_queue = 8;
    p->core.refill_cycles = 17;
    p->l1d4k = (struct tlb_params){8, 2, 1, REPL_LRU};
    p->l1d2m = (struct tlb_params){2, 2, 2, REPL_LRU};
    p->l1d1g = (struct tlb_params){1, 1, 3, REPL_LRU};
    p->l1i4k = (struct tlb_params){4, 2, 1, REPL_LRU};
    p->stlb.entries = 48;
    p->pwc = (struct pwc_params){2, 2, 2, 4, 0, 2};
    p->ptw.walkers = 2;
    p->ptw.ref_cycles = seed % 3 == 2 ? 30 : 0;
    p->l1d = (struct cache_params){1, 16 * LINE_BYTES, 4, 5, REPL_LRU, 4, 16, seed % PREFETCHER_COUNT, 0, 0};
    p->l2 = (struct cache_params){1, 64 * LINE_BYTES, 4, 15, REPL_LRU, 48, 2, seed / 2 % PREFETCHER_berti, 0, 0};
    p->l1i = (struct cache_params){seed % 4 != 0, 8 * LINE_BYTES, 2, 5, REPL_LRU, 3, 1, seed % 3, 1, 5};
    p->bpred = (struct bpred_params){.design = seed / 2 % BPRED_COUNT, .gshare_entries = 64, .gshare_history = 6,
                                     .base_entries = 16, .tables = 3, .table_entries = 16, .tag_bits = 5,
                                     .min_history = 2, .max_history = 70, .btb_entries = 16, .btb_ways = 2,
                                     .btb_miss_cycles = 6, .ras_entries = 4, .indirect_entries = 16,
                                     .indirect_history = 4};
    p->prefetch = (struct prefetch_params){
        .common = {.cross_page = seed % 8 != 0, .walk = seed % 4 != 0, .mshrs_left = 1, .stores = seed & 1},
        .next_line = {.degree = 2},
        .ip_stride = {.entries = 64, .confidence = 1, .max_bytes = 2048, .distance = 2, .degree = 2},
        .streamer = {.streams = 8, .confidence = 2, .distance = 20, .degree = 2},
        .berti = {.history_sets = 8, .history_ways = 16, .entries = 16, .round = 16, .l1_percent = 30,
                  .l2_percent = 10, .degree = 12}};
    r->mmu = seed % 5 == 4 ? &mmu_ideal : &mmu_radix;
    r->ncores = 3;
    r->nthreads = 4;
    r->miss_spread = 200;
    r->handler_cycles = 400;
    r->cut_seed = cut_seed;
    r->warmup = seed % 4 == 1 ? 2000 : 0;
    r->instruction_limit = seed % 4 == 3 ? 4000 : 0;
    static const uint32_t core_of[RIG_THREADS] = {0, 0, 1, 2}, space_of[RIG_THREADS] = {0, 1, 1, 0};
    for (uint32_t t = 0; t < r->nthreads; t++) {
        r->threads[t].core = core_of[t];
        r->threads[t].space = space_of[t];
        random_program(r, t, seed);
    }
    r->threads[3].start = 55000; /* its core sleeps until then */
    for (unsigned i = 0; i < 64; i++)
        r->pcs[i] = rig_va(1, 2, 0, i / 2 & 31, i * 100 & 4095);
    lay_out_pages(r);
    for (uint64_t i = 0; i < 512; i++) {
        uint64_t x = rng_draw(seed, 99, 0, 0, i), va = random_address(x, x >> 9);
        fuzz_lines[i] = i % 4 == 0 ? r->root[i / 4 % 2] + (i * 64 & 4095)
                        : i % 4 == 1 ? rig_entry(r, (uint32_t)i / 4 % 2, va)
                                     : rig_pa((uint32_t)i % 2, va);
    }
    r->fuzz_lines = fuzz_lines;
    r->fuzz_nlines = 512;
    r->fuzz_seed = seed;
    r->fuzz_n = 2000;
    r->fuzz_period = 60;
    return r;
}

/* All that a run shows. */
struct shown {
    uint64_t digest, rows, nepochs;
    struct core cores[RIG_CORES];
};

static void show(const struct rig *r, uint64_t from_epoch, struct shown *s)
{
    *s = (struct shown){.digest = engine_digest(r->engine), .nepochs = r->nepochs};
    for (uint64_t i = from_epoch; i < r->nepochs; i++)
        s->rows = rng_mix(s->rows + r->epoch_rows[i]);
    for (uint32_t i = 0; i < r->ncores; i++) {
        s->cores[i] = *rig_core(r, i);
        s->cores[i].later_at = 0; /* the answer to the latest question, which windows ask */
        s->cores[i].tlb_cycles = 0; /* of the latest translation by the general code, which windows send some to */
    }
}

static void is_same(const struct shown *a, const struct shown *b)
{
    IS(a->digest, b->digest);
    IS(a->nepochs, b->nepochs);
    IS(a->rows, b->rows);
    for (uint32_t i = 0; i < RIG_CORES; i++) {
        CU_ASSERT_EQUAL(memcmp(&a->cores[i].stats, &b->cores[i].stats, sizeof a->cores[i].stats), 0);
        CU_ASSERT_EQUAL(memcmp(a->cores[i].load_done, b->cores[i].load_done, sizeof a->cores[i].load_done), 0);
        const char *x = (const char *)&a->cores[i], *y = (const char *)&b->cores[i];
        for (size_t j = 0; j < sizeof a->cores[i]; j++)
            if (x[j] != y[j]) {
                printf("\n    core %u differs at byte %zu of %zu", i, j, sizeof a->cores[i]);
                CU_FAIL("core state");
                break;
            }
    }
}

static struct shown full, other;

/* Runs the machine of `open` by the short way of fast.c, into `full`, and by the general code alone: all is the same. */
static void both_ways(struct rig *(*open)(uint64_t seed), uint64_t seed)
{
    for (unsigned slow = 0; slow < 2; slow++) {
        struct rig *r = open(seed);
        r->slow = slow;
        rig_run(r);
        show(r, 0, slow ? &other : &full);
        rig_close(r);
    }
    IS(full.digest, other.digest);
    IS(full.rows, other.rows);
}

static struct rig *uncut_machine(uint64_t seed) { return random_machine(seed, 0); }

/* On machines with every kind of event. */
static void the_short_way_through_dispatch_gives_what_the_long_way_gives(void)
{
    for (uint64_t seed = 1; seed <= 12; seed++)
        both_ways(uncut_machine, seed);
}

/* A core whose loads mostly read what a store before them wrote, to lines that come and go. */
static struct rig *forwarding_machine(uint64_t seed)
{
    struct rig *r = rig_open();
    struct core_params *p = &r->p;
    r->mmu = seed & 1 ? &mmu_radix : &mmu_ideal;
    rig_map(r, 0, 0, PAGE_SHIFT_2M, RIG_PAGE);
    p->core.width = 1 + seed % 6;
    p->core.rob = 16 << seed % 4;
    p->core.load_queue = 4 + seed % 13;
    p->core.store_queue = 3 + seed % 9;
    p->core.forward_cycles = seed % 7;
    p->l1d = (struct cache_params){1, 4 * LINE_BYTES, 2, 5, REPL_LRU, 4, 16, PREFETCHER_none, 0, 0};
    p->l2 = (struct cache_params){1, 16 * LINE_BYTES, 4, 15, REPL_LRU, 48, 2, PREFETCHER_none, 0, 0};
    r->miss_spread = seed % 3 * 200;
    for (uint64_t i = 0; i < 600; i++) {
        uint64_t x = rng_draw(seed, 7, 0, 0, i), line = x % 16 == 0 ? x >> 8 & 63 : x >> 8 & 3;
        const bool write = x >> 60 < (seed & 2 ? 6 : 1);
        struct access_rec *a = rig_access(r, 0, line * LINE_BYTES + (x >> 20 & 1) * 8, x >> 24 & 3, write ? ACC_STORE : 0);
        a->addr_dep[0] = (uint16_t)((x >> 28 & 7) == 0 ? 1 + (x >> 32) % 6 : 0);
        a->addr_ops[0] = (uint8_t)(x >> 36 & 15);
        a->data_dep = (uint16_t)(write && (x >> 40 & 1) ? 1 + (x >> 42) % 5 : 0);
        a->data_ops = (uint8_t)(x >> 46 & 15);
    }
    return r;
}

static void loads_find_the_stores_before_them_the_short_way_as_the_long_way(void)
{
    uint64_t nforwards = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        both_ways(forwarding_machine, seed);
        nforwards += full.cores[0].stats.l1d_forwards;
    }
    CU_ASSERT_TRUE(nforwards > 5000);
}

/* Wherever a limit, or the end of the warm-up, falls among the accesses of a row. */
static void every_limit_and_every_end_of_the_warm_up_is_met_on_the_instruction(void)
{
    for (uint64_t limit = 600; limit < 800; limit++) {
        uint64_t digests[2];
        for (unsigned slow = 0; slow < 2; slow++) {
            struct rig *r = random_machine(1 + 2 * (limit & 1), 0); /* both with lines of code */
            r->slow = slow;
            r->p.core.rob = 8 + limit % 9;
            r->instruction_limit = limit & 2 ? limit : limit + 150;
            r->warmup = limit & 2 ? 0 : limit;
            rig_run(r);
            IS(rig_control(r)->nlimited, 4);
            IS(rig_control(r)->instructions, 4 * r->instruction_limit);
            digests[slow] = engine_digest(r->engine);
            rig_close(r);
        }
        IS(digests[0], digests[1]);
    }
}

static void windows_cut_at_random_never_show(void)
{
    struct core_stats all = {0};
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct rig *r = random_machine(seed, 0);
        rig_run(r);
        show(r, 0, &full);
        uint64_t windows = engine_host(r->engine)->nwindows;
        for (uint32_t i = 0; i < r->ncores; i++)
            for (size_t j = 0; j < sizeof all / 8; j++)
                ((uint64_t *)&all)[j] += ((uint64_t *)&full.cores[i].stats)[j];
        IS(rig_control(r)->ndone, 4);
        IS(rig_control(r)->nlimited, r->instruction_limit ? 4 : 0);
        if (r->instruction_limit)
            IS(rig_control(r)->instructions, 4 * r->instruction_limit);
        rig_close(r);
        for (uint64_t cut = 1; cut <= 10; cut++) {
            r = random_machine(seed, cut);
            rig_run(r);
            show(r, 0, &other);
            is_same(&other, &full);
            CU_ASSERT(engine_host(r->engine)->nwindows > windows);
            rig_close(r);
        }
    }
    /* The programs reach everything that they are meant to reach. */
    const uint64_t reached[] = {
        all.faults, all.shootdowns, all.interrupts, all.invalidated, all.walk_merged, all.walks_2m, all.walks_1g,
        all.walks_instr, all.dirty_assists, all.ad_updates, all.l1d_forwards, all.l1d_mshr_waits, all.l2_writebacks,
        all.l1d_merged, all.syscalls_local, all.kernel_accesses, all.stall_rob, all.stall_lq, all.stall_sq,
        all.stall_drain, all.stall_ifetch, all.l1i_misses, all.l2_code_misses, all.pwc_pd_hits, all.pwc_misses,
        all.walk_queue_cycles, all.stlb_hits, all.walks_prefetch, all.l1_prefetch_l2, all.l1_prefetch_joined,
        all.l1_prefetch_llc, all.l1_prefetch_useful, all.l1_prefetch_late, all.l1_prefetch_useless,
        all.l1_prefetch_redundant, all.l1_prefetch_page_end, all.l1_prefetch_no_mshr, all.l1_prefetch_untranslated,
        all.l2_prefetch_useful, all.l2_prefetch_late, all.l2_prefetch_useless, all.l2_prefetch_redundant,
        all.l2_prefetch_page_end, all.l2_prefetch_no_mshr, all.stall_branch, all.br_wrong_direction,
        all.br_wrong_target, all.br_wrong_return, all.br_btb_misses, all.br_resolve_cycles, all.l1i_prefetches,
        all.l1i_useful, all.l1i_late, all.branches[BR_COND], all.branches[BR_JUMP], all.branches[BR_INDIRECT],
        all.branches[BR_CALL], all.branches[BR_CALL_INDIRECT], all.branches[BR_RET]};
    for (size_t i = 0; i < sizeof reached / sizeof reached[0]; i++) {
        if (reached[i] < 10)
            printf("\n    figure %zu is reached %llu times", i, (unsigned long long)reached[i]);
        CU_ASSERT(reached[i] >= 10);
    }
}

static void a_machine_saved_at_an_epochs_end_and_restored_elsewhere_goes_on_the_same(void)
{
    for (uint64_t seed = 1; seed <= 8; seed++)
        for (uint64_t epoch = 1; epoch <= 7; epoch += 3) {
            struct rig *r = random_machine(seed, 0);
            r->save_epoch = epoch;
            rig_run(r);
            show(r, epoch, &full);
            rig_rerun_from_save(r);
            show(r, epoch, &other);
            is_same(&other, &full);
            rig_close(r);
        }
}

/* An LP that has heard nothing yet starts once, not again when the run is taken up. */
static void a_core_asleep_when_the_machine_was_saved_wakes_as_it_would_have(void)
{
    struct rig *r = rig_open();
    r->ncores = r->nthreads = 2;
    r->threads[1].core = 1;
    r->threads[1].start = 25000;
    r->save_epoch = 1;
    for (uint32_t t = 0; t < 2; t++)
        for (uint64_t i = 0; i < 100; i++) {
            rig_map(r, 0, rig_va(1, 2, 3, i, 0), PAGE_SHIFT, RIG_PAGE);
            rig_access(r, t, rig_va(1, 2, 3, i, i % 64 * 64), 400, 0);
        }
    rig_run(r);
    show(r, 1, &full);
    rig_rerun_from_save(r);
    show(r, 1, &other);
    is_same(&other, &full);
    IS(rig_core(r, 1)->nmiss_free, rig_core(r, 1)->miss_size);
    rig_close(r);
}

static void every_epoch_accounts_for_all_its_cycles(void)
{
    struct rig *r = random_machine(1, 0);
    rig_run(r);
    uint64_t end = r->nepochs * r->epoch_cycles;
    /* Running and idle cycles of a core add up to the time of the run. */
    for (uint32_t i = 0; i < r->ncores; i++) {
        struct core_stats row;
        struct lp *lp = engine_lp(r->engine, r->first_core + i);
        const struct core *c = rig_core(r, i);
        core_lp_ops.stats(lp, (uint64_t *)&row);
        uint64_t after = engine_epoch_end(r->engine) / RIG_CYCLE;
        IS(row.cycles + row.idle_cycles, after);
        CU_ASSERT(after >= end);
        IS(c->stats.l1d_hits + c->stats.l1d_misses + c->stats.l1d_forwards > 0, 1);
        IS(row.walks, row.walks_data + row.walks_instr);
        CU_ASSERT(row.walks >= row.walks_4k + row.walks_2m + row.walks_1g);
        IS(row.stlb_misses, row.walks - row.walks_prefetch + row.walk_merged);
        IS(row.walks, row.pwc_misses + row.pwc_pd_hits + row.pwc_pdpt_hits + row.pwc_pml4_hits + row.pwc_pml5_hits);
    }
    rig_close(r);
}

/* What goes into a structure comes out of it, as a hit or as work for the next one, once. */
static void each_access_is_counted_once_at_each_level_that_it_reaches(void)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct rig *r = random_machine(seed, 0);
        rig_run(r);
        for (uint32_t i = 0; i < r->ncores; i++) {
            const struct core *c = rig_core(r, i);
            const struct core_stats *s = &c->stats;
            uint64_t table_stores = r->p.ptw.ref_cycles == 0 ? s->ad_updates : 0;
            uint64_t accesses = s->loads + s->stores + s->kernel_accesses - table_stores;
            uint64_t refs = r->p.ptw.ref_cycles == 0 ? s->walk_refs : 0;
            IS(s->l1d_hits + s->l1d_misses + s->l1d_forwards, accesses);
            IS(s->l1d_pt_hits + s->l1d_pt_misses, refs + table_stores);
            IS(s->l2_hits + s->l2_misses + s->l2_pt_hits + s->l2_pt_misses + s->l2_code_hits + s->l2_code_misses +
                   s->l1d_merged + s->l1i_merged,
               s->l1d_misses + s->l1d_pt_misses + s->l1i_misses + s->l1i_behind);
            IS(c->requests_sent, s->l2_misses + s->l2_pt_misses + s->l2_code_misses + s->l1_prefetch_llc + s->l2_prefetched);
            IS(c->pf.nunderway[0] + c->pf.nunderway[1], 0);
            IS(s->dtlb_l1_misses + s->itlb_l1_misses, s->stlb_hits + s->stlb_misses);
            IS(s->walk_refs_l1 + s->walk_refs_l2 + s->walk_refs_llc + s->walk_refs_dram, s->walk_refs);
            IS(s->walk_cycles_l1 + s->walk_cycles_l2 + s->walk_cycles_llc + s->walk_cycles_dram, s->walk_cycles);
            uint64_t nwalks = 0, nfaults = 0;
            for (unsigned b = 0; b < 24; b++)
                nwalks += s->walk_latency[b];
            for (unsigned b = 0; b < 32; b++)
                nfaults += s->fault_latency[b];
            IS(nwalks, s->walks);
            IS(nfaults, s->faults);
            if (r->mmu == &mmu_radix)
                CU_ASSERT(s->dtlb_l1_hits + s->dtlb_l1_misses >= accesses);
        }
        rig_close(r);
    }
}

UNIT_MAIN("cores/core", UNIT(the_short_way_through_dispatch_gives_what_the_long_way_gives),
          UNIT(every_limit_and_every_end_of_the_warm_up_is_met_on_the_instruction),
          UNIT(loads_find_the_stores_before_them_the_short_way_as_the_long_way),
          UNIT(windows_cut_at_random_never_show),
          UNIT(a_machine_saved_at_an_epochs_end_and_restored_elsewhere_goes_on_the_same),
          UNIT(a_core_asleep_when_the_machine_was_saved_wakes_as_it_would_have),
          UNIT(every_epoch_accounts_for_all_its_cycles),
          UNIT(each_access_is_counted_once_at_each_level_that_it_reaches))
