/*
 * The DRAM channel as a logical process: DRAM_READ and DRAM_WRITE in, one answer each out.
 *
 * Every command is a private action at its own time, so the scheduler sees exactly the requests
 * that have arrived by then.
 */
#ifndef MEMSYS_DRAM_LP_H
#define MEMSYS_DRAM_LP_H

#include "memsys/dram.h"
#include "memsys/noc.h"
#include "pdes/lp.h"

/* `cfg` of every channel LP; the instance number is the channel. */
struct dram_lp_cfg {
    struct dram_config dram;
    const struct noc *noc;
    lpid_t slice0; /* slices have consecutive ids */
    /* Reads take up to so much longer, drawn from the seed; 0: they do not. Not in read_latency. */
    simtime_t jitter_fs;
    uint64_t jitter_seed;
};

extern const struct lp_ops dram_lp_ops;

/* Least latency of any message from a channel to a slice. */
static inline simtime_t dram_lp_min_to_slice_fs(const struct dram_lp_cfg *c)
{
    return dram_min_answer_fs(&c->dram) + noc_slice_channel_min_fs(c->noc);
}

#endif
