/*
 * A TAGE predictor: A. Seznec and P. Michaud, "A case for (partially) tagged geometric history
 * length branch prediction", Journal of Instruction-Level Parallelism 8, 2006.
 *
 * A base of two-bit counters, and tagged tables indexed by the address and ever longer pieces of the
 * outcome history, whose lengths grow by a constant factor. The longest match predicts; while
 * it is new and weak, the next longest may (use_alt). A wrong prediction takes an entry that is not
 * useful in a table of longer history, or else ages the useful bits there; now and then all useful
 * counters are halved.
 *
 * Different from the paper: index and tag come from a multiplicative hash of the whole history
 * piece instead of folded shift registers (cheaper on a host, and never worse), and indirect
 * targets put two bits into the history, as later versions do. No loop predictor, no statistical
 * corrector: a loop is learnt when its trip count fits the longest history.
 */
#include "cores/bpred.h"

#define INLINE static inline __attribute__((always_inline))
#define MAX_TABLES 16u
#define USUAL_TABLES 4u
#define WORDS 10u /* of 64 outcomes */
#define HASH UINT64_C(0x9e3779b97f4a7c15)
#define MIX UINT64_C(0xd6e8feb86659fd93)
#define AGING_BRANCHES (UINT64_C(1) << 18)

struct entry {
    uint16_t tag;    /* at most 15 bits; FREE: none */
    uint8_t counter; /* 0..7: not taken up to WEAK_NOT */
    uint8_t useful;  /* 0..3 */
};

#define FREE 0x8000u
#define WEAK_NOT 3u
#define WEAK_TAKEN 4u

struct tage {
    uint64_t history[WORDS]; /* the newest outcome is bit 0 of word 0 */
    uint64_t until_aging, draws;
    struct table {
        uint64_t word, mask; /* the last word of history that it uses, and its outcomes there */
        uint64_t key;        /* hash of the branch in hand: an index and a tag */
    } table[MAX_TABLES];
    uint32_t ntables, nwords, table_entries, tag_mask, base_mask;
    uint32_t use_alt; /* 0..15: from 8 on, new weak entries are not believed */
    uint32_t nentries, base_offset; /* bytes from the start of `entry` to the base counters */
    struct entry entry[];
};

static inline bool says_taken(const struct entry *e) { return e->counter >= WEAK_TAKEN; }

/*
 * What becomes of a counter of three bits, and of one of two, when it stays, goes down, goes up. Tables and arithmetic
 * instead of branches: which way a counter goes, and whether at all, a host cannot foresee.
 */
static inline uint32_t move(uint32_t at_all, uint32_t up) { return (1 + up) & (0u - at_all); }
static const uint8_t next3[][8] = {{0, 1, 2, 3, 4, 5, 6, 7}, {0, 0, 1, 2, 3, 4, 5, 6}, {1, 2, 3, 4, 5, 6, 7, 7}};
static const uint8_t next2[][4] = {{0, 1, 2, 3}, {0, 0, 1, 2}, {1, 2, 3, 3}};

static inline uint8_t *base_counter(struct tage *t, uint64_t pc)
{
    return (uint8_t *)t->entry + t->base_offset + ((pc ^ pc >> 2) & t->base_mask);
}

/* ---- set-up ----------------------------------------------------------------------------------- */

static enum err tage_check(const struct bpred_params *p)
{
    enum err e = bpred_check_power("base_entries", p->base_entries);
    if (bpred_check_power("table_entries", p->table_entries) != ERR_OK)
        e = ERR_USAGE;
    if (p->max_history < p->min_history + p->tables - 1)
        e = err_log(ERR_USAGE, "bpred.max_history: %llu tables from %llu branches on need at least %llu",
                    (unsigned long long)p->tables, (unsigned long long)p->min_history,
                    (unsigned long long)(p->min_history + p->tables - 1));
    return e;
}

static size_t tage_bytes(const struct bpred_params *p)
{
    return sizeof(struct tage) + p->tables * p->table_entries * sizeof(struct entry) + p->base_entries;
}

