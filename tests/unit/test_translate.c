/*
 * The one translation flow against the hand checks of the test model: L1 TLB 1 cycle, STLB 12, walk
 * cache probe 2, every page-table reference 100. The data of each load misses the caches and takes
 * 100 more (DATA), unless the test says otherwise; times count from the start of the thread.
 */
#include "core_rig.c"

enum { DATA = 100, HIT = 5 };

/* One 4 KiB page at each of the addresses. */
static void map_page(struct rig *r, uint64_t va) { rig_map(r, 0, va, PAGE_SHIFT, RIG_PAGE); }

static void an_l1_tlb_hit_takes_1_cycle_and_a_cold_4_level_walk_415(void)
{
    struct rig *r = rig_open();
    uint64_t va = rig_va(1, 2, 3, 4, 0);
    map_page(r, va);
    rig_load(r, va, 1);
    rig_load(r, va + 64, 1000);
    rig_run(r);
    IS(rig_done(r, 0), 1 + 12 + 2 + 4 * 100 + DATA);
    IS(rig_done(r, 1), 1000 + 1 + DATA);
    IS(rig_stats(r)->walks, 1);
    IS(rig_stats(r)->walk_refs, 4);
    IS(rig_stats(r)->walk_cycles, 402);
    IS(rig_stats(r)->pwc_misses, 1);
    IS(rig_stats(r)->stlb_misses, 1);
    IS(rig_stats(r)->dtlb_l1_misses, 1);
    IS(rig_stats(r)->dtlb_l1_hits, 1);
    IS(rig_line(r, 0), rig_pa(0, va));
    IS(rig_line(r, 1), rig_pa(0, va) + 64);
    rig_close(r);
}

static void an_stlb_hit_takes_13_cycles(void)
{
    struct rig *r = rig_open();
    r->p.l1d4k.entries = r->p.l1d4k.ways = 1;
    map_page(r, rig_va(1, 2, 3, 4, 0));
    map_page(r, rig_va(1, 2, 3, 5, 0));
    rig_load(r, rig_va(1, 2, 3, 4, 0), 1);
    rig_load(r, rig_va(1, 2, 3, 5, 0), 1000);
    rig_load(r, rig_va(1, 2, 3, 4, 64), 1000);
    rig_run(r);
    IS(rig_done(r, 2), 2000 + 1 + 12 + DATA);
    IS(rig_stats(r)->stlb_hits, 1);
    IS(rig_stats(r)->stlb_hit_cycles, 13);
    rig_close(r);
}

static void cold_walks_of_5_levels_and_of_large_pages_take_515_315_215(void)
{
    static const struct {
        unsigned levels, shift;
        uint64_t cycles;
    } cases[] = {{5, 12, 515}, {4, 21, 315}, {4, 30, 215}, {5, 21, 415}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig *r = rig_open();
        uint64_t va = rig_va(1, 2, 3, 4, 0) | (cases[i].levels == 5 ? UINT64_C(5) << 48 : 0);
        r->levels[0] = cases[i].levels;
        rig_map(r, 0, va, cases[i].shift, RIG_PAGE);
        rig_load(r, va, 1);
        rig_load(r, va + 64, 1000);
        rig_run(r);
        IS(rig_done(r, 0), cases[i].cycles + DATA);
        IS(rig_done(r, 1), 1000 + 1 + DATA);
        IS(rig_stats(r)->walk_refs, (cases[i].cycles - 15) / 100);
        IS(rig_line(r, 0), rig_pa(0, va));
        rig_close(r);
    }
}

static void longer_prefixes_in_the_walk_caches_leave_fewer_references(void)
{
    struct rig *r = rig_open();
    /* cold; same PT: PD entry cached; other PD entry: PDPT entry cached; other PDPT entry: PML4. */
    const uint64_t va[] = {rig_va(1, 2, 3, 4, 0), rig_va(1, 2, 3, 5, 0), rig_va(1, 2, 4, 4, 0),
                           rig_va(1, 3, 4, 4, 0)};
    for (unsigned i = 0; i < 4; i++) {
        map_page(r, va[i]);
        rig_load(r, va[i], i == 0 ? 1 : 1000);
    }
    rig_run(r);
    IS(rig_done(r, 0), 415 + DATA);
    IS(rig_done(r, 1), 1000 + 115 + DATA);
    IS(rig_done(r, 2), 2000 + 215 + DATA);
    IS(rig_done(r, 3), 3000 + 315 + DATA);
    IS(rig_stats(r)->pwc_pd_hits, 1);
    IS(rig_stats(r)->pwc_pdpt_hits, 1);
    IS(rig_stats(r)->pwc_pml4_hits, 1);
    IS(rig_stats(r)->pwc_misses, 1);
    IS(rig_stats(r)->walk_refs, 4 + 1 + 2 + 3);
    rig_close(r);
}

