/*
 * What the recorder knows of an x86-64 instruction before it runs: where its addresses come from,
 * which registers its results come from and go to, and whether it is a branch. Decoded once per
 * translated instruction; the only door to the disassembler.
 */
#ifndef CORES_RECORDER_DECODE_H
#define CORES_RECORDER_DECODE_H

#include "pdes/types.h"

/* Registers that carry a producer. Parts of a register count as the whole of it. */
enum rd_reg {
    RD_RAX, RD_RCX, RD_RDX, RD_RBX, RD_RSP, RD_RBP, RD_RSI, RD_RDI,
    RD_R8, RD_R9, RD_R10, RD_R11, RD_R12, RD_R13, RD_R14, RD_R15,
    RD_FLAGS,
    RD_VEC0,                  /* 32 vector registers */
    RD_MMX0 = RD_VEC0 + 32,   /* 8 */
    RD_MASK0 = RD_MMX0 + 8,   /* 8 */
    RD_X87 = RD_MASK0 + 8,    /* the whole stack as one */
    RD_NONE,                  /* always without a producer */
    RD_NREGS
};

enum rd_flag {
    RD_LOCK = 1u << 0,
    RD_FENCE = 1u << 1,       /* mfence, lfence, or a serialising instruction */
    RD_GATHER = 1u << 2,      /* its accesses are separate elements, never merged */
    RD_REP = 1u << 3,         /* may follow itself */
    RD_LEAVE = 1u << 4,       /* rsp takes rbp before rbp is loaded */
    RD_BLIND_STORE = 1u << 5, /* what it stores does not come from what it loads (xchg, call) */
    RD_CROSSES = 1u << 6      /* its bytes reach into the next page */
};

#define RD_NOT_A_BRANCH 0xff
#define RD_MAX_SRC 8
#define RD_MAX_DST 6
#define RD_MAX_DATA 4

struct rd_insn {
    uint64_t pc;
    uint64_t target; /* of a direct branch */
    uint8_t bytes;
    uint8_t branch; /* enum branch_kind or RD_NOT_A_BRANCH */
    uint8_t flags;  /* enum rd_flag */
    uint8_t ops;    /* 0: moves only (a plain load or a copy), 1: computes */
    uint8_t operand_bytes; /* of a memory operand, 0 = none named; pieces are merged up to it */
    uint8_t load_addr[2];            /* base and index; RD_NONE where there is none */
    uint8_t store_addr[2];
    uint8_t nsrc, ndst, ndata;
    uint8_t src[RD_MAX_SRC];   /* what results come from, besides a load of its own */
    uint8_t dst[RD_MAX_DST];
    uint8_t data[RD_MAX_DATA]; /* what a store stores */
};

/* One-time set-up; false when the disassembler does not start. */
bool rd_init(void);

/*
 * Decodes the instruction at `pc`. Unknown bytes give an instruction without registers. Not
 * thread-safe (QEMU translates under a lock).
 */
void rd_decode(struct rd_insn *out, uint64_t pc, const uint8_t *bytes, size_t nbytes);

#endif
