/*
 * Faults, and the population of areas before they are used: what is mapped for an address, with
 * which rights; see mm.h. Which page size and frame an anonymous page gets is the allocation
 * policy's choice (alloc.h).
 */
#include "mimicos/kernel_call.h"
#include "mimicos/mm.h"
#include "pdes/err.h"

#define REGION_BYTES (UINT64_C(1) << PAGE_SHIFT_2M)

uint64_t mm_leaf_rights(uint32_t prot, uint64_t old_bits)
{
    uint64_t kept = old_bits & (PTE_ACCESSED | PTE_DIRTY | PTE_COW | PTE_STRAY);
    uint64_t nx = (prot & KPROT_EXEC) == 0 ? PTE_NX : 0;
    if (prot == 0)
        return kept | PTE_PROT_NONE | nx;
    bool writable = (prot & KPROT_WRITE) != 0 && (kept & PTE_COW) == 0;
    return kept | PTE_PRESENT | PTE_USER | nx | (writable ? PTE_RW : 0);
}

/* One fault in service. */
struct fault {
    struct mm_run run;
    struct pt_store st;
    const struct pt_format *f;
    paddr_t root;
    vaddr_t va;
    uint64_t flags;
    uint32_t asid;
    struct vma area; /* a copy; id and rights of stray pages are made up */
    struct pt_entry e;
    struct mm_fault *out;
};

static bool is_write(const struct fault *x) { return (x->flags & KF_WRITE) != 0; }

static bool rights_allow(const struct fault *x, uint32_t prot)
{
    if (is_write(x))
        return (prot & KPROT_WRITE) != 0;
    if ((x->flags & KF_EXEC) != 0)
        return (prot & KPROT_EXEC) != 0;
    return prot != 0;
}

static uint64_t first_bits(const struct fault *x)
{
    return PTE_ACCESSED | (is_write(x) ? PTE_DIRTY : 0);
}

static bool take_frame(struct fault *x, pfn_t *pfn_out)
{
    if (!mm_take_block(x->run.m, x->run.r, 0, pfn_out, NULL))
        return false;
    price_op(x->run.r, KOP_ALLOC_ORDER0, 1);
    return true;
}

static enum mm_fault_kind map_leaf(struct fault *x, vaddr_t va, unsigned shift, uint64_t value,
                                   enum mm_fault_kind kind)
{
    enum pt_result r = x->f->map(x->f, &x->st, x->root, va, shift, value);
    SIM_ASSERT(r != PT_BUSY, "fault at %#llx: the entry is in use", (unsigned long long)va.v);
    x->out->npages++;
    return r == PT_OK ? kind : FAULT_NOMEM;
}

/* Linux's conditions at fault time for a page of 2^shift bytes, but for the free block. */
static bool size_fits(const struct fault *x, unsigned shift)
{
    uint64_t bytes = UINT64_C(1) << shift, base = x->va.v & ~(bytes - 1);
    return x->e.shift >= shift && vma_covers(mm_vmas(x->run.m, x->asid), base, base + bytes);
}

static uint32_t sizes_for(const struct fault *x)
{
    const struct mm_config *c = &x->run.m->cfg;
    const uint32_t flags = x->area.flags;
    uint32_t sizes = UINT32_C(1) << PAGE_SHIFT;
    if ((flags & (VMA_FILE | VMA_SHARED | VMA_NOHUGEPAGE)) != 0)
        return sizes;
    if (c->page_1g != 0 && size_fits(x, PAGE_SHIFT_1G))
        sizes |= UINT32_C(1) << PAGE_SHIFT_1G;
    bool wanted = c->thp == THP_ALWAYS || (c->thp == THP_MADVISE && (flags & VMA_HUGEPAGE) != 0);
    if (wanted && size_fits(x, PAGE_SHIFT_2M))
        sizes |= UINT32_C(1) << PAGE_SHIFT_2M;
    return sizes;
}

