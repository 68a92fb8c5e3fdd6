/* See dram_sched.h. */
#include "memsys/dram_sched.h"

#include "memsys/clock.h"
#include "memsys/dram_commands.h"

void dram_list_init(struct dram *d, struct dram_list *l, uint32_t window)
{
    l->window = window;
    l->slots_end = 64;
    l->unseen_first = l->unseen_last = DRAM_NIL;
    for (uint32_t b = 0; b < DRAM_MAX_BANKS; b++) {
        struct dram_queue *q = &l->queues[b];
        q->ends.next = q->ends.prev = dram_at_of(d, &q->ends);
        q->command = DRAM_CMD_NONE;
        l->offers.ok[b] = TIMES2_MOST;
    }
}

/* ---- offers of banks ------------------------------------------------------------------------ */

/* The oldest hit of an open bank, or its oldest request if there is none, or when hits have passed that enough. */
static const struct dram_request *first_hit(const struct dram *d, const struct dram_config *c,
                                            const struct dram_queue *q, const struct dram_bank *b)
{
    const struct dram_request *first = dram_request_at(d, q->ends.next), *r = first;
    uint32_t ends = dram_at_of(d, &q->ends);
    if (first->row == b->row || b->hit_streak >= c->hit_cap)
        return first;
    while (r->link.next != ends) {
        r = dram_request_at(d, r->link.next);
        if (r->row == b->row)
            return r;
    }
    return first;
}

/* What the bank offers for this request, if for any. */
static inline enum dram_command command_for(const struct dram_bank *b, const struct dram_request *r)
{
    bool open = b->row != DRAM_NO_ROW, other = b->row != r->row;
    return (enum dram_command)(other * DRAM_CMD_ACT + (other & open) * (DRAM_CMD_PRE - DRAM_CMD_ACT));
}

/* The state or the requests of a bank that has some have changed. */
static __attribute__((noinline)) void renew_offer(struct dram *d, const struct dram_config *c, struct dram_list *l,
                                                  uint32_t bank)
{
    const struct dram_bank *b = &d->banks[bank];
    struct dram_queue *q = &l->queues[bank];
    const struct dram_request *r = first_hit(d, c, q, b);
    enum dram_command command = command_for(b, r);
    q->command = command;
    dram_set_offer(&l->offers, q->offer, r, command, u64_max(b->ok[command], r->ready));
}

/* The bank has no request any more. */
static inline void withdraw_offer(struct dram_list *l, struct dram_queue *q)
{
    struct dram_offers *o = &l->offers;
    uint32_t i = q->offer, last = --o->n;
    struct dram_where where = o->where[last];
    o->ok[i] = o->ok[last];
    o->order[i] = o->order[last];
    o->where[i] = where;
    o->ok[last] = TIMES2_MOST;
    l->queues[where.bank].offer = i;
    q->command = DRAM_CMD_NONE;
}

/* ---- waiting requests ----------------------------------------------------------------------- */

/* Gives the requests that are seen the lowest slots; half of them are free after that. */
static void compact_slots(struct dram *d, struct dram_list *l)
{
    uint32_t n = 0;
    for (uint32_t slot = 0; slot < l->nslots; slot++) {
        struct dram_slot s = l->slots[slot];
        if (s.request == DRAM_NIL)
            continue;
        uint64_t *order = &l->offers.order[l->queues[s.bank].offer];
        if (*order % DRAM_ORDER_ROW == slot)
            *order = *order - slot + n;
        d->requests[s.request].slot = (uint16_t)n;
        l->slots[n++] = s;
    }
    l->nslots = n;
    l->slots_end = (n / 32 + 1) * 64;
    d->plan.is_stale = true; /* its order has changed */
}

