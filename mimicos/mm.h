/*
 * Memory management: frames, address spaces, demand faults and map calls, as plain calls.
 *
 * Pure: no clock, no messages. Each handler changes the state at once and tells a krun what it did
 * and which page-table entries it wrote; when and where that shows is the caller's business. The
 * whole state is one flat block: struct mm, then the arrays at the offsets that it holds.
 *
 * A page is born by a fault or by os.premap (anonymous: cleared; file: a page-cache hit; outside every area: a
 * stray page of its own, counted), may be moved, cut (1 GiB to 2 MiB to 4 KiB), promoted, copied (first write to a
 * private file page), and dies when it is unmapped; its frame is free after the caller says that
 * no core can hold a translation any more (mm_op_free).
 *
 * Not modelled: the zero page (a read fault gets a cleared page of its own), major faults and
 * write-back (files are always in the page cache, one copy per mapping, since traces do not name
 * files), swap, NUMA, khugepaged. A table node emptied by madvise is freed only by a
 * later unmapping that meets a page in its 2 MiB, or at the end of the address space (mm_exit.c).
 * An address space is taken down when its program begins anew (program.h); that of a program that
 * does not is still there at the end of the run.
 *
 * Sources: Linux mm/memory.c (handle_mm_fault, do_anonymous_page, do_read_fault, do_wp_page),
 * mm/huge_memory.c (do_huge_pmd_anonymous_page), mm/mmap.c, mm/mprotect.c, mm/mremap.c.
 */
#ifndef MIMICOS_MM_H
#define MIMICOS_MM_H

#include "mimicos/alloc.h"
#include "mimicos/buddy.h"
#include "mimicos/pagetable.h"
#include "mimicos/price.h"
#include "mimicos/vma.h"

enum mm_thp { THP_NEVER, THP_MADVISE, THP_ALWAYS };

struct mm_config {
    struct buddy_config frames;
    uint64_t format;      /* index in PT_FORMATS */
    uint64_t thp;         /* enum mm_thp */
    uint64_t alloc;       /* index in ALLOC_LIST */
    uint64_t page_1g;     /* 1: 1 GiB pages where an area covers the region and the pool has one */
    uint64_t fault_around_bytes;
    uint64_t stack_limit_bytes;
    uint64_t flush_ceiling_pages; /* more pages than this: flush everything */
    uint32_t nspaces, max_vmas, max_nodes;
    uint64_t boot_frames; /* single frames that are taken before anything else, for good */
    bool infer_vmas; /* every address is anonymous memory */
    const bool *infer_vmas_of; /* per address space, in place of infer_vmas; NULL: the same in all. Not kept */
    bool populate;   /* map calls fill the anonymous areas that they make, untimed */
};

/* What a fault turned out to be. */
enum mm_fault_kind {
    FAULT_ANON_4K,
    FAULT_ANON_2M,
    FAULT_ANON_1G,
    FAULT_FILE,     /* page-cache hit */
    FAULT_COW,      /* copy of a private file page */
    FAULT_SPURIOUS, /* the page table already allows it */
    FAULT_SEGV,     /* outside every area, or against its rights: mapped anyway */
    FAULT_NOMEM,    /* no frame left: the run cannot go on */
    FAULT_KINDS
};

struct mm_fault {
    enum mm_fault_kind kind;
    uint32_t npages;    /* mapped, fault-around included */
    uint32_t missed;    /* bit s: a page of 2^s bytes was due, but there was no block */
    bool promoted;      /* its 2 MiB region has become one leaf */
    bool stack_grown;
};

/* A map call in progress: ranges still to do, and what to flush and free at its end. */
enum mm_act { MM_UNMAP, MM_ZAP /* keeps the nodes */, MM_PROTECT, MM_MOVE, MM_POPULATE };
#define MM_OP_RANGES 4u

struct mm_op {
    uint64_t at[MM_OP_RANGES], end[MM_OP_RANGES];
    uint64_t to;                    /* MM_MOVE: where `at` goes */
    uint64_t flush_start, flush_end; /* equal: nothing to flush */
    uint64_t flush_leaf_bytes;       /* smallest page in it */
    uint64_t npages;                /* leaves touched */
    uint32_t act[MM_OP_RANGES];
    uint32_t asid, nranges, range;
    uint32_t free_head, free_tail; /* pfn + 1; chained by the frames' owner links */
    uint32_t nfree, reserved;
};

enum mm_result {
    MM_OK,
    MM_VMA_LIMIT, /* os.max_vmas reached */
    MM_RANGE,     /* arguments that Linux would refuse; nothing was done */
    MM_NOMEM
};

struct mm_space {
    paddr_t root;
    uint64_t vmas_at; /* offset of its vma_set from struct mm */
    uint64_t infer_vmas;
};

struct mm_node {
    simtime_t visible_fs; /* the entry that points to it can be read from this time on */
    uint32_t pfn;
    uint32_t next_free; /* slot + 1 */
};

struct mm {
    struct mm_config cfg;
    uint64_t buddy_at, alloc_at, nodes_at, words_at, spaces_at; /* offsets from struct mm */
    uint32_t nnodes, node_high_water; /* slots in use; slots ever used */
    uint32_t free_node;               /* slot + 1 */
    uint32_t reserved;
};

/* The block that two faults exclude each other in: the largest page that one of them may map. */
static inline unsigned mm_lock_shift(const struct mm *m)
{
    return m->cfg.page_1g != 0 ? PAGE_SHIFT_1G : PAGE_SHIFT_2M;
}

