/*
 * Reader of VMT traces: a front end over one mapped file. What is in a block: vmt_decode.h.
 */
#include "cores/vmt.h"

#include "cores/vmt_codec.h"
#include "cores/vmt_decode.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct thread_index {
    uint64_t *offsets; /* of each block */
    uint64_t nblocks, cap;
    uint64_t ahead; /* the file up to here is on its way into memory */
};

/* One open trace. */
struct vmt_reader {
    struct frontend fe;
    struct vmt_info info;
    unsigned flags;
    char *path;
    char *description;
    char *meta;
    size_t meta_bytes;
    const uint8_t *map;
    uint64_t size;
    struct thread_index *threads;
    uint32_t nthreads_cap;
    struct vmt_decoded *decoded; /* [threads] */
    struct vmt_scratch scratch;
    /* Truncated traces only: what survived. */
    uint64_t *wakes; /* bitmap over wake ids */
    uint64_t nwakes;
    uint64_t last_order; /* map events 1..last_order are all there */
};

static enum err damaged(const struct vmt_reader *r, uint64_t offset, const char *what)
{
    return err_log(ERR_TRACE, "%s: offset %" PRIu64 ": %s", r->path, offset, what);
}

static enum err block_damaged(const struct vmt_reader *r, uint32_t thread, uint64_t block,
                              uint64_t offset, const char *what)
{
    return err_log(ERR_TRACE, "%s: thread %u block %" PRIu64 " at offset %" PRIu64 ": %s", r->path,
                   thread, block, offset, what);
}

/* ---- header, meta, index ------------------------------------------------------------------- */

static bool header_intact(const struct vmt_block_header *h)
{
    return h->magic == VMT_BLOCK_MAGIC && h->header_bytes == sizeof *h &&
           h->header_hash == codec_hash(h, offsetof(struct vmt_block_header, header_hash));
}

static uint64_t stored_bytes(const struct vmt_block_header *h)
{
    uint64_t n = 0;
    for (unsigned c = 0; c < VMT_NCOLS; c++)
        n += h->col[c].stored_bytes;
    return n;
}

static const struct vmt_block_header *header_at(const struct vmt_reader *r, uint64_t offset)
{
    return (const struct vmt_block_header *)(const void *)(r->map + offset);
}

/* Bytes of the intact block at `offset` with header and padding; 0 when there is none. */
static uint64_t block_bytes_at(const struct vmt_reader *r, uint64_t offset)
{
    if (offset % 8 != 0 || offset > r->size || r->size - offset < sizeof(struct vmt_block_header))
        return 0;
    const struct vmt_block_header *h = header_at(r, offset);
    if (!header_intact(h))
        return 0;
    uint64_t n = vmt_pad8(sizeof *h + stored_bytes(h));
    return n <= r->size - offset ? n : 0;
}

/* Appends the text of the meta block at `offset`; returns its size, 0 when there is none. */
static uint64_t take_meta(struct vmt_reader *r, uint64_t offset)
{
    struct vmt_meta_header h;
    if (offset % 8 != 0 || offset > r->size || r->size - offset < sizeof h)
        return 0;
    memcpy(&h, r->map + offset, sizeof h);
    if (h.magic != VMT_META_MAGIC || h.text_bytes > VMT_MAX_META_BYTES ||
        h.header_hash != codec_hash(&h, offsetof(struct vmt_meta_header, header_hash)) ||
        h.text_bytes > r->size - offset - sizeof h)
        return 0;
    const uint8_t *text = r->map + offset + sizeof h;
    if (codec_hash(text, h.text_bytes) != h.text_hash)
        return 0;
    char *p = realloc(r->meta, r->meta_bytes + h.text_bytes + 1);
    if (p == NULL)
        return 0;
    memcpy(p + r->meta_bytes, text, h.text_bytes);
    r->meta = p;
    r->meta_bytes += h.text_bytes;
    p[r->meta_bytes] = '\0';
    return vmt_pad8(sizeof h + h.text_bytes);
}

