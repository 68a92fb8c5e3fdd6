/*
 * Replacement policies of the set-associative array (sarray.h).
 *
 * A policy keeps one byte per way and set in a row of 64-bit words, two for sixteen ways, and is five
 * functions. To add one: write memsys/repl_<name>.c with a `const struct repl_ops repl_<name>` and add
 * one line to REPL_LIST; the parameter choices, the contract test and the reference page follow from the
 * list.
 *
 * Invalid ways are used before any policy is asked, so `victim` may assume a full set. LRU is also
 * written out inline in sarray.h, because it is on the hottest path; a test holds both equal.
 */
#ifndef MEMSYS_REPL_H
#define MEMSYS_REPL_H

#include "pdes/types.h"

/* clang-format off */
#define REPL_LIST(X)   \
    /* enum    word */ \
    X(LRU,     lru)    \
    X(SRRIP,   srrip)  \
    X(RANDOM,  random) \
    X(PLRU,    plru)   \
    X(FIFO,    fifo)
/* clang-format on */

enum repl_kind {
#define X(upper, word) REPL_##upper,
    REPL_LIST(X)
#undef X
        REPL_KINDS
};

/* Counter-based random numbers: the n-th draw depends on (seed, n) only. */
struct repl_rng {
    uint64_t seed, ndraws;
};

/*
 * `row` is the set's 2 * ceil(nways / 16) words, private to the policy: bytes beyond nways are its own
 * too. `init` sees the first set's row, and the others begin as copies of it. `data` is the payload of the entry that comes in, for policies that look at what it holds.
 */
struct repl_ops {
    const char *name;
    const char *doc;
    void (*init)(uint64_t *row, uint32_t nways);
    void (*on_hit)(uint64_t *row, uint32_t nways, uint32_t way);
    void (*on_fill)(uint64_t *row, uint32_t nways, uint32_t way, uint64_t data);
    uint32_t (*victim)(uint64_t *row, uint32_t nways, struct repl_rng *rng);
};

#define X(upper, word) extern const struct repl_ops repl_##word;
REPL_LIST(X)
#undef X

extern const struct repl_ops *const repl_table[REPL_KINDS];
/* The words of REPL_LIST, NULL-terminated, for PARAM_ENUM. */
extern const char *const repl_names[];

/* Next draw below `bound` (> 0). */
uint32_t repl_rng_below(struct repl_rng *rng, uint32_t bound);

#endif
