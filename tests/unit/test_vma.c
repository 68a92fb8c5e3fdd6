/* Areas: hand-made cuts, and random operations against a page-by-page map. */
#include "mimicos/vma.h"

#include <stdlib.h>
#include <string.h>

#include "mimicos/kernel_call.h"
#include "tests/unit/unit.h"

#define RW (KPROT_READ | KPROT_WRITE)
#define P PAGE_BYTES

static struct vma_set *fresh(uint32_t cap)
{
    struct vma_set *s = calloc(1, vma_set_bytes(cap));
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    vma_set_init(s, cap);
    return s;
}

static void unmapping_the_middle_leaves_two_areas_of_one_mapping(void)
{
    struct vma_set *s = fresh(16);
    CU_ASSERT_EQUAL(vma_add(s, 10 * P, 10 * P, RW, 0, 7), VMA_OK);
    CU_ASSERT_EQUAL(vma_remove(s, 14 * P, 2 * P), VMA_OK);
    CU_ASSERT_EQUAL(s->n, 2);
    CU_ASSERT_EQUAL(s->v[0].end, 14 * P);
    CU_ASSERT_EQUAL(s->v[1].start, 16 * P);
    CU_ASSERT_EQUAL(s->v[1].id, 7);
    CU_ASSERT_PTR_NULL(vma_find(s, 15 * P));
    CU_ASSERT_PTR_NOT_NULL(vma_find(s, 16 * P));
    free(s);
}

static void protecting_the_middle_makes_three_and_back_again_one(void)
{
    struct vma_set *s = fresh(16);
    vma_add(s, 10 * P, 10 * P, RW, 0, 7);
    CU_ASSERT_EQUAL(vma_protect(s, 12 * P, 3 * P, KPROT_READ), VMA_OK);
    CU_ASSERT_EQUAL(s->n, 3);
    CU_ASSERT_EQUAL(vma_find(s, 12 * P)->prot, KPROT_READ);
    CU_ASSERT_EQUAL(vma_find(s, 15 * P)->prot, RW);
    CU_ASSERT_EQUAL(vma_protect(s, 12 * P, 3 * P, RW), VMA_OK);
    CU_ASSERT_EQUAL(s->n, 1);
    vma_verify(s);
    free(s);
}

static void a_fixed_mapping_replaces_what_it_covers(void)
{
    struct vma_set *s = fresh(16);
    vma_add(s, 0, 10 * P, RW, 0, 1);
    CU_ASSERT_EQUAL(vma_add(s, 3 * P, 2 * P, KPROT_READ, VMA_FILE, 2), VMA_OK);
    CU_ASSERT_EQUAL(s->n, 3);
    CU_ASSERT_EQUAL(vma_find(s, 3 * P)->id, 2);
    CU_ASSERT_EQUAL(vma_find(s, 5 * P)->id, 1);
    free(s);
}

static void remap_moves_and_grows_with_the_old_rights(void)
{
    struct vma_set *s = fresh(16);
    vma_add(s, 10 * P, 4 * P, KPROT_READ, VMA_HUGEPAGE, 1);
    CU_ASSERT_EQUAL(vma_remap(s, 10 * P, 4 * P, 100 * P, 8 * P, 2), VMA_OK);
    CU_ASSERT_EQUAL(s->n, 1);
    CU_ASSERT_EQUAL(s->v[0].start, 100 * P);
    CU_ASSERT_EQUAL(s->v[0].end, 108 * P);
    CU_ASSERT_EQUAL(s->v[0].prot, KPROT_READ);
    CU_ASSERT_EQUAL(s->v[0].flags, VMA_HUGEPAGE);
    CU_ASSERT_EQUAL(vma_remap(s, 100 * P, 8 * P, 100 * P, 2 * P, 2), VMA_OK);
    CU_ASSERT_EQUAL(s->v[0].end, 102 * P);
    CU_ASSERT_EQUAL(vma_remap(s, 10 * P, P, 20 * P, P, 3), VMA_NONE);
    free(s);
}

static void the_heap_grows_as_one_area_and_shrinks(void)
{
    struct vma_set *s = fresh(16);
    CU_ASSERT_EQUAL(vma_brk(s, 50 * P, 52 * P + 5, 1), VMA_OK);
    CU_ASSERT_EQUAL(vma_brk(s, 52 * P + 5, 60 * P, 1), VMA_OK);
    CU_ASSERT_EQUAL(s->n, 1);
    CU_ASSERT_EQUAL(s->v[0].start, 50 * P);
    CU_ASSERT_EQUAL(s->v[0].end, 60 * P);
    CU_ASSERT_EQUAL(vma_brk(s, 60 * P, 51 * P, 1), VMA_OK);
    CU_ASSERT_EQUAL(s->v[0].end, 51 * P);
    free(s);
}

static void the_stack_grows_down_until_the_next_area(void)
{
    struct vma_set *s = fresh(16);
    vma_add(s, 5 * P, P, RW, 0, 1);
    vma_add(s, 20 * P, 2 * P, RW, VMA_GROWSDOWN, 2);
    CU_ASSERT_EQUAL(vma_grow_down(s, 20 * P, 8 * P), VMA_OK);
    CU_ASSERT_EQUAL(vma_find(s, 8 * P)->id, 2);
    CU_ASSERT_EQUAL(vma_grow_down(s, 8 * P, 5 * P), VMA_RANGE);
    free(s);
}

