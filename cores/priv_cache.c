/*
 * Private caches of a core: L1I (optional), L1D, L2, the miss file and the write-back buffer.
 *
 * L1D and L2 are write-back and allocate on stores; L2 neither includes L1D nor excludes it: a line
 * is filled into both, a dirty L1D victim goes to L2 (allocated if L2 lost it meanwhile), a dirty L2
 * victim to its LLC slice. Walk references are 8-byte reads through L1D like any load. Lines carry
 * what they hold (data, code, page table), and statistics keep these apart.
 *
 * A miss takes an MSHR until its answer; without a free one (or while write-backs wait for their
 * credit) it queues and repeats its lookup time when its turn comes. Requests to one line merge.
 *
 * Prefetches go the same way: one into L1D looks in L2 and, if it misses there, takes an L1D MSHR
 * as long as `prefetch.mshrs_left` stay free; one into L2 takes an L2 MSHR that is needed neither for the
 * free L1D MSHRs nor for one line of code, so that no access to data ever waits for it (with more lines
 * of code under way at once it may). Without one they are dropped. Both are real requests to the LLC. Demand that meets a prefetch on its way waits for it like for any miss, and it
 * takes an L1D MSHR (even if all are in use: others wait the longer). A line keeps a mark until its
 * first use.
 *
 * Not modelled: L1-to-L2 bandwidth, MSHR occupancy of L1D misses that hit L2, coherence between
 * cores (a later directory sends MEM_INVALIDATE, which is handled).
 */
#include "cores/l1d.h"
#include "cores/l1i.h"
#include "memsys/llc.h"

static struct sarray *l1d(struct core *c) { return core_at(c, c->at.l1d); }
static struct sarray *l1i(struct core *c) { return core_at(c, c->at.l1i); }
static struct sarray *l2(struct core *c) { return core_at(c, c->at.l2); }

/* Payload of the line, counted as a use; NULL: miss. */
static inline uint64_t *lookup(struct sarray *a, uint64_t line)
{
    return sarray_use(a, cache_set(a, line), line);
}

/* ---- write-backs ------------------------------------------------------------------------------ */

static uint64_t *wb_slot(struct core *c, uint32_t i)
{
    return (uint64_t *)core_at(c, c->at.wb_queue) + core_ring_at(c->wb_queue_head, i, c->wb_queue_size);
}

static void send_writeback(const struct core_ctx *x, uint64_t line_and_kind)
{
    struct core *c = x->c;
    uint64_t line = line_and_kind & ~(LINE_BYTES - 1);
    uint32_t slice = llc_slice_of((paddr_t){line}, x->cfg->nslices);
    simtime_t t = time_of(x->cfg, c->touch + core_min_request_cycles(x->p)) +
                  noc_core_slice_fs(x->cfg->noc, x->lp->instance, slice);
    lp_send(x->lp, x->cfg->first_slice_lp + slice, t,
            MSG_TYPE(MEM_WRITEBACK, line_and_kind & LINE_KIND_MASK), 0, line, 0, 0, 0);
    lp_fetch(x->lp, x->cfg->first_slice_lp + slice, line);
    c->wbs_out++;
    c->writebacks_sent++;
    c->stats.l2_writebacks++;
}

static void write_back(const struct core_ctx *x, uint64_t line, uint64_t data)
{
    struct core *c = x->c;
    uint64_t entry = line | (data & LINE_KIND_MASK);
    if (c->wb_queue_n == 0 && c->wbs_out < x->p->l2.wb_buffers) {
        send_writeback(x, entry);
        return;
    }
    SIM_ASSERT(c->wb_queue_n < c->wb_queue_size, "core %u: %u write-backs wait; raise l2.wb_buffers",
               x->lp->instance, c->wb_queue_n);
    *wb_slot(c, c->wb_queue_n++) = entry;
}

/* ---- lines that were prefetched ---------------------------------------------------------------- */

