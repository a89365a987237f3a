// SPDX-License-Identifier: Apache-2.0
// Renewal ahead of expiry; see certs.h. One thread of its own looks every check_s; the admin socket
// may ask for a renewal on a thread of its own. `work` makes renewals one at a time; files change
// by rename only, so whoever reads them sees the old or the new, whole.
#include "certs/certs_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define RENEW_ARENA_BYTES (256u << 10)
#define BACKOFF_MAX_MS (60 * 60 * 1000)
#define UNCOMPARED_MS 500 // between two looks whether the clocks are compared

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
    if (c->ca)
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

// Does a peer certificate wait? To take it into use dates nothing, so it needs no clock that was
// compared: there may be nobody to compare with.
static bool peer_waits(struct certs *c, const struct topology *t)
{
    struct arena a;
    struct cert_plan plan;
    struct cert_info next;
    arena_init(&a, RENEW_ARENA_BYTES);
    bool waits = !cert_plan(t, c->region, CERT_PEER, &a, &plan) && peer_next(c, &plan, &next);
    arena_done(&a);
    return waits;
}

static int renew_and_note(struct certs *c, const struct topology *t, enum cert_kind kind,
                          struct diag *diag)
{
    int rc = 0;
    if (kind != CERT_PEER || !peer_waits(c, t))
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

// --- the thread ---

// Is it of a CA that is being given up?
static bool given_up(struct certs *c, const struct cert_info *i)
{
    pthread_mutex_lock(&c->lock);
    bool is = c->preferred[0] && strcmp(c->preferred, i->authority) != 0;
    pthread_mutex_unlock(&c->lock);
    return is;
}

static bool due(struct certs *c, const struct topology *t, enum cert_kind kind)
{
    struct cert_info info;
    pthread_mutex_lock(&c->lock);
    bool waits = clock_mono_ms() < c->states[kind].next_try_mono_ms;
    pthread_mutex_unlock(&c->lock);
    if (certs_inspect(c->dir, t, c->region, kind, &info))
        return false;
    if (kind == CERT_PEER && info.next_fingerprint[0])
        return true; // costs a look at one file, and puts it into use when it may be
    return !waits && (info.problem[0] || clock_wall_ms() >= info.renew_at_ms || given_up(c, &info));
}

// The CA still issues by the one that is given up, for a moment: not again at once.
static void pause_if_given_up(struct certs *c, const struct topology *t, enum cert_kind kind)
{
    struct cert_info info;
    if (certs_inspect(c->dir, t, c->region, kind, &info) || !given_up(c, &info))
        return;
    pthread_mutex_lock(&c->lock);
    c->states[kind].next_try_mono_ms = clock_mono_ms() + (int64_t)c->check_s * 1000;
    pthread_mutex_unlock(&c->lock);
}

static bool clock_compared(struct certs *c)
{
    char why[CERT_CLOCK_WHY_BYTES];
    return !c->clock_ok || c->clock_ok(c->ctx, why, sizeof why) != ERR_BUSY;
}

// Before the clock is compared nothing is renewed: then only what waits is put into use.
static bool may_look(struct certs *c, const struct topology *t, enum cert_kind kind, bool compared)
{
    return compared || (kind == CERT_PEER && peer_waits(c, t));
}

static bool tick(struct certs *c)
{
    struct topology *t = snapshot_get(c->topology);
    bool changed = false, compared = clock_compared(c);
    pthread_mutex_lock(&c->work);
    // a restart waits for this thread
    for (int kind = 0; t && kind < N_CERT_KINDS && !c->stop; kind++) {
        struct diag diag;
        diag_init(&diag);
        if (may_look(c, t, (enum cert_kind)kind, compared) && due(c, t, (enum cert_kind)kind) &&
            renew_and_note(c, t, (enum cert_kind)kind, &diag) > 0) {
            changed = true;
            pause_if_given_up(c, t, (enum cert_kind)kind);
        }
        diag_done(&diag);
    }
    pthread_mutex_unlock(&c->work);
    snapshot_unref(t);
    return changed;
}

// Waits for the next look, a change made by certs_renew, or the end. Called with `lock`.
static void wait_for_work(struct certs *c)
{
    int64_t wait_ms = UNCOMPARED_MS;
    if (clock_compared(c))
        wait_ms = (int64_t)c->check_s * 1000;
    int64_t until_ms = clock_mono_ms() + wait_ms;
    const struct timespec ts = {until_ms / 1000, until_ms % 1000 * 1000000};
    while (!c->stop && !c->renewed && !c->poked)
        if (pthread_cond_timedwait(&c->wake, &c->lock, &ts))
            return;
}

static void *thread_main(void *arg)
{
    struct certs *c = arg;
    for (;;) {
        bool changed = tick(c);
        pthread_mutex_lock(&c->lock);
        if (!changed)
            wait_for_work(c);
        changed |= c->renewed;
        c->renewed = false;
        c->poked = false;
        bool stop = c->stop;
        pthread_mutex_unlock(&c->lock);
        if (changed && c->on_renewed)
            c->on_renewed(c->ctx);
        if (stop)
            return NULL;
    }
}

static void certs_free(struct certs *c)
{
    ca_close(c->ca);
    pthread_rwlock_destroy(&c->ca_lock);
    free(c->ca_dir);
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->work);
    nonces_done(&c->nonces);
    free(c->dir);
    free(c->region);
    free(c);
}

