/* The VMT trace file: what is written is read back, and no damage goes unnoticed. */
#include "cores/vmt.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 64

static uint64_t g_rng;

static uint64_t rnd(void)
{
    g_rng ^= g_rng << 13;
    g_rng ^= g_rng >> 7;
    g_rng ^= g_rng << 17;
    return g_rng;
}

static void temp_path(char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "/tmp/test_vmt.%d.vmt", (int)getpid());
}

/* Messages about damage that a test provokes would hide real ones. */
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

/* ---- a random program, its records in order ------------------------------------------------ */

enum item_kind { ITEM_ACCESS, ITEM_BRANCH, ITEM_EVENT };

struct item {
    enum item_kind kind;
    uint64_t instr; /* instructions begun before and with this record */
    uint64_t pc, target;
    struct access_rec acc;
    struct branch_rec br;
    uint16_t type;
    uint64_t a[6];
};

static struct item random_item(uint64_t *instr)
{
    struct item it = {.kind = ITEM_ACCESS};
    uint64_t dice = rnd() % 100;
    *instr += rnd() % 4;
    if (rnd() % 5000 == 0)
        *instr += rnd() % 200000; /* more than a gap can say */
    it.instr = *instr;
    it.pc = 0x400000 + (rnd() % 300) * 4 + (rnd() % 50 == 0 ? rnd() : 0);
    if (dice < 70) {
        it.acc.vaddr = rnd() % 3 == 0 ? rnd() >> (rnd() % 64) : 0x7fff0000 + rnd() % 4096;
        it.acc.size = (uint8_t)(1 + rnd() % 64);
        it.acc.flags = (uint8_t)(rnd() % 8 | (rnd() % 2 ? ACC_NO_PRODUCER : 0)); /* it must not matter */
        it.acc.addr_dep[0] = (uint16_t)(rnd() % 5);
        it.acc.addr_dep[1] = (uint16_t)(rnd() % 100 == 0 ? rnd() : 0);
        it.acc.data_dep = (uint16_t)(rnd() % 3);
        it.acc.addr_ops[0] = (uint8_t)(rnd() % 3);
        it.acc.addr_ops[1] = (uint8_t)(rnd() % 2);
        it.acc.data_ops = (uint8_t)(rnd() % 2);
    } else if (dice < 90) {
        it.kind = ITEM_BRANCH;
        it.target = 0x400000 + (rnd() % 300) * 4;
        it.br.dep = (uint16_t)(rnd() % 20);
        it.br.ops = (uint8_t)(rnd() % 4);
        it.br.kind = (uint8_t)(rnd() % 6);
        it.br.taken = (uint8_t)(rnd() % 2);
    } else {
        it.kind = ITEM_EVENT;
        it.type = (uint16_t)(1 + rnd() % 20);
        for (unsigned j = 0; j < 6; j++)
            it.a[j] = rnd() % 3 == 0 ? rnd() : rnd() % 16;
    }
    return it;
}

static struct item *random_program(size_t n, uint64_t seed)
{
    struct item *items = calloc(n, sizeof *items);
    uint64_t instr = 0;
    g_rng = seed * 2 + 1;
    for (size_t i = 0; i < n; i++)
        items[i] = random_item(&instr);
    return items;
}

static void write_items(struct vmt_thread *t, const struct item *items, size_t n)
{
    uint64_t instr = 0;
    for (size_t i = 0; i < n; i++) {
        const struct item *it = &items[i];
        vmt_instr(t, it->instr - instr);
        instr = it->instr;
        if (it->kind == ITEM_ACCESS)
            vmt_access(t, it->pc, &it->acc);
        else if (it->kind == ITEM_BRANCH)
            vmt_branch(t, it->pc, it->target, &it->br);
        else
            vmt_event(t, it->type, it->a);
    }
}

static enum err write_file(const char *path, struct item *const *items, const size_t *n,
                           uint32_t nthreads, uint32_t block_accesses)
{
    struct vmt_writer_opts opts = {.block_accesses = block_accesses};
    struct vmt_writer *w = NULL;
    struct vmt_thread *t[8];
    enum err e = vmt_create(path, "command=test\nkey=first\n", &opts, &w);
    if (e != ERR_OK)
        return e;
    for (uint32_t i = 0; i < nthreads; i++)
        t[i] = vmt_thread_open(w);
    for (uint32_t i = 0; i < nthreads; i++)
        write_items(t[i], items[i], n[i]);
    for (uint32_t i = 0; i < nthreads; i++)
        vmt_thread_close(t[i]);
    return vmt_close(w, "key=last\n");
}

