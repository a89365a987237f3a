// SPDX-License-Identifier: Apache-2.0
// The watcher of the topology and the principals; see watch.h. One thread looks at both files: when inotify speaks,
// when poked, and every second, since a directory may be a mount that tells nothing or a chain of symbolic links.
//
// Invariants
// 1. What is published was parsed and validated whole.
// 2. The version in force never goes down while this runs.
// 3. `status`, `n_wanted`, `n_done` and `stop` are touched under the lock only; all else belongs to the thread once it
// runs.
#include "config/watch.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/principals.h"
#include "config/topology.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKSTOP_MS 1000

struct signature { // what a stat says of a file; zero when it is not there
    dev_t dev;
    ino_t ino;
    mode_t mode;
    off_t size;
    struct timespec mtime, ctime;
};

struct document { // one read and parsed file
    void *value;  // embeds a snapshot_head; one reference
    uint64_t version;
    uint8_t hash[SHA256_BYTES];
    struct buf text;
};

struct watched {
    const char *what; // "topology"
    char *path, *last_path;
    struct snapshot *cell;
    int (*parse)(const char *path, struct diag *diag, struct document *out); // fills value and version, text and hash
    struct signature seen;
    uint64_t version; // in force
    uint8_t hash[SHA256_BYTES];
    struct config_status status;
};

struct config_watch {
    struct watched topology, principals;
    void (*on_change)(void *ctx);
    void *ctx;
    int inotify, event;
    pthread_t thread;
    bool running; // the thread exists
    pthread_mutex_t lock;
    pthread_cond_t looked;
    uint64_t n_wanted, n_done;
    bool stop;
};

static void document_done(struct document *d)
{
    snapshot_unref(d->value);
    if (d->text.p)
        explicit_bzero(d->text.p, d->text.cap); // principals
    buf_done(&d->text);
}

static int read_text(const char *path, size_t max, struct diag *diag, struct document *out)
{
    int rc = file_read(path, max, &out->text);
    if (rc)
        diag_add(diag, path, 0, "cannot be read: %s", err_text(rc));
    else
        sha256(buf_cstr(&out->text), out->text.n, out->hash);
    return rc;
}

static int parse_topology(const char *path, struct diag *diag, struct document *out)
{
    struct topology *t = NULL;
    int rc = read_text(path, TOPOLOGY_MAX_BYTES, diag, out);
    if (!rc)
        rc = topology_parse(buf_cstr(&out->text), out->text.n, path, diag, &t);
    if (rc)
        return rc;
    out->value = t;
    out->version = t->version;
    return 0;
}

static int parse_principals(const char *path, struct diag *diag, struct document *out)
{
    struct principals *p = NULL;
    int rc = principals_load(path, diag, &p); // checks the mode as well
    if (rc)
        return rc;
    out->value = p;
    out->version = p->version;
    rc = principals_format(p, &out->text); // canonical: a comment changed is no change
    if (rc)
        diag_add(diag, path, 0, "%s", err_text(rc));
    else
        sha256(buf_cstr(&out->text), out->text.n, out->hash);
    return rc;
}

static struct signature signature_of(const char *path)
{
    struct stat st;
    struct signature s;
    memset(&s, 0, sizeof s); // padding too: signatures are compared as bytes
    if (stat(path, &st))
        return s;
    s.dev = st.st_dev;
    s.ino = st.st_ino;
    s.mode = st.st_mode;
    s.size = st.st_size;
    s.mtime = st.st_mtim;
    s.ctime = st.st_ctim;
    return s;
}

static void publish(struct config_watch *w, struct watched *f, struct document *d, bool from_last_good)
{
    f->version = d->version;
    memcpy(f->hash, d->hash, sizeof f->hash);
    snapshot_publish(f->cell, take_ptr(d->value));
    pthread_mutex_lock(&w->lock);
    f->status.version = d->version;
    f->status.loaded_at_ms = clock_wall_ms();
    f->status.from_last_good = from_last_good;
    pthread_mutex_unlock(&w->lock);
}

static void agree(struct config_watch *w, struct watched *f)
{
    pthread_mutex_lock(&w->lock);
    free(f->status.refused_why);
    f->status.refused_why = NULL;
    f->status.from_last_good = false;
    pthread_mutex_unlock(&w->lock);
}

// Takes over `why` (heap, or NULL when memory ended). The same reason twice is one refusal: it was looked at again.
static void refuse(struct config_watch *w, struct watched *f, char *why)
{
    pthread_mutex_lock(&w->lock);
    bool again = why && f->status.refused_why && !strcmp(why, f->status.refused_why);
    if (!again)
        f->status.refused++;
    free(f->status.refused_why);
    f->status.refused_why = why ? why : mem_strdup("out of memory");
    pthread_mutex_unlock(&w->lock); // only this thread replaces it, so that it may still be read below
    if (again)
        return;
    log_warn("config: the %s was not taken, version %llu stays in force", f->what, (unsigned long long)f->version);
    for (const char *line = why ? why : "out of memory"; *line;) {
        int n = (int)strcspn(line, "\n");
        log_warn("config: %.*s", n, line);
        line += line[n] ? n + 1 : n;
    }
}

