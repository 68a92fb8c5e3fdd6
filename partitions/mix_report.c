/* See mix_report.h. */
#include "partitions/mix_report.h"

#include <stdlib.h>
#include <string.h>

struct mix_pass mix_pass_of(const struct program_stats *row)
{
    return (struct mix_pass){row->first_instructions, row->first_end_fs};
}

void mix_report_take(struct mix_report *r, const struct program_stats *rows)
{
    for (uint32_t i = 0; i < r->fe->nprograms; i++) {
        r->together[i] = mix_pass_of(&rows[i]);
        r->passes[i] = rows[i].passes;
    }
}

/* ---- items ----------------------------------------------------------------------------------- */

static void add_item(struct summary_item *items, size_t *n, const char *program, const char *what,
                     const char *unit, uint64_t value)
{
    char *name;
    if (asprintf(&name, "program/%s/%s", program, what) < 0)
        return; /* no memory: the file has the same in /stats/programs */
    items[(*n)++] = (struct summary_item){name, unit, value, NULL};
}

size_t mix_items(const struct mix_report *r, struct summary_item *items)
{
    uint32_t nprograms = r->fe->nprograms;
    struct mix_metrics m;
    size_t n = 0;
    for (uint32_t i = 0; i < nprograms; i++) {
        const char *name = r->fe->programs[i].name;
        add_item(items, &n, name, "first_pass_fs", "fs", r->together[i].time_fs);
        add_item(items, &n, name, "first_pass_instructions", "1", r->together[i].instructions);
        if (!r->has_alone)
            continue;
        add_item(items, &n, name, "alone_fs", "fs", r->alone[i].time_fs);
        add_item(items, &n, name, "alone_instructions", "1", r->alone[i].instructions);
        add_item(items, &n, name, "slowdown", "ppm", mix_slowdown_ppm(&r->alone[i], &r->together[i]));
    }
    if (r->has_alone && mix_metrics_of(r->alone, r->together, nprograms, &m)) {
        items[n++] = (struct summary_item){strdup("mix/antt"), "ppm", m.antt_ppm, NULL};
        items[n++] = (struct summary_item){strdup("mix/stp"), "ppm", m.stp_ppm, NULL};
        items[n++] = (struct summary_item){strdup("mix/fairness"), "ppm", m.fairness_ppm, NULL};
    }
    while (n > 0 && items[n - 1].name == NULL)
        n--;
    return n;
}

void mix_items_free(struct summary_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free((void *)(uintptr_t)items[i].name);
}

/* ---- the table ------------------------------------------------------------------------------- */

static void print_ipc(FILE *f, const struct mix_pass *p, simtime_t period_fs)
{
    if (p->time_fs == 0)
        fprintf(f, " %12s", "-");
    else
        fprintf(f, " %12.4f", (double)p->instructions * (double)period_fs / (double)p->time_fs);
}

static void print_program(FILE *f, const struct mix_report *r, uint32_t i, int width, simtime_t period_fs)
{
    fprintf(f, "  %-*s", width, r->fe->programs[i].name);
    if (r->has_alone)
        print_ipc(f, &r->alone[i], period_fs);
    print_ipc(f, &r->together[i], period_fs);
    if (r->has_alone)
        fprintf(f, " %9.4f", (double)mix_slowdown_ppm(&r->alone[i], &r->together[i]) / (double)PPM);
    fprintf(f, " %8llu\n", (unsigned long long)r->passes[i]);
}

void mix_print(FILE *f, const struct mix_report *r, simtime_t period_fs)
{
    struct mix_metrics m;
    int width = 24;
    for (uint32_t i = 0; i < r->fe->nprograms; i++)
        if ((int)strlen(r->fe->programs[i].name) > width)
            width = (int)strlen(r->fe->programs[i].name);
    fprintf(f, "%-*s", width + 2, "Programs, first pass");
    if (r->has_alone)
        fprintf(f, " %12s %12s %9s", "IPC alone", "IPC together", "slowdown");
    else
        fprintf(f, " %12s", "IPC together");
    fprintf(f, " %8s\n", "passes");
    for (uint32_t i = 0; i < r->fe->nprograms; i++)
        print_program(f, r, i, width, period_fs);
    if (r->has_alone && mix_metrics_of(r->alone, r->together, r->fe->nprograms, &m))
        fprintf(f, "  ANTT %.4f (1: as if alone)   STP, weighted speed-up %.4f of %u   fairness %.4f\n",
                (double)m.antt_ppm / (double)PPM, (double)m.stp_ppm / (double)PPM, r->fe->nprograms,
                (double)m.fairness_ppm / (double)PPM);
}
