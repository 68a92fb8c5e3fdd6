/* See dram.h: the channel's state machine. What goes next: dram_sched.c. */
#include "memsys/dram.h"

#include "memsys/clock.h"
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
    dram_list_init(&d->lists[0], c->read_window);
    dram_list_init(&d->lists[1], c->write_window);
    for (uint32_t b = 0; b < DRAM_MAX_BANKS; b++)
        d->banks[b].row = DRAM_NO_ROW;
    for (uint32_t r = 0; r < c->nranks; r++)
        d->ranks[r].refresh_next =
            c->refresh ? c->t.trefi_fs + c->t.trefi_fs / c->nranks * r : SIM_NEVER;
    d->refresh_next = d->ranks[0].refresh_next;
    d->free_first = DRAM_NIL;
    for (uint32_t i = c->nrequests_max; i-- > 0;) {
        d->requests[i].next = d->free_first;
        d->free_first = i;
    }
}

/* ---- refresh, applied lazily up to a time ---------------------------------------------------- */

static void count_refresh_delay(struct dram *d, struct dram_rank *r)
{
    d->stats.refresh_delays += !r->refresh_delaying;
    r->refresh_delaying = true;
}

static void refresh_rank(struct dram *d, const struct dram_config *c, uint32_t rank, simtime_t now)
{
    struct dram_rank *r = &d->ranks[rank];
    simtime_t last = r->refresh_next + (now - r->refresh_next) / c->t.trefi_fs * c->t.trefi_fs;
    r->refresh_next = last + c->t.trefi_fs;
    r->refresh_end = last + c->t.trfc_fs;
    r->refresh_delaying = false;
    for (uint32_t b = rank << c->rank_bits; b < (rank + 1) << c->rank_bits; b++) {
        d->banks[b].row = DRAM_NO_ROW;
        d->banks[b].act_ok = u64_max(d->banks[b].act_ok, r->refresh_end);
        dram_renew_later(&d->lists[0], b);
        dram_renew_later(&d->lists[1], b);
    }
    if (r->nwaiting > 0)
        count_refresh_delay(d, r);
}

static void refresh_ranks(struct dram *d, const struct dram_config *c, simtime_t now)
{
    d->refresh_next = SIM_NEVER;
    for (uint32_t r = 0; r < c->nranks; r++) {
        if (d->ranks[r].refresh_next <= now)
            refresh_rank(d, c, r, now);
        d->refresh_next = u64_min(d->refresh_next, d->ranks[r].refresh_next);
    }
    d->plan.is_stale = true;
}

static inline void advance_to(struct dram *d, const struct dram_config *c, simtime_t now)
{
    SIM_ASSERT(now >= d->now, "channel at %llu fs asked for %llu fs", (unsigned long long)d->now,
               (unsigned long long)now);
    d->now = now;
    if (d->refresh_next <= now)
        refresh_ranks(d, c, now);
}

/* ---- arrivals ------------------------------------------------------------------------------- */

static void update_draining(struct dram *d, const struct dram_config *c)
{
    if (d->lists[1].n >= c->write_high)
        d->draining = true;
    else if (d->lists[1].n <= c->write_low)
        d->draining = false;
}

void dram_enqueue(struct dram *d, const struct dram_config *c, simtime_t now, paddr_t line,
                  enum line_kind kind, bool is_write, uint32_t token, uint32_t src)
{
    SIM_ASSERT(d->free_first != DRAM_NIL, "more than %u requests wait at a channel",
               d->nrequests_max);
    advance_to(d, c, now);
    uint32_t idx = d->free_first;
    struct dram_request *q = &d->requests[idx];
    d->free_first = q->next;
    struct dram_place p = dram_place_of(c, line);
    *q = (struct dram_request){
        .line = line,
        .row = p.row,
        .arrival = now,
        .ready = clock_edge(now, c->t.tck_fs),
        .token = token,
        .src = src,
        .rank = (uint8_t)p.rank,
        .bank = (uint16_t)(p.rank << c->rank_bits | p.group << c->bank_bits | p.bank),
        .kind = (uint8_t)kind,
        .is_write = is_write,
    };
    dram_wait(d, c, &d->lists[is_write], idx);
    struct dram_rank *r = &d->ranks[p.rank];
    r->nwaiting++;
    if (now < r->refresh_end)
        count_refresh_delay(d, r);
    update_draining(d, c);
    d->stats.queue_peak = u64_max(d->stats.queue_peak, dram_nwaiting(d));
    d->plan.is_stale |= dram_writes_go(d) != d->plan.is_write || now > d->plan.time;
}

