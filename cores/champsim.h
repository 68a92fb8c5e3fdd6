/*
 * ChampSim traces: 64-byte instruction records without header, raw or compressed with xz or gzip.
 *
 *      0  u64     ip                        12  u8[4]   source registers, 0 = none
 *      8  u8      is a branch               16  u64[2]  addresses stored to, 0 = none
 *      9  u8      branch taken              32  u64[4]  addresses loaded from, 0 = none
 *     10  u8[2]   destination registers
 *
 * Register numbers are those of the tracer, but for 6 stack pointer, 25 flags, 26 instruction
 * pointer, which tell the kind of a branch.
 */
#ifndef CORES_CHAMPSIM_H
#define CORES_CHAMPSIM_H

#include "cores/frontend.h"

#define CHAMPSIM_RECORD_BYTES 64u
#define CHAMPSIM_BLOCK_INSTRS 16384u

enum champsim_reg { CHAMPSIM_SP = 6, CHAMPSIM_FLAGS = 25, CHAMPSIM_IP = 26 };

struct champsim_record {
    uint64_t ip;
    uint8_t is_branch, taken;
    uint8_t dst[2];
    uint8_t src[4];
    uint64_t stores[2];
    uint64_t loads[4];
};
_Static_assert(sizeof(struct champsim_record) == CHAMPSIM_RECORD_BYTES, "file format");

/*
 * One thread per file, all running from the start; no memory-map events. Access sizes are not in
 * the format: 8 bytes are assumed, less where they would cross a line. Which source register feeds
 * the address and which the data is not told either: the two latest producers count as the
 * address's, the latest as a store's data.
 */
enum err champsim_open(const char *const *paths, size_t npaths, struct frontend **out);

/* True when the file is, or is named like, a ChampSim trace. */
bool champsim_probe(const char *path);

/* Kind of a branch from the registers it reads and writes. */
enum branch_kind champsim_branch_kind(const struct champsim_record *r);

#endif
