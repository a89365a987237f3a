// SPDX-License-Identifier: Apache-2.0
// See memory_source.h.
#include "tests/support/memory_source.h"

#include "base/err.h"
#include "base/mem.h"
#include "control/changer.h"
#include "control/in_force.h"
#include "control/source_report.h"

#include <pthread.h>
#include <stdlib.h>

struct memory_source {
    struct topology_source base;
    struct memory_store *store;
    struct in_force in_force;
    struct source_report report;
    struct changer *changer;
    topology_source_change *on_change;
    void *ctx;
    // one proposal at a time
    pthread_mutex_t lock;
};

static struct memory_source *of(struct topology_source *s)
{
    return (struct memory_source *)s;
}

static int load(struct topology_source *s, const struct source_cells *cells, struct diag *diag)
{
    struct memory_source *m = of(s);
    if (!m->store->topology) {
        diag_add(diag, "memory", 0, "has no topology");
        return ERR_NOTFOUND;
    }
    in_force_init(&m->in_force, cells->topology);
    in_force_publish(&m->in_force, snapshot_ref(m->store->topology));
    source_report_in_force(&m->report, m->in_force.now->version, false);
    return 0;
}

static int follow(struct topology_source *s, topology_source_change *on_change, void *ctx)
{
    of(s)->on_change = on_change;
    of(s)->ctx = ctx;
    return 0;
}

// With the version in front when the text has none: the text of a value never has.
static int number(const struct proposal *p, uint64_t version, struct buf *out)
{
    buf_printf(out, "version: %llu\n", (unsigned long long)version);
    buf_add(out, p->text, p->n);
    return out->err;
}

static int propose_locked(struct memory_source *m, uint64_t expected, const struct proposal *p,
                          struct diag *diag, uint64_t *out_version)
{
    AUTO_BUF struct buf text;
    struct topology *next = NULL;
    buf_init(&text, 0);
    if (m->in_force.now->version != expected) {
        diag_add(diag, p->source, 0, "version %llu is in force",
                 (unsigned long long)m->in_force.now->version);
        return ERR_CONFLICT;
    }
    int rc = number(p, expected + 1, &text);
    if (!rc)
        rc = changer_apply(m->changer, m->in_force.now, text.p, text.n, p->source, 0, diag, &next);
    if (rc)
        return rc == ERR_BUSY ? ERR_INVAL : rc;
    snapshot_unref(m->store->topology);
    m->store->topology = snapshot_ref(next);
    *out_version = next->version;
    in_force_publish(&m->in_force, next);
    source_report_changes_taken(&m->report, expected + 1, 1, true);
    return 0;
}

static int propose(struct topology_source *s, uint64_t expected, const struct proposal *p,
                   struct diag *diag, uint64_t *out_version)
{
    struct memory_source *m = of(s);
    pthread_mutex_lock(&m->lock);
    int rc = propose_locked(m, expected, p, diag, out_version);
    pthread_mutex_unlock(&m->lock);
    if (!rc && m->on_change)
        m->on_change(m->ctx, false);
    return rc;
}

static void look(struct topology_source *s)
{
    (void)s;
}

static void status(struct topology_source *s, struct topology_status *out_topology,
                   struct topology_status *out_principals)
{
    source_report_copy(&of(s)->report, out_topology);
    *out_principals = (struct topology_status){0};
}

static void close_source(struct topology_source *s)
{
    struct memory_source *m = of(s);
    in_force_done(&m->in_force);
    source_report_done(&m->report);
    changer_free(m->changer);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static const struct topology_source_ops memory_ops = {load, follow, propose,
                                                      look, status, close_source};

int memory_source_open(struct memory_store *store, struct topology_source **out)
{
    struct memory_source *m = mem_zalloc(sizeof *m);
    if (!m)
        return ERR_NOMEM;
    m->base.ops = &memory_ops;
    m->store = store;
    source_report_init(&m->report, "topology");
    pthread_mutex_init(&m->lock, NULL);
    m->changer = changer_new();
    if (!m->changer) {
        close_source(&m->base);
        return ERR_NOMEM;
    }
    *out = &m->base;
    return 0;
}

void memory_store_done(struct memory_store *m)
{
    snapshot_unref(m->topology);
    m->topology = NULL;
}
