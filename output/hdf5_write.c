/*
 * The door to HDF5. Handles are closed in every path but after a failed write, when HDF5 would try
 * to write its cache again and could not: then they are given up, and the exit handler is off.
 */
#include "output/hdf5_write.h"

#include <errno.h>
#include <hdf5.h>
#include <hdf5_hl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTR_TEXT_BYTES_MAX 60000u /* an attribute must fit an object header message of 64 KiB */
#define PATH_BYTES 512u
#define CHUNK_INDEX_K 4u

/*
 * With hundreds of datasets and thousands of attributes, looking up paths and making types, spaces and
 * property lists anew is most of a short run: they are kept. An id is -1 when there is none.
 */
struct h5file {
    hid_t id;
    hid_t object, group; /* used last: by an attribute, as the place of a dataset */
    char object_path[PATH_BYTES], group_path[PATH_BYTES];
    hid_t text, boolean, links, single; /* types; the space of one value */
    hid_t plain, chunked;        /* properties of datasets */
    unsigned chunk_rank;
    hsize_t chunk[H5_RANK_MAX]; /* of `chunked` */
};

struct mark_row {
    char name[H5_MARK_NAME_BYTES];
    uint64_t epoch;
};

static char problem_text[512];

const char *h5_problem(void) { return problem_text; }

const char *h5_version(void)
{
    static char text[32];
    unsigned major, minor, release;
    H5get_libversion(&major, &minor, &release);
    snprintf(text, sizeof text, "%u.%u.%u", major, minor, release);
    return text;
}

/* ---- errors -------------------------------------------------------------------------------- */

/* The innermost message says most; of a failed system call only the kernel's words are kept. */
static herr_t take_innermost(unsigned n, const H5E_error2_t *e, void *ctx)
{
    (void)ctx;
    if (n != 0)
        return 0;
    const char *desc = e->desc ? e->desc : "unknown error";
    const char *words = strstr(desc, "error message = '");
    if (words != NULL) {
        words += strlen("error message = '");
        snprintf(problem_text, sizeof problem_text, "%.*s", (int)strcspn(words, "'"), words);
    } else {
        snprintf(problem_text, sizeof problem_text, "HDF5: %s", desc);
    }
    return 0;
}

static bool failed(void)
{
    snprintf(problem_text, sizeof problem_text, "HDF5: unknown error");
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_innermost, NULL);
    H5Eclear2(H5E_DEFAULT);
    return false;
}

static void start_library(void)
{
    static bool started;
    if (!started) {
        H5dont_atexit();
        H5open();
        H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
        started = true;
    }
}

static hid_t make_text_type(size_t n)
{
    hid_t t = H5Tcopy(H5T_C_S1);
    H5Tset_size(t, n > 0 ? n : 1);
    H5Tset_strpad(t, H5T_STR_NULLPAD);
    H5Tset_cset(t, H5T_CSET_UTF8);
    return t;
}

/* ---- files and groups ---------------------------------------------------------------------- */

static hid_t make_plist(hid_t class)
{
    hid_t p = H5Pcreate(class);
    if (p >= 0)
        H5Pset_obj_track_times(p, false);
    return p;
}

static hid_t make_access(void)
{
    hid_t p = H5Pcreate(H5P_FILE_ACCESS);
    if (p < 0)
        return p;
    H5Pset_fclose_degree(p, H5F_CLOSE_STRONG);
#if H5_VERSION_GE(1, 10, 7)
    /* A reader may look at a file that is being written, on any file system. */
    H5Pset_file_locking(p, false, true);
#endif
    return p;
}

static struct h5file *wrap_file(hid_t id)
{
    struct h5file *f = id < 0 ? NULL : malloc(sizeof *f);
    if (f == NULL) {
        failed();
        if (id >= 0)
            H5Fclose(id);
        return NULL;
    }
    *f = (struct h5file){.id = id, .object = -1, .group = -1, .text = -1, .boolean = -1, .links = -1, .single = -1,
                         .plain = -1, .chunked = -1};
    return f;
}

