/* See not_modelled.h. */
#include "partitions/not_modelled.h"

/* clang-format off */
const char *const not_modelled[] = {
    "coherence between private caches: a line may sit in several, and stores to it cost nothing elsewhere; llc/write_shared counts such accesses",
    "wrong paths (what they would fetch and pollute), functional units, software prefetch instructions",
    "kernel code: handlers are priced by a table of costs per operation (os.cost.*); the memory traffic of zeroing and copying pages",
    "contention on the mesh; devices, swap and page-cache misses (a file page is always in memory)",
    "system calls other than memory maps, futexes and threads: fixed cost and copies of user buffers",
    "waiting that was recorded: loops that spin on a word run as long as they did; cores/spin/instructions counts them",
    "simultaneous multithreading, several sockets (NUMA), virtual machines",
    "time slices: a thread keeps its core until it waits or ends; programs of a mix share nothing but the machine: no pages, no signals",
};
/* clang-format on */
const size_t nnot_modelled = sizeof not_modelled / sizeof not_modelled[0];
