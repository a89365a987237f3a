// SPDX-License-Identifier: Apache-2.0
// control/feed where regions write by turns: whoever is behind, ahead in what is void, or restored
// from an old copy comes to what the root key has signed, and to nothing else.
#include "control/feed.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/topology_control.h"
#include "tests/support/check_main.h"
#include "tests/unit/control/fleet.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ROW(name) "registries: [{ name: " name ", replicas: [{ region: eastus }] }]\n"

static struct small_fleet *begun(size_t n)
{
    struct small_fleet *fl = small_fleet_new(n);
    fl->no_keeper = true; // whose checkpoints come when they will
    for (size_t i = 0; i < n; i++)
        small_fleet_start(fl, i);
    return fl;
}

static bool same_place(struct small_fleet *fl, size_t a, size_t b)
{
    struct control_place x = small_fleet_place(fl, a), y = small_fleet_place(fl, b);
    return control_place_same(&x, &y);
}

// All lines that the node has, as its log holds them.
static int everything(struct small_fleet *fl, size_t i, struct buf *out)
{
    char path[300];
    buf_clear(out);
    snprintf(path, sizeof path, "%s/control/1-0.log", fl->nodes[i].state);
    return file_read(path, 1 << 20, out);
}

static bool count_void(void *ctx, const struct control_history *h)
{
    ck_assert_ptr_nonnull(h->by);
    ++*(size_t *)ctx;
    return true;
}

static size_t voids(struct small_fleet *fl, size_t i)
{
    size_t n = 0;
    ck_assert_int_eq(control_feed_voids(fl->nodes[i].feed, count_void, &n), 0);
    return n;
}

// The old writer, cut off with node 2, goes on; the new one goes on from an earlier place.
START_TEST(what_the_old_writer_did_later_is_void)
{
    struct small_fleet *fl = begun(3);
    small_fleet_change(fl, 0, ROW("common"));
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    ck_assert_int_eq(small_fleet_pass(fl, 0, 2), 0);
    small_fleet_change(fl, 0, ROW("lostone"));
    small_fleet_change(fl, 0, ROW("losttwo"));
    ck_assert_int_eq(small_fleet_pass(fl, 0, 2), 0);
    ck_assert(small_fleet_has(fl, 2, "losttwo"));
    ck_assert_int_eq(small_fleet_takeover(fl, 1, 1), 0);
    small_fleet_change(fl, 1, ROW("newone"));
    // node 2 has more entries, and higher versions of epoch 1, and goes back
    uint64_t before = small_fleet_version(fl, 2);
    ck_assert_int_eq(small_fleet_pass(fl, 1, 2), 0);
    ck_assert(same_place(fl, 1, 2));
    ck_assert(!small_fleet_has(fl, 2, "lostone"));
    ck_assert(!small_fleet_has(fl, 2, "losttwo"));
    ck_assert(small_fleet_has(fl, 2, "common"));
    ck_assert(small_fleet_has(fl, 2, "newone"));
    ck_assert_uint_gt(small_fleet_version(fl, 2), before + CONTROL_TAKEOVER_GAP / 2);
    ck_assert_uint_ge(voids(fl, 2), 2);
    // the old writer too, by way of node 2
    ck_assert_int_eq(small_fleet_pass(fl, 2, 0), 0);
    ck_assert(same_place(fl, 0, 1));
    ck_assert_int_eq(small_fleet_try_change(fl, 0, ROW("late")), ERR_DENIED);
    // and after a restart it is all the same
    for (size_t i = 0; i < 3; i++) {
        small_fleet_stop(fl, i);
        small_fleet_start(fl, i);
        ck_assert(!small_fleet_has(fl, i, "lostone"));
        ck_assert(small_fleet_has(fl, i, "newone"));
        ck_assert(small_fleet_alarm(fl, i, NULL));
    }
    ck_assert_uint_ge(voids(fl, 2), 2);
    small_fleet_change(fl, 1, ROW("another"));
    ck_assert_int_eq(small_fleet_pass(fl, 1, 0), 0);
    small_fleet_free(fl);
}
END_TEST

