/* The set-associative array: lookup, invalid ways, exact LRU against a list, sweeps. */
#include "tests/unit/unit.h"

#include "memsys/sarray.h"

#include <stdlib.h>
#include <string.h>

static struct sarray *array_new(uint32_t nsets, uint32_t nways, enum repl_kind repl)
{
    struct sarray_cfg cfg = {nsets, nways, repl, 42};
    struct sarray *a = calloc(1, sarray_bytes(&cfg));
    if (a == NULL)
        abort();
    sarray_init(a, &cfg);
    return a;
}

/* A demand-filled access to a set; true when it hit. */
static bool access_set(struct sarray *a, uint32_t set, uint64_t tag)
{
    int way = sarray_find(a, set, tag);
    if (way >= 0) {
        sarray_hit(a, set, (uint32_t)way);
        return true;
    }
    sarray_fill(a, set, sarray_victim(a, set), tag, ~tag);
    return false;
}

static uint64_t rng_state;
static uint64_t rng_next(void)
{
    rng_state = rng_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return rng_state >> 33;
}

/* ---- brute force: a list of tags, most recent first ---- */

struct lru_list {
    uint64_t tags[SARRAY_MAX_WAYS];
    uint32_t n, nways;
};

static bool list_access(struct lru_list *l, uint64_t tag)
{
    uint32_t at = 0;
    while (at < l->n && l->tags[at] != tag)
        at++;
    bool hit = at < l->n;
    if (!hit) {
        l->n += l->n < l->nways;
        at = l->n - 1;
    }
    memmove(l->tags + 1, l->tags, at * sizeof l->tags[0]);
    l->tags[0] = tag;
    return hit;
}

static void list_drop(struct lru_list *l, uint64_t tag)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (l->tags[i] == tag) {
            memmove(l->tags + i, l->tags + i + 1, (--l->n - i) * sizeof l->tags[0]);
            return;
        }
}

static void lru_equals_a_brute_force_list(void)
{
    static const uint32_t ways[] = {1, 2, 3, 4, 7, 8, 9, 12, 15, 16, 20, 64, 96, 127, 128};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        enum { NSETS = 3 };
        struct sarray *a = array_new(NSETS, ways[i], REPL_LRU);
        struct lru_list lists[NSETS] = {{.nways = ways[i]}, {.nways = ways[i]}, {.nways = ways[i]}};
        unsigned ndiffer = 0;
        for (unsigned n = 0; n < 20000; n++) {
            uint32_t set = (uint32_t)(rng_next() % NSETS);
            uint64_t tag = rng_next() % (ways[i] + ways[i] / 2 + 2);
            if (rng_next() % 16 == 0) {
                int way = sarray_find(a, set, tag);
                if (way >= 0)
                    sarray_invalidate(a, set, (uint32_t)way);
                list_drop(&lists[set], tag);
            } else {
                ndiffer += access_set(a, set, tag) != list_access(&lists[set], tag);
            }
        }
        CU_ASSERT_EQUAL(ndiffer, 0);
        free(a);
    }
}

/* On x86-64 the rows are worked on in SSE2, elsewhere in plain C. */
static void sixteen_bytes_at_once_give_what_one_after_the_other_do(void)
{
    unsigned ndiffer = 0;
    for (unsigned n = 0; n < 20000; n++) {
        uint8_t row[17], same[17]; /* at an odd address, too */
        unsigned at = n % 2, few = n % 3 == 0 ? 4 : 256;
        for (unsigned i = 0; i < 17; i++)
            row[i] = (uint8_t)(rng_next() % few + (n % 5 == 0 ? 0x7e : 0));
        uint8_t x = row[at + rng_next() % 16];
        ndiffer += bytes16_equal(row + at, x) != bytes16_equal_plain(row + at, x);
        ndiffer += bytes16_equal(row + at, 0x81) != bytes16_equal_plain(row + at, 0x81);
        ndiffer += bytes16_tops(row + at) != bytes16_tops_plain(row + at);
        for (unsigned i = 0; i < 17; i++)
            same[i] = row[i] &= 0x7f;
        bytes16_renew(row + at, x & 0x7f);
        bytes16_renew_plain(same + at, x & 0x7f);
        ndiffer += memcmp(row, same, sizeof row) != 0;
    }
    CU_ASSERT_EQUAL(ndiffer, 0);
}

static void sets_start_on_lines_and_entries_lie_on_one(void)
{
    for (uint32_t nways = 1; nways <= SARRAY_MAX_WAYS; nways++) {
        struct sarray *a = array_new(2, nways, REPL_LRU);
        CU_ASSERT_EQUAL(a->set_bytes % 64, 0);
        CU_ASSERT_EQUAL(sarray_tag_word(a, 0) % 2, 0);
        CU_ASSERT_TRUE(sarray_tag_word(a, nways - 1) + 2 <= a->set_bytes / 8);
        free(a);
    }
}

