/*
 * The kernel as a logical process: requests in, the ends of handlers' blocks, and the LP itself.
 * How a handler runs in time is in kernel_run.h; the order of calls in sched.h.
 *
 * Commits and ends of blocks are private actions in time order (ties: lowest core), hence mirrored
 * times never go back. Not modelled: time slices, interrupts other than shootdowns, the kernel's
 * own memory accesses besides page-table entries and clearing.
 */
#include <stdio.h>
#include <string.h>

#include "mimicos/kernel_run.h"

/* Linux moves at most 2 GiB less a page per call, whatever the arguments say. */
#define MAX_COPY_BYTES (UINT64_C(0x7ffff000))

static void hist_add(uint64_t *bins, uint64_t v)
{
    unsigned bin = v == 0 ? 0 : log2_floor(v) + 1;
    bins[bin < KERNEL_HIST_BINS ? bin : KERNEL_HIST_BINS - 1]++;
}

/* ---- ends of handlers ------------------------------------------------------------------------ */

static void end_fault(const struct kernel_ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    struct kernel_stats *st = &x->k->stats;
    simtime_t at = u64_max(kernel_answer_time(x), c->ready_at);
    uint64_t ns = (at - c->arrived) / FS_PER_NS;
    st->fault_ns[0] += ns;
    hist_add(st->fault_hist, ns);
    kernel_send_resume(x, core);
    kernel_pass_locks(x);
}

static void count_map(struct kernel_stats *st, const struct kcore *c)
{
    uint64_t *const by_call[KCALL_END] = {
        [KCALL_MMAP] = st->map_mmap,     [KCALL_MUNMAP] = st->map_munmap,
        [KCALL_MPROTECT] = st->map_mprotect, [KCALL_MREMAP] = st->map_mremap,
        [KCALL_BRK] = st->map_brk,       [KCALL_MADVISE] = st->map_madvise};
    uint64_t *const by_outcome[LAYOUT_NOUTCOMES] = {
        [LAYOUT_EXEC] = st->layout_exec, [LAYOUT_SEARCHED] = st->layout_searched,
        [LAYOUT_ALIGNED] = st->layout_aligned, [LAYOUT_FIXED] = st->layout_fixed,
        [LAYOUT_KEPT] = st->layout_kept};
    by_call[c->call][0]++;
    st->map_pages[0] += c->op.npages;
    bool maps = c->call == KCALL_MMAP || c->call == KCALL_MREMAP;
    uint64_t outcome = maps ? c->a[5] >> LAYOUT_OUTCOME_SHIFT : LAYOUT_AS_RECORDED;
    if (outcome < LAYOUT_NOUTCOMES && by_outcome[outcome] != NULL)
        by_outcome[outcome][0]++;
}

static void end_map(const struct kernel_ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    uint32_t asid = c->asid;
    count_map(&x->k->stats, c);
    sched_map_done(x->s, asid, c->a[0]);
    sched_report(x->s, sched_core(x->s, core)->thread, c->a[0]);
    if (c->by_switch)
        kernel_send_switch(x, core);
    else
        kernel_send_resume(x, core);
    kernel_pass_locks(x);
    kernel_release(x, asid);
}

static void sleep_or_pass(const struct kernel_ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    uint32_t asid = c->asid;
    if (c->step == 1) {
        kernel_send_resume(x, core);
        return;
    }
    if (sched_wake_done(x->s, asid, c->a[1])) {
        x->k->stats.futex_passed[0]++;
        c->step = 1;
        price_op(kernel_open_block(x), KOP_SYSCALL_EXIT, 1);
        kernel_start_block(x, core);
        return;
    }
    x->k->stats.futex_blocked[0]++;
    kernel_thread_on(x, core)->wait = c->a[1];
    sched_leave(x->s, core, THREAD_FUTEX);
    kernel_next_thread(x, core);
    kernel_release(x, asid);
    program_thread_rests(x, asid);
}

