// SPDX-License-Identifier: Apache-2.0
// The thread that looks after the private CA's replacement, and what it shows to other regions and to
// people; see ca_rolling.h and ca_rolling_priv.h.
#include "daemon/ca_rolling_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wait.h"
#include "net/refuse.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define LOOK_MS 2000

void ca_rolling_waits(struct ca_rolling *r, const char *why)
{
    pthread_mutex_lock(&r->lock);
    snprintf(r->waits, sizeof r->waits, "%s", why);
    pthread_mutex_unlock(&r->lock);
}

// --- what it says of itself ---

static void judge(struct ca_rolling *r, const struct ca_look *x)
{
    struct conditions *c = &r->app->vitals->conditions;
    char waits[CA_WHY_BYTES], at[CLOCK_TEXT_SIZE];
    pthread_mutex_lock(&r->lock);
    memcpy(waits, r->waits, sizeof waits);
    r->shown = x->record;
    r->has_shown = x->has_record;
    pthread_mutex_unlock(&r->lock);
    if (!x->leads)
        waits[0] = 0;
    char step[256] = "";
    if (ca_roll_asks(x->f.record) && x->record.step == CA_STEP_TRUST)
        snprintf(step, sizeof step, "all regions come to trust the next private CA");
    else if (ca_roll_asks(x->f.record))
        snprintf(step, sizeof step,
                 "the next private CA issues, and certificates of the old one are renewed");
    else if (*waits && x->ca_error)
        snprintf(step, sizeof step, "the private CA in ca_dir cannot be read");
    else if (*waits && *x->next)
        snprintf(step, sizeof step, "a next private CA was made");
    else if (*waits)
        snprintf(step, sizeof step, "the private CA ends at %s, and is to be replaced",
                 clock_format(x->in_use.until_ms, at));
    if (!*step)
        condition_clear(c, CONDITION_CA_ROLL);
    else if (*waits)
        condition_set(c, CONDITION_CA_ROLL, CONDITION_WARNING, "%s: %s", step, waits);
    else
        condition_set(c, CONDITION_CA_ROLL, CONDITION_WARNING, "%s", step);
}

// --- the thread ---

void ca_rolling_look(struct ca_rolling *r)
{
    struct ca_look x;
    pthread_mutex_lock(&r->work);
    int rc = ca_look_begin(r, &x);
    if (!rc) {
        ca_steps_follow(r, &x);
        if (x.leads)
            ca_steps_lead(r, &x);
        judge(r, &x);
    }
    ca_look_end(&x);
    pthread_mutex_unlock(&r->work);
}

