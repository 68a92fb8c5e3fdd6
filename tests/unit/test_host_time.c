/* Where the host's time goes: shares of classes, and what is printed of several ranks. */
#include <stdlib.h>
#include <string.h>

#include "partitions/host_time.h"
#include "tests/unit/unit.h"

/* 4 s of phases; classes 1 to 4 are kernel, cores, slices, channels: 25, 50, 15 and 10 %. */
static const struct engine_host engine = {
    .run_ns = 4000000000u,
    .exchange_ns = 1500000000u,
    .wait_ns = 1000000000u,
    .epoch_ns = 500000000u,
    .class_ns = {0, 100, 200, 60, 40},
    .nmessages_remote = 7,
};

static struct host_time_source source(int nranks)
{
    return (struct host_time_source){.engine = &engine, .nranks = nranks, .wall_s = 6.5, .output_s = 0.25,
                                     .load_ns = 125000000u, .core_classes = 1u << 2,
                                     .memory_classes = 1u << 3 | 1u << 4, .kernel_classes = 1u << 0 | 1u << 1};
}

static void compute_is_split_in_the_shares_of_the_sampled_windows(void)
{
    double row[NHOST];
    struct host_time_source s = source(2);
    host_time_row(&s, row);
    CU_ASSERT_DOUBLE_EQUAL(row[HOST_run_time], 4.0, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(row[HOST_core_time], 2.0, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(row[HOST_memory_time], 1.0, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(row[HOST_kernel_time], 1.0, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(row[HOST_trace_time], 0.125, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(row[HOST_wait_time], 1.0, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(row[HOST_exchange_time], 0.5, 1e-9);
}

static void a_process_alone_computes_whenever_no_epoch_ends(void)
{
    double row[NHOST];
    struct host_time_source s = source(1);
    host_time_row(&s, row);
    CU_ASSERT_DOUBLE_EQUAL(row[HOST_run_time], 6.0, 1e-9); /* 6.5 - 0.5 */
    CU_ASSERT_DOUBLE_EQUAL(row[HOST_core_time], 3.0, 1e-9);
}

static void the_table_names_the_rank_of_the_greatest_time(void)
{
    double rows[3][NHOST] = {{0}};
    for (int r = 0; r < 3; r++)
        rows[r][HOST_wall_time] = 10;
    rows[0][HOST_wait_time] = 1;
    rows[1][HOST_wait_time] = 6;
    rows[2][HOST_wait_time] = 2;
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    host_time_print(f, rows[0], 3, 20000000, 2 << 20);
    fclose(f);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "10.00 s wall, 2.0 M instructions/s"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "peak memory in all ranks, 2.0 MiB of it modelled arrays\n"));
    const char *line = strstr(text, "            wait ");
    CU_ASSERT_PTR_NOT_NULL_FATAL(line);
    double min = 0, avg = 0, max = 0, percent = 0;
    int rank = 0;
    CU_ASSERT_EQUAL(sscanf(line, " wait %lf %lf %lf %d %lf %%", &min, &avg, &max, &rank, &percent), 5);
    CU_ASSERT_DOUBLE_EQUAL(min, 1, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(avg, 3, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(max, 6, 1e-9);
    CU_ASSERT_EQUAL(rank, 1);
    CU_ASSERT_DOUBLE_EQUAL(percent, 30, 1e-9);
    free(text);
}

static enum err load_three(struct frontend *fe, uint32_t thread, uint64_t block, struct fe_block *out)
{
    (void)fe;
    *out = (struct fe_block){.nacc = 3 + thread, .first_instr = block};
    return block > 5 ? ERR_TRACE : ERR_OK;
}

static void a_timed_front_end_passes_everything_on(void)
{
    static const struct frontend_ops ops = {.name = "three", .load = load_three};
    struct frontend inner = {.ops = &ops, .nthreads = 9, .ninstr = 77};
    struct timed_frontend t;
    timed_frontend_init(&t, &inner);
    struct fe_block b;
    CU_ASSERT_EQUAL(t.base.nthreads, 9);
    CU_ASSERT_EQUAL(t.base.ninstr, 77);
    CU_ASSERT_EQUAL(t.base.ops->load(&t.base, 2, 4, &b), ERR_OK);
    CU_ASSERT_EQUAL(b.nacc, 5);
    CU_ASSERT_EQUAL(b.first_instr, 4);
    CU_ASSERT_EQUAL(t.base.ops->load(&t.base, 0, 6, &b), ERR_TRACE);
}

UNIT_MAIN("partitions/host_time", UNIT(compute_is_split_in_the_shares_of_the_sampled_windows),
          UNIT(a_process_alone_computes_whenever_no_epoch_ends),
          UNIT(the_table_names_the_rank_of_the_greatest_time), UNIT(a_timed_front_end_passes_everything_on))
