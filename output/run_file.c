/* See run_file.h. */
#include "output/run_file.h"

#include "output/hdf5_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- one file ------------------------------------------------------------------------------- */

struct loading {
    struct h5file *file;
    struct run_file *run;
};

static enum stat_kind kind_of_word(const char *word)
{
    return word == NULL                 ? STAT_DELTA
           : strcmp(word, "hist") == 0  ? STAT_HIST
           : strcmp(word, "gauge") == 0 ? STAT_GAUGE
                                        : STAT_DELTA;
}

static bool take_counter(void *ctx, const struct h5_attr *attr)
{
    struct loading *l = ctx;
    struct run_file *r = l->run;
    char dataset[512], *kind = NULL;
    if (attr->kind != H5_KIND_U64)
        return true;
    struct run_counter *list = realloc(r->counters, (r->ncounters + 1) * sizeof *list);
    if (list == NULL)
        return false;
    r->counters = list;
    struct run_counter *c = &list[r->ncounters++];
    *c = (struct run_counter){.path = strdup(attr->name)};
    for (size_t i = 0; i < attr->n; i++)
        c->total += attr->u64s[i];
    snprintf(dataset, sizeof dataset, "/stats/%s", attr->name);
    h5_get_text(l->file, dataset, "units", &c->unit);
    h5_get_text(l->file, dataset, "kind", &kind);
    c->kind = kind_of_word(kind);
    free(kind);
    return c->path != NULL;
}

static int order_counters(const void *a, const void *b)
{
    return strcmp(((const struct run_counter *)a)->path, ((const struct run_counter *)b)->path);
}

/* Lines of "key: value". */
static bool take_keys(struct run_file *r, const char *text)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        const char *colon = memchr(text, ':', len);
        if (colon != NULL) {
            struct run_key *list = realloc(r->keys, (r->nkeys + 1) * sizeof *list);
            if (list == NULL)
                return false;
            r->keys = list;
            const char *value = colon + 1 + strspn(colon + 1, " ");
            size_t value_len = value < text + len ? (size_t)(text + len - value) : 0;
            list[r->nkeys] = (struct run_key){strndup(text, (size_t)(colon - text)),
                                              strndup(value, value_len)};
            if (list[r->nkeys].name == NULL || list[r->nkeys].value == NULL)
                return false;
            r->nkeys++;
        }
        text += len + (text[len] == '\n');
    }
    return true;
}

enum err run_file_load(const char *path, struct run_file **out)
{
    struct loading l = {h5_open(path), calloc(1, sizeof(struct run_file))};
    char *text = NULL;
    if (l.file == NULL || l.run == NULL) {
        free(l.run);
        if (l.file == NULL)
            return err_log(ERR_TRACE, "cannot read '%s': %s", path, h5_problem());
        h5_close(l.file);
        return err_log(ERR_MEMORY, "no host memory for '%s'", path);
    }
    struct run_file *r = l.run;
    r->path = strdup(path);
    uint64_t complete = 0;
    enum err e = ERR_OK;
    if (!h5_exists(l.file, "/stats/summary/roi"))
        e = err_log(ERR_TRACE, "'%s' holds no summary: it is not the file of a finished run", path);
    else if (!h5_each_attr(l.file, "/stats/summary/roi", take_counter, &l) || r->path == NULL ||
             (h5_get_text(l.file, "/config/text", NULL, &text) && !take_keys(r, text)))
        e = err_log(ERR_TRACE, "cannot read the summary of '%s'", path);
    h5_get_text(l.file, "/provenance", "workload", &r->workload);
    h5_get_text(l.file, "/provenance", "version", &r->version);
    h5_get_text(l.file, "/provenance", "git", &r->git);
    h5_get_text(l.file, "/provenance", "stopped_by", &r->stopped_by);
    h5_get_u64(l.file, "/provenance", "seed", &r->seed);
    r->complete = h5_get_u64(l.file, "/", "complete", &complete) && complete != 0;
    free(text);
    h5_close(l.file);
    if (e != ERR_OK) {
        run_file_free(r);
        return e;
    }
    qsort(r->counters, r->ncounters, sizeof *r->counters, order_counters);
    *out = r;
    return ERR_OK;
}

