/* Memory management: state, the page-table store and freeing; see mm.h. */
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
    uint64_t buddy, alloc, nodes, spaces, vmas, words, end;
    uint64_t vmas_each;
};

static struct layout layout_of(const struct mm_config *c)
{
    struct layout l;
    l.vmas_each = round_up(vma_set_bytes(c->max_vmas), 64);
    l.buddy = round_up(sizeof(struct mm), 64);
    l.alloc = round_up(l.buddy + buddy_bytes(&c->frames), 64);
    const struct alloc_ops *policy = alloc_at(c->alloc);
    uint64_t policy_bytes = policy->state_bytes ? policy->state_bytes(c->frames.nframes) : 0;
    l.nodes = round_up(l.alloc + policy_bytes, 64);
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

/* ---- frames ---------------------------------------------------------------------------------- */

const struct alloc_ops *mm_policy(const struct mm *m) { return alloc_at(m->cfg.alloc); }

struct alloc mm_alloc(const struct mm *m, struct krun *r)
{
    return (struct alloc){mm_buddy(m), r, at_offset(m, m->alloc_at), m->cfg.frames.seed};
}

bool mm_reclaim(struct mm *m, struct krun *r)
{
    struct alloc a = mm_alloc(m, r);
    return mm_policy(m)->reclaim != NULL && mm_policy(m)->reclaim(&a);
}

bool mm_take_block(struct mm *m, struct krun *r, unsigned order, pfn_t *pfn_out,
                   unsigned *nsplits_out)
{
    do {
        if (buddy_alloc(mm_buddy(m), order, pfn_out, nsplits_out) == BUDDY_OK)
            return true;
    } while (mm_reclaim(m, r));
    return false;
}

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
    if (!mm_take_block(run->m, run->r, 0, pfn_out, NULL))
        return false;
    uint32_t slot = take_slot(run->m);
    *node_at(run->m, slot) = (struct mm_node){.pfn = (uint32_t)pfn_out->v};
    *buddy_owner_tag(mm_buddy(run->m), *pfn_out) = slot + 1;
    price_node(run->r, slot);
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

/*
 * A node that a promotion took off the table still holds its leaves. Linux clears a node when it
 * takes it again, and that is priced then; here its words and those of the replicas are cleared before
 * it is freed. False: it held nothing.
 */
static bool clear_words(struct mm *m, struct krun *r, uint32_t slot)
{
    paddr_t at = paddr_of_pfn((pfn_t){node_at(m, slot)->pfn});
    uint64_t *words = words_of(m, slot);
    bool any = false;
    for (uint64_t i = 0; i < NODE_WORDS; i++)
        if (words[i] != 0) {
            words[i] = 0;
            any = true;
            price_mirror(r, (paddr_t){at.v + 8 * i});
        }
    return any;
}

/* Clears the nodes of the chain, as many as fit into the run; false: all were clear. */
static bool clear_nodes(struct mm *m, struct krun *r, const struct mm_op *op)
{
    struct buddy *b = mm_buddy(m);
    bool any = false;
    for (uint32_t at = op->free_head; at != 0; at = *buddy_owner_link(b, (pfn_t){at - 1})) {
        uint32_t tag = *buddy_owner_tag(b, (pfn_t){at - 1});
        if (r->nwrites + NODE_WORDS > KRUN_MAX_WRITES)
            return any;
        if (tag != 0)
            any |= clear_words(m, r, tag - 1);
    }
    return any;
}

bool mm_op_free(struct mm *m, struct krun *r, struct mm_op *op)
{
    struct buddy *b = mm_buddy(m);
    struct alloc a = mm_alloc(m, r);
    const struct alloc_ops *policy = mm_policy(m);
    if (clear_nodes(m, r, op)) /* a node is free only after its words were seen to go */
        return false;
    price_op(r, KOP_FREE_FRAME, op->nfree);
    while (op->free_head != 0) {
        pfn_t pfn = {op->free_head - 1};
        op->free_head = *buddy_owner_link(b, pfn);
        uint32_t tag = *buddy_owner_tag(b, pfn);
        if (tag != 0)
            release_slot(m, tag - 1);
        else if (policy->keep != NULL && policy->keep(&a, pfn))
            continue;
        buddy_free(b, pfn);
    }
    op->free_tail = op->nfree = 0;
    return true;
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

uint64_t *mm_words(const struct mm *m) { return words_of(m, 0); }

void mm_node_frames(const struct mm *m, uint32_t *pfns_out)
{
    for (uint32_t slot = 0; slot < m->node_high_water; slot++)
        pfns_out[slot] = node_at(m, slot)->pfn;
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
    *m = (struct mm){.cfg = *cfg, .buddy_at = l.buddy, .alloc_at = l.alloc, .nodes_at = l.nodes,
                     .words_at = l.words, .spaces_at = l.spaces};
    m->cfg.infer_vmas_of = NULL;
    buddy_init(mm_buddy(m), &cfg->frames);
    for (uint64_t i = 0; i < cfg->boot_frames; i++) {
        pfn_t taken;
        if (buddy_alloc(mm_buddy(m), 0, &taken, NULL) != BUDDY_OK)
            return MM_NOMEM;
    }
    struct alloc a = mm_alloc(m, r);
    if (mm_policy(m)->init != NULL)
        mm_policy(m)->init(&a, cfg->frames.nframes);
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
    struct alloc a = mm_alloc(m, NULL);
    if (mm_policy(m)->verify != NULL)
        mm_policy(m)->verify(&a);
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