static bool take_page(struct fault *x, uint32_t sizes, struct alloc_page *out)
{
    struct mm *m = x->run.m;
    struct alloc a = mm_alloc(m, x->run.r);
    const struct alloc_want want = {.va = x->va.v, .asid = x->asid, .sizes = sizes};
    do {
        *out = (struct alloc_page){.shift = PAGE_SHIFT};
        if (mm_policy(m)->page(&a, &want, out)) {
            SIM_ASSERT(alloc_allows(&want, out->shift) &&
                           (out->pfn.v & ((UINT64_C(1) << (out->shift - PAGE_SHIFT)) - 1)) == 0,
                       "policy %s: frame %#llx for a page of 2^%u bytes", mm_policy(m)->name,
                       (unsigned long long)out->pfn.v, out->shift);
            return true;
        }
    } while (mm_reclaim(m, x->run.r));
    return false;
}

static bool leaf_of_promotion(struct fault *x, uint64_t at, uint64_t pfn, uint64_t bits)
{
    struct pt_entry e;
    const uint64_t ad = PTE_ACCESSED | PTE_DIRTY;
    x->f->lookup(x->f, &x->st, x->root, (vaddr_t){at}, &e);
    return e.shift == PAGE_SHIFT && pte_pfn(e.value).v == pfn &&
           (e.value & ~(PTE_PFN_MASK | ad)) == (bits & ~(PTE_PFN_MASK | ad));
}

/* The 512 leaves around the new one become one, if they have the same rights. */
static bool promote(struct fault *x, uint64_t leaf)
{
    struct mm *m = x->run.m;
    uint64_t base = x->va.v & ~(REGION_BYTES - 1);
    pfn_t first = {pte_pfn(leaf).v & ~(BUDDY_BLOCK_FRAMES / 2 - 1)};
    for (uint64_t i = 0; i < REGION_BYTES / PAGE_BYTES; i++)
        if (!leaf_of_promotion(x, base + i * PAGE_BYTES, first.v + i, leaf))
            return false;
    price_op(x->run.r, KOP_PROMOTE, 1);
    /* Dirty if it is writable: which of the pages were written is not kept. */
    uint64_t bits = (leaf & ~PTE_PFN_MASK) | PTE_ACCESSED | (pte_writable(leaf) ? PTE_DIRTY : 0);
    x->f->join(x->f, &x->st, x->root, (vaddr_t){base}, pte_make(first, bits));
    buddy_join_allocated(mm_buddy(m), first, BUDDY_HUGE_ORDER);
    mm_op_flush(x->run.op, base, base + REGION_BYTES);
    x->out->promoted = true;
    return true;
}

/* Clearing goes in pieces of at most 2 MiB. */
static void clear_page(struct fault *x, const struct alloc_page *p)
{
    uint64_t bytes = UINT64_C(1) << p->shift, piece = u64_min(bytes, REGION_BYTES);
    for (uint64_t at = 0; at < bytes; at += piece)
        price_zero(x->run.r, (paddr_t){paddr_of_pfn(p->pfn).v + at}, piece);
}

static enum mm_fault_kind map_anon(struct fault *x, uint32_t sizes, bool stray)
{
    struct alloc_page p;
    if (!take_page(x, sizes, &p))
        return FAULT_NOMEM;
    x->out->missed = p.missed;
    price_op(x->run.r, KOP_HUGE_PREPARE, p.shift != PAGE_SHIFT);
    price_op(x->run.r, KOP_ACCOUNT, 1);
    clear_page(x, &p);
    uint64_t old = first_bits(x) | (stray ? PTE_STRAY : 0);
    uint64_t leaf = pte_make(p.pfn, mm_leaf_rights(x->area.prot, old));
    enum mm_fault_kind kind = stray                      ? FAULT_SEGV
                              : p.shift == PAGE_SHIFT    ? FAULT_ANON_4K
                              : p.shift == PAGE_SHIFT_2M ? FAULT_ANON_2M
                                                         : FAULT_ANON_1G;
    kind = map_leaf(x, x->va, p.shift, leaf, kind);
    if (p.promote && kind != FAULT_NOMEM)
        promote(x, leaf);
    return kind;
}

/* One page of the page cache, of which traces tell no identity: a frame of its own. */
static enum mm_fault_kind map_file_page(struct fault *x, vaddr_t va, uint64_t bits)
{
    pfn_t pfn;
    if (!mm_take_block(x->run.m, x->run.r, 0, &pfn, NULL))
        return FAULT_NOMEM;
    if ((x->area.flags & VMA_SHARED) == 0)
        bits |= PTE_COW;
    return map_leaf(x, va, PAGE_SHIFT, pte_make(pfn, mm_leaf_rights(x->area.prot, bits)), FAULT_FILE);
}

