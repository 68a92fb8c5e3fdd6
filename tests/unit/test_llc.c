/* The LLC slice as plain calls. Clock 2 GHz: a cycle is 0.5 ns. */
#include "tests/unit/unit.h"

#include "memsys/llc.h"

#include <stdlib.h>

#define CYCLE UINT64_C(500000)
enum { TAG = 6, DATA = 10, BUSY = 2 };

static const struct llc_params params = {
    .clock_hz = 2000000000,
    .slices = 1,
    .size_bytes = 4096, /* 16 sets of 4 */
    .ways = 4,
    .repl = REPL_LRU,
    .banks = 4,
    .tag_cycles = TAG,
    .data_cycles = DATA,
    .bank_busy_cycles = BUSY,
    .dram_reads = 4,
    .dram_writes = 4,
    .victims = 4,
};

static struct llc_config cfg;
static struct llc *slice;

static void open_slice_of(const struct llc_params *p, uint32_t nchannels)
{
    struct llc_machine m = {.ncores = 4, .core_credits = 8, .nchannels = nchannels, .seed = 1};
    CU_ASSERT_EQUAL_FATAL(llc_configure(p, &m, &cfg), ERR_OK);
    free(slice);
    slice = calloc(1, llc_state_bytes(&cfg));
    if (slice == NULL)
        abort();
    llc_init(slice, &cfg, 0);
}

static void open_slice(const struct llc_params *p) { open_slice_of(p, 1); }

/* Line number `tag` of set `set`. */
static paddr_t line_at(uint32_t set, uint64_t tag)
{
    return (paddr_t){(tag * cfg.array.nsets + set) << LINE_SHIFT};
}

static bool read_at(simtime_t now, paddr_t line, uint32_t core, simtime_t *leaves_out)
{
    *leaves_out = llc_read(slice, &cfg, now, line, LINE_DATA, core, 7);
    return *leaves_out != SIM_NEVER;
}

static unsigned departures(simtime_t now, struct llc_departure *out, unsigned max)
{
    unsigned n = 0;
    struct llc_departure d;
    while (llc_next_departure(slice, &cfg, now, &d))
        if (n < max)
            out[n++] = d;
    return n;
}

/* Memory's answer to a departed read: all its requests are answered. */
static unsigned answer_read(simtime_t now, const struct llc_departure *d, simtime_t *leaves_out)
{
    unsigned n = 1;
    struct llc_request q;
    llc_credit_back(slice, &cfg, d->channel, false);
    simtime_t leaves = llc_fill(slice, &cfg, now, d->token);
    while (llc_answer(slice, d->token, &q))
        n++;
    if (leaves_out)
        *leaves_out = leaves;
    return n;
}

/* Brings a line in, with nothing else going on around it. */
static void bring(simtime_t now, paddr_t line)
{
    simtime_t leaves;
    struct llc_departure d;
    if (read_at(now, line, 0, &leaves))
        return;
    CU_ASSERT_EQUAL_FATAL(departures(now, &d, 1), 1);
    answer_read(now, &d, NULL);
}

static void make_dirty(simtime_t now, paddr_t line)
{
    simtime_t ack;
    CU_ASSERT_TRUE(llc_writeback(slice, &cfg, now, line, LINE_DATA, 0, &ack));
}

static void every_group_of_neighbours_has_one_line_in_each_slice(void)
{
    for (uint32_t nslices = 1; nslices <= 40; nslices++)
        for (uint64_t group = 0; group < 500; group++) {
            uint64_t seen = 0;
            for (uint64_t i = 0; i < nslices; i++) {
                paddr_t line = {(group * 977 * nslices + i) << LINE_SHIFT};
                seen |= UINT64_C(1) << llc_slice_of(line, nslices);
            }
            if (seen != (UINT64_C(1) << nslices) - 1)
                CU_FAIL("a slice is left out");
        }
}

