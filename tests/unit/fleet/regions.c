// SPDX-License-Identifier: Apache-2.0
// A small fleet in one process; see regions.h.
#include "tests/unit/fleet/regions.h"

#include "base/clock.h"
#include "base/err.h"
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

struct saying {
    struct world_region *at;
    const char *left;
    bool held;
};

static ssize_t text_read(void *ctx, struct http_stream *s, uint8_t *to, size_t cap)
{
    (void)s;
    struct saying *y = ctx;
    if (y->held && atomic_load(&y->at->holds))
        return 0;
    size_t n = strnlen(y->left, cap);
    memcpy(to, y->left, n);
    y->left += n;
    if (n)
        return (ssize_t)n;
    return HTTP_STREAM_END;
}

static void says_begin(struct world_region *at, struct http_plan *plan, int status,
                       const char *text)
{
    static const struct http_stream_ops ops = {.read = text_read, .close = free, .poll_ms = 2};
    struct saying *y = malloc(sizeof *y);
    ck_assert_ptr_nonnull(y);
    *y = (struct saying){.at = at, .left = text};
    y->held = atomic_load(&at->holds) && !atomic_exchange(&at->held, true);
    plan->kind = HTTP_PLAN_REPLY;
    ck_assert_int_eq(
        http_response_stream(&plan->response, status, "application/json", &ops, y, NULL), 0);
}

