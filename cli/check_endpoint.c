// SPDX-License-Identifier: Apache-2.0
// One endpoint of `meridian check-health`, used as a client uses it: TLS, the challenge, a token
// for a scope, the API with that token, a read, and an upload that is begun and taken back, so that
// nothing is left behind. See check.h.
#include "cli/check.h"

#include "base/err.h"
#include "base/mem.h"
#include "cli/bearer.h"
#include "cli/show.h"

#include <stdio.h>
#include <string.h>

#define TIMEOUT_MS 10000
#define ABSENT_BLOB "sha256:0000000000000000000000000000000000000000000000000000000000000000"

struct answer { // on the CLI's arena
    int rc, status;
    // why nothing came; or what did, in a sentence
    const char *words;
    // of an OCI error, "" without
    const char *code;
    const char *challenge, *location, *body;
};

static const char *header(struct check *k, const struct fetch_result *r, const char *name)
{
    char text[2048] = "";
    if (fetch_result_header(r, name, text, sizeof text))
        return arena_strdup(&k->c->arena, text);
    return "";
}

static const char *code_of(struct check *k, const struct fetch_result *r)
{
    json_t *doc = json_said(&r->body, 0);
    const char *code = json_string_value(
        json_object_get(json_array_get(json_object_get(doc, "errors"), 0), "code"));
    const char *kept = arena_strdup(&k->c->arena, code ? code : "");
    json_decref(doc);
    return kept;
}

static struct answer ask(struct check *k, const struct place *p, const char *method,
                         const char *path, const char *token)
{
    struct answer a = {0};
    const char *bearer = NULL;
    if (token)
        bearer = arena_printf(&k->c->arena, "Authorization: Bearer %s", token);
    struct bytes body;
    if (strcmp(method, "POST") == 0)
        body = bytes_str("");
    else
        body = (struct bytes){0};
    struct fetch_result r;
    k->c->dial_ip = p->ip;
    a.rc = cli_endpoint_fetch(k->c, p->host, p->at, method, path, &bearer, token != NULL, body,
                              NULL, NULL, TIMEOUT_MS, &r);
    k->c->dial_ip = NULL;
    a.status = r.status;
    if (a.rc)
        a.words = arena_strdup(&k->c->arena, r.message);
    else
        a.words = cli_refusal(k->c, &r);
    a.code = code_of(k, &r);
    if (a.rc)
        a.challenge = "";
    else
        a.challenge = header(k, &r, "www-authenticate");
    if (a.rc)
        a.location = "";
    else
        a.location = header(k, &r, "location");
    if (a.rc)
        a.body = "";
    else
        a.body = arena_strdup(&k->c->arena, buf_cstr(&r.body));
    fetch_result_done(&r);
    return a;
}

// ---- TLS and the challenge ----

static const char *challenge_code(const struct answer *a, bool good)
{
    if (good)
        return NULL;
    if (a->status == 403)
        return "CONNECTIVITY_FORBIDDEN_ERROR";
    if (a->status == 429)
        return "CONNECTIVITY_TOOMANYREQUESTS_ERROR";
    return "CONNECTIVITY_CHALLENGE_ERROR";
}

static bool challenged(const struct place *p, const struct answer *a)
{
    return a->status == 401 && strstr(a->challenge, "realm=\"https://") &&
           strstr(a->challenge, p->host);
}

// What a data host says to a request without a signed URL: it has no challenge.
static bool wants_signature(const struct answer *a)
{
    return a->status == 403 && !strcmp(a->code, "UNAUTHORIZED");
}

static const char *base_path(struct check *k, const struct place *p)
{
    if (p->kind != NAME_DATA)
        return "/v2/";
    // blobs are all it serves
    return arena_printf(&k->c->arena, "/v2/%s/blobs/%s", k->repository, ABSENT_BLOB);
}

static bool absent(const struct answer *a)
{
    return a->status == 404 &&
           (!strcmp(a->code, "BLOB_UNKNOWN") || !strcmp(a->code, "NAME_UNKNOWN"));
}

// *out_on: is there any sense in going on here?
static bool check_tls(struct check *k, const struct place *p, bool *out_on)
{
    struct answer a = ask(k, p, "GET", base_path(k, p), NULL);
    *out_on = !a.rc;
    bool tls = !a.rc || a.rc == ERR_CRYPTO;
    if (tls && !check_report(k, p, "TLS", a.rc ? "CONNECTIVITY_SSL_ERROR" : NULL, a.words))
        return false;
    if (a.rc == ERR_CRYPTO)
        return true;
    if (a.rc)
        return check_report(k, p, "challenge", "CONNECTIVITY_REFUSED_ERROR", a.words);
    bool good = challenged(p, &a);
    if (p->kind == NAME_DATA) // a region of the version before has a challenge there
        good = good || wants_signature(&a) || absent(&a);
    else if (!good)
        good = a.status == 200;
    return check_report(k, p, "challenge", challenge_code(&a, good),
                        arena_printf(&k->c->arena, "%s %s", a.words, a.challenge));
}

// ---- tokens ----

