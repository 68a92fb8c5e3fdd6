/* See relocate.h. */
#include "cores/relocate.h"

#include "cores/reloc_map.h"

#include <stdlib.h>
#include <string.h>

#define NHINTS 4096u /* a power of two */
#define NONE UINT32_MAX

/*
 * Map events that a thread knows of when a block starts, and the first that it learns of in this
 * block or a later one: while the trace is surveyed orders + 1 (0: none), then numbers of changes.
 */
struct block_start {
    uint64_t known, next;
};

/* Accesses of a block, from the end of the stretch before up to `end`, among which the map stays. */
struct stretch {
    uint32_t end;
    uint32_t nchanges; /* the view that holds for them */
    uint32_t nremaps;  /* of the block, made behind it */
};

/* What the PC_CHUNK program counters from a multiple of it on lie in. */
#define PC_CHUNK 32u
struct pc_range {
    uint64_t start, end;
};

/* From here on a recorded program counter of the block has another number. */
struct remap {
    uint32_t recorded, now;
};

struct moved_thread {
    struct fe_moves moves; /* by acc_view; the first member */
    const struct relocate *r;
    struct reloc_view view;     /* of the events and program counters: at the end of the block */
    struct reloc_view acc_view; /* of the piece in hand */
    uint16_t hints[NHINTS]; /* pieces of `view` in which to look first, by page; may be wrong */
    struct block_start *blocks; /* one more than there are */
    uint64_t nblocks, blocks_cap;

    /* The block in hand. */
    uint64_t block;
    uint64_t *pcs;
    uint32_t *pc_now; /* index of a recorded program counter's present address in `pcs` */
    struct fe_at *ev_at; /* when calls have become several; else that of the trace is changed in place */
    struct fe_event *ev_forms;
    struct branch_rec *br_forms; /* when program counters have moved */
    uint32_t *form_now;          /* moved form of a recorded one, events' then branches'; or NONE */
    uint32_t *told;              /* changes that the block's events tell of, rising */
    struct stretch *stretches;
    struct remap *remaps;
    struct pc_range *pc_ranges; /* of the recorded program counters, when the block changes the map */
    uint32_t nev_forms, nbr_forms, ntold, nstretches, nremaps, npcs_recorded;
    uint32_t pcs_cap, pc_now_cap, ev_at_cap, ev_forms_cap, br_forms_cap, form_now_cap, told_cap, stretches_cap,
        remaps_cap, pc_ranges_cap;
    /* The piece in hand: [from, to), all in stretch `stretch`, `made` remaps made in `pc_now`. */
    uint32_t from, to, stretch, made;
};

struct relocate {
    struct frontend fe;
    struct frontend *inner;
    struct reloc_map map;
    struct moved_thread *threads;
};

/* A block that is being loaded. */
struct moving {
    const struct relocate *r;
    struct moved_thread *t;
    struct fe_block b; /* as recorded; its places may be changed */
    uint32_t ibr, iev;
    uint32_t npcs;
    uint32_t nchanges; /* that happen before the block ends, at most */
    bool begun;        /* an access or a branch has come: first_pcs is done */
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
static uint32_t limit_of(const struct moved_thread *t, const struct reloc_view *v)
{
    for (uint32_t i = 0; i < t->ntold; i++)
        if (t->told[i] > v->nchanges)
            return t->told[i];
    return (uint32_t)t->blocks[t->block + 1].next;
}

/* Where `addr` lies by view `v`; *i_out: the piece that holds it, or NONE. */
static uint64_t find(const struct relocate *r, const struct moved_thread *t, const struct reloc_view *v, uint64_t addr,
                     uint32_t *i_out)
{
    uint32_t i = reloc_view_at(v, addr);
    *i_out = NONE;
    if (i == v->n || v->p[i].start > addr)
        return reloc_map_outside(&r->map, v, limit_of(t, v), addr);
    *i_out = i;
    return addr + v->p[i].delta;
}

/* Where `addr` lies now, whoever uses it. */
static uint64_t moved(const struct moving *x, uint64_t addr)
{
    const struct reloc_view *v = &x->t->view;
    uint16_t *hint = &x->t->hints[(addr >> PAGE_SHIFT) % NHINTS];
    uint32_t i = *hint;
    if (i < v->n && addr - v->p[i].start < v->p[i].end - v->p[i].start)
        return addr + v->p[i].delta;
    uint64_t to = find(x->r, x->t, v, addr, &i);
    if (i != NONE)
        *hint = (uint16_t)i;
    return to;
}

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

/* ---- program counters ------------------------------------------------------------------------ */

/* Where the block's program counters lie now, into `to`. Neighbours are mostly in one area. */
static void move_pcs(const struct moving *x, uint64_t *to)
{
    const struct reloc_view *v = &x->t->view;
    struct reloc_piece last = {.start = 1, .end = 0};
    for (uint32_t i = 0; i < x->b.npcs; i++) {
        uint64_t pc = x->b.pcs[i];
        if (pc < last.start || pc >= last.end) {
            const struct reloc_piece *p = reloc_view_find(v, pc);
            if (p == NULL) {
                to[i] = moved(x, pc);
                continue;
            }
            last = *p;
        }
        to[i] = pc + last.delta;
    }
}

static void number_pcs(struct moved_thread *t)
{
    for (uint32_t i = 0; i < t->npcs_recorded; i++)
        t->pc_now[i] = i;
}

static void forget_forms(struct moved_thread *t, uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < first + n; i++)
        t->form_now[i] = NONE;
}