static void server_begin(void *ctx, struct http_request *req, struct http_plan *plan)
{
    struct world_server *s = ctx;
    const char *says = atomic_load(&s->at->says);
    int status = atomic_load(&s->at->says_status);
    bool polls = strcmp(req->path, "/control/v1/feed") == 0;
    s->at->n_calls++;
    s->at->n_polls += polls;
    s->at->n_bases += strcmp(req->path, "/control/v1/base") == 0;
    if (!polls || !status)
        status = 200;
    if (says) {
        says_begin(s->at, plan, status, says);
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
    if (r->world->cut[from][at])
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

static void request(void *ctx, const char *from, struct bytes envelope, struct fleet_answer *a)
{
    struct world_region *r = ctx;
    r->n_requests++;
    a->status = 202;
    buf_printf(&a->body, "{\"at\":\"%s\",\"from\":\"%s\",\"n\":%zu}", r->name, from, envelope.n);
}

static void feed_open(struct world_region *r)
{
    char topology[128];
    struct diag d;
    diag_init(&d);
    snprintf(topology, sizeof topology, "%s/topology.yaml", r->dir);
    const struct control_feed_options o = {.state_dir = r->dir,
                                           .region = r->name,
                                           .topology = topology,
                                           .keys = r->keys,
                                           .keep_entries = r->keep_entries,
                                           .segment_entries = r->keep_entries};
    int rc = control_feed_open(&o, &d, &r->feed);
    if (!rc) {
        r->source = control_feed_source(r->feed);
        rc = topology_source_load(r->source, &(struct source_cells){&r->topology, &r->principals},
                                  &d);
    }
    if (!rc)
        rc = topology_source_follow(r->source, NULL, NULL);
    if (!rc)
        rc = control_feed_own(r->feed, 1000, &d);
    if (rc)
        diag_print(&d, stderr);
    diag_done(&d);
    ck_assert_int_eq(rc, 0);
}

void region_up(struct world_region *r)
{
    if (r->world->feeds)
        feed_open(r);
    const struct fleet_options o = {.region = r->name,
                                    .stamp = "s-1",
                                    .topology = &r->topology,
                                    .principals = &r->principals,
                                    .feed = r->feed,
                                    .keys = r->keys,
                                    .state_dir = r->dir,
                                    .fetcher = r->fetcher,
                                    .hooks = {.report = report, .request = request, .ctx = r},
                                    .dial_socket = dial,
                                    .dial_ctx = r,
                                    .every_ms = 100,
                                    .beat_ms = 100,
                                    .silent_ms = 700};
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
    if (r->source) {
        topology_source_close(r->source);
        snapshot_withdraw(&r->topology);
    }
    r->source = NULL;
    r->feed = NULL;
}

struct fleet_caller region_caller(struct world_region *r)
{
    return (struct fleet_caller){
        .fetcher = r->fetcher, .region = r->name, .dial_socket = dial, .dial_ctx = r};
}

void world_up(struct fleet_world *w)
{
    for (size_t i = 0; i < w->n; i++)
        region_up(&w->regions[i]);
}

static void document(const struct fleet_world *w, unsigned version, struct buf *out)
{
    buf_printf(out,
               "version: %u\ndomain: example.io\nhostmaster: hostmaster@example.io\nregions:\n",
               version);
    for (size_t i = 0; i < w->n; i++)
        buf_printf(out,
                   "  - name: %s\n    stamps:\n      - { name: s-1, ipv4: [127.77.0.%zu] }\n    "
                   "peer: 127.77.0.%zu:9443\n",
                   names[i], i + 1, i + 1);
    buf_str(out, "name_servers: [s-1.eastus]\n");
    if (w->feeds)
        buf_printf(out, "control:\n  root: \"%s\"\n  writer: eastus\n", signing_key_spki(w->root));
    buf_str(out, "identities:\n");
    for (size_t i = 0; i < w->n; i++) {
        buf_printf(out, "  %s:\n    peer_fingerprints: [\"%s\"]\n", names[i], fingerprints[i]);
        if (w->feeds)
            buf_printf(out, "    control_keys: [{ id: %s, key: \"%s\" }]\n",
                       region_keys_control_id(w->regions[i].keys),
                       region_keys_control_spki(w->regions[i].keys));
    }
    ck_assert_int_eq(out->err, 0);
}

void region_topology(struct world_region *r, unsigned version)
{
    AUTO_BUF struct buf b;
    struct diag diag;
    struct topology *t = NULL;
    buf_init(&b, 0);
    document(r->world, version, &b);
    diag_init(&diag);
    if (topology_parse(b.p, b.n, "t.yaml", &diag, &t))
        diag_print(&diag, stderr);
    diag_done(&diag);
    ck_assert_ptr_nonnull(t);
    snapshot_publish(&r->topology, t);
}

static void keys_make(struct world_region *r)
{
    char keys[128];
    struct diag d;
    diag_init(&d);
    snprintf(r->dir, sizeof r->dir, "%s/%s", r->world->dir, r->name);
    snprintf(keys, sizeof keys, "%s/keys", r->dir);
    ck_assert_int_eq(dir_make(r->dir, 0700), 0);
    ck_assert_int_eq(dir_make(keys, 0700), 0);
    ck_assert_int_eq(region_keys_create(keys, r->name, &d), 0);
    ck_assert_int_eq(region_keys_open(keys, r->name, &d, &r->keys), 0);
    diag_done(&d);
}

void world_feed(struct fleet_world *w)
{
    static const uint8_t seed[32] = {42};
    AUTO_BUF struct buf b;
    char path[128];
    buf_init(&b, 0);
    w->feeds = true;
    ck_assert_int_eq(signing_key_of_seed(seed, &w->root), 0);
    for (size_t i = 0; i < w->n; i++)
        keys_make(&w->regions[i]);
    document(w, 7, &b);
    for (size_t i = 0; i < w->n; i++) {
        snprintf(path, sizeof path, "%s/topology.yaml", w->regions[i].dir);
        ck_assert_int_eq(file_write_atomic(path, b.p, b.n, 0600), 0);
    }
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
        region_keys_free(r->keys);
    }
    signing_key_free(w->root);
    dir_remove_tree(w->dir);
}

// ---- with the feed ----

int region_change(struct world_region *r, const char *name, struct control_place *out)
{
    AUTO_BUF struct buf text;
    struct diag d;
    struct control_place place;
    buf_init(&text, 0);
    buf_printf(&text, "registries: [{ name: %s, replicas: [{ region: eastus }] }]\n", name);
    const struct control_draft draft = {.change = bytes_of(text.p, text.n)};
    diag_init(&d);
    int rc = control_feed_append(r->feed, &draft, &d, &place);
    if (rc && rc != ERR_DENIED)
        diag_print(&d, stderr);
    diag_done(&d);
    if (!rc && out)
        *out = place;
    return rc;
}

bool region_has(struct world_region *r, const char *name)
{
    struct topology *t = snapshot_get(&r->topology);
    bool has = t && topology_registry(t, name);
    snapshot_unref(t);
    return has;
}

struct control_place region_place(struct world_region *r)
{
    struct control_view v;
    control_feed_view(r->feed, &v);
    struct control_place p = v.place;
    control_view_done(&v);
    return p;
}

int region_asks(struct world_region *r, size_t to, const char *target, struct buf *out)
{
    struct fetch_result res;
    char url[400], sock[128];
    socket_path(r->world, to, (size_t)(r - r->world->regions), sock, sizeof sock);
    snprintf(url, sizeof url, "http://%s.peer.example.io%s", names[to], target);
    const struct fetch_request q = {.url = url, .unix_socket = sock, .timeout_ms = 5000};
    (void)fetch_run(r->fetcher, &q, &res);
    int status = res.status;
    if (out)
        buf_add(out, res.body.p, res.body.n);
    fetch_result_done(&res);
    return status;
}

int region_claims(struct world_region *r, size_t to, const struct control_place *p)
{
    char target[200], text[CONTROL_PLACE_TEXT_SIZE];
    snprintf(target, sizeof target, "/control/v1/place?at=%s", control_place_format(p, text));
    return region_asks(r, to, target, NULL);
}

static void run(const char *command)
{
    ck_assert_int_eq(system(command), 0);
}

void region_copy(struct world_region *r)
{
    char command[300];
    snprintf(command, sizeof command, "cp -a '%s/control' '%s/copy'", r->dir, r->dir);
    run(command);
}

void region_restore(struct world_region *r)
{
    char command[400];
    snprintf(command, sizeof command, "rm -rf '%s/control' && mv '%s/copy' '%s/control'", r->dir,
             r->dir, r->dir);
    run(command);
}

bool region_writes(struct world_region *r)
{
    struct control_view v;
    control_feed_view(r->feed, &v);
    bool writes = v.we_write && v.confirmed;
    control_view_done(&v);
    return writes;
}
