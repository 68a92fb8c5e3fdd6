/*
 * What takes translations away from a core: flushes of ranges and of address spaces, and a page fault, which drops
 * its page. TLBs, walk caches, the design's own structure and the pages used latest forget; walks under way end for
 * those who wait for them, but fill nothing.
 */
#include "cores/translate.h"

#include "cores/pwc.h"

static const unsigned page_shifts[] = {PAGE_SHIFT, PAGE_SHIFT_2M, PAGE_SHIFT_1G};

void core_forget_recent(struct core *c)
{
    for (uint32_t i = 0; i < RECENT_PAGES; i++)
        c->recent_4k[i].page = c->recent_2m[i].page = UINT64_MAX;
    for (uint32_t i = 0; i < CODE_PAGES; i++)
        c->code_page[i].page = UINT64_MAX;
    c->missed_page = UINT64_MAX;
}

static void drop_page(struct core *c, uint32_t asid, uint64_t vaddr, unsigned shift)
{
    const uint64_t tlbs[] = {c->at.l1i4k, c->at.l1i2m, c->at.l1d4k, c->at.l1d2m,
                             c->at.l1d1g, c->at.stlb,  c->at.stlb1g};
    for (size_t i = 0; i < sizeof tlbs / sizeof tlbs[0]; i++)
        tlb_drop(array_at(c, tlbs[i]), asid, vaddr, shift);
}

static void flush_design(const struct core_ctx *x, uint32_t asid, uint64_t vaddr, uint64_t bytes)
{
    struct mmu_view v = mmu_view_of(x, asid);
    if (x->cfg->mmu->flush != NULL)
        x->cfg->mmu->flush(&v, vaddr, bytes);
}

void core_drop_page(const struct core_ctx *x, uint64_t vaddr)
{
    flush_design(x, x->c->asid, vaddr, 1);
    core_forget_recent(x->c);
    for (unsigned s = 0; s < 3; s++)
        drop_page(x->c, x->c->asid, vaddr, page_shifts[s]);
}

void core_flush(const struct core_ctx *x, uint64_t vaddr, uint64_t bytes, uint32_t asid)
{
    struct core *c = x->c;
    const uint64_t tlbs[] = {c->at.l1i4k, c->at.l1i2m, c->at.l1d4k, c->at.l1d2m,
                             c->at.l1d1g, c->at.stlb,  c->at.stlb1g};
    const uint64_t all_above = 33 * PAGE_BYTES; /* Linux flushes the whole space above 33 pages */
    bool whole = bytes == 0 || bytes > all_above;
    core_forget_recent(c);
    flush_design(x, asid, vaddr, whole ? 0 : bytes);
    for (size_t i = 0; whole && i < sizeof tlbs / sizeof tlbs[0]; i++)
        tlb_drop_asid(array_at(c, tlbs[i]), asid);
    for (unsigned s = 0; !whole && s < 3; s++)
        for (uint64_t n = vaddr >> page_shifts[s]; n <= (vaddr + bytes - 1) >> page_shifts[s]; n++)
            drop_page(c, asid, n << page_shifts[s], page_shifts[s]);
    for (unsigned i = 0; i < NPWC; i++) {
        struct sarray *a = array_at(c, c->at.pwc[i]);
        if (a->nways != 0)
            pwc_drop_range(a, i + PWC_FIRST_LEVEL, asid, whole ? 0 : vaddr,
                           whole ? radix_va_mask(RADIX_MAX_LEVELS) : bytes);
    }
    for (uint32_t i = 0; i < x->p->ptw.walkers; i++)
        if ((c->walking >> i & 1) && c->walks[i].asid == asid)
            c->walks[i].stale = 1; /* ends for those who wait, fills nothing */
}