/* A new offer, at `i`, may go before what is planned: what choose() would plan, if the plan is not stale. */
static inline void plan_earlier(struct dram *d, const struct dram_offers *o, uint32_t i, uint32_t request,
                                enum dram_command command, bool has_turn)
{
    struct dram_plan *p = &d->plan;
    uint64_t stamp = u64_max(dram_offer_ok(d, o, i), d->cmd_ok) | o->order[i];
    bool first = has_turn & (stamp < p->stamp);
    uint32_t all = -(uint32_t)first; /* compilers make branches of choices, which would be mispredicted */
    p->time ^= (p->time ^ dram_time_of(d, stamp)) & -(uint64_t)first;
    p->stamp = first ? stamp : p->stamp;
    p->command ^= (p->command ^ command) & all;
    p->request ^= (p->request ^ request) & all;
    p->is_stale |= d->refresh_next <= p->time; /* that of a rank without requests until now, perhaps */
}

/*
 * The scheduler sees the request from now on. The first one of its bank is offered; behind others it is not, unless
 * it is a hit where there was none.
 */
static __attribute__((noinline)) void see(struct dram *d, const struct dram_config *c, struct dram_list *l,
                                          struct dram_request *r, uint32_t idx)
{
    if (__builtin_expect(l->nslots == l->slots_end, 0))
        compact_slots(d, l);
    const struct dram_bank *b = &d->banks[r->bank];
    struct dram_queue *q = &l->queues[r->bank];
    uint32_t slot = l->nslots++, at = dram_at_of(d, &r->link), ends = dram_at_of(d, &q->ends);
    l->slots[slot] = (struct dram_slot){.request = idx, .bank = r->bank};
    r->slot = (uint16_t)slot;
    r->link = (struct dram_link){.next = ends, .prev = q->ends.prev};
    dram_link_at(d, q->ends.prev)->next = at;
    q->ends.prev = at;
    enum dram_command command = command_for(b, r);
    if (__builtin_expect((q->command == DRAM_CMD_PRE) & (command == DRAM_CMD_COLUMN), 0)) {
        renew_offer(d, c, l, r->bank);
        d->plan.is_stale = true;
        return;
    }
    if (q->command != DRAM_CMD_NONE)
        return;
    struct dram_offers *o = &l->offers;
    uint32_t i = o->n++;
    q->offer = i;
    q->command = command;
    dram_set_offer(o, i, r, command, u64_max(b->ok[command], r->ready));
    plan_earlier(d, o, i, idx, command, r->is_write == d->plan.is_write);
}

static void see_later(struct dram *d, struct dram_list *l, uint32_t idx)
{
    d->requests[idx].link.next = DRAM_NIL;
    *(l->unseen_first == DRAM_NIL ? &l->unseen_first : &d->requests[l->unseen_last].link.next) = idx;
    l->unseen_last = idx;
}

/* Counts a request that has its place, and lets it wait. */
static inline void wait_at(struct dram *d, const struct dram_config *c, struct dram_list *l, struct dram_request *q,
                           uint32_t idx)
{
    struct dram_rank *r = &d->ranks[q->rank];
    l->n++;
    if (q->arrival < r->refresh_end)
        dram_count_refresh_delay(d, r);
    if (q->is_write)
        dram_update_draining(d, c);
    d->stats.queue_peak = u64_max(d->stats.queue_peak, dram_nwaiting(d));
    d->plan.is_stale |= dram_writes_go(d) != d->plan.is_write || q->arrival > d->plan.time;
    if (l->n <= l->window)
        see(d, c, l, q, idx);
    else
        see_later(d, l, idx);
}

/* What dram_enqueue does, in any case. */
static __attribute__((noinline)) void enqueue_any(struct dram *d, const struct dram_config *c, simtime_t now,
                                                  paddr_t line, enum line_kind kind, bool is_write, uint32_t token,
                                                  uint32_t src)
{
    SIM_ASSERT(d->free_first != DRAM_NIL, "more than %u requests wait at a channel",
               d->nrequests_max);
    dram_advance_to(d, c, now);
    struct dram_place p = dram_place_of(c, line);
    uint32_t idx = d->free_first, group = p.rank << c->group_bits | p.group;
    struct dram_request *q = &d->requests[idx];
    d->free_first = q->link.next;
    *q = (struct dram_request){
        .line = line,
        .row = p.row,
        .arrival = now,
        .ready = dram_stamp(d, clock_edge(now, c->t.tck_fs, c->tck_reciprocal)),
        .token = token,
        .src = src,
        .rank = (uint8_t)p.rank,
        .group = (uint8_t)group,
        .bank = (uint16_t)(group << c->bank_bits | p.bank),
        .kind = (uint8_t)kind,
        .is_write = is_write,
    };
    wait_at(d, c, &d->lists[is_write], q, idx);
}

