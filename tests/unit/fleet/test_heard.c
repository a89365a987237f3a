// SPDX-License-Identifier: Apache-2.0
// fleet/heard: when a writer may write, and who has a change, by what the regions say of themselves.
#include "fleet/heard.h"

#include "tests/support/check_main.h"

#include <string.h>

#define SILENT 5000

static const struct region five[] = {
    {.name = "a", .index = 0}, {.name = "b", .index = 1}, {.name = "c", .index = 2},
    {.name = "d", .index = 3}, {.name = "e", .index = 4},
};

// topology_region looks into the frame's table; a small topology without one is not what it takes, so
// the regions come from a document.
static struct topology *fleet_of(size_t n)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_str(&b, "version: 1\ndomain: example.io\nregions:\n");
    for (size_t i = 0; i < n; i++)
        buf_printf(&b,
                   "  - name: %s\n    stamps: [{ name: s-1, ipv4: [127.77.0.%zu] }]\n    peer: "
                   "127.77.0.%zu:9443\n",
                   five[i].name, i + 1, i + 1);
    buf_str(&b, "name_servers: [s-1.a]\n");
    struct topology *t = NULL;
    struct diag d;
    diag_init(&d);
    if (topology_parse(b.p, b.n, "t.yaml", &d, &t))
        diag_print(&d, stderr);
    diag_done(&d);
    ck_assert_ptr_nonnull(t);
    return t;
}

static struct heard heard_of(size_t n)
{
    struct heard h = {.n = 0};
    struct topology *t = fleet_of(n);
    heard_keep(&h, t, "a");
    snapshot_unref(t);
    return h;
}

static struct control_place at(uint64_t epoch, uint64_t seq)
{
    struct control_place p = {.epoch = epoch, .seq = seq};
    p.hash[0] = (uint8_t)seq;
    p.hash[1] = (uint8_t)epoch;
    return p;
}

static struct heard_own own_at(uint64_t epoch, uint64_t seq)
{
    return (struct heard_own){.place = at(epoch, seq)};
}

static void says(struct heard *h, const char *region, struct control_place p,
                 const struct heard_own *own, int64_t now)
{
    ck_assert(heard_note(h, region, &p, &own->place, now));
}

START_TEST(a_region_alone_is_its_own_majority)
{
    struct heard h = heard_of(1);
    struct heard_own own = own_at(1, 7);
    struct heard_stored s;
    ck_assert(heard_confirms(&h, &own, 0, SILENT));
    heard_stored_by(&h, &own, &own.place, 0, SILENT, &s);
    ck_assert(s.majority);
    ck_assert_uint_eq(s.stored, 1);
    ck_assert_uint_eq(s.away | s.behind, 0);
}
END_TEST

START_TEST(of_two_both_are_needed_or_the_root_keys_word)
{
    struct heard h = heard_of(2);
    struct heard_own own = own_at(1, 7);
    struct heard_stored s;
    ck_assert(!heard_confirms(&h, &own, 0, SILENT));
    says(&h, "b", at(1, 6), &own, 100);
    ck_assert(heard_confirms(&h, &own, 100, SILENT));
    heard_stored_by(&h, &own, &own.place, 100, SILENT, &s);
    ck_assert(!s.majority);
    ck_assert_uint_eq(s.behind, 2);
    says(&h, "b", at(1, 7), &own, 200);
    heard_stored_by(&h, &own, &own.place, 200, SILENT, &s);
    ck_assert(s.majority);
    ck_assert_uint_eq(s.stored, 3);

    // b falls silent: what it stored it has, but nothing new begins
    ck_assert(!heard_confirms(&h, &own, 201 + SILENT, SILENT));
    own.place = at(1, 8);
    heard_stored_by(&h, &own, &own.place, 201 + SILENT, SILENT, &s);
    ck_assert(!s.majority);
    ck_assert_uint_eq(s.away, 2);
    // the root key says that 8 is done, in the entry 9: one more may follow
    own.place = at(1, 9);
    own.root_word = at(1, 8);
    const struct control_place eight = at(1, 8);
    heard_stored_by(&h, &own, &eight, 201 + SILENT, SILENT, &s);
    ck_assert(s.majority);
    ck_assert(heard_confirms(&h, &own, 201 + SILENT, SILENT));
    own.place = at(1, 10);
    ck_assert(!heard_confirms(&h, &own, 201 + SILENT, SILENT));
}
END_TEST