START_TEST(only_the_root_key_opens_an_epoch)
{
    struct small_fleet *fl = begun(2);
    struct control_place p;
    const struct control_takeover t = {.region = "westus"};
    AUTO_BUF struct buf draft, line;
    buf_init(&draft, 0);
    buf_init(&line, 0);
    ck_assert_int_eq(control_feed_takeover_draft(fl->nodes[1].feed, &t, NULL, &draft), 0);
    // not signed at all; by another key; by a region's key under its own name
    ck_assert_int_eq(control_feed_signed(fl->nodes[1].feed, bytes_of(draft.p, draft.n), NULL, &p),
                     ERR_AUTH);
    struct signing_key *other = NULL;
    const uint8_t seed[32] = {1};
    ck_assert_int_eq(signing_key_of_seed(seed, &other), 0);
    ck_assert_int_eq(control_entry_sign(bytes_of(draft.p, draft.n), other, NULL, &line), 0);
    signing_key_free(other);
    ck_assert_int_eq(control_feed_signed(fl->nodes[1].feed, bytes_of(line.p, line.n), NULL, &p),
                     ERR_AUTH);
    size_t n;
    ck_assert_int_eq(
        control_feed_take(fl->nodes[0].feed, bytes_of(line.p, line.n), &fl->nodes[0].diag, &n),
        ERR_AUTH);
    ck_assert_uint_eq(small_fleet_version(fl, 0), 10);
    // a frame that names another writer is no change
    struct buf frame;
    buf_init(&frame, 0);
    AUTO_FREE char *text = small_fleet_document(fl, 11, "");
    char *writer = strstr(text, "writer: eastus");
    memcpy(writer, "writer: westus", 14);
    const struct control_draft d = {.frame = bytes_str(text)};
    ck_assert_int_eq(control_feed_append(fl->nodes[0].feed, &d, &fl->nodes[0].diag, &p), ERR_INVAL);
    ck_assert(small_fleet_said(&fl->nodes[0], "takeover"));
    buf_done(&frame);
    small_fleet_free(fl);
}
END_TEST

START_TEST(a_takeover_is_drafted_for_the_place_that_it_goes_on_from)
{
    struct small_fleet *fl = begun(2);
    struct control_place p;
    const struct control_takeover t = {.region = "westus"};
    AUTO_BUF struct buf draft, line;
    buf_init(&draft, 0);
    buf_init(&line, 0);
    ck_assert_int_eq(control_feed_takeover_draft(fl->nodes[1].feed, &t, NULL, &draft), 0);
    ck_assert_int_eq(control_entry_sign(bytes_of(draft.p, draft.n), fl->root, NULL, &line), 0);
    small_fleet_change(fl, 0, ROW("meanwhile"));
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    ck_assert_int_eq(
        control_feed_signed(fl->nodes[1].feed, bytes_of(line.p, line.n), &fl->nodes[1].diag, &p),
        ERR_CONFLICT);
    ck_assert(small_fleet_said(&fl->nodes[1], "draft and sign it anew"));
    ck_assert_int_eq(small_fleet_takeover(fl, 1, 1), 0);
    // who was ahead of it by nothing takes it over
    ck_assert_int_eq(small_fleet_pass(fl, 1, 0), 0);
    ck_assert(small_fleet_has(fl, 0, "meanwhile"));
    small_fleet_free(fl);
}
END_TEST

// Restored from an old copy, and the fleet asks nobody: its entries are another chain.
START_TEST(a_writer_restored_from_an_old_copy_learns_its_entries_again)
{
    struct small_fleet *fl = begun(2);
    small_fleet_change(fl, 0, ROW("oldone"));
    small_fleet_stop(fl, 0);
    char copy[300], command[800];
    snprintf(copy, sizeof copy, "%s/copy", fl->dir);
    snprintf(command, sizeof command, "cp -a %s %s", fl->nodes[0].state, copy);
    ck_assert_int_eq(system(command), 0);
    small_fleet_start(fl, 0);
    small_fleet_change(fl, 0, ROW("newone"));
    small_fleet_change(fl, 0, ROW("newtwo"));
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    small_fleet_stop(fl, 0);
    snprintf(command, sizeof command, "rm -rf %s && mv %s %s", fl->nodes[0].state, copy,
             fl->nodes[0].state);
    ck_assert_int_eq(system(command), 0);
    small_fleet_start(fl, 0);
    ck_assert(!small_fleet_has(fl, 0, "newone"));
    // it learns its own entries again from the other: nothing is lost
    ck_assert_int_eq(small_fleet_pass(fl, 1, 0), 0);
    ck_assert(small_fleet_has(fl, 0, "newtwo"));
    ck_assert(same_place(fl, 0, 1));
    small_fleet_free(fl);
}
END_TEST

