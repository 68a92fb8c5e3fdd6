/*
 * The one door to HDF5: a thin, checked layer that knows types, attributes and rows, but nothing
 * of what the file means (stats_file.c does).
 *
 * Files are written with the old format's bounds and without times of day, so that a file cut off
 * between two flushes still opens, and equal contents do not differ by when they were made. After
 * a failed write nothing is tried again: the library's own memory of the file is given up.
 *
 * Functions that return bool keep the reason of the last failure in h5_problem().
 */
#ifndef OUTPUT_HDF5_WRITE_H
#define OUTPUT_HDF5_WRITE_H

#include "pdes/types.h"

#define H5_RANK_MAX 3u
#define H5_MARK_NAME_BYTES 32u

struct h5file;
typedef int64_t h5set_t; /* an open dataset of a file that is written */

enum h5_kind { H5_KIND_U64, H5_KIND_F64, H5_KIND_TEXT, H5_KIND_OTHER };

const char *h5_problem(void);
/* Version of the library, "1.10.8". */
const char *h5_version(void);

/* ---- writing ------------------------------------------------------------------------------- */

struct h5file *h5_create(const char *path);
bool h5_flush(struct h5file *f);
bool h5_close(struct h5file *f); /* frees `f` in any case; also for files that are read */
void h5_abandon(struct h5file *f); /* without touching the disk again */

bool h5_group(struct h5file *f, const char *path); /* with those above it */

/*
 * A dataset of shape [rows, inner...], rows unlimited and none yet, in compressed chunks of
 * chunk[0..ninner]; negative on failure. Groups above are made.
 */
h5set_t h5_series(struct h5file *f, const char *path, enum h5_kind kind, unsigned ninner,
                  const uint64_t *inner, const uint64_t *chunk);
/* Writes nrows rows behind the first `row` ones. */
bool h5_append(struct h5file *f, h5set_t set, uint64_t row, uint64_t nrows, const void *data);

/* Whole datasets. Texts are stored with a fixed length, in UTF-8. */
h5set_t h5_array(struct h5file *f, const char *path, const uint64_t *values, uint64_t n);
bool h5_names(struct h5file *f, const char *path, const char *const *names, uint64_t n);
bool h5_text(struct h5file *f, const char *path, const char *text);

/* A growing table of {name, epoch}. */
h5set_t h5_marks(struct h5file *f, const char *path);
bool h5_append_mark(struct h5file *f, h5set_t set, uint64_t row, const char *name, uint64_t epoch);

bool h5_make_scale(struct h5file *f, h5set_t set, const char *name);
/* Dimensions 0 to n - 1 of `set`, which has `rank` of them, have these scales. Once for a dataset. */
bool h5_use_scales(struct h5file *f, h5set_t set, unsigned rank, const h5set_t *scales, unsigned n);
/* All datasets that use `scale`, in dimension `dim`. Once for a scale. */
bool h5_scale_users(struct h5file *f, h5set_t scale, const h5set_t *sets, uint64_t n, unsigned dim);
void h5_set_close(h5set_t set);

/* Attributes of the group or dataset at `path`; one that exists is replaced. */
bool h5_attr_u64(struct h5file *f, const char *path, const char *name, uint64_t value);
bool h5_attr_u64s(struct h5file *f, const char *path, const char *name, const uint64_t *values,
                  uint64_t n);
bool h5_attr_f64(struct h5file *f, const char *path, const char *name, double value);
bool h5_attr_bool(struct h5file *f, const char *path, const char *name, bool value);
bool h5_attr_text(struct h5file *f, const char *path, const char *name, const char *text);

/* ---- reading ------------------------------------------------------------------------------- */

struct h5file *h5_open(const char *path);
bool h5_exists(struct h5file *f, const char *path);

struct h5_shape {
    enum h5_kind kind;
    unsigned rank; /* 0: a single value */
    uint64_t dims[H5_RANK_MAX];
    size_t value_bytes; /* of one element as h5_read_rows gives it */
};

/* Every dataset below `group`, in order of names, with its full path. Stops when `each` does. */
bool h5_each_dataset(struct h5file *f, const char *group, bool (*each)(void *ctx, const char *path),
                     void *ctx);
/* Every group below `group` and itself. */
bool h5_each_group(struct h5file *f, const char *group, bool (*each)(void *ctx, const char *path),
                   void *ctx);
bool h5_get_shape(struct h5file *f, const char *path, struct h5_shape *shape_out);
/* Rows [row, row + nrows) of dim 0 (ignored for rank 0) into `data`. */
bool h5_read_rows(struct h5file *f, const char *path, uint64_t row, uint64_t nrows, void *data);

/* One attribute as read. */
struct h5_attr {
    const char *name;
    enum h5_kind kind;
    size_t n;             /* values, or bytes of kind OTHER */
    const uint64_t *u64s; /* kind U64 */
    const double *f64s;   /* kind F64 */
    const char *text;     /* kind TEXT */
    const void *raw;      /* kind OTHER */
};
/* In order of names; references (of dimension scales) are left out. */
bool h5_each_attr(struct h5file *f, const char *path,
                  bool (*each)(void *ctx, const struct h5_attr *attr), void *ctx);
/* False if there is none of that name and kind. */
bool h5_get_u64(struct h5file *f, const char *path, const char *name, uint64_t *value_out);
/* A text attribute (name != NULL) or a text dataset (name == NULL); the caller frees it. */
bool h5_get_text(struct h5file *f, const char *path, const char *name, char **text_out);

#endif
