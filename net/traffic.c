// SPDX-License-Identifier: Apache-2.0
// Counters of what was served; see traffic.h. Additions are relaxed: a scrape may see one counter a
// moment before another.
#include "net/traffic.h"

#include "base/exposition.h"
#include "base/mem.h"
#include "config/rates.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define SHARDS 4 // a power of two; threads take them in turn

static const uint16_t codes[] = {200, 201, 202, 204, 206, 304, 307, 400, 401, 403,
                                 404, 405, 408, 409, 411, 412, 413, 414, 416, 421,
                                 429, 431, 500, 501, 502, 503, 504, 507};
#define N_CODES (ARRAY_LEN(codes) + 1) // the last: any other
static_assert(N_CODES == TRAFFIC_CODES, "traffic.h says how many there are");

static const char *const kinds[N_TRAFFIC_KINDS] = {
#define X(constant, label) label,
    TRAFFIC_KINDS(X)
#undef X
};

static const struct {
    const char *family, *label, *help;
} counters[N_TRAFFIC_COUNTERS] = {
#define X(constant, family, label, help) {family, label, help},
    TRAFFIC_COUNTERS(X)
#undef X
};

struct shard {
    _Atomic uint64_t counters[N_TRAFFIC_COUNTERS];
    _Atomic uint64_t requests[N_TRAFFIC_KINDS][N_REQUEST_CLASSES][N_CODES];
    // so that two shards share no cache line
    uint64_t apart[8];
};

static struct shard shards[SHARDS];

static struct shard *own(void)
{
    static _Atomic unsigned next;
    static _Thread_local struct shard *mine;
    if (!mine)
        mine = &shards[atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) & (SHARDS - 1)];
    return mine;
}

void traffic_add(enum traffic_counter c, uint64_t n)
{
    assert(c < N_TRAFFIC_COUNTERS);
    atomic_fetch_add_explicit(&own()->counters[c], n, memory_order_relaxed);
}

uint64_t traffic_count(enum traffic_counter c)
{
    uint64_t n = 0;
    for (size_t i = 0; i < SHARDS; i++)
        n += atomic_load_explicit(&shards[i].counters[c], memory_order_relaxed);
    return n;
}

static enum request_class class_of(enum traffic_kind kind, enum http_method method)
{
    switch (kind) {
    case TRAFFIC_TOKEN:
        return REQUEST_TOKEN;
    case TRAFFIC_UPLOAD:
        return REQUEST_WRITE;
    case TRAFFIC_CATALOG:
    case TRAFFIC_TAGS:
    case TRAFFIC_REFERRERS:
    case TRAFFIC_AUDIT:
        return REQUEST_LIST;
    default:
        break;
    }
    bool reads = method == HTTP_GET || method == HTTP_HEAD;
    if (reads && kind == TRAFFIC_DETAILS)
        return REQUEST_LIST;
    if (reads)
        return REQUEST_READ;
    if (method == HTTP_DELETE)
        return REQUEST_DELETE;
    return REQUEST_WRITE;
}

static size_t code_of(int status)
{
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (codes[i] == status)
            return i;
    return ARRAY_LEN(codes);
}

void traffic_answered(const struct http_request *req, int status)
{
    if (req->listener == LISTENER_ADMIN || req->listener == LISTENER_METRICS ||
        req->listener == LISTENER_OPERATOR)
        return;
    assert(req->kind < N_TRAFFIC_KINDS);
    enum request_class class = class_of((enum traffic_kind)req->kind, req->method);
    atomic_fetch_add_explicit(&own()->requests[req->kind][class][code_of(status)], 1,
                              memory_order_relaxed);
}

// ---- a scrape ----

static uint64_t requests_of(size_t kind, size_t class, size_t code)
{
    uint64_t n = 0;
    for (size_t i = 0; i < SHARDS; i++)
        n += atomic_load_explicit(&shards[i].requests[kind][class][code], memory_order_relaxed);
    return n;
}

unsigned traffic_code(size_t place)
{
    if (place < ARRAY_LEN(codes))
        return codes[place];
    return 0;
}

void traffic_codes(uint64_t out[TRAFFIC_CODES])
{
    for (size_t code = 0; code < N_CODES; code++) {
        out[code] = 0;
        for (size_t kind = 0; kind < N_TRAFFIC_KINDS; kind++) {
            bool of_clients =
                kind != TRAFFIC_HEALTHZ && kind != TRAFFIC_REPLICATION && kind != TRAFFIC_PEER;
            for (size_t class = 0; of_clients && class < N_REQUEST_CLASSES; class ++)
                out[code] += requests_of(kind, class, code);
        }
    }
}

static void write_requests(const char *region, struct buf *out)
{
    static const char name[] = "meridian_requests_total";
    exposition_family(out, name, "counter", "Requests that were answered.");
    for (size_t kind = 0; kind < N_TRAFFIC_KINDS; kind++)
        for (size_t class = 0; class < N_REQUEST_CLASSES; class ++)
            for (size_t code = 0; code < N_CODES; code++) {
                uint64_t n = requests_of(kind, class, code);
                char text[8] = "other";
                if (!n)
                    continue;
                if (code < ARRAY_LEN(codes))
                    snprintf(text, sizeof text, "%u", codes[code]);
                exposition_begin(out, name);
                exposition_label(out, "kind", kinds[kind]);
                exposition_label(out, "class", request_class_name((enum request_class) class));
                exposition_label(out, "code", text);
                exposition_label(out, "region", region);
                exposition_value(out, (double)n);
            }
}

static void write_counters(struct buf *out)
{
    const char *family = "";
    for (size_t i = 0; i < N_TRAFFIC_COUNTERS; i++) {
        if (strcmp(family, counters[i].family) != 0) {
            family = counters[i].family;
            exposition_family(out, family, "counter", counters[i].help);
        }
        exposition_begin(out, family);
        const char *value = strchr(counters[i].label, '=');
        char label[32];
        if (value) {
            snprintf(label, sizeof label, "%.*s", (int)(value - counters[i].label),
                     counters[i].label);
            exposition_label(out, label, value + 1);
        }
        exposition_value(out, (double)traffic_count((enum traffic_counter)i));
    }
}

void traffic_write(const char *region, struct buf *out)
{
    write_requests(region, out);
    write_counters(out);
}
