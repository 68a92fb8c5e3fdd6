/*
 * Map calls: areas change at once, pages follow one 2 MiB region per step, so that each step is
 * bounded and can be priced, committed and waited for on its own.
 */
#include "mimicos/kernel_call.h"
#include "mimicos/mm.h"
#include "pdes/err.h"

#define REGION_BYTES (UINT64_C(1) << PAGE_SHIFT_2M)
#define REGION_MASK (REGION_BYTES - 1)
#define LINE_ENTRIES 8u

/* ---- steps over pages ------------------------------------------------------------------------ */

struct walk {
    struct mm_run run;
    struct pt_store st;
    const struct pt_format *f;
    paddr_t root;
    struct mm_op *op;
};

static uint64_t page_up(uint64_t x) { return (x + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1); }
static uint64_t leaf_end(const struct pt_entry *e) { return e->va + (UINT64_C(1) << e->shift); }

/* Cuts a large leaf that reaches out of [at, end), twice if need be. False: no frame for the node. */
static bool cut_leaf(struct walk *w, struct pt_entry *e, uint64_t at, uint64_t end)
{
    while (e->shift != PAGE_SHIFT && (e->va < at || leaf_end(e) > end)) {
        if (w->f->split(w->f, &w->st, w->root, e) != PT_OK)
            return false;
        buddy_split_allocated(mm_buddy(w->run.m), pte_pfn(e->value));
        mm_op_flush(w->op, e->va, leaf_end(e));
        w->f->lookup(w->f, &w->st, w->root, (vaddr_t){u64_max(at, e->va)}, e);
    }
    return true;
}

static void unmap_leaf(struct walk *w, const struct pt_entry *e)
{
    w->f->unmap(w->f, &w->st, w->root, e);
    mm_defer_free(w->run.m, w->op, pte_pfn(e->value));
    mm_op_flush(w->op, e->va, leaf_end(e));
    w->op->npages++;
}

static void protect_leaf(struct walk *w, const struct pt_entry *e)
{
    const struct vma *v = vma_find(mm_vmas(w->run.m, w->op->asid), e->va);
    if (v == NULL)
        return; /* a stray page: no area, no rights to change */
    uint64_t value = (e->value & PTE_PFN_MASK) | mm_leaf_rights(v->prot, e->value);
    if ((value | PTE_PS) == (e->value | PTE_PS))
        return;
    w->f->update(w->f, &w->st, w->root, e, value);
    mm_op_flush(w->op, e->va, leaf_end(e));
    w->op->npages++;
}

/* Moves the leaves of `e` (n of them, all of one shift) to `to` from the first one's address on. */
static bool move_leaves(struct walk *w, const struct pt_entry *e, unsigned n, uint64_t delta)
{
    price_op(w->run.r, KOP_MREMAP_PAGE, n);
    for (unsigned i = 0; i < n; i++) {
        w->f->unmap(w->f, &w->st, w->root, &e[i]);
        mm_op_flush(w->op, e[i].va, leaf_end(&e[i]));
    }
    for (unsigned i = 0; i < n; i++) {
        enum pt_result r = w->f->map(w->f, &w->st, w->root, (vaddr_t){e[i].va + delta}, e[i].shift,
                                     e[i].value);
        SIM_ASSERT(r != PT_BUSY, "mremap to %#llx: the entry is in use",
                   (unsigned long long)(e[i].va + delta));
        if (r != PT_OK)
            return false;
    }
    w->op->npages += n;
    return true;
}

/* Can the large leaf `e` be mapped as it is, `delta` further? */
static bool fits_whole(struct walk *w, const struct pt_entry *e, uint64_t delta)
{
    struct pt_entry there;
    if ((delta & ((UINT64_C(1) << e->shift) - 1)) != 0)
        return false;
    w->f->prune(w->f, &w->st, w->root, (vaddr_t){e->va + delta});
    w->f->lookup(w->f, &w->st, w->root, (vaddr_t){e->va + delta}, &there);
    return there.value == 0 && there.shift >= e->shift;
}

