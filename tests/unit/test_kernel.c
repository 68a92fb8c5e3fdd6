/*
 * Memory management by plain calls; then the kernel LP under the real engine, with scripted cores
 * that run one small program per thread and write down what they are told.
 */
#include "mimicos/kernel.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mimicos/ptmem.h"
#include "pdes/control.h"
#include "pdes/engine.h"
#include "tests/unit/unit.h"

#define NS FS_PER_NS
#define PAGE UINT64_C(0x1000)
#define HUGE_PAGE UINT64_C(0x200000)
#define RW (KPROT_READ | KPROT_WRITE)
#define VA_BASE (16 * HUGE_PAGE)
#define ANON (KMAP_PRIVATE | KMAP_ANONYMOUS)

/* Default costs, so that sums below follow the tables and not copies of numbers. */
static struct kernel_params default_params(void)
{
    struct kernel_params p;
    memset(&p, 0, sizeof p);
    p.memory_size = UINT64_C(64) << 20;
    p.reserved_size = UINT64_C(4) << 20;
    p.fault_around_size = PAGE;
    p.stack_limit_size = UINT64_C(8) << 20;
    p.flush_ceiling_pages = 33;
    p.kernel_to_core_fs = 30 * NS;
    p.ipi_fs = 500 * NS;
    p.max_vmas = 64;
    p.max_wakes = 100;
    p.scatter_piece_size = PAGE;
    for (unsigned i = 0; i < KOP_COUNT; i++)
        p.cost.fs[i] = (i + 1) * 10 * NS;
    return p;
}

/* ---- plain calls ----------------------------------------------------------------------------- */

struct bench {
    struct mm *m;
    struct krun *r;
    struct mm_op op;
    struct mm_fault f;
};

static struct bench open_mm(struct mm_config c)
{
    struct bench b;
    struct kernel_params p = default_params();
    memset(&b, 0, sizeof b);
    if (c.frames.nframes == 0)
        c.frames.nframes = 16 * BUDDY_BLOCK_FRAMES;
    c.frames.nreserved = BUDDY_BLOCK_FRAMES;
    c.nspaces = 1;
    c.max_vmas = 64;
    c.max_nodes = 256;
    c.stack_limit_bytes = 64 * PAGE;
    CU_ASSERT_PTR_NULL_FATAL(mm_config_error(&c));
    b.m = calloc(1, mm_bytes(&c));
    b.r = calloc(1, sizeof *b.r);
    krun_init(b.r, 0, &p.cost);
    CU_ASSERT_EQUAL_FATAL(mm_init(b.m, &c, b.r), MM_OK);
    return b;
}

static void close_mm(struct bench *b)
{
    mm_verify(b->m);
    free(b->m);
    free(b->r);
}

static enum mm_fault_kind touch(struct bench *b, uint64_t va, uint64_t flags)
{
    krun_begin(b->r);
    mm_fault(b->m, b->r, 0, (vaddr_t){va}, flags, &b->f, &b->op);
    krun_end(b->r);
    mm_op_free(b->m, b->r, &b->op);
    return b->f.kind;
}

static enum mm_result call(struct bench *b, unsigned nr, uint64_t a1, uint64_t a2, uint64_t a3,
                           uint64_t a4, uint64_t a5)
{
    const uint64_t a[6] = {0, a1, a2, a3, a4, a5};
    enum mm_result step;
    krun_begin(b->r);
    enum mm_result res = mm_call(b->m, b->r, 0, nr, a, &b->op);
    while (res == MM_OK && mm_op_step(b->m, b->r, &b->op, &step)) {
        CU_ASSERT_EQUAL(step, MM_OK);
        krun_begin(b->r);
    }
    mm_op_free(b->m, b->r, &b->op);
    mm_verify(b->m);
    return res;
}

static uint64_t used(const struct bench *b) { return mm_buddy(b->m)->nused; }

static struct pt_entry entry(struct bench *b, uint64_t va)
{
    struct mm_run run = {b->m, b->r, NULL};
    struct pt_store st = mm_store(&run);
    struct pt_entry e;
    mm_format(b->m)->lookup(mm_format(b->m), &st, mm_root(b->m, 0), (vaddr_t){va}, &e);
    return e;
}

