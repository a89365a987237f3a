// SPDX-License-Identifier: Apache-2.0
// Answers to requests: codes, sentences, and the one place that knows HTTP statuses. See asking.h.
#include "lifecycle/asking.h"

#include "base/err.h"
#include "base/mem.h"
#include "lifecycle/what_if.h"

#include <string.h>

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

void reply_error(struct lifecycle_answer *out, const char *code, const char *message,
                 const char *operation)
{
    json_t *e = json_pack("{s:s, s:s}", "code", code, "message", message);
    if (e && operation)
        json_object_set_new(e, "operation", json_string(operation));
    *out = (struct lifecycle_answer){status_of(code), json_pack("{s:o}", "error", e)};
}

static void reply_diag(struct lifecycle_answer *out, const char *code, const struct diag *diag,
                       int rc)
{
    AUTO_FREE char *text = diag_text(diag);
    const char *said = err_text(rc);
    if (text && *text)
        said = text;
    reply_error(out, code, said, NULL);
}

const char *reply_code(int rc)
{
    switch (rc) {
    case ERR_NOTFOUND:
        return "NotFound";
    case ERR_DENIED:
        return "Denied";
    case ERR_CONFLICT:
    case ERR_FULL:
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

void reply_operation(struct lifecycle_answer *out, int status, const json_t *record,
                     const struct plan *plan)
{
    json_t *body = json_pack("{s:o}", "operation", record_shown(record));
    if (body && plan && plan->n_notes)
        json_object_set_new(body, "notes", notes_json(plan));
    if (body && plan && plan->answer)
        json_object_set(body, "answer", plan->answer);
    *out = (struct lifecycle_answer){status, body};
}

void reply_nothing(struct asking *q)
{
    AUTO_FREE char *text = diag_text(&q->diag);
    const char *said = "it is so already";
    if (text && *text)
        said = text;
    json_t *body = json_pack("{s:s, s:s}", "code", "NothingToDo", "message", said);
    if (body && q->r->what_if)
        json_object_set_new(body, "whatIf",
                            json_pack("{s:s, s:I, s:I, s:[], s:[], s:[], s:[s], s:i}", "object",
                                      asking_object(q), "from", (json_int_t)q->t->version, "to",
                                      (json_int_t)q->t->version, "dns", "certificates", "members",
                                      "notes", said, "exit", WHAT_IF_NOTHING));
    if (body && q->plan.answer)
        json_object_set(body, "answer", q->plan.answer);
    *q->out = (struct lifecycle_answer){200, body};
}

void reply_refused(struct asking *q, const char *code, int rc)
{
    reply_diag(q->out, code, &q->diag, rc);
    if (!q->r->what_if || !q->out->body)
        return;
    const json_t *error = json_object_get(q->out->body, "error");
    json_object_set_new(q->out->body, "whatIf",
                        what_if_refused(asking_object(q), q->t->version, record_text(error, "code"),
                                        record_text(error, "message")));
}

static char *held_why(const struct operation *o)
{
    return mem_printf(
        "operation %s (%s of %s) is under way: wait for it (meridian operation wait %s), "
        "or cancel it",
        o->id, record_text(o->record, "verb"), record_text(o->record, "object"), o->id);
}

void reply_held(struct asking *q, const struct operation *o)
{
    static const char code[] = "OperationInProgress";
    AUTO_FREE char *why = held_why(o);
    const char *said = why ? why : "an operation is under way";
    reply_error(q->out, code, said, o->id);
    if (!q->r->what_if || !q->out->body)
        return;
    json_t *what_if = what_if_refused(asking_object(q), q->t->version, code, said);
    json_object_set_new(json_object_get(what_if, "error"), "operation", json_string(o->id));
    json_object_set_new(q->out->body, "whatIf", what_if);
}

void reply_what_if_held(struct asking *q, const struct operation *o)
{
    json_t *what_if = json_object_get(q->out->body, "whatIf");
    AUTO_FREE char *why = held_why(o);
    if (!what_if)
        return;
    json_object_set_new(what_if, "error",
                        json_pack("{s:s, s:s, s:s}", "code", "OperationInProgress", "message",
                                  why ? why : "an operation is under way", "operation", o->id));
    json_object_set_new(what_if, "exit", json_integer(WHAT_IF_REFUSED));
}

void reply_not_writer(struct asking *q, int rc)
{
    const char *code = "Unavailable";
    if (rc == ERR_DENIED)
        code = "NotTheWriter";
    if (rc == ERR_UNREACHABLE)
        code = "NoMajority";
    reply_diag(q->out, code, &q->diag, rc);
}

void reply_append_failed(struct asking *q, int rc)
{
    if (rc == ERR_DENIED || rc == ERR_UNREACHABLE) {
        reply_not_writer(q, rc);
        return;
    }
    if (rc == ERR_INVAL)
        rc = ERR_CONFLICT; // the document as it would be is refused
    reply_refused(q, reply_code(rc), rc);
}
