// SPDX-License-Identifier: Apache-2.0
// auth/audit: each event is one whole line of JSON, whatever the disk does; the file rotates, is
// opened again, survives kills and truncation; strangers cannot flood it; an auditor sees his own
// registry's lines, page by page.
#include "auth/audit_priv.h"

#include "base/clock.h"
#include "base/clock_test.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "net/refusals.h"
#include "tests/support/check_main.h"
#include "tests/support/wait_for.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FLUSH_MS 5000

static char dir[32], path[64];

static void setup(void)
{
    strcpy(dir, "/tmp/meridian-audit-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/audit.log", dir);
}

static void teardown(void)
{
    ck_assert_int_eq(dir_remove_tree(dir), 0);
}

static struct audit *start(uint64_t max_bytes, unsigned keep)
{
    struct audit *a;
    const struct audit_options o = {
        .path = path, .max_bytes = max_bytes, .keep = keep, .region = "eastus", .stamp = "eus-1"};
    ck_assert_int_eq(audit_start(&o, NULL, &a), 0);
    return a;
}

static void push(struct audit *a, const char *registry, unsigned i)
{
    char reference[32];
    snprintf(reference, sizeof reference, "v%u", i);
    audit_write(a, &(struct audit_event){.what = "push",
                                         .outcome = "done",
                                         .registry = registry,
                                         .repository = "team/app",
                                         .reference = reference,
                                         .principal = "ada"});
}

// Whole lines of JSON in a file; *out_torn: lines that are none.
static unsigned lines_of(const char *name, unsigned *out_torn)
{
    AUTO_BUF struct buf text;
    unsigned n = 0;
    buf_init(&text, 0);
    *out_torn = 0;
    if (file_read(name, 512 << 20, &text))
        return 0;
    const char *p = buf_cstr(&text), *end;
    for (; *p; p = end + 1) {
        end = strchr(p, '\n');
        if (!end)
            end = p + strlen(p) - 1;
        json_t *o = json_loadb(p, (size_t)(end - p), 0, NULL);
        if (json_is_object(o))
            n++;
        else
            ++*out_torn;
        json_decref(o);
    }
    return n;
}

static unsigned whole_lines(const char *name)
{
    unsigned torn, n = lines_of(name, &torn);
    ck_assert_uint_eq(torn, 0);
    return n;
}

static struct audit_status status_of(const struct audit *a)
{
    struct audit_status s;
    audit_status(a, &s);
    return s;
}

