/*
 * The recorder: a plugin of QEMU's user mode that writes a VMT trace of the program QEMU runs.
 *
 * Each translated block of code gets a template (recorder_decode.h). When the block runs, its
 * instructions are retired in order, interleaved with the memory accesses that QEMU reports, and
 * registers carry along which load produced them and how many instructions ago. Nothing here looks
 * at register values.
 *
 * Producers through memory: a table of recent stores remembers, per 8 bytes, the producer of the
 * stored data. A load that reads them gets that producer as its second address producer when the
 * slot is free (else in place of the older of the two): the load cannot complete before the data
 * existed. Its consumers name the load itself. So a pointer spilled to the stack keeps its chain.
 *
 * Order: calls that change the memory map run under one lock from entry to return, and are numbered
 * under it. Wake-ups are numbered at the entry of the waking call; a wait that slept names the last
 * wake-up of its word. Both are consistent with real time, so a replay cannot deadlock on them.
 *
 * Not recorded: kernel mode, signal frames, what happens between a fault and its handler, the
 * children of fork. Vector calls (readv ...) carry their largest buffer only.
 *
 * Settings arrive in the environment: CONCERTO_TRACE (file), CONCERTO_META (text),
 * CONCERTO_ROI_ONLY, CONCERTO_SKIP, CONCERTO_MAX (instructions of the process),
 * CONCERTO_FUNCTION (symbol).
 */
#include "cores/recorder_calls.h"
#include "cores/recorder_decode.h"
#include "cores/vmt.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- the part of QEMU's plugin interface in use -------------------------------------------- */

/* 1: QEMU 4.2 to 8.x (Debian 12). 4: QEMU 9.1 to 10.x (Debian 13). */
#ifndef QP_VERSION
#define QP_VERSION 1
#endif

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;
typedef void (*vcpu_cb)(qemu_plugin_id_t id, unsigned vcpu);
typedef void (*vcpu_udata_cb)(unsigned vcpu, void *udata);
typedef void (*mem_cb)(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *udata);
typedef void (*tb_trans_cb)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*syscall_cb)(qemu_plugin_id_t id, unsigned vcpu, int64_t nr, uint64_t a1, uint64_t a2,
                           uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7,
                           uint64_t a8);
typedef void (*syscall_ret_cb)(qemu_plugin_id_t id, unsigned vcpu, int64_t nr, int64_t ret);

extern __attribute__((visibility("default"))) int qemu_plugin_version;
int qemu_plugin_version = QP_VERSION;
int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv)
    __attribute__((visibility("default")));

void qemu_plugin_register_vcpu_init_cb(qemu_plugin_id_t id, vcpu_cb cb);
void qemu_plugin_register_vcpu_exit_cb(qemu_plugin_id_t id, vcpu_cb cb);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_trans_cb cb);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, vcpu_udata_cb cb, int flags,
                                          void *udata);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn, mem_cb cb, int flags, int rw,
                                      void *udata);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t id, syscall_cb cb);
void qemu_plugin_register_vcpu_syscall_ret_cb(qemu_plugin_id_t id, syscall_ret_cb cb);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*cb)(qemu_plugin_id_t, void *),
                                    void *udata);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t idx);
#if QP_VERSION >= 3
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *dest, size_t len);
#else
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
#endif
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *insn);
unsigned qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t info);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info);

enum { QEMU_PLUGIN_CB_NO_REGS = 0, QEMU_PLUGIN_MEM_RW = 3 };

/* ---- state --------------------------------------------------------------------------------- */

#define MAX_VCPUS 16384u
#define STORE_SLOTS 4096u
#define COUNT_BATCH 2048u /* instructions a thread counts by itself before it adds to the total */
#define FD_FLOOR 900      /* above what programs use */
#define SYSCALL_SLOTS 512u
#define GUEST_END UINT64_C(0x500000000000) /* QEMU's own mappings are above */
#define ROI_SYSCALL 0x564d54
#define SPIN_INSTRS 64u /* a loop is taken for a spin after this many instructions */
#define SPIN_LOADS 8u
#define SPIN_BLOCKS 4u /* a spin loop is at most this many blocks; pause ends one */
#define CLOSE_TRIES 20000u /* of 50 us */
#define REACH 512u /* loads; a producer farther back has long answered in any core */
#define NO_PAGE UINT64_MAX
#define NO_ORDER UINT64_MAX

/* One translated block. Lives until the process ends: QEMU may keep running it. */
struct tb {
    uint64_t pc;
    uint32_t ninsn;
    bool in_function; /* of CONCERTO_FUNCTION */
    struct rd_insn insn[];
};

/* A producer: load ordinal (from 1) << 8 | dependent instructions since; 0 = none. The larger of
 * two is the later load, or the longer chain from the same. */
typedef uint64_t producer_t;

struct store_slot {
    uint64_t granule;
    producer_t data;
};

/*
 * One guest thread: from its creation, which QEMU reports in the creating thread, to its exit call
 * or the end of the process. Only its own host thread uses it, but for closing: `busy` is set while
 * a callback works on it, and the closer waits for it after raising g_stop.
 */
struct cpu {
    struct vmt_thread *t;
    atomic_int busy;
    bool on;             /* recording accesses */
    bool in_function;
    const struct tb *tb; /* running now; NULL: between blocks */
    uint32_t next;       /* first instruction of tb not retired */
    bool begun;          /* `next` has been counted */
    uint64_t new_instrs; /* counted but not yet told to the writer */
    uint64_t batch;
    uint64_t skipped; /* while off */
    uint64_t page;
    uint64_t map_order;
    uint64_t loads;
    producer_t insn_load; /* the load of the instruction being run */
    bool fence;           /* one was retired since the last access */
    uint64_t repeating;   /* repeated string instruction under way */
    producer_t regs[RD_NREGS];
    /* An access that a piece may still join. */
    bool held;
    struct access_rec held_rec;
    const struct rd_insn *held_insn;
    producer_t held_data;
    /* spin detection */
    const struct tb *spin_tb[SPIN_BLOCKS];
    unsigned spin_next; /* the one to be replaced */
    uint64_t spin_addr, spin_instrs, spin_loads, spin_total;
    /* the running system call */
    int64_t nr;
    uint64_t arg[6];
    uint64_t wake_id;
    bool holds_map_lock;
    uint64_t clear_tid;
    uint64_t return_pc; /* of the last call, and of the call that entered the function */
    uint64_t function_return;
    struct store_slot stores[STORE_SLOTS];
};

