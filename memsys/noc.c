/* See noc.h. */
#include "memsys/noc.h"

#include "memsys/clock.h"
#include "pdes/err.h"

/* clang-format off */
const struct param_desc noc_param_rows[] = {
    {"clock", PARAM_FREQ, "hertz", "2GHz", 1000000, 100000000000, NULL,
     offsetof(struct noc_params, clock_hz), "clock of the interconnect"},
    {"base_cycles", PARAM_COUNT, "cycle", "3", 1, 10000, NULL,
     offsetof(struct noc_params, base_cycles), "to enter and leave the mesh, at any distance"},
    {"router_cycles", PARAM_COUNT, "cycle", "2", 0, 1000, NULL,
     offsetof(struct noc_params, router_cycles), "in the router of each hop"},
    {"hop_cycles", PARAM_COUNT, "cycle", "1", 0, 1000, NULL,
     offsetof(struct noc_params, hop_cycles), "on the link of each hop"},
    {"columns", PARAM_COUNT, "tile", "0", 0, 65536, NULL,
     offsetof(struct noc_params, columns), "tiles in a row of the mesh; 0: as square as possible"},
};
/* clang-format on */
const uint32_t noc_param_nrows = sizeof noc_param_rows / sizeof noc_param_rows[0];

struct tile {
    uint32_t x, y;
};

static struct tile tile_at(const struct noc *n, uint32_t idx)
{
    uint32_t y = is_pow2(n->ncolumns) ? idx >> log2_floor(n->ncolumns) : idx / n->ncolumns;
    return (struct tile){idx - y * n->ncolumns, y};
}

static struct tile tile_of_slice(const struct noc *n, uint32_t slice)
{
    if (n->nslices == n->ntiles)
        return tile_at(n, slice);
    return tile_at(n, (uint32_t)((uint64_t)slice * n->ntiles / n->nslices));
}

static struct tile tile_of_channel(const struct noc *n, uint32_t channel)
{
    uint32_t nper_side = (n->nchannels + 1) / 2;
    return (struct tile){
        .x = channel % 2 == 0 ? 0 : n->ncolumns - 1,
        .y = (uint32_t)((uint64_t)(channel / 2) * n->nrows / nper_side),
    };
}

static uint32_t distance(uint32_t a, uint32_t b) { return a > b ? a - b : b - a; }

static simtime_t latency_fs(const struct noc *n, struct tile a, struct tile b)
{
    return n->base_fs + (distance(a.x, b.x) + distance(a.y, b.y)) * n->hop_fs;
}

simtime_t noc_core_slice_fs(const struct noc *n, uint32_t core, uint32_t slice)
{
    return latency_fs(n, tile_at(n, core), tile_of_slice(n, slice));
}

simtime_t noc_slice_channel_fs(const struct noc *n, uint32_t slice, uint32_t channel)
{
    return latency_fs(n, tile_of_slice(n, slice), tile_of_channel(n, channel));
}

static uint32_t columns_of_square(uint32_t ntiles)
{
    uint32_t c = 1;
    while ((uint64_t)c * c < ntiles)
        c++;
    return c;
}

void noc_init(struct noc *n, const struct noc_params *p, uint32_t ncores, uint32_t nslices,
              uint32_t nchannels)
{
    SIM_ASSERT(ncores > 0 && nslices > 0 && nchannels > 0, "%u cores, %u slices, %u channels",
               ncores, nslices, nchannels);
    simtime_t period_fs = clock_period_fs(p->clock_hz);
    uint32_t ntiles = ncores > nslices ? ncores : nslices;
    uint32_t ncolumns =
        p->columns == 0 ? columns_of_square(ntiles) : (uint32_t)u64_min(p->columns, ntiles);
    *n = (struct noc){
        .ncores = ncores,
        .nslices = nslices,
        .nchannels = nchannels,
        .ntiles = ntiles,
        .ncolumns = ncolumns,
        .nrows = (ntiles + ncolumns - 1) / ncolumns,
        .base_fs = p->base_cycles * period_fs,
        .hop_fs = (p->router_cycles + p->hop_cycles) * period_fs,
        .core_slice_min_fs = SIM_NEVER,
        .slice_channel_min_fs = SIM_NEVER,
    };
    for (uint32_t s = 0; s < nslices; s++) {
        for (uint32_t c = 0; c < ncores; c++)
            n->core_slice_min_fs = u64_min(n->core_slice_min_fs, noc_core_slice_fs(n, c, s));
        for (uint32_t c = 0; c < nchannels; c++)
            n->slice_channel_min_fs =
                u64_min(n->slice_channel_min_fs, noc_slice_channel_fs(n, s, c));
    }
}
