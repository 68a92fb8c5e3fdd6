/*
 * Marks the region of interest of a program that is going to be recorded:
 *
 *     #include "roi.h"
 *     build_graph();
 *     CONCERTO_ROI_BEGIN(1);
 *     search();
 *     CONCERTO_ROI_END(1);
 *
 * The value is free and comes back in the trace. The mark is a system call with a number that no
 * kernel uses, so that a marked program runs anywhere; natively it costs one failed call.
 */
#ifndef CORES_ROI_H
#define CORES_ROI_H

#include <unistd.h>

#define CONCERTO_ROI_SYSCALL 0x564d54

#define CONCERTO_ROI_BEGIN(value) ((void)syscall(CONCERTO_ROI_SYSCALL, 1L, (long)(value)))
#define CONCERTO_ROI_END(value) ((void)syscall(CONCERTO_ROI_SYSCALL, 2L, (long)(value)))

#endif
