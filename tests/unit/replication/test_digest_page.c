// SPDX-License-Identifier: Apache-2.0
// Answers to questions about digests: what is written reads back; what is out of order, of something
// else than was asked for, too much or malformed is refused.
#include "replication/digest_page.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "tests/support/check_main.h"
#include "tests/unit/replication/feed_fixture.h"

static struct arena a;
static struct buf out;

static void begin(void)
{
    arena_init(&a, 0);
    buf_init(&out, 0);
}

static void end(void)
{
    arena_done(&a);
    buf_done(&out);
}

static const struct shown_subject tag_b = {.kind = SUBJECT_TAG, .tag = "b"};
static const struct shown_subject tag_c = {.kind = SUBJECT_TAG, .tag = "c"};

START_TEST(questions_are_paths)
{
    static const struct {
        struct digest_ask ask;
        const char *path;
    } rows[] = {
        {{.registry = "contoso@4"}, "/replication/v1/digests?registry=contoso@4"},
        {{.registry = "c", .after_name = "a/b"}, "/replication/v1/digests?registry=c&after=a/b"},
        {{.registry = "c", .repository = "app"},
         "/replication/v1/digests?registry=c&repository=app"},
        {{.registry = "c", .repository = "app", .after = &tag_b, .sums = true},
         "/replication/v1/digests?registry=c&repository=app&after=tag:b&sums=1"},
        {{.registry = "c", .repository = "app", .subject = &tag_c},
         "/replication/v1/digests?registry=c&repository=app&subject=tag:c"},
    };
    begin();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        buf_clear(&out);
        ck_assert_int_eq(digest_ask_format(&rows[i].ask, &out), 0);
        ck_assert_str_eq(buf_cstr(&out), rows[i].path);
    }
    end();
}
END_TEST

START_TEST(lists_read_back)
{
    struct digest_repository list[] = {{.name = "b/x", .whole = true, .sum = {.n = 3}},
                                       {.name = "c", .sum = {.n = 2001}}};
    const struct digest_repositories r = {.list = list, .n = 2, .next = "c"};
    const struct digest_ask repositories = {.registry = "c", .after_name = "b"};
    struct shown_item items[] = {{.subject = tag_b}, {.subject = tag_c}};
    const struct digest_subjects s = {.list = items, .n = 2, .next = tag_c};
    const struct digest_ask subjects = {.registry = "c", .repository = "app"};
    const struct digest_subjects sum = {.sum = {.n = 7}, .at_end = true};
    const struct digest_ask sums = {.registry = "c", .repository = "app", .sums = true};
    struct digest_repositories r2;
    struct digest_subjects s2;
    const char *why = NULL;
    begin();
    memset(list[0].sum.b, 0xa5, SHA256_BYTES);
    memset(items[1].hash, 0x5a, SHA256_BYTES);
    ck_assert_int_eq(digest_repositories_format(&repositories, &r, &out), 0);
    ck_assert_int_eq(
        digest_repositories_parse(&repositories, bytes_of(out.p, out.n), &a, &r2, &why), 0);
    ck_assert_uint_eq(r2.n, 2);
    ck_assert(shown_sum_equal(&r2.list[0].sum, &list[0].sum) && r2.list[0].whole);
    ck_assert(!r2.list[1].whole && r2.list[1].sum.n == 2001);
    ck_assert_str_eq(r2.next, "c");
    buf_clear(&out);
    ck_assert_int_eq(digest_subjects_format(&subjects, &s, &out), 0);
    ck_assert_int_eq(digest_subjects_parse(&subjects, bytes_of(out.p, out.n), &a, &s2, &why), 0);
    ck_assert(s2.n == 2 && !s2.at_end && !shown_subject_order(&s2.next, &tag_c));
    ck_assert_mem_eq(s2.list[1].hash, items[1].hash, SHA256_BYTES);
    buf_clear(&out);
    ck_assert_int_eq(digest_subjects_format(&sums, &sum, &out), 0);
    ck_assert_int_eq(digest_subjects_parse(&sums, bytes_of(out.p, out.n), &a, &s2, &why), 0);
    ck_assert(s2.at_end && s2.sum.n == 7 && !s2.n);
    end();
}
END_TEST

