/* See dram.h: the channel's state machine and its scheduler. */
#include "memsys/dram.h"

#include "memsys/clock.h"

#include <string.h>

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
    d->plan = (struct dram_plan){SIM_NEVER, DRAM_CMD_NONE, DRAM_NIL};
    d->lists[0] = d->lists[1] = (struct dram_list){DRAM_NIL, DRAM_NIL, 0};
    d->bus_rank = DRAM_NIL;
    for (uint32_t b = 0; b < DRAM_MAX_BANKS; b++)
        d->banks[b].row = DRAM_NO_ROW;
    for (uint32_t r = 0; r < c->nranks; r++)
        d->ranks[r].refresh_next =
            c->refresh ? c->t.trefi_fs + c->t.trefi_fs / c->nranks * r : SIM_NEVER;
    d->free_first = DRAM_NIL;
    for (uint32_t i = c->nrequests_max; i-- > 0;) {
        d->requests[i].next = d->free_first;
        d->free_first = i;
    }
}

/* ---- lists ---------------------------------------------------------------------------------- */

static void list_append(struct dram *d, struct dram_list *l, uint32_t idx)
{
    d->requests[idx].next = DRAM_NIL;
    d->requests[idx].prev = l->last;
    if (l->last == DRAM_NIL)
        l->first = idx;
    else
        d->requests[l->last].next = idx;
    l->last = idx;
    l->n++;
}

static void list_remove(struct dram *d, struct dram_list *l, uint32_t idx)
{
    struct dram_request *q = &d->requests[idx];
    if (q->prev == DRAM_NIL)
        l->first = q->next;
    else
        d->requests[q->prev].next = q->next;
    if (q->next == DRAM_NIL)
        l->last = q->prev;
    else
        d->requests[q->next].prev = q->prev;
    l->n--;
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
    uint32_t per_rank = c->ngroups * c->nbanks;
    for (uint32_t b = rank * per_rank; b < (rank + 1) * per_rank; b++) {
        d->banks[b].row = DRAM_NO_ROW;
        d->banks[b].act_ok = u64_max(d->banks[b].act_ok, r->refresh_end);
    }
    if (r->nwaiting > 0)
        count_refresh_delay(d, r);
}

static void advance_to(struct dram *d, const struct dram_config *c, simtime_t now)
{
    SIM_ASSERT(now >= d->now, "channel at %llu fs asked for %llu fs", (unsigned long long)d->now,
               (unsigned long long)now);
    d->now = now;
    for (uint32_t r = 0; r < c->nranks; r++)
        if (d->ranks[r].refresh_next <= now)
            refresh_rank(d, c, r, now);
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
        .group = (uint16_t)(p.rank * c->ngroups + p.group),
        .bank = (uint16_t)((p.rank * c->ngroups + p.group) * c->nbanks + p.bank),
        .kind = (uint8_t)kind,
        .is_write = is_write,
    };
    list_append(d, &d->lists[is_write], idx);
    struct dram_rank *r = &d->ranks[p.rank];
    r->nwaiting++;
    if (now < r->refresh_end)
        count_refresh_delay(d, r);
    update_draining(d, c);
    d->stats.queue_peak = u64_max(d->stats.queue_peak, dram_nwaiting(d));
    d->plan_stale = true;
}

/* ---- constraints ---------------------------------------------------------------------------- */

static simtime_t column_ok(const struct dram *d, const struct dram_config *c,
                           const struct dram_request *q)
{
    const struct dram_rank *r = &d->ranks[q->rank];
    const struct dram_group *g = &d->groups[q->group];
    simtime_t t = d->banks[q->bank].cas_ok;
    t = u64_max(t, q->is_write ? r->wr_ok : r->rd_ok);
    t = u64_max(t, q->is_write ? g->wr_ok : g->rd_ok);
    bool turns = d->bus_rank != DRAM_NIL && (d->bus_rank != q->rank || d->bus_write != q->is_write);
    simtime_t data_ok = d->bus_free + (turns ? c->t.tturn_fs : 0);
    simtime_t to_data = q->is_write ? c->t.tcwl_fs : c->t.tcl_fs;
    return data_ok > to_data ? u64_max(t, data_ok - to_data) : t;
}

