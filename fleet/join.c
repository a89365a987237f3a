// SPDX-License-Identifier: Apache-2.0
// Joining, at the writer and at the CA's region; see join.h. join_begin runs on HTTP threads; the
// rest on the pool, one join at a time.
#include "fleet/join.h"

#include "base/err.h"
#include "base/mem.h"
#include "certs/joiner.h"
#include "control/sections.h"
#include "fleet/fleet.h"
#include "fleet/join_answer.h"
#include "net/edge.h"
#include "net/refuse.h"

#include <pthread.h>
#include <string.h>

#define KEY_SIZE 64
#define ARENA_BYTES (64u << 20) // most that one request may take: frames are documents
#define TRIES 4                 // when others change the topology meanwhile

struct join {
    struct join_deps d;
    pthread_mutex_t lock;
    // a join is under way
    bool busy;
};

int join_new(const struct join_deps *deps, struct join **out)
{
    struct join *j = mem_zalloc(sizeof *j);
    if (!j)
        return ERR_NOMEM;
    j->d = *deps;
    pthread_mutex_init(&j->lock, NULL);
    *out = j;
    return 0;
}

void join_free(struct join *j)
{
    if (!j)
        return;
    pthread_mutex_destroy(&j->lock);
    free(j);
}

static bool busy_set(struct join *j, bool busy)
{
    pthread_mutex_lock(&j->lock);
    bool was = j->busy;
    j->busy = busy;
    pthread_mutex_unlock(&j->lock);
    return was;
}

// --- what is asked, and by whom ---

struct asked {
    struct join *j;
    struct join_request q;
    struct join_record r;
    char key[KEY_SIZE], identity[65];
    struct bytes body;
    struct arena *a;
    struct diag *diag;
};

static int record_read(struct asked *x)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    snprintf(x->key, sizeof x->key, JOIN_RECORD_PREFIX "%s", x->q.token);
    int rc = x->j->d.record(x->j->d.ctx, x->key, &text);
    if (!rc)
        rc = join_record_parse(buf_cstr(&text), x->a, &x->r);
    if (rc == ERR_NOTFOUND || rc == ERR_INVAL) {
        diag_add(x->diag, NULL, 0, "the fleet knows no join token %s", x->q.token);
        return ERR_NOTFOUND;
    }
    return rc;
}

// Form, fleet, token and both signatures.
static int asked_read(struct asked *x, const struct topology *t)
{
    int rc = join_request_parse(x->body, x->a, x->diag, &x->q);
    if (rc)
        return rc;
    if (strcmp(x->q.domain, t->domain) != 0) {
        diag_add(x->diag, NULL, 0, "the request to join is refused: it is for the fleet of %s",
                 x->q.domain);
        return ERR_DENIED;
    }
    rc = record_read(x);
    if (!rc)
        rc = join_request_verify(&x->q, x->r.key, x->diag);
    if (rc)
        return rc;
    return join_request_identity(&x->q, x->identity);
}

static int record_write(struct asked *x, const struct join_record *r, struct bytes frame,
                        uint64_t version)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    int rc = join_record_format(r, &text);
    if (rc)
        return rc;
    const struct join_change c = {.expect_topology = version,
                                  .frame = frame,
                                  .record_key = x->key,
                                  .record = buf_cstr(&text)};
    return x->j->d.append(x->j->d.ctx, &c, x->diag);
}

// --- the steps ---

static int use_note(struct asked *x)
{
    struct join_record r = x->r;
    r.state = JOIN_USED;
    r.joiner = x->identity;
    r.used_ms = x->j->d.now_ms(x->j->d.ctx);
    int rc = record_write(x, &r, (struct bytes){0}, 0);
    if (!rc)
        x->r = r;
    return rc;
}

