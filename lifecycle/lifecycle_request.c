// SPDX-License-Identifier: Apache-2.0
// What somebody asks of the engine: answered from what was asked before, planned and begun, or
// refused with a code and a sentence. See asking.h for the parts.
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "lifecycle/asking.h"
#include "lifecycle/used.h"

#include <stdlib.h>
#include <string.h>

// Another change came in between, and the plan is made anew.
#define TRIES_MAX 8

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

// ---- asked before ----

static void reply_forgotten(struct asking *q, const char *id)
{
    AUTO_FREE char *why =
        mem_printf("this request was carried out already, as operation %s, of which nothing is "
                   "kept any more: it is not carried out again. Look at what is in force, and ask "
                   "anew for what is lacking",
                   id);
    reply_error(q->out, "Refused", why ? why : "it was carried out already", NULL);
}

static void reply_too_late(struct asking *q)
{
    char until[CLOCK_TEXT_SIZE];
    AUTO_FREE char *why = mem_printf(
        "this request is good until %s, and what was asked until then is forgotten by now: it may "
        "have been carried out, and is not taken again. Look at what is in force, and ask anew. If "
        "that is refused too, the writer's clock was ahead for a while: wait, or ask as root at "
        "the writer",
        clock_format(q->r->expires_ms, until));
    reply_error(q->out, "Denied", why ? why : "it is too late", NULL);
}

// The same nonce again: what became of it the first time.
static bool asked_before(struct asking *q)
{
    struct request_use use;
    enum request_used used = request_used(&q->l->deps, q->r, q->id, &use);
    switch (used) {
    case REQUEST_NEW:
        break;
    case REQUEST_USED:
        reply_operation(q->out, 202, use.record, NULL);
        break;
    case REQUEST_FORGOTTEN:
        reply_forgotten(q, use.id);
        break;
    case REQUEST_TOO_LATE:
        reply_too_late(q);
        break;
    case REQUEST_UNKNOWN:
        reply_error(q->out, "Unavailable", err_text(ERR_NOMEM), NULL);
        break;
    }
    request_use_done(&use);
    return used != REQUEST_NEW;
}

int asking_join(struct asking *q, struct operation *o)
{
    struct control_record records[2];
    struct control_place place;
    bool alters = q->r->quorum && !json_is_true(json_object_get(o->record, "quorum"));
    json_t *record = json_deep_copy(o->record);
    if (!record)
        return ERR_NOMEM;
    snprintf(q->id, sizeof q->id, "%s", o->id);
    int rc = asking_nonce_record(q, &records[0]);
    if (!rc && alters && json_object_set_new(record, "quorum", json_true()))
        rc = ERR_NOMEM;
    if (!rc && alters)
        rc = lifecycle_record(record, &q->arena, &records[1]);
    const struct control_draft d = {
        .by = q->r->by, .request = q->r->nonce, .records = records, .n_records = alters ? 2 : 1};
    if (!rc)
        rc = q->l->deps.append(q->l->deps.ctx, &d, &q->diag, &place);
    if (rc) {
        json_decref(record);
        return rc;
    }
    json_decref(o->record);
    o->record = record;
    return 0;
}

static bool asked_already(struct asking *q)
{
    struct operation *o = NULL;
    for (size_t i = 0; !o && i < q->l->n_running; i++)
        if (asking_is_for(q, q->l->running[i]))
            o = q->l->running[i];
    if (!o)
        return false;
    if (!asking_may_touch(q, o))
        return true;
    int rc = asking_join(q, o);
    if (rc)
        reply_append_failed(q, rc);
    else
        reply_operation(q->out, 202, o->record, NULL);
    return true;
}

// ---- changing ----

// What is said to be there already may be about to go: then its operation is what to wait for.
static void held_rather_than_there(struct asking *q)
{
    const json_t *error = json_object_get(q->out->body, "error");
    const struct operation *o = NULL;
    if (!strcmp(record_text(error, "code"), "AlreadyExists"))
        o = asking_against(q);
    if (!o)
        return;
    json_decref(q->out->body);
    reply_held(q, o);
}

static void ask_what_if(struct asking *q)
{
    struct lifecycle *l = q->l;
    const struct operation *o = NULL;
    bool planned = asking_plan(q);
    if (planned)
        asking_what_if(q);
    pthread_mutex_lock(&l->lock);
    // a node that may not write just now does not know what runs
    bool knows = !lifecycle_load(l, NULL);
    if (knows && planned)
        o = asking_against(q);
    if (o && !asking_is_for(q, o))
        reply_what_if_held(q, o);
    if (knows && !planned)
        held_rather_than_there(q);
    pthread_mutex_unlock(&l->lock);
}

static void plan_and_begin(struct asking *q)
{
    int rc = ERR_CONFLICT;
    for (int i = 0; rc == ERR_CONFLICT && i < TRIES_MAX; i++) {
        asking_plan_done(q);
        if (!asking_plan(q)) {
            held_rather_than_there(q);
            return;
        }
        rc = asking_begin(q);
    }
    if (rc)
        reply_append_failed(q, rc);
}

static void ask(struct asking *q)
{
    struct lifecycle *l = q->l;
    pthread_mutex_lock(&l->lock);
    int rc = lifecycle_load(l, &q->diag);
    if (rc)
        reply_not_writer(q, rc);
    else if (!asked_before(q) && !asked_already(q))
        plan_and_begin(q);
    pthread_mutex_unlock(&l->lock);
}

static void ask_for_verb(struct asking *q)
{
    q->verb = verb_find(q->r->verb);
    if (!q->verb) {
        AUTO_FREE char *why = mem_printf("there is no verb \"%.80s\" here: this node may be of an "
                                         "older release than the command",
                                         q->r->verb);
        reply_error(q->out, "Invalid", why ? why : "there is no such verb", NULL);
        return;
    }
    if (!asking_may(q))
        return;
    if (q->r->what_if)
        ask_what_if(q);
    else
        ask(q);
}

static void ask_to_cancel(struct asking *q)
{
    struct lifecycle *l = q->l;
    if (q->r->what_if) {
        reply_error(q->out, "Invalid", "operation cancel has no what-if", NULL);
        return;
    }
    pthread_mutex_lock(&l->lock);
    int rc = lifecycle_load(l, &q->diag);
    if (rc)
        reply_not_writer(q, rc);
    else if (!asked_before(q))
        asking_cancel(q);
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
        reply_error(out, "Unavailable", err_text(ERR_NOMEM), NULL);
    else if (!strcmp(r->verb, "operation cancel"))
        ask_to_cancel(&q);
    else
        ask_for_verb(&q);
    asking_plan_done(&q);
    arena_done(&q.arena);
    diag_done(&q.diag);
    json_decref(q.given);
}
