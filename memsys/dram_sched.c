/* See dram_sched.h. */
#include "memsys/dram_sched.h"

#include <string.h>

void dram_list_init(struct dram_list *l, uint32_t window)
{
    l->window = window;
    l->nwords = 1;
    l->unseen_first = l->unseen_last = DRAM_NIL;
    for (uint32_t k = 0; k < DRAM_CMD_OFFERS; k++)
        l->best[k].time = SIM_NEVER;
    for (uint32_t b = 0; b < DRAM_MAX_BANKS; b++)
        l->queues[b] = (struct dram_queue){DRAM_NIL, DRAM_NIL, DRAM_CMD_NONE, 0};
}

/* ---- offers of banks ------------------------------------------------------------------------ */

static void mark(uint64_t *bits, uint32_t i) { bits[i / 64] |= UINT64_C(1) << i % 64; }
static void unmark(uint64_t *bits, uint32_t i) { bits[i / 64] &= ~(UINT64_C(1) << i % 64); }

/* The oldest hit of an open bank; DRAM_NIL too when hits have passed the oldest request enough. */
static uint32_t first_hit(const struct dram *d, const struct dram_config *c,
                          const struct dram_queue *q, const struct dram_bank *b)
{
    uint32_t idx = q->first;
    if (d->requests[idx].row != b->row && b->hit_streak >= c->hit_cap)
        return DRAM_NIL;
    while (idx != DRAM_NIL && d->requests[idx].row != b->row)
        idx = d->requests[idx].next;
    return idx;
}

/* The command that the bank offers, for which request, and from when on the bank allows it. */
static enum dram_command offer_of(const struct dram *d, const struct dram_config *c,
                                  const struct dram_queue *q, const struct dram_bank *b,
                                  uint32_t *request_out, simtime_t *ok_out)
{
    *request_out = q->first;
    *ok_out = b->act_ok;
    if (b->row == DRAM_NO_ROW)
        return DRAM_CMD_ACT;
    uint32_t hit = first_hit(d, c, q, b);
    *ok_out = b->pre_ok;
    if (hit == DRAM_NIL)
        return DRAM_CMD_PRE;
    *request_out = hit;
    *ok_out = b->cas_ok;
    return DRAM_CMD_COLUMN;
}

/* The bank's state or requests have changed. */
static void renew_offer(struct dram *d, const struct dram_config *c, struct dram_list *l, uint32_t bank)
{
    struct dram_queue *q = &l->queues[bank];
    uint32_t idx;
    simtime_t ok;
    if (q->command != DRAM_CMD_NONE)
        dram_withdraw_offer(l, q);
    q->command = DRAM_CMD_NONE;
    if (q->first == DRAM_NIL)
        return;
    enum dram_command command = offer_of(d, c, q, &d->banks[bank], &idx, &ok);
    const struct dram_request *r = &d->requests[idx];
    dram_make_offer(d, l, q, command, r->slot, u64_max(ok, r->ready), dram_column_limit(r));
}

/* ---- waiting requests ----------------------------------------------------------------------- */

/* Gives the requests that are seen the lowest slots; half of them are free after that. */
static void compact_slots(struct dram *d, struct dram_list *l)
{
    uint32_t n = 0;
    memset(l->offers, 0, sizeof l->offers);
    for (uint32_t w = 0; w < l->nwords; w++) {
        for (uint64_t bits = l->seen[w]; bits != 0; bits &= bits - 1, n++) {
            uint32_t slot = w * 64 + (uint32_t)__builtin_ctzll(bits);
            struct dram_queue *q = &l->queues[l->slots[slot].bank];
            l->slots[n] = l->slots[slot];
            d->requests[l->slots[n].request].slot = (uint16_t)n;
            if (q->command != DRAM_CMD_NONE && q->slot == slot) {
                q->slot = n;
                mark(l->offers[q->command], n);
            }
        }
        l->seen[w] = 0;
    }
    for (uint32_t slot = 0; slot < n; slot++)
        mark(l->seen, slot);
    l->nslots = n;
    l->nwords = n / 32 + 1;
    for (uint32_t k = 0; k < DRAM_CMD_OFFERS; k++)
        l->best[k].time = 0;
}

