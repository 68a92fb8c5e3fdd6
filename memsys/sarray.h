/*
 * The one set-associative array: caches, TLBs and walk caches are all built on it.
 *
 * Life: sarray_bytes says how large the flat block is, sarray_init lays it out in zeroed memory,
 * and from then on find / hit / victim / fill / invalidate are the only ways in. The block holds no
 * pointers, so it can be copied and moved with the state that contains it.
 *
 * Block:  struct sarray | set 0 | set 1 | ...
 * Set:    fingerprint of each way | replacement row | nways x {tag, data}
 *
 * Fingerprints and replacement row are a byte for each way, in groups of sixteen. Sets start on host
 * cache lines, if the block does: what a lookup reads first is one line for up to 32 ways, and no entry
 * lies on two.
 *
 * A fingerprint is 0x80 + 7 hash bits of the tag; 0 marks a way never filled and 1 one that was
 * invalidated, so neither can look like a tag. A lookup compares sixteen fingerprints at a time and
 * then the full tag of the candidates, mostly just one.
 *
 * Tags are full 64-bit keys, any value. The set number is the caller's business, so sets need not
 * be a power of two. Fully associative is one set; SARRAY_MAX_WAYS bounds the ways.
 */
#ifndef MEMSYS_SARRAY_H
#define MEMSYS_SARRAY_H

#include "memsys/bytes16.h"
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
    uint32_t ngroups;   /* of sixteen ways, the last one maybe not full */
    uint32_t set_bytes; /* distance of two sets */
    uint32_t nused;     /* ways that were ever filled */
    struct repl_rng rng;
    uint64_t sizes;     /* of a TLB: bit n, entries of size code n were filled */
    uint64_t set_mask;  /* nsets - 1, if that is a mask; else UINT64_MAX */
    uint64_t usual;     /* 1: LRU and at most sixteen ways, but some; and to one host cache line */
    uint64_t sets[];      /* nsets * set_bytes */
};

/* Bytes of the block, a multiple of 8. */
size_t sarray_bytes(const struct sarray_cfg *cfg);
/* `a` is zeroed memory of that size, aligned to 8. */
void sarray_init(struct sarray *a, const struct sarray_cfg *cfg);
/* Drops all entries (a full TLB flush). Replacement state stays. */
void sarray_invalidate_all(struct sarray *a);

/* Is a hit on an entry that has just come in no more to the policy than its coming? LRU's; of others it is not assumed. */
static inline bool sarray_fill_is_hit(const struct sarray *a) { return a->repl == REPL_LRU; }

/* ---- ages: the permutation behind LRU and FIFO, a byte for each way ------------------------- */

static inline uint32_t repl_ngroups(uint32_t nways) { return (nways + 15) / 16; }

static inline void repl_ages_init(uint64_t *row, uint32_t nways)
{
    /* Bytes without a way hold the largest age, which no touch ever raises. */
    for (uint32_t w = 0; w < repl_ngroups(nways) * 16; w++)
        ((uint8_t *)row)[w] = (uint8_t)(w < nways ? w : SARRAY_MAX_WAYS - 1);
}

/* Makes `way` the youngest: all that were younger grow one older. `ngroups` is repl_ngroups of the ways. */
static inline void repl_ages_touch_groups(uint64_t *row, uint32_t ngroups, uint32_t way)
{
    uint8_t *ages = (uint8_t *)row, age = ages[way];
    uint32_t g = 0;
    do
        bytes16_renew(ages + 16 * g, age);
    while (__builtin_expect(++g < ngroups, 0));
}

static inline void repl_ages_touch(uint64_t *row, uint32_t nways, uint32_t way)
{
    repl_ages_touch_groups(row, repl_ngroups(nways), way);
}

static inline uint32_t repl_ages_oldest(const uint64_t *row, uint32_t nways)
{
    const uint8_t *ages = (const uint8_t *)row, oldest = (uint8_t)(nways - 1);
    uint32_t g = 0, mask = bytes16_equal(ages, oldest);
    while (nways > 16 * g + 16) { /* two at once: in which of them it is cannot be foreseen */
        mask |= bytes16_equal(ages + 16 * g + 16, oldest) << 16;
        if (mask != 0 || nways <= 16 * g + 32)
            break;
        g += 2;
        mask = bytes16_equal(ages + 16 * g, oldest);
    }
    return 16 * g + (uint32_t)__builtin_ctz(mask);
}

/* ---- layout --------------------------------------------------------------------------------- */

static inline const uint64_t *sarray_row_const(const struct sarray *a, uint32_t set)
{
    return (const uint64_t *)(const void *)((const char *)a->sets + (size_t)set * a->set_bytes);
}

static inline uint64_t *sarray_row(struct sarray *a, uint32_t set)
{
    return (uint64_t *)(void *)((char *)a->sets + (size_t)set * a->set_bytes);
}

