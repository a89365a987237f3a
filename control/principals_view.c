// SPDX-License-Identifier: Apache-2.0
// What may be shown of the principals; see principals_change.h. Nothing here reads a hash.
#include "control/principals_change.h"

#include "base/clock.h"
#include "base/err.h"
#include "config/issuers.h"

static json_t *words_json(unsigned actions, void (*format)(unsigned, const char *, struct buf *))
{
    AUTO_BUF struct buf b;
    buf_init(&b, 1024);
    format(actions, ",", &b);
    return json_string(buf_cstr(&b));
}

static json_t *list_json(const char *const *list, size_t n)
{
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(out, json_string(list[i]));
    return out;
}

static json_t *time_json(int64_t at_s)
{
    char text[CLOCK_TEXT_SIZE];
    if (!at_s)
        return json_null();
    return json_string(clock_format_s(at_s, text));
}

static json_t *grants_json(const struct grant *grants, size_t n, bool scope)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *actions =
            words_json(grants[i].actions, scope ? scope_words_format : grant_words_format);
        json_array_append_new(
            list, json_pack("{s:s, s:o, s:o}", "registry", grants[i].registry, "repositories",
                            list_json(grants[i].repositories, grants[i].n_repositories), "actions",
                            actions));
    }
    return list;
}

static json_t *users_json(const struct principals *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->n_users; i++) {
        const struct principal *u = &p->users[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:b, s:I, s:o}", "name", u->name, "enabled",
                                        u->enabled, "generation", (json_int_t)u->generation,
                                        "grants", grants_json(u->grants, u->n_grants, false)));
    }
    return list;
}

static json_t *passwords_json(const struct named_token *t)
{
    json_t *list = json_array();
    for (size_t i = 0; i < t->n_passwords; i++)
        json_array_append_new(list, json_pack("{s:i, s:o, s:o}", "id", (int)t->passwords[i].id,
                                              "created", time_json(t->passwords[i].created_s),
                                              "expires", time_json(t->passwords[i].expires_s)));
    return list;
}

static json_t *token_json(const struct principal *p)
{
    const struct named_token *t = p->token;
    json_t *o = json_pack("{s:s, s:b, s:I, s:o, s:i}", "name", p->name, "enabled", p->enabled,
                          "generation", (json_int_t)p->generation, "passwords", passwords_json(t),
                          "lifetimeSeconds", (int)t->lifetime_s);
    if (t->admin) {
        json_object_set_new(o, "admin", words_json(t->admin, admin_words_format));
        json_object_set_new(o, "regions", list_json(t->regions, t->n_regions));
        return o;
    }
    json_object_set_new(o, "registry", json_string(t->registry));
    json_object_set_new(o, "scopeMap", json_string(t->scope_map));
    json_object_set_new(o, "repositories", list_json(t->repositories, t->n_repositories));
    json_object_set_new(o, "refresh", json_string(t->refreshes ? "allowed" : "refused"));
    return o;
}

static json_t *tokens_json(const struct principals *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->n_tokens; i++)
        json_array_append_new(list, token_json(&p->tokens[i]));
    return list;
}

static json_t *maps_json(const struct principals *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->n_scope_maps; i++) {
        const struct scope_map *m = &p->scope_maps[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:o}", "name", m->name, "registry", m->registry,
                                        "grants", grants_json(m->grants, m->n_grants, true)));
    }
    return list;
}

static json_t *issuers_json(const struct principals *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->n_issuers; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:I}", "name", p->issuers[i].name,
                                              "registry", p->issuers[i].registry, "url",
                                              p->issuers[i].url, "rules",
                                              (json_int_t)p->issuers[i].n_rules));
    return list;
}

static json_t *revoked_json(const struct principals *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->n_revoked; i++)
        json_array_append_new(list, json_pack("{s:s, s:o}", "id", p->revoked[i].id, "expires",
                                              time_json(p->revoked[i].expires_s)));
    return list;
}

json_t *principals_view(const struct principals *p)
{
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o}", "version", (json_int_t)p->version, "users",
                     users_json(p), "tokens", tokens_json(p), "scopeMaps", maps_json(p), "issuers",
                     issuers_json(p), "revoked", revoked_json(p));
}
