// SPDX-License-Identifier: Apache-2.0
// The zone maintainer's thread; see zone_maintainer.h. Its state is its own; in come the topology
// and pokes, out goes the snapshot.
#include "resolver/zone/zone_maintainer.h"

#include "base/clock.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "resolver/zone/notify.h"
#include "resolver/zone/zone_file.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_EVERY_MS 5000 // at the key files; and after a failure

struct zone_maintainer {
    struct zone_maintainer_options o;
    pthread_t thread;
    bool started;
    int wake;
    atomic_bool stopping;
    struct notifier *notifier;
    // the newest with the frame that was built; NULL: nothing was
    struct topology *seen;
    // the secondaries, of told_serial
    bool told;
    uint32_t told_serial;
    // of the files that were read
    uint64_t keys_mark;
    // wall clock: the builder wants to be called; 0: not
    int64_t again_s;
    struct zone_history *history;
    // its zone is not on disk: there was no room
    bool unsaved;
    struct tsig_keys *keys;
    // found on disk, until the first zone is built
    struct zone *kept[ZONE_HISTORY_MAX];
    size_t n_kept;
};

static void frontend_free(void *self)
{
    struct frontend *f = self;
    snapshot_unref(f->history);
    snapshot_unref(f->keys);
    free(f);
}

static int publish(struct zone_maintainer *k)
{
    struct frontend *f = mem_zalloc(sizeof *f);
    if (!f)
        return ERR_NOMEM;
    snapshot_head_init(&f->head, frontend_free);
    f->history = snapshot_ref(k->history);
    f->keys = snapshot_ref(k->keys);
    snapshot_publish(k->o.frontend, f);
    return 0;
}

// ---- keys ----

// Changes when a key file does.
static uint64_t mark_of_keys(const struct zone_maintainer *k, const struct transfer_settings *s)
{
    uint64_t mark = 14695981039346656037u; // FNV-1a
    for (size_t i = 0; i < s->n_keys; i++) {
        AUTO_FREE char *path = mem_printf("%s/%s.key", k->o.tsig_dir, s->keys[i]);
        struct stat st;
        uint64_t parts[5] = {i};
        if (path && !stat(path, &st)) {
            const uint64_t found[5] = {st.st_ino, (uint64_t)st.st_mtim.tv_sec,
                                       (uint64_t)st.st_mtim.tv_nsec, (uint64_t)st.st_size,
                                       st.st_mode};
            memcpy(parts, found, sizeof parts);
        }
        for (size_t j = 0; j < 5; j++)
            mark = (mark ^ parts[j]) * 1099511628211u;
    }
    return mark;
}

static int read_keys(struct zone_maintainer *k, const struct topology *t)
{
    struct diag d;
    struct tsig_keys *keys;
    uint64_t mark = mark_of_keys(k, &t->transfer);
    diag_init(&d);
    int rc = tsig_keys_load(k->o.tsig_dir, t->transfer.keys, t->transfer.n_keys, &d, &keys);
    for (size_t i = 0; i < d.n; i++)
        log_error("dns: %s", d.lines[i]);
    diag_done(&d);
    if (rc)
        return rc;
    snapshot_unref(k->keys);
    k->keys = keys;
    k->keys_mark = mark;
    return 0;
}

// ---- the zone ----

static int build_unsigned(void *ctx, const struct topology *t, const struct zone *last,
                          int64_t now_s, struct zone **out, int64_t *out_again_s)
{
    (void)ctx;
    *out_again_s = 0;
    return zone_frontend(t, last, now_s, out);
}

static void drop_kept(struct zone_maintainer *k)
{
    while (k->n_kept)
        snapshot_unref(k->kept[--k->n_kept]);
}

// Every version that is held is on disk, and no other.
static void save(struct zone_maintainer *k)
{
    static struct log_limit lim = LOG_LIMIT(600000);
    if (!k->o.zones_dir)
        return;
    int rc = zone_file_save(k->o.zones_dir, k->history->zone);
    k->unsaved = rc;
    if (rc)
        log_limited(&lim, LOG_WARN, "dns: %s: the zone cannot be kept for a restart: %s",
                    k->o.zones_dir, err_text(rc));
    else
        zone_file_prune(k->o.zones_dir, k->history);
}

// A history of what was on disk: the newest of it stands for "the zone until now".
static int history_of_kept(struct zone_maintainer *k, struct zone_history **out)
{
    struct zone_history *h = NULL;
    int rc = 0;
    for (size_t i = k->n_kept; i-- > 0 && !rc;) {
        struct zone_history *next = NULL;
        rc = zone_history_new(k->kept[i], h, &next);
        if (rc)
            break;
        snapshot_unref(h);
        h = next;
    }
    if (rc)
        snapshot_unref(h);
    else
        *out = h;
    return rc;
}

static int build(struct zone_maintainer *k, const struct topology *t)
{
    struct zone *zone = NULL;
    struct zone_history *before = k->history ? snapshot_ref(k->history) : NULL, *h = NULL;
    int64_t again_s = 0;
    int rc = 0;
    if (!before)
        rc = history_of_kept(k, &before);
    int (*fn)(void *, const struct topology *, const struct zone *, int64_t, struct zone **,
              int64_t *) = k->o.builder.build ? k->o.builder.build : build_unsigned;
    if (!rc)
        rc = fn(k->o.builder.ctx, t, before ? before->zone : NULL, clock_wall_ms() / 1000, &zone,
                &again_s);
    bool same = !rc && k->history && k->history->zone == zone;
    if (!rc && !same)
        rc = zone_history_new(zone, before, &h);
    if (!rc) {
        k->again_s = again_s;
        drop_kept(k);
        if (!same) {
            snapshot_unref(k->history);
            k->history = h;
            save(k);
        }
    }
    snapshot_unref(zone);
    snapshot_unref(before);
    return rc;
}

