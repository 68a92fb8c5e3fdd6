/*
 * The one translation flow: TLBs -> page-walk caches -> walker pool -> walk -> (fault) -> fill.
 *
 *  1. The L1 TLBs of the access's type and of every page size are probed in parallel; a hit costs
 *     their latency.
 *  2. A miss goes to the STLB, which is charged once, whatever page sizes it probes.
 *  3. A miss there joins a walk of the same page, or takes a free walker, or waits for one.
 *  4. The walk probes the walk caches (always paid) and reads the remaining entries one after the
 *     other, 8 bytes each, through the core's own caches. What it reads is the table as visible at
 *     the touch clock.
 *  5. The walk sets accessed and dirty bits (a store to the entry's line and a message to the
 *     kernel), fills the walk caches on its way down, and at its end the STLB and the L1 TLB.
 *  6. No translation: the access is marked; window.c raises the fault when it is the oldest.
 *
 * A fill is seen by later touches at once; who uses it before the walk's end waits until then, so an
 * access to a page being walked never gets ahead of the walk.
 */
#include "cores/translate.h"

#include "cores/l1d.h"
#include "cores/l1i.h"
#include "cores/pwc.h"

/* ---- fills ------------------------------------------------------------------------------------ */

INLINE void put_into_l1(const struct core_ctx *x, bool exec, uint32_t asid, uint64_t vaddr, const unsigned shift,
                        uint64_t payload)
{
    struct sarray *l1 = l1_of(x->c, exec, shift);
    struct sarray_entry old = {0, 0};
    x->c->missed_page = UINT64_MAX; /* the STLB was filled, too, if it was */
    bool gone = tlb_replace(l1, asid, vaddr, shift, payload, &old);
    if (!exec) {
        /*
         * The latest of its set, unless the first hit is more to the policy than the fill; not this thread's if it is of a
         * prefetch whose thread has left.
         */
        if (l1->nways != 0 && asid == x->c->asid && sarray_fill_is_hit(l1))
            note_recent(x->c, vaddr, shift, payload);
        else
            forget_recent(x->c, vaddr, shift);
    }
    if (exec && gone && shift == PAGE_SHIFT)
        forget_code_page(x->c, tlb_page(old.tag));
}

static void fill_l1(const struct core_ctx *x, bool exec, uint32_t asid, uint64_t vaddr, unsigned shift,
                    uint64_t payload)
{
    put_into_l1(x, exec, asid, vaddr, shift, payload);
}

/* ---- walks ------------------------------------------------------------------------------------ */

static void count_ref(const struct core_ctx *x, enum served_by served, uint64_t cycles)
{
    struct core_stats *s = &x->c->stats;
    s->walk_refs++;
    switch (served) {
    case SERVED_L1:
        s->walk_refs_l1++;
        s->walk_cycles_l1 += cycles;
        break;
    case SERVED_L2:
        s->walk_refs_l2++;
        s->walk_cycles_l2 += cycles;
        break;
    case SERVED_LLC:
        s->walk_refs_llc++;
        s->walk_cycles_llc += cycles;
        break;
    default:
        s->walk_refs_dram++;
        s->walk_cycles_dram += cycles;
        break;
    }
}

/* What the walk gave to one who waited for it: the same page, but that access's own rights. */
static struct xlate result_of(const struct walk *w, uint64_t vaddr, bool write, bool exec)
{
    uint64_t in_page = vaddr & ((UINT64_C(1) << w->page_shift) - 1);
    bool ok = w->page_shift != 0 && permits(w->payload, write, exec);
    return (struct xlate){w->time, ok ? (w->payload & ~TLB_FLAGS) + in_page : XLATE_NONE};
}

/* The leaf is read: sets accessed and dirty bits the first time. */
static void set_ad_bits(const struct core_ctx *x, struct walk *w, uint64_t pte)
{
    uint64_t bits = PTE_ACCESSED | (w->write ? PTE_DIRTY : 0);
    if ((pte & bits) == bits)
        return;
    w->payload |= w->write ? TLB_D : 0;
    CORE_LOG(x, AD, w->entry, bits & ~pte);
    if (x->p->ptw.ref_cycles == 0)
        core_kernel_store(x, w->entry);
    core_report_ad(x, w->entry, bits & ~pte);
}