static simtime_t activate_ok(const struct dram *d, const struct dram_request *q)
{
    const struct dram_rank *r = &d->ranks[q->rank];
    simtime_t t = u64_max(d->banks[q->bank].act_ok, d->groups[q->group].act_ok);
    return u64_max(u64_max(t, r->act_ok), r->faw_ok[r->faw_at]);
}

/* ---- the choice ----------------------------------------------------------------------------- */

/* Takes over a candidate that can go earlier, or at the same time with precedence. */
static void consider(struct dram *d, struct dram_plan *best, uint32_t idx,
                     enum dram_command command, simtime_t ok)
{
    const struct dram_request *q = &d->requests[idx];
    simtime_t time = u64_max(u64_max(ok, q->ready), u64_max(d->cmd_ok, d->now));
    if (time >= d->ranks[q->rank].refresh_next) {
        time = d->ranks[q->rank].refresh_next;
        command = DRAM_CMD_REFRESH;
    }
    if (time < best->time)
        *best = (struct dram_plan){time, command, idx};
}

static bool bit_test_set(uint64_t *bits, uint32_t i)
{
    uint64_t bit = UINT64_C(1) << (i % 64), was = bits[i / 64] & bit;
    bits[i / 64] |= bit;
    return was != 0;
}

static bool bit_test(const uint64_t *bits, uint32_t i) { return bits[i / 64] >> (i % 64) & 1; }

/*
 * The earliest legal command of the list's oldest `window` requests. Ties: column commands first,
 * then the oldest request. A bank offers its oldest hit, and its oldest other request's row command
 * unless hits keep the row open.
 */
static struct dram_plan plan_list(struct dram *d, const struct dram_config *c,
                                  const struct dram_list *list, uint32_t window)
{
    enum { NWORDS = DRAM_MAX_BANKS / 64 };
    uint64_t seen[NWORDS] = {0}, capped[NWORDS] = {0}, has_hit[NWORDS] = {0}, has_row[NWORDS] = {0};
    uint32_t row_requests[DRAM_MAX_BANKS], nrow_requests = 0;
    struct dram_plan best = {SIM_NEVER, DRAM_CMD_NONE, DRAM_NIL};

    uint32_t idx = list->first;
    for (uint32_t n = 0; n < window && idx != DRAM_NIL; n++, idx = d->requests[idx].next) {
        const struct dram_request *q = &d->requests[idx];
        const struct dram_bank *b = &d->banks[q->bank];
        bool hit = b->row == q->row;
        if (!bit_test_set(seen, q->bank) && !hit && b->hit_streak >= c->hit_cap)
            bit_test_set(capped, q->bank);
        if (!hit) {
            if (!bit_test_set(has_row, q->bank))
                row_requests[nrow_requests++] = idx;
        } else if (!bit_test(capped, q->bank) && !bit_test_set(has_hit, q->bank)) {
            consider(d, &best, idx, DRAM_CMD_COLUMN, column_ok(d, c, q));
        }
    }
    for (uint32_t i = 0; i < nrow_requests; i++) {
        const struct dram_request *q = &d->requests[row_requests[i]];
        const struct dram_bank *b = &d->banks[q->bank];
        if (b->row == DRAM_NO_ROW)
            consider(d, &best, row_requests[i], DRAM_CMD_ACT, activate_ok(d, q));
        else if (!bit_test(has_hit, q->bank))
            consider(d, &best, row_requests[i], DRAM_CMD_PRE, b->pre_ok);
    }
    return best;
}

simtime_t dram_next_time(struct dram *d, const struct dram_config *c)
{
    if (d->plan_stale) {
        bool writes = d->draining || d->lists[0].n == 0;
        d->plan = plan_list(d, c, &d->lists[writes], writes ? c->write_window : c->read_window);
        d->plan_stale = false;
    }
    return d->plan.time;
}

/* ---- commands ------------------------------------------------------------------------------- */

static void issue_precharge(struct dram *d, const struct dram_config *c, struct dram_request *q)
{
    struct dram_bank *b = &d->banks[q->bank];
    b->row = DRAM_NO_ROW;
    b->act_ok = u64_max(b->act_ok, d->now + c->t.trp_fs);
    q->did_pre = true;
}