/* A line leaves a cache, or is written over. */
static inline void leave_l1d(struct core *c, uint64_t data)
{
    if (data & LINE_PREFETCHED) {
        c->stats.l1_prefetch_unused--;
        c->stats.l1_prefetch_useless++;
    }
}

static inline void leave_l2(struct core *c, uint64_t data)
{
    if (data & LINE_PREFETCHED) {
        c->stats.l2_prefetch_unused--;
        c->stats.l2_prefetch_useless++;
    }
}

/* L1D is asked for a line that was prefetched; its data is there, or will be in a moment. */
static void use_in_l1d(struct core *c, uint64_t *held, bool there)
{
    c->stats.l1_prefetch_unused--;
    if (there)
        c->stats.l1_prefetch_useful++;
    else
        c->stats.l1_prefetch_late++;
    c->pf.first_use = 1;
    c->pf.latency = (uint32_t)(*held >> LINE_LATENCY_SHIFT & LINE_LATENCY_MAX);
    *held &= ~LINE_PREFETCHED;
}

/* L1 asks L2 for a line that is there. */
static inline void use_in_l2(struct core *c, uint64_t *held)
{
    c->pf.asked_l2 = 1 + (*held & LINE_PREFETCHED ? PREFETCH_FIRST_USE : PREFETCH_HIT);
    if (*held & LINE_PREFETCHED) {
        c->stats.l2_prefetch_unused--;
        c->stats.l2_prefetch_useful++;
        *held &= ~LINE_PREFETCHED;
    }
}

/* ---- fills ------------------------------------------------------------------------------------ */

static inline uint64_t is_pt(uint64_t data) { return (data & LINE_KIND_MASK) == LINE_PT; }

/* L2 lacks the line, or is not there. */
INLINE void put_into_l2(const struct core_ctx *x, uint64_t line, uint64_t data)
{
    struct core *c = x->c;
    struct sarray *a = l2(c);
    struct sarray_entry old;
    if (a->nways == 0) {
        if (data & LINE_DIRTY)
            write_back(x, line, data);
        return;
    }
    if (sarray_replace(a, cache_set(a, line), line, data, &old)) {
        c->stats.l2_pt_lines -= is_pt(old.data);
        leave_l2(c, old.data);
        if (old.data & LINE_DIRTY)
            write_back(x, old.tag, old.data);
    }
    c->stats.l2_pt_lines += is_pt(data);
    c->stats.l2_prefetch_unused += (data & LINE_PREFETCHED) != 0;
}

static __attribute__((noinline)) void fill_l2(const struct core_ctx *x, uint64_t line, uint64_t data)
{
    uint64_t *held = lookup(l2(x->c), line);
    if (held != NULL)
        *held |= data & LINE_DIRTY;
    else
        put_into_l2(x, line, data);
}

/* L1D lacks the line. True: *old_out leaves for it; where there is no L1D, the line itself, if it is dirty. */
INLINE bool replace_in_l1d(struct core *c, uint64_t line, uint64_t data, struct sarray_entry *old_out)
{
    struct sarray *a = l1d(c);
    forget_recent_line(recent_in_l1d(c, line));
    c->absent_line = UINT64_MAX;
    if (a->nways == 0) {
        *old_out = (struct sarray_entry){line, data & LINE_FLAGS};
        return data & LINE_DIRTY;
    }
    c->stats.l1_prefetch_unused += (data & LINE_PREFETCHED) != 0;
    return sarray_replace(a, cache_set(a, line), line, data, old_out);
}

/* What left L1D. */
static inline void evict_from_l1d(const struct core_ctx *x, const struct sarray_entry *old)
{
    struct core *c = x->c;
    leave_l1d(c, old->data);
    if (old->data & LINE_DIRTY) {
        c->stats.l1d_writebacks += l1d(c)->nways != 0;
        fill_l2(x, old->tag, old->data & LINE_FLAGS);
    }
}

