/* Memory management: state, the page-table store and demand faults; see mm.h. */
#include "mimicos/mm.h"

#include <string.h>

#include "mimicos/kernel_call.h"
#include "pdes/err.h"

#define NODE_WORDS 512u
#define REGION_BYTES (UINT64_C(1) << PAGE_SHIFT_2M)
#define REGION_MASK (REGION_BYTES - 1)

/* ---- layout ---------------------------------------------------------------------------------- */

static uint64_t round_up(uint64_t x, uint64_t to) { return (x + to - 1) / to * to; }

struct layout {
    uint64_t buddy, nodes, spaces, vmas, words, end;
    uint64_t vmas_each;
};

static struct layout layout_of(const struct mm_config *c)
{
    struct layout l;
    l.vmas_each = round_up(vma_set_bytes(c->max_vmas), 64);
    l.buddy = round_up(sizeof(struct mm), 64);
    l.nodes = round_up(l.buddy + buddy_bytes(&c->frames), 64);
    l.spaces = round_up(l.nodes + (uint64_t)c->max_nodes * sizeof(struct mm_node), 64);
    l.vmas = round_up(l.spaces + (uint64_t)c->nspaces * sizeof(struct mm_space), 64);
    l.words = round_up(l.vmas + c->nspaces * l.vmas_each, PAGE_BYTES);
    l.end = l.words + (uint64_t)c->max_nodes * NODE_WORDS * 8;
    return l;
}

static void *at_offset(const struct mm *m, uint64_t offset)
{
    return (char *)(uintptr_t)m + offset;
}

struct buddy *mm_buddy(const struct mm *m) { return at_offset(m, m->buddy_at); }
static struct mm_node *node_at(const struct mm *m, uint32_t slot)
{
    return (struct mm_node *)at_offset(m, m->nodes_at) + slot;
}
static uint64_t *words_of(const struct mm *m, uint32_t slot)
{
    return (uint64_t *)at_offset(m, m->words_at) + (uint64_t)slot * NODE_WORDS;
}
static struct mm_space *space_at(const struct mm *m, uint32_t asid)
{
    SIM_ASSERT(asid < m->cfg.nspaces, "address space %u of %u", asid, m->cfg.nspaces);
    return (struct mm_space *)at_offset(m, m->spaces_at) + asid;
}
struct vma_set *mm_vmas(const struct mm *m, uint32_t asid)
{
    return at_offset(m, space_at(m, asid)->vmas_at);
}
paddr_t mm_root(const struct mm *m, uint32_t asid) { return space_at(m, asid)->root; }
bool mm_infers(const struct mm *m, uint32_t asid) { return space_at(m, asid)->infer_vmas != 0; }
const struct pt_format *mm_format(const struct mm *m) { return pt_format_at(m->cfg.format); }

/* ---- the store of page-table words ----------------------------------------------------------- */

/* Slot of the node that `addr` lies in; false: no node. */
static bool find_node(const struct mm *m, paddr_t addr, uint32_t *slot_out)
{
    struct buddy *b = mm_buddy(m);
    if (!buddy_is_allocated(b, pfn_of(addr), NULL))
        return false;
    uint32_t tag = *buddy_owner_tag(b, pfn_of(addr));
    *slot_out = tag - 1;
    return tag != 0;
}

static uint64_t *word_of(const struct mm *m, paddr_t addr, uint32_t *slot_out)
{
    bool found = find_node(m, addr, slot_out);
    SIM_ASSERT(found, "%#llx is in no page-table node", (unsigned long long)addr.v);
    return &words_of(m, *slot_out)[(addr.v >> 3) & (NODE_WORDS - 1)];
}

uint64_t mm_word(const struct mm *m, paddr_t addr)
{
    uint32_t slot;
    return *word_of(m, addr, &slot);
}

static uint64_t store_read8(void *ctx, paddr_t addr)
{
    const struct mm_run *run = ctx;
    uint32_t slot;
    uint64_t value = *word_of(run->m, addr, &slot);
    run->r->visible_fs = u64_max(run->r->visible_fs, node_at(run->m, slot)->visible_fs);
    return value;
}

static void store_write8(void *ctx, paddr_t addr, uint64_t value)
{
    const struct mm_run *run = ctx;
    uint32_t slot;
    *word_of(run->m, addr, &slot) = value;
    price_store(run->r, addr);
}

