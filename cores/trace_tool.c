/*
 * See trace_tool.h. Everything reads through the front-end interface, so that what the tools show
 * is what a simulation would get.
 */
#include "cores/trace_tool.h"

#include "cores/champsim.h"
#include "cores/relocate.h"
#include "cores/trace_copy.h"
#include "cores/trace_open.h"
#include "cores/trace_replay.h"
#include "cores/trace_walk.h"
#include "cores/vmt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char usage[] =
    "usage: concerto trace COMMAND FILE [options]\n"
    "  info FILE                    what the trace holds\n"
    "  verify FILE                  checks every block and reference; exit status 3 on damage\n"
    "  dump FILE [--thread T] [--from N] [--count N]\n"
    "                               records as text, from instruction N\n"
    "  cut FILE -o OUT --instructions N\n"
    "                               the first N instructions of each thread\n"
    "  repack FILE -o OUT [--hc]    compresses again\n"
    "  export FILE -o OUT --champsim [--thread T]\n"
    "                               one thread as a ChampSim trace (xz when OUT ends in .xz)\n"
    "  bench FILE [--placed]        how fast it decodes; with its areas laid out as Linux would\n";

static const char *const event_names[] = {
    [FE_IFETCH_PAGE] = "ifetch_page",     [FE_MMAP] = "mmap",
    [FE_MUNMAP] = "munmap",               [FE_MPROTECT] = "mprotect",
    [FE_MREMAP] = "mremap",               [FE_BRK] = "brk",
    [FE_MADVISE] = "madvise",             [FE_MAP_MARK] = "map_mark",
    [FE_FUTEX_WAIT] = "futex_wait",       [FE_FUTEX_WAKE] = "futex_wake",
    [FE_THREAD_CREATE] = "thread_create", [FE_THREAD_EXIT] = "thread_exit",
    [FE_SYSCALL] = "syscall",             [FE_ROI_BEGIN] = "roi_begin",
    [FE_ROI_END] = "roi_end",             [FE_SAMPLE_GAP] = "sample_gap",
    [FE_FORK] = "fork",                   [FE_EXEC] = "exec"};
#define NEVENT_NAMES (sizeof event_names / sizeof event_names[0])
static const char *const branch_names[] = {"cond", "jump", "indirect", "call", "call_indirect",
                                           "ret"};

struct args {
    const char *path, *out;
    uint64_t thread, from, count, instructions;
    bool has_thread, hc, champsim, placed;
};

/* ---- sets of numbers ----------------------------------------------------------------------- */

struct set {
    uint64_t *slots; /* value + 1; 0 = free */
    uint64_t n, cap;
};

/* False when already there (or no memory). */
static bool set_add(struct set *s, uint64_t v)
{
    if (s->n * 2 >= s->cap) {
        struct set bigger = {.cap = s->cap != 0 ? 2 * s->cap : 1024};
        bigger.slots = calloc(bigger.cap, sizeof *bigger.slots);
        if (bigger.slots == NULL)
            return false;
        for (uint64_t i = 0; i < s->cap; i++)
            if (s->slots[i] != 0)
                set_add(&bigger, s->slots[i] - 1);
        free(s->slots);
        *s = bigger;
    }
    uint64_t i = (v * UINT64_C(0x9e3779b97f4a7c15)) >> 20;
    for (i &= s->cap - 1; s->slots[i] != 0; i = (i + 1) & (s->cap - 1))
        if (s->slots[i] == v + 1)
            return false;
    s->slots[i] = v + 1;
    s->n++;
    return true;
}

static bool set_has(const struct set *s, uint64_t v)
{
    if (s->cap == 0)
        return false;
    uint64_t i = (v * UINT64_C(0x9e3779b97f4a7c15)) >> 20;
    for (i &= s->cap - 1; s->slots[i] != 0; i = (i + 1) & (s->cap - 1))
        if (s->slots[i] == v + 1)
            return true;
    return false;
}

/* ---- survey: one pass over all records ------------------------------------------------------ */

struct survey {
    uint64_t events[NEVENT_NAMES + 1]; /* the last one: unknown types */
    uint64_t branches[6], taken;
    uint64_t loads, stores, locked, with_producer;
    uint64_t instrs, accesses, nbranches, nevents;
    struct set data_pages, code_pages, wakes, orders, created;
    uint64_t problems;
};

