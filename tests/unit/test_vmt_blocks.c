/* The blocks of a VMT trace as they are decoded: with what nobody asks for left out, and with little memory. */
#include "cores/relocate.h"
#include "cores/vmt.h"
#include "tests/unit/unit.h"

#include <string.h>
#include <unistd.h>

#define PATH_BYTES 64

static void temp_path(char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "/tmp/test_vmt_blocks.%d.vmt", (int)getpid());
}

/* An access, then an event; a call of the kernel now and then, from half way on. */
static enum err write_pages(const char *path, uint32_t n)
{
    struct vmt_writer *w = NULL;
    const struct vmt_writer_opts opts = {.block_accesses = 100};
    enum err e = vmt_create(path, NULL, &opts, &w);
    if (e != ERR_OK)
        return e;
    struct vmt_thread *t = vmt_thread_open(w);
    const struct access_rec rec = {.vaddr = 0x1000, .size = 8};
    for (uint32_t i = 0; i < n; i++) {
        vmt_instr(t, 1);
        vmt_access(t, 0x400000 + i % 7, &rec);
        vmt_event(t, i > n / 2 && i % 50 == 0 ? FE_SYSCALL : FE_IFETCH_PAGE, (uint64_t[6]){0x400 + i % 7});
    }
    vmt_thread_close(t);
    return vmt_close(w, NULL);
}

static bool same_event(const struct fe_block *a, const struct fe_block *b, uint32_t i)
{
    const struct fe_event *x = fe_ev(a, i), *y = fe_ev(b, i);
    return x->type == y->type && a->ev_at[i].pos == b->ev_at[i].pos && memcmp(x, y, sizeof *x) == 0;
}

/* With and without the code pages: all but these are equal, and so are the numbers of all. Returns how many pages there were. */
static uint32_t compare_without_pages(const char *path, uint32_t *nothers_out)
{
    struct frontend *all = NULL, *fe = NULL;
    CU_ASSERT_EQUAL_FATAL(vmt_open(path, &all), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(vmt_open(path, &fe), ERR_OK);
    fe->no_pages = true;
    struct fe_block a = {.last = 0}, b = {.last = 0};
    uint32_t npages = 0, wrong = 0;
    *nothers_out = 0;
    for (uint64_t i = 0; !a.last; i++) {
        CU_ASSERT_EQUAL_FATAL(all->ops->load(all, 0, i, &a), ERR_OK);
        CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 0, i, &b), ERR_OK);
        CU_ASSERT_EQUAL_FATAL(a.nev, b.nev);
        for (uint32_t k = 0; k < a.nev; k++) {
            const bool page = fe_ev(&a, k)->type == FE_IFETCH_PAGE;
            npages += page;
            *nothers_out += !page;
            wrong += page ? fe_ev(&b, k)->type != FE_IFETCH_PAGE : !same_event(&a, &b, k);
        }
        for (uint32_t k = 0; k < a.nacc; k++)
            wrong += memcmp(fe_access(all, 0, k, &a), fe_access(fe, 0, k, &b), sizeof(struct access_rec)) != 0;
    }
    CU_ASSERT_EQUAL(wrong, 0);
    all->ops->close(all);
    fe->ops->close(fe);
    return npages;
}

static void code_pages_that_nobody_looks_at_keep_their_number(void)
{
    char path[PATH_BYTES];
    uint32_t nothers;
    temp_path(path);
    CU_ASSERT_EQUAL_FATAL(write_pages(path, 1000), ERR_OK);
    CU_ASSERT_EQUAL(compare_without_pages(path, &nothers), 991);
    CU_ASSERT_EQUAL(nothers, 9);
    unlink(path);
}

/*
 * Eight events of up to four kinds, in the order of the base-4 digits of `order`; of kind k < npages: the k-th code page, else
 * a memory map. Returns how many are pages.
 */
static uint32_t write_events(const char *path, uint32_t order, uint32_t npages)
{
    struct vmt_writer *w = NULL;
    CU_ASSERT_EQUAL_FATAL(vmt_create(path, NULL, NULL, &w), ERR_OK);
    struct vmt_thread *t = vmt_thread_open(w);
    const struct access_rec rec = {.vaddr = 0x1000, .size = 8};
    uint32_t n = 0;
    for (uint32_t i = 0; i < 8; i++, order /= 4) {
        const uint32_t kind = order % 4;
        const bool page = kind < npages;
        vmt_instr(t, 1);
        vmt_access(t, 0x400000, &rec);
        vmt_event(t, page ? FE_IFETCH_PAGE : FE_MMAP, (uint64_t[6]){page ? 0x400 + kind : kind, 0x10000 * kind, 4096, 3, 0x22, kind});
        n += page;
    }
    vmt_thread_close(t);
    CU_ASSERT_EQUAL_FATAL(vmt_close(w, NULL), ERR_OK);
    return n;
}

