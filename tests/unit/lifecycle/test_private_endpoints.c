// SPDX-License-Identifier: Apache-2.0
// Private endpoints from asking to going: cases 1 to 11 of the list of lifecycle cases (12 is that of
// config/topology: bad/118 to 120), and the histories of row 28.
#include "base/mem.h"
#include "config/topology_control.h"
#include "control/connections.h"
#include "lifecycle/record.h"
#include "tests/support/check_main.h"
#include "tests/unit/lifecycle/connected.h"

#include <stdio.h>
#include <string.h>

#define DAY 86400
#define ROWS(rows) "registries:\n" rows
#define CONTOSO(more)                                                                        \
    "  - { name: contoso, owner: ada, replicas: [{ region: eastus }, { region: westus }, { " \
    "region: north }]" more " }\n"
#define FABRIKAM "  - { name: fabrikam, replicas: [{ region: eastus }] }\n"

#define G "contoso.example.io"
#define GP "contoso.privatelink.example.io"
#define D "contoso.eastus.data.example.io"
#define PUBLIC_G "CNAME eus-1.eastus.fe.example.io"
#define HOP "CNAME " GP
#define FOUR                                                                        \
    "registry=10.1.0.4 registry_data_eastus=10.1.0.5 registry_data_north=10.1.0.6 " \
    "registry_data_westus=10.1.0.7"

#define CREATE "private-endpoint create"
#define DELETE "private-endpoint delete"
#define APPROVE "private-endpoint-connection approve"
#define REJECT "private-endpoint-connection reject"
#define DISCONNECT "private-endpoint-connection delete"
#define TO_CORP "{'registry':'contoso','view':'corp','pool':'corp-pool'}"
#define OF "{'registry':'contoso'}"

static struct asked a;

static void begin(const char *registries)
{
    connected_begin(&a, registries);
}

static void approved(const char *name, const char *arguments)
{
    done(&a, CREATE, name, arguments);
    done(&a, APPROVE, name, OF);
}

// ---- the cases ----

START_TEST(case_01_pending_answers_publicly)
{
    begin(ROWS(CONTOSO("")));
    uint64_t version = a.fleet.t->version;
    ck_assert_str_eq(phases_of(&a, CREATE, "pe", TO_CORP, "Succeeded"), "record");
    ck_assert_str_eq(connection_of(&a, "pe"), "Pending Succeeded " FOUR);
    ck_assert_str_eq(dns_of(&a, "corp", G), dns_of(&a, NULL, G));
    ck_assert_str_eq(dns_of(&a, "corp", GP), "");
    ck_assert(!is_admitted(&a, "contoso", "corp"));
    // a stranger switches no data endpoints on
    ck_assert_str_eq(asked_names(&a, "contoso"), "g:public");
    ck_assert_uint_eq(a.fleet.t->version, version);
    ck_assert_str_eq(held_in(&a, "corp"), "4 5 6 7");
    asked_done(&a);
}
END_TEST

START_TEST(case_02_approved_it_answers_privately)
{
    begin(ROWS(CONTOSO("")));
    done(&a, CREATE, "pe", TO_CORP);
    ck_assert_str_eq(phases_of(&a, APPROVE, "pe",
                               "{'registry':'contoso','message':'for the plant'}", "Succeeded"),
                     "certificates edge public-dns members private-dns");
    ck_assert_str_eq(connection_of(&a, "pe"), "Approved Succeeded " FOUR);
    ck_assert_str_eq(dns_of(&a, "corp", G), HOP);
    ck_assert_str_eq(dns_of(&a, "corp", GP), "A 10.1.0.4");
    ck_assert_str_eq(dns_of(&a, "corp", "contoso.westus.data.privatelink.example.io"),
                     "A 10.1.0.7");
    ck_assert_str_eq(dns_of(&a, "lab", GP), dns_of(&a, NULL, GP));
    ck_assert(is_admitted(&a, "contoso", "corp") && !is_admitted(&a, "contoso", "lab"));
    // the first approval switches data endpoints on, and they stay
    ck_assert(topology_registry(a.fleet.t, "contoso")->data_endpoints);
    done(&a, DELETE, "pe", "{}");
    ck_assert_str_eq(asked_names(&a, "contoso"),
                     "g:public d.eastus:public d.westus:public d.north:public");
    asked_done(&a);
}
END_TEST

