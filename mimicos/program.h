/*
 * Programs of a multi-programmed run: each has an address space of its own and starts anew when it
 * has ended, until every program has come to its end once.
 *
 * A pass ends when all threads that began have ended. With an instruction limit it also ends when
 * some thread was stopped by the limit and none of the others can run: what they wait for can only
 * come from threads of their own program, so they would wait for ever; they end where they are.
 * Then thread 0 is made ready again, first of all with the work of the old process's exit and of the
 * new one's exec, on whichever core it gets: areas and pages go, the whole space is flushed from
 * every core that may hold translations, frames and table nodes are freed, and the program runs from
 * its beginning. So the kernel's time for both is charged between two passes and never to a first
 * pass. Where no thread can run and no limit was met the recorded order is damaged, and the run
 * stops with a text that says who waits for whom.
 *
 * Not modelled: the shell that waits for the program, signals, the page cache's copy of the file
 * (pages of the program are mapped anew by faults), and the old process's exit on the core of its
 * last thread: it happens where the new one starts.
 *
 * Metrics that follow from the first passes: Eyerman and Eeckhout, System-level performance metrics
 * for multiprogram workloads, IEEE Micro 28(3), 2008. Restarting the shorter programs until all have
 * ended once keeps the contention up for the longest.
 */
#ifndef MIMICOS_PROGRAM_H
#define MIMICOS_PROGRAM_H

#include "pdes/desc.h"

#define MAX_PROGRAMS 256u

/*
 * Statistics of one program, in part from the cores (the first two), else from the kernel:
 * X(field, path, unit, kind, stamp, doc).
 */
/* clang-format off */
#define PROGRAM_STATS(X)                                                                              \
    X(instructions, "instructions", "1", DELTA, TOUCH, "user instructions of its threads, in all passes") \
    X(cycles, "cycles", "cycle", DELTA, TOUCH, "cycles of cores while one of its threads was assigned to them") \
    X(passes, "passes", "1", DELTA, COMPLETION, "times that it came to its end")                      \
    X(restarts, "restarts", "1", DELTA, COMPLETION, "times that it began anew, its old address space gone") \
    X(pass_instructions, "pass_instructions", "1", DELTA, COMPLETION, "user instructions of the passes that ended") \
    X(threads_limited, "threads/limited", "1", DELTA, ARRIVAL, "threads stopped by their instruction limit") \
    X(threads_killed, "threads/killed", "1", DELTA, COMPLETION, "threads that ended because they waited for stopped ones only") \
    X(freed_pages, "restart/pages", "1", DELTA, COMPLETION, "leaves unmapped between passes")         \
    X(restart_ns, "restart/ns", "ns", DELTA, COMPLETION, "from the end of a pass to the start of the next one's first thread") \
    X(first_end_fs, "first_pass/end", "fs", GAUGE, COMPLETION, "when it came to its end for the first time; 0: not yet") \
    X(first_instructions, "first_pass/instructions", "1", GAUGE, COMPLETION, "user instructions of its first pass; 0: not ended yet")
/* clang-format on */

struct program_stats {
#define X(field, path, unit, kind, stamp, doc) uint64_t field;
    PROGRAM_STATS(X)
#undef X
};

extern const struct stat_desc program_stat_rows[];
extern const uint32_t program_nstat_rows;

/* What the kernel knows of a program. */
struct program {
    struct program_stats stats;
    uint64_t pass_instructions; /* of the threads of this pass that have ended */
    uint64_t nlimited;          /* threads of this pass that were stopped by their limit */
    simtime_t ended_at;         /* end of the last pass */
};

struct kernel_ctx;

/* Thread `thread` asks to end after `ninstr` instructions. */
void program_thread_ends(const struct kernel_ctx *x, uint32_t thread, uint64_t ninstr, bool limited);
/* A thread of the space has stopped running: the pass may be over. Nothing without `cfg->mix`. */
void program_thread_rests(const struct kernel_ctx *x, uint32_t asid);

/* The work between two passes, on the core that thread 0 was given. */
void program_begin_exec(const struct kernel_ctx *x, uint32_t core);
void program_step_exec(const struct kernel_ctx *x, uint32_t core);
void program_end_exec(const struct kernel_ctx *x, uint32_t core);

#endif
