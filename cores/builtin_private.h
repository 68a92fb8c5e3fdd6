/*
 * What built-in workloads share: a workload is a row that shapes itself from its size and then writes
 * the accesses of any of its blocks.
 */
#ifndef CORES_BUILTIN_PRIVATE_H
#define CORES_BUILTIN_PRIVATE_H

#include "cores/builtin.h"

#define BUILTIN_DATA UINT64_C(0x7f0000000000)
#define BUILTIN_MAX_ACCESSES 3072u /* of a block */
#define BUILTIN_NPCS 24u

struct builtin_thread {
    struct access_rec acc[BUILTIN_MAX_ACCESSES];
};

struct builtin {
    struct frontend base;
    enum workload_kind kind;
    uint64_t size_bytes, passes; /* as asked for */
    /* Set by the row's `shape`. */
    uint64_t area_bytes;  /* all that the addresses reach */
    uint64_t iterations;  /* of one thread; 0: the size is too small */
    uint32_t nsteps;      /* search steps of an iteration, where they depend on the size */
    uint64_t n;           /* table entries, elements, lines, vertices, grid points */
    /* Derived from the list and nsteps. */
    uint32_t ninstr, naccesses;
    struct builtin_thread *threads;
    char description[160];
    uint64_t pcs[BUILTIN_NPCS];
    struct fe_event start[3];
};

struct builtin_ops {
    uint32_t block_iterations;
    uint32_t tail_gap; /* instructions after the last access of an iteration */
    void (*shape)(struct builtin *b);
    /* Iterations [first, first + n) of `thread`, n at most block_iterations; `acc` holds those of another
     * block of the thread, or zeros. */
    void (*block)(const struct builtin *b, uint32_t thread, uint64_t first, uint32_t n,
                  struct access_rec *acc);
};

extern const struct builtin_ops builtin_gups, builtin_stream, builtin_chase, builtin_graph,
    builtin_xsbench;

/* A number that looks random (the finaliser of splitmix64). */
static inline uint64_t builtin_hash(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static inline uint64_t builtin_pages(uint64_t bytes)
{
    return (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

#endif
