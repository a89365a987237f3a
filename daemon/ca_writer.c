// SPDX-License-Identifier: Apache-2.0
// The record of a change of the private CA, into the feed: by this node where it writes, else by
// asking the writer; and what the writer does when it is asked. See ca_rolling_priv.h.
#include "daemon/ca_rolling_priv.h"

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "certs/signed_text.h"
#include "certs/trust.h"
#include "daemon/auditing.h"
#include "daemon/writer_post.h"
#include "net/refuse.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

void ca_writer_note(struct ca_rolling *r, const struct http_request *req, const char *what,
                    const char *fingerprint, const char *why)
{
    struct audit_event e = {.what = "private_ca",
                            .outcome = why ? "refused" : "done",
                            .why = why,
                            .detail = what,
                            .reference = fingerprint};
    auditing_note(r->app, req, &e);
    static struct log_limit lim = LOG_LIMIT(1000);
    if (why)
        log_limited(&lim, LOG_WARN, "certs: the private CA (%s): %s", what, why);
    else
        log_info("certs: the private CA %.16s: %s", fingerprint, what);
}

// --- this node writes ---

static int append(struct ca_rolling *r, const struct ca_record *record, const char *by,
                  const struct control_place *expect, struct diag *diag)
{
    AUTO_BUF struct buf b;
    buf_init(&b, CA_ROLL_RECORD_BYTES);
    int rc = ca_record_format(record, &b);
    if (rc)
        return rc;
    const struct control_record one = {CA_ROLL_RECORD, buf_cstr(&b)};
    struct control_draft d = {.by = by, .records = &one, .n_records = 1};
    struct control_place place;
    if (expect)
        d.expect = *expect;
    rc = control_feed_append(r->app->feed, &d, diag, &place);
    if (rc == ERR_EXISTS)
        return 0;
    return rc;
}

// --- another region does ---

static int ask(struct ca_rolling *r, const struct ca_look *x, const struct ca_record *record,
               struct diag *diag)
{
    AUTO_BUF struct buf body, answer;
    buf_init(&body, SIGNED_TEXT_MAX_BYTES);
    buf_init(&answer, WRITER_ANSWER_BYTES);
    int rc = ca_request_format(x->t, r->app->node->region, record, &x->place,
                               (struct region_keys *)r->app->keys, &body);
    if (rc)
        return rc;
    return writer_post(&r->caller, x->t, x->writer, CA_ROLL_PATH, bytes_of(body.p, body.n), diag,
                       &answer);
}

int ca_writer_put(struct ca_rolling *r, const struct ca_look *x, const struct ca_record *record,
                  bool firm, struct diag *diag)
{
    int rc;
    if (x->we_write)
        rc = append(r, record, NULL, firm ? &x->place : NULL, diag);
    else
        rc = ask(r, x, record, diag);
    if (!rc)
        ca_writer_note(r, NULL, ca_step_name(record->step), record->next, NULL);
    return rc;
}

// --- the writer is asked ---

static int judge(struct ca_rolling *r, const struct topology *t, const struct ca_record *record,
                 struct diag *diag)
{
    struct ca_record now;
    char fingerprint[65];
    int rc = ca_look_record(r, &now);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    const struct ca_record *was = NULL;
    if (!rc)
        was = &now;
    rc = ca_record_may_follow(was, record, diag);
    if (!rc)
        rc = trust_judge(bytes_str(record->certificate), t->domain, record->made_ms, diag,
                         fingerprint);
    if (rc || !strcmp(fingerprint, record->next))
        return rc;
    return signed_text_refuse(diag, "its certificate is not that of the CA which it names");
}

static int request_take(struct ca_rolling *r, const struct topology *t, const char *region,
                        struct bytes body, struct diag *diag, struct ca_record *out)
{
    struct control_place place;
    char by[HOSTNAME_REGION_SIZE + 16];
    int rc = ca_request_parse(t, region, body, diag, out, &place);
    if (!rc)
        rc = judge(r, t, out, diag);
    if (rc)
        return rc;
    snprintf(by, sizeof by, "region:%s", region);
    return append(r, out, by, &place, diag); // that place: it is good once
}

static void request_run(struct http_request *req, struct http_response *resp)
{
    const struct ca_asker *k = req->ctx;
    struct ca_rolling *r = k->r;
    struct ca_record record = {0};
    struct diag diag;
    diag_init(&diag);
    struct topology *t = snapshot_get(r->app->topology);
    int rc = ERR_BUSY;
    if (t && !r->stopping)
        rc = request_take(r, t, k->region, req->body, &diag, &record);
    snapshot_unref(t);
    AUTO_FREE char *text = diag_text(&diag);
    diag_done(&diag);
    const char *why = text;
    if (!why || !*why)
        why = err_text(rc);
    if (!rc)
        ca_writer_note(r, req, ca_step_name(record.step), record.next, NULL);
    else if (rc == ERR_DENIED)
        ca_writer_note(r, req, "refused", NULL, why);
    if (!rc)
        serve_json(req, resp, json_pack("{s:s}", "step", ca_step_name(record.step)));
    else if (rc == ERR_DENIED || rc == ERR_INVAL)
        http_refuse(req, resp, 403, REFUSED_DENIED, "%s", why);
    else if (rc == ERR_CONFLICT)
        http_refuse(req, resp, 409, REFUSED_DENIED, "%s", why);
    else
        http_refuse(req, resp, 503, REFUSED_UNAVAILABLE, "%s", why);
}

void ca_writer_begin(struct ca_rolling *r, struct http_request *req, const struct region *peer,
                     struct http_plan *plan)
{
    struct ca_asker *k = arena_alloc(&req->arena, sizeof *k);
    const char *region = arena_strdup(&req->arena, peer->name);
    if (!k || !region) {
        serve_refuse(req, &plan->response, 503, "out of memory");
        return;
    }
    *k = (struct ca_asker){r, region};
    *plan = (struct http_plan){
        .kind = HTTP_PLAN_COLLECT, .body_max = SIGNED_TEXT_MAX_BYTES, .run = request_run, .ctx = k};
}
