/* The DRAM channel against hand-computed command sequences; times in nanoseconds. */
#include "tests/unit/unit.h"

#include "memsys/dram.h"
#include "pdes/rng.h"

#include <stdlib.h>
#include <string.h>

#define PS(x) ((simtime_t)(x)*1000) /* picoseconds */
#define CONTROLLER PS(10000)

struct done {
    simtime_t answer;
    uint32_t token, is_write;
};

struct fixture {
    struct dram_config c;
    struct dram *d;
    struct done done[4096];
    unsigned ndone;
};

static struct fixture fx;

static struct dram_params params_of(enum dram_preset preset)
{
    return (struct dram_params){
        .preset = (uint64_t)preset,
        .channels = 1,
        .ranks = 1,
        .mapping = DRAM_MAP_COLUMN_LOW,
        .controller_fs = CONTROLLER,
        .read_window = 32,
        .write_window = 32,
        .write_high = 24,
        .write_low = 8,
        .hit_cap = 16,
    };
}

static void open_channel(const struct dram_params *p)
{
    free(fx.d);
    memset(&fx, 0, sizeof fx);
    CU_ASSERT_EQUAL_FATAL(dram_configure(p, 4096, &fx.c), ERR_OK);
    fx.d = calloc(1, dram_state_bytes(&fx.c));
    if (fx.d == NULL)
        abort();
    dram_init(fx.d, &fx.c);
}

static void open_preset(enum dram_preset preset)
{
    struct dram_params p = params_of(preset);
    open_channel(&p);
}

/* The address of a place, without hashing, in the column-low order. */
static paddr_t at(uint64_t row, uint32_t group, uint32_t bank, uint32_t column)
{
    uint64_t line = row * fx.c.nranks * fx.c.nbanks + bank;
    line = (line * fx.c.ngroups + group) * fx.c.ncolumns + column;
    return (paddr_t){line << LINE_SHIFT};
}

static void note_done(const struct dram_done *done)
{
    fx.done[fx.ndone].answer = done->answer;
    fx.done[fx.ndone].token = done->request->token;
    fx.done[fx.ndone++].is_write = done->request->is_write;
}

static void step(void)
{
    struct dram_done done;
    if (dram_step(fx.d, &fx.c, &done))
        note_done(&done);
}

static void run_until(simtime_t until)
{
    struct dram_done done;
    while (dram_next_time(fx.d, &fx.c) < until)
        if (dram_advance(fx.d, &fx.c, until, &done))
            note_done(&done);
}

/* A request with the token `token`; what is due before it is done first. */
static void arrive(simtime_t now, paddr_t line, bool is_write, uint32_t token)
{
    run_until(now);
    dram_enqueue(fx.d, &fx.c, now, line, LINE_DATA, is_write, token, 0);
}

static void drain(void) { run_until(SIM_NEVER); }

/* When the data of the request with this token ended. */
static simtime_t data_end(uint32_t token)
{
    for (unsigned i = 0; i < fx.ndone; i++)
        if (fx.done[i].token == token)
            return fx.done[i].answer - CONTROLLER;
    return SIM_NEVER;
}

static void check_unloaded(enum dram_preset preset, simtime_t hit, simtime_t closed,
                           simtime_t conflict)
{
    open_preset(preset);
    /* Far apart, on clock edges. */
    simtime_t step = fx.c.t.tck_fs * 4000;
    arrive(0, at(5, 0, 0, 0), false, 0);
    arrive(step, at(5, 0, 0, 1), false, 1);
    arrive(2 * step, at(6, 0, 0, 0), false, 2);
    drain();
    CU_ASSERT_EQUAL(data_end(0), closed);
    CU_ASSERT_EQUAL(data_end(1) - step, hit);
    CU_ASSERT_EQUAL(data_end(2) - 2 * step, conflict);
    CU_ASSERT_EQUAL(fx.d->stats.row_closed[LINE_DATA], 1);
    CU_ASSERT_EQUAL(fx.d->stats.row_hits[LINE_DATA], 1);
    CU_ASSERT_EQUAL(fx.d->stats.row_conflicts[LINE_DATA], 1);
    CU_ASSERT_EQUAL(fx.d->stats.read_wait[LINE_DATA], 0);
    CU_ASSERT_EQUAL(fx.d->stats.read_latency[LINE_DATA], hit + closed + conflict + 3 * CONTROLLER);
}

static void unloaded_latencies_of_ddr4_3200_are_exact(void)
{
    check_unloaded(DRAM_DDR4_3200, PS(16250), PS(30000), PS(43750));
}

static void unloaded_latencies_of_ddr5_4800_are_exact(void)
{
    check_unloaded(DRAM_DDR5_4800, PS(20000), PS(36250), PS(52500));
}

