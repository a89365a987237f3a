// SPDX-License-Identifier: Apache-2.0
// What goes on: each operation as far as it can go now. A phase that has ended is noted with what
// follows; notes without a document are gathered (lifecycle_note.c).
#include "base/err.h"
#include "base/mem.h"
#include "fleet/fleet.h"
#include "lifecycle/caches.h"
#include "lifecycle/content.h"
#include "lifecycle/lifecycle_priv.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_MS 1000
// A writer that has just begun has not heard every region that can be reached: for so long nobody
// counts as away.
#define HEARD_MS FLEET_SILENT_MS
// Certificates that are not there by then will not come by themselves.
#define CERTIFICATES_MAX_MS ((int64_t)15 * 60 * 1000)
// After a failure that may pass (disk, memory).
#define AGAIN_MS 1000
// After another change came in between: longer each time that it does in a row.
#define CONFLICT_MS 20
#define CONFLICT_MAX_MS 5000

struct run {
    struct lifecycle *l;
    // of one operation
    struct arena arena;
    struct topology *t;
    // sure_ms of struct clocks: the engine's waits go by it
    int64_t now_ms;
    // of what steps date
    int64_t dated_ms;
    int64_t next_ms;
    // the node has ceased to be the writer
    bool stopped;
};

static void sooner(struct run *x, int64_t ms)
{
    if (ms < x->next_ms)
        x->next_ms = ms > 0 ? ms : 0;
}

static void look(struct run *x)
{
    snapshot_unref(x->t);
    x->t = x->l->deps.topology(x->l->deps.ctx);
    const struct clocks clocks = lifecycle_clocks(x->l);
    x->now_ms = clocks.sure_ms;
    x->dated_ms = clocks.now_ms;
}

// ---- has the phase ended? ----

static void waits_for(struct run *x, struct operation *o, region_set set)
{
    json_t *phase = record_running(o->record);
    if (set)
        json_object_set_new(phase, "waitsFor", region_names(x->t, set));
    else
        json_object_del(phase, "waitsFor");
}

static bool has_name(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!strcmp(record_text_at(list, i), name))
            return true;
    return false;
}

// Regions that take it when they are back.
static void later(struct run *x, struct operation *o, region_set set)
{
    json_t *list = json_object_get(o->record, "later");
    for (size_t i = 0; i < x->t->n_regions; i++)
        if (set >> i & 1 && !has_name(list, x->t->regions[i].name))
            json_array_append_new(list, json_string(x->t->regions[i].name));
}

static void turn(struct run *x, struct operation *o, const char *code, const char *message)
{
    o->dirty = true;
    bool has_way_back = o->verb->step && json_object_get(o->record, "before");
    if (!*record_text(o->record, "turned") && has_way_back) {
        record_fail(o->record, code, message);
        record_turn(o->record, "undo", x->now_ms);
        return;
    }
    // The undoing itself is refused: what is left stands in the document, and is named.
    const char *first = record_text(json_object_get(o->record, "error"), "message");
    AUTO_FREE char *both =
        mem_printf("%s%sit could not be undone and stays as the document in force has it: %s",
                   first, *first ? "; " : "", message);
    record_fail(o->record, "NotUndone", both ? both : message);
    record_end_running(o->record, "failed", x->now_ms);
    record_end(o->record, "Failed", x->now_ms);
}

// Has it been the writer for long enough to have heard all that can be reached?
static bool hears_all(struct run *x)
{
    int64_t left_ms = x->l->writes_since_ms + HEARD_MS - x->dated_ms;
    if (left_ms > HEARD_MS) // a clock was set back
        x->l->writes_since_ms = x->dated_ms;
    if (left_ms <= 0)
        return true;
    sooner(x, left_ms);
    return false;
}

// Regions that the phase has to wait for: those that can be reached and are behind, and those that
// were not heard yet.
static region_set waited_for(struct run *x, const struct operation *o,
                             const struct lifecycle_stored *s)
{
    if (json_is_true(json_object_get(o->record, "quorum")))
        return 0;
    if (!s->away || hears_all(x))
        return s->behind;
    return s->behind | s->away;
}

// `passed`: regions that nothing waits for.
static bool certificates_there(struct run *x, struct operation *o, region_set passed)
{
    const json_t *phase = record_running(o->record);
    if (!json_is_true(json_object_get(phase, "certificates")))
        return true;
    region_set all = ~(region_set)0 >> (TOPOLOGY_MAX_REGIONS - x->t->n_regions);
    region_set missing = x->l->deps.certificates_missing(x->l->deps.ctx, x->t, all & ~passed);
    if (!missing)
        return true;
    waits_for(x, o, missing);
    if (x->now_ms - record_number(phase, "started") > CERTIFICATES_MAX_MS)
        turn(x, o, "CertificatesMissing",
             "the certificates of its new names were not there in time: see meridian certs show in "
             "the regions that it waited for");
    return false;
}

