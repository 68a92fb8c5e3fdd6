/*
 * See vmt_decode.h.
 *
 * Nothing in the file is trusted: sizes are checked against counts, ids against dictionaries and the
 * payload lengths against the payload before a loop runs. Making a piece has nothing left to check.
 */
#include "cores/vmt_decode.h"

#include "cores/vmt.h"
#include "cores/vmt_codec.h"

#include <stdlib.h>
#include <string.h>

#define SLACK 64u /* bytes after each raw column that a load may touch */

static const char NO_MEMORY[] = "no memory to decode it";

/* ---- buffers --------------------------------------------------------------------------------- */

/* The old contents are lost. NULL: no memory. */
static void *take(struct vmt_buf *b, size_t bytes)
{
    if (b->p != NULL && b->bytes >= bytes)
        return b->p;
    free(b->p);
    b->bytes = (bytes + PAGE_BYTES) & ~(size_t)(PAGE_BYTES - 1); /* blocks differ a little */
    b->p = aligned_alloc(64, b->bytes);
    return b->p;
}

/* The next `bytes` of the room, *used of which are taken; of no room only the size is counted. */
static void *carve(uint8_t *room, size_t *used, size_t bytes)
{
    void *p = room != NULL ? room + *used : NULL;
    *used += (bytes + SLACK + 63) & ~(size_t)63;
    return p;
}

/* Where everything of a block goes that `flags` do not leave out. */
static size_t lay_out(struct vmt_decoded *d, const struct vmt_block_header *h, unsigned flags, uint8_t *room)
{
    size_t used = 0;
    d->pcs = carve(room, &used, h->npcs * sizeof *d->pcs);
    if ((flags & VMT_NO_ACCESSES) == 0) {
        d->piece = carve(room, &used, VMT_PIECE * sizeof *d->piece);
        uint64_t *a = carve(room, &used, (VMT_BASES + VMT_PIECE) * sizeof *a);
        d->addrs = a != NULL ? a + VMT_BASES : NULL;
        d->ids = carve(room, &used, h->nacc * sizeof *d->ids);
        d->ctl = carve(room, &used, h->nacc);
        d->payload = carve(room, &used, h->col[VMT_COL_ADDR_PAYLOAD].raw_bytes);
        d->forms = carve(room, &used, h->nacc_tmpl * sizeof *d->forms);
        d->last_at_pc = carve(room, &used, h->npcs * sizeof *d->last_at_pc);
    }
    if ((flags & VMT_NO_BRANCHES) == 0) {
        d->br_at = carve(room, &used, h->nbr * sizeof *d->br_at);
        d->br_forms = carve(room, &used, h->nbr_tmpl * sizeof *d->br_forms);
    }
    if ((flags & VMT_NO_EVENTS) == 0) {
        d->ev_at = carve(room, &used, h->nev * sizeof *d->ev_at);
        d->ev_forms = carve(room, &used, h->nev_tmpl * sizeof *d->ev_forms);
    }
    return used;
}

static bool make_room(struct vmt_decoded *d, const struct vmt_block_header *h, unsigned flags)
{
    void *room = take(&d->room, lay_out(d, h, flags, NULL));
    if (room != NULL)
        lay_out(d, h, flags, room);
    return room != NULL;
}

void vmt_scratch_free(struct vmt_scratch *s)
{
    for (unsigned c = 0; c < VMT_NCOLS; c++)
        free(s->columns[c].p);
}

void vmt_decoded_free(struct vmt_decoded *d) { free(d->room.p); }

/* ---- columns --------------------------------------------------------------------------------- */

const char *vmt_decode_check(const struct vmt_block_header *h)
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

/* The raw bytes of column `c`, in `dst`, which has room for SLACK more; false: damaged. */
static bool unpack(const struct vmt_block_header *h, unsigned c, void *dst)
{
    const uint8_t *src = (const uint8_t *)h + sizeof *h;
    for (unsigned i = 0; i < c; i++)
        src += h->col[i].stored_bytes;
    return codec_unpack(dst, h->col[c].raw_bytes, src, h->col[c].stored_bytes);
}

