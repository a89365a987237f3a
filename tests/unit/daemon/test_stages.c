// SPDX-License-Identifier: Apache-2.0
// Names that come and go, across DNS, certificates and the edge: whatever DNS answers in any view
// leads to a region whose edge serves the name and whose certificates stand for it, for any registry
// in any stage. So on the way up and on the way down no handshake fails, and nobody who has an
// answer in a cache is refused.
#include "config/endpoints.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "certs/plan.h"
#include "config/catalogue.h"
#include "control/changer.h"
#include "daemon/app.h"
#include "net/http_test.h"
#include "resolver/answer/explain.h"
#include "tests/support/check_main.h"

#include <jansson.h>
#include <string.h>

#define FRAME                                                                                    \
    "version: 3\ndomain: example.io\nregions:\n"                                                 \
    "  - { name: eastus, peer: 192.0.2.1:8443, stamps: [{ name: eus-1, ipv4: [192.0.2.1] }] }\n" \
    "  - { name: westus, peer: 192.0.2.2:8443, stamps: [{ name: wus-1, ipv4: [192.0.2.2] }] }\n" \
    "name_servers: [eus-1.eastus]\nviews: [{ name: corp, sources: [10.1.0.0/16] }]\n"

#define N_REGIONS 2
static const char *const regions[N_REGIONS] = {"eastus", "westus"};
static const char *const frontends[N_REGIONS] = {"192.0.2.1", "192.0.2.2"};

static struct node node;
static struct vitals vitals = {.lock = PTHREAD_MUTEX_INITIALIZER,
                               .impairment.lock = PTHREAD_MUTEX_INITIALIZER,
                               .conditions.lock = PTHREAD_MUTEX_INITIALIZER};
static struct snapshot cell;
static struct app app = {.node = &node, .topology = &cell, .vitals = &vitals};

// Does the edge of the region serve that host? Nothing is served under the path asked for, yet.
static bool edge_serves(const char *region, const char *host)
{
    struct http_request *req = http_request_test_new("GET", "/nothing", host);
    struct http_response resp = {0};
    const struct http_app http = {.begin = app_begin_public, .finish = app_finish, .ctx = &app};
    node = (struct node){.region = region, .stamp = "s"};
    req->listener = LISTENER_PUBLIC;
    ck_assert_int_eq(ip_parse("203.0.113.5", &req->client), 0);
    http_app_test_run(&http, req, 1024, &resp);
    int status = resp.status;
    http_request_test_free(req);
    ck_assert(status == 404 || status == 421);
    return status == 404;
}

static bool certificate_stands_for(const struct topology *t, const char *region, const char *host)
{
    struct arena a;
    bool found = false;
    arena_init(&a, 0);
    for (int kind = CERT_REGION; kind <= CERT_SHARED && !found; kind++) {
        struct cert_plan p;
        ck_assert_int_eq(cert_plan(t, region, (enum cert_kind)kind, &a, &p), 0);
        found = cert_plan_covers(&p, host);
    }
    arena_done(&a);
    return found;
}

// The address at which the answer ends, "" when the name is denied.
static const char *leads_to(const struct topology *t, const char *client, const char *host)
{
    static char out[64];
    struct explain_query q = {.topology = t, .name = host};
    ck_assert_int_eq(ip_parse(client, &q.client), 0);
    json_t *j = dns_explain_json(&q), *a = json_object_get(j, "a"),
           *list = json_object_get(a, "answer");
    out[0] = '\0';
    if (json_array_size(list)) {
        const char *last = json_string_value(json_array_get(list, json_array_size(list) - 1));
        snprintf(out, sizeof out, "%s", strrchr(last, ' ') + 1);
    }
    ck_assert_str_eq(json_string_value(json_object_get(a, "rcode")), *out ? "NOERROR" : "NXDOMAIN");
    json_decref(j);
    return out;
}

