/*
 * Branches and lines of code on a core of width 1 with a refill of 20 cycles, against cycles by hand.
 * Translation is free (core.mmu = ideal) unless said otherwise. The thread starts at 0, so its first
 * instruction has slot 20; a load that misses takes 100 cycles.
 */
#include "core_rig.c"

#include <sys/wait.h>
#include <unistd.h>

#define A rig_va(1, 2, 3, 4, 0)
#define B rig_va(1, 2, 3, 4, 64)
#define CODE rig_va(2, 0, 0, 0, 0)

enum { X, X2, Y, OTHER_PAGE, NEXT_LINE }; /* in pcs */

static struct rig *open_rig(enum bpred_kind design)
{
    struct rig *r = rig_open();
    r->p.core.refill_cycles = 20;
    r->mmu = &mmu_ideal;
    r->p.bpred = (struct bpred_params){.design = design, .gshare_entries = 1024, .gshare_history = 4,
                                       .btb_entries = 64, .btb_ways = 4, .btb_miss_cycles = 6, .ras_entries = 4,
                                       .indirect_entries = 64, .indirect_history = 1};
    for (uint32_t s = 0; s < RIG_SPACES; s++) {
        rig_map(r, s, A, PAGE_SHIFT, RIG_PAGE);
        rig_map(r, s, CODE, PAGE_SHIFT, RIG_PAGE);
        rig_map(r, s, CODE + PAGE_BYTES, PAGE_SHIFT, RIG_PAGE);
    }
    r->pcs[X] = CODE;
    r->pcs[X2] = CODE + 8;
    r->pcs[Y] = CODE + 0x400;
    r->pcs[OTHER_PAGE] = CODE + PAGE_BYTES;
    r->pcs[NEXT_LINE] = CODE + 64;
    return r;
}

/* Load A in slot 20, two instructions, the branch in slot 23, one more, load B as the second behind it. */
static struct branch_rec *load_branch_load(struct rig *r, enum branch_kind kind, bool taken)
{
    rig_load(r, A, 1);
    struct branch_rec *br = rig_branch(r, 0, kind, 3, X2, X, taken);
    rig_load(r, B, 5);
    return br;
}

/* ---- branches --------------------------------------------------------------------------------- */

static uint64_t sum_of_epochs(const struct rig *r)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < r->nepochs; i++)
        sum = rng_mix(sum + r->epoch_rows[i]);
    return sum;
}

static void a_branch_predicted_right_costs_nothing(void)
{
    struct rig *r = open_rig(BPRED_gshare);
    load_branch_load(r, BR_COND, false)->dep = 1; /* counters begin with not taken */
    rig_run(r);
    IS(rig_done(r, 0), 120);
    IS(rig_done(r, 1), 25 + 100);
    IS(rig_stats(r)->stall_branch, 0);
    IS(rig_stats(r)->branches[BR_COND], 1);
    IS(rig_stats(r)->br_wrong_direction, 0);
    rig_close(r);
}

static void a_wrong_branch_that_waits_for_nothing_costs_the_refill(void)
{
    struct rig *r = open_rig(BPRED_gshare);
    load_branch_load(r, BR_COND, true);
    rig_run(r);
    /* It executes in 23, resolved in 24; the next instruction has slot 44. */
    IS(rig_done(r, 1), 45 + 100);
    IS(rig_stats(r)->stall_branch, 20);
    IS(rig_stats(r)->br_wrong_direction, 1);
    IS(rig_stats(r)->br_resolve_cycles, 1);
    IS(rig_stats(r)->stack[CPI_BRANCH], 20);
    rig_close(r);
}

/* A branch 9 instructions after load 0 stands before load 1, which is 2 after it. */
static void a_branch_behind_the_access_that_it_stands_before_ends_the_run(void)
{
    for (int slow = 0; slow < 2; slow++) {
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            if (freopen("/dev/null", "w", stderr) == NULL)
                _exit(99);
            struct rig *r = open_rig(BPRED_gshare);
            r->slow = slow;
            rig_load(r, A, 20);
            rig_branch(r, 0, BR_COND, 9, X2, X, true);
            rig_load(r, B, 2);
            rig_run(r);
            _exit(98);
        }
        int status;
        waitpid(pid, &status, 0);
        CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == ERR_TRACE);
    }
}

