/*
 * The LLC slice as a logical process: MEM_READ and MEM_WRITEBACK from cores, DRAM_DATA and
 * DRAM_WRITE_ACK from channels. It only reacts; every message is answered as mem_msg.h says.
 */
#ifndef MEMSYS_LLC_LP_H
#define MEMSYS_LLC_LP_H

#include "memsys/llc.h"
#include "memsys/noc.h"
#include "pdes/lp.h"

/* `cfg` of every slice LP; the instance number is the slice. */
struct llc_lp_cfg {
    struct llc_config llc;
    const struct noc *noc;
    lpid_t core0, channel0; /* cores, and channels, have consecutive ids */
};

extern const struct lp_ops llc_lp_ops;

/* Least latency of any message from a slice to a core, and to a channel. */
static inline simtime_t llc_lp_min_to_core_fs(const struct llc_lp_cfg *c)
{
    return llc_min_answer_fs(&c->llc) + noc_core_slice_min_fs(c->noc);
}
static inline simtime_t llc_lp_min_to_dram_fs(const struct llc_lp_cfg *c)
{
    return llc_min_dram_fs(&c->llc) + noc_slice_channel_min_fs(c->noc);
}

#endif
