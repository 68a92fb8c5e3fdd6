/*
 * Window log: what each logical process cost the host, and whom it sent messages to, in a sample of the
 * windows of a run. The sample is bounded: every window at first, then, whenever the log is full, the
 * half of them whose numbers hash lowest; so it is spread evenly over the run and the same on all ranks,
 * which log the LPs they run and are merged at the end.
 *
 * Host time of an LP is by the monotonic clock, less the cost of reading it. When the host took the
 * processor away (the thread's own time of the phase is shorter), the longest thing of the phase gives up
 * the difference. What an LP costs when it has the host's caches to itself is not known.
 */
#ifndef PARTITIONS_WINDOW_LOG_H
#define PARTITIONS_WINDOW_LOG_H

#include "pdes/engine.h"

struct lp_load {
    lpid_t lp;
    uint32_t nmsgs; /* messages that it handled */
    uint64_t ns;
};

struct lp_sent {
    lpid_t src, dst; /* dst LPID_NONE: a mirrored write, to every other rank */
};

/* One phase of one window; the arrays belong to whoever made it. */
struct phase_log {
    uint64_t window;
    uint32_t phase, nloads, nsent, reserved;
    uint64_t idle_ns; /* asking LPs that had nothing to do */
    const struct lp_load *loads;
    const struct lp_sent *sent;
};

struct window_log {
    uint32_t max_windows, nwindows; /* in the log */
    unsigned halvings;              /* windows are kept whose hash has so many leading zero bits */
    char *bytes;                    /* phase_log (arrays follow it) one after the other */
    size_t nbytes, cap;
    uint64_t total_windows; /* of the run so far */
    uint64_t clock_ns, cpu_clock_ns; /* cost of reading the clock, and the thread's */
    uint64_t nprobed, nclocks;       /* phases watched so far, and readings of the clock in them */
    uint64_t cpu_start_ns;
    /* the phase under way */
    struct phase_log now;
    struct lp_load *loads;
    struct lp_sent *sent;
    size_t loads_cap, sent_cap;
};

/* `max_windows` of the sample; at least 2. */
enum err window_log_create(struct window_log *l, uint32_t max_windows);
void window_log_free(struct window_log *l);
/* The probe that fills it, and what it has cost so far, about. */
struct engine_probe window_log_probe(struct window_log *l);
double window_log_overhead_ns(const struct window_log *l);

/* On all ranks: rank 0's log becomes that of all. */
enum err window_log_gather(struct window_log *l, struct transport *tr);

/* Goes through the log: *at is 0 at first. False: no more. */
bool window_log_next(const struct window_log *l, size_t *at, struct phase_log *out);

/* Adds a phase, as the probe does; for tests and for whoever makes a log by hand. */
void window_log_add(struct window_log *l, const struct phase_log *p);

#endif