static void a_wrong_branch_waits_for_the_load_that_feeds_it(void)
{
    struct rig *r = open_rig(BPRED_gshare);
    struct branch_rec *br = load_branch_load(r, BR_COND, true);
    br->dep = 1;
    br->ops = 2;
    rig_run(r);
    /* Load A has its data in 120, the branch executes in 122, resolved in 123, next slot 143. */
    IS(rig_done(r, 1), 144 + 100);
    IS(rig_stats(r)->br_resolve_cycles, 100);
    IS(rig_stats(r)->stall_branch, 143 - 24);
    rig_close(r);
}

static void a_feeding_load_that_hits_delays_by_its_latency(void)
{
    struct rig *r = open_rig(BPRED_gshare);
    rig_load(r, A, 1);
    rig_load(r, A, 200); /* slot 220, data in 225 */
    struct branch_rec *br = rig_branch(r, 0, BR_COND, 1, X2, X, true); /* slot 221, executes in 225 */
    rig_load(r, B, 2);
    br->dep = 1;
    rig_run(r);
    IS(rig_done(r, 1), 225);
    IS(rig_done(r, 2), 246 + 100);
    IS(rig_stats(r)->stall_branch, 246 - 222);
    rig_close(r);
}

static void a_jump_that_the_btb_does_not_know_is_found_at_decode(void)
{
    struct rig *r = open_rig(BPRED_gshare);
    load_branch_load(r, BR_JUMP, true); /* slot 23, found in 24, the next one six cycles later */
    rig_branch(r, 0, BR_JUMP, 3, X2, X, true); /* known by now */
    rig_load(r, B, 5);
    rig_run(r);
    IS(rig_done(r, 1), 31 + 100);
    IS(rig_stats(r)->br_btb_misses, 1);
    IS(rig_stats(r)->stall_branch, 6);
    rig_close(r);
}

static void a_perfect_predictor_counts_branches_and_costs_nothing(void)
{
    struct rig *r = open_rig(BPRED_none);
    load_branch_load(r, BR_COND, true)->dep = 1;
    rig_branch(r, 0, BR_INDIRECT, 1, X2, Y, true);
    rig_load(r, B, 1);
    rig_run(r);
    IS(rig_done(r, 1), 125);
    IS(rig_stats(r)->stall_branch, 0);
    IS(rig_stats(r)->branches[BR_COND], 1);
    IS(rig_stats(r)->branches[BR_INDIRECT], 1);
    rig_close(r);
}

static void branches_behind_the_last_access_and_in_the_next_block_count_too(void)
{
    struct rig *r = open_rig(BPRED_gshare);
    load_branch_load(r, BR_COND, true);
    rig_branch(r, 0, BR_COND, 2, X2, X, true);
    rig_branch(r, 0, BR_COND, 3, X2, X, true);
    r->threads[0].blocks[0].tail_gap = 5;
    rig_new_block(r, 0);
    rig_branch(r, 0, BR_COND, 1, X2, X, true);
    rig_load(r, B, 4);
    rig_run(r);
    IS(rig_stats(r)->branches[BR_COND], 4);
    IS(rig_stats(r)->br_wrong_direction, 4); /* histories 0, 1, 11, 111 */
    IS(rig_stats(r)->instructions, 6 + 5 + 4);
    rig_close(r);
}

static void a_branch_behind_the_instruction_limit_is_not_dispatched(void)
{
    for (uint64_t limit = 3; limit <= 4; limit++) {
        struct rig *r = open_rig(BPRED_gshare);
        r->instruction_limit = limit;
        load_branch_load(r, BR_COND, true); /* the fourth instruction */
        rig_run(r);
        IS(rig_stats(r)->instructions, limit);
        IS(rig_stats(r)->branches[BR_COND], limit == 4);
        rig_close(r);
    }
}

