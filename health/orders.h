// SPDX-License-Identifier: Apache-2.0
// Operators' orders for regions: drained, impaired for one registry, or forced up or down against
// the probes. Each order carries the time at which it was given. Resolvers exchange all orders that
// they know; of two for the same thing the later one wins, so that all resolvers reach the same
// state. An order that was taken back stays in the list, as taken back, until nobody can hold the
// old one any more. Owned by the checker, under its lock.
#ifndef MERIDIAN_HEALTH_ORDERS_H
#define MERIDIAN_HEALTH_ORDERS_H

#include "base/bytes.h"
#include "health/health.h"

#define HEALTH_ORDERS_MAX 256
#define HEALTH_ORDER_KEPT_MS (30ll * 24 * 3600 * 1000) // one that was taken back
#define HEALTH_SKEW_MS 60000                           // how far clocks of resolvers may be apart

struct health_order {
    enum health_exception_kind kind;
    char region[HOSTNAME_REGION_SIZE];
    // "": all registries of the region
    char label[HOSTNAME_LABEL_SIZE];
    bool on;
    // of HEALTH_FORCED, all stamps of the region; HEALTH_AUTO: not on, and of the other kinds
    enum health_force force;
    // wall, of the resolver that was told
    int64_t at_ms;
    // who gave it: "root@eastus"; "": a version before did not say
    char by[HEALTH_BY_SIZE];
    // by our index: whose resolvers have said that they hold it; not part of the order
    region_set known;
    // monotonic: when the last answer ends that was given without it; 0: some resolver still gives
    int64_t safe_ms;
};

struct health_orders {
    size_t n;
    struct health_order list[HEALTH_ORDERS_MAX];
};

struct health_order *health_orders_find(struct health_orders *o, enum health_exception_kind kind,
                                        const char *region, const char *label);
// A new one, or a later one for the same thing. 1: it is in force now; 0: nothing new; ERR_RANGE:
// from the future; ERR_NOSPACE: too many are in force.
int health_orders_merge(struct health_orders *o, const struct health_order *order, int64_t wall_ms);
void health_orders_forget(struct health_orders *o, int64_t wall_ms); // what was taken back long ago

// What is in force for a region, for people: "drained by root@eastus since
// 2026-11-29T09:20:55.123Z, safe to stop in 42 s; forced down by …". `label`: as far as it concerns
// this registry; NULL: of all, each that is for one registry with its label. `mono_ms`: now.
void health_orders_say(const struct health_orders *o, const char *region, const char *label,
                       int64_t mono_ms, struct buf *out);
// One that is in force; after "; " when something stands in `out`. `label` NULL: with its registry's
// label, if it is for one.
void health_order_say(const struct health_order *x, const char *label, int64_t mono_ms,
                      struct buf *out);
// Names of operators and regions; nothing that a terminal or a log would take for more.
bool health_by_ok(const char *by);

// what was ordered, and when
bool health_order_same(const struct health_order *a, const struct health_order *b);

// Into the members "orders" and "forces" of a JSON object (json_t *, NULL without memory), and
// back:
//   "orders":[{"kind":"drain","region":R,"label":L,"on":true,"at_ms":N,"by":B},…],
//   "forces":[{"region":R,"force":"down","at_ms":N,"by":B},…]
// Forces have a list of their own, which those may leave out, and do pass over, who know nothing of
// them: resolvers of two versions go on hearing each other. ERR_NOMEM; ERR_CORRUPT leaves *out as
// it was.
int health_orders_put(const struct health_orders *o, void *object);
int health_orders_get(const void *object, struct health_orders *out);

extern const char *const health_force_names[];                 // by enum health_force
int health_force_parse(const char *s, enum health_force *out); // ERR_CORRUPT

#endif
