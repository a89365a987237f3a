// SPDX-License-Identifier: Apache-2.0
// `operation cancel`: an operation that runs is turned round, and goes back to what was before. See
// asking.h.
#include "base/err.h"
#include "base/mem.h"
#include "lifecycle/asking.h"

#include <string.h>

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
        reply_error(q->out, "NotFound", why ? why : "there is no such operation", NULL);
        return;
    }
    why = mem_printf("operation %s has ended: %s", q->r->object, record_text(record, "state"));
    reply_error(q->out, "Refused", why ? why : "it has ended", q->r->object);
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
    if (q->r->quorum)
        json_object_set_new(record, "quorum", json_true());
    // as where an operation takes another's place
    int rc = record_start(record, "edge", 0, q->x.now_ms);
    if (!rc)
        rc = lifecycle_record(record, &q->arena, &records[0]);
    snprintf(q->id, sizeof q->id, "%s", o->id);
    if (!rc)
        rc = asking_nonce_record(q, &records[1]);
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
    const struct clocks clocks = lifecycle_clocks(q->l);
    q->t = q->l->deps.topology(q->l->deps.ctx);
    q->x = (struct plan_ctx){.arena = &q->arena,
                             .t = q->t,
                             .verb = record_text(o->record, "verb"),
                             .object = "",
                             .arguments = q->given,
                             .by = q->r->by,
                             .operation = o->id,
                             .now_ms = clocks.now_ms,
                             .sure_ms = clocks.sure_ms,
                             .deps = &q->l->deps};
    int rc = o->verb->step(&q->x, json_object_get(o->record, "goal"), &left, &q->diag);
    *out = left.name == NULL;
    return rc;
}

void asking_cancel(struct asking *q)
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
        reply_error(q->out, "Refused", "it is of a release that knows more verbs", o->id);
        return;
    }
    if (!asking_may(q) || !asking_may_touch(q, o))
        return;
    bool turned = *record_text(o->record, "turned") != 0;
    if (!turned)
        rc = is_too_late(q, o, &late);
    if (!rc && late && !q->r->quorum) {
        reply_error(q->out, "Refused",
                    "all that it changes is in force by now: another change takes it back", o->id);
        return;
    }
    if (!rc && !turned && !late)
        rc = cancel_append(q, o);
    else if (!rc && q->r->quorum) // all that is left of it may be to wait for regions
        rc = asking_join(q, o);
    if (rc)
        reply_append_failed(q, rc);
    else
        reply_operation(q->out, 202, o->record, NULL);
}
