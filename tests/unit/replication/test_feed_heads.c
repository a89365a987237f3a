// SPDX-License-Identifier: Apache-2.0
// replication/feed_heads, and what a reader does with them: whoever leaves out an entry and moves
// the reader past it is caught (design section 9).
#include "replication/feed_heads.h"

#include "base/err.h"
#include "replication/cursor.h"
#include "tests/support/check_main.h"
#include "tests/unit/replication/feed_fixture.h"

static struct topology *t;
static struct feed_rules rules;
static struct arena arena;
static const uint8_t zero[ENTRY_HASH_BYTES];

// A reader that has read nothing, in southeastasia, which shares both registries with eastus.
static void begin(void)
{
    t = fixture_topology();
    ck_assert_ptr_nonnull(t);
    fixture_rules(t, &rules);
    rules.self = topology_region(t, "southeastasia");
    ck_assert_int_eq(feed_heads_new(&rules.said), 0);
    ck_assert_int_eq(feed_heads_new(&rules.held), 0);
    rules.strict = true; // as a relay is read
    for (int i = 0; i < 2; i++) {
        struct head_row row = {0};
        snprintf(row.registry, sizeof row.registry, "%s", i ? "fabrikam" : "contoso");
        ck_assert_int_eq(feed_heads_set(rules.held, &row), 0);
    }
    arena_init(&arena, 0);
}

static void end(void)
{
    feed_heads_free(rules.said);
    feed_heads_free(rules.held);
    arena_done(&arena);
    snapshot_unref(t);
}

static int take(const struct buf *b, const char **out_why)
{
    struct feed_line l;
    *out_why = NULL;
    int rc = feed_line_accept(&rules, bytes_of(b->p, b->n - 1), &arena, &l, out_why);
    return rc ? rc : (int)l.kind;
}

static int take_entry(const struct feed_entry *e)
{
    const char *why;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    ck_assert_int_eq(entry_format(e, &b), 0);
    return take(&b, &why);
}

static int take_progress(const struct feed_progress *p, const char **why)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    ck_assert_int_eq(feed_progress_format(p, &b), 0);
    return take(&b, why);
}

// A line with all rows of `h`, signed at that place.
static int take_heads(const struct feed_heads *h, const struct feed_mark *at, const char **why)
{
    struct head_row rows[8];
    uint8_t sig[ENTRY_SIG_BYTES];
    size_t n = feed_heads_count(h);
    for (size_t i = 0; i < n; i++)
        rows[i] = *feed_heads_at(h, i);
    fixture_heads_sign(h, at, sig);
    const struct feed_progress p = {.at = at,
                                    .topology_version = 5,
                                    .caught_up = true,
                                    .heads = rows,
                                    .n_heads = n,
                                    .heads_sig = sig,
                                    .heads_key = "eastus-feed-1"};
    return take_progress(&p, why);
}

static void row_of(const struct feed_entry *e, struct feed_heads *h)
{
    struct head_row row;
    ck_assert(head_row_of(e, &row));
    ck_assert_int_eq(feed_heads_set(h, &row), 0);
}

// contoso 1 and 2, then fabrikam 1, then contoso 3: the origin's feed, and its heads at the end.
static struct feed_heads *feed_make(struct feed_entry e[4])
{
    struct feed_heads *h = NULL;
    fixture_entry2(1, zero, "contoso", 1, NULL, &arena, &e[0]);
    fixture_entry2(2, e[0].hash, "contoso", 2, &e[0], &arena, &e[1]);
    fixture_entry2(3, e[1].hash, "fabrikam", 1, NULL, &arena, &e[2]);
    fixture_entry2(4, e[2].hash, "contoso", 3, &e[1], &arena, &e[3]);
    ck_assert_int_eq(feed_heads_new(&h), 0);
    for (int i = 0; i < 4; i++)
        row_of(&e[i], h);
    return h;
}