START_TEST(case_03_rejected_it_leaves_dns_first_and_access_later)
{
    json_t *body;
    begin(ROWS(CONTOSO("")));
    approved("pe", TO_CORP);
    ck_assert_int_eq(asked(&a, REJECT, "pe", "{'registry':'contoso','message':'no more'}", &body),
                     202);
    json_decref(body);
    ck_assert_str_eq(state_of(&a, "pe"), "Rejected Updating");
    ck_assert_str_eq(dns_of(&a, "corp", G), dns_of(&a, NULL, G));
    ck_assert_str_eq(dns_of(&a, "corp", GP), "");
    ck_assert(is_admitted(&a, "contoso", "corp"));
    asked_pass(&a, 65); // the private TTL and a minute are 70
    ck_assert(is_admitted(&a, "contoso", "corp"));
    asked_pass(&a, 15);
    ck_assert(!is_admitted(&a, "contoso", "corp"));
    ck_assert_str_eq(connection_of(&a, "pe"), "Rejected Succeeded " FOUR);
    // at once
    done(&a, APPROVE, "pe", OF);
    ck_assert_str_eq(dns_of(&a, "corp", GP), "A 10.1.0.4");
    uint64_t version = a.fleet.t->version;
    ck_assert_str_eq(phases_of(&a, REJECT, "pe", "{'registry':'contoso','now':true}", "Succeeded"),
                     "members");
    ck_assert_uint_eq(a.fleet.t->version, version + 1);
    ck_assert(!is_admitted(&a, "contoso", "corp"));
    asked_done(&a);
}
END_TEST

START_TEST(case_04_disconnected_cannot_be_approved)
{
    begin(ROWS(CONTOSO("")));
    approved("pe", TO_CORP);
    done(&a, DISCONNECT, "pe", OF);
    ck_assert_str_eq(state_of(&a, "pe"), "Disconnected Succeeded");
    const char *why = refusal(&a, 409, APPROVE, "pe", OF);
    ck_assert_msg(strstr(why, "Refused: connection pe is Disconnected") == why, "%s", why);
    ck_assert_ptr_nonnull(strstr(refusal(&a, 409, REJECT, "pe", OF), "asks for a new one"));
    refusal(&a, 200, DISCONNECT, "pe", OF);
    // gone with its registry, likewise
    done(&a, CREATE, "again", TO_CORP);
    done(&a, "registry delete", "contoso", "{'reserveDays':0}");
    ck_assert_str_eq(state_of(&a, "again"), "Disconnected Succeeded");
    refusal(&a, 409, APPROVE, "again", OF);
    done(&a, DELETE, "again", "{}");
    ck_assert_str_eq(state_of(&a, "again"), "");
    asked_done(&a);
}
END_TEST

START_TEST(case_05_deleted_by_the_network_its_addresses_rest)
{
    begin(ROWS(CONTOSO("") FABRIKAM));
    approved("pe", TO_CORP);
    ck_assert_str_eq(phases_of(&a, DELETE, "pe", "{}", "Succeeded"), "private-dns wait members");
    ck_assert_str_eq(connection_of(&a, "pe"), "");
    ck_assert_str_eq(held_in(&a, "corp"), "4 5 6 7");
    done(&a, CREATE, "next", "{'registry':'fabrikam','view':'corp','pool':'corp-pool'}");
    ck_assert_str_eq(connection_of(&a, "next"),
                     "Pending Succeeded registry=10.1.0.8 registry_data_eastus=10.1.0.9");
    asked_pass(&a, DAY);
    done(&a, CREATE, "later", TO_CORP);
    ck_assert_str_eq(connection_of(&a, "later"), "Pending Succeeded " FOUR);
    asked_done(&a);
}
END_TEST

