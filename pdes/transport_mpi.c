/*
 * Transports over MPI. The first four bytes of a batch are its size, so the receiver knows what to
 * expect.
 *
 * `mpi`: one non-blocking message per pair of ranks and window. A batch that fits in one chunk
 * (nearly all do) is one message; the rest of a longer one follows in a second.
 *
 * `shm`, when all ranks are on one node: the same through MPI-3 shared memory. Each rank owns a mailbox
 * per receiver, twice, used in turn: it copies the batch in and then publishes the number of the
 * exchange; the receiver reads it in place. A mailbox is written again two exchanges later, and by then
 * the receiver has published the one between, hence has read it: no acknowledgement is needed. What does
 * not fit follows as a message. CONCERTO_TRANSPORT=mpi chooses the messages.
 *
 * With more ranks than processors a waiting rank must yield to the others, or each window costs milliseconds: for
 * MPI's own waits the setting is made before MPI_Init, from what the launcher tells of this node.
 */
#include <linux/futex.h>
#include <mpi.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pdes/transport.h"

/* Below Open MPI's shared-memory eager limit of 4 KiB a message needs no handshake. */
#define CHUNK_BYTES 4000
#define TAG_FIRST 1
#define TAG_REST 2
#define TAG_ROUSE 3
#define SPINS 4000 /* before a waiting rank sleeps: some ten times a usual round */
#define DOZE_NS 200000 /* a sleeper that cannot be woken looks that often */

/*
 * One direction between two ranks. The first line of the host's cache holds the head of a usual batch, too,
 * so that one without messages costs one line that another processor has written.
 */
struct mailbox {
    _Alignas(64) _Atomic uint64_t exchange; /* number of the exchange whose batch it holds */
    char data[56];                          /* and what follows */
};
#define HOST_LINE_BYTES 64
#define MAILBOX_BYTES (sizeof(struct mailbox) + 16384)
#define MAILBOX_DATA (MAILBOX_BYTES - offsetof(struct mailbox, data))

/*
 * By which a rank that sleeps is woken; behind its mailboxes. `rings`, `batches` and `dozes` are futexes. While ranks
 * share processors, each batch counts, by the parity of its exchange, and whoever brings the last one that the rank
 * waits for wakes it: a rank that yields instead comes to its turn many times for nothing. A rank with a processor of
 * its own spins, but not for ever: on a busy host its processor may be the one that the other rank waits for.
 */
struct bell {
    _Alignas(64) _Atomic uint64_t value;
    _Atomic uint64_t exchange; /* of rank 0, when it rang: a rank that slept counts on from there */
    _Atomic uint32_t rings;
    _Alignas(64) _Atomic uint32_t batches[2]; /* that came so far */
    _Atomic uint32_t wanted[2], asleep[2];    /* it sleeps until so many came */
    _Alignas(64) _Atomic uint32_t dozes;      /* it sleeps until any comes */
};