struct region {
    uint64_t start, bytes, id;
};

struct wake {
    struct wake *next;
    uint64_t uaddr, id;
};

static struct {
    struct vmt_writer *w;
    struct cpu *cpus[MAX_VCPUS];
    atomic_int stop;   /* callbacks do nothing any more */
    atomic_int record; /* process-wide: accesses are wanted */
    bool started;      /* the first thread has its memory map */
    bool barrier;
    const char *function;
    uint64_t skip, max;
    _Atomic uint64_t seen, recorded;
    pthread_mutex_t map_lock;
    _Atomic uint64_t order; /* last map event, NO_ORDER: none yet */
    struct region *regions;
    size_t nregions, regions_cap;
    uint64_t vma_ids, brk_end, brk_id;
    pthread_mutex_t futex_lock;
    struct wake *wakes[1024];
    uint64_t wake_ids;
    pthread_mutex_t close_lock;
    bool closed;
    _Atomic uint64_t syscalls[SYSCALL_SLOTS], other_syscalls;
    _Atomic uint64_t nthreads, nchildren, spin_total;
} g = {.map_lock = PTHREAD_MUTEX_INITIALIZER,
       .futex_lock = PTHREAD_MUTEX_INITIALIZER,
       .close_lock = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local struct cpu *tl_self; /* the guest thread that this host thread runs */

/* False: recording has ended. The order of the two accesses is enforced by the closer's barrier. */
static inline bool cpu_enter(struct cpu *c)
{
    if (c == NULL || c->t == NULL)
        return false;
    atomic_store_explicit(&c->busy, 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    if (!g.barrier)
        atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&g.stop, memory_order_relaxed) == 0)
        return true;
    atomic_store_explicit(&c->busy, 0, memory_order_release);
    return false;
}

static inline void cpu_leave(struct cpu *c)
{
    atomic_store_explicit(&c->busy, 0, memory_order_release);
}

static inline struct cpu *cpu_of(unsigned vcpu) { return vcpu < MAX_VCPUS ? g.cpus[vcpu] : NULL; }

/* ---- records ------------------------------------------------------------------------------- */

static inline void tell_instrs(struct cpu *c)
{
    if (c->new_instrs != 0) {
        vmt_instr(c->t, c->new_instrs);
        c->new_instrs = 0;
    }
}

static void emit_event(struct cpu *c, uint16_t type, uint64_t a0, uint64_t a1, uint64_t a2,
                       uint64_t a3, uint64_t a4, uint64_t a5)
{
    tell_instrs(c);
    vmt_event(c->t, type, (uint64_t[6]){a0, a1, a2, a3, a4, a5});
}

static inline uint16_t distance_to(const struct cpu *c, producer_t p)
{
    uint64_t d = c->loads - (p >> 8) + 1;
    return p != 0 && d <= REACH ? (uint16_t)d : 0;
}

static inline void set_dep(const struct cpu *c, producer_t p, uint16_t *dep, uint8_t *ops)
{
    *dep = distance_to(c, p);
    *ops = *dep != 0 ? (uint8_t)p : 0;
}

static inline producer_t later(producer_t a, producer_t b) { return a > b ? a : b; }

static inline producer_t one_more(producer_t p)
{
    return p != 0 && (uint8_t)p != UINT8_MAX ? p + 1 : p;
}

static struct store_slot *store_slot(struct cpu *c, uint64_t granule)
{
    return &c->stores[(granule ^ granule >> 12) & (STORE_SLOTS - 1)];
}

static void remember_store(struct cpu *c)
{
    uint64_t first = c->held_rec.vaddr >> 3;
    uint64_t last = (c->held_rec.vaddr + c->held_rec.size - 1) >> 3;
    for (uint64_t granule = first; granule <= last; granule++)
        *store_slot(c, granule) = (struct store_slot){granule, c->held_data};
}

static void release_held(struct cpu *c)
{
    if (!c->held)
        return;
    c->held = false;
    tell_instrs(c);
    vmt_access(c->t, c->held_insn->pc, &c->held_rec);
    if ((c->held_rec.flags & ACC_STORE) != 0)
        remember_store(c);
}

/* ---- dataflow ------------------------------------------------------------------------------ */

static inline producer_t sources_of(const struct cpu *c, const struct rd_insn *in)
{
    producer_t p = c->insn_load;
    for (unsigned i = 0; i < in->nsrc; i++)
        p = later(p, c->regs[in->src[i]]);
    return p;
}

static inline void begin_insn(struct cpu *c)
{
    c->new_instrs++;
    c->begun = true;
}

static void retire(struct cpu *c, const struct rd_insn *in)
{
    /* QEMU enters a repeated string instruction once more to find its counter at zero. */
    bool idle_repeat = (in->flags & RD_REP) != 0 && !c->begun && c->repeating == in->pc;
    if (!c->begun && !idle_repeat)
        begin_insn(c);
    if ((in->flags & RD_REP) != 0)
        c->repeating = idle_repeat ? 0 : in->pc;
    if (c->held)
        release_held(c);
    if ((in->flags & RD_LEAVE) != 0)
        c->regs[RD_RSP] = c->regs[RD_RBP];
    if (in->ndst != 0) {
        producer_t p = sources_of(c, in);
        if (in->ops != 0)
            p = one_more(p);
        for (unsigned i = 0; i < in->ndst; i++)
            c->regs[in->dst[i]] = p;
    }
    if ((in->flags & RD_FENCE) != 0)
        c->fence = true;
    if ((in->flags & RD_CROSSES) != 0) {
        c->page = (in->pc + in->bytes - 1) >> PAGE_SHIFT;
        emit_event(c, FE_IFETCH_PAGE, c->page, 0, 0, 0, 0, 0);
    }
    c->insn_load = 0;
    c->begun = false;
    c->next++;
}

