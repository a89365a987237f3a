// SPDX-License-Identifier: Apache-2.0
// Who may do what: `principals.yaml`, beside the topology and versioned with it. Holds password
// hashes only (crypt(5): yescrypt or bcrypt), so it must be 0600 and is refused otherwise. A
// principal is a user, or a named token: what a machine logs in with.
//
//   users:
//     - name: ada
//       password_hash: "$y$j9T$…"
//       generation: 1                 # raising it revokes the user's refresh tokens
//       enabled: true
//       grants:
//         - registry: contoso
//           repositories: ["*"]       # a name, a prefix ending in "/*", or "*" alone
//           actions: [pull, push, delete]   # also "catalog"; the words: config/grants.h
//   scope_maps:                       # what named tokens may do
//     - name: releases
//       registry: contoso
//       grants: [{repositories: ["release/*"], actions: [content/read, metadata/read]}]
//   tokens:
//     - name: node-7
//       registry: contoso             # it is of no use at another one
//       scope_map: releases           # or a ready-made one: see scope_map_role
//       repositories: ["release/web"] # narrows the map; a ready-made one needs it
//       lifetime: 15m                 # of the access tokens that it gets
//       refresh: refused              # or allowed
//       passwords:                    # one or two, so that they overlap while they are rotated
//         - {id: 1, password_hash: "$y$…", created: 2026-11-30T10:00:00Z, expires: 2027-…Z}
//     - name: watcher                 # of the fleet: it has no registry, and no content
//       admin: [admin/read, admin/drain]  # what it may do at the admin listener
//       regions: [eastus]             # where it logs in, and no further than there
//       passwords: […]
//   issuers: […]                      # OpenID Connect issuers whose tokens are exchanged: config/issuers.h
//   revoked:                          # tokens that are none any more, by the id in them (jti)
//     - {id: 9f86d081884c7d65…, expires: 2026-12-30T10:00:00Z}
//
// Frozen and shared like the topology (base/snapshot.h). Times are RFC 3339 in UTC.
#ifndef MERIDIAN_CONFIG_PRINCIPALS_H
#define MERIDIAN_CONFIG_PRINCIPALS_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "base/htab.h"
#include "base/snapshot.h"
#include "config/grants.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// of a refresh token: a key that signed one counts for so long
#define REFRESH_LIFETIME_S (30u * 86400)
// of an access token, where nothing else is said; and what verifiers accept at most
#define ACCESS_LIFETIME_S 900
#define ACCESS_LIFETIME_MIN_S 60
#define ACCESS_LIFETIME_MAX_S 3600
#define PRINCIPAL_NAME_MAX 128
#define PRINCIPAL_SUBJECT_MAX 255
#define PRINCIPAL_OIDC "oidc:"
#define TOKEN_PASSWORDS 2

// What a token of the fleet may do at the admin listener of its regions, and there alone. Changes are
// no right of a token's: an operator's key signs them.
enum admin_right { // bit flags
    // admin/read: look at nodes
    ADMIN_MAY_READ = 1,
    // admin/drain: take the region out of the global names, and back
    ADMIN_MAY_DRAIN = 2,
};

struct token_password {
    // 1 or 2
    unsigned id;
    const char *hash;
    // Unix time; 0: not said
    int64_t created_s;
    // 0: never
    int64_t expires_s;
};

struct named_token { // how a token stands in the document
    // "" of a token of the fleet, which is nobody in any registry
    const char *registry;
    const char *scope_map;
    // enum admin_right; 0: a token of a registry
    unsigned admin;
    // of a token of the fleet: at least one
    const char *const *regions;
    size_t n_regions;
    // n 0: all that the map names
    const char *const *repositories;
    size_t n_repositories;
    uint32_t lifetime_s;
    // may have refresh tokens
    bool refreshes;
    struct token_password passwords[TOKEN_PASSWORDS];
    size_t n_passwords;
};

