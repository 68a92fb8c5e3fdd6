/*
 * What makes one repeat of a run differ from another: sim.perturb. A deterministic simulator gives
 * one number where a real machine gives a distribution; which frames are free, where areas lie and
 * when threads begin are accidents of a run, and a design that wins only under one of them does not
 * win (Alameldeen and Wood, "Variability in Architectural Simulations of Multi-threaded Workloads",
 * HPCA 2003, who draw a few nanoseconds for each miss).
 *
 * 0 is the reference: no draw is made. Repeat i draws everything from (sim.seed, i), so that it can
 * be had alone by sim.perturb=i and is as exact as any run.
 */
#ifndef PARTITIONS_PERTURB_H
#define PARTITIONS_PERTURB_H

#include "cores/relocate.h"
#include "partitions/machine.h"

/*
 * Kernel parameters: where occupied pieces lie (os.seed), the first frames taken in whole blocks
 * of 4 MiB, up to sim.perturb_memory and to 1/16 of the memory. A premap image gets the repeat's
 * number as its ending, since its tables lie elsewhere.
 */
void perturb_params(struct machine_params *p);
/* Single frames taken at boot, and when each thread of the start begins. */
void perturb_kernel(const struct machine_params *p, struct kernel_cfg *k);
/* Where the areas of traces lie (instance 0): another layout, unless it is not random. */
struct relocate_params perturb_layout(const struct machine_params *p);
/* What each DRAM read takes longer. */
void perturb_dram(const struct machine_params *p, simtime_t core_period_fs, struct dram_lp_cfg *d);

#endif
