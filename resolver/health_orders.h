// SPDX-License-Identifier: Apache-2.0
// What operators ordered of regions: drained, or impaired for one registry. Each order is stamped with the time it was
// given; resolvers exchange all they know, and of two for the same thing the later one wins, so that all come to the
// same. An order taken back stays as such until nobody can hold the old one any more. Owned by the checker, under its
// lock.
#ifndef MERIDIAN_RESOLVER_HEALTH_ORDERS_H
#define MERIDIAN_RESOLVER_HEALTH_ORDERS_H

#include "resolver/health.h"

#define HEALTH_ORDERS_MAX 256
#define HEALTH_ORDER_KEPT_MS (30ll * 24 * 3600 * 1000) // one that was taken back
#define HEALTH_SKEW_MS 60000                           // how far clocks of resolvers may be apart

struct health_order {
    enum health_exception_kind kind;
    char region[HOSTNAME_REGION_SIZE];
    char label[HOSTNAME_LABEL_SIZE]; // "": all registries of the region
    bool on;
    int64_t at_ms;    // wall, of the resolver that was told
    region_set known; // by our index: whose resolvers have said that they hold it; not part of the order
    int64_t safe_ms;  // monotonic: when the last answer ends that was given without it; 0: some resolver still gives
};

struct health_orders {
    size_t n;
    struct health_order list[HEALTH_ORDERS_MAX];
};

struct health_order *health_orders_find(struct health_orders *o, enum health_exception_kind kind, const char *region,
                                        const char *label);
// A new one, or a later one for the same thing. 1: it is in force now; 0: nothing new; ERR_RANGE: from the future;
// ERR_NOSPACE: too many are in force.
int health_orders_merge(struct health_orders *o, const struct health_order *order, int64_t wall_ms);
void health_orders_forget(struct health_orders *o, int64_t wall_ms); // what was taken back long ago

// json_t * (new), and back. ERR_CORRUPT leaves *out as it was.
void *health_orders_json(const struct health_orders *o);
int health_orders_parse(const void *json, struct health_orders *out);

#endif
