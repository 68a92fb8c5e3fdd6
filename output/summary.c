/*
 * The table at the end of a run. A line is a row of `lines`: a label and a formula over names of
 * counters. A name that ends in '*' is the sum of all counters that begin so; one that begins
 * with '?' may be missing. A line with another name missing, or nothing to divide by, is left out,
 * and so is a section without lines.
 */
#include "output/summary.h"

#include <inttypes.h>
#include <string.h>

#define TERMS_MAX 6u
#define CALLS "syscalls/" /* items that count system calls */
#define CALLS_SHOWN 8u

enum form {
    FORM_COUNT,   /* sum of a */
    FORM_SOME,    /* the same, left out when it is 0 */
    FORM_RATIO,   /* a / b */
    FORM_MPKI,    /* a per thousand b */
    FORM_PERCENT, /* a of b */
    FORM_SOME_PERCENT, /* the same, left out when a is 0 */
    FORM_PART,    /* a / b, left out when a is 0, with a as a share of all cycles */
    FORM_SHARES,  /* each of a, as a part of their sum */
    FORM_SPREAD   /* a / b per instance: least, all, most */
};

struct line {
    const char *section, *label;
    enum form form;
    const char *a[TERMS_MAX], *b[TERMS_MAX];
    const char *unit;           /* behind the value */
    const char *names[TERMS_MAX]; /* of shares */
};

#define INSTRUCTIONS {"cores/instructions"}

