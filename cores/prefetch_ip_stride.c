/*
 * ip_stride: a table by instruction of the latest address and the stride to it (Baer and Chen, SC'91;
 * the "IP-based stride prefetcher" beside L1D in Intel's optimization reference manual: regular
 * strides forward and backward of up to 2 KiB, one prefetch to the current address plus the stride).
 *
 * The first access of an instruction makes an entry, the second gives the stride, and the third that
 * repeats it has confidence 1. An access to the line of the instruction's latest one teaches nothing;
 * so strides below a line are seen as steps from line to line. These are uneven when a stride does
 * not divide the line, therefore a step counts as repeated when either its bytes or its lines are
 * the same, and is prolonged in that unit.
 *
 * The table is direct-mapped by the hashed instruction, with the rest of the hash as its tag. Not
 * modelled: Intel's conditions on fences, streams of stores and a busy bus.
 */
#include "cores/prefetch_ip_stride.h"

#define NROWS(t) (uint32_t)(sizeof(t) / sizeof((t)[0]))

/* clang-format off */
static const struct param_desc rows[] = {
    PREFETCH_COUNT_ROW(prefetch_ip_stride_params, entries, "instruction", "64", 1, 65536, "instructions followed"),
    PREFETCH_COUNT_ROW(prefetch_ip_stride_params, confidence, "access", "1", 1, IP_STRIDE_MOST_CONFIDENT, "repetitions of a stride before it is used"),
    PREFETCH_COUNT_ROW(prefetch_ip_stride_params, max_bytes, "byte", "2048", 64, 1073741824, "longest stride that is learnt"),
    PREFETCH_COUNT_ROW(prefetch_ip_stride_params, distance, "stride", "1", 1, 1024, "strides from the access to the nearest line asked for"),
    PREFETCH_COUNT_ROW(prefetch_ip_stride_params, degree, "line", "1", 1, 16, "lines asked for by one access"),
};
/* clang-format on */

static size_t state_bytes(const struct prefetch_params *p)
{
    return p->ip_stride.entries * sizeof(struct ip_stride_entry);
}

static void access(void *state, const struct prefetch_params *params, const struct prefetch_access *a,
                   struct prefetch_list *out)
{
    const struct prefetch_ip_stride_params *p = &params->ip_stride;
    struct ip_stride_entry *table = state;
    int64_t step = ip_stride_learn(&table[a->ip % p->entries], p, a->ip, a->addr);
    if (step == 0)
        return;
    struct ip_stride_walk w = ip_stride_from(p, a->addr, step);
    for (uint64_t addr; ip_stride_next(&w, step, &addr);)
        prefetch_add(out, a, addr, PREFETCH_TO_HERE);
}

const struct prefetch_ops prefetch_ip_stride = {
    .name = "ip_stride",
    .doc = "strides of single instructions",
    .places = PREFETCH_AT_L1D | PREFETCH_AT_L2,
    .rows = rows,
    .nrows = NROWS(rows),
    .params_offset = offsetof(struct prefetch_params, ip_stride),
    .state_bytes = state_bytes,
    .access = access,
};
