/*
 * One simulated core: its flat state, and what the files that make it up offer each other.
 *
 *   core_lp.c     messages in, ops table, layout
 *   dispatch.c    the front end: trace records and events in, dispatch times out
 *   fetch.c       its instruction side: branches, code pages, lines of code
 *   fast.c        the common case of the two, in one piece
 *   window.c      accesses in flight: producers, parking, completion, precise faults
 *   translate.c   TLBs -> walk caches -> walker -> walk -> (fault) -> fill, for every MMU design
 *   translate_ahead.c  the same for prefetches and for code that is fetched ahead
 *   tlb.c pwc.c   the translation arrays
 *   flush.c       what takes translations away
 *   cpi.c         what each cycle went to
 *   priv_cache.c  L1I, L1D, L2, MSHRs, write-backs
 *   data_prefetch.c  what the prefetchers of L1D and L2 see, and what becomes of their wishes
 *   kernel_side.c faults, system calls, shootdowns, thread switches as a core sees them
 *   core_program.c the shares of programs in a core
 *
 * Time inside a core is in cycles of its own clock. The touch clock (`touch`) never goes back:
 * every access reads and changes private state at its dispatch, in program order, or, when its
 * address waits for an unanswered miss, at that answer's time in (time, program order). Issue and
 * completion times decide latencies and what is sent, never which state is seen.
 *
 * Not modelled here: wrong paths, functional-unit contention, partial store forwarding.
 */
#ifndef CORES_CORE_H
#define CORES_CORE_H

#include "cores/bpred.h"
#include "cores/core_events.h"
#include "cores/core_params.h"
#include "cores/core_stats.h"
#include "cores/cpi.h"
#include "cores/frontend.h"
#include "cores/mmu.h"
#include "memsys/mem_msg.h"
#include "memsys/noc.h"
#include "memsys/sarray.h"
#include "mimicos/kernel_msg.h"
#include "mimicos/program.h"
#include "mimicos/ptmem.h"
#include "pdes/lp.h"

/* For functions on the hottest path that have few callers. */
#define INLINE static inline __attribute__((always_inline))

/* Above all cycles that are known; so is the sum with the number of operations after a producer, of eight bits. */
#define CYCLE_UNKNOWN (UINT64_MAX - UINT8_MAX)
#define NO_INDEX UINT32_MAX

/* What everything about a core depends on but its own past; shared, read-only but for `host`. */
struct core_cfg {
    const struct core_params *params;
    const struct mmu_ops *mmu;
    const struct noc *noc;
    struct ptmem *ptmem;      /* this rank's replica of page-table memory */
    struct core_host *host;   /* this core's decoded block; a cache, not state */
    simtime_t period_fs;
    simtime_t kernel_entry_fs; /* least latency of the edge core -> kernel */
    lpid_t kernel_lp, control_lp, first_slice_lp;
    uint32_t nslices;
    simtime_t control_latency_fs;
    simtime_t epoch_fs;
    uint64_t instruction_limit; /* per thread; 0: none */
    uint64_t warmup;            /* per thread; 0: none */
    bool fast_path;             /* fast.c may be used */
    uint32_t nprograms;         /* of a multi-programmed run; 0: it is none */
};

/* Host-side cache of the thread's current block: rebuilt from the position at any time. */
struct core_host {
    struct frontend *fe;
    struct fe_block block;
    uint32_t thread;
    uint64_t block_no;
    bool loaded;
};

/* Position of a thread in its stream: all that a thread is, besides its address space. */
struct position {
    uint64_t block, ninstr;
    uint32_t acc, ev, br;
    uint32_t gap_done; /* instructions of the current gap already dispatched */
};

enum phase {
    PH_PARKED, /* an address producer is unanswered */
    PH_XLATE,  /* waits for a walk */
    PH_MEM,    /* waits for a line */
    PH_DATA,   /* waits for a store's data */
    PH_FAULT,  /* its walk found no translation */
    PH_DONE
};

