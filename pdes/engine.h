/*
 * The engine: runs the LPs of one rank in conservative windows.
 *
 * Every rank knows, per LP class, a lower bound of the next thing that any LP of that class does, on
 * its own rank and on the others. From these and the declared minimum latency of each edge between
 * classes follows how far each class may run: safe[X] = min over Y of (bound[Y] + distance[Y][X]),
 * the distance being the least latency over chains of messages. In one process the class that is
 * behind, and cannot wait, runs up to its safe time, then the one that is now behind; nothing is ever
 * exchanged. Several ranks go in rounds: every class runs up to its safe time, and the ranks exchange what
 * they sent and how far they are; classes whose messages are long on their way (DRAM) run while the
 * others' are awaited. Two rounds are about a round trip of the simulated machine, and an idle machine
 * skips ahead. Windows never show in results: `cut_seed` shortens them at random to prove it.
 */
#ifndef PDES_ENGINE_H
#define PDES_ENGINE_H

#include "pdes/lp.h"
#include "pdes/transport.h"

#define ENGINE_MAX_CLASSES 6 /* each window looks at all of them */

/* One mirrored write; see lp_mirror. */
struct mirror_write {
    simtime_t time;
    paddr_t addr;
    uint64_t value;
    uint32_t writer;
    uint32_t reserved;
};

struct engine_hooks {
    void *ctx;        /* of epoch and idle */
    void *mirror_ctx; /* of the two next */
    /* A mirrored write reached this rank (in sender order). */
    void (*mirror)(void *ctx, const struct mirror_write *w);
    /* No LP of class `mirror_reader_class` on any rank acts before `floor` any more. */
    void (*mirror_floor)(void *ctx, simtime_t floor);
    /*
     * All LPs have passed the boundary at `end` of epoch number `epoch`; called on every rank.
     * Returns true to stop the run; all ranks must return the same.
     */
    bool (*epoch)(void *ctx, uint64_t epoch, simtime_t end);
    /* Nothing is pending anywhere; called on every rank. True: the run is over; false: deadlock. */
    bool (*idle)(void *ctx);
};

struct engine_config {
    simtime_t epoch_fs;
    simtime_t mirror_latency_fs; /* least distance of a mirrored write's time from the sender's now */
    uint32_t mirror_writer_class; /* the one class that may call lp_mirror (one LP) */
    uint32_t mirror_reader_class;
    uint64_t cut_seed; /* 0: full windows; else cut at random */
    /* One process: all LPs under one queue in the order of time, without windows; to compare with. */
    bool one_queue;
};

/*
 * Host-side figures of one rank; wall-clock, never part of /stats. Classes are timed in one window
 * of some thirty: class_ns are shares of run_ns, not sums. A rank alone does not time its running.
 */
struct engine_host {
    uint64_t nwindows;   /* stretches that one class ran; of several ranks, or profiled: pairs of rounds */
    uint64_t nexchanges; /* with all other ranks */
    uint64_t nmessages_remote, nbytes_remote, ndelivered;
    uint64_t wait_ns, run_ns, exchange_ns, epoch_ns;
    uint64_t class_ns[ENGINE_MAX_CLASSES];
};

/*
 * Whoever wants to know what each LP costs the host. With a probe, also one process runs as many do, in
 * rounds: in each, all classes go as far as the bounds allow that the last exchange told; two rounds are
 * about a round trip, and are called the phases of a window here. `begin` chooses the phases that are
 * watched (the same on all ranks if it has to be); in these each LP that did something is timed, and
 * each message told.
 */
struct engine_probe {
    void *ctx;
    bool (*begin)(void *ctx, uint64_t window, unsigned phase);
    /* `lp` was busy for `ns`, and handled `nmsgs` messages. */
    void (*ran)(void *ctx, const struct lp *lp, uint64_t ns, uint64_t nmsgs);
    /* A message; dst LPID_NONE: a mirrored write, which goes to every rank. */
    void (*sent)(void *ctx, lpid_t src, lpid_t dst);
    /* The phase is over, its exchange is not; `idle_ns` went to LPs with nothing to do, in `nidle` pieces. */
    void (*end)(void *ctx, unsigned phase, uint64_t idle_ns, uint64_t nidle);
};

enum err engine_create(const struct engine_config *cfg, const struct engine_hooks *hooks,
                       struct transport *tr, struct engine **out);
void engine_destroy(struct engine *e);

/* Declares a class; returns its index. */
uint32_t engine_add_class(struct engine *e, const char *name);
/* Least latency of any message from class `src` to class `dst`; undeclared edges may not be used. */
void engine_add_edge(struct engine *e, uint32_t src, uint32_t dst, simtime_t min_latency_fs);
simtime_t engine_edge(const struct engine *e, uint32_t src, uint32_t dst);
/* Least latency of any chain of messages; src == dst: the shortest round trip. After engine_run began. */
simtime_t engine_distance(const struct engine *e, uint32_t src, uint32_t dst);

/*
 * Adds the next LP (ids count up from 0, in the same order on all ranks). State of `state_bytes`,
 * zeroed, is allocated only on rank `rank`.
 */
enum err engine_add_lp(struct engine *e, const struct lp_ops *ops, uint32_t cls, uint32_t instance,
                       const void *cfg, size_t state_bytes, int rank, lpid_t *id_out);
struct lp *engine_lp(struct engine *e, lpid_t id);
uint32_t engine_nlps(const struct engine *e);

/* Runs to the end of the simulation (a hook says stop, or nothing is left). */
enum err engine_run(struct engine *e);

/* In an `epoch` hook, and so in lp_ops.stats: end of the epoch that closes. */
simtime_t engine_epoch_end(const struct engine *e);

/* Order-independent digest of all delivered messages of this rank's LPs (sum over ranks = machine's). */
uint64_t engine_digest(const struct engine *e);
const struct engine_host *engine_host(const struct engine *e);
/* Before engine_run; the probe is copied. */
void engine_set_probe(struct engine *e, const struct engine_probe *probe);

/*
 * The event log: what to keep (LPs log what their log_mask asks for), and the records of this rank
 * since the last call, unordered; they are the engine's and good until the simulation goes on.
 */
void engine_log_filter(struct engine *e, const struct elog_filter *filter);
const struct elog_rec *engine_log_take(struct engine *e, size_t *n_out);

/*
 * At an epoch boundary only: the size of, and a flat copy of, every LP of this rank with its
 * in-flight messages. engine_load restores into an engine with the same LPs.
 */
size_t engine_save_bytes(const struct engine *e);
void engine_save(const struct engine *e, void *buf);
enum err engine_load(struct engine *e, const void *buf, size_t nbytes);

#endif
