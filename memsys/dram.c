/* See dram.h: the channel's state machine. What waits, and what goes next: dram_sched.c. */
#include "memsys/dram.h"

#include "memsys/dram_sched.h"

size_t dram_state_bytes(const struct dram_config *c)
{
    return sizeof(struct dram) + (size_t)c->nrequests_max * sizeof(struct dram_request);
}

simtime_t dram_min_answer_fs(const struct dram_config *c)
{
    /* A write's credit goes back at this distance too, or it would shorten the lookahead. */
    return c->t.tcl_fs + c->t.tburst_fs + c->controller_fs;
}

void dram_init(struct dram *d, const struct dram_config *c)
{
    d->nrequests_max = c->nrequests_max;
    d->plan = (struct dram_plan){.time = SIM_NEVER, .command = DRAM_CMD_NONE};
    dram_list_init(d, &d->lists[0], c->read_window);
    dram_list_init(d, &d->lists[1], c->write_window);
    for (uint32_t b = 0; b < DRAM_MAX_BANKS; b++)
        d->banks[b].row = DRAM_NO_ROW;
    for (uint32_t r = 0; r < c->nranks; r++)
        d->ranks[r].refresh_next =
            c->refresh ? c->t.trefi_fs + c->t.trefi_fs / c->nranks * r : SIM_NEVER;
    d->refresh_next = d->ranks[0].refresh_next;
    d->free_first = DRAM_NIL;
    for (uint32_t i = c->nrequests_max; i-- > 0;) {
        d->requests[i].link.next = d->free_first;
        d->free_first = i;
    }
}

static inline void limit(simtime_t *ok, simtime_t t) { *ok = u64_max(*ok, t); }

/* ---- refresh, applied lazily up to a time ---------------------------------------------------- */

static void refresh_rank(struct dram *d, const struct dram_config *c, uint32_t rank, simtime_t now)
{
    struct dram_rank *r = &d->ranks[rank];
    simtime_t last = r->refresh_next + (now - r->refresh_next) / c->t.trefi_fs * c->t.trefi_fs;
    r->refresh_next = last + c->t.trefi_fs;
    r->refresh_end = last + c->t.trfc_fs;
    r->refresh_delaying = false;
    for (uint32_t b = rank << c->rank_bits; b < (rank + 1) << c->rank_bits; b++) {
        d->banks[b].row = DRAM_NO_ROW;
        limit(&d->banks[b].ok[DRAM_CMD_ACT], r->refresh_end);
        dram_renew_later(&d->lists[0], b);
        dram_renew_later(&d->lists[1], b);
    }
    if (r->nwaiting > 0)
        dram_count_refresh_delay(d, r);
}

void dram_refresh(struct dram *d, const struct dram_config *c, simtime_t now)
{
    d->refresh_next = SIM_NEVER;
    for (uint32_t r = 0; r < c->nranks; r++) {
        if (d->ranks[r].refresh_next <= now)
            refresh_rank(d, c, r, now);
        d->refresh_next = u64_min(d->refresh_next, d->ranks[r].refresh_next);
    }
    d->plan.is_stale = true;
}

/* ---- commands ------------------------------------------------------------------------------- */

void dram_activate(struct dram *d, const struct dram_config *c, struct dram_request *q)
{
    const struct dram_timing *t = &c->t;
    struct dram_bank *b = &d->banks[q->bank];
    struct dram_rank *r = &d->ranks[q->rank];
    simtime_t now = d->now;
    b->row = q->row;
    b->hit_streak = 0;
    b->ok[DRAM_CMD_COLUMN] = now + t->trcd_fs;
    b->ok[DRAM_CMD_PRE] = now + t->tras_fs;
    r->faw_ok[r->faw_at] = now + t->tfaw_fs;
    r->faw_at = (r->faw_at + 1) % 4;
    d->rank_ok[DRAM_LIMIT_ACT][q->rank] = u64_max(now + t->trrd_s_fs, r->faw_ok[r->faw_at]);
    d->group_ok[DRAM_LIMIT_ACT][q->group] = now + t->trrd_l_fs;
    q->row_state = (uint8_t)(q->row_state + (q->row_state == DRAM_ROW_HIT)); /* then it is closed */
}

static inline void limit_ranks(struct dram *d, const struct dram_config *c, const struct dram_column *k,
                               uint32_t rank)
{
    simtime_t *rd_ok = d->rank_ok[DRAM_LIMIT_RD], *wr_ok = d->rank_ok[DRAM_LIMIT_WR], now = d->now;
    simtime_t own_rd = u64_max(rd_ok[rank], now + k->rank_ok[DRAM_LIMIT_RD]);
    simtime_t own_wr = u64_max(wr_ok[rank], now + k->rank_ok[DRAM_LIMIT_WR]);
    simtime_t rd = now + k->others_ok[DRAM_LIMIT_RD], wr = now + k->others_ok[DRAM_LIMIT_WR];
    for (uint32_t i = 0; i < c->nranks; i++) {
        limit(&rd_ok[i], rd);
        limit(&wr_ok[i], wr);
    }
    rd_ok[rank] = own_rd; /* without a gap in the direction in which it is */
    wr_ok[rank] = own_wr;
}

static inline void issue_column(struct dram *d, const struct dram_config *c, const struct dram_request *q)
{
    const struct dram_column *k = &c->column[q->is_write];
    simtime_t now = d->now;
    limit_ranks(d, c, k, q->rank);
    limit(&d->group_ok[DRAM_LIMIT_RD][q->group], now + k->group_ok[DRAM_LIMIT_RD]);
    limit(&d->group_ok[DRAM_LIMIT_WR][q->group], now + k->group_ok[DRAM_LIMIT_WR]);
    limit(&d->banks[q->bank].ok[DRAM_CMD_PRE], now + k->pre_ok);
    d->stats.turnarounds += d->bus_used & (d->bus_write ^ q->is_write);
    d->stats.bus_busy += c->t.tburst_fs;
    d->bus_used = true;
    d->bus_write = q->is_write;
}

static inline void count_column(struct dram *d, const struct dram_config *c, const struct dram_request *q)
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

void dram_column(struct dram *d, const struct dram_config *c, const struct dram_request *q,
                 struct dram_done *done_out)
{
    issue_column(d, c, q);
    count_column(d, c, q);
    /* It passes the others to its bank that came before it. */
    uint32_t ends = dram_at_of(d, &d->lists[q->is_write].queues[q->bank].ends);
    d->banks[q->bank].hit_streak += q->link.prev != ends;
    done_out->request = q;
    done_out->answer = d->now + c->column[q->is_write].answer;
}
