/*
 * A larger machine out of a measured one, for predictions: cores, LLC slices and DRAM channels `copies` times
 * over, each copy with the load that the measured ones had in another window of the log; the one kernel does
 * `copies` times as much; messages multiply, and go to slices anywhere.
 *
 * A window begins with the earliest thing that anything does and is as long as a round trip, so the gap
 * before it shrinks as there are more cores: gap / copies, by which windows become more and shorter.
 *
 * This is an extrapolation. It leaves out what larger machines really add: longer ways on the mesh,
 * queues for the kernel (which slow the simulated cores down, hence their load), and sharing between
 * threads. Checked with the graph workload over 64 MiB: from 8 cores and 2 channels to 64 and 16 it says speed-ups
 * of 1.62, 2.46, 3.42 and 4.69 on 2, 4, 8 and 16 ranks; a profile of the larger machine 1.69, 2.80, 4.28, 5.74.
 */
#ifndef PARTITIONS_SCALE_H
#define PARTITIONS_SCALE_H

#include "partitions/predict.h"

struct scale_shape {
    uint32_t ncores, nslices, nchannels; /* of the measured machine */
    lpid_t first_core, first_slice, first_channel;
    double window_fs, window_min_fs; /* mean length of its windows; a round trip */
};

/* The log as dense loads, at most SCALE_WINDOWS of them; freed by scale_free. */
struct scale;
enum err scale_create(const struct scale_shape *shape, const struct window_log *log, struct scale **out);
void scale_free(struct scale *s);

/*
 * Prediction for `copies` on `nranks` ranks, as if the run had as many windows as the sample. They are
 * placed as by partition auto.
 */
enum err scale_predict(const struct scale *s, const struct exchange_costs *costs, uint32_t copies, int nranks,
                       struct prediction *out);

#endif
