/*
 * Inside of dram.h: what the commands do to bank, group, rank and data bus. Inline, since each goes out at one place.
 */
#ifndef MEMSYS_DRAM_COMMANDS_H
#define MEMSYS_DRAM_COMMANDS_H

#include "memsys/dram_sched.h"

static inline void dram_limit(uint64_t *ok, uint64_t stamp) { *ok = u64_max(*ok, stamp); }

/* Commands for a request, now, of which `stamp` is the stamp. */
static inline void dram_precharge(struct dram *d, const struct dram_config *c, struct dram_request *q, uint64_t stamp)
{
    struct dram_bank *b = &d->banks[q->bank];
    b->turn = d->turn;
    b->row = DRAM_NO_ROW;
    b->ok[DRAM_CMD_ACT] = u64_max(b->ok[DRAM_CMD_ACT], stamp + c->dist.trp);
    q->row_state = DRAM_ROW_CONFLICT;
}

static inline void dram_activate(struct dram *d, const struct dram_config *c, struct dram_request *q, uint64_t stamp)
{
    const struct dram_distances *t = &c->dist;
    struct dram_bank *b = &d->banks[q->bank];
    struct dram_rank *r = &d->ranks[q->rank];
    b->turn = d->turn;
    b->row = q->row;
    b->hit_streak = 0;
    b->ok[DRAM_CMD_COLUMN] = stamp + t->trcd;
    b->ok[DRAM_CMD_PRE] = stamp + t->tras;
    r->faw_ok[r->faw_at] = stamp + t->tfaw;
    r->faw_at = (r->faw_at + 1) % 4;
    d->rank_ok[q->rank * DRAM_LIMITS + DRAM_LIMIT_ACT] = u64_max(stamp + t->trrd_s, r->faw_ok[r->faw_at]);
    d->group_ok[q->group * DRAM_LIMITS + DRAM_LIMIT_ACT] = stamp + t->trrd_l;
    q->row_state = (uint8_t)(q->row_state + (q->row_state == DRAM_ROW_HIT)); /* then it is closed */
}

/* RD and WR, which are side by side. */
static inline void dram_limit_columns(uint64_t *ok, times2 stamps)
{
    times2_store(ok, times2_max(times2_load(ok), stamps));
}

static inline void dram_limit_ranks(struct dram *d, const struct dram_config *c, const struct dram_column *k,
                                    uint32_t rank, times2 now)
{
    uint64_t *own_ok = &d->rank_ok[rank * DRAM_LIMITS];
    times2 own = times2_max(times2_load(own_ok), times2_add(now, times2_load(k->rank_ok)));
    times2 others = times2_add(now, times2_load(k->others_ok));
    for (uint32_t i = 0; i < c->nranks; i++)
        dram_limit_columns(&d->rank_ok[i * DRAM_LIMITS], others);
    times2_store(own_ok, own); /* without a gap in the direction in which it is */
}

static inline void dram_issue_column(struct dram *d, const struct dram_config *c, const struct dram_request *q,
                                     uint64_t stamp)
{
    const struct dram_column *k = &c->column[q->is_write];
    times2 now = times2_both(stamp);
    dram_limit_ranks(d, c, k, q->rank, now);
    dram_limit_columns(&d->group_ok[q->group * DRAM_LIMITS], times2_add(now, times2_load(k->group_ok)));
    struct dram_bank *b = &d->banks[q->bank];
    b->turn = d->turn;
    dram_limit(&b->ok[DRAM_CMD_PRE], stamp + k->pre_ok);
    d->stats.turnarounds += d->bus_used & (d->bus_write ^ q->is_write);
    d->stats.bus_busy += c->t.tburst_fs;
    d->bus_used = true;
    d->bus_write = q->is_write;
}

static inline void dram_count_column(struct dram *d, const struct dram_config *c, const struct dram_request *q)
{
    struct dram_stats *s = &d->stats;
    static const size_t met[] = {[DRAM_ROW_HIT] = offsetof(struct dram_stats, row_hits),
                                 [DRAM_ROW_CLOSED] = offsetof(struct dram_stats, row_closed),
                                 [DRAM_ROW_CONFLICT] = offsetof(struct dram_stats, row_conflicts)};
    ((uint64_t *)(void *)((char *)s + met[q->row_state]))[q->kind]++;
    if (q->is_write) {
        s->writes[q->kind]++;
        return;
    }
    simtime_t latency = d->now + c->unloaded_fs[DRAM_ROW_HIT] - q->arrival;
    simtime_t unloaded = c->unloaded_fs[q->row_state];
    s->reads[q->kind]++;
    s->read_latency[q->kind] += latency;
    /* A row that another request opened may make this one quicker than "unloaded". */
    s->read_wait[q->kind] += u64_max(latency, unloaded) - unloaded;
    uint64_t ns = latency / FS_PER_NS;
    uint32_t bin = ns == 0 ? 0 : log2_floor(ns) + 1;
    s->read_latency_hist[bin < DRAM_NLATENCY_BINS ? bin : DRAM_NLATENCY_BINS - 1]++;
}

static inline void dram_column(struct dram *d, const struct dram_config *c, const struct dram_request *q,
                               uint64_t stamp, struct dram_done *done_out)
{
    dram_issue_column(d, c, q, stamp);
    dram_count_column(d, c, q);
    /* It passes the others to its bank that came before it. */
    uint32_t ends = dram_at_of(d, &d->lists[q->is_write].queues[q->bank].ends);
    d->banks[q->bank].hit_streak += q->link.prev != ends;
    done_out->request = q;
    done_out->answer = d->now + c->column[q->is_write].answer;
}

#endif
