// SPDX-License-Identifier: Apache-2.0
// config/endpoints and config/catalogue: how far a name is served, by registry, kind and replica;
// the packed record says the same, and a registry that says nothing of it is as small as before.
#include "config/endpoints.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "config/catalogue_priv.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

#define FRAME                                                                       \
    "version: 1\ndomain: example.io\nregions:\n"                                    \
    "  - { name: a, peer: 10.0.0.1:1, stamps: [{ name: s, ipv4: [192.0.2.1] }] }\n" \
    "  - { name: b, peer: 10.0.0.2:1, stamps: [{ name: s, ipv4: [192.0.2.2] }] }\n" \
    "name_servers: [s.a]\nregistries:\n"

static struct topology *topology_of(const char *rows)
{
    struct diag d;
    struct topology *t = NULL;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_printf(&b, FRAME "%s", rows);
    diag_init(&d);
    int rc = topology_parse(b.p, b.n, "t.yaml", &d, &t);
    ck_assert_msg(!rc, "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
    return t;
}

static const char *stages_of(const struct topology *t, char out[16])
{
    const struct registry *r = topology_registry(t, "contoso");
    const struct catalogue_registry *rec = catalogue_find_name(t->catalogue, "contoso");
    size_t n = 0;
    const struct endpoint_name names[] = {{NAME_GLOBAL, REGION_NONE},
                                          {NAME_REGIONAL, 0},
                                          {NAME_REGIONAL, 1},
                                          {NAME_DATA, 0},
                                          {NAME_DATA, 1}};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        enum name_stage s = registry_name_stage(r, names[i].kind, names[i].region);
        ck_assert_int_eq(
            s, registry_name_stage(r, hostname_private_of(names[i].kind), names[i].region));
        out[n++] = name_stage_word(s)[0] == 'p' ? name_stage_word(s)[1] : name_stage_word(s)[0];
        if (s != STAGE_GONE)
            ck_assert_int_eq(catalogue_name_stage(rec, names[i].kind, names[i].region), s);
    }
    out[n] = 0;
    return out;
}

#define ON "regional_endpoints: enabled, data_endpoints: enabled, "
#define BOTH "replicas: [{ region: a }, { region: b }] }\n"
#define B(stage) "replicas: [{ region: a }, { region: b, stage: " stage " }] }\n"