static void tell_design(const struct core_ctx *x, const struct walk *w)
{
    struct mmu_view v = mmu_view_of(x, w->asid);
    const struct mmu_page page = {.base = w->payload & ~TLB_FLAGS, .flags = w->payload & TLB_FLAGS, .ready = w->time,
                                  .shift = w->page_shift};
    x->cfg->mmu->walked(&v, w->vaddr, &page, w->entry);
}

static void forget_ended_walks(struct core *c)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->nwalked; i++)
        if (c->walked[i].ready > c->touch)
            c->walked[n++] = c->walked[i];
    c->nwalked = n;
}

/* The page of a walk that has ended; `shift`, its size, is a constant where that pays. */
INLINE void fill_tlbs(const struct core_ctx *x, const struct walk *w, const unsigned shift)
{
    tlb_fill(stlb_of(x, shift), w->asid, w->vaddr, shift, w->payload);
    if (x->cfg->mmu->walked != NULL)
        tell_design(x, w);
    put_into_l1(x, w->exec, w->asid, w->vaddr, shift, w->payload);
}

static void end_walk(const struct core_ctx *x, struct walk *w, enum walk_result result)
{
    struct core *c = x->c;
    struct core_stats *s = &c->stats;
    w->result = (uint8_t)result;
    c->walking &= ~(UINT64_C(1) << (w - c->walks));
    CORE_LOG(x, WALK_END, (uint64_t)(w - c->walks), w->vaddr, w->asked, w->start, w->time, result,
             result == WALK_OK ? w->page_shift : 0, result == WALK_OK ? w->payload & ~TLB_FLAGS : 0);
    s->walks++;
    s->walks_instr += w->exec;
    s->walks_data += !w->exec;
    s->walk_cycles += w->time - w->start;
    s->walk_queue_cycles += w->start - w->asked;
    hist_add(s->walk_latency, 24, w->time - w->asked);
    if (result == WALK_FAULT) {
        s->walks_fault++;
        return;
    }
    s->walks_4k += w->page_shift == PAGE_SHIFT;
    s->walks_2m += w->page_shift == PAGE_SHIFT_2M;
    s->walks_1g += w->page_shift == PAGE_SHIFT_1G;
    if (w->stale)
        return;
    if (w->time > c->touch) {
        if (c->nwalked == WALKS_AHEAD)
            forget_ended_walks(c);
        SIM_ASSERT(c->nwalked < WALKS_AHEAD, "core %u: %u walks end after cycle %llu", x->lp->instance,
                   c->nwalked, (unsigned long long)c->touch);
        c->walked[c->nwalked].page = w->vaddr >> w->page_shift;
        c->walked[c->nwalked].shift = w->page_shift;
        c->walked[c->nwalked].asid = w->asid;
        c->walked[c->nwalked++].ready = w->time;
    }
    c->walked_until = u64_max(c->walked_until, w->time);
    if (w->page_shift == PAGE_SHIFT)
        fill_tlbs(x, w, PAGE_SHIFT);
    else
        fill_tlbs(x, w, w->page_shift);
}

static uint32_t *leaf_table(struct core *c, uint64_t vaddr) { return &c->leaf_table[(vaddr >> PAGE_SHIFT_2M) % LEAF_TABLES]; }

/* A walk to `vaddr` has to wait: the host should have near what it will likely read at its end. */
static void expect_walk(const struct core_ctx *x, uint64_t vaddr)
{
    const uint64_t table = (uint64_t)*leaf_table(x->c, vaddr) << PAGE_SHIFT;
    const paddr_t entry = {table | (vaddr >> PAGE_SHIFT << 3 & (PAGE_BYTES - 1))};
    if (table == 0)
        return;
    core_expect_in_l2(x->c, entry.v);
    ptmem_prefetch(x->cfg->ptmem, entry);
}

