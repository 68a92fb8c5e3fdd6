/* See trace_walk.h. At the same position and instruction, events come before branches. */
#include "cores/trace_walk.h"

static enum err next_block(struct trace_walk *w)
{
    enum err e = w->fe->ops->load(w->fe, w->thread, w->block, &w->b);
    if (e != ERR_OK)
        return e;
    w->block++;
    w->iacc = w->ibr = w->iev = 0;
    w->at_access = w->b.first_instr;
    w->open = true;
    return ERR_OK;
}

static bool used_up(const struct trace_walk *w)
{
    return w->iacc == w->b.nacc && w->ibr == w->b.nbr && w->iev == w->b.nev;
}

enum err trace_walk_next(struct trace_walk *w, struct trace_item *out)
{
    *out = (struct trace_item){.instr = 0};
    while (!w->open || used_up(w)) {
        if (w->open && w->b.last)
            return ERR_OK;
        enum err e = next_block(w);
        if (e != ERR_OK)
            return e;
    }
    const struct fe_event *ev = w->iev < w->b.nev ? fe_ev(&w->b, w->iev) : NULL;
    const struct branch_rec *br = w->ibr < w->b.nbr ? fe_br(&w->b, w->ibr) : NULL;
    bool ev_due = ev != NULL && w->b.ev_at[w->iev].pos <= w->iacc;
    bool br_due = br != NULL && w->b.br_at[w->ibr].pos <= w->iacc;
    if (ev_due && (!br_due || ev->instr_off <= br->instr_off)) {
        out->ev = ev;
        out->instr = w->at_access + ev->instr_off;
        w->iev++;
    } else if (br_due) {
        out->br = br;
        out->instr = w->at_access + br->instr_off;
        w->ibr++;
    } else if (w->iacc < w->b.nacc) {
        out->acc = fe_access(w->fe, w->thread, w->iacc++, &w->b);
        w->at_access += out->acc->gap;
        out->instr = w->at_access;
    } else {
        return err_log(ERR_TRACE, "thread %u block %llu: a record stands after the last access",
                       w->thread, (unsigned long long)w->block - 1);
    }
    return ERR_OK;
}
