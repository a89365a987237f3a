// SPDX-License-Identifier: Apache-2.0
// A small fleet in one process; see regions.h.
#include "tests/unit/fleet/regions.h"

#include "base/fd.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const names[WORLD_MAX] = {"eastus", "westus", "northeurope", "japaneast",
                                             "brazilsouth"};
#define HEX16(c) c c c c c c c c c c c c c c c c
static const char *const fingerprints[WORLD_MAX] = {
    HEX16("aaaa"), HEX16("bbbb"), HEX16("cccc"), HEX16("dddd"), HEX16("eeee"),
};

// ---- servers ----

static ssize_t text_read(void *ctx, struct http_stream *s, uint8_t *to, size_t cap)
{
    (void)s;
    char **left = ctx;
    size_t n = strnlen(*left, cap);
    memcpy(to, *left, n);
    *left += n;
    if (n)
        return (ssize_t)n;
    return HTTP_STREAM_END;
}

static void says_begin(struct http_plan *plan, const char *text)
{
    static const struct http_stream_ops ops = {.read = text_read, .close = free};
    const char **left = malloc(sizeof *left);
    ck_assert_ptr_nonnull(left);
    *left = text;
    plan->kind = HTTP_PLAN_REPLY;
    ck_assert_int_eq(
        http_response_stream(&plan->response, 200, "application/json", &ops, left, NULL), 0);
}

static void server_begin(void *ctx, struct http_request *req, struct http_plan *plan)
{
    struct world_server *s = ctx;
    const char *says = atomic_load(&s->at->says);
    if (says) {
        says_begin(plan, says);
        return;
    }
    struct topology *t = snapshot_get(&s->at->topology);
    req->peer_cert_fingerprint = fingerprints[s->peer - s->at->world->regions];
    fleet_begin(s->at->fleet, req, topology_region_by_fingerprint(t, req->peer_cert_fingerprint),
                plan);
    snapshot_unref(t);
}

static void socket_path(struct fleet_world *w, size_t at, size_t from, char *out, size_t cap)
{
    snprintf(out, cap, "%s/%zu.from.%zu.sock", w->dir, at, from);
}

static int dial(void *ctx, const char *region, char *out, size_t cap)
{
    struct world_region *r = ctx;
    size_t from = (size_t)(r - r->world->regions), at = 0;
    while (strcmp(names[at], region) != 0)
        at++;
    if (r->world->cut[from][at] || r->world->cut[at][from])
        snprintf(out, cap, "%s/nobody.sock", r->world->dir);
    else
        socket_path(r->world, at, from, out, cap);
    return 0;
}

static void servers_start(struct world_region *r)
{
    char path[128];
    size_t at = (size_t)(r - r->world->regions);
    for (size_t i = 0; i < r->world->n; i++) {
        if (i == at)
            continue;
        r->servers[i] = (struct world_server){.at = r, .peer = &r->world->regions[i]};
        socket_path(r->world, at, i, path, sizeof path);
        const struct http_server_options o = {.socket_path = path,
                                              .socket_mode = 0600,
                                              .socket_gid = -1,
                                              .listener = LISTENER_PEER,
                                              .pool = r->pool};
        const struct http_app app = {.begin = server_begin, .ctx = &r->servers[i]};
        ck_assert_int_eq(http_server_start(&o, &app, &r->servers[i].server), 0);
    }
}

// ---- regions ----

static void *report(void *ctx)
{
    struct world_region *r = ctx;
    return json_pack("{s:s, s:s}", "version", "1.2.3", "of", r->name);
}

void region_up(struct world_region *r)
{
    const struct fleet_options o = {.region = r->name,
                                    .stamp = "s-1",
                                    .topology = &r->topology,
                                    .principals = &r->principals,
                                    .fetcher = r->fetcher,
                                    .hooks = {.report = report, .ctx = r},
                                    .dial_socket = dial,
                                    .dial_ctx = r,
                                    .every_ms = 100};
    ck_assert_int_eq(fleet_new(&o, &r->fleet), 0);
    servers_start(r);
    ck_assert_int_eq(fleet_start(r->fleet), 0);
}

void region_down(struct world_region *r)
{
    if (!r->fleet)
        return;
    fleet_stop(r->fleet);
    for (size_t i = 0; i < WORLD_MAX; i++) {
        http_server_stop(r->servers[i].server, 500);
        r->servers[i].server = NULL;
    }
    fleet_free(r->fleet);
    r->fleet = NULL;
}

void region_topology(struct world_region *r, unsigned version)
{
    struct fleet_world *w = r->world;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_printf(&b, "version: %u\ndomain: example.io\nhostmaster: hostmaster@example.io\nregions:\n",
               version);
    for (size_t i = 0; i < w->n; i++)
        buf_printf(&b,
                   "  - name: %s\n    stamps:\n      - { name: s-1, ipv4: [127.77.0.%zu] }\n    "
                   "peer: 127.77.0.%zu:9443\n",
                   names[i], i + 1, i + 1);
    buf_str(&b, "name_servers: [s-1.eastus]\nidentities:\n");
    for (size_t i = 0; i < w->n; i++)
        buf_printf(&b, "  %s: { peer_fingerprints: [\"%s\"] }\n", names[i], fingerprints[i]);
    struct diag diag;
    diag_init(&diag);
    struct topology *t = NULL;
    if (topology_parse(b.p, b.n, "t.yaml", &diag, &t))
        diag_print(&diag, stderr);
    diag_done(&diag);
    ck_assert_ptr_nonnull(t);
    snapshot_publish(&r->topology, t);
}

void world_topology(struct fleet_world *w, unsigned version)
{
    for (size_t i = 0; i < w->n; i++)
        region_topology(&w->regions[i], version);
}

void world_make(struct fleet_world *w, size_t n)
{
    memset(w, 0, sizeof *w);
    strcpy(w->dir, "/tmp/fleet.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(w->dir));
    w->n = n;
    for (size_t i = 0; i < n; i++) {
        struct world_region *r = &w->regions[i];
        r->world = w;
        r->name = names[i];
        snapshot_init(&r->topology);
        snapshot_init(&r->principals);
        r->pool = pool_new(
            &(struct pool_options){.name = "work", .n_threads = 2, .max_waiting = 64, .kept = 1});
        ck_assert_ptr_nonnull(r->pool);
        ck_assert_int_eq(fetcher_new(&r->fetcher), 0);
    }
}

void world_done(struct fleet_world *w)
{
    for (size_t i = 0; i < w->n; i++)
        region_down(&w->regions[i]);
    for (size_t i = 0; i < w->n; i++) {
        struct world_region *r = &w->regions[i];
        fetcher_free(r->fetcher);
        pool_free(r->pool);
        snapshot_done(&r->principals);
        snapshot_done(&r->topology);
    }
    rmdir(w->dir);
}