/* The entry at w->entry is here; true: the walk has ended. */
static bool take_entry(const struct core_ctx *x, struct walk *w, enum served_by served, uint64_t cycles)
{
    struct core *c = x->c;
    uint64_t pte = ptmem_read(x->cfg->ptmem, (paddr_t){w->entry}, x->lp->now);
    CORE_LOG(x, WALK_REF, (uint64_t)(w - c->walks), w->vaddr, w->level, w->entry, pte, w->time - cycles, cycles,
             served);
    if (!pte_present(pte)) {
        end_walk(x, w, WALK_FAULT);
        return true;
    }
    if (!pte_is_leaf(w->level, pte)) {
        w->table = pte_table(pte).v;
        if (w->level == 2)
            *leaf_table(c, w->vaddr) = (uint32_t)(w->table >> PAGE_SHIFT);
        if (!w->stale && w->level >= PWC_FIRST_LEVEL) /* the walk began below all that was there: more only by others since */
            pwc_fill(array_at(c, c->at.pwc[w->level - PWC_FIRST_LEVEL]), w->asid, w->vaddr, w->level, w->table,
                     w->pwc_fills++ == c->pwc_fills++);
        w->level--;
        return false;
    }
    w->page_shift = (uint8_t)radix_level_shift(w->level);
    const uint64_t in_page = (UINT64_C(1) << w->page_shift) - 1, page = pte_pfn(pte).v << PAGE_SHIFT & ~in_page;
    w->payload = page | tlb_flags_of(pte);
    core_expect_in_l2(c, page | (w->vaddr & in_page));
    if (!permits(w->payload, w->write, w->exec)) {
        end_walk(x, w, WALK_FAULT);
        return true;
    }
    set_ad_bits(x, w, pte);
    end_walk(x, w, WALK_OK);
    return true;
}

/* Reads entries until the walk ends (true) or has to wait for a line (false). */
static bool run_walk(const struct core_ctx *x, uint32_t idx)
{
    struct core *c = x->c;
    struct walk *w = &c->walks[idx];
    for (;;) {
        w->entry = radix_entry_paddr(w->levels, w->level, (paddr_t){w->table}, (vaddr_t){w->vaddr}).v;
        struct served got = {x->p->ptw.ref_cycles, SERVED_L1};
        ptmem_prefetch(x->cfg->ptmem, (paddr_t){w->entry});
        if (got.cycles == 0)
            got = core_cache_access(x, w->entry, LINE_PT, false, w->time, waiter_make(WAIT_WALK, idx));
        if (got.cycles == LATENCY_WAIT)
            return false;
        w->time += got.cycles;
        count_ref(x, (enum served_by)got.by, got.cycles);
        if (take_entry(x, w, (enum served_by)got.by, got.cycles))
            return true;
    }
}

static inline void count_pwc(struct core_stats *s, unsigned hit)
{
    switch (hit) {
    case 0:
        s->pwc_misses++;
        break;
    case 2:
        s->pwc_pd_hits++;
        break;
    case 3:
        s->pwc_pdpt_hits++;
        break;
    case 4:
        s->pwc_pml4_hits++;
        break;
    default:
        s->pwc_pml5_hits++;
        break;
    }
}

static uint8_t *nwalkers_like(struct core *c, uint64_t page) { return &c->walk_pages[(page ^ page >> 8) % WALK_PAGES]; }

/* Puts a walk on walker `idx` at cycle `start`; true: it has ended already. */
static bool start_walk(const struct core_ctx *x, uint32_t idx, const struct walk_request *r, uint64_t start)
{
    struct core *c = x->c;
    struct walk *w = &c->walks[idx];
    c->walking |= UINT64_C(1) << idx;
    --*nwalkers_like(c, c->walk_page[idx]);
    c->walk_page[idx] = r->vaddr >> PAGE_SHIFT;
    ++*nwalkers_like(c, c->walk_page[idx]);
    w->vaddr = r->vaddr;
    w->asked = r->asked;
    w->start = start;
    w->table = c->root;
    w->waiters = r->waiters;
    w->asid = r->asid;
    w->ip = r->ip;
    w->write = r->write;
    w->exec = r->exec;
    w->result = WALK_OK;
    w->page_shift = w->stale = 0;
    w->levels = w->level = (uint8_t)c->levels;
    w->prefetch = r->prefetch;
    struct sarray *arrays[NPWC];
    for (unsigned i = 0; i < NPWC; i++)
        arrays[i] = array_at(c, c->at.pwc[i]);
    unsigned hit = pwc_probe(arrays, c->levels, w->asid, w->vaddr, &w->table);
    if (hit != 0)
        w->level = (uint8_t)(hit - 1);
    count_pwc(&c->stats, hit);
    w->pwc_fills = c->pwc_fills;
    w->time = start + x->p->pwc.latency_cycles;
    c->stats.walk_cycles_l1 += x->p->pwc.latency_cycles;
    CORE_LOG(x, WALK_START, idx, w->vaddr, w->asked, start, hit, w->table, x->p->pwc.latency_cycles);
    return run_walk(x, idx);
}