static void create_thread(const struct kernel_ctx *x, uint32_t core)
{
    const struct thread *parent = kernel_thread_on(x, core);
    uint32_t child = sched_space(x->s, parent->asid)->first_thread +
                     (uint32_t)kernel_core(x->k, core)->a[0];
    SIM_ASSERT(child < x->cfg->nthreads, "created thread %u of %u", child, x->cfg->nthreads);
    if (sched_thread(x->s, child)->state != THREAD_NEW)
        return;
    sched_report(x->s, child, parent->order);
    x->k->stats.threads_created[0]++;
    kernel_place(x, child);
}

static void end_call(const struct kernel_ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    switch (c->call) {
    case KCALL_FUTEX_WAIT:
        sleep_or_pass(x, core);
        return;
    case KCALL_FUTEX_WAKE:
        kernel_execute_wake(x, c->asid, c->a[1]);
        break;
    case KCALL_THREAD_EXIT:
        kernel_execute_wake(x, c->asid, c->a[0]);
        break;
    case KCALL_THREAD_CREATE:
        create_thread(x, core);
        break;
    default:
        break;
    }
    kernel_send_resume(x, core);
}

static void end_exit(const struct kernel_ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    uint32_t asid = c->asid;
    kernel_execute_wake(x, asid, c->a[0]);
    x->k->stats.threads_exited[0]++;
    sched_leave(x->s, core, THREAD_EXITED);
    kernel_next_thread(x, core);
    kernel_release(x, asid);
    program_thread_rests(x, asid);
}

static void end_switch(const struct kernel_ctx *x, uint32_t core)
{
    if (kernel_thread_on(x, core)->call == 0) {
        kernel_send_switch(x, core);
        return;
    }
    kernel_core(x->k, core)->by_switch = 1;
    if (kernel_thread_on(x, core)->call == KCALL_EXEC)
        program_begin_exec(x, core);
    else
        kernel_begin_map(x, core);
}

/* Pages are done: flush what lost its translation, then free it. */
static void after_pages(const struct kernel_ctx *x, uint32_t core)
{
    const struct kcore *c = kernel_core(x->k, core);
    if (c->op.flush_start != c->op.flush_end)
        kernel_start_flush(x, core);
    else if (c->job == KJOB_MAP || c->op.nfree > 0)
        kernel_free_pages(x, core);
    else
        end_fault(x, core);
}

static void step_map(const struct kernel_ctx *x, uint32_t core)
{
    enum mm_result res;
    if (!mm_op_step(x->mm, kernel_open_block(x), &kernel_core(x->k, core)->op, &res)) {
        after_pages(x, core);
        return;
    }
    if (res == MM_NOMEM)
        kernel_stop_without_frames(x);
    kernel_start_block(x, core);
}

static void end_block(const struct kernel_ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    c->end_at = SIM_NEVER;
    if (c->phase == KCORE_FLUSH) {
        x->k->stats.shootdown_ns[0] += (x->lp->now - c->flush_start) / FS_PER_NS;
        kernel_free_pages(x, core);
        return;
    }
    if (c->step == 1 && c->op.nfree > 0 && (c->job == KJOB_FAULT || c->job == KJOB_MAP || c->job == KJOB_EXEC)) {
        kernel_free_pages(x, core);
        return;
    }
    switch (c->job) {
    case KJOB_FAULT:
        if (c->step == 0)
            after_pages(x, core);
        else
            end_fault(x, core);
        break;
    case KJOB_MAP:
        if (c->step == 0)
            step_map(x, core);
        else
            end_map(x, core);
        break;
    case KJOB_CALL:
        end_call(x, core);
        break;
    case KJOB_EXIT:
        end_exit(x, core);
        break;
    case KJOB_SWITCH:
        end_switch(x, core);
        break;
    case KJOB_EXEC:
        if (c->step == 0)
            program_step_exec(x, core);
        else
            program_end_exec(x, core);
        break;
    default:
        SIM_ASSERT(false, "core %u ends a block of job %u", core, c->job);
    }
}

