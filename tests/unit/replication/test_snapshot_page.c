// SPDX-License-Identifier: Apache-2.0
// replication/snapshot_page: what a joining region believes of a page, and how pages are written.
#include "replication/snapshot_page.h"

#include "base/err.h"
#include "base/mem.h"
#include "replication/cursor.h"
#include "tests/support/check_main.h"
#include "tests/unit/replication/feed_fixture.h"

static struct topology *t;
static struct page_rules rules;
static struct arena arena;
static struct feed_entry entries[3]; // of a chain; the place of the snapshot is the third
static const uint8_t zero[ENTRY_HASH_BYTES];
static const char *why;

static void again(void)
{
    rules = (struct page_rules){.registry = "contoso", .first = true};
    fixture_rules(t, &rules.feed);
}

static void begin(void)
{
    t = fixture_topology();
    ck_assert_ptr_nonnull(t);
    arena_init(&arena, 0);
    again();
    for (int i = 0; i < 3; i++)
        fixture_entry2((uint64_t)i + 1, i ? entries[i - 1].hash : zero, "contoso", (uint64_t)i + 1,
                       i ? &entries[i - 1] : NULL, &arena, &entries[i]);
}

static void end(void)
{
    arena_done(&arena);
    snapshot_unref(t);
}

#define HEX16(c) c c c c c c c c c c c c c c c c
#define ZEROS HEX16("0000")

static int text(const char *s, struct page_line *out)
{
    size_t n = strlen(s);
    if (n && s[n - 1] == '\n')
        n--;
    int rc = snapshot_line_accept(&rules, bytes_of(s, n), &arena, out, &why);
    ck_assert(rc == 0 || why);
    return rc;
}

static struct page_head head_of_page(void)
{
    struct page_head h = {.origin = "eastus",
                          .registry = "contoso",
                          .at = entry_mark(&entries[2]),
                          .topology = 5,
                          .first = true,
                          .chain_seq = 3,
                          .of = 12};
    entry_body_hash(&entries[2], h.chain_hash);
    return h;
}

static int head(const struct page_head *h)
{
    struct page_line l;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    ck_assert_int_eq(snapshot_head_format(h, &b), 0);
    int rc = text(buf_cstr(&b), &l);
    if (!rc) {
        ck_assert_int_eq(l.kind, SNAPSHOT_HEAD);
        ck_assert(mark_equal(&l.head.at, &h->at));
        ck_assert_uint_eq(l.head.topology, h->topology);
        ck_assert_uint_eq(l.head.of, h->first ? h->of : 0);
        ck_assert_uint_eq(rules.of, l.head.of);
    }
    return rc;
}

static int entry(const struct feed_entry *e)
{
    struct page_line l;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    ck_assert_int_eq(entry_format(e, &b), 0);
    int rc = text(buf_cstr(&b), &l);
    if (!rc) {
        ck_assert_int_eq(l.kind, SNAPSHOT_ENTRY);
        ck_assert_uint_eq(l.entry.seq, e->seq);
    }
    return rc;
}

static int foot(uint64_t n, uint64_t looked, const char *next)
{
    struct page_line l;
    const struct page_foot f = {n, looked, next};
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    ck_assert_int_eq(snapshot_foot_format(&f, &b), 0);
    int rc = text(buf_cstr(&b), &l);
    if (!rc) {
        ck_assert_int_eq(l.kind, SNAPSHOT_FOOT);
        ck_assert_uint_eq(l.foot.looked, looked);
        ck_assert_str_eq(l.foot.next, next);
    }
    return rc;
}

START_TEST(a_page_is_taken_whole)
{
    begin();
    struct page_head h = head_of_page();
    ck_assert_int_eq(head(&h), 0);
    ck_assert_int_eq(entry(&entries[2]), 0); // the chain's end first, then by register
    ck_assert_int_eq(entry(&entries[0]), 0);
    ck_assert(!rules.ended);
    ck_assert_int_eq(foot(2, 7, "abc"), 0);
    ck_assert(rules.ended);
    ck_assert_int_eq(entry(&entries[1]), ERR_PROTO); // behind the foot
    again();                                         // a later page, at a place that was said
    struct feed_mark at = h.at;
    rules.at = &at;
    rules.first = h.first = false;
    ck_assert_int_eq(head(&h), 0);
    ck_assert_int_eq(entry(&entries[1]), 0);
    ck_assert_int_eq(foot(1, 1, ""), 0);
    end();
}
END_TEST

