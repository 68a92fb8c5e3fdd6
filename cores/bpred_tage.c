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

#define MAX_TABLES 16u
#define WORDS 10u /* of 64 outcomes */
#define HASH UINT64_C(0x9e3779b97f4a7c15)
#define MIX UINT64_C(0xd6e8feb86659fd93)
#define AGING_BRANCHES (UINT64_C(1) << 18)

/* Entry: tag in bits 0 to 15 (its top bit: in use), counter -4..3 plus 4 in 16 to 18, useful in 19, 20. */
#define IN_USE 0x8000u
#define TAG_MASK 0xffffu
#define COUNTER_SHIFT 16u
#define USEFUL_SHIFT 19u
#define WEAK_NOT 3u
#define WEAK_TAKEN 4u

struct tage {
    uint64_t history[WORDS]; /* the newest outcome is bit 0 of word 0 */
    uint64_t seen, draws;
    uint64_t key[MAX_TABLES];  /* hashes of the branch in hand: an index and a tag of each table */
    uint64_t mask[MAX_TABLES]; /* of a table's outcomes in the last word that it uses */
    uint32_t end[WORDS];       /* tables whose last word this or an earlier one is */
    uint32_t ntables, nwords, table_entries, tag_mask, base_mask;
    uint32_t use_alt; /* 0..15: from 8 on, new weak entries are not believed */
    uint32_t nentries, base_offset; /* bytes from the start of `entry` to the base counters */
    uint32_t entry[];
};

static inline uint32_t counter_of(uint32_t e) { return e >> COUNTER_SHIFT & 7; }
static inline uint32_t useful_of(uint32_t e) { return e >> USEFUL_SHIFT & 3; }

static inline void set_counter(uint32_t *e, bool taken)
{
    uint32_t c = counter_of(*e);
    if (taken ? c < 7 : c > 0)
        *e += taken ? 1u << COUNTER_SHIFT : -(1u << COUNTER_SHIFT);
}

static uint8_t *base_counter(struct tage *t, uint64_t pc)
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
    return sizeof(struct tage) + p->tables * p->table_entries * sizeof(uint32_t) + p->base_entries;
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
    for (uint32_t i = 0; i < t->ntables; i++) {
        uint64_t most = p->max_history - (t->ntables - 1 - i);
        length = u64_min(most, u64_max(length + 1, grown(p->min_history, factor, i)));
        t->mask[i] = ~UINT64_C(0) >> (63 - (length - 1) % 64);
        t->nwords = (uint32_t)((length - 1) / 64) + 1;
        for (uint32_t w = t->nwords - 1; w < WORDS; w++)
            t->end[w] = i + 1;
    }
    t->nentries = (uint32_t)(p->tables * p->table_entries);
    t->base_offset = t->nentries * (uint32_t)sizeof(uint32_t);
    for (uint64_t i = 0; i < p->base_entries; i++)
        ((uint8_t *)t->entry + t->base_offset)[i] = 1; /* weakly not taken */
}

/* ---- prediction ------------------------------------------------------------------------------- */

/* The entries of the longest and the next longest match, NULL: the base; and the tables up to the longest one. */
struct found {
    uint32_t *provider, *alternate;
    uint32_t ntables;
};

static inline uint32_t tag_of(uint32_t tag_mask, uint64_t key) { return ((uint32_t)(key >> 28) & tag_mask) | IN_USE; }

static inline uint64_t index_of(uint32_t entries, uint64_t key) { return key >> 44 & (entries - 1); }

static inline uint32_t *entry_of(struct tage *t, uint32_t table)
{
    return &t->entry[(uint64_t)table * t->table_entries + index_of(t->table_entries, t->key[table])];
}

/* Looks up the tables from `first` to `end`, whose last word of history is `word`. */
static inline void look_up_word(struct tage *t, uint64_t prefix, uint64_t word, uint32_t first, uint32_t end,
                                struct found *f)
{
    const uint32_t n = t->table_entries, tag_mask = t->tag_mask;
    uint32_t *entries = t->entry + (uint64_t)first * n;
    for (uint32_t i = first; i < end; i++, entries += n) {
        const uint64_t key = (prefix ^ (word & t->mask[i])) * HASH;
        uint32_t *e = &entries[index_of(n, key)];
        t->key[i] = key;
        if (((*e ^ tag_of(tag_mask, key)) & TAG_MASK) == 0) {
            f->alternate = f->provider;
            f->provider = e;
            f->ntables = i + 1;
        }
    }
}