static inline void retire_until(struct cpu *c, uint32_t end)
{
    while (c->next < end)
        retire(c, &c->tb->insn[c->next]);
}

/* ---- memory accesses ----------------------------------------------------------------------- */

/* The piece continues the held access: QEMU splits accesses wider than 8 bytes. */
static bool join_held(struct cpu *c, const struct rd_insn *in, uint64_t vaddr, unsigned size,
                      bool store)
{
    unsigned whole = in->operand_bytes;
    struct access_rec *r = &c->held_rec;
    if (!c->held || c->held_insn != in || ((r->flags & ACC_STORE) != 0) != store ||
        (in->flags & RD_GATHER) != 0 || r->vaddr + r->size != vaddr || r->size + size > whole ||
        whole > 64)
        return false;
    r->size = (uint8_t)(r->size + size);
    return true;
}

static void set_address_deps(struct cpu *c, const uint8_t regs[2], struct access_rec *r)
{
    for (unsigned i = 0; i < 2; i++)
        set_dep(c, c->regs[regs[i]], &r->addr_dep[i], &r->addr_ops[i]);
}

/* A load of what a recent store wrote also waits for the producer of that data. */
static void add_memory_dep(struct cpu *c, struct access_rec *r)
{
    const struct store_slot *s = store_slot(c, r->vaddr >> 3);
    uint16_t dep;
    uint8_t ops;
    if (s->granule != r->vaddr >> 3)
        return;
    set_dep(c, s->data, &dep, &ops);
    if (dep == 0)
        return;
    unsigned slot = 1;
    if (r->addr_dep[1] != 0 && (r->addr_dep[0] == 0 || r->addr_dep[0] > r->addr_dep[1]))
        slot = 0;
    r->addr_dep[slot] = dep;
    r->addr_ops[slot] = ops;
}

static void hold_access(struct cpu *c, const struct rd_insn *in, uint64_t vaddr, unsigned size,
                        bool store)
{
    struct access_rec r = {.vaddr = vaddr, .size = (uint8_t)size};
    r.flags = (uint8_t)((store ? ACC_STORE : 0) | ((in->flags & RD_LOCK) != 0 ? ACC_LOCK : 0) |
                        (c->fence ? ACC_FENCE : 0));
    c->fence = false;
    set_address_deps(c, store ? in->store_addr : in->load_addr, &r);
    c->held_data = 0;
    if (store) {
        producer_t p = (in->flags & RD_BLIND_STORE) != 0 ? 0 : c->insn_load;
        for (unsigned i = 0; i < in->ndata; i++)
            p = later(p, c->regs[in->data[i]]);
        if (in->ops != 0)
            p = one_more(p);
        c->held_data = p;
        set_dep(c, p, &r.data_dep, &r.data_ops);
    } else {
        add_memory_dep(c, &r);
        c->insn_load = ++c->loads << 8;
    }
    c->held_rec = r;
    c->held_insn = in;
    c->held = true;
}

static inline void watch_spin_access(struct cpu *c, uint64_t vaddr, bool store)
{
    if (store || vaddr != c->spin_addr) {
        c->spin_instrs = c->spin_loads = 0;
        c->spin_addr = vaddr;
    } else {
        c->spin_loads++;
    }
}

static void on_mem(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *udata)
{
    struct cpu *c = cpu_of(vcpu);
    const struct rd_insn *in = udata;
    if (c == NULL || !c->on || c->tb == NULL || !cpu_enter(c))
        return;
    uint32_t at = (uint32_t)(in - c->tb->insn);
    if (in < c->tb->insn || at >= c->tb->ninsn)
        goto out;
    retire_until(c, at);
    if (!c->begun)
        begin_insn(c);
    unsigned size = 1u << qemu_plugin_mem_size_shift(info);
    bool store = qemu_plugin_mem_is_store(info);
    watch_spin_access(c, vaddr, store);
    if (!join_held(c, in, vaddr, size, store)) {
        release_held(c);
        hold_access(c, in, vaddr, size, store);
    }
out:
    cpu_leave(c);
}

/* ---- blocks -------------------------------------------------------------------------------- */

static void emit_branch(struct cpu *c, const struct rd_insn *in, uint64_t target, bool taken)
{
    struct branch_rec br = {.kind = in->branch, .taken = taken};
    producer_t p = in->branch == BR_JUMP || in->branch == BR_CALL ? 0 : c->insn_load;
    if (in->branch == BR_COND || (p == 0 && (in->branch == BR_INDIRECT ||
                                             in->branch == BR_CALL_INDIRECT)))
        for (unsigned i = 0; i < in->nsrc; i++)
            if (in->src[i] != RD_RSP)
                p = later(p, c->regs[in->src[i]]);
    set_dep(c, p, &br.dep, &br.ops);
    tell_instrs(c);
    vmt_branch(c->t, in->pc, target, &br);
}

/* Instructions of c->tb that ran, when the next block starts at `pc`. */
static uint32_t ran_before(const struct tb *tb, uint32_t next, uint64_t pc)
{
    const struct rd_insn *last = &tb->insn[tb->ninsn - 1];
    bool falls = pc == last->pc + last->bytes;
    bool branches = last->branch == BR_COND || last->branch == BR_JUMP || last->branch == BR_CALL
                        ? pc == last->target
                        : last->branch != RD_NOT_A_BRANCH;
    bool repeats = (last->flags & RD_REP) != 0 && pc == last->pc;
    if (falls || branches || repeats)
        return tb->ninsn;
    /* QEMU left the block early, to run one instruction on its own. */
    for (uint32_t i = next; i < tb->ninsn; i++)
        if (tb->insn[i].pc == pc)
            return i;
    return tb->ninsn;
}

/* Retires the rest of the running block; `pc` is where execution goes on. */
static void finish_block(struct cpu *c, uint64_t pc)
{
    const struct tb *tb = c->tb;
    uint32_t n = ran_before(tb, c->next, pc);
    const struct rd_insn *last = &tb->insn[tb->ninsn - 1];
    if (n < tb->ninsn || last->branch == RD_NOT_A_BRANCH) {
        retire_until(c, n);
    } else {
        retire_until(c, n - 1);
        if (c->next < n) {
            if (!c->begun)
                begin_insn(c);
            release_held(c);
            bool taken = last->branch != BR_COND || pc != last->pc + last->bytes;
            emit_branch(c, last, last->branch == BR_COND ? last->target : pc, taken);
            retire(c, last);
        }
    }
    release_held(c);
    c->tb = NULL;
}

