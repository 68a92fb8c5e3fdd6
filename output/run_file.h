/*
 * A finished statistics file as totals over its region of interest, with its configuration and the
 * facts that say what was run; and a set of them: a run and its repeats.
 *
 * The repeats of `x.h5` lie beside it as x.r1.h5, x.r2.h5, ... (`concerto run --repeat`): the same
 * configuration but for sim.perturb, the same workload and the same program.
 */
#ifndef OUTPUT_RUN_FILE_H
#define OUTPUT_RUN_FILE_H

#include "pdes/desc.h"
#include "pdes/err.h"

struct run_key {
    char *name, *value; /* as the effective configuration writes it */
};

struct run_counter {
    char *path; /* "cores/loads" */
    char *unit;
    enum stat_kind kind;
    uint64_t total; /* a histogram's bins, and instances, are summed */
};

struct run_file {
    char *path;
    struct run_key *keys; /* in the order of the configuration */
    size_t nkeys;
    struct run_counter *counters; /* by path */
    size_t ncounters;
    char *workload, *version, *git, *stopped_by; /* NULL: not in the file */
    uint64_t seed;
    bool complete;
};

enum err run_file_load(const char *path, struct run_file **out);
void run_file_free(struct run_file *r);
/* NULL: none of that name. */
const char *run_file_key(const struct run_file *r, const char *name);
const struct run_counter *run_file_counter(const struct run_file *r, const char *path);
/* As in struct summary_source; ctx is the run_file. */
bool run_file_total(void *ctx, const char *path, uint64_t *value_out);

#define RUN_SET_MAX 1000u

struct run_set {
    struct run_file **runs; /* [0] is the file that was named */
    size_t n;
};

/* Path of repeat `i` (0: the path itself) in buf. */
const char *run_set_path(const char *path, unsigned i, char *buf, size_t size);
/* Loads `path` and its repeats. A sibling of another run is left out, with a warning. */
enum err run_set_load(const char *path, struct run_set *out);
void run_set_free(struct run_set *s);

#endif
