/*
 * os.premap on many ranks: who builds the page tables before time 0, and how the others get at them.
 */
#ifndef PARTITIONS_PREMAP_SHARE_H
#define PARTITIONS_PREMAP_SHARE_H

#include "partitions/machine.h"

/*
 * All ranks together, after machine_create. The kernel's rank builds for its host; on each other
 * host the lowest rank builds the same once more, which takes no longer and needs no network; the
 * rest map what their host's builder has, or build, too, where they cannot reach it. The result is
 * the same on all ranks; each logs its own trouble.
 */
enum err machine_premap(struct machine *m);

#endif
