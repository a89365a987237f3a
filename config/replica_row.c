// SPDX-License-Identifier: Apache-2.0
// A replica's row, found by the places that libyaml's events have in the text; see replica_row.h.
// Nothing is written anew but the values of three keys, and those that are missing: beside the
// region's, or on a line below it.
#include "config/replica_row.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <string.h>
#include <yaml.h>

enum { KEY_REGION, KEY_STAMP, KEY_WAS, KEY_SINCE, KEYS };
static const char *const key_names[KEYS] = {"region", "stamp", "stamp_was", "stamp_since"};

struct span { // of a value, in characters
    size_t from, to;
    // of its key
    size_t column;
    bool there;
};

struct row {
    struct span keys[KEYS];
    bool flow, is_region;
};

#define NAME_MAX_BYTES 256
struct finder {
    yaml_parser_t yaml;
    yaml_event_t e;
    bool has_event;
    int rc;
    const struct replica_move *m;
    // of the registry in hand; of the one that is looked for
    struct row row, found;
    bool is_registry, has_row, done;
};

// The next event is in f->e. False: there is none, or no more are wanted.
static bool next(struct finder *f)
{
    if (f->has_event)
        yaml_event_delete(&f->e);
    f->has_event = !f->rc && yaml_parser_parse(&f->yaml, &f->e);
    if (!f->has_event && !f->rc)
        f->rc = ERR_INVAL;
    return f->has_event;
}

static bool is_scalar(const struct finder *f, const char *text)
{
    return f->e.type == YAML_SCALAR_EVENT && f->e.data.scalar.length == strlen(text) &&
           !memcmp(f->e.data.scalar.value, text, strlen(text));
}

// Past the value whose first event is in hand.
static void skip(struct finder *f)
{
    size_t depth = 0;
    do {
        depth += f->e.type == YAML_MAPPING_START_EVENT || f->e.type == YAML_SEQUENCE_START_EVENT;
        depth -= f->e.type == YAML_MAPPING_END_EVENT || f->e.type == YAML_SEQUENCE_END_EVENT;
    } while (depth && next(f));
}

static void read_replica_value(struct finder *f, int key, size_t column)
{
    struct span *s = NULL;
    if (key < KEYS)
        s = &f->row.keys[key];
    if (s && f->e.type == YAML_SCALAR_EVENT)
        *s = (struct span){f->e.start_mark.index, f->e.end_mark.index, column, true};
    if (key == KEY_REGION)
        f->row.is_region = is_scalar(f, f->m->region);
    skip(f);
}

static void read_replica(struct finder *f)
{
    f->row = (struct row){.flow = f->e.data.mapping_start.style == YAML_FLOW_MAPPING_STYLE};
    while (next(f) && f->e.type != YAML_MAPPING_END_EVENT) {
        int key = 0;
        while (key < KEYS && !is_scalar(f, key_names[key]))
            key++;
        size_t column = f->e.start_mark.column;
        if (next(f))
            read_replica_value(f, key, column);
    }
    if (!f->row.is_region)
        return;
    f->found = f->row;
    f->has_row = true;
}

// All items of the sequence whose start is in hand, each by `item`.
static void read_list(struct finder *f, void (*item)(struct finder *f))
{
    if (f->e.type != YAML_SEQUENCE_START_EVENT) {
        skip(f);
        return;
    }
    while (next(f) && f->e.type != YAML_SEQUENCE_END_EVENT) {
        if (f->e.type == YAML_MAPPING_START_EVENT && !f->done)
            item(f);
        else
            skip(f);
    }
}

static void read_registry(struct finder *f)
{
    f->is_registry = f->has_row = false;
    while (next(f) && f->e.type != YAML_MAPPING_END_EVENT) {
        bool name = is_scalar(f, "name"), replicas = is_scalar(f, "replicas");
        if (!next(f))
            return;
        if (name)
            f->is_registry = is_scalar(f, f->m->registry);
        if (replicas)
            read_list(f, read_replica);
        else
            skip(f);
    }
    f->done = f->is_registry && f->has_row;
}

