// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite/company.h"

#include "tests/support/check_main.h"

// Groups while so many write at the same time, each again as soon as its group is committed.
static size_t groups_of(struct company *c, size_t n_writers, int n_groups)
{
    size_t n = 0, natural = n_writers < 3 ? 1 : 3; // who came during the commit before
    for (int i = 0; i < n_groups; i++) {
        n = company_expected(c) > natural ? company_expected(c) : natural;
        bool in_vain = n > n_writers;
        if (in_vain)
            n = n_writers;
        company_learn(c, n, in_vain);
    }
    return n;
}

START_TEST(test_one_is_alone)
{
    struct company c = {0};
    for (int i = 0; i < 100; i++) {
        ck_assert_uint_eq(company_expected(&c), 1);
        company_learn(&c, 1, false);
    }
}
END_TEST

// Two that meet by chance are no company.
START_TEST(test_a_chance_meeting)
{
    struct company c = {0};
    for (int i = 0; i < 100; i++) {
        company_learn(&c, 2, false);
        company_learn(&c, 1, false);
        ck_assert_uint_eq(company_expected(&c), 1);
    }
}
END_TEST

START_TEST(test_sixteen_are_found)
{
    struct company c = {0};
    ck_assert_uint_eq(groups_of(&c, 16, 40), 16);
    unsigned n_vain = 0;
    for (int i = 0; i < 170; i++) { // more are hoped for in one group of many
        size_t expected = company_expected(&c);
        ck_assert_uint_ge(expected, 16);
        n_vain += expected > 16;
        company_learn(&c, 16, expected > 16);
    }
    ck_assert_uint_le(n_vain, 11);
}
END_TEST

START_TEST(test_they_leave)
{
    struct company c = {0};
    groups_of(&c, 16, 40);
    company_learn(&c, 1, true);
    ck_assert_uint_eq(company_expected(&c), 1);
    company_learn(&c, 1, false);
    ck_assert_uint_eq(company_expected(&c), 1);
    ck_assert_uint_eq(groups_of(&c, 16, 400), 16); // and come again
}
END_TEST

CHECK_MAIN("store/company", test_one_is_alone, test_a_chance_meeting, test_sixteen_are_found,
           test_they_leave)
