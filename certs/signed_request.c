// SPDX-License-Identifier: Apache-2.0
// Signed requests on the wire; see signed_request.h. Any thread; no state.
#include "certs/signed_request.h"

#include "base/err.h"
#include "certs/signed_text.h"

int signed_request_format(const struct signed_request *q, struct region_keys *keys, struct buf *out)
{
    return signed_text_format(SIGNED_REQUEST_PREFIX,
                              json_pack("{s:i, s:s, s:s, s:s, s:s, s:s}", "v", 1, "domain",
                                        q->domain, "region", q->region, "kind",
                                        cert_kind_name(q->kind), "nonce", q->nonce, "csr", q->csr),
                              keys, out);
}

static int text_take(const struct topology *t, const json_t *o, struct arena *a, struct diag *diag,
                     struct signed_request *out)
{
    const char *kind = signed_text_member(o, "kind"), *nonce = signed_text_member(o, "nonce"),
               *csr = signed_text_member(o, "csr");
    enum cert_kind k;
    if (!kind || !nonce || !csr)
        return signed_text_refuse(diag,
                                  "what was signed is no request of a form that is known here");
    if (cert_kind_parse(kind, &k))
        return signed_text_refuse(diag, "kind is region, shared or peer");
    struct signed_request q = {.domain = t->domain, .kind = k};
    q.region = arena_strdup(a, signed_text_member(o, "region"));
    q.nonce = arena_strdup(a, nonce);
    q.csr = arena_strdup(a, csr);
    if (!q.region || !q.nonce || !q.csr)
        return ERR_NOMEM;
    *out = q;
    return 0;
}

int signed_request_parse(const struct topology *t, const char *from, struct bytes text,
                         struct arena *a, struct diag *diag, struct signed_request *out)
{
    json_t *o;
    int rc = signed_text_parse(t, from, SIGNED_REQUEST_PREFIX, text, diag, &o);
    if (rc)
        return rc;
    rc = text_take(t, o, a, diag, out);
    json_decref(o);
    return rc;
}
