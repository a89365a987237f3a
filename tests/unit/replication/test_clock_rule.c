// SPDX-License-Identifier: Apache-2.0
// replication/clock_rule: whose clock is wrong is a majority's word; where nobody can tell, writes
// go on. A table of histories, and every case of up to five regions against the rule in other
// words.
#include "replication/clock_rule.h"

#include "tests/support/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define S CLOCK_KERNEL_SYNCHRONISED
#define U CLOCK_KERNEL_UNSYNCHRONISED
#define AT(ms, err)                                                                         \
    {                                                                                       \
        .region = "r", .known = true, .reached = true, .offset_ms = (ms), .error_ms = (err) \
    }
#define CUT(ms, err)                                                       \
    {                                                                      \
        .region = "r", .known = true, .offset_ms = (ms), .error_ms = (err) \
    } // measured once
#define NEVER         \
    {                 \
        .region = "r" \
    }

static const struct {
    const char *what;
    size_t n_members;
    enum clock_kernel kernel;
    enum clock_state before, want;
    struct clock_other others[6];
} rows[] = {
    {"one region", 1, U, CLOCK_FINE, CLOCK_FINE, {NEVER}},
    {"two regions that agree", 2, U, CLOCK_FINE, CLOCK_FINE, {AT(20, 5)}},
    {"two regions: nobody can tell", 2, S, CLOCK_FINE, CLOCK_DIFFERS, {AT(2000, 5)}},
    {"two regions, the kernel does not say",
     2,
     CLOCK_KERNEL_UNKNOWN,
     CLOCK_FINE,
     CLOCK_DIFFERS,
     {AT(2000, 5)}},
    {"two regions, ours is unsynchronised", 2, U, CLOCK_FINE, CLOCK_UNSYNCHRONISED, {AT(-2000, 5)}},
    {"and it stays closed while the other is cut",
     2,
     U,
     CLOCK_UNSYNCHRONISED,
     CLOCK_UNSYNCHRONISED,
     {CUT(-2000, 30)}},
    {"until the kernel says that it is right",
     2,
     S,
     CLOCK_UNSYNCHRONISED,
     CLOCK_FINE,
     {CUT(-2000, 30)}},
    {"or the difference is gone", 2, U, CLOCK_UNSYNCHRONISED, CLOCK_FINE, {AT(200, 5)}},
    {"not at a little less", 2, U, CLOCK_UNSYNCHRONISED, CLOCK_UNSYNCHRONISED, {AT(400, 5)}},
    {"unsynchronised, and nobody is reached", 2, U, CLOCK_FINE, CLOCK_FINE, {CUT(2000, 5)}},
    {"three, ours is bad", 3, S, CLOCK_FINE, CLOCK_OUTVOTED, {AT(2000, 5), AT(2010, 5)}},
    {"three, another one is bad", 3, U, CLOCK_FINE, CLOCK_DIFFERS, {AT(2000, 5), AT(3, 5)}},
    {"three, one cut, the reachable one bad",
     3,
     S,
     CLOCK_FINE,
     CLOCK_DIFFERS,
     {AT(2000, 5), CUT(0, 5)}},
    {"three, one never heard, the reachable one bad",
     3,
     S,
     CLOCK_FINE,
     CLOCK_DIFFERS,
     {AT(2000, 5), NEVER}},
    {"three, one cut that said the same",
     3,
     S,
     CLOCK_FINE,
     CLOCK_DIFFERS,
     {AT(2000, 5), CUT(2000, 5)}},
    {"three, one cut, unsynchronised",
     3,
     U,
     CLOCK_FINE,
     CLOCK_UNSYNCHRONISED,
     {AT(2000, 5), NEVER}},
    {"three that all differ: no two agree",
     3,
     S,
     CLOCK_FINE,
     CLOCK_DIFFERS,
     {AT(2000, 5), AT(-2000, 5)}},
    {"three, off to one side, but not by the same",
     3,
     S,
     CLOCK_FINE,
     CLOCK_DIFFERS,
     {AT(600, 5), AT(9000, 5)}},
    {"four, two off are no majority",
     4,
     S,
     CLOCK_FINE,
     CLOCK_DIFFERS,
     {AT(2000, 5), AT(2000, 5), AT(0, 5)}},
    {"four, three off", 4, S, CLOCK_FINE, CLOCK_OUTVOTED, {AT(2000, 5), AT(2000, 5), AT(-7000, 5)}},
    {"four, two off and one cut",
     4,
     U,
     CLOCK_FINE,
     CLOCK_DIFFERS,
     {AT(2000, 5), AT(2000, 5), NEVER}},
    {"five, two bad",
     5,
     U,
     CLOCK_FINE,
     CLOCK_DIFFERS,
     {AT(2000, 5), AT(-900, 5), AT(1, 1), AT(-1, 1)}},
    {"five, two liars that agree",
     5,
     U,
     CLOCK_FINE,
     CLOCK_DIFFERS,
     {AT(5000, 5), AT(5000, 5), AT(1, 1), AT(-1, 1)}},
    {"five, two liars that agree, one cut",
     5,
     U,
     CLOCK_FINE,
     CLOCK_DIFFERS,
     {AT(5000, 5), AT(5000, 5), NEVER, AT(0, 1)}},
    {"five, two liars and the others cut",
     5,
     U,
     CLOCK_FINE,
     CLOCK_DIFFERS,
     {AT(5000, 5), AT(5000, 5), NEVER, NEVER}},
    {"five, ours is bad and another one",
     5,
     S,
     CLOCK_FINE,
     CLOCK_OUTVOTED,
     {AT(5, 5), AT(800, 5), AT(800, 5), AT(801, 5)}},
    {"five, ours is bad, one cut, one bad",
     5,
     S,
     CLOCK_FINE,
     CLOCK_OUTVOTED,
     {NEVER, AT(-9000, 5), AT(800, 5), AT(801, 5)}},
    {"the error of measurement counts for us",
     3,
     S,
     CLOCK_FINE,
     CLOCK_FINE,
     {AT(600, 101), AT(600, 100)}},
    {"and no more than that", 3, S, CLOCK_FINE, CLOCK_OUTVOTED, {AT(600, 99), AT(600, 99)}},
    {"at the limit", 3, S, CLOCK_FINE, CLOCK_FINE, {AT(500, 0), AT(-500, 0)}},
    {"past it", 3, S, CLOCK_FINE, CLOCK_OUTVOTED, {AT(501, 0), AT(501, 0)}},
    {"closed, in between", 3, S, CLOCK_OUTVOTED, CLOCK_OUTVOTED, {AT(300, 5), AT(400, 5)}},
    {"closed, one says that it is right again",
     3,
     S,
     CLOCK_OUTVOTED,
     CLOCK_DIFFERS,
     {AT(250, 0), AT(400, 5)}},
    {"closed, right again", 3, S, CLOCK_OUTVOTED, CLOCK_FINE, {AT(0, 5), AT(0, 5)}},
    {"closed, then cut off from all",
     3,
     S,
     CLOCK_OUTVOTED,
     CLOCK_OUTVOTED,
     {CUT(2000, 20), CUT(2000, 20)}},
    {"closed, cut off for so long that it proves nothing",
     3,
     S,
     CLOCK_OUTVOTED,
     CLOCK_FINE,
     {CUT(2000, 1750), CUT(2000, 1750)}},
    {"closed, cut off, and set right meanwhile",
     3,
     S,
     CLOCK_OUTVOTED,
     CLOCK_FINE,
     {CUT(4, 40), CUT(2, 40)}},
    {"closed, one cut", 3, S, CLOCK_OUTVOTED, CLOCK_OUTVOTED, {AT(2000, 5), CUT(2000, 20)}},
    {"the warning stays in between", 3, S, CLOCK_DIFFERS, CLOCK_DIFFERS, {AT(300, 0), AT(0, 0)}},
    {"the warning ends", 3, S, CLOCK_DIFFERS, CLOCK_FINE, {AT(250, 0), AT(0, 0)}},
};

