// SPDX-License-Identifier: Apache-2.0
// Joining and shared secrets of a node; see joining.h. Handlers run on the pool of requests.
#include "daemon/joining.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "certs/joiner.h"
#include "control/feed.h"
#include "fleet/fleet.h"
#include "fleet/join.h"
#include "fleet/secrets.h"
#include "net/edge.h"
#include "net/refuse.h"

#include <jansson.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#define LOOK_MS 2000
#define CA_WAIT_MS 15000 // until the CA's region has the use of a token in its ledger
#define CA_PAUSE_MS 200
#define CA_ASK_MS 10000
#define PEM_BYTES (64u << 10)

struct joining {
    struct app *app;
    struct joining_tell tell;
    struct join *join;
    struct fleet_caller caller;
    struct secrets_places places;
    // guards `wake` and `poked`
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool poked;
    _Atomic bool stopping;
    pthread_t thread;
    bool runs;
};

// --- what joining stands on ---

static int64_t dep_now(void *ctx)
{
    (void)ctx;
    return clock_wall_ms();
}

static int dep_writer(void *ctx, struct diag *diag)
{
    const struct joining *j = ctx;
    struct control_view v;
    control_feed_view(j->app->feed, &v);
    int rc = 0;
    if (!v.we_write) {
        diag_add(diag, NULL, 0,
                 "%s is not the writer any more, %s is: make another join token there",
                 j->app->node->region, v.writer);
        rc = ERR_CONFLICT;
    } else if (!v.confirmed || !v.owned) {
        diag_add(diag, NULL, 0,
                 "the writer %s has not heard a majority of the regions yet: ask again", v.writer);
        rc = ERR_BUSY;
    }
    control_view_done(&v);
    return rc;
}

static struct topology *dep_topology(void *ctx)
{
    const struct joining *j = ctx;
    return snapshot_get(j->app->topology);
}

static int dep_record(void *ctx, const char *key, struct buf *out)
{
    const struct joining *j = ctx;
    return control_feed_record(j->app->feed, key, out);
}

static int dep_append(void *ctx, const struct join_change *c, struct diag *diag)
{
    const struct joining *j = ctx;
    const struct control_record record = {c->record_key, c->record};
    const struct control_draft d = {.by = j->app->node->region,
                                    .expect_topology = c->expect_topology,
                                    .frame = c->frame,
                                    .records = &record,
                                    .n_records = 1};
    struct control_place place;
    int rc = control_feed_append(j->app->feed, &d, diag, &place);
    if (rc == ERR_EXISTS)
        return 0;
    return rc;
}

static int dep_ca(void *ctx, struct buf *out)
{
    const struct joining *j = ctx;
    return file_read(j->app->node->ca_file, PEM_BYTES, out);
}

static int dep_issue(void *ctx, const struct topology *t, const char *region, struct bytes csr,
                     struct diag *diag, struct buf *out)
{
    const struct joining *j = ctx;
    return certs_issue_joiner(j->app->certs, t, region, csr, diag, out);
}

static int ca_ask(struct joining *j, const struct topology *t, struct bytes request,
                  struct diag *diag, struct buf *out)
{
    struct fleet_call call;
    struct fetch_result r;
    int rc = fleet_call_make(&j->caller, t, t->ca_region, JOIN_CERTIFICATE_PATH, &call);
    if (rc)
        return rc;
    call.q.method = "POST";
    call.q.body = request;
    call.q.timeout_ms = CA_ASK_MS;
    call.q.max_bytes = PEM_BYTES;
    rc = fetch_run(j->app->fetcher, &call.q, &r);
    if (rc) {
        diag_add(diag, NULL, 0, "%s, which answers for the CA, cannot be asked: %s", t->ca_region,
                 r.message);
        rc = ERR_UNREACHABLE;
    } else if (r.status != 200) {
        diag_add(diag, NULL, 0, "%s, which answers for the CA, issues nothing (status %d): %.300s",
                 t->ca_region, r.status, buf_cstr(&r.body));
        rc = r.status == 503 ? ERR_BUSY : ERR_DENIED;
    } else {
        buf_add(out, r.body.p, r.body.n);
        rc = out->err;
    }
    fetch_result_done(&r);
    return rc;
}

