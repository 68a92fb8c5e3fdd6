/* Places the areas of a trace, map event by map event; see reloc_map.h. */
#include "cores/reloc_map.h"

#include "mimicos/kernel_call.h"

#include <stdlib.h>

#define QEMU_DYNAMIC_BASE (UINT64_C(1) << 38) /* QEMU puts what may lie anywhere here or above */
#define KMAP_FIXED_NOREPLACE 0x100000u
#define MAX_LOOK_BACK 4096u /* changes; for a fixed mapping where nothing is mapped now */

static uint64_t page_down(uint64_t x) { return x & ~(PAGE_BYTES - 1); }
static uint64_t page_up(uint64_t x) { return (x + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1); }

/* State of the pass. `v` is the view before the change in hand. */
struct placing {
    struct reloc_map *m;
    const char *path;
    struct layout l;
    struct reloc_view v;
    uint32_t nfirst; /* changes of the initial map */
    uint64_t program_delta, heap_delta;
    bool heap_known;
    bool heap_follows; /* the heap lies behind the program; else it has a place of its own */
};

static enum err no_memory(const struct placing *x)
{
    return err_log(ERR_MEMORY, "%s: no host memory to place the areas of the trace", x->path);
}

static enum err no_place(const struct placing *x, uint32_t i, const char *why)
{
    const struct reloc_change *c = &x->m->c[i];
    return err_log(ERR_TRACE,
                   "%s: map event %llu of thread %u (%#llx, %#llx) finds no place as Linux would lay it "
                   "out: %s; os.layout=recorded keeps the recorded addresses",
                   x->path, (unsigned long long)c->ev.a[0], c->thread, (unsigned long long)c->ev.a[1],
                   (unsigned long long)c->ev.a[2], why);
}

/* ---- which events are sound ------------------------------------------------------------------ */

static int by_order(const void *pa, const void *pb)
{
    const struct reloc_change *a = pa, *b = pb;
    return (a->ev.a[0] > b->ev.a[0]) - (a->ev.a[0] < b->ev.a[0]);
}

static bool sound_range(uint64_t start, uint64_t bytes)
{
    return bytes > 0 && start < LAYOUT_TASK_SIZE && bytes <= LAYOUT_TASK_SIZE - start;
}

static bool is_sound(const struct fe_event *e)
{
    const uint64_t *a = e->a;
    switch (e->type) {
    case FE_BRK:
        return a[1] <= LAYOUT_TASK_SIZE && a[2] <= LAYOUT_TASK_SIZE;
    case FE_MREMAP:
        return sound_range(a[1], a[2]) && sound_range(a[3], a[4]) &&
               ((a[1] | a[3]) & (PAGE_BYTES - 1)) == 0 &&
               (a[1] == a[3] || a[1] + a[2] <= a[3] || a[3] + a[4] <= a[1]);
    default:
        return sound_range(a[1], a[2]) && (a[1] & (PAGE_BYTES - 1)) == 0;
    }
}

/* ---- taking and releasing -------------------------------------------------------------------- */

static bool take(struct placing *x, uint64_t start, uint64_t bytes)
{
    return layout_take(&x->l, start, bytes) &&
           layout_ranges_add(&x->m->ever, start, start + bytes);
}

/* What the pieces of [start, end) occupy is free again. */
static bool release_pieces(struct placing *x, uint64_t start, uint64_t end)
{
    bool ok = true;
    for (uint32_t i = reloc_view_at(&x->v, start); i < x->v.n && x->v.p[i].start < end && ok; i++) {
        uint64_t from = u64_max(start, x->v.p[i].start), to = u64_min(end, x->v.p[i].end);
        ok = layout_release(&x->l, from + x->v.p[i].delta, to - from);
    }
    return ok;
}

/*
 * May [start, end) lie at `delta`? All of it is free, or is where pieces lie that the range replaces
 * and that have this very distance.
 */
