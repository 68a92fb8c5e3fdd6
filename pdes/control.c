/* See control.h. */
#include "pdes/control.h"

size_t control_state_bytes(const struct control_cfg *cfg)
{
    return sizeof(struct control_state) + (cfg->nprograms > 0 ? cfg->nthreads : 0);
}

/* A thread is warm or has ended. One that starts anew counts once. */
static void thread_ready(struct control_state *s, const struct control_cfg *cfg, uint32_t thread)
{
    if (cfg->nprograms == 0) {
        s->nready++;
        return;
    }
    s->nready += s->ready[thread] == 0;
    s->ready[thread] = 1;
}

static void control_handle(struct lp *lp, const struct msg *m)
{
    struct control_state *s = lp->state;
    const struct control_cfg *cfg = lp->cfg;
    switch (m->type) {
    case CTRL_THREAD_DONE:
        s->ndone++;
        s->nlimited += m->a[1] != 0;
        s->instructions += m->a[0];
        thread_ready(s, cfg, m->arg);
        break;
    case CTRL_WARM:
        s->nwarm++;
        thread_ready(s, cfg, m->arg);
        break;
    case CTRL_ROI_BEGIN:
        s->roi_begin_pending |= s->roi_begins++ == 0;
        break;
    case CTRL_ROI_END:
        s->roi_ends++;
        s->roi_end_pending |= s->roi_ends == s->roi_begins;
        break;
    case CTRL_PROGRAM_DONE:
        s->programs_pending |= ++s->nprograms_done == cfg->nprograms;
        break;
    default:
        SIM_ASSERT(false, "control LP: unknown message %u", m->type);
    }
    if (cfg->warmup && s->warm_pending == 0 && s->nwarm > 0 && s->nready >= cfg->nthreads)
        s->warm_pending = 1;
}

unsigned control_decide(struct control_state *s)
{
    unsigned decision = 0;
    if (s->warm_pending == 1) {
        decision |= CONTROL_WARM_END;
        s->warm_pending = 2;
    }
    if (s->roi_begin_pending) {
        decision |= CONTROL_ROI_BEGIN;
        s->roi_begin_pending = 0;
    }
    if (s->roi_end_pending) {
        decision |= CONTROL_ROI_END;
        s->roi_end_pending = 0;
    }
    if (s->programs_pending) {
        decision |= CONTROL_PROGRAMS_END;
        s->programs_pending = 0;
    }
    return decision;
}

const struct lp_ops control_lp_ops = {.name = "control", .handle = control_handle};
