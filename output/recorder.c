/*
 * The recorder: cumulative counters to increases, increases to a journal record, and the record
 * through replay into the file.
 */
#include "output/recorder.h"

#include "output/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct recorder {
    char *path, *part, *jnl; /* NULL without a file */
    struct journal_writer journal;
    struct replay replay;
    struct bytes bytes;    /* of the record being made */
    uint64_t *last;        /* cumulative values at the end of the epoch before */
    uint64_t *increase;    /* [nvalues] */
    double *no_host;       /* zeros, for a caller without host values */
    uint64_t *sums;        /* scratch of recorder_summary: per instance */
    char path_text[512];
    bool failed;
};

static void recorder_free(struct recorder *r)
{
    journal_close(&r->journal, false);
    replay_free(&r->replay);
    bytes_free(&r->bytes);
    free(r->path);
    free(r->part);
    free(r->jnl);
    free(r->last);
    free(r->increase);
    free(r->no_host);
    free(r->sums);
    free(r);
}

static bool set_paths(struct recorder *r, const char *path)
{
    if (path == NULL)
        return true;
    r->path = strdup(path);
    if (asprintf(&r->part, "%s.part", path) < 0)
        r->part = NULL;
    if (asprintf(&r->jnl, "%s.jnl", path) < 0)
        r->jnl = NULL;
    return r->path != NULL && r->part != NULL && r->jnl != NULL;
}

/* What a killed run has left is not overwritten. */
static enum err keep_old_journal(struct recorder *r)
{
    char *old = NULL;
    enum err e = ERR_OK;
    if (access(r->jnl, F_OK) != 0)
        return ERR_OK;
    if (asprintf(&old, "%s.old", r->jnl) < 0)
        return err_log(ERR_MEMORY, "no memory for the recorder");
    if (rename(r->jnl, old) != 0)
        e = err_log(ERR_OUTPUT, "cannot write '%s': %s", old, strerror(errno));
    else
        warn_log("an earlier run was cut off; its journal is now '%s' (concerto recover)", old);
    free(old);
    return e;
}

/* One path must not be a dataset and a group at once. */
static bool exclude_each_other(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    return n == m ? strcmp(a, b) == 0 : n < m ? memcmp(a, b, n) == 0 && b[n] == '/'
                                              : memcmp(a, b, m) == 0 && a[m] == '/';
}

static enum err check_tables(const struct recorder_info *info)
{
    for (size_t i = 0; i < info->ncomponents; i++) {
        const struct stat_component *c = &info->components[i];
        uint64_t n = 0;
        if (strcmp(c->name, "time") == 0 || strcmp(c->name, "summary") == 0)
            return err_log(ERR_RUNTIME, "statistics table: the name '%s' is taken", c->name);
        for (size_t k = 0; k < i; k++)
            if (exclude_each_other(info->components[k].name, c->name))
                return err_log(ERR_RUNTIME, "statistics tables '%s' and '%s' exclude each other",
                               info->components[k].name, c->name);
        for (uint32_t row = 0; row < c->nrows; row++) {
            const struct stat_desc *d = &c->rows[row];
            if (d->nbins == 0)
                return err_log(ERR_RUNTIME, "statistics table: '%s/%s' has no bins", c->name,
                               d->name);
            if (d->offset != n * sizeof(uint64_t))
                return err_log(ERR_RUNTIME,
                               "statistics table: '%s/%s' is at byte %zu of its struct, but %" PRIu64
                               " values stand in front of it",
                               c->name, d->name, d->offset, n);
            n += d->nbins;
            for (uint32_t k = 0; k < row; k++)
                if (exclude_each_other(c->rows[k].name, d->name))
                    return err_log(ERR_RUNTIME, "statistics table '%s': '%s' and '%s' exclude "
                                   "each other", c->name, c->rows[k].name, d->name);
        }
        if (n != c->nvalues || c->ninstances == 0)
            return err_log(ERR_RUNTIME,
                           "statistics table '%s': %u instances of %u values, its rows have %" PRIu64,
                           c->name, c->ninstances, c->nvalues, n);
    }
    return ERR_OK;
}

