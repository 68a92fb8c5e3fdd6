/*
 * Multi-programmed runs: the words of --mix, the front end of several programs, the metrics, and
 * whole machines that run a mix.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "configs/config.h"
#include "cores/mix.h"
#include "partitions/machine.h"
#include "partitions/mix_metrics.h"
#include "partitions/mix_report.h"
#include "partitions/mix_words.h"
#include "tests/unit/unit.h"

/* ---- words ----------------------------------------------------------------------------------- */

static struct mix_word words[MAX_PROGRAMS];

/* The number of words; 0: refused. Messages are not shown. */
static uint32_t parse(const char *text)
{
    uint32_t n = 0;
    fflush(stderr);
    int keep = dup(2), null = open("/dev/null", O_WRONLY);
    dup2(null, 2);
    enum err e = mix_words_parse(text, words, MAX_PROGRAMS, &n);
    fflush(stderr);
    dup2(keep, 2);
    close(keep);
    close(null);
    return e == ERR_OK ? n : 0;
}

static void words_name_programs_sizes_threads_and_copies(void)
{
    CU_ASSERT_EQUAL_FATAL(parse("gups:4GiB,chase:1MiB*3,stream:96KiB:2,Makefile*2,gups:4096:64*256"), 0);
    CU_ASSERT_EQUAL_FATAL(parse("gups:4GiB,chase:1MiB*3,stream:96KiB:2,Makefile*2"), 4);
    CU_ASSERT_EQUAL(words[0].kind, WORKLOAD_gups);
    CU_ASSERT_EQUAL(words[0].size_bytes, UINT64_C(4) << 30);
    CU_ASSERT_EQUAL(words[0].nthreads, 1);
    CU_ASSERT_EQUAL(words[0].ncopies, 1);
    CU_ASSERT_EQUAL(words[1].kind, WORKLOAD_chase);
    CU_ASSERT_EQUAL(words[1].ncopies, 3);
    CU_ASSERT_STRING_EQUAL(words[1].name, "chase:1MiB");
    CU_ASSERT_EQUAL(words[2].kind, WORKLOAD_stream);
    CU_ASSERT_EQUAL(words[2].nthreads, 2);
    CU_ASSERT_EQUAL(words[3].kind, WORKLOAD_none); /* a file, of whatever kind */
    CU_ASSERT_STRING_EQUAL(words[3].name, "Makefile");
    CU_ASSERT_EQUAL(words[3].ncopies, 2);
}

