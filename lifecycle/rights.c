// SPDX-License-Identifier: Apache-2.0
// Whether who asks may: by the verb, by what the plan needs beyond it, and by what a running operation
// needed. See asking.h.
#include "base/mem.h"
#include "config/topology_control.h"
#include "control/operators.h"
#include "lifecycle/asking.h"

static void reply_denied(struct asking *q, const char *needed)
{
    const char *has = "none";
    if (q->r->rights)
        has = control_rights_text(q->r->rights, &q->arena);
    AUTO_FREE char *why = mem_printf(
        "%s may not ask for this \"%s\": %s. The rights of that operator are: %s (in the "
        "topology, control.operators)",
        q->r->by, q->r->verb, needed, has ? has : "?");
    reply_error(q->out, "Denied", why ? why : "not permitted", NULL);
}

static const char *rights_words(struct asking *q, unsigned rights)
{
    if (rights == CONTROL_RIGHTS_ALL)
        return "all rights";
    const char *words = control_rights_text(rights, &q->arena);
    if (words)
        words = arena_printf(&q->arena, "the right %s", words);
    return words ? words : "a right";
}

static bool lacks(const struct asking *q, unsigned rights)
{
    return (q->r->rights & rights) != rights;
}

static bool may(struct asking *q, unsigned rights)
{
    if (!lacks(q, rights))
        return true;
    AUTO_FREE char *needed = mem_printf("it needs %s", rights_words(q, rights));
    reply_denied(q, needed ? needed : "a right is lacking");
    return false;
}

bool asking_may(struct asking *q)
{
    return may(q, q->verb->right);
}

bool asking_may_touch(struct asking *q, const struct operation *o)
{
    return may(q, (unsigned)record_number(o->record, "rights"));
}

bool asking_may_as_planned(struct asking *q)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    for (size_t i = 0; i < q->plan.n_needs; i++) {
        const struct plan_need *need = &q->plan.needs[i];
        if (lacks(q, need->rights))
            buf_printf(&text, "%s%s needs %s", text.n ? "; " : "", need->what,
                       rights_words(q, need->rights));
    }
    if (!text.n && !text.err)
        return true;
    reply_denied(q, text.err ? "a right is lacking" : buf_cstr(&text));
    return false;
}

unsigned asking_rights(const struct asking *q)
{
    unsigned rights = q->verb->right;
    for (size_t i = 0; i < q->plan.n_needs; i++)
        rights |= q->plan.needs[i].rights;
    return rights;
}
