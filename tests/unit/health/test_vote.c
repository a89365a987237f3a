// SPDX-License-Identifier: Apache-2.0
// resolver/health_vote: the rules of design section 5 as a table. Also health_deep's steps, and
// orders that merge the same way in any order.
#include "health/vote.h"

#include "base/err.h"
#include "base/mem.h"
#include "health/deep.h"
#include "health/orders.h"
#include "tests/support/check_main.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define NOW 100000
#define LIFE 3000
#define FALL 3
#define V(age, is_up, bad)                                                    \
    {                                                                         \
        .heard_ms = NOW - (age), .knows = true, .up = (is_up), .n_bad = (bad) \
    }
#define OWN                                                            \
    {                                                                  \
        .heard_ms = NOW, .own_region = true, .knows = true, .up = true \
    }
#define OWN_DOWN(bad)                                                      \
    {                                                                      \
        .heard_ms = NOW, .own_region = true, .knows = true, .n_bad = (bad) \
    }
#define ASIDE(is_up, bad)                                                               \
    {                                                                                   \
        .heard_ms = NOW, .abstains = true, .knows = true, .up = (is_up), .n_bad = (bad) \
    }
#define ABSTAINS ASIDE(0, 50)
#define NEVER                                     \
    {                                             \
        .heard_ms = 0, .knows = true, .n_bad = 50 \
    }
#define UNKNOWN         \
    {                   \
        .heard_ms = NOW \
    }

