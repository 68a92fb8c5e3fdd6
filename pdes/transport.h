/*
 * Transport: how ranks exchange one dense batch per pair and round, and the few collectives at
 * epoch boundaries. `self` is one process without MPI; `mpi` is in transport_mpi.c, the only file
 * that includes mpi.h.
 */
#ifndef PDES_TRANSPORT_H
#define PDES_TRANSPORT_H

#include "pdes/err.h"
#include "pdes/types.h"

struct transport;

struct transport_ops {
    const char *name;
    /*
     * Sends out[r] (nbytes) to each other rank r and receives one batch from each: in[r] points to
     * memory of the transport, valid until the next exchange. Nothing passes to and from a rank whose out[r]
     * is NULL (on both sides alike), and the own one. After everything was sent, and before it waits,
     * `meanwhile(ctx)` runs, unless it is NULL; what out[] points to is in use until the end.
     */
    void (*exchange)(struct transport *t, const void *const *out, const size_t *out_bytes,
                     const void **in, size_t *in_bytes, void (*meanwhile)(void *ctx), void *ctx);
    /* Fixed-size gather to rank 0 by known sizes per rank; `in` of rank 0 is the concatenation. */
    void (*gather)(struct transport *t, const void *out, size_t out_bytes, void *in,
                   const size_t *bytes_of_rank);
    void (*bcast)(struct transport *t, void *data, size_t bytes); /* from rank 0 */
    uint64_t (*sum)(struct transport *t, uint64_t x);             /* over all ranks, same on all */
    void (*barrier)(struct transport *t);
    /*
     * Only these ranks exchange from now on, the others sleep. On all ranks alike, between exchanges; NULL: it
     * does not matter.
     */
    void (*attend)(struct transport *t, const bool *takes_part);
    /*
     * A rank that does not exchange sleeps, without using its processor, until rank 0 rouses it with a value.
     * Values that come before it looks may be one: the last.
     */
    uint64_t (*sleep)(struct transport *t);
    void (*rouse)(struct transport *t, int rank, uint64_t value);
    void (*close)(struct transport *t);
};

struct transport {
    const struct transport_ops *ops;
    int rank, nranks;
    uint64_t wait_ns; /* host time spent waiting for other ranks */
    /* By rank: it has a processor that no rank before it on its node claims; NULL: each has one. */
    unsigned char *has_processor;
};

struct transport *transport_self(void);
/* MPI_Init with yielding set when the node has fewer processors than ranks. NULL: built without MPI. */
enum err transport_mpi_open(int *argc, char ***argv, struct transport **out);
/*
 * To measure both ways of exchanging: through shared memory (when the ranks were found to share a node's),
 * or by messages. On all ranks alike, between exchanges. False: they cannot share.
 */
bool transport_mpi_share(struct transport *t, bool share);
/* True when this process was started by an MPI launcher (mpirun, srun). */
bool transport_mpi_launched(void);
const char *transport_mpi_version(void);

#endif
