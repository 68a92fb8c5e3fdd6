/*
 * Inside of dram.h: what waits, and which command goes next.
 *
 * A bank offers one command for the reads and one for the writes that the scheduler sees; it is
 * renewed when the bank or these requests change. Of the offers of each command the best is kept;
 * it is searched again, oldest request first, when it is withdrawn, when a better one may have
 * come, when the limits that banks share have changed, or when its time has passed, so that others
 * may go as early. Who changes the channel's state calls the functions here that say what has
 * changed.
 */
#ifndef MEMSYS_DRAM_SCHED_H
#define MEMSYS_DRAM_SCHED_H

#include "memsys/dram.h"

void dram_list_init(struct dram_list *l, uint32_t window);

/* The bank's state has changed: its offer is renewed when the list, which is not empty, has its turn. */
static inline void dram_renew_later(struct dram_list *l, uint32_t bank)
{
    if (l->queues[bank].command == DRAM_CMD_NONE)
        return;
    l->renew[bank / 64] |= UINT64_C(1) << bank % 64;
    l->any_renew = true;
}

/* What limits a command beyond its bank has changed. */
static inline void dram_limits_changed(struct dram *d, enum dram_command command)
{
    d->lists[0].best[command].time = 0;
    d->lists[1].best[command].time = 0;
}

/* ---- offers of banks ------------------------------------------------------------------------ */

static inline enum dram_limit dram_column_limit(const struct dram_request *r)
{
    return r->is_write ? DRAM_LIMIT_WR : DRAM_LIMIT_RD;
}

static inline enum dram_limit dram_limit_of(uint32_t command, enum dram_limit column_limit)
{
    if (command == DRAM_CMD_COLUMN)
        return column_limit;
    return command == DRAM_CMD_ACT ? DRAM_LIMIT_ACT : DRAM_LIMIT_PRE;
}

/* From when on bank, group and rank allow what is offered for this request. */
static inline simtime_t dram_offer_ok(const struct dram *d, const struct dram_slot *s, enum dram_limit limit)
{
    if (limit == DRAM_LIMIT_PRE)
        return s->ok;
    return u64_max(s->ok, u64_max(d->group_ok[limit][s->group], d->rank_ok[limit][s->rank]));
}

static inline void dram_withdraw_offer(struct dram_list *l, struct dram_queue *q)
{
    l->offers[q->command][q->slot / 64] &= ~(UINT64_C(1) << q->slot % 64);
    if (l->best[q->command].slot == q->slot)
        l->best[q->command].time = 0;
}

/* Of an offer that is made: returns when all limits allow it. If the best of its command is known, it still is. */
static inline simtime_t dram_compare_offer(struct dram *d, struct dram_list *l, enum dram_command command,
                                           uint32_t slot, simtime_t ok, enum dram_limit column_limit)
{
    struct dram_best *best = &l->best[command];
    l->slots[slot].ok = ok;
    ok = dram_offer_ok(d, &l->slots[slot], dram_limit_of(command, column_limit));
    if (ok < best->time || (ok == best->time && slot < best->slot)) {
        best->time = ok;
        best->slot = slot;
    }
    return ok;
}

/* The bank, which offers nothing, offers a command for the request in `slot` from `ok` on. */
static inline simtime_t dram_make_offer(struct dram *d, struct dram_list *l, struct dram_queue *q,
                                        enum dram_command command, uint32_t slot, simtime_t ok,
                                        enum dram_limit column_limit)
{
    q->command = command;
    q->slot = slot;
    l->offers[command][slot / 64] |= UINT64_C(1) << slot % 64;
    return dram_compare_offer(d, l, command, slot, ok, column_limit);
}

/* A row command was issued: the same request has the next one, from `ok` on. */
static inline void dram_next_offer(struct dram *d, struct dram_list *l, const struct dram_request *r,
                                   enum dram_command command, simtime_t ok)
{
    struct dram_queue *q = &l->queues[r->bank];
    uint32_t slot = r->slot, w = slot / 64;
    uint64_t bit = UINT64_C(1) << slot % 64;
    l->best[q->command].time = 0; /* it was that, or the only one */
    l->offers[q->command][w] ^= bit;
    l->offers[command][w] |= bit;
    q->command = command;
    dram_compare_offer(d, l, command, slot, ok, dram_column_limit(r));
}

/* ---- the state machine, dram.c -------------------------------------------------------------- */

static inline bool dram_writes_go(const struct dram *d)
{
    return d->draining || d->lists[0].n == 0;
}

static inline void dram_update_draining(struct dram *d, const struct dram_config *c)
{
    if (d->lists[1].n >= c->write_high)
        d->draining = true;
    else if (d->lists[1].n <= c->write_low)
        d->draining = false;
}

static inline void dram_count_refresh_delay(struct dram *d, struct dram_rank *r)
{
    d->stats.refresh_delays += !r->refresh_delaying;
    r->refresh_delaying = true;
}

/* Refreshes the ranks whose date is not after `now`. */
void dram_refresh(struct dram *d, const struct dram_config *c, simtime_t now);
static inline void dram_advance_to(struct dram *d, const struct dram_config *c, simtime_t now)
{
    SIM_ASSERT(now >= d->now, "channel at %llu fs asked for %llu fs", (unsigned long long)d->now,
               (unsigned long long)now);
    d->now = now;
    if (__builtin_expect(d->refresh_next <= now, 0))
        dram_refresh(d, c, now);
}

/* Commands for a request, now. */
static inline void dram_precharge(struct dram *d, const struct dram_config *c, struct dram_request *q)
{
    struct dram_bank *b = &d->banks[q->bank];
    b->row = DRAM_NO_ROW;
    b->act_ok = u64_max(b->act_ok, d->now + c->t.trp_fs);
    q->row_state = DRAM_ROW_CONFLICT;
}
void dram_activate(struct dram *d, const struct dram_config *c, struct dram_request *q);
void dram_column(struct dram *d, const struct dram_config *c, const struct dram_request *q,
                 struct dram_done *done_out);

#endif
