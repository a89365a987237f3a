// SPDX-License-Identifier: Apache-2.0
// The table of the principals' verbs, and what goes with a registry; see principals_change.h.
#include "control/principals_change_priv.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/issuers.h"

#include <string.h>

#define GRANT "registry", "repositories", "actions"
#define TOKEN "scopeMap", "repositories", "refresh", "admin", "regions", "lifetime", "enabled"

static const struct verb_row {
    const char *noun, *word;
    int (*run)(struct call *c);
    // arguments that there are
    const char *known[10];
} rows[] = {
    {"user", "create", principals_user_create, {"passwordHash", "enabled", GRANT}},
    {"user", "update", principals_user_update, {"enabled"}},
    {"user", "passwd", principals_user_passwd, {"passwordHash"}},
    {"user", "grant", principals_user_grant, {GRANT}},
    {"user", "revoke", principals_user_revoke, {"registry"}},
    {"user", "delete", principals_user_delete, {NULL}},
    {"user", "import", principals_user_import, {"users", GRANT}},
    {"token", "create", principals_token_create, {"registry", "passwords", TOKEN}},
    {"token", "update", principals_token_update, {"registry", TOKEN}},
    {"token", "delete", principals_token_delete, {NULL}},
    {"token",
     "credential generate",
     principals_token_credential_generate,
     {"id", "passwordHash", "expires"}},
    {"token", "credential delete", principals_token_credential_delete, {"id"}},
    {"token", "revoke", principals_token_revoke, {"expires"}},
    {"scope-map", "create", principals_scope_map_create, {GRANT}},
    {"scope-map", "update", principals_scope_map_update, {GRANT, "replace"}},
    {"scope-map", "delete", principals_scope_map_delete, {"registry"}},
};

static const struct verb_row *row_find(const char *noun, const char *word)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (!strcmp(rows[i].noun, noun) && !strcmp(rows[i].word, word))
            return &rows[i];
    return NULL;
}

bool principals_verb_known(const char *noun, const char *word)
{
    return row_find(noun, word) != NULL;
}

static int arguments_judge(struct call *c, const struct verb_row *row)
{
    const char *key;
    json_t *value;
    if (c->ask->arguments && !json_is_object(c->ask->arguments))
        return call_fail(c, ERR_INVAL, "arguments: expected an object");
    json_object_foreach((json_t *)c->ask->arguments, key, value)
    {
        bool known = false;
        for (size_t i = 0; i < ARRAY_LEN(row->known) && row->known[i]; i++)
            known |= !strcmp(row->known[i], key);
        if (!known)
            return call_fail(c, ERR_INVAL, "%.80s: %s %s does not know it", key, row->noun,
                             row->word);
    }
    return 0;
}

static int change_run(struct call *c, struct bytes text, const struct verb_row *row,
                      struct buf *out_text, char **out_what)
{
    size_t room = 1 + json_array_size(json_object_get(c->ask->arguments, "users"));
    int rc = principals_edit_begin(&c->e, text, room, c->diag);
    if (!rc)
        rc = arguments_judge(c, row);
    if (!rc)
        rc = row->run(c);
    if (rc)
        return rc;
    char *what = mem_strdup(c->what ? c->what : "");
    if (!what)
        return ERR_NOMEM;
    int64_t sure_ms = c->ask->sure_ms;
    if (!sure_ms)
        sure_ms = c->ask->now_ms;
    rc = principals_edit_finish(&c->e, sure_ms, c->diag, out_text);
    if (rc)
        free(what);
    else
        *out_what = what;
    return rc;
}

int principals_change(struct bytes text, const struct principals_ask *ask, struct diag *diag,
                      struct buf *out_text, char **out_what)
{
    struct call c = {.ask = ask, .diag = diag};
    const struct verb_row *row = row_find(ask->noun, ask->word);
    if (!row)
        return call_fail(&c, ERR_INVAL, "there is no verb %.40s %.40s", ask->noun, ask->word);
    int rc = change_run(&c, text, row, out_text, out_what);
    principals_edit_done(&c.e);
    if (rc == ERR_EXISTS && (!diag || !diag->n))
        return call_fail(&c, rc, "nothing would change");
    return rc;
}

