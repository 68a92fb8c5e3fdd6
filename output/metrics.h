/*
 * The few ratios by which runs are compared: IPC, cycles, misses per thousand instructions, walk
 * and fault latency. One row each; `concerto run --repeat` and `concerto compare` print them.
 */
#ifndef OUTPUT_METRICS_H
#define OUTPUT_METRICS_H

#include "output/interval.h"

#include <stdio.h>

#define METRIC_TERMS 4u

/* scale x sum(over) / sum(under); without `under` the sum itself. A term "?x" may be missing. */
struct metric {
    const char *name, *unit;
    double scale;
    const char *over[METRIC_TERMS], *under[METRIC_TERMS];
};

extern const struct metric metrics[];
extern const size_t nmetrics;

/* `total` as in struct summary_source. False: a counter is missing, or nothing to divide by. */
bool metric_value(const struct metric *m, bool (*total)(void *ctx, const char *path, uint64_t *value_out),
                  void *ctx, double *value_out);

/* "1.234 +-0.012"; the half width is left out where it is infinite. */
const char *interval_text(struct interval i, char *buf, size_t size);

/* One table: mean and interval of each metric over n runs; values[metric * n + run], NAN: none. */
void metrics_print(FILE *f, const double *values, size_t n);

#endif
