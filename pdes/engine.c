/*
 * See engine.h. A window of one phase:
 *
 *     bounds (same on all ranks) -> safe time per class -> run local LPs of the phase's classes
 *     -> one batch to each rank {bounds, messages, mirrored writes} -> deliver -> new bounds
 *
 * All ranks hold the same bounds after each exchange, hence take the same decisions (epoch boundary,
 * end) without any collective.
 */
#include "pdes/engine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "pdes/rng.h"

struct lp_class {
    const char *name;
    unsigned phase;
    struct lp **local; /* LPs of this rank */
    uint32_t nlocal, cap, nlps;
    simtime_t pending; /* earliest pending on this rank */
    simtime_t next;    /* earliest pending anywhere, as of the last exchange */
    simtime_t until;   /* everything before it is done */
};

/* Batch to one rank: header, then messages, then mirrored writes. */
struct batch_head {
    uint64_t nbytes;
    uint32_t nmsgs, nwrites;
    simtime_t next[ENGINE_MAX_CLASSES];
};

struct outbox {
    struct msg *msgs;
    uint32_t nmsgs, cap;
};

struct engine {
    struct engine_config cfg;
    struct engine_hooks hooks;
    struct transport *tr;
    struct lp_class classes[ENGINE_MAX_CLASSES];
    uint32_t nclasses;
    simtime_t latency[ENGINE_MAX_CLASSES][ENGINE_MAX_CLASSES];
    simtime_t distance[ENGINE_MAX_CLASSES][ENGINE_MAX_CLASSES]; /* least over chains of edges */
    struct lp **lps; /* of the whole machine, by id */
    uint32_t nlps, lps_cap;
    struct outbox *outboxes; /* per rank */
    struct mirror_write *writes;
    uint32_t nwrites, writes_cap;
    simtime_t last_mirror;   /* of this rank's sender */
    simtime_t latest_mirror; /* known to this rank */
    simtime_t sent_next[ENGINE_MAX_CLASSES]; /* earliest message sent to another rank, per class */
    char **batch;
    size_t *batch_cap, *batch_bytes, *in_bytes;
    const void **in;
    uint64_t epoch, ncuts, digest;
    simtime_t epoch_end, closing_end;
    bool restored; /* LPs were loaded, not started */
    struct elog_filter log_filter;
    struct elog_rec *log;
    size_t nlog, log_cap;
    struct engine_host host;
    struct engine_probe probe;
    bool probed;  /* the phase under way is watched */
    bool sampled; /* classes of the window under way are timed */
};

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void *must_alloc(void *p, size_t bytes)
{
    void *q = realloc(p, bytes);
    if (q == NULL)
        err_fatal(ERR_MEMORY, "no host memory for %zu bytes of the engine", bytes);
    return q;
}