/* Read fault: maps the unused neighbours in the aligned fault-around window as well, not accessed. */
static enum mm_fault_kind map_file_around(struct fault *x)
{
    uint64_t window = u64_max(x->run.m->cfg.fault_around_bytes, PAGE_BYTES);
    uint64_t start = u64_max(x->va.v & ~(window - 1), x->area.start);
    uint64_t end = u64_min((x->va.v & ~(window - 1)) + window, x->area.end);
    uint64_t page = x->va.v & ~(PAGE_BYTES - 1);
    price_op(x->run.r, KOP_FILE_MAP, 1);
    enum mm_fault_kind kind = map_file_page(x, (vaddr_t){page}, PTE_ACCESSED);
    for (uint64_t at = start; at < end && kind == FAULT_FILE; at += PAGE_BYTES) {
        struct pt_entry e;
        x->f->lookup(x->f, &x->st, x->root, (vaddr_t){at}, &e);
        if (at == page || e.value != 0)
            continue;
        price_op(x->run.r, KOP_FILE_AROUND, 1);
        kind = map_file_page(x, (vaddr_t){at}, 0);
    }
    return kind;
}

static enum mm_fault_kind map_file(struct fault *x)
{
    if (!is_write(x))
        return map_file_around(x);
    price_op(x->run.r, KOP_FILE_MAP, 1);
    if ((x->area.flags & VMA_SHARED) != 0)
        return map_file_page(x, x->va, PTE_ACCESSED | PTE_DIRTY);
    pfn_t pfn; /* first touch is a write: the copy is mapped at once */
    if (!take_frame(x, &pfn))
        return FAULT_NOMEM;
    price_op(x->run.r, KOP_ACCOUNT, 1);
    price_copy(x->run.r, PAGE_BYTES);
    uint64_t value = pte_make(pfn, mm_leaf_rights(x->area.prot, PTE_ACCESSED | PTE_DIRTY));
    return map_leaf(x, x->va, PAGE_SHIFT, value, FAULT_COW);
}

static enum mm_fault_kind map_new(struct fault *x)
{
    if ((x->area.flags & VMA_FILE) != 0)
        return map_file(x);
    return map_anon(x, sizes_for(x), false);
}

/* First write to a page that was mapped from a file for reading. */
static enum mm_fault_kind copy_on_write(struct fault *x)
{
    pfn_t pfn;
    if (!take_frame(x, &pfn))
        return FAULT_NOMEM;
    price_op(x->run.r, KOP_ACCOUNT, 1);
    price_copy(x->run.r, PAGE_BYTES);
    mm_defer_free(x->run.m, x->run.op, pte_pfn(x->e.value));
    x->f->update(x->f, &x->st, x->root, &x->e,
                 pte_make(pfn, mm_leaf_rights(x->area.prot, PTE_ACCESSED | PTE_DIRTY)));
    mm_op_flush(x->run.op, x->e.va, x->e.va + PAGE_BYTES);
    return FAULT_COW;
}

static bool entry_allows(const struct fault *x)
{
    if (!pte_present(x->e.value) || (is_write(x) && !pte_writable(x->e.value)))
        return false;
    return (x->flags & KF_EXEC) == 0 || pte_executable(x->e.value);
}

/* Against the area's rights, or outside every area: the page gets the right, and is counted. */
static enum mm_fault_kind force(struct fault *x)
{
    x->area.prot = KPROT_READ | KPROT_WRITE | KPROT_EXEC;
    if (x->e.value == 0)
        return map_anon(x, UINT32_C(1) << PAGE_SHIFT, true);
    uint64_t bits = (x->e.value & ~PTE_COW) | first_bits(x) | PTE_STRAY;
    x->f->update(x->f, &x->st, x->root, &x->e,
                 (x->e.value & PTE_PFN_MASK) | mm_leaf_rights(x->area.prot, bits));
    mm_op_flush(x->run.op, x->e.va, x->e.va + (UINT64_C(1) << x->e.shift));
    return FAULT_SEGV;
}

