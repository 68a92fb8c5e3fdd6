/* The built-in workloads behind one front end; see builtin.h. */
#include "cores/builtin.h"

#include <stdio.h>
#include <stdlib.h>

#include "cores/builtin_private.h"

#define CODE_BASE UINT64_C(0x401000)

const char *const workload_names[] = {"none",
#define X(name, ninstr, nacc, step_ninstr, step_nacc, doc) #name,
                                      WORKLOAD_LIST(X)
#undef X
                                          NULL};
const char *const workload_docs[] = {"",
#define X(name, ninstr, nacc, step_ninstr, step_nacc, doc) doc,
                                     WORKLOAD_LIST(X)
#undef X
                                         NULL};

const struct param_desc workload_param_rows[] = {
    {.name = "kind", .type = PARAM_ENUM, .unit = "", .def = "none", .choices = workload_names,
     .offset = offsetof(struct workload_params, kind),
     .doc = "built-in instruction stream, when no trace is given"},
    {.name = "size", .type = PARAM_SIZE, .unit = "byte", .def = "64MiB", .min = 4096,
     .max = UINT64_C(1) << 46, .offset = offsetof(struct workload_params, size_bytes),
     .doc = "footprint; gups, chase, graph and xsbench round it down so that their tables have powers of two"},
    {.name = "passes", .type = PARAM_COUNT, .unit = "", .def = "1", .min = 1, .max = 1000000000,
     .offset = offsetof(struct workload_params, passes),
     .doc = "passes over the data (gups: times 4 N updates); a limit on instructions may end it earlier"},
};
const uint32_t workload_nparam_rows = sizeof workload_param_rows / sizeof workload_param_rows[0];

/* ---- the front end ---------------------------------------------------------------------------- */

static const struct {
    uint32_t ninstr, naccesses, step_ninstr, step_naccesses;
    const struct builtin_ops *ops;
} kinds[WORKLOAD_COUNT] = {
#define X(name, ninstr, nacc, step_ninstr, step_nacc, doc) \
    [WORKLOAD_##name] = {ninstr, nacc, step_ninstr, step_nacc, &builtin_##name},
    WORKLOAD_LIST(X)
#undef X
};

static enum err builtin_load(struct frontend *fe, uint32_t thread, uint64_t block, struct fe_block *out)
{
    struct builtin *b = (struct builtin *)fe;
    const struct builtin_ops *ops = kinds[b->kind].ops;
    uint64_t first = block * ops->block_iterations;
    if (first >= b->iterations)
        return err_log(ERR_TRACE, "built-in workload: thread %u has no block %llu", thread,
                       (unsigned long long)block);
    uint32_t n = (uint32_t)u64_min(ops->block_iterations, b->iterations - first);
    struct access_rec *acc = b->threads[thread].acc;
    ops->block(b, thread, first, n, acc);
    *out = (struct fe_block){.nacc = n * b->naccesses,
                             .npcs = BUILTIN_NPCS,
                             .tail_gap = ops->tail_gap,
                             .last = first + n >= b->iterations,
                             .first_instr = first * b->ninstr,
                             .acc_to = n * b->naccesses,
                             .regular = 1,
                             .piece = acc,
                             .pcs = b->pcs};
    if (block == 0 && !fe->areas_mapped) { /* thread 0 maps code and data, the others wait for it */
        static const struct fe_at places[2] = {{.form = 0}, {.form = 1}};
        out->ev_forms = thread == 0 ? b->start : b->start + 2;
        out->ev_at = places;
        out->nev = out->nev_forms = thread == 0 ? 2 : 1;
    }
    return ERR_OK;
}

static void builtin_close(struct frontend *fe)
{
    struct builtin *b = (struct builtin *)fe;
    free(b->threads);
    free(b);
}

static const struct frontend_ops builtin_ops = {
    .name = "builtin",
    .doc = "gups, stream, pointer chase, graph and xsbench, computed on the fly",
    .load = builtin_load,
    .close = builtin_close,
};

static void shape(struct builtin *b)
{
    kinds[b->kind].ops->shape(b);
    b->ninstr = kinds[b->kind].ninstr + b->nsteps * kinds[b->kind].step_ninstr;
    b->naccesses = kinds[b->kind].naccesses + b->nsteps * kinds[b->kind].step_naccesses;
    SIM_ASSERT(kinds[b->kind].ops->block_iterations * b->naccesses <= BUILTIN_MAX_ACCESSES,
               "workload %s: %u accesses an iteration", workload_names[b->kind], b->naccesses);
    uint64_t bytes = builtin_pages(b->area_bytes);
    for (unsigned i = 0; i < BUILTIN_NPCS; i++)
        b->pcs[i] = CODE_BASE + (uint64_t)i * 8;
    b->start[0] = (struct fe_event){.type = FE_MMAP, .a = {1, CODE_BASE, PAGE_BYTES, 5, 2, 1}};
    b->start[1] = (struct fe_event){.type = FE_MMAP, .a = {2, BUILTIN_DATA, bytes, 3, 0x22, 2}};
    b->start[2] = (struct fe_event){.type = FE_MAP_MARK, .a = {2}};
}

/* The least size that is a power of two and gives each thread an iteration. */
static enum err refuse_small(struct builtin *b)
{
    const uint64_t given = b->size_bytes;
    while (b->iterations == 0 && b->size_bytes < UINT64_C(1) << 46) {
        b->size_bytes = UINT64_C(2) << log2_floor(b->size_bytes);
        shape(b);
    }
    return err_log(ERR_USAGE, "workload.size of %llu bytes is too small for %u thread%s of %s: %llu KiB will do",
                   (unsigned long long)given, b->base.nthreads, b->base.nthreads == 1 ? "" : "s", workload_names[b->kind],
                   (unsigned long long)(b->size_bytes >> 10));
}

enum err builtin_open(const struct workload_params *p, uint32_t nthreads, struct frontend **out)
{
    struct builtin *b = calloc(1, sizeof *b);
    if (b == NULL)
        return err_log(ERR_MEMORY, "no host memory for a built-in workload");
    b->base = (struct frontend){.ops = &builtin_ops, .nthreads = nthreads, .all_start = true};
    b->kind = (enum workload_kind)p->kind;
    b->size_bytes = p->size_bytes;
    b->passes = p->passes;
    shape(b);
    b->threads = calloc(nthreads, sizeof *b->threads);
    if (b->threads == NULL || b->iterations == 0) {
        enum err e = b->threads == NULL
                         ? err_log(ERR_MEMORY, "no host memory for %u threads of a built-in workload", nthreads)
                         : refuse_small(b);
        builtin_close(&b->base);
        return e;
    }
    b->base.areas = b->start;
    b->base.nareas = 2;
    b->base.ninstr = b->iterations * nthreads * b->ninstr;
    b->base.naccesses = b->iterations * nthreads * b->naccesses;
    snprintf(b->description, sizeof b->description, "%s over %llu MiB, %u thread%s, %u instructions and %u accesses an iteration",
             workload_names[b->kind], (unsigned long long)(b->area_bytes >> 20), nthreads,
             nthreads == 1 ? "" : "s", b->ninstr, b->naccesses);
    b->base.description = b->description;
    *out = &b->base;
    return ERR_OK;
}
