// SPDX-License-Identifier: Apache-2.0
// What the worker's rooms tell each other through it; see worker_priv.h.
#include "daemon/worker_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "daemon/frame_file.h"
#include "daemon/supervisor_ipc.h"
#include "daemon/task_runner.h"
#include "resolver/zone/zone_maintainer.h"

#include <stdio.h>

void worker_on_commit(void *ctx)
{
    struct worker *w = ctx;
    replicator_committed(atomic_load(&w->replicator));
}

void worker_on_away(void *ctx, const char *region, bool away)
{
    struct worker *w = ctx;
    tunnels_peer(w->tunnels, region, away);
}

void worker_on_lost(void *ctx, const char *registry, const char *repository, const struct digest *d)
{
    struct worker *w = ctx;
    replicator_suspect(atomic_load(&w->replicator), registry, repository, d);
}

void worker_on_fault(void *ctx, const char *label)
{
    struct worker *w = ctx;
    impairment_fault(&w->vitals.impairment, label, clock_mono_ms());
}

// What is thought of clocks (replication/clock_rule.h), for rooms that judge dates.
int worker_clock_ok(void *ctx, char *why, size_t cap)
{
    struct worker *w = ctx;
    struct clock_opinion o;
    if (!(w->node->roles & ROLE_REPLICATOR))
        return 0; // nobody compares it
    if (!replication_clock_opinion(atomic_load(&w->replicator), &o) || !o.compared)
        return ERR_BUSY;
    if (!o.far)
        return 0;
    snprintf(why, cap, "%s", o.ours);
    return ERR_CONFLICT;
}

// The same for the control feed, whose entries it dates.
enum control_clock worker_feed_clock(void *ctx, char *why, size_t cap)
{
    struct worker *w = ctx;
    struct clock_opinion o;
    if (!(w->node->roles & ROLE_REPLICATOR))
        return CONTROL_CLOCK_FINE;
    if (!replication_clock_opinion(atomic_load(&w->replicator), &o))
        return CONTROL_CLOCK_UNSURE;
    if (!o.compared || o.set_since)
        return CONTROL_CLOCK_UNSURE;
    if (o.far) {
        snprintf(why, cap, "%s", o.ours);
        return CONTROL_CLOCK_WRONG;
    }
    if (o.ahead)
        return CONTROL_CLOCK_UNSURE;
    return CONTROL_CLOCK_FINE;
}

void worker_clock_suspected(void *ctx, const char *region, char *out, size_t cap)
{
    struct worker *w = ctx;
    char text[CLOCK_SENTENCE_SIZE];
    replication_clock_suspect(atomic_load(&w->replicator), region, text);
    snprintf(out, cap, "%s", text);
}

void worker_orders_of(void *ctx, const char *region, const char *label, char *out, size_t cap)
{
    struct worker *w = ctx;
    if (w->app.health)
        health_orders_text(w->app.health, region, label, out, cap);
}

void worker_reload_edge(void *ctx)
{
    struct worker *w = ctx;
    if (ipc_send(w->ipc_fd, &(struct ipc_message){.kind = IPC_RELOAD}))
        log_warn("daemon: the supervisor did not take the word to reload the edge");
}

// For the supervisor, which renders the edge's configuration.
void worker_leave_frame(struct worker *w)
{
    if (!w->app.feed)
        return;
    struct topology *t = snapshot_get(&w->topology);
    static struct log_limit lim = LOG_LIMIT(60000);
    int rc = frame_file_write(w->paths->frame, t);
    if (rc)
        log_limited(&lim, LOG_WARN,
                    "daemon: %s: it cannot be written, the edge keeps its configuration: %s",
                    w->paths->frame, err_text(rc));
    snapshot_unref(t);
}

void worker_on_topology(void *ctx, bool frame)
{
    struct worker *w = ctx;
    struct replicator *r = atomic_load(&w->replicator);
    if (r)
        replicator_reconfigure(r);
    task_runner_look(atomic_load(&w->tasks));
    members_wake(&w->members);
    if (!frame)
        return;
    zone_maintainer_poke(atomic_load(&w->zone_maintainer));
    housekeeping_wake(&w->housekeeping);
    worker_leave_frame(w);
    worker_reload_edge(w); // peers and their addresses stand in its configuration
}