/* The usual case: no refresh is due, and all numbers are powers of two. */
void dram_enqueue(struct dram *d, const struct dram_config *c, simtime_t now, paddr_t line,
                  enum line_kind kind, bool is_write, uint32_t token, uint32_t src)
{
    const struct dram_bits *b = &c->bits;
    uint32_t idx = d->free_first;
    if (__builtin_expect(idx == DRAM_NIL || now < d->now || d->refresh_next <= now || !b->usable, 0)) {
        enqueue_any(d, c, now, line, kind, is_write, token, src);
        return;
    }
    struct dram_request *q = &d->requests[idx];
    uint64_t number = line.v >> LINE_SHIFT, row = number >> b->row_shift;
    /* Group and bank are neighbours in the number of a bank, and so are the bits of the row that change them. */
    uint32_t rank = (uint32_t)(number >> b->rank_shift) & b->rank_mask;
    uint32_t bank = ((uint32_t)(number >> b->group_shift) & b->group_mask) << c->bank_bits;
    bank |= (uint32_t)(number >> b->bank_shift) & b->bank_mask;
    bank = (bank ^ ((uint32_t)row & b->hash)) | rank << c->rank_bits;
    d->now = now;
    d->free_first = q->link.next;
    q->line = line;
    q->row = row;
    q->arrival = now;
    q->ready = dram_stamp(d, clock_edge(now, c->t.tck_fs, c->tck_reciprocal));
    q->token = token;
    q->src = src;
    q->bank = (uint16_t)bank;
    q->rank = (uint8_t)rank;
    q->group = (uint8_t)(bank >> c->bank_bits);
    q->kind = (uint8_t)kind;
    q->is_write = is_write;
    q->row_state = DRAM_ROW_HIT;
    wait_at(d, c, &d->lists[is_write], q, idx);
}

/*
 * A request that is seen leaves, with its column command; the oldest unseen one takes its place, and the bank's
 * offer is renewed.
 */
static inline void leave(struct dram *d, const struct dram_config *c, struct dram_list *l, struct dram_request *r)
{
    struct dram_queue *q = &l->queues[r->bank];
    struct dram_link *k = &r->link;
    l->slots[r->slot].request = DRAM_NIL;
    dram_link_at(d, k->prev)->next = k->next;
    dram_link_at(d, k->next)->prev = k->prev;
    l->n--;
    if (q->ends.next != dram_at_of(d, &q->ends))
        renew_offer(d, c, l, r->bank);
    else
        withdraw_offer(l, q);
    uint32_t unseen = l->unseen_first;
    if (__builtin_expect(unseen != DRAM_NIL, 0)) {
        l->unseen_first = d->requests[unseen].link.next;
        see(d, c, l, &d->requests[unseen], unseen);
    }
    k->next = d->free_first;
    d->free_first = (uint32_t)(r - d->requests);
    if (r->is_write)
        dram_update_draining(d, c);
}

/* ---- the choice ----------------------------------------------------------------------------- */

/* The least of the stamps from which offers can go, each with its order. */
static inline uint64_t find_best(const struct dram *d, const struct dram_offers *o, uint64_t floor)
{
    const times2 earliest = times2_both(floor);
    times2 best = times2_both(TIMES2_MOST);
    uint32_t i = 0;
    do {
        times2 ok = times2_max(dram_offers_ok(d, o, i), earliest);
        best = times2_min(best, times2_or(ok, times2_load(&o->order[i])));
        i += 2;
    } while (i < o->n);
    return times2_lesser(best);
}

