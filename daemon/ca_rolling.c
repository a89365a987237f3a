// SPDX-License-Identifier: Apache-2.0
// Replacing the private CA, at a node; see ca_rolling.h.
#include "daemon/ca_rolling.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wait.h"
#include "certs/ca_next.h"
#include "certs/trust.h"
#include "control/feed.h"
#include "fleet/ca_roll.h"
#include "net/refuse.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define LOOK_MS 2000
#define ASK_MS 2000
#define WORD_BYTES 4096
#define WHY_BYTES 512
// A roll that a crash has cut short before it was announced: for clients, the longer time.
#define ISSUE_AFTER_MS (7 * 24 * 3600 * 1000LL)

struct ca_rolling {
    struct ca_rolling_options o;
    struct app *app;
    struct fleet_caller caller;
    // one step at a time: guards `state`, and the files of the CA
    pthread_mutex_t work;
    struct ca_roll_state state;
    // guards `wake`, `poked`, `waits`, `shown`, `has_shown`
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool poked;
    char waits[WHY_BYTES];
    // the record, as of the last look
    struct ca_record shown;
    bool has_shown;
    _Atomic bool stopping;
    pthread_t thread;
    bool runs;
};

static void waits_set(struct ca_rolling *r, const char *why)
{
    pthread_mutex_lock(&r->lock);
    snprintf(r->waits, sizeof r->waits, "%s", why);
    pthread_mutex_unlock(&r->lock);
}

static void note(struct ca_rolling *r, const char *what, const char *fingerprint)
{
    struct audit_event e = {
        .what = "private_ca", .outcome = "done", .detail = what, .reference = fingerprint};
    if (r->app->audit)
        audit_write(r->app->audit, &e);
    log_info("certs: the private CA %.16s: %s", fingerprint, what);
}

// --- what is so ---

// What one look stands on. Strings of the facts point into it.
struct look {
    struct topology *t;
    bool has_record, has_spread, leads, owned;
    struct ca_record record;
    struct ca_word own;
    struct ca_spread spread;
    char in_use[65], next[65], held[WHY_BYTES];
    int64_t until_ms;
    struct ca_roll_facts f;
};

static int record_read(struct ca_rolling *r, struct ca_record *out)
{
    AUTO_BUF struct buf b;
    buf_init(&b, CA_ROLL_RECORD_BYTES);
    int rc = control_feed_record(r->app->feed, CA_ROLL_RECORD, &b);
    if (rc)
        return rc;
    return ca_record_parse(buf_cstr(&b), out);
}

static void both_keep(char list[][65], size_t *n, const char other[][65], size_t n_other)
{
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++) {
        bool is = false;
        for (size_t k = 0; k < n_other; k++)
            is |= !strcmp(list[i], other[k]);
        if (is)
            memmove(list[kept++], list[i], 65);
    }
    *n = kept;
}

// The edge goes by ca.pem, requests to others by ca_file: both must trust it.
static void word_read(const struct ca_rolling *r, struct ca_word *out)
{
    char list[TRUST_MAX][65];
    size_t n;
    *out = (struct ca_word){0};
    if (trust_list(r->app->paths->ca_pem, out->trusts, &out->n_trusts) ||
        trust_list(r->app->node->ca_file, list, &n)) {
        out->n_trusts = 0;
        return;
    }
    both_keep(out->trusts, &out->n_trusts, list, n);
    if (trust_issuers(r->app->paths->certs, out->uses, &out->n_uses))
        out->n_uses = 0;
}

// Why this node may not go on with it, a clause; "" if it may.
static void held_read(struct ca_rolling *r, struct look *x)
{
    struct control_view v;
    char why[WHY_BYTES / 2] = "";
    control_feed_view(r->app->feed, &v);
    x->owned = v.owned;
    if (!v.we_write)
        snprintf(x->held, sizeof x->held,
                 "the node that has the CA leads it, and has to be the writer; %s is", v.writer);
    else if (!v.confirmed || !v.owned)
        snprintf(x->held, sizeof x->held,
                 "the writer %s has not heard a majority of the regions yet", v.writer);
    else if (r->o.clock_ok(r->o.ctx, why, sizeof why))
        snprintf(
            x->held, sizeof x->held,
            "the clock of this node is not compared with the other regions' yet, or is wrong: %s",
            why);
    control_view_done(&v);
    if (*x->held)
        x->f.held = x->held;
}

static void spread_read(struct ca_rolling *r, struct look *x)
{
    static const struct fleet_ask_limits limits = {.timeout_ms = ASK_MS, .max_bytes = WORD_BYTES};
    struct fleet_answers *answers = NULL;
    if (fleet_ask_all(&r->caller, x->t, CA_ROLL_PATH, &limits, &answers))
        return;
    ca_spread_judge(r->app->node->region, &x->own, answers, &x->record, &x->spread);
    x->f.spread = &x->spread;
    fleet_answers_free(answers);
}