// ---- turns ----

static bool is_due(const struct zone_maintainer *k, const struct topology *t)
{
    return !topology_same_frame(k->seen, t) || (k->again_s && clock_wall_ms() / 1000 >= k->again_s);
}

// An older one is let go of: its registries are not to stay in memory for the frame's sake. NULL:
// to be tried again.
static void remember(struct zone_maintainer *k, struct topology *t)
{
    struct topology *old = k->seen;
    k->seen = snapshot_ref(t);
    snapshot_unref(old);
}

static void tell(struct zone_maintainer *k, const struct transfer_settings *s)
{
    const struct zone *z = k->history->zone;
    if (k->told && k->told_serial == z->serial)
        return;
    k->told = true;
    k->told_serial = z->serial;
    notifier_change(k->notifier, z, s, k->keys, clock_mono_ms(), clock_wall_ms() / 1000);
}

// All that a change of topology, keys or time asks for. Returns false when it is to be tried again.
static bool look(struct zone_maintainer *k)
{
    static struct log_limit lim = LOG_LIMIT(60000);
    struct topology *t = snapshot_get(k->o.topology);
    if (!t)
        return false;
    if (k->unsaved)
        save(k);
    bool due = is_due(k, t),
         keys_changed = !k->keys || mark_of_keys(k, &t->transfer) != k->keys_mark;
    int rc = 0;
    if (due || keys_changed)
        rc = read_keys(k, t);
    if (!rc && due)
        rc = build(k, t);
    if (!rc && (due || keys_changed))
        rc = publish(k);
    if (rc)
        log_limited(&lim, LOG_ERROR, "dns: the zone of the frontends cannot be made: %s; %s",
                    err_text(rc),
                    k->history ? "the one before stays" : "there is none to transfer");
    else if (due)
        tell(k, &t->transfer);
    remember(k, rc && due ? NULL : t);
    snapshot_unref(t);
    return rc == 0;
}

static int wait_ms(const struct zone_maintainer *k)
{
    int64_t due = notifier_due_ms(k->notifier), now = clock_mono_ms(), ms = LOOK_EVERY_MS;
    if (due < now + ms) {
        if (due > now)
            ms = due - now;
        else
            ms = 0;
    }
    return (int)ms;
}

static void *zone_maintainer_main(void *arg)
{
    struct zone_maintainer *k = arg;
    while (!atomic_load(&k->stopping)) {
        struct pollfd fds[1 + NOTIFY_TARGETS_MAX] = {{.fd = k->wake, .events = POLLIN}};
        size_t n = notifier_fds(k->notifier, fds + 1);
        uint64_t count;
        if (poll(fds, 1 + n, wait_ms(k)) < 0 && errno != EINTR)
            log_error("dns: the zone maintainer cannot wait: %s", strerror(errno));
        if ((fds[0].revents & POLLIN) && read(k->wake, &count, sizeof count) < 0)
            continue;
        notifier_turn(k->notifier, clock_mono_ms(), clock_wall_ms() / 1000);
        look(k);
    }
    return NULL;
}

static void load_kept(struct zone_maintainer *k)
{
    const char *dir = k->o.zones_dir;
    if (!dir)
        return;
    int rc = dir_make(dir, 0700);
    if (!rc)
        rc = zone_file_load_all(dir, k->kept, ZONE_HISTORY_MAX, &k->n_kept);
    if (rc)
        log_warn("dns: %s: earlier versions of the zone cannot be read: %s", dir, err_text(rc));
}

int zone_maintainer_start(const struct zone_maintainer_options *o, struct zone_maintainer **out)
{
    struct zone_maintainer *k = mem_zalloc(sizeof *k);
    if (!k)
        return ERR_NOMEM;
    k->o = *o;
    k->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    k->notifier = notifier_new(o->listen, o->n_listen);
    int rc = ERR_NOMEM;
    if (k->wake < 0)
        rc = err_from_errno(errno);
    else if (k->notifier)
        rc = 0;
    if (!rc) {
        load_kept(k);
        look(k);
        if (pthread_create(&k->thread, NULL, zone_maintainer_main, k))
            rc = ERR_NOMEM;
        else
            rc = 0;
        k->started = !rc;
    }
    if (rc)
        zone_maintainer_stop(k);
    else
        *out = k;
    return rc;
}

void zone_maintainer_poke(struct zone_maintainer *k)
{
    uint64_t one = 1;
    if (k && write(k->wake, &one, sizeof one) < 0)
        log_debug("dns: the zone maintainer has pokes enough");
}

void zone_maintainer_stop(struct zone_maintainer *k)
{
    if (!k)
        return;
    atomic_store(&k->stopping, true);
    if (k->started) {
        zone_maintainer_poke(k);
        pthread_join(k->thread, NULL);
    }
    if (k->wake >= 0)
        close(k->wake);
    notifier_free(k->notifier);
    drop_kept(k);
    snapshot_unref(k->seen);
    snapshot_unref(k->history);
    snapshot_unref(k->keys);
    free(k);
}
