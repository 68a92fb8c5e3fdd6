/*
 * The table at the end of a run. It is printed from a source of totals by counter name, so that
 * the same lines come out after a run and from its file. Lines whose counters a run does not have
 * are left out.
 */
#ifndef OUTPUT_SUMMARY_H
#define OUTPUT_SUMMARY_H

#include "pdes/desc.h"

#include <stdio.h>

/* A number that belongs to no counter: "instructions", "simulated_time" ... */
struct summary_item {
    const char *name;
    const char *unit;
    uint64_t value;
    const char *doc;
};

/* A conservation law over the whole run: "loads sent = loads answered". */
struct summary_check {
    const char *name;
    uint64_t left, right;
};

/*
 * Totals over the region of interest. Paths are "<component>/<row name>". Both functions return
 * false for a path that is unknown. The bins of a histogram are summed by `total`.
 */
struct summary_source {
    void *ctx;
    bool (*total)(void *ctx, const char *path, uint64_t *value_out);
    /* One value per instance; *values_out is good until the next call. */
    bool (*per_instance)(void *ctx, const char *path, const uint64_t **values_out, size_t *n_out);
    /* The i-th path with its unit and kind; false at the end. For lines that list what is there. */
    bool (*path_at)(void *ctx, size_t i, const char **path_out, const char **unit_out,
                    enum stat_kind *kind_out);

    const char *title; /* the workload or the file */
    simtime_t simulated_fs, roi_fs;
    uint64_t nepochs;
    bool has_roi;  /* the totals are those of a marked region, not of the whole run */
    bool complete;
    double host_seconds; /* 0: unknown */
    uint64_t nranks;
    const struct summary_item *items;
    size_t nitems;
    const struct summary_check *checks;
    size_t nchecks;
    const char *const *warnings;
    size_t nwarnings;
    const char *const *not_modelled;
    size_t nnot_modelled;
};

void summary_print(FILE *f, const struct summary_source *source);

#endif
