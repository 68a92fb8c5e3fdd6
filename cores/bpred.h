/*
 * Branch prediction: the direction designs, and around them what they share: a branch target
 * buffer, a return-address stack and a predictor of indirect targets.
 *
 * A pure model. A branch is predicted and its outcome learnt in one call, in program order, so the
 * state depends on the order of the branches and on nothing else: neither on time nor on how far
 * the front end runs ahead. (A real predictor learns at execution or retirement, some tens of
 * branches late, and repairs its history after a wrong path; both are left out.)
 *
 * To add a direction design: a `const struct bpred_ops bpred_<name>` in a file of its own and one
 * line of BPRED_LIST; the choices of bpred.design and the contract test follow from the list.
 */
#ifndef CORES_BPRED_H
#define CORES_BPRED_H

#include "cores/frontend.h"
#include "memsys/sarray.h"
#include "pdes/desc.h"

/* X(name): each has `const struct bpred_ops bpred_<name>`. */
#define BPRED_LIST(X) \
    X(none)           \
    X(gshare)         \
    X(tage)

enum bpred_kind {
#define X(name) BPRED_##name,
    BPRED_LIST(X)
#undef X
        BPRED_COUNT
};

struct bpred_params {
    uint64_t design;
    uint64_t gshare_entries, gshare_history;
    uint64_t base_entries, tables, table_entries, tag_bits, min_history, max_history;
    uint64_t btb_entries, btb_ways, btb_miss_cycles;
    uint64_t ras_entries, indirect_entries, indirect_history;
};

extern const struct param_desc bpred_rows[];
extern const uint32_t bpred_nrows;
/* Checks what single ranges cannot. ERR_USAGE after a message per problem. */
enum err bpred_params_check(const struct bpred_params *p);
/* For the designs: `n`, the value of bpred.<key>, must be a power of two. */
enum err bpred_check_power(const char *key, uint64_t n);

/* Why the front end did not go on with the right instruction at once. */
enum bpred_miss {
    BPRED_RIGHT,
    BPRED_WRONG_DIRECTION, /* found when the branch executes */
    BPRED_WRONG_TARGET,    /* of an indirect jump or call: the same */
    BPRED_WRONG_RETURN,    /* the same */
    BPRED_LATE_TARGET      /* the prediction is right, but the BTB does not know the branch: found at decode */
};

#define BPRED_RAS_MAX 128u

#define BPRED_LONGEST_INSTRUCTION 15u /* bytes */
#define RECENT_BRANCHES 2048u

struct bpred {
    uint32_t design; /* enum bpred_kind */
    uint32_t ras_size, ras_top, ras_n;
    uint64_t ras[BPRED_RAS_MAX]; /* addresses of calls, a ring: the oldest is overwritten */
    uint64_t path, path_mask;    /* hashes of the latest indirect targets, the newest lowest */
    uint32_t path_shift, indirect_mask;
    uint64_t at_btb, at_indirect, at_direction; /* byte offsets from the start of this struct */
    /*
     * The branch used latest in some sets of the BTB: asking for it again changes no recency. Indexed by
     * address modulo a divisor of the number of sets, so that another branch of the same set takes the
     * same place.
     */
    struct recent_branch {
        uint64_t pc, word; /* byte offset of its target */
    } recent[RECENT_BRANCHES];
    uint32_t recent_mask;
};

struct bpred_ops {
    const char *name;
    const char *doc;
    bool perfect; /* nothing is predicted, nothing is ever wrong; no other hook is called */
    /* Its own keys: ERR_USAGE after a message per problem. */
    enum err (*check)(const struct bpred_params *p);
    size_t (*bytes)(const struct bpred_params *p);
    /* `state` is zeroed. */
    void (*init)(void *state, const struct bpred_params *p);
    /* The prediction for a conditional branch; learns the outcome. */
    bool (*conditional)(void *state, uint64_t pc, bool taken);
    /* An indirect jump or call went to `target`: for those that keep it in their history; may be NULL. */
    void (*indirect)(void *state, uint64_t target);
};

#define X(name) extern const struct bpred_ops bpred_##name;
BPRED_LIST(X)
#undef X
extern const struct bpred_ops *const bpred_table[BPRED_COUNT];
extern const char *const bpred_names[]; /* NULL-terminated */

/* Bytes of the flat, pointer-free state. */
size_t bpred_bytes(const struct bpred_params *p);
/* `b` is zeroed memory of that size, aligned to 8; `seed` as of a set-associative array. */
void bpred_init(struct bpred *b, const struct bpred_params *p, uint64_t seed);
/*
 * Another thread comes: the return-address stack is emptied, since its entries are the other
 * thread's (kernels overwrite it at a switch, too). Tables, BTB and histories stay.
 */
void bpred_switch(struct bpred *b);

/* ---- the common kinds, in line ---------------------------------------------------------------- */

/* The target that the BTB has for the branch (0: none), not the latest of its set; it has the new one from now on. */
uint64_t bpred_btb_search(struct bpred *b, uint64_t pc, uint64_t target);
/* An indirect jump or call, or a return with an empty stack. */
enum bpred_miss bpred_indirect(struct bpred *b, uint64_t pc, uint64_t target, enum branch_kind kind);

static inline void *bpred_at(struct bpred *b, uint64_t offset) { return (char *)b + offset; }

/* The same for any branch. */
static inline uint64_t bpred_btb_replace(struct bpred *b, uint64_t pc, uint64_t target)
{
    const struct recent_branch *r = &b->recent[pc & b->recent_mask];
    if (r->pc != pc)
        return bpred_btb_search(b, pc, target);
    uint64_t *held = bpred_at(b, r->word), old = *held;
    *held = target;
    return old;
}

static inline void bpred_push_call(struct bpred *b, uint64_t pc)
{
    b->ras_top = b->ras_top + 1 == b->ras_size ? 0 : b->ras_top + 1;
    b->ras[b->ras_top] = pc;
    b->ras_n += b->ras_n < b->ras_size;
}

/* The latest call; there is one. */
static inline uint64_t bpred_pop_call(struct bpred *b)
{
    uint64_t pc = b->ras[b->ras_top];
    b->ras_top = b->ras_top == 0 ? b->ras_size - 1 : b->ras_top - 1;
    b->ras_n--;
    return pc;
}

/* Predicts a branch and learns its outcome. Not for a perfect design. */
static inline enum bpred_miss bpred_branch(struct bpred *b, uint64_t pc, uint64_t target, enum branch_kind kind,
                                           bool taken)
{
    bool right = true;
    switch (kind) {
    case BR_COND:
        right = bpred_table[b->design]->conditional(bpred_at(b, b->at_direction), pc, taken) == taken;
        if (!taken)
            return right ? BPRED_RIGHT : BPRED_WRONG_DIRECTION;
        break;
    case BR_JUMP:
        break;
    case BR_CALL:
        bpred_push_call(b, pc);
        break;
    case BR_RET:
        if (b->ras_n != 0) {
            right = target - bpred_pop_call(b) - 1 < BPRED_LONGEST_INSTRUCTION;
            break;
        }
        __attribute__((fallthrough)); /* with an empty stack like an indirect jump */
    default:
        return bpred_indirect(b, pc, target, kind);
    }
    bool known = bpred_btb_replace(b, pc, target) != 0;
    if (!right)
        return kind == BR_COND ? BPRED_WRONG_DIRECTION : BPRED_WRONG_RETURN;
    return known ? BPRED_RIGHT : BPRED_LATE_TARGET;
}

#endif
