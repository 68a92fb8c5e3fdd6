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

/* When the stamps leave half of their room, the rest of which is for what lies ahead. */
static simtime_t stamp0_moves(const struct dram *d) { return d->stamp0 + DRAM_STAMP_LEAST + DRAM_STAMP_ROOM; }

void dram_init(struct dram *d, const struct dram_config *c)
{
    d->nrequests_max = c->nrequests_max;
    d->stamp0 = -DRAM_STAMP_LEAST;
    d->cmd_ok = TIMES2_LEAST;
    for (uint32_t i = 0; i < DRAM_MAX_RANKS * DRAM_LIMITS; i++)
        d->rank_ok[i] = TIMES2_LEAST;
    for (uint32_t i = 0; i < DRAM_MAX_GROUPS * DRAM_LIMITS; i++)
        d->group_ok[i] = TIMES2_LEAST;
    d->plan = (struct dram_plan){.time = SIM_NEVER, .command = DRAM_CMD_NONE};
    dram_list_init(d, &d->lists[0], c->read_window);
    dram_list_init(d, &d->lists[1], c->write_window);
    for (uint32_t b = 0; b < DRAM_MAX_BANKS; b++)
        d->banks[b] = (struct dram_bank){.row = DRAM_NO_ROW, .ok = {TIMES2_LEAST, TIMES2_LEAST, TIMES2_LEAST}};
    for (uint32_t r = 0; r < c->nranks; r++)
        d->ranks[r] = (struct dram_rank){
            .refresh_next = c->refresh ? c->t.trefi_fs + c->t.trefi_fs / c->nranks * r : SIM_NEVER,
            .faw_ok = {TIMES2_LEAST, TIMES2_LEAST, TIMES2_LEAST, TIMES2_LEAST},
        };
    d->refresh_next = u64_min(d->ranks[0].refresh_next, stamp0_moves(d));
    d->free_first = DRAM_NIL;
    for (uint32_t i = c->nrequests_max; i-- > 0;) {
        d->requests[i].link.next = d->free_first;
        d->free_first = i;
    }
}

static inline void limit(uint64_t *ok, uint64_t stamp) { *ok = u64_max(*ok, stamp); }

/* ---- stamps --------------------------------------------------------------------------------- */

/* What is past is as good as `now`, which has the least stamp there is from now on. */
static void move_stamps(const struct dram *d, uint64_t *stamps, size_t n, simtime_t now)
{
    for (size_t i = 0; i < n; i++)
        stamps[i] = ((u64_max(dram_time_of(d, stamps[i]), now) - now) << DRAM_ORDER_BITS) + TIMES2_LEAST;
}

static void move_stamp0(struct dram *d, simtime_t now)
{
    move_stamps(d, &d->cmd_ok, 1, now);
    move_stamps(d, d->rank_ok, DRAM_MAX_RANKS * DRAM_LIMITS, now);
    move_stamps(d, d->group_ok, DRAM_MAX_GROUPS * DRAM_LIMITS, now);
    for (uint32_t b = 0; b < DRAM_MAX_BANKS; b++)
        move_stamps(d, d->banks[b].ok, DRAM_CMD_OFFERS, now);
    for (uint32_t r = 0; r < DRAM_MAX_RANKS; r++)
        move_stamps(d, d->ranks[r].faw_ok, 4, now);
    for (uint32_t i = 0; i < 2; i++)
        move_stamps(d, d->lists[i].offers.ok, d->lists[i].offers.n, now);
    for (uint32_t i = 0; i < d->nrequests_max; i++)
        move_stamps(d, &d->requests[i].ready, 1, now);
    d->stamp0 = now - DRAM_STAMP_LEAST;
}

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
        limit(&d->banks[b].ok[DRAM_CMD_ACT], dram_stamp(d, r->refresh_end));
        dram_renew_later(&d->lists[0], b);
        dram_renew_later(&d->lists[1], b);
    }
    if (r->nwaiting > 0)
        dram_count_refresh_delay(d, r);
}

void dram_refresh(struct dram *d, const struct dram_config *c, simtime_t now)
{
    if (stamp0_moves(d) <= now)
        move_stamp0(d, now);
    d->refresh_next = stamp0_moves(d);
    for (uint32_t r = 0; r < c->nranks; r++) {
        if (d->ranks[r].refresh_next <= now)
            refresh_rank(d, c, r, now);
        d->refresh_next = u64_min(d->refresh_next, d->ranks[r].refresh_next);
    }
    d->plan.is_stale = true;
}

/* ---- commands ------------------------------------------------------------------------------- */

void dram_activate(struct dram *d, const struct dram_config *c, struct dram_request *q, uint64_t stamp)
{
    const struct dram_distances *t = &c->dist;
    struct dram_bank *b = &d->banks[q->bank];
    struct dram_rank *r = &d->ranks[q->rank];
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
static inline void limit_columns(uint64_t *ok, times2 stamps) { times2_store(ok, times2_max(times2_load(ok), stamps)); }

static inline void limit_ranks(struct dram *d, const struct dram_config *c, const struct dram_column *k,
                               uint32_t rank, times2 now)
{
    uint64_t *own_ok = &d->rank_ok[rank * DRAM_LIMITS];
    times2 own = times2_max(times2_load(own_ok), times2_add(now, times2_load(k->rank_ok)));
    times2 others = times2_add(now, times2_load(k->others_ok));
    for (uint32_t i = 0; i < c->nranks; i++)
        limit_columns(&d->rank_ok[i * DRAM_LIMITS], others);
    times2_store(own_ok, own); /* without a gap in the direction in which it is */
}

static inline void issue_column(struct dram *d, const struct dram_config *c, const struct dram_request *q,
                                uint64_t stamp)
{
    const struct dram_column *k = &c->column[q->is_write];
    times2 now = times2_both(stamp);
    limit_ranks(d, c, k, q->rank, now);
    limit_columns(&d->group_ok[q->group * DRAM_LIMITS], times2_add(now, times2_load(k->group_ok)));
    limit(&d->banks[q->bank].ok[DRAM_CMD_PRE], stamp + k->pre_ok);
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

void dram_column(struct dram *d, const struct dram_config *c, const struct dram_request *q, uint64_t stamp,
                 struct dram_done *done_out)
{
    issue_column(d, c, q, stamp);
    count_column(d, c, q);
    /* It passes the others to its bank that came before it. */
    uint32_t ends = dram_at_of(d, &d->lists[q->is_write].queues[q->bank].ends);
    d->banks[q->bank].hit_streak += q->link.prev != ends;
    done_out->request = q;
    done_out->answer = d->now + c->column[q->is_write].answer;
}
