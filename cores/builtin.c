/* See builtin.h. */
#include "cores/builtin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_ITERATIONS 1024u
#define DATA_BASE UINT64_C(0x7f0000000000)
#define CODE_BASE UINT64_C(0x401000)
#define MAX_ACCESSES (3 * BLOCK_ITERATIONS)

const char *const workload_names[] = {"none",
#define X(name, ninstr, nacc) #name,
                                      WORKLOAD_LIST(X)
#undef X
                                          NULL};

const struct param_desc workload_param_rows[] = {
    {.name = "kind", .type = PARAM_ENUM, .unit = "", .def = "none", .choices = workload_names,
     .offset = offsetof(struct workload_params, kind),
     .doc = "built-in instruction stream, when no trace is given"},
    {.name = "size", .type = PARAM_SIZE, .unit = "byte", .def = "64MiB", .min = 4096,
     .max = UINT64_C(1) << 46, .offset = offsetof(struct workload_params, size_bytes),
     .doc = "footprint; gups and chase round it down to a power of two"},
    {.name = "passes", .type = PARAM_COUNT, .unit = "", .def = "1", .min = 1, .max = 1000000000,
     .offset = offsetof(struct workload_params, passes),
     .doc = "passes over the data (gups: times 4 N updates); a limit on instructions may end it earlier"},
};
const uint32_t workload_nparam_rows = sizeof workload_param_rows / sizeof workload_param_rows[0];

struct builtin_thread {
    struct access_rec acc[MAX_ACCESSES];
};

struct builtin {
    struct frontend base;
    enum workload_kind kind;
    uint64_t size_bytes, iterations; /* of one thread */
    char description[160];
    struct builtin_thread *threads;
    uint64_t pcs[4];
    struct fe_event start[3];
};

/* ---- gups ------------------------------------------------------------------------------------- */

static uint64_t gups_next(uint64_t a) { return a << 1 ^ ((int64_t)a < 0 ? 7u : 0u); }

/* Product in GF(2)[x] modulo x^64 + x^2 + x + 1. */
static uint64_t gf_multiply(uint64_t a, uint64_t b)
{
    uint64_t product = 0;
    for (int i = 63; i >= 0; i--)
        product = gups_next(product) ^ (b >> i & 1 ? a : 0);
    return product;
}

uint64_t gups_value(uint64_t n)
{
    uint64_t value = 1, power = 2; /* x^(2^i) */
    for (; n != 0; n >>= 1) {
        if (n & 1)
            value = gf_multiply(value, power);
        power = gf_multiply(power, power);
    }
    return value;
}

static void gups_block(const struct builtin *b, uint32_t thread, uint64_t first, uint32_t n,
                       struct access_rec *acc)
{
    uint64_t mask = b->size_bytes / 8 - 1;
    uint64_t a = gups_value(thread * b->iterations + first);
    for (uint32_t i = 0; i < n; i++) {
        a = gups_next(a);
        uint64_t vaddr = DATA_BASE + (a & mask) * 8;
        acc[2 * i] = (struct access_rec){.vaddr = vaddr, .gap = i == 0 ? 7 : 8, .size = 8};
        acc[2 * i + 1] = (struct access_rec){.vaddr = vaddr, .size = 8, .flags = ACC_STORE,
                                             .data_dep = 1, .data_ops = 1};
    }
}

/* ---- stream ----------------------------------------------------------------------------------- */

/* Distance of two arrays: a huge page, a page and a line more than their size, so that elements of
 * the same index do not meet in one set of every TLB and cache. */
static uint64_t stream_distance(uint64_t array_bytes)
{
    return array_bytes + (UINT64_C(1) << PAGE_SHIFT_2M) + PAGE_BYTES + LINE_BYTES;
}

static void stream_block(const struct builtin *b, uint32_t thread, uint64_t first, uint32_t n,
                         struct access_rec *acc)
{
    uint64_t array_bytes = b->size_bytes / 3 & ~(uint64_t)7;
    uint64_t distance = stream_distance(array_bytes);
    uint64_t elements = array_bytes / 8, part = elements / b->base.nthreads;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t at = (thread * part + (first + i) % part) * 8;
        struct access_rec *r = acc + (size_t)3 * i;
        r[0] = (struct access_rec){.vaddr = DATA_BASE + distance + at, .gap = i == 0 ? 1 : 5,
                                   .size = 8};
        r[1] = (struct access_rec){.vaddr = DATA_BASE + 2 * distance + at, .pc_id = 1, .gap = 1,
                                   .size = 8};
        r[2] = (struct access_rec){.vaddr = DATA_BASE + at, .pc_id = 2, .gap = 3, .size = 8,
                                   .flags = ACC_STORE, .data_dep = 1, .data_ops = 8};
    }
}

/* ---- chase ------------------------------------------------------------------------------------ */

/* x <- a x + c modulo a power of two has full period for odd c and a = 1 modulo 4. */
#define CHASE_A UINT64_C(6364136223846793005)
#define CHASE_C UINT64_C(1442695040888963407)

static uint64_t chase_value(uint64_t n)
{
    uint64_t a = CHASE_A, c = CHASE_C, value_a = 1, value_c = 0;
    for (; n != 0; n >>= 1) {
        if (n & 1) {
            value_a *= a;
            value_c = value_c * a + c;
        }
        c *= a + 1;
        a *= a;
    }
    return value_c; /* from x = 0 */
}

