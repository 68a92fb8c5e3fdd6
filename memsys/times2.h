/*
 * Two times at once, in SSE2, which every x86-64 processor has, or else in plain C with the same results.
 * Times here are such that their bits, as a floating-point number, are a normal one that is positive, or 0: these
 * are ordered like the numbers that the bits are. SSE2 compares two of the former, but none of the latter.
 */
#ifndef MEMSYS_TIMES2_H
#define MEMSYS_TIMES2_H

#include <stdint.h>

#define TIMES2_LEAST (UINT64_C(1) << 62) /* but for 0 */
#define TIMES2_MOST (UINT64_C(0x7fe) << 52)

#ifdef __SSE2__
#include <emmintrin.h>

typedef __m128d times2;

/* From two neighbours, the first of them at a multiple of 16 bytes; __m128d may be where other types are. */
static inline times2 times2_load(const uint64_t *x) { return *(const times2 *)(const void *)x; }
static inline void times2_store(uint64_t *x, times2 v) { *(times2 *)(void *)x = v; }
static inline times2 times2_of(const uint64_t *x, const uint64_t *y)
{
    return _mm_castsi128_pd(_mm_set_epi64x((long long)*y, (long long)*x));
}
static inline times2 times2_both(uint64_t x) { return _mm_castsi128_pd(_mm_set1_epi64x((long long)x)); }
static inline times2 times2_max(times2 v, times2 w) { return _mm_max_pd(v, w); }
static inline times2 times2_min(times2 v, times2 w) { return _mm_min_pd(v, w); }
static inline times2 times2_or(times2 v, times2 w) { return _mm_or_pd(v, w); }
static inline times2 times2_add(times2 v, times2 w)
{
    return _mm_castsi128_pd(_mm_add_epi64(_mm_castpd_si128(v), _mm_castpd_si128(w)));
}
/* The lesser of the two. */
static inline uint64_t times2_lesser(times2 v)
{
    return (uint64_t)_mm_cvtsi128_si64(_mm_castpd_si128(_mm_min_sd(v, _mm_unpackhi_pd(v, v))));
}
#else
typedef struct {
    uint64_t x, y;
} times2;

static inline times2 times2_load(const uint64_t *x) { return (times2){x[0], x[1]}; }
static inline void times2_store(uint64_t *x, times2 v)
{
    x[0] = v.x;
    x[1] = v.y;
}
static inline times2 times2_of(const uint64_t *x, const uint64_t *y) { return (times2){*x, *y}; }
static inline times2 times2_both(uint64_t x) { return (times2){x, x}; }
static inline times2 times2_max(times2 v, times2 w)
{
    return (times2){v.x > w.x ? v.x : w.x, v.y > w.y ? v.y : w.y};
}
static inline times2 times2_min(times2 v, times2 w)
{
    return (times2){v.x < w.x ? v.x : w.x, v.y < w.y ? v.y : w.y};
}
static inline times2 times2_or(times2 v, times2 w) { return (times2){v.x | w.x, v.y | w.y}; }
static inline times2 times2_add(times2 v, times2 w) { return (times2){v.x + w.x, v.y + w.y}; }
static inline uint64_t times2_lesser(times2 v) { return v.x < v.y ? v.x : v.y; }
#endif

#endif