// Noted once: an entry for each try would let a stranger write the ledger.
static void contest_note(struct asked *x)
{
    if (x->r.refused_ms)
        return;
    struct join_record r = x->r;
    struct diag own;
    diag_init(&own);
    struct asked y = *x;
    y.diag = &own;
    r.refused_ms = x->j->d.now_ms(x->j->d.ctx);
    record_write(&y, &r, (struct bytes){0}, 0);
    diag_done(&own);
}

// One try, on the topology in force. ERR_CONFLICT: it changed meanwhile (or it cannot be: then
// `diag` has a sentence).
static int region_try(struct asked *x, const struct join_record *r, const char *fingerprint)
{
    struct topology *t = x->j->d.topology(x->j->d.ctx);
    if (!t)
        return ERR_BUSY;
    AUTO_BUF struct buf frame;
    buf_init(&frame, 0);
    int rc = ERR_UNSUPPORTED;
    if (t->frame->text)
        rc = join_frame(t, t->frame->text, t->frame->text_n, &x->q, fingerprint, r->replace,
                        x->j->d.now_ms(x->j->d.ctx) / 1000, x->a, x->diag, &frame);
    if (!rc)
        rc = record_write(x, r, bytes_of(frame.p, frame.n), t->version);
    else if (rc == ERR_EXISTS)
        rc = record_write(x, r, (struct bytes){0}, 0);
    snapshot_unref(t);
    return rc;
}

static int region_enter(struct asked *x, const char *certificate)
{
    char fingerprint[65];
    struct join_record r = x->r;
    r.state = JOIN_JOINED;
    r.certificate = certificate;
    int rc = certs_fingerprint(bytes_str(certificate), fingerprint);
    if (rc)
        return rc;
    struct diag *const diag = x->diag;
    for (int i = 0; i < TRIES; i++) {
        struct diag own;
        diag_init(&own);
        x->diag = &own;
        rc = region_try(x, &r, fingerprint);
        x->diag = diag;
        bool again = rc == ERR_CONFLICT && i + 1 < TRIES;
        for (size_t k = 0; k < own.n && !again; k++)
            diag_add(diag, NULL, 0, "%s", own.lines[k]);
        diag_done(&own);
        if (!again)
            break;
    }
    if (!rc)
        x->r = r;
    return rc;
}

static int go_on(struct asked *x)
{
    AUTO_BUF struct buf pem;
    buf_init(&pem, 64u << 10);
    struct topology *t = x->j->d.topology(x->j->d.ctx);
    if (!t)
        return ERR_BUSY;
    int rc = x->j->d.certificate(x->j->d.ctx, t, &x->q, x->body, x->diag, &pem);
    snapshot_unref(t);
    if (rc)
        return rc;
    const char *certificate = arena_strdup(x->a, buf_cstr(&pem));
    if (!certificate)
        return ERR_NOMEM;
    return region_enter(x, certificate);
}

static int answer_make(struct asked *x, struct buf *out)
{
    AUTO_BUF struct buf ca;
    buf_init(&ca, 64u << 10);
    struct topology *t = x->j->d.topology(x->j->d.ctx);
    if (!t || !t->frame->text) {
        snapshot_unref(t);
        return ERR_BUSY;
    }
    int rc = x->j->d.ca(x->j->d.ctx, &ca);
    AUTO_FREE char *whole = mem_strndup(t->frame->text, t->frame->text_n);
    AUTO_BUF struct buf frame;
    buf_init(&frame, JOIN_ANSWER_MAX_BYTES);
    if (whole)
        // version 1: whatever base of the feed the joiner reads first is later than that
        edit_sections(whole, NULL, 0, 1, &frame);
    if (!rc && (!whole || frame.err))
        rc = ERR_NOMEM;
    const struct join_answer w = {.domain = t->domain,
                                  .token = x->q.token,
                                  .region = x->q.row.name,
                                  .joiner = x->identity,
                                  .ca = buf_cstr(&ca),
                                  .certificate = x->r.certificate,
                                  .topology = buf_cstr(&frame)};
    if (!rc)
        rc = join_answer_format(&w, x->j->d.keys, out);
    snapshot_unref(t);
    return rc;
}

