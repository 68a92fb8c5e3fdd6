/*
 * From the columns of a VMT block (vmt_format.h) to records. Loading a block unpacks its columns,
 * checks them and makes the tables of forms and places; accesses are then made a piece at a time,
 * into a buffer that stays in the host's caches.
 */
#ifndef CORES_VMT_DECODE_H
#define CORES_VMT_DECODE_H

#include "cores/frontend.h"
#include "cores/vmt_format.h"

#define VMT_PIECE 512u      /* accesses */
#define VMT_BASES 8u        /* accesses whose addresses are kept before a piece; the bases reach back seven */

/* A buffer that grows. */
struct vmt_buf {
    void *p;
    size_t bytes;
};

struct vmt_decoded;

/* Unpacked columns that are not needed once a block is loaded: shared by all threads. */
struct vmt_scratch {
    struct vmt_buf columns[VMT_NCOLS];
    const struct vmt_decoded *windows_of; /* whose columns of ids and control bytes are there, or NULL */
};

/* Of an access: what struct access_rec has from pc_id to addr_ops. */
struct vmt_form {
    uint32_t pc_id;
    uint16_t gap;
    uint8_t size, flags;
    uint16_t addr_dep[2], data_dep;
    uint8_t addr_ops[2];
};
_Static_assert(sizeof(struct vmt_form) == 16, "copied as one");

/* One thread's block: what is needed to make its pieces, and the tables that go to the reader. */
struct vmt_decoded {
    struct vmt_buf room; /* for all that follows */
    /*
     * Of the accesses: unpacked columns, forms, and the last address at each program counter that any of
     * them has, as recorded and where it lies now.
     */
    uint16_t *ids;
    uint8_t *ctl, *payload;
    struct vmt_form *forms;
    uint16_t *last_of; /* of a form: index into the two that follow */
    uint64_t *last, *last_now;
    uint8_t *data_ops; /* of a form */
    /* VMT_BASES accesses from before the piece stand before it; of a moved one only their addresses, as recorded. */
    struct access_rec *piece;
    uint64_t *addrs;
    uint64_t *pcs;
    struct fe_at *br_at, *ev_at;
    struct branch_rec *br_forms;
    struct fe_event *ev_forms;
    uint32_t nacc, nlast, nev, nev_forms;
    bool no_places; /* of the events: they are code pages that nobody looks at */
    /*
     * A large block has its ids and control bytes here for the accesses [window_from, window_to) only; the scratch
     * has them all, until another thread needs it.
     */
    uint32_t window, window_from, window_to;
    struct vmt_scratch *scratch;
    const struct vmt_block_header *header;
    /* The piece in hand, and where the next one begins. */
    uint32_t from, to;
    const uint8_t *next_payload;
    uint64_t version; /* of the moves that `last_now` follows */
};

/*
 * Whether the header's sizes follow from its counts; the payload is bounded here and checked when
 * decoded. NULL, or what is wrong.
 */
const char *vmt_decode_check(const struct vmt_block_header *h);
/* The same for a block whose header and checksum are right. What not to decode: enum vmt_open_flag. */
const char *vmt_decode_load(struct vmt_scratch *s, const struct vmt_block_header *h, unsigned flags,
                            struct vmt_decoded *d);
/* Makes the piece with access `acc`, which is below nacc. */
void vmt_decode_piece(struct vmt_decoded *d, uint32_t acc);
/* As ops->next_piece. */
void vmt_decode_next(struct vmt_decoded *d, bool first, uint32_t end, struct fe_moves *m);
/* Only the events, and only of blocks that change the memory map or mark a change; others have none. */
const char *vmt_decode_map_events(struct vmt_scratch *s, const struct vmt_block_header *h, struct vmt_decoded *d);

/* Bytes that a thread's block takes, or the scratch. */
size_t vmt_decoded_bytes(const struct vmt_decoded *d);
size_t vmt_scratch_bytes(const struct vmt_scratch *s);
void vmt_scratch_free(struct vmt_scratch *s);
void vmt_decoded_free(struct vmt_decoded *d);

#endif
