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
        struct access_rec *r = carve(room, &used, (VMT_BASES + VMT_PIECE) * sizeof *r);
        uint64_t *addr = carve(room, &used, (VMT_BASES + VMT_PIECE) * sizeof *addr);
        d->piece = r != NULL ? r + VMT_BASES : NULL;
        d->addrs = addr != NULL ? addr + VMT_BASES : NULL;
        d->ids = carve(room, &used, h->nacc * sizeof *d->ids);
        d->ctl = carve(room, &used, h->nacc);
        d->payload = carve(room, &used, h->col[VMT_COL_ADDR_PAYLOAD].raw_bytes);
        d->forms = carve(room, &used, h->nacc_tmpl * sizeof *d->forms);
        d->data_ops = carve(room, &used, h->nacc_tmpl * sizeof *d->data_ops);
        d->last_of = carve(room, &used, h->nacc_tmpl * sizeof *d->last_of);
        size_t nlast = u64_min(h->npcs, h->nacc_tmpl);
        d->last = carve(room, &used, nlast * sizeof *d->last);
        d->last_now = carve(room, &used, nlast * sizeof *d->last_now);
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

#define INLINE static inline __attribute__((always_inline))

/*
 * Sixteen rows of `nplanes` bytes, at most 16, from as many planes `n` bytes apart; zeros behind. The square of
 * 16 x 16 bytes is turned over by four rounds of interleaving its upper with its lower half.
 */
