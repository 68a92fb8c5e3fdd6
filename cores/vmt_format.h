/*
 * The VMT trace file, byte by byte. One file holds all threads of one recorded process. Everything
 * is little endian; every part starts at a multiple of 8 bytes and is padded with zeros to one.
 *
 *     file header | meta | block | block | ... | meta | index | trailer
 *
 * Blocks of all threads follow each other as they filled up. A block stands alone: no state is
 * carried from one to the next, so any block can be decoded first. A file whose writer was killed
 * has no index and trailer; its blocks are found by walking the headers from the front.
 *
 * FILE HEADER, 128 bytes
 *     0  char[8]  "VMTRACE\0"            40  u64  creation time, seconds since 1970
 *     8  u16      major version (1)      48  u32  most accesses in a block
 *    10  u16      minor version          52  u32  most branches in a block
 *    12  u32      header bytes (128)     56  u32  most events in a block
 *    16  u32      incompatible features  60  u32  page size in bytes
 *    20  u32      compatible features    64  u32  guest architecture (ELF e_machine)
 *    24  u8[16]   uuid                   68  u8[52]  zero
 *                                       120  u64  XXH3 of bytes 0..119
 * A reader refuses a file with a major version or an incompatible feature bit it does not know.
 *
 * META, 24 bytes and text: "key=value\n" lines. The first one (command line, host, date, tool) is
 * written at the start, another (counts known only at the end) before the index.
 *     0  u32  "VMET"                      8  u64  XXH3 of the text
 *     4  u32  text bytes                 16  u64  XXH3 of bytes 0..15
 *
 * BLOCK HEADER, 216 bytes, then the columns, each compressed on its own and unpadded, in order
 *     0  u32  "VBLK"                     64  u32  accesses
 *     4  u32  header bytes (216)         68  u32  branches
 *     8  u32  thread                     72  u32  events
 *    12  u32  codec: 0 stored, 1 LZ4     76  u32  program counters in the dictionary
 *    16  u64  block number in thread     80  u32  access templates
 *    24  u64  first instruction          84  u32  branch templates
 *    32  u64  first access               88  u32  event templates
 *    40  u64  first load                 92  u32  instructions after the last access
 *    48  u64  gseq at start              96  u64  instructions in the block
 *    56  u64  host ns at start          104  12 x {u32 raw bytes, u32 stored bytes} columns
 *                                       200  u64  XXH3 of the stored columns
 *                                       208  u64  XXH3 of bytes 0..207
 * A column whose stored size equals its raw size is not compressed. gseq counts blocks and events
 * of all threads: with the host time it bounds how far threads may drift apart in replay.
 *
 * COLUMNS (a reader that does not need one never decompresses it)
 *     0  access ids: u16 per access, an index into column 3
 *     1  address control: u8 per access; bits 0-2 payload length code, bits 3-5 base
 *     2  address payload: per access 0, 1, 2, 3, 4, 5, 6 or 8 bytes (code 0..7): the zigzag
 *        difference between the address and its base. Base 0..6: the address 1..7 accesses earlier
 *        in this block (0 before the first); base 7: the last address at this program counter (0 at
 *        the first time)
 *     3  access templates: all that an access has but its address. The fields pc id (4 bytes), gap
 *        (2), size (1), flags (1), address producer base (2), index (2), data producer (2), their
 *        dependent-instruction counts (1, 1, 1)
 *     4  program counters (8): zigzag difference to the one before
 *     5  branch ids: u16 per branch, an index into column 6
 *     6  branch templates: accesses since the branch before (4), pc id (4), target id (4),
 *        instruction offset (2), producer (2), dependent instructions (1), kind (1), taken (1)
 *     7  event ids: u16 per event, an index into column 8
 *     8  event templates: accesses since the event before (4), type (2), instruction offset (2),
 *        six arguments (8 each)
 *     9..11  empty in version 1.0; a reader skips what it does not know
 * Templates and program counters are stored in byte planes: byte 0 of the first field of all
 * entries, then its byte 1, and so on; planes of small numbers are zeros and compress to nothing.
 * The meaning of the fields is that of cores/frontend.h.
 *
 * Templates are why the file is small and quick to read: in a loop, everything but the address
 * repeats, so one u16 stands for program counter, size, gap and producers together, and decoding it
 * is one copy of a ready-made record.
 *
 * INDEX, 32 bytes per block in file order
 *     0  u64  file offset of the block   16  u64  first instruction
 *     8  u32  thread                     24  u64  first access
 *    12  u32  bytes, with header and padding
 *
 * TRAILER, 80 bytes, at the very end of the file
 *     0  u64  index offset               40  u64  branches
 *     8  u64  index entries              48  u64  events
 *    16  u32  threads                    56  u64  XXH3 of the index
 *    20  u32  flags: 1 complete          64  u64  XXH3 of bytes 0..63
 *    24  u64  instructions               72  char[8]  "VMTIDX1\0"
 *    32  u64  accesses
 */
