/* What `concerto compare` tells about two runs, with numbers that are easy to follow. */
#include "output/metrics.h"
#include "output/recorder.h"
#include "output/run_file.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

struct values {
    uint64_t instructions, cycles, walks, quiet, base, walk;
};
#define ROW(field, path, unit) \
    {path, unit, STAT_DELTA, STAMP_TOUCH, 1, offsetof(struct values, field), path}
static const struct stat_desc rows[] = {
    ROW(instructions, "instructions", "1"), ROW(cycles, "cycles", "cycle"),
    ROW(walks, "ptw/walks", "1"),           ROW(quiet, "quiet", "1"),
    ROW(base, "stack/base", "cycle"),       ROW(walk, "stack/walk", "cycle"),
};
static const struct stat_component cores = {"cores", "core", rows, 6, 1, 6};

/* One epoch of a core. */
static void make_run(const char *path, const char *config, const char *workload, struct values v)
{
    const struct recorder_fact facts[] = {{"workload", workload, 0}, {"seed", NULL, 1}};
    struct recorder *r;
    CU_ASSERT_EQUAL_FATAL(recorder_open(&(struct recorder_info){.path = path,
                                                                .components = &cores,
                                                                .ncomponents = 1,
                                                                .config_text = config,
                                                                .provenance = facts,
                                                                .nprovenance = 2,
                                                                .nranks = 1},
                                        &r),
                          ERR_OK);
    CU_ASSERT_EQUAL(recorder_epoch(r, FS_PER_US, (const uint64_t *const[]){&v.instructions}, NULL), ERR_OK);
    CU_ASSERT_EQUAL(recorder_close(r, &(struct recorder_end){.complete = true}), ERR_OK);
}

static char *text_of(const char *a, const char *b, bool all, enum err expected)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    CU_ASSERT_EQUAL(stats_file_explain(a, b, all, f), expected);
    fclose(f);
    return text;
}

static const char *line_of(const char *text, const char *word, char *buf, size_t size)
{
    const char *at = strstr(text, word);
    snprintf(buf, size, "%.*s", at != NULL ? (int)strcspn(at, "\n") : 0, at != NULL ? at : "");
    return buf;
}

static const struct values first = {1000, 4000, 10, 7, 1000, 3000};

static void equal_runs_of_one_configuration_are_just_equal(void)
{
    CU_ASSERT_TRUE_FATAL(scratch_enter());
    make_run("a.h5", "core.width: 6\n", "w", first);
    make_run("b.h5", "core.width: 6\n", "w", first);
    char *text = text_of("a.h5", "b.h5", false, ERR_OK);
    CU_ASSERT_STRING_EQUAL(text, "equal\n");
    free(text);
}

static void a_key_that_changes_nothing_is_shown_and_the_statistics_are_called_equal(void)
{
    char line[256];
    CU_ASSERT_TRUE_FATAL(scratch_enter());
    make_run("a.h5", "core.width: 6\ncore.rob: 9\n", "w", first);
    make_run("b.h5", "core.width: 4\ntlb.new: 1\n", "w", first);
    char *text = text_of("a.h5", "b.h5", false, ERR_OK);
    CU_ASSERT_STRING_EQUAL(line_of(text, "core.width", line, sizeof line),
                           "core.width                   6                      4");
    CU_ASSERT_STRING_EQUAL(line_of(text, "core.rob", line, sizeof line),
                           "core.rob                     9                      (no such key)");
    CU_ASSERT_STRING_EQUAL(line_of(text, "tlb.new", line, sizeof line),
                           "tlb.new                      (no such key)          1");
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "The statistics are equal"));
    free(text);
}

