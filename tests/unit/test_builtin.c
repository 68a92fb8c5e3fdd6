/* Built-in workloads against their public definitions. */
#include <stdlib.h>
#include <string.h>

#include "cores/builtin.h"
#include "tests/unit/unit.h"

static void the_hpcc_sequence_jumps_to_the_published_values(void)
{
    uint64_t a = 1;
    for (uint64_t n = 0; n <= 1024; n++) {
        CU_ASSERT_EQUAL(gups_value(n), a);
        a = a << 1 ^ ((int64_t)a < 0 ? 7u : 0u);
    }
    CU_ASSERT_EQUAL(gups_value(1000000), UINT64_C(0xc0de85b06ad60981));
    CU_ASSERT_EQUAL(gups_value(1000000000), UINT64_C(0xcfe291d18931ec70));
    CU_ASSERT_EQUAL(gups_value(UINT64_C(1317624576693539401)), 1);
}

static void gups_applied_twice_leaves_the_table_as_it_was(void)
{
    struct workload_params p = {.kind = WORKLOAD_gups, .size_bytes = 1 << 16, .passes = 1};
    struct frontend *fe;
    CU_ASSERT_EQUAL_FATAL(builtin_open(&p, 4, &fe), ERR_OK);
    enum { N = (1 << 16) / 8 };
    uint64_t *table = malloc(N * sizeof *table), updates = 0, sum = 0;
    for (uint64_t i = 0; i < N; i++)
        table[i] = i;
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t t = 0; t < 4; t++) {
            struct fe_block b = {.last = 0};
            uint64_t k = 0;
            for (uint64_t n = 0; !b.last; n++) {
                CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, t, n, &b), ERR_OK);
                for (uint32_t i = 0; i < b.nacc; i += 2, updates++) {
                    uint64_t value = gups_value(t * (uint64_t)N + ++k);
                    CU_ASSERT_EQUAL(b.piece[i].vaddr, b.piece[i + 1].vaddr);
                    table[(b.piece[i].vaddr - UINT64_C(0x7f0000000000)) / 8] ^= value;
                    sum += (b.piece[i].vaddr - UINT64_C(0x7f0000000000)) / 8 != (value & (N - 1));
                }
            }
        }
    CU_ASSERT_EQUAL(updates, 2 * 4 * N);
    CU_ASSERT_EQUAL(sum, 0);
    uint64_t errors = 0;
    for (uint64_t i = 0; i < N; i++)
        errors += table[i] != i;
    CU_ASSERT_EQUAL(errors, 0);
    free(table);
    fe->ops->close(fe);
}

static void the_chase_visits_every_line_once(void)
{
    struct workload_params p = {.kind = WORKLOAD_chase, .size_bytes = 1 << 20, .passes = 1};
    struct frontend *fe;
    CU_ASSERT_EQUAL_FATAL(builtin_open(&p, 2, &fe), ERR_OK);
    enum { LINES = (1 << 20) / 64 };
    unsigned char *seen = calloc(LINES, 1);
    uint64_t n = 0;
    for (uint32_t t = 0; t < 2; t++) {
        struct fe_block b = {.last = 0};
        for (uint64_t k = 0; !b.last; k++) {
            CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, t, k, &b), ERR_OK);
            for (uint32_t i = 0; i < b.nacc; i++, n++) {
                CU_ASSERT_EQUAL(b.piece[i].addr_dep[0], 1);
                seen[(b.piece[i].vaddr - UINT64_C(0x7f0000000000)) / 64]++;
            }
        }
    }
    CU_ASSERT_EQUAL(n, LINES);
    for (uint32_t i = 0; i < LINES; i++)
        CU_ASSERT_EQUAL(seen[i], 1);
    free(seen);
    fe->ops->close(fe);
}

static void blocks_hold_the_stated_instructions_in_any_order_of_loading(void)
{
    const uint64_t per_iteration[] = {0, 8, 9, 3, 6720, 440 + 8 * 11}; /* 2048 grid points in 4 MiB */
    for (uint64_t kind = 1; kind < WORKLOAD_COUNT; kind++) {
        struct workload_params p = {.kind = kind, .size_bytes = kind < WORKLOAD_graph ? 3 << 16 : 4 << 20,
                                    .passes = 2};
        struct frontend *fe;
        CU_ASSERT_EQUAL_FATAL(builtin_open(&p, 1, &fe), ERR_OK);
        struct fe_block b = {.last = 0};
        uint64_t instructions = 0, blocks = 0;
        for (; !b.last; blocks++) {
            CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 0, blocks, &b), ERR_OK);
            CU_ASSERT_EQUAL(b.first_instr, instructions);
            for (uint32_t i = 0; i < b.nacc; i++)
                instructions += b.piece[i].gap;
            instructions += b.tail_gap;
        }
        CU_ASSERT_EQUAL(instructions, fe->ninstr);
        CU_ASSERT_EQUAL(instructions % per_iteration[kind], 0);
        CU_ASSERT_EQUAL(fe->ops->load(fe, 0, 1, &b), ERR_OK);
        uint64_t vaddr = b.piece[5].vaddr;
        CU_ASSERT_EQUAL(fe->ops->load(fe, 0, 0, &b), ERR_OK);
        CU_ASSERT_EQUAL(fe->ops->load(fe, 0, 1, &b), ERR_OK);
        CU_ASSERT_EQUAL(b.piece[5].vaddr, vaddr);
        fe->ops->close(fe);
    }
}