/* The same in the scratch. NULL: damaged, or no memory. */
static const void *unpack_scratch(struct vmt_scratch *s, const struct vmt_block_header *h, unsigned c)
{
    void *p = take(&s->columns[c], h->col[c].raw_bytes + SLACK);
    return p != NULL && unpack(h, c, p) ? p : NULL;
}

typedef uint8_t u8x16 __attribute__((vector_size(16)));
#if defined __clang__ || __GNUC__ >= 12
#define SHUFFLE(v, w, ...) __builtin_shufflevector(v, w, __VA_ARGS__)
#else
#define SHUFFLE(v, w, ...) __builtin_shuffle(v, w, (u8x16){__VA_ARGS__})
#endif

/*
 * Rows of `nplanes` bytes, at most 16, from as many byte planes of n bytes each; of each row `bytes` are
 * stored, those behind the planes zeros. Sixteen rows at a time: a square of 16 x 16 bytes is turned over
 * by four rounds of interleaving its upper with its lower half. Reads up to 15 bytes behind the planes.
 */
static inline __attribute__((always_inline)) void get_rows(const uint8_t *planes, uint32_t n, unsigned nplanes,
                                                           void *rows, size_t stride, size_t bytes)
{
    for (uint32_t at = 0; at < n; at += 16) {
        u8x16 v[16] = {{0}}, w[16];
        uint32_t nrows = n - at < 16 ? n - at : 16;
        for (unsigned p = 0; p < nplanes; p++)
            memcpy(&v[p], planes + (size_t)p * n + at, sizeof v[p]);
        for (unsigned round = 0; round < 4; round++) {
            for (unsigned i = 0; i < 8; i++) {
                w[2 * i] = SHUFFLE(v[i], v[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
                w[2 * i + 1] = SHUFFLE(v[i], v[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
            }
            memcpy(v, w, sizeof v);
        }
        for (uint32_t i = 0; i < nrows; i++)
            memcpy((uint8_t *)rows + (at + i) * stride, &v[i], bytes);
    }
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "byte b of a field is its b-th byte in memory");

typedef uint16_t u16x8 __attribute__((vector_size(16)));
typedef int16_t s16x8 __attribute__((vector_size(16)));

/* Eight ids at a time, and with their upper bits turned over: then they compare as signed ones do. */
static inline s16x8 ids_over(const uint16_t *ids, s16x8 last)
{
    u16x8 v;
    memcpy(&v, ids, sizeof v);
    return (s16x8)(v ^ 0x8000) > last;
}

/* Every id of every block passes here. */
static bool ids_below(const uint16_t *ids, uint32_t n, uint32_t limit)
{
    if (n == 0 || limit > UINT16_MAX)
        return true;
    if (limit == 0)
        return false;
    const s16x8 last = (s16x8)((u16x8){0} + (uint16_t)((limit - 1) ^ 0x8000));
    s16x8 over = {0};
    uint32_t i = 0;
    bool ok = true;
    for (; i + 32 <= n; i += 32)
        over |= ids_over(ids + i, last) | ids_over(ids + i + 8, last) | ids_over(ids + i + 16, last) |
                ids_over(ids + i + 24, last);
    for (; i < n; i++)
        ok &= ids[i] < limit;
    uint64_t words[2];
    memcpy(words, &over, sizeof words);
    return ok && (words[0] | words[1]) == 0;
}

/* ---- program counters ------------------------------------------------------------------------ */

static const char *load_pcs(struct vmt_scratch *s, const struct vmt_block_header *h,
                            struct vmt_decoded *d)
{
    const uint8_t *planes = unpack_scratch(s, h, VMT_COL_PCS);
    uint64_t pc = 0;
    if (planes == NULL)
        return "the program counters do not decompress to their size";
    get_rows(planes, h->npcs, VMT_PC_BYTES, d->pcs, sizeof *d->pcs, sizeof *d->pcs);
    for (uint32_t i = 0; i < h->npcs; i++)
        d->pcs[i] = pc += vmt_unzigzag(d->pcs[i]);
    return NULL;
}

/* ---- accesses -------------------------------------------------------------------------------- */

_Static_assert(offsetof(struct access_rec, pc_id) == 8 && offsetof(struct access_rec, data_ops) == 24,
               "the fields of a template stand in a row");

/* False: a size or program counter that there is none of. */
static bool get_forms(const uint8_t *planes, uint32_t n, struct vmt_addr *last_at_pc, uint32_t npcs, struct access_rec *f)
{
    const uint8_t *data_ops = planes + (size_t)16 * n;
    get_rows(planes, n, 16, &f->pc_id, sizeof *f, 16);
    bool ok = true;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t last = data_ops[i];
        ok &= (f[i].pc_id < npcs) & (f[i].size - 1u < 64);
        f[i].vaddr = (uintptr_t)last_at_pc + f[i].pc_id * sizeof *last_at_pc;
        f[i].flags = (uint8_t)((f[i].flags & ~ACC_NO_PRODUCER) | acc_no_producer(f[i].addr_dep, f[i].data_dep));
        memcpy((char *)&f[i] + 24, &last, sizeof last);
    }
    return ok;
}

/* Payload bytes that the control column asks for; sixteen codes at a time, code 7 means 8 bytes. */
static uint64_t payload_bytes(const uint8_t *ctl, uint32_t n)
{
    enum { ROUNDS = 31 }; /* 31 x 8 fit into a byte */
    uint64_t sum = 0;
    uint32_t i = 0;
    while (i + 16 * ROUNDS <= n) {
        u8x16 part = {0};
        for (unsigned k = 0; k < ROUNDS; k++, i += 16) {
            u8x16 codes;
            memcpy(&codes, ctl + i, sizeof codes);
            codes &= 7;
            part += codes - (u8x16)(codes == 7);
        }
        for (unsigned k = 0; k < 16; k++)
            sum += part[k];
    }
    for (; i < n; i++)
        sum += (ctl[i] & 7u) + ((ctl[i] & 7u) == 7);
    return sum;
}

/* The block's first piece is the next one. */
static void rewind_pieces(struct vmt_decoded *d)
{
    d->from = d->to = 0;
    d->next_payload = d->payload;
}

static const char *load_accesses(struct vmt_scratch *s, const struct vmt_block_header *h,
                                 struct vmt_decoded *d)
{
    const uint8_t *tmpl = unpack_scratch(s, h, VMT_COL_ACC_TMPL);
    if (tmpl == NULL || !unpack(h, VMT_COL_ACC_IDS, d->ids) || !unpack(h, VMT_COL_ADDR_CTL, d->ctl) ||
        !unpack(h, VMT_COL_ADDR_PAYLOAD, d->payload))
        return "an access column does not decompress to its size";
    if (payload_bytes(d->ctl, h->nacc) != h->col[VMT_COL_ADDR_PAYLOAD].raw_bytes)
        return "the address payload has another length than the control column says";
    if (!ids_below(d->ids, h->nacc, h->nacc_tmpl))
        return "an access names a template beyond the dictionary";
    if (!get_forms(tmpl, h->nacc_tmpl, d->last_at_pc, h->npcs, d->forms))
        return "an access template has an illegal size or program counter";
    d->nacc = h->nacc;
    d->npcs = h->npcs;
    rewind_pieces(d);
    return NULL;
}

/* By the six low bits of the control column: base, payload length code. */
struct steps {
    uint64_t mask[64]; /* of the payload's next 8 bytes */
    uint32_t back[64]; /* bytes from the access's place in `addrs` to its base's; of base 7 anything */
    uint8_t bytes[64]; /* of the payload */
};
#define EACH_CODE(X, base) X(base, 0) X(base, 1) X(base, 2) X(base, 3) X(base, 4) X(base, 5) X(base, 6) X(base, 7)
#define EACH_STEP(X)                                                                                     \
    EACH_CODE(X, 0) EACH_CODE(X, 1) EACH_CODE(X, 2) EACH_CODE(X, 3) EACH_CODE(X, 4) EACH_CODE(X, 5)      \
    EACH_CODE(X, 6) EACH_CODE(X, 7)
#define MASK(base, code) [(base) * 8 + (code)] = (code) == 7 ? UINT64_MAX : (UINT64_C(1) << 8 * (code)) - 1,
#define BACK(base, code) [(base) * 8 + (code)] = ((base) + 1) * sizeof(uint64_t),
#define BYTES(base, code) [(base) * 8 + (code)] = (code) + ((code) == 7),
static const struct steps steps = {.mask = {EACH_STEP(MASK)}, .back = {EACH_STEP(BACK)}, .bytes = {EACH_STEP(BYTES)}};
_Static_assert(VMT_BASES == VMT_BASE_SAME_PC + 1, "those that BACK reaches");

#define FIRST_SAME_PC (VMT_BASE_SAME_PC * 8u)
#define UNCHANGED FIRST_SAME_PC /* the last address at this program counter, and no payload */

/* All of an access but its address; twice sixteen bytes are cheaper than its nine fields. */
static inline void copy_form(struct access_rec *r, const struct access_rec *f)
{
    memcpy((char *)r + 8, (const char *)f + 8, 16);
    memcpy((char *)r + 24, (const char *)f + 24, 8);
}

/* Before the block's first access every address is 0. */
static void first_addresses(struct vmt_decoded *d, uint64_t now)
{
    const struct vmt_addr zero = {.now = now};
    for (uint32_t i = 0; i < d->npcs; i++)
        d->last_at_pc[i] = zero;
    for (uint32_t i = 0; i < VMT_BASES; i++)
        d->addrs[(int)i - (int)VMT_BASES] = 0;
}

/* Addresses lie elsewhere from here on. */
static void move_again(struct vmt_decoded *d, struct fe_moves *m)
{
    for (uint32_t i = 0; i < d->npcs; i++)
        d->last_at_pc[i].now = fe_moved(m, d->last_at_pc[i].recorded);
    d->version = m->version;
}

/*
 * The bounds of the piece behind the present one, and the addresses before it. True: `now` is where the last
 * addresses lie now, which is not worth having for a few accesses.
 */
static bool begin_piece(struct vmt_decoded *d, uint32_t end, struct fe_moves *m, bool moved)
{
    if (d->to == 0) {
        first_addresses(d, moved ? fe_moved(m, 0) : 0);
        d->version = moved ? m->version : 0;
    } else {
        memmove(d->addrs - VMT_BASES, d->addrs + (d->to - d->from) - VMT_BASES, VMT_BASES * sizeof *d->addrs);
        if (moved && m->version != d->version && end - d->to >= d->npcs)
            move_again(d, m);
    }
    d->from = d->to;
    d->to = end - d->from < VMT_PIECE ? end : d->from + VMT_PIECE;
    return !moved || m->version == d->version;
}

/* Where the next access is made, and from what. */
struct making {
    const uint8_t *ctl, *payload;
    const uint16_t *id;
    const struct access_rec *forms;
    struct access_rec *r;
    uint64_t *addr;
};
#define LIKELY(cond) __builtin_expect(!!(cond), 1)
#define INLINE static inline __attribute__((always_inline))

/* Access `i` from here, whose address is the last one at its program counter. */
INLINE void make_unchanged(const struct making *k, unsigned i)
{
    const struct access_rec *f = &k->forms[k->id[i]];
    const struct vmt_addr *same_pc = (const struct vmt_addr *)(uintptr_t)f->vaddr;
    copy_form(&k->r[i], f);
    k->addr[i] = same_pc->recorded;
    k->r[i].vaddr = same_pc->now;
}

INLINE void make_any(struct making *k, unsigned i, struct fe_moves *m, const bool moved)
{
    const struct access_rec *f = &k->forms[k->id[i]];
    const size_t step = k->ctl[i] & 63u;
    struct vmt_addr *same_pc = (struct vmt_addr *)(uintptr_t)f->vaddr;
    const char *at = step >= FIRST_SAME_PC ? (const char *)&same_pc->recorded : (const char *)&k->addr[i] - steps.back[step];
    uint64_t base, z;
    memcpy(&base, at, sizeof base);
    memcpy(&z, k->payload, sizeof z);
    k->payload += steps.bytes[step];
    const uint64_t addr = base + vmt_unzigzag(z & steps.mask[step]), now = moved ? fe_moved(m, addr) : addr;
    copy_form(&k->r[i], f);
    k->addr[i] = same_pc->recorded = addr;
    k->r[i].vaddr = same_pc->now = now;
}

/*
 * The next piece, up to access `end` at most. The chain from one address to the next goes through memory,
 * since any of the last seven, or the last at this program counter, may be the base. Mostly it is the latter,
 * unchanged: then the address has been moved before, too.
 */
INLINE void next_piece(struct vmt_decoded *d, uint32_t end, struct fe_moves *m, const bool moved)
{
    const bool known = begin_piece(d, end, m, moved);
    struct making k = {.ctl = d->ctl + d->from, .payload = d->next_payload, .id = d->ids + d->from, .forms = d->forms,
                       .r = d->piece, .addr = d->addrs};
    const uint8_t *const stop = d->ctl + d->to;
    while (known && stop - k.ctl >= 4) {
        for (unsigned i = 0; i < 4; i++)
            if (LIKELY(k.ctl[i] == UNCHANGED))
                make_unchanged(&k, i);
            else
                make_any(&k, i, m, moved);
        k.ctl += 4;
        k.id += 4;
        k.r += 4;
        k.addr += 4;
    }
    for (unsigned i = 0; k.ctl + i < stop; i++)
        make_any(&k, i, m, moved);
    d->next_payload = k.payload;
}

void vmt_decode_piece(struct vmt_decoded *d, uint32_t acc)
{
    if (acc < d->from)
        rewind_pieces(d);
    while (acc >= d->to)
        next_piece(d, d->nacc, NULL, false);
}

void vmt_decode_next(struct vmt_decoded *d, bool first, uint32_t end, struct fe_moves *m)
{
    if (first)
        rewind_pieces(d);
    next_piece(d, end < d->nacc ? end : d->nacc, m, true);
}

/* ---- branches and events --------------------------------------------------------------------- */

#define DISTANCE_BYTES 4u
_Static_assert(offsetof(struct branch_rec, reserved) == VMT_BR_TMPL_BYTES - DISTANCE_BYTES, "stored as it stands");
_Static_assert(offsetof(struct fe_event, instr_off) == 2, "stored as it stands");

/* Places from the distances to the place before, which stand in the templates; four at a time, for there are many. */
static uint64_t place(const uint16_t *ids, uint32_t n, const uint64_t *distance, struct fe_at *at)
{
    uint64_t pos = 0;
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (uint32_t k = 0; k < 4; k++) {
            pos += distance[ids[i + k]];
            at[i + k] = (struct fe_at){.pos = (uint32_t)pos, .form = ids[i + k]};
        }
    for (; i < n; i++) {
        pos += distance[ids[i]];
        at[i] = (struct fe_at){.pos = (uint32_t)pos, .form = ids[i]};
    }
    return pos;
}

/* The first field of n templates: accesses since the one before. In the scratch of the program counters. */
static const uint64_t *get_distances(struct vmt_scratch *s, const uint8_t *tmpl, uint32_t n)
{
    uint64_t *distance = take(&s->columns[VMT_COL_PCS], n * sizeof *distance);
    if (distance != NULL)
        get_rows(tmpl, n, DISTANCE_BYTES, distance, sizeof *distance, sizeof *distance);
    return distance;
}

static const char *load_branches(struct vmt_scratch *s, const struct vmt_block_header *h,
                                 struct vmt_decoded *d)
{
    uint32_t n = h->nbr_tmpl;
    const uint16_t *ids = unpack_scratch(s, h, VMT_COL_BR_IDS);
    const uint8_t *tmpl = unpack_scratch(s, h, VMT_COL_BR_TMPL);
    struct branch_rec *f = d->br_forms;
    if (ids == NULL || tmpl == NULL)
        return "a branch column does not decompress to its size";
    if (!ids_below(ids, h->nbr, n))
        return "a branch names a template beyond the dictionary";
    const uint64_t *distance = get_distances(s, tmpl, n);
    if (distance == NULL)
        return NO_MEMORY;
    get_rows(tmpl + (size_t)DISTANCE_BYTES * n, n, VMT_BR_TMPL_BYTES - DISTANCE_BYTES, f, sizeof *f, sizeof *f);
    bool ok = true, known = true;
    for (uint32_t i = 0; i < n; i++) {
        ok &= (f[i].pc_id < h->npcs) & (f[i].target_id < h->npcs);
        known &= f[i].kind <= BR_RET;
    }
    if (!ok)
        return "a branch template names a program counter beyond the dictionary";
    if (!known)
        return "a branch template has a kind that there is none of";
    return place(ids, h->nbr, distance, d->br_at) <= h->nacc ? NULL : "a branch stands after the last access";
}

/* The event templates are in the scratch already. */
static const char *load_events(struct vmt_scratch *s, const struct vmt_block_header *h,
                               const uint8_t *tmpl, struct vmt_decoded *d)
{
    uint32_t n = h->nev_tmpl;
    const uint16_t *ids = unpack_scratch(s, h, VMT_COL_EV_IDS);
    struct fe_event *f = d->ev_forms;
    if (ids == NULL || tmpl == NULL)
        return "an event column does not decompress to its size";
    if (!ids_below(ids, h->nev, n))
        return "an event names a template beyond the dictionary";
    const uint64_t *distance = get_distances(s, tmpl, n);
    if (distance == NULL)
        return NO_MEMORY;
    tmpl += (size_t)DISTANCE_BYTES * n;
    get_rows(tmpl, n, 4, f, sizeof *f, offsetof(struct fe_event, a));
    for (unsigned i = 0; i < 6; i += 2)
        get_rows(tmpl + (4 + 8 * (size_t)i) * n, n, 16, &f->a[i], sizeof *f, 16);
    return place(ids, h->nev, distance, d->ev_at) <= h->nacc ? NULL : "an event stands after the last access";
}

static const uint8_t *event_templates(struct vmt_scratch *s, const struct vmt_block_header *h)
{
    return unpack_scratch(s, h, VMT_COL_EV_TMPL);
}

/* Does an event template of the block change the memory map, or mark a change? */
static bool has_map_events(const uint8_t *tmpl, uint32_t n)
{
    const uint8_t *low = tmpl + (size_t)DISTANCE_BYTES * n, *high = low + n;
    for (uint32_t i = 0; i < n; i++)
        if (high[i] == 0 && low[i] >= FE_MMAP && low[i] <= FE_MAP_MARK)
            return true;
    return false;
}

const char *vmt_decode_map_events(struct vmt_scratch *s, const struct vmt_block_header *h,
                                  struct vmt_decoded *d, uint32_t *nev_out)
{
    const uint8_t *tmpl = event_templates(s, h);
    *nev_out = 0;
    if (tmpl == NULL)
        return "an event column does not decompress to its size";
    if (!has_map_events(tmpl, h->nev_tmpl))
        return NULL;
    if (!make_room(d, h, VMT_NO_ACCESSES | VMT_NO_BRANCHES))
        return NO_MEMORY;
    *nev_out = h->nev;
    return load_events(s, h, tmpl, d);
}

const char *vmt_decode_load(struct vmt_scratch *s, const struct vmt_block_header *h, unsigned flags,
                            struct vmt_decoded *d)
{
    if (!make_room(d, h, flags))
        return NO_MEMORY;
    const char *what = load_pcs(s, h, d);
    if (what == NULL && (flags & VMT_NO_ACCESSES) == 0)
        what = load_accesses(s, h, d);
    if (what == NULL && (flags & VMT_NO_BRANCHES) == 0)
        what = load_branches(s, h, d);
    if (what == NULL && (flags & VMT_NO_EVENTS) == 0)
        what = load_events(s, h, event_templates(s, h), d);
    return what;
}
