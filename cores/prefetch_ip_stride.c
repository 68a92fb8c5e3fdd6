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
#include "cores/prefetch.h"

#define NROWS(t) (uint32_t)(sizeof(t) / sizeof((t)[0]))
#define MOST_CONFIDENT 7

/* clang-format off */
static const struct param_desc rows[] = {
    PREFETCH_COUNT_ROW(prefetch_ip_stride_params, entries, "instruction", "64", 1, 65536, "instructions followed"),
    PREFETCH_COUNT_ROW(prefetch_ip_stride_params, confidence, "access", "1", 1, MOST_CONFIDENT, "repetitions of a stride before it is used"),
    PREFETCH_COUNT_ROW(prefetch_ip_stride_params, max_bytes, "byte", "2048", 64, 1073741824, "longest stride that is learnt"),
    PREFETCH_COUNT_ROW(prefetch_ip_stride_params, distance, "stride", "1", 1, 1024, "strides from the access to the nearest line asked for"),
    PREFETCH_COUNT_ROW(prefetch_ip_stride_params, degree, "line", "1", 1, 16, "lines asked for by one access"),
};
/* clang-format on */

struct entry {
    uint64_t addr;   /* latest access, in bytes */
    int64_t bytes;   /* the step to it */
    int64_t lines;
    uint32_t ip;
    uint16_t confidence, used;
};

static size_t state_bytes(const struct prefetch_params *p)
{
    return p->ip_stride.entries * sizeof(struct entry);
}

static void ask(const struct prefetch_ip_stride_params *p, const struct prefetch_access *a, int64_t step,
                struct prefetch_list *out)
{
    uint64_t latest = a->addr >> LINE_SHIFT;
    for (uint64_t i = 0; i < p->degree; i++) {
        uint64_t addr = a->addr + (uint64_t)(step * (int64_t)(p->distance + i));
        if (addr >> LINE_SHIFT == latest)
            continue; /* a step below a line stays in it */
        latest = addr >> LINE_SHIFT;
        prefetch_add(out, a, addr, PREFETCH_TO_HERE);
    }
}

static void access(void *state, const struct prefetch_params *params, const struct prefetch_access *a,
                   struct prefetch_list *out)
{
    const struct prefetch_ip_stride_params *p = &params->ip_stride;
    struct entry *e = (struct entry *)state + ((p->entries & (p->entries - 1)) == 0 ? a->ip & (p->entries - 1) : a->ip % p->entries);
    if (!e->used || e->ip != a->ip) {
        *e = (struct entry){.addr = a->addr, .ip = a->ip, .used = 1};
        return;
    }
    int64_t lines = (int64_t)(a->addr >> LINE_SHIFT) - (int64_t)(e->addr >> LINE_SHIFT);
    if (lines == 0)
        return;
    int64_t bytes = (int64_t)(a->addr - e->addr);
    bool same_bytes = bytes == e->bytes, same_lines = lines == e->lines;
    e->addr = a->addr;
    if ((uint64_t)(bytes < 0 ? -bytes : bytes) > p->max_bytes) {
        e->bytes = e->lines = e->confidence = 0;
        return;
    }
    e->bytes = bytes;
    e->lines = lines;
    if (!same_bytes && !same_lines) {
        e->confidence = 0;
        return;
    }
    e->confidence = (uint16_t)u64_min(e->confidence + 1u, MOST_CONFIDENT);
    if (e->confidence >= p->confidence)
        ask(p, a, same_bytes ? bytes : lines * (int64_t)LINE_BYTES, out);
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
