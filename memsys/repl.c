/*
 * See repl.h. Policies: LRU (exact stack order), FIFO, tree pseudo-LRU, 2-bit static RRIP with hit
 * priority (Jaleel et al., "High Performance Cache Replacement Using Re-Reference Interval
 * Prediction", ISCA 2010) and random.
 */
#include "memsys/repl.h"

#include "memsys/sarray.h"
#include "pdes/rng.h"

#include <string.h>

uint32_t repl_rng_below(struct repl_rng *rng, uint32_t bound)
{
    return (uint32_t)rng_below(rng_draw(rng->seed, 0, 0, 0, rng->ndraws++), bound);
}

static void ignore_hit(uint64_t *row, uint32_t nways, uint32_t way)
{
    (void)row, (void)nways, (void)way;
}

static void ignore_fill(uint64_t *row, uint32_t nways, uint32_t way, uint64_t data)
{
    (void)row, (void)nways, (void)way, (void)data;
}

static void ignore_init(uint64_t *row, uint32_t nways) { (void)row, (void)nways; }

/* ---- LRU and FIFO: byte = age, 0 the youngest; the ages of a set are a permutation ---------- */

static void ages_init(uint64_t *row, uint32_t nways) { repl_ages_init(row, nways); }

static void lru_hit(uint64_t *row, uint32_t nways, uint32_t way)
{
    repl_ages_touch(row, nways, way);
}

static void ages_fill(uint64_t *row, uint32_t nways, uint32_t way, uint64_t data)
{
    (void)data;
    repl_ages_touch(row, nways, way);
}

static uint32_t ages_victim(uint64_t *row, uint32_t nways, struct repl_rng *rng)
{
    (void)rng;
    return repl_ages_oldest(row, nways);
}

const struct repl_ops repl_lru = {
    .name = "lru",
    .doc = "least recently used, exact",
    .init = ages_init,
    .on_hit = lru_hit,
    .on_fill = ages_fill,
    .victim = ages_victim,
};

const struct repl_ops repl_fifo = {
    .name = "fifo",
    .doc = "oldest fill first; hits do not matter",
    .init = ages_init,
    .on_hit = ignore_hit,
    .on_fill = ages_fill,
    .victim = ages_victim,
};

/* ---- SRRIP: byte = re-reference prediction value, 0 near .. 3 distant ----------------------- */

enum { RRPV_NEAR = 0, RRPV_LONG = 2, RRPV_DISTANT = 3 };

static void srrip_init(uint64_t *row, uint32_t nways) { memset(row, RRPV_DISTANT, nways); }

static void srrip_hit(uint64_t *row, uint32_t nways, uint32_t way)
{
    (void)nways;
    ((uint8_t *)row)[way] = RRPV_NEAR;
}

static void srrip_fill(uint64_t *row, uint32_t nways, uint32_t way, uint64_t data)
{
    (void)nways, (void)data;
    ((uint8_t *)row)[way] = RRPV_LONG;
}

/* First way at "distant"; if none, all age together until one is. */
static uint32_t srrip_victim(uint64_t *row, uint32_t nways, struct repl_rng *rng)
{
    (void)rng;
    uint8_t *rrpv = (uint8_t *)row;
    uint32_t oldest = 0;
    for (uint32_t w = 1; w < nways; w++)
        if (rrpv[w] > rrpv[oldest])
            oldest = w;
    uint32_t step = (uint32_t)RRPV_DISTANT - rrpv[oldest];
    if (step != 0)
        for (uint32_t w = 0; w < nways; w++)
            rrpv[w] = (uint8_t)(rrpv[w] + step);
    return oldest;
}

const struct repl_ops repl_srrip = {
    .name = "srrip",
    .doc = "2-bit re-reference interval prediction, hit priority (ISCA 2010)",
    .init = srrip_init,
    .on_hit = srrip_hit,
    .on_fill = srrip_fill,
    .victim = srrip_victim,
};

/* ---- random --------------------------------------------------------------------------------- */

static uint32_t random_victim(uint64_t *row, uint32_t nways, struct repl_rng *rng)
{
    (void)row;
    return repl_rng_below(rng, nways);
}

const struct repl_ops repl_random = {
    .name = "random",
    .doc = "a way drawn at random",
    .init = ignore_init,
    .on_hit = ignore_hit,
    .on_fill = ignore_fill,
    .victim = random_victim,
};

/*
 * ---- tree pseudo-LRU: bit n of the row is node n of a heap-ordered tree (root 1) whose leaves are
 * the ways; a set bit says that the older half is the right one. Ways need not be a power of two:
 * a right half without ways is never entered.
 */

static uint32_t leaves_of(uint32_t nways)
{
    return nways == 1 ? 1 : 1u << (log2_floor(nways - 1) + 1);
}

static void plru_hit(uint64_t *row, uint32_t nways, uint32_t way)
{
    uint32_t nleaves = leaves_of(nways);
    for (uint32_t n = way + nleaves; n > 1; n /= 2) {
        uint64_t bit = UINT64_C(1) << (n / 2 % 64);
        if (n % 2 == 0)
            row[n / 2 / 64] |= bit;
        else
            row[n / 2 / 64] &= ~bit;
    }
}

static void plru_fill(uint64_t *row, uint32_t nways, uint32_t way, uint64_t data)
{
    (void)data;
    plru_hit(row, nways, way);
}

static uint32_t plru_victim(uint64_t *row, uint32_t nways, struct repl_rng *rng)
{
    (void)rng;
    uint32_t nleaves = leaves_of(nways), first = 0, n = 1;
    for (uint32_t half = nleaves / 2; half > 0; half /= 2) {
        bool right = row[n / 64] >> (n % 64) & 1 && first + half < nways;
        n = 2 * n + right;
        first += right ? half : 0;
    }
    return first;
}

const struct repl_ops repl_plru = {
    .name = "plru",
    .doc = "tree pseudo-LRU, one bit per inner node",
    .init = ignore_init,
    .on_hit = plru_hit,
    .on_fill = plru_fill,
    .victim = plru_victim,
};

/* ---- the list ------------------------------------------------------------------------------- */

const struct repl_ops *const repl_table[REPL_KINDS] = {
#define X(upper, word) [REPL_##upper] = &repl_##word,
    REPL_LIST(X)
#undef X
};

const char *const repl_names[] = {
#define X(upper, word) #word,
    REPL_LIST(X)
#undef X
        NULL,
};
