/*
 * Clocks: a period is rounded to one femtosecond once, at configuration; edges are its multiples.
 */
#ifndef MEMSYS_CLOCK_H
#define MEMSYS_CLOCK_H

#include "pdes/types.h"

/* Period of a clock of `hz` (> 0), to the nearest femtosecond. */
static inline simtime_t clock_period_fs(uint64_t hz) { return (FS_PER_S + hz / 2) / hz; }

/* The first edge at or after `t`. */
static inline simtime_t clock_edge(simtime_t t, simtime_t period_fs)
{
    simtime_t past = t % period_fs;
    return past == 0 ? t : t + (period_fs - past);
}

#endif
