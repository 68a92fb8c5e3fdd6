/*
 * The window by hand: most tests run with an ideal MMU over one 1 GiB page, so that a load takes
 * nothing but the time of its line: 5 cycles in L1D, 15 in L2, `miss` beyond. Times count from the
 * start of the thread; with width 1 the n-th instruction dispatches at cycle n - 1.
 */
#include "core_rig.c"

#define LINE(n) ((uint64_t)(n) << LINE_SHIFT)
#define HOLE rig_va(0, 5, 0, 0, 0) /* not mapped before its fault; its way is laid out */

static struct rig *ideal(uint64_t miss)
{
    struct rig *r = rig_open();
    r->mmu = &mmu_ideal;
    r->miss_cycles = miss;
    rig_map(r, 0, 0, PAGE_SHIFT_1G, RIG_PAGE);
    rig_map(r, 0, HOLE, PAGE_SHIFT, 0);
    return r;
}

/* The machine of the fact sheet, section 5: ROB 512, width 6, isolated loads of 400 cycles. */
static struct rig *interval(void)
{
    struct rig *r = ideal(400);
    r->p.core.width = 6;
    r->p.core.rob = 512;
    r->p.core.load_queue = 192;
    r->p.core.store_queue = 114;
    return r;
}

/* A fully associative L1D of `l1` and an L2 of `l2` lines. */
static void small_caches(struct rig *r, uint64_t l1, uint64_t l2)
{
    r->p.l1d.size_bytes = l1 * LINE_BYTES;
    r->p.l1d.ways = l1;
    r->p.l2.size_bytes = l2 * LINE_BYTES;
    r->p.l2.ways = l2;
}

/* ---- the reorder buffer ----------------------------------------------------------------------- */

/*
 * Instruction 1000 dispatches at (1000 - 1)/6 = 166, its load ends at 566. Instructions 1001 to 1511
 * fit beside it; 1512 takes the first slot of 566, 2000 comes 488 later: 566 + 81 = 647. So a round
 * takes 400 + 81 = 481 (481.3 with fractions of a cycle).
 */
static void one_isolated_400_cycle_load_per_1000_instructions_takes_481_cycles_a_round(void)
{
    struct rig *r = interval();
    for (uint64_t i = 0; i < 40; i++)
        rig_load(r, LINE(i), 1000);
    rig_run(r);
    for (uint64_t i = 0; i < 40; i++)
        IS(rig_done(r, i), 566 + 481 * i);
    IS(rig_stats(r)->instructions, 40000);
    rig_close(r);
}

/*
 * B is instruction 1100: 1099/6 = 183, ends at 583. At 566 instructions 1512 to 1611 follow (to 582),
 * 1612 waits for B's 583; 2000 is 388 later: 583 + 64 = 647 again.
 */
static void two_independent_loads_100_instructions_apart_cost_no_more_than_one(void)
{
    struct rig *r = interval();
    for (uint64_t i = 0; i < 40; i++) {
        rig_load(r, LINE(2 * i), i == 0 ? 1000 : 900);
        rig_load(r, LINE(2 * i + 1), 100);
    }
    rig_run(r);
    for (uint64_t i = 0; i < 40; i++) {
        IS(rig_done(r, 2 * i), 566 + 481 * i);
        IS(rig_done(r, 2 * i + 1), 583 + 481 * i);
    }
    rig_close(r);
}

/*
 * The next instruction after A depends on it: 566, 966. 1512 goes at 566, 1513 at 966, and 2000 487
 * later: 966 + 81 = 1047. A round takes 881 (881.3). When B stands 100 instructions behind A, the
 * reorder buffer hides 100/6 cycles more: 1612 goes at 966, 2000 at 966 + 388/6 = 1030: 864.
 */
static void two_dependent_loads_take_881_cycles_a_round_and_864_when_100_apart(void)
{
    for (unsigned apart = 0; apart < 2; apart++) {
        struct rig *r = interval();
        uint32_t distance = apart ? 100 : 1;
        uint64_t round = apart ? 864 : 881;
        for (uint64_t i = 0; i < 40; i++) {
            rig_load(r, LINE(2 * i), i == 0 ? 1000 : 1000 - distance);
            rig_load(r, LINE(2 * i + 1), distance)->addr_dep[0] = 1;
        }
        rig_run(r);
        for (uint64_t i = 0; i < 40; i++) {
            IS(rig_done(r, 2 * i), 566 + round * i);
            IS(rig_done(r, 2 * i + 1), 966 + round * i);
        }
        rig_close(r);
    }
}

/* ---- queues ----------------------------------------------------------------------------------- */

/* Load 8 waits for load 0 to retire at 400, load 9 for load 1 at 401, ... */
static void a_full_load_queue_holds_dispatch_until_its_oldest_load_retires(void)
{
    struct rig *r = ideal(400);
    r->p.core.load_queue = 8;
    for (uint64_t i = 0; i < 24; i++)
        rig_load(r, LINE(i), 1);
    rig_run(r);
    for (uint64_t i = 0; i < 24; i++)
        IS(rig_done(r, i), 400 * (i / 8 + 1) + i % 8);
    CU_ASSERT(rig_stats(r)->stall_lq > 0);
    rig_close(r);
}