/* clang-format off */
static const struct line lines[] = {
    {"Core", "instructions", FORM_COUNT, INSTRUCTIONS, {0}, "", {0}},
    {"Core", "IPC, all cores", FORM_RATIO, INSTRUCTIONS, {"cores/cycles"}, "", {0}},
    {"Core", "IPC per core", FORM_SPREAD, INSTRUCTIONS, {"cores/cycles"}, "", {0}},
    {"Core", "loads, stores", FORM_SHARES, {"cores/loads", "cores/stores"}, {0}, "", {"loads", "stores"}},
    {"Core", "kernel mode", FORM_PERCENT, {"cores/kernel/cycles"}, {"cores/cycles"}, "of cycles", {0}},
    {"Core", "waiting for the ROB", FORM_PERCENT, {"cores/stall/rob"}, {"cores/cycles"}, "of cycles", {0}},
    {"Core", "waiting to drain", FORM_PERCENT, {"cores/stall/drain"}, {"cores/cycles"}, "of cycles", {0}},
    {"Core", "branches", FORM_SHARES, {"cores/branch/conditional", "cores/branch/jump", "cores/branch/indirect_jump",
        "cores/branch/call", "cores/branch/indirect_call", "cores/branch/return"}, {0}, "",
        {"conditional", "jumps", "indirect", "calls", "indirect calls", "returns"}},
    {"Core", "mispredicted branches", FORM_MPKI,
        {"cores/branch/wrong_direction", "cores/branch/wrong_target", "cores/branch/wrong_return"}, INSTRUCTIONS, "per 1000 instr.", {0}},
    {"Core", "mean time to resolve one", FORM_RATIO, {"cores/branch/resolve_cycles"},
        {"cores/branch/wrong_direction", "cores/branch/wrong_target", "cores/branch/wrong_return"}, "cycles", {0}},
    {"Core", "waiting for branches", FORM_PERCENT, {"cores/stall/branch"}, {"cores/cycles"}, "of cycles", {0}},
    {"Core", "waiting for code", FORM_PERCENT, {"cores/stall/ifetch"}, {"cores/cycles"}, "of cycles", {0}},

    {"Cycles per instruction", "dispatch and arithmetic", FORM_PART, {"cores/stack/base"}, INSTRUCTIONS, "", {0}},
    {"Cycles per instruction", "mispredicted branches", FORM_PART, {"cores/stack/branch"}, INSTRUCTIONS, "", {0}},
    {"Cycles per instruction", "code lines", FORM_PART, {"cores/stack/fetch"}, INSTRUCTIONS, "", {0}},
    {"Cycles per instruction", "L1D", FORM_PART, {"cores/stack/l1"}, INSTRUCTIONS, "", {0}},
    {"Cycles per instruction", "L2", FORM_PART, {"cores/stack/l2"}, INSTRUCTIONS, "", {0}},
    {"Cycles per instruction", "LLC", FORM_PART, {"cores/stack/llc"}, INSTRUCTIONS, "", {0}},
    {"Cycles per instruction", "DRAM", FORM_PART, {"cores/stack/dram"}, INSTRUCTIONS, "", {0}},
    {"Cycles per instruction", "TLB hit latency", FORM_PART, {"cores/stack/tlb"}, INSTRUCTIONS, "", {0}},
    {"Cycles per instruction", "page walks", FORM_PART, {"cores/stack/walk"}, INSTRUCTIONS, "", {0}},
    {"Cycles per instruction", "page faults", FORM_PART, {"cores/stack/fault"}, INSTRUCTIONS, "", {0}},
    {"Cycles per instruction", "kernel", FORM_PART, {"cores/stack/kernel"}, INSTRUCTIONS, "", {0}},
    {"Cycles per instruction", "other threads", FORM_PART, {"cores/stack/sync"}, INSTRUCTIONS, "", {0}},
    {"Cycles per instruction", "all", FORM_PART, {"cores/stack/*"}, INSTRUCTIONS, "", {0}},

    {"Translation", "L1 ITLB misses", FORM_MPKI, {"cores/itlb/l1_misses"}, INSTRUCTIONS, "MPKI", {0}},
    {"Translation", "L1 DTLB misses", FORM_MPKI, {"cores/dtlb/l1_misses"}, INSTRUCTIONS, "MPKI", {0}},
    {"Translation", "L1 DTLB hit rate", FORM_PERCENT, {"cores/dtlb/l1_hits"},
        {"cores/dtlb/l1_hits", "cores/dtlb/l1_misses"}, "", {0}},
    {"Translation", "STLB misses", FORM_MPKI, {"cores/stlb/misses"}, INSTRUCTIONS, "MPKI", {0}},
    {"Translation", "STLB hit rate", FORM_PERCENT, {"cores/stlb/hits"},
        {"cores/stlb/hits", "cores/stlb/misses"}, "", {0}},

    {"Page walks", "walks", FORM_COUNT, {"cores/ptw/walks"}, {0}, "", {0}},
    {"Page walks", "walks per 1000 instr.", FORM_MPKI, {"cores/ptw/walks"}, INSTRUCTIONS, "", {0}},
    {"Page walks", "joined another walk", FORM_COUNT, {"cores/ptw/merged"}, {0}, "", {0}},
    {"Page walks", "mean latency", FORM_RATIO, {"cores/ptw/walk_cycles"}, {"cores/ptw/walks"}, "cycles", {0}},
    {"Page walks", "mean wait for a walker", FORM_RATIO, {"cores/ptw/queue_cycles"}, {"cores/ptw/walks"}, "cycles", {0}},
    {"Page walks", "references per walk", FORM_RATIO,
        {"cores/ptw/refs_l1", "cores/ptw/refs_l2", "cores/ptw/refs_llc", "cores/ptw/refs_dram"}, {"cores/ptw/walks"}, "", {0}},
    {"Page walks", "references hit", FORM_SHARES,
        {"cores/ptw/refs_l1", "cores/ptw/refs_l2", "cores/ptw/refs_llc", "cores/ptw/refs_dram"}, {0}, "",
        {"L1", "L2", "LLC", "DRAM"}},
    {"Page walks", "page sizes found", FORM_SHARES,
        {"?cores/ptw/walks_4k", "?cores/ptw/walks_2m", "?cores/ptw/walks_1g"}, {0}, "", {"4K", "2M", "1G"}},
    {"Page walks", "walk cycles", FORM_PERCENT, {"cores/ptw/walk_cycles"}, {"cores/cycles"}, "of cycles, overlap included", {0}},

    {"Page faults", "raised", FORM_COUNT, {"cores/fault/raised"}, {0}, "", {0}},
    {"Page faults", "mean latency", FORM_RATIO, {"cores/fault/cycles"}, {"cores/fault/raised"}, "cycles", {0}},
    {"Page faults", "waiting for faults", FORM_PERCENT, {"cores/fault/cycles"}, {"cores/cycles"}, "of cycles", {0}},
    {"Page faults", "served with", FORM_SHARES,
        {"kernel/faults/anon_4k", "?kernel/faults/anon_2m", "?kernel/faults/file", "?kernel/faults/cow", "?kernel/faults/spurious"}, {0}, "",
        {"4K", "2M", "file page", "copy", "nothing"}},
    {"Page faults", "2M page not to be had", FORM_SOME, {"kernel/faults/thp_fallbacks"}, {0}, "", {0}},
    {"Page faults", "outside every area", FORM_SOME, {"kernel/faults/segv"}, {0}, "", {0}},
    {"Page faults", "mean kernel service", FORM_RATIO, {"kernel/faults/service_ns"},
        {"kernel/faults/anon_4k", "?kernel/faults/anon_2m", "?kernel/faults/file", "?kernel/faults/cow", "?kernel/faults/spurious"}, "ns", {0}},

    {"Kernel", "map calls", FORM_SOME,
        {"kernel/map/mmap", "?kernel/map/munmap", "?kernel/map/mprotect", "?kernel/map/mremap", "?kernel/map/brk", "?kernel/map/madvise"}, {0}, "", {0}},
    {"Kernel", "areas laid out", FORM_SOME,
        {"kernel/layout/exec", "kernel/layout/searched", "kernel/layout/aligned", "kernel/layout/fixed", "kernel/layout/kept"}, {0}, "", {0}},
    {"Kernel", "shootdowns", FORM_SOME, {"kernel/shootdown/count"}, {0}, "", {0}},
    {"Kernel", "mean wait for them", FORM_RATIO, {"kernel/shootdown/wait_ns"}, {"kernel/shootdown/count"}, "ns", {0}},
    {"Kernel", "waits for its locks", FORM_SOME, {"kernel/locks/waits"}, {0}, "", {0}},
    {"Kernel", "context switches", FORM_SOME, {"kernel/sched/context_switches"}, {0}, "", {0}},
    {"Kernel", "memory in use", FORM_COUNT, {"kernel/frames/used"}, {0}, "frames of 4 KiB", {0}},
    {"Kernel", "of this, page tables", FORM_COUNT, {"kernel/frames/page_table"}, {0}, "frames", {0}},

    /* Accuracy: used, of those whose end is known. Coverage: lines that were there, of all that would have
     * been missed; one that L1D took over from L2 on its way counts twice among the latter. */
    {"Data prefetchers", "into L1D", FORM_SOME, {"cores/l1d/prefetch/issued"}, {0}, "lines", {0}},
    {"Data prefetchers", "accuracy", FORM_PERCENT, {"cores/l1d/prefetch/useful", "cores/l1d/prefetch/late"},
        {"cores/l1d/prefetch/useful", "cores/l1d/prefetch/late", "cores/l1d/prefetch/useless"}, "", {0}},
    {"Data prefetchers", "used in time", FORM_PERCENT, {"cores/l1d/prefetch/useful"},
        {"cores/l1d/prefetch/useful", "cores/l1d/prefetch/late"}, "of those used", {0}},
    {"Data prefetchers", "coverage", FORM_SOME_PERCENT, {"cores/l1d/prefetch/useful"},
        {"cores/l1d/prefetch/useful", "cores/l1d/prefetch/late", "cores/l2/data_hits", "cores/l2/data_misses",
         "cores/l2/prefetch/late"}, "of L1D misses", {0}},
    {"Data prefetchers", "into L2", FORM_SOME, {"cores/l2/prefetch/issued"}, {0}, "lines", {0}},
    {"Data prefetchers", "accuracy", FORM_PERCENT, {"cores/l2/prefetch/useful", "cores/l2/prefetch/late"},
        {"cores/l2/prefetch/useful", "cores/l2/prefetch/late", "cores/l2/prefetch/useless"}, "", {0}},
    {"Data prefetchers", "used in time", FORM_PERCENT, {"cores/l2/prefetch/useful"},
        {"cores/l2/prefetch/useful", "cores/l2/prefetch/late"}, "of those used", {0}},
    {"Data prefetchers", "coverage", FORM_SOME_PERCENT, {"cores/l2/prefetch/useful"},
        {"cores/l2/prefetch/useful", "cores/l2/prefetch/late", "cores/l2/data_misses"}, "of L2 misses", {0}},

    {"Memory", "L1I misses", FORM_MPKI, {"cores/l1i/misses"}, INSTRUCTIONS, "MPKI", {0}},
    {"Memory", "L1D misses", FORM_MPKI, {"cores/l1d/data_misses"}, INSTRUCTIONS, "MPKI", {0}},
    {"Memory", "L2 misses, data", FORM_MPKI, {"cores/l2/data_misses"}, INSTRUCTIONS, "MPKI", {0}},
    {"Memory", "L2 misses, page tables", FORM_MPKI, {"cores/l2/pt_misses"}, INSTRUCTIONS, "MPKI", {0}},
    {"Memory", "mean L2 miss latency", FORM_RATIO, {"cores/l2/miss_cycles"}, {"cores/l2/answers"}, "cycles", {0}},
    {"Memory", "LLC hit rate, data", FORM_PERCENT, {"llc/hits/data"}, {"llc/accesses/data"}, "", {0}},
    {"Memory", "LLC hit rate, page tables", FORM_PERCENT, {"llc/hits/pt"}, {"llc/accesses/pt"}, "", {0}},
    {"Memory", "LLC, write-shared lines", FORM_PERCENT, {"llc/write_shared/*"},
        {"llc/accesses/*", "llc/writebacks/*"}, "", {0}},
    {"Memory", "LLC misses", FORM_MPKI, {"llc/misses/*"}, INSTRUCTIONS, "MPKI", {0}},
    {"Memory", "DRAM lines", FORM_SHARES, {"dram/reads/*", "dram/writes/*"}, {0}, "", {"read", "written"}},
    {"Memory", "DRAM rows", FORM_SHARES, {"dram/row_hits/*", "dram/row_closed/*", "dram/row_conflicts/*"}, {0}, "",
        {"hit", "closed", "conflict"}},
    {"Memory", "mean DRAM read latency", FORM_RATIO, {"dram/read_latency/*"}, {"dram/reads/*"}, "ns", {0}},
};