/* Walks to `a` and `b` both miss the entry of their 2 MiB and both have it to put in; that of `x` keeps its place of the two. */
static void two_walks_at_once_put_one_entry_into_a_walk_cache(void)
{
    struct rig *r = rig_open();
    r->p.core.width = 6;
    r->p.ptw.ref_cycles = 0;
    r->p.ptw.walkers = 2;
    r->p.pwc.pd_entries = r->p.pwc.ways = 2;
    uint64_t x = rig_va(1, 2, 20, 4, 0), a = rig_va(1, 2, 3, 4, 0), b = rig_va(1, 2, 3, 5, 0), x2 = rig_va(1, 2, 20, 5, 0);
    map_page(r, x);
    map_page(r, x2);
    map_page(r, a);
    map_page(r, b);
    rig_load(r, x, 1);
    rig_load(r, a, 10000);
    rig_load(r, b + 64, 1);
    rig_load(r, x2 + 128, 10000);
    rig_run(r);
    IS(rig_stats(r)->walks, 4);
    IS(rig_stats(r)->walk_merged, 0);
    IS(rig_stats(r)->pwc_pdpt_hits, 2);
    IS(rig_stats(r)->pwc_pd_hits, 1);
    IS(rig_stats(r)->walk_refs, 4 + 2 + 2 + 1);
    rig_close(r);
}

static void leaf_entries_of_large_pages_are_never_in_the_walk_caches(void)
{
    struct rig *r = rig_open();
    r->p.l1d2m.entries = r->p.l1d2m.ways = 1;
    r->p.l1d1g.entries = 1;
    r->p.stlb.entries = r->p.stlb.ways = 1;
    /* 2 MiB: cold 315; neighbour under the same PDPT entry: one reference, 115; the first again. */
    rig_map(r, 0, rig_va(1, 2, 3, 0, 0), 21, RIG_PAGE);
    rig_map(r, 0, rig_va(1, 2, 4, 0, 0), 21, RIG_PAGE);
    rig_load(r, rig_va(1, 2, 3, 0, 0), 1);
    rig_load(r, rig_va(1, 2, 4, 0, 0), 1000);
    rig_load(r, rig_va(1, 2, 3, 7, 0), 1000);
    /* 1 GiB under another PML4 entry: cold 215, and the first again after its neighbour: 115. */
    rig_map(r, 0, rig_va(9, 2, 0, 0, 0), 30, RIG_PAGE);
    rig_map(r, 0, rig_va(9, 3, 0, 0, 0), 30, RIG_PAGE);
    rig_load(r, rig_va(9, 2, 0, 0, 0), 1000);
    rig_load(r, rig_va(9, 3, 0, 0, 0), 1000);
    rig_load(r, rig_va(9, 2, 5, 0, 0), 1000);
    rig_run(r);
    IS(rig_done(r, 0), 315 + DATA);
    IS(rig_done(r, 1), 1000 + 115 + DATA);
    IS(rig_done(r, 2), 2000 + 115 + DATA);
    IS(rig_done(r, 3), 3000 + 215 + DATA);
    IS(rig_done(r, 4), 4000 + 115 + DATA);
    IS(rig_done(r, 5), 5000 + 115 + DATA);
    IS(rig_stats(r)->pwc_pd_hits, 0);
    IS(rig_stats(r)->walks_2m, 3);
    IS(rig_stats(r)->walks_1g, 3);
    rig_close(r);
}

/* ref_cycles 100, or references through cold caches that take 100 each: the same times. */
static void five_cold_misses_on_four_walkers_end_at_four_times_415_and_817(void)
{
    for (unsigned cached = 0; cached < 2; cached++) {
        struct rig *r = rig_open();
        r->p.core.width = 6;
        r->p.ptw.ref_cycles = cached ? 0 : 100;
        for (uint64_t i = 0; i < 5; i++) { /* PML4 entries 8 apart share neither lines nor prefixes */
            uint64_t va = rig_va(8 * i, 2, 3, 4, i * 64);
            map_page(r, va);
            rig_load(r, va, 1);
        }
        rig_run(r);
        for (uint64_t i = 0; i < 4; i++)
            IS(rig_done(r, i), 415 + DATA);
        IS(rig_done(r, 4), 13 + 402 + 402 + DATA);
        IS(rig_stats(r)->walk_refs, 20);
        IS(rig_stats(r)->walk_refs_l1, cached ? 0 : 20);
        IS(rig_stats(r)->walk_refs_dram, cached ? 20 : 0);
        IS(rig_stats(r)->walk_queue_cycles, 402);
        IS(rig_stats(r)->walk_cycles, 5 * 402);
        rig_close(r);
    }
}

static void two_misses_to_one_page_share_one_walk(void)
{
    struct rig *r = rig_open();
    r->p.core.width = 6;
    r->p.ptw.ref_cycles = 0;
    r->p.ptw.walkers = 1;
    uint64_t a = rig_va(1, 2, 3, 4, 0), b = rig_va(9, 2, 3, 4, 0);
    map_page(r, a);
    map_page(r, b);
    rig_load(r, a, 1);
    rig_load(r, a + 64, 1);  /* joins the walk in progress */
    rig_load(r, b + 128, 1); /* waits for the walker */
    rig_load(r, b + 192, 1); /* joins the walk that waits */
    rig_run(r);
    IS(rig_done(r, 0), 415 + DATA);
    IS(rig_done(r, 1), 415 + DATA);
    IS(rig_done(r, 2), 817 + DATA);
    IS(rig_done(r, 3), 817 + DATA);
    IS(rig_stats(r)->walks, 2);
    IS(rig_stats(r)->walk_merged, 2);
    IS(rig_stats(r)->walk_refs, 8);
    rig_close(r);
}

