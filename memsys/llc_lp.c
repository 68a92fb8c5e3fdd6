/* See llc_lp.h. */
#include "memsys/llc_lp.h"

#include <stdio.h>
#include <string.h>

const char *const mem_kind_names[] = {"data", "code", "page table", NULL};
static const char *const result_names[] = {"hit", "miss", NULL};

enum { LE_READ, LE_FILL, LE_WRITEBACK, LE_TO_DRAM, LE_COUNT };
static const struct elog_desc llc_events[LE_COUNT] = {
    [LE_READ] = {"llc", "LLC_READ", "a read of a core; a hit leaves at `leaves`, a miss asks memory or joins",
                 {F_HEX(line), F_NAME(kind, mem_kind_names), F_COUNT(core), F_NAME(result, result_names), F_TIME(leaves)}},
    [LE_FILL] = {"llc", "LLC_FILL", "a line came from memory; answers leave at `leaves`",
                 {F_HEX(line), F_NAME(kind, mem_kind_names), F_TIME(leaves)}},
    [LE_WRITEBACK] = {"llc", "LLC_WRITEBACK", "a dirty line of a core", {F_HEX(line), F_NAME(kind, mem_kind_names), F_COUNT(core)}},
    [LE_TO_DRAM] = {"llc", "LLC_TO_DRAM", "a request to memory leaves at `leaves`",
                    {F_HEX(line), F_NAME(kind, mem_kind_names), F_COUNT(channel), F_COUNT(write), F_TIME(leaves)}},
};

static void slice_start(struct lp *lp)
{
    const struct llc_lp_cfg *c = lp->cfg;
    llc_init(lp->state, &c->llc, lp->instance);
}

static simtime_t way_to_core_fs(const struct lp *lp, uint32_t core)
{
    const struct llc_lp_cfg *c = lp->cfg;
    return noc_core_slice_fs(c->noc, core, lp->instance);
}

static void send_data(struct lp *lp, uint32_t core, simtime_t leaves, enum line_kind kind,
                      uint32_t token, uint64_t line, enum served_by by)
{
    const struct llc_lp_cfg *c = lp->cfg;
    lp_send(lp, c->core0 + core, leaves + way_to_core_fs(lp, core), MSG_TYPE(MEM_DATA, kind), token,
            line, by, 0, 0);
}

static void send_wb_ack(struct lp *lp, uint32_t core, simtime_t leaves, uint64_t line)
{
    const struct llc_lp_cfg *c = lp->cfg;
    lp_send(lp, c->core0 + core, leaves + way_to_core_fs(lp, core), MEM_WB_ACK, 0, line, 0, 0, 0);
}

static void send_to_dram(struct lp *lp, const struct llc_lp_cfg *c, const struct llc_departure *d)
{
    simtime_t way_fs = noc_slice_channel_fs(c->noc, lp->instance, d->channel);
    LP_LOG(lp, LE_TO_DRAM, d->line.v, d->kind, d->channel, d->is_write, d->time);
    uint32_t type = MSG_TYPE(d->is_write ? DRAM_WRITE : DRAM_READ, d->kind);
    lp_send(lp, c->channel0 + d->channel, d->time + way_fs, type, d->token, d->line.v, 0, 0, 0);
    if (d->ack_core != LLC_NIL)
        send_wb_ack(lp, d->ack_core, d->ack_time, d->ack_line.v);
}

/* What send_to_dram does with the departure of a read. */
static inline void send_express(struct lp *lp, const struct llc_lp_cfg *c, struct llc *l)
{
    uint32_t token = l->express;
    const struct llc_miss *m = llc_take_express(l);
    simtime_t way_fs = noc_slice_channel_fs(c->noc, lp->instance, m->channel);
    LP_LOG(lp, LE_TO_DRAM, m->line.v, MEM_KIND(m->request.flags), m->channel, false, m->ready);
    lp_send(lp, c->channel0 + m->channel, m->ready + way_fs, MSG_TYPE(DRAM_READ, MEM_KIND(m->request.flags)), token, m->line.v, 0,
            0, 0);
}

static __attribute__((noinline)) void send_held(struct lp *lp, const struct llc_lp_cfg *c)
{
    struct llc_departure d;
    while (llc_next_departure(lp->state, &c->llc, lp->now, &d))
        send_to_dram(lp, c, &d);
}

