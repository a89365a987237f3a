// SPDX-License-Identifier: Apache-2.0
// control/feed: what the writer appends comes to all others, whole and in order, and is there again
// after a restart.
#include "control/feed.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/principals.h"
#include "config/topology_control.h"
#include "control/document_fields.h"
#include "control/frame.h"
#include "tests/support/check_main.h"
#include "tests/unit/control/fleet.h"

#include <string.h>
#include <unistd.h>

#define ROW(name) "registries: [{ name: " name ", replicas: [{ region: eastus }] }]\n"
#define USER(name) \
    "users:\n  - {name: " name ", password_hash: \"" SMALL_FLEET_HASH "\", grants: []}\n"

static bool has_user(struct small_fleet *fl, size_t i, const char *name)
{
    struct principals *p = snapshot_get(&fl->nodes[i].pcell);
    bool has = principals_find(p, name) != NULL;
    snapshot_unref(p);
    return has;
}

static struct control_place append(struct small_fleet *fl, const struct control_draft *d)
{
    struct control_place p = {0};
    int rc = control_feed_append(fl->nodes[0].feed, d, &fl->nodes[0].diag, &p);
    char *why = diag_text(&fl->nodes[0].diag);
    ck_assert_msg(!rc, "%s: %s", err_text(rc), why);
    free(why);
    return p;
}

// The last entry but for checkpoints, which come by themselves.
static struct control_place changed(struct small_fleet *fl, size_t i)
{
    struct control_state *s = control_feed_state(fl->nodes[i].feed);
    struct control_place p = s->changed;
    snapshot_unref(s);
    return p;
}

START_TEST(changes_come_to_all_and_are_there_after_a_restart)
{
    struct small_fleet *fl = small_fleet_new(3);
    for (size_t i = 0; i < 3; i++)
        small_fleet_start(fl, i);
    ck_assert_uint_eq(small_fleet_version(fl, 1), 10);
    ck_assert(has_user(fl, 1, "ada"));
    small_fleet_change(fl, 0, ROW("contoso"));
    const struct control_draft users = {.principals = bytes_str(USER("bob"))};
    append(fl, &users);
    ck_assert(small_fleet_has(fl, 0, "contoso"));
    ck_assert(has_user(fl, 0, "bob"));
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    ck_assert_int_eq(small_fleet_pass(fl, 1, 2), 0); // by another than the writer
    for (size_t i = 0; i < 3; i++) {
        struct control_place p = changed(fl, i), first = changed(fl, 0);
        ck_assert(control_place_same(&p, &first));
        ck_assert_uint_eq(small_fleet_version(fl, i), 11);
        ck_assert(small_fleet_has(fl, i, "contoso"));
        ck_assert(has_user(fl, i, "bob"));
        ck_assert(!has_user(fl, i, "ada"));
    }
    for (size_t i = 0; i < 3; i++)
        small_fleet_stop(fl, i);
    // the files that it began with are of no interest any more
    ck_assert_int_eq(unlink(fl->nodes[1].topology), 0);
    for (size_t i = 0; i < 3; i++) {
        small_fleet_start(fl, i);
        struct topology *t = snapshot_get(&fl->nodes[i].tcell);
        ck_assert_uint_eq(t->version, 11);
        ck_assert_uint_eq(topology_registry(t, "contoso")->incarnation, 11);
        snapshot_unref(t);
        ck_assert(has_user(fl, i, "bob"));
    }
    small_fleet_change(fl, 0, ROW("fabrikam"));
    ck_assert_int_eq(small_fleet_pass(fl, 0, 2), 0);
    ck_assert(small_fleet_has(fl, 2, "fabrikam"));
    ck_assert(small_fleet_alarm(fl, 2, NULL));
    small_fleet_free(fl);
}
END_TEST

static int try_record(struct small_fleet *fl, const char *key, size_t bytes, bool spares)
{
    struct control_place p;
    struct buf value;
    buf_init(&value, 0);
    buf_u8(&value, '"');
    for (size_t i = 2; i < bytes; i++)
        buf_u8(&value, 'x');
    buf_u8(&value, '"');
    const struct control_record r = {key, bytes ? buf_cstr(&value) : NULL};
    const struct control_draft d = {.records = &r, .n_records = 1, .spares_reserve = spares};
    int rc = control_feed_append(fl->nodes[0].feed, &d, &fl->nodes[0].diag, &p);
    buf_done(&value);
    return rc;
}

