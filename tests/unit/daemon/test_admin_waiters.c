// SPDX-License-Identifier: Apache-2.0
// Places for those who wait at the admin API: some in all, fewer of one caller, and all given back.
#include "daemon/admin_waiters.h"

#include "base/err.h"
#include "tests/support/check_main.h"

#include <check.h>

START_TEST(one_caller_has_some_places_and_all_have_some)
{
    struct admin_waiters w = ADMIN_WAITERS_INIT(3, 2);
    char ada[] = "ada", ada_again[] = "ada", third[] = "ada", bob[] = "bob", eve[] = "eve";
    ck_assert_int_eq(admin_wait_begin(&w, ada), 0);
    ck_assert_int_eq(admin_wait_begin(&w, ada_again), 0);
    ck_assert_int_eq(admin_wait_begin(&w, third), ERR_QUOTA);
    ck_assert_int_eq(admin_wait_begin(&w, bob), 0);
    ck_assert_int_eq(admin_wait_begin(&w, eve), ERR_BUSY);
    // who has had all of his own hears of that first
    ck_assert_int_eq(admin_wait_begin(&w, third), ERR_QUOTA);
    admin_wait_end(&w, ada_again);
    ck_assert_int_eq(admin_wait_begin(&w, eve), 0);
    ck_assert_int_eq(admin_wait_begin(&w, third), ERR_BUSY);
    admin_wait_end(&w, bob);
    ck_assert_int_eq(admin_wait_begin(&w, third), 0);
}
END_TEST

START_TEST(a_place_is_given_back_once)
{
    struct admin_waiters w = ADMIN_WAITERS_INIT(ADMIN_WAITERS_MAX, ADMIN_WAITERS_MAX);
    static char names[ADMIN_WAITERS_MAX + 1][8];
    for (size_t i = 0; i < ADMIN_WAITERS_MAX; i++) {
        names[i][0] = (char)('a' + (int)i);
        ck_assert_int_eq(admin_wait_begin(&w, names[i]), 0);
    }
    names[ADMIN_WAITERS_MAX][0] = 'z';
    ck_assert_int_eq(admin_wait_begin(&w, names[ADMIN_WAITERS_MAX]), ERR_BUSY);
    admin_wait_end(&w, names[3]);
    admin_wait_end(&w, names[3]);
    ck_assert_int_eq(admin_wait_begin(&w, names[ADMIN_WAITERS_MAX]), 0);
    ck_assert_int_eq(admin_wait_begin(&w, names[3]), ERR_BUSY);
}
END_TEST

CHECK_MAIN("daemon/admin_waiters", one_caller_has_some_places_and_all_have_some,
           a_place_is_given_back_once)