/* References to things that wait for a line or a walk; chained through `next_waiter`. */
enum waiter_kind { WAIT_NONE, WAIT_LOAD, WAIT_STORE, WAIT_WALK, WAIT_IFETCH, WAIT_NOBODY };
typedef uint32_t waiter_t;
static inline waiter_t waiter_make(enum waiter_kind k, uint32_t idx) { return (uint32_t)k << 16 | idx; }
static inline enum waiter_kind waiter_kind(waiter_t w) { return (enum waiter_kind)(w >> 16); }
static inline uint32_t waiter_idx(waiter_t w) { return w & 0xffffu; }

enum { SLOT_ADDR0, SLOT_ADDR1, SLOT_DATA, NSLOTS };

/* An access between dispatch and retirement, as far as every one needs it. */
struct flight {
    uint64_t instr; /* ordinal of its instruction in the thread, from 1 */
    uint64_t done;  /* cycle it can retire: data back (load), address and data known (store) */
    uint64_t issue; /* cycle its translation began */
    uint16_t tlb_cycles; /* from issue: in the TLBs; the rest of the translation is a walk */
    uint16_t place;      /* load: of load_done, store: of the store queue */
    uint8_t phase, flags;
    uint8_t level;  /* enum served_by: where its data came from */
    uint8_t common; /* complete from the start (fast.c): nothing walked, and its struct inflight is an older one's */
};
_Static_assert(sizeof(struct flight) == 32, "two to a host cache line");

/* The rest, of one that is not complete at its dispatch; the same index. */
struct inflight {
    uint64_t ready;      /* cycle its address is known, as far as producers have answered */
    uint64_t data_ready; /* the same for a store's data or a forwarded load */
    uint64_t vaddr;
    uint64_t paddr;      /* once translated; PH_FAULT: the cycle its walk ended without a translation */
    uint64_t translated; /* cycle its translation ended, with or without an address */
    uint32_t ip;         /* its instruction, as prefetchers know it; without one it means nothing */
    waiter_t next_waiter;         /* next one that waits for the same line or walk */
    uint16_t dependents;          /* head of the list of accesses that wait for this one: 1 + idx*4+slot */
    uint16_t next_dependent[NSLOTS];
    uint8_t slot_ops[NSLOTS];
    uint8_t nwait_addr, nwait_data;
    uint8_t kernel, xlated;
};
_Static_assert(sizeof(struct inflight) == 64, "a host cache line");

/* A store between dispatch and its write to L1D; outlives its inflight entry. */
struct store_entry {
    uint64_t retired; /* cycle; CYCLE_UNKNOWN before */
    uint64_t fill;    /* cycle the line is there to write; CYCLE_UNKNOWN before */
    uint64_t no;      /* ordinal among stores */
    waiter_t next_waiter;
    uint32_t level; /* enum served_by: where its line came from */
};

/*
 * A line asked for: an MSHR, or a place in the queue for one. A prefetch is one that nobody waits for;
 * it becomes an ordinary miss when somebody does.
 */
enum miss_state { MISS_FREE, MISS_QUEUED, MISS_SENT };
enum miss_prefetch { MISS_DEMAND, MISS_FOR_L1D, MISS_FOR_L2 };
struct miss {
    uint64_t line; /* physical address of the line */
    uint64_t start; /* cycle the access, or the prefetch, began */
    uint64_t sent_at;
    waiter_t waiters;   /* in the order they came */
    uint32_t last_link; /* byte offset in the core's state of where the next one is entered */
    uint16_t hash_next; /* 1 + index of the next miss in the same bucket */
    uint8_t state, kind, for_write, store_waits;
    uint8_t prefetch; /* enum miss_prefetch; of data */
    uint8_t code_prefetch; /* a line of code that dispatch has not come to */
    uint8_t in_l2;    /* the line may be in L2 meanwhile, as one of code */
    uint8_t seen;     /* the L1D prefetcher wants to know of its fill for the access that missed first: */
    uint32_t ip;
    uint64_t vaddr, asked; /* its address, and the cycle at which it began */
};

