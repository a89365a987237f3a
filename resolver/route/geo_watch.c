// SPDX-License-Identifier: Apache-2.0
// The thread that keeps measured networks up; see geo_watch.h.
//
// Invariants
// 1. What a file is known by (`seen`) is taken before it is read: a change while it is read is seen
//    the next time.
// 2. `error` is touched under the lock; all else belongs to the thread once it runs.
#include "resolver/route/geo_watch.h"

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "resolver/route/geo_build.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_MS 1000 // unless told otherwise

struct signature { // what a stat says of a file; zero when it is not there
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime, ctime;
};

struct geo_watch {
    struct snapshot *topology_cell;
    struct snapshot cell;
    // that was built for last, or tried
    struct topology *topology;
    uint64_t generation;
    struct signature latency, maxmind;
    // something is published
    bool built;
    pthread_t thread;
    bool started;
    // stop: eventfd
    int look_ms, stop;
    pthread_mutex_t lock;
    char error[1024];
};

static struct signature signature_of(const char *path)
{
    struct signature s;
    struct stat st;
    memset(&s, 0, sizeof s); // padding too: they are compared whole
    if (!path || stat(path, &st))
        return s;
    s.dev = st.st_dev;
    s.ino = st.st_ino;
    s.size = st.st_size;
    s.mtime = st.st_mtim;
    s.ctime = st.st_ctim;
    return s;
}

static void set_error(struct geo_watch *w, const struct diag *d)
{
    AUTO_FREE char *text = NULL;
    if (d && diag_count(d))
        text = diag_text(d);
    pthread_mutex_lock(&w->lock);
    snprintf(w->error, sizeof w->error, "%s", text ? text : "");
    pthread_mutex_unlock(&w->lock);
    if (text)
        log_warn("geo: %s; %s", w->error,
                 w->built ? "what was measured before stays in force" : "it is done without");
}

static void publish(struct geo_watch *w, struct geo *g)
{
    if (g->n_latency || g->n_maxmind || w->built)
        log_info("geo: %zu networks by latency, %zu by distance, %zu rankings", g->n_latency,
                 g->n_maxmind, g->n_rankings);
    w->built = true;
    snapshot_publish(&w->cell, g);
    malloc_trim(0); // building took several times what is left
}

// With a bad file at the start, the other one is better than nothing.
static int build_partly(const struct topology *t, struct geo **out)
{
    static const unsigned parts[] = {GEO_LATENCY, GEO_MAXMIND};
    int rc = ERR_NOTFOUND;
    for (size_t i = 0; i < ARRAY_LEN(parts) && rc; i++)
        if (parts[i] == GEO_LATENCY ? t->routing.latency_file : t->routing.maxmind_file)
            rc = geo_build_parts(t, parts[i], NULL, out);
    return rc;
}

static void build(struct geo_watch *w)
{
    struct diag d;
    struct geo *g = NULL;
    diag_init(&d);
    int rc = geo_build(w->topology, &d, &g);
    if (rc && !diag_count(&d))
        diag_add(&d, NULL, 0, "measured networks cannot be built: %s", err_text(rc));
    set_error(w, &d);
    if (!rc || (!w->built && !build_partly(w->topology, &g)))
        publish(w, g);
    diag_done(&d);
}

// Has anything changed that is built from? Takes note of what is there now.
static bool look(struct geo_watch *w)
{
    bool changed = false;
    if (!w->topology || snapshot_generation(w->topology_cell) != w->generation) {
        w->generation = snapshot_generation(w->topology_cell);
        struct topology *t = snapshot_get(w->topology_cell);
        if (!t)
            return false;
        changed = !w->topology || geo_settings_differ(w->topology, t);
        snapshot_unref(w->topology);
        w->topology = t;
    }
    struct signature latency = signature_of(w->topology->routing.latency_file),
                     maxmind = signature_of(w->topology->routing.maxmind_file);
    changed |= memcmp(&latency, &w->latency, sizeof latency) ||
               memcmp(&maxmind, &w->maxmind, sizeof maxmind);
    w->latency = latency;
    w->maxmind = maxmind;
    return changed;
}

static void *watch_main(void *arg)
{
    struct geo_watch *w = arg;
    struct pollfd p = {.fd = w->stop, .events = POLLIN};
    int n;
    thread_step_back();
    while ((n = poll(&p, 1, w->look_ms)) == 0 || (n < 0 && errno == EINTR))
        if (look(w))
            build(w);
    return NULL;
}

int geo_watch_start(struct snapshot *topology, unsigned look_ms, struct geo_watch **out)
{
    struct geo_watch *w = mem_zalloc(sizeof *w);
    if (!w)
        return ERR_NOMEM;
    w->topology_cell = topology;
    if (look_ms)
        w->look_ms = (int)look_ms;
    else
        w->look_ms = LOOK_MS;
    snapshot_init(&w->cell);
    pthread_mutex_init(&w->lock, NULL);
    w->stop = eventfd(0, EFD_CLOEXEC);
    int rc = 0;
    if (w->stop < 0)
        rc = err_from_errno(errno);
    if (!rc && look(w))
        build(w);
    if (!rc && thread_start(&w->thread, watch_main, w))
        rc = ERR_NOMEM;
    w->started = !rc;
    if (rc)
        geo_watch_stop(w);
    else
        *out = w;
    return rc;
}

void geo_watch_stop(struct geo_watch *w)
{
    if (!w)
        return;
    if (w->started) {
        if (eventfd_write(w->stop, 1))
            abort(); // an eventfd that never counted cannot be full
        pthread_join(w->thread, NULL);
    }
    if (w->stop >= 0)
        close(w->stop);
    snapshot_done(&w->cell);
    snapshot_unref(w->topology);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

struct snapshot *geo_watch_cell(struct geo_watch *w)
{
    return &w->cell;
}

void geo_watch_error(struct geo_watch *w, char *out, size_t n)
{
    pthread_mutex_lock(&w->lock);
    snprintf(out, n, "%s", w->error);
    pthread_mutex_unlock(&w->lock);
}