static const struct {
    const char *what;
    struct health_vote votes[5];
    size_t n, n_expected;
    enum health_ballot ballot;
    enum health_rule rule;
} rows[] = {
    {"nobody", {NEVER}, 1, 2, HEALTH_SAY_NOTHING, VOTE_NOBODY},
    {"two of two", {V(0, 0, 3), V(9, 0, 3)}, 2, 2, HEALTH_SAY_DOWN, VOTE_MAJORITY},
    {"a tie", {V(0, 0, 99), V(0, 1, 0)}, 2, 2, HEALTH_SAY_NOTHING, VOTE_TIE},
    {"two of three", {V(0, 0, 3), V(0, 1, 0), V(0, 0, 3)}, 3, 3, HEALTH_SAY_DOWN, VOTE_MAJORITY},
    {"one of three", {V(0, 0, 99), V(0, 1, 0), V(0, 1, 0)}, 3, 3, HEALTH_SAY_UP, VOTE_MAJORITY},
    {"two against two",
     {V(0, 0, 3), V(0, 1, 0), V(0, 0, 3), V(0, 1, 0)},
     4,
     4,
     HEALTH_SAY_NOTHING,
     VOTE_TIE},
    {"as old as may be", {V(LIFE, 0, 3), V(0, 0, 3)}, 2, 2, HEALTH_SAY_DOWN, VOTE_MAJORITY},
    {"too old", {V(LIFE + 1, 1, 0), V(0, 0, 6)}, 2, 2, HEALTH_SAY_DOWN, VOTE_LONE},
    {"all too old", {V(LIFE + 1, 1, 0), V(LIFE + 1, 0, 6)}, 2, 2, HEALTH_SAY_NOTHING, VOTE_NOBODY},
    {"its own region", {OWN, V(0, 0, 3), V(0, 0, 3)}, 3, 2, HEALTH_SAY_DOWN, VOTE_MAJORITY},
    {"its own region alone", {OWN, NEVER}, 2, 2, HEALTH_SAY_UP, VOTE_LONE},
    {"its own region alone, down", {OWN_DOWN(2 * FALL)}, 1, 2, HEALTH_SAY_DOWN, VOTE_LONE},
    {"its own region alone, not yet",
     {OWN_DOWN(2 * FALL - 1)},
     1,
     1,
     HEALTH_SAY_NOTHING,
     VOTE_WAITS},
    {"its own region against one that abstains",
     {OWN, ABSTAINS},
     2,
     2,
     HEALTH_SAY_NOTHING,
     VOTE_CONTESTED},
    {"its own region against many",
     {OWN, ABSTAINS, ABSTAINS},
     3,
     2,
     HEALTH_SAY_NOTHING,
     VOTE_CONTESTED},
    {"its own region with one that abstains",
     {OWN_DOWN(1), ABSTAINS},
     2,
     2,
     HEALTH_SAY_DOWN,
     VOTE_LONE},
    {"its own region against voters",
     {OWN, V(0, 0, 3), V(0, 0, 3)},
     3,
     2,
     HEALTH_SAY_DOWN,
     VOTE_MAJORITY},
    {"lone, fall", {V(0, 0, FALL), NEVER}, 2, 2, HEALTH_SAY_NOTHING, VOTE_WAITS},
    {"lone, almost", {V(0, 0, 2 * FALL - 1), NEVER}, 2, 2, HEALTH_SAY_NOTHING, VOTE_WAITS},
    {"lone, twice the fall", {V(0, 0, 2 * FALL), NEVER}, 2, 2, HEALTH_SAY_DOWN, VOTE_LONE},
    {"lone, up", {V(0, 1, 0), NEVER}, 2, 2, HEALTH_SAY_UP, VOTE_LONE},
    {"alone by right", {OWN, V(0, 0, FALL)}, 2, 1, HEALTH_SAY_DOWN, VOTE_LONE},
    {"the other abstains", {ABSTAINS, V(0, 0, FALL)}, 2, 2, HEALTH_SAY_NOTHING, VOTE_WAITS},
    {"the other has said up and abstains",
     {ASIDE(1, 0), V(0, 0, FALL)},
     2,
     2,
     HEALTH_SAY_NOTHING,
     VOTE_WAITS},
    {"all abstain", {ABSTAINS, ABSTAINS}, 2, 2, HEALTH_SAY_DOWN, VOTE_MAJORITY},
    {"all abstain, one not yet",
     {ABSTAINS, ASIDE(0, 2 * FALL - 1)},
     2,
     2,
     HEALTH_SAY_NOTHING,
     VOTE_WAITS},
    {"all abstain, in a tie", {ABSTAINS, ASIDE(1, 0)}, 2, 2, HEALTH_SAY_NOTHING, VOTE_TIE},
    {"all abstain, most see it up",
     {ABSTAINS, ASIDE(1, 0), ASIDE(1, 0)},
     3,
     3,
     HEALTH_SAY_UP,
     VOTE_MAJORITY},
    {"one abstains, the rest is gone", {ABSTAINS, NEVER, NEVER}, 3, 2, HEALTH_SAY_DOWN, VOTE_LONE},
    {"one abstains and waits",
     {ASIDE(0, 2 * FALL - 1), NEVER},
     2,
     1,
     HEALTH_SAY_NOTHING,
     VOTE_WAITS},
    {"one abstains and sees it up", {ASIDE(1, 0), NEVER}, 2, 2, HEALTH_SAY_UP, VOTE_LONE},
    {"one abstains, another has not probed it",
     {ABSTAINS, UNKNOWN},
     2,
     2,
     HEALTH_SAY_NOTHING,
     VOTE_NOBODY},
    {"its own region, another has not probed it",
     {OWN_DOWN(50), UNKNOWN},
     2,
     2,
     HEALTH_SAY_NOTHING,
     VOTE_NOBODY},
    {"many abstain, one votes", {ABSTAINS, ABSTAINS, V(0, 1, 0)}, 3, 3, HEALTH_SAY_UP, VOTE_LONE},
    {"abstaining breaks a tie",
     {ABSTAINS, V(0, 0, 3), V(0, 1, 0), V(0, 1, 0)},
     4,
     4,
     HEALTH_SAY_UP,
     VOTE_MAJORITY},
    {"has not probed it", {UNKNOWN, V(0, 1, 0), V(0, 1, 0)}, 3, 3, HEALTH_SAY_UP, VOTE_MAJORITY},
};