static int dep_certificate(void *ctx, const struct topology *t, const struct join_request *q,
                           struct bytes request, struct diag *diag, struct buf *out)
{
    struct joining *j = ctx;
    if (certs_has_ca(j->app->certs))
        return dep_issue(ctx, t, q->row.name, bytes_str(q->csr), diag, out);
    if (!t->ca_region || !strcmp(t->ca_region, j->app->node->region)) {
        diag_add(
            diag, NULL, 0,
            "no region answers for the CA: set ca_dir where it is, and certificates: ca_region "
            "in the topology");
        return ERR_UNREACHABLE;
    }
    int64_t until = clock_mono_ms() + CA_WAIT_MS;
    for (;;) {
        struct diag own;
        diag_init(&own);
        int rc = ca_ask(j, t, request, &own, out);
        bool again = rc == ERR_BUSY && clock_mono_ms() < until && !j->stopping;
        for (size_t i = 0; i < own.n && !again; i++)
            diag_add(diag, NULL, 0, "%s", own.lines[i]);
        diag_done(&own);
        if (!again)
            return rc;
        clock_sleep_ms(CA_PAUSE_MS);
    }
}

static void dep_note(void *ctx, enum join_noted what, const struct http_request *req,
                     const char *token, const char *region, const char *why)
{
    const struct joining *j = ctx;
    static const char *const outcomes[] = {"done", "refused", "refused"};
    if (!token)
        token = "?";
    if (!region)
        region = "?";
    const struct audit_event e = {.what = "join",
                                  .outcome = outcomes[what],
                                  .client = req->client,
                                  .why = why,
                                  .request_id = req->request_id,
                                  .detail = region,
                                  .reference = token,
                                  .stranger = what == JOIN_NOTED_REFUSED};
    if (j->app->audit)
        audit_write(j->app->audit, &e);
    static struct log_limit lim = LOG_LIMIT(1000);
    if (what == JOIN_NOTED_JOINED)
        log_info("join: %s is a region of the fleet, with join token %s", region, token);
    else if (what == JOIN_NOTED_CONTESTED)
        log_error("join: somebody with other keys shows join token %s of %s, which was used: %s",
                  token, region, why ? why : "");
    else
        log_limited(&lim, LOG_WARN, "join: refused (token %s, region %s): %s", token, region,
                    why ? why : "");
}

// --- shared secrets ---

// {"sha256":hex} of the ledger. False: nothing is said there.
static bool cookies_said(struct joining *j, char out[65])
{
    AUTO_BUF struct buf b;
    buf_init(&b, 4096);
    if (control_feed_record(j->app->feed, SECRETS_RECORD, &b))
        return false;
    json_t *o = json_loadb(buf_cstr(&b), b.n, 0, NULL);
    const char *hex = json_string_value(json_object_get(o, "sha256"));
    bool good = hex && strlen(hex) == 64;
    if (good)
        memcpy(out, hex, 65);
    json_decref(o);
    return good;
}

// At the writer its own file is what all have.
static void cookies_publish(struct joining *j)
{
    AUTO_BUF struct buf b;
    buf_init(&b, SECRET_MAX_BYTES);
    uint8_t sum[SHA256_BYTES];
    char hex[65], said[65];
    if (!j->places.cookies || file_read_secret(j->places.cookies, SECRET_MAX_BYTES, &b))
        return;
    sha256(b.p, b.n, sum);
    explicit_bzero(b.p, b.n);
    hex_format(sum, sizeof sum, hex);
    if (cookies_said(j, said) && !strcmp(said, hex))
        return;
    char value[128];
    snprintf(value, sizeof value, "{\"sha256\":\"%s\"}", hex);
    const struct join_change c = {.record_key = SECRETS_RECORD, .record = value};
    struct diag diag;
    diag_init(&diag);
    int rc = dep_append(j, &c, &diag);
    if (rc)
        log_warn("fleet: the new secret of DNS cookies is not made known to the other regions yet: "
                 "%s",
                 err_text(rc));
    else
        log_info("fleet: the secret of DNS cookies has changed; the other regions follow");
    diag_done(&diag);
}

static void secrets_look(struct joining *j, const struct topology *t)
{
    char said[65];
    bool known = cookies_said(j, said);
    const struct secrets_asker by = {&j->caller, (struct region_keys *)j->app->keys, &j->places};
    struct diag diag;
    diag_init(&diag);
    size_t n = 0;
    int rc = secrets_fetch(&by, t, known ? said : NULL, &diag, &n);
    if (n) {
        log_info("fleet: %zu shared secret%s came from other regions", n, n == 1 ? "" : "s");
        if (j->tell.secrets)
            j->tell.secrets(j->tell.ctx);
    }
    static struct log_limit lim = LOG_LIMIT(60000);
    AUTO_FREE char *text = diag_text(&diag);
    if (rc)
        log_limited(&lim, LOG_WARN, "fleet: %s", text && *text ? text : err_text(rc));
    diag_done(&diag);
}

