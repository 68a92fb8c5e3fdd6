/*
 * Inside of dram.h: what waits, and which command goes next.
 *
 * A bank offers one command for the reads and one for the writes that the scheduler sees; it is
 * renewed when the bank or these requests change: at once for the list that has its turn, and for the other
 * one when it gets its turn, for which banks remember the turn in which they changed last. What limits a
 * command beyond its bank is looked up when it is chosen, of all offers side by side: which one is the first
 * cannot be foreseen, so that nothing is decided on the way there.
 */
#ifndef MEMSYS_DRAM_SCHED_H
#define MEMSYS_DRAM_SCHED_H

#include "memsys/dram.h"

void dram_list_init(struct dram *d, struct dram_list *l, uint32_t window);

/* ---- rings of requests ---------------------------------------------------------------------- */

static inline struct dram_link *dram_link_at(struct dram *d, uint32_t at) { return (void *)((char *)d + at); }
static inline uint32_t dram_at_of(const struct dram *d, const struct dram_link *k)
{
    return (uint32_t)((const char *)k - (const char *)d);
}
/* The request of a link that is not the ends of a ring. */
static inline const struct dram_request *dram_request_at(const struct dram *d, uint32_t at)
{
    return (const void *)((const char *)d + at - offsetof(struct dram_request, link));
}

/* ---- offers of banks ------------------------------------------------------------------------ */

_Static_assert((int)DRAM_LIMIT_RD == (int)DRAM_CMD_COLUMN && DRAM_LIMIT_WR == DRAM_CMD_COLUMN + 1 &&
                   DRAM_LIMIT_ACT == DRAM_CMD_ACT + 1 && DRAM_LIMIT_PRE == DRAM_CMD_PRE + 1,
               "a limit is worked out of a command");

/* For this request, the bank offers the command from `ok` on. */
static inline void dram_set_offer(struct dram_offers *o, uint32_t i, const struct dram_request *r,
                                  enum dram_command command, uint64_t ok)
{
    uint32_t row = command != DRAM_CMD_COLUMN, limit = (uint32_t)command + (row | r->is_write);
    o->ok[i] = ok;
    o->order[i] = r->slot + row * DRAM_ORDER_ROW;
    o->where[i].group_limit = (uint8_t)(r->group * DRAM_LIMITS + limit);
    o->where[i].rank_limit = (uint8_t)(r->rank * DRAM_LIMITS + limit);
    o->where[i].bank = r->bank;
}

/* From when on bank, group and rank allow what is offered; nothing limits a PRE beyond its bank. */
static inline uint64_t dram_offer_ok(const struct dram *d, const struct dram_offers *o, uint32_t i)
{
    return u64_max(o->ok[i], u64_max(d->group_ok[o->where[i].group_limit], d->rank_ok[o->where[i].rank_limit]));
}
/* The same of two neighbours. */
static inline times2 dram_offers_ok(const struct dram *d, const struct dram_offers *o, uint32_t i)
{
    const struct dram_where *x = &o->where[i], *y = &o->where[i + 1];
    times2 group = times2_of(&d->group_ok[x->group_limit], &d->group_ok[y->group_limit]);
    times2 rank = times2_of(&d->rank_ok[x->rank_limit], &d->rank_ok[y->rank_limit]);
    return times2_max(times2_load(&o->ok[i]), times2_max(group, rank));
}

/* A row command was issued: the same request has the next one. */
static inline void dram_next_offer(const struct dram *d, struct dram_list *l, const struct dram_request *r,
                                   enum dram_command command)
{
    struct dram_queue *q = &l->queues[r->bank];
    q->command = command;
    dram_set_offer(&l->offers, q->offer, r, command, d->banks[r->bank].ok[command]);
}

/* ---- the state machine ------------------------------------------------------------------------ */

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

#endif
