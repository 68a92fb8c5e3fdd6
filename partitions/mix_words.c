/* See mix_words.h. */
#include "partitions/mix_words.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "configs/units.h"
#include "cores/mix.h"
#include "cores/trace_open.h"
#include "mimicos/program.h"

#define MAX_THREADS_EACH 4096u

/* ---- one word -------------------------------------------------------------------------------- */

static enum workload_kind kind_of(const char *name, size_t len)
{
    for (int k = WORKLOAD_none + 1; workload_names[k] != NULL; k++)
        if (strlen(workload_names[k]) == len && memcmp(workload_names[k], name, len) == 0)
            return (enum workload_kind)k;
    return WORKLOAD_none;
}

static enum err parse_count(const char *word, const char *text, const char *what, uint64_t max,
                            uint32_t *out)
{
    char *end;
    uint64_t n = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || n == 0 || n > max)
        return err_log(ERR_USAGE, "--mix: '%s': expected a number of %s from 1 to %" PRIu64
                       ", found '%s'", word, what, max, text);
    *out = (uint32_t)n;
    return ERR_OK;
}

/* `rest` is what follows the workload's name. */
static enum err parse_builtin(const char *word, char *rest, struct mix_word *out)
{
    const char *name = workload_names[out->kind];
    char *threads = rest[0] == ':' ? strchr(rest + 1, ':') : NULL;
    if (rest[0] == '\0')
        return err_log(ERR_USAGE, "--mix: '%s' needs a size, as in %s:64MiB", word, name);
    if (threads != NULL)
        *threads++ = '\0';
    if (units_parse(PARAM_SIZE, rest + 1, &out->size_bytes) != UNITS_OK || out->size_bytes < PAGE_BYTES ||
        out->size_bytes > UINT64_C(1) << 46)
        return err_log(ERR_USAGE, "--mix: '%s': expected %s of 4KiB to 64TiB, as in %s:64MiB, found '%s'",
                       word, units_expected(PARAM_SIZE), name, rest + 1);
    out->nthreads = 1;
    return threads == NULL ? ERR_OK : parse_count(word, threads, "threads", MAX_THREADS_EACH, &out->nthreads);
}

/* No workload's name is in front: it must be a file. */
static enum err look_for_file(const char *word, const char *path)
{
    if (access(path, F_OK) == 0)
        return ERR_OK;
    char name[MIX_NAME_BYTES];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(path, ":"), path);
    const char *near = err_nearest(name, workload_names + 1, WORKLOAD_COUNT - 1);
    if (near != NULL)
        return err_log(ERR_USAGE, "--mix: '%s' is neither a file nor a built-in workload (did you mean '%s:SIZE'?)",
                       word, near);
    return err_log(ERR_TRACE, "--mix: '%s': there is no such file, and it is none of gups:SIZE, stream:SIZE, "
                   "chase:SIZE, graph:SIZE, xsbench:SIZE", word);
}

static enum err parse_word(const char *word, struct mix_word *out)
{
    *out = (struct mix_word){.ncopies = 1};
    if (word[0] == '\0')
        return err_log(ERR_USAGE, "--mix: a program is missing between two commas, or at an end");
    if (strlen(word) >= sizeof out->name)
        return err_log(ERR_USAGE, "--mix: '%.40s...' is longer than %u characters", word,
                       MIX_NAME_BYTES - 1);
    memcpy(out->name, word, strlen(word) + 1);
    char *copies = strrchr(out->name, '*');
    if (copies != NULL) {
        *copies = '\0';
        enum err e = parse_count(word, copies + 1, "copies", MAX_PROGRAMS, &out->ncopies);
        if (e != ERR_OK)
            return e;
    }
    size_t len = strcspn(out->name, ":");
    out->kind = kind_of(out->name, len);
    if (out->kind == WORKLOAD_none)
        return look_for_file(word, out->name);
    char rest[MIX_NAME_BYTES];
    memcpy(rest, out->name + len, strlen(out->name + len) + 1);
    return parse_builtin(word, rest, out);
}

enum err mix_words_parse(const char *text, struct mix_word *words, uint32_t max_words, uint32_t *n_out)
{
    uint32_t n = 0, nprograms = 0;
    char *copy = strdup(text), *at = copy;
    enum err e = copy != NULL ? ERR_OK : err_log(ERR_MEMORY, "no host memory for the command line");
    while (e == ERR_OK && at != NULL) {
        const char *word = strsep(&at, ",");
        if (n == max_words) {
            e = err_log(ERR_USAGE, "--mix: more than %u programs", max_words);
            break;
        }
        e = parse_word(word, &words[n]);
        nprograms += e == ERR_OK ? words[n++].ncopies : 0;
        if (e == ERR_OK && nprograms > MAX_PROGRAMS)
            e = err_log(ERR_USAGE, "--mix: more than %u programs, with '%s'", MAX_PROGRAMS, word);
    }
    free(copy);
    *n_out = n;
    return e;
}

/* ---- opening --------------------------------------------------------------------------------- */

static enum err open_trace(const char *path, const struct relocate_params *relocate, struct frontend **out)
{
    enum err e = frontend_open_trace(&path, 1, out);
    if (e != ERR_OK)
        return e;
    e = relocate_wrap(out, relocate);
    if (e != ERR_OK)
        (*out)->ops->close(*out);
    return e;
}

static enum err open_part(const struct mix_word *w, uint64_t passes, const struct relocate_params *relocate,
                          struct frontend **out)
{
    if (w->kind == WORKLOAD_none)
        return open_trace(w->name, relocate, out);
    struct workload_params p = {.kind = w->kind, .size_bytes = w->size_bytes, .passes = passes};
    return builtin_open(&p, w->nthreads, out);
}

enum err mix_words_open(const struct mix_word *words, uint32_t n, uint64_t passes,
                        const struct relocate_params *relocate, struct frontend **out)
{
    struct relocate_params process = *relocate;
    static struct mix_part parts[MAX_PROGRAMS];
    uint32_t nparts = 0;
    enum err e = ERR_OK;
    for (uint32_t i = 0; i < n && e == ERR_OK; i++)
        for (uint32_t k = 0; k < words[i].ncopies && e == ERR_OK; k++) {
            parts[nparts].name = words[i].name;
            e = open_part(&words[i], passes, &process, &parts[nparts].fe);
            process.instance++;
            nparts += e == ERR_OK;
        }
    if (e == ERR_OK)
        e = mix_create(parts, nparts, out);
    for (uint32_t i = 0; e != ERR_OK && i < nparts; i++)
        parts[i].fe->ops->close(parts[i].fe);
    return e;
}

enum err mix_word_open(const struct mix_word *w, uint64_t passes, const struct relocate_params *relocate,
                       struct frontend **out)
{
    struct mix_word one = *w;
    one.ncopies = 1;
    return mix_words_open(&one, 1, passes, relocate, out);
}