START_TEST(a_ledger_that_is_full_of_other_things_takes_a_revocation)
{
    struct small_fleet *fl = small_fleet_new(2);
    fl->how.ledger_spared_bytes = 4000;
    for (size_t i = 0; i < 2; i++)
        small_fleet_start(fl, i);
    ck_assert_int_eq(try_record(fl, "part/a", 3000, true), 0);
    ck_assert_int_eq(try_record(fl, "part/b", 2000, true), ERR_FULL);
    ck_assert(small_fleet_said(&fl->nodes[0], "its last bytes are kept for revocations"));
    struct control_state *s = NULL;
    const struct control_record b = {"part/b", "\"b\""};
    const struct control_draft small = {.records = &b, .n_records = 1, .spares_reserve = true};
    ck_assert_int_eq(control_feed_judge(fl->nodes[0].feed, &small, &fl->nodes[0].diag, &s), 0);
    snapshot_unref(s);
    ck_assert_int_eq(try_record(fl, "operation/revokes", 2000, false), 0);
    // over the limit nothing more comes, also what is small; less does, and in place of another
    ck_assert_int_eq(try_record(fl, "part/b", 3, true), ERR_FULL);
    ck_assert_int_eq(try_record(fl, "part/a", 2900, true), 0);
    ck_assert_int_eq(try_record(fl, "part/a", 0, true), 0);
    ck_assert_int_eq(try_record(fl, "part/b", 100, true), 0);
    // what one node is spared, all have
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    s = control_feed_state(fl->nodes[1].feed);
    ck_assert_ptr_nonnull(control_ledger_get(s->ledger, "operation/revokes"));
    snapshot_unref(s);
    small_fleet_free(fl);
}
END_TEST

START_TEST(all_parts_of_an_entry_take_effect_together)
{
    struct small_fleet *fl = small_fleet_new(2);
    for (size_t i = 0; i < 2; i++)
        small_fleet_start(fl, i);
    const struct control_record records[] = {
        {"operation/0000000000000001", "{\"state\": \"Succeeded\", \"id\": 1}"}};
    struct buf frame;
    buf_init(&frame, 0);
    struct topology *t = snapshot_get(&fl->nodes[0].tcell);
    ck_assert_int_eq(frame_text(t, &frame), 0);
    snapshot_unref(t);
    buf_str(&frame, "ttl: { global: 10s }\n");
    struct control_draft d = {.by = "operator:ada",
                              .frame = bytes_of(frame.p, frame.n),
                              .change = bytes_str(ROW("contoso")),
                              .principals = bytes_str(USER("bob")),
                              .records = records,
                              .n_records = 1};
    append(fl, &d);
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    for (size_t i = 0; i < 2; i++) {
        struct control_state *s = control_feed_state(fl->nodes[i].feed);
        ck_assert_uint_eq(s->topology->version, 12); // the frame and the change
        ck_assert_uint_eq(s->topology->frame->version, 11);
        ck_assert_uint_eq(s->topology->ttl.global, 10);
        ck_assert_ptr_nonnull(topology_registry(s->topology, "first"));
        ck_assert_ptr_nonnull(topology_registry(s->topology, "contoso"));
        ck_assert_uint_eq(control_state_principals_version(s), 6);
        ck_assert_str_eq(control_ledger_get(s->ledger, "operation/0000000000000001"),
                         "{\"id\":1,\"state\":\"Succeeded\"}");
        snapshot_unref(s);
        ck_assert_int_eq(fl->nodes[i].n_frames, 1);
    }
    // one bad part, and nothing happens
    const struct control_record more[] = {{"operation/0000000000000002", "{}"}};
    d = (struct control_draft){.change = bytes_str(ROW("fabrikam")),
                               .principals = bytes_str("users: none\n"),
                               .records = more,
                               .n_records = 1};
    struct control_place p = {0}, before = changed(fl, 0), after;
    ck_assert_int_eq(control_feed_append(fl->nodes[0].feed, &d, &fl->nodes[0].diag, &p), ERR_INVAL);
    after = changed(fl, 0);
    ck_assert(control_place_same(&before, &after));
    ck_assert(!small_fleet_has(fl, 0, "fabrikam"));
    struct buf record;
    buf_init(&record, 0);
    ck_assert_int_eq(control_feed_record(fl->nodes[0].feed, "operation/0000000000000002", &record),
                     ERR_NOTFOUND);
    buf_done(&record);
    buf_done(&frame);
    small_fleet_free(fl);
}
END_TEST