static void survey_free(struct survey *s)
{
    free(s->data_pages.slots);
    free(s->code_pages.slots);
    free(s->wakes.slots);
    free(s->orders.slots);
    free(s->created.slots);
}

static void problem(struct survey *s, const struct trace_walk *w, const char *what, uint64_t value)
{
    if (s->problems++ < 20)
        err_log(ERR_TRACE, "thread %u block %" PRIu64 " near access %u: %s (%" PRIu64 ")",
                w->thread, w->block - 1, w->iacc, what, value);
}

static void survey_access(struct survey *s, const struct trace_walk *w, const struct access_rec *a,
                          uint64_t loads)
{
    uint64_t first = a->vaddr >> PAGE_SHIFT, last = (a->vaddr + a->size - 1) >> PAGE_SHIFT;
    set_add(&s->data_pages, first);
    if (last != first)
        set_add(&s->data_pages, last);
    if ((a->flags & ACC_STORE) != 0)
        s->stores++;
    else
        s->loads++;
    s->accesses++;
    s->locked += (a->flags & ACC_LOCK) != 0;
    s->with_producer += (a->addr_dep[0] | a->addr_dep[1]) != 0;
    if (a->addr_dep[0] > loads || a->addr_dep[1] > loads || a->data_dep > loads)
        problem(s, w, "a producer lies before the first load", a->addr_dep[0]);
    if (a->size == 0 || a->size > 64)
        problem(s, w, "illegal access size", a->size);
}

static void survey_event(struct survey *s, const struct trace_walk *w, const struct fe_event *e)
{
    s->nevents++;
    s->events[e->type < NEVENT_NAMES ? e->type : NEVENT_NAMES]++;
    switch (e->type) {
    case FE_IFETCH_PAGE:
        set_add(&s->code_pages, e->a[0]);
        break;
    case FE_FUTEX_WAKE:
        if (!set_add(&s->wakes, e->a[1]))
            problem(s, w, "this wake id was used before", e->a[1]);
        break;
    case FE_THREAD_EXIT:
        if (!set_add(&s->wakes, e->a[0]))
            problem(s, w, "this wake id was used before", e->a[0]);
        break;
    case FE_THREAD_CREATE:
        if (e->a[0] == 0 || e->a[0] >= w->fe->nthreads || !set_add(&s->created, e->a[0]))
            problem(s, w, "this thread cannot be created here", e->a[0]);
        break;
    case FE_MMAP: case FE_MUNMAP: case FE_MPROTECT: case FE_MREMAP: case FE_BRK: case FE_MADVISE:
        if (!set_add(&s->orders, e->a[0]))
            problem(s, w, "this map order was used before", e->a[0]);
        break;
    default:
        break;
    }
}

static enum err survey_thread(struct frontend *fe, uint32_t thread, struct survey *s)
{
    struct trace_walk w = {.fe = fe, .thread = thread};
    struct trace_item it;
    uint64_t loads = 0, instr = 0;
    for (;;) {
        enum err e = trace_walk_next(&w, &it);
        if (e != ERR_OK)
            return e;
        if (it.acc == NULL && it.br == NULL && it.ev == NULL)
            break;
        if (it.instr < instr)
            problem(s, &w, "instruction count goes back", it.instr);
        instr = it.instr;
        if (it.acc != NULL) {
            survey_access(s, &w, it.acc, loads);
            loads += (it.acc->flags & ACC_STORE) == 0;
        } else if (it.br != NULL) {
            s->nbranches++;
            s->taken += it.br->taken;
            if (it.br->kind < 6)
                s->branches[it.br->kind]++;
            else
                problem(s, &w, "unknown kind of branch", it.br->kind);
            if (it.br->dep > loads)
                problem(s, &w, "a branch's producer lies before the first load", it.br->dep);
        } else {
            survey_event(s, &w, it.ev);
        }
    }
    s->instrs += trace_walk_end(&w);
    return ERR_OK;
}

