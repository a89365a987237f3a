// SPDX-License-Identifier: Apache-2.0
// What people ask for while the private CA is replaced, on the node that has it; see ca_rolling.h.
#include "daemon/ca_rolling_priv.h"

#include "base/err.h"
#include "certs/trust.h"

#include <stdio.h>
#include <string.h>

static int refuse(struct diag *diag, int rc, const char *why)
{
    diag_add(diag, NULL, 0, "%s", why);
    return rc;
}

// Calls `fn` with what is so, one at a time.
static int ask(struct ca_rolling *r, struct diag *diag,
               int (*fn)(struct ca_rolling *r, struct ca_look *x, int64_t ms, struct diag *diag),
               int64_t ms)
{
    struct ca_look x;
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
    rc = ca_look_begin(r, &x);
    if (rc)
        diag_add(diag, NULL, 0, "the CA or the topology cannot be read now: %s", err_text(rc));
    else if (!x.leads)
        rc = refuse(diag, ERR_UNSUPPORTED,
                    "this node does not have the CA (ca_dir, and certificates: ca_region); ask the "
                    "node that has it");
    else if (x.ca_error)
        rc = refuse(diag, x.ca_error, "the CA in ca_dir cannot be read");
    else
        rc = fn(r, &x, ms, diag);
    ca_look_end(&x);
    pthread_mutex_unlock(&r->work);
    if (!rc)
        ca_rolling_look(r); // what is asked next sees it
    return rc;
}

static int begin_run(struct ca_rolling *r, struct ca_look *x, int64_t ms, struct diag *diag)
{
    char why[CA_WHY_BYTES];
    int rc = ca_roll_may_begin(&x->f, why, sizeof why);
    if (rc == ERR_EXISTS)
        return ca_steps_announce(r, x, ms, diag);
    if (rc)
        return refuse(diag, rc, why);
    return ca_steps_make(r, x, ms, diag);
}

static int cancel_run(struct ca_rolling *r, struct ca_look *x, int64_t ms, struct diag *diag)
{
    char why[CA_WHY_BYTES];
    (void)ms;
    int rc = ca_roll_may_change(&x->f, why, sizeof why);
    if (rc)
        return refuse(diag, rc, why);
    x->record.step = CA_STEP_CANCELLED;
    x->record.used_ms = x->f.now_ms;
    return ca_writer_put(r, x, &x->record, false, diag);
}

static int without_away_run(struct ca_rolling *r, struct ca_look *x, int64_t ms, struct diag *diag)
{
    char why[CA_WHY_BYTES];
    (void)ms;
    int rc = ca_roll_may_change(&x->f, why, sizeof why);
    if (rc)
        return refuse(diag, rc, why);
    x->record.without_away = true;
    return ca_writer_put(r, x, &x->record, false, diag);
}

static int drop_run(struct ca_rolling *r, struct ca_look *x, int64_t ms, struct diag *diag)
{
    char why[CA_WHY_BYTES];
    (void)ms;
    int rc = ca_roll_may_drop(&x->f, why, sizeof why);
    if (rc)
        return refuse(diag, rc, why);
    x->record.step = CA_STEP_DONE;
    return ca_writer_put(r, x, &x->record, false, diag);
}

// The two change places. All regions trust both still, and renew what the lost one has issued.
static int back_run(struct ca_rolling *r, struct ca_look *x, int64_t ms, struct diag *diag)
{
    char why[CA_WHY_BYTES];
    AUTO_BUF struct buf pem;
    (void)ms;
    buf_init(&pem, CA_ROLL_CERTIFICATE_BYTES - 1);
    int rc = ca_roll_may_go_back(&x->f, why, sizeof why);
    if (rc)
        return refuse(diag, rc, why);
    struct ca_record record = {.step = CA_STEP_USE,
                               .until_ms = trust_ends_ms(bytes_str(x->record.certificate)),
                               .made_ms = x->f.now_ms,
                               .issue_ms = x->f.now_ms,
                               .used_ms = x->f.now_ms};
    memcpy(record.old, x->record.next, sizeof record.old);
    memcpy(record.next, x->record.old, sizeof record.next);
    rc = ca_in_use_certificate(r->app->node->ca_dir, &pem);
    if (rc)
        return refuse(diag, rc, "the certificate of the CA in ca_dir cannot be read");
    snprintf(record.certificate, sizeof record.certificate, "%s", buf_cstr(&pem));
    return ca_writer_put(r, x, &record, false, diag);
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

int ca_rolling_ask_back(struct ca_rolling *r, struct diag *diag)
{
    return ask(r, diag, back_run, 0);
}
