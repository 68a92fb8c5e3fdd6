/* The statistics file: what is in it, what compare says, and what happens when the disk is full. */
#include "output/hdf5_write.h"
#include "output/recorder.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NCORES 3u
#define NVALUES 7u /* instructions, cycles, resident, latency[4] */

static const struct stat_desc core_rows[] = {
    {"instructions", "1", STAT_DELTA, STAMP_TOUCH, 1, 0, "instructions"},
    {"cycles", "cycle", STAT_DELTA, STAMP_TOUCH, 1, 8, "cycles"},
    {"os/resident", "byte", STAT_GAUGE, STAMP_COMPLETION, 1, 16, "resident memory"},
    {"ptw/latency", "cycle", STAT_HIST, STAMP_ARRIVAL, 4, 24, "walk latency"},
};
static const struct stat_desc dram_rows[] = {
    {"reads/data", "1", STAT_DELTA, STAMP_TOUCH, 1, 0, "lines read"},
};
static const struct stat_component components[] = {
    {"cores", "core", core_rows, 4, NCORES, NVALUES},
    {"dram", "channel", dram_rows, 1, 1, 1},
};

static void enter_dir(void) { CU_ASSERT_TRUE_FATAL(scratch_enter()); }

static enum err open_run(const char *path, uint64_t nranks, struct recorder **out)
{
    static const struct recorder_key keys[] = {
        {"core.width", PARAM_COUNT, 6, "6"},         {"core.hit", PARAM_TIME, 1500000, "1.5ns"},
        {"core.prefetch", PARAM_BOOL, 1, "true"},    {"mmu.design", PARAM_ENUM, 1, "hashed"},
        {"trace.path", PARAM_TEXT, 0, "/tmp/x y"},   {"trace.empty", PARAM_TEXT, 0, ""},
    };
    static const struct recorder_fact facts[] = {{"version", "1", 0}, {"seed", NULL, 42}};
    static const struct recorder_host_column columns[] = {
        {"wall_time", "s", "of the epoch"},
        {"messages", "1", "sent"},
    };
    return recorder_open(
        &(struct recorder_info){.path = path,
                                .components = components,
                                .ncomponents = 2,
                                .config_text = "core.width: 6\n",
                                .keys = keys,
                                .nkeys = 6,
                                .provenance = facts,
                                .nprovenance = 2,
                                .nranks = nranks,
                                .host_columns = columns,
                                .nhost_columns = 2},
        out);
}

/* Increase of instructions of a core in an epoch: epoch + core; of cycles twice that. */
static enum err run_epoch(struct recorder *r, uint64_t epoch, uint64_t extra)
{
    static uint64_t v[NCORES][NVALUES], dram;
    double host[8] = {0.25, (double)epoch, 0.5, 7};
    if (epoch == 0) {
        memset(v, 0, sizeof v);
        dram = 0;
    }
    for (uint64_t core = 0; core < NCORES; core++) {
        v[core][0] += epoch + core + (core == 2 ? extra : 0);
        v[core][1] += 2 * (epoch + core);
        v[core][2] = 1000 + epoch;
        v[core][3 + epoch % 4] += core;
    }
    dram += 10;
    return recorder_epoch(r, (epoch + 1) * FS_PER_US + 1, (const uint64_t *const[]){v[0], &dram},
                          host);
}

