/* Where Linux puts areas: addresses worked out by hand from the rules in layout.h. */
#include "mimicos/layout.h"

#include "tests/unit/unit.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define STACK_LIMIT (8 * MIB)
#define BASE UINT64_C(0x7ffff7fff000) /* end of user space - 128 MiB */

static const struct layout_params plain = {
    .mode = LAYOUT_LINUX, .mmap_bits = 28, .stack_bits = 22, .brk_size = GIB,
    .thp_align = LAYOUT_ALIGN_MULTIPLES};

static struct layout fresh(uint64_t seed)
{
    struct layout l;
    struct layout_params p = plain;
    p.seed = seed;
    layout_init(&l, &p, STACK_LIMIT, 0);
    return l;
}

/* Finds and takes. */
static uint64_t map(struct layout *l, uint64_t bytes, enum layout_kind kind)
{
    bool aligned;
    uint64_t at = layout_find(l, bytes, kind, &aligned);
    CU_ASSERT_FATAL(at != 0);
    CU_ASSERT_FATAL(layout_is_free(l, at, bytes));
    CU_ASSERT_FATAL(layout_take(l, at, bytes));
    return at;
}

static void without_randomisation_the_bases_are_those_of_setarch_R(void)
{
    struct layout l = fresh(0);
    CU_ASSERT_EQUAL(l.stack_top, 0x7ffffffff000);
    CU_ASSERT_EQUAL(l.mmap_base, BASE);
    CU_ASSERT_EQUAL(layout_program(&l), 0x555555554000);
    CU_ASSERT_EQUAL(layout_brk_gap(&l), 0);
    layout_free(&l);
}

static void a_large_stack_limit_lowers_the_mmap_base(void)
{
    struct layout l;
    layout_init(&l, &plain, GIB, 0); /* 1 GiB and the guard gap of 256 pages */
    CU_ASSERT_EQUAL(l.mmap_base, 0x7ffffffff000 - GIB - MIB);
    layout_free(&l);
}

static void areas_follow_each_other_downwards(void)
{
    struct layout l = fresh(0);
    CU_ASSERT_EQUAL(map(&l, 4 * KIB, LAYOUT_ANONYMOUS), BASE - 0x1000);
    CU_ASSERT_EQUAL(map(&l, 8 * KIB, LAYOUT_FILE), BASE - 0x3000);
    CU_ASSERT_EQUAL(map(&l, 4 * KIB, LAYOUT_SHARED_MEMORY), BASE - 0x4000);
    layout_free(&l);
}

/* After 4 KiB, 6 MiB are looked for below 0x7ffff7ffe000; they end at 0x7ffff7ffe000 and begin at
 * 0x7ffff79fe000, and the next multiple of 2 MiB above that is the place. */
static void a_multiple_of_2_mib_is_aligned(void)
{
    struct layout l = fresh(0);
    bool aligned;
    map(&l, 4 * KIB, LAYOUT_ANONYMOUS);
    uint64_t at = layout_find(&l, 4 * MIB, LAYOUT_ANONYMOUS, &aligned);
    CU_ASSERT_EQUAL(at, 0x7ffff7a00000);
    CU_ASSERT(aligned);
    layout_free(&l);
}

static void alignment_depends_on_kind_size_and_choice(void)
{
    static const struct {
        enum layout_align choice;
        enum layout_kind kind;
        uint64_t bytes;
        bool aligned;
    } cases[] = {
        {LAYOUT_ALIGN_MULTIPLES, LAYOUT_ANONYMOUS, 2 * MIB + 4 * KIB, false},
        {LAYOUT_ALIGN_LARGE, LAYOUT_ANONYMOUS, 2 * MIB + 4 * KIB, true},
        {LAYOUT_ALIGN_LARGE, LAYOUT_ANONYMOUS, 2 * MIB - 4 * KIB, false},
        {LAYOUT_ALIGN_NEVER, LAYOUT_ANONYMOUS, 4 * MIB, false},
        {LAYOUT_ALIGN_MULTIPLES, LAYOUT_FILE, 2 * MIB + 4 * KIB, true},
        {LAYOUT_ALIGN_NEVER, LAYOUT_FILE, 4 * MIB, false},
        {LAYOUT_ALIGN_MULTIPLES, LAYOUT_SHARED_MEMORY, 4 * MIB, false},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct layout l = fresh(0);
        bool aligned;
        l.p.thp_align = cases[i].choice;
        uint64_t at = layout_find(&l, cases[i].bytes, cases[i].kind, &aligned);
        CU_ASSERT_EQUAL(aligned, cases[i].aligned);
        CU_ASSERT_EQUAL(at, aligned ? (BASE - cases[i].bytes) & ~(2 * MIB - 1) : BASE - cases[i].bytes);
        layout_free(&l);
    }
}

static void the_highest_gap_that_is_large_enough_is_used_again(void)
{
    struct layout l = fresh(0);
    uint64_t a = map(&l, 16 * KIB, LAYOUT_ANONYMOUS), b = map(&l, 32 * KIB, LAYOUT_ANONYMOUS);
    uint64_t c = map(&l, 8 * KIB, LAYOUT_ANONYMOUS);
    layout_release(&l, a, 8 * KIB); /* the lower half of a, and b: 40 KiB up to a + 8 KiB */
    layout_release(&l, b, 32 * KIB);
    CU_ASSERT_EQUAL(map(&l, 12 * KIB, LAYOUT_ANONYMOUS), a + 8 * KIB - 12 * KIB);
    CU_ASSERT_EQUAL(map(&l, 32 * KIB, LAYOUT_ANONYMOUS), c - 32 * KIB); /* 28 KiB were left */
    CU_ASSERT_EQUAL(map(&l, 28 * KIB, LAYOUT_ANONYMOUS), b);
    layout_free(&l);
}

