// SPDX-License-Identifier: Apache-2.0
// `name release`: the name of a deleted registry is free for everybody.
#include "base/err.h"
#include "config/reserved.h"
#include "config/topology_control.h"
#include "control/change.h"
#include "lifecycle/registry_goal_priv.h"
#include "lifecycle/registry_verbs.h"
#include "lifecycle/verbs.h"

static int plan_release(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                        const char **out_code)
{
    const char *name = plain_name(x, x->object);
    const struct change c = {.release = &name, .n_release = 1};
    (void)out_code;
    int rc = arguments_known(x->arguments, NULL, 0, diag);
    if (rc)
        return rc;
    if (!name)
        return ERR_NOMEM;
    if (!topology_reserved(x->t, name)) {
        refuse(diag, "the name %.80s is not reserved: meridian name list", name);
        return ERR_NOTFOUND;
    }
    rc = plan_need_name(x, out, name);
    if (rc)
        return rc;
    out->locks[out->n_locks++] = arena_printf(x->arena, "registry/%s", name);
    if (!out->locks[0])
        return ERR_NOMEM;
    plan_note(x, out, "whoever may create registries may take the name %s from now on", name);
    out->first.name = "document";
    return change_text(x, &c, &out->first.change);
}

const struct verb verb_name_release = {.noun = "name",
                                       .word = "release",
                                       .right = CONTROL_RIGHT_REGISTRIES,
                                       .takes_away = true,
                                       .state = "Updating",
                                       .plan = plan_release};
