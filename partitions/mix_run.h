/*
 * `concerto run --mix`: each distinct program alone on the machine of the mix, then all together.
 *
 * The machine has as many cores as the mix has threads unless core.count says otherwise, and the
 * runs alone have the same. Their files lie beside the mix's: out.h5 -> out.alone-1.h5 for the first
 * distinct program. --alone takes their results from such files instead; --no-alone does without.
 */
#ifndef PARTITIONS_MIX_RUN_H
#define PARTITIONS_MIX_RUN_H

#include "partitions/mix_report.h"
#include "partitions/mix_words.h"
#include "pdes/transport.h"

struct mix_run {
    struct mix_word words[MAX_PROGRAMS];
    uint32_t nwords;
    struct relocate_params relocate; /* of the first program */
    uint64_t passes; /* of built-in workloads */
    const char *output; /* of the mix; NULL: no files */
    const char *alone_files; /* --alone, separated by commas; NULL: none */
    const char *config_text; /* effective configuration, to compare those files' with; rank 0 */
    bool no_alone;
    struct transport *tr;
    struct mix_report report; /* of the mix */
    /*
     * Simulates `fe`, which stays the caller's, into the file `output`, and leaves its results in
     * `report`. `alone`: one line instead of the summary.
     */
    enum err (*simulate)(void *ctx, struct frontend *fe, const char *output, struct mix_report *report, bool alone);
    void *ctx;
};

/* All runs; `fe` is the mix (mix_words_open). The same on every rank. */
enum err mix_run(struct mix_run *m, struct frontend *fe);

#endif
