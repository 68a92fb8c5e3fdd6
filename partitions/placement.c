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

/* ---- by cost ---------------------------------------------------------------------------------- */

/*
 * Typical host time of all parts of a kind, for each simulated core, of which the core itself is 100. As
 * --profile-parallelism shows it (configs/baseline.yaml, AMD EPYC, gcc 12 -O3), in this unit:
 *                                             slices   channels   kernel
 *     recorded sqlite3, 1 core                     1          1      0.4
 *     recorded graph search, 4 cores              34         14      0.5
 *     gups over 1 GiB, 8 cores                    53         34      0.6
 *     gups over 64 MiB, 64 cores                  45         14      0.2
 *     stream over 192 MiB, 8 cores                32         29      0.2
 *     stream over 1 MiB with all its faults, 64   35         14      8
 */
enum { COST_CORE = 100, COST_SLICES = 35, COST_CHANNELS = 15, COST_KERNEL = 2 };

/* Rank with the least load; of equal ones the one nearest to `wanted` from there on, going round. */
static int least_loaded(const double *load, int nranks, int wanted)
{
    int best = wanted;
    for (int i = 0; i < nranks; i++) {
        int r = (wanted + i) % nranks;
        if (load[r] < load[best])
            best = r;
    }
    return best;
}

/*
 * As many slices for each rank as level its load; in blocks, so that a slice is near the core of its number.
 */
static void level_slices(struct placement *p, double *load)
{
    double cost = (double)COST_SLICES * p->ncores / p->nslices;
    uint32_t *quota = calloc((size_t)p->nranks, sizeof *quota), at = 0;
    if (quota == NULL)
        err_fatal(ERR_MEMORY, "no host memory to place on %d ranks", p->nranks);
    for (uint32_t i = 0; i < p->nslices; i++) {
        int r = least_loaded(load, p->nranks, 0);
        load[r] += cost;
        quota[r]++;
    }
    for (int r = 0; r < p->nranks; r++)
        for (; quota[r] > 0; quota[r]--)
            p->slice[at++] = r;
    free(quota);
}

static double *no_load(int nranks)
{
    double *load = calloc((size_t)nranks, sizeof *load);
    if (load == NULL)
        err_fatal(ERR_MEMORY, "no host memory to place on %d ranks", nranks);
    return load;
}

