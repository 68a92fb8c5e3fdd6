/* Handlers in time; see kernel_run.h. */
#include "mimicos/kernel_run.h"

#include "pdes/rng.h"

#include <string.h>

#define RNG_KIND_START UINT64_C(0x7374617274)

static const char *const fault_names[] = {"anonymous page, 4 KiB", "anonymous page, 2 MiB",
                                          "anonymous page, 1 GiB", "file page",
                                          "copy on write", "mapped already", "outside every area",
                                          "no memory", NULL};

const struct elog_desc kernel_events[KE_COUNT] = {
    [KE_FAULT] = {"kernel", "KERNEL_FAULT", "a fault is served: the state changes now, its cost follows",
                  {F_COUNT(core), F_HEX(vaddr), F_NAME(kind, fault_names), F_COUNT(pages), F_TIME(cost)}},
    [KE_CALL] = {"kernel", "KERNEL_CALL", "a map call is served",
                 {F_COUNT(core), F_COUNT(type), F_HEX(a1), F_HEX(a2), F_TIME(cost)}},
    [KE_OP] = {"kernel", "KERNEL_OP", "an operation of a handler, with what it costs",
               {F_COUNT(core), F_NAME(op, kop_names), F_COUNT(times), F_TIME(cost)}},
    [KE_LOCK] = {"kernel", "KERNEL_LOCK", "a handler begins that waited for others of its address space or region",
                 {F_COUNT(core), F_TIME(waited)}},
    [KE_VISIBLE] = {"kernel", "KERNEL_VISIBLE", "a handler's page-table writes become visible at `visible`",
                    {F_COUNT(core), F_COUNT(writes), F_TIME(visible)}},
    [KE_FLUSH] = {"shootdown", "KERNEL_FLUSH", "cores are told to drop translations",
                  {F_COUNT(core), F_HEX(vaddr), F_COUNT(bytes), F_COUNT(asid), F_COUNT(id), F_COUNT(acknowledgements)}},
    [KE_FLUSHED] = {"shootdown", "KERNEL_FLUSHED", "the last core has dropped them", {F_COUNT(core), F_COUNT(id), F_TIME(waited)}},
    [KE_ANSWER] = {"kernel", "KERNEL_ANSWER", "the core hears at `arrives` that the handler is over",
                   {F_COUNT(core), F_TIME(arrives)}},
};

struct kernel_ctx kernel_ctx_of(struct lp *lp)
{
    struct kernel *k = lp->state;
    return (struct kernel_ctx){lp, k, lp->cfg, kernel_mm(k), kernel_sched(k)};
}

static simtime_t cost(const struct kernel_ctx *x, enum kop op) { return x->cfg->params->cost.fs[op]; }
simtime_t kernel_answer_time(const struct kernel_ctx *x)
{
    return x->lp->now + x->cfg->params->kernel_to_core_fs;
}

static void tell(const struct kernel_ctx *x, uint32_t core, simtime_t time, uint32_t type, uint32_t arg,
                 const uint64_t a[4])
{
    lp_send(x->lp, x->cfg->first_core + core, time, type, arg, a[0], a[1], a[2], a[3]);
}