static struct walk_request *queued(struct core *c, uint32_t i)
{
    return (struct walk_request *)core_at(c, c->at.walk_queue) +
           core_ring_at(c->walk_queue_head, i, c->walk_queue_size);
}

/* How many are before it. */
static uint32_t number_in_queue(struct core *c, const struct walk_request *r)
{
    uint32_t at = (uint32_t)(r - (struct walk_request *)core_at(c, c->at.walk_queue));
    return at >= c->walk_queue_head ? at - c->walk_queue_head : at + c->walk_queue_size - c->walk_queue_head;
}

static uint16_t *nqueued_like(struct core *c, uint64_t vaddr)
{
    uint64_t page = vaddr >> PAGE_SHIFT;
    return &c->walk_queued[(page ^ page >> 10) % WALK_QUEUED];
}

/* Of the walks that wait, the one to the page of `vaddr`; NULL: there is none. */
static inline struct walk_request *find_queued(struct core *c, uint64_t vaddr)
{
    if (*nqueued_like(c, vaddr) == 0)
        return NULL;
    struct walk_request *first = core_at(c, c->at.walk_queue), *r = queued(c, c->walk_queue_n - 1);
    for (uint32_t n = c->walk_queue_n; n-- > 0;) { /* mostly one of the latest */
        if ((r->vaddr ^ vaddr) < PAGE_BYTES && r->asid == c->asid)
            return r;
        r = r == first ? first + c->walk_queue_size - 1 : r - 1;
    }
    return NULL;
}

/* Who waited for a walk knows its result; accesses go on when they are woken. */
static void release(const struct core_ctx *x, struct walk *w)
{
    struct core *c = x->c;
    waiter_t who = w->waiters;
    w->waiters = 0;
    while (who != 0) {
        if (waiter_kind(who) != WAIT_LOAD) {
            who = c->ifetch_next_waiter;
            core_ifetch_released(x, result_of(w, w->vaddr, false, true));
            continue;
        }
        const uint32_t idx = waiter_idx(who); /* any data access: in the window */
        struct inflight *e = core_window(c, idx);
        who = e->next_waiter;
        struct xlate r = result_of(w, e->vaddr, core_flight(c, idx)->flags & ACC_STORE, false);
        e->paddr = xlate_faults(r) ? r.time : r.paddr;
        e->ready = u64_max(e->ready, r.time);
        e->xlated = xlate_faults(r) ? 2 : 1;
        core_set_wake(c, idx);
    }
    if (w->prefetch)
        core_prefetch_walked(x, w);
}

/* The walk on `idx` ended: tells who waited, and takes the next one from the queue. */
static void finish(const struct core_ctx *x, uint32_t idx)
{
    struct core *c = x->c;
    for (;;) {
        release(x, &c->walks[idx]);
        if (c->walk_queue_n == 0)
            return;
        struct walk_request r = *queued(c, 0);
        c->walk_queue_head = core_ring_at(c->walk_queue_head, 1, c->walk_queue_size);
        c->walk_queue_n--;
        --*nqueued_like(c, r.vaddr);
        if (!start_walk(x, idx, &r, u64_max(r.asked, c->walks[idx].time)))
            return;
    }
}

void core_walk_data(const struct core_ctx *x, uint32_t idx, uint64_t at, enum served_by served)
{
    struct walk *w = &x->c->walks[idx];
    uint64_t arrived = u64_max(at, w->time + x->p->l1d.latency_cycles), cycles = arrived - w->time;
    count_ref(x, served, cycles);
    w->time = arrived;
    if (take_entry(x, w, served, cycles) || run_walk(x, idx))
        finish(x, idx);
}

static void link_waiter(struct core *c, waiter_t who, waiter_t *head)
{
    if (waiter_kind(who) == WAIT_LOAD)
        core_window(c, waiter_idx(who))->next_waiter = *head;
    else
        c->ifetch_next_waiter = *head;
    *head = who;
}