static uint32_t seed = 7;
static unsigned rnd(unsigned n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

static const char *stage(void)
{
    static const char *const words[] = {"public", "public", "public", "private", "edge"};
    return words[rnd(5)];
}

static void random_registry(struct buf *b)
{
    buf_printf(b,
               FRAME "registries:\n  - name: contoso\n    regional_endpoints: %s\n    "
                     "data_endpoints: %s\n    stage: %s\n    regional_stage: %s\n    data_stage: "
                     "%s\n",
               rnd(4) ? "enabled" : "disabled", rnd(2) ? "enabled" : "disabled", stage(), stage(),
               stage());
    buf_str(b, "    replicas:\n      - { region: eastus }\n");
    if (rnd(3))
        buf_printf(b, "      - { region: westus, stage: %s, drained: %s }\n", stage(),
                   rnd(3) ? "false" : "true");
    if (rnd(2))
        buf_str(b, "private_endpoints: [{ name: pe, registry: contoso, view: corp, addresses: { "
                   "registry: 10.1.0.4, registry_data_eastus: 10.1.0.5 } }]\n");
}

static struct topology *topology_of(const struct buf *b)
{
    struct topology *t = NULL;
    struct diag d;
    diag_init(&d);
    int rc = topology_parse(b->p, b->n, "t.yaml", &d, &t);
    ck_assert_msg(!rc, "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
    return t;
}

// The region is where the answer leads, or the one in the name where the address is private.
static void check_answer(const struct topology *t, const struct registry *r, const char *to,
                         const char *host, uint8_t region)
{
    for (uint8_t i = 0; i < N_REGIONS; i++) {
        bool leads_here = !strcmp(to, frontends[i]);
        bool is_private = !strncmp(to, "10.1.", 5) && registry_replica(r, i) &&
                          (region == REGION_NONE || region == i);
        if (!leads_here && !is_private)
            continue;
        ck_assert_msg(edge_serves(regions[i], host), "%s leads to %s, which refuses it", host, to);
        ck_assert_msg(certificate_stands_for(t, regions[i], host), "%s: no certificate", host);
    }
}

static void check_name(const struct topology *t, const struct registry *r, enum name_kind kind,
                       uint8_t region)
{
    static const char *const clients[] = {"203.0.113.5", "10.1.0.99"};
    const char *region_name = region == REGION_NONE ? NULL : regions[region];
    char host[HOSTNAME_TEXT_SIZE];
    ck_assert_int_eq(hostname_format(kind, t->domain, r->label, region_name, NULL, host), 0);
    enum name_stage s = registry_name_stage(r, kind, region);
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        const char *to = leads_to(t, clients[i], host);
        check_answer(t, r, to, host, region);
        if (s == STAGE_PUBLIC)
            ck_assert_msg(*to || hostname_public_of(kind) != kind, "%s is in no DNS", host);
        if (s >= STAGE_EDGE || (s == STAGE_PRIVATE && i == 0))
            ck_assert_msg(!*to, "%s leads to %s", host, to);
    }
    for (uint8_t i = 0; i < N_REGIONS; i++) {
        bool there = registry_replica(r, i) && (region == REGION_NONE || region == i);
        ck_assert_int_eq(edge_serves(regions[i], host), there && s != STAGE_GONE);
    }
}

static void check_all(const struct topology *t)
{
    const struct registry *r = topology_registry(t, "contoso");
    static const enum name_kind kinds[] = {NAME_REGIONAL, NAME_DATA, NAME_REGIONAL_PRIVATE,
                                           NAME_DATA_PRIVATE};
    check_name(t, r, NAME_GLOBAL, REGION_NONE);
    check_name(t, r, NAME_GLOBAL_PRIVATE, REGION_NONE);
    for (uint8_t region = 0; region < N_REGIONS; region++)
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
            check_name(t, r, kinds[k], region);
}

START_TEST(no_answer_leads_where_the_name_is_refused)
{
    snapshot_init(&cell);
    conditions_init(&vitals.conditions);
    for (size_t n = 0; n < 1000; n++) {
        AUTO_BUF struct buf b;
        buf_init(&b, 0);
        random_registry(&b);
        struct topology *t = topology_of(&b);
        snapshot_publish(&cell, snapshot_ref(t));
        check_all(t);
        snapshot_unref(t);
    }
    snapshot_done(&cell);
}
END_TEST

static struct topology *step(const struct topology *t, const char *row)
{
    struct changer *c = changer_new();
    struct topology *next = NULL;
    struct diag d;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    diag_init(&d);
    buf_printf(&b, "version: %llu\n%s", (unsigned long long)t->version + 1, row);
    int rc = changer_apply(c, t, b.p, b.n, "c", 1, &d, &next);
    ck_assert_msg(!rc, "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
    changer_free(c);
    return next;
}

#define ROW(more)                                                                               \
    "registries: [{ name: contoso, " more "replicas: [{ region: eastus }, { region: westus }] " \
    "}]\n"
#define R "contoso.eastus.geo.example.io"

// Enabling and disabling regional endpoints, and a deletion, version by version. At each, what
// another node may still have in force, the version before, is no reason to refuse either.
START_TEST(each_step_is_served_before_it_is_seen)
{
    static const struct {
        const char *change;
        bool edge, dns, global;
    } steps[] = {
        {ROW(""), false, false, true},
        {ROW("regional_endpoints: enabled, regional_stage: edge, "), true, false, true},
        {ROW("regional_endpoints: enabled, regional_stage: private, "), true, false, true},
        {ROW("regional_endpoints: enabled, "), true, true, true},
        {ROW("regional_endpoints: enabled, regional_stage: private, "), true, false, true},
        {ROW("regional_endpoints: enabled, regional_stage: edge, "), true, false, true},
        {ROW(""), false, false, true},
        {ROW("stage: edge, "), false, false, false}, // it is deleted: first from DNS
        {"remove: [contoso]\nreserve: [{ name: contoso, owner: ada, since: '2026-11-01T00:00:00Z', "
         "until: '2100-01-01T00:00:00Z' }]\n",
         false, false, false},
    };
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_str(&b, FRAME "registries:\n  - { name: contoso, replicas: [{ region: eastus }] }\n");
    struct topology *t = topology_of(&b);
    bool edge_before = false;
    snapshot_init(&cell);
    conditions_init(&vitals.conditions);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct topology *next = step(t, steps[i].change);
        snapshot_publish(&cell, snapshot_ref(next));
        bool dns = *leads_to(next, "203.0.113.5", R);
        bool edge = edge_serves("eastus", R);
        ck_assert_int_eq(edge, steps[i].edge);
        ck_assert_int_eq(dns, steps[i].dns);
        ck_assert_int_eq(*leads_to(next, "203.0.113.5", "contoso.example.io") != 0,
                         steps[i].global);
        ck_assert(certificate_stands_for(next, "eastus", R)); // all the time
        ck_assert(!dns || edge_before);
        edge_before = edge;
        snapshot_unref(t);
        t = next;
    }
    // deleted and reserved: no edge, no token, no DNS, under whatever label
    ck_assert(!edge_serves("eastus", "contoso.example.io"));
    ck_assert(!edge_serves("eastus", "contoso-abcdefgh01234567.example.io"));
    snapshot_unref(t);
    snapshot_done(&cell);
}
END_TEST

CHECK_MAIN("daemon/stages", no_answer_leads_where_the_name_is_refused,
           each_step_is_served_before_it_is_seen)