static enum err check_file_header(struct vmt_reader *r)
{
    struct vmt_file_header *h = &r->info.header;
    if (r->map == NULL || r->size < sizeof *h)
        return err_log(ERR_TRACE, "%s: %" PRIu64 " bytes are too few for a VMT trace (header %zu)",
                       r->path, r->size, sizeof *h);
    memcpy(h, r->map, sizeof *h);
    if (memcmp(h->magic, VMT_FILE_MAGIC, sizeof h->magic) != 0)
        return damaged(r, 0, "not a VMT trace: expected the magic bytes \"VMTRACE\"");
    if (h->major != VMT_MAJOR)
        return err_log(ERR_TRACE, "%s: offset 8: format version %u.%u, this program reads %u.x",
                       r->path, h->major, h->minor, VMT_MAJOR);
    if (h->header_hash != codec_hash(h, offsetof(struct vmt_file_header, header_hash)))
        return damaged(r, 120, "the checksum of the file header does not match");
    if (h->header_bytes != sizeof *h)
        return damaged(r, 12, "the file header is not 128 bytes long");
    if ((h->incompat & ~VMT_INCOMPAT_KNOWN) != 0)
        return err_log(ERR_TRACE, "%s: offset 16: needs features 0x%x that this program lacks",
                       r->path, h->incompat & ~VMT_INCOMPAT_KNOWN);
    return ERR_OK;
}

static enum err no_memory(const struct vmt_reader *r)
{
    return err_log(ERR_MEMORY, "%s: no memory to read the trace", r->path);
}

/* The next block of `thread` starts at `offset`. */
static enum err index_block(struct vmt_reader *r, uint32_t thread, uint64_t offset)
{
    if (thread >= VMT_MAX_THREADS)
        return damaged(r, offset, "thread number above 65535");
    if (thread >= r->nthreads_cap) {
        uint32_t cap = thread + thread / 2 + 16;
        struct thread_index *p = realloc(r->threads, cap * sizeof *p);
        if (p == NULL)
            return no_memory(r);
        memset(p + r->nthreads_cap, 0, (cap - r->nthreads_cap) * sizeof *p);
        r->threads = p;
        r->nthreads_cap = cap;
    }
    if (thread >= r->fe.nthreads)
        r->fe.nthreads = thread + 1;
    struct thread_index *t = &r->threads[thread];
    if (t->nblocks == t->cap) {
        uint64_t cap = t->cap != 0 ? 2 * t->cap : 16;
        uint64_t *p = realloc(t->offsets, cap * sizeof *p);
        if (p == NULL)
            return no_memory(r);
        t->offsets = p;
        t->cap = cap;
    }
    t->offsets[t->nblocks++] = offset;
    r->info.nblocks++;
    return ERR_OK;
}

static void index_clear(struct vmt_reader *r)
{
    for (uint32_t t = 0; t < r->nthreads_cap; t++)
        r->threads[t].nblocks = 0;
    r->fe.nthreads = 0;
    r->info.nblocks = 0;
}

/* False: no trailer, or one that does not fit the file; then the blocks are walked instead. */
static bool read_trailer(const struct vmt_reader *r, struct vmt_trailer *t)
{
    if (r->size < sizeof(struct vmt_file_header) + sizeof *t || r->size % 8 != 0)
        return false;
    memcpy(t, r->map + r->size - sizeof *t, sizeof *t);
    uint64_t room = r->size - sizeof *t;
    return memcmp(t->magic, VMT_TRAILER_MAGIC, sizeof t->magic) == 0 &&
           t->trailer_hash == codec_hash(t, offsetof(struct vmt_trailer, trailer_hash)) &&
           t->index_offset <= room && t->index_offset % 8 == 0 &&
           t->nentries == (room - t->index_offset) / sizeof(struct vmt_index_entry) &&
           (room - t->index_offset) % sizeof(struct vmt_index_entry) == 0 &&
           (t->flags & VMT_TRAILER_COMPLETE) != 0 &&
           codec_hash(r->map + t->index_offset, room - t->index_offset) == t->index_hash;
}

static enum err index_from_footer(struct vmt_reader *r, const struct vmt_trailer *t, bool *ok_out)
{
    uint64_t end = sizeof(struct vmt_file_header);
    *ok_out = false;
    for (uint64_t i = 0; i < t->nentries; i++) {
        struct vmt_index_entry e;
        memcpy(&e, r->map + t->index_offset + i * sizeof e, sizeof e);
        if (e.offset % 8 != 0 || e.offset < end || e.offset > t->index_offset ||
            e.bytes < sizeof(struct vmt_block_header) || e.bytes > t->index_offset - e.offset)
            return ERR_OK;
        end = e.offset + e.bytes;
        enum err err = index_block(r, e.thread, e.offset);
        if (err != ERR_OK)
            return err;
    }
    while (end < t->index_offset) {
        uint64_t n = take_meta(r, end);
        if (n == 0)
            return damaged(r, end, "damaged text between the last block and the index");
        end += n;
    }
    if (end != t->index_offset || r->fe.nthreads != t->nthreads)
        return ERR_OK;
    r->fe.ninstr = t->ninstr;
    r->fe.naccesses = t->naccesses;
    r->info.nbranches = t->nbranches;
    r->info.nevents = t->nevents;
    *ok_out = true;
    return ERR_OK;
}

