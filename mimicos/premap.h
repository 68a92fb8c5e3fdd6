/*
 * os.premap before time 0: the areas of a built-in workload are made and filled with pages by the
 * code that serves faults, untimed, so that a run begins with its page tables in place.
 *
 * The frames are those that write faults in address order would have got, one area after the other.
 * Leaves are accessed and, where the area may be written, dirty: a premapped page looks used, and no
 * walk has to set bits. What a trace maps is filled at its map calls instead (mm_range.c), since its
 * areas come and go during the run.
 */
#ifndef MIMICOS_PREMAP_H
#define MIMICOS_PREMAP_H

#include "mimicos/kernel.h"
#include "mimicos/ptimage.h"

/* Is there anything to build? */
bool premap_wanted(const struct kernel_cfg *cfg);

/*
 * `k` is zeroed, page-aligned memory of kernel_state_bytes. Afterwards it is a kernel at time 0 whose
 * areas exist, and `p` (the caller's, to be closed) the shared page tables. With os.premap_image, loads
 * that file or writes it.
 */
enum err premap_build(struct kernel *k, const struct kernel_cfg *cfg, struct ptimage *p);

/* What the result depends on: lines of "name = value". The caller frees it; NULL: no memory. */
char *premap_key(const struct kernel_cfg *cfg);

#endif
