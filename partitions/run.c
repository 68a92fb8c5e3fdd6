/*
 * See run.h. Rank 0 reads files and options and broadcasts the effective configuration as text, so
 * that the other ranks need no files but the trace; errors are found before any simulation starts.
 */
#include "partitions/run.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "configs/config.h"
#include "cores/trace_open.h"
#include "output/metrics.h"
#include "output/run_file.h"
#include "partitions/explain.h"
#include "partitions/launch.h"
#include "partitions/machine.h"
#include "partitions/mix_run.h"
#include "partitions/options.h"
#include "partitions/parallelism.h"
#include "partitions/perturb.h"
#include "partitions/premap_share.h"
#include "partitions/report.h"

struct run {
    struct run_options options;
    struct machine_params params;
    struct param_group groups[MACHINE_NGROUPS];
    struct config *config;
    struct transport *tr;
    struct frontend *fe;
    struct machine machine;
    struct report report;
    struct eventlog log;     /* MODE_LOG */
    struct explain explain; /* MODE_EXPLAIN */
    struct parallelism parallelism; /* when profiled */
    bool profiled;
    const char *stopped; /* why the run ended before the workload did; NULL: it did not */
    uint64_t nlimited; /* threads stopped by their instruction limit */
    uint64_t nstarted; /* threads that began */
    unsigned repeat;   /* of --repeat */
    unsigned bracket;  /* of --brackets */
    double *metrics;   /* of this repeat; NULL: only one run */
    bool drained;      /* nothing was pending at the end */
    struct mix_run mix;
    struct mix_report *mix_report; /* of the run in progress */
    bool alone;        /* it is of one program of a mix */
    int argc;
    char **argv;
};

static volatile sig_atomic_t g_signal;
static void on_signal(int sig) { g_signal = sig; }

/* ---- configuration ---------------------------------------------------------------------------- */

static enum err load_files(struct run *r)
{
    const struct run_options *o = &r->options;
    char dir[4096];
    config_set_preset_dir(r->config, launch_dir("configs", dir, sizeof dir));
    if (o->config_from != NULL) {
        char *text;
        enum err e = stats_file_config(o->config_from, &text);
        if (e != ERR_OK)
            return e;
        config_load_text(r->config, text, o->config_from);
        free(text);
    }
    for (int i = 0; i < o->nfiles; i++)
        config_load_file(r->config, o->files[i]);
    for (int i = 0; i < o->nsets; i++)
        config_set(r->config, o->sets[i]);
    return config_finish(r->config);
}

/* Rank 0 says whether to go on; the others follow it without a word. */
static enum err agree(struct run *r, enum err e)
{
    uint32_t code = (uint32_t)e;
    r->tr->ops->bcast(r->tr, &code, sizeof code);
    return (enum err)code;
}

static enum err share_text(struct run *r)
{
    char *text = r->tr->rank == 0 ? config_dump(r->config, false) : NULL;
    uint64_t size = text != NULL ? strlen(text) + 1 : 0;
    r->tr->ops->bcast(r->tr, &size, sizeof size);
    if (r->tr->rank != 0)
        text = calloc(1, size + 1);
    if (text == NULL)
        return err_log(ERR_MEMORY, "no host memory for the configuration");
    r->tr->ops->bcast(r->tr, text, size);
    enum err e = ERR_OK;
    if (r->tr->rank != 0) {
        e = config_load_text(r->config, text, "rank 0");
        if (e == ERR_OK)
            e = config_finish(r->config);
    }
    free(text);
    return e;
}

static enum err configure(struct run *r)
{
    machine_param_groups(&r->params, r->groups);
    enum err e = config_create(r->groups, MACHINE_NGROUPS, &r->config);
    if (e == ERR_OK && r->tr->rank == 0)
        e = load_files(r);
    e = agree(r, e);
    if (e == ERR_OK && r->tr->nranks > 1)
        e = share_text(r);
    return e;
}

/* ---- workload --------------------------------------------------------------------------------- */

static enum err open_mix(struct run *r, bool builtin)
{
    struct mix_run *m = &r->mix;
    if (builtin)
        return err_log(ERR_USAGE, "both --mix and the built-in workload '%s' are given",
                       workload_names[r->params.workload.kind]);
    m->passes = r->params.workload.passes;
    m->relocate = perturb_layout(&r->params);
    enum err e = mix_words_parse(r->options.mix, m->words, MAX_PROGRAMS, &m->nwords);
    return e == ERR_OK ? mix_words_open(m->words, m->nwords, m->passes, &m->relocate, &r->fe) : e;
}

