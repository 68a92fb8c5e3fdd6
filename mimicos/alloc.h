/*
 * Allocation policies: which page size and which frames back an anonymous page.
 *
 * A policy is a row of ALLOC_LIST: a file with the functions below and one line. The kernel decides
 * what is legal (which sizes fit area, advice and page table) and does all the rest: clearing,
 * mapping, accounting, statistics. The policy only chooses.
 *
 * Life of a policy's state: `state_bytes` zeroed bytes at the start, then `init`. At each fault of an
 * anonymous page, and for each page that os.premap builds, in address order, `page`. When a page was
 * unmapped and no core can use it any more, `keep`, once for each frame or block that `page` gave
 * (a leaf that was cut in pieces: once for each piece). When the buddy has nothing for somebody,
 * `reclaim`, until it returns false.
 *
 * Rules: take frames from a->buddy only, with alloc_block or the calls of buddy.h; keep all state in
 * a->state, flat, without pointers (it is saved and shared as bytes); choose by the arguments, the
 * state and rng_draw(a->seed, ...) only, never by host addresses or time; price what is done with
 * price_op(a->run, ...): nothing is free. NULL hooks: no state, keep nothing, nothing to reclaim.
 */
#ifndef MIMICOS_ALLOC_H
#define MIMICOS_ALLOC_H

#include "mimicos/buddy.h"
#include "mimicos/price.h"

/* What a policy works with; valid during the call. */
struct alloc {
    struct buddy *buddy;
    struct krun *run;
    void *state;
    uint64_t seed;
};

/* One page that is wanted. */
struct alloc_want {
    uint64_t va;    /* the address that faulted */
    uint32_t asid;
    uint32_t sizes; /* bit s set: a page of 2^s bytes may be mapped here. Bit 12 always; 21; 30 */
};

struct alloc_page {
    pfn_t pfn;       /* first frame; aligned to the page's size */
    uint32_t shift;  /* one of the wanted sizes */
    uint32_t missed; /* bit s set: a page of 2^s bytes was tried first, but there was no block */
    /*
     * With this 4 KiB page all 512 of its 2 MiB region are there, at their places in one aligned
     * block: the kernel makes one leaf of them, if their rights are equal, and one allocated block
     * of order 9.
     */
    bool promote;
};

struct alloc_ops {
    const char *name;
    const char *doc;
    size_t (*state_bytes)(uint64_t nframes); /* NULL: none */
    void (*init)(struct alloc *a, uint64_t nframes);
    /* Chooses; false: no frame of any of the sizes is left. */
    bool (*page)(struct alloc *a, const struct alloc_want *w, struct alloc_page *out);
    /* The block at `pfn` is unmapped; true: the policy keeps it; false: it goes to the buddy. */
    bool (*keep)(struct alloc *a, pfn_t pfn);
    /* Memory is short: gives something back to the buddy; false: there is nothing. */
    bool (*reclaim)(struct alloc *a);
    /* Asserts that the state agrees with itself and with the buddy. For tests. */
    void (*verify)(struct alloc *a);
};

/* clang-format off */
#define ALLOC_LIST(X)       \
    X(buddy, alloc_buddy)   \
    X(reserve, alloc_reserve)
/* clang-format on */

#define X(name, object) extern const struct alloc_ops object;
ALLOC_LIST(X)
#undef X

/* NULL-terminated names, in the order of the list; and the policy with an index of it. */
extern const char *const alloc_names[];
const struct alloc_ops *alloc_at(uint64_t idx);

/* Does `w` allow pages of 2^shift bytes? */
static inline bool alloc_allows(const struct alloc_want *w, unsigned shift)
{
    return (w->sizes >> shift & 1) != 0;
}

/* A block of 2^order frames (0 to 10, or BUDDY_GIANT_ORDER) from the buddy, priced. */
bool alloc_block(struct alloc *a, unsigned order, pfn_t *pfn_out);

#endif