struct principal {
    // principal_name_ok
    const char *name;
    // of a user; NULL of a token
    const char *password_hash;
    uint64_t generation;
    bool enabled;
    // of a token: made from its scope map
    const struct grant *grants;
    size_t n_grants;
    // NULL: a user
    const struct named_token *token;
};

struct scope_map {
    // unique in its registry; never begins with "_"
    const char *name;
    const char *registry;
    // each with that registry
    const struct grant *grants;
    size_t n_grants;
};

struct issuer; // config/issuers.h

struct revoked_token {
    // the token's jti
    const char *id;
    // when the token would have ended by itself
    int64_t expires_s;
};

struct principals {
    struct snapshot_head head;
    struct arena arena;
    const char *source;
    uint64_t version;
    // wall clock; the age that `max_stale` bounds
    int64_t loaded_at_ms;
    const struct principal *users;
    size_t n_users;
    const struct scope_map *scope_maps;
    size_t n_scope_maps;
    const struct principal *tokens;
    size_t n_tokens;
    const struct issuer *issuers;
    size_t n_issuers;
    const struct revoked_token *revoked;
    size_t n_revoked;
    // users and tokens
    struct htab *by_name;
    struct htab *revoked_by_id;
    // how many passwords a token has at most: a wrong one costs everybody as many checks
    unsigned passwords_max;
};

int principals_load(const char *path, struct diag *diag, struct principals **out);
int principals_parse(const char *text, size_t n, const char *source, struct diag *diag,
                     struct principals **out);
// The grammar of names: 1 to PRINCIPAL_NAME_MAX printable ASCII bytes, no blank, no colon. Whoever
// takes a name from elsewhere (a token, a signed URL) asks it too: "peer:<region>" and the like can
// never be a user.
bool principal_name_ok(const char *s);
// Whom a token or a signed URL may name: a principal, or "oidc:<issuer>:<subject>", who stands in no
// document; at most PRINCIPAL_SUBJECT_MAX bytes.
bool principal_subject_ok(const char *s);
// Of users and of named tokens.
const struct principal *principals_find(const struct principals *p, const char *name);
// Was the token with this id (jti) revoked? Cheap where nothing was.
bool principals_revoked(const struct principals *p, const char *id);

// Actions (bits) that the principal holds on a repository; rules add up.
unsigned principal_actions(const struct principal *p, const char *registry, const char *repository);
// Which of ACTIONS_OF_REGISTRY it holds there, whatever repositories the rules name; of a rule that
// was narrowed to none it holds nothing.
unsigned principal_registry_actions(const struct principal *p, const char *registry);
// What the principal may do at the admin listener of a region (enum admin_right): 0 of users and of
// tokens of registries, of those who are disabled, and in regions that a token does not name.
unsigned principal_admin_rights(const struct principal *p, const char *region);
// The words of such rights: "admin/read, admin/drain". `between` stands between them.
void admin_words_format(unsigned rights, const char *between, struct buf *out);
int admin_word_parse(const char *word, unsigned *out); // ERR_INVAL
// of the access tokens that it gets
uint32_t principal_lifetime_s(const struct principal *p);
bool principal_refreshes(const struct principal *p);

// The actions of a ready-made scope map: "_pull", "_push", "_upload_only", "_investigate",
// "_delete", "_audit". 0: there is none of that name.
unsigned scope_map_role(const char *name);
// The i-th ready-made one, and what it is for; NULL past the last.
const char *scope_map_role_name(size_t i, const char **out_purpose);
const struct scope_map *principals_scope_map(const struct principals *p, const char *registry,
                                             const char *name);
bool scope_map_name_ok(const char *s);

// Rewrites the file, whole (for `meridian user` and its like); comments are not kept.
int principals_write(const struct principals *p, const char *path);
// the text that it writes; *out need not be initialised
int principals_format(const struct principals *p, struct buf *out);

#endif
