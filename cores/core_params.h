/*
 * Parameters of a core: pipeline window, TLBs, page-walk caches, walkers, private caches,
 * branch prediction.
 * All values are uint64_t; units are in the rows (core_params.c).
 */
#ifndef CORES_CORE_PARAMS_H
#define CORES_CORE_PARAMS_H

#include "cores/bpred.h"
#include "cores/prefetch.h"
#include "cores/mmu.h"
#include "pdes/desc.h"
#include "pdes/err.h"

struct pipeline_params {
    uint64_t count, clock_hz, width, rob, load_queue, store_queue, refill_cycles, lock_cycles,
        forward_cycles, syscall_cycles, fault_entry_cycles, mmu, overlap;
};

/* Which loads wait for which; serial and independent are the brackets of what dependences can do. */
enum overlap { OVERLAP_RECORDED, OVERLAP_SERIAL, OVERLAP_INDEPENDENT };

/* One TLB; `sizes` of the unified one are switched by its own rows. */
struct tlb_params {
    uint64_t entries, ways, latency_cycles, repl;
};

struct stlb_params {
    uint64_t entries, ways, latency_cycles, repl, entries_1g, ways_1g, share_1g;
};

struct pwc_params {
    uint64_t pml5_entries, pml4_entries, pdpt_entries, pd_entries, ways, latency_cycles;
};

struct ptw_params {
    uint64_t walkers, ref_cycles, dirty_assist_cycles;
};

struct cache_params {
    uint64_t enabled, size_bytes, ways, latency_cycles, repl, mshrs, wb_buffers, prefetcher;
    uint64_t degree, fetch_queue; /* of instructions */
};

enum l1i_prefetcher { L1I_NONE, L1I_NEXT_LINE, L1I_FETCH_AHEAD };

struct core_params {
    struct pipeline_params core;
    struct tlb_params l1i4k, l1i2m, l1d4k, l1d2m, l1d1g;
    struct stlb_params stlb;
    struct pwc_params pwc;
    struct ptw_params ptw;
    struct cache_params l1i, l1d, l2;
    struct bpred_params bpred;
    struct prefetch_params prefetch;
    uint64_t mmu[MMU_COUNT][MMU_NPARAMS]; /* of the designs */
};

/* Of the prefetchers one of all, one of each but none; one of each MMU design. */
#define CORE_NPARAM_GROUPS (13 + PREFETCHER_COUNT + MMU_COUNT)
/* Fills `groups` with the core's groups, bound to `p`. */
void core_param_groups(struct core_params *p, struct param_group groups[CORE_NPARAM_GROUPS]);

/* Checks what single ranges cannot: geometry, credits. ERR_USAGE after a message per problem. */
enum err core_params_check(const struct core_params *p);

#endif