static unsigned found(const struct tlb_hit *h)
{
    return h->payload == NULL ? CORE_FOUND_MISS
           : h->shift == PAGE_SHIFT ? CORE_FOUND_4K
           : h->shift == PAGE_SHIFT_2M ? CORE_FOUND_2M
                                       : CORE_FOUND_1G;
}

/* An access to a page that walker `w` walks to, or walked to: true: it shares that walk. */
static bool join_walk(const struct core_ctx *x, uint32_t idx, uint64_t vaddr, bool write, bool exec, uint64_t asked,
                      waiter_t who, struct xlate *out)
{
    struct core *c = x->c;
    struct walk *w = &c->walks[idx];
    if (w->asid != c->asid || w->write < write)
        return false;
    if (c->walking >> idx & 1) {
        if (w->stale)
            return false;
        CORE_LOG(x, WALK_WAIT, log_number(c, who), vaddr, asked, CORE_JOIN_ACTIVE, 0);
        link_waiter(c, who, &w->waiters);
        *out = XLATE_WAITS;
    } else {
        if (w->result != WALK_FAULT || w->time <= asked)
            return false;
        *out = result_of(w, vaddr, write, exec);
    }
    c->stats.walk_merged++;
    return true;
}

/* The walker that is free first; NO_INDEX: all are at work. */
static inline uint32_t free_walker(const struct core_ctx *x)
{
    const struct core *c = x->c;
    uint32_t best = NO_INDEX;
    uint64_t n = x->p->ptw.walkers, time = UINT64_MAX;
    for (uint64_t idle = ~c->walking & (n < 64 ? (UINT64_C(1) << n) - 1 : UINT64_MAX); idle != 0; idle &= idle - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(idle);
        if (c->walks[i].time < time) {
            time = c->walks[i].time;
            best = i;
        }
    }
    return best;
}

/* Misses the STLB at cycle `asked`. */
INLINE struct xlate walk(const struct core_ctx *x, uint64_t vaddr, bool write, bool exec, uint64_t asked, waiter_t who)
{
    struct core *c = x->c;
    struct xlate joined;
    for (uint32_t i = 0; *nwalkers_like(c, vaddr >> PAGE_SHIFT) != 0 && i < x->p->ptw.walkers; i++)
        if (c->walk_page[i] == vaddr >> PAGE_SHIFT && join_walk(x, i, vaddr, write, exec, asked, who, &joined))
            return joined;
    struct walk_request *same = find_queued(c, vaddr);
    if (same != NULL) {
        c->stats.walk_merged++;
        CORE_LOG(x, WALK_WAIT, log_number(c, who), vaddr, asked, CORE_JOIN_QUEUED, number_in_queue(c, same));
        same->write |= write;
        link_waiter(c, who, &same->waiters);
        return XLATE_WAITS;
    }
    struct walk_request r = {.vaddr = vaddr, .asked = asked, .asid = c->asid, .write = write,
                             .exec = exec};
    uint32_t best = free_walker(x);
    if (best == NO_INDEX) {
        SIM_ASSERT(c->walk_queue_n < c->walk_queue_size, "core %u: %u walks wait", x->lp->instance,
                   c->walk_queue_n);
        CORE_LOG(x, WALK_WAIT, log_number(c, who), vaddr, asked, CORE_JOIN_NEW, c->walk_queue_n);
        link_waiter(c, who, &r.waiters);
        *queued(c, c->walk_queue_n++) = r;
        ++*nqueued_like(c, vaddr);
        expect_walk(x, vaddr);
        return XLATE_WAITS;
    }
    uint64_t start = u64_max(asked, c->walks[best].time);
    if (start_walk(x, best, &r, start))
        return result_of(&c->walks[best], vaddr, write, exec);
    link_waiter(c, who, &c->walks[best].waiters);
    return XLATE_WAITS;
}

