/*
 * See vmt_decode.h.
 *
 * Nothing in the file is trusted: sizes are checked against counts, ids against dictionaries and the
 * payload lengths against the payload before a loop runs. Making a piece has nothing left to check.
 * What nobody asks for (events that are code pages only) is not looked at.
 */
#include "cores/vmt_decode.h"

#include "cores/vmt.h"
#include "cores/vmt_codec.h"
#include "cores/vmt_planes.h"

#include <stdlib.h>
#include <string.h>

#define SLACK 64u /* bytes after each raw column that a load may touch */

#define LARGE_BLOCK (896u << 10) /* bytes, to stay below a MiB with what the reader's owner needs */
#define MOST_WINDOWS 32u

/* What else is in the scratch, where there is no column. */
#define NUMBERS VMT_NCOLS_KNOWN
#define NUMBERS_OF_EVENTS (VMT_NCOLS_KNOWN + 1)
#define FORMS_OF_EVENTS (VMT_NCOLS_KNOWN + 2)
_Static_assert(VMT_NCOLS > VMT_NCOLS_KNOWN + 2, "of no column");

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
        d->ids = carve(room, &used, d->window * sizeof *d->ids);
        d->ctl = carve(room, &used, d->window);
        d->payload = carve(room, &used, h->col[VMT_COL_ADDR_PAYLOAD].raw_bytes);
        d->forms = carve(room, &used, h->nacc_tmpl * sizeof *d->forms);
        d->data_ops = carve(room, &used, h->nacc_tmpl * sizeof *d->data_ops);
        d->last_of = carve(room, &used, h->nacc_tmpl * sizeof *d->last_of);
        d->last = carve(room, &used, d->nlast * sizeof *d->last);
        d->last_now = carve(room, &used, d->nlast * sizeof *d->last_now);
    }
    if ((flags & VMT_NO_BRANCHES) == 0) {
        d->br_at = carve(room, &used, h->nbr * sizeof *d->br_at);
        d->br_forms = carve(room, &used, h->nbr_tmpl * sizeof *d->br_forms);
    }
    if ((flags & VMT_NO_EVENTS) == 0) {
        d->ev_at = carve(room, &used, (d->no_places ? 0 : h->nev) * sizeof *d->ev_at);
        d->ev_forms = carve(room, &used, d->nev_forms * sizeof *d->ev_forms);
    }
    return used;
}

/* A large block, which has a large dictionary, gets along with some of its columns at a time. */
static bool make_room(struct vmt_decoded *d, const struct vmt_block_header *h, unsigned flags)
{
    d->window = h->nacc;
    for (uint32_t parts = 2; parts <= MOST_WINDOWS && lay_out(d, h, flags, NULL) > LARGE_BLOCK; parts *= 2)
        d->window = (uint32_t)u64_min(h->nacc, (h->nacc / parts + VMT_PIECE) / VMT_PIECE * VMT_PIECE);
    void *room = take(&d->room, lay_out(d, h, flags, NULL));
    if (room != NULL)
        lay_out(d, h, flags, room);
    return room != NULL;
}

size_t vmt_decoded_bytes(const struct vmt_decoded *d) { return sizeof *d + d->room.bytes; }

size_t vmt_scratch_bytes(const struct vmt_scratch *s)
{
    size_t bytes = sizeof *s;
    for (unsigned c = 0; c < VMT_NCOLS; c++)
        bytes += s->columns[c].bytes;
    return bytes;
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
 * Numbers, from 1 on, for the program counters that the templates name, so many in *n_out, into `numbers`: zeros,
 * one for each program counter. False: there is no such program counter.
 */
static bool number_last(const uint8_t *planes, uint32_t n, uint32_t *numbers, uint32_t npcs, uint32_t *n_out)
{
    const uint8_t *low = planes, *high = planes + n;
    uint32_t nlast = 0;
    uint8_t higher = 0;
    for (uint32_t i = 0; i < 2 * n; i++)
        higher |= high[n + i];
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t pc_id = low[i] | (uint32_t)high[i] << 8;
        if (pc_id >= npcs)
            return false;
        const uint32_t number = numbers[pc_id] != 0 ? numbers[pc_id] : nlast + 1;
        nlast = nlast > number ? nlast : number;
        numbers[pc_id] = number;
    }
    *n_out = nlast;
    return higher == 0;
}

/* The forms from their planes. `numbers` as number_last leaves them. False: a size that there is none of. */
static bool get_forms(const uint8_t *planes, uint32_t n, const uint32_t *numbers, struct vmt_decoded *d)
{
    struct vmt_form *f = d->forms;
    get_rows(planes, n, 16, f, sizeof *f, sizeof *f);
    memcpy(d->data_ops, planes + (size_t)16 * n, n);
    bool ok = true;
    for (uint32_t i = 0; i < n; i++) {
        ok &= f[i].size - 1u < 64;
        d->last_of[i] = (uint16_t)(numbers[f[i].pc_id] - 1);
        f[i].flags = (uint8_t)((f[i].flags & ~ACC_NO_PRODUCER) | acc_no_producer(f[i].addr_dep, f[i].data_dep));
    }
    return ok;
}

