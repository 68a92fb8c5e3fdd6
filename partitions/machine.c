/*
 * See machine.h. Edges and where their least latency comes from:
 *
 *   core -> slice      L1 and L2 looked up, then the mesh's least distance
 *   slice -> core      tags and data of the bank, then the mesh
 *   slice <-> channel  tags, or the controller and the shortest access, then the mesh
 *   core -> kernel     exception entry            kernel -> core    os.kernel_to_core
 *   core -> control    sim.control_latency        mirrored writes   sim.mirror (an LLC round trip)
 */
#include "partitions/machine.h"

#include "partitions/perturb.h"

#include <stdlib.h>
#include <string.h>

#define NROWS(t) (uint32_t)(sizeof(t) / sizeof((t)[0]))

static const char *const order_words[] = {"windows", "queue", NULL};

static const struct param_desc sim_rows[] = {
    {.name = "epoch", .type = PARAM_TIME, .unit = "fs", .def = "100us", .min = FS_PER_US, .max = FS_PER_S,
     .offset = offsetof(struct sim_params, epoch_fs),
     .doc = "simulated time of one row of the statistics; marks and stops take effect at its end"},
    {.name = "seed", .type = PARAM_COUNT, .unit = "", .def = "1", .max = UINT64_MAX,
     .offset = offsetof(struct sim_params, seed), .doc = "seed of everything random in the machine"},
    {.name = "instructions", .type = PARAM_COUNT, .unit = "instruction", .def = "0", .max = UINT64_MAX,
     .offset = offsetof(struct sim_params, instructions),
     .doc = "limit per thread; 0: to the end of the workload"},
    {.name = "warmup", .type = PARAM_COUNT, .unit = "instruction", .def = "0", .max = UINT64_MAX,
     .offset = offsetof(struct sim_params, warmup),
     .doc = "instructions of each thread before the region of interest begins; 0: none"},
    {.name = "max_time", .type = PARAM_TIME, .unit = "fs", .def = "0", .max = UINT64_MAX,
     .offset = offsetof(struct sim_params, max_time_fs),
     .doc = "stops at the first epoch end at or after this simulated time; 0: no limit"},
    {.name = "control_latency", .type = PARAM_TIME, .unit = "fs", .def = "1us", .min = FS_PER_NS, .max = FS_PER_S,
     .offset = offsetof(struct sim_params, control_latency_fs),
     .doc = "of the edges to the control process (thread ends, marks)"},
    {.name = "fast_path", .type = PARAM_BOOL, .unit = "", .def = "true", .max = 1,
     .offset = offsetof(struct sim_params, fast_path),
     .doc = "common accesses take a short way through the core, with the same results; false: a test of that"},
    {.name = "cut_seed", .type = PARAM_COUNT, .unit = "", .def = "0", .max = UINT64_MAX,
     .offset = offsetof(struct sim_params, cut_seed),
     .doc = "windows are cut at random from this seed, a test of exactness; 0: they are not"},
    {.name = "order", .type = PARAM_ENUM, .unit = "", .def = "windows", .max = ORDER_QUEUE, .choices = order_words,
     .offset = offsetof(struct sim_params, order),
     .doc = "windows, as many ranks need them, or, in one process, all parts under one queue, to measure what windows "
            "cost; the statistics are the same"},
    {.name = "perturb", .type = PARAM_COUNT, .unit = "", .def = "0", .max = UINT64_MAX,
     .offset = offsetof(struct sim_params, perturb),
     .doc = "number of a repeat, from which its free frames, layout, thread starts and latencies are drawn; 0: the reference"},
    {.name = "perturb_memory", .type = PARAM_SIZE, .unit = "byte", .def = "256MiB", .max = UINT64_C(1) << 42,
     .offset = offsetof(struct sim_params, perturb_memory_bytes),
     .doc = "repeats: up to so much memory (at most 1/16 of it) is taken before the first thread begins; below 4 MiB: none"},
    {.name = "start_skew", .type = PARAM_TIME, .unit = "fs", .def = "1us", .max = FS_PER_S,
     .offset = offsetof(struct sim_params, start_skew_fs),
     .doc = "repeats: the threads that are there at the start begin up to that long after time 0"},
    {.name = "jitter_cycles", .type = PARAM_COUNT, .unit = "cycle", .def = "0", .max = 1000,
     .offset = offsetof(struct sim_params, jitter_cycles),
     .doc = "repeats: each line read from DRAM takes up to so many core cycles longer"},
};