int certs_start(const struct certs_options *o, struct diag *diag, struct certs **out)
{
    struct certs *c = mem_zalloc(sizeof *c);
    if (!c)
        return ERR_NOMEM;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&c->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->work, NULL);
    pthread_rwlock_init(&c->ca_lock, NULL);
    nonces_init(&c->nonces);
    c->dir = mem_strdup(o->certs_dir);
    c->region = mem_strdup(o->region);
    c->topology = o->topology;
    c->fetcher = o->fetcher;
    c->keys = o->keys;
    if (o->check_s)
        c->check_s = o->check_s;
    else
        c->check_s = 60;
    c->on_renewed = o->on_renewed;
    c->clock_ok = o->clock_ok;
    c->clock_suspect = o->clock_suspect;
    c->peer_ready = o->peer_ready;
    c->peer_waits = o->peer_waits;
    c->ctx = o->ctx;
    int rc = ERR_NOMEM;
    if (c->dir && c->region)
        rc = 0;
    if (!rc && o->ca_dir) {
        c->ca_dir = mem_strdup(o->ca_dir);
        rc = ERR_NOMEM;
        if (c->ca_dir)
            rc = ca_open(o->ca_dir, diag, &c->ca);
    }
    if (!rc && pthread_create(&c->thread, NULL, thread_main, c)) {
        diag_add(diag, NULL, 0, "no thread for certificate renewal");
        rc = ERR_NOMEM;
    }
    if (rc) {
        certs_free(c);
        return rc;
    }
    *out = c;
    return 0;
}

void certs_end(struct certs *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
}

void certs_poke(struct certs *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->poked = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
}

// --- the CA at hand, and the one that is to be used ---

int cert_issue(struct certs *c, const struct cert_plan *plan, struct bytes csr_pem,
               struct diag *diag, struct buf *out_pem)
{
    pthread_rwlock_rdlock(&c->ca_lock);
    int rc = ca_issue(c->ca, plan, csr_pem, 0, diag, out_pem);
    pthread_rwlock_unlock(&c->ca_lock);
    return rc;
}

int certs_ca_change(struct certs *c, int (*change)(void *ctx, struct diag *diag), void *ctx,
                    struct diag *diag)
{
    struct ca *now = NULL, *was = NULL;
    if (!c->ca_dir)
        return ERR_UNSUPPORTED;
    pthread_rwlock_wrlock(&c->ca_lock);
    int rc = change(ctx, diag);
    if (!rc)
        rc = ca_open(c->ca_dir, diag, &now);
    if (!rc) {
        was = c->ca;
        c->ca = now;
    }
    pthread_rwlock_unlock(&c->ca_lock);
    ca_close(was);
    return rc;
}

void certs_prefer(struct certs *c, const char *authority)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    if (strcmp(c->preferred, authority) != 0) {
        snprintf(c->preferred, sizeof c->preferred, "%s", authority);
        c->poked = true;
        pthread_cond_signal(&c->wake);
    }
    pthread_mutex_unlock(&c->lock);
}

void certs_changed(struct certs *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->renewed = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
}

void certs_stop(struct certs *c)
{
    if (!c)
        return;
    certs_end(c);
    pthread_join(c->thread, NULL);
    certs_free(c);
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
        int rc = renew_and_note(c, t, (enum cert_kind)k, &own);
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
