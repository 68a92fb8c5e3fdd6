/* Data prefetchers by themselves: known streams, and the exact lines that are asked for. */
#include "tests/unit/unit.h"

#include "cores/prefetch.h"
#include "pdes/rng.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- one design and what it said last --------------------------------------------------------- */

enum { GUARD = 64 };

static struct prefetch_params p;
static const struct prefetch_ops *design;
static char *state;
static struct prefetch_list out;
static uint64_t beyond_bits; /* how much of an address an access may leave: a page, or more */

static void use(const struct prefetch_ops *o)
{
    free(state);
    design = o;
    state = calloc(1, o->state_bytes(&p) + GUARD);
    beyond_bits = PAGE_SHIFT;
}

static void defaults(void)
{
    p = (struct prefetch_params){
        .next_line = {.degree = 1},
        .ip_stride = {.entries = 64, .confidence = 1, .max_bytes = 2048, .distance = 1, .degree = 1},
        .streamer = {.streams = 32, .confidence = 2, .distance = 4, .degree = 2},
        .berti = {.history_sets = 8, .history_ways = 16, .entries = 16, .round = 4, .l1_percent = 65,
                  .l2_percent = 35, .degree = 12}};
}

static void see(uint64_t addr, uint32_t ip, uint64_t cycle, enum prefetch_event event, uint32_t latency)
{
    uint64_t mask = beyond_bits == 64 ? UINT64_MAX : (UINT64_C(1) << beyond_bits) - 1;
    struct prefetch_access a = {.addr = addr, .cycle = cycle, .first = addr & ~mask, .last = addr | mask, .ip = ip,
                                .latency = latency, .event = event};
    out.n = out.beyond = 0;
    design->access(state, &p, &a, &out);
}

/* A miss by instruction 1. */
static void miss(uint64_t addr) { see(addr, 1, 0, PREFETCH_MISS, 0); }
static void miss_by(uint64_t addr, uint32_t ip) { see(addr, ip, 0, PREFETCH_MISS, 0); }

/* Were exactly these `n` lines asked for, in this order? */
#define ASKED(...) asked(__LINE__, sizeof((uint64_t[]){0, __VA_ARGS__}) / 8 - 1, (uint64_t[]){0, __VA_ARGS__} + 1)
#define ASKED_NOTHING() asked(__LINE__, 0, NULL)
static void asked(int line, size_t n, const uint64_t *lines)
{
    bool same = out.n == n;
    for (size_t i = 0; same && i < n; i++)
        same = out.wish[i].line == lines[i];
    if (!same) {
        printf("\n    line %d:", line);
        for (uint32_t i = 0; i < out.n; i++)
            printf(" %llx", (unsigned long long)out.wish[i].line);
    }
    CU_ASSERT(same);
}

/* ---- next_line -------------------------------------------------------------------------------- */

static void next_line_follows_a_miss_and_a_first_use_but_no_hit(void)
{
    defaults();
    p.next_line.degree = 2;
    use(&prefetch_next_line);
    miss(0x1008);
    ASKED(0x1040, 0x1080);
    see(0x1048, 1, 0, PREFETCH_HIT, 0);
    ASKED_NOTHING();
    see(0x1048, 1, 0, PREFETCH_FIRST_USE, 100);
    ASKED(0x1080, 0x10c0);
}

static void a_line_beyond_what_the_access_may_reach_is_counted_and_not_asked_for(void)
{
    defaults();
    p.next_line.degree = 3;
    use(&prefetch_next_line);
    miss(0x1f80); /* two lines before the end of its page */
    ASKED(0x1fc0);
    CU_ASSERT_EQUAL(out.beyond, 2);
    beyond_bits = 64;
    miss(0x1f80);
    ASKED(0x1fc0, 0x2000, 0x2040);
    CU_ASSERT_EQUAL(out.beyond, 0);
}

/* ---- ip_stride -------------------------------------------------------------------------------- */

