/* gups, stream and chase; see builtin.h. */
#include "cores/builtin_private.h"

#define BLOCK_ITERATIONS 1024u

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

/* All but the addresses, which is the same in each block. */
static void gups_records(struct access_rec *acc)
{
    for (uint32_t i = 0; i < BLOCK_ITERATIONS; i++) {
        acc[2 * i] = acc_marked((struct access_rec){.gap = i == 0 ? 7 : 8, .size = 8});
        acc[2 * i + 1] = acc_marked((struct access_rec){.size = 8, .flags = ACC_STORE, .data_dep = 1, .data_ops = 1});
    }
}

static void gups_block(const struct builtin *b, uint32_t thread, uint64_t first, uint32_t n,
                       struct access_rec *acc)
{
    uint64_t mask = b->n - 1;
    uint64_t a = gups_value(thread * b->iterations + first);
    if (acc->size == 0)
        gups_records(acc);
    for (uint32_t i = 0; i < n; i++) {
        a = gups_next(a);
        acc[2 * i].vaddr = acc[2 * i + 1].vaddr = BUILTIN_DATA + (a & mask) * 8;
    }
}

static void gups_shape(struct builtin *b)
{
    b->area_bytes = UINT64_C(1) << log2_floor(b->size_bytes);
    b->n = b->area_bytes / 8;
    b->iterations = 4 * b->passes * b->n / b->base.nthreads;
}

const struct builtin_ops builtin_gups = {BLOCK_ITERATIONS, 1, gups_shape, gups_block};

/* ---- stream ----------------------------------------------------------------------------------- */

/* Distance of two arrays: a huge page, a page and a line more than their size, so that elements of
 * the same index do not meet in one set of every TLB and cache. */
static uint64_t stream_distance(uint64_t array_bytes)
{
    return array_bytes + (UINT64_C(1) << PAGE_SHIFT_2M) + PAGE_BYTES + LINE_BYTES;
}

/* All but the addresses, which is the same in each block. */
static void stream_records(struct access_rec *acc)
{
    for (uint32_t i = 0; i < BLOCK_ITERATIONS; i++) {
        struct access_rec *r = acc + (size_t)3 * i;
        r[0] = acc_marked((struct access_rec){.gap = i == 0 ? 1 : 5, .size = 8});
        r[1] = acc_marked((struct access_rec){.pc_id = 1, .gap = 1, .size = 8});
        r[2] = acc_marked((struct access_rec){.pc_id = 2, .gap = 3, .size = 8, .flags = ACC_STORE, .data_dep = 1,
                                              .data_ops = 8});
    }
}

static void stream_block(const struct builtin *b, uint32_t thread, uint64_t first, uint32_t n,
                         struct access_rec *acc)
{
    uint64_t distance = stream_distance(8 * b->n), part = b->n / b->base.nthreads;
    uint64_t start = BUILTIN_DATA + thread * part * 8, end = start + part * 8;
    uint64_t at = start + first % part * 8;
    if (acc->size == 0)
        stream_records(acc);
    for (struct access_rec *r = acc, *stop = acc + (size_t)3 * n; r < stop; r += 3) {
        r[0].vaddr = at + distance;
        r[1].vaddr = at + 2 * distance;
        r[2].vaddr = at;
        at = at + 8 == end ? start : at + 8;
    }
}

static void stream_shape(struct builtin *b)
{
    b->n = b->size_bytes / 3 / 8;
    b->area_bytes = 3 * stream_distance(b->size_bytes / 3);
    b->iterations = b->passes * (b->n / b->base.nthreads);
}

const struct builtin_ops builtin_stream = {BLOCK_ITERATIONS, 4, stream_shape, stream_block};

/* ---- chase ------------------------------------------------------------------------------------ */

/* x <- a x + c modulo a power of two has full period for odd c and a = 1 modulo 4. */
#define CHASE_A UINT64_C(6364136223846793005)
#define CHASE_C UINT64_C(1442695040888963407)

static uint64_t chase_value(uint64_t n)
{
    uint64_t a = CHASE_A, c = CHASE_C, value_c = 0;
    for (; n != 0; n >>= 1) {
        if (n & 1)
            value_c = value_c * a + c;
        c *= a + 1;
        a *= a;
    }
    return value_c; /* from x = 0 */
}

/* All but the addresses, which is the same in each block. */
static void chase_records(struct access_rec *acc)
{
    for (uint32_t i = 0; i < BLOCK_ITERATIONS; i++)
        acc[i] = acc_marked((struct access_rec){.gap = i == 0 ? 1 : 3, .size = 8, .addr_dep = {1, 0}});
}

static void chase_block(const struct builtin *b, uint32_t thread, uint64_t first, uint32_t n,
                        struct access_rec *acc)
{
    uint64_t mask = b->n - 1;
    uint64_t x = chase_value(thread * b->iterations + first);
    if (acc->size == 0)
        chase_records(acc);
    for (uint32_t i = 0; i < n; i++) {
        acc[i].vaddr = BUILTIN_DATA + (x & mask) * LINE_BYTES;
        x = x * CHASE_A + CHASE_C;
    }
}

static void chase_shape(struct builtin *b)
{
    b->area_bytes = UINT64_C(1) << log2_floor(b->size_bytes);
    b->n = b->area_bytes / LINE_BYTES;
    b->iterations = b->passes * b->n / b->base.nthreads;
}

const struct builtin_ops builtin_chase = {BLOCK_ITERATIONS, 2, chase_shape, chase_block};
