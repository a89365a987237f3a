// SPDX-License-Identifier: Apache-2.0
// replication/feed_proof: what the hash of a revocation proves of the entries before it, and what
// it does not.
#include "replication/feed_proof.h"

#include "base/err.h"
#include "replication/cursor.h"
#include "tests/support/check_main.h"
#include "tests/unit/replication/feed_fixture.h"

#define N 6
#define LAST 3 // e[LAST] is the last good one

static const uint8_t zero[ENTRY_HASH_BYTES];
static struct feed_entry e[N];
static struct feed_revocation v;
static struct region origin;

static void begin(void)
{
    for (uint64_t i = 0; i < N; i++)
        fixture_entry(i + 1, i ? e[i - 1].hash : zero, &e[i]);
    v = (struct feed_revocation){.key = "eastus-feed-1", .epoch = 1, .seq = LAST + 1};
    memcpy(v.hash, e[LAST].hash, sizeof v.hash);
    origin = (struct region){.name = "eastus", .revoked = &v, .n_revoked = 1};
}

static struct feed_proof *proof_from(const struct feed_mark *from)
{
    struct feed_proof *p = NULL;
    ck_assert_int_eq(feed_proof_new(&origin, from, &p), 0);
    return p;
}

static struct feed_entry fork_of(size_t at)
{
    struct feed_entry f;
    fixture_entry(at + 1, at ? e[at - 1].hash : zero, &f);
    f.tag = "forged";
    fixture_sign(at ? e[at - 1].hash : zero, 1, &f);
    return f;
}

START_TEST(nothing_is_to_be_proven_past_the_place)
{
    struct feed_mark m;
    begin();
    for (size_t i = 0; i < N; i++) {
        mark_of_entry(&e[i], &m);
        struct feed_proof *p = proof_from(&m);
        ck_assert((p != NULL) == (i < LAST));
        feed_proof_free(p);
    }
    v.seq = 0; // nothing of it is good
    ck_assert_ptr_null(proof_from(&(struct feed_mark){0}));
    ck_assert_int_eq(feed_proof_judge(NULL, &e[0]), PROOF_UNKNOWN);
}
END_TEST

// From every mark, with every place missing, or another entry in it.
START_TEST(an_unbroken_run_up_to_the_place_is_proven)
{
    struct feed_mark from, at;
    begin();
    for (size_t start = 0; start <= LAST; start++)
        for (size_t gone = start; gone <= N; gone++) {
            from = (struct feed_mark){0};
            if (start)
                mark_of_entry(&e[start - 1], &from);
            struct feed_proof *p = proof_from(&from);
            for (size_t i = start; i < N; i++) {
                mark_of_entry(&e[i], &at);
                if (i != gone)
                    ck_assert_int_eq(feed_proof_line(p, &e[i]), 0);
                ck_assert(feed_proof_past(p, &at) == (i >= LAST));
            }
            for (size_t i = 0; i < N; i++) {
                bool good = i >= start && i <= LAST && gone != LAST && (gone > LAST || i > gone);
                struct feed_entry fork = fork_of(i);
                ck_assert_int_eq(feed_proof_judge(p, &e[i]), good ? PROOF_GOOD : PROOF_UNKNOWN);
                ck_assert_int_eq(feed_proof_judge(p, &fork), good ? PROOF_OTHER : PROOF_UNKNOWN);
            }
            feed_proof_free(p);
        }
}
END_TEST

// A thief's entries in the places of good ones: whatever he gives first, it does not lead to the
// hash.
START_TEST(a_fork_proves_nothing)
{
    begin();
    for (size_t at = 0; at <= LAST; at++) {
        struct feed_proof *p = proof_from(&(struct feed_mark){0});
        struct feed_entry f = fork_of(at);
        for (size_t i = 0; i < at; i++)
            ck_assert_int_eq(feed_proof_line(p, &e[i]), 0);
        ck_assert_int_eq(feed_proof_line(p, &f), 0);
        for (size_t i = at + 1; i < N; i++)
            ck_assert_int_eq(feed_proof_line(p, &e[i]), 0); // does not follow from the fork
        ck_assert_int_eq(feed_proof_judge(p, &f), PROOF_UNKNOWN);
        for (size_t i = 0; i <= at; i++)
            ck_assert_int_eq(feed_proof_judge(p, &e[i]), PROOF_UNKNOWN);
        feed_proof_free(p);
    }
}
END_TEST

