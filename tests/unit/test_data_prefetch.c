/*
 * Prefetchers in a whole core, by hand. Most tests run with an ideal MMU over one 1 GiB page: a load
 * takes 5 cycles in L1D, 15 in L2, 100 beyond, and with width 1 the n-th instruction dispatches at
 * cycle n - 1. rig_run checks at the end that everything asked for was answered and that the
 * prefetches of each level add up.
 */
#include "core_rig.c"

#define LINE(n) ((uint64_t)(n) << LINE_SHIFT)
#define PA(va) rig_pa(0, va)
#define AT(n) (500 * ((uint64_t)(n) + 1) - 1) /* dispatch of load n, when all have a gap of 500 */

static void defaults(struct rig *r)
{
    r->p.prefetch = (struct prefetch_params){
        .common = {.mshrs_left = 4},
        .next_line = {.degree = 1},
        .ip_stride = {.entries = 64, .confidence = 1, .max_bytes = 2048, .distance = 1, .degree = 1},
        .streamer = {.streams = 32, .confidence = 2, .distance = 4, .degree = 2},
        .berti = {.history_sets = 8, .history_ways = 16, .entries = 16, .round = 4, .l1_percent = 65,
                  .l2_percent = 35, .degree = 12}};
}

static struct rig *ideal(enum prefetch_kind l1d, enum prefetch_kind l2)
{
    struct rig *r = rig_open();
    r->mmu = &mmu_ideal;
    rig_map(r, 0, 0, PAGE_SHIFT_1G, RIG_PAGE);
    defaults(r);
    r->p.l1d.prefetcher = l1d;
    r->p.l2.prefetcher = l2;
    return r;
}

static void loads(struct rig *r, const uint64_t *lines, size_t n)
{
    for (size_t i = 0; i < n; i++)
        rig_load(r, LINE(lines[i]), 500);
}
#define LOADS(r, ...) loads(r, (uint64_t[]){__VA_ARGS__}, sizeof((uint64_t[]){__VA_ARGS__}) / 8)

/* The slice heard of exactly these lines, in this order. */
static void requests(const struct rig *r, const uint64_t *lines, size_t n)
{
    IS(rig_slice(r)->reads, n);
    for (size_t i = 0; i < n; i++)
        IS(rig_line(r, i), PA(LINE(lines[i])));
}
#define REQUESTS(r, ...) requests(r, (uint64_t[]){__VA_ARGS__}, sizeof((uint64_t[]){__VA_ARGS__}) / 8)

/* ---- into L1D --------------------------------------------------------------------------------- */

static void a_stride_is_prefetched_at_its_third_access_and_the_fourth_hits(void)
{
    struct rig *r = ideal(PREFETCHER_ip_stride, PREFETCHER_none);
    LOADS(r, 0, 4, 8, 12);
    rig_run(r);
    REQUESTS(r, 0, 4, 8, 12, 16);
    IS(rig_asked(r, 2), AT(2));
    IS(rig_asked(r, 3), AT(2) + 1); /* a cycle after the load that called for it */
    IS(rig_asked(r, 4), AT(3) + 1); /* a first use goes on with the stride */
    IS(rig_done(r, 2), AT(2) + 100);
    IS(rig_done(r, 3), AT(3) + 5);
    const struct core_stats *s = rig_stats(r);
    IS(s->l1_prefetched, 2);
    IS(s->l1_prefetch_llc, 2);
    IS(s->l1_prefetch_useful, 1);
    IS(s->l1_prefetch_unused, 1);
    IS(s->l2_misses, 3);
    rig_close(r);
}

/* An address of an instruction whose place in a table of three is `place`, and in one masked with two `masked`. */
static uint64_t instruction_at(uint32_t place, uint32_t masked)
{
    for (uint64_t pc = 0x1000;; pc += 4)
        if (prefetch_ip(pc) % 3 == place && (prefetch_ip(pc) & 2) == masked)
            return pc;
}

