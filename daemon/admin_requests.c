// SPDX-License-Identifier: Apache-2.0
// See admin_requests.h. On pools.
#include "daemon/admin_requests.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/reserved.h"
#include "config/topology_control.h"
#include "control/feed.h"
#include "control/request.h"
#include "daemon/admin_answer.h"
#include "daemon/admin_waiters.h"
#include "daemon/handed_on.h"
#include "daemon/operations.h"
#include "fleet/fleet.h"
#include "lifecycle/lifecycle.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define OPERATIONS_LISTED 100
#define OPERATIONS_LISTED_MAX 1000
#define WAIT_MAX_MS 10000
#define WAIT_STEP_MS 500
// for an entry of the feed, from the writer to here: an operation that was just begun comes with it
#define COMES_MS 3000
// of the admin listener's four threads; of one token
#define WAITERS_FAR 2
#define WAITERS_FAR_OF_ONE 1
// root's, of the threads that clients wait for as well
#define WAITERS_NEAR 4

static struct admin_waiters near = ADMIN_WAITERS_INIT(WAITERS_NEAR, WAITERS_NEAR),
                            far = ADMIN_WAITERS_INIT(WAITERS_FAR, WAITERS_FAR_OF_ONE);

// ---- answers ----

static bool is_of_files(struct app *app, struct http_request *req, struct http_response *resp)
{
    if (app->operations)
        return false;
    admin_answer(req, resp, 409, admin_files_json(app));
    return true;
}

// ---- who asks ----

static const char *operator_key(const void *ctx, const char *name, bool *out_revoked)
{
    const struct control_operator *o = topology_operator(ctx, name);
    *out_revoked = o && o->revoked;
    if (o)
        return o->key;
    return NULL;
}

static unsigned rights_of(const struct topology *t, const struct control_request *q)
{
    if (!q->operator)
        return CONTROL_RIGHTS_ALL;
    const struct control_operator *o = topology_operator(t, q->operator);
    if (o && !o->revoked)
        return o->rights;
    return 0;
}

static int status_of_bad(int rc)
{
    if (rc == ERR_DENIED || rc == ERR_EXPIRED)
        return 403;
    if (rc == ERR_NOMEM)
        return 503;
    return 400;
}

static const char *code_of_bad(int status)
{
    if (status == 403)
        return "Denied";
    if (status == 503)
        return "Unavailable";
    return "Invalid";
}

// An envelope has a signature; a bare text is good at the writer's own socket only.
static bool is_signed(struct bytes body)
{
    json_t *doc = json_loadb((const char *)body.p, body.n, 0, NULL);
    bool is = json_is_string(json_object_get(doc, "signature"));
    json_decref(doc);
    return is;
}

// What time a request is judged at. One from afar was dated by another clock: while ours is known to
// be wrong it is judged by the others', so that a revocation waits for nobody's clock.
static int64_t judged_at_ms(const struct app *app, struct bytes body)
{
    struct clock_opinion o;
    int64_t now = clock_wall_ms();
    if (!replication_clock_opinion(app->replicator, &o) || !o.far || o.set_since)
        return now;
    if (!is_signed(body))
        return now;
    return now + o.others_ms;
}

struct given { // what came, and what is said to it
    struct app *app;
    struct bytes body;
    // root at this node's admin socket
    bool bare;
    // as the audit log has it
    const char *from, *request_id;
    struct ip client;
    int status;
    json_t *answer;
};

static void refuse_given(struct given *g, int rc, const struct diag *diag)
{
    AUTO_FREE char *why = diag_text(diag);
    const char *said = err_text(rc);
    if (why && *why)
        said = why;
    g->status = status_of_bad(rc);
    g->answer = admin_error_json(code_of_bad(g->status), said);
}

// Who changed what, or wanted to; what-if changes nothing.
static void audit_given(const struct given *g, const struct control_request *q, const char *by)
{
    const json_t *error = json_object_get(g->answer, "error");
    const char *operation =
        json_string_value(json_object_get(json_object_get(g->answer, "operation"), "id"));
    AUTO_FREE char *detail =
        mem_printf("%s %s%s%s%s", q->verb, q->object, operation ? " operation " : "",
                   operation ? operation : "", g->from ? " handed on" : "");
    if (!g->app->audit || q->what_if)
        return;
    audit_write(g->app->audit,
                &(struct audit_event){.what = "change",
                                      .outcome = error ? "refused" : "done",
                                      .principal = by,
                                      .client = g->client,
                                      .code = json_string_value(json_object_get(error, "code")),
                                      .why = json_string_value(json_object_get(error, "message")),
                                      .request_id = g->request_id,
                                      .detail = detail});
}

