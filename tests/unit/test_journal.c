/* The journal and the recorder's promise: what was acknowledged survives a kill at any moment. */
#include "output/hdf5_write.h"
#include "output/journal.h"
#include "output/codec.h"
#include "output/recorder.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NKILLS 24

static void enter_dir(void) { CU_ASSERT_TRUE_FATAL(scratch_enter()); }

static void crc_is_castagnoli(void)
{
    unsigned char zeros[32] = {0};
    CU_ASSERT_EQUAL(journal_crc(0, "123456789", 9), 0xE3069283);
    CU_ASSERT_EQUAL(journal_crc(0, zeros, 32), 0x8A9136AA);
    CU_ASSERT_EQUAL(journal_crc(journal_crc(0, "1234", 4), "56789", 5), 0xE3069283);
}

/* Three records of 0, 5 and 100 bytes; returns the file's length after each. */
static void write_three(const char *path, uint64_t ends[4])
{
    struct journal_writer w;
    char big[100];
    memset(big, 'b', sizeof big);
    CU_ASSERT_EQUAL_FATAL(journal_create(&w, path), ERR_OK);
    ends[0] = w.nbytes;
    CU_ASSERT_EQUAL(journal_append(&w, JOURNAL_SCHEMA, "", 0), ERR_OK);
    ends[1] = w.nbytes;
    CU_ASSERT_EQUAL(journal_append(&w, JOURNAL_EPOCH, "hello", 5), ERR_OK);
    ends[2] = w.nbytes;
    CU_ASSERT_EQUAL(journal_append(&w, JOURNAL_MARK, big, sizeof big), ERR_OK);
    ends[3] = w.nbytes;
    CU_ASSERT_EQUAL(journal_sync(&w), ERR_OK);
    journal_close(&w, false);
}

static uint64_t count_records(const char *path, enum journal_next *last_out)
{
    struct journal_reader r;
    enum journal_type type;
    const void *payload;
    size_t length;
    CU_ASSERT_EQUAL_FATAL(journal_open(&r, path), ERR_OK);
    while ((*last_out = journal_read(&r, &type, &payload, &length)) == JOURNAL_RECORD)
        ;
    uint64_t n = r.nrecords;
    journal_reader_close(&r);
    return n;
}

static void records_read_back_in_order(void)
{
    uint64_t ends[4];
    struct journal_reader r;
    enum journal_type type;
    const void *payload;
    size_t length;
    enter_dir();
    write_three("three.jnl", ends);
    CU_ASSERT_EQUAL_FATAL(journal_open(&r, "three.jnl"), ERR_OK);
    CU_ASSERT_EQUAL(journal_read(&r, &type, &payload, &length), JOURNAL_RECORD);
    CU_ASSERT(type == JOURNAL_SCHEMA && length == 0);
    CU_ASSERT_EQUAL(journal_read(&r, &type, &payload, &length), JOURNAL_RECORD);
    CU_ASSERT(type == JOURNAL_EPOCH && length == 5 && memcmp(payload, "hello", 5) == 0);
    CU_ASSERT_EQUAL(journal_read(&r, &type, &payload, &length), JOURNAL_RECORD);
    CU_ASSERT(type == JOURNAL_MARK && length == 100);
    CU_ASSERT_EQUAL(journal_read(&r, &type, &payload, &length), JOURNAL_LAST);
    CU_ASSERT_EQUAL(r.offset, ends[3]);
    journal_reader_close(&r);
}

static void a_cut_anywhere_keeps_all_whole_records(void)
{
    uint64_t ends[4];
    enter_dir();
    write_three("cut.jnl", ends);
    for (uint64_t cut = ends[3]; cut >= ends[0]; cut--) {
        enum journal_next last;
        uint64_t whole = 0;
        CU_ASSERT_EQUAL_FATAL(truncate("cut.jnl", (off_t)cut), 0);
        while (whole < 3 && ends[whole + 1] <= cut)
            whole++;
        CU_ASSERT_EQUAL(count_records("cut.jnl", &last), whole);
        CU_ASSERT_EQUAL(last, cut == ends[whole] ? JOURNAL_LAST : JOURNAL_TORN);
    }
}

static void a_flipped_bit_ends_the_journal_before_its_record(void)
{
    uint64_t ends[4];
    enter_dir();
    for (uint64_t at = 8; at < 8 + 3 * 24 + 105; at++) {
        enum journal_next last;
        uint64_t before = 0;
        char byte;
        write_three("flip.jnl", ends);
        int fd = open("flip.jnl", O_RDWR);
        CU_ASSERT_EQUAL(pread(fd, &byte, 1, (off_t)at), 1);
        byte ^= 0x10;
        CU_ASSERT_EQUAL(pwrite(fd, &byte, 1, (off_t)at), 1);
        close(fd);
        while (ends[before + 1] <= at)
            before++;
        CU_ASSERT_EQUAL(count_records("flip.jnl", &last), before);
        CU_ASSERT_EQUAL(last, JOURNAL_TORN);
    }
}