/* What is needed to write. The boolean is the two-valued enumeration that h5py takes for one. */
static void make_kept(struct h5file *f)
{
    static const int8_t no = 0, yes = 1;
    f->text = make_text_type(1);
    f->boolean = H5Tenum_create(H5T_NATIVE_INT8);
    H5Tenum_insert(f->boolean, "FALSE", &no);
    H5Tenum_insert(f->boolean, "TRUE", &yes);
    f->links = H5Tvlen_create(H5T_STD_REF_OBJ);
    f->single = H5Screate(H5S_SCALAR);
    f->plain = make_plist(H5P_DATASET_CREATE);
    f->chunked = make_plist(H5P_DATASET_CREATE);
    H5Pset_shuffle(f->chunked);
    H5Pset_deflate(f->chunked, 1);
}

/* The objects among them, before the file is closed. */
static void close_kept(struct h5file *f)
{
    const hid_t ids[] = {f->object, f->group, f->text, f->boolean, f->links, f->single, f->plain, f->chunked};
    for (unsigned i = 0; i < sizeof ids / sizeof ids[0]; i++)
        if (ids[i] >= 0)
            H5Idec_ref(ids[i]);
}

/* `id` becomes the kept object at `path`, instead of the one before; a reference to it is taken over. */
static void keep(hid_t *kept, char *kept_path, const char *path, hid_t id)
{
    if (*kept >= 0)
        H5Idec_ref(*kept);
    *kept = id;
    snprintf(kept_path, PATH_BYTES, "%s", path);
}

static bool is_kept(hid_t kept, const char *kept_path, const char *path)
{
    return kept >= 0 && strcmp(kept_path, path) == 0;
}

/* The group or dataset at `path`, for attributes; not to be closed. */
static hid_t object_at(struct h5file *f, const char *path)
{
    if (is_kept(f->object, f->object_path, path))
        return f->object;
    hid_t id = H5Oopen(f->id, path, H5P_DEFAULT);
    if (id >= 0)
        keep(&f->object, f->object_path, path, id);
    return id;
}

struct h5file *h5_create(const char *path)
{
    start_library();
    hid_t create = make_plist(H5P_FILE_CREATE), access = make_access();
    /* Index nodes are taken whole: with hundreds of datasets the default is most of a short file. */
    H5Pset_istore_k(create, CHUNK_INDEX_K);
    struct h5file *f = wrap_file(H5Fcreate(path, H5F_ACC_TRUNC, create, access));
    H5Pclose(create);
    H5Pclose(access);
    if (f != NULL)
        make_kept(f);
    return f;
}

struct h5file *h5_open(const char *path)
{
    start_library();
    hid_t access = make_access();
    struct h5file *f = wrap_file(H5Fopen(path, H5F_ACC_RDONLY, access));
    H5Pclose(access);
    return f;
}

bool h5_flush(struct h5file *f) { return H5Fflush(f->id, H5F_SCOPE_LOCAL) >= 0 || failed(); }

bool h5_close(struct h5file *f)
{
    close_kept(f);
    bool ok = H5Fclose(f->id) >= 0 || failed();
    free(f);
    return ok;
}

void h5_abandon(struct h5file *f) { free(f); }

/* Groups one by one, since those that HDF5 makes by itself would not have our properties. */
static bool make_groups_above(struct h5file *f, const char *path)
{
    char part[PATH_BYTES];
    bool ok = strlen(path) < sizeof part;
    if (!ok)
        snprintf(problem_text, sizeof problem_text, "name too long: %.64s...", path);
    for (const char *slash = strchr(path + 1, '/'); ok && slash != NULL;
         slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        ok = h5_group(f, part);
    }
    return ok;
}

bool h5_exists(struct h5file *f, const char *path)
{
    char part[PATH_BYTES];
    if (strcmp(path, "/") == 0)
        return true;
    for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        if (H5Lexists(f->id, part, H5P_DEFAULT) <= 0)
            return false;
    }
    return H5Lexists(f->id, path, H5P_DEFAULT) > 0;
}

bool h5_group(struct h5file *f, const char *path)
{
    if (strcmp(path, "/") == 0 || H5Lexists(f->id, path, H5P_DEFAULT) > 0)
        return true;
    if (!make_groups_above(f, path))
        return false;
    hid_t plist = make_plist(H5P_GROUP_CREATE);
    hid_t g = H5Gcreate2(f->id, path, H5P_DEFAULT, plist, H5P_DEFAULT);
    H5Pclose(plist);
    return g >= 0 ? H5Gclose(g) >= 0 : failed();
}