/* A whole run; `odd_epoch` counts one instruction more on core 2. */
static void make_run(const char *path, uint64_t nepochs, uint64_t odd_epoch, uint64_t nranks)
{
    static const struct summary_item items[] = {{"shootdowns", "1", 5, "number of shootdowns"}};
    static const struct summary_check checks[] = {{"reads sent = answered", 8, 8}};
    static const char *const warnings[] = {"a warning"};
    static const char *const gaps[] = {"power-down of DRAM", "SMT"};
    static const struct recorder_fact facts[] = {{"end", "later", 0}};
    struct recorder *r;
    CU_ASSERT_EQUAL_FATAL(open_run(path, nranks, &r), ERR_OK);
    for (uint64_t e = 0; e < nepochs; e++) {
        if (e == 2)
            CU_ASSERT_EQUAL(recorder_mark(r, "roi-begin", 2), ERR_OK);
        if (e == 2)
            CU_ASSERT_EQUAL(recorder_mark(r, "roi-end", 5), ERR_OK);
        CU_ASSERT_EQUAL_FATAL(run_epoch(r, e, e == odd_epoch), ERR_OK);
    }
    CU_ASSERT_EQUAL(recorder_nepochs(r), nepochs);
    CU_ASSERT_EQUAL(recorder_close(r, &(struct recorder_end){true, facts, 1, items, 1, checks, 1,
                                                             warnings, 1, gaps, 2, 1.5}),
                    ERR_OK);
}

static uint64_t attr(struct h5file *f, const char *path, const char *name)
{
    uint64_t v = UINT64_C(0xDEAD);
    CU_ASSERT_TRUE(h5_get_u64(f, path, name, &v));
    return v;
}

static void a_run_leaves_one_whole_file(void)
{
    enter_dir();
    make_run("one.h5", 10, UINT64_MAX, 1);
    CU_ASSERT_EQUAL(access("one.h5", F_OK), 0);
    CU_ASSERT_NOT_EQUAL(access("one.h5.part", F_OK), 0);
    CU_ASSERT_NOT_EQUAL(access("one.h5.jnl", F_OK), 0);
    struct h5file *f = h5_open("one.h5");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    CU_ASSERT_EQUAL(attr(f, "/", "complete"), 1);
    CU_ASSERT_EQUAL(attr(f, "/", "epochs"), 10);
    CU_ASSERT_EQUAL(attr(f, "/config", "core.width"), 6);
    CU_ASSERT_EQUAL(attr(f, "/config", "core.hit"), 1500000);
    CU_ASSERT_EQUAL(attr(f, "/provenance", "seed"), 42);
    char *text;
    CU_ASSERT_TRUE(h5_get_text(f, "/config", "mmu.design", &text));
    CU_ASSERT_STRING_EQUAL(text, "hashed");
    free(text);
    CU_ASSERT_TRUE(h5_get_text(f, "/config", "trace.empty", &text));
    CU_ASSERT_STRING_EQUAL(text, "");
    free(text);
    CU_ASSERT_TRUE(h5_get_text(f, "/stats/cores/ptw/latency", "kind", &text));
    CU_ASSERT_STRING_EQUAL(text, "hist");
    free(text);
    CU_ASSERT_TRUE(h5_get_text(f, "/stats/cores/ptw/latency", "stamp", &text));
    CU_ASSERT_STRING_EQUAL(text, "arrival");
    free(text);
    CU_ASSERT_TRUE(h5_get_text(f, "/provenance", "not_modelled", &text));
    CU_ASSERT_STRING_EQUAL(text, "power-down of DRAM\nSMT");
    free(text);
    h5_close(f);
    CU_ASSERT_EQUAL(stats_file_config("one.h5", &text), ERR_OK);
    CU_ASSERT_STRING_EQUAL(text, "core.width: 6\n");
    free(text);
}

