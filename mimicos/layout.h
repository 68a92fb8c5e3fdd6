/*
 * Where a new area of an address space comes to lie: the rules of Linux on x86-64.
 *
 *     0x7ffffffff000  end of user space (47 bits less a page)
 *        random       up to 2^22 pages
 *        stack        grows down
 *        gap          stack limit + guard gap + what the stack may be shifted by, at least 128 MiB
 *        random       up to 2^28 pages
 *     mmap base       areas from here downwards: the highest gap that is large enough
 *        heap         up to 1 GiB above the program
 *        program      position-independent: 0x555555554000 + random; else where it was linked
 *
 * Anonymous areas begin at a multiple of 2 MiB when their length is one, as in Linux 6.13 and the
 * stable branches that took the change (6.7 to 6.12: when they are at least as long as that), and
 * files of at least 2 MiB do as on ext4, xfs and btrfs. Everything random is drawn from a seed;
 * seed 0 means no randomisation, as under `setarch -R`: the mmap base is then 0x7ffff7fff000.
 *
 * A layout is a pure data structure: the ranges in use, sorted, neighbours joined. Requests change
 * it in the order in which they are made, so that the same requests with the same seed give the same
 * addresses on every rank.
 *
 * Sources: Linux arch/x86/mm/mmap.c (mmap_base, stack_maxrandom_size, arch_rnd), arch/x86/kernel/
 * sys_x86_64.c (arch_get_unmapped_area_topdown), mm/mmap.c (vm_unmapped_area, __get_unmapped_area),
 * mm/huge_memory.c (__thp_get_unmapped_area), fs/binfmt_elf.c (load_elf_binary), mm/util.c
 * (randomize_stack_top), arch/x86/kernel/process.c (arch_randomize_brk; 1 GiB since 6.9, 32 MiB
 * before).
 *
 * Checked by hand against /proc/self/maps of programs under `setarch -R` on Linux 6.18: mmap base,
 * program, loader, stack, vvar and vdso, a 4 MiB area (aligned) and one of 2 MiB and 4 KiB (not).
 *
 * Not modelled: address hints (traces do not tell them), 5-level addresses, the legacy bottom-up
 * layout, colouring of files on old AMD processors, huge pages of shared memory, the random bytes
 * that shift the stack pointer within its first pages.
 */
#ifndef MIMICOS_LAYOUT_H
#define MIMICOS_LAYOUT_H

#include "pdes/desc.h"
#include "pdes/types.h"

#define LAYOUT_TASK_SIZE UINT64_C(0x7ffffffff000)
#define LAYOUT_PIE_BASE UINT64_C(0x555555554000) /* two thirds of user space */
#define LAYOUT_MIN_ADDRESS UINT64_C(0x10000)     /* vm.mmap_min_addr */
#define LAYOUT_VDSO_BYTES UINT64_C(0x8000)       /* vvar and vdso, seen on Linux 6.18 */

enum layout_mode { LAYOUT_RECORDED, LAYOUT_LINUX };
enum layout_align { LAYOUT_ALIGN_NEVER, LAYOUT_ALIGN_MULTIPLES, LAYOUT_ALIGN_LARGE };

struct layout_params {
    uint64_t mode; /* enum layout_mode */
    uint64_t seed;
    uint64_t mmap_bits, stack_bits; /* of random page numbers */
    uint64_t brk_size;              /* range of the random distance between program and heap */
    uint64_t thp_align;             /* enum layout_align */
};
extern const char *const layout_mode_words[];
extern const char *const layout_align_words[];

/*
 * How an area got its place: carried by the map event in the bits above its area's number, and
 * counted by the kernel.
 */
enum layout_outcome {
    LAYOUT_AS_RECORDED,
    LAYOUT_EXEC,     /* program, loader, first stack: as execve does */
    LAYOUT_SEARCHED, /* in the highest gap below the mmap base */
    LAYOUT_ALIGNED,  /* so, at a multiple of 2 MiB */
    LAYOUT_FIXED,    /* at a fixed place in or beside another area, with which it moved */
    LAYOUT_KEPT,     /* at its recorded address */
    LAYOUT_NOUTCOMES
};
#define LAYOUT_OUTCOME_SHIFT 56

struct layout_range {
    uint64_t start, end;
};

/* A sorted set of disjoint ranges; touching ones are joined. Owns its array. */
struct layout_ranges {
    struct layout_range *r;
    uint32_t n, cap;
};

struct layout {
    struct layout_params p;
    uint64_t instance; /* of the process, for its random numbers */
    uint64_t stack_top, mmap_base;
    struct layout_ranges used;
};

enum layout_kind { LAYOUT_ANONYMOUS, LAYOUT_FILE, LAYOUT_SHARED_MEMORY };

/* An empty address space of process `instance`, whose stacks may grow to `stack_limit` bytes. */
void layout_init(struct layout *l, const struct layout_params *p, uint64_t stack_limit,
                 uint64_t instance);
void layout_free(struct layout *l);

/* Where Linux would put `bytes` (whole pages) that may lie anywhere; 0: nowhere. Changes nothing. */
uint64_t layout_find(const struct layout *l, uint64_t bytes, enum layout_kind kind,
                     bool *aligned_out);
/* First address of a position-independent program that names a loader. */
uint64_t layout_program(const struct layout *l);
/* Random distance of the heap from its lowest place. */
uint64_t layout_brk_gap(const struct layout *l);

/* The range is in use from now on, or free again. False: no host memory. */
bool layout_take(struct layout *l, uint64_t start, uint64_t bytes);
bool layout_release(struct layout *l, uint64_t start, uint64_t bytes);
/* Is all of it free and within user space? */
bool layout_is_free(const struct layout *l, uint64_t start, uint64_t bytes);

/* ---- sets of ranges -------------------------------------------------------------------------- */

/* Index of the first range that ends above `at`. */
uint32_t layout_ranges_at(const struct layout_ranges *s, uint64_t at);
/* Adds [start, end), or takes it away. False: no host memory, and nothing changed. */
bool layout_ranges_add(struct layout_ranges *s, uint64_t start, uint64_t end);
bool layout_ranges_remove(struct layout_ranges *s, uint64_t start, uint64_t end);
/* Start of the highest gap of `bytes` within [low, high); 0: none. */
uint64_t layout_ranges_highest_gap(const struct layout_ranges *s, uint64_t bytes, uint64_t low,
                                   uint64_t high);

#endif
