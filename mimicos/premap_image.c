/* Image file of premapped memory; see premap_image.h. */
#include "mimicos/premap_image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERSION 1u
#define BYTE_ORDER_MARK UINT32_C(0x01020304)
#define CHUNK_BYTES (UINT64_C(1) << 20)
#define MAX_EXTENTS (UINT64_C(1) << 22)

static const char magic[8] = {'C', 'C', 'T', 'O', 'P', 'T', 'I', 'M'};

struct image_head {
    struct ptimage_head tables; /* first, so that a rank that only reads tables needs no more */
    uint32_t version, byte_order;
    uint64_t file_bytes, block_bytes, npages;
    uint64_t key_at, key_bytes, extents_at, nextents, sums_at, nsums;
    uint64_t sums_sum, head_sum; /* the head's with this field 0 */
};

/* Pages of the block that stand together in the file. */
struct extent {
    uint64_t at, bytes; /* in the block */
    uint64_t file_at;
};

/* Four lanes, so that the sum is not slower than the disk. */
static uint64_t sum_bytes(const void *data, uint64_t bytes)
{
    const unsigned char *p = data;
    uint64_t lane[4] = {1, 2, 3, 4}, w[4];
    for (; bytes >= sizeof w; p += sizeof w, bytes -= sizeof w) {
        memcpy(w, p, sizeof w);
        for (unsigned i = 0; i < 4; i++) {
            lane[i] = (lane[i] ^ w[i]) * UINT64_C(0x9e3779b97f4a7c15);
            lane[i] ^= lane[i] >> 32;
        }
    }
    for (; bytes > 0; p++, bytes--)
        lane[0] = (lane[0] ^ *p) * UINT64_C(0x100000001b3);
    uint64_t sum = 0;
    for (unsigned i = 0; i < 4; i++)
        sum = (sum ^ lane[i]) * UINT64_C(0x9e3779b97f4a7c15) + (sum >> 29);
    return sum;
}

static uint64_t page_up(uint64_t x) { return (x + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1); }

bool premap_image_exists(const char *path) { return access(path, F_OK) == 0; }

/* ---- writing --------------------------------------------------------------------------------- */

struct writer {
    const char *path;
    int fd;
    uint64_t at;
    uint64_t fill; /* bytes in `chunk` */
    unsigned char *chunk;
    uint64_t *sums, nsums, max_sums;
};

static enum err write_error(const struct writer *w)
{
    return err_log(ERR_OUTPUT, "premap image '%s' cannot be written: %s", w->path, strerror(errno));
}

static enum err put_at(struct writer *w, const void *data, uint64_t bytes, uint64_t at)
{
    const char *p = data;
    while (bytes > 0) {
        ssize_t n = pwrite(w->fd, p, bytes, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return write_error(w);
        p += n;
        at += (uint64_t)n;
        bytes -= (uint64_t)n;
    }
    return ERR_OK;
}

/* The next chunk, complete or the last one, goes to the file. */
static enum err flush_chunk(struct writer *w)
{
    if (w->fill == 0)
        return ERR_OK;
    w->sums[w->nsums++] = sum_bytes(w->chunk, w->fill);
    enum err e = put_at(w, w->chunk, w->fill, w->at - w->fill);
    w->fill = 0;
    return e;
}

static enum err put(struct writer *w, const void *data, uint64_t bytes)
{
    const char *p = data;
    while (bytes > 0) {
        uint64_t n = u64_min(bytes, CHUNK_BYTES - w->fill);
        memcpy(w->chunk + w->fill, p, n);
        w->fill += n;
        w->at += n;
        p += n;
        bytes -= n;
        if (w->fill == CHUNK_BYTES) {
            enum err e = flush_chunk(w);
            if (e != ERR_OK)
                return e;
        }
    }
    return ERR_OK;
}

static enum err pad_to(struct writer *w, uint64_t at)
{
    static const char zeros[PAGE_BYTES];
    SIM_ASSERT(at >= w->at && at - w->at <= sizeof zeros, "image: padding to %llu from %llu",
               (unsigned long long)at, (unsigned long long)w->at);
    return put(w, zeros, at - w->at);
}

static bool page_is_zero(const char *page)
{
    const uint64_t *w = (const uint64_t *)(const void *)page;
    uint64_t any = 0;
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++)
        any |= w[i];
    return any == 0;
}

