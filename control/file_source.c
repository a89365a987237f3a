// SPDX-License-Identifier: Apache-2.0
// The topology source that is files; see file_source.h. One thread looks at all of them: when a
// notice comes, when asked, and every second, since notices may be missing.
//
// Invariants (those of source.h hold too)
// 1. `n_wanted`, `n_done` and `stop` are touched under the lock only; all else belongs to the
//    thread once it runs.
// 2. A look that is done was wanted: n_done <= n_wanted.
#include "control/file_source.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/thread.h"
#include "control/change_log_reader.h"
#include "control/changes_file.h"
#include "control/file_notices.h"
#include "control/in_force.h"
#include "control/watched_document.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BACKSTOP_MS 1000

struct file_source {
    struct topology_source base;
    char *state_dir;
    struct watched_document topology, principals;
    bool has_principals;
    struct in_force in_force;
    struct snapshot *principals_cell;
    topology_source_change *on_change;
    void *ctx;
    struct change_log_reader changes;
    // its file, without the directory
    const char *changes_name;
    struct file_notices notices;
    // an eventfd that wakes the thread
    int event;
    pthread_t thread;
    // the thread exists
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t looked;
    uint64_t n_wanted, n_done;
    bool stop;
};

static struct file_source *of(struct topology_source *s)
{
    return (struct file_source *)s; // its first member
}

static void publish_topology(void *ctx, void *value)
{
    in_force_publish(&((struct file_source *)ctx)->in_force, value);
}

static void publish_principals(void *ctx, void *value)
{
    snapshot_publish(((struct file_source *)ctx)->principals_cell, value);
}

// ---- looking ----

// Takes some of the changes that are there. Returns whether any was taken.
static bool look_at_some_changes(struct file_source *f, bool *out_more)
{
    struct diag diag;
    struct topology *t = snapshot_ref(f->in_force.now);
    diag_init(&diag);
    size_t n = change_log_reader_look(&f->changes, &t, &diag, out_more);
    f->topology.version = t->version;
    if (n)
        in_force_publish(&f->in_force, t);
    else
        snapshot_unref(t);
    bool any_refused = diag_count(&diag) > 0;
    if (any_refused)
        source_report_change_refused(&f->topology.report, &diag);
    if (n)
        source_report_changes_taken(&f->topology.report, f->topology.version, n, !any_refused);
    diag_done(&diag);
    return n > 0;
}

static bool look_at_changes(struct file_source *f)
{
    bool any = false, more = true;
    while (more)
        if (look_at_some_changes(f, &more))
            any = true;
    return any;
}

// Returns whether a whole topology was published.
static bool look_at_all(struct file_source *f, bool forced, bool documents)
{
    bool is_new = documents && watched_document_look(&f->topology, f->in_force.now, forced);
    if (is_new)
        change_log_reader_rewind(&f->changes);
    bool changed = look_at_changes(f);
    if (documents && f->has_principals)
        watched_document_look(&f->principals, NULL, forced);
    if ((is_new || changed) && f->on_change)
        f->on_change(f->ctx, is_new);
    return is_new;
}

// ---- the thread ----

static void wake(struct file_source *f)
{
    uint64_t one = 1;
    ssize_t ignored = write(f->event, &one, sizeof one); // full means that it is awake already
    (void)ignored;
}

static void drain(int event)
{
    uint64_t n;
    ssize_t ignored = read(event, &n, sizeof n);
    (void)ignored;
}

static void keep(struct file_source *f)
{
    last_good_offer(&f->topology.last, f->in_force.now, false);
    watched_document_keep(&f->topology);
    watched_document_keep(&f->principals);
}

struct turn { // what one turn of the thread was told
    bool stop, forced;
    uint64_t wanted;
};

static struct turn take_turn(struct file_source *f)
{
    pthread_mutex_lock(&f->lock);
    assert(f->n_done <= f->n_wanted); // invariant 2
    struct turn t = {f->stop, f->n_wanted != f->n_done, f->n_wanted};
    pthread_mutex_unlock(&f->lock);
    return t;
}

static void end_turn(struct file_source *f, const struct turn *t)
{
    pthread_mutex_lock(&f->lock);
    f->n_done = t->wanted;
    pthread_cond_broadcast(&f->looked);
    pthread_mutex_unlock(&f->lock);
}

static void *source_main(void *arg)
{
    struct file_source *f = arg;
    struct pollfd fds[] = {{.fd = f->notices.fd, .events = POLLIN},
                           {.fd = f->event, .events = POLLIN}};
    // readers drop the old topology a moment later: the next quiet second its memory goes back
    bool trim = false;
    for (;;) {
        bool quiet = poll(fds, 2, BACKSTOP_MS) == 0;
        in_force_sweep(&f->in_force);
        keep(f);
        if (quiet && trim) {
            malloc_trim(0);
            trim = false;
        }
        struct noticed noticed = file_notices_read(&f->notices, f->changes_name);
        drain(f->event);
        struct turn turn = take_turn(f);
        if (turn.stop)
            return NULL;
        bool documents = quiet || noticed.others || turn.forced;
        if ((documents || noticed.log) && look_at_all(f, turn.forced, documents))
            trim = true;
        end_turn(f, &turn);
    }
}