struct transport_mpi {
    struct transport base;
    MPI_Win window;    /* shm only */
    char **mailboxes;  /* shm only: each rank's segment, [receiver][2] of MAILBOX_BYTES */
    uint64_t exchange; /* shm only: exchanges so far */
    uint32_t rings;    /* shm only: of the own bell, heard */
    uint32_t expected[2]; /* shm only: batches to this rank, up to the exchange under way */
    bool crowded;      /* some of the ranks that exchange have no processor to themselves */
    unsigned char *own_processor; /* by rank: has_processor, as it really is */
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

/* Does what can be done before waiting; returns how long that took. */
static uint64_t do_meanwhile(void (*meanwhile)(void *ctx), void *ctx)
{
    if (meanwhile == NULL)
        return 0;
    uint64_t start = now_ns();
    meanwhile(ctx);
    return now_ns() - start;
}

static int chunk_of(size_t bytes) { return (int)(bytes < CHUNK_BYTES ? bytes : CHUNK_BYTES); }

static void mpi_exchange(struct transport *t, const void *const *out, const size_t *out_bytes,
                         const void **in, size_t *in_bytes, void (*meanwhile)(void *ctx), void *ctx)
{
    struct transport_mpi *m = (struct transport_mpi *)t;
    uint64_t start = now_ns();
    int nreq = 0;
    for (int r = 0; r < t->nranks; r++) {
        if (r == t->rank || out[r] == NULL)
            continue;
        MPI_Irecv(m->in_buf[r], CHUNK_BYTES, MPI_BYTE, r, TAG_FIRST, MPI_COMM_WORLD,
                  &m->requests[nreq++]);
    }
    for (int r = 0; r < t->nranks; r++) {
        if (r == t->rank || out[r] == NULL)
            continue;
        MPI_Isend(out[r], chunk_of(out_bytes[r]), MPI_BYTE, r, TAG_FIRST, MPI_COMM_WORLD,
                  &m->requests[nreq++]);
        if (out_bytes[r] > CHUNK_BYTES)
            MPI_Isend((const char *)out[r] + CHUNK_BYTES, (int)(out_bytes[r] - CHUNK_BYTES),
                      MPI_BYTE, r, TAG_REST, MPI_COMM_WORLD, &m->requests[nreq++]);
    }
    start += do_meanwhile(meanwhile, ctx);
    MPI_Waitall(nreq, m->requests, MPI_STATUSES_IGNORE);
    for (int r = 0; r < t->nranks; r++) {
        in[r] = NULL;
        in_bytes[r] = 0;
        if (r == t->rank || out[r] == NULL)
            continue;
        uint32_t total;
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

/* ---- shared memory ---------------------------------------------------------------------------- */

static struct mailbox *mailbox(const struct transport_mpi *m, int from, int to)
{
    size_t n = (size_t)to * 2 + (m->exchange & 1);
    return (struct mailbox *)(void *)(m->mailboxes[from] + n * MAILBOX_BYTES);
}

static struct bell *bell(const struct transport_mpi *m, int r)
{
    return (struct bell *)(void *)(m->mailboxes[r] + (size_t)m->base.nranks * 2 * MAILBOX_BYTES);
}

static void futex(_Atomic uint32_t *word, int op, uint32_t value)
{
    syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

static bool spin_for(const struct transport_mpi *m, struct mailbox *box)
{
    for (unsigned n = 0; n < SPINS; n++) {
        if (atomic_load_explicit(&box->exchange, memory_order_acquire) == m->exchange)
            return true;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    return false;
}

/* Either the rank that waits sees the batch, or the one that brings it sees that it dozes. */
static void wait_for(const struct transport_mpi *m, struct mailbox *box)
{
    _Atomic uint32_t *dozes = &bell(m, m->base.rank)->dozes;
    if (spin_for(m, box))
        return;
    for (;;) {
        atomic_store(dozes, 1);
        if (atomic_load(&box->exchange) == m->exchange)
            break;
        futex(dozes, FUTEX_WAIT, 1);
    }
    atomic_store(dozes, 0);
}

/* A batch for rank `to` is in its mailbox. */
static void wake_dozing(const struct transport_mpi *m, int to)
{
    _Atomic uint32_t *dozes = &bell(m, to)->dozes;
    if (atomic_load(dozes) != 0 && atomic_exchange(dozes, 0) != 0)
        futex(dozes, FUTEX_WAKE, 1);
}

/* Is the count the other, or past it? It may wrap around. */
static bool reached(uint32_t count, uint32_t wanted) { return (int32_t)(count - wanted) >= 0; }

static void count_batch(const struct transport_mpi *m, int to)
{
    struct bell *b = bell(m, to);
    unsigned parity = m->exchange & 1;
    uint32_t count = atomic_fetch_add(&b->batches[parity], 1) + 1;
    if (atomic_load(&b->asleep[parity]) && reached(count, atomic_load(&b->wanted[parity])))
        futex(&b->batches[parity], FUTEX_WAKE, 1);
}

/* Until all batches of this exchange have come. */
static void sleep_for_all(const struct transport_mpi *m)
{
    struct bell *b = bell(m, m->base.rank);
    unsigned parity = m->exchange & 1;
    uint32_t wanted = m->expected[parity], count = atomic_load(&b->batches[parity]);
    if (reached(count, wanted))
        return;
    atomic_store(&b->wanted[parity], wanted);
    atomic_store(&b->asleep[parity], 1);
    while (!reached(count = atomic_load(&b->batches[parity]), wanted))
        futex(&b->batches[parity], FUTEX_WAIT, count);
    atomic_store(&b->asleep[parity], 0);
}

static void shm_exchange(struct transport *t, const void *const *out, const size_t *out_bytes,
                         const void **in, size_t *in_bytes, void (*meanwhile)(void *ctx), void *ctx)
{
    struct transport_mpi *m = (struct transport_mpi *)t;
    uint64_t start = now_ns();
    int nreq = 0;
    m->exchange++;
    for (int i = 1; i < t->nranks; i++) {
        int r = (t->rank + i) % t->nranks;
        if (out[r] == NULL)
            continue;
        struct mailbox *box = mailbox(m, t->rank, r);
        memcpy((char *)box + offsetof(struct mailbox, data), out[r], out_bytes[r] < MAILBOX_DATA ? out_bytes[r] : MAILBOX_DATA);
        atomic_store(&box->exchange, m->exchange); /* before wake_dozing looks */
        m->expected[m->exchange & 1] += m->crowded; /* and one comes from there */
        if (out_bytes[r] > MAILBOX_DATA)
            MPI_Isend((const char *)out[r] + MAILBOX_DATA, (int)(out_bytes[r] - MAILBOX_DATA), MPI_BYTE, r,
                      TAG_REST, MPI_COMM_WORLD, &m->requests[nreq++]);
    }
    for (int i = 1; i < t->nranks; i++) {
        int r = (t->rank + i) % t->nranks;
        if (out[r] == NULL)
            continue;
        if (m->crowded)
            count_batch(m, r);
        else
            wake_dozing(m, r);
    }
    start += do_meanwhile(meanwhile, ctx);
    if (m->crowded)
        sleep_for_all(m);
    in[t->rank] = NULL;
    in_bytes[t->rank] = 0;
    for (int i = 1; i < t->nranks; i++) {
        int r = (t->rank + i) % t->nranks;
        if (out[r] == NULL)
            continue;
        struct mailbox *box = mailbox(m, r, t->rank);
        wait_for(m, box);
        uint32_t total;
        const char *data = (const char *)box + offsetof(struct mailbox, data); /* beyond the array, too */
        memcpy(&total, data, sizeof total);
        in[r] = data;
        in_bytes[r] = total;
        if (total > MAILBOX_DATA) {
            reserve(m, r, total);
            memcpy(m->in_buf[r], data, MAILBOX_DATA);
            MPI_Recv(m->in_buf[r] + MAILBOX_DATA, (int)(total - MAILBOX_DATA), MPI_BYTE, r, TAG_REST,
                     MPI_COMM_WORLD, MPI_STATUS_IGNORE);
            in[r] = m->in_buf[r];
        }
    }
    if (nreq > 0)
        MPI_Waitall(nreq, m->requests, MPI_STATUSES_IGNORE);
    t->wait_ns += now_ns() - start;
}

/* Ranks that exchange and have a processor each need not make room for those that sleep. */
static void shm_attend(struct transport *t, const bool *takes_part)
{
    struct transport_mpi *m = (struct transport_mpi *)t;
    m->crowded = false;
    for (int r = 0; r < t->nranks; r++)
        m->crowded |= takes_part[r] && !m->own_processor[r];
}

static uint64_t shm_sleep(struct transport *t)
{
    struct transport_mpi *m = (struct transport_mpi *)t;
    struct bell *b = bell(m, t->rank);
    uint64_t start = now_ns();
    uint32_t rings;
    while ((rings = atomic_load(&b->rings)) == m->rings)
        futex(&b->rings, FUTEX_WAIT, rings);
    m->rings = rings;
    m->exchange = atomic_load(&b->exchange);
    t->wait_ns += now_ns() - start;
    return atomic_load(&b->value);
}

static void shm_rouse(struct transport *t, int rank, uint64_t value)
{
    struct bell *b = bell((struct transport_mpi *)t, rank);
    atomic_store(&b->value, value);
    atomic_store(&b->exchange, ((struct transport_mpi *)t)->exchange);
    atomic_fetch_add(&b->rings, 1);
    futex(&b->rings, FUTEX_WAKE, 1);
}

/* Maps every rank's mailboxes when all ranks share this node's memory; false: they do not. */
static bool open_mailboxes(struct transport_mpi *m)
{
    const char *choice = getenv("CONCERTO_TRANSPORT");
    if (choice != NULL && strcmp(choice, "mpi") == 0)
        return false;
    int nranks = m->base.nranks, here = 0;
    MPI_Comm node;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, m->base.rank, MPI_INFO_NULL, &node);
    MPI_Comm_size(node, &here);
    bool shared = here == nranks && nranks > 1;
    int mine = shared, all = 0;
    MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    if (all != 0) {
        char *segment = NULL;
        m->mailboxes = calloc((size_t)nranks, sizeof *m->mailboxes);
        size_t bytes = (size_t)nranks * 2 * MAILBOX_BYTES + sizeof(struct bell) + HOST_LINE_BYTES;
        MPI_Win_allocate_shared((MPI_Aint)bytes, 1, MPI_INFO_NULL, node, &segment, &m->window);
        memset(segment, 0, bytes);
        /* Windows begin anywhere, mailboxes at a line; where each rank says that is. */
        uint64_t skip = -(uintptr_t)segment % HOST_LINE_BYTES, *skips = calloc((size_t)nranks, sizeof *skips);
        if (m->mailboxes == NULL || skips == NULL)
            err_fatal(ERR_MEMORY, "no host memory for %d ranks", nranks);
        MPI_Allgather(&skip, 1, MPI_UINT64_T, skips, 1, MPI_UINT64_T, MPI_COMM_WORLD);
        for (int r = 0; r < nranks; r++) {
            MPI_Aint size;
            int unit;
            MPI_Win_shared_query(m->window, r, &size, &unit, &m->mailboxes[r]);
            m->mailboxes[r] += skips[r];
        }
        free(skips);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    MPI_Comm_free(&node);
    return all != 0;
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

static uint64_t mpi_sleep(struct transport *t)
{
    const struct timespec doze = {.tv_nsec = DOZE_NS};
    uint64_t start = now_ns(), value = 0;
    int here = 0;
    for (;;) {
        MPI_Iprobe(0, TAG_ROUSE, MPI_COMM_WORLD, &here, MPI_STATUS_IGNORE);
        if (here)
            break;
        nanosleep(&doze, NULL);
    }
    MPI_Recv(&value, 1, MPI_UINT64_T, 0, TAG_ROUSE, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    t->wait_ns += now_ns() - start;
    return value;
}

static void mpi_rouse(struct transport *t, int rank, uint64_t value)
{
    (void)t;
    MPI_Send(&value, 1, MPI_UINT64_T, rank, TAG_ROUSE, MPI_COMM_WORLD);
}

static void mpi_close(struct transport *t)
{
    struct transport_mpi *m = (struct transport_mpi *)t;
    err_set_abort(NULL);
    if (m->mailboxes != NULL)
        MPI_Win_free(&m->window);
    free(m->mailboxes);
    MPI_Finalize();
    for (int r = 0; r < t->nranks; r++)
        free(m->in_buf[r]);
    free(m->in_buf);
    free(m->in_cap);
    free(m->requests);
    free(t->has_processor);
    free(((struct transport_mpi *)t)->own_processor);
    free(m);
}

static const struct transport_ops mpi_ops = {
    .name = "mpi",
    .exchange = mpi_exchange,
    .gather = mpi_gather,
    .bcast = mpi_bcast,
    .sum = mpi_sum,
    .barrier = mpi_barrier,
    .sleep = mpi_sleep,
    .rouse = mpi_rouse,
    .close = mpi_close,
};

static const struct transport_ops shm_ops = {
    .name = "shm",
    .exchange = shm_exchange,
    .gather = mpi_gather,
    .bcast = mpi_bcast,
    .sum = mpi_sum,
    .barrier = mpi_barrier,
    .attend = shm_attend,
    .sleep = shm_sleep,
    .rouse = shm_rouse,
    .close = mpi_close,
};

bool transport_mpi_share(struct transport *t, bool share)
{
    struct transport_mpi *m = (struct transport_mpi *)t;
    if (share && m->mailboxes == NULL)
        return false;
    t->ops = share ? &shm_ops : &mpi_ops;
    return true;
}

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

/* More ranks on this node than processors, as far as the launcher tells. */
static bool oversubscribed(void)
{
    const char *local = getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
    if (local == NULL)
        local = getenv("SLURM_STEP_TASKS_PER_NODE"); /* under srun: "4(x2),3" */
    long ranks = local != NULL ? strtol(local, NULL, 10) : 0;
    cpu_set_t allowed;
    bool known = sched_getaffinity(0, sizeof allowed, &allowed) == 0;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    /* A launcher that binds each rank to its own processor leaves one to see here. */
    if (known && CPU_COUNT(&allowed) > 1 && CPU_COUNT(&allowed) < processors)
        processors = CPU_COUNT(&allowed);
    return ranks > processors;
}

/* Only then: on a busy host, a rank with a processor of its own that yields waits for a time slice. */
static void set_yielding(void)
{
    if (oversubscribed())
        setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
}

/* The first processor that this rank may use and none before it claimed, by the masks that ranks have. */
static bool claim(const cpu_set_t *mask, cpu_set_t *claimed)
{
    for (size_t c = 0; c < CPU_SETSIZE; c++)
        if (CPU_ISSET(c, mask) && !CPU_ISSET(c, claimed)) {
            CPU_SET(c, claimed);
            return true;
        }
    return false;
}

/*
 * Rank by rank of this node: does it have a processor? CONCERTO_PROCESSORS=N pretends that there are so many
 * (tests: ranks that share processors are to hold something).
 */
static enum err find_processors(struct transport_mpi *m)
{
    int nranks = m->base.nranks, here = 0, at = 0;
    const char *pretended = getenv("CONCERTO_PROCESSORS");
    MPI_Comm node;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, m->base.rank, MPI_INFO_NULL, &node);
    MPI_Comm_size(node, &here);
    MPI_Comm_rank(node, &at);
    cpu_set_t mine, claimed, *masks = calloc((size_t)here, sizeof *masks);
    m->base.has_processor = calloc((size_t)nranks, 1);
    m->own_processor = calloc((size_t)nranks, 1);
    if (masks == NULL || m->base.has_processor == NULL || m->own_processor == NULL) {
        free(masks);
        return err_log(ERR_MEMORY, "no host memory for %d ranks", nranks);
    }
    CPU_ZERO(&claimed);
    if (sched_getaffinity(0, sizeof mine, &mine) != 0)
        memset(&mine, 0xff, sizeof mine); /* more processors than the mask can tell */
    MPI_Allgather(&mine, sizeof mine, MPI_BYTE, masks, sizeof mine, MPI_BYTE, node);
    unsigned char has = 0;
    for (int r = 0; r <= at; r++)
        has = claim(&masks[r], &claimed);
    MPI_Allgather(&has, 1, MPI_BYTE, m->own_processor, 1, MPI_BYTE, MPI_COMM_WORLD);
    m->crowded = memchr(m->own_processor, 0, (size_t)nranks) != NULL;
    if (pretended != NULL)
        has = at < strtol(pretended, NULL, 10);
    MPI_Allgather(&has, 1, MPI_BYTE, m->base.has_processor, 1, MPI_BYTE, MPI_COMM_WORLD);
    free(masks);
    MPI_Comm_free(&node);
    return ERR_OK;
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
    enum err e = find_processors(m);
    if (e != ERR_OK)
        return e;
    if (open_mailboxes(m))
        m->base.ops = &shm_ops;
    err_set_rank(m->base.rank, m->base.nranks);
    err_set_abort(abort_all);
    *out = &m->base;
    return ERR_OK;
}