// --- a registry that goes ---

struct going {
    struct principals_edit *e;
    const char *registry;
    json_t *gone;
    int rc;
};

static void say(struct going *g, const char *what, const char *name)
{
    if (json_array_append_new(g->gone, json_sprintf("%s %s", what, name)))
        g->rc = ERR_NOMEM;
}

static void user_strip(struct going *g, struct principal *p)
{
    struct grant *left = arena_array(&g->e->arena, p->n_grants + 1, sizeof *left);
    size_t kept = 0;
    if (!left) {
        g->rc = ERR_NOMEM;
        return;
    }
    for (size_t i = 0; i < p->n_grants; i++)
        if (strcmp(p->grants[i].registry, g->registry) != 0)
            left[kept++] = p->grants[i];
    if (kept == p->n_grants)
        return;
    p->grants = left;
    p->n_grants = kept;
    say(g, "the grants of user", p->name);
}

static void tokens_strip(struct going *g)
{
    struct principals *doc = &g->e->doc;
    size_t kept = 0;
    for (size_t i = 0; i < doc->n_tokens; i++) {
        if (strcmp(g->e->tokens[i].token->registry, g->registry) != 0)
            g->e->tokens[kept++] = g->e->tokens[i];
        else
            say(g, "token", g->e->tokens[i].name);
    }
    doc->n_tokens = kept;
}

static void maps_strip(struct going *g)
{
    struct principals *doc = &g->e->doc;
    size_t kept = 0;
    for (size_t i = 0; i < doc->n_scope_maps; i++) {
        if (strcmp(g->e->scope_maps[i].registry, g->registry) != 0)
            g->e->scope_maps[kept++] = g->e->scope_maps[i];
        else
            say(g, "scope map", g->e->scope_maps[i].name);
    }
    doc->n_scope_maps = kept;
}

static void issuers_strip(struct going *g)
{
    struct principals *doc = &g->e->doc;
    struct issuer *left = arena_array(&g->e->arena, doc->n_issuers + 1, sizeof *left);
    size_t kept = 0;
    if (!left) {
        g->rc = ERR_NOMEM;
        return;
    }
    for (size_t i = 0; i < doc->n_issuers; i++) {
        if (strcmp(doc->issuers[i].registry, g->registry) != 0)
            left[kept++] = doc->issuers[i];
        else
            say(g, "issuer", doc->issuers[i].name);
    }
    doc->issuers = left;
    doc->n_issuers = kept;
}

// Revoked tokens stay: their registry is not told, and their ids come once.
static int registry_strip(struct going *g)
{
    for (size_t i = 0; i < g->e->doc.n_users; i++)
        user_strip(g, &g->e->users[i]);
    tokens_strip(g);
    maps_strip(g);
    issuers_strip(g);
    if (!g->rc && !json_array_size(g->gone))
        return ERR_NOTFOUND;
    return g->rc;
}

int principals_without_registry(struct bytes text, const char *registry, struct diag *diag,
                                struct buf *out_text, json_t **out_gone)
{
    AUTO_PRINCIPALS_EDIT struct principals_edit e = {0};
    struct going g = {.e = &e, .registry = registry, .gone = json_array()};
    int rc = ERR_NOMEM;
    if (g.gone)
        rc = principals_edit_begin(&e, text, 0, diag);
    if (!rc)
        rc = registry_strip(&g);
    if (!rc)
        rc = principals_edit_finish(&e, 0, diag, out_text);
    if (!rc && out_gone)
        *out_gone = json_incref(g.gone);
    json_decref(g.gone);
    return rc;
}
