/* Areas of one address space; see vma.h. */
#include "mimicos/vma.h"

#include <string.h>

#include "mimicos/kernel_call.h"
#include "pdes/err.h"

/* The most areas that one operation adds: two cuts and a new one. */
#define MAX_ADDED 3u

size_t vma_set_bytes(uint32_t cap) { return sizeof(struct vma_set) + cap * sizeof(struct vma); }

void vma_set_init(struct vma_set *s, uint32_t cap) { *s = (struct vma_set){.cap = cap}; }

/* ---- looking --------------------------------------------------------------------------------- */

uint32_t vma_lower(const struct vma_set *s, uint64_t addr)
{
    uint32_t lo = 0, hi = s->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (s->v[mid].end <= addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const struct vma *vma_find(const struct vma_set *s, uint64_t addr)
{
    uint32_t i = vma_lower(s, addr);
    return i < s->n && s->v[i].start <= addr ? &s->v[i] : NULL;
}

static bool same_kind(const struct vma *a, const struct vma *b)
{
    return a->prot == b->prot && a->flags == b->flags;
}

bool vma_covers(const struct vma_set *s, uint64_t start, uint64_t end)
{
    uint32_t i = vma_lower(s, start);
    if (i == s->n || s->v[i].start > start)
        return false;
    for (; s->v[i].end < end; i++)
        if (i + 1 == s->n || s->v[i + 1].start != s->v[i].end ||
            !same_kind(&s->v[i], &s->v[i + 1]))
            return false;
    return true;
}

/* Rounds outwards to pages. False: the range is empty or wraps. */
static bool to_pages(uint64_t *start, uint64_t *end, uint64_t len)
{
    uint64_t last = *start + len;
    if (len == 0 || last < *start || last > UINT64_MAX - PAGE_BYTES)
        return false;
    *start &= ~(PAGE_BYTES - 1);
    *end = (last + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
    return true;
}

bool vma_overlaps(const struct vma_set *s, uint64_t start, uint64_t len)
{
    uint64_t end;
    if (!to_pages(&start, &end, len))
        return false;
    uint32_t i = vma_lower(s, start);
    return i < s->n && s->v[i].start < end;
}

/* ---- changing -------------------------------------------------------------------------------- */

static void insert_at(struct vma_set *s, uint32_t i, struct vma v)
{
    memmove(&s->v[i + 1], &s->v[i], (s->n - i) * sizeof s->v[0]);
    s->v[i] = v;
    s->n++;
    if (s->n > s->high_water)
        s->high_water = s->n;
}

static void remove_range(struct vma_set *s, uint32_t first, uint32_t last)
{
    memmove(&s->v[first], &s->v[last], (s->n - last) * sizeof s->v[0]);
    s->n -= last - first;
}

/* Makes `addr` a border: an area that spans it becomes two. */
static void cut_at(struct vma_set *s, uint64_t addr)
{
    uint32_t i = vma_lower(s, addr);
    if (i == s->n || s->v[i].start >= addr)
        return;
    struct vma upper = s->v[i];
    upper.start = addr;
    s->v[i].end = addr;
    insert_at(s, i + 1, upper);
}

static bool joinable(const struct vma *a, const struct vma *b)
{
    return a->end == b->start && a->id == b->id && same_kind(a, b);
}

/* Joins equal pieces of one mapping in and around [start, end]. */
static void join(struct vma_set *s, uint64_t start, uint64_t end)
{
    uint32_t i = vma_lower(s, start);
    if (i > 0)
        i--;
    while (i + 1 < s->n && s->v[i].start <= end) {
        if (joinable(&s->v[i], &s->v[i + 1])) {
            s->v[i].end = s->v[i + 1].end;
            remove_range(s, i + 1, i + 2);
        } else {
            i++;
        }
    }
}

static enum vma_result open_range(struct vma_set *s, uint64_t *start, uint64_t *end, uint64_t len)
{
    if (!to_pages(start, end, len))
        return VMA_RANGE;
    if (s->n + MAX_ADDED > s->cap)
        return VMA_FULL;
    cut_at(s, *start);
    cut_at(s, *end);
    return VMA_OK;
}

enum vma_result vma_remove(struct vma_set *s, uint64_t start, uint64_t len)
{
    uint64_t end;
    enum vma_result r = open_range(s, &start, &end, len);
    if (r == VMA_OK)
        remove_range(s, vma_lower(s, start), vma_lower(s, end));
    return r;
}

enum vma_result vma_add(struct vma_set *s, uint64_t start, uint64_t len, uint32_t prot,
                        uint32_t flags, uint32_t id)
{
    uint64_t end;
    enum vma_result r = open_range(s, &start, &end, len);
    if (r != VMA_OK)
        return r;
    uint32_t i = vma_lower(s, start);
    remove_range(s, i, vma_lower(s, end));
    insert_at(s, i,
              (struct vma){.start = start, .end = end, .prot = prot, .flags = flags, .id = id});
    join(s, start, end);
    return VMA_OK;
}

enum vma_result vma_protect(struct vma_set *s, uint64_t start, uint64_t len, uint32_t prot)
{
    uint64_t end;
    enum vma_result r = open_range(s, &start, &end, len);
    if (r != VMA_OK)
        return r;
    for (uint32_t i = vma_lower(s, start); i < s->n && s->v[i].start < end; i++)
        s->v[i].prot = prot;
    join(s, start, end);
    return VMA_OK;
}

enum vma_result vma_advise(struct vma_set *s, uint64_t start, uint64_t len, uint32_t set,
                           uint32_t clear)
{
    uint64_t end;
    enum vma_result r = open_range(s, &start, &end, len);
    if (r != VMA_OK)
        return r;
    for (uint32_t i = vma_lower(s, start); i < s->n && s->v[i].start < end; i++)
        s->v[i].flags = (s->v[i].flags & ~clear) | set;
    join(s, start, end);
    return VMA_OK;
}

enum vma_result vma_remap(struct vma_set *s, uint64_t old, uint64_t old_len, uint64_t new,
                          uint64_t new_len, uint32_t id)
{
    const struct vma *v = vma_find(s, old);
    if (v == NULL)
        return VMA_NONE;
    struct vma kind = *v;
    if (new + new_len < new || new_len == 0 || (old_len != 0 && old + old_len < old))
        return VMA_RANGE;
    if (s->n + 2 * MAX_ADDED > s->cap)
        return VMA_FULL;
    if (old_len != 0) /* 0: Linux duplicates a shared mapping; the old one stays */
        vma_remove(s, old, old_len);
    return vma_add(s, new, new_len, kind.prot, kind.flags, id);
}

enum vma_result vma_grow_down(struct vma_set *s, uint64_t start, uint64_t new_start)
{
    uint32_t i = vma_lower(s, start);
    if (i == s->n || s->v[i].start != start)
        return VMA_NONE;
    if (new_start > start || (i > 0 && s->v[i - 1].end > new_start))
        return VMA_RANGE;
    s->v[i].start = new_start & ~(PAGE_BYTES - 1);
    return VMA_OK;
}

enum vma_result vma_brk(struct vma_set *s, uint64_t old_end, uint64_t new_end, uint32_t id)
{
    uint64_t old_page = (old_end + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
    uint64_t new_page = (new_end + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
    if (new_page < old_page)
        return vma_remove(s, new_page, old_page - new_page);
    if (new_page == old_page)
        return VMA_OK;
    return vma_add(s, old_page, new_page - old_page, KPROT_READ | KPROT_WRITE, VMA_HEAP, id);
}

void vma_verify(const struct vma_set *s)
{
    SIM_ASSERT(s->n <= s->cap, "%u areas of %u", s->n, s->cap);
    for (uint32_t i = 0; i < s->n; i++) {
        const struct vma *v = &s->v[i];
        SIM_ASSERT(v->start < v->end && ((v->start | v->end) & (PAGE_BYTES - 1)) == 0,
                   "area %u is [%#llx, %#llx)", i, (unsigned long long)v->start,
                   (unsigned long long)v->end);
        SIM_ASSERT(i == 0 || s->v[i - 1].end <= v->start, "areas %u and %u overlap", i - 1, i);
        SIM_ASSERT(i == 0 || !joinable(&s->v[i - 1], v), "areas %u and %u are one", i - 1, i);
    }
}