/* Where the replay of a thread stands: block, next record of each kind, instruction counts. */
struct cursor {
    struct fe_block b;
    uint64_t block;
    uint32_t iacc, ibr, iev;
    uint64_t at_acc; /* instructions up to and with the last access, or block start */
    bool open;
};

static bool same_access(struct frontend *fe, uint32_t thread, struct cursor *c, const struct item *it)
{
    struct access_rec got = *fe_access(fe, thread, c->iacc, &c->b);
    bool ok = c->at_acc + got.gap == it->instr && c->b.pcs[got.pc_id] == it->pc;
    struct access_rec want = acc_marked(it->acc);
    got.gap = 0;
    got.pc_id = 0;
    return ok && memcmp(&got, &want, sizeof got) == 0;
}

static bool same_branch(const struct cursor *c, const struct item *it)
{
    const struct branch_rec *got = fe_br(&c->b, c->ibr);
    return c->b.br_at[c->ibr].pos == c->iacc && c->at_acc + got->instr_off == it->instr &&
           c->b.pcs[got->pc_id] == it->pc && c->b.pcs[got->target_id] == it->target &&
           got->dep == it->br.dep && got->ops == it->br.ops && got->kind == it->br.kind &&
           got->taken == it->br.taken;
}

static bool same_event(const struct cursor *c, const struct item *it)
{
    const struct fe_event *got = fe_ev(&c->b, c->iev);
    return c->b.ev_at[c->iev].pos == c->iacc && c->at_acc + got->instr_off == it->instr &&
           got->type == it->type && memcmp(got->a, it->a, sizeof it->a) == 0;
}

static bool block_used_up(const struct cursor *c)
{
    return c->iacc == c->b.nacc && c->ibr == c->b.nbr && c->iev == c->b.nev;
}

static bool next_item(struct frontend *fe, uint32_t thread, struct cursor *c,
                      const struct item *it)
{
    while (!c->open || block_used_up(c)) {
        if (c->open && c->b.last)
            return false;
        uint64_t end = c->open ? c->at_acc + c->b.tail_gap : 0;
        if (fe->ops->load(fe, thread, c->block++, &c->b) != ERR_OK || c->b.first_instr != end)
            return false;
        c->iacc = c->ibr = c->iev = 0;
        c->at_acc = c->b.first_instr;
        c->open = true;
    }
    if (it->kind == ITEM_BRANCH)
        return c->ibr < c->b.nbr && same_branch(c, it) && (c->ibr++, true);
    if (it->kind == ITEM_EVENT)
        return c->iev < c->b.nev && same_event(c, it) && (c->iev++, true);
    if (c->iacc >= c->b.nacc || !same_access(fe, thread, c, it))
        return false;
    c->at_acc += fe_acc(&c->b, c->iacc++)->gap;
    return true;
}

static size_t matching_items(struct frontend *fe, uint32_t thread, const struct item *items,
                             size_t n)
{
    struct cursor c = {.open = false};
    for (size_t i = 0; i < n; i++)
        if (!next_item(fe, thread, &c, &items[i]))
            return i;
    return n;
}

/* ---- tests --------------------------------------------------------------------------------- */

