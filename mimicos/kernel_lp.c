/*
 * The kernel as a logical process: messages in, handlers run, effects and answers out in time.
 *
 * A handler is cut into blocks. A block's calls change the kernel's state at its start; its
 * segments go to the core at once, each to arrive when the previous one ends; its page-table writes
 * become visible `mirror latency` after the last of them was replayed (commit); at its end the next
 * block starts, or the handler is over and the answer leaves. The answer never arrives before the
 * writes, of this handler or of another, that it relies on are visible.
 *
 * Locks: a handler of a map call runs alone in its address space; two faults exclude each other in
 * one 2 MiB region. Whoever comes later waits in order of arrival, and its core with it; state
 * changes when a handler starts, so functional order is lock order. Commits and ends are private
 * actions in time order (ties: lowest core), hence mirrored times never go back.
 *
 * Order of calls: see sched.h. Not modelled: time slices, interrupts other than shootdowns, the
 * kernel's own memory accesses besides page-table entries and clearing.
 */
#include <stdio.h>
#include <string.h>

#include "mimicos/kernel.h"

/* Linux moves at most 2 GiB less a page per call, whatever the arguments say. */
#define MAX_COPY_BYTES (UINT64_C(0x7ffff000))
#define REGION(addr) ((addr) >> PAGE_SHIFT_2M)

/* What every function here needs. */
struct ctx {
    struct lp *lp;
    struct kernel *k;
    const struct kernel_cfg *cfg;
    struct mm *mm;
    struct sched *s;
};

static struct ctx ctx_of(struct lp *lp)
{
    struct kernel *k = lp->state;
    return (struct ctx){lp, k, lp->cfg, kernel_mm(k), kernel_sched(k)};
}

static simtime_t cost(const struct ctx *x, enum kop op) { return x->cfg->params->cost.fs[op]; }
static simtime_t answer_time(const struct ctx *x)
{
    return x->lp->now + x->cfg->params->kernel_to_core_fs;
}

static void tell(const struct ctx *x, uint32_t core, simtime_t time, uint16_t type, uint32_t arg,
                 const uint64_t a[4])
{
    lp_send(x->lp, x->cfg->first_core + core, time, type, arg, a[0], a[1], a[2], a[3]);
}

static struct thread *thread_on(const struct ctx *x, uint32_t core)
{
    return sched_thread(x->s, sched_core(x->s, core)->thread);
}

static void hist_add(uint64_t *bins, uint64_t v)
{
    unsigned bin = v == 0 ? 0 : log2_floor(v) + 1;
    bins[bin < KERNEL_HIST_BINS ? bin : KERNEL_HIST_BINS - 1]++;
}

/* ---- blocks ------------------------------------------------------------------------------------ */

static void act_at(const struct ctx *x, struct kcore *c, simtime_t end)
{
    c->end_at = end;
    x->k->next_action = u64_min(x->k->next_action, u64_min(c->commit_at, end));
}

static struct krun *open_block(const struct ctx *x)
{
    krun_begin(&x->k->run);
    return &x->k->run;
}

static void send_segments(const struct ctx *x, uint32_t core, const struct krun *r)
{
    simtime_t at = answer_time(x);
    for (uint32_t i = 0; i < r->nsegs; i++) {
        const struct kseg *g = &r->seg[i];
        tell(x, core, at, MSG_TYPE(K_SEG, g->kind), 0,
             (const uint64_t[4]){g->addr, g->bytes, g->cost_fs, 0});
        at += g->cost_fs;
    }
}