START_TEST(only_the_confirmed_writer_appends)
{
    struct small_fleet *fl = small_fleet_new(2);
    for (size_t i = 0; i < 2; i++)
        small_fleet_start(fl, i);
    ck_assert_int_eq(small_fleet_try_change(fl, 1, ROW("contoso")), ERR_DENIED);
    ck_assert(small_fleet_said(&fl->nodes[1], "eastus is the writer"));
    control_feed_confirm(fl->nodes[0].feed, false);
    ck_assert_int_eq(small_fleet_try_change(fl, 0, ROW("contoso")), ERR_DENIED);
    ck_assert(small_fleet_said(&fl->nodes[0], "majority"));
    control_feed_confirm(fl->nodes[0].feed, true);
    small_fleet_change(fl, 0, ROW("contoso"));
    small_fleet_free(fl);
}
END_TEST

START_TEST(what_is_expected_must_be_in_force)
{
    struct small_fleet *fl = small_fleet_new(1);
    small_fleet_start(fl, 0);
    struct control_feed *f = fl->nodes[0].feed;
    struct control_place p = small_fleet_change(fl, 0, ROW("contoso")), out;
    struct control_draft d = {.change = bytes_str(ROW("fabrikam")), .expect_topology = 10};
    ck_assert_int_eq(control_feed_append(f, &d, &fl->nodes[0].diag, &out), ERR_CONFLICT);
    ck_assert(small_fleet_said(&fl->nodes[0], "version 11 of the topology is in force, not 10"));
    d = (struct control_draft){.change = bytes_str(ROW("fabrikam")), .expect_principals = 9};
    ck_assert_int_eq(control_feed_append(f, &d, &fl->nodes[0].diag, &out), ERR_CONFLICT);
    ck_assert(small_fleet_said(&fl->nodes[0], "version 5 of the principals"));
    d = (struct control_draft){.change = bytes_str(ROW("fabrikam")), .expect = p};
    append(fl, &d);
    ck_assert_int_eq(control_feed_append(f, &d, &fl->nodes[0].diag, &out), ERR_CONFLICT);
    ck_assert(small_fleet_said(&fl->nodes[0], "gone on to 1:"));
    d = (struct control_draft){.principals = bytes_str("version: 5\n" USER("ada"))};
    ck_assert_int_eq(control_feed_append(f, &d, &fl->nodes[0].diag, &out), ERR_EXISTS);
    d = (struct control_draft){.by = "nobody"};
    ck_assert_int_eq(control_feed_append(f, &d, &fl->nodes[0].diag, &out), ERR_INVAL);
    small_fleet_free(fl);
}
END_TEST

START_TEST(a_draft_is_judged_without_being_appended)
{
    struct small_fleet *fl = small_fleet_new(2);
    for (size_t i = 0; i < 2; i++)
        small_fleet_start(fl, i);
    struct control_state *s = NULL;
    struct control_draft d = {.change = bytes_str(ROW("contoso"))};
    ck_assert_int_eq(control_feed_judge(fl->nodes[1].feed, &d, NULL, &s), 0); // any node
    ck_assert_uint_eq(s->topology->version, 11);
    ck_assert_ptr_nonnull(topology_registry(s->topology, "contoso"));
    snapshot_unref(s);
    ck_assert(!small_fleet_has(fl, 1, "contoso"));
    d.change = bytes_str("remove: [nobody]\n");
    ck_assert_int_eq(control_feed_judge(fl->nodes[0].feed, &d, &fl->nodes[0].diag, &s), ERR_INVAL);
    ck_assert(small_fleet_said(&fl->nodes[0], "nobody"));
    small_fleet_free(fl);
}
END_TEST

START_TEST(history_and_earlier_versions_are_told)
{
    struct small_fleet *fl = small_fleet_new(1);
    fl->how.segment_entries = 4;
    small_fleet_start(fl, 0);
    struct control_feed *f = fl->nodes[0].feed;
    for (unsigned i = 0; i < 9; i++) {
        char text[128];
        snprintf(text, sizeof text, ROW("contoso%u"), i);
        small_fleet_change(fl, 0, text);
    }
    for (uint64_t version = 10; version <= 19; version++) {
        struct topology *t = NULL;
        int rc = control_feed_topology_at(f, version, &fl->nodes[0].diag, &t);
        ck_assert_msg(!rc, "%llu: %s", (unsigned long long)version, err_text(rc));
        ck_assert_uint_eq(t->version, version);
        ck_assert_uint_eq(t->n_registries, version - 9);
        snapshot_unref(t);
    }
    struct topology *t = NULL;
    ck_assert_int_eq(control_feed_topology_at(f, 99, NULL, &t), ERR_NOTFOUND);
    ck_assert_int_eq(control_feed_topology_at(f, 3, NULL, &t), ERR_GONE);
    small_fleet_free(fl);
}
END_TEST

