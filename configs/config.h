/*
 * Configuration: parameter tables in, checked values out.
 *
 * A key is "<group prefix>.<name>". Layers, each winning over those before it: the tables'
 * defaults; files (their includes first) and texts in the order in which they are loaded; "-s"
 * assignments, whenever they are made. Values are written to each group's base struct as they are
 * accepted. Errors are collected from all layers and printed together by config_finish.
 */
#ifndef CONFIGS_CONFIG_H
#define CONFIGS_CONFIG_H

#include "pdes/desc.h"
#include "pdes/err.h"

#include <stdio.h>

struct config;

/*
 * Checks the tables (a default outside its range, two keys of one name ... are ERR_RUNTIME with a
 * message: a table is code), and writes every default. `groups` is copied; the rows and base
 * structs that it points to must outlive the config. A NULL base stores nothing.
 */
enum err config_create(const struct param_group *groups, size_t ngroups, struct config **out);
void config_destroy(struct config *c);

/* Where `include:` and config_load_file look when a path is not found as written. */
void config_set_preset_dir(struct config *c, const char *dir);

/* Each returns ERR_USAGE when it added an error; it is safe to go on, config_finish reports all. */
enum err config_load_file(struct config *c, const char *path);
enum err config_load_text(struct config *c, const char *text, const char *name);
enum err config_set(struct config *c, const char *assignment); /* "key.path=value" */

/* Prints all collected errors, one line each; ERR_USAGE if there is any. */
enum err config_finish(struct config *c);

/* For checks that span keys: adds an error that names the key's value and where it was set. */
void config_complain(struct config *c, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

size_t config_nerrors(const struct config *c);
const char *config_error(const struct config *c, size_t i);

/*
 * The effective configuration as YAML, one "key: value" line per key in group order, which
 * config_load_text reads back to the same values. With `origins`, a comment says where each value
 * comes from ("# base.yaml:12", "# -s", "# default"). The caller frees it; NULL: no memory.
 */
char *config_dump(const struct config *c, bool origins);

/* One resolved key. Texts live as long as the config and the value does not change. */
struct config_key_info {
    const char *name; /* "tlb.l1d4k.entries" */
    const struct param_desc *desc;
    const char *value_text; /* canonical: "13.75ns", "true", the word, the text */
    uint64_t value;         /* base units; the index of an enum; 0 for a text */
    const char *origin;     /* "base.yaml:12", "-s", "default" */
};
size_t config_nkeys(const struct config *c);
void config_key(const struct config *c, size_t i, struct config_key_info *info_out);
/* By name; false when there is no such key. */
bool config_find(const struct config *c, const char *name, struct config_key_info *info_out);

/*
 * Lists keys or statistics with unit, default, range and meaning. `filter` is the beginning of a
 * key ("tlb.") or of a path ("cores/dtlb"), NULL: all. Returns how many were listed.
 */
size_t config_describe(const struct param_group *groups, size_t ngroups, const char *filter,
                       FILE *f);
size_t stats_describe(const struct stat_component *components, size_t ncomponents,
                      const char *filter, FILE *f);

#endif