/* Walks the blocks from `offset` until something is not a whole block. */
static enum err index_from_blocks(struct vmt_reader *r, uint64_t offset)
{
    index_clear(r);
    r->fe.ninstr = r->fe.naccesses = r->info.nbranches = r->info.nevents = 0;
    for (;;) {
        uint64_t n = block_bytes_at(r, offset);
        if (n == 0) {
            n = take_meta(r, offset);
            if (n == 0)
                break;
            offset += n;
            continue;
        }
        const struct vmt_block_header *h = header_at(r, offset);
        if (h->block != (h->thread < r->nthreads_cap ? r->threads[h->thread].nblocks : 0))
            break;
        enum err e = index_block(r, h->thread, offset);
        if (e != ERR_OK)
            return e;
        r->fe.ninstr += h->ninstr;
        r->fe.naccesses += h->nacc;
        r->info.nbranches += h->nbr;
        r->info.nevents += h->nev;
        offset += n;
    }
    r->info.truncated = true;
    r->info.valid_bytes = offset;
    return ERR_OK;
}

static enum err build_index(struct vmt_reader *r)
{
    struct vmt_trailer t;
    uint64_t first = sizeof(struct vmt_file_header);
    uint64_t n = take_meta(r, first);
    bool ok = false;
    if (n == 0)
        return damaged(r, first, "the text after the file header is damaged or cut off");
    if (read_trailer(r, &t)) {
        enum err e = index_from_footer(r, &t, &ok);
        if (e != ERR_OK)
            return e;
    }
    if (!ok) {
        enum err e = index_from_blocks(r, first + n);
        if (e != ERR_OK)
            return e;
    }
    if (r->info.nblocks == 0)
        return err_log(ERR_TRACE, "%s: offset %" PRIu64 ": expected a block, the trace holds none",
                       r->path, first + n);
    if (r->info.truncated && (r->flags & VMT_STRICT) != 0)
        return err_log(ERR_TRACE,
                       "%s: truncated: no index at the end, whole blocks up to offset %" PRIu64
                       " of %" PRIu64,
                       r->path, r->info.valid_bytes, r->size);
    if (r->info.truncated && (r->flags & VMT_QUIET) == 0)
        warn_log("%s: truncated trace: no index at the end, using %" PRIu64
                 " whole blocks up to offset %" PRIu64 " of %" PRIu64,
                 r->path, r->info.nblocks, r->info.valid_bytes, r->size);
    return ERR_OK;
}

/* ---- what a truncated trace lost ----------------------------------------------------------- */

static bool wake_known(const struct vmt_reader *r, uint64_t id)
{
    return id < r->nwakes && (r->wakes[id / 64] >> (id % 64) & 1) != 0;
}

/* Waits and marks that point at lost events would hold a replay for ever. */
static void mend_events(const struct vmt_reader *r, const struct fe_block *b)
{
    struct fe_event *ev = (struct fe_event *)(uintptr_t)b->ev_forms;
    uint32_t n = b->nev_forms;
    for (uint32_t i = 0; i < n; i++) {
        if (ev[i].type == FE_FUTEX_WAIT && !wake_known(r, ev[i].a[1]))
            ev[i].a[1] = 0;
        if (ev[i].type == FE_MAP_MARK && ev[i].a[0] > r->last_order)
            ev[i].a[0] = r->last_order;
    }
}

static bool note_wake(struct vmt_reader *r, uint64_t id)
{
    if (id > UINT32_MAX)
        return true;
    if (id >= r->nwakes) {
        uint64_t n = (id + id / 2 + 1024) & ~UINT64_C(63);
        uint64_t *p = realloc(r->wakes, n / 8);
        if (p == NULL)
            return false;
        memset(p + r->nwakes / 64, 0, (n - r->nwakes) / 8);
        r->wakes = p;
        r->nwakes = n;
    }
    r->wakes[id / 64] |= UINT64_C(1) << (id % 64);
    return true;
}

