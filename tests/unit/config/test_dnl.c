// SPDX-License-Identifier: Apache-2.0
// config/dnl: both spellings of the scopes, and hashes that never change.
#include "config/dnl.h"

#include "base/err.h"
#include "tests/support/check_main.h"

#include <string.h>

START_TEST(both_spellings)
{
    enum dnl_scope s = DNL_UNSECURE;
    for (int i = 0; i < N_DNL_SCOPES; i++) {
        ck_assert_int_eq(dnl_scope_parse(dnl_scope_word((enum dnl_scope)i), &s), 0);
        ck_assert_int_eq((int)s, i);
        s = DNL_UNSECURE;
        ck_assert_int_eq(dnl_scope_parse(dnl_scope_azure((enum dnl_scope)i), &s), 0);
        ck_assert_int_eq((int)s, i);
    }
    ck_assert_int_eq(dnl_scope_parse("resourcegroupreuse", &s), 0);
    ck_assert_int_eq((int)s, DNL_RESOURCE_GROUP_REUSE);
    ck_assert_int_eq(dnl_scope_parse("none", &s), ERR_INVAL);
    ck_assert_int_eq((int)s, DNL_RESOURCE_GROUP_REUSE);
}
END_TEST

static const char *hash(enum dnl_scope s, const char *owner, const char *name, uint64_t incarnation)
{
    static char out[4][HOSTNAME_HASH_SIZE];
    static unsigned n;
    return dnl_hash(s, "example.io", owner, name, incarnation, out[n++ % 4]);
}

START_TEST(who_gets_the_same_label)
{
    ck_assert_str_eq(hash(DNL_UNSECURE, "ada", "contoso", 1), "");
    for (int i = DNL_TENANT_REUSE; i < DNL_NO_REUSE; i++) {
        const enum dnl_scope s = (enum dnl_scope)i;
        ck_assert(hostname_hash_ok(hash(s, "ada", "contoso", 1)));
        ck_assert_str_eq(hash(s, "ada", "contoso", 1), hash(s, "ada", "contoso", 2));
        ck_assert_str_ne(hash(s, "ada", "contoso", 1), hash(s, "bob", "contoso", 1));
        ck_assert_str_ne(hash(s, "ada", "contoso", 1), hash(s, "ada", "fabrikam", 1));
    }
    ck_assert_str_ne(hash(DNL_NO_REUSE, "ada", "contoso", 1),
                     hash(DNL_NO_REUSE, "ada", "contoso", 2));
    // what host names hang on
    ck_assert_str_eq(hash(DNL_TENANT_REUSE, "ada", "contoso", 0), "ndfi5uncnmnaxc6b");
}
END_TEST

CHECK_MAIN("config/dnl", both_spellings, who_gets_the_same_label)
