// SPDX-License-Identifier: Apache-2.0
// replication/feed_line: what a reader believes of a line. Every field changed must be refused.
#include "replication/feed_line.h"

#include "base/err.h"
#include "replication/cursor.h"
#include "tests/support/check_main.h"
#include "tests/unit/replication/feed_fixture.h"
#include "tests/unit/replication/liar.h"

static struct topology *t;
static struct feed_rules rules;
static struct arena arena;
static const uint8_t zero[ENTRY_HASH_BYTES];

static void begin(void)
{
    t = fixture_topology();
    ck_assert_ptr_nonnull(t);
    fixture_rules(t, &rules);
    arena_init(&arena, 0);
}

static void end(void)
{
    arena_done(&arena);
    snapshot_unref(t);
}

static int accept_text(const char *text, size_t n, struct feed_line *out)
{
    const char *why = NULL;
    if (n && text[n - 1] == '\n')
        n--;
    struct feed_mark before = rules.last;
    int rc = feed_line_accept(&rules, bytes_of(text, n), &arena, out, &why);
    if (rc) {
        ck_assert_ptr_nonnull(why);
        ck_assert(mark_equal(&before, &rules.last)); // a refused line moves nothing
    }
    return rc;
}

static int accept_entry(const struct feed_entry *e)
{
    struct buf b;
    struct feed_line l;
    buf_init(&b, 0);
    int rc = entry_format(e, &b); // much nonsense cannot even be written
    if (!rc)
        rc = accept_text(b.p, b.n, &l);
    buf_done(&b);
    return rc ? rc : (int)l.kind;
}

START_TEST(entries_in_order_are_taken)
{
    struct feed_entry e[3];
    begin();
    fixture_entry(1, zero, &e[0]);
    fixture_entry(2, e[0].hash, &e[1]);
    fixture_entry(3, e[1].hash, &e[2]);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(accept_entry(&e[i]), FEED_ENTRY);
    ck_assert_uint_eq(rules.last.seq, 3);
    ck_assert_int_eq(accept_entry(&e[2]), ERR_PROTO); // again
    ck_assert_int_eq(accept_entry(&e[0]), ERR_PROTO); // back
    end();
}
END_TEST

// A key that is revoked after its second entry: the third is void, and the second is only that one.
START_TEST(a_revoked_key_signs_nothing_more)
{
    struct feed_entry e[4], fork;
    struct feed_line l;
    struct buf b;
    begin();
    fixture_entry(1, zero, &e[0]);
    fixture_entry(2, e[0].hash, &e[1]);
    fixture_entry(3, e[1].hash, &e[2]);
    struct feed_revocation v = {.key = "eastus-feed-1", .epoch = 1, .seq = 2};
    memcpy(v.hash, e[1].hash, sizeof v.hash);
    struct region *origin = (struct region *)rules.origin; // of the topology that begin() made
    origin->revoked = &v;
    origin->n_revoked = 1;
    ck_assert_int_eq(accept_entry(&e[0]), ERR_AUTH); // nobody vouches for it, and it was not proven
    struct feed_proof *p = NULL;
    ck_assert_int_eq(feed_proof_new(origin, &rules.last, &p), 0);
    ck_assert_int_eq(feed_proof_line(p, &e[0]), 0);
    ck_assert_int_eq(feed_proof_line(p, &e[1]), 0);
    fixture_entry(1, zero, &fork);
    fork.tag = "v2";
    fixture_sign(zero, 1, &fork);
    rules.proof = p;
    rules.vouched = true; // by an origin that lies
    ck_assert_int_eq(accept_entry(&fork), ERR_AUTH);
    rules.vouched = false;
    ck_assert_int_eq(accept_entry(&e[0]), FEED_ENTRY);
    fixture_entry(2, e[0].hash, &fork);
    fork.tag = "v2";
    fixture_sign(e[0].hash, 1, &fork);
    ck_assert_int_eq(accept_entry(&fork), ERR_AUTH);
    ck_assert_int_eq(accept_entry(&e[1]), FEED_ENTRY);
    ck_assert_int_eq(accept_entry(&e[2]), ERR_AUTH);
    fixture_entry(1, e[1].hash, &e[3]);
    e[3].epoch = 2;
    e[3].stamp = 2000;
    fixture_sign(e[1].hash, 1, &e[3]);
    ck_assert_int_eq(accept_entry(&e[3]), ERR_AUTH); // nor in a later epoch
    rules.skip_void = true;
    buf_init(&b, 0);
    ck_assert_int_eq(entry_format(&e[2], &b), 0);
    ck_assert_int_eq(accept_text(b.p, b.n, &l), 0);
    ck_assert_int_eq(l.kind, FEED_VOID);
    ck_assert_uint_eq(rules.last.seq, 3); // what follows is judged from there
    buf_done(&b);
    feed_proof_free(p);
    rules.proof = NULL;
    rules.last = (struct feed_mark){0};
    rules.last_stamp = 0;
    ck_assert_int_eq(accept_entry(&e[0]), FEED_VOID); // behind a gap: not from a relay
    rules.last = (struct feed_mark){0};
    rules.last_stamp = 0;
    rules.vouched = true;
    ck_assert_int_eq(accept_entry(&e[0]), FEED_ENTRY);
    end();
}
END_TEST

