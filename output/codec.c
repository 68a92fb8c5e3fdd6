/*
 * Records to bytes and back. Decoding checks every length against what is left, since a journal
 * may come from a dying machine or another version.
 */
#include "output/codec.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA_VERSION 1u
#define NVALUES_MAX (UINT64_C(1) << 32)

/* ---- buffers ------------------------------------------------------------------------------- */

struct arena_block {
    struct arena_block *next;
    _Alignas(16) unsigned char data[];
};

void *arena_take(struct arena *a, size_t n)
{
    struct arena_block *b = calloc(1, sizeof *b + n);
    if (b == NULL)
        return NULL;
    b->next = a->blocks;
    a->blocks = b;
    return b->data;
}

void arena_free(struct arena *a)
{
    while (a->blocks != NULL) {
        struct arena_block *next = a->blocks->next;
        free(a->blocks);
        a->blocks = next;
    }
}

void bytes_free(struct bytes *b)
{
    free(b->data);
    *b = (struct bytes){NULL, 0, 0, false};
}

static unsigned char *reserve(struct bytes *b, size_t n)
{
    static unsigned char nowhere[16];
    if (b->capacity - b->length < n && !b->failed) {
        size_t capacity = 2 * b->capacity + n + 256;
        unsigned char *grown = realloc(b->data, capacity);
        if (grown == NULL) {
            b->failed = true;
        } else {
            b->data = grown;
            b->capacity = capacity;
        }
    }
    return b->failed ? (n <= sizeof nowhere ? nowhere : NULL) : b->data + b->length;
}

static void put_u64(struct bytes *b, uint64_t v)
{
    unsigned char *p = reserve(b, 10), *start = p;
    for (; v >= 0x80; v >>= 7)
        *p++ = (unsigned char)(v | 0x80);
    *p++ = (unsigned char)v;
    if (!b->failed)
        b->length += (size_t)(p - start);
}

static void put_f64(struct bytes *b, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    bits = htole64(bits);
    memcpy(reserve(b, sizeof bits), &bits, sizeof bits);
    if (!b->failed)
        b->length += sizeof bits;
}

/* NULL and "" are different. */
static void put_text(struct bytes *b, const char *s)
{
    if (s == NULL) {
        put_u64(b, 0);
        return;
    }
    size_t n = strlen(s);
    put_u64(b, n + 1);
    unsigned char *p = reserve(b, n);
    if (p == NULL || b->failed)
        return;
    memcpy(p, s, n);
    b->length += n;
}

struct cursor {
    const unsigned char *p, *end;
    struct arena *arena;
    bool failed;
};

static uint64_t get_u64(struct cursor *c)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (c->p == c->end)
            break;
        unsigned char byte = *c->p++;
        if (shift == 63 && byte > 1)
            break;
        v |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return v;
    }
    c->failed = true;
    return 0;
}

static double get_f64(struct cursor *c)
{
    uint64_t bits;
    double v;
    if ((size_t)(c->end - c->p) < sizeof bits) {
        c->failed = true;
        return 0;
    }
    memcpy(&bits, c->p, sizeof bits);
    c->p += sizeof bits;
    bits = le64toh(bits);
    memcpy(&v, &bits, sizeof v);
    return v;
}

static const char *get_text(struct cursor *c)
{
    uint64_t n = get_u64(c);
    if (n == 0)
        return NULL;
    n--;
    char *s = n <= (uint64_t)(c->end - c->p) ? arena_take(c->arena, n + 1) : NULL;
    if (s == NULL) {
        c->failed = true;
        return NULL;
    }
    memcpy(s, c->p, n);
    c->p += n;
    return s;
}

/* A text that must be there. */
static const char *get_name(struct cursor *c)
{
    const char *s = get_text(c);
    if (s == NULL)
        c->failed = true;
    return s ? s : "";
}

/* A count of things of at least one byte each, and the memory for them. */
static void *get_array(struct cursor *c, size_t size, size_t *n_out)
{
    uint64_t n = get_u64(c);
    void *array = NULL;
    if (n <= (uint64_t)(c->end - c->p))
        array = arena_take(c->arena, n * size + 1);
    if (array == NULL) {
        c->failed = true;
        n = 0;
    }
    *n_out = n;
    return array;
}

/* ---- schema -------------------------------------------------------------------------------- */

size_t codec_nvalues(const struct recorder_info *info)
{
    size_t n = 0;
    for (size_t i = 0; i < info->ncomponents; i++)
        n += (size_t)info->components[i].ninstances * info->components[i].nvalues;
    return n;
}

size_t codec_nhost(const struct recorder_info *info) { return info->nranks * info->nhost_columns; }

