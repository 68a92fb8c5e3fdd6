/* See dram_sched.h. */
#include "memsys/dram_sched.h"

#include <string.h>

void dram_list_init(struct dram_list *l, uint32_t window)
{
    l->window = window;
    l->nwords = (2 * window + 63) / 64;
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

static inline void withdraw_offer(struct dram_list *l, struct dram_queue *q)
{
    if (q->command == DRAM_CMD_NONE)
        return;
    unmark(l->offers[q->command], q->slot);
    l->noffers[q->command]--;
    l->stale |= (uint32_t)(l->best[q->command].slot == q->slot) << q->command;
    q->command = DRAM_CMD_NONE;
}

/* The bank, which offers nothing, offers a command for the request in `slot` from `ok` on. */
static inline void make_offer(struct dram_list *l, struct dram_queue *q, enum dram_command command,
                              uint32_t slot, simtime_t ok)
{
    q->command = command;
    q->slot = slot;
    l->slots[slot].ok = ok;
    mark(l->offers[command], slot);
    l->noffers[command]++;
    l->stale |= (uint32_t)(ok <= l->best[command].time) << command;
}

void dram_next_offer(struct dram_list *l, struct dram_queue *q, enum dram_command command,
                     simtime_t ok)
{
    withdraw_offer(l, q);
    make_offer(l, q, command, q->slot, ok);
}

void dram_renew_offer(const struct dram *d, const struct dram_config *c, struct dram_list *l,
                      uint32_t bank)
{
    struct dram_queue *q = &l->queues[bank];
    uint32_t idx;
    simtime_t ok;
    withdraw_offer(l, q);
    if (q->first == DRAM_NIL)
        return;
    enum dram_command command = offer_of(d, c, q, &d->banks[bank], &idx, &ok);
    const struct dram_request *r = &d->requests[idx];
    make_offer(l, q, command, r->slot, u64_max(ok, r->ready));
}

static enum dram_limit limit_of(uint32_t command, enum dram_limit column_limit)
{
    if (command == DRAM_CMD_COLUMN)
        return column_limit;
    return command == DRAM_CMD_ACT ? DRAM_LIMIT_ACT : DRAM_LIMIT_PRE;
}

/* From when on bank, group and rank allow what is offered for this request. */
static inline simtime_t offer_ok(const struct dram *d, const struct dram_slot *s,
                                 enum dram_limit limit)
{
    return u64_max(s->ok, u64_max(d->group_ok[limit][s->group], d->rank_ok[limit][s->rank]));
}

/* ---- waiting requests ----------------------------------------------------------------------- */

/* Gives the requests that are seen the lowest slots. */
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
    l->stale = (1u << DRAM_CMD_OFFERS) - 1;
}

/* Whether what a bank now offers, or a refresh before it, may come before what is planned. */
static bool comes_first(const struct dram *d, const struct dram_list *l, const struct dram_queue *q)
{
    enum dram_limit column_limit = l == d->lists ? DRAM_LIMIT_RD : DRAM_LIMIT_WR;
    simtime_t ok = offer_ok(d, &l->slots[q->slot], limit_of(q->command, column_limit));
    return u64_min(ok, d->refresh_next) <= d->plan.time;
}

