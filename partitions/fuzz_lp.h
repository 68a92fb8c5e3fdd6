/*
 * The fuzz LP: a process beside the machine that sends what no program can time: invalidations of
 * random lines to cores, interrupts, and random page-table updates through the kernel. Its stream
 * is a pure function of its seed, so a machine with it must be as exact as one without.
 */
#ifndef PARTITIONS_FUZZ_LP_H
#define PARTITIONS_FUZZ_LP_H

#include "pdes/desc.h"
#include "pdes/lp.h"

struct fuzz_params {
    uint64_t seed;   /* 0: no fuzz LP */
    uint64_t events; /* then it falls silent */
    uint64_t mean_fs;
};
extern const struct param_desc fuzz_param_rows[];
extern const uint32_t fuzz_nparam_rows;

struct fuzz_cfg {
    const struct fuzz_params *params;
    uint32_t ncores;
    lpid_t first_core, kernel_lp;
    uint64_t memory_bytes;
    simtime_t to_core_fs, to_kernel_fs; /* declared latencies of its edges */
};

struct fuzz_state {
    uint64_t nsent;
    simtime_t next;
};

extern const struct lp_ops fuzz_lp_ops;

#endif