static enum err open_here(struct run *r)
{
    struct run_options *o = &r->options;
    bool builtin = r->params.workload.kind != WORKLOAD_none;
    if (o->mix != NULL)
        return open_mix(r, builtin);
    if (o->ntraces > 0 && builtin)
        return err_log(ERR_USAGE, "both a trace and the built-in workload '%s' are given",
                       workload_names[r->params.workload.kind]);
    if (o->ntraces == 0 && !builtin)
        return err_log(ERR_USAGE, "nothing to run: give --trace FILE, --workload NAME (gups, stream, chase, graph, xsbench), or --mix LIST");
    if (!builtin) {
        struct relocate_params p = perturb_layout(&r->params);
        enum err e = frontend_open_trace(o->traces, (size_t)o->ntraces, &r->fe);
        if (e != ERR_OK)
            return e;
        r->fe->no_pages = r->params.core.l1i.enabled != 0; /* the lines of code tell of them */
        return relocate_wrap(&r->fe, &p);
    }
    uint64_t n = r->params.core.core.count;
    return builtin_open(&r->params.workload, n ? (uint32_t)n : 1, &r->fe);
}

/* Rank 0 first, so that what is wrong with the trace is said once; then the others. */
static enum err open_workload(struct run *r)
{
    enum err e = r->tr->rank == 0 ? open_here(r) : ERR_OK;
    e = agree(r, e);
    if (e == ERR_OK && r->tr->rank != 0)
        e = open_here(r);
    uint64_t nfailed = r->tr->ops->sum(r->tr, e != ERR_OK);
    return e != ERR_OK || nfailed == 0 ? e : ERR_TRACE;
}

/* ---- hooks ------------------------------------------------------------------------------------ */

static struct control_state *local_control(struct run *r)
{
    return engine_lp(r->machine.engine, r->machine.control_id)->state;
}

/* False on rank 0 when whoever reads the event log has seen enough. */
static bool read_log(struct run *r)
{
    switch (r->options.mode) {
    case MODE_LOG:
        return eventlog_epoch(&r->log);
    case MODE_EXPLAIN:
        return explain_epoch(&r->explain);
    default:
        return true;
    }
}

static bool hook_epoch(void *ctx, uint64_t epoch, simtime_t end)
{
    (void)epoch;
    struct run *r = ctx;
    report_epoch(&r->report, end);
    struct control_state *c = local_control(r);
    uint64_t mine = c != NULL ? control_decide(c) : 0;
    mine |= g_signal != 0 ? UINT64_C(1) << 40 : 0; /* any rank may be told to stop */
    mine |= read_log(r) ? 0 : UINT64_C(1) << 32;
    uint64_t all = r->tr->ops->sum(r->tr, mine);
    if (all & CONTROL_WARM_END)
        report_mark(&r->report, "warmup-end");
    if (all & CONTROL_ROI_BEGIN)
        report_mark(&r->report, "roi-begin");
    if (all & CONTROL_ROI_END)
        report_mark(&r->report, "roi-end");
    if (all & CONTROL_PROGRAMS_END)
        return true; /* the others are in the middle of a pass */
    if (all >> 40) {
        r->stopped = "signal";
        return true;
    }
    if (all >> 32) {
        r->stopped = "explained";
        return true;
    }
    uint64_t limit = r->params.sim.max_time_fs;
    if (limit != 0 && end >= limit) {
        r->stopped = "sim.max_time";
        return true;
    }
    return false;
}

/* Threads that began and now wait for something; known on the kernel's rank. */
static uint64_t count_waiting(struct run *r)
{
    struct lp *kernel = engine_lp(r->machine.engine, r->machine.kernel_id);
    uint64_t n = 0;
    for (uint32_t i = 0; kernel->state != NULL && i < r->fe->nthreads; i++) {
        uint32_t state = sched_thread(kernel_sched(kernel->state), i)->state;
        n += state != THREAD_NEW && state != THREAD_EXITED;
    }
    return n;
}

/*
 * Nothing is pending anywhere: every thread that began has ended, or those left wait for each other.
 * A thread that waits for one that was stopped by its instruction limit has ended, too.
 */
