// SPDX-License-Identifier: Apache-2.0
// The control feed of a node: opening, publishing, looking; see feed.h.
#include "control/feed.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wait.h"
#include "certs/keys.h"
#include "config/topology_control.h"
#include "control/base_form.h"
#include "control/changer.h"
#include "control/changes_file.h"
#include "control/feed_priv.h"
#include "control/topology_file.h"

#include <assert.h>
#include <string.h>

#define OWN_RETRY_MS 50

static struct control_feed *of(struct topology_source *s)
{
    return (struct control_feed *)s; // its first member
}

struct control_how feed_how(struct control_feed *f)
{
    return (struct control_how){.form = f->o.form, .changer = f->changer};
}

bool feed_is_writer(const struct control_feed *f, const struct control_state *s)
{
    const struct region *w = control_state_writer(s);
    const char *id = f->o.keys ? region_keys_control_id(f->o.keys) : NULL;
    if (!id || strcmp(w->name, f->region) != 0)
        return false;
    const char *spki = region_keys_control_spki(f->o.keys);
    for (size_t i = 0; i < w->n_control_keys; i++)
        if (!strcmp(w->control_keys[i].id, id) && !strcmp(w->control_keys[i].spki_b64, spki))
            return true;
    return false;
}

// ---- publishing ----

static void publish_topology(struct control_feed *f, const struct control_state *was,
                             const struct control_state *next)
{
    struct topology *t = next->topology;
    bool same = t == was->topology || t->version == was->topology->version;
    if (same) // by base_take the same version comes as another value
        return;
    bool frame = !topology_same_frame(was->topology, t);
    in_force_publish(&f->in_force, snapshot_ref(t));
    if (frame)
        source_report_in_force(&f->topology_report, t->version, false);
    else
        source_report_changes_taken(&f->topology_report, t->version, 1, true);
}

static void publish_principals(struct control_feed *f, const struct control_state *was,
                               const struct control_state *next)
{
    if (next->principals == was->principals)
        return;
    if (next->principals)
        snapshot_publish(f->principals_cell, snapshot_ref(next->principals));
    source_report_in_force(&f->principals_report, control_state_principals_version(next), false);
}

void feed_publish(struct control_feed *f, struct control_state *next)
{
    struct control_state *was = f->state;
    bool topology = next->topology->version != was->topology->version;
    bool frame = !topology_same_frame(was->topology, next->topology);
    bool writes = feed_is_writer(f, next);
    assert(next->topology->version >= was->topology->version); // invariant 2 of source.h
    pthread_mutex_lock(&f->lock);
    f->state = next;
    if (!writes || next->place.epoch != was->place.epoch)
        f->confirmed = false; // the fleet is asked anew
    pthread_mutex_unlock(&f->lock);
    if (f->principals_cell) {
        publish_topology(f, was, next);
        publish_principals(f, was, next);
    }
    if (topology && f->on_change)
        f->on_change(f->change_ctx, frame);
    feed_alarm(f, FEED_ALARM_CHAIN, NULL);
    feed_alarm(f, FEED_ALARM_UPGRADE, NULL);
    snapshot_unref(was);
    pthread_mutex_lock(&f->lock);
    pthread_cond_broadcast(&f->moved);
    pthread_mutex_unlock(&f->lock);
}

void feed_told(struct control_feed *f)
{
    struct feed_tell tells[CONTROL_TELLS_MAX];
    pthread_mutex_lock(&f->lock);
    size_t n = f->n_tells;
    memcpy(tells, f->tells, sizeof tells);
    pthread_mutex_unlock(&f->lock);
    for (size_t i = 0; i < n; i++)
        tells[i].fn(tells[i].ctx);
}

void feed_alarm(struct control_feed *f, enum feed_alarm kind, char *why)
{
    pthread_mutex_lock(&f->lock);
    char *was = f->alarms[kind];
    f->alarms[kind] = why;
    bool news = why && (!was || strcmp(was, why) != 0);
    bool over = was && !why;
    pthread_mutex_unlock(&f->lock);
    if (news)
        log_error("control feed: %s", why);
    if (over)
        log_info("control feed: no more: %s", was);
    free(was);
}

// ---- opening ----

static void unlocked_free(struct control_feed *f)
{
    control_log_close(f->log);
    feed_drop_pending(f);
    free(f->pending);
    in_force_done(&f->in_force);
    snapshot_unref(f->state);
    snapshot_unref(f->base_due);
    changer_free(f->changer);
    source_report_done(&f->topology_report);
    source_report_done(&f->principals_report);
    for (size_t i = 0; i < N_FEED_ALARMS; i++)
        free(f->alarms[i]);
    pthread_cond_destroy(&f->moved);
    pthread_mutex_destroy(&f->lock);
    pthread_mutex_destroy(&f->write);
    free(f->dir);
    free(f->region);
    free(f->home);
    free(f);
}