/*
 * Hit or miss of each access, given the past, is a coin of probability E/N once the TLB is full (any
 * replacement): the count's standard deviation is sqrt(40000 * 1/64 * 63/64) = 24.8. While it fills,
 * half a hit is missing. Four deviations: 100.
 */
static void uniform_random_pages_hit_with_probability_entries_by_pages(void)
{
    enum { ENTRIES = 64, PAGES = 4096, ACCESSES = 40000 };
    for (unsigned second = 0; second < 2; second++) {
        struct rig *r = rig_open();
        r->p.l1d4k = (struct tlb_params){second ? 0 : ENTRIES, 0, 1, REPL_LRU};
        r->p.stlb.entries = second ? ENTRIES : 0;
        r->p.stlb.ways = second ? 4 : 0;
        for (uint64_t i = 0; i < PAGES; i++)
            map_page(r, rig_va(1, 2, i / 512, i % 512, 0));
        for (uint64_t i = 0; i < ACCESSES; i++) {
            uint64_t page = rng_below(rng_draw(5, 0, 0, 0, i), PAGES);
            rig_load(r, rig_va(1, 2, page / 512, page % 512, 0), 1);
        }
        rig_run(r);
        const struct core_stats *s = rig_stats(r);
        uint64_t hits = second ? s->stlb_hits : s->dtlb_l1_hits;
        IS(s->walks + hits, ACCESSES);
        IS(second ? s->dtlb_l1_hits : s->stlb_hits, 0);
        CU_ASSERT(hits > 625 - 100 && hits < 625 + 100);
        rig_close(r);
    }
}

static void a_cyclic_sweep_over_one_page_more_than_an_lru_tlb_never_hits_and_over_its_size_always(void)
{
    enum { ENTRIES = 16, ROUNDS = 20 };
    for (uint64_t npages = ENTRIES; npages <= ENTRIES + 1; npages++)
        for (unsigned second = 0; second < 2; second++) {
            struct rig *r = rig_open();
            r->p.l1d4k = (struct tlb_params){second ? 0 : ENTRIES, 0, 1, REPL_LRU};
            r->p.stlb.entries = second ? ENTRIES : 0;
            r->p.stlb.ways = 0;
            for (uint64_t i = 0; i < npages; i++)
                map_page(r, rig_va(1, 2, 3, i * 7, 0));
            for (uint64_t i = 0; i < ROUNDS * npages; i++)
                rig_load(r, rig_va(1, 2, 3, i % npages * 7, 0), 1);
            rig_run(r);
            const struct core_stats *s = rig_stats(r);
            uint64_t by_hand = npages == ENTRIES ? (ROUNDS - 1) * ENTRIES : 0;
            IS(second ? s->stlb_hits : s->dtlb_l1_hits, by_hand);
            IS(s->walks, ROUNDS * npages - by_hand);
            rig_close(r);
        }
}

/*
 * 64 GiB are 64 PDPT entries and 32768 PD entries under one PML4 entry, which is always cached. A
 * walk finds its PD entry with probability 32/32768, else its PDPT entry with 4/64: references
 * 3 - 2/1024 - (1023/1024)/16 = 2.9356 per walk, i.e. 23484.8 for 8000 (and 1 more for the first
 * walk; walk caches that still fill cost less than 1). Deviation sqrt(8000 * (1/16 * 15/16 + ...)) < 24;
 * five of them are 0.015 per walk.
 */
static void walks_of_random_pages_over_64_gib_read_2_94_entries(void)
{
    enum { WALKS = 8000 };
    struct rig *r = rig_open();
    r->p.l1d4k.entries = r->p.stlb.entries = 0;
    for (uint64_t i = 0; i < WALKS; i++) {
        uint64_t page = rng_below(rng_draw(6, 0, 0, 0, i), UINT64_C(1) << 24);
        map_page(r, page << PAGE_SHIFT);
        rig_load(r, page << PAGE_SHIFT, 1);
    }
    rig_run(r);
    const struct core_stats *s = rig_stats(r);
    IS(s->walks, WALKS);
    CU_ASSERT(s->walk_refs > 23485 - 120 && s->walk_refs < 23485 + 120);
    CU_ASSERT((s->walk_refs * 100 + WALKS / 2) / WALKS == 294 || (s->walk_refs * 100 + WALKS / 2) / WALKS == 293);
    IS(s->pwc_misses, 1);
    rig_close(r);
}

