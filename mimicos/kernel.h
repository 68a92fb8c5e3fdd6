/*
 * The MimicOS kernel: its parameters, statistics and state. What it does is in mm.h (memory) and
 * sched.h (threads); kernel_lp.c turns messages into their calls and says when their effects show.
 */
#ifndef MIMICOS_KERNEL_H
#define MIMICOS_KERNEL_H

#include "mimicos/kernel_call.h"
#include "mimicos/layout.h"
#include "mimicos/mm.h"
#include "mimicos/program.h"
#include "mimicos/sched.h"
#include "pdes/desc.h"
#include "pdes/lp.h"

/* ---- parameters ------------------------------------------------------------------------------ */

enum { MEMORY_FRESH, MEMORY_SCATTERED };
enum { PREMAP_NONE, PREMAP_ALL };

struct kernel_params {
    uint64_t memory_size, reserved_size;
    uint64_t memory_state, scatter_used_percent, scatter_regions_percent, scatter_piece_size, seed;
    uint64_t thp, page_table, fault_model;
    uint64_t alloc, page_1g, hugepages_1g, premap;
    char premap_image[PARAM_TEXT_BYTES]; /* file; empty: none */
    uint64_t fault_around_size, stack_limit_size, flush_ceiling_pages;
    uint64_t kernel_to_core_fs, ipi_fs;
    uint64_t max_vmas, max_table_nodes, max_wakes;
    struct layout_params layout; /* used by the front end that relocates */
    struct kcosts cost;
};

/* Rows for a param_group with prefix "os" and base = a struct kernel_params. */
extern const struct param_desc kernel_param_rows[];
extern const uint32_t kernel_param_nrows;

/* ---- statistics ------------------------------------------------------------------------------ */

#define KERNEL_HIST_BINS 48u

