/*
 * The CPI stack by hand. Times count from the start of the thread; with width 1 the n-th instruction
 * takes slot n - 1. That the causes add up to the cycles is asserted by the core at the end of each
 * epoch of every run, these included.
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

static uint64_t cause(const struct rig *r, enum cpi_cause c) { return rig_stats(r)->stack[c]; }

/*
 * Width 6, ROB 512, one load of 400 cycles in 1000 instructions. Instructions 1001 to 1511 fit beside
 * the first load: slots up to cycle 251 (1511 = 251 x 6 + 5). Dispatch stands from there to 566: 315
 * cycles of DRAM. 1512 to 2511 are 1000 slots from 566: to 732, and it stands to 1047: 315 again.
 * Behind the 40th load, which dispatches at 166 + 481 x 39, nothing is left: all 400 cycles show.
 */
static void a_full_reorder_buffer_charges_what_it_does_not_hide_of_the_oldest_load(void)
{
    struct rig *r = ideal(400);
    r->p.core.width = 6;
    r->p.core.rob = 512;
    r->p.core.load_queue = 192;
    for (uint64_t i = 0; i < 40; i++)
        rig_load(r, LINE(i), 1000);
    rig_run(r);
    IS(cause(r, CPI_DRAM), 39 * 315 + 400);
    IS(cause(r, CPI_BASE), 166 + 481 * 39 - 39 * 315);
    rig_close(r);
}

/*
 * B needs A's data three instructions later. Both have their slots by cycle 2; the thread then ends
 * when both are complete: A at 400, arithmetic to 403, B at 803.
 */
static void arithmetic_between_two_dependent_loads_is_base(void)
{
    struct rig *r = ideal(400);
    rig_load(r, LINE(1), 1);
    struct access_rec *b = rig_load(r, LINE(2), 1);
    b->addr_dep[0] = 1;
    b->addr_ops[0] = 3;
    rig_run(r);
    IS(cause(r, CPI_DRAM), 398 + 400);
    IS(cause(r, CPI_BASE), 2 + 3);
    rig_close(r);
}

/* 1 + 12 in the TLBs (the first is hidden behind the load's own slot), 402 of walk, 100 for the line. */
static void a_cold_walk_is_told_from_the_tlbs_before_and_the_line_behind_it(void)
{
    struct rig *r = rig_open();
    r->miss_cycles = 100;
    uint64_t va = rig_va(1, 2, 3, 4, 0);
    rig_map(r, 0, va, PAGE_SHIFT, RIG_PAGE);
    rig_load(r, va, 1);
    rig_run(r);
    IS(cause(r, CPI_BASE), 1);
    IS(cause(r, CPI_TLB), 12);
    IS(cause(r, CPI_WALK), 402);
    IS(cause(r, CPI_DRAM), 100);
    rig_close(r);
}

/*
 * The same page again, its line in L1D: only the one cycle of the L1 TLB and the five of L1D, of which
 * the slot hides one. The address depends on the first load, so nothing of it is hidden behind that.
 */
static void a_hit_costs_its_l1_tlb_and_its_cache_level(void)
{
    struct rig *r = rig_open();
    r->miss_cycles = 100;
    uint64_t va = rig_va(1, 2, 3, 4, 0);
    rig_map(r, 0, va, PAGE_SHIFT, RIG_PAGE);
    rig_load(r, va, 1);
    rig_load(r, va, 1)->addr_dep[0] = 1;
    rig_run(r);
    IS(cause(r, CPI_BASE), 2);
    IS(cause(r, CPI_TLB), 11 + 1);
    IS(cause(r, CPI_WALK), 402);
    IS(cause(r, CPI_DRAM), 100);
    IS(cause(r, CPI_L1), 5);
    rig_close(r);
}

/*
 * The fault leaves at once and is answered after 100 + 1000 cycles; 17 more refill the front end. The
 * load goes again at the answer, so that 17 of its line's 300 cycles hide behind the refill.
 */
static void a_fault_costs_its_handler_and_the_refill_and_the_retried_line_what_is_left(void)
{
    struct rig *r = ideal(300);
    r->p.core.refill_cycles = 17;
    rig_load(r, HOLE, 1);
    rig_run(r);
    IS(cause(r, CPI_FAULT), 1100 + 17);
    IS(cause(r, CPI_DRAM), 300 - 17);
    rig_close(r);
}

/* Two stores of one place: the second waits until the first one's line is there, 200 - 1 after its slot. */
static void a_full_store_queue_charges_the_line_of_its_oldest_store(void)
{
    struct rig *r = ideal(200);
    r->p.core.store_queue = 1;
    rig_store(r, LINE(1), 1);
    rig_store(r, LINE(2), 1);
    rig_run(r);
    /* Slots 0 and 1 are taken; dispatch stands from 2 to 200, the thread's end from 201 to 400. */
    IS(cause(r, CPI_BASE), 2 + 1);
    IS(cause(r, CPI_DRAM), 198 + 199);
    rig_close(r);
}

/* Epochs of 100 cycles cut a line of 950 and a gap of 1000 slots: each epoch still adds up (asserted). */
static void waits_and_gaps_longer_than_an_epoch_are_split_at_its_end(void)
{
    struct rig *r = ideal(950);
    r->epoch_cycles = 100;
    rig_load(r, LINE(1), 1);
    rig_load(r, LINE(2), 1000)->addr_dep[0] = 1;
    rig_run(r);
    IS(cause(r, CPI_BASE), 1001);
    IS(cause(r, CPI_DRAM), 950 - (1001 - 1000));
    CU_ASSERT(r->nepochs > 19);
    rig_close(r);
}

/* Four loads that nothing ties to each other: together 103 cycles; one behind the other 400. */
static void brackets_replace_the_recorded_dependences(void)
{
    const uint64_t ends[] = {[OVERLAP_RECORDED] = 201, [OVERLAP_SERIAL] = 400, [OVERLAP_INDEPENDENT] = 103};
    for (unsigned overlap = 0; overlap < 3; overlap++) {
        struct rig *r = ideal(100);
        r->p.core.overlap = overlap;
        for (uint64_t i = 0; i < 4; i++)
            rig_load(r, LINE(i), 1)->addr_dep[0] = i == 2; /* recorded: the third needs the second */
        rig_run(r);
        uint64_t last = 0;
        for (uint64_t i = 0; i < 4; i++)
            last = u64_max(last, rig_done(r, i));
        IS(last, ends[overlap]);
        rig_close(r);
    }
}

UNIT_MAIN("cores/cpi", UNIT(a_full_reorder_buffer_charges_what_it_does_not_hide_of_the_oldest_load),
          UNIT(arithmetic_between_two_dependent_loads_is_base),
          UNIT(a_cold_walk_is_told_from_the_tlbs_before_and_the_line_behind_it),
          UNIT(a_hit_costs_its_l1_tlb_and_its_cache_level),
          UNIT(a_fault_costs_its_handler_and_the_refill_and_the_retried_line_what_is_left),
          UNIT(a_full_store_queue_charges_the_line_of_its_oldest_store),
          UNIT(waits_and_gaps_longer_than_an_epoch_are_split_at_its_end),
          UNIT(brackets_replace_the_recorded_dependences))