static bool fits(const struct placing *x, uint64_t start, uint64_t end, uint64_t delta)
{
    uint64_t at = start;
    for (uint32_t i = reloc_view_at(&x->v, start); i < x->v.n && x->v.p[i].start < end; i++) {
        const struct reloc_piece *p = &x->v.p[i];
        if (p->delta != delta)
            continue;
        if (p->start > at && !layout_is_free(&x->l, at + delta, p->start - at))
            return false;
        at = p->end;
    }
    return at >= end || layout_is_free(&x->l, at + delta, end - at);
}

/* ---- single calls ---------------------------------------------------------------------------- */

static enum layout_kind kind_of(uint64_t flags)
{
    if ((flags & KMAP_ANONYMOUS) == 0)
        return LAYOUT_FILE;
    return (flags & KMAP_SHARED) != 0 ? LAYOUT_SHARED_MEMORY : LAYOUT_ANONYMOUS;
}

static bool search(struct placing *x, struct reloc_change *c, uint64_t bytes, enum layout_kind kind)
{
    bool aligned;
    c->to = layout_find(&x->l, bytes, kind, &aligned);
    c->outcome = aligned ? LAYOUT_ALIGNED : LAYOUT_SEARCHED;
    return c->to != 0;
}

static const struct reloc_piece *first_overlap(const struct placing *x, uint64_t start, uint64_t end)
{
    uint32_t i = reloc_view_at(&x->v, start);
    return i < x->v.n && x->v.p[i].start < end ? &x->v.p[i] : NULL;
}

/* The distance of the last area that held `addr` and is gone. */
static bool last_delta(const struct placing *x, uint32_t i, uint64_t addr, uint64_t *delta_out)
{
    uint64_t start, end;
    for (uint32_t n = 0; n < MAX_LOOK_BACK && i-- > 0; n++)
        if (reloc_change_maps(x->m, i, &start, &end) && addr >= start && addr < end) {
            const struct reloc_change *c = &x->m->c[i];
            *delta_out = c->to - c->ev.a[c->ev.type == FE_MREMAP ? 3 : 1];
            return true;
        }
    return false;
}

static bool at_delta(const struct placing *x, struct reloc_change *c, uint64_t start, uint64_t end,
                     uint64_t delta, enum layout_outcome outcome)
{
    if (!fits(x, start, end, delta))
        return false;
    c->to = start + delta;
    c->outcome = (uint8_t)outcome;
    return true;
}

/* A fixed mapping: with the area that it lies in, or where one lay, or where it was recorded. */
static bool stay_beside(const struct placing *x, uint32_t i, struct reloc_change *c, uint64_t start,
                        uint64_t end)
{
    const struct reloc_piece *inside = reloc_view_find(&x->v, start);
    const struct reloc_piece *p = inside != NULL ? inside : first_overlap(x, start, end);
    uint64_t delta;
    if (p != NULL && at_delta(x, c, start, end, p->delta, LAYOUT_FIXED))
        return true;
    if (last_delta(x, i, start, &delta) && at_delta(x, c, start, end, delta, LAYOUT_FIXED))
        return true;
    return at_delta(x, c, start, end, 0, LAYOUT_KEPT);
}

static enum err settle(struct placing *x, uint32_t i, uint64_t start, uint64_t end)
{
    struct reloc_change *c = &x->m->c[i];
    if (!release_pieces(x, start, end) || !take(x, c->to, end - start))
        return no_memory(x);
    return ERR_OK;
}

static enum err place_mmap(struct placing *x, uint32_t i)
{
    struct reloc_change *c = &x->m->c[i];
    const uint64_t *a = c->ev.a;
    uint64_t start = a[1], end = page_up(a[1] + a[2]);
    enum layout_kind kind = kind_of(a[4]);
    bool fixed = (a[4] & (KMAP_FIXED | KMAP_FIXED_NOREPLACE)) != 0;
    if (kind == LAYOUT_SHARED_MEMORY && first_overlap(x, start, end) == NULL)
        fixed = false; /* shmat is recorded as fixed, wherever the system put it */
    bool placed = c->outcome == LAYOUT_EXEC || (fixed && stay_beside(x, i, c, start, end)) ||
                  search(x, c, end - start, kind);
    return placed ? settle(x, i, start, end) : no_place(x, i, "no gap is large enough");
}

