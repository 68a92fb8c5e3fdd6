/* ChampSim records: every field at its byte, producers from registers, seeking, damaged input. */
#include "cores/champsim.h"
#include "cores/trace_open.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char g_path[64];

static const char *temp_file(const char *suffix, const void *bytes, size_t n)
{
    snprintf(g_path, sizeof g_path, "/tmp/test_champsim.%d%s", (int)getpid(), suffix);
    FILE *f = fopen(g_path, "wb");
    fwrite(bytes, 1, n, f);
    fclose(f);
    return g_path;
}

static int silence(void)
{
    fflush(stderr);
    int saved = dup(STDERR_FILENO);
    int null = open("/dev/null", O_WRONLY);
    dup2(null, STDERR_FILENO);
    close(null);
    return saved;
}

static void unsilence(int saved)
{
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
}

static void put64(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static struct frontend *open_one(const char *path)
{
    struct frontend *fe = NULL;
    return champsim_open(&path, 1, &fe) == ERR_OK ? fe : NULL;
}

static void fields_are_read_at_offsets_0_8_9_10_12_16_32(void)
{
    uint8_t raw[2 * 64] = {0};
    put64(raw + 0, 0x401000);
    raw[8] = 1;                    /* is a branch */
    raw[9] = 1;                    /* taken */
    raw[10] = CHAMPSIM_SP;         /* destinations */
    raw[11] = CHAMPSIM_IP;
    raw[12] = CHAMPSIM_SP;         /* sources: a call */
    raw[13] = CHAMPSIM_IP;
    put64(raw + 16, 0x7fff0008);   /* stores */
    put64(raw + 24, 0x7fff0100);
    put64(raw + 32, 0x600000);     /* loads */
    put64(raw + 40, 0x600040);
    put64(raw + 56, 0x60007c);
    put64(raw + 64, 0x402000);
    struct frontend *fe = open_one(temp_file(".champsim", raw, sizeof raw));
    CU_ASSERT_PTR_NOT_NULL_FATAL(fe);
    CU_ASSERT(fe->vmas_inferred && fe->all_start);
    CU_ASSERT_EQUAL(fe->ninstr, 2);
    struct fe_block b;
    CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 0, 0, &b), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(b.nacc, 5);
    static const uint64_t want[5] = {0x600000, 0x600040, 0x60007c, 0x7fff0008, 0x7fff0100};
    for (unsigned i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(b.piece[i].vaddr, want[i]);
        CU_ASSERT_EQUAL(b.piece[i].flags, i >= 3 ? ACC_STORE : ACC_NO_PRODUCER); /* it stores what it loads */
        CU_ASSERT_EQUAL(b.piece[i].gap, i == 0);
        CU_ASSERT_EQUAL(b.pcs[b.piece[i].pc_id], 0x401000);
    }
    CU_ASSERT_EQUAL(b.piece[0].size, 8);
    CU_ASSERT_EQUAL(b.piece[2].size, 4); /* the line ends there */
    CU_ASSERT_EQUAL_FATAL(b.nbr, 1);
    CU_ASSERT_EQUAL(b.br_forms[0].kind, BR_CALL);
    CU_ASSERT_EQUAL(b.br_forms[0].taken, 1);
    CU_ASSERT_EQUAL(b.br_at[0].pos, 5);
    CU_ASSERT_EQUAL(b.pcs[b.br_forms[0].target_id], 0x402000);
    CU_ASSERT_EQUAL(b.tail_gap, 1);
    CU_ASSERT_EQUAL(b.last, 1);
    fe->ops->close(fe);
    unlink(g_path);
}

