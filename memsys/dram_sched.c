/* See dram_sched.h. */
#include "memsys/dram_sched.h"

#include "memsys/clock.h"

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
static __attribute__((noinline)) void renew_offer(struct dram *d, const struct dram_config *c,
                                                  struct dram_list *l, uint32_t bank)
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
static __attribute__((noinline)) void see(struct dram *d, const struct dram_config *c, struct dram_list *l,
                                          struct dram_request *r, uint32_t idx)
{
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

/* Counts a request that has its place, and lets it wait. */
static inline void wait_at(struct dram *d, const struct dram_config *c, struct dram_list *l, struct dram_request *q,
                           uint32_t idx)
{
    struct dram_rank *r = &d->ranks[q->rank];
    l->n++;
    r->nwaiting++;
    if (q->arrival < r->refresh_end)
        dram_count_refresh_delay(d, r);
    if (q->is_write)
        dram_update_draining(d, c);
    d->stats.queue_peak = u64_max(d->stats.queue_peak, dram_nwaiting(d));
    d->plan.is_stale |= dram_writes_go(d) != d->plan.is_write || q->arrival > d->plan.time;
    if (l->nseen < l->window)
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
    d->free_first = q->next;
    *q = (struct dram_request){
        .line = line,
        .row = p.row,
        .arrival = now,
        .ready = clock_edge(now, c->t.tck_fs),
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
    d->free_first = q->next;
    q->line = line;
    q->row = row;
    q->arrival = now;
    q->ready = clock_edge(now, c->t.tck_fs);
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
        see(d, c, l, &d->requests[unseen], unseen);
    }
    if (q->first != DRAM_NIL)
        renew_offer(d, c, l, r->bank);
    d->ranks[r->rank].nwaiting--;
    r->next = d->free_first;
    d->free_first = (uint32_t)(r - d->requests);
    if (r->is_write)
        dram_update_draining(d, c);
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
            simtime_t ok = dram_offer_ok(d, &l->slots[slot], limit);
            if (ok <= least) /* no younger one goes earlier */
                return (struct dram_best){.time = least, .slot = slot};
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

static inline __attribute__((always_inline)) void choose(struct dram *d, const struct dram_config *c,
                                                         struct dram_list *l, enum dram_limit column_limit)
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

/* Gets a list's address, and does not work it out from its number again and again. */
static __attribute__((noinline)) void choose_of(struct dram *d, const struct dram_config *c, struct dram_list *l,
                                                enum dram_limit column_limit)
{
    choose(d, c, l, column_limit);
}

void dram_choose(struct dram *d, const struct dram_config *c)
{
    bool writes = dram_writes_go(d);
    d->plan.is_stale = false;
    d->plan.is_write = writes;
    d->plan.time = SIM_NEVER;
    if (dram_nwaiting(d) != 0)
        choose_of(d, c, &d->lists[writes], writes ? DRAM_LIMIT_WR : DRAM_LIMIT_RD);
}

/* ---- commands in turn ----------------------------------------------------------------------- */

/*
 * What `choose` plans when a row command for the only request that is seen has gone, and its bank allows the next
 * one from `ok` on. True: that goes before `until`, and until then nobody asks what the bank offers.
 */
static inline bool plan_on(struct dram *d, const struct dram_request *q, enum dram_command command, simtime_t ok,
                           enum dram_limit limit, simtime_t until)
{
    ok = u64_max(u64_max(ok, d->cmd_ok), u64_max(d->group_ok[limit][q->group], d->rank_ok[limit][q->rank]));
    d->plan.command = command;
    d->plan.time = ok;
    return ok < u64_min(until, d->refresh_next);
}

bool dram_run(struct dram *d, const struct dram_config *c, struct dram_list *l, struct dram_list *other,
              simtime_t until, struct dram_done *done_out)
{
    enum dram_limit column_limit = l < other ? DRAM_LIMIT_RD : DRAM_LIMIT_WR;
    do {
        uint32_t command = d->plan.command;
        struct dram_request *q = &d->requests[d->plan.request];
        dram_advance_to(d, c, d->plan.time);
        d->plan.is_stale = true;
        if (__builtin_expect(command == DRAM_CMD_REFRESH, 0))
            return false; /* dram_advance_to did it */
        d->cmd_ok = d->now + c->t.tck_fs;
        if (other->n != 0)
            dram_renew_later(other, q->bank);
        if (command == DRAM_CMD_COLUMN) {
            dram_column(d, c, q, done_out);
            leave(d, c, l, q);
            if (l->n == 0 || dram_writes_go(d) != q->is_write)
                return true; /* it is not this list's turn any more */
            choose(d, c, l, column_limit);
            d->plan.is_stale = false;
            return true;
        }
        const struct dram_bank *b = &d->banks[q->bank];
        if (command == DRAM_CMD_PRE) {
            dram_precharge(d, c, q);
            if (l->nseen == 1 && plan_on(d, q, DRAM_CMD_ACT, b->act_ok, DRAM_LIMIT_ACT, until))
                continue;
            dram_next_offer(d, l, q, DRAM_CMD_ACT, b->act_ok);
        } else {
            dram_activate(d, c, q);
            if (l->nseen == 1 && plan_on(d, q, DRAM_CMD_COLUMN, b->cas_ok, column_limit, until))
                continue;
            dram_next_offer(d, l, q, DRAM_CMD_COLUMN, b->cas_ok);
        }
        choose(d, c, l, column_limit);
    } while (d->plan.time < until);
    d->plan.is_stale = false;
    return false;
}

bool dram_step(struct dram *d, const struct dram_config *c, struct dram_done *done_out)
{
    simtime_t time = dram_next_time(d, c);
    SIM_ASSERT(time != SIM_NEVER, "step of an idle channel at %llu fs", (unsigned long long)d->now);
    return dram_advance(d, c, time, done_out);
}
