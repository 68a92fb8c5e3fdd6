/*
 * The one set-associative array: caches, TLBs and walk caches are all built on it.
 *
 * Life: sarray_bytes says how large the flat block is, sarray_init lays it out in zeroed memory,
 * and from then on find / hit / victim / fill / invalidate are the only ways in. The block holds no
 * pointers, so it can be copied and moved with the state that contains it.
 *
 * Block:  struct sarray | set 0 | set 1 | ...
 * Set:    nwords fingerprint words | nwords replacement words | latest way | nways x {tag, data}
 *
 * A fingerprint byte is 0x80 + 7 hash bits of the tag; 0 marks a way never filled and 1 one that
 * was invalidated, so neither can look like a tag. A lookup compares eight fingerprints at a time
 * within a 64-bit word (zero-byte detection) and then the full tag of the candidates, mostly just
 * one; that is plain C and needs no vector instructions.
 *
 * The way used latest is tried first: most lookups of a cache or TLB are for it.
 *
 * Tags are full 64-bit keys, any value. The set number is the caller's business, so sets need not
 * be a power of two. Fully associative is one set; SARRAY_MAX_WAYS bounds the ways.
 */
#ifndef MEMSYS_SARRAY_H
#define MEMSYS_SARRAY_H

#include "memsys/repl.h"
#include "pdes/err.h"
#include "pdes/types.h"

#define SARRAY_MAX_WAYS 128u

struct sarray_cfg {
    uint32_t nsets, nways;
    enum repl_kind repl;
    uint64_t seed; /* of the random policy; give every array of the machine its own */
};

struct sarray_entry {
    uint64_t tag, data;
};

struct sarray {
    uint32_t nsets, nways;
    uint32_t repl;      /* enum repl_kind */
    uint32_t nwords;    /* fingerprint words of a set, and replacement words of a set */
    uint32_t set_words; /* distance of two sets in 64-bit words */
    uint32_t nused;     /* ways that were ever filled */
    struct repl_rng rng;
    uint64_t reserved[3]; /* to one host cache line */
    uint64_t sets[];      /* nsets * set_words */
};

/* Bytes of the block, a multiple of 8. */
size_t sarray_bytes(const struct sarray_cfg *cfg);
/* `a` is zeroed memory of that size, aligned to 8. */
void sarray_init(struct sarray *a, const struct sarray_cfg *cfg);
/* Drops all entries (a full TLB flush). Replacement state stays. */
void sarray_invalidate_all(struct sarray *a);

#define SARRAY_ONES UINT64_C(0x0101010101010101)
#define SARRAY_TOPS UINT64_C(0x8080808080808080)

/* ---- ages: the permutation behind LRU and FIFO, eight ways to a word ------------------------ */

static inline void repl_ages_init(uint64_t *row, uint32_t nways)
{
    uint32_t nwords = (nways + 7) / 8;
    for (uint32_t w = 0; w < nwords * 8; w++) {
        /* Bytes without a way hold the largest age, which no touch ever raises. */
        uint64_t age = w < nways ? w : SARRAY_MAX_WAYS - 1;
        row[w / 8] |= age << (w % 8 * 8);
    }
}

/* Makes `way` the youngest: all that were younger grow one older. */
static inline void repl_ages_touch(uint64_t *row, uint32_t nways, uint32_t way)
{
    uint32_t shift = way % 8 * 8;
    uint64_t age = row[way / 8] >> shift & 0xff;
    if (age == 0)
        return;
    uint64_t age_all = age * SARRAY_ONES;
    for (uint32_t w = 0; w < (nways + 7) / 8; w++) {
        uint64_t not_younger = ((row[w] | SARRAY_TOPS) - age_all) & SARRAY_TOPS;
        row[w] += (not_younger ^ SARRAY_TOPS) >> 7;
    }
    row[way / 8] -= age << shift;
}

static inline uint32_t repl_ages_oldest(const uint64_t *row, uint32_t nways)
{
    uint64_t oldest_all = (nways - 1) * SARRAY_ONES;
    for (uint32_t w = 0;; w++) {
        uint64_t x = row[w] ^ oldest_all;
        uint64_t zero = (x - SARRAY_ONES) & ~x & SARRAY_TOPS;
        if (zero != 0)
            return w * 8 + (uint32_t)__builtin_ctzll(zero) / 8;
    }
}

/* ---- layout --------------------------------------------------------------------------------- */

static inline const uint64_t *sarray_row_const(const struct sarray *a, uint32_t set)
{
    return a->sets + (size_t)set * a->set_words;
}

static inline uint64_t *sarray_row(struct sarray *a, uint32_t set)
{
    return a->sets + (size_t)set * a->set_words;
}

/* Index of a way's tag word within its set; the payload is the word after it. */
static inline uint32_t sarray_tag_word(const struct sarray *a, uint32_t way)
{
    return 2 * a->nwords + 1 + 2 * way;
}

static inline uint64_t sarray_fingerprint(uint64_t tag)
{
    return (tag * UINT64_C(0x9e3779b97f4a7c15)) >> 57 | 0x80;
}

