/* See mix_run.h. */
#include "partitions/mix_run.h"

#include <stdlib.h>
#include <string.h>

#include "output/recorder.h"

/* Results alone, by word. */
struct alone {
    struct mix_pass pass[MAX_PROGRAMS];
};

/* The first word of the same program. */
static uint32_t same_program(const struct mix_run *m, uint32_t word)
{
    uint32_t i = 0;
    while (strcmp(m->words[i].name, m->words[word].name) != 0)
        i++;
    return i;
}

/* "out.h5" -> "out.alone-2.h5". NULL: no memory. */
static char *alone_path(const char *output, uint32_t number)
{
    size_t n = strlen(output);
    bool h5 = n > 3 && strcmp(output + n - 3, ".h5") == 0;
    char *path;
    return asprintf(&path, "%.*s.alone-%u.h5", (int)(h5 ? n - 3 : n), output, number) < 0 ? NULL : path;
}

/* ---- alone, from files ----------------------------------------------------------------------- */

struct file_search {
    struct mix_run *m;
    struct alone *alone;
    uint32_t nfound, nprograms; /* values taken; programs in the file */
};

/* "program/NAME/first_pass_..." of a program of the mix. */
static void take_value(void *ctx, const char *name, uint64_t value)
{
    struct file_search *s = ctx;
    static const char head[] = "program/";
    if (strncmp(name, head, sizeof head - 1) != 0)
        return;
    name += sizeof head - 1;
    size_t len = strlen(name), tail = strlen("/first_pass_fs");
    s->nprograms += len > tail && strcmp(name + len - tail, "/first_pass_fs") == 0;
    for (uint32_t i = 0; i < s->m->nwords; i++) {
        size_t n = strlen(s->m->words[i].name);
        if (strncmp(name, s->m->words[i].name, n) != 0 || name[n] != '/')
            continue;
        if (strcmp(name + n + 1, "first_pass_fs") == 0)
            s->alone->pass[i].time_fs = value;
        else if (strcmp(name + n + 1, "first_pass_instructions") == 0)
            s->alone->pass[i].instructions = value;
        else
            continue;
        s->nfound++;
    }
}

/* Warns when the run in the file had another machine. */
static enum err compare_config(const struct mix_run *m, const char *path)
{
    char *text;
    enum err e = stats_file_config(path, &text);
    if (e != ERR_OK)
        return e;
    if (strcmp(text, m->config_text) != 0)
        warn_log("--alone: '%s' comes from another configuration: its slowdown compares two machines "
                 "(concerto info --config)", path);
    free(text);
    return ERR_OK;
}

static enum err read_files(struct mix_run *m, struct alone *alone)
{
    char *copy = strdup(m->alone_files), *at = copy;
    enum err e = copy != NULL ? ERR_OK : err_log(ERR_MEMORY, "no host memory for the command line");
    while (e == ERR_OK && at != NULL) {
        const char *path = strsep(&at, ",");
        struct file_search s = {.m = m, .alone = alone};
        e = stats_file_summary(path, take_value, &s);
        if (e == ERR_OK && s.nfound == 0)
            e = err_log(ERR_USAGE, "--alone: '%s' holds no first pass of a program of the mix", path);
        if (e == ERR_OK && s.nprograms > 1)
            e = err_log(ERR_USAGE, "--alone: '%s' is of %u programs together; expected a run of one program "
                        "(--mix with one word)", path, s.nprograms);
        if (e == ERR_OK)
            e = compare_config(m, path);
    }
    free(copy);
    for (uint32_t i = 0; e == ERR_OK && i < m->nwords; i++)
        if (alone->pass[i].time_fs == 0)
            e = err_log(ERR_USAGE, "--alone: none of the files has the first pass of '%s'; each program "
                        "is looked for by its word in --mix", m->words[i].name);
    return e;
}

/* Rank 0 reads, the others hear of it. */
static enum err share_files(struct mix_run *m, struct alone *alone)
{
    uint32_t code = m->tr->rank == 0 ? (uint32_t)read_files(m, alone) : 0;
    m->tr->ops->bcast(m->tr, &code, sizeof code);
    if (code == ERR_OK)
        m->tr->ops->bcast(m->tr, alone, sizeof *alone);
    return (enum err)code;
}

/* ---- alone, by running ----------------------------------------------------------------------- */

static enum err run_one(struct mix_run *m, uint32_t word, uint32_t number, struct alone *alone)
{
    static struct mix_report report;
    char *path = m->output != NULL ? alone_path(m->output, number) : NULL;
    if (m->output != NULL && path == NULL)
        return err_log(ERR_MEMORY, "no host memory for a file name");
    struct frontend *fe = NULL;
    struct relocate_params relocate = m->relocate; /* as its first copy in the mix */
    for (uint32_t i = 0; i < word; i++)
        relocate.instance += m->words[i].ncopies;
    enum err e = mix_word_open(&m->words[word], m->passes, &relocate, &fe);
    if (e == ERR_OK) {
        report = (struct mix_report){.fe = fe};
        e = m->simulate(m->ctx, fe, path, &report, true);
        alone->pass[word] = report.together[0];
        fe->ops->close(fe);
    }
    free(path);
    return e;
}

static enum err run_alone(struct mix_run *m, struct alone *alone)
{
    enum err e = ERR_OK;
    uint32_t number = 0;
    for (uint32_t i = 0; i < m->nwords && e == ERR_OK; i++) {
        uint32_t first = same_program(m, i);
        if (first == i)
            e = run_one(m, i, ++number, alone);
        else
            alone->pass[i] = alone->pass[first];
    }
    return e;
}

/* ---- all ------------------------------------------------------------------------------------- */

/* By program instead of by word. */
static void take_alone(struct mix_run *m, const struct alone *alone)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->nwords; i++)
        for (uint32_t k = 0; k < m->words[i].ncopies; k++)
            m->report.alone[n++] = alone->pass[i];
    m->report.has_alone = true;
}

enum err mix_run(struct mix_run *m, struct frontend *fe)
{
    static struct alone alone;
    enum err e = ERR_OK;
    m->report = (struct mix_report){.fe = fe};
    if (!m->no_alone) {
        e = m->alone_files != NULL ? share_files(m, &alone) : run_alone(m, &alone);
        take_alone(m, &alone);
    }
    return e == ERR_OK ? m->simulate(m->ctx, fe, m->output, &m->report, false) : e;
}