static void one_touch_in_each_of_four_regions_takes_four_faults_and_8_mib(void)
{
    struct bench b = open_mm((struct mm_config){.thp = THP_ALWAYS});
    call(&b, KCALL_MMAP, 16 * HUGE_PAGE, 4 * HUGE_PAGE, RW, ANON, 1);
    uint64_t nodes = b.m->nnodes, before = used(&b);
    for (uint64_t i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(touch(&b, (16 + i) * HUGE_PAGE + 5, KF_WRITE), FAULT_ANON_2M);
    CU_ASSERT_EQUAL(used(&b) - before - (b.m->nnodes - nodes), 4 * 512);
    CU_ASSERT_EQUAL(touch(&b, 17 * HUGE_PAGE + 12345, KF_WRITE), FAULT_SPURIOUS);
    close_mm(&b);
}

static void without_huge_pages_a_region_takes_512_faults(void)
{
    struct bench b = open_mm((struct mm_config){.thp = THP_NEVER});
    call(&b, KCALL_MMAP, 16 * HUGE_PAGE, HUGE_PAGE, RW, ANON, 1);
    for (uint64_t i = 0; i < 512; i++)
        CU_ASSERT_EQUAL(touch(&b, 16 * HUGE_PAGE + i * PAGE, 0), FAULT_ANON_4K);
    CU_ASSERT_EQUAL(used(&b), 1024 + 512 + 4);
    CU_ASSERT_EQUAL(entry(&b, 16 * HUGE_PAGE).value & (PTE_ACCESSED | PTE_DIRTY), PTE_ACCESSED);
    CU_ASSERT_EQUAL(call(&b, KCALL_MUNMAP, 16 * HUGE_PAGE, HUGE_PAGE, 0, 0, 0), MM_OK);
    CU_ASSERT_EQUAL(used(&b), 1024 + 1);
    close_mm(&b);
}

static void a_huge_page_needs_coverage_and_advice(void)
{
    struct bench b = open_mm((struct mm_config){.thp = THP_MADVISE});
    call(&b, KCALL_MMAP, 16 * HUGE_PAGE, 3 * HUGE_PAGE - PAGE, RW, ANON, 1);
    CU_ASSERT_EQUAL(touch(&b, 16 * HUGE_PAGE, KF_WRITE), FAULT_ANON_4K);
    call(&b, KCALL_MADVISE, 16 * HUGE_PAGE, 3 * HUGE_PAGE - PAGE, KADV_HUGEPAGE, 0, 0);
    CU_ASSERT_EQUAL(touch(&b, 16 * HUGE_PAGE + PAGE, KF_WRITE), FAULT_ANON_4K);
    CU_ASSERT_EQUAL(touch(&b, 17 * HUGE_PAGE, KF_WRITE), FAULT_ANON_2M);
    CU_ASSERT_EQUAL(touch(&b, 18 * HUGE_PAGE, KF_WRITE), FAULT_ANON_4K);
    CU_ASSERT(!(b.f.missed >> 21 & 1));
    close_mm(&b);
}

static void without_a_free_block_the_fault_falls_back_to_4k(void)
{
    struct bench b = open_mm((struct mm_config){
        .thp = THP_ALWAYS, .frames = {.scatter_used_permille = 100, .scatter_regions_permille = 1000}});
    call(&b, KCALL_MMAP, 16 * HUGE_PAGE, HUGE_PAGE, RW, ANON, 1);
    CU_ASSERT_EQUAL(touch(&b, 16 * HUGE_PAGE, KF_WRITE), FAULT_ANON_4K);
    CU_ASSERT((b.f.missed >> 21 & 1));
    close_mm(&b);
}

static void unmapping_part_of_a_huge_page_splits_it(void)
{
    struct bench b = open_mm((struct mm_config){.thp = THP_ALWAYS});
    call(&b, KCALL_MMAP, 16 * HUGE_PAGE, HUGE_PAGE, RW, ANON, 1);
    touch(&b, 16 * HUGE_PAGE, KF_WRITE);
    uint64_t before = used(&b);
    call(&b, KCALL_MUNMAP, 16 * HUGE_PAGE + 4 * PAGE, 12 * PAGE, 0, 0, 0);
    CU_ASSERT_EQUAL(used(&b), before + 1 - 12);
    CU_ASSERT_EQUAL(entry(&b, 16 * HUGE_PAGE + 4 * PAGE).value, 0);
    CU_ASSERT_EQUAL(entry(&b, 16 * HUGE_PAGE + 3 * PAGE).shift, 12);
    CU_ASSERT_EQUAL(touch(&b, 16 * HUGE_PAGE + 3 * PAGE, KF_WRITE), FAULT_SPURIOUS);
    call(&b, KCALL_MUNMAP, 16 * HUGE_PAGE, HUGE_PAGE, 0, 0, 0);
    CU_ASSERT_EQUAL(used(&b), 1024 + 1);
    close_mm(&b);
}

static void a_private_file_page_is_copied_at_its_first_write(void)
{
    struct bench b = open_mm((struct mm_config){.fault_around_bytes = 16 * PAGE});
    call(&b, KCALL_MMAP, 100 * PAGE, 100 * PAGE, RW, KMAP_PRIVATE, 1);
    CU_ASSERT_EQUAL(touch(&b, 100 * PAGE, 0), FAULT_FILE);
    CU_ASSERT_EQUAL(b.f.npages, 12); /* pages 100 to 111 of the window 96 to 111 */
    pfn_t old = pte_pfn(entry(&b, 100 * PAGE).value);
    CU_ASSERT(!pte_writable(entry(&b, 100 * PAGE).value));
    CU_ASSERT_EQUAL(touch(&b, 100 * PAGE, KF_WRITE | KF_PRESENT), FAULT_COW);
    CU_ASSERT(pte_writable(entry(&b, 100 * PAGE).value));
    CU_ASSERT_NOT_EQUAL(pte_pfn(entry(&b, 100 * PAGE).value).v, old.v);
    CU_ASSERT_EQUAL(touch(&b, 150 * PAGE, KF_WRITE), FAULT_COW);
    CU_ASSERT_EQUAL(touch(&b, 150 * PAGE, KF_WRITE), FAULT_SPURIOUS);
    close_mm(&b);
}

static void protection_takes_effect_and_is_counted_when_broken(void)
{
    struct bench b = open_mm((struct mm_config){.thp = THP_NEVER});
    call(&b, KCALL_MMAP, 100 * PAGE, 10 * PAGE, RW, ANON, 1);
    touch(&b, 100 * PAGE, KF_WRITE);
    call(&b, KCALL_MPROTECT, 100 * PAGE, 10 * PAGE, KPROT_READ, 0, 0);
    CU_ASSERT(!pte_writable(entry(&b, 100 * PAGE).value));
    CU_ASSERT_EQUAL(b.op.flush_end - b.op.flush_start, PAGE);
    CU_ASSERT_EQUAL(touch(&b, 100 * PAGE, KF_WRITE | KF_PRESENT), FAULT_SEGV);
    CU_ASSERT(pte_writable(entry(&b, 100 * PAGE).value));
    call(&b, KCALL_MPROTECT, 100 * PAGE, 10 * PAGE, 0, 0, 0);
    CU_ASSERT(!pte_present(entry(&b, 100 * PAGE).value));
    call(&b, KCALL_MPROTECT, 100 * PAGE, 10 * PAGE, RW, 0, 0);
    CU_ASSERT(pte_present(entry(&b, 100 * PAGE).value));
    CU_ASSERT_EQUAL(touch(&b, 500 * PAGE, 0), FAULT_SEGV);
    CU_ASSERT_EQUAL(touch(&b, 500 * PAGE, KF_WRITE), FAULT_SPURIOUS);
    close_mm(&b);
}

static void a_touch_below_the_stack_extends_it_within_its_limit(void)
{
    struct bench b = open_mm((struct mm_config){.thp = THP_NEVER});
    call(&b, KCALL_MMAP, 1000 * PAGE, 4 * PAGE, RW, ANON | KMAP_GROWSDOWN, 1);
    CU_ASSERT_EQUAL(touch(&b, 990 * PAGE, KF_WRITE), FAULT_ANON_4K);
    CU_ASSERT(b.f.stack_grown);
    CU_ASSERT_EQUAL(touch(&b, 900 * PAGE, KF_WRITE), FAULT_SEGV);
    close_mm(&b);
}

static void mremap_moves_pages_with_their_frames(void)
{
    struct bench b = open_mm((struct mm_config){.thp = THP_ALWAYS});
    call(&b, KCALL_MMAP, 16 * HUGE_PAGE, 2 * HUGE_PAGE, RW, ANON, 1);
    touch(&b, 16 * HUGE_PAGE, KF_WRITE);
    touch(&b, 17 * HUGE_PAGE, KF_WRITE);
    uint64_t pfn = pte_pfn(entry(&b, 16 * HUGE_PAGE).value).v;
    CU_ASSERT_EQUAL(call(&b, KCALL_MREMAP, 16 * HUGE_PAGE, 2 * HUGE_PAGE, 40 * HUGE_PAGE,
                         3 * HUGE_PAGE, 1), MM_OK);
    CU_ASSERT_EQUAL(entry(&b, 16 * HUGE_PAGE).value, 0);
    CU_ASSERT_EQUAL(entry(&b, 40 * HUGE_PAGE).shift, 21);
    CU_ASSERT_EQUAL(pte_pfn(entry(&b, 40 * HUGE_PAGE).value).v, pfn);
    CU_ASSERT_EQUAL(call(&b, KCALL_MREMAP, 40 * HUGE_PAGE, 2 * HUGE_PAGE, 60 * HUGE_PAGE + 3 * PAGE,
                         2 * HUGE_PAGE, 1), MM_OK);
    for (uint64_t i = 0; i < 512; i += 37)
        CU_ASSERT_EQUAL(pte_pfn(entry(&b, 60 * HUGE_PAGE + (3 + i) * PAGE).value).v, pfn + i);
    CU_ASSERT_EQUAL(call(&b, KCALL_MUNMAP, 16 * HUGE_PAGE, 100 * HUGE_PAGE, 0, 0, 0), MM_OK);
    CU_ASSERT_EQUAL(used(&b), 1024 + 1);
    close_mm(&b);
}

static void a_poke_clears_the_accessed_bit_of_one_page_only(void)
{
    struct bench b = open_mm((struct mm_config){.thp = THP_NEVER});
    paddr_t pte;
    uint64_t value;
    CU_ASSERT(!mm_clear_accessed(b.m, 5, &pte, &value));
    call(&b, KCALL_MMAP, 16 * HUGE_PAGE, HUGE_PAGE, RW, ANON, 1);
    touch(&b, 16 * HUGE_PAGE, KF_WRITE);
    touch(&b, 16 * HUGE_PAGE + PAGE, KF_WRITE);
    unsigned nfound = 0;
    for (uint64_t slot = 0; slot < b.m->nnodes; slot++)
        nfound += mm_clear_accessed(b.m, slot, &pte, &value);
    CU_ASSERT_EQUAL(nfound, 1);
    CU_ASSERT_EQUAL(entry(&b, 16 * HUGE_PAGE).value, value);
    CU_ASSERT_EQUAL(entry(&b, 16 * HUGE_PAGE).paddr.v, pte.v);
    CU_ASSERT_EQUAL(value & (PTE_ACCESSED | PTE_DIRTY), PTE_DIRTY);
    CU_ASSERT(entry(&b, 16 * HUGE_PAGE + PAGE).value & PTE_ACCESSED);
    close_mm(&b);
}

static void running_out_of_frames_is_reported(void)
{
    struct bench b = open_mm((struct mm_config){.thp = THP_NEVER,
                                                .frames = {.nframes = 2 * BUDDY_BLOCK_FRAMES}});
    call(&b, KCALL_MMAP, HUGE_PAGE, 100 * HUGE_PAGE, RW, ANON, 1);
    uint64_t n = 0;
    while (touch(&b, HUGE_PAGE + n * PAGE, KF_WRITE) == FAULT_ANON_4K)
        n++;
    CU_ASSERT_EQUAL(b.f.kind, FAULT_NOMEM);
    CU_ASSERT_EQUAL(used(&b), 2048);
    close_mm(&b);
}

enum { PLAYGROUND = 6 * 512, NSTEPS = 1500 };
struct model_page {
    uint32_t in_area, prot;
    uint64_t pfn; /* 0: not mapped */
};

static uint64_t next_random(uint64_t *x)
{
    *x = *x * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return *x >> 33;
}

/* The model learns frames that a fault mapped, and checks everything else. */
static void compare(struct bench *b, struct model_page *map, uint64_t touched)
{
    uint64_t nmapped = 0, nwrong = 0;
    for (uint64_t i = 0; i < PLAYGROUND; i++) {
        struct pt_entry e = entry(b, VA_BASE + i * PAGE);
        uint64_t pfn = e.value == 0 ? 0 : pte_pfn(e.value).v + (e.shift == 21 ? i % 512 : 0);
        if (touched / 512 == i / 512 && map[i].pfn == 0)
            map[i].pfn = pfn;
        nwrong += map[i].pfn != pfn;
        nmapped += pfn != 0;
        if (pfn != 0)
            nwrong += pte_present(e.value) != (map[i].prot != 0) ||
                      pte_writable(e.value) != ((map[i].prot & KPROT_WRITE) != 0);
        const struct vma *v = vma_find(mm_vmas(b->m, 0), VA_BASE + i * PAGE);
        nwrong += (v != NULL) != (map[i].in_area != 0);
    }
    CU_ASSERT_EQUAL(nwrong, 0);
    CU_ASSERT_EQUAL(used(b), 1024 + b->m->nnodes + nmapped);
}

/* Distinct frames: each is owned by one page at most. */
static void check_frames_are_distinct(const struct model_page *map)
{
    static uint8_t seen[1 << 16];
    memset(seen, 0, sizeof seen);
    unsigned ntwice = 0;
    for (uint64_t i = 0; i < PLAYGROUND; i++)
        if (map[i].pfn != 0)
            ntwice += seen[map[i].pfn]++;
    CU_ASSERT_EQUAL(ntwice, 0);
}

static void leave(struct bench *b)
{
    enum mm_result res;
    mm_exit(b->m, 0, &b->op);
    do {
        krun_begin(b->r);
    } while (mm_exit_step(b->m, b->r, &b->op, &res));
    mm_op_free(b->m, b->r, &b->op);
    mm_verify(b->m);
}

static void an_address_space_ends_with_the_frames_that_it_began_with(void)
{
    struct bench b = open_mm((struct mm_config){.thp = THP_ALWAYS});
    uint64_t before = used(&b), root = mm_root(b.m, 0).v;
    CU_ASSERT_EQUAL(before, 1024 + 1);
    for (uint64_t pass = 0; pass < 50; pass++) {
        CU_ASSERT_EQUAL(call(&b, KCALL_MMAP, 16 * HUGE_PAGE, 4 * HUGE_PAGE, RW, ANON, 1), MM_OK);
        CU_ASSERT_EQUAL(call(&b, KCALL_MMAP, (pass << 39) + 7 * HUGE_PAGE, PAGE, RW, ANON, 2), MM_OK);
        CU_ASSERT_EQUAL(touch(&b, 16 * HUGE_PAGE, KF_WRITE), FAULT_ANON_2M);
        CU_ASSERT_EQUAL(touch(&b, (pass << 39) + 7 * HUGE_PAGE, KF_WRITE), FAULT_ANON_4K);
        CU_ASSERT_EQUAL(touch(&b, 3 * HUGE_PAGE, KF_WRITE), FAULT_SEGV); /* outside every area */
        leave(&b);
        CU_ASSERT_EQUAL(b.op.npages, 3);
        CU_ASSERT_EQUAL(used(&b), before);
        CU_ASSERT_EQUAL(b.m->nnodes, 1);
        CU_ASSERT_EQUAL(mm_vmas(b.m, 0)->n, 0);
        CU_ASSERT_EQUAL(mm_root(b.m, 0).v, root);
    }
    close_mm(&b);
}

static void nodes_that_madvise_left_empty_go_with_the_address_space(void)
{
    struct bench b = open_mm((struct mm_config){.thp = THP_NEVER});
    call(&b, KCALL_MMAP, 16 * HUGE_PAGE, 200 * HUGE_PAGE, RW, ANON, 1);
    for (uint64_t i = 0; i < 200; i++) /* a leaf node each, more than one step frees */
        touch(&b, (16 + i) * HUGE_PAGE, KF_WRITE);
    call(&b, KCALL_MADVISE, 16 * HUGE_PAGE, 200 * HUGE_PAGE, KADV_DONTNEED, 0, 0);
    CU_ASSERT_EQUAL(b.m->nnodes, 1 + 2 + 200);
    leave(&b);
    CU_ASSERT_EQUAL(b.m->nnodes, 1);
    CU_ASSERT_EQUAL(used(&b), 1024 + 1);
    close_mm(&b);
}

static void inferred_areas_are_there_again_after_the_end(void)
{
    struct bench b = open_mm((struct mm_config){.infer_vmas = true});
    for (int pass = 0; pass < 3; pass++) {
        CU_ASSERT_EQUAL(mm_vmas(b.m, 0)->n, 1);
        CU_ASSERT_EQUAL(touch(&b, 5 * HUGE_PAGE, KF_WRITE), FAULT_ANON_4K);
        leave(&b);
    }
    CU_ASSERT_EQUAL(used(&b), 1024 + 1);
    close_mm(&b);
}

static void random_calls_and_faults_agree_with_a_map_of_pages(void)
{
    struct bench b = open_mm((struct mm_config){.thp = THP_ALWAYS});
    static struct model_page map[PLAYGROUND], saved[PLAYGROUND];
    memset(map, 0, sizeof map);
    uint64_t x = 99;
    for (int step = 0; step < NSTEPS; step++) {
        uint64_t n = next_random(&x) % 3 ? 1 + next_random(&x) % 40 : 512 * (1 + next_random(&x) % 2);
        uint64_t at = next_random(&x) % (PLAYGROUND - n), to = next_random(&x) % (PLAYGROUND - n);
        if (next_random(&x) % 3 == 0) {
            at = at / 512 * 512;
            to = to / 512 * 512;
        }
        uint64_t touched = UINT64_MAX, va = VA_BASE + at * PAGE, len = n * PAGE;
        uint32_t prot = next_random(&x) % 4 ? RW : next_random(&x) % 2 ? KPROT_READ : 0;
        switch (next_random(&x) % 8) {
        case 0:
            CU_ASSERT_EQUAL(call(&b, KCALL_MMAP, va, len, prot, ANON, 1), MM_OK);
            for (uint64_t i = at; i < at + n; i++)
                map[i] = (struct model_page){1, prot, 0};
            break;
        case 1:
            CU_ASSERT_EQUAL(call(&b, KCALL_MUNMAP, va, len, 0, 0, 0), MM_OK);
            memset(&map[at], 0, n * sizeof map[0]);
            break;
        case 2:
            CU_ASSERT_EQUAL(call(&b, KCALL_MPROTECT, va, len, prot, 0, 0), MM_OK);
            for (uint64_t i = at; i < at + n; i++)
                map[i].prot = map[i].in_area ? prot : 0;
            break;
        case 3:
            CU_ASSERT_EQUAL(call(&b, KCALL_MADVISE, va, len, KADV_DONTNEED, 0, 0), MM_OK);
            for (uint64_t i = at; i < at + n; i++)
                map[i].pfn = 0;
            break;
        case 4:
            memcpy(saved, map, sizeof map);
            bool whole = true; /* as Linux: one area, and no overlap */
            for (uint64_t i = at; i < at + n; i++)
                whole &= map[i].in_area != 0 && map[i].prot == map[at].prot;
            if (!whole || (to < at + n && at < to + n))
                break;
            CU_ASSERT_EQUAL(call(&b, KCALL_MREMAP, va, len, VA_BASE + to * PAGE, len, 1), MM_OK);
            memset(&map[at], 0, n * sizeof map[0]);
            memcpy(&map[to], &saved[at], n * sizeof map[0]);
            break;
        default:
            if (map[at].in_area == 0 || map[at].prot == 0)
                break;
            touched = at;
            CU_ASSERT_EQUAL(touch(&b, va, map[at].prot == RW ? KF_WRITE : 0) == FAULT_SPURIOUS,
                            map[at].pfn != 0);
        }
        compare(&b, map, touched);
        check_frames_are_distinct(map);
    }
    CU_ASSERT_EQUAL(call(&b, KCALL_MUNMAP, VA_BASE, PLAYGROUND * PAGE, 0, 0, 0), MM_OK);
    close_mm(&b);
}

static void default_costs_reproduce_published_totals(void)
{
    /* X(name, key, default, text) once more, as femtoseconds. */
    struct kcosts c = {.fs = {0}};
    for (uint32_t i = 0; i < kernel_param_nrows; i++) {
        const struct param_desc *d = &kernel_param_rows[i];
        if (strncmp(d->name, "cost.", 5) != 0)
            continue;
        char *unit;
        double v = strtod(d->def, &unit);
        uint64_t fs = (uint64_t)(v * 1000) * (strcmp(unit, "us") == 0 ? FS_PER_US : FS_PER_NS) / 1000;
        CU_ASSERT(fs > 0);
        c.fs[(d->offset - offsetof(struct kernel_params, cost)) / 8] = fs;
    }
    struct bench b = open_mm((struct mm_config){.thp = THP_ALWAYS});
    b.r->costs = c;
    call(&b, KCALL_MMAP, HUGE_PAGE + PAGE, HUGE_PAGE, RW, ANON, 1);
    call(&b, KCALL_MMAP, 16 * HUGE_PAGE, HUGE_PAGE, RW, ANON, 1);
    touch(&b, HUGE_PAGE + PAGE, KF_WRITE);
    touch(&b, HUGE_PAGE + 2 * PAGE, KF_WRITE);
    CU_ASSERT(b.r->total_fs >= 500 * NS && b.r->total_fs <= 1000 * NS);
    touch(&b, 16 * HUGE_PAGE, KF_WRITE);
    CU_ASSERT(b.r->total_fs >= 60000 * NS && b.r->total_fs <= 230000 * NS);
    free(b.m);
    free(b.r);
}

/* ---- scripted cores under the engine --------------------------------------------------------- */

enum step_kind { S_FAULT, S_CALL, S_MARK, S_PASS, S_EXIT, S_WORK, S_AD };
struct step {
    enum step_kind kind;
    uint16_t call;
    uint64_t a[6]; /* S_WORK: ns; S_FAULT: va, flags; S_MARK: order; S_EXIT: wake */
};
#define WORK(ns) {S_WORK, 0, {ns}}
#define FAULT(va, flags) {S_FAULT, 0, {va, flags}}
#define CALL(nr, ...) {S_CALL, KCALL_##nr, {__VA_ARGS__}}
#define MARK(order) {S_MARK, 0, {order}}
#define PASS(order) {S_PASS, 0, {order}}
#define EXIT(wake) {S_EXIT, 0, {wake}}
#define EXIT_AFTER(ninstr, limited) {S_EXIT, limited, {0, ninstr}}

enum { MAX_THREADS = 4, MAX_CORES = 4, MAX_STEPS = 16, MAX_LOG = 4096 };
struct log_entry {
    simtime_t time;
    uint32_t core, thread;
    uint16_t type, flags;
    uint64_t a[4];
};

/* One machine at a time; what the cores see is common knowledge of the test. */
static struct {
    struct step prog[MAX_THREADS][MAX_STEPS];
    struct log_entry log[MAX_LOG];
    uint32_t nlog;
    simtime_t ack_delay; /* of cores other than 0 */
    struct ptmem *pt;
    struct kernel_params params;
    struct kernel_cfg cfg;
    struct kernel_stats stats;
    uint64_t frames_at_flush, used_at_end;
    struct lp *kernel;
    bool idle_ok;
    char waits[1024];
    struct program_stats program[MAX_THREADS]; /* of a mix */
    uint64_t nprograms_done;   /* as control knows */
} g;

struct fake_core {
    uint32_t thread, step, busy; /* busy: waits for the kernel */
    simtime_t act_at;
    uint64_t next_pos[4];
};

#define REQUEST_FS (33 * NS)

static void ask(struct lp *lp, uint16_t type, unsigned flags, const uint64_t *a)
{
    const struct fake_core *c = lp->state;
    lp_send(lp, 0, lp->now + REQUEST_FS, MSG_TYPE(type, flags), c->thread, a[0], a[1], a[2], a[3]);
}

static void do_step(struct lp *lp)
{
    struct fake_core *c = lp->state;
    const struct step *s = &g.prog[c->thread][c->step++];
    const uint64_t pos[4] = {c->step, 0, 0, 100 * (uint64_t)c->step};
    c->act_at = SIM_NEVER;
    c->busy = 1;
    switch (s->kind) {
    case S_FAULT:
        ask(lp, K_FAULT, 0, s->a);
        break;
    case S_CALL:
        ask(lp, K_POS, 0, pos);
        if (s->a[4] != 0 || s->a[5] != 0)
            ask(lp, K_CALL_MORE, 0, (const uint64_t[4]){s->a[4], s->a[5]});
        ask(lp, K_CALL, s->call, s->a);
        break;
    case S_MARK:
        ask(lp, K_POS, 0, pos);
        ask(lp, K_MARK, 1, s->a);
        break;
    case S_EXIT:
        ask(lp, K_POS, 0, pos);
        ask(lp, K_EXIT, s->call, s->a);
        break;
    case S_PASS:
        ask(lp, K_MARK, 0, s->a);
        c->act_at = lp->now + 1;
        c->busy = 0;
        break;
    case S_AD:
        ask(lp, K_AD, 0, s->a);
        c->act_at = lp->now + 1;
        c->busy = 0;
        break;
    case S_WORK:
        c->act_at = lp->now + s->a[0] * NS;
        c->busy = 0;
    }
}

static void fake_start(struct lp *lp)
{
    struct fake_core *c = lp->state;
    *c = (struct fake_core){.busy = 1, .act_at = SIM_NEVER};
}

static void fake_handle(struct lp *lp, const struct msg *m)
{
    struct fake_core *c = lp->state;
    CU_ASSERT_FATAL(g.nlog < MAX_LOG);
    g.log[g.nlog++] = (struct log_entry){m->time, lp->instance, m->arg, m->type, m->flags,
                                         {m->a[0], m->a[1], m->a[2], m->a[3]}};
    switch (m->type) {
    case K_RESUME:
        CU_ASSERT(c->busy && m->arg == c->thread);
        c->busy = 0;
        c->act_at = lp->now;
        break;
    case K_SWITCH_POS:
        memcpy(c->next_pos, m->a, sizeof m->a);
        break;
    case K_SWITCH:
        CU_ASSERT_EQUAL(c->busy, 1);
        c->busy = 0;
        c->thread = m->arg;
        c->step = (uint32_t)c->next_pos[0];
        c->act_at = lp->now;
        break;
    case K_SHOOTDOWN:
        g.frames_at_flush = mm_buddy(kernel_mm(g.kernel->state))->nused;
        lp_send(lp, 0, lp->now + REQUEST_FS + (lp->instance != 0 ? g.ack_delay : 0), K_FLUSHED, 0,
                m->a[3], 0, 0, 0);
        break;
    default:
        break;
    }
}

static simtime_t fake_advance(struct lp *lp, simtime_t until)
{
    struct fake_core *c = lp->state;
    while (c->act_at < until) {
        lp->now = c->act_at;
        do_step(lp);
    }
    return c->act_at;
}

static const struct lp_ops fake_core_ops = {
    .name = "core", .start = fake_start, .handle = fake_handle, .advance = fake_advance};

static void on_mirror(void *ctx, const struct mirror_write *w)
{
    (void)ctx;
    ptmem_write(g.pt, w);
}
static bool on_epoch(void *ctx, uint64_t epoch, simtime_t end)
{
    (void)ctx;
    (void)end;
    return epoch > 100000;
}
static bool on_idle(void *ctx)
{
    (void)ctx;
    return true;
}

static void set_up(uint32_t ncores, uint32_t nthreads)
{
    memset(&g, 0, sizeof g);
    g.params = default_params();
    g.cfg = (struct kernel_cfg){.params = &g.params, .ncores = ncores, .nthreads = nthreads,
                                .nprocesses = 1, .first_core = 1, .mirror_latency_fs = 40 * NS};
    CU_ASSERT_EQUAL(ptmem_create(&g.pt), ERR_OK);
}

static uint64_t run_cut(uint64_t cut_seed)
{
    struct engine *e = NULL;
    struct engine_config ec = {.epoch_fs = 1000 * FS_PER_US, .mirror_latency_fs = g.cfg.mirror_latency_fs,
                               .cut_seed = cut_seed};
    struct engine_hooks hooks = {.mirror = on_mirror, .epoch = on_epoch, .idle = on_idle};
    CU_ASSERT_EQUAL_FATAL(engine_create(&ec, &hooks, transport_self(), &e), ERR_OK);
    uint32_t core_cls = engine_add_class(e, "core"), kernel_cls = engine_add_class(e, "kernel");
    engine_add_edge(e, core_cls, kernel_cls, REQUEST_FS);
    engine_add_edge(e, kernel_cls, core_cls, g.params.kernel_to_core_fs);
    lpid_t id = 0;
    CU_ASSERT_PTR_NULL_FATAL(kernel_cfg_error(&g.cfg));
    engine_add_lp(e, &kernel_lp_ops, kernel_cls, 0, &g.cfg, kernel_state_bytes(&g.cfg), 0, &id);
    for (uint32_t i = 0; i < g.cfg.ncores; i++)
        engine_add_lp(e, &fake_core_ops, core_cls, i, NULL, sizeof(struct fake_core), 0, &id);
    struct control_cfg control = {.nthreads = g.cfg.nthreads, .nprograms = g.cfg.nprocesses};
    if (g.cfg.mix) {
        uint32_t control_cls = engine_add_class(e, "control");
        engine_add_edge(e, kernel_cls, control_cls, g.cfg.control_latency_fs);
        engine_add_lp(e, &control_lp_ops, control_cls, 0, &control, control_state_bytes(&control), 0,
                      &g.cfg.control_lp);
    }
    g.kernel = engine_lp(e, 0);
    CU_ASSERT_EQUAL(engine_run(e), ERR_OK);
    uint64_t row[sizeof(struct kernel_stats) / 8];
    kernel_lp_ops.stats(g.kernel, row);
    memcpy(&g.stats, row, sizeof row);
    kernel_lp_ops.describe(g.kernel, g.waits, sizeof g.waits);
    for (uint32_t i = 0; i < g.cfg.nprocesses && i < MAX_THREADS; i++)
        g.program[i] = kernel_program(g.kernel->state, i)->stats;
    if (g.cfg.mix)
        g.nprograms_done = ((const struct control_state *)engine_lp(e, g.cfg.control_lp)->state)->nprograms_done;
    if (g.waits[0] == '\0')
        kernel_lp_ops.check(g.kernel);
    uint64_t digest = engine_digest(e);
    engine_destroy(e);
    return digest;
}

static void run(void)
{
    run_cut(0);
    CU_ASSERT_EQUAL(g.stats.frames_used[0] + g.stats.frames_free[0],
                    g.params.memory_size >> PAGE_SHIFT);
}

static void tear_down(void) { ptmem_destroy(g.pt); }

static void program(uint32_t thread, const struct step *steps, size_t n)
{
    CU_ASSERT_FATAL(n <= MAX_STEPS);
    memcpy(g.prog[thread], steps, n * sizeof steps[0]);
}
#define PROGRAM(thread, ...)                                                              \
    program(thread, (const struct step[]){__VA_ARGS__},                                   \
            sizeof((const struct step[]){__VA_ARGS__}) / sizeof(struct step))

/* The nth (from 0) message of `type` to `core`; fails the test if there is none. */
static const struct log_entry *told(uint32_t core, uint16_t type, unsigned nth)
{
    for (uint32_t i = 0; i < g.nlog; i++)
        if (g.log[i].core == core && g.log[i].type == type && nth-- == 0)
            return &g.log[i];
    CU_FAIL_FATAL("no such message");
    return NULL;
}

static unsigned count_told(uint32_t core, uint16_t type)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < g.nlog; i++)
        n += g.log[i].core == core && g.log[i].type == type;
    return n;
}

