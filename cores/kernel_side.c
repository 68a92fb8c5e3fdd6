/*
 * The kernel as a core sees it: faults and calls out, resumption, thread switches, shootdowns and
 * interrupts in.
 *
 * While a handler runs nothing of the thread dispatches. Its pieces (K_SEG) leave their marks in
 * the caches here; its time is that of the answer. A core without a thread sleeps.
 */
#include "cores/core.h"
#include "mimicos/kernel_call.h"
#include "pdes/control.h"

#define SAME_EVENT(name) _Static_assert((int)FE_##name == (int)KCALL_##name, "event numbers agree");
SAME_EVENT(MMAP)
SAME_EVENT(MUNMAP)
SAME_EVENT(MPROTECT)
SAME_EVENT(MREMAP)
SAME_EVENT(BRK)
SAME_EVENT(MADVISE)
SAME_EVENT(MAP_MARK)
SAME_EVENT(FUTEX_WAIT)
SAME_EVENT(FUTEX_WAKE)
SAME_EVENT(THREAD_CREATE)
SAME_EVENT(THREAD_EXIT)
SAME_EVENT(SYSCALL)
_Static_assert((int)FE_FORK == (int)KCALL_FORK && (int)FE_EXEC == (int)KCALL_EXEC, "event numbers agree");

/* A request that leaves at cycle `at`, after the exception entry. */
static void tell_kernel(const struct core_ctx *x, uint16_t type, unsigned flags, uint64_t at,
                        const uint64_t a[4])
{
    lp_send(x->lp, x->cfg->kernel_lp, time_of(x->cfg, at) + x->cfg->kernel_entry_fs, MSG_TYPE(type, flags),
            x->c->thread, a[0], a[1], a[2], a[3]);
}

static void enter_kernel(const struct core_ctx *x, uint64_t at)
{
    struct core *c = x->c;
    cpi_wait_unknown(x, at);
    c->resume_run = c->run;
    c->run = RUN_KERNEL;
    c->kernel_since = at;
}

static void send_position(const struct core_ctx *x, uint64_t at)
{
    const struct position *p = &x->c->pos;
    const uint64_t a[4] = {p->block, (uint64_t)p->acc << 32 | p->ev, (uint64_t)p->br << 32 | p->gap_done,
                           p->ninstr};
    tell_kernel(x, K_POS, 0, at, a);
}

static struct position position_of(const struct msg *m)
{
    return (struct position){.block = m->a[0], .acc = (uint32_t)(m->a[1] >> 32), .ev = (uint32_t)m->a[1],
                             .br = (uint32_t)(m->a[2] >> 32), .gap_done = (uint32_t)m->a[2],
                             .ninstr = m->a[3]};
}

void core_raise_fault(const struct core_ctx *x, uint64_t vaddr, unsigned flags, uint64_t at)
{
    struct core *c = x->c;
    core_drop_page(x, vaddr);
    c->stats.faults++;
    CORE_LOG(x, FAULT, (flags & KF_EXEC) ? CORE_LOG_FETCH : c->fault_no, vaddr, at, flags);
    c->in_fault = 1;
    c->fault_at = CYCLE_UNKNOWN;
    enter_kernel(x, at);
    tell_kernel(x, K_FAULT, 0, at, (const uint64_t[4]){vaddr, flags, 0, 0});
}

void core_call_kernel(const struct core_ctx *x, const struct fe_event *ev, uint64_t at)
{
    x->c->stats.syscalls += ev->type != FE_MAP_MARK;
    CORE_LOG(x, CALL, ev->type, ev->a[0], ev->a[1], ev->a[2]);
    enter_kernel(x, at);
    x->c->in_sync = ev->type == FE_FUTEX_WAIT || ev->type == FE_MAP_MARK;
    send_position(x, at);
    if (ev->type == FE_MAP_MARK) {
        tell_kernel(x, K_MARK, 1, at, (const uint64_t[4]){ev->a[0], 0, 0, 0});
        return;
    }
    if (ev->a[4] != 0 || ev->a[5] != 0)
        tell_kernel(x, K_CALL_MORE, 0, at, (const uint64_t[4]){ev->a[4], ev->a[5], 0, 0});
    tell_kernel(x, K_CALL, ev->type, at, ev->a);
}

void core_passed_mark(const struct core_ctx *x, uint64_t order, uint64_t at)
{
    tell_kernel(x, K_MARK, 0, at, (const uint64_t[4]){order, 0, 0, 0});
}

void core_report_ad(const struct core_ctx *x, uint64_t entry_paddr, uint64_t bits)
{
    x->c->stats.ad_updates++;
    tell_kernel(x, K_AD, 0, x->c->touch, (const uint64_t[4]){entry_paddr, bits, 0, 0});
}

void core_tell_control(const struct core_ctx *x, uint16_t type, uint64_t a0, uint64_t at)
{
    lp_send(x->lp, x->cfg->control_lp, time_of(x->cfg, at) + x->cfg->control_latency_fs, type, x->c->thread, a0,
            x->c->limit_hit, 0, 0);
}

void core_thread_exit(const struct core_ctx *x, uint64_t wake_id, uint64_t at)
{
    struct core *c = x->c;
    core_tell_control(x, CTRL_THREAD_DONE, c->pos.ninstr, at);
    enter_kernel(x, at);
    send_position(x, at);
    tell_kernel(x, K_EXIT, c->limit_hit, at, (const uint64_t[4]){wake_id, c->pos.ninstr, 0, 0});
}

/* ---- answers ---------------------------------------------------------------------------------- */