/* Adds the pages of [at, end) that are not zero. */
static bool find_extents(const char *base, uint64_t at, uint64_t end, struct extent *e, uint64_t *n)
{
    bool open = false;
    for (; at < end; at += PAGE_BYTES) {
        if (page_is_zero(base + at)) {
            open = false;
            continue;
        }
        if (open) {
            e[*n - 1].bytes += PAGE_BYTES;
            continue;
        }
        if (*n == MAX_EXTENTS)
            return false;
        e[(*n)++] = (struct extent){.at = at, .bytes = PAGE_BYTES};
        open = true;
    }
    return true;
}

static uint64_t words_offset(const struct premap_block *b)
{
    return (uint64_t)((const char *)b->words - (const char *)b->base);
}

/* The words of all nodes come first, in one piece. */
static struct extent *list_extents(const struct premap_block *b, uint64_t *n_out)
{
    struct extent *e = calloc(MAX_EXTENTS, sizeof *e);
    uint64_t words_at = words_offset(b), n = 0, all = b->bytes & ~(PAGE_BYTES - 1);
    if (e == NULL)
        return NULL;
    e[n++] = (struct extent){.at = words_at, .bytes = b->nnodes * PTIMAGE_NODE_BYTES};
    if (!find_extents(b->base, 0, words_at, e, &n) ||
        !find_extents(b->base, words_at + e[0].bytes, all, e, &n)) {
        free(e);
        return NULL;
    }
    *n_out = n;
    return e;
}

static enum err write_body(struct writer *w, const char *key, const struct premap_block *b,
                           struct image_head *h, struct extent *ext)
{
    uint64_t data = page_up(h->extents_at + h->nextents * sizeof *ext + b->nnodes * sizeof *b->pfns);
    h->tables.pfns_at = h->extents_at + h->nextents * sizeof *ext;
    h->tables.words_at = data;
    for (uint64_t i = 0; i < h->nextents; i++) {
        ext[i].file_at = data;
        data += ext[i].bytes;
    }
    h->sums_at = data;
    w->at = PAGE_BYTES;
    enum err e = put(w, key, h->key_bytes);
    if (e == ERR_OK)
        e = pad_to(w, h->extents_at);
    if (e == ERR_OK)
        e = put(w, ext, h->nextents * sizeof *ext);
    if (e == ERR_OK)
        e = put(w, b->pfns, b->nnodes * sizeof *b->pfns);
    if (e == ERR_OK)
        e = pad_to(w, h->tables.words_at);
    for (uint64_t i = 0; e == ERR_OK && i < h->nextents; i++)
        e = put(w, (const char *)b->base + ext[i].at, ext[i].bytes);
    return e == ERR_OK ? flush_chunk(w) : e;
}

static enum err write_file(struct writer *w, const char *key, const struct premap_block *b,
                           struct extent *ext, uint64_t nextents)
{
    struct image_head h = {.tables = {.nonce = ptimage_nonce(), .nnodes = b->nnodes},
                           .version = VERSION, .byte_order = BYTE_ORDER_MARK,
                           .block_bytes = b->bytes, .npages = b->npages,
                           .key_at = PAGE_BYTES, .key_bytes = strlen(key) + 1,
                           .nextents = nextents};
    memcpy(h.tables.magic, magic, sizeof magic);
    h.extents_at = (h.key_at + h.key_bytes + 7) & ~UINT64_C(7);
    enum err e = write_body(w, key, b, &h, ext);
    h.nsums = w->nsums;
    h.file_bytes = h.sums_at + h.nsums * sizeof *w->sums;
    h.sums_sum = sum_bytes(w->sums, h.nsums * sizeof *w->sums);
    h.head_sum = sum_bytes(&h, sizeof h);
    if (e == ERR_OK)
        e = put_at(w, w->sums, h.nsums * sizeof *w->sums, h.sums_at);
    return e == ERR_OK ? put_at(w, &h, sizeof h, 0) : e;
}