START_TEST(the_most_hidden_stage_holds)
{
    // u: public, r: private, e: edge, g: gone; of the global, the regional and the data names
    static const struct {
        const char *row, *want;
    } cases[] = {
        {ON BOTH, "uuuuu"},
        {BOTH, "ugggg"},
        {ON "stage: edge, " BOTH, "eeeee"},
        {ON "stage: private, regional_stage: edge, " BOTH, "reerr"},
        {ON "regional_stage: private, " BOTH, "urruu"},
        {ON "regional_stage: private, stage: edge, " BOTH, "eeeee"},
        {ON "data_stage: edge, " BOTH, "uuuee"},
        {ON B("edge"), "uueue"},
        {ON B("private"), "uurur"},
        {ON "regional_stage: edge, " B("private"), "ueeur"},
        {ON "stage: private, " B("edge"), "rrere"},
        {"regional_endpoints: enabled, " B("edge"), "uuegg"},
        {"data_endpoints: enabled, regional_stage: edge, " BOTH, "ugguu"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_BUF struct buf b;
        char got[16];
        buf_init(&b, 0);
        buf_printf(&b, "  - { name: contoso, %s", cases[i].row);
        struct topology *t = topology_of(buf_cstr(&b));
        ck_assert_msg(!strcmp(stages_of(t, got), cases[i].want), "%zu: %s, not %s", i, got,
                      cases[i].want);
        snapshot_unref(t);
    }
}
END_TEST

START_TEST(global_traffic_goes_to_public_replicas_only)
{
    struct topology *t = topology_of("  - { name: contoso, replicas: [{ region: a }, { region: b, "
                                     "stage: private, drained: true }] }\n");
    const struct catalogue_registry *r = catalogue_find_name(t->catalogue, "contoso");
    ck_assert_uint_eq(r->replicas, 3);
    ck_assert_uint_eq(r->open, 1);
    ck_assert_uint_eq(catalogue_on(t->catalogue, r), 3);
    ck_assert_uint_eq(catalogue_staged(r), 2);
    const struct replica *b = registry_replica(topology_registry(t, "contoso"), 1);
    ck_assert(b->global_routing && b->drained && b->stage == STAGE_PRIVATE);
    snapshot_unref(t);
}
END_TEST

static void refused(const char *rows, const char *why)
{
    struct diag d;
    struct topology *t = NULL;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_printf(&b, FRAME "%s", rows);
    diag_init(&d);
    ck_assert_int_ne(topology_parse(b.p, b.n, "t.yaml", &d, &t), 0);
    ck_assert_msg(d.n && strstr(d.lines[0], why), "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
}

START_TEST(what_cannot_be_is_refused)
{
    refused("  - { name: contoso, replicas: [{ region: a, stage: edge }] }\n",
            "global routing is off for every replica of stage public");
    refused("  - { name: contoso, replicas: [{ region: a, global_routing: false }, { region: b, "
            "stage: private }] }\n",
            "global routing is off for every replica of stage public");
    refused("  - { name: contoso, stage: gone, replicas: [{ region: a }] }\n",
            "expected public, private or edge");
    refused("  - { name: contoso, owner: 'a b', replicas: [{ region: a }] }\n",
            "expected an owner: at most 128 letters");
    refused("  - { name: contoso, dnl_scope: TenantReuse, replicas: [{ region: a }] }\n",
            "unsecure, tenant_reuse");
}
END_TEST

START_TEST(owners_are_kept_and_shared)
{
    struct topology *t = topology_of("  - { name: contoso, owner: ada@example.io, dnl_scope: "
                                     "no_reuse, replicas: [{ region: a }] }\n"
                                     "  - { name: fabrikam, owner: ada@example.io, dnl_scope: "
                                     "no_reuse, replicas: [{ region: b }] }\n"
                                     "  - { name: northwind, replicas: [{ region: b }] }\n");
    const struct registry *c = topology_registry(t, "contoso"),
                          *f = topology_registry(t, "fabrikam");
    ck_assert_str_eq(c->owner, "ada@example.io");
    ck_assert_ptr_eq(c->owner, f->owner);
    ck_assert_str_eq(topology_registry(t, "northwind")->owner, "");
    snapshot_unref(t);
}
END_TEST

START_TEST(neighbours_share_an_owner)
{
    struct topology *t = topology_of("  - { name: contoso, replicas: [{ region: a }] }\n");
    static const struct replica where[] = {{.region = 1, .global_routing = true}};
    static char names[1000][16]; // so many that some share a bucket, whatever the hash
    size_t n_shared = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(names[i], sizeof names[i], "registry%zu", i);
        const struct registry r = {.name = names[i],
                                   .hash = "",
                                   .label = names[i],
                                   .owner = i % 4 ? "ada" : "bob",
                                   .stage = i % 8 ? STAGE_PUBLIC : STAGE_EDGE,
                                   .replicas = where,
                                   .n_replicas = 1,
                                   .replica_set = 2};
        ck_assert_int_eq(catalogue_put(t->catalogue, &r), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const struct catalogue_registry *r = catalogue_find_name(t->catalogue, names[i]);
        struct registry_room room;
        struct registry x;
        catalogue_expand(r, &room, &x);
        ck_assert_str_eq(x.owner, i % 4 ? "ada" : "bob");
        ck_assert_int_eq(x.stage, i % 8 ? STAGE_PUBLIC : STAGE_EDGE);
        n_shared += atomic_load(&record_extra(r)->refs) > 1;
    }
    ck_assert_uint_gt(n_shared, ARRAY_LEN(names) / 4);
    snapshot_unref(t);
}
END_TEST

START_TEST(a_registry_that_says_nothing_costs_nothing)
{
    static const struct replica where[] = {{.region = 1, .global_routing = true}};
    const struct registry plain = {.name = "contoso",
                                   .hash = "",
                                   .label = "contoso",
                                   .owner = "",
                                   .replicas = where,
                                   .n_replicas = 1,
                                   .replica_set = 2};
    ck_assert(!extra_needed(&plain));
    ck_assert_uint_eq(record_bytes(&plain), 32);
    ck_assert_uint_le(sizeof(struct registry), 120);
    ck_assert_uint_le(sizeof(struct replica), 4);
    ck_assert_uint_le(sizeof(struct catalogue_extra), 72);
}
END_TEST

CHECK_MAIN("config/stages", the_most_hidden_stage_holds,
           global_traffic_goes_to_public_replicas_only, what_cannot_be_is_refused,
           owners_are_kept_and_shared, neighbours_share_an_owner,
           a_registry_that_says_nothing_costs_nothing)
