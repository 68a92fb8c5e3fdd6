/* See relocate.h. */
#include "cores/relocate.h"

#include "cores/reloc_map.h"

#include <stdlib.h>
#include <string.h>

#define NHINTS 4096u /* places of each of the two tables below; a power of two */

/*
 * Map events that a thread knows of when a block starts, and the first that it learns of in this
 * block or a later one: while the trace is surveyed orders + 1 (0: none), then numbers of changes.
 */
struct block_start {
    uint64_t known, next;
};

struct moved_thread {
    struct reloc_view view;
    /* Pieces of the view in which to look first. An instruction mostly stays in one area; code, which
     * jumps between areas, among few pages. A hint may be wrong. */
    uint16_t by_pc[NHINTS], by_page[NHINTS];
    struct block_start *blocks; /* one more than there are */
    uint64_t nblocks, blocks_cap;
    struct fe_event *ev; /* grown when calls become several; else events are changed in place */
    uint64_t *pcs;
    uint32_t *pc_now; /* index of a recorded program counter's present address in `pcs` */
    uint32_t ev_cap, pcs_cap, pc_now_cap;
};

struct relocate {
    struct frontend fe;
    struct frontend *inner;
    struct reloc_map map;
    struct moved_thread *threads;
};

/* The block in hand. */
struct moving {
    const struct relocate *r;
    struct moved_thread *t;
    struct fe_block b; /* as recorded; its arrays may be changed */
    struct access_rec *acc;
    struct branch_rec *br;
    uint32_t iacc, ibr, iev;
    uint32_t later;      /* changes known after the block, for its end */
    uint32_t limit;      /* changes known after the next event that tells of any */
    uint32_t limit_view; /* ... as of this view; UINT32_MAX: unknown */
    uint32_t npcs;
    bool pcs_split; /* pc ids must be looked up in pc_now */
};

static bool is_map_event(const struct fe_event *e)
{
    return e->type >= FE_MMAP && e->type <= FE_MADVISE;
}

/* Changes that the thread knows of once event `e` has happened, its own one not counted. */
static uint32_t told_by(const struct relocate *r, const struct fe_event *e)
{
    if (e->type == FE_MAP_MARK)
        return reloc_map_upto(&r->map, e->a[0]);
    return is_map_event(e) && e->a[0] > 0 ? reloc_map_upto(&r->map, e->a[0] - 1) : 0;
}

/* ---- addresses ------------------------------------------------------------------------------- */

/* Changes that may already have happened, though nothing has told the thread. */
static uint32_t limit_of(struct moving *x)
{
    uint32_t now = x->t->view.nchanges;
    if (x->limit_view == now)
        return x->limit;
    x->limit_view = now;
    x->limit = x->later;
    for (uint32_t i = x->iev; i < x->b.nev; i++) {
        uint32_t n = told_by(x->r, &x->b.ev[i]);
        if (n > now) {
            x->limit = n;
            break;
        }
    }
    return x->limit;
}

static uint64_t find(struct moving *x, uint16_t *hint, uint64_t addr)
{
    const struct reloc_view *v = &x->t->view;
    uint32_t i = reloc_view_at(v, addr);
    if (i == v->n || v->p[i].start > addr)
        return reloc_map_outside(&x->r->map, v, limit_of(x), addr);
    *hint = (uint16_t)i;
    return addr + v->p[i].delta;
}

static inline uint64_t moved_by_hint(struct moving *x, uint16_t *hint, uint64_t addr)
{
    const struct reloc_view *v = &x->t->view;
    const uint32_t i = *hint;
    if (i < v->n && addr - v->p[i].start < v->p[i].end - v->p[i].start)
        return addr + v->p[i].delta;
    return find(x, hint, addr);
}

/* Where `addr` lies now, whoever uses it. */
static inline uint64_t moved(struct moving *x, uint64_t addr)
{
    return moved_by_hint(x, &x->t->by_page[(addr >> PAGE_SHIFT) % NHINTS], addr);
}

static void move_accesses(struct moving *x, uint32_t end)
{
    uint16_t *const hints = x->t->by_pc;
    const struct reloc_piece *const pieces = x->t->view.p;
    const uint32_t n = x->t->view.n;
    if (x->iacc >= end)
        return;
    for (struct access_rec *a = x->acc + x->iacc, *stop = x->acc + end; a < stop; a++) {
        uint16_t *hint = &hints[a->pc_id % NHINTS];
        const uint32_t h = *hint;
        if (h < n && a->vaddr - pieces[h].start < pieces[h].end - pieces[h].start)
            a->vaddr += pieces[h].delta;
        else
            a->vaddr = find(x, hint, a->vaddr);
    }
    if (x->pcs_split)
        for (uint32_t i = x->iacc; i < end; i++)
            x->acc[i].pc_id = x->t->pc_now[x->acc[i].pc_id];
    x->iacc = end;
}

