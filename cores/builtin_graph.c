/* graph: a sweep over an implicit graph; see builtin.h. */
#include "cores/builtin_private.h"

#define GROUP 64u /* vertices */
#define GROUP_EDGES 1024u
#define RECORD_BYTES UINT64_C(64)
#define VERTEX_BYTES (8 + 8 * GROUP_EDGES / GROUP + RECORD_BYTES + 8)
#define NRANGES 16u /* far ends: the hottest V, V/2, V/4, ... vertices, each as often */

enum { PC_OFFSET, PC_EDGE, PC_RECORD, PC_STORE };

/* Edges of the vertex of rank r: 4 for 32 of them, 8 for 16, ..., 128 for one, 256 for the last. */
static uint32_t degree_of_rank(uint32_t r)
{
    return r == GROUP - 1 ? 256u : 4u << (5u - log2_floor(GROUP - 1 - r));
}

/* The place of vertex `i` of a group in its order of ranks: a bijection that differs by group. */
static uint32_t rank_of(uint64_t group, uint32_t i)
{
    uint64_t h = builtin_hash(group + 1);
    return (uint32_t)(i * (2 * (h & 31) + 1) + (h >> 8)) & (GROUP - 1);
}

static uint64_t far_end(const struct builtin *b, uint64_t edge)
{
    uint64_t h = builtin_hash(edge ^ UINT64_C(0x6772617068)), range = b->n >> (h >> 60) % NRANGES;
    uint64_t popularity = h & (u64_max(range, 1) - 1);
    return popularity * UINT64_C(0x9e3779b97f4a7c15) & (b->n - 1); /* odd: a bijection */
}

struct arrays {
    uint64_t offsets, edges, records, values;
};

static struct arrays arrays_of(uint64_t nvertices)
{
    struct arrays a = {.offsets = BUILTIN_DATA};
    a.edges = a.offsets + builtin_pages(8 * (nvertices + 1));
    a.records = a.edges + builtin_pages(8 * nvertices * (GROUP_EDGES / GROUP));
    a.values = a.records + builtin_pages(RECORD_BYTES * nvertices);
    return a;
}

static struct access_rec *vertex(const struct builtin *b, const struct arrays *a, uint64_t v,
                                 uint32_t degree, uint64_t edge, struct access_rec *r, uint16_t gap)
{
    *r++ = acc_marked((struct access_rec){.vaddr = a->offsets + 8 * (v + 1), .pc_id = PC_OFFSET, .gap = gap, .size = 8});
    for (uint32_t i = 0; i < degree; i++, edge++) {
        *r++ = acc_marked((struct access_rec){.vaddr = a->edges + 8 * edge, .pc_id = PC_EDGE,
                                              .gap = i == 0 ? 3 : 4, .size = 8});
        *r++ = acc_marked((struct access_rec){.vaddr = a->records + RECORD_BYTES * far_end(b, edge),
                                              .pc_id = PC_RECORD, .gap = 2, .size = 8, .addr_dep = {1, 0},
                                              .addr_ops = {1, 0}});
    }
    *r++ = acc_marked((struct access_rec){.vaddr = a->values + 8 * v, .pc_id = PC_STORE, .gap = 6, .size = 8,
                                          .flags = ACC_STORE, .data_dep = 1, .data_ops = 3});
    return r;
}

static void graph_block(const struct builtin *b, uint32_t thread, uint64_t first, uint32_t n,
                        struct access_rec *acc)
{
    const struct arrays a = arrays_of(b->n);
    uint64_t part = b->n / GROUP / b->base.nthreads;
    for (uint32_t k = 0; k < n; k++) {
        uint64_t group = thread * part + (first + k) % part, edge = group * GROUP_EDGES;
        for (uint32_t i = 0; i < GROUP; i++) {
            uint32_t degree = degree_of_rank(rank_of(group, i));
            acc = vertex(b, &a, group * GROUP + i, degree, edge, acc, k + i == 0 ? 1 : 4);
            edge += degree;
        }
    }
}

static void graph_shape(struct builtin *b)
{
    b->n = UINT64_C(1) << log2_floor(u64_max(b->size_bytes / VERTEX_BYTES, 1));
    b->area_bytes = arrays_of(b->n).values + 8 * b->n - BUILTIN_DATA;
    b->iterations = b->passes * (b->n / GROUP / b->base.nthreads);
}

const struct builtin_ops builtin_graph = {1, 3, graph_shape, graph_block};
