/*
 * The configuration's values: tables to keys, texts to values, and the dump. Loading of files and
 * their includes is in config_file.c, on top of the three calls in config_private.h.
 *
 * A value is parsed by its key's declared type only, written to the group's struct at once, and
 * kept as canonical text. What "-s" has set is pinned: files that come later do not change it.
 */
#include "configs/config.h"

#include "configs/config_private.h"
#include "configs/units.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define ERRORS_MAX 100u
#define MESSAGE_BYTES 1024u
#define CHOICES_MAX 256u

/* ---- errors -------------------------------------------------------------------------------- */

void config_add_error(struct config *c, const char *where, const char *fmt, ...)
{
    char text[MESSAGE_BYTES];
    int n = snprintf(text, sizeof text, "%s: ", where);
    size_t used = n < 0 ? 0 : u64_min((uint64_t)n, sizeof text - 1);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text + used, sizeof text - used, fmt, ap);
    va_end(ap);
    for (char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    c->nerrors_found++;
    if (c->nerrors == ERRORS_MAX)
        return;
    char **grown = realloc(c->errors, (c->nerrors + 1) * sizeof *grown);
    if (grown != NULL) {
        c->errors = grown;
        if ((grown[c->nerrors] = strdup(text)) != NULL)
            c->nerrors++;
    }
}

size_t config_nerrors(const struct config *c) { return c->nerrors; }
const char *config_error(const struct config *c, size_t i) { return c->errors[i]; }

enum err config_finish(struct config *c)
{
    for (size_t i = 0; i < c->nerrors; i++)
        err_log(ERR_USAGE, "%s", c->errors[i]);
    if (c->nerrors_found > c->nerrors)
        err_log(ERR_USAGE, "... and %zu more", c->nerrors_found - c->nerrors);
    return c->nerrors_found > 0 ? ERR_USAGE : ERR_OK;
}

void config_complain(struct config *c, const char *key, const char *fmt, ...)
{
    char text[MESSAGE_BYTES / 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct config_key_info k;
    if (config_find(c, key, &k))
        config_add_error(c, k.origin, "%s: %s: %s", key, k.value_text, text);
    else
        config_add_error(c, "configuration", "%s: %s", key, text);
}

/* ---- values -------------------------------------------------------------------------------- */

/* Length of the UTF-8 sequence at `s` if YAML carries it unchanged inside quotes, else 0. */
static unsigned clean_sequence(const unsigned char *s)
{
    static const uint32_t lowest[] = {0, 0, 0xA0, 0x800, 0x10000};
    if (*s < 0x80)
        return *s >= ' ' && *s != 0x7f;
    unsigned len = (*s & 0xE0) == 0xC0 ? 2 : (*s & 0xF0) == 0xE0 ? 3 : (*s & 0xF8) == 0xF0 ? 4 : 0;
    if (len == 0)
        return 0;
    uint32_t code = *s & (0x7Fu >> len);
    for (unsigned i = 1; i < len; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3F);
    }
    bool breaks_line = code == 0x2028 || code == 0x2029;
    bool is_char = code < 0xD800 || (code > 0xDFFF && code < 0xFFFE && code != 0xFEFF) ||
                   (code > 0xFFFF && code <= 0x10FFFF);
    return code >= lowest[len] && is_char && !breaks_line ? len : 0;
}

static bool is_clean_text(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    while (*s != '\0') {
        unsigned len = clean_sequence(s);
        if (len == 0)
            return false;
        s += len;
    }
    return true;
}

/* "1 to 16 entries"; an open upper end is left out. */
static void format_range(const struct param_desc *d, char *buf, size_t size)
{
    char low[UNITS_TEXT_BYTES], high[UNITS_TEXT_BYTES];
    units_format(d->type, d->min, low);
    units_format(d->type, d->max, high);
    bool counted = d->type == PARAM_COUNT && d->unit != NULL && strcmp(d->unit, "1") != 0;
    const char *unit = counted && d->unit[0] != '\0' ? d->unit : NULL;
    if (d->max == UINT64_MAX)
        snprintf(buf, size, "%s or more%s%s%s", low, unit ? " (" : "", unit ? unit : "",
                 unit ? ")" : "");
    else
        snprintf(buf, size, "%s to %s%s%s%s", low, high, unit ? " (" : "", unit ? unit : "",
                 unit ? ")" : "");
}