static void the_same_page_in_two_address_spaces_does_not_alias(void)
{
    struct rig *r = rig_open();
    uint64_t va = rig_va(1, 2, 3, 4, 0);
    r->nthreads = 2;
    r->threads[1].space = 1;
    rig_map(r, 0, va, PAGE_SHIFT, RIG_PAGE);
    rig_map(r, 1, va, PAGE_SHIFT, RIG_PAGE);
    rig_access(r, 0, va, 1, 0);
    rig_event(r, 0, FE_FUTEX_WAIT, 1); /* the rig's kernel takes it as a yield */
    rig_access(r, 0, va + 64, 2, 0);
    rig_event(r, 0, FE_FUTEX_WAIT, 1);
    rig_access(r, 1, va, 1, 0);
    rig_event(r, 1, FE_FUTEX_WAIT, 1);
    rig_access(r, 1, va + 64, 2, 0);
    rig_run(r);
    IS(rig_stats(r)->walks, 2);
    IS(rig_stats(r)->pwc_misses, 2);
    IS(rig_stats(r)->walk_cycles, 2 * 402);
    IS(rig_stats(r)->dtlb_l1_hits, 2); /* coming back, each finds its own entry again */
    IS(rig_line(r, 0), rig_pa(0, va));
    IS(rig_line(r, 1), rig_pa(1, va));
    IS(rig_line(r, 2), rig_pa(0, va) + 64);
    IS(rig_line(r, 3), rig_pa(1, va) + 64);
    rig_close(r);
}

static void a_shootdown_drops_tlb_and_walk_cache_entries_of_its_range_only(void)
{
    struct rig *r = rig_open();
    uint64_t a = rig_va(1, 2, 3, 4, 0), b = rig_va(1, 2, 3, 5, 0), far = rig_va(100, 2, 3, 4, 0);
    map_page(r, a);
    map_page(r, b);
    map_page(r, far);
    rig_load(r, far, 1);
    rig_load(r, a, 1000);
    rig_load(r, b, 1000);
    struct rig_order *o = rig_order(r, (RIG_START + 2900) * RIG_CYCLE, K_SHOOTDOWN);
    o->a[0] = a;
    o->a[1] = PAGE_BYTES;
    o->a[2] = 1;
    o->a[3] = 77;
    rig_load(r, a + 64, 1000);   /* 3000: walks from the root */
    rig_load(r, b + 64, 1000);   /* 4000: still in the TLB */
    rig_load(r, far + 64, 1000); /* 5000: still in the TLB */
    o = rig_order(r, (RIG_START + 5900) * RIG_CYCLE, K_SHOOTDOWN); /* the whole space */
    o->a[2] = 1;
    o->a[3] = 78;
    rig_load(r, b + 128, 1000);   /* 6000: from the root */
    rig_load(r, far + 128, 1000); /* 7000: from the root */
    rig_run(r);
    IS(rig_done(r, 3), 3000 + 415 + DATA);
    IS(rig_done(r, 4), 4000 + 1 + DATA);
    IS(rig_done(r, 5), 5000 + 1 + DATA);
    IS(rig_done(r, 6), 6000 + 415 + DATA);
    IS(rig_done(r, 7), 7000 + 415 + DATA);
    IS(rig_told_at(r, K_FLUSHED, 0), 2900 + 100);
    IS(rig_told(r, K_FLUSHED, 0)->a[0], 77);
    IS(rig_told_at(r, K_FLUSHED, 1), 5900 + 100);
    IS(rig_stats(r)->shootdowns, 2);
    rig_close(r);
}

/*
 * Two ways, SRRIP: page 2 has come in the place of page 0 and is used again, page 3 comes in the place of page 1, and page 4
 * in that of page 3, which was not used again.
 */
static void under_srrip_the_first_hit_after_a_fill_counts(void)
{
    struct rig *r = rig_open();
    r->p.l1d4k = (struct tlb_params){2, 2, 1, REPL_SRRIP};
    const uint64_t pages[] = {0, 1, 2, 2, 3, 4, 2};
    for (uint64_t i = 0; i < 5; i++)
        map_page(r, rig_va(1, 2, 3, i, 0));
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
        rig_load(r, rig_va(1, 2, 3, pages[i], 64 * i), 3000);
    rig_run(r);
    IS(rig_stats(r)->dtlb_l1_hits, 2);
    IS(rig_stats(r)->stlb_hits, 0);
    IS(rig_stats(r)->walks, 5);
    rig_close(r);
}

static void a_walk_in_flight_at_a_shootdown_fills_nothing(void)
{
    struct rig *r = rig_open();
    r->p.ptw.ref_cycles = 0;
    uint64_t a = rig_va(1, 2, 3, 4, 0);
    map_page(r, a);
    rig_load(r, a, 1);
    struct rig_order *o = rig_order(r, (RIG_START + 250) * RIG_CYCLE, K_SHOOTDOWN);
    o->a[0] = a;
    o->a[1] = PAGE_BYTES;
    o->a[2] = 1;
    rig_load(r, a + 64, 300);  /* does not join it: four entries whose lines are here or on their way */
    rig_load(r, a + 128, 700); /* 1000: a TLB hit again */
    rig_run(r);
    IS(rig_done(r, 0), 415 + DATA);
    /* 300 + 13 + 2; references 1 to 3 hit L1D (5 each: 330), the last joins the line that comes at 415. */
    IS(rig_done(r, 1), 415 + DATA);
    IS(rig_done(r, 2), 1000 + 1 + DATA);
    IS(rig_stats(r)->walks, 2);
    IS(rig_stats(r)->pwc_misses, 2);
    IS(rig_stats(r)->walk_merged, 0);
    rig_close(r);
}

