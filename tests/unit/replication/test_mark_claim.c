// SPDX-License-Identifier: Apache-2.0
// replication/mark_claim: when what a peer says that it has read of us is looked at again.
#include "replication/mark_claim.h"

#include "base/clock_test.h"
#include "base/err.h"
#include "tests/support/check_main.h"

static struct mark_claim *claim;
static const struct feed_mark mark = {.epoch = 3, .seq = 9};

static void begin(void)
{
    clock_virtual_set(1800000000000);
    ck_assert_int_eq(mark_claim_new(&claim), 0);
    ck_assert(mark_claim_ahead(claim, &mark));
}

static enum claim_due due(void)
{
    struct feed_mark at;
    return mark_claim_due(claim, &at);
}

// A look that meets an entry by a key that the topology does not have.
static void meets_a_strange_key(void)
{
    mark_claim_strange_key(claim, "eastus-feed-old");
    mark_claim_looked(claim, &(struct claim_look){.mark = mark, .rc = ERR_AUTH});
}

START_TEST(a_look_that_failed_rests)
{
    begin();
    ck_assert_int_eq(due(), CLAIM_DUE);
    meets_a_strange_key();
    ck_assert_int_eq(due(), CLAIM_LATER);
    clock_virtual_advance(60000);
    ck_assert_int_eq(due(), CLAIM_DUE);
    mark_claim_free(claim);
}
END_TEST

START_TEST(another_topology_ends_the_rest)
{
    begin();
    ck_assert_int_eq(due(), CLAIM_DUE);
    meets_a_strange_key();
    mark_claim_look_again(claim);
    ck_assert_int_eq(due(), CLAIM_DUE);
    mark_claim_free(claim);
}
END_TEST

START_TEST(another_topology_in_the_middle_of_a_look_leaves_no_rest)
{
    begin();
    ck_assert_int_eq(due(), CLAIM_DUE);
    mark_claim_look_again(claim);
    meets_a_strange_key();
    ck_assert_int_eq(due(), CLAIM_DUE); // the key may be there by now
    meets_a_strange_key();
    ck_assert_int_eq(due(), CLAIM_LATER); // once
    mark_claim_free(claim);
}
END_TEST

START_TEST(no_topology_mends_what_no_key_is_wrong_with)
{
    begin();
    ck_assert_int_eq(due(), CLAIM_DUE);
    mark_claim_look_again(claim);
    mark_claim_looked(claim, &(struct claim_look){.mark = mark, .rc = ERR_TIMEOUT});
    ck_assert_int_eq(due(), CLAIM_LATER);
    mark_claim_look_again(claim);
    ck_assert_int_eq(due(), CLAIM_LATER);
    mark_claim_free(claim);
}
END_TEST

// Looked at from the start when it was asked and claims nothing, until a look succeeds.
START_TEST(who_is_doubted_is_looked_at_whole)
{
    struct feed_mark at = mark;
    const struct feed_mark start = {0};
    clock_virtual_set(1800000000000);
    ck_assert_int_eq(mark_claim_new(&claim), 0);
    mark_claim_doubt(claim);
    ck_assert_int_eq(mark_claim_due(claim, &at), CLAIM_FINE); // it may be away
    mark_claim_fine(claim, &mark);
    ck_assert_int_eq(mark_claim_due(claim, &at), CLAIM_DUE);
    ck_assert(mark_is_zero(&at));
    mark_claim_looked(claim, &(struct claim_look){.mark = start, .rc = ERR_TIMEOUT});
    ck_assert_int_eq(due(), CLAIM_LATER);
    clock_virtual_advance(60000);
    ck_assert_int_eq(due(), CLAIM_DUE);
    ck_assert(mark_claim_ahead(claim, &mark)); // its claim comes first
    ck_assert_int_eq(mark_claim_due(claim, &at), CLAIM_DUE);
    ck_assert(mark_equal(&at, &mark));
    mark_claim_looked(claim, &(struct claim_look){.mark = mark, .held = true});
    ck_assert_int_eq(due(), CLAIM_DUE);
    mark_claim_looked(claim, &(struct claim_look){.mark = start, .held = true});
    ck_assert_int_eq(due(), CLAIM_FINE);
    mark_claim_free(claim);
}
END_TEST

CHECK_MAIN("replication/mark_claim", a_look_that_failed_rests, another_topology_ends_the_rest,
           another_topology_in_the_middle_of_a_look_leaves_no_rest,
           no_topology_mends_what_no_key_is_wrong_with, who_is_doubted_is_looked_at_whole)