static void power_of_two_strides_spread_over_the_slices(void)
{
    /* 16 slices, 16384 lines: 1024 each if spread evenly; none may have twice that. */
    for (unsigned shift = 0; shift <= 16; shift++) {
        unsigned count[16] = {0}, most = 0;
        for (uint64_t i = 0; i < 16384; i++)
            count[llc_slice_of((paddr_t){i << shift << LINE_SHIFT}, 16)]++;
        for (unsigned s = 0; s < 16; s++)
            most = count[s] > most ? count[s] : most;
        CU_ASSERT_TRUE(most <= 2048);
    }
}

static void a_hit_leaves_after_tag_and_data_from_the_next_edge(void)
{
    simtime_t leaves;
    open_slice(&params);
    bring(0, line_at(3, 1));
    CU_ASSERT_TRUE(read_at(1000 * CYCLE + 1, line_at(3, 1), 0, &leaves));
    CU_ASSERT_EQUAL(leaves, (1001 + TAG + DATA) * CYCLE);
    CU_ASSERT_EQUAL(slice->stats.hits[LINE_DATA], 1);
    CU_ASSERT_EQUAL(slice->stats.misses[LINE_DATA], 1);
}

static void a_miss_asks_memory_after_the_tags_and_answers_data_cycles_after_the_fill(void)
{
    simtime_t leaves;
    struct llc_departure d;
    open_slice(&params);
    CU_ASSERT_FALSE(read_at(100 * CYCLE, line_at(0, 9), 2, &leaves));
    CU_ASSERT_EQUAL(departures(100 * CYCLE, &d, 1), 1);
    CU_ASSERT_EQUAL(d.time, (100 + TAG) * CYCLE);
    CU_ASSERT_EQUAL(d.line.v, line_at(0, 9).v);
    CU_ASSERT_FALSE(d.is_write);
    CU_ASSERT_EQUAL(answer_read(200 * CYCLE, &d, &leaves), 1);
    CU_ASSERT_EQUAL(leaves, (200 + DATA) * CYCLE);
    llc_check(slice, &cfg);
}

static void accesses_to_one_bank_queue_and_to_two_do_not(void)
{
    simtime_t leaves;
    open_slice(&params);
    bring(0, line_at(0, 1));
    bring(0, line_at(1, 1));
    bring(0, line_at(4, 1)); /* bank 0 again */
    simtime_t now = 1000 * CYCLE;
    read_at(now, line_at(0, 1), 0, &leaves);
    CU_ASSERT_EQUAL(leaves, now + (TAG + DATA) * CYCLE);
    read_at(now, line_at(1, 1), 1, &leaves);
    CU_ASSERT_EQUAL(leaves, now + (TAG + DATA) * CYCLE);
    uint64_t waited = llc_stats_now(slice, &cfg)->bank_wait;
    read_at(now, line_at(4, 1), 2, &leaves);
    CU_ASSERT_EQUAL(leaves, now + (BUSY + TAG + DATA) * CYCLE);
    CU_ASSERT_EQUAL(llc_stats_now(slice, &cfg)->bank_wait, waited + BUSY);
}

static void banks_need_not_be_a_power_of_two(void)
{
    simtime_t leaves;
    struct llc_params p = params;
    p.banks = 3;
    open_slice(&p);
    for (uint32_t set = 0; set < 4; set++)
        bring(0, line_at(set, 1));
    simtime_t now = 1000 * CYCLE;
    for (uint32_t set = 0; set < 4; set++) {
        read_at(now, line_at(set, 1), 0, &leaves);
        CU_ASSERT_EQUAL(leaves, now + (set == 3 ? BUSY + TAG + DATA : TAG + DATA) * CYCLE);
    }
}

