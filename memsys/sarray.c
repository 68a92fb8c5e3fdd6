/* See sarray.h: the parts that run once, and what is for large sets only. */
#include "memsys/sarray.h"

#include <string.h>

/* Whole host cache lines. */
static uint32_t set_bytes_of(uint32_t nways) { return ((4 * repl_ngroups(nways) + 2 * nways + 7) & ~7u) * 8; }

size_t sarray_bytes(const struct sarray_cfg *cfg)
{
    return sizeof(struct sarray) + (size_t)cfg->nsets * set_bytes_of(cfg->nways);
}

void sarray_init(struct sarray *a, const struct sarray_cfg *cfg)
{
    SIM_ASSERT(cfg->nsets > 0 && cfg->nways > 0 && cfg->nways <= SARRAY_MAX_WAYS &&
                   (uint64_t)cfg->nsets * cfg->nways <= UINT32_MAX && cfg->repl < REPL_KINDS,
               "array of %u sets of %u ways, policy %u", cfg->nsets, cfg->nways,
               (unsigned)cfg->repl);
    a->nsets = cfg->nsets;
    a->nways = cfg->nways;
    a->repl = cfg->repl;
    a->ngroups = repl_ngroups(cfg->nways);
    a->usual = cfg->repl == REPL_LRU && a->ngroups == 1;
    a->set_bytes = set_bytes_of(cfg->nways);
    a->set_mask = is_pow2(cfg->nsets) ? cfg->nsets - 1 : UINT64_MAX;
    a->rng.seed = cfg->seed;
    uint64_t *first = sarray_repl_row(a, 0);
    size_t row_bytes = 2 * a->ngroups * sizeof *first;
    repl_table[a->repl]->init(first, a->nways);
    for (uint32_t s = 1; s < a->nsets; s++)
        memcpy(sarray_repl_row(a, s), first, row_bytes); /* all sets begin alike */
}

int sarray_find_in_groups(const struct sarray *a, const uint64_t *row, uint64_t tag)
{
    const uint8_t fp = sarray_fingerprint(tag);
    for (uint32_t g = 0; g < a->ngroups; g += 2) {
        uint32_t mask = bytes16_equal((const uint8_t *)row + 16 * g, fp);
        if (g + 1 < a->ngroups)
            mask |= bytes16_equal((const uint8_t *)row + 16 * g + 16, fp) << 16;
        do { /* whether there is a candidate cannot be foreseen, with so many ways: its tag decides at once */
            const uint32_t none = mask == 0, way = 16 * g + (uint32_t)__builtin_ctz(mask | none);
            if (((row[sarray_tag_word(a, way)] ^ tag) | none) == 0)
                return (int)way;
            mask &= mask - 1;
        } while (mask != 0);
    }
    return -1;
}

void sarray_invalidate_all(struct sarray *a)
{
    for (uint32_t s = 0; s < a->nsets; s++)
        for (uint32_t w = 0; w < a->nways; w++)
            sarray_invalidate(a, s, w);
}

uint64_t *sarray_use_any_if(struct sarray *a, uint32_t set, uint64_t tag, uint64_t without, uint64_t with)
{
    int way = sarray_find(a, set, tag);
    if (way < 0)
        return NULL;
    uint64_t *data = sarray_data(a, set, (uint32_t)way);
    if (((*data & without) | (~*data & with)) == 0)
        sarray_hit(a, set, (uint32_t)way);
    return data;
}

bool sarray_replace_any(struct sarray *a, uint32_t set, uint64_t tag, uint64_t data, struct sarray_entry *old_out)
{
    uint32_t way = sarray_victim(a, set);
    const uint64_t *entry = sarray_row(a, set) + sarray_tag_word(a, way);
    bool full = sarray_fingerprints(a, set)[way] >> 7;
    if (full)
        *old_out = (struct sarray_entry){entry[0], entry[1]};
    sarray_fill(a, set, way, tag, data);
    return full;
}
