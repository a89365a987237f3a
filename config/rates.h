// SPDX-License-Identifier: Apache-2.0
// How many requests a minute a registry takes, by class: the section `limits` of a registry in the
// topology. The classes are those of the route table (registry/routes.h) and of the metrics.
//
//   limits:
//     reads: 60000                         # of the whole registry, in each region
//     per_identity: { writes: 600 }        # of each principal; anonymous callers have none
//     per_network: { tokens: 300 }         # of each client network, a /24 or a /56
//
// What is not given is not limited.
#ifndef MERIDIAN_CONFIG_RATES_H
#define MERIDIAN_CONFIG_RATES_H

#include <stdbool.h>
#include <stdint.h>

#define RATE_MAX 6000000u // a minute: 100,000 a second

enum request_class {
    REQUEST_READ,
    REQUEST_WRITE,
    REQUEST_DELETE,
    REQUEST_LIST,
    REQUEST_TOKEN,
    N_REQUEST_CLASSES
};
enum rate_scope { RATE_REGISTRY, RATE_IDENTITY, RATE_NETWORK, N_RATE_SCOPES };

struct rates {
    // a minute; 0: no limit
    uint32_t per_minute[N_RATE_SCOPES][N_REQUEST_CLASSES];
};

bool rates_any(const struct rates *r);
bool rates_equal(const struct rates *a, const struct rates *b);
const char *request_class_name(enum request_class c); // "read", "write", …
const char *rate_scope_name(enum rate_scope s);       // "registry", "identity", "network"

// ---- for config/ and control/: rows, text, and bytes ----

struct buf;
struct cursor;
struct option_set;
extern const struct option_set rates_set; // into a struct rates
// As the section of a document, each line behind `indent`; nothing when there is no limit.
void rates_format(const struct rates *r, const char *indent, struct buf *out);
void rates_put(struct buf *out, const struct rates *r);
void rates_take(struct cursor *c, struct rates *out); // a failed cursor when it is none

#endif
