// SPDX-License-Identifier: Apache-2.0
// A document that is watched; see watched_document.h. Reading and parsing is in watched_file.c.
#include "control/watched_document.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/compiled.h"
#include "control/principals_follow.h"
#include "control/successor.h"

#include <string.h>

struct document_kind {
    const char *what;
    bool is_topology;
    // Fills it all. `last` (may be NULL): if the file is what that began from, that is it.
    int (*parse)(enum topology_form form, const char *path, const struct document *last,
                 struct diag *diag, struct document *out);
    // The last good one at `last_path`, a copy of what was at `path`.
    int (*parse_last)(enum topology_form form, const char *last_path, const char *path,
                      struct diag *diag, struct document *out);
    // May it come after what is in force? NULL: anything may. *out_again_s: the time at which it
    // may be otherwise; 0: never.
    bool (*may_follow)(const void *before, const struct document *next, struct diag *diag,
                       int64_t *out_again_s);
};

// ---- the two kinds ----

static int parse_last_topology(enum topology_form form, const char *last_path, const char *path,
                               struct diag *diag, struct document *out)
{
    int rc = watch_parse_kept(form, last_path, path, diag, out);
    if (rc != ERR_NOTFOUND)
        return rc;
    // where it was kept before there was a compiled form
    AUTO_FREE char *older = mem_printf("%s.yaml", last_path);
    if (!older)
        return rc;
    watch_document_done(out);
    *out = (struct document){0};
    return watch_parse_kept(form, older, path, diag, out);
}

static bool topology_may_follow(const void *before, const struct document *next, struct diag *diag,
                                int64_t *out_again_s)
{
    if (next->value == before)
        return true;
    bool has_lines = !compiled_is(next->text.p, next->text.n);
    const struct bytes text = bytes_of(next->text.p, has_lines ? next->text.n : 0);
    return successor_ok(before, next->value, text, clock_wall_ms() / 1000, diag, out_again_s);
}

static int parse_last_principals(enum topology_form form, const char *last_path, const char *path,
                                 struct diag *diag, struct document *out)
{
    (void)path;
    return watch_parse_principals(form, last_path, NULL, diag, out);
}

static bool principals_follow(const void *before, const struct document *next, struct diag *diag,
                              int64_t *out_again_s)
{
    (void)out_again_s;
    return next->value == before ||
           principals_may_follow(before, next->value, clock_wall_ms() / 1000, diag);
}

const struct document_kind watched_topology = {"topology", true, watch_parse_topology,
                                               parse_last_topology, topology_may_follow};
const struct document_kind watched_principals = {"principals", false, watch_parse_principals,
                                                 parse_last_principals, principals_follow};

// ---- life ----

int watched_document_init(struct watched_document *w, const struct document_kind *kind,
                          enum topology_form form, const char *path, const char *last_path,
                          void (*publish)(void *ctx, void *value), void *ctx)
{
    *w = (struct watched_document){
        .kind = kind, .form = form, .publish = publish, .ctx = ctx, .path = mem_strdup(path)};
    source_report_init(&w->report, kind->what);
    int rc = last_good_init(&w->last, kind->what, last_path, kind->is_topology);
    if (!w->path)
        return ERR_NOMEM;
    return rc;
}

void watched_document_done(struct watched_document *w)
{
    if (!w->kind)
        return;
    last_good_done(&w->last);
    source_report_done(&w->report);
    free(w->path);
    *w = (struct watched_document){0};
}

static int parse_file(struct watched_document *w, const struct document *last, struct diag *diag,
                      struct document *out)
{
    return w->kind->parse(w->form, w->path, last, diag, out);
}

static bool is_same(const struct watched_document *w, const struct document *d)
{
    return d->version == w->file_version && !memcmp(d->hash, w->hash, sizeof d->hash);
}

static void publish(struct watched_document *w, struct document *d, bool from_last_good)
{
    w->version = d->version;
    w->file_version = d->file_version;
    memcpy(w->hash, d->hash, sizeof w->hash);
    w->publish(w->ctx, take_ptr(d->value));
    source_report_in_force(&w->report, d->version, from_last_good);
}

static bool may_follow(struct watched_document *w, const void *before, const struct document *next,
                       struct diag *diag)
{
    w->again_s = 0;
    if (!w->kind->may_follow || !before)
        return true;
    return w->kind->may_follow(before, next, diag, &w->again_s);
}

// ---- looking ----

// Of a document that could be read, and is another than the one in force. False: diag says why.
static bool judge(struct watched_document *w, const void *now, const struct document *d,
                  struct diag *diag)
{
    if (d->version < w->version) {
        diag_add(diag, w->path, 0,
                 "version %llu is lower than %llu, which is in force; versions only go up",
                 (unsigned long long)d->version, (unsigned long long)w->version);
        return false;
    }
    if (d->version && d->version == w->version) {
        diag_add(diag, w->path, 0,
                 "has version %llu, as the one in force, but other content; raise the version",
                 (unsigned long long)d->version);
        return false;
    }
    return may_follow(w, now, d, diag);
}

