/* See reloc_map.h: views and the events that come out. Placing is in reloc_place.c. */
#include "cores/reloc_map.h"

#include "mimicos/kernel_call.h"

#include <stdlib.h>
#include <string.h>

/* The recorded stack has its full size from the start; Linux begins with this much of it
 * (fs/exec.c: setup_arg_pages adds 128 KiB to the pages of the arguments). */
#define FIRST_STACK_BYTES (UINT64_C(33) << PAGE_SHIFT)

/* Map events of other threads that may happen while a thread is within one translation block. */
#define MAX_LOOK_AHEAD 256u

static uint64_t page_down(uint64_t x) { return x & ~(PAGE_BYTES - 1); }
static uint64_t page_up(uint64_t x) { return (x + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1); }

/* ---- collecting ------------------------------------------------------------------------------ */

bool reloc_map_add(struct reloc_map *m, uint32_t thread, const struct fe_event *ev)
{
    if (m->n == m->cap) {
        uint32_t cap = 2 * m->cap + 256;
        struct reloc_change *c = realloc(m->c, cap * sizeof *c);
        if (c == NULL)
            return false;
        m->c = c;
        m->cap = cap;
    }
    m->c[m->n++] = (struct reloc_change){.ev = *ev, .thread = thread, .npieces = 1};
    return true;
}

void reloc_map_free(struct reloc_map *m)
{
    free(m->c);
    free(m->ever.r);
    free(m->before);
    *m = (struct reloc_map){.c = NULL};
}