// The same answer needs no writing: a fleet whose second region has joined and does not run yet has no
// majority that could confirm the writer.
static int take(struct asked *x, bool *out_contested, struct buf *out)
{
    int64_t now_ms = x->j->d.now_ms(x->j->d.ctx);
    int rc = 0;
    switch (join_record_judge(&x->r, &x->q, x->identity, now_ms, x->diag)) {
    case JOIN_CONTEST:
        *out_contested = true;
        contest_note(x);
        return ERR_DENIED;
    case JOIN_REFUSE:
        return ERR_DENIED;
    case JOIN_TAKE:
        rc = x->j->d.writer(x->j->d.ctx, x->diag);
        if (!rc)
            rc = use_note(x);
        if (!rc)
            rc = go_on(x);
        break;
    case JOIN_GO_ON:
        rc = x->j->d.writer(x->j->d.ctx, x->diag);
        if (!rc)
            rc = go_on(x);
        break;
    case JOIN_AGAIN:
        break;
    }
    if (rc)
        return rc;
    return answer_make(x, out);
}

static int begin(struct asked *x)
{
    struct diag own; // that it is not confirmed is said where it matters
    diag_init(&own);
    int rc = x->j->d.writer(x->j->d.ctx, &own);
    if (rc == ERR_BUSY)
        rc = 0;
    for (size_t i = 0; i < own.n && rc; i++)
        diag_add(x->diag, NULL, 0, "%s", own.lines[i]);
    diag_done(&own);
    struct topology *t = NULL;
    if (!rc)
        t = x->j->d.topology(x->j->d.ctx);
    if (!rc && !t)
        rc = ERR_BUSY;
    if (!rc)
        rc = asked_read(x, t);
    snapshot_unref(t);
    return rc;
}

static int join_asked(struct asked *x, bool *out_contested, struct buf *out)
{
    int rc = begin(x);
    if (rc)
        return rc;
    if (busy_set(x->j, true)) {
        diag_add(x->diag, NULL, 0, "another region is joining at this moment: ask again");
        return ERR_BUSY;
    }
    rc = record_read(x); // it may have changed while others were at it
    if (!rc)
        rc = take(x, out_contested, out);
    busy_set(x->j, false);
    return rc;
}

int join_take(struct join *j, struct bytes body, struct arena *a, struct diag *diag,
              bool *out_contested, struct buf *out_answer)
{
    struct asked x = {.j = j, .body = body, .a = a, .diag = diag};
    *out_contested = false;
    return join_asked(&x, out_contested, out_answer);
}

// --- the CA's region ---

static int issue_asked(struct asked *x, struct buf *out_pem)
{
    struct topology *t = x->j->d.topology(x->j->d.ctx);
    if (!t)
        return ERR_BUSY;
    int rc = asked_read(x, t);
    if (!rc) {
        enum join_verdict v =
            join_record_judge(&x->r, &x->q, x->identity, x->j->d.now_ms(x->j->d.ctx), x->diag);
        if (v == JOIN_TAKE) {
            diag_add(x->diag, NULL, 0, "the use of join token %s has not arrived here yet",
                     x->q.token);
            rc = ERR_BUSY;
        } else if (v != JOIN_GO_ON && v != JOIN_AGAIN) {
            rc = ERR_DENIED;
        }
    }
    if (!rc)
        rc = x->j->d.issue(x->j->d.ctx, t, x->q.row.name, bytes_str(x->q.csr), x->diag, out_pem);
    snapshot_unref(t);
    return rc;
}

int join_issue(struct join *j, struct bytes body, struct arena *a, struct diag *diag,
               struct buf *out_pem)
{
    struct asked x = {.j = j, .body = body, .a = a, .diag = diag};
    return issue_asked(&x, out_pem);
}

