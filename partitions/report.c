/* See report.h. */
#include "partitions/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "output/metrics.h"
#include "partitions/host_time.h"
#include "partitions/not_modelled.h"
#include "partitions/syscalls.h"
#include "partitions/version.h"

static void host_row(const struct report *r, double *row)
{
    const struct machine *m = r->m;
    struct host_time_source source = {
        .engine = engine_host(m->engine),
        .nranks = m->tr->nranks,
        .wall_s = progress_seconds(&r->progress),
        .output_s = r->output_s,
        .load_ns = m->timed.load_ns,
        .core_classes = 1u << MACHINE_CORES,
        .memory_classes = 1u << MACHINE_SLICES | 1u << MACHINE_CHANNELS,
        .kernel_classes = 1u << MACHINE_KERNEL | 1u << MACHINE_CONTROL,
    };
    host_time_row(&source, row);
}

/* ---- rows of all ranks ------------------------------------------------------------------------ */

static int rank_of(const struct report *r, enum machine_component c, uint32_t i)
{
    return machine_lp(r->m, c, i)->rank;
}

static size_t program_bytes(const struct report *r)
{
    return r->m->fe->nprograms * sizeof(struct program_stats);
}

/*
 * Every rank sends its host row, then its LPs' rows, by component and instance, and its part of the
 * rows of programs.
 */
static size_t bytes_of_rank(const struct report *r, int rank)
{
    size_t bytes = NHOST * sizeof(double) + program_bytes(r);
    for (int c = 0; c < COMPONENT_PROGRAMS; c++)
        for (uint32_t i = 0; i < r->m->components[c].ninstances; i++)
            if (rank_of(r, (enum machine_component)c, i) == rank)
                bytes += r->m->components[c].nvalues * sizeof(uint64_t);
    return bytes;
}

static void fill_rows(struct report *r)
{
    host_row(r, (double *)r->send);
    uint64_t *at = r->send + NHOST;
    for (int c = 0; c < COMPONENT_PROGRAMS; c++)
        for (uint32_t i = 0; i < r->m->components[c].ninstances; i++) {
            struct lp *lp = machine_lp(r->m, (enum machine_component)c, i);
            if (lp->state == NULL)
                continue;
            lp->ops->stats(lp, at);
            at += r->m->components[c].nvalues;
        }
    machine_program_stats(r->m, (struct program_stats *)at);
}

/* Each value of a program is some ranks' and 0 on the others. */
static void add_programs(struct report *r, const uint64_t *row)
{
    for (size_t i = 0; i < program_bytes(r) / sizeof(uint64_t); i++)
        r->values[COMPONENT_PROGRAMS][i] += row[i];
}

static void sort_rows(struct report *r)
{
    const char *at = (const char *)r->receive;
    memset(r->values[COMPONENT_PROGRAMS], 0, program_bytes(r));
    for (int rank = 0; rank < r->m->tr->nranks; rank++) {
        memcpy(r->host + (size_t)rank * NHOST, at, NHOST * sizeof(double));
        const uint64_t *row = (const uint64_t *)at + NHOST;
        for (int c = 0; c < COMPONENT_PROGRAMS; c++) {
            size_t n = r->m->components[c].nvalues;
            for (uint32_t i = 0; i < r->m->components[c].ninstances; i++) {
                if (rank_of(r, (enum machine_component)c, i) != rank)
                    continue;
                memcpy(r->values[c] + i * n, row, n * sizeof(uint64_t));
                row += n;
            }
        }
        add_programs(r, row);
        at += r->rank_bytes[rank];
    }
}

/* Sum over the instances of one counter in the last boundary's values. */
static uint64_t total(const struct report *r, enum machine_component c, const char *name)
{
    const struct stat_component *s = &r->m->components[c];
    for (uint32_t row = 0; row < s->nrows; row++) {
        if (strcmp(s->rows[row].name, name) != 0)
            continue;
        uint64_t sum = 0;
        for (uint32_t i = 0; i < s->ninstances; i++)
            sum += r->values[c][i * s->nvalues + s->rows[row].offset / sizeof(uint64_t)];
        return sum;
    }
    SIM_ASSERT(false, "no statistic %s/%s", s->name, name);
    return 0;
}