static void a_stride_is_used_from_its_third_access_on(void)
{
    defaults();
    use(&prefetch_ip_stride);
    miss(0x1000);
    ASKED_NOTHING();
    miss(0x1100);
    ASKED_NOTHING();
    miss(0x1200);
    ASKED(0x1300);
    miss(0x1300);
    ASKED(0x1400);
    miss(0x1380); /* another step: learnt anew, from here */
    ASKED_NOTHING();
    miss(0x1400);
    ASKED(0x1480);
}

static void a_stride_may_be_negative(void)
{
    defaults();
    use(&prefetch_ip_stride);
    miss(0x1f00);
    miss(0x1e00);
    ASKED_NOTHING();
    miss(0x1d00);
    ASKED(0x1c00);
}

static void accesses_within_a_line_teach_nothing_and_small_strides_become_steps_of_lines(void)
{
    defaults();
    use(&prefetch_ip_stride);
    for (uint64_t a = 0x1000; a < 0x1080; a += 8) {
        miss(a);
        ASKED_NOTHING();
    }
    miss(0x1080); /* the third line */
    ASKED(0x10c0);
    miss(0x1088);
    ASKED_NOTHING();
    /* 24 bytes: the first access to a line is 72, 72 or 48 bytes behind that of the line before. */
    use(&prefetch_ip_stride);
    for (uint64_t a = 0x1000; a < 0x1090; a += 24) {
        miss(a);
        ASKED_NOTHING();
    }
    miss(0x1090);
    ASKED(0x10c0); /* 72 bytes on */
    miss(0x10a8);
    ASKED_NOTHING(); /* the same line */
    miss(0x10c0);
    ASKED(0x1100); /* 48 bytes this time, but one line again */
}

static void a_stride_of_no_whole_lines_is_followed_in_bytes(void)
{
    defaults();
    use(&prefetch_ip_stride);
    miss(0x1000);
    miss(0x1060); /* 96 bytes: lines 0, 1, 3, 4, 6 */
    miss(0x10c0);
    ASKED(0x1100);
    miss(0x1120);
    ASKED(0x1180);
}

static void a_stride_longer_than_the_longest_is_not_learnt(void)
{
    defaults();
    use(&prefetch_ip_stride);
    beyond_bits = 64;
    for (uint64_t a = 0x10000; a < 0x20000; a += 0x840) { /* 2112 bytes */
        miss(a);
        ASKED_NOTHING();
    }
    p.ip_stride.max_bytes = 2112;
    use(&prefetch_ip_stride);
    beyond_bits = 64;
    miss(0x10000);
    miss(0x10840);
    miss(0x11080);
    ASKED(0x118c0);
}

static void instructions_have_their_own_strides_unless_they_share_a_place(void)
{
    defaults();
    use(&prefetch_ip_stride);
    for (uint64_t i = 0; i < 2; i++) {
        miss_by(0x1000 + i * 0x40, 1);
        miss_by(0x2000 + i * 0x80, 2);
    }
    miss_by(0x1080, 1);
    ASKED(0x10c0);
    miss_by(0x2100, 2);
    ASKED(0x2180);
    use(&prefetch_ip_stride);
    for (uint64_t i = 0; i < 8; i++) {
        miss_by(0x1000 + i * 0x40, 1);
        ASKED_NOTHING();
        miss_by(0x2000 + i * 0x80, 65); /* 64 entries */
        ASKED_NOTHING();
    }
}

static void confidence_distance_and_degree_are_what_they_say(void)
{
    defaults();
    p.ip_stride = (struct prefetch_ip_stride_params){.entries = 64, .confidence = 2, .max_bytes = 2048,
                                                     .distance = 4, .degree = 3};
    use(&prefetch_ip_stride);
    miss(0x1000);
    miss(0x1040);
    miss(0x1080);
    ASKED_NOTHING();
    miss(0x10c0);
    ASKED(0x11c0, 0x1200, 0x1240);
}

/* ---- streamer --------------------------------------------------------------------------------- */

#define LINE(n) (UINT64_C(0x40000) + (uint64_t)(n) * 64)

