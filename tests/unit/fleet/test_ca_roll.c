// SPDX-License-Identifier: Apache-2.0
// fleet/ca_roll by a virtual clock: the next CA issues when all that answer trust it, the old one
// leaves when nothing hangs on it, and each step goes on from what a crash has left.
#include "fleet/ca_roll.h"

#include "base/err.h"
#include "base/mem.h"
#include "tests/support/check_main.h"

#include <string.h>

#define DAY_MS (24 * 3600 * 1000LL)

static char A[65], B[65], C[65]; // fingerprints
static struct ca_record record;
static struct ca_spread spread;
static struct ca_roll_facts f;
static struct ca_roll_state state;
static char why[512];

static void setup(void)
{
    memset(A, 'a', 64);
    memset(B, 'b', 64);
    memset(C, 'c', 64);
    record = (struct ca_record){.until_ms = 3650 * DAY_MS, .made_ms = DAY_MS, .issue_ms = DAY_MS};
    memcpy(record.old, A, 65);
    memcpy(record.next, B, 65);
    strcpy(record.certificate, "-----BEGIN CERTIFICATE-----\n");
    spread = (struct ca_spread){.n_all = 3, .n_trust = 3};
    f = (struct ca_roll_facts){.in_use = A, .next = "", .now_ms = DAY_MS, .mono_ms = 1000};
    state = (struct ca_roll_state){0};
}

static enum ca_roll_act look(void)
{
    strcpy(why, "?");
    return ca_roll_decide(&f, &state, why, sizeof why);
}

static void later(int64_t ms)
{
    f.mono_ms += ms;
    f.now_ms += ms;
}

#define ck_waits(part)                                                              \
    do {                                                                            \
        ck_assert_int_eq(look(), CA_ROLL_NOTHING);                                  \
        ck_assert_msg(strstr(why, part) != NULL, "\"%s\" is not of %s", why, part); \
    } while (0)

static void trusting(void)
{
    f.record = &record;
    f.next = B;
    f.spread = &spread;
}

static void using(void)
{
    trusting();
    record.step = CA_STEP_USE;
    record.used_ms = DAY_MS;
    f.in_use = B;
    f.next = "";
}

START_TEST(a_whole_roll)
{
    setup();
    ck_assert_int_eq(look(), CA_ROLL_NOTHING);
    ck_assert_str_eq(why, "");
    f.next = B; // it is made
    ck_assert_int_eq(look(), CA_ROLL_ANNOUNCE);
    trusting();
    f.spread = NULL;
    ck_waits("are asked");
    f.spread = &spread;
    ck_waits("in some seconds");
    later(CA_ROLL_SETTLE_MS - 1);
    ck_waits("in some seconds");
    later(1);
    ck_assert_int_eq(look(), CA_ROLL_USE);
    record.step = CA_STEP_USE;
    ck_assert_int_eq(look(), CA_ROLL_SWITCH);
    f.in_use = B;
    f.next = "";
    spread.n_old = 2;
    strcpy(spread.old, "r1, r2");
    ck_waits("r1, r2 have renewed");
    spread.n_old = 0;
    ck_waits("in some seconds it leaves");
    later(CA_ROLL_SETTLE_MS);
    ck_assert_int_eq(look(), CA_ROLL_DROP);
    record.step = CA_STEP_DONE;
    ck_assert_int_eq(look(), CA_ROLL_NOTHING);
    ck_assert_str_eq(why, "");
    f.next = C; // and once more
    ck_assert_int_eq(look(), CA_ROLL_ANNOUNCE);
}
END_TEST

START_TEST(nothing_is_issued_by_it_before_all_that_answer_trust_it)
{
    setup();
    trusting();
    spread = (struct ca_spread){.n_all = 3, .n_trust = 2, .n_without = 1, .without = "r1"};
    ck_waits("not trusted yet by r1");
    later(10 * DAY_MS);
    record.without_away = true; // does not help: it is not away
    ck_waits("not trusted yet by r1");
    spread = (struct ca_spread){.n_all = 3, .n_trust = 1, .n_away = 2, .away = "r1, r2"};
    ck_waits("a majority"); // a lone region goes on with nothing
    later(4000 * DAY_MS);
    ck_waits("a majority"); // also when the old one is over
}
END_TEST

START_TEST(a_region_that_is_away_holds_it_up_until_people_say_otherwise)
{
    setup();
    trusting();
    spread = (struct ca_spread){.n_all = 3, .n_trust = 2, .n_away = 1, .away = "r2"};
    ck_waits("--without-away");
    later(100 * DAY_MS);
    ck_waits("--without-away");
    record.without_away = true;
    ck_waits("in some seconds");
    later(CA_ROLL_SETTLE_MS);
    ck_assert_int_eq(look(), CA_ROLL_USE);
    setup();
    trusting();
    spread = (struct ca_spread){.n_all = 3, .n_trust = 2, .n_away = 1, .away = "r2"};
    f.now_ms = record.until_ms - CA_ROLL_LAST_MS; // or the old one nears its end
    ck_waits("in some seconds");
    later(CA_ROLL_SETTLE_MS);
    ck_assert_int_eq(look(), CA_ROLL_USE);
}
END_TEST

