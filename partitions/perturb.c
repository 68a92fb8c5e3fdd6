/* See perturb.h. */
#include "partitions/perturb.h"

#include "pdes/rng.h"

#include <stdio.h>
#include <string.h>

#define RNG_KIND_PERTURB UINT64_C(0x7065727475)

enum what { WHAT_SEED, WHAT_BLOCKS, WHAT_FRAMES, WHAT_STARTS, WHAT_JITTER, WHAT_LAYOUT };

static uint64_t draw(const struct machine_params *p, enum what what)
{
    return rng_draw(p->sim.seed, RNG_KIND_PERTURB, what, 0, p->sim.perturb);
}

/* Tables that lie in other frames are another image: each repeat has its own, x.1, x.2 ... */
static void name_image(struct kernel_params *k, uint64_t perturb)
{
    size_t n = strlen(k->premap_image);
    if (n > 0)
        snprintf(k->premap_image + n, sizeof k->premap_image - n, ".%llu", (unsigned long long)perturb);
}

void perturb_params(struct machine_params *p)
{
    struct kernel_params *k = &p->kernel;
    if (p->sim.perturb == 0)
        return;
    k->seed ^= draw(p, WHAT_SEED);
    name_image(k, p->sim.perturb);
    uint64_t rest = k->memory_size > k->reserved_size ? k->memory_size - k->reserved_size : 0;
    uint64_t most = u64_min(p->sim.perturb_memory_bytes, rest / 16) / BUDDY_BLOCK_BYTES;
    k->reserved_size += rng_below(draw(p, WHAT_BLOCKS), most + 1) * BUDDY_BLOCK_BYTES;
}

void perturb_kernel(const struct machine_params *p, struct kernel_cfg *k)
{
    if (p->sim.perturb == 0)
        return;
    if (p->sim.perturb_memory_bytes >= BUDDY_BLOCK_BYTES)
        k->boot_frames = rng_below(draw(p, WHAT_FRAMES), BUDDY_BLOCK_FRAMES);
    k->start_skew_fs = p->sim.start_skew_fs;
    k->start_seed = draw(p, WHAT_STARTS);
}

struct relocate_params perturb_layout(const struct machine_params *p)
{
    struct relocate_params r = {.layout = p->kernel.layout,
                                .stack_limit_bytes = p->kernel.stack_limit_size};
    if (p->sim.perturb != 0 && r.layout.seed != 0)
        r.layout.seed = u64_max(draw(p, WHAT_LAYOUT), 1);
    return r;
}

void perturb_dram(const struct machine_params *p, simtime_t core_period_fs, struct dram_lp_cfg *d)
{
    if (p->sim.perturb == 0)
        return;
    d->jitter_fs = p->sim.jitter_cycles * core_period_fs;
    d->jitter_seed = draw(p, WHAT_JITTER);
}