/* The only request of its bank: what renew_offer does. Returns when all limits allow what is offered. */
static inline simtime_t offer_first(struct dram *d, struct dram_list *l, struct dram_queue *q,
                                    const struct dram_request *r)
{
    const struct dram_bank *b = &d->banks[r->bank];
    enum dram_command command = DRAM_CMD_PRE;
    simtime_t ok = b->pre_ok;
    if (b->row == DRAM_NO_ROW) {
        command = DRAM_CMD_ACT;
        ok = b->act_ok;
    } else if (b->row == r->row) {
        command = DRAM_CMD_COLUMN;
        ok = b->cas_ok;
    }
    return dram_make_offer(d, l, q, command, r->slot, u64_max(ok, r->ready), dram_column_limit(r));
}

/* The scheduler sees the request from now on. */
static inline void see(struct dram *d, const struct dram_config *c, struct dram_list *l, uint32_t idx)
{
    struct dram_request *r = &d->requests[idx];
    struct dram_queue *q = &l->queues[r->bank];
    if (l->nslots == l->nwords * 64)
        compact_slots(d, l);
    uint32_t slot = l->nslots++;
    mark(l->seen, slot);
    l->nseen++;
    struct dram_slot *s = &l->slots[slot];
    s->request = idx;
    s->bank = r->bank;
    s->group = r->group;
    s->rank = r->rank;
    r->slot = (uint16_t)slot;
    r->next = DRAM_NIL;
    r->prev = q->last;
    q->last = idx;
    if (r->prev == DRAM_NIL) {
        q->first = idx;
        /* Whether that, or a refresh before it, may come before what is planned. */
        simtime_t ok = offer_first(d, l, q, r);
        d->plan.is_stale |= u64_min(ok, d->refresh_next) <= d->plan.time;
        return;
    }
    d->requests[r->prev].next = idx;
    /* Behind others it is not offered, unless it is a hit where there was none. */
    if (q->command == DRAM_CMD_PRE && r->row == d->banks[r->bank].row) {
        renew_offer(d, c, l, r->bank);
        d->plan.is_stale = true;
    }
}

static void see_later(struct dram *d, struct dram_list *l, uint32_t idx)
{
    d->requests[idx].next = DRAM_NIL;
    *(l->unseen_first == DRAM_NIL ? &l->unseen_first : &d->requests[l->unseen_last].next) = idx;
    l->unseen_last = idx;
}

void dram_wait(struct dram *d, const struct dram_config *c, struct dram_list *l, uint32_t idx)
{
    l->n++;
    if (l->nseen < l->window)
        see(d, c, l, idx);
    else
        see_later(d, l, idx);
}

void dram_leave(struct dram *d, const struct dram_config *c, struct dram_list *l, struct dram_request *r)
{
    struct dram_queue *q = &l->queues[r->bank];
    dram_withdraw_offer(l, q);
    q->command = DRAM_CMD_NONE;
    *(r->prev == DRAM_NIL ? &q->first : &d->requests[r->prev].next) = r->next;
    *(r->next == DRAM_NIL ? &q->last : &d->requests[r->next].prev) = r->prev;
    unmark(l->seen, r->slot);
    l->n--;
    l->nseen--;
    uint32_t unseen = l->unseen_first;
    if (__builtin_expect(unseen != DRAM_NIL, 0)) {
        l->unseen_first = d->requests[unseen].next;
        see(d, c, l, unseen);
    }
    if (q->first != DRAM_NIL)
        renew_offer(d, c, l, r->bank);
}

/* ---- the choice ----------------------------------------------------------------------------- */

/* `floor`: the earliest time of any command. */
static inline struct dram_best find_best(const struct dram *d, const struct dram_list *l, enum dram_command command,
                                         enum dram_limit limit, simtime_t floor)
{
    simtime_t least = u64_max(floor, d->least_ok[limit]), best_ok = SIM_NEVER;
    uint32_t best_slot = 0;
    for (uint32_t w = 0; w < l->nwords; w++)
        for (uint64_t bits = l->offers[command][w]; bits != 0; bits &= bits - 1) {
            uint32_t slot = w * 64 + (uint32_t)__builtin_ctzll(bits);
            simtime_t ok = u64_max(least, dram_offer_ok(d, &l->slots[slot], limit));
            if (ok == least) /* no younger one goes earlier */
                return (struct dram_best){.time = ok, .slot = slot};
            /* Not a branch, which would be mispredicted. */
            best_slot = ok < best_ok ? slot : best_slot;
            best_ok = u64_min(ok, best_ok);
        }
    return (struct dram_best){.time = best_ok, .slot = best_slot};
}

