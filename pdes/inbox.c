/* See inbox.h. */
#include "pdes/inbox.h"

#include <stdlib.h>
#include <string.h>

#include "pdes/err.h"

void inbox_free(struct inbox *b)
{
    free(b->slots);
    free(b->keys);
    free(b->free_slots);
    *b = (struct inbox){0};
}

static void *resize(void *p, size_t n, size_t size)
{
    void *q = realloc(p, n * size);
    if (q == NULL)
        err_fatal(ERR_MEMORY, "no host memory for an inbox of %zu messages", n);
    return q;
}

static void grow(struct inbox *b)
{
    uint32_t cap = b->cap ? 2 * b->cap : 16;
    b->slots = resize(b->slots, cap, sizeof *b->slots);
    b->keys = resize(b->keys, 2 * (size_t)cap, sizeof *b->keys); /* room to move along */
    b->free_slots = resize(b->free_slots, cap, sizeof *b->free_slots);
    for (uint32_t i = cap; i-- > b->cap;)
        b->free_slots[b->nfree++] = i;
    b->cap = cap;
}

static inline bool key_before(const struct inbox *b, struct inbox_key x, struct inbox_key y)
{
    if (x.time != y.time)
        return x.time < y.time;
    return msg_before(&b->slots[x.slot], &b->slots[y.slot]);
}

/* How many of the n sorted keys come before `key`. */
static uint32_t count_before(const struct inbox *b, const struct inbox_key *keys, uint32_t n,
                             struct inbox_key key)
{
    uint32_t low = 0, high = n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (key_before(b, key, keys[middle]))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Makes place for one key before the at-th, by moving the shorter side; returns where it goes. */
static struct inbox_key *open_gap(struct inbox *b, uint32_t at)
{
    if (b->first > 0 && at < b->n - at) {
        struct inbox_key *keys = b->keys + --b->first;
        for (uint32_t i = 0; i < at; i++)
            keys[i] = keys[i + 1];
        return keys + at;
    }
    if (b->first + b->n == 2 * b->cap) {
        memmove(b->keys, b->keys + b->first, b->n * sizeof *b->keys);
        b->first = 0;
    }
    struct inbox_key *keys = b->keys + b->first;
    for (uint32_t i = b->n; i > at; i--)
        keys[i] = keys[i - 1];
    return keys + at;
}

void inbox_push(struct inbox *b, const struct msg *m)
{
    if (b->nfree == 0)
        grow(b);
    struct inbox_key key = {m->time, b->free_slots[--b->nfree]};
    b->slots[key.slot] = *m;
    const struct inbox_key *keys = b->keys + b->first;
    uint32_t at = b->n;
    if (at > 0 && !key_before(b, keys[at - 1], key))
        at = key_before(b, key, keys[0]) ? 0 : count_before(b, keys, at - 1, key);
    *open_gap(b, at) = key;
    if (++b->n > b->high_water)
        b->high_water = b->n;
}

void inbox_pop(struct inbox *b, struct msg *m_out)
{
    uint32_t slot = b->keys[b->first++].slot;
    *m_out = b->slots[slot];
    b->free_slots[b->nfree++] = slot;
    if (--b->n == 0)
        b->first = b->cap / 2; /* room on both sides */
}