static __attribute__((noinline)) void fill_l1d(const struct core_ctx *x, uint64_t line, uint64_t data)
{
    struct sarray_entry old;
    if (replace_in_l1d(x->c, line, data, &old))
        evict_from_l1d(x, &old);
}

static void fill_l1i(const struct core_ctx *x, uint64_t line, uint64_t ready, bool prefetched)
{
    struct sarray *a = l1i(x->c);
    if (a->nways == 0)
        return;
    uint32_t set = cache_set(a, line);
    if (sarray_find(a, set, line) >= 0)
        return;
    struct sarray_entry old;
    if (sarray_replace(a, set, line, LINE_CODE | (prefetched ? LINE_PREFETCHED : 0) | ready << LINE_READY_SHIFT, &old))
        forget_code_line(x->c, old.tag);
}

/* The line of an L2 set will come: the host should have near what it replaces. */
static inline void expect_fill(const struct sarray *a, uint32_t set)
{
    if (a->nways != 0)
        sarray_prefetch_victim(a, set);
}

/* ---- misses ----------------------------------------------------------------------------------- */

static uint32_t *miss_queue_slot(struct core *c, uint32_t i)
{
    return (uint32_t *)core_at(c, c->at.miss_queue) + core_ring_at(c->miss_queue_head, i, c->miss_size);
}

static void unhash_miss(struct core *c, uint32_t idx)
{
    uint16_t *link = miss_bucket(c, core_miss(c, idx)->line);
    while (*link != idx + 1)
        link = &core_miss(c, *link - 1)->hash_next;
    *link = core_miss(c, idx)->hash_next;
}

/* Instruction lines and prefetches into L2 only take an L2 MSHR. */
static inline bool holds_data_mshr(const struct miss *m)
{
    return m->kind != LINE_CODE && m->prefetch != MISS_FOR_L2;
}

static bool may_send(const struct core_ctx *x, enum line_kind kind)
{
    const struct core *c = x->c;
    return c->nsent < x->p->l2.mshrs && c->wb_queue_n == 0 &&
           (kind == LINE_CODE || c->nsent_data < x->p->l1d.mshrs);
}

INLINE void send_miss(const struct core_ctx *x, uint32_t idx, uint64_t start)
{
    struct core *c = x->c;
    struct miss *m = core_miss(c, idx);
    uint32_t slice = llc_slice_of((paddr_t){m->line}, x->cfg->nslices);
    simtime_t t = time_of(x->cfg, start + core_min_request_cycles(x->p)) +
                  noc_core_slice_fs(x->cfg->noc, x->lp->instance, slice);
    m->state = MISS_SENT;
    m->sent_at = start;
    c->nsent++;
    c->nsent_data += holds_data_mshr(m);
    c->requests_sent++;
    CORE_LOG(x, REQUEST, m->line, m->kind, start, slice, t);
    lp_send(x->lp, x->cfg->first_slice_lp + slice, t,
            MSG_TYPE(MEM_READ, m->kind | (m->for_write ? MEM_FOR_WRITE : 0u)), idx, m->line, 0, 0, 0);
    lp_fetch(x->lp, x->cfg->first_slice_lp + slice, m->line);
}

/* A free entry for `line`; it is not sent yet. */
static inline uint32_t new_miss(const struct core_ctx *x, uint64_t line, enum line_kind kind, uint64_t start)
{
    struct core *c = x->c;
    SIM_ASSERT(c->nmiss_free > 0, "core %u: no place for a miss of line %llx", x->lp->instance,
               (unsigned long long)line);
    uint32_t idx = ((uint32_t *)core_at(c, c->at.miss_free))[--c->nmiss_free];
    struct miss *m = core_miss(c, idx);
    *m = (struct miss){.line = line, .start = start, .state = MISS_QUEUED, .kind = (uint8_t)kind,
                       .last_link = core_offset(c, &m->waiters), .hash_next = *miss_bucket(c, line)};
    *miss_bucket(c, line) = (uint16_t)(idx + 1);
    c->nmisses++;
    return idx;
}