enum walk_result { WALK_OK, WALK_FAULT };
struct walk {
    uint64_t vaddr;
    uint64_t asked;  /* cycle of the STLB miss */
    uint64_t start;  /* cycle it got the walker */
    uint64_t time;   /* cycle up to which it is known; when it has ended: the walker is free from then on */
    uint64_t table;  /* physical address of the node being read */
    uint64_t entry;  /* physical address of the entry being read */
    uint64_t payload;     /* result, as a TLB has it */
    waiter_t waiters;     /* accesses that wait for this walk */
    waiter_t next_waiter; /* next one that waits for the same line */
    uint32_t asid;
    uint32_t ip; /* of a prefetch */
    uint32_t pwc_fills; /* of the core, when the walk caches were probed, and its own since then */
    uint8_t level, write, exec, result, page_shift, stale;
    uint8_t levels;   /* of the address space */
    uint8_t prefetch; /* a prefetch asked for it and is sent when it ends */
};

/* A walk that waits for a walker. */
struct walk_request {
    uint64_t vaddr, asked;
    waiter_t waiters;
    uint32_t asid, ip;
    uint8_t write, exec, prefetch;
};

/*
 * How prediction came to a line: straight on, and the next branch is on it; by the branch before; straight on, and
 * the next branch is further on; or it is not known how.
 */
enum way { WAY_STRAIGHT, WAY_TAKEN, WAY_THROUGH, WAY_UNKNOWN };

/* A line of code that was asked for and that dispatch has not reached. */
struct fetch_entry {
    uint64_t line;  /* its virtual address, in lines */
    uint64_t paddr;
    uint64_t ready; /* cycle it is there; CYCLE_UNKNOWN: unanswered */
    uint32_t br;    /* the first branch that is on it or behind it, as prediction goes */
    uint16_t way;   /* enum way */
    uint16_t ahead; /* 1: it was prefetched; 2: but dispatch had to wait for it */
};
#define UNKNOWN_BRANCH UINT32_MAX

#define NO_LINE UINT64_MAX
#define FETCH_QUEUE_MAX 64u

/* The instruction side between branch prediction and dispatch; see fetch.c. */
struct fetch {
    uint64_t line;     /* of the latest instruction, in lines of the virtual address space */
    uint32_t line_br;  /* its entry's `br`; UNKNOWN_BRANCH: it says nothing */
    uint64_t due;      /* line that a taken branch went to, before its first instruction; else NO_LINE */
    uint64_t due_off;  /* instructions after the last access up to that branch */
    uint64_t page, frame; /* of the latest instruction: virtual page number, physical address */
    /* Prediction runs ahead: it is in `ahead_line` and next meets branch `ahead_br` of the block. */
    uint32_t ahead_br;
    uint32_t ahead_due; /* it runs ahead, and the line is still to be asked for: */
    uint32_t ahead_way; /*   and this is how prediction came to it */
    uint32_t wrong;     /* enum bpred_miss of branch `ahead_br`: stands there until dispatch is behind it */
    uint32_t stop_br;   /* the branch that it must not come to, for the next event or the end of the block, */
    uint32_t stop_ev;   /*   as long as the thread is before this event of the block */
    uint32_t on;        /* it does */
    uint32_t go;        /* and something has changed since it last could not go on */
    uint32_t head, tail; /* entries [head, tail), modulo FETCH_QUEUE_MAX; at most `size` */
    uint32_t size;
    uint64_t ahead_line, ahead_cycle;
    struct fetch_entry queue[FETCH_QUEUE_MAX];
};

enum run_state {
    RUN_IDLE,     /* no thread */
    RUN_USER,     /* dispatching */
    RUN_KERNEL,   /* waiting for the kernel's K_RESUME or K_SWITCH */
    RUN_ENDING,   /* thread over, waiting for its accesses to complete */
};

struct core_share {
    uint64_t instructions, cycles;
};

#define LOAD_RING 1024u
#define SLOTS_AHEAD 64u
#define FORWARD_SLOTS 256u
#define CORE_SYSCALLS 512u
#define WALKS_AHEAD 2432u /* at most one for each access in flight, and for the front end; prefetches */
#define WALKS_AHEAD_PREFETCH 128u
#define MISS_BUCKETS 512u /* so many that one rarely holds two */
#define PREFETCH_LATEST 16u
#define RECENT_PAGES 16u
#define RECENT_LINES 64u
#define CODE_LINES 1024u
#define CODE_PAGES 256u
#define MAX_WALKERS 64u
#define WALK_PAGES 256u
#define WALK_QUEUED 1024u
#define LEAF_TABLES 1024u
#define NPWC 4u

