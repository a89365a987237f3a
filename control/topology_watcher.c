// SPDX-License-Identifier: Apache-2.0
// The watcher of the topology and the principals; see topology_watcher.h. One thread looks at both
// files: when inotify speaks, when poked, and every second, since a directory may be a mount that
// tells nothing or a chain of symbolic links.
//
// Changes of single registries come by a file beside the topology (control/change_log_reader.h) and
// are taken one by one.
//
// A version that was replaced is kept here until nobody else has it, so that no worker spends its
// time on freeing one.
//
// Invariants
// 1. What is published was parsed and validated whole.
// 2. The version in force never goes down while this runs.
// 3. `status`, `n_wanted`, `n_done` and `stop` are touched under the lock only; all else belongs to
//    the thread once it runs.
#include "control/topology_watcher.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "config/principals.h"
#include "control/change_log_reader.h"
#include "control/compiled.h"
#include "control/successor.h"
#include "control/topology_saver.h"
#include "control/watched_file.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKSTOP_MS 1000
#define KEEP_EVERY_MS 60000 // with changes: at most so often is the whole written anew
#define RETIRED_MAX 64

struct watched {
    // "topology"
    const char *what;
    char *path, *last_path;
    struct snapshot *cell;
    // Fills it all. `last` (may be NULL): if the file is what that began from, that is it.
    int (*parse)(enum topology_form form, const char *path, const struct document *last,
                 struct diag *diag, struct document *out);
    enum topology_form form;
    struct signature seen;
    // in force
    uint64_t version;
    uint64_t file_version;
    // of the file that this began with
    uint8_t hash[SHA256_BYTES];
    // wall: what was refused may be taken from then on; 0: only when it changes
    int64_t again_s;
    // it could not be written as the last good one
    bool unkept;
    // monotonic: when that was tried
    int64_t tried_ms;
    struct topology_status status;
};

struct topology_watcher {
    struct watched topology, principals;
    void (*on_change)(void *ctx, bool frame);
    void *ctx;
    struct change_log_reader follow;
    // without its directory
    const char *changes_name;
    // in force
    struct topology *now;
    struct topology *retired[RETIRED_MAX];
    size_t n_retired;
    struct topology_saver *keep;
    // on disk, or on its way there
    uint64_t kept_version;
    // monotonic
    int64_t kept_ms;
    int inotify, event;
    pthread_t thread;
    // the thread exists
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t looked;
    uint64_t n_wanted, n_done;
    bool stop;
};

static struct topology *topology_of(const struct document *d)
{
    return d->value;
}

// ---- versions of the topology ----

static void sweep_retired(struct topology_watcher *w)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n_retired; i++)
        if (snapshot_refs(w->retired[i]) == 1)
            snapshot_unref(w->retired[i]);
        else
            w->retired[n++] = w->retired[i];
    w->n_retired = n;
}

// Takes over the reference.
static void publish_topology(struct topology_watcher *w, struct topology *t)
{
    struct topology *old = w->now;
    w->now = snapshot_ref(t);
    snapshot_publish(w->topology.cell, t);
    sweep_retired(w);
    if (old && w->n_retired < RETIRED_MAX)
        w->retired[w->n_retired++] = old;
    else
        snapshot_unref(old); // somebody holds on to many: let them free it
}

static void publish(struct topology_watcher *w, struct watched *f, struct document *d,
                    bool from_last_good)
{
    f->version = d->version;
    f->file_version = d->file_version;
    memcpy(f->hash, d->hash, sizeof f->hash);
    if (f == &w->topology)
        publish_topology(w, take_ptr(d->value));
    else
        snapshot_publish(f->cell, take_ptr(d->value));
    pthread_mutex_lock(&w->lock);
    f->status.version = d->version;
    f->status.loaded_at_ms = clock_wall_ms();
    f->status.from_last_good = from_last_good;
    free(f->status.changes_why); // of changes to what was before
    f->status.changes_why = NULL;
    pthread_mutex_unlock(&w->lock);
}

static void agree(struct topology_watcher *w, struct watched *f)
{
    pthread_mutex_lock(&w->lock);
    free(f->status.refused_why);
    f->status.refused_why = NULL;
    f->status.from_last_good = false;
    pthread_mutex_unlock(&w->lock);
}

