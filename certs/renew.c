// SPDX-License-Identifier: Apache-2.0
// How one certificate is renewed; see certs.h. The thread of renew_thread.c does it when it is due; the
// admin socket may ask for it on a thread of its own. `work` makes renewals one at a time; files
// change by rename only, so whoever reads them sees the old or the new, whole.
#include "certs/certs_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RENEW_ARENA_BYTES (256u << 10)
#define BACKOFF_MAX_MS (60 * 60 * 1000)

// --- the clock that certificates are dated and judged by ---

int cert_clock_judge(struct certs *c, struct diag *diag)
{
    char why[CERT_CLOCK_WHY_BYTES] = "";
    int rc = 0;
    if (c->clock_ok)
        rc = c->clock_ok(c->ctx, why, sizeof why);
    if (rc == ERR_BUSY)
        diag_add(diag, NULL, 0,
                 "%s has only just started, and its clock is not compared with the other regions' "
                 "yet: ask again",
                 c->region);
    else if (rc)
        diag_add(diag, NULL, 0,
                 "no certificate is issued or renewed by the clock of %s, which is far from the "
                 "other regions': %s",
                 c->region, why);
    return rc;
}

// --- getting a certificate ---

// Makes a key, gets a certificate for it, checks and writes it. Called with `work`.
static int renew_into(struct certs *c, const struct topology *t, const struct cert_plan *plan,
                      const char *file, struct arena *a, struct diag *diag)
{
    AUTO_BUF struct buf csr, pem;
    buf_init(&csr, CERT_REQUEST_MAX_BYTES);
    buf_init(&pem, PEM_MAX_BYTES);
    AUTO_AUTHORITIES pem_authorities *ca = cert_ca_of(c->dir, diag);
    if (!ca)
        return ERR_NOTFOUND;
    EVP_PKEY *made = NULL;
    int rc = cert_request(plan, diag, &made, &csr);
    AUTO_PKEY EVP_PKEY *key = made;
    if (rc)
        return rc;
    if (c->ca_dir)
        rc = cert_issue(c, plan, bytes_of(csr.p, csr.n), diag, &pem);
    else
        rc = cert_ask(c, t, plan, buf_cstr(&csr), a, diag, &pem);
    char suspect[CERT_CLOCK_WHY_BYTES] = "";
    if (c->clock_suspect)
        c->clock_suspect(c->ctx, t->ca_region, suspect, sizeof suspect);
    if (rc)
        return rc;
    return cert_install(c->dir, file, bytes_of(pem.p, pem.n), key, plan, ca,
                        *suspect ? suspect : NULL, diag);
}

// --- the peer certificate, which waits for the topology ---

static bool topology_pins(const struct topology *t, const char *region, const char *fingerprint)
{
    const struct region *r = topology_region(t, region);
    for (size_t i = 0; r && i < r->n_peer_fingerprints; i++)
        if (!strcmp(r->peer_fingerprints[i], fingerprint))
            return true;
    return false;
}

// Is there a usable peer-next.pem?
static bool peer_next(struct certs *c, const struct cert_plan *plan, struct cert_info *out)
{
    return !cert_inspect_file(c->dir, PEER_NEXT_FILE, plan, out) && !out->problem[0] &&
           clock_wall_ms() < out->renew_at_ms;
}

// Is the one in use of no use soon, or already? Not by a clock that is known to be wrong.
static bool peer_ends(struct certs *c, const struct cert_plan *plan)
{
    struct cert_info now;
    char why[CERT_CLOCK_WHY_BYTES];
    if (c->clock_ok && c->clock_ok(c->ctx, why, sizeof why) == ERR_CONFLICT)
        return false;
    if (cert_inspect_file(c->dir, plan->file, plan, &now))
        return false;
    int64_t last_ms = (now.not_after_ms - now.not_before_ms) / CERTS_PEER_LAST;
    return clock_wall_ms() >= now.not_after_ms - last_ms;
}

// May the one that waits be used? Once the one in use has expired nobody could be asked any more, and
// nobody would believe it: by then it is not waited for others.
static bool peer_may(struct certs *c, const struct cert_plan *plan, const struct cert_info *next)
{
    if (!c->peer_ready || c->peer_ready(c->ctx, next->fingerprint))
        return true;
    if (!peer_ends(c, plan))
        return false;
    log_warn(
        "certs: the peer certificate %.16s… is taken into use though not all regions are known "
        "to trust it: the one before it nears its end, or has expired",
        next->fingerprint);
    return true;
}

// Puts peer-next.pem into use when the topology in force names it. 1 if it did, 0, or an error.
static int peer_activate(struct certs *c, const struct topology *t, const struct cert_plan *plan,
                         struct diag *diag)
{
    struct cert_info next;
    if (!peer_next(c, plan, &next) || !topology_pins(t, c->region, next.fingerprint))
        return 0;
    if (!peer_may(c, plan, &next))
        return 0;
    AUTO_FREE char *to = mem_printf("%s/%s", c->dir, plan->file);
    if (!to)
        return ERR_NOMEM;
    if (rename(next.path, to)) {
        int e = errno;
        diag_add(diag, to, 0, "cannot be replaced: %s", strerror(e));
        return err_from_errno(e);
    }
    int rc = dir_sync(c->dir);
    log_info("certs: the peer certificate %.16s… is in use now%s", next.fingerprint,
             c->peer_ready ? "" : "; its forerunner can leave the topology");
    if (rc)
        return rc;
    return 1;
}