static void random_records_come_back_in_order(void)
{
    char path[PATH_BYTES];
    temp_path(path);
    size_t n[3] = {200000, 5000, 0};
    struct item *items[3];
    for (uint32_t i = 0; i < 3; i++)
        items[i] = random_program(n[i] + 1, i + 1);
    CU_ASSERT_EQUAL_FATAL(write_file(path, items, n, 3, 3000), ERR_OK);
    struct frontend *fe = NULL;
    CU_ASSERT_EQUAL_FATAL(vmt_open_flags(path, VMT_STRICT, &fe), ERR_OK);
    CU_ASSERT_EQUAL(fe->nthreads, 3);
    for (uint32_t i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(matching_items(fe, i, items[i], n[i]), n[i]);
    char value[16];
    CU_ASSERT(vmt_meta_get(vmt_info(fe), "command", value, sizeof value));
    CU_ASSERT_STRING_EQUAL(value, "test");
    CU_ASSERT(vmt_meta_get(vmt_info(fe), "key", value, sizeof value));
    CU_ASSERT_STRING_EQUAL(value, "last");
    CU_ASSERT(!vmt_meta_get(vmt_info(fe), "ke", value, sizeof value));
    fe->ops->close(fe);
    for (uint32_t i = 0; i < 3; i++)
        free(items[i]);
    unlink(path);
}

static void blocks_decode_in_any_order(void)
{
    char path[PATH_BYTES];
    temp_path(path);
    size_t n = 60000;
    struct item *items = random_program(n, 7);
    CU_ASSERT_EQUAL_FATAL(write_file(path, &items, &n, 1, 2000), ERR_OK);
    struct frontend *fe = NULL;
    CU_ASSERT_EQUAL_FATAL(vmt_open(path, &fe), ERR_OK);
    uint64_t nblocks = vmt_nblocks(fe, 0);
    CU_ASSERT(nblocks > 15);
    uint64_t *sums = calloc(nblocks, sizeof *sums);
    for (uint64_t pass = 0; pass < 2; pass++)
        for (uint64_t i = 0; i < nblocks; i++) {
            uint64_t b = pass == 0 ? i : (i * 7 + 3) % nblocks, sum = 0;
            struct fe_block blk;
            CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 0, b, &blk), ERR_OK);
            CU_ASSERT_EQUAL(blk.last, b + 1 == nblocks);
            for (uint32_t k = 0; k < blk.nacc; k++)
                sum = sum * 31 + fe_access(fe, 0, k, &blk)->vaddr + blk.pcs[fe_acc(&blk, k)->pc_id];
            if (pass == 0)
                sums[b] = sum;
            else
                CU_ASSERT_EQUAL(sums[b], sum);
        }
    struct fe_block blk;
    int saved = silence();
    CU_ASSERT_EQUAL(fe->ops->load(fe, 0, nblocks, &blk), ERR_TRACE);
    CU_ASSERT_EQUAL(fe->ops->load(fe, 1, 0, &blk), ERR_TRACE);
    unsilence(saved);
    fe->ops->close(fe);
    free(sums);
    free(items);
    unlink(path);
}

static void a_branch_of_no_kind_is_refused(void)
{
    for (unsigned kind = BR_RET; kind <= BR_RET + 1; kind++) {
        char path[PATH_BYTES];
        temp_path(path);
        struct vmt_writer *w = NULL;
        CU_ASSERT_EQUAL_FATAL(vmt_create(path, NULL, NULL, &w), ERR_OK);
        struct vmt_thread *t = vmt_thread_open(w);
        struct branch_rec br = {.kind = (uint8_t)kind, .taken = 1};
        vmt_instr(t, 3);
        vmt_branch(t, 0x400000, 0x400100, &br);
        vmt_thread_close(t);
        CU_ASSERT_EQUAL_FATAL(vmt_close(w, NULL), ERR_OK);
        struct frontend *fe = NULL;
        CU_ASSERT_EQUAL_FATAL(vmt_open(path, &fe), ERR_OK);
        enum err e = ERR_OK;
        uint32_t nbr = 0;
        struct fe_block b = {.last = 0};
        int saved = silence();
        for (uint64_t i = 0; e == ERR_OK && !b.last; i++) {
            e = fe->ops->load(fe, 0, i, &b);
            nbr += e == ERR_OK ? b.nbr : 0;
        }
        unsilence(saved);
        CU_ASSERT_EQUAL(e, kind <= BR_RET ? ERR_OK : ERR_TRACE);
        CU_ASSERT_EQUAL(nbr, kind <= BR_RET);
        fe->ops->close(fe);
        unlink(path);
    }
}