static bool leads(const struct ca_rolling *r, const struct topology *t)
{
    return r->app->node->ca_dir && t->ca_region && !strcmp(t->ca_region, r->app->node->region);
}

// `x` is not to be moved afterwards. ERR_BUSY: there is no topology yet.
static int look_begin(struct ca_rolling *r, struct look *x)
{
    memset(x, 0, sizeof *x);
    x->t = snapshot_get(r->app->topology);
    if (!x->t)
        return ERR_BUSY;
    int rc = record_read(r, &x->record);
    if (rc && rc != ERR_NOTFOUND) {
        log_warn("certs: the record of the change of the private CA cannot be read: %s",
                 err_text(rc));
        return rc;
    }
    x->has_record = !rc;
    if (x->has_record)
        x->f.record = &x->record;
    word_read(r, &x->own);
    x->leads = leads(r, x->t);
    x->f.in_use = x->in_use;
    x->f.next = x->next;
    x->f.now_ms = clock_wall_ms();
    x->f.mono_ms = clock_mono_ms();
    if (!x->leads)
        return 0;
    rc = ca_in_use_look(r->app->node->ca_dir, x->in_use, &x->until_ms);
    if (!rc && ca_next_look(r->app->node->ca_dir, x->next, NULL))
        x->next[0] = 0;
    held_read(r, x);
    if (!rc && !x->f.held && ca_roll_asks(x->f.record))
        spread_read(r, x);
    return rc;
}

static void look_end(struct look *x)
{
    snapshot_unref(x->t);
}

// --- on every node: ca.pem as the record says ---

static int certificate_add(struct ca_rolling *r, const struct look *x, struct diag *diag)
{
    char fingerprint[65];
    struct bytes pem = bytes_str(x->record.certificate);
    // the record is the writer's; that it was valid when it was made is enough where the clock is off
    int rc = trust_judge(pem, x->t->domain, x->record.made_ms, diag, fingerprint);
    if (rc)
        return rc;
    if (strcmp(fingerprint, x->record.next) != 0) {
        diag_add(diag, NULL, 0, "the record of the next CA does not fit its certificate");
        return ERR_DENIED;
    }
    if (x->record.step == CA_STEP_USE)
        return trust_first(r->app->paths->certs, pem, diag);
    return trust_add(r->app->paths->certs, pem, diag);
}

static int trust_follow(struct ca_rolling *r, const struct look *x, struct diag *diag)
{
    switch (x->record.step) {
    case CA_STEP_TRUST:
    case CA_STEP_USE:
        return certificate_add(r, x, diag);
    case CA_STEP_DONE:
        return trust_remove(r->app->paths->certs, x->record.old, diag);
    case CA_STEP_CANCELLED:
        return trust_remove(r->app->paths->certs, x->record.next, diag);
    }
    return 0;
}

static void follow(struct ca_rolling *r, const struct look *x)
{
    struct diag diag;
    bool use = x->has_record && x->record.step == CA_STEP_USE;
    certs_prefer(r->app->certs, use ? x->record.next : "");
    if (!x->has_record)
        return;
    diag_init(&diag);
    int rc = trust_follow(r, x, &diag);
    AUTO_FREE char *text = diag_text(&diag);
    diag_done(&diag);
    static struct log_limit lim = LOG_LIMIT(60000);
    if (rc < 0)
        log_limited(&lim, LOG_WARN, "certs: ca.pem is not as the fleet has decided: %s",
                    text && *text ? text : err_text(rc));
    if (rc <= 0)
        return;
    log_info("certs: ca.pem has changed (%s, next CA %.16s)", ca_step_name(x->record.step),
             x->record.next);
    certs_changed(r->app->certs);
}

// --- on the CA's node: the next step ---

static int record_write(struct ca_rolling *r, const struct ca_record *record, struct diag *diag)
{
    AUTO_BUF struct buf b;
    buf_init(&b, CA_ROLL_RECORD_BYTES);
    int rc = ca_record_format(record, &b);
    if (rc)
        return rc;
    const struct control_record one = {CA_ROLL_RECORD, buf_cstr(&b)};
    const struct control_draft d = {.records = &one, .n_records = 1};
    struct control_place place;
    rc = control_feed_append(r->app->feed, &d, diag, &place);
    if (rc == ERR_EXISTS)
        return 0;
    if (!rc)
        note(r, ca_step_name(record->step), record->next);
    return rc;
}

