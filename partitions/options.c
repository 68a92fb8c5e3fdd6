/* See options.h. Options that are short for a configuration key are rows of one table. */
#include "partitions/options.h"

#include <stdlib.h>
#include <string.h>

/* clang-format off */
#define KEY_OPTIONS(X)                                                                      \
    X("--workload",     "workload.kind",    "NAME", "gups, stream, chase, graph or xsbench, not a trace") \
    X("--size",         "workload.size",    "SIZE", "footprint of the built-in workload")   \
    X("--instructions", "sim.instructions", "N",    "stop each thread after N instructions") \
    X("--warmup",       "sim.warmup",       "N",    "instructions per thread before the statistics count") \
    X("--cores",        "core.count",       "N",    "simulated cores (default: one per thread)") \
    X("--seed",         "sim.seed",         "N",    "seed of everything random")            \
    X("--fuzz",         "fuzz.seed",        "N",    "put the fuzz process beside the machine") \
    X("--cut",          "sim.cut_seed",     "N",    "cut windows at random; must not change the statistics")
/* clang-format on */

/* Options of the commands that read the event log: X(option, field, modes, argument, doc). */
#define LOG_OPTIONS(X)                                                                      \
    X("--event",    event,    1u << MODE_LOG, "LIST", "groups or kinds of events, such as walk,fault (default: all)") \
    X("--page",     page,     1u << MODE_LOG, "ADDR", "events about this virtual page only") \
    X("--core",     core,     1u << MODE_LOG | 1u << MODE_EXPLAIN, "N", "events of this core only") \
    X("--time",     time,     1u << MODE_LOG | 1u << MODE_EXPLAIN, "A:B", "simulated time, such as 10us:20us; explain: the first access in it") \
    X("--vaddr",    vaddr,    1u << MODE_EXPLAIN, "ADDR", "an address in the page whose access is explained") \
    X("--nth-miss", nth_miss, 1u << MODE_EXPLAIN, "K", "its K-th STLB miss (default: the first)")

static const char *const plain_options[] = {
    "--json", "--brackets",
#define X(option, field, modes, arg, doc) option,
    LOG_OPTIONS(X)
#undef X
    "--trace", "-t", "-o", "--output", "-s", "--set", "-c", "--config", "--partition", "--config-from", "--ranks",
    "--partition-profile", "--profile-parallelism", "--network",
    "--repeat", "--mix", "--alone", "--no-alone", "--dump-config", "--progress", "--quiet", "-q", "--help", "-h",
#define X(option, key, arg, doc) option,
    KEY_OPTIONS(X)
#undef X
};

static void log_help(FILE *f, enum run_mode mode)
{
    fputs(mode == MODE_LOG
              ? "usage: concerto log [CONFIG.yaml ...] (--trace FILE | --workload NAME) [options of run] [options]\n"
                "       what the simulated machine does, as lines in the order of simulated time; the same order on any\n"
                "       number of ranks\n\n"
              : "usage: concerto explain [CONFIG.yaml ...] (--trace FILE | --workload NAME) --vaddr ADDR [options]\n"
                "       one access, from dispatch to the cycle from which it is in nobody's way: each structure\n"
                "       probed, what it held, and the cycles charged for it\n\n", f);
#define X(option, field, modes, arg, doc)         \
    if ((modes) >> mode & 1u)                     \
        fprintf(f, "  %-11s %-5s %s\n", option, arg, doc);
    LOG_OPTIONS(X)
#undef X
    if (mode == MODE_LOG)
        fputs("  --json            one JSON object a line\n", f);
}

