/* Allocation policies: a contract that each row of the list keeps, and what `reserve` and the 1 GiB
 * pool do in detail. */
#include <string.h>

#include "tests/unit/mm_rig.h"

#define NPOLICIES (sizeof policies / sizeof policies[0])
#define X(name, object) #name,
static const char *const policies[] = {ALLOC_LIST(X)};
#undef X

static uint64_t policy_index(const char *name)
{
    uint64_t i = 0;
    while (strcmp(policies[i], name) != 0)
        i++;
    return i;
}

/* ---- the contract ---------------------------------------------------------------------------- */

static void each_policy_has_a_name_a_doc_and_a_page(void)
{
    for (uint64_t i = 0; i < NPOLICIES; i++) {
        CU_ASSERT_STRING_EQUAL(alloc_at(i)->name, alloc_names[i]);
        CU_ASSERT(strlen(alloc_at(i)->doc) > 10);
        CU_ASSERT_PTR_NOT_NULL(alloc_at(i)->page);
    }
    CU_ASSERT_PTR_NULL(alloc_names[NPOLICIES]);
}

/* Random touches, unmappings and advice: no frame twice, and all frames back at the end. */
static void each_policy_gives_every_frame_once_and_back(void)
{
    for (uint64_t i = 0; i < NPOLICIES; i++) {
        for (uint64_t thp = THP_NEVER; thp <= THP_ALWAYS; thp++) {
            struct rig g = rig_open((struct mm_config){.alloc = i, .thp = thp});
            uint64_t before = rig_used(&g), x = 7 + i;
            static uint8_t owner[16 * BUDDY_BLOCK_FRAMES];
            const uint64_t base = 16 * HUGE_PAGE, npages = 8 * 512;
            rig_call(&g, KCALL_MMAP, base, npages * PAGE, RW, ANON, 1);
            for (int n = 0; n < 6000; n++) {
                x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
                uint64_t page = (x >> 33) % npages;
                if (n % 50 == 49)
                    rig_call(&g, KCALL_MADVISE, base + page * PAGE, ((x >> 20) % 600 + 1) * PAGE,
                             KADV_DONTNEED, 0, 0);
                else
                    rig_touch(&g, base + page * PAGE, KF_WRITE);
                CU_ASSERT_NOT_EQUAL(g.f.kind, FAULT_NOMEM);
            }
            memset(owner, 0, sizeof owner);
            for (uint64_t page = 0; page < npages; page++)
                if (rig_entry(&g, base + page * PAGE).value != 0) {
                    struct pt_entry e = rig_entry(&g, base + page * PAGE);
                    uint64_t pfn = pte_pfn(e.value).v + (page & ((1u << (e.shift - 12)) - 1));
                    CU_ASSERT_EQUAL(owner[pfn], 0);
                    owner[pfn] = 1;
                }
            rig_call(&g, KCALL_MUNMAP, base, npages * PAGE, 0, 0, 0);
            krun_begin(g.r);
            while (mm_reclaim(g.m, g.r)) {
                /* What a policy keeps for later comes back, too. */
            }
            CU_ASSERT_EQUAL(rig_used(&g), before);
            rig_close(&g);
        }
    }
}

static void each_policy_uses_the_last_frame(void)
{
    for (uint64_t i = 0; i < NPOLICIES; i++) {
        struct rig g = rig_open((struct mm_config){.alloc = i, .thp = THP_ALWAYS,
                                                   .frames.nframes = 2 * BUDDY_BLOCK_FRAMES});
        const uint64_t base = 512 * HUGE_PAGE; /* one touch in each region first, then all of them */
        rig_call(&g, KCALL_MMAP, base, 64 * HUGE_PAGE, RW, ANON, 1);
        for (uint64_t page = 0; rig_touch(&g, base + page * PAGE, KF_WRITE) != FAULT_NOMEM;)
            page = page < 63 * 512 ? page + 512 : page % 512 + 1;
        CU_ASSERT_EQUAL(mm_buddy(g.m)->nfree, 0);
        free(g.m);
        free(g.r);
    }
}