static void requests_of_several_cores_to_one_line_merge_and_are_answered_in_order(void)
{
    struct llc_departure d[2];
    struct llc_request q;
    open_slice(&params);
    for (uint32_t core = 0; core < 4; core++)
        CU_ASSERT_EQUAL(llc_read(slice, &cfg, core * CYCLE, line_at(0, 9), LINE_PT, core, 10 + core), SIM_NEVER);
    CU_ASSERT_EQUAL(departures(0, d, 2), 1);
    CU_ASSERT_EQUAL(slice->stats.misses[LINE_PT], 1);
    CU_ASSERT_EQUAL(slice->stats.merged[LINE_PT], 3);
    llc_credit_back(slice, &cfg, 0, false);
    llc_fill(slice, &cfg, 100 * CYCLE, d[0].token);
    for (uint32_t core = 0; core < 4; core++) {
        CU_ASSERT_EQUAL(llc_answer(slice, d[0].token, &q), core < 3);
        CU_ASSERT_EQUAL(q.core, core);
        CU_ASSERT_EQUAL(q.token, 10 + core);
    }
    CU_ASSERT_EQUAL(slice->stats.lines[LINE_PT], 1);
    llc_check(slice, &cfg);
}

static void a_line_that_requests_of_two_kinds_wait_for_counts_once_as_the_last_ones(void)
{
    for (unsigned n = 2; n <= 3; n++) {
        struct llc_departure d[2];
        static const enum line_kind kinds[] = {LINE_CODE, LINE_DATA, LINE_CODE};
        open_slice(&params);
        for (uint32_t i = 0; i < n; i++)
            CU_ASSERT_EQUAL(llc_read(slice, &cfg, i * CYCLE, line_at(0, 9), kinds[i], i, i), SIM_NEVER);
        CU_ASSERT_EQUAL(departures(0, d, 2), 1);
        CU_ASSERT_EQUAL(answer_read(100 * CYCLE, &d[0], NULL), n);
        CU_ASSERT_EQUAL(slice->stats.fills[LINE_CODE], 1);
        CU_ASSERT_EQUAL(slice->stats.lines[LINE_CODE], n == 3);
        CU_ASSERT_EQUAL(slice->stats.lines[LINE_DATA], n == 2);
        llc_check(slice, &cfg);
    }
}

static void a_line_that_one_core_brings_to_write_is_written(void)
{
    struct llc_departure d;
    simtime_t leaves;
    open_slice(&params);
    CU_ASSERT_EQUAL(llc_read(slice, &cfg, 0, line_at(0, 9), LINE_DATA | MEM_FOR_WRITE, 0, 0), SIM_NEVER);
    CU_ASSERT_EQUAL(departures(0, &d, 1), 1);
    CU_ASSERT_EQUAL(answer_read(100 * CYCLE, &d, NULL), 1);
    CU_ASSERT_EQUAL(slice->stats.write_shared[LINE_DATA], 0);
    read_at(200 * CYCLE, line_at(0, 9), 1, &leaves);
    CU_ASSERT_EQUAL(slice->stats.write_shared[LINE_DATA], 1);
}

static void a_dirty_victim_is_written_to_memory_and_a_clean_one_is_not(void)
{
    simtime_t leaves;
    struct llc_departure d[3];
    open_slice(&params);
    for (uint64_t tag = 0; tag < 4; tag++)
        bring(0, line_at(0, tag));
    make_dirty(CYCLE, line_at(0, 1)); /* now the youngest but one: order of age 0 2 3 1 */
    read_at(CYCLE, line_at(0, 1), 0, &leaves);
    bring(2 * CYCLE, line_at(0, 10)); /* pushes out 0, clean */
    CU_ASSERT_EQUAL(departures(2 * CYCLE, d, 3), 0);
    bring(2 * CYCLE, line_at(0, 11)); /* 2 */
    bring(2 * CYCLE, line_at(0, 12)); /* 3 */
    CU_ASSERT_EQUAL(departures(2 * CYCLE, d, 3), 0);
    bring(1000 * CYCLE, line_at(0, 13)); /* 1, dirty */
    CU_ASSERT_EQUAL(departures(1000 * CYCLE, d, 3), 1);
    CU_ASSERT_TRUE(d[0].is_write);
    CU_ASSERT_EQUAL(d[0].line.v, line_at(0, 1).v);
    CU_ASSERT_EQUAL(d[0].ack_core, LLC_NIL);
    CU_ASSERT_EQUAL(slice->stats.evictions[LINE_DATA], 4);
    CU_ASSERT_EQUAL(slice->stats.dram_writes[LINE_DATA], 1);
    CU_ASSERT_EQUAL(slice->stats.lines[LINE_DATA], 4);
}