static void neighbours_of_equal_kind_cover_a_range_together(void)
{
    struct vma_set *s = fresh(16);
    vma_add(s, 0, 4 * P, RW, 0, 1);
    vma_add(s, 4 * P, 4 * P, RW, 0, 2);
    CU_ASSERT(vma_covers(s, 0, 8 * P));
    CU_ASSERT(!vma_covers(s, 0, 9 * P));
    vma_protect(s, 4 * P, P, KPROT_READ);
    CU_ASSERT(!vma_covers(s, 0, 8 * P));
    CU_ASSERT(vma_covers(s, P, 3 * P));
    CU_ASSERT(!vma_covers(s, 100 * P, 101 * P));
    free(s);
}

static void a_full_set_says_so_and_stays_as_it_was(void)
{
    struct vma_set *s = fresh(5);
    CU_ASSERT_EQUAL(vma_add(s, 10 * P, P, RW, 0, 1), VMA_OK);
    CU_ASSERT_EQUAL(vma_add(s, 20 * P, P, RW, 0, 2), VMA_OK);
    CU_ASSERT_EQUAL(vma_add(s, 30 * P, P, RW, 0, 3), VMA_OK);
    CU_ASSERT_EQUAL(vma_add(s, 40 * P, P, RW, 0, 4), VMA_FULL);
    CU_ASSERT_EQUAL(vma_remove(s, 10 * P, P), VMA_FULL);
    CU_ASSERT_EQUAL(s->n, 3);
    CU_ASSERT_EQUAL(vma_add(s, UINT64_MAX - 5, P, RW, 0, 4), VMA_RANGE);
    CU_ASSERT_EQUAL(vma_add(s, 0, 0, RW, 0, 4), VMA_RANGE);
    free(s);
}

enum { NPAGES = 200 };
struct page {
    uint32_t mapped, prot, flags, id;
};

static void compare(const struct vma_set *s, const struct page *map)
{
    vma_verify(s);
    for (uint64_t i = 0; i < NPAGES; i++) {
        const struct vma *v = vma_find(s, i * P + 123);
        CU_ASSERT_EQUAL(v != NULL, map[i].mapped != 0);
        if (v == NULL || !map[i].mapped)
            continue;
        CU_ASSERT_EQUAL(v->prot, map[i].prot);
        CU_ASSERT_EQUAL(v->flags, map[i].flags);
        CU_ASSERT_EQUAL(v->id, map[i].id);
    }
}

static uint64_t next_random(uint64_t *x)
{
    *x = *x * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return *x >> 33;
}

static void random_operations_agree_with_a_map_of_pages(void)
{
    struct vma_set *s = fresh(512);
    static struct page map[NPAGES], saved[NPAGES];
    uint64_t x = 11;
    for (int step = 0; step < 4000; step++) {
        uint64_t at = next_random(&x) % (NPAGES - 20), n = 1 + next_random(&x) % 20;
        uint32_t prot = (uint32_t)next_random(&x) % 4, flags = (uint32_t)next_random(&x) % 3;
        uint32_t id = 1 + (uint32_t)next_random(&x) % 3;
        uint64_t to = next_random(&x) % (NPAGES - 20), to_n = 1 + next_random(&x) % 20;
        switch (next_random(&x) % 5) {
        case 0:
            CU_ASSERT_EQUAL(vma_add(s, at * P, n * P, prot, flags, id), VMA_OK);
            for (uint64_t i = at; i < at + n; i++)
                map[i] = (struct page){1, prot, flags, id};
            break;
        case 1:
            CU_ASSERT_EQUAL(vma_remove(s, at * P, n * P), VMA_OK);
            memset(&map[at], 0, n * sizeof map[0]);
            break;
        case 2:
            CU_ASSERT_EQUAL(vma_protect(s, at * P, n * P, prot), VMA_OK);
            for (uint64_t i = at; i < at + n; i++)
                if (map[i].mapped)
                    map[i].prot = prot;
            break;
        case 3:
            CU_ASSERT_EQUAL(vma_advise(s, at * P, n * P, VMA_HUGEPAGE, VMA_FILE), VMA_OK);
            for (uint64_t i = at; i < at + n; i++)
                if (map[i].mapped)
                    map[i].flags = (map[i].flags & ~(uint32_t)VMA_FILE) | VMA_HUGEPAGE;
            break;
        default:
            memcpy(saved, map, sizeof map);
            CU_ASSERT_EQUAL(vma_remap(s, at * P, n * P, to * P, to_n * P, id),
                            map[at].mapped ? VMA_OK : VMA_NONE);
            if (!saved[at].mapped)
                break;
            memset(&map[at], 0, n * sizeof map[0]);
            for (uint64_t i = to; i < to + to_n; i++)
                map[i] = (struct page){1, saved[at].prot, saved[at].flags, id};
        }
        compare(s, map);
    }
    free(s);
}

UNIT_MAIN("mimicos/vma", UNIT(unmapping_the_middle_leaves_two_areas_of_one_mapping),
          UNIT(protecting_the_middle_makes_three_and_back_again_one),
          UNIT(a_fixed_mapping_replaces_what_it_covers),
          UNIT(remap_moves_and_grows_with_the_old_rights),
          UNIT(the_heap_grows_as_one_area_and_shrinks),
          UNIT(the_stack_grows_down_until_the_next_area),
          UNIT(neighbours_of_equal_kind_cover_a_range_together),
          UNIT(a_full_set_says_so_and_stays_as_it_was),
          UNIT(random_operations_agree_with_a_map_of_pages))
