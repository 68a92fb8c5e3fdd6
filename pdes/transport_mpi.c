/*
 * MPI transport: one non-blocking message per pair of ranks and window. A batch that fits in one
 * chunk (nearly all do) is one message; the rest of a longer one follows in a second. The first
 * eight bytes of a batch are its size, so the receiver knows what else to expect.
 *
 * With more ranks than processors a waiting rank must yield, or each window costs milliseconds: the
 * setting is made before MPI_Init, from what the launcher tells of this node.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pdes/transport.h"

/* Below Open MPI's shared-memory eager limit of 4 KiB a message needs no handshake. */
#define CHUNK_BYTES 4000
#define TAG_FIRST 1
#define TAG_REST 2

struct transport_mpi {
    struct transport base;
    char **in_buf; /* per rank, grows */
    size_t *in_cap;
    MPI_Request *requests;
};

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void reserve(struct transport_mpi *m, int r, size_t bytes)
{
    if (m->in_cap[r] >= bytes)
        return;
    m->in_buf[r] = realloc(m->in_buf[r], bytes);
    if (m->in_buf[r] == NULL)
        err_fatal(ERR_MEMORY, "no host memory for a batch of %zu bytes from rank %d", bytes, r);
    m->in_cap[r] = bytes;
}

static int chunk_of(size_t bytes) { return (int)(bytes < CHUNK_BYTES ? bytes : CHUNK_BYTES); }

static void mpi_exchange(struct transport *t, const void *const *out, const size_t *out_bytes,
                         const void **in, size_t *in_bytes)
{
    struct transport_mpi *m = (struct transport_mpi *)t;
    uint64_t start = now_ns();
    int nreq = 0;
    for (int r = 0; r < t->nranks; r++) {
        if (r == t->rank)
            continue;
        MPI_Irecv(m->in_buf[r], CHUNK_BYTES, MPI_BYTE, r, TAG_FIRST, MPI_COMM_WORLD,
                  &m->requests[nreq++]);
    }
    for (int r = 0; r < t->nranks; r++) {
        if (r == t->rank)
            continue;
        MPI_Isend(out[r], chunk_of(out_bytes[r]), MPI_BYTE, r, TAG_FIRST, MPI_COMM_WORLD,
                  &m->requests[nreq++]);
        if (out_bytes[r] > CHUNK_BYTES)
            MPI_Isend((const char *)out[r] + CHUNK_BYTES, (int)(out_bytes[r] - CHUNK_BYTES),
                      MPI_BYTE, r, TAG_REST, MPI_COMM_WORLD, &m->requests[nreq++]);
    }
    MPI_Waitall(nreq, m->requests, MPI_STATUSES_IGNORE);
    for (int r = 0; r < t->nranks; r++) {
        in[r] = NULL;
        in_bytes[r] = 0;
        if (r == t->rank)
            continue;
        uint64_t total;
        memcpy(&total, m->in_buf[r], sizeof total);
        if (total > CHUNK_BYTES) {
            reserve(m, r, total);
            MPI_Recv(m->in_buf[r] + CHUNK_BYTES, (int)(total - CHUNK_BYTES), MPI_BYTE, r, TAG_REST,
                     MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        }
        in[r] = m->in_buf[r];
        in_bytes[r] = total;
    }
    t->wait_ns += now_ns() - start;
}

static void mpi_gather(struct transport *t, const void *out, size_t out_bytes, void *in,
                       const size_t *bytes_of_rank)
{
    if (t->rank != 0) {
        MPI_Gatherv(out, (int)out_bytes, MPI_BYTE, NULL, NULL, NULL, MPI_BYTE, 0, MPI_COMM_WORLD);
        return;
    }
    int *counts = calloc((size_t)t->nranks * 2, sizeof *counts);
    if (counts == NULL)
        err_fatal(ERR_MEMORY, "no host memory to gather from %d ranks", t->nranks);
    int *offsets = counts + t->nranks;
    for (int r = 0, at = 0; r < t->nranks; r++) {
        counts[r] = (int)bytes_of_rank[r];
        offsets[r] = at;
        at += counts[r];
    }
    MPI_Gatherv(out, (int)out_bytes, MPI_BYTE, in, counts, offsets, MPI_BYTE, 0, MPI_COMM_WORLD);
    free(counts);
}

static void mpi_bcast(struct transport *t, void *data, size_t bytes)
{
    (void)t;
    MPI_Bcast(data, (int)bytes, MPI_BYTE, 0, MPI_COMM_WORLD);
}

static uint64_t mpi_sum(struct transport *t, uint64_t x)
{
    (void)t;
    uint64_t total = 0;
    MPI_Allreduce(&x, &total, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    return total;
}

static void mpi_barrier(struct transport *t)
{
    (void)t;
    MPI_Barrier(MPI_COMM_WORLD);
}

static void mpi_close(struct transport *t)
{
    struct transport_mpi *m = (struct transport_mpi *)t;
    err_set_abort(NULL);
    MPI_Finalize();
    for (int r = 0; r < t->nranks; r++)
        free(m->in_buf[r]);
    free(m->in_buf);
    free(m->in_cap);
    free(m->requests);
    free(m);
}

static const struct transport_ops mpi_ops = {
    .name = "mpi",
    .exchange = mpi_exchange,
    .gather = mpi_gather,
    .bcast = mpi_bcast,
    .sum = mpi_sum,
    .barrier = mpi_barrier,
    .close = mpi_close,
};

bool transport_mpi_launched(void)
{
    static const char *const marks[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE"};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (getenv(marks[i]) != NULL)
            return true;
    return false;
}

const char *transport_mpi_version(void)
{
    static char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int len = 0;
    if (MPI_Get_library_version(text, &len) != MPI_SUCCESS)
        return "unknown";
    char *end = strpbrk(text, ",\n");
    if (end != NULL)
        *end = '\0';
    return text;
}

static void set_yielding(void)
{
    const char *local = getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
    long ranks = local != NULL ? strtol(local, NULL, 10) : 0;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (ranks > processors)
        setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
}

static void abort_all(int exit_code)
{
    MPI_Abort(MPI_COMM_WORLD, exit_code);
    _exit(exit_code);
}

enum err transport_mpi_open(int *argc, char ***argv, struct transport **out)
{
    set_yielding();
    if (MPI_Init(argc, argv) != MPI_SUCCESS)
        return err_log(ERR_RUNTIME, "MPI_Init failed");
    struct transport_mpi *m = calloc(1, sizeof *m);
    if (m == NULL)
        return err_log(ERR_MEMORY, "no host memory for the MPI transport");
    m->base.ops = &mpi_ops;
    MPI_Comm_rank(MPI_COMM_WORLD, &m->base.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &m->base.nranks);
    size_t n = (size_t)m->base.nranks;
    m->in_buf = calloc(n, sizeof *m->in_buf);
    m->in_cap = calloc(n, sizeof *m->in_cap);
    m->requests = calloc(3 * n, sizeof *m->requests);
    if (m->in_buf == NULL || m->in_cap == NULL || m->requests == NULL)
        return err_log(ERR_MEMORY, "no host memory for %zu ranks", n);
    for (int r = 0; r < m->base.nranks; r++)
        reserve(m, r, CHUNK_BYTES);
    err_set_rank(m->base.rank, m->base.nranks);
    err_set_abort(abort_all);
    *out = &m->base;
    return ERR_OK;
}