// False: it is not heard yet, or the operation has turned round.
static bool is_heard(struct run *x, struct operation *o, enum heard h, const char *code,
                     const char *why)
{
    if (h == HEARD_NEVER)
        turn(x, o, code, why);
    return h == HEARD;
}

static bool members_there(struct run *x, struct operation *o)
{
    char why[HEARD_WHY_SIZE];
    enum heard h = heard_members(x->l, x->t, o, x->now_ms, why);
    return is_heard(x, o, h, "MembersUnanswered", why);
}

static bool stamp_there(struct run *x, struct operation *o)
{
    char why[HEARD_WHY_SIZE];
    enum heard h = heard_stamp(x->l, x->t, o, x->now_ms, why);
    return is_heard(x, o, h, "StampUnanswered", why);
}

// What comes with a replica, or would go with it (content.h).
static bool content_there(struct run *x, struct operation *o, region_set away)
{
    struct content_wait w = {.deps = &x->l->deps,
                             .t = x->t,
                             .record = o->record,
                             .phase = record_running(o->record),
                             .away = away,
                             .now_ms = x->now_ms};
    if (!json_object_get(w.phase, "content"))
        return true;
    if (away && !hears_all(x))
        return false;
    enum content_state state = content_look(&w);
    o->dirty |= w.dirty;
    if (state == CONTENT_THERE)
        return true;
    waits_for(x, o, w.waits_for);
    if (state == CONTENT_GIVEN_UP)
        turn(x, o, "ContentNotCopied", w.why);
    return false;
}

// Has every region that counts stored the entry, and got its certificates?
static bool is_everywhere(struct run *x, struct operation *o)
{
    struct lifecycle *l = x->l;
    struct lifecycle_stored s = {0};
    if (!o->placed)
        l->deps.place(l->deps.ctx, &o->place);
    o->placed = true;
    if (l->deps.stored(l->deps.ctx, &o->place, &s)) {
        o->placed = false; // a takeover has made that place void: from where the feed is now
        return false;
    }
    if (!s.majority) {
        waits_for(x, o, s.behind | s.away);
        return false;
    }
    region_set waited = waited_for(x, o, &s);
    if (waited) {
        waits_for(x, o, waited);
        return false;
    }
    waits_for(x, o, 0); // what follows says itself for whom
    if (!certificates_there(x, o, s.behind | s.away) || !members_there(x, o) || !stamp_there(x, o))
        return false;
    if (!content_there(x, o, s.unheard))
        return false;
    later(x, o, s.behind | s.away);
    return true;
}

static void rest(struct run *x, struct operation *o, const json_t *of, int64_t seconds)
{
    const char *name = record_text(of, "rest");
    if (!*name)
        name = "wait";
    record_end_running(o->record, "done", x->now_ms);
    if (record_start(o->record, name, 0, x->now_ms))
        return;
    json_t *phase = record_running(o->record), *stamp = json_object_get(of, "stamp");
    if (stamp)
        json_object_set(phase, "stamp", stamp);
    json_object_set_new(phase, "waitUntil", json_integer(x->now_ms + seconds * 1000));
    json_object_set_new(phase, "waitSeconds", json_integer(seconds));
}

// When its wait is over; 0: it does not wait. A clock that was ahead when the wait began makes it no
// longer than it was to be.
static int64_t wait_until(struct run *x, struct operation *o, json_t *phase)
{
    int64_t until = record_number(phase, "waitUntil");
    int64_t longest = record_number(phase, "waitSeconds") * 1000;
    if (!longest || until - x->now_ms <= longest)
        return until;
    json_object_set_new(phase, "waitUntil", json_integer(x->now_ms + longest));
    o->dirty = true;
    return x->now_ms + longest;
}

// Ends the phase that runs, if it has ended.
static bool phase_ended(struct run *x, struct operation *o)
{
    json_t *phase = record_running(o->record);
    if (!phase)
        return true;
    int64_t until = wait_until(x, o, phase);
    if (until && !stamp_there(x, o))
        return false;
    if (until > x->now_ms) {
        sooner(x, until - x->now_ms);
        return false;
    }
    if (!until && !is_everywhere(x, o))
        return false;
    o->dirty = true;
    int64_t seconds = record_number(phase, "restSeconds");
    if (!until && seconds) {
        rest(x, o, phase, seconds);
        return false;
    }
    record_end_running(o->record, "done", x->now_ms);
    return true;
}

// ---- what follows ----

static void end(struct run *x, struct operation *o)
{
    const char *turned = record_text(o->record, "turned");
    const char *state = "Succeeded";
    if (!strcmp(turned, "undo"))
        state = "Failed";
    if (!strcmp(turned, "cancel"))
        state = "Canceled";
    record_end(o->record, state, x->now_ms);
    o->dirty = true;
}