/* The one piece that holds all of [start, end); NULL: none, or several. */
static const struct reloc_piece *whole_piece(const struct placing *x, uint64_t start, uint64_t end)
{
    const struct reloc_piece *p = reloc_view_find(&x->v, start);
    return p != NULL && p->end >= end ? p : NULL;
}

static bool place_moved(struct placing *x, struct reloc_change *c)
{
    const uint64_t *a = c->ev.a;
    uint64_t old_end = page_up(a[1] + a[2]), old = old_end - a[1], bytes = page_up(a[4]);
    const struct reloc_piece *p = whole_piece(x, a[1], old_end);
    const struct reloc_piece *target = a[1] != a[3] ? first_overlap(x, a[3], a[3] + bytes) : NULL;
    if (target != NULL && at_delta(x, c, a[3], a[3] + bytes, target->delta, LAYOUT_FIXED))
        return true;
    if (p != NULL && bytes > old && layout_is_free(&x->l, old_end + p->delta, bytes - old)) {
        c->to = a[1] + p->delta;
        c->outcome = LAYOUT_FIXED;
        return true;
    }
    return search(x, c, bytes, LAYOUT_ANONYMOUS);
}

static enum err place_mremap(struct placing *x, uint32_t i)
{
    struct reloc_change *c = &x->m->c[i];
    const uint64_t *a = c->ev.a;
    uint64_t old_end = page_up(a[1] + a[2]), new_end = page_up(a[3] + a[4]);
    if (a[1] == a[3] && new_end <= old_end) {
        c->flags |= RELOC_STAYS;
        c->outcome = LAYOUT_FIXED;
        return release_pieces(x, new_end, old_end) ? ERR_OK : no_memory(x);
    }
    if (!place_moved(x, c))
        return no_place(x, i, "no gap is large enough");
    if (!release_pieces(x, a[1], old_end))
        return no_memory(x);
    return settle(x, i, a[3], new_end);
}

/* The heap begins a random distance above the program. */
static void find_heap(struct placing *x, uint64_t start)
{
    uint64_t gap = layout_brk_gap(&x->l);
    if (x->heap_follows)
        x->heap_delta = x->program_delta + gap;
    else /* a static position-independent program lies among the libraries; its heap does not */
        x->heap_delta = LAYOUT_PIE_BASE + gap - page_down(start);
    x->heap_known = true;
}

static enum err place_brk(struct placing *x, uint32_t i)
{
    struct reloc_change *c = &x->m->c[i];
    uint64_t start = page_up(c->ev.a[1]), end = page_up(c->ev.a[2]);
    if (!x->heap_known)
        find_heap(x, c->ev.a[1]);
    c->to = c->ev.a[1] + x->heap_delta;
    if (end <= start)
        return release_pieces(x, end, start) ? ERR_OK : no_memory(x);
    if (!layout_is_free(&x->l, start + x->heap_delta, end - start))
        return no_place(x, i, "the heap runs into another area");
    return take(x, start + x->heap_delta, end - start) ? ERR_OK : no_memory(x);
}

static enum err place(struct placing *x, uint32_t i)
{
    struct reloc_change *c = &x->m->c[i];
    const uint64_t *a = c->ev.a;
    switch (c->ev.type) {
    case FE_MMAP:
        return place_mmap(x, i);
    case FE_MREMAP:
        return place_mremap(x, i);
    case FE_BRK:
        return place_brk(x, i);
    case FE_MUNMAP:
        return release_pieces(x, a[1], page_up(a[1] + a[2])) ? ERR_OK : no_memory(x);
    default:
        return ERR_OK;
    }
}

/* ---- the initial map ------------------------------------------------------------------------- */

