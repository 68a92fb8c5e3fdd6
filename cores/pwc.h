/*
 * Page-walk caches: one array per interior level, tagged by the virtual-address prefix that leads to
 * the entry. A walk probes all levels in parallel and starts below the longest prefix found. Leaf
 * entries, 2 MiB and 1 GiB ones included, are never held here: they belong in the TLBs.
 *
 * Array i holds entries of level 2 + i: PD, PDPT, PML4, PML5. Payload: the next node's address.
 * Source: Barr, Cox, Rixner, "Translation caching: skip, don't walk (the page table)", ISCA 2010;
 * Intel SDM volume 3, section 4.10.3.
 */
#ifndef CORES_PWC_H
#define CORES_PWC_H

#include "memsys/sarray.h"
#include "mimicos/pte.h"

#define PWC_NARRAYS 4u
#define PWC_FIRST_LEVEL 2u

static inline uint64_t pwc_tag(uint32_t asid, uint64_t vaddr, unsigned level)
{
    return (uint64_t)asid << 48 | vaddr >> radix_level_shift(level);
}

/*
 * Level of the deepest cached interior entry for `vaddr` and the node it points to; 0: none.
 * arrays[i] may be NULL or without ways.
 */
static inline unsigned pwc_probe(struct sarray *const arrays[PWC_NARRAYS], unsigned levels,
                                 uint32_t asid, uint64_t vaddr, uint64_t *table_out)
{
    for (unsigned level = PWC_FIRST_LEVEL; level <= levels; level++) {
        struct sarray *a = arrays[level - PWC_FIRST_LEVEL];
        uint64_t tag = pwc_tag(asid, vaddr, level);
        const uint64_t *table = sarray_use(a, sarray_set_of(a, tag), tag);
        if (table != NULL) {
            *table_out = *table;
            return level;
        }
    }
    return 0;
}

/* `absent`: the array is known to have nothing for it. */
static inline void pwc_fill(struct sarray *a, uint32_t asid, uint64_t vaddr, unsigned level, uint64_t table, bool absent)
{
    if (a->nways == 0)
        return;
    uint64_t tag = pwc_tag(asid, vaddr, level);
    uint32_t set = sarray_set_of(a, tag);
    int way = absent ? -1 : sarray_find(a, set, tag);
    struct sarray_entry old;
    if (way < 0)
        sarray_replace(a, set, tag, table, &old);
    else
        *sarray_data(a, set, (uint32_t)way) = table;
}

/* Drops every entry whose prefix overlaps [vaddr, vaddr + bytes) of the address space. */
void pwc_drop_range(struct sarray *a, unsigned level, uint32_t asid, uint64_t vaddr, uint64_t bytes);

#endif