START_TEST(histories)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t n = rows[i].n_members - 1;
        struct clock_case c = {rows[i].n_members, rows[i].others, n, rows[i].kernel,
                               rows[i].before};
        enum clock_state got = clock_judge(&c);
        ck_assert_msg(got == rows[i].want, "%s: %s, want %s", rows[i].what, clock_state_name(got),
                      clock_state_name(rows[i].want));
    }
}
END_TEST

// --- who may judge stamps by its clock ---

static const struct {
    const char *what;
    size_t n_members;
    enum clock_kernel kernel;
    enum clock_state state;
    bool vouched;
    struct clock_other others[4];
} vouchers[] = {
    {"alone", 1, U, CLOCK_FINE, true, {NEVER}},
    {"two that agree", 2, U, CLOCK_FINE, true, {AT(20, 5)}},
    {"two that differ", 2, S, CLOCK_DIFFERS, false, {AT(20000, 5)}},
    {"closed by the kernel", 2, U, CLOCK_UNSYNCHRONISED, false, {AT(20000, 5)}},
    {"nobody is reached, and the kernel doubts", 3, U, CLOCK_FINE, false, {CUT(0, 5), NEVER}},
    {"nobody is reached, and the kernel vouches", 3, S, CLOCK_FINE, true, {CUT(0, 5), NEVER}},
    {"nobody is reached, and the kernel does not say",
     3,
     CLOCK_KERNEL_UNKNOWN,
     CLOCK_FINE,
     false,
     {NEVER, NEVER}},
    {"a liar, and one that agrees", 3, U, CLOCK_DIFFERS, true, {AT(20000, 5), AT(3, 5)}},
    {"a liar, and who agreed is cut", 3, S, CLOCK_DIFFERS, false, {AT(20000, 5), CUT(3, 5)}},
    {"outvoted", 4, S, CLOCK_OUTVOTED, false, {AT(2000, 5), AT(2000, 5), AT(0, 5)}},
    {"no majority, but all that are reached",
     5,
     S,
     CLOCK_DIFFERS,
     false,
     {AT(2000, 5), AT(2000, 5), NEVER, NEVER}},
};

