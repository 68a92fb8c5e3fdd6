/*
 * `concerto info` and the readers of finished files: the summary's source is the file's attributes
 * and, for values per instance, the rows of the region of interest.
 */
#include "output/recorder.h"

#include "output/hdf5_write.h"
#include "output/run_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct file_source {
    struct h5file *file;
    struct run_file *run;
    bool *in_roi; /* [nepochs] */
    uint64_t nepochs;
    uint64_t *sums;

    struct summary_item *items;
    size_t nitems;
    struct summary_check *checks;
    size_t nchecks;
    char *warnings_text, *not_modelled_text;
    const char **warnings, **not_modelled;
    size_t nwarnings, nnot_modelled;
    bool failed;
};

struct mark_record { /* as in the file */
    char name[H5_MARK_NAME_BYTES];
    uint64_t epoch;
};

/* ---- loading ------------------------------------------------------------------------------- */

/* One more element of `list`; NULL and `failed` without memory. */
static void *grow(struct file_source *s, void *list, size_t n, size_t size)
{
    void *grown = realloc(list, (n + 1) * size);
    if (grown == NULL)
        s->failed = true;
    else
        memset((char *)grown + n * size, 0, size);
    return grown;
}

static bool take_item(void *ctx, const struct h5_attr *attr)
{
    static const char *const own[] = {"simulated_fs", "roi_fs", "roi_epochs", "has_roi"};
    struct file_source *s = ctx;
    char name[512], *unit = NULL;
    if (attr->kind != H5_KIND_U64 || attr->n != 1)
        return true;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (strcmp(attr->name, own[i]) == 0)
            return true;
    struct summary_item *list = grow(s, s->items, s->nitems, sizeof *list);
    if (list == NULL)
        return false;
    s->items = list;
    snprintf(name, sizeof name, "%s.units", attr->name);
    h5_get_text(s->file, "/stats/summary", name, &unit);
    list[s->nitems++] = (struct summary_item){strdup(attr->name), unit, attr->u64s[0], NULL};
    return true;
}

static bool take_check(void *ctx, const struct h5_attr *attr)
{
    struct file_source *s = ctx;
    if (attr->kind != H5_KIND_U64 || attr->n != 2)
        return true;
    struct summary_check *list = grow(s, s->checks, s->nchecks, sizeof *list);
    if (list == NULL)
        return false;
    s->checks = list;
    list[s->nchecks++] =
        (struct summary_check){strdup(attr->name), attr->u64s[0], attr->u64s[1]};
    return true;
}

/* Cuts the attribute's text into lines. */
static void load_lines(struct file_source *s, const char *name, char **text_out,
                       const char ***lines_out, size_t *n_out)
{
    if (!h5_get_text(s->file, "/provenance", name, text_out))
        return;
    for (char *rest = *text_out, *line; (line = strsep(&rest, "\n")) != NULL;) {
        if (*line == '\0')
            continue;
        const char **list = grow(s, *lines_out, *n_out, sizeof *list);
        if (list == NULL)
            return;
        *lines_out = list;
        list[(*n_out)++] = line;
    }
}

static int order_marks(const void *a, const void *b)
{
    const struct mark_record *x = a, *y = b;
    return (x->epoch > y->epoch) - (x->epoch < y->epoch);
}

/* The same rules as in the recorder, for rows that are already there. */
static void load_region(struct file_source *s)
{
    struct h5_shape shape;
    if (!h5_get_u64(s->file, "/", "epochs", &s->nepochs))
        s->nepochs = 0;
    s->in_roi = malloc(s->nepochs + 1);
    if (s->in_roi == NULL || !h5_get_shape(s->file, "/stats/time/marks", &shape))
        return;
    memset(s->in_roi, 1, s->nepochs);
    struct mark_record *marks = calloc(shape.dims[0] + 1, sizeof *marks);
    if (marks == NULL || shape.value_bytes != sizeof *marks ||
        !h5_read_rows(s->file, "/stats/time/marks", 0, shape.dims[0], marks)) {
        free(marks);
        return;
    }
    qsort(marks, shape.dims[0], sizeof *marks, order_marks);
    bool begun = false;
    for (uint64_t i = 0; i < shape.dims[0]; i++) {
        uint64_t at = u64_min(marks[i].epoch, s->nepochs);
        bool begins = strcmp(marks[i].name, "roi-begin") == 0;
        if ((begins || strcmp(marks[i].name, "warmup-end") == 0) && !begun)
            memset(s->in_roi, 0, at);
        if (begins || strcmp(marks[i].name, "roi-end") == 0)
            memset(s->in_roi + at, begins, s->nepochs - at);
        begun = begun || begins;
    }
    free(marks);
}