START_TEST(a_line_is_json_whatever_the_values_hold)
{
    char line[AUDIT_LINE_MAX], evil[400];
    memset(evil, '"', sizeof evil - 1);
    evil[sizeof evil - 1] = 0;
    struct digest d;
    digest_of(DIGEST_SHA256, "x", 1, &d);
    struct audit_event e = {.what = "push",
                            .outcome = "done",
                            .principal = "ada\",\"registry\":\"other",
                            .registry = "contoso",
                            .repository = "a\\b",
                            .reference = "tab\tnewline\n\xff\x7f",
                            .digest = &d,
                            .code = "DENIED",
                            .why = "no",
                            .detail = evil,
                            .request_id = "0a1b"};
    ck_assert_int_eq(ip_parse("10.0.0.9", &e.client), 0);
    size_t n = audit_line_format(&e, 0, 1764408055123, "eastus", "eus-1", line);
    ck_assert_uint_eq(n, strlen(line));
    ck_assert_int_eq(line[n - 1], '\n');
    json_t *o = json_loadb(line, n - 1, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(o);
    ck_assert_str_eq(json_string_value(json_object_get(o, "time")), "2025-11-29T09:20:55.123Z");
    ck_assert_str_eq(json_string_value(json_object_get(o, "registry")), "contoso");
    ck_assert_str_eq(json_string_value(json_object_get(o, "principal")),
                     "ada\",\"registry\":\"other");
    ck_assert_str_eq(json_string_value(json_object_get(o, "client")), "10.0.0.9");
    ck_assert_str_eq(json_string_value(json_object_get(o, "region")), "eastus");
    ck_assert_uint_eq(json_string_length(json_object_get(o, "detail")), AUDIT_VALUE_MAX);
    json_decref(o);
    // all values as long as they get: still a whole line, with what says most
    memset(evil, '\x01', sizeof evil - 1);
    e.principal = e.repository = e.reference = e.why = e.code = e.detail = evil;
    n = audit_line_format(&e, 7, 1764408055123, "eastus", "eus-1", line);
    ck_assert_uint_lt(n, AUDIT_LINE_MAX);
    o = json_loadb(line, n - 1, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(o);
    ck_assert_str_eq(json_string_value(json_object_get(o, "registry")), "contoso");
    json_decref(o);
}
END_TEST

START_TEST(events_are_lines_of_a_file_that_only_its_owner_reads)
{
    setup();
    struct stat st;
    audit_write(NULL, &(struct audit_event){.what = "push", .outcome = "done"});
    struct audit *a = start(0, 0);
    for (unsigned i = 0; i < 1000; i++)
        push(a, "contoso", i);
    ck_assert_int_eq(audit_flush(a, FLUSH_MS), 0);
    ck_assert_uint_eq(whole_lines(path), 1000);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    ck_assert_uint_eq(status_of(a).n_written, 1000);
    push(a, "contoso", 1000);
    audit_stop(a); // writes what waits
    ck_assert_uint_eq(whole_lines(path), 1001);
    teardown();
}
END_TEST

START_TEST(a_full_file_becomes_an_older_one)
{
    setup();
    char name[80];
    struct audit *a = start(4096, 3);
    for (unsigned i = 0; i < 400; i++) {
        push(a, "contoso", i);
        if (i % 10 == 9)
            ck_assert_int_eq(audit_flush(a, FLUSH_MS), 0);
    }
    audit_stop(a);
    unsigned n = whole_lines(path);
    for (unsigned i = 1; i <= 3; i++) {
        struct stat st;
        snprintf(name, sizeof name, "%s.%u", path, i);
        ck_assert_int_eq(stat(name, &st), 0);
        ck_assert_int_le(st.st_size, 4096);
        n += whole_lines(name);
    }
    ck_assert_uint_gt(n, 60);
    snprintf(name, sizeof name, "%s.4", path);
    ck_assert_int_ne(access(name, F_OK), 0);
    teardown();
}
END_TEST

// In a restart the new process writes beside the old one: what one renames the other leaves.
START_TEST(two_processes_lose_no_line_between_them)
{
    setup();
    char name[80];
    struct audit *a = start(4096, 200), *b = start(4096, 200);
    for (unsigned i = 0; i < 300; i++) {
        push(a, "contoso", i);
        push(b, "contoso", i);
        if (i % 7 == 0)
            ck_assert_int_eq(audit_flush(a, FLUSH_MS) | audit_flush(b, FLUSH_MS), 0);
    }
    audit_stop(a);
    audit_stop(b);
    unsigned n = 0;
    for (unsigned i = 0; i <= 200; i++) {
        snprintf(name, sizeof name, i ? "%s.%u" : "%s", path, i);
        if (!access(name, F_OK))
            n += whole_lines(name);
    }
    ck_assert_uint_eq(n, 600);
    teardown();
}
END_TEST

START_TEST(a_file_that_was_moved_is_begun_anew_on_demand)
{
    setup();
    char moved[80];
    struct audit *a = start(0, 0);
    push(a, "contoso", 1);
    ck_assert_int_eq(audit_flush(a, FLUSH_MS), 0);
    snprintf(moved, sizeof moved, "%s.moved", path);
    ck_assert_int_eq(rename(path, moved), 0);
    audit_reopen(a);
    push(a, "contoso", 2);
    ck_assert_int_eq(audit_flush(a, FLUSH_MS), 0);
    ck_assert_uint_eq(whole_lines(moved), 1);
    ck_assert_uint_eq(whole_lines(path), 1);
    audit_stop(a);
    teardown();
}
END_TEST

START_TEST(a_truncated_file_is_written_on_from_its_beginning)
{
    setup();
    struct audit *a = start(0, 0);
    push(a, "contoso", 1);
    ck_assert_int_eq(audit_flush(a, FLUSH_MS), 0);
    ck_assert_int_eq(truncate(path, 0), 0);
    push(a, "contoso", 2);
    ck_assert_int_eq(audit_flush(a, FLUSH_MS), 0);
    ck_assert_uint_eq(whole_lines(path), 1);
    audit_stop(a);
    teardown();
}
END_TEST

START_TEST(a_torn_line_spoils_no_other)
{
    setup();
    static const char torn[] = "{\"time\":\"2026-11-29T09:20";
    unsigned n_torn;
    ck_assert_int_eq(file_write_atomic(path, torn, sizeof torn - 1, 0600), 0);
    struct audit *a = start(0, 0);
    push(a, "contoso", 1);
    audit_stop(a);
    ck_assert_uint_eq(lines_of(path, &n_torn), 1);
    ck_assert_uint_eq(n_torn, 1);
    teardown();
}
END_TEST

START_TEST(a_kill_costs_a_moment_and_tears_one_line_at_most)
{
    setup();
    unsigned n_torn;
    pid_t child = fork();
    if (child == 0) {
        struct audit *a = start(0, 0);
        for (unsigned i = 0;; i++) {
            push(a, "contoso", i);
            if (i % 1000 == 0)
                (void)audit_flush(a, FLUSH_MS);
        }
    }
    ck_assert_int_gt(child, 0);
    int64_t until = clock_mono_ms() + 10000;
    struct stat st = {0};
    while (stat(path, &st) || st.st_size < 200 << 10)
        ck_assert_int_lt(clock_mono_ms(), until);
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    struct audit *a = start(0, 0);
    unsigned before = lines_of(path, &n_torn);
    push(a, "contoso", 1);
    audit_stop(a);
    ck_assert_uint_eq(lines_of(path, &n_torn), before + 1);
    ck_assert_uint_le(n_torn, 1);
    teardown();
}
END_TEST

static void file_size_limit(rlim_t bytes)
{
    struct rlimit l = {bytes, RLIM_INFINITY};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &l), 0);
}

