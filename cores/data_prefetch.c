/*
 * What the data prefetchers see, and what becomes of their wishes. The designs are in prefetch.h.
 *
 * All of it happens at the touch of a data access, in program order, right after the access itself:
 * first the L2 prefetcher learns of the request, if the access was passed on to L2, then the L1D
 * prefetcher of the access. The prefetches of one access start one a cycle, from the cycle after it;
 * those into L1D that ask L2 are requests that the L2 prefetcher sees. An access to the line that
 * its instruction accessed before it shows nothing new and is left out; so are walk references, kernel stores and code.
 *
 * Within its 4 KiB page an L1D prefetch needs no translation. Beyond it (prefetch.cross_page) the
 * data TLBs are looked up, L1 and then STLB, at their latency; that look-up changes no recency and fills
 * no TLB. A page that none holds drops the prefetch, or (prefetch.walk) takes a free walker: a real walk
 * through the caches, which sets the accessed bit and fills the TLBs, but which never faults. L2
 * prefetches are physical: they cross 4 KiB only when a data TLB holds the page of the access as one
 * of 2 MiB or more, and stay in its 2 MiB. What an MMU design has behind the STLB is not asked.
 *
 * Not modelled: ports and queues of the caches that prefetches share with demand, software prefetch
 * instructions.
 */
#include "cores/l1d.h"
#include "cores/prefetch_ip_stride.h"
#include "cores/prefetch_streamer.h"
#include "cores/tlb.h"

static uint64_t end_of(uint64_t addr, unsigned shift) { return addr | ((UINT64_C(1) << shift) - 1); }
static uint64_t start_of(uint64_t addr, unsigned shift) { return addr >> shift << shift; }

/* ---- L2 ---------------------------------------------------------------------------------------- */

/* Shows it to L2's prefetcher, of any design. */
static __attribute__((noinline)) void show_l2_any(const struct core_ctx *x, uint64_t paddr, uint64_t vaddr, uint32_t ip,
                                                  uint64_t start)
{
    struct core *c = x->c;
    bool big = x->p->prefetch.common.cross_page && core_in_big_page(x, vaddr);
    unsigned shift = big ? PAGE_SHIFT_2M : PAGE_SHIFT;
    struct prefetch_access a = {.addr = paddr, .cycle = start, .first = start_of(paddr, shift),
                                .last = end_of(paddr, shift), .ip = ip,
                                .event = (enum prefetch_event)(c->pf.asked_l2 - 1)};
    struct prefetch_list list;
    list.n = list.beyond = 0;
    prefetch_table[x->p->l2.prefetcher]->access(core_at(c, c->at.prefetch_l2), &x->p->prefetch, &a, &list);
    c->stats.l2_prefetch_page_end += list.beyond;
    for (uint32_t i = 0; i < list.n; i++)
        core_prefetch_into_l2(x, list.wish[i].line, start + 1 + i);
}

/*
 * L1 has asked L2 for the line of `paddr`, as pf.asked_l2 says. A streamer that stays in pages of 4 KiB is the common
 * case: without a list, what show_l2_any gives.
 */
static void show_l2(const struct core_ctx *x, uint64_t paddr, uint64_t vaddr, uint32_t ip, uint64_t start)
{
    struct core *c = x->c;
    const uint64_t design = x->p->l2.prefetcher;
    if (design == PREFETCHER_none)
        return;
    if (design != PREFETCHER_streamer || x->p->prefetch.common.cross_page) {
        show_l2_any(x, paddr, vaddr, ip, start);
        return;
    }
    struct stream_run run = streamer_request(core_at(c, c->at.prefetch_l2), &x->p->prefetch.streamer, paddr,
                                             start_of(paddr, PAGE_SHIFT), end_of(paddr, PAGE_SHIFT));
    if (run.n == 0)
        return;
    uint64_t line = run.line << LINE_SHIFT;
    const uint64_t step = (uint64_t)run.step << LINE_SHIFT;
    for (; run.n > 0; run.n--) {
        line += step;
        if (line >> PAGE_SHIFT == paddr >> PAGE_SHIFT)
            core_prefetch_into_l2(x, line, ++start);
        else
            c->stats.l2_prefetch_page_end++;
    }
    core_expect_in_l2(c, line + step); /* by the next request of the stream */
}