INLINE void turn_over(const uint8_t *planes, uint32_t n, unsigned nplanes, u8x16 v[16])
{
    for (unsigned p = 0; p < 16; p++)
        if (p < nplanes)
            memcpy(&v[p], planes + (size_t)p * n, sizeof v[p]);
        else
            v[p] = (u8x16){0};
    for (unsigned round = 0; round < 4; round++) {
        u8x16 w[16];
        for (unsigned i = 0; i < 8; i++) {
            w[2 * i] = SHUFFLE(v[i], v[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            w[2 * i + 1] = SHUFFLE(v[i], v[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        }
        memcpy(v, w, sizeof w);
    }
}

/*
 * Rows of `nplanes` bytes, at most 16, from as many byte planes of n bytes each; of each row `bytes` are
 * stored, those behind the planes zeros. Reads up to 15 bytes behind the planes.
 */
INLINE void get_rows(const uint8_t *planes, uint32_t n, unsigned nplanes, void *rows, size_t stride, size_t bytes)
{
    u8x16 v[16];
    uint8_t *to = rows;
    uint32_t at = 0;
    for (; n - at >= 16; at += 16) {
        turn_over(planes + at, n, nplanes, v);
        for (unsigned i = 0; i < 16; i++)
            memcpy(to + i * stride, &v[i], bytes);
        to += 16 * stride;
    }
    if (at == n)
        return;
    turn_over(planes + at, n, nplanes, v);
    for (uint32_t i = 0; i < n - at; i++)
        memcpy(to + i * stride, (const char *)v + i * sizeof v[0], bytes);
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

#define SAME_PLACE(field) (offsetof(struct access_rec, field) == 8 + offsetof(struct vmt_form, field))
_Static_assert(SAME_PLACE(pc_id) && SAME_PLACE(gap) && SAME_PLACE(size) && SAME_PLACE(flags) && SAME_PLACE(addr_dep) &&
               SAME_PLACE(data_dep) && SAME_PLACE(addr_ops), "a form is part of an access");
_Static_assert(offsetof(struct access_rec, data_ops) == 24, "it and the rest follow");

/*
 * The forms from their planes, and numbers for the last addresses at their program counters.
 * `numbers`: zeros, one for each program counter. False: a size or program counter that there is none of.
 */
static bool get_forms(const uint8_t *planes, uint32_t n, uint32_t *numbers, uint32_t npcs, struct vmt_decoded *d)
{
    struct vmt_form *f = d->forms;
    uint32_t nlast = 0;
    get_rows(planes, n, 16, f, sizeof *f, sizeof *f);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t pc_id = f[i].pc_id;
        if ((pc_id >= npcs) | (f[i].size - 1u >= 64))
            return false;
        const uint32_t number = numbers[pc_id] != 0 ? numbers[pc_id] : nlast + 1;
        nlast = nlast > number ? nlast : number;
        numbers[pc_id] = number;
        d->last_of[i] = (uint16_t)(number - 1);
        f[i].flags = (uint8_t)((f[i].flags & ~ACC_NO_PRODUCER) | acc_no_producer(f[i].addr_dep, f[i].data_dep));
    }
    memcpy(d->data_ops, planes + (size_t)16 * n, n);
    d->nlast = nlast;
    return true;
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
    uint32_t *numbers = take(&s->columns[VMT_COL_PCS], h->npcs * sizeof *numbers);
    if (numbers == NULL)
        return NO_MEMORY;
    memset(numbers, 0, h->npcs * sizeof *numbers);
    if (!get_forms(tmpl, h->nacc_tmpl, numbers, h->npcs, d))
        return "an access template has an illegal size or program counter";
    d->nacc = h->nacc;
    rewind_pieces(d);
    return NULL;
}

/* What the six low bits of the control column, base and payload length code, say. */
struct step {
    uint64_t mask; /* of the payload's next 8 bytes */
    int16_t back, back_addr; /* bytes to the base in `piece`, or in `addrs`; of base 7 anything */
    uint8_t bytes;  /* of the payload */
    uint8_t before; /* the base is one of the accesses before */
};
#define EACH_CODE(X, base) X(base, 0) X(base, 1) X(base, 2) X(base, 3) X(base, 4) X(base, 5) X(base, 6) X(base, 7)
#define STEP(base, code)                                                                                 \
    [(base) * 8 + (code)] = {.mask = (code) == 7 ? UINT64_MAX : (UINT64_C(1) << 8 * (code)) - 1,         \
                             .back = -((base) + 1) * (int)sizeof(struct access_rec),                     \
                             .back_addr = -((base) + 1) * (int)sizeof(uint64_t),                         \
                             .bytes = (code) + ((code) == 7),                                            \
                             .before = (base) != VMT_BASE_SAME_PC},
static const struct step steps[64] = {
    EACH_CODE(STEP, 0) EACH_CODE(STEP, 1) EACH_CODE(STEP, 2) EACH_CODE(STEP, 3)
    EACH_CODE(STEP, 4) EACH_CODE(STEP, 5) EACH_CODE(STEP, 6) EACH_CODE(STEP, 7)
};
_Static_assert(VMT_BASES == VMT_BASE_SAME_PC + 1, "those that are kept from before a piece");

#define UNCHANGED (VMT_BASE_SAME_PC * 8u) /* the last address at this program counter, and no payload */

/* Before the block's first access every address is 0. */
static void first_addresses(struct vmt_decoded *d, uint64_t now)
{
    memset(d->last, 0, d->nlast * sizeof *d->last);
    for (uint32_t i = 0; i < d->nlast; i++)
        d->last_now[i] = now;
    memset(d->addrs - VMT_BASES, 0, VMT_BASES * sizeof *d->addrs);
    memset(d->piece - VMT_BASES, 0, VMT_BASES * sizeof *d->piece);
}

/* Addresses lie elsewhere from here on. */
static void move_again(struct vmt_decoded *d, struct fe_moves *m)
{
    for (uint32_t i = 0; i < d->nlast; i++)
        d->last_now[i] = fe_moved(m, d->last[i]);
    d->version = m->version;
}

/*
 * The bounds of the piece behind the present one, and what comes before it. True: `last_now` is where the last
 * addresses lie now, which is not worth having for a few accesses.
 */
static bool begin_piece(struct vmt_decoded *d, uint32_t end, struct fe_moves *m, bool moved)
{
    const uint32_t n = d->to - d->from;
    if (d->to == 0) {
        first_addresses(d, moved ? fe_moved(m, 0) : 0);
        d->version = moved ? m->version : 0;
    } else if (moved) {
        memmove(d->addrs - VMT_BASES, d->addrs + n - VMT_BASES, VMT_BASES * sizeof *d->addrs);
        if (m->version != d->version && end - d->to >= d->nlast)
            move_again(d, m);
    } else {
        memmove(d->piece - VMT_BASES, d->piece + n - VMT_BASES, VMT_BASES * sizeof *d->piece);
    }
    d->from = d->to;
    d->to = end - d->from < VMT_PIECE ? end : d->from + VMT_PIECE;
    return !moved || m->version == d->version;
}

#define AT_ONCE 4

/* Where the next accesses are made, and from what. */
struct making {
    const uint8_t *ctl, *payload, *data_ops;
    const uint16_t *id, *last_of;
    const struct vmt_form *forms;
    uint64_t *last, *last_now;
    struct access_rec *r;
    uint64_t *addr;
};
#define LIKELY(cond) __builtin_expect(!!(cond), 1)

/* Access `i` from here but for its address; returns the number of the last one at its program counter. */
INLINE size_t make_form(const struct making *k, unsigned i)
{
    const size_t id = k->id[i];
    const uint64_t rest = k->data_ops[id];
    memcpy((char *)&k->r[i] + 8, &k->forms[id], 16);
    memcpy((char *)&k->r[i] + 24, &rest, sizeof rest);
    return k->last_of[id];
}

/* Access `i` from here, whose address is the last one at its program counter. */
INLINE void make_unchanged(const struct making *k, unsigned i, const bool moved)
{
    const size_t last = make_form(k, i);
    if (moved)
        k->addr[i] = k->last[last];
    k->r[i].vaddr = moved ? k->last_now[last] : k->last[last];
}

INLINE void make_any(struct making *k, unsigned i, struct fe_moves *m, const bool moved)
{
    const size_t last = make_form(k, i);
    const struct step *const step = &steps[k->ctl[i] & 63u];
    uint64_t z, before, base = k->last[last];
    memcpy(&z, k->payload, sizeof z);
    k->payload += step->bytes;
    memcpy(&before, moved ? (const char *)&k->addr[i] + step->back_addr : (const char *)&k->r[i] + step->back, sizeof before);
    base = step->before ? before : base; /* nobody can foresee which: no jump */
    const uint64_t addr = base + vmt_unzigzag(z & step->mask), now = moved ? fe_moved(m, addr) : addr;
    k->last[last] = addr;
    if (moved) {
        k->addr[i] = addr;
        k->last_now[last] = now;
    }
    k->r[i].vaddr = now;
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
                       .data_ops = d->data_ops, .last_of = d->last_of, .last = d->last, .last_now = d->last_now,
                       .r = d->piece, .addr = d->addrs};
    const uint8_t *const stop = d->ctl + d->to;
    while (known && stop - k.ctl >= AT_ONCE) {
        for (unsigned i = 0; i < AT_ONCE; i++)
            if (LIKELY(k.ctl[i] == UNCHANGED))
                make_unchanged(&k, i, moved);
            else
                make_any(&k, i, m, moved);
        k.ctl += AT_ONCE;
        k.id += AT_ONCE;
        k.r += AT_ONCE;
        k.addr += AT_ONCE;
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
    for (; n >= 4; n -= 4, ids += 4, at += 4)
        for (uint32_t k = 0; k < 4; k++) {
            pos += distance[ids[k]];
            at[k] = (struct fe_at){.pos = (uint32_t)pos, .form = ids[k]};
        }
    for (uint32_t k = 0; k < n; k++) {
        pos += distance[ids[k]];
        at[k] = (struct fe_at){.pos = (uint32_t)pos, .form = ids[k]};
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

/* Has it an event template of a type in [first, last]? */
static bool has_types(const uint8_t *tmpl, uint32_t n, unsigned first, unsigned last)
{
    const uint8_t *low = tmpl + (size_t)DISTANCE_BYTES * n, *high = low + n;
    bool any = false;
    for (uint32_t i = 0; i < n; i++) {
        const unsigned type = low[i] | (unsigned)high[i] << 8;
        any |= type >= first && type <= last;
    }
    return any;
}

static bool only_pages(const uint8_t *tmpl, uint32_t n)
{
    return !has_types(tmpl, n, 0, FE_IFETCH_PAGE - 1) && !has_types(tmpl, n, FE_IFETCH_PAGE + 1, UINT16_MAX);
}

/* So many code pages, of which nobody wants to know more: each is before the block's first access, of form 0. */
static void pages_only(struct vmt_decoded *d)
{
    static struct fe_at nowhere[VMT_MAX_EVENTS]; /* never written, so it takes no memory */
    d->ev_at = nowhere;
    d->ev_forms = &d->page;
    d->page = (struct fe_event){.type = FE_IFETCH_PAGE};
}

const char *vmt_decode_map_events(struct vmt_scratch *s, const struct vmt_block_header *h, struct vmt_decoded *d)
{
    const uint8_t *tmpl = unpack_scratch(s, h, VMT_COL_EV_TMPL);
    d->nev = 0;
    if (tmpl == NULL)
        return "an event column does not decompress to its size";
    if (!has_types(tmpl, h->nev_tmpl, FE_MMAP, FE_MAP_MARK))
        return NULL;
    d->nev = h->nev;
    d->nev_forms = h->nev_tmpl;
    if (!make_room(d, h, VMT_NO_ACCESSES | VMT_NO_BRANCHES))
        return NO_MEMORY;
    return load_events(s, h, tmpl, d);
}

const char *vmt_decode_load(struct vmt_scratch *s, const struct vmt_block_header *h, unsigned flags,
                            struct vmt_decoded *d)
{
    const uint8_t *events = (flags & VMT_NO_EVENTS) == 0 ? unpack_scratch(s, h, VMT_COL_EV_TMPL) : NULL;
    const bool pages = events != NULL && (flags & VMT_NO_PAGES) != 0 && h->nev > 0 && only_pages(events, h->nev_tmpl);
    d->nev = h->nev;
    d->nev_forms = pages ? 1 : h->nev_tmpl;
    if (!make_room(d, h, pages ? flags | VMT_NO_EVENTS : flags))
        return NO_MEMORY;
    const char *what = load_pcs(s, h, d);
    if (what == NULL && (flags & VMT_NO_ACCESSES) == 0)
        what = load_accesses(s, h, d);
    if (what == NULL && (flags & VMT_NO_BRANCHES) == 0)
        what = load_branches(s, h, d);
    if (what == NULL && pages)
        pages_only(d);
    else if (what == NULL && (flags & VMT_NO_EVENTS) == 0)
        what = load_events(s, h, events, d);
    return what;
}