static inline uint64_t sarray_fingerprint_at(const uint64_t *row, uint32_t way)
{
    return row[way / 8] >> (way % 8 * 8) & 0xff;
}

static inline void sarray_fingerprint_set(uint64_t *row, uint32_t way, uint64_t fp)
{
    uint32_t shift = way % 8 * 8;
    row[way / 8] = (row[way / 8] & ~(UINT64_C(0xff) << shift)) | fp << shift;
}

/* ---- the four operations -------------------------------------------------------------------- */

/*
 * Bytes of `fingerprints` that may be equal to those of `fp_all`, as their top bits. The lowest one is
 * right; above it a byte that differs in its lowest bit may be marked, too.
 */
static inline uint64_t sarray_candidates(uint64_t fingerprints, uint64_t fp_all)
{
    uint64_t x = fingerprints ^ fp_all;
    return (x - SARRAY_ONES) & ~x & SARRAY_TOPS;
}

/* The way of `set` that holds `tag`, or -1. No side effect. */
static inline int sarray_find(const struct sarray *a, uint32_t set, uint64_t tag)
{
    const uint64_t *row = sarray_row_const(a, set);
    uint32_t latest = (uint32_t)row[2 * a->nwords];
    uint64_t fp = sarray_fingerprint(tag);
    /* Fingerprint first: the tags are on other host cache lines. */
    if (sarray_fingerprint_at(row, latest) == fp && row[sarray_tag_word(a, latest)] == tag)
        return (int)latest;
    uint64_t fp_all = fp * SARRAY_ONES;
    for (uint32_t w = 0; w < a->nwords; w++) {
        for (uint64_t mask = sarray_candidates(row[w], fp_all); mask != 0; mask &= mask - 1) {
            uint32_t way = w * 8 + (uint32_t)__builtin_ctzll(mask) / 8;
            if (row[sarray_tag_word(a, way)] == tag && sarray_fingerprint_at(row, way) >> 7)
                return (int)way;
        }
    }
    return -1;
}

/* Tells the replacement policy that `way` was used. */
static inline void sarray_hit(struct sarray *a, uint32_t set, uint32_t way)
{
    uint64_t *repl_row = sarray_row(a, set) + a->nwords;
    repl_row[a->nwords] = way;
    if (a->repl == REPL_LRU)
        repl_ages_touch(repl_row, a->nways, way);
    else
        repl_table[a->repl]->on_hit(repl_row, a->nways, way);
}

/* The way to fill next: the first invalid one, else the policy's choice. Removes nothing. */
static inline uint32_t sarray_victim(struct sarray *a, uint32_t set)
{
    uint64_t *row = sarray_row(a, set);
    for (uint32_t w = 0; w < a->nwords; w++) {
        uint64_t invalid = ~row[w] & SARRAY_TOPS;
        if (invalid == 0)
            continue;
        uint32_t way = w * 8 + (uint32_t)__builtin_ctzll(invalid) / 8;
        if (way < a->nways) /* else: the padding of the last word */
            return way;
    }
    if (a->repl == REPL_LRU)
        return repl_ages_oldest(row + a->nwords, a->nways);
    return repl_table[a->repl]->victim(row + a->nwords, a->nways, &a->rng);
}

/* Puts an entry into `way` (whatever was there is gone). The tag must not be in the set already. */
static inline void sarray_fill(struct sarray *a, uint32_t set, uint32_t way, uint64_t tag,
                               uint64_t data)
{
    uint64_t *row = sarray_row(a, set);
    a->nused += sarray_fingerprint_at(row, way) == 0;
    sarray_fingerprint_set(row, way, sarray_fingerprint(tag));
    row[sarray_tag_word(a, way)] = tag;
    row[sarray_tag_word(a, way) + 1] = data;
    row[2 * a->nwords] = way;
    if (a->repl == REPL_LRU)
        repl_ages_touch(row + a->nwords, a->nways, way);
    else
        repl_table[a->repl]->on_fill(row + a->nwords, a->nways, way, data);
}

/* ---- single ways ---------------------------------------------------------------------------- */

static inline bool sarray_valid(const struct sarray *a, uint32_t set, uint32_t way)
{
    return sarray_fingerprint_at(sarray_row_const(a, set), way) >> 7;
}

/* Tag and payload of a way; meaningful while it is valid. */
static inline uint64_t sarray_tag(const struct sarray *a, uint32_t set, uint32_t way)
{
    return sarray_row_const(a, set)[sarray_tag_word(a, way)];
}

static inline uint64_t *sarray_data(struct sarray *a, uint32_t set, uint32_t way)
{
    return sarray_row(a, set) + sarray_tag_word(a, way) + 1;
}

static inline void sarray_invalidate(struct sarray *a, uint32_t set, uint32_t way)
{
    if (sarray_valid(a, set, way))
        sarray_fingerprint_set(sarray_row(a, set), way, 1);
}

/* Ways that were ever filled: below sarray_capacity, the structure was never full (a cold run). */
static inline uint32_t sarray_used(const struct sarray *a) { return a->nused; }
static inline uint32_t sarray_capacity(const struct sarray *a) { return a->nsets * a->nways; }

#endif
