// SPDX-License-Identifier: Apache-2.0
// Issuers of identities: reading, judging and writing their section. See issuers.h.
#include "config/issuers.h"

#include "base/digest.h"
#include "base/mem.h"
#include "config/hostname.h"
#include "config/principals_priv.h"

#include <string.h>

#define RULES_MAX 256
#define MATCHES_MAX 32
#define VALUES_MAX 64
#define CLAIM_MAX_BYTES 256

// What stands for a thing as long as its issuer lives, and is never given to another: GitHub's
// repository, owner and actor, GitLab's project, namespace and user, a Kubernetes service account,
// an object of Microsoft Entra.
static const char *const id_claims[] = {"repository_id",
                                        "repository_owner_id",
                                        "actor_id",
                                        "project_id",
                                        "namespace_id",
                                        "user_id",
                                        "kubernetes.io/serviceaccount/uid",
                                        "oid"};

const char *issuer_id_claim(size_t i)
{
    if (i < ARRAY_LEN(id_claims))
        return id_claims[i];
    return NULL;
}

static bool is_id_claim(const char *claim)
{
    for (size_t i = 0; i < ARRAY_LEN(id_claims); i++)
        if (!strcmp(id_claims[i], claim))
            return true;
    return false;
}

bool issuer_name_ok(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return n >= 1 && n <= ISSUER_NAME_MAX && !s[n] && s[0] != '-';
}

static bool printable(const char *s)
{
    for (; *s; s++)
        if (*s <= ' ' || *s > '~')
            return false;
    return true;
}

// OpenID Connect Discovery 1.0 section 3: https, no query, no fragment.
static bool url_ok(const char *s)
{
    size_t n = strlen(s);
    return n > 8 && n <= ISSUER_URL_MAX && !strncmp(s, "https://", 8) && s[8] != '/' &&
           printable(s) && !strpbrk(s, "?#@\\\"");
}

static bool path_ok(const char *s)
{
    return *s == '/' && strlen(s) < 1024;
}

static bool certificate_ok(const char *s)
{
    size_t n;
    AUTO_FREE uint8_t *der = mem_alloc(strlen(s) + 1);
    return *s && der && !b64_parse(s, strlen(s), der, strlen(s), &n) && n > 32;
}

static bool keys_ok(const char *s)
{
    return *s == '{' && strlen(s) <= 65536;
}

// --- rows ---

struct spec_rule {
    const struct doc_node *node;
    const char *name, *scope_map;
    const struct doc_node *match;
    const char *const *repositories;
    size_t n_repositories;
    const struct spec_grant *grants;
    size_t n_grants;
};

static const struct option rule_rows[] = {
    {"name", OPT_STRING, OPT_AT(struct spec_rule, name), .required = true, .check = issuer_name_ok,
     .example = "deploy", .expect = "1 to 40 lower-case letters, digits and hyphens",
     .help = "the rule's name, for the log"},
    {"match", OPT_NODE, OPT_AT(struct spec_rule, match),
     .help = "the claims that a token must have, each with the value, or a list of values, that it "
             "takes; among them sub or an id that never becomes another's"},
    {"scope_map", OPT_STRING, OPT_AT(struct spec_rule, scope_map), .example = "_push",
     .help = "what such a token may do: a scope map of the registry, or a ready-made one"},
    {"repositories", OPT_STRINGS, OPT_ARRAY_AT(struct spec_rule, repositories, n_repositories),
     .max = 1024, .check = pattern_ok,
     .expect = "a repository, a prefix that ends in \"/*\", or \"*\" alone",
     .help = "with a scope map: only in these repositories"},
    {"grants", OPT_LIST, OPT_ARRAY_AT(struct spec_rule, grants, n_grants), .max = 64,
     .sub = &scope_grant_set, .help = "in place of a scope map: what such a token may do"},
};
static const struct option_set rule_set = {
    rule_rows, ARRAY_LEN(rule_rows), sizeof(struct spec_rule), offsetof(struct spec_rule, node)};

