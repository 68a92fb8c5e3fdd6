/*
 * Value types that every layer shares: simulated time, logical-process ids, and addresses.
 *
 * An address, a page number and a frame number are different one-member structs, so that a virtual
 * address handed over as a physical one does not compile; at -O2 this costs no instruction.
 */
#ifndef PDES_TYPES_H
#define PDES_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Simulated time in femtoseconds. 2^64 fs is about five hours. */
typedef uint64_t simtime_t;
#define SIM_NEVER UINT64_MAX

#define FS_PER_NS UINT64_C(1000000)
#define FS_PER_US UINT64_C(1000000000)
#define FS_PER_MS UINT64_C(1000000000000)
#define FS_PER_S UINT64_C(1000000000000000)

/* Index of a logical process in the whole machine; the same on every rank and partition. */
typedef uint32_t lpid_t;
#define LPID_NONE UINT32_MAX

typedef struct {
    uint64_t v;
} vaddr_t; /* virtual byte address */
typedef struct {
    uint64_t v;
} paddr_t; /* physical byte address */
typedef struct {
    uint64_t v;
} vpn_t; /* virtual page number, in 4 KiB units */
typedef struct {
    uint64_t v;
} pfn_t; /* physical frame number, in 4 KiB units */

#define PAGE_SHIFT 12u
#define PAGE_SHIFT_2M 21u
#define PAGE_SHIFT_1G 30u
#define PAGE_BYTES (UINT64_C(1) << PAGE_SHIFT)
#define LINE_SHIFT 6u
#define LINE_BYTES (UINT64_C(1) << LINE_SHIFT)

static inline vpn_t vpn_of(vaddr_t a) { return (vpn_t){a.v >> PAGE_SHIFT}; }
static inline pfn_t pfn_of(paddr_t a) { return (pfn_t){a.v >> PAGE_SHIFT}; }
static inline paddr_t paddr_of_pfn(pfn_t f) { return (paddr_t){f.v << PAGE_SHIFT}; }

static inline uint64_t u64_min(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t u64_max(uint64_t a, uint64_t b) { return a > b ? a : b; }
static inline bool is_pow2(uint64_t x) { return x != 0 && (x & (x - 1)) == 0; }
/* Floor of log2; x must not be 0. */
static inline unsigned log2_floor(uint64_t x) { return 63u - (unsigned)__builtin_clzll(x); }

/* Sum that stays at SIM_NEVER instead of wrapping around. */
static inline simtime_t time_add(simtime_t t, simtime_t d)
{
    return t > SIM_NEVER - d ? SIM_NEVER : t + d;
}

#endif
