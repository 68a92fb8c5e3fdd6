/*
 * Front end: where a simulated thread's instructions come from (a recorded trace, a foreign trace,
 * a built-in workload), behind one interface.
 *
 * A thread's stream is cut into numbered blocks that can be loaded in any order, so that the whole
 * position of a thread is (block, access index, event index, branch index): flat, and enough to
 * save a run or to move a thread to another core on another host. What a front end keeps besides
 * is a cache of decoded blocks.
 */
#ifndef CORES_FRONTEND_H
#define CORES_FRONTEND_H

#include "pdes/err.h"
#include "pdes/types.h"

enum access_flag {
    ACC_STORE = 1u << 0, /* else a load */
    ACC_LOCK = 1u << 1,  /* part of a lock-prefixed instruction */
    ACC_FENCE = 1u << 2, /* a fence (mfence, serialising instruction) stands between the previous access and this */
    ACC_NO_PRODUCER = 1u << 7 /* addr_dep and data_dep are all 0: set by front ends (acc_marked), not kept in files */
};

/* One memory access of one instruction, in program order. 32 bytes. */
struct access_rec {
    uint64_t vaddr;
    uint32_t pc_id;   /* index into fe_block.pcs */
    uint16_t gap;     /* instructions from the previous access's instruction (exclusive) to this one's
                         (inclusive); 0: same instruction as the previous access */
    uint8_t size;     /* bytes, 1 to 64 */
    uint8_t flags;    /* enum access_flag */
    /*
     * Producers: distance, counted in loads of this thread, to the load that produced a source
     * (1 = the latest load before this access; 0 = none within reach), and the number of dependent
     * instructions between the two (each one cycle of latency; saturates at 255).
     */
    uint16_t addr_dep[2]; /* base and index of the address */
    uint16_t data_dep;    /* a store's data */
    uint8_t addr_ops[2];
    uint8_t data_ops;
    uint8_t reserved[5];
};
_Static_assert(sizeof(struct access_rec) == 32, "two accesses to a cache line");

/* ACC_NO_PRODUCER, or 0. */
static inline uint8_t acc_no_producer(const uint16_t addr_dep[2], uint16_t data_dep)
{
    return (addr_dep[0] | addr_dep[1] | data_dep) == 0 ? ACC_NO_PRODUCER : 0;
}

/* The access as a front end gives it out: with the flag that follows from its producers. */
static inline struct access_rec acc_marked(struct access_rec r)
{
    r.flags = (uint8_t)((r.flags & ~ACC_NO_PRODUCER) | acc_no_producer(r.addr_dep, r.data_dep));
    return r;
}

enum branch_kind { BR_COND, BR_JUMP, BR_INDIRECT, BR_CALL, BR_CALL_INDIRECT, BR_RET };

/*
 * One executed branch, but for its place (struct fe_at): the many branches of a block have few forms.
 */
struct branch_rec {
    uint32_t pc_id;
    uint32_t target_id; /* index into fe_block.pcs, for taken branches */
    uint16_t instr_off; /* instructions after the access before it (or block start), >= 1 */
    uint16_t dep;       /* distance in loads to the load that feeds the condition or target, 0 = none */
    uint8_t ops;        /* dependent instructions between */
    uint8_t kind;       /* enum branch_kind */
    uint8_t taken;
    uint8_t reserved;
};

