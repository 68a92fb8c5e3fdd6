/*
 * `concerto compare a.h5 b.h5`: what differs between two runs and what the difference is made of.
 * First the configuration and what was run, then the metrics and the counters of the region of
 * interest, by relative change, then the cycles per instruction as a stack of causes, which must
 * add up to the cycles of each run.
 *
 * With repeats beside both files (run_file.h), means and 95 % intervals stand in for single values,
 * and a difference whose interval contains 0 is called "not distinguishable".
 */
#include "output/recorder.h"

#include "output/metrics.h"
#include "output/run_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNTERS_SHOWN 25u
#define STACK "cores/stack/"
#define WORD_WIDTH 22

struct comparison {
    FILE *f;
    struct run_set a, b;
    bool all;
};

/* ---- configuration and what was run --------------------------------------------------------- */

static void print_pair(FILE *f, bool *begun, const char *title, const char *name, const char *a,
                       const char *b)
{
    if (!*begun)
        fprintf(f, "\n%s\n", title);
    *begun = true;
    fprintf(f, "  %-28s %-*s %s\n", name, WORD_WIDTH, a != NULL ? a : "(no such key)",
            b != NULL ? b : "(no such key)");
}

/* Keys whose values differ, in the order of the first file, then those that only b has. */
static bool print_configuration(const struct comparison *c)
{
    const struct run_file *a = c->a.runs[0], *b = c->b.runs[0];
    bool begun = false;
    for (size_t i = 0; i < a->nkeys; i++) {
        const char *other = run_file_key(b, a->keys[i].name);
        if (other == NULL || strcmp(other, a->keys[i].value) != 0)
            print_pair(c->f, &begun, "Configuration", a->keys[i].name, a->keys[i].value, other);
    }
    for (size_t i = 0; i < b->nkeys; i++)
        if (run_file_key(a, b->keys[i].name) == NULL)
            print_pair(c->f, &begun, "Configuration", b->keys[i].name, NULL, b->keys[i].value);
    return begun;
}

/* Long texts do not go side by side. */
static bool print_fact(FILE *f, bool *begun, const char *name, const char *a, const char *b)
{
    a = a != NULL ? a : "unknown";
    b = b != NULL ? b : "unknown";
    if (strcmp(a, b) == 0)
        return false;
    if (!*begun)
        fprintf(f, "\nRun\n");
    *begun = true;
    fprintf(f, "  %-28s a: %s\n  %-28s b: %s\n", name, a, "", b);
    return true;
}

/* True if what was simulated differs; the version alone does not count, but is shown. */
static bool print_facts(const struct comparison *c, bool with_version)
{
    const struct run_file *a = c->a.runs[0], *b = c->b.runs[0];
    char seeds[2][32];
    bool begun = false, differ = false;
    snprintf(seeds[0], sizeof seeds[0], "%" PRIu64, a->seed);
    snprintf(seeds[1], sizeof seeds[1], "%" PRIu64, b->seed);
    differ |= print_fact(c->f, &begun, "workload", a->workload, b->workload);
    differ |= print_fact(c->f, &begun, "seed", seeds[0], seeds[1]);
    differ |= print_fact(c->f, &begun, "ended with", a->stopped_by, b->stopped_by);
    if (with_version || differ) {
        print_fact(c->f, &begun, "version", a->version, b->version);
        print_fact(c->f, &begun, "revision", a->git, b->git);
    }
    return differ;
}

/* ---- values of sets ------------------------------------------------------------------------- */

/* The counter in every run of the set; false: one run has none. */
static bool counter_values(const struct run_set *s, const char *path, double *values_out)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct run_counter *c = run_file_counter(s->runs[i], path);
        if (c == NULL)
            return false;
        values_out[i] = (double)c->total;
    }
    return true;
}

static bool has_spread(const struct comparison *c) { return c->a.n > 1 && c->b.n > 1; }