static void a_write_back_allocates_and_its_acknowledgement_waits_for_a_dirty_victim(void)
{
    simtime_t ack;
    struct llc_params p = params;
    p.dram_writes = 1;
    open_slice(&p);
    for (uint64_t tag = 0; tag < 4; tag++) {
        CU_ASSERT_TRUE(llc_writeback(slice, &cfg, tag * CYCLE * 100, line_at(0, tag), LINE_DATA, 1,
                                     &ack));
        CU_ASSERT_EQUAL(ack, (tag * 100 + TAG + DATA) * CYCLE);
    }
    CU_ASSERT_EQUAL(slice->stats.wb_allocs[LINE_DATA], 4);
    struct llc_departure d;
    simtime_t now = 1000 * CYCLE;
    CU_ASSERT_FALSE(llc_writeback(slice, &cfg, now, line_at(0, 8), LINE_DATA, 2, &ack));
    CU_ASSERT_EQUAL(departures(now, &d, 1), 1);
    CU_ASSERT_EQUAL(d.line.v, line_at(0, 0).v);
    CU_ASSERT_EQUAL(d.ack_core, 2);
    CU_ASSERT_EQUAL(d.ack_line.v, line_at(0, 8).v);
    CU_ASSERT_EQUAL(d.time, now + TAG * CYCLE);
    CU_ASSERT_EQUAL(d.ack_time, now + (TAG + DATA) * CYCLE);
    /* The one write credit is away: the next waits until it is back. */
    now += 100 * CYCLE;
    CU_ASSERT_FALSE(llc_writeback(slice, &cfg, now, line_at(0, 9), LINE_DATA, 3, &ack));
    CU_ASSERT_EQUAL(departures(now, &d, 1), 0);
    now += 100 * CYCLE;
    llc_credit_back(slice, &cfg, 0, true);
    CU_ASSERT_EQUAL(departures(now, &d, 1), 1);
    CU_ASSERT_EQUAL(d.ack_core, 3);
    CU_ASSERT_EQUAL(d.time, now + TAG * CYCLE);
    CU_ASSERT_EQUAL(d.ack_time, now + DATA * CYCLE);
    CU_ASSERT_EQUAL(slice->stats.dram_held, 1);
    llc_credit_back(slice, &cfg, 0, true);
    llc_check(slice, &cfg);
}

static void reads_without_a_credit_leave_in_order_when_one_is_back(void)
{
    simtime_t leaves;
    struct llc_departure d[4];
    struct llc_params p = params;
    p.dram_reads = 2;
    open_slice(&p);
    unsigned ndeparted = 0;
    for (uint32_t i = 0; i < 4; i++) {
        read_at(0, line_at(i, 5), 0, &leaves);
        ndeparted += departures(0, d + ndeparted, 4 - ndeparted);
    }
    CU_ASSERT_EQUAL(ndeparted, 2);
    CU_ASSERT_EQUAL(slice->stats.dram_held, 2);
    simtime_t now = 100 * CYCLE;
    answer_read(now, &d[0], NULL);
    CU_ASSERT_EQUAL(departures(now, d + 2, 2), 1);
    CU_ASSERT_EQUAL(d[2].line.v, line_at(2, 5).v);
    CU_ASSERT_EQUAL(d[2].time, now + TAG * CYCLE);
}