static void a_full_lower_part_is_followed_by_a_search_upwards(void)
{
    struct layout l = fresh(0);
    layout_take(&l, LAYOUT_MIN_ADDRESS, BASE - LAYOUT_MIN_ADDRESS);
    CU_ASSERT_EQUAL(map(&l, 4 * KIB, LAYOUT_ANONYMOUS), BASE);
    layout_take(&l, BASE, LAYOUT_TASK_SIZE - BASE);
    bool aligned;
    CU_ASSERT_EQUAL(layout_find(&l, 4 * KIB, LAYOUT_ANONYMOUS, &aligned), 0);
    layout_free(&l);
}

static void only_user_space_is_free(void)
{
    struct layout l = fresh(0);
    CU_ASSERT(layout_is_free(&l, 0x10000, 4 * KIB));
    CU_ASSERT(!layout_is_free(&l, 0xf000, 4 * KIB));
    CU_ASSERT(layout_is_free(&l, 0x7fffffffe000, 4 * KIB));
    CU_ASSERT(!layout_is_free(&l, 0x7fffffffe000, 8 * KIB));
    CU_ASSERT(!layout_is_free(&l, UINT64_MAX - 4095, 4 * KIB));
    layout_free(&l);
}

static void random_bases_stay_within_their_bits(void)
{
    const uint64_t shift = ((UINT64_C(1) << 22) - 1) << PAGE_SHIFT;
    uint64_t least = UINT64_MAX, most = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct layout l = fresh(seed);
        CU_ASSERT(l.stack_top <= LAYOUT_TASK_SIZE && l.stack_top >= LAYOUT_TASK_SIZE - shift);
        uint64_t high = LAYOUT_TASK_SIZE - shift - STACK_LIMIT - MIB;
        CU_ASSERT(l.mmap_base <= high && l.mmap_base > high - (UINT64_C(1) << 40));
        CU_ASSERT(l.stack_top - STACK_LIMIT > l.mmap_base);
        CU_ASSERT(layout_program(&l) - LAYOUT_PIE_BASE < UINT64_C(1) << 40);
        CU_ASSERT(layout_brk_gap(&l) < GIB);
        CU_ASSERT_EQUAL((l.stack_top | l.mmap_base | layout_program(&l) | layout_brk_gap(&l)) & 4095, 0);
        least = u64_min(least, l.mmap_base);
        most = u64_max(most, l.mmap_base);
        layout_free(&l);
    }
    CU_ASSERT(most - least > UINT64_C(1) << 39); /* 200 draws out of 2^40 bytes spread further */
}

static void seeds_and_processes_give_other_places_and_the_same_ones_again(void)
{
    struct layout a = fresh(7), b = fresh(7), c = fresh(8), d;
    layout_init(&d, &a.p, STACK_LIMIT, 1);
    CU_ASSERT_EQUAL(a.mmap_base, b.mmap_base);
    CU_ASSERT_NOT_EQUAL(a.mmap_base, c.mmap_base);
    CU_ASSERT_NOT_EQUAL(a.mmap_base, d.mmap_base);
}

/* Against a map of 64 pages, page by page. */
static void ranges_are_the_set_of_their_pages(void)
{
    struct layout_ranges s = {.r = NULL};
    uint64_t pages = 0, x = 1;
    for (unsigned step = 0; step < 20000; step++) {
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
        uint64_t start = x >> 58, n = 1 + (x >> 53 & 15), end = u64_min(start + n, 64);
        uint64_t mask = (end == 64 ? ~UINT64_C(0) : (UINT64_C(1) << end) - 1) & ~((UINT64_C(1) << start) - 1);
        if (x >> 52 & 1) {
            layout_ranges_add(&s, start, end);
            pages |= mask;
        } else {
            layout_ranges_remove(&s, start, end);
            pages &= ~mask;
        }
        uint64_t now = 0;
        for (uint32_t i = 0; i < s.n; i++) {
            CU_ASSERT_FATAL(s.r[i].start < s.r[i].end && (i == 0 || s.r[i - 1].end < s.r[i].start));
            for (uint64_t p = s.r[i].start; p < s.r[i].end; p++)
                now |= UINT64_C(1) << p;
        }
        CU_ASSERT_EQUAL_FATAL(now, pages);
        uint64_t want = 0; /* highest gap of n pages within [2, 60) */
        for (uint64_t at = 2; at + n <= 60; at++)
            if ((pages >> at & ((UINT64_C(1) << n) - 1)) == 0)
                want = at;
        CU_ASSERT_EQUAL_FATAL(layout_ranges_highest_gap(&s, n, 2, 60), want);
    }
    struct layout l = {.used = s};
    layout_free(&l);
}

UNIT_MAIN("mimicos/layout",
          UNIT(without_randomisation_the_bases_are_those_of_setarch_R),
          UNIT(a_large_stack_limit_lowers_the_mmap_base),
          UNIT(areas_follow_each_other_downwards),
          UNIT(a_multiple_of_2_mib_is_aligned),
          UNIT(alignment_depends_on_kind_size_and_choice),
          UNIT(the_highest_gap_that_is_large_enough_is_used_again),
          UNIT(a_full_lower_part_is_followed_by_a_search_upwards),
          UNIT(only_user_space_is_free),
          UNIT(random_bases_stay_within_their_bits),
          UNIT(seeds_and_processes_give_other_places_and_the_same_ones_again),
          UNIT(ranges_are_the_set_of_their_pages))
