// SPDX-License-Identifier: Apache-2.0
// See collector.h. A step runs on the runner's thread.
#include "daemon/collector.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/exposition.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/orphans.h"

#include <inttypes.h>
#include <pthread.h>

#define WALK_FILES 1024 // of one step of a sweep
#define WALK_REST_MS 200
#define REST_MIN_MS 500
#define REST_MAX_MS 60000
#define HELD_MS 3600000 // a backup that takes longer is spoken of

struct collector {
    struct blob_store *bs;
    struct meta *m;
    struct orphans *orphans;
    // when the next walk over all files begins, mono; the runner's thread alone
    int64_t walk_at_ms;
    // when pulls are written next; likewise
    int64_t flush_at_ms;
    // since when files stay that a backup holds, mono; 0: none does; likewise
    int64_t held_since_ms;
    pthread_mutex_t lock;
    // under the lock: since the start
    struct collect_counts sum;
    uint64_t n_orphans, orphan_bytes;
};

int collector_new(struct blob_store *bs, struct meta *m, struct collector **out)
{
    struct collector *c = mem_zalloc(sizeof *c);
    if (!c)
        return ERR_NOMEM;
    *c = (struct collector){.bs = bs, .m = m, .walk_at_ms = clock_mono_ms()};
    int rc = orphans_new(bs, m, ORPHANS_WAIT_MS, &c->orphans);
    if (rc) {
        free(c);
        return rc;
    }
    pthread_mutex_init(&c->lock, NULL);
    *out = c;
    return 0;
}

void collector_free(struct collector *c)
{
    if (!c)
        return;
    orphans_free(c->orphans);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static void counts_note(struct collector *c, const struct collect_counts *n)
{
    pthread_mutex_lock(&c->lock);
    c->sum.n_manifests += n->n_manifests;
    c->sum.n_leases += n->n_leases;
    c->sum.n_condemned += n->n_condemned;
    c->sum.n_deleted += n->n_deleted;
    c->sum.n_removed += n->n_removed;
    c->sum.bytes_removed += n->bytes_removed;
    pthread_mutex_unlock(&c->lock);
    if (n->n_removed)
        log_info("daemon: collected %" PRIu64 " blobs that nothing refers to, %" PRIu64 " bytes",
                 n->n_removed, n->bytes_removed);
}

static void orphans_note(struct collector *c, uint64_t n, uint64_t bytes)
{
    if (!n)
        return;
    pthread_mutex_lock(&c->lock);
    c->n_orphans += n;
    c->orphan_bytes += bytes;
    pthread_mutex_unlock(&c->lock);
    log_info("daemon: removed %" PRIu64 " files, %" PRIu64
             " bytes, that were left by uploads and copies which did not end",
             n, bytes);
}

// A piece of a walk over all files, of which there are four a day. *out_ms: until the next piece; -1:
// none is due.
static int sweep(struct collector *c, int64_t *out_ms)
{
    uint64_t n = 0, bytes = 0;
    bool ended = false;
    *out_ms = -1;
    if (clock_mono_ms() < c->walk_at_ms)
        return 0;
    int rc = orphans_step(c->orphans, WALK_FILES, &n, &bytes, &ended);
    orphans_note(c, n, bytes);
    if (rc)
        return rc;
    *out_ms = WALK_REST_MS;
    if (ended) {
        c->walk_at_ms = clock_mono_ms() + ORPHANS_WAIT_MS / 4;
        *out_ms = -1;
    }
    return 0;
}

// Leases end at any time: a twentieth of the grace is soon enough.
static int64_t rest_of(struct collector *c)
{
    int64_t ms = meta_lease_grace(c->m) / 20;
    if (ms < REST_MIN_MS)
        return REST_MIN_MS;
    return ms < REST_MAX_MS ? ms : REST_MAX_MS;
}

// What fails is lost: the times are coarse.
static void pulls_flush(struct collector *c)
{
    static struct log_limit limit = LOG_LIMIT(60000);
    if (clock_mono_ms() < c->flush_at_ms)
        return;
    c->flush_at_ms = clock_mono_ms() + META_PULLED_FLUSH_MS;
    int rc = meta_pulled_flush(c->m);
    if (rc)
        log_limited(&limit, LOG_WARN, "daemon: when manifests were pulled cannot be noted: %s",
                    err_text(rc));
}

// A backup that hangs would keep the disk filling.
static void held_note(struct collector *c, bool held)
{
    static struct log_limit limit = LOG_LIMIT(HELD_MS);
    int64_t now_ms = clock_mono_ms();
    if (!held)
        c->held_since_ms = 0;
    else if (!c->held_since_ms)
        c->held_since_ms = now_ms;
    if (!held || now_ms - c->held_since_ms < HELD_MS)
        return;
    log_limited(&limit, LOG_WARN,
                "daemon: a backup has held the store for %" PRId64
                " minutes: no blob is removed until it ends; if it hangs, end that `meridian "
                "backup`: the next one goes on where it was",
                (now_ms - c->held_since_ms) / 60000);
}

static int collect_step(void *ctx, struct task_step *s)
{
    struct collector *c = ctx;
    struct collect_counts n = {0};
    int64_t began_ms = clock_mono_ms(), walk_ms = -1;
    pulls_flush(c);
    int rc = collect_turn(c->bs, c->m, &n);
    counts_note(c, &n);
    held_note(c, n.held);
    if (!rc && !n.more && !task_stops(s))
        rc = sweep(c, &walk_ms);
    if (rc)
        return rc;
    s->again_ms = rest_of(c);
    if (walk_ms >= 0)
        s->again_ms = walk_ms;
    if (n.more) // pushes have most of the time
        s->again_ms = 50 + 4 * (clock_mono_ms() - began_ms);
    return 0;
}

// The task is queued once, and comes back.
static void collect_queue(void *ctx)
{
    struct collector *c = ctx;
    const struct task_new t = {.kind = TASK_COLLECT, .key = COLLECTOR_KEY, .registry = ""};
    int rc = meta_task_add(c->m, &t);
    if (rc)
        log_warn("daemon: the collection of blobs cannot be queued: %s; it is tried again",
                 err_text(rc));
}

void collector_register(struct collector *c, struct task_runner *r)
{
    task_runner_register(r, TASK_COLLECT, collect_step, c);
    task_runner_every(r, 600000, collect_queue, c);
}

void collector_metrics(struct collector *c, struct buf *out)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    struct collect_counts n = c->sum;
    uint64_t n_orphans = c->n_orphans, orphan_bytes = c->orphan_bytes;
    pthread_mutex_unlock(&c->lock);
    exposition_single(out, "meridian_collect_leases_total", "counter",
                      "Leases of blobs that were over.", (double)n.n_leases);
    exposition_single(out, "meridian_collect_manifests_total", "counter",
                      "Contents of deleted manifests that went.", (double)n.n_manifests);
    exposition_single(out, "meridian_collect_blobs_total", "counter",
                      "Blobs that were removed from the disk.", (double)n.n_removed);
    exposition_single(out, "meridian_collect_bytes_total", "counter", "Their bytes.",
                      (double)n.bytes_removed);
    exposition_single(out, "meridian_collect_orphans_total", "counter",
                      "Files without a row that were removed.", (double)n_orphans);
    exposition_single(out, "meridian_collect_orphan_bytes_total", "counter", "Their bytes.",
                      (double)orphan_bytes);
}