static simtime_t c_of(enum kop op) { return g.params.cost.fs[op]; }

/* Walks the replica as a core would; 0: not mapped at that time. */
static uint64_t walk(uint64_t va, simtime_t t)
{
    const struct log_entry *s = told(0, K_SWITCH, 0);
    paddr_t table = {s->a[1]};
    for (unsigned level = (unsigned)s->a[2]; level > 0; level--) {
        uint64_t pte = ptmem_read(g.pt, radix_entry_paddr(4, level, table, (vaddr_t){va}), t);
        if (!pte_present(pte) || pte_is_leaf(level, pte))
            return pte_present(pte) ? pte : 0;
        table = pte_table(pte);
    }
    return 0;
}

#define VA (16 * HUGE_PAGE)
#define MMAP(order, va, len) CALL(MMAP, order, va, len, RW, ANON, 1)

static void a_4k_fault_is_answered_after_the_exact_sum_of_its_costs(void)
{
    set_up(1, 1);
    PROGRAM(0, MMAP(0, VA, HUGE_PAGE), FAULT(VA, KF_WRITE), FAULT(VA + PAGE, KF_WRITE), EXIT(0));
    run();
    const struct log_entry *first = told(0, K_RESUME, 1), *second = told(0, K_RESUME, 2);
    simtime_t sum = c_of(KOP_ENTRY) + c_of(KOP_VMA_LOOKUP) + c_of(KOP_ALLOC_ORDER0) +
                    c_of(KOP_ACCOUNT) + 4 * c_of(KOP_ZERO_KIB) + c_of(KOP_PTE_WRITE) +
                    c_of(KOP_EXIT);
    CU_ASSERT_EQUAL(second->time - first->time, REQUEST_FS + sum + g.params.kernel_to_core_fs);
    simtime_t nodes = 3 * (c_of(KOP_ALLOC_ORDER0) + c_of(KOP_TABLE_ALLOC) + 4 * c_of(KOP_ZERO_KIB) +
                           c_of(KOP_PTE_WRITE));
    CU_ASSERT_EQUAL(first->time - told(0, K_RESUME, 0)->time,
                    REQUEST_FS + sum + nodes + g.params.kernel_to_core_fs);
    CU_ASSERT_EQUAL(g.stats.faults_anon_4k[0], 2);
    CU_ASSERT_EQUAL(g.stats.zeroed_bytes[0], 5 * PAGE);
    CU_ASSERT_EQUAL(g.stats.requests[0], 4);
    CU_ASSERT_EQUAL(g.stats.answers[0], 4);
    CU_ASSERT(walk(VA + PAGE, second->time) & PTE_DIRTY);
    CU_ASSERT_EQUAL(walk(VA + PAGE, first->time), 0);
    tear_down();
}