/* Two instructions with a stride each, in a table that is no power of two. */
static void instructions_share_a_place_by_the_remainder_of_the_entries(void)
{
    for (uint32_t same = 0; same < 2; same++) {
        struct rig *r = ideal(PREFETCHER_ip_stride, PREFETCHER_none);
        r->p.prefetch.ip_stride.entries = 3;
        r->pcs[1] = instruction_at(1, 0);
        r->pcs[2] = same ? instruction_at(1, 2) : instruction_at(2, 0);
        for (uint64_t i = 0; i < 3; i++) {
            rig_load(r, LINE(4 * i), 500)->pc_id = 1;
            rig_load(r, LINE(1000 + 4 * i), 500)->pc_id = 2;
        }
        rig_run(r);
        IS(rig_stats(r)->l1_prefetched, same ? 0 : 2);
        rig_close(r);
    }
}

/* The prefetch leaves one cycle after load 2 and takes 100; load 3 comes 60 cycles after load 2. */
static void a_late_prefetch_saves_exactly_its_head_start(void)
{
    uint64_t done[2];
    for (unsigned on = 0; on < 2; on++) {
        struct rig *r = ideal(on ? PREFETCHER_ip_stride : PREFETCHER_none, PREFETCHER_none);
        LOADS(r, 0, 4, 8);
        rig_load(r, LINE(12), 60);
        rig_run(r);
        done[on] = rig_done(r, 3);
        IS(rig_stats(r)->l1_prefetch_late, on);
        IS(rig_stats(r)->l1_prefetch_useful, 0);
        IS(rig_stats(r)->l1d_merged, on);
        IS(rig_slice(r)->reads, on ? 5 : 4); /* line 16 */
        rig_close(r);
    }
    IS(done[0], AT(2) + 60 + 100);
    IS(done[1], AT(2) + 1 + 100);
}

/* All of them load the same line while its prefetch is on its way. */
static void everybody_who_waits_for_a_prefetch_is_woken(void)
{
    struct rig *r = ideal(PREFETCHER_ip_stride, PREFETCHER_streamer);
    r->p.prefetch.common.mshrs_left = 15; /* so that L2 asks for the line */
    LOADS(r, 0, 1, 2);
    rig_load(r, LINE(3), 20);
    rig_load(r, LINE(3) + 8, 1);
    rig_store(r, LINE(3) + 16, 1);
    rig_load(r, LINE(3) + 24, 1);
    rig_load(r, LINE(3), 200);
    rig_run(r);
    IS(rig_stats(r)->l1_prefetched, 0);
    IS(rig_stats(r)->l2_prefetch_late, 1);
    for (uint64_t i = 3; i < 6; i++)
        IS(rig_done(r, i), AT(2) + 101);
    IS(rig_done(r, 6), AT(2) + 223 + 5); /* the line is in L1D */
    IS(rig_stats(r)->l1d_mshr_waits, 0);
    rig_close(r);
}

static void a_prefetch_that_hits_l2_is_there_after_l2s_latency(void)
{
    struct rig *r = ideal(PREFETCHER_next_line, PREFETCHER_none);
    r->p.l1d.size_bytes = 2 * LINE_BYTES;
    r->p.l1d.ways = 1;
    /* Lines 1, 3 and 5 replace each other in L1D, 0 and 2 as well; L2 has them all. */
    r->p.l1d.prefetcher = PREFETCHER_ip_stride;
    LOADS(r, 6, 4, 2);               /* asks for 0, which takes the place of 2 and 4 in L1D */
    rig_load(r, LINE(1), 500);       /* instruction 2 */
    rig_load(r, LINE(6), 500);       /* 0 leaves L1D unused */
    rig_load(r, LINE(4), 500);
    rig_load(r, LINE(2), 500);       /* asks for 0 again: L2 has it */
    rig_load(r, LINE(0), 8);         /* 7 cycles after its prefetch, which takes 15 */
    rig_load(r, LINE(0), 100);
    for (uint32_t i = 0; i < r->threads[0].blocks[0].nacc; i++)
        r->threads[0].blocks[0].acc[i].pc_id = i == 3 || i > 6;
    r->pcs[0] = 0x1000;
    r->pcs[1] = 0x1004;
    rig_run(r);
    const struct core_stats *s = rig_stats(r);
    REQUESTS(r, 6, 4, 2, 0, 1);
    IS(s->l1_prefetched, 2);
    IS(s->l1_prefetch_useless, 1);
    IS(s->l1_prefetch_l2, 1);
    IS(s->l1_prefetch_late, 1);
    IS(rig_done(r, 6), AT(6) + 15);
    IS(rig_done(r, 7), AT(6) + 1 + 15);
    IS(rig_done(r, 8), AT(6) + 108 + 5);
    rig_close(r);
}