START_TEST(who_may_judge_stamps)
{
    for (size_t i = 0; i < sizeof vouchers / sizeof vouchers[0]; i++) {
        const struct clock_case c = {vouchers[i].n_members, vouchers[i].others,
                                     vouchers[i].n_members - 1, vouchers[i].kernel, CLOCK_FINE};
        ck_assert_msg(clock_vouched(&c, vouchers[i].state) == vouchers[i].vouched, "%s",
                      vouchers[i].what);
    }
}
END_TEST

// --- every case: members whose clocks are right, or wrong in one of some ways, reached or not ---

#define MEMBERS_MAX 5
static const int64_t wrong[] = {0, 2000, 2100, -2000, 700};
#define N_WRONG (sizeof wrong / sizeof wrong[0])
enum reach { REACHED, SLOW, CUT_OFF, UNHEARD, N_REACH };

// Region 0 looks at the others. `noise` is where the truth lies within the error: at either end.
static enum clock_state look(size_t n, const size_t *clock, const size_t *reach, int64_t noise,
                             enum clock_kernel k, enum clock_state before)
{
    struct clock_other others[MEMBERS_MAX];
    for (size_t i = 1; i < n; i++) {
        int64_t offset = wrong[clock[i]] - wrong[clock[0]];
        int64_t error = reach[i] == SLOW ? 1000 : llabs(noise);
        others[i - 1] = (struct clock_other){.region = "r",
                                             .known = reach[i] != UNHEARD,
                                             .reached = reach[i] == REACHED,
                                             .offset_ms = offset + noise,
                                             .error_ms = error};
    }
    return clock_judge(&(struct clock_case){n, others, n - 1, k, before});
}