static void segments_arrive_back_to_back_and_end_before_the_answer(void)
{
    set_up(1, 1);
    PROGRAM(0, MMAP(0, VA, HUGE_PAGE), FAULT(VA, KF_WRITE), EXIT(0));
    run();
    simtime_t at = 0, from = told(0, K_RESUME, 0)->time, to = told(0, K_RESUME, 1)->time;
    for (uint32_t i = 0; i < g.nlog; i++) {
        const struct log_entry *l = &g.log[i];
        if (l->type != K_SEG || l->time <= from || l->time > to)
            continue;
        if (at != 0)
            CU_ASSERT_EQUAL(l->time, at);
        CU_ASSERT(l->a[2] > 0);
        at = l->time + l->a[2];
    }
    CU_ASSERT_EQUAL(at, to);
    tear_down();
}

static void an_answer_waits_until_its_writes_are_visible(void)
{
    set_up(1, 1);
    g.cfg.mirror_latency_fs = 7777 * NS;
    PROGRAM(0, MMAP(0, VA, HUGE_PAGE), FAULT(VA, KF_WRITE), EXIT(0));
    run();
    const struct log_entry *answer = told(0, K_RESUME, 1);
    const struct mirror_write *leaf = ptmem_log_at(g.pt, ptmem_log_end(g.pt) - 1);
    CU_ASSERT_EQUAL(answer->time, leaf->time);
    CU_ASSERT_NOT_EQUAL(walk(VA, answer->time), 0);
    CU_ASSERT_EQUAL(walk(VA, answer->time - 1), 0);
    tear_down();
}