START_TEST(case_06_another_views_addresses_are_untouched)
{
    begin(ROWS(CONTOSO("")));
    approved("corp-pe", TO_CORP);
    approved("lab-pe", "{'registry':'contoso','view':'lab'}"); // its only pool
    ck_assert_str_eq(dns_of(&a, "corp", GP), "A 10.1.0.4");
    ck_assert_str_eq(dns_of(&a, "lab", GP), "A 10.2.0.4");
    done(&a, DELETE, "corp-pe", "{}");
    ck_assert_str_eq(dns_of(&a, "lab", GP), "A 10.2.0.4");
    ck_assert_str_eq(dns_of(&a, "lab", G), HOP);
    ck_assert_str_eq(dns_of(&a, NULL, G), HOP);
    // nothing private in it there, and the hop is that of the other
    ck_assert_str_eq(dns_of(&a, "corp", GP), PUBLIC_G);
    ck_assert_str_eq(state_of(&a, "lab-pe"), "Approved Succeeded");
    asked_done(&a);
}
END_TEST

START_TEST(case_07_the_201st_is_refused)
{
    begin(ROWS(FABRIKAM));
    for (int i = 0; i < 200; i++) { // of networks that have gone since, rejected long ago
        struct connection c = {.registry = "fabrikam",
                               .view = "elsewhere",
                               .pool = "",
                               .error = "",
                               .state = CONNECTION_REJECTED};
        struct control_record r;
        struct control_place place;
        struct arena arena;
        arena_init(&arena, 0);
        c.name = arena_printf(&arena, "old-%d", i);
        ck_assert_int_eq(connection_record(&c, &arena, &r), 0);
        const struct control_draft d = {.by = "eastus", .records = &r, .n_records = 1};
        ck_assert_int_eq(a.fleet.deps.append(a.fleet.deps.ctx, &d, NULL, &place), 0);
        arena_done(&arena);
    }
    static const char in_corp[] = "{'registry':'fabrikam','view':'corp','pool':'corp-pool'}";
    ck_assert_str_eq(refusal(&a, 409, CREATE, "pe", in_corp),
                     "Refused: registry fabrikam has 200 private endpoint connections; it may have "
                     "200");
    done(&a, DELETE, "old-7", "{}");
    done(&a, CREATE, "pe", in_corp);
    asked_done(&a);
}
END_TEST

START_TEST(case_08_approving_twice_makes_no_version)
{
    begin(ROWS(CONTOSO("")));
    approved("pe", TO_CORP);
    uint64_t version = a.fleet.t->version, entries = a.fleet.place.seq;
    ck_assert_str_eq(refusal(&a, 200, APPROVE, "pe", OF),
                     "NothingToDo: connection pe is Approved already");
    ck_assert_uint_eq(a.fleet.t->version, version);
    ck_assert_uint_eq(a.fleet.place.seq, entries);
    done(&a, REJECT, "pe", OF);
    refusal(&a, 200, REJECT, "pe", OF);
    asked_done(&a);
}
END_TEST

#define REGIONAL "{'regionalEndpoints':'Enabled'}"

START_TEST(case_09_from_four_members_to_seven)
{
    begin(ROWS(CONTOSO("") FABRIKAM));
    approved("pe", "{'registry':'contoso','view':'corp','pool':'small'}");
    ck_assert_str_eq(held_in(&a, "corp"), "0 1 2 3");
    // two are taken: two are left, and three are needed
    done(&a, CREATE, "other", "{'registry':'fabrikam','view':'corp','pool':'small'}");
    uint64_t version = a.fleet.t->version;
    ck_assert_str_eq(refusal(&a, 409, "registry update", "contoso", REGIONAL),
                     "Refused: pool small (view corp): needs 7, has 4 and 2 free in 10.1.1.0/29; a "
                     "/28 would do");
    ck_assert_uint_eq(a.fleet.t->version, version);
    // one of them goes, never answered
    done(&a, DELETE, "other", "{}");
    done(&a, "registry update", "contoso", REGIONAL);
    ck_assert_str_eq(
        connection_of(&a, "pe"),
        "Approved Succeeded registry=10.1.1.0 registry_data_eastus=10.1.1.1 "
        "registry_eastus=10.1.1.4 registry_data_north=10.1.1.2 registry_north=10.1.1.5 "
        "registry_data_westus=10.1.1.3 registry_westus=10.1.1.6");
    ck_assert_str_eq(dns_of(&a, "corp", "contoso.north.geo.privatelink.example.io"), "A 10.1.1.5");
    asked_done(&a);
}
END_TEST