static void range_pcs(struct moving *x)
{
    struct moved_thread *t = x->t;
    t->pc_ranges = grown(t->pc_ranges, &t->pc_ranges_cap, x->b.npcs / PC_CHUNK + 1, sizeof *t->pc_ranges);
    for (uint32_t i = 0; i < x->b.npcs; i++) {
        struct pc_range *c = &t->pc_ranges[i / PC_CHUNK];
        if (i % PC_CHUNK == 0)
            *c = (struct pc_range){.start = UINT64_MAX};
        c->start = u64_min(c->start, x->b.pcs[i]);
        c->end = u64_max(c->end, x->b.pcs[i] + 1);
    }
}

static bool holds_code(const struct moving *x, uint64_t start, uint64_t end)
{
    const struct pc_range *c = x->t->pc_ranges;
    for (uint32_t i = 0; i < x->b.npcs; i += PC_CHUNK, c++) {
        const uint32_t stop = (uint32_t)u64_min(i + PC_CHUNK, x->b.npcs);
        for (uint32_t k = i; k < stop && start < c->end && end > c->start; k++)
            if (x->b.pcs[k] >= start && x->b.pcs[k] < end)
                return true;
    }
    return false;
}

/* May the program counters lie elsewhere once the first `nchanges` changes have happened? */
static bool code_changes(const struct moving *x, uint32_t nchanges)
{
    const struct reloc_map *m = &x->r->map;
    uint64_t start, end;
    for (uint32_t i = x->t->view.nchanges; i < nchanges; i++)
        if ((reloc_change_maps(m, i, &start, &end) && holds_code(x, start, end)) ||
            (reloc_change_unmaps(m, i, &start, &end) && holds_code(x, start, end)))
            return true;
    return false;
}

/*
 * Where they lie when the first access or branch is at hand; beside the recorded ones if they may move later, else
 * in their place.
 */
static void first_pcs(struct moving *x)
{
    struct moved_thread *t = x->t;
    x->begun = true;
    range_pcs(x);
    if (!code_changes(x, x->nchanges)) {
        move_pcs(x, (uint64_t *)(uintptr_t)x->b.pcs);
        return;
    }
    t->npcs_recorded = x->b.npcs;
    t->pcs = grown(t->pcs, &t->pcs_cap, x->npcs, sizeof *t->pcs);
    t->pc_now = grown(t->pc_now, &t->pc_now_cap, x->npcs, sizeof *t->pc_now);
    t->form_now = grown(t->form_now, &t->form_now_cap, x->b.nev_forms + x->b.nbr_forms, sizeof *t->form_now);
    forget_forms(t, x->b.nev_forms, x->b.nbr_forms);
    move_pcs(x, t->pcs);
    number_pcs(t);
}

/* remap_pcs for one chunk, from program counter `i` on. */
static void remap_chunk(struct moving *x, uint64_t start, uint64_t end, uint32_t i)
{
    struct moved_thread *t = x->t;
    const uint32_t stop = (uint32_t)u64_min(i + PC_CHUNK, t->npcs_recorded);
    for (; i < stop; i++) {
        uint64_t pc = x->b.pcs[i];
        if (pc < start || pc >= end)
            continue;
        uint64_t to = moved(x, pc);
        if (t->pcs[t->pc_now[i]] == to)
            continue;
        t->pcs = grown(t->pcs, &t->pcs_cap, (uint64_t)x->npcs + 1, sizeof *t->pcs);
        t->remaps = grown(t->remaps, &t->remaps_cap, (uint64_t)t->nremaps + 1, sizeof *t->remaps);
        t->pcs[x->npcs] = to;
        t->remaps[t->nremaps++] = (struct remap){.recorded = i, .now = x->npcs};
        t->pc_now[i] = x->npcs++;
    }
}

