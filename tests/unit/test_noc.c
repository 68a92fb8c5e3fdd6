/* Mesh distances, worked by hand. */
#include "tests/unit/unit.h"

#include "memsys/clock.h"
#include "memsys/noc.h"
#include "pdes/rng.h"

#define CYCLE_FS UINT64_C(500000)

static const struct noc_params params = {2000000000, 3, 2, 1, 0};

static void a_core_and_the_slice_on_its_tile_are_the_base_latency_apart(void)
{
    struct noc n;
    noc_init(&n, &params, 16, 16, 4);
    for (uint32_t i = 0; i < 16; i++)
        CU_ASSERT_EQUAL(noc_core_slice_fs(&n, i, i), 3 * CYCLE_FS);
    CU_ASSERT_EQUAL(noc_core_slice_min_fs(&n), 3 * CYCLE_FS);
}

static void latency_grows_with_the_manhattan_distance(void)
{
    struct noc n;
    noc_init(&n, &params, 16, 16, 4);
    /* 4 x 4: tile 0 at (0,0), tile 15 at (3,3): six hops of three cycles. */
    CU_ASSERT_EQUAL(noc_core_slice_fs(&n, 0, 15), (3 + 6 * 3) * CYCLE_FS);
    CU_ASSERT_EQUAL(noc_core_slice_fs(&n, 15, 0), (3 + 6 * 3) * CYCLE_FS);
    CU_ASSERT_EQUAL(noc_core_slice_fs(&n, 5, 6), (3 + 1 * 3) * CYCLE_FS);
}

static void channels_sit_on_both_edges(void)
{
    struct noc n;
    noc_init(&n, &params, 16, 16, 4);
    /* Channels at (0,0), (3,0), (0,2), (3,2); slice 5 at (1,1). */
    CU_ASSERT_EQUAL(noc_slice_channel_fs(&n, 5, 0), (3 + 2 * 3) * CYCLE_FS);
    CU_ASSERT_EQUAL(noc_slice_channel_fs(&n, 5, 1), (3 + 3 * 3) * CYCLE_FS);
    CU_ASSERT_EQUAL(noc_slice_channel_fs(&n, 5, 2), (3 + 2 * 3) * CYCLE_FS);
    CU_ASSERT_EQUAL(noc_slice_channel_fs(&n, 5, 3), (3 + 3 * 3) * CYCLE_FS);
    CU_ASSERT_EQUAL(noc_slice_channel_min_fs(&n), 3 * CYCLE_FS);
}

static void floors_hold_for_every_pair_of_uneven_machines(void)
{
    static const uint32_t shapes[][4] = {
        {1, 1, 1, 0}, {5, 3, 2, 0}, {7, 13, 5, 3}, {64, 64, 8, 8}, {2, 9, 3, 100}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct noc_params p = params;
        struct noc n;
        p.columns = shapes[i][3];
        noc_init(&n, &p, shapes[i][0], shapes[i][1], shapes[i][2]);
        simtime_t core_min = SIM_NEVER, channel_min = SIM_NEVER;
        for (uint32_t s = 0; s < n.nslices; s++) {
            for (uint32_t c = 0; c < n.ncores; c++)
                core_min = u64_min(core_min, noc_core_slice_fs(&n, c, s));
            for (uint32_t c = 0; c < n.nchannels; c++)
                channel_min = u64_min(channel_min, noc_slice_channel_fs(&n, s, c));
        }
        CU_ASSERT_EQUAL(core_min, noc_core_slice_min_fs(&n));
        CU_ASSERT_EQUAL(channel_min, noc_slice_channel_min_fs(&n));
        CU_ASSERT_TRUE(core_min >= 3 * CYCLE_FS);
    }
}

/* The same from the definition, with divisions. */
static simtime_t slow_core_slice_fs(const struct noc *n, uint32_t core, uint32_t slice)
{
    uint32_t tile = (uint32_t)((uint64_t)slice * n->ntiles / n->nslices);
    uint32_t ax = core % n->ncolumns, ay = core / n->ncolumns;
    uint32_t bx = tile % n->ncolumns, by = tile / n->ncolumns;
    return n->base_fs + ((ax > bx ? ax - bx : bx - ax) + (ay > by ? ay - by : by - ay)) * n->hop_fs;
}