/* Everything that a component reports below these paths is listed, since designs differ. */
static const struct {
    const char *section, *prefix;
} listings[] = {
    {"Page-walk caches", "cores/pwc/"},
};
/* clang-format on */

struct printer {
    FILE *f;
    const struct summary_source *source;
    const char *section;
};

/* ---- values -------------------------------------------------------------------------------- */

static bool sum_prefix(const struct summary_source *s, const char *prefix, size_t len,
                       double *sum_out)
{
    const char *path, *unit;
    enum stat_kind kind;
    uint64_t value;
    bool found = false;
    *sum_out = 0;
    for (size_t i = 0; s->path_at(s->ctx, i, &path, &unit, &kind); i++)
        if (strncmp(path, prefix, len) == 0 && kind == STAT_DELTA &&
            s->total(s->ctx, path, &value)) {
            *sum_out += strcmp(unit, "fs") == 0 ? (double)value / (double)FS_PER_NS : (double)value;
            found = true;
        }
    return found;
}

/* The total of a name; false if it is missing but must not be. */
static bool get_term(const struct summary_source *s, const char *name, double *value_out)
{
    bool may_miss = name[0] == '?';
    uint64_t value = 0;
    name += may_miss;
    size_t len = strlen(name);
    if (name[len - 1] == '*')
        return sum_prefix(s, name, len - 1, value_out) || may_miss;
    bool found = s->total(s->ctx, name, &value);
    *value_out = (double)value;
    return found || may_miss;
}