static void long_runs_without_access_keep_their_length(void)
{
    char path[PATH_BYTES];
    temp_path(path);
    struct vmt_writer *w = NULL;
    CU_ASSERT_EQUAL_FATAL(vmt_create(path, NULL, NULL, &w), ERR_OK);
    struct vmt_thread *t = vmt_thread_open(w);
    struct access_rec rec = {.vaddr = 0x1000, .size = 8};
    vmt_instr(t, 5);
    vmt_access(t, 0x400000, &rec);
    vmt_instr(t, UINT64_C(10000000000));
    vmt_access(t, 0x400004, &rec);
    vmt_instr(t, 70000);
    CU_ASSERT_EQUAL(vmt_instrs(t), UINT64_C(10000070005));
    CU_ASSERT_EQUAL(vmt_loads(t), 2);
    vmt_thread_close(t);
    CU_ASSERT_EQUAL_FATAL(vmt_close(w, NULL), ERR_OK);
    struct frontend *fe = NULL;
    CU_ASSERT_EQUAL_FATAL(vmt_open(path, &fe), ERR_OK);
    CU_ASSERT_EQUAL(fe->ninstr, UINT64_C(10000070005));
    uint64_t ninstr = 0, nacc = 0;
    struct fe_block b = {.last = 0};
    for (uint64_t i = 0; !b.last; i++) {
        CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 0, i, &b), ERR_OK);
        CU_ASSERT_EQUAL(b.first_instr, ninstr);
        for (uint32_t k = 0; k < b.nacc; k++)
            ninstr += fe_access(fe, 0, k, &b)->gap;
        ninstr += b.tail_gap;
        nacc += b.nacc;
    }
    CU_ASSERT_EQUAL(ninstr, UINT64_C(10000070005));
    CU_ASSERT_EQUAL(nacc, 2);
    fe->ops->close(fe);
    unlink(path);
}

/* Two forms of two accesses each: those without producers are marked when they are read, whatever the writer was given. */
static void accesses_without_a_producer_are_marked_by_the_reader_alone(void)
{
    char path[PATH_BYTES];
    temp_path(path);
    struct vmt_writer *w = NULL;
    CU_ASSERT_EQUAL_FATAL(vmt_create(path, NULL, NULL, &w), ERR_OK);
    struct vmt_thread *t = vmt_thread_open(w);
    struct access_rec rec[4] = {{.size = 8},
                                {.size = 8, .flags = ACC_NO_PRODUCER},
                                {.size = 8, .flags = ACC_STORE | ACC_NO_PRODUCER, .data_dep = 1},
                                {.size = 8, .flags = ACC_STORE, .data_dep = 1}};
    for (unsigned i = 0; i < 4; i++)
        vmt_access(t, 0x400000, &rec[i]);
    vmt_thread_close(t);
    CU_ASSERT_EQUAL_FATAL(vmt_close(w, NULL), ERR_OK);
    struct frontend *fe = NULL;
    struct fe_block b;
    CU_ASSERT_EQUAL_FATAL(vmt_open(path, &fe), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 0, 1, &b), ERR_OK); /* block 0 was written when the thread began */
    CU_ASSERT_EQUAL(vmt_block(fe, 0, 1)->nacc_tmpl, 2);
    CU_ASSERT_EQUAL_FATAL(b.nacc, 4);
    for (unsigned i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(fe_access(fe, 0, i, &b)->flags, i < 2 ? ACC_NO_PRODUCER : ACC_STORE);
    fe->ops->close(fe);
    unlink(path);
}

static uint8_t *read_file(const char *path, size_t *n_out)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    fstat(fileno(f), &st);
    uint8_t *p = malloc((size_t)st.st_size);
    *n_out = fread(p, 1, (size_t)st.st_size, f);
    fclose(f);
    return p;
}

static void put_file(const char *path, const uint8_t *p, size_t n)
{
    FILE *f = fopen(path, "wb");
    fwrite(p, 1, n, f);
    fclose(f);
}

/* Reads all blocks; ERR_OK when all were fine. */
static enum err read_all(struct frontend *fe, uint64_t *naccesses_out)
{
    *naccesses_out = 0;
    for (uint32_t t = 0; t < fe->nthreads; t++)
        for (uint64_t i = 0; i < vmt_nblocks(fe, t); i++) {
            struct fe_block b;
            enum err e = fe->ops->load(fe, t, i, &b);
            if (e != ERR_OK)
                return e;
            *naccesses_out += b.nacc;
        }
    return ERR_OK;
}

static uint64_t count_accesses(const struct item *items, size_t n)
{
    uint64_t naccesses = 0;
    for (size_t i = 0; i < n; i++)
        naccesses += items[i].kind == ITEM_ACCESS;
    return naccesses;
}