struct xlate core_walk_ahead(const struct core_ctx *x, uint64_t vaddr, uint64_t asked, uint32_t ip)
{
    struct core *c = x->c;
    const struct xlate none = {asked, XLATE_NONE};
    uint32_t free = NO_INDEX;
    if (c->nwalked >= WALKS_AHEAD_PREFETCH)
        forget_ended_walks(c);
    if (c->walk_queue_n != 0 || c->nwalked >= WALKS_AHEAD_PREFETCH)
        return none;
    for (uint32_t i = 0; i < x->p->ptw.walkers; i++) {
        bool busy = c->walking >> i & 1;
        if (busy && c->walk_page[i] == vaddr >> PAGE_SHIFT && c->walks[i].asid == c->asid)
            return none;
        if (free == NO_INDEX && !busy && c->walks[i].time <= asked)
            free = i;
    }
    if (free == NO_INDEX)
        return none;
    c->stats.walks_prefetch++;
    struct walk_request r = {.vaddr = vaddr, .asked = asked, .asid = c->asid, .ip = ip, .prefetch = 1};
    return start_walk(x, free, &r, asked) ? result_of(&c->walks[free], vaddr, false, false) : XLATE_WAITS;
}

/* ---- the flow --------------------------------------------------------------------------------- */

uint64_t core_usable_after(const struct core_ctx *x, uint64_t vaddr, uint64_t t)
{
    struct core *c = x->c;
    for (uint32_t i = 0; i < c->nwalked;) {
        if (c->walked[i].ready <= c->touch) { /* nobody asks for less any more */
            c->walked[i] = c->walked[--c->nwalked];
            continue;
        }
        if (c->walked[i].asid == c->asid && c->walked[i].page == vaddr >> c->walked[i].shift)
            t = u64_max(t, c->walked[i].ready);
        i++;
    }
    return t;
}

/* The leaf entry for an address, as visible now, read for nothing; false: there is none. */
static bool find_leaf(const struct core_ctx *x, uint64_t vaddr, unsigned *level_out, uint64_t *entry_out, uint64_t *pte_out)
{
    uint64_t table = x->c->root;
    for (unsigned level = x->c->levels; level > 0; level--) {
        paddr_t entry = radix_entry_paddr(x->c->levels, level, (paddr_t){table}, (vaddr_t){vaddr});
        uint64_t pte = ptmem_read(x->cfg->ptmem, entry, x->lp->now);
        if (!pte_present(pte))
            return false;
        if (pte_is_leaf(level, pte)) {
            *level_out = level;
            *entry_out = entry.v;
            *pte_out = pte;
            return true;
        }
        table = pte_table(pte).v;
    }
    return false;
}

/* A store to a page that the TLB holds as clean: the entry's dirty bit is set by an assist. */
static uint64_t dirty_assist(const struct core_ctx *x, uint64_t vaddr, uint64_t *payload, uint64_t t)
{
    unsigned level;
    uint64_t entry, pte;
    if (!find_leaf(x, vaddr, &level, &entry, &pte))
        return t; /* unmapped meanwhile; the flush is on its way */
    *payload |= TLB_D;
    if (pte & PTE_DIRTY)
        return t;
    x->c->stats.dirty_assists++;
    if (x->p->ptw.ref_cycles == 0)
        core_kernel_store(x, entry);
    core_report_ad(x, entry, PTE_ACCESSED | PTE_DIRTY);
    return t + x->p->ptw.dirty_assist_cycles;
}

INLINE struct tlb_hit probe_l1(struct core *c, uint64_t vaddr, bool exec)
{
    uint64_t *p;
    if (exec || vaddr >> PAGE_SHIFT != c->l1_missed_page) {
        p = tlb_lookup(l1_of(c, exec, PAGE_SHIFT), c->asid, vaddr, PAGE_SHIFT);
        if (p != NULL)
            return (struct tlb_hit){p, PAGE_SHIFT};
        p = tlb_lookup(l1_of(c, exec, PAGE_SHIFT_2M), c->asid, vaddr, PAGE_SHIFT_2M);
        if (p != NULL || exec)
            return (struct tlb_hit){p, PAGE_SHIFT_2M};
    }
    p = tlb_lookup(l1_of(c, exec, PAGE_SHIFT_1G), c->asid, vaddr, PAGE_SHIFT_1G);
    return (struct tlb_hit){p, PAGE_SHIFT_1G};
}

