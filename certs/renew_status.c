// SPDX-License-Identifier: Apache-2.0
// What is told of a node's certificates and their renewal; see certs.h.
#include "certs/certs_priv.h"

#include "base/clock.h"
#include "base/err.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

// Does a problem of a certificate come from a clock? Then it says whose.
static void problem_suspect(struct certs *c, const struct topology *t, struct cert_info *i)
{
    char why[CERT_CLOCK_WHY_BYTES] = "";
    bool ours = c->clock_ok && c->clock_ok(c->ctx, why, sizeof why) == ERR_CONFLICT;
    if (!c->clock_suspect ||
        (i->fault != CERT_NOT_VALID_YET && !(i->fault == CERT_EXPIRED && ours)))
        return;
    c->clock_suspect(c->ctx, t->ca_region, why, sizeof why);
    size_t n = strlen(i->problem);
    snprintf(i->problem + n, sizeof i->problem - n, "; %s", why);
}

int certs_look(struct certs *c, enum cert_kind kind, struct cert_info *out,
               char out_error[CERTS_ERROR_SIZE])
{
    struct topology *t = snapshot_get(c->topology);
    int rc = ERR_NOTFOUND;
    if (t)
        rc = certs_inspect(c->dir, t, c->region, kind, out);
    if (!rc)
        problem_suspect(c, t, out);
    snapshot_unref(t);
    if (rc)
        return rc;
    pthread_mutex_lock(&c->lock);
    memcpy(out_error, c->states[kind].last_error, CERTS_ERROR_SIZE);
    pthread_mutex_unlock(&c->lock);
    return 0;
}

static json_t *kind_status(struct certs *c, const struct topology *t, enum cert_kind kind)
{
    struct cert_info info;
    if (certs_inspect(c->dir, t, c->region, kind, &info))
        return NULL;
    problem_suspect(c, t, &info);
    json_t *one = certs_info_json(&info);
    if (!one)
        return NULL;
    char when[CLOCK_TEXT_SIZE];
    pthread_mutex_lock(&c->lock);
    struct cert_state s = c->states[kind];
    pthread_mutex_unlock(&c->lock);
    int64_t at = info.renew_at_ms;
    if (info.problem[0])
        at = clock_wall_ms();
    if (s.next_try_mono_ms > clock_mono_ms()) {
        int64_t retry = clock_wall_ms() + s.next_try_mono_ms - clock_mono_ms();
        if (retry > at)
            at = retry;
    }
    json_object_set_new(one, "lastError",
                        s.last_error[0] ? json_string(s.last_error) : json_null());
    json_object_set_new(one, "nextRenewal", json_string(clock_format(at, when)));
    char waits[CERTS_ERROR_SIZE] = "";
    if (info.next_fingerprint[0] && c->peer_waits)
        c->peer_waits(c->ctx, waits, sizeof waits);
    json_object_set_new(one, "nextWaits", *waits ? json_string(waits) : json_null());
    return one;
}

void *certs_status_json(struct certs *c)
{
    struct topology *t = snapshot_get(c->topology);
    json_t *all = json_array();
    for (int kind = 0; t && all && kind < N_CERT_KINDS; kind++) {
        json_t *one = kind_status(c, t, (enum cert_kind)kind);
        if (one)
            json_array_append_new(all, one);
    }
    snapshot_unref(t);
    return all;
}
