/* See dram.h: the channel's state machine and its scheduler. */
#include "memsys/dram.h"

#include "memsys/clock.h"

#include <string.h>

size_t dram_state_bytes(const struct dram_config *c)
{
    return sizeof(struct dram) + (size_t)c->nrequests_max * sizeof(struct dram_request);
}

simtime_t dram_min_answer_fs(const struct dram_config *c)
{
    /* A write's credit goes back at this distance too, or it would shorten the lookahead. */
    return c->t.tcl_fs + c->t.tburst_fs + c->controller_fs;
}

static void list_init(struct dram_list *l, uint32_t window)
{
    l->window = window;
    l->nwords = (2 * window + 63) / 64;
    l->unseen_first = l->unseen_last = DRAM_NIL;
    for (uint32_t k = 0; k < DRAM_CMD_OFFERS; k++)
        l->best[k].time = SIM_NEVER;
    for (uint32_t b = 0; b < DRAM_MAX_BANKS; b++)
        l->queues[b] = (struct dram_queue){DRAM_NIL, DRAM_NIL, DRAM_CMD_NONE, 0};
}

void dram_init(struct dram *d, const struct dram_config *c)
{
    d->nrequests_max = c->nrequests_max;
    d->plan = (struct dram_plan){.time = SIM_NEVER, .command = DRAM_CMD_NONE};
    list_init(&d->lists[0], c->read_window);
    list_init(&d->lists[1], c->write_window);
    for (uint32_t b = 0; b < DRAM_MAX_BANKS; b++)
        d->banks[b].row = DRAM_NO_ROW;
    for (uint32_t r = 0; r < c->nranks; r++)
        d->ranks[r].refresh_next =
            c->refresh ? c->t.trefi_fs + c->t.trefi_fs / c->nranks * r : SIM_NEVER;
    d->refresh_next = d->ranks[0].refresh_next;
    d->free_first = DRAM_NIL;
    for (uint32_t i = c->nrequests_max; i-- > 0;) {
        d->requests[i].next = d->free_first;
        d->free_first = i;
    }
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

/* The command that the bank offers, the request that it is for, and from when the bank allows it. */
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

/* A row command was issued: the same request has the next one, from `ok` on. */
static inline void next_offer(struct dram_list *l, struct dram_queue *q, enum dram_command command,
                              simtime_t ok)
{
    withdraw_offer(l, q);
    make_offer(l, q, command, q->slot, ok);
}

/* The bank's state or requests have changed. */
static void renew_offer(const struct dram *d, const struct dram_config *c, struct dram_list *l,
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

/* As renew_offer, but when the list has its turn. */
static void renew_later(struct dram_list *l, uint32_t bank)
{
    if (l->queues[bank].command == DRAM_CMD_NONE)
        return;
    mark(l->renew, bank);
    l->any_renew = true;
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

/* What limits a command of groups and ranks has changed. */
static void limits_changed(struct dram *d, enum dram_command command)
{
    d->lists[0].stale |= 1u << command;
    d->lists[1].stale |= 1u << command;
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
        renew_offer(d, c, l, r->bank);
        d->plan.is_stale |= !is_first || comes_first(d, l, q);
    }
}

static void see_later(struct dram *d, struct dram_list *l, uint32_t idx)
{
    d->requests[idx].next = DRAM_NIL;
    *(l->unseen_first == DRAM_NIL ? &l->unseen_first : &d->requests[l->unseen_last].next) = idx;
    l->unseen_last = idx;
}

/*
 * Removes a request that is seen; the oldest unseen one takes its place. Its bank's offer has to be
 * renewed.
 */
static void list_remove(struct dram *d, const struct dram_config *c, struct dram_list *l,
                        uint32_t idx)
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

/* ---- refresh, applied lazily up to a time ---------------------------------------------------- */

static void count_refresh_delay(struct dram *d, struct dram_rank *r)
{
    d->stats.refresh_delays += !r->refresh_delaying;
    r->refresh_delaying = true;
}

static void refresh_rank(struct dram *d, const struct dram_config *c, uint32_t rank, simtime_t now)
{
    struct dram_rank *r = &d->ranks[rank];
    simtime_t last = r->refresh_next + (now - r->refresh_next) / c->t.trefi_fs * c->t.trefi_fs;
    r->refresh_next = last + c->t.trefi_fs;
    r->refresh_end = last + c->t.trfc_fs;
    r->refresh_delaying = false;
    for (uint32_t b = rank << c->rank_bits; b < (rank + 1) << c->rank_bits; b++) {
        d->banks[b].row = DRAM_NO_ROW;
        d->banks[b].act_ok = u64_max(d->banks[b].act_ok, r->refresh_end);
        renew_later(&d->lists[0], b);
        renew_later(&d->lists[1], b);
    }
    if (r->nwaiting > 0)
        count_refresh_delay(d, r);
}

static void refresh_ranks(struct dram *d, const struct dram_config *c, simtime_t now)
{
    d->refresh_next = SIM_NEVER;
    for (uint32_t r = 0; r < c->nranks; r++) {
        if (d->ranks[r].refresh_next <= now)
            refresh_rank(d, c, r, now);
        d->refresh_next = u64_min(d->refresh_next, d->ranks[r].refresh_next);
    }
    d->plan.is_stale = true;
}

static inline void advance_to(struct dram *d, const struct dram_config *c, simtime_t now)
{
    SIM_ASSERT(now >= d->now, "channel at %llu fs asked for %llu fs", (unsigned long long)d->now,
               (unsigned long long)now);
    d->now = now;
    if (d->refresh_next <= now)
        refresh_ranks(d, c, now);
}

/* ---- arrivals ------------------------------------------------------------------------------- */

static void update_draining(struct dram *d, const struct dram_config *c)
{
    if (d->lists[1].n >= c->write_high)
        d->draining = true;
    else if (d->lists[1].n <= c->write_low)
        d->draining = false;
}

static bool writes_go(const struct dram *d) { return d->draining || d->lists[0].n == 0; }

void dram_enqueue(struct dram *d, const struct dram_config *c, simtime_t now, paddr_t line,
                  enum line_kind kind, bool is_write, uint32_t token, uint32_t src)
{
    SIM_ASSERT(d->free_first != DRAM_NIL, "more than %u requests wait at a channel",
               d->nrequests_max);
    advance_to(d, c, now);
    uint32_t idx = d->free_first;
    struct dram_request *q = &d->requests[idx];
    d->free_first = q->next;
    struct dram_place p = dram_place_of(c, line);
    *q = (struct dram_request){
        .line = line,
        .row = p.row,
        .arrival = now,
        .ready = clock_edge(now, c->t.tck_fs),
        .token = token,
        .src = src,
        .rank = (uint8_t)p.rank,
        .bank = (uint16_t)(p.rank << c->rank_bits | p.group << c->bank_bits | p.bank),
        .kind = (uint8_t)kind,
        .is_write = is_write,
    };
    struct dram_list *l = &d->lists[is_write];
    l->n++;
    if (l->nseen < l->window)
        see(d, c, l, idx);
    else
        see_later(d, l, idx);
    struct dram_rank *r = &d->ranks[p.rank];
    r->nwaiting++;
    if (now < r->refresh_end)
        count_refresh_delay(d, r);
    update_draining(d, c);
    d->stats.queue_peak = u64_max(d->stats.queue_peak, dram_nwaiting(d));
    d->plan.is_stale |= writes_go(d) != d->plan.is_write || now > d->plan.time;
}

/* ---- the choice ----------------------------------------------------------------------------- */

/* `floor`: the earliest time of any command. */
static struct dram_best find_best(const struct dram *d, const struct dram_list *l,
                                  enum dram_command command, enum dram_limit limit,
                                  simtime_t floor)
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
                                  enum dram_command command, enum dram_limit limit,
                                  simtime_t floor)
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
            renew_offer(d, c, l, w * 64 + (uint32_t)__builtin_ctzll(bits));
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
    bool writes = writes_go(d);
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

/* ---- commands ------------------------------------------------------------------------------- */

static void limit(simtime_t *ok, simtime_t t) { *ok = u64_max(*ok, t); }

static void issue_precharge(struct dram *d, const struct dram_config *c, struct dram_request *q)
{
    struct dram_bank *b = &d->banks[q->bank];
    b->row = DRAM_NO_ROW;
    b->act_ok = u64_max(b->act_ok, d->now + c->t.trp_fs);
    q->did_pre = true;
}

static void issue_activate(struct dram *d, const struct dram_config *c, struct dram_request *q)
{
    const struct dram_timing *t = &c->t;
    struct dram_bank *b = &d->banks[q->bank];
    struct dram_rank *r = &d->ranks[q->rank];
    simtime_t now = d->now;
    b->row = q->row;
    b->hit_streak = 0;
    b->cas_ok = now + t->trcd_fs;
    b->pre_ok = now + t->tras_fs;
    r->faw_ok[r->faw_at] = now + t->tfaw_fs;
    r->faw_at = (r->faw_at + 1) % 4;
    d->rank_ok[DRAM_LIMIT_ACT][q->rank] = u64_max(now + t->trrd_s_fs, r->faw_ok[r->faw_at]);
    d->group_ok[DRAM_LIMIT_ACT][q->bank >> c->bank_bits] = now + t->trrd_l_fs;
    simtime_t least = SIM_NEVER;
    for (uint32_t i = 0; i < c->nranks; i++)
        least = u64_min(least, d->rank_ok[DRAM_LIMIT_ACT][i]);
    d->least_ok[DRAM_LIMIT_ACT] = least;
    limits_changed(d, DRAM_CMD_ACT);
    q->did_act = true;
}

/* The data bus is free from `data_end` on, after a gap for another direction or rank. */
static void limit_bus(struct dram *d, const struct dram_config *c, const struct dram_request *q,
                      simtime_t data_end)
{
    simtime_t *rd_ok = d->rank_ok[DRAM_LIMIT_RD], *wr_ok = d->rank_ok[DRAM_LIMIT_WR];
    simtime_t *own_ok = (q->is_write ? wr_ok : rd_ok) + q->rank;
    simtime_t own = u64_max(*own_ok, d->now + c->t.tburst_fs);
    simtime_t turned = data_end + c->t.tturn_fs;
    simtime_t rd = turned > c->t.tcl_fs ? turned - c->t.tcl_fs : 0;
    simtime_t wr = turned > c->t.tcwl_fs ? turned - c->t.tcwl_fs : 0;
    simtime_t rd_least = SIM_NEVER, wr_least = SIM_NEVER;
    for (uint32_t i = 0; i < c->nranks; i++) {
        rd_ok[i] = u64_max(rd_ok[i], rd);
        wr_ok[i] = u64_max(wr_ok[i], wr);
        rd_least = u64_min(rd_least, rd_ok[i]);
        wr_least = u64_min(wr_least, wr_ok[i]);
    }
    *own_ok = own;
    d->least_ok[DRAM_LIMIT_RD] = u64_min(rd_least, rd_ok[q->rank]);
    d->least_ok[DRAM_LIMIT_WR] = u64_min(wr_least, wr_ok[q->rank]);
}

/* Returns the end of the data. */
static simtime_t issue_column(struct dram *d, const struct dram_config *c,
                              const struct dram_request *q)
{
    const struct dram_timing *t = &c->t;
    uint32_t group = q->bank >> c->bank_bits;
    simtime_t *rank_rd_ok = &d->rank_ok[DRAM_LIMIT_RD][q->rank];
    simtime_t *rank_wr_ok = &d->rank_ok[DRAM_LIMIT_WR][q->rank];
    simtime_t *group_rd_ok = &d->group_ok[DRAM_LIMIT_RD][group];
    simtime_t *group_wr_ok = &d->group_ok[DRAM_LIMIT_WR][group];
    simtime_t *pre_ok = &d->banks[q->bank].pre_ok;
    simtime_t now = d->now;
    simtime_t data_end = now + (q->is_write ? t->tcwl_fs : t->tcl_fs) + t->tburst_fs;

    limit(rank_rd_ok, now + t->tccd_s_fs);
    limit(rank_wr_ok, now + t->tccd_s_fs);
    limit(group_rd_ok, now + t->tccd_l_fs);
    limit(group_wr_ok, now + (q->is_write ? t->tccd_l_wr_fs : t->tccd_l_fs));
    if (q->is_write) {
        limit(rank_rd_ok, data_end + t->twtr_s_fs);
        limit(group_rd_ok, data_end + t->twtr_l_fs);
        limit(pre_ok, data_end + t->twr_fs);
    } else {
        limit(pre_ok, now + t->trtp_fs);
    }
    limit_bus(d, c, q, data_end);
    limits_changed(d, DRAM_CMD_COLUMN);
    d->stats.turnarounds += d->bus_used && d->bus_write != q->is_write;
    d->stats.bus_busy += t->tburst_fs;
    d->bus_used = true;
    d->bus_write = q->is_write;
    return data_end;
}

static void count_column(struct dram *d, const struct dram_config *c, const struct dram_request *q,
                         simtime_t data_end)
{
    struct dram_stats *s = &d->stats;
    simtime_t unloaded = c->t.tcl_fs + c->t.tburst_fs + c->controller_fs;
    if (q->did_act || q->did_pre)
        unloaded += c->t.trcd_fs;
    if (q->did_pre)
        unloaded += c->t.trp_fs;
    if (q->did_pre)
        s->row_conflicts[q->kind]++;
    else if (q->did_act)
        s->row_closed[q->kind]++;
    else
        s->row_hits[q->kind]++;
    if (q->is_write) {
        s->writes[q->kind]++;
        return;
    }
    simtime_t latency = data_end + c->controller_fs - q->arrival;
    s->reads[q->kind]++;
    s->read_latency[q->kind] += latency;
    /* A row that another request opened may make this one quicker than "unloaded". */
    s->read_wait[q->kind] += latency > unloaded ? latency - unloaded : 0;
    uint64_t ns = latency / FS_PER_NS;
    uint32_t bin = ns == 0 ? 0 : log2_floor(ns) + 1;
    s->read_latency_hist[bin < DRAM_NLATENCY_BINS ? bin : DRAM_NLATENCY_BINS - 1]++;
}

static void finish(struct dram *d, const struct dram_config *c, uint32_t idx,
                   struct dram_done *done_out)
{
    struct dram_request *q = &d->requests[idx];
    simtime_t data_end = issue_column(d, c, q);
    count_column(d, c, q, data_end);
    /* It passes the others to its bank that came before it. */
    d->banks[q->bank].hit_streak += q->prev != DRAM_NIL;
    *done_out = (struct dram_done){
        .line = q->line,
        .answer = u64_max(data_end + c->controller_fs, d->now + dram_min_answer_fs(c)),
        .token = q->token,
        .src = q->src,
        .kind = (enum line_kind)q->kind,
        .is_write = q->is_write,
    };
    list_remove(d, c, &d->lists[q->is_write], idx);
    d->ranks[q->rank].nwaiting--;
    q->next = d->free_first;
    d->free_first = idx;
    update_draining(d, c);
}

bool dram_step(struct dram *d, const struct dram_config *c, struct dram_done *done_out)
{
    simtime_t time = dram_next_time(d, c);
    SIM_ASSERT(time != SIM_NEVER, "step of an idle channel at %llu fs", (unsigned long long)d->now);
    uint32_t command = d->plan.command, idx = d->plan.request, is_write = d->plan.is_write;
    advance_to(d, c, time);
    d->plan.is_stale = true;
    if (command == DRAM_CMD_REFRESH)
        return false; /* advance_to did it */
    d->cmd_ok = time + c->t.tck_fs;
    uint32_t bank = d->requests[idx].bank;
    struct dram_list *l = &d->lists[is_write];
    if (command == DRAM_CMD_PRE) {
        issue_precharge(d, c, &d->requests[idx]);
        next_offer(l, &l->queues[bank], DRAM_CMD_ACT, d->banks[bank].act_ok);
    } else if (command == DRAM_CMD_ACT) {
        issue_activate(d, c, &d->requests[idx]);
        next_offer(l, &l->queues[bank], DRAM_CMD_COLUMN, d->banks[bank].cas_ok);
    } else {
        finish(d, c, idx, done_out);
        renew_offer(d, c, l, bank);
    }
    renew_later(&d->lists[!is_write], bank);
    return command == DRAM_CMD_COLUMN;
}
