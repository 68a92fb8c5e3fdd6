/*
 * Reader of VMT traces: a front end over one mapped file.
 *
 * A block is decoded in two passes over runs of accesses that stay in the first-level cache: first
 * the addresses, each a base plus a difference, then the records, each a copy of its template with
 * the address put in. Nothing in the file is trusted: sizes are checked against counts, ids against
 * dictionaries and the payload lengths against the payload before a loop runs.
 */
#include "cores/vmt.h"

#include "cores/vmt_codec.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUN 512u     /* accesses per run of the two passes */
#define HISTORY 8u   /* addresses kept before a run; the bases reach back seven */
#define SLACK 64u    /* bytes after each raw column that a load may touch */

struct thread_index {
    uint64_t *offsets; /* of each block */
    uint64_t nblocks, cap;
};

/* Buffers of one thread's decoded block; they grow to the largest one seen. */
struct decoded {
    void *acc, *br, *ev, *pcs;
    size_t acc_cap, br_cap, ev_cap, pcs_cap;
};

/*
 * One open trace. `raw` and the template arrays are scratch for the block being decoded and shared
 * by all threads.
 */
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
    struct decoded *decoded;
    uint8_t *raw[VMT_NCOLS];
    size_t raw_cap[VMT_NCOLS];
    struct access_rec *acc_tmpl;
    uint64_t *last_at_pc;
    uint64_t *addrs;
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

static bool grow(void **p, size_t *cap, size_t need)
{
    if (*cap >= need && *p != NULL)
        return true;
    size_t n = need + need / 4 + 64;
    free(*p); /* the old contents are not needed */
    *p = aligned_alloc(64, (n + 63) & ~(size_t)63);
    *cap = *p != NULL ? n : 0;
    return *p != NULL;
}

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

/* ---- decoding ------------------------------------------------------------------------------ */

/* Cursor over the fields of a plane-wise stored table of n rows. */
struct planes {
    const uint8_t *p;
    uint32_t n;
};