static inline void send_departures(struct lp *lp, const struct llc_lp_cfg *c)
{
    struct llc *l = lp->state;
    if (l->nheld == 0)
        return;
    if (l->express != LLC_NIL)
        send_express(lp, c, l);
    else
        send_held(lp, c);
}

/* Each of them saves what it needs, and no more. */
static __attribute__((noinline)) void handle_read(struct lp *lp, const struct llc_lp_cfg *c, const struct msg *m)
{
    uint32_t core = m->src - c->core0;
    simtime_t leaves = llc_read(lp->state, &c->llc, m->time, (paddr_t){m->a[0]}, m->flags, core, m->arg);
    bool hit = leaves != SIM_NEVER;
    LP_LOG(lp, LE_READ, m->a[0], MEM_KIND(m->flags), core, !hit, hit ? leaves : 0);
    if (hit)
        send_data(lp, core, leaves, MEM_KIND(m->flags), m->arg, m->a[0], SERVED_LLC);
    send_departures(lp, c);
}

static __attribute__((noinline)) void handle_writeback(struct lp *lp, const struct llc_lp_cfg *c, const struct msg *m)
{
    simtime_t leaves;
    uint32_t core = m->src - c->core0;
    LP_LOG(lp, LE_WRITEBACK, m->a[0], MEM_KIND(m->flags), core);
    if (llc_writeback(lp->state, &c->llc, m->time, (paddr_t){m->a[0]}, MEM_KIND(m->flags), core,
                      &leaves))
        send_wb_ack(lp, core, leaves, m->a[0]);
    send_departures(lp, c);
}

static __attribute__((noinline)) void handle_data(struct lp *lp, const struct llc_lp_cfg *c, const struct msg *m)
{
    struct llc_request q;
    llc_credit_back(lp->state, &c->llc, m->src - c->channel0, false);
    simtime_t leaves = llc_fill(lp->state, &c->llc, m->time, m->arg);
    LP_LOG(lp, LE_FILL, m->a[0], MEM_KIND(m->flags), leaves);
    bool more;
    do {
        more = llc_answer(lp->state, m->arg, &q);
        send_data(lp, q.core, leaves, MEM_KIND(q.flags), q.token, m->a[0], SERVED_DRAM);
    } while (__builtin_expect(more, 0));
    send_departures(lp, c);
}

static __attribute__((noinline)) void handle_write_ack(struct lp *lp, const struct llc_lp_cfg *c, const struct msg *m)
{
    llc_credit_back(lp->state, &c->llc, m->src - c->channel0, true);
    send_departures(lp, c);
}

static void slice_handle(struct lp *lp, const struct msg *m)
{
    const struct llc_lp_cfg *c = lp->cfg;
    switch (m->type) {
    case MEM_READ:
        handle_read(lp, c, m);
        break;
    case MEM_WRITEBACK:
        handle_writeback(lp, c, m);
        break;
    case DRAM_DATA:
        handle_data(lp, c, m);
        break;
    case DRAM_WRITE_ACK:
        handle_write_ack(lp, c, m);
        break;
    default:
        SIM_ASSERT(false, "message %u to slice %u", m->type, lp->instance);
    }
}

static void slice_fetch(const struct lp *lp, uint64_t line)
{
    const struct llc_lp_cfg *c = lp->cfg;
    llc_fetch(lp->state, &c->llc, (paddr_t){line});
}

static void slice_stats(struct lp *lp, uint64_t *row_out)
{
    const struct llc_lp_cfg *c = lp->cfg;
    memcpy(row_out, llc_stats_now(lp->state, &c->llc), sizeof(struct llc_stats));
}

static void slice_check(struct lp *lp)
{
    const struct llc_lp_cfg *c = lp->cfg;
    llc_check(lp->state, &c->llc);
}

static void slice_describe(struct lp *lp, char *buf, size_t size)
{
    const struct llc *l = lp->state;
    snprintf(buf, size, "%u misses are under way, %u requests to memory are held", l->nmisses,
             l->nheld);
}

const struct lp_ops llc_lp_ops = {
    .name = "llc",
    .start = slice_start,
    .handle = slice_handle,
    .fetch = slice_fetch,
    .stats = slice_stats,
    .check = slice_check,
    .describe = slice_describe,
    .events = llc_events,
    .nevents = LE_COUNT,
};
