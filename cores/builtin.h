/*
 * Built-in workloads: instruction streams that need no trace, computed block by block from the block
 * number, so that they take no memory and any position is reached at once.
 *
 *   gups    HPCC RandomAccess: T[a & (N-1)] ^= a over the sequence a <- a * x in GF(2)[x] modulo
 *           x^64 + x^2 + x + 1 (HPC Challenge, RandomAccess rules). 8 instructions an update:
 *           four make a, two make the index, one xor to memory (a load and a store), one loop branch.
 *           Thread t of T makes the t-th part of 4 N updates; the table is shared.
 *   stream  triad a[i] = b[i] + s * c[i] on 8-byte elements. 9 instructions an element: two loads,
 *           two arithmetic, one store, three pointer additions, one loop branch. Threads share the
 *           arrays and take a part each.
 *   chase   one dependent load after another over all lines of a region, in the order of a
 *           full-period linear congruential generator. 3 instructions a step: load, count, branch.
 */
#ifndef CORES_BUILTIN_H
#define CORES_BUILTIN_H

#include "cores/frontend.h"
#include "pdes/desc.h"

/* X(name, instructions an iteration, accesses an iteration) */
#define WORKLOAD_LIST(X) \
    X(gups, 8, 2)        \
    X(stream, 9, 3)      \
    X(chase, 3, 1)

enum workload_kind {
    WORKLOAD_none,
#define X(name, ninstr, nacc) WORKLOAD_##name,
    WORKLOAD_LIST(X)
#undef X
        WORKLOAD_COUNT
};
extern const char *const workload_names[]; /* "none", ...; NULL-terminated */

struct workload_params {
    uint64_t kind;       /* enum workload_kind */
    uint64_t size_bytes; /* of the table, of all arrays together, of the region */
    uint64_t passes;     /* over the data; gups: times 4 N updates */
};
extern const struct param_desc workload_param_rows[];
extern const uint32_t workload_nparam_rows;

/* `fe` belongs to the caller until ops->close. */
enum err builtin_open(const struct workload_params *p, uint32_t nthreads, struct frontend **out);

/* The n-th value of the HPCC sequence that begins with 1. */
uint64_t gups_value(uint64_t n);

#endif
