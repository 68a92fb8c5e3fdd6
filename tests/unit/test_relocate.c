/*
 * Relocation against a slow model: every page of the recorded and of the new address space is
 * entered in a table with the area and the place in it that it stands for, map event by map event,
 * and each address before and after must stand for the same.
 */
#include "cores/relocate.h"

#include <stdlib.h>
#include <string.h>

#include "cores/reloc_map.h"
#include "cores/trace_walk.h"
#include "cores/vmt.h"
#include "mimicos/kernel_call.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#define STACK_LIMIT (UINT64_C(8) << 20)
#define ID_MASK ((UINT64_C(1) << LAYOUT_OUTCOME_SHIFT) - 1)
#define QEMU_BASE UINT64_C(0x4000000000)

static uint64_t g_rng;

static uint64_t rnd(uint64_t n)
{
    g_rng = g_rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (g_rng >> 33) % n;
}

static struct relocate_params params(uint64_t seed)
{
    return (struct relocate_params){
        .layout = {.mode = LAYOUT_LINUX, .seed = seed, .mmap_bits = 28, .stack_bits = 22,
                   .brk_size = UINT64_C(1) << 30, .thp_align = LAYOUT_ALIGN_MULTIPLES},
        .stack_limit_bytes = STACK_LIMIT};
}

/* ---- a table of pages ------------------------------------------------------------------------ */

struct page {
    uint64_t page, area, place; /* area 0: empty; place counts from the area's end */
    bool used;
};

#define SLOTS (UINT64_C(1) << 17)

/* One address space as it stands after some of its map events. */
struct world {
    struct page *slot;
    uint64_t npages, heap_start;
    const struct fe_event *ev; /* all map events, sorted */
    uint32_t nev, next;
};

static struct page *slot_of(const struct world *w, uint64_t page)
{
    uint64_t i = (page * UINT64_C(0x9e3779b97f4a7c15)) >> 47;
    while (w->slot[i].used && w->slot[i].page != page)
        i = (i + 1) % SLOTS;
    w->slot[i].page = page;
    return &w->slot[i];
}

static void set_page(struct world *w, uint64_t page, uint64_t area, uint64_t place)
{
    struct page *p = slot_of(w, page);
    w->npages += p->area == 0;
    p->used = true;
    p->area = area;
    p->place = place;
}

static void clear_page(struct world *w, uint64_t page)
{
    struct page *p = slot_of(w, page);
    w->npages -= p->used && p->area != 0;
    p->area = 0;
}

static uint64_t pages(uint64_t bytes) { return (bytes + PAGE_BYTES - 1) >> PAGE_SHIFT; }

static void remap(struct world *w, const uint64_t *a)
{
    uint64_t old = a[1] >> PAGE_SHIFT, nold = pages(a[2]), to = a[3] >> PAGE_SHIFT, n = pages(a[4]);
    struct page *kept = calloc(nold, sizeof *kept);
    for (uint64_t i = 0; i < nold; i++) {
        kept[i] = *slot_of(w, old + i);
        clear_page(w, old + i);
    }
    for (uint64_t i = 0; i < n; i++)
        if (i >= nold)
            set_page(w, to + i, (a[5] & ID_MASK) + (UINT64_C(1) << 33), n - i);
        else if (kept[i].used && kept[i].area != 0)
            set_page(w, to + i, kept[i].area, kept[i].place);
    free(kept);
}

/* The new stack begins small: it stands for as much as was recorded. */
static uint64_t whole_bytes(const struct fe_event *e, const struct world *recorded)
{
    for (uint32_t i = 0; (e->a[4] & KMAP_GROWSDOWN) != 0 && i < recorded->nev; i++)
        if (recorded->ev[i].type == FE_MMAP && recorded->ev[i].a[5] == (e->a[5] & ID_MASK))
            return recorded->ev[i].a[2];
    return e->a[2];
}

static void happen(struct world *w, const struct fe_event *e, const struct world *recorded)
{
    const uint64_t *a = e->a;
    if (e->type == FE_MMAP) {
        uint64_t end = (a[1] + a[2] + PAGE_BYTES - 1) >> PAGE_SHIFT;
        for (uint64_t i = 1; i <= pages(whole_bytes(e, recorded)); i++)
            set_page(w, end - i, (a[5] & ID_MASK) + 1, i);
    } else if (e->type == FE_MUNMAP) {
        for (uint64_t i = 0; i < pages(a[2]); i++)
            clear_page(w, (a[1] >> PAGE_SHIFT) + i);
    } else if (e->type == FE_MREMAP) {
        remap(w, a);
    } else if (e->type == FE_BRK) {
        if (w->heap_start == 0)
            w->heap_start = pages(a[1]);
        for (uint64_t i = pages(a[1]); i < pages(a[2]); i++)
            set_page(w, i, UINT64_C(1) << 40, i - w->heap_start + 1);
        for (uint64_t i = pages(a[2]); i < pages(a[1]); i++)
            clear_page(w, i);
    }
}

static void advance(struct world *w, uint64_t order, const struct world *recorded)
{
    for (; w->next < w->nev && w->ev[w->next].a[0] <= order; w->next++)
        happen(w, &w->ev[w->next], recorded);
}

/* ---- two traces side by side ----------------------------------------------------------------- */

