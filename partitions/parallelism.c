/* See parallelism.h. */
#include "partitions/parallelism.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "partitions/scale.h"

#define MAX_RANKS 1024
#define LOG_ENTRIES (1u << 21) /* loads of LPs in the log, about */

static double wall_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static double cpu_now(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

static enum loss kind_of(uint32_t cls)
{
    return cls == MACHINE_CORES ? LOSS_CORES : cls == MACHINE_SLICES ? LOSS_SLICES : cls == MACHINE_CHANNELS ? LOSS_CHANNELS : LOSS_KERNEL;
}

enum err parallelism_open(struct parallelism *p, struct machine *m, const struct network *network)
{
    *p = (struct parallelism){.m = m};
    uint32_t n = engine_nlps(m->engine), windows = LOG_ENTRIES / n;
    p->kinds = calloc(n, sizeof *p->kinds);
    if (p->kinds == NULL)
        return err_log(ERR_MEMORY, "no host memory for a profile of %u processes", n);
    for (uint32_t i = 0; i < n; i++)
        p->kinds[i] = (unsigned char)kind_of(engine_lp(m->engine, i)->cls);
    enum err e = window_log_create(&p->log, windows < 256 ? 256 : windows > 16384 ? 16384 : windows);
    if (e != ERR_OK)
        return e;
    exchange_costs_find(m->tr, network, &p->costs, &p->how);
    struct engine_probe probe = window_log_probe(&p->log);
    engine_set_probe(m->engine, &probe);
    return ERR_OK;
}

void parallelism_begin(struct parallelism *p)
{
    p->wall_s = wall_now();
    p->cpu_s = cpu_now();
}

void parallelism_end(struct parallelism *p)
{
    double epochs = (double)engine_host(p->m->engine)->epoch_ns * 1e-9;
    p->wall_s = wall_now() - p->wall_s - epochs;
    p->cpu_s = cpu_now() - p->cpu_s - epochs - window_log_overhead_ns(&p->log) * 1e-9;
}

/* ---- predicting ------------------------------------------------------------------------------- */

/* The log holds one window of so many. */
static double windows_factor(const struct parallelism *p)
{
    return p->log.nwindows == 0 ? 0.0 : (double)p->log.total_windows / p->log.nwindows;
}

static void ranks_of(const struct machine *m, const struct placement *pl, int *rank)
{
    for (uint32_t i = 0; i < engine_nlps(m->engine); i++) {
        const struct lp *lp = engine_lp(m->engine, i);
        switch (lp->cls) {
        case MACHINE_CORES:
            rank[i] = pl->core[lp->instance];
            break;
        case MACHINE_SLICES:
            rank[i] = pl->slice[lp->instance];
            break;
        case MACHINE_CHANNELS:
            rank[i] = pl->channel[lp->instance];
            break;
        default:
            rank[i] = lp->cls == MACHINE_KERNEL ? pl->kernel : lp->cls == MACHINE_CONTROL ? pl->control : pl->fuzz;
        }
    }
}

static enum err predict_placed(const struct parallelism *p, const struct exchange_costs *costs,
                               const struct placement *pl, struct prediction *out)
{
    uint32_t n = engine_nlps(p->m->engine);
    int *rank = calloc(n, sizeof *rank);
    struct predict_map map = {pl->nranks, n, rank, p->kinds};
    struct predictor *predictor = predictor_create(costs, &map);
    if (rank == NULL || predictor == NULL) {
        free(rank);
        predictor_destroy(predictor);
        return err_log(ERR_MEMORY, "no host memory to predict %d ranks", pl->nranks);
    }
    ranks_of(p->m, pl, rank);
    struct phase_log phase;
    for (size_t at = 0; window_log_next(&p->log, &at, &phase);)
        predictor_phase(predictor, &phase);
    *out = *predictor_result(predictor);
    predictor_destroy(predictor);
    free(rank);
    return ERR_OK;
}

/*
 * `host`: on the processors that there are here, instead of one for each rank; ranks beyond them are left empty, and
 * cost nothing.
 */
static enum err predict_auto(const struct parallelism *p, int nranks, bool host, struct prediction *out)
{
    const struct machine *m = p->m;
    struct exchange_costs costs = p->costs;
    long here = sysconf(_SC_NPROCESSORS_ONLN);
    costs.processors = host && here > 0 ? (uint32_t)here : 0;
    struct placement pl;
    if (nranks == m->tr->nranks)
        return predict_placed(p, &costs, &m->placement, out);
    if (host && here > 0 && nranks > here)
        nranks = (int)here;
    enum err e = placement_create("auto", m->ncores, m->nslices, m->nchannels, nranks, NULL, true, &pl);
    if (e != ERR_OK)
        return e;
    e = predict_placed(p, &costs, &pl, out);
    placement_free(&pl);
    return e;
}

/* ---- the tables ------------------------------------------------------------------------------- */

/* What each kind of LP costs. */
struct kind_sum {
    double ns, nmsgs, nactive;
};

static void sum_kinds(const struct parallelism *p, struct kind_sum sums[NLOSSES], double *nsent)
{
    struct phase_log phase;
    memset(sums, 0, NLOSSES * sizeof *sums);
    *nsent = 0;
    for (size_t at = 0; window_log_next(&p->log, &at, &phase);) {
        for (uint32_t i = 0; i < phase.nloads; i++) {
            struct kind_sum *s = &sums[p->kinds[phase.loads[i].lp]];
            s->ns += (double)phase.loads[i].ns;
            s->nmsgs += phase.loads[i].nmsgs;
            s->nactive++;
        }
        sums[LOSS_IDLE].ns += (double)phase.idle_ns;
        *nsent += phase.nsent;
    }
}

static void print_work(const struct parallelism *p, simtime_t end)
{
    struct kind_sum sums[NLOSSES];
    double nsent, all = 0, n = p->log.nwindows > 0 ? p->log.nwindows : 1;
    sum_kinds(p, sums, &nsent);
    for (enum loss k = 0; k < NLOSSES; k++)
        all += sums[k].ns;
    printf("  a window (mean)       %.1f ns simulated, %.2f us of work, %.1f messages\n",
           (double)end / (double)p->log.total_windows / (double)FS_PER_NS, all / n * 1e-3, nsent / n);
    printf("  the work              ");
    for (enum loss k = LOSS_CORES; k < NLOSSES; k++)
        printf("%s%s %.1f %%", k == LOSS_CORES ? "" : ", ", loss_table[k].label, all > 0 ? 100 * sums[k].ns / all : 0.0);
    printf("\n  a turn of an LP       ");
    for (enum loss k = LOSS_CORES; k < LOSS_IDLE; k++)
        printf("%s%s %.0f ns (%.1f in a window)", k == LOSS_CORES ? "" : ", ", loss_table[k].label,
               sums[k].nactive > 0 ? sums[k].ns / sums[k].nactive : 0.0, sums[k].nactive / n);
    printf("\n");
}

/* Past the point where every LP of a phase has a rank of its own, more ranks only cost. */
static int most_ranks(const struct machine *m)
{
    int n = 1, parts = (int)(m->ncores + m->nchannels > m->nslices + 1 ? m->ncores + m->nchannels : m->nslices + 1);
    while (n < 2 * parts && n < MAX_RANKS)
        n *= 2;
    return n;
}

static void print_limits(const struct prediction *r)
{
    bool said[NLOSSES] = {false};
    for (int i = 0; i < 3; i++) {
        enum loss worst = NLOSSES;
        for (enum loss k = 0; k < NLOSSES; k++)
            if (!said[k] && r->loss_ns[k] > 0.03 * r->total_ns && (worst == NLOSSES || r->loss_ns[k] > r->loss_ns[worst]))
                worst = k;
        if (worst == NLOSSES)
            break;
        printf("%s%s %.0f %%", i == 0 ? "" : ", ", loss_table[worst].label, 100 * r->loss_ns[worst] / r->total_ns);
        said[worst] = true;
    }
    printf("\n");
}

static enum err print_ranks(const struct parallelism *p)
{
    struct prediction one, r, here;
    double factor = windows_factor(p);
    enum err e = predict_auto(p, 1, false, &one);
    printf("  %5s %10s %9s %9s %13s   %s\n", "ranks", "seconds", "speed-up", "(at most)", "on this host",
           "lost to, of the time (a processor for each rank)");
    for (int n = 1; e == ERR_OK && n <= most_ranks(p->m); n *= 2) {
        e = predict_auto(p, n, false, &r);
        if (e == ERR_OK)
            e = predict_auto(p, n, true, &here);
        if (e != ERR_OK)
            break;
        printf("  %5d %10.3f %9.2f %9.2f %13.2f   ", n, r.total_ns * factor * 1e-9, one.total_ns / r.total_ns,
               one.total_ns / r.least_ns, one.total_ns / here.total_ns);
        print_limits(&r);
    }
    printf("  (at most): if the work of each half of a window could be placed anew, and exchanges were free\n");
    return e;
}

static enum err print_this_run(const struct parallelism *p)
{
    struct prediction r;
    int nranks = p->m->tr->nranks;
    enum err e = predict_auto(p, nranks, true, &r);
    if (e != ERR_OK)
        return e;
    double predicted = r.total_ns * windows_factor(p) * 1e-9;
    if (nranks == 1)
        printf("  this run, 1 process   predicted %.3f s, took %.3f s of processor time (ratio %.2f), %.3f s in all\n", predicted,
               p->cpu_s, predicted / p->cpu_s, p->wall_s);
    else
        printf("  this run, %d ranks     predicted %.3f s, took %.3f s (ratio %.2f)\n", nranks, predicted, p->wall_s,
               predicted / p->wall_s);
    return ERR_OK;
}

static enum err print_scaled(const struct parallelism *p, simtime_t end)
{
    const struct machine *m = p->m;
    struct scale_shape shape = {
        .ncores = m->ncores, .nslices = m->nslices, .nchannels = m->nchannels,
        .first_core = m->first_core, .first_slice = m->first_slice, .first_channel = m->first_channel,
        .window_fs = (double)end / (double)p->log.total_windows,
        .window_min_fs = (double)engine_distance(m->engine, MACHINE_CORES, MACHINE_CORES),
    };
    struct scale *s = NULL;
    enum err e = scale_create(&shape, &p->log, &s);
    uint32_t copies[6] = {1}, n = 1;
    for (uint32_t cores = 16; cores <= 1024 && n < 6; cores *= 4)
        if (cores >= 2 * m->ncores)
            copies[n++] = cores / m->ncores;
    printf("  Extrapolated to larger machines: the load of the measured cores, slices and channels repeated, one kernel as many\n"
           "  times busier, windows shorter. Speed-up over one process, and what it loses most to\n  ranks");
    for (uint32_t i = 0; i < n; i++)
        printf(" %5u cores%s", copies[i] * m->ncores, i == 0 ? "*" : " ");
    printf("   (* measured)\n");
    double one[6] = {0};
    for (int ranks = 1; e == ERR_OK && ranks <= MAX_RANKS; ranks *= 2) {
        printf("  %5d", ranks);
        for (uint32_t i = 0; e == ERR_OK && i < n; i++) {
            struct prediction r;
            if ((uint32_t)ranks > 2 * copies[i] * m->ncores) {
                printf("  %11s", "");
                continue;
            }
            e = scale_predict(s, &p->costs, copies[i], ranks, &r);
            one[i] = ranks == 1 ? r.total_ns : one[i];
            if (e == ERR_OK)
                printf("  %9.2f %c", one[i] / r.total_ns, ranks == 1 ? ' ' : loss_table[prediction_limit(&r)].letter);
        }
        printf("\n");
    }
    for (enum loss k = 0; k < NLOSSES; k++)
        printf("%s%c %s", k == 0 ? "  " : ", ", loss_table[k].letter, loss_table[k].label);
    printf("\n");
    scale_free(s);
    return e;
}

/* ---- the profile file ------------------------------------------------------------------------- */

static const char *profile_path(const char *output, char *buf, size_t size)
{
    size_t n = strlen(output);
    n -= n > 3 && strcmp(output + n - 3, ".h5") == 0 ? 3 : 0;
    snprintf(buf, size, "%.*s.profile", (int)n, output);
    return buf;
}

static enum err write_profile(const struct parallelism *p, const char *path)
{
    static const char *const names[] = {[MACHINE_CONTROL] = "control", [MACHINE_KERNEL] = "kernel", [MACHINE_CORES] = "core",
                                        [MACHINE_SLICES] = "slice", [MACHINE_CHANNELS] = "channel"};
    uint32_t n = engine_nlps(p->m->engine);
    double *ns = calloc(n, sizeof *ns), factor = windows_factor(p);
    FILE *f = fopen(path, "w");
    if (f == NULL || ns == NULL) {
        free(ns);
        return err_log(ERR_OUTPUT, "%s: cannot write the profile: %s", path, strerror(errno));
    }
    struct phase_log phase;
    for (size_t at = 0; window_log_next(&p->log, &at, &phase);)
        for (uint32_t i = 0; i < phase.nloads; i++)
            ns[phase.loads[i].lp] += (double)phase.loads[i].ns;
    fprintf(f, "# Host time (ns) of each part in a run, by --profile-parallelism; for --partition-profile.\n");
    for (uint32_t i = 0; i < n; i++) {
        const struct lp *lp = engine_lp(p->m->engine, i);
        if (lp->cls == MACHINE_CONTROL || lp->cls == MACHINE_KERNEL)
            fprintf(f, "%s %.0f\n", names[lp->cls], ns[i] * factor);
        else if (lp->cls != MACHINE_FUZZ)
            fprintf(f, "%s %u %.0f\n", names[lp->cls], lp->instance, ns[i] * factor);
    }
    free(ns);
    bool ok = ferror(f) == 0;
    ok = fclose(f) == 0 && ok;
    return ok ? ERR_OK : err_log(ERR_OUTPUT, "%s: cannot write the profile: %s", path, strerror(errno));
}

/* ---- the end ---------------------------------------------------------------------------------- */

static enum err report_rank0(struct parallelism *p, simtime_t end, const char *output)
{
    char path[4096];
    printf("Parallelism (predicted from %u of %" PRIu64 " windows; /stats is the same with any placement)\n",
           p->log.nwindows, p->log.total_windows);
    print_work(p, end);
    exchange_print(stdout, &p->costs, &p->how);
    enum err e = print_this_run(p);
    if (e == ERR_OK)
        e = print_ranks(p);
    if (e == ERR_OK)
        e = print_scaled(p, end);
    if (e == ERR_OK && output != NULL)
        e = write_profile(p, profile_path(output, path, sizeof path));
    if (e == ERR_OK && output != NULL)
        printf("  the loads             %s (--partition-profile)\n", path);
    return e;
}

enum err parallelism_close(struct parallelism *p, simtime_t end, const char *output)
{
    enum err e = window_log_gather(&p->log, p->m->tr);
    if (e == ERR_OK && p->m->tr->rank == 0 && p->log.nwindows > 0)
        e = report_rank0(p, end, output);
    window_log_free(&p->log);
    free(p->kinds);
    *p = (struct parallelism){0};
    return e;
}