INLINE struct tlb_hit probe_stlb(const struct core_ctx *x, uint64_t vaddr)
{
    struct core *c = x->c;
    struct sarray *a = array_at(c, c->at.stlb);
    uint64_t *p = tlb_lookup(a, c->asid, vaddr, PAGE_SHIFT);
    if (p != NULL)
        return (struct tlb_hit){p, PAGE_SHIFT};
    p = tlb_lookup(a, c->asid, vaddr, PAGE_SHIFT_2M);
    if (p != NULL)
        return (struct tlb_hit){p, PAGE_SHIFT_2M};
    return (struct tlb_hit){tlb_lookup(stlb_of(x, PAGE_SHIFT_1G), c->asid, vaddr, PAGE_SHIFT_1G), PAGE_SHIFT_1G};
}

struct xlate core_translate_free(const struct core_ctx *x, uint64_t vaddr, bool write, bool exec, uint64_t t)
{
    struct core *c = x->c;
    struct tlb_hit h = probe_l1(c, vaddr, exec);
    if (h.payload == NULL || !permits(*h.payload, write, exec)) {
        unsigned level;
        uint64_t entry, pte;
        if (!find_leaf(x, vaddr, &level, &entry, &pte))
            return (struct xlate){t, XLATE_NONE};
        const unsigned shift = radix_level_shift(level);
        const uint64_t in_page = (UINT64_C(1) << shift) - 1, page = pte_pfn(pte).v << PAGE_SHIFT & ~in_page;
        if (!permits(tlb_flags_of(pte), write, exec))
            return (struct xlate){t, XLATE_NONE};
        fill_l1(x, exec, c->asid, vaddr, shift, page | tlb_flags_of(pte) | TLB_D);
        return (struct xlate){t, page + (vaddr & in_page)};
    }
    return (struct xlate){t,
                          (*h.payload & ~TLB_FLAGS) + (vaddr & ((UINT64_C(1) << h.shift) - 1))};
}

struct xlate core_translate_ideal(const struct core_ctx *x, uint64_t vaddr, bool write, bool exec, uint64_t issue,
                                  waiter_t who)
{
    CORE_LOG(x, TLB, log_number(x->c, who), vaddr, CORE_FOUND_FREE, CORE_FOUND_UNPROBED, issue, 0, issue);
    return core_translate_free(x, vaddr, write, exec, issue);
}

/*
 * The design's own structure, behind the STLB, from cycle *t on. True: it has the page, which is now
 * in the STLB and the L1 TLB, too. *t is when that is known.
 */
static bool probe_design(const struct core_ctx *x, uint64_t vaddr, bool write, bool exec, waiter_t who, uint64_t *t,
                         struct xlate *out)
{
    struct core *c = x->c;
    struct mmu_view v = mmu_view_of(x, c->asid);
    struct mmu_page page = {0};
    uint64_t cycles = 0, from = *t;
    bool hit = x->cfg->mmu->probe(&v, vaddr, &page, &cycles);
    c->stats.mmu_probes++;
    c->stats.mmu_hits += hit;
    c->stats.mmu_cycles += cycles;
    *t += cycles;
    c->tlb_cycles += cycles;
    CORE_LOG(x, DESIGN, log_number(c, who), vaddr, hit, from, cycles);
    uint64_t payload = page.base | page.flags;
    if (!hit || !permits(payload, write, exec))
        return false;
    uint64_t done = usable_at(x, vaddr, u64_max(*t, page.ready));
    if (write && !(payload & TLB_D))
        done = dirty_assist(x, vaddr, &payload, done);
    tlb_fill(stlb_of(x, page.shift), c->asid, vaddr, page.shift, payload);
    fill_l1(x, exec, c->asid, vaddr, page.shift, payload);
    *out = (struct xlate){done, page.base + (vaddr & ((UINT64_C(1) << page.shift) - 1))};
    return true;
}

