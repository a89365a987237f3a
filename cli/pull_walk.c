// SPDX-License-Identifier: Apache-2.0
// One way of a pull, gone as a client goes it: connection and certificate, challenge, token, scope;
// content is in pull_content.c. See pull_walk.h.
#include "cli/pull_walk.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/plain.h"
#include "cli/bearer.h"
#include "cli/show.h"

#include <stdio.h>
#include <string.h>

#define CALL_MS 25000

// ---- requests ----

static const char *header(struct cli *c, const struct fetch_result *r, const char *name)
{
    char text[4096] = "";
    if (!fetch_result_header(r, name, text, sizeof text))
        return "";
    text_plain(text, strlen(text));
    return arena_strdup(&c->arena, text);
}

// A region for cli_endpoint_fetch to name, though the address may be of none.
static const struct region *some_region(const struct pull_run *run, const struct pull_way *way)
{
    if (way->region)
        return way->region;
    return &run->c->topo->regions[0];
}

static void fetch(struct pull_run *run, const struct pull_way *way, const char *host,
                  const char *path, const char *const *headers, size_t n_headers, const char *user,
                  const char *password, struct fetch_result *out)
{
    struct cli *c = run->c;
    c->dial_ip = &way->ip;
    (void)cli_endpoint_fetch(c, host, some_region(run, way), "GET", path, headers, n_headers,
                             (struct bytes){0}, user, password, CALL_MS, out);
    c->dial_ip = NULL;
}

struct pull_reply pull_get(struct pull_run *run, const struct pull_way *way, const char *host,
                           const char *path, const char *more)
{
    struct cli *c = run->c;
    struct fetch_result r;
    const char *headers[2];
    size_t n = 0;
    if (way->bearer && !host)
        headers[n++] = way->bearer;
    if (more)
        headers[n++] = more;
    fetch(run, way, host ? host : way->host, path, headers, n, NULL, NULL, &r);
    struct pull_reply a = {.err = r.err, .status = r.status};
    a.words = r.err ? arena_strdup(&c->arena, r.message) : cli_refusal(c, &r);
    a.region = header(c, &r, "x-meridian-region");
    a.challenge = header(c, &r, "www-authenticate");
    a.digest = header(c, &r, "docker-content-digest");
    a.location = header(c, &r, "location");
    a.range = header(c, &r, "content-range");
    a.length = header(c, &r, "content-length");
    a.body = bytes_of(arena_copy(&c->arena, buf_cstr(&r.body), r.body.n + 1), r.body.n);
    fetch_result_done(&r);
    return a;
}

// ---- the connection and the challenge ----

static void take_challenge(struct pull_run *run, struct pull_way *way, const struct pull_reply *a)
{
    struct cli *c = run->c;
    char service[HOSTNAME_TEXT_SIZE] = "";
    hostname_format(NAME_GLOBAL, c->topo->domain, run->registry->label, NULL, NULL, service);
    const char *realm =
        arena_printf(&c->arena, "realm=\"https://%s/oauth2/token\"", cli_public_host(c, way->host));
    const char *of = arena_printf(&c->arena, "service=\"%s\"", service);
    way->f.challenge.status = a->status;
    way->f.challenge.words = a->words;
    way->f.challenge.realm_good = strstr(a->challenge, realm) != NULL;
    way->f.challenge.service_good = strstr(a->challenge, of) != NULL;
}

// False: nobody good answers.
static bool connect_to(struct pull_run *run, struct pull_way *way)
{
    struct cli *c = run->c;
    char ip[IP_TEXT_SIZE];
    struct pull_reply a = pull_get(run, way, NULL, "/v2/", NULL);
    way->f.tls.tried = true;
    way->f.tls.err = a.err;
    way->f.tls.message = a.words;
    way->f.tls.address = arena_strdup(&c->arena, ip_format(&way->ip, ip));
    if (a.err)
        return false;
    if (*a.region)
        way->f.tls.answered_by = a.region;
    if (!way->region && *a.region) { // a private address says whose it is
        way->region = topology_region(c->topo, a.region);
        way->f.region = a.region;
        way->f.region_known = way->region != NULL;
    }
    take_challenge(run, way, &a);
    return way->region && !strcmp(way->f.region, a.region) && a.status == 401 &&
           way->f.challenge.realm_good && way->f.challenge.service_good;
}

