/*
 * Descriptors: statistics and parameters are declared once, as rows of a table. From the rows
 * follow the HDF5 datasets and their attributes, the configuration keys with their checks, the
 * `describe` command and the reference pages.
 */
#ifndef PDES_DESC_H
#define PDES_DESC_H

#include "pdes/types.h"

/* ---- statistics ---------------------------------------------------------------------------- */

enum stat_kind {
    STAT_DELTA, /* counter; the file holds its increase per epoch */
    STAT_GAUGE, /* value at the end of the epoch */
    STAT_HIST   /* `nbins` counters; bin i counts values with floor(log2(v)) == i - 1, bin 0: v == 0 */
};

/* When an occurrence is counted: which simulated time decides its epoch. */
enum stat_stamp { STAMP_TOUCH, STAMP_COMPLETION, STAMP_ARRIVAL };

/* One row. `offset` is the byte offset of a uint64_t (or of nbins of them) in the LP's stats struct. */
struct stat_desc {
    const char *name; /* path below the component, "dtlb/l1_hits" */
    const char *unit; /* UCUM word: "1", "ns", "cycle", "byte" */
    enum stat_kind kind;
    enum stat_stamp stamp;
    uint32_t nbins; /* 1 but for STAT_HIST */
    size_t offset;
    const char *doc;
};

/* A table of statistics with the number of machine parts that carry one set each. */
struct stat_component {
    const char *name;          /* HDF5 group below /stats: "cores", "llc", "dram", "kernel" */
    const char *instance_axis; /* what one instance is: "core", "slice", "channel" */
    const struct stat_desc *rows;
    uint32_t nrows;
    uint32_t ninstances;
    uint32_t nvalues; /* uint64_t values of one instance: sum of nbins */
};

/* ---- parameters ---------------------------------------------------------------------------- */

enum param_type {
    PARAM_COUNT, /* plain non-negative integer; "k", "M", "G" = 10^3, 10^6, 10^9 accepted */
    PARAM_BOOL,  /* true|false, yes|no, on|off */
    PARAM_SIZE,  /* bytes: "48KiB", "2MiB", "1GiB" or a plain number */
    PARAM_TIME,  /* femtoseconds: "13.75ns", "1us", "500ps"; a unit is required unless 0 */
    PARAM_FREQ,  /* hertz: "3GHz", "2.9GHz", "200MHz" */
    PARAM_ENUM,  /* one word of `choices`; stored as its index */
    PARAM_TEXT   /* a string; stored in char[PARAM_TEXT_BYTES] */
};
#define PARAM_TEXT_BYTES 256

/* One key. All numeric types are stored as uint64_t at `offset` of the group's struct. */
struct param_desc {
    const char *name;
    enum param_type type;
    const char *unit; /* for people: "cycle", "entry", "byte", "" */
    const char *def;  /* default, as it would be written in a file */
    uint64_t min, max;
    const char *const *choices; /* NULL-terminated, for PARAM_ENUM */
    size_t offset;
    const char *doc;
};

/* A component's keys: "<prefix>.<name>". `base` is the struct that receives the values. */
struct param_group {
    const char *prefix; /* "core", "tlb.l1d4k", "dram" */
    const char *doc;
    const struct param_desc *rows;
    uint32_t nrows;
    void *base;
};

#endif