START_TEST(a_run_goes_on_over_epochs)
{
    struct feed_entry next;
    begin();
    fixture_entry(1, e[LAST].hash, &next);
    next.epoch = 9;
    next.stamp = 5000;
    fixture_sign(e[LAST].hash, 1, &next);
    v.epoch = 9;
    v.seq = 1;
    memcpy(v.hash, next.hash, sizeof v.hash);
    struct feed_proof *p = proof_from(&(struct feed_mark){0});
    for (size_t i = 0; i <= LAST; i++)
        ck_assert_int_eq(feed_proof_line(p, &e[i]), 0);
    ck_assert_int_eq(feed_proof_line(p, &next), 0);
    for (size_t i = 0; i <= LAST; i++)
        ck_assert_int_eq(feed_proof_judge(p, &e[i]), PROOF_GOOD);
    // the thief went on in the old epoch
    ck_assert_int_eq(feed_proof_judge(p, &e[LAST + 1]), PROOF_UNKNOWN);
    feed_proof_free(p);
}
END_TEST

// A run that is longer than what is kept is proven stretch by stretch, each from the end of the last.
START_TEST(a_long_run_is_proven_in_stretches)
{
    begin();
    for (size_t max = 1; max <= N; max++) {
        struct feed_mark from = {0}, at;
        size_t known = 0;
        for (size_t start = 0; start <= LAST; start += max, known++) {
            struct feed_proof *p = proof_from(&from);
            if (!p)
                break;
            feed_proof_bound(p, max);
            for (size_t i = start; i < N; i++)
                ck_assert_int_eq(feed_proof_line(p, &e[i]), 0);
            bool cut = start + max <= LAST;
            size_t end = cut ? start + max - 1 : LAST;
            for (size_t i = start; i < N; i++) {
                struct feed_entry fork = fork_of(i);
                mark_of_entry(&e[i], &at);
                ck_assert(feed_proof_ends(p, &at) == (cut && i >= end));
                ck_assert_int_eq(feed_proof_judge(p, &e[i]), i <= end ? PROOF_GOOD : PROOF_UNKNOWN);
                ck_assert_int_eq(feed_proof_judge(p, &fork),
                                 i <= end ? PROOF_OTHER : PROOF_UNKNOWN);
            }
            mark_of_entry(&e[end], &from);
            feed_proof_free(p);
        }
        ck_assert_uint_eq(known, (LAST + max) / max);
    }
}
END_TEST

// What comes behind a gap in a run that was cut is a run of its own.
START_TEST(a_gap_behind_a_full_run_proves_only_what_follows)
{
    begin();
    struct feed_proof *p = proof_from(&(struct feed_mark){0});
    feed_proof_bound(p, 1);
    ck_assert_int_eq(feed_proof_line(p, &e[0]), 0);
    ck_assert_int_eq(feed_proof_line(p, &e[1]), 0);
    ck_assert_int_eq(feed_proof_line(p, &e[LAST]), 0);
    struct feed_mark at;
    mark_of_entry(&e[LAST], &at);
    ck_assert(!feed_proof_ends(p, &at));
    ck_assert_int_eq(feed_proof_judge(p, &e[0]), PROOF_UNKNOWN);
    ck_assert_int_eq(feed_proof_judge(p, &e[LAST]), PROOF_GOOD);
    feed_proof_free(p);
}
END_TEST

CHECK_MAIN("replication/feed_proof", nothing_is_to_be_proven_past_the_place,
           an_unbroken_run_up_to_the_place_is_proven, a_fork_proves_nothing,
           a_run_goes_on_over_epochs, a_long_run_is_proven_in_stretches,
           a_gap_behind_a_full_run_proves_only_what_follows)