static void rows_hold_the_increase_of_each_epoch(void)
{
    enum { NEPOCHS = 150 }; /* more than two blocks */
    static uint64_t v[NEPOCHS][NCORES][4], edges[5];
    enter_dir();
    make_run("rows.h5", NEPOCHS, UINT64_MAX, 1);
    struct h5file *f = h5_open("rows.h5");
    struct h5_shape shape;
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    CU_ASSERT_TRUE(h5_get_shape(f, "/stats/cores/instructions", &shape));
    CU_ASSERT(shape.rank == 2 && shape.dims[0] == NEPOCHS && shape.dims[1] == NCORES);
    uint64_t(*flat)[NCORES] = (uint64_t(*)[NCORES])v;
    CU_ASSERT_TRUE(h5_read_rows(f, "/stats/cores/instructions", 0, NEPOCHS, flat));
    for (uint64_t e = 0; e < NEPOCHS; e++)
        for (uint64_t c = 0; c < NCORES; c++)
            CU_ASSERT_EQUAL(flat[e][c], e + c);
    CU_ASSERT_TRUE(h5_read_rows(f, "/stats/cores/os/resident", 0, NEPOCHS, flat));
    CU_ASSERT_EQUAL(flat[149][2], 1149);
    CU_ASSERT_TRUE(h5_get_shape(f, "/stats/cores/ptw/latency", &shape));
    CU_ASSERT(shape.rank == 3 && shape.dims[1] == NCORES && shape.dims[2] == 4);
    CU_ASSERT_TRUE(h5_read_rows(f, "/stats/cores/ptw/latency", 0, NEPOCHS, v));
    for (uint64_t e = 0; e < NEPOCHS; e++)
        for (uint64_t c = 0; c < NCORES; c++)
            for (uint64_t b = 0; b < 4; b++)
                CU_ASSERT_EQUAL(v[e][c][b], b == e % 4 ? c : 0);
    CU_ASSERT_TRUE(h5_read_rows(f, "/stats/cores/ptw/latency_bins", 0, 5, edges));
    CU_ASSERT(edges[0] == 0 && edges[1] == 1 && edges[2] == 2 && edges[3] == 4 && edges[4] == 8);
    uint64_t ends[NEPOCHS];
    CU_ASSERT_TRUE(h5_read_rows(f, "/stats/time/end", 0, NEPOCHS, ends));
    CU_ASSERT_EQUAL(ends[149], 150000);
    CU_ASSERT_TRUE(h5_read_rows(f, "/stats/time/end_fs", 0, NEPOCHS, ends));
    CU_ASSERT_EQUAL(ends[149], 150 * FS_PER_US + 1);
    CU_ASSERT_TRUE(h5_read_rows(f, "/stats/time/epoch", 0, NEPOCHS, ends));
    CU_ASSERT_EQUAL(ends[149], 149);
    double wall[NEPOCHS];
    CU_ASSERT_TRUE(h5_read_rows(f, "/host/messages", 0, NEPOCHS, wall));
    CU_ASSERT_EQUAL(wall[149], 149.0);
    h5_close(f);
}

static void the_region_of_interest_is_summed_apart(void)
{
    enter_dir();
    make_run("roi.h5", 10, UINT64_MAX, 1);
    struct h5file *f = h5_open("roi.h5");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    /* sum over 10 epochs of 3e + 3; over epochs 2, 3, 4 only */
    CU_ASSERT_EQUAL(attr(f, "/stats/summary/run", "cores/instructions"), 3 * 45 + 30);
    CU_ASSERT_EQUAL(attr(f, "/stats/summary/roi", "cores/instructions"), 3 * 9 + 9);
    CU_ASSERT_EQUAL(attr(f, "/stats/summary/roi", "dram/reads/data"), 30);
    CU_ASSERT_EQUAL(attr(f, "/stats/summary/roi", "cores/os/resident"), 3 * 1004);
    CU_ASSERT_EQUAL(attr(f, "/stats/summary", "roi_fs"), 3 * FS_PER_US);
    CU_ASSERT_EQUAL(attr(f, "/stats/summary", "roi_epochs"), 3);
    CU_ASSERT_EQUAL(attr(f, "/stats/summary", "shootdowns"), 5);
    CU_ASSERT_EQUAL(attr(f, "/stats/summary", "simulated_fs"), 10 * FS_PER_US + 1);
    h5_close(f);
}