static void an_arrival_is_rounded_up_to_the_clock(void)
{
    open_preset(DRAM_DDR4_3200);
    arrive(1, at(5, 0, 0, 0), false, 0);
    drain();
    CU_ASSERT_EQUAL(data_end(0), PS(625 + 30000));
}

static void hits_to_one_bank_group_are_tccd_l_apart_and_to_two_a_burst(void)
{
    open_preset(DRAM_DDR4_3200);
    arrive(0, at(5, 0, 0, 0), false, 0);
    arrive(0, at(5, 1, 0, 0), false, 1);
    drain();
    arrive(PS(1000000), at(5, 0, 0, 1), false, 2);
    arrive(PS(1000000), at(5, 0, 0, 2), false, 3);
    drain();
    CU_ASSERT_EQUAL(data_end(2), PS(1016250));
    CU_ASSERT_EQUAL(data_end(3), PS(1021250));
    arrive(PS(2000000), at(5, 0, 0, 1), false, 4);
    arrive(PS(2000000), at(5, 1, 0, 2), false, 5);
    drain();
    CU_ASSERT_EQUAL(data_end(4), PS(2016250));
    CU_ASSERT_EQUAL(data_end(5), PS(2018750));
}

static void activations_of_two_banks_overlap(void)
{
    /* ACT at 0 and at tRRD_S 2.5 (tRRD_L 5 in one group); RD 13.75 later; data 16.25 after RD. */
    open_preset(DRAM_DDR4_3200);
    arrive(0, at(5, 0, 0, 0), false, 0);
    arrive(0, at(5, 1, 0, 0), false, 1);
    drain();
    CU_ASSERT_EQUAL(data_end(0), PS(30000));
    CU_ASSERT_EQUAL(data_end(1), PS(32500));
    open_preset(DRAM_DDR4_3200);
    arrive(0, at(5, 0, 0, 0), false, 0);
    arrive(0, at(5, 0, 1, 0), false, 1);
    drain();
    CU_ASSERT_EQUAL(data_end(1), PS(35000));
}

static void one_bank_takes_a_whole_row_cycle_between_rows(void)
{
    /* ACT 0, PRE at tRAS 32, ACT 45.75, RD 59.5, data to 75.75. */
    open_preset(DRAM_DDR4_3200);
    arrive(0, at(5, 0, 0, 0), false, 0);
    arrive(0, at(6, 0, 0, 0), false, 1);
    drain();
    CU_ASSERT_EQUAL(data_end(1), PS(75750));
    /* Unloaded conflict is 43.75: 32 ns were waiting. */
    CU_ASSERT_EQUAL(fx.d->stats.read_wait[LINE_DATA], PS(32000));
}

static void the_fifth_activate_waits_for_tfaw(void)
{
    /*
     * ACT at 0, 2.5, 5, 7.5; the fifth not at 10 but at 21.25, when the command bus carries the
     * fourth RD (7.5 + 13.75): so at 21.875, RD 35.625, data to 51.875.
     */
    open_preset(DRAM_DDR4_3200);
    for (uint32_t i = 0; i < 5; i++)
        arrive(0, at(5, i % 4, i / 4, 0), false, i);
    drain();
    CU_ASSERT_EQUAL(data_end(3), PS(37500));
    CU_ASSERT_EQUAL(data_end(4), PS(51875));
}

static void a_read_after_a_write_waits_for_the_turnaround(void)
{
    /* ACT 0, WR 13.75, data 23.75 to 26.25; tWTR_L 7.5: RD 33.75, data to 50. */
    open_preset(DRAM_DDR4_3200);
    arrive(0, at(5, 0, 0, 0), true, 0);
    arrive(PS(14375), at(5, 0, 0, 1), false, 1);
    drain();
    CU_ASSERT_EQUAL(data_end(1), PS(50000));
    CU_ASSERT_EQUAL(fx.d->stats.turnarounds, 1);
    /* Another group with an open row: tWTR_S 2.5: RD 28.75, data to 45. */
    open_preset(DRAM_DDR4_3200);
    arrive(0, at(5, 1, 0, 0), false, 9);
    drain();
    arrive(PS(1000000), at(5, 0, 0, 0), true, 0);
    arrive(PS(1014375), at(5, 1, 0, 1), false, 1);
    drain();
    CU_ASSERT_EQUAL(data_end(1), PS(1045000));
}