/* The map has just changed in [start, end): program counters that moved get a second entry. */
static void remap_pcs(struct moving *x, uint64_t start, uint64_t end)
{
    const struct pc_range *c = x->t->pc_ranges;
    for (uint32_t i = 0; i < x->t->npcs_recorded; i += PC_CHUNK, c++)
        if (start < c->end && end > c->start)
            remap_chunk(x, start, end, i);
}

/* ---- branches -------------------------------------------------------------------------------- */

/* The branch's form with the present numbers of its program counters. */
static uint32_t moved_branch(struct moving *x, uint32_t form)
{
    struct moved_thread *t = x->t;
    uint32_t *now = &t->form_now[x->b.nev_forms + form];
    if (*now != NONE)
        return *now;
    if (t->nbr_forms == 0) { /* those from before the first remap keep their numbers */
        t->nbr_forms = x->b.nbr_forms;
        t->br_forms = grown(t->br_forms, &t->br_forms_cap, t->nbr_forms, sizeof *t->br_forms);
        memcpy(t->br_forms, x->b.br_forms, t->nbr_forms * sizeof *t->br_forms);
    }
    t->br_forms = grown(t->br_forms, &t->br_forms_cap, (uint64_t)t->nbr_forms + 1, sizeof *t->br_forms);
    struct branch_rec *br = &t->br_forms[t->nbr_forms];
    *br = x->b.br_forms[form];
    br->pc_id = t->pc_now[br->pc_id];
    br->target_id = t->pc_now[br->target_id];
    return *now = t->nbr_forms++;
}

/* Branches before access `pos`, which keep their forms. */
static void pass_branches(struct moving *x, uint32_t pos)
{
    uint32_t end = x->b.nbr;
    while (x->ibr < end) {
        uint32_t mid = x->ibr + (end - x->ibr) / 2;
        if (x->b.br_at[mid].pos < pos)
            x->ibr = mid + 1;
        else
            end = mid;
    }
}

/* Branches before the event at (pos, instr_off); see trace_walk.c for the order at one place. */
static void move_branches(struct moving *x, uint32_t pos, uint32_t instr_off)
{
    if (x->t->nremaps == 0)
        pass_branches(x, pos);
    for (; x->ibr < x->b.nbr; x->ibr++) {
        struct fe_at *at = (struct fe_at *)(uintptr_t)&x->b.br_at[x->ibr];
        if (at->pos > pos || (at->pos == pos && x->b.br_forms[at->form].instr_off >= instr_off))
            return;
        if (x->t->nremaps > 0)
            at->form = moved_branch(x, at->form);
    }
}

/* ---- changes --------------------------------------------------------------------------------- */

/* The accesses up to `end` have the view as it is now. */
static void end_stretch(struct moving *x, uint32_t end)
{
    struct moved_thread *t = x->t;
    t->stretches = grown(t->stretches, &t->stretches_cap, (uint64_t)t->nstretches + 1, sizeof *t->stretches);
    t->stretches[t->nstretches++] = (struct stretch){.end = end, .nchanges = t->view.nchanges};
}

/* Does an access or a branch come before the event at (pos, instr_off)? */
static bool begins_before(const struct moving *x, struct fe_at at, uint32_t instr_off)
{
    return at.pos > 0 || (x->b.nbr > 0 && x->b.br_at[0].pos == 0 && fe_br(&x->b, 0)->instr_off < instr_off);
}