struct thread *kernel_thread_on(const struct kernel_ctx *x, uint32_t core)
{
    return sched_thread(x->s, sched_core(x->s, core)->thread);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static void act_at(const struct kernel_ctx *x, struct kcore *c, simtime_t end)
{
    c->end_at = end;
    x->k->next_action = u64_min(x->k->next_action, u64_min(c->commit_at, end));
}

struct krun *kernel_open_block(const struct kernel_ctx *x)
{
    krun_begin(&x->k->run);
    return &x->k->run;
}

static void send_segments(const struct kernel_ctx *x, uint32_t core, const struct krun *r)
{
    simtime_t at = kernel_answer_time(x);
    for (uint32_t i = 0; i < r->nsegs; i++) {
        const struct kseg *g = &r->seg[i];
        tell(x, core, at, MSG_TYPE(K_SEG, g->kind), 0,
             (const uint64_t[4]){g->addr, g->bytes, g->cost_fs, 0});
        at += g->cost_fs;
    }
}

void kernel_start_block(const struct kernel_ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    struct krun *r = &x->k->run;
    krun_end(r);
    for (uint32_t i = 0; lp_logs(x->lp, KE_OP) && i < r->nnotes; i++)
        LP_LOG(x->lp, KE_OP, core, r->note[i].op, r->note[i].n, r->note[i].cost_fs);
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

void kernel_commit(const struct kernel_ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    simtime_t visible = x->lp->now + x->cfg->mirror_latency_fs;
    c->commit_at = SIM_NEVER;
    x->k->last_visible = visible;
    LP_LOG(x->lp, KE_VISIBLE, core, c->nwrites, visible);
    for (uint32_t i = 0; i < c->nwrites; i++)
        lp_mirror(x->lp, visible, c->write[i], mm_word(x->mm, c->write[i]),
                  x->cfg->first_core + core);
    c->nwrites = 0;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void answered(const struct kernel_ctx *x, struct kcore *c)
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

void kernel_send_resume(const struct kernel_ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    uint64_t done = sched_space(x->s, kernel_thread_on(x, core)->asid)->order_done;
    LP_LOG(x->lp, KE_ANSWER, core, u64_max(kernel_answer_time(x), c->ready_at));
    tell(x, core, u64_max(kernel_answer_time(x), c->ready_at), K_RESUME, sched_core(x->s, core)->thread,
         (const uint64_t[4]){c->result, done, 0, 0});
    answered(x, c);
    rest(c);
}

void kernel_send_switch(const struct kernel_ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    uint32_t thread = sched_core(x->s, core)->thread;
    struct thread *t = sched_thread(x->s, thread);
    simtime_t at = u64_max(kernel_answer_time(x), c->ready_at);
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

/* ---- threads on cores ------------------------------------------------------------------------ */

/* When a thread that is there from the start begins. */
static simtime_t start_of(const struct kernel_cfg *cfg, uint32_t thread)
{
    if (cfg->start_skew_fs == 0)
        return 0;
    return rng_below(rng_draw(cfg->start_seed, RNG_KIND_START, thread, 0, 0), cfg->start_skew_fs + 1);
}

static void begin_switch(const struct kernel_ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    const struct thread *t = kernel_thread_on(x, core);
    struct krun *r = kernel_open_block(x);
    c->job = KJOB_SWITCH;
    c->step = 0;
    c->asid = t->asid;
    c->ready_at = 0;
    if (t->started || x->lp->now > 0) { /* threads of the start are there already */
        price_op(r, KOP_IDLE_WAKE, c->idle_told);
        price_op(r, KOP_CONTEXT_SWITCH, 1);
    } else {
        c->ready_at = start_of(x->cfg, sched_core(x->s, core)->thread);
    }
    if (t->started && t->call == 0)
        price_op(r, KOP_SYSCALL_EXIT, 1);
    kernel_start_block(x, core);
}

void kernel_next_thread(const struct kernel_ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    if (sched_core(x->s, core)->thread != SCHED_NONE || sched_pick(x->s, core) != SCHED_NONE) {
        begin_switch(x, core);
        return;
    }
    tell(x, core, kernel_answer_time(x), K_IDLE, 0, (const uint64_t[4]){0});
    x->k->stats.idles[0]++;
    answered(x, c);
    c->idle_told = 1;
    rest(c);
}

void kernel_place(const struct kernel_ctx *x, uint32_t thread)
{
    const struct thread *t = sched_thread(x->s, thread);
    bool held = t->core != SCHED_NONE && sched_core(x->s, t->core)->thread == thread;
    uint32_t core = sched_place(x->s, thread);
    if (core == SCHED_NONE)
        return;
    if (!held)
        begin_switch(x, core);
    else if (t->call != 0)
        kernel_begin_map(x, core);
    else
        kernel_send_resume(x, core);
}

void kernel_release(const struct kernel_ctx *x, uint32_t asid)
{
    for (;;) {
        uint32_t thread = sched_next_released(x->s, asid);
        if (thread == SCHED_NONE)
            return;
        kernel_place(x, thread);
    }
}

void kernel_execute_wake(const struct kernel_ctx *x, uint32_t asid, uint64_t wake)
{
    if (wake == 0)
        return;
    sched_wake_set(x->s, asid, wake);
    x->k->stats.futex_wakes[0]++;
    for (uint32_t i = sched_next_sleeper(x->s, asid, wake, 0); i != SCHED_NONE;
         i = sched_next_sleeper(x->s, asid, wake, i + 1)) {
        x->k->stats.threads_woken[0]++;
        kernel_place(x, i);
    }
}

/* ---- locks ----------------------------------------------------------------------------------- */

static bool takes_lock(const struct kcore *c) { return c->job == KJOB_FAULT || c->job == KJOB_MAP; }

static bool excludes(const struct kernel_ctx *x, const struct kcore *a, const struct kcore *b)
{
    if (!takes_lock(a) || !takes_lock(b) || a->asid != b->asid)
        return false;
    return a->job == KJOB_MAP || b->job == KJOB_MAP ||
           (a->a[0] ^ b->a[0]) >> mm_lock_shift(x->mm) == 0;
}

/* Must the handler of `core` wait: for a running one, or for one that waited before it? */
static bool must_wait(const struct kernel_ctx *x, uint32_t core)
{
    const struct kcore *c = kernel_core(x->k, core);
    for (uint32_t i = 0; i < x->cfg->ncores; i++) {
        const struct kcore *o = kernel_core(x->k, i);
        bool before = o->phase != KCORE_LOCK || o->ticket < c->ticket;
        if (i != core && before && excludes(x, c, o))
            return true;
    }
    return false;
}

void kernel_stop_without_frames(const struct kernel_ctx *x)
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
        [FAULT_ANON_1G] = st->faults_anon_1g,
        [FAULT_FILE] = st->faults_file,       [FAULT_COW] = st->faults_cow,
        [FAULT_SPURIOUS] = st->faults_spurious, [FAULT_SEGV] = st->faults_segv};
    by_kind[f->kind][0]++;
    st->fault_pages[0] += f->npages;
    st->stack_growths[0] += f->stack_grown;
    st->thp_fallbacks[0] += f->missed >> PAGE_SHIFT_2M & 1;
    st->fallbacks_1g[0] += f->missed >> PAGE_SHIFT_1G & 1;
    st->promotions[0] += f->promoted;
}

static void run_fault(const struct kernel_ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    struct mm_fault f;
    mm_fault(x->mm, kernel_open_block(x), c->asid, (vaddr_t){c->a[0]}, c->a[1], &f, &c->op);
    if (f.kind == FAULT_NOMEM)
        kernel_stop_without_frames(x);
    count_fault(&x->k->stats, &f);
    c->result = f.kind == FAULT_SEGV       ? KR_SEGV
                : f.kind == FAULT_ANON_2M || f.kind == FAULT_ANON_1G ? KR_HUGE
                : f.kind == FAULT_SPURIOUS ? KR_SPURIOUS
                                           : KR_OK;
    LP_LOG(x->lp, KE_FAULT, core, c->a[0], f.kind, f.npages, x->k->run.total_fs);
    kernel_start_block(x, core);
}

static void run_map(const struct kernel_ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    struct krun *r = kernel_open_block(x);
    price_op(r, KOP_SYSCALL_ENTRY, 1);
    enum mm_result res = mm_call(x->mm, r, c->asid, c->call, c->a, &c->op);
    if (res == MM_VMA_LIMIT)
        err_fatal(ERR_RUNTIME, "an address space has all its %llu areas; raise os.max_vmas",
                  (unsigned long long)x->cfg->params->max_vmas);
    x->k->stats.map_refused[0] += res == MM_RANGE;
    LP_LOG(x->lp, KE_CALL, core, c->call, c->a[1], c->a[2], r->total_fs);
    kernel_start_block(x, core);
}

static void run_locked(const struct kernel_ctx *x, uint32_t core)
{
    if (kernel_core(x->k, core)->job == KJOB_FAULT)
        run_fault(x, core);
    else
        run_map(x, core);
}

void kernel_take_lock(const struct kernel_ctx *x, uint32_t core)
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
static uint32_t next_waiter(const struct kernel_ctx *x, uint64_t ticket)
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

void kernel_pass_locks(const struct kernel_ctx *x)
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
        LP_LOG(x->lp, KE_LOCK, core, x->lp->now - c->arrived);
        run_locked(x, core);
    }
}