static bool hook_idle(void *ctx)
{
    struct run *r = ctx;
    r->drained = true;
    if (r->fe->nprograms > 0)
        return true; /* each program has ended: the kernel stops a run when one cannot */
    const struct control_state *c = local_control(r);
    uint64_t mine = count_waiting(r) << 42;
    mine += c == NULL ? 0 : c->ndone | c->nlimited << 21;
    const uint64_t field = (UINT64_C(1) << 21) - 1;
    uint64_t all = r->tr->ops->sum(r->tr, mine);
    uint64_t ndone = all & field;
    r->nlimited = all >> 21 & field;
    r->nstarted = ndone + (all >> 42);
    if (all >> 42 == 0 || r->nlimited > 0)
        return true;
    struct lp *kernel = engine_lp(r->machine.engine, r->machine.kernel_id);
    if (kernel->state != NULL) {
        char text[1024] = "";
        if (kernel->ops->describe)
            kernel->ops->describe(kernel, text, sizeof text);
        err_fatal(ERR_RUNTIME, "deadlock: %llu of %u threads have ended and the others wait for each other: %s",
                  (unsigned long long)ndone, r->fe->nthreads, text);
    }
    r->tr->ops->barrier(r->tr); /* until the kernel's rank has spoken and ends us */
    return true;
}

/* ---- the run ---------------------------------------------------------------------------------- */

static void check_lps(struct run *r)
{
    for (uint32_t i = 0; r->stopped == NULL && r->drained && i < engine_nlps(r->machine.engine); i++) {
        struct lp *lp = engine_lp(r->machine.engine, i);
        if (lp->state != NULL && lp->ops->check != NULL && (r->nlimited == 0 || i != r->machine.kernel_id))
            lp->ops->check(lp);
    }
}

static char *joined(int argc, char **argv)
{
    size_t size = 16;
    for (int i = 0; i < argc; i++)
        size += strlen(argv[i]) + 1;
    char *text = calloc(1, size);
    if (text == NULL)
        err_fatal(ERR_MEMORY, "no host memory for the command line");
    strcpy(text, "concerto");
    for (int i = 0; i < argc; i++) {
        strcat(text, " ");
        strcat(text, argv[i]);
    }
    return text;
}

static enum err open_log(struct run *r)
{
    const struct run_options *o = &r->options;
    if (o->mode == MODE_LOG)
        return eventlog_open(&r->log, &r->machine,
                             &(struct eventlog_request){.events = o->event, .page = o->page, .core = o->core,
                                                        .time = o->time, .json = o->json});
    if (o->mode == MODE_EXPLAIN)
        return explain_open(&r->explain, &r->machine,
                            &(struct explain_request){.vaddr = o->vaddr, .nth_miss = o->nth_miss, .time = o->time,
                                                      .core = o->core});
    return ERR_OK;
}

static enum err close_log(struct run *r)
{
    enum err e = ERR_OK;
    if (r->options.mode == MODE_LOG) {
        if (r->tr->rank == 0 && r->log.nwritten == 0)
            fprintf(stderr, "concerto: log: no event of the run is of that kind, page, core and time\n");
        eventlog_close(&r->log);
    } else {
        e = r->tr->rank == 0 ? explain_print(&r->explain, stdout) : ERR_OK;
        e = agree(r, e);
        explain_close(&r->explain);
    }
    return e;
}

/* A mix's programs alone are not profiled. */
static enum err open_profile(struct run *r)
{
    const struct run_options *o = &r->options;
    struct network network;
    r->profiled = o->profile && !r->alone;
    if (!r->profiled)
        return ERR_OK;
    if (r->machine.params->sim.order == ORDER_QUEUE)
        return err_log(ERR_USAGE, "--profile-parallelism measures windows, and a run with sim.order = queue has none (nearest: windows)");
    enum err e = o->network != NULL ? network_parse(o->network, &network) : ERR_OK;
    return e == ERR_OK ? parallelism_open(&r->parallelism, &r->machine, o->network != NULL ? &network : NULL) : e;
}

