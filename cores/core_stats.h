/*
 * Statistics of a core, declared once: X(field, path, unit, kind, stamp, doc).
 *
 * Stamp "touch": counted at the touch clock at which the model learned of the occurrence.
 */
#ifndef CORES_CORE_STATS_H
#define CORES_CORE_STATS_H

#include "cores/cpi.h"
#include "cores/frontend.h"
#include "pdes/desc.h"

/* clang-format off */
#define CORE_STATS(X) \
    X(instructions, "instructions", "1", DELTA, TOUCH, "user instructions dispatched") \
    X(cycles, "cycles", "cycle", DELTA, TOUCH, "cycles while a thread was assigned to the core") \
    X(idle_cycles, "idle_cycles", "cycle", DELTA, TOUCH, "cycles without a thread to run") \
    X(loads, "loads", "1", DELTA, TOUCH, "user loads") \
    X(stores, "stores", "1", DELTA, TOUCH, "user stores") \
    X(kernel_accesses, "kernel/accesses", "1", DELTA, TOUCH, "accesses of kernel-mode streams: user buffers copied by system calls, page-table stores of handlers") \
    X(kernel_instructions, "kernel/instructions", "1", DELTA, TOUCH, "instructions of kernel-mode streams (copies of user buffers)") \
    X(kernel_cycles, "kernel/cycles", "cycle", DELTA, TOUCH, "cycles from the exception or call to the resumption of the thread") \
    X(syscalls, "kernel/syscalls", "1", DELTA, TOUCH, "system calls of the trace") \
    X(spin_instructions, "spin/instructions", "1", DELTA, TOUCH, "of all instructions, those in loops that only read one word again and again (cores/spin.h)") \
    X(syscalls_local, "kernel/syscalls_local", "1", DELTA, TOUCH, "of these, calls charged a fixed cost because MimicOS does not model them") \
    X(interrupts, "kernel/interrupts", "1", DELTA, ARRIVAL, "interrupts taken") \
    X(interrupt_cycles, "kernel/interrupt_cycles", "cycle", DELTA, ARRIVAL, "cycles taken by interrupts and shootdowns") \
    X(shootdowns, "kernel/shootdowns", "1", DELTA, ARRIVAL, "TLB shootdowns received") \
    X(stall_rob, "stall/rob", "cycle", DELTA, TOUCH, "dispatch waited for the oldest instruction, reorder buffer full") \
    X(stall_lq, "stall/load_queue", "cycle", DELTA, TOUCH, "dispatch waited for a load queue entry") \
    X(stall_sq, "stall/store_queue", "cycle", DELTA, TOUCH, "dispatch waited for a store queue entry") \
    X(stall_drain, "stall/drain", "cycle", DELTA, TOUCH, "dispatch waited for all older accesses (lock, fence, system call)") \
    X(stall_ifetch, "stall/ifetch", "cycle", DELTA, TOUCH, "dispatch waited for an instruction translation or line") \
    X(stall_branch, "stall/branch", "cycle", DELTA, TOUCH, "dispatch waited for a branch to be resolved or decoded, and for the refill after it") \
    X(br_wrong_direction, "branch/wrong_direction", "1", DELTA, TOUCH, "conditional branches predicted wrong") \
    X(br_wrong_target, "branch/wrong_target", "1", DELTA, TOUCH, "indirect jumps and calls predicted wrong") \
    X(br_wrong_return, "branch/wrong_return", "1", DELTA, TOUCH, "returns predicted wrong") \
    X(br_btb_misses, "branch/btb_misses", "1", DELTA, TOUCH, "taken branches that the BTB did not know, otherwise predicted right: found at decode") \
    X(br_resolve_cycles, "branch/resolve_cycles", "cycle", DELTA, TOUCH, "cycles from the dispatch of a branch predicted wrong to its execution, summed") \
    X(itlb_l1_hits, "itlb/l1_hits", "1", DELTA, TOUCH, "L1 instruction TLB hits (one lookup per change of code page)") \
    X(itlb_l1_misses, "itlb/l1_misses", "1", DELTA, TOUCH, "L1 instruction TLB misses") \
    X(dtlb_l1_hits, "dtlb/l1_hits", "1", DELTA, TOUCH, "L1 data TLB hits") \
    X(dtlb_l1_misses, "dtlb/l1_misses", "1", DELTA, TOUCH, "L1 data TLB misses") \
    X(stlb_hits, "stlb/hits", "1", DELTA, TOUCH, "STLB hits") \
    X(stlb_misses, "stlb/misses", "1", DELTA, TOUCH, "STLB misses: each starts a walk or joins one") \
    X(stlb_hit_cycles, "stlb/hit_cycles", "cycle", DELTA, TOUCH, "latency charged to accesses that hit the STLB") \
    X(mmu_probes, "mmu/probes", "1", DELTA, TOUCH, "STLB misses that probed the MMU design's own structure") \
    X(mmu_hits, "mmu/hits", "1", DELTA, TOUCH, "of these, hits: no walk") \
    X(mmu_cycles, "mmu/cycles", "cycle", DELTA, TOUCH, "latency charged for these probes") \
    X(tlb_l1_cycles, "tlb/l1_cycles", "cycle", DELTA, TOUCH, "latency of L1 TLB hits charged to accesses") \
    X(walks, "ptw/walks", "1", DELTA, TOUCH, "page walks completed") \
    X(walks_data, "ptw/walks_data", "1", DELTA, TOUCH, "walks that a data access started") \
    X(walks_instr, "ptw/walks_instr", "1", DELTA, TOUCH, "walks that an instruction fetch started") \
    X(walks_4k, "ptw/walks_4k", "1", DELTA, TOUCH, "walks that found a 4 KiB page") \
    X(walks_2m, "ptw/walks_2m", "1", DELTA, TOUCH, "walks that found a 2 MiB page") \
    X(walks_1g, "ptw/walks_1g", "1", DELTA, TOUCH, "walks that found a 1 GiB page") \
    X(walks_fault, "ptw/walks_fault", "1", DELTA, TOUCH, "walks that found no translation") \
    X(walk_merged, "ptw/merged", "1", DELTA, TOUCH, "STLB misses that joined a walk of the same page") \
    X(walk_cycles, "ptw/walk_cycles", "cycle", DELTA, TOUCH, "cycles from the start of a walk to its end, summed") \
    X(walk_queue_cycles, "ptw/queue_cycles", "cycle", DELTA, TOUCH, "cycles that walks waited for a walker") \
    X(walk_refs, "ptw/refs", "1", DELTA, TOUCH, "page-table entries read by walks") \
    X(walk_refs_l1, "ptw/refs_l1", "1", DELTA, TOUCH, "of these, served by L1D (or at a fixed cost)") \
    X(walk_refs_l2, "ptw/refs_l2", "1", DELTA, TOUCH, "served by L2") \
    X(walk_refs_llc, "ptw/refs_llc", "1", DELTA, TOUCH, "served by the LLC") \
    X(walk_refs_dram, "ptw/refs_dram", "1", DELTA, TOUCH, "served by DRAM") \
    X(walk_cycles_l1, "ptw/cycles_l1", "cycle", DELTA, TOUCH, "walk cycles spent on references served by L1D, with the walk-cache probe") \
    X(walk_cycles_l2, "ptw/cycles_l2", "cycle", DELTA, TOUCH, "walk cycles spent on references served by L2") \
    X(walk_cycles_llc, "ptw/cycles_llc", "cycle", DELTA, TOUCH, "walk cycles spent on references served by the LLC") \
    X(walk_cycles_dram, "ptw/cycles_dram", "cycle", DELTA, TOUCH, "walk cycles spent on references served by DRAM") \
    X(pwc_pml5_hits, "pwc/pml5_hits", "1", DELTA, TOUCH, "walks whose longest cached prefix was a PML5 entry") \
    X(pwc_pml4_hits, "pwc/pml4_hits", "1", DELTA, TOUCH, "walks whose longest cached prefix was a PML4 entry") \
    X(pwc_pdpt_hits, "pwc/pdpt_hits", "1", DELTA, TOUCH, "walks whose longest cached prefix was a PDPT entry") \
    X(pwc_pd_hits, "pwc/pd_hits", "1", DELTA, TOUCH, "walks whose longest cached prefix was a PD entry") \
    X(pwc_misses, "pwc/misses", "1", DELTA, TOUCH, "walks from the root") \
    X(dirty_assists, "ptw/dirty_assists", "1", DELTA, TOUCH, "dirty bits set for a page that the TLB held as clean") \
    X(ad_updates, "ptw/ad_updates", "1", DELTA, TOUCH, "accessed or dirty bits reported to the kernel") \
    X(faults, "fault/raised", "1", DELTA, TOUCH, "page faults sent to the kernel") \
    X(fault_cycles, "fault/cycles", "cycle", DELTA, TOUCH, "cycles from raising a page fault to resumption") \
    X(l1i_hits, "l1i/hits", "1", DELTA, TOUCH, "L1I hits (one lookup per change of code line, ahead of dispatch or there)") \
    X(l1i_misses, "l1i/misses", "1", DELTA, TOUCH, "L1I misses, merged ones included") \
    X(l1i_merged, "l1i/merged", "1", DELTA, TOUCH, "misses that joined an outstanding one") \
    X(l1i_prefetches, "l1i/prefetches", "1", DELTA, TOUCH, "lines that L1I did not have, asked for ahead of dispatch") \
    X(l1i_behind, "l1i/prefetches_behind", "1", DELTA, TOUCH, "of these, lines behind another that missed; the others are on the predicted path") \
    X(l1i_useful, "l1i/prefetches_useful", "1", DELTA, TOUCH, "prefetched lines that dispatch came to") \
    X(l1i_late, "l1i/prefetches_late", "1", DELTA, TOUCH, "of these, lines that it had to wait for") \
    X(l1d_hits, "l1d/data_hits", "1", DELTA, TOUCH, "L1D hits of data accesses") \
    X(l1d_misses, "l1d/data_misses", "1", DELTA, TOUCH, "L1D misses of data accesses, merged ones included") \
    X(l1d_pt_hits, "l1d/pt_hits", "1", DELTA, TOUCH, "L1D hits of walk references") \
    X(l1d_pt_misses, "l1d/pt_misses", "1", DELTA, TOUCH, "L1D misses of walk references") \
    X(l1d_merged, "l1d/merged", "1", DELTA, TOUCH, "misses that joined an outstanding one") \
    X(l1d_mshr_waits, "l1d/mshr_waits", "1", DELTA, TOUCH, "misses that waited for an MSHR or a write-back buffer") \
    X(l1d_forwards, "l1d/forwards", "1", DELTA, TOUCH, "loads served by an older store in the store queue") \
    X(l1d_writebacks, "l1d/writebacks", "1", DELTA, TOUCH, "dirty lines moved from L1D to L2") \
    X(l2_hits, "l2/data_hits", "1", DELTA, TOUCH, "L2 hits of data lines") \
    X(l2_misses, "l2/data_misses", "1", DELTA, TOUCH, "L2 misses of data lines: requests to the LLC") \
    X(l2_code_hits, "l2/code_hits", "1", DELTA, TOUCH, "L2 hits of code lines") \
    X(l2_code_misses, "l2/code_misses", "1", DELTA, TOUCH, "L2 misses of code lines: requests to the LLC") \
    X(l2_pt_hits, "l2/pt_hits", "1", DELTA, TOUCH, "L2 hits of page-table lines") \
    X(l2_pt_misses, "l2/pt_misses", "1", DELTA, TOUCH, "L2 misses of page-table lines: requests to the LLC") \
    X(l2_writebacks, "l2/writebacks", "1", DELTA, TOUCH, "dirty lines sent to the LLC") \
    X(l2_pt_lines, "l2/pt_lines", "1", GAUGE, TOUCH, "lines of L2 that hold page-table entries") \
    X(l2_used, "l2/lines_used", "1", GAUGE, TOUCH, "lines of L2 filled at least once; below capacity: a cold run") \
    X(invalidated, "l2/invalidated", "1", DELTA, ARRIVAL, "lines dropped because somebody else wrote them") \
    X(answers, "l2/answers", "1", DELTA, ARRIVAL, "answers of the LLC to requests") \
    X(wb_acks, "l2/writeback_acks", "1", DELTA, ARRIVAL, "write-backs acknowledged by the LLC") \
    X(miss_cycles, "l2/miss_cycles", "cycle", DELTA, ARRIVAL, "cycles from request to answer, summed") \
    X(walks_prefetch, "ptw/walks_prefetch", "1", DELTA, TOUCH, "of the walks of data accesses, those that an L1D prefetch started") \
    X(l1_prefetched, "l1d/prefetch/issued", "1", DELTA, TOUCH, "prefetches into L1D; useful + late + useless + unused + those on their way") \
    X(l1_prefetch_l2, "l1d/prefetch/from_l2", "1", DELTA, TOUCH, "of these, lines that L2 had") \
    X(l1_prefetch_joined, "l1d/prefetch/joined", "1", DELTA, TOUCH, "lines that a prefetch into L2 had asked for") \
    X(l1_prefetch_llc, "l1d/prefetch/from_llc", "1", DELTA, TOUCH, "lines requested from the LLC") \
    X(l1_prefetch_useful, "l1d/prefetch/useful", "1", DELTA, TOUCH, "lines that were there when first asked for") \
    X(l1_prefetch_late, "l1d/prefetch/late", "1", DELTA, TOUCH, "lines on their way when first asked for") \
    X(l1_prefetch_useless, "l1d/prefetch/useless", "1", DELTA, TOUCH, "lines replaced or invalidated before anybody asked for them") \
    X(l1_prefetch_unused, "l1d/prefetch/unused", "1", GAUGE, TOUCH, "lines that are there and were not asked for yet") \
    X(l1_prefetch_redundant, "l1d/prefetch/redundant", "1", DELTA, TOUCH, "not issued: the line was there, or on its way") \
    X(l1_prefetch_page_end, "l1d/prefetch/page_end", "1", DELTA, TOUCH, "not issued: beyond the page") \
    X(l1_prefetch_no_mshr, "l1d/prefetch/no_mshr", "1", DELTA, TOUCH, "not issued: no MSHR to spare, or write-backs waited") \
    X(l1_prefetch_untranslated, "l1d/prefetch/untranslated", "1", DELTA, TOUCH, "not issued: on another page, whose translation no TLB had and no walk found") \
    X(l2_prefetched, "l2/prefetch/issued", "1", DELTA, TOUCH, "prefetches into L2, each requested from the LLC; useful + late + useless + unused + those on their way") \
    X(l2_prefetch_useful, "l2/prefetch/useful", "1", DELTA, TOUCH, "lines that were there when L1D first asked for them, also for a prefetch of its own") \
    X(l2_prefetch_late, "l2/prefetch/late", "1", DELTA, TOUCH, "lines on their way when L1D first asked for them") \
    X(l2_prefetch_useless, "l2/prefetch/useless", "1", DELTA, TOUCH, "lines replaced or invalidated before L1D asked for them") \
    X(l2_prefetch_unused, "l2/prefetch/unused", "1", GAUGE, TOUCH, "lines that are there and were not asked for yet") \
    X(l2_prefetch_redundant, "l2/prefetch/redundant", "1", DELTA, TOUCH, "not issued: the line was in L2 or L1D, or on its way") \
    X(l2_prefetch_page_end, "l2/prefetch/page_end", "1", DELTA, TOUCH, "not issued: beyond the page") \
    X(l2_prefetch_no_mshr, "l2/prefetch/no_mshr", "1", DELTA, TOUCH, "not issued: no MSHR to spare, or write-backs waited") \
    X(stlb_used, "stlb/entries_used", "1", GAUGE, TOUCH, "STLB entries filled at least once; below capacity: a cold run") \
    X(unknown_events, "trace/unknown_events", "1", DELTA, TOUCH, "events of the trace that this version does not know")

