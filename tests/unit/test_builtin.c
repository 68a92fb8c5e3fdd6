/* Built-in workloads against their public definitions. */
#include <stdlib.h>

#include "cores/builtin.h"
#include "tests/unit/unit.h"

static void the_hpcc_sequence_jumps_to_the_published_values(void)
{
    uint64_t a = 1;
    for (uint64_t n = 0; n <= 1024; n++) {
        CU_ASSERT_EQUAL(gups_value(n), a);
        a = a << 1 ^ ((int64_t)a < 0 ? 7u : 0u);
    }
    CU_ASSERT_EQUAL(gups_value(1000000), UINT64_C(0xc0de85b06ad60981));
    CU_ASSERT_EQUAL(gups_value(1000000000), UINT64_C(0xcfe291d18931ec70));
    CU_ASSERT_EQUAL(gups_value(UINT64_C(1317624576693539401)), 1);
}

static void gups_applied_twice_leaves_the_table_as_it_was(void)
{
    struct workload_params p = {.kind = WORKLOAD_gups, .size_bytes = 1 << 16, .passes = 1};
    struct frontend *fe;
    CU_ASSERT_EQUAL_FATAL(builtin_open(&p, 4, &fe), ERR_OK);
    enum { N = (1 << 16) / 8 };
    uint64_t *table = malloc(N * sizeof *table), updates = 0, sum = 0;
    for (uint64_t i = 0; i < N; i++)
        table[i] = i;
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t t = 0; t < 4; t++) {
            struct fe_block b = {.last = 0};
            uint64_t k = 0;
            for (uint64_t n = 0; !b.last; n++) {
                CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, t, n, &b), ERR_OK);
                for (uint32_t i = 0; i < b.nacc; i += 2, updates++) {
                    uint64_t value = gups_value(t * (uint64_t)N + ++k);
                    CU_ASSERT_EQUAL(b.acc[i].vaddr, b.acc[i + 1].vaddr);
                    table[(b.acc[i].vaddr - UINT64_C(0x7f0000000000)) / 8] ^= value;
                    sum += (b.acc[i].vaddr - UINT64_C(0x7f0000000000)) / 8 != (value & (N - 1));
                }
            }
        }
    CU_ASSERT_EQUAL(updates, 2 * 4 * N);
    CU_ASSERT_EQUAL(sum, 0);
    uint64_t errors = 0;
    for (uint64_t i = 0; i < N; i++)
        errors += table[i] != i;
    CU_ASSERT_EQUAL(errors, 0);
    free(table);
    fe->ops->close(fe);
}

static void the_chase_visits_every_line_once(void)
{
    struct workload_params p = {.kind = WORKLOAD_chase, .size_bytes = 1 << 20, .passes = 1};
    struct frontend *fe;
    CU_ASSERT_EQUAL_FATAL(builtin_open(&p, 2, &fe), ERR_OK);
    enum { LINES = (1 << 20) / 64 };
    unsigned char *seen = calloc(LINES, 1);
    uint64_t n = 0;
    for (uint32_t t = 0; t < 2; t++) {
        struct fe_block b = {.last = 0};
        for (uint64_t k = 0; !b.last; k++) {
            CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, t, k, &b), ERR_OK);
            for (uint32_t i = 0; i < b.nacc; i++, n++) {
                CU_ASSERT_EQUAL(b.acc[i].addr_dep[0], 1);
                seen[(b.acc[i].vaddr - UINT64_C(0x7f0000000000)) / 64]++;
            }
        }
    }
    CU_ASSERT_EQUAL(n, LINES);
    for (uint32_t i = 0; i < LINES; i++)
        CU_ASSERT_EQUAL(seen[i], 1);
    free(seen);
    fe->ops->close(fe);
}

static void blocks_hold_the_stated_instructions_in_any_order_of_loading(void)
{
    const uint64_t per_iteration[] = {0, 8, 9, 3};
    for (uint64_t kind = 1; kind < WORKLOAD_COUNT; kind++) {
        struct workload_params p = {.kind = kind, .size_bytes = 3 << 16, .passes = 2};
        struct frontend *fe;
        CU_ASSERT_EQUAL_FATAL(builtin_open(&p, 1, &fe), ERR_OK);
        struct fe_block b = {.last = 0};
        uint64_t instructions = 0, blocks = 0;
        for (; !b.last; blocks++) {
            CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 0, blocks, &b), ERR_OK);
            CU_ASSERT_EQUAL(b.first_instr, instructions);
            for (uint32_t i = 0; i < b.nacc; i++)
                instructions += b.acc[i].gap;
            instructions += b.tail_gap;
        }
        CU_ASSERT_EQUAL(instructions, fe->ninstr);
        CU_ASSERT_EQUAL(instructions % per_iteration[kind], 0);
        CU_ASSERT_EQUAL(fe->ops->load(fe, 0, 1, &b), ERR_OK);
        uint64_t vaddr = b.acc[5].vaddr;
        CU_ASSERT_EQUAL(fe->ops->load(fe, 0, 0, &b), ERR_OK);
        CU_ASSERT_EQUAL(fe->ops->load(fe, 0, 1, &b), ERR_OK);
        CU_ASSERT_EQUAL(b.acc[5].vaddr, vaddr);
        fe->ops->close(fe);
    }
}

UNIT_MAIN("cores/builtin", UNIT(the_hpcc_sequence_jumps_to_the_published_values),
          UNIT(gups_applied_twice_leaves_the_table_as_it_was), UNIT(the_chase_visits_every_line_once),
          UNIT(blocks_hold_the_stated_instructions_in_any_order_of_loading))