/* One line's right half: change in percent, and whether it can be told from chance. */
static void print_change(const struct comparison *c, const double *a, const double *b)
{
    struct interval d = interval_difference(a, c->a.n, b, c->b.n);
    double base = interval_of(a, c->a.n).mean;
    if (base > 0 && d.mean >= 9 * base)
        fprintf(c->f, "   x %7.1f", 1 + d.mean / base);
    else if (base != 0 && !isinf(d.half))
        fprintf(c->f, " %+9.2f %% +-%.2f", 100 * d.mean / base, fabs(100 * d.half / base));
    else if (base != 0)
        fprintf(c->f, " %+9.2f %%", 100 * d.mean / base);
    else
        fprintf(c->f, " %11s", d.mean == 0 ? "0" : "new");
    if (has_spread(c) && !interval_excludes_zero(d) && d.mean != 0)
        fprintf(c->f, "  not distinguishable");
}

static void print_metrics(const struct comparison *c)
{
    static double a[RUN_SET_MAX], b[RUN_SET_MAX];
    fprintf(c->f, "\n%-22s %*s %*s %11s\n", "Region of interest", 24, "a", 24, "b", "change");
    for (size_t m = 0; m < nmetrics; m++) {
        bool known = true;
        char text[2][64];
        for (size_t i = 0; i < c->a.n; i++)
            known = known && metric_value(&metrics[m], run_file_total, c->a.runs[i], &a[i]);
        for (size_t i = 0; i < c->b.n; i++)
            known = known && metric_value(&metrics[m], run_file_total, c->b.runs[i], &b[i]);
        if (!known)
            continue;
        fprintf(c->f, "  %-20s %24s %24s", metrics[m].name,
                interval_text(interval_of(a, c->a.n), text[0], sizeof text[0]),
                interval_text(interval_of(b, c->b.n), text[1], sizeof text[1]));
        print_change(c, a, b);
        fprintf(c->f, "  %s\n", metrics[m].unit);
    }
}

/* ---- counters ------------------------------------------------------------------------------- */

struct change {
    const char *path;
    double a, b, size; /* means; |b - a| as a part of the larger */
};

static int order_changes(const void *x, const void *y)
{
    const struct change *a = x, *b = y;
    double da = fabs(a->b - a->a), db = fabs(b->b - b->a);
    if (a->size != b->size)
        return a->size < b->size ? 1 : -1;
    return da != db ? (da < db ? 1 : -1) : strcmp(a->path, b->path);
}

/* Counters that both have and whose means differ. */
static size_t find_changes(const struct comparison *c, struct change *changes)
{
    static double a[RUN_SET_MAX], b[RUN_SET_MAX];
    const struct run_file *first = c->a.runs[0];
    size_t n = 0;
    for (size_t i = 0; i < first->ncounters; i++) {
        const char *path = first->counters[i].path;
        if (!counter_values(&c->a, path, a) || !counter_values(&c->b, path, b))
            continue;
        double ma = interval_of(a, c->a.n).mean, mb = interval_of(b, c->b.n).mean;
        if (ma != mb)
            changes[n++] = (struct change){path, ma, mb, fabs(mb - ma) / fmax(ma, mb)};
    }
    qsort(changes, n, sizeof *changes, order_changes);
    return n;
}

static void print_lonely(const struct comparison *c, const struct run_file *r,
                         const struct run_file *other, const char *where)
{
    for (size_t i = 0; i < r->ncounters; i++)
        if (run_file_counter(other, r->counters[i].path) == NULL)
            fprintf(c->f, "  %-32s only in %s\n", r->counters[i].path, where);
}

static enum err print_counters(const struct comparison *c)
{
    static double a[RUN_SET_MAX], b[RUN_SET_MAX];
    struct change *changes = malloc((c->a.runs[0]->ncounters + 1) * sizeof *changes);
    if (changes == NULL)
        return err_log(ERR_MEMORY, "no host memory for %zu counters", c->a.runs[0]->ncounters);
    size_t n = find_changes(c, changes), shown = c->all || n < COUNTERS_SHOWN ? n : COUNTERS_SHOWN;
    if (n == 0)
        fprintf(c->f, "\nThe totals of the region are equal; --exact names the first difference.\n");
    else
        fprintf(c->f, "\n%-34s %16s %16s %11s\n", "Counters by relative change", "a", "b", "change");
    for (size_t i = 0; i < shown; i++) {
        counter_values(&c->a, changes[i].path, a);
        counter_values(&c->b, changes[i].path, b);
        fprintf(c->f, "  %-32s %16.0f %16.0f", changes[i].path, changes[i].a, changes[i].b);
        print_change(c, a, b);
        fprintf(c->f, "  %s\n", run_file_counter(c->a.runs[0], changes[i].path)->unit);
    }
    if (shown < n)
        fprintf(c->f, "  %zu more differ; --all lists them\n", n - shown);
    print_lonely(c, c->a.runs[0], c->b.runs[0], "a");
    print_lonely(c, c->b.runs[0], c->a.runs[0], "b");
    free(changes);
    return ERR_OK;
}

