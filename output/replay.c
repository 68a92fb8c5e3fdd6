/*
 * Replay of records: the region of interest, the totals, and the rows of the file.
 *
 * A mark is in force from the boundary in front of its epoch. "roi-begin" starts the region and
 * the first one forgets what was summed before; "roi-end" stops it; "warmup-end" forgets too, as
 * long as no region has begun.
 */
#include "output/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fill_gauges(struct replay *p)
{
    bool *to = p->is_gauge;
    for (size_t i = 0; i < p->info.ncomponents; i++) {
        const struct stat_component *c = &p->info.components[i];
        for (uint32_t inst = 0; inst < c->ninstances; inst++)
            for (uint32_t r = 0; r < c->nrows; r++)
                for (uint32_t b = 0; b < c->rows[r].nbins; b++)
                    *to++ = c->rows[r].kind == STAT_GAUGE;
    }
}

enum err replay_start(struct replay *p, const void *schema, size_t length, const char *path)
{
    enum err e;
    *p = (struct replay){.roi_active = true};
    if (!codec_get_schema(&p->arena, schema, length, &p->info)) {
        e = err_log(ERR_TRACE, "the journal's first record is not readable by this version");
        goto fail;
    }
    p->nvalues = codec_nvalues(&p->info);
    p->nhost = codec_nhost(&p->info);
    p->row = calloc(p->nvalues + 1, sizeof *p->row);
    p->host = calloc(p->nhost + 1, sizeof *p->host);
    p->is_gauge = calloc(p->nvalues + 1, sizeof *p->is_gauge);
    p->run = calloc(p->nvalues + 1, sizeof *p->run);
    p->roi = calloc(p->nvalues + 1, sizeof *p->roi);
    if (p->row == NULL || p->host == NULL || p->is_gauge == NULL || p->run == NULL ||
        p->roi == NULL) {
        e = err_log(ERR_MEMORY, "no memory for %zu statistics values", p->nvalues);
        goto fail;
    }
    fill_gauges(p);
    if (path != NULL) {
        e = stats_writer_create(path, &p->info, &p->file);
        if (e != ERR_OK)
            goto fail;
    }
    return ERR_OK;
fail:
    replay_free(p);
    return e;
}

void replay_free(struct replay *p)
{
    if (p->file != NULL)
        stats_writer_abandon(p->file);
    free(p->row);
    free(p->host);
    free(p->is_gauge);
    free(p->run);
    free(p->roi);
    free(p->marks);
    arena_free(&p->arena);
    *p = (struct replay){0};
}

/* ---- region of interest -------------------------------------------------------------------- */

static void forget_roi(struct replay *p)
{
    memset(p->roi, 0, p->nvalues * sizeof *p->roi);
    p->roi_fs = 0;
    p->roi_nepochs = 0;
    p->has_roi = true;
}

static void apply_mark(struct replay *p, const char *name)
{
    if (strcmp(name, "roi-begin") == 0) {
        if (!p->roi_begun)
            forget_roi(p);
        p->roi_begun = p->roi_active = true;
    } else if (strcmp(name, "roi-end") == 0) {
        p->roi_active = false;
        p->has_roi = true;
    } else if (strcmp(name, "warmup-end") == 0 && !p->roi_begun) {
        forget_roi(p);
    }
}

/* Marks may be announced ahead, but are kept in order of their epochs. */
static enum err add_mark(struct replay *p, const char *name, uint64_t epoch)
{
    if (epoch < p->nepochs)
        return err_log(ERR_RUNTIME, "mark '%s' names epoch %llu, but %llu are already recorded",
                       name, (unsigned long long)epoch, (unsigned long long)p->nepochs);
    struct replay_mark *grown = realloc(p->marks, (p->nmarks + 1) * sizeof *grown);
    if (grown == NULL)
        return err_log(ERR_MEMORY, "no memory for marks");
    p->marks = grown;
    size_t at = p->nmarks++;
    for (; at > p->nmarks_applied && grown[at - 1].epoch > epoch; at--)
        grown[at] = grown[at - 1];
    grown[at] = (struct replay_mark){name, epoch};
    return p->file ? stats_writer_mark(p->file, name, epoch) : ERR_OK;
}

/* ---- records ------------------------------------------------------------------------------- */

static void add_to(uint64_t *totals, const struct replay *p)
{
    for (size_t i = 0; i < p->nvalues; i++)
        totals[i] = p->is_gauge[i] ? p->row[i] : totals[i] + p->row[i];
}

static enum err apply_epoch(struct replay *p, simtime_t end_time)
{
    while (p->nmarks_applied < p->nmarks && p->marks[p->nmarks_applied].epoch <= p->nepochs)
        apply_mark(p, p->marks[p->nmarks_applied++].name);
    add_to(p->run, p);
    if (p->roi_active) {
        add_to(p->roi, p);
        p->roi_fs += end_time - p->end_fs;
        p->roi_nepochs++;
    }
    p->end_fs = end_time;
    p->nepochs++;
    return p->file ? stats_writer_epoch(p->file, end_time, p->row, p->host) : ERR_OK;
}

enum err replay_apply(struct replay *p, enum journal_type type, const void *payload, size_t length)
{
    const char *name;
    uint64_t number;
    switch (type) {
    case JOURNAL_EPOCH:
        if (!codec_get_epoch(payload, length, &number, p->row, p->nvalues, p->host, p->nhost))
            break;
        return apply_epoch(p, number);
    case JOURNAL_MARK:
        if (!codec_get_mark(&p->arena, payload, length, &name, &number))
            break;
        return add_mark(p, name, number);
    case JOURNAL_END:
        if (!codec_get_end(&p->arena, payload, length, &p->end))
            break;
        p->has_end = true;
        return ERR_OK;
    default:
        break;
    }
    return err_log(ERR_TRACE, "record %d of the journal is not readable by this version",
                   (int)type);
}

void replay_totals(const struct replay *p, struct stats_totals *totals_out)
{
    *totals_out = (struct stats_totals){
        .run = p->run,
        .roi = p->roi,
        .end_fs = p->end_fs,
        .roi_fs = p->roi_fs,
        .nepochs = p->nepochs,
        .roi_nepochs = p->roi_nepochs,
        .has_roi = p->has_roi,
    };
}

enum err replay_finish(struct replay *p)
{
    struct stats_totals totals;
    if (p->file == NULL)
        return ERR_OK;
    replay_totals(p, &totals);
    struct stats_writer *file = p->file;
    p->file = NULL;
    return stats_writer_finish(file, &totals, p->has_end ? &p->end : NULL);
}

/* ---- the final name ------------------------------------------------------------------------ */

static bool sync_path(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = fsync(fd) == 0 || errno == EINVAL;
    close(fd);
    return ok;
}

enum err replay_publish(const char *part, const char *path)
{
    if (!sync_path(part, O_RDONLY) || rename(part, path) != 0)
        return err_log(ERR_OUTPUT, "cannot write '%s': %s", path, strerror(errno));
    char *copy = strdup(path);
    if (copy != NULL) {
        sync_path(dirname(copy), O_RDONLY | O_DIRECTORY);
        free(copy);
    }
    return ERR_OK;
}
