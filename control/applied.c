// SPDX-License-Identifier: Apache-2.0
// The base of apply in the ledger; see applied.h.
#include "control/applied.h"

#include "base/err.h"
#include "base/mem.h"
#include "control/change.h"
#include "control/document_diff.h"
#include "control/document_rows.h"
#include "control/document_text.h"

#include <jansson.h>
#include <string.h>

// ---- records as JSON ----

const char *applied_key(struct arena *arena, const char *kind, const char *name)
{
    return arena_printf(arena, APPLIED_PREFIX "%s/%s", kind, name);
}

static const char *dumped(struct arena *arena, json_t *j) // takes it
{
    AUTO_FREE char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    if (!text)
        return NULL;
    return arena_strdup(arena, text);
}

const char *applied_value(struct arena *arena, const struct doc_node *row, const char *by)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    if (!row)
        return dumped(arena, json_pack("{s:n, s:s*}", "row", "by", by));
    document_put(&text, row, 0);
    if (text.err)
        return NULL;
    return dumped(arena, json_pack("{s:s, s:s*}", "row", buf_cstr(&text), "by", by));
}

static json_t *record_json(applied_look_up *look_up, void *ctx, const char *key)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    if (look_up(ctx, key, &text))
        return NULL;
    return json_loadb(buf_cstr(&text), text.n, 0, NULL);
}

int applied_row(applied_look_up *look_up, void *ctx, struct arena *arena, const char *key,
                bool *out_known, const struct doc_node **out, const char **out_by)
{
    json_t *j = record_json(look_up, ctx, key);
    const char *row = json_string_value(json_object_get(j, "row"));
    const char *by = json_string_value(json_object_get(j, "by"));
    struct doc_node *tree = NULL;
    int rc = 0;
    if (row)
        rc = doc_parse(row, strlen(row), key, arena, NULL, &tree);
    if (out_by)
        *out_by = by ? arena_strdup(arena, by) : NULL;
    *out_known = j != NULL;
    *out = tree;
    json_decref(j);
    return rc;
}

struct applied_mark applied_mark_read(applied_look_up *look_up, void *ctx)
{
    json_t *j = record_json(look_up, ctx, APPLIED_MARK);
    json_int_t rows = json_integer_value(json_object_get(j, "rows"));
    struct applied_mark m = {.lost = json_is_true(json_object_get(j, "lost"))};
    json_int_t at = json_integer_value(json_object_get(j, "at"));
    if (rows > 0)
        m.rows = (size_t)rows;
    if (at > 0)
        m.at = (uint64_t)at;
    json_decref(j);
    return m;
}

const char *applied_mark_value(struct arena *arena, const struct applied_mark *m)
{
    return dumped(arena, json_pack("{s:I, s:b, s:I}", "rows", (json_int_t)m->rows, "lost",
                                   (int)m->lost, "at", (json_int_t)m->at));
}

// ---- keeping ----

struct keeping {
    const struct applied_change *c;
    applied_look_up *look_up;
    void *ctx;
    struct arena *arena;
    struct applied_mark mark;
    struct applied_record *list;
    size_t n, cap;
    // made when a private endpoint is asked for
    struct htab *owners;
};

static int add(struct keeping *k, const char *key, const char *value)
{
    if (!key || !value)
        return ERR_NOMEM;
    if (k->n == k->cap) {
        size_t cap = k->cap ? 2 * k->cap : 16;
        struct applied_record *list = arena_array(k->arena, cap, sizeof *list);
        if (!list)
            return ERR_NOMEM;
        if (k->n)
            memcpy(list, k->list, k->n * sizeof *list);
        k->list = list;
        k->cap = cap;
    }
    k->list[k->n++] = (struct applied_record){key, value};
    return 0;
}

static bool is_added(const struct keeping *k, const char *key)
{
    for (size_t i = 0; i < k->n && k->n <= 64; i++)
        if (!strcmp(k->list[i].key, key))
            return true;
    return false;
}

// Is there no record of it yet, and room for one? Rows of one change have different names, but for
// a registry that it gives and a private endpoint of the same name, whose keys differ.
static bool wanted(struct keeping *k, const char *key)
{
    if (k->look_up(k->ctx, key, NULL) != ERR_NOTFOUND || is_added(k, key))
        return false;
    if (k->mark.rows < APPLIED_ROWS_MAX)
        return true;
    k->mark.lost = true;
    return false;
}

// Of a row that has a record: who changes it now is who changed it last.
static int keep_changer(struct keeping *k, const char *key)
{
    json_t *j = is_added(k, key) ? NULL : record_json(k->look_up, k->ctx, key);
    const char *had = json_string_value(json_object_get(j, "by"));
    bool same = k->c->by && had && !strcmp(had, k->c->by);
    if (!j || !k->c->by || same) {
        json_decref(j);
        return 0;
    }
    json_object_set_new(j, "by", json_string(k->c->by));
    return add(k, key, dumped(k->arena, j));
}