void options_help(FILE *f, enum run_mode mode)
{
    if (mode != MODE_RUN) {
        log_help(f, mode);
        return;
    }
    fputs("usage: concerto run [CONFIG.yaml ...] (--trace FILE | --workload NAME | --mix LIST) [options]\n"
          "       mpirun -np N concerto run ...   the same, on N ranks, with the same statistics\n\n"
          "  --trace FILE         a recorded trace (.vmt) or a ChampSim trace (raw, .xz, .gz); may be repeated for\n"
          "                       ChampSim, one file per thread\n"
          "  --mix LIST           several programs at once, each in its own address space: FILE, NAME:SIZE or\n"
          "                       NAME:SIZE:THREADS, separated by commas, *N behind one for N copies; each starts\n"
          "                       anew until all have ended once (x.vmt,gups:4GiB,chase:64MiB*2)\n"
          "  --alone FILES        results of the mix's programs alone, from earlier files (out.alone-1.h5,...)\n"
          "  --no-alone           no runs alone before the mix: no slowdown, ANTT and STP\n"
          "  -o, --output FILE    statistics file (HDF5); without it only the summary is printed\n"
          "  -s, --set KEY=VALUE  set one configuration key; wins over files (concerto describe config)\n"
          "  -c, --config FILE    a configuration file, like a plain argument\n"
          "  --config-from FILE   start from the configuration of an earlier statistics file\n"
          "  --dump-config        print the effective configuration with the origin of each value, and stop\n"
          "  --partition MAP      single, dedicated, packed, auto (default) or a map file\n"
          "  --profile-parallelism  how long the run would take on 1 to 1024 ranks, and what limits it; with -o x.h5\n"
          "                       also x.profile, the measured loads\n"
          "  --partition-profile FILE  place by the loads of such a profile\n"
          "  --network L,B,R      for the prediction: latency, bandwidth and ranks of a node (1500ns,12.5GB,64)\n"
          "  --ranks N            start mpirun with N ranks\n"
          "  --repeat N           N runs, all but the first perturbed (sim.perturb): means and 95 % intervals;\n"
          "                       x.h5 is the first, x.r1.h5 ... are the others\n"
          "  --brackets           runs twice more, with all loads serial and all independent: what overlap can do\n"
          "  --progress           progress lines even without a terminal      -q, --quiet  none\n\n"
          "short for configuration keys:\n", f);
#define X(option, key, arg, doc) fprintf(f, "  %-14s %-5s %-18s %s\n", option, arg, "(" key ")", doc);
    KEY_OPTIONS(X)
#undef X
}

static enum err add_set(struct run_options *o, const char *key, const char *value)
{
    if (o->nsets == 2 * OPTIONS_MAX)
        return err_log(ERR_USAGE, "more than %d settings on the command line", 2 * OPTIONS_MAX);
    size_t size = strlen(key) + strlen(value) + 2;
    char *text = malloc(size);
    if (text == NULL)
        return err_log(ERR_MEMORY, "no host memory for the command line");
    snprintf(text, size, "%s=%s", key, value);
    o->sets[o->nsets++] = text;
    return ERR_OK;
}

static enum err unknown(const char *word)
{
    const char *near = err_nearest(word, plain_options, sizeof plain_options / sizeof plain_options[0]);
    return near != NULL ? err_log(ERR_USAGE, "run: unknown option '%s' (did you mean '%s'?)", word, near)
                        : err_log(ERR_USAGE, "run: unknown option '%s'; concerto run --help lists them", word);
}

static bool is(const char *word, const char *a, const char *b)
{
    return strcmp(word, a) == 0 || (b != NULL && strcmp(word, b) == 0);
}

/* Stores `value` in the list, or complains that it is full. */
static enum err add(const char **list, int *n, const char *value)
{
    if (*n == OPTIONS_MAX)
        return err_log(ERR_USAGE, "run: more than %d files", OPTIONS_MAX);
    list[(*n)++] = value;
    return ERR_OK;
}

static const char *const mode_names[] = {"run", "log", "explain"};