static void a_stream_runs_ahead_two_lines_a_request_up_to_its_distance(void)
{
    defaults();
    use(&prefetch_streamer);
    miss(LINE(0));
    ASKED_NOTHING();
    miss(LINE(1));
    ASKED_NOTHING();
    miss(LINE(2));
    ASKED(LINE(3), LINE(4));
    miss(LINE(3));
    ASKED(LINE(5), LINE(6));
    miss(LINE(4));
    ASKED(LINE(7), LINE(8)); /* four ahead */
    miss(LINE(5));
    ASKED(LINE(9));
    miss(LINE(8));
    ASKED(LINE(10), LINE(11));
    miss(LINE(20)); /* has overtaken it */
    ASKED(LINE(21), LINE(22));
}

static void a_stream_may_descend(void)
{
    defaults();
    use(&prefetch_streamer);
    miss(LINE(63));
    miss(LINE(62));
    ASKED_NOTHING();
    miss(LINE(61));
    ASKED(LINE(60), LINE(59));
}

static void a_straggler_does_no_harm_and_a_turn_is_followed(void)
{
    defaults();
    use(&prefetch_streamer);
    miss(LINE(10));
    miss(LINE(11));
    miss(LINE(12));
    ASKED(LINE(13), LINE(14));
    miss(LINE(11)); /* takes one of two units of confidence */
    ASKED_NOTHING();
    miss(LINE(13));
    ASKED(LINE(15), LINE(16));
    miss(LINE(12));
    miss(LINE(11));
    ASKED_NOTHING(); /* no confidence is left */
    miss(LINE(10));
    ASKED_NOTHING(); /* it turns */
    miss(LINE(9));
    ASKED(LINE(8), LINE(7));
}

static void a_stream_stops_at_the_end_of_its_page_and_the_next_page_learns_anew(void)
{
    defaults();
    use(&prefetch_streamer);
    miss(LINE(60));
    miss(LINE(61));
    miss(LINE(62));
    ASKED(LINE(63));
    CU_ASSERT_EQUAL(out.beyond, 1);
    miss(LINE(63));
    ASKED_NOTHING();
    CU_ASSERT_EQUAL(out.beyond, 2);
    miss(LINE(64));
    ASKED_NOTHING();
    CU_ASSERT_EQUAL(out.beyond, 0);
}

static void a_stream_that_may_cross_goes_on_in_the_next_page(void)
{
    defaults();
    use(&prefetch_streamer);
    beyond_bits = PAGE_SHIFT_2M;
    miss(LINE(60));
    miss(LINE(61));
    miss(LINE(62));
    ASKED(LINE(63), LINE(64));
    miss(LINE(63));
    ASKED(LINE(65), LINE(66));
    miss(LINE(64)); /* a new page, whose lines 64 to 66 were asked for */
    ASKED(LINE(67), LINE(68));
    /* Downwards, too; but not out of the 2 MiB. */
    use(&prefetch_streamer);
    beyond_bits = PAGE_SHIFT_2M;
    miss(0x200080);
    miss(0x200040);
    miss(0x200000);
    ASKED_NOTHING();
    CU_ASSERT_EQUAL(out.beyond, 2);
}

static void the_page_not_used_for_longest_is_forgotten(void)
{
    defaults();
    p.streamer.streams = 2;
    use(&prefetch_streamer);
    for (uint64_t i = 0; i < 2; i++) {
        miss(LINE(i));        /* page 0 */
        miss(LINE(128 + i));  /* page 2 */
    }
    miss(LINE(2));
    ASKED(LINE(3), LINE(4));
    miss(LINE(256)); /* page 4 takes the place of page 2 */
    miss(LINE(3));
    ASKED(LINE(5), LINE(6));
    miss(LINE(130));
    ASKED_NOTHING();
}

/* ---- berti ------------------------------------------------------------------------------------ */

/* Line n is missed every 40 cycles, and each line takes 100. */
static void miss_and_fill(uint64_t n)
{
    uint64_t cycle = 1000 + 40 * n;
    see(LINE(n), 1, cycle, PREFETCH_MISS, 0);
    struct prefetch_fill f = {.addr = LINE(n), .cycle = cycle, .ip = 1, .latency = 100};
    design->fill(state, &p, &f);
}

