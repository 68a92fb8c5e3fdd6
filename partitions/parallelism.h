/*
 * `run --profile-parallelism`: how many ranks are worth while? The run is watched (window_log.h), the costs
 * of an exchange are measured (exchange.h), and the time on any number of ranks is predicted (predict.h),
 * for the machine of this run and, extrapolated, for larger ones (scale.h). Says what limits each.
 * Nothing of it shows in /stats.
 */
#ifndef PARTITIONS_PARALLELISM_H
#define PARTITIONS_PARALLELISM_H

#include "partitions/exchange.h"
#include "partitions/machine.h"
#include "partitions/window_log.h"

/* Life: open before the run, on all ranks; begin and end around engine_run; close afterwards. */
struct parallelism {
    struct machine *m;
    struct window_log log;
    struct exchange_costs costs;
    struct exchange_measured how;
    double wall_s, cpu_s; /* of engine_run: at first the start, then the duration */
    unsigned char *kinds; /* enum loss of each LP */
};

/* `network` NULL: the default. */
enum err parallelism_open(struct parallelism *p, struct machine *m, const struct network *network);
void parallelism_begin(struct parallelism *p);
void parallelism_end(struct parallelism *p);
/*
 * Prints the tables on rank 0 and, with `output` (the statistics file x.h5), writes x.profile for
 * --partition-profile. `end` is the simulated time at the end.
 */
enum err parallelism_close(struct parallelism *p, simtime_t end, const char *output);

#endif