static void keep_last_good(const struct watched *f, const struct document *d)
{
    int rc = file_write_atomic(f->last_path, buf_cstr(&d->text), d->text.n, 0600);
    if (rc)
        log_warn("config: cannot keep the last good %s at %s: %s", f->what, f->last_path, err_text(rc));
}

// Parses the file and judges it against what is in force. Returns true when something new was published.
static bool look(struct config_watch *w, struct watched *f, bool forced)
{
    struct signature now = signature_of(f->path);
    if (!forced && !memcmp(&now, &f->seen, sizeof now))
        return false;
    f->seen = now; // before reading: a change meanwhile is seen at the next look
    struct diag diag;
    struct document d = {0};
    bool published = false;
    diag_init(&diag);
    int rc = f->parse(f->path, &diag, &d);
    if (rc && !diag_count(&diag))
        diag_add(&diag, f->path, 0, "%s", err_text(rc));
    bool same = !rc && !memcmp(d.hash, f->hash, sizeof d.hash) && d.version == f->version;
    if (rc) {
        refuse(w, f, diag_text(&diag));
    } else if (same) {
        agree(w, f);
    } else if (d.version < f->version) {
        refuse(w, f,
               mem_printf("%s: version %llu is lower than %llu, which is in force; versions only go up", f->path,
                          (unsigned long long)d.version, (unsigned long long)f->version));
    } else if (d.version == f->version && d.version) {
        refuse(w, f,
               mem_printf("%s: has version %llu, as the one in force, but other content; raise the version", f->path,
                          (unsigned long long)d.version));
    } else {
        keep_last_good(f, &d);
        publish(w, f, &d, false);
        agree(w, f);
        log_info("config: %s version %llu is in force", f->what, (unsigned long long)f->version);
        published = true;
    }
    document_done(&d);
    diag_done(&diag);
    return published;
}

// At start: the file, unless it is broken or older than the last good one.
static int load_first(struct config_watch *w, struct watched *f, struct diag *diag)
{
    struct diag why, ignored;
    struct document file = {0}, last = {0};
    diag_init(&why);
    diag_init(&ignored);
    f->seen = signature_of(f->path);
    int rc = f->parse(f->path, &why, &file), last_rc = f->parse(f->last_path, &ignored, &last);
    if (last_rc && last_rc != ERR_NOTFOUND)
        log_warn("config: the last good %s at %s cannot be used: %s", f->what, f->last_path,
                 ignored.n ? ignored.lines[0] : err_text(last_rc));
    if (!rc && !last_rc && file.version < last.version) {
        diag_add(&why, f->path, 0, "version %llu is lower than %llu, the last good one; versions only go up",
                 (unsigned long long)file.version, (unsigned long long)last.version);
        rc = ERR_VERSION;
    }
    if (!rc) {
        if (!last_rc && file.version && file.version == last.version && memcmp(file.hash, last.hash, sizeof file.hash))
            log_warn("config: the %s has other content than before under the same version %llu", f->what,
                     (unsigned long long)file.version);
        if (last_rc || memcmp(file.hash, last.hash, sizeof file.hash))
            keep_last_good(f, &file);
        publish(w, f, &file, false);
    } else if (!last_rc) {
        publish(w, f, &last, true);
        refuse(w, f, diag_text(&why));
        rc = 0;
    } else {
        for (size_t i = 0; i < why.n; i++)
            diag_add(diag, NULL, 0, "%s", why.lines[i]);
        if (!why.n)
            diag_add(diag, f->path, 0, "%s", err_text(rc));
    }
    document_done(&file);
    document_done(&last);
    diag_done(&why);
    diag_done(&ignored);
    return rc;
}

static bool look_at_both(struct config_watch *w, bool forced) // true: a topology was published
{
    bool topology = look(w, &w->topology, forced);
    if (w->principals.path)
        look(w, &w->principals, forced);
    if (topology && w->on_change)
        w->on_change(w->ctx);
    return topology;
}

static void drain(int fd)
{
    char events[4096] __attribute__((aligned(8)));
    while (read(fd, events, sizeof events) > 0) // what happened does not matter: the files are looked at
        ;
}

static void *watch_thread(void *arg)
{
    struct config_watch *w = arg;
    struct pollfd fds[] = {{.fd = w->inotify, .events = POLLIN}, {.fd = w->event, .events = POLLIN}};
    bool trim = false; // readers drop the old topology a moment later: the next quiet second its memory goes back
    for (;;) {
        if (poll(fds, 2, BACKSTOP_MS) == 0 && trim) {
            malloc_trim(0);
            trim = false;
        }
        drain(w->event);
        if (w->inotify >= 0)
            drain(w->inotify);
        pthread_mutex_lock(&w->lock);
        bool stop = w->stop, forced = w->n_wanted != w->n_done;
        uint64_t wanted = w->n_wanted;
        pthread_mutex_unlock(&w->lock);
        if (stop)
            return NULL;
        trim |= look_at_both(w, forced);
        pthread_mutex_lock(&w->lock);
        w->n_done = wanted;
        pthread_cond_broadcast(&w->looked);
        pthread_mutex_unlock(&w->lock);
    }
}

