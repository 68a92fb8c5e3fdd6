/*
 * Turns journal records into a statistics file and totals. A live run and `recover` both go
 * through here: what a run writes is always what its journal says.
 */
#ifndef OUTPUT_REPLAY_H
#define OUTPUT_REPLAY_H

#include "output/stats_file.h"
#include "output/journal.h"
#include "output/codec.h"

struct replay_mark {
    const char *name;
    uint64_t epoch;
};

struct replay {
    struct arena arena; /* of info, marks and end */
    struct recorder_info info;
    size_t nvalues, nhost;
    struct stats_writer *file; /* NULL: totals only */

    uint64_t *row; /* decoded epoch */
    double *host;
    bool *is_gauge;     /* [nvalues] */
    uint64_t *run, *roi; /* totals so far */
    simtime_t end_fs, roi_fs;
    uint64_t nepochs, roi_nepochs;

    struct replay_mark *marks; /* those that are not in force yet come last */
    size_t nmarks, nmarks_applied;
    bool roi_begun, roi_active, has_roi;

    bool has_end;
    struct recorder_end end;
};

/* Starts from a schema record. `path` NULL: no file. Errors are logged; nothing to free then. */
enum err replay_start(struct replay *p, const void *schema, size_t length, const char *path);
/* An epoch, mark or end record. */
enum err replay_apply(struct replay *p, enum journal_type type, const void *payload,
                      size_t length);
/* Completes the file with the totals and the end record, if there was one. */
enum err replay_finish(struct replay *p);
/* Frees everything; a file that was not finished stays as it is. */
void replay_free(struct replay *p);

void replay_totals(const struct replay *p, struct stats_totals *totals_out);

/* Forces `part` to the disk and gives it its final name. */
enum err replay_publish(const char *part, const char *path);

#endif
