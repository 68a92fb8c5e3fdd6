/* See window_log.h. */
#include "partitions/window_log.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pdes/rng.h"

static uint64_t clock_now(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The least of many. */
static uint64_t clock_cost(clockid_t clock)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 64; i++) {
        uint64_t start = clock_now(CLOCK_MONOTONIC);
        for (int k = 0; k < 16; k++)
            clock_now(clock);
        least = u64_min(least, (clock_now(CLOCK_MONOTONIC) - start) / 17);
    }
    return least;
}

enum err window_log_create(struct window_log *l, uint32_t max_windows)
{
    SIM_ASSERT(max_windows >= 2, "a window log of %u windows", max_windows);
    *l = (struct window_log){.max_windows = max_windows, .clock_ns = clock_cost(CLOCK_MONOTONIC),
                             .cpu_clock_ns = clock_cost(CLOCK_THREAD_CPUTIME_ID)};
    return ERR_OK;
}

void window_log_free(struct window_log *l)
{
    free(l->bytes);
    free(l->loads);
    free(l->sent);
    *l = (struct window_log){0};
}

static void *grow(void *p, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap)
        return p;
    *cap = 2 * need;
    void *q = realloc(p, *cap * size);
    if (q == NULL)
        err_fatal(ERR_MEMORY, "no host memory for a log of %zu bytes", *cap * size);
    return q;
}

/* ---- the sample ------------------------------------------------------------------------------- */

static bool kept(const struct window_log *l, uint64_t window)
{
    return l->halvings == 0 || rng_mix(window + 1) >> (64 - l->halvings) == 0;
}

static size_t phase_bytes(const struct phase_log *p)
{
    return sizeof *p + p->nloads * sizeof *p->loads + p->nsent * sizeof *p->sent;
}

/* The phase at `at`, which its arrays follow. */
static struct phase_log phase_at(const char *bytes, size_t at)
{
    struct phase_log p;
    SIM_ASSERT(bytes != NULL, "no log to read at %zu", at);
    memcpy(&p, bytes + at, sizeof p);
    p.loads = (const struct lp_load *)(const void *)(bytes + at + sizeof p);
    p.sent = (const struct lp_sent *)(const void *)(p.loads + p.nloads);
    return p;
}

bool window_log_next(const struct window_log *l, size_t *at, struct phase_log *out)
{
    if (*at >= l->nbytes)
        return false;
    *out = phase_at(l->bytes, *at);
    *at += phase_bytes(out);
    return true;
}

static void put(struct window_log *l, const struct phase_log *p)
{
    size_t bytes = phase_bytes(p);
    l->bytes = grow(l->bytes, &l->cap, l->nbytes + bytes, 1);
    char *to = l->bytes + l->nbytes;
    memcpy(to, p, sizeof *p);
    to += sizeof *p;
    if (p->nloads > 0)
        memcpy(to, p->loads, p->nloads * sizeof *p->loads);
    to += p->nloads * sizeof *p->loads;
    if (p->nsent > 0)
        memcpy(to, p->sent, p->nsent * sizeof *p->sent);
    l->nbytes += bytes;
}

/* Half of the windows leave. */
static void thin_out(struct window_log *l)
{
    l->halvings++;
    size_t at = 0, end = 0;
    uint64_t last = UINT64_MAX;
    l->nwindows = 0;
    while (at < l->nbytes) {
        struct phase_log p = phase_at(l->bytes, at);
        size_t bytes = phase_bytes(&p);
        if (kept(l, p.window)) {
            l->nwindows += p.window != last;
            last = p.window;
            memmove(l->bytes + end, l->bytes + at, bytes);
            end += bytes;
        }
        at += bytes;
    }
    l->nbytes = end;
}

void window_log_add(struct window_log *l, const struct phase_log *p)
{
    l->total_windows = u64_max(l->total_windows, p->window + 1);
    if (!kept(l, p->window))
        return;
    if (p->phase == 0) {
        while (l->nwindows >= l->max_windows)
            thin_out(l);
        if (!kept(l, p->window))
            return;
        l->nwindows++;
    }
    put(l, p);
}

/* ---- the probe -------------------------------------------------------------------------------- */

static bool probe_begin(void *ctx, uint64_t window, unsigned phase)
{
    struct window_log *l = ctx;
    l->total_windows = window + 1;
    if (!kept(l, window))
        return false;
    l->nprobed++;
    l->now = (struct phase_log){.window = window, .phase = phase};
    l->cpu_start_ns = clock_now(CLOCK_THREAD_CPUTIME_ID);
    return true;
}

static void probe_ran(void *ctx, const struct lp *lp, uint64_t ns, uint64_t nmsgs)
{
    struct window_log *l = ctx;
    l->loads = grow(l->loads, &l->loads_cap, l->now.nloads + 1u, sizeof *l->loads);
    l->nclocks += 2;
    l->loads[l->now.nloads++] = (struct lp_load){lp->id, (uint32_t)nmsgs, ns > l->clock_ns ? ns - l->clock_ns : 0};
}

