/*
 * What all designs share (see bpred.h), gshare, and the parameters.
 *
 * BTB: set-associative, filled by taken branches, full tags, so two branches never take each other
 * for themselves. Direct branches need it for nothing but their target: without an entry the
 * front end learns of the branch at decode. Not-taken branches are never in it.
 *
 * Returns: calls push, returns pop; the stack is a ring whose oldest entry is overwritten. The trace
 * does not say how long a call is, so it pushes its own address, and a return to within 15 bytes
 * (the longest instruction) behind it was predicted right. With an empty stack a return is
 * predicted like an indirect jump.
 *
 * Indirect targets: two stages (K. Driesen and U. Hoelzle, "The cascaded predictor", MICRO 1998).
 * The BTB holds the last target of each branch; a branch that it was wrong about gets entries in a
 * tagged table, indexed by its address and the latest targets of indirect branches.
 *
 * gshare: S. McFarling, "Combining branch predictors", WRL technical note TN-36, 1993: two-bit
 * counters under the exclusive or of address and global outcome history.
 *
 * Not modelled: delayed learning (bpred.h), limited prediction bandwidth, partial tags in the BTB,
 * several BTB levels.
 */
#include "cores/bpred.h"

#include <stddef.h>

#define HASH UINT64_C(0x9e3779b97f4a7c15)

/* ---- the list --------------------------------------------------------------------------------- */

const struct bpred_ops bpred_none = {
    .name = "none",
    .doc = "perfect: every branch is predicted right and every target is known; the bound of what a predictor can gain",
    .perfect = true,
};

const struct bpred_ops *const bpred_table[BPRED_COUNT] = {
#define X(name) &bpred_##name,
    BPRED_LIST(X)
#undef X
};

const char *const bpred_names[] = {
#define X(name) #name,
    BPRED_LIST(X)
#undef X
        NULL};

/* ---- parameters ------------------------------------------------------------------------------- */

#define COUNT(field, unit_, def_, min_, max_, doc_)                                          \
    {.name = #field, .type = PARAM_COUNT, .unit = unit_, .def = def_, .min = min_,           \
     .max = max_, .offset = offsetof(struct bpred_params, field), .doc = doc_}

/* clang-format off */
const struct param_desc bpred_rows[] = {
    {.name = "design", .type = PARAM_ENUM, .unit = "", .def = "tage", .choices = bpred_names,
     .offset = offsetof(struct bpred_params, design), .doc = "predictor of directions; none: perfect, and all other keys of the group are without effect"},
    COUNT(gshare_entries, "entry", "65536", 4, 1 << 22, "gshare: two-bit counters, a power of two"),
    COUNT(gshare_history, "branch", "16", 0, 22, "gshare: outcomes in the index, at most its bits"),
    COUNT(base_entries, "entry", "8192", 4, 1 << 22, "tage: two-bit counters of the base predictor, a power of two"),
    COUNT(tables, "table", "4", 1, 16, "tage: tagged tables"),
    COUNT(table_entries, "entry", "2048", 4, 1 << 18, "tage: entries of each, a power of two"),
    COUNT(tag_bits, "bit", "11", 4, 15, "tage: bits of a tag"),
    COUNT(min_history, "branch", "4", 1, 640, "tage: history of the first table"),
    COUNT(max_history, "branch", "128", 1, 640, "tage: history of the last table; those between grow by a constant factor"),
    COUNT(btb_entries, "entry", "12288", 1, 1 << 20, "branch target buffer"),
    COUNT(btb_ways, "way", "6", 0, 128, "its associativity; 0: fully associative"),
    COUNT(btb_miss_cycles, "cycle", "6", 0, 100, "dispatch lost when a taken branch with a right prediction misses the BTB and is found at decode"),
    COUNT(ras_entries, "call", "24", 1, BPRED_RAS_MAX, "return-address stack"),
    COUNT(indirect_entries, "entry", "2048", 1, 1 << 20, "history-indexed table of indirect targets, a power of two"),
    COUNT(indirect_history, "target", "8", 1, 16, "latest indirect targets in its index"),
};
/* clang-format on */
const uint32_t bpred_nrows = sizeof bpred_rows / sizeof bpred_rows[0];

