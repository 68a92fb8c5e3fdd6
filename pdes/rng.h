/*
 * Counter-based random numbers: a draw is a pure function of (seed, kind of component, instance,
 * stream, number of the draw), so it does not depend on ranks, partitions or the order of calls.
 * The mixer is a chain of 64-bit multiply-xorshift finalisers; it passes the uses made of it here
 * (choices and seeds), it is not meant for cryptography.
 */
#ifndef PDES_RNG_H
#define PDES_RNG_H

#include "pdes/types.h"

static inline uint64_t rng_mix(uint64_t x)
{
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    x ^= x >> 32;
    return x;
}

static inline uint64_t rng_draw(uint64_t seed, uint64_t kind, uint64_t instance, uint64_t stream,
                                uint64_t draw)
{
    uint64_t x = rng_mix(seed + UINT64_C(0x9e3779b97f4a7c15));
    x = rng_mix(x + kind * UINT64_C(0xbf58476d1ce4e5b9));
    x = rng_mix(x + instance * UINT64_C(0x94d049bb133111eb));
    x = rng_mix(x + stream * UINT64_C(0x2545f4914f6cdd1d));
    return rng_mix(x + draw * UINT64_C(0x9e3779b97f4a7c15));
}

/* Uniform in [0, n), n > 0, by the high half of a 128-bit product. */
static inline uint64_t rng_below(uint64_t random, uint64_t n)
{
    __extension__ typedef unsigned __int128 u128;
    return (uint64_t)(((u128)random * n) >> 64);
}

#endif
