/*
 * `concerto compare --exact`: are the statistics of two runs the same to the last bit? All datasets
 * and attributes below /stats count; the difference with the earliest epoch is named, since that
 * is where to look.
 */
#include "output/recorder.h"

#include "output/hdf5_write.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_BYTES ((size_t)1 << 20)

struct names {
    char **list;
    size_t n;
    bool failed;
};

struct attr_copy {
    char *name;
    enum h5_kind kind;
    size_t n, bytes;
    char *data;
};

struct attrs {
    struct attr_copy *list;
    size_t n;
};

struct comparison {
    struct h5file *a, *b;
    char text[1024]; /* about the first difference */
    uint64_t epoch;  /* of it; UINT64_MAX: of no epoch */
    size_t ndifferent;
    bool failed;
};

/* ---- lists --------------------------------------------------------------------------------- */

static bool take_name(void *ctx, const char *path)
{
    struct names *names = ctx;
    char **grown = realloc(names->list, (names->n + 1) * sizeof *grown);
    if (grown != NULL) {
        names->list = grown;
        if ((grown[names->n] = strdup(path)) != NULL) {
            names->n++;
            return true;
        }
    }
    names->failed = true;
    return false;
}

static int order_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void free_names(struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->list[i]);
    free(names->list);
}

static bool take_attr(void *ctx, const struct h5_attr *attr)
{
    struct attrs *attrs = ctx;
    struct attr_copy *grown = realloc(attrs->list, (attrs->n + 1) * sizeof *grown);
    if (grown == NULL)
        return false;
    attrs->list = grown;
    size_t bytes = attr->kind == H5_KIND_U64 || attr->kind == H5_KIND_F64 ? attr->n * 8
                   : attr->kind == H5_KIND_TEXT ? strlen(attr->text)
                                                : attr->n;
    struct attr_copy *c = &grown[attrs->n];
    *c = (struct attr_copy){strdup(attr->name), attr->kind, attr->n, bytes, malloc(bytes + 1)};
    attrs->n++;
    if (c->data != NULL)
        memcpy(c->data, attr->raw, bytes);
    return c->name != NULL && c->data != NULL;
}

static void free_attrs(struct attrs *attrs)
{
    for (size_t i = 0; i < attrs->n; i++) {
        free(attrs->list[i].name);
        free(attrs->list[i].data);
    }
    free(attrs->list);
}

/* ---- differences --------------------------------------------------------------------------- */

/* Keeps the text if nothing earlier is known; the caller counts. */
static void note(struct comparison *c, uint64_t epoch, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void note(struct comparison *c, uint64_t epoch, const char *fmt, ...)
{
    if (c->text[0] != '\0' && epoch >= c->epoch)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->text, sizeof c->text, fmt, ap);
    va_end(ap);
    c->epoch = epoch;
}

static const struct attr_copy *find_attr(const struct attrs *attrs, const char *name)
{
    for (size_t i = 0; i < attrs->n; i++)
        if (strcmp(attrs->list[i].name, name) == 0)
            return &attrs->list[i];
    return NULL;
}

static void note_attr(struct comparison *c, const char *path, const struct attr_copy *a,
                      const struct attr_copy *b)
{
    uint64_t x, y;
    if (a->kind == H5_KIND_U64 && a->n == 1 && b->kind == H5_KIND_U64 && b->n == 1) {
        memcpy(&x, a->data, sizeof x);
        memcpy(&y, b->data, sizeof y);
        note(c, UINT64_MAX, "%s: attribute '%s': %" PRIu64 " / %" PRIu64, path, a->name, x, y);
    } else {
        note(c, UINT64_MAX, "%s: attribute '%s' differs", path, a->name);
    }
}

/* True if all attributes of `path` are equal. */
static bool compare_attrs(struct comparison *c, const char *path)
{
    struct attrs a = {0}, b = {0};
    bool same = true;
    if (!h5_each_attr(c->a, path, take_attr, &a) || !h5_each_attr(c->b, path, take_attr, &b))
        c->failed = true;
    for (size_t i = 0; i < a.n; i++) {
        const struct attr_copy *x = &a.list[i], *y = find_attr(&b, x->name);
        if (y == NULL)
            note(c, UINT64_MAX, "%s: attribute '%s' is only in the first", path, x->name);
        else if (x->kind != y->kind || x->bytes != y->bytes ||
                 memcmp(x->data, y->data, x->bytes) != 0)
            note_attr(c, path, x, y);
        else
            continue;
        same = false;
    }
    for (size_t i = 0; i < b.n; i++)
        if (find_attr(&a, b.list[i].name) == NULL) {
            note(c, UINT64_MAX, "%s: attribute '%s' is only in the second", path, b.list[i].name);
            same = false;
        }
    free_attrs(&a);
    free_attrs(&b);
    return same;
}

static void note_value(struct comparison *c, const char *path, const struct h5_shape *shape,
                       uint64_t row, size_t index, const char *a, const char *b)
{
    char where[128] = "";
    uint64_t nbins = shape->rank > 2 ? shape->dims[2] : 1, x, y;
    if (shape->rank > 2)
        snprintf(where, sizeof where, ", instance %" PRIu64 ", bin %" PRIu64, index / nbins,
                 index % nbins);
    else if (shape->rank > 1)
        snprintf(where, sizeof where, ", instance %zu", index);
    if (shape->kind != H5_KIND_U64) {
        note(c, row, "%s: row %" PRIu64 "%s differs", path, row, where);
        return;
    }
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    note(c, row, "%s: epoch %" PRIu64 "%s: %" PRIu64 " / %" PRIu64, path, row, where, x, y);
}