static bool all_zero(const uint8_t *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/*
 * The next field of `nbytes` bytes into every row: `field` is its place in row 0, rows are `stride`
 * bytes apart and hold zeros. Byte b of a field is its b-th byte in memory, as on any little-endian
 * host. Most planes are zeros and cost one comparison.
 */
static inline void get_field(struct planes *pl, unsigned nbytes, void *field, size_t stride)
{
    for (unsigned b = 0; b < nbytes; b++, pl->p += pl->n) {
        const uint8_t *src = pl->p;
        uint8_t *dst = (uint8_t *)field + b;
        if (all_zero(src, pl->n))
            continue;
        for (uint32_t i = 0; i < pl->n; i++)
            dst[i * stride] = src[i];
    }
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "planes are copied byte by byte");

#define GET_FIELD(pl, nbytes, row0, field) \
    get_field(&(pl), (nbytes), &(row0)->field, sizeof *(row0))

/* Sizes that follow from the counts; the payload is bounded here and checked when decoded. */
static const char *check_counts(const struct vmt_block_header *h)
{
    if (h->codec > VMT_CODEC_LZ4)
        return "unknown compression";
    if (h->nacc > VMT_MAX_ACCESSES || h->nbr > VMT_MAX_BRANCHES || h->nev > VMT_MAX_EVENTS ||
        h->npcs > VMT_MAX_PCS)
        return "more records than a block can hold";
    if (h->nacc_tmpl > h->nacc || h->nbr_tmpl > h->nbr || h->nev_tmpl > h->nev)
        return "more templates than records";
    const uint64_t want[VMT_NCOLS_KNOWN] = {
        [VMT_COL_ACC_IDS] = UINT64_C(2) * h->nacc,
        [VMT_COL_ADDR_CTL] = h->nacc,
        [VMT_COL_ADDR_PAYLOAD] = h->col[VMT_COL_ADDR_PAYLOAD].raw_bytes,
        [VMT_COL_ACC_TMPL] = (uint64_t)VMT_ACC_TMPL_BYTES * h->nacc_tmpl,
        [VMT_COL_PCS] = (uint64_t)VMT_PC_BYTES * h->npcs,
        [VMT_COL_BR_IDS] = UINT64_C(2) * h->nbr,
        [VMT_COL_BR_TMPL] = (uint64_t)VMT_BR_TMPL_BYTES * h->nbr_tmpl,
        [VMT_COL_EV_IDS] = UINT64_C(2) * h->nev,
        [VMT_COL_EV_TMPL] = (uint64_t)VMT_EV_TMPL_BYTES * h->nev_tmpl,
    };
    for (unsigned c = 0; c < VMT_NCOLS_KNOWN; c++)
        if (h->col[c].raw_bytes != want[c] || h->col[c].stored_bytes > h->col[c].raw_bytes)
            return "column sizes do not fit the record counts";
    if (want[VMT_COL_ADDR_PAYLOAD] > UINT64_C(8) * h->nacc)
        return "more address payload than accesses can use";
    return NULL;
}

static bool unpack_column(struct vmt_reader *r, const struct vmt_block_header *h, unsigned c)
{
    const uint8_t *src = (const uint8_t *)h + sizeof *h;
    for (unsigned i = 0; i < c; i++)
        src += h->col[i].stored_bytes;
    size_t raw = h->col[c].raw_bytes;
    void *p = r->raw[c];
    bool ok = grow(&p, &r->raw_cap[c], raw + SLACK);
    r->raw[c] = p;
    return ok && codec_unpack(p, raw, src, h->col[c].stored_bytes);
}

typedef uint16_t u16x8 __attribute__((vector_size(16)));
typedef int16_t s16x8 __attribute__((vector_size(16)));

/* Every id of every block passes here, so eight are compared at a time. */
static bool ids_below(const uint16_t *ids, uint32_t n, uint32_t limit)
{
    if (n == 0 || limit > UINT16_MAX)
        return true;
    if (limit == 0)
        return false;
    const u16x8 last = (u16x8){0} + (uint16_t)(limit - 1);
    s16x8 over = {0};
    uint32_t i = 0;
    bool ok = true;
    for (; i + 8 <= n; i += 8) {
        u16x8 v;
        memcpy(&v, ids + i, sizeof v);
        over |= v > last;
    }
    for (; i < n; i++)
        ok &= ids[i] < limit;
    uint64_t words[2];
    memcpy(words, &over, sizeof words);
    return ok && (words[0] | words[1]) == 0;
}

static void unpack_pcs(const struct vmt_reader *r, uint32_t n, uint64_t *pcs)
{
    struct planes pl = {r->raw[VMT_COL_PCS], n};
    memset(pcs, 0, n * sizeof *pcs);
    get_field(&pl, VMT_PC_BYTES, pcs, sizeof *pcs);
    uint64_t pc = 0;
    for (uint32_t i = 0; i < n; i++)
        pcs[i] = pc += vmt_unzigzag(pcs[i]);
}

static void unpack_acc_templates(struct vmt_reader *r, uint32_t n)
{
    struct planes pl = {r->raw[VMT_COL_ACC_TMPL], n};
    struct access_rec *t = r->acc_tmpl;
    memset(t, 0, n * sizeof *t);
    GET_FIELD(pl, 4, t, pc_id);
    GET_FIELD(pl, 2, t, gap);
    GET_FIELD(pl, 1, t, size);
    GET_FIELD(pl, 1, t, flags);
    GET_FIELD(pl, 2, t, addr_dep[0]);
    GET_FIELD(pl, 2, t, addr_dep[1]);
    GET_FIELD(pl, 2, t, data_dep);
    GET_FIELD(pl, 1, t, addr_ops[0]);
    GET_FIELD(pl, 1, t, addr_ops[1]);
    GET_FIELD(pl, 1, t, data_ops);
}

static bool acc_templates_legal(const struct vmt_reader *r, uint32_t n, uint32_t npcs)
{
    bool ok = true;
    for (uint32_t i = 0; i < n; i++)
        ok &= r->acc_tmpl[i].pc_id < npcs && r->acc_tmpl[i].size - 1u < 64;
    return ok;
}

/* Payload bytes that the control column asks for; eight codes at a time, code 7 means 8 bytes. */
static uint64_t payload_bytes(const uint8_t *ctl, uint32_t n)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t sum = 0;
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t codes;
        memcpy(&codes, ctl + i, sizeof codes);
        codes &= 7 * ones;
        codes += (codes + ones) >> 3 & ones;
        sum += codes * ones >> 56;
    }
    for (; i < n; i++)
        sum += (ctl[i] & 7u) + ((ctl[i] & 7u) == 7);
    return sum;
}