static void an_unused_line_is_useless_when_it_is_replaced_or_invalidated(void)
{
    for (unsigned how = 0; how < 3; how++) {
        struct rig *r = ideal(PREFETCHER_ip_stride, PREFETCHER_none);
        r->p.l1d.size_bytes = 64 * LINE_BYTES;
        r->p.l1d.ways = 1;
        LOADS(r, 0, 4, 8);
        if (how == 1)
            rig_load(r, LINE(64 + 12), 2000);
        else
            rig_load(r, LINE(33), 2000);
        if (how == 2) {
            struct rig_order *o = rig_order(r, (RIG_START + 2000) * RIG_CYCLE, MEM_INVALIDATE);
            o->a[0] = PA(LINE(12));
        }
        rig_run(r);
        IS(rig_stats(r)->l1_prefetched, 1);
        IS(rig_stats(r)->l1_prefetch_useless, how != 0);
        IS(rig_stats(r)->l1_prefetch_unused, how == 0);
        rig_close(r);
    }
}

static void prefetches_leave_mshrs_for_demand(void)
{
    for (uint64_t left = 0; left < 2; left++) {
        struct rig *r = ideal(PREFETCHER_ip_stride, PREFETCHER_none);
        r->p.l1d.mshrs = 2;
        r->p.prefetch.common.mshrs_left = left;
        LOADS(r, 0, 4, 8); /* load 2 has one, the prefetch would have the other */
        rig_load(r, LINE(100), 10);
        rig_run(r);
        IS(rig_stats(r)->l1_prefetch_no_mshr, left);
        IS(rig_stats(r)->l1_prefetched, 1 - left);
        /* Load 3 waits for load 2's MSHR, then. */
        IS(rig_stats(r)->l1d_mshr_waits, 1 - left);
        IS(rig_done(r, 3), left ? AT(2) + 10 + 100 : AT(2) + 100 + 100);
        rig_close(r);
    }
}

static void an_access_to_the_line_of_the_one_before_it_teaches_nothing_nor_do_stores_unless_told(void)
{
    struct rig *r = ideal(PREFETCHER_next_line, PREFETCHER_none);
    rig_load(r, LINE(0), 500);
    rig_load(r, LINE(0) + 8, 1); /* it misses, too; but the line after it was asked for */
    rig_run(r);
    IS(rig_stats(r)->l1_prefetched, 1);
    IS(rig_stats(r)->l1_prefetch_redundant, 0);
    rig_close(r);
    for (unsigned seen = 0; seen < 2; seen++) {
        r = ideal(PREFETCHER_ip_stride, PREFETCHER_none);
        r->p.prefetch.common.stores = seen;
        for (uint64_t i = 0; i < 3; i++)
            rig_store(r, LINE(i), 500);
        rig_run(r);
        IS(rig_stats(r)->l1_prefetched, seen);
        rig_close(r);
    }
}

/* Loads come 40 cycles apart and each line takes 100: deltas of three lines are timely. */
static void berti_learns_in_a_core_what_is_timely_there(void)
{
    struct rig *r = ideal(PREFETCHER_berti, PREFETCHER_none);
    for (uint64_t i = 0; i < 40; i++)
        rig_load(r, LINE(i), 40);
    rig_run(r);
    const struct core_stats *s = rig_stats(r);
    IS(s->l1_prefetch_useless, 0);
    IS(s->l1_prefetch_late, 0);
    /* The last loads are hits. */
    for (uint64_t i = 30; i < 40; i++)
        IS(rig_done(r, i), 40 * (i + 1) - 1 + 5);
    CU_ASSERT(s->l1_prefetch_useful >= 20);
    rig_close(r);
}

/* ---- into L2 ---------------------------------------------------------------------------------- */

