// SPDX-License-Identifier: Apache-2.0
// control/sweep: what the ledger forgets, by the times of entries.
#include "control/sweep.h"

#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

#define NOW 1780000000000

static struct control_ledger *l;

static void begin(void)
{
    l = control_ledger_new();
}

static void end(void)
{
    control_ledger_unref(l);
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
    ck_assert_int_eq(sweep_ledger(l, NOW + ms, &next), 0);
    control_ledger_unref(l);
    l = next;
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
    ck_assert_int_eq(sweep_ledger(l, NOW, &next), 0);
    ck_assert_uint_eq(control_ledger_count(next), 1);
    ck_assert_uint_eq(control_ledger_bytes(next), control_ledger_bytes(l));
    control_ledger_unref(next);
    end();
}
END_TEST

CHECK_MAIN("control/sweep", requests_that_are_over_go_and_it_is_noted_up_to_when,
           what_is_noted_never_goes_back, root_s_own_count_for_nothing,
           nothing_to_forget_leaves_the_ledger_as_it_is)
