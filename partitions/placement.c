/* See placement.h. */
#include "partitions/placement.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Item i of n in equal, contiguous shares over ranks [first, first + nranks). */
static int share(uint32_t i, uint32_t n, int first, int nranks)
{
    return first + (int)((uint64_t)i * (uint64_t)nranks / n);
}

static void spread(int *ranks, uint32_t n, int first, int nranks)
{
    for (uint32_t i = 0; i < n; i++)
        ranks[i] = share(i, n, first, nranks);
}

static void place_packed(struct placement *p)
{
    int with_cores = (uint32_t)p->nranks < p->ncores ? p->nranks : (int)p->ncores;
    spread(p->core, p->ncores, 0, with_cores);
    spread(p->slice, p->nslices, 0, p->nranks);
    spread(p->channel, p->nchannels, 0, p->nranks);
    p->kernel = p->control = p->fuzz = p->nranks > with_cores ? p->nranks - 1 : 0;
}

static void place_dedicated(struct placement *p)
{
    int ncores = (int)p->ncores, memory = p->nranks - ncores - 1;
    spread(p->core, p->ncores, 0, ncores);
    spread(p->slice, p->nslices, ncores, memory);
    spread(p->channel, p->nchannels, ncores, memory);
    p->kernel = p->control = p->fuzz = p->nranks - 1;
}

/* ---- map files -------------------------------------------------------------------------------- */

struct map_reader {
    struct placement *p;
    const char *path;
    bool speak;
    int line;
};

static enum err bad(const struct map_reader *m, const char *fmt, const char *word, const char *hint)
{
    if (!m->speak)
        return ERR_USAGE;
    char text[256];
    snprintf(text, sizeof text, fmt, word, hint);
    return err_log(ERR_USAGE, "%s:%d: %s", m->path, m->line, text);
}

static enum err parse_range(const struct map_reader *m, const char *word, uint32_t n, uint32_t *first,
                            uint32_t *last)
{
    char limit[32];
    snprintf(limit, sizeof limit, "0 to %u", n - 1);
    if (strcmp(word, "*") == 0) {
        *first = 0;
        *last = n - 1;
        return ERR_OK;
    }
    char *end;
    unsigned long a = strtoul(word, &end, 10), b = a;
    if (end != word && *end == '-')
        b = strtoul(end + 1, &end, 10);
    if (end == word || *end != '\0' || a > b || b >= n)
        return bad(m, "'%s' is no range of existing ones (%s, or *)", word, limit);
    *first = (uint32_t)a;
    *last = (uint32_t)b;
    return ERR_OK;
}

static enum err set_one(const struct map_reader *m, int *slot, int rank, const char *what)
{
    if (*slot >= 0)
        return bad(m, "%s was placed before%s", what, "");
    *slot = rank;
    return ERR_OK;
}

static enum err parse_line(const struct map_reader *m, char *text)
{
    static const char *const kinds[] = {"core", "slice", "channel", "kernel", "control", "fuzz"};
    struct placement *p = m->p;
    char *save, *words[4];
    int n = 0;
    char *comment = strchr(text, '#');
    if (comment != NULL)
        *comment = '\0';
    for (char *w = strtok_r(text, " \t\r\n", &save); w != NULL && n < 4; w = strtok_r(NULL, " \t\r\n", &save))
        words[n++] = w;
    if (n == 0)
        return ERR_OK;
    size_t kind = 0;
    while (kind < 6 && strcmp(kinds[kind], words[0]) != 0)
        kind++;
    if (kind == 6) {
        const char *near = err_nearest(words[0], kinds, 6);
        return bad(m, "'%s' is nothing that can be placed (did you mean '%s'?)", words[0],
                   near != NULL ? near : "core");
    }
    int want = kind < 3 ? 3 : 2;
    if (n != want)
        return bad(m, "expected '%s %srank'", words[0], kind < 3 ? "which " : "");
    char *end;
    long rank = strtol(words[n - 1], &end, 10);
    char limit[48];
    snprintf(limit, sizeof limit, "this run has ranks 0 to %d", p->nranks - 1);
    if (*end != '\0' || end == words[n - 1] || rank < 0 || rank >= p->nranks)
        return bad(m, "rank '%s' does not exist: %s", words[n - 1], limit);
    if (kind >= 3)
        return set_one(m, kind == 3 ? &p->kernel : kind == 4 ? &p->control : &p->fuzz, (int)rank, words[0]);
    uint32_t count = kind == 0 ? p->ncores : kind == 1 ? p->nslices : p->nchannels;
    int *slots = kind == 0 ? p->core : kind == 1 ? p->slice : p->channel;
    uint32_t first = 0, last = 0;
    enum err e = parse_range(m, words[1], count, &first, &last);
    for (uint32_t i = first; e == ERR_OK && i <= last; i++)
        e = set_one(m, &slots[i], (int)rank, words[0]);
    return e;
}