/* Branches before the event at (pos, instr_off); see trace_walk.c for the order at one place. */
static void move_branches(struct moving *x, uint32_t pos, uint32_t instr_off, bool split)
{
    for (; x->ibr < x->b.nbr; x->ibr++) {
        struct branch_rec *br = &x->br[x->ibr];
        if (br->pos > pos || (br->pos == pos && br->instr_off >= instr_off))
            return;
        if (split) {
            br->pc_id = x->t->pc_now[br->pc_id];
            br->target_id = x->t->pc_now[br->target_id];
        }
    }
}

/* ---- program counters ------------------------------------------------------------------------ */

static void *grown(void *p, uint32_t *cap, uint64_t need, size_t item)
{
    if (need <= *cap)
        return p;
    uint32_t n = (uint32_t)(need + need / 4 + 64);
    void *q = realloc(p, n * item);
    if (q == NULL)
        err_fatal(ERR_MEMORY, "no host memory to relocate a block of the trace");
    *cap = n;
    return q;
}

static void first_pcs(struct moving *x)
{
    struct moved_thread *t = x->t;
    x->npcs = x->b.npcs;
    t->pcs = grown(t->pcs, &t->pcs_cap, x->npcs, sizeof *t->pcs);
    t->pc_now = grown(t->pc_now, &t->pc_now_cap, x->npcs, sizeof *t->pc_now);
    for (uint32_t i = 0; i < x->npcs; i++) {
        t->pcs[i] = moved(x, x->b.pcs[i]);
        t->pc_now[i] = i;
    }
}

/* The map has just changed in [start, end): program counters that moved get a second entry. */
static void remap_pcs(struct moving *x, uint64_t start, uint64_t end)
{
    struct moved_thread *t = x->t;
    for (uint32_t i = 0; i < x->b.npcs; i++) {
        uint64_t pc = x->b.pcs[i];
        if (pc < start || pc >= end)
            continue;
        uint64_t to = moved(x, pc);
        if (t->pcs[t->pc_now[i]] == to)
            continue;
        t->pcs = grown(t->pcs, &t->pcs_cap, (uint64_t)x->npcs + 1, sizeof *t->pcs);
        t->pcs[x->npcs] = to;
        t->pc_now[i] = x->npcs++;
        x->pcs_split = true;
    }
}

/* ---- changes --------------------------------------------------------------------------------- */

/* Changes up to `nchanges` happen at event `e`. */
static void pass_changes(struct moving *x, const struct fe_event *e, uint32_t nchanges)
{
    const struct reloc_map *m = &x->r->map;
    struct reloc_view *v = &x->t->view;
    bool split = x->pcs_split;
    uint64_t start, end;
    if (nchanges <= v->nchanges)
        return;
    move_accesses(x, e->pos);
    if (split)
        move_branches(x, e->pos, e->instr_off, true);
    while (v->nchanges < nchanges) {
        uint32_t i = v->nchanges;
        reloc_view_set(m, v, i + 1);
        if (reloc_change_maps(m, i, &start, &end))
            remap_pcs(x, start, end);
        if (reloc_change_unmaps(m, i, &start, &end))
            remap_pcs(x, start, end);
    }
    if (x->pcs_split && !split) /* those up to here keep their program counters */
        move_branches(x, e->pos, e->instr_off, false);
}

/* Index of the thread's own map event; false: it is none of the map's (it came after a cut). */
static bool own_change(const struct moving *x, const struct fe_event *e, uint32_t *i_out)
{
    const struct reloc_map *m = &x->r->map;
    uint32_t n = reloc_map_upto(m, e->a[0]);
    *i_out = n - 1;
    return n > 0 && m->c[n - 1].ev.a[0] == e->a[0];
}

