// SPDX-License-Identifier: Apache-2.0
// A node judges its own token key as a client would find it: a token is signed, and shown to this
// node's own verifier. See service.h. Pure CPU; called by the daemon's housekeeping.
#include "auth/service.h"

#include "auth/token_priv.h"
#include "base/err.h"
#include "config/catalogue.h"

#include <string.h>

#define SELF_CHECK_ARENA_BYTES (64u << 10)
#define SELF_CHECK_REPOSITORY "self-check"

// Some registry that lives here; NULL: none does.
static const struct registry *some_registry(const struct topology *t, const struct region *here)
{
    struct catalogue_iter it = {0};
    const struct registry *r;
    while ((r = topology_next(t, &it)))
        if (registry_replica(r, here->index))
            return r;
    return NULL;
}

static int token_round(const struct topology *t, const struct registry *r,
                       const struct region_keys *keys, int64_t now_ms, struct arena *a)
{
    static const struct access_grant grant = {SELF_CHECK_REPOSITORY, ACTION_PULL};
    struct access access;
    const char *service, *token;
    int rc = token_service(t, r, a, &service);
    if (!rc)
        rc = token_issue_access(keys,
                                &(struct token_ask){.service = service,
                                                    .incarnation = r->incarnation,
                                                    .subject = "",
                                                    .now_ms = now_ms,
                                                    .grants = &grant,
                                                    .n_grants = 1},
                                a, &token);
    if (!rc)
        rc = token_verify_access(t, r, token, now_ms, a, &access);
    if (rc)
        return rc;
    if (access_actions(&access, SELF_CHECK_REPOSITORY) & ACTION_PULL)
        return 0;
    return ERR_AUTH;
}

static int not_named(const struct topology *t, const char *region, const char *id,
                     struct diag *diag)
{
    diag_add(
        diag, NULL, 0,
        "the topology in force (version %llu) does not name the token key %s that this region "
        "signs with: every "
        "token it gives is refused everywhere; add the key's public half to "
        "identities.%s.token_keys "
        "(`meridian init` does), or put a key that is named there into keys/ and restart the node",
        (unsigned long long)t->version, id, region);
    return ERR_AUTH;
}

int auth_self_check(const struct topology *t, const char *region, const struct region_keys *keys,
                    int64_t now_ms, struct diag *diag)
{
    const char *id = region_keys_token_id(keys);
    const struct region *here = topology_region(t, region);
    const struct public_key *key = topology_token_key(t, id);
    if (!here || !key)
        return not_named(t, region, id, diag);
    if (key->region != here->index) {
        diag_add(diag, NULL, 0,
                 "the topology in force (version %llu) names this region's token key %s as one of "
                 "%s: tokens are "
                 "refused; move it to identities.%s.token_keys",
                 (unsigned long long)t->version, id, t->regions[key->region].name, region);
        return ERR_AUTH;
    }
    const struct registry *r = some_registry(t, here);
    struct arena a;
    arena_init(&a, SELF_CHECK_ARENA_BYTES);
    int rc = 0;
    if (r)
        rc = token_round(t, r, keys, now_ms, &a);
    arena_done(&a);
    if (rc)
        diag_add(
            diag, NULL, 0,
            "a token that was just signed with %s is refused by this node's own verifier (%s)%s",
            id, err_text(rc),
            strcmp(key->spki_b64, region_keys_token_spki(keys)) != 0
                ? ": the topology has another public half for it; put that of keys/token.pem there"
                : "; restart the node, and if that does not help report it");
    return rc;
}