/* ---- commands ------------------------------------------------------------------------------- */

static void limit(simtime_t *ok, simtime_t t) { *ok = u64_max(*ok, t); }

static void issue_precharge(struct dram *d, const struct dram_config *c, struct dram_request *q)
{
    struct dram_bank *b = &d->banks[q->bank];
    b->row = DRAM_NO_ROW;
    b->act_ok = u64_max(b->act_ok, d->now + c->t.trp_fs);
    q->did_pre = true;
}

static void issue_activate(struct dram *d, const struct dram_config *c, struct dram_request *q)
{
    const struct dram_timing *t = &c->t;
    struct dram_bank *b = &d->banks[q->bank];
    struct dram_rank *r = &d->ranks[q->rank];
    simtime_t now = d->now;
    b->row = q->row;
    b->hit_streak = 0;
    b->cas_ok = now + t->trcd_fs;
    b->pre_ok = now + t->tras_fs;
    r->faw_ok[r->faw_at] = now + t->tfaw_fs;
    r->faw_at = (r->faw_at + 1) % 4;
    d->rank_ok[DRAM_LIMIT_ACT][q->rank] = u64_max(now + t->trrd_s_fs, r->faw_ok[r->faw_at]);
    d->group_ok[DRAM_LIMIT_ACT][q->bank >> c->bank_bits] = now + t->trrd_l_fs;
    simtime_t least = SIM_NEVER;
    for (uint32_t i = 0; i < c->nranks; i++)
        least = u64_min(least, d->rank_ok[DRAM_LIMIT_ACT][i]);
    d->least_ok[DRAM_LIMIT_ACT] = least;
    dram_limits_changed(d, DRAM_CMD_ACT);
    q->did_act = true;
}

/* The data bus is free from `data_end` on, after a gap for another direction or rank. */
static void limit_bus(struct dram *d, const struct dram_config *c, const struct dram_request *q,
                      simtime_t data_end)
{
    simtime_t *rd_ok = d->rank_ok[DRAM_LIMIT_RD], *wr_ok = d->rank_ok[DRAM_LIMIT_WR];
    simtime_t *own_ok = (q->is_write ? wr_ok : rd_ok) + q->rank;
    simtime_t own = u64_max(*own_ok, d->now + c->t.tburst_fs);
    simtime_t turned = data_end + c->t.tturn_fs;
    simtime_t rd = turned > c->t.tcl_fs ? turned - c->t.tcl_fs : 0;
    simtime_t wr = turned > c->t.tcwl_fs ? turned - c->t.tcwl_fs : 0;
    simtime_t rd_least = SIM_NEVER, wr_least = SIM_NEVER;
    for (uint32_t i = 0; i < c->nranks; i++) {
        rd_ok[i] = u64_max(rd_ok[i], rd);
        wr_ok[i] = u64_max(wr_ok[i], wr);
        rd_least = u64_min(rd_least, rd_ok[i]);
        wr_least = u64_min(wr_least, wr_ok[i]);
    }
    *own_ok = own;
    d->least_ok[DRAM_LIMIT_RD] = u64_min(rd_least, rd_ok[q->rank]);
    d->least_ok[DRAM_LIMIT_WR] = u64_min(wr_least, wr_ok[q->rank]);
}

/* Returns the end of the data. */
static simtime_t issue_column(struct dram *d, const struct dram_config *c,
                              const struct dram_request *q)
{
    const struct dram_timing *t = &c->t;
    uint32_t group = q->bank >> c->bank_bits;
    simtime_t *rank_rd_ok = &d->rank_ok[DRAM_LIMIT_RD][q->rank];
    simtime_t *rank_wr_ok = &d->rank_ok[DRAM_LIMIT_WR][q->rank];
    simtime_t *group_rd_ok = &d->group_ok[DRAM_LIMIT_RD][group];
    simtime_t *group_wr_ok = &d->group_ok[DRAM_LIMIT_WR][group];
    simtime_t *pre_ok = &d->banks[q->bank].pre_ok;
    simtime_t now = d->now;
    simtime_t data_end = now + (q->is_write ? t->tcwl_fs : t->tcl_fs) + t->tburst_fs;

    limit(rank_rd_ok, now + t->tccd_s_fs);
    limit(rank_wr_ok, now + t->tccd_s_fs);
    limit(group_rd_ok, now + t->tccd_l_fs);
    limit(group_wr_ok, now + (q->is_write ? t->tccd_l_wr_fs : t->tccd_l_fs));
    if (q->is_write) {
        limit(rank_rd_ok, data_end + t->twtr_s_fs);
        limit(group_rd_ok, data_end + t->twtr_l_fs);
        limit(pre_ok, data_end + t->twr_fs);
    } else {
        limit(pre_ok, now + t->trtp_fs);
    }
    limit_bus(d, c, q, data_end);
    dram_limits_changed(d, DRAM_CMD_COLUMN);
    d->stats.turnarounds += d->bus_used && d->bus_write != q->is_write;
    d->stats.bus_busy += t->tburst_fs;
    d->bus_used = true;
    d->bus_write = q->is_write;
    return data_end;
}

