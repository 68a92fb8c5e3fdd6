/* See warnings.h. Each warning is a function in one list; it writes its text or returns false. */
#include "partitions/warnings.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PRIPCT "%.1f %%"

/* Less of a structure is "never filled"; more first uses among the misses are worth a word, if there
 * are so many misses at all, per thousand instructions. */
#define FULL_PERCENT 90.0
#define FIRST_PERCENT 10.0
#define MPKI_MIN 0.1
#define SPIN_PERCENT 1.0
#define SHARED_PERCENT 1.0
#define SYSCALL_PERCENT 1.0

static uint64_t region(const struct warning_facts *f, const char *path)
{
    uint64_t value = 0;
    f->region->total(f->region->ctx, path, &value);
    return value;
}

/* The sum over line kinds. */
static uint64_t by_kind(const struct warning_facts *f, const char *name)
{
    static const char *const kinds[] = {"data", "code", "pt"};
    uint64_t sum = 0;
    char path[128];
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", name, kinds[i]);
        sum += region(f, path);
    }
    return sum;
}

static double percent(uint64_t part, uint64_t all)
{
    return all == 0 ? 0 : 100 * (double)part / (double)all;
}

static struct warmth capacity(const struct machine *m)
{
    const struct core_params *p = &m->params->core;
    return (struct warmth){p->stlb.entries * m->ncores,
                           p->l2.enabled ? (p->l2.size_bytes >> LINE_SHIFT) * m->ncores : 0,
                           (m->params->llc.size_bytes >> LINE_SHIFT) * m->nslices};
}

/* ---- warm-up ---------------------------------------------------------------------------------- */

static size_t append(char *text, size_t size, const char *what, uint64_t part, uint64_t all)
{
    size_t n = strlen(text);
    return n + (size_t)snprintf(text + n, size - n, "%s%s %.0f %% (%" PRIu64 " of %" PRIu64 ")",
                                n > 0 ? ", " : "", what, percent(part, all), part, all);
}

/* Structures of which a part was never used, all in one line. */
static bool warn_cold(const struct warning_facts *f, char *text, size_t size)
{
    const struct warmth all = capacity(f->m);
    const struct {
        const char *name;
        uint64_t used, all;
    } parts[] = {{"STLB entries", f->end.stlb, all.stlb}, {"L2 lines", f->end.l2, all.l2},
                 {"LLC lines", f->end.llc, all.llc}};
    size_t n = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (percent(parts[i].used, parts[i].all) < FULL_PERCENT && parts[i].all > 0)
            n = append(text, size, parts[i].name, parts[i].used, parts[i].all);
    if (n == 0)
        return false;
    snprintf(text + n, size - n, " were ever used: what never filled has no capacity misses in the results; "
                                 "right for a workload this small, else run longer");
    return true;
}

/* First uses as a part of the misses of the region, where there are enough misses to matter. */
static bool warn_first_uses(const struct warning_facts *f, char *text, size_t size)
{
    const struct {
        const char *name;
        uint64_t fills, misses;
    } parts[] = {{"STLB misses", f->end.stlb - f->begin.stlb, region(f, "cores/stlb/misses")},
                 {"LLC misses", f->end.llc - f->begin.llc, by_kind(f, "llc/misses")}};
    uint64_t ninstr = region(f, "cores/instructions");
    size_t n = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        uint64_t fills = u64_min(parts[i].fills, parts[i].misses);
        if (percent(fills, parts[i].misses) >= FIRST_PERCENT && 1000 * (double)parts[i].misses >= MPKI_MIN * (double)ninstr)
            n = append(text, size, parts[i].name, fills, parts[i].misses);
    }
    if (n == 0)
        return false;
    snprintf(text + n, size - n, " filled a place never used before: a warm machine would have had something "
                                 "there; %s",
             f->region->has_roi ? "let the region begin later (--warmup N, cores/roi.h)"
                                : "leave the start out (--warmup N, or the marks of cores/roi.h)");
    return true;
}

static bool warn_short(const struct warning_facts *f, char *text, size_t size)
{
    uint64_t naccesses = by_kind(f, "llc/accesses"), nlines = capacity(f->m).llc;
    if (!f->region->has_roi || naccesses >= nlines)
        return false;
    snprintf(text, size,
             "the region of %" PRIu64 " instructions makes %" PRIu64 " accesses to an LLC of %" PRIu64
             " lines: what they find was left by what ran before it; lengthen the region",
             region(f, "cores/instructions"), naccesses, nlines);
    return true;
}

/* ---- what the trace or the model cannot carry -------------------------------------------------- */

static bool warn_spin(const struct warning_facts *f, char *text, size_t size)
{
    uint64_t nspin = region(f, "cores/spin/instructions"), all = region(f, "cores/instructions");
    if (percent(nspin, all) <= SPIN_PERCENT)
        return false;
    snprintf(text, size,
             PRIPCT " of the instructions (%" PRIu64 ") spin on one word: waiting as long as it was when "
             "recorded, not as long as it is here; compare times, not IPC, or record with locks that sleep",
             percent(nspin, all), nspin);
    return true;
}