/* The running block ends at a system call or with the thread. */
static void drain_block(struct cpu *c)
{
    if (c->on && c->tb != NULL) {
        retire_until(c, c->tb->ninsn);
        release_held(c);
    }
    c->tb = NULL;
}

static void watch_spin_block(struct cpu *c, const struct tb *tb)
{
    unsigned i = 0;
    while (i < SPIN_BLOCKS && c->spin_tb[i] != tb)
        i++;
    if (i == SPIN_BLOCKS) {
        c->spin_tb[c->spin_next] = tb;
        c->spin_next = (c->spin_next + 1) % SPIN_BLOCKS;
        c->spin_instrs = c->spin_loads = 0;
        return;
    }
    c->spin_instrs += tb->ninsn;
    if (c->spin_instrs > SPIN_INSTRS && c->spin_loads >= SPIN_LOADS)
        c->spin_total += tb->ninsn;
}

static void mark_map_order(struct cpu *c)
{
    uint64_t order = atomic_load_explicit(&g.order, memory_order_acquire);
    if (order == c->map_order)
        return;
    c->map_order = order;
    emit_event(c, FE_MAP_MARK, order, 0, 0, 0, 0, 0);
}

static void switch_on(struct cpu *c)
{
    memset(c->regs, 0, sizeof c->regs);
    memset(c->stores, 0, sizeof c->stores);
    c->stores[0].granule = 1; /* 0 would match address 0 in slot 0 */
    c->held = c->begun = c->fence = false;
    c->insn_load = 0;
    c->page = NO_PAGE;
    c->tb = NULL;
    c->on = true;
    if (c->skipped != 0)
        emit_event(c, FE_SAMPLE_GAP, c->skipped, 0, 0, 0, 0, 0);
    c->skipped = 0;
}

static void switch_off(struct cpu *c)
{
    drain_block(c);
    tell_instrs(c);
    c->on = false;
}

static void close_all(void);

/* Adds this thread's batch to the process-wide count and acts on the limits. */
static void count_batch(struct cpu *c)
{
    uint64_t n = c->batch;
    c->batch = 0;
    if (!c->on) {
        uint64_t seen = atomic_fetch_add(&g.seen, n) + n;
        if (g.skip != 0 && seen >= g.skip && seen - n < g.skip)
            atomic_store(&g.record, 1);
        return;
    }
    uint64_t recorded = atomic_fetch_add(&g.recorded, n) + n;
    if (g.max != 0 && recorded >= g.max && recorded - n < g.max) {
        switch_off(c);
        cpu_leave(c);
        close_all();
        _exit(0);
    }
}

/* Follows calls, so that a function's region ends where it returns to. */
static void follow_function(struct cpu *c, const struct tb *prev, const struct tb *tb)
{
    if (prev != NULL) {
        const struct rd_insn *last = &prev->insn[prev->ninsn - 1];
        if (last->branch == BR_CALL || last->branch == BR_CALL_INDIRECT)
            c->return_pc = last->pc + last->bytes;
    }
    if (c->in_function && tb->pc == c->function_return) {
        c->in_function = false;
    } else if (!c->in_function && tb->in_function) {
        c->in_function = true;
        c->function_return = c->return_pc;
    }
}

static bool wanted(const struct cpu *c)
{
    return atomic_load_explicit(&g.record, memory_order_relaxed) != 0 &&
           (g.function == NULL || c->in_function);
}

static void start_process(struct cpu *c);

static void on_block(unsigned vcpu, void *udata)
{
    struct cpu *c = cpu_of(vcpu);
    const struct tb *tb = udata;
    if (!cpu_enter(c))
        return;
    tl_self = c;
    if (!g.started)
        start_process(c);
    const struct tb *prev = c->tb;
    if (c->on && prev != NULL)
        finish_block(c, tb->pc);
    if (g.function != NULL)
        follow_function(c, prev, tb);
    if (c->on != wanted(c)) {
        if (c->on)
            switch_off(c);
        else
            switch_on(c);
    }
    if (tb->pc != c->repeating)
        c->repeating = 0;
    c->tb = tb;
    c->next = 0;
    c->batch += tb->ninsn;
    if (!c->on) {
        c->skipped += tb->ninsn;
    } else {
        if (tb->pc >> PAGE_SHIFT != c->page) {
            c->page = tb->pc >> PAGE_SHIFT;
            emit_event(c, FE_IFETCH_PAGE, c->page, 0, 0, 0, 0, 0);
        }
        if (atomic_load_explicit(&g.order, memory_order_relaxed) != c->map_order)
            mark_map_order(c);
        watch_spin_block(c, tb);
    }
    if (c->batch >= COUNT_BATCH)
        count_batch(c);
    cpu_leave(c);
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *qtb)
{
    (void)id;
    if (atomic_load(&g.stop) != 0)
        return;
    size_t n = qemu_plugin_tb_n_insns(qtb);
    struct tb *tb = malloc(sizeof *tb + n * sizeof tb->insn[0]);
    if (tb == NULL || n == 0) {
        free(tb);
        return;
    }
    tb->ninsn = (uint32_t)n;
    tb->in_function = false;
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *qi = qemu_plugin_tb_get_insn(qtb, i);
        uint8_t bytes[16] = {0};
        size_t nbytes = qemu_plugin_insn_size(qi);
        if (nbytes > sizeof bytes)
            nbytes = sizeof bytes;
#if QP_VERSION >= 3
        qemu_plugin_insn_data(qi, bytes, nbytes);
#else
        memcpy(bytes, qemu_plugin_insn_data(qi), nbytes);
#endif
        rd_decode(&tb->insn[i], qemu_plugin_insn_vaddr(qi), bytes, nbytes);
        qemu_plugin_register_vcpu_mem_cb(qi, on_mem, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW,
                                         &tb->insn[i]);
        if (i == 0 && g.function != NULL) {
            const char *symbol = qemu_plugin_insn_symbol(qi);
            tb->in_function = symbol != NULL && strcmp(symbol, g.function) == 0;
        }
    }
    tb->pc = tb->insn[0].pc;
    qemu_plugin_register_vcpu_tb_exec_cb(qtb, on_block, QEMU_PLUGIN_CB_NO_REGS, tb);
}

