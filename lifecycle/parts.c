// SPDX-License-Identifier: Apache-2.0
// Further records of operations; see parts.h.
#include "lifecycle/parts.h"

#include "base/err.h"
#include "lifecycle/lifecycle.h"

#include <stdlib.h>
#include <string.h>

#define PART_PREFIX "part/"

int part_record(const struct plan_ctx *x, const char *what, json_t *value,
                struct control_record *out)
{
    char *text = NULL;
    if (value)
        text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(value);
    if (!text)
        return ERR_NOMEM;
    *out = (struct control_record){
        .key = arena_printf(x->arena, PART_PREFIX "%s/%s", x->operation, what),
        .value = arena_strdup(x->arena, text)};
    free(text);
    if (out->key && out->value)
        return 0;
    return ERR_NOMEM;
}

static const char *prefix_of(struct arena *a, const char *operation)
{
    return arena_printf(a, PART_PREFIX "%s/", operation);
}

// ---- the first ----

struct first {
    struct arena *arena;
    const char *key;
    json_t *value;
};

static bool first_one(void *v, const char *key, const char *value)
{
    struct first *f = v;
    f->key = arena_strdup(f->arena, key);
    f->value = json_loads(value, JSON_DECODE_ANY, NULL);
    return false;
}

int part_first(const struct plan_ctx *x, const char *operation, const char **out_key, json_t **out)
{
    struct first f = {.arena = x->arena};
    const char *prefix = prefix_of(x->arena, operation);
    if (!prefix)
        return ERR_NOMEM;
    x->deps->records(x->deps->ctx, prefix, first_one, &f);
    if (f.key && f.value) {
        *out_key = f.key;
        *out = f.value;
        return 0;
    }
    json_decref(f.value);
    if (f.key)
        return ERR_NOMEM;
    return ERR_NOTFOUND;
}

// ---- all ----

struct going {
    struct arena *arena;
    struct control_record *list;
    size_t n, cap;
    bool nomem;
};

static bool count_one(void *v, const char *key, const char *value)
{
    (void)key;
    (void)value;
    ((struct going *)v)->cap++;
    return true;
}

static bool go_one(void *v, const char *key, const char *value)
{
    struct going *g = v;
    (void)value;
    if (g->n == g->cap)
        return false;
    g->list[g->n] = (struct control_record){.key = arena_strdup(g->arena, key)};
    g->nomem = !g->list[g->n++].key;
    return !g->nomem;
}

int parts_gone(const struct lifecycle_deps *deps, const char *operation, struct arena *a,
               struct control_record **out, size_t *out_n)
{
    struct going g = {.arena = a};
    const char *prefix = prefix_of(a, operation);
    if (!prefix)
        return ERR_NOMEM;
    deps->records(deps->ctx, prefix, count_one, &g);
    g.list = arena_array(a, g.cap + 1, sizeof *g.list);
    if (!g.list)
        return ERR_NOMEM;
    deps->records(deps->ctx, prefix, go_one, &g);
    if (g.nomem)
        return ERR_NOMEM;
    *out = g.list;
    *out_n = g.n;
    return 0;
}