/* Ids and control bytes of the whole block, where they are asked for in windows. */
static bool unpack_windows(struct vmt_scratch *s, const struct vmt_block_header *h, const struct vmt_decoded *d)
{
    const bool ok = unpack_scratch(s, h, VMT_COL_ACC_IDS) != NULL && unpack_scratch(s, h, VMT_COL_ADDR_CTL) != NULL;
    s->windows_of = ok ? d : NULL;
    return ok;
}

/* Was done before with this block, so that there is room for it and nothing damaged. */
static void enter_window(struct vmt_decoded *d, uint32_t from)
{
    struct vmt_scratch *s = d->scratch;
    if (s->windows_of != d && !unpack_windows(s, d->header, d))
        SIM_ASSERT(false, "a block of %u accesses does not decompress again", d->nacc);
    d->window_from = from;
    d->window_to = (uint32_t)u64_min(from + (uint64_t)d->window, d->nacc);
    const uint32_t n = d->window_to - from;
    memcpy(d->ids, (const uint16_t *)s->columns[VMT_COL_ACC_IDS].p + from, n * sizeof *d->ids);
    memcpy(d->ctl, (const uint8_t *)s->columns[VMT_COL_ADDR_CTL].p + from, n);
}

/* The block's first piece is the next one. */
static void rewind_pieces(struct vmt_decoded *d)
{
    d->from = d->to = 0;
    d->next_payload = d->payload;
    if (d->window_from != 0)
        enter_window(d, 0);
}

/* The columns with a value for each access; of a large block into the scratch. */
static bool unpack_accesses(struct vmt_scratch *s, const struct vmt_block_header *h, struct vmt_decoded *d,
                            const uint16_t **ids_out, const uint8_t **ctl_out)
{
    const bool whole = d->window == h->nacc;
    if (!unpack(h, VMT_COL_ADDR_PAYLOAD, d->payload))
        return false;
    if (whole ? !unpack(h, VMT_COL_ACC_IDS, d->ids) || !unpack(h, VMT_COL_ADDR_CTL, d->ctl) : !unpack_windows(s, h, d))
        return false;
    *ids_out = whole ? d->ids : s->columns[VMT_COL_ACC_IDS].p;
    *ctl_out = whole ? d->ctl : s->columns[VMT_COL_ADDR_CTL].p;
    return true;
}

/* The access templates into the scratch, and how many program counters they name. */
static const char *count_accesses(struct vmt_scratch *s, const struct vmt_block_header *h, struct vmt_decoded *d)
{
    const uint8_t *tmpl = unpack_scratch(s, h, VMT_COL_ACC_TMPL);
    uint32_t *numbers = take(&s->columns[NUMBERS], h->npcs * sizeof *numbers);
    if (numbers == NULL)
        return NO_MEMORY;
    if (tmpl == NULL)
        return "an access column does not decompress to its size";
    memset(numbers, 0, h->npcs * sizeof *numbers);
    if (!number_last(tmpl, h->nacc_tmpl, numbers, h->npcs, &d->nlast))
        return "an access template names a program counter beyond the dictionary";
    return NULL;
}