static void warm_up_is_left_out_when_no_region_is_marked(void)
{
    struct recorder *r;
    struct summary_source s;
    uint64_t total;
    const uint64_t *per_core;
    size_t n;
    CU_ASSERT_EQUAL_FATAL(open_run(NULL, 1, &r), ERR_OK);
    for (uint64_t e = 0; e < 6; e++) {
        if (e == 4)
            CU_ASSERT_EQUAL(recorder_mark(r, "warmup-end", 4), ERR_OK);
        CU_ASSERT_EQUAL(run_epoch(r, e, 0), ERR_OK);
    }
    CU_ASSERT_EQUAL(recorder_mark(r, "roi-begin", 5), ERR_RUNTIME);
    recorder_summary(r, NULL, &s);
    CU_ASSERT_TRUE(s.has_roi);
    CU_ASSERT_EQUAL(s.roi_fs, 2 * FS_PER_US);
    CU_ASSERT_TRUE(s.total(s.ctx, "cores/instructions", &total));
    CU_ASSERT_EQUAL(total, 3 * 9 + 6);
    CU_ASSERT_TRUE(s.per_instance(s.ctx, "cores/instructions", &per_core, &n));
    CU_ASSERT(n == 3 && per_core[0] == 9 && per_core[2] == 13);
    CU_ASSERT_FALSE(s.total(s.ctx, "cores/nothing", &total));
    CU_ASSERT_EQUAL(recorder_close(r, NULL), ERR_OK);
}

static void expect_difference(const char *a, const char *b, const char *expected)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    enum err e = stats_file_compare(a, b, f);
    fclose(f);
    CU_ASSERT_EQUAL(e, expected[0] ? ERR_RUNTIME : ERR_OK);
    CU_ASSERT_STRING_EQUAL(text, expected);
    free(text);
}

static void compare_names_the_first_difference(void)
{
    enter_dir();
    make_run("a.h5", 10, UINT64_MAX, 1);
    make_run("b.h5", 10, UINT64_MAX, 2);
    make_run("c.h5", 10, 7, 1);
    make_run("d.h5", 9, UINT64_MAX, 1);
    expect_difference("a.h5", "b.h5", "");
    expect_difference("a.h5", "c.h5",
                      "different: /stats/cores/instructions: epoch 7, instance 2: 9 / 10 (2 of 23 "
                      "objects differ)\n");
    expect_difference("a.h5", "d.h5",
                      "different: /stats/cores/cycles: 10 / 9 rows (10 of 23 objects differ)\n");
    char *argv[] = {"compare", "a.h5", "b.h5", NULL};
    CU_ASSERT_EQUAL(compare_main(3, argv), 0);
    argv[2] = "c.h5";
    CU_ASSERT_EQUAL(compare_main(3, argv), 1);
    argv[2] = "absent.h5";
    CU_ASSERT_EQUAL(compare_main(3, argv), 3);
}

static void copy_file(const char *from, const char *to)
{
    char command[256];
    snprintf(command, sizeof command, "cp %s %s", from, to);
    CU_ASSERT_EQUAL(system(command), 0);
}

static void a_recovered_file_equals_the_finished_one(void)
{
    struct recorder *r;
    enter_dir();
    CU_ASSERT_EQUAL_FATAL(open_run("whole.h5", 1, &r), ERR_OK);
    for (uint64_t e = 0; e < 70; e++)
        CU_ASSERT_EQUAL_FATAL(run_epoch(r, e, 0), ERR_OK);
    copy_file("whole.h5.jnl", "again.h5.jnl");
    CU_ASSERT_EQUAL(recorder_close(r, &(struct recorder_end){.complete = true}), ERR_OK);
    char *argv[] = {"recover", "again.h5.jnl", NULL};
    CU_ASSERT_EQUAL(recover_main(2, argv), 0);
    expect_difference("whole.h5", "again.h5", "");
    CU_ASSERT_EQUAL(recover_main(2, argv), 2); /* it exists now */
    CU_ASSERT_EQUAL(truncate("again.h5.jnl", 4), 0);
    char *forced[] = {"recover", "-f", "again.h5.jnl", NULL};
    CU_ASSERT_EQUAL(recover_main(3, forced), 3);
    expect_difference("whole.h5", "again.h5", "");
}

