/* See eventlog.h. */
#include "partitions/eventlog.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "configs/units.h"

/* ---- kinds ------------------------------------------------------------------------------------ */

static const struct lp_ops *const classes[] = {&core_lp_ops, &kernel_lp_ops, &llc_lp_ops, &dram_lp_ops};
#define NCLASSES (sizeof classes / sizeof classes[0])

static void lower(const char *name, char *out, size_t size)
{
    size_t i = 0;
    for (; name[i] != '\0' && i + 1 < size; i++)
        out[i] = (char)tolower((unsigned char)name[i]);
    out[i] = '\0';
}

static bool wants(const struct elog_desc *d, const char *word)
{
    char name[32];
    lower(d->name, name, sizeof name);
    return strcmp(word, "all") == 0 || strcmp(word, d->group) == 0 || strcmp(word, name) == 0;
}

static const char *nearest_word(const char *word)
{
    static char names[256][32];
    const char *list[256];
    size_t n = 0;
    for (size_t c = 0; c < NCLASSES; c++)
        for (uint32_t k = 0; k < classes[c]->nevents && n + 2 <= 256; k++) {
            list[n++] = classes[c]->events[k].group;
            lower(classes[c]->events[k].name, names[n], sizeof names[n]);
            list[n] = names[n];
            n++;
        }
    return err_nearest(word, list, n);
}

/* The masks that a list of words asks for, per class. */
static enum err parse_events(const char *text, uint64_t masks[NCLASSES])
{
    char copy[512];
    if (text == NULL)
        text = "all";
    if (strlen(text) >= sizeof copy)
        return err_log(ERR_USAGE, "--event: a list of more than %zu characters", sizeof copy - 1);
    strcpy(copy, text);
    for (char *save, *word = strtok_r(copy, ",", &save); word != NULL; word = strtok_r(NULL, ",", &save)) {
        bool known = false;
        for (size_t c = 0; c < NCLASSES; c++)
            for (uint32_t k = 0; k < classes[c]->nevents; k++)
                if (wants(&classes[c]->events[k], word)) {
                    masks[c] |= UINT64_C(1) << k;
                    known = true;
                }
        const char *near = known ? NULL : nearest_word(word);
        if (!known)
            return near != NULL ? err_log(ERR_USAGE, "--event: no event or group '%s' (did you mean '%s'?)", word, near)
                                : err_log(ERR_USAGE, "--event: no event or group '%s'; concerto log --help lists them", word);
    }
    return ERR_OK;
}

void eventlog_describe(FILE *f)
{
    for (size_t c = 0; c < NCLASSES; c++)
        for (uint32_t k = 0; k < classes[c]->nevents; k++) {
            const struct elog_desc *d = &classes[c]->events[k];
            char name[32];
            lower(d->name, name, sizeof name);
            fprintf(f, "  %-10s %-16s %s\n", d->group, name, d->doc);
        }
}

/* ---- the request ------------------------------------------------------------------------------ */

enum err eventlog_parse_number(const char *what, const char *text, uint64_t *out)
{
    char *end;
    unsigned long long v = strtoull(text, &end, 0);
    if (text[0] == '\0' || text[0] == '-' || *end != '\0')
        return err_log(ERR_USAGE, "%s %s: expected a number such as 12 or 0x7f0000001000", what, text);
    *out = v;
    return ERR_OK;
}

static enum err parse_side(const char *whole, const char *side, simtime_t if_empty, simtime_t *out)
{
    if (side[0] == '\0') {
        *out = if_empty;
        return ERR_OK;
    }
    enum units_result u = units_parse(PARAM_TIME, side, out);
    return u == UNITS_OK ? ERR_OK
                         : err_log(ERR_USAGE, "--time %s: '%s' %s; expected two times such as 10us:20us", whole, side,
                                   units_result_text(u));
}

enum err eventlog_parse_time(const char *text, simtime_t *from_out, simtime_t *to_out)
{
    char copy[128];
    const char *colon = strchr(text, ':');
    if (colon == NULL || strlen(text) >= sizeof copy)
        return err_log(ERR_USAGE, "--time %s: expected two times with a colon between them, such as 10us:20us", text);
    snprintf(copy, sizeof copy, "%.*s", (int)(colon - text), text);
    enum err e = parse_side(text, copy, 0, from_out);
    if (e == ERR_OK)
        e = parse_side(text, colon + 1, SIM_NEVER, to_out);
    if (e == ERR_OK && *from_out >= *to_out)
        e = err_log(ERR_USAGE, "--time %s: the second time must be the later one", text);
    return e;
}

