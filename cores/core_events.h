/*
 * What a core can log: X(NAME, group, doc, fields). "access" is the access's number in the core's
 * window, which counts up; CORE_LOG_FETCH stands for the front end. Cycles are of the core's clock.
 */
#ifndef CORES_CORE_EVENTS_H
#define CORES_CORE_EVENTS_H

#include "memsys/mem_msg.h"
#include "pdes/elog.h"

#define CORE_LOG_FETCH UINT64_MAX
#define CORE_LOG_UNKNOWN UINT64_MAX /* a cycle that is not known: "unknown", or null */

extern const char *const core_level_names[];  /* L1D, L2, LLC, DRAM, waits, store queue */
extern const char *const core_found_names[];  /* miss, 4K, 2M, 1G, not probed, free */
extern const char *const core_table_names[];  /* none, PT, PD, PDPT, PML4, PML5 */
extern const char *const core_access_names[]; /* load, store, ... */
extern const char *const core_result_names[]; /* of a walk */
extern const char *const core_join_names[];
extern const char *const core_seg_names[];
extern const char *const core_branch_names[]; /* by enum bpred_miss */

enum { CORE_LEVEL_WAITS = 4, CORE_LEVEL_STORE_QUEUE };
enum { CORE_FOUND_MISS, CORE_FOUND_4K, CORE_FOUND_2M, CORE_FOUND_1G, CORE_FOUND_UNPROBED, CORE_FOUND_FREE };
enum { CORE_JOIN_ACTIVE, CORE_JOIN_QUEUED, CORE_JOIN_NEW };

/* clang-format off */
#define CORE_EVENTS(X) \
    X(DISPATCH, "access", "an access takes its slot", F_COUNT(access), F_HEX(vaddr), F_COUNT(instr), F_NAME(kind, core_access_names), F_COUNT(thread), F_HEX(pc), F_COUNT(kernel)) \
    X(TOUCH, "access", "its address is known: it reads and changes private state", F_COUNT(access), F_HEX(vaddr), F_CYCLE(issue)) \
    X(DATA, "access", "its cache access", F_COUNT(access), F_HEX(vaddr), F_HEX(paddr), F_CYCLE(start), F_COUNT(cycles), F_NAME(level, core_level_names)) \
    X(DONE, "access", "it completes", F_COUNT(access), F_HEX(vaddr), F_CYCLE(done), F_NAME(level, core_level_names)) \
    X(RETIRE, "access", "dispatch waited for it, from and for so many cycles, or it retires", F_COUNT(access), F_HEX(vaddr), F_CYCLE(done), F_CYCLE(retired), F_CYCLE(from), F_COUNT(waited)) \
    X(TLB, "tlb", "TLBs probed: L1 in parallel for all page sizes, then the STLB", F_COUNT(access), F_HEX(vaddr), F_NAME(l1, core_found_names), F_NAME(stlb, core_found_names), F_CYCLE(from), F_COUNT(cycles), F_CYCLE(usable)) \
    X(DESIGN, "tlb", "the MMU design's own structure, behind the STLB", F_COUNT(access), F_HEX(vaddr), F_COUNT(hit), F_CYCLE(from), F_COUNT(cycles)) \
    X(WALK_WAIT, "walk", "an STLB miss joins a walk of its page or waits for a walker", F_COUNT(access), F_HEX(vaddr), F_CYCLE(asked), F_NAME(joins, core_join_names), F_COUNT(queued)) \
    X(WALK_START, "walk", "a walker begins; the walk caches are probed in parallel", F_COUNT(walker), F_HEX(vaddr), F_CYCLE(asked), F_CYCLE(start), F_NAME(found, core_table_names), F_HEX(table), F_COUNT(pwc_cycles)) \
    X(WALK_REF, "walk", "a page-table entry was read", F_COUNT(walker), F_HEX(vaddr), F_NAME(level, core_table_names), F_HEX(entry), F_HEX(value), F_CYCLE(start), F_COUNT(cycles), F_NAME(served, core_level_names)) \
    X(WALK_END, "walk", "a walk ends", F_COUNT(walker), F_HEX(vaddr), F_CYCLE(asked), F_CYCLE(start), F_CYCLE(end), F_NAME(result, core_result_names), F_COUNT(page_shift), F_HEX(page)) \
    X(REQUEST, "line", "a line is asked for beyond L2", F_HEX(line), F_NAME(kind, mem_kind_names), F_CYCLE(start), F_COUNT(slice), F_TIME(arrives)) \
    X(ARRIVE, "line", "a line arrives", F_HEX(line), F_NAME(kind, mem_kind_names), F_CYCLE(sent), F_COUNT(cycles), F_NAME(served, core_level_names)) \
    X(PREFETCH, "line", "a prefetch is sent: into L1D from L2, or from where it will be found; or into L2", F_HEX(line), F_NAME(into, core_level_names), F_NAME(from, core_level_names), F_CYCLE(start)) \
    X(FAULT, "fault", "a page fault leaves for the kernel", F_COUNT(access), F_HEX(vaddr), F_CYCLE(at), F_COUNT(flags)) \
    X(RESUME, "fault", "the kernel answers: the thread goes on", F_COUNT(fault), F_COUNT(cycles), F_COUNT(result)) \
    X(SEG, "step", "a piece of a handler", F_NAME(kind, core_seg_names), F_HEX(addr), F_COUNT(bytes), F_TIME(cost)) \
    X(AD, "walk", "accessed or dirty bits set", F_HEX(entry), F_HEX(bits)) \
    X(SHOOTDOWN, "shootdown", "translations dropped", F_HEX(vaddr), F_COUNT(bytes), F_COUNT(asid), F_COUNT(id), F_TIME(cost)) \
    X(INTERRUPT, "shootdown", "time taken by an interrupt", F_TIME(cost)) \
    X(CALL, "call", "a call to the kernel", F_COUNT(type), F_HEX(a0), F_HEX(a1), F_HEX(a2)) \
    X(SWITCH, "call", "a thread comes to the core", F_COUNT(thread), F_COUNT(asid)) \
    X(BRANCH, "branch", "dispatch is behind a branch that the front end took wrong", F_HEX(pc), F_HEX(target), F_NAME(why, core_branch_names), F_CYCLE(slot), F_CYCLE(resolved), F_CYCLE(resumed)) \
    X(FETCH, "fetch", "dispatch waited for a line of code", F_HEX(vaddr), F_HEX(paddr), F_CYCLE(from), F_CYCLE(ready), F_COUNT(ahead)) \
    X(IDLE, "call", "the core has no thread", F_COUNT(thread))
/* clang-format on */

enum core_event {
#define X(name, ...) CE_##name,
    CORE_EVENTS(X)
#undef X
        CE_COUNT
};
_Static_assert(CE_COUNT <= 64, "a bit each");

extern const struct elog_desc core_events[CE_COUNT];

#define CORE_LOG(x, kind, ...) LP_LOG((x)->lp, CE_##kind, __VA_ARGS__)

#endif