void machine_param_groups(struct machine_params *p, struct param_group g[MACHINE_NGROUPS])
{
    const struct param_group head[] = {
        {"sim", "the run", sim_rows, NROWS(sim_rows), &p->sim},
        {"workload", "built-in workload", workload_param_rows, workload_nparam_rows, &p->workload},
    };
    const struct param_group tail[] = {
        {"noc", "on-chip interconnect", noc_param_rows, noc_param_nrows, &p->noc},
        {"llc", "last-level cache", llc_param_rows, llc_param_nrows, &p->llc},
        {"dram", "memory channels", dram_param_rows, dram_param_nrows, &p->dram},
        {"os", "MimicOS", kernel_param_rows, kernel_param_nrows, &p->kernel},
        {"fuzz", "fuzz process", fuzz_param_rows, fuzz_nparam_rows, &p->fuzz},
    };
    memcpy(g, head, sizeof head);
    core_param_groups(&p->core, g + NROWS(head));
    memcpy(g + NROWS(head) + CORE_NPARAM_GROUPS, tail, sizeof tail);
}

void machine_components(uint32_t ncores, uint32_t nslices, uint32_t nchannels, uint32_t nprograms,
                        struct stat_component out[NCOMPONENTS])
{
    out[COMPONENT_CORES] = (struct stat_component){"cores", "core", core_stat_rows, core_nstat_rows, ncores,
                                                   sizeof(struct core_stats) / sizeof(uint64_t)};
    out[COMPONENT_LLC] = (struct stat_component){"llc", "slice", llc_stat_rows, llc_stat_nrows, nslices,
                                                 LLC_STAT_NVALUES};
    out[COMPONENT_DRAM] = (struct stat_component){"dram", "channel", dram_stat_rows, dram_stat_nrows,
                                                  nchannels, DRAM_STAT_NVALUES};
    out[COMPONENT_KERNEL] = (struct stat_component){"kernel", "kernel", kernel_stat_rows, kernel_stat_nrows, 1,
                                                    kernel_stat_nvalues};
    out[COMPONENT_PROGRAMS] = (struct stat_component){"programs", "program", program_stat_rows, program_nstat_rows,
                                                      nprograms, sizeof(struct program_stats) / sizeof(uint64_t)};
}

uint32_t machine_ncores(const struct machine_params *p, uint32_t nthreads)
{
    return (uint32_t)(p->core.core.count != 0 ? p->core.core.count : nthreads);
}

/* ---- resolving -------------------------------------------------------------------------------- */

static enum err resolve(struct machine *m)
{
    const struct machine_params *p = m->params;
    m->ncores = machine_ncores(p, m->fe->nthreads);
    m->nslices = (uint32_t)(p->llc.slices ? p->llc.slices : m->ncores);
    m->nchannels = (uint32_t)p->dram.channels;
    enum err e = core_params_check(&p->core);
    if (e != ERR_OK)
        return e;
    noc_init(&m->noc, &p->noc, m->ncores, m->nslices, m->nchannels);
    struct llc_machine lm = {
        .ncores = m->ncores,
        .core_credits = (uint32_t)(p->core.l2.mshrs + p->core.l2.wb_buffers),
        .nchannels = m->nchannels,
        .channel_hash = p->dram.xor_hash != 0,
        .seed = p->sim.seed,
    };
    e = llc_configure(&p->llc, &lm, &m->llc.llc);
    if (e == ERR_OK)
        e = dram_configure(&p->dram, llc_dram_credits(&m->llc.llc), &m->dram.dram);
    m->llc.noc = m->dram.noc = &m->noc;
    return e;
}

static simtime_t core_request_min(const struct machine *m, simtime_t period)
{
    return core_min_request_cycles(&m->params->core) * period + noc_core_slice_min_fs(&m->noc);
}

/* Several programs instead of one. */
static enum err configure_mix(struct machine *m)
{
    const struct frontend *fe = m->fe;
    uint32_t n = fe->nprograms;
    m->program_flags = calloc(2 * (size_t)n, sizeof *m->program_flags);
    if (m->program_flags == NULL)
        return err_log(ERR_MEMORY, "no host memory for %u programs", n);
    for (uint32_t i = 0; i < n; i++) {
        m->program_flags[i] = fe->programs[i].all_start;
        m->program_flags[n + i] = fe->programs[i].vmas_inferred;
    }
    m->kernel.mix = true;
    m->kernel.nprocesses = n;
    m->kernel.space_of_thread = fe->space_of_thread;
    m->kernel.all_start_of = m->program_flags;
    m->kernel.infer_vmas_of = m->program_flags + n;
    m->kernel.control_lp = m->control_id;
    m->kernel.control_latency_fs = m->params->sim.control_latency_fs;
    m->control.nprograms = n;
    for (uint32_t i = 0; i < m->ncores; i++)
        m->cores[i].nprograms = n;
    return ERR_OK;
}