static void issue_activate(struct dram *d, const struct dram_config *c, struct dram_request *q)
{
    struct dram_bank *b = &d->banks[q->bank];
    struct dram_rank *r = &d->ranks[q->rank];
    b->row = q->row;
    b->hit_streak = 0;
    b->cas_ok = d->now + c->t.trcd_fs;
    b->pre_ok = d->now + c->t.tras_fs;
    d->groups[q->group].act_ok = d->now + c->t.trrd_l_fs;
    r->act_ok = d->now + c->t.trrd_s_fs;
    r->faw_ok[r->faw_at] = d->now + c->t.tfaw_fs;
    r->faw_at = (r->faw_at + 1) % 4;
    q->did_act = true;
}

/* Returns the end of the data. */
static simtime_t issue_column(struct dram *d, const struct dram_config *c,
                              const struct dram_request *q)
{
    const struct dram_timing *t = &c->t;
    struct dram_bank *b = &d->banks[q->bank];
    struct dram_rank *r = &d->ranks[q->rank];
    struct dram_group *g = &d->groups[q->group];
    simtime_t now = d->now;
    simtime_t data_end = now + (q->is_write ? t->tcwl_fs : t->tcl_fs) + t->tburst_fs;

    r->rd_ok = u64_max(r->rd_ok, now + t->tccd_s_fs);
    r->wr_ok = u64_max(r->wr_ok, now + t->tccd_s_fs);
    g->rd_ok = u64_max(g->rd_ok, now + t->tccd_l_fs);
    g->wr_ok = u64_max(g->wr_ok, now + (q->is_write ? t->tccd_l_wr_fs : t->tccd_l_fs));
    if (q->is_write) {
        r->rd_ok = u64_max(r->rd_ok, data_end + t->twtr_s_fs);
        g->rd_ok = u64_max(g->rd_ok, data_end + t->twtr_l_fs);
        b->pre_ok = u64_max(b->pre_ok, data_end + t->twr_fs);
    } else {
        b->pre_ok = u64_max(b->pre_ok, now + t->trtp_fs);
    }
    d->stats.turnarounds += d->bus_rank != DRAM_NIL && d->bus_write != q->is_write;
    d->stats.bus_busy += t->tburst_fs;
    d->bus_free = data_end;
    d->bus_rank = q->rank;
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

/* True when the list's oldest request to this bank is another one, which this hit passes. */
static bool passes_older(const struct dram *d, uint32_t idx)
{
    uint32_t bank = d->requests[idx].bank;
    for (uint32_t i = d->requests[idx].prev; i != DRAM_NIL; i = d->requests[i].prev)
        if (d->requests[i].bank == bank)
            return true;
    return false;
}

static void finish(struct dram *d, const struct dram_config *c, uint32_t idx,
                   struct dram_done *done_out)
{
    struct dram_request *q = &d->requests[idx];
    simtime_t data_end = issue_column(d, c, q);
    count_column(d, c, q, data_end);
    d->banks[q->bank].hit_streak += passes_older(d, idx);
    *done_out = (struct dram_done){
        .line = q->line,
        .answer = u64_max(data_end + c->controller_fs, d->now + dram_min_answer_fs(c)),
        .token = q->token,
        .src = q->src,
        .kind = (enum line_kind)q->kind,
        .is_write = q->is_write,
    };
    list_remove(d, &d->lists[q->is_write], idx);
    d->ranks[q->rank].nwaiting--;
    q->next = d->free_first;
    d->free_first = idx;
    update_draining(d, c);
}

bool dram_step(struct dram *d, const struct dram_config *c, struct dram_done *done_out)
{
    simtime_t time = dram_next_time(d, c);
    SIM_ASSERT(time != SIM_NEVER, "step of an idle channel at %llu fs", (unsigned long long)d->now);
    struct dram_plan plan = d->plan;
    advance_to(d, c, time);
    d->plan_stale = true;
    if (plan.command == DRAM_CMD_REFRESH)
        return false; /* advance_to did it */
    d->cmd_ok = time + c->t.tck_fs;
    if (plan.command == DRAM_CMD_PRE)
        issue_precharge(d, c, &d->requests[plan.request]);
    else if (plan.command == DRAM_CMD_ACT)
        issue_activate(d, c, &d->requests[plan.request]);
    else
        finish(d, c, plan.request, done_out);
    return plan.command == DRAM_CMD_COLUMN;
}
