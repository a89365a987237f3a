// SPDX-License-Identifier: Apache-2.0
// YAML events to a tree; see document.h.
#include "config/document.h"

#include "base/err.h"

#include <string.h>
#include <yaml.h>

struct frame {
    struct doc_node *node, *last;
    // of a map: read, and waiting for its value
    const char *key;
    int key_line;
};

struct reader {
    yaml_parser_t yaml;
    struct arena *arena;
    struct diag *diag;
    const char *source;
    // may be NULL
    const struct doc_lines *lines;
    struct frame stack[DOC_MAX_DEPTH];
    size_t depth, n_documents, n_errors;
    struct doc_node *root;
    // set when reading cannot go on
    int rc;
};

#define SAY(r, line, ...)                                    \
    do {                                                     \
        (r)->n_errors++;                                     \
        diag_add((r)->diag, (r)->source, line, __VA_ARGS__); \
    } while (0)

static int line_of_mark(const struct reader *r, const yaml_mark_t *m)
{
    int line = (int)m->line + 1, at = line;
    if (!r->lines)
        return line;
    line += r->lines->first - 1;
    for (size_t i = 0; i < r->lines->n_pairs; i++) {
        if (at > r->lines->after[2 * i])
            line += r->lines->after[2 * i + 1];
    }
    return line;
}

static int line_of(const struct reader *r, const yaml_event_t *e)
{
    return line_of_mark(r, &e->start_mark);
}

static const char *scalar_text(struct reader *r, const yaml_event_t *e)
{
    const char *p = (const char *)e->data.scalar.value;
    size_t n = e->data.scalar.length;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f) {
            SAY(r, line_of(r, e), "a control byte or line break inside a value is not allowed");
            return "";
        }
    char *s = arena_strndup(r->arena, p, n);
    if (!s)
        r->rc = ERR_NOMEM;
    return s;
}

static void map_key(struct reader *r, struct frame *f, const yaml_event_t *e)
{
    f->key = scalar_text(r, e);
    f->key_line = line_of(r, e);
    if (r->rc)
        return;
    if (f->node->n == DOC_MAX_KEYS) {
        SAY(r, f->key_line, "more than %d keys in one mapping", DOC_MAX_KEYS);
        r->rc = ERR_INVAL;
        return;
    }
    for (const struct doc_node *c = f->node->child; c; c = c->next)
        if (!strcmp(c->key, f->key)) {
            SAY(r, f->key_line, "%s: given twice, first on line %d", f->key, c->key_line);
            return;
        }
}

// Hangs a node below the innermost open list or map; makes it the root when there is none.
static struct doc_node *attach(struct reader *r, enum doc_kind kind, const yaml_event_t *e)
{
    struct frame *f = NULL;
    if (r->depth)
        f = &r->stack[r->depth - 1];
    if (f && f->node->kind == DOC_MAP && !f->key) {
        SAY(r, line_of(r, e), "a key must be a word, not %s",
            kind == DOC_MAP ? "a mapping" : "a list");
        r->rc = ERR_INVAL;
        return NULL;
    }
    struct doc_node *n = arena_alloc(r->arena, sizeof *n);
    if (!n) {
        r->rc = ERR_NOMEM;
        return NULL;
    }
    n->kind = kind;
    n->line = line_of(r, e);
    if (!f) {
        r->root = n;
        return n;
    }
    n->key = f->key;
    n->key_line = f->key_line;
    f->key = NULL;
    if (f->last)
        f->last->next = n;
    else
        f->node->child = n;
    f->last = n;
    f->node->n++;
    return n;
}

static void open_frame(struct reader *r, enum doc_kind kind, const yaml_event_t *e,
                       const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor)
        SAY(r, line_of(r, e), "anchors (&%s) are not supported", anchor);
    if (tag)
        SAY(r, line_of(r, e), "tags (%s) are not supported", tag);
    if (r->depth == DOC_MAX_DEPTH) {
        SAY(r, line_of(r, e), "nested deeper than %d levels", DOC_MAX_DEPTH);
        r->rc = ERR_INVAL;
        return;
    }
    struct doc_node *n = attach(r, kind, e);
    if (n)
        r->stack[r->depth++] = (struct frame){.node = n};
}

