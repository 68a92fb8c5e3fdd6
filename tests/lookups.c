/*
 * What the tag arrays alone cost this host: each access looks up an L1 TLB, the STLB, L1D, L2 and the LLC
 * with the geometry of configs/baseline.yaml and exact LRU, and fills what misses, from the outermost on.
 * No time, no walks, no messages: the least that a model of these caches can take with these arrays.
 * `make budget` prints it beside what a simulated access takes.
 *
 *   lookups           prints "NAME NANOSECONDS" lines: the processor time of an access
 *   lookups clock     prints how many dependent additions a nanosecond of wall time this host does now: its clock
 *                     in GHz less what it gives to others. `make bench` measures it between its runs.
 */
#include "memsys/sarray.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct level {
    uint32_t nsets, nways;
    unsigned shift; /* of what it holds: pages or lines */
    struct sarray *array;
};

enum { L1_TLB, STLB, L1D, L2, LLC, NLEVELS };

static struct level levels[NLEVELS] = {
    [L1_TLB] = {16, 6, PAGE_SHIFT, NULL},   [STLB] = {128, 16, PAGE_SHIFT, NULL}, [L1D] = {64, 12, LINE_SHIFT, NULL},
    [L2] = {2048, 16, LINE_SHIFT, NULL}, [LLC] = {2048, 15, LINE_SHIFT, NULL},
};

static void set_up(void)
{
    for (unsigned i = 0; i < NLEVELS; i++) {
        struct sarray_cfg cfg = {.nsets = levels[i].nsets, .nways = levels[i].nways, .repl = REPL_LRU, .seed = i};
        size_t bytes = (sarray_bytes(&cfg) + 63) & ~(size_t)63;
        free(levels[i].array);
        levels[i].array = aligned_alloc(64, bytes);
        if (levels[i].array == NULL)
            exit(1);
        memset(levels[i].array, 0, bytes);
        sarray_init(levels[i].array, &cfg);
    }
}

/* True: it was there; else it is now. */
static inline bool look_up(const struct level *l, uint64_t addr)
{
    uint64_t tag = addr >> l->shift;
    uint32_t set = (uint32_t)tag & (l->nsets - 1);
    int way = sarray_find(l->array, set, tag);
    if (way >= 0) {
        sarray_hit(l->array, set, (uint32_t)way);
        return true;
    }
    sarray_fill(l->array, set, sarray_victim(l->array, set), tag, 0);
    return false;
}

static inline void access_memory(uint64_t addr)
{
    if (!look_up(&levels[L1_TLB], addr))
        look_up(&levels[STLB], addr);
    for (unsigned i = L1D; i < NLEVELS; i++)
        if (look_up(&levels[i], addr))
            return;
}

static double now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t random_in(uint64_t i, uint64_t bytes)
{
    uint64_t x = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    return (x ^ x >> 27) % bytes;
}

static void measure(const char *name, uint64_t n, uint64_t bytes, uint64_t step)
{
    set_up();
    double best = 0;
    for (unsigned round = 0; round < 3; round++) {
        double from = now_ns(CLOCK_PROCESS_CPUTIME_ID);
        for (uint64_t i = 0; i < n; i++)
            access_memory(step == 0 ? random_in(i, bytes) : i * step % bytes);
        double ns = (now_ns(CLOCK_PROCESS_CPUTIME_ID) - from) / (double)n;
        best = round == 0 || ns < best ? ns : best;
    }
    printf("%s %.2f\n", name, best);
}

/* An addition that needs the one before takes one cycle on any host of today. */
static double measure_clock(void)
{
    const uint64_t n = 100000000;
    uint64_t sum = 0;
    double from = now_ns(CLOCK_MONOTONIC);
    for (uint64_t i = 0; i < n; i += 4)
        for (unsigned k = 0; k < 4; k++) {
            sum += i;
            __asm__ volatile("" : "+r"(sum)); /* so that no two become one */
        }
    return (double)n / (now_ns(CLOCK_MONOTONIC) - from);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "clock") == 0) {
        printf("%.3f\n", measure_clock());
        return 0;
    }
    measure("stream-in-L1", 20000000, UINT64_C(16) << 10, 8);
    measure("stream", 20000000, UINT64_C(192) << 20, 8);
    measure("gups", 4000000, UINT64_C(1) << 30, 0);
    return 0;
}
