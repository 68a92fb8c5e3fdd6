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
#define VMT_BASES 8u         /* accesses kept before a piece; the bases reach back seven */

/* A buffer that grows. */
struct vmt_buf {
    void *p;
    size_t bytes;
};

/* Unpacked columns that are not needed once a block is loaded: shared by all threads. */
struct vmt_scratch {
    struct vmt_buf columns[VMT_NCOLS];
};

/* An access but for its address, as it stands in struct access_rec behind it. */
struct vmt_form {
    uint32_t pc_id;
    uint16_t gap;
    uint8_t size, flags;
    uint16_t addr_dep[2], data_dep;
    uint8_t addr_ops[2], data_ops;
    uint8_t zero[3];
};
_Static_assert(sizeof(struct vmt_form) == 20, "copied into an access as a whole");
_Static_assert(offsetof(struct access_rec, pc_id) == 8 &&
                   offsetof(struct access_rec, data_ops) - 8 == offsetof(struct vmt_form, data_ops),
               "copied into an access as a whole");

/* One thread's block: what is needed to make its pieces, and the tables that go to the reader. */
struct vmt_decoded {
    struct vmt_buf room; /* for all that follows */
    /* Of the accesses: unpacked columns, forms, and the last address at each program counter. */
    uint16_t *ids;
    uint8_t *ctl, *payload;
    struct vmt_form *forms;
    uint64_t *last_at_pc;
    struct access_rec *piece; /* VMT_BASES stand before it */
    uint64_t *pcs;
    struct fe_at *br_at, *ev_at;
    struct branch_rec *br_forms;
    struct fe_event *ev_forms;
    uint32_t nacc, npcs;
    /* The piece in hand, and where the next one begins. */
    uint32_t from, to;
    const uint8_t *next_payload;
    uint64_t bases[VMT_BASES]; /* addresses of the accesses before `to` */
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
/* Only the events, and only of blocks that change the memory map or mark a change; *nev_out is 0 of others. */
const char *vmt_decode_map_events(struct vmt_scratch *s, const struct vmt_block_header *h,
                                  struct vmt_decoded *d, uint32_t *nev_out);

void vmt_scratch_free(struct vmt_scratch *s);
void vmt_decoded_free(struct vmt_decoded *d);

#endif
