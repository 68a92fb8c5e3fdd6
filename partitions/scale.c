/* See scale.h. */
#include "partitions/scale.h"

#include <stdlib.h>
#include <string.h>

#include "partitions/placement.h"

#define SCALE_WINDOWS 256u

/* What is not the load of a core, slice or channel. */
struct rest {
    float kernel, idle[2], sent[2], mirrored;
};

struct scale {
    struct scale_shape shape;
    uint32_t n;                     /* windows */
    float *core, *slice, *channel; /* [window][instance], ns */
    struct rest *rest;
};

/* ---- from the log ----------------------------------------------------------------------------- */

static void take_load(struct scale *s, uint32_t w, const struct lp_load *l)
{
    const struct scale_shape *h = &s->shape;
    float ns = (float)l->ns;
    if (l->lp >= h->first_core && l->lp - h->first_core < h->ncores)
        s->core[(size_t)w * h->ncores + (l->lp - h->first_core)] += ns;
    else if (l->lp >= h->first_slice && l->lp - h->first_slice < h->nslices)
        s->slice[(size_t)w * h->nslices + (l->lp - h->first_slice)] += ns;
    else if (l->lp >= h->first_channel && l->lp - h->first_channel < h->nchannels)
        s->channel[(size_t)w * h->nchannels + (l->lp - h->first_channel)] += ns;
    else
        s->rest[w].kernel += ns;
}

static void take_phase(struct scale *s, uint32_t w, const struct phase_log *p)
{
    for (uint32_t i = 0; i < p->nloads; i++)
        take_load(s, w, &p->loads[i]);
    for (uint32_t i = 0; i < p->nsent; i++) {
        bool mirrored = p->sent[i].dst == LPID_NONE;
        s->rest[w].mirrored += mirrored;
        s->rest[w].sent[p->phase] += !mirrored;
    }
    s->rest[w].idle[p->phase] += (float)p->idle_ns;
}

void scale_free(struct scale *s)
{
    if (s == NULL)
        return;
    free(s->core);
    free(s->slice);
    free(s->channel);
    free(s->rest);
    free(s);
}

enum err scale_create(const struct scale_shape *shape, const struct window_log *log, struct scale **out)
{
    struct scale *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_log(ERR_MEMORY, "no host memory to extrapolate");
    *out = s;
    s->shape = *shape;
    s->core = calloc((size_t)SCALE_WINDOWS * shape->ncores, sizeof *s->core);
    s->slice = calloc((size_t)SCALE_WINDOWS * shape->nslices, sizeof *s->slice);
    s->channel = calloc((size_t)SCALE_WINDOWS * shape->nchannels, sizeof *s->channel);
    s->rest = calloc(SCALE_WINDOWS, sizeof *s->rest);
    if (!s->core || !s->slice || !s->channel || !s->rest)
        return err_log(ERR_MEMORY, "no host memory to extrapolate");
    uint32_t every = (log->nwindows + SCALE_WINDOWS - 1) / SCALE_WINDOWS, nseen = 0;
    struct phase_log p;
    for (size_t at = 0; window_log_next(log, &at, &p);) {
        nseen += p.phase == 0;
        if (nseen > 0 && (nseen - 1) % every == 0) {
            s->n = (nseen - 1) / every + 1;
            take_phase(s, s->n - 1, &p);
        }
    }
    return ERR_OK;
}

/* ---- the larger machine ----------------------------------------------------------------------- */

/* Copy `i` has the load of a window that lies far from those of its neighbours. */
static uint32_t window_of_copy(const struct scale *s, uint32_t w, uint32_t i)
{
    return (uint32_t)((w + (uint64_t)i * (s->n * 618 / 1000 + 1)) % s->n);
}

static void place_copies(const struct scale *s, uint32_t w, uint32_t copies, struct predictor *p, const int *ranks,
                         const float *loads, uint32_t n, enum loss kind, double factor)
{
    for (uint32_t i = 0; i < copies; i++) {
        const float *row = loads + (size_t)window_of_copy(s, w, i) * n;
        for (uint32_t k = 0; k < n; k++)
            if (row[k] > 0)
                predictor_work(p, ranks[(size_t)i * n + k], kind, (double)row[k] * factor);
    }
}

/* Each rank's share of the phase's messages, those between its own LPs left out. */
static void spread_messages(struct predictor *p, int nranks, double nsent)
{
    if (nranks == 1)
        return;
    double ends = 2 * nsent / nranks * (1 - 1.0 / nranks);
    for (int r = 0; r < nranks; r++)
        predictor_messages(p, r, ends);
}

static void one_window(const struct scale *s, uint32_t w, uint32_t copies, double shorter, const struct placement *pl,
                       struct predictor *p)
{
    const struct scale_shape *h = &s->shape;
    const struct rest *rest = &s->rest[w];
    double all = copies * shorter;
    for (unsigned phase = 0; phase < 2; phase++) {
        predictor_begin(p);
        if (phase == 0) {
            place_copies(s, w, copies, p, pl->core, s->core, h->ncores, LOSS_CORES, shorter);
            place_copies(s, w, copies, p, pl->channel, s->channel, h->nchannels, LOSS_CHANNELS, shorter);
        } else {
            place_copies(s, w, copies, p, pl->slice, s->slice, h->nslices, LOSS_SLICES, shorter);
            predictor_work(p, pl->kernel, LOSS_KERNEL, (double)rest->kernel * all);
            for (int r = 0; pl->nranks > 1 && r < pl->nranks; r++)
                predictor_messages(p, r, (double)rest->mirrored * all * (r == pl->kernel ? pl->nranks - 1 : 1));
        }
        spread_messages(p, pl->nranks, (double)rest->sent[phase] * all);
        for (int r = 0; r < pl->nranks; r++)
            predictor_work(p, r, LOSS_IDLE, (double)rest->idle[phase] * copies / pl->nranks);
        predictor_end(p);
    }
}

/* Length of a window over that of the measured machine. */
static double shorter_window(const struct scale_shape *h, uint32_t copies)
{
    double gap = h->window_fs - h->window_min_fs;
    return gap > 0 ? (h->window_min_fs + gap / copies) / h->window_fs : 1;
}

enum err scale_predict(const struct scale *s, const struct exchange_costs *costs, uint32_t copies, int nranks,
                       struct prediction *out)
{
    const struct scale_shape *h = &s->shape;
    struct placement pl;
    enum err e = placement_create("auto", copies * h->ncores, copies * h->nslices,
                                  copies * h->nchannels, nranks, NULL, true, &pl);
    if (e != ERR_OK)
        return e;
    struct predictor *p = predictor_create(costs, &(struct predict_map){.nranks = nranks});
    if (p == NULL) {
        placement_free(&pl);
        return err_log(ERR_MEMORY, "no host memory to predict %d ranks", nranks);
    }
    double shorter = shorter_window(h, copies);
    for (uint32_t w = 0; w < s->n; w++)
        one_window(s, w, copies, shorter, &pl, p);
    *out = *predictor_result(p);
    out->total_ns /= shorter; /* so many more windows */
    out->work_ns /= shorter;
    for (enum loss k = 0; k < NLOSSES; k++)
        out->loss_ns[k] /= shorter;
    predictor_destroy(p);
    placement_free(&pl);
    return ERR_OK;
}
