/*
 * Radix tables with a third TLB level: a large set-associative array behind the STLB, probed on each
 * STLB miss and filled by walks. The yardstick of studies that ask what a bigger TLB would give:
 * "Every Walk's a Hit" (ASPLOS 2022), Victima (MICRO 2023, section 3) compare with 64K entries at
 * some 20 to 40 cycles; the reach is 256 MiB of 4 KiB pages.
 *
 * One lookup finds any page size (the sizes are probed in turn at no extra cost, as in the STLB).
 * Inclusive of nothing and exclusive of nothing: filled by walks, never by victims.
 */
#include "cores/mmu.h"
#include "cores/tlb.h"

enum { ENTRIES, WAYS, LATENCY };
static const struct param_desc rows[] = {
    {.name = "entries", .type = PARAM_COUNT, .unit = "entry", .def = "65536", .min = 1, .max = 1u << 24,
     .offset = ENTRIES * sizeof(uint64_t), .doc = "translations, rounded down to whole sets"},
    {.name = "ways", .type = PARAM_COUNT, .unit = "way", .def = "16", .min = 1, .max = 64,
     .offset = WAYS * sizeof(uint64_t), .doc = "associativity"},
    {.name = "latency_cycles", .type = PARAM_COUNT, .unit = "cycle", .def = "30", .max = 1000,
     .offset = LATENCY * sizeof(uint64_t), .doc = "added to each access that misses the STLB"},
};

static struct sarray_cfg geometry(const uint64_t *p, uint64_t seed)
{
    uint64_t nsets = p[ENTRIES] / p[WAYS];
    return tlb_geometry((nsets == 0 ? 1 : nsets) * p[WAYS], p[WAYS], REPL_LRU, seed);
}

static size_t state_bytes(const uint64_t *params)
{
    struct sarray_cfg cfg = geometry(params, 0);
    return sarray_bytes(&cfg);
}

static void init(void *state, const uint64_t *params, uint64_t seed)
{
    struct sarray_cfg cfg = geometry(params, seed);
    sarray_init(state, &cfg);
}

static const unsigned shifts[] = {PAGE_SHIFT, PAGE_SHIFT_2M, PAGE_SHIFT_1G};

static bool probe(const struct mmu_view *v, uint64_t vaddr, struct mmu_page *page_out, uint64_t *cycles_out)
{
    *cycles_out = v->params[LATENCY];
    for (unsigned i = 0; i < 3; i++) {
        const uint64_t *payload = tlb_lookup(v->state, v->asid, vaddr, shifts[i]);
        if (payload == NULL)
            continue;
        *page_out = (struct mmu_page){.base = *payload & ~TLB_FLAGS, .flags = *payload & TLB_FLAGS, .shift = shifts[i]};
        return true;
    }
    return false;
}

static void walked(const struct mmu_view *v, uint64_t vaddr, const struct mmu_page *page, uint64_t entry_paddr)
{
    (void)entry_paddr;
    tlb_fill(v->state, v->asid, vaddr, page->shift, page->base | page->flags);
}

static void flush(const struct mmu_view *v, uint64_t vaddr, uint64_t bytes)
{
    if (bytes == 0)
        tlb_drop_asid(v->state, v->asid);
    for (unsigned i = 0; i < 3 && bytes != 0; i++)
        for (uint64_t n = vaddr >> shifts[i]; n <= (vaddr + bytes - 1) >> shifts[i]; n++)
            tlb_drop(v->state, v->asid, n << shifts[i], shifts[i]);
}

const struct mmu_ops mmu_l3tlb = {
    .name = "l3tlb",
    .doc = "radix with a third, large TLB level, probed when the STLB misses",
    .rows = rows,
    .nrows = sizeof rows / sizeof rows[0],
    .state_bytes = state_bytes,
    .init = init,
    .probe = probe,
    .walked = walked,
    .flush = flush,
};
