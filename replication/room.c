// SPDX-License-Identifier: Apache-2.0
// Charging, parking and what is known of sizes; see room.h.
#include "replication/room.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/exposition.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define LARGER_MAX 64
#define ROOM_LOOK_MS 1000
#define STALE_LOOK_MS 30000 // parked jobs may need less than they did: a few are looked at so often
#define BOUND_LOOK_MS 10000
#define MIB (1024.0 * 1024.0)

struct larger { // a blob that takes more than a manifest says
    struct digest digest;
    // so many at least
    uint64_t bytes;
    int64_t at_mono;
};

struct room {
    struct room_options o;
    // the last write to the metadata found no room
    _Atomic bool full;

    pthread_mutex_t lock;
    // under the lock
    struct larger larger[LARGER_MAX];

    // what partial fetches held at the last look
    _Atomic uint64_t held_bytes;

    // The dispatcher's: when it looked for room last, at parked jobs for their age, and at partial
    // fetches.
    int64_t look_mono, stale_mono, bound_mono;
};

int room_new(const struct room_options *o, struct room **out)
{
    struct room *room = mem_zalloc(sizeof *room);
    if (!room)
        return ERR_NOMEM;
    room->o = *o;
    pthread_mutex_init(&room->lock, NULL);
    *out = room;
    return 0;
}

void room_free(struct room *room)
{
    if (!room)
        return;
    pthread_mutex_destroy(&room->lock);
    free(room);
}

void room_wrote(struct room *room, int rc)
{
    bool full = rc == ERR_NOSPACE;
    bool was_full = atomic_exchange(&room->full, full);
    if (full && !was_full)
        log_error("replication: the disk is full: nothing that is read or fetched can be noted; it "
                  "goes on by itself when there is space");
    if (!full && was_full)
        log_info("replication: the disk takes what is read and fetched again");
}

bool room_is_full(const struct room *room)
{
    return room->full;
}

// --- workers ---

void room_say(struct room *room, const char *registry, const char *repository, uint64_t lacks,
              char error[CONTENT_TEXT_SIZE])
{
    struct space_view v = {0};
    if (room->o.space)
        (void)space_look(room->o.space, &v);
    double fits = (double)v.room_bytes;
    if (v.is_short)
        fits = 0;
    snprintf(error, CONTENT_TEXT_SIZE,
             "no space in %s: %s/%s needs %.1f MiB, and %.1f MiB fit above the disk's reserve; it "
             "is fetched when there is room",
             room->o.region, registry, repository, (double)lacks / MIB, fits / MIB);
}

int room_take(struct room *room, uint64_t bytes, struct space_charge *out)
{
    if (!bytes) {
        *out = (struct space_charge){.space = room->o.space};
        return 0;
    }
    return space_take(room->o.space, bytes, out);
}

// The place of the digest, or else the oldest one. Under the lock.
static struct larger *larger_place(struct room *room, const struct digest *d)
{
    struct larger *oldest = &room->larger[0];
    for (size_t i = 0; i < LARGER_MAX; i++) {
        struct larger *l = &room->larger[i];
        if (digest_equal(&l->digest, d))
            return l;
        if (l->at_mono < oldest->at_mono)
            oldest = l;
    }
    return oldest;
}

static void larger_note(struct room *room, const struct digest *d, uint64_t bytes)
{
    pthread_mutex_lock(&room->lock);
    *larger_place(room, d) =
        (struct larger){.digest = *d, .bytes = bytes, .at_mono = clock_mono_ms()};
    pthread_mutex_unlock(&room->lock);
}

uint64_t room_size(struct room *room, const struct digest *d, uint64_t size)
{
    uint64_t at_least = 0;
    pthread_mutex_lock(&room->lock);
    const struct larger *l = larger_place(room, d);
    if (digest_equal(&l->digest, d))
        at_least = l->bytes;
    pthread_mutex_unlock(&room->lock);
    if (at_least > size)
        return at_least;
    return size;
}