// Counts up in base `base`; false after the last.
static bool count_up(size_t *digits, size_t n, size_t base)
{
    for (size_t i = 0; i < n; i++) {
        if (++digits[i] < base)
            return true;
        digits[i] = 0;
    }
    return false;
}

struct tally {
    size_t right, wrong, reached, reached_right, reached_off, majority;
};

static struct tally tally_of(size_t n, const size_t *clock, const size_t *reach)
{
    struct tally t = {.majority = n / 2 + 1};
    for (size_t i = 0; i < n; i++) {
        t.right += clock[i] == 0;
        t.wrong += clock[i] != 0;
        if (i == 0 || reach[i] != REACHED)
            continue;
        t.reached++;
        t.reached_right += clock[i] == 0;
        t.reached_off += llabs(wrong[clock[i]] - wrong[clock[0]]) > CLOCK_OFF_MS;
    }
    return t;
}

// Check's own assertions tell their parent each time, which is too much for millions.
#define HOLDS(what)                                                        \
    do {                                                                   \
        if (!(what))                                                       \
            ck_abort_msg("%s: of %zu regions, ours off by %lld", #what, n, \
                         (long long)wrong[clock[0]]);                      \
    } while (0)

static void check_one(size_t n, const size_t *clock, const size_t *reach, int64_t noise,
                      enum clock_kernel k)
{
    struct tally t = tally_of(n, clock, reach);
    enum clock_state s = look(n, clock, reach, noise, k, CLOCK_FINE);
    // One bad clock, or as many as are no majority, never closes a good region's writes by
    // outvoting it.
    if (clock[0] == 0 && t.wrong < t.majority)
        HOLDS(s != CLOCK_OUTVOTED);
    // Where the kernel vouches for it, nor by anything else; nor where two others are reached.
    if (clock[0] == 0 && t.wrong < t.majority && (k != U || t.reached >= 2))
        HOLDS(!clock_closes(s));
    // A majority of all members, not of those that are reached.
    if (t.reached_off < t.majority)
        HOLDS(s != CLOCK_OUTVOTED);
    // A bad clock closes when a majority of good ones is reached; their noise is less than how
    // wrong it is.
    if (clock[0] != 0 && t.reached_right >= t.majority &&
        llabs(wrong[clock[0]]) - 2 * llabs(noise) > CLOCK_OFF_MS)
        HOLDS(s == CLOCK_OUTVOTED);
    if (t.reached == 0 || t.reached_off == 0)
        HOLDS(s == CLOCK_FINE);
    // It cannot be worse to have been open before: what closes an open region keeps a closed one
    // closed.
    if (s == CLOCK_OUTVOTED)
        HOLDS(look(n, clock, reach, noise, k, CLOCK_OUTVOTED) == CLOCK_OUTVOTED);
    if (s == CLOCK_UNSYNCHRONISED)
        HOLDS(look(n, clock, reach, noise, k, CLOCK_UNSYNCHRONISED) == CLOCK_UNSYNCHRONISED);
}

START_TEST(one_bad_clock_hurts_itself_only)
{
    size_t n_cases = 0;
    for (size_t n = 1; n <= MEMBERS_MAX; n++) {
        size_t clock[MEMBERS_MAX] = {0};
        do {
            size_t reach[MEMBERS_MAX] = {0};
            do {
                for (int64_t noise = -50; noise <= 50; noise += 50)
                    check_one(n, clock, reach, noise, n_cases++ % 2 ? S : U);
            } while (count_up(reach + 1, n - 1, N_REACH));
        } while (count_up(clock, n, N_WRONG));
    }
    ck_assert_uint_gt(n_cases, 2000000);
}
END_TEST

// --- hysteresis ---

static enum clock_state step(enum clock_state before, int64_t offset, int64_t error)
{
    const struct clock_other two[] = {AT(offset, error), AT(offset + 3, error)};
    return clock_judge(&(struct clock_case){3, two, 2, S, before});
}

