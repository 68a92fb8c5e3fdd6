/*
 * Page-table memory replica; see ptmem.h.
 *
 * Nodes are whole 4 KiB frames, found by an open-addressing hash of the frame number, those of the
 * base and own ones in one table; a node holds the 512 folded words and the newest log entry that
 * touches it. Log entries of one node are chained from new to old, so a read of a node without pending
 * writes costs one probe, and any other looks only at the pending writes of its own node.
 *
 * Invariants: times never go back along the log; an entry is either in the log or folded, never
 * both; node numbers follow the order of first writes, so a saved copy depends on the writes only.
 */
#include "mimicos/ptmem.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define NODE_WORDS 512u
#define CHUNK_NODES 64u
#define FIRST_SLOTS 1024u
#define FIRST_LOG 1024u

struct node {
    uint64_t pfn;
    uint64_t newest; /* number of its newest log entry + 1; 0: none so far */
    uint64_t word[NODE_WORDS];
};

struct entry {
    struct mirror_write w;
    uint64_t prev; /* number of the node's next older entry + 1 */
};

/* Small: with many tables most probes miss the host's caches. */
struct slot {
    uint32_t pfn;
    uint32_t node; /* its number + 1, with IN_BASE when it is one of the base; 0: free */
};
#define IN_BASE (UINT32_C(1) << 31)

struct ptmem {
    struct ptmem_log bounds; /* first: read by casting */
    struct slot *slots; /* a power of two, at most half full */
    uint64_t nslots, nused;
    unsigned hash_shift;
    struct node **chunks;
    uint64_t nchunks, nnodes;
    struct entry *log; /* ring of log_cap entries, a power of two */
    uint64_t log_cap;
    simtime_t last_time; /* of the newest entry ever */
    const uint64_t *base_words; /* of the base's nodes; NULL: there is none */
    const uint32_t *base_pfns;
    uint64_t nbase;
};

_Static_assert(offsetof(struct ptmem, bounds) == 0, "ptmem_log_end casts");

struct save_head {
    uint64_t nbase, nnodes, log_begin, log_end;
    simtime_t last_time;
};

static void *alloc_or_stop(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (p == NULL)
        err_fatal(ERR_MEMORY, "page-table replica: no memory for %zu x %zu bytes", n, size);
    return p;
}

static struct node **grow_chunks(struct node **chunks, uint64_t n)
{
    struct node **p = realloc(chunks, n * sizeof(struct node *));
    if (p == NULL)
        err_fatal(ERR_MEMORY, "page-table replica: no memory for %llu chunks of nodes",
                  (unsigned long long)n);
    return p;
}

static struct node *node_at(const struct ptmem *m, uint64_t idx)
{
    return &m->chunks[idx / CHUNK_NODES][idx % CHUNK_NODES];
}

static struct entry *entry_at(const struct ptmem *m, uint64_t idx)
{
    return &m->log[idx & (m->log_cap - 1)];
}

/* The slot that holds `pfn`, or the free one where it belongs. */
static inline struct slot *find_slot(const struct ptmem *m, uint64_t pfn)
{
    uint64_t i = (pfn * UINT64_C(0x9e3779b97f4a7c15)) >> m->hash_shift;
    while (m->slots[i].node != 0 && m->slots[i].pfn != pfn)
        i = (i + 1) & (m->nslots - 1);
    return &m->slots[i];
}

/* A larger table with the same content, or a first one; false: no memory. */
static bool set_slots(struct ptmem *m, uint64_t nslots)
{
    struct slot *old = m->slots;
    uint64_t nold = m->nslots;
    struct slot *slots = calloc(nslots, sizeof *slots);
    if (slots == NULL)
        return false;
    m->slots = slots;
    m->nslots = nslots;
    m->hash_shift = 64u - log2_floor(nslots);
    for (uint64_t i = 0; i < nold; i++)
        if (old[i].node != 0)
            *find_slot(m, old[i].pfn) = old[i];
    free(old);
    return true;
}

/* The node of a frame is `node` from now on; false: no memory. */
static bool set_node(struct ptmem *m, uint64_t pfn, uint64_t node, uint32_t in_base)
{
    SIM_ASSERT(pfn <= UINT32_MAX && node + 1 < IN_BASE, "page-table replica: frame %llu, node %llu",
               (unsigned long long)pfn, (unsigned long long)node);
    if (2 * (m->nused + 1) > m->nslots && !set_slots(m, 2 * m->nslots))
        return false;
    struct slot *s = find_slot(m, pfn);
    m->nused += s->node == 0;
    *s = (struct slot){(uint32_t)pfn, (uint32_t)(node + 1) | in_base};
    return true;
}

static struct node *append_node(struct ptmem *m, uint64_t pfn)
{
    if (m->nnodes == m->nchunks * CHUNK_NODES) {
        m->chunks = grow_chunks(m->chunks, m->nchunks + 1);
        m->chunks[m->nchunks++] = alloc_or_stop(CHUNK_NODES, sizeof(struct node));
    }
    struct node *n = node_at(m, m->nnodes++);
    n->pfn = pfn;
    return n;
}