/* ---- requests -------------------------------------------------------------------------------- */

static uint32_t core_of(const struct kernel_ctx *x, const struct msg *m)
{
    uint32_t core = m->src - x->cfg->first_core;
    SIM_ASSERT(core < x->cfg->ncores, "message %u from LP %u, which is no core", m->type, m->src);
    return core;
}

/* The core's thread asks for something and waits. */
static struct kcore *open_request(const struct kernel_ctx *x, uint32_t core, const struct msg *m)
{
    struct kcore *c = kernel_core(x->k, core);
    SIM_ASSERT(c->phase == KCORE_USER && !c->owes && sched_core(x->s, core)->thread == m->arg,
               "request %u of thread %u on core %u: phase %u, %s, thread %u runs there", m->type,
               m->arg, core, c->phase, c->owes ? "one is unanswered" : "none is open",
               sched_core(x->s, core)->thread);
    x->k->stats.requests[0]++;
    c->owes = 1;
    c->step = c->by_switch = 0;
    c->result = KR_OK;
    c->ready_at = 0;
    c->asid = kernel_thread_on(x, core)->asid;
    return c;
}

static void take_fault(const struct kernel_ctx *x, uint32_t core, const struct msg *m)
{
    struct kcore *c = open_request(x, core, m);
    c->job = KJOB_FAULT;
    c->a[0] = m->a[0];
    c->a[1] = m->a[1];
    kernel_take_lock(x, core);
}

static void take_map_call(const struct kernel_ctx *x, uint32_t core)
{
    const struct kcore *c = kernel_core(x->k, core);
    uint32_t thread = sched_core(x->s, core)->thread, asid = c->asid;
    struct thread *t = sched_thread(x->s, thread);
    uint64_t order = c->a[0];
    t->call = c->call;
    t->call_unmaps = mm_call_unmaps(x->mm, asid, c->call, c->a);
    t->wait = order;
    memcpy(t->arg, c->a, sizeof t->arg);
    if (order > 0)
        sched_report(x->s, thread, order - 1);
    if (sched_may_map(x->s, thread, order, t->call_unmaps != 0)) {
        kernel_begin_map(x, core);
    } else {
        x->k->stats.order_waits[0]++;
        if (!sched_wait(x->s, core, THREAD_ORDER))
            kernel_next_thread(x, core);
    }
    kernel_release(x, asid);
    program_thread_rests(x, asid);
}

static void price_call(const struct kernel_ctx *x, const struct kcore *c, struct krun *r)
{
    price_op(r, KOP_SYSCALL_ENTRY, 1);
    switch (c->call) {
    case KCALL_FUTEX_WAIT:
        price_op(r, KOP_FUTEX_WAIT, 1);
        return; /* the way out is priced when it is taken */
    case KCALL_FUTEX_WAKE:
        price_op(r, KOP_FUTEX_WAKE, 1);
        for (uint32_t i = sched_next_sleeper(x->s, c->asid, c->a[1], 0); i != SCHED_NONE;
             i = sched_next_sleeper(x->s, c->asid, c->a[1], i + 1))
            price_op(r, KOP_WAKE_THREAD, 1);
        break;
    case KCALL_THREAD_CREATE:
        price_op(r, KOP_THREAD_CREATE, 1);
        break;
    case KCALL_SYSCALL:
        price_op(r, KOP_SYSCALL, 1);
        price_copy(r, u64_min(c->a[3], MAX_COPY_BYTES) + u64_min(c->a[5], MAX_COPY_BYTES));
        break;
    default:
        price_op(r, KOP_SYSCALL, 1);
    }
    price_op(r, KOP_SYSCALL_EXIT, 1);
}