static uint32_t take_slot(struct mm *m)
{
    uint32_t slot = m->free_node - 1;
    if (m->free_node != 0)
        m->free_node = node_at(m, slot)->next_free;
    else if (m->node_high_water < m->cfg.max_nodes)
        slot = m->node_high_water++;
    else
        err_fatal(ERR_RUNTIME, "all %u page-table nodes are in use; raise os.max_table_nodes",
                  m->cfg.max_nodes);
    m->nnodes++;
    return slot;
}

static bool store_alloc_node(void *ctx, pfn_t *pfn_out)
{
    const struct mm_run *run = ctx;
    if (buddy_alloc(mm_buddy(run->m), 0, pfn_out, NULL) != BUDDY_OK)
        return false;
    uint32_t slot = take_slot(run->m);
    *node_at(run->m, slot) = (struct mm_node){.pfn = (uint32_t)pfn_out->v};
    *buddy_owner_tag(mm_buddy(run->m), *pfn_out) = slot + 1;
    SIM_ASSERT(run->r->nnodes < KRUN_MAX_NODES, "a handler run makes more than %u nodes",
               KRUN_MAX_NODES);
    run->r->node[run->r->nnodes++] = slot;
    price_op(run->r, KOP_ALLOC_ORDER0, 1);
    price_op(run->r, KOP_TABLE_ALLOC, 1);
    price_zero(run->r, paddr_of_pfn(*pfn_out), PAGE_BYTES);
    return true;
}

static void store_free_node(void *ctx, pfn_t pfn)
{
    const struct mm_run *run = ctx;
    price_op(run->r, KOP_TABLE_FREE, 1);
    mm_defer_free(run->m, run->op, pfn);
}

struct pt_store mm_store(struct mm_run *run)
{
    return (struct pt_store){run, store_read8, store_write8, store_alloc_node, store_free_node};
}

void mm_nodes_visible(struct mm *m, const struct krun *r, simtime_t time)
{
    for (uint32_t i = 0; i < r->nnodes; i++)
        node_at(m, r->node[i])->visible_fs = time;
}

bool mm_set_bits(struct mm *m, paddr_t pte, uint64_t bits, uint64_t *value_out)
{
    uint32_t slot;
    if ((pte.v & 7) != 0 || !find_node(m, pte, &slot))
        return false;
    uint64_t *word = &words_of(m, slot)[(pte.v >> 3) & (NODE_WORDS - 1)];
    if (!pte_present(*word))
        return false;
    *word |= bits & (PTE_ACCESSED | PTE_DIRTY);
    *value_out = *word;
    return true;
}

bool mm_clear_accessed(struct mm *m, uint64_t random, paddr_t *pte_out, uint64_t *value_out)
{
    uint32_t slot = (uint32_t)random % (m->node_high_water > 0 ? m->node_high_water : 1), child;
    for (uint64_t i = 0; i < NODE_WORDS; i++) {
        uint64_t at = ((random >> 32) + i) % NODE_WORDS;
        uint64_t *word = &words_of(m, slot)[at];
        if (!pte_present(*word) || find_node(m, paddr_of_pfn(pte_pfn(*word)), &child))
            continue;
        *word &= ~PTE_ACCESSED;
        *pte_out = (paddr_t){paddr_of_pfn((pfn_t){node_at(m, slot)->pfn}).v + 8 * at};
        *value_out = *word;
        return true;
    }
    return false;
}

/* ---- freeing --------------------------------------------------------------------------------- */

void mm_op_init(struct mm_op *op, uint32_t asid) { *op = (struct mm_op){.asid = asid}; }

void mm_op_flush(struct mm_op *op, uint64_t start, uint64_t end)
{
    bool none = op->flush_start == op->flush_end;
    op->flush_start = none ? start : u64_min(op->flush_start, start);
    op->flush_end = none ? end : u64_max(op->flush_end, end);
    op->flush_leaf_bytes = none ? end - start : u64_min(op->flush_leaf_bytes, end - start);
}

void mm_defer_free(struct mm *m, struct mm_op *op, pfn_t pfn)
{
    struct buddy *b = mm_buddy(m);
    *buddy_owner_link(b, pfn) = 0;
    if (op->free_tail != 0)
        *buddy_owner_link(b, (pfn_t){op->free_tail - 1}) = (uint32_t)pfn.v + 1;
    else
        op->free_head = (uint32_t)pfn.v + 1;
    op->free_tail = (uint32_t)pfn.v + 1;
    op->nfree++;
}