enum err recorder_open(const struct recorder_info *info, struct recorder **out)
{
    enum err e = check_tables(info);
    if (e != ERR_OK)
        return e;
    struct recorder *r = calloc(1, sizeof *r);
    if (r == NULL)
        return err_log(ERR_MEMORY, "no memory for the recorder");
    r->journal.fd = -1;
    size_t n = codec_nvalues(info);
    r->last = calloc(n + 1, sizeof *r->last);
    r->increase = calloc(n + 1, sizeof *r->increase);
    r->no_host = calloc(codec_nhost(info) + 1, sizeof *r->no_host);
    codec_put_schema(&r->bytes, info);
    if (!set_paths(r, info->path) || r->last == NULL || r->increase == NULL ||
        r->no_host == NULL || r->bytes.failed) {
        e = err_log(ERR_MEMORY, "no memory for the recorder");
        goto fail;
    }
    if (r->path != NULL) {
        if ((e = keep_old_journal(r)) != ERR_OK ||
            (e = journal_create(&r->journal, r->jnl)) != ERR_OK)
            goto fail;
        if ((e = journal_append(&r->journal, JOURNAL_SCHEMA, r->bytes.data, r->bytes.length)) !=
            ERR_OK)
            goto fail_journal;
    }
    if ((e = replay_start(&r->replay, r->bytes.data, r->bytes.length, r->part)) != ERR_OK)
        goto fail_journal;
    *out = r;
    return ERR_OK;
fail_journal:
    journal_close(&r->journal, true);
fail:
    recorder_free(r);
    return e;
}

/* One record: to the journal first, then to the file. */
static enum err commit(struct recorder *r, enum journal_type type)
{
    enum err e = ERR_OK;
    if (r->bytes.failed)
        e = err_log(ERR_MEMORY, "no memory for the recorder");
    if (e == ERR_OK && r->path != NULL)
        e = journal_append(&r->journal, type, r->bytes.data, r->bytes.length);
    if (e == ERR_OK)
        e = replay_apply(&r->replay, type, r->bytes.data, r->bytes.length);
    r->failed = e != ERR_OK;
    return e;
}

/* Name and instance of the value at `index` of a row. */
static enum err report_decrease(const struct recorder *r, size_t index, uint64_t now)
{
    size_t first = 0;
    for (size_t i = 0; i < r->replay.info.ncomponents; i++) {
        const struct stat_component *c = &r->replay.info.components[i];
        size_t n = (size_t)c->ninstances * c->nvalues;
        if (index >= first + n) {
            first += n;
            continue;
        }
        size_t instance = (index - first) / c->nvalues, value = (index - first) % c->nvalues;
        uint32_t row = 0;
        while (value >= c->rows[row].nbins)
            value -= c->rows[row++].nbins;
        return err_log(ERR_RUNTIME,
                       "counter '%s/%s' of %s %zu went back from %" PRIu64 " to %" PRIu64, c->name,
                       c->rows[row].name, c->instance_axis, instance, r->last[index], now);
    }
    return ERR_RUNTIME;
}

enum err recorder_epoch(struct recorder *r, simtime_t end_time, const uint64_t *const *values,
                        const double *host_values)
{
    const struct recorder_info *info = &r->replay.info;
    size_t at = 0;
    if (r->failed)
        return ERR_OUTPUT;
    if (end_time < r->replay.end_fs)
        return err_log(ERR_RUNTIME, "an epoch ends before the one in front of it");
    for (size_t i = 0; i < info->ncomponents; i++) {
        size_t n = (size_t)info->components[i].ninstances * info->components[i].nvalues;
        for (size_t k = 0; k < n; k++, at++) {
            uint64_t now = values[i][k];
            if (r->replay.is_gauge[at])
                r->increase[at] = now;
            else if (now < r->last[at])
                return report_decrease(r, at, now);
            else
                r->increase[at] = now - r->last[at];
            r->last[at] = now;
        }
    }
    r->bytes.length = 0;
    codec_put_epoch(&r->bytes, end_time, r->increase, at, host_values ? host_values : r->no_host,
                     r->replay.nhost);
    return commit(r, JOURNAL_EPOCH);
}

enum err recorder_mark(struct recorder *r, const char *name, uint64_t epoch)
{
    if (r->failed)
        return ERR_OUTPUT;
    if (epoch < r->replay.nepochs)
        return err_log(ERR_RUNTIME, "mark '%s' names epoch %" PRIu64 ", but %" PRIu64
                       " are already recorded", name, epoch, r->replay.nepochs);
    r->bytes.length = 0;
    codec_put_mark(&r->bytes, name, epoch);
    return commit(r, JOURNAL_MARK);
}

uint64_t recorder_nepochs(const struct recorder *r) { return r->replay.nepochs; }

