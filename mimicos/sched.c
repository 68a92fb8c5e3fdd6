/* Threads and orders; see sched.h. */
#include "mimicos/sched.h"

#include <stdio.h>
#include <string.h>

#include "pdes/err.h"

static uint64_t round_up(uint64_t x) { return (x + 63) / 64 * 64; }

static struct sched layout_of(const struct sched_config *c)
{
    struct sched s = {.ncores = c->ncores, .nthreads = c->nthreads, .nspaces = c->nspaces,
                      .nwakes = c->nwakes, .wake_words = c->nwakes / 64 + 1};
    s.threads_at = round_up(sizeof s);
    s.cores_at = round_up(s.threads_at + c->nthreads * sizeof(struct thread));
    s.spaces_at = round_up(s.cores_at + c->ncores * sizeof(struct sched_core));
    s.queue_at = round_up(s.spaces_at + c->nspaces * sizeof(struct sched_space));
    s.wakes_at = round_up(s.queue_at + c->nthreads * sizeof(uint32_t));
    return s;
}

size_t sched_bytes(const struct sched_config *cfg)
{
    struct sched s = layout_of(cfg);
    return s.wakes_at + cfg->nspaces * s.wake_words * 8;
}

static void *at_offset(const struct sched *s, uint64_t offset)
{
    return (char *)(uintptr_t)s + offset;
}

struct thread *sched_thread(const struct sched *s, uint32_t thread)
{
    SIM_ASSERT(thread < s->nthreads, "thread %u of %u", thread, s->nthreads);
    return (struct thread *)at_offset(s, s->threads_at) + thread;
}
struct sched_core *sched_core(const struct sched *s, uint32_t core)
{
    SIM_ASSERT(core < s->ncores, "core %u of %u", core, s->ncores);
    return (struct sched_core *)at_offset(s, s->cores_at) + core;
}
struct sched_space *sched_space(const struct sched *s, uint32_t asid)
{
    SIM_ASSERT(asid < s->nspaces, "address space %u of %u", asid, s->nspaces);
    return (struct sched_space *)at_offset(s, s->spaces_at) + asid;
}

void sched_init(struct sched *s, const struct sched_config *cfg)
{
    *s = layout_of(cfg);
    for (uint32_t a = 0; a < s->nspaces; a++)
        *sched_space(s, a) = (struct sched_space){.first_thread = SCHED_NONE};
    for (uint32_t i = 0; i < s->ncores; i++)
        *sched_core(s, i) = (struct sched_core){.thread = SCHED_NONE};
    for (uint32_t i = 0; i < s->nthreads; i++) {
        uint32_t asid = cfg->space_of_thread != NULL ? cfg->space_of_thread[i] : 0;
        *sched_thread(s, i) = (struct thread){.asid = asid, .core = SCHED_NONE};
        struct sched_space *sp = sched_space(s, asid);
        if (sp->first_thread == SCHED_NONE)
            sp->first_thread = i;
    }
}

/* ---- cores and the run queue ----------------------------------------------------------------- */

static bool is_runnable(uint32_t state) { return state == THREAD_READY || state == THREAD_RUNNING; }
static bool is_waiting(uint32_t state) { return state == THREAD_ORDER || state == THREAD_MARK; }

static void set_state(struct sched *s, struct thread *t, enum thread_state state)
{
    struct sched_space *sp = sched_space(s, t->asid);
    sp->nwaiting += is_waiting(state);
    sp->nwaiting -= is_waiting(t->state);
    sp->nrunnable += is_runnable(state);
    sp->nrunnable -= is_runnable(t->state);
    sp->nlive += t->state == THREAD_NEW;
    sp->nlive -= state == THREAD_EXITED;
    t->state = state;
}

static uint32_t find_core(const struct sched *s, const struct thread *t)
{
    if (t->core != SCHED_NONE && sched_core(s, t->core)->thread == SCHED_NONE)
        return t->core;
    uint32_t held = SCHED_NONE;
    for (uint32_t i = 0; i < s->ncores; i++) {
        const struct sched_core *c = sched_core(s, i);
        if (c->thread == SCHED_NONE)
            return i;
        if (c->held && held == SCHED_NONE)
            held = i;
    }
    return held;
}

