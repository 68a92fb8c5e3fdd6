/* See premap_share.h. */
#include "partitions/premap_share.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "mimicos/premap.h"

/* Where a rank's file can be found. */
struct offer {
    uint64_t host, pid, fd, nonce;
};

/* Each rank's value becomes known to all: one sum for each rank. */
static void share_values(struct transport *tr, uint64_t mine, uint64_t *all, size_t stride)
{
    for (int r = 0; r < tr->nranks; r++)
        all[(size_t)r * stride] = tr->ops->sum(tr, r == tr->rank ? mine : 0);
}

static void share_offer(struct machine *m, const struct offer *mine, struct offer *all)
{
    const size_t stride = sizeof *all / sizeof(uint64_t);
    share_values(m->tr, mine->host, &all->host, stride);
    share_values(m->tr, mine->pid, &all->pid, stride);
    share_values(m->tr, mine->fd, &all->fd, stride);
    share_values(m->tr, mine->nonce, &all->nonce, stride);
}

static int builder_of(const struct offer *all, int nranks, int kernel_rank, uint64_t host)
{
    if (all[kernel_rank].host == host)
        return kernel_rank;
    for (int r = 0; r < nranks; r++)
        if (all[r].host == host)
            return r;
    SIM_ASSERT(false, "no rank on host %llx", (unsigned long long)host);
}

/* A rank without the kernel builds in a state of its own and keeps the tables only. */
static enum err build(struct machine *m)
{
    struct lp *lp = engine_lp(m->engine, m->kernel_id);
    if (lp->state != NULL)
        return premap_build(lp->state, &m->kernel, &m->tables);
    size_t bytes = kernel_state_bytes(&m->kernel);
    void *state = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (state == MAP_FAILED)
        return err_log(ERR_MEMORY, "os.premap: no host memory for the kernel's state");
    enum err e = premap_build(state, &m->kernel, &m->tables);
    munmap(state, bytes);
    return e;
}

static struct offer my_offer(const struct machine *m, uint64_t host)
{
    return (struct offer){host, (uint64_t)getpid(), (uint64_t)m->tables.fd, m->tables.head.nonce};
}

/* The same on every rank. */
static enum err agree(struct machine *m, enum err e)
{
    uint64_t nfailed = m->tr->ops->sum(m->tr, e != ERR_OK);
    return e != ERR_OK || nfailed == 0 ? e : ERR_RUNTIME;
}

static enum err build_and_attach(struct machine *m, struct offer *all)
{
    struct transport *tr = m->tr;
    const char *transport = getenv("CONCERTO_TRANSPORT");
    bool apart = transport != NULL && strcmp(transport, "mpi") == 0; /* as if on hosts of their own */
    struct offer mine = {.host = apart ? (uint64_t)tr->rank + 1 : ptimage_host()};
    share_offer(m, &mine, all);
    int kernel_rank = m->placement.kernel, builder = builder_of(all, tr->nranks, kernel_rank, mine.host);
    enum err e = agree(m, tr->rank == builder ? build(m) : ERR_OK);
    if (e != ERR_OK)
        return e;
    mine = my_offer(m, mine.host);
    share_offer(m, &mine, all);
    const struct offer *o = &all[builder];
    if (tr->rank != builder && !ptimage_attach(&m->tables, o->pid, o->fd, o->nonce))
        e = build(m);
    return agree(m, e); /* nobody closes a file before all have it */
}

enum err machine_premap(struct machine *m)
{
    m->tables = PTIMAGE_NONE;
    if (!premap_wanted(&m->kernel))
        return ERR_OK;
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    struct offer *all = calloc((size_t)m->tr->nranks, sizeof *all);
    enum err e = agree(m, all == NULL ? err_log(ERR_MEMORY, "no host memory for ranks") : ERR_OK);
    if (e == ERR_OK)
        e = build_and_attach(m, all);
    if (e == ERR_OK)
        e = agree(m, ptmem_share(m->ptmem, m->tables.words, m->tables.pfns, m->tables.head.nnodes));
    free(all);
    clock_gettime(CLOCK_MONOTONIC, &end);
    m->premap_seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) * 1e-9;
    return e;
}
