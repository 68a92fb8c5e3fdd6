/* Slices and channels as LPs, between fake cores under the real engine. */
#include "tests/unit/unit.h"

#include "memsys/dram_lp.h"
#include "memsys/llc_lp.h"
#include "pdes/engine.h"
#include "pdes/rng.h"

#include <string.h>

enum { CORE_CREDITS = 8 };

/* A fake core sends `nrequests` random requests, as its credits and a random pause allow. */
struct core_state {
    uint64_t nsent, nanswered, nwrong, latency_fs;
    simtime_t next; /* earliest next request */
    uint32_t credits;
    simtime_t sent_at[CORE_CREDITS];
    uint64_t request[CORE_CREDITS]; /* by token: line address | IS_READ or IS_WRITE; 0: free */
};
enum { IS_READ = 1, IS_WRITE = 2 };

struct core_cfg {
    const struct noc *noc;
    uint32_t nslices, nlines;
    lpid_t slice0;
    uint64_t nrequests, pause_fs;
    simtime_t floor_fs; /* no answer may be quicker */
};

static void core_start(struct lp *lp)
{
    struct core_state *s = lp->state;
    s->credits = CORE_CREDITS;
}

static void core_send(struct lp *lp, const struct core_cfg *c, struct core_state *s)
{
    uint64_t r = rng_draw(11, 1, lp->instance, 0, s->nsent);
    paddr_t line = {r % c->nlines << LINE_SHIFT};
    enum line_kind kind = (enum line_kind)(line.v >> LINE_SHIFT & 7) == 0 ? LINE_PT : LINE_DATA;
    uint32_t slice_idx = llc_slice_of(line, c->nslices), token = 0;
    while (s->request[token] != 0)
        token++;
    bool is_write = (r >> 40) % 3 == 0;
    unsigned flags = kind | ((r >> 50) % 2 ? MEM_FOR_WRITE : 0);
    s->request[token] = line.v | (is_write ? IS_WRITE : IS_READ);
    s->sent_at[token] = lp->now;
    s->credits--;
    s->nsent++;
    s->next = lp->now + 1 + rng_draw(11, 1, lp->instance, 1, s->nsent) % c->pause_fs;
    lp_send(lp, c->slice0 + slice_idx,
            lp->now + noc_core_slice_fs(c->noc, lp->instance, slice_idx),
            MSG_TYPE(is_write ? MEM_WRITEBACK : MEM_READ, flags), token, line.v, 0, 0, 0);
}

static simtime_t core_advance(struct lp *lp, simtime_t until)
{
    const struct core_cfg *c = lp->cfg;
    struct core_state *s = lp->state;
    while (s->nsent < c->nrequests && s->credits > 0) {
        simtime_t at = u64_max(s->next, lp->now);
        if (at >= until)
            return at;
        lp->now = at;
        core_send(lp, c, s);
    }
    return SIM_NEVER;
}

/* A write-back's acknowledgement names its line only. */
static uint32_t oldest_of(const struct core_state *s, uint64_t request)
{
    uint32_t best = 0;
    for (uint32_t t = 1; t < CORE_CREDITS; t++)
        if (s->request[t] == request &&
            (s->request[best] != request || s->sent_at[t] < s->sent_at[best]))
            best = t;
    return best;
}

static void core_handle(struct lp *lp, const struct msg *m)
{
    const struct core_cfg *c = lp->cfg;
    struct core_state *s = lp->state;
    uint64_t request = m->a[0] | (m->type == MEM_WB_ACK ? IS_WRITE : IS_READ);
    uint32_t token = m->type == MEM_WB_ACK ? oldest_of(s, request) : m->arg;
    s->nwrong += s->request[token] != request;
    s->nwrong += m->time < s->sent_at[token] + c->floor_fs;
    s->latency_fs += m->time - s->sent_at[token];
    s->request[token] = 0;
    s->nanswered++;
    s->credits++;
}

static const struct lp_ops core_ops = {
    .name = "fake core", .start = core_start, .handle = core_handle, .advance = core_advance};

static bool go_on(void *ctx, uint64_t epoch, simtime_t end)
{
    (void)ctx, (void)epoch, (void)end;
    return false;
}

static bool run_is_over(void *ctx)
{
    (void)ctx;
    return true;
}