/* The lines of stores 0 to 3 are there at 100 to 103; each leaves the queue then. */
static void a_full_store_queue_holds_dispatch_until_its_oldest_store_is_written(void)
{
    struct rig *r = ideal(100);
    r->p.core.store_queue = 4;
    for (uint64_t i = 0; i < 12; i++)
        rig_store(r, LINE(i), 1);
    rig_run(r);
    for (uint64_t i = 0; i < 12; i++)
        IS(rig_asked(r, i), 100 * (i / 4) + i % 4);
    CU_ASSERT(rig_stats(r)->stall_sq > 0);
    rig_close(r);
}

/* The first store's line is there at 100; the load between, which retires after it, has its data at 150. */
static void a_store_gets_the_place_of_a_written_one_while_a_load_between_is_unanswered(void)
{
    for (unsigned slow = 0; slow < 2; slow++) {
        struct rig *r = ideal(100);
        r->slow = slow;
        r->p.core.store_queue = 1;
        rig_store(r, LINE(0), 1);
        rig_load(r, LINE(1), 50);
        rig_store(r, LINE(2), 1);
        rig_load(r, LINE(3), 1);
        rig_run(r);
        IS(rig_asked(r, 1), 50);
        IS(rig_asked(r, 2), 100);
        IS(rig_done(r, 0), 150);
        rig_close(r);
    }
}

static void an_instruction_that_waited_for_its_queue_entry_uses_up_a_dispatch_slot(void)
{
    struct rig *r = ideal(400);
    r->p.core.load_queue = 1;
    rig_load(r, LINE(1), 1);
    rig_load(r, LINE(2), 1);  /* at 400 */
    rig_store(r, LINE(3), 1); /* so at 401 */
    rig_store(r, LINE(4), 1);
    rig_run(r);
    IS(rig_asked(r, 1), 400);
    IS(rig_asked(r, 2), 401);
    IS(rig_asked(r, 3), 402);
    rig_close(r);
}

static void the_17th_miss_waits_for_one_of_16_mshrs(void)
{
    struct rig *r = ideal(400);
    for (uint64_t i = 0; i < 20; i++)
        rig_load(r, LINE(i), 1);
    rig_load(r, LINE(3) + 8, 1); /* joins a line that was asked for: no MSHR */
    rig_run(r);
    for (uint64_t i = 0; i < 16; i++)
        IS(rig_done(r, i), i + 400);
    for (uint64_t i = 16; i < 20; i++)
        IS(rig_done(r, i), 400 + (i - 16) + 400);
    IS(rig_done(r, 20), 403);
    IS(rig_stats(r)->l1d_mshr_waits, 4);
    IS(rig_stats(r)->l1d_merged, 1);
    rig_close(r);
}

/*
 * Random updates of 10 instructions each with a walk of 4 x 100 and no walk caches: four walkers give
 * one walk per 100 cycles, 0.1 instructions per cycle. Updates 0 to 3 dispatch at (10 n - 1)/6 =
 * 1, 3, 4, 6 and miss the TLBs 13 later; from then on each walker goes from walk to walk.
 */
static void updates_that_walk_run_at_the_rate_of_four_walkers(void)
{
    enum { UPDATES = 400 };
    static const uint64_t dispatch[] = {1, 3, 4, 6};
    struct rig *r = interval();
    r->mmu = &mmu_radix;
    r->miss_cycles = 100;
    r->p.pwc = (struct pwc_params){0};
    for (uint64_t i = 0; i < UPDATES; i++) {
        uint64_t va = rig_va(1, 2, i * 37 % 512, i % 512, i % 8 * 64);
        rig_map(r, 0, va, PAGE_SHIFT, RIG_PAGE);
        rig_load(r, va, 10);
    }
    rig_run(r);
    for (uint64_t i = 0; i < UPDATES; i++)
        IS(rig_done(r, i), dispatch[i % 4] + 13 + 400 * (i / 4 + 1) + 100);
    CU_ASSERT(10 * rig_stats(r)->instructions <= rig_done(r, UPDATES - 1));
    IS(rig_stats(r)->walk_refs, 4 * UPDATES);
    rig_close(r);
}

/* ---- dependences ------------------------------------------------------------------------------ */

static void parked_accesses_touch_at_the_answer_in_program_order(void)
{
    struct rig *r = ideal(400);
    rig_load(r, LINE(1), 1);                   /* A */
    rig_load(r, LINE(2), 1)->addr_dep[0] = 1;  /* B, of A */
    struct access_rec *c = rig_load(r, LINE(3), 1);
    c->addr_dep[1] = 2;                        /* C, of A, 7 instructions later */
    c->addr_ops[1] = 7;
    rig_load(r, LINE(4), 1)->addr_dep[0] = 3;  /* D, of A */
    rig_load(r, LINE(5), 1);                   /* E */
    struct access_rec *f = rig_load(r, LINE(6), 1);
    f->addr_dep[0] = 5;                        /* F, of A and of E: 404 */
    f->addr_dep[1] = 1;
    rig_run(r);
    const uint64_t lines[] = {1, 5, 2, 4, 6, 3}, asked[] = {0, 4, 400, 400, 404, 407};
    for (unsigned i = 0; i < 6; i++) {
        IS(rig_line(r, i), rig_pa(0, LINE(lines[i])));
        IS(rig_asked(r, i), asked[i]);
    }
    IS(rig_done(r, 2), 807);
    rig_close(r);
}

