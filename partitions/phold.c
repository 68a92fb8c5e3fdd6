/* See phold.h. LPs are dealt out to the ranks in blocks; half of them form a second class. */
#include "partitions/phold.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pdes/engine.h"
#include "pdes/rng.h"

struct phold_cfg {
    uint64_t nlps, per_lp, remote_percent, lookahead_ns, mean_ns, time_us;
};

struct phold_state {
    uint64_t nevents, hash;
};

static void pass_on(struct lp *lp, uint64_t draw)
{
    const struct phold_cfg *c = lp->cfg;
    if (lp->now >= c->time_us * FS_PER_US)
        return;
    uint64_t r = rng_draw(1, 2, lp->instance, lp->cls, draw);
    lpid_t dst = lp->id ^ 1; /* the neighbour, in the other class */
    if (rng_below(r, 100) < c->remote_percent)
        dst = (lpid_t)((rng_mix(r) % (c->nlps / 2)) * 2 + ((lp->id & 1) ^ 1));
    simtime_t delay = c->lookahead_ns * FS_PER_NS + rng_below(rng_mix(r + 1), 2 * c->mean_ns * FS_PER_NS);
    lp_send(lp, dst, lp->now + delay, 1, 0, draw, 0, 0, 0);
}

static void phold_start(struct lp *lp)
{
    const struct phold_cfg *c = lp->cfg;
    for (uint64_t i = 0; i < c->per_lp; i++)
        pass_on(lp, UINT64_MAX - i);
}

static void phold_handle(struct lp *lp, const struct msg *m)
{
    struct phold_state *s = lp->state;
    s->hash = rng_mix(s->hash ^ m->time ^ m->src);
    pass_on(lp, s->nevents++);
}

static const struct lp_ops phold_ops = {.name = "phold", .start = phold_start, .handle = phold_handle};

static bool phold_epoch(void *ctx, uint64_t epoch, simtime_t end)
{
    (void)ctx, (void)epoch, (void)end;
    return false;
}

static bool phold_idle(void *ctx)
{
    (void)ctx;
    return true;
}

static enum err parse(int argc, char **argv, struct phold_cfg *c)
{
    const struct {
        const char *name;
        uint64_t *value;
    } options[] = {{"--lps", &c->nlps}, {"--events-per-lp", &c->per_lp}, {"--remote", &c->remote_percent},
                   {"--lookahead", &c->lookahead_ns}, {"--mean", &c->mean_ns}, {"--time", &c->time_us}};
    for (int i = 1; i < argc; i += 2) {
        size_t k = 0;
        while (k < 6 && strcmp(argv[i], options[k].name) != 0)
            k++;
        if (k == 6 || i + 1 == argc)
            return err_log(ERR_USAGE, "phold: '%s': expected --lps, --events-per-lp, --remote, --lookahead, --mean or --time and a number", argv[i]);
        *options[k].value = strtoull(argv[i + 1], NULL, 10);
    }
    if (c->nlps < 2 || c->nlps % 2 != 0 || c->lookahead_ns == 0 || c->mean_ns == 0)
        return err_log(ERR_USAGE, "phold: needs an even number of LPs, and a lookahead and mean above 0");
    return ERR_OK;
}

static double now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static enum err phold(const struct phold_cfg *c, struct transport *tr)
{
    struct engine *e;
    struct engine_config ec = {.epoch_fs = FS_PER_S, .mirror_reader_class = ENGINE_MAX_CLASSES};
    struct engine_hooks hooks = {.epoch = phold_epoch, .idle = phold_idle};
    enum err err = engine_create(&ec, &hooks, tr, &e);
    if (err != ERR_OK)
        return err;
    uint32_t cls[2] = {engine_add_class(e, "even"), engine_add_class(e, "odd")};
    engine_add_edge(e, cls[0], cls[1], c->lookahead_ns * FS_PER_NS);
    engine_add_edge(e, cls[1], cls[0], c->lookahead_ns * FS_PER_NS);
    for (uint64_t i = 0; err == ERR_OK && i < c->nlps; i++) {
        lpid_t id;
        err = engine_add_lp(e, &phold_ops, cls[i % 2], (uint32_t)(i / 2), c, sizeof(struct phold_state),
                            (int)(i * (uint64_t)tr->nranks / c->nlps), &id);
    }
    double start = now_s();
    if (err == ERR_OK)
        err = engine_run(e);
    double seconds = now_s() - start;
    uint64_t events = tr->ops->sum(tr, engine_host(e)->ndelivered);
    uint64_t digest = tr->ops->sum(tr, engine_digest(e));
    if (tr->rank == 0)
        printf("phold: %llu LPs, %llu events, %.2f M events/s, %llu windows, digest %016llx\n",
               (unsigned long long)c->nlps, (unsigned long long)events, (double)events / seconds * 1e-6,
               (unsigned long long)engine_host(e)->nwindows, (unsigned long long)digest);
    engine_destroy(e);
    return err;
}

int phold_main(int argc, char **argv)
{
    struct phold_cfg c = {.nlps = 8, .per_lp = 4, .remote_percent = 50, .lookahead_ns = 10, .mean_ns = 10, .time_us = 2000};
    enum err e = parse(argc, argv, &c);
    struct transport *tr = transport_self();
    if (e == ERR_OK && transport_mpi_launched())
        e = transport_mpi_open(&argc, &argv, &tr);
    if (e == ERR_OK)
        e = phold(&c, tr);
    tr->ops->close(tr);
    return err_exit_code(e);
}