static void read_document(struct finder *f)
{
    while (next(f) && f->e.type != YAML_MAPPING_START_EVENT)
        if (f->e.type == YAML_STREAM_END_EVENT)
            return;
    while (!f->done && next(f) && f->e.type != YAML_MAPPING_END_EVENT) {
        bool registries = is_scalar(f, "registries");
        if (!next(f))
            return;
        if (registries)
            read_list(f, read_registry);
        else
            skip(f);
    }
}

// ---- the text ----

struct place { // in the text, by characters and by bytes
    const char *text;
    size_t n, chars, bytes;
};

static void copy_to(struct place *p, size_t chars, struct buf *out)
{
    size_t from = p->bytes;
    while (p->chars < chars && p->bytes < p->n) {
        p->bytes++;
        while (p->bytes < p->n && ((unsigned char)p->text[p->bytes] & 0xc0) == 0x80)
            p->bytes++;
        p->chars++;
    }
    if (out)
        buf_add(out, p->text + from, p->bytes - from);
}

static void skip_to(struct place *p, size_t chars)
{
    copy_to(p, chars, NULL);
}

static void copy_line(struct place *p, struct buf *out)
{
    while (p->bytes < p->n && p->text[p->bytes] != '\n')
        copy_to(p, p->chars + 1, out);
    if (p->bytes < p->n)
        copy_to(p, p->chars + 1, out);
    else
        buf_str(out, "\n");
}

static int by_place(const void *a, const void *b)
{
    const struct span *const *x = a, *const *y = b;
    return ((*x)->from > (*y)->from) - ((*x)->from < (*y)->from);
}

// Keys that the row has not got, after the region's value.
static void add_missing(const struct row *r, const char *const *values, struct place *p,
                        struct buf *out)
{
    const struct span *region = &r->keys[KEY_REGION];
    bool any = false;
    for (int k = KEY_STAMP; k < KEYS; k++)
        any |= !r->keys[k].there;
    if (any && !r->flow)
        copy_line(p, out);
    for (int k = KEY_STAMP; k < KEYS; k++) {
        if (r->keys[k].there)
            continue;
        if (r->flow)
            buf_printf(out, ", %s: %s", key_names[k], values[k]);
        else
            buf_printf(out, "%*s%s: %s\n", (int)region->column, "", key_names[k], values[k]);
    }
}

static void rewrite(const struct row *r, const char *const *values, const char *text, size_t n,
                    struct buf *out)
{
    const struct span *order[KEYS];
    size_t n_order = 0;
    struct place p = {text, n, 0, 0};
    for (int k = 0; k < KEYS; k++)
        if (r->keys[k].there)
            order[n_order++] = &r->keys[k];
    qsort(order, n_order, sizeof *order, by_place);
    for (size_t i = 0; i < n_order; i++) {
        int k = (int)(order[i] - r->keys);
        copy_to(&p, order[i]->from, out);
        if (k == KEY_REGION) {
            copy_to(&p, order[i]->to, out);
            add_missing(r, values, &p, out);
        } else {
            buf_str(out, values[k]);
            skip_to(&p, order[i]->to);
        }
    }
    buf_add(out, text + p.bytes, n - p.bytes);
}

int replica_row_edit(const char *text, size_t n, const struct replica_move *m, struct buf *out)
{
    struct finder f = {.m = m};
    char since[CLOCK_TEXT_SIZE], quoted[CLOCK_TEXT_SIZE + 2];
    if (!yaml_parser_initialize(&f.yaml))
        return ERR_NOMEM;
    yaml_parser_set_input_string(&f.yaml, (const unsigned char *)text, n);
    yaml_parser_set_encoding(&f.yaml, YAML_UTF8_ENCODING);
    read_document(&f);
    if (f.has_event)
        yaml_event_delete(&f.e);
    yaml_parser_delete(&f.yaml);
    if (!f.done) {
        if (f.rc)
            return f.rc;
        return ERR_NOTFOUND;
    }
    snprintf(quoted, sizeof quoted, "\"%s\"", clock_format_s(m->since_s, since));
    const char *const values[KEYS] = {NULL, m->stamp, m->was, quoted};
    rewrite(&f.found, values, text, n, out);
    return out->err;
}
