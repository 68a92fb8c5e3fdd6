/*
 * Layers of the configuration: files, the files they include, and texts. Includes are applied
 * before the file that names them, wherever the `include` key stands in it.
 */
#include "configs/config.h"

#include "configs/config_private.h"
#include "configs/yaml_doc.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX ((size_t)1 << 20)
#define WHERE_BYTES (PATH_MAX + 64)
#define SUGGESTIONS_MAX 256u
#define LOADS_MAX 1000u /* files that include each other twice would double at each level */

/* A text that is being applied. */
struct layer {
    struct config *c;
    const char *name; /* for messages and origins */
    const char *dir;  /* of the file; NULL for a text */
    unsigned load;
};

static enum err load_path(struct config *c, const char *path, const char *dir, const char *where);

static void format_where(const struct layer *l, struct yaml_place p, char buf[static WHERE_BYTES])
{
    snprintf(buf, WHERE_BYTES, "%s:%u:%u", l->name, p.line, p.column);
}

static void take_problem(void *ctx, struct yaml_place place, const char *text)
{
    const struct layer *l = ctx;
    char where[WHERE_BYTES];
    format_where(l, place, where);
    config_add_error(l->c, where, "%s", text);
}

static void apply_entry(struct layer *l, const struct yaml_entry *e)
{
    char where[WHERE_BYTES], origin[WHERE_BYTES];
    struct config_slot *k = config_slot_find(l->c, e->path);
    format_where(l, e->key, where);
    if (k == NULL) {
        /* "tlb:" with nothing below it is a harmless stub. */
        if (e->kind != YAML_NOTHING || !config_is_group(l->c, e->path))
            config_unknown_key(l->c, e->path, where);
        return;
    }
    if (k->load == l->load && e->kind != YAML_ITEM) {
        config_add_error(l->c, where, "duplicate key '%s', first set in line %u", k->name,
                         k->line);
        return;
    }
    bool is_new = k->load != l->load;
    k->load = l->load;
    k->line = e->key.line;
    if (e->kind == YAML_NOTHING) {
        config_add_error(l->c, where, "%s: no value", k->name);
    } else if (e->kind != YAML_SCALAR) {
        if (is_new)
            config_add_error(l->c, where, "%s: takes one value, not a list", k->name);
    } else {
        format_where(l, e->val, where);
        snprintf(origin, sizeof origin, "%s:%u", l->name, e->key.line);
        config_store(l->c, k, e->value, where, origin, false);
    }
}

static bool is_include(const struct yaml_entry *e)
{
    return strcmp(e->path, "include") == 0;
}

static void apply_include(struct layer *l, const struct yaml_entry *e)
{
    char where[WHERE_BYTES];
    format_where(l, e->val, where);
    if (e->kind == YAML_SCALAR || e->kind == YAML_ITEM)
        load_path(l->c, e->value, l->dir, where);
    else if (e->kind == YAML_NOTHING)
        config_add_error(l->c, where, "include: no file name");
}

static void apply_text(struct layer *l, const char *text, size_t len)
{
    struct config *c = l->c;
    struct yaml_doc doc;
    if (yaml_doc_parse(text, len, take_problem, l, &doc) == ERR_MEMORY)
        config_add_error(c, l->name, "the host has no memory");
    for (size_t i = 0; i < doc.nentries; i++)
        if (is_include(&doc.entries[i]))
            apply_include(l, &doc.entries[i]);
    /* Includes have numbers of their own; the file itself gets its number after them. */
    l->load = ++c->nloads;
    for (size_t i = 0; i < doc.nentries; i++)
        if (!is_include(&doc.entries[i]))
            apply_entry(l, &doc.entries[i]);
    yaml_doc_free(&doc);
}

/* ---- files --------------------------------------------------------------------------------- */

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISDIR(st.st_mode);
}

/* dir/path, or path alone when it is absolute or there is no dir; with ".yaml" if that exists. */
static bool try_path(const char *dir, const char *path, char found[static PATH_MAX])
{
    bool alone = dir == NULL || dir[0] == '\0' || path[0] == '/';
    for (int with_suffix = 0; with_suffix < 2; with_suffix++) {
        int n = snprintf(found, PATH_MAX, "%s%s%s%s", alone ? "" : dir, alone ? "" : "/", path,
                         with_suffix ? ".yaml" : "");
        if (n > 0 && n < PATH_MAX && is_file(found))
            return true;
    }
    return false;
}