static bool warn_shared(const struct warning_facts *f, char *text, size_t size)
{
    uint64_t nshared = by_kind(f, "llc/write_shared");
    uint64_t all = by_kind(f, "llc/accesses") + by_kind(f, "llc/writebacks");
    if (percent(nshared, all) <= SHARED_PERCENT)
        return false;
    snprintf(text, size,
             PRIPCT " of the LLC's traffic (%" PRIu64 ") concerns lines that several cores use and some "
             "write: there is no coherence, so these hits are too cheap and misses too few; do not draw "
             "conclusions about sharing",
             percent(nshared, all), nshared);
    return true;
}

static bool warn_syscalls(const struct warning_facts *f, char *text, size_t size)
{
    uint64_t ncalls = region(f, "cores/kernel/syscalls_local"), cycles = region(f, "cores/cycles");
    uint64_t each = f->m->params->core.core.syscall_cycles;
    if (percent(ncalls * each, cycles) <= SYSCALL_PERCENT)
        return false;
    snprintf(text, size,
             "%" PRIu64 " system calls without a model take %" PRIu64 " cycles each, " PRIPCT " of all cycles, "
             "whatever they do (listed above by name); set core.syscall_cycles to what they cost, or "
             "trust no share of kernel time",
             ncalls, each, percent(ncalls * each, cycles));
    return true;
}

static bool warn_segv(const struct warning_facts *f, char *text, size_t size)
{
    snprintf(text, size,
             "%" PRIu64 " faults lie outside every memory area; their pages were mapped anyway, as anonymous "
             "memory; the trace's memory map is incomplete (concerto trace info)",
             f->nsegv);
    return f->nsegv > 0;
}

static bool warn_unknown(const struct warning_facts *f, char *text, size_t size)
{
    snprintf(text, size,
             "%" PRIu64 " events of the trace are of kinds that this version does not know and were left "
             "out; use the version that recorded it, or a newer one",
             f->nunknown);
    return f->nunknown > 0;
}

static bool warn_inferred(const struct warning_facts *f, char *text, size_t size)
{
    snprintf(text, size,
             "the trace has no memory map: areas were inferred from the pages touched, so that huge "
             "pages may lie where the program could have had none; record with concerto record to know");
    return f->m->fe->vmas_inferred;
}

/* ---- how the run ended ------------------------------------------------------------------------- */

static bool warn_cut(const struct warning_facts *f, char *text, size_t size)
{
    uint64_t all = f->m->fe->ninstr;
    if (f->nlimited == 0 || all == 0 || f->ninstructions >= all ||
        f->m->params->workload.kind != WORKLOAD_none)
        return false;
    snprintf(text, size,
             "sim.instructions ended the run after " PRIPCT " of the trace's %" PRIu64 " instructions: phases "
             "that come later are not in the results",
             percent(f->ninstructions, all), all);
    return true;
}

static bool warn_stopped(const struct warning_facts *f, char *text, size_t size)
{
    snprintf(text, size, "the run was stopped by %s after %" PRIu64 " instructions: the threads had not ended",
             f->stopped != NULL ? f->stopped : "", f->ninstructions);
    return f->stopped != NULL;
}

static bool warn_limited(const struct warning_facts *f, char *text, size_t size)
{
    snprintf(text, size,
             "%" PRIu64 " of %u threads reached their instruction limit and the others then waited for "
             "them in vain: the end of the run is idle time; raise --instructions",
             f->nlimited, f->m->fe->nthreads);
    return f->nlimited > 0 && f->nlimited < f->m->fe->nthreads;
}

static bool warn_not_created(const struct warning_facts *f, char *text, size_t size)
{
    uint64_t n = f->m->fe->nthreads;
    snprintf(text, size,
             "%" PRIu64 " of %" PRIu64 " threads were never created in the part of the trace that was run: "
             "their cores stood idle",
             n - f->nstarted, n);
    return f->nstarted != 0 && f->nstarted < n;
}

static bool warn_killed(const struct warning_facts *f, char *text, size_t size)
{
    snprintf(text, size,
             "%" PRIu64 " threads waited for ones stopped by their instruction limit, and ended with their "
             "pass: the end of such a pass is idle time; raise --instructions",
             f->nkilled);
    return f->nkilled > 0;
}

static bool warn_crowded(const struct warning_facts *f, char *text, size_t size)
{
    snprintf(text, size,
             "%u threads share %u cores without time slices: a thread keeps its core until it waits or "
             "ends; give each thread a core, or trust no time that a thread waited for one",
             f->m->fe->nthreads, f->m->ncores);
    return f->m->fe->nprograms > 0 && f->m->fe->nthreads > f->m->ncores;
}

static bool (*const list[])(const struct warning_facts *f, char *text, size_t size) = {
    warn_cold, warn_first_uses, warn_short,   warn_spin,     warn_shared, warn_syscalls, warn_segv,
    warn_unknown, warn_inferred, warn_cut, warn_stopped, warn_limited, warn_not_created,
    warn_killed,  warn_crowded,
};
_Static_assert(sizeof list / sizeof list[0] <= WARNINGS_MAX, "room for every warning");

size_t warnings_find(const struct warning_facts *f, char texts[WARNINGS_MAX][WARNING_BYTES])
{
    size_t n = 0;
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        n += list[i](f, texts[n], WARNING_BYTES);
    return n;
}