static void a_huge_fault_is_one_answer_with_its_flag(void)
{
    set_up(1, 1);
    g.params.thp = THP_ALWAYS;
    PROGRAM(0, MMAP(0, VA, HUGE_PAGE), FAULT(VA + 5 * PAGE, KF_WRITE), EXIT(0));
    run();
    CU_ASSERT_EQUAL(told(0, K_RESUME, 1)->a[0], KR_HUGE);
    CU_ASSERT(walk(VA, SIM_NEVER - 1) & PTE_PS);
    CU_ASSERT_EQUAL(g.stats.faults_anon_2m[0], 1);
    tear_down();
}

/* Both threads fault at the same time; `other` is what the second one touches. */
static void two_faults(uint64_t other)
{
    set_up(2, 2);
    g.cfg.all_start = true;
    PROGRAM(0, MMAP(0, VA, 4 * HUGE_PAGE), FAULT(VA + HUGE_PAGE - PAGE, 0), WORK(20000),
            FAULT(VA, KF_WRITE), EXIT(0));
    PROGRAM(1, WORK(10000), FAULT(VA + 2 * HUGE_PAGE, 0), WORK(1), FAULT(other, KF_WRITE), EXIT(0));
    /* thread 1's last fault leaves when thread 0's last one does */
    run();
    simtime_t t0 = told(0, K_RESUME, 1)->time + 20000 * NS;
    simtime_t t1 = told(1, K_RESUME, 0)->time;
    tear_down();
    set_up(2, 2);
    g.cfg.all_start = true;
    PROGRAM(0, MMAP(0, VA, 4 * HUGE_PAGE), FAULT(VA + HUGE_PAGE - PAGE, 0), WORK(20000),
            FAULT(VA, KF_WRITE), EXIT(0));
    PROGRAM(1, WORK(10000), FAULT(VA + 2 * HUGE_PAGE, 0), WORK((t0 - t1) / NS),
            FAULT(other, KF_WRITE), EXIT(0));
    run();
}

static void faults_of_one_region_serialise(void)
{
    two_faults(VA + PAGE);
    simtime_t a = told(0, K_RESUME, 2)->time, b = told(1, K_RESUME, 1)->time;
    simtime_t sum = c_of(KOP_ENTRY) + c_of(KOP_VMA_LOOKUP) + c_of(KOP_ALLOC_ORDER0) +
                    c_of(KOP_ACCOUNT) + 4 * c_of(KOP_ZERO_KIB) + c_of(KOP_PTE_WRITE) +
                    c_of(KOP_EXIT);
    CU_ASSERT_EQUAL(b - a, sum);
    CU_ASSERT_EQUAL(g.stats.lock_waits[0], 1);
    CU_ASSERT_EQUAL(g.stats.lock_wait_ns[0], sum / NS);
    tear_down();
}

static void faults_of_two_regions_do_not_wait_for_each_other(void)
{
    two_faults(VA + 2 * HUGE_PAGE + PAGE);
    CU_ASSERT_EQUAL(told(0, K_RESUME, 2)->time, told(1, K_RESUME, 1)->time);
    CU_ASSERT_EQUAL(g.stats.lock_waits[0], 0);
    tear_down();
}

static void the_second_of_two_faults_on_a_page_is_spurious_and_sees_it(void)
{
    two_faults(VA);
    const struct log_entry *b = told(1, K_RESUME, 1);
    CU_ASSERT_EQUAL(b->a[0], KR_SPURIOUS);
    CU_ASSERT_NOT_EQUAL(walk(VA, b->time), 0);
    CU_ASSERT_EQUAL(g.stats.faults_spurious[0], 1);
    tear_down();
}

