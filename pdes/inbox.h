/*
 * Inbox of one LP: its messages in delivery order (time, src, seq).
 *
 * Sorted 16-byte keys point at slots that hold the messages. There are two lanes of keys, one for the
 * nearest class of senders and one for all others: what one class sends comes nearly sorted, so that
 * most keys go to the end of their lane, while answers of a distant class (DRAM) would have to be
 * passed by everything that a near one (cores) sends meanwhile. The first message is the earlier of
 * the two heads; that is quicker here than a heap. The size is bounded by the credits that can reach
 * the LP; room grows on demand, and slots never move: a message is read where it lies.
 */
#ifndef PDES_INBOX_H
#define PDES_INBOX_H

#include "pdes/msg.h"

#define INBOX_LANES 2
#define INBOX_NEAR 3 /* most messages find their place behind the last, or among so many */

struct inbox_key {
    simtime_t time;
    struct msg *m;
};

/* Both halves of a key at once: one that is moved is stored like that, since it is read like that soon after. */
typedef uint64_t inbox_whole __attribute__((vector_size(16), may_alias));

struct inbox_lane {
    /*
     * Sorted. The key at `tail` has the time SIM_NEVER; those before `head` are the ones taken out last, or have
     * the time 0, and there are always INBOX_NEAR.
     */
    struct inbox_key *head, *tail;
    struct inbox_key *end; /* of the room for them: 2 * cap, so that they can move along */
};

/* A slot that holds no message. */
struct inbox_free {
    struct inbox_free *next;
};

struct inbox {
    struct inbox_lane lanes[INBOX_LANES];
    struct inbox_free *free; /* the slot that was given back last */
    struct inbox_chunk *chunks; /* of slots */
    uint32_t cap;
};

/* An empty one, without memory; inbox_free leaves the same. */
void inbox_init(struct inbox *b);
void inbox_free(struct inbox *b);
void inbox_grow(struct inbox *b);
/* Not at the end of the lane: the message finds its place among the others. */
void inbox_insert(struct inbox *b, struct inbox_lane *l, struct msg *m);
void inbox_push(struct inbox *b, unsigned lane, const struct msg *m);
/* Copies of all messages, in delivery order; `out` need not be aligned. */
void inbox_copy(const struct inbox *b, void *out);
/* Both lanes begin at the same time: the lane that goes first. */
struct inbox_lane *inbox_tie(struct inbox *b);

static inline size_t inbox_count(const struct inbox *b)
{
    return (size_t)(b->lanes[0].tail - b->lanes[0].head) + (size_t)(b->lanes[1].tail - b->lanes[1].head);
}

/* A free slot, for the message that inbox_enter then brings in. */
static inline struct msg *inbox_take_slot(struct inbox *b)
{
    if (__builtin_expect(b->free == NULL, 0))
        inbox_grow(b);
    struct inbox_free *slot = b->free;
    b->free = slot->next;
    return (void *)slot;
}

static inline void inbox_give_back(struct inbox *b, struct msg *m)
{
    struct inbox_free *slot = (void *)m;
    slot->next = b->free;
    b->free = slot;
}

/* Whether a message goes to the end of its lane and there is room, if it is later than all that were taken out. */
static inline bool inbox_goes_last(const struct inbox_lane *l, const struct msg *m, simtime_t time)
{
    const struct inbox_key *tail = l->tail;
    if (tail == l->end || tail[-1].time > time)
        return false;
    return __builtin_expect(tail[-1].time < time, 1) || (tail != l->head && msg_before(tail[-1].m, m));
}

static inline inbox_whole *inbox_whole_of(struct inbox_key *k) { return (void *)k; }

static inline void inbox_append(struct inbox_lane *l, struct msg *m, simtime_t time)
{
    *l->tail++ = (struct inbox_key){time, m};
    l->tail->time = SIM_NEVER;
}

/*
 * Puts in a message that was sent after all of its sender's and is later than all that were taken out, as
 * inbox_insert does, but without branches: how many keys it has to pass cannot be foreseen. False: more than two, or
 * one of the same time, or there is no room.
 */
static inline bool inbox_enter_near(struct inbox_lane *l, struct msg *m, simtime_t time, lpid_t src)
{
    struct inbox_key *t = l->tail;
    const size_t passes_last = t[-1].time > time, passes_both = t[-2].time > time;
    struct inbox_key *place = t - passes_last - passes_both;
    /* Of one time, a later sender goes behind: asked at once, as neither half can be foreseen. */
    bool tied = ((place[-1].time ^ time) | (place[-1].m->src <= src)) == 0;
    if (__builtin_expect(t == l->end || t[-INBOX_NEAR].time > time || tied, 0))
        return false;
    const inbox_whole last = *inbox_whole_of(t - 1), before = *inbox_whole_of(t - 2);
    *inbox_whole_of(t + passes_last - 1) = last;
    *inbox_whole_of(t + passes_both - 2) = before;
    *inbox_whole_of(place) = (inbox_whole){time, (uintptr_t)m};
    t[1].time = SIM_NEVER;
    l->tail = t + 1;
    return true;
}

/* The message lies in a slot that was taken; `time` is its time. */
static inline void inbox_enter(struct inbox *b, struct inbox_lane *l, struct msg *m, simtime_t time)
{
    if (inbox_goes_last(l, m, time))
        inbox_append(l, m, time);
    else
        inbox_insert(b, l, m);
}

/* SIM_NEVER: it is empty. */
static inline simtime_t inbox_next_time(const struct inbox *b)
{
    return u64_min(b->lanes[0].head->time, b->lanes[1].head->time);
}

/* Takes the first message out of an inbox that is not empty; the slot is to be given back. */
static inline struct msg *inbox_pop(struct inbox *b)
{
    simtime_t t0 = b->lanes[0].head->time, t1 = b->lanes[1].head->time;
    struct inbox_lane *l = &b->lanes[t1 < t0];
    if (__builtin_expect(t0 == t1, 0))
        l = inbox_tie(b);
    return l->head++->m;
}

#endif
