// SPDX-License-Identifier: Apache-2.0
// replication/holding: lines are read as they are written, and nothing else is a line.
#include "replication/holding.h"

#include "base/err.h"
#include "base/mem.h"
#include "tests/support/check_main.h"

#include <string.h>

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static int parse(const char *text, struct holding *out)
{
    const char *p = text;
    int rc = holding_parse(&p, text + strlen(text), out);
    if (!rc)
        ck_assert_str_eq(p, "");
    else
        ck_assert_ptr_eq(p, text);
    return rc;
}

START_TEST(a_line_is_read_as_it_is_written)
{
    static const char *const lines[] = {
        "blob sha256:" HEX "\n",
        "manifest sha256:" HEX "\n",
        "blob sha256:" HEX " 0\n",
        "blob sha512:" HEX HEX " 9223372036854775807\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct holding h;
        ck_assert_msg(!parse(lines[i], &h), "%s", lines[i]);
        AUTO_BUF struct buf b;
        buf_init(&b, 0);
        holding_format(&h, &b);
        ck_assert_str_eq(buf_cstr(&b), lines[i]);
    }
}
END_TEST

START_TEST(anything_else_is_refused)
{
    static const char *const lines[] = {
        "",
        "\n",
        "blob \n",
        "blob sha256:" HEX,
        "tag sha256:" HEX "\n",
        "blob  sha256:" HEX "\n",
        "blob sha256:" HEX "0\n",
        "blob md5:0123456789abcdef0123456789abcdef\n",
        "blob sha256:" HEX " \n",
        "blob sha256:" HEX " 01\n",
        "blob sha256:" HEX " -1\n",
        "blob sha256:" HEX " 1 2\n",
        "blob sha256:" HEX " 12345678901234567890\n",
        "Blob sha256:" HEX "\n",
        "blob sha256:" HEX "\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct holding h;
        ck_assert_msg(parse(lines[i], &h) == ERR_INVAL, "%s", lines[i]);
    }
}
END_TEST

CHECK_MAIN("replication/holding", a_line_is_read_as_it_is_written, anything_else_is_refused)