void kernel_begin_map(const struct kernel_ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    struct thread *t = kernel_thread_on(x, core);
    c->job = KJOB_MAP;
    c->step = 0;
    c->call = t->call;
    c->asid = t->asid;
    c->ready_at = 0;
    c->result = KR_OK;
    memcpy(c->a, t->arg, sizeof c->a);
    t->call = 0;
    kernel_take_lock(x, core);
}

/* ---- shootdowns ------------------------------------------------------------------------------ */

void kernel_free_pages(const struct kernel_ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    struct krun *r = kernel_open_block(x);
    c->step = 1;
    if (mm_op_free(x->mm, r, &c->op) && c->job == KJOB_MAP)
        price_op(r, KOP_SYSCALL_EXIT, 1);
    if (c->job == KJOB_EXEC)
        price_op(r, KOP_EXEC, 1);
    kernel_start_block(x, core);
}

/* Orders one core to flush; returns whether it was interrupted at work. */
static bool order_flush(const struct kernel_ctx *x, uint32_t from, uint32_t core, uint64_t nbefore)
{
    const struct kcore *c = kernel_core(x->k, from);
    const struct kernel_params *p = x->cfg->params;
    uint32_t thread = sched_core(x->s, core)->thread;
    bool runs = thread != SCHED_NONE && sched_thread(x->s, thread)->asid == c->asid;
    uint64_t bytes = c->op.flush_end - c->op.flush_start;
    bool all = !runs || bytes / c->op.flush_leaf_bytes > p->flush_ceiling_pages;
    bool interrupted = runs && core != from;
    simtime_t at = core == from ? kernel_answer_time(x) : x->lp->now + p->ipi_fs;
    at = u64_max(at, c->ready_at); /* not before the cleared entries are seen */
    if (interrupted)
        at += nbefore * cost(x, KOP_SHOOTDOWN_CORE);
    uint64_t stolen_ns = interrupted ? cost(x, KOP_SHOOTDOWN_REMOTE) / FS_PER_NS : 0;
    tell(x, core, at, K_SHOOTDOWN, (uint32_t)stolen_ns,
         (const uint64_t[4]){c->op.flush_start, all ? 0 : bytes, c->asid, c->flush_id});
    if (!runs) /* flushed whole; it is told again only after it ran this address space again */
        *kernel_seen(x->k, x->cfg, c->asid, core) = 0;
    x->k->stats.shootdown_lazy[0] += !runs;
    return interrupted;
}

