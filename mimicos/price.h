/*
 * What a handler costs: the seam between what the kernel does and how long that takes.
 *
 * A handler is plain C that changes the kernel's state and tells a `krun` what it does through
 * price_*; the fault model in the run turns that into segments that the faulting core replays.
 * Model `table` has one cost per operation (KOP_LIST); `constant` charges every run the same. A
 * model that records the executed code instead needs only other hooks.
 *
 * Life of a run: krun_begin; the handler; krun_end; the kernel sends the segments, makes the writes
 * visible `commit_fs` after the start, and reuses the struct.
 *
 * What os.premap builds is not priced: in mode UNTIMED a run has writes but no segments and takes no
 * time; in mode SILENT (before time 0, when the whole table is handed over at once) nothing is kept.
 */
#ifndef MIMICOS_PRICE_H
#define MIMICOS_PRICE_H

#include "mimicos/kernel_msg.h"
#include "pdes/types.h"

/*
 * One cost per operation: X(name, key, default, text). Defaults are for a 3 GHz server core with
 * the usual mitigations. Where two sources disagree the text says what was taken. Published totals
 * that they meet: anonymous 4 KiB fault 0.5 to 1 us, 2 MiB fault 60 to 230 us (almost all clearing),
 * page-cache hit 0.3 to 1 us, mprotect of one page 1.9 us, MADV_DONTNEED of one page 0.85 us,
 * shootdown 1.5 us + 0.3 us per further core.
 */
/* clang-format off */
#define KOP_LIST(X)                                                                                \
    X(ENTRY, "entry", "100ns", "exception entry: 100 to 300 cycles with mitigations; 300 taken")   \
    X(EXIT, "exit", "60ns", "return from exception: restore, mitigations, iret")                   \
    X(VMA_LOOKUP, "vma_lookup", "40ns", "area lookup: maple tree, 2 to 4 cache misses")            \
    X(ALLOC_ORDER0, "alloc_order0", "40ns", "one frame from the per-CPU list: 20 to 50 ns")        \
    X(ALLOC_BUDDY, "alloc_buddy", "150ns", "a block from the buddy lists: 100 to 300 ns")          \
    X(ALLOC_SPLIT, "alloc_split", "15ns", "one halving of a block on the way")                     \
    X(FREE_FRAME, "free_frame", "20ns", "one frame or block back to the allocator")                \
    X(ACCOUNT, "account", "100ns", "memory cgroup charge, reverse map and LRU of one page")        \
    X(RESERVE, "reserve", "60ns", "looking up and filling a reservation of frames: a hash probe, a bitmap (not published; as vm_reserv is written)") \
    X(PROMOTE, "promote", "1us", "making 512 leaves of 4 KiB one of 2 MiB, besides the entry: checking them") \
    X(HUGE_PREPARE, "huge_prepare", "1us", "a 2 MiB page besides clearing: compound head, deposited table") \
    X(ZERO_KIB, "zero_per_kib", "50ns", "clearing 1 KiB: 20 GB/s (published: 10 to 40)")           \
    X(COPY_KIB, "copy_per_kib", "80ns", "copying 1 KiB: 12 GB/s")                                  \
    X(PTE_WRITE, "pte_write", "10ns", "one page-table entry written, under its lock")              \
    X(TABLE_ALLOC, "table_alloc", "60ns", "page-table node besides frame and clearing")            \
    X(TABLE_FREE, "table_free", "60ns", "page-table node given back")                              \
    X(FILE_MAP, "file_map", "250ns", "page-cache hit: index lookup, reference, map")               \
    X(FILE_AROUND, "file_around", "25ns", "each further page that fault-around maps")              \
    X(STACK_GROW, "stack_grow", "150ns", "stack area extended downwards")                          \
    X(SYSCALL_ENTRY, "syscall_entry", "70ns", "system call entry with mitigations")                \
    X(SYSCALL_EXIT, "syscall_exit", "50ns", "system call exit with mitigations")                   \
    X(SYSCALL, "syscall", "300ns", "body of a call that is not modelled itself")                   \
    X(MMAP, "mmap", "700ns", "mmap besides what it replaces")                                      \
    X(MUNMAP, "munmap", "500ns", "munmap besides pages")                                           \
    X(MUNMAP_PAGE, "munmap_page", "30ns", "each page unmapped: reverse map, batch")                \
    X(MPROTECT, "mprotect", "1.4us", "mprotect besides pages")                                     \
    X(MPROTECT_PAGE, "mprotect_page", "10ns", "each page whose rights change")                     \
    X(MREMAP, "mremap", "1.5us", "mremap besides pages")                                           \
    X(MREMAP_PAGE, "mremap_page", "30ns", "each page moved")                                       \
    X(BRK, "brk", "500ns", "brk besides pages")                                                    \
    X(MADVISE, "madvise", "350ns", "madvise besides pages")                                        \
    X(FUTEX_WAIT, "futex_wait", "400ns", "futex wait besides the switch")                          \
    X(FUTEX_WAKE, "futex_wake", "300ns", "futex wake besides threads woken")                       \
    X(WAKE_THREAD, "wake_thread", "400ns", "each thread made runnable")                            \
    X(THREAD_CREATE, "thread_create", "12us", "clone of a thread: 10 to 15 us")                    \
    X(THREAD_EXIT, "thread_exit", "5us", "end of a thread")                                        \
    X(PROCESS_EXIT, "process_exit", "30us", "end of a process besides threads and pages: 20 to 50 us (estimate)") \
    X(EXEC, "exec", "200us", "a new program in the place of the old: 150 to 300 us without page faults (estimate)") \
    X(CONTEXT_SWITCH, "context_switch", "1.2us", "direct cost of a switch: 1 to 2 us")             \
    X(IDLE_WAKE, "idle_wake", "1us", "interrupt and wake-up of an idle core, before the switch")   \
    X(FLUSH_LOCAL, "flush_local", "200ns", "flush on the only core: invlpg 100 to 200 cycles each, or all") \
    X(SHOOTDOWN_BASE, "shootdown_base", "1.5us", "shootdown of other cores: constant part")        \
    X(SHOOTDOWN_CORE, "shootdown_per_core", "300ns", "shootdown: each further core (at most two sockets; 0.66us for eight)") \
    X(SHOOTDOWN_REMOTE, "shootdown_remote", "700ns", "taken from each interrupted core: 0.5 to 1 us") \
    X(CONSTANT, "constant", "1us", "every run of a handler, in fault model `constant` only")