/* ---- the memory map ------------------------------------------------------------------------ */

/* The caller holds map_lock. */
static uint64_t next_order(struct cpu *c)
{
    uint64_t order = atomic_load(&g.order) + 1; /* NO_ORDER + 1 is 0 */
    atomic_store_explicit(&g.order, order, memory_order_release);
    c->map_order = order;
    return order;
}

static uint64_t region_add(uint64_t start, uint64_t bytes)
{
    if (g.nregions == g.regions_cap) {
        size_t cap = g.regions_cap != 0 ? 2 * g.regions_cap : 256;
        struct region *p = realloc(g.regions, cap * sizeof *p);
        if (p == NULL)
            return g.vma_ids++;
        g.regions = p;
        g.regions_cap = cap;
    }
    g.regions[g.nregions++] = (struct region){start, bytes, g.vma_ids};
    return g.vma_ids++;
}

/* The newest mapping that holds `addr`. */
static const struct region *region_at(uint64_t addr)
{
    for (size_t i = g.nregions; i-- > 0;)
        if (addr - g.regions[i].start < g.regions[i].bytes)
            return &g.regions[i];
    return NULL;
}

/* File offsets of the code of an ELF file. */
struct code_ranges {
    uint64_t from[8], to[8];
    unsigned n;
};

/* QEMU maps guest code without execute permission; the program headers of the file tell. */
static void read_code_ranges(const char *file, struct code_ranges *out)
{
    Elf64_Ehdr eh;
    out->n = 0;
    FILE *f = file[0] == '/' ? fopen(file, "re") : NULL;
    if (f == NULL)
        return;
    if (fread(&eh, sizeof eh, 1, f) == 1 && memcmp(eh.e_ident, ELFMAG, SELFMAG) == 0)
        for (unsigned i = 0; i < eh.e_phnum && out->n < 8; i++) {
            Elf64_Phdr ph;
            long at = (long)(eh.e_phoff + (uint64_t)i * eh.e_phentsize);
            if (fseek(f, at, SEEK_SET) != 0 || fread(&ph, sizeof ph, 1, f) != 1)
                break;
            if (ph.p_type != PT_LOAD || (ph.p_flags & PF_X) == 0)
                continue;
            out->from[out->n] = ph.p_offset & ~(PAGE_BYTES - 1);
            out->to[out->n++] = ph.p_offset + ph.p_filesz;
        }
    fclose(f);
}

static bool is_code(const struct code_ranges *code, uint64_t file_offset)
{
    for (unsigned i = 0; i < code->n; i++)
        if (file_offset >= code->from[i] && file_offset < code->to[i])
            return true;
    return false;
}

/* One host mapping, which may hold adjacent guest mappings with and without code. */
static void emit_initial_mapping(struct cpu *c, uint64_t start, uint64_t end, uint64_t offset,
                                 const char *perm, const char *file)
{
    struct code_ranges code;
    uint64_t prot = (perm[0] == 'r' ? PROT_READ : 0u) | (perm[1] == 'w' ? PROT_WRITE : 0u);
    uint64_t flags = (perm[3] == 's' ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED;
    if (file[0] != '/')
        flags |= MAP_ANONYMOUS;
    read_code_ranges(file, &code);
    while (start < end) {
        bool exec = is_code(&code, offset);
        uint64_t n = PAGE_BYTES;
        while (start + n < end && is_code(&code, offset + n) == exec)
            n += PAGE_BYTES;
        emit_event(c, FE_MMAP, next_order(c), start, n, prot | (exec ? PROT_EXEC : 0u), flags,
                   region_add(start, n));
        start += n;
        offset += n;
    }
}

/* The guest's mappings as the program starts: binary, loader, stack. */
static void emit_initial_map(struct cpu *c)
{
    FILE *f = fopen("/proc/self/maps", "re");
    char line[4200];
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        uint64_t start, end, offset;
        char perm[5] = "", file[4096] = "";
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %*s %4095[^\n]", &start, &end,
                   perm, &offset, file) < 4)
            continue;
        if (start >= GUEST_END)
            break;
        emit_initial_mapping(c, start, end, offset, perm, file);
    }
    if (f != NULL)
        fclose(f);
}

static void start_process(struct cpu *c)
{
    pthread_mutex_lock(&g.map_lock);
    if (!g.started) {
        emit_initial_map(c);
        g.started = true;
    }
    pthread_mutex_unlock(&g.map_lock);
}

static bool changes_map(int64_t nr)
{
    switch (nr) {
    case SYS_mmap: case SYS_munmap: case SYS_mprotect: case SYS_mremap: case SYS_brk:
    case SYS_madvise: case SYS_shmat: case SYS_shmdt:
        return true;
    default:
        return false;
    }
}

static uint64_t pages_up(uint64_t bytes) { return (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1); }

/* Bytes of the host mapping at `addr`, where QEMU put a shared memory segment. */
static uint64_t host_mapping_bytes(uint64_t addr)
{
    FILE *f = fopen("/proc/self/maps", "re");
    char line[4200];
    uint64_t start, end, found = 0;
    while (f != NULL && found == 0 && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) == 2 && start == addr)
            found = end - start;
    if (f != NULL)
        fclose(f);
    return found;
}

static void emit_brk(struct cpu *c, uint64_t end)
{
    if (g.brk_end == 0) {
        g.brk_end = end;
        g.brk_id = g.vma_ids++;
    } else if (end != g.brk_end) {
        emit_event(c, FE_BRK, next_order(c), g.brk_end, end, g.brk_id, 0, 0);
        g.brk_end = end;
    }
}

