/* The whole machine on one process: exactness under cuts, flat state, conservation, placement. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "configs/config.h"
#include "partitions/machine.h"
#include "tests/unit/unit.h"

static struct machine_params params;

/* Defaults, then "key=value" words; a small memory so that saving it is cheap. */
static void configure(const char *const *sets, size_t nsets)
{
    static struct param_group groups[MACHINE_NGROUPS];
    struct config *config;
    machine_param_groups(&params, groups);
    CU_ASSERT_EQUAL_FATAL(config_create(groups, MACHINE_NGROUPS, &config), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(config_set(config, "os.memory_size=256MiB"), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(config_set(config, "sim.epoch=20us"), ERR_OK);
    for (size_t i = 0; i < nsets; i++)
        CU_ASSERT_EQUAL_FATAL(config_set(config, sets[i]), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(config_finish(config), ERR_OK);
    config_destroy(config);
}

struct run {
    struct machine m;
    struct frontend *fe;
    uint64_t save_at; /* epoch at whose end the state is copied; 0: never */
    bool scramble;    /* and destroyed and restored in place */
    char *saved;
    size_t saved_bytes;
    uint64_t epochs;
};

static bool hook_epoch(void *ctx, uint64_t epoch, simtime_t end)
{
    struct run *r = ctx;
    static uint64_t row[4096];
    (void)end;
    r->epochs++;
    for (uint32_t i = 0; i < r->m.ncores; i++) /* as a recorder does: closes the accounts of the epoch */
        core_lp_ops.stats(machine_lp(&r->m, COMPONENT_CORES, i), row);
    if (r->save_at == 0 || epoch != r->save_at)
        return false;
    r->saved_bytes = machine_save_bytes(&r->m);
    r->saved = malloc(r->saved_bytes);
    machine_save(&r->m, r->saved);
    if (!r->scramble)
        return true; /* another machine goes on */
    for (uint32_t i = 0; i < engine_nlps(r->m.engine); i++) {
        struct lp *lp = engine_lp(r->m.engine, i);
        memset(lp->state, 0x5a, lp->state_bytes);
        inbox_free(&lp->inbox);
        lp->seq = lp->now = 12345;
    }
    CU_ASSERT_EQUAL(machine_load(&r->m, r->saved, r->saved_bytes), ERR_OK);
    free(r->saved);
    r->saved = NULL;
    return false;
}

static bool hook_idle(void *ctx)
{
    (void)ctx;
    return true;
}

static void open_run(struct run *r)
{
    static struct engine_hooks hooks;
    uint32_t threads = (uint32_t)params.core.core.count;
    hooks = (struct engine_hooks){.ctx = r, .epoch = hook_epoch, .idle = hook_idle};
    CU_ASSERT_EQUAL_FATAL(builtin_open(&params.workload, threads, &r->fe), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(machine_create(&params, r->fe, "single", transport_self(), &hooks, &r->m), ERR_OK);
}

struct result {
    uint64_t digest, epochs;
    struct core_stats core0;
};

static struct result finish(struct run *r)
{
    CU_ASSERT_EQUAL(engine_run(r->m.engine), ERR_OK);
    struct result out = {.digest = engine_digest(r->m.engine), .epochs = r->epochs};
    struct lp *lp = machine_lp(&r->m, COMPONENT_CORES, 0);
    out.core0 = ((struct core *)lp->state)->stats;
    if (r->saved == NULL) /* ran to its end: everything is drained */
        for (uint32_t i = 0; i < engine_nlps(r->m.engine); i++) {
            struct lp *each = engine_lp(r->m.engine, i);
            if (each->ops->check != NULL)
                each->ops->check(each);
        }
    machine_destroy(&r->m);
    r->fe->ops->close(r->fe);
    return out;
}

static const char *const gups[] = {"workload.kind=gups", "workload.size=8MiB", "core.count=3",
                                   "sim.instructions=60k", "os.thp=never", "fuzz.seed=3",
                                   "fuzz.events=500"};
#define NGUPS (sizeof gups / sizeof gups[0])

static void a_machine_saved_scrambled_and_restored_goes_on_with_the_same_digest(void)
{
    configure(gups, NGUPS);
    struct run plain = {0};
    open_run(&plain);
    struct result want = finish(&plain);
    CU_ASSERT_FATAL(want.epochs > 8);
    for (uint64_t at = 1; at < want.epochs - 1; at += 3) {
        struct run r = {.save_at = at, .scramble = true};
        open_run(&r);
        struct result got = finish(&r);
        CU_ASSERT_EQUAL(got.digest, want.digest);
        CU_ASSERT_EQUAL(got.epochs, want.epochs);
        CU_ASSERT_EQUAL(memcmp(&got.core0, &want.core0, sizeof want.core0), 0);
    }
}

static void another_machine_takes_over_a_saved_one(void)
{
    configure(gups, NGUPS);
    struct run plain = {0};
    open_run(&plain);
    struct result want = finish(&plain);
    struct run first = {.save_at = want.epochs / 2};
    open_run(&first);
    finish(&first);
    CU_ASSERT_PTR_NOT_NULL_FATAL(first.saved);
    struct run second = {0};
    open_run(&second);
    CU_ASSERT_EQUAL(machine_load(&second.m, first.saved, first.saved_bytes), ERR_OK);
    free(first.saved);
    struct result got = finish(&second);
    CU_ASSERT_EQUAL(got.digest, want.digest);
    CU_ASSERT_EQUAL(got.epochs + first.epochs, want.epochs);
    CU_ASSERT_EQUAL(memcmp(&got.core0, &want.core0, sizeof want.core0), 0);
}

static void windows_cut_at_random_do_not_show_in_any_counter(void)
{
    configure(gups, NGUPS);
    struct run plain = {0};
    open_run(&plain);
    struct result want = finish(&plain);
    for (uint64_t seed = 1; seed <= 6; seed++) {
        configure(gups, NGUPS);
        params.sim.cut_seed = seed;
        struct run r = {0};
        open_run(&r);
        struct result got = finish(&r);
        CU_ASSERT_EQUAL(got.digest, want.digest);
        CU_ASSERT_EQUAL(memcmp(&got.core0, &want.core0, sizeof want.core0), 0);
    }
}

static void ideal_translation_is_never_slower_and_walks_nothing(void)
{
    const char *const words[] = {"workload.kind=gups", "workload.size=32MiB", "core.count=1",
                                 "sim.instructions=100k", "os.thp=never"};
    configure(words, 5);
    struct run radix = {0};
    open_run(&radix);
    struct result with_walks = finish(&radix);
    const char *const ideal_words[] = {"workload.kind=gups", "workload.size=32MiB", "core.count=1",
                                       "sim.instructions=100k", "os.thp=never", "core.mmu=ideal"};
    configure(ideal_words, 6);
    struct run ideal = {0};
    open_run(&ideal);
    struct result without = finish(&ideal);
    CU_ASSERT_EQUAL(without.core0.walks, 0);
    CU_ASSERT_EQUAL(without.core0.instructions, with_walks.core0.instructions);
    CU_ASSERT(without.core0.faults > 0);
    CU_ASSERT(without.core0.cycles <= with_walks.core0.cycles);
}

static void placements_give_every_lp_one_rank(void)
{
    static const char *const names[] = {"packed", "auto", "dedicated"};
    for (int k = 0; k < 3; k++)
        for (int nranks = 1; nranks <= 20; nranks++) {
            struct placement p;
            enum err e = placement_create(names[k], 8, 8, 2, nranks, NULL, false, &p);
            if (strcmp(names[k], "dedicated") == 0 && nranks < 10) {
                CU_ASSERT_EQUAL(e, ERR_USAGE);
                continue;
            }
            CU_ASSERT_EQUAL_FATAL(e, ERR_OK);
            for (int i = 0; i < 8; i++)
                CU_ASSERT(p.core[i] >= 0 && p.core[i] < nranks && p.slice[i] >= 0 && p.slice[i] < nranks);
            CU_ASSERT(p.kernel >= 0 && p.kernel < nranks && p.channel[1] < nranks);
            placement_free(&p);
        }
}

static void a_core_keeps_little_beside_its_modelled_arrays(void)
{
    const char *const words[] = {"workload.kind=gups", "workload.size=1MiB", "core.count=2", "sim.instructions=1k"};
    configure(words, 4);
    struct run r = {0};
    open_run(&r);
    CU_ASSERT_EQUAL(engine_run(r.m.engine), ERR_OK);
    const struct lp *lp = machine_lp(&r.m, COMPONENT_CORES, 0);
    const struct core *c = lp->state;
    CU_ASSERT_FATAL(c->at.l1i4k >= sizeof *c && c->at.cpi_ahead > c->at.l2); /* arrays lie between the two */
    CU_ASSERT(c->at.l1i4k + (lp->state_bytes - c->at.cpi_ahead) < 512 << 10);
    machine_destroy(&r.m);
    r.fe->ops->close(r.fe);
}

static void count_parts(const struct placement *p, const int *slots, uint32_t n, int *count)
{
    for (int r = 0; r < p->nranks; r++)
        count[r] = 0;
    for (uint32_t i = 0; i < n; i++)
        count[slots[i]]++;
}

static void auto_gives_the_rank_of_the_kernel_fewer_slices(void)
{
    /* 40 cores on 3 ranks: 14, 13, 13. Kernel 2 x 40 = 80 on rank 2, a slice is 35: 14 on two ranks and 12 there
     * (420 + 80 = 500 against 490). */
    struct placement p;
    int cores[3], slices[3];
    CU_ASSERT_EQUAL_FATAL(placement_create("auto", 40, 40, 2, 3, NULL, false, &p), ERR_OK);
    count_parts(&p, p.core, 40, cores);
    count_parts(&p, p.slice, 40, slices);
    CU_ASSERT_EQUAL(cores[0], 14);
    CU_ASSERT_EQUAL(cores[1] + cores[2], 26);
    CU_ASSERT_EQUAL(p.kernel, 2);
    CU_ASSERT_EQUAL(slices[0], 14);
    CU_ASSERT_EQUAL(slices[1], 14);
    CU_ASSERT_EQUAL(slices[2], 12);
    for (int i = 1; i < 40; i++)
        CU_ASSERT(p.slice[i] >= p.slice[i - 1] && p.core[i] >= p.core[i - 1]);
    placement_free(&p);
}

static void auto_puts_channels_and_kernel_where_no_core_is(void)
{
    struct placement p;
    CU_ASSERT_EQUAL_FATAL(placement_create("auto", 2, 2, 2, 4, NULL, false, &p), ERR_OK);
    CU_ASSERT_EQUAL(p.core[0], 0);
    CU_ASSERT_EQUAL(p.core[1], 1);
    CU_ASSERT(p.channel[0] > 1 && p.channel[1] > 1 && p.channel[0] != p.channel[1]);
    CU_ASSERT_EQUAL(p.kernel, 3);
    CU_ASSERT(p.slice[0] != 3 && p.slice[1] != 3 && p.slice[0] != p.slice[1]);
    placement_free(&p);
}

static void ranks_without_a_processor_get_nothing_from_auto(void)
{
    static const unsigned char useful[6] = {1, 0, 0, 1, 0, 1};
    struct placement p, q;
    CU_ASSERT_EQUAL_FATAL(placement_create("auto", 8, 8, 2, 6, useful, false, &p), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(placement_create("auto", 8, 8, 2, 3, NULL, false, &q), ERR_OK);
    static const int rank_of[3] = {0, 3, 5};
    for (int i = 0; i < 8; i++) {
        CU_ASSERT_EQUAL(p.core[i], rank_of[q.core[i]]);
        CU_ASSERT_EQUAL(p.slice[i], rank_of[q.slice[i]]);
    }
    CU_ASSERT_EQUAL(p.channel[0], rank_of[q.channel[0]]);
    CU_ASSERT_EQUAL(p.kernel, rank_of[q.kernel]);
    CU_ASSERT_EQUAL(p.nranks, 6);
    placement_free(&p);
    placement_free(&q);
    CU_ASSERT_EQUAL_FATAL(placement_create("packed", 6, 6, 2, 6, useful, false, &p), ERR_OK); /* as it is told */
    for (int i = 0; i < 6; i++)
        CU_ASSERT_EQUAL(p.core[i], i);
    placement_free(&p);
}

static void a_profile_is_balanced_longest_first(void)
{
    /* Cores 9, 5, 4, 3 and a channel of 1 on two ranks: 9 | 5 4, then 3 to rank 0 or 1 (9 each: its own, 1), then 1 to
     * the other. Kernel 10 against slices 6, 5, 1: 10 1 | 6 5. */
    char path[] = "/tmp/concerto-profile-XXXXXX";
    int fd = mkstemp(path);
    CU_ASSERT_FATAL(fd >= 0);
    FILE *f = fdopen(fd, "w");
    fputs("# loads\ncore 0 5\ncore 1 9\ncore 2 4\ncore 3 3\nslice 0 5\nslice 1 1\nslice 2 6\n\n"
          "channel 0 1\nkernel 10\ncontrol 0\n", f);
    fclose(f);
    char spec[64];
    snprintf(spec, sizeof spec, "profile:%s", path);
    struct placement p;
    CU_ASSERT_EQUAL_FATAL(placement_create(spec, 4, 3, 1, 2, NULL, false, &p), ERR_OK);
    CU_ASSERT_EQUAL(p.core[0], p.core[2]);
    CU_ASSERT_NOT_EQUAL(p.core[0], p.core[1]);
    CU_ASSERT_EQUAL(p.core[3], 1); /* a tie goes to the rank of its place */
    CU_ASSERT_EQUAL(p.channel[0], 0);
    CU_ASSERT_EQUAL(p.slice[0], p.slice[2]);
    CU_ASSERT_EQUAL(p.slice[1], p.kernel);
    CU_ASSERT_NOT_EQUAL(p.slice[0], p.kernel);
    placement_free(&p);
    CU_ASSERT_EQUAL(placement_create(spec, 5, 3, 1, 2, NULL, false, &p), ERR_USAGE); /* core 4 has no load */
    CU_ASSERT_EQUAL(placement_create(spec, 4, 2, 1, 2, NULL, false, &p), ERR_USAGE); /* there is no slice 2 */
    unlink(path);
}

UNIT_MAIN("machine", UNIT(a_machine_saved_scrambled_and_restored_goes_on_with_the_same_digest),
          UNIT(another_machine_takes_over_a_saved_one),
          UNIT(windows_cut_at_random_do_not_show_in_any_counter),
          UNIT(ideal_translation_is_never_slower_and_walks_nothing),
          UNIT(placements_give_every_lp_one_rank), UNIT(a_core_keeps_little_beside_its_modelled_arrays), UNIT(auto_gives_the_rank_of_the_kernel_fewer_slices),
          UNIT(auto_puts_channels_and_kernel_where_no_core_is), UNIT(ranks_without_a_processor_get_nothing_from_auto), UNIT(a_profile_is_balanced_longest_first))
