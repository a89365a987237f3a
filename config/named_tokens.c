// SPDX-License-Identifier: Apache-2.0
// Named tokens and scope maps of the principals: reading and writing. See principals.h.
//
// A token's grants are those of its scope map, narrowed to its own repositories; of a ready-made
// map (its name begins with "_") they are its actions on the token's repositories.
#include "config/principals_priv.h"

#include "base/clock.h"
#include "base/mem.h"
#include "config/hostname.h"

#include <inttypes.h>
#include <string.h>

#define GRANTS_MAX 64

static const struct {
    const char *name;
    unsigned actions;
    const char *purpose;
} roles[] = {
    {"_pull", ACTION_PULL, "a node that pulls, and does nothing else"},
    {"_push", ACTION_PULL | ACTION_PUSH | ACTION_META_READ, "what builds and pushes an image"},
    {"_upload_only", ACTION_ADD, "adds, and may never read or replace: evidence, build logs"},
    {"_investigate", ACTION_PULL | ACTION_META_READ | ACTION_CATALOG,
     "reads and lists, and may change nothing"},
    {"_delete", ACTION_DELETE | ACTION_META_READ, "lists and deletes: cleaning up"},
    {"_audit", ACTION_AUDIT, "reads the audit log"},
};

unsigned scope_map_role(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(roles); i++)
        if (!strcmp(roles[i].name, name))
            return roles[i].actions;
    return 0;
}

const char *scope_map_role_name(size_t i, const char **out_purpose)
{
    if (i >= ARRAY_LEN(roles))
        return NULL;
    *out_purpose = roles[i].purpose;
    return roles[i].name;
}

bool scope_map_name_ok(const char *s)
{
    return *s != '_' && principal_name_ok(s);
}

// --- rows ---

#define REGISTRY_ROW(type, needed)                                              \
    {                                                                           \
        "registry", OPT_STRING, OPT_AT(type, registry),                         \
            .required = (needed), .check = hostname_registry_ok,                \
            .expect = "a registry name: 5 to 50 lower-case letters and digits", \
            .example = "contoso", .help = "the registry"                        \
    }

static const struct option map_rows[] = {
    {"name", OPT_STRING, OPT_AT(struct spec_scope_map, name), .required = true,
     .check = scope_map_name_ok, .example = "releases",
     .expect = "1 to 128 printable ASCII characters without blanks and colons, the first no \"_\"",
     .help = "the scope map's name"},
    REGISTRY_ROW(struct spec_scope_map, true),
    {"grants", OPT_LIST, OPT_ARRAY_AT(struct spec_scope_map, grants, n_grants), .required = true,
     .min = 1, .max = GRANTS_MAX, .sub = &scope_grant_set,
     .help = "what tokens with this map may do"},
};
const struct option_set scope_map_set = {map_rows, ARRAY_LEN(map_rows),
                                         sizeof(struct spec_scope_map),
                                         offsetof(struct spec_scope_map, node)};

static const struct option password_rows[] = {
    {"id", OPT_INT, OPT_AT(struct spec_password, id), .required = true, .min = 1,
     .max = TOKEN_PASSWORDS, .help = "1 or 2"},
    {"password_hash", OPT_STRING, OPT_AT(struct spec_password, password_hash), .required = true,
     .help = "a crypt(5) hash, yescrypt or bcrypt"},
    {"created", OPT_STRING, OPT_AT(struct spec_password, created), .help = "when it was made"},
    {"expires", OPT_STRING, OPT_AT(struct spec_password, expires),
     .help = "when it ends; without it never"},
};
static const struct option_set password_set = {password_rows, ARRAY_LEN(password_rows),
                                               sizeof(struct spec_password),
                                               offsetof(struct spec_password, node)};

static const struct option_word refresh_words[] = {{"refused", 0}, {"allowed", 1}};