#ifndef CORES_VMT_FORMAT_H
#define CORES_VMT_FORMAT_H

#include "pdes/types.h"

#define VMT_FILE_MAGIC "VMTRACE"
#define VMT_TRAILER_MAGIC "VMTIDX1"
#define VMT_META_MAGIC 0x54454d56u  /* "VMET" */
#define VMT_BLOCK_MAGIC 0x4b4c4256u /* "VBLK" */
#define VMT_MAJOR 1
#define VMT_MINOR 0
#define VMT_ARCH_X86_64 62u

/* Ids are u16, so no block holds more of anything than this. */
#define VMT_MAX_ACCESSES 65536u
#define VMT_MAX_BRANCHES 65536u
#define VMT_MAX_EVENTS 65536u
#define VMT_MAX_PCS 65536u
#define VMT_MAX_THREADS 65536u
#define VMT_MAX_META_BYTES (1u << 20)

#define VMT_INCOMPAT_KNOWN 0u
#define VMT_TRAILER_COMPLETE 1u

enum vmt_codec { VMT_CODEC_STORED = 0, VMT_CODEC_LZ4 = 1 };

enum vmt_column_id {
    VMT_COL_ACC_IDS,
    VMT_COL_ADDR_CTL,
    VMT_COL_ADDR_PAYLOAD,
    VMT_COL_ACC_TMPL,
    VMT_COL_PCS,
    VMT_COL_BR_IDS,
    VMT_COL_BR_TMPL,
    VMT_COL_EV_IDS,
    VMT_COL_EV_TMPL,
    VMT_NCOLS_KNOWN,
    VMT_NCOLS = 12
};

/* Bytes of one template, summed over its planes. */
#define VMT_ACC_TMPL_BYTES 17u
#define VMT_BR_TMPL_BYTES 19u
#define VMT_EV_TMPL_BYTES 56u
#define VMT_PC_BYTES 8u

#define VMT_BASE_SAME_PC 7u

struct vmt_file_header {
    char magic[8];
    uint16_t major, minor;
    uint32_t header_bytes;
    uint32_t incompat, compat;
    uint8_t uuid[16];
    uint64_t created_s;
    uint32_t max_accesses, max_branches, max_events;
    uint32_t page_bytes;
    uint32_t arch;
    uint8_t zero[52];
    uint64_t header_hash;
};
_Static_assert(sizeof(struct vmt_file_header) == 128, "file format");

struct vmt_meta_header {
    uint32_t magic;
    uint32_t text_bytes;
    uint64_t text_hash;
    uint64_t header_hash;
};
_Static_assert(sizeof(struct vmt_meta_header) == 24, "file format");

struct vmt_column {
    uint32_t raw_bytes, stored_bytes;
};

struct vmt_block_header {
    uint32_t magic;
    uint32_t header_bytes;
    uint32_t thread;
    uint32_t codec;
    uint64_t block;
    uint64_t first_instr;
    uint64_t first_access;
    uint64_t first_load;
    uint64_t gseq;
    uint64_t host_ns;
    uint32_t nacc, nbr, nev, npcs;
    uint32_t nacc_tmpl, nbr_tmpl, nev_tmpl;
    uint32_t tail_gap;
    uint64_t ninstr;
    struct vmt_column col[VMT_NCOLS];
    uint64_t payload_hash;
    uint64_t header_hash;
};
_Static_assert(sizeof(struct vmt_block_header) == 216, "file format");

struct vmt_index_entry {
    uint64_t offset;
    uint32_t thread;
    uint32_t bytes;
    uint64_t first_instr;
    uint64_t first_access;
};
_Static_assert(sizeof(struct vmt_index_entry) == 32, "file format");

struct vmt_trailer {
    uint64_t index_offset;
    uint64_t nentries;
    uint32_t nthreads;
    uint32_t flags;
    uint64_t ninstr;
    uint64_t naccesses;
    uint64_t nbranches;
    uint64_t nevents;
    uint64_t index_hash;
    uint64_t trailer_hash;
    char magic[8];
};
_Static_assert(sizeof(struct vmt_trailer) == 80, "file format");

static inline uint64_t vmt_pad8(uint64_t bytes) { return (bytes + 7) & ~UINT64_C(7); }
static inline uint64_t vmt_zigzag(uint64_t d) { return (d << 1) ^ (uint64_t)((int64_t)d >> 63); }
static inline uint64_t vmt_unzigzag(uint64_t z) { return (z >> 1) ^ (0 - (z & 1)); }

#endif