static void a_sweep_over_one_key_too_many_never_hits_under_lru(void)
{
    struct sarray *a = array_new(1, 12, REPL_LRU);
    unsigned nhits = 0;
    for (unsigned n = 0; n < 1300; n++)
        nhits += access_set(a, 0, n % 13);
    CU_ASSERT_EQUAL(nhits, 0);
    free(a);
}

static void a_sweep_that_fits_always_hits_after_warm_up_under_every_policy(void)
{
    for (unsigned k = 0; k < REPL_KINDS; k++) {
        struct sarray *a = array_new(4, 12, (enum repl_kind)k);
        unsigned nmisses = 0;
        for (unsigned n = 0; n < 48 * 50; n++)
            nmisses += !access_set(a, n % 4, n % 48);
        CU_ASSERT_EQUAL(nmisses, 48);
        CU_ASSERT_EQUAL(sarray_used(a), 48);
        CU_ASSERT_EQUAL(sarray_capacity(a), 48);
        free(a);
    }
}

static void invalid_ways_are_filled_first_in_way_order(void)
{
    for (unsigned k = 0; k < REPL_KINDS; k++) {
        struct sarray *a = array_new(2, 20, (enum repl_kind)k);
        for (uint32_t w = 0; w < 20; w++) {
            CU_ASSERT_EQUAL(sarray_victim(a, 1), w);
            sarray_fill(a, 1, w, 100 + w, w);
        }
        sarray_invalidate(a, 1, 13);
        sarray_invalidate(a, 1, 17);
        CU_ASSERT_EQUAL(sarray_victim(a, 1), 13);
        sarray_fill(a, 1, 13, 500, 0);
        CU_ASSERT_EQUAL(sarray_victim(a, 1), 17);
        CU_ASSERT_EQUAL(sarray_victim(a, 0), 0);
        free(a);
    }
}

static void an_invalid_way_never_matches(void)
{
    struct sarray *a = array_new(1, 12, REPL_LRU);
    CU_ASSERT_EQUAL(sarray_find(a, 0, 0), -1);
    CU_ASSERT_EQUAL(sarray_find(a, 0, UINT64_MAX), -1);
    for (uint32_t w = 0; w < 12; w++)
        sarray_fill(a, 0, w, w, 0);
    sarray_invalidate_all(a);
    for (uint64_t tag = 0; tag < 12; tag++)
        CU_ASSERT_EQUAL(sarray_find(a, 0, tag), -1);
    CU_ASSERT_EQUAL(sarray_used(a), 12);
    free(a);
}

static void every_64_bit_key_is_a_legal_tag(void)
{
    struct sarray *a = array_new(1, 16, REPL_LRU);
    /* Neighbours and extremes, so that fingerprints collide as well. */
    for (unsigned round = 0; round < 2000; round++) {
        uint64_t tag = round < 64 ? UINT64_C(1) << round : rng_next() * rng_next();
        tag = round == 64 ? UINT64_MAX : round == 65 ? 0 : tag;
        if (sarray_find(a, 0, tag) >= 0)
            continue;
        uint32_t way = sarray_victim(a, 0);
        sarray_fill(a, 0, way, tag, tag ^ 7);
        CU_ASSERT_EQUAL(sarray_find(a, 0, tag), (int)way);
        CU_ASSERT_EQUAL(sarray_tag(a, 0, way), tag);
        CU_ASSERT_EQUAL(*sarray_data(a, 0, way), tag ^ 7);
        CU_ASSERT_TRUE(sarray_valid(a, 0, way));
    }
    free(a);
}

static void a_copy_of_the_block_behaves_like_the_original(void)
{
    struct sarray_cfg cfg = {5, 6, REPL_RANDOM, 9};
    struct sarray *a = array_new(5, 6, REPL_RANDOM);
    for (unsigned n = 0; n < 500; n++)
        access_set(a, (uint32_t)(rng_next() % 5), rng_next() % 40);
    struct sarray *b = malloc(sarray_bytes(&cfg));
    memcpy(b, a, sarray_bytes(&cfg));
    unsigned ndiffer = 0;
    for (unsigned n = 0; n < 2000; n++) {
        uint32_t set = (uint32_t)(rng_next() % 5);
        uint64_t tag = rng_next() % 40;
        ndiffer += access_set(a, set, tag) != access_set(b, set, tag);
    }
    CU_ASSERT_EQUAL(ndiffer, 0);
    CU_ASSERT_EQUAL(memcmp(a, b, sarray_bytes(&cfg)), 0);
    free(a);
    free(b);
}

