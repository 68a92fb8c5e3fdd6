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
#include "cores/core.h"

static uint64_t end_of(uint64_t addr, unsigned shift) { return addr | ((UINT64_C(1) << shift) - 1); }
static uint64_t start_of(uint64_t addr, unsigned shift) { return addr >> shift << shift; }

/* L1 has asked L2 for the line of `paddr`, as pf.asked_l2 says. */
static void show_l2(const struct core_ctx *x, uint64_t paddr, uint64_t vaddr, uint32_t ip, uint64_t start)
{
    struct core *c = x->c;
    const struct prefetch_ops *o = prefetch_table[x->p->l2.prefetcher];
    if (o == &prefetch_none)
        return;
    bool big = x->p->prefetch.common.cross_page && core_in_big_page(x, vaddr);
    unsigned shift = big ? PAGE_SHIFT_2M : PAGE_SHIFT;
    struct prefetch_access a = {.addr = paddr, .cycle = start, .first = start_of(paddr, shift),
                                .last = end_of(paddr, shift), .ip = ip,
                                .event = (enum prefetch_event)(c->pf.asked_l2 - 1)};
    struct prefetch_list list;
    list.n = list.beyond = 0;
    o->access(core_at(c, c->at.prefetch_l2), &x->p->prefetch, &a, &list);
    c->stats.l2_prefetch_page_end += list.beyond;
    for (uint32_t i = 0; i < list.n; i++)
        core_prefetch_into_l2(x, list.wish[i].line, start + 1 + i);
}

/* A prefetch of the L1D prefetcher, by its physical address. */
static void send_wish(const struct core_ctx *x, uint64_t paddr, uint64_t vaddr, uint32_t ip,
                      enum prefetch_to to, uint64_t start)
{
    uint64_t line = start_of(paddr, LINE_SHIFT);
    if (to == PREFETCH_TO_L2 && x->p->l2.enabled)
        core_prefetch_into_l2(x, line, start);
    else if (core_prefetch_into_l1d(x, line, start))
        show_l2(x, paddr, vaddr, ip, start);
}

/* The lines that the L1D prefetcher wanted. */
static __attribute__((noinline)) void send_wishes(const struct core_ctx *x, const struct seen *s, uint64_t start,
                                                  const struct prefetch_list *list)
{
    struct core *c = x->c;
    c->stats.l1_prefetch_page_end += list->beyond;
    for (uint32_t i = 0; i < list->n; i++) {
        uint64_t vaddr = list->wish[i].line;
        struct xlate r = {start + 1 + i, start_of(s->paddr, PAGE_SHIFT) + (vaddr & (PAGE_BYTES - 1))};
        if (vaddr >> PAGE_SHIFT != s->vaddr >> PAGE_SHIFT)
            r = core_translate_prefetch(x, vaddr, r.time, s->ip);
        if (xlate_waits(r))
            continue;
        if (xlate_faults(r))
            c->stats.l1_prefetch_untranslated++;
        else
            send_wish(x, r.paddr, vaddr, s->ip, list->wish[i].to, r.time);
    }
}

/* Shows an access to the L1D prefetcher, if there is one; true: it wants lines. */
static inline bool show_l1d(const struct core_ctx *x, const struct seen *s, uint64_t start, enum prefetch_event event,
                            struct prefetch_list *list)
{
    struct core *c = x->c;
    const struct prefetch_ops *o = prefetch_table[x->p->l1d.prefetcher];
    uint64_t beyond = x->p->prefetch.common.cross_page ? ~UINT64_C(0) : 0; /* the page's end is none */
    struct prefetch_access a = {.addr = s->vaddr, .cycle = start,
                                .first = start_of(s->vaddr, PAGE_SHIFT) & ~beyond,
                                .last = end_of(s->vaddr, PAGE_SHIFT) | beyond,
                                .ip = s->ip, .latency = c->pf.latency, .event = event};
    list->n = list->beyond = 0;
    if (o->access != NULL)
        o->access(core_at(c, c->at.prefetch_l1d), &x->p->prefetch, &a, list);
    return (list->n | list->beyond) != 0;
}

void core_show_hit(const struct core_ctx *x, const struct seen *s, uint64_t start)
{
    struct prefetch_list list;
    if (!show_l1d(x, s, start, PREFETCH_HIT, &list))
        return;
    x->lp->now = time_of(x->cfg, x->c->touch);
    send_wishes(x, s, start, &list);
}

uint64_t core_seen_access(const struct core_ctx *x, const struct seen *s, bool write, uint64_t start, waiter_t who,
                          enum served_by *served_out)
{
    struct core *c = x->c;
    if (!core_is_news(c, s->ip, s->vaddr))
        return core_cache_access(x, s->paddr, LINE_DATA, write, start, who, served_out);
    c->pf.latest[s->ip % PREFETCH_LATEST] = s->vaddr >> LINE_SHIFT;
    c->pf.vaddr = s->vaddr;
    c->pf.ip = s->ip;
    c->pf.first_use = c->pf.asked_l2 = 0;
    const struct prefetch_ops *o = prefetch_table[x->p->l1d.prefetcher];
    c->pf.seen = o->access != NULL && (!write || x->p->prefetch.common.stores);
    bool seen = c->pf.seen;
    uint64_t cycles = core_cache_access(x, s->paddr, LINE_DATA, write, start, who, served_out);
    c->pf.seen = 0;
    bool hit = cycles != LATENCY_WAIT && *served_out == SERVED_L1;
    enum prefetch_event event = c->pf.first_use ? PREFETCH_FIRST_USE : hit ? PREFETCH_HIT : PREFETCH_MISS;
    if (c->pf.asked_l2)
        show_l2(x, s->paddr, s->vaddr, s->ip, start);
    if (!seen)
        return cycles;
    struct prefetch_list list;
    if (show_l1d(x, s, start, event, &list))
        send_wishes(x, s, start, &list);
    if (o->fill != NULL && event == PREFETCH_MISS && cycles != LATENCY_WAIT) {
        struct prefetch_fill f = {s->vaddr, start, s->ip, (uint32_t)cycles};
        o->fill(core_at(c, c->at.prefetch_l1d), &x->p->prefetch, &f);
    }
    return cycles;
}

void core_seen_fill(const struct core_ctx *x, const struct miss *m)
{
    struct core *c = x->c;
    const struct prefetch_ops *o = prefetch_table[x->p->l1d.prefetcher];
    if (o->fill == NULL)
        return;
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
    uint64_t paddr = w->page_base + (w->vaddr & ((UINT64_C(1) << w->page_shift) - 1));
    send_wish(x, paddr, w->vaddr, w->ip, PREFETCH_TO_HERE, u64_max(w->time, c->touch));
}