static void queue_miss(struct core *c, uint32_t idx)
{
    c->stats.l1d_mshr_waits++;
    *miss_queue_slot(c, c->miss_queue_n++) = idx;
}

/* The access in progress is the first to want the line of `m`. */
static void note_seen(const struct core *c, struct miss *m, uint64_t start)
{
    m->seen = (uint8_t)c->pf.seen;
    m->ip = c->pf.ip;
    m->vaddr = c->pf.vaddr;
    m->asked = start;
}

static inline void start_miss(const struct core_ctx *x, uint64_t line, enum line_kind kind, bool write,
                       uint64_t start, waiter_t who)
{
    struct core *c = x->c;
    uint32_t idx = new_miss(x, line, kind, start);
    struct miss *m = core_miss(c, idx);
    m->for_write = write;
    if (c->pf.seen)
        note_seen(c, m, start);
    push_waiter(x->c, m, who);
    if (c->miss_queue_n == 0 && may_send(x, kind))
        send_miss(x, idx, start);
    else
        queue_miss(c, idx);
}

static inline void send_queued(const struct core_ctx *x)
{
    struct core *c = x->c;
    while (c->miss_queue_n > 0) {
        uint32_t idx = *miss_queue_slot(c, 0);
        if (!may_send(x, (enum line_kind)core_miss(c, idx)->kind))
            return;
        c->miss_queue_head = core_ring_at(c->miss_queue_head, 1, c->miss_size);
        c->miss_queue_n--;
        send_miss(x, idx, u64_max(core_miss(c, idx)->start, c->touch));
    }
}

/* ---- the access ------------------------------------------------------------------------------- */

/* The line of a prefetch on its way is wanted: from now on it is a miss like any other. */
static void promote(struct core *c, struct miss *m, uint64_t start)
{
    if (m->prefetch == MISS_FOR_L1D) {
        c->stats.l1_prefetch_late++;
    } else {
        c->stats.l2_prefetch_late++;
        c->pf.asked_l2 = 1 + PREFETCH_MISS;
        c->nsent_data++;
    }
    c->pf.nunderway[m->prefetch - 1]--;
    m->prefetch = MISS_DEMAND;
    note_seen(c, m, start);
}

#define SERVED_LATER ((struct served){LATENCY_WAIT, SERVED_DRAM})

static inline void count_l1d_miss(struct core *c, enum line_kind kind)
{
    ++*(kind == LINE_PT ? &c->stats.l1d_pt_misses : &c->stats.l1d_misses);
}

/* An outstanding line, which is no prefetch any more, is in no private cache: who asks for it waits with the others. */
static inline struct served join_miss(struct core *c, struct miss *m, enum line_kind kind, bool write, waiter_t who)
{
    count_l1d_miss(c, kind);
    c->stats.l1d_merged++;
    m->for_write |= write & (m->state == MISS_QUEUED);
    push_waiter(c, m, who);
    return SERVED_LATER;
}

/* L1D has the line, whose payload is at `held`, and it is no prefetched one that nobody has used. */
static inline struct served access_l1d(struct core *c, const struct core_params *p, uint64_t *held, enum line_kind kind,
                                       bool write, uint64_t start)
{
    ++*(kind == LINE_PT ? &c->stats.l1d_pt_hits : &c->stats.l1d_hits);
    *held |= write ? LINE_DIRTY : 0;
    uint64_t latency = p->l1d.latency_cycles, ready = *held >> LINE_READY_SHIFT;
    return (struct served){ready > start + latency ? ready - start : latency, SERVED_L1};
}

