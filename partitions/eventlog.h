/*
 * The event log of a run: what the engines of all ranks kept, brought to rank 0 at each epoch
 * boundary in its one order (time, process, number), and written as text or JSON lines, or handed to
 * somebody who reads it (explain).
 */
#ifndef PARTITIONS_EVENTLOG_H
#define PARTITIONS_EVENTLOG_H

#include <stdio.h>

#include "partitions/machine.h"

#define EVENTLOG_GROUPS 64

/* What a person asked for. Texts are from the command line; NULL: everything. */
struct eventlog_request {
    const char *events; /* "walk,fault": groups or single kinds */
    const char *page;   /* an address in it */
    const char *core;
    const char *time; /* "10us:20us" */
    bool json;
};

struct eventlog {
    struct machine *m;
    bool json;
    uint32_t core; /* UINT32_MAX: all */
    struct elog_rec *all;
    size_t all_cap;
    /* Instead of writing: takes one record; false: enough has been seen. */
    bool (*reader)(void *ctx, const struct elog_rec *r);
    void *ctx;
    uint64_t nwritten;
};

/* "a:b", "a:", ":b" with units, into [from, to). */
enum err eventlog_parse_time(const char *text, simtime_t *from_out, simtime_t *to_out);
/* An address, decimal or 0x...; `what` names the option. */
enum err eventlog_parse_number(const char *what, const char *text, uint64_t *out);

/* Sets the LPs' masks and the engine's filter on this rank. ERR_USAGE after a message. */
enum err eventlog_open(struct eventlog *log, struct machine *m, const struct eventlog_request *q);
void eventlog_close(struct eventlog *log);

/*
 * On every rank, when an epoch has closed: rank 0 writes (or hands on) its records. False on rank 0:
 * the reader has seen enough.
 */
bool eventlog_epoch(struct eventlog *log);

/* The value of a record's field by name; the field must exist. */
uint64_t eventlog_field(const struct machine *m, const struct elog_rec *r, const char *name);
const struct elog_desc *eventlog_desc(const struct machine *m, const struct elog_rec *r);

/* Every kind of event with its fields, for help. */
void eventlog_describe(FILE *f);

#endif
