/* See dram.h: the channel's state and its refresh. What waits, and what goes next: dram_sched.c. */
#include "memsys/dram.h"

#include "memsys/dram_commands.h"

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
    d->turn = d->lists[0].turn = 1;
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

static bool rank_waits(const struct dram *d, const struct dram_config *c, uint32_t rank)
{
    bool any = false;
    for (const struct dram_list *l = d->lists; l < d->lists + 2; l++) {
        for (uint32_t b = rank << c->rank_bits; b < (rank + 1) << c->rank_bits; b++)
            any |= l->queues[b].command != DRAM_CMD_NONE;
        for (uint32_t i = l->unseen_first; i != DRAM_NIL; i = d->requests[i].link.next)
            any |= d->requests[i].rank == rank;
    }
    return any;
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
        dram_limit(&d->banks[b].ok[DRAM_CMD_ACT], dram_stamp(d, r->refresh_end));
        d->banks[b].turn = d->turn;
    }
    if (rank_waits(d, c, rank))
        dram_count_refresh_delay(d, r);
}

void dram_refresh(struct dram *d, const struct dram_config *c, simtime_t now)
{
    if (stamp0_moves(d) <= now)
        move_stamp0(d, now);
    d->refresh_next = stamp0_moves(d);
    d->turn++;
    for (uint32_t r = 0; r < c->nranks; r++) {
        if (d->ranks[r].refresh_next <= now)
            refresh_rank(d, c, r, now);
        d->refresh_next = u64_min(d->refresh_next, d->ranks[r].refresh_next);
    }
    d->plan.is_stale = true;
}