// --- HTTP ---

static void answer_refuse(struct http_request *req, struct http_response *resp, int rc,
                          const struct diag *diag)
{
    AUTO_FREE char *text = diag_text(diag);
    const char *why = text;
    if (!why || !*why)
        why = err_text(rc);
    switch (rc) {
    case ERR_INVAL:
    case ERR_TOOBIG:
        http_refuse(req, resp, 400, REFUSED_INVALID, "%s", why);
        break;
    case ERR_DENIED:
    case ERR_NOTFOUND:
        http_refuse(req, resp, 403, REFUSED_DENIED, "%s", why);
        break;
    case ERR_CONFLICT:
        http_refuse(req, resp, 409, REFUSED_DENIED, "%s", why);
        break;
    case ERR_BUSY:
    case ERR_TIMEOUT:
    case ERR_UNREACHABLE:
        http_refuse(req, resp, 503, REFUSED_UNAVAILABLE, "%s", why);
        break;
    default:
        http_refuse(req, resp, 500, REFUSED_FAILED, "%s", why);
    }
}

static void note(struct asked *x, const struct http_request *req, int rc, bool contested)
{
    const struct join_deps *d = &x->j->d;
    AUTO_FREE char *why = diag_text(x->diag);
    enum join_noted what = JOIN_NOTED_REFUSED;
    if (!rc)
        what = JOIN_NOTED_JOINED;
    else if (contested)
        what = JOIN_NOTED_CONTESTED;
    if (d->note && rc != ERR_BUSY)
        d->note(d->ctx, what, req, x->q.token, x->q.row.name, why);
}

static void region_run(struct http_request *req, struct http_response *resp)
{
    struct diag diag;
    diag_init(&diag);
    struct arena own;
    arena_init(&own, ARENA_BYTES);
    struct asked x = {.j = req->ctx, .body = req->body, .a = &own, .diag = &diag};
    AUTO_BUF struct buf answer;
    buf_init(&answer, JOIN_ANSWER_MAX_BYTES);
    bool contested = false;
    int rc = join_asked(&x, &contested, &answer);
    note(&x, req, rc, contested);
    if (!rc)
        rc = fleet_answer_text(resp, "application/json", &answer);
    if (rc)
        answer_refuse(req, resp, rc, &diag);
    diag_done(&diag);
    arena_done(&own);
}

static void certificate_run(struct http_request *req, struct http_response *resp)
{
    struct diag diag;
    diag_init(&diag);
    AUTO_BUF struct buf pem;
    buf_init(&pem, 64u << 10);
    struct arena own;
    arena_init(&own, ARENA_BYTES);
    int rc = join_issue(req->ctx, req->body, &own, &diag, &pem);
    if (!rc)
        rc = fleet_answer_text(resp, "application/x-pem-file", &pem);
    if (rc)
        answer_refuse(req, resp, rc, &diag);
    diag_done(&diag);
    arena_done(&own);
}

void join_begin(struct join *j, struct http_request *req, const struct region *peer,
                struct http_plan *plan)
{
    plan->kind = HTTP_PLAN_REPLY;
    bool region = !strcmp(req->path, EDGE_JOIN_PATH),
         certificate = !strcmp(req->path, JOIN_CERTIFICATE_PATH) && peer;
    if (!j || req->listener != LISTENER_PEER || (!region && !certificate)) {
        serve_refuse(req, &plan->response, 404, "nothing is served under this path here");
        return;
    }
    if (req->method != HTTP_POST) {
        serve_method(req, &plan->response, "POST", "a region asks to join by POST");
        return;
    }
    plan->kind = HTTP_PLAN_COLLECT;
    plan->body_max = JOIN_REQUEST_MAX_BYTES;
    plan->ctx = j;
    plan->run = region_run;
    if (certificate)
        plan->run = certificate_run;
}
