// SPDX-License-Identifier: Apache-2.0
// The steps by which the next private CA takes over: on every node ca.pem as the record says, on the
// CA's node the next record, and the files in ca_dir; see ca_rolling_priv.h.
#include "daemon/ca_rolling_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "certs/trust.h"

#include <stdio.h>
#include <string.h>

#define RELOAD_AGAIN_MS 10000

// --- on every node: ca.pem as the record says ---

static int certificate_add(struct ca_rolling *r, const struct ca_look *x, struct diag *diag)
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

static int trust_follow(struct ca_rolling *r, const struct ca_look *x, struct diag *diag)
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

// A process that was killed in between has told the edge nothing.
static void edge_again(struct ca_rolling *r)
{
    if (clock_mono_ms() < r->edge_again_mono_ms)
        return;
    r->edge_again_mono_ms = clock_mono_ms() + RELOAD_AGAIN_MS;
    log_info("certs: the edge does not go by ca.pem as it is now: it is reloaded once more");
    certs_changed(r->app->certs);
}

void ca_steps_follow(struct ca_rolling *r, const struct ca_look *x)
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
    if (rc > 0) {
        log_info("certs: ca.pem has changed (%s, next CA %.16s)", ca_step_name(x->record.step),
                 x->record.next);
        certs_changed(r->app->certs);
    } else if (x->edge_behind) {
        edge_again(r);
    }
}

// --- records ---

// What the regions have said is of that place of the feed: one that has joined since was not asked.
static int step_write(struct ca_rolling *r, const struct ca_look *x, enum ca_step step,
                      struct diag *diag)
{
    struct ca_record record = x->record;
    record.step = step;
    if (step == CA_STEP_USE)
        record.used_ms = x->f.now_ms;
    return ca_writer_put(r, x, &record, true, diag);
}

int ca_steps_announce(struct ca_rolling *r, const struct ca_look *x, int64_t issue_after_ms,
                      struct diag *diag)
{
    AUTO_BUF struct buf pem;
    char fingerprint[65];
    buf_init(&pem, CA_ROLL_CERTIFICATE_BYTES - 1);
    struct ca_record record = {.step = CA_STEP_TRUST,
                               .until_ms = x->in_use.until_ms,
                               .made_ms = x->f.now_ms,
                               .issue_ms = x->f.now_ms + issue_after_ms};
    memcpy(record.old, x->in_use.fingerprint, sizeof record.old);
    int rc = ca_next_look(r->app->node->ca_dir, record.next, &pem);
    if (!rc) // what every node would refuse is not announced
        rc = trust_judge(bytes_of(pem.p, pem.n), x->t->domain, x->f.now_ms, diag, fingerprint);
    if (rc)
        return rc;
    snprintf(record.certificate, sizeof record.certificate, "%s", buf_cstr(&pem));
    return ca_writer_put(r, x, &record, false, diag);
}

int ca_steps_make(struct ca_rolling *r, const struct ca_look *x, int64_t issue_after_ms,
                  struct diag *diag)
{
    int rc = ca_next_discard(r->app->node->ca_dir); // of one that was cancelled, or made by half
    if (!rc)
        rc = ca_next_make(r->app->node->ca_dir, x->t->domain, diag);
    if (rc)
        return rc;
    rc = ca_steps_announce(r, x, issue_after_ms, diag);
    if (rc)
        diag_add(diag, NULL, 0,
                 "the next CA lies in the folder next of ca_dir; it is announced as soon as that "
                 "can be done");
    return rc;
}

// --- on the CA's node: the next step ---

struct taking {
    struct ca_rolling *r;
    const struct ca_look *x;
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
static int take(struct ca_rolling *r, const struct ca_look *x, bool decide, struct diag *diag)
{
    struct taking k = {r, x, decide};
    if (!x->owned)
        return 0; // another process of this node has it still
    int rc = certs_ca_change(r->app->certs, take_run, &k, diag);
    if (!rc)
        ca_writer_note(r, NULL, "issues from now on", x->record.next, NULL);
    return rc;
}

static int begin(struct ca_rolling *r, const struct ca_look *x, struct diag *diag)
{
    char at[CLOCK_TEXT_SIZE];
    log_warn("certs: the private CA %.16s ends at %s: another one is made, and takes over",
             x->in_use.fingerprint, clock_format(x->in_use.until_ms, at));
    return ca_steps_make(r, x, ca_roll_issue_after(&x->f), diag);
}

static int act(struct ca_rolling *r, const struct ca_look *x, enum ca_roll_act what,
               struct diag *diag)
{
    switch (what) {
    case CA_ROLL_NOTHING:
        return 0;
    case CA_ROLL_MAKE:
        return begin(r, x, diag);
    case CA_ROLL_ANNOUNCE:
        return ca_steps_announce(r, x, ca_roll_issue_after(&x->f), diag);
    case CA_ROLL_USE:
        if (!strcmp(x->in_use.fingerprint, x->record.next))
            return step_write(r, x, CA_STEP_USE, diag); // it is in use: the record alone lacks
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

void ca_steps_lead(struct ca_rolling *r, const struct ca_look *x)
{
    char why[CA_WHY_BYTES] = "";
    struct diag diag;
    enum ca_roll_act what = CA_ROLL_NOTHING;
    int rc = x->ca_error;
    diag_init(&diag);
    if (!rc && x->owned)
        rc = certs_ca_follow(r->app->certs, x->in_use.fingerprint, &diag);
    if (!rc) {
        what = ca_roll_decide(&x->f, &r->state, why, sizeof why);
        rc = act(r, x, what, &diag);
    }
    AUTO_FREE char *text = diag_text(&diag);
    diag_done(&diag);
    if (rc == ERR_CONFLICT && what != CA_ROLL_NOTHING)
        rc = 0; // the feed has gone on: the next look asks all regions anew
    if (!rc) {
        ca_rolling_waits(r, why);
        return;
    }
    snprintf(why, sizeof why, "the next step cannot be done: %s",
             text && *text ? text : err_text(rc));
    static struct log_limit lim = LOG_LIMIT(60000);
    log_limited(&lim, LOG_WARN, "certs: the change of the private CA: %s", why);
    ca_rolling_waits(r, why);
}