enum err premap_image_save(const char *path, const char *key, const struct premap_block *b)
{
    char temporary[4096];
    uint64_t nextents = 0;
    unsigned char *chunk = malloc(CHUNK_BYTES);
    struct writer w = {.path = path, .fd = -1, .chunk = chunk};
    struct extent *ext = list_extents(b, &nextents);
    w.max_sums = b->bytes / CHUNK_BYTES + 64 + MAX_EXTENTS * sizeof *ext / CHUNK_BYTES;
    uint64_t *sums = w.sums = calloc(w.max_sums, sizeof *w.sums);
    enum err e = ERR_OK;
    snprintf(temporary, sizeof temporary, "%s.%ld.tmp", path, (long)getpid());
    if (chunk == NULL || ext == NULL || sums == NULL)
        e = err_log(ERR_MEMORY, "premap image: no host memory");
    else if ((w.fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) < 0)
        e = write_error(&w);
    else
        e = write_file(&w, key, b, ext, nextents);
    if (w.fd >= 0 && close(w.fd) != 0 && e == ERR_OK)
        e = write_error(&w);
    if (w.fd >= 0 && e == ERR_OK && rename(temporary, path) != 0)
        e = write_error(&w);
    if (w.fd >= 0 && e != ERR_OK)
        unlink(temporary);
    free(chunk);
    free(sums);
    free(ext);
    return e;
}

/* ---- reading --------------------------------------------------------------------------------- */

struct reader {
    const char *path;
    int fd;
    uint64_t file_bytes;
    struct image_head h;
};

static enum err damaged(const struct reader *r, uint64_t from, uint64_t to)
{
    return err_log(ERR_TRACE, "premap image '%s' is damaged between byte %llu and %llu; delete it, and the "
                   "next run makes it again", r->path, (unsigned long long)from, (unsigned long long)to);
}

