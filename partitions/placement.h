/*
 * Placement: which rank runs which logical process. An LP is never a rank: results do not depend
 * on the map, only speed does.
 *
 *   single     everything on one process
 *   dedicated  a rank for each core, the last for kernel and control, the others (at least one) for
 *              LLC slices and DRAM channels: for many hosts with few cores each
 *   packed     several cores on a rank, each with its share of slices beside it: wins whenever a
 *              rank can hold several cores
 *   auto       single on one rank, packed while no rank is without a core, else dedicated when the
 *              ranks suffice and packed otherwise
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

/* `spec` is one of the words above or a file. Errors are logged when `speak`. */
enum err placement_create(const char *spec, uint32_t ncores, uint32_t nslices, uint32_t nchannels,
                          int nranks, bool speak, struct placement *out);
void placement_free(struct placement *p);

/* One line for a person: "cores 0-3 | slices 0-3 | kernel". Returns `buf`. */
char *placement_describe(const struct placement *p, int rank, char *buf, size_t size);

#endif
