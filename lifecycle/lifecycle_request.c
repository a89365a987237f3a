// SPDX-License-Identifier: Apache-2.0
// What somebody asks of the engine: planned, tried, and begun with one entry of the feed; or
// refused, with a code and a sentence. The one place that knows HTTP statuses.
#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/topology_control.h"
#include "lifecycle/lifecycle_priv.h"
#include "lifecycle/what_if.h"

#include <stdlib.h>
#include <string.h>

// Another change came in between, and the plan is made anew.
#define TRIES_MAX 8
#define FORGET_MAX 8

// ---- answers ----

static const struct {
    const char *code;
    int status;
} codes[] = {
    {"Invalid", 400},       {"Denied", 403},          {"NotFound", 404},
    {"AlreadyExists", 409}, {"NameReserved", 409},    {"OperationInProgress", 409},
    {"Refused", 409},       {"VersionMismatch", 412}, {"NotTheWriter", 503},
    {"NoMajority", 503},    {"Unavailable", 503},
};

static int status_of(const char *code)
{
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (!strcmp(codes[i].code, code))
            return codes[i].status;
    return 500;
}

// `operation`: the one that stands against it, or NULL.
static void answer_error(struct lifecycle_answer *out, const char *code, const char *message,
                         const char *operation)
{
    json_t *e = json_pack("{s:s, s:s}", "code", code, "message", message);
    if (e && operation)
        json_object_set_new(e, "operation", json_string(operation));
    *out = (struct lifecycle_answer){status_of(code), json_pack("{s:o}", "error", e)};
}

static void answer_diag(struct lifecycle_answer *out, const char *code, const struct diag *diag,
                        int rc)
{
    AUTO_FREE char *text = diag_text(diag);
    const char *said = err_text(rc);
    if (text && *text)
        said = text;
    answer_error(out, code, said, NULL);
}

static const char *code_of(int rc)
{
    switch (rc) {
    case ERR_NOTFOUND:
        return "NotFound";
    case ERR_DENIED:
        return "Denied";
    case ERR_CONFLICT:
        return "Refused";
    case ERR_INVAL:
    case ERR_RANGE:
    case ERR_TOOBIG:
        return "Invalid";
    default:
        return "Unavailable";
    }
}

static json_t *notes_json(const struct plan *plan)
{
    json_t *notes = json_array();
    for (size_t i = 0; notes && i < plan->n_notes; i++)
        json_array_append_new(notes, json_string(plan->notes[i]));
    return notes;
}

static void answer_operation(struct lifecycle_answer *out, int status, const json_t *record,
                             const struct plan *plan)
{
    json_t *body = json_pack("{s:o}", "operation", record_shown(record));
    if (body && plan && plan->n_notes)
        json_object_set_new(body, "notes", notes_json(plan));
    if (body && plan && plan->answer)
        json_object_set(body, "answer", plan->answer);
    *out = (struct lifecycle_answer){status, body};
}

// ---- one request on its way ----

struct asking {
    struct lifecycle *l;
    const struct lifecycle_request *r;
    const struct verb *verb;
    struct plan_ctx x;
    struct arena arena;
    struct topology *t;
    struct plan plan;
    struct trial trial;
    struct diag diag;
    char id[OPERATION_ID_SIZE];
    // an object
    json_t *given;
    // digest of the arguments, hex: they may hold what only the document should
    char arguments[2 * SHA256_BYTES + 1];
    // of the topology, or of the principals for their verbs
    uint64_t version;
    struct lifecycle_answer *out;
};

static void hex_of(const uint8_t *p, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++)
        snprintf(out + 2 * i, 3, "%02x", p[i]);
}

// From the nonce: the same request makes the same operation.
static void operation_id(const char *nonce, char out[OPERATION_ID_SIZE])
{
    char text[128];
    uint8_t digest[SHA256_BYTES];
    int n = snprintf(text, sizeof text, "operation %.100s", nonce);
    sha256(text, (size_t)n, digest);
    hex_of(digest, (OPERATION_ID_SIZE - 1) / 2, out);
}

