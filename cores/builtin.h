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
 *   graph   one pull sweep of PageRank over an implicit graph in CSR form. Vertex v has its number of
 *           in-edges and their ends by hash: in each group of 64 vertices 32 have 4 edges, 16 have 8, ...,
 *           one has 128 and one 256 (1024 together), in an order of the group's own; a far end is drawn
 *           so that a vertex's popularity falls as one over its rank (Zipf), ranks being scattered over
 *           the vertices. Per vertex: its offset (8 bytes); per edge: the edge (8 bytes, sequential)
 *           and, addressed by it, 8 bytes of the far end's record of 64 bytes; then the new value is
 *           stored (8 bytes, sequential). 9 instructions a vertex and 6 an edge; an iteration is a
 *           group. Threads take a part of the vertices each. V is a power of two; 208 V bytes.
 *   xsbench a macroscopic cross section as in XSBench (Tramm et al., PHYSOR 2014), unionised grid: binary
 *           search of a random energy in U grid points (log2 U loads, each waiting for the one before,
 *           as branch-free code does it: 8 instructions a step), then for each of 8 nuclides of one of
 *           12 materials its number, its entry in the index table, two neighbouring points of its own
 *           grid (6 doubles each) and its concentration: 15 loads and 51 instructions; 5 results are
 *           stored. 32 more instructions draw energy and material and loop. 355 nuclides; U is a power
 *           of two; 1476 U bytes. XSBench's materials have 4 to 321 nuclides, 56 on average: here the
 *           search weighs more.
 *
 * The loop branches are instructions but not in the branch column, which keeps these streams as fast
 * as they are. A predictor is right about those of gups, stream, chase and xsbench but for the end of a
 * thread; that graph's loop over the edges of a vertex ends at 4, 8, 16 ... would be predicted wrong
 * about once a vertex, and costs nothing here. All code is on a line or two.
 */
#ifndef CORES_BUILTIN_H
#define CORES_BUILTIN_H

#include "cores/frontend.h"
#include "pdes/desc.h"

/* X(name, instructions and accesses of an iteration, and of each of its search steps, doc) */
/* clang-format off */
#define WORKLOAD_LIST(X)                                                                             \
    X(gups, 8, 2, 0, 0, "HPCC RandomAccess: 8 instructions and 2 accesses an update")                \
    X(stream, 9, 3, 0, 0, "triad a = b + s c: 9 instructions and 3 accesses an element")             \
    X(chase, 3, 1, 0, 0, "one dependent load after another over all lines: 3 instructions a step")   \
    X(graph, 6720, 2176, 0, 0, "PageRank sweep over a hashed graph: 9 instructions a vertex, 6 an edge") \
    X(xsbench, 440, 125, 8, 1, "XSBench-like lookups: binary search, then gathers for 8 nuclides")
/* clang-format on */

enum workload_kind {
    WORKLOAD_none,
#define X(name, ninstr, nacc, step_ninstr, step_nacc, doc) WORKLOAD_##name,
    WORKLOAD_LIST(X)
#undef X
        WORKLOAD_COUNT
};
extern const char *const workload_names[]; /* "none", ...; NULL-terminated */
extern const char *const workload_docs[];  /* in the same order */

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
