/*
 * A logical process (LP): a state, a message handler and `advance(until)`.
 *
 * Life: the wiring adds every LP of the machine on every rank (only the owner allocates state) and
 * declares the minimum latency of each edge between classes; `start` runs once at time 0; then the
 * engine alternates `advance` (private work strictly before the next message) and `handle` (one
 * message, in the total order) below the LP's safe time; at each epoch boundary `stats` copies the
 * counters out. State is one flat block without pointers, so that it can be saved and moved.
 *
 * The order that makes results exact: a message at time t is handled before private work at t.
 */
#ifndef PDES_LP_H
#define PDES_LP_H

#include "pdes/desc.h"
#include "pdes/elog.h"
#include "pdes/err.h"
#include "pdes/inbox.h"
#include "pdes/msg.h"
#include "pdes/types.h"

struct lp;
struct engine;
struct engine_edge;

struct lp_ops {
    const char *name; /* class name in messages: "core" */
    /* Time 0. State is zeroed. May send. */
    void (*start)(struct lp *lp);
    /* One message; lp->now == m->time. May send. */
    void (*handle)(struct lp *lp, const struct msg *m);
    /*
     * A message that has this first argument is on its way: the host may fetch what handling it will look at. Changes nothing.
     * NULL: it does not.
     */
    void (*fetch)(const struct lp *lp, uint64_t a0);
    /*
     * Does all private work strictly before `until` (lp->now is the LP's to set, never backwards)
     * and returns the time of its next private action (>= until), SIM_NEVER if it waits for a
     * message. NULL: the LP only reacts.
     */
    simtime_t (*advance)(struct lp *lp, simtime_t until);
    /*
     * Copies the cumulative counters (stat_component.nvalues values) to `row_out`; once at the end of
     * each epoch, which may close accounts. NULL: none.
     */
    void (*stats)(struct lp *lp, uint64_t *row_out);
    /* At the end of a run that drained: asserts the LP's own conservation. NULL: nothing to check. */
    void (*check)(struct lp *lp);
    /* What the LP waits for, for the deadlock report. NULL: nothing. */
    void (*describe)(struct lp *lp, char *buf, size_t size);
    /* Kinds of events that an LP of this class can log; at most 64. */
    const struct elog_desc *events;
    uint32_t nevents;
};

/*
 * One LP. `state` is owned by the engine of the rank that runs it (NULL elsewhere); `cfg` is shared,
 * read-only and not part of the state.
 */
struct lp {
    /* What sending to it and running it touch comes first. */
    _Alignas(64) struct inbox inbox;
    simtime_t *next; /* the engine's: when it has something to do; NULL: another rank runs it */
    uint32_t way;    /* the engine's: column of the table of edges that leads here */
    lpid_t id;
    struct engine *engine;
    const struct engine_edge *edges; /* the engine's: row of the table of edges that go from here */
    simtime_t now;                   /* time of the message or action in progress */
    uint64_t seq;                    /* model messages sent so far */
    uint32_t cls;                    /* class index that engine_add_class returned */
    uint32_t instance;               /* number within the class */
    void *state;
    const void *cfg;
    const struct lp_ops *ops;
    simtime_t next_private; /* what the last `advance` returned */
    simtime_t advanced;     /* `until` of the last `advance` */
    uint64_t ndelivered;
    uint64_t log_mask; /* bit k: events of kind k are logged */
    uint64_t nlogged;
    size_t state_bytes;
    int rank;
};

/*
 * Sends a model message that arrives at `time`. Asserts time >= lp->now + the declared minimum
 * latency of the edge between the two classes. The message is copied. Flags travel in the upper half
 * of `type`, as they lie in the message: MSG_TYPE(MEM_READ, LINE_PT).
 */
#define MSG_TYPE(type, flags) ((uint32_t)(type) | (uint32_t)(flags) << 16)
/* The first half of lp_send: the message is on its way, but says nothing yet. */
struct msg *lp_post(struct lp *lp, lpid_t dst, simtime_t time, uint32_t type);
static inline void lp_send(struct lp *lp, lpid_t dst, simtime_t time, uint32_t type, uint32_t arg, uint64_t a0,
                           uint64_t a1, uint64_t a2, uint64_t a3)
{
    struct msg *m = lp_post(lp, dst, time, type);
    m->type = (uint16_t)type;
    m->flags = (uint16_t)(type >> 16);
    m->arg = arg;
    m->a[0] = a0;
    m->a[1] = a1;
    m->a[2] = a2;
    m->a[3] = a3;
}

/* Tells an LP of this rank to fetch what it needs for a message that was just sent to it; see lp_ops. */
void lp_fetch(const struct lp *lp, lpid_t dst, uint64_t a0);

/* Are events of this kind asked for? Then lp_log makes a record, as of lp->now. */
#define lp_logs(lp, kind) __builtin_expect((lp)->log_mask >> (kind) & 1, 0)
void lp_log(struct lp *lp, uint32_t kind, const uint64_t a[ELOG_NFIELDS]) __attribute__((cold));
/* LOG(lp, KIND, values...): the record, if it is asked for. */
#define LP_LOG(lp_, kind_, ...)                                                 \
    (lp_logs(lp_, kind_) ? lp_log(lp_, kind_, (const uint64_t[ELOG_NFIELDS]){__VA_ARGS__}) : (void)0)

/*
 * Writes 8 bytes of simulated memory that every rank mirrors (page tables): visible from `time` on.
 * `writer` is the LP on whose behalf it is done (LPID_NONE: nobody's). Mirror times of one sender
 * never go back. Asserts time >= now + engine's mirror latency.
 */
void lp_mirror(struct lp *lp, simtime_t time, paddr_t addr, uint64_t value, lpid_t writer);

#endif