/*
 * Events, in program order with the accesses. `a` per type:
 *   FE_IFETCH_PAGE   {virtual page number of the code page now executed}
 *   FE_MMAP          {order, addr, len, prot, flags, vma id}     prot/flags as Linux x86-64; addr as returned;
 *                    a placed area's id bears from bit 56 on how it got its place (mimicos/layout.h)
 *   FE_MUNMAP        {order, addr, len}
 *   FE_MPROTECT      {order, addr, len, prot}
 *   FE_MREMAP        {order, old addr, old len, new addr, new len, vma id}
 *   FE_BRK           {order, old end, new end, vma id}
 *   FE_MADVISE       {order, addr, len, advice}
 *   FE_MAP_MARK      {order}: every map event up to `order` came before what follows in this thread
 *   FE_FUTEX_WAIT    {uaddr, wake id that released it}: 0 = it did not sleep
 *   FE_FUTEX_WAKE    {uaddr, wake id, threads woken}
 *   FE_THREAD_CREATE {child thread index}
 *   FE_THREAD_EXIT   {wake id (joiners wait for it)}
 *   FE_SYSCALL       {number, return value, read addr, read len, written addr, written len}: any
 *                    other call; the user buffers that the kernel reads and writes
 *   FE_ROI_BEGIN, FE_ROI_END   {user value}
 *   FE_SAMPLE_GAP    {instructions not recorded here}
 *   FE_FORK, FE_EXEC {child pid or 0}: for the record only
 */
enum fe_event_type {
    FE_IFETCH_PAGE = 1,
    FE_MMAP,
    FE_MUNMAP,
    FE_MPROTECT,
    FE_MREMAP,
    FE_BRK,
    FE_MADVISE,
    FE_MAP_MARK,
    FE_FUTEX_WAIT,
    FE_FUTEX_WAKE,
    FE_THREAD_CREATE,
    FE_THREAD_EXIT,
    FE_SYSCALL,
    FE_ROI_BEGIN,
    FE_ROI_END,
    FE_SAMPLE_GAP,
    FE_FORK,
    FE_EXEC
};

struct fe_event {
    uint16_t type;      /* enum fe_event_type; unknown values are skipped and counted */
    uint16_t instr_off; /* instructions after the access before it (or block start) */
    uint64_t a[6];
};

/* A branch or event of a block: it stands before access `pos` (nacc: after the last one). */
struct fe_at {
    uint32_t pos;
    uint32_t form; /* index into br_forms or ev_forms */
};

/*
 * One decoded block. Valid until the next load of the same thread. Instructions between the
 * last access and the end of the block are `tail_gap`.
 *
 * Of the accesses only a piece, [acc_from, acc_to), is here at a time, so that it stays in the host's
 * caches and a thread takes little memory: see fe_has and ops->piece.
 */
struct fe_block {
    uint32_t nacc, nbr, nev, npcs;
    uint32_t nbr_forms, nev_forms;
    uint32_t tail_gap;
    uint32_t last; /* 1: the thread ends with this block */
    uint32_t regular; /* 1: a few accesses come again and again; which of them have producers can be foreseen */
    uint64_t first_instr;
    uint32_t acc_from, acc_to;
    const struct access_rec *piece;
    const struct fe_at *br_at, *ev_at;
    const struct branch_rec *br_forms;
    const struct fe_event *ev_forms;
    const uint64_t *pcs;
};

/* Is access `i` in the present piece? */
static inline bool fe_has(const struct fe_block *b, uint32_t i)
{
    return i - b->acc_from < b->acc_to - b->acc_from;
}
static inline const struct access_rec *fe_acc(const struct fe_block *b, uint32_t i)
{
    return b->piece + (i - b->acc_from);
}
static inline const struct branch_rec *fe_br(const struct fe_block *b, uint32_t i)
{
    return &b->br_forms[b->br_at[i].form];
}
static inline const struct fe_event *fe_ev(const struct fe_block *b, uint32_t i)
{
    return &b->ev_forms[b->ev_at[i].form];
}

struct frontend;

/*
 * Where addresses that a front end makes lie now, for an owner that lays its address space out anew. The
 * areas met latest are at the places of some of their pages; 32 bytes, for quick indexing.
 */
struct fe_area {
    uint64_t start, bytes, delta, unused;
};
#define FE_AREA_SHIFT 5
#define FE_NEAR 512u
_Static_assert(sizeof(struct fe_area) == 1u << FE_AREA_SHIFT, "places are counted in bytes");

