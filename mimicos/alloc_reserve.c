/*
 * Allocation policy `reserve`: reservations of contiguous frames, as FreeBSD does (Navarro et al.,
 * OSDI 2002; sys/vm/vm_reserv.c).
 *
 * The first fault in a 2 MiB region that a huge page would fit takes a whole block of 2 MiB, but only
 * the touched 4 KiB page of it is mapped, at its place in the block. Later faults of the region fill
 * the block; when all 512 pages are there, it becomes one 2 MiB leaf ("promoted"), without copying.
 * Under pressure reservations are broken, the least recently filled one first: their unused frames go
 * back to the buddy. A page that is unmapped gives its frame back to its reservation; an empty
 * reservation is dissolved.
 *
 * Unlike FreeBSD: a full reservation is forgotten, so pages cut out of a promoted leaf go to the
 * buddy; population counts single pages only; no partial promotion.
 *
 * State: one record for each aligned block of 512 frames, a hash from (address space, region) to the
 * record, and a list in order of the last filling. All links are block number + 1; 0: none.
 */
#include "mimicos/alloc.h"
#include "pdes/err.h"

#define BLOCK_PAGES (UINT64_C(1) << BUDDY_HUGE_ORDER)

struct reservation {
    uint64_t region; /* address >> 21, + 1; 0: no reservation */
    uint64_t filled[BLOCK_PAGES / 64];
    uint32_t asid, nfilled;
    uint32_t chain;        /* next of the same hash */
    uint32_t older, newer; /* by the time of the last filling */
    uint32_t reserved;
};

struct reserve {
    uint64_t nblocks, nbuckets;
    uint32_t oldest, newest;
    uint64_t nlive;
};

static uint64_t bucket_count(uint64_t nblocks) { return UINT64_C(1) << log2_floor(2 * nblocks); }

static struct reservation *at_block(const struct alloc *a, uint64_t block)
{
    return (struct reservation *)((struct reserve *)a->state + 1) + block;
}

static uint32_t *bucket(const struct alloc *a, uint32_t asid, uint64_t region)
{
    const struct reserve *s = a->state;
    uint64_t hash = (region + ((uint64_t)asid << 40)) * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t *buckets = (uint32_t *)at_block(a, s->nblocks);
    return &buckets[hash >> (64 - log2_floor(s->nbuckets))];
}

static size_t reserve_bytes(uint64_t nframes)
{
    uint64_t n = nframes / BLOCK_PAGES;
    return sizeof(struct reserve) + n * sizeof(struct reservation) + bucket_count(n) * sizeof(uint32_t);
}

static void reserve_init(struct alloc *a, uint64_t nframes)
{
    struct reserve *s = a->state;
    s->nblocks = nframes / BLOCK_PAGES;
    s->nbuckets = bucket_count(s->nblocks);
}

/* ---- links ----------------------------------------------------------------------------------- */

static void list_remove(struct alloc *a, uint64_t block)
{
    struct reserve *s = a->state;
    const struct reservation *v = at_block(a, block);
    *(v->older != 0 ? &at_block(a, v->older - 1)->newer : &s->oldest) = v->newer;
    *(v->newer != 0 ? &at_block(a, v->newer - 1)->older : &s->newest) = v->older;
}

static void list_append(struct alloc *a, uint64_t block)
{
    struct reserve *s = a->state;
    struct reservation *v = at_block(a, block);
    v->older = s->newest;
    v->newer = 0;
    *(s->newest != 0 ? &at_block(a, s->newest - 1)->newer : &s->oldest) = (uint32_t)block + 1;
    s->newest = (uint32_t)block + 1;
}

/* The reservation ends; its frames stay allocated one by one. */
static void forget(struct alloc *a, uint64_t block)
{
    struct reserve *s = a->state;
    struct reservation *v = at_block(a, block);
    uint32_t *link = bucket(a, v->asid, v->region - 1);
    while (*link != (uint32_t)block + 1)
        link = &at_block(a, *link - 1)->chain;
    *link = v->chain;
    list_remove(a, block);
    *v = (struct reservation){.region = 0};
    s->nlive--;
}

static struct reservation *find(const struct alloc *a, uint32_t asid, uint64_t region, uint64_t *block_out)
{
    for (uint32_t at = *bucket(a, asid, region); at != 0; at = at_block(a, at - 1)->chain) {
        struct reservation *v = at_block(a, at - 1);
        *block_out = at - 1;
        if (v->region == region + 1 && v->asid == asid)
            return v;
    }
    return NULL;
}

/* ---- the policy ------------------------------------------------------------------------------ */

static struct reservation *reserve_block(struct alloc *a, const struct alloc_want *w, uint64_t *block_out)
{
    struct reserve *s = a->state;
    pfn_t pfn;
    if (!alloc_block(a, BUDDY_HUGE_ORDER, &pfn))
        return NULL;
    buddy_split_allocated(a->buddy, pfn);
    uint64_t block = pfn.v / BLOCK_PAGES, region = w->va >> PAGE_SHIFT_2M;
    struct reservation *v = at_block(a, block);
    uint32_t *head = bucket(a, w->asid, region);
    *v = (struct reservation){.region = region + 1, .asid = w->asid, .chain = *head};
    *head = (uint32_t)block + 1;
    list_append(a, block);
    s->nlive++;
    *block_out = block;
    return v;
}

