/* The buddy allocator against hand-computed states and a bitmap. */
#include "mimicos/buddy.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static struct buddy *make(struct buddy_config cfg)
{
    CU_ASSERT_PTR_NULL_FATAL(buddy_config_error(&cfg));
    struct buddy *b = calloc(1, buddy_bytes(&cfg));
    CU_ASSERT_PTR_NOT_NULL_FATAL(b);
    buddy_init(b, &cfg);
    return b;
}

static struct buddy *fresh(uint64_t nblocks)
{
    return make((struct buddy_config){.nframes = nblocks * BUDDY_BLOCK_FRAMES});
}

static void one_frame_of_a_fresh_block_leaves_one_block_of_each_smaller_order(void)
{
    struct buddy *b = fresh(1);
    pfn_t pfn = {99};
    unsigned nsplits = 0;
    CU_ASSERT_EQUAL(buddy_alloc(b, 0, &pfn, &nsplits), BUDDY_OK);
    CU_ASSERT_EQUAL(nsplits, 10);
    for (unsigned o = 0; o < 10; o++)
        CU_ASSERT_EQUAL(buddy_free_blocks(b, o), 1);
    CU_ASSERT_EQUAL(buddy_free_blocks(b, 10), 0);
    CU_ASSERT_EQUAL(b->nfree, 1023);
    CU_ASSERT_EQUAL(buddy_free(b, pfn), 0);
    for (unsigned o = 0; o < 10; o++)
        CU_ASSERT_EQUAL(buddy_free_blocks(b, o), 0);
    CU_ASSERT_EQUAL(buddy_free_blocks(b, 10), 1);
    CU_ASSERT_EQUAL(b->nmerges, 10);
    buddy_verify(b);
    free(b);
}

/* A thousand free single frames: index 1000 - (1000 + 1953) / 1000 = 998, nothing usable. */
static void single_free_frames_are_unusable_for_a_huge_page(void)
{
    struct buddy *b = fresh(2);
    pfn_t pfn[2048];
    for (int i = 0; i < 2048; i++)
        CU_ASSERT_EQUAL_FATAL(buddy_alloc(b, 0, &pfn[i], NULL), BUDDY_OK);
    CU_ASSERT_EQUAL(buddy_extfrag_index(b, 9), 0);
    CU_ASSERT_EQUAL(buddy_unusable_permille(b, 9), 0);
    for (uint64_t i = 0; i < 2000; i += 2)
        for (int k = 0; k < 2048; k++)
            if (pfn[k].v == i)
                buddy_free(b, pfn[k]);
    CU_ASSERT_EQUAL(b->nfree, 1000);
    CU_ASSERT_EQUAL(buddy_unusable_permille(b, 9), 1000);
    CU_ASSERT_EQUAL(buddy_extfrag_index(b, 9), 998);
    CU_ASSERT_EQUAL(buddy_extfrag_index(b, 0), -1000);
    free(b);
}

static void running_out_is_an_answer_and_not_reuse(void)
{
    struct buddy *b = fresh(1);
    pfn_t pfn;
    CU_ASSERT_EQUAL(buddy_alloc(b, 10, &pfn, NULL), BUDDY_OK);
    CU_ASSERT_EQUAL(buddy_alloc(b, 0, &pfn, NULL), BUDDY_NOMEM);
    CU_ASSERT_EQUAL(b->nfailed, 1);
    CU_ASSERT_EQUAL(b->nfree, 0);
    free(b);
}

static void reserved_frames_are_never_handed_out(void)
{
    struct buddy *b = make((struct buddy_config){.nframes = 3 * BUDDY_BLOCK_FRAMES,
                                                 .nreserved = BUDDY_BLOCK_FRAMES});
    CU_ASSERT_EQUAL(b->nused, 1024);
    pfn_t pfn;
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(buddy_alloc(b, 10, &pfn, NULL), BUDDY_OK);
        CU_ASSERT_EQUAL(pfn.v, (uint64_t)(i + 1) * 1024);
    }
    CU_ASSERT_EQUAL(buddy_alloc(b, 10, &pfn, NULL), BUDDY_NOMEM);
    free(b);
}

static void a_split_allocated_block_is_freed_frame_by_frame(void)
{
    struct buddy *b = fresh(1);
    pfn_t pfn;
    CU_ASSERT_EQUAL(buddy_alloc(b, 9, &pfn, NULL), BUDDY_OK);
    *buddy_owner_tag(b, pfn) = 7;
    buddy_split_allocated(b, pfn);
    CU_ASSERT_EQUAL(*buddy_owner_tag(b, pfn), 0);
    for (uint64_t i = 0; i < 512; i++)
        CU_ASSERT_EQUAL(buddy_free(b, (pfn_t){pfn.v + (i * 5) % 512}), 0);
    CU_ASSERT_EQUAL(buddy_free_blocks(b, 10), 1);
    buddy_verify(b);
    free(b);
}

static uint64_t next_random(uint64_t *x)
{
    *x = *x * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return *x >> 33;
}