/* Population and write faults in address order give the same frames. */
static void populating_an_area_equals_touching_it_in_order(void)
{
    for (uint64_t i = 0; i < NPOLICIES; i++)
        for (uint64_t thp = THP_NEVER; thp <= THP_ALWAYS; thp += THP_ALWAYS) {
            struct mm_config c = {.alloc = i, .thp = thp, .frames.scatter_used_permille = 100,
                                  .frames.scatter_regions_permille = 400, .frames.seed = 3};
            const uint64_t base = 100 * HUGE_PAGE + 5 * PAGE, bytes = 6 * HUGE_PAGE;
            struct rig a = rig_open(c), b = rig_open(c);
            uint64_t npages;
            rig_call(&a, KCALL_MMAP, base, bytes, RW, ANON, 1);
            rig_call(&b, KCALL_MMAP, base, bytes, RW, ANON, 1);
            krun_begin(a.r);
            a.r->mode = KRUN_SILENT;
            CU_ASSERT(mm_populate(a.m, a.r, &a.op, 0, base, base + bytes, &npages));
            for (uint64_t at = base; at < base + bytes; at += PAGE)
                if (rig_entry(&b, at).value == 0)
                    rig_touch(&b, at, KF_WRITE);
            CU_ASSERT_EQUAL(a.r->total_fs + a.r->nsegs + a.r->nwrites, 0);
            for (uint64_t at = base; at < base + bytes; at += PAGE) {
                struct pt_entry e = rig_entry(&a, at);
                CU_ASSERT_EQUAL(e.value, rig_entry(&b, at).value);
                CU_ASSERT_EQUAL(e.shift, rig_entry(&b, at).shift);
                CU_ASSERT_EQUAL(e.value & (PTE_ACCESSED | PTE_DIRTY), PTE_ACCESSED | PTE_DIRTY);
            }
            CU_ASSERT_EQUAL(rig_used(&a), rig_used(&b));
            rig_close(&a);
            rig_close(&b);
        }
}

static void population_leaves_files_and_forbidden_areas_alone(void)
{
    struct rig g = rig_open((struct mm_config){.populate = true});
    rig_call(&g, KCALL_MMAP, 100 * PAGE, 10 * PAGE, RW, KMAP_PRIVATE, 1);
    rig_call(&g, KCALL_MMAP, 200 * PAGE, 10 * PAGE, 0, ANON, 2);
    rig_call(&g, KCALL_MMAP, 300 * PAGE, 10 * PAGE, KPROT_READ, ANON, 3);
    rig_call(&g, KCALL_BRK, 400 * PAGE, 403 * PAGE, 4, 0, 0);
    CU_ASSERT_EQUAL(rig_entry(&g, 100 * PAGE).value, 0);
    CU_ASSERT_EQUAL(rig_entry(&g, 200 * PAGE).value, 0);
    CU_ASSERT_EQUAL(rig_entry(&g, 309 * PAGE).value & (PTE_ACCESSED | PTE_DIRTY | PTE_RW), PTE_ACCESSED);
    CU_ASSERT(pte_writable(rig_entry(&g, 402 * PAGE).value));
    CU_ASSERT_EQUAL(rig_entry(&g, 403 * PAGE).value, 0);
    rig_call(&g, KCALL_MREMAP, 300 * PAGE, 10 * PAGE, 500 * PAGE, 12 * PAGE, 3);
    CU_ASSERT_NOT_EQUAL(rig_entry(&g, 511 * PAGE).value, 0);
    rig_close(&g);
}

/* ---- reserve --------------------------------------------------------------------------------- */

static void a_reservation_is_filled_in_place_and_promoted_at_the_512th_page(void)
{
    struct rig g = rig_open((struct mm_config){.alloc = policy_index("reserve"), .thp = THP_ALWAYS});
    const uint64_t base = 16 * HUGE_PAGE;
    rig_call(&g, KCALL_MMAP, base, HUGE_PAGE, RW, ANON, 1);
    uint64_t before = rig_used(&g);
    CU_ASSERT_EQUAL(rig_touch(&g, base + 77 * PAGE, KF_WRITE), FAULT_ANON_4K);
    CU_ASSERT_EQUAL(rig_used(&g), before + 512 + 3); /* the block and three nodes */
    uint64_t first = rig_pfn(&g, base + 77 * PAGE) - 77;
    CU_ASSERT_EQUAL(first % 512, 0);
    for (uint64_t i = 511; i > 0; i--)
        if (i != 77) {
            rig_touch(&g, base + i * PAGE, KF_WRITE);
            CU_ASSERT_EQUAL(rig_pfn(&g, base + i * PAGE), first + i);
            CU_ASSERT(!g.f.promoted);
        }
    CU_ASSERT_EQUAL(rig_entry(&g, base).shift, 12);
    rig_touch(&g, base, KF_WRITE);
    CU_ASSERT(g.f.promoted);
    CU_ASSERT_EQUAL(rig_entry(&g, base).shift, 21);
    CU_ASSERT_EQUAL(rig_pfn(&g, base), first);
    CU_ASSERT_EQUAL(rig_used(&g), before + 512 + 2); /* the node of the leaves is free again */
    rig_call(&g, KCALL_MUNMAP, base, HUGE_PAGE, 0, 0, 0);
    CU_ASSERT_EQUAL(rig_used(&g), before);
    rig_close(&g);
}

