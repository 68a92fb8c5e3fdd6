/*
 * The layout of the statistics file. Rows are buffered as they come, and turned into one slab per
 * dataset when a block is full: appending epoch by epoch would compress each chunk dozens of times.
 */
#include "output/stats_file.h"

#include "output/hdf5_write.h"
#include "output/codec.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHUNK_BYTES (UINT64_C(32) << 10)
#define CHUNK_BYTES_MAX (UINT64_C(1) << 20)
#define BLOCK_BYTES_MAX (UINT64_C(64) << 20)
#define SCALE_LINKS_MAX 2000u /* the list of users is an attribute of the scale: at most 64 KiB */
#define NAME_BYTES 512u

/* One row of a component's table, open for appending. */
struct series {
    h5set_t set;
    size_t first;       /* index of instance 0's value in a row of the block */
    uint32_t nbins;     /* values side by side */
    uint32_t ninstances;
    uint32_t stride;    /* values from one instance to the next */
};

struct stats_writer {
    char *path;
    struct h5file *file;
    const struct recorder_info *info;
    size_t nvalues, nhost;

    struct series *series;
    size_t nseries;
    h5set_t *scaled; /* those with dimension scales */
    size_t nscaled;
    h5set_t *host_sets;
    h5set_t end_set, end_fs_set, epoch_set, marks_set;
    uint64_t nmarks;