START_TEST(rows_are_kept_in_the_order_of_keys)
{
    struct feed_heads *h = NULL;
    ck_assert_int_eq(feed_heads_new(&h), 0);
    for (unsigned i = 0; i < FEED_HEADS_MAX; i++) {
        struct head_row row = {.seq = i};
        snprintf(row.registry, sizeof row.registry, "r%04u", i * 1217 % FEED_HEADS_MAX);
        ck_assert_int_eq(feed_heads_set(h, &row), 0);
    }
    struct head_row row = {.registry = "more"};
    ck_assert_int_eq(feed_heads_set(h, &row), ERR_TOOBIG);
    ck_assert_uint_eq(feed_heads_count(h), FEED_HEADS_MAX);
    for (size_t i = 1; i < FEED_HEADS_MAX; i++)
        ck_assert_int_lt(strcmp(feed_heads_at(h, i - 1)->registry, feed_heads_at(h, i)->registry),
                         0);
    ck_assert_uint_eq(feed_heads_get(h, "r1217")->seq, 1);
    ck_assert_ptr_null(feed_heads_get(h, "more"));
    struct head_row again = {.registry = "r1217", .seq = 7};
    ck_assert_int_eq(feed_heads_set(h, &again), 0);
    ck_assert_uint_eq(feed_heads_get(h, "r1217")->seq, 7);
    ck_assert_uint_eq(feed_heads_count(h), FEED_HEADS_MAX);
    feed_heads_free(h);
}
END_TEST

START_TEST(a_whole_stretch_proves_itself)
{
    struct feed_entry e[4];
    begin();
    struct feed_heads *h = feed_make(e);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(take_entry(&e[i]), FEED_ENTRY);
        ck_assert(mark_equal(&rules.proven, &rules.last));
    }
    const char *why;
    struct feed_mark at = entry_mark(&e[3]);
    const struct feed_progress p = {.at = &at, .topology_version = 5, .caught_up = true};
    ck_assert_int_eq(take_progress(&p, &why), FEED_PROGRESS);
    ck_assert_uint_eq(rules.proven.seq, 4);
    feed_heads_free(h);
    end();
}
END_TEST

// The entry that is left out is a DELETE, say: the tombstone of a tag.
START_TEST(a_relay_that_leaves_out_an_entry_moves_no_mark)
{
    struct feed_entry e[4];
    const char *why;
    begin();
    struct feed_heads *h = feed_make(e);
    struct feed_mark at = entry_mark(&e[3]);
    ck_assert_int_eq(take_entry(&e[0]), FEED_ENTRY);
    ck_assert_int_eq(take_entry(&e[2]), FEED_ENTRY); // contoso's second was left out
    ck_assert_uint_eq(rules.proven.seq, 1);
    // it says only that it is behind: nothing proves it
    const struct feed_progress more = {.at = &at, .topology_version = 5};
    ck_assert_int_eq(take_progress(&more, &why), FEED_PROGRESS);
    ck_assert_uint_eq(rules.proven.seq, 1);
    const struct feed_progress all = {.at = &at, .topology_version = 5, .caught_up = true};
    ck_assert_int_eq(take_progress(&all, &why), ERR_GAP);
    // what the origin signed there tells that something is missing
    ck_assert_int_eq(take_heads(h, &at, &why), ERR_GAP);
    ck_assert_ptr_nonnull(strstr(why, "contoso: 1 came, and its signed heads say 3"));
    ck_assert_uint_eq(rules.proven.seq, 1);
    feed_heads_free(h);
    end();
}
END_TEST

START_TEST(signed_heads_close_a_hole)
{
    struct feed_entry e[4];
    const char *why;
    begin();
    struct feed_heads *h = feed_make(e), *own = NULL;
    // a reader that shares contoso alone
    ck_assert_int_eq(feed_heads_new(&own), 0);
    struct head_row row = {.registry = "contoso"};
    ck_assert_int_eq(feed_heads_set(own, &row), 0);
    feed_heads_free(rules.held);
    rules.held = own;
    ck_assert_int_eq(take_entry(&e[0]), FEED_ENTRY);
    ck_assert_int_eq(take_entry(&e[1]), FEED_ENTRY);
    ck_assert_int_eq(take_entry(&e[3]), FEED_ENTRY);
    ck_assert_uint_eq(rules.proven.seq, 2);
    struct feed_mark at = entry_mark(&e[3]);
    ck_assert_int_eq(take_heads(h, &at, &why), FEED_PROGRESS);
    ck_assert_uint_eq(rules.proven.seq, 4);
    feed_heads_free(h);
    end();
}
END_TEST