/* With os.premap the areas of a built-in workload exist at the start, and it does not map them. */
static enum err set_areas(struct machine *m)
{
    struct frontend *fe = m->fe;
    m->kernel.areas = m->areas;
    m->kernel.nareas = 0;
    fe->areas_mapped = m->params->kernel.premap != PREMAP_NONE && fe->nareas > 0;
    if (!fe->areas_mapped)
        return ERR_OK;
    if (fe->nareas > MACHINE_MAX_AREAS)
        return err_log(ERR_USAGE, "os.premap: %u areas, more than %u", fe->nareas, MACHINE_MAX_AREAS);
    for (uint32_t i = 0; i < fe->nareas; i++)
        memcpy(m->areas[m->kernel.nareas++].a, fe->areas[i].a, sizeof m->areas[0].a);
    return ERR_OK;
}

static enum err configure_lps(struct machine *m)
{
    const struct machine_params *p = m->params;
    simtime_t period = (FS_PER_S + p->core.core.clock_hz / 2) / p->core.core.clock_hz;
    m->control_id = 0;
    m->kernel_id = 1;
    m->first_core = 2;
    m->first_slice = m->first_core + m->ncores;
    m->first_channel = m->first_slice + m->nslices;
    m->fuzz_id = m->first_channel + m->nchannels;
    m->cores = calloc(m->ncores, sizeof *m->cores);
    m->hosts = calloc(m->ncores, sizeof *m->hosts);
    if (m->cores == NULL || m->hosts == NULL)
        return err_log(ERR_MEMORY, "no host memory for %u cores", m->ncores);
    for (uint32_t i = 0; i < m->ncores; i++) {
        m->hosts[i].fe = &m->timed.base;
        m->cores[i] = (struct core_cfg){
            .params = &p->core,
            .mmu = mmu_table[p->core.core.mmu],
            .noc = &m->noc,
            .ptmem = m->ptmem,
            .host = &m->hosts[i],
            .period_fs = period,
            .kernel_entry_fs = p->core.core.fault_entry_cycles * period,
            .kernel_lp = m->kernel_id,
            .control_lp = m->control_id,
            .first_slice_lp = m->first_slice,
            .nslices = m->nslices,
            .control_latency_fs = p->sim.control_latency_fs,
            .instruction_limit = p->sim.instructions,
            .warmup = p->sim.warmup,
            .epoch_fs = p->sim.epoch_fs,
            .fast_path = p->sim.fast_path && !mmu_table[p->core.core.mmu]->free_translation &&
                         p->core.core.overlap == OVERLAP_RECORDED,
        };
    }
    m->llc.core0 = m->first_core;
    m->llc.channel0 = m->first_channel;
    m->dram.slice0 = m->first_slice;
    perturb_dram(p, period, &m->dram);
    m->kernel = (struct kernel_cfg){
        .params = &p->kernel,
        .ncores = m->ncores,
        .nthreads = m->fe->nthreads,
        .nprocesses = 1,
        .first_core = m->first_core,
        .all_start = m->fe->all_start,
        .infer_vmas = m->fe->vmas_inferred,
        .mirror_latency_fs = core_request_min(m, period) + llc_lp_min_to_core_fs(&m->llc),
    };
    perturb_kernel(p, &m->kernel);
    enum err e = set_areas(m);
    if (e != ERR_OK)
        return e;
    m->control = (struct control_cfg){.nthreads = m->fe->nthreads,
                                      .warmup = p->sim.warmup != 0};
    m->fuzz = (struct fuzz_cfg){.params = &p->fuzz, .ncores = m->ncores, .first_core = m->first_core,
                                .kernel_lp = m->kernel_id, .memory_bytes = p->kernel.memory_size,
                                .to_core_fs = 20 * FS_PER_NS, .to_kernel_fs = 20 * FS_PER_NS};
    if (m->fe->nprograms > 0)
        e = configure_mix(m);
    if (e != ERR_OK)
        return e;
    const char *why = kernel_cfg_error(&m->kernel);
    return why != NULL ? err_log(ERR_USAGE, "%s", why) : ERR_OK;
}