/* One counter for each enum branch_kind: X(kind, path, doc). */
#define CORE_BRANCHES(X) \
    X(COND, "branch/conditional", "conditional branches dispatched") \
    X(JUMP, "branch/jump", "direct jumps dispatched") \
    X(INDIRECT, "branch/indirect_jump", "indirect jumps dispatched") \
    X(CALL, "branch/call", "direct calls dispatched") \
    X(CALL_INDIRECT, "branch/indirect_call", "indirect calls dispatched") \
    X(RET, "branch/return", "returns dispatched")

#define CORE_HISTS(X) \
    X(walk_latency, "ptw/latency", "cycle", 24, TOUCH, "walk latency, walker queue included; log2 bins") \
    X(fault_latency, "fault/latency", "cycle", 32, TOUCH, "page-fault latency as the thread sees it; log2 bins")
/* clang-format on */

struct core_stats {
#define X(field, path, unit, kind, stamp, doc) uint64_t field;
    CORE_STATS(X)
#undef X
#define X(kind, path, doc) +1
    uint64_t branches[0 CORE_BRANCHES(X)];
#undef X
    uint64_t stack[CPI_NCAUSES];
#define X(field, path, unit, nbins, stamp, doc) uint64_t field[nbins];
    CORE_HISTS(X)
#undef X
};

extern const struct stat_desc core_stat_rows[];
extern const uint32_t core_nstat_rows;

/* Adds one occurrence of `value` to a log2 histogram of `nbins` bins; the last one takes the rest. */
static inline void hist_add(uint64_t *bins, uint32_t nbins, uint64_t value)
{
    uint32_t bin = value == 0 ? 0 : log2_floor(value) + 1;
    bins[bin < nbins ? bin : nbins - 1]++;
}

#endif