static void berti_learns_deltas_that_are_timely_and_none_that_is_late(void)
{
    defaults();
    use(&prefetch_berti);
    /* Three lines are 120 cycles: timely. One and two would be late. */
    for (uint64_t n = 0; n <= 4; n++) {
        miss_and_fill(n);
        ASKED_NOTHING(); /* searches: 3 finds {3}, 4 finds {3, 4} */
    }
    miss_and_fill(5); /* half a round; 3 was in all searches, 4 in half of them */
    ASKED(LINE(8));
    miss_and_fill(6);
    ASKED(LINE(9));
    miss_and_fill(7); /* its fill ends the round: 3 in 4 of 4, 4 in 3, 5 in 2, 6 in 1 */
    ASKED(LINE(10));
    see(LINE(8), 1, 1320, PREFETCH_MISS, 0);
    ASKED(LINE(11), LINE(12), LINE(13));
    CU_ASSERT_EQUAL(out.wish[0].to, PREFETCH_TO_HERE);
    CU_ASSERT_EQUAL(out.wish[1].to, PREFETCH_TO_HERE); /* 75 % */
    CU_ASSERT_EQUAL(out.wish[2].to, PREFETCH_TO_L2);   /* 50 % */
}

static void berti_takes_the_latency_of_a_line_that_was_prefetched_from_its_first_use(void)
{
    defaults();
    use(&prefetch_berti);
    see(LINE(0), 1, 1000, PREFETCH_FIRST_USE, 20);
    see(LINE(1), 1, 1040, PREFETCH_FIRST_USE, 20); /* finds {1} */
    ASKED_NOTHING();
    see(LINE(2), 1, 1080, PREFETCH_FIRST_USE, 20); /* {1, 2}: 1 is in all of half a round */
    ASKED(LINE(3));
    see(LINE(3), 1, 1120, PREFETCH_FIRST_USE, 90); /* 1 and 2 are late now; 3 is in one search of three */
    ASKED_NOTHING();
}

static void berti_asks_on_every_access_and_remembers_no_hit(void)
{
    defaults();
    use(&prefetch_berti);
    for (uint64_t n = 0; n <= 7; n++)
        miss_and_fill(n);
    see(LINE(40), 1, 2000, PREFETCH_HIT, 0);
    ASKED(LINE(43), LINE(44), LINE(45));
    p.berti.degree = 2;
    see(LINE(41), 1, 2000, PREFETCH_HIT, 0);
    ASKED(LINE(44), LINE(45));
    see(LINE(41), 2, 2000, PREFETCH_HIT, 0); /* another instruction */
    ASKED_NOTHING();
    /* Had the hits been remembered, the miss would find timely deltas of 1 and 2. */
    p.berti.round = 2;
    use(&prefetch_berti);
    see(LINE(40), 1, 1000, PREFETCH_HIT, 0);
    see(LINE(41), 1, 2000, PREFETCH_HIT, 0);
    see(LINE(42), 1, 3000, PREFETCH_MISS, 0);
    struct prefetch_fill f = {.addr = LINE(42), .cycle = 3000, .ip = 1, .latency = 100};
    design->fill(state, &p, &f);
    see(LINE(50), 1, 4000, PREFETCH_HIT, 0);
    ASKED_NOTHING();
    /* The miss itself is. */
    see(LINE(51), 1, 5000, PREFETCH_FIRST_USE, 100);
    ASKED(LINE(60));
}

/* ---- what every design promises --------------------------------------------------------------- */

static uint64_t default_of(const struct param_desc *row) { return strtoull(row->def, NULL, 0); }

static void take_defaults(void)
{
    memset(&p, 0, sizeof p);
    for (unsigned i = 0; i < PREFETCHER_COUNT; i++)
        for (uint32_t r = 0; r < prefetch_table[i]->nrows; r++) {
            const struct param_desc *row = &prefetch_table[i]->rows[r];
            uint64_t value = default_of(row);
            CU_ASSERT(value >= row->min && value <= row->max);
            memcpy((char *)&p + prefetch_table[i]->params_offset + row->offset, &value, sizeof value);
        }
}