static void the_reservation_filled_least_recently_is_broken_first(void)
{
    struct rig g = rig_open((struct mm_config){.alloc = policy_index("reserve"), .thp = THP_ALWAYS,
                                               .frames.nframes = 3 * BUDDY_BLOCK_FRAMES});
    const uint64_t base = 512 * HUGE_PAGE; /* 2048 frames free: the nodes leave room for three blocks */
    rig_call(&g, KCALL_MMAP, base, 400 * HUGE_PAGE, RW, ANON, 1);
    for (uint64_t i = 0; i < 3; i++)
        rig_touch(&g, base + i * HUGE_PAGE, KF_WRITE);
    rig_touch(&g, base, KF_WRITE);        /* a present page: not a filling */
    rig_touch(&g, base + PAGE, KF_WRITE); /* the oldest is the second one now */
    uint64_t second = rig_pfn(&g, base + HUGE_PAGE);
    CU_ASSERT_EQUAL(rig_touch(&g, base + 3 * HUGE_PAGE, KF_WRITE), FAULT_ANON_4K);
    CU_ASSERT_EQUAL(g.f.missed >> PAGE_SHIFT_2M & 1, 1); /* no block: a single frame */
    uint64_t n = 0;
    for (uint64_t i = 4; i < 400 && (rig_pfn(&g, base + (i - 1) * HUGE_PAGE) & ~511u) != second; i++, n++)
        rig_touch(&g, base + i * HUGE_PAGE, KF_WRITE);
    CU_ASSERT(n > 240 && n < 260); /* a page and a node each, 512 frames outside the reservations */
    rig_touch(&g, base + 2 * PAGE, KF_WRITE); /* the first one is whole still */
    CU_ASSERT_EQUAL(rig_pfn(&g, base + 2 * PAGE), rig_pfn(&g, base) + 2);
    rig_touch(&g, base + HUGE_PAGE + PAGE, KF_WRITE);
    CU_ASSERT_NOT_EQUAL(rig_pfn(&g, base + HUGE_PAGE + PAGE), second + 1);
    rig_close(&g);
}

static void pages_of_other_rights_are_not_promoted(void)
{
    struct rig g = rig_open((struct mm_config){.alloc = policy_index("reserve"), .thp = THP_ALWAYS});
    const uint64_t base = 16 * HUGE_PAGE;
    rig_call(&g, KCALL_MMAP, base, HUGE_PAGE, RW, ANON, 1);
    rig_touch(&g, base, KF_WRITE);
    rig_call(&g, KCALL_MPROTECT, base, PAGE, KPROT_READ, 0, 0);
    for (uint64_t i = 1; i < 512; i++)
        rig_touch(&g, base + i * PAGE, KF_WRITE);
    CU_ASSERT(!g.f.promoted);
    CU_ASSERT_EQUAL(rig_entry(&g, base).shift, 12);
    rig_close(&g);
}

/* ---- 1 GiB pages ----------------------------------------------------------------------------- */

static struct rig with_giants(uint64_t ngiants)
{
    return rig_open((struct mm_config){.thp = THP_ALWAYS, .page_1g = 1,
                                       .frames = {.nframes = 4 * BUDDY_GIANT_FRAMES, .ngiants = ngiants}});
}

static void an_area_gets_giants_while_the_pool_has_some(void)
{
    struct rig g = with_giants(2);
    rig_call(&g, KCALL_MMAP, 8 * GIANT_PAGE - HUGE_PAGE, 4 * GIANT_PAGE, RW, ANON, 1);
    uint64_t before = rig_used(&g);
    CU_ASSERT_EQUAL(rig_touch(&g, 8 * GIANT_PAGE - 1, KF_WRITE), FAULT_ANON_2M); /* not covered */
    CU_ASSERT_EQUAL(rig_used(&g), before + 512 + 2);
    CU_ASSERT_EQUAL(rig_touch(&g, 8 * GIANT_PAGE + 12345, KF_WRITE), FAULT_ANON_1G);
    CU_ASSERT_EQUAL(rig_entry(&g, 9 * GIANT_PAGE - 1).shift, 30);
    CU_ASSERT_EQUAL(rig_pfn(&g, 8 * GIANT_PAGE), 2 * BUDDY_GIANT_FRAMES);
    CU_ASSERT_EQUAL(g.r->zeroed_bytes, GIANT_PAGE);
    CU_ASSERT_EQUAL(rig_touch(&g, 9 * GIANT_PAGE, KF_WRITE), FAULT_ANON_1G);
    CU_ASSERT_EQUAL(rig_used(&g), before + 512 + 2); /* the pool counts as used */
    CU_ASSERT_EQUAL(rig_touch(&g, 10 * GIANT_PAGE, KF_WRITE), FAULT_ANON_2M);
    CU_ASSERT_EQUAL(g.f.missed, UINT32_C(1) << PAGE_SHIFT_1G);
    rig_call(&g, KCALL_MUNMAP, 8 * GIANT_PAGE, GIANT_PAGE, 0, 0, 0);
    CU_ASSERT_EQUAL(mm_buddy(g.m)->npool_free, 1);
    CU_ASSERT_EQUAL(rig_entry(&g, 9 * GIANT_PAGE).shift, 30);
    rig_call(&g, KCALL_MUNMAP, 0, 16 * GIANT_PAGE, 0, 0, 0);
    CU_ASSERT_EQUAL(mm_buddy(g.m)->npool_free, 2);
    CU_ASSERT_EQUAL(rig_used(&g), before);
    rig_close(&g);
}