static void registers_lead_to_the_load_that_wrote_them(void)
{
    struct champsim_record r[5] = {
        {.ip = 0x1000, .dst = {10}, .loads = {0x8000}},             /* r10 = [..] */
        {.ip = 0x1004, .dst = {11}, .src = {10}},                   /* r11 = r10 + 1 */
        {.ip = 0x1008, .dst = {12}, .loads = {0x8100}},             /* r12 = [..] */
        {.ip = 0x100c, .dst = {13}, .src = {11, 12}, .loads = {0x9000}}, /* r13 = [r11 + r12] */
        {.ip = 0x1010, .src = {13, CHAMPSIM_FLAGS, CHAMPSIM_IP}, .dst = {CHAMPSIM_IP},
         .is_branch = 1},
    };
    struct frontend *fe = open_one(temp_file(".champsim", r, sizeof r));
    CU_ASSERT_PTR_NOT_NULL_FATAL(fe);
    struct fe_block b;
    CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 0, 0, &b), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(b.nacc, 3);
    CU_ASSERT_EQUAL(b.piece[0].addr_dep[0], 0);
    CU_ASSERT_EQUAL(b.piece[2].addr_dep[0], 1);
    CU_ASSERT_EQUAL(b.piece[2].addr_ops[0], 0);
    CU_ASSERT_EQUAL(b.piece[2].addr_dep[1], 2);
    CU_ASSERT_EQUAL(b.piece[2].addr_ops[1], 1);
    CU_ASSERT_EQUAL(b.piece[1].flags, ACC_NO_PRODUCER);
    CU_ASSERT_EQUAL(b.piece[2].flags, 0);
    CU_ASSERT_EQUAL_FATAL(b.nbr, 1);
    CU_ASSERT_EQUAL(b.br_forms[0].kind, BR_COND);
    CU_ASSERT_EQUAL(b.br_forms[0].dep, 1);
    CU_ASSERT_EQUAL(b.br_forms[0].taken, 0);
    fe->ops->close(fe);
    unlink(g_path);
}

static void branch_kinds_follow_from_the_registers(void)
{
    enum { SP = CHAMPSIM_SP, FL = CHAMPSIM_FLAGS, IP = CHAMPSIM_IP };
    static const struct {
        uint8_t src[4], dst[2];
        enum branch_kind kind;
    } rows[] = {
        {{0}, {IP}, BR_JUMP},          {{IP}, {IP}, BR_JUMP},
        {{3}, {IP}, BR_INDIRECT},      {{IP, FL}, {IP}, BR_COND},
        {{IP, 70}, {IP}, BR_COND},     {{SP, IP}, {SP, IP}, BR_CALL},
        {{SP, IP, 3}, {SP, IP}, BR_CALL_INDIRECT}, {{SP}, {SP, IP}, BR_RET},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct champsim_record r = {.is_branch = 1};
        memcpy(r.src, rows[i].src, sizeof r.src);
        memcpy(r.dst, rows[i].dst, sizeof r.dst);
        CU_ASSERT_EQUAL(champsim_branch_kind(&r), rows[i].kind);
    }
}

static struct champsim_record *many_records(size_t n)
{
    struct champsim_record *r = calloc(n, sizeof *r);
    for (size_t i = 0; i < n; i++) {
        r[i].ip = 0x400000 + (i % 1000) * 4;
        r[i].dst[0] = (uint8_t)(30 + i % 7);
        r[i].src[0] = (uint8_t)(30 + (i + 3) % 7);
        if (i % 3 == 0)
            r[i].loads[0] = 0x10000 + i * 8;
    }
    return r;
}

static uint64_t digest(const struct fe_block *b)
{
    uint64_t sum = b->first_instr * 1000003 + b->tail_gap + b->last;
    for (uint32_t i = 0; i < b->nacc; i++)
        sum = sum * 31 + b->piece[i].vaddr + b->piece[i].addr_dep[0] + b->piece[i].gap;
    return sum;
}

static void seek_works_backwards(const char *path, size_t n)
{
    struct frontend *fe = open_one(path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fe);
    uint64_t sums[8], nblocks = (n + CHAMPSIM_BLOCK_INSTRS - 1) / CHAMPSIM_BLOCK_INSTRS;
    struct fe_block b;
    for (uint64_t i = 0; i < nblocks; i++) {
        CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 0, i, &b), ERR_OK);
        CU_ASSERT_EQUAL(b.first_instr, i * CHAMPSIM_BLOCK_INSTRS);
        CU_ASSERT_EQUAL(b.last, i + 1 == nblocks);
        sums[i] = digest(&b);
    }
    for (uint64_t i = nblocks; i-- > 0;) {
        CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 0, i, &b), ERR_OK);
        CU_ASSERT_EQUAL(digest(&b), sums[i]);
    }
    int saved = silence();
    CU_ASSERT_EQUAL(fe->ops->load(fe, 0, nblocks, &b), ERR_TRACE);
    CU_ASSERT_EQUAL(fe->ops->load(fe, 1, 0, &b), ERR_TRACE);
    unsilence(saved);
    fe->ops->close(fe);
}