START_TEST(what_wavers_around_the_limit_does_not_open_and_close)
{
    enum clock_state s = CLOCK_FINE;
    unsigned n_changes = 0, random = 1;
    for (int i = 0; i < 10000; i++) {
        random = random * 1103515245 + 12345;
        int64_t offset = 420 + random / 65536 % 200; // 420 to 619
        int64_t error = random / 256 % CLOCK_ERROR_MAX_MS / 2;
        enum clock_state next = step(s, offset, error);
        n_changes += clock_closes(next) != clock_closes(s);
        s = next;
    }
    ck_assert(clock_closes(s));
    ck_assert_uint_eq(n_changes, 1);
}
END_TEST

// Whatever the error that counts at all: a clock that is off by more than the limit is never opened
// again.
START_TEST(a_worse_measurement_does_not_open_writes)
{
    for (int64_t offset = CLOCK_OFF_MS + 1; offset < 3000; offset += 7)
        for (int64_t error = 0; error <= CLOCK_ERROR_MAX_MS; error++)
            if (step(CLOCK_OUTVOTED, offset, error) != CLOCK_OUTVOTED)
                ck_abort_msg("opened at %lld, error %lld", (long long)offset, (long long)error);
}
END_TEST

// --- words ---

START_TEST(sentences_name_the_difference_and_the_regions)
{
    char text[CLOCK_SENTENCE_SIZE];
    struct clock_other o[] = {AT(-2000, 1), AT(1500, 1), AT(3, 1), AT(700, 1)};
    const char *const names[] = {"westeurope", "southeastasia", "eastus", "brazilsouth"};
    for (size_t i = 0; i < 4; i++)
        o[i].region = names[i];
    struct clock_case c = {5, o, 4, U, CLOCK_FINE};
    ck_assert_str_eq(clock_sentence(&c, CLOCK_FINE, text), "");
    ck_assert_str_eq(clock_sentence(&c, CLOCK_OUTVOTED, text),
                     "its clock is 2.000 s ahead of westeurope, 1.500 s behind southeastasia and 1 "
                     "more: a majority of 5 "
                     "regions; see to its time service (NTP)");
    c.n_others = 1;
    c.n_members = 2;
    ck_assert_str_eq(clock_sentence(&c, CLOCK_DIFFERS, text),
                     "its clock is 2.000 s ahead of westeurope; writes go on: nobody can tell "
                     "whose is wrong while fewer "
                     "than two other regions are reached");
    ck_assert_str_eq(clock_sentence(&c, CLOCK_UNSYNCHRONISED, text),
                     "its clock is 2.000 s ahead of westeurope, and its kernel says that it is not "
                     "synchronised (NTP)");
    c.n_others = 3;
    c.n_members = 4;
    ck_assert_str_eq(clock_sentence(&c, CLOCK_DIFFERS, text),
                     "its clock is 2.000 s ahead of westeurope, 1.500 s behind southeastasia; "
                     "writes go on: no majority of "
                     "the regions says that it is wrong");
}
END_TEST

// --- far off: dates are at risk ---

START_TEST(far_off_is_what_a_majority_says)
{
    struct clock_other o[] = {AT(45000, 5), AT(45010, 5), AT(0, 5)};
    struct clock_case c = {3, o, 2, S, CLOCK_FINE};
    ck_assert(clock_far(&c, clock_judge(&c)));
    o[1].offset_ms = 45010 - 20000; // off, by less than is far
    ck_assert(!clock_far(&c, CLOCK_OUTVOTED));
    o[1].offset_ms = -7; // the other one is on our side
    ck_assert_int_eq(clock_judge(&c), CLOCK_DIFFERS);
    ck_assert(!clock_far(&c, CLOCK_DIFFERS));
    c.n_others = 1; // two regions: the kernel's word
    c.n_members = 2;
    ck_assert(!clock_far(&c, clock_judge(&c)));
    c.kernel = U;
    ck_assert(clock_far(&c, clock_judge(&c)));
    o[0].offset_ms = 20000;
    ck_assert_int_eq(clock_judge(&c), CLOCK_UNSYNCHRONISED);
    ck_assert(!clock_far(&c, CLOCK_UNSYNCHRONISED));
}
END_TEST