START_TEST(table)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct health_count c =
            health_vote(rows[i].votes, rows[i].n, NOW, LIFE, rows[i].n_expected, FALL);
        ck_assert_msg(c.ballot == rows[i].ballot && c.rule == rows[i].rule, "%s: ballot %d, %s",
                      rows[i].what, (int)c.ballot, health_rule_text(c.rule));
    }
}
END_TEST

START_TEST(who_sees_most_others_down_abstains)
{
    ck_assert(!health_abstains(0, 0));
    ck_assert(!health_abstains(1, 1)); // two regions: nothing would ever fail over
    ck_assert(!health_abstains(2, 1));
    ck_assert(health_abstains(2, 2));
    ck_assert(!health_abstains(4, 2));
    ck_assert(health_abstains(5, 3));
}
END_TEST

START_TEST(headroom_holds_its_step)
{
    ck_assert_uint_eq(health_headroom_step(5, 57), 5);
    ck_assert_uint_eq(health_headroom_step(5, 58), 6);
    ck_assert_uint_eq(health_headroom_step(5, 42), 4);
    ck_assert_uint_eq(health_headroom_step(10, 0), 0);
    ck_assert_uint_eq(health_headroom_step(0, 100), 10);
    for (unsigned was = 0; was <= 10; was++)
        for (unsigned percent = 0; percent <= 100; percent++) {
            uint8_t step = health_headroom_step((uint8_t)was, percent);
            ck_assert_uint_le(step, 10);
            ck_assert_uint_eq(health_headroom_step(step, percent), step);
        }
}
END_TEST

static struct health_orders a, b;

START_TEST(the_later_order_wins_everywhere)
{
    const struct health_order orders[] = {
        {.kind = HEALTH_DRAINED, .region = "eastus", .on = true, .at_ms = 1000},
        {.kind = HEALTH_DRAINED, .region = "eastus", .on = false, .at_ms = 2000},
        {.kind = HEALTH_DRAINED, .region = "eastus", .label = "contoso", .on = true, .at_ms = 1500},
        {.kind = HEALTH_IMPAIRED,
         .region = "eastus",
         .label = "contoso",
         .on = false,
         .at_ms = 1500},
        {.kind = HEALTH_IMPAIRED,
         .region = "eastus",
         .label = "contoso",
         .on = true,
         .at_ms = 1500},
        {.kind = HEALTH_FORCED,
         .region = "eastus",
         .on = true,
         .force = HEALTH_FORCE_UP,
         .at_ms = 1000},
        {.kind = HEALTH_FORCED,
         .region = "eastus",
         .on = true,
         .force = HEALTH_FORCE_DOWN,
         .at_ms = 1200},
        {.kind = HEALTH_FORCED,
         .region = "westus",
         .on = true,
         .force = HEALTH_FORCE_UP,
         .at_ms = 1300},
        {.kind = HEALTH_FORCED, .region = "westus", .at_ms = 1300},
        {.kind = HEALTH_FORCED,
         .region = "westus",
         .on = true,
         .force = HEALTH_FORCE_UP,
         .at_ms = 900},
    };
    for (size_t i = 0; i < ARRAY_LEN(orders); i++)
        health_orders_merge(&a, &orders[i], 3000);
    for (size_t i = ARRAY_LEN(orders); i-- > 0;)
        health_orders_merge(&b, &orders[i], 3000);
    ck_assert_uint_eq(a.n, 5);
    ck_assert_uint_eq(b.n, 5);
    for (size_t i = 0; i < a.n; i++) {
        struct health_order *x = &a.list[i],
                            *y = health_orders_find(&b, x->kind, x->region, x->label);
        ck_assert(y && health_order_same(x, y));
    }
    ck_assert(!health_orders_find(&a, HEALTH_DRAINED, "eastus", "")->on);
    ck_assert(health_orders_find(&a, HEALTH_IMPAIRED, "eastus", "contoso")->on);
    ck_assert_int_eq(health_orders_find(&a, HEALTH_FORCED, "eastus", "")->force, HEALTH_FORCE_DOWN);
    ck_assert_int_eq(health_orders_find(&a, HEALTH_FORCED, "westus", "")->force, HEALTH_AUTO);
    struct health_order future = {
        .kind = HEALTH_DRAINED, .region = "eastus", .on = true, .at_ms = 4000 + HEALTH_SKEW_MS};
    ck_assert_int_eq(health_orders_merge(&a, &future, 3000), ERR_RANGE);
    health_orders_forget(&a, 2001 + HEALTH_ORDER_KEPT_MS);
    ck_assert_uint_eq(a.n, 3); // without the drain, and the force, that were taken back
}
END_TEST