/* X(name, unit, kind, stamp, nbins, path, doc); one uint64_t (or nbins) each. */
/* clang-format off */
#define KERNEL_STATS(X)                                                                             \
    X(faults_anon_4k, "1", DELTA, ARRIVAL, 1, "faults/anon_4k", "anonymous faults served with a 4 KiB page") \
    X(faults_anon_2m, "1", DELTA, ARRIVAL, 1, "faults/anon_2m", "anonymous faults served with a 2 MiB page") \
    X(faults_anon_1g, "1", DELTA, ARRIVAL, 1, "faults/anon_1g", "anonymous faults served with a 1 GiB page") \
    X(faults_file, "1", DELTA, ARRIVAL, 1, "faults/file", "faults that mapped a page-cache page")   \
    X(faults_cow, "1", DELTA, ARRIVAL, 1, "faults/cow", "first writes to private file pages")       \
    X(faults_spurious, "1", DELTA, ARRIVAL, 1, "faults/spurious", "faults that found the page mapped by another thread") \
    X(faults_segv, "1", DELTA, ARRIVAL, 1, "faults/segv", "accesses outside every area or against its rights; mapped anyway") \
    X(fault_pages, "1", DELTA, ARRIVAL, 1, "faults/pages_mapped", "leaves mapped by faults, fault-around included") \
    X(stack_growths, "1", DELTA, ARRIVAL, 1, "faults/stack_growths", "faults that extended a stack") \
    X(thp_fallbacks, "1", DELTA, ARRIVAL, 1, "faults/thp_fallbacks", "2 MiB page due but no order-9 block free") \
    X(fallbacks_1g, "1", DELTA, ARRIVAL, 1, "faults/fallbacks_1g", "1 GiB page due but none in the pool") \
    X(promotions, "1", DELTA, ARRIVAL, 1, "faults/promotions", "faults that filled a 2 MiB region of 4 KiB pages, which became one leaf") \
    X(fault_ns, "ns", DELTA, COMPLETION, 1, "faults/service_ns", "sum of fault service times, arrival to answer") \
    X(fault_hist, "ns", HIST, COMPLETION, KERNEL_HIST_BINS, "faults/service_hist", "fault service time, log2 bins") \
    X(zeroed_bytes, "byte", DELTA, ARRIVAL, 1, "zeroed_bytes", "bytes cleared, page-table nodes included") \
    X(lock_waits, "1", DELTA, COMPLETION, 1, "locks/waits", "handlers that waited for another's region or map lock") \
    X(lock_wait_ns, "ns", DELTA, COMPLETION, 1, "locks/wait_ns", "sum of these waits")              \
    X(map_mmap, "1", DELTA, COMPLETION, 1, "map/mmap", "mmap calls executed")                       \
    X(map_munmap, "1", DELTA, COMPLETION, 1, "map/munmap", "munmap calls executed")                 \
    X(map_mprotect, "1", DELTA, COMPLETION, 1, "map/mprotect", "mprotect calls executed")           \
    X(map_mremap, "1", DELTA, COMPLETION, 1, "map/mremap", "mremap calls executed")                 \
    X(map_brk, "1", DELTA, COMPLETION, 1, "map/brk", "brk calls executed")                          \
    X(map_madvise, "1", DELTA, COMPLETION, 1, "map/madvise", "madvise calls executed")              \
    X(map_refused, "1", DELTA, COMPLETION, 1, "map/refused", "map calls whose arguments Linux would refuse") \
    X(map_pages, "1", DELTA, COMPLETION, 1, "map/pages", "leaves unmapped, moved or changed by map calls") \
    X(layout_exec, "1", DELTA, COMPLETION, 1, "layout/exec", "areas of program, loader and first stack, placed as execve does") \
    X(layout_searched, "1", DELTA, COMPLETION, 1, "layout/searched", "areas placed in the highest gap below the mmap base") \
    X(layout_aligned, "1", DELTA, COMPLETION, 1, "layout/aligned", "areas placed so at a multiple of 2 MiB") \
    X(layout_fixed, "1", DELTA, COMPLETION, 1, "layout/fixed", "areas at a fixed place in or beside another one, with which they moved") \
    X(layout_kept, "1", DELTA, COMPLETION, 1, "layout/kept", "areas that keep their recorded address under os.layout=linux") \
    X(order_waits, "1", DELTA, ARRIVAL, 1, "map/order_waits", "calls that waited for their turn in the recorded order") \
    X(mark_waits, "1", DELTA, ARRIVAL, 1, "map/mark_waits", "marks that waited for a map event")    \
    X(shootdowns, "1", DELTA, COMPLETION, 1, "shootdown/count", "flushes of one or more cores")     \
    X(shootdown_cores, "1", DELTA, COMPLETION, 1, "shootdown/interrupted", "cores interrupted for a flush") \
    X(shootdown_lazy, "1", DELTA, COMPLETION, 1, "shootdown/lazy", "cores flushed without interrupt: they ran something else") \
    X(shootdown_ns, "ns", DELTA, COMPLETION, 1, "shootdown/wait_ns", "sum of times from order to last acknowledgement") \
    X(futex_blocked, "1", DELTA, COMPLETION, 1, "futex/waits_blocked", "futex waits that slept")    \
    X(futex_passed, "1", DELTA, COMPLETION, 1, "futex/waits_passed", "futex waits that did not sleep") \
    X(futex_wakes, "1", DELTA, COMPLETION, 1, "futex/wakes", "wake events executed")                \
    X(threads_woken, "1", DELTA, COMPLETION, 1, "futex/threads_woken", "threads that a wake made runnable") \
    X(syscalls, "1", DELTA, ARRIVAL, 1, "syscalls", "other system calls")                           \
    X(threads_created, "1", DELTA, COMPLETION, 1, "threads/created", "threads created")             \
    X(threads_exited, "1", DELTA, COMPLETION, 1, "threads/exited", "threads ended")                 \
    X(context_switches, "1", DELTA, COMPLETION, 1, "sched/context_switches", "threads put on a core") \
    X(idles, "1", DELTA, COMPLETION, 1, "sched/idles", "times a core ran out of threads")           \
    X(ad_updates, "1", DELTA, ARRIVAL, 1, "ad/updates", "accessed and dirty bits set by walkers")   \
    X(ad_stale, "1", DELTA, ARRIVAL, 1, "ad/stale", "such reports for entries unmapped meanwhile")  \
    X(table_writes, "1", DELTA, COMPLETION, 1, "page_table/writes", "page-table entries written by handlers") \
    X(requests, "1", DELTA, ARRIVAL, 1, "requests", "faults, calls, waiting marks and exits received") \
    X(answers, "1", DELTA, COMPLETION, 1, "answers", "requests answered")                           \
    X(frames_used, "1", GAUGE, ARRIVAL, 1, "frames/used", "4 KiB frames in use, reserved and occupied ones included") \
    X(frames_free, "1", GAUGE, ARRIVAL, 1, "frames/free", "4 KiB frames free")                      \
    X(frames_table, "1", GAUGE, ARRIVAL, 1, "frames/page_table", "frames that hold page-table nodes") \
    X(pool_1g_free, "1", GAUGE, ARRIVAL, 1, "frames/pool_1g_free", "1 GiB pages free in the boot-time pool; their frames count as used") \
    X(premapped, "1", GAUGE, ARRIVAL, 1, "premapped_pages", "leaves that os.premap built before time 0") \
    X(free_order, "1", GAUGE, ARRIVAL, BUDDY_NORDERS, "frames/free_blocks", "free blocks of each order, 0 to 10") \
    X(unusable_permille, "1", GAUGE, ARRIVAL, 1, "frames/unusable_permille", "free memory in blocks too small for 2 MiB, per mille") \
    X(vmas, "1", GAUGE, ARRIVAL, 1, "vmas", "areas of all address spaces")                          \
    X(vmas_high, "1", GAUGE, ARRIVAL, 1, "vmas_high_water", "most areas that one address space had") \
    X(run_queue_high, "1", GAUGE, ARRIVAL, 1, "sched/run_queue_high_water", "longest run queue")
/* clang-format on */

struct kernel_stats {
#define X(name, unit, kind, stamp, nbins, path, doc) uint64_t name[nbins];
    KERNEL_STATS(X)
#undef X
};

