/* Predicted host time, on a log of windows made by hand. */
#include "partitions/predict.h"
#include "tests/unit/unit.h"

/* LPs: 0 kernel, 1 to 4 cores, 5 and 6 slices. */
static const unsigned char kinds[] = {LOSS_KERNEL, LOSS_CORES, LOSS_CORES, LOSS_CORES, LOSS_CORES, LOSS_SLICES, LOSS_SLICES};
static const int one_rank[7], two_ranks[] = {1, 0, 0, 1, 1, 0, 1}, four_ranks[] = {3, 0, 1, 2, 3, 0, 1};

/* 200 ns between two ranks of a node, 50 ns for each further one; 20 ns a message. */
static const struct exchange_costs costs = {.first_ns = 200, .peer_ns = 50, .message_ns = 20};

static const struct lp_load cores[] = {{1, 0, 1000}, {2, 0, 400}, {3, 0, 300}, {4, 0, 300}};
static const struct lp_load shared[] = {{5, 2, 100}, {6, 1, 100}, {0, 1, 700}};
static const struct lp_sent requests[] = {{1, 5}, {2, 6}, {3, 6}};
static const struct lp_sent answers[] = {{5, 1}, {6, 2}, {6, 3}, {0, LPID_NONE}};

static const struct phase_log window[2] = {
    {.phase = 0, .nloads = 4, .nsent = 3, .loads = cores, .sent = requests},
    {.phase = 1, .nloads = 3, .nsent = 4, .loads = shared, .sent = answers, .idle_ns = 8},
};

static struct prediction predict(const struct exchange_costs *c, const int *ranks, int nranks)
{
    struct predict_map map = {nranks, 7, ranks, kinds};
    struct predictor *p = predictor_create(c, &map);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    for (int i = 0; i < 2; i++)
        predictor_phase(p, &window[i]);
    struct prediction result = *predictor_result(p);
    predictor_destroy(p);
    return result;
}