static int announce(struct ca_rolling *r, const struct look *x, int64_t issue_after_ms,
                    struct diag *diag)
{
    AUTO_BUF struct buf pem;
    buf_init(&pem, CA_ROLL_CERTIFICATE_BYTES - 1);
    struct ca_record record = {.step = CA_STEP_TRUST,
                               .until_ms = x->until_ms,
                               .made_ms = x->f.now_ms,
                               .issue_ms = x->f.now_ms + issue_after_ms};
    memcpy(record.old, x->in_use, sizeof record.old);
    int rc = ca_next_look(r->app->node->ca_dir, record.next, &pem);
    if (rc)
        return rc;
    snprintf(record.certificate, sizeof record.certificate, "%s", buf_cstr(&pem));
    return record_write(r, &record, diag);
}

static int step_write(struct ca_rolling *r, const struct look *x, enum ca_step step,
                      struct diag *diag)
{
    struct ca_record record = x->record;
    record.step = step;
    if (step == CA_STEP_USE)
        record.used_ms = x->f.now_ms;
    return record_write(r, &record, diag);
}

struct taking {
    struct ca_rolling *r;
    const struct look *x;
    // the record does not say so yet
    bool decide;
};

static int take_run(void *ctx, struct diag *diag)
{
    const struct taking *k = ctx;
    int rc = 0;
    if (k->decide)
        rc = step_write(k->r, k->x, CA_STEP_USE, diag);
    if (!rc)
        rc = ca_next_take(k->r->app->node->ca_dir, diag);
    return rc;
}

// A region that hears of the record and asks at once gets a certificate of the new one.
static int take(struct ca_rolling *r, const struct look *x, bool decide, struct diag *diag)
{
    struct taking k = {r, x, decide};
    if (!x->owned)
        return 0; // another process of this node has it still
    int rc = certs_ca_change(r->app->certs, take_run, &k, diag);
    if (!rc)
        note(r, "issues from now on", x->record.next);
    return rc;
}

static int act(struct ca_rolling *r, const struct look *x, enum ca_roll_act what, struct diag *diag)
{
    switch (what) {
    case CA_ROLL_NOTHING:
        return 0;
    case CA_ROLL_ANNOUNCE:
        return announce(r, x, ISSUE_AFTER_MS, diag);
    case CA_ROLL_USE:
        return take(r, x, true, diag);
    case CA_ROLL_SWITCH:
        return take(r, x, false, diag);
    case CA_ROLL_DROP:
        return step_write(r, x, CA_STEP_DONE, diag);
    case CA_ROLL_DISCARD:
        if (!x->owned)
            return 0;
        return ca_next_discard(r->app->node->ca_dir);
    }
    return 0;
}

static void lead(struct ca_rolling *r, const struct look *x)
{
    char why[WHY_BYTES];
    struct diag diag;
    diag_init(&diag);
    enum ca_roll_act what = ca_roll_decide(&x->f, &r->state, why, sizeof why);
    int rc = act(r, x, what, &diag);
    AUTO_FREE char *text = diag_text(&diag);
    diag_done(&diag);
    if (!rc) {
        waits_set(r, why);
        return;
    }
    snprintf(why, sizeof why, "the next step cannot be done: %s",
             text && *text ? text : err_text(rc));
    static struct log_limit lim = LOG_LIMIT(60000);
    log_limited(&lim, LOG_WARN, "certs: the change of the private CA: %s", why);
    waits_set(r, why);
}

// --- what it says of itself ---

static void judge(struct ca_rolling *r, const struct look *x)
{
    struct conditions *c = &r->app->vitals->conditions;
    char waits[WHY_BYTES];
    pthread_mutex_lock(&r->lock);
    memcpy(waits, r->waits, sizeof waits);
    r->shown = x->record;
    r->has_shown = x->has_record;
    pthread_mutex_unlock(&r->lock);
    bool runs = ca_roll_asks(x->f.record);
    const char *step = "";
    if (runs && x->record.step == CA_STEP_TRUST)
        step = "all regions come to trust the next private CA";
    else if (runs)
        step = "the next private CA issues, and certificates of the old one are renewed";
    else if (x->leads && *waits)
        step = "a next private CA was made";
    if (!*step)
        condition_clear(c, CONDITION_CA_ROLL);
    else if (x->leads && *waits)
        condition_set(c, CONDITION_CA_ROLL, CONDITION_WARNING, "%s: %s", step, waits);
    else
        condition_set(c, CONDITION_CA_ROLL, CONDITION_WARNING, "%s", step);
}

// --- the thread ---

static void look(struct ca_rolling *r)
{
    struct look x;
    pthread_mutex_lock(&r->work);
    int rc = look_begin(r, &x);
    if (!rc) {
        follow(r, &x);
        if (x.leads)
            lead(r, &x);
        judge(r, &x);
    }
    look_end(&x);
    pthread_mutex_unlock(&r->work);
}