static const struct option issuer_rows[] = {
    {"name", OPT_STRING, OPT_AT(struct spec_issuer, name), .required = true,
     .check = issuer_name_ok, .example = "github",
     .expect = "1 to 40 lower-case letters, digits and hyphens",
     .help = "the issuer's name here: its callers are oidc:NAME:SUB"},
    {"issuer", OPT_STRING, OPT_AT(struct spec_issuer, url), .required = true, .check = url_ok,
     .example = "https://token.actions.githubusercontent.com",
     .expect = "an https:// URL without query, as in the claim iss",
     .help = "the issuer, exactly as its tokens name it"},
    {"registry", OPT_STRING, OPT_AT(struct spec_issuer, registry), .required = true,
     .check = hostname_registry_ok,
     .expect = "a registry name: 5 to 50 lower-case letters and digits", .example = "contoso",
     .help = "the registry that trusts it"},
    {"ca", OPT_STRING, OPT_AT(struct spec_issuer, ca), .check = certificate_ok,
     .expect = "the base64 of a certificate's DER",
     .help = "the authority of its certificate, in place of the system's"},
    {"ca_file", OPT_STRING, OPT_AT(struct spec_issuer, ca_file), .check = path_ok,
     .expect = "an absolute path", .help = "the same in a file, in PEM"},
    {"address", OPT_ENDPOINT, OPT_AT(struct spec_issuer, address), .port = 443,
     .help = "the address that is dialled for it, which outbound.allow of each node must hold when "
             "it is not of the Internet"},
    {"keys", OPT_STRING, OPT_AT(struct spec_issuer, keys), .check = keys_ok,
     .expect = "a JWK set in JSON, on one line, of at most 64 KiB",
     .help = "its keys; then none are fetched"},
    {"keys_file", OPT_STRING, OPT_AT(struct spec_issuer, keys_file), .check = path_ok,
     .expect = "an absolute path", .help = "the same in a file"},
    {"lifetime", OPT_DURATION, OPT_AT(struct spec_issuer, lifetime_s), .def = "1h",
     .min = ISSUER_LIFETIME_MIN_S * 1000, .max = ISSUER_LIFETIME_MAX_S * 1000, .unit_ms = 1000,
     .help = "of the refresh tokens that its tokens are exchanged for"},
    {"rules", OPT_LIST, OPT_ARRAY_AT(struct spec_issuer, rules, n_rules), .required = true,
     .min = 1, .max = RULES_MAX, .sub = &rule_set,
     .help = "who may do what; the first rule that matches a token holds"},
};
const struct option_set issuer_set = {issuer_rows, ARRAY_LEN(issuer_rows),
                                      sizeof(struct spec_issuer),
                                      offsetof(struct spec_issuer, node)};

// --- matches ---

struct rule_ctx { // for messages
    struct option_ctx *ctx;
    const char *issuer, *rule;
};

static void rule_error(const struct rule_ctx *r, int line, const char *text, const char *what)
{
    options_error(r->ctx, line, "issuer %s: rule %s: %s%.80s", r->issuer, r->rule, text, what);
}

// A pattern of `sub` names at least two parts before its star: "repo:*" is all of GitHub.
static bool star_ok(const char *value)
{
    size_t n = strlen(value), parts = 0;
    if (n < 2 || (value[n - 2] != ':' && value[n - 2] != '/'))
        return false;
    for (size_t i = 0; i + 1 < n; i++)
        if (value[i] == ':' || value[i] == '/')
            parts++;
    return parts >= 2;
}

static bool has_star(const char *value)
{
    size_t n = strlen(value);
    return n && value[n - 1] == '*';
}

static bool value_ok(const char *claim, const char *value)
{
    size_t n = strlen(value);
    if (!n || n > ISSUER_VALUE_MAX)
        return false;
    if (has_star(value) && !strcmp(claim, "sub"))
        return star_ok(value);
    return true;
}

bool claim_value_matches(const char *claim, const char *pattern, const char *value)
{
    size_t n = strlen(pattern);
    if (has_star(pattern) && !strcmp(claim, "sub"))
        return !strncmp(pattern, value, n - 1) && value[n - 1];
    return !strcmp(pattern, value);
}