/* Compares the rows that both have; true if equal. */
static bool compare_rows(struct comparison *c, const char *path, const struct h5_shape *shape,
                         uint64_t nrows)
{
    size_t width = 1;
    for (unsigned i = 1; i < shape->rank; i++)
        width *= shape->dims[i];
    size_t row_bytes = width * shape->value_bytes;
    uint64_t batch = u64_max(1, BATCH_BYTES / (row_bytes + 1));
    batch = u64_min(batch, nrows);
    char *a = malloc(batch * row_bytes + 1), *b = malloc(batch * row_bytes + 1);
    bool same = true;
    if (a == NULL || b == NULL)
        c->failed = true;
    for (uint64_t row = 0; row < nrows && same && !c->failed; row += batch) {
        uint64_t n = u64_min(batch, nrows - row);
        if (!h5_read_rows(c->a, path, row, n, a) || !h5_read_rows(c->b, path, row, n, b)) {
            c->failed = true;
            break;
        }
        if (memcmp(a, b, n * row_bytes) == 0)
            continue;
        same = false;
        size_t at = 0;
        while (memcmp(a + at, b + at, shape->value_bytes) == 0)
            at += shape->value_bytes;
        note_value(c, path, shape, row + at / row_bytes, at % row_bytes / shape->value_bytes,
                   a + at, b + at);
    }
    free(a);
    free(b);
    return same;
}

static bool compare_dataset(struct comparison *c, const char *path)
{
    struct h5_shape a, b;
    if (!h5_get_shape(c->a, path, &a) || !h5_get_shape(c->b, path, &b)) {
        c->failed = true;
        return false;
    }
    bool same_type = a.kind == b.kind && a.rank == b.rank && a.value_bytes == b.value_bytes;
    for (unsigned i = 1; i < a.rank && same_type; i++)
        same_type = a.dims[i] == b.dims[i];
    if (!same_type) {
        note(c, 0, "%s: shape or type differs", path);
        return false;
    }
    uint64_t nrows = a.rank > 0 ? u64_min(a.dims[0], b.dims[0]) : 1;
    bool same = compare_rows(c, path, &a, nrows);
    if (same && a.rank > 0 && a.dims[0] != b.dims[0]) {
        note(c, nrows, "%s: %" PRIu64 " / %" PRIu64 " rows", path, a.dims[0], b.dims[0]);
        same = false;
    }
    return compare_attrs(c, path) && same;
}

/* Objects of both files in one order; `compare` decides about those that both have. */
static void compare_names(struct comparison *c, struct names *a, struct names *b,
                          bool (*compare)(struct comparison *c, const char *path))
{
    qsort(a->list, a->n, sizeof *a->list, order_names);
    qsort(b->list, b->n, sizeof *b->list, order_names);
    for (size_t i = 0, k = 0; (i < a->n || k < b->n) && !c->failed;) {
        int order = i == a->n ? 1 : k == b->n ? -1 : strcmp(a->list[i], b->list[k]);
        if (order < 0)
            note(c, 0, "%s: only in the first", a->list[i++]);
        else if (order > 0)
            note(c, 0, "%s: only in the second", b->list[k++]);
        else if (k++, compare(c, a->list[i++]))
            continue;
        c->ndifferent++;
    }
}

enum err stats_file_compare(const char *a, const char *b, FILE *f)
{
    struct comparison c = {.epoch = UINT64_MAX};
    struct names sets_a = {0}, sets_b = {0}, groups_a = {0}, groups_b = {0};
    enum err e = ERR_OK;
    if ((c.a = h5_open(a)) == NULL)
        return err_log(ERR_TRACE, "cannot read '%s': %s", a, h5_problem());
    if ((c.b = h5_open(b)) == NULL) {
        h5_close(c.a);
        return err_log(ERR_TRACE, "cannot read '%s': %s", b, h5_problem());
    }
    if (!h5_exists(c.a, "/stats") || !h5_exists(c.b, "/stats")) {
        e = err_log(ERR_TRACE, "'%s' holds no /stats", h5_exists(c.a, "/stats") ? b : a);
        goto done;
    }
    c.failed = !h5_each_dataset(c.a, "/stats", take_name, &sets_a) ||
               !h5_each_dataset(c.b, "/stats", take_name, &sets_b) ||
               !h5_each_group(c.a, "/stats", take_name, &groups_a) ||
               !h5_each_group(c.b, "/stats", take_name, &groups_b);
    if (!c.failed)
        compare_names(&c, &sets_a, &sets_b, compare_dataset);
    if (!c.failed)
        compare_names(&c, &groups_a, &groups_b, compare_attrs);
    if (c.failed || sets_a.failed || sets_b.failed)
        e = err_log(ERR_TRACE, "cannot read '%s' and '%s': %s", a, b, h5_problem());
    else if (c.ndifferent > 0) {
        fprintf(f, "different: %s (%zu of %zu objects differ)\n", c.text, c.ndifferent,
                sets_a.n + groups_a.n);
        e = ERR_RUNTIME;
    }
done:
    free_names(&sets_a);
    free_names(&sets_b);
    free_names(&groups_a);
    free_names(&groups_b);
    h5_close(c.a);
    h5_close(c.b);
    return e;
}