static void an_access_to_a_page_being_walked_never_gets_ahead_of_the_walk(void)
{
    struct rig *r = rig_open();
    r->p.core.width = 16;
    r->p.l1d.mshrs = r->p.l2.mshrs = 512;
    uint64_t warm = rig_va(1, 2, 3, 500, 0);
    map_page(r, warm);
    rig_load(r, warm, 1);
    for (uint64_t i = 0; i < 40; i++) {
        map_page(r, rig_va(1, 2, 3, i, 0));
        rig_load(r, rig_va(1, 2, 3, i, i % 16 * 64), i == 0 ? 4095 : 1);
    }
    for (uint64_t i = 0; i < 40; i++)
        rig_load(r, rig_va(1, 2, 3, i, 2048 + i % 16 * 64), 1);
    rig_run(r);
    /*
     * Instruction 4096, at cycle 255, is the last that the reorder buffer takes beside the first one
     * (which ends at 515). Its PD entry is cached since cycle 0: 102 a walk. The 39 others, 16 a
     * cycle, wait for a place until 515; they ask at 515 to 517 + 13, four walks at a time.
     */
    uint64_t first = 255 + 13 + 102;
    IS(rig_done(r, 1), first + DATA);
    IS(rig_done(r, 41), 515 + 2 + 1 + DATA);
    for (uint64_t i = 1; i < 40; i++) {
        uint64_t end = 515 + 13 + 102 * ((i - 1) / 4 + 1);
        IS(rig_done(r, 1 + i), end + DATA);
        IS(rig_done(r, 41 + i), end + DATA);
    }
    rig_close(r);
}

static void an_accessed_bit_is_reported_once(void)
{
    for (unsigned cached = 0; cached < 2; cached++) {
        struct rig *r = rig_open();
        r->p.ptw.ref_cycles = cached ? 0 : 100;
        uint64_t a = rig_va(1, 2, 3, 4, 0);
        rig_map(r, 0, a, PAGE_SHIFT, RIG_PAGE & ~(PTE_ACCESSED | PTE_DIRTY));
        rig_load(r, a, 1);
        rig_load(r, a + 64, 500);
        rig_order(r, (RIG_START + 900) * RIG_CYCLE, K_SHOOTDOWN)->a[2] = 1;
        rig_load(r, a + 128, 500); /* walks again and finds the bit set */
        rig_run(r);
        IS(rig_stats(r)->walks, 2);
        IS(rig_ntold(r, K_AD), 1);
        IS(rig_told(r, K_AD, 0)->a[0], rig_entry(r, 0, a));
        IS(rig_told(r, K_AD, 0)->a[1], PTE_ACCESSED);
        /* The entry is read at the touch (fixed cost), or when its line is here. */
        IS(rig_told_at(r, K_AD, 0), (cached ? 415 : 0) + 100);
        IS(rig_stats(r)->ad_updates, 1);
        rig_close(r);
    }
}

static void a_store_to_a_clean_page_takes_a_dirty_assist_once(void)
{
    struct rig *r = rig_open();
    uint64_t a = rig_va(1, 2, 3, 4, 0), b = rig_va(1, 2, 3, 5, 0);
    rig_map(r, 0, a, PAGE_SHIFT, RIG_PAGE & ~PTE_DIRTY);
    rig_map(r, 0, b, PAGE_SHIFT, RIG_PAGE & ~(PTE_ACCESSED | PTE_DIRTY));
    rig_load(r, a, 1);
    rig_store(r, a + 64, 1000); /* L1 TLB hit on a clean page: 1 + 100 */
    rig_store(r, a + 128, 1000);
    rig_store(r, b, 1000); /* the walk of a store sets both bits on its way: 115 */
    rig_store(r, b + 64, 1000);
    rig_run(r);
    IS(rig_asked(r, 1), 1000 + 1 + 100);
    IS(rig_asked(r, 2), 2000 + 1);
    IS(rig_asked(r, 3), 3000 + 115);
    IS(rig_asked(r, 4), 4000 + 1);
    IS(rig_stats(r)->dirty_assists, 1);
    IS(rig_ntold(r, K_AD), 2);
    IS(rig_told(r, K_AD, 0)->a[0], rig_entry(r, 0, a));
    CU_ASSERT(rig_told(r, K_AD, 0)->a[1] & PTE_DIRTY);
    IS(rig_told(r, K_AD, 1)->a[0], rig_entry(r, 0, b));
    IS(rig_told(r, K_AD, 1)->a[1], PTE_ACCESSED | PTE_DIRTY);
    rig_close(r);
}

/*
 * The load, in slot T, has its data at T + 1 + 100; the store's address is known at T + 2 + 100 and its instruction
 * is over in the cycle after that, when the eighth one behind it finds a place.
 */