static void values_take(const struct rule_ctx *r, const struct doc_node *node,
                        struct claim_match *out)
{
    const struct doc_node *one = node;
    size_t n = 1;
    if (node->kind == DOC_LIST) {
        one = node->child;
        n = node->n;
    }
    if (node->kind == DOC_MAP || !n || n > VALUES_MAX) {
        rule_error(r, node->line, "match: expected a value, or a list of 1 to 64, for ", node->key);
        return;
    }
    const char **values = spec_room(r->ctx, n, sizeof *values);
    out->values = values;
    for (; values && one && out->n_values < n; one = one->next) {
        if (one->kind != DOC_SCALAR || !value_ok(out->claim, one->text)) {
            rule_error(r, one->line,
                       "match: expected 1 to 1024 bytes of text (a \"*\" only at the end of sub, "
                       "after two parts as in \"repo:contoso/*\") for ",
                       out->claim);
            return;
        }
        values[out->n_values++] = one->text;
    }
}

static void matches_build(const struct rule_ctx *r, const struct spec_rule *in,
                          struct issuer_rule *out)
{
    bool identified = false;
    size_t n = 0;
    if (in->match && in->match->kind == DOC_MAP)
        n = in->match->n;
    if (!n || n > MATCHES_MAX) {
        rule_error(r, in->node->line, "match: expected 1 to 32 claims with their values", "");
        return;
    }
    struct claim_match *list = spec_room(r->ctx, n, sizeof *list);
    out->matches = list;
    for (const struct doc_node *c = in->match->child; list && c; c = c->next) {
        if (!*c->key || strlen(c->key) > CLAIM_MAX_BYTES || !printable(c->key))
            rule_error(r, c->key_line, "match: this is no name of a claim: ", c->key);
        struct claim_match *m = &list[out->n_matches++];
        *m = (struct claim_match){.claim = c->key};
        values_take(r, c, m);
        identified = identified || !strcmp(c->key, "sub") || is_id_claim(c->key);
    }
    if (!identified)
        rule_error(r, in->node->line,
                   "match: needs sub, or an id that never becomes another's (repository_id, "
                   "repository_owner_id, actor_id, project_id, namespace_id, user_id, "
                   "kubernetes.io/serviceaccount/uid, oid): names alone can change hands",
                   "");
}

// --- what a rule gives ---

static void grants_given(const struct rule_ctx *r, const struct spec_issuer *issuer,
                         const struct spec_rule *in, struct issuer_rule *out)
{
    struct grant *grants = spec_room(r->ctx, in->n_grants, sizeof *grants);
    for (size_t i = 0; grants && i < in->n_grants; i++)
        grants[i] = (struct grant){issuer->registry, in->grants[i].repositories,
                                   in->grants[i].n_repositories, in->grants[i].actions};
    out->grants = grants;
    out->n_grants = in->n_grants;
}

static void rule_grants(const struct rule_ctx *r, const struct principals *p,
                        const struct spec_issuer *issuer, const struct spec_rule *in,
                        struct issuer_rule *out)
{
    if (!in->scope_map == !in->n_grants)
        rule_error(r, in->node->line, "expected either scope_map or grants", "");
    else if (!in->scope_map && in->n_repositories)
        rule_error(r, doc_key_line(in->node, "repositories"),
                   "repositories: stands with scope_map; grants name their own", "");
    else if (!in->scope_map)
        grants_given(r, issuer, in, out);
    else if (!scope_map_grants(r->ctx, p, issuer->registry, in->scope_map, in->repositories,
                               in->n_repositories, &out->grants, &out->n_grants))
        rule_error(r, doc_key_line(in->node, "scope_map"),
                   "scope_map: no scope map of the registry and no ready-made one with "
                   "repositories is named ",
                   in->scope_map);
}

// --- fingerprints ---