    uint64_t block_rows; /* how many fit */
    uint64_t nbuffered, nwritten;
    uint64_t *ends;
    uint64_t *block;     /* [block_rows][nvalues] */
    double *host_block;  /* [block_rows][nhost] */
    uint64_t *slab;      /* of one dataset */
    double flushed_s;
    bool failed; /* HDF5 could not write: it must not try again */
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static enum err write_failed(struct stats_writer *w)
{
    w->failed = true;
    err_log(ERR_OUTPUT, "cannot write '%s': %s", w->path, h5_problem());
    return ERR_OUTPUT;
}

/* ---- creating ------------------------------------------------------------------------------ */

static const char *kind_word(enum stat_kind kind)
{
    return kind == STAT_DELTA ? "delta" : kind == STAT_GAUGE ? "gauge" : "hist";
}

static const char *stamp_word(enum stat_stamp stamp)
{
    return stamp == STAMP_TOUCH ? "touch" : stamp == STAMP_COMPLETION ? "completion" : "arrival";
}

static bool describe(struct h5file *f, const char *path, const char *unit, const char *doc,
                     const char *kind, const char *stamp)
{
    return h5_attr_text(f, path, "units", unit) && h5_attr_text(f, path, "description", doc) &&
           h5_attr_text(f, path, "kind", kind) &&
           (stamp == NULL || h5_attr_text(f, path, "stamp", stamp));
}

/* Rows of a chunk: 32 KiB, but a power of two between 16 and 64, so that blocks are whole chunks. */
static void choose_chunk(uint64_t ninstances, uint64_t nbins, uint64_t chunk[H5_RANK_MAX])
{
    uint64_t rows = STATS_BLOCK_EPOCHS;
    while (rows > STATS_BLOCK_EPOCHS_MIN && rows * ninstances * nbins * 8 > CHUNK_BYTES)
        rows /= 2;
    chunk[0] = rows;
    chunk[1] = u64_max(1, u64_min(ninstances, CHUNK_BYTES_MAX / (rows * nbins * 8)));
    chunk[2] = nbins;
}

static bool add_bins(struct stats_writer *w, const char *path, const struct stat_desc *d)
{
    char name[NAME_BYTES + 8];
    snprintf(name, sizeof name, "%s_bins", path);
    uint64_t *edges = calloc(d->nbins + 1u, sizeof *edges);
    if (edges == NULL)
        return false;
    for (uint32_t i = 1; i <= d->nbins; i++)
        edges[i] = i - 1 < 64 ? UINT64_C(1) << (i - 1) : UINT64_MAX;
    h5set_t set = h5_array(w->file, name, edges, d->nbins + 1u);
    free(edges);
    bool ok = set >= 0 && describe(w->file, name, d->unit,
                                   "bin edges: bin i holds values from edge i to below edge i+1, "
                                   "the last bin also all above",
                                   "edges", NULL);
    h5_set_close(set);
    return ok;
}

static bool add_series(struct stats_writer *w, const struct stat_component *c,
                       const struct stat_desc *d, size_t first, h5set_t id_set)
{
    char path[NAME_BYTES];
    struct series *s = &w->series[w->nseries];
    uint64_t inner[2] = {c->ninstances, d->nbins}, chunk[H5_RANK_MAX];
    bool is_hist = d->kind == STAT_HIST;
    choose_chunk(c->ninstances, d->nbins, chunk);
    snprintf(path, sizeof path, "/stats/%s/%s", c->name, d->name);
    *s = (struct series){-1, first, d->nbins, c->ninstances, c->nvalues};
    s->set = h5_series(w->file, path, H5_KIND_U64, is_hist || d->nbins > 1 ? 2 : 1, inner, chunk);
    if (s->set < 0)
        return false;
    w->nseries++;
    if (!describe(w->file, path, d->unit, d->doc, kind_word(d->kind), stamp_word(d->stamp)))
        return false;
    if (is_hist && !add_bins(w, path, d))
        return false;
    if (w->nseries > SCALE_LINKS_MAX)
        return true;
    const h5set_t scales[2] = {w->end_set, id_set};
    w->scaled[w->nscaled++] = s->set;
    return h5_use_scales(w->file, s->set, is_hist || d->nbins > 1 ? 3 : 2, scales, 2);
}

static bool add_component(struct stats_writer *w, const struct stat_component *c, size_t first)
{
    char path[NAME_BYTES];
    uint64_t *ids = calloc(c->ninstances + 1u, sizeof *ids);
    if (ids == NULL)
        return false;
    for (uint32_t i = 0; i < c->ninstances; i++)
        ids[i] = i;
    snprintf(path, sizeof path, "/stats/%s/id", c->name);
    h5set_t id_set = h5_array(w->file, path, ids, c->ninstances);
    free(ids);
    bool ok = id_set >= 0 && describe(w->file, path, "1", c->instance_axis, "index", NULL) &&
              h5_make_scale(w->file, id_set, c->instance_axis);
    size_t nscaled = w->nscaled;
    for (uint32_t r = 0; r < c->nrows && ok; r++) {
        ok = add_series(w, c, &c->rows[r], first, id_set);
        first += c->rows[r].nbins;
    }
    if (ok && w->nscaled > nscaled)
        ok = h5_scale_users(w->file, id_set, w->scaled + nscaled, w->nscaled - nscaled, 1);
    h5_set_close(id_set);
    return ok;
}

static h5set_t add_time(struct stats_writer *w, const char *path, const char *unit, const char *doc)
{
    static const uint64_t chunk[H5_RANK_MAX] = {1024, 0, 0};
    h5set_t set = h5_series(w->file, path, H5_KIND_U64, 0, NULL, chunk);
    return set >= 0 && describe(w->file, path, unit, doc, "axis", NULL) ? set : -1;
}

static bool add_stats(struct stats_writer *w)
{
    size_t first = 0, nrows = 0;
    w->epoch_set = add_time(w, "/stats/time/epoch", "1", "index of the epoch, from 0");
    w->end_set = add_time(w, "/stats/time/end", "ns", "simulated time at the end of the epoch");
    w->end_fs_set = add_time(w, "/stats/time/end_fs", "fs", "the same, exactly");
    w->marks_set = h5_marks(w->file, "/stats/time/marks");
    if (w->epoch_set < 0 || w->end_set < 0 || w->end_fs_set < 0 || w->marks_set < 0 ||
        !h5_make_scale(w->file, w->end_set, "time"))
        return false;
    for (size_t i = 0; i < w->info->ncomponents; i++)
        nrows += w->info->components[i].nrows;
    w->series = calloc(nrows + 1, sizeof *w->series);
    w->scaled = calloc(nrows + 1, sizeof *w->scaled);
    if (w->series == NULL || w->scaled == NULL)
        return false;
    for (size_t i = 0; i < w->info->ncomponents; i++) {
        const struct stat_component *c = &w->info->components[i];
        if (!add_component(w, c, first))
            return false;
        first += (size_t)c->ninstances * c->nvalues;
    }
    return (w->nscaled == 0 || h5_scale_users(w->file, w->end_set, w->scaled, w->nscaled, 0)) &&
           h5_group(w->file, "/stats/summary/run") && h5_group(w->file, "/stats/summary/roi") &&
           h5_group(w->file, "/stats/summary/checks");
}

static bool add_config(struct stats_writer *w)
{
    const struct recorder_info *info = w->info;
    /* A dataset, since an attribute ends at 64 KiB. */
    bool ok = h5_group(w->file, "/config") &&
              h5_text(w->file, "/config/text", info->config_text ? info->config_text : "");
    for (size_t i = 0; i < info->nkeys && ok; i++) {
        const struct recorder_key *k = &info->keys[i];
        if (k->type == PARAM_ENUM || k->type == PARAM_TEXT)
            ok = h5_attr_text(w->file, "/config", k->name, k->text ? k->text : "");
        else if (k->type == PARAM_BOOL)
            ok = h5_attr_bool(w->file, "/config", k->name, k->value != 0);
        else
            ok = h5_attr_u64(w->file, "/config", k->name, k->value);
    }
    return ok;
}

static bool add_facts(struct stats_writer *w, const struct recorder_fact *facts, size_t n)
{
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++)
        ok = facts[i].text ? h5_attr_text(w->file, "/provenance", facts[i].name, facts[i].text)
                           : h5_attr_u64(w->file, "/provenance", facts[i].name, facts[i].value);
    return ok;
}

