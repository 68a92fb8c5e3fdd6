/* See fuzz_lp.h. */
#include "partitions/fuzz_lp.h"

#include "memsys/mem_msg.h"
#include "mimicos/kernel_msg.h"
#include "pdes/rng.h"

#define FUZZ_KIND 0xf022

const struct param_desc fuzz_param_rows[] = {
    {.name = "seed", .type = PARAM_COUNT, .unit = "", .def = "0", .max = UINT64_MAX,
     .offset = offsetof(struct fuzz_params, seed),
     .doc = "seed of the fuzz process, a test of exactness; 0: there is none"},
    {.name = "events", .type = PARAM_COUNT, .unit = "", .def = "20k", .min = 1, .max = UINT64_MAX,
     .offset = offsetof(struct fuzz_params, events), .doc = "what it sends before it falls silent"},
    {.name = "mean", .type = PARAM_TIME, .unit = "fs", .def = "100ns", .min = 1000, .max = FS_PER_S,
     .offset = offsetof(struct fuzz_params, mean_fs), .doc = "mean time between two of its messages"},
};
const uint32_t fuzz_nparam_rows = sizeof fuzz_param_rows / sizeof fuzz_param_rows[0];

static uint64_t draw(const struct lp *lp, uint64_t stream)
{
    const struct fuzz_cfg *cfg = lp->cfg;
    const struct fuzz_state *s = lp->state;
    return rng_draw(cfg->params->seed, FUZZ_KIND, lp->instance, stream, s->nsent);
}

static void send_one(struct lp *lp)
{
    const struct fuzz_cfg *cfg = lp->cfg;
    uint64_t what = draw(lp, 0), line = rng_below(draw(lp, 1), cfg->memory_bytes) & ~(LINE_BYTES - 1);
    lpid_t core = cfg->first_core + (lpid_t)rng_below(draw(lp, 2), cfg->ncores);
    simtime_t extra = draw(lp, 3) % FS_PER_NS;
    switch (what % 4) {
    case 0:
        lp_send(lp, core, lp->now + cfg->to_core_fs + extra, K_INTERRUPT, 0,
                (50 + draw(lp, 4) % 500) * FS_PER_NS, 0, 0, 0);
        break;
    case 1:
        lp_send(lp, cfg->kernel_lp, lp->now + cfg->to_kernel_fs + extra, K_POKE, 0, draw(lp, 4), 0, 0, 0);
        break;
    default: /* low memory, where the page tables and the first pages are, more often than not */
        if (what & 16)
            line &= (UINT64_C(1) << 26) - 1;
        lp_send(lp, core, lp->now + cfg->to_core_fs + extra, MEM_INVALIDATE, 0, line, 0, 0, 0);
        break;
    }
}

static simtime_t fuzz_advance(struct lp *lp, simtime_t until)
{
    const struct fuzz_cfg *cfg = lp->cfg;
    struct fuzz_state *s = lp->state;
    while (s->nsent < cfg->params->events) {
        if (s->next >= until)
            return s->next;
        lp->now = s->next;
        send_one(lp);
        s->nsent++;
        s->next += 1 + rng_below(draw(lp, 5), 2 * cfg->params->mean_fs);
    }
    return SIM_NEVER;
}

static void fuzz_handle(struct lp *lp, const struct msg *m)
{
    SIM_ASSERT(false, "fuzz LP %u: unexpected message %u", lp->instance, m->type);
}

const struct lp_ops fuzz_lp_ops = {.name = "fuzz", .handle = fuzz_handle, .advance = fuzz_advance};