static void count_column(struct dram *d, const struct dram_config *c, const struct dram_request *q,
                         simtime_t data_end)
{
    struct dram_stats *s = &d->stats;
    simtime_t unloaded = c->t.tcl_fs + c->t.tburst_fs + c->controller_fs;
    if (q->did_act || q->did_pre)
        unloaded += c->t.trcd_fs;
    if (q->did_pre)
        unloaded += c->t.trp_fs;
    if (q->did_pre)
        s->row_conflicts[q->kind]++;
    else if (q->did_act)
        s->row_closed[q->kind]++;
    else
        s->row_hits[q->kind]++;
    if (q->is_write) {
        s->writes[q->kind]++;
        return;
    }
    simtime_t latency = data_end + c->controller_fs - q->arrival;
    s->reads[q->kind]++;
    s->read_latency[q->kind] += latency;
    /* A row that another request opened may make this one quicker than "unloaded". */
    s->read_wait[q->kind] += latency > unloaded ? latency - unloaded : 0;
    uint64_t ns = latency / FS_PER_NS;
    uint32_t bin = ns == 0 ? 0 : log2_floor(ns) + 1;
    s->read_latency_hist[bin < DRAM_NLATENCY_BINS ? bin : DRAM_NLATENCY_BINS - 1]++;
}

static void finish(struct dram *d, const struct dram_config *c, uint32_t idx,
                   struct dram_done *done_out)
{
    struct dram_request *q = &d->requests[idx];
    simtime_t data_end = issue_column(d, c, q);
    count_column(d, c, q, data_end);
    /* It passes the others to its bank that came before it. */
    d->banks[q->bank].hit_streak += q->prev != DRAM_NIL;
    *done_out = (struct dram_done){
        .line = q->line,
        .answer = u64_max(data_end + c->controller_fs, d->now + dram_min_answer_fs(c)),
        .token = q->token,
        .src = q->src,
        .kind = (enum line_kind)q->kind,
        .is_write = q->is_write,
        .arrival = q->arrival,
        .row = q->row,
        .bank = q->bank,
        .row_state = q->did_pre ? DRAM_ROW_CONFLICT : q->did_act ? DRAM_ROW_CLOSED : DRAM_ROW_HIT,
    };
    dram_leave(d, c, &d->lists[q->is_write], idx);
    d->ranks[q->rank].nwaiting--;
    q->next = d->free_first;
    d->free_first = idx;
    update_draining(d, c);
}

bool dram_step(struct dram *d, const struct dram_config *c, struct dram_done *done_out)
{
    simtime_t time = dram_next_time(d, c);
    SIM_ASSERT(time != SIM_NEVER, "step of an idle channel at %llu fs", (unsigned long long)d->now);
    uint32_t command = d->plan.command, idx = d->plan.request, is_write = d->plan.is_write;
    advance_to(d, c, time);
    d->plan.is_stale = true;
    if (command == DRAM_CMD_REFRESH)
        return false; /* advance_to did it */
    d->cmd_ok = time + c->t.tck_fs;
    uint32_t bank = d->requests[idx].bank;
    struct dram_list *l = &d->lists[is_write];
    if (command == DRAM_CMD_PRE) {
        issue_precharge(d, c, &d->requests[idx]);
        dram_next_offer(l, &l->queues[bank], DRAM_CMD_ACT, d->banks[bank].act_ok);
    } else if (command == DRAM_CMD_ACT) {
        issue_activate(d, c, &d->requests[idx]);
        dram_next_offer(l, &l->queues[bank], DRAM_CMD_COLUMN, d->banks[bank].cas_ok);
    } else {
        finish(d, c, idx, done_out);
        dram_renew_offer(d, c, l, bank);
    }
    dram_renew_later(&d->lists[!is_write], bank);
    return command == DRAM_CMD_COLUMN;
}
