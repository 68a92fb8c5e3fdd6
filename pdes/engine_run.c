/*
 * See engine.h: sending, delivering, running LPs; the windows of one process:
 *
 *     the class that is furthest behind -> its safe time -> run its LPs -> the class that is now behind ...
 *
 * Behind is also who could wait: a class whose messages are long on their way (DRAM) lets others go ahead, and
 * so does in one stretch what would take several.
 *
 * Several ranks: engine_rounds.c.
 */
#include <string.h>

#include "pdes/engine_inside.h"
#include "pdes/rng.h"

/* ---- sending and delivering ------------------------------------------------------------------ */

/* Of one message; the words are multiplied side by side, so that it costs little. */
static inline uint64_t msg_digest(const struct msg *m)
{
    const uint64_t *keys = engine_digest_keys; /* an operand each, where constants take an instruction more */
    uint64_t x = (m->time ^ keys[0]) * keys[1];
    x += (((uint64_t)m->src << 32 | m->dst) ^ m->seq << 13) * keys[2];
    x += ((uint64_t)m->arg << 32 | (uint64_t)m->flags << 16 | m->type) * keys[3];
    x += (m->a[0] ^ m->a[1] << 17) * keys[4];
    x += (m->a[2] ^ m->a[3] << 29) * keys[5];
    return x ^ x >> 32;
}

static __attribute__((cold, noinline)) void say_past(const struct engine *e, const struct lp *dst,
                                                     const struct msg *m)
{
    SIM_ASSERT(m->time >= e->until[dst->cls],
               "message %u from LP %u to %s %u arrives at %llu fs, in the past of %llu fs", m->type,
               m->src, dst->ops->name, dst->instance, (unsigned long long)m->time,
               (unsigned long long)e->until[dst->cls]);
}

static inline void note_pending(struct engine *e, struct lp *dst, simtime_t time)
{
    *dst->next = u64_min(*dst->next, time);
    e->bound[dst->cls] = u64_min(e->bound[dst->cls], time);
}

/* The message is in the slot that was taken. */
void engine_deliver(struct engine *e, struct lp *dst, struct msg *m)
{
    if (m->time < e->until[dst->cls])
        say_past(e, dst, m);
    if (e->heap != NULL)
        engine_queue_wake(e, dst, m->time);
    inbox_enter(&dst->inbox, engine_lane(e->lps[m->src], dst), m, m->time);
    note_pending(e, dst, m->time);
}

static __attribute__((cold, noinline)) void say_hasty(const struct lp *lp, const struct lp *dst,
                                                      simtime_t time, uint32_t type)
{
    simtime_t least = engine_edge(lp->engine, lp->cls, dst->cls);
    SIM_ASSERT(least != SIM_NEVER && time >= time_add(lp->now, least),
               "%s %u at %llu fs sends message %u to %s %u for %llu fs; the edge declares at least %llu fs",
               lp->ops->name, lp->instance, (unsigned long long)lp->now, type & 0xffffu, dst->ops->name,
               dst->instance, (unsigned long long)time, (unsigned long long)least);
}

static inline void address(struct msg *m, struct lp *lp, lpid_t dst, simtime_t time)
{
    m->time = time;
    m->seq = lp->seq++;
    m->src = lp->id;
    m->dst = dst;
}

static __attribute__((noinline)) struct msg *post_any(struct lp *lp, lpid_t dst_id, simtime_t time, uint32_t type)
{
    struct engine *e = lp->engine;
    struct lp *dst = e->lps[dst_id];
    if (time < lp->now + e->latency[lp->cls][dst->cls])
        say_hasty(lp, dst, time, type);
    if (e->probed)
        e->probe.sent(e->probe.ctx, lp->id, dst_id);
    bool remote = dst->state == NULL;
    struct msg *m = remote ? engine_send_remote(e, dst, time) : inbox_take_slot(&dst->inbox);
    address(m, lp, dst_id, time);
    m->type = (uint16_t)type; /* which is said of one that comes too late */
    if (!remote)
        engine_deliver(e, dst, m);
    return m;
}

static __attribute__((noinline)) struct msg *post_between(struct engine *e, struct lp *dst, struct inbox_lane *l,
                                                          struct msg *m)
{
    inbox_insert(&dst->inbox, l, m);
    note_pending(e, dst, m->time);
    return m;
}

