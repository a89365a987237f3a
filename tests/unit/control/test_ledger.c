// SPDX-License-Identifier: Apache-2.0
// control/ledger: compared with an array at every step, and every earlier version stays what it was.
#include "control/ledger.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/mem_test.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

enum { KEYS = 64, STEPS = 2000, KEPT = 16 };

struct model { // what should be in it
    bool there[KEYS];
    unsigned value[KEYS];
};

static void key_name(unsigned i, char out[32])
{
    snprintf(out, 32, "%s/%02u", i % 2 ? "request" : "operation", i);
}

struct listing {
    char last[64];
    size_t n;
};

static bool list(void *ctx, const char *key, const char *value)
{
    struct listing *l = ctx;
    ck_assert_int_gt(strcmp(key, l->last), 0); // in order
    ck_assert_uint_gt(strlen(value), 0);
    snprintf(l->last, sizeof l->last, "%s", key);
    l->n++;
    return true;
}

static void check(const struct control_ledger *l, const struct model *m)
{
    size_t n = 0, odd = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        char key[32], want[32];
        key_name(i, key);
        const char *value = control_ledger_get(l, key);
        ck_assert_int_eq(value != NULL, m->there[i]);
        snprintf(want, sizeof want, "{\"n\":%u}", m->value[i]);
        if (value)
            ck_assert_str_eq(value, want);
        n += m->there[i];
        odd += m->there[i] && i % 2;
    }
    ck_assert_uint_eq(control_ledger_count(l), n);
    struct listing all = {""}, requests = {""}, none = {""};
    control_ledger_visit(l, "", list, &all);
    control_ledger_visit(l, "request/", list, &requests);
    control_ledger_visit(l, "requests/", list, &none);
    ck_assert_uint_eq(all.n, n);
    ck_assert_uint_eq(requests.n, odd);
    ck_assert_uint_eq(none.n, 0);
}

START_TEST(every_version_stays_what_it_was)
{
    struct control_ledger *kept[KEPT] = {NULL}, *now = control_ledger_new();
    struct model models[KEPT], m = {0};
    uint32_t seed = 7;
    for (unsigned i = 0; i < STEPS; i++) {
        char key[32], value[32];
        unsigned slot = i % KEPT;
        struct control_ledger *next = NULL;
        seed = seed * 1664525 + 1013904223;
        unsigned k = (seed >> 8) % KEYS;
        bool put = (seed >> 20) % 3 != 0;
        key_name(k, key);
        snprintf(value, sizeof value, "{\"n\":%u}", i);
        if (kept[slot]) // it was replaced so many steps ago
            check(kept[slot], &models[slot]);
        control_ledger_unref(kept[slot]);
        kept[slot] = now;
        models[slot] = m;
        ck_assert_int_eq(control_ledger_put(now, key, put ? value : NULL, &next), 0);
        m.there[k] = put;
        m.value[k] = i;
        now = next;
    }
    check(now, &m);
    for (unsigned i = 0; i < KEPT; i++)
        control_ledger_unref(kept[i]);
    control_ledger_unref(now);
}
END_TEST

START_TEST(bytes_are_counted)
{
    struct control_ledger *a = control_ledger_new(), *b = NULL, *c = NULL;
    ck_assert_uint_eq(control_ledger_bytes(a), 0);
    ck_assert_int_eq(control_ledger_put(a, "join/x", "{}", &b), 0);
    ck_assert_uint_eq(control_ledger_bytes(b), 7 + 3);
    ck_assert_int_eq(control_ledger_put(b, "join/x", "{\"more\":1}", &c), 0);
    ck_assert_uint_eq(control_ledger_bytes(c), 7 + 11);
    control_ledger_unref(b);
    ck_assert_int_eq(control_ledger_put(c, "join/x", NULL, &b), 0);
    ck_assert_uint_eq(control_ledger_bytes(b), 0);
    ck_assert_uint_eq(control_ledger_count(b), 0);
    control_ledger_unref(a);
    control_ledger_unref(b);
    control_ledger_unref(c);
}
END_TEST

// Memory may end at each allocation: then there is no new version, and the old one is whole.
START_TEST(memory_may_end_anywhere)
{
    struct control_ledger *l = control_ledger_new();
    struct model m = {0};
    for (unsigned i = 0; i < KEYS; i++) {
        char key[32], value[32];
        struct control_ledger *next = NULL;
        key_name(i, key);
        snprintf(value, sizeof value, "{\"n\":%u}", i);
        ck_assert_int_eq(control_ledger_put(l, key, value, &next), 0);
        control_ledger_unref(l);
        l = next;
        m.there[i] = true;
        m.value[i] = i;
    }
    for (unsigned i = 0; i < 2 * KEYS; i++) {
        char key[32];
        int rc = ERR_NOMEM;
        key_name(i % KEYS, key);
        for (long n = 0; rc; n++) {
            struct control_ledger *next = NULL;
            mem_fault_after(n + 1);
            rc = control_ledger_put(l, key, i < KEYS ? NULL : "{}", &next);
            mem_fault_after(0);
            ck_assert(!rc || rc == ERR_NOMEM);
            check(l, &m);
            control_ledger_unref(next);
        }
    }
    control_ledger_unref(l);
}
END_TEST

CHECK_MAIN("control/ledger", every_version_stays_what_it_was, bytes_are_counted,
           memory_may_end_anywhere)