// An entry of eastus, chained to nothing.
static struct feed_entry entry_of(const char *repository)
{
    struct feed_entry e = {.origin = "eastus",
                           .epoch = 1,
                           .seq = 1,
                           .stamp = 77,
                           .kind = ENTRY_TAG,
                           .registry = "contoso",
                           .repository = repository,
                           .tag = "b",
                           .media_type = "",
                           .key = "eastus-feed-1"};
    const uint8_t none[ENTRY_HASH_BYTES] = {0};
    digest_of(DIGEST_SHA256, "x", 1, &e.digest);
    fixture_sign(none, 1, &e);
    return e;
}

START_TEST(a_subject_reads_back_with_its_entries)
{
    const struct digest_ask ask = {.registry = "contoso", .repository = "app", .subject = &tag_b};
    struct feed_entry e[] = {entry_of("app"), entry_of("app")};
    const struct differ_place places[] = {{"eastus", {.epoch = 1, .seq = 9}}};
    const struct differ_told told = {.look = {.text = "tag b\nvalue \"x\"\n",
                                              .open = true,
                                              .agrees = true,
                                              .entries = e,
                                              .n = 2},
                                     .places = places,
                                     .n_places = 1,
                                     .floor = INT64_MAX};
    struct differ_told back;
    const char *why = NULL;
    begin();
    ck_assert_int_eq(digest_subject_format(&ask, &told, &out), 0);
    ck_assert_int_eq(digest_subject_parse(&ask, bytes_of(out.p, out.n), &a, &back, &why), 0);
    ck_assert_str_eq(back.look.text, told.look.text);
    ck_assert(back.look.open && back.look.agrees && back.look.n == 2);
    ck_assert_str_eq(back.look.entries[1].origin, "eastus");
    ck_assert_uint_eq(back.places[0].applied.seq, 9);
    ck_assert_uint_eq(back.floor, INT64_MAX);
    for (size_t n = 0; n < out.n; n++) // cut off anywhere it is none
        ck_assert_int_eq(digest_subject_parse(&ask, bytes_of(out.p, n), &a, &back, &why),
                         ERR_PROTO);
    buf_str(&out, "{}\n");
    ck_assert_int_eq(digest_subject_parse(&ask, bytes_of(out.p, out.n), &a, &back, &why),
                     ERR_PROTO);
    e[1] = entry_of("other");
    buf_clear(&out);
    ck_assert_int_eq(digest_subject_format(&ask, &told, &out), 0);
    ck_assert_int_eq(digest_subject_parse(&ask, bytes_of(out.p, out.n), &a, &back, &why),
                     ERR_PROTO);
    end();
}
END_TEST

#define H "0000000000000000000000000000000000000000000000000000000000000000"
#define R "{\"digests\":1,\"registry\":\"c\","
#define S R "\"repository\":\"app\","

