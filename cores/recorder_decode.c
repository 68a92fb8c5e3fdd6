/*
 * See recorder_decode.h. The stack engine of real cores is assumed: push, pop, call and ret move
 * rsp without a dependence on what they load or store. Zeroing idioms cut the chain.
 */
#include "cores/recorder_decode.h"

#include "cores/frontend.h"

#include <capstone/capstone.h>
#include <string.h>

static csh g_handle;
static cs_insn *g_insn;
static uint8_t g_reg[X86_REG_ENDING];

/* ---- registers ----------------------------------------------------------------------------- */

static void map_one(unsigned reg, unsigned rd) { g_reg[reg] = (uint8_t)rd; }

static void map_run(unsigned first, unsigned n, unsigned rd)
{
    for (unsigned i = 0; i < n; i++)
        map_one(first + i, rd + i);
}

static void map_registers(void)
{
    static const struct {
        uint16_t q, d, w, b, h;
        uint8_t rd;
    } old[] = {
        {X86_REG_RAX, X86_REG_EAX, X86_REG_AX, X86_REG_AL, X86_REG_AH, RD_RAX},
        {X86_REG_RCX, X86_REG_ECX, X86_REG_CX, X86_REG_CL, X86_REG_CH, RD_RCX},
        {X86_REG_RDX, X86_REG_EDX, X86_REG_DX, X86_REG_DL, X86_REG_DH, RD_RDX},
        {X86_REG_RBX, X86_REG_EBX, X86_REG_BX, X86_REG_BL, X86_REG_BH, RD_RBX},
        {X86_REG_RSP, X86_REG_ESP, X86_REG_SP, X86_REG_SPL, X86_REG_SPL, RD_RSP},
        {X86_REG_RBP, X86_REG_EBP, X86_REG_BP, X86_REG_BPL, X86_REG_BPL, RD_RBP},
        {X86_REG_RSI, X86_REG_ESI, X86_REG_SI, X86_REG_SIL, X86_REG_SIL, RD_RSI},
        {X86_REG_RDI, X86_REG_EDI, X86_REG_DI, X86_REG_DIL, X86_REG_DIL, RD_RDI},
    };
    memset(g_reg, RD_NONE, sizeof g_reg);
    for (size_t i = 0; i < sizeof old / sizeof old[0]; i++) {
        map_one(old[i].q, old[i].rd);
        map_one(old[i].d, old[i].rd);
        map_one(old[i].w, old[i].rd);
        map_one(old[i].b, old[i].rd);
        map_one(old[i].h, old[i].rd);
    }
    map_run(X86_REG_R8, 8, RD_R8);
    map_run(X86_REG_R8D, 8, RD_R8);
    map_run(X86_REG_R8W, 8, RD_R8);
    map_run(X86_REG_R8B, 8, RD_R8);
    map_run(X86_REG_XMM0, 32, RD_VEC0);
    map_run(X86_REG_YMM0, 32, RD_VEC0);
    map_run(X86_REG_ZMM0, 32, RD_VEC0);
    map_run(X86_REG_MM0, 8, RD_MMX0);
    map_run(X86_REG_K0, 8, RD_MASK0);
    for (unsigned i = 0; i < 8; i++) {
        map_one(X86_REG_ST0 + i, RD_X87);
        map_one(X86_REG_FP0 + i, RD_X87);
    }
    map_one(X86_REG_FPSW, RD_X87);
    map_one(X86_REG_EFLAGS, RD_FLAGS);
}

static uint8_t rd_reg(unsigned reg) { return reg < X86_REG_ENDING ? g_reg[reg] : RD_NONE; }

static void add_reg(uint8_t *list, uint8_t *n, unsigned max, uint8_t rd)
{
    if (rd == RD_NONE || *n == max)
        return;
    for (unsigned i = 0; i < *n; i++)
        if (list[i] == rd)
            return;
    list[(*n)++] = rd;
}

/* ---- instruction classes ------------------------------------------------------------------- */