struct machine {
    uint32_t ncores, nslices, nchannels, nlines;
    uint64_t nrequests, pause_fs, cut_seed;
};

struct result {
    uint64_t digest, latency_fs, nwindows;
    struct llc_stats llc;
    struct dram_stats dram;
};

static void add_values(void *sum, const void *x, size_t nvalues)
{
    for (size_t i = 0; i < nvalues; i++)
        ((uint64_t *)sum)[i] += ((const uint64_t *)x)[i];
}

static void collect(struct engine *e, const struct machine *m, struct result *r)
{
    uint64_t row[DRAM_STAT_NVALUES + LLC_STAT_NVALUES];
    for (lpid_t id = 0; id < engine_nlps(e); id++) {
        struct lp *lp = engine_lp(e, id);
        if (lp->ops->check)
            lp->ops->check(lp);
        if (id < m->ncores) {
            const struct core_state *s = lp->state;
            CU_ASSERT_EQUAL(s->nsent, m->nrequests);
            CU_ASSERT_EQUAL(s->nanswered, m->nrequests);
            CU_ASSERT_EQUAL(s->nwrong, 0);
            r->latency_fs += s->latency_fs;
            continue;
        }
        lp->ops->stats(lp, row);
        if (id < m->ncores + m->nslices)
            add_values(&r->llc, row, LLC_STAT_NVALUES);
        else
            add_values(&r->dram, row, DRAM_STAT_NVALUES);
    }
}

static struct result simulate(const struct machine *m)
{
    static struct noc noc;
    static struct core_cfg core_cfg;
    static struct llc_lp_cfg llc_cfg;
    static struct dram_lp_cfg dram_cfg;
    struct noc_params np = {2000000000, 3, 2, 1, 0};
    struct dram_params dp = {.preset = DRAM_DDR4_3200, .channels = m->nchannels, .refresh = 1,
                             .xor_hash = 1, .controller_fs = 10 * FS_PER_NS, .read_window = 32,
                             .write_window = 32, .write_high = 8, .write_low = 2, .hit_cap = 4};
    /* 16 sets of 4, so that everything is thrown out again and again. */
    struct llc_params lp = {.clock_hz = 2000000000, .slices = m->nslices, .size_bytes = 4096,
                            .ways = 4, .repl = REPL_LRU, .banks = 4, .tag_cycles = 6,
                            .data_cycles = 10, .bank_busy_cycles = 2, .dram_reads = 4,
                            .dram_writes = 4, .victims = 4};
    struct llc_machine lm = {m->ncores, CORE_CREDITS, m->nchannels, true, 5};
    struct result r = {0};

    noc_init(&noc, &np, m->ncores, m->nslices, m->nchannels);
    llc_cfg = (struct llc_lp_cfg){.noc = &noc, .core0 = 0, .channel0 = m->ncores + m->nslices};
    CU_ASSERT_EQUAL_FATAL(llc_configure(&lp, &lm, &llc_cfg.llc), ERR_OK);
    dram_cfg = (struct dram_lp_cfg){.noc = &noc, .slice0 = m->ncores};
    CU_ASSERT_EQUAL_FATAL(dram_configure(&dp, llc_dram_credits(&llc_cfg.llc), &dram_cfg.dram),
                          ERR_OK);
    core_cfg = (struct core_cfg){
        &noc, m->nslices, m->nlines, m->ncores, m->nrequests, m->pause_fs,
        2 * noc_core_slice_min_fs(&noc) + llc_min_answer_fs(&llc_cfg.llc)};

