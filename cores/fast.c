/*
 * The common case of dispatch, with what it needs of the core in registers: ordinary accesses whose
 * places in the queues are free, or held by accesses that have been complete for long, and which hit
 * the page and the line that they mostly hit. Everything else is left to the general code
 * (dispatch.c, window.c), at the access at which it comes up.
 *
 * Nothing is modelled here that is not there: each step names the function whose result, for this
 * case, it gives. A run without this file has the same statistics (sim.fast_path=false; tested).
 */
#include "cores/fast.h"

#include "cores/l1d.h"
#include "cores/spin.h"
#include "cores/tlb.h"

#include <string.h>

/* The part of struct core that a row of accesses changes. */
struct front {
    uint64_t slot_cycle, last_cycle, ordinal, touch;
    uint64_t head, tail, rob_limit, retire_cycle, sq_head, sq_tail, sq_drained;
    uint64_t loads_dispatched, ninstr;
    uint64_t nloads, nstores, ntlb_hits, tlb_cycles, nl1d_hits; /* since the last write-back */
    uint32_t slot_k, window_loads;
};

#define FRONT_FIELDS(X) \
    X(slot_cycle) X(last_cycle) X(ordinal) X(touch) X(head) X(tail) X(rob_limit) X(retire_cycle) X(sq_head) \
    X(sq_tail) X(sq_drained) X(loads_dispatched) X(slot_k) X(window_loads)

static inline __attribute__((always_inline)) void take_up(const struct core *c, struct front *f)
{
#define X(field) f->field = c->field;
    FRONT_FIELDS(X)
#undef X
    f->ninstr = c->pos.ninstr;
    f->nloads = f->nstores = f->ntlb_hits = f->tlb_cycles = f->nl1d_hits = 0;
}

static inline __attribute__((always_inline)) void put_back(const struct core_ctx *x, struct front *f)
{
    struct core *c = x->c;
#define X(field) c->field = f->field;
    FRONT_FIELDS(X)
#undef X
    c->stats.instructions += f->ninstr - c->pos.ninstr;
    c->pos.ninstr = f->ninstr;
    c->stats.loads += f->nloads;
    c->stats.stores += f->nstores;
    c->stats.dtlb_l1_hits += f->ntlb_hits;
    c->stats.tlb_l1_cycles += f->tlb_cycles;
    c->stats.l1d_hits += f->nl1d_hits;
    f->nloads = f->nstores = f->ntlb_hits = f->tlb_cycles = f->nl1d_hits = 0;
}

/* core_retire_oldest, for an access that was complete when dispatch came to it; false: another case. */
static inline bool retire_complete(struct core *c, struct front *f, uint64_t rob)
{
    struct inflight *e = core_window(c, f->head);
    if (e->done > f->slot_cycle) /* unknown, too */
        return false;
    f->retire_cycle = u64_max(f->retire_cycle, e->done);
    if (e->flags & ACC_STORE)
        core_sq(c, e->sq_idx)->retired = f->retire_cycle;
    else
        f->window_loads--;
    e->phase = PH_FREE;
    f->head++;
    f->rob_limit = f->head == f->tail ? UINT64_MAX : core_window(c, f->head)->instr + rob - 1;
    return true;
}

/* core_drain_oldest_store in the same case. */
static inline bool drain_complete(struct core *c, struct front *f, uint64_t rob)
{
    struct store_entry *s = core_sq(c, f->sq_head);
    while (s->retired == CYCLE_UNKNOWN)
        if (f->head == f->tail || !retire_complete(c, f, rob))
            return false;
    uint64_t drained = u64_max(f->sq_drained + 1, u64_max(s->retired, s->fill));
    if (drained > f->slot_cycle) /* the line is not there, too */
        return false;
    f->sq_drained = drained;
    f->sq_head++;
    return true;
}

/* Where the slots of the next `n` instructions end. */
struct slots {
    uint64_t last, next; /* cycle of the last one; of the one behind it */
    uint32_t k;          /* which of its cycle's slots that is */
};

/* take_slots, without taking them. */
static inline struct slots next_slots(const struct front *f, uint64_t n, uint64_t width)
{
    uint64_t k = f->slot_k + n - 1, cycle = f->slot_cycle;
    if (n == 0)
        return (struct slots){f->last_cycle, f->slot_cycle, f->slot_k};
    if (k >= 8 * width) {
        cycle += k / width;
        k %= width;
    }
    for (; k >= width; k -= width)
        cycle++;
    bool full = k + 1 == width;
    return (struct slots){cycle, cycle + full, full ? 0 : (uint32_t)k + 1};
}