/* State comes zeroed and untouched: a large array costs host memory only where it is used. */
static void *state_alloc(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

enum err engine_create(const struct engine_config *cfg, const struct engine_hooks *hooks,
                       struct transport *tr, struct engine **out)
{
    SIM_ASSERT(cfg->epoch_fs > 0, "epoch of %llu fs", (unsigned long long)cfg->epoch_fs);
    struct engine *e = calloc(1, sizeof *e);
    size_t n = (size_t)tr->nranks;
    if (e == NULL)
        return err_log(ERR_MEMORY, "no host memory for the engine");
    e->cfg = *cfg;
    e->hooks = *hooks;
    e->tr = tr;
    e->epoch_end = cfg->epoch_fs;
    e->outboxes = calloc(n, sizeof *e->outboxes);
    e->batch = calloc(n, sizeof *e->batch);
    e->batch_cap = calloc(n, sizeof *e->batch_cap);
    e->batch_bytes = calloc(n, sizeof *e->batch_bytes);
    e->in_bytes = calloc(n, sizeof *e->in_bytes);
    e->in = calloc(n, sizeof *e->in);
    *out = e; /* the caller destroys it in any case */
    if (!e->outboxes || !e->batch || !e->batch_cap || !e->batch_bytes || !e->in_bytes || !e->in)
        return err_log(ERR_MEMORY, "no host memory for %zu ranks", n);
    for (size_t i = 0; i < ENGINE_MAX_CLASSES; i++)
        for (size_t j = 0; j < ENGINE_MAX_CLASSES; j++)
            e->latency[i][j] = e->distance[i][j] = SIM_NEVER;
    return ERR_OK;
}

void engine_destroy(struct engine *e)
{
    if (e == NULL)
        return;
    for (uint32_t i = 0; i < e->nlps; i++) {
        struct lp *lp = e->lps[i];
        inbox_free(&lp->inbox);
        if (lp->state != NULL)
            munmap(lp->state, lp->state_bytes);
        free(lp);
    }
    free(e->log);
    for (uint32_t i = 0; i < e->nclasses; i++)
        free(e->classes[i].local);
    for (int r = 0; r < e->tr->nranks; r++) {
        if (e->outboxes != NULL)
            free(e->outboxes[r].msgs);
        if (e->batch != NULL)
            free(e->batch[r]);
    }
    free(e->lps);
    free(e->outboxes);
    free(e->writes);
    free(e->batch);
    free(e->batch_cap);
    free(e->batch_bytes);
    free(e->in_bytes);
    free(e->in);
    free(e);
}

uint32_t engine_add_class(struct engine *e, const char *name, unsigned phase)
{
    SIM_ASSERT(e->nclasses < ENGINE_MAX_CLASSES && phase < ENGINE_NPHASES, "class %s", name);
    e->classes[e->nclasses] = (struct lp_class){.name = name, .phase = phase, .pending = SIM_NEVER, .next = SIM_NEVER};
    return e->nclasses++;
}

void engine_add_edge(struct engine *e, uint32_t src, uint32_t dst, simtime_t min_latency_fs)
{
    SIM_ASSERT(min_latency_fs > 0, "edge %s -> %s without latency leaves no lookahead",
               e->classes[src].name, e->classes[dst].name);
    e->latency[src][dst] = min_latency_fs;
}

simtime_t engine_edge(const struct engine *e, uint32_t src, uint32_t dst)
{
    return e->latency[src][dst];
}

enum err engine_add_lp(struct engine *e, const struct lp_ops *ops, uint32_t cls, uint32_t instance,
                       const void *cfg, size_t state_bytes, int rank, lpid_t *id_out)
{
    SIM_ASSERT(rank >= 0 && rank < e->tr->nranks, "%s %u on rank %d of %d", ops->name, instance, rank,
               e->tr->nranks);
    struct lp *lp = calloc(1, sizeof *lp);
    if (lp == NULL)
        return err_log(ERR_MEMORY, "no host memory for %s %u", ops->name, instance);
    *lp = (struct lp){.ops = ops, .cfg = cfg, .engine = e, .id = e->nlps, .cls = cls,
                      .instance = instance, .rank = rank, .next_private = SIM_NEVER};
    e->classes[cls].nlps++;
    if (rank == e->tr->rank) {
        lp->state_bytes = state_bytes ? state_bytes : 1;
        lp->state = state_alloc(lp->state_bytes);
        if (lp->state == NULL) {
            free(lp);
            return err_log(ERR_MEMORY, "no host memory for the state of %s %u (%zu bytes)",
                           ops->name, instance, state_bytes);
        }
        struct lp_class *c = &e->classes[cls];
        if (c->nlocal == c->cap) {
            c->cap = c->cap ? 2 * c->cap : 8;
            c->local = must_alloc(c->local, c->cap * sizeof *c->local);
        }
        c->local[c->nlocal++] = lp;
    }
    if (e->nlps == e->lps_cap) {
        e->lps_cap = e->lps_cap ? 2 * e->lps_cap : 64;
        e->lps = must_alloc(e->lps, e->lps_cap * sizeof(struct lp *));
    }
    e->lps[e->nlps] = lp;
    *id_out = e->nlps++;
    return ERR_OK;
}

struct lp *engine_lp(struct engine *e, lpid_t id) { return id < e->nlps ? e->lps[id] : NULL; }
uint32_t engine_nlps(const struct engine *e) { return e->nlps; }
simtime_t engine_epoch_end(const struct engine *e) { return e->closing_end; }
const struct engine_host *engine_host(const struct engine *e) { return &e->host; }
void engine_set_probe(struct engine *e, const struct engine_probe *probe) { e->probe = *probe; }

simtime_t engine_distance(const struct engine *e, uint32_t src, uint32_t dst)
{
    return e->distance[src][dst];
}

/* ---- the event log ---------------------------------------------------------------------------- */

unsigned elog_vaddr_field(const struct elog_desc *d)
{
    unsigned i = 0;
    while (i < ELOG_NFIELDS && (d->fields[i].form == ELOG_END || strcmp(d->fields[i].name, "vaddr") != 0))
        i++;
    return i;
}

static bool log_wants(const struct engine *e, const struct lp *lp, uint32_t kind, const uint64_t *a)
{
    const struct elog_filter *f = &e->log_filter;
    if (lp->now < f->from || lp->now >= f->to)
        return false;
    if (!f->has_page)
        return true;
    unsigned field = elog_vaddr_field(&lp->ops->events[kind]);
    return field == ELOG_NO_FIELD ? f->keep_others : a[field] >> PAGE_SHIFT == f->page;
}

void lp_log(struct lp *lp, uint32_t kind, const uint64_t a[ELOG_NFIELDS])
{
    struct engine *e = lp->engine;
    if (!log_wants(e, lp, kind, a))
        return;
    if (e->nlog == e->log_cap) {
        e->log_cap = e->log_cap ? 2 * e->log_cap : 1024;
        e->log = must_alloc(e->log, e->log_cap * sizeof *e->log);
    }
    struct elog_rec *r = &e->log[e->nlog++];
    *r = (struct elog_rec){.time = lp->now, .seq = lp->nlogged++, .lp = lp->id, .kind = kind};
    memcpy(r->a, a, sizeof r->a);
}

void engine_log_filter(struct engine *e, const struct elog_filter *filter) { e->log_filter = *filter; }

const struct elog_rec *engine_log_take(struct engine *e, size_t *n_out)
{
    *n_out = e->nlog;
    e->nlog = 0;
    return e->log;
}

/* ---- sending and delivering ------------------------------------------------------------------ */

static void deliver(struct engine *e, const struct msg *m)
{
    struct lp *dst = e->lps[m->dst];
    SIM_ASSERT(m->time >= e->classes[dst->cls].until,
               "message %u from LP %u to %s %u arrives at %llu fs, in the past of %llu fs", m->type,
               m->src, dst->ops->name, dst->instance, (unsigned long long)m->time,
               (unsigned long long)e->classes[dst->cls].until);
    inbox_push(&dst->inbox, m);
    struct lp_class *c = &e->classes[dst->cls];
    c->pending = u64_min(c->pending, m->time);
}

void lp_send(struct lp *lp, lpid_t dst_id, simtime_t time, uint16_t type, uint32_t arg, uint64_t a0,
             uint64_t a1, uint64_t a2, uint64_t a3)
{
    struct engine *e = lp->engine;
    struct lp *dst = e->lps[dst_id];
    SIM_ASSERT(e->latency[lp->cls][dst->cls] != SIM_NEVER &&
                   time >= time_add(lp->now, e->latency[lp->cls][dst->cls]),
               "%s %u at %llu fs sends message %u to %s %u for %llu fs; the edge declares at least %llu fs",
               lp->ops->name, lp->instance, (unsigned long long)lp->now, type & 0xffu, dst->ops->name,
               dst->instance, (unsigned long long)time,
               (unsigned long long)e->latency[lp->cls][dst->cls]);
    struct msg m = {.time = time, .seq = lp->seq++, .src = lp->id, .dst = dst_id,
                    .type = (uint16_t)(type & 0xffu), .flags = (uint16_t)(type >> 8), .arg = arg,
                    .a = {a0, a1, a2, a3}};
    if (__builtin_expect(e->probed, 0))
        e->probe.sent(e->probe.ctx, lp->id, dst_id);
    if (dst->state != NULL) {
        deliver(e, &m);
        return;
    }
    struct outbox *o = &e->outboxes[dst->rank];
    if (o->nmsgs == o->cap) {
        o->cap = o->cap ? 2 * o->cap : 64;
        o->msgs = must_alloc(o->msgs, o->cap * sizeof *o->msgs);
    }
    o->msgs[o->nmsgs++] = m;
    e->sent_next[dst->cls] = u64_min(e->sent_next[dst->cls], time);
}

static void take_mirror(struct engine *e, const struct mirror_write *w)
{
    e->latest_mirror = u64_max(e->latest_mirror, w->time);
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
    take_mirror(e, &w);
    if (e->probed)
        e->probe.sent(e->probe.ctx, lp->id, LPID_NONE);
    if (e->tr->nranks == 1)
        return;
    if (e->nwrites == e->writes_cap) {
        e->writes_cap = e->writes_cap ? 2 * e->writes_cap : 64;
        e->writes = must_alloc(e->writes, e->writes_cap * sizeof *e->writes);
    }
    e->writes[e->nwrites++] = w;
}

/* Of one message; the words are multiplied side by side, so that it costs little. */
static inline uint64_t msg_digest(const struct msg *m)
{
    uint64_t x = (m->time ^ UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xd6e8feb86659fd93);
    x += (((uint64_t)m->src << 32 | m->dst) ^ m->seq << 13) * UINT64_C(0xbf58476d1ce4e5b9);
    x += ((uint64_t)m->arg << 32 | (uint64_t)m->flags << 16 | m->type) * UINT64_C(0x94d049bb133111eb);
    x += (m->a[0] ^ m->a[1] << 17) * UINT64_C(0x2545f4914f6cdd1d);
    x += (m->a[2] ^ m->a[3] << 29) * UINT64_C(0xff51afd7ed558ccd);
    return x ^ x >> 32;
}

uint64_t engine_digest(const struct engine *e) { return e->digest; }

/* ---- running ---------------------------------------------------------------------------------- */

/*
 * A reader of mirrored writes must pass the time of each, even when it has nothing else to do.
 */
static inline bool must_advance(const struct engine *e, const struct lp *lp, simtime_t limit)
{
    return lp->next_private < limit ||
           (lp->cls == e->cfg.mirror_reader_class && e->latest_mirror >= lp->advanced && limit > lp->advanced);
}

/* Returns the time of what the LP does next. */
static simtime_t run_lp(struct engine *e, struct lp *lp, simtime_t until)
{
    const struct lp_ops *ops = lp->ops;
    for (;;) {
        simtime_t arrival = inbox_next_time(&lp->inbox);
        simtime_t limit = u64_min(arrival, until);
        if (ops->advance != NULL && must_advance(e, lp, limit)) {
            lp->next_private = ops->advance(lp, limit);
            lp->advanced = limit;
            SIM_ASSERT(lp->next_private >= limit, "%s %u wants to act at %llu fs again",
                       ops->name, lp->instance, (unsigned long long)lp->next_private);
        }
        if (arrival >= until)
            return u64_min(arrival, lp->next_private);
        struct msg m;
        inbox_pop(&lp->inbox, &m);
        lp->now = m.time;
        lp->ndelivered++;
        e->digest += msg_digest(&m);
        e->host.ndelivered++;
        ops->handle(lp, &m);
        lp->next_private = ops->advance != NULL ? m.time : SIM_NEVER;
    }
}

static simtime_t local_next(const struct lp_class *c)
{
    simtime_t next = SIM_NEVER;
    for (uint32_t i = 0; i < c->nlocal; i++) {
        const struct lp *lp = c->local[i];
        next = u64_min(next, u64_min(lp->next_private, inbox_next_time(&lp->inbox)));
    }
    return next;
}

static void close_distances(struct engine *e)
{
    uint32_t n = e->nclasses;
    memcpy(e->distance, e->latency, sizeof e->distance);
    for (uint32_t k = 0; k < n; k++)
        for (uint32_t i = 0; i < n; i++)
            for (uint32_t j = 0; j < n; j++)
                e->distance[i][j] = u64_min(e->distance[i][j],
                                            time_add(e->distance[i][k], e->distance[k][j]));
}

/* No message can reach class x before this. */
static simtime_t safe_time(const struct engine *e, uint32_t x)
{
    simtime_t safe = SIM_NEVER;
    for (uint32_t y = 0; y < e->nclasses; y++) {
        simtime_t next = e->classes[y].next, distance = e->distance[y][x];
        simtime_t sum = next + distance; /* either may be SIM_NEVER */
        if (sum >= next && sum < safe)
            safe = sum;
    }
    return safe;
}

static simtime_t cut(struct engine *e, simtime_t next, simtime_t until)
{
    if (e->cfg.cut_seed == 0 || next >= until)
        return until;
    uint64_t r = rng_draw(e->cfg.cut_seed, 0, (uint64_t)e->tr->rank, 0, e->ncuts++);
    return next + 1 + rng_below(r, until - next);
}

static void run_class(struct engine *e, struct lp_class *c, simtime_t until)
{
    for (uint32_t i = 0; i < c->nlocal; i++) {
        simtime_t next = run_lp(e, c->local[i], until);
        c->pending = u64_min(c->pending, next);
    }
}

/* LPs that had nothing to do. */
struct idle {
    uint64_t ns, n;
};

/* The same, watched. */
static void run_class_probed(struct engine *e, struct lp_class *c, simtime_t until, struct idle *idle)
{
    uint64_t start = now_ns();
    for (uint32_t i = 0; i < c->nlocal; i++) {
        struct lp *lp = c->local[i];
        uint64_t delivered = lp->ndelivered;
        bool busy = inbox_next_time(&lp->inbox) < until || (lp->ops->advance != NULL && must_advance(e, lp, until));
        simtime_t next = run_lp(e, lp, until);
        c->pending = u64_min(c->pending, next);
        uint64_t end = now_ns();
        if (busy)
            e->probe.ran(e->probe.ctx, lp, end - start, lp->ndelivered - delivered);
        idle->ns += busy ? 0 : end - start;
        idle->n += !busy;
        start = busy ? now_ns() : end; /* what the probe does is not the next LP's time */
    }
}

/* One window of 32, spread evenly, but not in step with anything that the workload repeats. */
static bool sample_window(uint64_t window) { return (uint32_t)window * UINT32_C(0x9e3779b1) >> 27 == 0; }

static void run_phase(struct engine *e, unsigned phase)
{
    struct idle idle = {0};
    e->probed = e->probe.begin != NULL && e->probe.begin(e->probe.ctx, e->host.nwindows, phase);
    bool timed = e->tr->nranks > 1; /* alone, the whole run is running */
    uint64_t start = timed ? now_ns() : 0;
    for (uint32_t x = 0; x < e->nclasses; x++) {
        struct lp_class *c = &e->classes[x];
        if (c->phase != phase || c->nlps == 0)
            continue;
        simtime_t until = u64_min(safe_time(e, x), e->epoch_end);
        until = u64_max(cut(e, c->next, until), c->until);
        c->until = until;
        c->pending = SIM_NEVER; /* what is delivered meanwhile lowers it again */
        uint64_t class_start = e->sampled ? now_ns() : 0;
        if (__builtin_expect(e->probed, 0))
            run_class_probed(e, c, until, &idle);
        else
            run_class(e, c, until);
        if (e->sampled)
            e->host.class_ns[x] += now_ns() - class_start;
        if (x == e->cfg.mirror_reader_class && e->hooks.mirror_floor && until > 0)
            e->hooks.mirror_floor(e->hooks.mirror_ctx, until - 1);
    }
    if (timed)
        e->host.run_ns[phase] += now_ns() - start;
    if (e->probed)
        e->probe.end(e->probe.ctx, phase, idle.ns, idle.n);
    e->probed = false;
}

static void fill_batch(struct engine *e, int r, const simtime_t *next)
{
    struct outbox *o = &e->outboxes[r];
    size_t bytes = sizeof(struct batch_head) + o->nmsgs * sizeof(struct msg) +
                   e->nwrites * sizeof(struct mirror_write);
    if (e->batch_cap[r] < bytes) {
        e->batch[r] = must_alloc(e->batch[r], 2 * bytes);
        e->batch_cap[r] = 2 * bytes;
    }
    struct batch_head head = {.nbytes = bytes, .nmsgs = o->nmsgs, .nwrites = e->nwrites};
    memcpy(head.next, next, sizeof head.next);
    char *p = e->batch[r];
    memcpy(p, &head, sizeof head);
    p += sizeof head;
    if (o->nmsgs)
        memcpy(p, o->msgs, o->nmsgs * sizeof(struct msg));
    p += o->nmsgs * sizeof(struct msg);
    if (e->nwrites)
        memcpy(p, e->writes, e->nwrites * sizeof(struct mirror_write));
    e->batch_bytes[r] = bytes;
    e->host.nmessages_remote += o->nmsgs;
    e->host.nbytes_remote += bytes;
    o->nmsgs = 0;
}

static void take_batch(struct engine *e, const char *p, simtime_t *next)
{
    struct batch_head head;
    memcpy(&head, p, sizeof head);
    p += sizeof head;
    for (uint32_t x = 0; x < e->nclasses; x++)
        next[x] = u64_min(next[x], head.next[x]);
    for (uint32_t i = 0; i < head.nmsgs; i++, p += sizeof(struct msg)) {
        struct msg m;
        memcpy(&m, p, sizeof m);
        deliver(e, &m);
    }
    for (uint32_t i = 0; i < head.nwrites; i++, p += sizeof(struct mirror_write)) {
        struct mirror_write w;
        memcpy(&w, p, sizeof w);
        take_mirror(e, &w);
    }
}

/* Sends this rank's messages and bounds, receives the others', and agrees on the new bounds. */
static void exchange(struct engine *e)
{
    simtime_t next[ENGINE_MAX_CLASSES];
    for (uint32_t x = 0; x < ENGINE_MAX_CLASSES; x++)
        next[x] = x < e->nclasses ? e->classes[x].pending : SIM_NEVER;
    if (e->tr->nranks > 1) {
        uint64_t start = now_ns();
        for (uint32_t x = 0; x < e->nclasses; x++) {
            next[x] = u64_min(next[x], e->sent_next[x]);
            e->sent_next[x] = SIM_NEVER;
        }
        for (int r = 0; r < e->tr->nranks; r++)
            if (r != e->tr->rank)
                fill_batch(e, r, next);
        e->nwrites = 0;
        e->tr->ops->exchange(e->tr, (const void *const *)e->batch, e->batch_bytes, e->in,
                             e->in_bytes);
        for (int r = 0; r < e->tr->nranks; r++)
            if (r != e->tr->rank)
                take_batch(e, e->in[r], next);
        e->host.exchange_ns += now_ns() - start;
        e->host.wait_ns = e->tr->wait_ns;
    }
    for (uint32_t x = 0; x < e->nclasses; x++)
        e->classes[x].next = next[x];
}

static simtime_t earliest(const struct engine *e)
{
    simtime_t t = SIM_NEVER;
    for (uint32_t x = 0; x < e->nclasses; x++)
        t = u64_min(t, e->classes[x].next);
    return t;
}

/* Closes every epoch that nothing pending belongs to; true: stop. */
static bool close_epochs(struct engine *e)
{
    simtime_t next = earliest(e);
    while (next >= e->epoch_end) {
        if (next == SIM_NEVER && !e->hooks.idle(e->hooks.ctx))
            return true;
        uint64_t start = now_ns(), epoch = e->epoch++;
        e->closing_end = e->epoch_end;
        e->epoch_end += e->cfg.epoch_fs; /* before the hook: it may save, and what is saved is past it */
        bool stop = e->hooks.epoch(e->hooks.ctx, epoch, e->closing_end) || next == SIM_NEVER;
        e->host.epoch_ns += now_ns() - start;
        if (stop)
            return true;
    }
    return false;
}

enum err engine_run(struct engine *e)
{
    close_distances(e);
    for (uint32_t x = 0; x < e->nclasses && e->hooks.mirror; x++)
        SIM_ASSERT(e->latency[x][e->cfg.mirror_reader_class] == SIM_NEVER ||
                       x != e->cfg.mirror_writer_class ||
                       e->cfg.mirror_latency_fs >= e->latency[x][e->cfg.mirror_reader_class],
                   "mirrored writes of %s are faster than its messages", e->classes[x].name);
    for (uint32_t x = 0; x < ENGINE_MAX_CLASSES; x++)
        e->sent_next[x] = SIM_NEVER;
    for (uint32_t i = 0; i < e->nlps; i++) {
        struct lp *lp = e->lps[i];
        if (lp->state == NULL || e->restored)
            continue;
        if (lp->ops->start)
            lp->ops->start(lp);
        if (lp->ops->advance)
            lp->next_private = 0;
    }
    for (uint32_t x = 0; x < e->nclasses; x++)
        e->classes[x].pending = local_next(&e->classes[x]);
    exchange(e);
    while (!close_epochs(e)) {
        e->sampled = sample_window(e->host.nwindows);
        for (unsigned phase = 0; phase < ENGINE_NPHASES; phase++) {
            run_phase(e, phase);
            exchange(e);
        }
        e->host.nwindows++;
    }
    return ERR_OK;
}

/* ---- flat copies ------------------------------------------------------------------------------ */

struct saved_lp {
    simtime_t now, next_private, advanced;
    uint64_t seq, ndelivered, state_bytes, nmsgs;
};

struct saved_engine {
    uint64_t epoch, ncuts, digest, nlocal;
    simtime_t epoch_end, last_mirror, latest_mirror;
    simtime_t next[ENGINE_MAX_CLASSES], until[ENGINE_MAX_CLASSES];
};

static uint64_t count_local(const struct engine *e)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < e->nlps; i++)
        n += e->lps[i]->state != NULL;
    return n;
}