static void probe_sent(void *ctx, lpid_t src, lpid_t dst)
{
    struct window_log *l = ctx;
    l->sent = grow(l->sent, &l->sent_cap, l->now.nsent + 1u, sizeof *l->sent);
    l->sent[l->now.nsent++] = (struct lp_sent){src, dst};
}

/* Takes the time in which the thread did not run off whatever took longest. */
static void take_off_interruption(struct window_log *l, uint64_t cpu_ns)
{
    uint64_t sum = l->now.idle_ns;
    struct lp_load *longest = NULL;
    for (uint32_t i = 0; i < l->now.nloads; i++) {
        sum += l->loads[i].ns;
        if (longest == NULL || l->loads[i].ns > longest->ns)
            longest = &l->loads[i];
    }
    uint64_t away = sum > cpu_ns ? sum - cpu_ns : 0;
    uint64_t *from = longest == NULL || l->now.idle_ns > longest->ns ? &l->now.idle_ns : &longest->ns;
    if (away > 2000)
        *from -= u64_min(away, *from);
}

static void probe_end(void *ctx, unsigned phase, uint64_t idle_ns, uint64_t nidle)
{
    struct window_log *l = ctx;
    (void)phase;
    l->nclocks += nidle;
    l->now.idle_ns = idle_ns > nidle * l->clock_ns ? idle_ns - nidle * l->clock_ns : 0;
    take_off_interruption(l, clock_now(CLOCK_THREAD_CPUTIME_ID) - l->cpu_start_ns);
    l->now.loads = l->loads;
    l->now.sent = l->sent;
    window_log_add(l, &l->now);
}

struct engine_probe window_log_probe(struct window_log *l)
{
    return (struct engine_probe){l, probe_begin, probe_ran, probe_sent, probe_end};
}

double window_log_overhead_ns(const struct window_log *l)
{
    return (double)l->nprobed * 2 * (double)l->cpu_clock_ns + (double)l->nclocks * (double)l->clock_ns;
}

/* ---- all ranks -------------------------------------------------------------------------------- */

/* The same phase of every rank as one. */
static void merge(struct window_log *l, const char *all, const size_t *bytes_of_rank, int nranks)
{
    size_t *at = calloc((size_t)nranks, sizeof *at);
    if (at == NULL)
        err_fatal(ERR_MEMORY, "no host memory for the logs of %d ranks", nranks);
    const char *first = all;
    while (at[0] < bytes_of_rank[0]) {
        const char *base = first;
        for (int r = 0; r < nranks; r++) {
            struct phase_log p = phase_at(base, at[r]);
            at[r] += phase_bytes(&p);
            base += bytes_of_rank[r];
            if (r == 0)
                l->now = (struct phase_log){.window = p.window, .phase = p.phase};
            SIM_ASSERT(p.window == l->now.window && p.phase == l->now.phase, "rank %d logged window %llu, rank 0 %llu",
                       r, (unsigned long long)p.window, (unsigned long long)l->now.window);
            l->loads = grow(l->loads, &l->loads_cap, l->now.nloads + p.nloads + 1u, sizeof *l->loads);
            l->sent = grow(l->sent, &l->sent_cap, l->now.nsent + p.nsent + 1u, sizeof *l->sent);
            if (p.nloads > 0)
                memcpy(l->loads + l->now.nloads, p.loads, p.nloads * sizeof *p.loads);
            if (p.nsent > 0)
                memcpy(l->sent + l->now.nsent, p.sent, p.nsent * sizeof *p.sent);
            l->now.nloads += p.nloads;
            l->now.nsent += p.nsent;
            l->now.idle_ns += p.idle_ns;
        }
        l->now.loads = l->loads;
        l->now.sent = l->sent;
        put(l, &l->now);
    }
    free(at);
}

enum err window_log_gather(struct window_log *l, struct transport *tr)
{
    size_t n = (size_t)tr->nranks;
    if (n == 1)
        return ERR_OK;
    size_t *bytes = calloc(2 * n, sizeof *bytes), *words = bytes + n, total = 0;
    if (bytes == NULL)
        return err_log(ERR_MEMORY, "no host memory for the logs of %zu ranks", n);
    for (size_t r = 0; r < n; r++)
        words[r] = sizeof l->nbytes;
    tr->ops->gather(tr, &l->nbytes, sizeof l->nbytes, bytes, words);
    for (size_t r = 0; r < n; r++)
        total += bytes[r];
    char *all = tr->rank == 0 ? malloc(total + 1) : NULL;
    if (tr->rank == 0 && (all == NULL || total > INT32_MAX))
        err_fatal(ERR_MEMORY, "no room for the logs of %zu ranks (%zu bytes)", n, total);
    tr->ops->gather(tr, l->bytes, l->nbytes, all, bytes);
    if (tr->rank == 0) {
        l->nbytes = 0;
        merge(l, all, bytes, tr->nranks);
    }
    free(all);
    free(bytes);
    return ERR_OK;
}