static void a_store_whose_data_comes_first_is_complete_after_its_translation(void)
{
    for (unsigned slow = 0; slow < 2; slow++) {
        struct rig *r = rig_open();
        uint64_t a = rig_va(1, 2, 3, 4, 0);
        r->slow = slow;
        r->miss_cycles = 100;
        r->p.core.rob = 8;
        rig_map(r, 0, a, PAGE_SHIFT, RIG_PAGE & ~PTE_DIRTY);
        rig_load(r, a, 1);
        rig_load(r, a + 64, 1000);
        rig_store(r, a + 128, 1)->data_dep = 1;
        rig_load(r, a + 256, 8);
        rig_run(r);
        IS(rig_stats(r)->dirty_assists, 1);
        IS(rig_asked(r, 3), rig_asked(r, 1) + 103);
        rig_close(r);
    }
}

/* TLBs off, so that every load reads the table. */
static void a_page_table_update_is_seen_exactly_from_its_time_on(void)
{
    const uint64_t at = 2000;
    for (unsigned cached = 0; cached < 2; cached++)
        for (uint64_t early_fs = 0; early_fs < RIG_CYCLE; early_fs += RIG_CYCLE / 2) {
            struct rig *r = rig_open();
            r->p.ptw.ref_cycles = cached ? 0 : 100;
            r->p.l1d4k.entries = r->p.stlb.entries = 0;
            uint64_t a = rig_va(1, 2, 3, 4, 0), other = UINT64_C(1) << 51;
            map_page(r, a);
            struct rig_order *o = rig_order(r, (RIG_START + at) * RIG_CYCLE - early_fs, 0);
            o->a[0] = rig_entry(r, 0, a);
            o->a[1] = other | RIG_PAGE;
            rig_load(r, a, 1);
            rig_load(r, a + 64, (uint32_t)at - 1); /* touches one cycle before */
            rig_load(r, a + 128, 1);               /* touches at that cycle */
            rig_run(r);
            if (!cached) {
                IS(rig_line(r, 0), rig_pa(0, a));
                IS(rig_line(r, 1), rig_pa(0, a) + 64);
                IS(rig_line(r, 2), other + 128);
            } else {
                /* The written line left the caches: 4 + 1 requests, then 1 + 1, then PT line and 1. */
                IS(rig_slice(r)->reads, 5 + 1 + 2);
                IS(rig_line(r, 5), rig_entry(r, 0, a) & ~UINT64_C(63)); /* asked at 2000 + 3 */
                IS(rig_line(r, 6), rig_pa(0, a) + 64);                  /* at 1999 + 3 + 5 */
                IS(rig_line(r, 7), other + 128);
                IS(rig_stats(r)->invalidated, 1);
            }
            rig_close(r);
        }
}

static void an_ideal_mmu_charges_nothing_and_still_faults(void)
{
    struct rig *r = rig_open();
    r->mmu = &mmu_ideal;
    uint64_t a = rig_va(1, 2, 3, 4, 0), hole = rig_va(1, 2, 3, 5, 0);
    map_page(r, a);
    rig_load(r, a, 1);
    rig_load(r, a + 64, 1);
    rig_load(r, hole, 998); /* cycle 1000 less 1 */
    rig_run(r);
    IS(rig_done(r, 0), DATA);
    IS(rig_done(r, 1), 1 + DATA);
    /* The fault is known at 999, at the kernel at 1099, answered at 2099. */
    IS(rig_told_at(r, K_FAULT, 0), 999 + 100);
    IS(rig_done(r, 2), 999 + 100 + 1000 + DATA);
    const struct core_stats *s = rig_stats(r);
    IS(s->dtlb_l1_hits + s->dtlb_l1_misses + s->stlb_hits + s->stlb_misses + s->walks + s->walk_cycles, 0);
    IS(s->faults, 1);
    rig_close(r);
}

static void a_walk_through_the_caches_pays_for_the_level_that_holds_each_entry(void)
{
    struct rig *r = rig_open();
    r->p.ptw.ref_cycles = 0;
    uint64_t a = rig_va(1, 2, 3, 4, 0), same_line = rig_va(1, 2, 3, 5, 0);
    map_page(r, a);
    map_page(r, same_line);
    rig_load(r, a, 1);
    rig_load(r, same_line + 64, 1000); /* PD entry cached, the PT entry's line in L1D */
    rig_order(r, (RIG_START + 1900) * RIG_CYCLE, K_SHOOTDOWN)->a[2] = 1;
    rig_load(r, a + 128, 1000); /* four entries, all in L1D */
    rig_run(r);
    IS(rig_done(r, 0), 415 + DATA);
    IS(rig_done(r, 1), 1000 + 13 + 2 + HIT + DATA);
    IS(rig_done(r, 2), 2000 + 13 + 2 + 4 * HIT + DATA);
    const struct core_stats *s = rig_stats(r);
    IS(s->walk_refs_dram, 4);
    IS(s->walk_refs_l1, 5);
    IS(s->walk_cycles_dram, 400);
    IS(s->walk_cycles_l1, 3 * 2 + 5 * HIT);
    IS(s->walk_cycles, 402 + 7 + 22);
    IS(s->l1d_pt_hits, 5);
    IS(s->l1d_pt_misses, 4);
    IS(s->l2_pt_misses, 4);
    IS(s->l2_pt_lines, 4);
    rig_close(r);
}