static void on_scalar(struct reader *r, const yaml_event_t *e)
{
    if (e->data.scalar.anchor)
        SAY(r, line_of(r, e), "anchors (&%s) are not supported", e->data.scalar.anchor);
    if (e->data.scalar.tag)
        SAY(r, line_of(r, e), "tags (%s) are not supported", e->data.scalar.tag);
    struct frame *f = NULL;
    if (r->depth)
        f = &r->stack[r->depth - 1];
    if (f && f->node->kind == DOC_MAP && !f->key) {
        map_key(r, f, e);
        return;
    }
    const char *text = scalar_text(r, e);
    struct doc_node *n = NULL;
    if (text)
        n = attach(r, DOC_SCALAR, e);
    if (!n)
        return;
    n->text = text;
    n->n = strlen(text);
    n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static void on_event(struct reader *r, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++r->n_documents > 1) {
            SAY(r, line_of(r, e), "a second document starts here; one file holds one document");
            r->rc = ERR_INVAL;
        }
        break;
    case YAML_ALIAS_EVENT:
        SAY(r, line_of(r, e), "aliases (*%s) are not supported", e->data.alias.anchor);
        r->rc = ERR_INVAL;
        break;
    case YAML_SCALAR_EVENT:
        on_scalar(r, e);
        break;
    case YAML_SEQUENCE_START_EVENT:
        open_frame(r, DOC_LIST, e, e->data.sequence_start.anchor, e->data.sequence_start.tag);
        break;
    case YAML_MAPPING_START_EVENT:
        open_frame(r, DOC_MAP, e, e->data.mapping_start.anchor, e->data.mapping_start.tag);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        r->depth--;
        break;
    default:
        break;
    }
}

static void say_syntax(struct reader *r)
{
    const yaml_parser_t *y = &r->yaml;
    if (y->error == YAML_MEMORY_ERROR) {
        r->rc = ERR_NOMEM;
        return;
    }
    r->rc = ERR_INVAL;
    const char *problem = y->problem;
    if (!problem)
        problem = "malformed";
    if (y->error == YAML_READER_ERROR) // libyaml has only a byte offset here
        SAY(r, 0, "not YAML in UTF-8 at byte %zu: %s", y->problem_offset, problem);
    else
        SAY(r, line_of_mark(r, &y->problem_mark), "not YAML: %s%s%s", problem,
            y->context ? " " : "", y->context ? y->context : "");
}

static void read_all(struct reader *r)
{
    for (bool end = false; !end && !r->rc;) {
        yaml_event_t e;
        if (!yaml_parser_parse(&r->yaml, &e)) {
            say_syntax(r);
            return;
        }
        end = e.type == YAML_STREAM_END_EVENT;
        on_event(r, &e);
        yaml_event_delete(&e);
    }
}

int doc_parse(const char *text, size_t n, const char *source, struct arena *arena,
              struct diag *diag, struct doc_node **out)
{
    return doc_parse_part(text, n, source, NULL, arena, diag, out);
}

int doc_parse_part(const char *text, size_t n, const char *source, const struct doc_lines *lines,
                   struct arena *arena, struct diag *diag, struct doc_node **out)
{
    struct reader r = {.arena = arena, .diag = diag, .source = source, .lines = lines};
    if (!yaml_parser_initialize(&r.yaml))
        return ERR_NOMEM;
    yaml_parser_set_encoding(&r.yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.yaml, (const unsigned char *)text, n);
    read_all(&r);
    yaml_parser_delete(&r.yaml);
    if (!r.rc && !r.root)
        SAY(&r, 0, "the file is empty");
    if (!r.rc && r.n_errors)
        r.rc = ERR_INVAL;
    if (!r.rc)
        *out = r.root;
    return r.rc;
}

static const struct doc_node *find(const struct doc_node *map, const char *key)
{
    if (!map || map->kind != DOC_MAP)
        return NULL;
    for (const struct doc_node *c = map->child; c; c = c->next)
        if (!strcmp(c->key, key))
            return c;
    return NULL;
}

const struct doc_node *doc_get(const struct doc_node *map, const char *key)
{
    return find(map, key);
}

int doc_key_line(const struct doc_node *map, const char *key)
{
    const struct doc_node *n = find(map, key);
    if (n)
        return n->key_line;
    if (map)
        return map->line;
    return 0;
}

int doc_item_line(const struct doc_node *map, const char *key, size_t index)
{
    const struct doc_node *n = find(map, key);
    if (n && n->kind == DOC_LIST)
        for (const struct doc_node *c = n->child; c; c = c->next)
            if (index-- == 0)
                return c->line;
    return doc_key_line(map, key);
}

const char *doc_kind_name(const struct doc_node *n)
{
    if (n->kind == DOC_MAP)
        return "a mapping";
    if (n->kind == DOC_LIST)
        return "a list";
    return "a value";
}
