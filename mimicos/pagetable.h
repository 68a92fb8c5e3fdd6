/*
 * Page-table formats behind one interface, over 8-byte words of simulated memory.
 *
 * A format keeps nothing of its own: all it knows stands in words that it reads and writes through
 * a pt_store, at physical addresses in frames that the store gives it. So whoever serves the store
 * sees each write, and can mirror and price it. To add a format: a file with the functions below
 * and one line in PT_FORMATS.
 *
 * Words: 0 is an unused entry; anything else is used, present or not (PTE_PROT_NONE). A leaf is
 * described by its page shift (12, 21 or 30).
 */
#ifndef MIMICOS_PAGETABLE_H
#define MIMICOS_PAGETABLE_H

#include "mimicos/pte.h"
#include "pdes/types.h"

struct pt_store {
    void *ctx;
    uint64_t (*read8)(void *ctx, paddr_t addr);
    void (*write8)(void *ctx, paddr_t addr, uint64_t value);
    /* A 4 KiB frame whose words all read 0. False: none left; the format undoes nothing. */
    bool (*alloc_node)(void *ctx, pfn_t *pfn_out);
    /* Takes back a node to which nothing points any more. Its words may be read until it is free. */
    void (*free_node)(void *ctx, pfn_t pfn);
};

/* Where a lookup ended. */
struct pt_entry {
    paddr_t paddr;  /* of the entry */
    uint64_t value; /* 0: nothing is mapped in the whole aligned range of 2^shift bytes */
    uint64_t va;    /* first address that the entry covers */
    unsigned shift; /* log2 of the bytes that the entry covers */
    unsigned nrefs; /* words read */
};

enum pt_result {
    PT_OK,
    PT_NOMEM, /* no frame for a node; nodes made on the way stay, empty */
    PT_BUSY   /* something is mapped there, or a node stands where a large leaf should */
};

struct pt_format {
    const char *name;
    const char *doc;
    unsigned levels;
    enum pt_result (*create)(const struct pt_format *f, const struct pt_store *st, paddr_t *root_out);
    void (*lookup)(const struct pt_format *f, const struct pt_store *st, paddr_t root, vaddr_t va,
                   struct pt_entry *out);
    /* Maps the page of 2^shift bytes that holds `va`; writes nodes first, the leaf last. */
    enum pt_result (*map)(const struct pt_format *f, const struct pt_store *st, paddr_t root,
                          vaddr_t va, unsigned shift, uint64_t value);
    /* Clears the leaf that `e` (from lookup or next) describes. Nodes stay until `prune`. */
    void (*unmap)(const struct pt_format *f, const struct pt_store *st, paddr_t root,
                  const struct pt_entry *e);
    /* Replaces a leaf's value (rights, accessed and dirty bits, frame). */
    void (*update)(const struct pt_format *f, const struct pt_store *st, paddr_t root,
                   const struct pt_entry *e, uint64_t value);
    /* Cuts a 2 MiB leaf into 512 leaves of 4 KiB, or one of 1 GiB into 2 MiB, with the same bits. */
    enum pt_result (*split)(const struct pt_format *f, const struct pt_store *st, paddr_t root,
                            const struct pt_entry *e);
    /* The reverse for 4 KiB leaves: `va`'s 2 MiB get one leaf, and the node below it is freed. */
    void (*join)(const struct pt_format *f, const struct pt_store *st, paddr_t root, vaddr_t va,
                 uint64_t value);
    /* The first used leaf that covers or follows `va` and begins below `end`; false: none. */
    bool (*next)(const struct pt_format *f, const struct pt_store *st, paddr_t root, vaddr_t va,
                 uint64_t end, struct pt_entry *out);
    /* Frees the nodes on the way to `va` that hold nothing. Returns how many. */
    unsigned (*prune)(const struct pt_format *f, const struct pt_store *st, paddr_t root, vaddr_t va);
};

/* clang-format off */
#define PT_FORMATS(X)         \
    X(radix4, pt_format_radix4) \
    X(radix5, pt_format_radix5)
/* clang-format on */

#define X(name, object) extern const struct pt_format object;
PT_FORMATS(X)
#undef X

/* NULL-terminated names, in the order of the list; and the format with an index of it. */
extern const char *const pt_format_names[];
const struct pt_format *pt_format_at(uint64_t idx);

#endif
