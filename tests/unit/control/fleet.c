// SPDX-License-Identifier: Apache-2.0
// Nodes of a small fleet on the control feed; see fleet.h.
#include "tests/unit/control/fleet.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const regions[SMALL_FLEET_MAX] = {"eastus", "westus", "asia", "europe"};

static void put(const char *path, const char *text)
{
    ck_assert_int_eq(file_write_atomic(path, text, strlen(text), 0600), 0);
}

static void make_node(struct small_fleet *fl, size_t i)
{
    struct small_node *n = &fl->nodes[i];
    char keys[256];
    n->region = regions[i];
    snprintf(n->dir, sizeof n->dir, "%s/%s", fl->dir, n->region);
    snprintf(keys, sizeof keys, "%s/keys", n->dir);
    snprintf(n->state, sizeof n->state, "%s/state", n->dir);
    snprintf(n->topology, sizeof n->topology, "%s/topology.yaml", n->dir);
    snprintf(n->principals, sizeof n->principals, "%s/principals.yaml", n->dir);
    ck_assert_int_eq(region_keys_create(keys, n->region, NULL), 0);
    ck_assert_int_eq(region_keys_open(keys, n->region, NULL, &n->keys), 0);
    snapshot_init(&n->tcell);
    snapshot_init(&n->pcell);
    diag_init(&n->diag);
}

char *small_fleet_document(const struct small_fleet *fl, unsigned version, const char *more)
{
    struct buf b;
    buf_init(&b, 0);
    buf_printf(&b, "version: %u\ndomain: example.io\nregions:\n", version);
    for (size_t i = 0; i < fl->n; i++)
        buf_printf(&b,
                   "  - {name: %s, stamps: [{name: s-%zu, ipv4: [192.0.2.%zu]}], peer: "
                   "192.0.2.%zu:8443}\n",
                   regions[i], i, i + 1, i + 1);
    buf_printf(&b,
               "name_servers: [s-0.eastus]\ncontrol:\n  root: \"%s\"\n  writer: eastus\n  "
               "operators: []\nidentities:\n",
               signing_key_spki(fl->root));
    for (size_t i = 0; i < fl->n; i++)
        buf_printf(&b, "  %s:\n    control_keys: [{id: %s, key: \"%s\"}]\n", regions[i],
                   region_keys_control_id(fl->nodes[i].keys),
                   region_keys_control_spki(fl->nodes[i].keys));
    buf_str(&b, more);
    return buf_take(&b);
}

