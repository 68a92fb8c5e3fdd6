/* Compression and checksums of the trace file: the only door to LZ4 and xxHash. */
#ifndef CORES_VMT_CODEC_H
#define CORES_VMT_CODEC_H

#include "pdes/types.h"

/* Room that `raw_bytes` may need when compressed. */
size_t codec_bound(size_t raw_bytes);

/*
 * Compresses into dst (capacity at least codec_bound). Returns the stored size; when it equals
 * raw_bytes the bytes were copied as they are. `high` takes far longer and saves about a third.
 */
size_t codec_pack(void *dst, size_t capacity, const void *src, size_t raw_bytes, bool high);

/* False when the stored bytes do not decode to exactly raw_bytes. Safe on hostile input. */
bool codec_unpack(void *dst, size_t raw_bytes, const void *src, size_t stored_bytes);

uint64_t codec_hash(const void *bytes, size_t nbytes);

#endif