static void counters_come_by_relative_change_and_causes_add_up(void)
{
    char line[256];
    CU_ASSERT_TRUE_FATAL(scratch_enter());
    make_run("a.h5", "", "one", first);
    /* walks x 1/2, walk cycles 3000 -> 2000, cycles 4000 -> 3000: relative change 0.5, 0.33, 0.25 */
    make_run("b.h5", "", "two", (struct values){1000, 3000, 5, 7, 1000, 2000});
    char *text = text_of("a.h5", "b.h5", false, ERR_RUNTIME);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "a: one"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "b: two"));
    const char *counters = strstr(text, "Counters by");
    CU_ASSERT_PTR_NOT_NULL_FATAL(counters);
    const char *walks = strstr(counters, "cores/ptw/walks"), *stack = strstr(counters, "cores/stack/walk"),
               *cycles = strstr(counters, "cores/cycles");
    CU_ASSERT(walks != NULL && walks < stack && stack < cycles);
    CU_ASSERT_PTR_NULL(strstr(counters, "cores/quiet"));
    CU_ASSERT_STRING_EQUAL(line_of(walks, "cores/ptw/walks", line, sizeof line),
                           "cores/ptw/walks                                10                5    -50.00 %  1");
    /* Cycles per instruction: base 1 and 1, walk 3 and 2, sum 4 and 3 */
    const char *sums = strstr(text, "Cycles per instruction");
    CU_ASSERT_PTR_NOT_NULL_FATAL(sums);
    CU_ASSERT_STRING_EQUAL(line_of(sums, "walk  ", line, sizeof line),
                           "walk                       3.0000       2.0000      -1.0000    -100.0 %");
    CU_ASSERT_STRING_EQUAL(line_of(sums, "sum", line, sizeof line),
                           "sum                        4.0000       3.0000      -1.0000    -100.0 %");
    CU_ASSERT_PTR_NOT_NULL(strstr(sums, "The causes add up to cores/cycles in both runs"));
    free(text);
}

static void a_stack_that_lost_a_cycle_is_broken(void)
{
    CU_ASSERT_TRUE_FATAL(scratch_enter());
    make_run("a.h5", "", "w", first);
    make_run("b.h5", "", "w", (struct values){1000, 4001, 10, 7, 1000, 3000});
    char *text = text_of("a.h5", "b.h5", false, ERR_RUNTIME);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "BROKEN: the causes do not add up"));
    free(text);
}

/* Cycles 4000, 4100, 4200 beside 4050, 4150, 4250: far less apart than spread. */
static void a_difference_within_the_spread_is_not_distinguishable(void)
{
    char line[256];
    CU_ASSERT_TRUE_FATAL(scratch_enter());
    for (unsigned i = 0; i < 3; i++) {
        char name[32], config[64];
        struct values v = {1000, 4000 + 100 * i, 10, 7, 1000, 3000 + 100 * i};
        snprintf(config, sizeof config, "sim.perturb: %u\ncore.width: 6\n", i);
        make_run(run_set_path("a.h5", i, name, sizeof name), config, "w", v);
        v.cycles += 50, v.walk += 50, v.walks = 20;
        make_run(run_set_path("b.h5", i, name, sizeof name), config, "w", v);
    }
    char *text = text_of("a.h5", "b.h5", false, ERR_RUNTIME);
    const char *counters = strstr(text, "Counters by");
    CU_ASSERT_PTR_NOT_NULL_FATAL(counters);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "a.h5 and its 2 repeats"));
    /* df 4, half = 2.776445 x sqrt(2 x 10000 / 3) = 226.70 of 4100: 5.53 %; 50 of 4100: 1.22 % */
    CU_ASSERT_STRING_EQUAL(
        line_of(counters, "cores/cycles", line, sizeof line),
        "cores/cycles                                 4100             4150     +1.22 % +-5.53  not distinguishable  cycle");
    CU_ASSERT_STRING_EQUAL(line_of(counters, "cores/ptw/walks", line, sizeof line),
                           "cores/ptw/walks                                10               20   +100.00 % +-0.00  1");
    free(text);
}

static void a_sibling_of_another_configuration_is_left_out(void)
{
    struct run_set s;
    CU_ASSERT_TRUE_FATAL(scratch_enter());
    make_run("s.h5", "sim.perturb: 0\ncore.width: 6\n", "w", first);
    make_run("s.r1.h5", "sim.perturb: 1\ncore.width: 6\n", "w", first);
    make_run("s.r2.h5", "sim.perturb: 2\ncore.width: 5\n", "w", first);
    make_run("s.r3.h5", "sim.perturb: 3\ncore.width: 6\n", "other", first);
    make_run("s.r4.h5", "sim.perturb: 4\ncore.width: 6\n", "w", first);
    CU_ASSERT_EQUAL_FATAL(run_set_load("s.h5", &s), ERR_OK);
    CU_ASSERT_EQUAL(s.n, 3);
    CU_ASSERT_STRING_EQUAL(s.runs[2]->path, "s.r4.h5");
    run_set_free(&s);
}

UNIT_MAIN("output/compare", UNIT(equal_runs_of_one_configuration_are_just_equal),
          UNIT(a_key_that_changes_nothing_is_shown_and_the_statistics_are_called_equal),
          UNIT(counters_come_by_relative_change_and_causes_add_up),
          UNIT(a_stack_that_lost_a_cycle_is_broken),
          UNIT(a_difference_within_the_spread_is_not_distinguishable),
          UNIT(a_sibling_of_another_configuration_is_left_out))