START_TEST(hostile_answers_are_refused)
{
    static const char *const repositories[] = {
        "",
        "[]",
        "{}",
        "{\"digests\":2,\"registry\":\"c\",\"repositories\":[],\"next\":\"\"}",
        "{\"digests\":1,\"registry\":\"d\",\"repositories\":[],\"next\":\"\"}",
        R "\"repositories\":[]}",
        R "\"repositories\":{},\"next\":\"\"}",
        R "\"repositories\":[[\"b\",1,\"" H "\"]],\"next\":\"\"}", // not behind what was asked for
        R "\"repositories\":[[\"d\",1,\"" H "\"],[\"c\",1,\"" H "\"]],\"next\":\"\"}",
        R "\"repositories\":[[\"../c\",1,\"" H "\"]],\"next\":\"\"}",
        R "\"repositories\":[[\"c\",-1,\"" H "\"]],\"next\":\"\"}",
        R "\"repositories\":[[\"c\",1,\"00\"]],\"next\":\"\"}",
        R "\"repositories\":[[\"c\",1,\"" H "\",1]],\"next\":\"\"}",
        R "\"repositories\":[],\"next\":\"b\"}", // it would go on for ever
        R "\"repositories\":[[\"d\",1,\"" H "\"]],\"next\":\"c\"}",
        R "\"repositories\":[],\"next\":\"\",\"next\":\"\"}"};
    static const char *const subjects[] = {
        S "\"subjects\":[]}",
        S "\"subjects\":[[\"tag:b\",\"" H "\"]],\"next\":\"\"}",
        S "\"subjects\":[[\"tag:d\",\"" H "\"],[\"tag:c\",\"" H "\"]],\"next\":\"\"}",
        S "\"subjects\":[[\"manifest:sha256:" H "\",\"" H "\"]],\"next\":\"\"}",
        S "\"subjects\":[[\"blob:x\",\"" H "\"]],\"next\":\"\"}",
        S "\"subjects\":[[\"tag:c\",\"" H "\"]],\"next\":\"tag:b\"}",
        S "\"subjects\":[],\"next\":\"tag:b\"}",
        S "\"subjects\":[],\"next\":\"x\"}",
        R "\"subjects\":[],\"next\":\"\"}"};
    static const char *const sums[] = {S "\"count\":-1,\"digest\":\"" H "\",\"next\":\"\"}",
                                       S "\"count\":2001,\"digest\":\"" H "\",\"next\":\"\"}",
                                       S "\"count\":1,\"digest\":\"\",\"next\":\"\"}",
                                       S "\"count\":1,\"next\":\"\"}"};
    const struct digest_ask r = {.registry = "c", .after_name = "b"};
    struct digest_ask s = {.registry = "c", .repository = "app", .after = &tag_b};
    struct digest_repositories list;
    struct digest_subjects page;
    begin();
    for (size_t i = 0; i < ARRAY_LEN(repositories); i++) {
        const char *why = NULL;
        ck_assert_msg(digest_repositories_parse(&r, bytes_str(repositories[i]), &a, &list, &why) ==
                          ERR_PROTO,
                      "%s", repositories[i]);
        ck_assert_ptr_nonnull(why);
    }
    for (size_t i = 0; i < ARRAY_LEN(subjects); i++) {
        const char *why = NULL;
        ck_assert_msg(digest_subjects_parse(&s, bytes_str(subjects[i]), &a, &page, &why) ==
                          ERR_PROTO,
                      "%s", subjects[i]);
        ck_assert_ptr_nonnull(why);
    }
    s.sums = true;
    for (size_t i = 0; i < ARRAY_LEN(sums); i++) {
        const char *why = NULL;
        ck_assert_msg(digest_subjects_parse(&s, bytes_str(sums[i]), &a, &page, &why) == ERR_PROTO,
                      "%s", sums[i]);
    }
    end();
}
END_TEST

START_TEST(more_rows_than_are_allowed_are_refused)
{
    const struct digest_ask ask = {.registry = "c"};
    struct digest_repositories list;
    const char *why = NULL;
    begin();
    buf_str(&out, R "\"repositories\":[");
    for (unsigned i = 0; i <= DIGEST_LIST_MAX; i++)
        buf_printf(&out, "%s[\"r%05u\",1,\"" H "\"]", i ? "," : "", i);
    buf_str(&out, "],\"next\":\"\"}");
    ck_assert_int_eq(digest_repositories_parse(&ask, bytes_of(out.p, out.n), &a, &list, &why),
                     ERR_PROTO);
    end();
}
END_TEST

CHECK_MAIN("replication/digest_page", questions_are_paths, lists_read_back,
           a_subject_reads_back_with_its_entries, hostile_answers_are_refused,
           more_rows_than_are_allowed_are_refused)