enum outcome { PUBLISHED, AGREES, REFUSED };

// REFUSED: diag says why, unless memory ended.
static enum outcome take(struct watched_document *w, const void *now, struct document *d,
                         struct diag *diag)
{
    int rc = parse_file(w, NULL, diag, d);
    if (rc) {
        if (!diag_count(diag))
            diag_add(diag, w->path, 0, "%s", err_text(rc));
        return REFUSED;
    }
    if (is_same(w, d))
        return AGREES;
    if (!judge(w, now, d, diag))
        return REFUSED;
    last_good_keep(&w->last, d);
    publish(w, d, false);
    return PUBLISHED;
}

static bool is_time_again(const struct watched_document *w)
{
    return w->again_s && clock_wall_ms() / 1000 >= w->again_s;
}

bool watched_document_look(struct watched_document *w, const void *now, bool forced)
{
    struct signature seen = watch_signature(w->path);
    if (!forced && !is_time_again(w) && signature_same(&seen, &w->seen))
        return false;
    w->again_s = 0;
    w->seen = seen; // before reading: a change meanwhile is seen at the next look
    struct diag diag;
    struct document d = {0};
    diag_init(&diag);
    enum outcome outcome = take(w, now, &d, &diag);
    if (outcome == REFUSED)
        source_report_refused(&w->report, diag_text(&diag));
    else
        source_report_agrees(&w->report);
    if (outcome == PUBLISHED)
        log_info("config: %s version %llu is in force", w->kind->what,
                 (unsigned long long)w->version);
    watch_document_done(&d);
    diag_done(&diag);
    return outcome == PUBLISHED;
}

void watched_document_keep(struct watched_document *w)
{
    if (!w->kind || !last_good_is_due(&w->last))
        return;
    // What is in force is what the file says, unless that has been edited since (then the next good
    // edit is kept) or changed (then last_good_offer keeps it).
    struct document d = {0};
    bool is_in_force = !parse_file(w, NULL, NULL, &d) && d.version == w->version &&
                       !memcmp(d.hash, w->hash, sizeof d.hash);
    if (is_in_force)
        last_good_keep(&w->last, &d);
    watch_document_done(&d);
}

// ---- at start ----

struct start { // the file, and the last good one
    struct document file, last;
    bool has_last;
};

static void read_last(struct watched_document *w, struct start *s)
{
    struct diag why;
    diag_init(&why);
    int rc = w->kind->parse_last(w->form, w->last.path, w->path, &why, &s->last);
    if (rc && rc != ERR_NOTFOUND)
        log_warn("config: the last good %s at %s cannot be used: %s", w->kind->what, w->last.path,
                 why.n ? why.lines[0] : err_text(rc));
    s->has_last = !rc;
    diag_done(&why);
}

static int read_file(struct watched_document *w, struct start *s, struct diag *why)
{
    int rc = parse_file(w, &s->last, why, &s->file);
    if (rc || !s->has_last)
        return rc;
    if (s->file.version < s->last.version) {
        diag_add(why, w->path, 0,
                 "version %llu is lower than %llu, the last good one; versions only go up",
                 (unsigned long long)s->file.version, (unsigned long long)s->last.version);
        return ERR_VERSION;
    }
    if (!may_follow(w, s->last.value, &s->file, why))
        return ERR_VERSION;
    return 0;
}

static void start_on_file(struct watched_document *w, struct start *s)
{
    bool is_other = !s->has_last || memcmp(s->file.hash, s->last.hash, sizeof s->file.hash) != 0;
    bool same_version = s->has_last && s->file.version && s->file.version == s->last.version;
    if (is_other && same_version)
        log_warn("config: the %s has other content than before under the same version %llu",
                 w->kind->what, (unsigned long long)s->file.version);
    w->last.version = s->file.version;
    if (is_other)
        last_good_keep(&w->last, &s->file);
    publish(w, &s->file, false);
}

static void copy_lines(const struct diag *from, struct diag *to)
{
    for (size_t i = 0; i < from->n; i++)
        diag_add(to, NULL, 0, "%s", from->lines[i]);
}

int watched_document_load(struct watched_document *w, struct diag *diag)
{
    struct start s = {0};
    struct diag why;
    diag_init(&why);
    w->seen = watch_signature(w->path);
    read_last(w, &s);
    int rc = read_file(w, &s, &why);
    if (!rc) {
        start_on_file(w, &s);
    } else if (s.has_last) {
        publish(w, &s.last, true);
        source_report_refused(&w->report, diag_text(&why));
        rc = 0;
    } else {
        copy_lines(&why, diag);
        if (!why.n)
            diag_add(diag, w->path, 0, "%s", err_text(rc));
    }
    watch_document_done(&s.file);
    watch_document_done(&s.last);
    diag_done(&why);
    return rc;
}
