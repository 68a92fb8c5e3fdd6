/*
 * Messages between cores and the MimicOS kernel. The kernel is the server.
 *
 * Threads: the kernel schedules threads of a process on cores (run until block; a woken thread goes
 * to its last core if idle, else to the lowest idle core, else to the run queue). A thread's
 * position in its instruction stream travels with it, so that it may continue on any core.
 *
 * Requests (core -> kernel; `arg` = thread index for all but acknowledgements):
 *   K_FAULT     a[0] vaddr, a[1] flags (KF_*)                          answered by K_SEG... K_RESUME
 *   K_CALL      flags = fe_event type, a[0..3] = event arguments a[0..3], and for events with more a
 *               second message K_CALL_MORE first (a[0..1] = arguments 4 and 5)
 *                                                                     answered by K_SEG... K_RESUME,
 *               or, when the thread blocks, by K_SWITCH (no thread to run: K_IDLE)
 *   K_POS       sent right before each K_CALL, waiting K_MARK and K_EXIT: a[0..3] = the thread's
 *               position after it (opaque to the kernel, but for a[3]: instructions executed)
 *   K_MARK      a[0] order: this thread has passed map mark `order`; answered only when flags & 1
 *               says that the core waits: by K_RESUME, or by K_SWITCH when another thread needs the
 *               core meanwhile (the same holds for a K_CALL that waits for its turn in the order)
 *   K_EXIT      flags & 1: stopped by its instruction limit, a[0] wake id, a[1] instructions: the thread ends; answered by K_SWITCH/K_IDLE
 *   K_AD        a[0] pte paddr, a[1] bits to set; not answered
 *   K_FLUSHED   a[0] shootdown id; acknowledgement of K_SHOOTDOWN, whatever the core is doing
 *
 *   K_POKE      a[0] random number: from the fuzz process; clears the accessed bit of a mapped page
 *               chosen by it (a page-table update that no program asked for); not answered
 *
 * Answers and orders (kernel -> core):
 *   K_SEG       one bounded piece of a handler that the core replays in kernel mode, in order:
 *               flags = enum kseg_kind, a[0] paddr or vaddr, a[1] bytes, a[2] cost in femtoseconds.
 *               Each arrives when the one before it ends, and may reach an idle core (a call that
 *               had waited runs there before its thread's K_SWITCH)
 *   K_RESUME    the handler ends; the thread continues. a[0] result flags (KR_*), a[1] map order
 *               executed so far in this address space. Arrives at or after the end of the last
 *               K_SEG, and never before the handler's page-table writes are visible
 *   K_SWITCH    run a thread: arg = thread, a[0] = asid, a[1] = root table paddr, a[2] = page-table
 *               levels (4 or 5), a[3] map order executed so far; preceded by K_SEG (cost of the
 *               switch) and by K_SWITCH_POS with the thread's position in a[0..3]
 *   K_IDLE      nothing to run until the next K_SWITCH
 *   K_SHOOTDOWN a[0] first vaddr, a[1] bytes (0: all of the asid), a[2] asid, a[3] shootdown id,
 *               arg = nanoseconds that the interrupt takes from a thread in user mode. Goes to every
 *               core that may hold translations of the asid, the caller's own included (arg 0), and
 *               once, as a whole-asid flush with arg 0, to one that runs something else or idles:
 *               it hears no more of that asid until it runs it again
 *   K_INTERRUPT a[0] cost in femtoseconds stolen from the running thread (timer, fuzz)
 */
#ifndef MIMICOS_KERNEL_MSG_H
#define MIMICOS_KERNEL_MSG_H

#include "pdes/types.h"

enum kernel_msg_type {
    K_FAULT = 32,
    K_CALL,
    K_CALL_MORE,
    K_POS,
    K_MARK,
    K_EXIT,
    K_AD,
    K_FLUSHED,
    K_POKE,
    K_SEG = 64,
    K_RESUME,
    K_SWITCH_POS,
    K_SWITCH,
    K_IDLE,
    K_SHOOTDOWN,
    K_INTERRUPT
};

enum kfault_flag { KF_WRITE = 1, KF_EXEC = 2, KF_PRESENT = 4 /* permission, not absence */ };

/* K_RESUME a[0] */
enum kresume_flag {
    KR_OK = 0,
    KR_SEGV = 1,       /* outside every VMA or against its rights: mapped anyway, and counted */
    KR_HUGE = 2,       /* the fault was served with a 2 MiB page */
    KR_SPURIOUS = 4    /* another thread had mapped it meanwhile */
};

enum kseg_kind {
    KSEG_COST,  /* only time */
    KSEG_STORE, /* time, and a store to the line of paddr a[0] (page-table entry, kind LINE_PT) */
    KSEG_ZERO   /* time to clear a[1] bytes from paddr a[0]; bypasses the caches (streaming stores) */
};

#endif