static void free_source(struct file_source *s)
{
    for (size_t i = 0; i < s->nitems; i++) {
        free((void *)(uintptr_t)s->items[i].name);
        free((void *)(uintptr_t)s->items[i].unit);
    }
    for (size_t i = 0; i < s->nchecks; i++)
        free((void *)(uintptr_t)s->checks[i].name);
    run_file_free(s->run);
    free(s->items);
    free(s->checks);
    free(s->in_roi);
    free(s->sums);
    free(s->warnings_text);
    free(s->not_modelled_text);
    free(s->warnings);
    free(s->not_modelled);
}

/* ---- the source ---------------------------------------------------------------------------- */

static bool file_total(void *ctx, const char *path, uint64_t *value_out)
{
    return run_file_total(((struct file_source *)ctx)->run, path, value_out);
}

static bool file_per_instance(void *ctx, const char *path, const uint64_t **values_out,
                              size_t *n_out)
{
    struct file_source *s = ctx;
    struct h5_shape shape;
    char dataset[512];
    const struct run_counter *c = run_file_counter(s->run, path);
    snprintf(dataset, sizeof dataset, "/stats/%s", path);
    if (c == NULL || !h5_get_shape(s->file, dataset, &shape) || shape.rank < 2 ||
        shape.kind != H5_KIND_U64)
        return false;
    uint64_t n = shape.dims[1], nbins = shape.rank > 2 ? shape.dims[2] : 1;
    uint64_t *sums = calloc(n + 1, sizeof *sums), *row = calloc(n * nbins + 1, sizeof *row);
    bool ok = sums != NULL && row != NULL;
    for (uint64_t e = 0; ok && e < u64_min(shape.dims[0], s->nepochs); e++) {
        if (!s->in_roi[e])
            continue;
        ok = h5_read_rows(s->file, dataset, e, 1, row);
        for (uint64_t i = 0; ok && i < n * nbins; i++)
            sums[i / nbins] = c->kind == STAT_GAUGE ? row[i] : sums[i / nbins] + row[i];
    }
    free(row);
    free(s->sums);
    s->sums = sums;
    *values_out = sums;
    *n_out = n;
    return ok;
}

static bool file_path_at(void *ctx, size_t i, const char **path_out, const char **unit_out,
                         enum stat_kind *kind_out)
{
    const struct file_source *s = ctx;
    if (i >= s->run->ncounters)
        return false;
    const struct run_counter *c = &s->run->counters[i];
    *path_out = c->path;
    *unit_out = c->unit ? c->unit : "1";
    *kind_out = c->kind;
    return true;
}

static bool take_f64(void *ctx, const struct h5_attr *attr)
{
    if (attr->kind == H5_KIND_F64 && attr->n == 1 && strcmp(attr->name, "seconds") == 0)
        *(double *)ctx = attr->f64s[0];
    return true;
}

static uint64_t get_or_zero(struct file_source *s, const char *path, const char *name)
{
    uint64_t value = 0;
    h5_get_u64(s->file, path, name, &value);
    return value;
}

static enum err print_summary(struct file_source *s, const char *path, FILE *f)
{
    struct summary_source source = {
        .ctx = s,
        .total = file_total,
        .per_instance = file_per_instance,
        .path_at = file_path_at,
        .title = path,
    };
    enum err e = run_file_load(path, &s->run);
    if (e != ERR_OK)
        return e;
    bool ok = h5_each_attr(s->file, "/stats/summary", take_item, s) &&
              h5_each_attr(s->file, "/stats/summary/checks", take_check, s);
    load_region(s);
    load_lines(s, "warnings", &s->warnings_text, &s->warnings, &s->nwarnings);
    load_lines(s, "not_modelled", &s->not_modelled_text, &s->not_modelled, &s->nnot_modelled);
    h5_each_attr(s->file, "/host", take_f64, &source.host_seconds);
    if (!ok || s->failed || s->in_roi == NULL)
        return err_log(ERR_TRACE, "cannot read the summary of '%s': %s", path,
                       ok ? "no memory" : h5_problem());
    source.simulated_fs = get_or_zero(s, "/stats/summary", "simulated_fs");
    source.roi_fs = get_or_zero(s, "/stats/summary", "roi_fs");
    source.has_roi = get_or_zero(s, "/stats/summary", "has_roi") != 0;
    source.nepochs = s->nepochs;
    source.complete = get_or_zero(s, "/", "complete") != 0;
    source.nranks = get_or_zero(s, "/host", "nranks");
    source.items = s->items;
    source.nitems = s->nitems;
    source.checks = s->checks;
    source.nchecks = s->nchecks;
    source.warnings = s->warnings;
    source.nwarnings = s->nwarnings;
    source.not_modelled = s->not_modelled;
    source.nnot_modelled = s->nnot_modelled;
    summary_print(f, &source);
    return ERR_OK;
}