static void a_file_cut_anywhere_keeps_its_whole_blocks(void)
{
    char path[PATH_BYTES];
    temp_path(path);
    size_t n[2] = {1500, 700}, nbytes;
    struct item *items[2] = {random_program(n[0], 3), random_program(n[1], 4)};
    CU_ASSERT_EQUAL_FATAL(write_file(path, items, n, 2, 100), ERR_OK);
    uint8_t *p = read_file(path, &nbytes);
    uint64_t before = 0, most = 0;
    int saved = silence();
    for (size_t cut = 0; cut < nbytes; cut += 5) {
        struct frontend *fe = NULL;
        put_file(path, p, cut);
        enum err e = vmt_open_flags(path, VMT_QUIET, &fe);
        if (e != ERR_OK) {
            CU_ASSERT_EQUAL(e, ERR_TRACE);
            CU_ASSERT_EQUAL(before, 0);
            continue;
        }
        CU_ASSERT(vmt_info(fe)->truncated);
        CU_ASSERT_EQUAL(read_all(fe, &most), ERR_OK);
        CU_ASSERT(most >= before);
        before = most;
        fe->ops->close(fe);
        CU_ASSERT_EQUAL(vmt_open_flags(path, VMT_STRICT, &fe), ERR_TRACE);
    }
    unsilence(saved);
    CU_ASSERT_EQUAL(most, count_accesses(items[0], n[0]) + count_accesses(items[1], n[1]));
    free(items[0]);
    free(items[1]);
    free(p);
    unlink(path);
}

static void a_flipped_bit_is_an_error_or_shows_as_truncation(void)
{
    char path[PATH_BYTES];
    temp_path(path);
    size_t n = 1200, nbytes;
    struct item *items = random_program(n, 9);
    CU_ASSERT_EQUAL_FATAL(write_file(path, &items, &n, 1, 200), ERR_OK);
    uint8_t *p = read_file(path, &nbytes);
    size_t padding = 0;
    int saved = silence();
    for (size_t at = 0; at < nbytes; at += 3) {
        struct frontend *fe = NULL;
        uint64_t nacc = 0;
        p[at] ^= (uint8_t)(1u << (at % 8));
        put_file(path, p, nbytes);
        p[at] ^= (uint8_t)(1u << (at % 8));
        enum err e = vmt_open_flags(path, VMT_STRICT, &fe);
        if (e == ERR_OK) {
            e = read_all(fe, &nacc);
            padding += e == ERR_OK;
            fe->ops->close(fe);
        }
        CU_ASSERT(e == ERR_OK || e == ERR_TRACE);
    }
    unsilence(saved);
    /* Only padding and the closing meta text, which is not needed, may change unseen. */
    CU_ASSERT(padding < 40);
    free(items);
    free(p);
    unlink(path);
}

static void waits_for_lost_wakes_are_mended_in_a_truncated_trace(void)
{
    char path[PATH_BYTES];
    temp_path(path);
    struct vmt_writer *w = NULL;
    CU_ASSERT_EQUAL_FATAL(vmt_create(path, NULL, NULL, &w), ERR_OK);
    struct vmt_thread *a = vmt_thread_open(w), *b = vmt_thread_open(w);
    vmt_event(a, FE_MMAP, (uint64_t[6]){0, 0x1000, 0x1000, 3, 2, 1});
    vmt_event(a, FE_MMAP, (uint64_t[6]){1, 0x2000, 0x1000, 3, 2, 2});
    vmt_event(a, FE_FUTEX_WAKE, (uint64_t[6]){0x10, 1, 1});
    vmt_event(a, FE_FUTEX_WAIT, (uint64_t[6]){0x10, 2});
    vmt_event(a, FE_MAP_MARK, (uint64_t[6]){2});
    vmt_thread_flush(a);
    vmt_event(b, FE_FUTEX_WAIT, (uint64_t[6]){0x10, 1});
    vmt_thread_flush(b);
    size_t nbytes;
    struct vmt_totals totals;
    vmt_totals(w, &totals);
    vmt_event(b, FE_FUTEX_WAKE, (uint64_t[6]){0x10, 2, 1});
    vmt_thread_close(a);
    vmt_thread_close(b);
    CU_ASSERT_EQUAL(vmt_close(w, NULL), ERR_OK);
    uint8_t *p = read_file(path, &nbytes);
    put_file(path, p, (size_t)totals.file_bytes + 20);
    struct frontend *fe = NULL;
    struct fe_block blk;
    CU_ASSERT_EQUAL_FATAL(vmt_open_flags(path, VMT_QUIET, &fe), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 0, 1, &blk), ERR_OK);
    CU_ASSERT_EQUAL(fe_ev(&blk, 3)->a[1], 0);
    CU_ASSERT_EQUAL(fe_ev(&blk, 4)->a[0], 1);
    CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 1, 1, &blk), ERR_OK);
    CU_ASSERT_EQUAL(fe_ev(&blk, 0)->a[1], 1);
    fe->ops->close(fe);
    free(p);
    unlink(path);
}

