// SPDX-License-Identifier: Apache-2.0
// The node's audit log; see auditing.h.
#include "daemon/auditing.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/exposition.h"

#include <stdarg.h>
#include <stdio.h>

#define TOLD_MS 3600000 // a loss is a condition for so long

bool auditing_wanted(const struct node *n)
{
    return n->audit && (n->admin.port || (n->roles & (ROLE_REGISTRY | ROLE_AUTH)));
}

int auditing_start(const struct node *n, struct diag *diag, struct audit **out)
{
    const struct audit_options o = {.path = n->audit_file,
                                    .max_bytes = n->audit_max_bytes,
                                    .keep = n->audit_keep,
                                    .region = n->region,
                                    .stamp = n->stamp};
    if (!auditing_wanted(n))
        return 0;
    return audit_start(&o, diag, out);
}

static void tell(const struct app *app, const char *what, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void tell(const struct app *app, const char *what, const char *fmt, ...)
{
    char detail[160];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(detail, sizeof detail, fmt, ap);
    va_end(ap);
    audit_write(app->audit,
                &(struct audit_event){.what = what, .outcome = "done", .detail = detail});
}

// Who edited a document is not known here: it is a file.
static void tell_versions(struct app *app)
{
    struct vitals *v = app->vitals;
    struct topology *t = snapshot_get(app->topology);
    struct principals *p = snapshot_get(app->principals);
    uint64_t topology = 0, principals = 0;
    if (t)
        topology = t->version;
    if (p)
        principals = p->version;
    snapshot_unref(t);
    snapshot_unref(p);
    if (!v->audit_told)
        tell(app, "start", "with version %llu of the topology and %llu of the principals",
             (unsigned long long)topology, (unsigned long long)principals);
    if (v->audit_told && topology != v->audit_topology)
        tell(app, "topology", "version %llu is in force, after %llu", (unsigned long long)topology,
             (unsigned long long)v->audit_topology);
    if (v->audit_told && principals != v->audit_principals)
        tell(app, "principals", "version %llu is in force, after %llu",
             (unsigned long long)principals, (unsigned long long)v->audit_principals);
    v->audit_told = true;
    v->audit_topology = topology;
    v->audit_principals = principals;
}

void auditing_refused(const struct app *app, const struct http_request *req, const char *registry)
{
    const struct audit_event e = {.what = "refusal",
                                  .outcome = "refused",
                                  .client = req->client,
                                  .private_endpoint = req->private_endpoint,
                                  .registry = registry,
                                  .code = req->refused_code,
                                  .why = req->refused_why,
                                  .request_id = req->request_id,
                                  .stranger = true};
    audit_write(app->audit, &e);
}

void auditing_note(const struct app *app, const struct http_request *req, struct audit_event *e)
{
    if (req) {
        e->client = req->client;
        e->principal = req->principal;
        e->request_id = req->request_id;
    }
    if (app->audit)
        audit_write(app->audit, e);
}

void auditing_judge(struct app *app)
{
    if (app->audit)
        tell_versions(app);
    struct conditions *c = &app->vitals->conditions;
    struct audit_status s;
    char at[CLOCK_TEXT_SIZE];
    audit_status(app->audit, &s);
    bool lost = s.lost_at_ms && clock_wall_ms() - s.lost_at_ms < TOLD_MS;
    if (s.error)
        condition_set(
            c, CONDITION_AUDIT, CONDITION_WARNING,
            "the audit log %s takes no lines: %s; they wait in memory, and %llu are lost; "
            "see that disk and audit.file",
            app->node->audit_file, err_text(s.error), (unsigned long long)s.n_lost);
    else if (lost)
        condition_set(c, CONDITION_AUDIT, CONDITION_WARNING,
                      "%llu lines of the audit log %s are lost, the last at %s: its disk took none",
                      (unsigned long long)s.n_lost, app->node->audit_file,
                      clock_format(s.lost_at_ms, at));
    else
        condition_clear(c, CONDITION_AUDIT);
}

void auditing_metrics(const struct app *app, struct buf *b)
{
    static const char name[] = "meridian_audit_lines_total";
    struct audit_status s;
    if (!app->audit)
        return;
    audit_status(app->audit, &s);
    const struct {
        const char *outcome;
        uint64_t n;
    } rows[] = {{"written", s.n_written}, {"lost", s.n_lost}, {"left_out", s.n_left_out}};
    exposition_family(b, name, "counter", "Lines of the audit log.");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        exposition_begin(b, name);
        exposition_label(b, "outcome", rows[i].outcome);
        exposition_value(b, (double)rows[i].n);
    }
    exposition_single(b, "meridian_audit_waiting_bytes", "gauge",
                      "Lines of the audit log that wait for its disk.", (double)s.waiting);
}