static void a_store_to_a_read_only_page_faults_and_a_load_does_not(void)
{
    struct rig *r = rig_open();
    uint64_t a = rig_va(1, 2, 3, 4, 0);
    rig_map(r, 0, a, PAGE_SHIFT, RIG_PAGE & ~(PTE_RW | PTE_DIRTY));
    rig_load(r, a, 1);
    rig_store(r, a + 64, 1000);
    rig_run(r);
    IS(rig_done(r, 0), 415 + DATA);
    IS(rig_ntold(r, K_FAULT), 1);
    /* The TLB hit already tells: known after 1 cycle. */
    IS(rig_told_at(r, K_FAULT, 0), 1000 + 1 + 100);
    IS(rig_told(r, K_FAULT, 0)->a[1], KF_WRITE);
    IS(rig_told(r, K_FAULT, 0)->a[0], a + 64);
    /* Answered at 2101; the entry was dropped, the PD entry is cached: 115. */
    IS(rig_asked(r, 1), 1000 + 1 + 100 + 1000 + 115);
    rig_close(r);
}

static void without_an_l1_tlb_every_access_pays_the_stlb(void)
{
    struct rig *r = rig_open();
    r->p.l1d4k.entries = 0;
    uint64_t a = rig_va(1, 2, 3, 4, 0);
    map_page(r, a);
    rig_load(r, a, 1);
    rig_load(r, a + 64, 1000);
    rig_load(r, a + 128, 1000);
    rig_run(r);
    IS(rig_done(r, 1), 1000 + 13 + DATA);
    IS(rig_done(r, 2), 2000 + 13 + DATA);
    IS(rig_stats(r)->stlb_hits, 2);
    IS(rig_stats(r)->dtlb_l1_hits, 0);
    rig_close(r);
}

static void each_l1_tlb_charges_its_own_latency(void)
{
    struct rig *r = rig_open();
    r->p.l1d2m.latency_cycles = 3;
    r->p.l1d1g.latency_cycles = 4;
    rig_map(r, 0, rig_va(1, 2, 3, 0, 0), 21, RIG_PAGE);
    rig_map(r, 0, rig_va(9, 2, 0, 0, 0), 30, RIG_PAGE);
    for (unsigned i = 0; i < 3; i++)
        rig_load(r, rig_va(1, 2, 3, 0, 64 * i), i == 0 ? 1 : 1000);
    for (unsigned i = 0; i < 3; i++)
        rig_load(r, rig_va(9, 2, 0, 0, 4096 + 64 * i), 1000);
    rig_run(r);
    IS(rig_done(r, 1), 1000 + 3 + DATA);
    IS(rig_done(r, 2), 2000 + 3 + DATA);
    IS(rig_done(r, 4), 4000 + 4 + DATA);
    IS(rig_done(r, 5), 5000 + 4 + DATA);
    rig_close(r);
}

static void a_load_that_joins_the_walk_of_a_store_does_not_inherit_its_fault(void)
{
    struct rig *r = rig_open();
    r->p.core.width = 6;
    r->p.ptw.ref_cycles = 0;
    r->mmu = &mmu_radix;
    uint64_t ro = rig_va(1, 2, 3, 4, 0), first = rig_va(9, 2, 3, 4, 0);
    rig_map(r, 0, ro, PAGE_SHIFT, RIG_PAGE & ~(PTE_RW | PTE_DIRTY));
    map_page(r, first);
    rig_load(r, first, 1);
    rig_load(r, ro, 1)->addr_dep[0] = 1; /* older than the store, but its address comes at 515 */
    rig_store(r, ro + 64, 2100);         /* 350: walks until 350 + 415 */
    rig_run(r);
    /* The load's page is there to read: the one fault is the store's. */
    IS(rig_ntold(r, K_FAULT), 1);
    IS(rig_told(r, K_FAULT, 0)->a[1], KF_WRITE);
    rig_close(r);
}

/* ---- a design with hooks ---------------------------------------------------------------------- */

/* An L3 TLB of four entries behind an STLB of one; 30 cycles for each probe. */
static struct rig *third_level(void)
{
    struct rig *r = rig_open();
    r->mmu = &mmu_l3tlb;
    r->p.core.mmu = MMU_l3tlb;
    r->p.mmu[MMU_l3tlb][0] = r->p.mmu[MMU_l3tlb][1] = 4;
    r->p.mmu[MMU_l3tlb][2] = 30;
    r->p.l1d4k.entries = r->p.l1d4k.ways = 1;
    r->p.stlb.entries = r->p.stlb.ways = 1;
    return r;
}