static void watch_dir_of(struct config_watch *w, const char *path)
{
    const char *slash = strrchr(path, '/');
    AUTO_FREE char *dir = slash ? mem_strndup(path, slash == path ? 1 : (size_t)(slash - path)) : mem_strdup(".");
    if (w->inotify < 0 || !dir ||
        inotify_add_watch(w->inotify, dir, IN_CLOSE_WRITE | IN_MOVED_TO | IN_ATTRIB | IN_DELETE) < 0)
        log_info("config: no change notices for %s; looking every second", path);
}

static void watch_free(struct config_watch *w)
{
    struct watched *both[] = {&w->topology, &w->principals};
    for (size_t i = 0; i < 2; i++) {
        free(both[i]->path);
        free(both[i]->last_path);
        free(both[i]->status.refused_why);
    }
    if (w->inotify >= 0)
        close(w->inotify);
    if (w->event >= 0)
        close(w->event);
    pthread_cond_destroy(&w->looked);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

static int watched_init(struct watched *f, const char *what, const char *path, const char *state_dir,
                        struct snapshot *cell, int (*parse)(const char *, struct diag *, struct document *))
{
    f->what = what;
    f->cell = cell;
    f->parse = parse;
    f->path = mem_strdup(path);
    f->last_path = mem_printf("%s/%s.last.yaml", state_dir, what);
    return f->path && f->last_path ? 0 : ERR_NOMEM;
}

// The thread takes no signals: they are the daemon's.
static int start_thread(struct config_watch *w)
{
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGSYS); // a refusal of the sandbox is the thread's own: blocked, it would end the process
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int e = pthread_create(&w->thread, NULL, watch_thread, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    w->running = e == 0;
    return e ? err_from_errno(e) : 0;
}

static int start(struct config_watch *w, const char *state_dir, struct diag *diag)
{
    int rc = dir_make(state_dir, 0700);
    if (rc) {
        diag_add(diag, state_dir, 0, "cannot be made: %s", err_text(rc));
        return rc;
    }
    // Watching begins before the first reading, so that no change falls in between.
    watch_dir_of(w, w->topology.path);
    rc = load_first(w, &w->topology, diag);
    if (w->principals.path) {
        watch_dir_of(w, w->principals.path);
        int rc2 = load_first(w, &w->principals, diag); // both, so that all errors are told
        rc = rc ? rc : rc2;
    }
    return rc ? rc : start_thread(w);
}

int config_watch_start(const char *topology_path, const char *principals_path, const char *state_dir,
                       struct snapshot *topology_cell, struct snapshot *principals_cell, void (*on_change)(void *ctx),
                       void *ctx, struct diag *diag, struct config_watch **out)
{
    struct config_watch *w = mem_zalloc(sizeof *w);
    if (!w)
        return ERR_NOMEM;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->looked, NULL);
    w->on_change = on_change;
    w->ctx = ctx;
    w->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK); // -1: the backstop alone
    w->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = w->event < 0 ? err_from_errno(errno) : 0;
    if (!rc)
        rc = watched_init(&w->topology, "topology", topology_path, state_dir, topology_cell, parse_topology);
    if (!rc && principals_path)
        rc = watched_init(&w->principals, "principals", principals_path, state_dir, principals_cell, parse_principals);
    if (!rc)
        rc = start(w, state_dir, diag);
    if (rc)
        watch_free(w);
    else
        *out = w;
    return rc;
}

static void wake(struct config_watch *w)
{
    uint64_t one = 1;
    ssize_t ignored = write(w->event, &one, sizeof one); // full means that it is awake already
    (void)ignored;
}

void config_watch_stop(struct config_watch *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_mutex_unlock(&w->lock);
    wake(w);
    if (w->running)
        pthread_join(w->thread, NULL);
    watch_free(w);
}

void config_watch_status(struct config_watch *w, struct config_status *out_topology,
                         struct config_status *out_principals)
{
    pthread_mutex_lock(&w->lock);
    *out_topology = w->topology.status;
    *out_principals = w->principals.status;
    if (out_topology->refused_why)
        out_topology->refused_why = mem_strdup(out_topology->refused_why);
    if (out_principals->refused_why)
        out_principals->refused_why = mem_strdup(out_principals->refused_why);
    pthread_mutex_unlock(&w->lock);
}

void config_watch_poke(struct config_watch *w)
{
    pthread_mutex_lock(&w->lock);
    uint64_t mine = ++w->n_wanted;
    wake(w);
    while (w->n_done < mine)
        pthread_cond_wait(&w->looked, &w->lock);
    pthread_mutex_unlock(&w->lock);
}