/* The rest of take_slots, act_at and keep_slot. */
static inline void take_slots(struct front *f, struct slots s, uint64_t n, uint64_t width)
{
    f->ordinal += n;
    f->ninstr += n;
    f->last_cycle = s.last;
    f->slot_cycle = s.next;
    f->slot_k = s.k;
    f->touch = u64_max(s.last, f->touch);
    if (f->slot_k == 0 && f->slot_cycle <= f->touch) {
        f->slot_cycle = f->touch + (width == 1);
        f->slot_k = width != 1;
    }
}

/* A producer `distance` loads back: raises *ready; false: it has not answered. */
static inline bool produced(const struct core *c, const struct front *f, uint64_t distance, uint64_t ops, uint64_t *ready)
{
    if (distance == 0 || distance >= LOAD_RING || distance > f->loads_dispatched)
        return true;
    uint64_t done = c->load_done[(f->loads_dispatched - distance) % LOAD_RING];
    if (done == CYCLE_UNKNOWN)
        return false;
    *ready = u64_max(*ready, done + ops);
    return true;
}

/* A translation from the L1 TLBs. */
struct hit {
    uint64_t paddr;
    uint64_t start, tlb_cycles; /* cycle at which it is known; of these, in the TLB */
};

static inline void take_page(struct hit *h, uint64_t payload, uint64_t vaddr, unsigned shift, uint64_t issue, uint64_t cycles)
{
    h->tlb_cycles = cycles;
    h->start = issue + cycles;
    h->paddr = (payload & ~TLB_FLAGS) + (vaddr & ((UINT64_C(1) << shift) - 1));
}

/* core_translate for a page that an L1 TLB of one size holds, and not as the latest one; else nothing changes. */
static bool find_in_tlb(struct core *c, uint64_t array_at, uint64_t vaddr, unsigned shift, uint64_t needs, struct recent_page *recent)
{
    struct sarray *a = core_at(c, array_at);
    if (a->nused == 0)
        return false;
    uint32_t set = tlb_set(a, vaddr, shift);
    int way = sarray_find(a, set, tlb_tag(c->asid, vaddr, shift));
    if (way < 0 || (*sarray_data(a, set, (uint32_t)way) & needs) != needs)
        return false;
    sarray_hit(a, set, (uint32_t)way);
    *recent = (struct recent_page){vaddr >> shift, *sarray_data(a, set, (uint32_t)way)};
    return true;
}

/* core_translate for pages of 4 KiB that the L1 TLB holds, and those of 2 MiB that it used latest. */
static inline bool find_page(struct core *c, const struct core_params *p, uint64_t vaddr, bool write, uint64_t issue,
                             struct hit *h)
{
    uint64_t needs = write ? TLB_W | TLB_D : 0, cycles = p->l1d4k.latency_cycles, cycles_2m = p->l1d2m.latency_cycles;
    struct recent_page *r = &c->recent_4k[(vaddr >> PAGE_SHIFT) & c->recent_4k_mask];
    struct recent_page *r2 = &c->recent_2m[(vaddr >> PAGE_SHIFT_2M) & c->recent_2m_mask];
    if (issue + (cycles < cycles_2m ? cycles : cycles_2m) < c->walked_until)
        return false;
    bool latest = r->page == vaddr >> PAGE_SHIFT && (r->payload & needs) == needs;
    if (!latest && r2->page == vaddr >> PAGE_SHIFT_2M && (r2->payload & needs) == needs) {
        take_page(h, r2->payload, vaddr, PAGE_SHIFT_2M, issue, cycles_2m);
        return true;
    }
    if (!latest && (r->page == vaddr >> PAGE_SHIFT || !find_in_tlb(c, c->at.l1d4k, vaddr, PAGE_SHIFT, needs, r)))
        return false;
    take_page(h, r->payload, vaddr, PAGE_SHIFT, issue, cycles);
    return true;
}