/* The calls of the block are done and in the run: its replay starts now. */
static void start_block(const struct ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    struct krun *r = &x->k->run;
    krun_end(r);
    send_segments(x, core, r);
    c->phase = KCORE_RUN;
    c->ready_at = u64_max(c->ready_at, u64_max(r->visible_fs, x->k->last_visible));
    c->nwrites = r->nwrites;
    memcpy(c->write, r->write, r->nwrites * sizeof r->write[0]);
    if (r->nwrites > 0) {
        c->commit_at = x->lp->now + r->commit_fs;
        simtime_t visible = c->commit_at + x->cfg->mirror_latency_fs;
        c->ready_at = u64_max(c->ready_at, visible);
        mm_nodes_visible(x->mm, r, visible);
    }
    x->k->stats.zeroed_bytes[0] += r->zeroed_bytes;
    x->k->stats.table_writes[0] += r->nwrites;
    act_at(x, c, x->lp->now + r->total_fs);
}

static void commit(const struct ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    simtime_t visible = x->lp->now + x->cfg->mirror_latency_fs;
    c->commit_at = SIM_NEVER;
    x->k->last_visible = visible;
    for (uint32_t i = 0; i < c->nwrites; i++)
        lp_mirror(x->lp, visible, c->write[i], mm_word(x->mm, c->write[i]),
                  x->cfg->first_core + core);
    c->nwrites = 0;
}

/* ---- answers ----------------------------------------------------------------------------------- */

static void answered(const struct ctx *x, struct kcore *c)
{
    x->k->stats.answers[0] += c->owes;
    c->owes = 0;
    c->idle_told = 0;
}

static void rest(struct kcore *c)
{
    c->phase = KCORE_USER;
    c->job = KJOB_NONE;
    c->step = 0;
    c->by_switch = 0;
}

static void send_resume(const struct ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    uint64_t done = sched_space(x->s, thread_on(x, core)->asid)->order_done;
    tell(x, core, u64_max(answer_time(x), c->ready_at), K_RESUME, sched_core(x->s, core)->thread,
         (const uint64_t[4]){c->result, done, 0, 0});
    answered(x, c);
    rest(c);
}

static void send_switch(const struct ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    uint32_t thread = sched_core(x->s, core)->thread;
    struct thread *t = sched_thread(x->s, thread);
    simtime_t at = u64_max(answer_time(x), c->ready_at);
    tell(x, core, at, K_SWITCH_POS, thread, t->pos);
    tell(x, core, at, K_SWITCH, thread,
         (const uint64_t[4]){t->asid, mm_root(x->mm, t->asid).v, mm_format(x->mm)->levels,
                             sched_space(x->s, t->asid)->order_done});
    *kernel_seen(x->k, x->cfg, t->asid, core) = 1;
    t->started = 1;
    t->call = 0;
    x->k->stats.context_switches[0]++;
    answered(x, c);
    rest(c);
}

/* ---- threads on cores -------------------------------------------------------------------------- */

static void begin_switch(const struct ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    const struct thread *t = thread_on(x, core);
    struct krun *r = open_block(x);
    c->job = KJOB_SWITCH;
    c->step = 0;
    c->asid = t->asid;
    c->ready_at = 0;
    if (t->started || x->lp->now > 0) { /* threads of the start are there already */
        price_op(r, KOP_IDLE_WAKE, c->idle_told);
        price_op(r, KOP_CONTEXT_SWITCH, 1);
    }
    if (t->started && t->call == 0)
        price_op(r, KOP_SYSCALL_EXIT, 1);
    start_block(x, core);
}

/* The core's thread has left: the next one, or idling. */
static void next_thread(const struct ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    if (sched_core(x->s, core)->thread != SCHED_NONE || sched_pick(x->s, core) != SCHED_NONE) {
        begin_switch(x, core);
        return;
    }
    tell(x, core, answer_time(x), K_IDLE, 0, (const uint64_t[4]){0});
    x->k->stats.idles[0]++;
    answered(x, c);
    c->idle_told = 1;
    rest(c);
}

static void begin_map(const struct ctx *x, uint32_t core);