static bool moves_only(unsigned id)
{
    switch (id) {
    case X86_INS_MOV: case X86_INS_MOVABS: case X86_INS_MOVZX: case X86_INS_MOVSX:
    case X86_INS_MOVSXD: case X86_INS_POP: case X86_INS_PUSH: case X86_INS_LEAVE:
    case X86_INS_CALL: case X86_INS_RET: case X86_INS_JMP: case X86_INS_XCHG:
    case X86_INS_LODSB: case X86_INS_LODSW: case X86_INS_LODSD: case X86_INS_LODSQ:
    case X86_INS_STOSB: case X86_INS_STOSW: case X86_INS_STOSD: case X86_INS_STOSQ:
    case X86_INS_MOVSB: case X86_INS_MOVSW: case X86_INS_MOVSD: case X86_INS_MOVSQ:
    case X86_INS_MOVSS: case X86_INS_MOVD: case X86_INS_MOVQ: case X86_INS_MOVAPS:
    case X86_INS_MOVUPS: case X86_INS_MOVAPD: case X86_INS_MOVUPD: case X86_INS_MOVDQA:
    case X86_INS_MOVDQU: case X86_INS_LDDQU: case X86_INS_MOVLPD: case X86_INS_MOVLPS:
    case X86_INS_MOVHPD: case X86_INS_MOVHPS: case X86_INS_VMOVSS: case X86_INS_VMOVSD:
    case X86_INS_VMOVD: case X86_INS_VMOVQ: case X86_INS_VMOVAPS: case X86_INS_VMOVUPS:
    case X86_INS_VMOVAPD: case X86_INS_VMOVUPD: case X86_INS_VMOVDQA: case X86_INS_VMOVDQU:
    case X86_INS_VLDDQU: case X86_INS_VBROADCASTSS: case X86_INS_VBROADCASTSD:
    case X86_INS_FLD: case X86_INS_FST: case X86_INS_FSTP:
        return true;
    default:
        return false;
    }
}

static bool gathers(unsigned id)
{
    switch (id) {
    case X86_INS_VGATHERDPD: case X86_INS_VGATHERDPS: case X86_INS_VGATHERQPD:
    case X86_INS_VGATHERQPS: case X86_INS_VPGATHERDD: case X86_INS_VPGATHERDQ:
    case X86_INS_VPGATHERQD: case X86_INS_VPGATHERQQ:
        return true;
    default:
        return false;
    }
}

static bool zeroes_itself(unsigned id)
{
    switch (id) {
    case X86_INS_XOR: case X86_INS_SUB: case X86_INS_PXOR: case X86_INS_XORPS:
    case X86_INS_XORPD: case X86_INS_VPXOR: case X86_INS_VXORPS: case X86_INS_VXORPD:
    case X86_INS_PSUBB: case X86_INS_PSUBD: case X86_INS_PSUBQ: case X86_INS_PCMPEQB:
    case X86_INS_PCMPEQD: case X86_INS_VPCMPEQB: case X86_INS_VPCMPEQD:
        return true;
    default:
        return false;
    }
}

static bool fences(unsigned id)
{
    return id == X86_INS_MFENCE || id == X86_INS_LFENCE || id == X86_INS_CPUID ||
           id == X86_INS_IRETQ;
}

/* Moves rsp by the stack engine. */
static bool stack_engine(unsigned id)
{
    switch (id) {
    case X86_INS_PUSH: case X86_INS_POP: case X86_INS_CALL: case X86_INS_RET:
    case X86_INS_PUSHFQ: case X86_INS_POPFQ: case X86_INS_LEAVE:
        return true;
    default:
        return false;
    }
}

static uint8_t branch_kind_of(const cs_insn *in, const cs_x86 *x)
{
    bool direct = x->op_count > 0 && x->operands[0].type == X86_OP_IMM;
    switch (in->id) {
    case X86_INS_JMP:
        return direct ? BR_JUMP : BR_INDIRECT;
    case X86_INS_CALL:
        return direct ? BR_CALL : BR_CALL_INDIRECT;
    case X86_INS_RET: case X86_INS_RETF: case X86_INS_RETFQ: case X86_INS_IRETQ:
        return BR_RET;
    case X86_INS_LOOP: case X86_INS_LOOPE: case X86_INS_LOOPNE:
        return BR_COND;
    default:
        break;
    }
    for (unsigned i = 0; i < in->detail->groups_count; i++)
        if (in->detail->groups[i] == X86_GRP_JUMP)
            return BR_COND;
    return RD_NOT_A_BRANCH;
}

