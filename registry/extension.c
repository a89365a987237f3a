// SPDX-License-Identifier: Apache-2.0
// What the handlers below /registry/v1/ share; see extension.h.
#include "registry/extension.h"

#include "registry/registry_priv.h"

#include "base/clock.h"
#include "base/err.h"

#include <inttypes.h>

// A member that could not be set stands in no answer: its object becomes one that x_answer refuses.
static const char broken[] = "\1";

void x_own(json_t *o, const char *key, json_t *value)
{
    if (!o) {
        json_decref(value);
        return;
    }
    if (json_object_set_new(o, key, value))
        (void)json_object_set_new(o, broken, json_true());
}

void x_text(json_t *o, const char *key, const char *value)
{
    x_own(o, key, json_string(value ? value : ""));
}

void x_number(json_t *o, const char *key, uint64_t value)
{
    x_own(o, key, json_integer((json_int_t)value));
}

void x_bool(json_t *o, const char *key, bool value)
{
    x_own(o, key, json_boolean(value));
}

void x_digest(json_t *o, const char *key, const struct digest *d)
{
    char text[DIGEST_TEXT_SIZE];
    if (d->n)
        x_own(o, key, json_string(digest_format(d, text)));
    else
        x_own(o, key, json_null());
}

json_t *x_named(const struct op *op, const char *key, const char *value)
{
    json_t *o = json_object();
    x_text(o, "registry", op->registry_name);
    if (op->route.name)
        x_text(o, "repository", op->route.name);
    if (key)
        x_text(o, key, value);
    return o;
}

void x_value(const struct op *op, json_t *o, uint64_t stamp, const char *origin, const char *by)
{
    char number[24], at[CLOCK_TEXT_SIZE];
    snprintf(number, sizeof number, "%" PRIu64, stamp);
    x_text(o, "stamp", number);
    if (stamp)
        x_text(o, "time", clock_format(hlc_wall_ms(stamp), at));
    x_text(o, "region", origin);
    x_text(o, "by", op->access.anonymous ? "" : by);
}

void x_lock(json_t *o, const char *key, bool write, bool del)
{
    json_t *lock = json_object();
    x_bool(lock, "write", write);
    x_bool(lock, "delete", del);
    x_own(o, key, lock);
}

void x_answer(struct op *op, struct http_response *resp, int status, json_t *o, const char *what)
{
    int rc = ERR_NOMEM;
    if (o && !json_object_get(o, broken))
        rc = http_response_json(op->req, resp, status, o);
    else
        json_decref(o);
    if (rc)
        answer_error(op, resp, rc, what);
}

bool x_page_read(struct op *op, struct http_response *resp, struct page_ask *out)
{
    if (!page_ask_read(op, resp, PAGE_X_MAX, out))
        return false;
    if (!http_query_get(op->req, "n", 0))
        out->n = PAGE_X;
    return true;
}

void x_page_next(struct op *op, struct http_response *resp, json_t *o, const char *path,
                 const struct page_ask *page, const char *last)
{
    x_text(o, "next", last);
    page_link(op, resp, &(struct page_next){.path = path, .n = page->n, .last = last});
}

// --- what the query names ---

static unsigned taken_by(enum route_kind kind)
{
    switch (kind) {
    case ROUTE_X_REPOSITORY:
    case ROUTE_X_TAGS:
    case ROUTE_X_MANIFESTS:
    case ROUTE_X_RETENTION:
        return ROUTE_TAKES_REPOSITORY;
    case ROUTE_X_HISTORY:
        return ROUTE_TAKES_REPOSITORY | ROUTE_TAKES_TAG | ROUTE_NEEDS_TAG;
    case ROUTE_X_RESTORE:
        return ROUTE_TAKES_REPOSITORY | ROUTE_TAKES_TAG | ROUTE_NEEDS_TAG | ROUTE_TAKES_DIGEST |
               ROUTE_NEEDS_DIGEST;
    case ROUTE_X_LOCK:
        return ROUTE_TAKES_REPOSITORY | ROUTE_TAKES_TAG | ROUTE_TAKES_DIGEST;
    default:
        return 0;
    }
}

void extension_look(struct op *op)
{
    op_manifests_fit(op); // lists are long
    route_query(&op->route, taken_by(op->route.kind), http_query_get(op->req, "repository", 0),
                http_query_get(op->req, "tag", 0), http_query_get(op->req, "digest", 0));
}
