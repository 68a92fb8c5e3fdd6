/*
 * Physical frames: a binary buddy allocator like Linux's, orders 0 (4 KiB) to 10 (4 MiB).
 *
 * A free block of 2^k frames is merged with its buddy (pfn ^ 2^k) when that one is free too.
 * Memory starts as `nblocks` blocks of order 10 that were never handed out ("virgin"); they are
 * carved from low to high addresses when the free lists hold nothing large enough, so host memory
 * is touched only for simulated memory in use. In the scattered state each block holds pages that
 * are occupied for good; where they are is a pure function of (seed, block), so all counts are
 * exact from the start although the blocks are carved later.
 *
 * A pool of 1 GiB pages ("giants") may be set aside at boot, as hugetlbfs does: the highest aligned
 * runs of the memory, before anything is scattered. Its frames count as used, free giants too, since
 * nothing else can have them. A giant that is split leaves the pool for good.
 *
 * Invariant: nused + nfree == nframes after every call. Not modelled: zones, migrate types, per-CPU
 * lists and watermarks.
 *
 * Sources: Linux mm/page_alloc.c (splitting, merging), mm/vmstat.c (fragmentation indices).
 */
#ifndef MIMICOS_BUDDY_H
#define MIMICOS_BUDDY_H

#include "pdes/types.h"

#define BUDDY_MAX_ORDER 10u
#define BUDDY_NORDERS (BUDDY_MAX_ORDER + 1u)
#define BUDDY_BLOCK_FRAMES (UINT64_C(1) << BUDDY_MAX_ORDER)
#define BUDDY_BLOCK_BYTES (BUDDY_BLOCK_FRAMES * PAGE_BYTES)
#define BUDDY_HUGE_ORDER 9u
#define BUDDY_GIANT_ORDER 18u
#define BUDDY_GIANT_FRAMES (UINT64_C(1) << BUDDY_GIANT_ORDER)

struct buddy_config {
    uint64_t nframes;         /* a multiple of BUDDY_BLOCK_FRAMES */
    uint64_t nreserved;       /* first frames that are never handed out; multiple of a block */
    uint64_t seed;
    uint64_t ngiants; /* 1 GiB pages set aside */
    /* Scattered state: this share of all frames beyond the reserved ones is occupied for good... */
    uint64_t scatter_used_permille;
    /* ...within this share of the 2 MiB regions (the others stay whole)... */
    uint64_t scatter_regions_permille;
    /* ...in aligned pieces of 2^order frames, 0 to 8. */
    uint64_t scatter_order;
};

/* Everything but the frame records, which follow the struct in the same block. Flat. */
struct buddy {
    struct buddy_config cfg;
    uint64_t nfree, nused;
    uint64_t nallocs, nfrees, nsplits, nmerges, nfailed;
    uint32_t head[BUDDY_NORDERS];  /* pfn + 1 of the first free block; 0: none */
    uint64_t nblocks[BUDDY_NORDERS];        /* free blocks in lists */
    uint64_t nvirgin_blocks[BUDDY_NORDERS]; /* free blocks that carving the rest would give */
    uint64_t next_virgin, end_virgin;       /* order-10 blocks not yet carved */
    uint64_t npieces, nbroken; /* scattered state: occupied pieces; regions that hold some */
    uint64_t pool_first, pool_end; /* order-10 blocks of the pool; equal: none */
    uint64_t npool_free;
    uint32_t pool_head; /* pfn + 1 of a free giant; 0: none */
    uint32_t reserved;
};

enum buddy_result { BUDDY_OK, BUDDY_NOMEM };

/* NULL, or what is wrong with the configuration. */
const char *buddy_config_error(const struct buddy_config *cfg);
/* Bytes of the whole block. Records of memory never used are never touched. */
size_t buddy_bytes(const struct buddy_config *cfg);
/* `b` points to buddy_bytes() zeroed bytes. */
void buddy_init(struct buddy *b, const struct buddy_config *cfg);

/* `nsplits_out` (may be NULL): halvings that it took. BUDDY_NOMEM: no block of that order. */
enum buddy_result buddy_alloc(struct buddy *b, unsigned order, pfn_t *pfn_out,
                              unsigned *nsplits_out);
/* A 1 GiB page of the pool, lowest first at the start. BUDDY_NOMEM: none is free. */
enum buddy_result buddy_alloc_giant(struct buddy *b, pfn_t *pfn_out);
/* Frees an allocated block by its first frame; asserts that it is one. Returns its order. */
unsigned buddy_free(struct buddy *b, pfn_t pfn);
/* Turns one allocated block into allocated single frames; a giant into blocks of order 9. */
void buddy_split_allocated(struct buddy *b, pfn_t pfn);
/* The reverse: 2^order allocated single frames, the first one aligned, become one block. */
void buddy_join_allocated(struct buddy *b, pfn_t pfn, unsigned order);
/* Is `pfn` the first frame of an allocated block, and of which order? */
bool buddy_is_allocated(const struct buddy *b, pfn_t pfn, unsigned *order_out);

/* Two words that the owner of an allocated block may use; zero at allocation. */
uint32_t *buddy_owner_link(struct buddy *b, pfn_t pfn);
uint32_t *buddy_owner_tag(struct buddy *b, pfn_t pfn);

/* Free blocks of one order, uncarved memory included. */
uint64_t buddy_free_blocks(const struct buddy *b, unsigned order);
/* Share of free memory that lies in blocks too small for `order`, in 1/1000; 0 if nothing is free. */
uint64_t buddy_unusable_permille(const struct buddy *b, unsigned order);
/*
 * Linux's external fragmentation index for `order`: -1000 when a block is available, 0 when nothing
 * is free, else towards 1000 the more the failure is due to fragmentation.
 */
int64_t buddy_extfrag_index(const struct buddy *b, unsigned order);
/* Walks all lists and records; asserts counts, no overlap, no unmerged buddies. For tests. */
void buddy_verify(const struct buddy *b);

#endif
