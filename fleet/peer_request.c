// SPDX-License-Identifier: Apache-2.0
// Requests of a peer certificate's replacement; see peer_roll.h. Pure.
#include "fleet/peer_roll_priv.h"

#include "base/err.h"
#include "base/mem.h"
#include "certs/signed_text.h"

#include <string.h>

static const char *const step_names[] = {"next", "used"};

int peer_request_format(const struct topology *t, const char *region, const struct peer_request *q,
                        struct region_keys *keys, struct buf *out)
{
    json_t *o =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:s}", "v", 1, "domain", t->domain, "region", region,
                  "step", step_names[q->step], "nonce", q->nonce, "current", q->current);
    if (o && q->certificate)
        json_object_set_new(o, "certificate", json_string(q->certificate));
    return signed_text_format(PEER_ROLL_PREFIX, o, keys, out);
}

static bool step_parse(const char *s, enum peer_step *out)
{
    for (size_t i = 0; s && i < ARRAY_LEN(step_names); i++)
        if (!strcmp(s, step_names[i])) {
            *out = (enum peer_step)i;
            return true;
        }
    return false;
}

static int text_take(const json_t *o, struct arena *a, struct diag *diag, struct peer_request *out)
{
    const char *nonce = signed_text_member(o, "nonce"),
               *certificate = signed_text_member(o, "certificate");
    struct peer_request q = {0};
    char current[65];
    if (!nonce || !step_parse(signed_text_member(o, "step"), &q.step) ||
        !peer_print_take(o, "current", current) || (q.step == PEER_NEXT && !certificate))
        return signed_text_refuse(diag,
                                  "what was signed is no request of a form that is known here");
    q.nonce = arena_strdup(a, nonce);
    q.current = arena_strdup(a, current);
    if (q.step == PEER_NEXT)
        q.certificate = arena_strdup(a, certificate);
    if (!q.nonce || !q.current || (q.step == PEER_NEXT && !q.certificate))
        return ERR_NOMEM;
    *out = q;
    return 0;
}

int peer_request_parse(const struct topology *t, const char *from, struct bytes body,
                       struct arena *a, struct diag *diag, struct peer_request *out)
{
    json_t *o;
    int rc = signed_text_parse(t, from, PEER_ROLL_PREFIX, body, diag, &o);
    if (rc)
        return rc;
    rc = text_take(o, a, diag, out);
    json_decref(o);
    return rc;
}