static void chase_block(const struct builtin *b, uint32_t thread, uint64_t first, uint32_t n,
                        struct access_rec *acc)
{
    uint64_t mask = b->size_bytes / LINE_BYTES - 1;
    uint64_t x = chase_value(thread * b->iterations + first);
    for (uint32_t i = 0; i < n; i++) {
        acc[i] = (struct access_rec){.vaddr = DATA_BASE + (x & mask) * LINE_BYTES,
                                     .gap = i == 0 ? 1 : 3, .size = 8, .addr_dep = {1, 0}};
        x = x * CHASE_A + CHASE_C;
    }
}

/* ---- the front end ---------------------------------------------------------------------------- */

static const struct {
    uint32_t naccesses, tail_gap;
    void (*block)(const struct builtin *, uint32_t, uint64_t, uint32_t, struct access_rec *);
} kinds[WORKLOAD_COUNT] = {
    [WORKLOAD_gups] = {2, 1, gups_block},
    [WORKLOAD_stream] = {3, 4, stream_block},
    [WORKLOAD_chase] = {1, 2, chase_block},
};

static const uint32_t instructions_of[WORKLOAD_COUNT] = {0,
#define X(name, ninstr, nacc) ninstr,
                                                         WORKLOAD_LIST(X)
#undef X
};

static enum err builtin_load(struct frontend *fe, uint32_t thread, uint64_t block, struct fe_block *out)
{
    struct builtin *b = (struct builtin *)fe;
    uint64_t first = block * BLOCK_ITERATIONS;
    if (first >= b->iterations)
        return err_log(ERR_TRACE, "built-in workload: thread %u has no block %llu", thread,
                       (unsigned long long)block);
    uint32_t n = (uint32_t)u64_min(BLOCK_ITERATIONS, b->iterations - first);
    struct access_rec *acc = b->threads[thread].acc;
    kinds[b->kind].block(b, thread, first, n, acc);
    *out = (struct fe_block){.nacc = n * kinds[b->kind].naccesses,
                             .npcs = 4,
                             .tail_gap = kinds[b->kind].tail_gap,
                             .last = first + n >= b->iterations,
                             .first_instr = first * instructions_of[b->kind],
                             .acc = acc,
                             .pcs = b->pcs};
    if (block == 0 && !fe->areas_mapped) { /* thread 0 maps code and data, the others wait for it */
        out->ev = thread == 0 ? b->start : b->start + 2;
        out->nev = thread == 0 ? 2 : 1;
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
    .doc = "gups, stream and pointer chase, computed on the fly",
    .load = builtin_load,
    .close = builtin_close,
};

static uint64_t iterations_of(const struct builtin *b, uint64_t passes)
{
    uint64_t n = b->base.nthreads;
    switch (b->kind) {
    case WORKLOAD_gups:
        return 4 * passes * (b->size_bytes / 8) / n;
    case WORKLOAD_stream:
        return passes * ((b->size_bytes / 3 & ~(uint64_t)7) / 8 / n);
    default:
        return passes * (b->size_bytes / LINE_BYTES) / n;
    }
}

enum err builtin_open(const struct workload_params *p, uint32_t nthreads, struct frontend **out)
{
    struct builtin *b = calloc(1, sizeof *b);
    if (b == NULL)
        return err_log(ERR_MEMORY, "no host memory for a built-in workload");
    b->base = (struct frontend){.ops = &builtin_ops, .nthreads = nthreads, .all_start = true};
    b->kind = (enum workload_kind)p->kind;
    b->size_bytes = b->kind == WORKLOAD_stream ? p->size_bytes : UINT64_C(1) << log2_floor(p->size_bytes);
    b->iterations = iterations_of(b, p->passes);
    b->threads = calloc(nthreads, sizeof *b->threads);
    if (b->threads == NULL || b->iterations == 0) {
        enum err e = b->threads == NULL
                         ? err_log(ERR_MEMORY, "no host memory for %u threads of a built-in workload", nthreads)
                         : err_log(ERR_USAGE, "workload.size of %llu bytes is too small for %u threads",
                                   (unsigned long long)p->size_bytes, nthreads);
        builtin_close(&b->base);
        return e;
    }
    for (unsigned i = 0; i < 4; i++)
        b->pcs[i] = CODE_BASE + (uint64_t)i * 8;
    uint64_t bytes = b->size_bytes;
    if (b->kind == WORKLOAD_stream)
        bytes = 3 * stream_distance(b->size_bytes / 3);
    bytes = (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
    b->start[0] = (struct fe_event){.type = FE_MMAP, .a = {1, CODE_BASE, PAGE_BYTES, 5, 2, 1}};
    b->start[1] = (struct fe_event){.type = FE_MMAP, .a = {2, DATA_BASE, bytes, 3, 0x22, 2}};
    b->start[2] = (struct fe_event){.type = FE_MAP_MARK, .a = {2}};
    b->base.areas = b->start;
    b->base.nareas = 2;
    b->base.ninstr = b->iterations * nthreads * instructions_of[b->kind];
    b->base.naccesses = b->iterations * nthreads * kinds[b->kind].naccesses;
    snprintf(b->description, sizeof b->description, "%s over %llu MiB, %u thread%s, %u instructions and %u accesses an iteration",
             workload_names[b->kind], (unsigned long long)(b->size_bytes >> 20), nthreads,
             nthreads == 1 ? "" : "s", instructions_of[b->kind], kinds[b->kind].naccesses);
    b->base.description = b->description;
    *out = &b->base;
    return ERR_OK;
}