/* ---- the cycle stack ------------------------------------------------------------------------ */

struct stack_sum {
    double total, cycles; /* per instruction; mean over the set */
    bool exact;           /* in every run the causes sum to the cycles, as integers */
};

/* Cycles per instruction of one counter, mean over the set; 0 where a run has none. */
static double per_instruction(const struct run_set *s, const char *path)
{
    double sum = 0;
    for (size_t i = 0; i < s->n; i++) {
        uint64_t value = 0, n = 0;
        run_file_total(s->runs[i], path, &value);
        if (run_file_total(s->runs[i], "cores/instructions", &n) && n > 0)
            sum += (double)value / (double)n;
    }
    return sum / (double)s->n;
}

static bool is_cause(const struct run_counter *c)
{
    return strncmp(c->path, STACK, strlen(STACK)) == 0 && c->kind == STAT_DELTA;
}

static struct stack_sum sum_stack(const struct run_set *s)
{
    struct stack_sum sum = {.cycles = per_instruction(s, "cores/cycles"), .exact = true};
    for (size_t i = 0; i < s->n; i++) {
        const struct run_file *r = s->runs[i];
        uint64_t all = 0, cycles = 0;
        for (size_t k = 0; k < r->ncounters; k++)
            all += is_cause(&r->counters[k]) ? r->counters[k].total : 0;
        run_file_total(s->runs[i], "cores/cycles", &cycles);
        sum.exact = sum.exact && all == cycles;
    }
    for (size_t k = 0; k < s->runs[0]->ncounters; k++)
        if (is_cause(&s->runs[0]->counters[k]))
            sum.total += per_instruction(s, s->runs[0]->counters[k].path);
    return sum;
}

static bool has_stack(const struct run_set *s)
{
    for (size_t k = 0; k < s->runs[0]->ncounters; k++)
        if (is_cause(&s->runs[0]->counters[k]))
            return true;
    return false;
}

static void print_cause(const struct comparison *c, const char *name, double a, double b, double of)
{
    fprintf(c->f, "  %-20s %12.4f %12.4f %+12.4f", name, a, b, b - a);
    if (of != 0)
        fprintf(c->f, " %+9.1f %%", 100 * (b - a) / fabs(of));
    fputc('\n', c->f);
}

/* Every cause of either file; false: the causes do not sum to the cycles. */
static bool print_stack(const struct comparison *c)
{
    if (!has_stack(&c->a) || !has_stack(&c->b)) {
        fprintf(c->f, "\nNo cycle stack: %s has no %s*\n",
                has_stack(&c->a) ? c->b.runs[0]->path : c->a.runs[0]->path, STACK);
        return true;
    }
    struct stack_sum a = sum_stack(&c->a), b = sum_stack(&c->b);
    const struct run_file *ra = c->a.runs[0], *rb = c->b.runs[0];
    fprintf(c->f, "\n%-22s %12s %12s %12s %11s\n", "Cycles per instruction", "a", "b", "b - a",
            "of change");
    for (size_t k = 0; k < ra->ncounters; k++)
        if (is_cause(&ra->counters[k]))
            print_cause(c, ra->counters[k].path + strlen(STACK),
                        per_instruction(&c->a, ra->counters[k].path),
                        per_instruction(&c->b, ra->counters[k].path), b.total - a.total);
    for (size_t k = 0; k < rb->ncounters; k++)
        if (is_cause(&rb->counters[k]) && run_file_counter(ra, rb->counters[k].path) == NULL)
            print_cause(c, rb->counters[k].path + strlen(STACK), 0,
                        per_instruction(&c->b, rb->counters[k].path), b.total - a.total);
    print_cause(c, "sum", a.total, b.total, b.total - a.total);
    if (a.exact && b.exact) {
        fprintf(c->f, "  The causes add up to cores/cycles in %s, to the cycle.\n",
                c->a.n + c->b.n > 2 ? "every run" : "both runs");
        return true;
    }
    fprintf(c->f, "  BROKEN: the causes do not add up to cores/cycles (%.4f, %.4f)\n", a.cycles, b.cycles);
    return false;
}

