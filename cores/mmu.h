/*
 * MMU designs. A design supplies steps of the one translation flow in translate.c, never a copy of
 * it. Adding one: a row here, its hooks in a file of its own.
 */
#ifndef CORES_MMU_H
#define CORES_MMU_H

#include "pdes/types.h"

/* X(name): each has `const struct mmu_ops mmu_<name>`. */
#define MMU_LIST(X) \
    X(radix)        \
    X(ideal)

struct mmu_ops {
    const char *name;
    const char *doc;
    /*
     * Every translation hits at no cost: TLBs, walk caches and walkers are neither charged nor
     * counted. Page faults remain (the pages must come from somewhere).
     */
    bool free_translation;
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
extern const char *const mmu_names[]; /* NULL-terminated */

#endif
