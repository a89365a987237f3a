// SPDX-License-Identifier: Apache-2.0
// control/frame, control/document_fields: a new frame keeps the registries, wherever regions, stamps
// and views stand in it; what they refer to must be there.
#include "control/frame.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/catalogue.h"
#include "config/reserved.h"
#include "control/document_fields.h"
#include "control/topology_file.h"
#include "tests/support/check_main.h"

#include <string.h>

#define EAST                                                                                      \
    "  - { name: eastus, peer: 10.0.0.1:8443, stamps: [{ name: e1, ipv4: [192.0.2.1] }, { name: " \
    "e2, ipv4: [192.0.2.2] }] }\n"
#define EAST_TURNED                                                                               \
    "  - { name: eastus, peer: 10.0.0.1:8443, stamps: [{ name: e2, ipv4: [192.0.2.2] }, { name: " \
    "e1, ipv4: [192.0.2.1] }] }\n"
#define EAST_E1 \
    "  - { name: eastus, peer: 10.0.0.1:8443, stamps: [{ name: e1, ipv4: [192.0.2.1] }] }\n"
#define WEST \
    "  - { name: westus, peer: 10.0.0.2:8443, stamps: [{ name: w1, ipv4: [192.0.2.3] }] }\n"
#define ASIA "  - { name: asia, peer: 10.0.0.3:8443, stamps: [{ name: a1, ipv4: [192.0.2.4] }] }\n"
#define CORP "  - { name: corp, sources: [10.1.0.0/16], networks: [10.1.0.0/16] }\n"
#define LAB "  - { name: lab, sources: [10.2.0.0/16] }\n"
#define HEAD(version) "version: " version "\ndomain: example.io\nregions:\n"
#define NS "name_servers: [e1.eastus]\n"
#define REGISTRIES                                                                              \
    "registries:\n"                                                                             \
    "  - { name: contoso, regional_endpoints: enabled, incarnation: 3, replicas: [{ region: "   \
    "eastus, stamp: e2, weight: 10, stamp_was: e1, stamp_since: \"2020-01-01T00:00:00Z\" }, { " \
    "region: westus, drained: true }] }\n"                                                      \
    "  - { name: fabrikam, replicas: [{ region: westus }] }\n"                                  \
    "private_endpoints:\n"                                                                      \
    "  - { name: pe1, registry: contoso, view: lab, addresses: { registry: 10.9.0.4, "          \
    "registry_data_westus: 10.9.0.5, registry_westus: 10.9.0.6 } }\n"                           \
    "reserved: [{ name: northwind, owner: ada, since: \"2026-11-30T03:30:00Z\", until: "        \
    "\"2027-02-28T03:30:00Z\" }]\n"

static struct topology *document(void)
{
    static const char text[] = HEAD("5") EAST WEST NS "views:\n" CORP LAB REGISTRIES;
    struct topology *t = NULL;
    struct diag d;
    diag_init(&d);
    int rc = topology_file_parse(TOPOLOGY_FULL, text, strlen(text), "t.yaml", &d, &t);
    ck_assert_msg(!rc, "%s", d.n ? d.lines[0] : "");
    diag_done(&d);
    return t;
}

static int replace(const struct topology *t, enum topology_form form, const char *text,
                   const char *why, struct topology **out)
{
    struct diag d;
    diag_init(&d);
    int rc = frame_replace(t, bytes_str(text), "the frame", form, &d, out);
    AUTO_FREE char *said = diag_text(&d);
    if (why)
        ck_assert_msg(rc == ERR_INVAL && strstr(said, why), "%s", said);
    else
        ck_assert_msg(!rc, "%s", said);
    diag_done(&d);
    return rc;
}

static void check_contoso(const struct topology *t)
{
    const struct registry *r = topology_registry(t, "contoso");
    const struct region *east = topology_region(t, "eastus"), *west = topology_region(t, "westus");
    ck_assert_ptr_nonnull(r);
    ck_assert_str_eq(r->key, "contoso@3");
    ck_assert(r->regional_endpoints);
    ck_assert_uint_eq(r->n_replicas, 2);
    const struct replica *e = registry_replica(r, east->index),
                         *w = registry_replica(r, west->index);
    ck_assert_str_eq(topology_replica_stamp(t, e)->name, "e2");
    ck_assert_str_eq(topology_replica_stamp(t, w)->name, "w1");
    ck_assert(w->drained && !e->drained);
    ck_assert_uint_eq(r->weights[east->index], 10);
    ck_assert_uint_eq(r->weights[west->index], 100);
    const struct stamp_move *m = registry_move(r, east->index);
    ck_assert_ptr_nonnull(m);
    if (region_stamp(east, "e1"))
        ck_assert_str_eq(east->stamps[m->was].name, "e1");
    ck_assert_uint_eq(r->n_private_endpoints, 1);
    const struct private_endpoint *pe = r->private_endpoints[0];
    ck_assert_str_eq(t->views[pe->view].name, "lab");
    ck_assert_uint_eq(pe->n_members, 3);
    for (size_t i = 0; i < pe->n_members; i++)
        if (pe->members[i].kind != NAME_GLOBAL)
            ck_assert_uint_eq(pe->members[i].region, west->index);
    ck_assert_ptr_nonnull(topology_registry(t, "fabrikam"));
    ck_assert_uint_eq(t->n_registries, 2);
    ck_assert_ptr_nonnull(topology_reserved(t, "northwind"));
}