/* The usual case without a call: to an LP of this rank, behind all others of its lane, or nearly. */
struct msg *lp_post(struct lp *lp, lpid_t dst_id, simtime_t time, uint32_t type)
{
    struct engine *e = lp->engine;
    struct lp *dst = e->lps[dst_id];
    struct inbox *b = &dst->inbox;
    const struct engine_edge *edge = &lp->edges[dst->way];
    bool usual = time >= lp->now + edge->usual && b->free != NULL && time >= e->until[dst->cls];
    if (__builtin_expect(!usual, 0))
        return post_any(lp, dst_id, time, type);
    struct msg *m = inbox_take_slot(b);
    address(m, lp, dst_id, time);
    struct inbox_lane *l = &b->lanes[edge->lane];
    if (!inbox_enter_near(l, m, time, lp->id))
        return post_between(e, dst, l, m);
    note_pending(e, dst, time);
    return m;
}

void lp_fetch(const struct lp *lp, lpid_t dst_id, uint64_t a0)
{
    const struct lp *dst = lp->engine->lps[dst_id];
    if (dst->state != NULL && dst->ops->fetch != NULL)
        dst->ops->fetch(dst, a0);
}

void engine_take_mirror(struct engine *e, const struct mirror_write *w)
{
    e->latest_mirror = u64_max(e->latest_mirror, w->time);
    e->mirror_due = u64_min(e->mirror_due, w->time);
    if (e->hooks.mirror)
        e->hooks.mirror(e->hooks.mirror_ctx, w);
}

void lp_mirror(struct lp *lp, simtime_t time, paddr_t addr, uint64_t value, lpid_t writer)
{
    struct engine *e = lp->engine;
    SIM_ASSERT(time >= time_add(lp->now, e->cfg.mirror_latency_fs) && time >= e->last_mirror,
               "%s %u at %llu fs mirrors a write for %llu fs; least latency %llu fs, last write %llu fs",
               lp->ops->name, lp->instance, (unsigned long long)lp->now, (unsigned long long)time,
               (unsigned long long)e->cfg.mirror_latency_fs, (unsigned long long)e->last_mirror);
    e->last_mirror = time;
    struct mirror_write w = {.time = time, .addr = addr, .value = value, .writer = writer};
    engine_take_mirror(e, &w);
    if (e->probed)
        e->probe.sent(e->probe.ctx, lp->id, LPID_NONE);
    if (e->nparts == 1)
        return;
    if (e->nwrites == e->writes_cap) {
        e->writes_cap = e->writes_cap ? 2 * e->writes_cap : 64;
        e->writes = engine_alloc(e->writes, e->writes_cap * sizeof *e->writes);
    }
    e->writes[e->nwrites++] = w;
}

void engine_watch_sends(struct engine *e, bool watch)
{
    for (uint32_t i = 0; i < ENGINE_MAX_CLASSES; i++)
        for (uint32_t j = 0; j < ENGINE_MAX_CLASSES; j++) {
            e->edges[i][j].usual = watch ? BOUND_NEVER : e->latency[i][j];
            e->edges[i][ENGINE_MAX_CLASSES + j].usual = BOUND_NEVER;
        }
}

/* ---- running one LP --------------------------------------------------------------------------- */

/*
 * A reader of mirrored writes must pass the time of each, even when it has nothing else to do.
 */
static inline bool must_advance(const struct engine *e, const struct lp *lp, simtime_t limit)
{
    return lp->next_private < limit ||
           (lp->cls == e->cfg.mirror_reader_class && e->latest_mirror >= lp->advanced && limit > lp->advanced);
}

static inline void handle_next(struct lp *lp, uint64_t *digest)
{
    struct msg *m = inbox_pop(&lp->inbox);
    lp->now = m->time;
    lp->ndelivered++;
    *digest += msg_digest(m);
    lp->ops->handle(lp, m);
    inbox_give_back(&lp->inbox, m);
}

/* An LP that only reacts. */
static inline simtime_t run_reactive(struct engine *e, struct lp *lp, simtime_t until)
{
    uint64_t digest = 0;
    simtime_t arrival;
    while ((arrival = inbox_next_time(&lp->inbox)) < until)
        handle_next(lp, &digest);
    e->digest += digest;
    return arrival;
}

static inline simtime_t run_active(struct engine *e, struct lp *lp, simtime_t until)
{
    const struct lp_ops *ops = lp->ops;
    uint64_t digest = 0;
    for (;;) {
        simtime_t arrival = inbox_next_time(&lp->inbox);
        simtime_t limit = u64_min(arrival, until);
        if (must_advance(e, lp, limit)) {
            lp->next_private = ops->advance(lp, limit);
            lp->advanced = limit;
            SIM_ASSERT(lp->next_private >= limit, "%s %u wants to act at %llu fs again",
                       ops->name, lp->instance, (unsigned long long)lp->next_private);
        }
        if (arrival >= until) {
            e->digest += digest;
            return u64_min(arrival, lp->next_private);
        }
        handle_next(lp, &digest);
        lp->next_private = lp->now;
    }
}