/* Marks or clears frames in the map; every one of them must have been the opposite. */
static void set_map(uint8_t *map, uint64_t first, uint64_t n, uint8_t value)
{
    int nwrong = 0;
    for (uint64_t i = first; i < first + n; i++) {
        nwrong += map[i] == value;
        map[i] = value;
    }
    CU_ASSERT_EQUAL(nwrong, 0);
}

static void churn(struct buddy *b, uint64_t nsteps)
{
    enum { MAX_HELD = 4096 };
    static struct {
        uint64_t pfn;
        unsigned order;
    } held[MAX_HELD];
    uint64_t nframes = b->cfg.nframes, x = 42, nheld = 0, used0 = b->nused, nheld_frames = 0;
    uint8_t *map = calloc(nframes, 1);
    for (uint64_t step = 0; step < nsteps; step++) {
        bool grow = next_random(&x) % 100 < (step / 2000 % 2 ? 40 : 60);
        if (grow && nheld < MAX_HELD) {
            unsigned order = (unsigned)(next_random(&x) % 11);
            order = next_random(&x) % 3 ? order / 4 : order;
            pfn_t pfn;
            if (buddy_alloc(b, order, &pfn, NULL) == BUDDY_OK) {
                CU_ASSERT_EQUAL(pfn.v & ((UINT64_C(1) << order) - 1), 0);
                set_map(map, pfn.v, UINT64_C(1) << order, 1);
                held[nheld].pfn = pfn.v;
                held[nheld++].order = order;
                nheld_frames += UINT64_C(1) << order;
            }
        } else if (nheld > 0) {
            uint64_t i = next_random(&x) % nheld;
            CU_ASSERT_EQUAL(buddy_free(b, (pfn_t){held[i].pfn}), held[i].order);
            set_map(map, held[i].pfn, UINT64_C(1) << held[i].order, 0);
            nheld_frames -= UINT64_C(1) << held[i].order;
            held[i] = held[--nheld];
        }
        CU_ASSERT_EQUAL(b->nused, used0 + nheld_frames);
        CU_ASSERT_EQUAL(b->nused + b->nfree, nframes);
        if (step % 500 == 0)
            buddy_verify(b);
    }
    while (nheld > 0)
        buddy_free(b, (pfn_t){held[--nheld].pfn});
    CU_ASSERT_EQUAL(b->nused, used0);
    buddy_verify(b);
    free(map);
}

static void random_use_agrees_with_a_bitmap(void)
{
    struct buddy *b = fresh(16);
    churn(b, 20000);
    CU_ASSERT_EQUAL(buddy_free_blocks(b, 10), 16);
    free(b);
}

static void random_use_of_scattered_memory_agrees_with_a_bitmap(void)
{
    struct buddy *b = make((struct buddy_config){.nframes = 16 * BUDDY_BLOCK_FRAMES,
                                                 .seed = 5,
                                                 .scatter_used_permille = 100,
                                                 .scatter_regions_permille = 500});
    churn(b, 20000);
    free(b);
}

/* 20 % of 64 blocks in 50 % of the regions: 13107 frames used, 64 regions whole. */
static void scattered_counts_are_exact_before_and_after_carving(void)
{
    struct buddy *b = make((struct buddy_config){.nframes = 64 * BUDDY_BLOCK_FRAMES,
                                                 .seed = 3,
                                                 .scatter_used_permille = 200,
                                                 .scatter_regions_permille = 500});
    uint64_t before[BUDDY_NORDERS], unusable = buddy_unusable_permille(b, 9);
    CU_ASSERT_EQUAL(b->nused, 13107);
    CU_ASSERT_EQUAL(unusable, (65536 - 13107 - 64 * 512) * 1000 / (65536 - 13107));
    for (unsigned o = 0; o < BUDDY_NORDERS; o++)
        before[o] = buddy_free_blocks(b, o);
    CU_ASSERT_EQUAL(before[9] + 2 * before[10], 64);
    static pfn_t huge[64];
    for (int i = 0; i < 64; i++)
        CU_ASSERT_EQUAL(buddy_alloc(b, 9, &huge[i], NULL), BUDDY_OK);
    pfn_t pfn;
    CU_ASSERT_EQUAL(buddy_alloc(b, 9, &pfn, NULL), BUDDY_NOMEM);
    for (int i = 0; i < 64; i++)
        buddy_free(b, huge[i]);
    for (unsigned o = 0; o < BUDDY_NORDERS; o++)
        CU_ASSERT_EQUAL(buddy_free_blocks(b, o), before[o]);
    CU_ASSERT_EQUAL(buddy_unusable_permille(b, 9), unusable);
    uint64_t n = 0;
    while (buddy_alloc(b, 0, &pfn, NULL) == BUDDY_OK)
        n++;
    CU_ASSERT_EQUAL(n, 65536 - 13107);
    buddy_verify(b);
    free(b);
}

