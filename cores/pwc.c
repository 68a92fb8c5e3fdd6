/* See pwc.h. */
#include "cores/pwc.h"

void pwc_drop_range(struct sarray *a, unsigned level, uint32_t asid, uint64_t vaddr, uint64_t bytes)
{
    uint64_t first = pwc_tag(asid, vaddr, level), last = pwc_tag(asid, vaddr + bytes - 1, level);
    for (uint32_t set = 0; set < a->nsets; set++)
        for (uint32_t way = 0; way < a->nways; way++) {
            if (!sarray_valid(a, set, way))
                continue;
            uint64_t tag = sarray_tag(a, set, way);
            if (tag >= first && tag <= last)
                sarray_invalidate(a, set, way);
        }
}
