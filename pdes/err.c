/* See err.h. Messages are one line, so that many ranks do not interleave theirs. */
#include "pdes/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    int rank, nranks;
    void (*abort_all)(int exit_code);
} g_err = {0, 1, NULL};

int err_exit_code(enum err e)
{
    static const int codes[] = {
#define X(name, code, text) [ERR_##name] = code,
        ERR_LIST(X)
#undef X
    };
    return codes[e];
}

const char *err_text(enum err e)
{
    static const char *const texts[] = {
#define X(name, code, text) [ERR_##name] = text,
        ERR_LIST(X)
#undef X
    };
    return texts[e];
}

void err_set_rank(int rank, int nranks)
{
    g_err.rank = rank;
    g_err.nranks = nranks;
}

void err_set_abort(void (*abort_all)(int exit_code)) { g_err.abort_all = abort_all; }

static void print_line(const char *kind, const char *fmt, va_list ap)
{
    char line[2048];
    int n = snprintf(line, sizeof line, "concerto: %s: ", kind);
    if (g_err.nranks > 1)
        n = snprintf(line, sizeof line, "concerto: rank %d: %s: ", g_err.rank, kind);
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, ap);
    size_t len = (size_t)n + (m < 0 ? 0 : (size_t)m);
    if (len > sizeof line - 2)
        len = sizeof line - 2;
    line[len] = '\n';
    fwrite(line, 1, len + 1, stderr);
    fflush(stderr);
}

void err_say(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    print_line("error", fmt, ap);
    va_end(ap);
}

void warn_log(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    print_line("warning", fmt, ap);
    va_end(ap);
}

_Noreturn void err_end(enum err e)
{
    fflush(stdout);
    if (g_err.abort_all)
        g_err.abort_all(err_exit_code(e));
    exit(err_exit_code(e));
}

_Noreturn void err_fatal(enum err e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    print_line("error", fmt, ap);
    va_end(ap);
    err_end(e);
}

_Noreturn void sim_assert_failed(const char *cond, const char *file, int line, const char *fmt, ...)
{
    char kind[512];
    snprintf(kind, sizeof kind, "broken invariant (%s) at %s:%d", cond, file, line);
    va_list ap;
    va_start(ap, fmt);
    print_line(kind, fmt, ap);
    va_end(ap);
    err_end(ERR_RUNTIME);
}

/* Edit distance with adjacent transpositions (optimal string alignment); words up to 63 bytes. */
static size_t edit_distance(const char *a, const char *b)
{
    enum { MAX = 64 };
    size_t na = strlen(a), nb = strlen(b);
    if (na >= MAX || nb >= MAX)
        return MAX;
    size_t d[MAX][MAX];
    for (size_t i = 0; i <= na; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= nb; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= na; i++) {
        for (size_t j = 1; j <= nb; j++) {
            size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = u64_min(best, u64_min(d[i - 1][j], d[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = u64_min(best, d[i - 2][j - 2] + 1);
            d[i][j] = best;
        }
    }
    return d[na][nb];
}

const char *err_nearest(const char *word, const char *const *words, size_t nwords)
{
    const char *best = NULL;
    if (strlen(word) >= 64) /* the reach of edit_distance */
        return NULL;
    size_t best_distance = 2 + strlen(word) / 4;
    for (size_t i = 0; i < nwords; i++) {
        size_t d = edit_distance(word, words[i]);
        if (d < best_distance) {
            best_distance = d;
            best = words[i];
        }
    }
    return best;
}
