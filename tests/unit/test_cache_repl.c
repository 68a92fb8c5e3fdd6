/* Replacement policies, each against a sequence worked by hand, and all against uniform traffic. */
#include "tests/unit/unit.h"

#include "memsys/sarray.h"

#include <stdlib.h>
#include <string.h>

static struct sarray *array_new(uint32_t nsets, uint32_t nways, enum repl_kind repl)
{
    struct sarray_cfg cfg = {nsets, nways, repl, 7};
    struct sarray *a = calloc(1, sarray_bytes(&cfg));
    if (a == NULL)
        abort();
    sarray_init(a, &cfg);
    return a;
}

static bool access_set(struct sarray *a, uint32_t set, uint64_t tag)
{
    int way = sarray_find(a, set, tag);
    if (way >= 0) {
        sarray_hit(a, set, (uint32_t)way);
        return true;
    }
    sarray_fill(a, set, sarray_victim(a, set), tag, 0);
    return false;
}

/* Plays keys "abc..." on one set and returns 'h' and 'm' for each in `out`. */
static void play(enum repl_kind repl, uint32_t nways, const char *keys, char *out)
{
    struct sarray *a = array_new(1, nways, repl);
    for (; *keys != '\0'; keys++)
        *out++ = access_set(a, 0, (uint64_t)*keys) ? 'h' : 'm';
    *out = '\0';
    free(a);
}

static void uniform_traffic_hits_capacity_over_footprint_under_every_policy(void)
{
    /*
     * A key is independent of what is cached, so each access after warm-up hits with p = E/N = 1/16
     * exactly. n = 200 000: mean 12 500, standard deviation sqrt(n p (1 - p)) = 108; six of them.
     */
    enum { SETS = 16, WAYS = 16, N = SETS * WAYS * 16, NACCESS = 200000 };
    for (unsigned k = 0; k < REPL_KINDS; k++) {
        struct sarray *a = array_new(SETS, WAYS, (enum repl_kind)k);
        struct repl_rng rng = {1, 0};
        for (uint32_t n = 0; n < N; n++)
            access_set(a, n % SETS, n);
        unsigned nhits = 0;
        for (unsigned n = 0; n < NACCESS; n++) {
            uint32_t key = repl_rng_below(&rng, N);
            nhits += access_set(a, key % SETS, key);
        }
        CU_ASSERT_TRUE(nhits > 12500 - 650 && nhits < 12500 + 650);
        free(a);
    }
}

static void srrip_follows_the_hand_worked_sequence(void)
{
    /*
     * Four ways, RRPV after each step (fill 2, hit 0, victim the first 3, else all age):
     * a b c d  2 2 2 2
     * a        0 2 2 2
     * b        0 0 2 2
     * e        age by 1 -> 1 1 3 3, c leaves: 1 1 2 3 (e d)
     * f        d leaves:                      1 1 2 2 (e f)
     * a        0 1 2 2
     * g        age by 1 -> 1 2 3 3, e leaves: 1 2 2 3 (g f)
     * b hits   1 0 2 3
     * h        f leaves:                      1 0 2 2 (g h)
     * e misses: age by 1 -> 2 1 3 3, g leaves: 2 1 2 3 (e h)
     * h hits   2 1 2 0
     * i        age by 1 -> 3 2 3 1, a leaves: 2 2 3 1 (i b e h)
     * a        e leaves:                      2 2 2 1
     * b h hit
     */
    char got[32];
    play(REPL_SRRIP, 4, "abcdabefagbhehiabh", got);
    CU_ASSERT_STRING_EQUAL(got, "mmmmhhmmhmhmmhmmhh");
}

static void srrip_keeps_the_reused_set_through_a_scan_and_lru_does_not(void)
{
    /* Jaleel et al., ISCA 2010, section 3: (a, a) then a scan as long as the cache, then a. */
    char got[32];
    play(REPL_SRRIP, 4, "abab1234ab", got);
    CU_ASSERT_STRING_EQUAL(got + 8, "hh");
    play(REPL_LRU, 4, "abab1234ab", got);
    CU_ASSERT_STRING_EQUAL(got + 8, "mm");
}