/* In a window of 256 entries, access 256 takes the place of the first. */
static void many_parked_accesses_touch_in_program_order_across_the_end_of_the_window(void)
{
    struct rig *r = ideal(400);
    r->p.core.rob = 512;
    r->p.core.load_queue = 200;
    r->p.core.store_queue = 56;
    for (unsigned i = 0; i < 100; i++)
        rig_load(r, LINE(1), 1);
    rig_load(r, LINE(2), 1000);
    for (uint16_t i = 0; i < 170; i++)
        rig_load(r, LINE(10 + i), 1)->addr_dep[0] = (uint16_t)(i + 1); /* of the one before them */
    rig_run(r);
    IS(rig_core(r, 0)->window_size, 256);
    for (unsigned i = 0; i < 170; i++)
        IS(rig_line(r, 2 + i), rig_pa(0, LINE(10 + i)));
    rig_close(r);
}

static void a_parked_load_finds_the_cache_as_younger_loads_left_it(void)
{
    struct rig *r = ideal(400);
    rig_load(r, LINE(1), 1);
    rig_load(r, LINE(2), 1)->addr_dep[0] = 1; /* touches at 400 ... */
    rig_load(r, LINE(2), 50);                 /* ... the line that this one asked for at 51 */
    rig_run(r);
    IS(rig_done(r, 1), 451);
    IS(rig_done(r, 2), 451);
    IS(rig_slice(r)->reads, 2);
    rig_close(r);
}

static void a_load_takes_its_data_from_an_older_store(void)
{
    struct rig *r = ideal(400);
    rig_load(r, LINE(9), 1);                   /* 0: ends at 400 */
    rig_store(r, LINE(1), 1);                  /* 1: address and data known at 2 */
    rig_load(r, LINE(1), 1);                   /* 2: 5 later */
    struct access_rec *s = rig_store(r, LINE(2), 1); /* 3: data 3 instructions after the first load */
    s->data_dep = 2;
    s->data_ops = 3;
    rig_load(r, LINE(2), 1);                   /* 4: the data comes at 403 */
    rig_load(r, LINE(2) + 8, 1);               /* 5: other bytes: the line, asked for at 3 */
    rig_run(r);
    IS(rig_done(r, 0), 400);
    IS(rig_done(r, 1), 2 + 5);
    IS(rig_done(r, 2), 403 + 5);
    IS(rig_done(r, 3), 403);
    IS(rig_stats(r)->l1d_forwards, 2);
    rig_close(r);
}

/* Its walk finds all in the caches and ends long before. */
static void a_store_that_misses_the_tlbs_waits_for_data_whose_time_is_known(void)
{
    for (unsigned slow = 0; slow < 2; slow++) {
        struct rig *r = rig_open();
        r->slow = slow != 0;
        rig_map(r, 0, 0, PAGE_SHIFT, RIG_PAGE);
        rig_map(r, 0, PAGE_BYTES, PAGE_SHIFT, RIG_PAGE);
        rig_load(r, LINE(1), 1);
        rig_load(r, LINE(1), 2000); /* hits */
        struct access_rec *s = rig_store(r, PAGE_BYTES, 1);
        s->data_dep = 1;
        s->data_ops = 200;
        rig_load(r, PAGE_BYTES, 1); /* takes it from the store */
        rig_run(r);
        IS(rig_stats(r)->walks, 2);
        IS(rig_done(r, 2), rig_done(r, 1) + 200 + 5);
        rig_close(r);
    }
}

/* The store is written at 100; by 3000 its line has left both caches. */
static void a_store_that_was_written_forwards_no_more(void)
{
    struct rig *r = ideal(100);
    small_caches(r, 2, 4);
    rig_store(r, LINE(1), 1);
    for (uint64_t i = 0; i < 8; i++)
        rig_load(r, LINE(10 + i), 200);
    rig_load(r, LINE(1), 1400);
    rig_run(r);
    IS(rig_done(r, 8), 3000 + 100);
    IS(rig_stats(r)->l1d_forwards, 0);
    rig_close(r);
}

/* 1023 loads back is within reach, and its answer is waited for; farther ones count as ready. */
static void dependence_distances_beyond_the_ring_are_ready(void)
{
    struct rig *r = ideal(2000);
    r->p.core.width = 16;
    rig_load(r, LINE(1), 1);
    for (uint64_t i = 1; i < 1023; i++)
        rig_load(r, LINE(2), 1);
    rig_load(r, LINE(3), 1)->addr_dep[0] = 1023;
    rig_run(r);
    IS(rig_done(r, 1022), 2000);
    IS(rig_done(r, 1023), 2000 + 2000);
    rig_close(r);

    r = ideal(100);
    rig_load(r, LINE(1), 1);
    rig_load(r, LINE(2), 1)->addr_dep[0] = 2; /* before the first load of the thread */
    rig_load(r, LINE(3), 1)->addr_dep[1] = 5000;
    rig_store(r, LINE(4), 1)->data_dep = 65535;
    rig_run(r);
    IS(rig_done(r, 1), 101);
    IS(rig_done(r, 2), 102);
    rig_close(r);
}

static void accesses_of_one_instruction_dispatch_together(void)
{
    struct rig *r = ideal(100);
    rig_load(r, LINE(1), 1);
    rig_load(r, LINE(2), 0);
    rig_store(r, LINE(3), 0);
    rig_load(r, LINE(4), 1);
    rig_run(r);
    IS(rig_asked(r, 0), 0);
    IS(rig_asked(r, 1), 0);
    IS(rig_asked(r, 2), 0);
    IS(rig_asked(r, 3), 1);
    IS(rig_stats(r)->instructions, 2);
    IS(rig_stats(r)->loads, 3);
    IS(rig_stats(r)->stores, 1);
    rig_close(r);
}

