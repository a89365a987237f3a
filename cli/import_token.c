// SPDX-License-Identifier: Apache-2.0
// Answers to a source's challenges; see import_token.h.
#include "cli/import_token.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/import_words.h"
#include "net/outbound.h"

#include <ctype.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define TOKEN_MS 30000
#define TOKEN_MAX_BYTES (64u << 10)
#define TOKEN_LIFE_S 60 // of one that does not say (distribution-spec's token flow)
#define TOKEN_LIFE_MAX_S 3600
#define JUST_MS 2000
#define CHALLENGES_MAX_BYTES 8192
#define CATALOG "" // stands for a repository's name

struct source_auth {
    struct source_options o;
    pthread_mutex_t lock;
    // under the lock, from here on
    // "Basic …" of the source itself; NULL: not asked for
    char *basic;
    // "Bearer …", whose repository it is for, and until when
    char *bearer, *repository;
    int64_t until_mono, got_mono;
};

static void secret_free(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

int source_auth_new(const struct source_options *o, struct source_auth **out)
{
    struct source_auth *a = mem_zalloc(sizeof *a);
    if (!a)
        return ERR_NOMEM;
    a->o = *o;
    pthread_mutex_init(&a->lock, NULL);
    *out = a;
    return 0;
}

void source_auth_free(struct source_auth *a)
{
    if (!a)
        return;
    secret_free(a->basic);
    secret_free(a->bearer);
    free(a->repository);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

char *source_auth_header(struct source_auth *a, const char *repository)
{
    const char *value = NULL;
    if (!repository)
        repository = CATALOG;
    pthread_mutex_lock(&a->lock);
    bool fits = a->repository && !strcmp(a->repository, repository);
    if (a->basic)
        value = a->basic;
    else if (a->bearer && fits && clock_mono_ms() < a->until_mono)
        value = a->bearer;
    char *out = NULL;
    if (value)
        out = mem_strdup(value);
    pthread_mutex_unlock(&a->lock);
    return out;
}

// "Basic …" of the user. NULL: out of memory.
static char *basic_make(const struct source_options *o)
{
    AUTO_FREE char *pair = mem_printf("%s:%s", o->user, o->password ? o->password : "");
    if (!pair)
        return NULL;
    size_t n = strlen(pair);
    AUTO_FREE char *b64 = mem_alloc(b64_size(n));
    char *out = NULL;
    if (b64) {
        b64_format(pair, n, b64);
        out = mem_printf("Basic %s", b64);
        explicit_bzero(b64, strlen(b64));
    }
    explicit_bzero(pair, n);
    return out;
}

// All its challenges, joined as RFC 9110 section 5.3 joins lines.
static struct challenge challenge_of(const struct fetch_result *res)
{
    static const char name[] = "www-authenticate: ";
    AUTO_BUF struct buf all;
    buf_init(&all, CHALLENGES_MAX_BYTES);
    for (const char *l = buf_cstr(&res->headers); *l;) {
        size_t n = strcspn(l, "\n");
        if (!strncmp(l, name, sizeof name - 1)) {
            buf_add(&all, l + sizeof name - 1, n - (sizeof name - 1));
            buf_str(&all, ", ");
        }
        l += n;
        if (*l)
            l++;
    }
    return challenge_parse(buf_cstr(&all));
}

static void url_add(struct buf *b, const char *name, const char *value)
{
    buf_str(b, strchr(buf_cstr(b), '?') ? "&" : "?");
    buf_printf(b, "%s=", name);
    for (const char *p = value; *p; p++) {
        if (isalnum((unsigned char)*p) || strchr("-._~:/,", *p))
            buf_u8(b, (uint8_t)*p);
        else
            buf_printf(b, "%%%02X", (unsigned char)*p);
    }
}

static char *token_url(const struct challenge *ch, const char *repository)
{
    char scope[512] = "registry:catalog:*";
    struct buf b;
    buf_init(&b, OUTBOUND_URL_MAX_BYTES);
    buf_str(&b, ch->realm);
    if (*ch->service)
        url_add(&b, "service", ch->service);
    if (*repository)
        snprintf(scope, sizeof scope, "repository:%.255s:pull", repository);
    url_add(&b, "scope", scope);
    if (!b.err)
        return buf_take(&b);
    buf_done(&b);
    return NULL;
}

// "token" and "access_token" mean the same. What cannot stand in a header is none.
static const char *token_of(const json_t *doc)
{
    const char *text = json_string_value(json_object_get(doc, "token"));
    if (!text || !*text)
        text = json_string_value(json_object_get(doc, "access_token"));
    if (!text || !*text)
        return NULL;
    for (const char *p = text; *p; p++)
        if (*p <= ' ' || *p > '~')
            return NULL;
    return text;
}

static int64_t token_life_s(const json_t *doc)
{
    json_int_t s = json_integer_value(json_object_get(doc, "expires_in"));
    if (s < TOKEN_LIFE_S)
        return TOKEN_LIFE_S;
    if (s > TOKEN_LIFE_MAX_S)
        return TOKEN_LIFE_MAX_S;
    return s;
}

static int token_keep(struct source_auth *a, const struct fetch_result *r, const char *repository,
                      char why[IMPORT_WHY_SIZE])
{
    json_t *doc = json_loadb(buf_cstr(&r->body), r->body.n, 0, NULL);
    const char *text = token_of(doc);
    int rc = 0;
    if (!text) {
        snprintf(why, IMPORT_WHY_SIZE, "the answer of its token service has no token");
        rc = ERR_PROTO;
    } else {
        secret_free(a->bearer);
        free(a->repository);
        a->bearer = mem_printf("Bearer %s", text);
        a->repository = mem_strdup(repository);
        // a request that begins with it has some time
        a->got_mono = clock_mono_ms();
        a->until_mono = a->got_mono + token_life_s(doc) * 900;
        if (!a->bearer || !a->repository)
            rc = ERR_NOMEM;
    }
    json_decref(doc);
    return rc;
}

static int token_get(struct source_auth *a, struct outbound *lane, const struct challenge *ch,
                     const char *repository, char why[IMPORT_WHY_SIZE])
{
    AUTO_FREE char *url = token_url(ch, repository), *basic = NULL;
    if (a->o.user)
        basic = basic_make(&a->o);
    if (!url || (a->o.user && !basic)) {
        snprintf(why, IMPORT_WHY_SIZE, "its challenge is too long");
        return ERR_TOOBIG;
    }
    const struct outbound_request q = {.url = url,
                                       .authorization = basic,
                                       .ca_file = a->o.ca_file,
                                       .timeout_ms = TOKEN_MS,
                                       .max_bytes = TOKEN_MAX_BYTES};
    struct fetch_result r;
    int rc = outbound_run(lane, &q, &r);
    if (rc)
        snprintf(why, IMPORT_WHY_SIZE, "its token service: %.280s", r.message);
    else if (r.status != 200) {
        char told[IMPORT_WHY_SIZE];
        answer_tell(&r, told);
        snprintf(why, IMPORT_WHY_SIZE, "its token service: %.290s", told);
        rc = ERR_AUTH;
    } else
        rc = token_keep(a, &r, repository, why);
    if (r.body.p)
        explicit_bzero(r.body.p, r.body.n);
    fetch_result_done(&r);
    if (basic)
        explicit_bzero(basic, strlen(basic));
    return rc;
}

// Another lane has had the same challenge answered while this one waited for the lock.
static bool just_got(const struct source_auth *a, const char *repository)
{
    return a->bearer && a->repository && !strcmp(a->repository, repository) &&
           clock_mono_ms() - a->got_mono < JUST_MS;
}

int source_auth_answer(struct source_auth *a, struct outbound *lane, const struct fetch_result *res,
                       const char *repository, char why[IMPORT_WHY_SIZE])
{
    const struct challenge ch = challenge_of(res);
    if (!repository)
        repository = CATALOG;
    if (ch.kind == CHALLENGE_NONE) {
        snprintf(why, IMPORT_WHY_SIZE,
                 "it wants a login of a kind that is not known here (Basic, or Bearer with an "
                 "https realm)");
        return ERR_UNSUPPORTED;
    }
    if (ch.kind == CHALLENGE_BASIC && !a->o.user) {
        snprintf(why, IMPORT_WHY_SIZE,
                 "it wants a user: give --source-username and --source-password-file");
        return ERR_AUTH;
    }
    pthread_mutex_lock(&a->lock);
    int rc = 0;
    if (ch.kind == CHALLENGE_BEARER && !just_got(a, repository))
        rc = token_get(a, lane, &ch, repository, why);
    else if (ch.kind == CHALLENGE_BASIC && !a->basic) {
        a->basic = basic_make(&a->o);
        if (!a->basic)
            rc = ERR_NOMEM;
    }
    pthread_mutex_unlock(&a->lock);
    return rc;
}