/*
 * A load that misses, 20 instructions to a jump, two behind it the first of seven loads that hit. The ROB of 8 fills in the
 * middle of the 20; when it has room, dispatch goes on with the rest of them and the page that the jump goes to.
 */
static void a_limit_behind_a_line_whose_instructions_were_held_up_is_met(void)
{
    enum { Y2 = NEXT_LINE + 1, ROUNDS = 12, ROUND = 2 + 22 + 6 };
    for (uint64_t limit = 1; limit <= ROUNDS * ROUND; limit++) {
        uint64_t digests[2];
        for (unsigned slow = 0; slow < 2; slow++) {
            struct rig *r = open_rig(BPRED_gshare);
            r->mmu = &mmu_radix;
            r->slow = slow;
            r->p.core.rob = 8;
            r->p.l1i = (struct cache_params){1, 32 * LINE_BYTES, 4, 5, REPL_LRU, 4, 1, L1I_FETCH_AHEAD, 1, 8};
            r->pcs[Y2] = CODE + PAGE_BYTES + 8;
            r->instruction_limit = limit;
            for (uint64_t i = 0; i < ROUNDS; i++) {
                rig_load(r, A + 1024 + LINE_BYTES * i, 2);
                rig_branch(r, 0, BR_JUMP, 20, X2, OTHER_PAGE, true);
                for (unsigned k = 0; k < 7; k++)
                    rig_load(r, A, k == 0 ? 22 : 1)->pc_id = OTHER_PAGE;
                rig_branch(r, 0, BR_JUMP, 1, Y2, X, true);
            }
            rig_run(r);
            IS(rig_stats(r)->instructions, limit);
            digests[slow] = engine_digest(r->engine);
            rig_close(r);
        }
        IS(digests[0], digests[1]);
    }
}

/* Four lines of code one behind another, an access on each, then a jump back: no line may come for an instruction behind it. */
static void a_limit_before_a_line_that_code_runs_on_to_is_met(void)
{
    enum { LINE = 8, ROUNDS = 6, ROUND = 4 * 9 + 2 };
    for (uint64_t limit = 1; limit <= ROUNDS * ROUND; limit++) {
        uint64_t digests[2], rows[2] = {0, 0};
        for (unsigned slow = 0; slow < 2; slow++) {
            struct rig *r = open_rig(BPRED_gshare);
            r->slow = slow;
            r->p.l1i = (struct cache_params){1, 32 * LINE_BYTES, 4, 5, REPL_LRU, 4, 1, L1I_FETCH_AHEAD, 1, 8};
            r->instruction_limit = limit;
            for (uint32_t k = 0; k < 4; k++)
                r->pcs[LINE + k] = CODE + LINE_BYTES * k;
            for (uint64_t i = 0; i < ROUNDS; i++) {
                for (uint32_t k = 0; k < 4; k++)
                    rig_load(r, A, 9)->pc_id = LINE + k;
                rig_branch(r, 0, BR_JUMP, 2, LINE + 3, X, true);
                rig_load(r, A, 2)->pc_id = X;
            }
            rig_run(r);
            IS(rig_stats(r)->instructions, limit);
            digests[slow] = engine_digest(r->engine);
            rows[slow] = sum_of_epochs(r);
            rig_close(r);
        }
        IS(digests[0], digests[1]);
        IS(rows[0], rows[1]);
    }
}

/* Branches 0 to 2, a call that moves the thread to the other core, branches 3 and 4. */
static void a_thread_moved_to_another_core_keeps_its_place_among_the_branches(void)
{
    for (unsigned l1i = 0; l1i < 2; l1i++) {
        struct rig *r = open_rig(BPRED_gshare);
        r->ncores = 2;
        r->moves = true;
        r->p.l1i.enabled = l1i;
        r->p.l1i.prefetcher = L1I_FETCH_AHEAD;
        r->p.l1i.mshrs = r->p.l1i.fetch_queue = 8;
        for (unsigned i = 0; i < 5; i++) {
            if (i == 3)
                rig_event(r, 0, FE_FUTEX_WAIT, 1)->a[1] = 1;
            rig_branch(r, 0, i < 3 ? BR_COND : BR_CALL, 2, X2, X, true);
            rig_load(r, B, 3);
        }
        rig_run(r);
        IS(rig_core(r, 0)->stats.branches[BR_COND], 3);
        IS(rig_core(r, 0)->stats.br_wrong_direction, 3); /* histories 0, 1, 11 */
        IS(rig_core(r, 0)->stats.branches[BR_CALL], 0);
        IS(rig_core(r, 0)->stats.br_btb_misses, 0);
        IS(rig_core(r, 1)->stats.branches[BR_COND], 0);
        IS(rig_core(r, 1)->stats.branches[BR_CALL], 2);
        IS(rig_core(r, 1)->stats.br_btb_misses, 1);
        rig_close(r);
    }
}

