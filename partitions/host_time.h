/*
 * Where the time of the host goes, rank by rank: always measured, since it costs next to nothing (the
 * engine times its classes of LPs in one window of some thirty; blocks of a trace and epochs are rare).
 *
 * wall = compute + wait + exchange + boundaries + set-up. Compute is split into cores (decoding the trace
 * included), LLC slices and DRAM channels, and kernel, in the shares of the sampled windows.
 */
#ifndef PARTITIONS_HOST_TIME_H
#define PARTITIONS_HOST_TIME_H

#include <stdio.h>

#include "cores/frontend.h"
#include "output/recorder.h"
#include "pdes/engine.h"

/* clang-format off */
/* Name, unit, label in the table ("": not shown there), meaning. Seconds since the start of the run. */
#define HOST_COLUMNS(X)                                                                                   \
    X(wall_time,     "s",    "",            "wall time since the start of the run, at the end of the epoch") \
    X(run_time,      "s",    "compute",     "of this, advancing the logical processes of this rank")      \
    X(core_time,     "s",    "  cores",     "of run_time: cores, reading the trace included (sampled)")   \
    X(trace_time,    "s",    "    trace",   "of core_time: reading and decoding the trace, or computing the built-in workload") \
    X(memory_time,   "s",    "  memory",    "of run_time: LLC slices and DRAM channels (sampled)")        \
    X(kernel_time,   "s",    "  kernel",    "of run_time: the kernel, and the control process (sampled)") \
    X(wait_time,     "s",    "wait",        "of wall_time: in the transport, waiting for other ranks")    \
    X(exchange_time, "s",    "exchange",    "of wall_time: packing and delivering messages of other ranks") \
    X(epoch_time,    "s",    "epoch ends",  "of wall_time: gathering statistics at the ends of epochs, output_time included") \
    X(output_time,   "s",    "  output",    "of epoch_time: writing journal and HDF5 (rank 0)")           \
    X(messages,      "1",    "",            "messages sent to other ranks so far")                        \
    X(bytes,         "byte", "",            "bytes sent to other ranks so far")                           \
    X(windows,       "1",    "",            "windows so far; of one process: stretches of a class of parts") \
    X(exchanges,     "1",    "",            "exchanges with all other ranks so far")                      \
    X(memory_peak,   "byte", "",            "largest resident size so far")
/* clang-format on */

enum host_column {
#define X(name, unit, label, doc) HOST_##name,
    HOST_COLUMNS(X)
#undef X
        NHOST
};
extern const struct recorder_host_column host_columns[NHOST];

/* A front end that passes everything on to another one and times its loads. */
struct timed_frontend {
    struct frontend base;
    struct frontend *inner;
    uint64_t load_ns;
};
void timed_frontend_init(struct timed_frontend *t, struct frontend *inner);

/* What the columns are made of. */
struct host_time_source {
    const struct engine_host *engine;
    int nranks;
    double wall_s, output_s;
    uint64_t load_ns;
    uint32_t core_classes, kernel_classes, memory_classes; /* bit x: class x of the engine */
};
void host_time_row(const struct host_time_source *s, double row[NHOST]);

/*
 * One line for one process, a compact table for more; rows[nranks][NHOST]. `array_bytes`: what the modelled arrays of all
 * cores and slices take of the memory.
 */
void host_time_print(FILE *f, const double *rows, int nranks, uint64_t ninstructions, double array_bytes);

#endif