static enum err take_flag(struct run_options *o, const char *word, bool *taken)
{
    *taken = true;
    if (is(word, "--dump-config", NULL))
        o->dump_config = 1;
    else if (is(word, "--progress", NULL))
        o->progress = 1;
    else if (is(word, "--quiet", "-q"))
        o->quiet = 1;
    else if (is(word, "--no-alone", NULL))
        o->no_alone = 1;
    else if (is(word, "--profile-parallelism", NULL))
        o->profile = 1;
    else if (is(word, "--help", "-h"))
        o->help = 1;
    else if (is(word, "--brackets", NULL))
        o->brackets = 1;
    else if (is(word, "--json", NULL))
        o->json = 1;
    else
        *taken = false;
    return ERR_OK;
}

static enum err take_repeats(struct run_options *o, const char *value)
{
    char *end;
    unsigned long n = strtoul(value, &end, 10);
    if (value[0] == '-' || *end != '\0' || end == value || n == 0 || n > OPTIONS_REPEATS_MAX)
        return err_log(ERR_USAGE, "run: --repeat %s: expected a number from 1 to %d", value, OPTIONS_REPEATS_MAX);
    o->nrepeats = (unsigned)n;
    return ERR_OK;
}

static enum err take_partition_profile(struct run_options *o, const char *value)
{
    size_t size = strlen(value) + sizeof "profile:";
    free(o->partition_profile);
    o->partition_profile = malloc(size);
    if (o->partition_profile == NULL)
        return err_log(ERR_MEMORY, "no host memory for the command line");
    snprintf(o->partition_profile, size, "profile:%s", value);
    o->partition = o->partition_profile;
    return ERR_OK;
}

static enum err take_valued(struct run_options *o, const char *word, const char *value)
{
    if (is(word, "--trace", "-t"))
        return add(o->traces, &o->ntraces, value);
    if (is(word, "-c", "--config"))
        return add(o->files, &o->nfiles, value);
    if (is(word, "-s", "--set")) {
        const char *eq = strchr(value, '=');
        if (eq == NULL)
            return err_log(ERR_USAGE, "run: %s %s: expected KEY=VALUE", word, value);
        char key[256];
        snprintf(key, sizeof key, "%.*s", (int)(eq - value), value);
        return add_set(o, key, eq + 1);
    }
    if (is(word, "--mix", NULL))
        o->mix = value;
    else if (is(word, "--alone", NULL))
        o->alone = value;
    else if (is(word, "-o", "--output"))
        o->output = value;
    else if (is(word, "--partition", NULL))
        o->partition = value;
    else if (is(word, "--partition-profile", NULL))
        return take_partition_profile(o, value);
    else if (is(word, "--network", NULL))
        o->network = value;
    else if (is(word, "--config-from", NULL))
        o->config_from = value;
    else if (is(word, "--ranks", NULL))
        o->ranks = value;
    else if (is(word, "--repeat", NULL))
        return take_repeats(o, value);
#define X(option, field, modes, arg, doc)                                                      \
    else if (is(word, option, NULL))                                                           \
    {                                                                                          \
        if (((modes) >> o->mode & 1u) == 0)                                                    \
            return err_log(ERR_USAGE, "%s is no option of `concerto %s`, but of `concerto %s`", word, \
                           mode_names[o->mode], (modes) >> MODE_LOG & 1u ? "log" : "explain"); \
        o->field = value;                                                                      \
    }
    LOG_OPTIONS(X)
#undef X
#define X(option, key, arg, doc)       \
    else if (is(word, option, NULL))   \
        return add_set(o, key, value);
    KEY_OPTIONS(X)
#undef X
    return ERR_OK;
}

/* Of the last setting of `key`; NULL: it was not set. */
static const char *setting(const struct run_options *o, const char *key)
{
    size_t n = strlen(key);
    for (int i = o->nsets; i-- > 0;)
        if (strncmp(o->sets[i], key, n) == 0 && o->sets[i][n] == '=')
            return o->sets[i] + n + 1;
    return NULL;
}