/* ---- lines of code ---------------------------------------------------------------------------- */

static struct rig *open_l1i(enum bpred_kind design, enum l1i_prefetcher prefetcher)
{
    struct rig *r = open_rig(design);
    r->p.l1i.enabled = 1;
    r->p.l1i.prefetcher = prefetcher;
    r->p.l1i.mshrs = 8;
    r->p.l1i.fetch_queue = 8;
    return r;
}

static void a_cold_line_of_code_delays_its_instruction_by_a_miss(void)
{
    struct rig *r = open_l1i(BPRED_none, L1I_NONE);
    rig_load(r, A, 1)->pc_id = X;
    rig_load(r, B, 7)->pc_id = X2;        /* the same line */
    rig_load(r, A, 7)->pc_id = NEXT_LINE; /* six instructions, then another 100 cycles */
    rig_run(r);
    IS(rig_done(r, 0), 120 + 100);
    IS(rig_done(r, 1), 127 + 100);
    IS(rig_done(r, 2), 134 + 100 + 5); /* from slot 134 to 234; line A has come by then */
    IS(rig_stats(r)->stall_ifetch, 200);
    IS(rig_stats(r)->stack[CPI_FETCH], 200);
    IS(rig_stats(r)->l1i_misses, 2);
    IS(rig_stats(r)->l1i_hits, 0);
    rig_close(r);
}

static void the_target_of_a_taken_branch_needs_its_line(void)
{
    struct rig *r = open_l1i(BPRED_none, L1I_NONE);
    rig_load(r, A, 1)->pc_id = X; /* slot 120 */
    rig_branch(r, 0, BR_JUMP, 2, X2, Y, true); /* 122: the line of Y from 123 to 223 */
    rig_load(r, B, 10)->pc_id = Y; /* the eighth behind the branch */
    rig_run(r);
    IS(rig_done(r, 1), 223 + 7 + 100);
    IS(rig_line(r, 2), rig_pa(0, r->pcs[Y])); /* after X and A */
    IS(rig_asked(r, 2), 123);
    rig_close(r);
}

/* Both lines are asked for at 20 and come at 120; the second is needed at 420. */
static void the_next_line_prefetched_in_time_costs_nothing(void)
{
    struct rig *r = open_l1i(BPRED_none, L1I_NEXT_LINE);
    r->p.l1i.degree = 1;
    rig_load(r, A, 1)->pc_id = X;
    rig_load(r, B, 300)->pc_id = NEXT_LINE;
    rig_run(r);
    IS(rig_done(r, 1), 420 + 100);
    IS(rig_stats(r)->stall_ifetch, 100);
    IS(rig_stats(r)->l1i_prefetches, 1);
    IS(rig_stats(r)->l1i_behind, 1);
    IS(rig_stats(r)->l1i_useful, 1);
    IS(rig_stats(r)->l1i_late, 0);
    IS(rig_stats(r)->l1i_hits, 1);
    rig_close(r);
}

static void the_next_line_is_not_prefetched_across_the_page(void)
{
    struct rig *r = open_l1i(BPRED_none, L1I_NEXT_LINE);
    r->p.l1i.degree = 3;
    r->pcs[X] = CODE + PAGE_BYTES - 128;
    rig_load(r, A, 1)->pc_id = X;
    rig_run(r);
    IS(rig_stats(r)->l1i_prefetches, 1);
    IS(rig_stats(r)->l1i_useful, 0);
    rig_close(r);
}