/* load_forwarded */
enum forward { FORWARD_NONE, FORWARD_DONE, FORWARD_LATER };
static inline enum forward take_forwarded(const struct core_ctx *x, const struct front *f, uint32_t slot, uint64_t start,
                                          uint64_t *done)
{
    struct core *c = x->c;
    uint64_t store_no = c->forward[slot].window_no, sq_no = c->forward[slot].sq_no;
    c->done_head = u64_max(c->done_head, f->head);
    while (c->done_head < f->tail && core_window(c, c->done_head)->done <= f->touch)
        c->done_head++;
    c->filled_head = u64_max(c->filled_head, f->sq_head);
    while (c->filled_head <= sq_no && core_sq(c, c->filled_head)->fill <= f->touch)
        c->filled_head++;
    if (store_no < c->done_head && sq_no < c->filled_head)
        return FORWARD_NONE;
    *done = start + x->p->core.forward_cycles;
    if (store_no >= f->head) {
        uint64_t stored = core_window(c, store_no)->done;
        if (stored == CYCLE_UNKNOWN)
            return FORWARD_LATER;
        *done = u64_max(*done, stored + x->p->core.forward_cycles);
    }
    return FORWARD_DONE;
}

/* An entry of the window that is complete from the start; what only unfinished ones use stays as it was. */
static inline struct inflight *add_complete(struct core *c, struct front *f, const struct access_rec *r, const struct hit *h,
                                            uint64_t issue, uint64_t rob)
{
    uint64_t no = f->tail++;
    struct inflight *e = core_window(c, no);
    if (no == f->head)
        f->rob_limit = f->ordinal + rob - 1;
    memset(&e->ip, 0, sizeof *e - offsetof(struct inflight, ip));
    e->instr = f->ordinal;
    e->issue = issue;
    e->translated = h->start;
    e->phase = PH_DONE;
    e->flags = r->flags;
    e->tlb_cycles = (uint16_t)h->tlb_cycles;
    f->ntlb_hits++;
    f->tlb_cycles += h->tlb_cycles;
    return e;
}

static inline void add_load(struct core *c, struct front *f, struct inflight *e, uint64_t done)
{
    uint64_t i = f->loads_dispatched++ % LOAD_RING;
    e->done = done;
    e->load_no = (uint16_t)i;
    c->load_done[i] = done;
    c->load_entry[i] = f->tail - 1;
    f->window_loads++;
    f->nloads++;
}

static inline void add_store(struct core *c, struct front *f, struct inflight *e, uint64_t done, uint64_t fill,
                             uint32_t slot, uint64_t granule)
{
    uint64_t sq_no = f->sq_tail++;
    e->done = done;
    e->sq_idx = (uint16_t)(sq_no & (c->sq_size - 1));
    *core_sq(c, sq_no) = (struct store_entry){.retired = CYCLE_UNKNOWN, .fill = fill, .no = sq_no, .level = SERVED_L1};
    c->forward[slot].key = granule;
    c->forward[slot].window_no = f->tail - 1;
    c->forward[slot].sq_no = sq_no;
    f->nstores++;
}

/* The prefetchers see an access that hit. */
static inline void show_hit(const struct core_ctx *x, const struct front *f, struct inflight *e, const struct access_rec *r,
                            const struct hit *h, uint32_t ip)
{
    x->c->pf.latest[ip % PREFETCH_LATEST] = r->vaddr >> LINE_SHIFT;
    if ((r->flags & ACC_STORE) && !x->p->prefetch.common.stores)
        return;
    e->vaddr = r->vaddr;
    e->paddr = h->paddr;
    e->ip = ip;
    x->c->touch = f->touch;
    core_show_hit(x, e, h->start);
}

/*
 * core_access_dispatch for an access to a page and a line that are here, or whose data an older store
 * has; false: it is another case, and nothing was changed.
 */