size_t engine_save_bytes(const struct engine *e)
{
    size_t bytes = sizeof(struct saved_engine);
    for (uint32_t i = 0; i < e->nlps; i++)
        if (e->lps[i]->state != NULL)
            bytes += sizeof(struct saved_lp) + e->lps[i]->state_bytes +
                     e->lps[i]->inbox.n * sizeof(struct msg);
    return bytes;
}

void engine_save(const struct engine *e, void *buf)
{
    char *p = buf;
    struct saved_engine head = {.epoch = e->epoch, .ncuts = e->ncuts, .digest = e->digest,
                                .nlocal = count_local(e), .epoch_end = e->epoch_end,
                                .last_mirror = e->last_mirror, .latest_mirror = e->latest_mirror};
    for (uint32_t x = 0; x < e->nclasses; x++) {
        head.next[x] = e->classes[x].next;
        head.until[x] = e->classes[x].until;
    }
    memcpy(p, &head, sizeof head);
    p += sizeof head;
    for (uint32_t i = 0; i < e->nlps; i++) {
        const struct lp *lp = e->lps[i];
        if (lp->state == NULL)
            continue;
        struct saved_lp s = {lp->now, lp->next_private, lp->advanced, lp->seq, lp->ndelivered, lp->state_bytes,
                             lp->inbox.n};
        memcpy(p, &s, sizeof s);
        p += sizeof s;
        memcpy(p, lp->state, lp->state_bytes);
        p += lp->state_bytes;
        for (uint32_t j = 0; j < lp->inbox.n; j++, p += sizeof(struct msg))
            memcpy(p, inbox_at(&lp->inbox, j), sizeof(struct msg));
    }
}

