// SPDX-License-Identifier: Apache-2.0
// See sweep.h.
#include "control/sweep.h"

#include "base/arena.h"
#include "base/err.h"
#include "config/catalogue.h"
#include "config/registry_key.h"
#include "config/reserved.h"
#include "control/connections.h"
#include "control/request.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#define JOIN "join/"
#define GONE "gone/"

struct sweep {
    const struct sweep_at *at;
    struct arena a;
    const char **keys;
    size_t n, cap;
    // the latest end of a signed request that goes; 0: none goes
    int64_t upto_ms;
    bool nomem;
};

static int64_t number_of(const json_t *record, const char *member)
{
    return json_integer_value(json_object_get(record, member));
}

// A record that goes. False: no memory.
static bool goes(struct sweep *w, const char *key)
{
    if (w->n == w->cap)
        return true;
    w->keys[w->n] = arena_strdup(&w->a, key);
    w->nomem = !w->keys[w->n++];
    return !w->nomem;
}

static bool look_request(void *ctx, const char *key, const char *value)
{
    struct sweep *w = ctx;
    json_t *record = json_loads(value, JSON_DECODE_ANY, NULL);
    bool ends = json_is_integer(json_object_get(record, "expires"));
    bool bare = json_is_true(json_object_get(record, "bare"));
    int64_t end_ms = number_of(record, "expires");
    json_decref(record);
    if (!ends || end_ms >= w->at->now_ms)
        return true;
    if (!bare && end_ms > w->upto_ms)
        w->upto_ms = end_ms;
    return goes(w, key);
}

static bool look_join(void *ctx, const char *key, const char *value)
{
    struct sweep *w = ctx;
    json_t *record = json_loads(value, JSON_DECODE_ANY, NULL);
    const char *state = json_string_value(json_object_get(record, "state"));
    bool alarm = number_of(record, "refused") && state && strcmp(state, "revoked") != 0;
    int64_t end_ms = number_of(record, "expires");
    json_decref(record);
    if (!end_ms || alarm || w->at->now_ms - end_ms < SWEEP_JOINS_KEPT_MS)
        return true;
    return goes(w, key);
}

// Is the registry of that key there, or its name kept for its owner?
static bool is_known(const struct topology *t, const char *text)
{
    struct registry_key key;
    if (registry_key_parse(text, &key))
        return false;
    const struct catalogue_registry *r = catalogue_find_name(t->catalogue, key.name);
    const struct reserved_name *x = topology_reserved(t, key.name);
    return (r && catalogue_incarnation(r) == key.incarnation) ||
           (x && x->incarnation == key.incarnation);
}

static bool look_gone(void *ctx, const char *key, const char *value)
{
    struct sweep *w = ctx;
    json_t *record = json_loads(value, JSON_DECODE_ANY, NULL);
    int64_t due_ms = number_of(record, "due");
    json_decref(record);
    if (!due_ms || w->at->now_ms - due_ms < SWEEP_GONE_KEPT_MS ||
        is_known(w->at->t, key + strlen(GONE)))
        return true;
    return goes(w, key);
}

static bool has_word(const json_t *record, const char *member, const char *word)
{
    const char *is = json_string_value(json_object_get(record, member));
    return is && !strcmp(is, word);
}

// When nothing was to be done for it any more; 0: it is under way, or in force, or it does not say.
static int64_t connection_over_ms(const json_t *record)
{
    const json_t *moves = json_object_get(record, "moves");
    int64_t moved_ms = 0, rest_ms = number_of(record, "restMs");
    bool is_over =
        has_word(record, "state", "Rejected") || has_word(record, "state", "Disconnected");
    if (!is_over || has_word(record, "provisioning", "Updating"))
        return 0;
    if (json_array_size(moves))
        moved_ms = number_of(json_array_get(moves, json_array_size(moves) - 1), "at");
    return rest_ms > moved_ms ? rest_ms : moved_ms;
}

static bool look_connection(void *ctx, const char *key, const char *value)
{
    struct sweep *w = ctx;
    json_t *record = json_loads(value, JSON_DECODE_ANY, NULL);
    int64_t over_ms = connection_over_ms(record);
    json_decref(record);
    if (!over_ms || w->at->now_ms - over_ms < SWEEP_CONNECTIONS_KEPT_MS)
        return true;
    return goes(w, key);
}

static void look(struct sweep *w, const struct control_ledger *l)
{
    const struct sweep_at *at = w->at;
    control_ledger_visit(l, SWEEP_REQUESTS, look_request, w);
    if (at->last_ms / SWEEP_HOUR_MS == at->now_ms / SWEEP_HOUR_MS)
        return;
    control_ledger_visit(l, JOIN, look_join, w);
    control_ledger_visit(l, GONE, look_gone, w);
    control_ledger_visit(l, CONNECTION_PREFIX, look_connection, w);
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
    int64_t ms = number_of(record, "expires");
    json_decref(record);
    return ms;
}

static int put_upto(struct control_ledger **l, int64_t ms)
{
    char value[64];
    snprintf(value, sizeof value, "{\"expires\":%" PRId64 "}", ms);
    return put(l, SWEEP_REQUESTS_UPTO, value);
}

int sweep_ledger(struct control_ledger *l, const struct sweep_at *at, struct control_ledger **out)
{
    struct sweep w = {.at = at, .cap = control_ledger_count(l)};
    struct control_ledger *next = control_ledger_ref(l);
    arena_init(&w.a, 0);
    w.keys = arena_array(&w.a, w.cap + 1, sizeof *w.keys);
    w.nomem = !w.keys;
    if (!w.nomem)
        look(&w, l);
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