static void place_typical(struct placement *p)
{
    double *load = no_load(p->nranks);
    int with_cores = (uint32_t)p->nranks < p->ncores ? p->nranks : (int)p->ncores;
    spread(p->core, p->ncores, 0, with_cores);
    for (uint32_t i = 0; i < p->ncores; i++)
        load[p->core[i]] += COST_CORE;
    int last = p->nranks - 1, fewest = least_loaded(load, p->nranks, last);
    for (uint32_t i = 0; i < p->nchannels; i++) {
        p->channel[i] = least_loaded(load, p->nranks, last);
        load[p->channel[i]] += (double)COST_CHANNELS * p->ncores / p->nchannels;
    }
    memset(load, 0, (size_t)p->nranks * sizeof *load);
    p->kernel = p->control = p->fuzz = fewest;
    load[fewest] = (double)COST_KERNEL * p->ncores;
    level_slices(p, load);
    free(load);
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
        return speak ? err_log(ERR_USAGE, "partition '%s' is neither single, dedicated, packed, auto, profile:FILE nor a readable map file: %s",
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

/* ---- profiles --------------------------------------------------------------------------------- */

/* Host time of the parts; negative: not in the file. */
struct loads {
    double *core, *slice, *channel;
    double kernel, control;
};

struct item {
    double load;
    uint32_t i;
    int *slot, wanted;
};

static int longest_first(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return x->load != y->load ? (x->load < y->load) - (x->load > y->load) : (x->i > y->i) - (x->i < y->i);
}

/* Longest processing time first (Graham 1969): at most 4/3 of the best that there is. */
static void place_longest_first(struct item *items, uint32_t n, double *load, int nranks)
{
    qsort(items, n, sizeof *items, longest_first);
    for (uint32_t k = 0; k < n; k++) {
        int wanted = items[k].wanted >= 0 ? items[k].wanted : 0;
        *items[k].slot = least_loaded(load, nranks, wanted);
        load[*items[k].slot] += items[k].load;
    }
}

static void place_measured(struct placement *p, const struct loads *l)
{
    double *load = no_load(p->nranks);
    uint32_t n = 0, nmax = p->ncores + p->nslices + p->nchannels + 2;
    struct item *items = calloc(nmax, sizeof *items);
    if (items == NULL)
        err_fatal(ERR_MEMORY, "no host memory to place %u parts", nmax);
    for (uint32_t i = 0; i < p->ncores; i++, n++)
        items[n] = (struct item){l->core[i], n, &p->core[i], share(i, p->ncores, 0, p->nranks)};
    for (uint32_t i = 0; i < p->nchannels; i++, n++)
        items[n] = (struct item){l->channel[i], n, &p->channel[i], p->nranks - 1};
    place_longest_first(items, n, load, p->nranks);
    memset(load, 0, (size_t)p->nranks * sizeof *load);
    n = 0;
    items[n] = (struct item){l->kernel, n, &p->kernel, p->nranks - 1};
    n++;
    items[n] = (struct item){l->control, n, &p->control, p->nranks - 1};
    n++;
    for (uint32_t i = 0; i < p->nslices; i++, n++)
        items[n] = (struct item){l->slice[i], n, &p->slice[i], share(i, p->nslices, 0, p->nranks)};
    place_longest_first(items, n, load, p->nranks);
    p->fuzz = p->control;
    free(items);
    free(load);
}

static bool read_load(struct placement *p, struct loads *l, const char *line)
{
    char what[16] = "";
    unsigned i = 0;
    double load = 0;
    int n = 0;
    if (sscanf(line, " %15[a-z] %n", what, &n) != 1)
        return line[strspn(line, " \t\r\n")] == '\0' || line[strspn(line, " \t")] == '#';
    bool is_kernel = strcmp(what, "kernel") == 0;
    if (is_kernel || strcmp(what, "control") == 0) {
        double *one = is_kernel ? &l->kernel : &l->control;
        *one = sscanf(line + n, "%lf", &load) == 1 && load >= 0 ? load : -1;
        return *one >= 0;
    }
    const struct {
        const char *what;
        double *loads;
        uint32_t n;
    } parts[] = {{"core", l->core, p->ncores}, {"slice", l->slice, p->nslices}, {"channel", l->channel, p->nchannels}};
    for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++) {
        if (strcmp(what, parts[k].what) != 0)
            continue;
        if (sscanf(line + n, "%u %lf", &i, &load) != 2 || load < 0 || i >= parts[k].n)
            return false;
        parts[k].loads[i] = load;
        return true;
    }
    return false;
}

/* NULL: every part has a load; else the first kind that lacks one. */
static const char *lacking(const struct placement *p, const struct loads *l)
{
    for (uint32_t i = 0; i < p->ncores; i++)
        if (l->core[i] < 0)
            return "core";
    for (uint32_t i = 0; i < p->nslices; i++)
        if (l->slice[i] < 0)
            return "slice";
    for (uint32_t i = 0; i < p->nchannels; i++)
        if (l->channel[i] < 0)
            return "channel";
    return l->kernel < 0 ? "kernel" : l->control < 0 ? "control" : NULL;
}

static enum err read_loads(struct placement *p, struct loads *l, FILE *f, const char *path, bool speak)
{
    char line[512];
    for (int n = 1; fgets(line, sizeof line, f) != NULL; n++)
        if (!read_load(p, l, line))
            return !speak ? ERR_USAGE
                          : err_log(ERR_USAGE, "%s:%d: expected 'core', 'slice' or 'channel', a number below %u, %u or %u, and a load; or 'kernel' or 'control' and a load: %.*s",
                                    path, n, p->ncores, p->nslices, p->nchannels, (int)strcspn(line, "\n"), line);
    const char *what = lacking(p, l);
    if (what == NULL)
        return ERR_OK;
    return !speak ? ERR_USAGE
                  : err_log(ERR_USAGE, "%s: has no load for every %s; this machine has %u cores, %u slices, %u channels: profile a run of the same machine",
                            path, what, p->ncores, p->nslices, p->nchannels);
}

static enum err place_by_profile(struct placement *p, const char *path, bool speak)
{
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return speak ? err_log(ERR_USAGE, "%s: cannot read the profile: %s", path, strerror(errno)) : ERR_USAGE;
    size_t n = (size_t)p->ncores + p->nslices + p->nchannels;
    double *all = calloc(n, sizeof *all);
    if (all == NULL)
        err_fatal(ERR_MEMORY, "no host memory for %zu loads", n);
    for (size_t i = 0; i < n; i++)
        all[i] = -1;
    struct loads l = {all, all + p->ncores, all + p->ncores + p->nslices, -1, -1};
    enum err e = read_loads(p, &l, f, path, speak);
    fclose(f);
    if (e == ERR_OK)
        place_measured(p, &l);
    free(all);
    return e;
}

/* ---- by name ---------------------------------------------------------------------------------- */

static enum err place(struct placement *p, const char *spec, bool speak)
{
    static const char profile[] = "profile:";
    bool by_cost = strcmp(spec, "auto") == 0;
    if (by_cost && p->nranks == 1)
        spec = "single";
    p->name = spec;
    if (strcmp(spec, "single") == 0) {
        if (p->nranks != 1)
            return speak ? err_log(ERR_USAGE, "partition single is for one process; this run has %d ranks (use auto, packed or dedicated)", p->nranks)
                         : ERR_USAGE;
        place_packed(p);
        return ERR_OK;
    }
    if (by_cost) {
        place_typical(p);
        return ERR_OK;
    }
    if (strncmp(spec, profile, strlen(profile)) == 0)
        return place_by_profile(p, spec + strlen(profile), speak);
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

/* Places on as many ranks as are useful, as if there were no others; then they get their numbers. */
static enum err place_on_useful(struct placement *p, const char *spec, const unsigned char *useful, bool speak)
{
    int nranks = p->nranks, n = 0;
    if (useful == NULL || (strcmp(spec, "auto") != 0 && strncmp(spec, "profile:", 8) != 0))
        return place(p, spec, speak);
    int *rank_of = calloc((size_t)nranks, sizeof *rank_of);
    if (rank_of == NULL)
        return err_log(ERR_MEMORY, "no host memory to place on %d ranks", nranks);
    for (int r = 0; r < nranks; r++)
        if (useful[r])
            rank_of[n++] = r;
    SIM_ASSERT(n > 0, "none of %d ranks is useful", nranks);
    p->nranks = n;
    enum err e = place(p, spec, speak);
    p->nranks = nranks;
    for (uint32_t i = 0; i < p->ncores; i++)
        p->core[i] = rank_of[p->core[i]];
    for (uint32_t i = 0; i < p->nslices; i++)
        p->slice[i] = rank_of[p->slice[i]];
    for (uint32_t i = 0; i < p->nchannels; i++)
        p->channel[i] = rank_of[p->channel[i]];
    p->kernel = rank_of[p->kernel];
    p->control = rank_of[p->control];
    p->fuzz = rank_of[p->fuzz];
    free(rank_of);
    return e;
}

enum err placement_create(const char *spec, uint32_t ncores, uint32_t nslices, uint32_t nchannels,
                          int nranks, const unsigned char *useful, bool speak, struct placement *out)
{
    struct placement p = {.ncores = ncores, .nslices = nslices, .nchannels = nchannels, .nranks = nranks};
    p.core = calloc(ncores, sizeof *p.core);
    p.slice = calloc(nslices, sizeof *p.slice);
    p.channel = calloc(nchannels, sizeof *p.channel);
    enum err e = ERR_OK;
    if (p.core == NULL || p.slice == NULL || p.channel == NULL)
        e = err_log(ERR_MEMORY, "no host memory to place %u cores", ncores);
    else
        e = place_on_useful(&p, spec, useful, speak);
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
