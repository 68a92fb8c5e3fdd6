/*
 * Clocks: a period is rounded to one femtosecond once, at configuration; edges are its multiples.
 */
#ifndef MEMSYS_CLOCK_H
#define MEMSYS_CLOCK_H

#include "pdes/types.h"

/* Period of a clock of `hz` (> 0), to the nearest femtosecond. */
static inline simtime_t clock_period_fs(uint64_t hz) { return (FS_PER_S + hz / 2) / hz; }

/* What clock_edge multiplies by, instead of dividing, which takes the host longer. */
static inline uint64_t clock_reciprocal(simtime_t period_fs) { return UINT64_MAX / period_fs; }

/*
 * The first edge at or after `t`. The high half of the product is t / period_fs or one less, for any `t`; from that
 * edge on it is at most two more.
 */
static inline simtime_t clock_edge(simtime_t t, simtime_t period_fs, uint64_t reciprocal)
{
    __extension__ typedef unsigned __int128 u128;
    simtime_t edge = (uint64_t)((u128)t * reciprocal >> 64) * period_fs;
    edge += period_fs & -(uint64_t)(edge < t); /* no branches: where it lies cannot be foreseen */
    edge += period_fs & -(uint64_t)(edge < t);
    return edge;
}

#endif
