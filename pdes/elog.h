/*
 * The event log: what LPs do, as records that a person or a program can ask for. Off by default; an
 * LP then pays one test of a mask at each place that could log.
 *
 * A class of LPs declares its kinds of events once, as a table of rows {group, name, fields, doc}
 * in its lp_ops; a record holds the row's index and the values of its fields. Records carry the
 * LP's time and a number that counts up within the LP, so that their order (time, LP, number) is the
 * same on any number of ranks. The engine keeps those of its rank until they are taken at an epoch
 * boundary. They are no part of the model: nothing reads them, and they have no part in digests.
 */
#ifndef PDES_ELOG_H
#define PDES_ELOG_H

#include "pdes/types.h"

#define ELOG_NFIELDS 8u
#define ELOG_NO_FIELD ELOG_NFIELDS

/* How a value is written. */
enum elog_form {
    ELOG_END,   /* behind the last field */
    ELOG_COUNT, /* decimal */
    ELOG_HEX,   /* an address, or bits */
    ELOG_TIME,  /* femtoseconds; text: nanoseconds */
    ELOG_CYCLE, /* of the LP's own clock; UINT64_MAX: not yet known */
    ELOG_NAME   /* an index of `names` */
};

struct elog_field {
    const char *name;
    enum elog_form form;
    const char *const *names; /* NULL-terminated */
};

struct elog_desc {
    const char *group; /* what a person asks for: "walk" */
    const char *name;  /* "walk_ref" */
    const char *doc;
    struct elog_field fields[ELOG_NFIELDS];
};

struct elog_rec {
    simtime_t time;
    uint64_t seq;
    lpid_t lp;
    uint32_t kind; /* row of the class's table */
    uint64_t a[ELOG_NFIELDS];
};

/* What an engine keeps of the records that its LPs make. */
struct elog_filter {
    simtime_t from, to; /* [from, to) */
    bool has_page;      /* keep only records with a field "vaddr" in `page` */
    bool keep_others;   /* with has_page: and those without such a field */
    uint64_t page;      /* virtual page number, 4 KiB */
};

/* Index of the field "vaddr" of a row, or ELOG_NO_FIELD. */
unsigned elog_vaddr_field(const struct elog_desc *d);

/* Rows as X(NAME, group, doc, fields...) for tables: F_HEX(vaddr), F_COUNT(n) ... */
#define F_COUNT(n) {#n, ELOG_COUNT, NULL}
#define F_HEX(n) {#n, ELOG_HEX, NULL}
#define F_TIME(n) {#n, ELOG_TIME, NULL}
#define F_CYCLE(n) {#n, ELOG_CYCLE, NULL}
#define F_NAME(n, table) {#n, ELOG_NAME, table}

#endif