static bool reserve_page(struct alloc *a, const struct alloc_want *w, struct alloc_page *out)
{
    uint64_t block = 0, place = w->va >> PAGE_SHIFT & (BLOCK_PAGES - 1);
    if (alloc_allows(w, PAGE_SHIFT_1G)) { /* giants come whole */
        out->shift = PAGE_SHIFT_1G;
        if (alloc_block(a, BUDDY_GIANT_ORDER, &out->pfn))
            return true;
        out->missed |= UINT32_C(1) << PAGE_SHIFT_1G;
    }
    out->shift = PAGE_SHIFT;
    price_op(a->run, KOP_RESERVE, 1);
    struct reservation *v = find(a, w->asid, w->va >> PAGE_SHIFT_2M, &block);
    if (v == NULL && alloc_allows(w, PAGE_SHIFT_2M)) {
        v = reserve_block(a, w, &block);
        out->missed |= v == NULL ? UINT32_C(1) << PAGE_SHIFT_2M : 0;
    }
    uint64_t bit = UINT64_C(1) << (place % 64);
    if (v == NULL || (v->filled[place / 64] & bit) != 0) /* none, or its page was moved elsewhere */
        return alloc_block(a, 0, &out->pfn);
    v->filled[place / 64] |= bit;
    out->pfn = (pfn_t){block * BLOCK_PAGES + place};
    if (++v->nfilled == BLOCK_PAGES) {
        out->promote = true;
        forget(a, block);
        return true;
    }
    list_remove(a, block);
    list_append(a, block);
    return true;
}

static bool reserve_keep(struct alloc *a, pfn_t pfn)
{
    uint64_t block = pfn.v / BLOCK_PAGES, place = pfn.v % BLOCK_PAGES;
    struct reservation *v = at_block(a, block);
    if (v->region == 0)
        return false;
    price_op(a->run, KOP_RESERVE, 1);
    v->filled[place / 64] &= ~(UINT64_C(1) << (place % 64));
    if (--v->nfilled == 0) {
        pfn_t first = {block * BLOCK_PAGES};
        forget(a, block);
        buddy_join_allocated(a->buddy, first, BUDDY_HUGE_ORDER);
        buddy_free(a->buddy, first);
    }
    return true;
}

/* Breaks the reservation that was filled least recently. */
static bool reserve_reclaim(struct alloc *a)
{
    const struct reserve *s = a->state;
    if (s->oldest == 0)
        return false;
    uint64_t block = s->oldest - 1;
    struct reservation v = *at_block(a, block);
    forget(a, block);
    price_op(a->run, KOP_RESERVE, 1);
    price_op(a->run, KOP_FREE_FRAME, BLOCK_PAGES - v.nfilled);
    for (uint64_t i = 0; i < BLOCK_PAGES; i++)
        if ((v.filled[i / 64] >> (i % 64) & 1) == 0)
            buddy_free(a->buddy, (pfn_t){block * BLOCK_PAGES + i});
    return true;
}

static void reserve_verify(struct alloc *a)
{
    const struct reserve *s = a->state;
    uint64_t n = 0, found = 0;
    for (uint32_t at = s->oldest; at != 0; at = at_block(a, at - 1)->newer, n++) {
        const struct reservation *v = at_block(a, at - 1);
        uint64_t nfilled = 0;
        for (uint64_t i = 0; i < BLOCK_PAGES / 64; i++)
            nfilled += (uint64_t)__builtin_popcountll(v->filled[i]);
        SIM_ASSERT(nfilled == v->nfilled && nfilled > 0 && nfilled < BLOCK_PAGES &&
                       find(a, v->asid, v->region - 1, &found) == v,
                   "reservation of block %u: %u pages, %llu bits", at - 1, v->nfilled,
                   (unsigned long long)nfilled);
        for (uint64_t i = 0; i < BLOCK_PAGES; i++) {
            unsigned order = 1;
            bool is = buddy_is_allocated(a->buddy, (pfn_t){(at - 1) * BLOCK_PAGES + i}, &order);
            SIM_ASSERT(is && order == 0, "reservation of block %u: frame %llu is not its own", at - 1,
                       (unsigned long long)i);
        }
    }
    SIM_ASSERT(n == s->nlive, "%llu reservations of %llu", (unsigned long long)n,
               (unsigned long long)s->nlive);
}

const struct alloc_ops alloc_reserve = {
    .name = "reserve",
    .doc = "a 2 MiB block is reserved at the first fault, filled by 4 KiB pages, promoted when full",
    .state_bytes = reserve_bytes, .init = reserve_init, .page = reserve_page, .keep = reserve_keep,
    .reclaim = reserve_reclaim, .verify = reserve_verify};