enum err bpred_check_power(const char *key, uint64_t n)
{
    uint64_t below = UINT64_C(1) << log2_floor(n);
    if (n == below)
        return ERR_OK;
    return err_log(ERR_USAGE, "bpred.%s: %llu is not a power of two (nearest: %llu)", key, (unsigned long long)n,
                   (unsigned long long)(n - below < 2 * below - n ? below : 2 * below));
}

static enum err check_btb(const struct bpred_params *p)
{
    uint64_t ways = p->btb_ways == 0 ? p->btb_entries : p->btb_ways;
    if (ways > SARRAY_MAX_WAYS)
        return err_log(ERR_USAGE, "bpred.btb_ways: %llu entries cannot be fully associative (at most %u); set ways",
                       (unsigned long long)p->btb_entries, SARRAY_MAX_WAYS);
    if (p->btb_entries % ways != 0)
        return err_log(ERR_USAGE, "bpred.btb_entries: %llu entries do not divide into %llu ways (nearest: %llu)",
                       (unsigned long long)p->btb_entries, (unsigned long long)ways,
                       (unsigned long long)(p->btb_entries < ways ? ways : p->btb_entries / ways * ways));
    return ERR_OK;
}

enum err bpred_params_check(const struct bpred_params *p)
{
    if (bpred_table[p->design]->perfect)
        return ERR_OK;
    enum err e = bpred_table[p->design]->check(p);
    if (bpred_check_power("indirect_entries", p->indirect_entries) != ERR_OK || check_btb(p) != ERR_OK)
        e = ERR_USAGE;
    return e;
}

/* ---- gshare ----------------------------------------------------------------------------------- */

struct gshare {
    uint64_t history, history_mask, index_mask;
    uint8_t counter[];
};

static enum err gshare_check(const struct bpred_params *p)
{
    enum err e = bpred_check_power("gshare_entries", p->gshare_entries);
    if (e == ERR_OK && p->gshare_history > log2_floor(p->gshare_entries))
        e = err_log(ERR_USAGE, "bpred.gshare_history: %llu outcomes do not fit the %u bits of an index into %llu entries",
                    (unsigned long long)p->gshare_history, log2_floor(p->gshare_entries),
                    (unsigned long long)p->gshare_entries);
    return e;
}

static size_t gshare_bytes(const struct bpred_params *p) { return sizeof(struct gshare) + p->gshare_entries; }

static void gshare_init(void *state, const struct bpred_params *p)
{
    struct gshare *g = state;
    g->history_mask = (UINT64_C(1) << p->gshare_history) - 1;
    g->index_mask = p->gshare_entries - 1;
    for (uint64_t i = 0; i < p->gshare_entries; i++)
        g->counter[i] = 1; /* weakly not taken */
}

static bool gshare_conditional(void *state, uint64_t pc, bool taken)
{
    struct gshare *g = state;
    uint8_t *counter = &g->counter[(pc ^ (g->history & g->history_mask)) & g->index_mask];
    bool predicted = *counter >= 2;
    *counter = (uint8_t)(taken ? *counter + (*counter < 3) : *counter - (*counter > 0));
    g->history = g->history << 1 | taken;
    return predicted;
}

const struct bpred_ops bpred_gshare = {
    .name = "gshare",
    .doc = "two-bit counters under address xor global history (McFarling 1993)",
    .check = gshare_check,
    .bytes = gshare_bytes,
    .init = gshare_init,
    .conditional = gshare_conditional,
};

/* ---- layout ----------------------------------------------------------------------------------- */

/* An entry of the table of indirect targets; `confidence` above 0 survives a wrong prediction. */
struct indirect_entry {
    uint64_t target;
    uint32_t tag, confidence;
};

static struct sarray_cfg btb_cfg(const struct bpred_params *p, uint64_t seed)
{
    uint64_t ways = p->btb_ways == 0 ? p->btb_entries : p->btb_ways;
    return (struct sarray_cfg){.nsets = (uint32_t)(p->btb_entries / ways), .nways = (uint32_t)ways,
                               .repl = REPL_LRU, .seed = seed};
}

