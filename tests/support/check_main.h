// SPDX-License-Identifier: Apache-2.0
// The frame of a Check program: every case is forked, a failed one fails the run.
//
//   START_TEST(test_name) { … } END_TEST
//   CHECK_MAIN("base/bytes", test_name, test_other)
//
// A case that hangs is ended after CASE_LIMIT_S, and named; on a busy machine, with sanitizers, some
// take more than a minute. The run is closed by Check's own line. CK_FORK=no in the environment runs
// without forking (sanitizers, debugger).
#ifndef MERIDIAN_TESTS_CHECK_MAIN_H
#define MERIDIAN_TESTS_CHECK_MAIN_H

#include <check.h>
#include <stdlib.h>

#define CASE_LIMIT_S 240

#define CHECK_MAIN(name, ...)                                       \
    int main(void)                                                  \
    {                                                               \
        const TTest *const tests[] = {__VA_ARGS__};                 \
        Suite *s = suite_create(name);                              \
        TCase *tc = tcase_create(name);                             \
        tcase_set_timeout(tc, CASE_LIMIT_S);                        \
        for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) \
            tcase_add_test(tc, tests[i]);                           \
        suite_add_tcase(s, tc);                                     \
        SRunner *r = srunner_create(s);                             \
        srunner_run_all(r, CK_ENV);                                 \
        int failed = srunner_ntests_failed(r);                      \
        srunner_free(r);                                            \
        return failed ? 1 : 0;                                      \
    }

#endif
