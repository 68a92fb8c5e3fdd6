/*
 * MMU designs. A design supplies steps of the one translation flow in translate.c, never a copy of
 * it. Adding one: a file with its `const struct mmu_ops mmu_<name>`, and its row in MMU_LIST.
 *
 * Life of a design's state: `state_bytes` of the core's flat state belong to it (no pointers in it);
 * `init` once; then, all at the core's touch clock and in program order,
 *
 *   probe    after each STLB miss, before a walker is asked for: looks the address up in the design's
 *            own structure. What it takes is charged, hit or miss. A hit fills the STLB and the L1 TLB
 *            as a walk would, and there is no walk;
 *   walked   after each walk that found a translation, with the leaf entry that it read;
 *   flush    when translations go (shootdown, page fault, end of an address space).
 *
 * A NULL hook is the default: nothing behind the STLB. Accessed and dirty bits, rights, faults, what a
 * hit before the filling walk's end has to wait for, statistics and the event log are the flow's
 * business, not the design's.
 */
#ifndef CORES_MMU_H
#define CORES_MMU_H

#include "mimicos/pte.h"
#include "mimicos/ptmem.h"
#include "pdes/desc.h"

/* X(name): each has `const struct mmu_ops mmu_<name>`. */
#define MMU_LIST(X) \
    X(radix)        \
    X(ideal)        \
    X(l3tlb)

#define MMU_NPARAMS 8u

/* A translation. */
struct mmu_page {
    uint64_t base;  /* physical address of the page */
    uint64_t flags; /* TLB_W, TLB_D, TLB_X of tlb.h */
    uint64_t ready; /* cycle from which it can be used; 0: at once */
    unsigned shift; /* log2 of the page's bytes: 12, 21 or 30 */
};

/* What a hook works on. */
struct mmu_view {
    void *state;
    const uint64_t *params; /* of the rows, in their order */
    const struct ptmem *ptmem;
    simtime_t now;
    uint32_t asid;
};

/*
 * A page-table entry at a physical address, as visible now. Costs nothing: only for entries of a
 * line that a walk has just read.
 */
static inline uint64_t mmu_read_entry(const struct mmu_view *v, uint64_t entry_paddr)
{
    return ptmem_read(v->ptmem, (paddr_t){entry_paddr}, v->now);
}

struct mmu_ops {
    const char *name;
    const char *doc;
    /* Keys "mmu.<name>.<row>"; row i has .offset = i * sizeof(uint64_t). At most MMU_NPARAMS. */
    const struct param_desc *rows;
    uint32_t nrows;
    /*
     * Every translation hits at no cost: TLBs, walk caches and walkers are neither charged nor
     * counted. Page faults remain (the pages must come from somewhere).
     */
    bool free_translation;
    size_t (*state_bytes)(const uint64_t *params);
    void (*init)(void *state, const uint64_t *params, uint64_t seed);
    /* *cycles_out (set before the call to 0) is charged in any case; true: found, in *page_out. */
    bool (*probe)(const struct mmu_view *v, uint64_t vaddr, struct mmu_page *page_out, uint64_t *cycles_out);
    void (*walked)(const struct mmu_view *v, uint64_t vaddr, const struct mmu_page *page, uint64_t entry_paddr);
    /* Of v->asid: all that overlaps [vaddr, vaddr + bytes); bytes 0: everything. */
    void (*flush)(const struct mmu_view *v, uint64_t vaddr, uint64_t bytes);
};

enum mmu_kind {
#define X(name) MMU_##name,
    MMU_LIST(X)
#undef X
        MMU_COUNT
};

#define X(name) extern const struct mmu_ops mmu_##name;
MMU_LIST(X)
#undef X

extern const struct mmu_ops *const mmu_table[MMU_COUNT];
extern const char *const mmu_names[];    /* NULL-terminated */
extern const char *const mmu_prefixes[]; /* "mmu.<name>", in the same order */

#endif