static bool add_host(struct stats_writer *w)
{
    const struct recorder_info *info = w->info;
    char path[NAME_BYTES];
    uint64_t inner[1] = {info->nranks}, chunk[H5_RANK_MAX];
    choose_chunk(info->nranks, 1, chunk);
    bool ok = h5_group(w->file, "/host") && h5_attr_u64(w->file, "/host", "nranks", info->nranks);
    if (ok && info->host_names != NULL)
        ok = h5_names(w->file, "/host/rank_names", info->host_names, info->nranks);
    w->host_sets = calloc(info->nhost_columns + 1, sizeof *w->host_sets);
    for (size_t i = 0; ok && w->host_sets != NULL && i < info->nhost_columns; i++) {
        const struct recorder_host_column *c = &info->host_columns[i];
        snprintf(path, sizeof path, "/host/%s", c->name);
        w->host_sets[i] = h5_series(w->file, path, H5_KIND_F64, 1, inner, chunk);
        ok = w->host_sets[i] >= 0 && describe(w->file, path, c->unit ? c->unit : "1",
                                              c->doc ? c->doc : "", "gauge", NULL);
    }
    return ok && w->host_sets != NULL;
}

static bool take_memory(struct stats_writer *w)
{
    uint64_t row_bytes = (w->nvalues + w->nhost + 1) * 8, widest = 1;
    w->block_rows = STATS_BLOCK_EPOCHS;
    while (w->block_rows > STATS_BLOCK_EPOCHS_MIN && w->block_rows * row_bytes > BLOCK_BYTES_MAX)
        w->block_rows /= 2;
    for (size_t i = 0; i < w->nseries; i++)
        widest = u64_max(widest, (uint64_t)w->series[i].ninstances * w->series[i].nbins);
    widest = u64_max(widest, w->info->nranks);
    w->ends = calloc(w->block_rows, sizeof *w->ends);
    w->block = calloc(w->block_rows * w->nvalues + 1, sizeof *w->block);
    w->host_block = calloc(w->block_rows * w->nhost + 1, sizeof *w->host_block);
    w->slab = calloc(w->block_rows * widest, sizeof *w->slab);
    return w->ends != NULL && w->block != NULL && w->host_block != NULL && w->slab != NULL;
}