/* Notes the wake-ups of one block and the map events, as bits over their order numbers. */
static bool note_events(struct vmt_reader *r, const struct fe_block *b, struct vmt_reader *orders)
{
    bool ok = true;
    for (uint32_t i = 0; i < b->nev && ok; i++) {
        const struct fe_event *e = fe_ev(b, i);
        if (e->type == FE_FUTEX_WAKE)
            ok = note_wake(r, e->a[1]);
        else if (e->type == FE_THREAD_EXIT)
            ok = note_wake(r, e->a[0]);
        else if (e->type >= FE_MMAP && e->type <= FE_MADVISE)
            ok = note_wake(orders, e->a[0]);
    }
    return ok;
}

static enum err vmt_load(struct frontend *fe, uint32_t thread, uint64_t block,
                         struct fe_block *out);

static enum err survey_truncated(struct vmt_reader *r)
{
    struct vmt_reader orders = {.wakes = NULL};
    unsigned flags = r->flags;
    enum err e = ERR_OK;
    r->flags = VMT_NO_ACCESSES | VMT_NO_BRANCHES;
    r->info.truncated = false; /* load must not mend while we look */
    for (uint32_t t = 0; t < r->fe.nthreads && e == ERR_OK; t++)
        for (uint64_t b = 0; b < r->threads[t].nblocks && e == ERR_OK; b++) {
            struct fe_block blk;
            e = vmt_load(&r->fe, t, b, &blk);
            if (e == ERR_OK && !note_events(r, &blk, &orders))
                e = no_memory(r);
        }
    while (wake_known(&orders, r->last_order + 1))
        r->last_order++;
    r->info.truncated = true;
    r->flags = flags;
    free(orders.wakes);
    return e;
}

/* ---- the front end ------------------------------------------------------------------------- */

#define READ_AHEAD_BYTES (512u << 10)

static void read_ahead(const struct vmt_reader *r, uint32_t thread, uint64_t block)
{
    struct thread_index *t = &r->threads[thread];
    if (block >= t->nblocks || t->offsets[block] + READ_AHEAD_BYTES / 2 < t->ahead)
        return;
    uint64_t from = t->offsets[block] & ~(PAGE_BYTES - 1);
    uint64_t n = u64_min(r->size - from, READ_AHEAD_BYTES);
    madvise((void *)(uintptr_t)(r->map + from), n, MADV_WILLNEED);
    t->ahead = from + READ_AHEAD_BYTES;
}

/* The block's header when it is whole and its checksums match; that of the columns on request. */
static enum err checked_header(const struct vmt_reader *r, uint32_t thread, uint64_t block,
                               bool columns, const struct vmt_block_header **out)
{
    uint64_t offset = r->threads[thread].offsets[block];
    const struct vmt_block_header *h = header_at(r, offset);
    if (block_bytes_at(r, offset) == 0)
        return block_damaged(r, thread, block, offset,
                             "damaged block header (magic, checksum or size)");
    if (h->thread != thread || h->block != block)
        return block_damaged(r, thread, block, offset, "the header belongs to another block");
    if (columns && codec_hash(h + 1, (size_t)stored_bytes(h)) != h->payload_hash)
        return block_damaged(r, thread, block, offset, "the checksum of the block does not match");
    const char *what = vmt_decode_check(h);
    if (what != NULL)
        return block_damaged(r, thread, block, offset, what);
    *out = h;
    return ERR_OK;
}

static void give_events(const struct vmt_reader *r, const struct vmt_decoded *d, struct fe_block *out)
{
    out->nev = d->nev;
    out->nev_forms = d->nev_forms;
    out->ev_at = d->ev_at;
    out->ev_forms = d->ev_forms;
    if (r->info.truncated)
        mend_events(r, out);
}