START_TEST(lines_out_of_place_are_refused)
{
    begin();
    struct page_head h = head_of_page();
    ck_assert_int_eq(entry(&entries[2]), ERR_PROTO); // no head
    ck_assert_int_eq(foot(0, 0, ""), ERR_PROTO);
    ck_assert_int_eq(head(&h), 0);
    ck_assert_int_eq(head(&h), ERR_PROTO);           // a second one
    ck_assert_int_eq(foot(0, 0, ""), ERR_PROTO);     // the chain's end did not come
    ck_assert_int_eq(entry(&entries[1]), ERR_PROTO); // nor is it this one
    ck_assert_int_eq(entry(&entries[2]), 0);
    ck_assert_int_eq(foot(2, 2, ""), ERR_PROTO); // another number
    ck_assert_int_eq(foot(1, 2, "a b"), ERR_PROTO);
    ck_assert_int_eq(foot(1, 2, ""), 0);
    again();
    rules.first = h.first = false;
    ck_assert_int_eq(head(&h), 0);
    ck_assert_int_eq(foot(0, 0, "abc"), ERR_PROTO); // it would never end
    ck_assert_int_eq(foot(0, 9, "abc"), 0);
    end();
}
END_TEST

START_TEST(a_page_of_something_else_is_refused)
{
    begin();
    struct page_head h = head_of_page();
    h.origin = "southeastasia";
    ck_assert_int_eq(head(&h), ERR_PROTO);
    h = head_of_page();
    h.registry = "fabrikam";
    ck_assert_int_eq(head(&h), ERR_PROTO);
    h = head_of_page();
    h.first = false; // without the chain's end
    ck_assert_int_eq(head(&h), ERR_PROTO);
    h = head_of_page();
    h.chain_seq = 0; // with a hash of nothing
    ck_assert_int_eq(head(&h), ERR_PROTO);
    struct feed_mark at = entry_mark(&entries[1]);
    h = head_of_page();
    rules.at = &at;
    ck_assert_int_eq(head(&h), ERR_PROTO);
    struct page_line l;
    rules.at = NULL;
    ck_assert_int_eq(
        text("{\"snapshot\":2,\"origin\":\"eastus\",\"registry\":\"contoso\",\"at\":\"\","
             "\"topology\":5,\"chain\":[\"0\",\"\"]}",
             &l),
        ERR_PROTO);
    ck_assert(!rules.begun);
    // how much there is may be left out, and is no lie
    static const char form[] =
        "{\"snapshot\":1,\"origin\":\"eastus\",\"registry\":\"contoso\",\"at\":\"\","
        "\"topology\":5,\"chain\":[\"0\",\"" ZEROS "\"]%s}";
    char line[400];
    static const char *const bad[] = {",\"of\":-1", ",\"of\":\"7\"", ",\"of\":1.5"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(line, sizeof line, form, bad[i]);
        ck_assert_int_eq(text(line, &l), ERR_PROTO);
    }
    snprintf(line, sizeof line, form, "");
    ck_assert_int_eq(text(line, &l), 0);
    ck_assert_uint_eq(rules.of, 0);
    end();
}
END_TEST

START_TEST(an_entry_that_is_not_of_the_snapshot_is_refused)
{
    struct feed_entry e;
    begin();
    struct page_head h = head_of_page();
    h.at = entry_mark(&entries[1]);
    h.chain_seq = 2;
    entry_body_hash(&entries[1], h.chain_hash);
    ck_assert_int_eq(head(&h), 0);
    ck_assert_int_eq(entry(&entries[1]), 0);
    ck_assert_int_eq(entry(&entries[2]), ERR_PROTO); // behind the place
    fixture_entry2(2, zero, "contoso", 2, &entries[0], &arena, &e);
    ck_assert_int_eq(entry(&e), ERR_PROTO); // another one at the place
    fixture_entry2(1, zero, "fabrikam", 1, NULL, &arena, &e);
    ck_assert_int_eq(entry(&e), ERR_PROTO); // of another registry
    e = entries[0];
    e.sig[5] ^= 1;
    ck_assert_int_eq(entry(&e), ERR_AUTH);
    e = entries[0];
    e.key = "westeurope-feed-1"; // a key of another region
    ck_assert_int_eq(entry(&e), ERR_AUTH);
    rules.feed.limit = entries[0].stamp - 1;
    ck_assert_int_eq(entry(&entries[0]), ERR_AHEAD);
    rules.feed.limit = 0;
    ck_assert_uint_eq(rules.n_entries, 1);
    struct feed_revocation v = {.key = "eastus-feed-1", .epoch = 1, .seq = 2};
    struct region *origin = (struct region *)rules.feed.origin; // of the topology that begin() made
    origin->revoked = &v;
    origin->n_revoked = 1;
    ck_assert_int_eq(entry(&entries[0]), ERR_AUTH);
    rules.feed.vouched = true; // and so taken, up to the place of the revocation
    v.seq = 0;
    ck_assert_int_eq(entry(&entries[0]), ERR_AUTH);
    v.seq = 1;
    memcpy(v.hash, zero, sizeof v.hash);
    ck_assert_int_eq(entry(&entries[0]), ERR_AUTH); // another entry there
    v.seq = 2;
    ck_assert_int_eq(entry(&entries[0]), 0);
    origin->revoked = NULL;
    origin->n_revoked = 0;
    ck_assert_int_eq(entry(&entries[0]), 0);
    end();
}
END_TEST