enum err stats_writer_create(const char *path, const struct recorder_info *info,
                             struct stats_writer **out)
{
    struct stats_writer *w = calloc(1, sizeof *w);
    if (w == NULL || (w->path = strdup(path)) == NULL) {
        free(w);
        return err_log(ERR_MEMORY, "no memory for the recorder");
    }
    w->info = info;
    w->nvalues = codec_nvalues(info);
    w->nhost = codec_nhost(info);
    w->flushed_s = now_s();
    enum err e = ERR_OK;
    w->file = h5_create(path);
    bool ok = w->file != NULL && h5_attr_text(w->file, "/", "format", STATS_FORMAT) &&
              h5_attr_text(w->file, "/", "format_version", STATS_FORMAT_VERSION) &&
              h5_attr_u64(w->file, "/", "complete", 0) && h5_attr_u64(w->file, "/", "epochs", 0) &&
              add_stats(w) && add_config(w) && h5_group(w->file, "/provenance") &&
              add_facts(w, info->provenance, info->nprovenance) &&
              h5_attr_text(w->file, "/provenance", "hdf5_version", h5_version()) && add_host(w) &&
              h5_flush(w->file);
    if (!ok)
        e = write_failed(w);
    else if (!take_memory(w))
        e = err_log(ERR_MEMORY, "no memory for the recorder's buffers");
    if (e != ERR_OK) {
        stats_writer_abandon(w);
        return e;
    }
    *out = w;
    return ERR_OK;
}

/* ---- rows ---------------------------------------------------------------------------------- */

static bool write_series(struct stats_writer *w, const struct series *s)
{
    uint64_t *to = w->slab;
    for (uint64_t row = 0; row < w->nbuffered; row++) {
        const uint64_t *from = w->block + row * w->nvalues + s->first;
        for (uint32_t i = 0; i < s->ninstances; i++, from += s->stride, to += s->nbins)
            memcpy(to, from, s->nbins * sizeof *to);
    }
    return h5_append(w->file, s->set, w->nwritten, w->nbuffered, w->slab);
}

static bool write_host(struct stats_writer *w, size_t column)
{
    double *to = (double *)w->slab;
    size_t ncolumns = w->info->nhost_columns;
    for (uint64_t row = 0; row < w->nbuffered; row++)
        for (uint64_t rank = 0; rank < w->info->nranks; rank++)
            *to++ = w->host_block[row * w->nhost + rank * ncolumns + column];
    return h5_append(w->file, w->host_sets[column], w->nwritten, w->nbuffered, w->slab);
}

static bool write_times(struct stats_writer *w)
{
    uint64_t buf[STATS_BLOCK_EPOCHS];
    bool ok = h5_append(w->file, w->end_fs_set, w->nwritten, w->nbuffered, w->ends);
    for (uint64_t i = 0; i < w->nbuffered; i++)
        buf[i] = w->ends[i] / FS_PER_NS;
    ok = ok && h5_append(w->file, w->end_set, w->nwritten, w->nbuffered, buf);
    for (uint64_t i = 0; i < w->nbuffered; i++)
        buf[i] = w->nwritten + i;
    return ok && h5_append(w->file, w->epoch_set, w->nwritten, w->nbuffered, buf);
}

static bool write_block(struct stats_writer *w)
{
    bool ok = true;
    w->flushed_s = now_s();
    if (w->nbuffered == 0)
        return true;
    for (size_t i = 0; i < w->nseries && ok; i++)
        ok = write_series(w, &w->series[i]);
    for (size_t i = 0; i < w->info->nhost_columns && ok; i++)
        ok = write_host(w, i);
    ok = ok && write_times(w);
    w->nwritten += w->nbuffered;
    w->nbuffered = 0;
    return ok && h5_attr_u64(w->file, "/", "epochs", w->nwritten) && h5_flush(w->file);
}

enum err stats_writer_epoch(struct stats_writer *w, simtime_t end_time, const uint64_t *values,
                            const double *host)
{
    uint64_t row = w->nbuffered++;
    w->ends[row] = end_time;
    memcpy(w->block + row * w->nvalues, values, w->nvalues * sizeof *values);
    memcpy(w->host_block + row * w->nhost, host, w->nhost * sizeof *host);
    /* After a flush in the middle the next block ends where a chunk does. */
    bool is_full = (w->nwritten + w->nbuffered) % w->block_rows == 0;
    if ((is_full || now_s() - w->flushed_s > STATS_BLOCK_SECONDS) && !write_block(w))
        return write_failed(w);
    return ERR_OK;
}

enum err stats_writer_mark(struct stats_writer *w, const char *name, uint64_t epoch)
{
    if (!h5_append_mark(w->file, w->marks_set, w->nmarks++, name, epoch))
        return write_failed(w);
    return ERR_OK;
}

/* ---- the end ------------------------------------------------------------------------------- */

