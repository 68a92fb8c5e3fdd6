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

#define NOC_MAX_TILES 65536u
#define NOC_MAX_CHANNELS 1024u
#define NOC_NWAYS 1024u /* so many ways between two classes are in tables; of larger machines they are worked out */

/* Life: filled by noc_init, then read-only and shared by all. */
struct noc {
    uint32_t ncores, nslices, nchannels;
    uint32_t ntiles, ncolumns, nrows;
    uint64_t per_column;       /* 2^32 / ncolumns, rounded up */
    simtime_t base_fs, hop_fs; /* hop: one router and one link */
    simtime_t core_slice_min_fs, slice_channel_min_fs;
    bool core_slice_table, slice_channel_table;
    uint16_t channel_row[NOC_MAX_CHANNELS];
    simtime_t core_slice_fs[NOC_NWAYS];    /* [core][slice] */
    simtime_t slice_channel_fs[NOC_NWAYS]; /* [slice][channel] */
};

/* All three numbers are at least 1. */
void noc_init(struct noc *n, const struct noc_params *p, uint32_t ncores, uint32_t nslices,
              uint32_t nchannels);

struct noc_tile {
    uint32_t x, y;
};

/* The product is exact for all numbers below NOC_MAX_TILES. */
static inline struct noc_tile noc_tile_at(const struct noc *n, uint32_t idx)
{
    uint32_t y = (uint32_t)(idx * n->per_column >> 32);
    return (struct noc_tile){idx - y * n->ncolumns, y};
}

static inline struct noc_tile noc_tile_of_slice(const struct noc *n, uint32_t slice)
{
    if (n->nslices == n->ntiles)
        return noc_tile_at(n, slice);
    return noc_tile_at(n, (uint32_t)((uint64_t)slice * n->ntiles / n->nslices));
}

static inline struct noc_tile noc_tile_of_channel(const struct noc *n, uint32_t channel)
{
    return (struct noc_tile){channel % 2 == 0 ? 0 : n->ncolumns - 1, n->channel_row[channel]};
}

static inline simtime_t noc_latency_fs(const struct noc *n, struct noc_tile a, struct noc_tile b)
{
    uint32_t x = a.x > b.x ? a.x - b.x : b.x - a.x, y = a.y > b.y ? a.y - b.y : b.y - a.y;
    return n->base_fs + (x + y) * n->hop_fs;
}

/* One way, either direction. */
static inline simtime_t noc_core_slice_fs(const struct noc *n, uint32_t core, uint32_t slice)
{
    if (__builtin_expect(n->core_slice_table, 1))
        return n->core_slice_fs[core * n->nslices + slice];
    return noc_latency_fs(n, noc_tile_at(n, core), noc_tile_of_slice(n, slice));
}

static inline simtime_t noc_slice_channel_fs(const struct noc *n, uint32_t slice, uint32_t channel)
{
    if (__builtin_expect(n->slice_channel_table, 1))
        return n->slice_channel_fs[slice * n->nchannels + channel];
    return noc_latency_fs(n, noc_tile_of_slice(n, slice), noc_tile_of_channel(n, channel));
}

/* The least of these over all pairs. */
static inline simtime_t noc_core_slice_min_fs(const struct noc *n) { return n->core_slice_min_fs; }
static inline simtime_t noc_slice_channel_min_fs(const struct noc *n)
{
    return n->slice_channel_min_fs;
}

#endif