static uint64_t lay_out(const struct bpred_params *p, struct bpred *b)
{
    struct sarray_cfg btb = btb_cfg(p, 0);
    b->at_btb = (sizeof *b + 63) & ~UINT64_C(63);
    b->at_indirect = b->at_btb + ((sarray_bytes(&btb) + 63) & ~UINT64_C(63));
    b->at_direction = b->at_indirect + p->indirect_entries * sizeof(struct indirect_entry);
    b->at_direction = (b->at_direction + 63) & ~UINT64_C(63);
    return b->at_direction + bpred_table[p->design]->bytes(p);
}

size_t bpred_bytes(const struct bpred_params *p)
{
    struct bpred b;
    return bpred_table[p->design]->perfect ? sizeof b : lay_out(p, &b);
}

void bpred_init(struct bpred *b, const struct bpred_params *p, uint64_t seed)
{
    b->design = (uint32_t)p->design;
    if (bpred_table[b->design]->perfect)
        return;
    struct sarray_cfg btb = btb_cfg(p, seed);
    lay_out(p, b);
    sarray_init(bpred_at(b, b->at_btb), &btb);
    b->recent_mask = (uint32_t)u64_min(RECENT_BRANCHES, btb.nsets & -btb.nsets) - 1;
    for (uint32_t i = 0; i < RECENT_BRANCHES; i++)
        b->recent[i].pc = UINT64_MAX;
    b->ras_size = (uint32_t)p->ras_entries;
    b->path_shift = (uint32_t)u64_min(32, 64 / p->indirect_history);
    b->path_mask = ~UINT64_C(0) >> (64 - b->path_shift * p->indirect_history);
    b->indirect_mask = (uint32_t)(p->indirect_entries - 1);
    bpred_table[b->design]->init(bpred_at(b, b->at_direction), p);
}

void bpred_switch(struct bpred *b) { b->ras_n = 0; }

/* ---- targets ---------------------------------------------------------------------------------- */

uint64_t bpred_btb_search(struct bpred *b, uint64_t pc, uint64_t target)
{
    struct sarray *a = bpred_at(b, b->at_btb);
    uint32_t set = sarray_set_of(a, pc);
    uint64_t *held = sarray_use(a, set, pc), old = 0;
    if (held == NULL) {
        uint32_t way = sarray_victim(a, set);
        sarray_fill(a, set, way, pc, target);
        held = sarray_data(a, set, way);
    } else {
        old = *held;
        *held = target;
    }
    b->recent[pc & b->recent_mask] = (struct recent_branch){pc, (uint64_t)((char *)held - (char *)b)};
    return old;
}

static bool indirect_is_right(struct bpred *b, uint64_t pc, uint64_t target)
{
    uint64_t last = bpred_btb_replace(b, pc, target);
    uint64_t key = (pc ^ b->path * HASH) * HASH;
    uint32_t tag = (uint32_t)(key >> 32) | 1; /* 0: free */
    struct indirect_entry *e = (struct indirect_entry *)bpred_at(b, b->at_indirect) + ((uint32_t)(key >> 16) & b->indirect_mask);
    bool right = last == target;
    if (e->tag == tag) {
        right = e->target == target;
        if (right)
            e->confidence = 1;
        else if (e->confidence > 0)
            e->confidence--;
        else
            e->target = target;
    } else if (last != 0 && !right) {
        if (e->confidence > 0)
            e->confidence--;
        else
            *e = (struct indirect_entry){target, tag, 0};
    }
    b->path = (b->path << b->path_shift | (target * HASH) >> (64 - b->path_shift)) & b->path_mask;
    return right;
}

enum bpred_miss bpred_indirect(struct bpred *b, uint64_t pc, uint64_t target, enum branch_kind kind)
{
    bool right = indirect_is_right(b, pc, target);
    if (kind == BR_RET)
        return right ? BPRED_RIGHT : BPRED_WRONG_RETURN;
    if (kind == BR_CALL_INDIRECT)
        bpred_push_call(b, pc);
    const struct bpred_ops *ops = bpred_table[b->design];
    if (ops->indirect != NULL)
        ops->indirect(bpred_at(b, b->at_direction), target);
    return right ? BPRED_RIGHT : BPRED_WRONG_TARGET;
}