static enum err simulate(struct run *r, int argc, char **argv)
{
    struct engine_hooks hooks = {.ctx = r, .epoch = hook_epoch, .idle = hook_idle};
    r->drained = false;
    enum err e = agree(r, machine_create(&r->params, r->fe, r->options.partition, r->tr, &hooks, &r->machine));
    if (e == ERR_OK)
        e = machine_premap(&r->machine);
    if (e != ERR_OK)
        return e;
    char *command = joined(argc, argv), path[4096];
    const char *output = r->options.output;
    struct report_options ro = {
        .output = output != NULL ? run_set_path(output, r->repeat, path, sizeof path) : NULL,
        .progress = r->options.quiet ? PROGRESS_QUIET : r->options.progress ? PROGRESS_FORCED : PROGRESS_AUTO,
        .command_line = command,
        .repeat = r->repeat,
        .nrepeats = r->options.nrepeats,
        .metrics = r->metrics,
        .silent = r->options.mode != MODE_RUN || r->bracket != 0,
        .trace = r->options.ntraces > 0 ? r->options.traces[0] : r->options.mix,
        .mix = r->mix_report,
        .alone = r->alone,
    };
    e = agree(r, report_open(&r->report, &r->machine, r->config, &ro));
    free(command);
    if (e == ERR_OK)
        e = agree(r, open_log(r));
    if (e != ERR_OK)
        return e;
    e = open_profile(r);
    if (e != ERR_OK)
        return e;
    if (r->profiled)
        parallelism_begin(&r->parallelism);
    e = engine_run(r->machine.engine);
    if (r->profiled)
        parallelism_end(&r->parallelism);
    check_lps(r);
    r->report.in_flight = !r->drained;
    if (e == ERR_OK)
        e = agree(r, report_close(&r->report, &(struct report_ending){r->stopped, r->nlimited, r->nstarted}));
    uint64_t digest = r->tr->ops->sum(r->tr, engine_digest(r->machine.engine));
    if (e == ERR_OK && r->options.mode != MODE_RUN)
        e = close_log(r);
    else if (e == ERR_OK && r->tr->rank == 0)
        printf("digest      %016llx (of all messages; the same on any number of ranks)\n",
               (unsigned long long)digest);
    if (e == ERR_OK && r->profiled)
        e = agree(r, parallelism_close(&r->parallelism, r->report.end, output));
    return e == ERR_OK && r->stopped != NULL && strcmp(r->stopped, "signal") == 0 ? ERR_STOPPED : e;
}

/* ---- several programs ------------------------------------------------------------------------- */

/* One of the runs that a mix takes. */
static enum err simulate_part(void *ctx, struct frontend *fe, const char *output, struct mix_report *report, bool alone)
{
    struct run *r = ctx;
    struct frontend *mix = r->fe;
    const char *mix_output = r->options.output;
    r->fe = fe;
    r->options.output = output;
    r->mix_report = report;
    r->alone = alone;
    enum err e = simulate(r, r->argc, r->argv);
    machine_destroy(&r->machine);
    r->machine = (struct machine){0};
    r->fe = mix;
    r->options.output = mix_output;
    if (e != ERR_OK || r->stopped == NULL || !alone)
        return e;
    return r->tr->rank != 0 ? ERR_STOPPED
                            : err_log(ERR_STOPPED, "a program was stopped in its run alone (%s)", r->stopped);
}

static enum err simulate_mix(struct run *r, int argc, char **argv)
{
    struct mix_run *m = &r->mix;
    char cores[64];
    SIM_ASSERT(r->fe != NULL, "a mix without a front end");
    snprintf(cores, sizeof cores, "core.count=%u", machine_ncores(&r->params, r->fe->nthreads));
    config_set(r->config, cores); /* runs of fewer threads have the same machine */
    enum err e = config_finish(r->config);
    r->argc = argc;
    r->argv = argv;
    m->output = r->options.output;
    m->alone_files = r->options.alone;
    m->no_alone = r->options.no_alone;
    m->tr = r->tr;
    m->simulate = simulate_part;
    m->ctx = r;
    char *text = config_dump(r->config, false);
    if (e == ERR_OK && text == NULL)
        e = err_log(ERR_MEMORY, "no host memory for the configuration");
    m->config_text = text;
    if (e == ERR_OK)
        e = mix_run(m, r->fe);
    free(text);
    return e;
}

static enum err run_one(struct run *r, int argc, char **argv)
{
    enum err e = open_workload(r);
    if (e != ERR_OK)
        return e;
    return r->options.mix != NULL ? simulate_mix(r, argc, argv) : simulate(r, argc, argv);
}

static void close_machine(struct run *r)
{
    machine_destroy(&r->machine);
    r->machine = (struct machine){0};
    if (r->fe != NULL)
        r->fe->ops->close(r->fe);
    r->fe = NULL;
}

/* ---- repeats ---------------------------------------------------------------------------------- */

static enum err set_perturb(struct run *r, unsigned i)
{
    char text[64];
    snprintf(text, sizeof text, "sim.perturb=%u", i);
    return config_set(r->config, text);
}

