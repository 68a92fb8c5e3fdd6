/* See inbox.h. */
#include "pdes/inbox.h"

#include <stdlib.h>
#include <string.h>

#include "pdes/err.h"

/* The slots follow this head. */
struct inbox_chunk {
    _Alignas(64) struct inbox_chunk *next;
};

/* Where the room of a lane begins; INBOX_NEAR keys with the time 0 are before it. */
static struct inbox_key *base_of(const struct inbox_lane *l, uint32_t cap) { return l->end - 2 * (size_t)cap; }

void inbox_init(struct inbox *b)
{
    static struct inbox_key none = {.time = SIM_NEVER};
    *b = (struct inbox){0};
    for (unsigned i = 0; i < INBOX_LANES; i++)
        b->lanes[i] = (struct inbox_lane){&none, &none, &none};
}

void inbox_free(struct inbox *b)
{
    while (b->chunks != NULL) {
        struct inbox_chunk *next = b->chunks->next;
        free(b->chunks);
        b->chunks = next;
    }
    for (unsigned i = 0; i < INBOX_LANES && b->cap > 0; i++)
        free(base_of(&b->lanes[i], b->cap) - INBOX_NEAR);
    inbox_init(b);
}

/* Host cache lines are not shared with others. */
static void *lines_alloc(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    if (p == NULL)
        err_fatal(ERR_MEMORY, "no host memory for an inbox of %zu bytes", bytes);
    return p;
}

static void grow_lane(struct inbox_lane *l, uint32_t old_cap, uint32_t cap)
{
    size_t n = (size_t)(l->tail - l->head);
    static struct msg nothing;
    struct inbox_key *keys = lines_alloc((2 * (size_t)cap + INBOX_NEAR + 1) * sizeof *keys);
    for (unsigned i = 0; i < INBOX_NEAR; i++)
        *keys++ = (struct inbox_key){0, &nothing};
    if (n > 0)
        memcpy(keys, l->head, n * sizeof *keys);
    if (old_cap > 0)
        free(base_of(l, old_cap) - INBOX_NEAR);
    *l = (struct inbox_lane){.head = keys, .tail = keys + n, .end = keys + 2 * (size_t)cap};
    l->tail->time = SIM_NEVER;
}

/* Called when every slot is taken. */
void inbox_grow(struct inbox *b)
{
    uint32_t nslots = b->cap ? b->cap : 16, cap = b->cap + nslots;
    struct inbox_chunk *chunk = lines_alloc(sizeof *chunk + nslots * sizeof(struct msg));
    struct msg *slots = (void *)(chunk + 1);
    for (uint32_t i = nslots; i-- > 0;)
        inbox_give_back(b, &slots[i]);
    chunk->next = b->chunks;
    b->chunks = chunk;
    for (unsigned i = 0; i < INBOX_LANES; i++)
        grow_lane(&b->lanes[i], b->cap, cap);
    b->cap = cap;
}

struct inbox_lane *inbox_tie(struct inbox *b)
{
    return &b->lanes[msg_before(b->lanes[1].head->m, b->lanes[0].head->m)];
}

static bool key_before(struct inbox_key x, struct inbox_key y)
{
    return x.time != y.time ? x.time < y.time : msg_before(x.m, y.m);
}

/* The first of the sorted keys that `key` comes before. */
static struct inbox_key *place_of(struct inbox_key *low, struct inbox_key *high, struct inbox_key key)
{
    while (low < high) {
        struct inbox_key *middle = low + (high - low) / 2;
        if (key_before(key, *middle))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

#define NEAR 16 /* so far from the end a place is looked for key by key, and beyond by halving */

/* All keys from `at` on have moved up by one; the place is before it or among equal times. */
static __attribute__((noinline)) struct inbox_key *place_before(struct inbox_key *head, struct inbox_key *at,
                                                                struct inbox_key key)
{
    struct inbox_key *place = place_of(head, at, key);
    memmove(place + 1, place, (size_t)(at - place) * sizeof *place);
    return place;
}

/* To where the room of the lane begins. */
static __attribute__((noinline)) void move_to_base(struct inbox_lane *l, uint32_t cap)
{
    struct inbox_key *base = base_of(l, cap);
    size_t n = (size_t)(l->tail - l->head);
    memmove(base, l->head, n * sizeof *base);
    l->head = base;
    l->tail = base + n;
}

void inbox_insert(struct inbox *b, struct inbox_lane *l, struct msg *m)
{
    struct inbox_key key = {m->time, m};
    if (__builtin_expect(l->tail == l->end, 0))
        move_to_base(l, b->cap);
    struct inbox_key *at = l->tail, *head = l->head, *near_end = at - head > NEAR ? at - NEAR : head;
    for (; at > near_end && at[-1].time > key.time; at--)
        *at = at[-1];
    if (at > head && (at == near_end || (at[-1].time == key.time && msg_before(m, at[-1].m))))
        at = place_before(head, at, key);
    *at = key;
    (++l->tail)->time = SIM_NEVER;
}

void inbox_push(struct inbox *b, unsigned lane, const struct msg *m)
{
    struct msg *slot = inbox_take_slot(b);
    *slot = *m;
    inbox_enter(b, &b->lanes[lane], slot, m->time);
}

void inbox_copy(const struct inbox *b, void *out)
{
    char *p = out;
    struct inbox_key *at[INBOX_LANES] = {b->lanes[0].head, b->lanes[1].head};
    for (size_t i = inbox_count(b); i > 0; i--, p += sizeof(struct msg)) {
        unsigned lane = key_before(*at[1], *at[0]);
        memcpy(p, at[lane]++->m, sizeof(struct msg));
    }
}