static void words_that_mean_nothing_are_refused(void)
{
    static const char *const bad[] = {
        "", ",", "gups:1MiB,", "gups", "gups:", "gups:1QiB", "gups:100", "gups:1MiB:0", "gups:1MiB:x",
        "gups:1MiB:5000", "gups:1MiB*0", "gups:1MiB*257", "gups:1MiB*", "gups:1MiB*200,chase:1MiB*57",
        "no/such/file.vmt", "gubs:1MiB", "gups:1MiB:2:2"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CU_ASSERT_EQUAL(parse(bad[i]), 0);
    CU_ASSERT_EQUAL(parse("gups:1MiB*200,chase:1MiB*56"), 2);
}

/* ---- the front end --------------------------------------------------------------------------- */

static struct frontend *open_words(const char *text)
{
    struct frontend *fe = NULL;
    uint32_t n = parse(text);
    CU_ASSERT_FATAL(n > 0);
    CU_ASSERT_EQUAL_FATAL(mix_words_open(words, n, 1, &(struct relocate_params){.instance = 0}, &fe), ERR_OK);
    return fe;
}

static void threads_follow_program_after_program_with_the_blocks_of_each(void)
{
    struct frontend *mix = open_words("chase:64KiB,gups:64KiB:3,chase:64KiB"), *gups = NULL;
    struct workload_params p = {.kind = WORKLOAD_gups, .size_bytes = 64 << 10, .passes = 1};
    CU_ASSERT_EQUAL_FATAL(builtin_open(&p, 3, &gups), ERR_OK);
    CU_ASSERT_EQUAL(mix->nthreads, 5);
    CU_ASSERT_EQUAL(mix->nprograms, 3);
    static const uint32_t space_of[] = {0, 1, 1, 1, 2};
    CU_ASSERT_EQUAL(memcmp(mix->space_of_thread, space_of, sizeof space_of), 0);
    CU_ASSERT_STRING_EQUAL(mix->programs[0].name, "chase:64KiB");
    CU_ASSERT_STRING_EQUAL(mix->programs[2].name, "chase:64KiB#2");
    CU_ASSERT_EQUAL(mix->programs[1].first_thread, 1);
    CU_ASSERT_EQUAL(mix->ninstr, 2 * 3 * 1024 + 8 * (4 * 8192 / 3) * 3);
    for (uint32_t t = 0; t < 3; t++)
        for (uint64_t block = 0; block < 5; block++) {
            struct fe_block a, b;
            CU_ASSERT_EQUAL_FATAL(mix->ops->load(mix, 1 + t, block, &a), ERR_OK);
            CU_ASSERT_EQUAL_FATAL(gups->ops->load(gups, t, block, &b), ERR_OK);
            CU_ASSERT_EQUAL(a.nacc, b.nacc);
            CU_ASSERT_EQUAL(memcmp(a.piece, b.piece, a.nacc * sizeof *a.piece), 0);
            CU_ASSERT_EQUAL(a.nev, b.nev);
        }
    gups->ops->close(gups);
    mix->ops->close(mix);
}

/* ---- metrics --------------------------------------------------------------------------------- */

static void antt_stp_and_fairness_follow_their_definitions(void)
{
    /*
     * Three programs: slowed down 1.25, 2 and 4 times. ANTT = 7.25 / 3 = 2.416667; STP = 0.8 + 0.5 +
     * 0.25 = 1.55; fairness = 0.25 / 0.8 = 0.3125.
     */
    const struct mix_pass alone[] = {{1000, 4000}, {500, 900}, {UINT64_C(1) << 50, UINT64_C(1) << 60}};
    const struct mix_pass together[] = {{1000, 5000}, {500, 1800}, {UINT64_C(1) << 50, UINT64_C(1) << 62}};
    struct mix_metrics m;
    CU_ASSERT_EQUAL(mix_slowdown_ppm(&alone[0], &together[0]), 1250000);
    CU_ASSERT_EQUAL(mix_slowdown_ppm(&alone[1], &together[1]), 2000000);
    CU_ASSERT_EQUAL(mix_slowdown_ppm(&alone[2], &together[2]), 4000000);
    CU_ASSERT_FATAL(mix_metrics_of(alone, together, 3, &m));
    CU_ASSERT_EQUAL(m.antt_ppm, 2416667);
    CU_ASSERT_EQUAL(m.stp_ppm, 1550000);
    CU_ASSERT_EQUAL(m.fairness_ppm, 312500);
    /* Nobody is disturbed: ANTT 1, STP n, fairness 1. */
    CU_ASSERT_FATAL(mix_metrics_of(alone, alone, 3, &m));
    CU_ASSERT_EQUAL(m.antt_ppm, 1000000);
    CU_ASSERT_EQUAL(m.stp_ppm, 3000000);
    CU_ASSERT_EQUAL(m.fairness_ppm, 1000000);
}

static void passes_cut_by_a_limit_compare_by_instructions_per_time(void)
{
    const struct mix_pass alone = {1000, 4000}, cut = {500, 4000}, none = {0, 0};
    struct mix_metrics m;
    CU_ASSERT_EQUAL(mix_slowdown_ppm(&alone, &cut), 2000000);
    CU_ASSERT_EQUAL(mix_slowdown_ppm(&alone, &none), 0);
    CU_ASSERT_FALSE(mix_metrics_of(&alone, &none, 1, &m)); /* a pass that did not end has no metrics */
    CU_ASSERT_FALSE(mix_metrics_of(&none, &alone, 1, &m));
}

static void items_name_programs_and_leave_out_what_is_unknown(void)
{
    struct frontend *fe = open_words("chase:64KiB*2");
    static struct mix_report r;
    r = (struct mix_report){.fe = fe};
    const struct program_stats rows[2] = {{.first_instructions = 10, .first_end_fs = 50, .passes = 3},
                                          {.first_instructions = 10, .first_end_fs = 40, .passes = 1}};
    struct summary_item items[MIX_ITEMS(2)];
    mix_report_take(&r, rows);
    CU_ASSERT_EQUAL(mix_items(&r, items), 4);
    CU_ASSERT_STRING_EQUAL(items[0].name, "program/chase:64KiB/first_pass_fs");
    CU_ASSERT_EQUAL(items[0].value, 50);
    CU_ASSERT_STRING_EQUAL(items[3].name, "program/chase:64KiB#2/first_pass_instructions");
    mix_items_free(items, 4);
    r.has_alone = true;
    r.alone[0] = r.alone[1] = (struct mix_pass){10, 20};
    CU_ASSERT_EQUAL(mix_items(&r, items), MIX_ITEMS(2));
    CU_ASSERT_STRING_EQUAL(items[10].name, "mix/antt");
    CU_ASSERT_EQUAL(items[10].value, 2250000); /* (2.5 + 2) / 2 */
    CU_ASSERT_EQUAL(items[11].value, 900000);  /* 0.4 + 0.5 */
    CU_ASSERT_EQUAL(items[12].value, 800000);
    mix_items_free(items, MIX_ITEMS(2));
    fe->ops->close(fe);
}

/* ---- whole machines -------------------------------------------------------------------------- */

static struct machine_params params;

static void configure(const char *const *sets, size_t nsets)
{
    static struct param_group groups[MACHINE_NGROUPS];
    struct config *config;
    machine_param_groups(&params, groups);
    CU_ASSERT_EQUAL_FATAL(config_create(groups, MACHINE_NGROUPS, &config), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(config_set(config, "os.memory_size=256MiB"), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(config_set(config, "sim.epoch=20us"), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(config_set(config, "os.cost.exec=10us"), ERR_OK);
    for (size_t i = 0; i < nsets; i++)
        CU_ASSERT_EQUAL_FATAL(config_set(config, sets[i]), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(config_finish(config), ERR_OK);
    config_destroy(config);
}

#define MOST_PROGRAMS 8
struct run {
    struct machine m;
    struct frontend *fe;
    struct program_stats programs[MOST_PROGRAMS];
    uint64_t save_at, epochs, nchecked;
    uint64_t instructions, cycles; /* of all cores */
    bool ended;
};

static struct kernel *kernel_of(struct run *r) { return machine_lp(&r->m, COMPONENT_KERNEL, 0)->state; }

static struct pt_entry next_leaf(struct run *r, uint32_t asid, uint64_t va)
{
    static struct krun scratch;
    struct mm *mm = kernel_mm(kernel_of(r));
    struct mm_run run = {mm, &scratch, NULL};
    struct pt_store st = mm_store(&run);
    const struct pt_format *f = mm_format(mm);
    struct pt_entry e;
    uint64_t end = radix_va_mask(f->levels) + 1;
    if (va >= end || !f->next(f, &st, mm_root(mm, asid), (vaddr_t){va}, end, &e))
        e.value = 0;
    return e;
}

/* Frames of pages that a handler has unmapped and not yet freed. */
static uint64_t deferred_frames(struct run *r, uint32_t core)
{
    struct buddy *b = mm_buddy(kernel_mm(kernel_of(r)));
    uint64_t n = 0;
    for (uint32_t at = kernel_core(kernel_of(r), core)->op.free_head; at != 0;
         at = *buddy_owner_link(b, (pfn_t){at - 1})) {
        unsigned order = 0;
        CU_ASSERT_FATAL(buddy_is_allocated(b, (pfn_t){at - 1}, &order));
        n += *buddy_owner_tag(b, (pfn_t){at - 1}) == 0 ? UINT64_C(1) << order : 0;
    }
    return n;
}

/* Every frame in use is reserved, a table node, a page of exactly one program, or about to be freed. */
static void check_frames(struct run *r)
{
    static uint8_t owner[65536];
    struct mm *mm = kernel_mm(kernel_of(r));
    uint64_t npages = 0;
    memset(owner, 0, sizeof owner);
    for (uint32_t i = 0; i < r->m.ncores; i++)
        npages += deferred_frames(r, i);
    for (uint32_t asid = 0; asid < r->fe->nprograms; asid++)
        for (struct pt_entry e = next_leaf(r, asid, 0); e.value != 0;
             e = next_leaf(r, asid, e.va + (UINT64_C(1) << e.shift))) {
            uint64_t n = UINT64_C(1) << (e.shift - PAGE_SHIFT), pfn = pte_pfn(e.value).v;
            npages += n;
            for (uint64_t i = 0; i < n; i++) {
                CU_ASSERT_EQUAL_FATAL(owner[pfn + i], 0);
                owner[pfn + i] = (uint8_t)(asid + 1);
            }
        }
    CU_ASSERT_EQUAL_FATAL(mm_buddy(mm)->nused, BUDDY_BLOCK_FRAMES + mm->nnodes + npages);
    r->nchecked++;
}

static bool hook_epoch(void *ctx, uint64_t epoch, simtime_t end)
{
    struct run *r = ctx;
    static union {
        struct core_stats s;
        uint64_t row[sizeof(struct core_stats) / sizeof(uint64_t)];
    } u;
    (void)end;
    r->epochs++;
    r->instructions = r->cycles = 0;
    for (uint32_t i = 0; i < r->m.ncores; i++) {
        core_lp_ops.stats(machine_lp(&r->m, COMPONENT_CORES, i), u.row);
        r->instructions += u.s.instructions;
        r->cycles += u.s.cycles;
    }
    machine_program_stats(&r->m, r->programs);
    check_frames(r);
    if (r->save_at != 0 && epoch == r->save_at) {
        size_t bytes = machine_save_bytes(&r->m);
        char *saved = malloc(bytes);
        machine_save(&r->m, saved);
        for (uint32_t i = 0; i < engine_nlps(r->m.engine); i++) {
            struct lp *lp = engine_lp(r->m.engine, i);
            memset(lp->state, 0x5a, lp->state_bytes);
            inbox_free(&lp->inbox);
            lp->seq = lp->now = 12345;
        }
        CU_ASSERT_EQUAL(machine_load(&r->m, saved, bytes), ERR_OK);
        free(saved);
    }
    unsigned decision = control_decide(engine_lp(r->m.engine, r->m.control_id)->state);
    r->ended = (decision & CONTROL_PROGRAMS_END) != 0;
    return r->ended;
}

static bool hook_idle(void *ctx)
{
    (void)ctx;
    return true;
}

static uint64_t run_mix(struct run *r, const char *text)
{
    static struct engine_hooks hooks;
    hooks = (struct engine_hooks){.ctx = r, .epoch = hook_epoch, .idle = hook_idle};
    r->fe = open_words(text);
    CU_ASSERT_FATAL(r->fe->nprograms <= MOST_PROGRAMS);
    CU_ASSERT_EQUAL_FATAL(machine_create(&params, r->fe, "single", transport_self(), &hooks, &r->m), ERR_OK);
    CU_ASSERT_EQUAL(engine_run(r->m.engine), ERR_OK);
    return engine_digest(r->m.engine);
}

static void close_run(struct run *r)
{
    machine_destroy(&r->m);
    r->fe->ops->close(r->fe);
}

static void copies_at_the_same_addresses_never_share_a_frame(void)
{
    static const char *const sets[] = {"os.thp=never"};
    configure(sets, 1);
    struct run r = {0};
    run_mix(&r, "gups:256KiB*3");
    uint64_t nsame = 0;
    for (struct pt_entry e = next_leaf(&r, 0, 0); e.value != 0; e = next_leaf(&r, 0, e.va + PAGE_BYTES))
        for (uint32_t asid = 1; asid < 3; asid++) {
            struct pt_entry other = next_leaf(&r, asid, e.va);
            if (other.value == 0 || other.va != e.va)
                continue; /* in the middle of a pass */
            nsame++;
            CU_ASSERT_NOT_EQUAL(pte_pfn(e.value).v, pte_pfn(other.value).v);
        }
    CU_ASSERT(nsame >= 64); /* 65 pages each: they are at the same addresses */
    CU_ASSERT(r.nchecked > 3);
    close_run(&r);
}

static void frames_come_back_over_hundreds_of_restarts(void)
{
    static const char *const sets[] = {"os.cost.process_exit=1us", "os.cost.exec=1us", "os.thp=never"};
    configure(sets, 3);
    struct run r = {0};
    run_mix(&r, "chase:4KiB*2,stream:12KiB:2,chase:2MiB");
    CU_ASSERT(r.ended);
    CU_ASSERT(r.programs[0].restarts > 50 && r.programs[2].restarts > 50);
    CU_ASSERT_EQUAL(r.programs[3].passes, 1);
    CU_ASSERT(r.nchecked > 100); /* each with all frames accounted for */
    for (uint32_t i = 0; i < 4; i++) {
        const struct program_stats *p = &r.programs[i];
        CU_ASSERT(p->passes - p->restarts <= 1);
        CU_ASSERT_EQUAL(p->pass_instructions, p->passes * p->first_instructions);
        CU_ASSERT(p->instructions >= p->pass_instructions &&
                  p->instructions <= p->pass_instructions + p->first_instructions);
    }
    CU_ASSERT_EQUAL(r.programs[0].first_instructions, 3 * 64);
    CU_ASSERT_EQUAL(r.programs[2].first_instructions, 9 * 512);
    close_run(&r);
}

static void shares_of_programs_add_up_to_what_the_cores_did(void)
{
    static const char *const sets[] = {"core.count=2", "sim.instructions=5000"};
    configure(sets, 2);
    struct run r = {0};
    run_mix(&r, "gups:64KiB:2,chase:64KiB,stream:48KiB");
    uint64_t instructions = r.instructions, cycles = r.cycles;
    CU_ASSERT(cycles > 0);
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT(r.programs[i].passes >= 1);
        instructions -= r.programs[i].instructions;
        cycles -= r.programs[i].cycles;
    }
    CU_ASSERT_EQUAL(r.programs[0].first_instructions, 10000); /* the limit is per thread */
    CU_ASSERT_EQUAL(r.programs[1].first_instructions, 3072);  /* ends before it */
    CU_ASSERT_EQUAL(instructions, 0);
    CU_ASSERT_EQUAL(cycles, 0);
    close_run(&r);
}

static void a_mix_saved_scrambled_and_restored_goes_on_with_the_same_digest(void)
{
    static const char *const sets[] = {"core.count=3", "fuzz.seed=3", "fuzz.events=300", "sim.cut_seed=7"};
    configure(sets, 3);
    struct run plain = {0};
    uint64_t want = run_mix(&plain, "gups:64KiB:2,chase:16KiB*2,stream:48KiB");
    CU_ASSERT_FATAL(plain.epochs > 8);
    close_run(&plain);
    configure(sets, 4);
    for (uint64_t at = 1; at < plain.epochs - 1; at += plain.epochs / 4) {
        struct run r = {.save_at = at};
        CU_ASSERT_EQUAL(run_mix(&r, "gups:64KiB:2,chase:16KiB*2,stream:48KiB"), want);
        CU_ASSERT_EQUAL(r.epochs, plain.epochs);
        CU_ASSERT_EQUAL(memcmp(r.programs, plain.programs, sizeof r.programs), 0);
        close_run(&r);
    }
}

UNIT_MAIN("partitions/mix", UNIT(words_name_programs_sizes_threads_and_copies),
          UNIT(words_that_mean_nothing_are_refused),
          UNIT(threads_follow_program_after_program_with_the_blocks_of_each),
          UNIT(antt_stp_and_fairness_follow_their_definitions),
          UNIT(passes_cut_by_a_limit_compare_by_instructions_per_time),
          UNIT(items_name_programs_and_leave_out_what_is_unknown),
          UNIT(copies_at_the_same_addresses_never_share_a_frame),
          UNIT(frames_come_back_over_hundreds_of_restarts),
          UNIT(shares_of_programs_add_up_to_what_the_cores_did),
          UNIT(a_mix_saved_scrambled_and_restored_goes_on_with_the_same_digest))