static enum err survey_trace(struct frontend *fe, struct survey *s)
{
    for (uint32_t t = 0; t < fe->nthreads; t++) {
        enum err e = survey_thread(fe, t, s);
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

/* ---- info ---------------------------------------------------------------------------------- */

static const char *const column_names[VMT_NCOLS_KNOWN] = {
    "access ids", "address control", "address payload", "access templates", "program counters",
    "branch ids", "branch templates", "event ids",      "event templates"};

static void print_vmt_info(const struct frontend *fe)
{
    const struct vmt_info *info = vmt_info(fe);
    uint64_t raw[VMT_NCOLS_KNOWN] = {0}, stored[VMT_NCOLS_KNOWN] = {0};
    printf("%s", info->meta);
    printf("state=%s\nbytes=%" PRIu64 "\nblocks=%" PRIu64 "\n",
           info->truncated ? "truncated" : "complete", info->file_bytes, info->nblocks);
    for (uint32_t t = 0; t < fe->nthreads; t++) {
        uint64_t instr = 0, acc = 0;
        for (uint64_t b = 0; b < vmt_nblocks(fe, t); b++) {
            const struct vmt_block_header *h = vmt_block(fe, t, b);
            if (h == NULL)
                continue;
            instr += h->ninstr;
            acc += h->nacc;
            for (unsigned c = 0; c < VMT_NCOLS_KNOWN; c++) {
                raw[c] += h->col[c].raw_bytes;
                stored[c] += h->col[c].stored_bytes;
            }
        }
        printf("thread %u: %" PRIu64 " blocks, %" PRIu64 " instructions, %" PRIu64 " accesses\n", t,
               vmt_nblocks(fe, t), instr, acc);
    }
    for (unsigned c = 0; c < VMT_NCOLS_KNOWN; c++)
        printf("column %s: %" PRIu64 " bytes, %" PRIu64 " unpacked\n", column_names[c], stored[c],
               raw[c]);
    if (fe->naccesses > 0)
        printf("bytes per access: %.3f\n", (double)info->file_bytes / (double)fe->naccesses);
}

static void print_survey(const struct survey *s)
{
    printf("instructions: %" PRIu64 "\naccesses: %" PRIu64 " (%" PRIu64 " loads, %" PRIu64
           " stores, %" PRIu64 " locked, %" PRIu64 " with an address producer)\n",
           s->instrs, s->accesses, s->loads, s->stores, s->locked, s->with_producer);
    printf("branches: %" PRIu64 ", taken %" PRIu64 ";", s->nbranches, s->taken);
    for (unsigned k = 0; k < 6; k++)
        printf(" %s %" PRIu64, branch_names[k], s->branches[k]);
    printf("\ndata pages: %" PRIu64 " (%" PRIu64 " KiB), code pages: %" PRIu64 "\n",
           s->data_pages.n, s->data_pages.n * 4, s->code_pages.n);
    for (unsigned i = 1; i < NEVENT_NAMES; i++)
        if (s->events[i] != 0)
            printf("events %s: %" PRIu64 "\n", event_names[i], s->events[i]);
    if (s->events[NEVENT_NAMES] != 0)
        printf("events of unknown type: %" PRIu64 "\n", s->events[NEVENT_NAMES]);
}

static bool is_vmt(const struct frontend *fe) { return strcmp(fe->ops->name, "vmt") == 0; }

static enum err run_info(struct frontend *fe, const struct args *a)
{
    (void)a;
    struct survey s = {.problems = 0};
    printf("%s\nformat=%s\nthreads=%u\n", fe->description, fe->ops->name, fe->nthreads);
    if (is_vmt(fe))
        print_vmt_info(fe);
    enum err e = survey_trace(fe, &s);
    if (e == ERR_OK)
        print_survey(&s);
    survey_free(&s);
    return e;
}

/* ---- verify -------------------------------------------------------------------------------- */

/* References from one thread to another, once all are known. */
static enum err check_references(struct frontend *fe, struct survey *s)
{
    for (uint32_t t = 0; t < fe->nthreads; t++) {
        struct trace_walk w = {.fe = fe, .thread = t};
        struct trace_item it;
        do {
            enum err e = trace_walk_next(&w, &it);
            if (e != ERR_OK)
                return e;
            if (it.ev == NULL)
                continue;
            const struct fe_event *ev = it.ev;
            if (ev->type == FE_FUTEX_WAIT && ev->a[1] != 0 && !set_has(&s->wakes, ev->a[1]))
                problem(s, &w, "a wait for a wake id that nobody issues", ev->a[1]);
            if (ev->type == FE_MAP_MARK && !set_has(&s->orders, ev->a[0]))
                problem(s, &w, "a mark for a map event that is not there", ev->a[0]);
        } while (it.acc != NULL || it.br != NULL || it.ev != NULL);
    }
    for (uint64_t i = 0; i < s->orders.n; i++)
        if (!set_has(&s->orders, i)) {
            s->problems++;
            return err_log(ERR_TRACE, "map event %" PRIu64 " is missing", i);
        }
    return ERR_OK;
}

/* Each block begins where the one before ended. */
static enum err check_blocks(struct frontend *fe, struct survey *s)
{
    for (uint32_t t = 0; is_vmt(fe) && t < fe->nthreads; t++) {
        uint64_t instr = 0, acc = 0;
        for (uint64_t b = 0; b < vmt_nblocks(fe, t); b++) {
            const struct vmt_block_header *h = vmt_block(fe, t, b);
            if (h == NULL)
                continue;
            if (h->first_instr != instr || h->first_access != acc) {
                s->problems++;
                return err_log(ERR_TRACE,
                               "thread %u block %" PRIu64 ": begins at instruction %" PRIu64
                               " access %" PRIu64 ", expected %" PRIu64 " and %" PRIu64,
                               t, b, h->first_instr, h->first_access, instr, acc);
            }
            instr += h->ninstr;
            acc += h->nacc;
        }
    }
    return ERR_OK;
}

static enum err run_verify(struct frontend *fe, const struct args *a)
{
    struct survey s = {.problems = 0};
    enum err e = survey_trace(fe, &s);
    if (e == ERR_OK)
        e = check_references(fe, &s);
    if (e == ERR_OK)
        e = check_blocks(fe, &s);
    if (e == ERR_OK)
        e = trace_replay_order(fe);
    if (e == ERR_OK && is_vmt(fe)) {
        const struct vmt_info *info = vmt_info(fe);
        if (info->truncated)
            e = err_log(ERR_TRACE,
                        "%s: truncated, whole blocks up to offset %" PRIu64 " of %" PRIu64,
                        a->path, info->valid_bytes, info->file_bytes);
        else if (s.instrs != fe->ninstr || s.accesses != fe->naccesses ||
                 s.nbranches != info->nbranches || s.nevents != info->nevents)
            e = err_log(ERR_TRACE, "%s: the trailer's totals do not match the blocks", a->path);
    }
    if (e == ERR_OK && s.problems > 0)
        e = err_log(ERR_TRACE, "%s: %" PRIu64 " problems", a->path, s.problems);
    if (e == ERR_OK)
        printf("%s: whole: %u threads, %" PRIu64 " instructions, %" PRIu64 " accesses, %" PRIu64
               " branches, %" PRIu64 " events\n",
               a->path, fe->nthreads, s.instrs, s.accesses, s.nbranches, s.nevents);
    survey_free(&s);
    return e;
}

/* ---- dump ---------------------------------------------------------------------------------- */

static void dump_item(const struct trace_walk *w, const struct trace_item *it)
{
    const uint64_t *pcs = w->b.pcs;
    if (it->acc != NULL) {
        const struct access_rec *a = it->acc;
        printf("%" PRIu64 " %s%s%s pc=%" PRIx64 " addr=%" PRIx64 " size=%u gap=%u base=%u+%u "
               "index=%u+%u data=%u+%u\n",
               it->instr, (a->flags & ACC_STORE) != 0 ? "store" : "load",
               (a->flags & ACC_LOCK) != 0 ? " lock" : "",
               (a->flags & ACC_FENCE) != 0 ? " fence" : "", pcs[a->pc_id], a->vaddr, a->size,
               a->gap, a->addr_dep[0], a->addr_ops[0], a->addr_dep[1], a->addr_ops[1], a->data_dep,
               a->data_ops);
    } else if (it->br != NULL) {
        const struct branch_rec *b = it->br;
        printf("%" PRIu64 " branch %s pc=%" PRIx64 " target=%" PRIx64 " %s dep=%u+%u\n", it->instr,
               b->kind < 6 ? branch_names[b->kind] : "?", pcs[b->pc_id], pcs[b->target_id],
               b->taken ? "taken" : "not-taken", b->dep, b->ops);
    } else {
        const struct fe_event *e = it->ev;
        const char *name = e->type < NEVENT_NAMES ? event_names[e->type] : NULL;
        printf("%" PRIu64 " event %s", it->instr, name != NULL ? name : "unknown");
        for (unsigned i = 0; i < 6; i++)
            printf(" %" PRIx64, e->a[i]);
        printf("\n");
    }
}

static enum err run_dump(struct frontend *fe, const struct args *a)
{
    uint64_t left = a->count;
    for (uint32_t t = a->has_thread ? (uint32_t)a->thread : 0; t < fe->nthreads && left > 0; t++) {
        struct trace_walk w = {.fe = fe, .thread = t};
        struct trace_item it;
        printf("thread %u\n", t);
        for (; left > 0;) {
            enum err e = trace_walk_next(&w, &it);
            if (e != ERR_OK)
                return e;
            if (it.acc == NULL && it.br == NULL && it.ev == NULL)
                break;
            if (it.instr < a->from)
                continue;
            dump_item(&w, &it);
            left--;
        }
        if (a->has_thread)
            break;
    }
    return ERR_OK;
}

/* ---- bench --------------------------------------------------------------------------------- */

static uint64_t cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static enum err run_bench(struct frontend *fe, const struct args *a)
{
    (void)a;
    uint64_t nacc = 0, nrec = 0, start = cpu_ns(), spent = 0;
    do {
        for (uint32_t t = 0; t < fe->nthreads; t++) {
            struct fe_block b = {.last = 0};
            for (uint64_t i = 0; !b.last; i++) {
                enum err e = fe->ops->load(fe, t, i, &b);
                if (e != ERR_OK)
                    return e;
                for (uint32_t k = 0; k < b.nacc; k = b.acc_to)
                    fe_access(fe, t, k, &b);
                nacc += b.nacc;
                nrec += (uint64_t)b.nacc + b.nbr + b.nev;
            }
        }
        spent = cpu_ns() - start;
    } while (spent < 2000000000u && nrec > 0);
    printf("%.1f M accesses/s, %.1f M records/s (processor time of one core)\n",
           (double)nacc * 1e3 / (double)spent, (double)nrec * 1e3 / (double)spent);
    return ERR_OK;
}

/* The layout of a run of configs/baseline.yaml. */
static enum err place_areas(const char *command, struct frontend **fe)
{
    const struct relocate_params p = {.layout = {.mode = LAYOUT_LINUX, .seed = 1, .mmap_bits = 28},
                                      .stack_limit_bytes = UINT64_C(8) << 20};
    if (strcmp(command, "bench") != 0)
        return err_log(ERR_USAGE, "trace %s: --placed is for bench", command);
    return relocate_wrap(fe, &p);
}

/* ---- copies -------------------------------------------------------------------------------- */

static enum err need_out(const struct args *a)
{
    return a->out != NULL ? ERR_OK : err_log(ERR_USAGE, "trace: this command needs -o OUT");
}

static enum err run_cut(struct frontend *fe, const struct args *a)
{
    if (need_out(a) != ERR_OK)
        return ERR_USAGE;
    if (a->instructions == 0)
        return err_log(ERR_USAGE, "trace cut: needs --instructions N");
    return trace_copy(fe, a->out, a->instructions, a->hc);
}

static enum err run_repack(struct frontend *fe, const struct args *a)
{
    if (need_out(a) != ERR_OK)
        return ERR_USAGE;
    return trace_copy(fe, a->out, UINT64_MAX, a->hc);
}

static enum err run_export(struct frontend *fe, const struct args *a)
{
    if (need_out(a) != ERR_OK)
        return ERR_USAGE;
    if (!a->champsim)
        return err_log(ERR_USAGE, "trace export: the one known format is --champsim");
    return trace_export_champsim(fe, (uint32_t)a->thread, a->out);
}

/* ---- command line -------------------------------------------------------------------------- */

static const struct command {
    const char *name;
    enum err (*run)(struct frontend *fe, const struct args *a);
} commands[] = {{"info", run_info}, {"verify", run_verify}, {"dump", run_dump},
                {"cut", run_cut},   {"repack", run_repack}, {"export", run_export},
                {"bench", run_bench}};
#define NCOMMANDS (sizeof commands / sizeof commands[0])

static bool parse_number(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 0), scale = 1;
    if (*end == 'k')
        scale = 1000;
    else if (*end == 'M')
        scale = 1000000;
    else if (*end == 'G')
        scale = 1000000000;
    end += scale != 1;
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || v > UINT64_MAX / scale)
        return false;
    *out = v * scale;
    return true;
}