static size_t count_choices(const struct param_desc *d)
{
    size_t n = 0;
    while (d->choices != NULL && d->choices[n] != NULL)
        n++;
    return n;
}

void config_join_choices(const struct param_desc *d, char *buf, size_t size)
{
    size_t used = 0;
    buf[0] = '\0';
    for (size_t i = 0; i < count_choices(d) && used < size; i++) {
        int n = snprintf(buf + used, size - used, "%s%s", i ? ", " : "", d->choices[i]);
        used += n < 0 ? size : (size_t)n;
    }
}

/* What is wrong with `text` as a value of `d`, in `why`; true if nothing is. */
static bool parse_value(const struct param_desc *d, const char *text, uint64_t *value_out,
                        char *why, size_t why_size)
{
    char list[MESSAGE_BYTES / 2];
    *value_out = 0;
    if (d->type == PARAM_TEXT) {
        if (strlen(text) >= PARAM_TEXT_BYTES)
            snprintf(why, why_size, "the text has %zu bytes, at most %d are possible",
                     strlen(text), PARAM_TEXT_BYTES - 1);
        else if (!is_clean_text(text))
            snprintf(why, why_size, "the text must be one line of UTF-8");
        else
            return true;
        return false;
    }
    if (d->type == PARAM_ENUM) {
        for (size_t i = 0; i < count_choices(d); i++)
            if (strcmp(d->choices[i], text) == 0) {
                *value_out = i;
                return true;
            }
        const char *near = err_nearest(text, d->choices, count_choices(d));
        config_join_choices(d, list, sizeof list);
        snprintf(why, why_size, "unknown choice '%.64s'%s%s%s, legal: %s", text,
                 near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "", list);
        return false;
    }
    enum units_result r = units_parse(d->type, text, value_out);
    if (r != UNITS_OK) {
        snprintf(why, why_size, "'%.64s' %s, expected %s", text,
                 d->type == PARAM_BOOL ? "is no truth value" : units_result_text(r),
                 units_expected(d->type));
        return false;
    }
    if (d->type != PARAM_BOOL && (*value_out < d->min || *value_out > d->max)) {
        format_range(d, list, sizeof list);
        snprintf(why, why_size, "%.64s is out of range, legal: %s", text, list);
        return false;
    }
    return true;
}

/* Takes over an accepted value. */
static void store_value(struct config *c, struct config_slot *k, uint64_t value, const char *text,
                        const char *origin)
{
    char buf[UNITS_TEXT_BYTES];
    const struct param_desc *d = k->desc;
    if (d->type == PARAM_ENUM)
        text = d->choices[value];
    else if (d->type != PARAM_TEXT)
        text = units_format(d->type, value, buf);
    char *new_text = strdup(text), *new_origin = strdup(origin);
    if (new_text == NULL || new_origin == NULL) {
        free(new_text);
        free(new_origin);
        config_add_error(c, origin, "the host has no memory");
        return;
    }
    free(k->text);
    free(k->origin);
    k->text = new_text;
    k->origin = new_origin;
    k->value = value;
    if (k->base == NULL)
        return;
    if (d->type == PARAM_TEXT)
        snprintf(k->base + d->offset, PARAM_TEXT_BYTES, "%s", text);
    else
        memcpy(k->base + d->offset, &value, sizeof value);
}

bool config_store(struct config *c, struct config_slot *k, const char *text, const char *where,
                  const char *origin, bool pin)
{
    char why[MESSAGE_BYTES];
    uint64_t value;
    if (!parse_value(k->desc, text, &value, why, sizeof why)) {
        config_add_error(c, where, "%s: %s", k->name, why);
        return false;
    }
    if (pin || !k->pinned)
        store_value(c, k, value, text, origin);
    k->pinned = k->pinned || pin;
    return true;
}