static enum mm_fault_kind serve(struct fault *x, bool in_area)
{
    bool used = x->e.value != 0;
    if (used && entry_allows(x))
        return FAULT_SPURIOUS;
    if (!in_area || !rights_allow(x, x->area.prot))
        return force(x);
    if (!used)
        return map_new(x);
    if (is_write(x) && (x->e.value & PTE_COW) != 0)
        return copy_on_write(x);
    /* A stray page over which an area was mapped since: it takes the area's rights. */
    x->f->update(x->f, &x->st, x->root, &x->e,
                 (x->e.value & PTE_PFN_MASK) | mm_leaf_rights(x->area.prot, x->e.value));
    return FAULT_SPURIOUS;
}

/* The area of `va`, growing a stack that begins within the limit above it. */
static bool find_area(struct fault *x)
{
    struct vma_set *s = mm_vmas(x->run.m, x->asid);
    uint32_t i = vma_lower(s, x->va.v);
    if (i == s->n)
        return false;
    if (s->v[i].start > x->va.v) {
        uint64_t page = x->va.v & ~(PAGE_BYTES - 1);
        if ((s->v[i].flags & VMA_GROWSDOWN) == 0 ||
            s->v[i].end - page > x->run.m->cfg.stack_limit_bytes)
            return false;
        price_op(x->run.r, KOP_STACK_GROW, 1);
        if (vma_grow_down(s, s->v[i].start, page) != VMA_OK)
            return false;
        x->out->stack_grown = true;
    }
    x->area = s->v[i];
    return true;
}

void mm_fault(struct mm *m, struct krun *r, uint32_t asid, vaddr_t va, uint64_t flags,
              struct mm_fault *out, struct mm_op *op)
{
    *out = (struct mm_fault){.kind = FAULT_NOMEM};
    mm_op_init(op, asid);
    struct fault x = {.run = {m, r, op}, .f = mm_format(m), .root = mm_root(m, asid), .flags = flags,
                      .asid = asid, .out = out};
    x.va.v = va.v & radix_va_mask(x.f->levels);
    x.st = mm_store(&x.run);
    price_op(r, KOP_ENTRY, 1);
    price_op(r, KOP_VMA_LOOKUP, 1);
    bool in_area = find_area(&x);
    x.f->lookup(x.f, &x.st, x.root, x.va, &x.e);
    out->kind = serve(&x, in_area);
    price_op(r, KOP_EXIT, 1);
}

/* ---- population ------------------------------------------------------------------------------ */

/* An anonymous area that anybody may use: what MAP_POPULATE would fill. */
static bool is_populated(const struct vma *v) { return (v->flags & VMA_FILE) == 0 && v->prot != 0; }

/* The pages of one area that begin below `end`, as faults in address order would map them. */
static bool populate_area(struct fault *x, const struct vma *v, uint64_t at, uint64_t end,
                          uint64_t *npages)
{
    bool silent = x->run.r->mode == KRUN_SILENT;
    x->area = *v;
    x->flags = (v->prot & KPROT_WRITE) != 0 ? KF_WRITE : 0;
    while (at < end) {
        x->va.v = at;
        x->f->lookup(x->f, &x->st, x->root, x->va, &x->e);
        if (x->e.value == 0) {
            *x->out = (struct mm_fault){.kind = FAULT_NOMEM};
            if (map_new(x) == FAULT_NOMEM)
                return false;
            ++*npages;
            while (silent && !mm_op_free(x->run.m, x->run.r, x->run.op)) {
                /* Nobody has used the entries that a promotion replaced. */
            }
            x->f->lookup(x->f, &x->st, x->root, x->va, &x->e);
        }
        at = x->e.va + (UINT64_C(1) << x->e.shift);
    }
    return true;
}

bool mm_populate(struct mm *m, struct krun *r, struct mm_op *op, uint32_t asid, uint64_t at,
                 uint64_t end, uint64_t *npages_out)
{
    const struct vma_set *s = mm_vmas(m, asid);
    struct mm_fault out;
    struct fault x = {.run = {m, r, op}, .f = mm_format(m), .root = mm_root(m, asid), .asid = asid,
                      .out = &out};
    x.st = mm_store(&x.run);
    *npages_out = 0;
    for (uint32_t i = vma_lower(s, at); i < s->n && s->v[i].start < end; i++)
        if (is_populated(&s->v[i]) &&
            !populate_area(&x, &s->v[i], u64_max(at, s->v[i].start), u64_min(end, s->v[i].end),
                           npages_out))
            return false;
    return true;
}
