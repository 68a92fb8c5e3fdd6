/*
 * What config.c and config_file.c share.
 */
#ifndef CONFIGS_CONFIG_PRIVATE_H
#define CONFIGS_CONFIG_PRIVATE_H

#include "configs/config.h"

#define INCLUDE_DEPTH_MAX 16u

/* One key with its current value. */
struct config_slot {
    char *name;
    const struct param_desc *desc;
    const struct param_group *group;
    char *base;
    char *text;   /* canonical */
    char *origin; /* "file:line", "-s", "default" */
    uint64_t value;
    bool pinned;   /* set by -s */
    unsigned load; /* number of the text that last held it, to find duplicates */
    unsigned line; /* there */
};

struct config {
    struct param_group *groups;
    struct config_slot *slots;
    const char **names; /* of the slots, for err_nearest */
    size_t nslots;
    char **errors;
    size_t nerrors;       /* kept */
    size_t nerrors_found; /* with those above the limit */
    char *preset_dir;
    unsigned nloads;
    const char *open_files[INCLUDE_DEPTH_MAX]; /* real paths, outermost first */
    unsigned nopen;
};

void config_add_error(struct config *c, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
struct config_slot *config_slot_find(const struct config *c, const char *name);
bool config_is_group(const struct config *c, const char *path);
/* Adds the error for a name that is no key. */
void config_unknown_key(struct config *c, const char *name, const char *where);
/* Parses and stores; an error names `where`. `pin`: files that follow do not change it. */
bool config_store(struct config *c, struct config_slot *k, const char *text, const char *where,
                  const char *origin, bool pin);
/* "a, b, c" of an enum's choices. */
void config_join_choices(const struct param_desc *d, char *buf, size_t size);

#endif
