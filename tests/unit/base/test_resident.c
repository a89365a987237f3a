// SPDX-License-Identifier: Apache-2.0
#include "base/resident.h"

#include "tests/support/check_main.h"

#include <string.h>

static const char constant[8192] = "kept in the file";
static char written[8192] = "kept in memory";

START_TEST(what_is_used_again_is_there_again)
{
    memcpy(written, "changed", 8);
    for (int i = 0; i < 3; i++) {
        resident_release();
        ck_assert_str_eq(constant, "kept in the file");
        ck_assert_str_eq(written, "changed");
    }
}
END_TEST

CHECK_MAIN("base/resident", what_is_used_again_is_there_again)