static void frames_are_freed_only_after_the_last_acknowledgement(void)
{
    set_up(2, 2);
    g.cfg.all_start = true;
    g.ack_delay = 50000 * NS;
    PROGRAM(0, MMAP(1, VA, HUGE_PAGE), FAULT(VA, KF_WRITE), CALL(MUNMAP, 2, VA, HUGE_PAGE), EXIT(0));
    PROGRAM(1, MARK(1), PASS(2), WORK(200000), EXIT(0));
    run();
    const struct log_entry *flush = told(1, K_SHOOTDOWN, 0);
    CU_ASSERT_EQUAL(flush->a[0], VA);
    CU_ASSERT_EQUAL(flush->a[1], PAGE);
    CU_ASSERT_EQUAL(flush->thread, c_of(KOP_SHOOTDOWN_REMOTE) / NS); /* arg: time stolen */
    CU_ASSERT_EQUAL(walk(VA, flush->time), 0);
    simtime_t resumed = told(0, K_RESUME, 2)->time;
    CU_ASSERT_EQUAL(resumed, flush->time + g.ack_delay + REQUEST_FS + 4 * c_of(KOP_FREE_FRAME) +
                                 c_of(KOP_SYSCALL_EXIT) +
                                 g.params.kernel_to_core_fs);
    CU_ASSERT_EQUAL(g.frames_at_flush, 1024 + 1 + 3 + 1);
    CU_ASSERT_EQUAL(g.stats.frames_used[0], 1024 + 1);
    CU_ASSERT_EQUAL(g.stats.shootdown_cores[0], 1);
    tear_down();
}

static void an_idle_core_is_flushed_once_and_not_interrupted(void)
{
    set_up(2, 2);
    g.cfg.all_start = true;
    PROGRAM(0, MMAP(1, VA, HUGE_PAGE), FAULT(VA, KF_WRITE), WORK(100000),
            CALL(MADVISE, 2, VA, PAGE, KADV_DONTNEED), FAULT(VA, KF_WRITE),
            CALL(MADVISE, 3, VA, PAGE, KADV_DONTNEED), EXIT(0));
    PROGRAM(1, EXIT(0));
    run();
    CU_ASSERT_EQUAL(count_told(0, K_SHOOTDOWN), 2);
    CU_ASSERT_EQUAL(told(0, K_SHOOTDOWN, 1)->a[1], PAGE);
    CU_ASSERT_EQUAL(count_told(1, K_SHOOTDOWN), 1);
    CU_ASSERT_EQUAL(told(1, K_SHOOTDOWN, 0)->a[1], 0);
    CU_ASSERT_EQUAL(told(1, K_SHOOTDOWN, 0)->thread, 0);
    CU_ASSERT_EQUAL(g.stats.shootdown_lazy[0], 1);
    CU_ASSERT_EQUAL(g.stats.shootdown_cores[0], 0);
    tear_down();
}

static void processes_share_neither_pages_nor_orders_nor_flushes(void)
{
    static const uint32_t space_of[] = {0, 0, 1, 1};
    set_up(2, 4);
    g.cfg.nprocesses = 2;
    g.cfg.space_of_thread = space_of;
    PROGRAM(0, MMAP(1, VA, HUGE_PAGE), FAULT(VA, KF_WRITE), CALL(MUNMAP, 2, VA, HUGE_PAGE), EXIT(0));
    PROGRAM(2, MMAP(1, VA, HUGE_PAGE), FAULT(VA, KF_WRITE), CALL(THREAD_CREATE, 1),
            CALL(FUTEX_WAIT, 0x1000, 1), EXIT(0));
    PROGRAM(3, FAULT(VA + PAGE, 0), EXIT(1));
    run();
    CU_ASSERT_NOT_EQUAL(told(0, K_SWITCH, 0)->a[1], told(1, K_SWITCH, 0)->a[1]);
    CU_ASSERT_EQUAL(told(1, K_SWITCH, 0)->a[0], 1);
    for (unsigned i = 0; i < count_told(1, K_SHOOTDOWN); i++)
        CU_ASSERT_EQUAL(told(1, K_SHOOTDOWN, i)->a[2], 1);
    CU_ASSERT_EQUAL(g.stats.faults_anon_4k[0], 3);
    CU_ASSERT_EQUAL(g.stats.faults_segv[0], 0);
    CU_ASSERT_EQUAL(g.stats.threads_exited[0], 3);
    CU_ASSERT_EQUAL(g.stats.frames_used[0], 1024 + 1 + 4 + 2);
    tear_down();
}

static void a_wake_before_its_wait_is_remembered(void)
{
    set_up(2, 2);
    g.cfg.all_start = true;
    PROGRAM(0, CALL(FUTEX_WAKE, 0x1000, 7, 1), EXIT(0));
    PROGRAM(1, WORK(50000), CALL(FUTEX_WAIT, 0x1000, 7), EXIT(0));
    run();
    CU_ASSERT_EQUAL(g.stats.futex_passed[0], 1);
    CU_ASSERT_EQUAL(g.stats.futex_blocked[0], 0);
    CU_ASSERT_EQUAL(count_told(1, K_RESUME), 1);
    tear_down();
}

static void a_sleeper_goes_on_where_it_was_after_its_wake(void)
{
    set_up(2, 2);
    g.cfg.all_start = true;
    PROGRAM(0, WORK(50000), CALL(FUTEX_WAKE, 0x1000, 7, 1), EXIT(0));
    PROGRAM(1, CALL(FUTEX_WAIT, 0x1000, 7), CALL(SYSCALL, 1), EXIT(0));
    run();
    CU_ASSERT_EQUAL(g.stats.futex_blocked[0], 1);
    CU_ASSERT_EQUAL(g.stats.syscalls[0], 1);
    CU_ASSERT_EQUAL(told(1, K_SWITCH_POS, 1)->a[0], 1);
    const struct log_entry *wake_up = told(1, K_SEG, 1);
    CU_ASSERT_EQUAL(wake_up->a[2],
                    c_of(KOP_IDLE_WAKE) + c_of(KOP_CONTEXT_SWITCH) + c_of(KOP_SYSCALL_EXIT));
    CU_ASSERT_EQUAL(told(1, K_SWITCH, 1)->time, wake_up->time + wake_up->a[2]);
    CU_ASSERT(told(1, K_SWITCH, 1)->time > told(1, K_IDLE, 0)->time);
    CU_ASSERT_EQUAL(g.stats.threads_exited[0], 2);
    tear_down();
}

static void threads_share_a_core_and_join(void)
{
    set_up(1, 3);
    PROGRAM(0, CALL(THREAD_CREATE, 1), CALL(THREAD_CREATE, 2), CALL(FUTEX_WAIT, 1, 1),
            CALL(FUTEX_WAIT, 2, 2), EXIT(0));
    PROGRAM(1, WORK(1000), EXIT(1));
    PROGRAM(2, WORK(1000), EXIT(2));
    run();
    CU_ASSERT_EQUAL(g.stats.threads_exited[0], 3);
    CU_ASSERT_EQUAL(g.stats.threads_created[0], 2);
    CU_ASSERT_EQUAL(count_told(0, K_IDLE), 1);
    CU_ASSERT_EQUAL(told(0, K_SWITCH, 1)->thread, 1);
    CU_ASSERT_EQUAL(told(0, K_SWITCH, 2)->thread, 2);
    tear_down();
}

static void map_events_run_in_recorded_order(void)
{
    set_up(2, 2);
    g.cfg.all_start = true;
    PROGRAM(0, MMAP(2, VA + HUGE_PAGE, HUGE_PAGE), EXIT(0));
    PROGRAM(1, WORK(30000), MMAP(1, VA, HUGE_PAGE), EXIT(0));
    run();
    CU_ASSERT(told(0, K_RESUME, 0)->time > told(1, K_RESUME, 0)->time);
    CU_ASSERT_EQUAL(told(0, K_RESUME, 0)->a[1], 2);
    CU_ASSERT_EQUAL(g.stats.order_waits[0], 1);
    tear_down();
}

static void an_unmapping_waits_until_the_others_have_passed(void)
{
    set_up(2, 2);
    g.cfg.all_start = true;
    PROGRAM(0, MMAP(1, VA, HUGE_PAGE), CALL(MUNMAP, 2, VA, HUGE_PAGE), EXIT(0));
    PROGRAM(1, MARK(1), FAULT(VA, KF_WRITE), WORK(100000), MARK(2), EXIT(0));
    run();
    CU_ASSERT_EQUAL(g.stats.faults_segv[0], 0);
    CU_ASSERT_EQUAL(g.stats.faults_anon_4k[0], 1);
    CU_ASSERT(told(0, K_RESUME, 1)->time > 100000 * NS);
    CU_ASSERT(told(1, K_RESUME, 2)->time > told(0, K_RESUME, 1)->time - 1000 * NS);
    CU_ASSERT_EQUAL(g.stats.frames_used[0], 1024 + 1);
    tear_down();
}