// On the arena; NULL after telling why not, with *out_go as check_report gives it.
static const char *token_get(struct check *k, const struct place *p, bool *out_go)
{
    struct cli *c = k->c;
    int status = EXIT_FAILED;
    const char *scope = arena_printf(&c->arena, "repository:%s:pull,push", k->repository);
    c->dial_ip = p->ip;
    char *token = cli_ask_token(c, k->r, p->host, p->at, k->password,
                                arena_printf(&c->arena, "scope=%s", cli_urlencode(c, scope)),
                                "access_token", &status);
    c->dial_ip = NULL;
    if (!token) {
        if (!k->status)
            k->status = status;
        *out_go = check_report(k, p, "token",
                               status == EXIT_DENIED ? "CONNECTIVITY_CREDENTIALS_ERROR"
                                                     : "CONNECTIVITY_ACCESS_TOKEN_ERROR",
                               c->why ? c->why : "no access token came back");
        return NULL;
    }
    const char *kept = arena_strdup(&c->arena, token);
    free(token);
    *out_go = check_report(k, p, "token", NULL, NULL);
    if (!k->token) {
        k->token = kept;
        k->from = *p;
    }
    return kept;
}

// A token of one's own, and of another endpoint: both are good at every endpoint of the registry.
static bool check_use(struct check *k, const struct place *p, const char *what, const char *token,
                      const char *given_by)
{
    struct answer a = ask(k, p, "GET", base_path(k, p), token);
    bool good = a.status == 200;
    return check_report(k, p, what, good ? NULL : "TOKEN_REFUSED_ERROR",
                        arena_printf(&k->c->arena,
                                     "%s refuses the token that %s has just given: %s", p->at->name,
                                     given_by, a.words));
}

// ---- a read and a write ----

static bool check_pull(struct check *k, const struct place *p, const char *token)
{
    if (!bearer_grants(token, k->repository, "pull")) {
        check_not_tried(k, p, "pull",
                        arena_printf(&k->c->arena, "%s may not pull %s; --repository names another",
                                     k->c->username, k->repository));
        return true;
    }
    struct answer a =
        ask(k, p, "GET", arena_printf(&k->c->arena, "/v2/%s/tags/list?n=1", k->repository), token);
    bool good = a.status == 200 || (a.status == 404 && !strcmp(a.code, "NAME_UNKNOWN"));
    return check_report(k, p, "pull", good ? NULL : "PULL_ERROR", a.words);
}

static const char *path_of(const char *location)
{
    const char *host = NULL;
    if (strncmp(location, "https://", 8) == 0)
        host = location + 8;
    const char *path = NULL;
    if (host)
        path = strchr(host, '/');
    if (path)
        return path;
    return location;
}

// Begins an upload and cancels it.
static bool check_writes(struct check *k, const struct place *p, const char *token)
{
    if (!bearer_grants(token, k->repository, "push")) {
        check_not_tried(k, p, "writes",
                        arena_printf(&k->c->arena,
                                     "%s may not push to %s; --repository names another",
                                     k->c->username, k->repository));
        return true;
    }
    struct answer a = ask(
        k, p, "POST", arena_printf(&k->c->arena, "/v2/%s/blobs/uploads/", k->repository), token);
    if (a.rc || a.status != 202 || !*a.location)
        return check_report(k, p, "writes", "WRITES_ERROR", a.words);
    struct answer gone = ask(k, p, "DELETE", path_of(a.location), token);
    bool good = !gone.rc && gone.status == 204;
    return check_report(k, p, "writes", good ? NULL : "UPLOAD_LEFT_ERROR",
                        arena_printf(&k->c->arena,
                                     "an upload was begun and could not be cancelled: %s",
                                     gone.words));
}

static const char *token_of(struct check *k, const struct place *p)
{
    return arena_printf(&k->c->arena, "token of %s", p->at->name);
}

// The first token is tried in every other region, and the token of every other region where the
// first came from.
static bool check_across(struct check *k, const struct place *p, const char *token)
{
    if (p->at == k->from.at)
        return true;
    if (!check_use(k, p, token_of(k, &k->from), k->token, k->from.host))
        return false;
    return p->kind != NAME_GLOBAL || check_use(k, &k->from, token_of(k, p), token, p->host);
}

static bool check_token(struct check *k, const struct place *p)
{
    bool go;
    const char *token = token_get(k, p, &go);
    if (!token)
        return go;
    return check_across(k, p, token) && check_use(k, p, "use of a token", token, p->host) &&
           check_pull(k, p, token) && check_writes(k, p, token);
}

bool check_place(struct check *k, const struct place *p)
{
    bool on;
    if (!check_tls(k, p, &on))
        return false;
    if (!on)
        return true;
    if (k->c->username) {
        if (p->kind == NAME_DATA)
            return true; // it knows signed URLs alone
        return check_token(k, p);
    }
    check_not_tried(k, p, "token", "no user was given (-u)");
    return true;
}

bool check_region(struct check *k, const struct place *p)
{
    struct answer a = ask(k, p, "GET", "/healthz", NULL);
    if (a.rc)
        return check_report(
            k, p, "health",
            a.rc == ERR_CRYPTO ? "CONNECTIVITY_SSL_ERROR" : "CONNECTIVITY_REFUSED_ERROR", a.words);
    json_t *doc = json_loads(a.body, 0, NULL);
    const char *reason = json_string_value(json_object_get(doc, "reason"));
    const char *status = json_string_value(json_object_get(doc, "status"));
    const char *why = arena_printf(&k->c->arena, "it says %s%s%s", status ? status : a.words,
                                   reason ? ": " : "", reason ? reason : "");
    const char *code = "REGION_DOWN_ERROR";
    if (status && !strcmp(status, "short"))
        code = "REGION_SHORT_ERROR";
    json_decref(doc);
    return check_report(k, p, "health", a.status == 200 ? NULL : code, why);
}