static void set_masks(struct eventlog *log, const uint64_t masks[NCLASSES])
{
    for (uint32_t i = 0; i < engine_nlps(log->m->engine); i++) {
        struct lp *lp = engine_lp(log->m->engine, i);
        for (size_t c = 0; c < NCLASSES; c++)
            if (lp->ops == classes[c])
                lp->log_mask = masks[c];
        if (lp->ops == &core_lp_ops && log->core != UINT32_MAX && lp->instance != log->core)
            lp->log_mask = 0;
    }
}

enum err eventlog_open(struct eventlog *log, struct machine *m, const struct eventlog_request *q)
{
    uint64_t masks[NCLASSES] = {0}, number = 0;
    struct elog_filter f = {.to = SIM_NEVER};
    *log = (struct eventlog){.m = m, .json = q->json, .core = UINT32_MAX};
    enum err e = parse_events(q->events, masks);
    if (e == ERR_OK && q->time != NULL)
        e = eventlog_parse_time(q->time, &f.from, &f.to);
    if (e == ERR_OK && q->core != NULL) {
        e = eventlog_parse_number("--core", q->core, &number);
        if (e == ERR_OK && number >= m->ncores)
            e = err_log(ERR_USAGE, "--core %s: the machine has cores 0 to %u", q->core, m->ncores - 1);
        log->core = (uint32_t)number;
    }
    if (e == ERR_OK && q->page != NULL) {
        e = eventlog_parse_number("--page", q->page, &number);
        f.has_page = true;
        f.page = number >> PAGE_SHIFT;
    }
    if (e != ERR_OK)
        return e;
    engine_log_filter(m->engine, &f);
    set_masks(log, masks);
    return ERR_OK;
}

void eventlog_close(struct eventlog *log)
{
    free(log->all);
    log->all = NULL;
}

/* ---- records ---------------------------------------------------------------------------------- */

const struct elog_desc *eventlog_desc(const struct machine *m, const struct elog_rec *r)
{
    return &engine_lp(m->engine, r->lp)->ops->events[r->kind];
}

static unsigned field_named(const struct elog_desc *d, const char *name)
{
    for (unsigned i = 0; i < ELOG_NFIELDS && d->fields[i].form != ELOG_END; i++)
        if (strcmp(d->fields[i].name, name) == 0)
            return i;
    return ELOG_NO_FIELD;
}

uint64_t eventlog_field(const struct machine *m, const struct elog_rec *r, const char *name)
{
    unsigned i = field_named(eventlog_desc(m, r), name);
    SIM_ASSERT(i != ELOG_NO_FIELD, "event %s has no field %s", eventlog_desc(m, r)->name, name);
    return r->a[i];
}

static const char *name_of(const struct elog_field *f, uint64_t value)
{
    for (uint64_t i = 0; f->names[i] != NULL; i++)
        if (i == value)
            return f->names[i];
    return "?";
}

static void write_text(FILE *f, const struct machine *m, const struct elog_rec *r)
{
    const struct lp *lp = engine_lp(m->engine, r->lp);
    const struct elog_desc *d = eventlog_desc(m, r);
    char name[32];
    lower(d->name, name, sizeof name);
    fprintf(f, "%" PRIu64 ".%06" PRIu64 " ns  %-6s %-3u %-14s", r->time / FS_PER_NS, r->time % FS_PER_NS, lp->ops->name,
            lp->instance, name);
    for (unsigned i = 0; i < ELOG_NFIELDS && d->fields[i].form != ELOG_END; i++) {
        const struct elog_field *field = &d->fields[i];
        uint64_t v = r->a[i];
        fprintf(f, " %s=", field->name);
        if (field->form == ELOG_NAME)
            fprintf(f, strchr(name_of(field, v), ' ') ? "'%s'" : "%s", name_of(field, v));
        else if (field->form == ELOG_TIME)
            fprintf(f, "%" PRIu64 ".%06" PRIu64 "ns", v / FS_PER_NS, v % FS_PER_NS);
        else if (field->form == ELOG_HEX)
            fprintf(f, "0x%" PRIx64, v);
        else if (v == UINT64_MAX)
            fprintf(f, "%s", field->form == ELOG_CYCLE ? "unknown" : "fetch");
        else
            fprintf(f, "%" PRIu64, v);
    }
    fputc('\n', f);
}