/* Of two that were held, the first one is left when the last one has gone. */
static void a_held_read_departs_whatever_channel_was_held_for_last(void)
{
    simtime_t leaves;
    struct llc_departure d[4];
    struct llc_params p = params;
    p.dram_reads = 1;
    open_slice_of(&p, 2);
    for (uint32_t i = 0; i < 4; i++) /* neighbours go to both channels in turn */
        read_at(0, line_at(i, 5), 0, &leaves);
    CU_ASSERT_EQUAL(departures(0, d, 4), 2);
    CU_ASSERT_NOT_EQUAL(d[0].channel, d[1].channel);
    const struct llc_departure *last = d[0].channel == slice->held_at ? &d[0] : &d[1];
    const struct llc_departure *first = last == &d[0] ? &d[1] : &d[0];
    answer_read(CYCLE, last, NULL);
    CU_ASSERT_EQUAL(departures(CYCLE, d + 2, 2), 1);
    CU_ASSERT_EQUAL(slice->nheld, 1);
    CU_ASSERT_EQUAL(departures(2 * CYCLE, d + 3, 1), 0);
    answer_read(3 * CYCLE, first, NULL);
    CU_ASSERT_EQUAL(departures(3 * CYCLE, d + 3, 1), 1);
    CU_ASSERT_EQUAL(d[3].channel, first->channel);
    CU_ASSERT_EQUAL(slice->nheld, 0);
}

/* It was to depart at once, and then another request to memory came. */
static void a_read_that_can_depart_still_goes_behind_a_write(void)
{
    simtime_t leaves, ack;
    struct llc_departure d[4];
    open_slice(&params);
    for (uint64_t tag = 0; tag < 4; tag++)
        make_dirty(0, line_at(0, tag));
    CU_ASSERT_FALSE(read_at(0, line_at(5, 1), 0, &leaves));
    CU_ASSERT_FALSE(read_at(0, line_at(6, 1), 0, &leaves));
    CU_ASSERT_FALSE(llc_writeback(slice, &cfg, 0, line_at(0, 9), LINE_DATA, 1, &ack));
    CU_ASSERT_EQUAL_FATAL(departures(0, d, 4), 3);
    CU_ASSERT_TRUE(d[0].is_write);
    CU_ASSERT_EQUAL(d[1].line.v, line_at(5, 1).v);
    CU_ASSERT_EQUAL(d[2].line.v, line_at(6, 1).v);
    CU_ASSERT_EQUAL(slice->nheld, 0);
}

static void reads_are_held_while_too_many_victims_of_fills_are(void)
{
    simtime_t leaves;
    struct llc_departure d[4];
    struct llc_params p = params;
    p.dram_writes = 1;
    p.victims = 1;
    open_slice(&p);
    for (uint64_t tag = 0; tag < 4; tag++)
        make_dirty(0, line_at(0, tag));
    bring(0, line_at(0, 8));
    CU_ASSERT_EQUAL(departures(0, d, 4), 1); /* takes the write credit */
    bring(0, line_at(0, 9));                 /* its victim is held */
    CU_ASSERT_EQUAL(departures(0, d, 4), 0);
    uint64_t held = slice->stats.dram_held;
    CU_ASSERT_FALSE(read_at(0, line_at(5, 1), 0, &leaves));
    CU_ASSERT_EQUAL(slice->stats.dram_held, held + 1);
    CU_ASSERT_EQUAL(departures(0, d, 4), 0);
    llc_credit_back(slice, &cfg, 0, true);
    CU_ASSERT_EQUAL(departures(9 * CYCLE, d, 4), 2);
    CU_ASSERT_TRUE(d[0].is_write);
    CU_ASSERT_FALSE(d[1].is_write);
}

static void a_fill_does_not_replace_a_line_written_back_meanwhile(void)
{
    simtime_t leaves, ack;
    struct llc_departure d[2];
    open_slice(&params);
    read_at(0, line_at(0, 1), 0, &leaves);
    CU_ASSERT_EQUAL(departures(0, d, 2), 1);
    CU_ASSERT_TRUE(llc_writeback(slice, &cfg, 10 * CYCLE, line_at(0, 1), LINE_DATA, 1, &ack));
    CU_ASSERT_EQUAL(answer_read(100 * CYCLE, d, NULL), 1);
    CU_ASSERT_EQUAL(slice->stats.lines[LINE_DATA], 1);
    CU_ASSERT_EQUAL(slice->stats.fills[LINE_DATA], 0);
    /* Still dirty: four more lines push it out to memory. */
    for (uint64_t tag = 2; tag < 5; tag++)
        bring(200 * CYCLE, line_at(0, tag));
    read_at(200 * CYCLE, line_at(0, 5), 0, &leaves);
    CU_ASSERT_EQUAL(departures(200 * CYCLE, d, 2), 1);
    answer_read(300 * CYCLE, d, NULL);
    CU_ASSERT_EQUAL(departures(300 * CYCLE, d, 2), 1);
    CU_ASSERT_TRUE(d[0].is_write);
}