START_TEST(every_changed_field_is_refused)
{
    begin();
    for (int i = 0; i < 16; i++) {
        struct feed_entry e;
        fixture_entry(4, zero, &e);
        switch (i) { // after the signature was made
        case 0:
            e.origin = "southeastasia";
            break;
        case 1:
            e.epoch = 2;
            break;
        case 2:
            e.partition = 1;
            break;
        case 3:
            e.seq = 5;
            break;
        case 4:
            e.stamp++;
            break;
        case 5:
            e.restates = 7;
            break;
        case 6:
            e.registry = "contoso2";
            break;
        case 7:
            e.repository = "team/apq";
            break;
        case 8:
            e.tag = "v2";
            break;
        case 9:
            e.digest.b[31] ^= 1;
            break;
        case 10:
            e.hash[0] ^= 1;
            break;
        case 11:
            e.sig[63] ^= 1;
            break;
        case 12:
            e.key = "eastus-feed-2";
            break; // unknown
        case 13:
            e.key = "westeurope-feed-1";
            break; // of another region
        case 14:
            memset(e.sig, 0, sizeof e.sig);
            break;
        case 15:
            fixture_sign(zero, 2, &e);
            break; // another region's key under this one's name
        }
        int rc = accept_entry(&e);
        ck_assert_msg(rc < 0, "change %d was taken", i);
    }
    end();
}
END_TEST