/* The thread's own map call; returns how many events it has become. */
static uint32_t move_call(struct moving *x, const struct fe_event *e, uint32_t own,
                          struct fe_event *out)
{
    struct fe_event ev = *e; /* `out` may be its place */
    pass_changes(x, &ev, own);
    uint32_t n = reloc_map_rewrite(&x->r->map, &x->t->view, own, out);
    SIM_ASSERT(n == x->r->map.c[own].npieces, "map event %llu became %u events, not %u",
               (unsigned long long)ev.a[0], n, x->r->map.c[own].npieces);
    for (uint32_t i = 0; i < n; i++) {
        out[i].pos = ev.pos;
        out[i].instr_off = ev.instr_off;
    }
    pass_changes(x, &ev, own + 1);
    return n;
}

static void move_event(struct moving *x, struct fe_event *e)
{
    const struct reloc_map *m = &x->r->map;
    switch (e->type) {
    case FE_IFETCH_PAGE:
        e->a[0] = moved(x, e->a[0] << PAGE_SHIFT) >> PAGE_SHIFT;
        break;
    case FE_MAP_MARK:
        pass_changes(x, e, reloc_map_upto(m, e->a[0]));
        e->a[0] = reloc_map_order(m, e->a[0]);
        break;
    case FE_FUTEX_WAIT:
    case FE_FUTEX_WAKE:
        e->a[0] = moved(x, e->a[0]);
        break;
    case FE_SYSCALL:
        e->a[2] = e->a[2] != 0 ? moved(x, e->a[2]) : 0;
        e->a[4] = e->a[4] != 0 ? moved(x, e->a[4]) : 0;
        break;
    default:
        break;
    }
}

/* Another array for the events, with room for what calls become: the first `n` are ready. */
static struct fe_event *more_room(struct moving *x, const struct fe_event *ready, uint32_t n)
{
    struct moved_thread *t = x->t;
    uint64_t need = (uint64_t)n + x->b.nev - x->iev;
    uint32_t own;
    for (uint32_t i = x->iev; i < x->b.nev; i++)
        if (is_map_event(&x->b.ev[i]) && own_change(x, &x->b.ev[i], &own))
            need += x->r->map.c[own].npieces - 1u;
    t->ev = grown(t->ev, &t->ev_cap, need, sizeof *t->ev);
    memcpy(t->ev, ready, n * sizeof *ready);
    return t->ev;
}

/* Events change in place until the first call that becomes several. */
static const struct fe_event *move_events(struct moving *x, uint32_t *nev_out)
{
    struct fe_event *const recorded = (struct fe_event *)(uintptr_t)x->b.ev;
    struct fe_event *out = recorded;
    uint32_t n = 0, own;
    for (; x->iev < x->b.nev; x->iev++) {
        struct fe_event *e = &recorded[x->iev];
        if (is_map_event(e) && own_change(x, e, &own)) {
            if (out == recorded && x->r->map.c[own].npieces > 1)
                out = more_room(x, recorded, n);
            n += move_call(x, e, own, out + n);
            continue;
        }
        move_event(x, e);
        if (out != recorded)
            out[n] = *e;
        n++;
    }
    *nev_out = n;
    return out;
}

/* ---- the front end --------------------------------------------------------------------------- */

static enum err relocate_load(struct frontend *fe, uint32_t thread, uint64_t block,
                              struct fe_block *out)
{
    struct relocate *r = (struct relocate *)fe;
    struct moved_thread *t = &r->threads[thread];
    struct moving x = {.r = r, .t = t, .limit_view = UINT32_MAX};
    enum err e = r->inner->ops->load(r->inner, thread, block, &x.b);
    if (e != ERR_OK)
        return e;
    x.acc = (struct access_rec *)(uintptr_t)x.b.acc;
    x.br = (struct branch_rec *)(uintptr_t)x.b.br;
    x.later = (uint32_t)t->blocks[block + 1].next;
    reloc_view_set(&r->map, &t->view, (uint32_t)t->blocks[block].known);
    first_pcs(&x);
    *out = x.b;
    out->ev = move_events(&x, &out->nev);
    move_accesses(&x, x.b.nacc);
    if (x.pcs_split)
        move_branches(&x, UINT32_MAX, UINT32_MAX, true);
    out->pcs = t->pcs;
    out->npcs = x.npcs;
    return ERR_OK;
}

static void free_all(struct relocate *r)
{
    for (uint32_t i = 0; r->threads != NULL && i < r->fe.nthreads; i++) {
        struct moved_thread *t = &r->threads[i];
        reloc_view_free(&t->view);
        free(t->blocks);
        free(t->ev);
        free(t->pcs);
        free(t->pc_now);
    }
    free(r->threads);
    reloc_map_free(&r->map);
    free(r);
}