/* ---- datasets ------------------------------------------------------------------------------ */

static hid_t type_of(enum h5_kind kind)
{
    return kind == H5_KIND_F64 ? H5T_NATIVE_DOUBLE : H5T_NATIVE_UINT64;
}

/* The group that holds `path`, made if need be; not to be closed. Negative: failed. */
static hid_t group_above(struct h5file *f, const char *path)
{
    char part[PATH_BYTES];
    const char *slash = strrchr(path, '/');
    if (slash == path)
        return f->id;
    if (strlen(path) >= sizeof part) {
        make_groups_above(f, path); /* says why not */
        return -1;
    }
    snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
    if (is_kept(f->group, f->group_path, part))
        return f->group;
    if (!h5_group(f, part))
        return -1;
    hid_t id = H5Gopen2(f->id, part, H5P_DEFAULT);
    if (id < 0)
        failed();
    else
        keep(&f->group, f->group_path, part, id);
    return id;
}

static hid_t chunked_properties(struct h5file *f, unsigned rank, const hsize_t *chunk)
{
    if (f->chunk_rank != rank || memcmp(f->chunk, chunk, rank * sizeof *chunk) != 0) {
        H5Pset_chunk(f->chunked, (int)rank, chunk);
        f->chunk_rank = rank;
        memcpy(f->chunk, chunk, rank * sizeof *chunk);
    }
    return f->chunked;
}

/* `chunk` NULL: contiguous. */
static hid_t create_dataset(struct h5file *f, const char *path, hid_t type, unsigned rank,
                            const hsize_t *dims, const hsize_t *max, const hsize_t *chunk)
{
    hid_t group = group_above(f, path);
    if (group < 0)
        return -1;
    hid_t space = rank ? H5Screate_simple((int)rank, dims, max) : H5Screate(H5S_SCALAR);
    hid_t plist = chunk != NULL ? chunked_properties(f, rank, chunk) : f->plain;
    hid_t set = H5Dcreate2(group, strrchr(path, '/') + 1, type, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    H5Sclose(space);
    if (set < 0) {
        failed();
        return set;
    }
    H5Iinc_ref(set); /* its attributes are next */
    keep(&f->object, f->object_path, path, set);
    return set;
}

h5set_t h5_series(struct h5file *f, const char *path, enum h5_kind kind, unsigned ninner,
                  const uint64_t *inner, const uint64_t *chunk)
{
    hsize_t dims[H5_RANK_MAX] = {0}, max[H5_RANK_MAX] = {H5S_UNLIMITED}, chunks[H5_RANK_MAX];
    for (unsigned i = 0; i < ninner; i++)
        dims[i + 1] = max[i + 1] = inner[i];
    for (unsigned i = 0; i <= ninner; i++)
        chunks[i] = chunk[i];
    return create_dataset(f, path, type_of(kind), ninner + 1, dims, max, chunks);
}

static bool write_rows(hid_t set, hid_t type, uint64_t row, uint64_t nrows, const void *data)
{
    hsize_t dims[H5_RANK_MAX], start[H5_RANK_MAX] = {row}, count[H5_RANK_MAX];
    hid_t space = H5Dget_space(set);
    int rank = H5Sget_simple_extent_dims(space, dims, NULL);
    H5Sclose(space);
    if (rank < 1)
        return failed();
    memcpy(count, dims, sizeof count);
    count[0] = nrows;
    dims[0] = row + nrows;
    if (H5Dset_extent(set, dims) < 0)
        return failed();
    space = H5Dget_space(set);
    hid_t memory = H5Screate_simple(rank, count, NULL);
    bool ok = H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
              H5Dwrite(set, type, memory, space, H5P_DEFAULT, data) >= 0;
    if (!ok)
        failed();
    H5Sclose(memory);
    H5Sclose(space);
    return ok;
}

bool h5_append(struct h5file *f, h5set_t set, uint64_t row, uint64_t nrows, const void *data)
{
    (void)f;
    hid_t type = H5Dget_type(set);
    bool is_f64 = H5Tget_class(type) == H5T_FLOAT;
    H5Tclose(type);
    return write_rows(set, type_of(is_f64 ? H5_KIND_F64 : H5_KIND_U64), row, nrows, data);
}

h5set_t h5_array(struct h5file *f, const char *path, const uint64_t *values, uint64_t n)
{
    hsize_t dims[1] = {n};
    hid_t set = create_dataset(f, path, H5T_NATIVE_UINT64, 1, dims, NULL, NULL);
    if (set >= 0 && n > 0 &&
        H5Dwrite(set, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0) {
        failed();
        return -1;
    }
    return set;
}

bool h5_names(struct h5file *f, const char *path, const char *const *names, uint64_t n)
{
    size_t width = 1;
    for (uint64_t i = 0; i < n; i++)
        width = u64_max(width, strlen(names[i]));
    char *packed = calloc(n + 1, width);
    if (packed == NULL)
        return failed();
    for (uint64_t i = 0; i < n; i++)
        memcpy(packed + i * width, names[i], strlen(names[i]));
    hid_t type = make_text_type(width);
    hsize_t dims[1] = {n};
    hid_t set = create_dataset(f, path, type, 1, dims, NULL, NULL);
    bool ok = set >= 0 && (n == 0 || H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, packed) >= 0 ||
                           failed());
    h5_set_close(set);
    H5Tclose(type);
    free(packed);
    return ok;
}

bool h5_text(struct h5file *f, const char *path, const char *text)
{
    hid_t type = make_text_type(strlen(text));
    hid_t set = create_dataset(f, path, type, 0, NULL, NULL, NULL);
    bool ok = set >= 0 &&
              (H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text) >= 0 || failed());
    h5_set_close(set);
    H5Tclose(type);
    return ok;
}

