/*
 * Sixteen bytes at once, for the rows of a set-associative array: in SSE2, which every x86-64 processor
 * has, or else in plain C with the same results. Bit i of a mask stands for byte i. Rows need no alignment.
 */
#ifndef MEMSYS_BYTES16_H
#define MEMSYS_BYTES16_H

#include <stdint.h>

/* Bytes that are `x`. */
static inline uint32_t bytes16_equal_plain(const uint8_t *row, uint8_t x)
{
    uint32_t mask = 0;
    for (unsigned i = 0; i < 16; i++)
        mask |= (uint32_t)(row[i] == x) << i;
    return mask;
}

/* Bytes whose top bit is set. */
static inline uint32_t bytes16_tops_plain(const uint8_t *row)
{
    uint32_t mask = 0;
    for (unsigned i = 0; i < 16; i++)
        mask |= (uint32_t)(row[i] >> 7) << i;
    return mask;
}

/* Bytes below 128: those below `age` grow by one, and those that are `age` become 0. */
static inline void bytes16_renew_plain(uint8_t *row, uint8_t age)
{
    for (unsigned i = 0; i < 16; i++)
        row[i] = row[i] == age ? 0 : (uint8_t)(row[i] + (row[i] < age));
}

#ifdef __SSE2__
#include <emmintrin.h>

static inline __m128i bytes16_load(const uint8_t *row)
{
    return _mm_loadu_si128((const __m128i *)(const void *)row);
}

static inline uint32_t bytes16_equal(const uint8_t *row, uint8_t x)
{
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes16_load(row), _mm_set1_epi8((char)x)));
}

static inline uint32_t bytes16_tops(const uint8_t *row)
{
    return (uint32_t)_mm_movemask_epi8(bytes16_load(row));
}

static inline void bytes16_renew(uint8_t *row, uint8_t age)
{
    __m128i old = bytes16_load(row), ages = _mm_set1_epi8((char)age);
    __m128i grown = _mm_sub_epi8(old, _mm_cmpgt_epi8(ages, old)); /* what is true is -1 */
    _mm_storeu_si128((__m128i *)(void *)row, _mm_andnot_si128(_mm_cmpeq_epi8(old, ages), grown));
}
#else
#define bytes16_equal bytes16_equal_plain
#define bytes16_tops bytes16_tops_plain
#define bytes16_renew bytes16_renew_plain
#endif

#endif