START_TEST(signed_nonsense_is_refused)
{
    static const char *const repositories[] = {"",       "/a",    "a/",   "a//b",  "../etc",
                                               "a/../b", "A",     "a b",  "a%2fb", "a/.b",
                                               "-a",     "a___b", "a..b", "a/-b"};
    static const char *const tags[] = {"", ".a", "-a", "a/b", "a b", "a\tb", "a?b"};
    begin();
    struct feed_entry e;
    for (size_t i = 0; i < ARRAY_LEN(repositories); i++) {
        fixture_entry(1, zero, &e);
        e.repository = repositories[i];
        fixture_sign(zero, 1, &e);
        ck_assert_msg(accept_entry(&e) < 0, "%s", repositories[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(tags); i++) {
        struct buf b;
        struct feed_line l;
        buf_init(&b, 0);
        fixture_entry(1, zero, &e);
        e.tag = tags[i];
        fixture_sign(zero, 1, &e);
        if (entry_format(&e, &b) == 0) // control bytes may already be refused there
            ck_assert_msg(accept_text(b.p, b.n, &l) < 0, "%s", tags[i]);
        buf_done(&b);
    }
    fixture_entry(0, zero, &e); // there is no entry 0
    ck_assert_int_lt(accept_entry(&e), 0);
    end();
}
END_TEST

START_TEST(stamps_and_chain_must_follow)
{
    struct feed_entry a, b;
    begin();
    fixture_entry(1, zero, &a);
    ck_assert_int_eq(accept_entry(&a), FEED_ENTRY);
    fixture_entry(2, a.hash, &b);
    b.stamp = a.stamp;
    fixture_sign(a.hash, 1, &b);
    ck_assert_int_eq(accept_entry(&b), ERR_PROTO);
    fixture_entry(2, zero, &b); // truly signed, but of another history
    ck_assert_int_eq(accept_entry(&b), ERR_PROTO);
    fixture_entry(5, zero, &b); // after a filtered stretch the chain cannot be computed
    ck_assert_int_eq(accept_entry(&b), FEED_ENTRY);
    end();
}
END_TEST

START_TEST(an_inline_manifest_must_have_its_digest_and_size)
{
    struct feed_entry e;
    begin();
    for (int i = 0; i < 3; i++) {
        rules.last = (struct feed_mark){0};
        rules.last_stamp = 0;
        fixture_entry(1, zero, &e);
        e.kind = ENTRY_MANIFEST;
        e.tag = "";
        e.media_type = "application/vnd.oci.image.manifest.v1+json";
        e.content = bytes_str("{}");
        e.size = 2;
        digest_of(DIGEST_SHA256, "{}", 2, &e.digest);
        if (i == 1)
            e.content = bytes_str("[]");
        if (i == 2)
            e.size = 3;
        fixture_sign(zero, 1, &e);
        ck_assert_msg((accept_entry(&e) == FEED_ENTRY) == (i == 0), "%d", i);
    }
    end();
}
END_TEST

START_TEST(a_registry_that_is_not_shared_is_refused_or_passed_over)
{
    struct feed_entry e;
    begin();
    fixture_entry(1, zero, &e);
    e.registry = "fabrikam";
    fixture_sign(zero, 1, &e);
    ck_assert_int_eq(accept_entry(&e), ERR_PROTO); // same topology: an offence
    rules.their_topology = 6;
    ck_assert_int_eq(accept_entry(&e), FEED_SKIPPED);
    end();
}
END_TEST

// contoso was deleted and made anew: what was written to the one before is not this one's.
START_TEST(an_entry_of_another_incarnation_is_not_shared)
{
    struct feed_entry e, next, last;
    begin();
    struct registry *reg = (struct registry *)topology_registry(t, "contoso");
    reg->incarnation = 42;
    reg->key = "contoso@42";
    fixture_entry(1, zero, &e);
    ck_assert_int_eq(accept_entry(&e), ERR_PROTO);
    rules.their_topology = 4; // of before
    ck_assert_int_eq(accept_entry(&e), FEED_SKIPPED);
    fixture_entry2(2, e.hash, "contoso@42", 1, NULL, &arena, &next);
    ck_assert_int_eq(accept_entry(&next), FEED_ENTRY);
    fixture_entry2(3, next.hash, "contoso@41", 1, NULL, &arena, &last);
    rules.their_topology = 5;
    ck_assert_int_eq(accept_entry(&last), ERR_PROTO);
    end();
}
END_TEST

START_TEST(progress_goes_up_and_says_what_it_filters)
{
    static const char *const names[] = {"contoso", "fabrikam"};
    struct feed_mark m = {.epoch = 1, .seq = 9};
    struct feed_line l;
    struct buf b;
    buf_init(&b, 0);
    begin();
    struct feed_progress p = {
        .at = &m, .topology_version = 6, .caught_up = true, .registries = names, .n_registries = 2};
    ck_assert_int_eq(feed_progress_format(&p, &b), 0);
    ck_assert_int_eq(accept_text(b.p, b.n, &l), 0);
    ck_assert_int_eq(l.kind, FEED_PROGRESS);
    ck_assert_uint_eq(l.n_registries, 2);
    ck_assert_str_eq(l.registries[1], "fabrikam");
    ck_assert(l.caught_up);
    ck_assert_uint_eq(rules.their_topology, 6);
    ck_assert_uint_eq(rules.last.seq, 9);
    ck_assert_int_eq(accept_text(b.p, b.n, &l), 0); // the same place again: quiet
    m.hash[3] = 1;
    p.registries = NULL;
    buf_clear(&b);
    feed_progress_format(&p, &b);
    ck_assert_int_eq(accept_text(b.p, b.n, &l), ERR_PROTO); // the same place with another hash
    m.seq = 8;
    buf_clear(&b);
    feed_progress_format(&p, &b);
    ck_assert_int_eq(accept_text(b.p, b.n, &l), ERR_PROTO); // back
    buf_done(&b);
    end();
}
END_TEST

// So that a later version can say more.
START_TEST(members_that_are_not_known_are_ignored)
{
    static const char line[] = "{\"progress\":\"\",\"topology\":1,\"caughtUp\":true,\"speaks\":3,"
                               "\"weather\":{\"rain\":[1]}}";
    struct feed_line l;
    begin();
    ck_assert_int_eq(accept_text(line, strlen(line), &l), 0);
    ck_assert_int_eq(l.kind, FEED_PROGRESS);
    ck_assert_uint_eq(l.speaks, 3);
    end();
}
END_TEST

START_TEST(malformed_lines_are_refused)
{
    static const char *const lines[] = {
        "",
        "{}",
        "[]",
        "null",
        "{\"progress\":",
        "{\"progress\":1}",
        "{\"progress\":\"\"}",
        "{\"progress\":\"\",\"topology\":1}",
        "{\"progress\":\"\",\"topology\":0,\"caughtUp\":true}",
        "{\"progress\":\"\",\"topology\":-1,\"caughtUp\":true}",
        "{\"progress\":\"\",\"topology\":\"1\",\"caughtUp\":true}",
        "{\"progress\":\"x\",\"topology\":1,\"caughtUp\":true}",
        "{\"progress\":\"\",\"topology\":1,\"caughtUp\":1}",
        "{\"progress\":\"\",\"topology\":1,\"caughtUp\":true,\"speaks\":0}",
        "{\"progress\":\"\",\"topology\":1,\"caughtUp\":true,\"speaks\":\"2\"}",
        "{\"progress\":\"\",\"topology\":1,\"caughtUp\":true,\"headsSig\":\"AA\"}",
        "{\"progress\":\"\",\"progress\":\"\",\"topology\":1,\"caughtUp\":true}",
        "{\"progress\":\"\",\"topology\":1,\"caughtUp\":true,\"registries\":{}}",
        "{\"progress\":\"\",\"topology\":1,\"caughtUp\":true,\"registries\":[1]}",
        "{\"progress\":\"\",\"topology\":1,\"caughtUp\":true,\"registries\":[\"NO\"]}",
        "{\"progress\":\"\",\"topology\":1,\"caughtUp\":true} x",
        "{\"v\":1}",
        "GET / HTTP/1.1"};
    struct feed_line l;
    begin();
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        ck_assert_msg(accept_text(lines[i], strlen(lines[i]), &l) == ERR_PROTO, "%s", lines[i]);
    char *big = mem_zalloc(FEED_LINE_MAX + 2);
    memset(big, ' ', FEED_LINE_MAX + 1);
    ck_assert_int_eq(accept_text(big, FEED_LINE_MAX + 1, &l), ERR_PROTO);
    free(big);
    end();
}
END_TEST

static int accept_liar(const struct feed_entry *e, struct feed_line *out)
{
    struct buf b;
    buf_init(&b, 0);
    liar_line(e, &b);
    int rc = accept_text(b.p, b.n, out);
    buf_done(&b);
    return rc;
}

// Each stamp at the second place of a stream whose first entry has 1001, with a limit of 5000.
START_TEST(stamps_are_judged)
{
    static const struct {
        uint64_t stamp, restates;
        // or kind
        int rc;
    } rows[] = {
        {1002, 0, FEED_ENTRY},
        {5000, 0, FEED_ENTRY},
        {5001, 0, ERR_AHEAD},
        {INT64_MAX - 1, 0, ERR_AHEAD},
        {INT64_MAX, 0, ERR_AHEAD},
        {1ull << 63, 0, ERR_PROTO}, // no stamp
        {UINT64_MAX, 0, ERR_PROTO},
        {0, 0, ERR_PROTO},
        {1001, 0, ERR_PROTO}, // does not go up
        {1, 0, ERR_PROTO},
        {1002, 1, FEED_ENTRY},
        {1002, 1001, FEED_ENTRY},
        {1002, 1002, FEED_MALFORMED},
        {1002, 1003, FEED_MALFORMED},
        {1002, 5001, FEED_MALFORMED},
        {1002, INT64_MAX, FEED_MALFORMED},
        {1002, 1ull << 63, ERR_PROTO},
        {5001, 1002, ERR_AHEAD},
        {5001, INT64_MAX, ERR_AHEAD}, // when its time has come it is malformed
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        begin();
        rules.limit = 5000;
        struct feed_entry a, b;
        struct feed_line l;
        fixture_entry(1, zero, &a);
        ck_assert_int_eq(accept_entry(&a), FEED_ENTRY);
        fixture_entry(2, a.hash, &b);
        b.stamp = rows[i].stamp;
        b.restates = rows[i].restates;
        fixture_sign(a.hash, 1, &b);
        int rc = accept_liar(&b, &l);
        ck_assert_msg((rc ? rc : (int)l.kind) == rows[i].rc, "row %zu: %d", i, rc);
        ck_assert_uint_eq(rules.last.seq, rc ? 1 : 2); // what is passed over moves the mark, too
        if (rc == ERR_AHEAD) {
            ck_assert_uint_eq(rules.ahead, rows[i].stamp);
            ck_assert_uint_eq(rules.ahead_at.seq, 2);
            rules.limit = INT64_MAX; // time goes by
            ck_assert_int_eq(accept_liar(&b, &l), 0);
        }
        end();
    }
}
END_TEST

// An origin that lost its log begins anew with the stamps of its clock.
START_TEST(stamps_may_go_back_with_a_new_epoch)
{
    struct feed_entry a, b;
    begin();
    fixture_entry(1, zero, &a);
    ck_assert_int_eq(accept_entry(&a), FEED_ENTRY);
    fixture_entry(1, a.hash, &b);
    b.epoch = 2;
    b.stamp = 900;
    fixture_sign(a.hash, 1, &b);
    ck_assert_int_eq(accept_entry(&b), FEED_ENTRY);
    end();
}
END_TEST

// The stretch in which the new epoch began was filtered out: only its progress line was seen.
START_TEST(stamps_may_go_back_behind_progress_into_a_new_epoch)
{
    struct feed_entry a, b;
    struct feed_line l;
    struct buf text;
    begin();
    fixture_entry(1, zero, &a);
    ck_assert_int_eq(accept_entry(&a), FEED_ENTRY);
    buf_init(&text, 0);
    const struct feed_mark at = {.epoch = 2, .seq = 1};
    const struct feed_progress p = {.at = &at, .topology_version = 6};
    feed_progress_format(&p, &text);
    ck_assert_int_eq(accept_text(text.p, text.n, &l), 0);
    buf_done(&text);
    fixture_entry(2, zero, &b);
    b.epoch = 2;
    b.stamp = 900;
    fixture_sign(at.hash, 1, &b);
    ck_assert_int_eq(accept_entry(&b), FEED_ENTRY);
    end();
}
END_TEST

CHECK_MAIN("replication/feed_line", entries_in_order_are_taken, a_revoked_key_signs_nothing_more,
           every_changed_field_is_refused, signed_nonsense_is_refused, stamps_and_chain_must_follow,
           an_inline_manifest_must_have_its_digest_and_size,
           a_registry_that_is_not_shared_is_refused_or_passed_over,
           an_entry_of_another_incarnation_is_not_shared, progress_goes_up_and_says_what_it_filters,
           members_that_are_not_known_are_ignored, malformed_lines_are_refused, stamps_are_judged,
           stamps_may_go_back_with_a_new_epoch, stamps_may_go_back_behind_progress_into_a_new_epoch)
