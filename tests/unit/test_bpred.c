/* Branch predictors on sequences whose mispredictions can be counted by hand. */
#include "tests/unit/unit.h"

#include "cores/bpred.h"

#include <stdlib.h>
#include <string.h>

#define PC UINT64_C(0x401230)

static struct bpred_params small(enum bpred_kind design)
{
    return (struct bpred_params){.design = design, .gshare_entries = 1024, .gshare_history = 4, .base_entries = 1024,
                                 .tables = 4, .table_entries = 256, .tag_bits = 10, .min_history = 4,
                                 .max_history = 64, .btb_entries = 64, .btb_ways = 4, .btb_miss_cycles = 6,
                                 .ras_entries = 4, .indirect_entries = 64, .indirect_history = 1};
}

static struct bpred *make(const struct bpred_params *p)
{
    CU_ASSERT_EQUAL_FATAL(bpred_params_check(p), ERR_OK);
    struct bpred *b = calloc(1, bpred_bytes(p));
    bpred_init(b, p, 1);
    return b;
}

/* Wrong directions of one conditional branch that goes by `taken(i)`, from its `from`-th time on. */
static uint64_t wrong_of(const struct bpred_params *p, bool (*taken)(uint64_t), uint64_t from, uint64_t n)
{
    struct bpred *b = make(p);
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < n; i++)
        wrong += bpred_branch(b, PC, PC + 64, BR_COND, taken(i)) == BPRED_WRONG_DIRECTION && i >= from;
    free(b);
    return wrong;
}

static bool always(uint64_t i) { return i + 1 != 0; }
static bool in_turn(uint64_t i) { return i % 2 == 0; }
static bool ten_times(uint64_t i) { return i % 10 != 9; }

/* Counters begin weakly not taken. gshare passes histories 0, 1, 11, 111, 1111: one miss each. */
static void a_branch_always_taken_is_learnt_once_for_each_history(void)
{
    struct bpred_params p = small(BPRED_gshare);
    CU_ASSERT_EQUAL(wrong_of(&p, always, 0, 1000), 5);
    p.gshare_history = 0;
    CU_ASSERT_EQUAL(wrong_of(&p, always, 0, 1000), 1);
    p = small(BPRED_tage);
    CU_ASSERT_EQUAL(wrong_of(&p, always, 0, 1000), 1);
}

/* History 4: taken after 0000, 0010 and 1010, missed once each; not taken is what counters begin with. */
static void an_alternating_branch_is_learnt_by_history_and_never_without(void)
{
    struct bpred_params p = small(BPRED_gshare);
    CU_ASSERT_EQUAL(wrong_of(&p, in_turn, 0, 1000), 3);
    p.gshare_history = 0;
    CU_ASSERT_EQUAL(wrong_of(&p, in_turn, 0, 1000), 1000);
    p = small(BPRED_tage);
    CU_ASSERT_EQUAL(wrong_of(&p, in_turn, 100, 1000), 0);
}

/* Four outcomes do not tell the ninth time of a loop from the fifth; ten do. */
static void a_loop_of_ten_is_learnt_by_a_history_of_ten_and_missed_once_a_round_by_four(void)
{
    struct bpred_params p = small(BPRED_gshare);
    CU_ASSERT_EQUAL(wrong_of(&p, ten_times, 1000, 2000), 100);
    p.gshare_history = 10;
    CU_ASSERT_EQUAL(wrong_of(&p, ten_times, 1000, 2000), 0);
    p = small(BPRED_tage);
    CU_ASSERT_EQUAL(wrong_of(&p, ten_times, 1000, 2000), 0);
    p.max_history = 7; /* nine outcomes are needed, its longest table has seven */
    CU_ASSERT_EQUAL(wrong_of(&p, ten_times, 1000, 2000), 100);
}

static enum bpred_miss call(struct bpred *b, uint64_t i) { return bpred_branch(b, PC + i * 32, PC + 4096, BR_CALL, true); }
static enum bpred_miss ret(struct bpred *b, uint64_t i) { return bpred_branch(b, PC + 5000, PC + i * 32 + 5, BR_RET, true); }

