/*
 * x86-64 page-table entries and the radix arithmetic that walkers and the kernel share.
 *
 * Levels count from the root down: `levels` (4 or 5) at the root, 3 = 1 GiB, 2 = 2 MiB, 1 = 4 KiB.
 * An entry at level 3 or 2 with PTE_PS is a leaf; at level 1 every present entry is one. Addresses
 * are used modulo the width that `levels` cover (48 or 57 bits).
 * Source: Intel SDM volume 3, section 4.5; AMD64 APM volume 2, section 5.3.
 */
#ifndef MIMICOS_PTE_H
#define MIMICOS_PTE_H

#include "pdes/types.h"

#define PTE_PRESENT (UINT64_C(1) << 0)
#define PTE_RW (UINT64_C(1) << 1)
#define PTE_USER (UINT64_C(1) << 2)
#define PTE_ACCESSED (UINT64_C(1) << 5)
#define PTE_DIRTY (UINT64_C(1) << 6)
#define PTE_PS (UINT64_C(1) << 7)
/* Bits 9 to 11 are the software's. */
#define PTE_PROT_NONE (UINT64_C(1) << 9) /* PRESENT is off but the frame is still owned */
#define PTE_COW (UINT64_C(1) << 10)      /* private file page: the first write copies it */
#define PTE_STRAY (UINT64_C(1) << 11)    /* mapped by an access outside every VMA */
#define PTE_NX (UINT64_C(1) << 63)
#define PTE_PFN_MASK UINT64_C(0x000ffffffffff000)

#define RADIX_LEVEL_BITS 9u
#define RADIX_MAX_LEVELS 5u

/* log2 of the bytes that one entry of `level` covers: 12, 21, 30, 39, 48. */
static inline unsigned radix_level_shift(unsigned level)
{
    return PAGE_SHIFT + RADIX_LEVEL_BITS * (level - 1);
}

/* Bytes of virtual address that `levels` levels translate. */
static inline uint64_t radix_va_mask(unsigned levels)
{
    return (UINT64_C(1) << (PAGE_SHIFT + RADIX_LEVEL_BITS * levels)) - 1;
}

static inline unsigned radix_index(unsigned level, vaddr_t va)
{
    return (unsigned)(va.v >> radix_level_shift(level)) & 511u;
}

/* Where the entry for `va` stands in `table`, a node of `level` (levels = root ... 1 = last). */
static inline paddr_t radix_entry_paddr(unsigned levels, unsigned level, paddr_t table, vaddr_t va)
{
    (void)levels; /* every level has the same shape; here so that other shapes may differ */
    return (paddr_t){table.v + 8u * radix_index(level, va)};
}

static inline bool pte_present(uint64_t pte) { return (pte & PTE_PRESENT) != 0; }
/* Of a used entry (present, or PTE_PROT_NONE): does the walk end here? */
static inline bool pte_is_leaf(unsigned level, uint64_t pte)
{
    return level == 1 || (level <= 3 && (pte & PTE_PS) != 0);
}
/* First frame of a leaf. */
static inline pfn_t pte_pfn(uint64_t pte) { return (pfn_t){(pte & PTE_PFN_MASK) >> PAGE_SHIFT}; }
/* Next node of an entry that is not a leaf. */
static inline paddr_t pte_table(uint64_t pte) { return (paddr_t){pte & PTE_PFN_MASK}; }
static inline bool pte_writable(uint64_t pte) { return (pte & PTE_RW) != 0; }
static inline bool pte_executable(uint64_t pte) { return (pte & PTE_NX) == 0; }

/* The physical address that a leaf of `level` gives `va`. */
static inline paddr_t pte_paddr(unsigned level, uint64_t pte, vaddr_t va)
{
    uint64_t in_page = (UINT64_C(1) << radix_level_shift(level)) - 1;
    return (paddr_t){(pte & PTE_PFN_MASK & ~in_page) | (va.v & in_page)};
}

static inline uint64_t pte_make(pfn_t pfn, uint64_t flags)
{
    return (pfn.v << PAGE_SHIFT) | flags;
}
/* What an entry that points to a next node carries: all rights, decided at the leaf. */
#define PTE_TABLE_FLAGS (PTE_PRESENT | PTE_RW | PTE_USER | PTE_ACCESSED)

#endif