static void uses_of_a_line_count_as_write_shared_from_the_second_core_and_first_write_on(void)
{
    simtime_t leaves, ack;
    open_slice(&params);
    bring(0, line_at(0, 1));
    read_at(0, line_at(0, 1), 0, &leaves);
    read_at(0, line_at(0, 1), 1, &leaves);
    CU_ASSERT_EQUAL(slice->stats.write_shared[LINE_DATA], 0);
    llc_read(slice, &cfg, 0, line_at(0, 1), LINE_DATA | MEM_FOR_WRITE, 1, 0);
    CU_ASSERT_EQUAL(slice->stats.write_shared[LINE_DATA], 1);
    read_at(0, line_at(0, 1), 0, &leaves);
    CU_ASSERT_EQUAL(slice->stats.write_shared[LINE_DATA], 2);
    make_dirty(0, line_at(1, 1));
    llc_writeback(slice, &cfg, 0, line_at(1, 1), LINE_DATA, 0, &ack);
    read_at(0, line_at(1, 1), 0, &leaves);
    CU_ASSERT_EQUAL(slice->stats.write_shared[LINE_DATA], 2);
    read_at(0, line_at(1, 1), 3, &leaves);
    CU_ASSERT_EQUAL(slice->stats.write_shared[LINE_DATA], 3);
}

static void a_size_that_is_no_whole_number_of_sets_is_refused(void)
{
    struct llc_params p = params;
    struct llc_config c;
    struct llc_machine m = {.ncores = 1, .core_credits = 1, .nchannels = 1};
    p.ways = 15;
    CU_ASSERT_EQUAL(llc_configure(&p, &m, &c), ERR_USAGE);
    p.size_bytes = 1920 << 10; /* 1.875 MiB of 15 ways: 2048 sets */
    CU_ASSERT_EQUAL(llc_configure(&p, &m, &c), ERR_OK);
    CU_ASSERT_EQUAL(c.array.nsets, 2048);
}

UNIT_MAIN("memsys/llc", UNIT(every_group_of_neighbours_has_one_line_in_each_slice),
          UNIT(power_of_two_strides_spread_over_the_slices),
          UNIT(a_hit_leaves_after_tag_and_data_from_the_next_edge),
          UNIT(a_miss_asks_memory_after_the_tags_and_answers_data_cycles_after_the_fill),
          UNIT(accesses_to_one_bank_queue_and_to_two_do_not),
          UNIT(banks_need_not_be_a_power_of_two),
          UNIT(requests_of_several_cores_to_one_line_merge_and_are_answered_in_order),
          UNIT(a_line_that_requests_of_two_kinds_wait_for_counts_once_as_the_last_ones),
          UNIT(a_line_that_one_core_brings_to_write_is_written),
          UNIT(a_dirty_victim_is_written_to_memory_and_a_clean_one_is_not),
          UNIT(a_write_back_allocates_and_its_acknowledgement_waits_for_a_dirty_victim),
          UNIT(reads_without_a_credit_leave_in_order_when_one_is_back),
          UNIT(a_held_read_departs_whatever_channel_was_held_for_last),
          UNIT(a_read_that_can_depart_still_goes_behind_a_write),
          UNIT(reads_are_held_while_too_many_victims_of_fills_are),
          UNIT(a_fill_does_not_replace_a_line_written_back_meanwhile),
          UNIT(uses_of_a_line_count_as_write_shared_from_the_second_core_and_first_write_on),
          UNIT(a_size_that_is_no_whole_number_of_sets_is_refused))