/* Changes up to `nchanges` happen at the event at hand. */
static void pass_changes(struct moving *x, struct fe_at at, uint32_t instr_off, uint32_t nchanges)
{
    const struct reloc_map *m = &x->r->map;
    struct moved_thread *t = x->t;
    struct reloc_view *v = &t->view;
    uint32_t nremaps = t->nremaps;
    uint64_t start, end;
    if (nchanges <= v->nchanges)
        return;
    if (!x->begun && begins_before(x, at, instr_off))
        first_pcs(x);
    end_stretch(x, at.pos);
    move_branches(x, at.pos, instr_off);
    while (v->nchanges < nchanges) {
        uint32_t i = v->nchanges;
        reloc_view_set(m, v, i + 1);
        if (reloc_change_maps(m, i, &start, &end))
            remap_pcs(x, start, end);
        if (reloc_change_unmaps(m, i, &start, &end))
            remap_pcs(x, start, end);
    }
    t->stretches[t->nstretches - 1].nremaps = t->nremaps;
    forget_forms(t, 0, x->b.nev_forms);
    if (t->nremaps != nremaps)
        forget_forms(t, x->b.nev_forms, x->b.nbr_forms);
}

/* ---- events ---------------------------------------------------------------------------------- */

/* Index of the thread's own map event; false: it is none of the map's (it came after a cut). */
static bool own_change(const struct moving *x, const struct fe_event *e, uint32_t *i_out)
{
    const struct reloc_map *m = &x->r->map;
    uint32_t n = reloc_map_upto(m, e->a[0]);
    *i_out = n - 1;
    return n > 0 && m->c[n - 1].ev.a[0] == e->a[0];
}

static struct fe_event *more_forms(struct moved_thread *t, uint32_t n)
{
    t->ev_forms = grown(t->ev_forms, &t->ev_forms_cap, (uint64_t)t->nev_forms + n, sizeof *t->ev_forms);
    return t->ev_forms + t->nev_forms;
}

/* The thread's own map call; returns how many events it has become. */
static uint32_t move_call(struct moving *x, struct fe_at at, const struct fe_event *e, uint32_t own, struct fe_at *out)
{
    struct moved_thread *t = x->t;
    pass_changes(x, at, e->instr_off, own);
    struct fe_event *f = more_forms(t, x->r->map.c[own].npieces);
    uint32_t n = reloc_map_rewrite(&x->r->map, &t->view, own, f);
    SIM_ASSERT(n == x->r->map.c[own].npieces, "map event %llu became %u events, not %u",
               (unsigned long long)e->a[0], n, x->r->map.c[own].npieces);
    for (uint32_t i = 0; i < n; i++) {
        f[i].instr_off = e->instr_off;
        out[i] = (struct fe_at){.pos = at.pos, .form = t->nev_forms++};
    }
    pass_changes(x, at, e->instr_off, own + 1);
    return n;
}

