// SPDX-License-Identifier: Apache-2.0
// Operators' orders; see health_orders.h.
#include "resolver/health_orders.h"

#include "base/err.h"
#include "base/mem.h"

#include <jansson.h>
#include <string.h>

static const char *const kinds[] = {[HEALTH_DRAINED] = "drain", [HEALTH_IMPAIRED] = "impair"};

struct health_order *health_orders_find(struct health_orders *o, enum health_exception_kind kind, const char *region,
                                        const char *label)
{
    for (size_t i = 0; i < o->n; i++)
        if (o->list[i].kind == kind && !strcmp(o->list[i].region, region) && !strcmp(o->list[i].label, label))
            return &o->list[i];
    return NULL;
}

// Room for one more: a new place, or that of the order that was taken back longest ago.
static struct health_order *place(struct health_orders *o)
{
    struct health_order *oldest = NULL;
    if (o->n < HEALTH_ORDERS_MAX)
        return &o->list[o->n++];
    for (size_t i = 0; i < o->n; i++)
        if (!o->list[i].on && (!oldest || o->list[i].at_ms < oldest->at_ms))
            oldest = &o->list[i];
    return oldest;
}

int health_orders_merge(struct health_orders *o, const struct health_order *order, int64_t wall_ms)
{
    struct health_order *mine = health_orders_find(o, order->kind, order->region, order->label);
    if (order->at_ms > wall_ms + HEALTH_SKEW_MS)
        return ERR_RANGE; // nobody could take it back
    // Of two given in the same millisecond the one that takes traffic away wins, everywhere.
    if (mine && (mine->at_ms > order->at_ms || (mine->at_ms == order->at_ms && mine->on >= order->on)))
        return 0;
    if (!mine && !order->on && order->at_ms + HEALTH_ORDER_KEPT_MS < wall_ms)
        return 0;
    if (!mine && !(mine = place(o)))
        return ERR_NOSPACE;
    *mine = *order;
    mine->known = 0;
    mine->safe_ms = 0;
    return 1;
}

void health_orders_forget(struct health_orders *o, int64_t wall_ms)
{
    for (size_t i = 0; i < o->n;)
        if (!o->list[i].on && o->list[i].at_ms + HEALTH_ORDER_KEPT_MS < wall_ms)
            o->list[i] = o->list[--o->n];
        else
            i++;
}

void *health_orders_json(const struct health_orders *o)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < o->n; i++) {
        const struct health_order *x = &o->list[i];
        if (json_array_append_new(list,
                                  json_pack("{s:s, s:s, s:s, s:b, s:I}", "kind", kinds[x->kind], "region", x->region,
                                            "label", x->label, "on", (int)x->on, "at_ms", (json_int_t)x->at_ms))) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static int parse_one(json_t *j, struct health_order *out)
{
    const char *kind, *region, *label;
    struct health_order x = {0};
    json_int_t at;
    int on;
    if (json_unpack(j, "{s:s, s:s, s:s, s:b, s:I}", "kind", &kind, "region", &region, "label", &label, "on", &on,
                    "at_ms", &at) ||
        at <= 0)
        return ERR_CORRUPT;
    size_t k = 0;
    while (k < ARRAY_LEN(kinds) && strcmp(kinds[k], kind) != 0)
        k++;
    if (k == ARRAY_LEN(kinds) || !hostname_region_ok(region) || strlen(region) >= sizeof x.region ||
        strlen(label) >= sizeof x.label || (*label && !hostname_stamp_ok(label)) || (k == HEALTH_IMPAIRED && !*label))
        return ERR_CORRUPT;
    x.kind = (enum health_exception_kind)k;
    memcpy(x.region, region, strlen(region));
    memcpy(x.label, label, strlen(label));
    x.on = on;
    x.at_ms = at;
    *out = x;
    return 0;
}

int health_orders_parse(const void *json, struct health_orders *out)
{
    const json_t *list = json;
    size_t n = json_is_array(list) ? json_array_size(list) : HEALTH_ORDERS_MAX + 1;
    if (n > HEALTH_ORDERS_MAX)
        return ERR_CORRUPT;
    AUTO_FREE struct health_orders *o = mem_zalloc(sizeof *o);
    if (!o)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        struct health_order x;
        if (parse_one(json_array_get(list, i), &x))
            return ERR_CORRUPT;
        if (!health_orders_find(o, x.kind, x.region, x.label))
            o->list[o->n++] = x;
    }
    *out = *o;
    return 0;
}