static void relocate_close(struct frontend *fe)
{
    struct relocate *r = (struct relocate *)fe;
    r->inner->ops->close(r->inner);
    free_all(r);
}

static const struct frontend_ops relocate_ops = {
    .name = "relocate",
    .doc = "a trace with its areas laid out as Linux would",
    .load = relocate_load,
    .close = relocate_close,
};

/* ---- what the trace says, read once ---------------------------------------------------------- */

static enum err no_memory(void)
{
    return err_log(ERR_MEMORY, "no host memory for the memory map of the trace");
}

static struct block_start *add_block(struct moved_thread *t)
{
    if (t->nblocks + 1 >= t->blocks_cap) {
        uint64_t cap = 2 * t->blocks_cap + 16;
        struct block_start *b = realloc(t->blocks, cap * sizeof *b);
        if (b == NULL)
            return NULL;
        t->blocks = b;
        t->blocks_cap = cap;
    }
    return &t->blocks[t->nblocks++];
}

/* Takes the map events of one block. `known` is where the thread stands, before and after. */
static enum err survey_block(struct relocate *r, uint32_t thread, const struct fe_block *b,
                             uint64_t *known)
{
    struct block_start *at = add_block(&r->threads[thread]);
    if (at == NULL)
        return no_memory();
    *at = (struct block_start){.known = *known};
    for (uint32_t i = 0; i < b->nev; i++) {
        const struct fe_event *e = &b->ev[i];
        if (!is_map_event(e) && e->type != FE_MAP_MARK)
            continue;
        if (e->a[0] == UINT64_MAX)
            continue; /* no order */
        if (is_map_event(e) && e->a[0] < *known)
            return err_log(ERR_TRACE, "%s: thread %u has map event %llu after it was told of %llu",
                           r->fe.description, thread, (unsigned long long)e->a[0],
                           (unsigned long long)*known - 1);
        if (e->a[0] + 1 > *known && at->next == 0)
            at->next = e->a[0] + 1;
        *known = u64_max(*known, e->a[0] + 1);
        if (is_map_event(e) && !reloc_map_add(&r->map, thread, e))
            return no_memory();
    }
    return ERR_OK;
}

static enum err survey_thread(struct relocate *r, uint32_t thread)
{
    struct fe_block b = {.last = 0};
    uint64_t known = 0;
    for (uint64_t block = 0; !b.last; block++) {
        enum err e = r->inner->ops->map_events(r->inner, thread, block, &b);
        if (e == ERR_OK)
            e = survey_block(r, thread, &b, &known);
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

/* Orders become numbers of changes. */
static void finish_blocks(const struct relocate *r, struct moved_thread *t)
{
    uint64_t next = r->map.n;
    t->blocks[t->nblocks] = (struct block_start){.next = next};
    for (uint64_t b = t->nblocks; b-- > 0;) {
        struct block_start *s = &t->blocks[b];
        if (s->next != 0)
            next = reloc_map_upto(&r->map, s->next - 1);
        s->next = next;
        s->known = s->known != 0 ? reloc_map_upto(&r->map, s->known - 1) : 0;
    }
}

static enum err survey(struct relocate *r, const struct relocate_params *p)
{
    enum err e = ERR_OK;
    for (uint32_t i = 0; i < r->fe.nthreads && e == ERR_OK; i++)
        e = survey_thread(r, i);
    if (e == ERR_OK)
        e = reloc_map_place(&r->map, r->fe.description, &p->layout, p->stack_limit_bytes,
                            p->instance);
    for (uint32_t i = 0; i < r->fe.nthreads && e == ERR_OK; i++)
        finish_blocks(r, &r->threads[i]);
    return e;
}

enum err relocate_wrap(struct frontend **fe, const struct relocate_params *p)
{
    if (p->layout.mode != LAYOUT_LINUX || (*fe)->ops->map_events == NULL)
        return ERR_OK;
    struct relocate *r = calloc(1, sizeof *r);
    if (r == NULL)
        return no_memory();
    r->inner = *fe;
    r->fe = **fe;
    r->fe.ops = &relocate_ops;
    r->threads = calloc(r->fe.nthreads, sizeof *r->threads);
    enum err e = r->threads != NULL ? survey(r, p) : no_memory();
    if (e != ERR_OK)
        free_all(r);
    else
        *fe = &r->fe;
    return e;
}