static enum err vmt_load(struct frontend *fe, uint32_t thread, uint64_t block,
                         struct fe_block *out)
{
    struct vmt_reader *r = (struct vmt_reader *)fe;
    const struct vmt_block_header *h = NULL;
    if (thread >= fe->nthreads || block >= u64_max(r->threads[thread].nblocks, 1))
        return err_log(ERR_TRACE, "%s: there is no block %" PRIu64 " of thread %u", r->path, block,
                       thread);
    if (r->threads[thread].nblocks == 0) {
        *out = (struct fe_block){.last = 1};
        return ERR_OK;
    }
    enum err e = checked_header(r, thread, block, true, &h);
    if (e != ERR_OK)
        return e;
    struct vmt_decoded *d = &r->decoded[thread];
    const unsigned flags = r->flags | (fe->no_pages ? VMT_NO_PAGES : 0);
    const char *what = vmt_decode_load(&r->scratch, h, flags, d);
    if (what != NULL)
        return block_damaged(r, thread, block, r->threads[thread].offsets[block], what);
    read_ahead(r, thread, block + 1);
    *out = (struct fe_block){
        .nacc = h->nacc,
        .npcs = h->npcs,
        .tail_gap = h->tail_gap,
        .last = block + 1 == r->threads[thread].nblocks,
        .first_instr = h->first_instr,
        .pcs = d->pcs,
    };
    if ((r->flags & VMT_NO_BRANCHES) == 0) {
        out->nbr = h->nbr;
        out->nbr_forms = h->nbr_tmpl;
        out->br_at = d->br_at;
        out->br_forms = d->br_forms;
    }
    if ((r->flags & VMT_NO_EVENTS) == 0)
        give_events(r, d, out);
    return ERR_OK;
}

static void vmt_read_piece(struct frontend *fe, uint32_t thread, uint32_t acc, struct fe_block *out)
{
    struct vmt_decoded *d = &((struct vmt_reader *)fe)->decoded[thread];
    SIM_ASSERT(acc < out->nacc && d->nacc == out->nacc, "no access %u in the block of %u", acc, out->nacc);
    vmt_decode_piece(d, acc);
    out->acc_from = d->from;
    out->acc_to = d->to;
    out->piece = d->piece;
}

static void vmt_next_piece(struct frontend *fe, uint32_t thread, bool first, uint32_t end, struct fe_moves *m,
                           struct fe_block *out)
{
    struct vmt_decoded *d = &((struct vmt_reader *)fe)->decoded[thread];
    uint32_t from = first ? 0 : d->to;
    SIM_ASSERT(d->nacc == out->nacc && from < end && from < d->nacc, "no accesses %u to %u in the block of %u", from,
               end, out->nacc);
    vmt_decode_next(d, first, end, m);
    out->acc_from = d->from;
    out->acc_to = d->to;
    out->piece = d->piece;
}

/*
 * Only the event columns are touched, and mostly but one of them: the whole block's checksum is
 * checked when it is loaded.
 */
static enum err vmt_map_events(struct frontend *fe, uint32_t thread, uint64_t block,
                               struct fe_block *out)
{
    struct vmt_reader *r = (struct vmt_reader *)fe;
    const struct vmt_block_header *h = NULL;
    const struct thread_index *t = &r->threads[thread];
    *out = (struct fe_block){.last = block + 1 >= t->nblocks};
    if (t->nblocks == 0)
        return ERR_OK;
    enum err e = checked_header(r, thread, block, false, &h);
    if (e != ERR_OK || h->nev == 0)
        return e;
    struct vmt_decoded *d = &r->decoded[thread];
    const char *what = vmt_decode_map_events(&r->scratch, h, d);
    if (what != NULL)
        return block_damaged(r, thread, block, t->offsets[block], what);
    if (d->nev != 0)
        give_events(r, d, out);
    return ERR_OK;
}

static void vmt_reader_close(struct frontend *fe)
{
    struct vmt_reader *r = (struct vmt_reader *)fe;
    for (uint32_t t = 0; r->decoded != NULL && t < fe->nthreads; t++)
        vmt_decoded_free(&r->decoded[t]);
    vmt_scratch_free(&r->scratch);
    for (uint32_t t = 0; t < r->nthreads_cap; t++)
        free(r->threads[t].offsets);
    if (r->map != NULL)
        munmap((void *)(uintptr_t)r->map, r->size);
    free(r->threads);
    free(r->decoded);
    free(r->wakes);
    free(r->meta);
    free(r->description);
    free(r->path);
    free(r);
}

static const struct frontend_ops vmt_ops = {
    .name = "vmt",
    .doc = "trace recorded by `concerto record`",
    .load = vmt_load,
    .piece = vmt_read_piece,
    .map_events = vmt_map_events,
    .next_piece = vmt_next_piece,
    .close = vmt_reader_close,
};