static void a_locked_access_waits_for_all_that_is_older_and_written(void)
{
    for (unsigned fence = 0; fence < 2; fence++) {
        struct rig *r = ideal(400);
        rig_load(r, LINE(1), 1);  /* 0 to 400 */
        rig_store(r, LINE(2), 1); /* 1; written at 401 */
        rig_access(r, 0, LINE(3), 1, fence ? ACC_FENCE : ACC_LOCK); /* 401 */
        if (!fence)
            rig_access(r, 0, LINE(3), 0, ACC_STORE | ACC_LOCK);
        rig_load(r, LINE(4), 1); /* the next slot: 402 */
        rig_run(r);
        IS(rig_asked(r, 2), 401);
        IS(rig_done(r, 1), 401 + 400 + (fence ? 0 : 18));
        IS(rig_asked(r, 3), 402);
        CU_ASSERT(rig_stats(r)->stall_drain > 0);
        rig_close(r);
    }
}

/* ---- faults ----------------------------------------------------------------------------------- */

static void a_fault_leaves_when_its_access_is_the_oldest_and_all_older_ones_have_completed(void)
{
    struct rig *r = ideal(400);
    rig_load(r, LINE(1), 1);                /* 0: ends at 400 */
    rig_store(r, LINE(2), 1)->data_dep = 1; /* 1: its data comes at 400 */
    rig_load(r, HOLE, 1);                   /* 2: no translation, known at once */
    rig_load(r, HOLE + PAGE_BYTES, 1);      /* 3: nor here */
    rig_load(r, LINE(3), 1);                /* 4: stands, and is not repeated */
    rig_run(r);
    IS(rig_told_at(r, K_FAULT, 0), 400 + 100);
    IS(rig_told(r, K_FAULT, 0)->a[0], HOLE);
    IS(rig_told(r, K_FAULT, 0)->a[1], 0);
    /* Answered at 1500: both look again, the second one in vain. */
    IS(rig_done(r, 1), 1500 + 400);
    IS(rig_told_at(r, K_FAULT, 1), 1900 + 100);
    IS(rig_told(r, K_FAULT, 1)->a[0], HOLE + PAGE_BYTES);
    IS(rig_done(r, 2), 3000 + 400);
    IS(rig_done(r, 3), 404);
    IS(rig_stats(r)->faults, 2);
    IS(rig_stats(r)->fault_cycles, (1500 - 400) + (3000 - 1900));
    rig_close(r);
}

/*
 * The way down to the page table is cached by a first load (0 + 415 + 400). At 1000 a load that ends
 * at 1401, then two pages that are not there: 13 + 2 + 100 each time they are walked.
 */
static void younger_accesses_that_also_faulted_walk_again_and_pay(void)
{
    struct rig *r = ideal(400);
    r->mmu = &mmu_radix;
    uint64_t va = rig_va(1, 2, 3, 4, 0);
    rig_map(r, 0, va, PAGE_SHIFT, RIG_PAGE);
    rig_load(r, va, 1);
    rig_load(r, va + 64, 1000);
    rig_load(r, va + 5 * PAGE_BYTES, 1);
    rig_load(r, va + 6 * PAGE_BYTES, 1);
    rig_run(r);
    IS(rig_done(r, 1), 1401);
    IS(rig_told_at(r, K_FAULT, 0), 1401 + 100);
    IS(rig_done(r, 2), 2501 + 115 + 400);
    IS(rig_told_at(r, K_FAULT, 1), 3016 + 100);
    IS(rig_done(r, 3), 4116 + 115 + 400);
    IS(rig_stats(r)->walks, 1 + 2 + 2 + 1);
    IS(rig_stats(r)->walks_fault, 3);
    rig_close(r);
}

static void a_fault_stops_dispatch_when_it_is_raised(void)
{
    struct rig *r = ideal(100);
    rig_load(r, HOLE, 11);    /* 10: raised at once, answered at 1110 */
    rig_load(r, LINE(1), 1);  /* not at 11 but then */
    rig_load(r, LINE(2), 1);
    rig_run(r);
    IS(rig_told_at(r, K_FAULT, 0), 110);
    IS(rig_done(r, 0), 1110 + 100);
    IS(rig_asked(r, 1), 1110);
    IS(rig_asked(r, 2), 1111);
    rig_close(r);
}

static void events_behind_a_fault_do_not_delay_it(void)
{
    for (unsigned i = 0; i < 2; i++) {
        struct rig *r = ideal(100);
        rig_load(r, HOLE, 11); /* 10 */
        rig_event(r, 0, i == 0 ? FE_ROI_BEGIN : FE_MAP_MARK, 50);
        rig_load(r, LINE(1), 60);
        rig_run(r);
        IS(rig_told_at(r, K_FAULT, 0), 110);
        rig_close(r);
    }
}

/* ---- caches ----------------------------------------------------------------------------------- */

/*
 * L1D 2 lines, L2 4, a store every 2000 cycles. When line k arrives, L2 drops k - 2 if it has four
 * lines (clean there: its data is in L1D), takes k, then takes k - 2 from L1D, dirty, in the place of
 * k - 4, dirty since two arrivals: that one is written back. So N stores make N - 4 write-backs, and
 * the last four lines stay.
 */
static void dirty_lines_are_written_back_in_order_of_age(void)
{
    enum { STORES = 12 };
    struct rig *r = ideal(100);
    small_caches(r, 2, 4);
    for (uint64_t i = 0; i < STORES; i++)
        rig_store(r, LINE(i), 2000);
    rig_run(r);
    IS(rig_slice(r)->writebacks, STORES - 4);
    IS(rig_stats(r)->l2_writebacks, STORES - 4);
    IS(rig_stats(r)->l1d_writebacks, STORES - 2);
    uint64_t next = 0;
    const struct rig_heard *h = &rig_slice(r)->heard;
    for (uint64_t i = 0; i < h->n; i++)
        if (h->msgs[i].type == MEM_WRITEBACK) {
            IS(h->msgs[i].a[0], rig_pa(0, LINE(next)));
            next++;
        }
    rig_close(r);
}