START_TEST(lines_wait_while_the_disk_takes_none)
{
    setup();
    unsigned n_torn;
    signal(SIGXFSZ, SIG_IGN);
    file_size_limit(5000); // ends inside a line
    struct audit *a = start(0, 0);
    for (unsigned i = 0; i < 100; i++)
        push(a, "contoso", i);
    ck_assert_int_eq(audit_flush(a, 300), ERR_TIMEOUT);
    WAIT_FOR(status_of(a).error != 0, 20000);
    ck_assert_uint_eq(status_of(a).n_lost, 0);
    file_size_limit(RLIM_INFINITY);
    ck_assert_int_eq(audit_flush(a, FLUSH_MS), 0);
    ck_assert_int_eq(status_of(a).error, 0);
    audit_stop(a);
    ck_assert_uint_eq(lines_of(path, &n_torn), 100); // each whole, and once
    ck_assert_uint_le(n_torn, 1);
    teardown();
}
END_TEST

START_TEST(what_does_not_fit_in_memory_is_lost_and_said_so)
{
    setup();
    unsigned n_torn;
    signal(SIGXFSZ, SIG_IGN);
    file_size_limit(0);
    struct audit *a = start(0, 0);
    unsigned n = 0;
    while (status_of(a).n_lost < 10)
        push(a, "contoso", n++);
    ck_assert_int_gt(status_of(a).lost_at_ms, 0);
    file_size_limit(RLIM_INFINITY);
    ck_assert_int_eq(audit_flush(a, FLUSH_MS), 0);
    audit_stop(a);
    ck_assert_uint_eq(lines_of(path, &n_torn), n - 10 + 1); // and the line that tells of them
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    ck_assert_int_eq(file_read(path, 512 << 20, &text), 0);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&text), "\"what\":\"lost\""));
    ck_assert_ptr_nonnull(strstr(buf_cstr(&text), "\"n\":10}"));
    teardown();
}
END_TEST

