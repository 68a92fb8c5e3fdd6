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
    b->bytes = (bytes + bytes / 16 + 64) & ~(size_t)63; /* blocks differ a little */
    b->p = aligned_alloc(64, b->bytes);
    return b->p;
}

void vmt_scratch_free(struct vmt_scratch *s)
{
    for (unsigned c = 0; c < VMT_NCOLS; c++)
        free(s->columns[c].p);
}

void vmt_decoded_free(struct vmt_decoded *d)
{
    struct vmt_buf *const all[] = {&d->ids, &d->ctl, &d->payload, &d->forms, &d->last_at_pc, &d->pcs,
                                   &d->br_at, &d->ev_at, &d->br_forms, &d->ev_forms, &d->piece};
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]->p);
}

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

/* The raw bytes of column `c`, in `b`; NULL: damaged, or no memory. */
static const void *unpack(const struct vmt_block_header *h, unsigned c, struct vmt_buf *b)
{
    const uint8_t *src = (const uint8_t *)h + sizeof *h;
    for (unsigned i = 0; i < c; i++)
        src += h->col[i].stored_bytes;
    size_t raw = h->col[c].raw_bytes;
    void *p = take(b, raw + SLACK);
    return p != NULL && codec_unpack(p, raw, src, h->col[c].stored_bytes) ? p : NULL;
}

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

/* ---- program counters ------------------------------------------------------------------------ */

static const char *load_pcs(struct vmt_scratch *s, const struct vmt_block_header *h,
                            struct vmt_decoded *d)
{
    struct planes pl = {unpack(h, VMT_COL_PCS, &s->columns[VMT_COL_PCS]), h->npcs};
    uint64_t pc = 0, *pcs = take(&d->pcs, h->npcs * sizeof *pcs);
    if (pcs == NULL)
        return NO_MEMORY;
    if (pl.p == NULL)
        return "the program counters do not decompress to their size";
    memset(pcs, 0, h->npcs * sizeof *pcs);
    get_field(&pl, VMT_PC_BYTES, pcs, sizeof *pcs);
    for (uint32_t i = 0; i < h->npcs; i++)
        pcs[i] = pc += vmt_unzigzag(pcs[i]);
    return NULL;
}

/* ---- accesses -------------------------------------------------------------------------------- */

static void unpack_forms(const uint8_t *planes, uint32_t n, struct vmt_form *f)
{
    struct planes pl = {planes, n};
    memset(f, 0, n * sizeof *f);
    GET_FIELD(pl, 4, f, pc_id);
    GET_FIELD(pl, 2, f, gap);
    GET_FIELD(pl, 1, f, size);
    GET_FIELD(pl, 1, f, flags);
    GET_FIELD(pl, 2, f, addr_dep[0]);
    GET_FIELD(pl, 2, f, addr_dep[1]);
    GET_FIELD(pl, 2, f, data_dep);
    GET_FIELD(pl, 1, f, addr_ops[0]);
    GET_FIELD(pl, 1, f, addr_ops[1]);
    GET_FIELD(pl, 1, f, data_ops);
}