/* Not one of the pages used latest: the TLBs, and what is behind them. */
INLINE struct xlate look_up(const struct core_ctx *x, uint64_t vaddr, bool write, const bool exec, uint64_t issue,
                            waiter_t who)
{
    struct core *c = x->c;
    uint64_t l1_cycles = exec ? x->p->l1i4k.latency_cycles : x->p->l1d4k.latency_cycles;
    uint64_t *l1_hits = exec ? &c->stats.itlb_l1_hits : &c->stats.dtlb_l1_hits;
    const bool missed = !exec && vaddr >> PAGE_SHIFT == c->missed_page;
    struct tlb_hit h = {NULL, 0};
    if (!missed)
        h = probe_l1(c, vaddr, exec);
    uint64_t t = issue;
    bool from_stlb = h.payload == NULL;
    if (!from_stlb) {
        ++*l1_hits;
        t += h.shift == PAGE_SHIFT     ? l1_cycles
             : exec                    ? x->p->l1i2m.latency_cycles
             : h.shift == PAGE_SHIFT_2M ? x->p->l1d2m.latency_cycles
                                       : x->p->l1d1g.latency_cycles;
        c->stats.tlb_l1_cycles += t - issue;
        c->tlb_cycles = t - issue;
    } else {
        if (exec)
            c->stats.itlb_l1_misses++;
        else
            c->stats.dtlb_l1_misses++;
        t += l1_cycles;
        if (!missed)
            h = probe_stlb(x, vaddr);
        t += x->p->stlb.entries ? x->p->stlb.latency_cycles : 0;
        c->tlb_cycles = t - issue;
        if (h.payload == NULL) {
            CORE_LOG(x, TLB, log_number(c, who), vaddr, CORE_FOUND_MISS, CORE_FOUND_MISS, issue, t - issue,
                     CORE_LOG_UNKNOWN);
            c->stats.stlb_misses++;
            if (!exec)
                c->missed_page = vaddr >> PAGE_SHIFT;
            struct xlate found_out;
            if (x->cfg->mmu->probe != NULL && probe_design(x, vaddr, write, exec, who, &t, &found_out))
                return found_out;
            return walk(x, vaddr, write, exec, t, who);
        }
        c->stats.stlb_hits++;
        c->stats.stlb_hit_cycles += t - issue;
    }
    t = usable_at(x, vaddr, t);
    CORE_LOG(x, TLB, log_number(c, who), vaddr, from_stlb ? CORE_FOUND_MISS : found(&h),
             from_stlb ? found(&h) : CORE_FOUND_UNPROBED, issue, c->tlb_cycles, t);
    if (!permits(*h.payload, write, exec))
        return (struct xlate){t, XLATE_NONE};
    if (write && !(*h.payload & TLB_D))
        t = dirty_assist(x, vaddr, h.payload, t);
    uint64_t payload = *h.payload, in_page = vaddr & ((UINT64_C(1) << h.shift) - 1);
    if (from_stlb)
        fill_l1(x, exec, c->asid, vaddr, h.shift, payload);
    else if (!exec)
        note_recent(c, vaddr, h.shift, payload);
    else if (h.shift == PAGE_SHIFT)
        note_code_page(c, vaddr >> PAGE_SHIFT, h.payload);
    return (struct xlate){t, (payload & ~TLB_FLAGS) + in_page};
}

struct xlate core_look_up_data(const struct core_ctx *x, uint64_t vaddr, bool write, uint64_t issue, waiter_t who)
{
    return look_up(x, vaddr, write, false, issue, who);
}

struct xlate core_translate_code(const struct core_ctx *x, uint64_t vaddr, uint64_t issue, waiter_t who)
{
    struct core *c = x->c;
    vaddr &= radix_va_mask(c->levels);
    c->tlb_cycles = 0;
    if (x->cfg->mmu->free_translation)
        return core_translate_ideal(x, vaddr, false, true, issue, who);
    const struct code_page *p = code_page(c, vaddr >> PAGE_SHIFT);
    uint64_t cycles = x->p->l1i4k.latency_cycles;
    if (p->page != vaddr >> PAGE_SHIFT)
        return look_up(x, vaddr, false, true, issue, who);
    uint64_t payload = *sarray_use_spot(array_at(c, c->at.l1i4k), p->spot);
    c->stats.itlb_l1_hits++;
    c->stats.tlb_l1_cycles += cycles;
    c->tlb_cycles = cycles;
    uint64_t t = usable_at(x, vaddr, issue + cycles);
    CORE_LOG(x, TLB, log_number(c, who), vaddr, CORE_FOUND_4K, CORE_FOUND_UNPROBED, issue, cycles, t);
    return (struct xlate){t, (payload & ~TLB_FLAGS) + (vaddr & (PAGE_BYTES - 1))};
}
