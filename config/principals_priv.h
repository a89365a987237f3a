// SPDX-License-Identifier: Apache-2.0
// What the files of the principals share: principals.c (the document, users, revoked ids),
// named_tokens.c (scope maps, named tokens), fleet_tokens.c (those of no registry) and issuers.c (issuers of identities). Nobody else includes this.
#ifndef MERIDIAN_CONFIG_PRINCIPALS_PRIV_H
#define MERIDIAN_CONFIG_PRINCIPALS_PRIV_H

#include "base/addr.h"
#include "config/grant_rows.h"
#include "config/principals.h"

// crypt(5): yescrypt and bcrypt only, in the alphabet of their encodings.
bool principal_hash_ok(const char *s);
// `what` in messages: "user", "token". Two principals of one name are an error.
void principal_index(struct option_ctx *ctx, struct principals *p, const char *what, int line,
                     const struct principal *one);
// Room in the document's arena; NULL: no memory, which ctx has then.
void *spec_room(struct option_ctx *ctx, size_t n, size_t size);

// --- named_tokens.c ---

struct spec_scope_map {
    const struct doc_node *node;
    const char *name, *registry;
    const struct spec_grant *grants;
    size_t n_grants;
};

struct spec_password {
    const struct doc_node *node;
    unsigned id;
    const char *password_hash, *created, *expires;
};

struct spec_token {
    const struct doc_node *node;
    const char *name, *registry, *scope_map;
    const char *const *repositories, *const *regions;
    size_t n_repositories, n_regions;
    unsigned admin;
    bool enabled;
    uint64_t generation;
    uint32_t lifetime_s;
    unsigned refresh;
    const struct spec_password *passwords;
    size_t n_passwords;
};

extern const struct option_set scope_map_set, token_set;

// In this order; p->users are indexed before.
void scope_maps_build(struct option_ctx *ctx, struct principals *p, const struct spec_scope_map *in,
                      size_t n);
void tokens_build(struct option_ctx *ctx, struct principals *p, const struct spec_token *in,
                  size_t n);
// What a scope map of that name gives on these repositories (none: on all that the map names). False:
// there is no such map, or a ready-made one without repositories.
bool scope_map_grants(struct option_ctx *ctx, const struct principals *p, const char *registry,
                      const char *name, const char *const *repositories, size_t n_repositories,
                      const struct grant **out, size_t *out_n);
void scope_maps_format(const struct principals *p, struct buf *b);
void tokens_format(const struct principals *p, struct buf *b);

// --- fleet_tokens.c ---

extern const struct option_word admin_words[];
extern const size_t n_admin_words;
// Judges what the row of a token of the fleet says beside its passwords, and fills `out`.
void fleet_token_build(struct option_ctx *ctx, const struct spec_token *in,
                       struct named_token *out);
// its lines between name and enabled
void fleet_token_format(struct buf *b, const struct named_token *t);

// --- issuers.c ---

struct spec_rule;
struct spec_issuer {
    const struct doc_node *node;
    const char *name, *url, *registry, *ca, *ca_file, *keys, *keys_file;
    struct endpoint address;
    uint32_t lifetime_s;
    const struct spec_rule *rules;
    size_t n_rules;
};

extern const struct option_set issuer_set;

// After the scope maps.
void issuers_build(struct option_ctx *ctx, struct principals *p, const struct spec_issuer *in,
                   size_t n);
void issuers_format(const struct principals *p, struct buf *b);

#endif