struct core {
    struct core_stats stats;

    /* layout: byte offsets from the start of this struct */
    struct {
        uint64_t l1i4k, l1i2m, l1d4k, l1d2m, l1d1g, stlb, stlb1g, mmu, pwc[NPWC], l1i, l1d, l2, bpred;
        uint64_t prefetch_l1d, prefetch_l2; /* the designs' state */
        uint64_t cpi_ahead, flights, window, wake, sq, misses, miss_free, miss_queue, walk_queue, wb_queue;
    } at;

    /* the thread */
    uint32_t run, thread, asid, levels;
    uint64_t root; /* physical address of the top table */
    struct position pos;
    struct position next_thread_pos; /* from K_SWITCH_POS */
    uint64_t map_order;              /* map events known to be executed */
    uint32_t limit_hit;

    /* front end */
    struct fetch fetch;
    uint64_t slot_cycle; /* next dispatch slot */
    uint64_t last_cycle; /* slot of the latest instruction */
    uint64_t ordinal;    /* instructions dispatched, kernel-mode ones included */
    uint32_t slot_k;
    struct slots_ahead {
        uint8_t cycles, rest;
    } slots_ahead[SLOTS_AHEAD]; /* so many slots: whole cycles, and what is left; fixed by the width */
    waiter_t ifetch_next_waiter;
    uint32_t ifetch_wait; /* 1: dispatch waits for an instruction translation; 2: for a code line */
    uint32_t branch_wait; /* dispatch waits for the load that feeds a branch that was predicted wrong */
    /* Dispatch can only go on once this access, or the line of this store, is answered: 1 + its number; or 0. */
    uint64_t stands_at_access, stands_at_store;
    uint64_t touch;
    uint64_t loads_dispatched;
    struct {
        uint64_t vaddr, pc, ninstr; /* of the latest access; instructions up to which it is counted */
        uint32_t rounds;
    } spin; /* see spin.h */
    uint32_t syscalls[CORE_SYSCALLS + 1]; /* at a fixed cost, by number; the last one: all above */
    uint64_t idle_since, run_since; /* cycle, for idle and running time */
    uint64_t kernel_since;
    uint32_t in_fault, in_sync, warm_told;
    struct cpi cpi;
    struct {
        uint32_t n, gap_done;
        struct {
            uint64_t vaddr, end;
            uint64_t store;
        } part[2];
    } inject; /* user buffers that a system call copies */
    uint64_t later_at; /* cycle of the step that was not yet allowed */
    uint32_t resume_run, ifetch_fault;

    /* window */
    uint64_t head, tail; /* entries [head, tail), modulo window_size */
    uint32_t window_size, window_loads;
    uint64_t rob_limit;    /* ordinal of the last instruction that fits beside the oldest access */
    uint64_t retire_cycle; /* retirement of the youngest retired instruction */
    uint64_t sq_head, sq_tail;
    uint32_t sq_size;
    uint64_t sq_drained; /* cycle the youngest drained store was written */
    /* Accesses before the one have completed, stores before the other have their line, by the touch clock. */
    uint64_t done_head, filled_head;
    uint64_t load_done[LOAD_RING];
    uint16_t load_entry[LOAD_RING]; /* window entry of the load, modulo 2^16, for waiting on it */
    struct {
        uint64_t key, window_no, sq_no; /* 8-byte granule, and the latest store to it */
    } forward[FORWARD_SLOTS];
    uint64_t woken; /* a bit for each word of `wake`, of 64 accesses: one of them at least has something to do */
    uint64_t fault_at; /* cycle to raise the oldest fault; CYCLE_UNKNOWN: none ready */
    uint64_t fault_no; /* its entry */
    uint32_t nfaulted;