enum err recorder_close(struct recorder *r, const struct recorder_end *end)
{
    enum err e = r->failed ? ERR_OUTPUT : ERR_OK;
    if (end != NULL && e == ERR_OK) {
        r->bytes.length = 0;
        codec_put_end(&r->bytes, end);
        e = commit(r, JOURNAL_END);
        if (e == ERR_OK)
            e = replay_finish(&r->replay);
        if (e == ERR_OK && r->path != NULL)
            e = replay_publish(r->part, r->path);
        if (e == ERR_OK)
            journal_close(&r->journal, true);
    }
    if (r->path != NULL && e != ERR_OK)
        err_log(e, "everything recorded so far is in '%s'; use: concerto recover %s", r->jnl,
                r->jnl);
    recorder_free(r);
    return e;
}

/* ---- summary of a live recorder ------------------------------------------------------------ */

/* Component and row of a path, and where instance 0's value lies in a row of values. */
static bool find_row(const struct recorder_info *info, const char *path,
                     const struct stat_component **component_out, const struct stat_desc **row_out,
                     size_t *first_out)
{
    size_t first = 0;
    for (size_t i = 0; i < info->ncomponents; i++) {
        const struct stat_component *c = &info->components[i];
        size_t len = strlen(c->name), at = first;
        first += (size_t)c->ninstances * c->nvalues;
        if (strncmp(path, c->name, len) != 0 || path[len] != '/')
            continue;
        for (uint32_t row = 0; row < c->nrows; at += c->rows[row++].nbins)
            if (strcmp(c->rows[row].name, path + len + 1) == 0) {
                *component_out = c;
                *row_out = &c->rows[row];
                *first_out = at;
                return true;
            }
    }
    return false;
}

static bool live_per_instance(void *ctx, const char *path, const uint64_t **values_out,
                              size_t *n_out)
{
    struct recorder *r = ctx;
    const struct stat_component *c;
    const struct stat_desc *d;
    size_t first;
    if (!find_row(&r->replay.info, path, &c, &d, &first))
        return false;
    uint64_t *sums = realloc(r->sums, c->ninstances * sizeof *sums);
    if (sums == NULL)
        return false;
    r->sums = sums;
    for (uint32_t i = 0; i < c->ninstances; i++) {
        sums[i] = 0;
        for (uint32_t b = 0; b < d->nbins; b++)
            sums[i] += r->replay.roi[first + (size_t)i * c->nvalues + b];
    }
    *values_out = sums;
    *n_out = c->ninstances;
    return true;
}

static bool live_total(void *ctx, const char *path, uint64_t *value_out)
{
    const uint64_t *values;
    size_t n;
    if (!live_per_instance(ctx, path, &values, &n))
        return false;
    *value_out = 0;
    for (size_t i = 0; i < n; i++)
        *value_out += values[i];
    return true;
}

static bool live_path_at(void *ctx, size_t i, const char **path_out, const char **unit_out,
                         enum stat_kind *kind_out)
{
    struct recorder *r = ctx;
    const struct recorder_info *info = &r->replay.info;
    for (size_t k = 0; k < info->ncomponents; k++) {
        const struct stat_component *c = &info->components[k];
        if (i >= c->nrows) {
            i -= c->nrows;
            continue;
        }
        snprintf(r->path_text, sizeof r->path_text, "%s/%s", c->name, c->rows[i].name);
        *path_out = r->path_text;
        *unit_out = c->rows[i].unit;
        *kind_out = c->rows[i].kind;
        return true;
    }
    return false;
}

void recorder_summary(struct recorder *r, const struct recorder_end *end,
                      struct summary_source *source_out)
{
    const struct replay *p = &r->replay;
    *source_out = (struct summary_source){
        .ctx = r,
        .total = live_total,
        .per_instance = live_per_instance,
        .path_at = live_path_at,
        .title = r->path,
        .simulated_fs = p->end_fs,
        .roi_fs = p->roi_fs,
        .nepochs = p->nepochs,
        .has_roi = p->has_roi,
        .complete = true,
        .nranks = p->info.nranks,
    };
    if (end == NULL)
        return;
    source_out->complete = end->complete;
    source_out->host_seconds = end->host_seconds;
    source_out->items = end->items;
    source_out->nitems = end->nitems;
    source_out->checks = end->checks;
    source_out->nchecks = end->nchecks;
    source_out->warnings = end->warnings;
    source_out->nwarnings = end->nwarnings;
    source_out->not_modelled = end->not_modelled;
    source_out->nnot_modelled = end->nnot_modelled;
}
