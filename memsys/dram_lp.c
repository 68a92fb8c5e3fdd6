/* See dram_lp.h. */
#include "memsys/dram_lp.h"

#include "pdes/rng.h"

#include <stdio.h>
#include <string.h>

static const char *const row_names[] = {"row hit", "bank closed", "row conflict", NULL};
enum { DE_ACCESS, DE_COUNT };
static const struct elog_desc dram_events[DE_COUNT] = {
    [DE_ACCESS] = {"dram", "DRAM_ACCESS", "the column command of a request; its answer leaves at `answer`",
                   {F_HEX(line), F_NAME(kind, mem_kind_names), F_COUNT(write), F_COUNT(bank), F_HEX(row),
                    F_NAME(met, row_names), F_TIME(arrival), F_TIME(answer)}},
};

#define RNG_KIND_JITTER UINT64_C(0x6a69747465)

static void channel_start(struct lp *lp)
{
    const struct dram_lp_cfg *c = lp->cfg;
    dram_init(lp->state, &c->dram);
}

static void channel_handle(struct lp *lp, const struct msg *m)
{
    const struct dram_lp_cfg *c = lp->cfg;
    SIM_ASSERT(m->type == DRAM_READ || m->type == DRAM_WRITE, "message %u to a channel", m->type);
    dram_enqueue(lp->state, &c->dram, m->time, (paddr_t){m->a[0]}, MEM_KIND(m->flags),
                 m->type == DRAM_WRITE, m->arg, m->src);
}

/* The draw has the number of the read. */
static simtime_t jitter(const struct dram_lp_cfg *c, const struct lp *lp)
{
    const struct dram *d = lp->state;
    uint64_t nreads = 0;
    for (unsigned kind = 0; kind < LINE_KINDS; kind++)
        nreads += d->stats.reads[kind];
    return rng_below(rng_draw(c->jitter_seed, RNG_KIND_JITTER, lp->instance, 0, nreads), c->jitter_fs + 1);
}

static void send_answer(struct lp *lp, const struct dram_lp_cfg *c, const struct dram_done *done)
{
    const struct dram_request *q = done->request;
    simtime_t way_fs = noc_slice_channel_fs(c->noc, q->src - c->slice0, lp->instance);
    uint32_t type = MSG_TYPE(q->is_write ? DRAM_WRITE_ACK : DRAM_DATA, q->kind);
    if (c->jitter_fs != 0 && !q->is_write)
        way_fs += jitter(c, lp);
    lp_send(lp, q->src, done->answer + way_fs, type, q->token, q->line.v, 0, 0, 0);
}

static simtime_t channel_advance(struct lp *lp, simtime_t until)
{
    const struct dram_lp_cfg *c = lp->cfg;
    struct dram *d = lp->state;
    struct dram_done done;
    while (dram_next_time(d, &c->dram) < until) {
        if (!dram_advance(d, &c->dram, until, &done))
            continue;
        const struct dram_request *q = done.request;
        lp->now = d->now;
        LP_LOG(lp, DE_ACCESS, q->line.v, q->kind, q->is_write, q->bank, q->row, q->row_state, q->arrival,
               done.answer);
        send_answer(lp, c, &done);
    }
    return d->plan.time;
}

static void channel_stats(struct lp *lp, uint64_t *row_out)
{
    const struct dram *d = lp->state;
    memcpy(row_out, &d->stats, sizeof d->stats);
}

static void channel_check(struct lp *lp)
{
    const struct dram *d = lp->state;
    SIM_ASSERT(dram_nwaiting(d) == 0, "%u requests wait at channel %u", dram_nwaiting(d),
               lp->instance);
}

static void channel_describe(struct lp *lp, char *buf, size_t size)
{
    const struct dram *d = lp->state;
    snprintf(buf, size, "%u reads and %u writes wait", d->lists[0].n, d->lists[1].n);
}

const struct lp_ops dram_lp_ops = {
    .name = "dram",
    .start = channel_start,
    .handle = channel_handle,
    .advance = channel_advance,
    .stats = channel_stats,
    .check = channel_check,
    .describe = channel_describe,
    .events = dram_events,
    .nevents = DE_COUNT,
};