static void put_component(struct bytes *b, const struct stat_component *c)
{
    put_text(b, c->name);
    put_text(b, c->instance_axis);
    put_u64(b, c->ninstances);
    put_u64(b, c->nvalues);
    put_u64(b, c->nrows);
    for (uint32_t r = 0; r < c->nrows; r++) {
        const struct stat_desc *d = &c->rows[r];
        put_text(b, d->name);
        put_text(b, d->unit ? d->unit : "1");
        put_u64(b, d->kind);
        put_u64(b, d->stamp);
        put_u64(b, d->nbins);
        put_text(b, d->doc ? d->doc : "");
    }
}

static void get_component(struct cursor *c, struct stat_component *out)
{
    size_t nrows;
    uint64_t nvalues = 0;
    out->name = get_name(c);
    out->instance_axis = get_name(c);
    out->ninstances = (uint32_t)get_u64(c);
    out->nvalues = (uint32_t)get_u64(c);
    struct stat_desc *rows = get_array(c, sizeof *rows, &nrows);
    for (size_t r = 0; r < nrows && !c->failed; r++) {
        rows[r].name = get_name(c);
        rows[r].unit = get_name(c);
        rows[r].kind = (enum stat_kind)get_u64(c);
        rows[r].stamp = (enum stat_stamp)get_u64(c);
        rows[r].nbins = (uint32_t)get_u64(c);
        rows[r].doc = get_name(c);
        nvalues += rows[r].nbins;
        if (rows[r].kind > STAT_HIST || rows[r].stamp > STAMP_ARRIVAL || rows[r].nbins == 0)
            c->failed = true;
    }
    out->rows = rows;
    out->nrows = (uint32_t)nrows;
    if (nvalues != out->nvalues || (uint64_t)out->ninstances * nvalues > NVALUES_MAX)
        c->failed = true;
}

static void put_facts(struct bytes *b, const struct recorder_fact *facts, size_t n)
{
    put_u64(b, n);
    for (size_t i = 0; i < n; i++) {
        put_text(b, facts[i].name);
        put_text(b, facts[i].text);
        put_u64(b, facts[i].value);
    }
}

static struct recorder_fact *get_facts(struct cursor *c, size_t *n_out)
{
    struct recorder_fact *facts = get_array(c, sizeof *facts, n_out);
    for (size_t i = 0; i < *n_out && !c->failed; i++) {
        facts[i].name = get_name(c);
        facts[i].text = get_text(c);
        facts[i].value = get_u64(c);
    }
    return facts;
}

static void put_texts(struct bytes *b, const char *const *texts, size_t n)
{
    put_u64(b, n);
    for (size_t i = 0; i < n; i++)
        put_text(b, texts[i]);
}

static const char *const *get_texts(struct cursor *c, size_t *n_out)
{
    const char **texts = get_array(c, sizeof *texts, n_out);
    for (size_t i = 0; i < *n_out && !c->failed; i++)
        texts[i] = get_name(c);
    return texts;
}

void codec_put_schema(struct bytes *b, const struct recorder_info *info)
{
    put_u64(b, SCHEMA_VERSION);
    put_text(b, info->path);
    put_u64(b, info->ncomponents);
    for (size_t i = 0; i < info->ncomponents; i++)
        put_component(b, &info->components[i]);
    put_text(b, info->config_text ? info->config_text : "");
    put_u64(b, info->nkeys);
    for (size_t i = 0; i < info->nkeys; i++) {
        put_text(b, info->keys[i].name);
        put_u64(b, info->keys[i].type);
        put_u64(b, info->keys[i].value);
        put_text(b, info->keys[i].text ? info->keys[i].text : "");
    }
    put_facts(b, info->provenance, info->nprovenance);
    put_u64(b, info->nranks);
    put_texts(b, info->host_names, info->host_names ? info->nranks : 0);
    put_u64(b, info->nhost_columns);
    for (size_t i = 0; i < info->nhost_columns; i++) {
        put_text(b, info->host_columns[i].name);
        put_text(b, info->host_columns[i].unit ? info->host_columns[i].unit : "1");
        put_text(b, info->host_columns[i].doc ? info->host_columns[i].doc : "");
    }
}