/* While dispatch waits for X, from 20 to 120, prediction is ahead at Y and asks for it at 21. */
static void running_ahead_hides_the_line_of_a_branch_target(void)
{
    struct rig *r = open_l1i(BPRED_none, L1I_FETCH_AHEAD);
    rig_load(r, A, 1)->pc_id = X;
    rig_branch(r, 0, BR_JUMP, 2, X2, Y, true);
    rig_load(r, B, 10)->pc_id = Y;
    rig_run(r);
    IS(rig_done(r, 1), 123 + 7 + 100);
    IS(rig_line(r, 1), rig_pa(0, r->pcs[Y]));
    IS(rig_asked(r, 1), 21);
    IS(rig_stats(r)->l1i_prefetches, 1);
    IS(rig_stats(r)->l1i_useful, 1);
    IS(rig_stats(r)->l1i_late, 0);
    rig_close(r);
}

/* A queue of one: Y is asked for when X has left it, at 120, comes at 220 and is needed at 123. */
static void a_late_prefetch_costs_the_rest_of_its_miss(void)
{
    struct rig *r = open_l1i(BPRED_none, L1I_FETCH_AHEAD);
    r->p.l1i.fetch_queue = 1;
    rig_load(r, A, 1)->pc_id = X;
    rig_branch(r, 0, BR_JUMP, 2, X2, Y, true);
    rig_load(r, B, 10)->pc_id = Y;
    rig_run(r);
    IS(rig_done(r, 1), 220 + 7 + 100);
    IS(rig_stats(r)->stall_ifetch, 100 + 97);
    IS(rig_stats(r)->l1i_prefetches, 1);
    IS(rig_stats(r)->l1i_useful, 1);
    IS(rig_stats(r)->l1i_late, 1);
    rig_close(r);
}

/* As code it is asked for at 120, as data at 121; what comes second finds it in L2. */
static void a_line_that_is_code_and_data_is_in_l2_once(void)
{
    struct rig *r = open_l1i(BPRED_none, L1I_FETCH_AHEAD);
    r->p.l1i.fetch_queue = 1;
    rig_load(r, A, 1)->pc_id = X;
    rig_load(r, r->pcs[Y], 1)->pc_id = X;
    rig_branch(r, 0, BR_JUMP, 2, X2, Y, true);
    rig_load(r, B, 10)->pc_id = Y;
    rig_run(r);
    uint64_t line = rig_pa(0, r->pcs[Y]), n = 0;
    IS(rig_line(r, 2), line);
    IS(rig_line(r, 3), line);
    IS(rig_asked(r, 3), 121);
    const struct sarray *l2 = core_at(rig_core(r, 0), rig_core(r, 0)->at.l2);
    for (uint32_t set = 0; set < l2->nsets; set++)
        for (uint32_t way = 0; way < l2->nways; way++)
            n += sarray_valid(l2, set, way) && sarray_tag(l2, set, way) == line;
    IS(n, 1);
    rig_close(r);
}

/* The branch has slot 122 and is resolved in 123; its target's line is asked for with the refill over. */
static void running_ahead_stops_at_a_branch_predicted_wrong(void)
{
    struct rig *r = open_l1i(BPRED_gshare, L1I_FETCH_AHEAD);
    rig_load(r, A, 1)->pc_id = X;
    rig_branch(r, 0, BR_COND, 2, X2, Y, true);
    rig_load(r, B, 10)->pc_id = Y;
    rig_run(r);
    IS(rig_asked(r, 2), 143);
    IS(rig_done(r, 1), 243 + 7 + 100);
    IS(rig_stats(r)->l1i_prefetches, 0);
    IS(rig_stats(r)->stall_branch, 20);
    IS(rig_stats(r)->stall_ifetch, 200);
    rig_close(r);
}

