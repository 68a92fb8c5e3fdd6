/*
 * The recorder of a run: takes one matrix of values per epoch and component, and leaves an HDF5
 * file that a notebook reads in one line. Rank 0 owns it; nobody else touches it.
 *
 * Its life: recorder_open creates `path.part` and `path.jnl` at once, so that an unwritable place
 * is found before the simulation starts. Each recorder_epoch first appends one checked record to
 * the journal, which is the guarantee that nothing is lost, and then buffers whole HDF5 chunks.
 * recorder_close writes the rest and the summary, renames `path.part` to `path` and removes the
 * journal: a file without ".part" is whole. After a crash, `concerto recover path.jnl` rebuilds
 * the file from the journal by the same code.
 */
#ifndef OUTPUT_RECORDER_H
#define OUTPUT_RECORDER_H

#include "output/summary.h"
#include "pdes/desc.h"
#include "pdes/err.h"

struct recorder;

/* One resolved configuration key, for a typed attribute of /config. */
struct recorder_key {
    const char *name;
    enum param_type type;
    uint64_t value;   /* numbers in base units; unused for enums and texts */
    const char *text; /* as written: the attribute of enums and texts */
};

/* A named fact: a text, or a number when `text` is NULL. A text may hold several lines. */
struct recorder_fact {
    const char *name;
    const char *text;
    uint64_t value;
};

/* A column of /host: one double per rank and epoch. */
struct recorder_host_column {
    const char *name; /* "wall_time", "blocked_time", "messages" */
    const char *unit; /* "s", "1", "byte" */
    const char *doc;
};

/* Everything is copied by recorder_open. Counts of 0 go with NULL pointers. */
struct recorder_info {
    const char *path; /* of the finished file; NULL: no file, only totals for the summary */
    const struct stat_component *components;
    size_t ncomponents;
    const char *config_text; /* effective YAML */
    const struct recorder_key *keys;
    size_t nkeys;
    const struct recorder_fact *provenance;
    size_t nprovenance;
    uint64_t nranks;
    const char *const *host_names; /* [nranks], or NULL */
    const struct recorder_host_column *host_columns;
    size_t nhost_columns;
};

enum err recorder_open(const struct recorder_info *info, struct recorder **out);

/*
 * Records the epoch that ends at `end_time` (it must not go back). values[component] points to
 * [ninstances][nvalues], each instance as its stats struct lies in memory (recorder_open checks
 * that the rows are in the order of the struct and leave nothing out): counters and histograms
 * CUMULATIVE since the start of the run, gauges as they are. `host_values` is
 * [nranks][nhost_columns]. Nothing is kept of the arguments.
 */
enum err recorder_epoch(struct recorder *r, simtime_t end_time, const uint64_t *const *values,
                        const double *host_values);

/*
 * Marks the boundary in front of epoch `epoch` (counted from 0), which must not be recorded yet.
 * The region of interest is every epoch between a "roi-begin" and the next "roi-end"; without any
 * "roi-begin", all epochs from the last "warmup-end" on, or the whole run.
 */
enum err recorder_mark(struct recorder *r, const char *name, uint64_t epoch);

/* Number of epochs recorded so far: the epoch index that recorder_epoch gives next. */
uint64_t recorder_nepochs(const struct recorder *r);

/* What the program found out in the end. Copied into the file; read back by `concerto info`. */
struct recorder_end {
    bool complete; /* false: stopped by a limit or by an error */
    const struct recorder_fact *provenance; /* joined to that of recorder_open; same name: replaces */
    size_t nprovenance;
    const struct summary_item *items; /* model-wide numbers, the same on any number of ranks */
    size_t nitems;
    const struct summary_check *checks; /* conservation: both sides must be equal */
    size_t nchecks;
    const char *const *warnings;
    size_t nwarnings;
    const char *const *not_modelled;
    size_t nnot_modelled;
    double host_seconds;
};

/*
 * Ends the file and frees the recorder in any case; `end` may be NULL to leave the journal and the
 * partial file as they are (after an error). The finished file is the run's only trace.
 */
enum err recorder_close(struct recorder *r, const struct recorder_end *end);

/*
 * The summary of what is recorded so far, with the program's last words; the source points into
 * `r` and `end` and is good until the next call with `r`.
 */
void recorder_summary(struct recorder *r, const struct recorder_end *end,
                      struct summary_source *source_out);

/* ---- commands on finished files; argv[0] is the command's own name --------------------------- */

int recover_main(int argc, char **argv); /* recover run.h5.jnl [-o out.h5] [-f] */
int compare_main(int argc, char **argv); /* compare a.h5 b.h5 [--all | --exact]: 0 equal, 1 different */
int info_main(int argc, char **argv);    /* info run.h5 [--config | --provenance] */

/*
 * Compares all that lies under /stats of two files and writes one line about the first difference
 * (dataset, epoch, instance, both values) to `f`. ERR_OK: equal; ERR_RUNTIME: different.
 */
enum err stats_file_compare(const char *a, const char *b, FILE *f);

/*
 * What differs between two runs, for a person: configuration, metrics, counters (`all`, or those
 * that changed most), cycle stack. Just "equal" when nothing does. Same results.
 */
enum err stats_file_explain(const char *a, const char *b, bool all, FILE *f);

/* The effective configuration of an earlier run, for --config-from; the caller frees it. */
enum err stats_file_config(const char *path, char **text_out);

/* Calls `each` with every integer below /stats/summary: "run/cores/loads", "roi/cores/loads"... */
enum err stats_file_summary(const char *path,
                            void (*each)(void *ctx, const char *name, uint64_t value), void *ctx);

#endif