/* L1D lacks the line, nobody has asked for it, and L2 has it. */
static inline struct served access_l2(const struct core_ctx *x, uint64_t line, uint64_t *held, enum line_kind kind, bool write,
                                      uint64_t start)
{
    struct core *c = x->c;
    use_in_l2(c, held);
    ++*(kind == LINE_PT ? &c->stats.l2_pt_hits : &c->stats.l2_hits);
    uint64_t data = (*held & LINE_KIND_MASK) | (write ? LINE_DIRTY : 0);
    fill_l1d(x, line, data | (start + x->p->l2.latency_cycles) << LINE_READY_SHIFT);
    return (struct served){x->p->l2.latency_cycles, SERVED_L2};
}

struct served core_cache_access(const struct core_ctx *x, uint64_t paddr, enum line_kind kind, bool write, uint64_t start,
                                waiter_t who)
{
    struct core *c = x->c;
    uint64_t line = paddr & ~(LINE_BYTES - 1);
    struct recent_line *recent = recent_in_l1d(c, line);
    if (line == recent->line) /* nothing to update */
        return access_l1d(c, x->p, core_at(c, recent->word), kind, write, start);
    struct miss *m = find_miss(c, line, false);
    if (m != NULL) {
        if (m->prefetch != MISS_DEMAND)
            promote(c, m, start);
        return join_miss(c, m, kind, write, who);
    }
    struct sarray *behind = l2(c);
    uint32_t set = cache_set(behind, line);
    sarray_prefetch(behind, set); /* L1D mostly lacks the line, or the access would not have come here */
    uint64_t *held = line == c->absent_line ? NULL : lookup(l1d(c), line);
    if (held != NULL) {
        note_recent_line(c, recent, line, held);
        if (*held & LINE_PREFETCHED)
            use_in_l1d(c, held, *held >> LINE_READY_SHIFT <= start + x->p->l1d.latency_cycles);
        return access_l1d(c, x->p, held, kind, write, start);
    }
    count_l1d_miss(c, kind);
    held = sarray_use(behind, set, line);
    if (held != NULL)
        return access_l2(x, line, held, kind, write, start);
    expect_fill(behind, set);
    ++*(kind == LINE_PT ? &c->stats.l2_pt_misses : &c->stats.l2_misses);
    c->pf.asked_l2 = 1 + PREFETCH_MISS;
    start_miss(x, line, kind, write, start, who);
    return SERVED_LATER;
}

/* ---- prefetches ------------------------------------------------------------------------------- */

/* The way of a cache that has the line, or -1; counts as no use. */
static inline int way_of(const struct sarray *a, uint64_t line)
{
    return sarray_find(a, cache_set(a, line), line);
}

static inline bool present(const struct sarray *a, uint64_t line) { return way_of(a, line) >= 0; }

static uint64_t prefetched(uint64_t kind, uint64_t latency, uint64_t ready)
{
    return kind | LINE_PREFETCHED | u64_min(latency, LINE_LATENCY_MAX) << LINE_LATENCY_SHIFT |
           ready << LINE_READY_SHIFT;
}

INLINE void send_prefetch(const struct core_ctx *x, uint64_t line, const enum miss_prefetch where, uint64_t start)
{
    uint32_t idx = new_miss(x, line, LINE_DATA, start);
    core_miss(x->c, idx)->prefetch = (uint8_t)where;
    x->c->pf.nunderway[where - 1]++;
    CORE_LOG(x, PREFETCH, line, where == MISS_FOR_L1D ? SERVED_L1 : SERVED_L2, CORE_LEVEL_WAITS, start);
    expect_fill(l2(x->c), cache_set(l2(x->c), line));
    send_miss(x, idx, start);
}

/* A prefetch into L1D meets one into L2 of the same line; true: it takes it over. */
static bool take_over(const struct core_ctx *x, struct miss *m, uint64_t start)
{
    struct core *c = x->c;
    if (m->prefetch != MISS_FOR_L2 || c->nsent_data + x->p->prefetch.common.mshrs_left >= x->p->l1d.mshrs)
        return false;
    c->stats.l2_prefetch_late++;
    c->stats.l1_prefetched++;
    c->stats.l1_prefetch_joined++;
    c->pf.nunderway[MISS_FOR_L2 - 1]--;
    c->pf.nunderway[MISS_FOR_L1D - 1]++;
    c->nsent_data++;
    m->prefetch = MISS_FOR_L1D;
    c->pf.asked_l2 = 1 + PREFETCH_MISS;
    CORE_LOG(x, PREFETCH, m->line, SERVED_L1, CORE_LEVEL_WAITS, start);
    return true;
}