static hid_t make_mark_type(void)
{
    hid_t name = make_text_type(H5_MARK_NAME_BYTES);
    hid_t type = H5Tcreate(H5T_COMPOUND, sizeof(struct mark_row));
    H5Tinsert(type, "name", HOFFSET(struct mark_row, name), name);
    H5Tinsert(type, "epoch", HOFFSET(struct mark_row, epoch), H5T_NATIVE_UINT64);
    H5Tclose(name);
    return type;
}

h5set_t h5_marks(struct h5file *f, const char *path)
{
    static const hsize_t dims[1] = {0}, max[1] = {H5S_UNLIMITED}, chunk[1] = {64};
    hid_t type = make_mark_type();
    hid_t set = create_dataset(f, path, type, 1, dims, max, chunk);
    H5Tclose(type);
    return set;
}

bool h5_append_mark(struct h5file *f, h5set_t set, uint64_t row, const char *name, uint64_t epoch)
{
    (void)f;
    struct mark_row m = {.epoch = epoch};
    memcpy(m.name, name, u64_min(strlen(name), sizeof m.name - 1));
    hid_t type = make_mark_type();
    bool ok = write_rows(set, type, row, 1, &m);
    H5Tclose(type);
    return ok;
}

bool h5_make_scale(struct h5file *f, h5set_t set, const char *name)
{
    (void)f;
    return H5DSset_scale(set, name) >= 0 || failed();
}

/*
 * The two attributes that H5DSattach_scale keeps, by the HDF5 dimension scale specification. It writes
 * the scale's list of users anew for each of them.
 */
bool h5_use_scales(struct h5file *f, h5set_t set, unsigned rank, const h5set_t *scales, unsigned n)
{
    hobj_ref_t refs[H5_RANK_MAX];
    hvl_t lists[H5_RANK_MAX] = {{0, NULL}};
    hsize_t dims[1] = {rank};
    bool ok = true;
    for (unsigned i = 0; i < n && ok; i++) {
        ok = H5Rcreate(&refs[i], scales[i], ".", H5R_OBJECT, -1) >= 0;
        lists[i] = (hvl_t){.len = 1, .p = &refs[i]};
    }
    hid_t space = H5Screate_simple(1, dims, NULL);
    hid_t a = ok ? H5Acreate2(set, "DIMENSION_LIST", f->links, space, H5P_DEFAULT, H5P_DEFAULT) : -1;
    ok = (a >= 0 && H5Awrite(a, f->links, lists) >= 0) || failed();
    if (a >= 0)
        H5Aclose(a);
    H5Sclose(space);
    return ok;
}

