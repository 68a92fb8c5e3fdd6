/*
 * Spinning, as far as a trace without values can tell: a thread that waits for another one by
 * reading one word again and again. Such instructions are an accident of the recording: how long
 * the wait was there, not how long it would be on the simulated machine.
 *
 * A spin is a row of more than SPIN_ROUNDS accesses of a thread, none to another address between
 * them, all by the same instruction, at most SPIN_GAP instructions apart, each a load or part of
 * a locked instruction (a plain store is progress and ends the row). Its instructions are counted
 * from the second access on. System calls between (sched_yield) do not end it. Not seen: a loop that
 * reads two words in turn, or keeps a counter in memory. Seen wrongly: a computation that reads one
 * word only, over and over.
 *
 * It depends on the thread's stream alone, never on timing.
 */
#ifndef CORES_SPIN_H
#define CORES_SPIN_H

#include "cores/core.h"

#define SPIN_ROUNDS 16u
#define SPIN_GAP 64u

/* The same address as the access before. */
static void spin_again(struct core *c, const struct fe_block *b, const struct access_rec *r)
{
    uint64_t pc = b->pcs[r->pc_id];
    bool progress = (r->flags & ACC_STORE) && !(r->flags & ACC_LOCK);
    if (progress || c->spin.rounds == 0 || pc != c->spin.pc || r->gap > SPIN_GAP) {
        c->spin.pc = pc;
        c->spin.rounds = !progress;
        c->spin.ninstr = c->pos.ninstr;
        return;
    }
    if (++c->spin.rounds < SPIN_ROUNDS)
        return;
    c->stats.spin_instructions += c->pos.ninstr - c->spin.ninstr;
    c->spin.ninstr = c->pos.ninstr;
}

/* After each user access, its instruction counted. */
static inline void spin_watch(struct core *c, const struct fe_block *b, const struct access_rec *r)
{
    if (r->vaddr != c->spin.vaddr) {
        c->spin.vaddr = r->vaddr;
        c->spin.rounds = 0;
        return;
    }
    spin_again(c, b, r);
}

#endif