static void take_call(const struct kernel_ctx *x, uint32_t core, const struct msg *m)
{
    struct kcore *c = open_request(x, core, m);
    c->call = m->flags;
    memcpy(c->a, m->a, sizeof m->a);
    c->a[4] = c->more[0];
    c->a[5] = c->more[1];
    c->more[0] = c->more[1] = 0;
    if (c->call >= KCALL_MMAP && c->call <= KCALL_MADVISE) {
        take_map_call(x, core);
        return;
    }
    c->job = KJOB_CALL;
    x->k->stats.syscalls[0] += c->call == KCALL_SYSCALL;
    price_call(x, c, kernel_open_block(x));
    kernel_start_block(x, core);
}

static void take_exit(const struct kernel_ctx *x, uint32_t core, const struct msg *m)
{
    struct kcore *c = open_request(x, core, m);
    struct krun *r = kernel_open_block(x);
    c->job = KJOB_EXIT;
    c->a[0] = m->a[0];
    program_thread_ends(x, m->arg, m->a[1], (m->flags & 1) != 0);
    price_op(r, KOP_SYSCALL_ENTRY, 1);
    price_op(r, KOP_THREAD_EXIT, 1);
    kernel_start_block(x, core);
}

static void take_mark(const struct kernel_ctx *x, uint32_t core, const struct msg *m)
{
    struct thread *t = sched_thread(x->s, m->arg);
    uint32_t asid = t->asid;
    sched_report(x->s, m->arg, m->a[0]);
    if ((m->flags & 1) != 0) {
        open_request(x, core, m);
        if (sched_space(x->s, asid)->order_done >= m->a[0]) {
            kernel_send_resume(x, core);
        } else {
            x->k->stats.mark_waits[0]++;
            t->wait = m->a[0];
            t->call = 0;
            if (!sched_wait(x->s, core, THREAD_MARK))
                kernel_next_thread(x, core);
        }
    }
    kernel_release(x, asid);
    program_thread_rests(x, asid);
}

static void take_bits(const struct kernel_ctx *x, const struct msg *m)
{
    uint64_t value;
    if (!mm_set_bits(x->mm, (paddr_t){m->a[0]}, m->a[1], &value)) {
        x->k->stats.ad_stale[0]++;
        return;
    }
    x->k->stats.ad_updates[0]++;
    lp_mirror(x->lp, x->lp->now + x->cfg->mirror_latency_fs, (paddr_t){m->a[0]}, value, m->src);
}

/* An update that no program asked for: the fuzz process wants one page to look unused again. */
static void take_poke(const struct kernel_ctx *x, const struct msg *m)
{
    paddr_t pte;
    uint64_t value;
    if (mm_clear_accessed(x->mm, m->a[0], &pte, &value))
        lp_mirror(x->lp, x->lp->now + x->cfg->mirror_latency_fs, pte, value, LPID_NONE);
}

/* ---- the LP ---------------------------------------------------------------------------------- */

static void kernel_handle(struct lp *lp, const struct msg *m)
{
    const struct kernel_ctx x = kernel_ctx_of(lp);
    if (m->type == K_POKE) { /* the one message that comes from no core */
        take_poke(&x, m);
        return;
    }
    uint32_t core = core_of(&x, m);
    struct kcore *c = kernel_core(x.k, core);
    switch (m->type) {
    case K_FAULT:
        take_fault(&x, core, m);
        break;
    case K_CALL:
        take_call(&x, core, m);
        break;
    case K_CALL_MORE:
        c->more[0] = m->a[0];
        c->more[1] = m->a[1];
        break;
    case K_POS:
        memcpy(sched_thread(x.s, m->arg)->pos, m->a, sizeof m->a);
        break;
    case K_MARK:
        take_mark(&x, core, m);
        break;
    case K_EXIT:
        take_exit(&x, core, m);
        break;
    case K_AD:
        take_bits(&x, m);
        break;
    case K_FLUSHED:
        kernel_flush_acknowledged(&x, m->a[0]);
        break;
    default:
        SIM_ASSERT(false, "kernel: unknown message %u from core %u", m->type, core);
    }
}