// Whoever is right: what must not come too early does not go by a clock that most are behind.
START_TEST(ahead_is_who_most_of_the_others_are_behind)
{
    struct clock_other o[] = {AT(-45000, 5), AT(0, 5), AT(0, 5), AT(0, 5)};
    struct clock_case c = {2, o, 1, S, CLOCK_FINE};
    ck_assert(clock_ahead(&c)); // two regions, and nobody can tell
    o[0].offset_ms = 45000;
    ck_assert(!clock_ahead(&c)); // behind
    o[0].offset_ms = -30000;
    ck_assert(!clock_ahead(&c)); // not far
    o[0].offset_ms = -45000;
    c = (struct clock_case){3, o, 2, S, CLOCK_FINE};
    ck_assert(!clock_ahead(&c)); // one of two sides with us
    o[1].offset_ms = -3600000;
    ck_assert(clock_ahead(&c)); // both are behind, and do not agree
    ck_assert_int_eq(clock_judge(&c), CLOCK_DIFFERS);
    o[1].reached = false;
    ck_assert(clock_ahead(&c));
    o[0].reached = false;
    ck_assert(!clock_ahead(&c)); // nobody is reached
    o[0].reached = o[1].reached = true;
    c = (struct clock_case){5, o, 4, S, CLOCK_FINE};
    ck_assert(!clock_ahead(&c));
    o[2].offset_ms = -31000;
    ck_assert(clock_ahead(&c)); // three of four
}
END_TEST

START_TEST(what_most_others_have_is_told)
{
    struct clock_other o[] = {AT(-3600000, 5), AT(-3600100, 5), AT(20, 5), AT(-3599000, 5)};
    struct clock_case c = {1, o, 0, S, CLOCK_FINE};
    ck_assert_int_eq(clock_others_ms(&c), 0);
    c.n_others = 1;
    ck_assert_int_eq(clock_others_ms(&c), -3600000);
    c.n_others = 2;
    ck_assert_int_eq(clock_others_ms(&c), -3600000);
    c.n_others = 3; // one that sides with us, or lies
    ck_assert_int_eq(clock_others_ms(&c), -3600000);
    c.n_others = 4;
    ck_assert_int_eq(clock_others_ms(&c), -3599000);
    o[0].reached = o[1].reached = o[3].reached = false;
    ck_assert_int_eq(clock_others_ms(&c), 20);
}
END_TEST

START_TEST(far_peers_are_named_unless_the_fault_is_ours)
{
    char text[CLOCK_SENTENCE_SIZE];
    struct clock_other o[] = {AT(45000, 5), AT(3, 5), AT(-31000, 5), AT(99000, 5)};
    const char *const names[] = {"westeurope", "southeastasia", "eastus", "brazilsouth"};
    for (size_t i = 0; i < 4; i++)
        o[i].region = names[i];
    struct clock_case c = {3, o, 2, S, CLOCK_FINE};
    ck_assert_str_eq(clock_far_peers(&c, CLOCK_DIFFERS, text),
                     "the clock of westeurope is 45.000 s ahead of ours; ours agrees with 1 of the "
                     "2 other regions that "
                     "are reached");
    c.n_others = 4;
    c.n_members = 9;
    ck_assert_str_eq(clock_far_peers(&c, CLOCK_DIFFERS, text),
                     "the clock of westeurope is 45.000 s ahead of ours, the clock of eastus is "
                     "31.000 s behind ours and "
                     "1 more are off; ours agrees with 1 of the 4 other regions that are reached");
    ck_assert_str_eq(clock_far_peers(&c, CLOCK_OUTVOTED, text), "");
    o[0].offset_ms = 29000; // a warning above 30 s
    c.n_others = 1;
    ck_assert_str_eq(clock_far_peers(&c, CLOCK_DIFFERS, text), "");
    o[0].offset_ms = 45000;
    ck_assert_str_eq(
        clock_far_peers(&c, CLOCK_DIFFERS, text),
        "the clock of westeurope is 45.000 s ahead of ours; nobody can tell whose is wrong");
    o[0].reached = false;
    ck_assert_str_eq(clock_far_peers(&c, CLOCK_DIFFERS, text), "");
}
END_TEST