/* Adds "no such file", with the nearest name of the directory in which it was looked for. */
static void report_missing(struct config *c, const char *path, const char *dir, const char *where)
{
    char *names[SUGGESTIONS_MAX];
    size_t n = 0;
    char parent[PATH_MAX], folder[PATH_MAX];
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    const char *base = slash ? slash + 1 : parent;
    const char *below = slash ? parent : ".";
    if (slash != NULL)
        *slash = '\0';
    const char *roots[] = {path[0] == '/' ? "" : dir ? dir : ".", c->preset_dir};
    for (size_t r = 0; r < 2; r++) {
        if (roots[r] == NULL)
            continue;
        int len = snprintf(folder, sizeof folder, "%s/%s", roots[r], below);
        DIR *d = len > 0 && (size_t)len < sizeof folder ? opendir(folder) : NULL;
        for (struct dirent *e; d != NULL && n < SUGGESTIONS_MAX && (e = readdir(d)) != NULL;)
            if (strlen(e->d_name) > 5 && strcmp(e->d_name + strlen(e->d_name) - 5, ".yaml") == 0 &&
                (names[n] = strdup(e->d_name)) != NULL)
                n++;
        if (d != NULL)
            closedir(d);
    }
    const char *near = err_nearest(base, (const char *const *)names, n);
    char full[PATH_MAX + 8];
    if (near == NULL) {
        snprintf(full, sizeof full, "%s.yaml", base);
        near = err_nearest(full, (const char *const *)names, n);
    }
    config_add_error(c, where, "no such file '%.512s'%s%s%s", path, near ? " (did you mean '" : "",
                     near ? near : "", near ? "'?)" : "");
    while (n > 0)
        free(names[--n]);
}

/* Reads at most FILE_BYTES_MAX bytes; NULL with errno set. */
static char *read_file(const char *path, size_t *len_out)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return NULL;
    char *text = malloc(FILE_BYTES_MAX + 1);
    size_t len = text ? fread(text, 1, FILE_BYTES_MAX + 1, f) : 0;
    bool failed = text == NULL || ferror(f) || len > FILE_BYTES_MAX;
    int reason = len > FILE_BYTES_MAX ? EFBIG : errno;
    fclose(f);
    if (failed) {
        free(text);
        errno = reason;
        return NULL;
    }
    *len_out = len;
    return text;
}

/* Applies a file that exists; `real` identifies it in the chain of includes. */
static void load_found(struct config *c, const char *path, const char *real, const char *where)
{
    size_t len;
    char *text = read_file(path, &len);
    if (text == NULL) {
        config_add_error(c, where, "cannot read '%.512s': %s", path, strerror(errno));
        return;
    }
    char dir[PATH_MAX];
    snprintf(dir, sizeof dir, "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash != NULL)
        *slash = '\0';
    struct layer l = {c, path, slash == NULL ? "." : slash == dir ? "/" : dir, 0};
    c->open_files[c->nopen++] = real;
    apply_text(&l, text, len);
    c->nopen--;
    free(text);
}

static enum err load_path(struct config *c, const char *path, const char *dir, const char *where)
{
    size_t before = c->nerrors_found;
    char found[PATH_MAX], real[PATH_MAX];
    if (path[0] == '\0')
        config_add_error(c, where, "no file name");
    else if (!try_path(dir, path, found) && !try_path(c->preset_dir, path, found))
        report_missing(c, path, dir, where);
    else if (realpath(found, real) == NULL)
        config_add_error(c, where, "cannot read '%.512s': %s", found, strerror(errno));
    else if (c->nloads >= LOADS_MAX)
        config_add_error(c, where, "more than %u files are included", LOADS_MAX);
    else if (c->nopen == INCLUDE_DEPTH_MAX)
        config_add_error(c, where, "includes are nested more than %u deep", INCLUDE_DEPTH_MAX);
    else {
        bool cycle = false;
        for (unsigned i = 0; i < c->nopen; i++)
            cycle = cycle || strcmp(c->open_files[i], real) == 0;
        if (cycle)
            config_add_error(c, where, "'%.512s' includes itself", path);
        else
            load_found(c, strncmp(found, "./", 2) == 0 ? found + 2 : found, real, where);
    }
    return c->nerrors_found > before ? ERR_USAGE : ERR_OK;
}

enum err config_load_file(struct config *c, const char *path)
{
    char where[WHERE_BYTES];
    snprintf(where, sizeof where, "-c %.*s", PATH_MAX, path);
    return load_path(c, path, NULL, where);
}

enum err config_load_text(struct config *c, const char *text, const char *name)
{
    size_t before = c->nerrors_found;
    struct layer l = {c, name, NULL, 0};
    apply_text(&l, text, strlen(text));
    return c->nerrors_found > before ? ERR_USAGE : ERR_OK;
}

void config_set_preset_dir(struct config *c, const char *dir)
{
    free(c->preset_dir);
    c->preset_dir = dir ? strdup(dir) : NULL;
}
