// SPDX-License-Identifier: Apache-2.0
// The text of a document without its registries and private endpoints, which the frame keeps: the
// compiled form is made of it (control/compiled.h). See topology_priv.h.
#include "config/topology_priv.h"

#include "base/bytes.h"
#include "base/err.h"
#include "config/topology_make.h"

#include <string.h>

static bool is_cut(const char *key)
{
    return !strcmp(key, "registries") || !strcmp(key, "private_endpoints");
}

// Where a line of the text begins (1 is the first), looking from a line before it on.
struct line_at {
    int line;
    size_t at;
};

static void go_to_line(const char *text, size_t n, int line, struct line_at *from)
{
    while (from->line < line && from->at < n) {
        const char *end = memchr(text + from->at, '\n', n - from->at);
        if (end)
            from->at = (size_t)(end - text) + 1;
        else
            from->at = n;
        from->line++;
    }
}

static bool key_begins_at(const char *text, size_t n, size_t at, const char *key)
{
    size_t k = strlen(key);
    return n - at > k && !memcmp(text + at, key, k) && text[at + k] == ':';
}

struct cut_text {
    struct buf text;
    int cuts[2 * TOPOLOGY_CUTS_MAX];
    size_t n;
};

// Whole lines from the key to the next one. False: they cannot be cut out as lines.
static bool cut_key(const char *text, size_t n, const struct doc_node *key, struct line_at *at,
                    struct cut_text *out)
{
    size_t kept = at->at;
    int kept_line = at->line;
    go_to_line(text, n, key->key_line, at);
    if (at->line != key->key_line || !key_begins_at(text, n, at->at, key->key))
        return false;
    buf_add(&out->text, text + kept, at->at - kept);
    int first = at->line;
    if (!key->next) {
        at->at = n;
    } else {
        go_to_line(text, n, key->next->key_line, at);
        if (at->line != key->next->key_line || !key_begins_at(text, n, at->at, key->next->key))
            return false;
    }
    int lines_before = first - kept_line + (out->n ? out->cuts[2 * out->n - 2] : 0);
    out->cuts[2 * out->n] = lines_before;
    out->cuts[2 * out->n + 1] = at->line - first;
    out->n++;
    return true;
}

static bool cut(const char *text, size_t n, const struct doc_node *root, struct cut_text *out)
{
    struct line_at at = {1, 0};
    for (const struct doc_node *v = root->child; v; v = v->next)
        if (is_cut(v->key) && (out->n == TOPOLOGY_CUTS_MAX || !cut_key(text, n, v, &at, out)))
            return false;
    buf_add(&out->text, text + at.at, n - at.at);
    return !out->text.err;
}

int topology_keep_text(struct topology *t, const struct doc_node *root,
                       const struct doc_lines *lines, const char *text, size_t n)
{
    struct topology_frame *f = t->frame;
    struct cut_text c = {.n = 0};
    int rc = 0;
    buf_init(&c.text, 0);
    bool whole = lines != NULL; // it was cut before
    if (whole || cut(text, n, root, &c)) {
        f->text = arena_copy(&f->arena, whole ? text : buf_cstr(&c.text), whole ? n : c.text.n);
        if (whole)
            f->text_n = n;
        else
            f->text_n = c.text.n;
        if (whole)
            f->n_cuts = lines->n_pairs;
        else
            f->n_cuts = c.n;
        f->cuts =
            arena_copy(&f->arena, whole ? lines->after : c.cuts, 2 * f->n_cuts * sizeof *f->cuts);
        if (f->text && f->cuts)
            rc = 0;
        else
            rc = ERR_NOMEM;
    } else if (c.text.err) {
        rc = ERR_NOMEM;
    }
    buf_done(&c.text);
    return rc;
}
