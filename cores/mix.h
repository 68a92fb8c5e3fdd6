/*
 * A mix: the threads of several front ends as the threads of one, program after program.
 *
 * Blocks pass through as they are: the numbers in events (threads, wakes, map orders) are those of
 * the program, and the kernel counts them from its first thread and within its address space. A
 * program's blocks can be loaded again from the first one on, so that it can be started anew.
 */
#ifndef CORES_MIX_H
#define CORES_MIX_H

#include "cores/frontend.h"

struct mix_part {
    struct frontend *fe; /* of one program */
    const char *name;    /* copied; a part of a name that came before gets a number: "gups#2" */
};

/*
 * On success the mix owns the parts' front ends and closes them with itself; on failure they stay
 * the caller's. `nparts` is 1 to MAX_PROGRAMS.
 */
enum err mix_create(const struct mix_part *parts, uint32_t nparts, struct frontend **out);

#endif
