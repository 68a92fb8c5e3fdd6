/* See trace_copy.h. */
#include "cores/trace_copy.h"

#include "cores/champsim.h"
#include "cores/trace_walk.h"
#include "cores/vmt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* ---- VMT ----------------------------------------------------------------------------------- */

/* What lies inside the cut: bitmap of wake ids, and of map orders. */
struct kept {
    uint64_t *wakes, nwakes;
    uint64_t *orders, norders;
    uint64_t last_order;
};

static bool bit_set(uint64_t **bits, uint64_t *n, uint64_t i)
{
    if (i > UINT32_MAX)
        return true;
    if (i >= *n) {
        uint64_t cap = (i + i / 2 + 1024) & ~UINT64_C(63);
        uint64_t *p = realloc(*bits, cap / 8);
        if (p == NULL)
            return false;
        memset(p + *n / 64, 0, (cap - *n) / 8);
        *bits = p;
        *n = cap;
    }
    (*bits)[i / 64] |= UINT64_C(1) << (i % 64);
    return true;
}

static bool bit_get(const uint64_t *bits, uint64_t n, uint64_t i)
{
    return i < n && (bits[i / 64] >> (i % 64) & 1) != 0;
}

static bool is_end(const struct trace_item *it)
{
    return it->acc == NULL && it->br == NULL && it->ev == NULL;
}

static bool note_event(struct kept *k, const struct fe_event *e)
{
    if (e->type == FE_FUTEX_WAKE)
        return bit_set(&k->wakes, &k->nwakes, e->a[1]);
    if (e->type == FE_THREAD_EXIT)
        return bit_set(&k->wakes, &k->nwakes, e->a[0]);
    if (e->type >= FE_MMAP && e->type <= FE_MADVISE)
        return bit_set(&k->orders, &k->norders, e->a[0]);
    return true;
}

static enum err find_kept(struct frontend *fe, uint64_t max_instrs, struct kept *k)
{
    for (uint32_t t = 0; t < fe->nthreads; t++) {
        struct trace_walk w = {.fe = fe, .thread = t};
        struct trace_item it;
        for (;;) {
            enum err e = trace_walk_next(&w, &it);
            if (e != ERR_OK)
                return e;
            if (is_end(&it) || it.instr > max_instrs)
                break;
            if (it.ev != NULL && !note_event(k, it.ev))
                return err_log(ERR_MEMORY, "no memory to copy the trace");
        }
    }
    while (bit_get(k->orders, k->norders, k->last_order + 1))
        k->last_order++;
    return ERR_OK;
}

static void copy_event(struct vmt_thread *out, const struct kept *k, const struct fe_event *e)
{
    uint64_t a[6];
    memcpy(a, e->a, sizeof a);
    if (e->type == FE_FUTEX_WAIT && !bit_get(k->wakes, k->nwakes, a[1]))
        a[1] = 0;
    if (e->type == FE_MAP_MARK && a[0] > k->last_order)
        a[0] = k->last_order;
    vmt_event(out, e->type, a);
}

/* Map events behind a hole in the order would never be executed. */
static bool is_lost(const struct kept *k, const struct fe_event *e)
{
    return e->type >= FE_MMAP && e->type <= FE_MADVISE && e->a[0] > k->last_order;
}

static void stamp_block(struct frontend *fe, struct vmt_thread *out, const struct trace_walk *w)
{
    const struct vmt_block_header *h =
        strcmp(fe->ops->name, "vmt") == 0 ? vmt_block(fe, w->thread, w->block - 1) : NULL;
    if (h != NULL)
        vmt_stamp(out, h->gseq, h->host_ns);
}

static enum err copy_thread(struct frontend *fe, uint32_t thread, struct vmt_thread *out,
                            uint64_t max_instrs, const struct kept *k)
{
    struct trace_walk w = {.fe = fe, .thread = thread};
    struct trace_item it;
    uint64_t instr = 0, block = 0;
    for (;;) {
        enum err e = trace_walk_next(&w, &it);
        if (e != ERR_OK)
            return e;
        if (is_end(&it) || it.instr > max_instrs)
            break;
        if (w.block != block) {
            block = w.block;
            /* Block borders are kept, and with them the stamps. */
            vmt_instr(out, w.b.first_instr - instr);
            instr = w.b.first_instr;
            vmt_thread_flush(out);
            stamp_block(fe, out, &w);
        }
        vmt_instr(out, it.instr - instr);
        instr = it.instr;
        if (it.acc != NULL)
            vmt_access(out, w.b.pcs[it.acc->pc_id], it.acc);
        else if (it.br != NULL)
            vmt_branch(out, w.b.pcs[it.br->pc_id], w.b.pcs[it.br->target_id], it.br);
        else if (!is_lost(k, it.ev))
            copy_event(out, k, it.ev);
    }
    if (is_end(&it))
        vmt_instr(out, trace_walk_end(&w) - instr);
    else if (max_instrs > instr)
        vmt_instr(out, max_instrs - instr);
    return ERR_OK;
}