/* The core whose commit or end comes first; ties: the lowest. */
static uint32_t first_action(const struct kernel_ctx *x, simtime_t *at_out)
{
    uint32_t best = SCHED_NONE;
    *at_out = SIM_NEVER;
    for (uint32_t i = 0; i < x->cfg->ncores; i++) {
        const struct kcore *c = kernel_core(x->k, i);
        simtime_t at = u64_min(c->commit_at, c->end_at);
        if (at < *at_out) {
            *at_out = at;
            best = i;
        }
    }
    return best;
}

static simtime_t kernel_advance(struct lp *lp, simtime_t until)
{
    const struct kernel_ctx x = kernel_ctx_of(lp);
    while (x.k->next_action < until) {
        simtime_t at;
        uint32_t core = first_action(&x, &at);
        x.k->next_action = at;
        if (at >= until)
            break;
        lp->now = at;
        if (kernel_core(x.k, core)->commit_at <= at)
            kernel_commit(&x, core);
        else
            end_block(&x, core);
    }
    return x.k->next_action;
}

static void kernel_start(struct lp *lp)
{
    struct kernel *k = lp->state;
    if (!k->ready) /* else os.premap has begun it */
        kernel_init(k, lp->cfg);
    const struct kernel_ctx x = kernel_ctx_of(lp);
    for (uint32_t i = 0; i < x.cfg->nthreads; i++)
        if (kernel_all_start(x.cfg, sched_thread(x.s, i)->asid) || sched_space(x.s, sched_thread(x.s, i)->asid)->first_thread == i)
            kernel_place(&x, i);
}

static void kernel_stats(struct lp *lp, uint64_t *row_out)
{
    struct kernel_stats st;
    kernel_stats_fill(lp->state, &st);
    memcpy(row_out, &st, sizeof st);
}

static void kernel_check(struct lp *lp)
{
    const struct kernel_ctx x = kernel_ctx_of(lp);
    const struct kernel_stats *st = &x.k->stats;
    uint64_t nopen = 0;
    mm_verify(x.mm);
    for (uint32_t i = 0; i < x.cfg->ncores; i++) {
        SIM_ASSERT(kernel_core(x.k, i)->phase == KCORE_USER, "a handler of core %u is unfinished", i);
        nopen += kernel_core(x.k, i)->owes;
    }
    SIM_ASSERT(st->requests[0] == st->answers[0] + nopen,
               "kernel: %llu requests, %llu answers, %llu cores wait",
               (unsigned long long)st->requests[0], (unsigned long long)st->answers[0],
               (unsigned long long)nopen);
    for (uint32_t i = 0; i < x.cfg->nthreads; i++) {
        char line[512];
        if (sched_describe(x.s, i, line, sizeof line))
            warn_log("at the end of the run %s", line);
    }
}

static void kernel_describe(struct lp *lp, char *buf, size_t size)
{
    const struct kernel_ctx x = kernel_ctx_of(lp);
    size_t n = 0;
    buf[0] = '\0';
    for (uint32_t i = 0; i < x.cfg->ncores && n + 1 < size; i++) {
        const struct kcore *c = kernel_core(x.k, i);
        if (c->phase == KCORE_FLUSH && c->acks_left > 0)
            n += (size_t)snprintf(buf + n, size - n, "%score %u waits for %u flush acknowledgements",
                                  n ? "; " : "", i, c->acks_left);
        else if (c->phase == KCORE_LOCK)
            n += (size_t)snprintf(buf + n, size - n, "%score %u waits for another handler",
                                  n ? "; " : "", i);
    }
    for (uint32_t i = 0; i < x.cfg->nthreads && n + 1 < size; i++) {
        char line[512];
        if (sched_describe(x.s, i, line, sizeof line))
            n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? "; " : "", line);
    }
}

const struct lp_ops kernel_lp_ops = {.name = "kernel",
                                     .start = kernel_start,
                                     .handle = kernel_handle,
                                     .advance = kernel_advance,
                                     .stats = kernel_stats,
                                     .check = kernel_check,
                                     .describe = kernel_describe,
                                     .events = kernel_events,
                                     .nevents = KE_COUNT};
