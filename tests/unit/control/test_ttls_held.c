// SPDX-License-Identifier: Apache-2.0
// control/ttls_held: every entry whose frame shortens the TTLs says in the ledger what they were, at
// every region, be it a change or a takeover; no other entry does.
#include "control/ttls_held.h"

#include "control/frame.h"
#include "tests/support/check_main.h"
#include "tests/unit/control/fleet.h"

#include <string.h>

static struct small_fleet *fl;

static void begin(void)
{
    fl = small_fleet_new(2);
    small_fleet_start(fl, 0);
    small_fleet_start(fl, 1);
}

// The frame in force at node 0 with other TTLs of regional names, the longest that there are.
static void frame_of(const char *regional, struct buf *out)
{
    AUTO_BUF struct buf now;
    struct topology *t = snapshot_get(&fl->nodes[0].tcell);
    buf_init(&now, 0);
    ck_assert_int_eq(frame_text(t, &now), 0);
    const char *text = buf_cstr(&now), *had = strstr(text, "ttl:");
    buf_add(out, text, had ? (size_t)(had - text) : now.n);
    buf_printf(out, "ttl: { regional: %s, data: 10s }\n", regional);
    snapshot_unref(t);
}

static void ttl(const char *regional)
{
    AUTO_BUF struct buf frame;
    struct control_place p;
    buf_init(&frame, 0);
    frame_of(regional, &frame);
    const struct control_draft d = {.frame = bytes_of(frame.p, frame.n)};
    ck_assert_int_eq(control_feed_append(fl->nodes[0].feed, &d, &fl->nodes[0].diag, &p), 0);
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
}

static bool count_one(void *ctx, const char *key, const char *value)
{
    (void)key;
    (void)value;
    ++*(unsigned *)ctx;
    return true;
}

static unsigned count(size_t node)
{
    unsigned n = 0;
    control_feed_records(fl->nodes[node].feed, TTLS_HELD_PREFIX, count_one, &n);
    return n;
}

static void expect(uint64_t version, const char *value)
{
    for (size_t i = 0; i < 2; i++) {
        AUTO_BUF struct buf text;
        char key[64];
        buf_init(&text, 0);
        snprintf(key, sizeof key, TTLS_HELD_PREFIX "%llu", (unsigned long long)version);
        ck_assert_int_eq(control_feed_record(fl->nodes[i].feed, key, &text), 0);
        ck_assert_str_eq(buf_cstr(&text), value);
    }
}

START_TEST(a_frame_that_shortens_ttls_says_what_they_were)
{
    begin();
    ttl("500s"); // 300 before
    ck_assert_uint_eq(count(1), 0);
    ttl("600s");
    ck_assert_uint_eq(count(1), 0);
    ttl("40s");
    ck_assert_uint_eq(count(1), 1);
    expect(small_fleet_version(fl, 0), "{\"seconds\":600}");
    ttl("30s");
    ck_assert_uint_eq(count(1), 2);
    expect(small_fleet_version(fl, 0), "{\"seconds\":40}");
    small_fleet_free(fl);
}
END_TEST

// Of denials, whatever becomes of the names' TTLs.
START_TEST(so_does_one_that_shortens_the_negative_ttl)
{
    begin();
    ttl("300s, negative: 900s");
    ck_assert_uint_eq(count(1), 0);
    ttl("300s, negative: 20s");
    expect(small_fleet_version(fl, 0), "{\"negative\":900,\"seconds\":300}");
    ttl("200s, negative: 30s");
    expect(small_fleet_version(fl, 0), "{\"seconds\":300}");
    ck_assert_uint_eq(count(1), 2);
    small_fleet_free(fl);
}
END_TEST

START_TEST(a_takeover_may_shorten_them_too)
{
    AUTO_BUF struct buf frame, draft, line;
    struct control_place p;
    buf_init(&frame, 0);
    buf_init(&draft, 0);
    buf_init(&line, 0);
    begin();
    ttl("600s");
    frame_of("50s", &frame);
    const struct control_takeover t = {.region = "westus", .frame = bytes_of(frame.p, frame.n)};
    ck_assert_int_eq(control_feed_takeover_draft(fl->nodes[1].feed, &t, &fl->nodes[1].diag, &draft),
                     0);
    ck_assert_int_eq(control_entry_sign(bytes_of(draft.p, draft.n), fl->root, NULL, &line), 0);
    ck_assert_int_eq(control_feed_signed(fl->nodes[1].feed, bytes_of(line.p, line.n), NULL, &p), 0);
    ck_assert_int_eq(small_fleet_pass(fl, 1, 0), 0);
    ck_assert_uint_eq(count(0), 1);
    expect(small_fleet_version(fl, 1), "{\"seconds\":600}");
    // one that leaves them says nothing
    ck_assert_int_eq(small_fleet_takeover(fl, 0, 0), 0);
    ck_assert_uint_eq(count(0), 1);
    small_fleet_free(fl);
}
END_TEST

CHECK_MAIN("control/ttls_held", a_frame_that_shortens_ttls_says_what_they_were,
           so_does_one_that_shortens_the_negative_ttl, a_takeover_may_shorten_them_too)
