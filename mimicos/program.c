/* Passes of programs; see program.h. */
#include "mimicos/program.h"

#include <stdio.h>
#include <string.h>

#include "mimicos/kernel_run.h"
#include "pdes/control.h"

const struct stat_desc program_stat_rows[] = {
#define X(field, path, unit, kind, stamp, doc) \
    {path, unit, STAT_##kind, STAMP_##stamp, 1, offsetof(struct program_stats, field), doc},
    PROGRAM_STATS(X)
#undef X
};
const uint32_t program_nstat_rows = sizeof program_stat_rows / sizeof program_stat_rows[0];

void program_thread_ends(const struct kernel_ctx *x, uint32_t thread, uint64_t ninstr, bool limited)
{
    struct program *p = kernel_program(x->k, sched_thread(x->s, thread)->asid);
    p->pass_instructions += ninstr;
    p->nlimited += limited;
    p->stats.threads_limited += limited;
}

/* ---- the end of a pass ----------------------------------------------------------------------- */

static bool of_space(const struct kernel_ctx *x, uint32_t thread, uint32_t asid)
{
    return thread < x->cfg->nthreads && sched_thread(x->s, thread)->asid == asid;
}

_Noreturn static void stop_stuck(const struct kernel_ctx *x, uint32_t asid)
{
    char text[1024] = "", line[512];
    size_t n = 0;
    for (uint32_t i = sched_space(x->s, asid)->first_thread; of_space(x, i, asid); i++)
        if (n + 1 < sizeof text && sched_describe(x->s, i, line, sizeof line))
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n > 0 ? "; " : "", line);
    err_fatal(ERR_RUNTIME, "deadlock: none of the %u threads left of program %u can go on: %s",
              sched_space(x->s, asid)->nlive, asid, text);
}

/* Ends the threads that wait for ones that will not come. */
static void kill_waiting(const struct kernel_ctx *x, uint32_t asid)
{
    struct program *p = kernel_program(x->k, asid);
    for (uint32_t i = sched_space(x->s, asid)->first_thread; of_space(x, i, asid); i++) {
        const struct thread *t = sched_thread(x->s, i);
        if (t->state == THREAD_NEW || t->state == THREAD_EXITED)
            continue;
        p->pass_instructions += t->pos[3];
        p->stats.threads_killed++;
        uint32_t core = sched_kill(x->s, i);
        if (core != SCHED_NONE)
            kernel_next_thread(x, core);
    }
}

static void tell_control(const struct kernel_ctx *x, uint32_t asid)
{
    lp_send(x->lp, x->cfg->control_lp, x->lp->now + x->cfg->control_latency_fs, CTRL_PROGRAM_DONE, asid,
            0, 0, 0, 0);
}

static void start_again(const struct kernel_ctx *x, uint32_t asid)
{
    uint32_t first = sched_space(x->s, asid)->first_thread;
    sched_restart(x->s, asid);
    sched_thread(x->s, first)->call = KCALL_EXEC;
    kernel_place(x, first);
}

static void end_pass(const struct kernel_ctx *x, uint32_t asid)
{
    struct program *p = kernel_program(x->k, asid);
    if (p->stats.passes++ == 0) {
        p->stats.first_end_fs = x->lp->now;
        p->stats.first_instructions = p->pass_instructions;
        x->k->nfinished++;
        tell_control(x, asid);
    }
    p->stats.pass_instructions += p->pass_instructions;
    p->pass_instructions = p->nlimited = 0;
    p->ended_at = x->lp->now;
    if (x->k->nfinished < x->cfg->nprocesses)
        start_again(x, asid);
}

void program_thread_rests(const struct kernel_ctx *x, uint32_t asid)
{
    const struct sched_space *sp = sched_space(x->s, asid);
    if (!x->cfg->mix || sp->nrunnable > 0)
        return;
    if (sp->nlive > 0 && kernel_program(x->k, asid)->nlimited == 0)
        stop_stuck(x, asid);
    kill_waiting(x, asid);
    end_pass(x, asid);
}

/* ---- between passes -------------------------------------------------------------------------- */

void program_begin_exec(const struct kernel_ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    c->job = KJOB_EXEC;
    c->step = 0;
    c->ready_at = 0;
    price_op(kernel_open_block(x), KOP_PROCESS_EXIT, 1);
    mm_exit(x->mm, c->asid, &c->op);
    kernel_start_block(x, core);
}

void program_step_exec(const struct kernel_ctx *x, uint32_t core)
{
    enum mm_result res;
    if (mm_exit_step(x->mm, kernel_open_block(x), &kernel_core(x->k, core)->op, &res))
        kernel_start_block(x, core);
    else
        kernel_start_flush(x, core);
}

void program_end_exec(const struct kernel_ctx *x, uint32_t core)
{
    struct kcore *c = kernel_core(x->k, core);
    uint32_t asid = c->asid, first = sched_space(x->s, asid)->first_thread;
    struct program *p = kernel_program(x->k, asid);
    p->stats.restarts++;
    p->stats.freed_pages += c->op.npages;
    p->stats.restart_ns += (x->lp->now - p->ended_at) / FS_PER_NS;
    kernel_send_switch(x, core);
    for (uint32_t i = first + 1; kernel_all_start(x->cfg, asid) && of_space(x, i, asid); i++)
        kernel_place(x, i);
}