static void *thread_main(void *arg)
{
    struct ca_rolling *r = arg;
    pthread_mutex_lock(&r->lock);
    while (!r->stopping) {
        pthread_mutex_unlock(&r->lock);
        look(r);
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
    AUTO_BUF struct buf text;
    buf_init(&text, WORD_BYTES);
    word_read(r, &own);
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
    if (req->method != HTTP_GET) {
        serve_method(req, &plan->response, "GET", "what a node trusts is read by GET");
        return;
    }
    *plan = (struct http_plan){.kind = HTTP_PLAN_RUN, .run = word_run, .ctx = r};
}

// --- people ask ---

static int refuse(struct diag *diag, int rc, const char *why)
{
    diag_add(diag, NULL, 0, "%s", why);
    return rc;
}

// Calls `fn` with what is so, one at a time.
static int ask(struct ca_rolling *r, struct diag *diag,
               int (*fn)(struct ca_rolling *r, struct look *x, int64_t ms, struct diag *diag),
               int64_t ms)
{
    struct look x;
    if (!r)
        return refuse(diag, ERR_UNSUPPORTED,
                      "this node takes its topology from files, and its CA is changed by hand: "
                      "docs/runbooks/rotate-keys.md");
    pthread_mutex_lock(&r->work);
    int rc = ERR_CANCELED;
    if (r->stopping) {
        pthread_mutex_unlock(&r->work);
        return refuse(diag, ERR_BUSY, "this process ends; ask again");
    }
    rc = look_begin(r, &x);
    if (rc)
        diag_add(diag, NULL, 0, "the CA or the topology cannot be read now: %s", err_text(rc));
    else if (!x.leads)
        rc = refuse(diag, ERR_UNSUPPORTED,
                    "this node does not have the CA (ca_dir, and certificates: ca_region); ask the "
                    "node that has it");
    else
        rc = fn(r, &x, ms, diag);
    look_end(&x);
    pthread_mutex_unlock(&r->work);
    if (!rc)
        look(r); // what is asked next sees it
    return rc;
}

static int begin_run(struct ca_rolling *r, struct look *x, int64_t ms, struct diag *diag)
{
    char why[WHY_BYTES];
    int rc = ca_roll_may_begin(&x->f, &x->own, why, sizeof why);
    if (rc && rc != ERR_EXISTS)
        return refuse(diag, rc, why);
    if (!rc)
        rc = ca_next_discard(r->app->node->ca_dir); // of one that was cancelled, or made by half
    if (!rc)
        rc = ca_next_make(r->app->node->ca_dir, x->t->domain, diag);
    if (rc && rc != ERR_EXISTS)
        return rc;
    return announce(r, x, ms, diag);
}

static bool may_change(const struct look *x, struct diag *diag, int *out_rc)
{
    *out_rc = 0;
    if (x->f.held)
        *out_rc = refuse(diag, ERR_BUSY, x->f.held);
    else if (!x->has_record || x->record.step != CA_STEP_TRUST)
        *out_rc = refuse(diag, ERR_CONFLICT, "no next CA is on its way that does not issue yet");
    return !*out_rc;
}

static int cancel_run(struct ca_rolling *r, struct look *x, int64_t ms, struct diag *diag)
{
    int rc;
    (void)ms;
    if (!may_change(x, diag, &rc))
        return rc;
    return step_write(r, x, CA_STEP_CANCELLED, diag);
}

static int without_away_run(struct ca_rolling *r, struct look *x, int64_t ms, struct diag *diag)
{
    int rc;
    (void)ms;
    if (!may_change(x, diag, &rc))
        return rc;
    x->record.without_away = true;
    return record_write(r, &x->record, diag);
}

static int drop_run(struct ca_rolling *r, struct look *x, int64_t ms, struct diag *diag)
{
    char why[WHY_BYTES];
    (void)ms;
    int rc = ca_roll_may_drop(&x->f, why, sizeof why);
    if (rc)
        return refuse(diag, rc, why);
    return step_write(r, x, CA_STEP_DONE, diag);
}

int ca_rolling_ask_begin(struct ca_rolling *r, int64_t issue_after_ms, struct diag *diag)
{
    return ask(r, diag, begin_run, issue_after_ms);
}

int ca_rolling_ask_cancel(struct ca_rolling *r, struct diag *diag)
{
    return ask(r, diag, cancel_run, 0);
}

int ca_rolling_ask_without_away(struct ca_rolling *r, struct diag *diag)
{
    return ask(r, diag, without_away_run, 0);
}

int ca_rolling_ask_drop(struct ca_rolling *r, struct diag *diag)
{
    return ask(r, diag, drop_run, 0);
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
    char waits[WHY_BYTES] = "", issues[CLOCK_TEXT_SIZE] = "", ends[CLOCK_TEXT_SIZE] = "";
    bool has = false;
    if (r) {
        word_read(r, &own);
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