static void a_write_after_a_read_leaves_a_gap_on_the_bus(void)
{
    /* RD 13.75, data to 30; gap 1.25; write data 31.25 to 33.75; next RD >= 33.75 + 7.5. */
    open_preset(DRAM_DDR4_3200);
    arrive(0, at(5, 0, 0, 0), false, 0);
    arrive(0, at(5, 0, 0, 1), true, 1);
    arrive(PS(30000), at(5, 0, 0, 2), false, 2);
    drain();
    CU_ASSERT_EQUAL(data_end(2), PS(33750 + 7500 + 16250));
}

static void a_row_hit_overtakes_an_older_conflict(void)
{
    /* Conflict at 14.375, hit at 15: RD of the hit 18.75; PRE 32, ACT 45.75, RD 59.5. */
    open_preset(DRAM_DDR4_3200);
    arrive(0, at(5, 0, 0, 0), false, 0);
    arrive(PS(14375), at(6, 0, 0, 0), false, 1);
    arrive(PS(15000), at(5, 0, 0, 1), false, 2);
    drain();
    CU_ASSERT_EQUAL(data_end(2), PS(35000));
    CU_ASSERT_EQUAL(data_end(1), PS(75750));
    CU_ASSERT_EQUAL(fx.done[1].token, 2);
}

static void hits_stop_overtaking_at_the_cap(void)
{
    struct dram_params p = params_of(DRAM_DDR4_3200);
    p.hit_cap = 2;
    open_channel(&p);
    arrive(0, at(5, 0, 0, 0), false, 0);
    arrive(PS(14375), at(6, 0, 0, 0), false, 1);
    for (uint32_t i = 2; i < 6; i++)
        arrive(PS(14375), at(5, 0, 0, i), false, i);
    drain();
    static const uint32_t order[] = {0, 2, 3, 1, 4, 5};
    for (unsigned i = 0; i < 6; i++)
        CU_ASSERT_EQUAL(fx.done[i].token, order[i]);
}

static void a_read_within_a_refresh_waits_for_the_exact_remainder(void)
{
    struct dram_params p = params_of(DRAM_DDR4_3200);
    p.refresh = 1;
    open_channel(&p);
    /* Refresh from 7800 to 8150; the row opened before it is closed by it. */
    arrive(0, at(5, 0, 0, 0), false, 0);
    arrive(PS(7900000), at(5, 0, 0, 1), false, 1);
    drain();
    CU_ASSERT_EQUAL(data_end(1), PS(8150000 + 30000));
    CU_ASSERT_EQUAL(fx.d->stats.refresh_delays, 1);
    /* After it the row is closed; between two refreshes nothing waits. */
    arrive(PS(15600000 + 400000), at(5, 0, 0, 2), false, 2);
    drain();
    CU_ASSERT_EQUAL(data_end(2), PS(16000000 + 30000));
    CU_ASSERT_EQUAL(fx.d->stats.refresh_delays, 1);
}

static void a_refresh_takes_back_a_row_opened_for_a_read_it_overtakes(void)
{
    struct dram_params p = params_of(DRAM_DDR4_3200);
    p.refresh = 1;
    open_channel(&p);
    /* ACT at 7790, RD would be at 7803.75 > 7800. */
    arrive(PS(7790000), at(5, 0, 0, 0), false, 0);
    drain();
    CU_ASSERT_EQUAL(data_end(0), PS(8150000 + 30000));
    CU_ASSERT_EQUAL(fx.d->stats.refresh_delays, 1);
}

static void writes_wait_for_reads_until_the_high_watermark_and_drain_to_the_low_one(void)
{
    struct dram_params p = params_of(DRAM_DDR4_3200);
    p.write_high = 6;
    p.write_low = 2;
    open_channel(&p);
    /* Reads all the time; six writes at once: four go first, two only when no read is left. */
    for (uint32_t i = 0; i < 6; i++)
        dram_enqueue(fx.d, &fx.c, 0, at(5, 0, 0, i), LINE_DATA, true, i, 0);
    for (uint32_t i = 0; i < 8; i++)
        dram_enqueue(fx.d, &fx.c, 0, at(5, 1, 0, i), LINE_DATA, false, 10 + i, 0);
    drain();
    CU_ASSERT_EQUAL(fx.ndone, 14);
    for (unsigned i = 0; i < 14; i++)
        CU_ASSERT_EQUAL(fx.done[i].is_write, i < 4 || i >= 12);
}

static void a_stream_over_all_groups_fills_the_data_bus(void)
{
    struct dram_params p = params_of(DRAM_DDR4_3200);
    p.mapping = DRAM_MAP_GROUP_LOW;
    p.read_window = 64;
    open_channel(&p);
    for (uint32_t i = 0; i < 256; i++)
        arrive(0, (paddr_t){(uint64_t)i << LINE_SHIFT}, false, i);
    drain();
    CU_ASSERT_EQUAL(fx.ndone, 256);
    /* 256 bursts of 2.5 after the first row is open; nothing but bursts on the bus. */
    CU_ASSERT_EQUAL(data_end(255), PS(13750 + 13750 + 256 * 2500));
    CU_ASSERT_EQUAL(fx.d->stats.bus_busy, PS(256 * 2500));
}

