// SPDX-License-Identifier: Apache-2.0
// Room for what is fetched. A job's missing bytes are known before they are asked for: they are
// charged against the disk's reserve as a whole (store/space.h), or the job is parked until they
// fit. So one large image stops nothing else, and no partial fetch fills a disk. Workers charge,
// the dispatcher looks for room.
#include "replication/replication_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/exposition.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>

#define ROOM_LOOK_MS 1000
#define STALE_LOOK_MS 30000 // parked jobs may need less than they did: a few are looked at so often
#define MIB (1024.0 * 1024.0)

void store_wrote(struct replicator *r, int rc)
{
    bool full = rc == ERR_NOSPACE;
    if (atomic_exchange(&r->full, full) == full)
        return;
    if (full)
        log_error("replication: the disk is full: nothing that is read or fetched can be noted; it "
                  "goes on by itself "
                  "when there is space");
    else
        log_info("replication: the disk takes what is read and fetched again");
}

// --- workers ---

void room_say(const struct worker *w, char error[ERROR_TEXT_SIZE])
{
    struct space_view v = {0};
    if (w->r->o.space)
        (void)space_look(w->r->o.space, &v);
    snprintf(error, ERROR_TEXT_SIZE,
             "no space in %s: %s/%s needs %.1f MiB, and %.1f MiB fit above the disk's reserve; it "
             "is fetched when "
             "there is room",
             w->r->o.region, w->job.entry.registry, w->job.entry.repository, (double)w->lacks / MIB,
             v.is_short ? 0 : (double)v.room_bytes / MIB);
}

int room_take(struct worker *w, uint64_t bytes)
{
    if (!bytes) { // nothing is known to lack: what comes all the same is granted by windows
        w->charge = (struct space_charge){.space = w->r->o.space};
        return 0;
    }
    int rc = space_take(w->r->o.space, bytes, &w->charge);
    if (rc == ERR_NOSPACE)
        w->lacks = bytes;
    if (!rc && w->job.room)
        (void)meta_job_fits(w->r->o.meta, w->job.id);
    return rc;
}

// A manifest is looked at again and again while it is parked: it must not be fetched as far as it
// fits each time.
static void larger_note(struct replicator *r, const struct digest *d, uint64_t bytes)
{
    pthread_mutex_lock(&r->lock);
    struct larger *at = &r->larger[0];
    for (size_t i = 0; i < LARGER_MAX; i++) {
        struct larger *l = &r->larger[i];
        if (digest_equal(&l->digest, d)) {
            at = l;
            break;
        }
        if (l->at_mono < at->at_mono)
            at = l;
    }
    *at = (struct larger){.digest = *d, .bytes = bytes, .at_mono = clock_mono_ms()};
    pthread_mutex_unlock(&r->lock);
}

uint64_t room_size(struct replicator *r, const struct digest *d, uint64_t size)
{
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < LARGER_MAX; i++)
        if (digest_equal(&r->larger[i].digest, d) && r->larger[i].bytes > size)
            size = r->larger[i].bytes;
    pthread_mutex_unlock(&r->lock);
    return size;
}

void room_failed(struct worker *w, const struct digest *d, uint64_t size, uint64_t came,
                 uint64_t after)
{
    struct space_view v;
    if (!w->r->o.space || space_look(w->r->o.space, &v))
        return;
    uint64_t fits = came + v.room_bytes, needs = size + after; // what came is given up
    bool larger = came + SPACE_WINDOW_BYTES > size;
    if (v.of_files) { // what lacks is files, not bytes
        if (needs)
            w->lacks = needs;
        else
            w->lacks = 1;
        return;
    }
    if (!v.is_short && v.room_bytes >= SPACE_WINDOW_BYTES && needs <= fits)
        return;
    if (larger)
        larger_note(w->r, d, fits + SPACE_WINDOW_BYTES);
    if (needs > fits)
        w->lacks = needs;
    else
        w->lacks = fits + SPACE_WINDOW_BYTES;
}

// --- the dispatcher ---

// Only those bytes count that are on the disk: what is promised to running fetches is no reason to
// give up others.
static void partials_give_up(struct replicator *r, const struct space_view *v)
{
    size_t n;
    uint64_t bytes;
    bool below = v->disk.free_bytes < v->reserve_bytes + SPACE_WINDOW_BYTES;
    if (!v->is_short || !below || blob_partials_drop(r->o.blobs, &n, &bytes) || !n)
        return;
    log_warn("replication: the disk is short: %zu partial fetches with %.1f MiB were given up; "
             "they begin anew when "
             "there is room",
             n, (double)bytes / MIB);
}

static void parked_look(struct replicator *r, const struct space_view *v)
{
    int64_t now = clock_mono_ms();
    bool stale = now - r->stale_mono >= STALE_LOOK_MS;
    size_t n = 0;
    if (stale)
        r->stale_mono = now;
    int rc = meta_jobs_unpark(r->o.meta, v->is_short ? 0 : v->room_bytes,
                              stale ? now - STALE_LOOK_MS : -1, &n);
    if (rc && !r->stopping) {
        static struct log_limit limit = LOG_LIMIT(10000);
        log_limited(&limit, LOG_ERROR, "replication: parked jobs cannot be read: %s", err_text(rc));
    }
}

void room_look(struct replicator *r)
{
    struct space_view v;
    int64_t now = clock_mono_ms();
    if (!r->o.space || now - r->room_mono < ROOM_LOOK_MS)
        return;
    r->room_mono = now;
    (void)space_look(r->o.space, &v); // on failure the last measure
    partials_give_up(r, &v);
    parked_look(r, &v);
}

static void parked_value(struct buf *out, const char *family, const struct parked *p,
                         uint64_t value)
{
    exposition_begin(out, family);
    exposition_label(out, "origin", p->origin);
    exposition_value(out, (double)value);
}

void room_metrics(struct replicator *r, struct buf *out)
{
    struct arena a;
    struct parked *list = NULL;
    size_t n = 0;
    arena_init(&a, 64 << 10);
    (void)meta_parked(r->o.meta, &a, &list, &n);
    exposition_family(out, "meridian_replication_no_space_entries", "gauge",
                      "Entries whose content has no room on the disk.");
    for (size_t i = 0; i < n; i++)
        parked_value(out, "meridian_replication_no_space_entries", &list[i], list[i].n);
    exposition_family(out, "meridian_replication_no_space_bytes", "gauge", "Bytes that they need.");
    for (size_t i = 0; i < n; i++)
        parked_value(out, "meridian_replication_no_space_bytes", &list[i], list[i].bytes);
    exposition_single(out, "meridian_replication_disk_full", "gauge",
                      "The metadata could not note what is replicated.", r->full);
    arena_done(&a);
}