// Restored, and confirmed by mistake: what it signs now stands where other entries stand.
START_TEST(another_chain_of_the_writer_is_not_applied)
{
    struct small_fleet *fl = begun(2);
    struct control_place p;
    small_fleet_change(fl, 0, ROW("oldone"));
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    small_fleet_stop(fl, 0);
    char command[400];
    snprintf(command, sizeof command, "rm -rf %s", fl->nodes[0].state);
    ck_assert_int_eq(system(command), 0);
    small_fleet_start(fl, 0);
    for (int i = 0; i < 6; i++) { // further than node 1
        char text[128];
        snprintf(text, sizeof text, ROW("twin%d"), i);
        p = small_fleet_change(fl, 0, text);
    }
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), ERR_CONFLICT);
    // whatever it is handed: an alarm, and nothing is applied
    AUTO_BUF struct buf lines;
    size_t n;
    buf_init(&lines, 0);
    struct control_place start = {.epoch = 1};
    struct control_state *s = control_feed_state(fl->nodes[1].feed);
    uint64_t version = s->topology->version;
    snapshot_unref(s);
    memcpy(start.hash, p.hash, sizeof start.hash);
    ck_assert_int_eq(control_feed_read(fl->nodes[0].feed, &start, 1 << 20, &lines), ERR_GONE);
    ck_assert_int_eq(everything(fl, 0, &lines), 0);
    ck_assert_int_eq(
        control_feed_take(fl->nodes[1].feed, bytes_of(lines.p, lines.n), &fl->nodes[1].diag, &n),
        ERR_CONFLICT);
    ck_assert_uint_eq(n, 0);
    ck_assert(small_fleet_alarm(fl, 1, "restored from an old copy"));
    ck_assert_uint_eq(small_fleet_version(fl, 1), version);
    ck_assert(!small_fleet_has(fl, 1, "twin0"));
    // a relay that only says so, without the writer's signature, raises no alarm
    ck_assert_int_eq(small_fleet_takeover(fl, 1, 1), 0);
    ck_assert(small_fleet_alarm(fl, 1, NULL));
    ck_assert_int_eq(everything(fl, 0, &lines), 0);
    char *k = strstr(lines.p, "\"g\":\"");
    ck_assert_ptr_nonnull(k);
    k[6] = k[6] == 'A' ? 'B' : 'A';
    ck_assert_int_ne(
        control_feed_take(fl->nodes[1].feed, bytes_of(lines.p, lines.n), &fl->nodes[1].diag, &n),
        0);
    ck_assert(small_fleet_alarm(fl, 1, NULL));
    small_fleet_free(fl);
}
END_TEST

START_TEST(the_writer_gets_another_key_by_the_root_key_alone)
{
    struct small_fleet *fl = begun(2);
    small_fleet_change(fl, 0, ROW("before"));
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    // its key was stolen: another one, made beside
    char dir[300];
    struct region_keys *fresh = NULL;
    snprintf(dir, sizeof dir, "%s/fresh", fl->dir);
    ck_assert_int_eq(region_keys_create(dir, "eastus", NULL), 0);
    ck_assert_int_eq(region_keys_open(dir, "eastus", NULL, &fresh), 0);
    struct region_keys *stolen = fl->nodes[0].keys;
    fl->nodes[0].keys = fresh;
    AUTO_FREE char *frame = small_fleet_document(fl, 1, "");
    struct control_place p;
    const struct control_draft d = {.frame = bytes_str(frame)};
    ck_assert_int_eq(control_feed_append(fl->nodes[0].feed, &d, &fl->nodes[0].diag, &p), ERR_INVAL);
    const struct control_takeover t = {.region = "eastus", .frame = bytes_str(frame)};
    AUTO_BUF struct buf draft, line;
    buf_init(&draft, 0);
    buf_init(&line, 0);
    ck_assert_int_eq(control_feed_takeover_draft(fl->nodes[0].feed, &t, &fl->nodes[0].diag, &draft),
                     0);
    ck_assert_int_eq(control_entry_sign(bytes_of(draft.p, draft.n), fl->root, NULL, &line), 0);
    ck_assert_int_eq(control_feed_signed(fl->nodes[0].feed, bytes_of(line.p, line.n), NULL, &p), 0);
    // the process still has the stolen key: not the writer any more
    ck_assert_int_eq(small_fleet_try_change(fl, 0, ROW("stolen")), ERR_DENIED);
    small_fleet_stop(fl, 0);
    small_fleet_start(fl, 0);
    small_fleet_change(fl, 0, ROW("after"));
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    ck_assert(small_fleet_has(fl, 1, "after"));
    region_keys_free(stolen);
    small_fleet_free(fl);
}
END_TEST

