/*
 * Data prefetchers: one table of designs for L1D and L2.
 *
 * A design sees the accesses of its cache one after the other and names lines that it wants. Pure:
 * no events and no clock but the cycle passed in; its state is a flat block without pointers, and
 * zeroed memory is the state before the first access. What becomes of a wish (page ends, translation,
 * MSHRs, lines that are there already) is decided outside, in data_prefetch.c, the same for all
 * designs, and so are the statistics (l1d/prefetch/..., l2/prefetch/...).
 *
 * Addresses are virtual in L1D and physical in L2. A design adds lines with prefetch_add, in the
 * order in which they are to be asked for.
 *
 * Adding one: a file with its ops, a line of PREFETCH_LIST, its parameters in struct prefetch_params.
 */
#ifndef CORES_PREFETCH_H
#define CORES_PREFETCH_H

#include "pdes/desc.h"

/* X(name): each has `const struct prefetch_ops prefetch_<name>`. */
#define PREFETCH_LIST(X) \
    X(none)              \
    X(next_line)         \
    X(ip_stride)         \
    X(streamer)          \
    X(berti)

/* ---- parameters: units and meanings are in the rows ------------------------------------------- */

struct prefetch_common_params {
    uint64_t cross_page, walk, mshrs_left, stores;
};
struct prefetch_next_line_params {
    uint64_t degree;
};
struct prefetch_ip_stride_params {
    uint64_t entries, confidence, max_bytes, distance, degree;
};
struct prefetch_streamer_params {
    uint64_t streams, confidence, distance, degree;
};
struct prefetch_berti_params {
    uint64_t history_sets, history_ways, entries, round, l1_percent, l2_percent, degree;
};

struct prefetch_params {
    struct prefetch_common_params common;
    struct prefetch_next_line_params next_line;
    struct prefetch_ip_stride_params ip_stride;
    struct prefetch_streamer_params streamer;
    struct prefetch_berti_params berti;
};
extern const struct param_desc prefetch_common_rows[];
extern const uint32_t prefetch_common_nrows;

/* ---- what a design sees ----------------------------------------------------------------------- */

enum prefetch_event {
    PREFETCH_MISS,      /* not there, though it may be on its way */
    PREFETCH_FIRST_USE, /* there because it was prefetched; nobody had asked for it until now */
    PREFETCH_HIT        /* there */
};

struct prefetch_access {
    uint64_t addr;        /* of the access, in bytes */
    uint64_t cycle;       /* at which it begins */
    uint64_t first, last; /* lines may be asked for from the byte `first` to the byte `last` */
    uint32_t ip;          /* of the instruction, hashed */
    uint32_t latency;     /* PREFETCH_FIRST_USE: cycles that the prefetch took */
    enum prefetch_event event;
};

/* A line that an access had missed has come. */
struct prefetch_fill {
    uint64_t addr;    /* of the access */
    uint64_t cycle;   /* at which it began */
    uint32_t ip;
    uint32_t latency; /* cycles that the line took from when it was asked for, by whomever */
};

/* ---- what it wants ---------------------------------------------------------------------------- */

#define PREFETCH_MOST 32u /* lines for one access */

enum prefetch_to { PREFETCH_TO_HERE, PREFETCH_TO_L2 };

struct prefetch_list {
    uint32_t n;
    uint32_t beyond; /* lines left out because they are beyond `first` or `last` */
    struct {
        uint64_t line; /* address of its first byte */
        enum prefetch_to to;
    } wish[PREFETCH_MOST];
};

/* Asks for the line of `addr`, if the access may; false: no more room in the list. */
static inline bool prefetch_add(struct prefetch_list *l, const struct prefetch_access *a, uint64_t addr,
                                enum prefetch_to to)
{
    if (l->n == PREFETCH_MOST)
        return false;
    if (addr < a->first || addr > a->last) {
        l->beyond++;
        return true;
    }
    l->wish[l->n].line = addr & ~(LINE_BYTES - 1);
    l->wish[l->n++].to = to;
    return true;
}

/* ---- a design --------------------------------------------------------------------------------- */

enum prefetch_place { PREFETCH_AT_L1D = 1, PREFETCH_AT_L2 = 2 };

struct prefetch_ops {
    const char *name;
    const char *doc;
    unsigned places; /* enum prefetch_place */
    /* Its parameters, "prefetch.<name>.<row>"; NULL: none. */
    const struct param_desc *rows;
    uint32_t nrows;
    size_t params_offset; /* in struct prefetch_params */
    size_t (*state_bytes)(const struct prefetch_params *p);
    /*
     * After each access of its cache, in touch order; an access to the line of the access before it is
     * left out. `out` comes empty.
     */
    void (*access)(void *state, const struct prefetch_params *p, const struct prefetch_access *a,
                   struct prefetch_list *out);
    /* A line that an access missed is there; NULL: the design does not care. */
    void (*fill)(void *state, const struct prefetch_params *p, const struct prefetch_fill *f);
};

enum prefetch_kind {
#define X(name) PREFETCHER_##name,
    PREFETCH_LIST(X)
#undef X
        PREFETCHER_COUNT
};

#define X(name) extern const struct prefetch_ops prefetch_##name;
PREFETCH_LIST(X)
#undef X

extern const struct prefetch_ops *const prefetch_table[PREFETCHER_COUNT];
extern const char *const prefetch_names[]; /* NULL-terminated */

/* The instruction as designs know it: 32 bits that differ for neighbouring instructions. */
static inline uint32_t prefetch_ip(uint64_t pc)
{
    return (uint32_t)((pc * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

#define PREFETCH_COUNT_ROW(S, field, unit_, def_, min_, max_, doc_)                          \
    {.name = #field, .type = PARAM_COUNT, .unit = unit_, .def = def_, .min = min_,           \
     .max = max_, .offset = offsetof(struct S, field), .doc = doc_}

#endif
