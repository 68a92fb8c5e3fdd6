/* See inbox.h. */
#include "pdes/inbox.h"

#include <stdlib.h>
#include <string.h>

#include "pdes/err.h"

/* Where the room of a lane begins; a key with the time 0 is before it. */
static struct inbox_key *base_of(const struct inbox_lane *l, uint32_t cap) { return l->end - 2 * (size_t)cap; }

void inbox_free(struct inbox *b)
{
    free(b->slots);
    free(b->free_slots);
    for (unsigned i = 0; i < INBOX_LANES && b->cap > 0; i++)
        free(base_of(&b->lanes[i], b->cap) - 1);
    *b = (struct inbox){0};
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
    struct inbox_key *keys = lines_alloc((2 * (size_t)cap + 2) * sizeof *keys);
    *keys++ = (struct inbox_key){0};
    if (n > 0)
        memcpy(keys, l->head, n * sizeof *keys);
    if (old_cap > 0)
        free(base_of(l, old_cap) - 1);
    *l = (struct inbox_lane){.head = keys, .tail = keys + n, .end = keys + 2 * (size_t)cap};
    l->tail->time = SIM_NEVER;
}

/* Called when every slot is taken. */
void inbox_grow(struct inbox *b)
{
    uint32_t cap = b->cap ? 2 * b->cap : 16;
    struct msg *slots = lines_alloc(cap * sizeof *slots);
    uint32_t *free_slots = lines_alloc(cap * sizeof *free_slots);
    if (b->cap > 0)
        memcpy(slots, b->slots, b->cap * sizeof *slots);
    free(b->slots);
    free(b->free_slots);
    for (uint32_t i = b->cap; i < cap; i++)
        free_slots[i] = i;
    for (unsigned i = 0; i < INBOX_LANES; i++)
        grow_lane(&b->lanes[i], b->cap, cap);
    b->slots = slots;
    b->free_slots = free_slots;
    b->cap = cap;
}

/* Of keys with equal times. */
static bool tie_before(const struct inbox *b, struct inbox_key x, struct inbox_key y)
{
    return x.src != y.src ? x.src < y.src : b->slots[x.slot].seq < b->slots[y.slot].seq;
}

unsigned inbox_tie(const struct inbox *b) { return tie_before(b, *b->lanes[1].head, *b->lanes[0].head); }

static bool key_before(const struct inbox *b, struct inbox_key x, struct inbox_key y)
{
    return x.time != y.time ? x.time < y.time : tie_before(b, x, y);
}

/* The first of the sorted keys that `key` comes before. */
static struct inbox_key *place_of(const struct inbox *b, struct inbox_key *low, struct inbox_key *high,
                                  struct inbox_key key)
{
    while (low < high) {
        struct inbox_key *middle = low + (high - low) / 2;
        if (key_before(b, key, *middle))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

#define NEAR 16 /* so far from the end a place is looked for key by key, and beyond by halving */

void inbox_insert(struct inbox *b, struct inbox_lane *l, struct inbox_key key)
{
    if (l->tail == l->end) {
        struct inbox_key *base = base_of(l, b->cap);
        size_t n = (size_t)(l->tail - l->head);
        memmove(base, l->head, n * sizeof *base);
        l->head = base;
        l->tail = base + n;
    }
    struct inbox_key *at = l->tail, *near_end = at - l->head > NEAR ? at - NEAR : l->head;
    for (; at > near_end && at[-1].time > key.time; at--)
        *at = at[-1];
    for (; at > near_end && key_before(b, key, at[-1]); at--)
        *at = at[-1];
    if (at == near_end && at > l->head) {
        struct inbox_key *place = place_of(b, l->head, at, key);
        memmove(place + 1, place, (size_t)(at - place) * sizeof *place);
        at = place;
    }
    *at = key;
    (++l->tail)->time = SIM_NEVER;
    b->n++;
}

void inbox_push(struct inbox *b, unsigned lane, const struct msg *m)
{
    struct msg *slot = inbox_take_slot(b);
    *slot = *m;
    inbox_enter(b, lane, slot, m->time, m->src);
}

void inbox_copy(const struct inbox *b, void *out)
{
    char *p = out;
    struct inbox_key *at[INBOX_LANES] = {b->lanes[0].head, b->lanes[1].head};
    for (uint32_t i = 0; i < b->n; i++, p += sizeof(struct msg)) {
        unsigned lane = key_before(b, *at[1], *at[0]);
        memcpy(p, &b->slots[at[lane]++->slot], sizeof(struct msg));
    }
}