/* ---- the base -------------------------------------------------------------------------------- */

static inline const uint64_t *base_at(const struct ptmem *m, const struct slot *s)
{
    return m->base_words + (uint64_t)((s->node & ~IN_BASE) - 1) * NODE_WORDS;
}

static enum err enter_base(struct ptmem *m)
{
    for (uint64_t i = 0; i < m->nbase; i++)
        if (m->base_pfns[i] != 0 && !set_node(m, m->base_pfns[i], i, IN_BASE))
            return err_log(ERR_MEMORY, "page-table replica: no memory for an index of %llu nodes",
                           (unsigned long long)m->nbase);
    return ERR_OK;
}

enum err ptmem_share(struct ptmem *m, const uint64_t *words, const uint32_t *pfns, uint64_t nnodes)
{
    SIM_ASSERT(m->base_words == NULL && m->bounds.end == 0, "a base for a replica in use");
    m->base_words = words;
    m->base_pfns = pfns;
    m->nbase = nnodes;
    return enter_base(m);
}

static struct node *get_node(struct ptmem *m, uint64_t pfn)
{
    const struct slot *s = find_slot(m, pfn);
    if (s->node != 0 && (s->node & IN_BASE) == 0)
        return node_at(m, s->node - 1);
    struct node *n = append_node(m, pfn);
    if (s->node != 0)
        memcpy(n->word, base_at(m, s), sizeof n->word);
    if (!set_node(m, pfn, m->nnodes - 1, 0))
        err_fatal(ERR_MEMORY, "page-table replica: no memory for an index of %llu nodes",
                  (unsigned long long)m->nnodes);
    return n;
}

static void grow_log(struct ptmem *m)
{
    uint64_t cap = 2 * m->log_cap;
    struct entry *log = alloc_or_stop(cap, sizeof *log);
    for (uint64_t i = m->bounds.begin; i < m->bounds.end; i++)
        log[i & (cap - 1)] = *entry_at(m, i);
    free(m->log);
    m->log = log;
    m->log_cap = cap;
}

enum err ptmem_create(struct ptmem **out)
{
    struct ptmem *m = calloc(1, sizeof *m);
    if (m == NULL)
        return err_log(ERR_MEMORY, "page-table replica: no memory");
    if (!set_slots(m, FIRST_SLOTS)) {
        free(m);
        return err_log(ERR_MEMORY, "page-table replica: no memory");
    }
    m->log_cap = FIRST_LOG;
    m->log = alloc_or_stop(m->log_cap, sizeof *m->log);
    *out = m;
    return ERR_OK;
}

static void drop_nodes(struct ptmem *m)
{
    for (uint64_t i = 0; i < m->nchunks; i++)
        free(m->chunks[i]);
    free(m->chunks);
    m->chunks = NULL;
    m->nchunks = 0;
    m->nnodes = 0;
}

void ptmem_destroy(struct ptmem *m)
{
    if (m == NULL)
        return;
    drop_nodes(m);
    free(m->slots);
    free(m->log);
    free(m);
}

void ptmem_write(struct ptmem *m, const struct mirror_write *w)
{
    SIM_ASSERT((w->addr.v & 7u) == 0, "page-table write to %#llx is not aligned",
               (unsigned long long)w->addr.v);
    SIM_ASSERT(w->time >= m->last_time, "page-table write at %llu fs after one at %llu fs",
               (unsigned long long)w->time, (unsigned long long)m->last_time);
    if (m->bounds.end - m->bounds.begin == m->log_cap)
        grow_log(m);
    struct node *n = get_node(m, pfn_of(w->addr).v);
    *entry_at(m, m->bounds.end) = (struct entry){*w, n->newest};
    n->newest = ++m->bounds.end;
    m->last_time = w->time;
}

void ptmem_floor(struct ptmem *m, simtime_t floor)
{
    while (m->bounds.begin < m->bounds.end) {
        const struct mirror_write *w = &entry_at(m, m->bounds.begin)->w;
        if (w->time > floor)
            return;
        struct node *n = node_at(m, find_slot(m, pfn_of(w->addr).v)->node - 1);
        n->word[(w->addr.v >> 3) & (NODE_WORDS - 1)] = w->value;
        m->bounds.begin++;
    }
}

void ptmem_prefetch(const struct ptmem *m, paddr_t addr)
{
    const struct slot *s = find_slot(m, pfn_of(addr).v);
    if (s->node == 0)
        return;
    const uint64_t *words = s->node & IN_BASE ? base_at(m, s) : node_at(m, s->node - 1)->word;
    __builtin_prefetch(&words[(addr.v >> 3) & (NODE_WORDS - 1)]);
}

