/* xsbench: cross sections by a unionised energy grid; see builtin.h. */
#include "cores/builtin_private.h"

#define NNUCLIDES 355u
#define NMATERIALS 12u
#define MATERIAL_NUCLIDES 8u
#define POINT_BYTES UINT64_C(48) /* energy and five cross sections */
#define NXS 5u
#define LEAST_POINTS 1024u
#define BYTES_PER_POINT (8 + 4 * NNUCLIDES + POINT_BYTES)

enum { PC_SEARCH, PC_NUCLIDE, PC_INDEX, PC_POINT, PC_CONCENTRATION = PC_POINT + 2 + 2 * NXS, PC_STORE };

struct arrays {
    uint64_t energies, index, points, nuclides, concentrations, results;
};

static struct arrays arrays_of(uint64_t n)
{
    struct arrays a = {.energies = BUILTIN_DATA};
    a.index = a.energies + builtin_pages(8 * n);
    a.points = a.index + builtin_pages(4 * NNUCLIDES * n);
    a.nuclides = a.points + builtin_pages(POINT_BYTES * n);
    a.concentrations = a.nuclides + 4 * NMATERIALS * MATERIAL_NUCLIDES;
    a.results = a.nuclides + PAGE_BYTES;
    return a;
}

/* The search for grid point `goal`, halving the range that holds it. */
static struct access_rec *search(const struct builtin *b, const struct arrays *a, uint64_t goal,
                                 uint16_t gap, struct access_rec *r)
{
    uint64_t low = 0, length = b->n;
    for (uint32_t step = 0; step < b->nsteps; step++) {
        uint64_t middle = low + length / 2;
        *r++ = acc_marked((struct access_rec){.vaddr = a->energies + 8 * middle, .pc_id = PC_SEARCH,
                                              .gap = step == 0 ? gap : 8, .size = 8,
                                              .addr_dep = {step == 0 ? 0 : 1, 0}, .addr_ops = {step == 0 ? 0 : 3, 0}});
        low = goal >= middle ? middle : low;
        length /= 2;
    }
    return r;
}

/* The lower one of a nuclide's two points around union point `goal`. */
static uint64_t lower_point(const struct builtin *b, uint64_t goal, uint32_t nuclide)
{
    uint64_t each = b->n / NNUCLIDES, jitter = builtin_hash((goal >> 9) * NNUCLIDES + nuclide) % 64;
    return nuclide * each + u64_min(goal / NNUCLIDES + jitter, each - 2);
}

static struct access_rec *gather(const struct builtin *b, const struct arrays *a, uint64_t goal,
                                 uint32_t material, uint32_t i, struct access_rec *r)
{
    uint32_t place = material * MATERIAL_NUCLIDES + i;
    uint32_t nuclide = (uint32_t)(builtin_hash(material) + 37 * i) % NNUCLIDES;
    uint64_t low = a->points + POINT_BYTES * lower_point(b, goal, nuclide);
    *r++ = acc_marked((struct access_rec){.vaddr = a->nuclides + 4 * place, .pc_id = PC_NUCLIDE,
                                          .gap = i == 0 ? 6 : 14, .size = 4});
    /* The search's last load is one nuclide of 15 loads further back each time. */
    *r++ = acc_marked((struct access_rec){.vaddr = a->index + 4 * (goal * NNUCLIDES + nuclide), .pc_id = PC_INDEX,
                                          .gap = 3, .size = 4, .addr_dep = {1, (uint16_t)(2 + 15 * i)},
                                          .addr_ops = {2, 2}});
    for (uint32_t k = 0; k < 2 + 2 * NXS; k++) { /* upper and lower energy, then each cross section */
        uint16_t gap = k == 0 ? 4 : k == 1 ? 3 : k == 2 || k % 2 == 1 ? 2 : 3;
        *r++ = acc_marked((struct access_rec){.vaddr = low + (k % 2 == 0 ? POINT_BYTES : 0) + 8 * (k / 2),
                                              .pc_id = PC_POINT + k, .gap = gap, .size = 8,
                                              .addr_dep = {(uint16_t)(k + 1), (uint16_t)(k + 2)}, .addr_ops = {3, 3}});
    }
    *r++ = acc_marked((struct access_rec){.vaddr = a->concentrations + 8 * place, .pc_id = PC_CONCENTRATION, .gap = 3,
                                          .size = 8});
    return r;
}

static void xsbench_block(const struct builtin *b, uint32_t thread, uint64_t first, uint32_t n,
                          struct access_rec *acc)
{
    const struct arrays a = arrays_of(b->n);
    for (uint32_t k = 0; k < n; k++) {
        uint64_t h = builtin_hash(thread * b->iterations + first + k + 1);
        uint64_t goal = h & (b->n - 1);
        uint32_t material = (uint32_t)(builtin_hash(h) % NMATERIALS);
        acc = search(b, &a, goal, k == 0 ? 27 : 30, acc);
        for (uint32_t i = 0; i < MATERIAL_NUCLIDES; i++)
            acc = gather(b, &a, goal, material, i, acc);
        for (uint32_t i = 0; i < NXS; i++)
            *acc++ = acc_marked((struct access_rec){.vaddr = a.results + LINE_BYTES * thread + 8 * i, .pc_id = PC_STORE + i,
                                                    .gap = i == 0 ? 14 : 1, .size = 8, .flags = ACC_STORE, .data_dep = 1,
                                                    .data_ops = 2});
    }
}

static void xsbench_shape(struct builtin *b)
{
    b->n = UINT64_C(1) << log2_floor(u64_max(b->size_bytes / BYTES_PER_POINT, 1));
    b->nsteps = log2_floor(b->n);
    b->area_bytes = arrays_of(b->n).results + LINE_BYTES * b->base.nthreads - BUILTIN_DATA;
    b->iterations = b->n < LEAST_POINTS ? 0 : b->passes * (b->n / 8) / b->base.nthreads;
}

const struct builtin_ops builtin_xsbench = {16, 3, xsbench_shape, xsbench_block};