static uint64_t hash_of(const struct buf *b)
{
    uint8_t sum[SHA256_BYTES];
    uint64_t v = 0;
    sha256(buf_cstr(b), b->n, sum);
    for (size_t i = 0; i < 8; i++)
        v = v << 8 | sum[i];
    v &= INT64_MAX;
    if (v)
        return v;
    return 1;
}

// The NUL keeps "ab"+"c" apart from "a"+"bc".
static void hash_text(struct buf *b, const char *text)
{
    if (text)
        buf_add(b, text, strlen(text) + 1);
    else
        buf_u8(b, 1);
}

static uint64_t source_hash(struct option_ctx *ctx, const struct issuer *i)
{
    char at[ENDPOINT_TEXT_SIZE];
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    const char *const parts[] = {i->url,  i->ca,       i->ca_file, endpoint_format(&i->address, at),
                                 i->keys, i->keys_file};
    for (size_t k = 0; k < ARRAY_LEN(parts); k++)
        hash_text(&b, parts[k]);
    ctx->nomem = ctx->nomem || b.err;
    return hash_of(&b);
}

static uint64_t rule_hash(struct option_ctx *ctx, const struct issuer *i,
                          const struct issuer_rule *r)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    hash_text(&b, i->name);
    hash_text(&b, i->url);
    hash_text(&b, i->registry);
    hash_text(&b, r->name);
    for (size_t k = 0; k < r->n_matches; k++) {
        buf_u8(&b, 2);
        hash_text(&b, r->matches[k].claim);
        for (size_t v = 0; v < r->matches[k].n_values; v++)
            hash_text(&b, r->matches[k].values[v]);
    }
    ctx->nomem = ctx->nomem || b.err;
    return hash_of(&b);
}

// --- building ---

static void rule_build(struct option_ctx *ctx, const struct principals *p,
                       const struct spec_issuer *issuer, const struct issuer *i,
                       const struct spec_rule *in, struct issuer_rule *out)
{
    const struct rule_ctx r = {ctx, issuer->name, in->name};
    *out = (struct issuer_rule){.name = in->name,
                                .scope_map = in->scope_map,
                                .repositories = in->repositories,
                                .n_repositories = in->n_repositories};
    matches_build(&r, in, out);
    rule_grants(&r, p, issuer, in, out);
    out->fingerprint = rule_hash(ctx, i, out);
}

static void issuer_build(struct option_ctx *ctx, const struct principals *p,
                         const struct spec_issuer *in, struct issuer *out)
{
    struct issuer_rule *rules = spec_room(ctx, in->n_rules, sizeof *rules);
    *out = (struct issuer){.name = in->name,
                           .url = in->url,
                           .registry = in->registry,
                           .ca = in->ca,
                           .ca_file = in->ca_file,
                           .address = in->address,
                           .keys = in->keys,
                           .keys_file = in->keys_file,
                           .lifetime_s = in->lifetime_s,
                           .rules = rules};
    for (size_t i = 0; rules && i < in->n_rules && !ctx->nomem; i++) {
        if (!in->rules[i].name)
            continue;
        for (size_t k = 0; k < out->n_rules; k++)
            if (!strcmp(rules[k].name, in->rules[i].name))
                options_error(ctx, doc_key_line(in->rules[i].node, "name"),
                              "issuer %s: rule %s is given twice", in->name, rules[k].name);
        rule_build(ctx, p, in, out, &in->rules[i], &rules[out->n_rules++]);
    }
    if (in->ca && in->ca_file)
        options_error(ctx, in->node->line, "issuer %s: ca and ca_file: only one of them", in->name);
    if (in->keys && in->keys_file)
        options_error(ctx, in->node->line, "issuer %s: keys and keys_file: only one of them",
                      in->name);
    out->source = source_hash(ctx, out);
}

