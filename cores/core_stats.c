/* The rows of core_stats.h. */
#include "cores/core_stats.h"

const struct stat_desc core_stat_rows[] = {
#define X(field, path, unit, kind, stamp, doc)                                           \
    {path, unit, STAT_##kind, STAMP_##stamp, 1, offsetof(struct core_stats, field), doc},
    CORE_STATS(X)
#undef X
#define X(kind, path, doc)                                                               \
    {path, "1", STAT_DELTA, STAMP_TOUCH, 1,                                              \
     offsetof(struct core_stats, branches) + BR_##kind * sizeof(uint64_t), doc},
    CORE_BRANCHES(X)
#undef X
#define X(cause, name, doc)                                                              \
    {"stack/" #name, "cycle", STAT_DELTA, STAMP_TOUCH, 1,                                \
     offsetof(struct core_stats, stack) + CPI_##cause * sizeof(uint64_t), doc},
    CPI_CAUSES(X)
#undef X
#define X(field, path, unit, nbins, stamp, doc)                                          \
    {path, unit, STAT_HIST, STAMP_##stamp, nbins, offsetof(struct core_stats, field), doc},
    CORE_HISTS(X)
#undef X
};
const uint32_t core_nstat_rows = sizeof core_stat_rows / sizeof core_stat_rows[0];