static bool is_map(const struct fe_event *e)
{
    return e != NULL && e->type >= FE_MMAP && e->type <= FE_MADVISE;
}

static int by_order(const void *pa, const void *pb)
{
    const struct fe_event *a = pa, *b = pb;
    return (a->a[0] > b->a[0]) - (a->a[0] < b->a[0]);
}

static struct fe_event *all_map_events(struct frontend *fe, uint32_t *n_out)
{
    struct fe_event *all = NULL;
    uint32_t n = 0;
    for (uint32_t t = 0; t < fe->nthreads; t++) {
        struct fe_block b = {.last = 0};
        for (uint64_t k = 0; !b.last; k++) {
            CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, t, k, &b), ERR_OK);
            for (uint32_t i = 0; i < b.nev; i++)
                if (is_map(fe_ev(&b, i))) {
                    all = realloc(all, (n + 1) * sizeof *all);
                    all[n++] = *fe_ev(&b, i);
                }
        }
    }
    if (n > 0)
        qsort(all, n, sizeof *all, by_order);
    for (uint32_t i = 0; i < n; i++)
        CU_ASSERT_EQUAL_FATAL(all[i].a[0], all[0].a[0] + i); /* without gaps, as the kernel wants */
    *n_out = n;
    return all;
}

struct pair {
    struct frontend *fe[2]; /* recorded, moved */
    struct world w[2];
    struct trace_walk walk[2];
    uint64_t nstrays, naddresses;
    uint64_t *seen[2]; /* bitmaps over slots: distinct pages */
    uint64_t ndistinct[2];
};

static void note_page(struct pair *x, int which, uint64_t page)
{
    uint64_t i = (uint64_t)(slot_of(&x->w[which], page) - x->w[which].slot);
    uint64_t bit = UINT64_C(1) << (i % 64);
    x->ndistinct[which] += (x->seen[which][i / 64] & bit) == 0;
    x->seen[which][i / 64] |= bit;
}

static void same_place(struct pair *x, uint64_t before, uint64_t after)
{
    const struct page *p = slot_of(&x->w[0], before >> PAGE_SHIFT);
    const struct page *q = slot_of(&x->w[1], after >> PAGE_SHIFT);
    uint64_t pa = p->used ? p->area : 0, qa = q->used ? q->area : 0;
    CU_ASSERT_EQUAL_FATAL(pa, qa);
    CU_ASSERT_EQUAL_FATAL(before & (PAGE_BYTES - 1), after & (PAGE_BYTES - 1));
    if (pa != 0)
        CU_ASSERT_EQUAL_FATAL(p->place, q->place);
    x->nstrays += pa == 0;
    x->naddresses++;
}

/* The next record of one trace that is no map event; those before it have happened. */
static struct trace_item next_item(struct pair *x, int which)
{
    struct trace_item it;
    for (;;) {
        CU_ASSERT_EQUAL_FATAL(trace_walk_next(&x->walk[which], &it), ERR_OK);
        if (it.ev != NULL && (is_map(it.ev) || it.ev->type == FE_MAP_MARK))
            advance(&x->w[which], it.ev->a[0], &x->w[0]);
        if (!is_map(it.ev))
            return it;
    }
}

static void compare_events(struct pair *x, const struct fe_event *a, const struct fe_event *b)
{
    CU_ASSERT_EQUAL_FATAL(a->type, b->type);
    switch (a->type) {
    case FE_IFETCH_PAGE:
        same_place(x, a->a[0] << PAGE_SHIFT, b->a[0] << PAGE_SHIFT);
        break;
    case FE_FUTEX_WAIT:
    case FE_FUTEX_WAKE:
        same_place(x, a->a[0], b->a[0]);
        break;
    case FE_SYSCALL:
        for (int i = 2; i <= 4; i += 2)
            if (a->a[i] != 0)
                same_place(x, a->a[i], b->a[i]);
        CU_ASSERT(a->a[3] == b->a[3] && a->a[5] == b->a[5]);
        break;
    case FE_MAP_MARK:
        CU_ASSERT_EQUAL(x->w[0].npages, x->w[1].npages);
        break;
    default:
        CU_ASSERT_EQUAL(memcmp(a->a, b->a, sizeof a->a), 0);
    }
}

static void compare_items(struct pair *x, const struct trace_item *a, const struct trace_item *b)
{
    const uint64_t *pa = x->walk[0].b.pcs, *pb = x->walk[1].b.pcs;
    CU_ASSERT_EQUAL_FATAL(a->instr, b->instr);
    if (a->acc != NULL) {
        CU_ASSERT_FATAL(b->acc != NULL);
        same_place(x, a->acc->vaddr, b->acc->vaddr);
        same_place(x, pa[a->acc->pc_id], pb[b->acc->pc_id]);
        note_page(x, 0, a->acc->vaddr >> PAGE_SHIFT);
        note_page(x, 1, b->acc->vaddr >> PAGE_SHIFT);
        CU_ASSERT(a->acc->size == b->acc->size && a->acc->flags == b->acc->flags &&
                  a->acc->gap == b->acc->gap);
    } else if (a->br != NULL) {
        CU_ASSERT_FATAL(b->br != NULL);
        same_place(x, pa[a->br->pc_id], pb[b->br->pc_id]);
        if (a->br->taken)
            same_place(x, pa[a->br->target_id], pb[b->br->target_id]);
    } else if (a->ev != NULL) {
        CU_ASSERT_FATAL(b->ev != NULL);
        compare_events(x, a->ev, b->ev);
    }
}