static void one_rank_takes_the_sum_of_all_work(void)
{
    struct prediction r = predict(&costs, one_rank, 1);
    CU_ASSERT_DOUBLE_EQUAL(r.total_ns, 2000 + 900 + 8, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(r.work_ns, r.total_ns, 1e-6);
    for (enum loss k = 0; k < NLOSSES; k++)
        CU_ASSERT_DOUBLE_EQUAL(r.loss_ns[k], 0, 1e-6);
}

static void a_phase_takes_its_slowest_rank_and_an_exchange(void)
{
    /*
     * Phase 0: rank 0 has cores 1 and 2, 1400 ns; rank 1 600 ns; one message crosses (LP 2 to 6).
     *          1400 + 10 + 200 = 1610
     * Phase 1: rank 0 slice 5, 100 + 4 idle; rank 1 slice 6 and the kernel, 800 + 4; LP 6 to 2 crosses, and
     *          one mirrored write: 10 + 10 at either end. 804 + 20 + 200 = 1024
     */
    struct prediction r = predict(&costs, two_ranks, 2);
    CU_ASSERT_DOUBLE_EQUAL(r.total_ns, 1610 + 1024, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(r.work_ns, 2908, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(r.loss_ns[LOSS_EXCHANGE], 400, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(r.loss_ns[LOSS_MESSAGES], 30, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(r.loss_ns[LOSS_CORES], 400, 1e-6);  /* 1400 - 2000 / 2 */
    CU_ASSERT_DOUBLE_EQUAL(r.loss_ns[LOSS_KERNEL], 350, 1e-6); /* 700 - 700 / 2; slices are even */
    CU_ASSERT_EQUAL(prediction_limit(&r), LOSS_EXCHANGE);
}

static void nothing_is_below_the_longest_lp_or_an_even_share(void)
{
    /*
     * Of one rank: all work. 2: phase 0: 2000 / 2 = 1000, and core 1 takes as long; phase 1: the kernel's 700 are more
     * than 908 / 2. 4: core 1 and the kernel again.
     */
    CU_ASSERT_DOUBLE_EQUAL(predict(&costs, one_rank, 1).least_ns, 2908, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(predict(&costs, two_ranks, 2).least_ns, 1000 + 700, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(predict(&costs, four_ranks, 4).least_ns, 1000 + 700, 1e-6);
    /* Where no LP is long, an even share: 300 + 300 of cores 3 and 4 and 8 idle, by 2. */
    const struct phase_log even = {.nloads = 2, .loads = cores + 2, .idle_ns = 8};
    struct predict_map map = {2, 7, two_ranks, kinds};
    struct predictor *p = predictor_create(&costs, &map);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    predictor_phase(p, &even);
    CU_ASSERT_DOUBLE_EQUAL(predictor_result(p)->least_ns, 304, 1e-6);
    predictor_destroy(p);
}

static void losses_and_ideal_add_up_to_the_time(void)
{
    const int *maps[] = {one_rank, two_ranks, four_ranks};
    for (int i = 0, nranks = 1; i < 3; i++, nranks *= 2) {
        struct prediction r = predict(&costs, maps[i], nranks);
        double sum = r.work_ns / nranks;
        for (enum loss k = 0; k < NLOSSES; k++)
            sum += r.loss_ns[k];
        CU_ASSERT_DOUBLE_EQUAL(sum, r.total_ns, 1e-6);
    }
}

static void each_further_rank_of_a_node_costs_a_peer(void)
{
    /* Phase 0: rank 0 with core 1, no message of it crosses (slice 5 is there): 1000 + 200 + 2 x 50.
     * Phase 1: rank 3 has the kernel: 700 + 2 idle, the write to three others 30; 732 + 300. */
    struct prediction r = predict(&costs, four_ranks, 4);
    CU_ASSERT_DOUBLE_EQUAL(r.total_ns, 1300 + 1032, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(r.loss_ns[LOSS_EXCHANGE], 600, 1e-6);
}

static void between_nodes_latency_overhead_and_bytes_count(void)
{
    /* 2 ranks, one a node: 1500 + 1 x 300; a message 40 + 64 x 0.5 = 72, 36 at an end. */
    struct exchange_costs net = costs;
    net.node_ranks = 1;
    net.latency_ns = 1500;
    net.net_peer_ns = 300;
    net.net_message_ns = 40;
    net.net_byte_ns = 0.5;
    struct prediction r = predict(&net, two_ranks, 2);
    CU_ASSERT_DOUBLE_EQUAL(r.total_ns, (1400 + 36 + 1800) + (804 + 72 + 1800), 1e-6);
}

static void ranks_that_share_processors_take_turns(void)
{
    /*
     * 4 ranks on 2 processors: an exchange is 300 + 1 turn of 1000. Phase 0: work 2000 and one message from LP 3
     * to 6, 2020 / 2 = 1010 against the longest rank's 1000. Phase 1: 908 of work, LP 6 to 3 and the write to three
     * ranks 20 + 60: 988 / 2 = 494 against the kernel's rank, 700 + 2 + 30 = 732.
     */
    struct exchange_costs host = costs;
    host.processors = 2;
    host.turn_ns = 1000;
    struct prediction r = predict(&host, four_ranks, 4);
    CU_ASSERT_DOUBLE_EQUAL(r.total_ns, (1010 + 1300) + (732 + 1300), 1e-6);
}

static void a_full_log_keeps_half_of_the_windows_of_all_the_run(void)
{
    struct window_log l;
    CU_ASSERT_EQUAL_FATAL(window_log_create(&l, 64), ERR_OK);
    for (uint64_t w = 0; w < 4096; w++)
        for (uint32_t phase = 0; phase < 2; phase++) {
            struct lp_load load = {(lpid_t)(w % 7), 0, w};
            window_log_add(&l, &(struct phase_log){.window = w, .phase = phase, .nloads = 1, .loads = &load});
        }
    CU_ASSERT(l.nwindows <= 64 && l.nwindows >= 16);
    CU_ASSERT_EQUAL(l.total_windows, 4096);
    size_t at = 0, n = 0, late = 0;
    uint64_t last = 0;
    struct phase_log p;
    while (window_log_next(&l, &at, &p)) {
        CU_ASSERT_EQUAL(p.phase, n % 2);
        CU_ASSERT(p.window >= last);
        CU_ASSERT_EQUAL(p.loads[0].ns, p.window);
        last = p.window;
        late += p.window >= 2048;
        n++;
    }
    CU_ASSERT_EQUAL(n, 2 * (size_t)l.nwindows);
    CU_ASSERT(late > n / 4 && late < 3 * n / 4);
    window_log_free(&l);
}

UNIT_MAIN("partitions/predict", UNIT(one_rank_takes_the_sum_of_all_work),
          UNIT(a_phase_takes_its_slowest_rank_and_an_exchange), UNIT(nothing_is_below_the_longest_lp_or_an_even_share),
          UNIT(losses_and_ideal_add_up_to_the_time),
          UNIT(each_further_rank_of_a_node_costs_a_peer), UNIT(between_nodes_latency_overhead_and_bytes_count),
          UNIT(ranks_that_share_processors_take_turns), UNIT(a_full_log_keeps_half_of_the_windows_of_all_the_run))