/* Dispatch begins again, after so many cycles for `cause`. */
static void restart_slots(const struct core_ctx *x, uint64_t cycles, enum cpi_cause cause)
{
    struct core *c = x->c;
    uint64_t at = u64_max(c->slot_cycle, c->touch) + cycles;
    cpi_charge(c, CPI_BASE, c->slot_cycle);
    cpi_charge(c, cause, at);
    c->slot_cycle = at;
    c->last_cycle = at;
    c->slot_k = 0;
}

static void count_idle(struct core *c)
{
    if (c->run == RUN_IDLE) {
        c->stats.idle_cycles += c->touch - c->idle_since;
        c->run_since = c->touch;
        cpi_begin(c, c->touch);
    }
}

static void resume(const struct core_ctx *x, const struct msg *m)
{
    struct core *c = x->c;
    SIM_ASSERT(c->run == RUN_KERNEL, "core %u resumed in state %u", x->lp->instance, c->run);
    uint64_t cycles = c->touch - c->kernel_since;
    c->stats.kernel_cycles += cycles;
    CORE_LOG(x, RESUME, c->in_fault, cycles, m->a[0]);
    c->map_order = u64_max(c->map_order, m->a[1]);
    c->run = c->resume_run;
    cpi_leave_kernel(c, c->touch);
    c->in_sync = 0;
    restart_slots(x, x->p->core.refill_cycles, c->in_fault ? CPI_FAULT : CPI_KERNEL);
    if (c->in_fault) {
        c->in_fault = 0;
        c->stats.fault_cycles += cycles;
        hist_add(c->stats.fault_latency, 32, cycles);
        core_retry_faulted(x);
    }
}

static void switch_thread(const struct core_ctx *x, const struct msg *m)
{
    struct core *c = x->c;
    SIM_ASSERT(c->run == RUN_KERNEL || c->run == RUN_IDLE, "core %u switched in state %u",
               x->lp->instance, c->run);
    if (c->run == RUN_KERNEL)
        c->stats.kernel_cycles += c->touch - c->kernel_since;
    count_idle(c);
    cpi_leave_kernel(c, c->touch);
    c->in_sync = 0;
    core_program_settle(x);
    c->run = RUN_USER;
    c->thread = m->arg;
    CORE_LOG(x, SWITCH, m->arg, m->a[0]);
    c->pos = c->next_thread_pos;
    c->asid = (uint32_t)m->a[0];
    c->root = m->a[1];
    c->levels = (uint32_t)m->a[2];
    c->map_order = m->a[3];
    core_fetch_reset(x);
    bpred_switch(core_at(c, c->at.bpred));
    c->limit_hit = 0;
    c->warm_told = x->cfg->warmup != 0 && c->pos.ninstr >= x->cfg->warmup;
    x->cfg->host->loaded = false;
    core_window_reset(x);
    restart_slots(x, x->p->core.refill_cycles, CPI_KERNEL);
}

static void go_idle(const struct core_ctx *x)
{
    struct core *c = x->c;
    CORE_LOG(x, IDLE, c->thread);
    core_program_settle(x);
    if (c->run == RUN_KERNEL)
        c->stats.kernel_cycles += c->touch - c->kernel_since;
    if (c->run != RUN_IDLE) {
        cpi_leave_kernel(c, c->touch);
        c->in_sync = 0;
        c->stats.cycles += c->touch - c->run_since;
        c->idle_since = c->touch;
    }
    c->run = RUN_IDLE;
}

/* Time taken from the running thread; a core in the kernel or asleep takes it beside. */
static void steal(const struct core_ctx *x, simtime_t cost)
{
    struct core *c = x->c;
    uint64_t cycles = cycle_of(x->cfg, cost);
    if (c->run != RUN_USER && c->run != RUN_ENDING)
        return;
    c->stats.interrupt_cycles += cycles;
    if (c->slot_cycle < c->touch) {
        cpi_wait_unknown(x, c->touch);
        c->slot_cycle = c->touch;
        c->slot_k = 0;
    }
    cpi_charge(c, CPI_BASE, c->slot_cycle);
    c->slot_cycle += cycles;
    cpi_charge(c, CPI_KERNEL, c->slot_cycle);
    c->last_cycle = u64_max(c->last_cycle, c->touch) + cycles;
}

static void shoot_down(const struct core_ctx *x, const struct msg *m)
{
    x->c->stats.shootdowns++;
    CORE_LOG(x, SHOOTDOWN, m->a[0], m->a[1], m->a[2], m->a[3], m->arg * FS_PER_NS);
    core_flush(x, m->a[0], m->a[1], (uint32_t)m->a[2]);
    steal(x, (simtime_t)m->arg * FS_PER_NS);
    lp_send(x->lp, x->cfg->kernel_lp, x->lp->now + x->cfg->kernel_entry_fs, K_FLUSHED, x->c->thread, m->a[3], 0, 0,
            0);
}

void core_handle_kernel(const struct core_ctx *x, const struct msg *m)
{
    switch (m->type) {
    case K_SEG:
        CORE_LOG(x, SEG, m->flags, m->a[0], m->a[1], m->a[2]);
        if (m->flags == KSEG_STORE)
            core_kernel_store(x, m->a[0]);
        break;
    case K_RESUME:
        resume(x, m);
        break;
    case K_SWITCH_POS:
        x->c->next_thread_pos = position_of(m);
        break;
    case K_SWITCH:
        switch_thread(x, m);
        break;
    case K_IDLE:
        go_idle(x);
        break;
    case K_SHOOTDOWN:
        shoot_down(x, m);
        break;
    case K_INTERRUPT:
        x->c->stats.interrupts++;
        CORE_LOG(x, INTERRUPT, m->a[0]);
        steal(x, m->a[0]);
        break;
    default:
        SIM_ASSERT(false, "core %u: unknown message %u", x->lp->instance, m->type);
    }
}
