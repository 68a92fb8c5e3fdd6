/*
 * The layout of the statistics file. Rows of epochs come in decoded form, from a live run or from
 * a journal, and go out as whole chunks.
 *
 *     /                     format, format_version, complete (set last), epochs
 *     /stats/time/          epoch, end (ns), end_fs, marks {name, epoch}
 *     /stats/<component>/   id; <row> u64[epoch, instance], hist u64[epoch, instance, bin] with
 *                           <row>_bins, the bin edges
 *     /stats/summary/       items as attributes; groups run, roi: one attribute per counter;
 *                           checks: pairs that must be equal
 *     /config               one typed attribute per key; dataset text
 *     /host                 columns f64[epoch, rank], rank_names
 *     /provenance           attributes
 *
 * Every dataset has units, description, kind and, below /stats, stamp.
 */
#ifndef OUTPUT_STATS_FILE_H
#define OUTPUT_STATS_FILE_H

#include "output/recorder.h"

#define STATS_FORMAT "concerto-stats"
#define STATS_FORMAT_VERSION "1.0"
#define STATS_BLOCK_EPOCHS 64u   /* rows that are buffered and written together */
#define STATS_BLOCK_EPOCHS_MIN 16u
#define STATS_BLOCK_SECONDS 10.0 /* or sooner, so that a reader can follow */

struct stats_writer;

/* Sums of a run, in the order of one epoch's values. */
struct stats_totals {
    const uint64_t *run, *roi; /* [codec_nvalues] */
    simtime_t end_fs, roi_fs;
    uint64_t nepochs, roi_nepochs;
    bool has_roi;
};

/* `info` must outlive the writer. Errors of all calls are logged and are ERR_OUTPUT. */
enum err stats_writer_create(const char *path, const struct recorder_info *info,
                             struct stats_writer **out);
enum err stats_writer_epoch(struct stats_writer *w, simtime_t end_time, const uint64_t *values,
                            const double *host);
enum err stats_writer_mark(struct stats_writer *w, const char *name, uint64_t epoch);
/* Writes the rest and closes. Frees `w` in any case. `end` NULL: only what is known from totals. */
enum err stats_writer_finish(struct stats_writer *w, const struct stats_totals *totals,
                             const struct recorder_end *end);
/* Leaves the file as it is on the disk. */
void stats_writer_abandon(struct stats_writer *w);

#endif
