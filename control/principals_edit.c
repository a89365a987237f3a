// SPDX-License-Identifier: Apache-2.0
// Edits of the principals; see principals_edit.h.
#include "control/principals_edit.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

#define SOURCE "principals"
// Verifiers let a clock be a minute behind, so an entry stays for an hour longer than its token.
#define REVOKED_LONGER_S 3600

// A copy of a list, with room for more. NULL: no memory.
static void *more(struct principals_edit *e, const void *list, size_t n, size_t room, size_t size)
{
    void *copy = arena_array(&e->arena, n + room + 1, size);
    if (copy && n)
        memcpy(copy, list, n * size);
    return copy;
}

int principals_edit_begin(struct principals_edit *e, struct bytes text, size_t room,
                          struct diag *diag)
{
    *e = (struct principals_edit){0};
    arena_init(&e->arena, 0);
    if (text.n) {
        int rc = principals_parse((const char *)text.p, text.n, SOURCE, diag, &e->now);
        if (rc)
            return rc;
        e->doc = *e->now; // a copy to read from: it holds no reference, and is never published
    }
    struct principals *doc = &e->doc;
    doc->users = e->users = more(e, doc->users, doc->n_users, room, sizeof *e->users);
    doc->tokens = e->tokens = more(e, doc->tokens, doc->n_tokens, room, sizeof *e->tokens);
    doc->scope_maps = e->scope_maps =
        more(e, doc->scope_maps, doc->n_scope_maps, room, sizeof *e->scope_maps);
    doc->revoked = e->revoked = more(e, doc->revoked, doc->n_revoked, room, sizeof *e->revoked);
    if (e->users && e->tokens && e->scope_maps && e->revoked)
        return 0;
    return ERR_NOMEM;
}

void principals_edit_done(struct principals_edit *e)
{
    snapshot_unref(e->now);
    arena_done(&e->arena);
}

static void revoked_prune(struct principals_edit *e, int64_t now_ms)
{
    int64_t before_s = now_ms / 1000 - REVOKED_LONGER_S;
    size_t kept = 0;
    for (size_t i = 0; i < e->doc.n_revoked; i++)
        if (e->revoked[i].expires_s > before_s)
            e->revoked[kept++] = e->revoked[i];
    e->doc.n_revoked = kept;
}

static void wipe(struct buf *b)
{
    if (b->p)
        explicit_bzero(b->p, b->cap);
    buf_done(b);
}

// Is it what the document was, but for the version?
static int same_as_before(const struct principals_edit *e, bool *out)
{
    struct buf was, is;
    struct principals old = {0}, new = e->doc;
    if (e->now)
        old = *e->now;
    old.version = new.version = 0;
    int rc = principals_format(&old, &was);
    if (rc)
        return rc;
    rc = principals_format(&new, &is);
    if (!rc) {
        *out = bytes_equal(bytes_of(was.p, was.n), bytes_of(is.p, is.n));
        wipe(&is);
    }
    wipe(&was);
    return rc;
}

// The sentences of a document that was refused, without the lines of a text that nobody sees.
static int refuse(const struct diag *d, int rc, struct diag *diag)
{
    for (size_t i = 0; i < d->n; i++) {
        const char *words = strstr(d->lines[i], ": ");
        diag_add(diag, NULL, 0, "%s", words ? words + 2 : d->lines[i]);
    }
    return rc;
}

static int reads_back(const struct buf *text, struct diag *diag)
{
    struct diag d;
    struct principals *again = NULL;
    diag_init(&d);
    int rc = principals_parse(text->p, text->n, SOURCE, &d, &again);
    if (rc)
        rc = refuse(&d, rc, diag);
    diag_done(&d);
    snapshot_unref(again);
    return rc;
}

int principals_edit_finish(struct principals_edit *e, int64_t now_ms, struct diag *diag,
                           struct buf *out)
{
    struct buf text;
    bool same = false;
    int rc = same_as_before(e, &same);
    if (!rc && same)
        rc = ERR_EXISTS;
    if (rc)
        return rc;
    revoked_prune(e, now_ms);
    e->doc.version++;
    rc = principals_format(&e->doc, &text);
    if (rc)
        return rc;
    rc = reads_back(&text, diag);
    if (rc)
        wipe(&text);
    else
        *out = text;
    return rc;
}

struct principal *principals_edit_user(struct principals_edit *e, const char *name)
{
    for (size_t i = 0; i < e->doc.n_users; i++)
        if (!strcmp(e->users[i].name, name))
            return &e->users[i];
    return NULL;
}

struct principal *principals_edit_token(struct principals_edit *e, const char *name)
{
    for (size_t i = 0; i < e->doc.n_tokens; i++)
        if (!strcmp(e->tokens[i].name, name))
            return &e->tokens[i];
    return NULL;
}

struct scope_map *principals_edit_scope_map(struct principals_edit *e, const char *registry,
                                            const char *name)
{
    for (size_t i = 0; i < e->doc.n_scope_maps; i++)
        if (!strcmp(e->scope_maps[i].name, name) && !strcmp(e->scope_maps[i].registry, registry))
            return &e->scope_maps[i];
    return NULL;
}