/* One attribute per row: the sum over instances, of a histogram its bins. */
static bool write_totals(struct stats_writer *w, const char *group, const uint64_t *values)
{
    for (size_t i = 0; i < w->info->ncomponents; i++) {
        const struct stat_component *c = &w->info->components[i];
        size_t at = 0;
        for (uint32_t r = 0; r < c->nrows; at += c->rows[r++].nbins) {
            uint32_t nbins = c->rows[r].nbins;
            char name[NAME_BYTES];
            snprintf(name, sizeof name, "%s/%s", c->name, c->rows[r].name);
            memset(w->slab, 0, nbins * sizeof *w->slab);
            for (uint32_t inst = 0; inst < c->ninstances; inst++)
                for (uint32_t b = 0; b < nbins; b++)
                    w->slab[b] += values[(size_t)inst * c->nvalues + at + b];
            bool ok = c->rows[r].kind == STAT_HIST || nbins > 1
                          ? h5_attr_u64s(w->file, group, name, w->slab, nbins)
                          : h5_attr_u64(w->file, group, name, w->slab[0]);
            if (!ok)
                return false;
        }
        values += (size_t)c->ninstances * c->nvalues;
    }
    return true;
}

static bool write_lines(struct stats_writer *w, const char *name, const char *const *lines,
                        size_t n)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (f == NULL)
        return false;
    for (size_t i = 0; i < n; i++)
        fprintf(f, "%s%s", i ? "\n" : "", lines[i]);
    bool ok = fclose(f) == 0 && h5_attr_text(w->file, "/provenance", name, text);
    free(text);
    return ok;
}

static bool write_end(struct stats_writer *w, const struct recorder_end *end)
{
    bool ok = add_facts(w, end->provenance, end->nprovenance) &&
              write_lines(w, "warnings", end->warnings, end->nwarnings) &&
              write_lines(w, "not_modelled", end->not_modelled, end->nnot_modelled) &&
              h5_attr_f64(w->file, "/host", "seconds", end->host_seconds);
    for (size_t i = 0; i < end->nitems && ok; i++) {
        const struct summary_item *item = &end->items[i];
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "%s.units", item->name);
        ok = h5_attr_u64(w->file, "/stats/summary", item->name, item->value) &&
             h5_attr_text(w->file, "/stats/summary", name, item->unit ? item->unit : "1");
    }
    for (size_t i = 0; i < end->nchecks && ok; i++) {
        uint64_t pair[2] = {end->checks[i].left, end->checks[i].right};
        ok = h5_attr_u64s(w->file, "/stats/summary/checks", end->checks[i].name, pair, 2);
    }
    return ok;
}

enum err stats_writer_finish(struct stats_writer *w, const struct stats_totals *totals,
                             const struct recorder_end *end)
{
    static const char summary[] = "/stats/summary";
    bool ok = write_block(w) && write_totals(w, "/stats/summary/run", totals->run) &&
              write_totals(w, "/stats/summary/roi", totals->roi) &&
              h5_attr_u64(w->file, summary, "simulated_fs", totals->end_fs) &&
              h5_attr_u64(w->file, summary, "roi_fs", totals->roi_fs) &&
              h5_attr_u64(w->file, summary, "roi_epochs", totals->roi_nepochs) &&
              h5_attr_u64(w->file, summary, "has_roi", totals->has_roi) &&
              (end == NULL || write_end(w, end));
    for (size_t i = 0; i < w->nseries; i++)
        h5_set_close(w->series[i].set);
    w->nseries = 0;
    ok = ok && h5_attr_u64(w->file, "/", "complete", end != NULL && end->complete) &&
         h5_flush(w->file);
    if (ok) {
        ok = h5_close(w->file);
        w->file = NULL;
    }
    enum err e = ok ? ERR_OK : write_failed(w);
    stats_writer_abandon(w);
    return e;
}

void stats_writer_abandon(struct stats_writer *w)
{
    if (w->file != NULL && w->failed)
        h5_abandon(w->file);
    else if (w->file != NULL)
        h5_close(w->file);
    free(w->path);
    free(w->series);
    free(w->scaled);
    free(w->host_sets);
    free(w->ends);
    free(w->block);
    free(w->host_block);
    free(w->slab);
    free(w);
}