static void every_line_of_the_channels_has_its_own_place(void)
{
    for (uint64_t mapping = 0; mapping < 2; mapping++)
        for (uint64_t hash = 0; hash < 2; hash++)
            for (uint64_t nchannels = 1; nchannels <= 5; nchannels++) {
                enum { NLINES = 1 << 15, NKEYS = 1 << 18 };
                static uint8_t seen[NKEYS];
                struct dram_params p = params_of(DRAM_DDR4_3200);
                p.channels = nchannels;
                p.mapping = mapping;
                p.xor_hash = hash;
                p.ranks = 2;
                p.row_bytes = 1024;
                open_channel(&p);
                memset(seen, 0, sizeof seen);
                unsigned ntwice = 0, per_channel[5] = {0};
                for (uint64_t n = 0; n < NLINES; n++) {
                    paddr_t line = {n << LINE_SHIFT};
                    uint32_t ch = dram_channel_of(fx.c.nchannels, hash, line);
                    struct dram_place q = dram_place_of(&fx.c, line);
                    uint64_t key = q.row;
                    key = key * 2 + q.rank;
                    key = key * 4 + q.group;
                    key = key * 4 + q.bank;
                    key = key * 16 + q.column;
                    key = key * nchannels + ch;
                    CU_ASSERT_TRUE_FATAL(key < NKEYS && ch < nchannels);
                    ntwice += seen[key]++;
                    per_channel[ch]++;
                }
                CU_ASSERT_EQUAL(ntwice, 0);
                for (uint64_t ch = 0; ch < nchannels; ch++)
                    CU_ASSERT_TRUE(per_channel[ch] >= NLINES / nchannels - 1 &&
                                   per_channel[ch] <= NLINES / nchannels + 1);
            }
}

static void random_traffic_is_answered_once_each_and_never_too_early(void)
{
    struct dram_params p = params_of(DRAM_DDR5_4800);
    p.refresh = 1;
    p.ranks = 2;
    p.xor_hash = 1;
    p.mapping = DRAM_MAP_GROUP_LOW;
    open_channel(&p);
    static simtime_t sent[4000];
    static uint8_t answered[4000];
    simtime_t now = 0;
    for (uint32_t i = 0; i < 4000; i++) {
        uint64_t r = rng_draw(1, 2, 3, 4, i);
        /* Bursts and pauses, so that all queue lengths occur. */
        now += i % 500 == 0 ? 2 * FS_PER_US : r % 6000000;
        sent[i] = now;
        arrive(now, (paddr_t){(r >> 20) % (1u << 20) << LINE_SHIFT}, r % 3 == 0, i);
    }
    drain();
    CU_ASSERT_EQUAL(fx.ndone, 4000);
    CU_ASSERT_EQUAL(dram_nwaiting(fx.d), 0);
    unsigned nwrong = 0;
    simtime_t floor = dram_min_answer_fs(&fx.c);
    for (unsigned i = 0; i < fx.ndone; i++) {
        nwrong += answered[fx.done[i].token]++ != 0;
        nwrong += fx.done[i].answer < sent[fx.done[i].token] + floor;
    }
    CU_ASSERT_EQUAL(nwrong, 0);
    uint64_t nreads = fx.d->stats.reads[LINE_DATA], nwrites = fx.d->stats.writes[LINE_DATA];
    CU_ASSERT_EQUAL(nreads + nwrites, 4000);
    CU_ASSERT_EQUAL(fx.d->stats.bus_busy, 4000 * fx.c.t.tburst_fs);
}

/* What a bank offers, by the definition: a scan of all requests that are seen, oldest first. */
struct scan {
    bool seen, capped;
    uint32_t hit, row; /* the oldest of each sort */
};

static void scan_banks(const struct dram_list *l, struct scan *banks)
{
    for (uint32_t b = 0; b < DRAM_MAX_BANKS; b++)
        banks[b] = (struct scan){.hit = DRAM_NIL, .row = DRAM_NIL};
    for (uint32_t slot = 0; slot < l->nslots; slot++) {
        uint32_t idx = l->slots[slot].request;
        if (idx == DRAM_NIL)
            continue;
        uint32_t bank = fx.d->requests[idx].bank;
        const struct dram_bank *b = &fx.d->banks[bank];
        struct scan *s = &banks[bank];
        bool hit = b->row == fx.d->requests[idx].row;
        if (!s->seen)
            s->capped = !hit && b->hit_streak >= fx.c.hit_cap;
        s->seen = true;
        if (hit && !s->capped && s->hit == DRAM_NIL)
            s->hit = idx;
        if (!hit && s->row == DRAM_NIL)
            s->row = idx;
    }
}