/* `min` times the factor to the power of `n`; the factor has 16 fractional bits. */
static uint64_t grown(uint64_t min, uint64_t factor, uint64_t n)
{
    uint64_t v = min << 16;
    while (n-- > 0 && v >> 32 == 0)
        v = v * factor >> 16;
    return v >> 16;
}

/* The least factor that brings the last table's history to `max`. */
static uint64_t factor_of(const struct bpred_params *p)
{
    uint64_t low = 1 << 16, high = UINT64_C(1) << 26;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (grown(p->min_history, middle, p->tables - 1) < p->max_history)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void tage_init(void *state, const struct bpred_params *p)
{
    struct tage *t = state;
    uint64_t factor = factor_of(p), length = 0;
    t->ntables = (uint32_t)p->tables;
    t->table_entries = (uint32_t)p->table_entries;
    t->tag_mask = (1u << p->tag_bits) - 1;
    t->base_mask = (uint32_t)(p->base_entries - 1);
    t->use_alt = 8;
    t->until_aging = AGING_BRANCHES;
    for (uint32_t i = 0; i < t->ntables; i++) {
        uint64_t most = p->max_history - (t->ntables - 1 - i);
        length = u64_min(most, u64_max(length + 1, grown(p->min_history, factor, i)));
        t->table[i].word = (length - 1) / 64;
        t->table[i].mask = ~UINT64_C(0) >> (63 - (length - 1) % 64);
        t->nwords = (uint32_t)t->table[i].word + 1;
    }
    t->nentries = (uint32_t)(p->tables * p->table_entries);
    for (uint32_t i = 0; i < t->nentries; i++)
        t->entry[i].tag = FREE;
    t->base_offset = t->nentries * (uint32_t)sizeof(struct entry);
    for (uint64_t i = 0; i < p->base_entries; i++)
        ((uint8_t *)t->entry + t->base_offset)[i] = 1; /* weakly not taken */
}

/* ---- prediction ------------------------------------------------------------------------------- */

static inline uint16_t tag_of(uint32_t tag_mask, uint64_t key) { return (uint16_t)(key >> 28 & tag_mask); }

static inline struct entry *entry_of(struct entry *table, uint32_t entries, uint64_t key)
{
    return &table[key >> 44 & (entries - 1)];
}

/* The entry of each table, and a bit for each that matches. */
struct found {
    struct entry *of[MAX_TABLES];
    uint32_t matches;
};

INLINE void look_up(struct tage *t, uint64_t pc, const uint32_t ntables, struct found *f)
{
    const uint32_t n = t->table_entries, tag_mask = t->tag_mask;
    uint64_t prefix[WORDS]; /* hashes of the address and the words before */
    prefix[0] = pc * MIX;
    prefix[1] = (prefix[0] ^ t->history[0]) * MIX;
    for (uint32_t i = 2; __builtin_expect(i < t->nwords, 0); i++)
        prefix[i] = (prefix[i - 1] ^ t->history[i - 1]) * MIX;
    struct entry *entries = t->entry;
    f->matches = 0;
#pragma GCC unroll 4
    for (uint32_t i = 0; i < ntables; i++) {
        struct table *table = &t->table[i];
        const uint64_t key = ((t->history[table->word] & table->mask) ^ prefix[table->word]) * HASH;
        struct entry *e = entry_of(entries, n, key);
        table->key = key;
        f->of[i] = e;
        f->matches |= (uint32_t)(e->tag == tag_of(tag_mask, key)) << i;
        entries += n;
    }
}

/* A draw of a counter-based generator. */
static uint32_t draw(struct tage *t)
{
    uint64_t z = ++t->draws * HASH;
    z = (z ^ z >> 30) * MIX;
    return (uint32_t)(z >> 32);
}

/* Takes an entry of longer history than the provider's, mostly the next longer one that is free. */
static __attribute__((noinline)) void allocate(struct tage *t, const struct entry *provider, bool taken)
{
    struct entry *of[MAX_TABLES];
    uint32_t first = provider == NULL ? 0 : (uint32_t)(provider - t->entry) / t->table_entries + 1;
    uint32_t random = draw(t);
    bool some = false;
    for (uint32_t i = first; i < t->ntables; i++) {
        of[i] = entry_of(t->entry + (size_t)i * t->table_entries, t->table_entries, t->table[i].key);
        some |= of[i]->useful == 0;
    }
    for (uint32_t i = first; i < t->ntables; i++) {
        if (!some) {
            of[i]->useful--;
        } else if (of[i]->useful == 0) {
            *of[i] = (struct entry){.tag = tag_of(t->tag_mask, t->table[i].key), .counter = taken ? WEAK_TAKEN : WEAK_NOT};
            if (random & 1) /* half the time a second one, further on */
                return;
            random = 1;
            i++;
        }
    }
}

static __attribute__((noinline)) void age(struct tage *t)
{
    t->until_aging = AGING_BRANCHES;
    for (uint32_t i = 0; i < t->nentries; i++)
        t->entry[i].useful >>= 1;
}

/* `n` is a constant wherever this is used. The second word is there even if no table uses it. */
static inline void push(struct tage *t, uint64_t bits, unsigned n)
{
    for (uint32_t i = t->nwords - 1; __builtin_expect(i > 1, 0); i--)
        t->history[i] = t->history[i] << n | t->history[i - 1] >> (64 - n);
    t->history[1] = t->history[1] << n | t->history[0] >> (64 - n);
    t->history[0] = t->history[0] << n | bits;
}

/* What the longest match and the next longest, or the base, say; the first of them is new and weak. */
static inline uint32_t choose(struct tage *t, uint32_t longest, uint32_t alternate, uint32_t taken)
{
    uint32_t predicted = t->use_alt >= 8 ? alternate : longest;
    if (alternate == taken)
        t->use_alt += t->use_alt < 15;
    else
        t->use_alt -= t->use_alt > 0;
    return predicted;
}

/* There is a match: predicts, and learns. `other`, the next longest match, is any entry where there is none. */
static inline bool use_match(struct tage *t, const struct found *f, uint8_t *base, uint32_t taken)
{
    const uint32_t first = log2_floor(f->matches), others = f->matches - (1u << first), has_other = others != 0;
    struct entry *provider = f->of[first], *other = f->of[log2_floor(others | 1)];
    const uint32_t longest = says_taken(provider), alternate = (says_taken(other) & has_other) | ((*base >= 2) & ~has_other);
    const uint32_t differ = longest ^ alternate, replaceable = provider->useful == 0;
    const uint32_t weak = provider->counter - WEAK_NOT <= WEAK_TAKEN - WEAK_NOT;
    uint32_t predicted = longest;
    if (__builtin_expect(differ & replaceable & weak, 0))
        predicted = choose(t, longest, alternate, taken);
    if ((predicted ^ taken) & (longest ^ taken))
        allocate(t, provider, taken);
    /* An entry that may go again: keep what is below it. */
    other->counter = next3[move(replaceable & has_other, taken)][other->counter];
    *base = next2[move(replaceable & ~has_other, taken)][*base];
    provider->counter = next3[move(1, taken)][provider->counter];
    provider->useful = next2[move(differ, 1 ^ longest ^ taken)][provider->useful];
    return predicted;
}

static bool tage_conditional(void *state, uint64_t pc, bool taken)
{
    struct tage *t = state;
    uint8_t *base = base_counter(t, pc);
    struct found f;
    if (__builtin_expect(t->ntables == USUAL_TABLES, 1))
        look_up(t, pc, USUAL_TABLES, &f);
    else
        look_up(t, pc, t->ntables, &f);
    bool predicted;
    if (f.matches != 0) {
        predicted = use_match(t, &f, base, taken);
    } else {
        predicted = *base >= 2;
        if (predicted != taken)
            allocate(t, NULL, taken);
        *base = next2[move(1, taken)][*base];
    }
    push(t, taken, 1);
    if (--t->until_aging == 0)
        age(t);
    return predicted;
}

static void tage_indirect(void *state, uint64_t target) { push(state, (target * HASH) >> 62, 2); }

const struct bpred_ops bpred_tage = {
    .name = "tage",
    .doc = "tagged tables of geometric history lengths over a two-bit base (Seznec and Michaud 2006)",
    .check = tage_check,
    .bytes = tage_bytes,
    .init = tage_init,
    .conditional = tage_conditional,
    .indirect = tage_indirect,
};