static bool forms_legal(const struct vmt_form *f, uint32_t n, uint32_t npcs)
{
    bool ok = true;
    for (uint32_t i = 0; i < n; i++)
        ok &= (f[i].pc_id < npcs) & (f[i].size - 1u < 64);
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

/* The block's first piece is the next one. */
static void rewind_pieces(struct vmt_decoded *d)
{
    d->from = d->to = 0;
    d->next_payload = d->payload.p;
    memset(d->bases, 0, sizeof d->bases);
    memset(d->last_at_pc.p, 0, d->npcs * sizeof(uint64_t));
}

static const char *load_accesses(struct vmt_scratch *s, const struct vmt_block_header *h,
                                 struct vmt_decoded *d)
{
    const uint16_t *ids = unpack(h, VMT_COL_ACC_IDS, &d->ids);
    const uint8_t *ctl = unpack(h, VMT_COL_ADDR_CTL, &d->ctl);
    const uint8_t *pay = unpack(h, VMT_COL_ADDR_PAYLOAD, &d->payload);
    const uint8_t *tmpl = unpack(h, VMT_COL_ACC_TMPL, &s->columns[VMT_COL_ACC_TMPL]);
    if (ids == NULL || ctl == NULL || pay == NULL || tmpl == NULL)
        return "an access column does not decompress to its size";
    if (payload_bytes(ctl, h->nacc) != h->col[VMT_COL_ADDR_PAYLOAD].raw_bytes)
        return "the address payload has another length than the control column says";
    if (!ids_below(ids, h->nacc, h->nacc_tmpl))
        return "an access names a template beyond the dictionary";
    struct vmt_form *forms = take(&d->forms, h->nacc_tmpl * sizeof *forms);
    if (forms == NULL || take(&d->last_at_pc, h->npcs * sizeof(uint64_t)) == NULL ||
        take(&d->piece, (VMT_BASES + VMT_PIECE) * sizeof(struct access_rec)) == NULL)
        return NO_MEMORY;
    unpack_forms(tmpl, h->nacc_tmpl, forms);
    if (!forms_legal(forms, h->nacc_tmpl, h->npcs))
        return "an access template has an illegal size or program counter";
    d->nacc = h->nacc;
    d->npcs = h->npcs;
    rewind_pieces(d);
    return NULL;
}

/* Bits of the payload's next 8 bytes that belong to an access, by payload length code. */
static const uint64_t payload_masks[8] = {0,
                                          0xff,
                                          0xffff,
                                          0xffffff,
                                          0xffffffff,
                                          UINT64_C(0xffffffffff),
                                          UINT64_C(0xffffffffffff),
                                          UINT64_MAX};

/* All of an access but its address; twice sixteen bytes are cheaper than its nine fields. */
static inline void copy_form(struct access_rec *r, const struct vmt_form *f)
{
    uint64_t rest = 0;
    memcpy((char *)r + 8, f, 16);
    memcpy(&rest, (const char *)f + 16, 4);
    memcpy((char *)r + 24, &rest, 8);
}

/*
 * The next piece. The chain from one address to the next goes through memory, since any of the last
 * seven, or the last at this program counter, may be the base.
 */
static void next_piece(struct vmt_decoded *d)
{
    struct access_rec *r = (struct access_rec *)d->piece.p + VMT_BASES;
    const uint8_t *ctl = d->ctl.p, *pay = d->next_payload;
    const uint16_t *ids = d->ids.p;
    const struct vmt_form *forms = d->forms.p;
    uint64_t *last_at_pc = d->last_at_pc.p;
    d->from = d->to;
    d->to += d->nacc - d->from < VMT_PIECE ? d->nacc - d->from : VMT_PIECE;
    for (unsigned i = 0; i < VMT_BASES; i++)
        r[(int)i - (int)VMT_BASES].vaddr = d->bases[i];
    for (uint32_t i = d->from; i < d->to; i++, r++) {
        unsigned code = ctl[i] & 7u, base = ctl[i] >> 3 & 7u;
        const struct vmt_form *f = &forms[ids[i]];
        uint64_t *same_pc = &last_at_pc[f->pc_id], z;
        const uint64_t *b = base == VMT_BASE_SAME_PC ? same_pc : &r[-1 - (int)base].vaddr;
        memcpy(&z, pay, sizeof z);
        pay += code + (code == 7);
        copy_form(r, f);
        *same_pc = r->vaddr = *b + vmt_unzigzag(z & payload_masks[code]);
    }
    for (unsigned i = 0; i < VMT_BASES; i++)
        d->bases[i] = r[(int)i - (int)VMT_BASES].vaddr;
    d->next_payload = pay;
}

void vmt_decode_piece(struct vmt_decoded *d, uint32_t acc)
{
    if (acc < d->from)
        rewind_pieces(d);
    while (acc >= d->to)
        next_piece(d);
}

/* ---- branches and events --------------------------------------------------------------------- */

/* Places from the distances to the place before, which stand in the templates. */
static uint64_t place(const uint16_t *ids, uint32_t n, const uint32_t *distance, struct fe_at *at)
{
    uint64_t pos = 0;
    for (uint32_t i = 0; i < n; i++) {
        pos += distance[ids[i]];
        at[i] = (struct fe_at){.pos = (uint32_t)pos, .form = ids[i]};
    }
    return pos;
}

/* The first field of the templates: accesses since the one before. In the scratch of the program counters. */
static uint32_t *get_distances(struct vmt_scratch *s, struct planes *pl)
{
    uint32_t *distance = take(&s->columns[VMT_COL_PCS], pl->n * sizeof *distance);
    if (distance == NULL)
        return NULL;
    memset(distance, 0, pl->n * sizeof *distance);
    get_field(pl, sizeof *distance, distance, sizeof *distance);
    return distance;
}

static const char *load_branches(struct vmt_scratch *s, const struct vmt_block_header *h,
                                 struct vmt_decoded *d)
{
    uint32_t n = h->nbr_tmpl;
    const uint16_t *ids = unpack(h, VMT_COL_BR_IDS, &s->columns[VMT_COL_BR_IDS]);
    struct planes pl = {unpack(h, VMT_COL_BR_TMPL, &s->columns[VMT_COL_BR_TMPL]), n};
    if (ids == NULL || pl.p == NULL)
        return "a branch column does not decompress to its size";
    if (!ids_below(ids, h->nbr, n))
        return "a branch names a template beyond the dictionary";
    struct branch_rec *f = take(&d->br_forms, n * sizeof *f);
    struct fe_at *at = take(&d->br_at, h->nbr * sizeof *at);
    const uint32_t *distance = get_distances(s, &pl);
    if (f == NULL || at == NULL || distance == NULL)
        return NO_MEMORY;
    memset(f, 0, n * sizeof *f);
    GET_FIELD(pl, 4, f, pc_id);
    GET_FIELD(pl, 4, f, target_id);
    GET_FIELD(pl, 2, f, instr_off);
    GET_FIELD(pl, 2, f, dep);
    GET_FIELD(pl, 1, f, ops);
    GET_FIELD(pl, 1, f, kind);
    GET_FIELD(pl, 1, f, taken);
    bool ok = true;
    for (uint32_t i = 0; i < n; i++)
        ok &= f[i].pc_id < h->npcs && f[i].target_id < h->npcs;
    if (!ok)
        return "a branch template names a program counter beyond the dictionary";
    return place(ids, h->nbr, distance, at) <= h->nacc ? NULL : "a branch stands after the last access";
}

/* The event templates are in the scratch already. */
static const char *load_events(struct vmt_scratch *s, const struct vmt_block_header *h,
                               const uint8_t *tmpl, struct vmt_decoded *d)
{
    uint32_t n = h->nev_tmpl;
    const uint16_t *ids = unpack(h, VMT_COL_EV_IDS, &s->columns[VMT_COL_EV_IDS]);
    struct planes pl = {tmpl, n};
    if (ids == NULL || tmpl == NULL)
        return "an event column does not decompress to its size";
    if (!ids_below(ids, h->nev, n))
        return "an event names a template beyond the dictionary";
    struct fe_event *f = take(&d->ev_forms, n * sizeof *f);
    struct fe_at *at = take(&d->ev_at, h->nev * sizeof *at);
    const uint32_t *distance = get_distances(s, &pl);
    if (f == NULL || at == NULL || distance == NULL)
        return NO_MEMORY;
    memset(f, 0, n * sizeof *f);
    GET_FIELD(pl, 2, f, type);
    GET_FIELD(pl, 2, f, instr_off);
    for (unsigned j = 0; j < 6; j++)
        GET_FIELD(pl, 8, f, a[j]);
    return place(ids, h->nev, distance, at) <= h->nacc ? NULL : "an event stands after the last access";
}

static const uint8_t *event_templates(struct vmt_scratch *s, const struct vmt_block_header *h)
{
    return unpack(h, VMT_COL_EV_TMPL, &s->columns[VMT_COL_EV_TMPL]);
}

/* Does an event template of the block change the memory map, or mark a change? */
static bool has_map_events(const uint8_t *tmpl, uint32_t n)
{
    const uint8_t *low = tmpl + (size_t)4 * n, *high = low + n; /* after the distance */
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
    *nev_out = h->nev;
    return load_events(s, h, tmpl, d);
}

const char *vmt_decode_load(struct vmt_scratch *s, const struct vmt_block_header *h, unsigned flags,
                            struct vmt_decoded *d)
{
    const char *what = load_pcs(s, h, d);
    if (what == NULL && (flags & VMT_NO_ACCESSES) == 0)
        what = load_accesses(s, h, d);
    if (what == NULL && (flags & VMT_NO_BRANCHES) == 0)
        what = load_branches(s, h, d);
    if (what == NULL && (flags & VMT_NO_EVENTS) == 0)
        what = load_events(s, h, event_templates(s, h), d);
    return what;
}
