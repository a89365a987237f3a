// SPDX-License-Identifier: Apache-2.0
// The text of a document without its registries, private endpoints and reserved names, which the
// frame keeps: the compiled form is made of it (control/compiled.h). See topology_priv.h.
#include "config/topology_priv.h"

#include "base/bytes.h"
#include "base/err.h"
#include "config/topology_make.h"

#include <string.h>

static bool is_cut(const char *key)
{
    return !strcmp(key, "registries") || !strcmp(key, "private_endpoints") ||
           !strcmp(key, "reserved");
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

// Goes to the line that a key stands on. False: the key does not begin it.
static bool go_to_key(const char *text, size_t n, const struct doc_node *key, struct line_at *at)
{
    go_to_line(text, n, key->key_line, at);
    return at->line == key->key_line && key_begins_at(text, n, at->at, key->key);
}

// Cuts whole lines, from the key to the next one. False: they cannot be cut out as lines.
static bool cut_key(const char *text, size_t n, const struct doc_node *key, struct line_at *at,
                    struct cut_text *out)
{
    const struct line_at kept = *at;
    if (!go_to_key(text, n, key, at))
        return false;
    buf_add(&out->text, text + kept.at, at->at - kept.at);
    int first = at->line, lines_before = first - kept.line;
    if (out->n)
        lines_before += out->cuts[2 * out->n - 2];
    if (!key->next)
        at->at = n;
    else if (!go_to_key(text, n, key->next, at))
        return false;
    out->cuts[2 * out->n] = lines_before;
    out->cuts[2 * out->n + 1] = at->line - first;
    out->n++;
    return true;
}

static bool cut(const char *text, size_t n, const struct doc_node *root, struct cut_text *out)
{
    struct line_at at = {1, 0};
    for (const struct doc_node *v = root->child; v; v = v->next) {
        if (!is_cut(v->key))
            continue;
        if (out->n == TOPOLOGY_CUTS_MAX || !cut_key(text, n, v, &at, out))
            return false;
    }
    buf_add(&out->text, text + at.at, n - at.at);
    return !out->text.err;
}

static int keep(struct topology_frame *f, const char *text, size_t n, const int *cuts,
                size_t n_cuts)
{
    f->text = arena_copy(&f->arena, text, n);
    f->text_n = n;
    f->cuts = arena_copy(&f->arena, cuts, 2 * n_cuts * sizeof *f->cuts);
    f->n_cuts = n_cuts;
    return f->text && f->cuts ? 0 : ERR_NOMEM;
}

int topology_keep_text(struct topology *t, const struct doc_node *root,
                       const struct doc_lines *lines, const char *text, size_t n)
{
    if (lines) // it was cut before
        return keep(t->frame, text, n, lines->after, lines->n_pairs);
    struct cut_text c = {.n = 0};
    buf_init(&c.text, 0);
    int rc = 0;
    if (cut(text, n, root, &c))
        rc = keep(t->frame, buf_cstr(&c.text), c.text.n, c.cuts, c.n);
    else if (c.text.err)
        rc = ERR_NOMEM;
    buf_done(&c.text);
    return rc;
}