/* As the library lays it out. */
struct scale_user {
    hobj_ref_t set;
    int dim;
};

bool h5_scale_users(struct h5file *f, h5set_t scale, const h5set_t *sets, uint64_t n, unsigned dim)
{
    struct scale_user *users = calloc(n + 1, sizeof *users);
    hsize_t dims[1] = {n};
    bool ok = users != NULL;
    (void)f;
    for (uint64_t i = 0; i < n && ok; i++) {
        users[i].dim = (int)dim;
        ok = H5Rcreate(&users[i].set, sets[i], ".", H5R_OBJECT, -1) >= 0;
    }
    hid_t type = H5Tcreate(H5T_COMPOUND, sizeof *users), space = H5Screate_simple(1, dims, NULL);
    H5Tinsert(type, "dataset", HOFFSET(struct scale_user, set), H5T_STD_REF_OBJ);
    H5Tinsert(type, "dimension", HOFFSET(struct scale_user, dim), H5T_NATIVE_INT);
    hid_t a = ok ? H5Acreate2(scale, "REFERENCE_LIST", type, space, H5P_DEFAULT, H5P_DEFAULT) : -1;
    ok = (a >= 0 && H5Awrite(a, type, users) >= 0) || failed();
    if (a >= 0)
        H5Aclose(a);
    H5Sclose(space);
    H5Tclose(type);
    free(users);
    return ok;
}

void h5_set_close(h5set_t set)
{
    if (set >= 0)
        H5Dclose(set);
}

/* ---- attributes ---------------------------------------------------------------------------- */

/* One that exists makes the first try fail: there are few of these. */
static bool write_attr(struct h5file *f, const char *path, const char *name, hid_t type, hid_t space,
                       const void *data)
{
    hid_t object = object_at(f, path);
    if (object < 0)
        return failed();
    hid_t a = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (a < 0 && H5Aexists(object, name) > 0) {
        H5Eclear2(H5E_DEFAULT);
        H5Adelete(object, name);
        a = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    }
    bool ok = (a >= 0 && H5Awrite(a, type, data) >= 0) || failed();
    if (a >= 0)
        H5Aclose(a);
    return ok;
}

bool h5_attr_u64(struct h5file *f, const char *path, const char *name, uint64_t value)
{
    return write_attr(f, path, name, H5T_NATIVE_UINT64, f->single, &value);
}

bool h5_attr_f64(struct h5file *f, const char *path, const char *name, double value)
{
    return write_attr(f, path, name, H5T_NATIVE_DOUBLE, f->single, &value);
}

bool h5_attr_u64s(struct h5file *f, const char *path, const char *name, const uint64_t *values,
                  uint64_t n)
{
    hsize_t dims[1] = {n};
    hid_t space = H5Screate_simple(1, dims, NULL);
    bool ok = write_attr(f, path, name, H5T_NATIVE_UINT64, space, values);
    H5Sclose(space);
    return ok;
}

bool h5_attr_bool(struct h5file *f, const char *path, const char *name, bool value)
{
    int8_t byte = value;
    return write_attr(f, path, name, f->boolean, f->single, &byte);
}

bool h5_attr_text(struct h5file *f, const char *path, const char *name, const char *text)
{
    size_t n = u64_min(strlen(text), ATTR_TEXT_BYTES_MAX);
    H5Tset_size(f->text, n > 0 ? n : 1);
    return write_attr(f, path, name, f->text, f->single, text);
}

/* ---- reading ------------------------------------------------------------------------------- */

struct walk {
    struct h5file *f;
    H5O_type_t wanted;
    bool (*each)(void *ctx, const char *path);
    void *ctx;
    const char *group;
};

static herr_t visit_object(hid_t id, const char *name, const H5O_info_t *info, void *ctx)
{
    (void)id;
    struct walk *w = ctx;
    char path[2 * PATH_BYTES];
    bool is_top = strcmp(name, ".") == 0;
    bool is_root = strcmp(w->group, "/") == 0;
    snprintf(path, sizeof path, "%s%s%s", is_root && !is_top ? "" : w->group, is_top ? "" : "/",
             is_top ? "" : name);
    if (info->type != w->wanted)
        return 0;
    return w->each(w->ctx, path) ? 0 : 1;
}

