// SPDX-License-Identifier: Apache-2.0
// fleet/drift: which differences between nodes are drift, when, and what the sentence says.
#include "fleet/drift.h"

#include "tests/support/check_main.h"

#include <string.h>

static struct drift d; // zero at the start of each case, which is forked

static struct drift_report report(const char *region, uint64_t topology, uint64_t principals)
{
    struct drift_report r = {.topology = topology, .principals = principals};
    strcpy(r.region, region);
    return r;
}

static void note(struct drift_report r, int64_t now_ms)
{
    drift_note(&d, &r, now_ms);
}

START_TEST(regions_that_agree_do_not_drift)
{
    char text[512];
    for (int64_t now = 0; now < 200000; now += 5000) {
        note(report("eastus", 7, 3), now);
        note(report("westus", 7, 3), now);
        drift_judge(&d, now);
        ck_assert(!drift_text(&d, now, text, sizeof text));
    }
    ck_assert_uint_eq(drift_count(&d, 200000), 0);
}
END_TEST

START_TEST(a_change_on_its_way_is_no_drift_and_one_that_stays_away_is)
{
    char text[512];
    note(report("eastus", 8, 3), 1000);
    note(report("westus", 7, 3), 1000);
    drift_judge(&d, 1000);
    ck_assert_uint_eq(drift_count(&d, 1000 + DRIFT_GRACE_MS - 1), 0);
    note(report("westus", 8, 3), 2000);
    drift_judge(&d, 2000);
    ck_assert_uint_eq(drift_count(&d, 2000 + DRIFT_GRACE_MS), 0);

    note(report("eastus", 9, 3), 3000);
    drift_judge(&d, 3000);
    int64_t later = 3000 + DRIFT_GRACE_MS;
    ck_assert(drift_text(&d, later, text, sizeof text));
    ck_assert_ptr_nonnull(strstr(text, "region westus has version 8 of the topology while eastus "
                                       "has 9, for 30 s"));
    ck_assert_ptr_nonnull(strstr(text, "copy the file of eastus there"));
}
END_TEST

START_TEST(the_cure_of_a_node_on_the_feed_is_another)
{
    char text[512];
    struct drift_report a = report("eastus", 9, 3), b = report("westus", 8, 3);
    a.feed = b.feed = true;
    note(a, 0);
    note(b, 0);
    drift_judge(&d, 0);
    ck_assert(drift_text(&d, DRIFT_GRACE_MS, text, sizeof text));
    ck_assert_ptr_nonnull(strstr(text, "it does not follow the control feed"));
}
END_TEST

START_TEST(principals_drift_alone_and_nodes_without_any_do_not)
{
    char text[512];
    note(report("eastus", 9, 4), 0);
    note(report("westus", 9, 3), 0);
    note(report("names", 9, 0), 0);
    drift_judge(&d, 0);
    ck_assert_uint_eq(drift_count(&d, DRIFT_GRACE_MS), 1);
    ck_assert(drift_text(&d, DRIFT_GRACE_MS, text, sizeof text));
    ck_assert_ptr_nonnull(strstr(text, "region westus has version 3 of the principals"));
}
END_TEST

START_TEST(one_that_reads_files_beside_the_feed_drifts_whatever_its_version)
{
    char text[512];
    struct drift_report a = report("eastus", 9, 3);
    a.feed = true;
    note(a, 0);
    note(report("westus", 9, 3), 0);
    drift_judge(&d, 0);
    ck_assert(drift_text(&d, DRIFT_GRACE_MS, text, sizeof text));
    ck_assert_ptr_nonnull(strstr(text, "region westus takes its topology from files"));
    ck_assert_ptr_nonnull(strstr(text, "source: feed"));
}
END_TEST

START_TEST(the_same_version_with_another_content_drifts)
{
    char text[512];
    struct drift_report a = report("eastus", 9, 3), b = report("westus", 9, 3),
                        c = report("northeurope", 9, 3);
    a.hash[0] = 1;
    b.hash[0] = 2; // c does not say: it has changes since
    note(a, 0);
    note(b, 0);
    note(c, 0);
    drift_judge(&d, 0);
    ck_assert_uint_eq(drift_count(&d, DRIFT_GRACE_MS), 1);
    ck_assert(drift_text(&d, DRIFT_GRACE_MS, text, sizeof text));
    ck_assert_ptr_nonnull(strstr(text, "with different contents"));
}
END_TEST

START_TEST(who_is_away_does_not_drift)
{
    note(report("eastus", 9, 3), 0);
    note(report("westus", 8, 3), 0);
    drift_judge(&d, 0);
    int64_t later = DRIFT_MEMORY_MS + 1;
    note(report("eastus", 9, 3), later);
    drift_judge(&d, later);
    ck_assert_uint_eq(drift_count(&d, later + DRIFT_GRACE_MS), 0);

    note(report("westus", 8, 3), later); // back, and still behind
    drift_judge(&d, later);
    ck_assert_uint_eq(drift_count(&d, later + DRIFT_GRACE_MS), 1);
}
END_TEST

START_TEST(several_are_counted_in_the_sentence_and_a_short_buffer_holds)
{
    char text[512], few[20];
    note(report("eastus", 9, 3), 0);
    note(report("westus", 8, 3), 0);
    note(report("northeurope", 7, 3), 0);
    drift_judge(&d, 0);
    ck_assert(drift_text(&d, DRIFT_GRACE_MS, text, sizeof text));
    ck_assert_ptr_nonnull(strstr(text, "; 1 more differ"));
    ck_assert(drift_text(&d, DRIFT_GRACE_MS, few, sizeof few));
    ck_assert_uint_eq(strlen(few), sizeof few - 1);
}
END_TEST

CHECK_MAIN("fleet/drift", regions_that_agree_do_not_drift,
           a_change_on_its_way_is_no_drift_and_one_that_stays_away_is,
           the_cure_of_a_node_on_the_feed_is_another,
           principals_drift_alone_and_nodes_without_any_do_not,
           one_that_reads_files_beside_the_feed_drifts_whatever_its_version,
           the_same_version_with_another_content_drifts, who_is_away_does_not_drift,
           several_are_counted_in_the_sentence_and_a_short_buffer_holds)
