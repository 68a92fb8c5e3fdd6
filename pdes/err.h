/*
 * Errors: codes, exit codes and the one way to print a message.
 *
 * Setup and I/O can fail and return `enum err`; whoever decides first calls err_log with a text
 * that names file, line or offset, what was expected and the nearest valid thing. The running model
 * cannot fail: SIM_ASSERT stops the whole run (all ranks) and prints process, time and values.
 */
#ifndef PDES_ERR_H
#define PDES_ERR_H

#include "pdes/types.h"

/* clang-format off */
#define ERR_LIST(X)                                                       \
    /* name        exit  meaning */                                       \
    X(OK,          0,    "success")                                       \
    X(RUNTIME,     1,    "the simulation failed while running")           \
    X(USAGE,       2,    "wrong command line or configuration")           \
    X(TRACE,       3,    "the trace is missing, damaged or unsupported")  \
    X(OUTPUT,      4,    "an output file cannot be written")              \
    X(MEMORY,      5,    "the host has not enough memory")                \
    X(STOPPED,     75,   "stopped by a limit; everything finished is kept")
/* clang-format on */

enum err {
#define X(name, code, text) ERR_##name,
    ERR_LIST(X)
#undef X
};

/*
 * What leads to a message is marked as cold, which keeps it away from what runs all the time: the host's
 * first-level instruction cache holds but a part of a round of messages.
 */

/* Process exit code that stands for `e`. */
int err_exit_code(enum err e);
const char *err_text(enum err e);

/* Which rank speaks; set once by the transport so that messages can name it (size 1: not named). */
void err_set_rank(int rank, int nranks);
/* What ends every rank (MPI_Abort under MPI); NULL: plain exit. */
void err_set_abort(void (*abort_all)(int exit_code));

/*
 * err_log(e, fmt, ...): one line on stderr, "concerto: error: ...", with the value `e`, so that
 * `return err_log(...)` works. `e` is evaluated twice.
 */
void err_say(const char *fmt, ...) __attribute__((cold, format(printf, 1, 2)));
static inline enum err err_same(enum err e) { return e; }
#define err_log(e, ...) (err_say(__VA_ARGS__), err_same(e))
void warn_log(const char *fmt, ...) __attribute__((cold, format(printf, 1, 2)));

/* Ends all ranks; the message was logged before. */
_Noreturn void err_end(enum err e) __attribute__((cold));
/* Ends all ranks after one message. */
_Noreturn void err_fatal(enum err e, const char *fmt, ...) __attribute__((cold, format(printf, 2, 3)));

/* Holds in release builds too. `fmt` shows the values. */
#define SIM_ASSERT(cond, ...)                                        \
    do {                                                             \
        if (__builtin_expect(!(cond), 0))                            \
            sim_assert_failed(#cond, __FILE__, __LINE__, __VA_ARGS__); \
    } while (0)
_Noreturn void sim_assert_failed(const char *cond, const char *file, int line, const char *fmt, ...)
    __attribute__((cold, format(printf, 4, 5)));

/*
 * The word of `words` (nwords strings) nearest to `word` by edit distance with transpositions, or
 * NULL when none is within 1 + strlen(word)/4 edits.
 */
const char *err_nearest(const char *word, const char *const *words, size_t nwords);

#endif