static void returns_go_to_behind_their_calls_as_deep_as_the_stack(void)
{
    struct bpred_params p = small(BPRED_gshare);
    struct bpred *b = make(&p);
    for (uint64_t i = 0; i < 6; i++)
        CU_ASSERT_EQUAL(call(b, i), BPRED_LATE_TARGET); /* new to the BTB */
    CU_ASSERT_EQUAL(ret(b, 5), BPRED_LATE_TARGET);
    for (uint64_t i = 4; i >= 2; i--)
        CU_ASSERT_EQUAL(ret(b, i), BPRED_RIGHT);
    /* The calls 0 and 1 were overwritten; the target of the return before is all that is left. */
    CU_ASSERT_EQUAL(ret(b, 1), BPRED_WRONG_RETURN);
    CU_ASSERT_EQUAL(ret(b, 0), BPRED_WRONG_RETURN);
    CU_ASSERT_EQUAL(call(b, 3), BPRED_RIGHT);
    CU_ASSERT_EQUAL(bpred_branch(b, PC + 5000, PC + 3 * 32 + 16, BR_RET, true), BPRED_WRONG_RETURN); /* 15 at most */
    free(b);
}

static void another_thread_finds_an_empty_return_stack(void)
{
    struct bpred_params p = small(BPRED_gshare);
    struct bpred *b = make(&p);
    call(b, 0), ret(b, 0);
    call(b, 1);
    bpred_switch(b);
    CU_ASSERT_EQUAL(ret(b, 1), BPRED_WRONG_RETURN);
    call(b, 2);
    CU_ASSERT_EQUAL(ret(b, 2), BPRED_RIGHT);
    free(b);
}

/* The first time nothing is known, the next two the last target is wrong and history is learnt. */
static void an_indirect_jump_to_two_targets_in_turn_is_learnt_after_three(void)
{
    struct bpred_params p = small(BPRED_gshare);
    struct bpred *b = make(&p);
    for (uint64_t i = 0; i < 100; i++)
        CU_ASSERT_EQUAL(bpred_branch(b, PC, PC + 1000 + i % 2 * 100, BR_INDIRECT, true),
                        i < 3 ? BPRED_WRONG_TARGET : BPRED_RIGHT);
    free(b);
}

static void the_btb_keeps_the_branches_taken_latest(void)
{
    struct bpred_params p = small(BPRED_gshare);
    p.btb_entries = p.btb_ways = 2;
    struct bpred *b = make(&p);
    for (uint64_t i = 0; i < 30; i++) /* three take turns in two places: never there */
        CU_ASSERT_EQUAL(bpred_branch(b, PC + i % 3 * 8, PC, BR_JUMP, true), BPRED_LATE_TARGET);
    for (uint64_t i = 0; i < 30; i++) /* not taken: takes no place */
        CU_ASSERT_EQUAL(bpred_branch(b, PC + 64 + i * 8, PC, BR_COND, false), BPRED_RIGHT);
    CU_ASSERT_EQUAL(bpred_branch(b, PC + 8, PC, BR_JUMP, true), BPRED_RIGHT);
    free(b);
}

/* One set, or three that share a place among the branches used latest. */
static void a_branch_asked_for_twice_in_a_row_is_the_latest_of_its_set_and_no_other(void)
{
    for (uint64_t sets = 1; sets <= 3; sets += 2) {
        struct bpred_params p = small(BPRED_gshare);
        p.btb_ways = 2;
        p.btb_entries = 2 * sets;
        struct bpred *b = make(&p);
        const uint64_t a = PC, other = PC + 3, third = PC + 6, next_set = PC + 1;
        const uint64_t order[] = {a, other, a, a, next_set, a};
        for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
            if (order[i] != next_set || sets > 1)
                bpred_branch(b, order[i], PC, BR_JUMP, true);
        CU_ASSERT_EQUAL(bpred_branch(b, third, PC, BR_JUMP, true), BPRED_LATE_TARGET); /* takes the place of `other` */
        CU_ASSERT_EQUAL(bpred_branch(b, a, PC, BR_JUMP, true), BPRED_RIGHT);
        CU_ASSERT_EQUAL(bpred_branch(b, other, PC, BR_JUMP, true), BPRED_LATE_TARGET);
        CU_ASSERT_EQUAL(bpred_branch(b, a, PC, BR_JUMP, true), BPRED_RIGHT);
        CU_ASSERT_EQUAL(bpred_branch(b, third, PC, BR_JUMP, true), BPRED_LATE_TARGET);
        free(b);
    }
}