enum err engine_load(struct engine *e, const void *buf, size_t nbytes)
{
    const char *p = buf, *end = p + nbytes;
    struct saved_engine head;
    if (nbytes < sizeof head)
        return err_log(ERR_RUNTIME, "saved state of %zu bytes is too short", nbytes);
    memcpy(&head, p, sizeof head);
    p += sizeof head;
    if (head.nlocal != count_local(e))
        return err_log(ERR_RUNTIME, "saved state has %llu LPs, this rank has %llu",
                       (unsigned long long)head.nlocal, (unsigned long long)count_local(e));
    e->restored = true;
    e->epoch = head.epoch;
    e->ncuts = head.ncuts;
    e->digest = head.digest;
    e->epoch_end = head.epoch_end;
    e->last_mirror = head.last_mirror;
    e->latest_mirror = head.latest_mirror;
    for (uint32_t x = 0; x < e->nclasses; x++) {
        e->classes[x].next = head.next[x];
        e->classes[x].until = head.until[x];
    }
    for (uint32_t i = 0; i < e->nlps; i++) {
        struct lp *lp = e->lps[i];
        if (lp->state == NULL)
            continue;
        struct saved_lp s;
        if ((size_t)(end - p) < sizeof s)
            return err_log(ERR_RUNTIME, "saved state ends inside %s %u", lp->ops->name, lp->instance);
        memcpy(&s, p, sizeof s);
        p += sizeof s;
        if (s.state_bytes != lp->state_bytes ||
            (size_t)(end - p) < s.state_bytes + s.nmsgs * sizeof(struct msg))
            return err_log(ERR_RUNTIME, "saved state of %s %u has %llu bytes, expected %zu",
                           lp->ops->name, lp->instance, (unsigned long long)s.state_bytes,
                           lp->state_bytes);
        memcpy(lp->state, p, s.state_bytes);
        p += s.state_bytes;
        lp->now = s.now;
        lp->next_private = s.next_private;
        lp->advanced = s.advanced;
        lp->seq = s.seq;
        lp->ndelivered = s.ndelivered;
        inbox_free(&lp->inbox);
        for (uint64_t j = 0; j < s.nmsgs; j++, p += sizeof(struct msg)) {
            struct msg m;
            memcpy(&m, p, sizeof m);
            inbox_push(&lp->inbox, &m);
        }
    }
    for (uint32_t x = 0; x < e->nclasses; x++)
        e->classes[x].pending = local_next(&e->classes[x]);
    return ERR_OK;
}
