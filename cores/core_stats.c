/* The rows of core_stats.h. */
#include "cores/core_stats.h"

const struct stat_desc core_stat_rows[] = {
#define X(field, path, unit, kind, stamp, doc)                                           \
    {path, unit, STAT_##kind, STAMP_##stamp, 1, offsetof(struct core_stats, field), doc},
    CORE_STATS(X)
#undef X
#define X(field, path, unit, nbins, stamp, doc)                                          \
    {path, unit, STAT_HIST, STAMP_##stamp, nbins, offsetof(struct core_stats, field), doc},
    CORE_HISTS(X)
#undef X
};
const uint32_t core_nstat_rows = sizeof core_stat_rows / sizeof core_stat_rows[0];