// Heads of another place, of other rows, of another signer.
START_TEST(heads_are_believed_only_as_they_were_signed)
{
    for (int i = 0; i < 5; i++) {
        struct feed_entry e[4];
        const char *why;
        begin();
        struct feed_heads *h = feed_make(e);
        struct feed_mark at = entry_mark(&e[3]);
        ck_assert_int_eq(take_entry(&e[0]), FEED_ENTRY);
        ck_assert_int_eq(take_entry(&e[2]), FEED_ENTRY);
        struct head_row rows[2] = {*feed_heads_get(h, "contoso"), *feed_heads_get(h, "fabrikam")};
        uint8_t sig[ENTRY_SIG_BYTES];
        struct feed_progress p = {.at = &at,
                                  .topology_version = 5,
                                  .heads = rows,
                                  .n_heads = 2,
                                  .heads_sig = sig,
                                  .heads_key = "eastus-feed-1"};
        fixture_heads_sign(h, &at, sig);
        if (i == 0)
            rows[0].seq = 1;
        if (i == 1)
            p.n_heads = 1;
        if (i == 2)
            p.heads_key = "westeurope-feed-1";
        if (i == 3)
            p.heads_key = "nobody";
        if (i == 4)
            at.hash[0] ^= 1;
        ck_assert_int_eq(take_progress(&p, &why), ERR_AUTH);
        ck_assert_uint_eq(rules.proven.seq, 1);
        feed_heads_free(h);
        end();
    }
}
END_TEST

START_TEST(heads_must_speak_of_each_registry_that_is_read)
{
    struct feed_entry e[4];
    const char *why;
    begin();
    struct feed_heads *h = feed_make(e), *part = NULL;
    ck_assert_int_eq(feed_heads_new(&part), 0);
    ck_assert_int_eq(feed_heads_set(part, feed_heads_get(h, "fabrikam")), 0);
    struct feed_mark at = entry_mark(&e[3]);
    ck_assert_int_eq(take_entry(&e[2]), FEED_ENTRY);
    ck_assert_int_eq(take_heads(part, &at, &why), ERR_GAP);
    ck_assert_ptr_nonnull(strstr(why, "contoso"));
    feed_heads_free(part);
    feed_heads_free(h);
    end();
}
END_TEST

// The origin lost entry 3, which was read here, and goes on from entry 2 in a new epoch.
START_TEST(a_new_epoch_may_go_on_from_an_earlier_entry)
{
    struct feed_entry e[4], other;
    begin();
    struct feed_heads *h = feed_make(e);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(take_entry(&e[i]), FEED_ENTRY);
    fixture_entry2(1, e[2].hash, "contoso", 3, &e[1], &arena, &other);
    other.epoch = 2;
    other.stamp = 5000;
    other.tag = "v3";
    other.body = (struct bytes){0};
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    ck_assert_int_eq(entry_body_make(&other, &b), 0);
    other.body = bytes_of(b.p, b.n);
    fixture_sign(e[2].hash, 1, &other);
    ck_assert_int_eq(take_entry(&other), FEED_ENTRY);
    ck_assert_uint_eq(feed_heads_get(rules.held, "contoso")->epoch, 2);
    row_of(&other, h);
    const char *why;
    struct feed_mark at = entry_mark(&other);
    ck_assert_int_eq(take_heads(h, &at, &why), FEED_PROGRESS);
    feed_heads_free(h);
    end();
}
END_TEST

// An origin of version 1 says nothing of heads, and is believed as before.
START_TEST(an_origin_of_version_1_is_read_as_before)
{
    struct feed_entry e[4];
    const char *why;
    begin();
    struct feed_heads *h = feed_make(e);
    rules.strict = false;
    ck_assert_int_eq(take_entry(&e[0]), FEED_ENTRY);
    struct feed_mark at = entry_mark(&e[3]);
    const struct feed_progress p = {.at = &at, .topology_version = 5, .caught_up = true};
    ck_assert_int_eq(take_progress(&p, &why), FEED_PROGRESS);
    ck_assert_uint_eq(rules.proven.seq, 4);
    const struct feed_progress said = {.at = &at, .topology_version = 5, .speaks = 2};
    ck_assert_int_eq(take_progress(&said, &why), FEED_PROGRESS);
    ck_assert(rules.strict);
    feed_heads_free(h);
    end();
}
END_TEST

CHECK_MAIN("replication/feed_heads", rows_are_kept_in_the_order_of_keys,
           a_whole_stretch_proves_itself, a_relay_that_leaves_out_an_entry_moves_no_mark,
           signed_heads_close_a_hole, heads_are_believed_only_as_they_were_signed,
           heads_must_speak_of_each_registry_that_is_read,
           a_new_epoch_may_go_on_from_an_earlier_entry, an_origin_of_version_1_is_read_as_before)