START_TEST(clients_have_their_time)
{
    setup();
    trusting();
    record.issue_ms = DAY_MS + 7 * DAY_MS;
    ck_waits("clients have until");
    later(7 * DAY_MS - 1);
    ck_waits("clients have until");
    later(1);
    ck_assert_int_eq(look(), CA_ROLL_USE); // the regions have trusted it all the while
}
END_TEST

START_TEST(what_is_not_so_all_the_while_begins_anew)
{
    setup();
    trusting();
    ck_waits("in some seconds");
    later(CA_ROLL_SETTLE_MS - 1);
    spread.n_trust = 2;
    spread.n_without = 1;
    ck_waits("not trusted");
    spread.n_trust = 3;
    spread.n_without = 0;
    later(1);
    ck_waits("in some seconds");
    later(CA_ROLL_SETTLE_MS - 1);
    ck_waits("in some seconds");
    later(1);
    ck_assert_int_eq(look(), CA_ROLL_USE);
    using();
    ck_waits("in some seconds it leaves"); // what was so of the step before counts for nothing
}
END_TEST

START_TEST(each_step_goes_on_after_a_crash)
{
    setup();
    f.next = B; // made, not announced
    ck_assert_int_eq(look(), CA_ROLL_ANNOUNCE);
    trusting();
    record.step = CA_STEP_USE; // decided, the files are as before
    ck_assert_int_eq(look(), CA_ROLL_SWITCH);
    using(); // switched, nothing else
    later(CA_ROLL_SETTLE_MS);
    ck_waits("in some seconds it leaves"); // this process has seen it for no time
    later(CA_ROLL_SETTLE_MS);
    ck_assert_int_eq(look(), CA_ROLL_DROP);
    record.step = CA_STEP_CANCELLED; // the record says so, the files stay
    f.in_use = A;
    f.next = B;
    ck_assert_int_eq(look(), CA_ROLL_DISCARD);
    f.record = NULL;
    f.next = A; // a copy of the one in use
    ck_assert_int_eq(look(), CA_ROLL_DISCARD);
}
END_TEST

START_TEST(what_may_not_write_or_has_a_wrong_clock_does_nothing)
{
    setup();
    f.held = "the clock is wrong";
    f.next = B;
    ck_waits("the clock is wrong"); // not announced
    trusting();
    later(10 * CA_ROLL_SETTLE_MS);
    ck_waits("the clock is wrong"); // not used
    f.held = NULL;
    ck_waits("in some seconds"); // time under a wrong clock counts for nothing
    using();
    f.held = "the clock is wrong";
    f.now_ms = record.until_ms + 1;
    ck_waits("the clock is wrong"); // the old one has not expired by that
    f.held = NULL;
    ck_assert_int_eq(look(), CA_ROLL_DROP);
}
END_TEST

START_TEST(files_that_are_not_there_are_told)
{
    setup();
    trusting();
    f.next = "";
    ck_waits("its key is not here");
    f.next = C;
    ck_waits("its key is not here"); // another one's is of no use
    using();
    f.in_use = A; // a copy of ca_dir from before
    ck_waits("put the newer copy");
    f.next = C;
    ck_waits("put the newer copy");
}
END_TEST

START_TEST(the_old_one_stays_while_anything_may_hang_on_it)
{
    setup();
    using();
    spread = (struct ca_spread){.n_all = 3, .n_trust = 2, .n_away = 1, .away = "r2"};
    ck_waits("--drop-old");
    ck_assert(strstr(why, "r2") != NULL);
    later(100 * DAY_MS);
    ck_waits("--drop-old");
    ck_assert_int_eq(ca_roll_may_drop(&f, why, sizeof why), 0); // people may
    spread.n_old = 1;
    strcpy(spread.old, "r1");
    ck_waits("r1 has renewed");
    ck_assert_int_eq(ca_roll_may_drop(&f, why, sizeof why), ERR_CONFLICT); // not that
    f.now_ms = record.until_ms; // it has expired: it holds nothing any more
    ck_assert_int_eq(look(), CA_ROLL_DROP);
    record.step = CA_STEP_TRUST;
    ck_assert_int_eq(ca_roll_may_drop(&f, why, sizeof why), ERR_CONFLICT);
}
END_TEST