/* Run i is the one that sim.perturb=i alone gives; the machine is built anew for each. */
static enum err run_repeats(struct run *r, int argc, char **argv)
{
    unsigned n = r->options.nrepeats;
    if (r->params.sim.perturb != 0)
        return r->tr->rank != 0 ? ERR_USAGE
                                : err_log(ERR_USAGE, "run: --repeat sets sim.perturb itself, but it is %" PRIu64
                                          " already", r->params.sim.perturb);
    double *all = calloc((size_t)n * nmetrics, sizeof *all), *row = calloc(nmetrics, sizeof *row);
    enum err e = all != NULL && row != NULL ? ERR_OK : err_log(ERR_MEMORY, "no host memory for %u repeats", n);
    r->metrics = row;
    for (unsigned i = 0; i < n && e == ERR_OK; i++) {
        r->repeat = i;
        r->stopped = NULL;
        e = set_perturb(r, i);
        if (e == ERR_OK)
            e = run_one(r, argc, argv);
        close_machine(r);
        for (size_t m = 0; all != NULL && m < nmetrics; m++)
            all[m * n + i] = row[m];
    }
    if (e == ERR_OK && r->tr->rank == 0) {
        printf("\n%u runs, sim.perturb 0 to %u (Student's t)\n", n, n - 1);
        metrics_print(stdout, all, n);
    }
    r->metrics = NULL;
    free(all);
    free(row);
    return e;
}

/* ---- brackets --------------------------------------------------------------------------------- */

/* In the order of the runs; the first one is the run itself. */
static const char *const bracket_names[] = {"recorded", "serial", "independent"};
enum { NBRACKETS = 3 };

/* "out.h5" -> "out.serial.h5" */
static const char *bracket_path(const char *output, unsigned i, char *buf, size_t size)
{
    size_t n = strlen(output);
    bool h5 = n > 3 && strcmp(output + n - 3, ".h5") == 0;
    snprintf(buf, size, "%.*s.%s.h5", (int)(h5 ? n - 3 : n), output, bracket_names[i]);
    return i == 0 ? output : buf;
}

static void print_brackets(const double *values)
{
    printf("\nBrackets: what the order of loads can do          %12s %12s %12s\n", bracket_names[1], bracket_names[0],
           bracket_names[2]);
    for (size_t m = 0; m < nmetrics; m++)
        printf("  %-20s %-26s %12.4f %12.4f %12.4f\n", metrics[m].name, metrics[m].unit, values[m * NBRACKETS + 1],
               values[m * NBRACKETS], values[m * NBRACKETS + 2]);
}

/* The run, then with all loads serial, then with all independent: bounds of what overlap can do. */
static enum err run_brackets(struct run *r, int argc, char **argv)
{
    const char *output = r->options.output;
    char path[4096], key[64];
    double row[64] = {0}, values[64 * NBRACKETS];
    enum err e = ERR_OK;
    SIM_ASSERT(nmetrics <= 64, "%zu metrics", nmetrics);
    r->metrics = row;
    for (unsigned i = 0; i < NBRACKETS && e == ERR_OK; i++) {
        r->bracket = i;
        r->stopped = NULL;
        r->options.output = output != NULL ? bracket_path(output, i, path, sizeof path) : NULL;
        snprintf(key, sizeof key, "core.overlap=%s", bracket_names[i]);
        e = config_set(r->config, key);
        if (e == ERR_OK)
            e = run_one(r, argc, argv);
        close_machine(r);
        for (size_t m = 0; m < nmetrics; m++)
            values[m * NBRACKETS + i] = row[m];
    }
    if (e == ERR_OK && r->tr->rank == 0)
        print_brackets(values);
    r->options.output = output;
    r->metrics = NULL;
    return e;
}

static enum err run_all(struct run *r, int argc, char **argv)
{
    enum err e = configure(r);
    if (e != ERR_OK)
        return e;
    if (r->options.dump_config) {
        char *text = r->tr->rank == 0 ? config_dump(r->config, true) : NULL;
        if (text != NULL)
            fputs(text, stdout);
        free(text);
        return ERR_OK;
    }
    if (r->options.brackets)
        return run_brackets(r, argc, argv);
    return r->options.nrepeats > 1 ? run_repeats(r, argc, argv) : run_one(r, argc, argv);
}

int run_main(int argc, char **argv)
{
    static struct run r = {.machine = {.tables = PTIMAGE_INIT}};
    enum err e = options_parse(argc, argv, &r.options);
    if (e != ERR_OK)
        return err_exit_code(e);
    if (r.options.help) {
        options_help(stdout, r.options.mode);
        if (r.options.mode == MODE_LOG) {
            puts("\ngroups, kinds of events:");
            eventlog_describe(stdout);
        }
        return 0;
    }
    if (r.options.ranks != NULL && !transport_mpi_launched())
        return launch_mpirun(r.options.ranks, argc, argv);
    r.tr = transport_self();
    if (transport_mpi_launched()) {
        e = transport_mpi_open(&argc, &argv, &r.tr);
        if (e != ERR_OK)
            return err_exit_code(e);
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    e = run_all(&r, argc, argv);
    close_machine(&r);
    config_destroy(r.config);
    options_free(&r.options);
    r.tr->ops->close(r.tr);
    return err_exit_code(e);
}