static void waiting_threads_give_up_a_core_that_others_need(void)
{
    set_up(1, 2);
    g.cfg.all_start = true;
    PROGRAM(0, MARK(1), FAULT(VA, KF_WRITE), MARK(3), EXIT(0));
    PROGRAM(1, MMAP(1, VA, HUGE_PAGE), CALL(MUNMAP, 2, VA, HUGE_PAGE), MMAP(3, VA, PAGE), EXIT(0));
    run();
    CU_ASSERT_STRING_EQUAL(g.waits, "");
    CU_ASSERT_EQUAL(g.stats.threads_exited[0], 2);
    CU_ASSERT_EQUAL(g.stats.faults_segv[0], 0);
    CU_ASSERT_EQUAL(g.stats.map_mmap[0], 2);
    CU_ASSERT_EQUAL(g.stats.map_munmap[0], 1);
    tear_down();
}

static void a_missing_event_names_who_waits_for_what(void)
{
    set_up(2, 2);
    g.cfg.all_start = true;
    PROGRAM(0, MARK(5), EXIT(0));
    PROGRAM(1, CALL(FUTEX_WAIT, 0x1000, 9), EXIT(0));
    run();
    CU_ASSERT_STRING_EQUAL(g.waits, "thread 0 waits for map event 5 (executed: up to 0); "
                                    "thread 1 waits for futex wake 9");
    tear_down();
}

static void accessed_and_dirty_bits_reach_the_replica(void)
{
    set_up(1, 1);
    PROGRAM(0, MMAP(0, VA, HUGE_PAGE), FAULT(VA, 0), EXIT(0));
    run();
    paddr_t leaf = {0};
    for (uint64_t i = 0; i < ptmem_log_end(g.pt); i++)
        leaf = ptmem_log_at(g.pt, i)->addr; /* the last write is the leaf */
    tear_down();
    set_up(1, 1);
    PROGRAM(0, MMAP(0, VA, HUGE_PAGE), FAULT(VA, 0), {S_AD, 0, {leaf.v, PTE_DIRTY}},
            {S_AD, 0, {leaf.v + 8, PTE_DIRTY}}, {S_AD, 0, {0x123450, PTE_DIRTY}}, EXIT(0));
    run();
    CU_ASSERT(walk(VA, SIM_NEVER - 1) & PTE_DIRTY);
    CU_ASSERT_EQUAL(g.stats.ad_updates[0], 1);
    CU_ASSERT_EQUAL(g.stats.ad_stale[0], 2);
    tear_down();
}

static void busy_programs(void)
{
    set_up(3, 4);
    g.params.thp = THP_ALWAYS;
    PROGRAM(0, MMAP(1, VA, 4 * HUGE_PAGE), CALL(THREAD_CREATE, 1), CALL(THREAD_CREATE, 2),
            CALL(THREAD_CREATE, 3), FAULT(VA, KF_WRITE), FAULT(VA + HUGE_PAGE, KF_WRITE),
            CALL(FUTEX_WAIT, 1, 1), CALL(MUNMAP, 3, VA + HUGE_PAGE + PAGE, 20 * PAGE),
            CALL(FUTEX_WAIT, 2, 2), CALL(FUTEX_WAIT, 3, 3), EXIT(0));
    PROGRAM(1, MARK(1), FAULT(VA + 2 * HUGE_PAGE, KF_WRITE), FAULT(VA + PAGE, 0),
            CALL(MPROTECT, 2, VA, HUGE_PAGE, KPROT_READ), WORK(3000), EXIT(1));
    PROGRAM(2, MARK(1), FAULT(VA + PAGE, KF_WRITE), MARK(2), WORK(5000), FAULT(VA + 5, 0), MARK(4),
            FAULT(VA + 50 * HUGE_PAGE, 0), EXIT(2));
    PROGRAM(3, WORK(100), MARK(1), FAULT(VA + 3 * HUGE_PAGE, 0), MARK(3),
            CALL(MREMAP, 4, VA + 2 * HUGE_PAGE, HUGE_PAGE, 90 * HUGE_PAGE, HUGE_PAGE, 1),
            CALL(SYSCALL, 0, 10, 0, 0, 0x1000, 4096), EXIT(3));
}

static void cutting_windows_at_random_changes_nothing(void)
{
    busy_programs();
    uint64_t want = run_cut(0);
    CU_ASSERT_STRING_EQUAL(g.waits, "");
    CU_ASSERT_EQUAL(g.stats.threads_exited[0], 4);
    struct kernel_stats st = g.stats;
    tear_down();
    for (uint64_t seed = 1; seed <= 20; seed++) {
        busy_programs();
        CU_ASSERT_EQUAL(run_cut(seed), want);
        CU_ASSERT_EQUAL(memcmp(&st, &g.stats, sizeof st), 0);
        tear_down();
    }
}

/* ---- programs that begin anew ---------------------------------------------------------------- */

static void set_up_mix(uint32_t ncores, uint32_t nthreads, const uint32_t *space_of, uint32_t nprograms)
{
    set_up(ncores, nthreads);
    g.cfg.mix = true;
    g.cfg.nprocesses = nprograms;
    g.cfg.space_of_thread = space_of;
    g.cfg.control_latency_fs = 1000 * NS;
}

static void a_program_begins_anew_after_exactly_the_price_of_its_exit_and_exec(void)
{
    static const uint32_t space_of[] = {0, 1};
    set_up_mix(2, 2, space_of, 2);
    PROGRAM(0, MMAP(1, VA, HUGE_PAGE), FAULT(VA, KF_WRITE), EXIT_AFTER(700, 0));
    PROGRAM(1, WORK(15000), EXIT_AFTER(5, 0));
    run();
    simtime_t ended = told(0, K_IDLE, 0)->time - g.params.kernel_to_core_fs;
    CU_ASSERT_EQUAL(g.program[0].first_end_fs, ended);
    /* The switch; the old process; its one leaf and three nodes; the flush's way there and back, the
     * cleared entries visible first; four frames freed; the new program. */
    simtime_t cleared = ended + c_of(KOP_IDLE_WAKE) + c_of(KOP_CONTEXT_SWITCH) + c_of(KOP_PROCESS_EXIT) +
                        4 * c_of(KOP_PTE_WRITE) + 3 * c_of(KOP_TABLE_FREE) + c_of(KOP_MUNMAP_PAGE);
    const struct log_entry *flush = told(0, K_SHOOTDOWN, 0);
    CU_ASSERT_EQUAL(flush->a[1], 0); /* the whole space */
    CU_ASSERT(flush->time >= cleared + g.params.kernel_to_core_fs && flush->time <= cleared + 40 * NS);
    simtime_t acked = u64_max(flush->time + REQUEST_FS, cleared + c_of(KOP_FLUSH_LOCAL));
    CU_ASSERT_EQUAL(told(0, K_SWITCH, 1)->time,
                    acked + 4 * c_of(KOP_FREE_FRAME) + c_of(KOP_EXEC) + g.params.kernel_to_core_fs);
    CU_ASSERT_EQUAL(told(0, K_SWITCH, 1)->a[3], 0); /* no map event is done yet */
    CU_ASSERT_EQUAL(told(0, K_SWITCH_POS, 1)->a[0], 0);
    tear_down();
}

static void programs_begin_anew_until_each_has_ended_once_and_frames_stay(void)
{
    static const uint32_t space_of[] = {0, 1};
    for (uint32_t ncores = 1; ncores <= 2; ncores++) {
        set_up_mix(ncores, 2, space_of, 2);
        /* On one core program 1 runs between the two passes of program 0; the second was due already. */
        PROGRAM(0, MMAP(1, VA, HUGE_PAGE), FAULT(VA, KF_WRITE), WORK(1000), EXIT_AFTER(700, 0));
        PROGRAM(1, MMAP(1, VA, HUGE_PAGE), FAULT(VA + PAGE, KF_WRITE), WORK(100000), EXIT_AFTER(9, 0));
        run();
        const struct program_stats *p = g.program;
        CU_ASSERT(ncores == 1 ? p[0].passes == 2 : p[0].passes > 10);
        CU_ASSERT_EQUAL(p[1].passes, 1);
        CU_ASSERT_EQUAL(p[1].restarts, 0);
        CU_ASSERT_EQUAL(p[0].pass_instructions, 700 * p[0].passes);
        CU_ASSERT_EQUAL(p[0].first_instructions, 700);
        CU_ASSERT_EQUAL(p[1].first_instructions, 9);
        CU_ASSERT_EQUAL(p[0].freed_pages, p[0].restarts);
        CU_ASSERT_EQUAL(g.stats.faults_segv[0], 0);
        CU_ASSERT_EQUAL(g.stats.map_mmap[0], 2 + p[0].restarts);
        CU_ASSERT_EQUAL(g.nprograms_done, 2);
        /* Roots, and what the last pass of each has: a page and three nodes. */
        CU_ASSERT_EQUAL(g.stats.frames_used[0], 1024 + 2 + 2 * 4);
        tear_down();
    }
}

