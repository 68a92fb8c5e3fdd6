/* See host_time.h. */
#include "partitions/host_time.h"

#include <string.h>
#include <sys/resource.h>
#include <time.h>

const struct recorder_host_column host_columns[NHOST] = {
#define X(name, unit, label, doc) {#name, unit, doc},
    HOST_COLUMNS(X)
#undef X
};

static const char *const labels[NHOST] = {
#define X(name, unit, label, doc) label,
    HOST_COLUMNS(X)
#undef X
};

/* ---- the front end ---------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static enum err timed_load(struct frontend *fe, uint32_t thread, uint64_t block, struct fe_block *out)
{
    struct timed_frontend *t = (struct timed_frontend *)fe;
    uint64_t start = now_ns();
    enum err e = t->inner->ops->load(t->inner, thread, block, out);
    t->load_ns += now_ns() - start;
    return e;
}

static void timed_piece(struct frontend *fe, uint32_t thread, uint32_t acc, struct fe_block *out)
{
    struct timed_frontend *t = (struct timed_frontend *)fe;
    uint64_t start = now_ns();
    t->inner->ops->piece(t->inner, thread, acc, out);
    t->load_ns += now_ns() - start;
}

/* The inner one is closed by its owner. */
static void timed_close(struct frontend *fe) { (void)fe; }

static const struct frontend_ops timed_ops = {
    .name = "timed",
    .doc = "another front end, with the time of its loads",
    .load = timed_load,
    .piece = timed_piece,
    .close = timed_close,
};

void timed_frontend_init(struct timed_frontend *t, struct frontend *inner)
{
    *t = (struct timed_frontend){.base = *inner, .inner = inner};
    t->base.ops = &timed_ops;
}

/* ---- the columns ------------------------------------------------------------------------------ */

static double peak_bytes(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss * 1024.0;
}

static double share(const struct engine_host *h, uint32_t mask)
{
    uint64_t part = 0, all = 0;
    for (uint32_t x = 0; x < ENGINE_MAX_CLASSES; x++) {
        all += h->class_ns[x];
        part += mask >> x & 1 ? h->class_ns[x] : 0;
    }
    return all == 0 ? 0.0 : (double)part / (double)all;
}

void host_time_row(const struct host_time_source *s, double row[NHOST])
{
    const struct engine_host *h = s->engine;
    double epochs = (double)h->epoch_ns * 1e-9;
    double run = s->nranks > 1 ? (double)h->run_ns * 1e-9 : s->wall_s - epochs;
    row[HOST_wall_time] = s->wall_s;
    row[HOST_run_time] = run;
    row[HOST_core_time] = run * share(h, s->core_classes);
    row[HOST_trace_time] = (double)s->load_ns * 1e-9;
    row[HOST_memory_time] = run * share(h, s->memory_classes);
    row[HOST_kernel_time] = run * share(h, s->kernel_classes);
    row[HOST_wait_time] = (double)h->wait_ns * 1e-9;
    row[HOST_exchange_time] = (double)(h->exchange_ns - h->wait_ns) * 1e-9;
    row[HOST_epoch_time] = epochs;
    row[HOST_output_time] = s->output_s;
    row[HOST_messages] = (double)h->nmessages_remote;
    row[HOST_bytes] = (double)h->nbytes_remote;
    row[HOST_windows] = (double)h->nwindows;
    row[HOST_exchanges] = (double)h->nexchanges;
    row[HOST_memory_peak] = peak_bytes();
}

/* ---- printing --------------------------------------------------------------------------------- */

struct spread {
    double min, sum, max;
    int max_rank;
};

static struct spread spread_of(const double *rows, int nranks, enum host_column c)
{
    struct spread s = {rows[c], 0, rows[c], 0};
    for (int r = 0; r < nranks; r++) {
        double v = rows[(size_t)r * NHOST + c];
        s.sum += v;
        s.min = v < s.min ? v : s.min;
        if (v > s.max) {
            s.max = v;
            s.max_rank = r;
        }
    }
    return s;
}

static void print_alone(FILE *f, const double *row)
{
    double wall = row[HOST_wall_time] > 0 ? row[HOST_wall_time] : 1;
#define PERCENT(name) (100 * row[HOST_##name] / wall)
    fprintf(f, ": cores %.0f %% (trace %.1f %%), LLC and DRAM %.0f %%, kernel %.1f %%, epoch ends %.1f %% (output %.1f %%)\n",
            PERCENT(core_time), PERCENT(trace_time), PERCENT(memory_time), PERCENT(kernel_time),
            PERCENT(epoch_time), PERCENT(output_time));
#undef PERCENT
}

/* Ranks that are more than there are processors; they slept. */
static int count_empty(const double *rows, int nranks)
{
    int n = 0;
    for (int r = 0; r < nranks; r++)
        n += rows[(size_t)r * NHOST + HOST_run_time] == 0;
    return n;
}

static void print_table(FILE *f, const double *rows, int nranks)
{
    double wall = rows[HOST_wall_time] > 0 ? rows[HOST_wall_time] : 1;
    fprintf(f, "\n            %-12s %8s %8s %8s  %-7s %s\n", "seconds", "min", "avg", "max", "of rank", "avg of wall");
    for (enum host_column c = 0; c < NHOST; c++) {
        struct spread s = spread_of(rows, nranks, c);
        if (labels[c][0] == '\0')
            continue;
        fprintf(f, "            %-12s %8.2f %8.2f %8.2f  %-7d %5.1f %%\n", labels[c], s.min, s.sum / nranks, s.max,
                s.max_rank, 100 * s.sum / nranks / wall);
    }
}

void host_time_print(FILE *f, const double *rows, int nranks, uint64_t ninstructions, double array_bytes)
{
    double wall = rows[HOST_wall_time];
    fprintf(f, "host        %.2f s wall, %.1f M instructions/s", wall,
            wall > 0 ? (double)ninstructions / wall * 1e-6 : 0.0);
    if (nranks == 1)
        print_alone(f, rows);
    else
        print_table(f, rows, nranks);
    fprintf(f, "            %.0f windows, ", rows[HOST_windows]);
    if (nranks > 1)
        fprintf(f, "%.0f exchanges, ", rows[HOST_exchanges]);
    fprintf(f, "%.0f messages (%.0f bytes) between ranks, %.0f MiB peak memory in all ranks, %.1f MiB of it modelled arrays\n",
            spread_of(rows, nranks, HOST_messages).sum, spread_of(rows, nranks, HOST_bytes).sum,
            spread_of(rows, nranks, HOST_memory_peak).sum / (1 << 20), array_bytes / (1 << 20));
    if (nranks > 1 && count_empty(rows, nranks) > 0)
        fprintf(f, "            %d of these ranks hold nothing: there are more ranks than processors, or a map says so\n",
                count_empty(rows, nranks));
}
