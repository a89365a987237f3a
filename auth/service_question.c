// SPDX-License-Identifier: Apache-2.0
// What is asked of the token service: credentials by Basic or by a form, and the scopes; see
// service_priv.h.
#include "auth/service_priv.h"

#include "base/err.h"

#include <string.h>
#include <strings.h>

#define REFRESH_USER "00000000-0000-0000-0000-000000000000" // its password is a refresh token

static void take_credentials(struct call *c, const char *user, const char *password)
{
    if (!strcmp(user, REFRESH_USER)) {
        c->refresh = password;
        return;
    }
    c->user = user;
    c->password = password;
}

// 0 also when there is none: an anonymous question.
static int basic_parse(struct call *c, struct http_request *req)
{
    const char *user, *password;
    int rc = basic_get(req, &user, &password);
    if (!rc && user)
        take_credentials(c, user, password);
    return rc;
}

// Nothing that was asked for has the form of a scope.
static void scope_refuse(struct call *c, struct http_request *req, struct http_response *resp)
{
    const char *text =
        arena_printf(&req->arena,
                     "the scope \"%s\" is malformed: a scope is repository:NAME:ACTIONS, or "
                     "registry:catalog:*",
                     c->scopes.malformed);
    if (text)
        call_refuse(c, req, resp, 400, "invalid_scope", REFUSED_NAME, text);
    else
        call_refuse_code(c, req, resp, ERR_NOMEM);
}

// What both methods share: `service`, `scope` (repeated). False: refused already.
static bool questions_parse(struct call *c, struct http_request *req, struct bytes from,
                            struct http_response *resp)
{
    const char *service = http_form_get(req, from, "service", 0), *scope;
    if (service && *service && strcasecmp(service, c->service)) {
        call_refuse(c, req, resp, 400, "invalid_request", REFUSED_UNSUPPORTED,
                    "the service asked for is not this registry's: use its global name");
        return false;
    }
    for (size_t i = 0; (scope = http_form_get(req, from, "scope", i)); i++) {
        int rc = scopes_add(&c->scopes, scope, &req->arena);
        if (rc) {
            call_refuse_code(c, req, resp, rc);
            return false;
        }
    }
    if (c->scopes.n_formed || !*c->scopes.malformed)
        return true;
    scope_refuse(c, req, resp);
    return false;
}

bool question_of_get(struct call *c, struct http_request *req, struct http_response *resp)
{
    const char *offline = http_query_get(req, "offline_token", 0);
    c->offline = offline && (!strcmp(offline, "true") || !strcmp(offline, "1"));
    int rc = basic_parse(c, req);
    if (!rc)
        return questions_parse(c, req, bytes_str(req->query), resp);
    call_refuse_code(c, req, resp, rc);
    return false;
}

const char *form_once(struct http_request *req, const char *key)
{
    const char *v = http_form_get(req, req->body, key, 0);
    if (v && !http_form_get(req, req->body, key, 1))
        return v;
    return NULL;
}

bool question_of_form(struct call *c, struct http_request *req, struct http_response *resp)
{
    const char *type = form_once(req, "grant_type"), *access_type = form_once(req, "access_type");
    c->offline = access_type && !strcmp(access_type, "offline");
    if (!type) {
        call_refuse(c, req, resp, 400, "invalid_request", REFUSED_UNSUPPORTED,
                    "grant_type is missing or repeated");
        return false;
    }
    if (!strcmp(type, "password")) {
        const char *user = form_once(req, "username"), *password = form_once(req, "password");
        if (user && password)
            take_credentials(c, user, password);
    } else if (!strcmp(type, "refresh_token")) {
        c->refresh = form_once(req, "refresh_token");
    } else {
        call_refuse(c, req, resp, 400, "unsupported_grant_type", REFUSED_UNSUPPORTED,
                    "grant_type is password or refresh_token");
        return false;
    }
    if (c->user || c->refresh)
        return questions_parse(c, req, req->body, resp);
    call_refuse(c, req, resp, 400, "invalid_request", REFUSED_UNSUPPORTED,
                "the credentials are missing or repeated");
    return false;
}

bool question_form_type_ok(const char *type)
{
    static const char form[] = "application/x-www-form-urlencoded";
    size_t n = sizeof form - 1;
    return type && !strncasecmp(type, form, n) && (!type[n] || type[n] == ';' || type[n] == ' ');
}