/* ---- wiring ----------------------------------------------------------------------------------- */

static void add_classes(struct machine *m)
{
    struct engine *e = m->engine;
    engine_add_class(e, "control");
    engine_add_class(e, "kernel");
    engine_add_class(e, "core");
    engine_add_class(e, "slice");
    engine_add_class(e, "channel");
    engine_add_class(e, "fuzz");
    simtime_t period = m->cores[0].period_fs;
    engine_add_edge(e, MACHINE_CORES, MACHINE_SLICES, core_request_min(m, period));
    engine_add_edge(e, MACHINE_SLICES, MACHINE_CORES, llc_lp_min_to_core_fs(&m->llc));
    engine_add_edge(e, MACHINE_SLICES, MACHINE_CHANNELS, llc_lp_min_to_dram_fs(&m->llc));
    engine_add_edge(e, MACHINE_CHANNELS, MACHINE_SLICES, dram_lp_min_to_slice_fs(&m->dram));
    engine_add_edge(e, MACHINE_CORES, MACHINE_KERNEL, m->cores[0].kernel_entry_fs);
    engine_add_edge(e, MACHINE_KERNEL, MACHINE_CORES, m->params->kernel.kernel_to_core_fs);
    engine_add_edge(e, MACHINE_CORES, MACHINE_CONTROL, m->params->sim.control_latency_fs);
    if (m->kernel.mix)
        engine_add_edge(e, MACHINE_KERNEL, MACHINE_CONTROL, m->params->sim.control_latency_fs);
    engine_add_edge(e, MACHINE_FUZZ, MACHINE_CORES, m->fuzz.to_core_fs);
    engine_add_edge(e, MACHINE_FUZZ, MACHINE_KERNEL, m->fuzz.to_kernel_fs);
}

static enum err add_lps(struct machine *m)
{
    struct engine *e = m->engine;
    const struct placement *pl = &m->placement;
    lpid_t id;
    enum err err = engine_add_lp(e, &control_lp_ops, MACHINE_CONTROL, 0, &m->control,
                                 control_state_bytes(&m->control), pl->control, &id);
    if (err == ERR_OK)
        err = engine_add_lp(e, &kernel_lp_ops, MACHINE_KERNEL, 0, &m->kernel, kernel_state_bytes(&m->kernel),
                            pl->kernel, &id);
    size_t core_bytes = core_state_bytes(&m->params->core);
    for (uint32_t i = 0; err == ERR_OK && i < m->ncores; i++)
        err = engine_add_lp(e, &core_lp_ops, MACHINE_CORES, i, &m->cores[i], core_bytes, pl->core[i], &id);
    for (uint32_t i = 0; err == ERR_OK && i < m->nslices; i++)
        err = engine_add_lp(e, &llc_lp_ops, MACHINE_SLICES, i, &m->llc, llc_state_bytes(&m->llc.llc),
                            pl->slice[i], &id);
    for (uint32_t i = 0; err == ERR_OK && i < m->nchannels; i++)
        err = engine_add_lp(e, &dram_lp_ops, MACHINE_CHANNELS, i, &m->dram, dram_state_bytes(&m->dram.dram),
                            pl->channel[i], &id);
    if (err == ERR_OK && m->params->fuzz.seed != 0)
        err = engine_add_lp(e, &fuzz_lp_ops, MACHINE_FUZZ, 0, &m->fuzz, sizeof(struct fuzz_state), pl->fuzz, &id);
    return err;
}

static void hook_mirror(void *ctx, const struct mirror_write *w);
static void hook_floor(void *ctx, simtime_t floor);

