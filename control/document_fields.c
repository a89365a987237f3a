// SPDX-License-Identifier: Apache-2.0
// Small changes of a YAML document as text; see document_fields.h. The document's tree says on which
// line a value stands, and the tree of what comes out says whether it came to be.
#include "control/document_fields.h"

#include "base/arena.h"
#include "base/err.h"
#include "config/document.h"

#include <stdio.h>
#include <string.h>

static const struct doc_node *node_at(const struct doc_node *root, const char *section,
                                      const char *key)
{
    if (!section)
        return doc_get(root, key);
    return doc_get(doc_get(root, section), key);
}

// Does the text say so? 0, ERR_UNSUPPORTED.
static int check(const struct buf *text, const char *section, const char *key, const char *value)
{
    struct arena a;
    struct doc_node *root;
    arena_init(&a, 0);
    int rc = doc_parse(buf_cstr(text), text->n, "", &a, NULL, &root);
    if (!rc) {
        const struct doc_node *v = node_at(root, section, key);
        bool says = v && v->kind == DOC_SCALAR && !strcmp(v->text, value);
        rc = says ? 0 : ERR_UNSUPPORTED;
    }
    arena_done(&a);
    return rc;
}

static size_t line_at(const struct buf *text, int line)
{
    size_t at = 0;
    for (int i = 1; i < line && at < text->n; i++) {
        const char *end = memchr(text->p + at, '\n', text->n - at);
        at = end ? (size_t)(end - text->p) + 1 : text->n;
    }
    return at;
}

// The value after `key:` on that line, from *out_from on; its length, or 0.
static size_t find_value(const struct buf *text, int line, const char *key, size_t *out_from)
{
    size_t at = line_at(text, line), n_key = strlen(key);
    const char *end = memchr(text->p + at, '\n', text->n - at);
    size_t n = (end ? (size_t)(end - text->p) : text->n) - at;
    for (size_t i = 0; i + n_key + 1 < n; i++) {
        const char *p = text->p + at + i;
        bool begins = !i || strchr(" ,{", p[-1]) != NULL;
        if (!begins || strncmp(p, key, n_key) != 0 || p[n_key] != ':' || p[n_key + 1] != ' ')
            continue;
        size_t from = at + i + n_key + 1;
        from += strspn(text->p + from, " ");
        *out_from = from;
        size_t length = strcspn(text->p + from, " ,}#\r\n");
        return length;
    }
    return 0;
}

static int replaced(struct buf *text, size_t from, size_t n, const char *value)
{
    AUTO_BUF struct buf out;
    buf_init(&out, text->max);
    buf_add(&out, text->p, from);
    buf_str(&out, value);
    buf_add(&out, text->p + from + n, text->n - from - n);
    if (out.err)
        return out.err;
    struct buf was = *text;
    *text = out;
    out = was;
    return 0;
}

// In front, behind what begins a document.
static int added(struct buf *text, const char *key, const char *value)
{
    char line[64];
    size_t at = 0;
    snprintf(line, sizeof line, "%s: %s\n", key, value);
    if (text->n >= 4 && !memcmp(text->p, "---\n", 4))
        at = 4;
    return replaced(text, at, 0, line);
}

static int key_line(const struct buf *text, const char *section, const char *key, int *out)
{
    struct arena a;
    struct doc_node *root;
    arena_init(&a, 0);
    int rc = doc_parse(buf_cstr(text), text->n, "", &a, NULL, &root);
    if (!rc && root->kind != DOC_MAP)
        rc = ERR_INVAL;
    if (!rc) {
        const struct doc_node *v = node_at(root, section, key);
        *out = v ? v->key_line : 0;
    }
    arena_done(&a);
    return rc;
}

static int set(struct buf *text, const char *section, const char *key, const char *value)
{
    int line;
    size_t from = 0;
    int rc = key_line(text, section, key, &line);
    if (rc)
        return rc;
    if (!line && section)
        return ERR_NOTFOUND;
    if (!line) {
        rc = added(text, key, value);
    } else {
        size_t n = find_value(text, line, key, &from);
        if (!n)
            return ERR_UNSUPPORTED;
        rc = replaced(text, from, n, value);
    }
    if (rc)
        return rc;
    return check(text, section, key, value);
}

int document_set_version(struct buf *text, uint64_t version)
{
    char value[24];
    snprintf(value, sizeof value, "%llu", (unsigned long long)version);
    return set(text, NULL, "version", value);
}

int document_set_writer(struct buf *text, const char *region)
{
    return set(text, "control", "writer", region);
}
