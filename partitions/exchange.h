/*
 * What an exchange between ranks costs on this host: measured at the start of a profile, and by
 * `concerto exchange` (mpirun -np 2 concerto exchange; with --map-by node, between two nodes).
 */
#ifndef PARTITIONS_EXCHANGE_H
#define PARTITIONS_EXCHANGE_H

#include <stdio.h>

#include "partitions/predict.h"
#include "pdes/transport.h"

struct network {
    double latency_ns, bytes_per_ns;
    uint32_t node_ranks;
};

/* "LATENCY,BANDWIDTH,RANKS", such as 1500ns,12.5GB,64: latency, bytes a second, ranks of a node. */
enum err network_parse(const char *text, struct network *out);

/* What was measured, for a person; the rest of the costs are defaults. */
struct exchange_measured {
    int nranks, crowd; /* ranks between which it was measured; crowded ranks, 0: none */
    bool shared, messages;
};

/*
 * Costs for predict.h: on all ranks. Among this run's ranks when there are some, else between two that
 * are started for it (mpirun). Whatever cannot be measured has its default.
 */
void exchange_costs_find(struct transport *tr, const struct network *net, struct exchange_costs *costs,
                         struct exchange_measured *how);

/* One line a person can read. */
void exchange_print(FILE *f, const struct exchange_costs *c, const struct exchange_measured *how);

int exchange_main(int argc, char **argv); /* exchange */

#endif