void run_file_free(struct run_file *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->nkeys; i++) {
        free(r->keys[i].name);
        free(r->keys[i].value);
    }
    for (size_t i = 0; i < r->ncounters; i++) {
        free(r->counters[i].path);
        free(r->counters[i].unit);
    }
    free(r->keys);
    free(r->counters);
    free(r->path);
    free(r->workload);
    free(r->version);
    free(r->git);
    free(r->stopped_by);
    free(r);
}

const char *run_file_key(const struct run_file *r, const char *name)
{
    for (size_t i = 0; i < r->nkeys; i++)
        if (strcmp(r->keys[i].name, name) == 0)
            return r->keys[i].value;
    return NULL;
}

const struct run_counter *run_file_counter(const struct run_file *r, const char *path)
{
    const struct run_counter key = {.path = (char *)(uintptr_t)path};
    if (r->ncounters == 0)
        return NULL;
    return bsearch(&key, r->counters, r->ncounters, sizeof key, order_counters);
}

bool run_file_total(void *ctx, const char *path, uint64_t *value_out)
{
    const struct run_counter *c = run_file_counter(ctx, path);
    if (c != NULL)
        *value_out = c->total;
    return c != NULL;
}

/* ---- a run and its repeats ------------------------------------------------------------------ */

const char *run_set_path(const char *path, unsigned i, char *buf, size_t size)
{
    size_t len = strlen(path);
    bool has_end = len > 3 && strcmp(path + len - 3, ".h5") == 0;
    if (i == 0)
        snprintf(buf, size, "%s", path);
    else
        snprintf(buf, size, "%.*s.r%u%s", (int)(has_end ? len - 3 : len), path, i,
                 has_end ? ".h5" : "");
    return buf;
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* Why `r` is no repeat of `first`; NULL: it is one. */
static const char *not_a_repeat(const struct run_file *first, const struct run_file *r)
{
    if (r->nkeys != first->nkeys)
        return "its configuration has other keys";
    for (size_t i = 0; i < r->nkeys; i++) {
        const struct run_key *a = &first->keys[i], *b = &r->keys[i];
        bool may_differ = strcmp(a->name, "sim.perturb") == 0 || strcmp(a->name, "sim.cut_seed") == 0;
        if (strcmp(a->name, b->name) != 0 || (!may_differ && strcmp(a->value, b->value) != 0))
            return "its configuration is another one";
    }
    if (!same_text(first->workload, r->workload))
        return "its workload is another one";
    if (!same_text(first->git, r->git) || !same_text(first->version, r->version))
        return "another version of the program made it";
    return NULL;
}

enum err run_set_load(const char *path, struct run_set *out)
{
    *out = (struct run_set){.runs = calloc(RUN_SET_MAX, sizeof(struct run_file *))};
    if (out->runs == NULL)
        return err_log(ERR_MEMORY, "no host memory for the runs of '%s'", path);
    enum err e = run_file_load(path, &out->runs[0]);
    out->n = e == ERR_OK;
    char name[4096];
    for (unsigned i = 1; e == ERR_OK && i < RUN_SET_MAX; i++) {
        struct run_file *r;
        if (access(run_set_path(path, i, name, sizeof name), F_OK) != 0)
            break;
        if ((e = run_file_load(name, &r)) != ERR_OK)
            break;
        const char *why = not_a_repeat(out->runs[0], r);
        if (why == NULL) {
            out->runs[out->n++] = r;
        } else {
            warn_log("'%s' is no repeat of '%s' and is left out: %s", name, path, why);
            run_file_free(r);
        }
    }
    if (e != ERR_OK)
        run_set_free(out);
    return e;
}

void run_set_free(struct run_set *s)
{
    for (size_t i = 0; i < s->n; i++)
        run_file_free(s->runs[i]);
    free(s->runs);
    *s = (struct run_set){0};
}
