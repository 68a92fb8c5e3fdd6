/*
 * Placement: which rank runs which logical process. An LP is never a rank: results do not depend
 * on the map, only speed does.
 *
 *   single     everything on one process
 *   dedicated  a rank for each core, the last for kernel and control, the others (at least one) for
 *              LLC slices and DRAM channels
 *   packed     several cores on a rank, each with its share of slices beside it; kernel and control on rank 0, or on
 *              the last rank when that has no core
 *   auto       packed, balanced by typical costs, for each phase of a window by itself (cores and channels;
 *              slices and kernel): channels where there is least of the first, kernel and control on the rank with the
 *              fewest cores, and as many slices less there
 *              Ranks beyond the processors of their node hold nothing: they would only wait for turns.
 *   profile:FILE   balanced by loads that a run with --profile-parallelism measured, phase by phase: the
 *              longest first to the rank with least. Lines "core 3 1.5e6" (what, which, host time), "kernel 2e5"
 *   FILE       a map: lines "core 0-3 1", "slice * 0", "channel 0 2", "kernel 0", "control 0",
 *              "fuzz 0" (what, which, rank); # starts a comment; every LP exactly once
 */
#ifndef PARTITIONS_PLACEMENT_H
#define PARTITIONS_PLACEMENT_H

#include "pdes/err.h"
#include "pdes/types.h"

struct placement {
    uint32_t ncores, nslices, nchannels;
    int nranks;
    const char *name;
    int kernel, control, fuzz;
    int *core, *slice, *channel; /* rank of each */
};

/*
 * `spec` is one of the words above or a file; `useful`, by rank, says which ones auto and profiles use (rank 0 is
 * among them); NULL: all. Errors are logged when `speak`.
 */
enum err placement_create(const char *spec, uint32_t ncores, uint32_t nslices, uint32_t nchannels, int nranks,
                          const unsigned char *useful, bool speak, struct placement *out);
void placement_free(struct placement *p);

/* One line for a person: "cores 0-3 | slices 0-3 | kernel". Returns `buf`. */
char *placement_describe(const struct placement *p, int rank, char *buf, size_t size);

#endif