    /* translation */
    uint64_t tlb_cycles; /* of the latest translation: the part spent in the TLBs */
    /*
     * The page used latest in some sets of the L1 data TLBs: asking for it again changes no recency.
     * Indexed by page modulo a divisor of the number of sets, so that another page of the same set
     * takes the same place.
     */
    struct recent_page {
        uint64_t page, payload;
    } recent_4k[RECENT_PAGES], recent_2m[RECENT_PAGES];
    uint32_t recent_4k_mask, recent_2m_mask;
    /* Pages of code that are in the L1 instruction TLB: see l1i.h. */
    struct code_page {
        uint64_t page;
        struct sarray_spot spot;
    } code_page[CODE_PAGES];
    uint64_t l1_missed_page; /* page of the access in progress, if the L1 data TLBs of 4 KiB and 2 MiB are known to lack it */
    uint64_t missed_page; /* number of a 4 KiB page of which neither the L1 data TLBs nor the STLB know anything */
    struct {
        uint64_t page, ready;
        uint32_t shift, asid;
    } walked[WALKS_AHEAD]; /* TLB fills by walks that end after the touch clock */
    uint32_t nwalked;
    uint64_t walked_until;
    uint32_t pwc_fills;              /* lines that walks have put into the walk caches */
    uint64_t walking;                /* a bit for each walker at work */
    uint64_t walk_page[MAX_WALKERS]; /* number of the 4 KiB page of its walk, or of its last one */
    uint8_t walk_pages[WALK_PAGES];  /* by hash of the page: how many of these */
    struct walk walks[MAX_WALKERS];
    uint32_t walk_queue_head, walk_queue_n, walk_queue_size;
    uint16_t walk_queued[WALK_QUEUED]; /* by hash of the page: how many of the queue */
    uint32_t leaf_table[LEAF_TABLES];  /* by number of the 2 MiB: frame of the latest table of leaves; only a guess */

    /* caches */
    /*
     * The line used latest in each set of an L1, or in some sets: asking for it again changes no recency.
     * Indexed by line modulo a divisor of the number of sets, as with pages.
     */
    struct recent_line {
        uint64_t line, word; /* byte offset of its payload */
    } recent_line[RECENT_LINES];
    uint32_t recent_line_mask;
    /* Lines that are in L1I: see l1i.h. */
    struct code_line {
        uint64_t line;
        struct sarray_spot spot;
    } code_line[CODE_LINES];
    uint64_t absent_line; /* one that L1D lacks */
    uint16_t miss_bucket[MISS_BUCKETS]; /* 1 + index of the first miss */
    uint32_t nmisses, miss_size, nsent, nsent_data, ncode, nmiss_free, miss_queue_head, miss_queue_n;
    uint32_t wbs_out, wb_queue_head, wb_queue_n, wb_queue_size;
    uint64_t mirror_cursor;
    uint64_t requests_sent, writebacks_sent;

    /* data prefetchers */
    struct {
        uint32_t on;        /* there is one */
        uint32_t fills;     /* that of L1D wants to know when lines come */
        uint32_t seen;      /* so it does that of the cache access in progress */
        uint32_t ip;        /* its instruction */
        uint32_t first_use; /* it was the first to use a line that was prefetched into L1D, */
        uint32_t latency;   /*   which took so many cycles */
        uint32_t asked_l2;  /* 0: it was not passed on to L2; else 1 + enum prefetch_event there */
        uint64_t vaddr;     /* its address */
        uint64_t latest[PREFETCH_LATEST]; /* by instruction: number of the line that it was last seen at */
        uint64_t nunderway[2]; /* prefetches on their way to L1D, to L2 */
    } pf;
    /* programs: what each has had up to the last switch; the counter and the cycle of that switch */
    struct core_share program[MAX_PROGRAMS];
    uint64_t program_instructions, program_since;
};

/* Does the access show the prefetchers something: another line than this instruction's latest? */
static inline bool core_is_news(const struct core *c, uint32_t ip, uint64_t vaddr)
{
    return vaddr >> LINE_SHIFT != c->pf.latest[ip % PREFETCH_LATEST];
}

/* Place of an 8-byte granule among the stores that forward. */
static inline uint32_t core_forward_slot(uint64_t granule)
{
    return (uint32_t)((granule * UINT64_C(0x9e3779b97f4a7c15)) >> 56) % FORWARD_SLOTS;
}

