/* See tlb.h. */
#include "cores/tlb.h"

void tlb_drop_asid(struct sarray *a, uint32_t asid)
{
    for (uint32_t set = 0; set < a->nsets; set++)
        for (uint32_t way = 0; way < a->nways; way++)
            if (sarray_valid(a, set, way) && sarray_tag(a, set, way) >> 48 == asid)
                sarray_invalidate(a, set, way);
}