/* A rank with requests that would go after its refresh is refreshed at its date. */
static __attribute__((noinline)) void plan_refresh(struct dram *d, const struct dram_config *c,
                                                   const struct dram_list *l)
{
    for (uint32_t b = 0; b < c->nranks << c->rank_bits; b++) {
        simtime_t date = d->ranks[b >> c->rank_bits].refresh_next;
        if (l->queues[b].command != DRAM_CMD_NONE && date <= d->plan.time) {
            d->plan.time = date;
            d->plan.stamp = dram_stamp(d, date);
            d->plan.command = DRAM_CMD_REFRESH;
        }
    }
}

/* Its offers become what the banks are now, of which some have changed since its last turn. */
static __attribute__((noinline)) void take_turn(struct dram *d, const struct dram_config *c, struct dram_list *l)
{
    for (uint32_t i = 0; i < l->offers.n; i++) {
        uint32_t bank = l->offers.where[i].bank;
        if (d->banks[bank].turn > l->turn)
            renew_offer(d, c, l, bank);
    }
    l->turn = ++d->turn;
}

/* Of a list that is not empty. Ties: column commands first, then the oldest request. */
static __attribute__((noinline)) void choose(struct dram *d, const struct dram_config *c, struct dram_list *l)
{
    uint64_t best = find_best(d, &l->offers, u64_max(d->cmd_ok, dram_stamp(d, d->now)));
    const struct dram_slot *s = &l->slots[best % DRAM_ORDER_ROW];
    d->plan.time = dram_time_of(d, best);
    d->plan.stamp = best;
    d->plan.command = l->queues[s->bank].command;
    d->plan.request = s->request;
    d->plan.is_stale = false;
    if (__builtin_expect(d->plan.time >= d->refresh_next, 0))
        plan_refresh(d, c, l);
}

void dram_choose(struct dram *d, const struct dram_config *c)
{
    bool any = dram_nwaiting(d) != 0, writes = any & dram_writes_go(d);
    struct dram_list *l = &d->lists[writes];
    if (l->turn != d->turn)
        take_turn(d, c, l);
    d->plan.is_write = writes;
    d->plan.is_stale = false;
    d->plan.time = d->plan.stamp = SIM_NEVER;
    if (any)
        choose(d, c, l);
}

/* ---- commands in turn ----------------------------------------------------------------------- */

bool dram_run(struct dram *d, const struct dram_config *c, struct dram_list *l, simtime_t until,
              struct dram_done *done_out)
{
    do {
        uint32_t command = d->plan.command;
        struct dram_request *q = &d->requests[d->plan.request];
        dram_advance_to(d, c, d->plan.time);
        d->plan.is_stale = true;
        if (__builtin_expect(command == DRAM_CMD_REFRESH, 0))
            return false; /* dram_advance_to did it */
        uint64_t stamp = dram_stamp(d, d->now);
        d->cmd_ok = stamp + c->dist.tck;
        if (command == DRAM_CMD_COLUMN) {
            dram_column(d, c, q, stamp, done_out);
            leave(d, c, l, q);
            if (l->n != 0 && dram_writes_go(d) == q->is_write) /* else it is not this list's turn any more */
                choose(d, c, l);
            return true;
        }
        if (command == DRAM_CMD_PRE)
            dram_precharge(d, c, q, stamp);
        else
            dram_activate(d, c, q, stamp);
        dram_next_offer(d, l, q, command == DRAM_CMD_PRE ? DRAM_CMD_ACT : DRAM_CMD_COLUMN);
        choose(d, c, l);
    } while (d->plan.time < until);
    return false;
}

bool dram_step(struct dram *d, const struct dram_config *c, struct dram_done *done_out)
{
    simtime_t time = dram_next_time(d, c);
    SIM_ASSERT(time != SIM_NEVER, "step of an idle channel at %llu fs", (unsigned long long)d->now);
    return dram_advance(d, c, time, done_out);
}