static void tiles_are_those_of_a_division_on_the_largest_machines(void)
{
    static const uint32_t columns[] = {1, 2, 3, 7, 255, 641, 65535, 65536};
    static struct noc n;
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        struct noc_params p = params;
        p.columns = columns[i];
        noc_init(&n, &p, 1, 65536, 1); /* searches all pairs for the least: few of one kind */
        n.ncores = 65536;
        bool same = true;
        for (uint32_t tile = 0; tile < 65536; tile++) {
            same = same && noc_core_slice_fs(&n, tile, 0) == slow_core_slice_fs(&n, tile, 0);
            same = same && noc_core_slice_fs(&n, 65535, tile) == slow_core_slice_fs(&n, 65535, tile);
        }
        CU_ASSERT_TRUE(same);
    }
}

static simtime_t edge(simtime_t t, simtime_t period_fs)
{
    return clock_edge(t, period_fs, clock_reciprocal(period_fs));
}

static void a_period_is_rounded_once_and_edges_are_its_multiples(void)
{
    CU_ASSERT_EQUAL(clock_period_fs(3000000000), 333333);
    CU_ASSERT_EQUAL(clock_period_fs(2900000000), 344828);
    CU_ASSERT_EQUAL(edge(0, 333333), 0);
    CU_ASSERT_EQUAL(edge(1, 333333), 333333);
    CU_ASSERT_EQUAL(edge(333333, 333333), 333333);
    CU_ASSERT_EQUAL(edge(333334, 333333), 666666);
}

/* Periods of a femtosecond to 2^40, times of any size, and those at an edge and beside it. */
static void edges_are_those_that_a_division_gives(void)
{
    unsigned nwrong = 0;
    for (uint64_t i = 0; i < 200000; i++) {
        uint64_t r = rng_draw(1, 2, 3, 4, i);
        simtime_t period = (rng_draw(1, 2, 3, 5, i) >> (24 + r % 40)) + 1;
        simtime_t t = rng_draw(1, 2, 3, 6, i) >> (2 + (r >> 8) % 60);
        t = i % 2 == 0 ? t : t / period * period + (r >> 16) % 3 - (t >= period);
        nwrong += edge(t, period) != (t + period - 1) / period * period;
    }
    CU_ASSERT_EQUAL(nwrong, 0);
}

static void ways_in_tables_are_those_that_are_worked_out(void)
{
    for (uint32_t nslices = 1; nslices <= 40; nslices += 3) {
        struct noc n;
        noc_init(&n, &params, 25, nslices, 6);
        struct noc plain = n;
        plain.core_slice_table = plain.slice_channel_table = false;
        CU_ASSERT_TRUE(n.core_slice_table && n.slice_channel_table);
        for (uint32_t s = 0; s < nslices; s++) {
            for (uint32_t c = 0; c < 25; c++)
                CU_ASSERT_EQUAL(noc_core_slice_fs(&n, c, s), noc_core_slice_fs(&plain, c, s));
            for (uint32_t c = 0; c < 6; c++)
                CU_ASSERT_EQUAL(noc_slice_channel_fs(&n, s, c), noc_slice_channel_fs(&plain, s, c));
        }
    }
}

UNIT_MAIN("memsys/noc", UNIT(a_core_and_the_slice_on_its_tile_are_the_base_latency_apart),
          UNIT(latency_grows_with_the_manhattan_distance), UNIT(channels_sit_on_both_edges),
          UNIT(floors_hold_for_every_pair_of_uneven_machines), UNIT(ways_in_tables_are_those_that_are_worked_out),
          UNIT(tiles_are_those_of_a_division_on_the_largest_machines),
          UNIT(a_period_is_rounded_once_and_edges_are_its_multiples),
          UNIT(edges_are_those_that_a_division_gives))