/* ---- keys ---------------------------------------------------------------------------------- */

struct config_slot *config_slot_find(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->nslots; i++)
        if (strcmp(c->slots[i].name, name) == 0)
            return &c->slots[i];
    return NULL;
}

/* True when `name` continues `prefix` with a dot. */
static bool is_below(const char *name, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(name, prefix, len) == 0 && name[len] == '.';
}

bool config_is_group(const struct config *c, const char *path)
{
    for (size_t i = 0; i < c->nslots; i++)
        if (is_below(c->slots[i].name, path))
            return true;
    return false;
}

/* The nearest key; else the only one whose last word is the same. */
static const char *suggest_key(const struct config *c, const char *name)
{
    const char *near = err_nearest(name, c->names, c->nslots);
    if (near != NULL)
        return near;
    const char *dot = strrchr(name, '.');
    const char *word = dot ? dot + 1 : name;
    for (size_t i = 0; i < c->nslots; i++) {
        const char *last = strrchr(c->names[i], '.');
        if (last == NULL || strcmp(last + 1, word) != 0)
            continue;
        if (near != NULL)
            return NULL;
        near = c->names[i];
    }
    return near;
}

void config_unknown_key(struct config *c, const char *name, const char *where)
{
    for (size_t i = 0; i < c->nslots; i++)
        if (is_below(name, c->slots[i].name)) {
            config_add_error(c, where, "'%s' takes a value, not keys below it", c->names[i]);
            return;
        }
    if (config_is_group(c, name)) {
        config_add_error(c, where, "'%s' is a group of keys and takes no value", name);
        return;
    }
    const char *near = suggest_key(c, name);
    config_add_error(c, where, "unknown key '%.256s'%s%s%s", name, near ? " (did you mean '" : "",
                     near ? near : "", near ? "'?)" : "");
}

enum err config_set(struct config *c, const char *assignment)
{
    char where[MESSAGE_BYTES / 2], name[MESSAGE_BYTES / 4];
    size_t before = c->nerrors_found;
    const char *equal = strchr(assignment, '=');
    snprintf(where, sizeof where, "-s %.300s", assignment);
    size_t len = equal ? (size_t)(equal - assignment) : 0;
    while (len > 0 && assignment[len - 1] == ' ')
        len--;
    if (len == 0 || len >= sizeof name) {
        config_add_error(c, where, "expected key=value");
        return ERR_USAGE;
    }
    snprintf(name, sizeof name, "%.*s", (int)len, assignment);
    const char *value = equal + 1 + strspn(equal + 1, " ");
    struct config_slot *k = config_slot_find(c, name);
    if (k == NULL)
        config_unknown_key(c, name, where);
    else
        config_store(c, k, value, where, "-s", true);
    return c->nerrors_found > before ? ERR_USAGE : ERR_OK;
}

size_t config_nkeys(const struct config *c) { return c->nslots; }

static void fill_info(const struct config_slot *k, struct config_key_info *out)
{
    *out = (struct config_key_info){k->name, k->desc, k->text, k->value, k->origin};
}

void config_key(const struct config *c, size_t i, struct config_key_info *info_out)
{
    fill_info(&c->slots[i], info_out);
}

bool config_find(const struct config *c, const char *name, struct config_key_info *info_out)
{
    const struct config_slot *k = config_slot_find(c, name);
    if (k == NULL)
        return false;
    fill_info(k, info_out);
    return true;
}

/* ---- tables -------------------------------------------------------------------------------- */

