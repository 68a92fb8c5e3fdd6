/*
 * System calls of x86-64 Linux whose user buffers the kernel reads or writes, one row each:
 *     X(number, name, read pointer, read length, write pointer, write length)
 * Pointers are argument numbers, 0 = none. Lengths: RET what the call returned, ARG(n) the value of
 * an argument, FIX(n) bytes, MUL(n) n bytes times the return value, IOV and MSG the largest buffer
 * of an iovec array or of a message, STR a path. Calls without a row have no buffers recorded.
 */
#ifndef CORES_RECORDER_CALLS_H
#define CORES_RECORDER_CALLS_H

/* clang-format off */
#define RECORDER_CALLS(X)                                       \
    X(0,   "read",              0, NONE,    2, RET)             \
    X(1,   "write",             2, RET,     0, NONE)            \
    X(2,   "open",              1, STR,     0, NONE)            \
    X(3,   "close",             0, NONE,    0, NONE)            \
    X(4,   "stat",              1, STR,     2, FIX(144))        \
    X(5,   "fstat",             0, NONE,    2, FIX(144))        \
    X(6,   "lstat",             1, STR,     2, FIX(144))        \
    X(7,   "poll",              1, FIX(8),  1, MUL(8))          \
    X(8,   "lseek",             0, NONE,    0, NONE)            \
    X(9,   "mmap",              0, NONE,    0, NONE)            \
    X(10,  "mprotect",          0, NONE,    0, NONE)            \
    X(11,  "munmap",            0, NONE,    0, NONE)            \
    X(12,  "brk",               0, NONE,    0, NONE)            \
    X(13,  "rt_sigaction",      2, FIX(32), 3, FIX(32))         \
    X(14,  "rt_sigprocmask",    2, FIX(8),  3, FIX(8))          \
    X(16,  "ioctl",             0, NONE,    0, NONE)            \
    X(17,  "pread64",           0, NONE,    2, RET)             \
    X(18,  "pwrite64",          2, RET,     0, NONE)            \
    X(19,  "readv",             0, NONE,    2, IOV)             \
    X(20,  "writev",            2, IOV,     0, NONE)            \
    X(21,  "access",            1, STR,     0, NONE)            \
    X(24,  "sched_yield",       0, NONE,    0, NONE)            \
    X(25,  "mremap",            0, NONE,    0, NONE)            \
    X(28,  "madvise",           0, NONE,    0, NONE)            \
    X(35,  "nanosleep",         1, FIX(16), 0, NONE)            \
    X(39,  "getpid",            0, NONE,    0, NONE)            \
    X(41,  "socket",            0, NONE,    0, NONE)            \
    X(42,  "connect",           2, ARG(3),  0, NONE)            \
    X(44,  "sendto",            2, RET,     0, NONE)            \
    X(45,  "recvfrom",          0, NONE,    2, RET)             \
    X(46,  "sendmsg",           2, MSG,     0, NONE)            \
    X(47,  "recvmsg",           0, NONE,    2, MSG)             \
    X(49,  "bind",              2, ARG(3),  0, NONE)            \
    X(56,  "clone",             0, NONE,    0, NONE)            \
    X(57,  "fork",              0, NONE,    0, NONE)            \
    X(58,  "vfork",             0, NONE,    0, NONE)            \
    X(59,  "execve",            0, NONE,    0, NONE)            \
    X(60,  "exit",              0, NONE,    0, NONE)            \
    X(63,  "uname",             0, NONE,    1, FIX(390))        \
    X(72,  "fcntl",             0, NONE,    0, NONE)            \
    X(74,  "fsync",             0, NONE,    0, NONE)            \
    X(75,  "fdatasync",         0, NONE,    0, NONE)            \
    X(78,  "getdents",          0, NONE,    2, RET)             \
    X(79,  "getcwd",            0, NONE,    1, RET)             \
    X(87,  "unlink",            1, STR,     0, NONE)            \
    X(89,  "readlink",          1, STR,     2, RET)             \
    X(96,  "gettimeofday",      0, NONE,    1, FIX(16))         \
    X(97,  "getrlimit",         0, NONE,    2, FIX(16))         \
    X(98,  "getrusage",         0, NONE,    2, FIX(144))        \
    X(99,  "sysinfo",           0, NONE,    1, FIX(112))        \
    X(158, "arch_prctl",        0, NONE,    0, NONE)            \
    X(202, "futex",             0, NONE,    0, NONE)            \
    X(204, "sched_getaffinity", 0, NONE,    3, RET)             \
    X(217, "getdents64",        0, NONE,    2, RET)             \
    X(218, "set_tid_address",   0, NONE,    0, NONE)            \
    X(228, "clock_gettime",     0, NONE,    2, FIX(16))         \
    X(230, "clock_nanosleep",   3, FIX(16), 0, NONE)            \
    X(231, "exit_group",        0, NONE,    0, NONE)            \
    X(232, "epoll_wait",        0, NONE,    2, MUL(12))         \
    X(233, "epoll_ctl",         4, FIX(12), 0, NONE)            \
    X(257, "openat",            2, STR,     0, NONE)            \
    X(262, "newfstatat",        2, STR,     3, FIX(144))        \
    X(267, "readlinkat",        2, STR,     3, RET)             \
    X(269, "faccessat",         2, STR,     0, NONE)            \
    X(273, "set_robust_list",   0, NONE,    0, NONE)            \
    X(281, "epoll_pwait",       0, NONE,    2, MUL(12))         \
    X(288, "accept4",           0, NONE,    0, NONE)            \
    X(295, "preadv",            0, NONE,    2, IOV)             \
    X(296, "pwritev",           2, IOV,     0, NONE)            \
    X(302, "prlimit64",         3, FIX(16), 4, FIX(16))         \
    X(318, "getrandom",         0, NONE,    1, RET)             \
    X(332, "statx",             2, STR,     5, FIX(256))        \
    X(334, "rseq",              0, NONE,    0, NONE)            \
    X(435, "clone3",            0, NONE,    0, NONE)
/* clang-format on */

#endif