static enum err parse_args(int argc, char **argv, struct args *a)
{
    const struct {
        const char *name;
        uint64_t *value;
        bool *flag;
    } options[] = {{"--thread", &a->thread, &a->has_thread},
                   {"--from", &a->from, NULL},
                   {"--count", &a->count, NULL},
                   {"--instructions", &a->instructions, NULL},
                   {"--hc", NULL, &a->hc},
                   {"--placed", NULL, &a->placed},
                   {"--champsim", NULL, &a->champsim}};
    const char *names[sizeof options / sizeof options[0]];
    for (int i = 2; i < argc; i++) {
        size_t k = 0, n = sizeof options / sizeof options[0];
        if (strcmp(argv[i], "-o") == 0) {
            if (++i == argc)
                return err_log(ERR_USAGE, "trace: -o needs a file");
            a->out = argv[i];
            continue;
        }
        if (argv[i][0] != '-') {
            if (a->path != NULL)
                return err_log(ERR_USAGE, "trace: one trace at a time: %s", argv[i]);
            a->path = argv[i];
            continue;
        }
        for (; k < n && strcmp(argv[i], options[k].name) != 0; k++)
            names[k] = options[k].name;
        if (k == n) {
            const char *near = err_nearest(argv[i], names, n);
            return err_log(ERR_USAGE, "trace: unknown option %s%s%s", argv[i],
                           near != NULL ? "; did you mean " : "", near != NULL ? near : "");
        }
        if (options[k].flag != NULL)
            *options[k].flag = true;
        if (options[k].value != NULL &&
            (++i == argc || !parse_number(argv[i], options[k].value)))
            return err_log(ERR_USAGE, "trace: %s needs a number", options[k].name);
    }
    return a->path != NULL ? ERR_OK : err_log(ERR_USAGE, "trace: which file?");
}