/* When a request's command may go; never after the date of a refresh. */
static simtime_t time_of(uint32_t idx, uint64_t bank_ok, enum dram_limit limit)
{
    const struct dram_request *r = &fx.d->requests[idx];
    uint64_t ok = u64_max(u64_max(bank_ok, r->ready), fx.d->cmd_ok);
    ok = u64_max(ok, fx.d->rank_ok[r->rank * DRAM_LIMITS + limit]);
    ok = u64_max(ok, fx.d->group_ok[r->group * DRAM_LIMITS + limit]);
    return u64_min(u64_max(dram_time_of(fx.d, ok), fx.d->now), fx.d->ranks[r->rank].refresh_next);
}

static struct dram_plan plan_by_scan(void)
{
    static struct scan banks[DRAM_MAX_BANKS];
    bool writes = fx.d->draining || fx.d->lists[0].n == 0;
    const struct dram_list *l = &fx.d->lists[writes];
    struct dram_plan best = {.time = SIM_NEVER, .command = DRAM_CMD_NONE};
    scan_banks(l, banks);
    for (uint32_t bank = 0; bank < DRAM_MAX_BANKS; bank++) {
        const struct dram_bank *b = &fx.d->banks[bank];
        const struct scan *s = &banks[bank];
        struct dram_plan p = {.request = s->hit, .command = DRAM_CMD_COLUMN};
        if (!s->seen)
            continue;
        if (s->hit == DRAM_NIL) {
            p.command = b->row == DRAM_NO_ROW ? DRAM_CMD_ACT : DRAM_CMD_PRE;
            p.request = s->row;
        }
        if (p.command == DRAM_CMD_COLUMN)
            p.time = time_of(p.request, b->ok[DRAM_CMD_COLUMN], writes ? DRAM_LIMIT_WR : DRAM_LIMIT_RD);
        else if (p.command == DRAM_CMD_ACT)
            p.time = time_of(p.request, b->ok[DRAM_CMD_ACT], DRAM_LIMIT_ACT);
        else
            p.time = time_of(p.request, b->ok[DRAM_CMD_PRE], DRAM_LIMIT_PRE);
        bool is_column = p.command == DRAM_CMD_COLUMN;
        bool was_column = best.command == DRAM_CMD_COLUMN;
        bool is_older = best.command != DRAM_CMD_NONE &&
                        fx.d->requests[p.request].slot < fx.d->requests[best.request].slot;
        if (p.time < best.time ||
            (p.time == best.time && (is_column != was_column ? is_column : is_older)))
            best = p;
    }
    return best;
}

static unsigned nplans_wrong(const struct dram_params *p, uint64_t seed)
{
    unsigned nwrong = 0;
    simtime_t now = 0;
    open_channel(p);
    for (uint32_t i = 0; i < 3000; i++) {
        uint64_t r = rng_draw(2, 3, 4, seed, i);
        now += i % 300 == 0 ? 2 * FS_PER_US : r % (seed % 8 < 4 ? PS(60000) : PS(8000));
        while (dram_next_time(fx.d, &fx.c) < now) {
            struct dram_plan want = plan_by_scan();
            nwrong += fx.d->plan.time != want.time;
            /* A refresh may go before a command of the same time: that changes nothing. */
            nwrong += fx.d->plan.command != DRAM_CMD_REFRESH &&
                      (fx.d->plan.request != want.request || fx.d->plan.command != want.command);
            step();
        }
        uint64_t line = (r >> 40) % 4 == 0 ? i : (r >> 20) % (1u << 16);
        dram_enqueue(fx.d, &fx.c, now, (paddr_t){line << LINE_SHIFT}, LINE_DATA, r % 3 == 0, i, 0);
    }
    drain();
    CU_ASSERT_EQUAL(fx.ndone, 3000);
    return nwrong;
}

static void each_command_is_the_one_that_a_scan_of_all_requests_finds(void)
{
    for (uint64_t seed = 0; seed < 24; seed++) {
        struct dram_params p = params_of((enum dram_preset)(seed % DRAM_PRESETS));
        p.ranks = 1 + seed % 3;
        p.refresh = seed % 4 != 0;
        if (seed % 4 == 1) { /* refreshes all the time */
            p.timing.trefi_fs = PS(600000);
            p.timing.trfc_fs = PS(200000);
        }
        p.xor_hash = seed % 2;
        p.mapping = seed / 2 % 2;
        p.hit_cap = 1 + seed % 5;
        p.read_window = seed < 8 ? 1 + seed : 20 * (seed - 7) % 255 + 1;
        p.write_window = seed < 8 ? 8 - seed : 32;
        CU_ASSERT_EQUAL(nplans_wrong(&p, seed), 0);
    }
}