// ---- token and scope ----

// A token for pulling, of that user; NULL user: anonymous. *out_status: HTTP's.
static const char *token_for(struct pull_run *run, const struct pull_way *way, const char *user,
                             const char *password, int *out_status, const char **out_words)
{
    struct cli *c = run->c;
    struct fetch_result r;
    char service[HOSTNAME_TEXT_SIZE] = "";
    const char *scope = arena_printf(&c->arena, "repository:%s:pull", run->image.repository);
    hostname_format(NAME_GLOBAL, c->topo->domain, run->registry->label, NULL, NULL, service);
    fetch(run, way, way->host,
          arena_printf(&c->arena, "/oauth2/token?service=%s&scope=%s", service,
                       cli_urlencode(c, scope)),
          NULL, 0, user, password, &r);
    *out_status = r.status;
    *out_words = r.err ? arena_strdup(&c->arena, r.message) : cli_refusal(c, &r);
    json_t *doc = NULL;
    if (!r.err && r.status == 200)
        doc = json_said(&r.body, 0);
    const char *text = json_string_value(json_object_get(doc, "access_token"));
    const char *token = NULL;
    if (text)
        token = arena_strdup(&c->arena, text);
    json_decref(doc);
    fetch_result_done(&r);
    return token;
}

static const char *bearer_of(struct cli *c, const char *token)
{
    return arena_printf(&c->arena, "Authorization: Bearer %s", token);
}

static void log_in(struct pull_run *run, struct pull_way *way)
{
    const char *token =
        token_for(run, way, run->user, run->password, &way->f.token.status, &way->f.token.words);
    way->f.token.got = token != NULL;
    if (!token)
        return;
    way->f.scope.known = true;
    way->f.scope.pull = bearer_grants(token, run->image.repository, "pull");
    if (way->f.scope.pull)
        way->bearer = bearer_of(run->c, token);
    else
        way->f.manifest.why = "its token does not let it be asked for";
}

static bool has_word(const json_t *list, const char *word)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one) if (json_is_string(one) &&
                                         !strcmp(json_string_value(one), word)) return true;
    return false;
}

// As a node judges; content is asked for by whoever has a password.
static void take_judgement(struct pull_run *run, struct pull_way *way)
{
    const json_t *doc = run->judgement;
    way->f.judged.known = json_is_true(json_object_get(doc, "known"));
    way->f.judged.enabled = json_is_true(json_object_get(doc, "enabled"));
    way->f.judged.n_passwords = (size_t)json_integer_value(json_object_get(doc, "passwords"));
    way->f.scope.known = way->f.judged.known && way->f.judged.enabled && way->f.judged.n_passwords;
    way->f.scope.pull = has_word(json_object_get(doc, "actions"), "pull");
    way->f.manifest.why = "that takes a password: --password-stdin, or -u and --password-file of "
                          "somebody who may pull";
    if (!run->asker)
        return;
    int status;
    const char *words, *token = token_for(run, way, run->asker, run->password, &status, &words);
    if (token && bearer_grants(token, run->image.repository, "pull"))
        way->bearer = bearer_of(run->c, token);
    else if (token)
        way->f.manifest.why = arena_printf(&run->c->arena, "%s, who asks, may not pull %s either",
                                           run->asker, run->image.repository);
    else
        way->f.manifest.why =
            arena_printf(&run->c->arena, "%s, who asks, gets no token: %s", run->asker, words);
}

void pull_walk(struct pull_run *run, struct pull_way *way)
{
    if (!way->has_ip || !run->registry || !connect_to(run, way))
        return;
    if (run->login == PULL_LOGIN_JUDGED)
        take_judgement(run, way);
    else if (run->login != PULL_LOGIN_NONE)
        log_in(run, way);
    if (way->bearer)
        pull_look_at_content(run, way);
}