struct told {
    size_t n;
    uint64_t last;
    char by[64], what[64];
};

static bool note(void *ctx, const struct control_history *h)
{
    struct told *t = ctx;
    if (h->kind != CONTROL_CHANGE)
        return true;
    t->n++;
    t->last = h->topology;
    snprintf(t->by, sizeof t->by, "%s", h->by);
    snprintf(t->what, sizeof t->what, "%s", h->what);
    return true;
}

START_TEST(history_says_who_and_what)
{
    struct small_fleet *fl = small_fleet_new(1);
    small_fleet_start(fl, 0);
    struct control_place p = small_fleet_change(fl, 0, ROW("contoso"));
    const struct control_draft d = {.by = "root@eastus",
                                    .change = bytes_str(ROW("fabrikam")),
                                    .principals = bytes_str(USER("bob"))};
    append(fl, &d);
    struct told t = {0};
    ck_assert_int_eq(control_feed_history(fl->nodes[0].feed, NULL, note, &t), 0);
    ck_assert_uint_eq(t.n, 2);
    t = (struct told){0};
    ck_assert_int_eq(control_feed_history(fl->nodes[0].feed, &p, note, &t), 0);
    ck_assert_uint_eq(t.n, 1);
    ck_assert_uint_eq(t.last, 12);
    ck_assert_str_eq(t.by, "root@eastus");
    ck_assert_str_eq(t.what, "registries,principals,records");
    small_fleet_free(fl);
}
END_TEST

static void wait_for_base(struct small_fleet *fl, size_t i, uint64_t min_seq)
{
    for (int left = 1000; left; left--) {
        AUTO_BUF struct buf b;
        buf_init(&b, 0);
        if (!control_feed_base_write(fl->nodes[i].feed, &b)) {
            struct control_place first = {0};
            // its place is behind magic, length and digest
            struct cursor c = cursor_of(bytes_of((uint8_t *)b.p + 48, 16));
            first.epoch = cursor_u64(&c);
            first.seq = cursor_u64(&c);
            if (first.seq >= min_seq)
                return;
        }
        usleep(10000);
    }
    ck_abort_msg("no base of node %zu was signed", i);
}

START_TEST(who_is_far_behind_begins_with_a_signed_base)
{
    struct small_fleet *fl = small_fleet_new(2);
    fl->how.segment_entries = 8;
    fl->how.keep_entries = 4;
    small_fleet_start(fl, 0);
    small_fleet_start(fl, 1);
    for (unsigned i = 0; i < 40; i++) {
        char text[128];
        snprintf(text, sizeof text, ROW("contoso%u"), i);
        small_fleet_change(fl, 0, text);
        if (i % 8 == 7)
            wait_for_base(fl, 0, i + 1 < 8 ? 0 : i / 8 * 8);
    }
    // what the other has is not kept any more
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), ERR_GONE);
    struct buf base;
    buf_init(&base, 0);
    ck_assert_int_eq(control_feed_base_write(fl->nodes[0].feed, &base), 0);
    // a changed byte anywhere: not taken
    for (size_t at = 0; at < base.n; at += 1 + base.n / 97) {
        base.p[at] ^= 1;
        ck_assert_int_ne(control_feed_base_take(fl->nodes[1].feed, bytes_of(base.p, base.n), NULL),
                         0);
        base.p[at] ^= 1;
    }
    ck_assert_uint_eq(small_fleet_version(fl, 1), 10);
    ck_assert_int_eq(
        control_feed_base_take(fl->nodes[1].feed, bytes_of(base.p, base.n), &fl->nodes[1].diag), 0);
    ck_assert_int_eq(
        control_feed_base_take(fl->nodes[1].feed, bytes_of(base.p, base.n), &fl->nodes[1].diag),
        ERR_EXISTS);
    buf_done(&base);
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    ck_assert_uint_eq(small_fleet_version(fl, 1), 50);
    ck_assert(small_fleet_has(fl, 1, "contoso39"));
    small_fleet_stop(fl, 1);
    small_fleet_start(fl, 1);
    ck_assert_uint_eq(small_fleet_version(fl, 1), 50);
    small_fleet_free(fl);
}
END_TEST

