/* The page-table replica: visibility times, folding, the log, saving. */
#include "mimicos/ptmem.h"

#include <stdlib.h>

#include "tests/unit/unit.h"

static struct ptmem *fresh(void)
{
    struct ptmem *m = NULL;
    CU_ASSERT_EQUAL_FATAL(ptmem_create(&m), ERR_OK);
    return m;
}

static void put(struct ptmem *m, simtime_t time, uint64_t addr, uint64_t value)
{
    struct mirror_write w = {time, {addr}, value, LPID_NONE, 0};
    ptmem_write(m, &w);
}

static void unwritten_words_are_zero(void)
{
    struct ptmem *m = fresh();
    CU_ASSERT_EQUAL(ptmem_read(m, (paddr_t){0x1000}, 5), 0);
    put(m, 1, 0x1000, 7);
    CU_ASSERT_EQUAL(ptmem_read(m, (paddr_t){0x1008}, 5), 0);
    ptmem_destroy(m);
}

static void a_write_is_visible_from_its_time_on(void)
{
    struct ptmem *m = fresh();
    put(m, 10, 0x2000, 1);
    put(m, 20, 0x2000, 2);
    CU_ASSERT_EQUAL(ptmem_read(m, (paddr_t){0x2000}, 9), 0);
    CU_ASSERT_EQUAL(ptmem_read(m, (paddr_t){0x2000}, 10), 1);
    CU_ASSERT_EQUAL(ptmem_read(m, (paddr_t){0x2000}, 19), 1);
    CU_ASSERT_EQUAL(ptmem_read(m, (paddr_t){0x2000}, 20), 2);
    ptmem_destroy(m);
}

static void the_later_of_two_writes_at_one_time_wins(void)
{
    struct ptmem *m = fresh();
    put(m, 10, 0x2000, 1);
    put(m, 10, 0x2000, 2);
    CU_ASSERT_EQUAL(ptmem_read(m, (paddr_t){0x2000}, 10), 2);
    ptmem_floor(m, 10);
    CU_ASSERT_EQUAL(ptmem_read(m, (paddr_t){0x2000}, 10), 2);
    ptmem_destroy(m);
}

static void folding_keeps_values_and_shortens_the_log(void)
{
    struct ptmem *m = fresh();
    for (uint64_t i = 0; i < 5000; i++)
        put(m, 10 * i, 0x10000 + 8 * (i % 2000), i + 1);
    CU_ASSERT_EQUAL(ptmem_log_end(m), 5000);
    ptmem_floor(m, 10 * 2999);
    CU_ASSERT_EQUAL(ptmem_log_begin(m), 3000);
    CU_ASSERT_EQUAL(ptmem_log_at(m, 3000)->value, 3001);
    for (uint64_t i = 3000; i < 5000; i++)
        CU_ASSERT_EQUAL(ptmem_read(m, (paddr_t){0x10000 + 8 * (i % 2000)}, 10 * 4999), i + 1);
    ptmem_destroy(m);
}

struct ref_write {
    simtime_t time;
    uint64_t addr, value;
};

static void random_reads_equal_a_search_of_all_writes(void)
{
    enum { N = 4000 };
    static struct ref_write all[N];
    struct ptmem *m = fresh();
    uint64_t x = 1, floor = 0;
    simtime_t now = 0;
    for (int i = 0; i < N; i++) {
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
        now += (x >> 60) & 3;
        uint64_t addr = (((x >> 33) % 40) << 12) | (((x >> 45) % 4) << 3);
        all[i] = (struct ref_write){now, addr, (uint64_t)i + 1};
        put(m, now, addr, (uint64_t)i + 1);
        if (i % 50 == 0 && now > 30)
            ptmem_floor(m, floor = now - 30);
        uint64_t probe = (((x >> 20) % 40) << 12) | (((x >> 28) % 4) << 3);
        simtime_t t = u64_max(floor, now - u64_min(now, (x >> 10) % 30));
        uint64_t want = 0;
        for (int k = 0; k <= i; k++)
            if (all[k].addr == probe && all[k].time <= t)
                want = all[k].value;
        CU_ASSERT_EQUAL(ptmem_read(m, (paddr_t){probe}, t), want);
    }
    ptmem_destroy(m);
}