/* The target of a branch behind a call is asked for when dispatch comes to it; or else once the call is made. */
static void running_ahead_stops_at_a_call_of_the_kernel_until_it_is_made(void)
{
    for (unsigned behind = 0; behind < 2; behind++) { /* another access between the call and the branch */
        struct rig *r = open_l1i(BPRED_none, L1I_FETCH_AHEAD);
        rig_load(r, A, 1)->pc_id = X;
        rig_event(r, 0, FE_SYSCALL, 2);
        if (behind)
            rig_load(r, A, 5)->pc_id = X2;
        rig_branch(r, 0, BR_JUMP, 3, X2, Y, true);
        rig_load(r, B, 10)->pc_id = Y;
        rig_run(r);
        IS(rig_stats(r)->syscalls, 1);
        IS(rig_stats(r)->l2_code_misses, 2);
        IS(rig_stats(r)->l1i_prefetches, behind);
        rig_close(r);
    }
}

static void running_ahead_stops_at_a_page_without_translation(void)
{
    for (unsigned other = 0; other < 2; other++) {
        struct rig *r = open_l1i(BPRED_none, L1I_FETCH_AHEAD);
        r->mmu = &mmu_radix;
        rig_load(r, A, 1)->pc_id = X;
        rig_branch(r, 0, BR_JUMP, 2, X2, other ? OTHER_PAGE : Y, true);
        rig_load(r, B, 10)->pc_id = other ? OTHER_PAGE : Y;
        rig_run(r);
        IS(rig_stats(r)->l1i_prefetches, !other);
        IS(rig_stats(r)->walks_instr, 1 + other);
        IS(rig_stats(r)->itlb_l1_misses, 1 + other);
        rig_close(r);
    }
}

/* The third page, Y, takes the place of X, which was used twice before, in an instruction TLB of two entries. */
static void a_code_page_that_left_the_tlb_is_not_there(void)
{
    static const uint32_t order[] = {X, OTHER_PAGE, X, OTHER_PAGE, Y, X, Y};
    struct rig *r = open_l1i(BPRED_none, L1I_FETCH_AHEAD);
    r->mmu = &mmu_radix;
    r->p.l1i4k = (struct tlb_params){2, 2, 0, REPL_LRU};
    r->pcs[Y] = CODE + 2 * PAGE_BYTES;
    rig_map(r, 0, r->pcs[Y], PAGE_SHIFT, RIG_PAGE);
    for (unsigned i = 0; i < 6; i++) {
        rig_load(r, A, 300)->pc_id = order[i];
        rig_branch(r, 0, BR_JUMP, 2, order[i], order[i + 1], true);
    }
    r->threads[0].blocks[0].tail_gap = 1;
    rig_run(r);
    IS(rig_stats(r)->itlb_l1_misses, 4);
    IS(rig_stats(r)->itlb_l1_hits, 3);
    IS(rig_stats(r)->walks_instr, 3);
    rig_close(r);
}

/* Two pages take turns, and half-way through a shootdown takes one of them out of the TLBs. */
static void a_code_page_shot_down_is_walked_again(void)
{
    struct rig *r = open_l1i(BPRED_none, L1I_FETCH_AHEAD);
    r->mmu = &mmu_radix;
    for (unsigned i = 0; i < 20; i++) {
        rig_load(r, A, 300)->pc_id = i % 2 ? OTHER_PAGE : X;
        rig_branch(r, 0, BR_JUMP, 2, i % 2 ? OTHER_PAGE : X2, i % 2 ? X : OTHER_PAGE, true);
    }
    r->threads[0].blocks[0].tail_gap = 1;
    struct rig_order *o = rig_order(r, (RIG_START + 4000) * RIG_CYCLE, K_SHOOTDOWN);
    o->a[0] = CODE;
    o->a[1] = PAGE_BYTES;
    o->a[2] = 1;
    rig_run(r);
    IS(rig_stats(r)->itlb_l1_misses, 2 + 1);
    IS(rig_stats(r)->walks_instr, 2 + 1);
    rig_close(r);
}