int trace_main(int argc, char **argv)
{
    struct args a = {.count = UINT64_MAX};
    const char *names[NCOMMANDS];
    size_t k = 0;
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        fputs(usage, argc < 2 ? stderr : stdout);
        return argc < 2 ? err_exit_code(ERR_USAGE) : 0;
    }
    for (; k < NCOMMANDS && strcmp(argv[1], commands[k].name) != 0; k++)
        names[k] = commands[k].name;
    if (k == NCOMMANDS) {
        const char *near = err_nearest(argv[1], names, NCOMMANDS);
        fputs(usage, stderr);
        return err_exit_code(err_log(ERR_USAGE, "trace: unknown command %s%s%s", argv[1],
                                     near != NULL ? "; did you mean " : "",
                                     near != NULL ? near : ""));
    }
    enum err e = parse_args(argc, argv, &a);
    struct frontend *fe = NULL;
    if (e == ERR_OK)
        e = frontend_open_trace(&a.path, 1, &fe);
    if (e == ERR_OK && a.thread >= fe->nthreads)
        e = err_log(ERR_USAGE, "%s: has threads 0 to %u", a.path, fe->nthreads - 1);
    if (e == ERR_OK)
        fe->no_pages = commands[k].run == run_bench; /* what configs/baseline.yaml needs */
    if (e == ERR_OK && a.placed)
        e = place_areas(argv[1], &fe);
    if (e == ERR_OK)
        e = commands[k].run(fe, &a);
    if (fe != NULL)
        fe->ops->close(fe);
    return err_exit_code(e);
}