static void ask_engine(struct given *g, const struct topology *t, const struct control_request *q)
{
    char by[CONTROL_BY_SIZE];
    struct lifecycle_answer answer;
    const struct lifecycle_request r = {.verb = q->verb,
                                        .object = q->object,
                                        .by = control_request_by(q, g->app->node->region, by),
                                        .nonce = q->nonce,
                                        .arguments = q->arguments,
                                        .expires_ms = q->expires_ms,
                                        .if_version = q->if_version,
                                        .what_if = q->what_if,
                                        .quorum = q->quorum,
                                        .bare = !q->operator,
                                        .rights = rights_of(t, q)};
    lifecycle_request(operations_engine(g->app->operations), &r, &answer);
    g->status = answer.status;
    g->answer = answer.body;
    audit_given(g, q, by);
}

// At the writer.
static void take_given(struct given *g)
{
    struct topology *t = snapshot_get(g->app->topology);
    const struct control_signers who = {
        .fleet = t->domain, .key_of = operator_key, .ctx = t, .bare = g->bare};
    struct control_request *q = NULL;
    struct diag diag;
    diag_init(&diag);
    int rc = control_request_take(g->body, &who, judged_at_ms(g->app, g->body), &diag, &q);
    if (rc)
        refuse_given(g, rc, &diag);
    else
        ask_engine(g, t, q);
    control_request_free(q);
    diag_done(&diag);
    snapshot_unref(t);
}

// ---- on any node ----

static bool is_writer(struct app *app, char writer[HOSTNAME_REGION_SIZE])
{
    struct control_view v;
    control_feed_view(app->feed, &v);
    bool is = v.we_write;
    snprintf(writer, HOSTNAME_REGION_SIZE, "%s", v.writer);
    control_view_done(&v);
    return is;
}

// What strangers send is judged here before it costs the writer anything, which judges it again.
// False: refused.
static bool is_operators(struct given *g)
{
    struct topology *t = snapshot_get(g->app->topology);
    const struct control_signers who = {.fleet = t->domain, .key_of = operator_key, .ctx = t};
    struct control_request *q = NULL;
    struct diag diag;
    diag_init(&diag);
    int rc = control_request_take(g->body, &who, judged_at_ms(g->app, g->body), &diag, &q);
    if (rc)
        refuse_given(g, rc, &diag);
    control_request_free(q);
    diag_done(&diag);
    snapshot_unref(t);
    return !rc;
}

static void hand_on(struct given *g, const char *writer)
{
    struct fleet_answer a = {0};
    struct diag diag;
    if (!g->bare && !is_operators(g))
        return;
    if (!is_signed(g->body)) {
        AUTO_FREE char *why =
            mem_printf("region %s is the fleet's writer: ask there, or sign with an operator's key "
                       "(--key FILE)",
                       writer);
        g->status = 503;
        g->answer = admin_error_json("NotTheWriter", why ? why : "another region is the writer");
        return;
    }
    diag_init(&diag);
    int rc = fleet_to_writer(g->app->fleet, g->body, &diag, &a);
    if (rc == ERR_EXISTS) { // by now it is this one
        take_given(g);
    } else if (rc) {
        AUTO_FREE char *text = diag_text(&diag);
        g->status = 503;
        g->answer = admin_error_json("NotTheWriter", text && *text ? text : err_text(rc));
    } else {
        g->answer = handed_on_answer(writer, &a, &g->status);
    }
    fleet_answer_done(&a);
    diag_done(&diag);
}

void admin_post_request(struct app *app, struct http_request *req, struct http_response *resp)
{
    char writer[HOSTNAME_REGION_SIZE];
    struct given g = {.app = app,
                      .body = req->body,
                      .bare = req->listener == LISTENER_ADMIN,
                      .request_id = req->request_id,
                      .client = req->client};
    if (is_of_files(app, req, resp))
        return;
    if (is_writer(app, writer))
        take_given(&g);
    else
        hand_on(&g, writer);
    admin_answer(req, resp, g.status, g.answer);
}

void admin_forwarded_request(void *ctx, const char *from_region, struct bytes envelope,
                             struct fleet_answer *out)
{
    struct app *app = ctx;
    char writer[HOSTNAME_REGION_SIZE];
    struct given g = {.app = app, .body = envelope, .from = from_region};
    if (!app->operations) {
        g.status = 409;
        g.answer = admin_files_json(app);
    } else if (is_writer(app, writer)) {
        take_given(&g);
    } else {
        AUTO_FREE char *why = mem_printf("region %s is the fleet's writer by now", writer);
        g.status = 503;
        g.answer = admin_error_json("NotTheWriter", why ? why : "another region is the writer");
    }
    AUTO_FREE char *text = NULL;
    if (g.answer)
        text = json_dumps(g.answer, JSON_COMPACT);
    json_decref(g.answer);
    out->status = text ? g.status : 503;
    buf_str(&out->body, text ? text : "{}");
}

// ---- looking ----

static size_t number_of(struct http_request *req, const char *key, size_t otherwise, size_t max)
{
    const char *text = http_query_get(req, key, 0);
    char *end = NULL;
    if (!text || !*text)
        return otherwise;
    unsigned long n = strtoul(text, &end, 10);
    if (*end || n > max)
        return max;
    return n;
}

