/*
 * Inbox of one LP: its messages in delivery order (time, src, seq).
 *
 * Sorted 16-byte keys point at slots that hold the messages. Most messages go to the end or to the
 * front, without moving any other, and the first one is taken without a search; that is quicker here
 * than a heap. The size is bounded by the credits that can reach the LP; the
 * arrays grow on demand and keep a high-water mark.
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
    struct inbox_key *keys; /* [first, first + n), sorted */
    uint32_t *free_slots;
    uint32_t first, n, cap, nfree, high_water;
};

void inbox_free(struct inbox *b);
void inbox_push(struct inbox *b, const struct msg *m);
/* The i-th message in delivery order, i < n. */
static inline const struct msg *inbox_at(const struct inbox *b, uint32_t i)
{
    return &b->slots[b->keys[b->first + i].slot];
}
/* Copies the first message out and removes it; the inbox must not be empty. */
void inbox_pop(struct inbox *b, struct msg *m_out);
static inline simtime_t inbox_next_time(const struct inbox *b)
{
    return b->n == 0 ? SIM_NEVER : b->keys[b->first].time;
}

#endif
