// SPDX-License-Identifier: Apache-2.0
// An operation begins, in one entry of the feed: documents of the first phase, its record, the nonce.
// Another that holds the same stands against it, or is canceled by it. See asking.h.
#include "base/err.h"
#include "base/mem.h"
#include "control/sweep.h"
#include "lifecycle/asking.h"

#include <string.h>

// records of old operations that go with one entry
#define FORGET_MAX 8

// ---- who holds what ----

static bool lock_meets(const char *wanted, const char *held)
{
    static const char form[] = "registry/";
    if (!strcmp(held, "*") || !strcmp(wanted, "*") || !strcmp(wanted, held))
        return true;
    return !strcmp(held, PLAN_LOCK_REGISTRIES) && !strncmp(wanted, form, strlen(form));
}

static bool locks_meet(const struct asking *q, const json_t *held)
{
    for (size_t i = 0; i < json_array_size(held); i++) {
        const char *h = record_text_at(held, i);
        for (size_t k = 0; k < q->plan.n_locks; k++)
            if (lock_meets(q->plan.locks[k], h))
                return true;
    }
    return false;
}

static struct operation *holder(const struct asking *q)
{
    for (size_t i = 0; i < q->l->n_running; i++) {
        struct operation *o = q->l->running[i];
        if (locks_meet(q, json_object_get(o->record, "locks")))
            return o;
    }
    return NULL;
}

bool asking_is_for(const struct asking *q, const struct operation *o)
{
    return !strcmp(record_text(o->record, "verb"), q->r->verb) &&
           !strcmp(record_text(o->record, "object"), asking_object(q)) &&
           !strcmp(record_text(o->record, "arguments"), q->arguments) &&
           !*record_text(o->record, "turned");
}

static bool is_superseded(const struct asking *q, const struct operation *o)
{
    return q->verb->supersedes && !strcmp(record_text(o->record, "verb"), q->verb->supersedes) &&
           !strcmp(record_text(o->record, "object"), asking_object(q));
}

const struct operation *asking_against(const struct asking *q)
{
    const struct operation *o = holder(q);
    if (o && is_superseded(q, o))
        return NULL;
    return o;
}

// ---- beginning ----

static json_t *locks_json(const struct asking *q)
{
    const char *const *list = q->plan.locks;
    size_t n = q->plan.n_locks;
    json_t *locks = json_array();
    if (q->plan.n_holds) {
        list = q->plan.holds;
        n = q->plan.n_holds;
    }
    for (size_t i = 0; locks && i < n; i++)
        json_array_append_new(locks, json_string(list[i]));
    return locks;
}

// Its record before its first phase. NULL: out of memory.
static json_t *record_new(const struct asking *q)
{
    int64_t now = q->x.now_ms;
    json_t *record =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:n, s:s, s:[], s:I, s:I, s:n, s:[], s:s, s:o, s:s}",
                  "id", q->id, "verb", q->r->verb, "object", asking_object(q), "by", q->r->by,
                  "from", (json_int_t)q->version, "to", "state", q->verb->state, "phases",
                  "created", (json_int_t)now, "updated", (json_int_t)now, "error", "later",
                  "request", q->r->nonce, "locks", locks_json(q), "arguments", q->arguments);
    if (!record)
        return NULL;
    int rc = json_object_set_new(record, "rights", json_integer(asking_rights(q)));
    if (q->r->quorum)
        rc |= json_object_set_new(record, "quorum", json_true());
    // copies: the plan may hold what was asked, which the caller lets go of without the lock
    if (q->plan.goal)
        rc |= json_object_set_new(record, "goal", json_deep_copy(q->plan.goal));
    if (q->plan.before)
        rc |= json_object_set_new(record, "before", json_deep_copy(q->plan.before));
    for (size_t i = 0; !rc && i < json_array_size(q->trial.phases); i++)
        rc = record_expect(record, json_string_value(json_array_get(q->trial.phases, i)));
    if (!rc)
        return record;
    json_decref(record);
    return NULL;
}

int asking_nonce_record(const struct asking *q, struct control_record *out)
{
    struct arena *a = (struct arena *)&q->arena;
    const char *bare = q->r->bare ? ",\"bare\":true" : "";
    *out = (struct control_record){.key = arena_printf(a, SWEEP_REQUESTS "%s", q->r->nonce),
                                   .value =
                                       arena_printf(a, "{\"expires\":%lld,\"operation\":\"%s\"%s}",
                                                    (long long)q->r->expires_ms, q->id, bare)};
    if (out->key && out->value)
        return 0;
    return ERR_NOMEM;
}

static int first_phase(const struct asking *q, struct phase *out)
{
    if (!q->verb->step || q->plan.first.name) {
        *out = q->plan.first;
        return 0;
    }
    return q->verb->step(&q->x, q->plan.goal, out, (struct diag *)&q->diag);
}