static enum err check_all_placed(const struct placement *p, const char *path, bool speak)
{
    const struct {
        const char *what;
        const int *slots;
        uint32_t n;
    } parts[] = {{"core", p->core, p->ncores}, {"slice", p->slice, p->nslices},
                 {"channel", p->channel, p->nchannels}, {"kernel", &p->kernel, 1},
                 {"control", &p->control, 1}};
    for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++)
        for (uint32_t i = 0; i < parts[k].n; i++)
            if (parts[k].slots[i] < 0)
                return speak ? err_log(ERR_USAGE, "%s: %s %u is on no rank", path, parts[k].what, i)
                             : ERR_USAGE;
    return ERR_OK;
}

static enum err place_by_file(struct placement *p, const char *path, bool speak)
{
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return speak ? err_log(ERR_USAGE, "partition '%s' is neither single, dedicated, packed, auto nor a readable map file: %s",
                               path, strerror(errno))
                     : ERR_USAGE;
    memset(p->core, 0xff, p->ncores * sizeof *p->core);
    memset(p->slice, 0xff, p->nslices * sizeof *p->slice);
    memset(p->channel, 0xff, p->nchannels * sizeof *p->channel);
    p->kernel = p->control = p->fuzz = -1;
    struct map_reader m = {p, path, speak, 0};
    char text[512];
    enum err e = ERR_OK;
    while (e == ERR_OK && fgets(text, sizeof text, f) != NULL) {
        m.line++;
        e = parse_line(&m, text);
    }
    fclose(f);
    if (e == ERR_OK)
        e = check_all_placed(p, path, speak);
    if (p->fuzz < 0)
        p->fuzz = p->control;
    return e;
}

/* ---- by name ---------------------------------------------------------------------------------- */

static enum err place(struct placement *p, const char *spec, bool speak)
{
    if (strcmp(spec, "auto") == 0)
        spec = p->nranks == 1                           ? "single"
               : (uint32_t)p->nranks >= p->ncores + 2 ? "dedicated"
                                                      : "packed";
    p->name = spec;
    if (strcmp(spec, "single") == 0) {
        if (p->nranks != 1)
            return speak ? err_log(ERR_USAGE, "partition single is for one process; this run has %d ranks (use auto, packed or dedicated)", p->nranks)
                         : ERR_USAGE;
        place_packed(p);
        return ERR_OK;
    }
    if (strcmp(spec, "packed") == 0) {
        place_packed(p);
        return ERR_OK;
    }
    if (strcmp(spec, "dedicated") == 0) {
        if ((uint32_t)p->nranks < p->ncores + 2)
            return speak ? err_log(ERR_USAGE, "too few ranks: partition dedicated needs %u for %u cores (each core, memory, kernel), this run has %d; start with mpirun -np %u, or use --partition packed",
                                   p->ncores + 2, p->ncores, p->nranks, p->ncores + 2)
                         : ERR_USAGE;
        place_dedicated(p);
        return ERR_OK;
    }
    return place_by_file(p, spec, speak);
}

enum err placement_create(const char *spec, uint32_t ncores, uint32_t nslices, uint32_t nchannels,
                          int nranks, bool speak, struct placement *out)
{
    struct placement p = {.ncores = ncores, .nslices = nslices, .nchannels = nchannels, .nranks = nranks};
    p.core = calloc(ncores, sizeof *p.core);
    p.slice = calloc(nslices, sizeof *p.slice);
    p.channel = calloc(nchannels, sizeof *p.channel);
    enum err e = ERR_OK;
    if (p.core == NULL || p.slice == NULL || p.channel == NULL)
        e = err_log(ERR_MEMORY, "no host memory to place %u cores", ncores);
    else
        e = place(&p, spec, speak);
    if (e != ERR_OK) {
        placement_free(&p);
        return e;
    }
    *out = p;
    return ERR_OK;
}

void placement_free(struct placement *p)
{
    free(p->core);
    free(p->slice);
    free(p->channel);
    p->core = p->slice = p->channel = NULL;
}

static size_t describe_part(char *buf, size_t at, size_t size, const char *what, const int *ranks,
                            uint32_t n, int rank)
{
    for (uint32_t i = 0; i < n && at < size; i++) {
        if (ranks[i] != rank || (i > 0 && ranks[i - 1] == rank))
            continue;
        uint32_t last = i;
        while (last + 1 < n && ranks[last + 1] == rank)
            last++;
        const char *sep = at ? ", " : "";
        int m = last > i ? snprintf(buf + at, size - at, "%s%ss %u-%u", sep, what, i, last)
                         : snprintf(buf + at, size - at, "%s%s %u", sep, what, i);
        at += m > 0 ? (size_t)m : 0;
    }
    return at;
}

char *placement_describe(const struct placement *p, int rank, char *buf, size_t size)
{
    buf[0] = '\0';
    size_t at = describe_part(buf, 0, size, "core", p->core, p->ncores, rank);
    at = describe_part(buf, at, size, "slice", p->slice, p->nslices, rank);
    at = describe_part(buf, at, size, "channel", p->channel, p->nchannels, rank);
    if (p->kernel == rank && at < size)
        at += (size_t)snprintf(buf + at, size - at, "%skernel", at ? ", " : "");
    if (at == 0)
        snprintf(buf, size, "nothing");
    return buf;
}