// Takes over `why` (heap, or NULL when memory ended). The same reason twice is one refusal: it was
// looked at again.
static void refuse(struct topology_watcher *w, struct watched *f, char *why)
{
    pthread_mutex_lock(&w->lock);
    bool again = why && f->status.refused_why && !strcmp(why, f->status.refused_why);
    if (!again)
        f->status.refused++;
    free(f->status.refused_why);
    if (why)
        f->status.refused_why = why;
    else
        f->status.refused_why = mem_strdup("out of memory");
    // only this thread replaces it, so that it may still be read below
    pthread_mutex_unlock(&w->lock);
    if (again)
        return;
    log_warn("config: the %s was not taken, version %llu stays in force", f->what,
             (unsigned long long)f->version);
    for (const char *line = why ? why : "out of memory"; *line;) {
        int n = (int)strcspn(line, "\n");
        log_warn("config: %.*s", n, line);
        if (line[n])
            line += n + 1;
        else
            line += n;
    }
}

static int keep_bytes(const struct watched *f, const struct buf *b)
{
    static struct log_limit limit = LOG_LIMIT(60000);
    int rc = b->err;
    if (!rc)
        rc = file_write_atomic(f->last_path, buf_cstr(b), b->n, 0600);
    if (rc)
        log_limited(&limit, LOG_WARN, "config: cannot keep the last good %s at %s: %s", f->what,
                    f->last_path, err_text(rc));
    return rc;
}

// Of a topology the compiled form, which a start is quick with; of one that has none, the document.
static void keep_last_good(struct topology_watcher *w, struct watched *f, const struct document *d)
{
    bool topology = f == &w->topology, again = f->unkept;
    if (topology)
        f->unkept = topology_saver_write(f->last_path, topology_of(d), &d->text);
    else
        f->unkept = keep_bytes(f, &d->text);
    f->tried_ms = clock_mono_ms();
    if (again && !f->unkept)
        log_info("config: the last good %s is kept at %s", f->what, f->last_path);
    if (!topology)
        return;
    w->kept_version = d->version;
    w->kept_ms = f->tried_ms;
}

// The disk was full: there may be room now. What is in force is what the file says, unless that has
// been edited since (then the next good edit is kept) or changed (then keep_changed does it).
static void keep_again(struct topology_watcher *w, struct watched *f)
{
    if (!f->unkept || clock_mono_ms() - f->tried_ms < TOPOLOGY_SAVER_RETRY_MS)
        return;
    struct document d = {0};
    f->tried_ms = clock_mono_ms();
    if (!f->parse(f->form, f->path, NULL, NULL, &d) && d.version == f->version &&
        !memcmp(d.hash, f->hash, sizeof d.hash))
        keep_last_good(w, f, &d);
    watch_document_done(&d);
}

// What changes have made of it since, now and then: not on this thread, so that the next change
// need not wait.
static void keep_changed(struct topology_watcher *w, bool at_once)
{
    if (!w->now || w->kept_version == w->now->version || !w->now->frame->text ||
        (!at_once && clock_mono_ms() - w->kept_ms < KEEP_EVERY_MS))
        return;
    topology_saver_offer(w->keep, w->now);
    w->kept_version = w->now->version;
    w->kept_ms = clock_mono_ms();
}

// Could a version come after another one? If not, *out_why says why (heap), and it is looked at
// again when the time alone was against it.
static bool may_follow(struct watched *f, const struct topology *before,
                       const struct document *next, char **out_why)
{
    struct diag diag;
    f->again_s = 0;
    if (f->parse != watch_parse_topology || !before || next->value == before)
        return true;
    diag_init(&diag);
    const struct bytes text =
        bytes_of(next->text.p, compiled_is(next->text.p, next->text.n) ? 0 : next->text.n);
    bool ok =
        successor_ok(before, topology_of(next), text, clock_wall_ms() / 1000, &diag, &f->again_s);
    if (ok)
        *out_why = NULL;
    else
        *out_why = diag_text(&diag);
    diag_done(&diag);
    return ok;
}

static bool is_time_again(const struct watched *f)
{
    return f->again_s && clock_wall_ms() / 1000 >= f->again_s;
}