/* The events that change the memory map, as relocation asks for them, against those of the whole block. */
static void compare_map_events(const char *path)
{
    struct frontend *fe[2] = {NULL};
    struct fe_block b[2];
    for (int i = 0; i < 2; i++)
        CU_ASSERT_EQUAL_FATAL(vmt_open(path, &fe[i]), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(fe[0]->ops->load(fe[0], 0, 0, &b[0]), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(fe[1]->ops->map_events(fe[1], 0, 0, &b[1]), ERR_OK);
    uint32_t nmaps = 0, wrong = 0;
    for (uint32_t k = 0; k < b[0].nev; k++)
        nmaps += fe_ev(&b[0], k)->type == FE_MMAP;
    CU_ASSERT_EQUAL_FATAL(b[1].nev, nmaps == 0 ? 0 : b[0].nev); /* nobody asks for those of a block without */
    for (uint32_t k = 0; k < b[1].nev; k++)
        wrong += fe_ev(&b[0], k)->type == FE_MMAP ? !same_event(&b[0], &b[1], k) : fe_ev(&b[1], k)->type != FE_IFETCH_PAGE;
    CU_ASSERT_EQUAL(wrong, 0);
    for (int i = 0; i < 2; i++)
        fe[i]->ops->close(fe[i]);
}

/* One kind of page before others, between and behind them, several, none. */
static void events_keep_their_order_with_any_pages_among_them(void)
{
    char path[PATH_BYTES];
    temp_path(path);
    for (uint32_t i = 0; i < 300; i++) {
        const uint32_t order = i * 0x9e3779b1u >> 16, npages = i % 5;
        uint32_t nothers, n = write_events(path, order, npages);
        CU_ASSERT_EQUAL(compare_without_pages(path, &nothers), n);
        CU_ASSERT_EQUAL(nothers, 8 - n);
        compare_map_events(path);
        unlink(path);
    }
}

/* Of one thread, with every block seen. */
static size_t most_bytes(struct frontend *fe, const struct frontend *reader, uint32_t thread)
{
    struct fe_block b = {.last = 0};
    for (uint64_t i = 0; !b.last; i++) {
        CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, thread, i, &b), ERR_OK);
        for (uint32_t k = 0; k < b.nacc; k = b.acc_to)
            fe_access(fe, thread, k, &b);
    }
    return vmt_thread_bytes(reader, thread) + relocate_thread_bytes(fe, thread); /* of what grows only */
}

static void a_thread_of_a_shipped_trace_takes_less_than_a_mebibyte(void)
{
    static const char *const names[] = {"sqlite3", "redis", "bfs-4t", "chase"};
    const struct relocate_params p = {.layout = {.mode = LAYOUT_LINUX, .seed = 1, .mmap_bits = 28},
                                      .stack_limit_bytes = UINT64_C(8) << 20};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[PATH_BYTES];
        struct frontend *fe = NULL;
        snprintf(path, sizeof path, "tests/traces/%s.vmt", names[i]);
        CU_ASSERT_EQUAL_FATAL(vmt_open(path, &fe), ERR_OK);
        const struct frontend *reader = fe;
        fe->no_pages = true;
        CU_ASSERT_EQUAL_FATAL(relocate_wrap(&fe, &p), ERR_OK);
        for (uint32_t t = 0; t < fe->nthreads; t++) {
            size_t bytes = most_bytes(fe, reader, t);
            CU_ASSERT(bytes > 16 << 10);
            CU_ASSERT(bytes < 1 << 20);
        }
        CU_ASSERT(vmt_common_bytes(reader) < 1 << 20); /* of all threads together */
        fe->ops->close(fe);
    }
}

/* Two threads whose blocks have a program counter for nearly each access. */
static enum err write_large_blocks(const char *path, uint32_t n)
{
    struct vmt_writer *w = NULL;
    enum err e = vmt_create(path, NULL, NULL, &w);
    for (uint64_t i = 0; e == ERR_OK && i < 2; i++) {
        struct vmt_thread *t = vmt_thread_open(w);
        for (uint32_t k = 0; k < n; k++) {
            const struct access_rec rec = {.vaddr = (i << 32) + (uint64_t)k * k, .size = 8};
            vmt_instr(t, 1);
            vmt_access(t, 0x400000 + k % 50000 * 16, &rec);
        }
        vmt_thread_close(t);
    }
    return e == ERR_OK ? vmt_close(w, NULL) : e;
}