static inline void *core_at(struct core *c, uint64_t offset) { return (char *)c + offset; }
static inline uint32_t core_offset(const struct core *c, const void *at)
{
    return (uint32_t)((const char *)at - (const char *)c);
}
static inline struct inflight *core_window(struct core *c, uint64_t no)
{
    return (struct inflight *)core_at(c, c->at.window) + (no & (c->window_size - 1));
}
static inline struct flight *core_flight(struct core *c, uint64_t no)
{
    return (struct flight *)core_at(c, c->at.flights) + (no & (c->window_size - 1));
}
static inline struct store_entry *core_sq(struct core *c, uint64_t i)
{
    return (struct store_entry *)core_at(c, c->at.sq) + (i & (c->sq_size - 1));
}
/* The head of the window is another one, `head` if there is any; `span`: the instructions that fit behind one in the ROB. */
static inline void core_set_rob_limit(struct core *c, const struct flight *head, uint64_t span)
{
    c->rob_limit = c->head == c->tail ? UINT64_MAX : head->instr + span;
}

/* Where the retirement of `f` is noted, found without a jump; that of a load before the store queue, for nobody. */
static inline uint64_t *core_retired(struct store_entry *sq, const struct flight *f)
{
    const int64_t not_store = (int64_t)(f->flags & ACC_STORE) - 1; /* all ones or none */
    return &sq[f->place | not_store].retired;
}
/* Has the store's data left the store queue for L1D, by the touch clock? Then it forwards nothing more. */
static inline bool core_store_written(struct core *c, uint64_t store_no, uint64_t sq_no)
{
    if (core_sq(c, sq_no)->fill > c->touch || (store_no >= c->head && core_flight(c, store_no)->done > c->touch))
        return false; /* whatever those before it do */
    uint64_t filled_head = u64_max(c->filled_head, c->sq_head);
    while (filled_head <= sq_no && core_sq(c, filled_head)->fill <= c->touch)
        filled_head++;
    c->filled_head = filled_head;
    if (sq_no >= filled_head || store_no < c->head)
        return sq_no < filled_head;
    uint64_t done_head = u64_max(c->done_head, c->head);
    while (done_head <= store_no && core_flight(c, done_head)->done <= c->touch)
        done_head++;
    c->done_head = done_head;
    return store_no < done_head;
}
/* The access at an index of the window has something to do: core_run_wakes sees to it. */
static inline void core_set_wake(struct core *c, uint32_t idx)
{
    ((uint64_t *)core_at(c, c->at.wake))[idx / 64] |= UINT64_C(1) << (idx % 64);
    c->woken |= UINT64_C(1) << (idx / 64);
}

/* The place of the i-th of a ring of `size` from `head` on. */
static inline uint32_t core_ring_at(uint32_t head, uint32_t i, uint32_t size)
{
    uint32_t at = head + i;
    return at < size ? at : at - size;
}

static inline struct miss *core_miss(struct core *c, uint32_t i)
{
    return (struct miss *)core_at(c, c->at.misses) + i;
}

/* One core in the hands of a function: state, configuration and LP. */
struct core_ctx {
    struct core *c;
    const struct core_cfg *cfg;
    const struct core_params *p;
    struct lp *lp;
};

static inline struct core_ctx core_ctx_of(struct lp *lp)
{
    const struct core_cfg *cfg = lp->cfg;
    return (struct core_ctx){lp->state, cfg, cfg->params, lp};
}

static inline uint64_t cycle_of(const struct core_cfg *cfg, simtime_t t)
{
    return (t + cfg->period_fs - 1) / cfg->period_fs;
}
static inline simtime_t time_of(const struct core_cfg *cfg, uint64_t cycle)
{
    return cycle * cfg->period_fs;
}

/* ---- core_lp.c */
size_t core_state_bytes(const struct core_params *p);
/* Of these, the arrays that are modelled: TLBs, walk caches, caches, prefetchers, predictor. */
size_t core_array_bytes(const struct core_params *p);
extern const struct lp_ops core_lp_ops;
/* Least cycles between a touch and the earliest request to a slice that follows from it. */
static inline uint64_t core_min_request_cycles(const struct core_params *p) { return p->l2.latency_cycles; }

/* ---- tlb.c: see tlb.h ---- pwc.c: see pwc.h */