// Parses the file and judges it against what is in force. Returns true when something new was
// published.
static bool look(struct topology_watcher *w, struct watched *f, bool forced)
{
    struct signature now = watch_signature(f->path);
    if (!forced && !is_time_again(f) && signature_same(&now, &f->seen))
        return false;
    f->again_s = 0;
    f->seen = now; // before reading: a change meanwhile is seen at the next look
    struct diag diag;
    struct document d = {0};
    bool published = false;
    char *why = NULL;
    diag_init(&diag);
    int rc = f->parse(f->form, f->path, NULL, &diag, &d);
    if (rc && !diag_count(&diag))
        diag_add(&diag, f->path, 0, "%s", err_text(rc));
    bool same = !rc && !memcmp(d.hash, f->hash, sizeof d.hash) && d.version == f->file_version;
    if (rc) {
        refuse(w, f, diag_text(&diag));
    } else if (same) {
        agree(w, f);
    } else if (d.version < f->version) {
        refuse(w, f,
               mem_printf(
                   "%s: version %llu is lower than %llu, which is in force; versions only go up",
                   f->path, (unsigned long long)d.version, (unsigned long long)f->version));
    } else if (d.version == f->version && d.version) {
        refuse(
            w, f,
            mem_printf(
                "%s: has version %llu, as the one in force, but other content; raise the version",
                f->path, (unsigned long long)d.version));
    } else if (!may_follow(f, w->now, &d, &why)) {
        refuse(w, f, why);
    } else {
        keep_last_good(w, f, &d);
        publish(w, f, &d, false);
        agree(w, f);
        log_info("config: %s version %llu is in force", f->what, (unsigned long long)f->version);
        published = true;
    }
    watch_document_done(&d);
    diag_done(&diag);
    return published;
}

// Where a topology was kept before it had a compiled form.
static int parse_last(struct topology_watcher *w, struct watched *f, struct diag *diag,
                      struct document *out)
{
    if (f != &w->topology)
        return f->parse(f->form, f->last_path, NULL, diag, out);
    int rc = watch_parse_kept(f->form, f->last_path, f->path, diag, out);
    AUTO_FREE char *older = NULL;
    if (rc == ERR_NOTFOUND)
        older = mem_printf("%s.yaml", f->last_path);
    if (older) {
        watch_document_done(out);
        *out = (struct document){0};
        rc = watch_parse_kept(f->form, older, f->path, diag, out);
    }
    return rc;
}

// At start: the file, unless it is broken or older than the last good one.
static int load_first(struct topology_watcher *w, struct watched *f, struct diag *diag)
{
    struct diag why, ignored;
    struct document file = {0}, last = {0};
    diag_init(&why);
    diag_init(&ignored);
    f->seen = watch_signature(f->path);
    int last_rc = parse_last(w, f, &ignored, &last),
        rc = f->parse(f->form, f->path, &last, &why, &file);
    if (last_rc && last_rc != ERR_NOTFOUND)
        log_warn("config: the last good %s at %s cannot be used: %s", f->what, f->last_path,
                 ignored.n ? ignored.lines[0] : err_text(last_rc));
    if (!rc && !last_rc && file.version < last.version) {
        diag_add(&why, f->path, 0,
                 "version %llu is lower than %llu, the last good one; versions only go up",
                 (unsigned long long)file.version, (unsigned long long)last.version);
        rc = ERR_VERSION;
    }
    AUTO_FREE char *unfit = NULL;
    if (!rc && !last_rc && !may_follow(f, last.value, &file, &unfit)) {
        diag_add(&why, NULL, 0, "%s", unfit ? unfit : "out of memory");
        rc = ERR_VERSION;
    }
    if (!rc) {
        bool other = last_rc || memcmp(file.hash, last.hash, sizeof file.hash);
        if (!last_rc && file.version && file.version == last.version && other)
            log_warn("config: the %s has other content than before under the same version %llu",
                     f->what, (unsigned long long)file.version);
        if (f == &w->topology)
            w->kept_version = file.version;
        if (other)
            keep_last_good(w, f, &file);
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
    watch_document_done(&file);
    watch_document_done(&last);
    diag_done(&why);
    diag_done(&ignored);
    return rc;
}

// ---- changes ----

static void tell_refused(struct topology_watcher *w, struct diag *diag)
{
    char *why = diag_text(diag);
    pthread_mutex_lock(&w->lock);
    w->topology.status.changes_refused++;
    free(w->topology.status.changes_why);
    w->topology.status.changes_why = why;
    pthread_mutex_unlock(&w->lock);
    for (size_t i = 0; i < diag->n; i++)
        log_warn("config: %s", diag->lines[i]);
}

static void tell_taken(struct topology_watcher *w, size_t n, bool good)
{
    struct topology_status *s = &w->topology.status;
    pthread_mutex_lock(&w->lock);
    s->version = w->now->version;
    s->n_changes += n;
    s->changed_at_ms = clock_wall_ms();
    if (good) {
        free(s->changes_why);
        s->changes_why = NULL;
    }
    pthread_mutex_unlock(&w->lock);
    log_info("config: topology version %llu is in force, by change",
             (unsigned long long)w->now->version);
}

// Returns true when something was published.
static bool look_at_changes(struct topology_watcher *w)
{
    bool any = false, more = true;
    while (more) {
        struct diag diag;
        diag_init(&diag);
        struct topology *t = snapshot_ref(w->now);
        size_t n = change_log_reader_look(&w->follow, &t, &diag, &more);
        w->topology.version = t->version;
        if (n)
            publish_topology(w, t);
        else
            snapshot_unref(t);
        if (diag_count(&diag))
            tell_refused(w, &diag);
        if (n)
            tell_taken(w, n, !diag_count(&diag));
        any |= n > 0;
        diag_done(&diag);
    }
    return any;
}

// true: a whole topology was published
static bool look_at_all(struct topology_watcher *w, bool forced, bool files)
{
    bool topology = files && look(w, &w->topology, forced);
    if (topology)
        change_log_reader_rewind(&w->follow);
    bool changed = look_at_changes(w);
    if (files && w->principals.path)
        look(w, &w->principals, forced);
    if ((topology || changed) && w->on_change)
        w->on_change(w->ctx, topology);
    return topology;
}

// What inotify says happened: to the file of changes alone, or to others too. A file that grows
// says so with each write; only of changes is that worth a look.
static bool others_moved(struct topology_watcher *w, bool *out_any)
{
    char events[4096] __attribute__((aligned(8)));
    bool others = false;
    for (ssize_t n; (n = read(w->inotify, events, sizeof events)) > 0;)
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *e =
                (const struct inotify_event *)(const void *)(events + at);
            bool is_changes = e->len && !strcmp(e->name, w->changes_name);
            others |= !is_changes && (e->mask & ~(uint32_t)IN_MODIFY);
            *out_any |= is_changes || (e->mask & ~(uint32_t)IN_MODIFY);
            at += (ssize_t)(sizeof *e + e->len);
        }
    return others;
}