void admin_get_operations(struct app *app, struct http_request *req, struct http_response *resp)
{
    if (is_of_files(app, req, resp))
        return;
    size_t max = number_of(req, "max", OPERATIONS_LISTED, OPERATIONS_LISTED_MAX);
    admin_answer(req, resp, 200,
                 lifecycle_operations(operations_engine(app->operations),
                                      http_query_get(req, "object", 0),
                                      http_query_get(req, "state", 0), max));
}

static bool has_ended(const json_t *operation)
{
    const char *state = json_string_value(json_object_get(operation, "state"));
    return !state || !strcmp(state, "Succeeded") || !strcmp(state, "Failed") ||
           !strcmp(state, "Canceled");
}

// Waits until it has ended, or that time is over.
static int operation_after(struct app *app, const char *id, int64_t wait_ms, json_t **out)
{
    int64_t until = clock_mono_ms() + wait_ms, comes = clock_mono_ms() + COMES_MS;
    for (;;) {
        struct control_view v;
        control_feed_view(app->feed, &v);
        struct control_place place = v.place;
        control_view_done(&v);
        int rc = lifecycle_operation(operations_engine(app->operations), id, out);
        int64_t left = until - clock_mono_ms();
        if (left <= 0 || operations_ended(app->operations))
            return rc;
        if (rc && (rc != ERR_NOTFOUND || clock_mono_ms() >= comes))
            return rc;
        if (!rc && has_ended(*out))
            return rc;
        json_decref(*out);
        *out = NULL;
        if (left > WAIT_STEP_MS)
            left = WAIT_STEP_MS;
        control_feed_wait(app->feed, &place, left);
    }
}

// Whose wait it is; NULL: somebody of whom nothing is known, and for whom nothing is held.
static const char *waiter_of(const struct http_request *req)
{
    if (req->listener == LISTENER_ADMIN)
        return "root";
    return req->principal;
}

static void refuse_waiter(struct http_request *req, struct http_response *resp, int rc)
{
    if (rc == ERR_QUOTA)
        admin_answer(req, resp, 429,
                     admin_error_json("TooManyRequests",
                                      "this token waits for an operation already: ask "
                                      "without wait_ms, or when that has ended"));
    else
        admin_answer(req, resp, 503,
                     admin_error_json("Busy",
                                      "others wait for operations here, as many as may: ask "
                                      "without wait_ms, or again"));
    (void)http_response_header(req, resp, "Retry-After", "1");
}

// False: it is answered already.
static bool operation_of(struct app *app, struct http_request *req, struct http_response *resp,
                         const char *id, json_t **out, int *out_rc)
{
    struct admin_waiters *places = req->listener == LISTENER_ADMIN ? &near : &far;
    int64_t wait_ms = (int64_t)number_of(req, "wait_ms", 0, WAIT_MAX_MS);
    const char *waiter = waiter_of(req);
    *out_rc = operation_after(app, id, 0, out);
    if (!waiter || !wait_ms || (!*out_rc && has_ended(*out)))
        return true;
    json_decref(*out);
    *out = NULL;
    int rc = admin_wait_begin(places, waiter);
    if (rc) {
        refuse_waiter(req, resp, rc);
        return false;
    }
    *out_rc = operation_after(app, id, wait_ms, out);
    admin_wait_end(places, waiter);
    return true;
}

void admin_get_operation(struct app *app, struct http_request *req, struct http_response *resp)
{
    const char *id = req->path + strlen("/v1/operations/");
    json_t *operation = NULL;
    int rc;
    if (is_of_files(app, req, resp))
        return;
    if (!operation_id_ok(id)) {
        admin_answer(req, resp, 404, admin_error_json("NotFound", "no operation has such an id"));
        return;
    }
    if (!operation_of(app, req, resp, id, &operation, &rc))
        return;
    if (rc) {
        AUTO_FREE char *why =
            mem_printf("there is no operation %s here: old ones are forgotten", id);
        admin_answer(req, resp, 404, admin_error_json("NotFound", why ? why : "there is none"));
        return;
    }
    admin_answer(req, resp, 200, operation);
}

static json_t *name_json(const struct reserved_name *n)
{
    char since[CLOCK_TEXT_SIZE], until[CLOCK_TEXT_SIZE];
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", n->name, "label", n->label, "owner",
                     n->owner, "since", clock_format_s(n->since_s, since), "until",
                     clock_format_s(n->until_s, until));
}

void admin_get_names(struct app *app, struct http_request *req, struct http_response *resp)
{
    struct topology *t = snapshot_get(app->topology);
    json_t *list = json_array();
    for (size_t i = 0; list && i < topology_reserved_count(t); i++)
        json_array_append_new(list, name_json(topology_reserved_at(t, i)));
    snapshot_unref(t);
    admin_answer(req, resp, 200, json_pack("{s:o}", "names", list));
}
