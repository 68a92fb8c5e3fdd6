/*
 * What each program of a multi-programmed run has had of a core: user instructions, and cycles with
 * one of its threads assigned. Nothing is counted per access: the core's own counters are settled
 * when another thread comes or the core falls idle.
 */
#include "cores/core.h"

static void add_up_to(const struct core_ctx *x, uint64_t cycle, struct core_share *share)
{
    const struct core *c = x->c;
    share->instructions += c->stats.instructions - c->program_instructions;
    share->cycles += cycle > c->program_since ? cycle - c->program_since : 0;
}

void core_program_settle(const struct core_ctx *x)
{
    struct core *c = x->c;
    if (x->cfg->nprograms == 0)
        return;
    if (c->run != RUN_IDLE)
        add_up_to(x, c->touch, &c->program[c->asid]);
    c->program_instructions = c->stats.instructions;
    c->program_since = c->touch;
}

void core_program_add(const struct lp *lp, struct program_stats *programs)
{
    const struct core *c = lp->state;
    const struct core_cfg *cfg = lp->cfg;
    struct core_ctx x = {.c = (struct core *)(uintptr_t)c, .cfg = cfg, .p = cfg->params};
    uint64_t end = cycle_of(cfg, engine_epoch_end(lp->engine));
    for (uint32_t i = 0; i < cfg->nprograms; i++) {
        struct core_share share = c->program[i];
        if (c->run != RUN_IDLE && c->asid == i)
            add_up_to(&x, end, &share);
        programs[i].instructions += share.instructions;
        programs[i].cycles += share.cycles;
    }
}