bool core_prefetch_into_l1d(const struct core_ctx *x, uint64_t line, uint64_t start)
{
    struct core *c = x->c;
    struct miss *m = c->nmisses ? find_miss(c, line, false) : NULL;
    if (m != NULL && take_over(x, m, start))
        return true;
    if (m != NULL || present(l1d(c), line)) {
        c->stats.l1_prefetch_redundant++;
        return false;
    }
    int way = way_of(l2(c), line);
    bool in_l2 = way >= 0;
    if (c->wb_queue_n != 0 ||
        (!in_l2 && (c->miss_queue_n != 0 || c->nsent >= x->p->l2.mshrs ||
                    c->nsent_data + x->p->prefetch.common.mshrs_left >= x->p->l1d.mshrs))) {
        c->stats.l1_prefetch_no_mshr++;
        return false;
    }
    c->stats.l1_prefetched++;
    if (!in_l2) {
        c->stats.l1_prefetch_llc++;
        c->pf.asked_l2 = 1 + PREFETCH_MISS;
        send_prefetch(x, line, MISS_FOR_L1D, start);
        return true;
    }
    c->stats.l1_prefetch_l2++;
    CORE_LOG(x, PREFETCH, line, SERVED_L1, SERVED_L2, start);
    uint32_t set = cache_set(l2(c), line);
    uint64_t *held = sarray_data(l2(c), set, (uint32_t)way), latency = x->p->l2.latency_cycles;
    sarray_hit(l2(c), set, (uint32_t)way);
    use_in_l2(c, held);
    fill_l1d(x, line, prefetched(*held & LINE_KIND_MASK, latency, start + latency));
    return true;
}

void core_prefetch_into_l2(const struct core_ctx *x, uint64_t line, uint64_t start)
{
    struct core *c = x->c;
    if ((c->nmisses && find_miss(c, line, false) != NULL) || present(l2(c), line) || present(l1d(c), line)) {
        c->stats.l2_prefetch_redundant++;
        return;
    }
    /* What L1D may still send has its MSHR, and so has a line of code. */
    uint64_t kept = x->p->l1i.enabled + (c->nsent_data < x->p->l1d.mshrs ? x->p->l1d.mshrs - c->nsent_data : 0);
    if (c->wb_queue_n != 0 || c->nsent + kept >= x->p->l2.mshrs) {
        c->stats.l2_prefetch_no_mshr++;
        return;
    }
    c->stats.l2_prefetched++;
    send_prefetch(x, line, MISS_FOR_L2, start);
}

/* ---- lines of code ---------------------------------------------------------------------------- */

/*
 * L1I misses: the line from L2, or an MSHR for it. CODE_REFUSED, and nothing has happened, when it needs
 * an MSHR, is not wanted at once, and there is none.
 */
static uint64_t code_from_l2(const struct core_ctx *x, uint64_t line, uint64_t start, bool at_once, bool prefetch)
{
    struct core *c = x->c;
    uint64_t *held = lookup(l2(c), line);
    if (held != NULL) {
        uint64_t ready = start + x->p->l2.latency_cycles;
        use_in_l2(c, held);
        c->stats.l2_code_hits++;
        fill_l1i(x, line, ready, prefetch);
        return ready;
    }
    bool send = may_send(x, LINE_CODE);
    if (!at_once && (c->ncode >= x->p->l1i.mshrs || !send))
        return CODE_REFUSED;
    c->stats.l2_code_misses++;
    uint32_t idx = new_miss(x, line, LINE_CODE, start);
    core_miss(c, idx)->code_prefetch = prefetch;
    c->ncode++;
    if (send) /* lines of code do not wait behind data */
        send_miss(x, idx, start);
    else
        queue_miss(c, idx);
    return CYCLE_UNKNOWN;
}

