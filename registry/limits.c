// SPDX-License-Identifier: Apache-2.0
// The limits of a registry's requests (config/rates.h, net/throttle.h), judged on HTTP threads once
// the caller is known and before anything is done for him: of a request with a body before the
// body, so that an upload is as it was and goes on with the same piece later. Other regions are not
// limited: what they copy was pushed within limits.
#include "registry/registry_priv.h"

#include "base/clock.h"
#include "config/policy.h"

static void refuse(struct op *op, enum request_class class, const struct throttle_verdict *v,
                   struct http_response *resp)
{
    static const char *const whose[N_RATE_SCOPES] = {"all callers of this registry together", "you",
                                                     "all callers of your network together"};
    static const char *const what[N_REQUEST_CLASSES] = {"reads", "writes", "deletions", "lists",
                                                        "questions for tokens"};
    oci_error(op->req, resp, 429, OCI_TOOMANYREQUESTS, NULL,
              "%s may make %u %s a minute in region %s: try again in %u s", whose[v->scope],
              v->per_minute, what[class], op->s->region, v->wait_s);
    answer_header(op, resp, "Retry-After", "%u", v->wait_s);
}

bool op_within_limits(struct op *op, const struct registry *reg, struct http_response *resp)
{
    const struct rates *rates = policy_rates(reg);
    struct throttle_verdict v;
    if (!rates || op->access.peer)
        return true;
    enum request_class class = REQUEST_READ;
    if (op->row)
        class = op->row->class;
    struct throttle_ask q = {.registry = op->registry,
                             .class = class,
                             .rates = rates,
                             .whole = true,
                             .client = &op->req->client};
    if (*op->principal)
        q.identity = op->principal;
    if (throttle_take(op->s->throttle, &q, clock_mono_ms(), &v))
        return true;
    refuse(op, class, &v, resp);
    return false;
}