static void drain(int fd)
{
    char events[4096] __attribute__((aligned(8)));
    // what happened does not matter: the files are looked at
    while (read(fd, events, sizeof events) > 0)
        ;
}

static void *watch_thread(void *arg)
{
    struct topology_watcher *w = arg;
    struct pollfd fds[] = {{.fd = w->inotify, .events = POLLIN},
                           {.fd = w->event, .events = POLLIN}};
    // readers drop the old topology a moment later: the next quiet second its memory goes back
    bool trim = false;
    for (;;) {
        int ready = poll(fds, 2, BACKSTOP_MS);
        sweep_retired(w);
        keep_changed(w, false);
        keep_again(w, &w->topology);
        keep_again(w, &w->principals);
        if (ready == 0 && trim) {
            malloc_trim(0);
            trim = false;
        }
        bool any = ready == 0, files = ready == 0;
        if (w->inotify >= 0)
            files |= others_moved(w, &any);
        drain(w->event);
        pthread_mutex_lock(&w->lock);
        bool stop = w->stop, forced = w->n_wanted != w->n_done;
        uint64_t wanted = w->n_wanted;
        pthread_mutex_unlock(&w->lock);
        if (stop)
            return NULL;
        if (any || forced)
            trim |= look_at_all(w, forced, files || forced);
        pthread_mutex_lock(&w->lock);
        w->n_done = wanted;
        pthread_cond_broadcast(&w->looked);
        pthread_mutex_unlock(&w->lock);
    }
}

static void watch_dir_of(struct topology_watcher *w, const char *path)
{
    const char *slash = strrchr(path, '/');
    AUTO_FREE char *dir;
    if (slash)
        dir = mem_strndup(path, slash == path ? 1 : (size_t)(slash - path));
    else
        dir = mem_strdup(".");
    if (w->inotify < 0 || !dir ||
        inotify_add_watch(w->inotify, dir,
                          IN_CLOSE_WRITE | IN_MODIFY | IN_MOVED_TO | IN_ATTRIB | IN_DELETE) < 0)
        log_info("config: no change notices for %s; looking every second", path);
}