uint64_t room_failed(struct room *room, const struct digest *d, uint64_t size, uint64_t came,
                     uint64_t after)
{
    struct space_view v;
    if (!room->o.space || space_look(room->o.space, &v))
        return 0;
    uint64_t needs = size + after;
    if (v.of_files) { // what lacks is files, not bytes
        if (!needs)
            return 1;
        return needs;
    }
    uint64_t fits = came + v.room_bytes; // what came is given up
    bool has_room = !v.is_short && v.room_bytes >= SPACE_WINDOW_BYTES;
    if (has_room && needs <= fits)
        return 0;
    uint64_t more = fits + SPACE_WINDOW_BYTES;
    bool is_larger = came + SPACE_WINDOW_BYTES > size;
    if (is_larger)
        larger_note(room, d, more);
    if (needs > fits)
        return needs;
    assert(more > fits); // a job that is parked for what fits would be due again at once
    return more;
}

// --- the dispatcher ---

// Only those bytes count that are on the disk: what is promised to running fetches is no reason to
// give up others.
static void partials_give_up(struct room *room, const struct space_view *v)
{
    size_t n;
    uint64_t bytes;
    bool below = v->disk.free_bytes < v->reserve_bytes + SPACE_WINDOW_BYTES;
    if (!v->is_short || !below)
        return;
    int rc = blob_partials_drop(room->o.blobs, &n, &bytes);
    if (rc || !n)
        return;
    log_warn("replication: the disk is short: %zu partial fetches with %.1f MiB were given up; "
             "they begin anew when there is room",
             n, (double)bytes / MIB);
}

// Running fetches count, and are not given up: their jobs' bytes were charged before.
static void partials_bound(struct room *room, int64_t now)
{
    size_t n;
    uint64_t bytes, held;
    if (room->bound_mono && now - room->bound_mono < BOUND_LOOK_MS)
        return;
    room->bound_mono = now;
    uint64_t max = room->o.partial_bytes;
    if (!max)
        max = UINT64_MAX;
    int rc = blob_partials_bound(room->o.blobs, max, &n, &bytes, &held);
    if (rc)
        return;
    room->held_bytes = held;
    if (n)
        log_warn(
            "replication: blobs on their way hold more than disk.partial: %zu that nobody goes "
            "on with, of %.1f MiB, were given up; they begin anew",
            n, (double)bytes / MIB);
}

static int parked_look(struct room *room, const struct space_view *v)
{
    int64_t now = clock_mono_ms(), older_than = -1;
    if (now - room->stale_mono >= STALE_LOOK_MS) {
        room->stale_mono = now;
        older_than = now - STALE_LOOK_MS;
    }
    uint64_t fits = v->room_bytes;
    if (v->is_short)
        fits = 0;
    size_t n = 0;
    return meta_jobs_unpark(room->o.meta, fits, older_than, &n);
}

int room_look(struct room *room)
{
    struct space_view v;
    int64_t now = clock_mono_ms();
    if (now - room->look_mono < ROOM_LOOK_MS)
        return 0;
    room->look_mono = now;
    partials_bound(room, now);
    if (!room->o.space)
        return 0;
    (void)space_look(room->o.space, &v); // on failure the last measure
    partials_give_up(room, &v);
    return parked_look(room, &v);
}

static void parked_value(struct buf *out, const char *family, const struct parked *p,
                         uint64_t value)
{
    exposition_begin(out, family);
    exposition_label(out, "origin", p->origin);
    exposition_value(out, (double)value);
}

void room_metrics(struct room *room, struct buf *out)
{
    struct arena a;
    struct parked *list = NULL;
    size_t n = 0;
    arena_init(&a, 64 << 10);
    (void)meta_parked(room->o.meta, &a, &list, &n);
    exposition_family(out, "meridian_replication_no_space_entries", "gauge",
                      "Entries whose content has no room on the disk.");
    for (size_t i = 0; i < n; i++)
        parked_value(out, "meridian_replication_no_space_entries", &list[i], list[i].n);
    exposition_family(out, "meridian_replication_no_space_bytes", "gauge", "Bytes that they need.");
    for (size_t i = 0; i < n; i++)
        parked_value(out, "meridian_replication_no_space_bytes", &list[i], list[i].bytes);
    exposition_single(out, "meridian_replication_partial_bytes", "gauge",
                      "Bytes of blobs that are on their way from other regions, or broke off.",
                      (double)room->held_bytes);
    exposition_single(out, "meridian_replication_disk_full", "gauge",
                      "The metadata could not note what is replicated.", room->full);
    arena_done(&a);
}
