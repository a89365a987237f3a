// SPDX-License-Identifier: Apache-2.0
// Verbs of users; see principals_change.h.
#include "control/principals_change_priv.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

static int user_find(struct call *c, struct principal **out)
{
    *out = principals_edit_user(&c->e, c->ask->object);
    if (*out)
        return 0;
    return call_fail(c, ERR_NOTFOUND, "there is no user %.128s", c->ask->object);
}

static int grant_add(struct call *c, struct principal *p, const struct grant *g)
{
    struct grant *grants = arena_array(&c->e.arena, p->n_grants + 1, sizeof *grants);
    if (!grants)
        return ERR_NOMEM;
    if (p->n_grants)
        memcpy(grants, p->grants, p->n_grants * sizeof *grants);
    grants[p->n_grants++] = *g;
    p->grants = grants;
    return 0;
}

static bool grant_equal(const struct grant *a, const struct grant *b)
{
    if (strcmp(a->registry, b->registry) != 0 || a->actions != b->actions ||
        a->n_repositories != b->n_repositories)
        return false;
    for (size_t i = 0; i < a->n_repositories; i++)
        if (strcmp(a->repositories[i], b->repositories[i]) != 0)
            return false;
    return true;
}

static bool grant_held(const struct principal *p, const struct grant *g)
{
    for (size_t i = 0; i < p->n_grants; i++)
        if (grant_equal(&p->grants[i], g))
            return true;
    return false;
}

// What a new user gets: nothing, where no registry is named.
static int first_grant(struct call *c, bool *out_granted, struct grant *out)
{
    *out_granted = arg_of(c, "registry") != NULL;
    if (*out_granted)
        return arg_grant(c, false, out);
    if (arg_of(c, "repositories") || arg_of(c, "actions"))
        return call_fail(c, ERR_INVAL, "registry: missing; repositories and actions are of one");
    return 0;
}

int principals_user_create(struct call *c)
{
    const char *name = c->ask->object;
    struct principal p = {.name = name, .generation = generation_new(c), .enabled = true};
    struct grant g;
    bool given;
    if (!principal_name_ok(name))
        return call_fail(c, ERR_INVAL,
                         "a user's name is 1 to 128 printable ASCII characters "
                         "without blanks and colons");
    if (principals_edit_user(&c->e, name))
        return call_fail(c, ERR_CONFLICT, "user %s is there already; use passwd or grant", name);
    if (principals_edit_token(&c->e, name))
        return call_fail(c, ERR_CONFLICT, "a named token has the name %s", name);
    bool granted;
    int rc = arg_hash(c, c->ask->arguments, &p.password_hash);
    if (!rc)
        rc = arg_bool(c, "enabled", &given, &p.enabled);
    if (!rc)
        rc = first_grant(c, &granted, &g);
    if (!rc && granted)
        rc = grant_add(c, &p, &g);
    if (rc)
        return rc;
    c->e.users[c->e.doc.n_users++] = p;
    return call_done(c, "user %s added", name);
}

int principals_user_update(struct call *c)
{
    struct principal *p;
    bool given, enabled;
    int rc = user_find(c, &p);
    if (!rc)
        rc = arg_bool(c, "enabled", &given, &enabled);
    if (!rc && !given)
        rc = call_fail(c, ERR_INVAL, "enabled: missing");
    if (rc || enabled == p->enabled)
        return rc;
    p->enabled = enabled;
    if (!enabled)
        p->generation++;
    return call_done(c, "user %s %s", p->name, enabled ? "may log in again" : "is disabled");
}

int principals_user_passwd(struct call *c)
{
    struct principal *p;
    int rc = user_find(c, &p);
    if (!rc)
        rc = arg_hash(c, c->ask->arguments, &p->password_hash);
    if (rc)
        return rc;
    p->generation++;
    return call_done(c, "user %s has a new password", p->name);
}