    struct engine *e;
    struct engine_config ec = {
        .epoch_fs = 10 * FS_PER_US, .mirror_reader_class = 99, .cut_seed = m->cut_seed};
    struct engine_hooks hooks = {.epoch = go_on, .idle = run_is_over};
    CU_ASSERT_EQUAL_FATAL(engine_create(&ec, &hooks, transport_self(), &e), ERR_OK);
    uint32_t cores = engine_add_class(e, "core"), slices = engine_add_class(e, "llc"),
             channels = engine_add_class(e, "dram");
    engine_add_edge(e, cores, slices, noc_core_slice_min_fs(&noc));
    engine_add_edge(e, slices, cores, llc_lp_min_to_core_fs(&llc_cfg));
    engine_add_edge(e, slices, channels, llc_lp_min_to_dram_fs(&llc_cfg));
    engine_add_edge(e, channels, slices, dram_lp_min_to_slice_fs(&dram_cfg));
    lpid_t id;
    for (uint32_t i = 0; i < m->ncores; i++)
        engine_add_lp(e, &core_ops, cores, i, &core_cfg, sizeof(struct core_state), 0, &id);
    for (uint32_t i = 0; i < m->nslices; i++)
        engine_add_lp(e, &llc_lp_ops, slices, i, &llc_cfg, llc_state_bytes(&llc_cfg.llc), 0, &id);
    for (uint32_t i = 0; i < m->nchannels; i++)
        engine_add_lp(e, &dram_lp_ops, channels, i, &dram_cfg, dram_state_bytes(&dram_cfg.dram), 0,
                      &id);
    CU_ASSERT_EQUAL(engine_run(e), ERR_OK);
    collect(e, m, &r);
    r.digest = engine_digest(e);
    r.nwindows = engine_host(e)->nwindows;
    engine_destroy(e);
    return r;
}

static void a_cold_read_through_all_parts_takes_the_hand_computed_time(void)
{
    /*
     * In ns: mesh 1.5; tags 3 -> 4.5; mesh -> 6.0; channel clock -> 6.25; closed row 30 -> 36.25;
     * controller 10; mesh -> 47.75; slice clock -> 48.0; data 5 -> 53.0; mesh -> 54.5.
     */
    struct machine m = {1, 1, 1, 1, 1, 1, 0};
    struct result r = simulate(&m);
    CU_ASSERT_EQUAL(r.latency_fs, UINT64_C(54500000));
    CU_ASSERT_EQUAL(r.dram.row_closed[LINE_PT], 1);
    CU_ASSERT_EQUAL(r.llc.misses[LINE_PT], 1);
}

static uint64_t sum_kinds(const uint64_t *x)
{
    uint64_t sum = 0;
    for (unsigned k = 0; k < LINE_KINDS; k++)
        sum += x[k];
    return sum;
}

static void random_traffic_conserves_requests_and_does_not_show_the_windows(void)
{
    static const struct machine machines[] = {
        {2, 1, 1, 200, 3000, 4000000, 0},
        {4, 3, 2, 2000, 3000, 1000000, 0},
        {5, 8, 3, 20000, 2000, 100000, 0},
    };
    for (size_t i = 0; i < sizeof machines / sizeof machines[0]; i++) {
        struct machine m = machines[i];
        struct result full = simulate(&m);
        CU_ASSERT_EQUAL(sum_kinds(full.llc.accesses) + sum_kinds(full.llc.writebacks),
                        m.ncores * m.nrequests);
        for (unsigned k = 0; k < LINE_KINDS; k++) {
            CU_ASSERT_EQUAL(full.llc.accesses[k],
                            full.llc.hits[k] + full.llc.misses[k] + full.llc.merged[k]);
            CU_ASSERT_EQUAL(full.llc.dram_reads[k], full.llc.misses[k]);
            CU_ASSERT_EQUAL(full.llc.dram_reads[k], full.dram.reads[k]);
            CU_ASSERT_EQUAL(full.llc.dram_writes[k], full.dram.writes[k]);
            CU_ASSERT_EQUAL(full.llc.lines[k] + full.llc.evictions[k],
                            full.llc.fills[k] + full.llc.wb_allocs[k]);
        }
        CU_ASSERT_TRUE(sum_kinds(full.llc.merged) > 0 && sum_kinds(full.llc.dram_writes) > 0);
        for (m.cut_seed = 1; m.cut_seed <= 5; m.cut_seed++) {
            struct result cut = simulate(&m);
            CU_ASSERT_EQUAL(cut.digest, full.digest);
            CU_ASSERT_EQUAL(memcmp(&cut.llc, &full.llc, sizeof cut.llc), 0);
            CU_ASSERT_EQUAL(memcmp(&cut.dram, &full.dram, sizeof cut.dram), 0);
            CU_ASSERT_TRUE(cut.nwindows > full.nwindows);
        }
    }
}

UNIT_MAIN("memsys/lp", UNIT(a_cold_read_through_all_parts_takes_the_hand_computed_time),
          UNIT(random_traffic_conserves_requests_and_does_not_show_the_windows))