static void a_pass_ends_when_all_left_wait_for_a_thread_that_its_limit_stopped(void)
{
    static const uint32_t space_of[] = {0, 0, 0, 1};
    set_up_mix(4, 4, space_of, 2);
    /* Thread 1 sleeps for a wake and thread 2 for a map event that thread 0, stopped, never brings. */
    PROGRAM(0, CALL(THREAD_CREATE, 1), CALL(THREAD_CREATE, 2), WORK(30000), EXIT_AFTER(500, 1));
    PROGRAM(1, CALL(FUTEX_WAIT, 0x1000, 1), EXIT(0));
    PROGRAM(2, MARK(1), EXIT(0));
    PROGRAM(3, WORK(50000), EXIT_AFTER(1, 0));
    run();
    CU_ASSERT_EQUAL(g.program[0].passes, 2); /* the second had begun when program 1 ended */
    CU_ASSERT_EQUAL(g.program[0].threads_limited, 2);
    CU_ASSERT_EQUAL(g.program[0].threads_killed, 4);
    CU_ASSERT_EQUAL(g.program[0].first_instructions, 500 + 100 + 100);
    CU_ASSERT_EQUAL(g.program[0].restarts, 1);
    CU_ASSERT_EQUAL(g.stats.threads_created[0], 4);
    tear_down();
}

static void a_thread_that_can_still_be_woken_keeps_the_pass_going(void)
{
    static const uint32_t space_of[] = {0, 0, 1};
    set_up_mix(3, 3, space_of, 2);
    /* Thread 0 is stopped; thread 1, which it had woken, works on: the pass ends with it. */
    PROGRAM(0, CALL(THREAD_CREATE, 1), WORK(25000), CALL(FUTEX_WAKE, 0x1000, 1, 1), EXIT_AFTER(500, 1));
    PROGRAM(1, CALL(FUTEX_WAIT, 0x1000, 1), WORK(10000), EXIT_AFTER(40, 0));
    PROGRAM(2, WORK(1000), EXIT_AFTER(1, 0));
    run();
    CU_ASSERT(g.program[0].first_end_fs > 35000 * NS);
    CU_ASSERT_EQUAL(g.program[0].threads_killed, 0);
    CU_ASSERT_EQUAL(g.program[0].first_instructions, 540);
    CU_ASSERT(g.program[1].passes > 1);
    tear_down();
}

static void all_threads_of_a_built_in_workload_begin_with_each_pass(void)
{
    static const uint32_t space_of[] = {0, 0, 1};
    static const bool all_start[] = {true, false};
    set_up_mix(2, 3, space_of, 2); /* one core too few */
    g.cfg.all_start_of = all_start;
    PROGRAM(0, MMAP(1, VA, HUGE_PAGE), EXIT_AFTER(10, 0));
    PROGRAM(1, MARK(1), FAULT(VA, KF_WRITE), EXIT_AFTER(20, 0));
    PROGRAM(2, WORK(30000), EXIT_AFTER(1, 0));
    run();
    CU_ASSERT(g.program[0].passes > 2);
    CU_ASSERT_EQUAL(g.program[0].pass_instructions, 30 * g.program[0].passes);
    CU_ASSERT_EQUAL(g.stats.faults_segv[0], 0);
    CU_ASSERT_STRING_EQUAL(g.waits, "");
    tear_down();
}

static void a_program_of_which_nobody_can_go_on_stops_the_run_and_says_why(void)
{
    static const uint32_t space_of[] = {0, 0, 1};
    int out[2];
    char text[1024];
    size_t n = 0;
    CU_ASSERT_EQUAL_FATAL(pipe(out), 0);
    fflush(NULL);
    pid_t pid = fork();
    CU_ASSERT_FATAL(pid >= 0);
    if (pid == 0) {
        dup2(out[1], 2);
        set_up_mix(3, 3, space_of, 2);
        PROGRAM(0, CALL(THREAD_CREATE, 1), CALL(FUTEX_WAIT, 0x1000, 7), EXIT(0));
        PROGRAM(1, WORK(20000), MARK(9), EXIT(0));
        PROGRAM(2, WORK(1000), EXIT(0)); /* would start anew for ever */
        run();
        _exit(0);
    }
    close(out[1]);
    for (ssize_t got; n + 1 < sizeof text && (got = read(out[0], text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = '\0';
    close(out[0]);
    int status = 0;
    waitpid(pid, &status, 0);
    CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "none of the 2 threads left of program 0 can go on"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "thread 0 waits for futex wake 7"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "thread 1 waits for map event 9"));
}

static void restarts_are_the_same_however_windows_are_cut(void)
{
    static const uint32_t space_of[] = {0, 0, 1, 2};
    uint64_t want = 0;
    for (uint64_t seed = 0; seed <= 20; seed++) {
        set_up_mix(2, 4, space_of, 3);
        PROGRAM(0, MMAP(1, VA, HUGE_PAGE), CALL(THREAD_CREATE, 1), FAULT(VA, KF_WRITE), WORK(2000),
                CALL(FUTEX_WAIT, 1, 1), EXIT_AFTER(3, 0));
        PROGRAM(1, MARK(1), FAULT(VA, 0), FAULT(VA + PAGE, 0), WORK(900), EXIT(1));
        PROGRAM(2, MMAP(1, VA, HUGE_PAGE), FAULT(VA, 0), WORK(3000), EXIT_AFTER(4, 0));
        PROGRAM(3, MMAP(1, VA, HUGE_PAGE), FAULT(VA, 0), WORK(70000), EXIT_AFTER(5, 0));
        uint64_t digest = run_cut(seed);
        want = seed == 0 ? digest : want;
        CU_ASSERT_EQUAL(digest, want);
        CU_ASSERT(g.program[0].passes >= 2);
        tear_down();
    }
}

UNIT_MAIN("mimicos/kernel",
          UNIT(one_touch_in_each_of_four_regions_takes_four_faults_and_8_mib),
          UNIT(without_huge_pages_a_region_takes_512_faults),
          UNIT(a_huge_page_needs_coverage_and_advice),
          UNIT(without_a_free_block_the_fault_falls_back_to_4k),
          UNIT(unmapping_part_of_a_huge_page_splits_it),
          UNIT(a_private_file_page_is_copied_at_its_first_write),
          UNIT(protection_takes_effect_and_is_counted_when_broken),
          UNIT(a_touch_below_the_stack_extends_it_within_its_limit),
          UNIT(a_poke_clears_the_accessed_bit_of_one_page_only),
          UNIT(mremap_moves_pages_with_their_frames), UNIT(running_out_of_frames_is_reported),
          UNIT(random_calls_and_faults_agree_with_a_map_of_pages),
          UNIT(default_costs_reproduce_published_totals),
          UNIT(a_4k_fault_is_answered_after_the_exact_sum_of_its_costs),
          UNIT(segments_arrive_back_to_back_and_end_before_the_answer),
          UNIT(an_answer_waits_until_its_writes_are_visible),
          UNIT(a_huge_fault_is_one_answer_with_its_flag), UNIT(faults_of_one_region_serialise),
          UNIT(faults_of_two_regions_do_not_wait_for_each_other),
          UNIT(the_second_of_two_faults_on_a_page_is_spurious_and_sees_it),
          UNIT(frames_are_freed_only_after_the_last_acknowledgement),
          UNIT(an_idle_core_is_flushed_once_and_not_interrupted),
          UNIT(processes_share_neither_pages_nor_orders_nor_flushes),
          UNIT(a_wake_before_its_wait_is_remembered),
          UNIT(a_sleeper_goes_on_where_it_was_after_its_wake), UNIT(threads_share_a_core_and_join),
          UNIT(map_events_run_in_recorded_order),
          UNIT(an_unmapping_waits_until_the_others_have_passed),
          UNIT(waiting_threads_give_up_a_core_that_others_need),
          UNIT(a_missing_event_names_who_waits_for_what),
          UNIT(accessed_and_dirty_bits_reach_the_replica),
          UNIT(cutting_windows_at_random_changes_nothing),
          UNIT(an_address_space_ends_with_the_frames_that_it_began_with),
          UNIT(nodes_that_madvise_left_empty_go_with_the_address_space),
          UNIT(inferred_areas_are_there_again_after_the_end),
          UNIT(a_program_begins_anew_after_exactly_the_price_of_its_exit_and_exec),
          UNIT(programs_begin_anew_until_each_has_ended_once_and_frames_stay),
          UNIT(a_pass_ends_when_all_left_wait_for_a_thread_that_its_limit_stopped),
          UNIT(a_thread_that_can_still_be_woken_keeps_the_pass_going),
          UNIT(all_threads_of_a_built_in_workload_begin_with_each_pass),
          UNIT(a_program_of_which_nobody_can_go_on_stops_the_run_and_says_why),
          UNIT(restarts_are_the_same_however_windows_are_cut))