static void look(struct joining *j)
{
    struct topology *t = snapshot_get(j->app->topology);
    struct control_view v;
    if (!t)
        return;
    control_feed_view(j->app->feed, &v);
    if (v.we_write && v.confirmed && v.owned)
        cookies_publish(j);
    else if (!v.we_write || t->n_regions > 1)
        secrets_look(j, t);
    control_view_done(&v);
    snapshot_unref(t);
}

static void rest(struct joining *j)
{
    int64_t until_ms = clock_kernel_mono_us() / 1000 + LOOK_MS;
    const struct timespec ts = {until_ms / 1000, until_ms % 1000 * 1000000};
    pthread_mutex_lock(&j->lock);
    while (!j->stopping && !j->poked)
        if (pthread_cond_timedwait(&j->wake, &j->lock, &ts))
            break;
    j->poked = false;
    pthread_mutex_unlock(&j->lock);
}

static void *thread_main(void *arg)
{
    struct joining *j = arg;
    while (!j->stopping) {
        look(j);
        rest(j);
    }
    return NULL;
}

static void poke(void *ctx)
{
    struct joining *j = ctx;
    pthread_mutex_lock(&j->lock);
    j->poked = true;
    pthread_cond_signal(&j->wake);
    pthread_mutex_unlock(&j->lock);
}

// --- life ---

static int join_of(struct joining *j)
{
    const struct join_deps d = {.ctx = j,
                                .now_ms = dep_now,
                                .writer = dep_writer,
                                .topology = dep_topology,
                                .record = dep_record,
                                .append = dep_append,
                                .certificate = dep_certificate,
                                .issue = dep_issue,
                                .ca = dep_ca,
                                .note = dep_note,
                                .keys = j->app->keys};
    return join_new(&d, &j->join);
}

int joining_start(struct app *app, const struct joining_tell *tell, struct joining **out)
{
    if (!app->feed || !app->keys)
        return 0;
    struct joining *j = mem_zalloc(sizeof *j);
    if (!j)
        return ERR_NOMEM;
    j->app = app;
    j->tell = *tell;
    j->caller = (struct fleet_caller){.fetcher = app->fetcher,
                                      .ca_file = app->node->ca_file,
                                      .peer_pem = app->paths->peer_pem,
                                      .region = app->node->region,
                                      .stop = &j->stopping};
    j->places = (struct secrets_places){.dns_dir = app->node->resolver.signing.keys_dir,
                                        .tsig_dir = app->node->resolver.tsig_dir,
                                        .cookies = app->node->resolver.cookies.secret};
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int rc = join_of(j);
    if (!rc)
        rc = control_feed_tell(app->feed, poke, j);
    if (!rc && pthread_create(&j->thread, NULL, thread_main, j))
        rc = ERR_NOMEM;
    else if (!rc)
        j->runs = true;
    *out = j; // also after a failure: joining_stop
    return rc;
}

void joining_end(struct joining *j)
{
    if (!j || j->stopping)
        return;
    pthread_mutex_lock(&j->lock);
    j->stopping = true;
    pthread_cond_signal(&j->wake);
    pthread_mutex_unlock(&j->lock);
    if (j->runs)
        pthread_join(j->thread, NULL);
    j->runs = false;
    control_feed_untell(j->app->feed, poke, j);
}

void joining_stop(struct joining *j)
{
    if (!j)
        return;
    joining_end(j);
    join_free(j->join);
    pthread_cond_destroy(&j->wake);
    pthread_mutex_destroy(&j->lock);
    free(j);
}

// --- requests ---

bool joining_is_path(const char *path)
{
    return !strncmp(path, "/join/", 6) || !strcmp(path, SECRETS_PATH);
}

struct secrets_ask_ctx { // of one request; hangs off its arena
    struct joining *j;
    const char *peer;
};

static void secrets_run(struct http_request *req, struct http_response *resp)
{
    const struct secrets_ask_ctx *x = req->ctx;
    struct app *app = x->j->app;
    struct topology *t = snapshot_get(app->topology);
    struct diag diag;
    diag_init(&diag);
    AUTO_BUF struct buf answer;
    buf_init(&answer, SECRETS_ANSWER_MAX_BYTES);
    int rc = ERR_NOTFOUND;
    if (t && !x->j->stopping)
        rc = secrets_answer(&x->j->places, t, (struct region_keys *)app->keys, app->node->region,
                            x->peer, req->body, &diag, &answer);
    AUTO_FREE char *text = diag_text(&diag);
    if (!rc)
        log_info("fleet: shared secrets were given to %s", x->peer);
    else if (rc != ERR_NOTFOUND)
        log_warn("fleet: %s asks for shared secrets: %s", x->peer, text ? text : err_text(rc));
    if (!rc)
        rc = fleet_answer_text(resp, "application/json", &answer);
    if (rc == ERR_DENIED)
        http_refuse(req, resp, 403, REFUSED_DENIED, "%s", text ? text : err_text(rc));
    else if (rc == ERR_INVAL)
        http_refuse(req, resp, 400, REFUSED_INVALID, "%s", text ? text : err_text(rc));
    else if (rc == ERR_NOTFOUND)
        http_refuse(req, resp, 404, REFUSED_NOT_FOUND, "%s", text ? text : err_text(rc));
    else if (rc)
        http_refuse(req, resp, 503, REFUSED_UNAVAILABLE, "%s", err_text(rc));
    diag_done(&diag);
    snapshot_unref(t);
}

