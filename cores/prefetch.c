/*
 * The list of data prefetchers, what all share, and the two that need no state.
 *
 * next_line: tagged sequential prefetching (Smith, Computing Surveys 1982): a miss, or the first use
 * of a line that was prefetched, asks for the lines behind it.
 */
#include "cores/prefetch.h"

#define NROWS(t) (uint32_t)(sizeof(t) / sizeof((t)[0]))

/* clang-format off */
const struct param_desc prefetch_common_rows[] = {
    {.name = "cross_page", .type = PARAM_BOOL, .unit = "", .def = "false", .max = 1, .offset = offsetof(struct prefetch_common_params, cross_page), .doc = "prefetches may leave the 4 KiB page of their access: in L1D through the data TLBs, in L2 within a page known to have 2 MiB"},
    {.name = "walk", .type = PARAM_BOOL, .unit = "", .def = "false", .max = 1, .offset = offsetof(struct prefetch_common_params, walk), .doc = "an L1D prefetch whose page no TLB holds starts a walk if a walker is free; false: it is dropped"},
    PREFETCH_COUNT_ROW(prefetch_common_params, mshrs_left, "line", "4", 0, 512, "L1D MSHRs that prefetches leave free for demand"),
    {.name = "stores", .type = PARAM_BOOL, .unit = "", .def = "false", .max = 1, .offset = offsetof(struct prefetch_common_params, stores), .doc = "the L1D prefetcher sees stores, too, not only loads"},
};
const uint32_t prefetch_common_nrows = NROWS(prefetch_common_rows);

static const struct param_desc next_line_rows[] = {
    PREFETCH_COUNT_ROW(prefetch_next_line_params, degree, "line", "1", 1, 16, "lines asked for behind one that missed or was used for the first time"),
};
/* clang-format on */

static size_t no_state(const struct prefetch_params *p)
{
    (void)p;
    return 0;
}

const struct prefetch_ops prefetch_none = {
    .name = "none",
    .doc = "nothing is prefetched",
    .places = PREFETCH_AT_L1D | PREFETCH_AT_L2,
    .state_bytes = no_state,
};

static void next_line_access(void *state, const struct prefetch_params *p, const struct prefetch_access *a,
                             struct prefetch_list *out)
{
    (void)state;
    if (a->event == PREFETCH_HIT)
        return;
    for (uint64_t i = 1; i <= p->next_line.degree; i++)
        prefetch_add(out, a, a->addr + i * LINE_BYTES, PREFETCH_TO_HERE);
}

const struct prefetch_ops prefetch_next_line = {
    .name = "next_line",
    .doc = "the lines behind one that missed or was prefetched and is used",
    .places = PREFETCH_AT_L1D | PREFETCH_AT_L2,
    .rows = next_line_rows,
    .nrows = NROWS(next_line_rows),
    .params_offset = offsetof(struct prefetch_params, next_line),
    .state_bytes = no_state,
    .access = next_line_access,
};

const struct prefetch_ops *const prefetch_table[PREFETCHER_COUNT] = {
#define X(name) &prefetch_##name,
    PREFETCH_LIST(X)
#undef X
};

const char *const prefetch_names[] = {
#define X(name) #name,
    PREFETCH_LIST(X)
#undef X
        NULL};