static void a_journal_of_a_killed_run_is_not_overwritten(void)
{
    struct recorder *r;
    enter_dir();
    CU_ASSERT_EQUAL_FATAL(open_run("twice.h5", 1, &r), ERR_OK);
    CU_ASSERT_EQUAL(run_epoch(r, 0, 0), ERR_OK);
    CU_ASSERT_EQUAL(recorder_close(r, NULL), ERR_OK);
    CU_ASSERT_EQUAL(access("twice.h5.jnl", F_OK), 0);
    make_run("twice.h5", 3, UINT64_MAX, 1);
    CU_ASSERT_EQUAL(access("twice.h5.jnl.old", F_OK), 0);
    CU_ASSERT_NOT_EQUAL(access("twice.h5.jnl", F_OK), 0);
}

static void a_counter_that_goes_back_is_named(void)
{
    struct recorder *r;
    uint64_t v[NCORES][NVALUES] = {{5, 5}, {5, 5}, {5, 5}}, dram = 1;
    CU_ASSERT_EQUAL_FATAL(open_run(NULL, 1, &r), ERR_OK);
    const uint64_t *const values[] = {v[0], &dram};
    CU_ASSERT_EQUAL(recorder_epoch(r, 10, values, NULL), ERR_OK);
    v[1][1] = 4;
    CU_ASSERT_EQUAL(recorder_epoch(r, 20, values, NULL), ERR_RUNTIME);
    v[1][1] = 6;
    CU_ASSERT_EQUAL(recorder_epoch(r, 5, values, NULL), ERR_RUNTIME);
    CU_ASSERT_EQUAL(recorder_close(r, NULL), ERR_OK);
}

static void an_unwritable_place_is_found_at_once(void)
{
    struct recorder *r = NULL;
    enter_dir();
    CU_ASSERT_EQUAL(open_run("/nowhere/x.h5", 1, &r), ERR_OUTPUT);
    CU_ASSERT_EQUAL(mkdir("blocked.h5.part", 0777), 0);
    CU_ASSERT_EQUAL(open_run("blocked.h5", 1, &r), ERR_OUTPUT);
    CU_ASSERT_NOT_EQUAL(access("blocked.h5.jnl", F_OK), 0);
    CU_ASSERT_PTR_NULL(r);
}

/* Runs until the disk is full; says where that was noticed. */
enum { FULL_AT_OPEN = 1, FULL_LATER, NOT_FULL, WRONG };
static int fill_disk(void)
{
    struct recorder *r;
    uint64_t e = 0;
    enum err result = open_run("full.h5", 1, &r);
    if (result != ERR_OK)
        return result == ERR_OUTPUT && access("full.h5.jnl", F_OK) != 0 ? FULL_AT_OPEN : WRONG;
    while (e < 300 && (result = run_epoch(r, e, 0)) == ERR_OK)
        e++;
    if (result != ERR_OK && (result != ERR_OUTPUT || run_epoch(r, e, 0) != ERR_OUTPUT))
        return WRONG;
    result = recorder_close(r, &(struct recorder_end){.complete = true});
    if (result == ERR_OK)
        return access("full.h5.jnl", F_OK) != 0 ? NOT_FULL : WRONG;
    bool kept = access("full.h5.jnl", F_OK) == 0 && access("full.h5", F_OK) != 0;
    return result == ERR_OUTPUT && kept ? FULL_LATER : WRONG;
}