static enum err check_mix(struct run_options *o)
{
    if (o->mix == NULL)
        return o->alone == NULL && !o->no_alone
                   ? ERR_OK
                   : err_log(ERR_USAGE, "run: %s belongs to --mix", o->no_alone ? "--no-alone" : "--alone");
    if (o->ntraces > 0)
        return err_log(ERR_USAGE, "run: both --mix and --trace %s; name the trace in --mix", o->traces[0]);
    if (setting(o, "workload.kind") != NULL)
        return err_log(ERR_USAGE, "run: both --mix and --workload %s; name it in --mix, as in gups:64MiB",
                       setting(o, "workload.kind"));
    if (setting(o, "workload.size") != NULL)
        return err_log(ERR_USAGE, "run: --size (workload.size) does not reach the programs of --mix; write gups:%s",
                       setting(o, "workload.size"));
    if (o->alone != NULL && o->no_alone)
        return err_log(ERR_USAGE, "run: --alone and --no-alone exclude each other");
    if (o->mode != MODE_RUN && o->alone != NULL)
        return err_log(ERR_USAGE, "--alone is for `concerto run`; the log is of the programs together");
    o->no_alone |= o->mode != MODE_RUN;
    return ERR_OK;
}

enum err options_parse(int argc, char **argv, struct run_options *o)
{
    *o = (struct run_options){.partition = "auto", .nrepeats = 1};
    for (enum run_mode m = MODE_RUN; argc > 0 && m <= MODE_EXPLAIN; m++)
        if (strcmp(argv[0], mode_names[m]) == 0)
            o->mode = m;
    enum err e = ERR_OK;
    for (int i = 1; i < argc && e == ERR_OK; i++) {
        const char *word = argv[i];
        if (word[0] != '-') {
            e = add(o->files, &o->nfiles, word);
            continue;
        }
        bool taken, known = false;
        e = take_flag(o, word, &taken);
        if (taken)
            continue;
        for (size_t k = 0; k < sizeof plain_options / sizeof plain_options[0]; k++)
            known |= strcmp(word, plain_options[k]) == 0;
        if (!known)
            e = unknown(word);
        else if (i + 1 == argc)
            e = err_log(ERR_USAGE, "run: %s needs a value", word);
        else
            e = take_valued(o, word, argv[++i]);
    }
    if (e == ERR_OK && o->mode != MODE_LOG && o->json)
        e = err_log(ERR_USAGE, "--json is no option of `concerto %s`, but of `concerto log`", mode_names[o->mode]);
    if (e == ERR_OK && o->mode != MODE_RUN && o->brackets)
        e = err_log(ERR_USAGE, "--brackets is no option of `concerto %s`, but of `concerto run`", mode_names[o->mode]);
    if (e == ERR_OK && o->brackets && (o->nrepeats > 1 || o->mix != NULL))
        e = err_log(ERR_USAGE, "run: --brackets goes with one run of one program; -s core.overlap=serial gives a single bracket");
    if (e == ERR_OK && o->mode != MODE_RUN && o->nrepeats > 1)
        e = err_log(ERR_USAGE, "--repeat is for `concerto run`; the log of repeat I comes with -s sim.perturb=I");
    if (e == ERR_OK && (o->mode != MODE_RUN || o->nrepeats > 1 || o->brackets) && o->profile)
        e = err_log(ERR_USAGE, "--profile-parallelism is for one `concerto run`, without --repeat and --brackets");
    if (e == ERR_OK && o->network != NULL && !o->profile)
        e = err_log(ERR_USAGE, "run: --network belongs to --profile-parallelism");
    return e == ERR_OK ? check_mix(o) : e;
}

void options_free(struct run_options *o)
{
    for (int i = 0; i < o->nsets; i++)
        free(o->sets[i]);
    o->nsets = 0;
    free(o->partition_profile);
    o->partition_profile = NULL;
}