START_TEST(one_at_a_time_and_not_over_a_change_by_hand)
{
    struct ca_word own = {.n_trusts = 1};
    setup();
    memcpy(own.trusts[0], A, 65);
    ck_assert_int_eq(ca_roll_may_begin(&f, &own, why, sizeof why), 0);
    f.held = "not the writer";
    ck_assert_int_eq(ca_roll_may_begin(&f, &own, why, sizeof why), ERR_BUSY);
    f.held = NULL;
    f.next = B; // made by the command before
    ck_assert_int_eq(ca_roll_may_begin(&f, &own, why, sizeof why), ERR_EXISTS);
    trusting();
    ck_assert_int_eq(ca_roll_may_begin(&f, &own, why, sizeof why), ERR_BUSY);
    record.step = CA_STEP_USE;
    ck_assert_int_eq(ca_roll_may_begin(&f, &own, why, sizeof why), ERR_BUSY);
    record.step = CA_STEP_CANCELLED;
    ck_assert_int_eq(ca_roll_may_begin(&f, &own, why, sizeof why), 0);
    own.n_trusts = 2;
    memcpy(own.trusts[1], C, 65);
    ck_assert_int_eq(ca_roll_may_begin(&f, &own, why, sizeof why), ERR_CONFLICT);
    own.n_trusts = 1;
    memcpy(own.trusts[0], C, 65);
    ck_assert_int_eq(ca_roll_may_begin(&f, &own, why, sizeof why), ERR_CONFLICT);
}
END_TEST

// --- texts ---

START_TEST(records_are_read_as_they_are_written)
{
    AUTO_BUF struct buf b;
    struct ca_record r;
    buf_init(&b, CA_ROLL_RECORD_BYTES);
    setup();
    record.step = CA_STEP_USE;
    record.used_ms = 5;
    record.without_away = true;
    ck_assert_int_eq(ca_record_format(&record, &b), 0);
    ck_assert_int_eq(ca_record_parse(buf_cstr(&b), &r), 0);
    ck_assert_int_eq(memcmp(&r, &record, sizeof r), 0);
    static const char *const bad[] = {"", "{}", "[]",
                                      "{\"step\":\"use\",\"old\":\"aa\",\"next\":\"bb\","
                                      "\"certificate\":\"\",\"until\":1,\"made\":1,"
                                      "\"issue\":1,\"used\":1,\"without_away\":false}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_int_eq(ca_record_parse(bad[i], &r), ERR_INVAL);
    memcpy(record.next, A, 65); // no change at all
    buf_done(&b);
    buf_init(&b, CA_ROLL_RECORD_BYTES);
    ck_assert_int_eq(ca_record_format(&record, &b), 0);
    ck_assert_int_eq(ca_record_parse(buf_cstr(&b), &r), ERR_INVAL);
}
END_TEST

static void says(struct fleet_answers *a, size_t i, int err, int status, const char *text)
{
    a->list[i].err = err;
    a->list[i].status = status;
    snprintf(a->list[i].region, sizeof a->list[i].region, "r%zu", i + 1);
    buf_init(&a->list[i].body, 4096);
    buf_str(&a->list[i].body, text);
}

START_TEST(what_regions_say_is_counted)
{
    setup();
    struct ca_spread x;
    struct ca_word own = {.n_trusts = 2, .n_uses = 1};
    memcpy(own.trusts[0], A, 65);
    memcpy(own.trusts[1], B, 65);
    memcpy(own.uses[0], A, 65);
    AUTO_BUF struct buf word;
    buf_init(&word, 4096);
    ck_assert_int_eq(ca_word_format(&own, &word), 0);
    struct fleet_answers *a = mem_zalloc(sizeof *a + 4 * sizeof a->list[0]);
    a->n = 4;
    says(a, 0, 0, 200, buf_cstr(&word));
    says(a, 1, ERR_UNREACHABLE, 0, "");
    says(a, 2, 0, 404, ""); // of an older version
    says(a, 3, 0, 200, "{\"trusts\":[\"zz\"],\"uses\":[]}");
    ca_spread_judge("r0", &own, a, &record, &x);
    ck_assert_uint_eq(x.n_all, 5);
    ck_assert_uint_eq(x.n_trust, 2);
    ck_assert_uint_eq(x.n_without, 2);
    ck_assert_str_eq(x.without, "r3, r4");
    ck_assert_uint_eq(x.n_old, 2);
    ck_assert_str_eq(x.old, "r0, r1");
    ck_assert_uint_eq(x.n_away, 1);
    ck_assert_str_eq(x.away, "r2");
    fleet_answers_free(a);
}
END_TEST

CHECK_MAIN("fleet/ca_roll", a_whole_roll, nothing_is_issued_by_it_before_all_that_answer_trust_it,
           a_region_that_is_away_holds_it_up_until_people_say_otherwise, clients_have_their_time,
           what_is_not_so_all_the_while_begins_anew, each_step_goes_on_after_a_crash,
           what_may_not_write_or_has_a_wrong_clock_does_nothing, files_that_are_not_there_are_told,
           the_old_one_stays_while_anything_may_hang_on_it,
           one_at_a_time_and_not_over_a_change_by_hand, records_are_read_as_they_are_written,
           what_regions_say_is_counted)