static void the_streamer_fills_l2_and_leaves_l1d_alone(void)
{
    struct rig *r = ideal(PREFETCHER_none, PREFETCHER_streamer);
    LOADS(r, 0, 1, 2, 3);
    rig_run(r);
    REQUESTS(r, 0, 1, 2, 3, 4, 5, 6);
    IS(rig_asked(r, 3), AT(2) + 1);
    IS(rig_asked(r, 4), AT(2) + 2);
    IS(rig_done(r, 3), AT(3) + 15);
    const struct core_stats *s = rig_stats(r);
    IS(s->l2_prefetched, 4);
    IS(s->l2_prefetch_useful, 1);
    IS(s->l2_prefetch_unused, 3);
    IS(s->l1d_misses, 4);
    IS(s->l2_hits, 1);
    rig_close(r);
}

static void a_late_prefetch_into_l2_is_a_miss_from_then_on_and_fills_l1d(void)
{
    struct rig *r = ideal(PREFETCHER_none, PREFETCHER_streamer);
    LOADS(r, 0, 1, 2);
    rig_load(r, LINE(4), 60);
    rig_load(r, LINE(4), 200);
    rig_run(r);
    IS(rig_done(r, 3), AT(2) + 2 + 100);
    IS(rig_done(r, 4), AT(2) + 260 + 5);
    IS(rig_stats(r)->l2_prefetch_late, 1);
    rig_close(r);
}

/* With 3 L2 MSHRs for 2 L1D MSHRs, the streamer has one, and demand always finds its two. */
static void prefetches_into_l2_never_make_demand_wait_for_an_mshr(void)
{
    struct rig *r = ideal(PREFETCHER_none, PREFETCHER_streamer);
    r->p.l1d.mshrs = 2;
    r->p.l2.mshrs = 3;
    LOADS(r, 0, 1, 2);
    rig_load(r, LINE(100), 1);
    rig_run(r);
    REQUESTS(r, 0, 1, 2, 3, 100);
    IS(rig_stats(r)->l2_prefetched, 1);
    IS(rig_stats(r)->l2_prefetch_no_mshr, 1);
    IS(rig_stats(r)->l1d_mshr_waits, 0);
    rig_close(r);
}

/* Load 2 asks for line 3 in L1D, and this is what the streamer sees next: 4, 5, then 6, 7. */
static void the_streamer_sees_the_prefetches_of_l1d(void)
{
    struct rig *r = ideal(PREFETCHER_ip_stride, PREFETCHER_streamer);
    LOADS(r, 0, 1, 2);
    rig_run(r);
    /* Of load 2: 3 and 4 into L2. Its prefetch into L1D takes line 3 over; then 5 and 6. */
    REQUESTS(r, 0, 1, 2, 3, 4, 5, 6);
    IS(rig_stats(r)->l1_prefetch_joined, 1);
    IS(rig_stats(r)->l2_prefetch_late, 1);
    IS(rig_stats(r)->l2_prefetched, 4);
    rig_close(r);
}

/* ---- pages ------------------------------------------------------------------------------------ */

#define PAGE(n) rig_va(1, 2, 3, n, 0)

/* Radix tables at 100 cycles a reference; pages [0, n) of 4 KiB. */
static struct rig *paged(enum prefetch_kind l1d, uint64_t n)
{
    struct rig *r = rig_open();
    defaults(r);
    r->p.l1d.prefetcher = l1d;
    for (uint64_t i = 0; i < n; i++)
        rig_map(r, 0, PAGE(i), PAGE_SHIFT, RIG_PAGE);
    /* The way to the page behind them is there, but nothing is mapped. */
    rig_map(r, 0, PAGE(n), PAGE_SHIFT, 0);
    return r;
}

/* Three loads 1 KiB apart at the end of page 0; the next one would be in page 1. */
static void three_steps(struct rig *r)
{
    for (uint64_t i = 1; i < 4; i++)
        rig_load(r, PAGE(0) + i * 1024, 1000);
}

static void a_prefetch_stops_at_the_end_of_its_page(void)
{
    struct rig *r = paged(PREFETCHER_ip_stride, 2);
    three_steps(r);
    rig_run(r);
    IS(rig_slice(r)->reads, 3);
    IS(rig_stats(r)->l1_prefetch_page_end, 1);
    rig_close(r);
}

