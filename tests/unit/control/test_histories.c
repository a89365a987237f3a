// SPDX-License-Identifier: Apache-2.0
// control/feed over all small histories: three nodes, the writers of their own belief append, one
// hands another what it has, the root key lets one or another write, sometimes twice from places
// that differ, a node restarts, or is restored from an old copy. Histories in which a step changes
// nothing are those of a shorter one, and are left out.
//
// Whatever happens
// 1. versions never go down at a node;
// 2. two nodes at the same place have the same topology;
// 3. what a node has of the epoch in force chains to what the root key has signed;
// 4. the feed's time does not go back at a node, but with an epoch;
// and when all hand all over to each other, and the root key has spoken last, all are at one place, and
// the feed's time is right, also when a clock was ahead for a while.
#include "control/feed.h"

#include "base/clock.h"
#include "base/clock_test.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/feed_priv.h"
#include "tests/support/check_main.h"
#include "tests/unit/control/fleet.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define AHEAD_MS (2 * 3600 * 1000)
#define ROW(name) "registries: [{ name: " name ", replicas: [{ region: eastus }] }]\n"

enum move {
    APPEND,       // all who take themselves for the writer
    APPEND_AHEAD, // the same by clocks that are ahead, and nobody knows
    PASS_01,
    PASS_10,
    PASS_12,
    PASS_20,
    TAKE_1, // node 1 becomes the writer, from where it is
    TAKE_2,
    RESTORE_0, // node 0 from what it began with
    N_MOVES
};

struct history {
    struct small_fleet *fl;
    unsigned n_changes;
    uint64_t versions[3];
    int64_t times[3];
    uint64_t epochs[3];
};

static struct control_place place(struct history *h, size_t i)
{
    return small_fleet_place(h->fl, i);
}

// ---- what must hold after each step ----

static void check_versions(struct history *h)
{
    for (size_t i = 0; i < 3; i++) {
        uint64_t now = small_fleet_version(h->fl, i);
        ck_assert_uint_ge(now, h->versions[i]); // 1
        h->versions[i] = now;
    }
}

static void check_times(struct history *h)
{
    for (size_t i = 0; i < 3; i++) {
        struct control_state *s = control_feed_state(h->fl->nodes[i].feed);
        if (s->place.epoch == h->epochs[i])
            ck_assert_int_ge(s->time_ms, h->times[i]); // 4
        h->times[i] = s->time_ms;
        h->epochs[i] = s->place.epoch;
        snapshot_unref(s);
    }
}

static void check_places(struct history *h)
{
    for (size_t i = 0; i < 3; i++)
        for (size_t k = i + 1; k < 3; k++) {
            struct control_state *a = control_feed_state(h->fl->nodes[i].feed);
            struct control_state *b = control_feed_state(h->fl->nodes[k].feed);
            if (control_place_same(&a->place, &b->place))
                ck_assert(!memcmp(a->topology->content_hash, b->topology->content_hash,
                                  SHA256_BYTES)); // 2
            snapshot_unref(a);
            snapshot_unref(b);
        }
}

static void check_chain(struct history *h)
{
    for (size_t i = 0; i < 3; i++) {
        struct control_state *s = control_feed_state(h->fl->nodes[i].feed);
        struct control_place last = place(h, i);
        ck_assert(control_place_same(&s->place, &last));
        if (s->place.epoch > 1) { // 3
            ck_assert_ptr_nonnull(s->takeover);
            ck_assert(control_feed_has(h->fl->nodes[i].feed, &s->epoch_from));
        }
        snapshot_unref(s);
    }
}

// ---- steps ----

static void append(struct history *h)
{
    for (size_t i = 0; i < 3; i++) {
        char text[160];
        struct control_view v;
        control_feed_view(h->fl->nodes[i].feed, &v);
        bool writes = v.we_write;
        control_view_done(&v);
        if (!writes)
            continue;
        control_feed_confirm(h->fl->nodes[i].feed, true); // also where it should not be
        snprintf(text, sizeof text, ROW("made%zuby%u"), i, h->n_changes++);
        small_fleet_change(h->fl, i, text);
    }
}

static void append_ahead(struct history *h)
{
    clock_virtual_jump_wall(AHEAD_MS);
    append(h);
    clock_virtual_jump_wall(-AHEAD_MS);
}

static int take_base(struct history *h, size_t from, size_t to)
{
    AUTO_BUF struct buf base;
    buf_init(&base, 0);
    int rc = control_feed_base_write(h->fl->nodes[from].feed, &base);
    if (!rc)
        rc = control_feed_base_take(h->fl->nodes[to].feed, bytes_of(base.p, base.n),
                                    &h->fl->nodes[to].diag);
    return rc;
}

static void pass(struct history *h, size_t from, size_t to)
{
    int rc = small_fleet_pass(h->fl, from, to);
    if (rc == ERR_GAP || rc == ERR_GONE) {
        rc = take_base(h, from, to);
        if (!rc)
            rc = small_fleet_pass(h->fl, from, to);
    }
    bool ok = !rc || rc == ERR_CONFLICT || rc == ERR_GONE || rc == ERR_NOTFOUND ||
              rc == ERR_EXISTS || rc == ERR_GAP;
    char *why = diag_text(&h->fl->nodes[to].diag);
    ck_assert_msg(ok, "%zu to %zu: %s: %s", from, to, err_text(rc), why);
    free(why);
}

