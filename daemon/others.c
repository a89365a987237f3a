// SPDX-License-Identifier: Apache-2.0
// How the registry's routes ask what other regions hold: through the replicator, while it runs
// (content/elsewhere.h). Any thread that may wait; in a restart the replicator ends before the
// uploads that go on here do.
#include "daemon/worker_priv.h"

#include "base/err.h"

// NULL: it does not run. Else replicator_unref lets go.
static struct replicator *replicator_hold(struct worker *w)
{
    pthread_mutex_lock(&w->replicator_lock);
    struct replicator *r = atomic_load(&w->replicator);
    if (r)
        replicator_ref(r);
    pthread_mutex_unlock(&w->replicator_lock);
    return r;
}

static int others_ask(void *ctx, struct elsewhere_want *want, char silent[CONTENT_TEXT_SIZE])
{
    struct replicator *r = replicator_hold(ctx);
    if (!r)
        return ERR_CANCELED;
    int rc = replicator_ask(r, want, silent);
    replicator_unref(r);
    return rc;
}

static int others_fetch(void *ctx, struct elsewhere_want *want, char error[CONTENT_TEXT_SIZE])
{
    struct replicator *r = replicator_hold(ctx);
    if (!r)
        return ERR_CANCELED;
    int rc = replicator_fetch(r, want, error);
    replicator_unref(r);
    return rc;
}

static struct elsewhere_told *others_tell(void *ctx, const struct elsewhere_want *want)
{
    struct replicator *r = replicator_hold(ctx);
    if (!r)
        return NULL;
    struct elsewhere_told *t = replicator_tell(r, want);
    replicator_unref(r);
    return t;
}

static bool others_coming(void *ctx, const char *registry, const char *repository,
                          const struct digest *d)
{
    struct replicator *r = replicator_hold(ctx);
    if (!r)
        return false;
    bool coming = replicator_coming(r, registry, repository, d);
    replicator_unref(r);
    return coming;
}

static void others_wait(void *ctx, const char *registry, const char *repository,
                        const struct digest *d, int64_t until_mono)
{
    struct replicator *r = replicator_hold(ctx);
    if (!r)
        return;
    replicator_wait(r, registry, repository, d, until_mono);
    replicator_unref(r);
}

static unsigned others_reachable(void *ctx, const char *registry, char away[CONTENT_TEXT_SIZE])
{
    struct replicator *r = replicator_hold(ctx);
    *away = 0;
    if (!r)
        return 0;
    unsigned n = replicator_reachable(r, registry, away);
    replicator_unref(r);
    return n;
}

static int others_ack_begin(void *ctx, const struct elsewhere_ack_want *want,
                            struct elsewhere_ack **out)
{
    struct replicator *r = replicator_hold(ctx);
    if (!r)
        return ERR_CANCELED;
    int rc = replicator_ack_begin(r, want, out);
    replicator_unref(r);
    return rc;
}

const struct elsewhere_ops worker_others = {.ask = others_ask,
                                            .fetch = others_fetch,
                                            .tell = others_tell,
                                            .told = replicator_told,
                                            .coming = others_coming,
                                            .wait = others_wait,
                                            .reachable = others_reachable,
                                            .ack_begin = others_ack_begin,
                                            .ack_look = replicator_ack_look,
                                            .ack_wake = replicator_ack_wake,
                                            .ack_end = replicator_ack_end};