static bool walk_objects(struct walk *w)
{
    hid_t g = H5Gopen2(w->f->id, w->group, H5P_DEFAULT);
    if (g < 0)
        return failed();
    bool ok = H5Ovisit(g, H5_INDEX_NAME, H5_ITER_INC, visit_object, w) >= 0 || failed();
    H5Gclose(g);
    return ok;
}

bool h5_each_dataset(struct h5file *f, const char *group, bool (*each)(void *ctx, const char *path),
                     void *ctx)
{
    struct walk w = {f, H5O_TYPE_DATASET, each, ctx, group};
    return walk_objects(&w);
}

bool h5_each_group(struct h5file *f, const char *group, bool (*each)(void *ctx, const char *path),
                   void *ctx)
{
    struct walk w = {f, H5O_TYPE_GROUP, each, ctx, group};
    return walk_objects(&w);
}

static enum h5_kind kind_of(hid_t type)
{
    switch (H5Tget_class(type)) {
    case H5T_INTEGER:
        return H5_KIND_U64;
    case H5T_FLOAT:
        return H5_KIND_F64;
    case H5T_STRING:
        return H5Tis_variable_str(type) > 0 ? H5_KIND_OTHER : H5_KIND_TEXT;
    default:
        return H5_KIND_OTHER;
    }
}

/* The type in which values are read: plain numbers natively, the rest as stored. */
static hid_t memory_type_of(hid_t type)
{
    enum h5_kind kind = kind_of(type);
    return kind == H5_KIND_U64 || kind == H5_KIND_F64 ? H5Tcopy(type_of(kind)) : H5Tcopy(type);
}

static bool get_shape(hid_t set, struct h5_shape *out)
{
    hid_t type = H5Dget_type(set), space = H5Dget_space(set), memory = memory_type_of(type);
    hsize_t dims[H5S_MAX_RANK];
    int rank = H5Sget_simple_extent_dims(space, dims, NULL);
    bool ok = rank >= 0 && rank <= (int)H5_RANK_MAX;
    if (ok) {
        *out = (struct h5_shape){kind_of(type), (unsigned)rank, {0}, H5Tget_size(memory)};
        for (int i = 0; i < rank; i++)
            out->dims[i] = dims[i];
    } else {
        snprintf(problem_text, sizeof problem_text, "a dataset of %d dimensions", rank);
    }
    H5Tclose(memory);
    H5Tclose(type);
    H5Sclose(space);
    return ok;
}

bool h5_get_shape(struct h5file *f, const char *path, struct h5_shape *shape_out)
{
    hid_t set = H5Dopen2(f->id, path, H5P_DEFAULT);
    if (set < 0)
        return failed();
    bool ok = get_shape(set, shape_out);
    H5Dclose(set);
    return ok;
}

bool h5_read_rows(struct h5file *f, const char *path, uint64_t row, uint64_t nrows, void *data)
{
    struct h5_shape shape;
    hsize_t start[H5_RANK_MAX] = {row}, count[H5_RANK_MAX];
    hid_t set = H5Dopen2(f->id, path, H5P_DEFAULT);
    if (set < 0)
        return failed();
    bool ok = get_shape(set, &shape);
    hid_t type = H5Dget_type(set), memory_type = memory_type_of(type);
    hid_t space = H5Dget_space(set), memory = H5S_ALL;
    if (ok && shape.rank > 0) {
        for (unsigned i = 0; i < shape.rank; i++)
            count[i] = i == 0 ? nrows : shape.dims[i];
        memory = H5Screate_simple((int)shape.rank, count, NULL);
        ok = H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 || failed();
    }
    ok = ok && (H5Dread(set, memory_type, memory, memory == H5S_ALL ? H5S_ALL : space, H5P_DEFAULT,
                        data) >= 0 ||
                failed());
    if (memory != H5S_ALL)
        H5Sclose(memory);
    H5Sclose(space);
    H5Tclose(memory_type);
    H5Tclose(type);
    H5Dclose(set);
    return ok;
}