START_TEST(a_page_is_bounded)
{
    begin();
    struct page_head h = head_of_page();
    struct page_line l;
    ck_assert_int_eq(head(&h), 0);
    ck_assert_int_eq(entry(&entries[2]), 0);
    for (int i = 1; i < SNAPSHOT_ENTRIES_MAX; i++)
        ck_assert_int_eq(entry(&entries[0]), 0); // what comes again does no harm
    ck_assert_int_eq(entry(&entries[0]), ERR_PROTO);
    AUTO_FREE char *longer = mem_zalloc(SNAPSHOT_LINE_MAX + 2);
    memset(longer, ' ', SNAPSHOT_LINE_MAX + 1);
    ck_assert_int_eq(text(longer, &l), ERR_PROTO);
    end();
}
END_TEST

static void expect_next(const struct snapshot_at *at)
{
    char out[SNAPSHOT_NEXT_SIZE];
    struct snapshot_at back;
    ck_assert_int_eq(snapshot_next_format(at, out), 0);
    ck_assert(snapshot_next_ok(out));
    ck_assert_int_eq(snapshot_next_parse(out, &arena, &back), 0);
    ck_assert_str_eq(back.repository, at->repository);
    ck_assert_str_eq(back.tag, at->tag);
    ck_assert(digest_equal(&back.digest, &at->digest));
    ck_assert(back.nth == at->nth && back.epoch == at->epoch && back.seq == at->seq);
}

static int next_raw(const char *raw)
{
    char out[SNAPSHOT_NEXT_SIZE];
    struct snapshot_at at;
    b64url_format(raw, strlen(raw), out);
    return snapshot_next_parse(out, &arena, &at);
}

START_TEST(where_a_page_ends_reads_back)
{
    char repository[256], tag[129];
    struct snapshot_at at = {.repository = "", .tag = ""};
    begin();
    expect_next(&at); // entries about a whole registry
    memset(repository, 'a', 255);
    repository[255] = '\0';
    memset(tag, 'T', 128);
    tag[128] = '\0';
    at = (struct snapshot_at){.repository = repository,
                              .nth = SNAPSHOT_KINDS - 1,
                              .tag = tag,
                              .epoch = INT64_MAX,
                              .seq = INT64_MAX};
    ck_assert_int_eq(digest_of(DIGEST_SHA512, "x", 1, &at.digest), 0);
    expect_next(&at);
    ck_assert_int_eq(next_raw("1\napp\n4\nv1\n\n1\n7\n"), 0);
    static const char *const none[] = {
        "",
        "2\napp\n4\nv1\n\n1\n7\n",
        "1\nApp\n4\nv1\n\n1\n7\n",
        "1\napp\n8\nv1\n\n1\n7\n",
        "1\napp\n04\nv1\n\n1\n7\n",
        "1\napp\n4\n-v1\n\n1\n7\n",
        "1\napp\n4\nv1\nsha256:00\n1\n7\n",
        "1\napp\n4\nv1\n\n1\n-7\n",
        "1\napp\n4\nv1\n\n1\n7",
        "1\napp\n4\nv1\n\n1\n7\n\n",
        "1\napp\n4\nv1\n\n1\n9999999999999999999\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        ck_assert_msg(next_raw(none[i]) == ERR_INVAL, "%zu", i);
    ck_assert(!snapshot_next_ok("a=b") && !snapshot_next_ok("a b"));
    end();
}
END_TEST

CHECK_MAIN("replication/snapshot_page", a_page_is_taken_whole, lines_out_of_place_are_refused,
           a_page_of_something_else_is_refused, an_entry_that_is_not_of_the_snapshot_is_refused,
           a_page_is_bounded, where_a_page_ends_reads_back)