static const struct option token_rows[] = {
    {"name", OPT_STRING, OPT_AT(struct spec_token, name), .required = true,
     .check = principal_name_ok, .example = "node-7",
     .expect = "1 to 128 printable ASCII characters without blanks and colons",
     .help = "the token's name: what it logs in with"},
    // one of the fleet has `admin` instead
    REGISTRY_ROW(struct spec_token, false),
    {"scope_map", OPT_STRING, OPT_AT(struct spec_token, scope_map), .example = "_pull",
     .help = "what it may do: a scope map of this registry, or a ready-made one"},
    {"admin", OPT_FLAGS, OPT_AT(struct spec_token, admin), .min = 1, .max = 8, .words = admin_words,
     .n_words = 2, .example = "admin/read",
     .help = "of a token of the fleet, instead of a registry and a scope map: what it may do at "
             "the admin listener of its regions"},
    {"regions", OPT_STRINGS, OPT_ARRAY_AT(struct spec_token, regions, n_regions), .max = 64,
     .check = hostname_region_ok, .expect = "a region", .example = "eastus",
     .help = "of a token of the fleet: where it logs in; each of them sees its password"},
    {"repositories", OPT_STRINGS, OPT_ARRAY_AT(struct spec_token, repositories, n_repositories),
     .max = 1024, .check = pattern_ok,
     .expect = "a repository, a prefix that ends in \"/*\", or \"*\" alone",
     .help = "only in these repositories"},
    {"enabled", OPT_BOOL, OPT_AT(struct spec_token, enabled), .def = "true",
     .help = "whether it may log in"},
    {"generation", OPT_INT, OPT_AT(struct spec_token, generation), .def = "1", .max = INT64_MAX,
     .help = "raising it revokes the token's refresh tokens"},
    {"lifetime", OPT_DURATION, OPT_AT(struct spec_token, lifetime_s), .def = "15m",
     .min = ACCESS_LIFETIME_MIN_S * 1000, .max = ACCESS_LIFETIME_MAX_S * 1000, .unit_ms = 1000,
     .help = "of the access tokens that it gets"},
    {"refresh", OPT_ENUM, OPT_AT(struct spec_token, refresh), .def = "refused",
     OPT_WORDS(refresh_words), .help = "whether it gets refresh tokens"},
    {"passwords", OPT_LIST, OPT_ARRAY_AT(struct spec_token, passwords, n_passwords),
     .max = TOKEN_PASSWORDS, .sub = &password_set, .help = "its passwords"},
};
const struct option_set token_set = {token_rows, ARRAY_LEN(token_rows), sizeof(struct spec_token),
                                     offsetof(struct spec_token, node)};

// --- scope maps ---

const struct scope_map *principals_scope_map(const struct principals *p, const char *registry,
                                             const char *name)
{
    for (size_t i = 0; i < p->n_scope_maps; i++)
        if (!strcmp(p->scope_maps[i].name, name) && !strcmp(p->scope_maps[i].registry, registry))
            return &p->scope_maps[i];
    return NULL;
}

static void map_build(struct option_ctx *ctx, const struct spec_scope_map *in,
                      struct scope_map *out)
{
    struct grant *grants = spec_room(ctx, in->n_grants, sizeof *grants);
    for (size_t i = 0; grants && i < in->n_grants; i++)
        grants[i] = (struct grant){in->registry, in->grants[i].repositories,
                                   in->grants[i].n_repositories, in->grants[i].actions};
    *out = (struct scope_map){in->name, in->registry, grants, in->n_grants};
}

void scope_maps_build(struct option_ctx *ctx, struct principals *p, const struct spec_scope_map *in,
                      size_t n)
{
    struct scope_map *maps = spec_room(ctx, n, sizeof *maps);
    p->scope_maps = maps;
    for (size_t i = 0; maps && i < n && !ctx->nomem; i++) {
        bool named = in[i].name && in[i].registry;
        if (named && principals_scope_map(p, in[i].registry, in[i].name))
            options_error(ctx, doc_key_line(in[i].node, "name"),
                          "scope map %s of registry %s is given twice", in[i].name, in[i].registry);
        if (named)
            map_build(ctx, &in[i], &maps[p->n_scope_maps++]);
    }
}

// --- tokens ---

// What of the patterns is in these; all of them where there are none.
static void grant_narrow(struct option_ctx *ctx, const char *const *to, size_t n_to,
                         struct grant *g)
{
    if (!n_to)
        return;
    const char **list = spec_room(ctx, g->n_repositories * n_to, sizeof *list);
    size_t n = 0;
    for (size_t i = 0; list && i < g->n_repositories; i++)
        for (size_t k = 0; k < n_to; k++) {
            const char *both = pattern_common(g->repositories[i], to[k]);
            if (both)
                list[n++] = both;
        }
    g->repositories = list;
    g->n_repositories = n;
}