struct fe_moves {
    uint64_t version; /* another one when any address lies elsewhere; never 0 */
    /* Where an address lies that is not in *near; may put its area there. */
    uint64_t (*find)(struct fe_moves *m, struct fe_area *near, uint64_t addr);
    struct fe_area near[FE_NEAR];
};

static inline uint64_t fe_moved(struct fe_moves *m, uint64_t addr)
{
    const size_t at = (addr >> (PAGE_SHIFT - FE_AREA_SHIFT)) & ((FE_NEAR - 1) << FE_AREA_SHIFT); /* bytes */
    struct fe_area *a = (struct fe_area *)((char *)m->near + at);
    return __builtin_expect(addr - a->start < a->bytes, 1) ? addr + a->delta : m->find(m, a, addr);
}

struct frontend_ops {
    const char *name;
    const char *doc;
    /*
     * Decodes block `block` of `thread` into *out. ERR_TRACE with a logged text that names thread,
     * block and offset when damaged.
     */
    enum err (*load)(struct frontend *fe, uint32_t thread, uint64_t block, struct fe_block *out);
    /*
     * Makes access `acc` (below nacc) of the thread's block, the one loaded last, part of the piece
     * that is here. Quick for the accesses behind the present piece; before it, the block is decoded
     * from its start. Everything was checked when the block was loaded. NULL: `load` gives all.
     */
    void (*piece)(struct frontend *fe, uint32_t thread, uint32_t acc, struct fe_block *out);
    /*
     * The map events and marks of a block (others may stand among them), for those who need no more:
     * the events and `last` are valid until the next call for the thread. NULL: the addresses of this
     * front end are those that it wants. With it, what `load` and `next_piece` give out may be changed by
     * the caller: each call makes it anew.
     */
    enum err (*map_events)(struct frontend *fe, uint32_t thread, uint64_t block,
                           struct fe_block *out);
    /*
     * The accesses behind the present piece, up to access `end` at most, each with its address moved;
     * `first`: those that the block begins with. `end` is above the first of them. Comes with map_events;
     * `piece` is not asked for the block then.
     */
    void (*next_piece)(struct frontend *fe, uint32_t thread, bool first, uint32_t end, struct fe_moves *m,
                       struct fe_block *out);
    void (*close)(struct frontend *fe);
};

/* One program of several that run at once (cores/mix.h). */
struct fe_program {
    const char *name; /* distinct, as it was asked for: "gups:4GiB", "gups:4GiB#2" */
    uint32_t first_thread, nthreads;
    bool all_start, vmas_inferred;
};

/* Common head of every front end. Thread 0 is running at the start; others begin at FE_THREAD_CREATE
 * unless `all_start` (built-in workloads). */
struct frontend {
    const struct frontend_ops *ops;
    uint32_t nthreads;
    bool all_start;
    const struct fe_event *areas; /* map events that come before all else; NULL: in the stream only */
    uint32_t nareas;
    bool areas_mapped;        /* set by the owner: they are done, and do not come in the stream */
    bool no_pages;            /* set by the owner: of an FE_IFETCH_PAGE it looks at nothing but the type */
    bool vmas_inferred;       /* no memory-map events: the kernel backs any address it sees */
    uint64_t ninstr;          /* whole trace, 0 = unknown */
    uint64_t naccesses;       /* whole trace, 0 = unknown */
    const char *description;  /* one line for the summary: command, file, hash */
    /*
     * Several programs: each has an address space of its own, its threads are neighbours, and the
     * numbers in its events (threads, wakes, map orders) are its own. `all_start` and `vmas_inferred`
     * above then say whether any program has it.
     */
    uint32_t nprograms; /* 0: one program, described by the fields above */
    const struct fe_program *programs;
    const uint32_t *space_of_thread; /* [nthreads] */
};

/* Access `i`, which is below nacc, with the piece that holds it. */
static inline const struct access_rec *fe_access(struct frontend *fe, uint32_t thread, uint32_t i,
                                                 struct fe_block *b)
{
    if (!fe_has(b, i))
        fe->ops->piece(fe, thread, i, b);
    return fe_acc(b, i);
}

#endif
