// SPDX-License-Identifier: Apache-2.0
// Who may do what: `principals.yaml`, beside the topology and versioned with it. Holds password
// hashes only (crypt(5): yescrypt or bcrypt), so it must be 0600 and is refused otherwise.
//
//   users:
//     - name: ada
//       password_hash: "$y$j9T$…"
//       generation: 1                 # raising it revokes the user's refresh tokens
//       enabled: true
//       grants:
//         - registry: contoso
//           repositories: ["*"]       # a name, a prefix ending in "/*", or "*" alone
//           actions: [pull, push, delete]   # also "catalog" (registry-wide)
//
// Frozen and shared like the topology (base/snapshot.h).
#ifndef MERIDIAN_CONFIG_PRINCIPALS_H
#define MERIDIAN_CONFIG_PRINCIPALS_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "base/htab.h"
#include "base/snapshot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// of a refresh token: a key that signed one counts for so long
#define REFRESH_LIFETIME_S (30u * 86400)
#define PRINCIPAL_NAME_MAX 128

enum action { // bit flags; the words of the token scope
    ACTION_PULL = 1,
    ACTION_PUSH = 2,
    ACTION_DELETE = 4,
    ACTION_CATALOG = 8,
};

struct grant {
    const char *registry;
    // patterns
    const char *const *repositories;
    size_t n_repositories;
    unsigned actions;
};

struct principal {
    // principal_name_ok
    const char *name;
    const char *password_hash;
    uint64_t generation;
    bool enabled;
    const struct grant *grants;
    size_t n_grants;
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
    struct htab *by_name;
};

int principals_load(const char *path, struct diag *diag, struct principals **out);
int principals_parse(const char *text, size_t n, const char *source, struct diag *diag,
                     struct principals **out);
// The grammar of names: 1 to PRINCIPAL_NAME_MAX printable ASCII bytes, no blank, no colon. Whoever
// takes a name from elsewhere (a token, a signed URL) asks it too: "peer:<region>" and the like can
// never be a user.
bool principal_name_ok(const char *s);
const struct principal *principals_find(const struct principals *p, const char *name);
// Actions (bits) that the principal holds on a repository; rules add up.
unsigned principal_actions(const struct principal *p, const char *registry, const char *repository);
bool pattern_matches(const char *pattern, const char *repository); // exact, "a/b/*", or "*"
int action_parse(const char *word, size_t n, unsigned *out);       // "pull" …; ERR_INVAL
// Rewrites the file with one user added, changed or removed (for `meridian user`); comments are not
// kept.
int principals_write(const struct principals *p, const char *path);
// the text that it writes; *out need not be initialised
int principals_format(const struct principals *p, struct buf *out);

struct option_set;

#endif