simtime_t engine_run_lp(struct engine *e, struct lp *lp, simtime_t until)
{
    return lp->ops->advance == NULL ? run_reactive(e, lp, until) : run_active(e, lp, until);
}

/* ---- windows ---------------------------------------------------------------------------------- */

/* Least latencies over chains of messages. */
static void close_distances(struct engine *e)
{
    uint32_t n = ENGINE_MAX_CLASSES;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < n; j++)
            e->distance[j][i] = e->latency[i][j];
    for (uint32_t k = 0; k < n; k++)
        for (uint32_t i = 0; i < n; i++)
            for (uint32_t j = 0; j < n; j++)
                e->distance[j][i] = u64_min(e->distance[j][i], e->distance[k][i] + e->distance[j][k]);
}

/* What the nearest class sends to a class has its own lane in inboxes. */
static void choose_lanes(struct engine *e)
{
    for (uint32_t dst = 0; dst < ENGINE_MAX_CLASSES; dst++) {
        uint32_t nearest = 0;
        for (uint32_t src = 0; src < ENGINE_MAX_CLASSES; src++)
            nearest = e->latency[src][dst] < e->latency[nearest][dst] ? src : nearest;
        for (uint32_t src = 0; src < ENGINE_MAX_CLASSES; src++)
            e->edges[src][dst].lane = e->edges[src][ENGINE_MAX_CLASSES + dst].lane = src != nearest;
    }
}

/* A time after `next`, not after `until`. */
static simtime_t cut(struct engine *e, simtime_t next, simtime_t until)
{
    uint64_t r = rng_draw(e->cfg.cut_seed, 0, (uint64_t)e->tr->rank, 0, e->ncuts++);
    return next + 1 + rng_below(r, until - next);
}

/* Like run_lps, which is below, watched. */
static void run_lps_watched(struct engine *e, uint32_t x, simtime_t until, bool all)
{
    const struct lp_class *c = &e->classes[x];
    e->bound[x] = BOUND_NEVER;
    uint64_t start = engine_now_ns();
    for (uint32_t i = 0; i < c->nlocal; i++) {
        struct lp *lp = c->local[i];
        if (c->next[i] < until || all) {
            uint64_t delivered = lp->ndelivered, now = engine_now_ns();
            e->idle_ns += now - start;
            c->next[i] = engine_run_lp(e, lp, until);
            start = engine_now_ns();
            e->probe.ran(e->probe.ctx, lp, start - now, lp->ndelivered - delivered);
            start = engine_now_ns(); /* what the probe does is nobody's time */
            e->nidle++;
        }
        e->bound[x] = u64_min(e->bound[x], c->next[i]);
    }
    e->idle_ns += engine_now_ns() - start;
    e->nidle++;
}

#define DUE_LPS 64u /* of which a word says which ones have something to do */

/* Of the LPs of a class from `first` on. */
static inline uint64_t due_lps(const struct lp_class *c, uint32_t first, simtime_t until, bool all)
{
    uint32_t n = c->nlocal - first < DUE_LPS ? c->nlocal - first : DUE_LPS;
    uint64_t due = 0;
    for (uint32_t i = 0; i < n; i++)
        due |= (uint64_t)((c->next[first + i] < until) | all) << i;
    return due;
}

/*
 * What run_reactive does for each of them, in one loop: with a loop for each, nobody could foresee how often it goes
 * round.
 */
static inline void run_due_reactive(struct engine *e, const struct lp_class *c, uint32_t first, uint64_t due,
                                    simtime_t until)
{
    uint64_t digest = 0;
    while (due != 0) {
        uint32_t i = first + (uint32_t)__builtin_ctzll(due);
        struct lp *lp = c->local[i];
        handle_next(lp, &digest);
        simtime_t arrival = inbox_next_time(&lp->inbox);
        c->next[i] = arrival;
        due &= due - (arrival >= until);
    }
    e->digest += digest;
}

static inline void run_due_active(struct engine *e, const struct lp_class *c, uint32_t first, uint64_t due,
                                  simtime_t until)
{
    for (; due != 0; due &= due - 1) {
        uint32_t i = first + (uint32_t)__builtin_ctzll(due);
        c->next[i] = run_active(e, c->local[i], until);
    }
}

