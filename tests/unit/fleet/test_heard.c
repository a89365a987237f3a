// SPDX-License-Identifier: Apache-2.0
// fleet/heard: when a writer may write, and who has a change, by what the regions say of themselves.
#include "fleet/heard.h"

#include "base/mem.h"
#include "tests/support/check_main.h"

#include <string.h>

#define SILENT 5000
#define OLD (SILENT + 1) // a process that began at 0 is not young any more

static const struct region five[] = {
    {.name = "a", .index = 0}, {.name = "b", .index = 1}, {.name = "c", .index = 2},
    {.name = "d", .index = 3}, {.name = "e", .index = 4},
};

// topology_region looks into the frame's table; a small topology without one is not what it takes, so
// the regions come from a document.
static struct topology *fleet_with(size_t n, const char *more)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    buf_str(&b, "version: 1\ndomain: example.io\nregions:\n");
    for (size_t i = 0; i < n; i++)
        buf_printf(&b,
                   "  - name: %s\n    stamps: [{ name: s-1, ipv4: [127.77.0.%zu] }]\n    peer: "
                   "127.77.0.%zu:9443\n",
                   five[i].name, i + 1, i + 1);
    buf_printf(&b, "name_servers: [s-1.a]\n%s", more);
    struct topology *t = NULL;
    struct diag d;
    diag_init(&d);
    if (topology_parse(b.p, b.n, "t.yaml", &d, &t))
        diag_print(&d, stderr);
    diag_done(&d);
    ck_assert_ptr_nonnull(t);
    return t;
}