static void grants_of_map(struct option_ctx *ctx, const struct scope_map *map,
                          const char *const *repositories, size_t n_repositories,
                          const struct grant **out, size_t *out_n)
{
    struct grant *grants = spec_room(ctx, map->n_grants, sizeof *grants);
    for (size_t i = 0; grants && i < map->n_grants; i++) {
        grants[i] = map->grants[i];
        grant_narrow(ctx, repositories, n_repositories, &grants[i]);
    }
    *out = grants;
    *out_n = map->n_grants;
}

bool scope_map_grants(struct option_ctx *ctx, const struct principals *p, const char *registry,
                      const char *name, const char *const *repositories, size_t n_repositories,
                      const struct grant **out, size_t *out_n)
{
    unsigned role = scope_map_role(name);
    const struct scope_map *map = principals_scope_map(p, registry, name);
    if (!role && map)
        grants_of_map(ctx, map, repositories, n_repositories, out, out_n);
    if (!role)
        return map;
    if (!n_repositories)
        return false;
    struct grant *one = spec_room(ctx, 1, sizeof *one);
    if (!one)
        return true; // the context has the error
    *one = (struct grant){registry, repositories, n_repositories, role};
    *out = one;
    *out_n = 1;
    return true;
}

static void token_grants(struct option_ctx *ctx, const struct principals *p,
                         const struct spec_token *in, struct principal *out)
{
    if (scope_map_grants(ctx, p, in->registry, in->scope_map, in->repositories, in->n_repositories,
                         &out->grants, &out->n_grants))
        return;
    if (scope_map_role(in->scope_map))
        options_error(ctx, in->node->line,
                      "token %s: repositories: missing; with the ready-made scope map %s it says "
                      "where the token may do that ([\"*\"]: everywhere)",
                      in->name, in->scope_map);
    else if (*in->scope_map == '_')
        options_error(ctx, doc_key_line(in->node, "scope_map"),
                      "token %s: scope_map: %.80s is none of the ready-made ones: _pull, _push, "
                      "_upload_only, _investigate, _delete, _audit",
                      in->name, in->scope_map);
    else
        options_error(ctx, doc_key_line(in->node, "scope_map"),
                      "token %s: scope_map: registry %s has no scope map %.80s", in->name,
                      in->registry, in->scope_map);
}

static int64_t time_read(struct option_ctx *ctx, const struct spec_password *in, const char *key,
                         const char *text)
{
    int64_t at = 0;
    if (text && (clock_parse_s(text, &at) || at <= 0)) // 0 would be: never
        options_error(ctx, doc_key_line(in->node, key),
                      "%s: expected a time in UTC, as in 2026-11-30T10:00:00Z", key);
    return at;
}

static void passwords_build(struct option_ctx *ctx, const struct spec_token *in,
                            struct named_token *out)
{
    for (size_t i = 0; i < in->n_passwords; i++) {
        const struct spec_password *w = &in->passwords[i];
        if (w->password_hash && !principal_hash_ok(w->password_hash))
            options_error(ctx, doc_key_line(w->node, "password_hash"),
                          "token %s: password_hash: expected a yescrypt ($y$) or bcrypt ($2a$, "
                          "$2b$, $2y$) hash; meridian token credential generate makes one",
                          in->name);
        if (i && in->passwords[0].id == w->id)
            options_error(ctx, doc_key_line(w->node, "id"), "token %s: password %u is given twice",
                          in->name, w->id);
        out->passwords[out->n_passwords++] = (struct token_password){
            w->id, w->password_hash, time_read(ctx, w, "created", w->created),
            time_read(ctx, w, "expires", w->expires)};
    }
}

// False: said.
static bool registry_token_ok(struct option_ctx *ctx, const struct spec_token *in)
{
    if (!in->registry || !in->scope_map) {
        options_error(ctx, in->node->line,
                      "token %s: registry and scope_map: missing (or admin and regions, of a token "
                      "of the fleet)",
                      in->name);
        return false;
    }
    if (!in->n_regions)
        return true;
    options_error(ctx, doc_key_line(in->node, "regions"),
                  "token %s: regions: only a token of the fleet, which has admin, names them",
                  in->name);
    return false;
}