static void fresh_world(struct world *w)
{
    free(w->slot);
    w->slot = calloc(SLOTS, sizeof *w->slot);
    w->npages = w->heap_start = w->next = 0;
}

static void compare_thread(struct pair *x, uint32_t thread)
{
    for (int i = 0; i < 2; i++) {
        fresh_world(&x->w[i]);
        x->walk[i] = (struct trace_walk){.fe = x->fe[i], .thread = thread};
        memset(x->seen[i], 0, SLOTS / 8);
        x->ndistinct[i] = 0;
    }
    struct trace_item a, b;
    do {
        a = next_item(x, 0);
        b = next_item(x, 1);
        compare_items(x, &a, &b);
        CU_ASSERT_EQUAL_FATAL(x->w[0].npages, x->w[1].npages); /* nothing lies on something else */
    } while (a.acc != NULL || a.br != NULL || a.ev != NULL);
    CU_ASSERT_EQUAL(trace_walk_end(&x->walk[0]), trace_walk_end(&x->walk[1]));
}

/* Returns addresses in no area; the distinct pages of thread 0 go to `npages_out`. */
static uint64_t compare_traces(const char *path, uint64_t seed, uint64_t npages_out[2])
{
    struct pair x = {.nstrays = 0};
    struct relocate_params p = params(seed);
    CU_ASSERT_EQUAL_FATAL(vmt_open(path, &x.fe[0]), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(vmt_open(path, &x.fe[1]), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(relocate_wrap(&x.fe[1], &p), ERR_OK);
    CU_ASSERT_STRING_EQUAL(x.fe[1]->ops->name, "relocate");
    for (int i = 0; i < 2; i++) {
        x.w[i].ev = all_map_events(x.fe[i], &x.w[i].nev);
        x.seen[i] = calloc(SLOTS / 64, sizeof *x.seen[i]);
    }
    for (uint32_t t = x.fe[0]->nthreads; t-- > 0;)
        compare_thread(&x, t);
    CU_ASSERT(x.naddresses > 0);
    for (int i = 0; i < 2; i++) {
        npages_out[i] = x.ndistinct[i];
        free((void *)(uintptr_t)x.w[i].ev);
        free(x.w[i].slot);
        free(x.seen[i]);
        x.fe[i]->ops->close(x.fe[i]);
    }
    return x.nstrays;
}

/* ---- the shipped traces ---------------------------------------------------------------------- */

static void shipped_traces_keep_every_address_in_its_area(void)
{
    static const char *const names[] = {"chase", "bfs-4t", "sqlite3", "redis"};
    char path[4096];
    for (unsigned i = 0; i < 4; i++)
        for (uint64_t seed = 0; seed < 3; seed += 2) {
            uint64_t npages[2];
            snprintf(path, sizeof path, "tests/traces/%s.vmt", names[i]);
            /* Code pages and futex words that stand before a thread's first mark. */
            CU_ASSERT(compare_traces(path, seed, npages) <= 6);
            CU_ASSERT_EQUAL(npages[0], npages[1]);
        }
}

/* ---- invented traces ------------------------------------------------------------------------- */

#define WINDOW 8192u /* pages of the invented address space */
#define HEAP_PAGES 64u
#define NTHREADS 3u

/* What the inventor knows of each page: the number of its area, 0: none. */
struct inventor {
    struct vmt_writer *w;
    struct vmt_thread *t[NTHREADS];
    uint32_t area[WINDOW];
    uint64_t order, told[NTHREADS];
    uint32_t nareas, heap;
};

static uint64_t address(uint32_t page) { return QEMU_BASE + (uint64_t)page * PAGE_BYTES; }

static void emit(struct inventor *v, uint32_t t, uint16_t type, uint64_t a1, uint64_t a2, uint64_t a3,
                 uint64_t a4, uint64_t a5)
{
    vmt_event(v->t[t], type, (uint64_t[6]){v->order++, a1, a2, a3, a4, a5});
    v->told[t] = v->order;
}

static void paint(struct inventor *v, uint32_t page, uint32_t n, uint32_t area)
{
    for (uint32_t i = 0; i < n; i++)
        v->area[page + i] = area;
}

/* The lowest gap, as QEMU would choose; the heap's room is left alone. 0: none. */
static uint32_t gap(const struct inventor *v, uint32_t n)
{
    for (uint32_t at = HEAP_PAGES + 16, run = 0; at < WINDOW; at++) {
        run = v->area[at] == 0 ? run + 1 : 0;
        if (run == n)
            return at + 1 - n;
    }
    return 0;
}

static uint32_t some_pages(void) { return rnd(20) == 0 ? 512 * (1 + (uint32_t)rnd(2)) : 1 + (uint32_t)rnd(24); }
static uint64_t some_flags(void) { return rnd(3) == 0 ? KMAP_PRIVATE : KMAP_PRIVATE | KMAP_ANONYMOUS; }

static void invent_mmap(struct inventor *v, uint32_t t)
{
    uint32_t n = some_pages(), at = gap(v, n);
    uint64_t flags = some_flags();
    if (rnd(4) == 0) { /* anywhere, over whatever is there */
        at = HEAP_PAGES + 16 + (uint32_t)rnd(WINDOW / 8);
        flags |= KMAP_FIXED;
    }
    if (at == 0 || at + n > WINDOW)
        return;
    paint(v, at, n, ++v->nareas);
    emit(v, t, FE_MMAP, address(at), (uint64_t)n * PAGE_BYTES, 3, flags, v->nareas);
}

static void invent_range(struct inventor *v, uint32_t t)
{
    static const uint16_t types[] = {FE_MUNMAP, FE_MUNMAP, FE_MPROTECT, FE_MADVISE};
    uint16_t type = types[rnd(4)];
    uint32_t at = HEAP_PAGES + 16 + (uint32_t)rnd(WINDOW / 8), n = 1 + (uint32_t)rnd(40);
    if (type == FE_MUNMAP)
        paint(v, at, n, 0);
    emit(v, t, type, address(at), (uint64_t)n * PAGE_BYTES, 1, 0, 0);
}

static void invent_mremap(struct inventor *v, uint32_t t)
{
    uint32_t at = HEAP_PAGES + 16 + (uint32_t)rnd(WINDOW / 8), old = 1, n = 1 + (uint32_t)rnd(30), to = at;
    uint32_t area = v->area[at];
    if (area == 0)
        return;
    while (old < 20 && v->area[at + old] == area)
        old++;
    for (uint32_t i = old; i < n; i++)
        if (v->area[at + i] != 0)
            to = 0;
    if (to == 0 && (to = gap(v, n)) == 0)
        return;
    paint(v, at, old, 0);
    paint(v, to, n, area);
    emit(v, t, FE_MREMAP, address(at), (uint64_t)old * PAGE_BYTES, address(to), (uint64_t)n * PAGE_BYTES, area);
}

static void invent_brk(struct inventor *v, uint32_t t)
{
    uint32_t n = (uint32_t)rnd(HEAP_PAGES);
    uint64_t old = address(8) + (uint64_t)v->heap * PAGE_BYTES, new = address(8) + (uint64_t)n * PAGE_BYTES;
    paint(v, 8, HEAP_PAGES, 0);
    paint(v, 8, n, 1000000);
    v->heap = n;
    emit(v, t, FE_BRK, old, new, 7, 0, 0);
}

/* An address in an area that the thread has been told of; rarely in none. */
static uint64_t some_address(const struct inventor *v)
{
    uint32_t page = 0;
    bool stray = rnd(500) == 0;
    for (int i = 0; i < 300; i++) {
        page = (uint32_t)rnd(i < 200 ? HEAP_PAGES + WINDOW / 8 : WINDOW);
        if ((v->area[page] == 0) == stray)
            break;
    }
    return address(page) + rnd(PAGE_BYTES);
}

static void invent_records(struct inventor *v, uint32_t t)
{
    if (v->told[t] != v->order) {
        vmt_event(v->t[t], FE_MAP_MARK, (uint64_t[6]){v->order - 1});
        v->told[t] = v->order;
    }
    for (uint64_t n = rnd(12); n-- > 0;) {
        uint64_t pc = some_address(v);
        vmt_instr(v->t[t], 1 + rnd(3));
        if (rnd(5) == 0) {
            struct branch_rec br = {.kind = BR_COND, .taken = 1};
            vmt_branch(v->t[t], pc, some_address(v), &br);
        } else if (rnd(8) == 0) {
            vmt_event(v->t[t], FE_IFETCH_PAGE, (uint64_t[6]){pc >> PAGE_SHIFT});
            vmt_event(v->t[t], FE_FUTEX_WAKE, (uint64_t[6]){some_address(v), 1 + rnd(5)});
            vmt_event(v->t[t], FE_SYSCALL, (uint64_t[6]){1, 0, some_address(v), 8, 0, 0});
        } else {
            struct access_rec r = {.vaddr = some_address(v), .size = 8, .flags = (uint8_t)rnd(2)};
            vmt_access(v->t[t], pc, &r);
        }
    }
}

static void invent_trace(const char *path, uint64_t seed, uint32_t nsteps, uint32_t block_accesses)
{
    static struct inventor v;
    struct vmt_writer_opts opts = {.block_accesses = block_accesses};
    v = (struct inventor){.order = rnd(2)};
    g_rng = seed;
    CU_ASSERT_EQUAL_FATAL(vmt_create(path, "command=invented\n", &opts, &v.w), ERR_OK);
    for (uint32_t t = 0; t < NTHREADS; t++)
        v.t[t] = vmt_thread_open(v.w);
    paint(&v, 0, 8, ++v.nareas); /* the program: code and data */
    emit(&v, 0, FE_MMAP, address(0), 5 * PAGE_BYTES, 5, KMAP_PRIVATE | KMAP_FIXED, 1);
    emit(&v, 0, FE_MMAP, address(5), 3 * PAGE_BYTES, 3, KMAP_PRIVATE | KMAP_FIXED, ++v.nareas);
    for (uint32_t i = 0; i < nsteps; i++) {
        uint32_t t = (uint32_t)rnd(NTHREADS);
        uint64_t what = rnd(12);
        if (what < 3)
            invent_mmap(&v, t);
        else if (what == 3)
            invent_range(&v, t);
        else if (what == 4)
            invent_mremap(&v, t);
        else if (what == 5)
            invent_brk(&v, t);
        else
            invent_records(&v, t);
    }
    for (uint32_t t = 0; t < NTHREADS; t++)
        vmt_thread_close(v.t[t]);
    CU_ASSERT_EQUAL_FATAL(vmt_close(v.w, NULL), ERR_OK);
}

static void invented_traces_with_reuse_cuts_and_moves_do_so_too(void)
{
    CU_ASSERT_FATAL(scratch_enter());
    uint64_t nstrays = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        uint64_t npages[2];
        /* Blocks that are one piece, and blocks of many, with changes of the map among them. */
        invent_trace("invented.vmt", seed, 4000, seed % 3 == 0 ? 0 : 256);
        nstrays += compare_traces("invented.vmt", seed % 4, npages);
    }
    CU_ASSERT(nstrays > 100);
}

/* Blocks in any order give the same addresses as one after the other. */
static void blocks_can_be_loaded_in_any_order(void)
{
    struct frontend *fe;
    struct relocate_params p = params(3);
    struct fe_block b = {.last = 0};
    uint64_t sums[2000], n = 0;
    CU_ASSERT_FATAL(scratch_enter());
    invent_trace("order.vmt", 5, 4000, 256);
    CU_ASSERT_EQUAL_FATAL(vmt_open("order.vmt", &fe), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(relocate_wrap(&fe, &p), ERR_OK);
    for (int pass = 0; pass < 2; pass++) {
        for (uint64_t i = 0; pass == 0 ? !b.last : i < n; i++) {
            uint64_t k = pass == 0 ? i : (i * 7 + 3) % n, sum = 0;
            CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 1, k, &b), ERR_OK);
            for (uint32_t j = 0; j < b.nacc; j++) {
                const struct access_rec *a = fe_access(fe, 1, j, &b);
                sum = sum * 31 + a->vaddr + b.pcs[a->pc_id];
            }
            for (uint32_t j = 0; j < b.nev; j++)
                sum = sum * 31 + fe_ev(&b, j)->a[0] + fe_ev(&b, j)->a[1];
            if (pass == 0)
                sums[n++] = sum;
            else
                CU_ASSERT_EQUAL(sums[k], sum);
        }
    }
    CU_ASSERT(n > 10 && n % 7 != 0);
    fe->ops->close(fe);
}

