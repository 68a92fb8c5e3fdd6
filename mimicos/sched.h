/*
 * Threads: where they run, what they wait for, and the recorded order of map events and wakes.
 *
 * A thread is new until created, then ready (in the FIFO run queue) or on a core; it may wait for a
 * futex wake, for its turn in the order of map events (a call), or for a map event of another
 * thread (a mark); at last it has exited. Threads run until they block. A thread that waits for an
 * order keeps its core as long as nobody else wants it ("held").
 *
 * Map events of an address space carry numbers from 1 on and execute in that order (0: at once).
 * One that takes pages away waits also until each other live thread has passed all earlier events'
 * uses: it has reported that order, or waits inside a futex call, or has not started, or has
 * ended. A thread that waits for its own, later event has reported, so of the waiting threads the
 * one with the lowest number can always go on once the running ones reach their next mark; only a
 * missing event can stop a run. Whoever waits, waits for threads of its own space: a space with live
 * threads of which none can run is stuck for good.
 *
 * Pure: no clock, no messages. State is one flat block.
 */
#ifndef MIMICOS_SCHED_H
#define MIMICOS_SCHED_H

#include "pdes/types.h"

#define SCHED_NONE UINT32_MAX

enum thread_state {
    THREAD_NEW,
    THREAD_READY,
    THREAD_RUNNING, /* on a core, in user mode or in a handler */
    THREAD_FUTEX,
    THREAD_ORDER, /* its map call waits for its turn */
    THREAD_MARK,  /* waits until map event `wait` was executed */
    THREAD_EXITED
};

struct thread {
    uint32_t state; /* enum thread_state */
    uint32_t asid;
    uint32_t core; /* where it is, or was last; SCHED_NONE: nowhere yet */
    uint32_t call; /* THREAD_ORDER, and READY after it: the call to run; 0: none */
    uint32_t call_unmaps;
    uint32_t started;
    uint64_t order;  /* highest map order that it has passed */
    uint64_t wait;   /* wake id or map order */
    uint64_t arg[6]; /* of `call` */
    uint64_t pos[4]; /* where it goes on; opaque */
};

struct sched_core {
    uint32_t thread; /* SCHED_NONE: idle */
    uint32_t held;   /* `thread` waits for an order; the core may be taken from it */
};

struct sched_space {
    uint64_t order_done;   /* map events executed: all up to this one */
    uint32_t first_thread; /* thread numbers in events count from here */
    uint32_t nwaiting;     /* threads in THREAD_ORDER or THREAD_MARK */
    uint32_t nlive;        /* begun and not ended */
    uint32_t nrunnable;    /* ready or on a core */
};

struct sched_config {
    uint32_t ncores, nthreads, nspaces;
    uint64_t nwakes;                 /* wake ids are 1 ... nwakes in each space */
    const uint32_t *space_of_thread; /* NULL: all of space 0; threads of a space are neighbours */
};

struct sched {
    uint32_t ncores, nthreads, nspaces;
    uint32_t queue_first, queue_n, queue_high_water;
    uint64_t nwakes, wake_words;
    uint64_t threads_at, cores_at, spaces_at, queue_at, wakes_at; /* offsets from struct sched */
};

size_t sched_bytes(const struct sched_config *cfg);
void sched_init(struct sched *s, const struct sched_config *cfg);

struct thread *sched_thread(const struct sched *s, uint32_t thread);
struct sched_core *sched_core(const struct sched *s, uint32_t core);
struct sched_space *sched_space(const struct sched *s, uint32_t asid);

/*
 * Finds a place for a thread that can go on: its last core if idle, else the lowest idle core, else
 * the lowest held one (its thread loses it), else the run queue. Returns the core (the thread is
 * RUNNING there) or SCHED_NONE (it is READY).
 */
uint32_t sched_place(struct sched *s, uint32_t thread);
/* The thread of `core` leaves it in `state` (waiting or exited); the core is idle. */
void sched_leave(struct sched *s, uint32_t core, enum thread_state state);
/* Gives the idle core the next thread of the run queue; SCHED_NONE: there is none. */
uint32_t sched_pick(struct sched *s, uint32_t core);
/*
 * The thread of `core` waits for an order. True: it keeps the core; false: others are queued, so it
 * left.
 */
bool sched_wait(struct sched *s, uint32_t core, enum thread_state state);

/*
 * A waiting thread ends where it is. Returns the core that it held, which is idle now; SCHED_NONE:
 * it held none.
 */
uint32_t sched_kill(struct sched *s, uint32_t thread);
/* All threads of the space have ended or never began: it is as at the start, and keeps their last cores. */
void sched_restart(struct sched *s, uint32_t asid);

/* ---- futex ---- */

bool sched_wake_done(const struct sched *s, uint32_t asid, uint64_t wake);
/* Asserts wake <= nwakes with a text that names the limit. wake 0: nothing. */
void sched_wake_set(struct sched *s, uint32_t asid, uint64_t wake);
/* The first thread from `from` on that sleeps until `wake`; SCHED_NONE: none. */
uint32_t sched_next_sleeper(const struct sched *s, uint32_t asid, uint64_t wake, uint32_t from);

/* ---- map order ---- */

/* `thread` has passed map event `order`. */
void sched_report(struct sched *s, uint32_t thread, uint64_t order);
/* May `thread` run map event `order` now? */
bool sched_may_map(const struct sched *s, uint32_t thread, uint64_t order, bool unmaps);
void sched_map_done(struct sched *s, uint32_t asid, uint64_t order);
/* A waiting thread of the space whose condition holds now, lowest first; SCHED_NONE: none. */
uint32_t sched_next_released(const struct sched *s, uint32_t asid);
/* One line on what `thread` waits for, and on whom; false: it does not wait. */
bool sched_describe(const struct sched *s, uint32_t thread, char *buf, size_t size);

#endif
