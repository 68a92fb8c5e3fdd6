/*
 * Inside of the engine: what its files share. engine.c makes, saves and restores it; engine_run.c sends,
 * runs LPs, and the windows of one process; engine_rounds.c the rounds of several ranks; engine_queue.c
 * the same LPs under one queue.
 */
#ifndef PDES_ENGINE_INSIDE_H
#define PDES_ENGINE_INSIDE_H

#include "pdes/engine.h"

/*
 * "Never" among the bounds and latencies of classes, so that the sum of two does not wrap around; more
 * than an hour of simulated time.
 */
#define BOUND_NEVER (UINT64_C(1) << 62)

struct lp_class {
    const char *name;
    struct lp **local;   /* LPs of this rank */
    simtime_t *next;     /* of each of these: the earliest thing pending */
    uint32_t nlocal, cap;
    uint32_t nlps; /* on all ranks */
    bool reacts;   /* its LPs do no more than that; all of a class, or none */
};

/* Batch to one rank: header, one bound per class that has LPs, messages, mirrored writes. */
struct batch_head {
    uint32_t nbytes, nwrites;
};

/* The batch to one rank, as it grows: room for the head comes first. */
struct outbox {
    char *data, *sent_data; /* the latter is under way */
    size_t bytes, cap, sent_cap;
    simtime_t sent[ENGINE_MAX_CLASSES]; /* earliest message in it for each class */
};

/*
 * What a send from one class to another looks up. The ways to a class are two: its own number to LPs of
 * this rank, ENGINE_MAX_CLASSES more to those of others.
 */
struct engine_edge {
    simtime_t usual; /* less than that makes a send unusual: the latency, or never if someone has to be told */
    uint64_t lane;   /* of inboxes */
};

struct engine {
    /* By class, what each send and each window look at. */
    simtime_t bound[ENGINE_MAX_CLASSES];  /* earliest thing pending on this rank */
    simtime_t until[ENGINE_MAX_CLASSES];  /* everything before it is done */
    simtime_t agreed[ENGINE_MAX_CLASSES]; /* the same on any rank or on the way, as of the last exchange */
    simtime_t patience[ENGINE_MAX_CLASSES]; /* a class can be so far behind and hold up nobody */
    struct engine_edge edges[ENGINE_MAX_CLASSES][2 * ENGINE_MAX_CLASSES]; /* [src][way to dst] */
    simtime_t latency[ENGINE_MAX_CLASSES][ENGINE_MAX_CLASSES];  /* [src][dst] */
    simtime_t distance[ENGINE_MAX_CLASSES][ENGINE_MAX_CLASSES]; /* [dst][src]: least over chains of edges */
    struct lp **lps; /* of the whole machine, by id */
    uint64_t digest;
    simtime_t epoch_end, closing_end;
    uint32_t nclasses, nlps, lps_cap;
    bool restored;         /* LPs were loaded, not started */
    struct lp_heap *heap;  /* one queue instead of windows */
    struct lp_class classes[ENGINE_MAX_CLASSES];
    struct engine_config cfg;
    struct engine_hooks hooks;
    struct transport *tr;
    size_t head_bytes; /* of a batch */
    struct outbox *outboxes; /* per rank */
    bool *takes_part;        /* per rank: it holds an LP, or is rank 0; the others sleep */
    int nparts;              /* ranks that take part */
    struct mirror_write *writes;
    uint32_t nwrites, writes_cap;
    simtime_t last_mirror;   /* of this rank's sender */
    simtime_t latest_mirror; /* known to this rank */
    simtime_t mirror_due;    /* readers have a write from then on to pass, or none */
    simtime_t readers_past;  /* every reader has passed what was written until then */
    simtime_t round_until[ENGINE_MAX_CLASSES]; /* how far each class goes in this round */
    bool patient[ENGINE_MAX_CLASSES]; /* classes that run after a round's batches are sent */
    const void **out, **in;
    size_t *out_bytes, *in_bytes;
    uint64_t epoch, ncuts;
    struct elog_filter log_filter;
    struct elog_rec *log;
    size_t nlog, log_cap;
    struct engine_host host;
    struct engine_probe probe;
    bool probed;             /* the round under way is watched */
    uint64_t idle_ns, nidle; /* of this round: not in LPs, in so many pieces */
    uint64_t nrounds;
};

extern const uint64_t engine_digest_keys[6];

uint64_t engine_now_ns(void);
void *engine_alloc(void *p, size_t bytes);
/* Finds the earliest pending thing of each LP and class of this rank anew. */
void engine_find_bounds(struct engine *e);

/* The least of bounds plus distances to class x: no message that follows from them can reach it before. */
static inline simtime_t engine_reach(const struct engine *e, const simtime_t *bounds, uint32_t x)
{
    simtime_t least = BOUND_NEVER;
    for (uint32_t y = 0; y < ENGINE_MAX_CLASSES; y++) /* bounds of those that do not exist are never */
        least = u64_min(least, bounds[y] + e->distance[x][y]);
    return least;
}

/* What a class sends is on its way at least so long. */
static inline simtime_t engine_nearest(const struct engine *e, uint32_t x)
{
    simtime_t nearest = BOUND_NEVER;
    for (uint32_t y = 0; y < e->nclasses; y++)
        nearest = u64_min(nearest, e->latency[x][y]);
    return nearest;
}

/* The shortest one of all. */
static inline simtime_t engine_round_trip(const struct engine *e)
{
    simtime_t round_trip = BOUND_NEVER;
    for (uint32_t x = 0; x < e->nclasses; x++)
        round_trip = u64_min(round_trip, e->distance[x][x]);
    return round_trip;
}

static inline struct inbox_lane *engine_lane(const struct lp *src, struct lp *dst)
{
    return &dst->inbox.lanes[src->edges[dst->way].lane];
}

/* A message that is in a slot which was taken from the inbox of the LP, to which it is sent. */
void engine_deliver(struct engine *e, struct lp *dst, struct msg *m);
void engine_take_mirror(struct engine *e, const struct mirror_write *w);
/* To an LP of another rank: where in its batch the message is to be written. */
struct msg *engine_send_remote(struct engine *e, const struct lp *dst, simtime_t time);

/* Runs class x, which has something to do from `next` on, up to `until`; some of the `n` are timed. */
void engine_run_class(struct engine *e, uint32_t x, simtime_t next, simtime_t until, uint64_t n);
/* All classes go as far as is safe, and the ranks exchange. */
void engine_round(struct engine *e);
/* Sends this rank's messages and bounds to all that take part, and receives theirs. */
void engine_exchange(struct engine *e);
void engine_choose_parts(struct engine *e);
/* Rank 0 tells the ranks that sleep that epochs end, of which the earliest thing pending is at `next`. */
void engine_rouse(struct engine *e, simtime_t next);
/* Of a rank that holds nothing: the run, up to its end. */
void engine_sleep(struct engine *e);

/* Runs one LP up to `until` and returns the time of what it does next. */
simtime_t engine_run_lp(struct engine *e, struct lp *lp, simtime_t until);
/* Whether sends are told to someone: the probe, or the heap. */
void engine_watch_sends(struct engine *e, bool watch);
/* Closes every epoch that nothing pending (the earliest at `next`) belongs to; true: stop. */
bool engine_close_epochs(struct engine *e, simtime_t next);

/* engine_run with one queue. */
void engine_queue_run(struct engine *e);
/* A message for `lp`, which may now be earlier than all it had. */
void engine_queue_wake(struct engine *e, struct lp *lp, simtime_t time);

#endif