static int keep_row(struct keeping *k, const char *key, const struct doc_node *row)
{
    k->mark.rows++;
    return add(k, key, applied_value(k->arena, row, k->c->by));
}

static int keep_registry(struct keeping *k, const char *name)
{
    const char *key = applied_key(k->arena, "registry", name);
    const struct doc_node *row;
    if (!key)
        return ERR_NOMEM;
    if (!wanted(k, key))
        return keep_changer(k, key);
    int rc = document_registry(k->arena, k->c->before, name, &row);
    if (rc)
        return rc;
    if (row)
        row = document_without_incarnation(k->arena, row);
    return keep_row(k, key, row);
}

static const char *owner_of(struct keeping *k, const char *name)
{
    if (!k->owners)
        k->owners = document_private_owners(k->c->before);
    if (!k->owners)
        return NULL;
    return htab_get(k->owners, name, strlen(name));
}

// `likely`: the registry that it leads to, unless that changes; NULL: not said.
static int keep_private(struct keeping *k, const char *name, const char *likely)
{
    const char *key = applied_key(k->arena, "private", name);
    const struct doc_node *row;
    if (!key)
        return ERR_NOMEM;
    if (!wanted(k, key))
        return keep_changer(k, key);
    int rc = document_private(k->arena, k->c->before, likely, name, &row);
    if (!rc && !row) // all registries are looked through for it
        rc = document_private(k->arena, k->c->before, owner_of(k, name), name, &row);
    if (!rc && !row && !k->owners)
        rc = ERR_NOMEM;
    if (!rc)
        rc = keep_row(k, key, row);
    return rc;
}

static int keep_section(struct keeping *k, const struct doc_node *was, const struct doc_node *is,
                        const char *name)
{
    if (!strcmp(name, "version") || document_equal(was, is))
        return 0;
    const char *key = applied_key(k->arena, "section", name);
    if (!key)
        return ERR_NOMEM;
    if (!wanted(k, key))
        return keep_changer(k, key);
    return keep_row(k, key, was);
}

static int keep_frame(struct keeping *k)
{
    const struct doc_node *before;
    struct doc_node *after;
    if (!k->c->frame.n)
        return 0;
    int rc = document_frame(k->arena, k->c->before, &before);
    if (!rc)
        rc = doc_parse((const char *)k->c->frame.p, k->c->frame.n, "frame", k->arena, NULL, &after);
    if (rc)
        return rc == ERR_NOMEM ? rc : 0;
    for (const struct doc_node *v = before->child; v && !rc; v = v->next)
        rc = keep_section(k, v, doc_get(after, v->key), v->key);
    for (const struct doc_node *v = after->child; v && !rc; v = v->next)
        if (!doc_get(before, v->key))
            rc = keep_section(k, NULL, v, v->key);
    return rc;
}

static int keep_rows(struct keeping *k)
{
    struct change c;
    if (!k->c->change.n)
        return 0;
    int rc =
        change_parse((const char *)k->c->change.p, k->c->change.n, "change", 1, k->arena, NULL, &c);
    if (rc)
        return rc == ERR_NOMEM ? rc : 0;
    for (size_t i = 0; i < c.n_registries && !rc; i++)
        if (c.registries[i].name)
            rc = keep_registry(k, c.registries[i].name);
    for (size_t i = 0; i < c.n_remove && !rc; i++)
        rc = keep_registry(k, c.remove[i]);
    for (size_t i = 0; i < c.n_private_endpoints && !rc; i++)
        if (c.private_endpoints[i].name)
            rc = keep_private(k, c.private_endpoints[i].name, c.private_endpoints[i].registry);
    for (size_t i = 0; i < c.n_remove_private_endpoints && !rc; i++)
        rc = keep_private(k, c.remove_private_endpoints[i], NULL);
    return rc;
}

int applied_keep(const struct applied_change *c, applied_look_up *look_up, void *ctx,
                 struct arena *arena, struct applied_record **out, size_t *out_n)
{
    struct keeping k = {.c = c, .look_up = look_up, .ctx = ctx, .arena = arena};
    k.mark = applied_mark_read(look_up, ctx);
    bool was_lost = k.mark.lost;
    int rc = keep_frame(&k);
    if (!rc)
        rc = keep_rows(&k);
    if (!rc && (k.n || k.mark.lost != was_lost))
        rc = add(&k, APPLIED_MARK, applied_mark_value(arena, &k.mark));
    htab_free(k.owners);
    if (rc)
        return rc;
    *out = k.list;
    *out_n = k.n;
    return 0;
}
