/* See trace_replay.h. Threads take turns; each goes on until it has to wait. */
#include "cores/trace_replay.h"

#include "cores/trace_walk.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct thread {
    struct trace_walk walk;
    struct fe_event stuck_at; /* type 0: nothing */
    bool started, ended;
};

struct replay {
    struct thread *threads;
    uint32_t nthreads;
    uint8_t *woken; /* per wake id */
    uint64_t woken_cap;
    uint64_t next_order; /* map events below this one are done */
};

static bool wake(struct replay *r, uint64_t id)
{
    if (id > UINT32_MAX)
        return true;
    if (id >= r->woken_cap) {
        uint64_t cap = id + id / 2 + 1024;
        uint8_t *p = realloc(r->woken, cap);
        if (p == NULL)
            return false;
        memset(p + r->woken_cap, 0, cap - r->woken_cap);
        r->woken = p;
        r->woken_cap = cap;
    }
    r->woken[id] = 1;
    return true;
}

/* True when the event can happen now; then it has happened. */
static bool step(struct replay *r, const struct fe_event *e, enum err *err)
{
    switch (e->type) {
    case FE_FUTEX_WAIT:
        return e->a[1] == 0 || (e->a[1] < r->woken_cap && r->woken[e->a[1]] != 0);
    case FE_MAP_MARK:
        return e->a[0] < r->next_order;
    case FE_MMAP: case FE_MUNMAP: case FE_MPROTECT: case FE_MREMAP: case FE_BRK: case FE_MADVISE:
        if (e->a[0] != r->next_order)
            return false;
        r->next_order++;
        return true;
    case FE_THREAD_CREATE:
        if (e->a[0] < r->nthreads)
            r->threads[e->a[0]].started = true;
        return true;
    case FE_FUTEX_WAKE: case FE_THREAD_EXIT:
        if (!wake(r, e->type == FE_FUTEX_WAKE ? e->a[1] : e->a[0]))
            *err = err_log(ERR_MEMORY, "no memory to check the order of the trace");
        return true;
    default:
        return true;
    }
}

/* Runs one thread as far as it goes; true when it got anywhere. */
static bool advance(struct replay *r, struct thread *t, enum err *err)
{
    bool moved = false;
    for (;;) {
        struct trace_item it;
        if (t->stuck_at.type != 0) {
            if (!step(r, &t->stuck_at, err))
                return moved;
            t->stuck_at.type = 0;
            moved = true;
        }
        *err = trace_walk_next(&t->walk, &it);
        if (*err != ERR_OK)
            return false;
        if (it.acc == NULL && it.br == NULL && it.ev == NULL) {
            t->ended = true;
            return true;
        }
        if (it.ev != NULL)
            t->stuck_at = *it.ev;
    }
}

static enum err report_stuck(const struct replay *r)
{
    for (uint32_t i = 0; i < r->nthreads; i++) {
        const struct thread *t = &r->threads[i];
        if (t->started && !t->ended)
            return err_log(ERR_TRACE,
                           "thread %u block %" PRIu64 ": waits for ever: event type %u, arguments "
                           "%" PRIu64 " %" PRIu64 "; map events done: %" PRIu64,
                           i, t->walk.block - 1, t->stuck_at.type, t->stuck_at.a[0],
                           t->stuck_at.a[1], r->next_order);
    }
    return ERR_OK;
}

enum err trace_replay_order(struct frontend *fe)
{
    struct thread *threads = calloc(fe->nthreads, sizeof *threads);
    struct replay r = {.nthreads = fe->nthreads, .threads = threads};
    enum err e = ERR_OK;
    if (threads == NULL)
        return err_log(ERR_MEMORY, "no memory to check the order of %u threads", fe->nthreads);
    for (uint32_t i = 0; i < fe->nthreads; i++) {
        r.threads[i].walk = (struct trace_walk){.fe = fe, .thread = i};
        r.threads[i].started = i == 0 || fe->all_start;
    }
    bool moved = true;
    while (moved && e == ERR_OK) {
        moved = false;
        for (uint32_t i = 0; i < fe->nthreads && e == ERR_OK; i++)
            if (r.threads[i].started && !r.threads[i].ended)
                moved |= advance(&r, &r.threads[i], &e);
    }
    if (e == ERR_OK)
        e = report_stuck(&r);
    free(threads);
    free(r.woken);
    return e;
}