/* ---- the command ---------------------------------------------------------------------------- */

static void print_head(const struct comparison *c)
{
    const struct run_set *sets[] = {&c->a, &c->b};
    for (unsigned i = 0; i < 2; i++) {
        fprintf(c->f, "%c  %s", "ab"[i], sets[i]->runs[0]->path);
        if (sets[i]->n > 1)
            fprintf(c->f, " and its %zu repeats", sets[i]->n - 1);
        fputc('\n', c->f);
    }
}

/* ERR_OK: the statistics are equal; ERR_RUNTIME: they are not. */
static enum err compare_sets(struct comparison *c)
{
    FILE *out = c->f, *nowhere = fopen("/dev/null", "w");
    if (nowhere == NULL)
        return err_log(ERR_RUNTIME, "cannot open /dev/null");
    enum err same = stats_file_compare(c->a.runs[0]->path, c->b.runs[0]->path, nowhere);
    c->f = nowhere;
    bool other_config = print_configuration(c), other_run = print_facts(c, false);
    c->f = out;
    fclose(nowhere);
    if (same != ERR_OK && same != ERR_RUNTIME)
        return same;
    if (same == ERR_OK && !other_config && !other_run) {
        fprintf(c->f, "equal\n");
        return ERR_OK;
    }
    print_head(c);
    print_configuration(c);
    print_facts(c, true);
    if (same == ERR_OK) {
        fprintf(c->f, "\nThe statistics are equal, though the runs were set up differently.\n");
        return ERR_OK;
    }
    print_metrics(c);
    enum err e = print_counters(c);
    if (e != ERR_OK || !print_stack(c))
        return e != ERR_OK ? e : ERR_RUNTIME;
    if (has_spread(c))
        fprintf(c->f, "\n+- is half of a 95 %% interval (Student's t over repeats; Welch's for the change):\n"
                      "of the lines that only chance moves, one in twenty looks distinguishable.\n");
    else
        fprintf(c->f, "\nOne run each%s: nothing here tells a small change from chance (run --repeat N does).\n",
                c->a.n + c->b.n > 2 ? " on one side" : "");
    return ERR_RUNTIME;
}

enum err stats_file_explain(const char *a, const char *b, bool all, FILE *f)
{
    struct comparison c = {.f = f, .all = all};
    enum err e = run_set_load(a, &c.a);
    if (e == ERR_OK)
        e = run_set_load(b, &c.b);
    if (e == ERR_OK)
        e = compare_sets(&c);
    run_set_free(&c.a);
    run_set_free(&c.b);
    return e;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: concerto compare a.h5 b.h5 [--all | --exact]\n"
            "  Differing configuration, then counters by relative change, then the cycle stack;\n"
            "  with repeats beside both files (run --repeat) means and 95 %% intervals.\n"
            "  --all    every counter that differs, not the first %u\n"
            "  --exact  only the first difference of the statistics: epoch, component, counter\n"
            "  exit code 0: equal statistics, 1: different\n", COUNTERS_SHOWN);
    return err_exit_code(ERR_USAGE);
}

int compare_main(int argc, char **argv)
{
    const char *paths[2];
    int npaths = 0;
    bool all = false, exact = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--all") == 0)
            all = true;
        else if (strcmp(argv[i], "--exact") == 0)
            exact = true;
        else if (argv[i][0] == '-' || npaths == 2)
            return usage();
        else
            paths[npaths++] = argv[i];
    }
    if (npaths != 2 || (all && exact))
        return usage();
    enum err e = exact ? stats_file_compare(paths[0], paths[1], stdout)
                       : stats_file_explain(paths[0], paths[1], all, stdout);
    if (exact && e == ERR_OK)
        printf("equal\n");
    return err_exit_code(e);
}
