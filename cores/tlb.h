/*
 * A TLB over one set-associative array. An entry maps one page of one size for one address space;
 * arrays that hold several sizes index each by that size's page number.
 *
 * Tag: asid << 48 | page number << 2 | size code. Payload: page base | TLB_W | TLB_D | TLB_X.
 */
#ifndef CORES_TLB_H
#define CORES_TLB_H

#include "memsys/sarray.h"
#include "mimicos/pte.h"

#define TLB_W UINT64_C(1) /* writable */
#define TLB_D UINT64_C(2) /* dirty bit known to be set */
#define TLB_X UINT64_C(4) /* executable */
#define TLB_FLAGS UINT64_C(7)

/* What a leaf entry allows. */
static inline uint64_t tlb_flags_of(uint64_t pte)
{
    return (pte & PTE_RW ? TLB_W : 0) | (pte & PTE_DIRTY ? TLB_D : 0) | (pte & PTE_NX ? 0 : TLB_X);
}

static inline struct sarray_cfg tlb_geometry(uint64_t entries, uint64_t ways, uint64_t repl,
                                             uint64_t seed)
{
    uint64_t w = entries == 0 ? 0 : ways == 0 ? entries : ways;
    return (struct sarray_cfg){.nsets = (uint32_t)(w ? entries / w : 0), .nways = (uint32_t)w,
                               .repl = (enum repl_kind)repl, .seed = seed};
}

static inline unsigned tlb_size_code(unsigned shift)
{
    return shift == PAGE_SHIFT ? 0 : shift == PAGE_SHIFT_2M ? 1 : 2;
}

static inline uint64_t tlb_tag(uint32_t asid, uint64_t vaddr, unsigned shift)
{
    return (uint64_t)asid << 48 | (vaddr >> shift) << 2 | tlb_size_code(shift);
}

/* The page number of a tag. */
static inline uint64_t tlb_page(uint64_t tag) { return tag << 16 >> 18; }

/* No entry of this size was ever filled: there is nothing to find. An array that is not there has none. */
static inline bool tlb_lacks_size(const struct sarray *a, unsigned shift)
{
    return (a->sizes >> tlb_size_code(shift) & 1) == 0;
}

static inline uint32_t tlb_set(const struct sarray *a, uint64_t vaddr, unsigned shift)
{
    return sarray_set_of(a, vaddr >> shift);
}

/* Payload of the entry for `vaddr`, or NULL; a hit counts as a use. */
static inline uint64_t *tlb_lookup(struct sarray *a, uint32_t asid, uint64_t vaddr, unsigned shift)
{
    if (tlb_lacks_size(a, shift))
        return NULL;
    return sarray_use(a, tlb_set(a, vaddr, shift), tlb_tag(asid, vaddr, shift));
}

/* The same without counting as a use. */
static inline uint64_t *tlb_peek(struct sarray *a, uint32_t asid, uint64_t vaddr, unsigned shift)
{
    if (tlb_lacks_size(a, shift))
        return NULL;
    uint32_t set = tlb_set(a, vaddr, shift);
    int way = sarray_find(a, set, tlb_tag(asid, vaddr, shift));
    return way < 0 ? NULL : sarray_data(a, set, (uint32_t)way);
}

/* `shift` is a constant where that pays. True: the entry in *old_out is gone for it. */
static inline __attribute__((always_inline)) bool tlb_replace(struct sarray *a, uint32_t asid, uint64_t vaddr,
                                                              const unsigned shift, uint64_t payload,
                                                              struct sarray_entry *old_out)
{
    if (a->nways == 0)
        return false;
    uint32_t set = tlb_set(a, vaddr, shift);
    uint64_t tag = tlb_tag(asid, vaddr, shift), *held = sarray_use(a, set, tag);
    if (held != NULL) {
        *held = payload;
        return false;
    }
    a->sizes |= UINT64_C(1) << tlb_size_code(shift);
    return sarray_replace(a, set, tag, payload, old_out);
}

static inline __attribute__((always_inline)) void tlb_fill(struct sarray *a, uint32_t asid, uint64_t vaddr,
                                                           const unsigned shift, uint64_t payload)
{
    struct sarray_entry old;
    tlb_replace(a, asid, vaddr, shift, payload, &old);
}

static inline void tlb_drop(struct sarray *a, uint32_t asid, uint64_t vaddr, unsigned shift)
{
    if (tlb_lacks_size(a, shift))
        return;
    uint32_t set = tlb_set(a, vaddr, shift);
    int way = sarray_find(a, set, tlb_tag(asid, vaddr, shift));
    if (way >= 0)
        sarray_invalidate(a, set, (uint32_t)way);
}

/* Drops every entry of the address space. */
void tlb_drop_asid(struct sarray *a, uint32_t asid);

#endif
