// SPDX-License-Identifier: Apache-2.0
// Limits of requests: their rows, their text and their bytes. See rates.h.
#include "config/rates.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "config/options.h"

#include <stdio.h>
#include <string.h>

// as the document has them
static const char *const keys[N_REQUEST_CLASSES] = {"reads", "writes", "deletes", "lists",
                                                    "tokens"};

#define AT(scope, class) OPT_AT(struct rates, per_minute[scope][class])
#define RATE_ROWS(scope, whose)                                                              \
    {"reads",    OPT_INT,         AT(scope, REQUEST_READ),                                   \
     .def = "0", .max = RATE_MAX, .help = "GET and HEAD of manifests and blobs " whose},     \
        {"writes",                                                                           \
         OPT_INT,                                                                            \
         AT(scope, REQUEST_WRITE),                                                           \
         .def = "0",                                                                         \
         .max = RATE_MAX,                                                                    \
         .help = "each request of an upload, PUTs of manifests, restores and locks " whose}, \
        {"deletes",  OPT_INT,         AT(scope, REQUEST_DELETE),                             \
         .def = "0", .max = RATE_MAX, .help = "deletions " whose},                           \
        {"lists",                                                                            \
         OPT_INT,                                                                            \
         AT(scope, REQUEST_LIST),                                                            \
         .def = "0",                                                                         \
         .max = RATE_MAX,                                                                    \
         .help = "lists of tags, referrers and repositories, and /registry/v1/ " whose},     \
    {                                                                                        \
        "tokens", OPT_INT, AT(scope, REQUEST_TOKEN),                                         \
            .def = "0", .max = RATE_MAX,                                                     \
            .help = "questions to the token endpoint, logins too, " whose                    \
    }
#define SET(rows)                                                \
    {                                                            \
        rows, ARRAY_LEN(rows), sizeof(struct rates), OPT_NO_NODE \
    }

static const struct option identity_rows[] = {
    RATE_ROWS(RATE_IDENTITY, "a minute of one principal; 0: no limit")};
static const struct option network_rows[] = {
    RATE_ROWS(RATE_NETWORK, "a minute of one client network, a /24 or a /56; 0: no limit")};
static const struct option_set identity_set = SET(identity_rows), network_set = SET(network_rows);
static const struct option rates_rows[] = {
    RATE_ROWS(RATE_REGISTRY, "a minute in one region; 0: no limit"),
    // all of it is one struct's
    {"per_identity", OPT_MAP, .offset = 0, .size = sizeof(struct rates), .sub = &identity_set,
     .help = "the same of each principal; anonymous callers have their network's limits"},
    {"per_network", OPT_MAP, .offset = 0, .size = sizeof(struct rates), .sub = &network_set,
     .help = "the same of each client network, whoever asks from there"},
};
const struct option_set rates_set = SET(rates_rows);

const char *request_class_name(enum request_class c)
{
    static const char *const names[N_REQUEST_CLASSES] = {"read", "write", "delete", "list",
                                                         "token"};
    return names[c];
}

const char *rate_scope_name(enum rate_scope s)
{
    static const char *const names[N_RATE_SCOPES] = {"registry", "identity", "network"};
    return names[s];
}

bool rates_equal(const struct rates *a, const struct rates *b)
{
    return !memcmp(a->per_minute, b->per_minute, sizeof a->per_minute);
}

bool rates_any(const struct rates *r)
{
    static const struct rates none;
    return !rates_equal(r, &none);
}

// "reads: 60, writes: 6" of one scope.
static void put_scope(const struct rates *r, enum rate_scope scope, const char *before,
                      const char *between, struct buf *out)
{
    for (unsigned c = 0; c < N_REQUEST_CLASSES; c++) {
        if (!r->per_minute[scope][c])
            continue;
        buf_printf(out, "%s%s: %u", before, keys[c], r->per_minute[scope][c]);
        before = between;
    }
}

static bool scope_any(const struct rates *r, enum rate_scope scope)
{
    for (unsigned c = 0; c < N_REQUEST_CLASSES; c++)
        if (r->per_minute[scope][c])
            return true;
    return false;
}

void rates_format(const struct rates *r, const char *indent, struct buf *out)
{
    static const char *const maps[N_RATE_SCOPES] = {
        [RATE_IDENTITY] = "per_identity", [RATE_NETWORK] = "per_network"};
    char before[64];
    if (!rates_any(r))
        return;
    buf_printf(out, "%slimits:", indent);
    snprintf(before, sizeof before, "\n%s  ", indent);
    put_scope(r, RATE_REGISTRY, before, before, out);
    for (unsigned s = RATE_IDENTITY; s < N_RATE_SCOPES; s++) {
        if (!scope_any(r, (enum rate_scope)s))
            continue;
        buf_printf(out, "\n%s  %s: { ", indent, maps[s]);
        put_scope(r, (enum rate_scope)s, "", ", ", out);
        buf_str(out, " }");
    }
    buf_str(out, "\n");
}

void rates_put(struct buf *out, const struct rates *r)
{
    for (unsigned s = 0; s < N_RATE_SCOPES; s++)
        for (unsigned c = 0; c < N_REQUEST_CLASSES; c++)
            for (unsigned shift = 32; shift;) {
                shift -= 8;
                buf_u8(out, (uint8_t)(r->per_minute[s][c] >> shift));
            }
}

void rates_take(struct cursor *c, struct rates *out)
{
    for (unsigned s = 0; s < N_RATE_SCOPES; s++)
        for (unsigned i = 0; i < N_REQUEST_CLASSES; i++) {
            uint32_t n = cursor_u32(c);
            if (n > RATE_MAX)
                c->failed = true;
            out->per_minute[s][i] = n;
        }
}