static int arguments_digest(const json_t *arguments, char out[2 * SHA256_BYTES + 1])
{
    uint8_t digest[SHA256_BYTES];
    char *text = json_dumps(arguments, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text)
        return ERR_NOMEM;
    sha256(text, strlen(text), digest);
    free(text);
    hex_of(digest, sizeof digest, out);
    return 0;
}

static const char *object_of(const struct asking *q)
{
    if (q->plan.object)
        return q->plan.object;
    if (!*q->r->object)
        return q->verb->noun;
    return arena_printf((struct arena *)&q->arena, "%s/%s", q->verb->noun, q->r->object);
}

// ---- planning ----

static void plan_done(struct asking *q)
{
    json_decref(q->plan.goal);
    json_decref(q->plan.before);
    json_decref(q->plan.answer);
    trial_done(&q->trial);
    q->plan = (struct plan){0};
    snapshot_unref(q->t);
    q->t = NULL;
    diag_done(&q->diag);
    diag_init(&q->diag);
    arena_done(&q->arena);
    arena_init(&q->arena, 0);
}

// What the version in `ifVersion` is of.
static int version_in_force(struct asking *q)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    q->version = q->t->version;
    if (q->verb->right != CONTROL_RIGHT_PRINCIPALS)
        return 0;
    return q->l->deps.principals(q->l->deps.ctx, &text, &q->version);
}

static bool version_fits(struct asking *q)
{
    uint64_t wanted = q->r->if_version;
    if (!wanted || wanted == q->version)
        return true;
    AUTO_FREE char *why = mem_printf(
        "version %llu is in force by now, not %llu: look at what has changed, and ask again",
        (unsigned long long)q->version, (unsigned long long)wanted);
    answer_error(q->out, "VersionMismatch", why ? why : "another version is in force", NULL);
    return false;
}

static void answer_nothing(struct asking *q)
{
    AUTO_FREE char *text = diag_text(&q->diag);
    const char *said = "it is so already";
    if (text && *text)
        said = text;
    json_t *body = json_pack("{s:s, s:s}", "code", "NothingToDo", "message", said);
    if (body && q->r->what_if)
        json_object_set_new(body, "whatIf",
                            json_pack("{s:s, s:I, s:I, s:[], s:[], s:[], s:[s], s:i}", "object",
                                      object_of(q), "from", (json_int_t)q->t->version, "to",
                                      (json_int_t)q->t->version, "dns", "certificates", "members",
                                      "notes", said, "exit", WHAT_IF_NOTHING));
    if (body && q->plan.answer)
        json_object_set(body, "answer", q->plan.answer);
    *q->out = (struct lifecycle_answer){200, body};
}

static void answer_refused(struct asking *q, const char *code, int rc)
{
    answer_diag(q->out, code, &q->diag, rc);
    if (!q->r->what_if || !q->out->body)
        return;
    const json_t *error = json_object_get(q->out->body, "error");
    json_object_set_new(q->out->body, "whatIf",
                        what_if_refused(object_of(q), q->t->version, record_text(error, "code"),
                                        record_text(error, "message")));
}

// Makes the plan and tries it. False: there is an answer already.
static bool plan(struct asking *q)
{
    const struct lifecycle *l = q->l;
    const char *code = NULL;
    q->t = l->deps.topology(l->deps.ctx);
    q->x = (struct plan_ctx){.arena = &q->arena,
                             .t = q->t,
                             .verb = q->r->verb,
                             .object = q->r->object,
                             .arguments = q->given,
                             .by = q->r->by,
                             .operation = q->id,
                             .now_ms = l->deps.now_ms(l->deps.ctx),
                             .deps = &l->deps};
    int rc = version_in_force(q);
    if (rc) {
        answer_error(q->out, "Unavailable", err_text(rc), NULL);
        return false;
    }
    if (!version_fits(q))
        return false;
    rc = q->verb->plan(&q->x, &q->plan, &q->diag, &code);
    if (!q->plan.n_locks)
        q->plan.locks[q->plan.n_locks++] = object_of(q);
    if (rc == ERR_EXISTS) {
        answer_nothing(q);
        return false;
    }
    if (!rc)
        rc = lifecycle_try(q->verb, &q->x, &q->plan, &q->diag, &q->trial);
    else if (!code)
        code = code_of(rc);
    if (!rc)
        return true;
    // what the judge of the documents refuses stands against what is in force
    if (!code)
        code = rc == ERR_INVAL ? "Refused" : code_of(rc);
    answer_refused(q, code, rc);
    return false;
}