/*
 * The same stores one a cycle with two write-back credits that come back 15 + 1000 cycles after they
 * left. Lines 0 to 15 are asked for at once, 16 to 21 as MSHRs come free at 100 to 105; the arrivals
 * of 104 and 105 take both credits; that of 106 finds none, and from then on no miss leaves. Lines 6
 * to 21 queue 16 write-backs, two leave every 1015 cycles from 1119 and 1120 on, the last at
 * 1120 + 7 * 1015 = 8225: then lines 22 and 23 may be asked for.
 */
static void write_backs_are_bounded_by_their_credits_and_hold_up_misses(void)
{
    enum { STORES = 24 };
    struct rig *r = ideal(100);
    small_caches(r, 2, 4);
    r->p.l2.wb_buffers = 2;
    r->wb_ack_cycles = 1000;
    for (uint64_t i = 0; i < STORES; i++)
        rig_store(r, LINE(i), 1);
    rig_run(r);
    for (uint64_t i = 0; i < STORES; i++)
        IS(rig_asked(r, i), i < 16 ? i : i < 22 ? 100 + i - 16 : 8225);
    IS(rig_slice(r)->writebacks, STORES - 4);
    IS(rig_slice(r)->wbs_out_max, 2);
    rig_close(r);
}

static void l1d_replaces_the_line_used_longest_ago(void)
{
    struct rig *r = ideal(100);
    small_caches(r, 2, 64);
    const uint64_t lines[] = {1, 2, 1, 3, 1, 2};
    for (unsigned i = 0; i < 6; i++)
        rig_load(r, LINE(lines[i]), i == 0 ? 1 : 1000);
    rig_run(r);
    IS(rig_done(r, 2), 2005);
    IS(rig_done(r, 3), 3100);
    IS(rig_done(r, 4), 4005);
    IS(rig_done(r, 5), 5015);
    rig_close(r);
}

static void a_hit_under_fill_waits_for_the_line(void)
{
    struct rig *r = ideal(100);
    small_caches(r, 2, 64);
    rig_load(r, LINE(1), 1);
    rig_load(r, LINE(1) + 8, 50); /* joins the miss */
    rig_load(r, LINE(2), 950);
    rig_load(r, LINE(3), 1000);
    rig_load(r, LINE(1), 1000);    /* 3000: from L2 */
    rig_load(r, LINE(1) + 8, 1);   /* 3001 */
    rig_load(r, LINE(1) + 16, 14); /* 3015 */
    rig_run(r);
    IS(rig_done(r, 1), 100);
    IS(rig_done(r, 4), 3015);
    IS(rig_done(r, 5), 3015);
    IS(rig_done(r, 6), 3020);
    rig_close(r);
}

/* The same with more lines on their way from L2 than anybody would keep a list of. */
static void every_hit_under_fill_waits_for_its_line(void)
{
    enum { LINES = 120 };
    struct rig *r = ideal(100);
    r->p.core.width = 16;
    small_caches(r, 128, 1024);
    r->p.l2.ways = 16;
    for (uint64_t i = 0; i < LINES; i++)
        rig_load(r, LINE(i), 1);
    for (uint64_t i = 0; i < 128; i++)
        rig_load(r, LINE(200 + i), i == 0 ? 4000 : 1);
    for (uint64_t i = 0; i < LINES; i++)
        rig_load(r, LINE(i), i == 0 ? 4095 : 1);
    for (uint64_t i = 0; i < LINES; i++)
        rig_load(r, LINE(i) + 8, i == 0 ? 8 : 1); /* LINES is 7.5 cycles of dispatch */
    rig_run(r);
    IS(rig_done(r, 2 * LINES + 127), rig_done(r, LINES + 128) + LINES / 16);
    for (uint64_t i = 0; i < LINES; i++) {
        IS(rig_done(r, 2 * LINES + 128 + i), rig_done(r, LINES + 128 + i));
    }
    IS(rig_stats(r)->l2_hits, LINES);
    rig_close(r);
}

static void an_invalidated_line_is_asked_for_again_and_written_back_if_dirty(void)
{
    struct rig *r = ideal(100);
    rig_store(r, LINE(1), 1);
    rig_load(r, LINE(2), 1);
    for (uint64_t i = 1; i <= 2; i++)
        rig_order(r, (RIG_START + 900) * RIG_CYCLE, MEM_INVALIDATE)->a[0] = rig_pa(0, LINE(i));
    rig_load(r, LINE(1) + 8, 999);
    rig_load(r, LINE(2) + 8, 1000);
    rig_run(r);
    IS(rig_done(r, 1), 1000 + 100);
    IS(rig_done(r, 2), 2000 + 100);
    IS(rig_slice(r)->writebacks, 1);
    IS(rig_stats(r)->invalidated, 2);
    rig_close(r);
}

/* ---- the kernel's side ------------------------------------------------------------------------ */

/*
 * The call waits for the load (100), takes 400, then copies: bytes 10 to 139 are three lines read,
 * one line is written, two instructions each: 501, 503, 505, 507. The program goes on at 508.
 */