struct attr_walk {
    bool (*each)(void *ctx, const struct h5_attr *attr);
    void *ctx;
};

static void set_attr_values(struct h5_attr *out, hid_t type, size_t npoints, const void *data)
{
    out->kind = kind_of(type);
    out->n = out->kind == H5_KIND_OTHER ? npoints * H5Tget_size(type) : npoints;
    out->raw = data;
    if (out->kind == H5_KIND_U64)
        out->u64s = data;
    else if (out->kind == H5_KIND_F64)
        out->f64s = data;
    else if (out->kind == H5_KIND_TEXT)
        out->text = data;
}

static herr_t visit_attr(hid_t object, const char *name, const H5A_info_t *info, void *ctx)
{
    (void)info;
    struct attr_walk *w = ctx;
    hid_t a = H5Aopen(object, name, H5P_DEFAULT);
    if (a < 0)
        return -1;
    hid_t type = H5Aget_type(a), space = H5Aget_space(a), memory = memory_type_of(type);
    hssize_t npoints = H5Sget_simple_extent_npoints(space);
    bool is_link = strcmp(name, "REFERENCE_LIST") == 0 || strcmp(name, "DIMENSION_LIST") == 0;
    size_t bytes = npoints > 0 ? (size_t)npoints * H5Tget_size(memory) : 0;
    void *data = calloc(1, bytes + 1);
    herr_t result = -1;
    if (is_link || H5Tis_variable_str(type) > 0) {
        result = 0;
    } else if (data != NULL && H5Aread(a, memory, data) >= 0) {
        struct h5_attr attr = {.name = name};
        set_attr_values(&attr, type, (size_t)npoints, data);
        result = w->each(w->ctx, &attr) ? 0 : 1;
    }
    free(data);
    H5Tclose(memory);
    H5Tclose(type);
    H5Sclose(space);
    H5Aclose(a);
    return result;
}

bool h5_each_attr(struct h5file *f, const char *path,
                  bool (*each)(void *ctx, const struct h5_attr *attr), void *ctx)
{
    struct attr_walk w = {each, ctx};
    hsize_t at = 0;
    hid_t object = H5Oopen(f->id, path, H5P_DEFAULT);
    if (object < 0)
        return failed();
    bool ok = H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, &at, visit_attr, &w) >= 0 || failed();
    H5Oclose(object);
    return ok;
}

bool h5_get_u64(struct h5file *f, const char *path, const char *name, uint64_t *value_out)
{
    bool ok = false;
    if (!h5_exists(f, path) || H5Aexists_by_name(f->id, path, name, H5P_DEFAULT) <= 0)
        return false;
    hid_t a = H5Aopen_by_name(f->id, path, name, H5P_DEFAULT, H5P_DEFAULT);
    hid_t type = H5Aget_type(a), space = H5Aget_space(a);
    if (kind_of(type) == H5_KIND_U64 && H5Sget_simple_extent_npoints(space) == 1)
        ok = H5Aread(a, H5T_NATIVE_UINT64, value_out) >= 0;
    H5Sclose(space);
    H5Tclose(type);
    H5Aclose(a);
    return ok;
}

bool h5_get_text(struct h5file *f, const char *path, const char *name, char **text_out)
{
    if (!h5_exists(f, path))
        return false;
    if (name != NULL && H5Aexists_by_name(f->id, path, name, H5P_DEFAULT) <= 0)
        return false;
    hid_t id = name ? H5Aopen_by_name(f->id, path, name, H5P_DEFAULT, H5P_DEFAULT)
                    : H5Dopen2(f->id, path, H5P_DEFAULT);
    if (id < 0)
        return failed();
    hid_t type = name ? H5Aget_type(id) : H5Dget_type(id);
    char *text = NULL;
    bool ok = kind_of(type) == H5_KIND_TEXT && (text = calloc(1, H5Tget_size(type) + 1)) != NULL;
    if (ok)
        ok = (name ? H5Aread(id, type, text)
                   : H5Dread(id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text)) >= 0;
    H5Tclose(type);
    if (name)
        H5Aclose(id);
    else
        H5Dclose(id);
    if (!ok) {
        free(text);
        return false;
    }
    *text_out = text;
    return true;
}
