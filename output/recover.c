/*
 * `concerto recover`: rebuilds the statistics file of a killed run from its journal.
 */
#include "output/recorder.h"
#include "output/replay.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int print_usage(void)
{
    fprintf(stderr, "usage: concerto recover run.h5.jnl [-o out.h5] [-f]\n"
                    "  -o  where to write (default: the journal's name without .jnl)\n"
                    "  -f  overwrite it if it exists\n");
    return err_exit_code(ERR_USAGE);
}

/* Reads all good records; says how much was left over. */
static enum err replay_journal(struct journal_reader *reader, const char *jnl, const char *part,
                               struct replay *p)
{
    enum journal_type type;
    const void *payload;
    size_t length;
    if (journal_read(reader, &type, &payload, &length) != JOURNAL_RECORD ||
        type != JOURNAL_SCHEMA)
        return err_log(ERR_TRACE, "'%s' ends before its first record: nothing to recover", jnl);
    enum err e = replay_start(p, payload, length, part);
    if (e != ERR_OK)
        return e;
    enum journal_next next = JOURNAL_RECORD;
    while (e == ERR_OK &&
           (next = journal_read(reader, &type, &payload, &length)) == JOURNAL_RECORD)
        e = replay_apply(p, type, payload, length);
    if (e == ERR_OK && next == JOURNAL_TORN)
        warn_log("'%s': record %" PRIu64 " is torn, the last %" PRIu64 " bytes are left out", jnl,
                 reader->nrecords, reader->size - reader->offset);
    if (e == ERR_OK)
        e = replay_finish(p);
    return e;
}

static enum err recover(const char *jnl, const char *out)
{
    struct journal_reader reader;
    struct replay p;
    char *part = NULL;
    enum err e = journal_open(&reader, jnl);
    if (e != ERR_OK)
        return e;
    /* Not ".part", which the run itself may have left: it stays until this succeeds. */
    if (asprintf(&part, "%s.recovering", out) < 0) {
        journal_reader_close(&reader);
        return err_log(ERR_MEMORY, "no memory");
    }
    p = (struct replay){0};
    e = replay_journal(&reader, jnl, part, &p);
    if (e == ERR_OK)
        e = replay_publish(part, out);
    if (e == ERR_OK)
        printf("%s: %" PRIu64 " epochs, %s\n", out, p.nepochs,
               p.has_end ? "with the run's end" : "up to where the run was cut off");
    else
        unlink(part);
    replay_free(&p);
    journal_reader_close(&reader);
    free(part);
    return e;
}

int recover_main(int argc, char **argv)
{
    const char *jnl = NULL, *out = NULL;
    char *derived = NULL;
    bool force = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-o") == 0 && i + 1 < argc)
            out = argv[++i];
        else if (strcmp(argv[i], "-f") == 0)
            force = true;
        else if (argv[i][0] == '-' || jnl != NULL)
            return print_usage();
        else
            jnl = argv[i];
    }
    if (jnl == NULL)
        return print_usage();
    size_t len = strlen(jnl);
    if (out == NULL) {
        if (len <= 4 || strcmp(jnl + len - 4, ".jnl") != 0)
            return err_exit_code(
                err_log(ERR_USAGE, "'%s' does not end in .jnl: say where to write with -o", jnl));
        out = derived = strndup(jnl, len - 4);
        if (out == NULL)
            return err_exit_code(err_log(ERR_MEMORY, "no memory"));
    }
    enum err e = !force && access(out, F_OK) == 0
                     ? err_log(ERR_USAGE, "'%s' exists: use -f to overwrite it", out)
                     : recover(jnl, out);
    free(derived);
    return err_exit_code(e);
}
