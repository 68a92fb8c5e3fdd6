/*
 * The CPI stack of a core: every cycle in which a thread is assigned to the core has one cause.
 *
 * The stack is that of dispatch (Eyerman, Du Bois, Eeckhout: "Multi-stage CPI stacks", IEEE CAL 2018):
 * a cycle belongs to what kept the next instruction from dispatching in it. The accounting clock
 * `upto` follows the dispatch clock; nothing is charged twice and nothing is left out, so that in
 * every epoch the causes add up to `cycles` (asserted whenever statistics are copied out).
 *
 * The rule that attributes overlap: while dispatch waits because a queue is full, or for everything
 * older to complete, it waits for the oldest access that is not complete, and each cycle of the wait
 * goes to what that access was doing in it: waiting for arithmetic between a producer and its address
 * (base), in the TLBs (tlb), in a walk or the queue for one (walk), then with its line, by the level
 * that served it (l1, l2, llc, dram). What younger accesses did meanwhile is hidden and costs
 * nothing; what the access did while dispatch still went on is hidden, too. A full store queue
 * waits for its oldest store's line in the same way.
 *
 * At the end of an epoch an access may be unanswered. The cycles so far count in this epoch, by what
 * is known then: a walk as walk, a line as dram. A wait whose end lies in a later epoch already known
 * is split at the boundary.
 */
#ifndef CORES_CPI_H
#define CORES_CPI_H

#include "pdes/types.h"

/* X(CAUSE, name, doc); the name is that of the statistic stack/<name>. */
/* clang-format off */
#define CPI_CAUSES(X) \
    X(BASE, base, "dispatching, or waiting for arithmetic that depends on a load") \
    X(BRANCH, branch, "from a mispredicted branch to the first instruction behind it") \
    X(FETCH, fetch, "waiting for a line of code") \
    X(L1, l1, "waiting for the oldest access, which hits L1D or an older store") \
    X(L2, l2, "waiting for the oldest access, whose line is in L2") \
    X(LLC, llc, "waiting for the oldest access, whose line is in the LLC") \
    X(DRAM, dram, "waiting for the oldest access, whose line comes from memory") \
    X(TLB, tlb, "waiting for the oldest access, which is in the L1 TLB or the STLB") \
    X(WALK, walk, "waiting for the oldest access or the next instruction, which waits for a page walk") \
    X(FAULT, fault, "from a page fault to the first instruction after its handler") \
    X(KERNEL, kernel, "system calls, interrupts and shootdowns, with the refill after them") \
    X(SYNC, sync, "in a call that waits for another thread, while the core is kept for this one")
/* clang-format on */

enum cpi_cause {
#define X(cause, name, doc) CPI_##cause,
    CPI_CAUSES(X)
#undef X
        CPI_NCAUSES
};

/* Cycles that are charged already and lie behind the end of the running epoch, in their order. */
struct cpi_ahead {
    uint64_t cycles;
    uint64_t cause;
};

struct cpi {
    uint64_t upto;      /* cycles before this one have their cause */
    uint64_t epoch_end; /* cycle at which the running epoch ends */
    uint32_t nahead, ahead_size;
};

struct core;
struct core_ctx;

/* Entries of the array that struct cpi needs for a window of so many accesses and stores. */
uint32_t cpi_ahead_size(uint64_t naccesses);

/* The thread dispatches from cycle `at` on: accounting begins there. */
void cpi_begin(struct core *c, uint64_t at);

/* Cycles up to `to` go to `cause`, as far as they have none. */
void cpi_charge(struct core *c, enum cpi_cause cause, uint64_t to);

/* Dispatch waits until access `no`, the oldest that it waits for, completes (its `done` is known). */
void cpi_wait_access(struct core *c, uint64_t no);

/* Dispatch waits until the oldest store's line is there, at cycle `fill`, by `level`. */
void cpi_wait_store(struct core *c, unsigned level, uint64_t fill);

/* Dispatch has stood still and does so at least until cycle `to`, whatever it waits for. */
void cpi_wait_unknown(const struct core_ctx *x, uint64_t to);

/* A core in the kernel leaves it at cycle `at`. */
void cpi_leave_kernel(struct core *c, uint64_t at);

/*
 * The running epoch ends at cycle `end` and the next one at `next_end`: every cycle before `end` has
 * its cause afterwards. What lies behind stays out of `stats` until cpi_next_epoch.
 */
void cpi_close_epoch(const struct core_ctx *x, uint64_t end);
void cpi_next_epoch(struct core *c, uint64_t next_end);

/* Sum over all causes. */
uint64_t cpi_total(const struct core *c);

#endif
