/*
 * Lists keys and statistics from their tables, for `concerto describe`.
 */
#include "configs/config.h"

#include "configs/config_private.h"
#include "configs/units.h"

#include <string.h>

static bool starts_with(const char *s, const char *prefix)
{
    return prefix == NULL || strncmp(s, prefix, strlen(prefix)) == 0;
}

static const char *type_name(enum param_type type)
{
    static const char *const names[] = {"count",     "boolean", "size", "time",
                                        "frequency", "choice",  "text"};
    return names[type];
}

static void describe_legal(const struct param_desc *d, FILE *f)
{
    char low[UNITS_TEXT_BYTES], high[UNITS_TEXT_BYTES], list[1024];
    if (d->type == PARAM_ENUM) {
        config_join_choices(d, list, sizeof list);
        fprintf(f, ", one of: %s", list);
    } else if (d->type != PARAM_BOOL && d->type != PARAM_TEXT) {
        units_format(d->type, d->min, low);
        units_format(d->type, d->max, high);
        if (d->max == UINT64_MAX)
            fprintf(f, ", %s or more", low);
        else
            fprintf(f, ", %s to %s", low, high);
    }
}

static void describe_key(const char *name, const struct param_desc *d, FILE *f)
{
    bool has_unit = d->unit != NULL && d->unit[0] != '\0' && strcmp(d->unit, "1") != 0;
    fprintf(f, "  %-32s %s", name, type_name(d->type));
    if (has_unit && d->type == PARAM_COUNT)
        fprintf(f, " (%s)", d->unit);
    describe_legal(d, f);
    fprintf(f, "; default %s\n", d->def && d->def[0] ? d->def : "(empty)");
    fprintf(f, "      %s\n", d->doc ? d->doc : "");
}

size_t config_describe(const struct param_group *groups, size_t ngroups, const char *filter,
                       FILE *f)
{
    size_t nlisted = 0;
    for (size_t g = 0; g < ngroups; g++) {
        bool first = true;
        for (uint32_t r = 0; r < groups[g].nrows; r++) {
            char name[512];
            const char *prefix = groups[g].prefix;
            snprintf(name, sizeof name, "%s%s%s", prefix, prefix[0] ? "." : "",
                     groups[g].rows[r].name);
            if (!starts_with(name, filter))
                continue;
            if (first)
                fprintf(f, "%s%s: %s\n", nlisted ? "\n" : "", prefix,
                        groups[g].doc ? groups[g].doc : "");
            first = false;
            describe_key(name, &groups[g].rows[r], f);
            nlisted++;
        }
    }
    return nlisted;
}

static const char *kind_name(enum stat_kind kind)
{
    return kind == STAT_DELTA ? "counter" : kind == STAT_GAUGE ? "gauge" : "histogram";
}

static const char *stamp_name(enum stat_stamp stamp)
{
    return stamp == STAMP_TOUCH ? "touch" : stamp == STAMP_COMPLETION ? "completion" : "arrival";
}

size_t stats_describe(const struct stat_component *components, size_t ncomponents,
                      const char *filter, FILE *f)
{
    size_t nlisted = 0;
    for (size_t i = 0; i < ncomponents; i++) {
        const struct stat_component *c = &components[i];
        bool first = true;
        for (uint32_t r = 0; r < c->nrows; r++) {
            const struct stat_desc *d = &c->rows[r];
            char path[512];
            snprintf(path, sizeof path, "%s/%s", c->name, d->name);
            if (!starts_with(path, filter))
                continue;
            if (first)
                fprintf(f, "%s%s: one set per %s\n", nlisted ? "\n" : "", c->name,
                        c->instance_axis);
            first = false;
            fprintf(f, "  %-32s %s", path, kind_name(d->kind));
            if (d->kind == STAT_HIST)
                fprintf(f, " of %u bins", d->nbins);
            if (strcmp(d->unit, "1") != 0)
                fprintf(f, ", %s", d->unit);
            fprintf(f, "; counted at %s\n      %s\n", stamp_name(d->stamp), d->doc ? d->doc : "");
            nlisted++;
        }
    }
    return nlisted;
}