START_TEST(strangers_cannot_flood_it)
{
    setup();
    struct audit *a = start(0, 0);
    struct audit_event e = {.what = "refusal", .outcome = "refused", .stranger = true};
    clock_virtual_set(1764408055123);
    ck_assert_int_eq(ip_parse("10.0.0.9", &e.client), 0);
    for (unsigned i = 0; i < 1000; i++)
        audit_write(a, &e);
    ck_assert_uint_eq(status_of(a).n_left_out, 1000 - REFUSALS_BURST);
    for (unsigned i = 0; i < 100; i++)
        push(a, "contoso", i); // who is known is always written
    e.stranger = false;
    audit_write(a, &e); // and his refusals have an account of their own
    audit_stop(a);
    clock_virtual_off();
    // and a line that says how many were left out
    ck_assert_uint_eq(whole_lines(path), REFUSALS_BURST + 100 + 1 + 1);
    teardown();
}
END_TEST

// The references of a page, "v9 v8", oldest last.
static void page_is(struct audit *a, const struct audit_ask *ask, char *next, const char *want)
{
    struct audit_page page;
    AUTO_BUF struct buf text, got;
    buf_init(&text, 0);
    buf_init(&got, 0);
    ck_assert_int_eq(audit_read(a, ask, &page), 0);
    buf_printf(&text, "[%s]", buf_cstr(&page.lines));
    json_t *list = json_loads(buf_cstr(&text), 0, NULL), *o;
    ck_assert_ptr_nonnull(list);
    ck_assert_uint_eq(json_array_size(list), page.n);
    size_t i;
    json_array_foreach(list, i, o)
    {
        ck_assert_str_eq(json_string_value(json_object_get(o, "registry")), ask->registry);
        buf_printf(&got, "%s%s", i ? " " : "", json_string_value(json_object_get(o, "reference")));
    }
    ck_assert_str_eq(buf_cstr(&got), want);
    strcpy(next, page.next);
    json_decref(list);
    audit_page_done(&page);
}

START_TEST(an_auditor_reads_the_lines_of_his_registry_newest_first)
{
    setup();
    char next[AUDIT_CURSOR_SIZE];
    struct audit *a = start(0, 0);
    for (unsigned i = 0; i < 5; i++) {
        push(a, "contoso", i);
        push(a, "fabrikam", 100 + i);
        push(a, "contoso2", 200 + i);
    }
    struct audit_ask ask = {.registry = "contoso", .n = 3};
    page_is(a, &ask, next, "v4 v3 v2");
    char cursor[AUDIT_CURSOR_SIZE];
    strcpy(cursor, next);
    push(a, "contoso", 9); // what is new moves no page
    ask.cursor = cursor;
    page_is(a, &ask, next, "v1 v0");
    ck_assert_str_eq(next, "");
    ask = (struct audit_ask){.registry = "nobody", .n = 10};
    page_is(a, &ask, next, "");
    struct audit_page page;
    ask.cursor = "zz";
    ck_assert_int_eq(audit_read(a, &ask, &page), ERR_INVAL);
    audit_page_done(&page);
    ask.cursor = "1-1";
    ck_assert_int_eq(audit_read(a, &ask, &page), ERR_NOTFOUND);
    audit_page_done(&page);
    audit_stop(a);
    teardown();
}
END_TEST