static inline uint64_t *sarray_repl_row(struct sarray *a, uint32_t set)
{
    return sarray_row(a, set) + 2 * a->ngroups;
}

static inline const uint64_t *sarray_repl_row_const(const struct sarray *a, uint32_t set)
{
    return sarray_row_const(a, set) + 2 * a->ngroups;
}

/* The set of a key by its low bits; an array without ways has set 0. */
static inline uint32_t sarray_set_of(const struct sarray *a, uint64_t key)
{
    return (uint32_t)(__builtin_expect(a->set_mask != UINT64_MAX, 1) ? key & a->set_mask : key % a->nsets);
}

/* Index of a way's tag word within its set; the payload is the word after it. */
static inline uint32_t sarray_tag_word(const struct sarray *a, uint32_t way)
{
    return 4 * a->ngroups + 2 * way;
}

static inline uint8_t sarray_fingerprint(uint64_t tag)
{
    return (uint8_t)((tag * UINT64_C(0x9e3779b97f4a7c15)) >> 57 | 0x80);
}

static inline const uint8_t *sarray_fingerprints_const(const struct sarray *a, uint32_t set)
{
    return (const uint8_t *)sarray_row_const(a, set);
}

static inline uint8_t *sarray_fingerprints(struct sarray *a, uint32_t set)
{
    return (uint8_t *)sarray_row(a, set);
}

/* ---- the four operations -------------------------------------------------------------------- */

/* sarray_find in a set of more than sixteen ways. */
int sarray_find_in_groups(const struct sarray *a, const uint64_t *row, uint64_t tag);

/* sarray_use_if and sarray_replace in any array. */
uint64_t *sarray_use_any_if(struct sarray *a, uint32_t set, uint64_t tag, uint64_t without, uint64_t with);
bool sarray_replace_any(struct sarray *a, uint32_t set, uint64_t tag, uint64_t data, struct sarray_entry *old_out);

/* The way of `set` that holds `tag`, or -1; an array without ways holds none. No side effect. */
static inline int sarray_find(const struct sarray *a, uint32_t set, uint64_t tag)
{
    const uint64_t *row = sarray_row_const(a, set);
    if (__builtin_expect(a->ngroups != 1, 0))
        return sarray_find_in_groups(a, row, tag);
    for (uint32_t mask = bytes16_equal((const uint8_t *)row, sarray_fingerprint(tag)); mask != 0; mask &= mask - 1) {
        uint32_t way = (uint32_t)__builtin_ctz(mask);
        if (row[4 + 2 * way] == tag)
            return (int)way;
    }
    return -1;
}

/* The set will be asked in a moment: the host should have it near by then. */
static inline void sarray_prefetch(const struct sarray *a, uint32_t set)
{
    __builtin_prefetch(sarray_row_const(a, set));
}

/* The entry that is likely the next one to be replaced: the host should have it near by then. */
static inline void sarray_prefetch_victim(const struct sarray *a, uint32_t set)
{
    if (a->repl == REPL_LRU)
        __builtin_prefetch(sarray_row_const(a, set) +
                           sarray_tag_word(a, repl_ages_oldest(sarray_repl_row_const(a, set), a->nways)));
}

/* Tells the replacement policy that `way` was used. */
static inline void sarray_hit(struct sarray *a, uint32_t set, uint32_t way)
{
    if (a->repl == REPL_LRU)
        repl_ages_touch_groups(sarray_repl_row(a, set), a->ngroups, way);
    else
        repl_table[a->repl]->on_hit(sarray_repl_row(a, set), a->nways, way);
}

/*
 * sarray_find and sarray_hit in one, if the payload has none of the bits `without` and all of `with`: the payload, or NULL. Of
 * another payload the entry is found, but not used. The usual array is asked here, each row read once; for the host's
 * instruction cache, what any other needs stands elsewhere.
 */
static inline __attribute__((always_inline)) uint64_t *sarray_use_if(struct sarray *a, uint32_t set, uint64_t tag,
                                                                     uint64_t without, uint64_t with)
{
    if (__builtin_expect(!a->usual, 0))
        return sarray_use_any_if(a, set, tag, without, with);
    uint64_t *row = sarray_row(a, set);
    for (uint32_t mask = bytes16_equal((const uint8_t *)row, sarray_fingerprint(tag)); mask != 0; mask &= mask - 1) {
        uint32_t way = (uint32_t)__builtin_ctz(mask);
        uint64_t *entry = row + 4 + 2 * way;
        if (entry[0] != tag)
            continue;
        if (((entry[1] & without) | (~entry[1] & with)) == 0)
            bytes16_renew((uint8_t *)(row + 2), ((const uint8_t *)(row + 2))[way]);
        return entry + 1;
    }
    return NULL;
}