/* L1 TLB 1 cycle, STLB 12. */
static void a_prefetch_crosses_when_a_tlb_knows_the_page_and_is_dropped_when_none_does(void)
{
    struct rig *r = paged(PREFETCHER_ip_stride, 2);
    r->p.prefetch.common.cross_page = 1;
    rig_load(r, PAGE(1) + 512, 1000)->pc_id = 1;
    r->pcs[1] = 0x1004;
    three_steps(r);
    rig_run(r);
    uint64_t third = 3999 + 1; /* dispatch and L1 TLB */
    IS(rig_slice(r)->reads, 5);
    IS(rig_line(r, 4), PA(PAGE(1)));
    IS(rig_asked(r, 4), third + 1 + 1);
    IS(rig_stats(r)->dtlb_l1_hits + rig_stats(r)->dtlb_l1_misses, 4); /* not the prefetch */
    rig_close(r);

    /* In the STLB only. */
    r = paged(PREFETCHER_ip_stride, 2);
    r->p.prefetch.common.cross_page = 1;
    r->p.l1d4k = (struct tlb_params){1, 1, 1, REPL_LRU};
    rig_load(r, PAGE(1) + 512, 1000)->pc_id = 1;
    r->pcs[1] = 0x1004;
    three_steps(r);
    rig_run(r);
    IS(rig_line(r, 4), PA(PAGE(1)));
    IS(rig_asked(r, 4), third + 1 + 1 + 12);
    rig_close(r);

    r = paged(PREFETCHER_ip_stride, 2);
    r->p.prefetch.common.cross_page = 1;
    three_steps(r);
    rig_run(r);
    IS(rig_slice(r)->reads, 3);
    IS(rig_stats(r)->l1_prefetch_untranslated, 1);
    IS(rig_stats(r)->walks, 1);
    rig_close(r);
}

/* L1 TLB 1, STLB 12, walk caches 2, one reference of 100; then a load finds the page in the TLB. */
static void a_prefetch_may_walk_and_fills_the_tlbs(void)
{
    struct rig *r = paged(PREFETCHER_ip_stride, 2);
    r->p.prefetch.common.cross_page = r->p.prefetch.common.walk = 1;
    three_steps(r);
    rig_load(r, PAGE(1), 1000);
    rig_run(r);
    uint64_t third = 2999 + 1;
    IS(rig_line(r, 3), PA(PAGE(1)));
    IS(rig_asked(r, 3), third + 1 + 13 + 102);
    const struct core_stats *s = rig_stats(r);
    IS(s->walks, 2);
    IS(s->walks_prefetch, 1);
    IS(s->stlb_misses, 1);
    IS(s->l1_prefetch_useful, 1);
    IS(rig_done(r, 3), 3999 + 1 + 5);
    rig_close(r);
}

/* A load to the page in the middle of that walk waits for it, and no second one starts. */
static void a_load_joins_the_walk_of_a_prefetch(void)
{
    struct rig *r = paged(PREFETCHER_ip_stride, 2);
    r->p.prefetch.common.cross_page = r->p.prefetch.common.walk = 1;
    r->p.ptw.ref_cycles = 0; /* through the caches: the entry takes 100 */
    three_steps(r);
    rig_load(r, PAGE(1) + 2048, 50)->pc_id = 1;
    r->pcs[1] = 0x1004;
    rig_run(r);
    const struct core_stats *s = rig_stats(r);
    IS(s->walks, 2);
    IS(s->walks_prefetch, 1);
    IS(s->walk_merged, 0); /* it came after the walk: the entry's line was in L1D from the first walk */
    IS(s->l1_prefetched, 1);
    rig_close(r);

    r = paged(PREFETCHER_ip_stride, 9); /* page 8's entry is on the next line of the table */
    r->p.prefetch.common.cross_page = r->p.prefetch.common.walk = 1;
    r->p.ptw.ref_cycles = 0;
    for (uint64_t i = 1; i < 4; i++)
        rig_load(r, PAGE(7) + i * 1024, 1000);
    rig_load(r, PAGE(8) + 2048, 50)->pc_id = 1;
    r->pcs[1] = 0x1004;
    rig_run(r);
    s = rig_stats(r);
    uint64_t walk_end = 2999 + 1 + 1 + 13 + 2 + 100;
    IS(s->walks, 2);
    IS(s->walk_merged, 1);
    IS(rig_done(r, 3), walk_end + 100);
    IS(s->l1_prefetched, 1);
    IS(s->l1_prefetch_unused, 1);
    rig_close(r);
}

