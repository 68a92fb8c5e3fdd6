/*
 * ip_stride, what it learns of an access: for its own ops and, without a list of wishes between, for
 * data_prefetch.c. prefetch_ip_stride.c says what the design is.
 */
#ifndef CORES_PREFETCH_IP_STRIDE_H
#define CORES_PREFETCH_IP_STRIDE_H

#include "cores/prefetch.h"

#define IP_STRIDE_MOST_CONFIDENT 7

struct ip_stride_entry {
    uint64_t addr;   /* latest access, in bytes */
    int64_t bytes;   /* the step to it */
    int64_t lines;
    uint32_t ip;
    uint16_t confidence, used;
};

/* The stride in which lines are to be asked for from `addr` on; 0: none are. *e is the instruction's entry. */
static inline int64_t ip_stride_learn(struct ip_stride_entry *e, const struct prefetch_ip_stride_params *p, uint32_t ip,
                                      uint64_t addr)
{
    if (!e->used || e->ip != ip) {
        *e = (struct ip_stride_entry){.addr = addr, .ip = ip, .used = 1};
        return 0;
    }
    int64_t lines = (int64_t)(addr >> LINE_SHIFT) - (int64_t)(e->addr >> LINE_SHIFT), bytes = (int64_t)(addr - e->addr);
    if (lines == 0)
        return 0;
    bool same_bytes = bytes == e->bytes, same_lines = lines == e->lines;
    e->addr = addr;
    if ((uint64_t)(bytes < 0 ? -bytes : bytes) > p->max_bytes) {
        e->bytes = e->lines = e->confidence = 0;
        return 0;
    }
    e->bytes = bytes;
    e->lines = lines;
    if (!same_bytes && !same_lines) {
        e->confidence = 0;
        return 0;
    }
    e->confidence = (uint16_t)(e->confidence + (e->confidence < IP_STRIDE_MOST_CONFIDENT));
    if (e->confidence < p->confidence)
        return 0;
    return same_bytes ? bytes : lines * (int64_t)LINE_BYTES;
}

/* Where the strides from an access lead, one after the other: but for those that stay in the line before. */
struct ip_stride_walk {
    uint64_t at, line;
    uint64_t nleft;
};

static inline struct ip_stride_walk ip_stride_from(const struct prefetch_ip_stride_params *p, uint64_t addr, int64_t step)
{
    return (struct ip_stride_walk){addr + (uint64_t)(step * (int64_t)p->distance), addr >> LINE_SHIFT, p->degree};
}

/* False: there is no other. */
static inline bool ip_stride_next(struct ip_stride_walk *w, int64_t step, uint64_t *addr_out)
{
    while (w->nleft-- > 0) {
        uint64_t addr = w->at, line = w->line;
        w->at += (uint64_t)step;
        w->line = addr >> LINE_SHIFT;
        *addr_out = addr;
        if (w->line != line)
            return true;
    }
    return false;
}

#endif