static enum err get(const struct reader *r, void *data, uint64_t bytes, uint64_t at)
{
    char *p = data;
    while (bytes > 0) {
        ssize_t n = pread(r->fd, p, bytes, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_log(ERR_TRACE, "premap image '%s' cannot be read at byte %llu: %s", r->path,
                           (unsigned long long)at, strerror(errno));
        if (n == 0)
            return err_log(ERR_TRACE, "premap image '%s' is truncated: it ends at byte %llu", r->path,
                           (unsigned long long)at);
        p += n;
        at += (uint64_t)n;
        bytes -= (uint64_t)n;
    }
    return ERR_OK;
}

static enum err read_head(struct reader *r)
{
    struct image_head *h = &r->h;
    enum err e = get(r, h, sizeof *h, 0);
    if (e != ERR_OK)
        return e;
    if (memcmp(h->tables.magic, magic, sizeof magic) != 0)
        return err_log(ERR_TRACE, "'%s' is no premap image: it begins with other bytes", r->path);
    if (h->byte_order != BYTE_ORDER_MARK)
        return err_log(ERR_TRACE, "premap image '%s' was written by a host of another byte order", r->path);
    if (h->version != VERSION)
        return err_log(ERR_TRACE, "premap image '%s' is of version %u, this program reads version %u", r->path,
                       h->version, VERSION);
    struct image_head copy = *h;
    copy.head_sum = 0;
    if (sum_bytes(&copy, sizeof copy) != h->head_sum)
        return damaged(r, 0, sizeof *h);
    uint64_t nchunks = (u64_max(h->sums_at, PAGE_BYTES) - PAGE_BYTES + CHUNK_BYTES - 1) / CHUNK_BYTES;
    if (h->nsums != nchunks || h->file_bytes != h->sums_at + nchunks * sizeof(uint64_t) ||
        h->key_at + h->key_bytes > h->sums_at || h->extents_at + h->nextents * sizeof(struct extent) > h->sums_at)
        return damaged(r, 0, sizeof *h);
    if (r->file_bytes != h->file_bytes)
        return err_log(ERR_TRACE, "premap image '%s' is truncated: it ends at byte %llu of %llu", r->path,
                       (unsigned long long)r->file_bytes, (unsigned long long)h->file_bytes);
    return ERR_OK;
}

static enum err check_sums(const struct reader *r)
{
    const struct image_head *h = &r->h;
    uint64_t *sums = calloc(h->nsums + 1, sizeof *sums);
    unsigned char *chunk = malloc(CHUNK_BYTES);
    enum err e = sums == NULL || chunk == NULL ? err_log(ERR_MEMORY, "premap image: no host memory")
                                               : get(r, sums, h->nsums * sizeof *sums, h->sums_at);
    if (e == ERR_OK && sum_bytes(sums, h->nsums * sizeof *sums) != h->sums_sum)
        e = damaged(r, h->sums_at, h->file_bytes);
    for (uint64_t i = 0; e == ERR_OK && i < h->nsums; i++) {
        uint64_t at = PAGE_BYTES + i * CHUNK_BYTES, n = u64_min(CHUNK_BYTES, h->sums_at - at);
        e = get(r, chunk, n, at);
        if (e == ERR_OK && sum_bytes(chunk, n) != sums[i])
            e = damaged(r, at, at + n);
    }
    free(sums);
    free(chunk);
    return e;
}

static size_t line_length(const char *text) { return strcspn(text, "\n"); }

static enum err compare_keys(const struct reader *r, const char *file, const char *run)
{
    while (*file != '\0' || *run != '\0') {
        size_t nf = line_length(file), nr = line_length(run);
        if (nf != nr || memcmp(file, run, nf) != 0)
            return err_log(ERR_USAGE,
                           "premap image '%s' does not fit this run: it was made with '%.*s', this run has "
                           "'%.*s'; delete the file or name another one",
                           r->path, (int)nf, file, (int)nr, run);
        file += nf + (file[nf] == '\n');
        run += nr + (run[nr] == '\n');
    }
    return ERR_OK;
}

static enum err check_key(const struct reader *r, const char *key)
{
    char *text = calloc(1, r->h.key_bytes + 1);
    if (text == NULL)
        return err_log(ERR_MEMORY, "premap image: no host memory");
    enum err e = get(r, text, r->h.key_bytes, r->h.key_at);
    if (e == ERR_OK)
        e = compare_keys(r, text, key);
    free(text);
    return e;
}

static enum err map_extents(const struct reader *r, const struct premap_block *b)
{
    uint64_t n = r->h.nextents;
    struct extent *ext = calloc(n + 1, sizeof *ext);
    enum err e = ext == NULL ? err_log(ERR_MEMORY, "premap image: no host memory")
                             : get(r, ext, n * sizeof *ext, r->h.extents_at);
    for (uint64_t i = 0; e == ERR_OK && i < n; i++) {
        if (ext[i].at > b->bytes || ext[i].bytes > b->bytes - ext[i].at ||
            ((ext[i].at | ext[i].bytes | ext[i].file_at) & (PAGE_BYTES - 1)) != 0)
            e = damaged(r, r->h.extents_at + i * sizeof *ext, r->h.extents_at + (i + 1) * sizeof *ext);
        else if (ext[i].bytes != 0 &&
                 mmap((char *)b->base + ext[i].at, ext[i].bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, r->fd, (off_t)ext[i].file_at) == MAP_FAILED)
            e = err_log(ERR_MEMORY, "premap image '%s' cannot be mapped: %s", r->path, strerror(errno));
    }
    free(ext);
    return e;
}

enum err premap_image_load(const char *path, const char *key, struct premap_block *b, struct ptimage *p)
{
    struct reader r = {.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC)};
    struct stat st;
    *p = PTIMAGE_NONE;
    if (r.fd < 0 || fstat(r.fd, &st) != 0) {
        enum err e = err_log(ERR_TRACE, "premap image '%s' cannot be opened: %s", path, strerror(errno));
        if (r.fd >= 0)
            close(r.fd);
        return e;
    }
    r.file_bytes = (uint64_t)st.st_size;
    enum err e = read_head(&r);
    if (e == ERR_OK)
        e = check_sums(&r);
    if (e == ERR_OK)
        e = check_key(&r, key);
    if (e == ERR_OK && r.h.block_bytes != b->bytes)
        e = err_log(ERR_USAGE, "premap image '%s' holds %llu bytes of state, this run has %llu", path,
                    (unsigned long long)r.h.block_bytes, (unsigned long long)b->bytes);
    if (e == ERR_OK)
        e = map_extents(&r, b);
    if (e != ERR_OK) {
        close(r.fd);
        return e;
    }
    p->fd = r.fd;
    p->head = r.h.tables;
    b->npages = r.h.npages;
    return ptimage_map(p);
}
