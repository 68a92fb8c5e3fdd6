/*
 * Walks a thread's records in program order: accesses, branches and events merged, each with the
 * instruction it belongs to.
 */
#ifndef CORES_TRACE_WALK_H
#define CORES_TRACE_WALK_H

#include "cores/frontend.h"

struct trace_item {
    uint64_t instr; /* instructions of the thread up to and with this record's */
    const struct access_rec *acc;   /* one of the three is set */
    const struct branch_rec *br;
    const struct fe_event *ev;
};

/* Position in a thread. All zero but `fe` and `thread`: its start. */
struct trace_walk {
    struct frontend *fe;
    uint32_t thread;
    uint64_t block; /* the next one to load */
    struct fe_block b;
    uint32_t iacc, ibr, iev;
    uint64_t at_access; /* instructions up to and with the last access, or the block's start */
    bool open;
};

/*
 * The next record into *out; out->acc, br and ev all NULL at the end of the thread. `walk->b` is
 * its block.
 */
enum err trace_walk_next(struct trace_walk *walk, struct trace_item *out);

/* Instructions of the thread, once the walk has reached its end. */
static inline uint64_t trace_walk_end(const struct trace_walk *w)
{
    return w->at_access + w->b.tail_gap;
}

#endif
