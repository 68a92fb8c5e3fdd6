/*
 * Where each recorded area lies in the simulated address space, and from which map event on.
 *
 * The map events of a trace, in their recorded order, are the whole input: each area is placed by
 * the rules of mimicos/layout.h when its event's turn comes, so the result depends on the trace and
 * the seed alone. A `change` is one map event with its placement. A `view` is the map as it stands
 * after a number of changes: pieces of recorded addresses with the distance to where they lie now.
 *
 * Program, loader and first stack are recognised in the fixed mappings that stand before everything
 * else (the recorder writes them first: program below the stack, loader above it, the heap begins
 * where the program ends) and placed as execve does; the stack becomes an area that grows down. A
 * fixed mapping keeps its distance to the area it lies in, so that the pieces of a library stay
 * together. A call over areas that lie apart now becomes one call for each of them; later orders
 * move up by as many.
 *
 * Not in the trace, hence not known here: address hints (such areas are placed like any others),
 * file offsets (taken as 0), MREMAP_FIXED (recognised only where the target lay in an area), the
 * alignment of program segments above a page.
 */
#ifndef CORES_RELOC_MAP_H
#define CORES_RELOC_MAP_H

#include "cores/frontend.h"
#include "mimicos/layout.h"

struct reloc_piece {
    uint64_t start, end; /* recorded addresses */
    uint64_t delta;      /* to be added, modulo 2^64 */
};

/* Sorted and disjoint; neighbours of one distance are joined. Owns its array; starts as zeros. */
struct reloc_view {
    struct reloc_piece *p;
    uint32_t n, cap;
    uint32_t nchanges; /* made so far */
};

struct reloc_change {
    struct fe_event ev; /* as recorded */
    uint64_t to;        /* new address of the area's first byte (heap: of its old end) */
    uint64_t extra;     /* orders by which this and later events move up, its own pieces included */
    uint32_t thread;
    uint16_t npieces;   /* events that it becomes */
    uint8_t outcome;    /* enum layout_outcome */
    uint8_t flags;      /* RELOC_* */
};
enum { RELOC_IGNORED = 1 /* no area: passed on as it is */, RELOC_STACK = 2, RELOC_STAYS = 4 };

/* Life: zeros; reloc_map_add for every map event; reloc_map_place; then read only; free. */
struct reloc_map {
    struct reloc_change *c;
    uint32_t n, cap;
    struct layout_ranges ever; /* every range that any area was placed at */
    uint64_t *before;          /* bytes of `ever` below each of its ranges */
    uint64_t stray_base;
};

/* False: no host memory. */
bool reloc_map_add(struct reloc_map *m, uint32_t thread, const struct fe_event *ev);
/* Sorts and places. Errors are logged; `path` names the trace. */
enum err reloc_map_place(struct reloc_map *m, const char *path, const struct layout_params *p,
                         uint64_t stack_limit, uint64_t instance);
void reloc_map_free(struct reloc_map *m);

/* Changes with an order up to and with `order`. */
uint32_t reloc_map_upto(const struct reloc_map *m, uint64_t order);
/* The order number after which everything up to `order` has happened. */
uint64_t reloc_map_order(const struct reloc_map *m, uint64_t order);

/* Makes changes until `nchanges` of them are made; back to a smaller number by beginning anew. */
void reloc_view_set(const struct reloc_map *m, struct reloc_view *v, uint32_t nchanges);
void reloc_view_free(struct reloc_view *v);
/* Index of the first piece that ends above `addr`. */
uint32_t reloc_view_at(const struct reloc_view *v, uint64_t addr);
/* The piece that holds `addr`; NULL: none. */
const struct reloc_piece *reloc_view_find(const struct reloc_view *v, uint64_t addr);
/* Recorded addresses that change `i` maps, or takes away before; false: none. */
bool reloc_change_maps(const struct reloc_map *m, uint32_t i, uint64_t *start_out,
                       uint64_t *end_out);
bool reloc_change_unmaps(const struct reloc_map *m, uint32_t i, uint64_t *start_out,
                         uint64_t *end_out);

/*
 * New address of `addr` when no piece holds it. The thread may use an area of a map event that it
 * has not been told of: the first of changes v->nchanges to `limit` that maps the address, if nothing
 * lies there yet. Otherwise it lies in no area (a stray): it stays, or moves aside if some area ever
 * lies there.
 */
uint64_t reloc_map_outside(const struct reloc_map *m, const struct reloc_view *v, uint32_t limit,
                           uint64_t addr);
static inline uint64_t reloc_map_address(const struct reloc_map *m, const struct reloc_view *v,
                                         uint32_t limit, uint64_t addr)
{
    const struct reloc_piece *p = reloc_view_find(v, addr);
    return p != NULL ? addr + p->delta : reloc_map_outside(m, v, limit, addr);
}

/*
 * The events that change `i` becomes, c[i].npieces of them (when `out` is NULL, only their number is
 * returned). `v` is the view before it.
 */
uint32_t reloc_map_rewrite(const struct reloc_map *m, const struct reloc_view *v, uint32_t i,
                           struct fe_event *out);

#endif