static void other_files_are_no_journals(void)
{
    struct journal_reader r;
    enter_dir();
    CU_ASSERT_EQUAL(journal_open(&r, "/dev/null"), ERR_TRACE);
    CU_ASSERT_EQUAL(journal_open(&r, "/etc/passwd"), ERR_TRACE);
    CU_ASSERT_EQUAL(journal_open(&r, "absent"), ERR_TRACE);
}

/* Runs `f` in a child whose files may not grow beyond `bytes`. */
static int in_small_disk(rlim_t bytes, int (*f)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit = {bytes, bytes};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        _exit(f());
    }
    int status = -1;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int fill_journal(void)
{
    struct journal_writer w;
    char block[1000] = {0};
    int n = 0;
    if (journal_create(&w, "full.jnl") != ERR_OK)
        return 255;
    while (n < 200 && journal_append(&w, JOURNAL_EPOCH, block, sizeof block) == ERR_OK)
        n++;
    journal_close(&w, false);
    return n;
}

static void a_full_disk_leaves_a_journal_of_whole_records(void)
{
    enum journal_next last;
    enter_dir();
    CU_ASSERT_EQUAL(in_small_disk(10000, fill_journal), 9);
    CU_ASSERT_EQUAL(count_records("full.jnl", &last), 9);
    CU_ASSERT_EQUAL(last, JOURNAL_LAST);
}

/* ---- a run --------------------------------------------------------------------------------- */

#define NCORES 16u
#define NROWS 12u

static struct stat_desc rows[NROWS];
static char names[NROWS][16];
static struct stat_component component = {"cores", "core", rows, NROWS, NCORES, 0};

static void fill_table(void)
{
    component.nvalues = 0;
    for (uint32_t i = 0; i < NROWS; i++) {
        snprintf(names[i], sizeof names[i], "c%02u", i);
        bool is_hist = i == NROWS - 1;
        rows[i] = (struct stat_desc){names[i], "1", is_hist ? STAT_HIST : STAT_DELTA, STAMP_TOUCH,
                                     is_hist ? 8 : 1, component.nvalues * sizeof(uint64_t),
                                     "a counter"};
        component.nvalues += rows[i].nbins;
    }
}

static enum err open_run(const char *path, struct recorder **out)
{
    static const struct recorder_fact facts[] = {{"version", "test", 0}, {"seed", NULL, 7}};
    static const struct recorder_host_column columns[] = {{"wall_time", "s", "of the epoch"}};
    static const char *const hosts[] = {"node1", "node2"};
    fill_table();
    return recorder_open(
        &(struct recorder_info){.path = path,
                                .components = &component,
                                .ncomponents = 1,
                                .config_text = "a: 1\n",
                                .provenance = facts,
                                .nprovenance = 2,
                                .nranks = 2,
                                .host_names = hosts,
                                .host_columns = columns,
                                .nhost_columns = 1},
        out);
}

/* Cumulative values that any epoch's number determines. */
static enum err run_epoch(struct recorder *r, uint64_t epoch)
{
    uint64_t v[NCORES * (NROWS + 7)];
    double host[2] = {0.5, (double)epoch};
    for (uint64_t i = 0; i < sizeof v / sizeof v[0]; i++)
        v[i] = (epoch + 1) * (epoch + i * i % 97);
    return recorder_epoch(r, (epoch + 1) * FS_PER_US, (const uint64_t *const[]){v}, host);
}

static void run_until_killed(int ack)
{
    struct recorder *r;
    if (open_run("kill.h5", &r) != ERR_OK)
        _exit(9);
    for (uint64_t epoch = 0;; epoch++) {
        if (run_epoch(r, epoch) != ERR_OK || write(ack, &epoch, sizeof epoch) != sizeof epoch)
            _exit(9);
    }
}

