/*
 * The list of allocation policies, and `buddy`: Linux's choice at fault time. The largest page that
 * the area, its advice and the page table allow, if the buddy (2 MiB) or the boot-time pool (1 GiB)
 * has a block for it; else the next smaller one. Source: Linux mm/huge_memory.c,
 * do_huge_pmd_anonymous_page; mm/hugetlb.c for the pool. Linux's pool would end the program when it
 * is empty; here the area falls back to smaller pages, and that is counted.
 */
#include "mimicos/alloc.h"

#include "pdes/err.h"

bool alloc_block(struct alloc *a, unsigned order, pfn_t *pfn_out)
{
    unsigned nsplits = 0;
    enum buddy_result r = order == BUDDY_GIANT_ORDER
                              ? buddy_alloc_giant(a->buddy, pfn_out)
                              : buddy_alloc(a->buddy, order, pfn_out, &nsplits);
    if (order != 0 || r == BUDDY_OK) /* a search that fails costs, too */
        price_op(a->run, order == 0 ? KOP_ALLOC_ORDER0 : KOP_ALLOC_BUDDY, 1);
    if (order != 0)
        price_op(a->run, KOP_ALLOC_SPLIT, nsplits);
    return r == BUDDY_OK;
}

static bool buddy_page(struct alloc *a, const struct alloc_want *w, struct alloc_page *out)
{
    static const unsigned shifts[] = {PAGE_SHIFT_1G, PAGE_SHIFT_2M, PAGE_SHIFT};
    for (unsigned i = 0; i < 3; i++) {
        if (!alloc_allows(w, shifts[i]))
            continue;
        out->shift = shifts[i];
        if (alloc_block(a, shifts[i] - PAGE_SHIFT, &out->pfn))
            return true;
        out->missed |= UINT32_C(1) << shifts[i];
    }
    return false;
}

const struct alloc_ops alloc_buddy = {
    .name = "buddy", .doc = "the largest page that is allowed and free, as Linux", .page = buddy_page};

#define X(name, object) #name,
const char *const alloc_names[] = {ALLOC_LIST(X) NULL};
#undef X

const struct alloc_ops *alloc_at(uint64_t idx)
{
#define X(name, object) &object,
    static const struct alloc_ops *const list[] = {ALLOC_LIST(X)};
#undef X
    SIM_ASSERT(idx < sizeof list / sizeof list[0], "allocation policy %llu", (unsigned long long)idx);
    return list[idx];
}
