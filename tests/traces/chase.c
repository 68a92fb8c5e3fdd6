/*
 * Pointer chase: one load after the other, each at the address that the last one returned, over
 * `nodes` cache lines in random order. The smallest workload whose time is nothing but latency.
 *
 *     cc -O2 -static -I../../cores -o chase chase.c
 *     chase [nodes [hops]]
 */
#include "roi.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct node {
    struct node *next;
    uint64_t pad[7];
};

static uint64_t g_rng = 88172645463325252u;

static uint64_t rnd(void)
{
    g_rng ^= g_rng << 13;
    g_rng ^= g_rng >> 7;
    g_rng ^= g_rng << 17;
    return g_rng;
}

/* One cycle through all nodes (Sattolo). */
static void link_nodes(struct node *nodes, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        nodes[i].next = &nodes[i];
    for (uint64_t i = n - 1; i > 0; i--) {
        uint64_t j = rnd() % i;
        struct node *t = nodes[i].next;
        nodes[i].next = nodes[j].next;
        nodes[j].next = t;
    }
}

int main(int argc, char **argv)
{
    uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 1u << 18;
    uint64_t hops = argc > 2 ? strtoull(argv[2], NULL, 10) : 60000;
    struct node *nodes = aligned_alloc(64, n * sizeof *nodes);
    if (nodes == NULL)
        return 1;
    link_nodes(nodes, n);
    CONCERTO_ROI_BEGIN(1);
    struct node *p = nodes;
    for (uint64_t i = 0; i < hops; i++)
        p = p->next;
    CONCERTO_ROI_END(1);
    printf("%td\n", p - nodes);
    return 0;
}
