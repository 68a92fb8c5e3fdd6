/*
 * PHOLD, the standard benchmark of parallel discrete-event engines, on Concerto's engine: events
 * hop between LPs; it tells what an event, a window and an exchange cost.
 * Source: Fujimoto, "Performance of Time Warp under synthetic workloads", SCS 1990.
 */
#ifndef PARTITIONS_PHOLD_H
#define PARTITIONS_PHOLD_H

/* `concerto phold [--lps N] [--events-per-lp N] [--remote PERCENT] [--lookahead NS] [--mean NS] [--time US]` */
int phold_main(int argc, char **argv);

#endif
