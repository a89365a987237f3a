// SPDX-License-Identifier: Apache-2.0
// Operators' orders; see health_orders.h.
#include "health/orders.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <jansson.h>
#include <string.h>

static const char *const kinds[] = {[HEALTH_DRAINED] = "drain", [HEALTH_IMPAIRED] = "impair"};
const char *const health_force_names[] = {
    [HEALTH_AUTO] = "auto", [HEALTH_FORCE_UP] = "up", [HEALTH_FORCE_DOWN] = "down"};

int health_force_parse(const char *s, enum health_force *out)
{
    for (size_t i = 0; i < ARRAY_LEN(health_force_names); i++)
        if (!strcmp(s, health_force_names[i])) {
            *out = (enum health_force)i;
            return 0;
        }
    return ERR_CORRUPT;
}

static const char *verb_of(const struct health_order *x)
{
    if (x->kind == HEALTH_DRAINED)
        return "drained";
    if (x->kind == HEALTH_IMPAIRED)
        return "declared impaired";
    if (x->force == HEALTH_FORCE_UP)
        return "forced up";
    return "forced down";
}

bool health_by_ok(const char *by)
{
    for (const char *p = by; *p; p++)
        if (*p <= ' ' || *p > '~')
            return false;
    return *by && strlen(by) < HEALTH_BY_SIZE;
}

// When the region may be stopped, as far as it is drained.
static void say_safe(const struct health_order *x, int64_t mono_ms, struct buf *out)
{
    if (x->kind != HEALTH_DRAINED)
        return;
    if (!x->safe_ms)
        buf_str(out, ", not safe to stop yet: a resolver has not said that it holds the order");
    else if (mono_ms < x->safe_ms)
        buf_printf(out, ", safe to stop in %lld s", (long long)(x->safe_ms - mono_ms + 999) / 1000);
    else
        buf_str(out, ", safe to stop");
}

void health_order_say(const struct health_order *x, const char *label, int64_t mono_ms,
                      struct buf *out)
{
    char when[CLOCK_TEXT_SIZE];
    bool named = !label && *x->label;
    buf_printf(out, "%s%s%s%s by %s since %s", out->n ? "; " : "", named ? x->label : "",
               named ? " " : "", verb_of(x), *x->by ? x->by : "an operator",
               clock_format(x->at_ms, when));
    say_safe(x, mono_ms, out);
}

void health_orders_say(const struct health_orders *o, const char *region, const char *label,
                       int64_t mono_ms, struct buf *out)
{
    for (size_t i = 0; i < o->n; i++) {
        const struct health_order *x = &o->list[i];
        bool concerns = !label || !*x->label || !strcmp(x->label, label);
        if (x->on && !strcmp(x->region, region) && concerns)
            health_order_say(x, label, mono_ms, out);
    }
}

bool health_order_same(const struct health_order *a, const struct health_order *b)
{
    return a->at_ms == b->at_ms && a->on == b->on && a->force == b->force;
}

struct health_order *health_orders_find(struct health_orders *o, enum health_exception_kind kind,
                                        const char *region, const char *label)
{
    for (size_t i = 0; i < o->n; i++) {
        struct health_order *x = &o->list[i];
        if (x->kind != kind)
            continue;
        if (!strcmp(x->region, region) && !strcmp(x->label, label))
            return x;
    }
    return NULL;
}

// Room for one more: a new place, or that of the order that was taken back longest ago.
static struct health_order *place(struct health_orders *o)
{
    struct health_order *oldest = NULL;
    if (o->n < HEALTH_ORDERS_MAX)
        return &o->list[o->n++];
    for (size_t i = 0; i < o->n; i++) {
        struct health_order *x = &o->list[i];
        if (x->on)
            continue;
        if (!oldest || x->at_ms < oldest->at_ms)
            oldest = x;
    }
    return oldest;
}

// How much traffic it takes away, of two for the same thing.
static int severity(const struct health_order *x)
{
    static const int of_force[] = {
        [HEALTH_FORCE_UP] = 0, [HEALTH_AUTO] = 1, [HEALTH_FORCE_DOWN] = 2};
    if (x->kind == HEALTH_FORCED)
        return of_force[x->force];
    return x->on;
}