/*
 * The page behind is 512 GiB further up the tables: three entries of 1000 cycles. Before they have come, the thread gives way
 * to one of another address space, which has that page elsewhere.
 */
static void a_prefetch_that_walks_when_its_thread_leaves_is_nothing_to_the_next_one(void)
{
    struct rig *r = paged(PREFETCHER_ip_stride, 0);
    const uint64_t last = rig_va(1, 511, 511, 511, 0), next = last + PAGE_BYTES;
    r->p.prefetch.common.cross_page = r->p.prefetch.common.walk = 1;
    r->p.ptw.ref_cycles = 0;
    r->miss_cycles = 1000;
    r->nthreads = 2;
    r->threads[1].space = 1;
    rig_map(r, 0, last, PAGE_SHIFT, RIG_PAGE);
    rig_map(r, 0, next, PAGE_SHIFT, RIG_PAGE);
    rig_map(r, 1, next, PAGE_SHIFT, RIG_PAGE);
    for (uint64_t i = 1; i < 4; i++)
        rig_access(r, 0, last + i * 1024, 1000, 0);
    rig_event(r, 0, FE_FUTEX_WAIT, 1); /* the rig's kernel takes it as a yield */
    rig_access(r, 1, next + 512, 30000, 0);
    rig_run(r);
    IS(rig_stats(r)->walks, 3);
    IS(rig_stats(r)->walks_prefetch, 1);
    IS(rig_stats(r)->l1_prefetched, 0);
    IS(rig_line(r, rig_slice(r)->reads - 1), rig_pa(1, next) + 512);
    rig_close(r);
}

static void a_prefetch_never_faults(void)
{
    for (unsigned waits = 0; waits < 2; waits++) {
        struct rig *r = paged(PREFETCHER_ip_stride, 8);
        r->p.prefetch.common.cross_page = r->p.prefetch.common.walk = 1;
        r->p.ptw.ref_cycles = waits ? 0 : 100;
        for (uint64_t i = 1; i < 4; i++)
            rig_load(r, PAGE(7) + i * 1024, 2000);
        rig_run(r);
        IS(rig_stats(r)->walks_prefetch, 1);
        IS(rig_stats(r)->walks_fault, 1);
        IS(rig_stats(r)->faults, 0);
        IS(rig_stats(r)->l1_prefetched, 0);
        IS(rig_stats(r)->l1_prefetch_untranslated, 1);
        /* A line on each of four levels, and that of page 8's entry. */
        IS(rig_slice(r)->reads, 3 + (waits ? 5 : 0));
        rig_close(r);
    }
}

static void an_l2_prefetch_crosses_4_kib_only_within_a_page_known_to_have_2_mib(void)
{
    for (unsigned how = 0; how < 3; how++) {
        struct rig *r = rig_open();
        defaults(r);
        r->p.l2.prefetcher = PREFETCHER_streamer;
        r->p.prefetch.common.cross_page = how > 0;
        bool big = how == 2;
        for (uint64_t i = 0; i < 512 && !big; i++)
            rig_map(r, 0, PAGE(i), PAGE_SHIFT, RIG_PAGE);
        if (big)
            rig_map(r, 0, PAGE(0), PAGE_SHIFT_2M, RIG_PAGE);
        for (uint64_t i = 61; i < 64; i++)
            rig_load(r, PAGE(0) + LINE(i), 1000);
        for (uint64_t i = 61; i < 64; i++) /* the end of the 2 MiB */
            rig_load(r, PAGE(511) + LINE(i), 1000);
        rig_run(r);
        IS(rig_stats(r)->l2_prefetched, big ? 2 : 0);
        IS(rig_stats(r)->l2_prefetch_page_end, big ? 2 : 4);
        if (big) {
            IS(rig_line(r, 3), PA(PAGE(1)));
            IS(rig_line(r, 4), PA(PAGE(1)) + LINE(1));
        }
        rig_close(r);
    }
}