/* The file that a run of that many epochs would have left. */
static void make_reference(uint64_t nepochs)
{
    struct recorder *r;
    CU_ASSERT_EQUAL_FATAL(open_run("reference.h5", &r), ERR_OK);
    for (uint64_t e = 0; e < nepochs; e++)
        CU_ASSERT_EQUAL_FATAL(run_epoch(r, e), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(recorder_close(r, &(struct recorder_end){0}), ERR_OK);
}

static void nothing_acknowledged_is_lost_by_a_kill(void)
{
    unsigned seed = (unsigned)getpid();
    enter_dir();
    printf("(seed %u) ", seed);
    for (int i = 0; i < NKILLS; i++) {
        int ack[2];
        CU_ASSERT_EQUAL_FATAL(pipe(ack), 0);
        fcntl(ack[1], F_SETPIPE_SZ, 1 << 20);
        unlink("kill.h5.jnl");
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0)
            run_until_killed(ack[1]);
        close(ack[1]);
        uint64_t acknowledged = 0, epoch;
        /* At least one epoch, so that every round tests something. */
        CU_ASSERT_EQUAL_FATAL(read(ack[0], &epoch, sizeof epoch), sizeof epoch);
        /* By time most kills hit the compression of a block; by count they hit the journal. */
        if (i % 2) {
            struct timespec pause = {0, (long)(rand_r(&seed) % 60000) * 1000};
            nanosleep(&pause, NULL);
        } else {
            for (int n = rand_r(&seed) % 150; n > 0; n--)
                CU_ASSERT_EQUAL_FATAL(read(ack[0], &epoch, sizeof epoch), sizeof epoch);
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        do
            acknowledged = epoch + 1;
        while (read(ack[0], &epoch, sizeof epoch) == sizeof epoch);
        close(ack[0]);

        char *argv[] = {"recover", "kill.h5.jnl", "-o", "recovered.h5", "-f", NULL};
        CU_ASSERT_EQUAL_FATAL(recover_main(5, argv), 0);
        struct h5file *f = h5_open("recovered.h5");
        uint64_t nepochs = 0, complete = 1;
        CU_ASSERT_PTR_NOT_NULL_FATAL(f);
        CU_ASSERT_TRUE(h5_get_u64(f, "/", "epochs", &nepochs));
        CU_ASSERT_TRUE(h5_get_u64(f, "/", "complete", &complete));
        h5_close(f);
        CU_ASSERT_EQUAL(complete, 0);
        /* The kill may fall between the record and its acknowledgement. */
        CU_ASSERT(nepochs == acknowledged || nepochs == acknowledged + 1);
        make_reference(nepochs);
        CU_ASSERT_EQUAL(stats_file_compare("recovered.h5", "reference.h5", stdout), ERR_OK);
    }
}

static void records_of_another_kind_are_refused(void)
{
    struct arena a = {NULL};
    struct recorder_info info;
    struct recorder_end end;
    unsigned char noise[64];
    uint64_t x = 1;
    for (int i = 0; i < 20000; i++) {
        for (size_t k = 0; k < sizeof noise; k++) {
            x = x * UINT64_C(6364136223846793005) + 1;
            noise[k] = (unsigned char)(x >> 56 & (k % 3 ? 0x0F : 0xFF));
        }
        noise[0] = 1;
        codec_get_schema(&a, noise, sizeof noise, &info);
        codec_get_end(&a, noise, sizeof noise, &end);
        arena_free(&a);
    }
    CU_ASSERT_FALSE(codec_get_schema(&a, "", 0, &info));
    CU_ASSERT_FALSE(codec_get_schema(&a, "\x7f", 1, &info));
    arena_free(&a);
}

static void the_end_record_survives(void)
{
    static const struct summary_item items[] = {{"faults", "1", 5, "number"}};
    static const struct summary_check checks[] = {{"sent = answered", 3, 3}};
    static const char *const warnings[] = {"careful", "very"};
    static const struct recorder_fact facts[] = {{"end_time", "noon", 0}, {"n", NULL, 9}};
    struct recorder_end in = {true, facts, 2, items, 1, checks, 1, warnings, 2, NULL, 0, 1.25}, out;
    struct bytes b = {0};
    struct arena a = {NULL};
    codec_put_end(&b, &in);
    CU_ASSERT_TRUE_FATAL(codec_get_end(&a, b.data, b.length, &out));
    CU_ASSERT(out.complete && out.nprovenance == 2 && out.nitems == 1 && out.nchecks == 1);
    CU_ASSERT_STRING_EQUAL(out.provenance[0].text, "noon");
    CU_ASSERT_PTR_NULL(out.provenance[1].text);
    CU_ASSERT_EQUAL(out.provenance[1].value, 9);
    CU_ASSERT_STRING_EQUAL(out.items[0].name, "faults");
    CU_ASSERT_STRING_EQUAL(out.warnings[1], "very");
    CU_ASSERT_EQUAL(out.nnot_modelled, 0);
    CU_ASSERT_EQUAL(out.host_seconds, 1.25);
    arena_free(&a);
    bytes_free(&b);
}

UNIT_MAIN("output/journal", UNIT(crc_is_castagnoli), UNIT(records_read_back_in_order),
          UNIT(a_cut_anywhere_keeps_all_whole_records),
          UNIT(a_flipped_bit_ends_the_journal_before_its_record),
          UNIT(other_files_are_no_journals), UNIT(a_full_disk_leaves_a_journal_of_whole_records),
          UNIT(records_of_another_kind_are_refused), UNIT(the_end_record_survives),
          UNIT(nothing_acknowledged_is_lost_by_a_kill))