static uint32_t *queue_slot(const struct sched *s, uint32_t i)
{
    return (uint32_t *)at_offset(s, s->queue_at) + (s->queue_first + i) % s->nthreads;
}

static void put_on(struct sched *s, uint32_t thread, uint32_t core)
{
    struct thread *t = sched_thread(s, thread);
    *sched_core(s, core) = (struct sched_core){.thread = thread};
    t->core = core;
    set_state(s, t, THREAD_RUNNING);
}

uint32_t sched_place(struct sched *s, uint32_t thread)
{
    struct thread *t = sched_thread(s, thread);
    if (t->core != SCHED_NONE && sched_core(s, t->core)->thread == thread) {
        put_on(s, thread, t->core); /* it held its core */
        return t->core;
    }
    uint32_t core = find_core(s, t);
    if (core != SCHED_NONE) {
        put_on(s, thread, core);
        return core;
    }
    set_state(s, t, THREAD_READY);
    *queue_slot(s, s->queue_n++) = thread;
    if (s->queue_n > s->queue_high_water)
        s->queue_high_water = s->queue_n;
    return SCHED_NONE;
}

void sched_leave(struct sched *s, uint32_t core, enum thread_state state)
{
    struct sched_core *c = sched_core(s, core);
    set_state(s, sched_thread(s, c->thread), state);
    *c = (struct sched_core){.thread = SCHED_NONE};
}

uint32_t sched_pick(struct sched *s, uint32_t core)
{
    if (s->queue_n == 0)
        return SCHED_NONE;
    uint32_t thread = *queue_slot(s, 0);
    s->queue_first = (s->queue_first + 1) % s->nthreads;
    s->queue_n--;
    put_on(s, thread, core);
    return thread;
}

bool sched_wait(struct sched *s, uint32_t core, enum thread_state state)
{
    if (s->queue_n > 0) {
        sched_leave(s, core, state);
        return false;
    }
    struct sched_core *c = sched_core(s, core);
    set_state(s, sched_thread(s, c->thread), state);
    c->held = 1;
    return true;
}

uint32_t sched_kill(struct sched *s, uint32_t thread)
{
    struct thread *t = sched_thread(s, thread);
    SIM_ASSERT(is_waiting(t->state) || t->state == THREAD_FUTEX, "thread %u ends in state %u", thread,
               t->state);
    if (t->core != SCHED_NONE && sched_core(s, t->core)->thread == thread) {
        sched_leave(s, t->core, THREAD_EXITED);
        return t->core;
    }
    set_state(s, t, THREAD_EXITED);
    return SCHED_NONE;
}

static void forget_wakes(struct sched *s, uint32_t asid)
{
    uint64_t *words = (uint64_t *)at_offset(s, s->wakes_at) + asid * s->wake_words;
    memset(words, 0, s->wake_words * sizeof *words);
}

void sched_restart(struct sched *s, uint32_t asid)
{
    struct sched_space *sp = sched_space(s, asid);
    SIM_ASSERT(sp->nlive == 0 && sp->nrunnable == 0 && sp->nwaiting == 0,
               "address space %u begins anew with %u live threads", asid, sp->nlive);
    sp->order_done = 0;
    forget_wakes(s, asid);
    for (uint32_t i = sp->first_thread; i < s->nthreads && sched_thread(s, i)->asid == asid; i++) {
        struct thread *t = sched_thread(s, i);
        *t = (struct thread){.asid = asid, .core = t->core};
    }
}

/* ---- futex ----------------------------------------------------------------------------------- */

static uint64_t *wake_word(const struct sched *s, uint32_t asid, uint64_t wake)
{
    if (wake > s->nwakes)
        err_fatal(ERR_RUNTIME, "futex wake %llu, but room for %llu; raise os.max_wakes",
                  (unsigned long long)wake, (unsigned long long)s->nwakes);
    return (uint64_t *)at_offset(s, s->wakes_at) + asid * s->wake_words + wake / 64;
}