/* ---- graph and xsbench ------------------------------------------------------------------------- */

#define DATA UINT64_C(0x7f0000000000)

static struct frontend *open_workload(enum workload_kind kind, uint64_t bytes, uint32_t nthreads)
{
    struct workload_params p = {.kind = kind, .size_bytes = bytes, .passes = 1};
    struct frontend *fe;
    CU_ASSERT_EQUAL_FATAL(builtin_open(&p, nthreads, &fe), ERR_OK);
    return fe;
}

/* Each block again, in another order, has the same accesses; all lie in the area; counts add up. */
static void blocks_are_the_same_in_any_order_and_stay_in_the_area(void)
{
    static const uint64_t sizes[] = {4 << 20, 5 << 20, UINT64_C(1) << 40};
    for (uint64_t kind = WORKLOAD_graph; kind < WORKLOAD_COUNT; kind++)
        for (unsigned s = 0; s < 3; s++) {
            struct frontend *fe = open_workload((enum workload_kind)kind, sizes[s], 3);
            uint64_t end = DATA + fe->areas[1].a[2], n = 0;
            CU_ASSERT(fe->areas[1].a[2] <= sizes[s] + (1 << 16));
            CU_ASSERT(fe->areas[1].a[2] > sizes[s] / 5 * 2);
            for (uint64_t at = 4; at != UINT64_MAX; at--) {
                struct fe_block b;
                uint64_t sum[2] = {0, 0};
                for (unsigned again = 0; again < 2; again++) {
                    CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 2, at, &b), ERR_OK);
                    for (uint32_t i = 0; i < b.nacc; i++) {
                        CU_ASSERT(b.piece[i].vaddr >= DATA && b.piece[i].vaddr + b.piece[i].size <= end);
                        CU_ASSERT(b.piece[i].pc_id < b.npcs);
                        sum[again] = sum[again] * 31 + b.piece[i].vaddr + b.piece[i].addr_dep[1];
                    }
                    struct fe_block other;
                    CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 2, at / 2, &other), ERR_OK);
                }
                CU_ASSERT_EQUAL(sum[0], sum[1]);
                n += b.nacc;
            }
            CU_ASSERT(n > 0);
            fe->ops->close(fe);
        }
}

/* Each edge is read once, in order; its record right after it, addressed by it; each vertex stores. */
static void a_graph_sweep_reads_every_edge_once_and_in_order(void)
{
    enum { V = 16384, BYTES = 208 * V }; /* 256 groups of 64 vertices with 1024 edges */
    struct frontend *fe = open_workload(WORKLOAD_graph, BYTES, 4);
    uint64_t edge = 0, offset = 0, store = 0, degrees[512] = {0}, degree = 0, hits[V] = {0};
    const uint64_t edges_at = DATA + 8 * V + 4096, records_at = edges_at + 8 * 16 * V;
    CU_ASSERT_EQUAL(fe->ninstr, 256 * 6720);
    for (uint32_t t = 0; t < 4; t++) {
        struct fe_block b = {.last = 0};
        for (uint64_t k = 0; !b.last; k++) {
            CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, t, k, &b), ERR_OK);
            CU_ASSERT_EQUAL(b.nacc, 64 * 2 + 1024 * 2);
            for (uint32_t i = 0; i < b.nacc; i++) {
                const struct access_rec *r = &b.piece[i];
                if (r->flags & ACC_STORE) {
                    CU_ASSERT_EQUAL(r->vaddr, records_at + 64 * V + 8 * store++);
                    CU_ASSERT_EQUAL(r->data_dep, 1);
                    degrees[degree]++;
                    degree = 0;
                } else if (r->vaddr < edges_at) {
                    CU_ASSERT_EQUAL(r->vaddr, DATA + 8 * ++offset);
                } else {
                    CU_ASSERT_EQUAL(r->vaddr, edges_at + 8 * edge++);
                    CU_ASSERT_EQUAL(r->addr_dep[0], 0);
                    r = &b.piece[++i];
                    CU_ASSERT((r->vaddr - records_at) % 64 == 0 && r->addr_dep[0] == 1);
                    hits[(r->vaddr - records_at) / 64]++;
                    degree++;
                }
            }
        }
    }
    CU_ASSERT_EQUAL(edge, 16 * V);
    CU_ASSERT_EQUAL(store, V);
    for (uint64_t d = 4, n = V / 2; d <= 128; d *= 2, n /= 2)
        CU_ASSERT_EQUAL(degrees[d], n); /* half have 4, a quarter 8, ... */
    CU_ASSERT_EQUAL(degrees[256], V / 64);
    /* Sixteen ranges, each drawn as often: the one vertex of the last two gets two sixteenths. */
    uint64_t most = 0;
    for (uint64_t v = 0; v < V; v++)
        most = u64_max(most, hits[v]);
    CU_ASSERT(most > 16 * V / 8 && most < 16 * V / 8 + 16 * V / 10);
    fe->ops->close(fe);
}

