// SPDX-License-Identifier: Apache-2.0
// Requests that ask what would be, through the engine: of each kind of verb, nothing is kept. Neither
// the feed nor the ledger has them, no list of operations names them, and they hold no lock.
#include "base/mem.h"
#include "lifecycle/record.h"
#include "tests/support/check_main.h"
#include "tests/unit/lifecycle/documented.h"

#include <check.h>
#include <string.h>

static struct asked a;

#define ROWS(rows) "registries:\n" rows
#define CONTOSO(more)                                                                          \
    "  - { name: contoso, owner: ada, replicas: [{ region: eastus }, { region: westus }]" more \
    " }\n"
#define FABRIKAM "  - { name: fabrikam, replicas: [{ region: westus }] }\n"
#define KEY "MCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define OTHER_KEY "MCowBQYDK2VwAyEAAgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define HASH "$2b$04$abcdefghijklmnopqrstuuQnH0m5CbLpZ6HOaB0sBBBBBBBBBBBBB"
#define DOCUMENT                                                                               \
    "control: { root: '" KEY "', writer: eastus, operators: [] }\n"                            \
    "identities: { eastus: { control_keys: [{ id: eastus-ctl-1, key: '" OTHER_KEY "' }] } }\n" \
    "reserved:\n  - { name: northwind, owner: ada, since: '2020-01-01T00:00:00Z', until: "     \
    "'2099-01-01T00:00:00Z' }\n" ROWS(CONTOSO("") FABRIKAM)

static const struct {
    const char *verb, *object, *arguments;
} rows[] = {
    {"registry create", "tailspin", "{'location':'north','regionalEndpoints':'Enabled'}"},
    {"registry update", "contoso", "{'anonymousPullEnabled':true}"},
    {"replication create", "contoso/north", "{'weight':10}"},
    {"replication update", "contoso/eastus", "{'drained':true}"},
    {"replication delete", "contoso/westus", "{}"},
    {"registry delete", "fabrikam", "{}"},
    {"stamp drain", "westus/wus-1", "{}"},
    {"name release", "northwind", "{}"},
    {"user create", "carl", "{'passwordHash':'" HASH "','registry':'contoso'}"},
    {"join-token create", "moon", "{'key':'" OTHER_KEY "','expires':1780050000000}"},
    {"region add", "moon", "{'ipv4':['192.0.2.7'],'peer':'192.0.2.7:8443'}"},
    {"operator create", "eve", "{'key':'" OTHER_KEY "','rights':['topology']}"},
    {"topology apply", "",
     "{'change':'registries: [{ name: tailspin, replicas: [{ region: eastus }] }]\\n'}"},
    {"topology rollback", "", "{'version':40}"},
};

static json_int_t listed(void)
{
    json_t *doc = lifecycle_operations(a.l, NULL, NULL, 1000);
    json_int_t n = (json_int_t)json_array_size(json_object_get(doc, "operations"));
    json_decref(doc);
    return n;
}

static int ask_row(size_t i, bool what_if, json_t **out)
{
    const char *arguments = rows[i].arguments;
    AUTO_FREE char *all = mem_printf("{'whatIf':%s%s%s", what_if ? "true" : "false",
                                     arguments[1] == '}' ? "" : ",", arguments + 1);
    return asked(&a, rows[i].verb, rows[i].object, all, out);
}

START_TEST(a_what_if_is_kept_nowhere)
{
    documented_begin(&a, DOCUMENT);
    // so that there is something to go back from
    json_decref(asked_to_end(&a, "registry update", "fabrikam", "{'anonymousPullEnabled':true}",
                             "Succeeded"));
    uint64_t seq = a.fleet.place.seq, version = a.fleet.t->version;
    size_t n_records = a.fleet.n_records;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *body;
        int status = ask_row(i, true, &body);
        ck_assert_msg(status == 200, "%s: %s", rows[i].verb, json_dumps(body, 0));
        ck_assert_msg(record_number(json_object_get(body, "whatIf"), "exit") == 10, "%s: %s",
                      rows[i].verb, json_dumps(body, 0));
        ck_assert_ptr_null(json_object_get(body, "operation"));
        json_decref(body);
        ck_assert_int_eq(listed(), 1);
        ck_assert_uint_eq(a.fleet.place.seq, seq);
        ck_assert_uint_eq(a.fleet.n_records, n_records);
        ck_assert_uint_eq(a.fleet.t->version, version);
    }
    documented_end(&a);
}
END_TEST

START_TEST(a_what_if_stands_in_nobodys_way)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *body;
        documented_begin(&a, DOCUMENT);
        json_decref(asked_to_end(&a, "registry update", "fabrikam", "{'anonymousPullEnabled':true}",
                                 "Succeeded"));
        ck_assert_int_eq(ask_row(i, true, NULL), 200);
        int status = ask_row(i, false, &body);
        ck_assert_msg(status == 202, "%s: %s", rows[i].verb, json_dumps(body, 0));
        json_decref(body);
        ck_assert_int_eq(listed(), 2);
        documented_end(&a);
    }
}
END_TEST

CHECK_MAIN("lifecycle/what_if_requests", a_what_if_is_kept_nowhere, a_what_if_stands_in_nobodys_way)