static uint64_t random_run(uint64_t from, uint64_t to)
{
    uint64_t hash = 0;
    for (uint64_t i = from; i < to; i++) {
        uint64_t x = rng_draw(5, 0, 0, 0, i);
        uint64_t addr = (x & 7) < 4 ? LINE(i) : (x >> 8 & 0xffff) * 64 + (x >> 40 & 63);
        beyond_bits = i & 1 ? PAGE_SHIFT : PAGE_SHIFT_2M;
        uint32_t ip = (x & 7) < 4 ? 40 : (uint32_t)(x >> 24 & 31);
        see(addr, ip, i * 30, (enum prefetch_event)(x >> 32 & 3) % 3, 100);
        CU_ASSERT_FATAL(out.n <= PREFETCH_MOST);
        for (uint32_t k = 0; k < out.n; k++) {
            CU_ASSERT_FATAL(out.wish[k].line % 64 == 0 && out.wish[k].line >> beyond_bits == addr >> beyond_bits);
            hash = rng_mix(hash + out.wish[k].line + out.wish[k].to);
        }
        if (design->fill != NULL) {
            struct prefetch_fill f = {addr, i * 30, ip, 100};
            design->fill(state, &p, &f);
        }
    }
    return hash;
}

static void every_design_stays_in_its_bounds_and_its_state_can_be_copied_at_any_time(void)
{
    for (unsigned i = 1; i < PREFETCHER_COUNT; i++) {
        take_defaults();
        use(prefetch_table[i]);
        CU_ASSERT_STRING_EQUAL(design->name, prefetch_names[i]);
        CU_ASSERT(design->places != 0 && design->doc != NULL);
        size_t bytes = design->state_bytes(&p);
        memset(state + bytes, 0x5a, GUARD);
        random_run(0, 3000);
        char *copy = malloc(bytes + GUARD);
        memcpy(copy, state, bytes + GUARD);
        uint64_t hash = random_run(3000, 6000);
        free(state);
        state = copy;
        CU_ASSERT_EQUAL(random_run(3000, 6000), hash);
        CU_ASSERT_NOT_EQUAL(hash, 0);
        for (unsigned b = 0; b < GUARD; b++)
            CU_ASSERT_EQUAL_FATAL(state[bytes + b], 0x5a);
    }
    CU_ASSERT_PTR_NULL(prefetch_names[PREFETCHER_COUNT]);
    free(state);
    state = NULL;
}

UNIT_MAIN("cores/prefetch", UNIT(next_line_follows_a_miss_and_a_first_use_but_no_hit),
          UNIT(a_line_beyond_what_the_access_may_reach_is_counted_and_not_asked_for),
          UNIT(a_stride_is_used_from_its_third_access_on), UNIT(a_stride_may_be_negative),
          UNIT(accesses_within_a_line_teach_nothing_and_small_strides_become_steps_of_lines),
          UNIT(a_stride_of_no_whole_lines_is_followed_in_bytes),
          UNIT(a_stride_longer_than_the_longest_is_not_learnt),
          UNIT(instructions_have_their_own_strides_unless_they_share_a_place),
          UNIT(confidence_distance_and_degree_are_what_they_say),
          UNIT(a_stream_runs_ahead_two_lines_a_request_up_to_its_distance), UNIT(a_stream_may_descend),
          UNIT(a_straggler_does_no_harm_and_a_turn_is_followed),
          UNIT(a_stream_stops_at_the_end_of_its_page_and_the_next_page_learns_anew),
          UNIT(a_stream_that_may_cross_goes_on_in_the_next_page), UNIT(the_page_not_used_for_longest_is_forgotten),
          UNIT(berti_learns_deltas_that_are_timely_and_none_that_is_late),
          UNIT(berti_takes_the_latency_of_a_line_that_was_prefetched_from_its_first_use),
          UNIT(berti_asks_on_every_access_and_remembers_no_hit),
          UNIT(every_design_stays_in_its_bounds_and_its_state_can_be_copied_at_any_time))