// ---- the source ----

static int load(struct topology_source *s, const struct source_cells *cells, struct diag *diag)
{
    struct file_source *f = of(s);
    in_force_init(&f->in_force, cells->topology);
    f->principals_cell = cells->principals;
    int rc = dir_make(f->state_dir, 0700);
    if (rc) {
        diag_add(diag, f->state_dir, 0, "cannot be made: %s", err_text(rc));
        return rc;
    }
    // notices come before the first reading, so that no change falls in between
    file_notices_watch(&f->notices, f->topology.path);
    rc = watched_document_load(&f->topology, diag);
    if (f->has_principals) {
        file_notices_watch(&f->notices, f->principals.path);
        int rc2 = watched_document_load(&f->principals, diag); // both, so that all errors are told
        if (!rc)
            rc = rc2;
    }
    if (!rc)
        look_at_changes(f);
    return rc;
}

static int follow(struct topology_source *s, topology_source_change *on_change, void *ctx)
{
    struct file_source *f = of(s);
    f->on_change = on_change;
    f->ctx = ctx;
    int rc = last_good_start(&f->topology.last);
    if (rc)
        return rc;
    rc = thread_start(&f->thread, source_main, f);
    f->running = !rc;
    return rc;
}

static int propose(struct topology_source *s, uint64_t expected, const struct proposal *p,
                   struct diag *diag, uint64_t *out_version)
{
    struct file_source *f = of(s);
    return changes_append(f->topology.path, expected, p->text, p->n, p->source, diag, out_version);
}

static void look(struct topology_source *s)
{
    struct file_source *f = of(s);
    pthread_mutex_lock(&f->lock);
    uint64_t mine = ++f->n_wanted;
    wake(f);
    while (f->n_done < mine)
        pthread_cond_wait(&f->looked, &f->lock);
    pthread_mutex_unlock(&f->lock);
}

static void status(struct topology_source *s, struct topology_status *out_topology,
                   struct topology_status *out_principals)
{
    struct file_source *f = of(s);
    source_report_copy(&f->topology.report, out_topology);
    if (f->has_principals)
        source_report_copy(&f->principals.report, out_principals);
    else
        *out_principals = (struct topology_status){0};
}

static void close_source(struct topology_source *s)
{
    struct file_source *f = of(s);
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_mutex_unlock(&f->lock);
    if (f->running) {
        wake(f);
        pthread_join(f->thread, NULL);
        last_good_offer(&f->topology.last, f->in_force.now, true);
    }
    watched_document_done(&f->topology); // what was offered is written first
    watched_document_done(&f->principals);
    in_force_done(&f->in_force);
    change_log_reader_done(&f->changes);
    file_notices_close(&f->notices);
    if (f->event >= 0)
        close(f->event);
    pthread_cond_destroy(&f->looked);
    pthread_mutex_destroy(&f->lock);
    free(f->state_dir);
    free(f);
}

static const struct topology_source_ops file_ops = {load, follow, propose,
                                                    look, status, close_source};

static int init(struct file_source *f, const struct file_source_options *o)
{
    AUTO_FREE char *last = mem_printf("%s/topology.last", o->state_dir);
    AUTO_FREE char *last_principals = mem_printf("%s/principals.last.yaml", o->state_dir);
    f->state_dir = mem_strdup(o->state_dir);
    f->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (f->event < 0)
        return err_from_errno(errno);
    if (!last || !last_principals || !f->state_dir)
        return ERR_NOMEM;
    int rc = watched_document_init(&f->topology, &watched_topology, o->form, o->topology, last,
                                   publish_topology, f);
    if (rc)
        return rc;
    f->has_principals = o->principals != NULL;
    if (f->has_principals)
        rc = watched_document_init(&f->principals, &watched_principals, o->form, o->principals,
                                   last_principals, publish_principals, f);
    if (rc)
        return rc;
    rc = change_log_reader_init(&f->changes, o->topology);
    if (rc)
        return rc;
    const char *slash = strrchr(f->changes.path, '/');
    f->changes_name = slash ? slash + 1 : f->changes.path;
    return 0;
}

int file_source_open(const struct file_source_options *o, struct topology_source **out)
{
    struct file_source *f = mem_zalloc(sizeof *f);
    if (!f)
        return ERR_NOMEM;
    f->base.ops = &file_ops;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->looked, NULL);
    file_notices_open(&f->notices);
    int rc = init(f, o);
    if (rc) {
        close_source(&f->base);
        return rc;
    }
    *out = &f->base;
    return 0;
}