static inline void look_up(struct tage *t, uint64_t pc, struct found *f)
{
    uint64_t prefix = pc * MIX;
    *f = (struct found){NULL, NULL, 0};
    look_up_word(t, prefix, t->history[0], 0, t->end[0], f);
    for (uint32_t word = 1; word < t->nwords; word++) {
        prefix = (prefix ^ t->history[word - 1]) * MIX;
        look_up_word(t, prefix, t->history[word], t->end[word - 1], t->end[word], f);
    }
}

static bool is_weak(uint32_t e) { return counter_of(e) == WEAK_NOT || counter_of(e) == WEAK_TAKEN; }

/* A draw of a counter-based generator. */
static uint32_t draw(struct tage *t)
{
    uint64_t z = ++t->draws * HASH;
    z = (z ^ z >> 30) * MIX;
    return (uint32_t)(z >> 32);
}

/* Takes an entry of longer history, mostly the next longer one that is free. */
static __attribute__((noinline)) void allocate(struct tage *t, uint32_t first, bool taken)
{
    uint32_t random = draw(t);
    bool some = false;
    if (first >= t->ntables)
        return;
    for (uint32_t i = first; i < t->ntables; i++)
        some |= useful_of(*entry_of(t, i)) == 0;
    for (uint32_t i = first; i < t->ntables; i++) {
        uint32_t *e = entry_of(t, i);
        if (!some) {
            *e -= 1u << USEFUL_SHIFT;
        } else if (useful_of(*e) == 0) {
            *e = tag_of(t->tag_mask, t->key[i]) | (taken ? WEAK_TAKEN : WEAK_NOT) << COUNTER_SHIFT;
            if (random & 1) /* half the time a second one, further on */
                return;
            random = 1;
            i++;
        }
    }
}

static void age(struct tage *t)
{
    for (uint32_t i = 0; i < t->nentries; i++)
        t->entry[i] = (t->entry[i] & ~(3u << USEFUL_SHIFT)) | useful_of(t->entry[i]) >> 1 << USEFUL_SHIFT;
}

/* `n` is a constant wherever this is used. */
static inline void push(struct tage *t, uint64_t bits, unsigned n)
{
    uint64_t h = t->history[0];
    t->history[0] = h << n | bits;
    for (uint32_t i = 1; i < t->nwords; i++) {
        uint64_t in = h >> (64 - n);
        h = t->history[i];
        t->history[i] = h << n | in;
    }
}

static void learn_base(uint8_t *base, bool taken)
{
    *base = (uint8_t)(taken ? *base + (*base < 3) : *base - (*base > 0));
}

static bool tage_conditional(void *state, uint64_t pc, bool taken)
{
    struct tage *t = state;
    struct found f;
    uint8_t *base = base_counter(t, pc);
    look_up(t, pc, &f);
    uint32_t *e = f.provider, *below = f.alternate;
    bool alternate = below != NULL ? counter_of(*below) >= WEAK_TAKEN : *base >= 2;
    bool longest = alternate, predicted = alternate;
    if (e != NULL) {
        longest = counter_of(*e) >= WEAK_TAKEN;
        bool is_new = is_weak(*e) && useful_of(*e) == 0;
        predicted = is_new && t->use_alt >= 8 ? alternate : longest;
        if (is_new && longest != alternate) {
            if (alternate == taken)
                t->use_alt += t->use_alt < 15;
            else
                t->use_alt -= t->use_alt > 0;
        }
    }
    if (predicted != taken && !(e != NULL && longest == taken))
        allocate(t, f.ntables, taken);
    if (e == NULL) {
        learn_base(base, taken);
    } else {
        if (useful_of(*e) == 0) { /* the entry may go again: keep what is below it */
            if (below != NULL)
                set_counter(below, taken);
            else
                learn_base(base, taken);
        }
        set_counter(e, taken);
        if (longest != alternate) {
            if (longest == taken)
                *e += useful_of(*e) < 3 ? 1u << USEFUL_SHIFT : 0;
            else
                *e -= useful_of(*e) > 0 ? 1u << USEFUL_SHIFT : 0;
        }
    }
    push(t, taken, 1);
    if (++t->seen % AGING_BRANCHES == 0)
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