/*
 * First pass over one run: addrs[-7..-1] are those before it. The chain from one address to the
 * next goes through memory, since any of the last seven, or the last at this program counter, may
 * be the base.
 */
static const uint8_t *decode_addresses(struct vmt_reader *r, uint32_t from, uint32_t n,
                                       uint64_t *addrs, const uint8_t *pay)
{
    static const uint64_t masks[8] = {0,
                                      0xff,
                                      0xffff,
                                      0xffffff,
                                      0xffffffff,
                                      UINT64_C(0xffffffffff),
                                      UINT64_C(0xffffffffffff),
                                      UINT64_MAX};
    const uint8_t *ctl = r->raw[VMT_COL_ADDR_CTL] + from;
    const uint16_t *ids = (const uint16_t *)(const void *)r->raw[VMT_COL_ACC_IDS] + from;
    for (uint32_t i = 0; i < n; i++) {
        unsigned code = ctl[i] & 7u, base = (ctl[i] >> 3) & 7u;
        uint64_t *same_pc = &r->last_at_pc[r->acc_tmpl[ids[i]].pc_id];
        const uint64_t *recent = addrs + i - 1 - base;
        const uint64_t *b = base == VMT_BASE_SAME_PC ? same_pc : recent;
        uint64_t z;
        memcpy(&z, pay, sizeof z);
        pay += code + (code == 7);
        addrs[i] = *b + vmt_unzigzag(z & masks[code]);
        *same_pc = addrs[i];
    }
    return pay;
}

/* Second pass: a template with its address. */
static void decode_records(const struct vmt_reader *r, uint32_t from, uint32_t n,
                           const uint64_t *addrs, struct access_rec *out)
{
    const uint16_t *ids = (const uint16_t *)(const void *)r->raw[VMT_COL_ACC_IDS] + from;
    for (uint32_t i = 0; i < n; i++) {
        out[from + i] = r->acc_tmpl[ids[i]];
        out[from + i].vaddr = addrs[i];
    }
}

static const char *decode_accesses(struct vmt_reader *r, const struct vmt_block_header *h,
                                   struct decoded *d)
{
    for (unsigned c = VMT_COL_ACC_IDS; c <= VMT_COL_ACC_TMPL; c++)
        if (!unpack_column(r, h, c))
            return "an access column does not decompress to its size";
    const uint8_t *pay = r->raw[VMT_COL_ADDR_PAYLOAD];
    if (payload_bytes(r->raw[VMT_COL_ADDR_CTL], h->nacc) !=
        h->col[VMT_COL_ADDR_PAYLOAD].raw_bytes)
        return "the address payload has another length than the control column says";
    if (!ids_below((const uint16_t *)(const void *)r->raw[VMT_COL_ACC_IDS], h->nacc, h->nacc_tmpl))
        return "an access names a template beyond the dictionary";
    unpack_acc_templates(r, h->nacc_tmpl);
    if (!acc_templates_legal(r, h->nacc_tmpl, h->npcs))
        return "an access template has an illegal size or program counter";
    memset(r->last_at_pc, 0, h->npcs * sizeof *r->last_at_pc);
    uint64_t *addrs = r->addrs + HISTORY;
    memset(r->addrs, 0, HISTORY * sizeof *r->addrs);
    for (uint32_t from = 0; from < h->nacc; from += RUN) {
        uint32_t n = h->nacc - from < RUN ? h->nacc - from : RUN;
        pay = decode_addresses(r, from, n, addrs, pay);
        decode_records(r, from, n, addrs, d->acc);
        memmove(r->addrs, r->addrs + n, HISTORY * sizeof *r->addrs);
    }
    return NULL;
}