static void emit_map_change(struct cpu *c, int64_t ret)
{
    const uint64_t *a = c->arg;
    uint64_t at = (uint64_t)ret;
    const struct region *r;
    if (c->nr == SYS_brk) {
        emit_brk(c, at);
        return;
    }
    if (ret < 0 && ret > -4096)
        return;
    switch (c->nr) {
    case SYS_mmap: {
        uint64_t bytes = pages_up(a[1]);
        emit_event(c, FE_MMAP, next_order(c), at, bytes, a[2], a[3], region_add(at, bytes));
        break;
    }
    case SYS_munmap:
        emit_event(c, FE_MUNMAP, next_order(c), a[0], pages_up(a[1]), 0, 0, 0);
        break;
    case SYS_mprotect:
        emit_event(c, FE_MPROTECT, next_order(c), a[0], pages_up(a[1]), a[2], 0, 0);
        break;
    case SYS_madvise:
        emit_event(c, FE_MADVISE, next_order(c), a[0], pages_up(a[1]), a[2], 0, 0);
        break;
    case SYS_mremap: {
        r = region_at(a[0]);
        uint64_t id = r != NULL ? r->id : g.vma_ids++, bytes = pages_up(a[2]);
        region_add(at, bytes);
        g.regions[g.nregions - 1].id = id;
        emit_event(c, FE_MREMAP, next_order(c), a[0], pages_up(a[1]), at, bytes, id);
        break;
    }
    case SYS_shmat: {
        uint64_t bytes = host_mapping_bytes(at);
        if (bytes != 0)
            emit_event(c, FE_MMAP, next_order(c), at, bytes, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, region_add(at, bytes));
        break;
    }
    case SYS_shmdt:
        r = region_at(a[0]);
        if (r != NULL)
            emit_event(c, FE_MUNMAP, next_order(c), a[0], r->bytes, 0, 0, 0);
        break;
    default:
        break;
    }
}

/* ---- futexes ------------------------------------------------------------------------------- */

enum futex_part { FUTEX_PART_NONE, FUTEX_PART_WAIT, FUTEX_PART_WAKE };

static enum futex_part futex_part(uint64_t op)
{
    switch (op & 0x7f) {
    case 0: case 9: case 6: case 11: case 13: /* WAIT, WAIT_BITSET, LOCK_PI, WAIT_REQUEUE_PI */
        return FUTEX_PART_WAIT;
    case 1: case 3: case 4: case 5: case 7: case 10: case 12: /* WAKE, REQUEUE, UNLOCK_PI ... */
        return FUTEX_PART_WAKE;
    default:
        return FUTEX_PART_NONE;
    }
}

static void note_wake(uint64_t uaddr, uint64_t id)
{
    struct wake **head = &g.wakes[(uaddr >> 2) % 1024], *w = *head;
    while (w != NULL && w->uaddr != uaddr)
        w = w->next;
    if (w == NULL && (w = malloc(sizeof *w)) != NULL) {
        *w = (struct wake){.next = *head, .uaddr = uaddr};
        *head = w;
    }
    if (w != NULL)
        w->id = id;
}

/* A new wake-up of one or two words (the second for requeues and WAKE_OP; 0 = none). */
static uint64_t new_wake(uint64_t uaddr, uint64_t uaddr2)
{
    pthread_mutex_lock(&g.futex_lock);
    uint64_t id = ++g.wake_ids;
    if (uaddr != 0)
        note_wake(uaddr, id);
    if (uaddr2 != 0)
        note_wake(uaddr2, id);
    pthread_mutex_unlock(&g.futex_lock);
    return id;
}

static uint64_t last_wake(uint64_t uaddr)
{
    uint64_t id = 0;
    pthread_mutex_lock(&g.futex_lock);
    for (const struct wake *w = g.wakes[(uaddr >> 2) % 1024]; w != NULL; w = w->next)
        if (w->uaddr == uaddr)
            id = w->id;
    pthread_mutex_unlock(&g.futex_lock);
    return id;
}

static uint64_t second_word(const struct cpu *c)
{
    unsigned op = c->arg[1] & 0x7f;
    return op == 3 || op == 4 || op == 5 || op == 12 ? c->arg[4] : 0;
}

/* The wake-up that the running call was given a number for. */
static void emit_wake(struct cpu *c, int64_t ret)
{
    if (c->wake_id != 0)
        emit_event(c, FE_FUTEX_WAKE, c->arg[0], c->wake_id, ret > 0 ? (uint64_t)ret : 0, 0, 0, 0);
    c->wake_id = 0;
}

static void futex_return(struct cpu *c, int64_t ret)
{
    enum futex_part part = futex_part(c->arg[1]);
    if (part == FUTEX_PART_WAKE)
        emit_wake(c, ret);
    else if (part == FUTEX_PART_WAIT)
        emit_event(c, FE_FUTEX_WAIT, c->arg[0], ret == 0 ? last_wake(c->arg[0]) : 0, 0, 0, 0, 0);
}

/* ---- system calls -------------------------------------------------------------------------- */

enum length_rule { LEN_NONE, LEN_RET, LEN_ARG, LEN_FIX, LEN_MUL, LEN_IOV, LEN_MSG, LEN_STR };

struct length {
    uint8_t rule;
    uint16_t n;
};

struct call {
    const char *name;
    uint8_t read_arg;
    struct length read_len;
    uint8_t write_arg;
    struct length write_len;
};

#define NONE {LEN_NONE, 0}
#define RET {LEN_RET, 0}
#define ARG(n) {LEN_ARG, n}
#define FIX(n) {LEN_FIX, n}
#define MUL(n) {LEN_MUL, n}
#define IOV {LEN_IOV, 0}
#define MSG {LEN_MSG, 0}
#define STR {LEN_STR, 0}
static const struct call calls[SYSCALL_SLOTS] = {
#define X(nr, name, ra, rl, wa, wl) [nr] = {name, ra, rl, wa, wl},
    RECORDER_CALLS(X)
#undef X
};

/* Guest memory at its own address; false when it is not there. */
static bool peek(void *dst, uint64_t addr, size_t n)
{
    struct iovec local = {dst, n}, remote = {(void *)(uintptr_t)addr, n};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)n;
}