static const uint64_t *args(const struct placing *x, uint32_t i) { return x->m->c[i].ev.a; }
static uint64_t end_of(const struct placing *x, uint32_t i)
{
    return page_up(args(x, i)[1] + args(x, i)[2]);
}

/* Leading fixed mappings; the loader's first own call is never one. */
static uint32_t count_first(const struct placing *x)
{
    uint32_t n = 0;
    while (n < x->m->n && x->m->c[n].ev.type == FE_MMAP && x->m->c[n].flags == 0 &&
           (args(x, n)[4] & KMAP_FIXED) != 0)
        n++;
    return n;
}

/* The writable anonymous mapping right above an inaccessible one (its guard); nfirst: none. */
static uint32_t find_stack(const struct placing *x)
{
    for (uint32_t i = 0; i + 1 < x->nfirst; i++) {
        const uint64_t *g = args(x, i), *s = args(x, i + 1);
        if (g[3] == 0 && (g[4] & s[4] & KMAP_ANONYMOUS) != 0 && end_of(x, i) == s[1] &&
            (s[3] & KPROT_WRITE) != 0)
            return i + 1;
    }
    return x->nfirst;
}

/* End of the program as the first brk tells it; 0: no brk. */
static uint64_t heap_start(const struct placing *x)
{
    for (uint32_t i = 0; i < x->m->n; i++)
        if (x->m->c[i].ev.type == FE_BRK)
            return page_up(args(x, i)[1]);
    return 0;
}

/* Is mapping `i` of the initial map on the program's side of the stack? */
static bool in_program(const struct placing *x, uint32_t i, uint32_t stack, bool above)
{
    if (stack == x->nfirst)
        return true;
    return (args(x, i)[1] > args(x, stack)[1]) == above;
}

struct extent {
    uint64_t low, high;
};

static void extend(struct extent *e, uint64_t start, uint64_t end)
{
    e->low = u64_min(e->low, start);
    e->high = u64_max(e->high, end);
}

static void place_group(struct placing *x, uint32_t i, uint64_t delta)
{
    x->m->c[i].to = args(x, i)[1] + delta;
    x->m->c[i].outcome = LAYOUT_EXEC;
}

static void place_stack(struct placing *x, uint32_t stack)
{
    uint64_t delta = x->l.stack_top - end_of(x, stack);
    place_group(x, stack, delta);
    place_group(x, stack - 1, delta);
    x->m->c[stack].flags = RELOC_STACK;
}

/* vvar and vdso come after the loader (arch_setup_additional_pages); no trace accesses them. */
static bool take_vdso(struct placing *x)
{
    bool aligned;
    uint64_t at = layout_find(&x->l, LAYOUT_VDSO_BYTES, LAYOUT_ANONYMOUS, &aligned);
    return layout_take(&x->l, at, LAYOUT_VDSO_BYTES);
}

/*
 * Program below or above the stack, whichever side the heap begins on; the rest is the loader. The
 * program is placed first, as in load_elf_binary.
 */