static bool get_sum(const struct summary_source *s, const char *const *names, double *sum_out)
{
    double value;
    *sum_out = 0;
    for (unsigned i = 0; i < TERMS_MAX && names[i] != NULL; i++) {
        if (!get_term(s, names[i], &value))
            return false;
        *sum_out += value;
    }
    return true;
}

/* ---- lines --------------------------------------------------------------------------------- */

static void print_label(struct printer *p, const char *section, const char *label)
{
    if (p->section == NULL || strcmp(p->section, section) != 0)
        fprintf(p->f, "\n%s\n", section);
    p->section = section;
    fprintf(p->f, "  %-26s", label);
}

static void print_count(FILE *f, uint64_t value)
{
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%" PRIu64, value);
    for (int i = 0; i < n; i++)
        fprintf(f, "%s%c", i > 0 && (n - i) % 3 == 0 ? " " : "", digits[i]);
}

static void print_shares(struct printer *p, const struct line *l, double sum)
{
    double value;
    bool first = true;
    print_label(p, l->section, l->label);
    for (unsigned i = 0; i < TERMS_MAX && l->a[i] != NULL; i++) {
        get_term(p->source, l->a[i], &value);
        fprintf(p->f, "%s%s %.1f %%", first ? "" : ", ", l->names[i], 100 * value / sum);
        first = false;
    }
    fprintf(p->f, " of ");
    print_count(p->f, (uint64_t)sum);
    fputc('\n', p->f);
}

static void print_part(struct printer *p, double a, double b)
{
    double cycles;
    if (get_term(p->source, "cores/cycles", &cycles) && cycles > 0)
        fprintf(p->f, "%8.3f %6.1f %%", a / b, 100 * a / cycles);
    else
        fprintf(p->f, "%8.3f", a / b);
}