static int adopt(struct control_feed *f, const struct control_feed_options *o, struct diag *diag)
{
    struct topology *t = NULL;
    struct principals *p = NULL;
    size_t n_changes;
    int rc = topology_file_load(o->topology, diag, &t);
    if (!rc)
        rc = changes_load(o->topology, diag, &t, &n_changes);
    if (!rc && o->principals)
        rc = principals_load(o->principals, diag, &p);
    if (!rc)
        rc = control_state_adopt(t, p, diag, &f->state);
    snapshot_unref(t);
    snapshot_unref(p);
    return rc;
}

// What is on disk, or the files that the node begins with.
static int begin(struct control_feed *f, const struct control_feed_options *o, struct diag *diag)
{
    const struct control_log_options lo = {.dir = f->dir,
                                           .home = f->home,
                                           .form = o->form,
                                           .segment_entries = o->segment_entries,
                                           .segment_bytes = o->segment_bytes,
                                           .keep_entries = o->keep_entries,
                                           .keep_bytes = o->keep_bytes};
    const struct control_how how = feed_how(f);
    int rc = control_log_open(&lo, diag, &f->log);
    if (rc)
        return rc;
    if (control_log_begun(f->log))
        return control_log_restore(f->log, &how, diag, &f->state);
    return adopt(f, o, diag);
}

static const struct topology_source_ops feed_ops;

static struct control_feed *feed_new(const struct control_feed_options *o)
{
    struct control_feed *f = mem_zalloc(sizeof *f);
    if (!f)
        return NULL;
    f->source.ops = &feed_ops;
    f->o = *o;
    pthread_mutex_init(&f->write, NULL);
    pthread_mutex_init(&f->lock, NULL);
    wait_cond_init(&f->moved);
    source_report_init(&f->topology_report, "topology");
    source_report_init(&f->principals_report, "principals");
    f->dir = mem_printf("%s/control", o->state_dir);
    f->region = mem_strdup(o->region);
    f->home = mem_strdup(o->topology);
    f->changer = changer_new();
    if (f->dir && f->region && f->home && f->changer)
        return f;
    unlocked_free(f);
    return NULL;
}

int control_feed_open(const struct control_feed_options *o, struct diag *diag,
                      struct control_feed **out)
{
    struct control_feed *f = feed_new(o);
    if (!f)
        return ERR_NOMEM;
    int rc = begin(f, o, diag);
    if (rc)
        unlocked_free(f);
    else
        *out = f;
    return rc;
}

// ---- owning ----

static int write_adopted(struct control_feed *f, struct diag *diag)
{
    AUTO_BUF struct buf base;
    buf_init(&base, CONTROL_BASE_MAX_BYTES);
    int rc = control_base_format(f->state, &base);
    if (!rc)
        rc = control_log_begin(f->log, bytes_of(base.p, base.n), diag);
    return rc;
}

static int own(struct control_feed *f, struct diag *diag)
{
    char *damaged = NULL;
    int rc = control_log_own(f->log, diag, &damaged);
    if (rc)
        return rc;
    if (damaged)
        feed_alarm(f, FEED_ALARM_DAMAGE, damaged);
    if (control_log_begun(f->log))
        rc = feed_catch_up(f, diag);
    else
        rc = write_adopted(f, diag);
    if (rc)
        return rc;
    pthread_mutex_lock(&f->lock);
    f->owned = true;
    pthread_mutex_unlock(&f->lock);
    return 0;
}

int control_feed_own(struct control_feed *f, int64_t wait_ms, struct diag *diag)
{
    int64_t until = clock_mono_ms() + wait_ms;
    for (;;) {
        struct diag why;
        diag_init(&why);
        pthread_mutex_lock(&f->write);
        int rc = own(f, &why);
        pthread_mutex_unlock(&f->write);
        bool again = rc == ERR_BUSY && clock_mono_ms() < until;
        for (size_t i = 0; i < why.n && rc && !again; i++)
            diag_add(diag, NULL, 0, "%s", why.lines[i]);
        diag_done(&why);
        if (!again)
            return rc;
        clock_sleep_ms(OWN_RETRY_MS);
    }
}

// ---- the source ----

struct topology_source *control_feed_source(struct control_feed *f)
{
    return &f->source;
}

static int load(struct topology_source *s, const struct source_cells *cells, struct diag *diag)
{
    struct control_feed *f = of(s);
    (void)diag; // it was read when it was opened
    pthread_mutex_lock(&f->write);
    in_force_init(&f->in_force, cells->topology);
    f->principals_cell = cells->principals;
    in_force_publish(&f->in_force, snapshot_ref(f->state->topology));
    if (f->state->principals)
        snapshot_publish(f->principals_cell, snapshot_ref(f->state->principals));
    source_report_in_force(&f->topology_report, f->state->topology->version, false);
    source_report_in_force(&f->principals_report, control_state_principals_version(f->state),
                           false);
    pthread_mutex_unlock(&f->write);
    return 0;
}

static int follow(struct topology_source *s, topology_source_change *on_change, void *ctx)
{
    struct control_feed *f = of(s);
    pthread_mutex_lock(&f->write);
    f->on_change = on_change;
    f->change_ctx = ctx;
    pthread_mutex_unlock(&f->write);
    return feed_keeper_start(f);
}