static void a_loaded_copy_reads_the_same(void)
{
    struct ptmem *m = fresh();
    for (uint64_t i = 0; i < 3000; i++)
        put(m, i, (i % 1500) << 12, i + 1);
    ptmem_floor(m, 1000);
    size_t n = ptmem_save_bytes(m);
    void *buf = malloc(n);
    ptmem_save(m, buf);
    struct ptmem *copy = fresh();
    put(copy, 1, 0x5000, 99);
    CU_ASSERT_EQUAL(ptmem_load(copy, buf, n), ERR_OK);
    CU_ASSERT_EQUAL(ptmem_log_begin(copy), ptmem_log_begin(m));
    CU_ASSERT_EQUAL(ptmem_log_end(copy), ptmem_log_end(m));
    for (uint64_t i = 0; i < 1500; i++)
        for (simtime_t t = 1000; t < 3000; t += 333)
            CU_ASSERT_EQUAL(ptmem_read(copy, (paddr_t){i << 12}, t),
                            ptmem_read(m, (paddr_t){i << 12}, t));
    free(buf);
    ptmem_destroy(copy);
    ptmem_destroy(m);
}

/* Two replicas read one base; what one of them is told to write, the other does not see. */
static void a_base_is_read_in_place_and_copied_at_the_first_write(void)
{
    enum { N = 700 };
    uint64_t *words = calloc(N, 4096);
    uint32_t pfns[N];
    for (uint32_t i = 0; i < N; i++) {
        pfns[i] = i == 5 ? 0 : 3 * i + 1; /* node 5 is no node */
        for (uint64_t k = 0; k < 512; k++)
            words[i * 512 + k] = i * 1000 + k;
    }
    struct ptmem *a = fresh(), *b = fresh();
    CU_ASSERT_EQUAL(ptmem_share(a, words, pfns, N), ERR_OK);
    CU_ASSERT_EQUAL(ptmem_share(b, words, pfns, N), ERR_OK);
    for (uint64_t i = 0; i < N; i++)
        CU_ASSERT_EQUAL(ptmem_read(a, (paddr_t){(3 * i + 1) << 12 | 8 * i % 4096}, 0),
                        i == 5 ? 0 : i * 1000 + i % 512);
    CU_ASSERT_EQUAL(ptmem_read(a, (paddr_t){2 << 12}, 0), 0);
    put(a, 50, 7 << 12, 99);
    CU_ASSERT_EQUAL(ptmem_read(a, (paddr_t){7 << 12}, 49), 2000);
    CU_ASSERT_EQUAL(ptmem_read(a, (paddr_t){7 << 12}, 50), 99);
    CU_ASSERT_EQUAL(ptmem_read(a, (paddr_t){7 << 12 | 8}, 50), 2001);
    CU_ASSERT_EQUAL(ptmem_read(b, (paddr_t){7 << 12}, 50), 2000);
    CU_ASSERT_EQUAL(words[2 * 512], 2000);
    size_t n = ptmem_save_bytes(a);
    CU_ASSERT(n < 2 * 4096 + 512); /* one node: the base is not saved */
    void *buf = malloc(n);
    ptmem_save(a, buf);
    CU_ASSERT_EQUAL(ptmem_load(b, buf, n), ERR_OK);
    CU_ASSERT_EQUAL(ptmem_read(b, (paddr_t){7 << 12}, 50), 99);
    CU_ASSERT_EQUAL(ptmem_read(b, (paddr_t){10 << 12}, 50), 3000);
    put(a, 60, 10 << 12, 98); /* what was written since the copy is gone when it is loaded */
    CU_ASSERT_EQUAL(ptmem_read(a, (paddr_t){10 << 12}, 60), 98);
    CU_ASSERT_EQUAL(ptmem_load(a, buf, n), ERR_OK);
    CU_ASSERT_EQUAL(ptmem_read(a, (paddr_t){10 << 12}, 60), 3000);
    CU_ASSERT_EQUAL(ptmem_read(a, (paddr_t){7 << 12}, 60), 99);
    struct ptmem *c = fresh();
    CU_ASSERT_NOT_EQUAL(ptmem_load(c, buf, n), ERR_OK);
    free(buf);
    ptmem_destroy(a);
    ptmem_destroy(b);
    ptmem_destroy(c);
    free(words);
}

UNIT_MAIN("mimicos/ptmem", UNIT(unwritten_words_are_zero),
          UNIT(a_write_is_visible_from_its_time_on),
          UNIT(the_later_of_two_writes_at_one_time_wins),
          UNIT(folding_keeps_values_and_shortens_the_log),
          UNIT(random_reads_equal_a_search_of_all_writes), UNIT(a_loaded_copy_reads_the_same),
          UNIT(a_base_is_read_in_place_and_copied_at_the_first_write))