/* The scheduler sees the request from now on. */
static void see(struct dram *d, const struct dram_config *c, struct dram_list *l, uint32_t idx)
{
    struct dram_request *r = &d->requests[idx];
    struct dram_queue *q = &l->queues[r->bank];
    bool is_first = q->first == DRAM_NIL;
    if (l->nslots == l->nwords * 64)
        compact_slots(d, l);
    uint32_t slot = l->nslots++;
    mark(l->seen, slot);
    l->nseen++;
    l->slots[slot] = (struct dram_slot){
        .request = idx,
        .bank = r->bank,
        .group = (uint8_t)(r->bank >> c->bank_bits),
        .rank = r->rank,
    };
    r->slot = (uint16_t)slot;
    r->next = DRAM_NIL;
    r->prev = q->last;
    *(is_first ? &q->first : &d->requests[q->last].next) = idx;
    q->last = idx;
    /* Behind others it is not offered, unless it is a hit where there was none. */
    if (is_first || (q->command == DRAM_CMD_PRE && r->row == d->banks[r->bank].row)) {
        dram_renew_offer(d, c, l, r->bank);
        d->plan.is_stale |= !is_first || comes_first(d, l, q);
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

void dram_leave(struct dram *d, const struct dram_config *c, struct dram_list *l, uint32_t idx)
{
    struct dram_request *r = &d->requests[idx];
    struct dram_queue *q = &l->queues[r->bank];
    withdraw_offer(l, q);
    *(r->prev == DRAM_NIL ? &q->first : &d->requests[r->prev].next) = r->next;
    *(r->next == DRAM_NIL ? &q->last : &d->requests[r->next].prev) = r->prev;
    unmark(l->seen, r->slot);
    l->n--;
    l->nseen--;
    uint32_t unseen = l->unseen_first;
    if (unseen != DRAM_NIL) {
        l->unseen_first = d->requests[unseen].next;
        see(d, c, l, unseen);
    }
}

/* ---- the choice ----------------------------------------------------------------------------- */

/* `floor`: the earliest time of any command. */
static struct dram_best find_best(const struct dram *d, const struct dram_list *l,
                                  enum dram_command command, enum dram_limit limit, simtime_t floor)
{
    simtime_t least = u64_max(floor, d->least_ok[limit]), best_ok = SIM_NEVER;
    uint32_t best_slot = 0;
    for (uint32_t w = 0; w < l->nwords; w++)
        for (uint64_t bits = l->offers[command][w]; bits != 0; bits &= bits - 1) {
            uint32_t slot = w * 64 + (uint32_t)__builtin_ctzll(bits);
            simtime_t ok = u64_max(least, offer_ok(d, &l->slots[slot], limit));
            if (ok == least) /* no younger one goes earlier */
                return (struct dram_best){.time = ok, .slot = slot};
            /* Not a branch, which would be mispredicted. */
            best_slot = ok < best_ok ? slot : best_slot;
            best_ok = u64_min(ok, best_ok);
        }
    return (struct dram_best){.time = best_ok, .slot = best_slot};
}

/* What an earlier search found holds until its bank or the limits change or more can go by now. */
static inline simtime_t best_time(const struct dram *d, struct dram_list *l,
                                  enum dram_command command, enum dram_limit limit, simtime_t floor)
{
    struct dram_best *best = &l->best[command];
    if (l->noffers[command] == 0)
        best->time = SIM_NEVER;
    else if ((l->stale >> command & 1) != 0 || best->time < floor)
        *best = find_best(d, l, command, limit, floor);
    return best->time;
}

/* A rank with requests that would go after its refresh is refreshed at its date. */
static void plan_refresh(struct dram *d, const struct dram_config *c, const struct dram_list *l)
{
    for (uint32_t b = 0; b < c->nranks << c->rank_bits; b++) {
        simtime_t date = d->ranks[b >> c->rank_bits].refresh_next;
        if (l->queues[b].first != DRAM_NIL && date <= d->plan.time) {
            d->plan.time = date;
            d->plan.command = DRAM_CMD_REFRESH;
        }
    }
}

static void renew_offers(struct dram *d, const struct dram_config *c, struct dram_list *l)
{
    for (uint32_t w = 0; w < c->nbank_words; w++) {
        for (uint64_t bits = l->renew[w]; bits != 0; bits &= bits - 1)
            dram_renew_offer(d, c, l, w * 64 + (uint32_t)__builtin_ctzll(bits));
        l->renew[w] = 0;
    }
    l->any_renew = false;
}

/* Ties: column commands first, then the oldest request. */
static void plan_best(struct dram *d, struct dram_list *l, enum dram_limit column_limit,
                      simtime_t floor)
{
    simtime_t column = best_time(d, l, DRAM_CMD_COLUMN, column_limit, floor);
    simtime_t act = best_time(d, l, DRAM_CMD_ACT, DRAM_LIMIT_ACT, floor);
    simtime_t pre = best_time(d, l, DRAM_CMD_PRE, DRAM_LIMIT_PRE, floor);
    enum dram_command command = DRAM_CMD_COLUMN;
    if (column > u64_min(act, pre)) {
        bool pre_is_older = l->best[DRAM_CMD_PRE].slot < l->best[DRAM_CMD_ACT].slot;
        command = pre < act || (pre == act && pre_is_older) ? DRAM_CMD_PRE : DRAM_CMD_ACT;
    }
    l->stale = 0;
    d->plan.time = l->best[command].time;
    d->plan.command = command;
    d->plan.request = l->slots[l->best[command].slot].request;
}

/* The same when the scheduler sees one request. */
static void plan_only(struct dram *d, const struct dram_list *l, enum dram_limit column_limit,
                      simtime_t floor)
{
    uint32_t w = 0;
    while (l->seen[w] == 0)
        w++;
    const struct dram_slot *s = &l->slots[w * 64 + (uint32_t)__builtin_ctzll(l->seen[w])];
    d->plan.command = l->queues[s->bank].command;
    d->plan.time = u64_max(floor, offer_ok(d, s, limit_of(d->plan.command, column_limit)));
    d->plan.request = s->request;
}

void dram_choose(struct dram *d, const struct dram_config *c)
{
    bool writes = dram_writes_go(d);
    struct dram_list *l = &d->lists[writes];
    d->plan.is_stale = false;
    d->plan.is_write = writes;
    d->plan.time = SIM_NEVER;
    if (l->n == 0)
        return;
    if (l->any_renew)
        renew_offers(d, c, l);
    simtime_t floor = u64_max(d->cmd_ok, d->now);
    enum dram_limit column_limit = writes ? DRAM_LIMIT_WR : DRAM_LIMIT_RD;
    if (l->nseen == 1)
        plan_only(d, l, column_limit, floor);
    else
        plan_best(d, l, column_limit, floor);
    if (d->plan.time >= d->refresh_next)
        plan_refresh(d, c, l);
}