/* X and Y are in L1I, or on their way, the second time round: no request, no stall. */
static void a_loop_over_two_lines_misses_each_once(void)
{
    struct rig *r = open_l1i(BPRED_none, L1I_FETCH_AHEAD);
    for (unsigned i = 0; i < 10; i++) {
        rig_load(r, A, 5)->pc_id = i % 2 ? Y : X;
        rig_branch(r, 0, BR_JUMP, 2, i % 2 ? Y : X2, i % 2 ? X : Y, true);
    }
    r->threads[0].blocks[0].tail_gap = 3;
    rig_run(r);
    IS(rig_stats(r)->l2_code_misses, 2);
    IS(rig_stats(r)->l1i_misses - rig_stats(r)->l1i_merged, 2);
    IS(rig_stats(r)->l1i_hits + rig_stats(r)->l1i_misses, 1 + 10); /* the queue of 8 was filled while X came */
    IS(rig_stats(r)->l1i_merged, 8 - 2);
    IS(rig_stats(r)->stall_ifetch, 100);
    rig_close(r);
}

/* The same with X taken away half-way through: whoever knew where it lay asks for it again. */
static void a_line_taken_away_is_asked_for_again(void)
{
    struct rig *r = open_l1i(BPRED_none, L1I_FETCH_AHEAD);
    for (unsigned i = 0; i < 20; i++) {
        rig_load(r, A, 50)->pc_id = i % 2 ? Y : X;
        rig_branch(r, 0, BR_JUMP, 2, i % 2 ? Y : X2, i % 2 ? X : Y, true);
    }
    r->threads[0].blocks[0].tail_gap = 3;
    rig_order(r, (RIG_START + 500) * RIG_CYCLE, MEM_INVALIDATE)->a[0] = rig_pa(0, r->pcs[X]);
    rig_run(r);
    IS(rig_stats(r)->invalidated, 1);
    IS(rig_stats(r)->l2_code_misses, 3);
    rig_close(r);
}

/* The page of the code is not mapped: one fault, then it goes on. */
static void a_code_page_not_there_is_faulted_in_by_its_first_line(void)
{
    struct rig *r = open_l1i(BPRED_none, L1I_FETCH_AHEAD);
    r->pcs[X] = CODE + 5 * PAGE_BYTES;
    rig_load(r, A, 1)->pc_id = X;
    rig_load(r, B, 9)->pc_id = X;
    rig_run(r);
    IS(rig_stats(r)->faults, 1);
    IS(rig_told(r, K_FAULT, 0)->a[0], r->pcs[X]);
    IS(rig_stats(r)->l1i_misses, 1);
    IS(rig_stats(r)->loads, 2);
    rig_close(r);
}

/*
 * Code in eight lines of two pages: the path goes straight on, with many branches to a line, and jumps; now and then an
 * access or a branch is where no path leads to.
 */
static void walk_lines(struct rig *r, uint64_t seed)
{
    enum { LINES = 8, PER_LINE = 8, STEPS = 1500 };
    for (uint32_t i = 0; i < LINES * PER_LINE; i++)
        r->pcs[i] = CODE + i / PER_LINE * 64 + i % PER_LINE * 8 + (i / PER_LINE >= 5 ? PAGE_BYTES - 64 * 5 : 0);
    uint32_t at = 0, gap = 0;
    const uint64_t odd = seed % 3 == 0 ? 1000 : 6 + seed % 9;
    for (uint64_t i = 0; i < STEPS; i++) {
        uint64_t x = rng_draw(seed, 0, 0, 0, i), lost = x >> 50;
        uint32_t there = lost % odd == 1 ? (uint32_t)(x >> 8) % 64 : at, target = (uint32_t)(x >> 16) % 64;
        gap += (x >> 24 & 7) < 5 ? 1 : (uint32_t)(x >> 27) % 9;
        if ((x & 3) == 0) {
            rig_load(r, (x >> 33 & 3) == 0 ? B + 64 * (x >> 35 & 15) : A, gap)->pc_id = there;
            gap = 0;
            if ((x >> 40) % 12 == 0 && r->threads[0].nblocks < RIG_BLOCKS)
                rig_new_block(r, 0);
        } else if (gap > 0) {
            const bool taken = (x >> 36 & 7) < (seed & 1 ? 1 : 3);
            rig_branch(r, 0, taken && (x >> 39 & 1) ? BR_JUMP : BR_COND, gap, there, target, taken);
            at = taken ? target : at;
        }
        uint32_t on = (uint32_t)((x >> 30 & 3) == 0) + 7 * (uint32_t)((x >> 28 & 31) == 0);
        at = lost % odd == 2 ? (uint32_t)(x >> 44) % 64 : (at + on) % 64;
    }
    r->threads[0].blocks[r->threads[0].nblocks - 1].tail_gap = gap + 1;
}

