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

static uint32_t columns_of_square(uint32_t ntiles)
{
    uint32_t c = 1;
    while ((uint64_t)c * c < ntiles)
        c++;
    return c;
}

static void fill_tables(struct noc *n)
{
    bool core_slice = (uint64_t)n->ncores * n->nslices <= NOC_NWAYS;
    bool slice_channel = (uint64_t)n->nslices * n->nchannels <= NOC_NWAYS;
    for (uint32_t i = 0; core_slice && i < n->ncores * n->nslices; i++)
        n->core_slice_fs[i] = noc_core_slice_fs(n, i / n->nslices, i % n->nslices);
    for (uint32_t i = 0; slice_channel && i < n->nslices * n->nchannels; i++)
        n->slice_channel_fs[i] = noc_slice_channel_fs(n, i / n->nchannels, i % n->nchannels);
    n->core_slice_table = core_slice;
    n->slice_channel_table = slice_channel;
}

void noc_init(struct noc *n, const struct noc_params *p, uint32_t ncores, uint32_t nslices,
              uint32_t nchannels)
{
    SIM_ASSERT(ncores > 0 && nslices > 0 && nchannels > 0 && ncores <= NOC_MAX_TILES &&
                   nslices <= NOC_MAX_TILES && nchannels <= NOC_MAX_CHANNELS,
               "%u cores, %u slices, %u channels", ncores, nslices, nchannels);
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
        .per_column = ((UINT64_C(1) << 32) + ncolumns - 1) / ncolumns,
        .base_fs = p->base_cycles * period_fs,
        .hop_fs = (p->router_cycles + p->hop_cycles) * period_fs,
        .core_slice_min_fs = SIM_NEVER,
        .slice_channel_min_fs = SIM_NEVER,
    };
    uint32_t nper_side = (nchannels + 1) / 2;
    for (uint32_t c = 0; c < nchannels; c++)
        n->channel_row[c] = (uint16_t)((uint64_t)(c / 2) * n->nrows / nper_side);
    fill_tables(n);
    for (uint32_t s = 0; s < nslices; s++) {
        for (uint32_t c = 0; c < ncores; c++)
            n->core_slice_min_fs = u64_min(n->core_slice_min_fs, noc_core_slice_fs(n, c, s));
        for (uint32_t c = 0; c < nchannels; c++)
            n->slice_channel_min_fs =
                u64_min(n->slice_channel_min_fs, noc_slice_channel_fs(n, s, c));
    }
}
