// SPDX-License-Identifier: Apache-2.0
// The thread that renews ahead of expiry, every check_s or when it is told to look; its life, and what
// others tell it. See certs.h.
#include "certs/certs_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wait.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define GIVEN_UP_MAX_MS (60 * 60 * 1000)
#define UNCOMPARED_MS 500 // between two looks whether the clocks are compared

// --- what is due ---

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

// The CA still issues by the one that is given up, for a moment, or until people have put the right one
// there: not again at once, and ever more seldom.
static void pause_if_given_up(struct certs *c, const struct topology *t, enum cert_kind kind)
{
    struct cert_info info;
    if (certs_inspect(c->dir, t, c->region, kind, &info))
        return;
    bool again = given_up(c, &info);
    pthread_mutex_lock(&c->lock);
    if (again)
        c->states[kind].next_try_mono_ms =
            clock_mono_ms() +
            wait_backoff_ms(c->n_given_up[kind]++, (int64_t)c->check_s * 1000, GIVEN_UP_MAX_MS);
    else
        c->n_given_up[kind] = 0;
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
    return compared || (kind == CERT_PEER && cert_peer_waits(c, t));
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
            cert_renew_and_note(c, t, (enum cert_kind)kind, &diag) > 0) {
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

void certs_prefer(struct certs *c, const char *authority)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    if (strcmp(c->preferred, authority) != 0) {
        snprintf(c->preferred, sizeof c->preferred, "%s", authority);
        memset(c->n_given_up, 0, sizeof c->n_given_up);
        for (int kind = 0; kind < N_CERT_KINDS; kind++)
            if (!c->states[kind].n_failed)
                c->states[kind].next_try_mono_ms = 0; // what waited for the one before
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
