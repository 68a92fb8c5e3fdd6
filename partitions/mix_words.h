/*
 * The value of --mix: programs separated by commas.
 *
 *   FILE              a trace (.vmt, or a ChampSim trace of one thread)
 *   NAME:SIZE         a built-in workload (gups, stream, chase, graph, xsbench) over SIZE bytes
 *   NAME:SIZE:N       with N threads
 *   ...*N             N copies of the program, each in an address space of its own
 */
#ifndef PARTITIONS_MIX_WORDS_H
#define PARTITIONS_MIX_WORDS_H

#include "cores/builtin.h"
#include "cores/relocate.h"

#define MIX_NAME_BYTES 256

struct mix_word {
    char name[MIX_NAME_BYTES]; /* the program as written, without copies: a path or "gups:4GiB:2" */
    enum workload_kind kind;   /* WORKLOAD_none: a trace */
    uint64_t size_bytes;
    uint32_t nthreads, ncopies; /* threads of a built-in workload */
};

/*
 * Words in the order of the text; at most MAX_PROGRAMS programs with all copies. Files are not
 * opened, only looked for. ERR_USAGE or ERR_TRACE after a message that names the word.
 */
enum err mix_words_parse(const char *text, struct mix_word *words, uint32_t max_words, uint32_t *n_out);

/*
 * The program of a word, as a front end of its own; `passes` of built-in workloads. A trace is laid
 * out as process `relocate->instance`.
 */
enum err mix_word_open(const struct mix_word *w, uint64_t passes, const struct relocate_params *relocate,
                       struct frontend **out);
/* All programs of the words as one front end; they are processes relocate->instance and up. */
enum err mix_words_open(const struct mix_word *words, uint32_t n, uint64_t passes,
                        const struct relocate_params *relocate, struct frontend **out);

#endif