/* 4 MiB: 2048 points, 11 steps; 8 nuclides with 15 loads; 5 stores: 136 accesses. */
static void a_lookup_halves_the_grid_and_gathers_from_eight_nuclides(void)
{
    struct frontend *fe = open_workload(WORKLOAD_xsbench, 4 << 20, 1);
    struct fe_block b;
    CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 0, 1, &b), ERR_OK);
    CU_ASSERT_EQUAL(b.nacc, 16 * 136);
    const uint64_t index_at = DATA + 8 * 2048, points_at = index_at + ((4 * 355 * 2048 + 4095) & ~4095);
    for (uint32_t k = 0; k < 16; k++) {
        const struct access_rec *r = b.piece + (size_t)k * 136;
        uint64_t low = 0, length = 2048, nloads = 0, found = 0;
        for (; nloads < 11; nloads++, length /= 2) {
            CU_ASSERT_EQUAL((r[nloads].vaddr - DATA) / 8, low + length / 2);
            CU_ASSERT_EQUAL(r[nloads].addr_dep[0], nloads > 0);
            if (nloads + 1 < 11 && (r[nloads + 1].vaddr - DATA) / 8 > low + length / 2)
                low += length / 2;
        }
        for (uint32_t i = 0; i < 8; i++) {
            const struct access_rec *g = r + 11 + 15 * i;
            uint64_t row = (g[1].vaddr - index_at) / 4 / 355, nuclide = (g[1].vaddr - index_at) / 4 % 355;
            found = i == 0 ? row : found;
            CU_ASSERT(row == found && (row == low || row == low + 1));
            CU_ASSERT_EQUAL(g[1].addr_dep[0], 1);
            CU_ASSERT_EQUAL(&g[1] - g[1].addr_dep[1], &r[10]); /* all between are loads */
            for (uint32_t p = 0; p < 12; p++) {
                CU_ASSERT_EQUAL(&g[2 + p] - g[2 + p].addr_dep[0], &g[1]);
                CU_ASSERT_EQUAL(&g[2 + p] - g[2 + p].addr_dep[1], &g[0]);
                uint64_t point = (g[2 + p].vaddr - points_at) / 48;
                CU_ASSERT_EQUAL(point / (2048 / 355), nuclide);
            }
            CU_ASSERT_EQUAL(g[2].vaddr, g[3].vaddr + 48);
        }
        for (uint32_t i = 131; i < 136; i++)
            CU_ASSERT(r[i].flags & ACC_STORE);
    }
    fe->ops->close(fe);
}

static void accesses_without_a_producer_are_marked(void)
{
    for (uint64_t kind = 1; kind < WORKLOAD_COUNT; kind++) {
        struct frontend *fe = open_workload((enum workload_kind)kind, 4 << 20, 2);
        struct fe_block b;
        for (uint64_t at = 0; at < 3; at++) {
            CU_ASSERT_EQUAL_FATAL(fe->ops->load(fe, 1, at, &b), ERR_OK);
            for (uint32_t i = 0; i < b.nacc; i++) {
                struct access_rec marked = acc_marked(b.piece[i]);
                CU_ASSERT_EQUAL(memcmp(&b.piece[i], &marked, sizeof marked), 0);
            }
        }
        fe->ops->close(fe);
    }
}

static void workloads_too_small_for_their_threads_are_refused(void)
{
    for (uint64_t kind = 1; kind < WORKLOAD_COUNT; kind++) {
        struct workload_params p = {.kind = kind, .size_bytes = 4096, .passes = 1};
        struct frontend *fe = NULL;
        CU_ASSERT_EQUAL(builtin_open(&p, 4096, &fe), ERR_USAGE);
    }
}

UNIT_MAIN("cores/builtin", UNIT(the_hpcc_sequence_jumps_to_the_published_values),
          UNIT(gups_applied_twice_leaves_the_table_as_it_was), UNIT(the_chase_visits_every_line_once),
          UNIT(blocks_hold_the_stated_instructions_in_any_order_of_loading),
          UNIT(blocks_are_the_same_in_any_order_and_stay_in_the_area),
          UNIT(a_graph_sweep_reads_every_edge_once_and_in_order),
          UNIT(a_lookup_halves_the_grid_and_gathers_from_eight_nuclides),
          UNIT(accesses_without_a_producer_are_marked),
          UNIT(workloads_too_small_for_their_threads_are_refused))
