/*
 * The list of page-table formats, and the x86-64 radix trees of four and five levels.
 *
 * A node is a frame of 512 entries. Interior entries carry all rights; leaves decide. Source: Intel
 * SDM volume 3, 4.5 (four and five levels), Linux mm/memory.c for which nodes are made and freed.
 */
#include "mimicos/pagetable.h"

#include "pdes/err.h"

static uint64_t rd(const struct pt_store *st, paddr_t a) { return st->read8(st->ctx, a); }
static void wr(const struct pt_store *st, paddr_t a, uint64_t v) { st->write8(st->ctx, a, v); }

static enum pt_result radix_create(const struct pt_format *f, const struct pt_store *st,
                                   paddr_t *root_out)
{
    (void)f;
    pfn_t pfn;
    if (!st->alloc_node(st->ctx, &pfn))
        return PT_NOMEM;
    *root_out = paddr_of_pfn(pfn);
    return PT_OK;
}

/* Walks to the leaf, or to the first unused entry, but not below `last_level`. */
static unsigned descend(const struct pt_format *f, const struct pt_store *st, paddr_t root,
                        vaddr_t va, unsigned last_level, struct pt_entry *out)
{
    paddr_t table = root;
    unsigned level = f->levels, nrefs = 0;
    for (;; level--) {
        paddr_t at = radix_entry_paddr(f->levels, level, table, va);
        uint64_t value = rd(st, at);
        nrefs++;
        if (value == 0 || pte_is_leaf(level, value) || level == last_level) {
            unsigned shift = radix_level_shift(level);
            *out = (struct pt_entry){.paddr = at, .value = value, .shift = shift, .nrefs = nrefs,
                                     .va = va.v >> shift << shift};
            return level;
        }
        table = pte_table(value);
    }
}

static void radix_lookup(const struct pt_format *f, const struct pt_store *st, paddr_t root,
                         vaddr_t va, struct pt_entry *out)
{
    va.v &= radix_va_mask(f->levels);
    descend(f, st, root, va, 1, out);
}

static enum pt_result radix_map(const struct pt_format *f, const struct pt_store *st, paddr_t root,
                                vaddr_t va, unsigned shift, uint64_t value)
{
    unsigned target = 1 + (shift - PAGE_SHIFT) / RADIX_LEVEL_BITS;
    struct pt_entry e;
    va.v &= radix_va_mask(f->levels);
    unsigned level = descend(f, st, root, va, target, &e);
    if (e.value != 0)
        return PT_BUSY;
    for (; level > target; level--) {
        pfn_t node;
        if (!st->alloc_node(st->ctx, &node))
            return PT_NOMEM;
        wr(st, e.paddr, pte_make(node, PTE_TABLE_FLAGS));
        e.paddr = radix_entry_paddr(f->levels, level - 1, paddr_of_pfn(node), va);
    }
    wr(st, e.paddr, target > 1 ? value | PTE_PS : value);
    return PT_OK;
}

static void radix_update(const struct pt_format *f, const struct pt_store *st, paddr_t root,
                         const struct pt_entry *e, uint64_t value)
{
    (void)f;
    (void)root;
    wr(st, e->paddr, e->shift > PAGE_SHIFT ? value | PTE_PS : value);
}

static void radix_unmap(const struct pt_format *f, const struct pt_store *st, paddr_t root,
                        const struct pt_entry *e)
{
    (void)f;
    (void)root;
    wr(st, e->paddr, 0);
}

static enum pt_result radix_split(const struct pt_format *f, const struct pt_store *st, paddr_t root,
                                  const struct pt_entry *e)
{
    (void)f;
    (void)root;
    SIM_ASSERT(e->shift > PAGE_SHIFT && (e->value & PTE_PS) != 0, "split of a leaf of 2^%u",
               e->shift);
    unsigned shift = e->shift - RADIX_LEVEL_BITS;
    pfn_t node;
    if (!st->alloc_node(st->ctx, &node))
        return PT_NOMEM;
    for (uint64_t i = 0; i < 512; i++)
        wr(st, (paddr_t){paddr_of_pfn(node).v + 8 * i},
           (shift > PAGE_SHIFT ? e->value : e->value & ~PTE_PS) + (i << shift));
    wr(st, e->paddr, pte_make(node, PTE_TABLE_FLAGS));
    return PT_OK;
}