static void watch_free(struct topology_watcher *w)
{
    struct watched *both[] = {&w->topology, &w->principals};
    for (size_t i = 0; i < 2; i++) {
        free(both[i]->path);
        free(both[i]->last_path);
        free(both[i]->status.refused_why);
        free(both[i]->status.changes_why);
    }
    for (size_t i = 0; i < w->n_retired; i++)
        snapshot_unref(w->retired[i]);
    topology_saver_stop(w->keep);
    snapshot_unref(w->now);
    change_log_reader_done(&w->follow);
    if (w->inotify >= 0)
        close(w->inotify);
    if (w->event >= 0)
        close(w->event);
    pthread_cond_destroy(&w->looked);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

static int watched_init(struct watched *f, const char *what, const char *path, const char *last)
{
    f->what = what;
    f->path = mem_strdup(path);
    f->last_path = mem_strdup(last);
    if (f->path && f->last_path)
        return 0;
    return ERR_NOMEM;
}

static int start_threads(struct topology_watcher *w)
{
    int rc = topology_saver_start(w->topology.last_path, &w->keep);
    if (!rc)
        rc = thread_start(&w->thread, watch_thread, w);
    w->running = !rc;
    return rc;
}

static int start(struct topology_watcher *w, const char *state_dir, struct diag *diag)
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
        if (!rc)
            rc = rc2;
    }
    if (!rc)
        look_at_changes(w);
    if (rc)
        return rc;
    return start_threads(w);
}

static int name_all(struct topology_watcher *w, const char *topology_path,
                    const char *principals_path, const char *state_dir)
{
    AUTO_FREE char *last = mem_printf("%s/topology.last", state_dir);
    AUTO_FREE char *last_principals = mem_printf("%s/principals.last.yaml", state_dir);
    int rc = ERR_NOMEM;
    if (last && last_principals)
        rc = 0;
    if (!rc)
        rc = watched_init(&w->topology, "topology", topology_path, last);
    if (!rc && principals_path)
        rc = watched_init(&w->principals, "principals", principals_path, last_principals);
    if (!rc)
        rc = change_log_reader_init(&w->follow, topology_path);
    if (rc)
        return rc;
    const char *slash = strrchr(w->follow.path, '/');
    if (slash)
        w->changes_name = slash + 1;
    else
        w->changes_name = w->follow.path;
    return 0;
}

int topology_watcher_start(const char *topology_path, enum topology_form form,
                           const char *principals_path, const char *state_dir,
                           struct snapshot *topology_cell, struct snapshot *principals_cell,
                           void (*on_change)(void *ctx, bool frame), void *ctx, struct diag *diag,
                           struct topology_watcher **out)
{
    struct topology_watcher *w = mem_zalloc(sizeof *w);
    if (!w)
        return ERR_NOMEM;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->looked, NULL);
    w->on_change = on_change;
    w->ctx = ctx;
    w->topology.cell = topology_cell;
    w->topology.form = form;
    w->topology.parse = watch_parse_topology;
    w->principals.cell = principals_cell;
    w->principals.parse = watch_parse_principals;
    w->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK); // -1: the backstop alone
    w->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = 0;
    if (w->event < 0)
        rc = err_from_errno(errno);
    if (!rc)
        rc = name_all(w, topology_path, principals_path, state_dir);
    if (!rc)
        rc = start(w, state_dir, diag);
    if (rc)
        watch_free(w);
    else
        *out = w;
    return rc;
}

static void wake(struct topology_watcher *w)
{
    uint64_t one = 1;
    ssize_t ignored = write(w->event, &one, sizeof one); // full means that it is awake already
    (void)ignored;
}

void topology_watcher_stop(struct topology_watcher *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_mutex_unlock(&w->lock);
    wake(w);
    if (w->running)
        pthread_join(w->thread, NULL);
    keep_changed(w, true);
    watch_free(w); // what was offered is written first
}

void topology_watcher_status(struct topology_watcher *w, struct topology_status *out_topology,
                             struct topology_status *out_principals)
{
    pthread_mutex_lock(&w->lock);
    *out_topology = w->topology.status;
    *out_principals = w->principals.status;
    if (out_topology->refused_why)
        out_topology->refused_why = mem_strdup(out_topology->refused_why);
    if (out_topology->changes_why)
        out_topology->changes_why = mem_strdup(out_topology->changes_why);
    if (out_principals->refused_why)
        out_principals->refused_why = mem_strdup(out_principals->refused_why);
    pthread_mutex_unlock(&w->lock);
}

void topology_watcher_poke(struct topology_watcher *w)
{
    pthread_mutex_lock(&w->lock);
    uint64_t mine = ++w->n_wanted;
    wake(w);
    while (w->n_done < mine)
        pthread_cond_wait(&w->looked, &w->lock);
    pthread_mutex_unlock(&w->lock);
}