START_TEST(another_process_follows_until_it_owns)
{
    struct small_fleet *fl = small_fleet_new(1);
    small_fleet_start(fl, 0);
    small_fleet_change(fl, 0, ROW("contoso"));
    struct small_node next = fl->nodes[0]; // the same folder
    struct control_feed_options o = {.state_dir = next.state,
                                     .region = next.region,
                                     .topology = next.topology,
                                     .principals = next.principals,
                                     .keys = next.keys};
    struct snapshot tcell, pcell;
    snapshot_init(&tcell);
    snapshot_init(&pcell);
    const struct source_cells cells = {&tcell, &pcell};
    ck_assert_int_eq(control_feed_open(&o, NULL, &next.feed), 0);
    struct topology_source *s = control_feed_source(next.feed);
    ck_assert_int_eq(topology_source_load(s, &cells, NULL), 0);
    ck_assert_int_eq(topology_source_follow(s, NULL, NULL), 0);
    ck_assert_int_eq(control_feed_own(next.feed, 100, NULL), ERR_BUSY);
    control_feed_confirm(next.feed, true);
    struct control_place p, before = small_fleet_place(fl, 0);
    const struct control_draft d = {.change = bytes_str(ROW("myown"))};
    ck_assert_int_eq(control_feed_append(next.feed, &d, NULL, &p), ERR_BUSY);
    small_fleet_change(fl, 0, ROW("fabrikam"));
    ck_assert_int_eq(control_feed_wait(next.feed, &before, 10000), 0);
    struct topology *t = snapshot_get(&tcell);
    ck_assert_ptr_nonnull(topology_registry(t, "fabrikam"));
    snapshot_unref(t);
    small_fleet_change(fl, 0, ROW("thelast"));
    small_fleet_stop(fl, 0);
    int rc = control_feed_own(next.feed, 1000, NULL);
    ck_assert_int_eq(rc, 0);
    control_feed_confirm(next.feed, true);
    struct diag why;
    diag_init(&why);
    rc = control_feed_append(next.feed, &d, &why, &p);
    ck_assert_msg(!rc, "%s: %s", err_text(rc), why.n ? why.lines[0] : "");
    diag_done(&why);
    t = snapshot_get(&tcell);
    ck_assert_ptr_nonnull(topology_registry(t, "thelast"));
    snapshot_unref(t);
    topology_source_close(s);
    snapshot_done(&tcell);
    snapshot_done(&pcell);
    small_fleet_free(fl);
}
END_TEST

static void wake(void *ctx)
{
    ++*(_Atomic int *)ctx;
}

START_TEST(tellers_hear_of_each_advance)
{
    struct small_fleet *fl = small_fleet_new(2);
    _Atomic int n = 0;
    small_fleet_start(fl, 0);
    small_fleet_start(fl, 1);
    ck_assert_int_eq(control_feed_tell(fl->nodes[1].feed, wake, &n), 0);
    small_fleet_change(fl, 0, ROW("contoso"));
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    ck_assert_int_ge(n, 1);
    control_feed_untell(fl->nodes[1].feed, wake, &n);
    n = 0;
    small_fleet_change(fl, 0, ROW("fabrikam"));
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    ck_assert_int_eq(n, 0);
    struct control_place p = small_fleet_place(fl, 1);
    ck_assert_int_eq(control_feed_wait(fl->nodes[1].feed, &p, 10), ERR_TIMEOUT);
    ck_assert(control_feed_has(fl->nodes[0].feed, &p));
    p.hash[0] ^= 1;
    ck_assert(!control_feed_has(fl->nodes[0].feed, &p));
    small_fleet_free(fl);
}
END_TEST

START_TEST(a_document_without_control_is_not_adopted)
{
    struct small_fleet *fl = small_fleet_new(1);
    const char text[] = "version: 1\ndomain: example.io\nregions:\n"
                        "  - {name: eastus, stamps: [{name: eus-1, ipv4: [192.0.2.1]}]}\n"
                        "name_servers: [eus-1.eastus]\n";
    ck_assert_int_eq(file_write_atomic(fl->nodes[0].topology, text, strlen(text), 0600), 0);
    ck_assert_int_eq(small_fleet_try_start(fl, 0), ERR_INVAL);
    ck_assert(small_fleet_said(&fl->nodes[0], "meridian control adopt"));
    small_fleet_free(fl);
}
END_TEST

CHECK_MAIN("control/feed", changes_come_to_all_and_are_there_after_a_restart,
           all_parts_of_an_entry_take_effect_together,
           a_ledger_that_is_full_of_other_things_takes_a_revocation,
           only_the_confirmed_writer_appends, what_is_expected_must_be_in_force,
           a_draft_is_judged_without_being_appended, history_and_earlier_versions_are_told,
           history_says_who_and_what, who_is_far_behind_begins_with_a_signed_base,
           another_process_follows_until_it_owns, tellers_hear_of_each_advance,
           a_document_without_control_is_not_adopted)