static void two_times_are_compared_like_numbers(void)
{
    unsigned nwrong = 0;
    for (uint64_t i = 0; i < 4000; i++) {
        _Alignas(16) uint64_t x[2], y[2], most[2];
        for (unsigned k = 0; k < 2; k++) {
            uint64_t any = rng_draw(5, 6, 7, k, i);
            x[k] = i % 8 == k ? 0 : TIMES2_LEAST + any % (TIMES2_MOST - TIMES2_LEAST);
            y[k] = i % 3 == k ? x[k] : x[k] ^ (any >> 62 & 1) << i % 52; /* equal, near or far */
        }
        times2_store(most, times2_max(times2_load(x), times2_of(&y[0], &y[1])));
        nwrong += most[0] != u64_max(x[0], y[0]) || most[1] != u64_max(x[1], y[1]);
        nwrong += times2_lesser(times2_load(x)) != u64_min(x[0], x[1]);
        nwrong += times2_lesser(times2_min(times2_load(x), times2_load(y))) !=
                  u64_min(u64_min(x[0], x[1]), u64_min(y[0], y[1]));
        times2_store(most, times2_or(times2_add(times2_load(x), times2_both(2048)), times2_both(5)));
        nwrong += most[0] != ((x[0] + 2048) | 5) || most[1] != ((x[1] + 2048) | 5);
    }
    CU_ASSERT_EQUAL(nwrong, 0);
}

/* When traffic that begins at `start` is answered, from then on; a sum of all. */
static uint64_t answers_from(const struct dram_params *p, simtime_t start, uint64_t seed)
{
    simtime_t now = start;
    uint64_t sum = 0;
    open_channel(p);
    for (uint32_t i = 0; i < 2000; i++) {
        uint64_t r = rng_draw(7, 8, 9, seed, i);
        now += r % PS(4000);
        while (dram_next_time(fx.d, &fx.c) < now)
            step();
        dram_enqueue(fx.d, &fx.c, now, (paddr_t){(r >> 20) % (1u << 16) << LINE_SHIFT}, LINE_DATA, r % 3 == 0, i, 0);
    }
    drain();
    for (unsigned i = 0; i < fx.ndone; i++)
        sum = (sum ^ (fx.done[i].answer - start) ^ (uint64_t)fx.done[i].token << 48) * UINT64_C(0x9e3779b97f4a7c15);
    return sum;
}

/* What waits as the channel's stamps begin anew, or has been done lately, is as it would be at any other time. */
static void a_channel_does_the_same_at_any_time(void)
{
    for (uint64_t seed = 0; seed < 32; seed++) {
        struct dram_params p = params_of((enum dram_preset)(seed % DRAM_PRESETS));
        p.ranks = 1 + seed % 2;
        p.xor_hash = true;
        p.read_window = 8 + seed;
        uint64_t want = answers_from(&p, 0, seed);
        simtime_t tck_fs = fx.c.t.tck_fs, amid = DRAM_STAMP_ROOM - PS(1000000) - PS(100000) * seed;
        CU_ASSERT_EQUAL(answers_from(&p, amid / tck_fs * tck_fs, seed), want);
        CU_ASSERT(fx.d->stamp0 + DRAM_STAMP_LEAST >= DRAM_STAMP_ROOM); /* it did move */
        CU_ASSERT_EQUAL(answers_from(&p, (UINT64_C(1) << 60) / tck_fs * tck_fs, seed), want);
    }
}

/* Traffic of 100 requests that begins at `start`, in a channel that has been idle for long; a sum of its answers. */
static uint64_t answers_after_idling(simtime_t start)
{
    const unsigned first = fx.ndone;
    simtime_t now = start;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < 100; i++) {
        uint64_t r = rng_draw(10, 11, 12, 0, i);
        now += r % PS(4000);
        while (dram_next_time(fx.d, &fx.c) < now)
            step();
        dram_enqueue(fx.d, &fx.c, now, (paddr_t){(r >> 20) % (1u << 16) << LINE_SHIFT}, LINE_DATA, false, i, 0);
    }
    drain();
    for (unsigned i = first; i < fx.ndone; i++)
        sum = (sum ^ (fx.done[i].answer - start) ^ (uint64_t)fx.done[i].token << 48) * UINT64_C(0x9e3779b97f4a7c15);
    return sum;
}

