// SPDX-License-Identifier: Apache-2.0
// The DNS server as a whole: its workers, and the threads that serve them (design section 14). See
// resolver.h; started and stopped by the daemon, off the workers.
#include "resolver/serve/resolver.h"

#include "base/err.h"
#include "base/mem.h"
#include "resolver/forward/forward.h"
#include "resolver/route/geo_watch.h"
#include "resolver/serve/secret_reload.h"
#include "resolver/serve/server_priv.h"
#include "resolver/sign/dnssec.h"
#include "resolver/sign/signing.h"
#include "resolver/zone/zone_maintainer.h"

#include <assert.h>
#include <string.h>

// All addresses that this program listens at, so that it does not forward to itself.
static int start_forwarder(struct resolver *r, const struct resolver_sockets *s)
{
    AUTO_FREE struct endpoint *own = mem_zalloc_array(s->n_endpoints + 1, sizeof *own);
    if (!own)
        return ERR_NOMEM;
    for (size_t i = 0; i < s->n_endpoints; i++)
        own[i] = s->bound[i].at;
    return forwarder_start(own, s->n_endpoints, &r->forwarder);
}

static int start_workers(struct resolver *r, const struct resolver_options *o)
{
    struct resolver_sockets *s = r->sockets;
    for (unsigned i = 0; i < s->n_workers; i++) {
        struct worker *w = &r->workers[i];
        w->epoll = w->stop = -1;
        w->names = r->names;
        w->context.forwarder = r->forwarder;
        w->settings = &r->settings;
        w->geo_cell = geo_watch_cell(r->geo);
        if (o->signing) {
            w->dnssec_cell = signing_cell(o->signing);
            w->context.signer = signing_signer(o->signing);
        }
        journal_writer_init(&r->journal, &r->settings, i, &w->writer);
        if (r->settings.cookies.enabled)
            w->cookies_cell = secret_reload_cookies(r->secret_reload);
        w->identity_cell = secret_reload_identity(r->secret_reload);
        r->n_workers++;
        int rc = worker_init(w, o, s->bound + i * s->n_endpoints, s->n_endpoints);
        if (rc)
            return rc;
    }
    return 0;
}

// All but the memory and the names; what is left of a failure is for resolver_stop.
static int start_threads(struct resolver *r, const struct resolver_options *o)
{
    const struct resolver_sockets *s = r->sockets;
    int rc = secret_reload_start(&r->settings, o->pem, o->look_ms, o->diag, &r->secret_reload);
    if (rc)
        return rc;
    rc = start_forwarder(r, s);
    if (rc)
        return rc;
    rc = geo_watch_start(o->topology, o->look_ms, &r->geo);
    if (rc)
        return rc;
    rc = journal_start(&r->settings, r->names, s->n_workers, o->diag, &r->journal);
    if (rc)
        return rc;
    return start_workers(r, o);
}

static int start_with_settings(struct resolver *r, const struct resolver_options *o)
{
    r->workers = mem_zalloc_array(r->sockets->n_workers, sizeof *r->workers);
    r->names = metrics_names_new();
    if (!r->workers || !r->names)
        return ERR_NOMEM;
    if (o->settings) {
        r->settings = *o->settings;
    } else {
        int rc = node_dns_defaults(&r->settings);
        if (rc)
            return rc;
    }
    return start_threads(r, o);
}

int resolver_start(const struct resolver_options *o, struct resolver_sockets *s,
                   struct resolver **out)
{
    struct resolver *r = mem_zalloc(sizeof *r);
    if (!r) {
        resolver_sockets_free(s); // taken over, also when it fails
        return ERR_NOMEM;
    }
    r->sockets = s;
    r->signing = o->signing;
    int rc = start_with_settings(r, o);
    if (rc) {
        resolver_stop(r);
        return rc;
    }
    *out = r;
    return 0;
}

void resolver_drain(struct resolver *r, unsigned limit_ms)
{
    for (unsigned i = 0; r && i < r->n_workers; i++) {
        atomic_store(&r->workers[i].yield_ms, limit_ms ? limit_ms : 1);
        worker_tell(&r->workers[i]);
    }
}

void resolver_reopen_logs(struct resolver *r)
{
    if (r)
        journal_reopen(&r->journal);
}

void resolver_stop(struct resolver *r)
{
    if (!r)
        return;
    assert(r->workers || !r->n_workers);
    for (unsigned i = 0; i < r->n_workers; i++)
        worker_done(&r->workers[i]);
    forwarder_stop(r->forwarder); // no worker asks any more
    secret_reload_stop(r->secret_reload);
    geo_watch_stop(r->geo);
    journal_stop(&r->journal); // what the workers left in their rings is written
    resolver_sockets_free(r->sockets);
    metrics_names_free(r->names);
    free(r->workers);
    free(r);
}

struct zone *resolver_frontend(const struct resolver *r)
{
    struct zone *z = NULL;
    const struct worker *w = &r->workers[0]; // all have the same cells
    struct dnssec *d = NULL;
    if (w->dnssec_cell)
        d = snapshot_get(w->dnssec_cell);
    struct frontend *f = NULL;
    if (!d && w->frontend_cell)
        f = snapshot_get(w->frontend_cell);
    if (d)
        z = snapshot_ref(d->zone);
    else if (f)
        z = snapshot_ref(f->history->zone);
    snapshot_unref(d);
    snapshot_unref(f);
    return z;
}

struct geo_watch *resolver_geo(struct resolver *r)
{
    return r->geo;
}
