// SPDX-License-Identifier: Apache-2.0
// Requests to the registry that is imported from; see import_source.h.
#include "cli/import_source.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wait.h"
#include "cli/import_token.h"
#include "cli/import_words.h"
#include "net/outbound.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define IDLE_MS 60000
#define SMALL_MS 60000
#define WAITS_MAX 20
#define PAUSE_FIRST_MS 300
#define PAUSE_MAX_MS 10000
#define NO_TIME_TOLD_S 5 // 429 without Retry-After

struct import_source {
    struct source_options o;
    struct outbound *guard;
    struct source_auth *auth;
    pthread_mutex_t lock;
    // nothing is asked before; under the lock
    int64_t not_before_mono;
};

// ---- life ----

void import_source_close(struct import_source *s)
{
    if (!s)
        return;
    outbound_free(s->guard);
    source_auth_free(s->auth);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

int import_source_open(const struct source_options *o, struct import_source **out)
{
    const struct outbound_options guard = {
        .allow = o->allow, .n_allow = o->n_allow, .proxy = o->proxy};
    struct import_source *s = mem_zalloc(sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->o = *o;
    pthread_mutex_init(&s->lock, NULL);
    int rc = outbound_new(&guard, &s->guard);
    if (!rc)
        rc = source_auth_new(o, &s->auth);
    if (rc) {
        import_source_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

// ---- pauses ----

int64_t source_pause_ms(struct import_source *s)
{
    pthread_mutex_lock(&s->lock);
    int64_t left = s->not_before_mono - clock_mono_ms();
    pthread_mutex_unlock(&s->lock);
    if (left > 0)
        return left;
    return 0;
}

static void pause_for(struct import_source *s, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms;
    pthread_mutex_lock(&s->lock);
    if (until > s->not_before_mono)
        s->not_before_mono = until;
    pthread_mutex_unlock(&s->lock);
}

// What a 429 or a 503 asks for. -1: it does not ask to be left alone.
static int64_t wait_told_s(const struct fetch_result *r)
{
    char value[64];
    int64_t s = -1;
    if (r->status != 429 && r->status != 503)
        return -1;
    if (fetch_result_header(r, "Retry-After", value, sizeof value))
        s = retry_after_parse(value, clock_wall_ms());
    if (s < 0 && r->status == 429)
        s = NO_TIME_TOLD_S;
    return s;
}

// ---- answers ----

void answer_tell(const struct fetch_result *res, char why[IMPORT_WHY_SIZE])
{
    json_t *doc = json_loadb(buf_cstr(&res->body), res->body.n, 0, NULL);
    const json_t *first = json_array_get(json_object_get(doc, "errors"), 0);
    const char *text = json_string_value(json_object_get(first, "message"));
    if (!text)
        text = json_string_value(json_object_get(first, "code"));
    if (text)
        snprintf(why, IMPORT_WHY_SIZE, "HTTP %d: %.200s", res->status, text);
    else
        snprintf(why, IMPORT_WHY_SIZE, "HTTP %d", res->status);
    json_decref(doc);
    for (char *p = why; *p; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
}

// ---- one request ----

struct stream { // what on_data has had of one try
    const struct source_request *q;
    // of the body, before what was asked for
    uint64_t to_skip, taken;
};

static int on_headers(void *ctx, const struct fetch_result *r)
{
    struct stream *t = ctx;
    t->to_skip = 0;
    if (r->status != 206)
        t->to_skip = t->q->from;
    return 0;
}

static int on_data(void *ctx, const uint8_t *p, size_t n)
{
    struct stream *t = ctx;
    size_t skip = n;
    if (t->to_skip < n)
        skip = (size_t)t->to_skip;
    t->to_skip -= skip;
    if (skip == n)
        return 0;
    t->taken += n - skip;
    return t->q->on_data(t->q->ctx, p + skip, n - skip);
}

static int ask_once(struct import_source *s, const struct source_request *q,
                    const char *authorization, struct stream *t, struct fetch_result *out)
{
    AUTO_FREE char *url = mem_printf("https://%s%s", s->o.host, q->path);
    AUTO_FREE char *accept = mem_printf("Accept: %s", q->accept ? q->accept : "*/*");
    AUTO_FREE char *range = mem_printf("Range: bytes=%llu-", (unsigned long long)q->from);
    *out = (struct fetch_result){0};
    *t = (struct stream){.q = q};
    if (!url || !accept || !range) {
        out->err = ERR_NOMEM;
        return ERR_NOMEM;
    }
    const char *headers[] = {"User-Agent: meridian-import", accept, range};
    struct outbound_request g = {.method = q->method,
                                 .url = url,
                                 .authorization = authorization,
                                 .headers = headers,
                                 .n_headers = q->from ? 3 : 2,
                                 .ca_file = s->o.ca_file,
                                 .redirects_max = OUTBOUND_REDIRECTS_MAX,
                                 .timeout_ms = SMALL_MS,
                                 .max_bytes = q->max_bytes};
    if (q->on_data) {
        g.timeout_ms = 0;
        g.idle_timeout_ms = IDLE_MS;
        g.on_data = on_data;
        g.on_headers = on_headers;
        g.ctx = t;
    }
    int64_t pause = source_pause_ms(s);
    if (pause)
        clock_sleep_ms(pause);
    return outbound_run(s->guard, &g, out);
}

struct asking { // a request and its tries
    struct import_source *s;
    const struct source_request *q;
    struct fetch_result *out;
    char *why;
    unsigned failures, waits;
    bool challenged;
};

enum verdict { ASKED, AGAIN, GIVEN_UP };

static bool transient(int err)
{
    return err == ERR_UNREACHABLE || err == ERR_TIMEOUT || err == ERR_PROTO || err == ERR_BUSY;
}

static enum verdict fail_again(struct asking *a)
{
    if (++a->failures >= SOURCE_TRIES)
        return GIVEN_UP;
    clock_sleep_ms(wait_backoff_ms(a->failures - 1, PAUSE_FIRST_MS, PAUSE_MAX_MS));
    return AGAIN;
}

static const char *hint_of(int err)
{
    if (err == ERR_DENIED)
        return " (private networks are opened with --allow)";
    return "";
}

static enum verdict judge_error(struct asking *a, const struct stream *t)
{
    snprintf(a->why, IMPORT_WHY_SIZE, "%.260s%s", a->out->message, hint_of(a->out->err));
    if (!transient(a->out->err) || t->taken)
        return GIVEN_UP;
    return fail_again(a);
}

static enum verdict judge_401(struct asking *a)
{
    if (a->challenged) {
        answer_tell(a->out, a->why);
        a->out->err = ERR_AUTH;
        return GIVEN_UP;
    }
    a->challenged = true;
    int rc = source_auth_answer(a->s->auth, a->s->guard, a->out, a->q->repository, a->why);
    if (!rc)
        return AGAIN;
    a->out->err = rc;
    return GIVEN_UP;
}

static enum verdict judge_wait(struct asking *a, int64_t wait_s)
{
    answer_tell(a->out, a->why);
    if (wait_s > IMPORT_WAIT_MAX_S) {
        snprintf(a->why, IMPORT_WHY_SIZE,
                 "HTTP %d: it asks to be left alone for %lld s: run the import again after that",
                 a->out->status, (long long)wait_s);
        a->out->err = ERR_BUSY;
        return GIVEN_UP;
    }
    a->out->err = ERR_BUSY;
    if (++a->waits > WAITS_MAX)
        return GIVEN_UP;
    pause_for(a->s, wait_s * 1000);
    return AGAIN;
}

static enum verdict judge(struct asking *a, const struct stream *t)
{
    struct fetch_result *r = a->out;
    if (r->err)
        return judge_error(a, t);
    if (r->status / 100 == 2 || r->status == 404)
        return ASKED;
    if (r->status == 401)
        return judge_401(a);
    int64_t wait_s = wait_told_s(r);
    if (wait_s >= 0)
        return judge_wait(a, wait_s);
    answer_tell(r, a->why);
    r->err = ERR_PROTO;
    if (r->status == 403)
        r->err = ERR_AUTH;
    if (r->status / 100 == 5)
        return fail_again(a);
    return GIVEN_UP;
}

int source_ask(struct import_source *s, const struct source_request *q, struct fetch_result *out,
               char why[IMPORT_WHY_SIZE])
{
    struct asking a = {.s = s, .q = q, .out = out, .why = why};
    struct stream t;
    for (;;) {
        AUTO_FREE char *header = source_auth_header(s->auth, q->repository);
        ask_once(s, q, header, &t, out);
        if (header)
            explicit_bzero(header, strlen(header));
        enum verdict v = judge(&a, &t);
        if (v == ASKED)
            return 0;
        if (v == GIVEN_UP)
            return out->err;
        fetch_result_done(out);
    }
}