/* Without refreshes nobody looks at the channel meanwhile; rows stay open, so the second traffic is the first to compare with. */
static void a_channel_that_was_idle_for_seconds_does_the_same_again(void)
{
    struct dram_params p = params_of(DRAM_DDR5_4800);
    p.refresh = false;
    open_channel(&p);
    const simtime_t tck_fs = fx.c.t.tck_fs, some = DRAM_STAMP_ROOM / tck_fs * tck_fs;
    answers_after_idling(0);
    const uint64_t want = answers_after_idling(some / 2 / tck_fs * tck_fs);
    for (uint64_t i = 1; i <= 36; i++) /* over several origins of the stamps, at times that drift across them */
        CU_ASSERT_EQUAL(answers_after_idling((some / 2 + (some + some / 7) * i) / tck_fs * tck_fs), want);
}

/* A rank that is refreshed has delayed someone: a read, only a write, or only one that the scheduler does not see yet. */
static void a_refresh_delays_whatever_waits_for_its_rank(void)
{
    struct dram_params p = params_of(DRAM_DDR4_3200);
    p.refresh = 1;
    open_channel(&p);
    arrive(PS(7790000), at(5, 0, 0, 0), true, 0); /* ACT at 7790, WR would be at 7803.75, the refresh is at 7800 */
    drain();
    CU_ASSERT_EQUAL(fx.d->stats.refresh_delays, 1);
    p.ranks = 2;
    p.read_window = 1;
    open_channel(&p);
    const simtime_t trefi = fx.c.t.trefi_fs;
    simtime_t date[2] = {fx.d->ranks[0].refresh_next, fx.d->ranks[1].refresh_next};
    const uint32_t first = date[0] < date[1] ? 0 : 1; /* whose refresh comes first; a request of the other rank is all that is seen */
    uint32_t n = 0;
    for (uint64_t line = 0; n < 2; line++) {
        const struct dram_place place = dram_place_of(&fx.c, (paddr_t){line << LINE_SHIFT});
        if (place.rank == (n == 0 ? 1 - first : first))
            dram_enqueue(fx.d, &fx.c, date[first] - PS(1000), (paddr_t){line << LINE_SHIFT}, LINE_DATA, false, n++, 0);
    }
    CU_ASSERT(trefi > 0 && fx.d->stats.refresh_delays == 0);
    drain();
    CU_ASSERT_EQUAL(fx.d->stats.refresh_delays, 1);
}

static void refreshes_that_leave_no_time_are_refused(void)
{
    struct dram_params p = params_of(DRAM_DDR4_3200);
    struct dram_config c;
    p.refresh = 1;
    p.timing.trcd_fs = PS(300000000);
    p.timing.trefi_fs = PS(1000000000);
    p.timing.trfc_fs = PS(900000000);
    CU_ASSERT_EQUAL(dram_configure(&p, 64, &c), ERR_USAGE);
    p.timing.trfc_fs = PS(600000000);
    CU_ASSERT_EQUAL(dram_configure(&p, 64, &c), ERR_OK);
}

/* Sparse and dense traffic, command by command or as far as it goes at once; returns the times planned, summed. */
static uint64_t plans_of(const struct dram_params *p, uint64_t seed, bool stepwise)
{
    simtime_t now = 0;
    uint64_t sum = 0;
    open_channel(p);
    for (uint32_t i = 0; i < 3000; i++) {
        uint64_t r = rng_draw(3, 4, 5, seed, i);
        now += r % (i % 500 < 250 ? PS(120000) : PS(9000));
        while (stepwise && dram_next_time(fx.d, &fx.c) < now)
            step();
        run_until(now);
        sum += dram_next_time(fx.d, &fx.c) * i;
        paddr_t line = {(r >> 20) % (1u << 16) << LINE_SHIFT};
        dram_enqueue(fx.d, &fx.c, now, line, LINE_DATA, r % 4 == 0, i, 0);
    }
    while (stepwise && dram_next_time(fx.d, &fx.c) != SIM_NEVER)
        step();
    drain();
    return sum;
}

static void commands_one_by_one_and_all_until_the_next_column_command_are_the_same(void)
{
    static struct done done[4096];
    for (uint64_t seed = 0; seed < 24; seed++) {
        struct dram_params p = params_of((enum dram_preset)(seed % DRAM_PRESETS));
        p.ranks = 1 + seed % 3;
        p.refresh = seed % 4 != 0;
        if (seed % 4 == 1) {
            p.timing.trefi_fs = PS(600000);
            p.timing.trfc_fs = PS(200000);
        }
        p.hit_cap = 1 + seed % 5;
        p.read_window = p.write_window = 1 + seed % 7;
        uint64_t sum = plans_of(&p, seed, true);
        struct dram_stats stats = fx.d->stats;
        memcpy(done, fx.done, sizeof done);
        CU_ASSERT_EQUAL(plans_of(&p, seed, false), sum);
        CU_ASSERT_EQUAL(memcmp(done, fx.done, sizeof done), 0);
        CU_ASSERT_EQUAL(memcmp(&stats, &fx.d->stats, sizeof stats), 0);
    }
}

