/*
 * Breadth-first search of a random graph by several threads, level by level: the threads take
 * chunks of the frontier, claim unvisited neighbours with a compare-and-swap, and meet at a barrier
 * after each level. The graph is built before the region of interest.
 *
 *     cc -O2 -static -pthread -I../../cores -o bfs bfs.c
 *     bfs [scale [edge limit [threads]]]        2^scale vertices of 64 bytes, 16 edges each
 *
 * The search stops at the first level that begins beyond the edge limit, or when the limit for one
 * level is used up, so that a short trace still touches all of the graph. The tree is checked.
 */
#include "roi.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define DEGREE 16u
#define CHUNK 32u
#define MAX_THREADS 64u
#define NSOURCES 8u
#define NOBODY UINT32_MAX

struct vertex {
    uint32_t parent, level;
    uint32_t first_edge, nedges;
    uint64_t payload[6];
};

static struct {
    struct vertex *v;
    uint32_t *edges;
    uint32_t *frontier, *next;
    uint64_t nvertices, nfrontier, nnext, taken;
    uint64_t edge_limit, nedges_seen;
    uint32_t level;
    unsigned nthreads;
    pthread_barrier_t barrier;
} g;

static uint64_t g_rng = 88172645463325252u;

static uint64_t rnd(void)
{
    g_rng ^= g_rng << 13;
    g_rng ^= g_rng >> 7;
    g_rng ^= g_rng << 17;
    return g_rng;
}

static void build(uint64_t scale)
{
    g.nvertices = UINT64_C(1) << scale;
    g.v = aligned_alloc(64, g.nvertices * sizeof *g.v);
    g.edges = malloc(g.nvertices * DEGREE * sizeof *g.edges);
    g.frontier = malloc(g.nvertices * sizeof *g.frontier);
    g.next = malloc(g.nvertices * sizeof *g.next);
    if (!g.v || !g.edges || !g.frontier || !g.next)
        exit(1);
    for (uint64_t i = 0; i < g.nvertices; i++) {
        g.v[i] = (struct vertex){NOBODY, 0, (uint32_t)(i * DEGREE), DEGREE, {i}};
        for (unsigned k = 0; k < DEGREE; k++)
            g.edges[i * DEGREE + k] = (uint32_t)(rnd() & (g.nvertices - 1));
    }
    for (unsigned s = 0; s < NSOURCES; s++) {
        uint32_t u = (uint32_t)(rnd() & (g.nvertices - 1));
        if (g.v[u].parent == NOBODY)
            g.frontier[g.nfrontier++] = u;
        g.v[u].parent = u;
    }
}

/* Claims the neighbours of `u` and appends them to `mine`. */
static unsigned expand(uint32_t u, uint32_t *mine, uint32_t level)
{
    unsigned n = 0;
    const struct vertex *from = &g.v[u];
    for (uint32_t e = from->first_edge; e < from->first_edge + from->nedges; e++) {
        struct vertex *to = &g.v[g.edges[e]];
        uint32_t nobody = NOBODY;
        if (__atomic_load_n(&to->parent, __ATOMIC_RELAXED) == NOBODY &&
            __atomic_compare_exchange_n(&to->parent, &nobody, u, 0, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
            to->level = level;
            mine[n++] = g.edges[e];
        }
    }
    return n;
}

static void run_level(uint32_t level)
{
    uint32_t mine[CHUNK * DEGREE];
    for (;;) {
        uint64_t at = __atomic_fetch_add(&g.taken, CHUNK, __ATOMIC_RELAXED);
        if (at >= g.nfrontier || at * DEGREE > g.edge_limit)
            return;
        uint64_t end = at + CHUNK < g.nfrontier ? at + CHUNK : g.nfrontier;
        unsigned n = 0;
        for (uint64_t i = at; i < end; i++)
            n += expand(g.frontier[i], mine + n, level);
        uint64_t to = __atomic_fetch_add(&g.nnext, n, __ATOMIC_RELAXED);
        for (unsigned i = 0; i < n; i++)
            g.next[to + i] = mine[i];
    }
}

static void swap_frontiers(void)
{
    uint32_t *t = g.frontier;
    g.nedges_seen += g.nfrontier * DEGREE;
    g.frontier = g.next;
    g.next = t;
    g.nfrontier = g.nedges_seen < g.edge_limit ? g.nnext : 0;
    g.nnext = g.taken = 0;
    g.level++;
}

static void *work(void *arg)
{
    (void)arg;
    while (g.nfrontier > 0) {
        run_level(g.level + 1);
        if (pthread_barrier_wait(&g.barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
            swap_frontiers();
        pthread_barrier_wait(&g.barrier);
    }
    return NULL;
}

static int check(void)
{
    uint64_t reached = 0;
    for (uint64_t i = 0; i < g.nvertices; i++) {
        uint32_t p = g.v[i].parent;
        if (p == NOBODY)
            continue;
        reached++;
        if (p != i && g.v[i].level != g.v[p].level + 1)
            return 1;
    }
    printf("reached %llu of %llu vertices in %u levels\n", (unsigned long long)reached,
           (unsigned long long)g.nvertices, g.level);
    return 0;
}

int main(int argc, char **argv)
{
    pthread_t threads[MAX_THREADS];
    uint64_t scale = argc > 1 ? strtoull(argv[1], NULL, 10) : 18;
    g.edge_limit = argc > 2 ? strtoull(argv[2], NULL, 10) : 120000;
    g.nthreads = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 4;
    if (scale < 4 || scale > 26 || g.nthreads < 1 || g.nthreads > MAX_THREADS)
        return 2;
    build(scale);
    pthread_barrier_init(&g.barrier, NULL, g.nthreads);
    CONCERTO_ROI_BEGIN(1);
    for (unsigned i = 1; i < g.nthreads; i++)
        pthread_create(&threads[i], NULL, work, NULL);
    work(NULL);
    for (unsigned i = 1; i < g.nthreads; i++)
        pthread_join(threads[i], NULL);
    CONCERTO_ROI_END(1);
    return check();
}
