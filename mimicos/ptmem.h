/*
 * Page-table memory as one rank sees it: a read-mostly replica of the 4 KiB frames that hold page
 * tables, fed by the kernel's mirrored 8-byte writes, each visible from a given time.
 *
 * Life: the engine delivers a write (ptmem_write) before any core of the rank can reach its time;
 * reads name the reader's time and see exactly the writes visible by then; when no core of the rank
 * can act before `floor` any more, writes up to it are folded into the base copy (ptmem_floor).
 * Cores also follow the writes as a log, to drop the written line from their private caches at that
 * time. Any page-table format works: the replica knows addresses and words only.
 *
 * A base (ptmem_share) holds the tables that existed before time 0, in memory that other replicas read,
 * too; a node of it is copied when it is first written.
 */
#ifndef MIMICOS_PTMEM_H
#define MIMICOS_PTMEM_H

#include "pdes/engine.h"
#include "pdes/err.h"
#include "pdes/types.h"

struct ptmem;

/* What a replica begins with: entries of its log that are not yet folded, [begin, end). */
struct ptmem_log {
    uint64_t begin, end;
};

enum err ptmem_create(struct ptmem **out);
void ptmem_destroy(struct ptmem *m);

/*
 * Before the first write: the words of `nnodes` nodes, 512 each, and the frame of each node (0: none),
 * are there from the beginning. Both arrays stay the caller's and are only read.
 */
enum err ptmem_share(struct ptmem *m, const uint64_t *words, const uint32_t *pfns, uint64_t nnodes);

void ptmem_write(struct ptmem *m, const struct mirror_write *w);
void ptmem_floor(struct ptmem *m, simtime_t floor);

/* The word at `addr` (8-byte aligned) as visible at `t`; 0 where nothing was ever written. */
uint64_t ptmem_read(const struct ptmem *m, paddr_t addr, simtime_t t);

/* The word at `addr` will be read in a while: the host should have it near by then. No other effect. */
void ptmem_prefetch(const struct ptmem *m, paddr_t addr);

/*
 * The log of writes: entries are numbered from 0 for the whole run; those not yet folded are
 * [ptmem_log_begin, ptmem_log_end). Times never go back along the log.
 */
static inline uint64_t ptmem_log_begin(const struct ptmem *m) { return ((const struct ptmem_log *)m)->begin; }
static inline uint64_t ptmem_log_end(const struct ptmem *m) { return ((const struct ptmem_log *)m)->end; }
const struct mirror_write *ptmem_log_at(const struct ptmem *m, uint64_t idx);

/* Flat copy, to save a run at an epoch boundary, without the base: that is shared again first. */
size_t ptmem_save_bytes(const struct ptmem *m);
void ptmem_save(const struct ptmem *m, void *buf);
enum err ptmem_load(struct ptmem *m, const void *buf, size_t nbytes);

#endif