static void take_over(struct history *h, size_t i)
{
    int rc = small_fleet_takeover(h->fl, i, i);
    char *why = diag_text(&h->fl->nodes[i].diag);
    ck_assert_msg(!rc, "%s", why);
    free(why);
}

static void forget(struct history *h, size_t i)
{
    char command[400];
    small_fleet_stop(h->fl, i);
    snprintf(command, sizeof command, "%s/control", h->fl->nodes[i].state);
    ck_assert_int_eq(dir_remove_tree(command), 0);
    small_fleet_start(h->fl, i);
    h->versions[i] = 0;
    h->epochs[i] = 0;
}

static void step(struct history *h, enum move a)
{
    switch (a) {
    case APPEND:
        append(h);
        break;
    case APPEND_AHEAD:
        append_ahead(h);
        break;
    case PASS_01:
        pass(h, 0, 1);
        break;
    case PASS_10:
        pass(h, 1, 0);
        break;
    case PASS_12:
        pass(h, 1, 2);
        break;
    case PASS_20:
        pass(h, 2, 0);
        break;
    case TAKE_1:
        take_over(h, 1);
        break;
    case TAKE_2:
        take_over(h, 2);
        break;
    default:
        forget(h, 0);
    }
    for (size_t i = 0; i < 3; i++)
        feed_keeper_turn(h->fl->nodes[i].feed);
    check_versions(h);
    check_times(h);
    check_places(h);
    check_chain(h);
}

// ---- the end ----

static size_t furthest(struct history *h)
{
    size_t best = 0;
    for (size_t i = 1; i < 3; i++) {
        struct control_place a = place(h, i), b = place(h, best);
        if (control_place_compare(&a, &b) > 0)
            best = i;
    }
    return best;
}

// The root key speaks last, at the node that is furthest.
static void settle(struct history *h, const char *name)
{
    size_t at = furthest(h);
    take_over(h, at);
    feed_keeper_turn(h->fl->nodes[at].feed);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < 3; i++)
            if (i != at)
                pass(h, at, i);
    check_versions(h);
    check_times(h);
    for (size_t i = 0; i < 3; i++) {
        feed_keeper_turn(h->fl->nodes[i].feed);
        ck_assert_int_le(h->times[i] - clock_wall_ms(), CONTROL_TIME_AHEAD_MS);
        struct control_place a = place(h, i), b = place(h, at);
        char x[CONTROL_PLACE_TEXT_SIZE], y[CONTROL_PLACE_TEXT_SIZE];
        ck_assert_msg(control_place_same(&a, &b), "history %s: node %zu is at %s, not at %s", name,
                      i, control_place_format(&a, x), control_place_format(&b, y));
        ck_assert_msg(small_fleet_alarm(h->fl, i, NULL), "history %s: node %zu has an alarm", name,
                      i);
    }
    check_places(h);
}

static void begin(struct history *h)
{
    h->n_changes = 0;
    memset(h->versions, 0, sizeof h->versions);
    memset(h->epochs, 0, sizeof h->epochs);
    for (size_t i = 0; i < 3; i++) {
        char dir[400];
        snprintf(dir, sizeof dir, "%s/control", h->fl->nodes[i].state);
        small_fleet_stop(h->fl, i);
        dir_remove_tree(dir);
        small_fleet_start(h->fl, i);
        feed_keeper_turn(h->fl->nodes[i].feed);
    }
}

static bool same_places(const struct control_place *a, const struct control_place *b)
{
    for (size_t i = 0; i < 3; i++)
        if (!control_place_same(&a[i], &b[i]))
            return false;
    return true;
}

// Plays it; returns at which step nothing changed, or `n`: none.
static size_t play(struct history *h, const uint8_t *actions, size_t n)
{
    char name[32] = "";
    begin(h);
    for (size_t i = 0; i < n; i++) {
        struct control_place before[3], after[3];
        name[i] = (char)('0' + actions[i]);
        for (size_t k = 0; k < 3; k++)
            before[k] = place(h, k);
        step(h, (enum move)actions[i]);
        for (size_t k = 0; k < 3; k++)
            after[k] = place(h, k);
        if (same_places(before, after))
            return i;
    }
    settle(h, name);
    return n;
}

// The next sequence that differs at step `at` or before. False: there is none.
static bool advance(uint8_t *actions, size_t n, size_t at)
{
    for (size_t i = at + 1; i < n; i++)
        actions[i] = 0;
    for (size_t i = at + 1; i-- > 0;) {
        if (++actions[i] < N_MOVES)
            return true;
        actions[i] = 0;
    }
    return false;
}

START_TEST(all_small_histories_end_at_one_place)
{
    const char *more = getenv("CONTROL_HISTORY_STEPS");
    size_t steps = more ? (size_t)strtoul(more, NULL, 10) : 3, n_played = 0;
    struct history h = {.fl = small_fleet_new(3)};
    h.fl->no_keeper = true;
    clock_virtual_set(1780000000000);
    log_setup(LOG_ERROR, "test");
    for (size_t n = 1; n <= steps && n < 16; n++) {
        uint8_t actions[16] = {0};
        size_t at;
        do {
            at = play(&h, actions, n);
            n_played += at == n;
        } while (advance(actions, n, at < n ? at : n - 1));
    }
    ck_assert_uint_gt(n_played, 20);
    fprintf(stderr, "%zu histories\n", n_played);
    small_fleet_free(h.fl);
}
END_TEST

CHECK_MAIN("control/histories", all_small_histories_end_at_one_place)
