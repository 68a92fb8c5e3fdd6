/* See vmt_codec.h. */
#include "cores/vmt_codec.h"

#include <limits.h>
#include <lz4.h>
#include <lz4hc.h>
#include <string.h>
#include <xxhash.h>

size_t codec_bound(size_t raw_bytes)
{
    return raw_bytes > (size_t)LZ4_MAX_INPUT_SIZE ? 0
                                                  : (size_t)LZ4_compressBound((int)raw_bytes);
}

size_t codec_pack(void *dst, size_t capacity, const void *src, size_t raw_bytes, bool high)
{
    if (raw_bytes == 0)
        return 0;
    int cap = capacity > INT_MAX ? INT_MAX : (int)capacity;
    int n = high ? LZ4_compress_HC(src, dst, (int)raw_bytes, cap, LZ4HC_CLEVEL_OPT_MIN)
                 : LZ4_compress_default(src, dst, (int)raw_bytes, cap);
    if (n > 0 && (size_t)n < raw_bytes)
        return (size_t)n;
    memcpy(dst, src, raw_bytes);
    return raw_bytes;
}

bool codec_unpack(void *dst, size_t raw_bytes, const void *src, size_t stored_bytes)
{
    if (stored_bytes == raw_bytes) {
        if (raw_bytes != 0)
            memcpy(dst, src, raw_bytes);
        return true;
    }
    if (stored_bytes > INT_MAX || raw_bytes > INT_MAX)
        return false;
    return LZ4_decompress_safe(src, dst, (int)stored_bytes, (int)raw_bytes) == (int)raw_bytes;
}

uint64_t codec_hash(const void *bytes, size_t nbytes) { return XXH3_64bits(bytes, nbytes); }
