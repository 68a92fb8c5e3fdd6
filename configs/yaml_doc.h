/*
 * A YAML file as a flat list of dotted keys with their places. This is the one door to libyaml.
 *
 * Only what a configuration needs is read: one document of nested mappings, scalars as text (the
 * key's declared type decides what they mean, so YAML's own typing traps do not exist), and lists
 * of scalars. Anchors, aliases and several documents are refused.
 */
#ifndef CONFIGS_YAML_DOC_H
#define CONFIGS_YAML_DOC_H

#include "pdes/err.h"

#define YAML_DEPTH_MAX 32u
#define YAML_ENTRIES_MAX 65536u
#define YAML_PATH_BYTES 512u

struct yaml_place {
    unsigned line, column; /* from 1 */
};

enum yaml_entry_kind {
    YAML_SCALAR,   /* path: value */
    YAML_NOTHING,  /* path with no value at all */
    YAML_ITEM,     /* one scalar of the list at path */
    YAML_EMPTY_LIST
};

/* One leaf. The key's place is for "unknown key", the value's for "wrong value". */
struct yaml_entry {
    char *path; /* "tlb.l1d4k.entries", however it was nested */
    char *value;
    enum yaml_entry_kind kind;
    struct yaml_place key, val;
};

struct yaml_doc {
    struct yaml_entry *entries;
    size_t nentries;
};

/* Receives each problem of the text; parsing goes on after those that allow it. */
typedef void (*yaml_problem_fn)(void *ctx, struct yaml_place place, const char *text);

/*
 * Reads `len` bytes. Entries found before a syntax error are kept. Returns ERR_USAGE when anything
 * was reported, ERR_MEMORY when the host has no memory; *doc_out is valid in every case and ends
 * with yaml_doc_free.
 */
enum err yaml_doc_parse(const char *text, size_t len, yaml_problem_fn problem, void *ctx,
                        struct yaml_doc *doc_out);
void yaml_doc_free(struct yaml_doc *doc);

#endif