void issuers_build(struct option_ctx *ctx, struct principals *p, const struct spec_issuer *in,
                   size_t n)
{
    struct issuer *list = spec_room(ctx, n, sizeof *list);
    p->issuers = list;
    for (size_t i = 0; list && i < n && !ctx->nomem; i++) {
        if (!in[i].name || !in[i].url || !in[i].registry)
            continue;
        if (issuer_by_name(p, in[i].registry, in[i].name) ||
            issuer_by_url(p, in[i].registry, in[i].url))
            options_error(ctx, in[i].node->line,
                          "issuer %s: registry %s has this name or this issuer already", in[i].name,
                          in[i].registry);
        issuer_build(ctx, p, &in[i], &list[p->n_issuers]);
        p->n_issuers++;
    }
}

const struct issuer *issuer_by_url(const struct principals *p, const char *registry,
                                   const char *url)
{
    for (size_t i = 0; i < p->n_issuers; i++)
        if (!strcmp(p->issuers[i].url, url) && !strcmp(p->issuers[i].registry, registry))
            return &p->issuers[i];
    return NULL;
}

const struct issuer *issuer_by_name(const struct principals *p, const char *registry,
                                    const char *name)
{
    for (size_t i = 0; i < p->n_issuers; i++)
        if (!strcmp(p->issuers[i].name, name) && !strcmp(p->issuers[i].registry, registry))
            return &p->issuers[i];
    return NULL;
}

const struct issuer_rule *issuer_rule_by_fingerprint(const struct issuer *i, uint64_t fingerprint)
{
    for (size_t k = 0; k < i->n_rules; k++)
        if (i->rules[k].fingerprint == fingerprint)
            return &i->rules[k];
    return NULL;
}

// --- writing ---

static void text_format(struct buf *b, const char *key, const char *value)
{
    if (!value)
        return;
    buf_printf(b, "\n    %s: ", key);
    yaml_quote(b, value);
}

static void match_format(struct buf *b, const struct claim_match *m)
{
    const char *comma = "";
    buf_str(b, "\n          ");
    yaml_quote(b, m->claim);
    buf_str(b, ": [");
    for (size_t i = 0; i < m->n_values; i++) {
        buf_str(b, comma);
        yaml_quote(b, m->values[i]);
        comma = ", ";
    }
    buf_str(b, "]");
}

static void given_format(struct buf *b, const struct issuer_rule *r)
{
    if (r->scope_map) {
        buf_str(b, "\n        scope_map: ");
        yaml_quote(b, r->scope_map);
        if (r->n_repositories) {
            buf_str(b, "\n        repositories: ");
            patterns_format(b, r->repositories, r->n_repositories);
        }
        return;
    }
    buf_str(b, "\n        grants:");
    for (size_t i = 0; i < r->n_grants; i++) {
        buf_str(b, "\n          - repositories: ");
        patterns_format(b, r->grants[i].repositories, r->grants[i].n_repositories);
        buf_str(b, "\n            actions: [");
        scope_words_format(r->grants[i].actions, ", ", b);
        buf_str(b, "]");
    }
}

static void issuer_format(struct buf *b, const struct issuer *i)
{
    char at[ENDPOINT_TEXT_SIZE];
    buf_printf(b, "  - name: \"%s\"\n    issuer: \"%s\"\n    registry: \"%s\"", i->name, i->url,
               i->registry);
    text_format(b, "ca", i->ca);
    text_format(b, "ca_file", i->ca_file);
    if (i->address.port)
        text_format(b, "address", endpoint_format(&i->address, at));
    text_format(b, "keys", i->keys);
    text_format(b, "keys_file", i->keys_file);
    buf_printf(b, "\n    lifetime: %us\n    rules:", i->lifetime_s);
    for (size_t k = 0; k < i->n_rules; k++) {
        buf_printf(b, "\n      - name: \"%s\"\n        match:", i->rules[k].name);
        for (size_t m = 0; m < i->rules[k].n_matches; m++)
            match_format(b, &i->rules[k].matches[m]);
        given_format(b, &i->rules[k]);
    }
    buf_str(b, "\n");
}

void issuers_format(const struct principals *p, struct buf *b)
{
    if (p->n_issuers)
        buf_str(b, "issuers:\n");
    for (size_t i = 0; i < p->n_issuers; i++)
        issuer_format(b, &p->issuers[i]);
}