/* A thread can go on: on its held core at once, on another through a switch, or queued. */
static void place(const struct ctx *x, uint32_t thread)
{
    const struct thread *t = sched_thread(x->s, thread);
    bool held = t->core != SCHED_NONE && sched_core(x->s, t->core)->thread == thread;
    uint32_t core = sched_place(x->s, thread);
    if (core == SCHED_NONE)
        return;
    if (!held)
        begin_switch(x, core);
    else if (t->call != 0)
        begin_map(x, core);
    else
        send_resume(x, core);
}

/* Something happened that calls or marks of the address space may have waited for. */
static void release(const struct ctx *x, uint32_t asid)
{
    for (;;) {
        uint32_t thread = sched_next_released(x->s, asid);
        if (thread == SCHED_NONE)
            return;
        place(x, thread);
    }
}

static void execute_wake(const struct ctx *x, uint32_t asid, uint64_t wake)
{
    if (wake == 0)
        return;
    sched_wake_set(x->s, asid, wake);
    x->k->stats.futex_wakes[0]++;
    for (uint32_t i = sched_next_sleeper(x->s, asid, wake, 0); i != SCHED_NONE;
         i = sched_next_sleeper(x->s, asid, wake, i + 1)) {
        x->k->stats.threads_woken[0]++;
        place(x, i);
    }
}

/* ---- locks ------------------------------------------------------------------------------------- */

static bool takes_lock(const struct kcore *c) { return c->job == KJOB_FAULT || c->job == KJOB_MAP; }

static bool excludes(const struct kcore *a, const struct kcore *b)
{
    if (!takes_lock(a) || !takes_lock(b) || a->asid != b->asid)
        return false;
    return a->job == KJOB_MAP || b->job == KJOB_MAP || REGION(a->a[0]) == REGION(b->a[0]);
}

/* Must the handler of `core` wait: for a running one, or for one that waited before it? */
static bool must_wait(const struct ctx *x, uint32_t core)
{
    const struct kcore *c = kernel_core(x->k, core);
    for (uint32_t i = 0; i < x->cfg->ncores; i++) {
        const struct kcore *o = kernel_core(x->k, i);
        bool before = o->phase != KCORE_LOCK || o->ticket < c->ticket;
        if (i != core && before && excludes(c, o))
            return true;
    }
    return false;
}

static void stop_without_frames(const struct ctx *x)
{
    const struct buddy *b = mm_buddy(x->mm);
    err_fatal(ERR_RUNTIME,
              "out of simulated memory at %llu ns: %llu frames of 4 KiB used, %llu free; raise "
              "os.memory_size or lower os.scatter_used_percent",
              (unsigned long long)(x->lp->now / FS_PER_NS), (unsigned long long)b->nused,
              (unsigned long long)b->nfree);
}

static void count_fault(struct kernel_stats *st, const struct mm_fault *f)
{
    uint64_t *const by_kind[FAULT_KINDS] = {
        [FAULT_ANON_4K] = st->faults_anon_4k, [FAULT_ANON_2M] = st->faults_anon_2m,
        [FAULT_FILE] = st->faults_file,       [FAULT_COW] = st->faults_cow,
        [FAULT_SPURIOUS] = st->faults_spurious, [FAULT_SEGV] = st->faults_segv};
    by_kind[f->kind][0]++;
    st->fault_pages[0] += f->npages;
    st->stack_growths[0] += f->stack_grown;
    st->thp_fallbacks[0] += f->thp_fallback;
}

static void run_fault(const struct ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    struct mm_fault f;
    mm_fault(x->mm, open_block(x), c->asid, (vaddr_t){c->a[0]}, c->a[1], &f, &c->op);
    if (f.kind == FAULT_NOMEM)
        stop_without_frames(x);
    count_fault(&x->k->stats, &f);
    c->result = f.kind == FAULT_SEGV       ? KR_SEGV
                : f.kind == FAULT_ANON_2M  ? KR_HUGE
                : f.kind == FAULT_SPURIOUS ? KR_SPURIOUS
                                           : KR_OK;
    start_block(x, core);
}

