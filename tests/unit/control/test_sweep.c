// SPDX-License-Identifier: Apache-2.0
// control/sweep: what the ledger forgets, by the times of entries.
#include "control/sweep.h"

#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

#define NOW 1780000000000

#define DAY_MS INT64_C(86400000)

// contoso is there, made by version 3; fabrikam was, and its name is reserved
static const char document[] =
    "version: 9\ndomain: example.io\nregions:\n"
    "  - { name: eastus, stamps: [{ name: eus-1, ipv4: [192.0.2.1] }] }\n"
    "name_servers: [eus-1.eastus]\n"
    "registries:\n  - { name: contoso, incarnation: 3, replicas: [{ region: eastus }] }\n"
    "reserved:\n  - { name: fabrikam, owner: ada, since: \"2026-01-01T00:00:00Z\", until: "
    "\"2036-01-01T00:00:00Z\", incarnation: 5 }\n";

static struct control_ledger *l;
static struct topology *t;
// of the sweep before, after NOW
static int64_t last;

static void begin(void)
{
    struct diag d;
    diag_init(&d);
    l = control_ledger_new();
    last = 0;
    int rc = topology_parse(document, strlen(document), "t.yaml", &d, &t);
    ck_assert_msg(!rc, "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
}

static void end(void)
{
    control_ledger_unref(l);
    snapshot_unref(t);
}

static void put(const char *key, const char *value)
{
    struct control_ledger *next = NULL;
    ck_assert_int_eq(control_ledger_put(l, key, value, &next), 0);
    control_ledger_unref(l);
    l = next;
}

// Of "request/<name>", which ends so many ms after NOW.
static void request(const char *name, int64_t ms, const char *more)
{
    char key[64], value[160];
    snprintf(key, sizeof key, "request/%s", name);
    snprintf(value, sizeof value, "{%s\"expires\":%lld,\"operation\":\"0123456789abcdef\"}", more,
             (long long)(NOW + ms));
    put(key, value);
}

static void sweep(int64_t ms)
{
    struct control_ledger *next = NULL;
    const struct sweep_at at = {.t = t, .last_ms = NOW + last, .now_ms = NOW + ms};
    ck_assert_int_eq(sweep_ledger(l, &at, &next), 0);
    control_ledger_unref(l);
    l = next;
    last = ms;
}

static bool has(const char *key)
{
    return control_ledger_get(l, key) != NULL;
}

// After NOW; -1: nothing is said.
static int64_t upto(void)
{
    const char *value = control_ledger_get(l, SWEEP_REQUESTS_UPTO);
    long long ms;
    if (!value)
        return -1;
    ck_assert_int_eq(sscanf(value, "{\"expires\":%lld}", &ms), 1);
    return ms - NOW;
}

START_TEST(requests_that_are_over_go_and_it_is_noted_up_to_when)
{
    begin();
    request("a", 1000, "");
    request("b", 5000, "");
    request("c", 9000, "");
    put("operation/0123456789abcdef", "{\"expires\":1}");
    put("request/odd", "{\"expires\":\"soon\"}");
    sweep(1000); // one that ends at that very time is not over
    ck_assert(has("request/a") && upto() == -1);
    sweep(5001);
    ck_assert(!has("request/a") && !has("request/b") && has("request/c"));
    ck_assert_int_eq(upto(), 5000);
    sweep(20000);
    ck_assert(!has("request/c"));
    ck_assert_int_eq(upto(), 9000);
    ck_assert(has("operation/0123456789abcdef") && has("request/odd"));
    ck_assert_uint_eq(control_ledger_count(l), 3);
    end();
}
END_TEST

// Entries of an epoch that goes on from before come with an earlier time.
START_TEST(what_is_noted_never_goes_back)
{
    begin();
    request("far", 3600000, "");
    sweep(3600001);
    ck_assert_int_eq(upto(), 3600000);
    request("near", 100, "");
    sweep(1000);
    ck_assert(!has("request/near"));
    ck_assert_int_eq(upto(), 3600000);
    end();
}
END_TEST

// Else one of them, by a clock that was ahead, would shut out all operators for as long.
START_TEST(root_s_own_count_for_nothing)
{
    begin();
    request("a", 1000, "");
    request("b", 3600000, "\"bare\":true,");
    sweep(4000000);
    ck_assert(!has("request/a") && !has("request/b"));
    ck_assert_int_eq(upto(), 1000);
    end();
}
END_TEST

START_TEST(nothing_to_forget_leaves_the_ledger_as_it_is)
{
    struct control_ledger *next = NULL;
    begin();
    request("a", 1000, "");
    const struct sweep_at at = {.t = t, .last_ms = NOW, .now_ms = NOW};
    ck_assert_int_eq(sweep_ledger(l, &at, &next), 0);
    ck_assert_uint_eq(control_ledger_count(next), 1);
    ck_assert_uint_eq(control_ledger_bytes(next), control_ledger_bytes(l));
    control_ledger_unref(next);
    end();
}
END_TEST

static void join(const char *id, int64_t expires_ms, const char *more)
{
    char key[64], value[200];
    snprintf(key, sizeof key, "join/%s", id);
    snprintf(value, sizeof value, "{\"expires\":%lld,\"state\":%s}", (long long)(NOW + expires_ms),
             more);
    put(key, value);
}

START_TEST(join_tokens_go_a_month_after_their_end)
{
    begin();
    join("open", 0, "\"open\"");
    join("joined", 0, "\"joined\",\"joiner\":\"x\"");
    join("later", DAY_MS, "\"joined\"");
    join("contested", 0, "\"used\",\"refused\":1780000000001");
    join("handled", 0, "\"revoked\",\"refused\":1780000000001");
    put("join/odd", "{\"state\":\"open\"}");
    sweep(SWEEP_JOINS_KEPT_MS - 1);
    ck_assert_uint_eq(control_ledger_count(l), 6);
    sweep(SWEEP_JOINS_KEPT_MS + SWEEP_HOUR_MS);
    ck_assert(!has("join/open") && !has("join/joined") && !has("join/handled"));
    ck_assert(has("join/later") && has("join/odd"));
    // an alarm stays until somebody has looked
    ck_assert(has("join/contested"));
    sweep(SWEEP_JOINS_KEPT_MS + 400 * DAY_MS);
    ck_assert(!has("join/later") && has("join/contested"));
    join("contested", 0, "\"revoked\",\"refused\":1780000000001");
    sweep(SWEEP_JOINS_KEPT_MS + 401 * DAY_MS);
    ck_assert(!has("join/contested"));
    end();
}
END_TEST

static void gone(const char *key, int64_t due_ms)
{
    char name[64], value[100];
    snprintf(name, sizeof name, "gone/%s", key);
    snprintf(value, sizeof value, "{\"due\":%lld,\"since\":%lld}", (long long)(NOW + due_ms),
             (long long)NOW);
    put(name, value);
}

START_TEST(registries_that_are_gone_are_forgotten_when_nobody_can_have_them)
{
    begin();
    gone("northwind@7", 0);
    gone("northwind", 0);
    gone("late@8", DAY_MS);
    gone("contoso@2", 0);  // one of that name before the one that is there
    gone("contoso@3", 0);  // that came back: a takeover made its end void
    gone("fabrikam@4", 0); // likewise, before the one whose name is reserved
    gone("fabrikam@5", 0);
    put("gone/odd@1", "{}");
    sweep(SWEEP_GONE_KEPT_MS - 1);
    ck_assert_uint_eq(control_ledger_count(l), 8);
    sweep(SWEEP_GONE_KEPT_MS + SWEEP_HOUR_MS);
    ck_assert(!has("gone/northwind@7") && !has("gone/northwind"));
    ck_assert(!has("gone/contoso@2") && !has("gone/fabrikam@4"));
    ck_assert(has("gone/late@8") && has("gone/contoso@3") && has("gone/fabrikam@5"));
    ck_assert(has("gone/odd@1"));
    end();
}
END_TEST

// What a connection is and since when, and until when it rests; times after NOW.
static void connection(const char *name, const char *state, const char *provisioning,
                       int64_t moved_ms, int64_t rest_ms)
{
    char key[64], value[300];
    snprintf(key, sizeof key, "connection/%s", name);
    snprintf(value, sizeof value,
             "{\"state\":\"%s\",\"provisioning\":\"%s\",\"restMs\":%lld,\"moves\":[{\"state\":"
             "\"Pending\",\"at\":1},{\"state\":\"%s\",\"at\":%lld}]}",
             state, provisioning, (long long)(NOW + rest_ms), state, (long long)(NOW + moved_ms));
    put(key, value);
}

START_TEST(connections_that_are_over_go_some_time_after_their_addresses_are_free)
{
    begin();
    connection("rejected", "Rejected", "Succeeded", 0, -NOW);
    connection("failed", "Rejected", "Failed", 0, -NOW);
    connection("ended", "Disconnected", "Succeeded", 0, -NOW);
    connection("rests", "Rejected", "Succeeded", 0, DAY_MS);
    connection("moved", "Rejected", "Succeeded", DAY_MS, 0);
    connection("pending", "Pending", "Succeeded", 0, -NOW);
    connection("approved", "Approved", "Succeeded", 0, -NOW);
    connection("busy", "Rejected", "Updating", 0, -NOW); // an operation has it in hand
    put("connection/odd", "{\"state\":\"Rejected\"}");
    put("connection/strange", "{\"state\":\"Lost\",\"restMs\":1}");
    sweep(SWEEP_CONNECTIONS_KEPT_MS - 1);
    ck_assert_uint_eq(control_ledger_count(l), 10);
    sweep(SWEEP_CONNECTIONS_KEPT_MS + SWEEP_HOUR_MS);
    ck_assert(!has("connection/rejected") && !has("connection/failed") && !has("connection/ended"));
    ck_assert(has("connection/rests") && has("connection/moved"));
    sweep(SWEEP_CONNECTIONS_KEPT_MS + DAY_MS + SWEEP_HOUR_MS);
    ck_assert(!has("connection/rests") && !has("connection/moved"));
    sweep(SWEEP_CONNECTIONS_KEPT_MS + 4000 * DAY_MS);
    ck_assert(has("connection/pending") && has("connection/approved") && has("connection/busy"));
    ck_assert(has("connection/odd") && has("connection/strange"));
    end();
}
END_TEST

// Requests every minute; the rest once an hour, of which there may be many.
START_TEST(what_is_rare_is_looked_at_once_an_hour)
{
    begin();
    int64_t hour = SWEEP_HOUR_MS - NOW % SWEEP_HOUR_MS; // the next one begins
    join("a", -SWEEP_JOINS_KEPT_MS - DAY_MS, "\"open\"");
    gone("northwind@7", -SWEEP_GONE_KEPT_MS - DAY_MS);
    last = hour;
    request("a", hour, "");
    sweep(hour + 60000);
    ck_assert(has("join/a") && has("gone/northwind@7") && !has("request/a"));
    sweep(hour + SWEEP_HOUR_MS - 1);
    ck_assert(has("join/a") && has("gone/northwind@7"));
    sweep(hour + SWEEP_HOUR_MS);
    ck_assert(!has("join/a") && !has("gone/northwind@7"));
    end();
}
END_TEST

CHECK_MAIN("control/sweep", requests_that_are_over_go_and_it_is_noted_up_to_when,
           what_is_noted_never_goes_back, root_s_own_count_for_nothing,
           nothing_to_forget_leaves_the_ledger_as_it_is, join_tokens_go_a_month_after_their_end,
           registries_that_are_gone_are_forgotten_when_nobody_can_have_them,
           connections_that_are_over_go_some_time_after_their_addresses_are_free,
           what_is_rare_is_looked_at_once_an_hour)