uint32_t reloc_map_upto(const struct reloc_map *m, uint64_t order)
{
    uint32_t lo = 0, hi = m->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (m->c[mid].ev.a[0] <= order)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

uint64_t reloc_map_order(const struct reloc_map *m, uint64_t order)
{
    uint32_t n = reloc_map_upto(m, order);
    return order + (n > 0 ? m->c[n - 1].extra : 0);
}

/* ---- views ----------------------------------------------------------------------------------- */

uint32_t reloc_view_at(const struct reloc_view *v, uint64_t addr)
{
    uint32_t lo = 0, hi = v->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (v->p[mid].end <= addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const struct reloc_piece *reloc_view_find(const struct reloc_view *v, uint64_t addr)
{
    uint32_t i = reloc_view_at(v, addr);
    return i < v->n && v->p[i].start <= addr ? &v->p[i] : NULL;
}

void reloc_view_free(struct reloc_view *v)
{
    free(v->p);
    *v = (struct reloc_view){.p = NULL};
}

/* Puts `with` in the place of what overlaps [start, end); the rests of cut pieces stay. */
static void put_piece(struct reloc_view *v, uint64_t start, uint64_t end,
                      const struct reloc_piece *with)
{
    struct reloc_piece add[3];
    uint32_t nadd = 0, first = reloc_view_at(v, start), last = first;
    while (last < v->n && v->p[last].start < end)
        last++;
    if (first < last && v->p[first].start < start)
        add[nadd++] = (struct reloc_piece){v->p[first].start, start, v->p[first].delta};
    if (with != NULL)
        add[nadd++] = *with;
    if (first < last && v->p[last - 1].end > end)
        add[nadd++] = (struct reloc_piece){end, v->p[last - 1].end, v->p[last - 1].delta};
    memmove(v->p + first + nadd, v->p + last, (v->n - last) * sizeof *v->p);
    memcpy(v->p + first, add, nadd * sizeof *add);
    v->n += nadd + first;
    v->n -= last;
}

static void join_at(struct reloc_view *v, uint32_t i)
{
    if (i == 0 || i >= v->n || v->p[i - 1].end != v->p[i].start ||
        v->p[i - 1].delta != v->p[i].delta)
        return;
    v->p[i - 1].end = v->p[i].end;
    memmove(v->p + i, v->p + i + 1, (v->n - i - 1) * sizeof *v->p);
    v->n--;
}

static void view_change(struct reloc_view *v, uint64_t start, uint64_t end, bool map, uint64_t delta)
{
    if (start >= end)
        return;
    if (v->n + 2 > v->cap) {
        v->cap = 2 * v->cap + 64;
        v->p = realloc(v->p, v->cap * sizeof *v->p);
        if (v->p == NULL)
            err_fatal(ERR_MEMORY, "no host memory for the memory map of a trace");
    }
    struct reloc_piece piece = {start, end, delta};
    put_piece(v, start, end, map ? &piece : NULL);
    uint32_t i = reloc_view_at(v, start);
    join_at(v, i + 1);
    join_at(v, i);
}

bool reloc_change_maps(const struct reloc_map *m, uint32_t i, uint64_t *start_out,
                       uint64_t *end_out)
{
    const struct reloc_change *c = &m->c[i];
    const uint64_t *a = c->ev.a;
    if ((c->flags & RELOC_IGNORED) != 0)
        return false;
    switch (c->ev.type) {
    case FE_MMAP:
        *start_out = page_down(a[1]);
        *end_out = page_up(a[1] + a[2]);
        return true;
    case FE_MREMAP:
        *start_out = page_down(a[3]);
        *end_out = page_up(a[3] + a[4]);
        return (c->flags & RELOC_STAYS) == 0;
    case FE_BRK:
        *start_out = page_up(a[1]);
        *end_out = page_up(a[2]);
        return a[2] > a[1];
    default:
        return false;
    }
}

bool reloc_change_unmaps(const struct reloc_map *m, uint32_t i, uint64_t *start_out,
                         uint64_t *end_out)
{
    const struct reloc_change *c = &m->c[i];
    const uint64_t *a = c->ev.a;
    if ((c->flags & RELOC_IGNORED) != 0)
        return false;
    *start_out = page_down(a[1]);
    *end_out = page_up(a[1] + a[2]);
    switch (c->ev.type) {
    case FE_MUNMAP:
        return true;
    case FE_MREMAP:
        if ((c->flags & RELOC_STAYS) != 0) /* shrinks in place */
            *start_out = page_up(a[1] + a[4]);
        return *start_out < *end_out;
    case FE_BRK:
        *start_out = page_up(a[2]);
        *end_out = page_up(a[1]);
        return a[2] < a[1];
    default:
        return false;
    }
}

static uint64_t mapped_from(const struct reloc_change *c)
{
    return c->ev.a[c->ev.type == FE_MREMAP ? 3 : 1];
}

static void make_change(const struct reloc_map *m, struct reloc_view *v, uint32_t i)
{
    const struct reloc_change *c = &m->c[i];
    uint64_t start, end;
    v->nchanges = i + 1;
    if (reloc_change_unmaps(m, i, &start, &end))
        view_change(v, start, end, false, 0);
    if (reloc_change_maps(m, i, &start, &end))
        view_change(v, start, end, true, c->to - mapped_from(c));
}

void reloc_view_set(const struct reloc_map *m, struct reloc_view *v, uint32_t nchanges)
{
    if (nchanges < v->nchanges)
        v->n = v->nchanges = 0;
    for (uint32_t i = v->nchanges; i < nchanges; i++)
        make_change(m, v, i);
}

/* ---- addresses in no piece ------------------------------------------------------------------- */

static uint64_t stray(const struct reloc_map *m, uint64_t addr)
{
    uint32_t i = layout_ranges_at(&m->ever, addr);
    if (m->before == NULL || i == m->ever.n || m->ever.r[i].start > addr)
        return addr;
    return m->stray_base + m->before[i] + (addr - m->ever.r[i].start);
}

/* Does a piece lie at the new address `to`? */
static bool in_use(const struct reloc_view *v, uint64_t to)
{
    for (uint32_t i = 0; i < v->n; i++)
        if (to - v->p[i].delta >= v->p[i].start && to - v->p[i].delta < v->p[i].end)
            return true;
    return false;
}

uint64_t reloc_map_outside(const struct reloc_map *m, const struct reloc_view *v, uint32_t limit,
                           uint64_t addr)
{
    uint64_t start, end;
    limit = (uint32_t)u64_min(limit, (uint64_t)v->nchanges + MAX_LOOK_AHEAD);
    for (uint32_t i = v->nchanges; i < limit; i++)
        if (reloc_change_maps(m, i, &start, &end) && addr >= start && addr < end) {
            uint64_t to = addr + m->c[i].to - mapped_from(&m->c[i]);
            return in_use(v, to) ? stray(m, addr) : to;
        }
    return stray(m, addr);
}

/* ---- events ---------------------------------------------------------------------------------- */

/* Writes the events of one change one after the other, or only counts them. */
struct writer {
    struct fe_event head; /* position and first order */
    struct fe_event *out;
    uint32_t n;
};

static void put(struct writer *w, uint16_t type, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                uint64_t a5)
{
    if (w->out != NULL) {
        struct fe_event *e = &w->out[w->n];
        *e = w->head;
        e->type = type;
        memcpy(e->a, (uint64_t[6]){w->head.a[0] + w->n, a1, a2, a3, a4, a5}, sizeof e->a);
    }
    w->n++;
}

/* What overlaps [start, end) and is not at `delta` gives way: a fixed mapping replaced it. */
static void put_replaced(struct writer *w, const struct reloc_view *v, uint64_t start, uint64_t end,
                         uint64_t delta)
{
    for (uint32_t i = reloc_view_at(v, start); i < v->n && v->p[i].start < end; i++) {
        uint64_t from = u64_max(start, v->p[i].start), to = u64_min(end, v->p[i].end);
        if (v->p[i].delta != delta)
            put(w, FE_MUNMAP, from + v->p[i].delta, to - from, 0, 0, 0);
    }
}

/* Number of the area, and how it got its place. */
static uint64_t with_outcome(const struct reloc_change *c)
{
    uint64_t id = c->ev.a[5] & ((UINT64_C(1) << LAYOUT_OUTCOME_SHIFT) - 1);
    return id | (uint64_t)c->outcome << LAYOUT_OUTCOME_SHIFT;
}

static void put_mmap(struct writer *w, const struct reloc_view *v, const struct reloc_change *c)
{
    const uint64_t *a = c->ev.a;
    uint64_t to = c->to, bytes = a[2], flags = a[4];
    put_replaced(w, v, page_down(a[1]), page_up(a[1] + a[2]), c->to - a[1]);
    if ((c->flags & RELOC_STACK) != 0) {
        flags |= KMAP_GROWSDOWN;
        uint64_t first = u64_min(page_up(bytes), FIRST_STACK_BYTES);
        to += page_up(bytes) - first;
        bytes = first;
    }
    put(w, FE_MMAP, to, bytes, a[3], flags, with_outcome(c));
}

/* munmap, mprotect, madvise: one call for each piece; where nothing is mapped it fails again. */
static void put_range(struct writer *w, const struct reloc_map *m, const struct reloc_view *v,
                      const struct reloc_change *c)
{
    const uint64_t *a = c->ev.a;
    uint64_t start = page_down(a[1]), end = page_up(a[1] + a[2]);
    for (uint32_t i = reloc_view_at(v, start); i < v->n && v->p[i].start < end; i++) {
        uint64_t from = u64_max(start, v->p[i].start), to = u64_min(end, v->p[i].end);
        put(w, c->ev.type, from + v->p[i].delta, to - from, a[3], a[4], a[5]);
    }
    if (w->n == 0)
        put(w, c->ev.type, stray(m, a[1]), a[2], a[3], a[4], a[5]);
}

static void put_mremap(struct writer *w, const struct reloc_map *m, const struct reloc_view *v,
                       const struct reloc_change *c)
{
    const uint64_t *a = c->ev.a;
    uint64_t start = page_down(a[1]), end = page_up(a[1] + a[2]), new_bytes = page_up(a[4]);
    uint64_t id = with_outcome(c);
    bool found = false;
    if (a[1] != a[3])
        put_replaced(w, v, page_down(a[3]), page_up(a[3] + a[4]), c->to - a[3]);
    for (uint32_t i = reloc_view_at(v, start); i < v->n && v->p[i].start < end; i++) {
        uint64_t from = u64_max(start, v->p[i].start), to = u64_min(end, v->p[i].end);
        uint64_t at = from - start, delta = v->p[i].delta;
        bool last = to == end || i + 1 == v->n || v->p[i + 1].start >= end;
        found = true;
        if (at >= new_bytes) {
            put(w, FE_MUNMAP, from + delta, to - from, 0, 0, 0);
            continue;
        }
        bool stays = (c->flags & RELOC_STAYS) != 0;
        uint64_t left = new_bytes - at;
        put(w, FE_MREMAP, from + delta, to - from, stays ? from + delta : c->to + at,
            last && !stays ? left : u64_min(left, to - from), id);
    }
    if (!found)
        put(w, FE_MREMAP, stray(m, a[1]), a[2], c->to, a[4], id);
}

uint32_t reloc_map_rewrite(const struct reloc_map *m, const struct reloc_view *v, uint32_t i,
                           struct fe_event *out)
{
    const struct reloc_change *c = &m->c[i];
    const uint64_t *a = c->ev.a;
    struct writer w = {.head = c->ev, .out = out};
    w.head.a[0] += i > 0 ? m->c[i - 1].extra : 0;
    if ((c->flags & RELOC_IGNORED) != 0)
        put(&w, c->ev.type, a[1], a[2], a[3], a[4], a[5]);
    else if (c->ev.type == FE_MMAP)
        put_mmap(&w, v, c);
    else if (c->ev.type == FE_MREMAP)
        put_mremap(&w, m, v, c);
    else if (c->ev.type == FE_BRK)
        put(&w, FE_BRK, c->to, c->to + (a[2] - a[1]), a[3], a[4], a[5]);
    else
        put_range(&w, m, v, c);
    return w.n;
}