static int renew_peer(struct certs *c, const struct topology *t, const struct cert_plan *plan,
                      struct arena *a, struct diag *diag)
{
    struct cert_info next;
    if (peer_next(c, plan, &next))
        return 0; // one waits already, and its fingerprint may be on its way into the topology
    int rc = renew_into(c, t, plan, PEER_NEXT_FILE, a, diag);
    if (rc || cert_inspect_file(c->dir, PEER_NEXT_FILE, plan, &next))
        return rc;
    if (c->peer_ready)
        log_info("certs: a new peer certificate %.16s… waits; the writer is asked to name it",
                 next.fingerprint);
    else
        log_warn("certs: a new peer certificate waits; add %s to the peer_fingerprints of %s in "
                 "the topology",
                 next.fingerprint, c->region);
    return 0;
}

// --- one kind ---

// Renews. 1 when files in use changed, 0, or an error. Called with `work`.
static int renew_kind(struct certs *c, const struct topology *t, enum cert_kind kind,
                      struct diag *diag)
{
    struct arena a;
    arena_init(&a, RENEW_ARENA_BYTES);
    struct cert_plan plan;
    int rc = cert_plan(t, c->region, kind, &a, &plan);
    if (!rc && kind == CERT_PEER) {
        rc = renew_peer(c, t, &plan, &a, diag);
        if (!rc)
            rc = peer_activate(c, t, &plan, diag);
    } else if (!rc) {
        rc = renew_into(c, t, &plan, plan.file, &a, diag);
        if (!rc)
            log_info("certs: the %s certificate is renewed", cert_kind_name(kind));
        if (!rc)
            rc = 1;
    }
    arena_done(&a);
    return rc;
}

static void state_set(struct certs *c, enum cert_kind kind, int rc, const struct diag *diag)
{
    AUTO_FREE char *text = NULL;
    if (rc < 0)
        text = diag_text(diag);
    pthread_mutex_lock(&c->lock);
    struct cert_state *s = &c->states[kind];
    if (rc >= 0) {
        *s = (struct cert_state){0};
    } else {
        if (rc == ERR_CONFLICT)
            s->n_failed = 0; // a clock may be right again soon
        int64_t wait_ms = (int64_t)c->check_s * 1000 << (s->n_failed < 16 ? s->n_failed : 16);
        s->n_failed++;
        s->next_try_mono_ms =
            clock_mono_ms() + (wait_ms < BACKOFF_MAX_MS ? wait_ms : BACKOFF_MAX_MS);
        snprintf(s->last_error, sizeof s->last_error, "%s", text && *text ? text : err_text(rc));
    }
    pthread_mutex_unlock(&c->lock);
}

bool cert_peer_waits(struct certs *c, const struct topology *t)
{
    struct arena a;
    struct cert_plan plan;
    struct cert_info next;
    arena_init(&a, RENEW_ARENA_BYTES);
    bool waits = !cert_plan(t, c->region, CERT_PEER, &a, &plan) && peer_next(c, &plan, &next);
    arena_done(&a);
    return waits;
}

int cert_renew_and_note(struct certs *c, const struct topology *t, enum cert_kind kind,
                        struct diag *diag)
{
    int rc = 0;
    if (kind != CERT_PEER || !cert_peer_waits(c, t))
        rc = cert_clock_judge(c, diag);
    if (!rc)
        rc = renew_kind(c, t, kind, diag);
    state_set(c, kind, rc, diag);
    if (rc < 0) {
        AUTO_FREE char *text = diag_text(diag);
        log_warn("certs: the %s certificate could not be renewed: %s", cert_kind_name(kind),
                 text && *text ? text : err_text(rc));
    }
    return rc;
}

int certs_renew(struct certs *c, const enum cert_kind *kind, struct diag *diag)
{
    struct topology *t = snapshot_get(c->topology);
    if (!t)
        return ERR_NOTFOUND;
    bool changed = false;
    int first = 0;
    pthread_mutex_lock(&c->work);
    for (int k = 0; k < N_CERT_KINDS; k++) {
        if (kind && (int)*kind != k)
            continue;
        struct diag own; // so that the state of a kind keeps its own sentences
        diag_init(&own);
        int rc = cert_renew_and_note(c, t, (enum cert_kind)k, &own);
        for (size_t i = 0; i < own.n; i++)
            diag_add(diag, NULL, 0, "%s", own.lines[i]);
        diag_done(&own);
        changed |= rc > 0;
        if (rc < 0 && !first)
            first = rc;
    }
    pthread_mutex_unlock(&c->work);
    snapshot_unref(t);
    if (changed) {
        pthread_mutex_lock(&c->lock);
        c->renewed = true;
        pthread_cond_signal(&c->wake);
        pthread_mutex_unlock(&c->lock);
    }
    return first;
}
