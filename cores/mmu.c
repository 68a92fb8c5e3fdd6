/* The list of MMU designs, and those that need no hooks. */
#include "cores/mmu.h"

const struct mmu_ops mmu_radix = {
    .name = "radix",
    .doc = "x86-64 radix tables behind two TLB levels, page-walk caches and a pool of walkers",
};

const struct mmu_ops mmu_ideal = {
    .name = "ideal",
    .doc = "every translation hits at no cost: the bound of what any design can gain; faults remain",
    .free_translation = true,
};

const struct mmu_ops *const mmu_table[MMU_COUNT] = {
#define X(name) &mmu_##name,
    MMU_LIST(X)
#undef X
};

const char *const mmu_names[] = {
#define X(name) #name,
    MMU_LIST(X)
#undef X
        NULL};

const char *const mmu_prefixes[] = {
#define X(name) "mmu." #name,
    MMU_LIST(X)
#undef X
        NULL};