/* The same whatever the payload. */
static inline uint64_t *sarray_use(struct sarray *a, uint32_t set, uint64_t tag) { return sarray_use_if(a, set, tag, 0, 0); }

/*
 * Where an entry lies, for those who keep that to use it again without a search; only with LRU and at most
 * sixteen ways. Bytes from the start of the array: of its payload, and of its age.
 */
struct sarray_spot {
    uint32_t data, age;
};

static inline bool sarray_has_spots(const struct sarray *a) { return a->usual; }

static inline struct sarray_spot sarray_spot_of(const struct sarray *a, uint32_t set, const uint64_t *data)
{
    const uint64_t *row = sarray_row_const(a, set);
    uint32_t way = (uint32_t)(data - row - 5) / 2, row_at = (uint32_t)((const char *)row - (const char *)a);
    return (struct sarray_spot){row_at + 40 + 16 * way, row_at + 16 + way};
}

/* The payload of an entry that is still there, counted as a use: of the latest one, too, where that changes nothing. */
static inline uint64_t *sarray_use_spot(struct sarray *a, struct sarray_spot s)
{
    bytes16_renew((uint8_t *)a + (s.age & ~UINT32_C(15)), *((const uint8_t *)a + s.age));
    return (uint64_t *)(void *)((char *)a + s.data);
}

/* The way to fill next: the first invalid one, else the policy's choice. Removes nothing. */
static inline uint32_t sarray_victim(struct sarray *a, uint32_t set)
{
    const uint8_t *fps = sarray_fingerprints_const(a, set);
    uint32_t g = 0;
    do {
        uint32_t invalid = ~bytes16_tops(fps + 16 * g) & 0xffff;
        uint32_t way = 16 * g + (uint32_t)__builtin_ctz(invalid | 1u << 16);
        if (way < a->nways && way < 16 * g + 16) /* else: the padding of the last group, or none */
            return way;
    } while (__builtin_expect(++g < a->ngroups, 0));
    if (a->repl == REPL_LRU)
        return repl_ages_oldest(sarray_repl_row(a, set), a->nways);
    return repl_table[a->repl]->victim(sarray_repl_row(a, set), a->nways, &a->rng);
}

/* Puts an entry into `way` (whatever was there is gone). The tag must not be in the set already. */
static inline void sarray_fill(struct sarray *a, uint32_t set, uint32_t way, uint64_t tag,
                               uint64_t data)
{
    uint64_t *row = sarray_row(a, set);
    uint8_t *fp = (uint8_t *)row + way;
    a->nused += *fp == 0;
    *fp = sarray_fingerprint(tag);
    row[sarray_tag_word(a, way)] = tag;
    row[sarray_tag_word(a, way) + 1] = data;
    if (a->repl == REPL_LRU)
        repl_ages_touch_groups(row + 2 * a->ngroups, a->ngroups, way);
    else
        repl_table[a->repl]->on_fill(row + 2 * a->ngroups, a->nways, way, data);
}

/*
 * sarray_victim and sarray_fill in one; true: the entry that was there, in *old_out, is gone for it. The tag must
 * not be in the set already.
 */
static inline bool sarray_replace(struct sarray *a, uint32_t set, uint64_t tag, uint64_t data,
                                  struct sarray_entry *old_out)
{
    if (__builtin_expect(!a->usual, 0))
        return sarray_replace_any(a, set, tag, data, old_out);
    uint64_t *row = sarray_row(a, set), *entry; /* each row is read once */
    uint8_t *fps = (uint8_t *)row, *ages = (uint8_t *)(row + 2);
    const uint32_t unused = ~bytes16_tops(fps) & ((1u << a->nways) - 1);
    uint32_t way;
    if (unused == 0) {
        const uint8_t oldest = (uint8_t)(a->nways - 1);
        way = (uint32_t)__builtin_ctz(bytes16_equal(ages, oldest));
        bytes16_renew(ages, oldest);
        entry = row + 4 + 2 * way;
        *old_out = (struct sarray_entry){entry[0], entry[1]};
    } else {
        way = (uint32_t)__builtin_ctz(unused);
        bytes16_renew(ages, ages[way]);
        entry = row + 4 + 2 * way;
        a->nused += fps[way] == 0;
    }
    fps[way] = sarray_fingerprint(tag);
    entry[0] = tag;
    entry[1] = data;
    return unused == 0;
}

/* ---- single ways ---------------------------------------------------------------------------- */

static inline bool sarray_valid(const struct sarray *a, uint32_t set, uint32_t way)
{
    return sarray_fingerprints_const(a, set)[way] >> 7;
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
        sarray_fingerprints(a, set)[way] = 1;
}

/* Ways that were ever filled: below sarray_capacity, the structure was never full (a cold run). */
static inline uint32_t sarray_used(const struct sarray *a) { return a->nused; }
static inline uint32_t sarray_capacity(const struct sarray *a) { return a->nsets * a->nways; }

#endif
