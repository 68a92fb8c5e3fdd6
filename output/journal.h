/*
 * The journal: an append-only file of checked records, from which everything recorded so far can
 * be rebuilt after a crash. One write(2) per record; a torn last record is found by its length and
 * CRC and cut off.
 *
 *     file    "CNCJNL1\n"  record...
 *     record  u32 type | u32 crc | u64 length | u64 sequence | payload[length]
 *
 * All numbers are little-endian; the CRC-32C covers type, length, sequence and payload.
 */
#ifndef OUTPUT_JOURNAL_H
#define OUTPUT_JOURNAL_H

#include "pdes/err.h"

#define JOURNAL_RECORD_BYTES_MAX (UINT64_C(1) << 32)

enum journal_type {
    JOURNAL_SCHEMA = 1, /* the first record: all that is known before the run */
    JOURNAL_EPOCH,
    JOURNAL_MARK,
    JOURNAL_END /* the last one: all that is known after the run */
};

struct journal_writer {
    int fd;
    uint64_t nrecords;
    uint64_t nbytes;
    char *path;
};

/* Creates (and truncates) the file. Errors are logged. */
enum err journal_create(struct journal_writer *w, const char *path);
/* A failure is logged and leaves a journal that reads up to the record before. */
enum err journal_append(struct journal_writer *w, enum journal_type type, const void *payload,
                        size_t length);
/* Forces what was appended to the disk. */
enum err journal_sync(struct journal_writer *w);
/* Closes, and removes the file if asked to. Also for a writer of zeros. */
void journal_close(struct journal_writer *w, bool unlink_file);

struct journal_reader {
    int fd;
    uint64_t nrecords; /* good ones so far */
    uint64_t offset;   /* end of the last good one */
    uint64_t size;
    unsigned char *payload;
    size_t capacity;
};

enum journal_next { JOURNAL_RECORD, JOURNAL_LAST, JOURNAL_TORN };

/* Logged ERR_TRACE when it is no journal. */
enum err journal_open(struct journal_reader *r, const char *path);
/*
 * The next record; the payload is good until the next call. JOURNAL_LAST: the file ends behind the
 * last record; JOURNAL_TORN: something unreadable follows it (`offset` to `size`).
 */
enum journal_next journal_read(struct journal_reader *r, enum journal_type *type_out,
                               const void **payload_out, size_t *length_out);
void journal_reader_close(struct journal_reader *r);

/* CRC-32C of `n` bytes, continued from `crc` (start with 0). */
uint32_t journal_crc(uint32_t crc, const void *bytes, size_t n);

#endif
