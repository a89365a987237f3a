// SPDX-License-Identifier: Apache-2.0
// The bearer of the admin listener: what a token of the fleet (config/principals.h) gets for its
// password at a region, and shows at each call there.
//
//   admin_bearer_issue(keys, &at, who, hash, &arena, &text);         // POST /v1/token
//   if (admin_bearer_judge(&at, text, &arena, &caller, &why)) …401…  // every other call
//   if (!(caller.rights & ADMIN_MAY_READ)) …403…
//
// What it is worth
//   - It is signed by the region's token key, and counts on that region's nodes alone: its audience
//     is the region, and the key must be one of that region's in the topology. A region that signs
//     for another is not believed, whatever it signs.
//   - It carries no right. Each call asks the node's own principals: whether the token is there, is
//     enabled, names this region, is of the same generation, whether the password that got the
//     bearer has not ended, and what rights it has now.
//   - It is of no use elsewhere: verifiers of registries ask for other kinds and other audiences,
//     and this one takes no other kind.
// The edge of a region sees it, as it sees all that comes to that region over HTTPS. So it is good
// for looking and draining there, for five minutes, and for nothing that changes the fleet.
//
// Pure; any thread.
#ifndef MERIDIAN_AUTH_ADMIN_BEARER_H
#define MERIDIAN_AUTH_ADMIN_BEARER_H

#include "base/arena.h"
#include "certs/keys.h"
#include "config/principals.h"
#include "config/topology.h"

#define ADMIN_BEARER_S 300

struct admin_place { // where, when, and by whose word
    const struct topology *t;
    const struct principals *all;
    const char *region;
    int64_t now_ms;
};

struct admin_caller {
    // the token's; on the arena
    const char *name;
    // enum admin_right, as of now
    unsigned rights;
    // of the bearer, for the log; on the arena
    const char *id;
};

// `by_hash`: the hash of the password that was shown. ERR_NOMEM, ERR_CRYPTO.
int admin_bearer_issue(const struct region_keys *keys, const struct admin_place *at,
                       const struct principal *who, const char *by_hash, struct arena *a,
                       const char **out);
// ERR_AUTH, ERR_EXPIRED: *out_why says why, for the log, static. ERR_NOMEM.
int admin_bearer_judge(const struct admin_place *at, const char *bearer, struct arena *a,
                       struct admin_caller *out, const char **out_why);

#endif
