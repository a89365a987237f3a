// SPDX-License-Identifier: Apache-2.0
// store/entry: the signed text is exactly as written down, lines read back as they were, bad lines
// are refused.
#include "store/entry.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/mem_test.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

#define TYPE "application/vnd.oci.image.manifest.v1+json"

static struct feed_entry manifest_entry(const char *content)
{
    struct feed_entry e = {.origin = "eastus",
                           .epoch = 3,
                           .seq = 42,
                           .stamp = 117000000000000123,
                           .kind = ENTRY_MANIFEST,
                           .registry = "contoso",
                           .repository = "team/app",
                           .tag = "",
                           .media_type = TYPE,
                           .size = strlen(content),
                           .content = bytes_str(content),
                           .key = "eastus-feed-1"};
    digest_of(DIGEST_SHA256, content, strlen(content), &e.digest);
    memset(e.hash, 0xa5, sizeof e.hash);
    memset(e.sig, 0x5a, sizeof e.sig);
    return e;
}

static struct feed_entry tag_entry(void)
{
    struct feed_entry e = manifest_entry("{}");
    e.kind = ENTRY_TAG;
    e.tag = "v1.0_x-Y";
    e.media_type = "";
    e.size = 0;
    e.content = (struct bytes){0};
    e.restates = 7;
    return e;
}

START_TEST(signed_text_is_as_written_down)
{
    struct buf b;
    buf_init(&b, 0);
    struct feed_entry e = manifest_entry("{}");
    ck_assert_int_eq(entry_signed_text(&e, &b), 0);
    ck_assert_str_eq(
        b.p,
        "meridian-feed-1\neastus\n3\n0\n42\n117000000000000123\n0\nmanifest\ncontoso\nteam/app\n\n"
        "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\n" TYPE "\n2\n");
    size_t n = b.n;
    uint8_t zero[ENTRY_HASH_BYTES] = {0}, want[ENTRY_HASH_BYTES], got[ENTRY_HASH_BYTES];
    char both[1024];
    memcpy(both, zero, 32);
    memcpy(both + 32, b.p, n);
    sha256(both, n + 32, want);
    ck_assert_int_eq(entry_hash(zero, &e, got), 0);
    ck_assert_mem_eq(got, want, sizeof want);
    buf_clear(&b);
    ck_assert_int_eq(entry_sign_input(&e, &b), 0);
    ck_assert_uint_eq(b.n, n + ENTRY_HASH_BYTES);
    ck_assert_mem_eq(b.p + n, e.hash, ENTRY_HASH_BYTES);
    e.repository = "a\nb";
    size_t before = b.n;
    ck_assert_int_eq(entry_signed_text(&e, &b), ERR_INVAL);
    ck_assert_uint_eq(b.n, before);
    buf_done(&b);
}
END_TEST

static void expect_same(const struct feed_entry *a, const struct feed_entry *b)
{
    ck_assert_str_eq(a->origin, b->origin);
    ck_assert_uint_eq(a->epoch, b->epoch);
    ck_assert_uint_eq(a->partition, b->partition);
    ck_assert_uint_eq(a->seq, b->seq);
    ck_assert_uint_eq(a->stamp, b->stamp);
    ck_assert_uint_eq(a->restates, b->restates);
    ck_assert_int_eq(a->kind, b->kind);
    ck_assert_str_eq(a->registry, b->registry);
    ck_assert_str_eq(a->repository, b->repository);
    ck_assert_str_eq(a->tag, b->tag);
    ck_assert(digest_equal(&a->digest, &b->digest));
    ck_assert_str_eq(a->media_type, b->media_type);
    ck_assert_uint_eq(a->size, b->size);
    ck_assert(bytes_equal(a->content, b->content));
    ck_assert_mem_eq(a->hash, b->hash, ENTRY_HASH_BYTES);
    ck_assert_str_eq(a->key, b->key);
    ck_assert_mem_eq(a->sig, b->sig, ENTRY_SIG_BYTES);
}

START_TEST(lines_read_back_as_they_were)
{
    static char big[ENTRY_INLINE_MAX + 1];
    memset(big, 'x', ENTRY_INLINE_MAX);
    struct feed_entry all[] = {manifest_entry("{\"a\":1}"), tag_entry(), manifest_entry("{}"),
                               manifest_entry(big)};
    all[2].content = (struct bytes){0};
    all[2].stamp = INT64_MAX;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct buf b;
        struct arena a;
        struct feed_entry back;
        buf_init(&b, 0);
        arena_init(&a, 0);
        ck_assert_int_eq(entry_format(&all[i], &b), 0);
        ck_assert_int_eq(b.p[b.n - 1], '\n');
        ck_assert_ptr_eq(memchr(b.p, '\n', b.n), b.p + b.n - 1);
        ck_assert_int_eq(entry_parse(bytes_of(b.p, b.n), &a, &back), 0);
        expect_same(&all[i], &back);
        buf_done(&b);
        arena_done(&a);
    }
}
END_TEST

START_TEST(format_refuses_what_must_not_be_in_a_feed)
{
    struct feed_entry bad[12];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        bad[i] = i < 6 ? manifest_entry("{}") : tag_entry();
    bad[0].origin = "East US";
    bad[1].registry = "x";
    bad[2].repository = "A/b";
    bad[3].media_type = "text\"";
    bad[4].size = 3;
    bad[5].seq = 0;
    bad[6].tag = "-x";
    bad[7].stamp = (uint64_t)1 << 63;
    bad[8].restates = bad[8].stamp + 1;
    bad[9].key = "a\"b";
    bad[10].kind = 3;
    bad[11].epoch = 0;
    struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(entry_format(&bad[i], &b) == ERR_INVAL, "case %zu", i);
    ck_assert_uint_eq(b.n, 0);
    buf_done(&b);
}
END_TEST

