/*
 * One or more real cores under the real engine, between fakes that answer by the clock: a slice LP
 * (each line after a fixed time), a kernel LP (starts threads, maps the page of a fault, obeys a
 * script) and a front end of arrays. One cycle is one nanosecond, and the interconnect takes no
 * time, so that every figure in a test can be worked out on paper:
 *
 *   a load that misses both caches takes `miss_cycles`, one that hits L2 15, one that hits L1D 5;
 *   a message to the kernel arrives 100 cycles after it left.
 *
 * Life: rig_open gives the test model of the fact sheet; the test changes parameters, maps pages and
 * appends accesses; rig_run runs to the end; then everything can be looked at until rig_close.
 */
#ifndef TESTS_UNIT_CORE_RIG_H
#define TESTS_UNIT_CORE_RIG_H

#include "tests/unit/unit.h"

#include "cores/core.h"
#include "mimicos/pte.h"
#include "pdes/control.h"
#include "pdes/engine.h"
#include "pdes/rng.h"

#define RIG_CYCLE FS_PER_NS
#define RIG_START UINT64_C(1000) /* cycle at which the first thread of each core starts */
#define RIG_MIRROR_CYCLES UINT64_C(130)
#define RIG_TO_CORE_CYCLES UINT64_C(30)

enum { RIG_THREADS = 4, RIG_CORES = 3, RIG_SPACES = 2, RIG_BLOCKS = 64, RIG_LOG = 1 << 16, RIG_SCRIPT = 32,
       RIG_EPOCHS = 4096 };

struct rig_block {
    struct access_rec *acc;
    struct fe_event *ev;
    struct branch_rec *br;
    struct fe_at *ev_at, *br_at; /* each is its own form */
    uint32_t nacc, nev, nbr, acc_cap, ev_cap, br_cap, tail_gap;
};

struct rig_thread {
    struct rig_block blocks[RIG_BLOCKS];
    uint64_t loaded; /* block */
    uint32_t nblocks, core, space;
    uint64_t start; /* cycle at which it starts, if it is the first of its core; 0: RIG_START */
};

/* What a fake heard, in order. */
struct rig_heard {
    uint64_t n;
    struct msg msgs[RIG_LOG];
};

struct rig_order {
    simtime_t time; /* of arrival at the core, or from which the write is visible */
    uint32_t type;  /* message type with its flags; 0: page-table write of a[1] to a[0] */
    uint32_t core, arg;
    uint64_t a[4];
};

struct rig_kernel_state {
    uint64_t position[RIG_THREADS][4];
    uint32_t done[RIG_THREADS];
    uint32_t next_order;
    struct rig_heard heard;
};

struct rig_slice_state {
    uint64_t reads, writebacks, wbs_out, wbs_out_max;
    simtime_t oldest_ack[512];
    struct rig_heard heard;
};

struct rig_fuzz_state {
    uint64_t n;
};

struct rig {
    /* what a test sets before rig_run */
    struct core_params p;
    const struct mmu_ops *mmu;
    uint32_t ncores, nthreads;
    uint64_t miss_cycles, miss_spread; /* answers take up to `spread` more, by line */
    uint64_t wb_ack_cycles;
    enum served_by served;
    uint64_t handler_cycles; /* from a fault's arrival at the kernel to its answer's at the core */
    uint64_t call_cycles;
    bool moves;    /* a thread that waits for a futex goes on, on the next core, which must sleep */
    bool keeps_ad; /* the kernel writes accessed and dirty bits that it hears of */
    uint64_t instruction_limit, warmup;
    uint64_t cut_seed, epoch_cycles;
    uint64_t fuzz_seed, fuzz_n, fuzz_period; /* random invalidations, interrupts, shootdowns */
    const uint64_t *fuzz_lines;
    uint32_t fuzz_nlines;
    bool slow; /* without the fast path */
    uint64_t save_epoch; /* number of the epoch after which the machine is saved; 0: never */
    struct rig_order script[RIG_SCRIPT];
    uint32_t nscript;
    uint32_t levels[RIG_SPACES];
    struct rig_thread *threads; /* RIG_THREADS */
    uint64_t pcs[64];