/* One line of each page; the entries of eight pages share a line, and those lines follow each other. */
static void walks_and_code_teach_the_prefetchers_nothing(void)
{
    struct rig *r = paged(PREFETCHER_ip_stride, 64);
    r->p.l2.prefetcher = PREFETCHER_streamer;
    r->p.ptw.ref_cycles = 0;
    r->p.l1i.enabled = 1;
    for (uint64_t i = 0; i < 64; i++) {
        r->pcs[i] = PAGE(0) + LINE(i);
        struct fe_event *e = i == 0 ? rig_event(r, 0, FE_IFETCH_PAGE, 0) : NULL;
        if (e != NULL)
            e->a[0] = PAGE(0) >> PAGE_SHIFT;
        rig_load(r, PAGE(i) + LINE(i * 7 % 64), 1000)->pc_id = (uint32_t)i;
    }
    rig_run(r);
    const struct core_stats *s = rig_stats(r);
    CU_ASSERT(s->l2_pt_misses >= 8 && s->l2_code_misses >= 60);
    IS(s->l1_prefetched + s->l2_prefetched, 0);
    IS(s->l1_prefetch_page_end + s->l2_prefetch_page_end, 0);
    rig_close(r);
}

/* ---- configuration ---------------------------------------------------------------------------- */

static void prefetchers_that_could_never_prefetch_are_refused(void)
{
    struct rig *r = ideal(PREFETCHER_berti, PREFETCHER_streamer);
    const struct core_params good = r->p;
    CU_ASSERT_EQUAL(core_params_check(&r->p), ERR_OK);
    r->p.l2.prefetcher = PREFETCHER_berti; /* it needs instructions and virtual addresses */
    CU_ASSERT_EQUAL(core_params_check(&r->p), ERR_USAGE);
    r->p = good;
    r->p.prefetch.common.mshrs_left = r->p.l1d.mshrs;
    CU_ASSERT_EQUAL(core_params_check(&r->p), ERR_USAGE);
    r->p = good;
    r->p.l2.mshrs = r->p.l1d.mshrs;
    CU_ASSERT_EQUAL(core_params_check(&r->p), ERR_USAGE);
    r->p.l2.prefetcher = PREFETCHER_none;
    CU_ASSERT_EQUAL(core_params_check(&r->p), ERR_OK);
    r->p = good;
    r->p.l1d.enabled = 0;
    CU_ASSERT_EQUAL(core_params_check(&r->p), ERR_USAGE);
    r->p = good;
    r->p.prefetch.common.walk = 1; /* but no prefetch leaves its page */
    CU_ASSERT_EQUAL(core_params_check(&r->p), ERR_USAGE);
    rig_close(r);
}

UNIT_MAIN("cores/data_prefetch", UNIT(a_stride_is_prefetched_at_its_third_access_and_the_fourth_hits),
          UNIT(instructions_share_a_place_by_the_remainder_of_the_entries),
          UNIT(a_late_prefetch_saves_exactly_its_head_start), UNIT(everybody_who_waits_for_a_prefetch_is_woken),
          UNIT(a_prefetch_that_hits_l2_is_there_after_l2s_latency),
          UNIT(an_unused_line_is_useless_when_it_is_replaced_or_invalidated), UNIT(prefetches_leave_mshrs_for_demand),
          UNIT(an_access_to_the_line_of_the_one_before_it_teaches_nothing_nor_do_stores_unless_told),
          UNIT(berti_learns_in_a_core_what_is_timely_there), UNIT(the_streamer_fills_l2_and_leaves_l1d_alone),
          UNIT(a_late_prefetch_into_l2_is_a_miss_from_then_on_and_fills_l1d),
          UNIT(prefetches_into_l2_never_make_demand_wait_for_an_mshr), UNIT(the_streamer_sees_the_prefetches_of_l1d),
          UNIT(a_prefetch_stops_at_the_end_of_its_page),
          UNIT(a_prefetch_crosses_when_a_tlb_knows_the_page_and_is_dropped_when_none_does),
          UNIT(a_prefetch_may_walk_and_fills_the_tlbs), UNIT(a_load_joins_the_walk_of_a_prefetch),
          UNIT(a_prefetch_that_walks_when_its_thread_leaves_is_nothing_to_the_next_one),
          UNIT(a_prefetch_never_faults), UNIT(an_l2_prefetch_crosses_4_kib_only_within_a_page_known_to_have_2_mib),
          UNIT(walks_and_code_teach_the_prefetchers_nothing), UNIT(prefetchers_that_could_never_prefetch_are_refused))