static void largest_iov(uint64_t vec, uint64_t n, int64_t ret, uint64_t *addr, uint64_t *len)
{
    uint64_t left = ret > 0 ? (uint64_t)ret : 0;
    *len = 0;
    for (uint64_t i = 0; i < n && i < 64 && left > 0; i++) {
        uint64_t iov[2];
        if (!peek(iov, vec + i * sizeof iov, sizeof iov))
            break;
        uint64_t k = u64_min(iov[1], left);
        left -= k;
        if (k > *len) {
            *addr = iov[0];
            *len = k;
        }
    }
}

static uint64_t path_bytes(uint64_t addr)
{
    char c;
    uint64_t n = 0;
    while (n < 256 && peek(&c, addr + n, 1) && c != '\0')
        n++;
    return n + 1;
}

/* The buffer of one side of a call that returned `ret`. */
static void buffer_of(const struct cpu *c, unsigned arg, struct length l, int64_t ret,
                      uint64_t *addr, uint64_t *len)
{
    *addr = *len = 0;
    if (arg == 0 || c->arg[arg - 1] == 0 || ret < 0)
        return;
    *addr = c->arg[arg - 1];
    uint64_t msg[4];
    switch ((enum length_rule)l.rule) {
    case LEN_RET:
        *len = (uint64_t)ret;
        break;
    case LEN_ARG:
        *len = c->arg[l.n - 1];
        break;
    case LEN_FIX:
        *len = l.n;
        break;
    case LEN_MUL:
        *len = (uint64_t)ret * l.n;
        break;
    case LEN_IOV:
        largest_iov(*addr, c->arg[arg], ret, addr, len);
        break;
    case LEN_MSG: /* struct msghdr: name, its length, iovec array, its length */
        if (peek(msg, *addr, sizeof msg))
            largest_iov(msg[2], msg[3], ret, addr, len);
        break;
    case LEN_STR:
        *len = path_bytes(*addr);
        break;
    case LEN_NONE:
        break;
    }
    if (*len == 0)
        *addr = 0;
}

static void emit_syscall(struct cpu *c, int64_t ret)
{
    static const struct call unknown;
    const struct call *k = c->nr >= 0 && c->nr < SYSCALL_SLOTS ? &calls[c->nr] : &unknown;
    uint64_t raddr, rlen, waddr, wlen;
    buffer_of(c, k->read_arg, k->read_len, ret, &raddr, &rlen);
    buffer_of(c, k->write_arg, k->write_len, ret, &waddr, &wlen);
    if (c->on)
        emit_event(c, FE_SYSCALL, (uint64_t)c->nr, (uint64_t)ret, raddr, rlen, waddr, wlen);
}

static void count_syscall(int64_t nr)
{
    _Atomic uint64_t *n = nr >= 0 && nr < SYSCALL_SLOTS ? &g.syscalls[nr] : &g.other_syscalls;
    atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}

static void end_thread(struct cpu *c)
{
    if (c->t == NULL)
        return;
    drain_block(c);
    emit_wake(c, 0); /* numbers are dense even if the process ends inside the call */
    emit_event(c, FE_THREAD_EXIT, new_wake(c->clear_tid, 0), 0, 0, 0, 0, 0);
    atomic_fetch_add(&g.spin_total, c->spin_total);
    vmt_thread_close(c->t);
    c->t = NULL;
}

static void region_mark(struct cpu *c)
{
    bool begin = c->arg[0] == 1;
    if (getenv("CONCERTO_ROI_ONLY") != NULL)
        atomic_store(&g.record, begin);
    if (begin && !c->on && wanted(c))
        switch_on(c);
    emit_event(c, begin ? FE_ROI_BEGIN : FE_ROI_END, c->arg[1], 0, 0, 0, 0, 0);
}

static char *final_meta(void);

static void syscall_enter(struct cpu *c)
{
    drain_block(c);
    if (c->nr != ROI_SYSCALL)
        count_syscall(c->nr);
    if (changes_map(c->nr)) {
        pthread_mutex_lock(&g.map_lock);
        c->holds_map_lock = true;
    }
    if (c->nr == SYS_futex && futex_part(c->arg[1]) == FUTEX_PART_WAKE)
        c->wake_id = new_wake(c->arg[0], second_word(c));
    if (c->nr == SYS_exit)
        end_thread(c);
    if (c->nr == SYS_execve || c->nr == SYS_execveat) {
        /* If it succeeds, nothing of this process is left to write the end of the file. */
        emit_event(c, FE_EXEC, 0, 0, 0, 0, 0, 0);
        vmt_thread_flush(c->t);
        char *meta = final_meta();
        vmt_finish(g.w, meta);
        free(meta);
    }
}

static void on_syscall(qemu_plugin_id_t id, unsigned vcpu, int64_t nr, uint64_t a1, uint64_t a2,
                       uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)a7, (void)a8;
    struct cpu *c = cpu_of(vcpu);
    if (!cpu_enter(c))
        return;
    tl_self = c;
    c->nr = nr;
    memcpy(c->arg, (uint64_t[6]){a1, a2, a3, a4, a5, a6}, sizeof c->arg);
    syscall_enter(c);
    cpu_leave(c);
}

static void syscall_return(struct cpu *c, int64_t ret)
{
    switch (c->nr) {
    case SYS_futex:
        futex_return(c, ret);
        return;
    case ROI_SYSCALL:
        region_mark(c);
        return;
    case SYS_set_tid_address:
        c->clear_tid = c->arg[0];
        break;
    case SYS_fork: case SYS_vfork:
    case SYS_clone:
        if (c->nr != SYS_clone || (c->arg[0] & 0x10000) == 0) { /* not CLONE_THREAD */
            atomic_fetch_add(&g.nchildren, ret > 0);
            emit_event(c, FE_FORK, ret > 0 ? (uint64_t)ret : 0, 0, 0, 0, 0, 0);
            return;
        }
        break;
    case SYS_execve: case SYS_execveat:
        vmt_unfinish(g.w);
        break;
    default:
        break;
    }
    if (ret != -ENOSYS)
        emit_syscall(c, ret);
}