/* What an earlier search found holds until its bank or the limits change or more can go by now. */
static inline struct dram_best *best_of(const struct dram *d, struct dram_list *l, enum dram_command command,
                                        enum dram_limit limit, simtime_t floor)
{
    struct dram_best *best = &l->best[command];
    if (best->time < floor)
        *best = find_best(d, l, command, limit, floor);
    return best;
}

/* A rank with requests that would go after its refresh is refreshed at its date. */
static __attribute__((noinline)) void plan_refresh(struct dram *d, const struct dram_config *c,
                                                   const struct dram_list *l)
{
    for (uint32_t b = 0; b < c->nranks << c->rank_bits; b++) {
        simtime_t date = d->ranks[b >> c->rank_bits].refresh_next;
        if (l->queues[b].first != DRAM_NIL && date <= d->plan.time) {
            d->plan.time = date;
            d->plan.command = DRAM_CMD_REFRESH;
        }
    }
}

static __attribute__((noinline)) void renew_offers(struct dram *d, const struct dram_config *c, struct dram_list *l)
{
    for (uint32_t w = 0; w < c->nbank_words; w++) {
        for (uint64_t bits = l->renew[w]; bits != 0; bits &= bits - 1)
            renew_offer(d, c, l, w * 64 + (uint32_t)__builtin_ctzll(bits));
        l->renew[w] = 0;
    }
    l->any_renew = false;
}

static inline void plan(struct dram *d, const struct dram_list *l, enum dram_command command,
                        const struct dram_best *best)
{
    d->plan.time = best->time;
    d->plan.command = command;
    d->plan.request = l->slots[best->slot].request;
}

/* Ties: column commands first, then the oldest request. */
static inline void plan_best(struct dram *d, struct dram_list *l, enum dram_limit column_limit, simtime_t floor)
{
    const struct dram_best *column = best_of(d, l, DRAM_CMD_COLUMN, column_limit, floor);
    if (column->time == floor) { /* no row command goes before it */
        plan(d, l, DRAM_CMD_COLUMN, column);
        return;
    }
    const struct dram_best *act = best_of(d, l, DRAM_CMD_ACT, DRAM_LIMIT_ACT, floor);
    const struct dram_best *pre = best_of(d, l, DRAM_CMD_PRE, DRAM_LIMIT_PRE, floor);
    if (column->time <= u64_min(act->time, pre->time))
        plan(d, l, DRAM_CMD_COLUMN, column);
    else if (pre->time < act->time || (pre->time == act->time && pre->slot < act->slot))
        plan(d, l, DRAM_CMD_PRE, pre);
    else
        plan(d, l, DRAM_CMD_ACT, act);
}

/* The same when the scheduler sees one request. */
static inline void plan_only(struct dram *d, const struct dram_list *l, enum dram_limit column_limit,
                             simtime_t floor)
{
    uint32_t w = 0;
    while (l->seen[w] == 0)
        w++;
    const struct dram_slot *s = &l->slots[w * 64 + (uint32_t)__builtin_ctzll(l->seen[w])];
    d->plan.command = l->queues[s->bank].command;
    d->plan.time = u64_max(floor, dram_offer_ok(d, s, dram_limit_of(d->plan.command, column_limit)));
    d->plan.request = s->request;
}

/* Of one list: its address is not worked out from its number again and again. */
static __attribute__((noinline)) void choose(struct dram *d, const struct dram_config *c, struct dram_list *l,
                                             enum dram_limit column_limit)
{
    if (__builtin_expect(l->any_renew, 0))
        renew_offers(d, c, l);
    simtime_t floor = u64_max(d->cmd_ok, d->now);
    if (l->nseen == 1)
        plan_only(d, l, column_limit, floor);
    else
        plan_best(d, l, column_limit, floor);
    if (__builtin_expect(d->plan.time >= d->refresh_next, 0))
        plan_refresh(d, c, l);
}

void dram_choose(struct dram *d, const struct dram_config *c)
{
    bool writes = dram_writes_go(d);
    d->plan.is_stale = false;
    d->plan.is_write = writes;
    d->plan.time = SIM_NEVER;
    if (dram_nwaiting(d) != 0)
        choose(d, c, &d->lists[writes], writes ? DRAM_LIMIT_WR : DRAM_LIMIT_RD);
}
