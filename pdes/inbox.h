/*
 * Inbox of one LP: a binary heap of messages in delivery order (time, src, seq).
 *
 * The heap holds 16-byte keys whose slots point at the messages, so that sifting moves little. Its
 * size is bounded by the credits that can reach the LP; it grows on demand and keeps a high-water
 * mark.
 */
#ifndef PDES_INBOX_H
#define PDES_INBOX_H

#include "pdes/msg.h"

struct inbox_key {
    simtime_t time;
    uint32_t slot;
};

struct inbox {
    struct msg *slots;
    struct inbox_key *heap;
    uint32_t *free_slots;
    uint32_t n, cap, nfree, high_water;
};

void inbox_free(struct inbox *b);
void inbox_push(struct inbox *b, const struct msg *m);
/* Copies the first message out and removes it; the inbox must not be empty. */
void inbox_pop(struct inbox *b, struct msg *m_out);
static inline simtime_t inbox_next_time(const struct inbox *b)
{
    return b->n == 0 ? SIM_NEVER : b->heap[0].time;
}

#endif
