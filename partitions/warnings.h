/*
 * What a reader of the results must know before believing them: each warning says a number, what it
 * means for the result, and what to do. Everything it is computed from is the same on any number
 * of ranks.
 */
#ifndef PARTITIONS_WARNINGS_H
#define PARTITIONS_WARNINGS_H

#include "output/summary.h"
#include "partitions/machine.h"

#define WARNINGS_MAX 16u
#define WARNING_BYTES 512u

/* Entries of a structure that were ever filled, in all instances together. */
struct warmth {
    uint64_t stlb, l2, llc;
};

struct warning_facts {
    const struct machine *m;
    const struct summary_source *region; /* totals of the region of interest */
    struct warmth begin, end;            /* of the region; begin is zero when it is all of the run */
    const char *stopped;                 /* why the run ended early; NULL: it did not */
    uint64_t nlimited, nstarted;         /* threads that reached their limit; threads that began */
    uint64_t ninstructions;              /* of the whole run, all threads */
    uint64_t nsegv, nunknown, nkilled; /* nkilled: threads of a mix that ended with their pass */
};

/* Writes each into texts[] and returns how many there are. */
size_t warnings_find(const struct warning_facts *f, char texts[WARNINGS_MAX][WARNING_BYTES]);

#endif
