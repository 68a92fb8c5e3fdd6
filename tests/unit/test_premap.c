/* Page tables before time 0: the frames, the shared file, the image file and its errors. */
#include "mimicos/premap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mimicos/kernel_call.h"
#include "tests/unit/unit.h"

#define MIB (UINT64_C(1) << 20)
#define BASE UINT64_C(0x7f0000000000)

static const struct kernel_area areas[] = {
    {.a = {1, 0x401000, 4096, KPROT_READ | KPROT_EXEC, KMAP_PRIVATE, 1}},
    {.a = {2, BASE, 40 * MIB + 4096, KPROT_READ | KPROT_WRITE, KMAP_PRIVATE | KMAP_ANONYMOUS, 2}}};

static struct kernel_params params(void)
{
    struct kernel_params p;
    memset(&p, 0, sizeof p);
    p.memory_size = 64 * MIB;
    p.reserved_size = 4 * MIB;
    p.memory_state = MEMORY_SCATTERED;
    p.scatter_used_percent = 10;
    p.scatter_regions_percent = 50;
    p.scatter_piece_size = 4096;
    p.thp = THP_ALWAYS;
    p.seed = 3;
    p.stack_limit_size = 8 * MIB;
    p.kernel_to_core_fs = p.ipi_fs = FS_PER_NS;
    p.max_vmas = 16;
    p.max_wakes = 1;
    p.premap = PREMAP_ALL;
    for (unsigned i = 0; i < KOP_COUNT; i++)
        p.cost.fs[i] = 1;
    return p;
}

static struct kernel_cfg config(const struct kernel_params *p)
{
    return (struct kernel_cfg){.params = p, .ncores = 1, .nthreads = 1, .nprocesses = 1, .areas = areas,
                               .nareas = 2};
}