static void write_json(FILE *f, const struct machine *m, const struct elog_rec *r)
{
    const struct lp *lp = engine_lp(m->engine, r->lp);
    const struct elog_desc *d = eventlog_desc(m, r);
    char name[32];
    lower(d->name, name, sizeof name);
    fprintf(f, "{\"time_fs\":%" PRIu64 ",\"process\":\"%s\",\"instance\":%u,\"group\":\"%s\",\"event\":\"%s\"", r->time,
            lp->ops->name, lp->instance, d->group, name);
    for (unsigned i = 0; i < ELOG_NFIELDS && d->fields[i].form != ELOG_END; i++) {
        const struct elog_field *field = &d->fields[i];
        uint64_t v = r->a[i];
        fprintf(f, ",\"%s%s\":", field->name, field->form == ELOG_TIME ? "_fs" : "");
        if (field->form == ELOG_NAME)
            fprintf(f, "\"%s\"", name_of(field, v));
        else if (field->form == ELOG_HEX)
            fprintf(f, "\"0x%" PRIx64 "\"", v);
        else if (v == UINT64_MAX)
            fprintf(f, "null");
        else
            fprintf(f, "%" PRIu64, v);
    }
    fputs("}\n", f);
}

/* ---- epochs ----------------------------------------------------------------------------------- */

static int by_order(const void *a, const void *b)
{
    const struct elog_rec *x = a, *y = b;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    if (x->lp != y->lp)
        return x->lp < y->lp ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* Brings the records of all ranks to rank 0. */
static size_t gather(struct eventlog *log)
{
    struct transport *tr = log->m->tr;
    size_t n, nall = 0, size = (size_t)tr->nranks * sizeof(size_t);
    const struct elog_rec *mine = engine_log_take(log->m->engine, &n);
    size_t *counts = calloc(2, size), *sizes = counts + tr->nranks;
    if (counts == NULL)
        err_fatal(ERR_MEMORY, "no host memory for the event log");
    for (int r = 0; r < tr->nranks; r++)
        sizes[r] = sizeof n;
    tr->ops->gather(tr, &n, sizeof n, counts, sizes);
    for (int r = 0; tr->rank == 0 && r < tr->nranks; r++) {
        nall += counts[r];
        sizes[r] = counts[r] * sizeof *log->all;
    }
    if (nall * sizeof *log->all > INT32_MAX)
        err_fatal(ERR_MEMORY, "%zu events in one epoch are more than can be gathered; ask for less, or set a shorter sim.epoch", nall);
    if (nall > log->all_cap) {
        free(log->all);
        log->all_cap = 2 * nall;
        log->all = malloc(log->all_cap * sizeof *log->all);
        if (log->all == NULL)
            err_fatal(ERR_MEMORY, "no host memory for %zu events of one epoch; ask for less, or set a shorter sim.epoch", nall);
    }
    tr->ops->gather(tr, mine, n * sizeof *mine, log->all, sizes);
    free(counts);
    return nall;
}

/* With --core: events of other parts count when they name that core, or none. */
static bool of_core(const struct eventlog *log, const struct elog_rec *r)
{
    const struct elog_desc *d = eventlog_desc(log->m, r);
    unsigned field = field_named(d, "core");
    return log->core == UINT32_MAX || field == ELOG_NO_FIELD || r->a[field] == log->core;
}

bool eventlog_epoch(struct eventlog *log)
{
    size_t n = gather(log);
    if (log->m->tr->rank != 0)
        return true;
    if (n > 0)
        qsort(log->all, n, sizeof *log->all, by_order);
    for (size_t i = 0; i < n; i++) {
        const struct elog_rec *r = &log->all[i];
        if (!of_core(log, r))
            continue;
        log->nwritten++;
        if (log->reader != NULL) {
            if (!log->reader(log->ctx, r))
                return false;
        } else if (log->json) {
            write_json(stdout, log->m, r);
        } else {
            write_text(stdout, log->m, r);
        }
    }
    return true;
}