/* clang-format on */

enum kop {
#define X(name, key, def, doc) KOP_##name,
    KOP_LIST(X)
#undef X
    KOP_COUNT
};

/* Cost in femtoseconds per operation; each at least 1. */
struct kcosts {
    uint64_t fs[KOP_COUNT];
};

#define KRUN_MAX_SEGS 2048u
#define KRUN_MAX_WRITES 2048u
#define KRUN_MAX_NODES 16u

enum krun_mode { KRUN_TIMED, KRUN_UNTIMED, KRUN_SILENT };

struct kseg {
    uint64_t addr, bytes;
    simtime_t cost_fs;
    uint32_t kind; /* enum kseg_kind */
    uint32_t reserved;
};

struct krun {
    simtime_t total_fs;   /* sum of all segments */
    simtime_t commit_fs;  /* end of the last page-table write, from the start of the run */
    simtime_t visible_fs; /* page-table nodes that the run relied on are visible from this time */
    uint32_t model;       /* index in FAULT_MODELS */
    uint32_t nsegs, nwrites, nnodes;
    uint32_t mode;        /* enum krun_mode; TIMED at the beginning of a run */
    uint64_t zeroed_bytes;
    struct kcosts costs;
    struct kseg seg[KRUN_MAX_SEGS];
    paddr_t write[KRUN_MAX_WRITES];  /* entries written, in order */
    uint32_t node[KRUN_MAX_NODES];   /* slots of nodes made */
    /* What was charged for, in the order of first use; for the event log. */
    uint32_t nnotes;
    struct knote {
        uint32_t op; /* enum kop */
        uint32_t n;
        simtime_t cost_fs;
    } note[KOP_COUNT];
};

struct fault_model {
    const char *name;
    const char *doc;
    void (*op)(struct krun *r, enum kop op, uint64_t n);
    void (*store)(struct krun *r, paddr_t pte);
    void (*zero)(struct krun *r, paddr_t at, uint64_t bytes);
    void (*copy)(struct krun *r, uint64_t bytes);
    void (*end)(struct krun *r);
};

/* clang-format off */
#define FAULT_MODELS(X)      \
    X(table, fault_model_table) \
    X(constant, fault_model_constant)
/* clang-format on */

#define X(name, object) extern const struct fault_model object;
FAULT_MODELS(X)
#undef X
extern const char *const fault_model_names[]; /* NULL-terminated */
extern const char *const kop_names[];         /* the same */

void krun_init(struct krun *r, uint32_t model, const struct kcosts *costs);
void krun_begin(struct krun *r);
void krun_end(struct krun *r);

/* `n` times operation `op`. */
void price_op(struct krun *r, enum kop op, uint64_t n);
/* A page-table node made, by its slot. */
void price_node(struct krun *r, uint32_t slot);
/* One page-table entry written. */
void price_store(struct krun *r, paddr_t pte);
/* One page-table entry changed for the replicas only: shown like a write, costs nothing. */
void price_mirror(struct krun *r, paddr_t pte);
/* Clearing of at most one page (2 MiB) as one segment. */
void price_zero(struct krun *r, paddr_t at, uint64_t bytes);
/* Copying; its traffic in caches and memory is not modelled, only its time. */
void price_copy(struct krun *r, uint64_t bytes);

/* For models: appends a segment, joined to the previous one where that changes nothing. */
void krun_append(struct krun *r, enum kseg_kind kind, uint64_t addr, uint64_t bytes,
                 simtime_t cost_fs);

#endif