bool codec_get_schema(struct arena *a, const void *payload, size_t length,
                       struct recorder_info *info_out)
{
    struct cursor c = {payload, (const unsigned char *)payload + length, a, false};
    struct recorder_info info = {0};
    if (get_u64(&c) != SCHEMA_VERSION)
        return false;
    info.path = get_text(&c);
    struct stat_component *components = get_array(&c, sizeof *components, &info.ncomponents);
    for (size_t i = 0; i < info.ncomponents && !c.failed; i++)
        get_component(&c, &components[i]);
    info.components = components;
    info.config_text = get_name(&c);
    struct recorder_key *keys = get_array(&c, sizeof *keys, &info.nkeys);
    for (size_t i = 0; i < info.nkeys && !c.failed; i++) {
        keys[i].name = get_name(&c);
        keys[i].type = (enum param_type)get_u64(&c);
        keys[i].value = get_u64(&c);
        keys[i].text = get_name(&c);
    }
    info.keys = keys;
    info.provenance = get_facts(&c, &info.nprovenance);
    info.nranks = get_u64(&c);
    size_t nnames;
    info.host_names = get_texts(&c, &nnames);
    struct recorder_host_column *columns = get_array(&c, sizeof *columns, &info.nhost_columns);
    for (size_t i = 0; i < info.nhost_columns && !c.failed; i++) {
        columns[i].name = get_name(&c);
        columns[i].unit = get_name(&c);
        columns[i].doc = get_name(&c);
    }
    info.host_columns = columns;
    if (nnames == 0)
        info.host_names = NULL;
    else if (nnames != info.nranks)
        return false;
    if (c.failed || info.nranks > NVALUES_MAX || codec_nvalues(&info) > NVALUES_MAX)
        return false;
    *info_out = info;
    return true;
}

/* ---- epochs, marks, end -------------------------------------------------------------------- */

void codec_put_epoch(struct bytes *b, simtime_t end_time, const uint64_t *values, size_t nvalues,
                      const double *host, size_t nhost)
{
    put_u64(b, end_time);
    for (size_t i = 0; i < nvalues; i++)
        put_u64(b, values[i]);
    for (size_t i = 0; i < nhost; i++)
        put_f64(b, host[i]);
}

bool codec_get_epoch(const void *payload, size_t length, simtime_t *end_time_out,
                      uint64_t *values_out, size_t nvalues, double *host_out, size_t nhost)
{
    struct cursor c = {payload, (const unsigned char *)payload + length, NULL, false};
    *end_time_out = get_u64(&c);
    for (size_t i = 0; i < nvalues; i++)
        values_out[i] = get_u64(&c);
    for (size_t i = 0; i < nhost; i++)
        host_out[i] = get_f64(&c);
    return !c.failed && c.p == c.end;
}

void codec_put_mark(struct bytes *b, const char *name, uint64_t epoch)
{
    put_text(b, name);
    put_u64(b, epoch);
}

bool codec_get_mark(struct arena *a, const void *payload, size_t length, const char **name_out,
                     uint64_t *epoch_out)
{
    struct cursor c = {payload, (const unsigned char *)payload + length, a, false};
    *name_out = get_name(&c);
    *epoch_out = get_u64(&c);
    return !c.failed;
}

void codec_put_end(struct bytes *b, const struct recorder_end *end)
{
    put_u64(b, end->complete);
    put_facts(b, end->provenance, end->nprovenance);
    put_u64(b, end->nitems);
    for (size_t i = 0; i < end->nitems; i++) {
        put_text(b, end->items[i].name);
        put_text(b, end->items[i].unit ? end->items[i].unit : "1");
        put_u64(b, end->items[i].value);
        put_text(b, end->items[i].doc ? end->items[i].doc : "");
    }
    put_u64(b, end->nchecks);
    for (size_t i = 0; i < end->nchecks; i++) {
        put_text(b, end->checks[i].name);
        put_u64(b, end->checks[i].left);
        put_u64(b, end->checks[i].right);
    }
    put_texts(b, end->warnings, end->nwarnings);
    put_texts(b, end->not_modelled, end->nnot_modelled);
    put_f64(b, end->host_seconds);
}

bool codec_get_end(struct arena *a, const void *payload, size_t length,
                    struct recorder_end *end_out)
{
    struct cursor c = {payload, (const unsigned char *)payload + length, a, false};
    struct recorder_end end = {.complete = get_u64(&c) != 0};
    end.provenance = get_facts(&c, &end.nprovenance);
    struct summary_item *items = get_array(&c, sizeof *items, &end.nitems);
    for (size_t i = 0; i < end.nitems && !c.failed; i++) {
        items[i].name = get_name(&c);
        items[i].unit = get_name(&c);
        items[i].value = get_u64(&c);
        items[i].doc = get_name(&c);
    }
    end.items = items;
    struct summary_check *checks = get_array(&c, sizeof *checks, &end.nchecks);
    for (size_t i = 0; i < end.nchecks && !c.failed; i++) {
        checks[i].name = get_name(&c);
        checks[i].left = get_u64(&c);
        checks[i].right = get_u64(&c);
    }
    end.checks = checks;
    end.warnings = get_texts(&c, &end.nwarnings);
    end.not_modelled = get_texts(&c, &end.nnot_modelled);
    end.host_seconds = get_f64(&c);
    if (c.failed)
        return false;
    *end_out = end;
    return true;
}