static void scattered_places_follow_the_seed_only(void)
{
    struct buddy_config cfg = {.nframes = 4 * BUDDY_BLOCK_FRAMES, .seed = 1,
                               .scatter_used_permille = 300, .scatter_regions_permille = 1000,
                               .scatter_order = 2};
    struct buddy *a = make(cfg), *b = make(cfg);
    cfg.seed = 2;
    struct buddy *c = make(cfg);
    CU_ASSERT_EQUAL(a->nused, (4096 * 300 / 1000) / 4 * 4);
    CU_ASSERT_EQUAL(c->nused, a->nused);
    int ndiffer = 0;
    for (int i = 0; i < 200; i++) {
        pfn_t x, y, z;
        buddy_alloc(a, 2, &x, NULL);
        buddy_alloc(b, 2, &y, NULL);
        buddy_alloc(c, 2, &z, NULL);
        CU_ASSERT_EQUAL(x.v, y.v);
        ndiffer += x.v != z.v;
    }
    CU_ASSERT(ndiffer > 50);
    free(a);
    free(b);
    free(c);
}

static void bad_sizes_are_named(void)
{
    struct buddy_config cfg = {.nframes = 1000};
    CU_ASSERT_PTR_NOT_NULL(buddy_config_error(&cfg));
    cfg = (struct buddy_config){.nframes = 2048, .scatter_used_permille = 2,
                                .scatter_regions_permille = 1};
    CU_ASSERT_PTR_NOT_NULL(buddy_config_error(&cfg));
}

/* 4.5 GiB with two giants: they are frames [2 GiB, 4 GiB); what is above them stays ordinary. */
static void giants_are_the_highest_aligned_runs_and_count_as_used(void)
{
    struct buddy_config c = {.nframes = 9 * BUDDY_GIANT_FRAMES / 2, .nreserved = BUDDY_BLOCK_FRAMES,
                             .ngiants = 2, .seed = 5, .scatter_used_permille = 100,
                             .scatter_regions_permille = 500};
    struct buddy *b = make(c);
    pfn_t pfn, a[2];
    uint64_t nfree = b->nfree, seen = 0;
    CU_ASSERT_EQUAL(nfree, (c.nframes - c.nreserved - 2 * BUDDY_GIANT_FRAMES) -
                               (c.nframes - c.nreserved - 2 * BUDDY_GIANT_FRAMES) / 10);
    CU_ASSERT_EQUAL(buddy_alloc_giant(b, &a[0]), BUDDY_OK);
    CU_ASSERT_EQUAL(buddy_alloc_giant(b, &a[1]), BUDDY_OK);
    CU_ASSERT_EQUAL(a[0].v, 2 * BUDDY_GIANT_FRAMES);
    CU_ASSERT_EQUAL(a[1].v, 3 * BUDDY_GIANT_FRAMES);
    CU_ASSERT_EQUAL(buddy_alloc_giant(b, &pfn), BUDDY_NOMEM);
    CU_ASSERT_EQUAL(b->nfree, nfree);
    CU_ASSERT_EQUAL(buddy_free(b, a[0]), BUDDY_GIANT_ORDER);
    CU_ASSERT_EQUAL(b->npool_free, 1);
    buddy_split_allocated(b, a[1]);
    CU_ASSERT_EQUAL(buddy_free(b, a[1]), 9);
    CU_ASSERT_EQUAL(b->nfree, nfree + 512);
    buddy_verify(b);
    while (buddy_alloc(b, 0, &pfn, NULL) == BUDDY_OK) {
        CU_ASSERT(pfn.v < 2 * BUDDY_GIANT_FRAMES || pfn.v >= 4 * BUDDY_GIANT_FRAMES ||
                  (pfn.v >= a[1].v && pfn.v < a[1].v + 512));
        seen++;
    }
    CU_ASSERT_EQUAL(seen, nfree + 512);
    c.ngiants = 4;
    CU_ASSERT_PTR_NOT_NULL(buddy_config_error(&c));
    c.ngiants = 3;
    CU_ASSERT_PTR_NULL(buddy_config_error(&c));
    free(b);
}

static void single_frames_join_to_the_block_they_came_from(void)
{
    struct buddy *b = fresh(1);
    pfn_t pfn;
    CU_ASSERT_EQUAL(buddy_alloc(b, 9, &pfn, NULL), BUDDY_OK);
    buddy_split_allocated(b, pfn);
    buddy_join_allocated(b, pfn, 9);
    CU_ASSERT_EQUAL(buddy_free(b, pfn), 9);
    CU_ASSERT_EQUAL(buddy_free_blocks(b, 10), 1);
    free(b);
}

UNIT_MAIN("mimicos/buddy",
          UNIT(one_frame_of_a_fresh_block_leaves_one_block_of_each_smaller_order),
          UNIT(single_free_frames_are_unusable_for_a_huge_page),
          UNIT(running_out_is_an_answer_and_not_reuse), UNIT(reserved_frames_are_never_handed_out),
          UNIT(a_split_allocated_block_is_freed_frame_by_frame),
          UNIT(random_use_agrees_with_a_bitmap),
          UNIT(random_use_of_scattered_memory_agrees_with_a_bitmap),
          UNIT(scattered_counts_are_exact_before_and_after_carving),
          UNIT(scattered_places_follow_the_seed_only), UNIT(bad_sizes_are_named),
          UNIT(giants_are_the_highest_aligned_runs_and_count_as_used),
          UNIT(single_frames_join_to_the_block_they_came_from))