/* Least and greatest a / b of an instance that has any b. */
static void print_spread(struct printer *p, const struct line *l)
{
    static uint64_t kept[1u << 16];
    const uint64_t *values;
    size_t n, nb, nused = 0, lowest_at = 0, highest_at = 0;
    double lowest = 0, highest = 0, sum = 0;
    const struct summary_source *s = p->source;
    if (!s->per_instance(s->ctx, l->a[0], &values, &n) || n > sizeof kept / sizeof kept[0])
        return;
    memcpy(kept, values, n * sizeof *kept);
    if (!s->per_instance(s->ctx, l->b[0], &values, &nb) || nb != n)
        return;
    for (size_t i = 0; i < n; i++) {
        if (values[i] == 0)
            continue;
        double ratio = (double)kept[i] / (double)values[i];
        if (nused == 0 || ratio < lowest) {
            lowest = ratio;
            lowest_at = i;
        }
        if (nused == 0 || ratio > highest) {
            highest = ratio;
            highest_at = i;
        }
        sum += ratio;
        nused++;
    }
    if (nused < 2)
        return;
    print_label(p, l->section, l->label);
    fprintf(p->f, "%.3f (core %zu) to %.3f (core %zu), mean %.3f\n", lowest, lowest_at, highest,
            highest_at, sum / (double)nused);
}

static void print_line(struct printer *p, const struct line *l)
{
    double a, b;
    if (l->form == FORM_SPREAD) {
        print_spread(p, l);
        return;
    }
    if (!get_sum(p->source, l->a, &a) || !get_sum(p->source, l->b, &b))
        return;
    if (l->form == FORM_SHARES) {
        if (a > 0)
            print_shares(p, l, a);
        return;
    }
    bool is_count = l->form == FORM_COUNT || l->form == FORM_SOME;
    bool left_out = l->form == FORM_SOME || l->form == FORM_SOME_PERCENT || l->form == FORM_PART;
    if ((!is_count && b <= 0) || (left_out && a <= 0))
        return;
    print_label(p, l->section, l->label);
    switch (l->form) {
    case FORM_COUNT:
    case FORM_SOME:
        print_count(p->f, (uint64_t)a);
        break;
    case FORM_MPKI:
        fprintf(p->f, "%.3f", 1000 * a / b);
        break;
    case FORM_PART:
        print_part(p, a, b);
        break;
    case FORM_PERCENT:
    case FORM_SOME_PERCENT:
        fprintf(p->f, "%.2f %%", 100 * a / b);
        break;
    default:
        fprintf(p->f, "%.3f", a / b);
        break;
    }
    fprintf(p->f, "%s%s\n", l->unit[0] ? " " : "", l->unit);
}

/* Counters below a path that are not zero, under their own names. */
static void print_listing(struct printer *p, const char *section, const char *prefix)
{
    const struct summary_source *s = p->source;
    const char *path, *unit;
    enum stat_kind kind;
    uint64_t value;
    for (size_t i = 0; s->path_at(s->ctx, i, &path, &unit, &kind); i++) {
        char label[256];
        if (strncmp(path, prefix, strlen(prefix)) != 0 || kind == STAT_HIST)
            continue;
        snprintf(label, sizeof label, "%s", path + strlen(prefix));
        char unit_text[32];
        snprintf(unit_text, sizeof unit_text, "%s", strcmp(unit, "1") == 0 ? "" : unit);
        if (!s->total(s->ctx, path, &value) || value == 0)
            continue;
        print_label(p, section, label);
        print_count(p->f, value);
        fprintf(p->f, "%s%s\n", unit_text[0] ? " " : "", unit_text);
    }
}

/* ---- what is no counter -------------------------------------------------------------------- */

static void print_time(FILE *f, simtime_t fs)
{
    static const struct {
        uint64_t scale;
        const char *name;
    } units[] = {{FS_PER_S, "s"}, {FS_PER_MS, "ms"}, {FS_PER_US, "us"}, {FS_PER_NS, "ns"}};
    size_t i = 0;
    while (i < 3 && fs < units[i].scale)
        i++;
    fprintf(f, "%.3f %s", (double)fs / (double)units[i].scale, units[i].name);
}

static const char calls_section[] = "System calls at a fixed cost (whole run)";

static bool is_call(const struct summary_item *it) { return strncmp(it->name, CALLS, strlen(CALLS)) == 0; }