/* ---- L1D --------------------------------------------------------------------------------------- */

/* A prefetch of the L1D prefetcher, by its physical address. */
static inline void send_wish(const struct core_ctx *x, uint64_t paddr, uint64_t vaddr, uint32_t ip, enum prefetch_to to,
                             uint64_t start)
{
    uint64_t line = start_of(paddr, LINE_SHIFT);
    if (to == PREFETCH_TO_L2 && x->p->l2.enabled)
        core_prefetch_into_l2(x, line, start);
    else if (core_prefetch_into_l1d(x, line, start))
        show_l2(x, paddr, vaddr, ip, start);
}

/* One for the line at `vaddr` in another page than the access. */
static __attribute__((noinline)) void send_beyond(const struct core_ctx *x, uint64_t vaddr, uint32_t ip, enum prefetch_to to,
                                                  uint64_t start)
{
    struct xlate r = core_translate_prefetch(x, vaddr, start, ip);
    if (xlate_waits(r))
        return;
    if (xlate_faults(r))
        x->c->stats.l1_prefetch_untranslated++;
    else
        send_wish(x, r.paddr, vaddr, ip, to, r.time);
}

static inline void send(const struct core_ctx *x, const struct seen *s, uint64_t vaddr, enum prefetch_to to, uint64_t start)
{
    if (vaddr >> PAGE_SHIFT == s->vaddr >> PAGE_SHIFT)
        send_wish(x, start_of(s->paddr, PAGE_SHIFT) | (vaddr & (PAGE_BYTES - 1)), vaddr, s->ip, to, start);
    else
        send_beyond(x, vaddr, s->ip, to, start);
}

/* The lines that a stride of ip_stride leads to, as show_any would have them. */
static __attribute__((noinline)) void send_strides(const struct core_ctx *x, const struct seen *s, uint64_t start, int64_t step)
{
    struct ip_stride_walk w = ip_stride_from(&x->p->prefetch.ip_stride, s->vaddr, step);
    for (uint64_t addr; ip_stride_next(&w, step, &addr);) {
        if (addr >> PAGE_SHIFT == s->vaddr >> PAGE_SHIFT || x->p->prefetch.common.cross_page)
            send(x, s, start_of(addr, LINE_SHIFT), PREFETCH_TO_HERE, ++start);
        else
            x->c->stats.l1_prefetch_page_end++;
    }
}

/* Shows an access to the L1D prefetcher, of any design, and sends what it wants. */
static __attribute__((noinline)) void show_any(const struct core_ctx *x, const struct seen *s, uint64_t start,
                                               enum prefetch_event event)
{
    struct core *c = x->c;
    const struct prefetch_ops *o = prefetch_table[x->p->l1d.prefetcher];
    uint64_t beyond = x->p->prefetch.common.cross_page ? ~UINT64_C(0) : 0; /* the page's end is none */
    struct prefetch_access a = {.addr = s->vaddr, .cycle = start,
                                .first = start_of(s->vaddr, PAGE_SHIFT) & ~beyond,
                                .last = end_of(s->vaddr, PAGE_SHIFT) | beyond,
                                .ip = s->ip, .latency = c->pf.latency, .event = event};
    struct prefetch_list list;
    list.n = list.beyond = 0;
    if (o->access != NULL)
        o->access(core_at(c, c->at.prefetch_l1d), &x->p->prefetch, &a, &list);
    if ((list.n | list.beyond) == 0)
        return;
    c->stats.l1_prefetch_page_end += list.beyond;
    for (uint32_t i = 0; i < list.n; i++)
        send(x, s, list.wish[i].line, list.wish[i].to, start + 1 + i);
}

/*
 * Shows an access to ip_stride with a table of a power of two, the common case: it asks for lines only where a stride
 * is repeated. False: another design, and nothing was done.
 */
