// SPDX-License-Identifier: Apache-2.0
// See sweep.h.
#include "control/sweep.h"

#include "base/arena.h"
#include "base/err.h"
#include "control/request.h"

#include <inttypes.h>
#include <jansson.h>

struct sweep {
    int64_t now_ms;
    struct arena a;
    const char **keys;
    size_t n, cap;
    // the latest end of a signed request that goes; 0: none goes
    int64_t upto_ms;
    bool nomem;
};

static int64_t end_of(const json_t *record)
{
    return json_integer_value(json_object_get(record, "expires"));
}

static bool find_request(void *ctx, const char *key, const char *value)
{
    struct sweep *w = ctx;
    json_t *record = json_loads(value, JSON_DECODE_ANY, NULL);
    bool ends = json_is_integer(json_object_get(record, "expires"));
    bool bare = json_is_true(json_object_get(record, "bare"));
    int64_t end_ms = end_of(record);
    json_decref(record);
    if (!ends || end_ms >= w->now_ms || w->n == w->cap)
        return true;
    if (!bare && end_ms > w->upto_ms)
        w->upto_ms = end_ms;
    w->keys[w->n] = arena_strdup(&w->a, key);
    w->nomem = !w->keys[w->n++];
    return !w->nomem;
}

// Puts into *l, which is a reference.
static int put(struct control_ledger **l, const char *key, const char *value)
{
    struct control_ledger *next = NULL;
    int rc = control_ledger_put(*l, key, value, &next);
    if (rc)
        return rc;
    control_ledger_unref(*l);
    *l = next;
    return 0;
}

// 0: nothing is said.
static int64_t upto_of(const struct control_ledger *l)
{
    const char *text = control_ledger_get(l, SWEEP_REQUESTS_UPTO);
    if (!text)
        return 0;
    json_t *record = json_loads(text, 0, NULL);
    int64_t ms = end_of(record);
    json_decref(record);
    return ms;
}

static int put_upto(struct control_ledger **l, int64_t ms)
{
    char value[64];
    snprintf(value, sizeof value, "{\"expires\":%" PRId64 "}", ms);
    return put(l, SWEEP_REQUESTS_UPTO, value);
}

int sweep_ledger(struct control_ledger *l, int64_t now_ms, struct control_ledger **out)
{
    struct sweep w = {.now_ms = now_ms, .cap = control_ledger_count(l)};
    struct control_ledger *next = control_ledger_ref(l);
    arena_init(&w.a, 0);
    w.keys = arena_array(&w.a, w.cap + 1, sizeof *w.keys);
    w.nomem = !w.keys;
    if (!w.nomem)
        control_ledger_visit(l, SWEEP_REQUESTS, find_request, &w);
    int rc = w.nomem ? ERR_NOMEM : 0;
    for (size_t i = 0; !rc && i < w.n; i++)
        rc = put(&next, w.keys[i], NULL);
    if (!rc && w.upto_ms > upto_of(l))
        rc = put_upto(&next, w.upto_ms);
    arena_done(&w.a);
    if (rc)
        control_ledger_unref(next);
    else
        *out = next;
    return rc;
}

int sweep_back(struct control_ledger *l, int64_t now_ms, struct control_ledger **out)
{
    struct control_ledger *next = control_ledger_ref(l);
    int64_t right_ms = now_ms + CONTROL_REQUEST_LIFE_MAX_MS;
    int rc = 0;
    if (upto_of(l) > right_ms)
        rc = put_upto(&next, right_ms);
    if (rc)
        control_ledger_unref(next);
    else
        *out = next;
    return rc;
}