static void raw_and_packed_files_seek_in_both_directions(void)
{
    size_t n = 3 * CHAMPSIM_BLOCK_INSTRS + 17;
    struct champsim_record *r = many_records(n);
    char command[160];
    seek_works_backwards(temp_file(".bin", r, n * sizeof *r), n);
    snprintf(command, sizeof command, "gzip -f %s", g_path);
    if (system(command) == 0) {
        strcat(g_path, ".gz");
        seek_works_backwards(g_path, n);
        unlink(g_path);
    }
    temp_file(".bin", r, n * sizeof *r);
    snprintf(command, sizeof command, "xz -f -0 %s", g_path);
    if (system(command) == 0) {
        strcat(g_path, ".xz");
        seek_works_backwards(g_path, n);
    }
    unlink(g_path);
    free(r);
}

static void what_is_not_a_trace_is_refused(void)
{
    struct champsim_record *r = many_records(4);
    uint8_t tar[1024] = {0};
    struct frontend *fe = NULL;
    int saved = silence();
    CU_ASSERT_PTR_NULL(open_one(temp_file(".champsim", r, 4 * 64 - 1)));
    CU_ASSERT_PTR_NULL(open_one(temp_file(".champsim", r, 0)));
    CU_ASSERT_PTR_NULL(open_one(temp_file(".champsim.xz", "\xfd" "7zXZ\0garbage", 13)));
    CU_ASSERT_PTR_NULL(open_one(temp_file(".champsim.zst", "\x28\xb5\x2f\xfd----", 8)));
    memcpy(tar + 257, "ustar", 5);
    CU_ASSERT_PTR_NULL(open_one(temp_file(".champsim", tar, sizeof tar)));
    r[2].is_branch = 7;
    CU_ASSERT_PTR_NULL(open_one(temp_file(".champsim", r, 4 * 64)));
    r[2].is_branch = 0;
    r[2].ip = UINT64_MAX;
    CU_ASSERT_PTR_NULL(open_one(temp_file(".champsim", r, 4 * 64)));
    CU_ASSERT(champsim_probe(g_path)); /* by its name */
    const char *path = temp_file(".txt", "hello, world\n", 13);
    CU_ASSERT(!champsim_probe(path));
    CU_ASSERT_EQUAL(frontend_open_trace(&path, 1, &fe), ERR_TRACE);
    unlink(path);
    CU_ASSERT_EQUAL(frontend_open_trace(&path, 1, &fe), ERR_TRACE);
    unsilence(saved);
    free(r);
    snprintf(g_path, sizeof g_path, "rm -f /tmp/test_champsim.%d.*", (int)getpid());
    CU_ASSERT_EQUAL(system(g_path), 0);
}

static void several_files_are_several_threads(void)
{
    struct champsim_record *r = many_records(100);
    char first[64];
    snprintf(first, sizeof first, "%s", temp_file(".a.champsim", r, 100 * 64));
    temp_file(".b.champsim", r, 50 * 64);
    const char *paths[2] = {first, g_path};
    struct frontend *fe = NULL;
    CU_ASSERT_EQUAL_FATAL(frontend_open_trace(paths, 2, &fe), ERR_OK);
    CU_ASSERT_EQUAL(fe->nthreads, 2);
    CU_ASSERT_EQUAL(fe->ninstr, 150);
    struct fe_block a, b;
    CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 0, 0, &a), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 1, 0, &b), ERR_OK);
    CU_ASSERT_EQUAL(a.nacc, 34);
    CU_ASSERT_EQUAL(b.nacc, 17);
    fe->ops->close(fe);
    free(r);
    unlink(first);
    unlink(g_path);
}

UNIT_MAIN("cores/champsim", UNIT(fields_are_read_at_offsets_0_8_9_10_12_16_32),
          UNIT(registers_lead_to_the_load_that_wrote_them),
          UNIT(branch_kinds_follow_from_the_registers),
          UNIT(raw_and_packed_files_seek_in_both_directions), UNIT(what_is_not_a_trace_is_refused),
          UNIT(several_files_are_several_threads))