/* So do the pieces of a block, back and forth. */
static void pieces_can_be_asked_for_in_any_order(void)
{
    struct frontend *fe;
    struct relocate_params p = params(3);
    struct fe_block b;
    CU_ASSERT_FATAL(scratch_enter());
    invent_trace("pieces.vmt", 7, 9000, 0);
    CU_ASSERT_EQUAL_FATAL(vmt_open("pieces.vmt", &fe), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(relocate_wrap(&fe, &p), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 1, 1, &b), ERR_OK);
    CU_ASSERT_FATAL(b.nacc > 4000 && b.nev > 1000);
    struct access_rec *all = malloc(b.nacc * sizeof *all);
    for (uint32_t i = 0; i < b.nacc; i++)
        all[i] = *fe_access(fe, 1, i, &b);
    CU_ASSERT(b.acc_from > 0 && b.acc_to == b.nacc);
    for (uint32_t i = 0; i < 500; i++) {
        uint32_t k = (uint32_t)rnd(b.nacc);
        CU_ASSERT_EQUAL(memcmp(fe_access(fe, 1, k, &b), &all[k], sizeof *all), 0);
    }
    free(all);
    fe->ops->close(fe);
}

/* ---- by hand --------------------------------------------------------------------------------- */

struct script {
    uint16_t type;
    uint64_t a[5]; /* without the order */
};