static void large_blocks_decode_whoever_had_the_scratch(void)
{
    char path[PATH_BYTES];
    temp_path(path);
    CU_ASSERT_EQUAL_FATAL(write_large_blocks(path, 60000), ERR_OK);
    struct frontend *fe = NULL;
    struct fe_block b[2];
    CU_ASSERT_EQUAL_FATAL(vmt_open(path, &fe), ERR_OK);
    for (uint32_t t = 0; t < 2; t++)
        CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, t, 1, &b[t]), ERR_OK);
    CU_ASSERT_FATAL(b[0].nacc == 60000 && b[1].nacc == 60000);
    uint32_t wrong = 0;
    for (uint32_t round = 0; round < 2; round++) /* on, and back from the end to the start once */
        for (uint32_t k = 0; k < 60000; k += 100)
            for (uint64_t t = 0; t < 2; t++) {
                const struct access_rec *r = fe_access(fe, (uint32_t)t, k, &b[t]);
                wrong += r->vaddr != (t << 32) + (uint64_t)k * k || b[t].pcs[r->pc_id] != 0x400000 + k % 50000 * 16;
            }
    CU_ASSERT_EQUAL(wrong, 0);
    fe->ops->close(fe);
    unlink(path);
}

/* A block of `nacc` accesses with `nbr` branches before each, so that branches take the room of a large block. */
static enum err write_branches(const char *path, uint32_t nacc, uint32_t nbr)
{
    struct vmt_writer *w = NULL;
    enum err e = vmt_create(path, NULL, NULL, &w);
    if (e != ERR_OK)
        return e;
    struct vmt_thread *t = vmt_thread_open(w);
    for (uint32_t i = 0; i < nacc; i++) {
        const struct access_rec rec = {.vaddr = 0x10000 + (uint64_t)i * 4096, .size = 8};
        for (uint32_t k = 0; k < nbr; k++) {
            const struct branch_rec br = {.kind = BR_COND, .taken = (k ^ i) & 1};
            vmt_instr(t, 3);
            vmt_branch(t, 0x400000 + (uint64_t)(k * 64 % 40000), 0x400000 + (uint64_t)((k + 1) * 64 % 40000), &br);
        }
        vmt_instr(t, 1);
        vmt_access(t, 0x400000 + (uint64_t)(i % 5) * 64, &rec);
    }
    vmt_thread_close(t);
    return vmt_close(w, NULL);
}

/* Fewer accesses in a block than in a piece, and still one that is too large to be decoded as a whole. */
static void few_accesses_among_many_branches_decode(void)
{
    char path[PATH_BYTES];
    temp_path(path);
    CU_ASSERT_EQUAL_FATAL(write_branches(path, 40, 20000), ERR_OK);
    struct frontend *fe = NULL;
    CU_ASSERT_EQUAL_FATAL(vmt_open(path, &fe), ERR_OK);
    struct fe_block b = {.last = 0};
    uint64_t nacc = 0, nbr = 0, wrong = 0, most = 0;
    for (uint64_t i = 0; !b.last; i++) {
        CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 0, i, &b), ERR_OK);
        most = u64_max(most, b.nbr);
        for (uint32_t k = 0; k < b.nacc; k++, nacc++) {
            const struct access_rec *r = fe_access(fe, 0, k, &b);
            wrong += r->vaddr != 0x10000 + nacc * 4096 || b.pcs[r->pc_id] != 0x400000 + nacc % 5 * 64;
        }
        for (uint32_t k = 0; k < b.nbr; k++, nbr++)
            wrong += b.pcs[fe_br(&b, k)->pc_id] != 0x400000 + nbr % 20000 * 64 % 40000;
    }
    CU_ASSERT(nacc == 40 && nbr == 800000);
    CU_ASSERT(most > 50000);
    CU_ASSERT_EQUAL(wrong, 0);
    fe->ops->close(fe);
    unlink(path);
}

UNIT_MAIN("cores/vmt blocks", UNIT(code_pages_that_nobody_looks_at_keep_their_number),
          UNIT(events_keep_their_order_with_any_pages_among_them), UNIT(large_blocks_decode_whoever_had_the_scratch),
          UNIT(few_accesses_among_many_branches_decode), UNIT(a_thread_of_a_shipped_trace_takes_less_than_a_mebibyte))
