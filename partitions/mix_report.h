/*
 * What came out of a multi-programmed run: the first passes of its programs, alone and together, as
 * a table for people and as items of the statistics file.
 */
#ifndef PARTITIONS_MIX_REPORT_H
#define PARTITIONS_MIX_REPORT_H

#include "cores/frontend.h"
#include "mimicos/program.h"
#include "output/summary.h"
#include "partitions/mix_metrics.h"

#include <stdio.h>

struct mix_report {
    const struct frontend *fe; /* the mix */
    bool has_alone;
    struct mix_pass alone[MAX_PROGRAMS], together[MAX_PROGRAMS]; /* per program */
    uint64_t passes[MAX_PROGRAMS];
};

/* Takes the first passes from the rows of programs at the last boundary. */
void mix_report_take(struct mix_report *r, const struct program_stats *rows);

/* The first pass of a program by its row; time 0: it did not end. */
struct mix_pass mix_pass_of(const struct program_stats *row);

/*
 * Items "program/NAME/first_pass_fs", ".../first_pass_instructions", and, when the passes alone are
 * known, ".../alone_fs", ".../alone_instructions", ".../slowdown" (parts per million) and "mix/antt",
 * "mix/stp", "mix/fairness" (the same) of the whole run. `items` has room for MIX_ITEMS(nprograms);
 * returns how many. mix_items_free frees their names.
 */
#define MIX_ITEMS(nprograms) (5 * (size_t)(nprograms) + 3)
size_t mix_items(const struct mix_report *r, struct summary_item *items);
void mix_items_free(struct summary_item *items, size_t n);

/* The table, with clock cycles of `period_fs`. */
void mix_print(FILE *f, const struct mix_report *r, simtime_t period_fs);

#endif
