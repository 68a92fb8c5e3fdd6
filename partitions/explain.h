/*
 * `concerto explain`: one access as a timed story, from dispatch until it is in nobody's way. It
 * reads the event log of the run and stops the run when it has seen enough.
 */
#ifndef PARTITIONS_EXPLAIN_H
#define PARTITIONS_EXPLAIN_H

#include "partitions/eventlog.h"

struct explain_request {
    const char *vaddr;    /* the access's page decides; required */
    const char *nth_miss; /* the n-th STLB miss of the page, from 1 on; NULL: the first */
    const char *time;     /* instead: the first access to the page in this span */
    const char *core;     /* NULL: any */
};

struct explain {
    struct machine *m;
    struct eventlog log;
    uint64_t vaddr, page, nth, nmisses, naccesses;
    simtime_t from, to;
    bool by_time, chosen, over;
    lpid_t core;
    uint64_t access;
    struct elog_rec *recent; /* ring of the records before the choice */
    uint64_t nrecent;
    struct elog_rec *kept; /* of the chosen access, and what may belong to it */
    size_t nkept, kept_cap;
    bool in_kernel; /* of the chosen core, for the access */
};

enum err explain_open(struct explain *e, struct machine *m, const struct explain_request *q);
/* On every rank, at each epoch's end. False on rank 0: the access's story is over. */
bool explain_epoch(struct explain *e);
/* On rank 0: prints the story, or why there is none. ERR_RUNTIME: none. */
enum err explain_print(struct explain *e, FILE *f);
void explain_close(struct explain *e);

#endif
