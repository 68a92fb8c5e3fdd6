/*
 * The journal. The CRC is table-driven over eight bytes at a time, about as fast as the disk.
 */
#include "output/journal.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAGIC "CNCJNL1\n"
#define MAGIC_BYTES 8u
#define CRC32C_POLYNOMIAL UINT32_C(0x82F63B78) /* reflected */

struct header {
    uint32_t type, crc;
    uint64_t length, sequence;
};
_Static_assert(sizeof(struct header) == 24, "the journal's record header has no padding");

/* ---- checksum ------------------------------------------------------------------------------ */

static uint32_t crc_table[8][256];

static void fill_crc_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = c >> 1 ^ (c & 1 ? CRC32C_POLYNOMIAL : 0);
        crc_table[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++) {
            uint32_t c = crc_table[k - 1][i];
            crc_table[k][i] = c >> 8 ^ crc_table[0][c & 0xFF];
        }
}

uint32_t journal_crc(uint32_t crc, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    if (crc_table[0][1] == 0)
        fill_crc_table();
    crc = ~crc;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        word = le64toh(word) ^ crc;
        crc = 0;
        for (unsigned k = 0; k < 8; k++)
            crc ^= crc_table[7 - k][word >> (8 * k) & 0xFF];
    }
    for (; n > 0; n--, p++)
        crc = crc >> 8 ^ crc_table[0][(crc ^ *p) & 0xFF];
    return ~crc;
}

static uint32_t record_crc(const struct header *h, const void *payload, size_t length)
{
    uint32_t crc = journal_crc(0, &h->type, sizeof h->type);
    crc = journal_crc(crc, &h->length, sizeof h->length + sizeof h->sequence);
    return journal_crc(crc, payload, length);
}

/* ---- writing ------------------------------------------------------------------------------- */

/* Writes all of it; on failure cuts the file back to `start`. */
static bool write_all(int fd, struct iovec *iov, int niov, uint64_t start)
{
    while (niov > 0) {
        ssize_t n = writev(fd, iov, niov);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int reason = n == 0 ? ENOSPC : errno;
            if (ftruncate(fd, (off_t)start) != 0)
                reason = errno;
            errno = reason;
            return false;
        }
        size_t left = (size_t)n;
        while (niov > 0 && left >= iov->iov_len) {
            left -= iov->iov_len;
            iov++;
            niov--;
        }
        if (niov > 0) {
            iov->iov_base = (char *)iov->iov_base + left;
            iov->iov_len -= left;
        }
    }
    return true;
}

enum err journal_create(struct journal_writer *w, const char *path)
{
    *w = (struct journal_writer){-1, 0, 0, strdup(path)};
    if (w->path == NULL)
        return err_log(ERR_MEMORY, "no memory for the journal");
    w->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    struct iovec iov = {(void *)(uintptr_t)MAGIC, MAGIC_BYTES};
    if (w->fd < 0 || !write_all(w->fd, &iov, 1, 0)) {
        err_log(ERR_OUTPUT, "cannot write '%s': %s", path, strerror(errno));
        journal_close(w, false);
        return ERR_OUTPUT;
    }
    w->nbytes = MAGIC_BYTES;
    return ERR_OK;
}

enum err journal_append(struct journal_writer *w, enum journal_type type, const void *payload,
                        size_t length)
{
    if (length > JOURNAL_RECORD_BYTES_MAX)
        return err_log(ERR_OUTPUT, "'%s': a record of %zu bytes is too long", w->path, length);
    struct header h = {htole32((uint32_t)type), 0, htole64(length), htole64(w->nrecords)};
    h.crc = htole32(record_crc(&h, payload, length));
    struct iovec iov[] = {{&h, sizeof h}, {(void *)(uintptr_t)payload, length}};
    if (!write_all(w->fd, iov, length > 0 ? 2 : 1, w->nbytes))
        return err_log(ERR_OUTPUT, "cannot write '%s': %s; it holds %llu good records", w->path,
                       strerror(errno), (unsigned long long)w->nrecords);
    w->nrecords++;
    w->nbytes += sizeof h + length;
    return ERR_OK;
}

enum err journal_sync(struct journal_writer *w)
{
    if (fdatasync(w->fd) != 0 && errno != EINVAL)
        return err_log(ERR_OUTPUT, "cannot write '%s': %s", w->path, strerror(errno));
    return ERR_OK;
}

void journal_close(struct journal_writer *w, bool unlink_file)
{
    if (w->path != NULL && w->fd >= 0) {
        close(w->fd);
        if (unlink_file)
            unlink(w->path);
    }
    free(w->path);
    *w = (struct journal_writer){-1, 0, 0, NULL};
}

/* ---- reading ------------------------------------------------------------------------------- */

static bool read_all(int fd, void *buf, size_t n)
{
    char *p = buf;
    while (n > 0) {
        ssize_t got = read(fd, p, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        p += got;
        n -= (size_t)got;
    }
    return true;
}

enum err journal_open(struct journal_reader *r, const char *path)
{
    struct stat st;
    char magic[MAGIC_BYTES];
    *r = (struct journal_reader){.fd = open(path, O_RDONLY | O_CLOEXEC)};
    if (r->fd < 0 || fstat(r->fd, &st) != 0) {
        err_log(ERR_TRACE, "cannot read '%s': %s", path, strerror(errno));
        journal_reader_close(r);
        return ERR_TRACE;
    }
    if (!S_ISREG(st.st_mode) || !read_all(r->fd, magic, MAGIC_BYTES) ||
        memcmp(magic, MAGIC, MAGIC_BYTES) != 0) {
        err_log(ERR_TRACE, "'%s' is no journal of a run", path);
        journal_reader_close(r);
        return ERR_TRACE;
    }
    r->size = (uint64_t)st.st_size;
    r->offset = MAGIC_BYTES;
    return ERR_OK;
}

static bool reserve(struct journal_reader *r, size_t n)
{
    if (n <= r->capacity)
        return true;
    unsigned char *grown = realloc(r->payload, n);
    if (grown == NULL)
        return false;
    r->payload = grown;
    r->capacity = n;
    return true;
}

enum journal_next journal_read(struct journal_reader *r, enum journal_type *type_out,
                               const void **payload_out, size_t *length_out)
{
    struct header h;
    uint64_t left = r->size - r->offset;
    if (left == 0)
        return JOURNAL_LAST;
    if (left < sizeof h || !read_all(r->fd, &h, sizeof h))
        return JOURNAL_TORN;
    uint64_t length = le64toh(h.length);
    if (length > left - sizeof h || le64toh(h.sequence) != r->nrecords)
        return JOURNAL_TORN;
    if (!reserve(r, length + 1) || !read_all(r->fd, r->payload, length))
        return JOURNAL_TORN;
    if (record_crc(&h, r->payload, length) != le32toh(h.crc))
        return JOURNAL_TORN;
    r->offset += sizeof h + length;
    r->nrecords++;
    *type_out = (enum journal_type)le32toh(h.type);
    *payload_out = r->payload;
    *length_out = length;
    return JOURNAL_RECORD;
}

void journal_reader_close(struct journal_reader *r)
{
    if (r->fd >= 0)
        close(r->fd);
    free(r->payload);
    *r = (struct journal_reader){.fd = -1};
}