static void run_map(const struct ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    struct krun *r = open_block(x);
    price_op(r, KOP_SYSCALL_ENTRY, 1);
    enum mm_result res = mm_call(x->mm, r, c->asid, c->call, c->a, &c->op);
    if (res == MM_VMA_LIMIT)
        err_fatal(ERR_RUNTIME, "an address space has all its %llu areas; raise os.max_vmas",
                  (unsigned long long)x->cfg->params->max_vmas);
    x->k->stats.map_refused[0] += res == MM_RANGE;
    start_block(x, core);
}

static void run_locked(const struct ctx *x, uint32_t core)
{
    if (kernel_core(x->k, core)->job == KJOB_FAULT)
        run_fault(x, core);
    else
        run_map(x, core);
}

static void take_lock(const struct ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    c->arrived = x->lp->now;
    c->ticket = x->k->next_ticket++;
    if (!must_wait(x, core)) {
        run_locked(x, core);
        return;
    }
    c->phase = KCORE_LOCK;
    x->k->nlock_waits++;
    x->k->stats.lock_waits[0]++;
}

/* The waiting handler with the lowest ticket from `ticket` on; SCHED_NONE: none. */
static uint32_t next_waiter(const struct ctx *x, uint64_t ticket)
{
    uint32_t best = SCHED_NONE;
    for (uint32_t i = 0; i < x->cfg->ncores; i++) {
        const struct kcore *c = kernel_core(x->k, i);
        if (c->phase == KCORE_LOCK && c->ticket >= ticket &&
            (best == SCHED_NONE || c->ticket < kernel_core(x->k, best)->ticket))
            best = i;
    }
    return best;
}

/* A handler ended: those that waited for it, in order of arrival. */
static void pass_locks(const struct ctx *x)
{
    uint64_t ticket = 0;
    while (x->k->nlock_waits > 0) {
        uint32_t core = next_waiter(x, ticket);
        if (core == SCHED_NONE)
            return;
        struct kcore *c = kernel_core(x->k, core);
        ticket = c->ticket + 1;
        if (must_wait(x, core))
            continue;
        x->k->nlock_waits--;
        x->k->stats.lock_wait_ns[0] += (x->lp->now - c->arrived) / FS_PER_NS;
        run_locked(x, core);
    }
}

static void begin_map(const struct ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    struct thread *t = thread_on(x, core);
    c->job = KJOB_MAP;
    c->step = 0;
    c->call = t->call;
    c->asid = t->asid;
    c->ready_at = 0;
    c->result = KR_OK;
    memcpy(c->a, t->arg, sizeof c->a);
    t->call = 0;
    take_lock(x, core);
}

/* ---- shootdowns -------------------------------------------------------------------------------- */

static void free_pages(const struct ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    struct krun *r = open_block(x);
    c->step = 1;
    mm_op_free(x->mm, r, &c->op);
    if (c->job == KJOB_MAP)
        price_op(r, KOP_SYSCALL_EXIT, 1);
    start_block(x, core);
}

/* Orders one core to flush; returns whether it was interrupted at work. */
static bool order_flush(const struct ctx *x, uint32_t from, uint32_t core, uint64_t nbefore)
{
    const struct kcore *c = kernel_core(x->k, from);
    const struct kernel_params *p = x->cfg->params;
    uint32_t thread = sched_core(x->s, core)->thread;
    bool runs = thread != SCHED_NONE && sched_thread(x->s, thread)->asid == c->asid;
    bool all = !runs || (c->op.flush_end - c->op.flush_start) >> PAGE_SHIFT > p->flush_ceiling_pages;
    bool interrupted = runs && core != from;
    simtime_t at = core == from ? answer_time(x) : x->lp->now + p->ipi_fs;
    at = u64_max(at, c->ready_at); /* not before the cleared entries are seen */
    if (interrupted)
        at += nbefore * cost(x, KOP_SHOOTDOWN_CORE);
    uint64_t stolen_ns = interrupted ? cost(x, KOP_SHOOTDOWN_REMOTE) / FS_PER_NS : 0;
    tell(x, core, at, K_SHOOTDOWN, (uint32_t)stolen_ns,
         (const uint64_t[4]){c->op.flush_start, all ? 0 : c->op.flush_end - c->op.flush_start,
                             c->asid, c->flush_id});
    if (!runs) /* flushed whole; it is told again only after it ran this address space again */
        *kernel_seen(x->k, x->cfg, c->asid, core) = 0;
    x->k->stats.shootdown_lazy[0] += !runs;
    return interrupted;
}

