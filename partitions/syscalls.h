/* Names of Linux system calls on x86-64, for reports. */
#ifndef PARTITIONS_SYSCALLS_H
#define PARTITIONS_SYSCALLS_H

#include "cores/core.h"

#define SYSCALL_NUMBERS CORE_SYSCALLS

/* In `buf` where the number has no name. SYSCALL_NUMBERS: any above. */
const char *syscall_name(uint64_t number, char *buf, size_t size);

#endif
