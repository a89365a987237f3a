// SPDX-License-Identifier: Apache-2.0
// lifecycle/private_list: what people see of private endpoints and their connections.
#include "lifecycle/private_list.h"

#include "lifecycle/connection_needs.h"
#include "lifecycle/record.h"
#include "tests/support/check_main.h"
#include "tests/unit/lifecycle/connected.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY 86400
#define ROWS(rows) "registries:\n" rows
#define CONTOSO "  - { name: contoso, replicas: [{ region: eastus }] }\n"
#define FABRIKAM "  - { name: fabrikam, replicas: [{ region: eastus }] }\n"
#define BY_HAND                                                                                    \
    "private_endpoints:\n  - { name: hand, registry: fabrikam, view: lab, answered_by: balancer, " \
    "addresses: { registry: [10.2.9.1, 10.2.9.2] } }\n"

#define CREATE "private-endpoint create"
#define APPROVE "private-endpoint-connection approve"
#define REJECT "private-endpoint-connection reject"
#define OF "{'registry':'contoso'}"

static struct asked a;

// The list, which the test releases.
static json_t *listed(const struct private_filter *f, bool has_ledger)
{
    const struct ledger_look l = deps_ledger(&a.fleet.deps);
    json_t *doc = private_endpoints_json(a.fleet.t, has_ledger ? &l : NULL, f, a.fleet.now_ms);
    ck_assert_ptr_nonnull(doc);
    json_t *list = json_incref(json_object_get(doc, "privateEndpoints"));
    ck_assert(json_is_array(list));
    json_decref(doc);
    return list;
}

// "hand pe": names in their order. Static.
static const char *names(const char *registry, const char *view, const char *name)
{
    static char text[512];
    const struct private_filter f = {.registry = registry, .view = view, .name = name};
    json_t *list = listed(&f, true);
    size_t n = 0;
    text[0] = 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i ? " " : "",
                              record_text(json_array_get(list, i), "name"));
    json_decref(list);
    return text;
}

static json_t *one(const char *name)
{
    json_t *list = listed(&(struct private_filter){.name = name}, true);
    ck_assert_uint_eq(json_array_size(list), 1);
    json_t *doc = json_incref(json_array_get(list, 0));
    json_decref(list);
    return doc;
}

static void shows(const json_t *doc, const char *expected)
{
    char text[4096], *got = json_dumps(doc, JSON_COMPACT | JSON_ENCODE_ANY);
    snprintf(text, sizeof text, "%s", expected);
    for (char *p = text; *p; p++)
        if (*p == '\'')
            *p = '"';
    ck_assert_str_eq(got, text);
    free(got);
}

static void begin(void)
{
    connected_begin(&a, ROWS(CONTOSO FABRIKAM) BY_HAND);
    done(&a, CREATE, "pe",
         "{'registry':'contoso','view':'corp','pool':'corp-pool','message':'for the plant'}");
    done(&a, CREATE, "also", "{'registry':'contoso','view':'lab'}");
}

START_TEST(all_are_listed_by_name_or_those_that_are_asked_for)
{
    begin();
    ck_assert_str_eq(names(NULL, NULL, NULL), "also hand pe");
    ck_assert_str_eq(names("contoso", NULL, NULL), "also pe");
    ck_assert_str_eq(names(NULL, "lab", NULL), "also hand");
    ck_assert_str_eq(names("contoso", "lab", NULL), "also");
    ck_assert_str_eq(names(NULL, NULL, "pe"), "pe");
    ck_assert_str_eq(names("fabrikam", NULL, "pe"), "");
    ck_assert_str_eq(names("conto", NULL, NULL), "");
    ck_assert_str_eq(names(NULL, NULL, ""), "");
    asked_done(&a);
}
END_TEST

