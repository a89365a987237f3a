// SPDX-License-Identifier: Apache-2.0
// Replacing peer certificates, at a node; see rolling.h. Requests run on the pool of requests.
#include "daemon/rolling_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wait.h"
#include "certs/peer_judge.h"
#include "certs/signed_text.h"
#include "config/topology_control.h"
#include "control/feed.h"
#include "daemon/writer_post.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define LOOK_MS 2000      // not per entry of the feed: a look reads certificates and asks regions
#define ASK_AGAIN_MS 2000 // after a refusal, doubled
#define ASK_AGAIN_MAX_MS 60000 // up to that
#define PEM_BYTES (64u << 10)

static void waits_set(struct rolling *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void waits_set(struct rolling *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    pthread_mutex_lock(&r->lock);
    vsnprintf(r->waits, sizeof r->waits, fmt, ap);
    pthread_mutex_unlock(&r->lock);
    va_end(ap);
}

void rolling_waits(struct rolling *r, char *out, size_t cap)
{
    snprintf(out, cap, "the writer is asked to name it soon");
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    if (r->waits[0])
        snprintf(out, cap, "%s", r->waits);
    pthread_mutex_unlock(&r->lock);
}

// --- asking the writer ---

static int nonce_get(struct rolling *r, const struct topology *t, const char *writer, bool here,
                     struct diag *diag, char out[NONCE_TEXT_SIZE])
{
    if (here)
        return peer_roll_nonce(r->roll, writer, out);
    AUTO_BUF struct buf answer;
    buf_init(&answer, WRITER_ANSWER_BYTES);
    int rc =
        writer_post(&r->caller, t, writer, PEER_ROLL_NONCE_PATH, bytes_str("{}"), diag, &answer);
    if (rc)
        return rc;
    json_t *o = json_loadb(answer.p, answer.n, JSON_REJECT_DUPLICATES, NULL);
    const char *text = json_string_value(json_object_get(o, "nonce"));
    bool good = text && strlen(text) == NONCE_TEXT_SIZE - 1;
    if (good)
        memcpy(out, text, NONCE_TEXT_SIZE);
    json_decref(o);
    if (good)
        return 0;
    diag_add(diag, NULL, 0, "what the writer %s gave is no nonce", writer);
    return ERR_PROTO;
}

static int request_send(struct rolling *r, const struct topology *t, const char *writer, bool here,
                        const struct peer_request *q, struct diag *diag)
{
    const char *region = r->app->node->region, *step = NULL;
    AUTO_BUF struct buf body, answer;
    buf_init(&body, SIGNED_TEXT_MAX_BYTES);
    buf_init(&answer, WRITER_ANSWER_BYTES);
    int rc = peer_request_format(t, region, q, (struct region_keys *)r->app->keys, &body);
    if (rc)
        return rc;
    if (!here)
        return writer_post(&r->caller, t, writer, PEER_ROLL_PATH, bytes_of(body.p, body.n), diag,
                           &answer);
    rc = peer_roll_take(r->roll, region, q->current, bytes_of(body.p, body.n), diag, &step);
    AUTO_FREE char *why = NULL;
    if (rc)
        why = diag_text(diag);
    if (rc != ERR_BUSY)
        rolling_note(r, NULL, region, step ? step : "refused", NULL, why);
    return rc;
}

static int ask(struct rolling *r, const struct topology *t, enum peer_step step,
               const struct cert_info *info, struct diag *diag)
{
    char nonce[NONCE_TEXT_SIZE];
    AUTO_BUF struct buf pem;
    buf_init(&pem, PEM_BYTES);
    const struct region *writer = topology_writer(t);
    if (!writer) {
        diag_add(diag, NULL, 0, "the topology names no region that writes changes");
        return ERR_NOTFOUND;
    }
    bool here = !strcmp(writer->name, r->app->node->region);
    struct peer_request q = {.step = step, .nonce = nonce, .current = info->fingerprint};
    int rc = 0;
    if (step == PEER_NEXT) {
        rc = cert_peer_next_public(r->app->paths->certs, &pem);
        q.certificate = buf_cstr(&pem);
    }
    if (!rc)
        rc = nonce_get(r, t, writer->name, here, diag, nonce);
    if (!rc)
        rc = request_send(r, t, writer->name, here, &q, diag);
    return rc;
}

static void ask_and_note(struct rolling *r, const struct topology *t, enum peer_step step,
                         const struct cert_info *info)
{
    if (clock_mono_ms() < r->ask_at_mono_ms)
        return;
    struct diag diag;
    diag_init(&diag);
    int rc = ask(r, t, step, info, &diag);
    AUTO_FREE char *text = diag_text(&diag);
    diag_done(&diag);
    if (!rc) {
        r->n_failed = 0;
        r->ask_at_mono_ms = clock_mono_ms() + ASK_AGAIN_MS; // until the change comes here
        if (step == PEER_NEXT)
            waits_set(r, "the writer has named it; the change is on its way here");
        return;
    }
    const char *why = text;
    if (!why || !*why)
        why = err_text(rc);
    r->ask_at_mono_ms =
        clock_mono_ms() + wait_backoff_ms(r->n_failed++, ASK_AGAIN_MS, ASK_AGAIN_MAX_MS);
    static struct log_limit lim = LOG_LIMIT(60000);
    if (r->stopping)
        return;
    log_limited(&lim, LOG_WARN, "fleet: the new peer certificate waits: %s", why);
    if (step == PEER_NEXT)
        waits_set(r, "the writer is to name it, and does not yet: %s", why);
}

// --- what this region needs ---

// Is it in use since a roll whose first use the writer does not know?
static bool use_to_tell(struct rolling *r, const char *in_use)
{
    char key[sizeof PEER_ROLL_RECORD + HOSTNAME_REGION_SIZE];
    AUTO_BUF struct buf b;
    struct peer_record record;
    buf_init(&b, 4096);
    snprintf(key, sizeof key, PEER_ROLL_RECORD "%s", r->app->node->region);
    if (control_feed_record(r->app->feed, key, &b) || peer_record_parse(buf_cstr(&b), &record))
        return false;
    return !record.used_ms && !strcmp(record.next, in_use);
}

// Notes that the topology names that fingerprint of ours. To be called once the topology was seen:
// the feed's place is then that of its entry, or later.
static void named_note(struct rolling *r, const char *fingerprint, struct peer_spread_from *out)
{
    struct control_view v;
    control_feed_view(r->app->feed, &v);
    *out = (struct peer_spread_from){
        .own = {.place = v.place, .applied = v.applied, .epoch_from = v.epoch_from},
        .we_write = v.we_write};
    control_view_done(&v);
    pthread_mutex_lock(&r->lock);
    peer_named_note(&r->named, fingerprint, &out->own);
    out->place = r->named.place;
    pthread_mutex_unlock(&r->lock);
}

static void named_forget(struct rolling *r)
{
    pthread_mutex_lock(&r->lock);
    r->named.fingerprint[0] = 0;
    pthread_mutex_unlock(&r->lock);
}

static void own_look(struct rolling *r, const struct topology *t)
{
    struct cert_info info;
    char error[CERTS_ERROR_SIZE];
    if (certs_look(r->app->certs, CERT_PEER, &info, error) || !info.present)
        return;
    if (use_to_tell(r, info.fingerprint)) {
        ask_and_note(r, t, PEER_USED, &info);
    } else if (!info.next_fingerprint[0]) {
        waits_set(r, "%s", "");
        r->n_failed = 0;
    } else if (peer_names(t, r->app->node->region, info.next_fingerprint)) {
        struct peer_spread_from from;
        named_note(r, info.next_fingerprint, &from);
        certs_poke(r->app->certs);
    } else {
        named_forget(r);
        ask_and_note(r, t, PEER_NEXT, &info);
    }
}

static int spread_ask(struct rolling *r, const char *fingerprint, struct peer_spread *out)
{
    struct topology *t = snapshot_get(r->app->topology);
    struct peer_spread_from from;
    int rc = ERR_BUSY;
    named_note(r, fingerprint, &from);
    if (t && control_place_compare(&from.place, &from.own.place) <= 0) // stored here
        rc = peer_spread_ask(&r->caller, t, &from, out);
    snapshot_unref(t);
    return rc;
}

bool rolling_ready(struct rolling *r, const char *fingerprint)
{
    struct peer_spread s = {0};
    if (!r)
        return false;
    pthread_mutex_lock(&r->asking);
    int rc = ERR_CANCELED;
    if (!r->stopping)
        rc = spread_ask(r, fingerprint, &s);
    pthread_mutex_unlock(&r->asking);
    if (rc)
        return false;
    if (!s.enough) {
        waits_set(r, "the topology names it; not stored yet by %s, which must trust it first",
                  s.waits_for);
        return false;
    }
    log_info("fleet: %zu other regions have stored that the peer certificate %.16s is trusted, %zu "
             "are away",
             s.n_stored, fingerprint, s.n_away);
    return true;
}

// --- the thread ---

static void look(struct rolling *r)
{
    struct topology *t = snapshot_get(r->app->topology);
    if (!t)
        return;
    own_look(r, t);
    peer_roll_look(r->roll);
    snapshot_unref(t);
}

static void *thread_main(void *arg)
{
    struct rolling *r = arg;
    pthread_mutex_lock(&r->lock);
    while (!r->stopping) {
        pthread_mutex_unlock(&r->lock);
        look(r);
        pthread_mutex_lock(&r->lock);
        if (!r->stopping)
            wait_cond(&r->wake, &r->lock, LOOK_MS);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

// --- life ---

int rolling_start(const struct rolling_options *o, struct rolling **out)
{
    struct app *app = o->app;
    if (!app->feed || !app->keys)
        return 0;
    struct rolling *r = mem_zalloc(sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->o = *o;
    r->app = app;
    r->caller = (struct fleet_caller){.fetcher = app->fetcher,
                                      .ca_file = app->node->ca_file,
                                      .peer_pem = app->paths->peer_pem,
                                      .region = app->node->region,
                                      .stop = &r->stopping};
    pthread_mutex_init(&r->asking, NULL);
    pthread_mutex_init(&r->lock, NULL);
    wait_cond_init(&r->wake);
    int rc = rolling_writer_new(r, &r->roll);
    if (!rc && pthread_create(&r->thread, NULL, thread_main, r))
        rc = ERR_NOMEM;
    else if (!rc)
        r->runs = true;
    *out = r; // also after a failure: rolling_stop
    return rc;
}

void rolling_end(struct rolling *r)
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
    pthread_mutex_lock(&r->asking);
    pthread_mutex_unlock(&r->asking);
}

void rolling_stop(struct rolling *r)
{
    if (!r)
        return;
    rolling_end(r);
    peer_roll_free(r->roll);
    pthread_cond_destroy(&r->wake);
    pthread_mutex_destroy(&r->lock);
    pthread_mutex_destroy(&r->asking);
    free(r);
}

void rolling_begin(struct rolling *r, struct http_request *req, const struct region *peer,
                   struct http_plan *plan)
{
    peer_roll_begin(r ? r->roll : NULL, req, peer, plan);
}