static void a_full_disk_at_any_moment_ends_in_an_error_and_a_journal(void)
{
    unsigned seen[WRONG + 1] = {0};
    enter_dir();
    for (rlim_t bytes = 500; bytes < 150000; bytes += bytes / 16) {
        unlink("full.h5");
        unlink("full.h5.jnl");
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            struct rlimit limit = {bytes, bytes};
            signal(SIGXFSZ, SIG_IGN);
            setrlimit(RLIMIT_FSIZE, &limit);
            if (freopen("/dev/null", "w", stderr) == NULL)
                _exit(WRONG);
            exit(fill_disk());
        }
        int status;
        waitpid(pid, &status, 0);
        int result = WIFEXITED(status) ? WEXITSTATUS(status) : WRONG;
        seen[result <= WRONG ? result : WRONG]++;
        if (result != FULL_LATER)
            continue;
        char *argv[] = {"recover", "full.h5.jnl", NULL};
        CU_ASSERT_EQUAL(recover_main(2, argv), 0);
    }
    CU_ASSERT_EQUAL(seen[WRONG] + seen[0], 0);
    CU_ASSERT(seen[FULL_AT_OPEN] > 3);
    CU_ASSERT(seen[FULL_LATER] > 2);
    CU_ASSERT(seen[NOT_FULL] > 0);
}

static void the_summary_prints_the_same_from_run_and_file(void)
{
    struct recorder *r;
    struct summary_source s;
    char *live = NULL, *file = NULL;
    size_t size;
    enter_dir();
    CU_ASSERT_EQUAL_FATAL(open_run("sum.h5", 2, &r), ERR_OK);
    for (uint64_t e = 0; e < 6; e++)
        CU_ASSERT_EQUAL(run_epoch(r, e, 0), ERR_OK);
    static const struct summary_check checks[] = {{"x = y", 8, 8}, {"loads sent = answered", 3, 4}};
    static const char *const gaps[] = {"SMT"};
    struct recorder_end end = {.complete = true,
                               .checks = checks,
                               .nchecks = 2,
                               .not_modelled = gaps,
                               .nnot_modelled = 1,
                               .host_seconds = 2};
    recorder_summary(r, &end, &s);
    FILE *f = open_memstream(&live, &size);
    summary_print(f, &s);
    fclose(f);
    CU_ASSERT_EQUAL(recorder_close(r, &end), ERR_OK);
    fflush(stdout);
    int saved = dup(1);
    CU_ASSERT_PTR_NOT_NULL(freopen("info.txt", "w", stdout));
    char *argv[] = {"info", "sum.h5", NULL};
    int code = info_main(2, argv);
    fflush(stdout);
    dup2(saved, 1);
    close(saved);
    CU_ASSERT_EQUAL(code, 0);
    f = fopen("info.txt", "r");
    file = calloc(1, size + 2);
    CU_ASSERT_EQUAL(fread(file, 1, size + 1, f), size);
    fclose(f);
    CU_ASSERT_STRING_EQUAL(live, file);
    CU_ASSERT_STRING_EQUAL(live, "sum.h5\n"
                                 "  simulated time            6.000 us in 6 epochs\n"
                                 "\nCore\n"
                                 "  instructions              63\n"
                                 "  IPC, all cores            0.500\n"
                                 "  IPC per core              0.500 (core 0) to 0.500 (core 0), "
                                 "mean 0.500\n"
                                 "\nHost\n"
                                 "  wall time                 2.00 s on 2 ranks\n"
                                 "  speed                     0.00 million instructions a second\n"
                                 "\nConservation\n"
                                 "  1 of 2 checks hold\n"
                                 "  BROKEN: loads sent = answered: 3 / 4\n"
                                 "\nNot modelled\n"
                                 "  - SMT\n");
    free(live);
    free(file);
}

UNIT_MAIN("output/hdf5", UNIT(a_run_leaves_one_whole_file),
          UNIT(rows_hold_the_increase_of_each_epoch), UNIT(the_region_of_interest_is_summed_apart),
          UNIT(warm_up_is_left_out_when_no_region_is_marked),
          UNIT(compare_names_the_first_difference), UNIT(a_recovered_file_equals_the_finished_one),
          UNIT(a_journal_of_a_killed_run_is_not_overwritten),
          UNIT(a_counter_that_goes_back_is_named), UNIT(an_unwritable_place_is_found_at_once),
          UNIT(a_full_disk_at_any_moment_ends_in_an_error_and_a_journal),
          UNIT(the_summary_prints_the_same_from_run_and_file))