/* Every design: the state is where it says, flat, and all that the future depends on. */
static void every_design_goes_on_from_a_copy_of_its_state_and_stays_within_it(void)
{
    for (unsigned d = 0; d < BPRED_COUNT; d++) {
        CU_ASSERT_STRING_EQUAL(bpred_table[d]->name, bpred_names[d]);
        CU_ASSERT(strlen(bpred_table[d]->doc) > 20);
        if (bpred_table[d]->perfect)
            continue;
        struct bpred_params p = small((enum bpred_kind)d);
        size_t bytes = bpred_bytes(&p);
        char *a = calloc(1, bytes + 64), *copy = calloc(1, bytes + 64);
        memset(a + bytes, 0x5a, 64);
        bpred_init((struct bpred *)a, &p, 1);
        uint64_t x = 1;
        for (unsigned i = 0; i < 20000; i++) {
            x = x * UINT64_C(6364136223846793005) + 1;
            uint64_t pc = PC + (x >> 40) % 300 * 4, target = PC + (x >> 50) % 16 * 64;
            enum branch_kind kind = (enum branch_kind)((x >> 33) % 6);
            bool taken = kind != BR_COND || (x >> 60 & 1);
            if (i == 10000)
                memcpy(copy, a, bytes);
            enum bpred_miss m = bpred_branch((struct bpred *)a, pc, target, kind, taken);
            if (i >= 10000)
                CU_ASSERT_EQUAL(bpred_branch((struct bpred *)copy, pc, target, kind, taken), m);
        }
        CU_ASSERT_EQUAL(memcmp(a, copy, bytes), 0);
        for (unsigned i = 0; i < 64; i++)
            CU_ASSERT_EQUAL(a[bytes + i], 0x5a);
        free(a);
        free(copy);
    }
}

static void sizes_that_cannot_be_built_are_refused(void)
{
    struct bpred_params p = small(BPRED_tage);
    p.table_entries = 300;
    CU_ASSERT_EQUAL(bpred_params_check(&p), ERR_USAGE);
    p = small(BPRED_gshare);
    p.gshare_history = 11;
    CU_ASSERT_EQUAL(bpred_params_check(&p), ERR_USAGE);
    p = small(BPRED_tage);
    p.max_history = 6; /* four tables need 4, 5, 6, 7 */
    CU_ASSERT_EQUAL(bpred_params_check(&p), ERR_USAGE);
    p = small(BPRED_tage);
    p.btb_entries = 63;
    CU_ASSERT_EQUAL(bpred_params_check(&p), ERR_USAGE);
    p.design = BPRED_none; /* has no sizes */
    CU_ASSERT_EQUAL(bpred_params_check(&p), ERR_OK);
}

UNIT_MAIN("cores/bpred", UNIT(a_branch_always_taken_is_learnt_once_for_each_history),
          UNIT(an_alternating_branch_is_learnt_by_history_and_never_without),
          UNIT(a_loop_of_ten_is_learnt_by_a_history_of_ten_and_missed_once_a_round_by_four),
          UNIT(returns_go_to_behind_their_calls_as_deep_as_the_stack),
          UNIT(another_thread_finds_an_empty_return_stack),
          UNIT(an_indirect_jump_to_two_targets_in_turn_is_learnt_after_three),
          UNIT(the_btb_keeps_the_branches_taken_latest),
          UNIT(a_branch_asked_for_twice_in_a_row_is_the_latest_of_its_set_and_no_other),
          UNIT(every_design_goes_on_from_a_copy_of_its_state_and_stays_within_it),
          UNIT(sizes_that_cannot_be_built_are_refused))