static void a_system_call_copies_its_user_buffers_line_by_line(void)
{
    struct rig *r = ideal(100);
    rig_load(r, LINE(1), 1);
    struct fe_event *ev = rig_event(r, 0, FE_SYSCALL, 0);
    ev->a[2] = LINE(100) + 10;
    ev->a[3] = 130;
    ev->a[4] = LINE(200);
    ev->a[5] = 64;
    rig_load(r, LINE(2), 1)->addr_dep[0] = 1; /* distances count the thread's own loads */
    rig_run(r);
    const uint64_t lines[] = {1, 100, 101, 102, 200, 2}, asked[] = {0, 501, 503, 505, 507, 508};
    for (unsigned i = 0; i < 6; i++) {
        IS(rig_line(r, i), rig_pa(0, LINE(lines[i])));
        IS(rig_asked(r, i), asked[i]);
    }
    IS(rig_stats(r)->kernel_accesses, 4);
    IS(rig_stats(r)->kernel_instructions, 8);
    IS(rig_stats(r)->instructions, 2);
    IS(rig_stats(r)->loads, 2);
    IS(rig_stats(r)->syscalls, 1);
    IS(rig_stats(r)->syscalls_local, 1);
    rig_close(r);
}

/* Each thread gives up the core in the middle of a gap, at a block's end and at a block's start. */
static void a_thread_switch_restores_the_position_exactly(void)
{
    struct rig *r = ideal(100);
    r->nthreads = 2;
    for (uint32_t t = 0; t < 2; t++) {
        rig_access(r, t, LINE(100 * t + 1), 5, 0);
        rig_event(r, t, FE_FUTEX_WAIT, 3);
        rig_access(r, t, LINE(100 * t + 2), 10, 0);
        rig_event(r, t, FE_FUTEX_WAIT, 0);
        rig_new_block(r, t);
        rig_access(r, t, LINE(100 * t + 3), 5, 0)->addr_dep[0] = 1; /* across a switch: ready */
        rig_new_block(r, t);
        rig_event(r, t, FE_FUTEX_WAIT, 0);
        rig_access(r, t, LINE(100 * t + 4), 5, 0);
        r->threads[t].blocks[2].tail_gap = 7;
    }
    rig_run(r);
    const uint64_t lines[] = {1, 101, 2, 102, 3, 103, 4, 104};
    for (unsigned i = 0; i < 8; i++)
        IS(rig_line(r, i), rig_pa(0, LINE(lines[i])));
    IS(rig_stats(r)->loads, 8);
    IS(rig_stats(r)->instructions, 2 * (5 + 10 + 5 + 5 + 7));
    IS(rig_control(r)->instructions, 2 * (5 + 10 + 5 + 5 + 7));
    IS(rig_ntold(r, K_CALL), 6);
    IS(rig_ntold(r, K_EXIT), 2);
    rig_close(r);
}

static void the_instruction_limit_ends_a_thread_after_its_last_instruction(void)
{
    struct rig *r = ideal(100);
    r->instruction_limit = 100;
    for (uint64_t i = 0; i < 50; i++)
        rig_load(r, LINE(i), 10);
    rig_run(r);
    IS(rig_stats(r)->instructions, 100);
    IS(rig_control(r)->instructions, 100);
    IS(rig_control(r)->nlimited, 1);
    IS(rig_told(r, K_EXIT, 0)->flags, 1);
    IS(rig_told(r, K_EXIT, 0)->a[1], 100);
    IS(rig_stats(r)->loads, 10); /* instructions 10, 20, ... 100 */
    rig_close(r);
}

static void a_thread_reports_the_end_of_its_warm_up_once(void)
{
    struct rig *r = ideal(100);
    r->warmup = 95;
    for (uint64_t i = 0; i < 50; i++)
        rig_load(r, LINE(i), 10);
    rig_run(r);
    IS(rig_control(r)->nwarm, 1);
    IS(rig_control(r)->nlimited, 0);
    IS(rig_stats(r)->instructions, 500);
    rig_close(r);
}

static void an_interrupt_delays_what_has_not_dispatched_by_exactly_its_cost(void)
{
    struct rig *r = ideal(100);
    rig_order(r, (RIG_START + 500) * RIG_CYCLE, K_INTERRUPT)->a[0] = 50 * RIG_CYCLE;
    rig_load(r, LINE(1), 1);
    rig_load(r, LINE(2), 1000);
    rig_load(r, LINE(3), 1);
    rig_run(r);
    IS(rig_asked(r, 0), 0);
    IS(rig_asked(r, 1), 1050);
    IS(rig_asked(r, 2), 1051);
    IS(rig_stats(r)->interrupts, 1);
    IS(rig_stats(r)->interrupt_cycles, 50);
    rig_close(r);
}