START_TEST(pages_go_on_through_older_files)
{
    setup();
    char next[AUDIT_CURSOR_SIZE] = "", cursor[AUDIT_CURSOR_SIZE], want[16];
    struct audit *a = start(2000, 50);
    for (unsigned i = 0; i < 200; i++) {
        push(a, "contoso", i);
        ck_assert_int_eq(audit_flush(a, FLUSH_MS), 0);
    }
    for (unsigned i = 200; i-- > 0;) {
        struct audit_ask ask = {.registry = "contoso", .n = 1};
        strcpy(cursor, next);
        if (*cursor)
            ask.cursor = cursor;
        snprintf(want, sizeof want, "v%u", i);
        page_is(a, &ask, next, want);
        if (i)
            ck_assert_str_ne(next, "");
    }
    audit_stop(a);
    teardown();
}
END_TEST

START_TEST(what_is_no_line_of_ours_is_passed_over)
{
    setup();
    char next[AUDIT_CURSOR_SIZE];
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    buf_str(&text, "{\"time\":\"2026-11-29T09:20:55.123Z\",\"what\":\"push\",\"registry\":"
                   "\"contoso\",\"reference\":\"good\"}\n"
                   "{\"time\":\"2026-11-29T09:20:55.123Z\",\"what\":\"push\",\"registry\":"
                   "\"contoso\",\"refe\n\n"
                   "{\"time\":\"2026-11-29T09:20:55.123Z\",\"reference\":\"x\",\"why\":{"
                   "\"a\":1,\"registry\":\"contoso\"}}\n");
    for (unsigned i = 0; i < 200000; i++) // longer than a block
        buf_u8(&text, 'x');
    buf_str(&text, "\n{\"time\":\"2026-11-29T09:20:56.000Z\",\"what\":\"push\",\"registry\":"
                   "\"contoso\",\"reference\":\"later\"}\n{\"time\":\"2026-11");
    ck_assert_int_eq(file_write_atomic(path, text.p, text.n, 0600), 0);
    struct audit *a = start(0, 0);
    struct audit_ask ask = {.registry = "contoso", .n = 10};
    page_is(a, &ask, next, "later good");
    ck_assert_str_eq(next, "");
    audit_stop(a);
    teardown();
}
END_TEST

START_TEST(a_time_bounds_the_page)
{
    setup();
    static const char *const bad[] = {"yesterday", "2026-11-29", "2026-11-29T09:20:55",
                                      "2026-11-29T09:20:55.12Z", "2026-11-29T09:20:55.123Zx"};
    char next[AUDIT_CURSOR_SIZE];
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    for (unsigned i = 0; i < 60; i++)
        buf_printf(&text,
                   "{\"time\":\"2026-11-29T09:20:%02u.500Z\",\"what\":\"push\",\"registry\":"
                   "\"contoso\",\"reference\":\"v%u\"}\n",
                   i, i);
    ck_assert_int_eq(file_write_atomic(path, text.p, text.n, 0600), 0);
    struct audit *a = start(0, 0);
    struct audit_ask ask = {.registry = "contoso", .n = 10, .since = "2026-11-29T09:20:57Z"};
    page_is(a, &ask, next, "v59 v58 v57");
    ask.since = "2026-11-29T09:20:57.501Z";
    page_is(a, &ask, next, "v59 v58");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct audit_page page;
        ask.since = bad[i];
        ck_assert_int_eq(audit_read(a, &ask, &page), ERR_INVAL);
        audit_page_done(&page);
    }
    audit_stop(a);
    teardown();
}
END_TEST

CHECK_MAIN("auth/audit", a_line_is_json_whatever_the_values_hold,
           events_are_lines_of_a_file_that_only_its_owner_reads, a_full_file_becomes_an_older_one,
           two_processes_lose_no_line_between_them, a_file_that_was_moved_is_begun_anew_on_demand,
           a_truncated_file_is_written_on_from_its_beginning, a_torn_line_spoils_no_other,
           a_kill_costs_a_moment_and_tears_one_line_at_most, lines_wait_while_the_disk_takes_none,
           what_does_not_fit_in_memory_is_lost_and_said_so, strangers_cannot_flood_it,
           an_auditor_reads_the_lines_of_his_registry_newest_first, pages_go_on_through_older_files,
           what_is_no_line_of_ours_is_passed_over, a_time_bounds_the_page)