static inline bool hit_access(const struct core_ctx *x, struct front *f, const struct access_rec *r, uint64_t va_mask,
                              uint32_t ip)
{
    struct core *c = x->c;
    const struct core_params *p = x->p;
    bool write = r->flags & ACC_STORE;
    uint64_t issue = f->touch, data_ready = issue, granule = r->vaddr >> 3, done;
    uint32_t slot = core_forward_slot(granule);
    struct hit h;
    if ((r->addr_dep[0] | r->addr_dep[1]) != 0 && (!produced(c, f, r->addr_dep[0], r->addr_ops[0], &issue) ||
                                                   !produced(c, f, r->addr_dep[1], r->addr_ops[1], &issue)))
        return false;
    if (write && !produced(c, f, r->data_dep, r->data_ops, &data_ready))
        return false;
    if (!find_page(c, p, r->vaddr & va_mask, write, issue, &h))
        return false;
    if (!write && c->forward[slot].key == granule && c->forward[slot].sq_no >= f->sq_head) {
        enum forward got = take_forwarded(x, f, slot, h.start, &done);
        if (got == FORWARD_LATER)
            return false;
        if (got == FORWARD_DONE) {
            c->stats.l1d_forwards++;
            add_load(c, f, add_complete(c, f, r, &h, issue, p->core.rob), done);
            return true;
        }
    }
    uint64_t *held = l1d_hit(c, h.paddr);
    if (held == NULL)
        return false;
    uint64_t latency = p->l1d.latency_cycles, comes = *held >> LINE_READY_SHIFT;
    done = u64_max(h.start + latency, comes);
    struct inflight *e = add_complete(c, f, r, &h, issue, p->core.rob);
    f->nl1d_hits++;
    if (write) {
        *held |= LINE_DIRTY;
        add_store(c, f, e, u64_max(h.start + 1, data_ready), done, slot, granule);
    } else {
        e->level = done > h.start + latency ? SERVED_L2 : SERVED_L1;
        add_load(c, f, e, done);
    }
    if (c->pf.on && core_is_news(c, ip, r->vaddr))
        show_hit(x, f, e, r, &h, ip);
    return true;
}

void core_run_fast(const struct core_ctx *x, const struct fe_block *b, uint32_t end, uint64_t stop, uint64_t until)
{
    struct core *c = x->c;
    const struct core_params *p = x->p;
    const uint64_t width = p->core.width, rob = p->core.rob, load_queue = p->core.load_queue,
                   store_queue = p->core.store_queue, va_mask = radix_va_mask(c->levels);
    uint64_t limit = u64_min(until, c->fault_at);
    bool code = p->l1i.enabled;
    uint32_t acc = c->pos.acc, gap_done = c->pos.gap_done;
    struct front f;
    take_up(c, &f);
    for (; acc < end; acc++, gap_done = 0) {
        const struct access_rec *r = fe_acc(b, acc);
        bool write = r->flags & ACC_STORE;
        uint64_t n = r->gap - gap_done;
        if (code && r->gap != 0 && b->pcs[r->pc_id] >> LINE_SHIFT != c->fetch.line)
            break; /* another line of code: before anything else of its instruction */
        struct slots slots = next_slots(&f, n, width);
        if ((r->flags & (ACC_LOCK | ACC_FENCE)) || f.ninstr + n >= stop || u64_max(slots.last, f.touch) >= limit)
            break;
        while (f.ordinal + n > f.rob_limit && retire_complete(c, &f, rob))
            ;
        /* The second access of an instruction may come a cycle after it for want of a place. */
        while (!write && n > 0 && f.window_loads >= load_queue && retire_complete(c, &f, rob))
            ;
        while (write && n > 0 && f.sq_tail - f.sq_head >= store_queue && drain_complete(c, &f, rob))
            ;
        if (f.ordinal + n > f.rob_limit || (write ? f.sq_tail - f.sq_head >= store_queue : f.window_loads >= load_queue))
            break;
        uint32_t ip = c->pf.on ? prefetch_ip(b->pcs[r->pc_id]) : 0;
        take_slots(&f, slots, n, width);
        if (!hit_access(x, &f, r, va_mask, ip)) {
            put_back(x, &f);
            x->lp->now = time_of(x->cfg, c->touch);
            core_access_dispatch(x, r, false, c->touch, ip);
            if ((c->nwakes | c->nfaulted) != 0) {
                spin_watch(c, b, r);
                c->pos.acc = acc + 1;
                c->pos.gap_done = 0;
                core_run_wakes(x);
                return;
            }
            take_up(c, &f);
        }
        if (r->vaddr == c->spin.vaddr)
            put_back(x, &f); /* it asks for the number of instructions */
        spin_watch(c, b, r);
    }
    put_back(x, &f);
    if (acc == c->pos.acc)
        return;
    c->pos.acc = acc;
    c->pos.gap_done = 0;
    x->lp->now = time_of(x->cfg, c->touch);
}