/* Everything older completes first; then position, the two arguments more, the call: one arrival. */
static void a_call_to_the_kernel_carries_position_and_six_arguments(void)
{
    struct rig *r = ideal(100);
    rig_load(r, LINE(1), 1);
    struct fe_event *ev = rig_event(r, 0, FE_MMAP, 2);
    for (uint64_t i = 0; i < 6; i++)
        ev->a[i] = 11 + i;
    rig_event(r, 0, FE_MAP_MARK, 2)->a[0] = 11; /* executed already: passed without waiting */
    rig_event(r, 0, FE_MAP_MARK, 2)->a[0] = 12; /* not yet: waits */
    rig_load(r, LINE(2), 5);
    rig_run(r);
    const struct rig_heard *h = &rig_kernel(r)->heard;
    const unsigned types[] = {K_POS, K_CALL_MORE, K_CALL, K_MARK, K_POS, K_MARK, K_POS, K_EXIT};
    IS(h->n, 8);
    for (unsigned i = 0; i < 8; i++)
        IS(h->msgs[i].type, types[i]);
    IS(rig_told_at(r, K_CALL, 0), 100 + 100);
    IS(rig_told(r, K_CALL, 0)->flags, FE_MMAP);
    for (unsigned i = 0; i < 4; i++)
        IS(rig_told(r, K_CALL, 0)->a[i], 11 + i);
    IS(rig_told(r, K_CALL_MORE, 0)->a[0], 15);
    IS(rig_told(r, K_CALL_MORE, 0)->a[1], 16);
    IS(rig_told(r, K_MARK, 0)->flags, 0);
    IS(rig_told_at(r, K_MARK, 0), 400 + 100); /* the call was answered at 400 */
    IS(rig_told(r, K_MARK, 1)->flags, 1);
    IS(rig_asked(r, 1), 700 + 2); /* the third of the three instructions that are left */
    IS(rig_stats(r)->kernel_cycles, 300 + 300 + 300); /* the exit too */
    rig_close(r);
}

static void a_thread_may_end_before_its_block_does(void)
{
    struct rig *r = ideal(100);
    rig_load(r, LINE(1), 10);
    rig_event(r, 0, FE_THREAD_EXIT, 5)->a[0] = 77;
    rig_load(r, LINE(2), 10);
    rig_run(r);
    IS(rig_slice(r)->reads, 1);
    IS(rig_told_at(r, K_EXIT, 0), 9 + 100 + 100);
    IS(rig_told(r, K_EXIT, 0)->a[0], 77);
    IS(rig_told(r, K_EXIT, 0)->a[1], 15);
    IS(rig_told(r, K_EXIT, 0)->flags, 0);
    IS(rig_control(r)->instructions, 15);
    rig_close(r);
}

/* 40 cycles at 500, from a thread in user mode; none at 1500, during a fault's handler (1140 to 2240). */
static void a_shootdown_is_acknowledged_at_once_and_takes_time_from_user_mode_only(void)
{
    struct rig *r = ideal(100);
    for (unsigned i = 0; i < 2; i++) {
        struct rig_order *o = rig_order(r, (RIG_START + 500 + 1000 * i) * RIG_CYCLE, K_SHOOTDOWN);
        o->arg = 40;
        o->a[2] = 1;
        o->a[3] = 7 + i;
    }
    rig_load(r, LINE(1), 1001); /* 1040 */
    rig_load(r, HOLE, 1);       /* 1041, raised when the other has ended, at 1140 */
    rig_run(r);
    IS(rig_done(r, 0), 1040 + 100);
    IS(rig_told_at(r, K_FLUSHED, 0), 500 + 100);
    IS(rig_told_at(r, K_FAULT, 0), 1140 + 100);
    IS(rig_told_at(r, K_FLUSHED, 1), 1500 + 100);
    IS(rig_told(r, K_FLUSHED, 1)->a[0], 8);
    IS(rig_done(r, 1), 2240 + 100);
    IS(rig_stats(r)->interrupt_cycles, 40);
    rig_close(r);
}

static void a_handlers_store_leaves_its_line_dirty_in_the_caches(void)
{
    struct rig *r = ideal(100);
    uint64_t line = UINT64_C(1) << 50;
    rig_order(r, (RIG_START + 500) * RIG_CYCLE, MSG_TYPE(K_SEG, KSEG_STORE))->a[0] = line + 8;
    rig_order(r, (RIG_START + 700) * RIG_CYCLE, MSG_TYPE(K_SEG, KSEG_STORE))->a[0] = line + 16;
    rig_order(r, (RIG_START + 900) * RIG_CYCLE, MEM_INVALIDATE)->a[0] = line;
    rig_load(r, LINE(1), 2000);
    rig_run(r);
    IS(rig_line(r, 0), line);
    IS(rig_asked(r, 0), 500);
    IS(MEM_KIND(rig_slice(r)->heard.msgs[0].flags), LINE_PT);
    IS(rig_slice(r)->reads, 2);
    IS(rig_slice(r)->writebacks, 1);
    IS(rig_stats(r)->kernel_accesses, 2);
    IS(rig_stats(r)->l1d_pt_hits, 1);
    IS(rig_asked(r, 1), 1999);
    rig_close(r);
}

/* ---- instruction side ------------------------------------------------------------------------- */

static void a_new_code_page_holds_dispatch_for_its_walk(void)
{
    struct rig *r = ideal(100);
    r->mmu = &mmu_radix;
    uint64_t code = rig_va(1, 2, 3, 4, 0), data = rig_va(9, 2, 3, 4, 0);
    rig_map(r, 0, code, PAGE_SHIFT, RIG_PAGE);
    rig_map(r, 0, data, PAGE_SHIFT, RIG_PAGE);
    rig_event(r, 0, FE_IFETCH_PAGE, 0)->a[0] = code >> PAGE_SHIFT;
    rig_load(r, data, 1);
    rig_run(r);
    IS(rig_done(r, 0), 415 + 415 + 100);
    IS(rig_stats(r)->walks_instr, 1);
    IS(rig_stats(r)->itlb_l1_misses, 1);
    IS(rig_stats(r)->stall_ifetch, 415);
    rig_close(r);
}