int health_orders_merge(struct health_orders *o, const struct health_order *order, int64_t wall_ms)
{
    struct health_order *mine = health_orders_find(o, order->kind, order->region, order->label);
    if (order->at_ms > wall_ms + HEALTH_SKEW_MS)
        return ERR_RANGE; // nobody could take it back
    // Of two given in the same millisecond the one that takes traffic away wins, everywhere.
    if (mine && mine->at_ms > order->at_ms)
        return 0;
    if (mine && mine->at_ms == order->at_ms && severity(mine) >= severity(order))
        return 0;
    if (!mine) {
        if (!order->on && order->at_ms + HEALTH_ORDER_KEPT_MS < wall_ms)
            return 0;
        mine = place(o);
    }
    if (!mine)
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

static json_t *order_json(const struct health_order *x)
{
    const char *by = NULL;
    if (*x->by)
        by = x->by;
    if (x->kind == HEALTH_FORCED)
        return json_pack("{s:s, s:s, s:I, s:s*}", "region", x->region, "force",
                         health_force_names[x->force], "at_ms", (json_int_t)x->at_ms, "by", by);
    return json_pack("{s:s, s:s, s:s, s:b, s:I, s:s*}", "kind", kinds[x->kind], "region", x->region,
                     "label", x->label, "on", (int)x->on, "at_ms", (json_int_t)x->at_ms, "by", by);
}

int health_orders_put(const struct health_orders *o, void *object)
{
    json_t *orders = json_array(), *forces = json_array();
    int bad = json_object_set_new(object, "orders", orders);
    bad |= json_object_set_new(object, "forces", forces);
    for (size_t i = 0; i < o->n && !bad; i++)
        bad = json_array_append_new(o->list[i].kind == HEALTH_FORCED ? forces : orders,
                                    order_json(&o->list[i]));
    if (bad)
        return ERR_NOMEM;
    return 0;
}

static int parse_by(const json_t *j, struct health_order *out)
{
    const json_t *by = json_object_get(j, "by");
    if (!by)
        return 0;
    if (!json_is_string(by) || !health_by_ok(json_string_value(by)))
        return ERR_CORRUPT;
    memcpy(out->by, json_string_value(by), strlen(json_string_value(by)));
    return 0;
}

static int parse_order(json_t *j, struct health_order *out)
{
    const char *kind, *region, *label;
    json_int_t at;
    int on;
    if (json_unpack(j, "{s:s, s:s, s:s, s:b, s:I}", "kind", &kind, "region", &region, "label",
                    &label, "on", &on, "at_ms", &at))
        return ERR_CORRUPT;
    size_t k = 0;
    while (k < ARRAY_LEN(kinds) && strcmp(kinds[k], kind) != 0)
        k++;
    if (k == ARRAY_LEN(kinds) || strlen(label) >= sizeof out->label ||
        (*label && !hostname_stamp_ok(label)) || (k == HEALTH_IMPAIRED && !*label) ||
        strlen(region) >= sizeof out->region)
        return ERR_CORRUPT;
    out->kind = (enum health_exception_kind)k;
    memcpy(out->region, region, strlen(region));
    memcpy(out->label, label, strlen(label));
    out->on = on;
    out->at_ms = at;
    return 0;
}

static int parse_force(json_t *j, struct health_order *out)
{
    const char *region, *force;
    json_int_t at;
    if (json_unpack(j, "{s:s, s:s, s:I}", "region", &region, "force", &force, "at_ms", &at) ||
        strlen(region) >= sizeof out->region || health_force_parse(force, &out->force))
        return ERR_CORRUPT;
    out->kind = HEALTH_FORCED;
    memcpy(out->region, region, strlen(region));
    out->on = out->force != HEALTH_AUTO;
    out->at_ms = at;
    return 0;
}

static int parse_list(const json_t *list, int (*parse)(json_t *j, struct health_order *out),
                      struct health_orders *o)
{
    size_t n;
    if (json_is_array(list))
        n = json_array_size(list);
    else
        n = HEALTH_ORDERS_MAX + 1;
    if (n > HEALTH_ORDERS_MAX - o->n)
        return ERR_CORRUPT;
    for (size_t i = 0; i < n; i++) {
        struct health_order x = {0};
        if (parse(json_array_get(list, i), &x) || parse_by(json_array_get(list, i), &x) ||
            x.at_ms <= 0 || !hostname_region_ok(x.region))
            return ERR_CORRUPT;
        if (!health_orders_find(o, x.kind, x.region, x.label))
            o->list[o->n++] = x;
    }
    return 0;
}

int health_orders_get(const void *object, struct health_orders *out)
{
    const json_t *forces = json_object_get(object, "forces");
    AUTO_FREE struct health_orders *o = mem_zalloc(sizeof *o);
    if (!o)
        return ERR_NOMEM;
    int rc = parse_list(json_object_get(object, "orders"), parse_order, o);
    if (!rc && forces)
        rc = parse_list(forces, parse_force, o);
    if (!rc)
        *out = *o;
    return rc;
}
