/*
 * How handlers run in time: blocks, answers, locks, shootdowns and threads on cores. The part of
 * the kernel LP below its messages (kernel_lp.c).
 *
 * A handler is cut into blocks. A block's calls change the kernel's state at its start; its
 * segments go to the core at once, each to arrive when the previous one ends; its page-table writes
 * become visible `mirror latency` after the last of them was replayed (commit); at its end the next
 * block starts, or the handler is over and the answer leaves. The answer never arrives before the
 * writes, of this handler or of another, that it relies on are visible.
 *
 * Locks: a handler of a map call runs alone in its address space; two faults exclude each other in
 * one 2 MiB region (1 GiB where pages may be that large). Whoever comes later waits in order of arrival, and its core with it; state
 * changes when a handler starts, so functional order is lock order.
 */
#ifndef MIMICOS_KERNEL_RUN_H
#define MIMICOS_KERNEL_RUN_H

#include "mimicos/kernel.h"

/* What every function here needs. */
struct kernel_ctx {
    struct lp *lp;
    struct kernel *k;
    const struct kernel_cfg *cfg;
    struct mm *mm;
    struct sched *s;
};

struct kernel_ctx kernel_ctx_of(struct lp *lp);
struct thread *kernel_thread_on(const struct kernel_ctx *x, uint32_t core);
/* When an answer that leaves now arrives. */
simtime_t kernel_answer_time(const struct kernel_ctx *x);

/* An empty block; fill it, then start it. */
struct krun *kernel_open_block(const struct kernel_ctx *x);
/* Its segments leave, its commit and its end are due. */
void kernel_start_block(const struct kernel_ctx *x, uint32_t core);
/* The writes of the core's block become visible: a private action at commit_at. */
void kernel_commit(const struct kernel_ctx *x, uint32_t core);

/* The two answers that let a thread run; the core's handler is over. */
void kernel_send_resume(const struct kernel_ctx *x, uint32_t core);
void kernel_send_switch(const struct kernel_ctx *x, uint32_t core);

/* The core's thread has left: switches to the next one, or idles. */
void kernel_next_thread(const struct kernel_ctx *x, uint32_t core);
/* Calls or marks of the address space may go on: those whose condition holds now do. */
void kernel_release(const struct kernel_ctx *x, uint32_t asid);
/* A thread can go on: on its held core at once, on another through a switch, or queued. */
void kernel_place(const struct kernel_ctx *x, uint32_t thread);
/* Wake event `wake` happens: whoever sleeps until it goes on. */
void kernel_execute_wake(const struct kernel_ctx *x, uint32_t asid, uint64_t wake);

/* Starts the fault or map call that stands in the core, or lets it wait for others. */
void kernel_take_lock(const struct kernel_ctx *x, uint32_t core);
/* Starts the pending map call of the core's thread. */
void kernel_begin_map(const struct kernel_ctx *x, uint32_t core);
/* A handler ended: starts those that waited for it. */
void kernel_pass_locks(const struct kernel_ctx *x);

/* Orders every core that may hold translations of the handler's range to drop them. */
void kernel_start_flush(const struct kernel_ctx *x, uint32_t core);
void kernel_flush_acknowledged(const struct kernel_ctx *x, uint64_t flush_id);
/* Nobody can use the unmapped pages any more: the handler's last block, or more while any are left. */
void kernel_free_pages(const struct kernel_ctx *x, uint32_t core);

/* What the kernel can log. */
enum kernel_event { KE_FAULT, KE_CALL, KE_OP, KE_LOCK, KE_VISIBLE, KE_FLUSH, KE_FLUSHED, KE_ANSWER, KE_COUNT };
extern const struct elog_desc kernel_events[KE_COUNT];

_Noreturn void kernel_stop_without_frames(const struct kernel_ctx *x);

#endif