static enum err map_file(struct vmt_reader *r)
{
    struct stat st;
    int fd = open(r->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        enum err e = err_log(ERR_TRACE, "%s: cannot open the trace: %s", r->path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return e;
    }
    r->size = (uint64_t)st.st_size;
    void *p = MAP_FAILED;
    if (S_ISREG(st.st_mode) && r->size > 0)
        p = mmap(NULL, r->size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (p == MAP_FAILED)
        return err_log(ERR_TRACE, "%s: cannot map the trace: it must be a regular, non-empty file",
                       r->path);
    r->map = p;
    r->info.file_bytes = r->size;
    return ERR_OK;
}

static enum err take_buffers(struct vmt_reader *r)
{
    r->decoded = calloc(r->fe.nthreads, sizeof *r->decoded);
    return r->decoded != NULL ? ERR_OK : no_memory(r);
}

static void describe(struct vmt_reader *r)
{
    char command[512] = "";
    char line[1024];
    vmt_meta_get(&r->info, "command", command, sizeof command);
    uint64_t id = 0;
    memcpy(&id, r->info.header.uuid, sizeof id);
    int n = snprintf(line, sizeof line, "%s: VMT trace %016" PRIx64 "%s of: %s", r->path, id,
                     r->info.truncated ? " (truncated)" : "", command);
    if (n > 0)
        r->description = strdup(line);
    r->fe.description = r->description != NULL ? r->description : r->path;
}

enum err vmt_open_flags(const char *path, unsigned flags, struct frontend **out)
{
    struct vmt_reader *r = calloc(1, sizeof *r);
    if (r == NULL || (r->path = strdup(path)) == NULL) {
        free(r);
        return err_log(ERR_MEMORY, "%s: no memory to read the trace", path);
    }
    r->fe.ops = &vmt_ops;
    r->flags = flags;
    enum err e = map_file(r);
    if (e == ERR_OK)
        e = check_file_header(r);
    if (e == ERR_OK)
        e = build_index(r);
    if (e == ERR_OK)
        e = take_buffers(r);
    if (e == ERR_OK && r->info.truncated)
        e = survey_truncated(r);
    if (e != ERR_OK) {
        vmt_reader_close(&r->fe);
        return e;
    }
    r->info.meta = r->meta != NULL ? r->meta : "";
    describe(r);
    *out = &r->fe;
    return ERR_OK;
}

enum err vmt_open(const char *path, struct frontend **out) { return vmt_open_flags(path, 0, out); }

bool vmt_probe(const char *path)
{
    char magic[8] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool is = read(fd, magic, sizeof magic) == (ssize_t)sizeof magic &&
              memcmp(magic, VMT_FILE_MAGIC, sizeof magic) == 0;
    close(fd);
    return is;
}

const struct vmt_info *vmt_info(const struct frontend *fe)
{
    return &((const struct vmt_reader *)fe)->info;
}

uint64_t vmt_nblocks(const struct frontend *fe, uint32_t thread)
{
    const struct vmt_reader *r = (const struct vmt_reader *)fe;
    return thread < fe->nthreads ? u64_max(r->threads[thread].nblocks, 1) : 0;
}

const struct vmt_block_header *vmt_block(const struct frontend *fe, uint32_t thread,
                                         uint64_t block)
{
    const struct vmt_reader *r = (const struct vmt_reader *)fe;
    if (thread >= fe->nthreads || block >= r->threads[thread].nblocks)
        return NULL;
    uint64_t offset = r->threads[thread].offsets[block];
    return block_bytes_at(r, offset) != 0 ? header_at(r, offset) : NULL;
}

size_t vmt_thread_bytes(const struct frontend *fe, uint32_t thread)
{
    const struct vmt_reader *r = (const struct vmt_reader *)fe;
    return vmt_decoded_bytes(&r->decoded[thread]) + r->threads[thread].cap * sizeof *r->threads[thread].offsets;
}

size_t vmt_common_bytes(const struct frontend *fe)
{
    return vmt_scratch_bytes(&((const struct vmt_reader *)fe)->scratch);
}

bool vmt_meta_get(const struct vmt_info *info, const char *key, char *buf, size_t buf_bytes)
{
    size_t n = strlen(key);
    bool found = false;
    for (const char *p = info->meta; p != NULL && *p != '\0';) {
        const char *end = strchr(p, '\n');
        size_t len = end != NULL ? (size_t)(end - p) : strlen(p);
        if (len > n && memcmp(p, key, n) == 0 && p[n] == '=') {
            snprintf(buf, buf_bytes, "%.*s", (int)(len - n - 1), p + n + 1);
            found = true;
        }
        p = end != NULL ? end + 1 : NULL;
    }
    return found;
}