static const char *load_accesses(struct vmt_scratch *s, const struct vmt_block_header *h,
                                 struct vmt_decoded *d)
{
    const uint16_t *ids;
    const uint8_t *ctl;
    if (!unpack_accesses(s, h, d, &ids, &ctl))
        return "an access column does not decompress to its size";
    if (payload_bytes(ctl, h->nacc) != h->col[VMT_COL_ADDR_PAYLOAD].raw_bytes)
        return "the address payload has another length than the control column says";
    if (!ids_below(ids, h->nacc, h->nacc_tmpl))
        return "an access names a template beyond the dictionary";
    if (!get_forms(s->columns[VMT_COL_ACC_TMPL].p, h->nacc_tmpl, s->columns[NUMBERS].p, d))
        return "an access template has an illegal size";
    d->nacc = h->nacc;
    d->scratch = s;
    d->header = h;
    d->window_from = 0;
    d->window_to = h->nacc;
    if (d->window < h->nacc)
        enter_window(d, 0);
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
    if (d->from == d->window_to)
        enter_window(d, d->from);
    end = end < d->window_to ? end : d->window_to;
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
    const uint32_t at = d->from - d->window_from;
    struct making k = {.ctl = d->ctl + at, .payload = d->next_payload, .id = d->ids + at, .forms = d->forms,
                       .data_ops = d->data_ops, .last_of = d->last_of, .last = d->last, .last_now = d->last_now,
                       .r = d->piece, .addr = d->addrs};
    const uint8_t *const stop = k.ctl + (d->to - d->from);
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

static bool is_page(const uint8_t *tmpl, uint32_t n, uint32_t i)
{
    const uint8_t *low = tmpl + (size_t)DISTANCE_BYTES * n, *high = low + n;
    return (low[i] | high[i] << 8) == FE_IFETCH_PAGE;
}

/* The code pages are one form, the last, where nothing but their type is asked for. Returns how many forms there are. */
static uint32_t number_events(const uint8_t *tmpl, uint32_t n, bool no_pages, uint32_t *number)
{
    uint32_t nothers = 0;
    bool pages = false;
    for (uint32_t i = 0; i < n; i++)
        nothers += !(no_pages && is_page(tmpl, n, i));
    for (uint32_t i = 0, next = 0; i < n; i++) {
        const bool page = no_pages && is_page(tmpl, n, i);
        number[i] = page ? nothers : next++;
        pages |= page;
    }
    return nothers + pages;
}

/* False: no memory. Of a block that has only pages nobody asks for, and of one without events, there is one form at most. */
static bool count_events(struct vmt_scratch *s, const struct vmt_block_header *h, const uint8_t *tmpl, bool no_pages,
                         struct vmt_decoded *d)
{
    uint32_t *number = take(&s->columns[NUMBERS_OF_EVENTS], h->nev_tmpl * sizeof *number);
    if (number == NULL)
        return false;
    d->nev = h->nev;
    d->nev_forms = number_events(tmpl, h->nev_tmpl, no_pages, number);
    d->no_places = no_pages && h->nev_tmpl > 0 && d->nev_forms == 1 && is_page(tmpl, h->nev_tmpl, 0);
    return true;
}

/* The event templates are in the scratch already, and counted. */
static const char *load_events(struct vmt_scratch *s, const struct vmt_block_header *h,
                               const uint8_t *tmpl, struct vmt_decoded *d)
{
    static struct fe_at nowhere[VMT_MAX_EVENTS]; /* before the first access, form 0; never written, so it takes no memory */
    const uint32_t n = h->nev_tmpl, *number = s->columns[NUMBERS_OF_EVENTS].p;
    if (d->no_places) {
        d->ev_at = nowhere;
        d->ev_forms[0] = (struct fe_event){.type = FE_IFETCH_PAGE};
        return NULL;
    }
    const uint16_t *ids = unpack_scratch(s, h, VMT_COL_EV_IDS);
    if (ids == NULL)
        return "an event column does not decompress to its size";
    if (!ids_below(ids, h->nev, n))
        return "an event names a template beyond the dictionary";
    struct fe_event *f = take(&s->columns[FORMS_OF_EVENTS], n * sizeof *f);
    const uint64_t *distance = get_distances(s, tmpl, n);
    if (f == NULL || distance == NULL)
        return NO_MEMORY;
    tmpl += (size_t)DISTANCE_BYTES * n;
    get_rows(tmpl, n, 4, f, sizeof *f, offsetof(struct fe_event, a));
    for (unsigned i = 0; i < 6; i += 2)
        get_rows(tmpl + (4 + 8 * (size_t)i) * n, n, 16, &f->a[i], sizeof *f, 16);
    for (uint32_t i = 0; i < n; i++)
        d->ev_forms[number[i]] = f[i];
    const bool inside = place(ids, h->nev, distance, d->ev_at) <= h->nacc;
    for (uint32_t i = 0; i < h->nev; i++)
        d->ev_at[i].form = number[d->ev_at[i].form];
    return inside ? NULL : "an event stands after the last access";
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

const char *vmt_decode_map_events(struct vmt_scratch *s, const struct vmt_block_header *h, struct vmt_decoded *d)
{
    const uint8_t *tmpl = unpack_scratch(s, h, VMT_COL_EV_TMPL);
    d->nev = 0;
    if (tmpl == NULL)
        return "an event column does not decompress to its size";
    if (!has_map_events(tmpl, h->nev_tmpl))
        return NULL;
    if (!count_events(s, h, tmpl, true, d) || !make_room(d, h, VMT_NO_ACCESSES | VMT_NO_BRANCHES))
        return NO_MEMORY;
    return load_events(s, h, tmpl, d);
}

const char *vmt_decode_load(struct vmt_scratch *s, const struct vmt_block_header *h, unsigned flags,
                            struct vmt_decoded *d)
{
    const bool with_events = (flags & VMT_NO_EVENTS) == 0;
    const uint8_t *events = with_events ? unpack_scratch(s, h, VMT_COL_EV_TMPL) : NULL;
    if (s->windows_of == d)
        s->windows_of = NULL;
    if (with_events && events == NULL)
        return "an event column does not decompress to its size";
    if (with_events && !count_events(s, h, events, (flags & VMT_NO_PAGES) != 0, d))
        return NO_MEMORY;
    const char *what = (flags & VMT_NO_ACCESSES) == 0 ? count_accesses(s, h, d) : NULL;
    if (what == NULL && !make_room(d, h, flags))
        return NO_MEMORY;
    if (what == NULL)
        what = load_pcs(s, h, d);
    if (what == NULL && (flags & VMT_NO_ACCESSES) == 0)
        what = load_accesses(s, h, d);
    if (what == NULL && (flags & VMT_NO_BRANCHES) == 0)
        what = load_branches(s, h, d);
    if (what == NULL && with_events)
        what = load_events(s, h, events, d);
    return what;
}