static void release_slot(struct mm *m, uint32_t slot)
{
    *node_at(m, slot) = (struct mm_node){.next_free = m->free_node};
    m->free_node = slot + 1;
    m->nnodes--;
}

void mm_op_free(struct mm *m, struct krun *r, struct mm_op *op)
{
    struct buddy *b = mm_buddy(m);
    price_op(r, KOP_FREE_FRAME, op->nfree);
    while (op->free_head != 0) {
        pfn_t pfn = {op->free_head - 1};
        op->free_head = *buddy_owner_link(b, pfn);
        uint32_t tag = *buddy_owner_tag(b, pfn);
        if (tag != 0)
            release_slot(m, tag - 1);
        buddy_free(b, pfn);
    }
    op->free_tail = op->nfree = 0;
}

/* ---- faults ---------------------------------------------------------------------------------- */

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

static bool take_frame(struct fault *x, unsigned order, pfn_t *pfn_out)
{
    unsigned nsplits = 0;
    if (buddy_alloc(mm_buddy(x->run.m), order, pfn_out, &nsplits) != BUDDY_OK)
        return false;
    price_op(x->run.r, order == 0 ? KOP_ALLOC_ORDER0 : KOP_ALLOC_BUDDY, 1);
    if (order != 0)
        price_op(x->run.r, KOP_ALLOC_SPLIT, nsplits);
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

static enum mm_fault_kind map_anon(struct fault *x, enum mm_fault_kind kind)
{
    pfn_t pfn;
    if (!take_frame(x, 0, &pfn))
        return FAULT_NOMEM;
    price_op(x->run.r, KOP_ACCOUNT, 1);
    price_zero(x->run.r, paddr_of_pfn(pfn), PAGE_BYTES);
    uint64_t old = first_bits(x) | (kind == FAULT_SEGV ? PTE_STRAY : 0);
    return map_leaf(x, x->va, PAGE_SHIFT, pte_make(pfn, mm_leaf_rights(x->area.prot, old)), kind);
}

/* Linux's conditions at fault time, but for the free block. */
static bool huge_is_due(const struct fault *x)
{
    const struct mm *m = x->run.m;
    uint64_t base = x->va.v & ~REGION_MASK;
    if (m->cfg.thp == THP_NEVER || (x->area.flags & (VMA_FILE | VMA_SHARED | VMA_NOHUGEPAGE)) != 0)
        return false;
    if (m->cfg.thp == THP_MADVISE && (x->area.flags & VMA_HUGEPAGE) == 0)
        return false;
    return x->e.shift >= PAGE_SHIFT_2M &&
           vma_covers(mm_vmas(m, x->asid), base, base + REGION_BYTES);
}

static bool map_huge(struct fault *x, enum mm_fault_kind *kind_out)
{
    pfn_t pfn;
    if (!take_frame(x, BUDDY_HUGE_ORDER, &pfn)) {
        price_op(x->run.r, KOP_ALLOC_BUDDY, 1); /* the search that failed */
        x->out->thp_fallback = true;
        return false;
    }
    price_op(x->run.r, KOP_HUGE_PREPARE, 1);
    price_op(x->run.r, KOP_ACCOUNT, 1);
    price_zero(x->run.r, paddr_of_pfn(pfn), REGION_BYTES);
    uint64_t value = pte_make(pfn, mm_leaf_rights(x->area.prot, first_bits(x)));
    *kind_out = map_leaf(x, x->va, PAGE_SHIFT_2M, value, FAULT_ANON_2M);
    return true;
}

/* One page of the page cache, of which traces tell no identity: a frame of its own. */
static enum mm_fault_kind map_file_page(struct fault *x, vaddr_t va, uint64_t bits)
{
    pfn_t pfn;
    if (buddy_alloc(mm_buddy(x->run.m), 0, &pfn, NULL) != BUDDY_OK)
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
    if (!take_frame(x, 0, &pfn))
        return FAULT_NOMEM;
    price_op(x->run.r, KOP_ACCOUNT, 1);
    price_copy(x->run.r, PAGE_BYTES);
    uint64_t value = pte_make(pfn, mm_leaf_rights(x->area.prot, PTE_ACCESSED | PTE_DIRTY));
    return map_leaf(x, x->va, PAGE_SHIFT, value, FAULT_COW);
}

static enum mm_fault_kind map_new(struct fault *x)
{
    enum mm_fault_kind kind;
    if ((x->area.flags & VMA_FILE) != 0)
        return map_file(x);
    if (huge_is_due(x) && map_huge(x, &kind))
        return kind;
    return map_anon(x, FAULT_ANON_4K);
}

/* First write to a page that was mapped from a file for reading. */
static enum mm_fault_kind copy_on_write(struct fault *x)
{
    pfn_t pfn;
    if (!take_frame(x, 0, &pfn))
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
        return map_anon(x, FAULT_SEGV);
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

/* ---- life ------------------------------------------------------------------------------------ */

const char *mm_config_error(const struct mm_config *cfg)
{
    const char *bad = buddy_config_error(&cfg->frames);
    if (bad != NULL)
        return bad;
    if (cfg->frames.nreserved == 0)
        return "the first 4 MiB must be reserved: frame 0 stands for none";
    if (cfg->max_vmas < 8 || cfg->max_nodes < 8 || cfg->nspaces < 1)
        return "there must be room for one address space, eight areas and eight table nodes";
    if (!is_pow2(u64_max(cfg->fault_around_bytes, 1)) || cfg->fault_around_bytes > REGION_BYTES)
        return "the fault-around window must be a power of two up to 2 MiB";
    return NULL;
}

size_t mm_bytes(const struct mm_config *cfg) { return layout_of(cfg).end; }

void mm_first_areas(struct mm *m, uint32_t asid)
{
    struct vma_set *s = mm_vmas(m, asid);
    s->n = 0;
    if (mm_infers(m, asid))
        vma_add(s, 0, radix_va_mask(mm_format(m)->levels) + 1 - PAGE_BYTES,
                KPROT_READ | KPROT_WRITE | KPROT_EXEC, 0, 0);
}

enum mm_result mm_init(struct mm *m, const struct mm_config *cfg, struct krun *r)
{
    struct layout l = layout_of(cfg);
    *m = (struct mm){.cfg = *cfg, .buddy_at = l.buddy, .nodes_at = l.nodes, .words_at = l.words,
                     .spaces_at = l.spaces};
    m->cfg.infer_vmas_of = NULL;
    buddy_init(mm_buddy(m), &cfg->frames);
    for (uint64_t i = 0; i < cfg->boot_frames; i++) {
        pfn_t taken;
        if (buddy_alloc(mm_buddy(m), 0, &taken, NULL) != BUDDY_OK)
            return MM_NOMEM;
    }
    struct mm_run run = {m, r, NULL};
    struct pt_store st = mm_store(&run);
    const struct pt_format *f = mm_format(m);
    for (uint32_t asid = 0; asid < cfg->nspaces; asid++) {
        struct mm_space *s = space_at(m, asid);
        s->vmas_at = l.vmas + asid * l.vmas_each;
        s->infer_vmas = cfg->infer_vmas_of != NULL ? cfg->infer_vmas_of[asid] : cfg->infer_vmas;
        vma_set_init(mm_vmas(m, asid), cfg->max_vmas);
        krun_begin(r);
        if (f->create(f, &st, &s->root) != PT_OK)
            return MM_NOMEM;
        mm_first_areas(m, asid);
    }
    return MM_OK;
}

void mm_verify(const struct mm *m)
{
    const struct buddy *b = mm_buddy(m);
    buddy_verify(b);
    uint32_t n = 0;
    for (uint32_t slot = 0; slot < m->node_high_water; slot++) {
        const struct mm_node *node = node_at(m, slot);
        if (node->pfn == 0)
            continue;
        uint32_t found = 0;
        bool is_node = find_node(m, paddr_of_pfn((pfn_t){node->pfn}), &found);
        SIM_ASSERT(is_node && found == slot, "page-table node %u is frame %#x", slot, node->pfn);
        n++;
    }
    SIM_ASSERT(n == m->nnodes, "%u page-table nodes of %u", n, m->nnodes);
    for (uint32_t asid = 0; asid < m->cfg.nspaces; asid++)
        vma_verify(mm_vmas(m, asid));
}
