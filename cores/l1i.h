/*
 * Lines of code that are in L1I, pages of code that are in its TLB, and where they lie there: used again without a
 * search. A table of each, by number; what it does not know may be there nevertheless. Other arrays than
 * those under LRU with at most sixteen ways are always searched.
 */
#ifndef CORES_L1I_H
#define CORES_L1I_H

#include "cores/core.h"
#include "cores/tlb.h"

/* ---- lines ------------------------------------------------------------------------------------- */

static inline struct code_line *code_line(struct core *c, uint64_t line)
{
    return &c->code_line[(line >> LINE_SHIFT) % CODE_LINES];
}

/* The line leaves L1I. */
static inline void forget_code_line(struct core *c, uint64_t line)
{
    if (code_line(c, line)->line == line)
        code_line(c, line)->line = UINT64_MAX;
}

static __attribute__((noinline)) uint64_t *search_code_line(struct core *c, uint64_t line)
{
    struct sarray *a = core_at(c, c->at.l1i);
    uint32_t set = sarray_set_of(a, line >> LINE_SHIFT);
    uint64_t *held = sarray_use(a, set, line);
    if (held != NULL && sarray_has_spots(a))
        *code_line(c, line) = (struct code_line){line, sarray_spot_of(a, set, held)};
    return held;
}

/* Payload of a line in L1I, counted as a use; NULL: miss. */
static inline uint64_t *use_code_line(struct core *c, uint64_t line)
{
    const struct code_line *l = code_line(c, line);
    return l->line == line ? sarray_use_spot(core_at(c, c->at.l1i), l->spot) : search_code_line(c, line);
}

/* ---- pages of 4 KiB of the present address space ------------------------------------------------ */

static inline struct code_page *code_page(struct core *c, uint64_t page) { return &c->code_page[page % CODE_PAGES]; }

/* The page leaves the TLB. */
static inline void forget_code_page(struct core *c, uint64_t page)
{
    if (code_page(c, page)->page == page)
        code_page(c, page)->page = UINT64_MAX;
}

/* `held` is its payload, and lets it be executed. */
static inline void note_code_page(struct core *c, uint64_t page, const uint64_t *held)
{
    const struct sarray *a = core_at(c, c->at.l1i4k);
    uint32_t set = tlb_set(a, page << PAGE_SHIFT, PAGE_SHIFT);
    if (sarray_has_spots(a))
        *code_page(c, page) = (struct code_page){page, sarray_spot_of(a, set, held)};
}

/* Payload of a known page, not counted as a use. */
static inline uint64_t code_page_held(struct core *c, const struct code_page *p)
{
    return *(const uint64_t *)core_at(c, c->at.l1i4k + p->spot.data);
}

#endif