static void branches_passed_by_their_number_are_those_that_stay_on_their_line(void)
{
    for (uint64_t seed = 0; seed < 240; seed++) {
        struct core_stats stats[2];
        uint64_t digests[2], rows[2];
        for (unsigned slow = 0; slow < 2; slow++) {
            struct rig *r = open_rig(seed % 4 < 2 ? BPRED_none : BPRED_gshare);
            r->mmu = &mmu_radix;
            r->slow = slow;
            r->epoch_cycles = seed & 8 ? 150 : 10000;
            r->instruction_limit = seed % 3 == 1 ? 300 + 5 * seed : 0;
            r->p.core.width = 1 + seed % 5;
            r->p.core.rob = seed % 7 == 0 ? 16 : 128;
            r->p.core.refill_cycles = 5;
            r->p.l1i = (struct cache_params){1, (4 + 12 * (seed & 1)) * LINE_BYTES, 2, 5, REPL_LRU, 4, 1, L1I_FETCH_AHEAD, 1,
                                             seed % 5 == 0 ? 2 : 12};
            walk_lines(r, seed);
            rig_run(r);
            stats[slow] = *rig_stats(r);
            digests[slow] = engine_digest(r->engine);
            rows[slow] = sum_of_epochs(r);
            rig_close(r);
        }
        IS(digests[0], digests[1]);
        IS(rows[0], rows[1]);
        CU_ASSERT_EQUAL(memcmp(&stats[0], &stats[1], sizeof stats[0]), 0);
    }
}

UNIT_MAIN("cores/fetch", UNIT(a_branch_predicted_right_costs_nothing),
          UNIT(a_wrong_branch_that_waits_for_nothing_costs_the_refill),
          UNIT(a_branch_behind_the_access_that_it_stands_before_ends_the_run),
          UNIT(a_wrong_branch_waits_for_the_load_that_feeds_it),
          UNIT(a_feeding_load_that_hits_delays_by_its_latency),
          UNIT(a_jump_that_the_btb_does_not_know_is_found_at_decode),
          UNIT(a_perfect_predictor_counts_branches_and_costs_nothing),
          UNIT(branches_behind_the_last_access_and_in_the_next_block_count_too),
          UNIT(a_branch_behind_the_instruction_limit_is_not_dispatched),
          UNIT(a_limit_before_a_line_that_code_runs_on_to_is_met),
          UNIT(a_limit_behind_a_line_whose_instructions_were_held_up_is_met),
          UNIT(a_thread_moved_to_another_core_keeps_its_place_among_the_branches),
          UNIT(a_cold_line_of_code_delays_its_instruction_by_a_miss),
          UNIT(the_target_of_a_taken_branch_needs_its_line),
          UNIT(the_next_line_prefetched_in_time_costs_nothing),
          UNIT(the_next_line_is_not_prefetched_across_the_page),
          UNIT(running_ahead_hides_the_line_of_a_branch_target),
          UNIT(a_late_prefetch_costs_the_rest_of_its_miss), UNIT(a_line_that_is_code_and_data_is_in_l2_once),
          UNIT(running_ahead_stops_at_a_branch_predicted_wrong),
          UNIT(running_ahead_stops_at_a_call_of_the_kernel_until_it_is_made),
          UNIT(running_ahead_stops_at_a_page_without_translation),
          UNIT(a_code_page_that_left_the_tlb_is_not_there), UNIT(a_code_page_shot_down_is_walked_again),
          UNIT(a_loop_over_two_lines_misses_each_once),
          UNIT(a_line_taken_away_is_asked_for_again),
          UNIT(a_code_page_not_there_is_faulted_in_by_its_first_line),
          UNIT(branches_passed_by_their_number_are_those_that_stay_on_their_line))