static void start_flush(const struct ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    uint64_t ninterrupted = 0;
    c->phase = KCORE_FLUSH;
    c->flush_id = x->k->next_flush++ * x->cfg->ncores + core;
    c->flush_start = x->lp->now;
    c->acks_left = 0;
    for (uint32_t i = 0; i < x->cfg->ncores; i++) {
        if (*kernel_seen(x->k, x->cfg, c->asid, i) == 0)
            continue;
        c->acks_left++;
        ninterrupted += order_flush(x, core, i, ninterrupted);
    }
    simtime_t least = ninterrupted == 0 ? cost(x, KOP_FLUSH_LOCAL)
                                        : cost(x, KOP_SHOOTDOWN_BASE) +
                                              ninterrupted * cost(x, KOP_SHOOTDOWN_CORE);
    tell(x, core, answer_time(x), MSG_TYPE(K_SEG, KSEG_COST), 0, (const uint64_t[4]){0, 0, least, 0});
    c->flush_least = x->lp->now + least;
    x->k->stats.shootdowns[0]++;
    x->k->stats.shootdown_cores[0] += ninterrupted;
    if (c->acks_left == 0)
        act_at(x, c, c->flush_least);
}

static void flush_acknowledged(const struct ctx *x, uint64_t flush_id)
{
    uint32_t core = (uint32_t)(flush_id % x->cfg->ncores);
    struct kcore *c = kernel_core(x->k, core);
    SIM_ASSERT(c->phase == KCORE_FLUSH && c->flush_id == flush_id && c->acks_left > 0,
               "acknowledgement of flush %llu: core %u is in phase %u, flush %llu, %u missing",
               (unsigned long long)flush_id, core, c->phase, (unsigned long long)c->flush_id,
               c->acks_left);
    if (--c->acks_left == 0)
        act_at(x, c, u64_max(x->lp->now, c->flush_least));
}

/* ---- ends of handlers -------------------------------------------------------------------------- */

static void end_fault(const struct ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    struct kernel_stats *st = &x->k->stats;
    simtime_t at = u64_max(answer_time(x), c->ready_at);
    uint64_t ns = (at - c->arrived) / FS_PER_NS;
    st->fault_ns[0] += ns;
    hist_add(st->fault_hist, ns);
    send_resume(x, core);
    pass_locks(x);
}

static void count_map(struct kernel_stats *st, const struct kcore *c)
{
    uint64_t *const by_call[KCALL_END] = {
        [KCALL_MMAP] = st->map_mmap,     [KCALL_MUNMAP] = st->map_munmap,
        [KCALL_MPROTECT] = st->map_mprotect, [KCALL_MREMAP] = st->map_mremap,
        [KCALL_BRK] = st->map_brk,       [KCALL_MADVISE] = st->map_madvise};
    by_call[c->call][0]++;
    st->map_pages[0] += c->op.npages;
}

static void end_map(const struct ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    uint32_t asid = c->asid;
    count_map(&x->k->stats, c);
    sched_map_done(x->s, asid, c->a[0]);
    sched_report(x->s, sched_core(x->s, core)->thread, c->a[0]);
    if (c->by_switch)
        send_switch(x, core);
    else
        send_resume(x, core);
    pass_locks(x);
    release(x, asid);
}

