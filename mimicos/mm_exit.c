/*
 * The end of an address space: everything that it mapped goes, a 2 MiB region a step, and then the
 * table nodes that held nothing any more (madvise leaves such nodes behind).
 *
 * Each leaf is cleared and each node unlinked by a write of its own, as Linux does it
 * (mm/mmap.c: exit_mmap, mm/memory.c: unmap_vmas, free_pgtables); so the words of a freed node are 0
 * in every replica. Pages are freed together after the flush, where Linux frees them in batches
 * (mm/mmu_gather.c). Not modelled: the root node's change of hands; it stays with the space.
 */
#include "mimicos/mm.h"
#include "pdes/err.h"

#define NODES_A_STEP 64u

static uint64_t space_end(const struct mm *m)
{
    return radix_va_mask(mm_format(m)->levels) + 1;
}

void mm_exit(struct mm *m, uint32_t asid, struct mm_op *op)
{
    mm_op_init(op, asid);
    op->act[0] = MM_UNMAP;
    op->end[0] = space_end(m);
    op->nranges = 1;
    op->flush_end = space_end(m); /* all of it, however few pages there are */
    op->flush_leaf_bytes = PAGE_BYTES;
    mm_first_areas(m, asid);
}

/* Frees empty nodes from address op->to on; false: there are no more. */
static bool drop_empty_nodes(struct mm *m, struct krun *r, struct mm_op *op)
{
    struct mm_run run = {m, r, op};
    struct pt_store st = mm_store(&run);
    const struct pt_format *f = mm_format(m);
    paddr_t root = mm_root(m, op->asid);
    unsigned top = radix_level_shift(f->levels), nfreed = 0;
    while (op->to < space_end(m) && nfreed < NODES_A_STEP) {
        struct pt_entry e;
        f->lookup(f, &st, root, (vaddr_t){op->to}, &e);
        SIM_ASSERT(e.value == 0, "a page at %#llx outlives its address space", (unsigned long long)e.va);
        if (e.shift < top)
            nfreed += f->prune(f, &st, root, (vaddr_t){op->to});
        op->to = e.va + (UINT64_C(1) << e.shift);
    }
    return nfreed > 0;
}

bool mm_exit_step(struct mm *m, struct krun *r, struct mm_op *op, enum mm_result *result_out)
{
    return mm_op_step(m, r, op, result_out) || drop_empty_nodes(m, r, op);
}