/* The newest pending write of the word that is visible at `t`; NULL: there is none. */
static const struct mirror_write *find_pending(const struct ptmem *m, const struct node *n, paddr_t addr,
                                               simtime_t t)
{
    for (uint64_t at = n->newest; at > m->bounds.begin; at = entry_at(m, at - 1)->prev) {
        const struct mirror_write *w = &entry_at(m, at - 1)->w;
        if (w->addr.v == addr.v && w->time <= t)
            return w;
    }
    return NULL;
}

uint64_t ptmem_read(const struct ptmem *m, paddr_t addr, simtime_t t)
{
    SIM_ASSERT((addr.v & 7u) == 0, "page-table read of %#llx is not aligned",
               (unsigned long long)addr.v);
    const struct slot *s = find_slot(m, pfn_of(addr).v);
    if (s->node == 0)
        return 0;
    uint64_t word = (addr.v >> 3) & (NODE_WORDS - 1);
    if (s->node & IN_BASE)
        return base_at(m, s)[word];
    const struct node *n = node_at(m, s->node - 1);
    /* Without writes under way the head of the node need not be read: it is on another host cache line. */
    const struct mirror_write *w = m->bounds.begin == m->bounds.end ? NULL : find_pending(m, n, addr, t);
    return w != NULL ? w->value : n->word[word];
}

const struct mirror_write *ptmem_log_at(const struct ptmem *m, uint64_t idx)
{
    SIM_ASSERT(idx >= m->bounds.begin && idx < m->bounds.end,
               "page-table log entry %llu of [%llu, %llu)", (unsigned long long)idx,
               (unsigned long long)m->bounds.begin, (unsigned long long)m->bounds.end);
    return &entry_at(m, idx)->w;
}

size_t ptmem_save_bytes(const struct ptmem *m)
{
    return sizeof(struct save_head) + m->nnodes * sizeof(struct node) +
           (m->bounds.end - m->bounds.begin) * sizeof(struct entry);
}

void ptmem_save(const struct ptmem *m, void *buf)
{
    struct save_head head = {m->nbase, m->nnodes, m->bounds.begin, m->bounds.end, m->last_time};
    char *p = buf;
    memcpy(p, &head, sizeof head);
    p += sizeof head;
    for (uint64_t i = 0; i < m->nnodes; i++, p += sizeof(struct node))
        memcpy(p, node_at(m, i), sizeof(struct node));
    for (uint64_t i = m->bounds.begin; i < m->bounds.end; i++, p += sizeof(struct entry))
        memcpy(p, entry_at(m, i), sizeof(struct entry));
}

/* Bytes that a copy with this head has, or 0 when the head contradicts itself. */
static size_t head_bytes(const struct save_head *h, size_t nbytes)
{
    if (h->log_end < h->log_begin || h->nnodes > nbytes / sizeof(struct node) ||
        h->log_end - h->log_begin > nbytes / sizeof(struct entry))
        return 0;
    return sizeof *h + h->nnodes * sizeof(struct node) +
           (h->log_end - h->log_begin) * sizeof(struct entry);
}

enum err ptmem_load(struct ptmem *m, const void *buf, size_t nbytes)
{
    struct save_head head;
    const char *p = buf;
    if (nbytes < sizeof head)
        return err_log(ERR_RUNTIME, "saved page-table replica: %zu bytes, head needs %zu", nbytes,
                       sizeof head);
    memcpy(&head, p, sizeof head);
    p += sizeof head;
    if (head_bytes(&head, nbytes) != nbytes)
        return err_log(ERR_RUNTIME,
                       "saved page-table replica: %zu bytes do not fit %llu nodes, log [%llu, %llu)",
                       nbytes, (unsigned long long)head.nnodes, (unsigned long long)head.log_begin,
                       (unsigned long long)head.log_end);
    if (head.nbase != m->nbase)
        return err_log(ERR_RUNTIME, "saved page-table replica: its base has %llu nodes, this one %llu",
                       (unsigned long long)head.nbase, (unsigned long long)m->nbase);
    drop_nodes(m);
    memset(m->slots, 0, m->nslots * sizeof *m->slots);
    m->nused = 0;
    enum err e = enter_base(m);
    if (e != ERR_OK)
        return e;
    for (uint64_t i = 0; i < head.nnodes; i++, p += sizeof(struct node)) {
        struct node *n = append_node(m, 0);
        memcpy(n, p, sizeof *n);
        if (!set_node(m, n->pfn, i, 0))
            return err_log(ERR_MEMORY, "page-table replica: no memory for an index of %llu nodes",
                           (unsigned long long)head.nnodes);
    }
    m->bounds.begin = m->bounds.end = head.log_begin;
    while (head.log_end - head.log_begin > m->log_cap)
        grow_log(m);
    for (uint64_t i = head.log_begin; i < head.log_end; i++, p += sizeof(struct entry))
        memcpy(entry_at(m, i), p, sizeof(struct entry));
    m->bounds.end = head.log_end;
    m->last_time = head.last_time;
    return ERR_OK;
}
