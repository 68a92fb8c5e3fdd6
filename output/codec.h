/*
 * The payloads of the journal: schema, epoch, mark and end, to bytes and back.
 *
 * Integers are LEB128, since most increases of an epoch are small or zero; doubles are their eight
 * bytes, texts a length and bytes. What is decoded lives in an arena and uses the structs of
 * recorder.h, so that a replayed run and a live one look the same to the writer.
 */
#ifndef OUTPUT_CODEC_H
#define OUTPUT_CODEC_H

#include "output/recorder.h"

/* A growing buffer. `failed`: the host had no memory, the bytes are useless. */
struct bytes {
    unsigned char *data;
    size_t length, capacity;
    bool failed;
};
void bytes_free(struct bytes *b);

/* Memory that is freed as a whole. */
struct arena {
    struct arena_block *blocks;
};
void *arena_take(struct arena *a, size_t n); /* zeroed; NULL: no memory */
void arena_free(struct arena *a);

/* Number of uint64_t of one epoch over all components, and of doubles of its host columns. */
size_t codec_nvalues(const struct recorder_info *info);
size_t codec_nhost(const struct recorder_info *info);

void codec_put_schema(struct bytes *b, const struct recorder_info *info);
void codec_put_epoch(struct bytes *b, simtime_t end_time, const uint64_t *values, size_t nvalues,
                      const double *host, size_t nhost);
void codec_put_mark(struct bytes *b, const char *name, uint64_t epoch);
void codec_put_end(struct bytes *b, const struct recorder_end *end);

/* Each returns false for bytes that no put function wrote, or without memory. */
bool codec_get_schema(struct arena *a, const void *payload, size_t length,
                       struct recorder_info *info_out);
bool codec_get_epoch(const void *payload, size_t length, simtime_t *end_time_out,
                      uint64_t *values_out, size_t nvalues, double *host_out, size_t nhost);
bool codec_get_mark(struct arena *a, const void *payload, size_t length, const char **name_out,
                     uint64_t *epoch_out);
bool codec_get_end(struct arena *a, const void *payload, size_t length,
                    struct recorder_end *end_out);

#endif