static const char *decode_branches(struct vmt_reader *r, const struct vmt_block_header *h,
                                   struct decoded *d)
{
    if (!unpack_column(r, h, VMT_COL_BR_IDS) || !unpack_column(r, h, VMT_COL_BR_TMPL))
        return "a branch column does not decompress to its size";
    uint32_t n = h->nbr_tmpl;
    const uint16_t *ids = (const uint16_t *)(const void *)r->raw[VMT_COL_BR_IDS];
    if (!ids_below(ids, h->nbr, n))
        return "a branch names a template beyond the dictionary";
    struct branch_rec *out = d->br, *t = out + h->nbr;
    struct planes pl = {r->raw[VMT_COL_BR_TMPL], n};
    memset(t, 0, n * sizeof *t);
    GET_FIELD(pl, 4, t, pos);
    GET_FIELD(pl, 4, t, pc_id);
    GET_FIELD(pl, 4, t, target_id);
    GET_FIELD(pl, 2, t, instr_off);
    GET_FIELD(pl, 2, t, dep);
    GET_FIELD(pl, 1, t, ops);
    GET_FIELD(pl, 1, t, kind);
    GET_FIELD(pl, 1, t, taken);
    bool ok = true;
    for (uint32_t i = 0; i < n; i++)
        ok &= t[i].pc_id < h->npcs && t[i].target_id < h->npcs;
    if (!ok)
        return "a branch template names a program counter beyond the dictionary";
    uint64_t pos = 0;
    for (uint32_t i = 0; i < h->nbr; i++) {
        out[i] = t[ids[i]];
        pos += out[i].pos;
        out[i].pos = (uint32_t)pos;
    }
    return pos <= h->nacc ? NULL : "a branch stands after the last access";
}

static const char *decode_events(struct vmt_reader *r, const struct vmt_block_header *h,
                                 struct decoded *d)
{
    if (!unpack_column(r, h, VMT_COL_EV_IDS) || !unpack_column(r, h, VMT_COL_EV_TMPL))
        return "an event column does not decompress to its size";
    uint32_t n = h->nev_tmpl;
    const uint16_t *ids = (const uint16_t *)(const void *)r->raw[VMT_COL_EV_IDS];
    if (!ids_below(ids, h->nev, n))
        return "an event names a template beyond the dictionary";
    struct fe_event *out = d->ev, *t = out + h->nev;
    struct planes pl = {r->raw[VMT_COL_EV_TMPL], n};
    memset(t, 0, n * sizeof *t);
    GET_FIELD(pl, 4, t, pos);
    GET_FIELD(pl, 2, t, type);
    GET_FIELD(pl, 2, t, instr_off);
    for (unsigned j = 0; j < 6; j++)
        GET_FIELD(pl, 8, t, a[j]);
    uint64_t pos = 0;
    for (uint32_t i = 0; i < h->nev; i++) {
        out[i] = t[ids[i]];
        pos += out[i].pos;
        out[i].pos = (uint32_t)pos;
    }
    return pos <= h->nacc ? NULL : "an event stands after the last access";
}

/* Does an event template of the block change the memory map, or mark a change? `r->raw` holds them. */
static bool has_map_templates(const struct vmt_reader *r, uint32_t n)
{
    const uint8_t *low = r->raw[VMT_COL_EV_TMPL] + (size_t)4 * n, *high = low + n; /* after `pos` */
    for (uint32_t i = 0; i < n; i++)
        if (high[i] == 0 && low[i] >= FE_MMAP && low[i] <= FE_MAP_MARK)
            return true;
    return false;
}

/* ---- what a truncated trace lost ----------------------------------------------------------- */

static bool wake_known(const struct vmt_reader *r, uint64_t id)
{
    return id < r->nwakes && (r->wakes[id / 64] >> (id % 64) & 1) != 0;
}

