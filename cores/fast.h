/* The common case of dispatch; see fast.c. */
#ifndef CORES_FAST_H
#define CORES_FAST_H

#include "cores/core.h"

/* May core_run_fast be used as things stand? */
static inline bool core_may_run_fast(const struct core_ctx *x)
{
    const struct core *c = x->c;
    return x->cfg->fast_path && x->lp->log_mask == 0 && (c->woken | c->nfaulted) == 0;
}

/*
 * Dispatches the accesses of the block from the thread's position on, up to access `end`, instruction
 * `stop` of the thread and cycle `until`, with the branches between, as far as the common case goes. No event
 * of the block lies between. What it leaves, the general code takes up.
 */
void core_run_fast(const struct core_ctx *x, const struct fe_block *b, uint32_t end, uint64_t stop, uint64_t until);

#endif