/* Runs the LPs of a class that have something to do before `until`; the others that act by themselves too, if `all`. */
static inline void run_lps(struct engine *e, uint32_t x, simtime_t until, bool all)
{
    if (__builtin_expect(e->probed, 0)) {
        run_lps_watched(e, x, until, all);
        return;
    }
    const struct lp_class *c = &e->classes[x];
    e->bound[x] = BOUND_NEVER; /* what is delivered meanwhile lowers it again */
    for (uint32_t first = 0; first < c->nlocal; first += DUE_LPS)
        if (c->reacts)
            run_due_reactive(e, c, first, due_lps(c, first, until, false), until);
        else
            run_due_active(e, c, first, due_lps(c, first, until, all), until);
    simtime_t least = e->bound[x];
    for (uint32_t i = 0; i < c->nlocal; i++)
        least = u64_min(least, c->next[i]);
    e->bound[x] = least;
}

/* The same of readers with writes to pass. */
static void run_readers(struct engine *e, uint32_t x, simtime_t until)
{
    run_lps(e, x, until, true);
    if (until > 0 && e->hooks.mirror_floor)
        e->hooks.mirror_floor(e->hooks.mirror_ctx, until - 1);
    e->readers_past = until;
    e->mirror_due = e->latest_mirror >= until ? until : SIM_NEVER;
}

/* Runs class x, which has something to do from `next` on, up to `until`. */
static inline __attribute__((always_inline)) void run_class(struct engine *e, uint32_t x, simtime_t next,
                                                            simtime_t until)
{
    if (__builtin_expect(e->cfg.cut_seed != 0, 0))
        until = cut(e, next, until);
    until = u64_max(until, e->until[x]);
    e->until[x] = until;
    if (x == e->cfg.mirror_reader_class && e->latest_mirror >= e->readers_past)
        run_readers(e, x, until);
    else
        run_lps(e, x, until, false);
}

/* One of 32 is timed, spread evenly, but not in step with anything that the workload repeats. */
static inline bool is_sample(uint64_t n) { return (uint32_t)n * UINT32_C(0x9e3779b1) >> 27 == 0; }

static __attribute__((noinline)) void time_class(struct engine *e, uint32_t x, simtime_t next, simtime_t until)
{
    uint64_t start = engine_now_ns();
    run_class(e, x, next, until);
    e->host.class_ns[x] += engine_now_ns() - start;
}

static inline void run_or_time_class(struct engine *e, uint32_t x, simtime_t next, simtime_t until, uint64_t n)
{
    if (__builtin_expect(is_sample(n), 0))
        time_class(e, x, next, until);
    else
        run_class(e, x, next, until);
}

void engine_run_class(struct engine *e, uint32_t x, simtime_t next, simtime_t until, uint64_t n)
{
    run_or_time_class(e, x, next, until, n);
}

/*
 * A class whose messages are longer on their way than the shortest round trip may wait for the difference, so that
 * it has more to do when its turn comes.
 */
static void choose_patience(struct engine *e)
{
    simtime_t round_trip = engine_round_trip(e);
    for (uint32_t x = 0; x < e->nclasses; x++) {
        simtime_t nearest = engine_nearest(e, x);
        e->patience[x] = nearest < BOUND_NEVER && nearest > round_trip ? nearest - round_trip : 0;
    }
}

/* The class that is furthest behind, but for its patience. */
static inline uint32_t furthest_behind(const struct engine *e, const simtime_t *patience, simtime_t *next_out)
{
    uint32_t best = 0;
    simtime_t least = 2 * BOUND_NEVER;
    for (uint32_t x = 0; x < ENGINE_MAX_CLASSES; x++) {
        simtime_t at = e->bound[x] + patience[x];
        best ^= (best ^ x) & -(uint32_t)(at < least); /* a choice would become a branch, which is mispredicted */
        least = u64_min(at, least);
    }
    *next_out = e->bound[best];
    if (e->mirror_due < least) {
        best = e->cfg.mirror_reader_class; /* may be no class at all */
        *next_out = e->mirror_due;
    }
    return best;
}

static __attribute__((noinline)) uint32_t furthest_behind_of_all(const struct engine *e, simtime_t *next_out)
{
    static const simtime_t none[ENGINE_MAX_CLASSES];
    return furthest_behind(e, none, next_out);
}

/* Whose turn it is. If that one has reached the epoch's end, others may still be behind it that could wait. */
static inline uint32_t next_class(const struct engine *e, simtime_t *next_out)
{
    uint32_t x = furthest_behind(e, e->patience, next_out);
    return __builtin_expect(*next_out < e->epoch_end, 1) ? x : furthest_behind_of_all(e, next_out);
}