// ---- what if ----

// The registries that are locked, when nothing else is but their stamps: no others change.
static size_t touched(const struct asking *q, const char *names[PLAN_LOCKS_MAX])
{
    static const char form[] = "registry/", stamp[] = "stamp/";
    size_t n = 0;
    for (size_t i = 0; i < q->plan.n_locks; i++) {
        const char *lock = q->plan.locks[i];
        if (!strncmp(lock, form, strlen(form)))
            names[n++] = lock + strlen(form);
        else if (strncmp(lock, stamp, strlen(stamp)) != 0)
            return 0;
    }
    return n;
}

static void answer_what_if(struct asking *q)
{
    json_t *shown = NULL;
    const char *names[PLAN_LOCKS_MAX];
    size_t n = touched(q, names);
    const struct what_if_in in = {.before = q->t,
                                  .after = q->trial.after,
                                  .registries = n ? names : NULL,
                                  .n_registries = n,
                                  .object = object_of(q),
                                  .now_s = q->x.now_ms / 1000};
    if (what_if(&in, &shown)) {
        answer_error(q->out, "Unavailable", err_text(ERR_NOMEM), NULL);
        return;
    }
    json_t *notes = json_object_get(shown, "notes");
    for (size_t i = 0; i < q->plan.n_notes; i++)
        json_array_append_new(notes, json_string(q->plan.notes[i]));
    json_object_set(shown, "phases", q->trial.phases);
    if (q->verb->right == CONTROL_RIGHT_PRINCIPALS || q->plan.first.principals.n)
        json_object_set_new(shown, "exit", json_integer(WHAT_IF_CHANGES));
    *q->out = (struct lifecycle_answer){
        200, json_pack("{s:o, s:O*}", "whatIf", shown, "answer", q->plan.answer)};
}

// ---- who holds what ----

static bool locks_meet(const struct asking *q, const json_t *held)
{
    for (size_t i = 0; i < json_array_size(held); i++) {
        const char *h = record_text_at(held, i);
        if (!strcmp(h, "*"))
            return true;
        for (size_t k = 0; k < q->plan.n_locks; k++)
            if (!strcmp(q->plan.locks[k], h) || !strcmp(q->plan.locks[k], "*"))
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

static bool is_same_request(const struct asking *q, const struct operation *o)
{
    return !strcmp(record_text(o->record, "verb"), q->r->verb) &&
           !strcmp(record_text(o->record, "object"), object_of(q)) &&
           !strcmp(record_text(o->record, "arguments"), q->arguments) &&
           !*record_text(o->record, "turned");
}

static bool is_superseded(const struct asking *q, const struct operation *o)
{
    return q->verb->supersedes && !strcmp(record_text(o->record, "verb"), q->verb->supersedes) &&
           !strcmp(record_text(o->record, "object"), object_of(q));
}

static void answer_held(struct asking *q, const struct operation *o)
{
    AUTO_FREE char *why = mem_printf(
        "operation %s (%s of %s) is under way: wait for it (meridian operation wait %s), "
        "or cancel it",
        o->id, record_text(o->record, "verb"), record_text(o->record, "object"), o->id);
    answer_error(q->out, "OperationInProgress", why ? why : "an operation is under way", o->id);
}

// ---- beginning ----

static json_t *locks_json(const struct asking *q)
{
    json_t *locks = json_array();
    for (size_t i = 0; locks && i < q->plan.n_locks; i++)
        json_array_append_new(locks, json_string(q->plan.locks[i]));
    return locks;
}

// Its record before its first phase. NULL: out of memory.
static json_t *record_new(const struct asking *q)
{
    int64_t now = q->x.now_ms;
    json_t *record =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:n, s:s, s:[], s:I, s:I, s:n, s:[], s:s, s:o, s:s}",
                  "id", q->id, "verb", q->r->verb, "object", object_of(q), "by", q->r->by, "from",
                  (json_int_t)q->version, "to", "state", q->verb->state, "phases", "created",
                  (json_int_t)now, "updated", (json_int_t)now, "error", "later", "request",
                  q->r->nonce, "locks", locks_json(q), "arguments", q->arguments);
    if (!record)
        return NULL;
    int rc = 0;
    if (q->plan.goal)
        rc |= json_object_set(record, "goal", q->plan.goal);
    if (q->plan.before)
        rc |= json_object_set(record, "before", q->plan.before);
    for (size_t i = 0; !rc && i < json_array_size(q->trial.phases); i++)
        rc = record_expect(record, json_string_value(json_array_get(q->trial.phases, i)));
    if (!rc)
        return record;
    json_decref(record);
    return NULL;
}