START_TEST(who_falls_silent_takes_the_majority_away)
{
    struct heard h = heard_of(3);
    struct heard_own own = own_at(1, 7);
    says(&h, "b", at(1, 7), &own, 1000);
    ck_assert(heard_confirms(&h, &own, 1000, SILENT));
    ck_assert(heard_confirms(&h, &own, 1000 + SILENT, SILENT));
    ck_assert(!heard_confirms(&h, &own, 1001 + SILENT, SILENT));
    says(&h, "c", at(1, 2), &own, 9000); // far behind, but there
    ck_assert(heard_confirms(&h, &own, 9000, SILENT));
}
END_TEST

START_TEST(a_later_place_is_looked_for_before_anything_is_written)
{
    struct heard h = heard_of(3);
    struct heard_own own = own_at(1, 90);
    size_t claims;
    says(&h, "b", at(1, 90), &own, 0);
    says(&h, "c", at(1, 100), &own, 0); // this disk was restored
    ck_assert(!heard_confirms(&h, &own, 0, SILENT));
    const struct heard_region *x = heard_ahead(&h, &own.place, 0, SILENT, &claims);
    ck_assert_str_eq(x->region, "c");
    own = own_at(1, 100); // it was read
    ck_assert_ptr_null(heard_ahead(&h, &own.place, 0, SILENT, &claims));
    ck_assert(heard_confirms(&h, &own, 0, SILENT));
}
END_TEST

START_TEST(a_region_that_lies_has_no_vote_and_stops_nobody)
{
    struct heard h = heard_of(3);
    struct heard_own own = own_at(1, 90);
    size_t claims;
    says(&h, "c", at(99, 1), &own, 0);
    says(&h, "b", at(1, 90), &own, 0);
    ck_assert(!heard_confirms(&h, &own, 0, SILENT));
    heard_looked(&h, "c"); // it showed nothing
    ck_assert(heard_confirms(&h, &own, 0, SILENT));
    ck_assert_ptr_null(heard_ahead(&h, &own.place, 0, SILENT, &claims));
    ck_assert_uint_eq(claims, 1);
    says(&h, "c", at(99, 1), &own, 10); // the same again
    ck_assert(heard_confirms(&h, &own, 10, SILENT));
    // and it is no vote
    ck_assert(!heard_confirms(&h, &own, SILENT + 5, SILENT));
    says(&h, "c", at(99, 2), &own, 20); // more: looked for again
    ck_assert_ptr_nonnull(heard_ahead(&h, &own.place, 20, SILENT, &claims));
    // another log at our own place is no vote either
    struct control_place forged = at(1, 90);
    forged.hash[5] = 1;
    struct heard two = heard_of(2);
    says(&two, "b", forged, &own, 0);
    ck_assert(!heard_confirms(&two, &own, 0, SILENT));
}
END_TEST

