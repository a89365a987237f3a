// SPDX-License-Identifier: Apache-2.0
// Verbs of scope maps; see principals_change.h. Tokens that have a map follow its changes with the
// next access token that they ask for.
#include "control/principals_change_priv.h"

#include "base/err.h"

#include <string.h>

int principals_scope_map_create(struct call *c)
{
    const char *name = c->ask->object;
    struct grant *g = arena_alloc(&c->e.arena, sizeof *g);
    if (!g)
        return ERR_NOMEM;
    if (!scope_map_name_ok(name))
        return call_fail(c, ERR_INVAL,
                         "a scope map's name is 1 to 128 printable ASCII characters "
                         "without blanks and colons, the first no \"_\"");
    int rc = arg_grant(c, true, g);
    if (rc)
        return rc;
    if (principals_edit_scope_map(&c->e, g->registry, name))
        return call_fail(c, ERR_CONFLICT, "registry %s has a scope map %s already; use update",
                         g->registry, name);
    c->e.scope_maps[c->e.doc.n_scope_maps++] = (struct scope_map){name, g->registry, g, 1};
    return call_done(c, "scope map %s of registry %s is made", name, g->registry);
}

static int map_find(struct call *c, const char *registry, struct scope_map **out)
{
    *out = principals_edit_scope_map(&c->e, registry, c->ask->object);
    if (*out)
        return 0;
    if (scope_map_role(c->ask->object))
        return call_fail(c, ERR_CONFLICT, "%s is ready-made: it stays as it is", c->ask->object);
    return call_fail(c, ERR_NOTFOUND, "registry %.80s has no scope map %.128s", registry,
                     c->ask->object);
}

int principals_scope_map_update(struct call *c)
{
    struct grant g;
    struct scope_map *m;
    bool given, replace = false;
    int rc = arg_grant(c, true, &g);
    if (!rc)
        rc = arg_bool(c, "replace", &given, &replace);
    if (!rc)
        rc = map_find(c, g.registry, &m);
    if (rc)
        return rc;
    size_t n = replace ? 0 : m->n_grants;
    struct grant *grants = arena_array(&c->e.arena, n + 1, sizeof *grants);
    if (!grants)
        return ERR_NOMEM;
    if (n)
        memcpy(grants, m->grants, n * sizeof *grants);
    grants[n] = g;
    m->grants = grants;
    m->n_grants = n + 1;
    return call_done(c, "scope map %s of registry %s has %zu grants", m->name, m->registry,
                     m->n_grants);
}

int principals_scope_map_delete(struct call *c)
{
    const char *registry;
    struct scope_map *m;
    int rc = arg_needed(c, "registry", &registry);
    if (!rc)
        rc = map_find(c, registry, &m);
    if (rc)
        return rc;
    for (size_t i = 0; i < c->e.doc.n_tokens; i++) {
        const struct named_token *t = c->e.tokens[i].token;
        if (!strcmp(t->registry, registry) && !strcmp(t->scope_map, m->name))
            return call_fail(c, ERR_CONFLICT,
                             "token %s has the scope map %s: give it another one first",
                             c->e.tokens[i].name, m->name);
    }
    const char *name = m->name;
    size_t after = c->e.doc.n_scope_maps - (size_t)(m - c->e.scope_maps) - 1;
    memmove(m, m + 1, after * sizeof *m);
    c->e.doc.n_scope_maps--;
    return call_done(c, "scope map %s of registry %s is gone", name, registry);
}
