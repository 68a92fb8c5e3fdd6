/*
 * The simulated machine: all parameters, and the wiring of its logical processes into an engine.
 */
#ifndef PARTITIONS_MACHINE_H
#define PARTITIONS_MACHINE_H

#include "cores/builtin.h"
#include "cores/core.h"
#include "memsys/dram_lp.h"
#include "memsys/llc_lp.h"
#include "mimicos/kernel.h"
#include "mimicos/ptimage.h"
#include "partitions/fuzz_lp.h"
#include "partitions/host_time.h"
#include "partitions/placement.h"
#include "pdes/control.h"
#include "pdes/engine.h"

enum sim_order { ORDER_WINDOWS, ORDER_QUEUE };

/* What concerns the run rather than a part of the machine. */
struct sim_params {
    uint64_t epoch_fs, seed, instructions, warmup, max_time_fs, control_latency_fs, cut_seed, fast_path, order;
    uint64_t perturb, perturb_memory_bytes, start_skew_fs, jitter_cycles; /* see perturb.h */
};

struct machine_params {
    struct sim_params sim;
    struct workload_params workload;
    struct core_params core;
    struct noc_params noc;
    struct llc_params llc;
    struct dram_params dram;
    struct kernel_params kernel;
    struct fuzz_params fuzz;
};

#define MACHINE_NGROUPS (CORE_NPARAM_GROUPS + 7)
void machine_param_groups(struct machine_params *p, struct param_group groups[MACHINE_NGROUPS]);

/* The last one only in multi-programmed runs; its rows are summed over cores and kernel. */
enum machine_component { COMPONENT_CORES, COMPONENT_LLC, COMPONENT_DRAM, COMPONENT_KERNEL, COMPONENT_PROGRAMS, NCOMPONENTS };

#define MACHINE_MAX_AREAS 8

/* Classes of LPs in the engine. */
enum machine_class { MACHINE_CONTROL, MACHINE_KERNEL, MACHINE_CORES, MACHINE_SLICES, MACHINE_CHANNELS, MACHINE_FUZZ };

/* Life: machine_create resolves parameters and adds every LP; machine_destroy after the run. */
struct machine {
    struct machine_params own_params; /* as configured, and then perturbed */
    const struct machine_params *params;
    struct placement placement;
    struct transport *tr;
    struct engine *engine;
    struct ptmem *ptmem;
    struct ptimage tables; /* what os.premap built before time 0 */
    double premap_seconds; /* how long that took on this host */
    struct kernel_area areas[MACHINE_MAX_AREAS];
    struct frontend *fe;
    struct timed_frontend timed; /* what the cores read `fe` through */
    struct noc noc;
    struct llc_lp_cfg llc;
    struct dram_lp_cfg dram;
    struct kernel_cfg kernel;
    struct control_cfg control;
    struct fuzz_cfg fuzz;
    struct core_cfg *cores; /* of every core; those of other ranks have no host cache */
    struct core_host *hosts;
    uint32_t ncores, nslices, nchannels;
    lpid_t control_id, kernel_id, first_core, first_slice, first_channel, fuzz_id;
    bool *program_flags; /* of a mix: all_start of each program, then vmas_inferred of each */
    struct stat_component components[NCOMPONENTS];
    uint32_t ncomponents; /* that the run has */
};

/* Cores that the parameters and the workload's threads give: core.count, 0: one per thread. */
uint32_t machine_ncores(const struct machine_params *p, uint32_t nthreads);

/*
 * Wires the machine on this rank. `fe` stays the caller's. `hooks` are the run's; the mirror hooks
 * in it are set here. `partition` as in placement.h.
 */
enum err machine_create(const struct machine_params *p, struct frontend *fe, const char *partition,
                        struct transport *tr, struct engine_hooks *hooks, struct machine *out);
void machine_destroy(struct machine *m);

/* Description of the statistics without a machine, for `describe`. */
void machine_components(uint32_t ncores, uint32_t nslices, uint32_t nchannels, uint32_t nprograms,
                        struct stat_component out[NCOMPONENTS]);

/* At an epoch boundary: this rank's part of the statistics of programs, rows[fe->nprograms]. */
void machine_program_stats(const struct machine *m, struct program_stats *rows);

/* The LP of instance `i` of a component whose instances are LPs. */
struct lp *machine_lp(const struct machine *m, enum machine_component c, uint32_t i);

/* This rank's LPs as one flat block (epoch boundaries only), and back. */
size_t machine_save_bytes(const struct machine *m);
void machine_save(const struct machine *m, void *buf);
enum err machine_load(struct machine *m, const void *buf, size_t nbytes);

#endif