START_TEST(a_suspect_is_named_by_what_was_measured)
{
    char text[CLOCK_SENTENCE_SIZE];
    struct clock_other o[] = {AT(45000, 5), AT(3, 5)};
    o[0].region = "westeurope";
    o[1].region = "southeastasia";
    struct clock_case c = {3, o, 2, S, CLOCK_FINE};
    ck_assert_str_eq(clock_suspect(&c, CLOCK_DIFFERS, "westeurope", text),
                     "the clock of westeurope is suspect, 45.000 s ahead of ours: ours agrees with "
                     "1 of the 2 other "
                     "regions that are reached");
    ck_assert_str_eq(clock_suspect(&c, CLOCK_DIFFERS, "southeastasia", text),
                     "the clocks of this region and southeastasia agree to 0.008 s");
    ck_assert_str_eq(clock_suspect(&c, CLOCK_DIFFERS, NULL, text),
                     "ours agrees with 1 of the 2 other regions that are reached");
    ck_assert_str_eq(clock_suspect(&c, CLOCK_DIFFERS, "nowhere", text),
                     "ours agrees with 1 of the 2 other regions that are reached");
    o[1].offset_ms = 45001;
    ck_assert_str_eq(
        clock_suspect(&c, CLOCK_OUTVOTED, "westeurope", text),
        "this region's clock is suspect: its clock is 45.000 s behind westeurope, 45.001 s behind "
        "southeastasia: a majority of 3 regions; see to its time service (NTP)");
    c.n_others = 0;
    ck_assert_str_eq(clock_suspect(&c, CLOCK_FINE, "westeurope", text),
                     "this region's clock is suspect: no other one could be compared with it");
}
END_TEST

// The longest names, and times of a liar.
START_TEST(sentences_fit)
{
    char text[CLOCK_SENTENCE_SIZE], name[32];
    memset(name, 'r', 31);
    name[31] = '\0';
    struct clock_other o[63];
    for (size_t i = 0; i < 63; i++)
        o[i] = (struct clock_other){name, true, true, -((int64_t)1 << 47), 0};
    struct clock_case c = {64, o, 63, U, CLOCK_FINE};
    const char *const ends[] = {
        [CLOCK_DIFFERS] = "is wrong", [CLOCK_OUTVOTED] = "(NTP)", [CLOCK_UNSYNCHRONISED] = "(NTP)"};
    for (int s = CLOCK_DIFFERS; s <= CLOCK_UNSYNCHRONISED; s++) {
        clock_sentence(&c, (enum clock_state)s, text);
        ck_assert_str_eq(text + strlen(text) - strlen(ends[s]), ends[s]);
    }
    clock_far_peers(&c, CLOCK_DIFFERS, text);
    ck_assert_ptr_nonnull(strstr(text, "nobody can tell"));
    clock_suspect(&c, CLOCK_OUTVOTED, name, text);
    ck_assert_ptr_nonnull(strstr(text, "is suspect: its clock is "));
    clock_suspect(&c, CLOCK_DIFFERS, name, text);
    ck_assert_ptr_nonnull(strstr(text, "nobody can tell"));
}
END_TEST

CHECK_MAIN("replication/clock_rule", histories, who_may_judge_stamps,
           one_bad_clock_hurts_itself_only, what_wavers_around_the_limit_does_not_open_and_close,
           a_worse_measurement_does_not_open_writes, sentences_name_the_difference_and_the_regions,
           far_off_is_what_a_majority_says, ahead_is_who_most_of_the_others_are_behind,
           what_most_others_have_is_told, far_peers_are_named_unless_the_fault_is_ours,
           a_suspect_is_named_by_what_was_measured, sentences_fit)
