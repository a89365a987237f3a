// SPDX-License-Identifier: Apache-2.0
// Authenticates the caller of the token service: by password, by refresh token, or as anonymous;
// see service_priv.h.
#include "auth/service_priv.h"

#include "base/clock.h"
#include "base/err.h"

#include <string.h>

// What keeps a refresh token that is right in itself from being one still; NULL: nothing does.
static const char *refresh_fault(const struct principals *all, const struct principal *who,
                                 const struct claims *claims)
{
    if (principals_revoked(all, claims->id))
        return "which was revoked";
    if (!who)
        return "whom nobody knows any more";
    if (!who->enabled)
        return "who is disabled";
    if (who->generation != claims->generation)
        return "revoked since it was issued";
    if (!principal_refreshes(who))
        return "who may have none any more";
    if (!refresh_password_holds(who, claims->password, clock_wall_ms() / 1000))
        return "got by a password that has ended";
    return NULL;
}

// A caller whom another issuer vouched for stands in no document, but in a rule.
static const struct principal *refresh_holder(const struct call *c, struct http_request *req,
                                              const struct principals *all,
                                              const struct claims *claims)
{
    if (!strncmp(claims->subject, PRINCIPAL_OIDC, strlen(PRINCIPAL_OIDC)))
        return oidc_principal(all, c->r->name, claims->subject, claims->generation, &req->arena);
    return principals_find(all, claims->subject);
}

static int judge_refresh(const struct call *c, struct http_request *req,
                         const struct principals *all, const struct principal **out)
{
    struct claims claims;
    int rc =
        token_verify(c->t, c->r, c->refresh, TOKEN_REFRESH, clock_wall_ms(), &req->arena, &claims);
    if (rc) {
        http_request_detail(req, "a refresh token: %s",
                            token_fault(c->t, c->r, c->refresh, rc, &req->arena));
        return rc;
    }
    const struct principal *who = refresh_holder(c, req, all, &claims);
    const char *fault = refresh_fault(all, who, &claims);
    if (fault) {
        http_request_detail(req, "the refresh token %s of %s, %s", claims.id, claims.subject,
                            fault);
        return ERR_AUTH;
    }
    *out = who;
    return 0;
}

// For the log alone. An unknown name is not logged: people type passwords there.
static void login_detail(struct http_request *req, const struct principal *who)
{
    if (!who)
        http_request_detail(req, "a login of an unknown user");
    else if (!who->enabled)
        http_request_detail(req, "a login of %s, who is disabled", who->name);
    else if (who->token)
        http_request_detail(req, "a login of %s, with a wrong password, or one that has ended",
                            who->name);
    else
        http_request_detail(req, "a login of %s, with a wrong password", who->name);
}

int call_judge(struct call *c, struct http_request *req, const struct principals *all,
               uint64_t generation, bool may_hash, const struct principal **out)
{
    if (c->refresh)
        return judge_refresh(c, req, all, out);
    if (!c->user) {
        *out = NULL;
        return 0;
    }
    const struct principal *who = principals_find(all, c->user);
    if (who && who->token && strcmp(who->token->registry, c->r->name) != 0)
        who = NULL; // a named token is nobody in another registry
    const struct login login = {who, c->password, clock_wall_ms() / 1000};
    int rc = 0;
    if (!passwords_known(c->s->passwords, generation, &login, &c->by_hash)) {
        if (may_hash)
            rc = passwords_verify(c->s->passwords, generation, all, &login, &c->by_hash);
        else
            rc = ERR_BUSY;
    }
    if (rc == ERR_AUTH)
        login_detail(req, who);
    if (!rc)
        *out = who;
    return rc;
}

int call_principals(const struct call *c, struct principals **out)
{
    const struct auth_service_options *o = &c->s->o;
    struct principals *all = snapshot_get(o->principals);
    int64_t age_ms = 0;
    if (o->principals_age_ms)
        age_ms = o->principals_age_ms(o->age_ctx);
    if (!all || auth_principals_stale(age_ms, c->t->max_stale_s)) {
        snapshot_unref(all);
        return ERR_CLOSED;
    }
    *out = all;
    return 0;
}
