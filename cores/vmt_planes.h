/* What is done to whole columns of a VMT block, sixteen bytes at a time: byte planes become rows, values are checked. */
#ifndef CORES_VMT_PLANES_H
#define CORES_VMT_PLANES_H

#include "pdes/types.h"

#include <string.h>

typedef uint8_t u8x16 __attribute__((vector_size(16)));
#if defined __clang__ || __GNUC__ >= 12
#define SHUFFLE(v, w, ...) __builtin_shufflevector(v, w, __VA_ARGS__)
#else
#define SHUFFLE(v, w, ...) __builtin_shuffle(v, w, (u8x16){__VA_ARGS__})
#endif

#define INLINE static inline __attribute__((always_inline))

/*
 * Sixteen rows of `nplanes` bytes, at most 16, from as many planes `n` bytes apart; zeros behind. The square of
 * 16 x 16 bytes is turned over by four rounds of interleaving its upper with its lower half.
 */
INLINE void turn_over(const uint8_t *planes, uint32_t n, unsigned nplanes, u8x16 v[16])
{
    for (unsigned p = 0; p < 16; p++)
        if (p < nplanes)
            memcpy(&v[p], planes + (size_t)p * n, sizeof v[p]);
        else
            v[p] = (u8x16){0};
    for (unsigned round = 0; round < 4; round++) {
        u8x16 w[16];
        for (unsigned i = 0; i < 8; i++) {
            w[2 * i] = SHUFFLE(v[i], v[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            w[2 * i + 1] = SHUFFLE(v[i], v[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        }
        memcpy(v, w, sizeof w);
    }
}

/*
 * Rows of `nplanes` bytes, at most 16, from as many byte planes of n bytes each; of each row `bytes` are
 * stored, those behind the planes zeros. Reads up to 15 bytes behind the planes.
 */
INLINE void get_rows(const uint8_t *planes, uint32_t n, unsigned nplanes, void *rows, size_t stride, size_t bytes)
{
    u8x16 v[16];
    uint8_t *to = rows;
    uint32_t at = 0;
    for (; n - at >= 16; at += 16) {
        turn_over(planes + at, n, nplanes, v);
        for (unsigned i = 0; i < 16; i++)
            memcpy(to + i * stride, &v[i], bytes);
        to += 16 * stride;
    }
    if (at == n)
        return;
    turn_over(planes + at, n, nplanes, v);
    for (uint32_t i = 0; i < n - at; i++)
        memcpy(to + i * stride, (const char *)v + i * sizeof v[0], bytes);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "byte b of a field is its b-th byte in memory");

typedef uint16_t u16x8 __attribute__((vector_size(16)));
typedef int16_t s16x8 __attribute__((vector_size(16)));

/* Eight ids at a time, and with their upper bits turned over: then they compare as signed ones do. */
static inline s16x8 ids_over(const uint16_t *ids, s16x8 last)
{
    u16x8 v;
    memcpy(&v, ids, sizeof v);
    return (s16x8)(v ^ 0x8000) > last;
}

/* Every id of every block passes here. */
static inline bool ids_below(const uint16_t *ids, uint32_t n, uint32_t limit)
{
    if (n == 0 || limit > UINT16_MAX)
        return true;
    if (limit == 0)
        return false;
    const s16x8 last = (s16x8)((u16x8){0} + (uint16_t)((limit - 1) ^ 0x8000));
    s16x8 over = {0};
    uint32_t i = 0;
    bool ok = true;
    for (; i + 32 <= n; i += 32)
        over |= ids_over(ids + i, last) | ids_over(ids + i + 8, last) | ids_over(ids + i + 16, last) |
                ids_over(ids + i + 24, last);
    for (; i < n; i++)
        ok &= ids[i] < limit;
    uint64_t words[2];
    memcpy(words, &over, sizeof words);
    return ok && (words[0] | words[1]) == 0;
}

/* Payload bytes that the control column asks for; sixteen codes at a time, code 7 means 8 bytes. */
static inline uint64_t payload_bytes(const uint8_t *ctl, uint32_t n)
{
    enum { ROUNDS = 31 }; /* 31 x 8 fit into a byte */
    uint64_t sum = 0;
    uint32_t i = 0;
    while (i + 16 * ROUNDS <= n) {
        u8x16 part = {0};
        for (unsigned k = 0; k < ROUNDS; k++, i += 16) {
            u8x16 codes;
            memcpy(&codes, ctl + i, sizeof codes);
            codes &= 7;
            part += codes - (u8x16)(codes == 7);
        }
        for (unsigned k = 0; k < 16; k++)
            sum += part[k];
    }
    for (; i < n; i++)
        sum += (ctl[i] & 7u) + ((ctl[i] & 7u) == 7);
    return sum;
}

#endif