uint64_t core_code_access(const struct core_ctx *x, uint64_t paddr, uint64_t start, bool ahead, unsigned *how_out)
{
    struct core *c = x->c;
    uint64_t line = paddr & ~(LINE_BYTES - 1);
    uint64_t *held = use_code_line(c, line);
    if (held != NULL) {
        c->stats.l1i_hits++;
        *how_out = *held & LINE_PREFETCHED ? CODE_PREFETCHED : 0;
        *held &= ~LINE_PREFETCHED;
        return u64_max(start, *held >> LINE_READY_SHIFT);
    }
    struct miss *m = c->ncode != 0 ? find_miss(c, line, true) : NULL;
    if (m != NULL) {
        c->stats.l1i_misses++;
        c->stats.l1i_merged++;
        *how_out = m->code_prefetch ? CODE_PREFETCHED : 0;
        m->code_prefetch = 0;
        return CYCLE_UNKNOWN;
    }
    uint64_t ready = code_from_l2(x, line, start, !ahead, false);
    *how_out = CODE_MISSED;
    c->stats.l1i_misses += ready != CODE_REFUSED;
    return ready;
}

void core_code_prefetch(const struct core_ctx *x, uint64_t paddr, uint64_t start)
{
    struct core *c = x->c;
    uint64_t line = paddr & ~(LINE_BYTES - 1);
    if (present(l1i(c), line) || (c->ncode != 0 && find_miss(c, line, true) != NULL) ||
        code_from_l2(x, line, start, false, true) == CODE_REFUSED)
        return;
    c->stats.l1i_prefetches++;
    c->stats.l1i_behind++;
}

/* ---- answers ---------------------------------------------------------------------------------- */

/* A line of code; a miss of the same line as data will find it in L2. */
static __attribute__((noinline)) void code_line_arrived(const struct core_ctx *x, const struct miss *m)
{
    struct miss *as_data = find_miss(x->c, m->line, false);
    if (as_data != NULL)
        as_data->in_l2 = 1;
    fill_l2(x, m->line, LINE_CODE);
    fill_l1i(x, m->line, 0, m->code_prefetch);
    core_code_arrived(x, m->line);
}

/* As a line of code, the line of a miss came to L2 before it, and may still be there; `data` is as fill_l2 has it. */
static __attribute__((noinline)) void fill_l2_again(const struct core_ctx *x, const struct miss *m, uint64_t data)
{
    if (m->prefetch == MISS_FOR_L2 && present(l2(x->c), m->line))
        x->c->stats.l2_prefetch_useless++; /* it is the same line */
    else
        fill_l2(x, m->line, data);
}

/*
 * A line of data goes into L2 and, if it is no prefetch into L2, into L1D. L2 lacked it when the miss began, and what
 * brings a line of data into L2 is a miss or was in L1D, so only a line of code can have come before it.
 */
INLINE void data_line_arrived(const struct core_ctx *x, const struct miss *m)
{
    struct core *c = x->c;
    const uint64_t line = m->line, kind = m->kind;
    const enum miss_prefetch prefetch = (enum miss_prefetch)m->prefetch;
    uint64_t for_l1 = kind | (m->store_waits ? LINE_DIRTY : 0), for_l2 = kind;
    if (prefetch != MISS_DEMAND) {
        c->pf.nunderway[prefetch - 1]--;
        if (prefetch == MISS_FOR_L2)
            for_l2 = prefetched(kind, 0, 0);
        else
            for_l1 = prefetched(kind, c->touch - m->start, 0);
    }
    struct sarray_entry old = {0, 0};
    const bool evicts = prefetch != MISS_FOR_L2 && replace_in_l1d(c, line, for_l1, &old);
    if (evicts && (old.data & LINE_DIRTY))
        core_expect_in_l2(c, old.tag); /* it goes there after this one */
    if (m->in_l2)
        fill_l2_again(x, m, for_l2);
    else
        put_into_l2(x, line, for_l2);
    if (evicts)
        evict_from_l1d(x, &old);
}

