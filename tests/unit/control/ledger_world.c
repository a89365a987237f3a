// SPDX-License-Identifier: Apache-2.0
// See ledger_world.h.
#include "tests/unit/control/ledger_world.h"

#include "base/err.h"
#include "base/mem.h"
#include "control/changer.h"
#include "control/connections_follow.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world world;

static size_t find(const char *key)
{
    size_t i = 0;
    while (i < world.n_records && strcmp(world.records[i].key, key) != 0)
        i++;
    return i;
}

const char *world_record(const char *key)
{
    size_t i = find(key);
    return i < world.n_records ? world.records[i].value : NULL;
}

static int look(void *ctx, const char *key, struct buf *out)
{
    (void)ctx;
    const char *value = world_record(key);
    if (!value)
        return ERR_NOTFOUND;
    buf_str(out, value);
    return out->err;
}

static void visit_all(void *ctx, const char *prefix, control_ledger_visitor *visit, void *v)
{
    (void)ctx;
    for (size_t i = 0; i < world.n_records; i++)
        if (!strncmp(world.records[i].key, prefix, strlen(prefix)) &&
            !visit(v, world.records[i].key, world.records[i].value))
            return;
}

void world_begin(const char *document)
{
    struct diag d;
    world = (struct world){
        .now_ms = WORLD_BEGIN_MS, .changer = changer_new(), .look = {NULL, look, visit_all}};
    diag_init(&d);
    int rc = topology_parse(document, strlen(document), "t.yaml", &d, &world.t);
    ck_assert_msg(!rc, "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
}

static void drop(size_t i)
{
    free((char *)world.records[i].key);
    free((char *)world.records[i].value);
    world.records[i] = world.records[--world.n_records];
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct control_record *)a)->key, ((const struct control_record *)b)->key);
}

static void put(const struct control_record *r)
{
    size_t i = find(r->key);
    if (i < world.n_records)
        drop(i);
    if (!r->value)
        return;
    world.records = mem_realloc(world.records, (world.n_records + 1) * sizeof *world.records);
    world.records[world.n_records++] =
        (struct control_record){mem_strdup(r->key), mem_strdup(r->value)};
    qsort(world.records, world.n_records, sizeof *world.records, by_key);
}

void world_end(void)
{
    while (world.n_records)
        drop(0);
    free(world.records);
    changer_free(world.changer);
    snapshot_unref(world.t);
}

void world_pass(int64_t seconds)
{
    world.now_ms += seconds * 1000;
}

static int judge(const char *text, struct diag *d, struct topology **out)
{
    if (!*text) {
        *out = snapshot_ref(world.t);
        return 0;
    }
    changer_at(world.changer, world.now_ms);
    return changer_apply(world.changer, world.t, text, strlen(text), "change", 1, d, out);
}

static void keep_why(const struct diag *d)
{
    AUTO_FREE char *text = diag_text(d);
    snprintf(world.why, sizeof world.why, "%s", text);
}

bool world_try(const char *change, const struct control_record *own)
{
    AUTO_BUF struct buf text;
    struct topology *next = NULL;
    const struct control_record *out;
    struct arena a;
    struct diag d;
    size_t n_own = 0, n;
    unsigned long long version = world.t->version + 1;
    buf_init(&text, 0);
    arena_init(&a, 0);
    diag_init(&d);
    if (change)
        buf_printf(&text, "version: %llu\nincarnation: %llu\n%s", version, version, change);
    while (own && own[n_own].key)
        n_own++;
    const struct connections_change c = {.before = world.t,
                                         .change = bytes_of(text.p, text.n),
                                         .records = own,
                                         .n_records = n_own,
                                         .by = "operator:ada",
                                         .now_ms = world.now_ms};
    int rc = judge(buf_cstr(&text), &d, &next);
    if (!rc)
        rc = connections_follow(&c, &world.look, &a, &d, &out, &n);
    if (rc) {
        keep_why(&d);
        snapshot_unref(next);
    } else {
        for (size_t i = 0; i < n; i++)
            put(&out[i]);
        snapshot_unref(world.t);
        world.t = next;
    }
    diag_done(&d);
    arena_done(&a);
    return !rc;
}

void world_entry(const char *change, const struct control_record *own)
{
    ck_assert_msg(world_try(change, own), "%s", world.why);
}

// ---- looking ----

const char *world_connection(const char *name)
{
    static char text[2048];
    struct connection c;
    struct arena a;
    char ip[IP_TEXT_SIZE];
    arena_init(&a, 0);
    text[0] = 0;
    if (!connection_get(&world.look, name, &a, &c)) {
        size_t n = (size_t)snprintf(text, sizeof text, "%s", connection_state_word(c.state));
        for (size_t i = 0; i < c.n_members; i++)
            for (size_t k = 0; k < c.members[i].n_ips; k++)
                n += (size_t)snprintf(text + n, sizeof text - n, " %s=%s", c.members[i].key,
                                      ip_format(&c.members[i].ips[k], ip));
    }
    arena_done(&a);
    return text;
}

struct listing {
    char text[4096];
    size_t n;
};

static bool list_rest(void *ctx, const char *key, const char *value)
{
    struct listing *l = ctx;
    struct arena a;
    struct rest r;
    arena_init(&a, 0);
    ck_assert_int_eq(rest_parse(value, &a, &r), 0);
    l->n +=
        (size_t)snprintf(l->text + l->n, sizeof l->text - l->n, "%s%s %lld", l->n ? ", " : "",
                         key + strlen(REST_PREFIX), (long long)(r.until_ms - world.now_ms) / 1000);
    arena_done(&a);
    return true;
}

const char *world_rests(void)
{
    static struct listing l;
    l = (struct listing){.n = 0};
    visit_all(NULL, REST_PREFIX, list_rest, &l);
    return l.text;
}

const char *world_held(const char *view)
{
    static char text[4096];
    struct address_set s;
    struct arena a;
    char ip[IP_TEXT_SIZE];
    size_t n = 0;
    arena_init(&a, 0);
    uint32_t v = (uint32_t)(topology_view(world.t, view) - world.t->views);
    ck_assert_int_eq(addresses_held(&world.look, world.t, v, world.now_ms, NULL, &a, &s), 0);
    text[0] = 0;
    for (size_t i = 0; i < s.n; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? " " : "",
                              strrchr(ip_format(&s.list[i], ip), '.') + 1);
    arena_done(&a);
    return text;
}