static struct kernel *state_of(const struct kernel_cfg *cfg)
{
    void *k = mmap(NULL, kernel_state_bytes(cfg), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CU_ASSERT_NOT_EQUAL_FATAL(k, MAP_FAILED);
    return k;
}

static void drop(struct kernel *k, const struct kernel_cfg *cfg, struct ptimage *p)
{
    munmap(k, kernel_state_bytes(cfg));
    ptimage_close(p);
}

static bool same_memory(struct kernel *a, struct kernel *b)
{
    const struct mm *x = kernel_mm(a), *y = kernel_mm(b);
    size_t n = mm_bytes(&x->cfg) - x->buddy_at; /* all but struct mm, which has padding */
    return x->nnodes == y->nnodes && x->node_high_water == y->node_high_water && x->free_node == y->free_node &&
           memcmp(mm_buddy(x), mm_buddy(y), n) == 0;
}

static char path[] = "/tmp/concerto-test-premap-XXXXXX";

static void new_path(void)
{
    int fd = mkstemp(path);
    CU_ASSERT_FATAL(fd >= 0);
    close(fd);
    unlink(path);
}

static void use_image(struct kernel_params *p) { snprintf(p->premap_image, sizeof p->premap_image, "%s", path); }

static void what_is_built_equals_faults_in_order_and_is_shared(void)
{
    struct kernel_params p = params();
    struct kernel_cfg cfg = config(&p);
    struct kernel *a = state_of(&cfg), *b = state_of(&cfg);
    struct ptimage img, other;
    CU_ASSERT_PTR_NULL_FATAL(kernel_cfg_error(&cfg));
    CU_ASSERT_EQUAL_FATAL(premap_build(a, &cfg, &img), ERR_OK);
    CU_ASSERT_EQUAL(a->ready, 1);
    CU_ASSERT_EQUAL(sched_space(kernel_sched(a), 0)->order_done, 2);
    kernel_init(b, &cfg);
    struct mm *m = kernel_mm(b);
    for (unsigned i = 0; i < 2; i++) {
        struct mm_op op;
        krun_begin(&b->run);
        CU_ASSERT_EQUAL(mm_call(m, &b->run, 0, KCALL_MMAP, areas[i].a, &op), MM_OK);
    }
    uint64_t npages = 0;
    for (uint64_t va = BASE; va < BASE + areas[1].a[2]; va += 4096) {
        struct mm_fault f;
        struct mm_op op;
        krun_begin(&b->run);
        mm_fault(m, &b->run, 0, (vaddr_t){va}, KF_WRITE, &f, &op);
        npages += f.kind != FAULT_SPURIOUS;
    }
    CU_ASSERT_EQUAL(a->npremapped, npages);
    CU_ASSERT_EQUAL(npages, 15 + 5 * 512 + 1); /* half of the 30 regions of 2 MiB are whole */
    CU_ASSERT(same_memory(a, b));

    /* Another process of the host would find the same words. */
    CU_ASSERT(ptimage_attach(&other, (uint64_t)getpid(), (uint64_t)img.fd, img.head.nonce));
    CU_ASSERT_EQUAL(other.head.nnodes, kernel_mm(a)->node_high_water);
    CU_ASSERT(memcmp(other.words, mm_words(kernel_mm(a)), other.head.nnodes * 4096) == 0);
    mm_words(kernel_mm(a))[7] = 123456; /* the kernel's writes stay its own */
    CU_ASSERT_NOT_EQUAL(other.words[7], 123456);
    ptimage_close(&other);
    CU_ASSERT(!ptimage_attach(&other, (uint64_t)getpid(), (uint64_t)img.fd, img.head.nonce + 2));
    CU_ASSERT(!ptimage_attach(&other, (uint64_t)getpid(), 999, img.head.nonce));
    mm_verify(kernel_mm(b));
    drop(a, &cfg, &img);
    munmap(b, kernel_state_bytes(&cfg));
}

static void a_run_from_the_image_has_the_same_memory(void)
{
    struct kernel_params p = params();
    struct kernel_cfg cfg = config(&p);
    new_path();
    use_image(&p);
    struct kernel *a = state_of(&cfg), *b = state_of(&cfg);
    struct ptimage ia, ib;
    CU_ASSERT_EQUAL_FATAL(premap_build(a, &cfg, &ia), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(access(path, R_OK), 0);
    p.flush_ceiling_pages = 77; /* no part of what was built */
    CU_ASSERT_EQUAL_FATAL(premap_build(b, &cfg, &ib), ERR_OK);
    CU_ASSERT_EQUAL(kernel_mm(b)->cfg.flush_ceiling_pages, 77);
    kernel_mm(b)->cfg.flush_ceiling_pages = kernel_mm(a)->cfg.flush_ceiling_pages;
    CU_ASSERT(same_memory(a, b));
    CU_ASSERT_EQUAL(a->npremapped, b->npremapped);
    CU_ASSERT_EQUAL(ia.head.nnodes, ib.head.nnodes);
    CU_ASSERT(memcmp(ia.words, ib.words, ia.head.nnodes * 4096) == 0);
    CU_ASSERT(memcmp(ia.pfns, ib.pfns, ia.head.nnodes * 4) == 0);
    mm_verify(kernel_mm(b));
    drop(a, &cfg, &ia);
    drop(b, &cfg, &ib);
}

static bool loads(struct kernel_params p)
{
    struct kernel_cfg cfg = config(&p);
    struct kernel *k = state_of(&cfg);
    struct ptimage img;
    use_image(&p);
    bool ok = premap_build(k, &cfg, &img) == ERR_OK;
    drop(k, &cfg, &img);
    return ok;
}

/* After the test above: the file is there. */
static void an_image_of_another_configuration_is_refused(void)
{
    struct kernel_params p = params();
    CU_ASSERT(loads(p));
    p.seed = 4;
    CU_ASSERT(!loads(p));
    p = params();
    p.thp = THP_NEVER;
    CU_ASSERT(!loads(p));
    p = params();
    p.alloc = 1;
    CU_ASSERT(!loads(p));
    p = params();
    p.page_table = 1;
    CU_ASSERT(!loads(p));
}

static void flip(long at)
{
    FILE *f = fopen(path, "r+b");
    fseek(f, at, SEEK_SET);
    int c = fgetc(f);
    fseek(f, at, SEEK_SET);
    fputc(c ^ 0x40, f);
    fclose(f);
}

static void damage_and_truncation_are_found(void)
{
    FILE *f = fopen(path, "rb");
    fseek(f, 0, SEEK_END);
    long bytes = ftell(f);
    fclose(f);
    for (long at = 0; at < 136; at += 13) { /* the head */
        flip(at);
        CU_ASSERT(!loads(params()));
        flip(at);
    }
    for (long at = 4096; at < bytes; at += bytes / 40) {
        flip(at);
        CU_ASSERT(!loads(params()));
        flip(at);
    }
    CU_ASSERT(loads(params()));
    for (long n = 0; n < bytes; n += bytes / 10) {
        CU_ASSERT_EQUAL(truncate(path, n), 0);
        CU_ASSERT(!loads(params()));
        CU_ASSERT_EQUAL(unlink(path), 0);
        CU_ASSERT(loads(params())); /* made again */
    }
    unlink(path);
}

UNIT_MAIN("mimicos/premap", UNIT(what_is_built_equals_faults_in_order_and_is_shared),
          UNIT(a_run_from_the_image_has_the_same_memory),
          UNIT(an_image_of_another_configuration_is_refused), UNIT(damage_and_truncation_are_found))
