/*
 * Events that reach the kernel in K_CALL, and the Linux constants in their arguments.
 *
 * The numbers are those of the front ends' event types (cores/frontend.h, which this folder may not
 * include; the cores assert that both lists agree). Arguments as documented there.
 */
#ifndef MIMICOS_KERNEL_CALL_H
#define MIMICOS_KERNEL_CALL_H

#include "pdes/types.h"

/* clang-format off */
#define KCALL_LIST(X)                                        \
    /* name           number  arguments */                   \
    X(MMAP,           2,      "order addr len prot flags vma") \
    X(MUNMAP,         3,      "order addr len")              \
    X(MPROTECT,       4,      "order addr len prot")         \
    X(MREMAP,         5,      "order old_addr old_len new_addr new_len vma") \
    X(BRK,            6,      "order old_end new_end vma")   \
    X(MADVISE,        7,      "order addr len advice")       \
    X(MAP_MARK,       8,      "order")                       \
    X(FUTEX_WAIT,     9,      "uaddr wake")                  \
    X(FUTEX_WAKE,     10,     "uaddr wake nwoken")           \
    X(THREAD_CREATE,  11,     "child")                       \
    X(THREAD_EXIT,    12,     "wake")                        \
    X(SYSCALL,        13,     "nr ret read_addr read_len written_addr written_len") \
    X(FORK,           17,     "pid")                         \
    X(EXEC,           18,     "")
/* clang-format on */

enum kcall {
    KCALL_NONE = 0,
#define X(name, number, args) KCALL_##name = number,
    KCALL_LIST(X)
#undef X
    KCALL_END
};

/* Linux x86-64 values. */
enum { KPROT_READ = 1, KPROT_WRITE = 2, KPROT_EXEC = 4 };
enum {
    KMAP_SHARED = 0x1,
    KMAP_PRIVATE = 0x2,
    KMAP_FIXED = 0x10,
    KMAP_ANONYMOUS = 0x20,
    KMAP_GROWSDOWN = 0x100
};
enum {
    KADV_DONTNEED = 4,
    KADV_FREE = 8,
    KADV_REMOVE = 9,
    KADV_HUGEPAGE = 14,
    KADV_NOHUGEPAGE = 15
};

#endif