static void again(struct run *x, struct operation *o, int64_t ms)
{
    o->again_ms = x->dated_ms + ms;
    sooner(x, ms);
}

static int64_t conflict_pause_ms(struct operation *o)
{
    int64_t ms = (int64_t)CONFLICT_MS << o->conflicts;
    if (ms > CONFLICT_MAX_MS)
        return CONFLICT_MAX_MS;
    o->conflicts++;
    return ms;
}

static void fails(struct run *x, struct operation *o, int rc, const struct diag *diag)
{
    AUTO_FREE char *text = diag_text(diag);
    const char *said = err_text(rc);
    if (text && *text)
        said = text;
    switch (rc) {
    case ERR_DENIED:
    case ERR_UNREACHABLE:
        x->stopped = true;
        return;
    case ERR_CONFLICT: // another change came in between: the step is made anew
        again(x, o, conflict_pause_ms(o));
        return;
    case ERR_INVAL:
    case ERR_RANGE:
    case ERR_TOOBIG:
    case ERR_NOTFOUND:
        turn(x, o, "Refused", said);
        return;
    default:
        again(x, o, AGAIN_MS);
    }
}

static int append_phase(struct run *x, struct operation *o, const struct plan_ctx *ctx,
                        const struct phase *p, struct diag *diag)
{
    struct lifecycle *l = x->l;
    struct control_place place;
    struct control_record *records = arena_array(&x->arena, p->n_records + 1, sizeof *records);
    json_t *record = json_deep_copy(o->record);
    int rc = 0;
    if (!records || !record)
        rc = ERR_NOMEM;
    for (size_t i = 0; !rc && i < p->n_records; i++)
        records[i] = p->records[i];
    if (!rc)
        rc = phase_begin(ctx, p, 0, record);
    if (!rc)
        rc = lifecycle_record(record, &x->arena, &records[p->n_records]);
    if (!rc) {
        struct control_draft d = phase_draft(ctx, p, NULL);
        d.records = records;
        d.n_records = p->n_records + 1;
        rc = l->deps.append(l->deps.ctx, &d, diag, &place);
    }
    if (rc) {
        json_decref(record);
        return rc;
    }
    json_decref(o->record);
    o->record = record;
    o->dirty = false;
    o->place = place;
    o->placed = true;
    o->conflicts = 0;
    look(x);
    return 0;
}

// False: nothing more to do for it now.
static bool next_phase(struct run *x, struct operation *o)
{
    struct diag diag;
    struct phase p = {0};
    const char *object = strchr(record_text(o->record, "object"), '/');
    const struct plan_ctx ctx = {.arena = &x->arena,
                                 .t = x->t,
                                 .verb = record_text(o->record, "verb"),
                                 .object = object ? object + 1 : "",
                                 .by = record_text(o->record, "by"),
                                 .operation = o->id,
                                 .now_ms = x->dated_ms,
                                 .sure_ms = x->now_ms,
                                 .deps = &x->l->deps};
    if (!o->verb->step) {
        end(x, o);
        return false;
    }
    diag_init(&diag);
    int rc = o->verb->step(&ctx, json_object_get(o->record, "goal"), &p, &diag);
    if (!rc && !p.name)
        end(x, o);
    if (!rc && p.name)
        rc = append_phase(x, o, &ctx, &p, &diag);
    if (rc)
        fails(x, o, rc, &diag);
    diag_done(&diag);
    return !rc && p.name;
}

static void go_on(struct run *x, struct operation *o)
{
    bool more = true;
    // a clock that was set back holds up nothing
    int64_t rest_ms = o->again_ms - x->dated_ms;
    if (!o->verb)
        return;
    if (rest_ms > 0 && rest_ms <= CONFLICT_MAX_MS) {
        sooner(x, rest_ms);
        return;
    }
    while (more && !x->stopped) {
        arena_init(&x->arena, 0);
        more = !record_ended(o->record) && phase_ended(x, o) && next_phase(x, o);
        arena_done(&x->arena);
    }
}

int64_t lifecycle_run(struct lifecycle *l)
{
    struct run x = {.l = l, .next_ms = LOOK_MS};
    pthread_mutex_lock(&l->lock);
    if (!lifecycle_load(l, NULL)) {
        look(&x);
        for (size_t i = 0; i < l->n_running && !x.stopped; i++)
            go_on(&x, l->running[i]);
        if (!x.stopped)
            caches_settle(l, x.now_ms);
        if (x.stopped)
            l->loaded = false;
        else if (lifecycle_note(l))
            sooner(&x, AGAIN_MS);
        snapshot_unref(x.t);
    }
    pthread_mutex_unlock(&l->lock);
    return x.next_ms;
}