enum err trace_copy(struct frontend *fe, const char *out_path, uint64_t max_instrs, bool high)
{
    struct kept k = {.last_order = 0};
    struct vmt_writer *w = NULL;
    struct vmt_writer_opts opts = {.high = high};
    const char *meta = strcmp(fe->ops->name, "vmt") == 0 ? vmt_info(fe)->meta : fe->description;
    char cut_line[64] = "";
    enum err e = find_kept(fe, max_instrs, &k);
    if (e == ERR_OK)
        e = vmt_create(out_path, meta, &opts, &w);
    if (e != ERR_OK)
        goto out;
    struct vmt_thread **threads = calloc(fe->nthreads, sizeof *threads);
    for (uint32_t t = 0; threads != NULL && t < fe->nthreads && e == ERR_OK; t++) {
        threads[t] = vmt_thread_open(w);
        if (threads[t] == NULL)
            e = err_log(ERR_MEMORY, "%s: no memory to copy %u threads", out_path, fe->nthreads);
    }
    for (uint32_t t = 0; threads != NULL && t < fe->nthreads; t++) {
        if (e == ERR_OK)
            e = copy_thread(fe, t, threads[t], max_instrs, &k);
        if (threads[t] != NULL)
            vmt_thread_close(threads[t]);
    }
    free(threads);
    if (max_instrs != UINT64_MAX)
        snprintf(cut_line, sizeof cut_line, "cut_instructions=%llu\n",
                 (unsigned long long)max_instrs);
    enum err closed = vmt_close(w, cut_line);
    e = e == ERR_OK ? closed : e;
out:
    free(k.wakes);
    free(k.orders);
    return e;
}

/* ---- ChampSim ------------------------------------------------------------------------------ */

#define FIRST_LOAD_REG 64u
#define NLOAD_REGS 128u

/* One instruction being put together. */
struct building {
    FILE *f;
    struct champsim_record r;
    unsigned nsrc, nloads, nstores;
    uint64_t instr; /* number of the one in `r`, 0: none */
    uint64_t loads; /* of the thread */
    uint64_t target; /* of `r`, when it is a taken branch; else 0 */
};

static void add_source(struct building *b, unsigned reg)
{
    for (unsigned i = 0; i < b->nsrc; i++)
        if (b->r.src[i] == reg)
            return;
    if (b->nsrc < 4)
        b->r.src[b->nsrc++] = (uint8_t)reg;
}

static void add_producer(struct building *b, uint16_t dep)
{
    if (dep != 0 && dep <= NLOAD_REGS && dep <= b->loads)
        add_source(b, (unsigned)(FIRST_LOAD_REG + (b->loads - dep) % NLOAD_REGS));
}

static bool put_record(struct building *b)
{
    bool ok = b->instr == 0 || fwrite(&b->r, sizeof b->r, 1, b->f) == 1;
    memset(&b->r, 0, sizeof b->r);
    b->nsrc = b->nloads = b->nstores = 0;
    return ok;
}

/*
 * The addresses of plain instructions are not in the trace. Those after a taken branch begin at its
 * target, and all are spread evenly up to the next known address, when it can be that near.
 */
static bool put_fillers(struct building *b, uint64_t n, uint64_t ip, uint64_t pc)
{
    const uint64_t longest = 15;
    uint64_t first = b->target != 0 ? 0 : 1; /* is `ip` the first one's, or that of the one before? */
    uint64_t steps = n + first, bytes = pc - ip;
    bool near = pc > ip && bytes <= longest * steps && bytes >= steps;
    bool ok = true;
    for (uint64_t i = first; i < n + first && ok; i++) {
        struct champsim_record filler = {.ip = ip + (near ? bytes * i / steps : 4 * i)};
        ok = fwrite(&filler, sizeof filler, 1, b->f) == 1;
    }
    return ok;
}