// The way of `meridian control takeover --control-key`: the frame in force, with that key alone.
START_TEST(a_takeover_is_drafted_with_another_control_key)
{
    struct small_fleet *fl = begun(2);
    char dir[300];
    struct region_keys *fresh = NULL;
    struct control_place p;
    AUTO_BUF struct buf draft, line;
    buf_init(&draft, 0);
    buf_init(&line, 0);
    small_fleet_change(fl, 0, ROW("before"));
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    snprintf(dir, sizeof dir, "%s/fresh", fl->dir);
    ck_assert_int_eq(region_keys_create(dir, "eastus", NULL), 0);
    ck_assert_int_eq(region_keys_open(dir, "eastus", NULL, &fresh), 0);
    const char *bad[] = {"no key", "AAAA", region_keys_token_spki(fresh), "a\"b"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const struct control_takeover t = {.region = "eastus", .control_key = bad[i]};
        ck_assert_int_eq(
            control_feed_takeover_draft(fl->nodes[0].feed, &t, &fl->nodes[0].diag, &draft),
            ERR_INVAL);
        ck_assert_uint_gt(fl->nodes[0].diag.n, 0);
        ck_assert_uint_eq(draft.n, 0);
    }
    const struct control_takeover t = {.region = "eastus",
                                       .control_key = region_keys_control_spki(fresh)};
    ck_assert_int_eq(control_feed_takeover_draft(fl->nodes[1].feed, &t, NULL, &draft), 0);
    ck_assert_int_eq(control_entry_sign(bytes_of(draft.p, draft.n), fl->root, NULL, &line), 0);
    ck_assert_int_eq(control_feed_signed(fl->nodes[1].feed, bytes_of(line.p, line.n), NULL, &p), 0);
    struct control_state *s = control_feed_state(fl->nodes[1].feed);
    const struct region *writer = topology_writer(s->topology);
    const struct region *other = topology_region(s->topology, "westus");
    ck_assert_str_eq(writer->name, "eastus");
    ck_assert_uint_eq(writer->n_control_keys, 1);
    ck_assert_str_eq(writer->control_keys[0].id, region_keys_control_id(fresh));
    ck_assert_str_eq(writer->control_keys[0].spki_b64, region_keys_control_spki(fresh));
    ck_assert_str_eq(other->control_keys[0].id, region_keys_control_id(fl->nodes[1].keys));
    ck_assert(small_fleet_has(fl, 1, "before"));
    snapshot_unref(s);
    // who has the stolen one writes nothing that counts
    ck_assert_int_eq(small_fleet_try_change(fl, 0, ROW("stolen")), 0);
    (void)small_fleet_pass(fl, 0, 1);
    ck_assert(!small_fleet_has(fl, 1, "stolen"));
    ck_assert_int_eq(small_fleet_pass(fl, 1, 0), 0);
    ck_assert(!small_fleet_has(fl, 0, "stolen"));
    ck_assert_int_eq(small_fleet_try_change(fl, 0, ROW("stolen")), ERR_DENIED);
    struct region_keys *stolen = fl->nodes[0].keys;
    fl->nodes[0].keys = fresh;
    small_fleet_stop(fl, 0);
    small_fleet_start(fl, 0);
    small_fleet_change(fl, 0, ROW("after"));
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    ck_assert(small_fleet_has(fl, 1, "after"));
    region_keys_free(stolen);
    small_fleet_free(fl);
}
END_TEST

START_TEST(the_root_key_confirms_where_no_majority_can)
{
    struct small_fleet *fl = begun(2);
    struct control_place p = small_fleet_change(fl, 0, ROW("alone")), out;
    AUTO_BUF struct buf draft, line;
    buf_init(&draft, 0);
    buf_init(&line, 0);
    ck_assert_int_eq(control_feed_confirm_draft(fl->nodes[0].feed, &p, NULL, &draft), 0);
    ck_assert_int_eq(control_entry_sign(bytes_of(draft.p, draft.n), fl->root, NULL, &line), 0);
    ck_assert_int_eq(control_feed_signed(fl->nodes[1].feed, bytes_of(line.p, line.n), NULL, &out),
                     ERR_DENIED);
    control_feed_confirm(fl->nodes[0].feed, false);
    ck_assert_int_eq(control_feed_signed(fl->nodes[0].feed, bytes_of(line.p, line.n), NULL, &out),
                     0);
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    for (size_t i = 0; i < 2; i++) {
        struct control_view v;
        control_feed_view(fl->nodes[i].feed, &v);
        ck_assert(control_place_same(&v.root_word, &p));
        control_view_done(&v);
    }
    small_fleet_change(fl, 0, ROW("goeson")); // and the writer may go on
    small_fleet_free(fl);
}
END_TEST

CHECK_MAIN("control/takeover", what_the_old_writer_did_later_is_void,
           only_the_root_key_opens_an_epoch,
           a_takeover_is_drafted_for_the_place_that_it_goes_on_from,
           a_writer_restored_from_an_old_copy_learns_its_entries_again,
           another_chain_of_the_writer_is_not_applied,
           the_writer_gets_another_key_by_the_root_key_alone,
           a_takeover_is_drafted_with_another_control_key,
           the_root_key_confirms_where_no_majority_can)
