/* See layout.h. */
#include "mimicos/layout.h"

#include "pdes/rng.h"

#include <stdlib.h>
#include <string.h>

#define HUGE_BYTES (UINT64_C(1) << PAGE_SHIFT_2M)
#define STACK_GUARD_BYTES (UINT64_C(256) << PAGE_SHIFT) /* mm/mmap.c: stack_guard_gap */
#define LEAST_GAP_BYTES (UINT64_C(128) << 20)
#define BOTTOM_UP_BASE ((LAYOUT_TASK_SIZE / 3 + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1))

const char *const layout_mode_words[] = {"recorded", "linux", NULL};
const char *const layout_align_words[] = {"never", "multiples", "large", NULL};

/* ---- sets of ranges -------------------------------------------------------------------------- */

uint32_t layout_ranges_at(const struct layout_ranges *s, uint64_t at)
{
    uint32_t lo = 0, hi = s->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (s->r[mid].end <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool make_room(struct layout_ranges *s)
{
    if (s->n + 1 < s->cap)
        return true;
    uint32_t cap = 2 * s->cap + 64;
    struct layout_range *r = realloc(s->r, cap * sizeof *r);
    if (r == NULL)
        return false;
    s->r = r;
    s->cap = cap;
    return true;
}

/* Puts `with`, if any, in the place of ranges [first, last). */
static void replace(struct layout_ranges *s, uint32_t first, uint32_t last,
                    const struct layout_range *with, uint32_t nwith)
{
    memmove(s->r + first + nwith, s->r + last, (s->n - last) * sizeof *s->r);
    if (nwith > 0)
        memcpy(s->r + first, with, nwith * sizeof *with);
    s->n += first + nwith;
    s->n -= last;
}

bool layout_ranges_add(struct layout_ranges *s, uint64_t start, uint64_t end)
{
    if (start >= end)
        return true;
    if (!make_room(s))
        return false;
    uint32_t first = layout_ranges_at(s, start), last;
    if (first > 0 && s->r[first - 1].end == start)
        first--;
    struct layout_range sum = {start, end};
    for (last = first; last < s->n && s->r[last].start <= end; last++) {
        sum.start = u64_min(sum.start, s->r[last].start);
        sum.end = u64_max(sum.end, s->r[last].end);
    }
    replace(s, first, last, &sum, 1);
    return true;
}

bool layout_ranges_remove(struct layout_ranges *s, uint64_t start, uint64_t end)
{
    struct layout_range left[2];
    uint32_t nleft = 0, first = layout_ranges_at(s, start), last = first;
    if (start >= end)
        return true;
    if (!make_room(s))
        return false;
    for (; last < s->n && s->r[last].start < end; last++) {
        struct layout_range r = s->r[last];
        if (r.start < start)
            left[nleft++] = (struct layout_range){r.start, start};
        if (r.end > end)
            left[nleft++] = (struct layout_range){end, r.end};
    }
    replace(s, first, last, left, nleft);
    return true;
}

uint64_t layout_ranges_highest_gap(const struct layout_ranges *s, uint64_t bytes, uint64_t low,
                                   uint64_t high)
{
    uint32_t i = layout_ranges_at(s, high);
    uint64_t top = i < s->n ? u64_min(high, s->r[i].start) : high;
    for (;; i--) {
        uint64_t bottom = i > 0 ? u64_max(low, s->r[i - 1].end) : low;
        if (top > bottom && top - bottom >= bytes)
            return top - bytes;
        if (i == 0 || s->r[i - 1].start <= low)
            return 0;
        top = u64_min(top, s->r[i - 1].start);
    }
}

static uint64_t lowest_gap(const struct layout_ranges *s, uint64_t bytes, uint64_t low, uint64_t high)
{
    uint64_t bottom = low;
    for (uint32_t i = layout_ranges_at(s, low); i < s->n; i++) {
        if (s->r[i].start > bottom && s->r[i].start - bottom >= bytes)
            break;
        bottom = s->r[i].end;
    }
    return bottom <= high && high - bottom >= bytes ? bottom : 0;
}

/* ---- the address space ----------------------------------------------------------------------- */

enum draw { DRAW_STACK, DRAW_MMAP, DRAW_PROGRAM, DRAW_BRK };
#define RNG_KIND_LAYOUT UINT64_C(0x6c61796f7574) /* "layout" */

static uint64_t random_pages(const struct layout *l, enum draw what, uint64_t bits)
{
    if (l->p.seed == 0 || bits == 0)
        return 0;
    uint64_t x = rng_draw(l->p.seed, RNG_KIND_LAYOUT, l->instance, what, 0);
    return x >> (64 - bits) << PAGE_SHIFT;
}

void layout_init(struct layout *l, const struct layout_params *p, uint64_t stack_limit,
                 uint64_t instance)
{
    *l = (struct layout){.p = *p, .instance = instance};
    uint64_t shift = p->seed == 0 ? 0 : ((UINT64_C(1) << p->stack_bits) - 1) << PAGE_SHIFT;
    uint64_t gap = stack_limit + STACK_GUARD_BYTES + shift;
    gap = u64_min(u64_max(gap, LEAST_GAP_BYTES), LAYOUT_TASK_SIZE / 6 * 5);
    l->stack_top = LAYOUT_TASK_SIZE - random_pages(l, DRAW_STACK, p->stack_bits);
    l->mmap_base = LAYOUT_TASK_SIZE - gap - random_pages(l, DRAW_MMAP, p->mmap_bits);
    l->mmap_base = (l->mmap_base + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

void layout_free(struct layout *l)
{
    free(l->used.r);
    l->used = (struct layout_ranges){.r = NULL};
}

/* The highest gap below the mmap base, or else, as Linux, the lowest one from a third upwards. */
static uint64_t find_gap(const struct layout *l, uint64_t bytes)
{
    uint64_t at = layout_ranges_highest_gap(&l->used, bytes, LAYOUT_MIN_ADDRESS, l->mmap_base);
    return at != 0 ? at : lowest_gap(&l->used, bytes, BOTTOM_UP_BASE, LAYOUT_TASK_SIZE);
}

static bool wants_alignment(const struct layout *l, uint64_t bytes, enum layout_kind kind)
{
    if (bytes < HUGE_BYTES || kind == LAYOUT_SHARED_MEMORY)
        return false;
    if (kind == LAYOUT_FILE || l->p.thp_align != LAYOUT_ALIGN_MULTIPLES)
        return l->p.thp_align != LAYOUT_ALIGN_NEVER;
    return bytes % HUGE_BYTES == 0;
}

uint64_t layout_find(const struct layout *l, uint64_t bytes, enum layout_kind kind,
                     bool *aligned_out)
{
    *aligned_out = false;
    if (bytes == 0 || bytes > LAYOUT_TASK_SIZE)
        return 0;
    if (wants_alignment(l, bytes, kind)) {
        uint64_t at = find_gap(l, bytes + HUGE_BYTES);
        *aligned_out = at != 0;
        if (at != 0)
            return (at + HUGE_BYTES) & ~(HUGE_BYTES - 1);
    }
    return find_gap(l, bytes);
}

uint64_t layout_program(const struct layout *l)
{
    return LAYOUT_PIE_BASE + random_pages(l, DRAW_PROGRAM, l->p.mmap_bits);
}

uint64_t layout_brk_gap(const struct layout *l)
{
    uint64_t npages = l->p.brk_size >> PAGE_SHIFT;
    if (l->p.seed == 0 || npages == 0)
        return 0;
    return rng_below(rng_draw(l->p.seed, RNG_KIND_LAYOUT, l->instance, DRAW_BRK, 0), npages)
           << PAGE_SHIFT;
}

bool layout_take(struct layout *l, uint64_t start, uint64_t bytes)
{
    return layout_ranges_add(&l->used, start, start + bytes);
}

bool layout_release(struct layout *l, uint64_t start, uint64_t bytes)
{
    return layout_ranges_remove(&l->used, start, start + bytes);
}

bool layout_is_free(const struct layout *l, uint64_t start, uint64_t bytes)
{
    if (start < LAYOUT_MIN_ADDRESS || start >= LAYOUT_TASK_SIZE || bytes > LAYOUT_TASK_SIZE - start)
        return false;
    uint32_t i = layout_ranges_at(&l->used, start);
    return i == l->used.n || l->used.r[i].start >= start + bytes;
}
