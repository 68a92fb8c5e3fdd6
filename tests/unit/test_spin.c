/* What counts as spinning (cores/spin.h), on streams whose instructions are counted by hand. */
#include "core_rig.c"

#define WORD UINT64_C(0x1000)

static struct rig *ideal(void)
{
    struct rig *r = rig_open();
    r->mmu = &mmu_ideal;
    rig_map(r, 0, 0, PAGE_SHIFT_1G, RIG_PAGE);
    return r;
}

static uint64_t spun(struct rig *r)
{
    rig_run(r);
    uint64_t n = rig_stats(r)->spin_instructions;
    rig_close(r);
    return n;
}

/* 20 reads in a loop of 3 instructions: counted from the second read to the last, 18 x 3. */
static void a_loop_that_reads_one_word_counts_from_its_second_read(void)
{
    struct rig *r = ideal();
    for (int i = 0; i < 20; i++)
        rig_load(r, WORD, 3);
    IS(spun(r), 54);
}

static void sixteen_reads_are_no_spin_and_seventeen_are(void)
{
    struct rig *r = ideal();
    for (int i = 0; i < 16; i++)
        rig_load(r, WORD, 3);
    IS(spun(r), 0);
    r = ideal();
    for (int i = 0; i < 17; i++)
        rig_load(r, WORD, 3);
    IS(spun(r), 15 * 3);
}

static void another_address_or_a_plain_store_begins_a_new_row(void)
{
    struct rig *r = ideal();
    for (int i = 0; i < 32; i++)
        rig_load(r, i == 16 ? WORD + 8 : WORD, 3);
    IS(spun(r), 0);
    r = ideal();
    for (int i = 0; i < 31; i++)
        rig_access(r, 0, WORD, 3, i == 15 ? ACC_STORE : 0);
    IS(spun(r), 0);
}

static void reads_by_two_instructions_in_turn_are_no_spin(void)
{
    struct rig *r = ideal();
    for (uint32_t i = 0; i < 40; i++)
        rig_load(r, WORD, 3)->pc_id = i % 2;
    r->pcs[0] = 0x100;
    r->pcs[1] = 0x200;
    IS(spun(r), 0);
}

/*
 * A lock that is taken by exchange: each round of 3 instructions reads and writes the word. The second
 * access is the store of the first round, at instruction 3; the last belongs to instruction 60.
 */
static void a_locked_exchange_spins_although_it_stores(void)
{
    struct rig *r = ideal();
    for (int i = 0; i < 20; i++) {
        rig_access(r, 0, WORD, 3, ACC_LOCK);
        rig_access(r, 0, WORD, 0, ACC_LOCK | ACC_STORE);
    }
    IS(spun(r), 57);
}

/* 64 instructions apart still count; 65 are a computation. */
static void reads_far_apart_are_no_spin(void)
{
    struct rig *r = ideal();
    for (int i = 0; i < 20; i++)
        rig_load(r, WORD, 64);
    IS(spun(r), 18 * 64);
    r = ideal();
    for (int i = 0; i < 20; i++)
        rig_load(r, WORD, 65);
    IS(spun(r), 0);
}

static void a_call_in_between_does_not_end_it(void)
{
    struct rig *r = ideal();
    for (int i = 0; i < 20; i++) {
        rig_load(r, WORD, 3);
        rig_event(r, 0, FE_SYSCALL, 0)->a[0] = 24; /* sched_yield */
    }
    rig_run(r);
    IS(rig_stats(r)->spin_instructions, 54);
    IS(rig_core(r, 0)->syscalls[24], 20);
    rig_close(r);
}

UNIT_MAIN("cores/spin", UNIT(a_loop_that_reads_one_word_counts_from_its_second_read),
          UNIT(sixteen_reads_are_no_spin_and_seventeen_are),
          UNIT(another_address_or_a_plain_store_begins_a_new_row),
          UNIT(reads_by_two_instructions_in_turn_are_no_spin), UNIT(a_locked_exchange_spins_although_it_stores),
          UNIT(reads_far_apart_are_no_spin), UNIT(a_call_in_between_does_not_end_it))
