/*
 * What a run reports: epochs gathered from all ranks to the recorder, and the facts of its end
 * (conservation, warnings, what is not modelled, host time).
 */
#ifndef PARTITIONS_REPORT_H
#define PARTITIONS_REPORT_H

#include "configs/config.h"
#include "output/progress.h"
#include "output/recorder.h"
#include "partitions/machine.h"
#include "partitions/mix_report.h"
#include "partitions/warnings.h"

struct report_options {
    const char *output; /* NULL: no file */
    enum progress_mode progress;
    const char *command_line;
    const char *trace; /* NULL: built-in workload */
    bool silent;       /* no summary */
    unsigned repeat, nrepeats; /* of --repeat; only repeat 0 prints its summary */
    double *metrics; /* [nmetrics] of metrics.h, set by report_close on rank 0; NAN: none. NULL: not asked for */
    struct mix_report *mix; /* of a multi-programmed run: takes its results; else NULL */
    bool alone;             /* one of its programs alone: one line instead of the summary */
};

/* Life: report_open before the run, report_epoch at each boundary, report_close at the end. */
struct report {
    struct machine *m;
    const struct machine_params *params;
    struct recorder *recorder; /* rank 0 */
    struct progress progress;
    uint64_t *values[NCOMPONENTS]; /* rank 0: [instance][value], cumulative, of the last boundary */
    uint64_t *send;                /* this rank's rows */
    uint64_t *receive;             /* rank 0: all rows, by rank */
    size_t send_bytes, *rank_bytes;
    double *host; /* rank 0: [rank][column] */
    double output_s; /* rank 0: spent in the recorder */
    struct warmth warm_begin, warm_end; /* rank 0: where the region of interest begins and ends */
    bool roi_begun, region_ended;
    uint64_t nepochs;
    simtime_t end;
    struct report_options options; /* its texts are not kept */
    bool in_flight;                /* the run ended at a boundary with messages under way */
};

enum err report_open(struct report *r, struct machine *m, const struct config *config,
                     const struct report_options *o);
/* On every rank. Records the epoch; errors of the output end all ranks. */
void report_epoch(struct report *r, simtime_t end);
/* A mark in front of the next epoch. */
void report_mark(struct report *r, const char *name);
/* How the run ended. */
struct report_ending {
    const char *why;             /* it was stopped before its end; NULL: it was not */
    uint64_t nlimited, nstarted; /* threads stopped by their limit; threads that began */
};
/* On every rank. Prints the summary on rank 0. */
enum err report_close(struct report *r, const struct report_ending *ending);

#endif