static void fifo_ignores_hits(void)
{
    char got[32];
    play(REPL_FIFO, 3, "abcaadab", got);
    CU_ASSERT_STRING_EQUAL(got, "mmmhhmmm");
    play(REPL_LRU, 3, "abcaadab", got);
    CU_ASSERT_STRING_EQUAL(got, "mmmhhmhm");
}

static void tree_plru_follows_the_hand_worked_sequence(void)
{
    /*
     * Four ways; each access points root and leaf node away from itself.
     * a b c d  root -> left half, left node -> a, right node -> c
     * a        root -> right, left node -> b
     * e        takes c; root -> left, right node -> d
     * f        takes b; root -> right, left node -> a
     * g        takes d; so a and e, f, g remain
     */
    char got[32];
    play(REPL_PLRU, 4, "abcdaefgaefg", got);
    CU_ASSERT_STRING_EQUAL(got, "mmmmhmmmhhhh");
}

static void plru_victims_stay_below_a_number_of_ways_that_is_no_power_of_two(void)
{
    for (uint32_t nways = 1; nways <= SARRAY_MAX_WAYS; nways++) {
        struct sarray *a = array_new(1, nways, REPL_PLRU);
        unsigned nbad = 0;
        for (uint64_t n = 0; n < 1000; n++) {
            nbad += sarray_victim(a, 0) >= nways;
            access_set(a, 0, n * 7 % (2 * nways + 1));
        }
        CU_ASSERT_EQUAL(nbad, 0);
        free(a);
    }
}

static void inline_lru_equals_the_row_of_the_table(void)
{
    uint64_t inline_row[2] = {0, 0}, table_row[2] = {0, 0};
    struct repl_rng rng = {3, 0};
    repl_ages_init(inline_row, 12);
    repl_table[REPL_LRU]->init(table_row, 12);
    for (unsigned n = 0; n < 1000; n++) {
        uint32_t way = repl_rng_below(&rng, 12);
        repl_ages_touch(inline_row, 12, way);
        repl_table[REPL_LRU]->on_hit(table_row, 12, way);
        CU_ASSERT_EQUAL(repl_ages_oldest(inline_row, 12),
                        repl_table[REPL_LRU]->victim(table_row, 12, NULL));
    }
}

static void every_policy_of_the_list_is_complete_and_named_once(void)
{
    for (unsigned k = 0; k < REPL_KINDS; k++) {
        const struct repl_ops *ops = repl_table[k];
        CU_ASSERT_STRING_EQUAL(ops->name, repl_names[k]);
        CU_ASSERT_TRUE(ops->doc != NULL && ops->init && ops->on_hit && ops->on_fill && ops->victim);
        for (unsigned j = 0; j < k; j++)
            CU_ASSERT_STRING_NOT_EQUAL(repl_names[j], repl_names[k]);
    }
    CU_ASSERT_PTR_NULL(repl_names[REPL_KINDS]);
}

static void random_draws_depend_on_seed_and_number_only(void)
{
    struct repl_rng a = {5, 100}, b = {5, 0};
    for (unsigned n = 0; n < 100; n++)
        (void)repl_rng_below(&b, 16);
    CU_ASSERT_EQUAL(repl_rng_below(&a, 1000000), repl_rng_below(&b, 1000000));
}

UNIT_MAIN("memsys/repl", UNIT(uniform_traffic_hits_capacity_over_footprint_under_every_policy),
          UNIT(srrip_follows_the_hand_worked_sequence),
          UNIT(srrip_keeps_the_reused_set_through_a_scan_and_lru_does_not), UNIT(fifo_ignores_hits),
          UNIT(tree_plru_follows_the_hand_worked_sequence),
          UNIT(plru_victims_stay_below_a_number_of_ways_that_is_no_power_of_two),
          UNIT(inline_lru_equals_the_row_of_the_table),
          UNIT(every_policy_of_the_list_is_complete_and_named_once),
          UNIT(random_draws_depend_on_seed_and_number_only))