static void a_giant_that_is_cut_leaves_the_pool(void)
{
    struct rig g = with_giants(1);
    rig_call(&g, KCALL_MMAP, 8 * GIANT_PAGE, GIANT_PAGE, RW, ANON, 1);
    rig_touch(&g, 8 * GIANT_PAGE, KF_WRITE);
    uint64_t before = rig_used(&g), first = rig_pfn(&g, 8 * GIANT_PAGE);
    rig_call(&g, KCALL_MUNMAP, 8 * GIANT_PAGE + 3 * HUGE_PAGE + 7 * PAGE, PAGE, 0, 0, 0);
    CU_ASSERT_EQUAL(rig_used(&g), before + 2 - 1); /* two nodes more, one page less */
    CU_ASSERT_EQUAL(rig_entry(&g, 8 * GIANT_PAGE + 2 * HUGE_PAGE).shift, 21);
    CU_ASSERT_EQUAL(rig_pfn(&g, 8 * GIANT_PAGE + 511 * HUGE_PAGE), first + 511 * 512);
    CU_ASSERT_EQUAL(rig_pfn(&g, 8 * GIANT_PAGE + 3 * HUGE_PAGE + 8 * PAGE), first + 3 * 512 + 8);
    rig_call(&g, KCALL_MPROTECT, 8 * GIANT_PAGE, GIANT_PAGE, KPROT_READ, 0, 0);
    CU_ASSERT(!pte_writable(rig_entry(&g, 8 * GIANT_PAGE + 500 * HUGE_PAGE).value));
    rig_call(&g, KCALL_MUNMAP, 8 * GIANT_PAGE, GIANT_PAGE, 0, 0, 0);
    CU_ASSERT_EQUAL(mm_buddy(g.m)->npool_free, 0);
    CU_ASSERT_EQUAL(mm_buddy(g.m)->nfree, mm_buddy(g.m)->cfg.nframes - BUDDY_BLOCK_FRAMES - 2);
    rig_close(&g);
}

static void mremap_moves_a_giant_whole_where_it_fits(void)
{
    struct rig g = with_giants(1);
    rig_call(&g, KCALL_MMAP, 8 * GIANT_PAGE, GIANT_PAGE, RW, ANON, 1);
    rig_touch(&g, 8 * GIANT_PAGE, KF_WRITE);
    uint64_t first = rig_pfn(&g, 8 * GIANT_PAGE);
    rig_call(&g, KCALL_MREMAP, 8 * GIANT_PAGE, GIANT_PAGE, 20 * GIANT_PAGE, GIANT_PAGE, 1);
    CU_ASSERT_EQUAL(rig_entry(&g, 20 * GIANT_PAGE).shift, 30);
    CU_ASSERT_EQUAL(rig_pfn(&g, 20 * GIANT_PAGE), first);
    CU_ASSERT_EQUAL(rig_entry(&g, 8 * GIANT_PAGE).value, 0);
    rig_call(&g, KCALL_MREMAP, 20 * GIANT_PAGE, GIANT_PAGE, 30 * GIANT_PAGE + HUGE_PAGE, GIANT_PAGE, 1);
    CU_ASSERT_EQUAL(rig_entry(&g, 30 * GIANT_PAGE + HUGE_PAGE).shift, 21);
    CU_ASSERT_EQUAL(rig_pfn(&g, 30 * GIANT_PAGE + 512 * HUGE_PAGE), first + 511 * 512);
    rig_close(&g);
}

UNIT_MAIN("mimicos/alloc", UNIT(each_policy_has_a_name_a_doc_and_a_page),
          UNIT(each_policy_gives_every_frame_once_and_back), UNIT(each_policy_uses_the_last_frame),
          UNIT(populating_an_area_equals_touching_it_in_order),
          UNIT(population_leaves_files_and_forbidden_areas_alone),
          UNIT(a_reservation_is_filled_in_place_and_promoted_at_the_512th_page),
          UNIT(the_reservation_filled_least_recently_is_broken_first),
          UNIT(pages_of_other_rights_are_not_promoted),
          UNIT(an_area_gets_giants_while_the_pool_has_some), UNIT(a_giant_that_is_cut_leaves_the_pool),
          UNIT(mremap_moves_a_giant_whole_where_it_fits))