static void a_request_goes_to_its_place_whatever_the_numbers_of_ranks_and_channels(void)
{
    for (uint64_t i = 0; i < 64; i++) {
        struct dram_params p = params_of((enum dram_preset)(i % DRAM_PRESETS));
        p.channels = 1 + i % 5;
        p.ranks = 1 + i % 4;
        p.mapping = i / 4 % 2;
        p.xor_hash = i / 8 % 2;
        open_channel(&p);
        for (uint64_t n = 0; n < 40; n++) {
            paddr_t line = {rng_draw(7, i, 0, 0, n) % (UINT64_C(1) << 40) << LINE_SHIFT};
            struct dram_place want = dram_place_of(&fx.c, line);
            uint32_t idx = fx.d->free_first;
            dram_enqueue(fx.d, &fx.c, 0, line, LINE_DATA, false, 0, 0);
            const struct dram_request *q = &fx.d->requests[idx];
            CU_ASSERT_EQUAL(q->row, want.row);
            CU_ASSERT_EQUAL(q->rank, want.rank);
            CU_ASSERT_EQUAL(q->group, want.rank * fx.c.ngroups + want.group);
            CU_ASSERT_EQUAL(q->bank, q->group * fx.c.nbanks + want.bank);
        }
    }
}

static void a_configuration_that_does_not_fit_is_refused(void)
{
    struct dram_config c;
    struct dram_params p = params_of(DRAM_DDR4_3200);
    p.groups = 3;
    CU_ASSERT_EQUAL(dram_configure(&p, 10, &c), ERR_USAGE);
    p = params_of(DRAM_DDR4_3200);
    p.write_low = p.write_high;
    CU_ASSERT_EQUAL(dram_configure(&p, 10, &c), ERR_USAGE);
    p = params_of(DRAM_DDR4_3200);
    p.timing.tcl_fs = PS(20000);
    CU_ASSERT_EQUAL(dram_configure(&p, 10, &c), ERR_OK);
    CU_ASSERT_EQUAL(dram_configure(&p, 70000000, &c), ERR_USAGE); /* of 64 bytes: more than 4 GiB */
    CU_ASSERT_EQUAL(c.t.tcl_fs, PS(20000));
    CU_ASSERT_EQUAL(c.t.trcd_fs, PS(13750));
}

UNIT_MAIN("memsys/dram", UNIT(unloaded_latencies_of_ddr4_3200_are_exact),
          UNIT(unloaded_latencies_of_ddr5_4800_are_exact),
          UNIT(an_arrival_is_rounded_up_to_the_clock),
          UNIT(hits_to_one_bank_group_are_tccd_l_apart_and_to_two_a_burst),
          UNIT(activations_of_two_banks_overlap),
          UNIT(one_bank_takes_a_whole_row_cycle_between_rows),
          UNIT(the_fifth_activate_waits_for_tfaw),
          UNIT(a_read_after_a_write_waits_for_the_turnaround),
          UNIT(a_write_after_a_read_leaves_a_gap_on_the_bus),
          UNIT(a_row_hit_overtakes_an_older_conflict), UNIT(hits_stop_overtaking_at_the_cap),
          UNIT(a_read_within_a_refresh_waits_for_the_exact_remainder),
          UNIT(a_refresh_takes_back_a_row_opened_for_a_read_it_overtakes),
          UNIT(writes_wait_for_reads_until_the_high_watermark_and_drain_to_the_low_one),
          UNIT(a_stream_over_all_groups_fills_the_data_bus),
          UNIT(every_line_of_the_channels_has_its_own_place),
          UNIT(random_traffic_is_answered_once_each_and_never_too_early),
          UNIT(each_command_is_the_one_that_a_scan_of_all_requests_finds),
          UNIT(two_times_are_compared_like_numbers),
          UNIT(a_channel_that_was_idle_for_seconds_does_the_same_again),
          UNIT(a_refresh_delays_whatever_waits_for_its_rank), UNIT(refreshes_that_leave_no_time_are_refused),
          UNIT(a_channel_does_the_same_at_any_time),
          UNIT(commands_one_by_one_and_all_until_the_next_column_command_are_the_same),
          UNIT(a_request_goes_to_its_place_whatever_the_numbers_of_ranks_and_channels),
          UNIT(a_configuration_that_does_not_fit_is_refused))
