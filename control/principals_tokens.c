// SPDX-License-Identifier: Apache-2.0
// Verbs of named tokens, their passwords, and of tokens that are revoked by id; see
// principals_change.h.
#include "control/principals_change_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "config/options.h"

#include <string.h>

// The longest life of any token that a region accepts: an entry may stand for so long.
#define REVOKED_LONGEST_S (90 * 86400)

static int token_find(struct call *c, struct principal **out)
{
    *out = principals_edit_token(&c->e, c->ask->object);
    if (*out)
        return 0;
    return call_fail(c, ERR_NOTFOUND, "there is no token %.128s", c->ask->object);
}

// A copy of how it stands in the document, which may be changed. NULL: no memory.
static struct named_token *token_copy(struct call *c, struct principal *p)
{
    struct named_token *t = arena_alloc(&c->e.arena, sizeof *t);
    if (!t)
        return NULL;
    *t = *p->token;
    p->token = t;
    return t;
}

static int lifetime_set(struct call *c, struct named_token *t)
{
    const char *text;
    uint64_t ms;
    int rc = arg_text(c, "lifetime", &text);
    if (rc || !text)
        return rc;
    if (duration_parse(text, &ms) || ms < 1000ull * ACCESS_LIFETIME_MIN_S ||
        ms > 1000ull * ACCESS_LIFETIME_MAX_S)
        return call_fail(c, ERR_INVAL, "lifetime: from 1m to 1h, not %.40s", text);
    t->lifetime_s = (uint32_t)(ms / 1000);
    return 0;
}

static int refresh_set(struct call *c, struct named_token *t)
{
    const char *text;
    int rc = arg_text(c, "refresh", &text);
    if (rc || !text)
        return rc;
    t->refreshes = !strcmp(text, "allowed");
    if (!t->refreshes && strcmp(text, "refused") != 0)
        return call_fail(c, ERR_INVAL, "refresh: allowed or refused, not %.40s", text);
    return 0;
}

static int rights_set(struct call *c, struct named_token *t)
{
    const char *const *words;
    size_t n;
    int rc = arg_words(c, "admin", &words, &n);
    if (rc || !words)
        return rc;
    t->admin = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned bit;
        if (admin_word_parse(words[i], &bit))
            return call_fail(c, ERR_INVAL, "admin: admin/read or admin/drain, not %.40s", words[i]);
        t->admin |= bit;
    }
    if (!t->admin)
        return call_fail(c, ERR_INVAL, "admin: name at least one right");
    return 0;
}

static int regions_set(struct call *c, struct named_token *t)
{
    const char *const *list;
    size_t n;
    int rc = arg_regions(c, "regions", &list, &n);
    if (rc || !list)
        return rc;
    if (!n)
        return call_fail(c, ERR_INVAL, "regions: name at least one");
    t->regions = list;
    t->n_regions = n;
    return 0;
}

static int scope_set(struct call *c, struct named_token *t)
{
    const char *map;
    const char *const *patterns;
    size_t n;
    int rc = arg_text(c, "scopeMap", &map);
    if (!rc && map)
        t->scope_map = map;
    if (!rc)
        rc = arg_patterns(c, "repositories", &patterns, &n);
    if (!rc && patterns) {
        t->repositories = patterns;
        t->n_repositories = n;
    }
    if (!rc)
        rc = refresh_set(c, t);
    return rc;
}

// What is of the other kind of token is refused, not passed over.
static int kind_judge(struct call *c, const struct named_token *t)
{
    static const char *const of_registry[] = {"registry", "scopeMap", "repositories", "refresh"};
    static const char *const of_fleet[] = {"admin", "regions"};
    const char *const *not = of_fleet;
    size_t n = 2;
    if (t->admin) {
        not = of_registry;
        n = 4;
    }
    for (size_t i = 0; i < n; i++)
        if (arg_of(c, not [i]))
            return call_fail(c, ERR_INVAL, "%s: not of %s", not [i],
                             t -> admin ? "a token of the fleet" : "a token of a registry");
    return 0;
}

static int members_set(struct call *c, struct principal *p, struct named_token *t)
{
    bool given;
    int rc = kind_judge(c, t);
    if (!rc && t->admin)
        rc = rights_set(c, t);
    if (!rc && t->admin)
        rc = regions_set(c, t);
    if (!rc && !t->admin)
        rc = scope_set(c, t);
    if (!rc)
        rc = lifetime_set(c, t);
    if (!rc)
        rc = arg_bool(c, "enabled", &given, &p->enabled);
    return rc;
}

static int passwords_set(struct call *c, struct named_token *t)
{
    const json_t *list = arg_of(c, "passwords"), *one;
    size_t i;
    if (!json_is_array(list) || json_array_size(list) > TOKEN_PASSWORDS)
        return call_fail(c, ERR_INVAL, "passwords: expected one or two");
    json_array_foreach(list, i, one)
    {
        int rc = arg_password(c, one, &t->passwords[t->n_passwords]);
        if (rc)
            return rc;
        t->n_passwords++;
    }
    return 0;
}