static void on_syscall_ret(qemu_plugin_id_t id, unsigned vcpu, int64_t nr, int64_t ret)
{
    (void)id;
    struct cpu *c = cpu_of(vcpu);
    if (!cpu_enter(c)) {
        if (c != NULL && c->holds_map_lock) {
            c->holds_map_lock = false;
            pthread_mutex_unlock(&g.map_lock);
        }
        return;
    }
    if (c->nr == nr) {
        if (c->holds_map_lock) {
            emit_map_change(c, ret);
            c->holds_map_lock = false;
            pthread_mutex_unlock(&g.map_lock);
        } else {
            syscall_return(c, ret);
        }
    }
    cpu_leave(c);
}

/* ---- threads and the end ------------------------------------------------------------------- */

/* Runs in the creating thread, inside its clone call. */
static void on_vcpu_init(qemu_plugin_id_t id, unsigned vcpu)
{
    (void)id;
    if (atomic_load(&g.stop) != 0 || vcpu >= MAX_VCPUS)
        return;
    /* Numbers are used again; nobody frees the state of a thread while others may look at it. */
    struct cpu *c = g.cpus[vcpu];
    if (c != NULL && c->t == NULL)
        memset(c, 0, sizeof *c);
    else
        c = calloc(1, sizeof *c);
    if (c == NULL || (c->t = vmt_thread_open(g.w)) == NULL) {
        err_log(ERR_MEMORY, "no memory to record another thread");
        g.cpus[vcpu] = NULL;
        free(c);
        return;
    }
    c->map_order = NO_ORDER;
    c->page = NO_PAGE;
    c->stores[0].granule = 1;
    atomic_fetch_add(&g.nthreads, 1);
    struct cpu *parent = tl_self;
    if (parent != NULL && parent->t != NULL && cpu_enter(parent)) {
        if (parent->nr == SYS_clone && (parent->arg[0] & 0x200000) != 0) /* CLONE_CHILD_CLEARTID */
            c->clear_tid = parent->arg[3];
        emit_event(parent, FE_THREAD_CREATE, vmt_thread_index(c->t), 0, 0, 0, 0, 0);
        cpu_leave(parent);
    }
    g.cpus[vcpu] = c;
}

static void on_vcpu_exit(qemu_plugin_id_t id, unsigned vcpu)
{
    (void)id;
    struct cpu *c = cpu_of(vcpu);
    if (!cpu_enter(c))
        return;
    end_thread(c);
    cpu_leave(c);
}

static char *final_meta(void)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (f == NULL)
        return NULL;
    fprintf(f, "producer_reach=%u\n", REACH);
    fprintf(f, "recorded_threads=%" PRIu64 "\n", atomic_load(&g.nthreads));
    fprintf(f, "untraced_children=%" PRIu64 "\n", atomic_load(&g.nchildren));
    fprintf(f, "spin_instructions=%" PRIu64 "\n", atomic_load(&g.spin_total));
    fprintf(f, "wake_ids=%" PRIu64 "\nsyscalls=", g.wake_ids);
    for (unsigned i = 0; i < SYSCALL_SLOTS; i++) {
        uint64_t k = atomic_load(&g.syscalls[i]);
        if (k != 0 && calls[i].name != NULL)
            fprintf(f, "%s:%" PRIu64 " ", calls[i].name, k);
        else if (k != 0)
            fprintf(f, "%u:%" PRIu64 " ", i, k);
    }
    fprintf(f, "\nunknown_syscalls=%" PRIu64 "\n", atomic_load(&g.other_syscalls));
    fclose(f);
    return text;
}

/* False: the thread hangs in a callback, behind a lock whose owner will not run again. */
static bool quiet_soon(const struct cpu *c)
{
    for (unsigned tries = 0; tries < CLOSE_TRIES; tries++) {
        if (atomic_load_explicit(&c->busy, memory_order_acquire) == 0)
            return true;
        usleep(50);
    }
    return false;
}

/* Ends recording: no callback works on any thread when the file is closed. */
static void close_all(void)
{
    pthread_mutex_lock(&g.close_lock);
    if (!g.closed) {
        g.closed = true;
        atomic_store(&g.stop, 1);
        if (g.barrier)
            syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
        for (unsigned i = 0; i < MAX_VCPUS; i++) {
            struct cpu *c = g.cpus[i];
            if (c == NULL || c->t == NULL)
                continue;
            if (quiet_soon(c))
                end_thread(c);
        }
        char *meta = final_meta();
        vmt_close(g.w, meta);
        free(meta);
    }
    pthread_mutex_unlock(&g.close_lock);
}

static void on_exit_process(qemu_plugin_id_t id, void *udata)
{
    (void)id, (void)udata;
    if (atomic_load(&g.stop) == 0)
        close_all();
}

/* A child has a copy of all buffers and shares the file: it must not write. */
static void in_forked_child(void)
{
    g.closed = true;
    atomic_store(&g.stop, 1);
}

static uint64_t number_from_env(const char *name)
{
    const char *s = getenv(name);
    return s != NULL ? strtoull(s, NULL, 10) : 0;
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv)
{
    (void)info, (void)argc, (void)argv;
    const char *path = getenv("CONCERTO_TRACE"), *meta = getenv("CONCERTO_META");
    struct vmt_writer_opts opts = {.min_fd = FD_FLOOR};
    if (path == NULL) {
        err_log(ERR_USAGE, "the recorder plugin is started by `concerto record`, not by hand");
        return 1;
    }
    if (!rd_init()) {
        err_log(ERR_RUNTIME, "the disassembler of the recorder does not start");
        return 1;
    }
    if (vmt_create(path, meta, &opts, &g.w) != ERR_OK)
        return 1;
    g.function = getenv("CONCERTO_FUNCTION");
    g.skip = number_from_env("CONCERTO_SKIP");
    g.max = number_from_env("CONCERTO_MAX");
    atomic_store(&g.record, getenv("CONCERTO_ROI_ONLY") == NULL && g.skip == 0);
    atomic_store(&g.order, NO_ORDER);
    g.barrier = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
    pthread_atfork(NULL, NULL, in_forked_child);
    qemu_plugin_register_vcpu_init_cb(id, on_vcpu_init);
    qemu_plugin_register_vcpu_exit_cb(id, on_vcpu_exit);
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    qemu_plugin_register_vcpu_syscall_ret_cb(id, on_syscall_ret);
    qemu_plugin_register_atexit_cb(id, on_exit_process, NULL);
    return 0;
}