/* ---- translate.c */
/* A translation, in two words so that it travels in registers. */
struct xlate {
    uint64_t time;  /* cycle it, or the fault, is known; CYCLE_UNKNOWN: the access waits for a walk */
    uint64_t paddr; /* XLATE_NONE: there is no translation */
};
#define XLATE_NONE UINT64_MAX
#define XLATE_WAITS ((struct xlate){CYCLE_UNKNOWN, XLATE_NONE})
static inline bool xlate_waits(struct xlate r) { return r.time == CYCLE_UNKNOWN; }
static inline bool xlate_faults(struct xlate r) { return r.paddr == XLATE_NONE; } /* and does not wait */

/* Of an instruction; of a data access: see translate.h. */
struct xlate core_translate_code(const struct core_ctx *x, uint64_t vaddr, uint64_t issue, waiter_t who);
/* Where a code page is, if the instruction TLB or the STLB has it now, or XLATE_NONE; counts as no use. */
uint64_t core_probe_code(const struct core_ctx *x, uint64_t vaddr);
/* A walk's reference came back at cycle `at`. */
void core_walk_data(const struct core_ctx *x, uint32_t walk_idx, uint64_t at, enum served_by served);
/*
 * The address that an L1D prefetch of `vaddr` has, if a TLB knows it, and from when on. It leaves no
 * trace: no recency changes, nothing is filled or counted. Otherwise XLATE_NONE; or, with
 * prefetch.walk, a walk may begin: then XLATE_WAITS, and core_prefetch_walked follows.
 */
struct xlate core_translate_prefetch(const struct core_ctx *x, uint64_t vaddr, uint64_t at, uint32_t ip);
/* Does a data TLB know that `vaddr` lies in a page of 2 MiB or more? */
bool core_in_big_page(const struct core_ctx *x, uint64_t vaddr);

/* ---- flush.c */
/* Drops the translations of one address from the TLBs, as a page fault does. */
void core_drop_page(const struct core_ctx *x, uint64_t vaddr);
/* Forgets which pages were used latest. */
void core_forget_recent(struct core *c);
/* Drops the translations of [vaddr, vaddr + bytes) of `asid`; bytes 0: all of the asid. */
void core_flush(const struct core_ctx *x, uint64_t vaddr, uint64_t bytes, uint32_t asid);

/* ---- priv_cache.c */
#define LATENCY_WAIT UINT64_MAX
/* What an access gets, in two words so that it travels in registers. */
struct served {
    uint64_t cycles; /* LATENCY_WAIT: who asked is told when the line arrives */
    uint64_t by;     /* enum served_by; with LATENCY_WAIT, SERVED_DRAM */
};
/* Access to a physical line that begins at cycle `start` (>= touch); `who` is told when it has to wait. */
struct served core_cache_access(const struct core_ctx *x, uint64_t paddr, enum line_kind kind, bool write, uint64_t start,
                                waiter_t who);
/*
 * A line of code at cycle `start` (>= touch), looked up in L1I. Returns the cycle it is there, or
 * CYCLE_UNKNOWN (core_code_arrived tells), or, `ahead` of dispatch, CODE_REFUSED: no MSHR is free.
 */
#define CODE_REFUSED (UINT64_MAX - 1)
enum { CODE_MISSED = 1, CODE_PREFETCHED = 2 }; /* nobody had asked for it; core_code_prefetch had */
uint64_t core_code_access(const struct core_ctx *x, uint64_t paddr, uint64_t start, bool ahead, unsigned *how_out);
/* Fills L1I with the line, if it is not there or on its way and an MSHR is free; nobody waits. */
void core_code_prefetch(const struct core_ctx *x, uint64_t paddr, uint64_t start);
void core_line_arrived(const struct core_ctx *x, const struct msg *m);
void core_line_invalidate(const struct core_ctx *x, uint64_t line, bool write_back);
void core_wb_acked(const struct core_ctx *x);
/* Puts a line that nobody waits for into L1D, or into L2, unless it is there, or on its way, or there
 * is no MSHR to spare. True: the prefetch into L1D passed on to L2 (as pf.asked_l2 says). */
bool core_prefetch_into_l1d(const struct core_ctx *x, uint64_t line, uint64_t start);
void core_prefetch_into_l2(const struct core_ctx *x, uint64_t line, uint64_t start);
/* A kernel handler's store: the line becomes dirty here; nobody waits for it. */
void core_kernel_store(const struct core_ctx *x, uint64_t paddr);