START_TEST(registries_stay_wherever_things_stand)
{
    static const char *const frames[] = {
        HEAD("6") EAST WEST NS "views:\n" CORP LAB "ttl: { global: 9s }\n",
        HEAD("6") WEST EAST NS "views:\n" LAB CORP "ttl: { global: 9s }\n",
        HEAD("6") ASIA WEST EAST_TURNED NS "views:\n" LAB "ttl: { global: 9s }\n",
    };
    struct topology *t = document();
    check_contoso(t);
    for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
        struct topology *next = NULL, *again = NULL;
        replace(t, TOPOLOGY_FULL, frames[i], NULL, &next);
        check_contoso(next);
        ck_assert_uint_eq(next->version, 6);
        ck_assert_uint_eq(next->ttl.global, 9);
        ck_assert(memcmp(next->content_hash, t->content_hash, 32) != 0);
        // and back, from a compact one
        replace(t, TOPOLOGY_COMPACT, frames[i], NULL, &again);
        ck_assert(!memcmp(next->content_hash, again->content_hash, 32));
        ck_assert_uint_eq(catalogue_count(again->catalogue), 2);
        snapshot_unref(again);
        replace(next, TOPOLOGY_FULL, HEAD("7") EAST WEST NS "views:\n" CORP LAB, NULL, &again);
        check_contoso(again);
        snapshot_unref(again);
        snapshot_unref(next);
    }
    snapshot_unref(t);
}
END_TEST

START_TEST(what_registries_refer_to_must_be_there)
{
    struct topology *t = document(), *next = NULL;
    replace(t, TOPOLOGY_FULL, HEAD("6") EAST ASIA NS "views:\n" CORP LAB,
            "registry contoso refers to region westus", &next);
    replace(t, TOPOLOGY_FULL, HEAD("6") EAST_E1 WEST NS "views:\n" CORP LAB,
            "registry contoso refers to stamp e2", &next);
    replace(t, TOPOLOGY_FULL, HEAD("6") EAST WEST NS "views:\n" CORP,
            "registry contoso refers to view lab", &next);
    // an address that the view's networks hold no more
    replace(t, TOPOLOGY_FULL,
            HEAD("6") EAST WEST NS "views:\n  - { name: lab, sources: [10.2.0.0/16], networks: "
                                   "[10.2.0.0/16] }\n",
            "the registries in force", &next);
    replace(t, TOPOLOGY_FULL, HEAD("6") EAST WEST NS "views:\n" CORP LAB REGISTRIES,
            "it has registries", &next);
    replace(t, TOPOLOGY_FULL, "version: 6\n", "regions", &next);
    ck_assert_ptr_null(next);
    snapshot_unref(t);
}
END_TEST

START_TEST(a_frame_text_comes_out_as_it_went_in)
{
    static const char text[] = HEAD("6") "# kept\n" EAST WEST NS "views:\n" CORP LAB;
    struct topology *t = document(), *next = NULL;
    AUTO_BUF struct buf out;
    buf_init(&out, 0);
    replace(t, TOPOLOGY_FULL, text, NULL, &next);
    ck_assert_int_eq(frame_text(next, &out), 0);
    ck_assert_str_eq(buf_cstr(&out), text);
    snapshot_unref(t);
    snapshot_unref(next);
}
END_TEST

static int with_version(const char *text, uint64_t version, const char *want)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_str(&b, text);
    int rc = document_set_version(&b, version);
    if (want)
        ck_assert_str_eq(buf_cstr(&b), want);
    return rc;
}

static int with_writer(const char *text, const char *region, const char *want)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_str(&b, text);
    int rc = document_set_writer(&b, region);
    if (want)
        ck_assert_str_eq(buf_cstr(&b), want);
    return rc;
}

START_TEST(fields_are_set_in_place)
{
    ck_assert_int_eq(
        with_version("a: 1\nversion: 5 # five\nb: 2\n", 6, "a: 1\nversion: 6 # five\nb: 2\n"), 0);
    ck_assert_int_eq(with_version("a: 1\n", 7, "version: 7\na: 1\n"), 0);
    ck_assert_int_eq(with_version("---\na: 1\n", 7, "---\nversion: 7\na: 1\n"), 0);
    ck_assert_int_eq(with_version("version:   123456789\n", 1, "version:   1\n"), 0);
    ck_assert_int_eq(with_version("version:\n  5\n", 6, NULL), ERR_UNSUPPORTED);
    ck_assert_int_eq(with_version("- a\n", 6, NULL), ERR_INVAL);
    ck_assert_int_eq(with_writer("control:\n  root: x\n  writer: eastus\n", "westus",
                                 "control:\n  root: x\n  writer: westus\n"),
                     0);
    ck_assert_int_eq(with_writer("control: { root: x, writer: eastus, operators: [] }\n", "asia",
                                 "control: { root: x, writer: asia, operators: [] }\n"),
                     0);
    ck_assert_int_eq(with_writer("writer: eastus\n", "asia", NULL), ERR_NOTFOUND);
}
END_TEST

CHECK_MAIN("control/frame", registries_stay_wherever_things_stand,
           what_registries_refer_to_must_be_there, a_frame_text_comes_out_as_it_went_in,
           fields_are_set_in_place)