    /* what stands */
    struct frontend fe;
    struct ptmem *ptmem;
    uint64_t next_node, root[RIG_SPACES];
    struct engine *engine;
    struct noc noc;
    struct core_cfg cores[RIG_CORES];
    struct core_host hosts[RIG_CORES];
    struct control_cfg control;
    lpid_t kernel_id, first_core, slice_id, fuzz_id;
    uint64_t epoch_rows[RIG_EPOCHS]; /* hash of all cores' statistics at the end of each epoch */
    uint64_t nepochs;
    void *saved, *saved_tables;
    size_t saved_bytes, saved_tables_bytes;
};

/* The test model: width 1, ROB 4096, TLBs 1 and 12 cycles, walk caches 2, references 100, 4 walkers. */
struct rig *rig_open(void);
void rig_close(struct rig *r);

/* Address made of table indices. */
uint64_t rig_va(uint64_t pml4, uint64_t pdpt, uint64_t pd, uint64_t pt, uint64_t offset);
/* Where the rig puts the page of an address. */
uint64_t rig_pa(uint32_t space, uint64_t va);
/* Lays out the way to `va` in `space` and the leaf with `flags` (0: nothing mapped there yet). */
void rig_map(struct rig *r, uint32_t space, uint64_t va, unsigned shift, uint64_t flags);
#define RIG_PAGE (PTE_PRESENT | PTE_RW | PTE_USER | PTE_ACCESSED | PTE_DIRTY)
/* Physical address of the leaf entry of `va` (level 1 when nothing is mapped). */
uint64_t rig_entry(const struct rig *r, uint32_t space, uint64_t va);

/* Appends to a thread; the record may be changed until the next append. */
struct access_rec *rig_access(struct rig *r, uint32_t thread, uint64_t va, uint32_t gap, unsigned flags);
#define rig_load(r, va, gap) rig_access(r, 0, va, gap, 0)
#define rig_store(r, va, gap) rig_access(r, 0, va, gap, ACC_STORE)
/* A branch after `instr_off` instructions; its addresses are those of pcs[pc] and pcs[target]. */
struct branch_rec *rig_branch(struct rig *r, uint32_t thread, unsigned kind, uint32_t instr_off, uint32_t pc,
                              uint32_t target, bool taken);
struct fe_event *rig_event(struct rig *r, uint32_t thread, unsigned type, uint32_t instr_off);
void rig_new_block(struct rig *r, uint32_t thread);

/* An order that reaches a core (or the page tables) at `time`; give them in the order of time. */
struct rig_order *rig_order(struct rig *r, simtime_t time, uint32_t type);

/* Runs to the end and checks that all threads ended and everything asked was answered. */
void rig_run(struct rig *r);
/* Throws the state away, takes up the copy of the save epoch, and runs again. */
void rig_rerun_from_save(struct rig *r);

struct core *rig_core(const struct rig *r, uint32_t core);
const struct core_stats *rig_stats(const struct rig *r); /* of core 0 */
const struct rig_kernel_state *rig_kernel(const struct rig *r);
const struct rig_slice_state *rig_slice(const struct rig *r);
const struct control_state *rig_control(const struct rig *r);
/* Cycle, from RIG_START, at which load number `n` of core 0's last thread has its data. */
uint64_t rig_done(const struct rig *r, uint64_t n);
/* Cycle, from RIG_START, at which the access began that sent read number `n` to the slice; its line. */
uint64_t rig_asked(const struct rig *r, uint64_t n);
uint64_t rig_line(const struct rig *r, uint64_t n);
/* Cycle, from RIG_START, at which the kernel's n-th message of `type` arrived; NULL / never: none. */
const struct msg *rig_told(const struct rig *r, unsigned type, uint32_t n);
uint64_t rig_told_at(const struct rig *r, unsigned type, uint32_t n);
uint32_t rig_ntold(const struct rig *r, unsigned type);

/* Equality that shows both values. */
#define IS(actual, by_hand)                                                                            \
    do {                                                                                               \
        uint64_t actual_ = (actual), by_hand_ = (by_hand);                                             \
        if (actual_ != by_hand_)                                                                       \
            printf("\n    %s:%d: %s is %lld, by hand %lld", __FILE__, __LINE__, #actual,               \
                   (long long)actual_, (long long)by_hand_);                                           \
        CU_ASSERT_EQUAL(actual_, by_hand_);                                                            \
    } while (0)

#endif