/* A large leaf moves whole when it fits at its new place; else it is cut. */
static bool ready_to_move(struct walk *w, struct pt_entry *e, uint64_t delta)
{
    return e->shift == PAGE_SHIFT || fits_whole(w, e, delta) ||
           cut_leaf(w, e, e->va, e->va + PAGE_BYTES);
}

/* The pages of [at, end), one line of entries at a time. */
static bool move_range(struct walk *w, uint64_t at, uint64_t end, uint64_t delta)
{
    struct pt_entry e[LINE_ENTRIES];
    while (at < end) {
        unsigned n = 0;
        while (n < LINE_ENTRIES && w->f->next(w->f, &w->st, w->root, (vaddr_t){at}, end, &e[n])) {
            if (!cut_leaf(w, &e[n], at, end) || !ready_to_move(w, &e[n], delta))
                return false;
            at = leaf_end(&e[n++]);
            if (e[n - 1].shift != PAGE_SHIFT)
                break;
        }
        if (n == 0)
            return true;
        if (!move_leaves(w, e, n, delta))
            return false;
    }
    return true;
}

static bool change_range(struct walk *w, enum mm_act act, uint64_t at, uint64_t end)
{
    struct pt_entry e;
    uint64_t n = 0;
    for (; at < end && w->f->next(w->f, &w->st, w->root, (vaddr_t){at}, end, &e); n++) {
        if (!cut_leaf(w, &e, at, end))
            return false;
        if (act == MM_PROTECT)
            protect_leaf(w, &e);
        else
            unmap_leaf(w, &e);
        at = leaf_end(&e);
    }
    /* Priced together, so that the writes of one line stay one segment. */
    price_op(w->run.r, act == MM_PROTECT ? KOP_MPROTECT_PAGE : KOP_MUNMAP_PAGE, n);
    return true;
}

/*
 * What one step does from the first used leaf `e` of the current range on: its 2 MiB region, or the
 * whole of a 1 GiB page that lies in the range.
 */
static uint64_t step_bytes(struct walk *w, const struct pt_entry *e)
{
    const struct mm_op *op = w->op;
    uint32_t i = op->range;
    bool whole = e->shift == PAGE_SHIFT_1G && e->va >= op->at[i] && leaf_end(e) <= op->end[i] &&
                 (op->act[i] != MM_MOVE || fits_whole(w, e, op->to - op->at[i]));
    return whole ? UINT64_C(1) << PAGE_SHIFT_1G : REGION_BYTES;
}

/* Does one region of the current range; false: out of frames. */
static bool do_region(struct walk *w, const struct pt_entry *e)
{
    struct mm_op *op = w->op;
    uint32_t i = op->range;
    enum mm_act act = (enum mm_act)op->act[i];
    uint64_t bytes = step_bytes(w, e), base = u64_max(e->va, op->at[i]) & ~(bytes - 1);
    uint64_t at = u64_max(op->at[i], base), end = u64_min(op->end[i], base + bytes);
    bool ok = act == MM_MOVE ? move_range(w, at, end, op->to - op->at[i])
                             : change_range(w, act, at, end);
    if (act == MM_UNMAP || act == MM_MOVE)
        w->f->prune(w->f, &w->st, w->root, (vaddr_t){base});
    if (act == MM_MOVE)
        op->to += base + bytes - op->at[i];
    op->at[i] = base + bytes;
    return ok;
}

/* os.premap: one 2 MiB region of a new area, without time; 1 GiB pages end where they end. */
static bool populate_region(struct walk *w)
{
    struct mm_op *op = w->op;
    uint64_t at = op->at[op->range];
    uint64_t end = u64_min(op->end[op->range], (at & ~REGION_MASK) + REGION_BYTES), npages;
    const struct mm_op before = *op;
    w->run.r->mode = KRUN_UNTIMED;
    bool ok = mm_populate(w->run.m, w->run.r, op, op->asid, at, end, &npages);
    if (npages == REGION_BYTES / PAGE_BYTES) { /* all new: no core has used what was promoted */
        op->flush_start = before.flush_start;
        op->flush_end = before.flush_end;
        op->flush_leaf_bytes = before.flush_leaf_bytes;
    }
    op->at[op->range] = end;
    return ok;
}

