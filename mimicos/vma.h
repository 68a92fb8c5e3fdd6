/*
 * Virtual memory areas of one address space: a sorted flat array of disjoint ranges.
 *
 * An area is born by mmap, brk or the initial map, is cut in two when part of it is unmapped or
 * gets other rights, and dies when its last page is unmapped. `id` numbers the mapping it came
 * from; the pieces of a cut area keep it. Neighbours of one mapping with equal rights are joined
 * again. All bounds are page-aligned (rounded outwards on entry).
 *
 * The array is bounded; VMA_FULL leaves the set unchanged and tells the caller to name the limit.
 * Not modelled: an interval or maple tree (its cost is in the price table), file offsets.
 */
#ifndef MIMICOS_VMA_H
#define MIMICOS_VMA_H

#include "pdes/types.h"

/* Attributes; protection bits are KPROT_*. */
enum vma_flag {
    VMA_FILE = 1,        /* else anonymous */
    VMA_SHARED = 2,      /* else private */
    VMA_GROWSDOWN = 4,   /* a stack */
    VMA_HUGEPAGE = 8,    /* madvise(MADV_HUGEPAGE) */
    VMA_NOHUGEPAGE = 16,
    VMA_HEAP = 32 /* made by brk */
};

struct vma {
    uint64_t start, end; /* [start, end) */
    uint32_t prot, flags;
    uint32_t id;
    uint32_t reserved;
};

struct vma_set {
    uint32_t n, cap, high_water;
    uint32_t reserved;
    struct vma v[];
};

enum vma_result {
    VMA_OK,
    VMA_FULL,  /* more areas than the set holds; nothing was changed */
    VMA_RANGE, /* empty, or wraps around; nothing was changed */
    VMA_NONE   /* nothing is mapped there */
};

size_t vma_set_bytes(uint32_t cap);
void vma_set_init(struct vma_set *s, uint32_t cap);

/* Index of the area that holds `addr`, or of the next one above it (n: none above). */
uint32_t vma_lower(const struct vma_set *s, uint64_t addr);
/* The area that holds `addr`; NULL: none. */
const struct vma *vma_find(const struct vma_set *s, uint64_t addr);
bool vma_overlaps(const struct vma_set *s, uint64_t start, uint64_t len);
/*
 * Is [start, end) covered by areas like the one that holds `start` (same rights and attributes, as
 * Linux would have merged them)?
 */
bool vma_covers(const struct vma_set *s, uint64_t start, uint64_t end);

/* mmap: whatever was in the range is replaced. */
enum vma_result vma_add(struct vma_set *s, uint64_t start, uint64_t len, uint32_t prot,
                        uint32_t flags, uint32_t id);
/* munmap. VMA_OK also when nothing was there. */
enum vma_result vma_remove(struct vma_set *s, uint64_t start, uint64_t len);
/* mprotect of what is mapped in the range. */
enum vma_result vma_protect(struct vma_set *s, uint64_t start, uint64_t len, uint32_t prot);
/* madvise: sets and clears attributes of what is mapped in the range. */
enum vma_result vma_advise(struct vma_set *s, uint64_t start, uint64_t len, uint32_t set,
                           uint32_t clear);
/*
 * mremap: the old range goes; the new one gets the attributes of the area at `old`. In place
 * (old == new) it grows or shrinks. VMA_NONE: nothing at `old`.
 */
enum vma_result vma_remap(struct vma_set *s, uint64_t old, uint64_t old_len, uint64_t new,
                          uint64_t new_len, uint32_t id);
/* Moves the start of the stack that begins at `start` down to `new_start`. */
enum vma_result vma_grow_down(struct vma_set *s, uint64_t start, uint64_t new_start);
/* brk: the heap ends at `new_end` instead of `old_end`. */
enum vma_result vma_brk(struct vma_set *s, uint64_t old_end, uint64_t new_end, uint32_t id);

/* Asserts order, bounds and disjointness. For tests. */
void vma_verify(const struct vma_set *s);

#endif