/* ---- opening ---------------------------------------------------------------------------------- */

static char *now_text(char *buf, size_t size)
{
    time_t t = time(NULL);
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(buf, size, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return buf;
}

#define MAX_FACTS 24
static enum err open_recorder(struct report *r, const struct config *config, const struct report_options *o)
{
    struct machine *m = r->m;
    size_t nkeys = config_nkeys(config);
    struct recorder_key *keys = calloc(nkeys, sizeof *keys);
    char *text = config_dump(config, false);
    if (keys == NULL || text == NULL) {
        free(keys);
        free(text);
        return err_log(ERR_MEMORY, "no host memory for the recorded configuration");
    }
    for (size_t i = 0; i < nkeys; i++) {
        struct config_key_info k;
        config_key(config, i, &k);
        keys[i] = (struct recorder_key){k.name, k.desc->type, k.value, k.value_text};
    }
    char host[256] = "", start[32], roles[4096] = "", part[512];
    gethostname(host, sizeof host - 1);
    for (int rank = 0; rank < m->tr->nranks && strlen(roles) + sizeof part < sizeof roles; rank++)
        snprintf(roles + strlen(roles), sizeof roles - strlen(roles), "%d: %s\n", rank,
                 placement_describe(&m->placement, rank, part, sizeof part));
    const char *job = getenv("SLURM_JOB_ID");
    struct recorder_fact facts[MAX_FACTS] = {
        {"version", CONCERTO_VERSION, 0},
        {"git", concerto_git(), 0},
        {"compiler", __VERSION__, 0},
        {"command_line", o->command_line, 0},
        {"host", host, 0},
        {"start", now_text(start, sizeof start), 0},
        {"transport", m->tr->ops->name, 0},
        {"mpi_library", transport_mpi_version(), 0},
        {"nranks", NULL, (uint64_t)m->tr->nranks},
        {"partition", m->placement.name, 0},
        {"rank_roles", roles, 0},
        {"workload", m->fe->description, 0},
        {"trace", o->trace != NULL ? o->trace : "built-in", 0},
        {"seed", NULL, m->params->sim.seed},
        {"repeat", NULL, o->repeat},
        {"repeats", NULL, o->nrepeats},
        {"slurm_job_id", job != NULL ? job : "", 0},
    };
    size_t nfacts = 0;
    while (nfacts < MAX_FACTS && facts[nfacts].name != NULL)
        nfacts++;
    struct recorder_info info = {
        .path = o->output,
        .components = m->components,
        .ncomponents = m->ncomponents,
        .config_text = text,
        .keys = keys,
        .nkeys = nkeys,
        .provenance = facts,
        .nprovenance = nfacts,
        .nranks = (uint64_t)m->tr->nranks,
        .host_columns = host_columns,
        .nhost_columns = NHOST,
    };
    enum err e = recorder_open(&info, &r->recorder);
    free(keys);
    free(text);
    return e;
}

static enum err open_rank0(struct report *r)
{
    struct machine *m = r->m;
    size_t all = 0;
    for (int rank = 0; rank < m->tr->nranks; rank++)
        all += r->rank_bytes[rank];
    r->receive = calloc(1, all);
    r->host = calloc((size_t)m->tr->nranks * NHOST, sizeof(double));
    if (r->receive == NULL || r->host == NULL)
        return err_log(ERR_MEMORY, "no host memory for statistics");
    for (int c = 0; c < NCOMPONENTS; c++) {
        r->values[c] = calloc((size_t)m->components[c].ninstances * m->components[c].nvalues + 1, sizeof(uint64_t));
        if (r->values[c] == NULL)
            return err_log(ERR_MEMORY, "no host memory for statistics");
    }
    return ERR_OK;
}

enum err report_open(struct report *r, struct machine *m, const struct config *config,
                     const struct report_options *o)
{
    *r = (struct report){.m = m, .params = m->params, .options = *o};
    progress_init(&r->progress, stderr, m->tr->rank == 0 ? o->progress : PROGRESS_QUIET);
    size_t n = (size_t)m->tr->nranks;
    r->rank_bytes = calloc(n, sizeof *r->rank_bytes);
    if (r->rank_bytes == NULL)
        return err_log(ERR_MEMORY, "no host memory for statistics");
    for (int rank = 0; rank < m->tr->nranks; rank++)
        r->rank_bytes[rank] = bytes_of_rank(r, rank);
    r->send_bytes = r->rank_bytes[m->tr->rank];
    r->send = calloc(1, r->send_bytes);
    if (r->send == NULL)
        return err_log(ERR_MEMORY, "no host memory for statistics");
    if (m->tr->rank != 0)
        return ERR_OK;
    enum err e = open_rank0(r);
    return e == ERR_OK ? open_recorder(r, config, o) : e;
}

/* ---- during the run --------------------------------------------------------------------------- */

static void show_progress(struct report *r)
{
    const struct sim_params *sim = &r->params->sim;
    uint64_t done = total(r, COMPONENT_CORES, "instructions");
    uint64_t goal = r->m->fe->ninstr;
    uint64_t limit = sim->instructions * r->m->fe->nthreads;
    if (limit != 0 && (goal == 0 || limit < goal))
        goal = limit;
    if (r->m->fe->nprograms > 0)
        goal = 0; /* programs start anew until the last one has ended */
    struct progress_state s = {.done = done, .goal = goal, .instructions = done, .nepochs = r->nepochs,
                               .now = r->end};
    progress_update(&r->progress, &s);
}

void report_epoch(struct report *r, simtime_t end)
{
    struct transport *tr = r->m->tr;
    fill_rows(r);
    tr->ops->gather(tr, r->send, r->send_bytes, r->receive, r->rank_bytes);
    r->end = end;
    r->nepochs++;
    if (tr->rank != 0)
        return;
    sort_rows(r);
    const uint64_t *values[NCOMPONENTS];
    for (int c = 0; c < NCOMPONENTS; c++)
        values[c] = r->values[c];
    double start = progress_seconds(&r->progress);
    enum err e = recorder_epoch(r->recorder, end, values, r->host);
    r->output_s += progress_seconds(&r->progress) - start;
    if (e != ERR_OK) {
        progress_clear(&r->progress);
        recorder_close(r->recorder, NULL);
        err_end(e); /* the recorder has named the file and why */
    }
    show_progress(r);
}

/* Entries ever filled, as of the last boundary. */
static struct warmth warmth_now(const struct report *r)
{
    return (struct warmth){total(r, COMPONENT_CORES, "stlb/entries_used"),
                           total(r, COMPONENT_CORES, "l2/lines_used"), total(r, COMPONENT_LLC, "ways_used")};
}

/* The region begins at the first roi-begin, or without one at the end of the warm-up. */
static void note_warmth(struct report *r, const char *name)
{
    bool begins = strcmp(name, "roi-begin") == 0;
    if (strcmp(name, "roi-end") == 0)
        r->warm_end = warmth_now(r);
    else if (!r->roi_begun)
        r->warm_begin = warmth_now(r);
    r->roi_begun = r->roi_begun || begins;
    r->region_ended = strcmp(name, "roi-end") == 0;
}

void report_mark(struct report *r, const char *name)
{
    if (r->recorder != NULL)
        note_warmth(r, name);
    if (r->recorder != NULL)
        recorder_mark(r->recorder, name, r->nepochs);
}

/* ---- the end ---------------------------------------------------------------------------------- */

static struct summary_check frame_check(const struct report *r)
{
    return (struct summary_check){"frames used + free = all",
                                  total(r, COMPONENT_KERNEL, "frames/used") +
                                      total(r, COMPONENT_KERNEL, "frames/free"),
                                  r->params->kernel.memory_size >> PAGE_SHIFT};
}

/* The last epoch's own: what a program had of the cores is what the cores did. */
static size_t fill_program_checks(const struct report *r, struct summary_check *c)
{
    if (r->m->fe->nprograms == 0)
        return 0;
    c[0] = (struct summary_check){"instructions of programs = of cores", total(r, COMPONENT_PROGRAMS, "instructions"),
                                  total(r, COMPONENT_CORES, "instructions")};
    c[1] = (struct summary_check){"cycles of programs = of cores", total(r, COMPONENT_PROGRAMS, "cycles"),
                                  total(r, COMPONENT_CORES, "cycles")};
    return 2;
}

static size_t fill_checks(const struct report *r, struct summary_check *c)
{
    size_t n = fill_program_checks(r, c);
    if (r->in_flight) { /* what is under way is on one side of the other laws only */
        c[n++] = frame_check(r);
        return n;
    }
    const enum machine_component cores = COMPONENT_CORES, llc = COMPONENT_LLC, dram = COMPONENT_DRAM,
                                 kernel = COMPONENT_KERNEL;
    uint64_t misses = total(r, cores, "l2/data_misses") + total(r, cores, "l2/code_misses") +
                      total(r, cores, "l2/pt_misses");
    uint64_t accesses = total(r, llc, "accesses/data") + total(r, llc, "accesses/code") +
                        total(r, llc, "accesses/pt");
    uint64_t wbs = total(r, llc, "writebacks/data") + total(r, llc, "writebacks/code") +
                   total(r, llc, "writebacks/pt");
    uint64_t reads = total(r, llc, "dram_reads/data") + total(r, llc, "dram_reads/code") +
                     total(r, llc, "dram_reads/pt");
    uint64_t l1_prefetches = total(r, cores, "l1d/prefetch/issued"), l2_prefetches = total(r, cores, "l2/prefetch/issued");
    uint64_t requests = misses + total(r, cores, "l1d/prefetch/from_llc") + l2_prefetches;
    c[n++] = (struct summary_check){"LLC reads = L2 misses (data, code, page tables) + prefetches", accesses, requests};
    c[n++] = (struct summary_check){"answers to cores = L2 misses + prefetches", total(r, cores, "l2/answers"), requests};
    c[n++] = (struct summary_check){"L1D prefetches = useful + late + useless + unused", l1_prefetches,
                                    total(r, cores, "l1d/prefetch/useful") + total(r, cores, "l1d/prefetch/late") +
                                        total(r, cores, "l1d/prefetch/useless") + total(r, cores, "l1d/prefetch/unused")};
    c[n++] = (struct summary_check){"L2 prefetches = useful + late + useless + unused", l2_prefetches,
                                    total(r, cores, "l2/prefetch/useful") + total(r, cores, "l2/prefetch/late") +
                                        total(r, cores, "l2/prefetch/useless") + total(r, cores, "l2/prefetch/unused")};
    c[n++] = (struct summary_check){"LLC write-backs = lines sent by L2", wbs, total(r, cores, "l2/writebacks")};
    c[n++] = (struct summary_check){"write-backs acknowledged = sent", total(r, cores, "l2/writeback_acks"), wbs};
    c[n++] = (struct summary_check){"DRAM reads = LLC requests", total(r, dram, "reads/data") + total(r, dram, "reads/code") + total(r, dram, "reads/pt"), reads};
    c[n++] = (struct summary_check){"walk references = sum over levels", total(r, cores, "ptw/refs"),
                                    total(r, cores, "ptw/refs_l1") + total(r, cores, "ptw/refs_l2") +
                                        total(r, cores, "ptw/refs_llc") + total(r, cores, "ptw/refs_dram")};
    c[n++] = (struct summary_check){"kernel answers = requests", total(r, kernel, "answers"), total(r, kernel, "requests")};
    c[n++] = frame_check(r);
    return n;
}

static void fill_facts(const struct report *r, const struct summary_source *region,
                       const struct report_ending *end, struct warning_facts *f)
{
    *f = (struct warning_facts){
        .m = r->m,
        .region = region,
        .begin = r->warm_begin,
        .end = r->region_ended ? r->warm_end : warmth_now(r),
        .stopped = end->why,
        .nlimited = end->nlimited,
        .nstarted = end->nstarted,
        .ninstructions = total(r, COMPONENT_CORES, "instructions"),
        .nsegv = total(r, COMPONENT_KERNEL, "faults/segv"),
        .nunknown = total(r, COMPONENT_CORES, "trace/unknown_events"),
        .nkilled = r->m->fe->nprograms > 0 ? total(r, COMPONENT_PROGRAMS, "threads/killed") : 0,
    };
}

/* ---- system calls ----------------------------------------------------------------------------- */

#define NCALLS (CORE_SYSCALLS + 1)
/* Of all ranks, into calls[NCALLS] of rank 0. */
static void gather_calls(const struct report *r, uint64_t calls[NCALLS])
{
    struct transport *tr = r->m->tr;
    size_t n = (size_t)tr->nranks;
    uint64_t *all = calloc(n * NCALLS, sizeof *all);
    size_t *bytes = calloc(n, sizeof *bytes);
    if (all == NULL || bytes == NULL)
        err_fatal(ERR_MEMORY, "no host memory for the system calls of %zu ranks", n);
    memset(calls, 0, NCALLS * sizeof *calls);
    for (uint32_t i = 0; i < r->m->ncores; i++) {
        const struct core *c = machine_lp(r->m, COMPONENT_CORES, i)->state;
        for (uint32_t k = 0; c != NULL && k < NCALLS; k++)
            calls[k] += c->syscalls[k];
    }
    for (size_t rank = 0; rank < n; rank++)
        bytes[rank] = NCALLS * sizeof *calls;
    tr->ops->gather(tr, calls, NCALLS * sizeof *calls, all, bytes);
    if (tr->rank == 0)
        memset(calls, 0, NCALLS * sizeof *calls);
    for (size_t i = 0; tr->rank == 0 && i < n * NCALLS; i++)
        calls[i % NCALLS] += all[i];
    free(all);
    free(bytes);
}

/* Items "syscalls/NAME"; at most as many as there are calls. */
static size_t list_calls(const uint64_t calls[NCALLS], struct summary_item *items, char names[][40])
{
    size_t n = 0;
    for (uint32_t k = 0; k < NCALLS; k++) {
        char buf[32];
        if (calls[k] == 0)
            continue;
        snprintf(names[k], sizeof names[k], "syscalls/%s", syscall_name(k, buf, sizeof buf));
        items[n++] = (struct summary_item){names[k], "1", calls[k], "system calls at a fixed cost"};
    }
    return n;
}

static void take_metrics(const struct summary_source *s, double *out)
{
    for (size_t i = 0; i < nmetrics; i++)
        if (!metric_value(&metrics[i], s->total, s->ctx, &out[i]))
            out[i] = NAN;
}

/* Repeats other than the first take one line; the table of all comes at the end. */
static void print_repeat(const struct report *r, const struct summary_source *s)
{
    double ipc;
    printf("repeat %-4u", r->options.repeat);
    if (metric_value(&metrics[0], s->total, s->ctx, &ipc))
        printf(" %s %.4f,", metrics[0].name, ipc);
    printf(" %.2f s wall\n", progress_seconds(&r->progress));
}

static void print_alone(const struct report *r)
{
    struct mix_pass p = r->options.mix->together[0];
    printf("alone       %s: IPC %.4f, %.2f s wall\n", r->m->fe->programs[0].name,
           p.time_fs == 0 ? 0.0 : (double)p.instructions * (double)r->m->cores[0].period_fs / (double)p.time_fs,
           progress_seconds(&r->progress));
}

/* The results of a mix, and their items; returns how many. */
static size_t take_mix(struct report *r, struct summary_item *items)
{
    struct mix_report *mix = r->options.mix;
    if (mix == NULL)
        return 0;
    mix_report_take(mix, (const struct program_stats *)r->values[COMPONENT_PROGRAMS]);
    return mix_items(mix, items);
}

/* What the modelled arrays of all cores and slices take of the host's memory. */
static double array_bytes(const struct machine *m)
{
    return (double)m->ncores * (double)core_array_bytes(&m->params->core) +
           (double)m->nslices * (double)sarray_bytes(&m->llc.llc.array);
}

static void print_premap(const struct report *r)
{
    double pages = (double)total(r, COMPONENT_KERNEL, "premapped_pages");
    if (pages > 0)
        printf("            %.0f pages premapped before that in %.2f s: %.3f us a page\n", pages,
               r->m->premap_seconds, r->m->premap_seconds / pages * 1e6);
}

static enum err close_rank0(struct report *r, const struct report_ending *ending, const uint64_t calls[NCALLS])
{
    static char call_names[NCALLS][40];
    static char texts[WARNINGS_MAX][WARNING_BYTES];
    static struct summary_item items[2 + NCALLS + MIX_ITEMS(MAX_PROGRAMS)];
    struct summary_check checks[16];
    char end[32];
    const char *warnings[WARNINGS_MAX], *why = ending->why;
    struct recorder_fact facts[] = {{"end", now_text(end, sizeof end), 0},
                                    {"stopped_by", why != NULL ? why : "end of the workload", 0}};
    items[0] = (struct summary_item){"cores", "1", r->m->ncores, "simulated cores"};
    items[1] = (struct summary_item){"threads", "1", r->m->fe->nthreads, "threads of the workload"};
    size_t ncalls = list_calls(calls, items + 2, call_names), nmix = take_mix(r, items + 2 + ncalls);
    struct recorder_end e = {
        .complete = why == NULL,
        .provenance = facts,
        .nprovenance = 2,
        .items = items,
        .nitems = 2 + ncalls + nmix,
        .checks = checks,
        .nchecks = why == NULL ? fill_checks(r, checks) : 0,
        .warnings = warnings,
        .not_modelled = not_modelled,
        .nnot_modelled = nnot_modelled,
        .host_seconds = progress_seconds(&r->progress),
    };
    progress_end(&r->progress);
    struct summary_source source;
    struct warning_facts wf;
    recorder_summary(r->recorder, &e, &source);
    fill_facts(r, &source, ending, &wf);
    e.nwarnings = warnings_find(&wf, texts);
    for (size_t i = 0; i < e.nwarnings; i++)
        warnings[i] = texts[i];
    recorder_summary(r->recorder, &e, &source);
    source.title = r->m->fe->description;
    source.nitems = 2 + ncalls; /* those of programs are in the table */
    if (r->options.metrics != NULL)
        take_metrics(&source, r->options.metrics);
    if (r->options.silent) {
        /* whoever reads the event log speaks */
    } else if (r->options.alone) {
        print_alone(r);
    } else if (r->options.repeat == 0) {
        summary_print(stdout, &source);
        if (r->options.mix != NULL)
            mix_print(stdout, r->options.mix, r->m->cores[0].period_fs);
        host_time_print(stdout, r->host, r->m->tr->nranks, total(r, COMPONENT_CORES, "instructions"), array_bytes(r->m));
        print_premap(r);
    } else {
        print_repeat(r, &source);
    }
    fflush(stdout);
    enum err err = recorder_close(r->recorder, &e);
    mix_items_free(items + 2 + ncalls, nmix);
    for (size_t i = 0; i < e.nchecks; i++)
        if (checks[i].left != checks[i].right)
            err = err_log(ERR_RUNTIME, "conservation is broken: %s (%llu, %llu)", checks[i].name,
                          (unsigned long long)checks[i].left, (unsigned long long)checks[i].right);
    return err;
}

enum err report_close(struct report *r, const struct report_ending *ending)
{
    uint64_t calls[NCALLS];
    enum err e = ERR_OK;
    gather_calls(r, calls);
    if (r->recorder != NULL)
        e = close_rank0(r, ending, calls);
    for (int c = 0; c < NCOMPONENTS; c++)
        free(r->values[c]);
    free(r->send);
    free(r->receive);
    free(r->rank_bytes);
    free(r->host);
    return e;
}
