// SPDX-License-Identifier: Apache-2.0
// daemon/conditions: what is wrong with a node, told alike everywhere.
#include "daemon/conditions.h"

#include "base/fd.h"
#include "tests/support/check_main.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct conditions c;

// ---- the log, caught ----

static int saved_stderr;
static char log_path[] = "/tmp/meridian-conditions-XXXXXX";

static void log_catch(void)
{
    int fd = mkstemp(log_path);
    ck_assert_int_ge(fd, 0);
    saved_stderr = dup(STDERR_FILENO);
    ck_assert_int_ge(dup2(fd, STDERR_FILENO), 0);
    close(fd);
}

static unsigned log_release(char *out, size_t size)
{
    unsigned lines = 0;
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    FILE *f = fopen(log_path, "r");
    ck_assert_ptr_nonnull(f);
    size_t n = fread(out, 1, size - 1, f);
    out[n] = 0;
    fclose(f);
    unlink(log_path);
    for (const char *p = out; (p = strchr(p, '\n')); p++)
        lines++;
    return lines;
}

START_TEST(only_what_is_down_makes_the_node_down)
{
    conditions_init(&c);
    ck_assert_ptr_null(conditions_down(&c));
    condition_set(&c, CONDITION_STORE, CONDITION_WARNING, "soon full");
    ck_assert(condition_holds(&c, CONDITION_STORE));
    ck_assert_ptr_null(conditions_down(&c));
    condition_set(&c, CONDITION_STORE, CONDITION_DOWN, "full");
    ck_assert_str_eq(conditions_down(&c), "blobs cannot be written");
    condition_set(&c, CONDITION_WRITES, CONDITION_DOWN, "closed");
    ck_assert_str_eq(conditions_down(&c), "writes are closed"); // the first of the table
    condition_clear(&c, CONDITION_WRITES);
    ck_assert_ptr_null(conditions_short(&c));
    condition_set(&c, CONDITION_STORE, CONDITION_SHORT, "full");
    ck_assert_ptr_null(conditions_down(&c));
    ck_assert_str_eq(conditions_short(&c), "blobs cannot be written");
    condition_clear(&c, CONDITION_STORE);
    ck_assert_ptr_null(conditions_short(&c));
    ck_assert(!condition_holds(&c, CONDITION_STORE));
    ck_assert_ptr_null(conditions_down(&c));
}
END_TEST

START_TEST(a_change_is_logged_once)
{
    static char text[4096];
    conditions_init(&c);
    log_catch();
    condition_clear(&c, CONDITION_STORE); // was not there: nothing to say
    for (int i = 0; i < 5; i++)
        // figures waver
        condition_set(&c, CONDITION_STORE, CONDITION_WARNING, "%d bytes are free", 1000 - 300 * i);
    condition_set(&c, CONDITION_STORE, CONDITION_DOWN, "0 bytes are free");
    condition_set(&c, CONDITION_STORE, CONDITION_DOWN, "the disk is read-only");
    condition_set(&c, CONDITION_STORE, CONDITION_DOWN, "the disk is read-only");
    condition_clear(&c, CONDITION_STORE);
    condition_clear(&c, CONDITION_STORE);
    unsigned lines = log_release(text, sizeof text);
    ck_assert_msg(lines == 4, "%s", text);
    ck_assert_ptr_nonnull(strstr(text, "warn"));
    ck_assert_ptr_nonnull(strstr(text, "0 bytes are free; /healthz says down (store_unwritable)"));
    ck_assert_ptr_nonnull(strstr(text, "over: the disk is read-only (store_unwritable, since "));
}
END_TEST

START_TEST(all_are_told_with_name_severity_and_since)
{
    conditions_init(&c);
    condition_set(&c, CONDITION_TOKEN_SIGNING, CONDITION_DOWN, "no key");
    // what JSON may refuse
    condition_set(&c, CONDITION_WRITES, CONDITION_WARNING, "caf\xc3\xa9 \x80\n");
    json_t *list = conditions_json(&c);
    ck_assert_uint_eq(json_array_size(list), 2);
    const char *name, *severity, *since, *sentence;
    ck_assert_int_eq(json_unpack(json_array_get(list, 0), "{s:s, s:s, s:s, s:s}", "name", &name,
                                 "severity", &severity, "since", &since, "sentence", &sentence),
                     0);
    ck_assert_str_eq(name, "writes_closed");
    ck_assert_str_eq(severity, "warning");
    ck_assert_str_eq(sentence, "caf?? ??");
    json_decref(list);
    struct buf b;
    buf_init(&b, 1 << 16);
    conditions_metrics(&c, &b);
    const char *text = buf_cstr(&b);
    ck_assert_ptr_nonnull(
        strstr(text, "meridian_condition{name=\"tokens_unsigned\",severity=\"down\"} 1\n"));
    ck_assert_ptr_nonnull(
        strstr(text, "meridian_condition{name=\"tokens_unsigned\",severity=\"warning\"} 0\n"));
    ck_assert_ptr_nonnull(
        strstr(text, "meridian_condition{name=\"writes_closed\",severity=\"warning\"} 1\n"));
    ck_assert_ptr_nonnull(
        strstr(text, "meridian_condition{name=\"store_unwritable\",severity=\"down\"} 0\n"));
    buf_done(&b);
}
END_TEST

START_TEST(since_stays_while_it_holds)
{
    conditions_init(&c);
    condition_set(&c, CONDITION_STORE, CONDITION_WARNING, "one");
    c.states[CONDITION_STORE].since_ms = 1000;
    condition_set(&c, CONDITION_STORE, CONDITION_DOWN, "two");
    ck_assert_int_eq(c.states[CONDITION_STORE].since_ms, 1000);
    ck_assert_str_eq(c.states[CONDITION_STORE].sentence, "two");
}
END_TEST

START_TEST(a_sentence_is_cut_at_its_limit)
{
    static char longest[2 * CONDITION_SENTENCE_SIZE];
    memset(longest, 'x', sizeof longest - 1);
    conditions_init(&c);
    condition_set(&c, CONDITION_STORE, CONDITION_DOWN, "%s", longest);
    ck_assert_uint_eq(strlen(c.states[CONDITION_STORE].sentence), CONDITION_SENTENCE_SIZE - 1);
}
END_TEST

CHECK_MAIN("daemon/conditions", only_what_is_down_makes_the_node_down, a_change_is_logged_once,
           all_are_told_with_name_severity_and_since, since_stays_while_it_holds,
           a_sentence_is_cut_at_its_limit)