/* ---- data_prefetch.c */
/* A data access, as the prefetchers know it. */
struct seen {
    uint64_t vaddr, paddr;
    uint32_t ip;
};
/* A data access that shows the prefetchers something; parameters and result of core_cache_access. */
struct served core_seen_access(const struct core_ctx *x, const struct seen *s, bool write, uint64_t start, waiter_t who);
static inline struct served core_data_access(const struct core_ctx *x, const struct seen *s, bool write, uint64_t start,
                                             waiter_t who)
{
    if (x->c->pf.on && core_is_news(x->c, s->ip, s->vaddr))
        return core_seen_access(x, s, write, start, who);
    return core_cache_access(x, s->paddr, LINE_DATA, write, start, who);
}
/* One that hit in L1D on another way. */
void core_show_hit(const struct core_ctx *x, const struct seen *s, uint64_t start);
/* A line has come for the access that missed it first. */
void core_seen_fill(const struct core_ctx *x, const struct miss *m);
/* The walk of a prefetch has ended. */
void core_prefetch_walked(const struct core_ctx *x, const struct walk *w);

/* ---- window.c */
/* `ip`: its instruction, as prefetchers know it. */
void core_access_dispatch(const struct core_ctx *x, const struct access_rec *r, bool kernel, uint64_t at,
                          uint32_t ip);
/* The touch of an access in phase PH_XLATE, the event log being off, whose page is none of those used latest. */
void core_touch_missed(const struct core_ctx *x, uint64_t no, struct flight *f, struct inflight *e);
/* The data of store `no`, at `e`, comes from load `load`, which is unanswered, `ops` instructions later. */
void core_wait_for_data(struct core *c, struct inflight *e, uint64_t no, uint64_t load, uint8_t ops);
/* A line has come from `level` at the touch clock for those who wait for it, `who` being the first of them. */
void core_tell_waiters(const struct core_ctx *x, waiter_t who, enum served_by level);
void core_run_wakes(const struct core_ctx *x);
/* Retires the oldest access if its completion is known; false: unknown. */
bool core_retire_oldest(const struct core_ctx *x);
bool core_drain_oldest_store(const struct core_ctx *x);
/* The same for all accesses; then, with all retired, for all stores. */
bool core_retire_all(const struct core_ctx *x);
bool core_drain_stores(const struct core_ctx *x);
void core_find_fault(const struct core_ctx *x);
void core_window_reset(const struct core_ctx *x);
void core_retry_faulted(const struct core_ctx *x);

/* ---- dispatch.c */
/* Dispatches everything before cycle `until`; returns the next cycle it acts at, or CYCLE_UNKNOWN. */
uint64_t core_dispatch(const struct core_ctx *x, uint64_t until);

/* ---- fetch.c: see dispatch.h, and */
/* The walk for the next instruction's page has ended. */
void core_ifetch_released(const struct core_ctx *x, struct xlate r);
/* A line of code has come. */
void core_code_arrived(const struct core_ctx *x, uint64_t paddr);
/* Another thread: nothing of its code is known. */
void core_fetch_reset(const struct core_ctx *x);

/* ---- kernel_side.c */
void core_raise_fault(const struct core_ctx *x, uint64_t vaddr, unsigned flags, uint64_t at);
void core_call_kernel(const struct core_ctx *x, const struct fe_event *ev, uint64_t at);
void core_thread_exit(const struct core_ctx *x, uint64_t wake_id, uint64_t at);
void core_handle_kernel(const struct core_ctx *x, const struct msg *m);
void core_passed_mark(const struct core_ctx *x, uint64_t order, uint64_t at);
void core_report_ad(const struct core_ctx *x, uint64_t entry_paddr, uint64_t bits);
/* ---- core_program.c */
/* The thread is about to leave the core, or a new one to come. */
void core_program_settle(const struct core_ctx *x);
/* At an epoch boundary: adds the core's share to programs[cfg->nprograms]. */
void core_program_add(const struct lp *lp, struct program_stats *programs);

/* Messages to the control LP (see pdes/control.h). */
void core_tell_control(const struct core_ctx *x, uint16_t type, uint64_t a0, uint64_t at);

#endif
