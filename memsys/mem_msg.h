/*
 * Messages of the memory system. LLC slices and DRAM channels are the servers.
 *
 * Credits: a core has at most `llc_credits` unanswered MEM_READ and MEM_WRITEBACK at all slices
 * together; each is answered exactly once (MEM_DATA, MEM_WB_ACK). An LLC slice has a bounded number
 * of unanswered DRAM_READ/DRAM_WRITE per channel; each is answered once.
 *
 * Room for coherence: MEM_INVALIDATE is already handled by cores (a later directory sends it; today
 * only the fuzz LP does), MEM_READ carries `for_write`.
 */
#ifndef MEMSYS_MEM_MSG_H
#define MEMSYS_MEM_MSG_H

#include "pdes/types.h"

/* What a line holds; kept in every cache line and in every request. */
enum line_kind { LINE_DATA, LINE_CODE, LINE_PT, LINE_KINDS };
extern const char *const mem_kind_names[]; /* NULL-terminated; defined in llc_lp.c */

/* Where a read was served, for the requester's statistics. */
enum served_by { SERVED_L1, SERVED_L2, SERVED_LLC, SERVED_DRAM, SERVED_LEVELS };

enum mem_msg_type {
    MEM_READ = 1,   /* core -> slice: a[0] line paddr, arg token, flags = line_kind | MEM_FOR_WRITE */
    MEM_WRITEBACK,  /* core -> slice: a[0] line paddr, flags = line_kind; dirty line leaves the core */
    MEM_DATA,       /* slice -> core: a[0] line paddr, arg token, flags = line_kind, a[1] served_by */
    MEM_WB_ACK,     /* slice -> core: a[0] line paddr; returns a write-back credit */
    MEM_INVALIDATE, /* any -> core: a[0] line paddr; drop the line, write it back if dirty */
    DRAM_READ,      /* slice -> channel: a[0] line paddr, flags = line_kind, arg token */
    DRAM_WRITE,     /* slice -> channel: a[0] line paddr, flags = line_kind, arg token */
    DRAM_DATA,      /* channel -> slice: a[0] line paddr, arg token */
    DRAM_WRITE_ACK  /* channel -> slice: a[0] line paddr, arg token; returns a write credit */
};
#define MEM_KIND(flags) ((enum line_kind)((flags) & 3u))
#define MEM_FOR_WRITE (1u << 2)

#endif