START_TEST(forces_are_a_list_of_their_own)
{
    static const struct {
        const char *text;
        int rc;
        size_t n;
    } texts[] = {
        {"{'orders':[]}", 0, 0}, // of a resolver that knows no forces
        {"{'orders':[],'forces':[{'region':'eastus','force':'down','at_ms':1},"
         "{'region':'westus','force':'auto','at_ms':2}]}",
         0, 2},
        {"{'orders':[{'kind':'drain','region':'eastus','label':'','on':true,'at_ms':1}],"
         "'forces':[{'region':'eastus','force':'up','at_ms':1}]}",
         0, 2},
        {"{'forces':[]}", ERR_CORRUPT, 0},
        {"{'orders':[],'forces':{}}", ERR_CORRUPT, 0},
        {"{'orders':[],'forces':[{'region':'eastus','force':'sideways','at_ms':1}]}", ERR_CORRUPT,
         0},
        {"{'orders':[],'forces':[{'region':'East US','force':'up','at_ms':1}]}", ERR_CORRUPT, 0},
        {"{'orders':[],'forces':[{'region':'eastus','force':'up','at_ms':0}]}", ERR_CORRUPT, 0},
        {"{'orders':[],'forces':[{'region':'eastus','force':'up'}]}", ERR_CORRUPT, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        char text[256];
        snprintf(text, sizeof text, "%s", texts[i].text);
        for (char *p = text; *p; p++)
            *p = *p == '\'' ? '"' : *p;
        json_t *in = json_loads(text, 0, NULL), *out = json_object();
        memset(&a, 0, sizeof a);
        ck_assert_msg(in && health_orders_get(in, &a) == texts[i].rc, "%s", text);
        ck_assert_uint_eq(a.n, texts[i].n);
        ck_assert_int_eq(health_orders_put(&a, out), 0);
        ck_assert_int_eq(health_orders_get(out, &b), 0);
        ck_assert_mem_eq(&a, &b, sizeof a);
        json_decref(in);
        json_decref(out);
    }
}
END_TEST

START_TEST(orders_are_bounded)
{
    memset(&a, 0, sizeof a);
    for (int i = 0; i < HEALTH_ORDERS_MAX; i++) {
        struct health_order x = {
            .kind = HEALTH_IMPAIRED, .region = "eastus", .on = i != 7, .at_ms = 1000};
        snprintf(x.label, sizeof x.label, "reg%05d", i);
        ck_assert_int_eq(health_orders_merge(&a, &x, 3000), 1);
    }
    struct health_order more = {
        .kind = HEALTH_DRAINED, .region = "eastus", .on = true, .at_ms = 1000};
    ck_assert_int_eq(health_orders_merge(&a, &more, 3000), 1); // in place of the one taken back
    more.label[0] = 'x';
    ck_assert_int_eq(health_orders_merge(&a, &more, 3000), ERR_NOSPACE);
}
END_TEST

CHECK_MAIN("resolver/health_vote", table, who_sees_most_others_down_abstains,
           headroom_holds_its_step, the_later_order_wins_everywhere, forces_are_a_list_of_their_own,
           orders_are_bounded)