static int nonce_record(const struct asking *q, struct control_record *out)
{
    struct arena *a = (struct arena *)&q->arena;
    *out =
        (struct control_record){.key = arena_printf(a, "request/%s", q->r->nonce),
                                .value = arena_printf(a, "{\"expires\":%lld,\"operation\":\"%s\"}",
                                                      (long long)q->r->expires_ms, q->id)};
    if (out->key && out->value)
        return 0;
    return ERR_NOMEM;
}

static int first_phase(const struct asking *q, struct phase *out)
{
    if (!q->verb->step) {
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
    b->n_old = lifecycle_old(q->l, q->x.now_ms, &q->arena, b->records, FORGET_MAX);
    size_t n = b->n_old;
    for (size_t i = 0; i < p->n_records; i++)
        b->records[n++] = p->records[i];
    int rc = lifecycle_record(b->record, &q->arena, &b->records[n++]);
    if (!rc)
        rc = nonce_record(q, &b->records[n++]);
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

// ---- the whole ----

static void answer_not_writer(struct asking *q, int rc)
{
    const char *code = "Unavailable";
    if (rc == ERR_DENIED)
        code = "NotTheWriter";
    if (rc == ERR_UNREACHABLE)
        code = "NoMajority";
    answer_diag(q->out, code, &q->diag, rc);
}

static void answer_append_failed(struct asking *q, int rc)
{
    if (rc == ERR_DENIED || rc == ERR_UNREACHABLE) {
        answer_not_writer(q, rc);
        return;
    }
    if (rc == ERR_INVAL)
        rc = ERR_CONFLICT; // the document as it would be is refused
    answer_refused(q, code_of(rc), rc);
}

// The operation that a nonce was used for. The ledger forgets nonces by the clock of the writer of
// that time; the one that it began, whose id is made of the nonce, is kept for longer.
static const char *used_for(const struct asking *q, char out[OPERATION_KEY_SIZE])
{
    AUTO_BUF struct buf text;
    AUTO_FREE char *key = mem_printf("request/%s", q->r->nonce);
    buf_init(&text, 0);
    if (!key || q->l->deps.record(q->l->deps.ctx, key, &text))
        return operation_key(q->id, out);
    json_t *use = json_loads(buf_cstr(&text), 0, NULL);
    operation_key(record_text(use, "operation"), out);
    json_decref(use);
    return out;
}

// The same nonce again: what became of it the first time.
static bool asked_before(struct asking *q)
{
    char operation[OPERATION_KEY_SIZE];
    AUTO_BUF struct buf text;
    used_for(q, operation);
    buf_init(&text, 0);
    if (q->l->deps.record(q->l->deps.ctx, operation, &text))
        return false;
    json_t *record = json_loads(buf_cstr(&text), 0, NULL);
    if (record)
        answer_operation(q->out, 202, record, NULL);
    json_decref(record);
    return record != NULL;
}

static bool asked_already(struct asking *q)
{
    for (size_t i = 0; i < q->l->n_running; i++)
        if (is_same_request(q, q->l->running[i])) {
            answer_operation(q->out, 202, q->l->running[i]->record, NULL);
            return true;
        }
    return false;
}

// With a plan. ERR_CONFLICT: make another.
static int begin(struct asking *q)
{
    struct beginning b = {0};
    struct operation *o = holder(q);
    if (o && !is_superseded(q, o)) {
        answer_held(q, o);
        return 0;
    }
    b.superseded = o;
    int rc = first_phase(q, &b.phase);
    if (!rc && !b.phase.name) {
        answer_nothing(q);
        return 0;
    }
    // Names that were on their way out may be missing at the edge of a region that has just come
    // back: none is raised before it has caught up.
    if (!rc && o && strcmp(b.phase.name, "edge") != 0)
        b.phase = (struct phase){.name = "edge"};
    if (!rc)
        rc = begin_append(q, &b);
    if (!rc)
        answer_operation(q->out, 202, b.record, &q->plan);
    json_decref(b.record);
    json_decref(b.superseded_record);
    return rc;
}

// What is said to be there already may be about to go: then its operation is what to wait for.
static void held_rather_than_there(struct asking *q)
{
    const json_t *error = json_object_get(q->out->body, "error");
    const struct operation *o = NULL;
    if (!strcmp(record_text(error, "code"), "AlreadyExists"))
        o = holder(q);
    if (!o)
        return;
    json_decref(q->out->body);
    answer_held(q, o);
}

static void plan_and_begin(struct asking *q)
{
    int rc = ERR_CONFLICT;
    for (int i = 0; rc == ERR_CONFLICT && i < TRIES_MAX; i++) {
        plan_done(q);
        if (!plan(q)) {
            held_rather_than_there(q);
            return;
        }
        rc = begin(q);
    }
    if (rc)
        answer_append_failed(q, rc);
}

static void ask(struct asking *q)
{
    struct lifecycle *l = q->l;
    pthread_mutex_lock(&l->lock);
    int rc = lifecycle_load(l, &q->diag);
    if (rc)
        answer_not_writer(q, rc);
    else if (!asked_before(q) && !asked_already(q))
        plan_and_begin(q);
    pthread_mutex_unlock(&l->lock);
}

static bool may(struct asking *q)
{
    if ((q->r->rights & q->verb->right) == q->verb->right)
        return true;
    AUTO_FREE char *why = mem_printf("%s has no right to \"%s\": an operator's rights are in the "
                                     "topology, control.operators",
                                     q->r->by, q->r->verb);
    answer_error(q->out, "Denied", why ? why : "not permitted", NULL);
    return false;
}

static void ask_for_verb(struct asking *q)
{
    q->verb = verb_find(q->r->verb);
    if (!q->verb) {
        AUTO_FREE char *why = mem_printf("there is no verb \"%.80s\" here: this node may be of an "
                                         "older release than the command",
                                         q->r->verb);
        answer_error(q->out, "Invalid", why ? why : "there is no such verb", NULL);
        return;
    }
    if (!may(q))
        return;
    if (!q->r->what_if) {
        ask(q);
        return;
    }
    if (plan(q))
        answer_what_if(q);
}

// ---- canceling ----

static struct operation *running_of(const struct lifecycle *l, const char *id)
{
    for (size_t i = 0; i < l->n_running; i++)
        if (!strcmp(l->running[i]->id, id))
            return l->running[i];
    return NULL;
}

static void answer_not_running(struct asking *q)
{
    json_t *record = NULL;
    AUTO_FREE char *why = NULL;
    if (operation_id_ok(q->r->object)) {
        char key[OPERATION_KEY_SIZE];
        AUTO_BUF struct buf text;
        buf_init(&text, 0);
        if (!q->l->deps.record(q->l->deps.ctx, operation_key(q->r->object, key), &text))
            record = json_loads(buf_cstr(&text), 0, NULL);
    }
    if (!record) {
        why = mem_printf("there is no operation %.64s", q->r->object);
        answer_error(q->out, "NotFound", why ? why : "there is no such operation", NULL);
        return;
    }
    why = mem_printf("operation %s has ended: %s", q->r->object, record_text(record, "state"));
    answer_error(q->out, "Refused", why ? why : "it has ended", q->r->object);
    json_decref(record);
}

static int cancel_append(struct asking *q, struct operation *o)
{
    struct lifecycle *l = q->l;
    struct control_record records[2];
    struct control_place place;
    json_t *record = json_deep_copy(o->record);
    if (!record)
        return ERR_NOMEM;
    record_turn(record, "cancel", q->x.now_ms);
    // as where an operation takes another's place
    int rc = record_start(record, "edge", 0, q->x.now_ms);
    if (!rc)
        rc = lifecycle_record(record, &q->arena, &records[0]);
    snprintf(q->id, sizeof q->id, "%s", o->id);
    if (!rc)
        rc = nonce_record(q, &records[1]);
    const struct control_draft d = {
        .by = q->r->by, .request = q->r->nonce, .records = records, .n_records = 2};
    if (!rc)
        rc = l->deps.append(l->deps.ctx, &d, &q->diag, &place);
    if (rc) {
        json_decref(record);
        return rc;
    }
    json_decref(o->record);
    o->record = record;
    o->dirty = false;
    o->place = place;
    o->placed = true;
    return 0;
}

// Is all that it wanted in force, and only to be stored? Then there is nothing to turn round.
static int is_too_late(struct asking *q, const struct operation *o, bool *out)
{
    struct phase left = {0};
    *out = true;
    if (!o->verb->step)
        return 0;
    q->t = q->l->deps.topology(q->l->deps.ctx);
    q->x = (struct plan_ctx){.arena = &q->arena,
                             .t = q->t,
                             .verb = record_text(o->record, "verb"),
                             .object = "",
                             .arguments = q->given,
                             .by = q->r->by,
                             .operation = o->id,
                             .now_ms = q->l->deps.now_ms(q->l->deps.ctx),
                             .deps = &q->l->deps};
    int rc = o->verb->step(&q->x, json_object_get(o->record, "goal"), &left, &q->diag);
    *out = left.name == NULL;
    return rc;
}

static void cancel(struct asking *q)
{
    struct operation *o = running_of(q->l, q->r->object);
    bool late = false;
    int rc = 0;
    if (!o) {
        answer_not_running(q);
        return;
    }
    q->verb = o->verb;
    if (!o->verb) {
        answer_error(q->out, "Refused", "it is of a release that knows more verbs", o->id);
        return;
    }
    if (!may(q))
        return;
    bool turned = *record_text(o->record, "turned") != 0;
    if (!turned)
        rc = is_too_late(q, o, &late);
    if (!rc && late) {
        answer_error(q->out, "Refused",
                     "all that it changes is in force by now: another change takes it back", o->id);
        return;
    }
    if (!rc && !turned)
        rc = cancel_append(q, o);
    if (rc)
        answer_append_failed(q, rc);
    else
        answer_operation(q->out, 202, o->record, NULL);
}

static void ask_to_cancel(struct asking *q)
{
    struct lifecycle *l = q->l;
    if (q->r->what_if) {
        answer_error(q->out, "Invalid", "operation cancel has no what-if", NULL);
        return;
    }
    pthread_mutex_lock(&l->lock);
    int rc = lifecycle_load(l, &q->diag);
    if (rc)
        answer_not_writer(q, rc);
    else if (!asked_before(q))
        cancel(q);
    pthread_mutex_unlock(&l->lock);
}

void lifecycle_request(struct lifecycle *l, const struct lifecycle_request *r,
                       struct lifecycle_answer *out)
{
    struct asking q = {.l = l, .r = r, .out = out};
    *out = (struct lifecycle_answer){0};
    q.given = json_incref((json_t *)r->arguments);
    if (!q.given)
        q.given = json_object();
    operation_id(r->nonce, q.id);
    arena_init(&q.arena, 0);
    diag_init(&q.diag);
    if (!q.given || arguments_digest(q.given, q.arguments))
        answer_error(out, "Unavailable", err_text(ERR_NOMEM), NULL);
    else if (!strcmp(r->verb, "operation cancel"))
        ask_to_cancel(&q);
    else
        ask_for_verb(&q);
    plan_done(&q);
    arena_done(&q.arena);
    diag_done(&q.diag);
    json_decref(q.given);
}
