/*
 * Reading and writing VMT traces (the file itself: vmt_format.h).
 *
 * The reader is a front end: vmt_open maps the file, builds the index from its footer or, when the
 * writer was killed, by walking the block headers, and decodes blocks on demand into buffers of its
 * own, one per thread. The writer takes a thread's instructions in program order:
 *
 *     vmt_create(path, meta, &w); t = vmt_thread_open(w);
 *     vmt_instr(t, 3); vmt_access(t, pc, &rec);   three instructions, the third one accesses
 *     vmt_thread_close(t); vmt_close(w, meta_at_end);
 */
#ifndef CORES_VMT_H
#define CORES_VMT_H

#include "cores/frontend.h"
#include "cores/vmt_format.h"

/* ---- reader -------------------------------------------------------------------------------- */

enum vmt_open_flag {
    VMT_STRICT = 1u << 0,      /* a trace without a complete footer is an error, not a warning */
    VMT_QUIET = 1u << 1,       /* no warning about truncation; the caller looks at vmt_info */
    VMT_NO_BRANCHES = 1u << 2, /* leave the branch columns alone: nbr is 0 */
    VMT_NO_EVENTS = 1u << 3,
    VMT_NO_ACCESSES = 1u << 4, /* nacc keeps its value but acc is NULL */
    VMT_NO_PAGES = 1u << 5     /* as the front end's no_pages */
};

struct vmt_info {
    struct vmt_file_header header;
    const char *meta; /* all meta texts one after the other; ends with a zero byte */
    uint64_t file_bytes;
    uint64_t nblocks;
    uint64_t nbranches, nevents;
    bool truncated;
    uint64_t valid_bytes; /* truncated: offset of the first byte that is not a whole block */
};

/*
 * Opens a trace. Every error is logged with file, offset and what was expected; nothing is left
 * open then. A truncated trace is used as far as it goes: each thread ends at its last whole block,
 * a futex wait for a wake-up that was lost counts as not having slept, and marks do not ask for map
 * events that were lost. The caller ends with (*out)->ops->close(*out).
 */
enum err vmt_open(const char *path, struct frontend **out);
enum err vmt_open_flags(const char *path, unsigned flags, struct frontend **out);

/* True when the file begins with the magic bytes of a VMT file. */
bool vmt_probe(const char *path);

/* Valid until close. `fe` must come from vmt_open. */
const struct vmt_info *vmt_info(const struct frontend *fe);
/* Blocks of one thread (at least 1). */
uint64_t vmt_nblocks(const struct frontend *fe, uint32_t thread);
/* Header of one block, for tools; NULL when there is no such block. */
const struct vmt_block_header *vmt_block(const struct frontend *fe, uint32_t thread,
                                         uint64_t block);
/* Bytes that the reader has taken for a thread, and for all of them in common, but for the mapped file. */
size_t vmt_thread_bytes(const struct frontend *fe, uint32_t thread);
size_t vmt_common_bytes(const struct frontend *fe);
/* Value of `key` in the meta texts (the last one counts), copied into buf; false when absent. */
bool vmt_meta_get(const struct vmt_info *info, const char *key, char *buf, size_t buf_bytes);

/* ---- writer -------------------------------------------------------------------------------- */

struct vmt_writer;
struct vmt_thread;

struct vmt_writer_opts {
    uint32_t block_accesses; /* 0: the default */
    bool high;               /* slower, smaller compression */
    int min_fd;              /* the descriptor is moved to this number or above; 0: as it comes */
};

/* Creates (truncates) `path`. `meta` is "key=value\n" lines. `opts` may be NULL. */
enum err vmt_create(const char *path, const char *meta, const struct vmt_writer_opts *opts,
                    struct vmt_writer **out);

/*
 * A new thread; they are numbered from 0 in the order of the calls. NULL: no memory. An empty block
 * is written at once, so that the thread exists in the file from now on. Calls for different
 * threads may run at the same time, calls for one thread may not.
 */
struct vmt_thread *vmt_thread_open(struct vmt_writer *w);
uint32_t vmt_thread_index(const struct vmt_thread *t);

/* `n` more instructions have begun; the records that follow belong to the last of them. */
void vmt_instr(struct vmt_thread *t, uint64_t n);
/* An access; rec->gap and rec->pc_id are ignored. */
void vmt_access(struct vmt_thread *t, uint64_t pc, const struct access_rec *rec);
/* A branch; rec->pos, pc_id, target_id and instr_off are ignored. */
void vmt_branch(struct vmt_thread *t, uint64_t pc, uint64_t target, const struct branch_rec *rec);
/* An event with its six arguments. */
void vmt_event(struct vmt_thread *t, uint16_t type, const uint64_t a[6]);
/* Start stamps of the open block, in place of the present ones; for copies of a trace. */
void vmt_stamp(struct vmt_thread *t, uint64_t gseq, uint64_t host_ns);
/* Loads recorded so far: what producer distances count. */
uint64_t vmt_loads(const struct vmt_thread *t);
uint64_t vmt_instrs(const struct vmt_thread *t);

/* Writes out what the thread holds. Adding may go on afterwards (flush) or not (close, frees t). */
void vmt_thread_flush(struct vmt_thread *t);
void vmt_thread_close(struct vmt_thread *t);

struct vmt_totals {
    uint64_t ninstr, naccesses, nbranches, nevents, file_bytes;
};
void vmt_totals(struct vmt_writer *w, struct vmt_totals *out);

/*
 * Writes `meta` (may be NULL), the index and the trailer. All threads must be closed or flushed.
 * vmt_close then frees the writer; vmt_finish leaves it open and vmt_unfinish takes the end off
 * again, so that a process about to be replaced by execve leaves a complete file. The first write
 * error was logged when it happened and is what these return.
 */
enum err vmt_finish(struct vmt_writer *w, const char *meta);
enum err vmt_unfinish(struct vmt_writer *w);
enum err vmt_close(struct vmt_writer *w, const char *meta);

#endif
