/*
 * Inbox of one LP: its messages in delivery order (time, src, seq).
 *
 * Sorted 16-byte keys point at slots that hold the messages. There are two lanes of keys, one for the
 * nearest class of senders and one for all others: what one class sends comes nearly sorted, so that
 * most keys go to the end of their lane, while answers of a distant class (DRAM) would have to be
 * passed by everything that a near one (cores) sends meanwhile. The first message is the earlier of
 * the two heads; that is quicker here than a heap. The size is bounded by the credits that can reach
 * the LP; the arrays grow on demand.
 */
#ifndef PDES_INBOX_H
#define PDES_INBOX_H

#include "pdes/msg.h"

#define INBOX_LANES 2

struct inbox_key {
    simtime_t time;
    lpid_t src;
    uint32_t slot;
};

struct inbox_lane {
    /* Sorted. The key at `tail` has the time SIM_NEVER; that before `head` is the one taken out last. */
    struct inbox_key *head, *tail;
    struct inbox_key *end; /* of the room for them: 2 * cap, so that they can move along */
    uint64_t reserved;
};

struct inbox {
    struct inbox_lane lanes[INBOX_LANES];
    struct msg *slots;
    uint32_t *free_slots; /* [n, cap): those that are free */
    uint32_t n, cap;
};

void inbox_free(struct inbox *b);
void inbox_grow(struct inbox *b);
/* Not at the end of the lane: the key finds its place among the others. The message is in its slot. */
void inbox_insert(struct inbox *b, struct inbox_lane *l, struct inbox_key key);
void inbox_push(struct inbox *b, unsigned lane, const struct msg *m);
/* Copies of all messages, in delivery order; `out` need not be aligned. */
void inbox_copy(const struct inbox *b, void *out);
/* Both lanes begin at the same time: the lane that goes first. */
unsigned inbox_tie(const struct inbox *b);

/* A free slot for the message that inbox_enter then brings in. */
static inline struct msg *inbox_take_slot(struct inbox *b)
{
    if (__builtin_expect(b->n == b->cap, 0))
        inbox_grow(b);
    return &b->slots[b->free_slots[b->n]];
}

/* Whether a key goes to the end of its lane and there is room, if it is later than all that were taken out. */
static inline bool inbox_goes_last(const struct inbox_lane *l, simtime_t time)
{
    return l->tail != l->end && l->tail[-1].time < time;
}

static inline void inbox_append(struct inbox *b, struct inbox_lane *l, struct inbox_key key)
{
    l->tail[0] = key;
    l->tail[1].time = SIM_NEVER;
    l->tail++;
    b->n++;
}

/* The message with this time and source is in the slot `m` that was taken. */
static inline void inbox_enter(struct inbox *b, unsigned lane, const struct msg *m, simtime_t time, lpid_t src)
{
    struct inbox_lane *l = &b->lanes[lane];
    struct inbox_key key = {time, src, (uint32_t)(m - b->slots)};
    if (inbox_goes_last(l, time))
        inbox_append(b, l, key);
    else
        inbox_insert(b, l, key);
}

/* The lane of the first message; the inbox must not be empty. */
static inline unsigned inbox_first(const struct inbox *b)
{
    simtime_t t0 = b->lanes[0].head->time, t1 = b->lanes[1].head->time;
    if (__builtin_expect(t0 == t1, 0))
        return inbox_tie(b);
    return t1 < t0;
}

static inline simtime_t inbox_next_time(const struct inbox *b)
{
    return b->n == 0 ? SIM_NEVER : b->lanes[inbox_first(b)].head->time;
}

/* Copies the first message, that of `lane`, out and removes it. */
static inline void inbox_pop(struct inbox *b, unsigned lane, struct msg *m_out)
{
    uint32_t slot = b->lanes[lane].head->slot;
    b->lanes[lane].head++;
    *m_out = b->slots[slot];
    b->free_slots[--b->n] = slot;
}

#endif