bool mm_op_step(struct mm *m, struct krun *r, struct mm_op *op, enum mm_result *result_out)
{
    struct walk w = {.run = {m, r, op}, .f = mm_format(m), .root = mm_root(m, op->asid), .op = op};
    w.st = mm_store(&w.run);
    *result_out = MM_OK;
    for (; op->range < op->nranges; op->range++) {
        uint32_t i = op->range;
        struct pt_entry e;
        if (op->at[i] >= op->end[i])
            continue;
        bool ok = true;
        if (op->act[i] == MM_POPULATE)
            ok = populate_region(&w);
        else if (w.f->next(w.f, &w.st, w.root, (vaddr_t){op->at[i]}, op->end[i], &e))
            ok = do_region(&w, &e);
        else
            continue;
        if (!ok)
            *result_out = MM_NOMEM;
        return true;
    }
    return false;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void add_range(struct mm_op *op, enum mm_act act, uint64_t start, uint64_t end)
{
    if (start >= end)
        return;
    op->act[op->nranges] = act;
    op->at[op->nranges] = start & ~(PAGE_BYTES - 1);
    op->end[op->nranges++] = page_up(end);
}

/* os.premap: what the call added is filled at once. */
static void add_populate(const struct mm *m, struct mm_op *op, uint64_t start, uint64_t end)
{
    if (m->cfg.populate && !mm_infers(m, op->asid))
        add_range(op, MM_POPULATE, start, end);
}

static enum mm_result from_vma(enum vma_result r)
{
    return r == VMA_OK ? MM_OK : r == VMA_FULL ? MM_VMA_LIMIT : MM_RANGE;
}

static uint32_t area_flags(uint64_t map_flags)
{
    return ((map_flags & KMAP_ANONYMOUS) == 0 ? (uint32_t)VMA_FILE : 0) |
           ((map_flags & KMAP_SHARED) != 0 ? (uint32_t)VMA_SHARED : 0) |
           ((map_flags & KMAP_GROWSDOWN) != 0 ? (uint32_t)VMA_GROWSDOWN : 0);
}

static uint32_t prot_bits(uint64_t prot)
{
    return (uint32_t)prot & (KPROT_READ | KPROT_WRITE | KPROT_EXEC);
}

/* a: order addr len prot flags vma */
static enum mm_result call_mmap(struct mm *m, const uint64_t *a, struct mm_op *op)
{
    struct vma_set *s = mm_vmas(m, op->asid);
    bool replaces = vma_overlaps(s, a[1], a[2]);
    enum vma_result r = vma_add(s, a[1], a[2], prot_bits(a[3]), area_flags(a[4]), (uint32_t)a[5]);
    if (r == VMA_OK && replaces && !mm_infers(m, op->asid))
        add_range(op, MM_UNMAP, a[1], a[1] + a[2]);
    if (r == VMA_OK)
        add_populate(m, op, a[1], a[1] + a[2]);
    return from_vma(r);
}

/* a: order addr len */
static enum mm_result call_munmap(struct mm *m, const uint64_t *a, struct mm_op *op)
{
    enum vma_result r = vma_remove(mm_vmas(m, op->asid), a[1], a[2]);
    if (r == VMA_OK)
        add_range(op, MM_UNMAP, a[1], a[1] + a[2]);
    return from_vma(r);
}

/* a: order addr len prot */
static enum mm_result call_mprotect(struct mm *m, const uint64_t *a, struct mm_op *op)
{
    enum vma_result r = vma_protect(mm_vmas(m, op->asid), a[1], a[2], prot_bits(a[3]));
    if (r == VMA_OK)
        add_range(op, MM_PROTECT, a[1], a[1] + a[2]);
    return from_vma(r);
}

/* a: order old_addr old_len new_addr new_len vma */
static enum mm_result call_mremap(struct mm *m, const uint64_t *a, struct mm_op *op)
{
    struct vma_set *s = mm_vmas(m, op->asid);
    uint64_t moved = u64_min(page_up(a[2]), page_up(a[4]));
    enum vma_result r = vma_remap(s, a[1], a[2], a[3], a[4], (uint32_t)a[5]);
    if (r != VMA_OK)
        return from_vma(r);
    if (a[1] != a[3]) {
        add_range(op, MM_UNMAP, a[3], a[3] + a[4]);
        add_range(op, MM_MOVE, a[1], a[1] + moved);
        op->to = a[3] & ~(PAGE_BYTES - 1);
    }
    add_range(op, MM_UNMAP, a[1] + moved, a[1] + page_up(a[2]));
    add_populate(m, op, a[3] + moved, a[3] + page_up(a[4]));
    return MM_OK;
}

/* a: order old_end new_end vma */
static enum mm_result call_brk(struct mm *m, const uint64_t *a, struct mm_op *op)
{
    enum vma_result r = vma_brk(mm_vmas(m, op->asid), a[1], a[2], (uint32_t)a[3]);
    if (r == VMA_OK && a[2] < a[1])
        add_range(op, MM_UNMAP, page_up(a[2]), page_up(a[1]));
    if (r == VMA_OK && a[2] > a[1])
        add_populate(m, op, page_up(a[1]), page_up(a[2]));
    return from_vma(r);
}

/* a: order addr len advice */
static enum mm_result call_madvise(struct mm *m, const uint64_t *a, struct mm_op *op)
{
    struct vma_set *s = mm_vmas(m, op->asid);
    switch (a[3]) {
    case KADV_DONTNEED:
    case KADV_FREE:
    case KADV_REMOVE:
        add_range(op, MM_ZAP, a[1], a[1] + a[2]);
        return MM_OK;
    case KADV_HUGEPAGE:
        return from_vma(vma_advise(s, a[1], a[2], VMA_HUGEPAGE, VMA_NOHUGEPAGE));
    case KADV_NOHUGEPAGE:
        return from_vma(vma_advise(s, a[1], a[2], VMA_NOHUGEPAGE, VMA_HUGEPAGE));
    default:
        return MM_OK; /* advice without effect here */
    }
}

enum mm_result mm_call(struct mm *m, struct krun *r, uint32_t asid, unsigned call,
                       const uint64_t a[6], struct mm_op *op)
{
    static const struct {
        unsigned call;
        enum kop cost;
        enum mm_result (*run)(struct mm *m, const uint64_t *a, struct mm_op *op);
    } calls[] = {
        {KCALL_MMAP, KOP_MMAP, call_mmap},
        {KCALL_MUNMAP, KOP_MUNMAP, call_munmap},
        {KCALL_MPROTECT, KOP_MPROTECT, call_mprotect},
        {KCALL_MREMAP, KOP_MREMAP, call_mremap},
        {KCALL_BRK, KOP_BRK, call_brk},
        {KCALL_MADVISE, KOP_MADVISE, call_madvise},
    };
    mm_op_init(op, asid);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (calls[i].call == call) {
            price_op(r, calls[i].cost, 1);
            return calls[i].run(m, a, op);
        }
    SIM_ASSERT(false, "call %u is not a map call", call);
}

bool mm_call_unmaps(const struct mm *m, uint32_t asid, unsigned call, const uint64_t a[6])
{
    switch (call) {
    case KCALL_MUNMAP:
    case KCALL_MPROTECT:
    case KCALL_MREMAP:
        return true;
    case KCALL_BRK:
        return a[2] < a[1];
    case KCALL_MMAP:
        return !mm_infers(m, asid) && vma_overlaps(mm_vmas(m, asid), a[1], a[2]);
    default:
        return false;
    }
}
