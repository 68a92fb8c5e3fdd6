/* The rows of core_events.h. */
#include "cores/core_events.h"

const char *const core_level_names[] = {"L1D", "L2", "LLC", "DRAM", "waits for the line", "store queue", NULL};
const char *const core_found_names[] = {"miss", "4K", "2M", "1G", "not probed", "free", NULL};
const char *const core_table_names[] = {"none", "PT", "PD", "PDPT", "PML4", "PML5", NULL};
const char *const core_access_names[] = {"load", "store", "locked load", "locked store", NULL};
const char *const core_result_names[] = {"translation", "no translation", NULL};
const char *const core_join_names[] = {"a walk in progress", "a walk that waits", "no walk: all walkers are busy", NULL};
const char *const core_seg_names[] = {"time", "store", "zero", NULL};
const char *const core_branch_names[] = {"right", "wrong direction", "wrong target", "wrong return", "not in the BTB", NULL};

const struct elog_desc core_events[CE_COUNT] = {
#define X(NAME, group_, doc_, ...) [CE_##NAME] = {group_, #NAME, doc_, {__VA_ARGS__}},
    CORE_EVENTS(X)
#undef X
};
