/*
 * Flattens libyaml's event stream. A stack of frames, one per open mapping or list, remembers how
 * long the dotted path was when the frame was opened; subtrees that mean nothing here are reported
 * once and skipped by depth.
 */
#include "configs/yaml_doc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct frame {
    bool is_list;
    bool wants_key; /* mappings only: the next scalar is a key */
    size_t path_len; /* of the container itself */
    size_t nchildren;
    struct yaml_place key; /* of the container */
};

struct flattener {
    struct yaml_doc *doc;
    size_t capacity;
    yaml_problem_fn problem;
    void *ctx;
    bool reported;
    bool no_memory;
    bool stop;
    unsigned ndocuments;

    struct frame frames[YAML_DEPTH_MAX];
    unsigned nframes;
    unsigned skip_depth; /* open containers of a subtree that is being skipped */
    char path[YAML_PATH_BYTES];
    size_t path_len;
    struct yaml_place key; /* of the last key */
};

static struct yaml_place place_of(yaml_mark_t mark)
{
    return (struct yaml_place){(unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

static void report(struct flattener *f, struct yaml_place place, const char *text)
{
    f->reported = true;
    f->problem(f->ctx, place, text);
}

static void report_and_stop(struct flattener *f, struct yaml_place place, const char *text)
{
    report(f, place, text);
    f->stop = true;
}

static void add_entry(struct flattener *f, enum yaml_entry_kind kind, struct yaml_place val,
                      const char *value)
{
    struct yaml_doc *d = f->doc;
    if (d->nentries == YAML_ENTRIES_MAX) {
        report_and_stop(f, val, "too many entries in one file");
        return;
    }
    if (d->nentries == f->capacity) {
        size_t capacity = f->capacity ? 2 * f->capacity : 64;
        struct yaml_entry *grown = realloc(d->entries, capacity * sizeof *grown);
        if (grown == NULL) {
            f->no_memory = true;
            return;
        }
        d->entries = grown;
        f->capacity = capacity;
    }
    struct yaml_entry e = {strdup(f->path), strdup(value), kind, f->key, val};
    if (e.path == NULL || e.value == NULL) {
        free(e.path);
        free(e.value);
        f->no_memory = true;
        return;
    }
    d->entries[d->nentries++] = e;
}

static struct frame *top(struct flattener *f)
{
    return f->nframes ? &f->frames[f->nframes - 1] : NULL;
}

/* A value of the open mapping is complete: forget its key. */
static void end_value(struct flattener *f)
{
    struct frame *t = top(f);
    if (t == NULL)
        return;
    t->nchildren++;
    if (!t->is_list) {
        t->wants_key = true;
        f->path_len = t->path_len;
        f->path[f->path_len] = '\0';
    }
}

static void take_key(struct flattener *f, const yaml_event_t *ev)
{
    struct frame *t = top(f);
    const char *word = (const char *)ev->data.scalar.value;
    size_t len = ev->data.scalar.length;
    f->key = place_of(ev->start_mark);
    t->wants_key = false;
    if (len == 0 || strlen(word) != len) {
        report_and_stop(f, f->key, "a key must be a word");
        return;
    }
    if (f->path_len + len + 2 > sizeof f->path) {
        report_and_stop(f, f->key, "the key is too long");
        return;
    }
    if (f->path_len > 0)
        f->path[f->path_len++] = '.';
    memcpy(f->path + f->path_len, word, len + 1);
    f->path_len += len;
}

static void take_scalar(struct flattener *f, const yaml_event_t *ev)
{
    struct frame *t = top(f);
    struct yaml_place place = place_of(ev->start_mark);
    const char *word = (const char *)ev->data.scalar.value;
    size_t len = ev->data.scalar.length;
    if (t == NULL) {
        if (len > 0)
            report(f, place, "expected 'key: value' lines, found a single value");
        return;
    }
    if (!t->is_list && t->wants_key) {
        take_key(f, ev);
        return;
    }
    if (strlen(word) != len)
        report(f, place, "a value must not hold a zero byte");
    else if (t->is_list)
        add_entry(f, YAML_ITEM, place, word);
    else if (len == 0 && ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        add_entry(f, YAML_NOTHING, f->key, "");
    else
        add_entry(f, YAML_SCALAR, place, word);
    end_value(f);
}

static void open_container(struct flattener *f, const yaml_event_t *ev, bool is_list)
{
    struct frame *t = top(f);
    struct yaml_place place = place_of(ev->start_mark);
    if (t == NULL && is_list) {
        report_and_stop(f, place, "expected 'key: value' lines, found a list");
        return;
    }
    if (t != NULL && !t->is_list && t->wants_key) {
        report_and_stop(f, place, "a key must be a word");
        return;
    }
    if (t != NULL && t->is_list) {
        report(f, place, "a list may hold only plain values");
        f->skip_depth = 1;
        return;
    }
    if (f->nframes == YAML_DEPTH_MAX) {
        report_and_stop(f, place, "nested too deeply");
        return;
    }
    f->frames[f->nframes++] = (struct frame){is_list, !is_list, f->path_len, 0, f->key};
}

static void close_container(struct flattener *f)
{
    struct frame closed = f->frames[--f->nframes];
    f->path_len = closed.path_len;
    f->path[f->path_len] = '\0';
    f->key = closed.key;
    if (closed.nchildren == 0 && f->nframes > 0)
        add_entry(f, closed.is_list ? YAML_EMPTY_LIST : YAML_NOTHING, closed.key, "");
    end_value(f);
}

static void skip_event(struct flattener *f, const yaml_event_t *ev)
{
    if (ev->type == YAML_MAPPING_START_EVENT || ev->type == YAML_SEQUENCE_START_EVENT)
        f->skip_depth++;
    else if (ev->type == YAML_MAPPING_END_EVENT || ev->type == YAML_SEQUENCE_END_EVENT)
        f->skip_depth--;
    if (f->skip_depth == 0)
        end_value(f);
}

static void take_event(struct flattener *f, const yaml_event_t *ev)
{
    if (f->skip_depth > 0) {
        skip_event(f, ev);
        return;
    }
    switch (ev->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++f->ndocuments > 1)
            report_and_stop(f, place_of(ev->start_mark), "more than one document in a file");
        break;
    case YAML_SCALAR_EVENT:
        take_scalar(f, ev);
        break;
    case YAML_ALIAS_EVENT:
        report(f, place_of(ev->start_mark), "aliases (*name) are not supported, use include");
        if (f->nframes > 0 && top(f)->wants_key)
            f->stop = true;
        end_value(f);
        break;
    case YAML_MAPPING_START_EVENT:
        open_container(f, ev, false);
        break;
    case YAML_SEQUENCE_START_EVENT:
        open_container(f, ev, true);
        break;
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        close_container(f);
        break;
    default:
        break;
    }
}

/* libyaml's own words, with a hint where its users stumble most. */
static void report_syntax(struct flattener *f, const yaml_parser_t *parser)
{
    char text[256];
    const char *problem = parser->problem ? parser->problem : "not readable as YAML";
    bool tab = strstr(problem, "cannot start any token") != NULL;
    snprintf(text, sizeof text, "syntax error: %s%s%s%s", problem, parser->context ? " " : "",
             parser->context ? parser->context : "",
             tab ? " (a tab? indent with spaces)" : "");
    report(f, place_of(parser->problem_mark), text);
}

enum err yaml_doc_parse(const char *text, size_t len, yaml_problem_fn problem, void *ctx,
                        struct yaml_doc *doc_out)
{
    *doc_out = (struct yaml_doc){NULL, 0};
    struct flattener *f = calloc(1, sizeof *f);
    yaml_parser_t parser;
    if (f == NULL || !yaml_parser_initialize(&parser)) {
        free(f);
        return ERR_MEMORY;
    }
    f->doc = doc_out;
    f->problem = problem;
    f->ctx = ctx;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    for (bool end = false; !end && !f->stop && !f->no_memory;) {
        yaml_event_t ev;
        if (!yaml_parser_parse(&parser, &ev)) {
            if (parser.error == YAML_MEMORY_ERROR)
                f->no_memory = true;
            else
                report_syntax(f, &parser);
            break;
        }
        end = ev.type == YAML_STREAM_END_EVENT;
        take_event(f, &ev);
        yaml_event_delete(&ev);
    }
    yaml_parser_delete(&parser);
    enum err e = f->no_memory ? ERR_MEMORY : f->reported ? ERR_USAGE : ERR_OK;
    free(f);
    return e;
}

void yaml_doc_free(struct yaml_doc *doc)
{
    for (size_t i = 0; i < doc->nentries; i++) {
        free(doc->entries[i].path);
        free(doc->entries[i].value);
    }
    free(doc->entries);
    *doc = (struct yaml_doc){NULL, 0};
}