void kernel_start_flush(const struct kernel_ctx *x, uint32_t core)
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
    tell(x, core, kernel_answer_time(x), MSG_TYPE(K_SEG, KSEG_COST), 0, (const uint64_t[4]){0, 0, least, 0});
    c->flush_least = x->lp->now + least;
    LP_LOG(x->lp, KE_FLUSH, core, c->op.flush_start, c->op.flush_end - c->op.flush_start, c->asid, c->flush_id,
           c->acks_left);
    x->k->stats.shootdowns[0]++;
    x->k->stats.shootdown_cores[0] += ninterrupted;
    if (c->acks_left == 0)
        act_at(x, c, c->flush_least);
}

void kernel_flush_acknowledged(const struct kernel_ctx *x, uint64_t flush_id)
{
    uint32_t core = (uint32_t)(flush_id % x->cfg->ncores);
    struct kcore *c = kernel_core(x->k, core);
    SIM_ASSERT(c->phase == KCORE_FLUSH && c->flush_id == flush_id && c->acks_left > 0,
               "acknowledgement of flush %llu: core %u is in phase %u, flush %llu, %u missing",
               (unsigned long long)flush_id, core, c->phase, (unsigned long long)c->flush_id,
               c->acks_left);
    if (--c->acks_left > 0)
        return;
    LP_LOG(x->lp, KE_FLUSHED, core, flush_id, x->lp->now - c->flush_start);
    act_at(x, c, u64_max(x->lp->now, c->flush_least));
}