/* ---- commands ------------------------------------------------------------------------------ */

enum err stats_file_config(const char *path, char **text_out)
{
    struct h5file *file = h5_open(path);
    if (file == NULL)
        return err_log(ERR_TRACE, "cannot read '%s': %s", path, h5_problem());
    enum err e = h5_get_text(file, "/config/text", NULL, text_out)
                     ? ERR_OK
                     : err_log(ERR_TRACE, "'%s' holds no configuration", path);
    h5_close(file);
    return e;
}

struct each_value {
    const char *prefix;
    void (*each)(void *ctx, const char *name, uint64_t value);
    void *ctx;
};

static bool pass_value(void *ctx, const struct h5_attr *attr)
{
    const struct each_value *v = ctx;
    char name[512];
    if (attr->kind != H5_KIND_U64)
        return true;
    uint64_t sum = 0;
    for (size_t i = 0; i < attr->n; i++)
        sum += attr->u64s[i];
    snprintf(name, sizeof name, "%s%s", v->prefix, attr->name);
    v->each(v->ctx, name, sum);
    return true;
}

enum err stats_file_summary(const char *path,
                            void (*each)(void *ctx, const char *name, uint64_t value), void *ctx)
{
    struct h5file *file = h5_open(path);
    if (file == NULL)
        return err_log(ERR_TRACE, "cannot read '%s': %s", path, h5_problem());
    struct each_value top = {"", each, ctx}, run = {"run/", each, ctx}, roi = {"roi/", each, ctx};
    enum err e = ERR_OK;
    if (!h5_exists(file, "/stats/summary/roi") ||
        !h5_each_attr(file, "/stats/summary", pass_value, &top) ||
        !h5_each_attr(file, "/stats/summary/run", pass_value, &run) ||
        !h5_each_attr(file, "/stats/summary/roi", pass_value, &roi))
        e = err_log(ERR_TRACE, "'%s' holds no summary", path);
    h5_close(file);
    return e;
}

static bool print_attr(void *ctx, const struct h5_attr *attr)
{
    FILE *f = ctx;
    if (attr->kind == H5_KIND_TEXT)
        fprintf(f, "%s: %s\n", attr->name, attr->text);
    else if (attr->kind == H5_KIND_U64 && attr->n > 0)
        fprintf(f, "%s: %" PRIu64 "\n", attr->name, attr->u64s[0]);
    else if (attr->kind == H5_KIND_F64 && attr->n > 0)
        fprintf(f, "%s: %g\n", attr->name, attr->f64s[0]);
    return true;
}

static enum err print_config(const char *path)
{
    char *text = NULL;
    enum err e = stats_file_config(path, &text);
    if (e == ERR_OK) {
        fputs(text, stdout);
        free(text);
    }
    return e;
}

int info_main(int argc, char **argv)
{
    const char *path = NULL;
    bool wants_config = false, wants_provenance = false, wrong = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--config") == 0)
            wants_config = true;
        else if (strcmp(argv[i], "--provenance") == 0)
            wants_provenance = true;
        else if (argv[i][0] == '-' || path != NULL)
            wrong = true;
        else
            path = argv[i];
    }
    if (wrong || path == NULL) {
        fprintf(stderr, "usage: concerto info run.h5 [--config | --provenance]\n");
        return err_exit_code(ERR_USAGE);
    }
    if (wants_config)
        return err_exit_code(print_config(path));
    struct file_source s = {.file = h5_open(path)};
    if (s.file == NULL)
        return err_exit_code(err_log(ERR_TRACE, "cannot read '%s': %s", path, h5_problem()));
    enum err e = ERR_OK;
    if (wants_provenance)
        e = h5_exists(s.file, "/provenance") &&
                    h5_each_attr(s.file, "/provenance", print_attr, stdout)
                ? ERR_OK
                : err_log(ERR_TRACE, "'%s' holds no /provenance", path);
    else
        e = print_summary(&s, path, stdout);
    free_source(&s);
    h5_close(s.file);
    return err_exit_code(e);
}