static void *thread_main(void *arg)
{
    struct ca_rolling *r = arg;
    pthread_mutex_lock(&r->lock);
    while (!r->stopping) {
        pthread_mutex_unlock(&r->lock);
        ca_rolling_look(r);
        pthread_mutex_lock(&r->lock);
        if (!r->stopping && !r->poked)
            wait_cond(&r->wake, &r->lock, LOOK_MS);
        r->poked = false;
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static void poke(void *ctx)
{
    struct ca_rolling *r = ctx;
    pthread_mutex_lock(&r->lock);
    r->poked = true;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
}

// --- life ---

int ca_rolling_start(const struct ca_rolling_options *o, struct ca_rolling **out)
{
    struct app *app = o->app;
    if (!app->feed || !app->certs)
        return 0;
    struct ca_rolling *r = mem_zalloc(sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->o = *o;
    r->app = app;
    r->caller = (struct fleet_caller){.fetcher = app->fetcher,
                                      .ca_file = app->node->ca_file,
                                      .peer_pem = app->paths->peer_pem,
                                      .region = app->node->region,
                                      .stop = &r->stopping};
    pthread_mutex_init(&r->work, NULL);
    pthread_mutex_init(&r->lock, NULL);
    wait_cond_init(&r->wake);
    int rc = control_feed_tell(app->feed, poke, r);
    if (!rc && pthread_create(&r->thread, NULL, thread_main, r))
        rc = ERR_NOMEM;
    else if (!rc)
        r->runs = true;
    *out = r; // also after a failure: ca_rolling_stop
    return rc;
}

void ca_rolling_end(struct ca_rolling *r)
{
    if (!r || r->stopping)
        return;
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
    if (r->runs)
        pthread_join(r->thread, NULL);
    r->runs = false;
    pthread_mutex_lock(&r->work); // what people asked for is done, and no more is begun
    pthread_mutex_unlock(&r->work);
    control_feed_untell(r->app->feed, poke, r);
}

void ca_rolling_stop(struct ca_rolling *r)
{
    if (!r)
        return;
    ca_rolling_end(r);
    pthread_cond_destroy(&r->wake);
    pthread_mutex_destroy(&r->lock);
    pthread_mutex_destroy(&r->work);
    free(r);
}

// --- other regions ask ---

static void word_run(struct http_request *req, struct http_response *resp)
{
    const struct ca_rolling *r = req->ctx;
    struct ca_word own;
    bool behind;
    AUTO_BUF struct buf text;
    buf_init(&text, CA_WORD_BYTES);
    ca_look_word(r, &own, &behind);
    uint8_t *copy = NULL;
    if (!ca_word_format(&own, &text))
        copy = arena_copy(&req->arena, text.p, text.n);
    if (copy)
        http_response_bytes(resp, 200, "application/json", bytes_of(copy, text.n));
    else
        http_refuse(req, resp, 503, REFUSED_UNAVAILABLE, "out of memory");
    http_response_header(req, resp, "Cache-Control", "no-store");
}

void ca_rolling_begin(struct ca_rolling *r, struct http_request *req, const struct region *peer,
                      struct http_plan *plan)
{
    *plan = (struct http_plan){.kind = HTTP_PLAN_REPLY};
    if (!r || !peer) {
        http_refuse(req, &plan->response, 404, REFUSED_UNSUPPORTED,
                    "this node takes no CA over the control feed");
        return;
    }
    if (req->method == HTTP_POST) {
        ca_writer_begin(r, req, peer, plan);
        return;
    }
    if (req->method != HTTP_GET) {
        serve_method(req, &plan->response, "GET, POST",
                     "what a node trusts is read by GET, and the CA's region asks by POST");
        return;
    }
    *plan = (struct http_plan){.kind = HTTP_PLAN_RUN, .run = word_run, .ctx = r};
}

// --- looking ---

static json_t *list_json(const char list[][65], size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; a && i < n; i++)
        json_array_append_new(a, json_string(list[i]));
    return a;
}

static json_t *text_or_null(const char *s)
{
    if (*s)
        return json_string(s);
    return json_null();
}

void *ca_rolling_json(struct ca_rolling *r)
{
    struct ca_record record = {0};
    struct ca_word own = {0};
    char waits[CA_WHY_BYTES] = "", issues[CLOCK_TEXT_SIZE] = "", ends[CLOCK_TEXT_SIZE] = "";
    bool has = false, behind;
    if (r) {
        ca_look_word(r, &own, &behind);
        pthread_mutex_lock(&r->lock);
        memcpy(waits, r->waits, sizeof waits);
        record = r->shown;
        has = r->has_shown;
        pthread_mutex_unlock(&r->lock);
    }
    if (has) {
        clock_format(record.issue_ms, issues);
        clock_format(record.until_ms, ends);
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "step",
                     text_or_null(has ? ca_step_name(record.step) : ""), "old",
                     text_or_null(has ? record.old : ""), "next",
                     text_or_null(has ? record.next : ""), "issuesAt", text_or_null(issues),
                     "oldEndsAt", text_or_null(ends), "waits", text_or_null(waits), "trusts",
                     list_json(own.trusts, own.n_trusts), "uses", list_json(own.uses, own.n_uses),
                     "certificate", text_or_null(has ? record.certificate : ""));
}
