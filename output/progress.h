/*
 * The progress line of rank 0: one line that rewrites itself on a terminal; elsewhere nothing,
 * unless asked for, and then a plain line every 30 seconds. Wall time is used for people only.
 */
#ifndef OUTPUT_PROGRESS_H
#define OUTPUT_PROGRESS_H

#include "pdes/types.h"

#include <stdio.h>

enum progress_mode {
    PROGRESS_AUTO,   /* on a terminal only */
    PROGRESS_FORCED, /* --progress */
    PROGRESS_QUIET   /* --quiet */
};

/* Held by the caller; fields are private. */
struct progress {
    FILE *f;
    enum progress_mode mode;
    bool tty;
    bool line_open;
    double start_s, shown_s;
    uint64_t shown_instructions;
    double rate; /* smoothed instructions per second */
};

/* `f` is where to write, normally stderr. */
void progress_init(struct progress *p, FILE *f, enum progress_mode mode);

/* Where the run is. `goal` 0: unknown, and neither percent nor ETA are shown. */
struct progress_state {
    uint64_t done, goal; /* in any unit: instructions, records, femtoseconds */
    uint64_t instructions;
    uint64_t nepochs;
    simtime_t now;
};
/* Cheap to call often: it writes at most four times a second on a terminal. */
void progress_update(struct progress *p, const struct progress_state *s);
/* Takes the line away, so that a message can be printed. */
void progress_clear(struct progress *p);
/* Ends the line. */
void progress_end(struct progress *p);

/* Wall time since progress_init. */
double progress_seconds(const struct progress *p);

#endif