struct beginning {
    struct phase phase;
    json_t *record;
    // that it takes the place of, or NULL
    struct operation *superseded;
    json_t *superseded_record;
    struct control_record *records;
    size_t n_records, n_old;
};

static int begin_records(struct asking *q, struct beginning *b)
{
    const struct phase *p = &b->phase;
    b->records = arena_array(&q->arena, p->n_records + FORGET_MAX + 3, sizeof *b->records);
    if (!b->records)
        return ERR_NOMEM;
    b->n_old = lifecycle_old(q->l, q->x.sure_ms, &q->arena, b->records, FORGET_MAX);
    size_t n = b->n_old;
    for (size_t i = 0; i < p->n_records; i++)
        b->records[n++] = p->records[i];
    int rc = lifecycle_record(b->record, &q->arena, &b->records[n++]);
    if (!rc)
        rc = asking_nonce_record(q, &b->records[n++]);
    if (!rc && b->superseded_record)
        rc = lifecycle_record(b->superseded_record, &q->arena, &b->records[n++]);
    b->n_records = n;
    return rc;
}

// The goal that an operation goes back to, or is on its way back to.
static json_t *way_back(const json_t *record)
{
    if (*record_text(record, "turned"))
        return json_object_get(record, "goal");
    return json_object_get(record, "before");
}

// How the operation ends whose place is taken. If all its documents are in force it has come to its
// end; else what it had begun is undone by the new one, whose way back leads to before both.
static int begin_superseded(struct asking *q, struct beginning *b)
{
    const struct operation *old = b->superseded;
    struct phase left = {0};
    b->superseded_record = json_deep_copy(old->record);
    if (!b->superseded_record)
        return ERR_NOMEM;
    int rc = old->verb->step(&q->x, json_object_get(old->record, "goal"), &left, &q->diag);
    if (rc)
        return rc;
    if (!left.name && !*record_text(old->record, "turned")) {
        record_end(b->superseded_record, "Succeeded", q->x.now_ms);
        return 0;
    }
    if (json_object_set(b->record, "before", way_back(old->record)))
        return ERR_NOMEM;
    AUTO_FREE char *why = mem_printf("operation %s took its place", q->id);
    record_fail(b->superseded_record, "Canceled", why ? why : "another took its place");
    record_end(b->superseded_record, "Canceled", q->x.now_ms);
    return 0;
}

static int begin_record(struct asking *q, struct beginning *b)
{
    b->record = record_new(q);
    if (!b->record)
        return ERR_NOMEM;
    int rc = phase_begin(&q->x, &b->phase, q->version, b->record);
    if (!rc && b->superseded)
        rc = begin_superseded(q, b);
    return rc;
}

static void superseded(struct lifecycle *l, struct beginning *b)
{
    for (size_t i = 0; i < l->n_running; i++)
        if (l->running[i] == b->superseded) {
            json_decref(b->superseded->record);
            b->superseded->record = take_ptr(b->superseded_record);
            lifecycle_ended(l, i);
            return;
        }
}

// One entry: documents of the first phase, the operation, the nonce.
static int begin_append(struct asking *q, struct beginning *b)
{
    struct lifecycle *l = q->l;
    struct control_place place;
    int rc = begin_record(q, b);
    if (!rc)
        rc = begin_records(q, b);
    if (rc)
        return rc;
    struct control_draft d = phase_draft(&q->x, &b->phase, q->r->nonce);
    d.records = b->records;
    d.n_records = b->n_records;
    d.spares_reserve = !q->verb->takes_away && !q->verb->revokes;
    rc = l->deps.append(l->deps.ctx, &d, &q->diag, &place);
    if (rc)
        return rc;
    lifecycle_forget(l, b->n_old);
    if (b->superseded)
        superseded(l, b);
    struct operation *o = lifecycle_add(l, json_incref(b->record));
    if (!o) {
        l->loaded = false; // it is in the ledger
        return 0;
    }
    o->place = place;
    o->placed = true;
    return 0;
}

int asking_begin(struct asking *q)
{
    struct beginning b = {0};
    struct operation *o = holder(q);
    if (o && !is_superseded(q, o)) {
        reply_held(q, o);
        return 0;
    }
    b.superseded = o;
    int rc = first_phase(q, &b.phase);
    if (!rc && !b.phase.name) {
        reply_nothing(q);
        return 0;
    }
    // Names that were on their way out may be missing at the edge of a region that has just come
    // back: none is raised before it has caught up.
    if (!rc && o && strcmp(b.phase.name, "edge") != 0)
        b.phase = (struct phase){.name = "edge"};
    if (!rc)
        rc = begin_append(q, &b);
    if (!rc)
        reply_operation(q->out, 202, b.record, &q->plan);
    json_decref(b.record);
    json_decref(b.superseded_record);
    return rc;
}