START_TEST(case_10_one_short_none_changes)
{
    begin(ROWS(CONTOSO("") FABRIKAM));
    approved("corp-pe", "{'registry':'contoso','view':'corp','pool':'small'}");
    done(&a, CREATE, "lab-pe", "{'registry':'contoso','view':'lab'}"); // Pending counts too
    done(&a, CREATE, "other", "{'registry':'fabrikam','view':'corp','pool':'small'}");
    char was[512];
    snprintf(was, sizeof was, "%s", connection_of(&a, "lab-pe"));
    uint64_t version = a.fleet.t->version, entries = a.fleet.place.seq;
    refusal(&a, 409, "registry update", "contoso", REGIONAL);
    ck_assert_str_eq(connection_of(&a, "lab-pe"), was);
    ck_assert_uint_eq(a.fleet.t->version, version);
    ck_assert_uint_eq(a.fleet.place.seq, entries);
    // then both
    done(&a, DELETE, "other", "{}");
    done(&a, "registry update", "contoso", REGIONAL);
    ck_assert_ptr_nonnull(strstr(connection_of(&a, "lab-pe"), " registry_westus=10.2.0.10"));
    ck_assert_ptr_nonnull(strstr(connection_of(&a, "corp-pe"), " registry_westus=10.1.1.6"));
    asked_done(&a);
}
END_TEST

START_TEST(case_11_static_addresses_are_asked_for_exactly)
{
    begin(ROWS("  - { name: contoso, regional_endpoints: enabled, replicas: [{ region: eastus }] "
               "}\n"));
    const char *why = refusal(&a, 400, CREATE, "pe",
                              "{'registry':'contoso','view':'corp','ip':{'registry':'10.1.9.1'}}");
    ck_assert_ptr_nonnull(strstr(why, "registry_data_eastus: give --ip pe/registry_data_eastus="));
    ck_assert_ptr_nonnull(strstr(why, "registry_eastus: give --ip pe/registry_eastus="));
    approved("pe", "{'registry':'contoso','view':'corp','answeredBy':'balancer','ip':{'registry':"
                   "'10.1.9.1','registry_data_eastus':'10.1.9.2','registry_eastus':['10.1.9.3']}}");
    why = refusal(&a, 400, "replication create", "contoso/westus", "{}");
    ck_assert_str_eq(why,
                     "Invalid: private endpoint pe (view corp) needs an address for "
                     "registry_data_westus: give --ip pe/registry_data_westus=ADDRESS\n"
                     "private endpoint pe (view corp) needs an address for registry_westus: give "
                     "--ip pe/registry_westus=ADDRESS");
    done(&a, "replication create", "contoso/westus",
         "{'ip':{'pe/registry_data_westus':'10.1.9.4','pe/registry_westus':'10.1.9.5'}}");
    ck_assert_str_eq(connection_of(&a, "pe"),
                     "Approved Succeeded registry=10.1.9.1 registry_data_eastus=10.1.9.2 "
                     "registry_eastus=10.1.9.3 registry_data_westus=10.1.9.4 "
                     "registry_westus=10.1.9.5");
    ck_assert_str_eq(dns_of(&a, "corp", "contoso.westus.geo.privatelink.example.io"), "A 10.1.9.5");
    // a pool gives its own
    approved("lab-pe", "{'registry':'contoso','view':'lab'}");
    why = refusal(&a, 400, "replication create", "contoso/north",
                  "{'ip':{'pe/registry_data_north':'10.1.9.6','pe/registry_north':'10.1.9.7',"
                  "'lab-pe/registry_north':'10.2.9.1'}}");
    ck_assert_str_eq(
        why, "Invalid: private endpoint lab-pe: its addresses come from pool lab-pool: give none");
    asked_done(&a);
}
END_TEST

CHECK_MAIN("lifecycle/private_endpoints", case_01_pending_answers_publicly,
           case_02_approved_it_answers_privately,
           case_03_rejected_it_leaves_dns_first_and_access_later,
           case_04_disconnected_cannot_be_approved,
           case_05_deleted_by_the_network_its_addresses_rest,
           case_06_another_views_addresses_are_untouched, case_07_the_201st_is_refused,
           case_08_approving_twice_makes_no_version, case_09_from_four_members_to_seven,
           case_10_one_short_none_changes, case_11_static_addresses_are_asked_for_exactly)