int principals_user_grant(struct call *c)
{
    struct principal *p;
    struct grant g;
    int rc = user_find(c, &p);
    if (!rc)
        rc = arg_grant(c, false, &g);
    if (rc || grant_held(p, &g))
        return rc;
    rc = grant_add(c, p, &g);
    if (rc)
        return rc;
    return call_done(c, "user %s has a new grant", p->name);
}

int principals_user_revoke(struct call *c)
{
    struct principal *p;
    const char *registry;
    int rc = user_find(c, &p);
    if (!rc)
        rc = arg_text(c, "registry", &registry);
    if (rc)
        return rc;
    p->generation++;
    if (!registry)
        return call_done(c, "user %s has no valid refresh token any more", p->name);
    struct grant *left = arena_array(&c->e.arena, p->n_grants + 1, sizeof *left);
    size_t kept = 0;
    if (!left)
        return ERR_NOMEM;
    for (size_t i = 0; i < p->n_grants; i++)
        if (strcmp(p->grants[i].registry, registry) != 0)
            left[kept++] = p->grants[i];
    if (kept == p->n_grants)
        return call_fail(c, ERR_NOTFOUND, "user %s has no grant on %.80s", p->name, registry);
    p->grants = left;
    p->n_grants = kept;
    return call_done(c, "user %s has lost what was granted on that registry", p->name);
}

int principals_user_delete(struct call *c)
{
    struct principal *p;
    int rc = user_find(c, &p);
    if (rc)
        return rc;
    const char *name = p->name;
    size_t after = c->e.doc.n_users - (size_t)(p - c->e.users) - 1;
    memmove(p, p + 1, after * sizeof *p);
    c->e.doc.n_users--;
    return call_done(c, "user %s removed", name);
}

// --- many at once ---

static int import_one(struct call *c, const json_t *from, const struct grant *g, struct htab *names,
                      size_t *n_there)
{
    const char *name = json_string_value(json_object_get(from, "name"));
    struct principal p = {.name = name, .generation = generation_new(c), .enabled = true};
    if (!name || !principal_name_ok(name))
        return call_fail(c, ERR_INVAL, "users: each has a name and a passwordHash");
    int rc = arg_hash(c, from, &p.password_hash);
    if (rc)
        return rc;
    rc = htab_put(names, name, strlen(name), (void *)name);
    if (rc == ERR_EXISTS) { // whoever is there stays as he is
        (*n_there)++;
        return 0;
    }
    if (!rc && g)
        rc = grant_add(c, &p, g);
    if (!rc)
        c->e.users[c->e.doc.n_users++] = p;
    return rc;
}

static int names_of(const struct call *c, struct htab *names)
{
    const struct principals *doc = &c->e.doc;
    int rc = 0;
    for (size_t i = 0; !rc && i < doc->n_users; i++)
        rc = htab_put(names, doc->users[i].name, strlen(doc->users[i].name),
                      (void *)doc->users[i].name);
    for (size_t i = 0; !rc && i < doc->n_tokens; i++)
        rc = htab_put(names, doc->tokens[i].name, strlen(doc->tokens[i].name),
                      (void *)doc->tokens[i].name);
    return rc;
}

static int import_all(struct call *c, struct htab *names)
{
    const json_t *list = arg_of(c, "users"), *one;
    struct grant g;
    bool granted = false;
    size_t i, n_there = 0;
    int rc = names_of(c, names);
    if (!rc)
        rc = first_grant(c, &granted, &g);
    json_array_foreach(list, i, one)
    {
        if (!rc)
            rc = import_one(c, one, granted ? &g : NULL, names, &n_there);
    }
    if (rc)
        return rc;
    return call_done(c, "%zu users taken over, %zu were there already", i - n_there, n_there);
}

int principals_user_import(struct call *c)
{
    if (!json_is_array(arg_of(c, "users")))
        return call_fail(c, ERR_INVAL, "users: expected a list of names and passwordHashes");
    struct htab *names = htab_new();
    if (!names)
        return ERR_NOMEM;
    int rc = import_all(c, names);
    htab_free(names);
    return rc;
}