static void move_event(const struct moving *x, struct fe_event *e)
{
    switch (e->type) {
    case FE_IFETCH_PAGE:
        e->a[0] = moved(x, e->a[0] << PAGE_SHIFT) >> PAGE_SHIFT;
        break;
    case FE_MAP_MARK:
        e->a[0] = reloc_map_order(&x->r->map, e->a[0]);
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

/* The form of an event that is no map call: each is moved once between two changes of the map. */
static uint32_t moved_event(struct moving *x, struct fe_at at)
{
    struct moved_thread *t = x->t;
    struct fe_event e = x->b.ev_forms[at.form];
    if (e.type == FE_MAP_MARK)
        pass_changes(x, at, e.instr_off, reloc_map_upto(&x->r->map, e.a[0]));
    move_event(x, &e);
    *more_forms(t, 1) = e;
    return t->form_now[at.form] = t->nev_forms++;
}

/* Another array for the places, with room for what calls become: the first `n` are ready. */
static struct fe_at *more_room(struct moving *x, const struct fe_at *ready, uint32_t n)
{
    struct moved_thread *t = x->t;
    uint64_t need = (uint64_t)n + x->b.nev - x->iev;
    uint32_t own;
    for (uint32_t i = x->iev; i < x->b.nev; i++)
        if (is_map_event(fe_ev(&x->b, i)) && own_change(x, fe_ev(&x->b, i), &own))
            need += x->r->map.c[own].npieces - 1u;
    t->ev_at = grown(t->ev_at, &t->ev_at_cap, need, sizeof *t->ev_at);
    memcpy(t->ev_at, ready, n * sizeof *ready);
    return t->ev_at;
}

/* Places change in place until the first call that becomes several. */
static void move_events(struct moving *x, struct fe_block *b)
{
    struct fe_at *const recorded = (struct fe_at *)(uintptr_t)x->b.ev_at;
    struct fe_at *out = recorded;
    uint32_t n = 0, own;
    for (; x->iev < x->b.nev; x->iev++) {
        struct fe_at at = recorded[x->iev];
        const struct fe_event *e = &x->b.ev_forms[at.form];
        uint32_t now = x->t->form_now[at.form];
        if (now != NONE) { /* no call of the thread's own is ever noted */
            out[n++] = (struct fe_at){.pos = at.pos, .form = now};
        } else if (is_map_event(e) && own_change(x, e, &own)) {
            if (out == recorded && x->r->map.c[own].npieces > 1)
                out = more_room(x, recorded, n);
            n += move_call(x, at, e, own, out + n);
        } else {
            out[n++] = (struct fe_at){.pos = at.pos, .form = moved_event(x, at)};
        }
    }
    b->ev_at = out;
    b->nev = n;
    b->ev_forms = x->t->ev_forms;
    b->nev_forms = x->t->nev_forms;
}

/* What the block's events tell of, before any of them is changed. Returns how many changes happen in it at most. */
static uint32_t note_told(struct moving *x)
{
    struct moved_thread *t = x->t;
    uint32_t most = 0, last = 0, own;
    t->ntold = 0;
    for (uint32_t i = 0; i < x->b.nev; i++) {
        const struct fe_event *e = fe_ev(&x->b, i);
        bool tells = e->type >= FE_MMAP && e->type <= FE_MAP_MARK && e->a[0] != UINT64_MAX;
        uint32_t n = tells ? told_by(x->r, e) : 0;
        const uint32_t happened = is_map_event(e) && own_change(x, e, &own) ? own + 1 : n;
        last = last > happened ? last : happened;
        if (n <= most)
            continue;
        t->told = grown(t->told, &t->told_cap, (uint64_t)t->ntold + 1, sizeof *t->told);
        t->told[t->ntold++] = most = n;
    }
    return last;
}

/* ---- accesses -------------------------------------------------------------------------------- */

static uint64_t find_near(struct fe_moves *m, struct fe_area *near, uint64_t addr)
{
    const struct moved_thread *t = (const struct moved_thread *)m;
    const struct reloc_view *v = &t->acc_view;
    uint32_t i;
    uint64_t to = find(t->r, t, v, addr, &i);
    if (i != NONE)
        *near = (struct fe_area){.start = v->p[i].start, .bytes = v->p[i].end - v->p[i].start, .delta = v->p[i].delta};
    return to;
}

static void set_acc_view(const struct relocate *r, struct moved_thread *t, uint32_t nchanges)
{
    if (t->acc_view.nchanges == nchanges)
        return;
    memset(t->moves.near, 0, sizeof t->moves.near);
    t->moves.version++;
    reloc_view_set(&r->map, &t->acc_view, nchanges);
}

static void first_stretch(const struct relocate *r, struct moved_thread *t)
{
    t->from = t->to = t->stretch = t->made = 0;
    set_acc_view(r, t, t->stretches[0].nchanges);
    if (t->nremaps > 0)
        number_pcs(t);
}

static void next_stretch(const struct relocate *r, struct moved_thread *t)
{
    const struct stretch *s = &t->stretches[t->stretch++];
    for (; t->made < s->nremaps; t->made++)
        t->pc_now[t->remaps[t->made].recorded] = t->remaps[t->made].now;
    set_acc_view(r, t, s[1].nchanges);
}

/* The next piece, which ends where its stretch does. */
static void next_piece(const struct relocate *r, struct moved_thread *t, uint32_t thread, struct fe_block *b)
{
    while (t->stretches[t->stretch].end <= t->to)
        next_stretch(r, t);
    r->inner->ops->next_piece(r->inner, thread, t->to == 0, t->stretches[t->stretch].end, &t->moves, b);
    struct access_rec *a = (struct access_rec *)(uintptr_t)b->piece;
    for (uint32_t i = 0; t->made > 0 && i < b->acc_to - b->acc_from; i++)
        a[i].pc_id = t->pc_now[a[i].pc_id];
    t->from = b->acc_from;
    t->to = b->acc_to;
}

/* ---- the front end --------------------------------------------------------------------------- */

static bool has_changes(const struct fe_block *b)
{
    bool any = false;
    for (uint32_t i = 0; i < b->nev_forms; i++)
        any |= b->ev_forms[i].type >= FE_MMAP && b->ev_forms[i].type <= FE_MAP_MARK;
    return any;
}

/* The map stays: forms are moved, wherever they stand. */
static void move_still_block(struct moving *x)
{
    struct fe_event *forms = (struct fe_event *)(uintptr_t)x->b.ev_forms;
    move_pcs(x, (uint64_t *)(uintptr_t)x->b.pcs);
    for (uint32_t i = 0; i < x->b.nev_forms; i++)
        move_event(x, &forms[i]);
    end_stretch(x, UINT32_MAX);
}

static void move_changing_block(struct moving *x, struct fe_block *out)
{
    struct moved_thread *t = x->t;
    x->nchanges = note_told(x);
    x->npcs = x->b.npcs;
    t->npcs_recorded = 0;
    t->form_now = grown(t->form_now, &t->form_now_cap, x->b.nev_forms, sizeof *t->form_now);
    forget_forms(t, 0, x->b.nev_forms);
    move_events(x, out);
    if (!x->begun)
        first_pcs(x);
    end_stretch(x, UINT32_MAX);
    if (t->nremaps > 0) {
        move_branches(x, UINT32_MAX, UINT32_MAX);
        out->br_forms = t->br_forms;
        out->nbr_forms = t->nbr_forms;
    }
    if (t->npcs_recorded != 0)
        out->pcs = t->pcs;
    out->npcs = x->npcs;
}

static enum err relocate_load(struct frontend *fe, uint32_t thread, uint64_t block,
                              struct fe_block *out)
{
    struct relocate *r = (struct relocate *)fe;
    struct moved_thread *t = &r->threads[thread];
    struct moving x = {.r = r, .t = t};
    enum err e = r->inner->ops->load(r->inner, thread, block, &x.b);
    if (e != ERR_OK)
        return e;
    t->block = block;
    t->nev_forms = t->nbr_forms = t->nstretches = t->nremaps = t->ntold = 0;
    reloc_view_set(&r->map, &t->view, (uint32_t)t->blocks[block].known);
    *out = x.b;
    if (has_changes(&x.b))
        move_changing_block(&x, out);
    else
        move_still_block(&x);
    first_stretch(r, t);
    return ERR_OK;
}

static void relocate_piece(struct frontend *fe, uint32_t thread, uint32_t acc, struct fe_block *out)
{
    struct relocate *r = (struct relocate *)fe;
    struct moved_thread *t = &r->threads[thread];
    if (acc < t->from)
        first_stretch(r, t);
    while (acc >= t->to)
        next_piece(r, t, thread, out);
}

static void free_all(struct relocate *r)
{
    for (uint32_t i = 0; r->threads != NULL && i < r->fe.nthreads; i++) {
        struct moved_thread *t = &r->threads[i];
        reloc_view_free(&t->view);
        free(t->blocks);
        reloc_view_free(&t->acc_view);
        free(t->pcs);
        free(t->pc_now);
        free(t->ev_at);
        free(t->ev_forms);
        free(t->br_forms);
        free(t->form_now);
        free(t->told);
        free(t->stretches);
        free(t->remaps);
        free(t->pc_ranges);
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
    .piece = relocate_piece,
    .close = relocate_close,
};

size_t relocate_thread_bytes(const struct frontend *fe, uint32_t thread)
{
    if (fe->ops != &relocate_ops)
        return 0;
    const struct moved_thread *t = &((const struct relocate *)fe)->threads[thread];
    return sizeof *t + t->blocks_cap * sizeof *t->blocks + (t->view.cap + t->acc_view.cap) * sizeof *t->view.p +
           t->pcs_cap * sizeof *t->pcs + t->pc_now_cap * sizeof *t->pc_now + t->ev_at_cap * sizeof *t->ev_at +
           t->ev_forms_cap * sizeof *t->ev_forms + t->br_forms_cap * sizeof *t->br_forms +
           t->form_now_cap * sizeof *t->form_now + t->told_cap * sizeof *t->told +
           t->stretches_cap * sizeof *t->stretches + t->remaps_cap * sizeof *t->remaps +
           t->pc_ranges_cap * sizeof *t->pc_ranges;
}

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
        const struct fe_event *e = fe_ev(b, i);
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
    for (uint32_t i = 0; r->threads != NULL && i < r->fe.nthreads; i++) {
        r->threads[i].r = r;
        r->threads[i].moves.version = 1;
        r->threads[i].moves.find = find_near;
    }
    enum err e = r->threads != NULL ? survey(r, p) : no_memory();
    if (e != ERR_OK)
        free_all(r);
    else
        *fe = &r->fe;
    return e;
}
