/*
 * Inside of dram.h: which command goes next.
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

/* A new request; `idx` into d->requests. */
void dram_wait(struct dram *d, const struct dram_config *c, struct dram_list *l, uint32_t idx);
/*
 * A request that is seen leaves; the oldest unseen one takes its place. Its bank's offer has to be
 * renewed.
 */
void dram_leave(struct dram *d, const struct dram_config *c, struct dram_list *l, uint32_t idx);

/* The bank's state or requests have changed. */
void dram_renew_offer(const struct dram *d, const struct dram_config *c, struct dram_list *l,
                      uint32_t bank);
/* The same, when the list has its turn. */
static inline void dram_renew_later(struct dram_list *l, uint32_t bank)
{
    if (l->queues[bank].command == DRAM_CMD_NONE)
        return;
    l->renew[bank / 64] |= UINT64_C(1) << bank % 64;
    l->any_renew = true;
}
/* A row command was issued: the same request has the next one, from `ok` on. */
void dram_next_offer(struct dram_list *l, struct dram_queue *q, enum dram_command command,
                     simtime_t ok);

/* What limits a command beyond its bank has changed. */
static inline void dram_limits_changed(struct dram *d, enum dram_command command)
{
    d->lists[0].stale |= 1u << command;
    d->lists[1].stale |= 1u << command;
}

static inline bool dram_writes_go(const struct dram *d)
{
    return d->draining || d->lists[0].n == 0;
}

#endif