static void a_full_disk_is_an_output_error(void)
{
    struct vmt_writer *w = NULL;
    int saved = silence();
    CU_ASSERT_EQUAL(vmt_create("/dev/full", "a=b\n", NULL, &w), ERR_OUTPUT);
    CU_ASSERT_EQUAL(vmt_create("/nonexistent/dir/x.vmt", NULL, NULL, &w), ERR_OUTPUT);
    unsilence(saved);
}

static void a_limit_on_the_file_size_is_reported_and_what_was_written_stays(void)
{
    char path[PATH_BYTES];
    temp_path(path);
    struct rlimit old, small;
    size_t n = 40000;
    struct item *items = random_program(n, 5);
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){100000, old.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    int saved = silence();
    setrlimit(RLIMIT_FSIZE, &small);
    CU_ASSERT_EQUAL(write_file(path, &items, &n, 1, 2000), ERR_OUTPUT);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    struct frontend *fe = NULL;
    uint64_t naccesses = 0;
    CU_ASSERT_EQUAL_FATAL(vmt_open_flags(path, VMT_QUIET, &fe), ERR_OK);
    unsilence(saved);
    CU_ASSERT(vmt_info(fe)->truncated);
    CU_ASSERT_EQUAL(read_all(fe, &naccesses), ERR_OK);
    CU_ASSERT(naccesses >= 2000);
    fe->ops->close(fe);
    free(items);
    unlink(path);
}

static void finishing_can_be_taken_back(void)
{
    char path[PATH_BYTES];
    temp_path(path);
    struct vmt_writer *w = NULL;
    struct frontend *fe = NULL;
    CU_ASSERT_EQUAL_FATAL(vmt_create(path, NULL, NULL, &w), ERR_OK);
    struct vmt_thread *t = vmt_thread_open(w);
    vmt_instr(t, 10);
    vmt_thread_flush(t);
    CU_ASSERT_EQUAL(vmt_finish(w, "end=1\n"), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(vmt_open_flags(path, VMT_STRICT, &fe), ERR_OK);
    CU_ASSERT_EQUAL(fe->ninstr, 10);
    fe->ops->close(fe);
    CU_ASSERT_EQUAL(vmt_unfinish(w), ERR_OK);
    vmt_instr(t, 5);
    vmt_thread_close(t);
    CU_ASSERT_EQUAL(vmt_close(w, NULL), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(vmt_open_flags(path, VMT_STRICT, &fe), ERR_OK);
    CU_ASSERT_EQUAL(fe->ninstr, 15);
    fe->ops->close(fe);
    unlink(path);
}

UNIT_MAIN("cores/vmt", UNIT(random_records_come_back_in_order), UNIT(blocks_decode_in_any_order),
          UNIT(a_branch_of_no_kind_is_refused), UNIT(long_runs_without_access_keep_their_length),
          UNIT(accesses_without_a_producer_are_marked_by_the_reader_alone),
          UNIT(a_file_cut_anywhere_keeps_its_whole_blocks),
          UNIT(a_flipped_bit_is_an_error_or_shows_as_truncation),
          UNIT(waits_for_lost_wakes_are_mended_in_a_truncated_trace),
          UNIT(a_full_disk_is_an_output_error),
          UNIT(a_limit_on_the_file_size_is_reported_and_what_was_written_stays),
          UNIT(finishing_can_be_taken_back))
