// SPDX-License-Identifier: Apache-2.0
// See scrub.h. All but `stats` and `stop` is the thread's own.
#include "daemon/scrub.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/exposition.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wait.h"
#include "config/repository.h"
#include "config/topology.h"
#include "store/meta_collect.h"
#include "store/meta_jobs.h"
#include "store/meta_manifests.h"

#include <pthread.h>
#include <stdio.h>

#define PAGE 64
#define TROUBLE_REST_MS 10000

struct scrub {
    struct scrub_options o;
    pthread_t thread;
    bool runs;
    _Atomic bool stop;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    // under the lock
    struct scrub_stats stats;
    // where the pass stands; and where it began, which it comes to again
    struct digest at, began;
    bool wrapped;
};

// False: the thread must end.
static bool rest(struct scrub *s, int64_t ms)
{
    int64_t until_ms = clock_mono_ms() + ms;
    pthread_mutex_lock(&s->lock);
    for (int64_t left_ms; !s->stop && (left_ms = until_ms - clock_mono_ms()) > 0;)
        wait_cond(&s->wake, &s->lock, left_ms);
    pthread_mutex_unlock(&s->lock);
    return !s->stop;
}

static void stats_add(struct scrub *s, const struct scrub_stats *more)
{
    pthread_mutex_lock(&s->lock);
    s->stats.n_blobs += more->n_blobs;
    s->stats.n_manifests += more->n_manifests;
    s->stats.bytes += more->bytes;
    s->stats.n_damaged += more->n_damaged;
    s->stats.n_lost += more->n_lost;
    s->stats.n_passes += more->n_passes;
    pthread_mutex_unlock(&s->lock);
}

static bool still_serves(struct scrub *s, const struct blob_name *name)
{
    struct blob_name is;
    uint64_t size;
    return meta_blob_find(s->o.meta, &name->digest, &is, &size) == 0 && blob_name_equal(&is, name);
}

static void blob_lost(struct scrub *s, const struct blob_name *name)
{
    char text[DIGEST_TEXT_SIZE];
    if (!still_serves(s, name)) // it was collected, or another generation serves
        return;
    log_error("daemon: the scrub found that blob %s is lost on this disk: it is fetched anew from "
              "another region; look at the disk",
              digest_format(&name->digest, text));
    if (blob_damaged_note(s->o.blobs, &name->digest))
        log_warn("daemon: a lost blob cannot be noted: the next scrub finds it again");
    stats_add(s, &(struct scrub_stats){.n_lost = 1});
}

static void blob_damaged(struct scrub *s, const struct blob_name *name)
{
    char text[DIGEST_TEXT_SIZE];
    log_error("daemon: the scrub found that blob %s is damaged on this disk: it was set aside, "
              "counts as absent, and is fetched anew from another region; look at the disk",
              digest_format(&name->digest, text));
    stats_add(s, &(struct scrub_stats){.n_damaged = 1});
}

static void blob_read(struct scrub *s, const struct blob_name *name)
{
    static struct log_limit limit = LOG_LIMIT(60000);
    char text[DIGEST_TEXT_SIZE];
    uint64_t size = 0;
    (void)blob_stat(s->o.blobs, name, &size);
    int rc = blob_verify(s->o.blobs, name, s->o.bytes_per_s, &s->stop);
    switch (rc) {
    case 0:
        stats_add(s, &(struct scrub_stats){.n_blobs = 1, .bytes = size});
        return;
    case ERR_DIGEST:
        blob_damaged(s, name);
        return;
    case ERR_NOTFOUND:
        blob_lost(s, name);
        return;
    case ERR_CANCELED:
        return;
    default:
        log_limited(&limit, LOG_ERROR, "daemon: blob %s cannot be read by the scrub: %s",
                    digest_format(&name->digest, text), err_text(rc));
    }
}

// Has this pass come to where it began?
static bool pass_over(const struct scrub *s, const struct digest *d)
{
    if (!s->wrapped)
        return false;
    if (d->alg != s->began.alg)
        return d->alg > s->began.alg;
    return memcmp(d->b, s->began.b, s->began.n) > 0;
}

// A page of blobs. *out_ended: the pass is over.
static int page_read(struct scrub *s, struct arena *a, bool *out_ended)
{
    struct blob_name *names;
    size_t n;
    const struct digest *after = NULL;
    if (s->at.n)
        after = &s->at;
    int rc = meta_blobs_after(s->o.meta, after, PAGE, a, &names, &n);
    if (rc)
        return rc;
    *out_ended = !n && s->wrapped;
    for (size_t i = 0; i < n && !s->stop; i++) {
        if (pass_over(s, &names[i].digest)) {
            *out_ended = true;
            return 0;
        }
        blob_read(s, &names[i]);
        s->at = names[i].digest;
    }
    if (!n) { // behind the last one comes the first
        s->wrapped = true;
        s->at = (struct digest){0};
    }
    return 0;
}

// --- manifests ---

// Bytes that were read since it last rested for them.
struct paced {
    uint64_t owed;
};

static bool pace(struct scrub *s, struct paced *p, uint64_t bytes)
{
    p->owed += bytes;
    int64_t ms = (int64_t)(p->owed * 1000 / s->o.bytes_per_s);
    if (ms < 10)
        return !s->stop;
    p->owed = 0;
    return rest(s, ms);
}

static bool is_whole(struct bytes content, const struct digest *d)
{
    struct digest is;
    int rc = digest_of((enum digest_alg)d->alg, content.p, content.n, &is);
    return !rc && digest_equal(&is, d);
}