/* Known at 415, answered at 1515; then the walk is repeated with its PD entry cached: 115. */
static void an_instruction_page_fault_is_walked_again_after_the_handler(void)
{
    struct rig *r = ideal(100);
    r->mmu = &mmu_radix;
    uint64_t code = rig_va(1, 2, 3, 4, 0), data = rig_va(9, 2, 3, 4, 0);
    rig_map(r, 0, code, PAGE_SHIFT, 0);
    rig_map(r, 0, data, PAGE_SHIFT, RIG_PAGE);
    rig_event(r, 0, FE_IFETCH_PAGE, 0)->a[0] = code >> PAGE_SHIFT;
    rig_load(r, data, 1);
    rig_run(r);
    IS(rig_told_at(r, K_FAULT, 0), 415 + 100);
    IS(rig_told(r, K_FAULT, 0)->a[0], code);
    IS(rig_told(r, K_FAULT, 0)->a[1], KF_EXEC);
    IS(rig_done(r, 0), 1515 + 115 + 415 + 100);
    IS(rig_stats(r)->walks_instr, 2);
    rig_close(r);
}

static void code_lines_come_from_the_page_that_is_executed(void)
{
    for (unsigned faults = 0; faults < 2; faults++) {
        struct rig *r = ideal(100);
        r->mmu = &mmu_radix;
        r->p.l1i.enabled = 1;
        r->p.ptw.ref_cycles = 0;
        uint64_t code = rig_va(1, 2, 3, 4, 0), data = rig_va(9, 2, 3, 4, 0);
        rig_map(r, 0, code, PAGE_SHIFT, faults ? 0 : RIG_PAGE);
        rig_map(r, 0, data, PAGE_SHIFT, RIG_PAGE);
        r->pcs[1] = code + 0x123;
        rig_event(r, 0, FE_IFETCH_PAGE, 0)->a[0] = code >> PAGE_SHIFT;
        rig_load(r, data, 1)->pc_id = 1;
        rig_run(r);
        uint64_t nline = 0;
        for (uint64_t i = 0; i < rig_slice(r)->reads; i++)
            nline += rig_line(r, i) == rig_pa(0, code) + 0x100;
        IS(nline, 1);
        IS(rig_stats(r)->l2_code_misses, 1);
        if (!faults) /* walk, line, walk, line, all cold */
            IS(rig_done(r, 0), 415 + 100 + 415 + 100);
        rig_close(r);
    }
}

UNIT_MAIN("cores/window", UNIT(one_isolated_400_cycle_load_per_1000_instructions_takes_481_cycles_a_round),
          UNIT(two_independent_loads_100_instructions_apart_cost_no_more_than_one),
          UNIT(two_dependent_loads_take_881_cycles_a_round_and_864_when_100_apart),
          UNIT(a_full_load_queue_holds_dispatch_until_its_oldest_load_retires),
          UNIT(a_full_store_queue_holds_dispatch_until_its_oldest_store_is_written),
          UNIT(a_store_gets_the_place_of_a_written_one_while_a_load_between_is_unanswered),
          UNIT(an_instruction_that_waited_for_its_queue_entry_uses_up_a_dispatch_slot),
          UNIT(the_17th_miss_waits_for_one_of_16_mshrs), UNIT(updates_that_walk_run_at_the_rate_of_four_walkers),
          UNIT(parked_accesses_touch_at_the_answer_in_program_order),
          UNIT(many_parked_accesses_touch_in_program_order_across_the_end_of_the_window),
          UNIT(a_parked_load_finds_the_cache_as_younger_loads_left_it),
          UNIT(a_load_takes_its_data_from_an_older_store), UNIT(a_store_that_misses_the_tlbs_waits_for_data_whose_time_is_known),
          UNIT(a_store_that_was_written_forwards_no_more),
          UNIT(dependence_distances_beyond_the_ring_are_ready), UNIT(accesses_of_one_instruction_dispatch_together),
          UNIT(a_locked_access_waits_for_all_that_is_older_and_written),
          UNIT(a_fault_leaves_when_its_access_is_the_oldest_and_all_older_ones_have_completed),
          UNIT(younger_accesses_that_also_faulted_walk_again_and_pay), UNIT(a_fault_stops_dispatch_when_it_is_raised),
          UNIT(events_behind_a_fault_do_not_delay_it), UNIT(dirty_lines_are_written_back_in_order_of_age),
          UNIT(write_backs_are_bounded_by_their_credits_and_hold_up_misses),
          UNIT(l1d_replaces_the_line_used_longest_ago), UNIT(a_hit_under_fill_waits_for_the_line),
          UNIT(every_hit_under_fill_waits_for_its_line),
          UNIT(an_invalidated_line_is_asked_for_again_and_written_back_if_dirty),
          UNIT(a_system_call_copies_its_user_buffers_line_by_line),
          UNIT(a_thread_switch_restores_the_position_exactly),
          UNIT(the_instruction_limit_ends_a_thread_after_its_last_instruction),
          UNIT(a_thread_reports_the_end_of_its_warm_up_once),
          UNIT(an_interrupt_delays_what_has_not_dispatched_by_exactly_its_cost),
          UNIT(a_call_to_the_kernel_carries_position_and_six_arguments),
          UNIT(a_thread_may_end_before_its_block_does),
          UNIT(a_shootdown_is_acknowledged_at_once_and_takes_time_from_user_mode_only),
          UNIT(a_handlers_store_leaves_its_line_dirty_in_the_caches), UNIT(a_new_code_page_holds_dispatch_for_its_walk),
          UNIT(an_instruction_page_fault_is_walked_again_after_the_handler),
          UNIT(code_lines_come_from_the_page_that_is_executed))
