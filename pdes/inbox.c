/* See inbox.h. */
#include "pdes/inbox.h"

#include <stdlib.h>

#include "pdes/err.h"

void inbox_free(struct inbox *b)
{
    free(b->slots);
    free(b->heap);
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
    b->heap = resize(b->heap, cap, sizeof *b->heap);
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

void inbox_push(struct inbox *b, const struct msg *m)
{
    if (b->nfree == 0)
        grow(b);
    struct inbox_key key = {m->time, b->free_slots[--b->nfree]};
    b->slots[key.slot] = *m;
    uint32_t i = b->n++;
    while (i > 0) {
        uint32_t up = (i - 1) / 2;
        if (!key_before(b, key, b->heap[up]))
            break;
        b->heap[i] = b->heap[up];
        i = up;
    }
    b->heap[i] = key;
    if (b->n > b->high_water)
        b->high_water = b->n;
}

void inbox_pop(struct inbox *b, struct msg *m_out)
{
    uint32_t slot = b->heap[0].slot;
    *m_out = b->slots[slot];
    b->free_slots[b->nfree++] = slot;
    struct inbox_key last = b->heap[--b->n];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= b->n)
            break;
        if (child + 1 < b->n && key_before(b, b->heap[child + 1], b->heap[child]))
            child++;
        if (!key_before(b, b->heap[child], last))
            break;
        b->heap[i] = b->heap[child];
        i = child;
    }
    b->heap[i] = last;
}
