/*
 * Inside of dram.h: what waits, and which command goes next.
 *
 * A bank offers one command for the reads and one for the writes that the scheduler sees; it is
 * renewed when the bank or these requests change. Whoever changes the bank's state calls the functions
 * here that say so. What limits a command beyond its bank is looked up when it is chosen, of all offers
 * side by side: which one is the first cannot be foreseen, so that nothing is decided on the way there.
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

/* The bank's state has changed: its offer, if it makes one, is renewed when the list has its turn. */
static inline void dram_renew_later(struct dram_list *l, uint32_t bank)
{
    uint64_t offers = l->queues[bank].command != DRAM_CMD_NONE;
    l->renew[bank / 64] |= offers << bank % 64;
    l->any_renew |= (uint32_t)offers;
}

/* ---- offers of banks ------------------------------------------------------------------------ */

/* For this request, the bank offers the command from `ok` on. */
static inline void dram_set_offer(struct dram_offer *o, const struct dram_request *r, enum dram_command command,
                                  simtime_t ok)
{
    static const uint8_t limits[2][DRAM_CMD_OFFERS] = {{DRAM_LIMIT_RD, DRAM_LIMIT_ACT, DRAM_LIMIT_PRE},
                                                       {DRAM_LIMIT_WR, DRAM_LIMIT_ACT, DRAM_LIMIT_PRE}};
    uint32_t limit = limits[r->is_write][command];
    o->ok = ok;
    o->group_limit = (uint16_t)(limit * DRAM_MAX_GROUPS + r->group);
    o->rank_limit = (uint16_t)(limit * DRAM_MAX_RANKS + r->rank);
    o->order = (uint16_t)(r->slot + (command != DRAM_CMD_COLUMN) * DRAM_ORDER_ROW);
    o->bank = r->bank;
}

/* From when on bank, group and rank allow what is offered; nothing limits a PRE beyond its bank. */
static inline simtime_t dram_offer_ok(const struct dram *d, const struct dram_offer *o)
{
    return u64_max(o->ok, u64_max((&d->group_ok[0][0])[o->group_limit], (&d->rank_ok[0][0])[o->rank_limit]));
}

/* A row command was issued: the same request has the next one. */
static inline void dram_next_offer(const struct dram *d, struct dram_list *l, const struct dram_request *r,
                                   enum dram_command command)
{
    struct dram_queue *q = &l->queues[r->bank];
    q->command = command;
    dram_set_offer(&l->offers[q->offer], r, command, d->banks[r->bank].ok[command]);
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
    b->ok[DRAM_CMD_ACT] = u64_max(b->ok[DRAM_CMD_ACT], d->now + c->t.trp_fs);
    q->row_state = DRAM_ROW_CONFLICT;
}
void dram_activate(struct dram *d, const struct dram_config *c, struct dram_request *q);
void dram_column(struct dram *d, const struct dram_config *c, const struct dram_request *q,
                 struct dram_done *done_out);

#endif
