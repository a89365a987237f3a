// SPDX-License-Identifier: Apache-2.0
// What a document undoes; see changes_undone.h.
#include "control/changes_undone.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "control/changes_file.h"
#include "control/document_rows.h"
#include "control/document_text.h"

#include <string.h>

#define FILE_MAX (1u << 30)

struct last { // the last change of a row
    // NULL: it goes
    const struct spec_registry *registry;
    const struct spec_private *private;
    bool is_private;
    const char *name;
    uint64_t version;
    int line;
    struct last *next;
};

struct looking {
    const struct topology *t;
    const char *file;
    struct diag *diag;
    struct arena arena;
    // by "r/NAME" and "p/NAME"
    struct htab *rows;
    struct last *first, *end;
    struct htab *owners;
    // of the row in hand
    const struct last *row;
};

// ---- the last change of each row ----

static int remember(struct looking *x, const struct last *change)
{
    const char *key =
        arena_printf(&x->arena, "%c/%s", change->is_private ? 'p' : 'r', change->name);
    if (!key)
        return ERR_NOMEM;
    struct last *known = htab_get(x->rows, key, strlen(key));
    if (known) {
        struct last *next = known->next;
        *known = *change;
        known->next = next;
        return 0;
    }
    struct last *row = arena_copy(&x->arena, change, sizeof *change);
    if (!row || htab_put(x->rows, key, strlen(key), row))
        return ERR_NOMEM;
    row->next = NULL;
    if (x->end)
        x->end->next = row;
    else
        x->first = row;
    x->end = row;
    return 0;
}

static int line_of(const struct doc_node *node, int line)
{
    if (node)
        return node->line;
    return line;
}

static int remember_rows(struct looking *x, const struct change *c, int line)
{
    int rc = 0;
    for (size_t i = 0; i < c->n_registries && !rc; i++) {
        const struct spec_registry *r = &c->registries[i];
        rc = remember(x, &(struct last){.registry = r,
                                        .name = r->name,
                                        .version = c->version,
                                        .line = line_of(r->node, line)});
    }
    for (size_t i = 0; i < c->n_remove && !rc; i++)
        rc = remember(x, &(struct last){.name = c->remove[i], .version = c->version, .line = line});
    for (size_t i = 0; i < c->n_remove_private_endpoints && !rc; i++)
        rc = remember(x, &(struct last){.is_private = true,
                                        .name = c->remove_private_endpoints[i],
                                        .version = c->version,
                                        .line = line});
    for (size_t i = 0; i < c->n_private_endpoints && !rc; i++) {
        const struct spec_private *p = &c->private_endpoints[i];
        rc = remember(x, &(struct last){.is_private = true,
                                        .private = p,
                                        .name = p->name,
                                        .version = c->version,
                                        .line = line_of(p->node, line)});
    }
    return rc;
}

static int read_changes(struct looking *x, const struct buf *text)
{
    size_t at = 0, n;
    int line = 1, rc = 0;
    while (!rc && (n = change_whole(buf_cstr(text) + at, text->n - at))) {
        struct change c = {0};
        rc = change_parse(text->p + at, n, x->file, line, &x->arena, NULL, &c);
        if (!rc)
            rc = remember_rows(x, &c, line);
        else if (rc != ERR_NOMEM)
            rc = 0; // one that cannot be read is nobody's change
        line += (int)bytes_lines(text->p + at, n);
        at += n;
    }
    return rc;
}

// ---- against the document ----

static const char *kind_of(const struct last *row)
{
    if (row->is_private)
        return "private endpoint";
    return "registry";
}

static int tell_member(void *ctx, const char *path, const char *was, const char *is)
{
    struct looking *x = ctx;
    const char *last = strrchr(path, '/');
    // a change that does not say the stamp means the first one; the document says it
    if (!was && last && !strcmp(last, "/stamp"))
        return 0;
    diag_add(x->diag, x->file, x->row->line,
             "%s %s: version %llu made %s %s; the document, version %llu, has %s", kind_of(x->row),
             x->row->name, (unsigned long long)x->row->version, path, was ? was : "absent",
             (unsigned long long)x->t->frame->base_version, is ? is : "none");
    return 0;
}

static int row_of(struct looking *x, const struct last *row, const struct doc_node **change,
                  const struct doc_node **document)
{
    int rc = 0;
    *change = NULL;
    if (row->registry)
        rc = document_spec_registry(&x->arena, row->registry, change);
    else if (row->private)
        rc = document_spec_private(&x->arena, row->private, change);
    if (rc)
        return rc;
    if (row->is_private)
        return document_private(&x->arena, x->t, htab_get(x->owners, row->name, strlen(row->name)),
                                row->name, document);
    return document_registry(&x->arena, x->t, row->name, document);
}

// Which registry of its name is meant goes without saying.
static int judge_members(struct looking *x, const struct doc_node *change,
                         const struct doc_node *document)
{
    const struct doc_node *a = document_without_incarnation(&x->arena, change);
    const struct doc_node *b = document_without_incarnation(&x->arena, document);
    if (!a || !b)
        return ERR_NOMEM;
    return document_words(&x->arena, a, b, tell_member, x);
}

static int judge(struct looking *x, const struct last *row)
{
    const struct doc_node *change, *document;
    x->row = row;
    if (row->version > x->t->frame->base_version)
        return 0; // it came after the document, and is in force
    int rc = row_of(x, row, &change, &document);
    if (rc || (!change && !document))
        return rc;
    if (change && document)
        return judge_members(x, change, document);
    const struct registry *r = row->is_private ? NULL : topology_registry(x->t, row->name);
    if (!change && r && r->incarnation > row->version)
        return 0; // it was created again since
    diag_add(x->diag, x->file, row->line,
             "%s %s: version %llu %s it, and the document, version %llu, %s", kind_of(row),
             row->name, (unsigned long long)row->version, change ? "has" : "removed",
             (unsigned long long)x->t->frame->base_version, change ? "does not have it" : "has it");
    return 0;
}

int changes_undone(const char *path, const struct topology *t, struct diag *diag)
{
    AUTO_BUF struct buf text;
    AUTO_FREE char *file = mem_printf("%s.changes", path);
    buf_init(&text, 0);
    if (!file)
        return ERR_NOMEM;
    int rc = file_read(file, FILE_MAX, &text);
    if (rc == ERR_NOTFOUND)
        return 0;
    if (rc) {
        diag_add(diag, file, 0, "cannot be read: %s", err_text(rc));
        return rc;
    }
    struct looking x = {.t = t, .file = file, .diag = diag, .rows = htab_new()};
    arena_init(&x.arena, 0);
    x.owners = document_private_owners(t);
    rc = ERR_NOMEM;
    if (x.rows && x.owners)
        rc = read_changes(&x, &text);
    for (const struct last *row = x.first; row && !rc; row = row->next)
        rc = judge(&x, row);
    htab_free(x.rows);
    htab_free(x.owners);
    arena_done(&x.arena);
    return rc;
}
