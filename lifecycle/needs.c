// SPDX-License-Identifier: Apache-2.0
// What a plan needs of who asks; see verb.h.
#include "lifecycle/verb.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/reserved.h"
#include "config/topology_control.h"

#include <string.h>

void plan_need(struct plan *out, unsigned rights, const char *what)
{
    for (size_t i = 0; i < out->n_needs; i++)
        if (out->needs[i].rights == rights)
            return;
    out->needs[out->n_needs++] = (struct plan_need){rights, what};
}

const char *plan_asker(const struct plan_ctx *x)
{
    static const char operator_form[] = "operator:";
    if (!strncmp(x->by, operator_form, strlen(operator_form)))
        return x->by + strlen(operator_form);
    const char *at = strchr(x->by, '@');
    if (at)
        return arena_strndup(x->arena, x->by, (size_t)(at - x->by));
    return x->by;
}

int plan_need_owner(const struct plan_ctx *x, struct plan *out, const char *owner, const char *what)
{
    const char *asker = plan_asker(x);
    if (!asker || !what)
        return ERR_NOMEM;
    if (strcmp(asker, owner) != 0)
        plan_need(out, CONTROL_RIGHTS_ALL, what);
    return 0;
}

int plan_need_name(const struct plan_ctx *x, struct plan *out, const char *name)
{
    const struct reserved_name *r = topology_reserved(x->t, name);
    if (!r || x->sure_ms / 1000 >= r->until_s)
        return 0;
    const char *owner = "nobody by name";
    if (*r->owner)
        owner = r->owner;
    return plan_need_owner(
        x, out, r->owner,
        arena_printf(x->arena, "the name %s, which is reserved for %s,", name, owner));
}
