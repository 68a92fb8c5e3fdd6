/*
 * On-chip interconnect: latency by distance on a two-dimensional mesh.
 *
 * A message takes base + hops * (router + link) cycles, hops being the Manhattan distance between
 * two tiles. Core i sits on tile i; slices are spread evenly over the tiles (one per tile when
 * there are as many); memory channels sit on the left and right edge in turn, spread over the rows.
 * Contention on links and in routers is not modelled: a link is never waited for.
 *
 * The least latency of each kind of pair is exported, because it is part of the declared minimum
 * latency of an edge between classes.
 */
#ifndef MEMSYS_NOC_H
#define MEMSYS_NOC_H

#include "pdes/desc.h"
#include "pdes/types.h"

struct noc_params {
    uint64_t clock_hz;
    uint64_t base_cycles;
    uint64_t router_cycles;
    uint64_t hop_cycles;
    uint64_t columns;
};
extern const struct param_desc noc_param_rows[];
extern const uint32_t noc_param_nrows;

/* Life: filled by noc_init, then read-only and shared by all. */
struct noc {
    uint32_t ncores, nslices, nchannels;
    uint32_t ntiles, ncolumns, nrows;
    simtime_t base_fs, hop_fs; /* hop: one router and one link */
    simtime_t core_slice_min_fs, slice_channel_min_fs;
};

/* All three numbers are at least 1. */
void noc_init(struct noc *n, const struct noc_params *p, uint32_t ncores, uint32_t nslices,
              uint32_t nchannels);

/* One way, either direction. */
simtime_t noc_core_slice_fs(const struct noc *n, uint32_t core, uint32_t slice);
simtime_t noc_slice_channel_fs(const struct noc *n, uint32_t slice, uint32_t channel);

/* The least of these over all pairs. */
static inline simtime_t noc_core_slice_min_fs(const struct noc *n) { return n->core_slice_min_fs; }
static inline simtime_t noc_slice_channel_min_fs(const struct noc *n)
{
    return n->slice_channel_min_fs;
}

#endif
