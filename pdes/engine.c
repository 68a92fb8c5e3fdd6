/*
 * See engine.h: making the engine, its event log, and flat copies of its LPs. Running: engine_run.c.
 */
#include "pdes/engine_inside.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* Of the digest of messages. */
const uint64_t engine_digest_keys[6] = {
    UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xd6e8feb86659fd93), UINT64_C(0xbf58476d1ce4e5b9),
    UINT64_C(0x94d049bb133111eb), UINT64_C(0x2545f4914f6cdd1d), UINT64_C(0xff51afd7ed558ccd),
};

uint64_t engine_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void *engine_alloc(void *p, size_t bytes)
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
    e->mirror_due = SIM_NEVER;
    e->outboxes = calloc(n, sizeof *e->outboxes);
    e->takes_part = calloc(n, sizeof *e->takes_part);
    e->out = calloc(n, sizeof *e->out);
    e->out_bytes = calloc(n, sizeof *e->out_bytes);
    e->in = calloc(n, sizeof *e->in);
    e->in_bytes = calloc(n, sizeof *e->in_bytes);
    *out = e; /* the caller destroys it in any case */
    if (!e->outboxes || !e->takes_part || !e->out || !e->out_bytes || !e->in_bytes || !e->in)
        return err_log(ERR_MEMORY, "no host memory for %zu ranks", n);
    for (size_t i = 0; i < ENGINE_MAX_CLASSES; i++)
        for (size_t j = 0; j < ENGINE_MAX_CLASSES; j++)
            e->latency[i][j] = BOUND_NEVER;
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
    for (uint32_t i = 0; i < e->nclasses; i++) {
        free(e->classes[i].local);
        free(e->classes[i].next);
    }
    for (int r = 0; e->outboxes != NULL && r < e->tr->nranks; r++) {
        free(e->outboxes[r].data);
        free(e->outboxes[r].sent_data);
    }
    free(e->lps);
    free(e->outboxes);
    free(e->takes_part);
    free(e->writes);
    free(e->out);
    free(e->out_bytes);
    free(e->in);
    free(e->in_bytes);
    free(e);
}

uint32_t engine_add_class(struct engine *e, const char *name)
{
    SIM_ASSERT(e->nclasses < ENGINE_MAX_CLASSES, "class %s", name);
    e->classes[e->nclasses] = (struct lp_class){.name = name};
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
    simtime_t t = e->latency[src][dst];
    return t >= BOUND_NEVER ? SIM_NEVER : t;
}

enum err engine_add_lp(struct engine *e, const struct lp_ops *ops, uint32_t cls, uint32_t instance,
                       const void *cfg, size_t state_bytes, int rank, lpid_t *id_out)
{
    SIM_ASSERT(rank >= 0 && rank < e->tr->nranks, "%s %u on rank %d of %d", ops->name, instance, rank,
               e->tr->nranks);
    struct lp *lp = aligned_alloc(64, sizeof *lp); /* its size is a multiple of that */
    if (lp == NULL)
        return err_log(ERR_MEMORY, "no host memory for %s %u", ops->name, instance);
    *lp = (struct lp){.ops = ops, .cfg = cfg, .engine = e, .id = e->nlps, .cls = cls,
                      .instance = instance, .rank = rank, .next_private = SIM_NEVER, .edges = e->edges[cls],
                      .way = rank == e->tr->rank ? cls : ENGINE_MAX_CLASSES + cls};
    inbox_init(&lp->inbox);
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
            c->local = engine_alloc(c->local, c->cap * sizeof *c->local);
            c->next = engine_alloc(c->next, c->cap * sizeof *c->next);
        }
        c->local[c->nlocal++] = lp;
    }
    if (e->nlps == e->lps_cap) {
        e->lps_cap = e->lps_cap ? 2 * e->lps_cap : 64;
        e->lps = engine_alloc(e->lps, e->lps_cap * sizeof(struct lp *));
    }
    e->lps[e->nlps] = lp;
    *id_out = e->nlps++;
    return ERR_OK;
}

struct lp *engine_lp(struct engine *e, lpid_t id) { return id < e->nlps ? e->lps[id] : NULL; }
uint32_t engine_nlps(const struct engine *e) { return e->nlps; }
simtime_t engine_epoch_end(const struct engine *e) { return e->closing_end; }
uint64_t engine_digest(const struct engine *e) { return e->digest; }

const struct engine_host *engine_host(const struct engine *e) { return &e->host; }
void engine_set_probe(struct engine *e, const struct engine_probe *probe) { e->probe = *probe; }

simtime_t engine_distance(const struct engine *e, uint32_t src, uint32_t dst)
{
    return e->distance[dst][src];
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
        e->log = engine_alloc(e->log, e->log_cap * sizeof *e->log);
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

/* ---- bounds ----------------------------------------------------------------------------------- */

void engine_find_bounds(struct engine *e)
{
    for (uint32_t x = 0; x < ENGINE_MAX_CLASSES; x++)
        e->bound[x] = BOUND_NEVER;
    for (uint32_t x = 0; x < e->nclasses; x++) {
        struct lp_class *c = &e->classes[x];
        for (uint32_t i = 0; i < c->nlocal; i++) {
            struct lp *lp = c->local[i];
            lp->next = &c->next[i];
            c->next[i] = u64_min(lp->next_private, inbox_next_time(&lp->inbox));
            e->bound[x] = u64_min(e->bound[x], c->next[i]);
        }
    }
}

/* ---- flat copies ------------------------------------------------------------------------------ */

struct saved_lp {
    simtime_t now, next_private, advanced;
    uint64_t seq, ndelivered, state_bytes, nmsgs;
};

struct saved_engine {
    uint64_t epoch, ncuts, digest, nlocal;
    simtime_t epoch_end, last_mirror, latest_mirror;
    simtime_t until[ENGINE_MAX_CLASSES];
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
                     inbox_count(&e->lps[i]->inbox) * sizeof(struct msg);
    return bytes;
}

void engine_save(const struct engine *e, void *buf)
{
    char *p = buf;
    struct saved_engine head = {.epoch = e->epoch, .ncuts = e->ncuts, .digest = e->digest,
                                .nlocal = count_local(e), .epoch_end = e->epoch_end,
                                .last_mirror = e->last_mirror, .latest_mirror = e->latest_mirror};
    memcpy(head.until, e->until, sizeof head.until);
    memcpy(p, &head, sizeof head);
    p += sizeof head;
    for (uint32_t i = 0; i < e->nlps; i++) {
        const struct lp *lp = e->lps[i];
        if (lp->state == NULL)
            continue;
        struct saved_lp s = {lp->now, lp->next_private, lp->advanced, lp->seq, lp->ndelivered, lp->state_bytes,
                             inbox_count(&lp->inbox)};
        memcpy(p, &s, sizeof s);
        p += sizeof s;
        memcpy(p, lp->state, lp->state_bytes);
        p += lp->state_bytes;
        inbox_copy(&lp->inbox, p);
        p += s.nmsgs * sizeof(struct msg);
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
    e->mirror_due = e->latest_mirror > 0 ? 0 : SIM_NEVER; /* readers have some to pass, perhaps */
    e->readers_past = 0;
    memcpy(e->until, head.until, sizeof e->until);
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
            inbox_push(&lp->inbox, (unsigned)e->lps[m.src]->edges[lp->way].lane, &m);
        }
    }
    engine_find_bounds(e);
    return ERR_OK;
}