/* The map events of a one-thread trace made of `s`, laid out without randomisation. */
static struct fe_event *laid_out(const struct script *s, uint32_t n, uint32_t *n_out)
{
    struct vmt_writer *w;
    struct frontend *fe;
    struct relocate_params p = params(0);
    CU_ASSERT_FATAL(scratch_enter());
    CU_ASSERT_EQUAL_FATAL(vmt_create("script.vmt", "command=script\n", NULL, &w), ERR_OK);
    struct vmt_thread *t = vmt_thread_open(w);
    for (uint32_t i = 0; i < n; i++)
        vmt_event(t, s[i].type, (uint64_t[6]){i, s[i].a[0], s[i].a[1], s[i].a[2], s[i].a[3], s[i].a[4]});
    vmt_thread_close(t);
    CU_ASSERT_EQUAL_FATAL(vmt_close(w, NULL), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(vmt_open("script.vmt", &fe), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(relocate_wrap(&fe, &p), ERR_OK);
    struct fe_event *ev = all_map_events(fe, n_out);
    fe->ops->close(fe);
    return ev;
}

#define FILE_FIXED (KMAP_PRIVATE | KMAP_FIXED)
#define ANON (KMAP_PRIVATE | KMAP_ANONYMOUS)
#define BASE UINT64_C(0x7ffff7fff000)

/* A dynamic program: 2 pages of it, stack of 8 MiB and its guard, loader of 3 pages; then a library
 * of 8 pages with its second half mapped again, the heap, and 4 MiB. */
static const struct script dynamic[] = {
    {FE_MMAP, {0x4000000000, 0x1000, 5, FILE_FIXED, 1}},
    {FE_MMAP, {0x4000001000, 0x1000, 3, FILE_FIXED, 2}},
    {FE_MMAP, {0x4002002000, 0x1000, 0, ANON | KMAP_FIXED, 3}},
    {FE_MMAP, {0x4002003000, 0x800000, 3, ANON | KMAP_FIXED, 4}},
    {FE_MMAP, {0x4002803000, 0x2000, 5, FILE_FIXED, 5}},
    {FE_MMAP, {0x4002805000, 0x1000, 3, FILE_FIXED, 6}},
    {FE_MMAP, {0x4002806000, 0x8000, 1, KMAP_PRIVATE, 7}},
    {FE_MMAP, {0x400280a000, 0x4000, 5, FILE_FIXED, 8}},
    {FE_BRK, {0x4000002000, 0x4000023000, 9}},
    {FE_MMAP, {0x400280e000, 0x400000, 3, ANON, 10}},
    {FE_MUNMAP, {0x4002805000, 0x3000}}, /* the loader's last page and the library's first two */
    {FE_MMAP, {0x4002805000, 0x2000, 3, ANON, 11}},
    {FE_MREMAP, {0x4002805000, 0x2000, 0x4002c0e000, 0x4000, 11}},
};

static void a_dynamic_program_lies_as_execve_and_ld_so_put_it(void)
{
    uint32_t n;
    struct fe_event *e = laid_out(dynamic, sizeof dynamic / sizeof dynamic[0], &n);
    CU_ASSERT_EQUAL_FATAL(n, 14);
    CU_ASSERT_EQUAL(e[0].a[1], 0x555555554000);
    CU_ASSERT_EQUAL(e[1].a[1], 0x555555555000);
    CU_ASSERT_EQUAL(e[0].a[5] >> LAYOUT_OUTCOME_SHIFT, LAYOUT_EXEC);
    CU_ASSERT_EQUAL(e[2].a[1], 0x7fffff7fe000); /* below 8 MiB of stack */
    CU_ASSERT_EQUAL(e[3].a[1], 0x7ffffffde000); /* 132 KiB, growing down */
    CU_ASSERT_EQUAL(e[3].a[2], 0x21000);
    CU_ASSERT_EQUAL(e[3].a[4], ANON | KMAP_FIXED | KMAP_GROWSDOWN);
    CU_ASSERT_EQUAL(e[4].a[1], BASE - 0x3000);
    CU_ASSERT_EQUAL(e[5].a[1], BASE - 0x1000);
    CU_ASSERT_EQUAL(e[6].a[1], BASE - 0x3000 - 0x8000 - 0x8000); /* vvar and vdso are between */
    CU_ASSERT_EQUAL(e[7].a[1], BASE - 0x3000 - 0x8000 - 0x4000);
    CU_ASSERT_EQUAL(e[7].a[5] >> LAYOUT_OUTCOME_SHIFT, LAYOUT_FIXED);
    CU_ASSERT_EQUAL(e[8].a[1], 0x555555556000);
    CU_ASSERT_EQUAL(e[8].a[2], 0x555555577000);
    CU_ASSERT_EQUAL(e[9].a[1], 0x7ffff7a00000); /* below 0x7ffff7fec000, down to a multiple of 2 MiB */
    CU_ASSERT_EQUAL(e[9].a[5] >> LAYOUT_OUTCOME_SHIFT, LAYOUT_ALIGNED);
    free(e);
}

static void a_call_over_areas_that_lie_apart_becomes_two(void)
{
    uint32_t n;
    struct fe_event *e = laid_out(dynamic, sizeof dynamic / sizeof dynamic[0], &n);
    CU_ASSERT_EQUAL(e[10].type, FE_MUNMAP);
    CU_ASSERT_EQUAL(e[10].a[1], BASE - 0x1000);
    CU_ASSERT_EQUAL(e[10].a[2], 0x1000);
    CU_ASSERT_EQUAL(e[11].type, FE_MUNMAP);
    CU_ASSERT_EQUAL(e[11].a[1], BASE - 0x3000 - 0x8000 - 0x8000);
    CU_ASSERT_EQUAL(e[11].a[2], 0x2000);
    free(e);
}

/* The two pages that QEMU puts back where the loader ended go to the highest gap of two pages: the
 * library's first ones. They cannot grow there by two more, so they move below the library. */
static void gaps_are_used_again_and_mremap_moves_what_cannot_grow(void)
{
    uint32_t n;
    struct fe_event *e = laid_out(dynamic, sizeof dynamic / sizeof dynamic[0], &n);
    CU_ASSERT_EQUAL(e[12].a[1], BASE - 0x13000);
    CU_ASSERT_EQUAL(e[13].type, FE_MREMAP);
    CU_ASSERT_EQUAL(e[13].a[1], BASE - 0x13000);
    CU_ASSERT_EQUAL(e[13].a[3], BASE - 0x13000 - 0x4000);
    CU_ASSERT_EQUAL(e[13].a[4], 0x4000);
    free(e);
}

static void a_program_at_a_fixed_place_stays_and_its_heap_follows(void)
{
    static const struct script s[] = {
        {FE_MMAP, {0x400000, 0x2000, 5, FILE_FIXED, 1}},
        {FE_MMAP, {0x403000, 0x1000, 3, FILE_FIXED, 2}}, /* a hole between the segments */
        {FE_MMAP, {0x4000000000, 0x1000, 0, ANON | KMAP_FIXED, 3}},
        {FE_MMAP, {0x4000001000, 0x802000, 3, ANON | KMAP_FIXED, 4}},
        {FE_BRK, {0x404000, 0x404d00, 5}},
        {FE_BRK, {0x404d00, 0x426000, 5}},
        {FE_MMAP, {0x4000803000, 0x1000, 3, ANON, 6}},
        {FE_MMAP, {0x10000000, 0x1000, 3, ANON | KMAP_FIXED, 7}},
    };
    uint32_t n;
    struct fe_event *e = laid_out(s, sizeof s / sizeof s[0], &n);
    CU_ASSERT_EQUAL_FATAL(n, 8);
    CU_ASSERT_EQUAL(e[0].a[1], 0x400000);
    CU_ASSERT_EQUAL(e[1].a[1], 0x403000);
    CU_ASSERT_EQUAL(e[4].a[1], 0x404000);
    CU_ASSERT_EQUAL(e[5].a[2], 0x426000);
    CU_ASSERT_EQUAL(e[6].a[1], BASE - 0x8000 - 0x1000);
    CU_ASSERT_EQUAL(e[7].a[1], 0x10000000);
    CU_ASSERT_EQUAL(e[7].a[5] >> LAYOUT_OUTCOME_SHIFT, LAYOUT_KEPT);
    free(e);
}

static void a_static_position_independent_program_lies_among_the_libraries(void)
{
    static const struct script s[] = {
        {FE_MMAP, {0x4000000000, 0x4000, 5, FILE_FIXED, 1}},
        {FE_MMAP, {0x4002004000, 0x1000, 0, ANON | KMAP_FIXED, 2}},
        {FE_MMAP, {0x4002005000, 0x800000, 3, ANON | KMAP_FIXED, 3}},
        {FE_BRK, {0x4000004000, 0x4000005000, 4}},
    };
    uint32_t n;
    struct fe_event *e = laid_out(s, sizeof s / sizeof s[0], &n);
    CU_ASSERT_EQUAL_FATAL(n, 4);
    CU_ASSERT_EQUAL(e[0].a[1], BASE - 0x4000);
    CU_ASSERT_EQUAL(e[3].a[1], 0x555555554000);
    free(e);
}

/* A thread uses an area of another thread's call before its own mark tells it. */
static void an_area_used_before_its_mark_is_found(void)
{
    struct vmt_writer *w;
    struct frontend *fe;
    struct relocate_params p = params(0);
    struct access_rec r = {.vaddr = 0x4000001010, .size = 8}, none = {.vaddr = 0x4000009010, .size = 8};
    struct fe_block b;
    CU_ASSERT_FATAL(scratch_enter());
    CU_ASSERT_EQUAL_FATAL(vmt_create("early.vmt", "command=early\n", NULL, &w), ERR_OK);
    struct vmt_thread *t0 = vmt_thread_open(w), *t1 = vmt_thread_open(w);
    vmt_event(t0, FE_MMAP, (uint64_t[6]){1, 0x4000000000, 0x1000, 3, ANON, 1});
    vmt_event(t0, FE_MMAP, (uint64_t[6]){2, 0x4000001000, 0x1000, 3, ANON, 2});
    vmt_instr(t1, 1);
    vmt_event(t1, FE_MAP_MARK, (uint64_t[6]){1});
    vmt_access(t1, 0x4000000000, &r);
    vmt_instr(t1, 1);
    vmt_access(t1, 0x4000000000, &none);
    vmt_event(t1, FE_MAP_MARK, (uint64_t[6]){2});
    vmt_thread_close(t0);
    vmt_thread_close(t1);
    CU_ASSERT_EQUAL_FATAL(vmt_close(w, NULL), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(vmt_open("early.vmt", &fe), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(relocate_wrap(&fe, &p), ERR_OK);
    b.last = 0;
    for (uint64_t k = 0; !b.last; k++) {
        CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 1, k, &b), ERR_OK);
        if (b.nacc == 0)
            continue;
        CU_ASSERT_EQUAL(fe_access(fe, 1, 0, &b)->vaddr, BASE - 0x2000 + 0x10);
        CU_ASSERT_EQUAL(fe_access(fe, 1, 1, &b)->vaddr, 0x4000009010); /* in no area, and no area ever lies there */
        CU_ASSERT_EQUAL(b.pcs[fe_access(fe, 1, 0, &b)->pc_id], BASE - 0x1000);
    }
    fe->ops->close(fe);
}

/*
 * Each of `npcs` instructions of a thread uses one address; then another area lies there, and the first `n` of them use
 * it again.
 */
static void check_reuse(uint32_t npcs, uint32_t n)
{
    struct vmt_writer *w;
    struct frontend *fe;
    struct relocate_params p = params(0);
    struct access_rec r = {.vaddr = 0x4000000010, .size = 8};
    struct fe_block b = {.last = 0};
    CU_ASSERT_EQUAL_FATAL(vmt_create("reuse.vmt", "command=reuse\n", NULL, &w), ERR_OK);
    struct vmt_thread *t = vmt_thread_open(w);
    vmt_event(t, FE_MMAP, (uint64_t[6]){1, 0x4000000000, 0x1000, 3, ANON, 1});
    for (uint32_t i = 0; i < npcs; i++)
        vmt_access(t, 0x4200000000 + 4 * i, &r);
    vmt_event(t, FE_MUNMAP, (uint64_t[6]){2, 0x4000000000, 0x1000});
    vmt_event(t, FE_MMAP, (uint64_t[6]){3, 0x4100000000, 0x1000, 3, ANON, 2});
    vmt_event(t, FE_MMAP, (uint64_t[6]){4, 0x4000000000, 0x1000, 3, ANON, 3});
    for (uint32_t i = 0; i < n; i++)
        vmt_access(t, 0x4200000000 + 4 * (i % npcs), &r);
    vmt_thread_close(t);
    CU_ASSERT_EQUAL_FATAL(vmt_close(w, NULL), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(vmt_open("reuse.vmt", &fe), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(relocate_wrap(&fe, &p), ERR_OK);
    for (uint64_t k = 0; b.nacc == 0; k++)
        CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 0, k, &b), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(b.nacc, npcs + n);
    CU_ASSERT_EQUAL_FATAL(b.nev, 4);
    CU_ASSERT_NOT_EQUAL(fe_ev(&b, 0)->a[1], fe_ev(&b, 3)->a[1]);
    for (uint32_t i = 0; i < npcs + n; i++)
        CU_ASSERT_EQUAL(fe_access(fe, 0, i, &b)->vaddr, fe_ev(&b, i < npcs ? 0 : 3)->a[1] + 0x10);
    fe->ops->close(fe);
}

static void an_address_is_moved_anew_when_another_area_lies_there(void)
{
    CU_ASSERT_FATAL(scratch_enter());
    for (uint32_t npcs = 1; npcs < 12; npcs++)
        for (uint32_t n = 1; n < 20; n++) /* with more instructions than uses they are not all moved at once */
            check_reuse(npcs, n);
}

/* A stray address at which something lies now moves aside, to where nothing ever lies. */
static void a_stray_never_lands_in_an_area(void)
{
    struct reloc_map m = {.n = 0};
    struct relocate_params p = params(0);
    struct fe_event ev = {.type = FE_MMAP, .a = {1, 0x4000000000, 0x3000, 3, ANON, 1}};
    struct reloc_view v = {.n = 0};
    CU_ASSERT_FATAL(reloc_map_add(&m, 0, &ev));
    CU_ASSERT_EQUAL_FATAL(reloc_map_place(&m, "test", &p.layout, STACK_LIMIT, 0), ERR_OK);
    uint64_t at = BASE - 0x3000;
    CU_ASSERT_EQUAL(m.c[0].to, at);
    reloc_view_set(&m, &v, 1);
    CU_ASSERT_EQUAL(reloc_map_address(&m, &v, 1, at - 1), at - 1);
    CU_ASSERT_EQUAL(reloc_map_address(&m, &v, 1, at + 0x123), 0x555555551000 + 0x123);
    CU_ASSERT_EQUAL(reloc_map_address(&m, &v, 1, at + 0x2fff), 0x555555553fff);
    CU_ASSERT_EQUAL(reloc_map_address(&m, &v, 1, at + 0x3000), at + 0x3000);
    CU_ASSERT_EQUAL(reloc_map_address(&m, &v, 1, 0x4000002001), at + 0x2001);
    reloc_view_free(&v);
    reloc_map_free(&m);
}

static void recorded_layout_costs_nothing(void)
{
    struct frontend *fe, *same;
    struct relocate_params p = params(0);
    p.layout.mode = LAYOUT_RECORDED;
    CU_ASSERT_FATAL(scratch_enter());
    invent_trace("recorded.vmt", 1, 50, 256);
    CU_ASSERT_EQUAL_FATAL(vmt_open("recorded.vmt", &fe), ERR_OK);
    same = fe;
    CU_ASSERT_EQUAL(relocate_wrap(&fe, &p), ERR_OK);
    CU_ASSERT_PTR_EQUAL(fe, same);
    fe->ops->close(fe);
}

UNIT_MAIN("cores/relocate",
          UNIT(shipped_traces_keep_every_address_in_its_area),
          UNIT(invented_traces_with_reuse_cuts_and_moves_do_so_too),
          UNIT(blocks_can_be_loaded_in_any_order),
          UNIT(pieces_can_be_asked_for_in_any_order),
          UNIT(a_dynamic_program_lies_as_execve_and_ld_so_put_it),
          UNIT(a_call_over_areas_that_lie_apart_becomes_two),
          UNIT(gaps_are_used_again_and_mremap_moves_what_cannot_grow),
          UNIT(a_program_at_a_fixed_place_stays_and_its_heap_follows),
          UNIT(a_static_position_independent_program_lies_among_the_libraries),
          UNIT(an_area_used_before_its_mark_is_found),
          UNIT(an_address_is_moved_anew_when_another_area_lies_there),
          UNIT(a_stray_never_lands_in_an_area),
          UNIT(recorded_layout_costs_nothing))
