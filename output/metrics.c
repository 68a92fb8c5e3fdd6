/* See metrics.h. */
#include "output/metrics.h"

#include <math.h>
#include <string.h>

#define INSTRUCTIONS {"cores/instructions"}

/* clang-format off */
const struct metric metrics[] = {
    {"IPC", "", 1, INSTRUCTIONS, {"cores/cycles"}},
    {"cycles, all cores", "", 1, {"cores/cycles"}, {0}},
    {"L1 ITLB misses", "MPKI", 1000, {"cores/itlb/l1_misses"}, INSTRUCTIONS},
    {"L1 DTLB misses", "MPKI", 1000, {"cores/dtlb/l1_misses"}, INSTRUCTIONS},
    {"STLB misses", "MPKI", 1000, {"cores/stlb/misses"}, INSTRUCTIONS},
    {"L1D misses", "MPKI", 1000, {"cores/l1d/data_misses"}, INSTRUCTIONS},
    {"L2 misses", "MPKI", 1000, {"cores/l2/data_misses", "?cores/l2/code_misses", "?cores/l2/pt_misses"}, INSTRUCTIONS},
    {"LLC misses", "MPKI", 1000, {"llc/misses/data", "?llc/misses/code", "?llc/misses/pt"}, INSTRUCTIONS},
    {"walk latency", "cycles", 1, {"cores/ptw/walk_cycles"}, {"cores/ptw/walks"}},
    {"fault latency", "cycles", 1, {"cores/fault/cycles"}, {"cores/fault/raised"}},
};
/* clang-format on */
const size_t nmetrics = sizeof metrics / sizeof metrics[0];

static bool sum_of(const char *const *terms,
                   bool (*total)(void *ctx, const char *path, uint64_t *value_out), void *ctx,
                   double *sum_out)
{
    *sum_out = 0;
    for (unsigned i = 0; i < METRIC_TERMS && terms[i] != NULL; i++) {
        uint64_t value = 0;
        bool may_miss = terms[i][0] == '?';
        if (!total(ctx, terms[i] + may_miss, &value) && !may_miss)
            return false;
        *sum_out += (double)value;
    }
    return true;
}

bool metric_value(const struct metric *m, bool (*total)(void *ctx, const char *path, uint64_t *value_out),
                  void *ctx, double *value_out)
{
    double over, under = 1;
    if (!sum_of(m->over, total, ctx, &over) ||
        (m->under[0] != NULL && !sum_of(m->under, total, ctx, &under)) || under <= 0)
        return false;
    *value_out = m->scale * over / under;
    return true;
}

static int digits_of(double x)
{
    double magnitude = fabs(x);
    return magnitude >= 100000 ? 0 : magnitude >= 100 ? 2 : magnitude >= 0.1 || magnitude <= 0 ? 4 : 6;
}

const char *interval_text(struct interval i, char *buf, size_t size)
{
    int digits = digits_of(i.mean);
    if (isinf(i.half))
        snprintf(buf, size, "%.*f", digits, i.mean);
    else
        snprintf(buf, size, "%.*f +-%.*f", digits, i.mean, digits, i.half);
    return buf;
}

void metrics_print(FILE *f, const double *values, size_t n)
{
    fprintf(f, "  %-20s %24s %10s %12s %12s\n", "", "mean, 95 % interval", "+- in %", "least", "most");
    for (size_t m = 0; m < nmetrics; m++) {
        const double *v = values + m * n;
        double least = INFINITY, most = -INFINITY;
        bool all = true;
        for (size_t i = 0; i < n; i++) {
            all = all && !isnan(v[i]);
            least = fmin(least, v[i]);
            most = fmax(most, v[i]);
        }
        if (!all)
            continue;
        char text[64];
        struct interval i = interval_of(v, n);
        fprintf(f, "  %-20s %24s", metrics[m].name, interval_text(i, text, sizeof text));
        if (isinf(i.half) || i.mean <= 0)
            fprintf(f, " %10s", "");
        else
            fprintf(f, " %10.2f", 100 * i.half / i.mean);
        int digits = digits_of(i.mean);
        fprintf(f, " %12.*f %12.*f %s\n", digits, least, digits, most, metrics[m].unit);
    }
}