static void manifest_read(struct scrub *s, const char *registry, const char *repository,
                          const struct digest *d, struct paced *p)
{
    struct arena a;
    struct bytes content = {0};
    const char *media_type;
    char text[DIGEST_TEXT_SIZE];
    arena_init(&a, 64 << 20);
    int rc = meta_manifest_content(s->o.meta, registry, repository, d, &a, &content, &media_type);
    bool whole = rc || is_whole(content, d);
    arena_done(&a);
    if (rc) // it was deleted meanwhile, or is read in the next pass
        return;
    (void)pace(s, p, content.n);
    if (whole) {
        stats_add(s, &(struct scrub_stats){.n_manifests = 1});
        return;
    }
    log_error("daemon: the scrub found that manifest %s of %s/%s is damaged in the metadata: it is "
              "not served, and is fetched anew from another region; look at the disk",
              digest_format(d, text), registry, repository);
    stats_add(s, &(struct scrub_stats){.n_damaged = 1});
    if (s->o.on_damaged)
        s->o.on_damaged(s->o.ctx, registry, repository, d);
}

static void repository_read(struct scrub *s, const char *registry, const char *repository,
                            struct paced *p)
{
    struct digest after;
    size_t n = 1;
    for (bool first = true; n && !s->stop; first = false) {
        struct arena a;
        struct manifest_detail *list = NULL;
        n = 0;
        arena_init(&a, 0);
        if (meta_manifests_list(s->o.meta, registry, repository, first ? NULL : &after, PAGE, &a,
                                &list, &n))
            n = 0; // the next pass reads it
        for (size_t i = 0; i < n && !s->stop; i++)
            manifest_read(s, registry, repository, &list[i].digest, p);
        if (n)
            after = list[n - 1].digest;
        arena_done(&a);
    }
}

static void registry_read(struct scrub *s, const char *registry, struct paced *p)
{
    char after[REPOSITORY_NAME_MAX + 1] = "";
    size_t n = 1;
    while (n && !s->stop) {
        struct arena a;
        const char **names = NULL;
        n = 0;
        arena_init(&a, 0);
        if (meta_repositories_list(s->o.meta, registry, *after ? after : NULL, PAGE, &a, &names,
                                   &n))
            n = 0;
        for (size_t i = 0; i < n && !s->stop; i++)
            repository_read(s, registry, names[i], p);
        if (n)
            snprintf(after, sizeof after, "%s", names[n - 1]);
        arena_done(&a);
    }
}

static void manifests_read(struct scrub *s)
{
    struct paced p = {0};
    struct topology *t = NULL;
    if (s->o.topology)
        t = snapshot_get(s->o.topology);
    AUTO_FREE const struct registry **all = t ? topology_sorted(t) : NULL;
    for (size_t i = 0; all && i < t->n_registries && !s->stop; i++)
        registry_read(s, all[i]->key, &p);
    snapshot_unref(t);
}

static void pass(struct scrub *s)
{
    bool ended = false;
    s->wrapped = false;
    s->at = s->began;
    while (!s->stop && !ended) {
        struct arena a;
        arena_init(&a, 0);
        int rc = page_read(s, &a, &ended);
        arena_done(&a);
        if (rc && !rest(s, TROUBLE_REST_MS))
            return;
    }
    manifests_read(s);
    if (ended && !s->stop)
        stats_add(s, &(struct scrub_stats){.n_passes = 1});
}

static void *scrub_main(void *ctx)
{
    struct scrub *s = ctx;
    int64_t next_ms;
    pthread_setname_np(pthread_self(), "scrub");
    do {
        next_ms = clock_mono_ms() + s->o.every_ms;
        pass(s);
    } while (rest(s, next_ms - clock_mono_ms()));
    return NULL;
}

int scrub_start(const struct scrub_options *o, struct scrub **out)
{
    struct scrub *s = mem_zalloc(sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->o = *o;
    s->began = (struct digest){.alg = DIGEST_SHA256, .n = SHA256_BYTES};
    pthread_mutex_init(&s->lock, NULL);
    wait_cond_init(&s->wake);
    int rc = random_bytes(s->began.b, s->began.n);
    if (!rc && o->bytes_per_s) {
        s->runs = pthread_create(&s->thread, NULL, scrub_main, s) == 0;
        if (!s->runs)
            rc = ERR_NOMEM;
    }
    if (rc) {
        scrub_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

void scrub_stop(struct scrub *s)
{
    if (!s || !s->runs)
        return;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    s->runs = false;
}

void scrub_free(struct scrub *s)
{
    if (!s)
        return;
    scrub_stop(s);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void scrub_stats_get(struct scrub *s, struct scrub_stats *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->stats;
    pthread_mutex_unlock(&s->lock);
}

void scrub_metrics(struct scrub *s, struct buf *out)
{
    struct scrub_stats n;
    if (!s)
        return;
    scrub_stats_get(s, &n);
    exposition_single(out, "meridian_scrub_blobs_total", "counter",
                      "Blobs that were read and are whole.", (double)n.n_blobs);
    exposition_single(out, "meridian_scrub_bytes_total", "counter", "Their bytes.",
                      (double)n.bytes);
    exposition_single(out, "meridian_scrub_manifests_total", "counter",
                      "Manifests that were read and are whole.", (double)n.n_manifests);
    exposition_single(out, "meridian_scrub_damaged_total", "counter",
                      "Blobs and manifests that were found damaged or lost.",
                      (double)(n.n_damaged + n.n_lost));
    exposition_single(out, "meridian_scrub_passes_total", "counter",
                      "How often all blobs were read.", (double)n.n_passes);
}