// Each: replace `from` by `to` in a good line.
START_TEST(bad_lines_are_refused)
{
    static const struct {
        const char *from, *to;
    } bad[] = {{"\"v\":1", "\"v\":2"},
               {"\"v\":1,", ""},
               {"\"epoch\":3", "\"epoch\":0"},
               {"\"epoch\":3", "\"epoch\":-3"},
               {"\"epoch\":3", "\"epoch\":\"3\""},
               {"\"seq\":42", "\"seq\":42.0"},
               {"\"seq\":42", "\"seq\":99999999999999999999"},
               {"\"partition\":0", "\"partition\":4294967296"},
               {"\"stamp\":\"1", "\"stamp\":\"01"},
               {"\"stamp\":\"1", "\"stamp\":\"+1"},
               {"\"stamp\":\"1", "\"stamp\":\"911"},
               {"\"kind\":\"manifest\"", "\"kind\":\"tag\""},
               {"\"kind\":\"manifest\"", "\"kind\":\"untag\""},
               {"\"kind\":\"manifest\"", "\"kind\":\"manifest\",\"tag\":\"x\""},
               {"\"kind\":\"manifest\"", "\"kind\":\"manifest\",\"extra\":1"},
               {"\"kind\":\"manifest\"", "\"kind\":\"manifest\",\"kind\":\"manifest\""},
               {"\"registry\":\"contoso\"", "\"registry\":\"con\""},
               {"team/app", "team//app"},
               {"team/app", "../app"},
               {"team/app", "team/app\\u0000"},
               {"team/app", "team\\napp"},
               {"sha256:", "sha512:"},
               {"sha256:4", "sha256:5"},
               {"\"size\":2", "\"size\":3"},
               {"\"content\":\"e30=\"", "\"content\":\"e30\""},
               {"\"content\":\"e30=\"", "\"content\":\"\""},
               {"\"content\":\"e30=\"", "\"content\":\"W10=\""},
               {"\"hash\":\"a5", "\"hash\":\"A5"},
               {"\"hash\":\"a5", "\"hash\":\""},
               {"\"sig\":\"W", "\"sig\":\""},
               {"\"key\":\"eastus", "\"key\":\"\\\"eastus"},
               {"}\n", "}\n{}"},
               {"}\n", ""},
               {"{\"v\"", "[{\"v\""}};
    struct buf good;
    struct feed_entry e = manifest_entry("{}"), back;
    buf_init(&good, 0);
    ck_assert_int_eq(entry_format(&e, &good), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct buf b;
        struct arena a;
        buf_init(&b, 0);
        arena_init(&a, 0);
        char *at = strstr(good.p, bad[i].from);
        ck_assert_msg(at != NULL, "case %zu", i);
        buf_add(&b, good.p, (size_t)(at - good.p));
        buf_str(&b, bad[i].to);
        buf_str(&b, at + strlen(bad[i].from));
        ck_assert_msg(entry_parse(bytes_of(b.p, b.n), &a, &back) == ERR_PROTO, "case %zu: %s", i,
                      b.p);
        buf_done(&b);
        arena_done(&a);
    }
    buf_done(&good);
}
END_TEST

START_TEST(names)
{
    static const char *const good[] = {"a", "a/b", "a-b", "a--b", "a.b", "a_b", "a__b/c0"};
    static const char *const bad[] = {"",   "A",  "a/",   "/a",   "a..b", "a___b",
                                      "-a", "a-", "a.-b", "a/-b", "a b"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        ck_assert_msg(entry_repository_ok(good[i]), "%s", good[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(!entry_repository_ok(bad[i]), "%s", bad[i]);
    char s[300];
    memset(s, 'a', sizeof s);
    s[255] = 0;
    ck_assert(entry_repository_ok(s));
    s[255] = 'a';
    s[256] = 0;
    ck_assert(!entry_repository_ok(s));
    s[128] = 0;
    ck_assert(entry_tag_ok(s));
    s[128] = 'a';
    s[129] = 0;
    ck_assert(!entry_tag_ok(s));
    ck_assert(entry_tag_ok("_x") && !entry_tag_ok(".x") && !entry_tag_ok("") &&
              !entry_tag_ok("a:b"));
}
END_TEST

START_TEST(memory_may_end_anywhere)
{
    struct buf line;
    struct feed_entry e = manifest_entry("{}"), back;
    buf_init(&line, 0);
    ck_assert_int_eq(entry_format(&e, &line), 0);
    bool done = false;
    for (long n = 1; n < 200 && !done; n++) {
        struct arena a;
        struct buf b;
        arena_init(&a, 0);
        buf_init(&b, 0);
        mem_fault_after(n);
        int rc = entry_parse(bytes_of(line.p, line.n), &a, &back);
        if (!rc)
            rc = entry_format(&back, &b);
        done = rc == 0;
        ck_assert(done || rc == ERR_NOMEM);
        mem_fault_after(0);
        buf_done(&b);
        arena_done(&a);
    }
    ck_assert(done);
    buf_done(&line);
}
END_TEST

CHECK_MAIN("store/entry", signed_text_is_as_written_down, lines_read_back_as_they_were,
           format_refuses_what_must_not_be_in_a_feed, bad_lines_are_refused, names,
           memory_may_end_anywhere)