/* ---- one instruction ----------------------------------------------------------------------- */

/* The disassembler's read and write marks are wrong for many vector stores; they are needed only
 * where an instruction has two memory operands. */
static void take_memory_operands(struct rd_insn *out, const cs_insn *in, const cs_x86 *x)
{
    unsigned nmem = 0;
    for (unsigned i = 0; i < x->op_count; i++)
        nmem += x->operands[i].type == X86_OP_MEM;
    for (unsigned i = 0; i < x->op_count; i++) {
        const cs_x86_op *op = &x->operands[i];
        if (op->type != X86_OP_MEM || in->id == X86_INS_LEA)
            continue;
        uint8_t base = rd_reg(op->mem.base), index = rd_reg(op->mem.index);
        bool any = nmem == 1 || (op->access & (CS_AC_READ | CS_AC_WRITE)) == 0;
        if (any || (op->access & CS_AC_READ) != 0) {
            out->load_addr[0] = base;
            out->load_addr[1] = index;
        }
        if (any || (op->access & CS_AC_WRITE) != 0) {
            out->store_addr[0] = base;
            out->store_addr[1] = index;
        }
        if (op->size > out->operand_bytes)
            out->operand_bytes = op->size;
    }
}

static void take_implicit_memory(struct rd_insn *out, unsigned id)
{
    switch (id) {
    case X86_INS_PUSH: case X86_INS_CALL: case X86_INS_PUSHFQ:
        out->store_addr[0] = RD_RSP;
        out->store_addr[1] = RD_NONE;
        break;
    case X86_INS_POP: case X86_INS_RET: case X86_INS_POPFQ:
        out->load_addr[0] = RD_RSP;
        out->load_addr[1] = RD_NONE;
        break;
    case X86_INS_LEAVE:
        out->load_addr[0] = RD_RBP;
        break;
    default:
        break;
    }
}

static bool is_string_move(const cs_insn *in, const cs_x86 *x)
{
    switch (in->id) {
    case X86_INS_MOVSB: case X86_INS_MOVSW: case X86_INS_MOVSQ: case X86_INS_STOSB:
    case X86_INS_STOSW: case X86_INS_STOSD: case X86_INS_STOSQ: case X86_INS_LODSB:
    case X86_INS_LODSW: case X86_INS_LODSD: case X86_INS_LODSQ: case X86_INS_SCASB:
    case X86_INS_SCASW: case X86_INS_SCASD: case X86_INS_SCASQ: case X86_INS_CMPSB:
    case X86_INS_CMPSW: case X86_INS_CMPSQ:
        return true;
    case X86_INS_MOVSD: case X86_INS_CMPSD: /* the scalar double forms share the name */
        return x->op_count >= 2 && x->operands[0].type == X86_OP_MEM &&
               x->operands[1].type == X86_OP_MEM;
    default:
        return false;
    }
}

static void take_registers(struct rd_insn *out, const cs_insn *in, const cs_x86 *x)
{
    cs_regs reads, writes;
    uint8_t nreads = 0, nwrites = 0;
    bool string = is_string_move(in, x);
    if (cs_regs_access(g_handle, in, reads, &nreads, writes, &nwrites) != CS_ERR_OK)
        return;
    for (unsigned i = 0; i < nreads; i++)
        add_reg(out->src, &out->nsrc, RD_MAX_SRC, rd_reg(reads[i]));
    for (unsigned i = 0; i < nwrites; i++) {
        uint8_t rd = rd_reg(writes[i]);
        if (rd == RD_RSP && stack_engine(in->id))
            continue;
        /* The pointers and the counter advance by themselves: their producers stay. */
        if (string && (rd == RD_RSI || rd == RD_RDI || rd == RD_RCX))
            continue;
        add_reg(out->dst, &out->ndst, RD_MAX_DST, rd);
    }
}