static void radix_join(const struct pt_format *f, const struct pt_store *st, paddr_t root, vaddr_t va,
                       uint64_t value)
{
    struct pt_entry e;
    va.v &= radix_va_mask(f->levels);
    descend(f, st, root, va, 2, &e);
    SIM_ASSERT(e.shift == PAGE_SHIFT_2M && e.value != 0 && (e.value & PTE_PS) == 0,
               "join at %#llx: no node of 4 KiB leaves", (unsigned long long)va.v);
    wr(st, e.paddr, value | PTE_PS);
    st->free_node(st->ctx, pfn_of(pte_table(e.value)));
}

static bool radix_next(const struct pt_format *f, const struct pt_store *st, paddr_t root, vaddr_t va,
                       uint64_t end, struct pt_entry *out)
{
    uint64_t last = radix_va_mask(f->levels);
    uint64_t at = va.v & last;
    end = u64_min(end, last + 1);
    while (at < end) {
        descend(f, st, root, (vaddr_t){at}, 1, out);
        if (out->value != 0)
            return true;
        at = out->va + (UINT64_C(1) << out->shift);
    }
    return false;
}

static bool node_is_empty(const struct pt_store *st, paddr_t table)
{
    for (uint64_t i = 0; i < 512; i++)
        if (rd(st, (paddr_t){table.v + 8 * i}) != 0)
            return false;
    return true;
}

static unsigned radix_prune(const struct pt_format *f, const struct pt_store *st, paddr_t root,
                            vaddr_t va)
{
    paddr_t entry[RADIX_MAX_LEVELS + 1]; /* entry[l]: in the node of level l */
    unsigned level = f->levels, nfreed = 0;
    va.v &= radix_va_mask(f->levels);
    paddr_t table = root;
    for (;; level--) {
        entry[level] = radix_entry_paddr(f->levels, level, table, va);
        uint64_t value = rd(st, entry[level]);
        if (value == 0 || pte_is_leaf(level, value))
            break;
        table = pte_table(value);
    }
    for (; level < f->levels; level++) {
        paddr_t node = {entry[level].v & ~(PAGE_BYTES - 1)};
        if (!node_is_empty(st, node))
            break;
        wr(st, entry[level + 1], 0);
        st->free_node(st->ctx, pfn_of(node));
        nfreed++;
    }
    return nfreed;
}

#define RADIX_HOOKS                                                                              \
    .create = radix_create, .lookup = radix_lookup, .map = radix_map, .unmap = radix_unmap,      \
    .update = radix_update, .split = radix_split, .join = radix_join, .next = radix_next,          \
    .prune = radix_prune

const struct pt_format pt_format_radix4 = {
    .name = "radix4", .doc = "x86-64 radix tree, 4 levels (48-bit addresses)", .levels = 4,
    RADIX_HOOKS};
const struct pt_format pt_format_radix5 = {
    .name = "radix5", .doc = "x86-64 radix tree, 5 levels (57-bit addresses)", .levels = 5,
    RADIX_HOOKS};

#define X(name, object) #name,
const char *const pt_format_names[] = {PT_FORMATS(X) NULL};
#undef X

const struct pt_format *pt_format_at(uint64_t idx)
{
#define X(name, object) &object,
    static const struct pt_format *const formats[] = {PT_FORMATS(X)};
#undef X
    SIM_ASSERT(idx < sizeof formats / sizeof formats[0], "page-table format %llu",
               (unsigned long long)idx);
    return formats[idx];
}
