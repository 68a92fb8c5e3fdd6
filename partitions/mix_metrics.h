/*
 * How well programs share a machine, from their first passes alone and together.
 *
 * With C the cycles of a program's pass alone and together (here: instructions per time, so that a
 * pass cut by an instruction limit compares as well), over n programs:
 *
 *   slowdown (normalised turnaround time)  NTT = C together / C alone      1: as if alone
 *   ANTT      mean of NTT                  lower is better: what a user of the machine feels
 *   STP       sum of 1 / NTT               higher is better: programs' worth of progress, up to n;
 *                                          the weighted speed-up of Snavely and Tullsen
 *   fairness  least 1 / NTT over greatest  1: all are slowed down alike
 *
 * Sources: Eyerman and Eeckhout, System-level performance metrics for multiprogram workloads, IEEE
 * Micro 28(3), 2008 (NTT, ANTT, STP); Gabor, Weiss and Mendelson, Fairness and throughput in switch on
 * event multithreading, MICRO 2006 (fairness).
 */
#ifndef PARTITIONS_MIX_METRICS_H
#define PARTITIONS_MIX_METRICS_H

#include "pdes/types.h"

#define PPM UINT64_C(1000000)

/* A first pass: instructions and time from its start to its end. time 0: it did not end. */
struct mix_pass {
    uint64_t instructions;
    simtime_t time_fs;
};

struct mix_metrics {
    uint64_t antt_ppm, stp_ppm, fairness_ppm;
};

/* NTT in parts per million, to the nearest; 0: one of the passes is missing. */
uint64_t mix_slowdown_ppm(const struct mix_pass *alone, const struct mix_pass *together);
/* False when a pass is missing. `n` programs. */
bool mix_metrics_of(const struct mix_pass *alone, const struct mix_pass *together, uint32_t n,
                    struct mix_metrics *out);

#endif