bool sched_wake_done(const struct sched *s, uint32_t asid, uint64_t wake)
{
    return wake == 0 || (*wake_word(s, asid, wake) >> (wake % 64) & 1) != 0;
}

void sched_wake_set(struct sched *s, uint32_t asid, uint64_t wake)
{
    if (wake != 0)
        *wake_word(s, asid, wake) |= UINT64_C(1) << (wake % 64);
}

uint32_t sched_next_sleeper(const struct sched *s, uint32_t asid, uint64_t wake, uint32_t from)
{
    for (uint32_t i = from; wake != 0 && i < s->nthreads; i++) {
        const struct thread *t = sched_thread(s, i);
        if (t->state == THREAD_FUTEX && t->asid == asid && t->wait == wake)
            return i;
    }
    return SCHED_NONE;
}

/* ---- map order ------------------------------------------------------------------------------- */

void sched_report(struct sched *s, uint32_t thread, uint64_t order)
{
    struct thread *t = sched_thread(s, thread);
    t->order = u64_max(t->order, order);
}

/* Has thread `i` no use left of what map event `order` takes away? */
static bool has_passed(const struct thread *t, uint64_t order)
{
    return t->order >= order || t->state == THREAD_NEW || t->state == THREAD_EXITED ||
           t->state == THREAD_FUTEX;
}

bool sched_may_map(const struct sched *s, uint32_t thread, uint64_t order, bool unmaps)
{
    uint32_t asid = sched_thread(s, thread)->asid;
    if (order == 0)
        return true;
    if (order > sched_space(s, asid)->order_done + 1)
        return false;
    for (uint32_t i = 0; unmaps && i < s->nthreads; i++) {
        const struct thread *t = sched_thread(s, i);
        if (i != thread && t->asid == asid && !has_passed(t, order))
            return false;
    }
    return true;
}

void sched_map_done(struct sched *s, uint32_t asid, uint64_t order)
{
    struct sched_space *sp = sched_space(s, asid);
    sp->order_done = u64_max(sp->order_done, order);
}

uint32_t sched_next_released(const struct sched *s, uint32_t asid)
{
    const struct sched_space *sp = sched_space(s, asid);
    if (sp->nwaiting == 0)
        return SCHED_NONE;
    for (uint32_t i = 0; i < s->nthreads; i++) {
        const struct thread *t = sched_thread(s, i);
        if (t->asid != asid)
            continue;
        if (t->state == THREAD_MARK && t->wait <= sp->order_done)
            return i;
        if (t->state == THREAD_ORDER && sched_may_map(s, i, t->wait, t->call_unmaps != 0))
            return i;
    }
    return SCHED_NONE;
}

/* Appends the threads that keep map event `order` of `thread` waiting. */
static void describe_late(const struct sched *s, uint32_t thread, uint64_t order, char *buf,
                          size_t size)
{
    const struct thread *self = sched_thread(s, thread);
    size_t n = strlen(buf);
    for (uint32_t i = 0; i < s->nthreads && n + 32 < size; i++) {
        const struct thread *t = sched_thread(s, i);
        if (i == thread || t->asid != self->asid || has_passed(t, order))
            continue;
        n += (size_t)snprintf(buf + n, size - n, "; thread %u has passed only %llu", i,
                              (unsigned long long)t->order);
    }
}

bool sched_describe(const struct sched *s, uint32_t thread, char *buf, size_t size)
{
    const struct thread *t = sched_thread(s, thread);
    unsigned long long done = sched_space(s, t->asid)->order_done, wait = t->wait;
    switch (t->state) {
    case THREAD_READY:
        snprintf(buf, size, "thread %u waits for a core", thread);
        return true;
    case THREAD_FUTEX:
        snprintf(buf, size, "thread %u waits for futex wake %llu", thread, wait);
        return true;
    case THREAD_MARK:
        snprintf(buf, size, "thread %u waits for map event %llu (executed: up to %llu)", thread, wait,
                 done);
        return true;
    case THREAD_ORDER:
        snprintf(buf, size, "thread %u waits to run map event %llu (executed: up to %llu)", thread,
                 wait, done);
        describe_late(s, thread, t->wait, buf, size);
        return true;
    default:
        return false;
    }
}