static void sleep_or_pass(const struct ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    uint32_t asid = c->asid;
    if (c->step == 1) {
        send_resume(x, core);
        return;
    }
    if (sched_wake_done(x->s, asid, c->a[1])) {
        x->k->stats.futex_passed[0]++;
        c->step = 1;
        price_op(open_block(x), KOP_SYSCALL_EXIT, 1);
        start_block(x, core);
        return;
    }
    x->k->stats.futex_blocked[0]++;
    thread_on(x, core)->wait = c->a[1];
    sched_leave(x->s, core, THREAD_FUTEX);
    next_thread(x, core);
    release(x, asid);
}

static void create_thread(const struct ctx *x, uint32_t core)
{
    const struct thread *parent = thread_on(x, core);
    uint32_t child = sched_space(x->s, parent->asid)->first_thread +
                     (uint32_t)kernel_core(x->k, core)->a[0];
    SIM_ASSERT(child < x->cfg->nthreads, "created thread %u of %u", child, x->cfg->nthreads);
    if (sched_thread(x->s, child)->state != THREAD_NEW)
        return;
    sched_report(x->s, child, parent->order);
    x->k->stats.threads_created[0]++;
    place(x, child);
}

static void end_call(const struct ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    switch (c->call) {
    case KCALL_FUTEX_WAIT:
        sleep_or_pass(x, core);
        return;
    case KCALL_FUTEX_WAKE:
        execute_wake(x, c->asid, c->a[1]);
        break;
    case KCALL_THREAD_EXIT:
        execute_wake(x, c->asid, c->a[0]);
        break;
    case KCALL_THREAD_CREATE:
        create_thread(x, core);
        break;
    default:
        break;
    }
    send_resume(x, core);
}

static void end_exit(const struct ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    uint32_t asid = c->asid;
    execute_wake(x, asid, c->a[0]);
    x->k->stats.threads_exited[0]++;
    sched_leave(x->s, core, THREAD_EXITED);
    next_thread(x, core);
    release(x, asid);
}

static void end_switch(const struct ctx *x, uint32_t core)
{
    if (thread_on(x, core)->call == 0) {
        send_switch(x, core);
        return;
    }
    kernel_core(x->k, core)->by_switch = 1;
    begin_map(x, core);
}

/* Pages are done: flush what lost its translation, then free it. */
static void after_pages(const struct ctx *x, uint32_t core)
{
    const struct kcore *c = kernel_core(x->k, core);
    if (c->op.flush_start != c->op.flush_end)
        start_flush(x, core);
    else if (c->job == KJOB_MAP || c->op.nfree > 0)
        free_pages(x, core);
    else
        end_fault(x, core);
}

static void step_map(const struct ctx *x, uint32_t core)
{
    enum mm_result res;
    if (!mm_op_step(x->mm, open_block(x), &kernel_core(x->k, core)->op, &res)) {
        after_pages(x, core);
        return;
    }
    if (res == MM_NOMEM)
        stop_without_frames(x);
    start_block(x, core);
}

static void end_block(const struct ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    c->end_at = SIM_NEVER;
    if (c->phase == KCORE_FLUSH) {
        x->k->stats.shootdown_ns[0] += (x->lp->now - c->flush_start) / FS_PER_NS;
        free_pages(x, core);
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
    default:
        SIM_ASSERT(false, "core %u ends a block of job %u", core, c->job);
    }
}

/* ---- requests ---------------------------------------------------------------------------------- */

static uint32_t core_of(const struct ctx *x, const struct msg *m)
{
    uint32_t core = m->src - x->cfg->first_core;
    SIM_ASSERT(core < x->cfg->ncores, "message %u from LP %u, which is no core", m->type, m->src);
    return core;
}

/* The core's thread asks for something and waits. */
static struct kcore *open_request(const struct ctx *x, uint32_t core, const struct msg *m)
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
    c->asid = thread_on(x, core)->asid;
    return c;
}