static void replacing_and_using_are_their_two_steps_in_one(void)
{
    const uint32_t ways[] = {1, 4, 12, 15, 16, 17, 32, 128};
    for (unsigned repl = 0; repl < REPL_KINDS; repl++)
        for (unsigned i = 0; i < sizeof ways / sizeof ways[0]; i++) {
            struct sarray_cfg cfg = {3, ways[i], (enum repl_kind)repl, 42};
            struct sarray *a = array_new(3, ways[i], cfg.repl), *b = array_new(3, ways[i], cfg.repl);
            for (uint64_t tag = 0; tag < 20 * ways[i]; tag++) {
                uint32_t set = (uint32_t)(rng_next() % 3), at = (uint32_t)(rng_next() % ways[i]);
                struct sarray_entry old = {1, 2}, expected = {1, 2};
                uint32_t way = sarray_victim(a, set);
                bool full = sarray_valid(a, set, way);
                if (full)
                    expected = (struct sarray_entry){sarray_tag(a, set, way), *sarray_data(a, set, way)};
                sarray_fill(a, set, way, tag, ~tag);
                CU_ASSERT_EQUAL(sarray_replace(b, set, tag, ~tag, &old), full);
                CU_ASSERT_EQUAL(old.tag, expected.tag);
                CU_ASSERT_EQUAL(old.data, expected.data);
                if (tag % 5 == 0) {
                    sarray_invalidate(a, set, at);
                    sarray_invalidate(b, set, at);
                }
                if (tag % 3 == 0 && sarray_valid(a, set, at)) {
                    sarray_hit(a, set, at);
                    CU_ASSERT_PTR_EQUAL(sarray_use(b, set, sarray_tag(a, set, at)), sarray_data(b, set, at));
                }
                if (tag % 3 == 1 && sarray_valid(a, set, at)) {
                    const uint64_t held = sarray_tag(a, set, at), without = tag >> 1 & 5, with = tag & 2;
                    if ((~held & without) == 0 && (held & with) == 0)
                        sarray_hit(a, set, at);
                    CU_ASSERT_PTR_EQUAL(sarray_use_if(b, set, held, without, with), sarray_data(b, set, at));
                }
                CU_ASSERT_PTR_NULL(sarray_use(b, set, tag + 1));
                CU_ASSERT_PTR_NULL(sarray_use_if(b, set, tag + 1, 0, 0));
            }
            CU_ASSERT_EQUAL(memcmp(a, b, sarray_bytes(&cfg)), 0);
            free(a);
            free(b);
        }
}

static void an_entry_used_where_it_lies_is_used_like_one_that_is_searched(void)
{
    for (uint32_t nways = 1; nways <= 16; nways += 5) {
        struct sarray *a = array_new(3, nways, REPL_LRU), *b = array_new(3, nways, REPL_LRU);
        struct sarray_spot spot[64] = {{0, 0}};
        CU_ASSERT_TRUE(sarray_has_spots(a));
        for (uint32_t i = 0; i < 2000; i++) {
            uint64_t tag = rng_next() % (2 * nways);
            uint32_t set = (uint32_t)(tag % 3);
            uint64_t *held = sarray_use(a, set, tag);
            if (held != NULL) {
                CU_ASSERT_EQUAL(*sarray_use_spot(b, spot[tag]), *held);
            } else {
                struct sarray_entry old;
                sarray_replace(a, set, tag, i, &old);
                sarray_replace(b, set, tag, i, &old);
                spot[tag] = sarray_spot_of(b, set, sarray_data(b, set, (uint32_t)sarray_find(b, set, tag)));
            }
        }
        CU_ASSERT_EQUAL(memcmp(a, b, sarray_bytes(&(struct sarray_cfg){3, nways, REPL_LRU, 42})), 0);
        free(a);
        free(b);
    }
    struct sarray *many = array_new(1, 17, REPL_LRU), *other = array_new(1, 4, REPL_PLRU);
    CU_ASSERT_FALSE(sarray_has_spots(many));
    CU_ASSERT_FALSE(sarray_has_spots(other));
    free(many);
    free(other);
}

UNIT_MAIN("memsys/sarray", UNIT(lru_equals_a_brute_force_list),
          UNIT(sixteen_bytes_at_once_give_what_one_after_the_other_do), UNIT(sets_start_on_lines_and_entries_lie_on_one),
          UNIT(a_sweep_over_one_key_too_many_never_hits_under_lru),
          UNIT(a_sweep_that_fits_always_hits_after_warm_up_under_every_policy),
          UNIT(invalid_ways_are_filled_first_in_way_order), UNIT(an_invalid_way_never_matches),
          UNIT(every_64_bit_key_is_a_legal_tag),
          UNIT(replacing_and_using_are_their_two_steps_in_one),
          UNIT(an_entry_used_where_it_lies_is_used_like_one_that_is_searched),
          UNIT(a_copy_of_the_block_behaves_like_the_original))