/* Instructions up to `instr` are out, and `r` is the one numbered `instr`, at `pc`. */
static bool advance_to(struct building *b, uint64_t instr, uint64_t pc)
{
    if (instr == b->instr && instr != 0)
        return true;
    uint64_t ip = b->target != 0 ? b->target : b->r.ip;
    bool ok = put_record(b) && put_fillers(b, instr - b->instr - 1, ip, pc);
    b->instr = instr;
    b->target = 0;
    b->r.ip = pc;
    return ok;
}

static void add_access(struct building *b, const struct access_rec *a)
{
    add_producer(b, a->addr_dep[0]);
    add_producer(b, a->addr_dep[1]);
    if ((a->flags & ACC_STORE) != 0) {
        add_producer(b, a->data_dep);
        if (b->nstores < 2)
            b->r.stores[b->nstores++] = a->vaddr;
        return;
    }
    if (b->nloads < 4) {
        b->r.loads[b->nloads++] = a->vaddr;
        /* The first destination names the last load of the instruction. */
        b->r.dst[0] = (uint8_t)(FIRST_LOAD_REG + b->loads % NLOAD_REGS);
    }
    b->loads++;
}

static void add_branch(struct building *b, const struct branch_rec *br, uint64_t target)
{
    b->r.is_branch = 1;
    b->r.taken = br->taken;
    b->target = br->taken ? target : 0;
    b->r.dst[1] = CHAMPSIM_IP;
    bool call = br->kind == BR_CALL || br->kind == BR_CALL_INDIRECT;
    if (call || br->kind == BR_RET) {
        b->nsrc = 0; /* the return address' load or store has no producers that matter */
        b->r.dst[0] = CHAMPSIM_SP;
        add_source(b, CHAMPSIM_SP);
    }
    if (call || br->kind == BR_COND)
        add_source(b, CHAMPSIM_IP);
    if (br->kind == BR_COND && (br->dep == 0 || br->dep > NLOAD_REGS))
        add_source(b, CHAMPSIM_FLAGS);
    if (br->kind == BR_COND || br->kind == BR_INDIRECT || br->kind == BR_CALL_INDIRECT)
        add_producer(b, br->dep);
    if ((br->kind == BR_INDIRECT || br->kind == BR_CALL_INDIRECT) &&
        (br->dep == 0 || br->dep > NLOAD_REGS))
        add_source(b, 1); /* some register, or it would look direct */
}

static enum err export_thread(struct frontend *fe, uint32_t thread, struct building *b)
{
    struct trace_walk w = {.fe = fe, .thread = thread};
    struct trace_item it;
    bool ok = true;
    while (ok) {
        enum err e = trace_walk_next(&w, &it);
        if (e != ERR_OK)
            return e;
        if (is_end(&it))
            break;
        if (it.ev != NULL)
            continue;
        ok = advance_to(b, it.instr, w.b.pcs[it.acc != NULL ? it.acc->pc_id : it.br->pc_id]);
        if (it.acc != NULL)
            add_access(b, it.acc);
        else
            add_branch(b, it.br, w.b.pcs[it.br->target_id]);
    }
    ok = ok && advance_to(b, trace_walk_end(&w) + 1, 0);
    return ok ? ERR_OK : ERR_OUTPUT;
}

enum err trace_export_champsim(struct frontend *fe, uint32_t thread, const char *out_path)
{
    struct building b = {.instr = 0};
    size_t n = strlen(out_path);
    bool xz = n > 3 && strcmp(out_path + n - 3, ".xz") == 0;
    char command[4200];
    if (xz && strchr(out_path, '\'') != NULL)
        return err_log(ERR_USAGE, "%s: no quotes in the name, please", out_path);
    snprintf(command, sizeof command, "xz -9e -c > '%s'", out_path);
    b.f = xz ? popen(command, "we") : fopen(out_path, "wbe");
    if (b.f == NULL)
        return err_log(ERR_OUTPUT, "%s: cannot be written: %s", out_path, strerror(errno));
    enum err e = export_thread(fe, thread, &b);
    int status = xz ? pclose(b.f) : fclose(b.f);
    if (e == ERR_OUTPUT || status != 0)
        return err_log(ERR_OUTPUT, "%s: cannot be written%s", out_path,
                       xz ? " (is xz installed? package xz-utils)" : "");
    return e;
}
