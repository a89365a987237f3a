// SPDX-License-Identifier: Apache-2.0
// A request's plan: made of what is in force, and tried by the judge before anything is written. See
// asking.h.
#include "base/err.h"
#include "base/mem.h"
#include "config/topology_control.h"
#include "lifecycle/asking.h"
#include "lifecycle/what_if.h"

#include <string.h>

const char *asking_object(const struct asking *q)
{
    if (q->plan.object)
        return q->plan.object;
    if (!*q->r->object)
        return q->verb->noun;
    return arena_printf((struct arena *)&q->arena, "%s/%s", q->verb->noun, q->r->object);
}

void asking_plan_done(struct asking *q)
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
    reply_error(q->out, "VersionMismatch", why ? why : "another version is in force", NULL);
    return false;
}

bool asking_plan(struct asking *q)
{
    const struct lifecycle *l = q->l;
    const char *code = NULL;
    const struct clocks clocks = lifecycle_clocks(l);
    q->t = l->deps.topology(l->deps.ctx);
    q->x = (struct plan_ctx){.arena = &q->arena,
                             .t = q->t,
                             .verb = q->r->verb,
                             .object = q->r->object,
                             .arguments = q->given,
                             .by = q->r->by,
                             .operation = q->id,
                             .now_ms = clocks.now_ms,
                             .sure_ms = clocks.sure_ms,
                             .deps = &l->deps};
    int rc = version_in_force(q);
    if (rc) {
        reply_error(q->out, "Unavailable", err_text(rc), NULL);
        return false;
    }
    if (!version_fits(q))
        return false;
    rc = q->verb->plan(&q->x, &q->plan, &q->diag, &code);
    if (!q->plan.n_locks)
        q->plan.locks[q->plan.n_locks++] = asking_object(q);
    if (rc == ERR_EXISTS) {
        reply_nothing(q);
        return false;
    }
    if (!rc && !asking_may_as_planned(q))
        return false;
    if (!rc)
        rc = lifecycle_try(q->verb, &q->x, &q->plan, &q->diag, &q->trial);
    else if (!code)
        code = reply_code(rc);
    if (!rc)
        return true;
    // what the judge of the documents refuses stands against what is in force
    if (!code)
        code = rc == ERR_INVAL ? "Refused" : reply_code(rc);
    reply_refused(q, code, rc);
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

// Does the plan write any document, or a record that is all that it is about? The base that apply keeps
// beside is none.
static bool changes_any(const struct asking *q)
{
    const struct phase *p = &q->plan.first;
    bool is_record = p->name && !strcmp(p->name, "record");
    if (p->frame.n || p->change.n || p->principals.n || is_record)
        return true;
    return q->plan.goal && json_array_size(q->trial.phases);
}

void asking_what_if(struct asking *q)
{
    json_t *shown = NULL;
    const char *names[PLAN_LOCKS_MAX];
    size_t n = touched(q, names);
    const struct what_if_in in = {.before = q->t,
                                  .after = q->trial.after,
                                  .registries = n ? names : NULL,
                                  .n_registries = n,
                                  .object = asking_object(q),
                                  .now_s = q->x.now_ms / 1000};
    if (what_if(&in, &shown)) {
        reply_error(q->out, "Unavailable", err_text(ERR_NOMEM), NULL);
        return;
    }
    json_t *notes = json_object_get(shown, "notes");
    for (size_t i = 0; i < q->plan.n_notes; i++)
        json_array_append_new(notes, json_string(q->plan.notes[i]));
    json_object_set(shown, "phases", q->trial.phases);
    if (changes_any(q))
        json_object_set_new(shown, "exit", json_integer(WHAT_IF_CHANGES));
    *q->out = (struct lifecycle_answer){
        200, json_pack("{s:o, s:O*}", "whatIf", shown, "answer", q->plan.answer)};
}