static void a_design_is_probed_behind_the_stlb_and_charged_hit_or_miss(void)
{
    struct rig *r = third_level();
    uint64_t a = rig_va(1, 2, 3, 4, 0), b = rig_va(1, 2, 3, 5, 0);
    map_page(r, a);
    map_page(r, b);
    rig_load(r, a, 1);         /* 1 + 12 + 30 + 2 + 400 */
    rig_load(r, b, 1000);      /* the PD entry is cached: 1 + 12 + 30 + 2 + 100; pushes a out */
    rig_load(r, a + 64, 1000); /* 1 + 12 + 30, no walk */
    rig_load(r, a + 128, 1000); /* now in the L1 TLB again */
    rig_run(r);
    IS(rig_done(r, 0), 445 + DATA);
    IS(rig_done(r, 1), 1000 + 145 + DATA);
    IS(rig_done(r, 2), 2000 + 43 + DATA);
    IS(rig_done(r, 3), 3000 + 1 + DATA);
    IS(rig_stats(r)->walks, 2);
    IS(rig_stats(r)->mmu_probes, 3);
    IS(rig_stats(r)->mmu_hits, 1);
    IS(rig_stats(r)->mmu_cycles, 90);
    IS(rig_stats(r)->stlb_misses, 3);
    rig_close(r);
}

static void a_shootdown_reaches_the_design(void)
{
    struct rig *r = third_level();
    uint64_t a = rig_va(1, 2, 3, 4, 0), b = rig_va(1, 2, 3, 5, 0);
    map_page(r, a);
    map_page(r, b);
    rig_load(r, a, 1);
    rig_load(r, b, 1000);
    struct rig_order *o = rig_order(r, (RIG_START + 1900) * RIG_CYCLE, K_SHOOTDOWN);
    o->a[0] = a;
    o->a[1] = PAGE_BYTES;
    o->a[2] = 1;
    rig_load(r, a + 64, 1000); /* from the root: the walk caches lost their entries, too */
    rig_run(r);
    IS(rig_done(r, 2), 2000 + 445 + DATA);
    IS(rig_stats(r)->mmu_hits, 0);
    rig_close(r);
}

/* B's access comes at 200, while A's walk (13 + 30 ... 445) for the same page goes on: it waits for it. */
static void a_hit_in_a_design_waits_for_the_walk_that_fills_it(void)
{
    struct rig *r = third_level();
    uint64_t a = rig_va(1, 2, 3, 4, 0), b = rig_va(9, 2, 3, 5, 0);
    map_page(r, a);
    map_page(r, b);
    rig_load(r, a, 1);
    rig_load(r, b, 99);        /* 99: its fill takes A's place in both TLBs */
    rig_load(r, a + 64, 100);  /* 199: in the third level, but A's walk ends at 445 */
    rig_run(r);
    IS(rig_done(r, 2), 445 + DATA);
    IS(rig_stats(r)->mmu_hits, 1);
    rig_close(r);
}

UNIT_MAIN("cores/translate", UNIT(an_l1_tlb_hit_takes_1_cycle_and_a_cold_4_level_walk_415),
          UNIT(an_stlb_hit_takes_13_cycles), UNIT(cold_walks_of_5_levels_and_of_large_pages_take_515_315_215),
          UNIT(longer_prefixes_in_the_walk_caches_leave_fewer_references),
          UNIT(leaf_entries_of_large_pages_are_never_in_the_walk_caches),
          UNIT(two_walks_at_once_put_one_entry_into_a_walk_cache),
          UNIT(five_cold_misses_on_four_walkers_end_at_four_times_415_and_817),
          UNIT(two_misses_to_one_page_share_one_walk),
          UNIT(uniform_random_pages_hit_with_probability_entries_by_pages),
          UNIT(a_cyclic_sweep_over_one_page_more_than_an_lru_tlb_never_hits_and_over_its_size_always),
          UNIT(walks_of_random_pages_over_64_gib_read_2_94_entries),
          UNIT(the_same_page_in_two_address_spaces_does_not_alias),
          UNIT(a_shootdown_drops_tlb_and_walk_cache_entries_of_its_range_only),
          UNIT(under_srrip_the_first_hit_after_a_fill_counts),
          UNIT(a_walk_in_flight_at_a_shootdown_fills_nothing),
          UNIT(an_access_to_a_page_being_walked_never_gets_ahead_of_the_walk),
          UNIT(an_accessed_bit_is_reported_once), UNIT(a_store_to_a_clean_page_takes_a_dirty_assist_once),
          UNIT(a_store_whose_data_comes_first_is_complete_after_its_translation),
          UNIT(a_page_table_update_is_seen_exactly_from_its_time_on),
          UNIT(an_ideal_mmu_charges_nothing_and_still_faults),
          UNIT(a_walk_through_the_caches_pays_for_the_level_that_holds_each_entry),
          UNIT(a_store_to_a_read_only_page_faults_and_a_load_does_not),
          UNIT(without_an_l1_tlb_every_access_pays_the_stlb), UNIT(each_l1_tlb_charges_its_own_latency),
          UNIT(a_load_that_joins_the_walk_of_a_store_does_not_inherit_its_fault),
          UNIT(a_design_is_probed_behind_the_stlb_and_charged_hit_or_miss), UNIT(a_shootdown_reaches_the_design),
          UNIT(a_hit_in_a_design_waits_for_the_walk_that_fills_it))