static int propose(struct topology_source *s, uint64_t expected, const struct proposal *p,
                   struct diag *diag, uint64_t *out_version)
{
    struct control_feed *f = of(s);
    AUTO_FREE char *by = mem_printf("root@%s", f->region);
    struct control_place place;
    if (!by)
        return ERR_NOMEM;
    const struct control_draft d = {
        .by = by, .expect_topology = expected, .change = bytes_of(p->text, p->n)};
    int rc = control_feed_append(f, &d, diag, &place);
    if (!rc)
        *out_version = expected + 1;
    return rc;
}

static void look(struct topology_source *s)
{
    struct control_feed *f = of(s);
    pthread_mutex_lock(&f->write);
    if (!f->owned)
        feed_catch_up(f, NULL);
    pthread_mutex_unlock(&f->write);
}

static void status(struct topology_source *s, struct topology_status *out_topology,
                   struct topology_status *out_principals)
{
    struct control_feed *f = of(s);
    source_report_copy(&f->topology_report, out_topology);
    source_report_copy(&f->principals_report, out_principals);
}

static void close_source(struct topology_source *s)
{
    struct control_feed *f = of(s);
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_cond_broadcast(&f->moved);
    pthread_mutex_unlock(&f->lock);
    feed_keeper_stop(f);
    unlocked_free(f);
}

static const struct topology_source_ops feed_ops = {load, follow, propose,
                                                    look, status, close_source};

// ---- looking ----

struct control_state *control_feed_state(struct control_feed *f)
{
    pthread_mutex_lock(&f->lock);
    struct control_state *s = snapshot_ref(f->state);
    pthread_mutex_unlock(&f->lock);
    return s;
}

void control_feed_view(struct control_feed *f, struct control_view *out)
{
    *out = (struct control_view){.place = control_log_last(f->log),
                                 .n_entries = control_log_count(f->log),
                                 .n_void = control_log_n_void(f->log)};
    pthread_mutex_lock(&f->lock);
    const struct control_state *s = f->state;
    out->applied = s->place;
    if (!out->place.epoch) // nothing is on disk yet
        out->place.epoch = s->place.epoch;
    snprintf(out->writer, sizeof out->writer, "%s", control_state_writer(s)->name);
    out->we_write = feed_is_writer(f, s);
    out->confirmed = f->confirmed;
    out->vouched = f->vouched;
    out->owned = f->owned;
    out->adopted = !s->place.seq;
    out->topology = s->topology->version;
    out->principals = control_state_principals_version(s);
    out->time_ms = s->time_ms;
    out->root_word = s->root_word;
    out->epoch_from = s->epoch_from;
    for (size_t i = 0; i < N_FEED_ALARMS && !out->alarm; i++)
        if (f->alarms[i])
            out->alarm = mem_strdup(f->alarms[i]);
    pthread_mutex_unlock(&f->lock);
}

void control_view_done(struct control_view *v)
{
    free(v->alarm);
    v->alarm = NULL;
}

bool control_feed_has(struct control_feed *f, const struct control_place *p)
{
    struct control_place first = control_log_first(f->log);
    if (p->epoch <= first.epoch && p->seq < first.seq)
        return true;
    return control_log_has(f->log, p);
}

int control_feed_wait(struct control_feed *f, const struct control_place *after, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms;
    pthread_mutex_lock(&f->lock);
    while (!f->stop && control_place_compare(&f->state->place, after) <= 0 &&
           clock_mono_ms() < until)
        wait_cond(&f->moved, &f->lock, until - clock_mono_ms());
    int rc = 0;
    if (f->stop)
        rc = ERR_CLOSED;
    else if (control_place_compare(&f->state->place, after) <= 0)
        rc = ERR_TIMEOUT;
    pthread_mutex_unlock(&f->lock);
    return rc;
}

int control_feed_tell(struct control_feed *f, void (*fn)(void *ctx), void *ctx)
{
    int rc = ERR_FULL;
    pthread_mutex_lock(&f->lock);
    if (f->n_tells < CONTROL_TELLS_MAX) {
        f->tells[f->n_tells++] = (struct feed_tell){fn, ctx};
        rc = 0;
    }
    pthread_mutex_unlock(&f->lock);
    return rc;
}

void control_feed_untell(struct control_feed *f, void (*fn)(void *ctx), void *ctx)
{
    size_t n = 0;
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->n_tells; i++)
        if (f->tells[i].fn != fn || f->tells[i].ctx != ctx)
            f->tells[n++] = f->tells[i];
    f->n_tells = n;
    pthread_mutex_unlock(&f->lock);
}

int control_feed_record(struct control_feed *f, const char *key, struct buf *out)
{
    struct control_state *s = control_feed_state(f);
    const char *text = control_ledger_get(s->ledger, key);
    if (text)
        buf_str(out, text);
    snapshot_unref(s);
    if (!text)
        return ERR_NOTFOUND;
    return out->err;
}

void control_feed_records(struct control_feed *f, const char *prefix, control_ledger_visitor *visit,
                          void *ctx)
{
    struct control_state *s = control_feed_state(f);
    control_ledger_visit(s->ledger, prefix, visit, ctx);
    snapshot_unref(s);
}
