/*
 * A front end in front of another one: lays the address space of a recorded trace out as Linux
 * would (mimicos/layout.h) and rewrites every address of the trace accordingly.
 *
 * Accesses, code pages, program counters, branch targets, map calls, futex words and buffers of
 * system calls move with the area that they belong to at that point of their thread; offsets within
 * areas, and so lines, page offsets and the number of pages, stay. Which map events a thread knows
 * of follows from its own ones and its marks.
 *
 * The placement is computed when the trace is opened, from all its map events; where a thread
 * stands at the start of each block is noted then, so that blocks can still be loaded in any order.
 */
#ifndef CORES_RELOCATE_H
#define CORES_RELOCATE_H

#include "cores/frontend.h"
#include "mimicos/layout.h"

struct relocate_params {
    struct layout_params layout;
    uint64_t stack_limit_bytes;
    uint64_t instance; /* of the process in a run of several, for its random numbers */
};

/*
 * Wraps *fe when `p` asks for it and *fe has map events of recorded addresses (ops->map_events);
 * else leaves it as it is. On success the wrapper owns the old front end; on an error (logged) the
 * caller still does.
 */
enum err relocate_wrap(struct frontend **fe, const struct relocate_params *p);

/* Bytes that a thread takes of it now; 0 of a front end that is not wrapped. */
size_t relocate_thread_bytes(const struct frontend *fe, uint32_t thread);

#endif