static void take_fault(const struct ctx *x, uint32_t core, const struct msg *m)
{
    struct kcore *c = open_request(x, core, m);
    c->job = KJOB_FAULT;
    c->a[0] = m->a[0];
    c->a[1] = m->a[1];
    take_lock(x, core);
}

static void take_map_call(const struct ctx *x, uint32_t core)
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
        begin_map(x, core);
    } else {
        x->k->stats.order_waits[0]++;
        if (!sched_wait(x->s, core, THREAD_ORDER))
            next_thread(x, core);
    }
    release(x, asid);
}

static void price_call(const struct ctx *x, const struct kcore *c, struct krun *r)
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

static void take_call(const struct ctx *x, uint32_t core, const struct msg *m)
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
    price_call(x, c, open_block(x));
    start_block(x, core);
}

static void take_exit(const struct ctx *x, uint32_t core, const struct msg *m)
{
    struct kcore *c = open_request(x, core, m);
    struct krun *r = open_block(x);
    c->job = KJOB_EXIT;
    c->a[0] = m->a[0];
    price_op(r, KOP_SYSCALL_ENTRY, 1);
    price_op(r, KOP_THREAD_EXIT, 1);
    start_block(x, core);
}

static void take_mark(const struct ctx *x, uint32_t core, const struct msg *m)
{
    struct thread *t = sched_thread(x->s, m->arg);
    uint32_t asid = t->asid;
    sched_report(x->s, m->arg, m->a[0]);
    if ((m->flags & 1) != 0) {
        open_request(x, core, m);
        if (sched_space(x->s, asid)->order_done >= m->a[0]) {
            send_resume(x, core);
        } else {
            x->k->stats.mark_waits[0]++;
            t->wait = m->a[0];
            t->call = 0;
            if (!sched_wait(x->s, core, THREAD_MARK))
                next_thread(x, core);
        }
    }
    release(x, asid);
}

static void take_bits(const struct ctx *x, const struct msg *m)
{
    uint64_t value;
    if (!mm_set_bits(x->mm, (paddr_t){m->a[0]}, m->a[1], &value)) {
        x->k->stats.ad_stale[0]++;
        return;
    }
    x->k->stats.ad_updates[0]++;
    lp_mirror(x->lp, x->lp->now + x->cfg->mirror_latency_fs, (paddr_t){m->a[0]}, value, m->src);
}

/* ---- the LP ------------------------------------------------------------------------------------ */

static void kernel_handle(struct lp *lp, const struct msg *m)
{
    const struct ctx x = ctx_of(lp);
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
        flush_acknowledged(&x, m->a[0]);
        break;
    default:
        SIM_ASSERT(false, "kernel: unknown message %u from core %u", m->type, core);
    }
}

/* The core whose commit or end comes first; ties: the lowest. */
static uint32_t first_action(const struct ctx *x, simtime_t *at_out)
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
    const struct ctx x = ctx_of(lp);
    while (x.k->next_action < until) {
        simtime_t at;
        uint32_t core = first_action(&x, &at);
        if (at < until) {
            lp->now = at;
            if (kernel_core(x.k, core)->commit_at <= at)
                commit(&x, core);
            else
                end_block(&x, core);
        }
        first_action(&x, &x.k->next_action);
    }
    return x.k->next_action;
}

static void kernel_start(struct lp *lp)
{
    kernel_init(lp->state, lp->cfg);
    const struct ctx x = ctx_of(lp);
    for (uint32_t i = 0; i < x.cfg->nthreads; i++)
        if (x.cfg->all_start || sched_space(x.s, sched_thread(x.s, i)->asid)->first_thread == i)
            place(&x, i);
}

static void kernel_stats(struct lp *lp, uint64_t *row_out)
{
    struct kernel_stats st;
    kernel_stats_fill(lp->state, &st);
    memcpy(row_out, &st, sizeof st);
}

static void kernel_check(struct lp *lp)
{
    const struct ctx x = ctx_of(lp);
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
    const struct ctx x = ctx_of(lp);
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
                                     .describe = kernel_describe};
