// SPDX-License-Identifier: Apache-2.0
// Requests to our own registry from several threads; see import_target.h.
#include "cli/import_target.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wait.h"
#include "cli/import_words.h"
#include "config/endpoints.h"

#include <stdio.h>
#include <string.h>

#define CALL_MS 120000
#define TRIES 6
#define WAITS_MAX 120 // when it says how long to wait: its limits are no failure
#define PAUSE_FIRST_MS 250
#define PAUSE_MAX_MS 5000
#define LOGIN_SCOPE \
    "registry:catalog:*" // to see whether a region can be reached, whatever it grants

// ---- tokens ----

static void secret_free(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

static void token_drop(struct import_token *k)
{
    secret_free(k->bearer);
    free(k->scope);
    *k = (struct import_token){0};
}

// Under the lock. An exit status.
static int token_take(struct import_target *t, struct import_token *keep, const char *scope)
{
    struct cli *c = t->c;
    int status = EXIT_FAILED;
    const char *query = arena_printf(&c->arena, "scope=%s", cli_urlencode(c, scope));
    c->why = NULL;
    c->quiet = true;
    char *token = cli_ask_token(c, t->registry, t->host, t->region, t->password, query,
                                "access_token", &status);
    c->quiet = false;
    if (!token)
        return status;
    token_drop(keep);
    keep->bearer = mem_printf("Authorization: Bearer %s", token);
    keep->scope = mem_strdup(scope);
    secret_free(token);
    if (keep->bearer && keep->scope)
        return EXIT_DONE;
    return EXIT_FAILED;
}

// The header for a repository, with a new token when `refused` is the one that is kept. Heap; NULL
// with a sentence.
static char *header_for(struct import_target *t, const struct target_request *q,
                        const char *refused, char why[IMPORT_WHY_SIZE])
{
    AUTO_FREE char *scope = NULL;
    char *out = NULL;
    struct import_token *k = &t->tokens[0];
    if (q->mounts_from) {
        k = &t->tokens[1];
        scope =
            mem_printf("repository:%s:pull,push repository:%s:pull", q->repository, q->mounts_from);
    } else
        scope = mem_printf("repository:%s:pull,push", q->repository);
    int rc = EXIT_DONE;
    if (!scope)
        return NULL;
    pthread_mutex_lock(&t->lock);
    bool fits = k->scope && k->bearer && !strcmp(k->scope, scope);
    if (!fits || (refused && !strcmp(refused, k->bearer)))
        rc = token_take(t, k, scope);
    if (!rc)
        out = mem_strdup(k->bearer);
    else
        snprintf(why, IMPORT_WHY_SIZE, "%.300s", t->c->why ? t->c->why : "no token");
    pthread_mutex_unlock(&t->lock);
    return out;
}

// ---- life ----

static int region_try(struct import_target *t, const struct region *region)
{
    struct cli *c = t->c;
    char host[HOSTNAME_TEXT_SIZE];
    hostname_format(registry_name_there(t->registry, region->index), c->topo->domain,
                    t->registry->label, region->name, NULL, host);
    t->region = region;
    t->host = arena_strdup(&c->arena, host);
    t->base = arena_printf(&c->arena, "https://%s:%u", host, c->topo->https_port);
    t->at = cli_region_endpoint(c, region);
    int rc = token_take(t, &t->tokens[0], LOGIN_SCOPE);
    if (rc)
        cli_complain("%s: %s", region->name, c->why ? c->why : "no token");
    return rc;
}

static int region_choose(struct import_target *t, const char *name)
{
    const struct registry *r = t->registry;
    if (name) {
        const struct region *region = cli_region(t->c, name);
        if (!region)
            return EXIT_FAILED;
        if (!registry_replica(r, region->index))
            return cli_fail(EXIT_FAILED, "%s has no replica in %s", r->name, name);
        return region_try(t, region);
    }
    int rc = EXIT_UNREACHABLE;
    for (size_t i = 0; rc == EXIT_UNREACHABLE && i < r->n_replicas; i++)
        rc = region_try(t, &t->c->topo->regions[r->replicas[i].region]);
    return rc;
}

int target_open(struct cli *c, const struct registry *r, const char *region,
                struct import_target *out)
{
    *out = (struct import_target){.c = c, .registry = r};
    pthread_mutex_init(&out->lock, NULL);
    if (c->username)
        out->password = cli_password(c);
    int rc = EXIT_FAILED;
    if (!c->username || out->password)
        rc = region_choose(out, region);
    if (rc)
        target_close(out);
    return rc;
}

void target_close(struct import_target *t)
{
    if (!t->c)
        return;
    secret_free(t->password);
    token_drop(&t->tokens[0]);
    token_drop(&t->tokens[1]);
    pthread_mutex_destroy(&t->lock);
    *t = (struct import_target){0};
}

// ---- requests ----

static int ask_once(struct import_target *t, const struct target_request *q, const char *bearer,
                    struct fetch_result *out)
{
    const char *headers[4];
    size_t n = 0;
    AUTO_FREE char *url = NULL;
    bool ours = *q->url == '/' || !strncmp(q->url, t->base, strlen(t->base));
    // "https://host/…" without the port that need not be told
    size_t host = strlen(t->host);
    if (!strncmp(q->url, "https://", 8) && !strncmp(q->url + 8, t->host, host) &&
        strchr(":/", q->url[8 + host]))
        ours = true;
    if (*q->url == '/')
        url = mem_printf("%s%s", t->base, q->url);
    else
        url = mem_strdup(q->url);
    *out = (struct fetch_result){0};
    if (!url) {
        out->err = ERR_NOMEM;
        return ERR_NOMEM;
    }
    if (ours)
        headers[n++] = bearer; // an upload that has moved has its own signature
    for (size_t i = 0; i < 3 && q->headers[i]; i++)
        headers[n++] = q->headers[i];
    const struct fetch_request f = {.method = q->method,
                                    .url = url,
                                    .connect_to = &t->at,
                                    .peer = t->region->name,
                                    .ca_file = t->c->ca,
                                    .headers = headers,
                                    .n_headers = n,
                                    .body = q->body,
                                    .timeout_ms = CALL_MS,
                                    .max_bytes = q->max_bytes};
    return fetch_run(t->c->fetcher, &f, out);
}

struct tries {
    unsigned failures, waits;
};

// A refusal that says when to come again. -1: it is none.
static int64_t wait_told_ms(const struct fetch_result *r)
{
    char value[64];
    if (r->err || (r->status != 429 && r->status != 503) ||
        !fetch_result_header(r, "Retry-After", value, sizeof value))
        return -1;
    int64_t s = retry_after_parse(value, clock_wall_ms());
    if (s > IMPORT_WAIT_MAX_S)
        return -1;
    return s * 1000;
}

// Is it worth another try? A piece of an upload is sent again only when it was refused unread.
static bool passes(const struct fetch_result *r, bool once)
{
    if (r->err)
        return !once && (r->err == ERR_UNREACHABLE || r->err == ERR_TIMEOUT);
    if (r->status == 429)
        return true;
    return !once && (r->status == 502 || r->status == 503 || r->status == 504);
}

// How long to wait before the next try; -1: that was the last.
static int64_t pause_ms(const struct fetch_result *r, bool once, struct tries *n)
{
    int64_t told = wait_told_ms(r);
    if (!passes(r, once))
        return -1;
    if (told >= 0 && ++n->waits <= WAITS_MAX)
        return told + wait_backoff_ms(0, PAUSE_FIRST_MS, PAUSE_FIRST_MS); // not all at once
    if (told >= 0 || ++n->failures >= TRIES)
        return -1;
    return wait_backoff_ms(n->failures - 1, PAUSE_FIRST_MS, PAUSE_MAX_MS);
}

int target_ask(struct import_target *t, const struct target_request *q, struct fetch_result *out,
               char why[IMPORT_WHY_SIZE])
{
    char *refused = NULL;
    struct tries n = {0};
    for (;;) {
        AUTO_FREE char *bearer = header_for(t, q, refused, why);
        if (!bearer) {
            free(refused);
            *out = (struct fetch_result){.err = ERR_AUTH};
            return ERR_AUTH;
        }
        int rc = ask_once(t, q, bearer, out);
        if (!rc && out->status == 401 && !refused) { // it may have come to its end meanwhile
            refused = take_ptr(bearer);
            fetch_result_done(out);
            continue;
        }
        int64_t ms = pause_ms(out, q->once, &n);
        if (ms < 0) {
            if (rc)
                snprintf(why, IMPORT_WHY_SIZE, "%s: %.280s", t->region->name, out->message);
            free(refused);
            return rc;
        }
        fetch_result_done(out);
        clock_sleep_ms(ms);
    }
}

int target_expect(struct import_target *t, const struct target_request *q, int status, int other,
                  struct fetch_result *out, char why[IMPORT_WHY_SIZE])
{
    int rc = target_ask(t, q, out, why);
    if (rc)
        return rc;
    if (out->status == status || out->status == other)
        return 0;
    char told[IMPORT_WHY_SIZE];
    answer_tell(out, told);
    snprintf(why, IMPORT_WHY_SIZE, "%s: %.290s", t->region->name, told);
    if (out->status == 401 || out->status == 403)
        return ERR_AUTH;
    if (out->status == 404)
        return ERR_NOTFOUND;
    if (out->status == 409 || out->status == 412)
        return ERR_EXISTS;
    return ERR_PROTO;
}