static int kind_read(struct call *c, struct named_token *t)
{
    t->registry = t->scope_map = "";
    if (arg_of(c, "admin")) {
        if (!arg_of(c, "regions"))
            return call_fail(c, ERR_INVAL, "regions: missing; they say where the token logs in");
        t->admin = ADMIN_MAY_READ; // as the request says: rights_set
        return 0;
    }
    if (!arg_of(c, "scopeMap"))
        return call_fail(c, ERR_INVAL, "scopeMap: missing");
    return arg_registry(c, &t->registry);
}

int principals_token_create(struct call *c)
{
    const char *name = c->ask->object;
    struct named_token *t = arena_alloc(&c->e.arena, sizeof *t);
    if (!t)
        return ERR_NOMEM;
    *t = (struct named_token){.lifetime_s = ACCESS_LIFETIME_S};
    struct principal p = {
        .name = name, .generation = generation_new(c), .enabled = true, .token = t};
    if (!principal_name_ok(name))
        return call_fail(c, ERR_INVAL,
                         "a token's name is 1 to 128 printable ASCII characters "
                         "without blanks and colons");
    if (principals_edit_token(&c->e, name))
        return call_fail(c, ERR_CONFLICT, "token %s is there already; use update", name);
    if (principals_edit_user(&c->e, name))
        return call_fail(c, ERR_CONFLICT, "a user has the name %s", name);
    int rc = kind_read(c, t);
    if (!rc)
        rc = members_set(c, &p, t);
    if (!rc)
        rc = passwords_set(c, t);
    if (rc)
        return rc;
    c->e.tokens[c->e.doc.n_tokens++] = p;
    if (t->admin)
        return call_done(c, "token %s of the fleet is made", name);
    return call_done(c, "token %s of registry %s is made", name, t->registry);
}

int principals_token_update(struct call *c)
{
    struct principal *p;
    int rc = token_find(c, &p);
    if (rc)
        return rc;
    if (arg_of(c, "registry"))
        return call_fail(c, ERR_INVAL, "registry: a token's registry stays");
    struct named_token *t = token_copy(c, p);
    if (!t)
        return ERR_NOMEM;
    rc = members_set(c, p, t);
    if (rc)
        return rc;
    return call_done(c, "token %s is changed", p->name);
}

int principals_token_delete(struct call *c)
{
    struct principal *p;
    int rc = token_find(c, &p);
    if (rc)
        return rc;
    const char *name = p->name;
    memmove(p, p + 1, (c->e.doc.n_tokens - (size_t)(p - c->e.tokens) - 1) * sizeof *p);
    c->e.doc.n_tokens--;
    return call_done(c, "token %s is gone", name);
}

static struct token_password *slot_of(struct named_token *t, unsigned id)
{
    for (size_t i = 0; i < t->n_passwords; i++)
        if (t->passwords[i].id == id)
            return &t->passwords[i];
    return NULL;
}

int principals_token_credential_generate(struct call *c)
{
    struct principal *p;
    struct token_password w;
    int rc = token_find(c, &p);
    if (!rc)
        rc = arg_password(c, c->ask->arguments, &w);
    if (rc)
        return rc;
    struct named_token *t = token_copy(c, p);
    if (!t)
        return ERR_NOMEM;
    struct token_password *slot = slot_of(t, w.id);
    if (!slot)
        slot = &t->passwords[t->n_passwords++];
    *slot = w;
    return call_done(c, "token %s has a new password %u", p->name, w.id);
}

int principals_token_credential_delete(struct call *c)
{
    struct principal *p;
    const json_t *id = arg_of(c, "id");
    int rc = token_find(c, &p);
    if (rc)
        return rc;
    struct named_token *t = token_copy(c, p);
    if (!t)
        return ERR_NOMEM;
    struct token_password *slot = NULL;
    if (json_is_integer(id) && json_integer_value(id) > 0)
        slot = slot_of(t, (unsigned)json_integer_value(id));
    if (!slot)
        return call_fail(c, ERR_NOTFOUND, "token %s has no such password: give its id, 1 or 2",
                         p->name);
    unsigned gone = slot->id;
    *slot = t->passwords[--t->n_passwords];
    return call_done(c, "token %s has no password %u any more", p->name, gone);
}

int principals_token_revoke(struct call *c)
{
    const char *id = c->ask->object;
    int64_t expires_s, now_s = c->ask->now_ms / 1000;
    if (!principal_name_ok(id))
        return call_fail(c, ERR_INVAL, "expected the id of a token (jti)");
    const char *text;
    int rc = arg_text(c, "expires", &text);
    if (rc)
        return rc;
    expires_s = now_s + REVOKED_LONGEST_S;
    if (text && clock_parse_s(text, &expires_s))
        return call_fail(c, ERR_INVAL,
                         "expires: expected a time in UTC, as in "
                         "2027-01-31T00:00:00Z");
    if (expires_s > now_s + REVOKED_LONGEST_S)
        expires_s = now_s + REVOKED_LONGEST_S;
    if (c->e.now && principals_revoked(c->e.now, id))
        return call_fail(c, ERR_EXISTS, "token %s is revoked already", id);
    c->e.revoked[c->e.doc.n_revoked++] = (struct revoked_token){id, expires_s};
    return call_done(c, "token %s is revoked", id);
}
