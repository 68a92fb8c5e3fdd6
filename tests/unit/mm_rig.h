/* Memory management by plain calls, for several tests. */
#ifndef TESTS_MM_RIG_H
#define TESTS_MM_RIG_H

#include <stdlib.h>

#include "mimicos/kernel_call.h"
#include "mimicos/mm.h"
#include "tests/unit/unit.h"

#define PAGE UINT64_C(0x1000)
#define HUGE_PAGE UINT64_C(0x200000)
#define GIANT_PAGE UINT64_C(0x40000000)
#define RW (KPROT_READ | KPROT_WRITE)
#define ANON (KMAP_PRIVATE | KMAP_ANONYMOUS)

struct rig {
    struct mm *m;
    struct krun *r;
    struct mm_op op;
    struct mm_fault f;
};

/* Fields left 0 get small sizes. */
static struct rig rig_open(struct mm_config c)
{
    struct rig g = {.m = NULL};
    struct kcosts costs;
    for (unsigned i = 0; i < KOP_COUNT; i++)
        costs.fs[i] = (i + 1) * 10 * FS_PER_NS;
    if (c.frames.nframes == 0)
        c.frames.nframes = 16 * BUDDY_BLOCK_FRAMES;
    c.frames.nreserved = BUDDY_BLOCK_FRAMES;
    c.nspaces = 2;
    c.max_vmas = 64;
    c.max_nodes = 4096;
    c.stack_limit_bytes = 64 * PAGE;
    CU_ASSERT_PTR_NULL_FATAL(mm_config_error(&c));
    g.m = calloc(1, mm_bytes(&c));
    g.r = calloc(1, sizeof *g.r);
    krun_init(g.r, 0, &costs);
    CU_ASSERT_EQUAL_FATAL(mm_init(g.m, &c, g.r), MM_OK);
    return g;
}

static void rig_close(struct rig *g)
{
    mm_verify(g->m);
    free(g->m);
    free(g->r);
}

static void rig_free_op(struct rig *g)
{
    do
        krun_begin(g->r);
    while (!mm_op_free(g->m, g->r, &g->op));
}

static enum mm_fault_kind rig_touch(struct rig *g, uint64_t va, uint64_t flags)
{
    krun_begin(g->r);
    mm_fault(g->m, g->r, 0, (vaddr_t){va}, flags, &g->f, &g->op);
    krun_end(g->r);
    struct krun *served = malloc(sizeof *served); /* tests look at the fault's own run */
    *served = *g->r;
    rig_free_op(g);
    *g->r = *served;
    free(served);
    return g->f.kind;
}

static enum mm_result rig_call(struct rig *g, unsigned nr, uint64_t a1, uint64_t a2, uint64_t a3,
                               uint64_t a4, uint64_t a5)
{
    const uint64_t a[6] = {0, a1, a2, a3, a4, a5};
    enum mm_result step;
    krun_begin(g->r);
    enum mm_result res = mm_call(g->m, g->r, 0, nr, a, &g->op);
    krun_begin(g->r);
    while (res == MM_OK && mm_op_step(g->m, g->r, &g->op, &step)) {
        CU_ASSERT_EQUAL(step, MM_OK);
        krun_begin(g->r);
    }
    rig_free_op(g);
    mm_verify(g->m);
    return res;
}

static uint64_t rig_used(const struct rig *g) { return mm_buddy(g->m)->nused; }

static struct pt_entry rig_entry(struct rig *g, uint64_t va)
{
    struct mm_run run = {g->m, g->r, NULL};
    struct pt_store st = mm_store(&run);
    struct pt_entry e;
    mm_format(g->m)->lookup(mm_format(g->m), &st, mm_root(g->m, 0), (vaddr_t){va}, &e);
    return e;
}

static uint64_t rig_pfn(struct rig *g, uint64_t va) { return pte_pfn(rig_entry(g, va).value).v; }

#endif