static struct topology *fleet_of(size_t n)
{
    return fleet_with(n, "");
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

static void says(struct heard *h, const char *region, struct control_place p, int64_t now)
{
    ck_assert(heard_note(h, region, &p, now));
}

static const char *asks(const struct heard *h, const struct heard_own *own, int64_t now)
{
    const struct heard_region *x = heard_to_ask(h, &own->place, now, SILENT);
    if (!x)
        return "";
    return x->region;
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
    says(&h, "b", at(1, 6), 100);
    ck_assert(heard_confirms(&h, &own, 100, SILENT));
    heard_stored_by(&h, &own, &own.place, 100, SILENT, &s);
    ck_assert(!s.majority);
    ck_assert_uint_eq(s.behind, 2);
    says(&h, "b", at(1, 7), 200);
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
    int64_t now = OLD;
    says(&h, "b", at(1, 7), now);
    ck_assert(heard_confirms(&h, &own, now, SILENT));
    ck_assert(heard_confirms(&h, &own, now + SILENT, SILENT));
    now += OLD;
    ck_assert(!heard_confirms(&h, &own, now, SILENT));
    says(&h, "c", at(1, 2), now); // far behind, but there
    ck_assert(heard_confirms(&h, &own, now, SILENT));
}
END_TEST

// What a writer of three had done with one other may be with that one alone.
START_TEST(a_process_that_is_young_does_not_vouch_for_its_own_past)
{
    struct heard h = heard_of(3);
    struct heard_own own = own_at(1, 90);
    h.began_ms = 1000;
    says(&h, "b", at(1, 90), 1000);
    ck_assert(!heard_confirms(&h, &own, 1000, SILENT));
    says(&h, "b", at(1, 90), 1000 + SILENT);
    ck_assert(!heard_confirms(&h, &own, 1000 + SILENT, SILENT));
    ck_assert(!h.sure);
    // nobody else has said anything for so long: it does not wait for who is away
    ck_assert(heard_confirms(&h, &own, 1001 + SILENT, SILENT));
    ck_assert(!h.sure);

    // with both others it need not wait, and is sure from then on
    h = heard_of(3);
    h.began_ms = 1000;
    says(&h, "b", at(1, 90), 1000);
    says(&h, "c", at(1, 90), 1001);
    ck_assert(heard_confirms(&h, &own, 1001, SILENT));
    ck_assert(h.sure);
}
END_TEST

START_TEST(the_root_keys_word_on_disk_is_as_old_as_the_disk)
{
    struct heard h = heard_of(2);
    struct heard_own own = own_at(1, 9);
    own.root_word = at(1, 8);
    ck_assert(!heard_confirms(&h, &own, SILENT, SILENT)); // young
    ck_assert(heard_confirms(&h, &own, OLD, SILENT));
    says(&h, "b", at(1, 20), OLD);
    heard_tried(&h, "b", OLD);
    ck_assert(!heard_confirms(&h, &own, OLD, SILENT));
    // given to this process it is more: it holds against who cannot be asked
    own.vouched = true;
    ck_assert(heard_confirms(&h, &own, OLD, SILENT));
    ck_assert(h.sure);
    own.place = at(1, 10);
    ck_assert(!heard_confirms(&h, &own, OLD, SILENT)); // and is no majority for what follows
}
END_TEST

START_TEST(a_later_place_is_looked_for_before_anything_is_written)
{
    struct heard h = heard_of(3);
    struct heard_own own = own_at(1, 90);
    int64_t now = OLD;
    says(&h, "b", at(1, 90), now);
    says(&h, "c", at(1, 100), now); // this disk was restored
    ck_assert(!heard_confirms(&h, &own, now, SILENT));
    ck_assert_str_eq(asks(&h, &own, now), "c");
    own = own_at(1, 100); // it was read
    ck_assert_str_eq(asks(&h, &own, now), "");
    ck_assert(heard_confirms(&h, &own, now, SILENT));
}
END_TEST

START_TEST(who_cannot_be_asked_has_not_lied)
{
    struct heard h = heard_of(3);
    struct heard_own own = own_at(1, 90);
    int64_t now = OLD;
    says(&h, "b", at(1, 90), now);
    says(&h, "c", at(1, 100), now);
    heard_tried(&h, "c", now);
    ck_assert(!heard_confirms(&h, &own, now, SILENT));
    ck_assert_ptr_null(heard_doubted(&h, &own.place, now, SILENT));
    ck_assert_str_eq(heard_claims(&h, &own.place, now, SILENT)->region, "c");
    // it is asked again, but not without rest
    ck_assert_str_eq(asks(&h, &own, now + HEARD_AGAIN_MS - 1), "");
    ck_assert_str_eq(asks(&h, &own, now + HEARD_AGAIN_MS), "c");
    // for as long as it says so
    now += SILENT;
    says(&h, "b", at(1, 90), now);
    says(&h, "c", at(1, 100), now);
    heard_tried(&h, "c", now);
    now += SILENT;
    says(&h, "b", at(1, 90), now);
    ck_assert(!heard_confirms(&h, &own, now, SILENT));
    ck_assert(heard_confirms(&h, &own, now + 1, SILENT));

    // the others are a majority without this region: what the one names was never done
    h = heard_of(5);
    says(&h, "b", at(1, 90), now);
    says(&h, "c", at(1, 90), now);
    says(&h, "d", at(1, 80), now);
    says(&h, "e", at(1, 91), now);
    ck_assert(!heard_confirms(&h, &own, now, SILENT)); // but it is asked once, or logs would part
    heard_tried(&h, "e", now);
    ck_assert(heard_confirms(&h, &own, now, SILENT));
    ck_assert(h.sure);
}
END_TEST

START_TEST(who_is_sure_is_stopped_by_nobody_and_goes_on_asking)
{
    struct heard h = heard_of(3);
    struct heard_own own = own_at(1, 90);
    says(&h, "b", at(1, 90), 1);
    says(&h, "c", at(1, 90), 1);
    ck_assert(heard_confirms(&h, &own, 1, SILENT));
    for (int i = 2; i < 100; i++) {
        own.place = at(1, 90 + (uint64_t)i);
        says(&h, "c", at(1, 1000 + (uint64_t)i), i);
        ck_assert(heard_confirms(&h, &own, i, SILENT));
        ck_assert_str_eq(asks(&h, &own, i), "c");
    }
    says(&h, "c", at(2, 91), 100); // nor in a later epoch: that is asked for too
    ck_assert(heard_confirms(&h, &own, 100, SILENT));
    ck_assert_str_eq(asks(&h, &own, 100), "c");
    // what it takes is a majority, as ever
    ck_assert(!heard_confirms(&h, &own, 2 + SILENT, SILENT));
}
END_TEST

START_TEST(a_whole_state_that_was_refused_is_not_read_again_so_soon)
{
    struct heard h = heard_of(3);
    ck_assert(!heard_base_rests(&h, "b", 1));
    heard_base_refused(&h, "b", 1);
    ck_assert(heard_base_rests(&h, "b", HEARD_DOUBT_MS));
    ck_assert(!heard_base_rests(&h, "c", HEARD_DOUBT_MS));
    ck_assert(!heard_base_rests(&h, "nobody", HEARD_DOUBT_MS));
    ck_assert(!heard_base_rests(&h, "b", HEARD_DOUBT_MS + 1));
}
END_TEST

START_TEST(one_that_hangs_keeps_nobody_from_being_asked)
{
    struct heard h = heard_of(5);
    struct heard_own own = own_at(1, 90);
    says(&h, "b", at(99, 1), 1);
    says(&h, "c", at(1, 100), 1);
    ck_assert_str_eq(asks(&h, &own, 1), "b");
    heard_tried(&h, "b", 3000);
    says(&h, "b", at(99, 2), 4000);
    says(&h, "c", at(1, 100), 4000);
    ck_assert_str_eq(asks(&h, &own, 6000), "c");
}
END_TEST

START_TEST(a_region_that_lies_has_no_vote_and_stops_nobody)
{
    struct heard h = heard_of(3);
    struct heard_own own = own_at(1, 90);
    int64_t now = OLD;
    says(&h, "c", at(99, 1), now);
    says(&h, "b", at(1, 90), now);
    ck_assert(!heard_confirms(&h, &own, now, SILENT));
    heard_looked(&h, "c", now); // it showed nothing
    ck_assert(heard_confirms(&h, &own, now, SILENT));
    ck_assert_str_eq(asks(&h, &own, now), "");
    ck_assert_str_eq(heard_doubted(&h, &own.place, now, SILENT)->region, "c");
    // the same again, more, and the truth in between: it is not believed for a while
    for (int i = 0; i < HEARD_DOUBT_MS; i += 100) {
        says(&h, "b", at(1, 90), now + i);
        says(&h, "c", at(99, 2 + (uint64_t)i), now + i);
        ck_assert(heard_confirms(&h, &own, now + i, SILENT));
        ck_assert_str_eq(asks(&h, &own, now + i), "");
        if (i % 500 == 0)
            says(&h, "c", at(1, 80), now + i);
    }
    // then it is asked again
    now += HEARD_DOUBT_MS;
    says(&h, "c", at(99, 1), now);
    ck_assert_str_eq(asks(&h, &own, now), "c");
    ck_assert_ptr_null(heard_doubted(&h, &own.place, now, SILENT));
    // it is no vote
    ck_assert(!heard_confirms(&h, &own, now + SILENT, SILENT));
    // another log at our own place is no vote either
    struct control_place forged = at(1, 90);
    forged.hash[5] = 1;
    struct heard two = heard_of(2);
    says(&two, "b", forged, OLD);
    ck_assert(!heard_confirms(&two, &own, OLD, SILENT));
}
END_TEST

START_TEST(who_has_a_change_over_a_takeover)
{
    struct heard h = heard_of(5);
    struct heard_own own = own_at(2, 106);
    struct heard_stored s;
    own.epoch_from = at(1, 104); // 105 to 110 of epoch 1 are void
    says(&h, "b", at(2, 106), 0);
    says(&h, "c", at(1, 110), 0);
    says(&h, "d", at(1, 103), 0);
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
    says(&h, "b", at(1, 7), OLD);
    says(&h, "e", at(1, 7), OLD);
    ck_assert(heard_confirms(&h, &own, OLD, SILENT));
    struct topology *t = fleet_of(3);
    heard_keep(&h, t, "a");
    snapshot_unref(t);
    ck_assert(heard_confirms(&h, &own, OLD, SILENT)); // a and b of three
    const struct control_place p = at(1, 7);
    ck_assert(!heard_note(&h, "e", &p, OLD));
    ck_assert(!heard_note(&h, "a", &p, OLD)); // nobody speaks for this region
    struct heard_stored s;
    heard_stored_by(&h, &own, &own.place, OLD, SILENT, &s);
    ck_assert_uint_eq(s.stored, 3);
    ck_assert_uint_eq(s.away, 4);
}
END_TEST

// Regions that were forgotten are counted nowhere, as if they had left.
START_TEST(those_that_are_sealed_have_no_vote)
{
    static const char hash[] = "1111111111111111111111111111111111111111111111111111111111111111";
    AUTO_FREE char *sealed = mem_printf("identities:\n  d: { sealed: { epoch: 1, seq: 7, hash: "
                                        "\"%s\" } }\n  e: { sealed: { epoch: 1, seq: 9, hash: "
                                        "\"%s\" } }\n",
                                        hash, hash);
    struct heard h = heard_of(5);
    struct heard_own own = own_at(1, 7);
    says(&h, "b", at(1, 7), OLD);
    ck_assert(!heard_confirms(&h, &own, OLD, SILENT)); // a and b of five
    struct topology *t = fleet_with(5, sealed);
    heard_keep(&h, t, "a");
    snapshot_unref(t);
    ck_assert(heard_confirms(&h, &own, OLD, SILENT)); // of three
    const struct control_place p = at(1, 7);
    ck_assert(!heard_note(&h, "e", &p, OLD));
    struct heard_stored s;
    heard_stored_by(&h, &own, &own.place, OLD, SILENT, &s);
    ck_assert_uint_eq(s.stored, 3);
    ck_assert_uint_eq(s.away | s.unheard, 4);
}
END_TEST

struct small_case { // of five regions: how many others
    int agree, claim;
};

static struct heard small_case_of(int code, struct small_case *out)
{
    struct heard h = heard_of(5);
    *out = (struct small_case){.agree = 0};
    for (int i = 0, c = code; i < 4; i++, c /= 4) {
        if (c % 4 == 3)
            continue; // says nothing
        says(&h, five[i + 1].name, at(1, 1 + (uint64_t)(c % 4)), OLD);
        out->agree += c % 4 <= 1;
        out->claim += c % 4 == 2;
    }
    return h;
}

// All words that four others may have said, against the definition: while the process is young and
// when it is not; before anybody was asked, after nobody could be, and after nobody showed anything.
START_TEST(every_small_case)
{
    const struct heard_own own = own_at(1, 2);
    struct small_case c;
    for (int code = 0; code < 4 * 4 * 4 * 4; code++) {
        for (int young = 0; young < 2; young++) {
            const int64_t began = young ? OLD : 0;
            struct heard h = small_case_of(code, &c);
            bool others = c.agree >= 3, plain = c.agree >= 2 && !young;
            h.began_ms = began;
            ck_assert_int_eq(heard_confirms(&h, &own, OLD, SILENT), (others || plain) && !c.claim);
            h = small_case_of(code, &c);
            h.began_ms = began;
            for (int i = 0; i < 4; i++)
                heard_tried(&h, five[i + 1].name, OLD);
            ck_assert_int_eq(heard_confirms(&h, &own, OLD, SILENT), others || (plain && !c.claim));
            h = small_case_of(code, &c);
            h.began_ms = began;
            for (int i = 0; i < 4; i++)
                heard_looked(&h, five[i + 1].name, OLD);
            ck_assert_int_eq(heard_confirms(&h, &own, OLD, SILENT), others || plain);
        }
    }
}
END_TEST

// Who stands after a writer in its own epoch has another log than the writer.
START_TEST(who_is_further_than_the_writer_has_not_stored_what_it_writes)
{
    struct heard h = heard_of(3);
    struct heard_own own = own_at(1, 91); // restored to 90, and written once
    struct heard_stored s;
    says(&h, "b", at(1, 100), 0);
    says(&h, "c", at(1, 90), 0);
    heard_stored_by(&h, &own, &own.place, 0, SILENT, &s);
    ck_assert(!s.majority);
    ck_assert_uint_eq(s.stored, 1);
}
END_TEST

CHECK_MAIN("fleet/heard", who_is_further_than_the_writer_has_not_stored_what_it_writes,
           a_region_alone_is_its_own_majority, of_two_both_are_needed_or_the_root_keys_word,
           who_falls_silent_takes_the_majority_away,
           a_process_that_is_young_does_not_vouch_for_its_own_past,
           the_root_keys_word_on_disk_is_as_old_as_the_disk,
           a_later_place_is_looked_for_before_anything_is_written, who_cannot_be_asked_has_not_lied,
           who_is_sure_is_stopped_by_nobody_and_goes_on_asking,
           a_whole_state_that_was_refused_is_not_read_again_so_soon,
           one_that_hangs_keeps_nobody_from_being_asked,
           a_region_that_lies_has_no_vote_and_stops_nobody, who_has_a_change_over_a_takeover,
           those_that_leave_have_no_vote_and_those_that_stay_keep_theirs,
           those_that_are_sealed_have_no_vote, every_small_case)