static void print_run(struct printer *p)
{
    const struct summary_source *s = p->source;
    fprintf(p->f, "%s\n", s->title ? s->title : "Summary");
    if (!s->complete)
        fprintf(p->f, "  This run was stopped before its end.\n");
    fprintf(p->f, "  %-26s", "simulated time");
    print_time(p->f, s->simulated_fs);
    fprintf(p->f, " in %" PRIu64 " epochs\n", s->nepochs);
    if (s->has_roi) {
        fprintf(p->f, "  %-26s", "region of interest");
        print_time(p->f, s->roi_fs);
        fprintf(p->f, "; all that follows is of this region\n");
    }
    for (size_t i = 0; i < s->nitems; i++) {
        const char *unit = s->items[i].unit;
        if (is_call(&s->items[i]))
            continue;
        fprintf(p->f, "  %-25s ", s->items[i].name);
        print_count(p->f, s->items[i].value);
        fprintf(p->f, "%s%s\n", unit && strcmp(unit, "1") != 0 ? " " : "",
                unit && strcmp(unit, "1") != 0 ? unit : "");
    }
}

static void print_host(struct printer *p)
{
    const struct summary_source *s = p->source;
    uint64_t instructions;
    if (s->host_seconds <= 0)
        return;
    print_label(p, "Host", "wall time");
    fprintf(p->f, "%.2f s on %" PRIu64 " rank%s\n", s->host_seconds, s->nranks,
            s->nranks == 1 ? "" : "s");
    if (!s->has_roi && s->total(s->ctx, "cores/instructions", &instructions)) {
        print_label(p, "Host", "speed");
        fprintf(p->f, "%.2f million instructions a second\n",
                (double)instructions / s->host_seconds / 1e6);
    }
}

/* How many calls stand before it: those that are more frequent, then by name. */
static size_t rank_of_call(const struct summary_source *s, const struct summary_item *call)
{
    size_t n = 0;
    for (size_t i = 0; i < s->nitems; i++) {
        const struct summary_item *it = &s->items[i];
        n += is_call(it) && (it->value > call->value ||
                             (it->value == call->value && strcmp(it->name, call->name) < 0));
    }
    return n;
}

/* System calls by name, the most frequent ones first, the others as a sum. */
static void print_calls(struct printer *p)
{
    const struct summary_source *s = p->source;
    uint64_t others = 0;
    const struct summary_item *shown[CALLS_SHOWN] = {0};
    for (size_t i = 0; i < s->nitems; i++) {
        const struct summary_item *it = &s->items[i];
        size_t rank = is_call(it) ? rank_of_call(s, it) : 0;
        if (is_call(it) && rank < CALLS_SHOWN)
            shown[rank] = it;
        else if (is_call(it))
            others += it->value;
    }
    for (size_t i = 0; i < CALLS_SHOWN && shown[i] != NULL; i++) {
        print_label(p, calls_section, shown[i]->name + strlen(CALLS));
        print_count(p->f, shown[i]->value);
        fputc('\n', p->f);
    }
    if (others == 0)
        return;
    print_label(p, calls_section, "others");
    print_count(p->f, others);
    fputc('\n', p->f);
}

static void print_checks(struct printer *p)
{
    const struct summary_source *s = p->source;
    size_t nbroken = 0;
    for (size_t i = 0; i < s->nchecks; i++)
        nbroken += s->checks[i].left != s->checks[i].right;
    if (s->nchecks == 0)
        return;
    fprintf(p->f, "\nConservation\n  %zu of %zu checks hold\n", s->nchecks - nbroken, s->nchecks);
    for (size_t i = 0; i < s->nchecks; i++)
        if (s->checks[i].left != s->checks[i].right)
            fprintf(p->f, "  BROKEN: %s: %" PRIu64 " / %" PRIu64 "\n", s->checks[i].name,
                    s->checks[i].left, s->checks[i].right);
}

static void print_texts(FILE *f, const char *title, const char *const *texts, size_t n)
{
    if (n > 0)
        fprintf(f, "\n%s\n", title);
    for (size_t i = 0; i < n; i++)
        fprintf(f, "  - %s\n", texts[i]);
}

void summary_print(FILE *f, const struct summary_source *source)
{
    struct printer p = {f, source, NULL};
    print_run(&p);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        print_line(&p, &lines[i]);
    for (size_t i = 0; i < sizeof listings / sizeof listings[0]; i++)
        print_listing(&p, listings[i].section, listings[i].prefix);
    print_calls(&p);
    print_host(&p);
    print_checks(&p);
    print_texts(f, "Warnings", source->warnings, source->nwarnings);
    print_texts(f, "Not modelled", source->not_modelled, source->nnot_modelled);
}