struct small_fleet *small_fleet_new(size_t n)
{
    struct small_fleet *fl = mem_zalloc(sizeof *fl);
    char root[128];
    ck_assert_ptr_nonnull(fl);
    snprintf(fl->dir, sizeof fl->dir, "%s/fleet.XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    ck_assert_ptr_nonnull(mkdtemp(fl->dir));
    fl->n = n;
    snprintf(root, sizeof root, "%s/root.pem", fl->dir);
    ck_assert_int_eq(signing_key_create(root, NULL), 0);
    ck_assert_int_eq(signing_key_open(root, NULL, &fl->root), 0);
    for (size_t i = 0; i < n; i++)
        make_node(fl, i);
    AUTO_FREE char *text = small_fleet_document(
        fl, 10, "registries:\n  - { name: first, replicas: [{ region: eastus }] }\n");
    for (size_t i = 0; i < n; i++) {
        put(fl->nodes[i].topology, text);
        put(fl->nodes[i].principals, "version: 5\nusers:\n  - {name: ada, password_hash: "
                                     "\"" SMALL_FLEET_HASH "\", grants: []}\n");
    }
    return fl;
}

void small_fleet_free(struct small_fleet *fl)
{
    for (size_t i = 0; i < fl->n; i++) {
        struct small_node *n = &fl->nodes[i];
        small_fleet_stop(fl, i);
        region_keys_free(n->keys);
        snapshot_done(&n->tcell);
        snapshot_done(&n->pcell);
        diag_done(&n->diag);
    }
    signing_key_free(fl->root);
    dir_remove_tree(fl->dir);
    free(fl);
}

static void count(void *ctx, bool frame)
{
    struct small_node *n = ctx;
    n->n_changes++;
    n->n_frames += frame;
}

static enum control_clock node_clock(void *ctx, char *why, size_t cap)
{
    struct small_node *n = ctx;
    const char *text = n->clock_why;
    snprintf(why, cap, "%s", text ? text : "");
    return n->clock;
}

int small_fleet_try_start(struct small_fleet *fl, size_t i)
{
    struct small_node *n = &fl->nodes[i];
    struct control_feed_options o = fl->how;
    const struct source_cells cells = {&n->tcell, &n->pcell};
    o.state_dir = n->state;
    o.region = n->region;
    o.topology = n->topology;
    o.principals = n->principals;
    o.keys = n->keys;
    o.clock = node_clock;
    o.clock_ctx = n;
    int rc = control_feed_open(&o, &n->diag, &n->feed);
    if (rc) {
        n->feed = NULL;
        return rc;
    }
    struct topology_source *s = control_feed_source(n->feed);
    ck_assert_int_eq(topology_source_load(s, &cells, &n->diag), 0);
    if (!fl->no_keeper)
        ck_assert_int_eq(topology_source_follow(s, count, n), 0);
    rc = control_feed_own(n->feed, 0, &n->diag);
    control_feed_confirm(n->feed, true);
    return rc;
}

void small_fleet_start(struct small_fleet *fl, size_t i)
{
    int rc = small_fleet_try_start(fl, i);
    char *why = diag_text(&fl->nodes[i].diag);
    ck_assert_msg(!rc, "%s: %s", err_text(rc), why);
    free(why);
}

void small_fleet_stop(struct small_fleet *fl, size_t i)
{
    struct small_node *n = &fl->nodes[i];
    if (n->feed)
        topology_source_close(control_feed_source(n->feed));
    n->feed = NULL;
}

static int change(struct small_fleet *fl, size_t i, const char *text, struct control_place *out)
{
    const struct control_draft d = {.by = "operator:ada", .change = bytes_str(text)};
    return control_feed_append(fl->nodes[i].feed, &d, &fl->nodes[i].diag, out);
}

int small_fleet_try_change(struct small_fleet *fl, size_t i, const char *text)
{
    struct control_place p;
    return change(fl, i, text, &p);
}

struct control_place small_fleet_change(struct small_fleet *fl, size_t i, const char *text)
{
    struct control_place p = {0};
    int rc = change(fl, i, text, &p);
    char *why = diag_text(&fl->nodes[i].diag);
    ck_assert_msg(!rc, "%s: %s", err_text(rc), why);
    free(why);
    return p;
}

int small_fleet_pass(struct small_fleet *fl, size_t from, size_t to)
{
    for (;;) {
        struct control_place after = small_fleet_place(fl, to);
        AUTO_BUF struct buf lines;
        size_t n = 0;
        buf_init(&lines, 0);
        int rc = control_feed_read(fl->nodes[from].feed, &after, 1000, &lines);
        if (rc || !lines.n)
            return rc;
        rc = control_feed_take(fl->nodes[to].feed, bytes_of(lines.p, lines.n), &fl->nodes[to].diag,
                               &n);
        struct control_place now = small_fleet_place(fl, to);
        if (rc || control_place_same(&now, &after))
            return rc;
    }
}

int small_fleet_takeover(struct small_fleet *fl, size_t at, size_t i)
{
    struct small_node *n = &fl->nodes[at];
    const struct control_takeover t = {.region = regions[i]};
    struct control_place p;
    AUTO_BUF struct buf draft, line;
    buf_init(&draft, 0);
    buf_init(&line, 0);
    int rc = control_feed_takeover_draft(n->feed, &t, &n->diag, &draft);
    if (!rc)
        rc = control_entry_sign(bytes_of(draft.p, draft.n), fl->root, &n->diag, &line);
    if (!rc)
        rc = control_feed_signed(n->feed, bytes_of(line.p, line.n), &n->diag, &p);
    control_feed_confirm(n->feed, true); // the fleet room's part
    return rc;
}

struct control_place small_fleet_place(struct small_fleet *fl, size_t i)
{
    struct control_view v;
    control_feed_view(fl->nodes[i].feed, &v);
    struct control_place p = v.place;
    control_view_done(&v);
    return p;
}

uint64_t small_fleet_version(struct small_fleet *fl, size_t i)
{
    struct topology *t = snapshot_get(&fl->nodes[i].tcell);
    uint64_t version = t->version;
    snapshot_unref(t);
    return version;
}

bool small_fleet_has(struct small_fleet *fl, size_t i, const char *registry)
{
    struct topology *t = snapshot_get(&fl->nodes[i].tcell);
    bool has = topology_registry(t, registry) != NULL;
    snapshot_unref(t);
    return has;
}

bool small_fleet_alarm(struct small_fleet *fl, size_t i, const char *part)
{
    struct control_view v;
    control_feed_view(fl->nodes[i].feed, &v);
    bool is_so;
    if (part)
        is_so = v.alarm && strstr(v.alarm, part);
    else
        is_so = !v.alarm;
    control_view_done(&v);
    return is_so;
}

bool small_fleet_said(struct small_node *n, const char *part)
{
    AUTO_FREE char *text = diag_text(&n->diag);
    bool said = text && strstr(text, part);
    if (!said)
        fprintf(stderr, "%s said: %s\n", n->region, text);
    diag_done(&n->diag);
    diag_init(&n->diag);
    return said;
}