/* Waits and marks that point at lost events would hold a replay for ever. */
static void mend_events(const struct vmt_reader *r, struct fe_event *ev, uint32_t n)
{
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
        const struct fe_event *e = &b->ev[i];
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

static void read_ahead(const struct vmt_reader *r, uint32_t thread, uint64_t block)
{
    const struct thread_index *t = &r->threads[thread];
    if (block >= t->nblocks)
        return;
    uint64_t from = t->offsets[block] & ~(PAGE_BYTES - 1);
    uint64_t n = u64_min(r->size - from, 512u << 10);
    madvise((void *)(uintptr_t)(r->map + from), n, MADV_WILLNEED);
}

static enum err grow_decoded(const struct vmt_reader *r, const struct vmt_block_header *h,
                             struct decoded *d)
{
    size_t nacc = (r->flags & VMT_NO_ACCESSES) != 0 ? 0 : h->nacc;
    size_t nbr = (size_t)h->nbr + h->nbr_tmpl, nev = (size_t)h->nev + h->nev_tmpl;
    bool ok = grow(&d->acc, &d->acc_cap, nacc * sizeof(struct access_rec)) &&
              grow(&d->br, &d->br_cap, nbr * sizeof(struct branch_rec)) &&
              grow(&d->ev, &d->ev_cap, nev * sizeof(struct fe_event)) &&
              grow(&d->pcs, &d->pcs_cap, h->npcs * sizeof(uint64_t));
    return ok ? ERR_OK : no_memory(r);
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
    const char *what = check_counts(h);
    if (what != NULL)
        return block_damaged(r, thread, block, offset, what);
    *out = h;
    return ERR_OK;
}

static const char *decode_block(struct vmt_reader *r, const struct vmt_block_header *h,
                                struct decoded *d)
{
    const char *what = NULL;
    if (!unpack_column(r, h, VMT_COL_PCS))
        return "the program counters do not decompress to their size";
    unpack_pcs(r, h->npcs, d->pcs);
    if ((r->flags & VMT_NO_ACCESSES) == 0)
        what = decode_accesses(r, h, d);
    if (what == NULL && (r->flags & VMT_NO_BRANCHES) == 0)
        what = decode_branches(r, h, d);
    if (what == NULL && (r->flags & VMT_NO_EVENTS) == 0)
        what = decode_events(r, h, d);
    return what;
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
    struct decoded *d = &r->decoded[thread];
    e = grow_decoded(r, h, d);
    if (e != ERR_OK)
        return e;
    const char *what = decode_block(r, h, d);
    if (what != NULL)
        return block_damaged(r, thread, block, r->threads[thread].offsets[block], what);
    read_ahead(r, thread, block + 1);
    *out = (struct fe_block){
        .nacc = h->nacc,
        .nbr = (r->flags & VMT_NO_BRANCHES) != 0 ? 0 : h->nbr,
        .nev = (r->flags & VMT_NO_EVENTS) != 0 ? 0 : h->nev,
        .npcs = h->npcs,
        .tail_gap = h->tail_gap,
        .last = block + 1 == r->threads[thread].nblocks,
        .first_instr = h->first_instr,
        .acc = (r->flags & VMT_NO_ACCESSES) != 0 ? NULL : d->acc,
        .br = d->br,
        .ev = d->ev,
        .pcs = d->pcs,
    };
    if (r->info.truncated)
        mend_events(r, d->ev, out->nev);
    return ERR_OK;
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
    if (!unpack_column(r, h, VMT_COL_EV_TMPL))
        return block_damaged(r, thread, block, t->offsets[block],
                             "an event column does not decompress to its size");
    if (!has_map_templates(r, h->nev_tmpl))
        return ERR_OK;
    struct decoded *d = &r->decoded[thread];
    if (!grow(&d->ev, &d->ev_cap, ((size_t)h->nev + h->nev_tmpl) * sizeof(struct fe_event)))
        return no_memory(r);
    const char *what = decode_events(r, h, d);
    if (what != NULL)
        return block_damaged(r, thread, block, t->offsets[block], what);
    out->ev = d->ev;
    out->nev = h->nev;
    if (r->info.truncated)
        mend_events(r, d->ev, out->nev);
    return ERR_OK;
}

static void vmt_reader_close(struct frontend *fe)
{
    struct vmt_reader *r = (struct vmt_reader *)fe;
    for (uint32_t t = 0; r->decoded != NULL && t < fe->nthreads; t++) {
        free(r->decoded[t].acc);
        free(r->decoded[t].br);
        free(r->decoded[t].ev);
        free(r->decoded[t].pcs);
    }
    for (uint32_t t = 0; t < r->nthreads_cap; t++)
        free(r->threads[t].offsets);
    for (unsigned c = 0; c < VMT_NCOLS; c++)
        free(r->raw[c]);
    if (r->map != NULL)
        munmap((void *)(uintptr_t)r->map, r->size);
    free(r->threads);
    free(r->decoded);
    free(r->acc_tmpl);
    free(r->last_at_pc);
    free(r->addrs);
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
    .map_events = vmt_map_events,
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
    r->acc_tmpl = aligned_alloc(64, VMT_MAX_ACCESSES * sizeof *r->acc_tmpl);
    r->last_at_pc = malloc(VMT_MAX_PCS * sizeof *r->last_at_pc);
    r->addrs = malloc((RUN + HISTORY) * sizeof *r->addrs);
    bool ok = r->decoded && r->acc_tmpl && r->last_at_pc && r->addrs;
    return ok ? ERR_OK : no_memory(r);
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