static inline bool show_ip_stride(const struct core_ctx *x, const struct seen *s, int64_t *step_out)
{
    const struct prefetch_ip_stride_params *p = &x->p->prefetch.ip_stride;
    const uint64_t mask = p->entries - 1;
    if (x->p->l1d.prefetcher != PREFETCHER_ip_stride || (p->entries & mask) != 0)
        return false;
    struct ip_stride_entry *table = core_at(x->c, x->c->at.prefetch_l1d);
    *step_out = ip_stride_learn(&table[s->ip & mask], p, s->ip, s->vaddr);
    return true;
}

/* A hit for which there is more to do than to learn from it; `step` as of ip_stride, 0: of another design. */
static __attribute__((noinline)) void show_hit(const struct core_ctx *x, const struct seen *s, uint64_t start, int64_t step)
{
    x->lp->now = time_of(x->cfg, x->c->touch);
    if (step != 0)
        send_strides(x, s, start, step);
    else
        show_any(x, s, start, PREFETCH_HIT);
}

void core_show_hit(const struct core_ctx *x, const struct seen *s, uint64_t start)
{
    int64_t step = 0;
    if (!show_ip_stride(x, s, &step) || step != 0)
        show_hit(x, s, start, step);
}

/* What the L1D prefetcher sees of an access after it: any design's event, and its fill if the line is known to come. */
static __attribute__((noinline)) void show_l1d(const struct core_ctx *x, const struct seen *s, uint64_t start,
                                               struct served got)
{
    struct core *c = x->c;
    const struct prefetch_ops *o = prefetch_table[x->p->l1d.prefetcher];
    bool hit = got.by == SERVED_L1;
    enum prefetch_event event = c->pf.first_use ? PREFETCH_FIRST_USE : hit ? PREFETCH_HIT : PREFETCH_MISS;
    show_any(x, s, start, event);
    if (o->fill != NULL && event == PREFETCH_MISS && got.cycles != LATENCY_WAIT) {
        struct prefetch_fill f = {s->vaddr, start, s->ip, (uint32_t)got.cycles};
        o->fill(core_at(c, c->at.prefetch_l1d), &x->p->prefetch, &f);
    }
}

struct served core_seen_access(const struct core_ctx *x, const struct seen *s, bool write, uint64_t start, waiter_t who)
{
    struct core *c = x->c;
    const bool seen = x->p->l1d.prefetcher != PREFETCHER_none && (!write || x->p->prefetch.common.stores);
    c->pf.latest[s->ip % PREFETCH_LATEST] = s->vaddr >> LINE_SHIFT;
    c->pf.vaddr = s->vaddr;
    c->pf.ip = s->ip;
    c->pf.first_use = c->pf.asked_l2 = 0;
    c->pf.seen = seen & c->pf.fills;
    const struct served got = core_cache_access(x, s->paddr, LINE_DATA, write, start, who);
    c->pf.seen = 0;
    if (c->pf.asked_l2)
        show_l2(x, s->paddr, s->vaddr, s->ip, start);
    if (!seen)
        return got;
    int64_t step;
    if (!show_ip_stride(x, s, &step))
        show_l1d(x, s, start, got);
    else if (step != 0)
        send_strides(x, s, start, step);
    return got;
}

void core_seen_fill(const struct core_ctx *x, const struct miss *m)
{
    struct core *c = x->c;
    const struct prefetch_ops *o = prefetch_table[x->p->l1d.prefetcher];
    struct prefetch_fill f = {m->vaddr, m->asked, m->ip, (uint32_t)(c->touch - m->start)};
    o->fill(core_at(c, c->at.prefetch_l1d), &x->p->prefetch, &f);
}

void core_prefetch_walked(const struct core_ctx *x, const struct walk *w)
{
    struct core *c = x->c;
    /* A walk that was overtaken by a flush, or by another thread, helps nobody. */
    if (w->result == WALK_FAULT || w->stale || w->asid != c->asid) {
        c->stats.l1_prefetch_untranslated++;
        return;
    }
    uint64_t paddr = (w->payload & ~TLB_FLAGS) + (w->vaddr & ((UINT64_C(1) << w->page_shift) - 1));
    send_wish(x, paddr, w->vaddr, w->ip, PREFETCH_TO_HERE, u64_max(w->time, c->touch));
}