enum err machine_create(const struct machine_params *p, struct frontend *fe, const char *partition,
                        struct transport *tr, struct engine_hooks *hooks, struct machine *m)
{
    *m = (struct machine){.own_params = *p, .params = &m->own_params, .fe = fe,
                          .tr = tr, .tables = PTIMAGE_NONE};
    timed_frontend_init(&m->timed, fe);
    perturb_params(&m->own_params);
    p = m->params;
    enum err e = resolve(m);
    if (e == ERR_OK && p->sim.order == ORDER_QUEUE && tr->nranks > 1)
        e = err_log(ERR_USAGE, "sim.order = queue is for one process, this run has %d ranks", tr->nranks);
    if (e == ERR_OK)
        e = placement_create(partition, m->ncores, m->nslices, m->nchannels, tr->nranks,
                             tr->has_processor, tr->rank == 0, &m->placement);
    if (e == ERR_OK)
        e = ptmem_create(&m->ptmem);
    if (e == ERR_OK)
        e = configure_lps(m);
    if (e != ERR_OK)
        return e;
    struct engine_config ec = {
        .epoch_fs = p->sim.epoch_fs,
        .mirror_latency_fs = m->kernel.mirror_latency_fs,
        .mirror_writer_class = MACHINE_KERNEL,
        .mirror_reader_class = MACHINE_CORES,
        .cut_seed = p->sim.cut_seed,
        .one_queue = p->sim.order == ORDER_QUEUE,
    };
    if (ec.mirror_latency_fs < p->kernel.kernel_to_core_fs)
        ec.mirror_latency_fs = m->kernel.mirror_latency_fs = p->kernel.kernel_to_core_fs;
    hooks->mirror = hook_mirror;
    hooks->mirror_floor = hook_floor;
    hooks->mirror_ctx = m->ptmem;
    e = engine_create(&ec, hooks, tr, &m->engine);
    if (e != ERR_OK)
        return e;
    add_classes(m);
    machine_components(m->ncores, m->nslices, m->nchannels, fe->nprograms, m->components);
    m->ncomponents = fe->nprograms > 0 ? NCOMPONENTS : COMPONENT_PROGRAMS;
    return add_lps(m);
}

void machine_destroy(struct machine *m)
{
    engine_destroy(m->engine);
    ptmem_destroy(m->ptmem);
    ptimage_close(&m->tables);
    placement_free(&m->placement);
    free(m->cores);
    free(m->hosts);
    free(m->program_flags);
}

static void hook_mirror(void *ctx, const struct mirror_write *w) { ptmem_write(ctx, w); }
static void hook_floor(void *ctx, simtime_t floor) { ptmem_floor(ctx, floor); }

struct lp *machine_lp(const struct machine *m, enum machine_component c, uint32_t i)
{
    const lpid_t first[COMPONENT_PROGRAMS] = {m->first_core, m->first_slice, m->first_channel, m->kernel_id};
    return engine_lp(m->engine, first[c] + i);
}

void machine_program_stats(const struct machine *m, struct program_stats *rows)
{
    const struct lp *kernel = engine_lp(m->engine, m->kernel_id);
    for (uint32_t i = 0; i < m->fe->nprograms; i++)
        rows[i] = kernel->state != NULL ? kernel_program(kernel->state, i)->stats : (struct program_stats){0};
    for (uint32_t i = 0; i < m->ncores; i++) {
        const struct lp *core = engine_lp(m->engine, m->first_core + i);
        if (core->state != NULL)
            core_program_add(core, rows);
    }
}

/* ---- flat copies ------------------------------------------------------------------------------ */

size_t machine_save_bytes(const struct machine *m)
{
    return sizeof(uint64_t) + ptmem_save_bytes(m->ptmem) + engine_save_bytes(m->engine);
}

void machine_save(const struct machine *m, void *buf)
{
    uint64_t table_bytes = ptmem_save_bytes(m->ptmem);
    memcpy(buf, &table_bytes, sizeof table_bytes);
    ptmem_save(m->ptmem, (char *)buf + sizeof table_bytes);
    engine_save(m->engine, (char *)buf + sizeof table_bytes + table_bytes);
}

enum err machine_load(struct machine *m, const void *buf, size_t nbytes)
{
    uint64_t table_bytes;
    if (nbytes < sizeof table_bytes)
        return err_log(ERR_RUNTIME, "saved machine of %zu bytes is too short", nbytes);
    memcpy(&table_bytes, buf, sizeof table_bytes);
    if (table_bytes > nbytes - sizeof table_bytes)
        return err_log(ERR_RUNTIME, "saved machine ends inside its page tables");
    enum err e = ptmem_load(m->ptmem, (const char *)buf + sizeof table_bytes, table_bytes);
    if (e != ERR_OK)
        return e;
    for (uint32_t i = 0; i < m->ncores; i++)
        m->hosts[i].loaded = false;
    return engine_load(m->engine, (const char *)buf + sizeof table_bytes + table_bytes,
                       nbytes - sizeof table_bytes - table_bytes);
}