static void token_build(struct option_ctx *ctx, struct principals *p, const struct spec_token *in,
                        struct principal *out)
{
    struct named_token *t = spec_room(ctx, 1, sizeof *t);
    if (!t)
        return;
    *t = (struct named_token){.registry = in->registry,
                              .scope_map = in->scope_map,
                              .repositories = in->repositories,
                              .n_repositories = in->n_repositories,
                              .lifetime_s = in->lifetime_s,
                              .refreshes = in->refresh};
    passwords_build(ctx, in, t);
    *out = (struct principal){
        .name = in->name, .generation = in->generation, .enabled = in->enabled, .token = t};
    if (doc_get(in->node, "admin"))
        fleet_token_build(ctx, in, t);
    else
        token_grants(ctx, p, in, out);
    if (t->n_passwords > p->passwords_max)
        p->passwords_max = (unsigned)t->n_passwords;
    principal_index(ctx, p, "token", doc_key_line(in->node, "name"), out);
}

void tokens_build(struct option_ctx *ctx, struct principals *p, const struct spec_token *in,
                  size_t n)
{
    struct principal *tokens = spec_room(ctx, n, sizeof *tokens);
    for (size_t i = 0; tokens && i < n && !ctx->nomem; i++)
        if (in[i].name && (doc_get(in[i].node, "admin") || registry_token_ok(ctx, &in[i])))
            token_build(ctx, p, &in[i], &tokens[p->n_tokens++]);
    p->tokens = tokens;
}

// --- writing ---

static void map_grant_format(struct buf *b, const struct grant *g)
{
    buf_str(b, "      - repositories: ");
    patterns_format(b, g->repositories, g->n_repositories);
    buf_str(b, "\n        actions: [");
    scope_words_format(g->actions, ", ", b);
    buf_str(b, "]\n");
}

void scope_maps_format(const struct principals *p, struct buf *b)
{
    if (p->n_scope_maps)
        buf_str(b, "scope_maps:\n");
    for (size_t i = 0; i < p->n_scope_maps; i++) {
        const struct scope_map *m = &p->scope_maps[i];
        buf_str(b, "  - name: ");
        yaml_quote(b, m->name);
        buf_printf(b, "\n    registry: \"%s\"\n    grants:\n", m->registry);
        for (size_t k = 0; k < m->n_grants; k++)
            map_grant_format(b, &m->grants[k]);
    }
}

static void time_format(struct buf *b, const char *key, int64_t at_s)
{
    char text[CLOCK_TEXT_SIZE];
    if (at_s)
        buf_printf(b, ", %s: \"%s\"", key, clock_format_s(at_s, text));
}

static void registry_token_format(struct buf *b, const struct named_token *t)
{
    buf_printf(b, "\n    registry: \"%s\"\n    scope_map: ", t->registry);
    yaml_quote(b, t->scope_map);
    if (!t->n_repositories)
        return;
    buf_str(b, "\n    repositories: ");
    patterns_format(b, t->repositories, t->n_repositories);
}

static void token_format(struct buf *b, const struct principal *p)
{
    const struct named_token *t = p->token;
    buf_str(b, "  - name: ");
    yaml_quote(b, p->name);
    if (t->admin)
        fleet_token_format(b, t);
    else
        registry_token_format(b, t);
    buf_printf(b, "\n    enabled: %s\n    generation: %" PRIu64, p->enabled ? "true" : "false",
               p->generation);
    buf_printf(b, "\n    lifetime: %" PRIu32 "s\n    refresh: %s\n", t->lifetime_s,
               t->refreshes ? "allowed" : "refused");
    buf_str(b, t->n_passwords ? "    passwords:\n" : "    passwords: []\n");
    for (size_t i = 0; i < t->n_passwords; i++) {
        buf_printf(b, "      - {id: %u, password_hash: ", t->passwords[i].id);
        yaml_quote(b, t->passwords[i].hash);
        time_format(b, "created", t->passwords[i].created_s);
        time_format(b, "expires", t->passwords[i].expires_s);
        buf_str(b, "}\n");
    }
}

void tokens_format(const struct principals *p, struct buf *b)
{
    if (p->n_tokens)
        buf_str(b, "tokens:\n");
    for (size_t i = 0; i < p->n_tokens; i++)
        token_format(b, &p->tokens[i]);
}
