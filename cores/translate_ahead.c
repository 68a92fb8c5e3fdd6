/*
 * Translations that no access waits for: of prefetches, and of the code that prediction runs ahead to. They look into the
 * TLBs and change no recency there; see data_prefetch.c and fetch.c for what is done with them.
 */
#include "cores/l1i.h"
#include "cores/translate.h"

static const unsigned page_shifts[] = {PAGE_SHIFT, PAGE_SHIFT_2M, PAGE_SHIFT_1G};

/* What a data TLB holds for `vaddr`; changes no recency. */
static struct tlb_hit peek(const struct core_ctx *x, uint64_t vaddr, bool stlb)
{
    for (unsigned i = 0; i < 3; i++) {
        struct sarray *a = stlb ? stlb_of(x, page_shifts[i]) : l1_of(x->c, false, page_shifts[i]);
        uint64_t *p = tlb_peek(a, x->c->asid, vaddr, page_shifts[i]);
        if (p != NULL)
            return (struct tlb_hit){p, page_shifts[i]};
    }
    return (struct tlb_hit){NULL, 0};
}

bool core_in_big_page(const struct core_ctx *x, uint64_t vaddr)
{
    vaddr &= radix_va_mask(x->c->levels);
    struct tlb_hit h = peek(x, vaddr, false);
    if (h.payload == NULL)
        h = peek(x, vaddr, true);
    return h.payload != NULL && h.shift >= PAGE_SHIFT_2M;
}

struct xlate core_translate_prefetch(const struct core_ctx *x, uint64_t vaddr, uint64_t at, uint32_t ip)
{
    vaddr &= radix_va_mask(x->c->levels);
    if (x->cfg->mmu->free_translation)
        return core_translate_free(x, vaddr, false, false, at);
    struct tlb_hit h = peek(x, vaddr, false);
    at += x->p->l1d4k.latency_cycles;
    if (h.payload == NULL) {
        h = peek(x, vaddr, true);
        at += x->p->stlb.entries ? x->p->stlb.latency_cycles : 0;
    }
    if (h.payload == NULL)
        return x->p->prefetch.common.walk ? core_walk_ahead(x, vaddr, at, ip) : (struct xlate){at, XLATE_NONE};
    uint64_t in_page = vaddr & ((UINT64_C(1) << h.shift) - 1);
    return (struct xlate){usable_at(x, vaddr, at), (*h.payload & ~TLB_FLAGS) + in_page};
}

/* Not in the TLB of 4 KiB pages, or a walk that ends after the touch clock has filled some TLB. */
static __attribute__((noinline)) uint64_t probe_code(const struct core_ctx *x, uint64_t vaddr)
{
    struct core *c = x->c;
    if (x->cfg->mmu->free_translation)
        return core_translate_free(x, vaddr, false, true, c->touch).paddr;
    if (usable_at(x, vaddr, c->touch) > c->touch)
        return XLATE_NONE; /* its walk has not ended */
    struct tlb_hit h = {NULL, 0};
    for (unsigned i = 0; i < 2 && h.payload == NULL; i++)
        h = (struct tlb_hit){tlb_peek(l1_of(c, true, page_shifts[i]), c->asid, vaddr, page_shifts[i]), page_shifts[i]};
    if (h.payload == NULL)
        h = peek(x, vaddr, true);
    if (h.payload == NULL || !permits(*h.payload, false, true))
        return XLATE_NONE;
    return (*h.payload & ~TLB_FLAGS) + (vaddr & ((UINT64_C(1) << h.shift) - 1));
}

uint64_t core_probe_code(const struct core_ctx *x, uint64_t vaddr)
{
    struct core *c = x->c;
    vaddr &= radix_va_mask(c->levels) & ~(PAGE_BYTES - 1);
    const uint64_t *held = tlb_peek(array_at(c, c->at.l1i4k), c->asid, vaddr, PAGE_SHIFT);
    if (held == NULL || c->touch < c->walked_until || !permits(*held, false, true))
        return probe_code(x, vaddr);
    note_code_page(c, vaddr >> PAGE_SHIFT, held);
    return *held & ~TLB_FLAGS;
}