START_TEST(a_connection_is_shown_from_asking_to_its_end)
{
    begin();
    json_t *pe = one("pe");
    ck_assert_str_eq(record_text(pe, "registry"), "contoso");
    ck_assert_str_eq(record_text(pe, "view"), "corp");
    ck_assert_str_eq(record_text(pe, "pool"), "corp-pool");
    ck_assert_str_eq(record_text(pe, "provisioningState"), "Succeeded");
    ck_assert_str_eq(record_text(pe, "answeredBy"), "edge");
    shows(json_object_get(pe, "privateLinkServiceConnectionState"),
          "{'status':'Pending','description':'for the plant','actionsRequired':'None'}");
    shows(json_object_get(pe, "groupIds"), "['registry']");
    shows(json_object_get(pe, "ipConfigurations"),
          "[{'memberName':'registry','fqdn':'contoso.example.io','privateIpAddresses':["
          "'10.1.0.4']},{'memberName':'registry_data_eastus','fqdn':"
          "'contoso.eastus.data.example.io','privateIpAddresses':['10.1.0.5']}]");
    ck_assert(json_is_null(json_object_get(pe, "inDns")));
    ck_assert(json_is_null(json_object_get(pe, "restsUntil")));
    ck_assert_uint_eq(json_array_size(json_object_get(pe, "moves")), 1);
    json_decref(pe);
    done(&a, APPROVE, "pe", OF);
    pe = one("pe");
    ck_assert(json_is_true(json_object_get(pe, "inDns")));
    ck_assert_str_eq(
        record_text(json_object_get(pe, "privateLinkServiceConnectionState"), "status"),
        "Approved");
    json_decref(pe);
    // on its way out the edge alone has it
    json_t *body;
    ck_assert_int_eq(asked(&a, REJECT, "pe", OF, &body), 202);
    json_decref(body);
    pe = one("pe");
    ck_assert(json_is_false(json_object_get(pe, "inDns")));
    ck_assert_str_eq(record_text(pe, "provisioningState"), "Updating");
    json_decref(pe);
    asked_settle(&a, 1000);
    pe = one("pe");
    ck_assert(json_is_null(json_object_get(pe, "inDns")));
    ck_assert_uint_eq(strlen(record_text(pe, "restsUntil")), strlen("2026-11-30T12:00:00.000Z"));
    const json_t *moves = json_object_get(pe, "moves");
    ck_assert_uint_eq(json_array_size(moves), 3);
    ck_assert_str_eq(record_text(json_array_get(moves, 2), "status"), "Rejected");
    ck_assert_str_eq(record_text(json_array_get(moves, 2), "by"), "operator:ada");
    json_decref(pe);
    asked_pass(&a, 2 * DAY);
    pe = one("pe");
    ck_assert(json_is_null(json_object_get(pe, "restsUntil")));
    json_decref(pe);
    asked_done(&a);
}
END_TEST

START_TEST(one_whose_registry_has_gone_is_to_be_made_anew)
{
    begin();
    done(&a, "registry delete", "contoso", "{'reserveDays':0}");
    json_t *pe = one("pe");
    ck_assert_str_eq(record_text(pe, "registry"), "contoso");
    const json_t *state = json_object_get(pe, "privateLinkServiceConnectionState");
    ck_assert_str_eq(record_text(state, "status"), "Disconnected");
    ck_assert_str_eq(record_text(state, "actionsRequired"), "Recreate");
    // no name leads there any more
    const json_t *member = json_array_get(json_object_get(pe, "ipConfigurations"), 0);
    ck_assert_str_eq(record_text(member, "fqdn"), "");
    json_decref(pe);
    asked_done(&a);
}
END_TEST

START_TEST(rows_by_hand_are_approved_and_without_a_ledger_they_are_all)
{
    begin();
    json_t *hand = one("hand");
    shows(json_object_get(hand, "privateLinkServiceConnectionState"),
          "{'status':'Approved','description':'','actionsRequired':'None'}");
    ck_assert_str_eq(record_text(hand, "registry"), "fabrikam");
    ck_assert_str_eq(record_text(hand, "pool"), "");
    ck_assert_str_eq(record_text(hand, "answeredBy"), "balancer");
    ck_assert(json_is_true(json_object_get(hand, "inDns")));
    shows(json_object_get(hand, "ipConfigurations"),
          "[{'memberName':'registry','fqdn':'fabrikam.example.io','privateIpAddresses':["
          "'10.2.9.1','10.2.9.2']}]");
    json_decref(hand);
    json_t *list = listed(&(struct private_filter){0}, false);
    ck_assert_uint_eq(json_array_size(list), 1);
    ck_assert_str_eq(record_text(json_array_get(list, 0), "name"), "hand");
    json_decref(list);
    asked_done(&a);
}
END_TEST

CHECK_MAIN("lifecycle/private_list", all_are_listed_by_name_or_those_that_are_asked_for,
           a_connection_is_shown_from_asking_to_its_end,
           one_whose_registry_has_gone_is_to_be_made_anew,
           rows_by_hand_are_approved_and_without_a_ledger_they_are_all)
