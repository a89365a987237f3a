// SPDX-License-Identifier: Apache-2.0
// See signing.h. signing_build runs on the zone maintainer's thread, the rest where the daemon
// starts and stops.
#include "resolver/sign/signing.h"

#include "base/err.h"
#include "base/exposition.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/frontend.h"
#include "resolver/sign/dnssec.h"

#include <string.h>

#define MEMO_SLOTS 16384 // signatures of fe.D and of both apexes

struct signing {
    const char *keys_dir;
    struct snapshot cell;
    struct signer *signer, *memo;
    // the zone maintainer's thread's
    bool failed, in_force;
};

int signing_new(const struct node_dns *settings, struct signing **out)
{
    const struct signer_options memo = {.slots = MEMO_SLOTS};
    const struct signer_options live = {.slots = settings->signing.signatures,
                                        .threads = settings->signing.threads,
                                        .denials_per_s = settings->signing.denials_per_s};
    struct signing *s = mem_zalloc(sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->keys_dir = settings->signing.keys_dir;
    snapshot_init(&s->cell);
    int rc = signer_new(&memo, &s->memo);
    if (!rc)
        rc = signer_new(&live, &s->signer);
    if (rc)
        signing_free(s);
    else
        *out = s;
    return rc;
}

void signing_free(struct signing *s)
{
    if (!s)
        return;
    signer_free(s->signer);
    signer_free(s->memo);
    snapshot_done(&s->cell);
    free(s);
}

struct snapshot *signing_cell(struct signing *s)
{
    return &s->cell;
}

struct signer *signing_signer(struct signing *s)
{
    return s->signer;
}

static void say_why(struct signing *s, const struct diag *d, int rc)
{
    static struct log_limit lim = LOG_LIMIT(60000);
    for (size_t i = 0; i < d->n; i++)
        log_limited(&lim, LOG_ERROR, "dnssec: %s", d->lines[i]);
    if (!s->failed)
        log_error("dnssec: the topology's keys cannot be used (%s); %s", err_text(rc),
                  s->in_force ? "what was in force stays"
                              : "who asks for signatures gets SERVFAIL until they can");
    s->failed = true;
}

static int build_unsigned(struct signing *s, const struct topology *t, const struct zone *last,
                          int64_t now_s, struct zone **out, int64_t *out_again_s)
{
    int rc = zone_frontend(t, last, now_s, out);
    if (rc)
        return rc;
    if (s->in_force)
        snapshot_withdraw(&s->cell);
    s->in_force = false;
    *out_again_s = 0;
    return 0;
}

int signing_build(void *ctx, const struct topology *t, const struct zone *last, int64_t now_s,
                  struct zone **out, int64_t *out_again_s)
{
    struct signing *s = ctx;
    struct dnssec *d;
    struct diag diag;
    if (!t->dnssec.n_keys) {
        s->failed = false;
        return build_unsigned(s, t, last, now_s, out, out_again_s);
    }
    diag_init(&diag);
    int rc = dnssec_new(t, s->keys_dir, now_s, s->memo, last, &diag, &d);
    if (rc) {
        say_why(s, &diag, rc);
    } else {
        if (s->failed)
            log_info("dnssec: the topology's keys are in use");
        s->failed = false;
        *out = snapshot_ref(d->zone);
        *out_again_s = (dnssec_period(now_s) + 1) * FRONTEND_PERIOD_S;
        snapshot_publish(&s->cell, d);
        s->in_force = true;
    }
    diag_done(&diag);
    return rc;
}

static const char *const class_names[SIGNER_CLASSES] = {
    [SIGNER_POSITIVE] = "name", [SIGNER_DENIAL] = "denial"};

static void sample(struct buf *b, const char *family, int class, const char *outcome, double value)
{
    exposition_begin(b, family);
    exposition_label(b, "class", class_names[class]);
    if (outcome)
        exposition_label(b, "outcome", outcome);
    exposition_value(b, value);
}

static void by_class(struct buf *b, const char *family, const char *help,
                     const size_t v[SIGNER_CLASSES])
{
    exposition_family(b, family, "gauge", help);
    for (int c = 0; c < SIGNER_CLASSES; c++)
        sample(b, family, c, NULL, (double)v[c]);
}

void signing_metrics(struct signing *s, struct buf *out)
{
    static const char made[] = "meridian_dns_signatures_total",
                      evicted[] = "meridian_dns_signatures_evicted_total";
    struct signer_stats n;
    signer_stats_get(s->signer, &n);
    exposition_family(out, made, "counter",
                      "Signatures made on line, or refused because a queue or the budget of "
                      "denials was used up.");
    for (int c = 0; c < SIGNER_CLASSES; c++) {
        sample(out, made, c, "made", (double)n.made[c]);
        sample(out, made, c, "refused", (double)n.refused[c]);
    }
    exposition_single(out, "meridian_dns_signature_failures_total", "counter",
                      "Signatures that could not be made.", (double)n.failed);
    by_class(out, "meridian_dns_signatures_cached",
             "Slots of the cache that hold a signature, perhaps an expired one.", n.cached);
    by_class(out, "meridian_dns_signature_slots", "Slots that the cache has.", n.slots);
    by_class(out, "meridian_dns_signatures_queued", "Signatures that wait to be made.", n.queued);
    exposition_family(out, evicted, "counter",
                      "Signatures that made room for others before their time.");
    for (int c = 0; c < SIGNER_CLASSES; c++)
        sample(out, evicted, c, NULL, (double)n.evicted[c]);
}