/* Nobody waits for the miss any more; what it was can still be read, until another one begins. */
static inline void free_miss(struct core *c, struct miss *m, uint32_t idx)
{
    unhash_miss(c, idx);
    m->state = MISS_FREE;
    ((uint32_t *)core_at(c, c->at.miss_free))[c->nmiss_free++] = idx;
    c->nmisses--;
    c->nsent--;
    c->nsent_data -= holds_data_mshr(m);
    c->ncode -= m->kind == LINE_CODE;
}

void core_line_arrived(const struct core_ctx *x, const struct msg *msg)
{
    struct core *c = x->c;
    uint32_t idx = msg->arg;
    struct miss *m = core_miss(c, idx);
    SIM_ASSERT(idx < c->miss_size && m->state == MISS_SENT && m->line == msg->a[0],
               "core %u: answer for line %llx, miss %u holds %llx", x->lp->instance,
               (unsigned long long)msg->a[0], idx, (unsigned long long)m->line);
    c->stats.answers++;
    c->stats.miss_cycles += c->touch - m->sent_at;
    CORE_LOG(x, ARRIVE, m->line, m->kind, m->sent_at, c->touch - m->sent_at, msg->a[1]);
    free_miss(c, m, idx);
    if (m->kind == LINE_CODE) {
        code_line_arrived(x, m);
    } else {
        data_line_arrived(x, m);
        if (m->seen)
            core_seen_fill(x, m);
        if (m->prefetch == MISS_DEMAND)
            core_tell_waiters(x, m->waiters, (enum served_by)msg->a[1]);
    }
    send_queued(x);
}

void core_wb_acked(const struct core_ctx *x)
{
    struct core *c = x->c;
    SIM_ASSERT(c->wbs_out > 0, "core %u: acknowledgement without a write-back", x->lp->instance);
    c->wbs_out--;
    c->stats.wb_acks++;
    while (c->wb_queue_n > 0 && c->wbs_out < x->p->l2.wb_buffers) {
        uint64_t entry = *wb_slot(c, 0);
        c->wb_queue_head = core_ring_at(c->wb_queue_head, 1, c->wb_queue_size);
        c->wb_queue_n--;
        send_writeback(x, entry);
    }
    send_queued(x);
}

static uint64_t drop(struct sarray *a, uint64_t line, bool *found)
{
    if (a->nways == 0)
        return 0;
    uint32_t set = cache_set(a, line);
    int way = sarray_find(a, set, line);
    if (way < 0)
        return 0;
    *found = true;
    uint64_t data = *sarray_data(a, set, (uint32_t)way);
    sarray_invalidate(a, set, (uint32_t)way);
    return data;
}

void core_line_invalidate(const struct core_ctx *x, uint64_t line, bool keep_dirty)
{
    struct core *c = x->c;
    bool found = false, in_l2 = false;
    uint64_t data = drop(l1d(c), line, &found);
    uint64_t l2_data = drop(l2(c), line, &in_l2);
    leave_l1d(c, data);
    leave_l2(c, l2_data);
    drop(l1i(c), line, &found);
    if (in_l2)
        c->stats.l2_pt_lines -= is_pt(l2_data);
    c->stats.invalidated += found || in_l2;
    forget_recent_line(recent_in_l1d(c, line));
    forget_code_line(c, line);
    data |= l2_data;
    if (keep_dirty && (data & LINE_DIRTY))
        write_back(x, line, data);
}

void core_kernel_store(const struct core_ctx *x, uint64_t paddr)
{
    x->c->stats.kernel_accesses++;
    core_cache_access(x, paddr, LINE_PT, true, x->c->touch, waiter_make(WAIT_NOBODY, 0));
}