START_TEST(who_has_a_change_over_a_takeover)
{
    struct heard h = heard_of(5);
    struct heard_own own = own_at(2, 106);
    struct heard_stored s;
    own.epoch_from = at(1, 104); // 105 to 110 of epoch 1 are void
    says(&h, "b", at(2, 106), &own, 0);
    says(&h, "c", at(1, 110), &own, 0);
    says(&h, "d", at(1, 103), &own, 0);
    const struct control_place old = at(1, 104), older = at(1, 103), now = at(2, 106),
                               opening = at(2, 105);
    heard_stored_by(&h, &own, &now, 0, SILENT, &s);
    ck_assert_uint_eq(s.stored, 1 | 2);
    ck_assert_uint_eq(s.behind, 4 | 8);
    ck_assert_uint_eq(s.away, 16);
    ck_assert(!s.majority);
    heard_stored_by(&h, &own, &opening, 0, SILENT, &s);
    ck_assert_uint_eq(s.stored, 1 | 2);
    heard_stored_by(&h, &own, &old, 0, SILENT, &s);
    ck_assert_uint_eq(s.stored, 1 | 2 | 4);
    ck_assert(s.majority);
    heard_stored_by(&h, &own, &older, 0, SILENT, &s);
    ck_assert_uint_eq(s.stored, 1 | 2 | 4 | 8);
}
END_TEST

START_TEST(those_that_leave_have_no_vote_and_those_that_stay_keep_theirs)
{
    struct heard h = heard_of(5);
    struct heard_own own = own_at(1, 7);
    says(&h, "b", at(1, 7), &own, 0);
    says(&h, "e", at(1, 7), &own, 0);
    ck_assert(heard_confirms(&h, &own, 0, SILENT));
    struct topology *t = fleet_of(3);
    heard_keep(&h, t, "a");
    snapshot_unref(t);
    ck_assert(heard_confirms(&h, &own, 0, SILENT)); // a and b of three
    const struct control_place p = at(1, 7);
    ck_assert(!heard_note(&h, "e", &p, &own.place, 1));
    ck_assert(!heard_note(&h, "a", &p, &own.place, 1)); // nobody speaks for this region
    struct heard_stored s;
    heard_stored_by(&h, &own, &own.place, 0, SILENT, &s);
    ck_assert_uint_eq(s.stored, 3);
    ck_assert_uint_eq(s.away, 4);
}
END_TEST

// All words that four others may have said, against the definition.
START_TEST(every_small_case)
{
    const struct heard_own own = own_at(1, 2);
    for (int code = 0; code < 4 * 4 * 4 * 4; code++) {
        struct heard h = heard_of(5);
        int at_least = 1, untold = 0;
        for (int i = 0, c = code; i < 4; i++, c /= 4) {
            if (c % 4 == 3)
                continue; // says nothing
            says(&h, five[i + 1].name, at(1, 1 + (uint64_t)(c % 4)), &own, 0);
            at_least += c % 4 <= 1;
            untold += c % 4 == 2;
        }
        ck_assert_int_eq(heard_confirms(&h, &own, 0, SILENT), at_least >= 3 && !untold);
        for (int i = 0; i < 4; i++)
            heard_looked(&h, five[i + 1].name);
        ck_assert_int_eq(heard_confirms(&h, &own, 0, SILENT), at_least >= 3);
    }
}
END_TEST

// Who stands after a writer in its own epoch has another log than the writer.
START_TEST(who_is_further_than_the_writer_has_not_stored_what_it_writes)
{
    struct heard h = heard_of(3);
    struct heard_own own = own_at(1, 91); // restored to 90, and written once
    struct heard_stored s;
    says(&h, "b", at(1, 100), &own, 0);
    says(&h, "c", at(1, 90), &own, 0);
    heard_stored_by(&h, &own, &own.place, 0, SILENT, &s);
    ck_assert(!s.majority);
    ck_assert_uint_eq(s.stored, 1);
}
END_TEST

CHECK_MAIN("fleet/heard", who_is_further_than_the_writer_has_not_stored_what_it_writes,
           a_region_alone_is_its_own_majority, of_two_both_are_needed_or_the_root_keys_word,
           who_falls_silent_takes_the_majority_away,
           a_later_place_is_looked_for_before_anything_is_written,
           a_region_that_lies_has_no_vote_and_stops_nobody, who_has_a_change_over_a_takeover,
           those_that_leave_have_no_vote_and_those_that_stay_keep_theirs, every_small_case)