/* One row becomes a slot with its default. */
static enum err add_slot(struct config *c, const struct param_group *g, const struct param_desc *d)
{
    char name[MESSAGE_BYTES / 4], why[MESSAGE_BYTES];
    uint64_t value;
    int n = snprintf(name, sizeof name, "%s%s%s", g->prefix, g->prefix[0] ? "." : "", d->name);
    if (n < 0 || (size_t)n >= sizeof name || d->name[0] == '\0')
        return err_log(ERR_RUNTIME, "parameter table '%s': bad name '%s'", g->prefix, d->name);
    if (config_slot_find(c, name) != NULL)
        return err_log(ERR_RUNTIME, "parameter table: two keys '%s'", name);
    for (size_t i = 0; i < c->nslots; i++)
        if (is_below(c->names[i], name) || is_below(name, c->names[i]))
            return err_log(ERR_RUNTIME, "parameter table: '%s' and '%s' exclude each other", name,
                           c->names[i]);
    size_t nchoices = count_choices(d);
    if (d->type == PARAM_ENUM && (nchoices == 0 || nchoices > CHOICES_MAX))
        return err_log(ERR_RUNTIME, "parameter table: '%s' has no or too many choices", name);
    if (d->def == NULL)
        return err_log(ERR_RUNTIME, "parameter table: '%s' has no default", name);
    if (!parse_value(d, d->def, &value, why, sizeof why))
        return err_log(ERR_RUNTIME, "parameter table: default of '%s': %s", name, why);

    struct config_slot *k = &c->slots[c->nslots];
    if ((k->name = strdup(name)) == NULL)
        return err_log(ERR_MEMORY, "no memory for the configuration");
    k->desc = d;
    k->group = g;
    k->base = g->base;
    c->names[c->nslots++] = k->name;
    store_value(c, k, value, d->def, "default");
    return k->text == NULL ? err_log(ERR_MEMORY, "no memory for the configuration") : ERR_OK;
}

enum err config_create(const struct param_group *groups, size_t ngroups, struct config **out)
{
    size_t n = 0;
    for (size_t i = 0; i < ngroups; i++)
        n += groups[i].nrows;
    struct config *c = calloc(1, sizeof *c);
    if (c != NULL) {
        c->groups = calloc(ngroups + 1, sizeof *c->groups);
        c->slots = calloc(n + 1, sizeof *c->slots);
        c->names = calloc(n + 1, sizeof *c->names);
    }
    if (c == NULL || c->groups == NULL || c->slots == NULL || c->names == NULL) {
        config_destroy(c);
        return err_log(ERR_MEMORY, "no memory for the configuration");
    }
    enum err e = ERR_OK;
    for (size_t i = 0; i < ngroups && e == ERR_OK; i++) {
        c->groups[i] = groups[i];
        for (uint32_t r = 0; r < groups[i].nrows && e == ERR_OK; r++)
            e = add_slot(c, &c->groups[i], &groups[i].rows[r]);
    }
    if (e != ERR_OK) {
        config_destroy(c);
        return e;
    }
    *out = c;
    return ERR_OK;
}

void config_destroy(struct config *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->nslots; i++) {
        free(c->slots[i].name);
        free(c->slots[i].text);
        free(c->slots[i].origin);
    }
    for (size_t i = 0; i < c->nerrors; i++)
        free(c->errors[i]);
    free(c->groups);
    free(c->slots);
    free(c->names);
    free(c->errors);
    free(c->preset_dir);
    free(c);
}

/* ---- dump ---------------------------------------------------------------------------------- */

static void dump_value(const struct config_slot *k, FILE *f)
{
    fprintf(f, "%s: ", k->name);
    if (k->desc->type != PARAM_TEXT) {
        fputs(k->text, f);
        return;
    }
    fputc('"', f);
    for (const char *p = k->text; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\')
            fputc('\\', f);
        fputc(*p, f);
    }
    fputc('"', f);
}

char *config_dump(const struct config *c, bool origins)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (f == NULL)
        return NULL;
    const struct param_group *group = NULL;
    for (size_t i = 0; i < c->nslots; i++) {
        const struct config_slot *k = &c->slots[i];
        if (origins && k->group != group)
            fprintf(f, "%s# %s\n", group ? "\n" : "", k->group->doc ? k->group->doc : "");
        group = k->group;
        dump_value(k, f);
        if (origins)
            fprintf(f, "  # %s", k->origin);
        fputc('\n', f);
    }
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