/*
 * One process: whoever is furthest behind goes on, until the epoch's end. It always may, since every
 * latency is more than 0, and more than the sender's patience: the others' messages arrive later.
 */
static void run_windows(struct engine *e)
{
    uint64_t start = engine_now_ns();
    for (;;) {
        simtime_t next;
        uint32_t x = next_class(e, &next);
        if (next >= e->epoch_end)
            break;
        run_or_time_class(e, x, next, u64_min(engine_reach(e, e->bound, x), e->epoch_end), e->host.nwindows++);
    }
    e->host.run_ns += engine_now_ns() - start;
    engine_exchange(e); /* with nobody */
}

/* ---- the run ---------------------------------------------------------------------------------- */

/* The same on all ranks after an exchange. */
static simtime_t earliest(const struct engine *e)
{
    simtime_t t = BOUND_NEVER;
    for (uint32_t x = 0; x < e->nclasses; x++)
        t = u64_min(t, e->agreed[x]);
    return t;
}

bool engine_close_epochs(struct engine *e, simtime_t next)
{
    while (next >= e->epoch_end) {
        bool over = next >= BOUND_NEVER;
        e->host.ndelivered = 0;
        for (uint32_t i = 0; i < e->nlps; i++)
            e->host.ndelivered += e->lps[i]->ndelivered;
        if (over && !e->hooks.idle(e->hooks.ctx))
            return true;
        uint64_t start = engine_now_ns(), epoch = e->epoch++;
        e->closing_end = e->epoch_end;
        e->epoch_end += e->cfg.epoch_fs; /* before the hook: it may save, and what is saved is past it */
        bool stop = e->hooks.epoch(e->hooks.ctx, epoch, e->closing_end) || over;
        e->host.epoch_ns += engine_now_ns() - start;
        if (stop)
            return true;
    }
    return false;
}

static void start_lps(struct engine *e)
{
    engine_find_bounds(e); /* LPs may send as they start */
    for (uint32_t i = 0; i < e->nlps; i++) {
        struct lp *lp = e->lps[i];
        if (lp->state == NULL || e->restored)
            continue;
        if (lp->ops->start)
            lp->ops->start(lp);
        if (lp->ops->advance)
            lp->next_private = 0;
    }
    engine_find_bounds(e);
}

static void find_reacting(struct engine *e)
{
    for (uint32_t x = 0; x < e->nclasses; x++) {
        struct lp_class *c = &e->classes[x];
        c->reacts = c->nlocal > 0 && c->local[0]->ops->advance == NULL;
        for (uint32_t i = 0; i < c->nlocal; i++)
            SIM_ASSERT((c->local[i]->ops->advance == NULL) == c->reacts, "of class %s some LPs only react", c->name);
    }
}

static void prepare(struct engine *e)
{
    find_reacting(e);
    close_distances(e);
    choose_patience(e);
    choose_lanes(e);
    engine_watch_sends(e, false);
    for (uint32_t x = 0; x < e->nclasses && e->hooks.mirror; x++)
        SIM_ASSERT(e->latency[x][e->cfg.mirror_reader_class] >= BOUND_NEVER ||
                       x != e->cfg.mirror_writer_class ||
                       e->cfg.mirror_latency_fs >= e->latency[x][e->cfg.mirror_reader_class],
                   "mirrored writes of %s are faster than its messages", e->classes[x].name);
    e->head_bytes = sizeof(struct batch_head) + e->nclasses * sizeof(simtime_t);
    for (int r = 0; r < e->tr->nranks; r++)
        for (uint32_t x = 0; x < ENGINE_MAX_CLASSES; x++)
            e->outboxes[r].sent[x] = BOUND_NEVER;
    engine_choose_parts(e);
}

enum err engine_run(struct engine *e)
{
    prepare(e);
    start_lps(e);
    if (e->cfg.one_queue && e->tr->nranks == 1) {
        engine_queue_run(e);
        return ERR_OK;
    }
    if (!e->takes_part[e->tr->rank]) {
        engine_sleep(e);
        return ERR_OK;
    }
    engine_exchange(e);
    for (simtime_t next = earliest(e);; next = earliest(e)) {
        engine_rouse(e, next);
        if (engine_close_epochs(e, next))
            return ERR_OK;
        if (e->probe.begin != NULL || e->nparts > 1)
            engine_round(e);
        else
            run_windows(e);
    }
}