extern const struct stat_desc kernel_stat_rows[];
extern const uint32_t kernel_stat_nrows;
extern const uint32_t kernel_stat_nvalues;

/* ---- configuration and state ----------------------------------------------------------------- */

/* A mapping that exists before time 0: the arguments of an mmap event, order included. */
struct kernel_area {
    uint32_t asid;
    uint32_t reserved;
    uint64_t a[6]; /* order addr len prot flags vma */
};

/* Shared, read-only; the same on every rank. */
struct kernel_cfg {
    const struct kernel_params *params;
    uint32_t ncores, nthreads, nprocesses;
    lpid_t first_core;               /* cores are LPs first_core ... first_core + ncores - 1 */
    const uint32_t *space_of_thread; /* NULL: all threads in process 0 */
    uint64_t nwakes;                 /* highest futex wake id of the trace; 0: os.max_wakes */
    bool all_start, infer_vmas;
    uint64_t boot_frames; /* taken before anything else */
    /* Threads of the start begin up to so much later, drawn from the seed; 0: at once. */
    simtime_t start_skew_fs;
    uint64_t start_seed;
    const bool *all_start_of, *infer_vmas_of; /* per process, in place of these; NULL: the same in all */
    bool mix;                                 /* processes begin anew until all have ended once */
    lpid_t control_lp;                        /* of a mix */
    simtime_t control_latency_fs;
    const struct kernel_area *areas; /* made before time 0, when os.premap says so */
    uint32_t nareas;
    simtime_t mirror_latency_fs; /* the engine's */
};

/* What a core's handler is doing. */
enum kcore_phase {
    KCORE_USER, /* no handler: user mode, idle, or a held wait for an order */
    KCORE_LOCK, /* waits for other handlers of the address space */
    KCORE_RUN,  /* a block of segments is being replayed */
    KCORE_FLUSH /* acknowledgements of a shootdown are missing */
};
enum kcore_job { KJOB_NONE, KJOB_FAULT, KJOB_MAP, KJOB_CALL, KJOB_EXIT, KJOB_LEAVE, KJOB_SWITCH, KJOB_EXEC };

/* A handler at work for one core: at most one at a time. */
struct kcore {
    uint32_t phase, job, step;
    uint32_t asid;
    uint32_t call;      /* enum kcall */
    uint32_t by_switch; /* the thread was displaced: its answer is K_SWITCH instead of K_RESUME */
    uint32_t owes;      /* a request of this core is unanswered */
    uint32_t result;    /* KR_* */
    uint32_t acks_left;
    uint32_t nwrites; /* to be made visible at commit_at */
    uint32_t idle_told; /* K_IDLE was the last order */
    uint32_t reserved;
    uint64_t ticket; /* order of lock waits */
    uint64_t flush_id;
    uint64_t a[6]; /* fault: address, KF_*; call: event arguments */
    uint64_t more[2], pos[4]; /* K_CALL_MORE and K_POS that precede a request */
    simtime_t arrived, commit_at, end_at;
    simtime_t ready_at;    /* answers may not arrive earlier: writes they rely on become visible */
    simtime_t flush_start, flush_least;
    struct mm_op op;
    paddr_t write[KRUN_MAX_WRITES];
};

struct kernel {
    uint64_t mm_at, sched_at, cores_at, seen_at, programs_at; /* offsets from struct kernel */
    uint64_t next_ticket, next_flush;
    uint32_t nlock_waits; /* cores in KCORE_LOCK */
    uint32_t nfinished;   /* programs that have come to their end once */
    uint32_t ready;       /* kernel_init was called */
    uint32_t reserved;
    uint64_t npremapped;
    simtime_t last_visible; /* of the newest page-table write that was committed */
    simtime_t next_action;  /* least commit_at or end_at of all cores */
    struct kernel_stats stats;
    struct krun run; /* scratch of the handler in progress */
};

const char *kernel_cfg_error(const struct kernel_cfg *cfg);
size_t kernel_state_bytes(const struct kernel_cfg *cfg);
/* `k` points to kernel_state_bytes() zeroed bytes. */
void kernel_init(struct kernel *k, const struct kernel_cfg *cfg);

struct mm *kernel_mm(const struct kernel *k);
struct sched *kernel_sched(const struct kernel *k);
struct kcore *kernel_core(const struct kernel *k, uint32_t core);
struct program *kernel_program(const struct kernel *k, uint32_t asid);
/* Do all threads of the process begin with it? */
bool kernel_all_start(const struct kernel_cfg *cfg, uint32_t asid);
/* 1: `core` may hold translations of `asid`. */
uint8_t *kernel_seen(const struct kernel *k, const struct kernel_cfg *cfg, uint32_t asid,
                     uint32_t core);
/* Counters with the gauges filled in. */
void kernel_stats_fill(const struct kernel *k, struct kernel_stats *out);

/* The class for engine_add_lp; `cfg` is a struct kernel_cfg, the state kernel_state_bytes(). */
extern const struct lp_ops kernel_lp_ops;

#endif