static void secrets_begin(struct joining *j, struct http_request *req, const struct region *peer,
                          struct http_plan *plan)
{
    struct secrets_ask_ctx *x = arena_alloc(&req->arena, sizeof *x);
    const char *name = arena_strdup(&req->arena, peer->name);
    if (!x || !name) {
        serve_refuse(req, &plan->response, 503, "out of memory");
        return;
    }
    *x = (struct secrets_ask_ctx){j, name};
    plan->kind = HTTP_PLAN_COLLECT;
    plan->body_max = SECRETS_REQUEST_MAX_BYTES;
    plan->run = secrets_run;
    plan->ctx = x;
}

void joining_begin(struct app *app, struct http_request *req, const struct region *peer,
                   struct http_plan *plan)
{
    struct joining *j = app->joining;
    plan->kind = HTTP_PLAN_REPLY;
    if (strcmp(req->path, SECRETS_PATH) != 0) {
        join_begin(j ? j->join : NULL, req, peer, plan);
        return;
    }
    if (!j || !peer || req->method != HTTP_POST) {
        serve_refuse(req, &plan->response, 404, "nothing is served under this path here");
        return;
    }
    secrets_begin(j, req, peer, plan);
}

// --- looking ---

static bool token_add(void *ctx, const char *key, const char *value)
{
    json_t *list = ctx, *o = json_loads(value, 0, NULL);
    (void)key;
    char at[CLOCK_TEXT_SIZE];
    static const char *const times[] = {"created", "expires", "used", "refused"};
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        int64_t ms = json_integer_value(json_object_get(o, times[i]));
        if (ms)
            json_object_set_new(o, times[i], json_string(clock_format(ms, at)));
    }
    json_object_del(o, "certificate");
    if (o)
        json_array_append_new(list, o);
    return true;
}

void joining_get_tokens(struct app *app, struct http_request *req, struct http_response *resp)
{
    AUTO_BUF struct buf ca;
    buf_init(&ca, PEM_BYTES);
    if (!app->feed || !app->joining) {
        serve_refuse(req, resp, 409,
                     "this node takes its topology from files: no region joins by a token (see "
                     "`meridian control adopt`)");
        return;
    }
    int rc = dep_ca(app->joining, &ca);
    json_t *tokens = json_array();
    control_feed_records(app->feed, JOIN_RECORD_PREFIX, token_add, tokens);
    if (rc) {
        json_decref(tokens);
        serve_refuse(req, resp, 503, "the CA's certificate cannot be read here");
        return;
    }
    serve_json(req, resp, json_pack("{s:s, s:o}", "ca", buf_cstr(&ca), "tokens", tokens));
}

struct alarm {
    char *out;
    size_t cap;
    bool found;
};

static bool alarm_look(void *ctx, const char *key, const char *value)
{
    struct alarm *a = ctx;
    (void)key;
    struct arena arena;
    struct join_record r;
    char at[CLOCK_TEXT_SIZE];
    arena_init(&arena, 1 << 16);
    if (!join_record_parse(value, &arena, &r) && r.refused_ms && r.state != JOIN_REVOKED) {
        a->found = true;
        snprintf(
            a->out, a->cap,
            "join token %s of region %s was shown by a node with other keys at %s: if that was "
            "not yours, somebody has the token, and may have been the first to use it; compare "
            "the region's keys (meridian identities show %s), then meridian join-token revoke "
            "%s",
            r.id, r.region, clock_format(r.refused_ms, at), r.region, r.id);
    }
    arena_done(&arena);
    return !a->found;
}

void joining_judge(struct app *app)
{
    char one[CONDITION_SENTENCE_SIZE];
    struct alarm a = {one, sizeof one, false};
    if (app->joining)
        control_feed_records(app->feed, JOIN_RECORD_PREFIX, alarm_look, &a);
    if (a.found)
        condition_set(&app->vitals->conditions, CONDITION_JOIN, CONDITION_WARNING, "%s", one);
    else
        condition_clear(&app->vitals->conditions, CONDITION_JOIN);
}
