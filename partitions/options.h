/* The command line of `concerto run`. */
#ifndef PARTITIONS_OPTIONS_H
#define PARTITIONS_OPTIONS_H

#include "pdes/err.h"

#include <stdio.h>

#define OPTIONS_MAX 64
#define OPTIONS_REPEATS_MAX 1000

/* The commands that simulate; all take what `run` takes. */
enum run_mode { MODE_RUN, MODE_LOG, MODE_EXPLAIN };

struct run_options {
    const char *files[OPTIONS_MAX]; /* configuration files, in order */
    int nfiles;
    const char *traces[OPTIONS_MAX];
    int ntraces;
    char *sets[2 * OPTIONS_MAX]; /* "key=value", owned */
    int nsets;
    const char *mix;         /* programs of a multi-programmed run; NULL: it is none */
    const char *alone;       /* files of its programs' runs alone */
    const char *output;      /* NULL: no file */
    const char *partition;   /* "auto" */
    char *partition_profile; /* "profile:FILE", owned; what `partition` then is */
    const char *network;     /* of --profile-parallelism; NULL: the default */
    const char *config_from; /* an earlier statistics file */
    const char *ranks;       /* --ranks N: start mpirun ourselves */
    unsigned nrepeats;       /* --repeat N; 1: one run */
    int dump_config, progress, quiet, help, no_alone, profile;
    /* log and explain */
    enum run_mode mode;
    const char *event, *page, *core, *time, *vaddr, *nth_miss;
    int json;
    int brackets; /* the run, and twice more with the order of loads replaced */
};

/* argv[0] is the command: run, log or explain. ERR_USAGE after a message that names the option and its nearest known one. */
enum err options_parse(int argc, char **argv, struct run_options *out);
void options_free(struct run_options *o);
void options_help(FILE *f, enum run_mode mode);

#endif