static void take_store_data(struct rd_insn *out, const cs_insn *in, const cs_x86 *x)
{
    for (unsigned i = 0; i < x->op_count; i++) {
        const cs_x86_op *op = &x->operands[i];
        bool written_only = op->access == CS_AC_WRITE;
        if (op->type == X86_OP_REG && !written_only)
            add_reg(out->data, &out->ndata, RD_MAX_DATA, rd_reg(op->reg));
    }
    switch (in->id) {
    case X86_INS_STOSB: case X86_INS_STOSW: case X86_INS_STOSD: case X86_INS_STOSQ:
        add_reg(out->data, &out->ndata, RD_MAX_DATA, RD_RAX);
        break;
    case X86_INS_FST: case X86_INS_FSTP: case X86_INS_FIST: case X86_INS_FISTP:
        add_reg(out->data, &out->ndata, RD_MAX_DATA, RD_X87);
        break;
    default:
        break;
    }
    for (unsigned i = 0; i < out->nsrc; i++)
        if (out->src[i] == RD_FLAGS)
            add_reg(out->data, &out->ndata, RD_MAX_DATA, RD_FLAGS);
}

/* Both sources the same register: the result is a constant. */
static bool is_zeroing(const cs_insn *in, const cs_x86 *x)
{
    unsigned n = x->op_count;
    return zeroes_itself(in->id) && n >= 2 && x->operands[n - 1].type == X86_OP_REG &&
           x->operands[n - 2].type == X86_OP_REG &&
           x->operands[n - 1].reg == x->operands[n - 2].reg;
}

static void take_flags(struct rd_insn *out, const cs_insn *in, const cs_x86 *x)
{
    bool memory = out->load_addr[0] != RD_NONE || out->load_addr[1] != RD_NONE;
    if (x->prefix[0] == X86_PREFIX_LOCK || (in->id == X86_INS_XCHG && memory))
        out->flags |= RD_LOCK;
    if (is_string_move(in, x) &&
        (x->prefix[0] == X86_PREFIX_REP || x->prefix[0] == X86_PREFIX_REPNE))
        out->flags |= RD_REP;
    if (fences(in->id))
        out->flags |= RD_FENCE;
    if (gathers(in->id))
        out->flags |= RD_GATHER;
    if (in->id == X86_INS_LEAVE)
        out->flags |= RD_LEAVE;
    if (in->id == X86_INS_XCHG || in->id == X86_INS_CALL || in->id == X86_INS_CMPXCHG ||
        in->id == X86_INS_CMPXCHG8B || in->id == X86_INS_CMPXCHG16B)
        out->flags |= RD_BLIND_STORE;
}

void rd_decode(struct rd_insn *out, uint64_t pc, const uint8_t *bytes, size_t nbytes)
{
    *out = (struct rd_insn){.pc = pc,
                            .bytes = (uint8_t)nbytes,
                            .branch = RD_NOT_A_BRANCH,
                            .ops = 1,
                            .load_addr = {RD_NONE, RD_NONE},
                            .store_addr = {RD_NONE, RD_NONE}};
    if (pc / PAGE_BYTES != (pc + nbytes - 1) / PAGE_BYTES)
        out->flags |= RD_CROSSES;
    const uint8_t *code = bytes;
    size_t left = nbytes;
    uint64_t at = pc;
    if (!cs_disasm_iter(g_handle, &code, &left, &at, g_insn))
        return;
    const cs_x86 *x = &g_insn->detail->x86;
    out->ops = !moves_only(g_insn->id);
    out->branch = branch_kind_of(g_insn, x);
    if (x->op_count > 0 && x->operands[0].type == X86_OP_IMM)
        out->target = (uint64_t)x->operands[0].imm;
    take_memory_operands(out, g_insn, x);
    take_implicit_memory(out, g_insn->id);
    take_registers(out, g_insn, x);
    take_store_data(out, g_insn, x);
    take_flags(out, g_insn, x);
    if (is_zeroing(g_insn, x))
        out->nsrc = 0;
}

bool rd_init(void)
{
    if (cs_open(CS_ARCH_X86, CS_MODE_64, &g_handle) != CS_ERR_OK)
        return false;
    cs_option(g_handle, CS_OPT_DETAIL, CS_OPT_ON);
    g_insn = cs_malloc(g_handle);
    map_registers();
    return g_insn != NULL;
}
