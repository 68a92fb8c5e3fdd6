/* See control.h. */
#include "pdes/control.h"

static void control_handle(struct lp *lp, const struct msg *m)
{
    struct control_state *s = lp->state;
    const struct control_cfg *cfg = lp->cfg;
    switch (m->type) {
    case CTRL_THREAD_DONE:
        s->ndone++;
        s->nlimited += m->a[1] != 0;
        s->instructions += m->a[0];
        break;
    case CTRL_WARM:
        s->nwarm++;
        break;
    case CTRL_ROI_BEGIN:
        s->roi_begin_pending |= s->roi_begins++ == 0;
        break;
    case CTRL_ROI_END:
        s->roi_ends++;
        s->roi_end_pending |= s->roi_ends == s->roi_begins;
        break;
    default:
        SIM_ASSERT(false, "control LP: unknown message %u", m->type);
    }
    if (cfg->warmup && s->warm_pending == 0 && s->nwarm > 0 && s->nwarm + s->ndone >= cfg->nthreads)
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
    return decision;
}

const struct lp_ops control_lp_ops = {.name = "control", .handle = control_handle};