static enum err place_first(struct placing *x)
{
    uint32_t stack = find_stack(x);
    uint64_t heap = heap_start(x);
    bool above = stack < x->nfirst && heap != 0 && heap > end_of(x, stack);
    struct extent program = {UINT64_MAX, 0}, loader = {UINT64_MAX, 0};
    for (uint32_t i = 0; i < x->nfirst; i++)
        if (i != stack && i + 1 != stack)
            extend(in_program(x, i, stack, above) ? &program : &loader, args(x, i)[1], end_of(x, i));
    bool fixed = program.low < QEMU_DYNAMIC_BASE, aligned;
    x->heap_follows = fixed || loader.high != 0;
    if (stack < x->nfirst)
        place_stack(x, stack);
    uint64_t at = program.low;
    if (!fixed && program.high != 0)
        at = loader.high != 0 ? layout_program(&x->l)
                       : layout_find(&x->l, program.high - program.low, LAYOUT_FILE, &aligned);
    if (program.high != 0 && !layout_is_free(&x->l, at, program.high - program.low))
        return no_place(x, 0, "the program is too large");
    x->program_delta = program.high != 0 ? at - program.low : 0;
    if (program.high != 0 && !layout_take(&x->l, at, program.high - program.low))
        return no_memory(x);
    uint64_t loader_at = loader.high == 0 ? 0
                         : layout_find(&x->l, loader.high - loader.low, LAYOUT_FILE, &aligned);
    if (loader.high != 0 && loader_at == 0)
        return no_place(x, 0, "the loader is too large");
    for (uint32_t i = 0; i < x->nfirst; i++)
        if (i != stack && i + 1 != stack)
            place_group(x, i, in_program(x, i, stack, above) ? x->program_delta
                                                             : loader_at - loader.low);
    if (program.high != 0 && !layout_release(&x->l, at, program.high - program.low))
        return no_memory(x); /* each mapping takes its own part */
    return ERR_OK;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static enum err sort_changes(struct placing *x)
{
    struct reloc_map *m = x->m;
    if (m->n > 0)
        qsort(m->c, m->n, sizeof *m->c, by_order);
    for (uint32_t i = 0; i < m->n; i++) {
        if (i > 0 && m->c[i].ev.a[0] == m->c[i - 1].ev.a[0])
            return err_log(ERR_TRACE, "%s: threads %u and %u both have map event %llu", x->path,
                           m->c[i - 1].thread, m->c[i].thread, (unsigned long long)m->c[i].ev.a[0]);
        m->c[i].flags = is_sound(&m->c[i].ev) ? 0 : RELOC_IGNORED;
    }
    return ERR_OK;
}

/* Strays that stand where an area ever lies move into one gap below the programs. */
static enum err place_strays(struct placing *x)
{
    struct reloc_map *m = x->m;
    uint64_t sum = 0;
    m->before = calloc((size_t)m->ever.n + 1, sizeof *m->before);
    if (m->before == NULL)
        return no_memory(x);
    for (uint32_t i = 0; i < m->ever.n; i++) {
        m->before[i] = sum;
        sum += m->ever.r[i].end - m->ever.r[i].start;
    }
    m->stray_base = layout_ranges_highest_gap(&m->ever, sum, LAYOUT_MIN_ADDRESS, LAYOUT_PIE_BASE);
    if (m->n > 0 && m->stray_base == 0)
        return err_log(ERR_TRACE, "%s: the areas of the trace fill the address space; "
                       "os.layout=recorded keeps the recorded addresses", x->path);
    return ERR_OK;
}

static enum err place_all(struct placing *x)
{
    struct reloc_map *m = x->m;
    enum err e = sort_changes(x);
    uint64_t extra = 0;
    if (e == ERR_OK) {
        x->nfirst = count_first(x);
        e = place_first(x);
    }
    for (uint32_t i = 0; i < m->n && e == ERR_OK; i++) {
        struct reloc_change *c = &m->c[i];
        if (i == x->nfirst && i > 0 && !take_vdso(x))
            return no_memory(x);
        if ((c->flags & RELOC_IGNORED) == 0)
            e = place(x, i);
        if (e != ERR_OK)
            break;
        uint32_t npieces = reloc_map_rewrite(m, &x->v, i, NULL);
        c->npieces = (uint16_t)npieces;
        if (c->npieces != npieces)
            return no_place(x, i, "it meets more than 65535 areas");
        extra += npieces - 1;
        c->extra = extra;
        reloc_view_set(m, &x->v, i + 1);
    }
    return e == ERR_OK ? place_strays(x) : e;
}

enum err reloc_map_place(struct reloc_map *m, const char *path, const struct layout_params *p,
                         uint64_t stack_limit, uint64_t instance)
{
    struct placing x = {.m = m, .path = path};
    layout_init(&x.l, p, stack_limit, instance);
    enum err e = place_all(&x);
    reloc_view_free(&x.v);
    layout_free(&x.l);
    return e;
}