const char *mm_config_error(const struct mm_config *cfg);
size_t mm_bytes(const struct mm_config *cfg);
/* `m` points to mm_bytes() zeroed bytes. Makes the roots. MM_NOMEM: not even these fit. */
enum mm_result mm_init(struct mm *m, const struct mm_config *cfg, struct krun *r);

struct buddy *mm_buddy(const struct mm *m);
struct vma_set *mm_vmas(const struct mm *m, uint32_t asid);
paddr_t mm_root(const struct mm *m, uint32_t asid);
/* Every address of the space counts as anonymous memory, whatever was mapped. */
bool mm_infers(const struct mm *m, uint32_t asid);
const struct pt_format *mm_format(const struct mm *m);
/* The page-table word at `addr`, as the kernel sees it. */
uint64_t mm_word(const struct mm *m, paddr_t addr);
/* Nodes of the run become visible at `time`. */
void mm_nodes_visible(struct mm *m, const struct krun *r, simtime_t time);

/*
 * Serves one fault; `flags` are KF_*. `op` (initialised here) receives what must be flushed and
 * freed after a copy. Prices entry to exit, except what follows a flush.
 */
void mm_fault(struct mm *m, struct krun *r, uint32_t asid, vaddr_t va, uint64_t flags,
              struct mm_fault *out, struct mm_op *op);

/*
 * Maps every page of [at, end) that lies in a usable anonymous area and is not mapped yet, in address
 * order, with the frames that write faults (read faults where nothing may be written) would have got:
 * accessed and, where writable, dirty. Costs what the mode of `r` says; `op` receives what promotions
 * leave to be flushed and freed (mode SILENT: freed at once). False: out of frames.
 */
bool mm_populate(struct mm *m, struct krun *r, struct mm_op *op, uint32_t asid, uint64_t at,
                 uint64_t end, uint64_t *npages_out);

/*
 * Map call `call` (enum kcall) with its event arguments: the areas change at once, `op` says which
 * pages follow. Then mm_op_step until it returns false: each does the pages of one 2 MiB region at
 * most. MM_NOMEM from a step ends the run.
 */
enum mm_result mm_call(struct mm *m, struct krun *r, uint32_t asid, unsigned call,
                       const uint64_t a[6], struct mm_op *op);
bool mm_op_step(struct mm *m, struct krun *r, struct mm_op *op, enum mm_result *result_out);
/*
 * Frees what the call unmapped: nothing may use its translations any more. False: nothing was freed
 * yet, since words had to be cleared first; to be called again when those writes are visible.
 */
bool mm_op_free(struct mm *m, struct krun *r, struct mm_op *op);
/*
 * The end of an address space, whose threads have all ended (mm_exit.c): the areas go at once, `op`
 * says which pages follow. Then mm_exit_step until it returns false, a flush of the whole space, and
 * mm_op_free: the space is as mm_init left it. Its root node stays.
 */
void mm_exit(struct mm *m, uint32_t asid, struct mm_op *op);
bool mm_exit_step(struct mm *m, struct krun *r, struct mm_op *op, enum mm_result *result_out);
/* Does the call take pages away that other threads might still use? */
bool mm_call_unmaps(const struct mm *m, uint32_t asid, unsigned call, const uint64_t a[6]);

/*
 * Sets accessed and dirty bits that a walker reported. False: the entry is not a mapped leaf any
 * more.
 */
bool mm_set_bits(struct mm *m, paddr_t pte, uint64_t bits, uint64_t *value_out);

/*
 * Clears the accessed bit of a mapped page that `random` chooses. False: its node holds no page
 * (the choice is not repeated elsewhere).
 */
bool mm_clear_accessed(struct mm *m, uint64_t random, paddr_t *pte_out, uint64_t *value_out);

/* Asserts conservation and that each node is a frame in use. */
void mm_verify(const struct mm *m);

/* Words of all nodes by slot, 512 each, page-aligned if `m` is; and each slot's frame, 0: free. */
uint64_t *mm_words(const struct mm *m);
void mm_node_frames(const struct mm *m, uint32_t *pfns_out);

/* ---- between the files of memory management ---- */

const struct alloc_ops *mm_policy(const struct mm *m);
struct alloc mm_alloc(const struct mm *m, struct krun *r);
/* Asks the policy to give something back; false: it has nothing. */
bool mm_reclaim(struct mm *m, struct krun *r);
/* A block from the buddy, after what the policy can give back; not priced. */
bool mm_take_block(struct mm *m, struct krun *r, unsigned order, pfn_t *pfn_out,
                   unsigned *nsplits_out);

struct mm_run {
    struct mm *m;
    struct krun *r;
    struct mm_op *op; /* may be NULL when nothing is freed */
};
struct pt_store mm_store(struct mm_run *run);
/* Chains a frame or node to be freed by mm_op_free. */
void mm_defer_free(struct mm *m, struct mm_op *op, pfn_t pfn);
void mm_op_init(struct mm_op *op, uint32_t asid);
/* The areas that a space begins with. */
void mm_first_areas(struct mm *m, uint32_t asid);
/* One leaf loses its translation. */
void mm_op_flush(struct mm_op *op, uint64_t start, uint64_t end);
/* Rights of a leaf in an area with these rights. */
uint64_t mm_leaf_rights(uint32_t prot, uint64_t old_bits);

#endif
