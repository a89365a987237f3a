// SPDX-License-Identifier: Apache-2.0
// fleet/ca_roll by a virtual clock: the next CA issues when all that answer trust it, the old one
// leaves when nothing hangs on it, and each step goes on from what a crash has left.
#include "fleet/ca_roll.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "tests/support/check_main.h"

#include <stdlib.h>
#include <string.h>

#define DAY_MS (24 * 3600 * 1000LL)

static char A[65], B[65], C[65]; // fingerprints
static struct ca_record record;
static struct ca_spread spread;
static struct ca_roll_facts f;
static struct ca_roll_state state;
static char why[512];
static char dir[64];

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
    f = (struct ca_roll_facts){.in_use = A,
                               .next = "",
                               .until_ms = 3650 * DAY_MS,
                               .alone = true,
                               .now_ms = DAY_MS,
                               .mono_ms = 1000};
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
    f.in_use = A; // a copy of ca_dir from before has been put back: the fleet's CA is its next one
    f.next = B;
    ck_assert_int_eq(look(), CA_ROLL_SWITCH);
    f.in_use = B;
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
    setup();
    trusting();
    spread = (struct ca_spread){.n_all = 3, .n_trust = 2, .n_away = 1, .away = "r2"};
    f.now_ms = record.until_ms - CA_ROLL_LAST_MS; // one begun so late does wait for some time
    record.made_ms = record.issue_ms = f.now_ms;
    ck_waits("--without-away");
    later(CA_ROLL_PATIENCE_MS - 1);
    ck_waits("--without-away");
    later(1);
    ck_waits("in some seconds");
    record.made_ms = record.issue_ms = f.now_ms = record.until_ms - CA_ROLL_PATIENCE_MS - 1;
    ck_waits("--without-away");
    later(1); // and not until the end
    ck_waits("in some seconds");
}
END_TEST

START_TEST(one_begins_by_itself_when_the_end_is_near)
{
    setup();
    f.now_ms = f.until_ms - f.until_ms / CA_ROLL_DUE - 1;
    ck_assert_int_eq(look(), CA_ROLL_NOTHING);
    ck_assert_str_eq(why, "");
    ck_assert_int_eq(ca_roll_issue_after(&f), CA_ROLL_ISSUE_MS);
    later(1);
    ck_assert_int_eq(look(), CA_ROLL_MAKE);
    ck_assert_int_eq(ca_roll_issue_after(&f), CA_ROLL_ISSUE_SELF_MS);
    f.held = "it is not the writer";
    ck_waits("it is not the writer");
    f.held = NULL;
    f.alone = false;
    ck_waits("by hand");
    f.alone = true;
    f.next = B; // a crash has come before it was announced
    ck_assert_int_eq(look(), CA_ROLL_ANNOUNCE);
    trusting();
    record.step = CA_STEP_CANCELLED;
    record.used_ms = f.now_ms;
    ck_assert_int_eq(look(), CA_ROLL_DISCARD);
    f.next = "";
    ck_assert_int_eq(look(), CA_ROLL_NOTHING); // people did not want it
    ck_assert_str_eq(why, "");
    later(CA_ROLL_AGAIN_MS - 1);
    ck_assert_int_eq(look(), CA_ROLL_NOTHING);
    later(1);
    ck_assert_int_eq(look(), CA_ROLL_MAKE);
    memcpy(record.old, C, 65); // that was another one's
    record.used_ms = f.now_ms;
    ck_assert_int_eq(look(), CA_ROLL_MAKE);
    record.step = CA_STEP_DONE;
    ck_assert_int_eq(look(), CA_ROLL_MAKE);
    f.now_ms = f.until_ms - 40 * DAY_MS;
    ck_assert_int_eq(ca_roll_issue_after(&f), 10 * DAY_MS);
    f.now_ms = f.until_ms + 1;
    ck_assert_int_eq(ca_roll_issue_after(&f), 0);
}
END_TEST

START_TEST(the_way_back_is_for_a_key_that_is_lost)
{
    setup();
    ck_assert_int_eq(ca_roll_may_go_back(&f, why, sizeof why), ERR_CONFLICT);
    trusting();
    ck_assert_int_eq(ca_roll_may_go_back(&f, why, sizeof why), ERR_CONFLICT);
    record.step = CA_STEP_USE;
    ck_assert_int_eq(ca_roll_may_go_back(&f, why, sizeof why), ERR_CONFLICT); // it is here
    ck_assert(strstr(why, "is here") != NULL);
    f.next = ""; // an older copy of ca_dir
    ck_waits("--back");
    ck_assert_int_eq(ca_roll_may_go_back(&f, why, sizeof why), 0);
    f.held = "x";
    ck_assert_int_eq(ca_roll_may_go_back(&f, why, sizeof why), ERR_BUSY);
    f.held = NULL;
    f.in_use = C;
    ck_assert_int_eq(ca_roll_may_go_back(&f, why, sizeof why), ERR_CONFLICT);
    f.in_use = A;
    memcpy(record.old, B, 65);
    memcpy(record.next, A, 65); // the way back
    spread.n_old = 1;
    strcpy(spread.old, "r1");
    ck_waits("r1 has renewed");
    spread.n_old = 0;
    ck_waits("in some seconds it leaves");
    later(CA_ROLL_SETTLE_MS);
    ck_assert_int_eq(look(), CA_ROLL_DROP);
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
    trusting();
    record.step = CA_STEP_TRUST;
    ck_assert_int_eq(ca_roll_may_change(&f, why, sizeof why), 0);
    f.in_use = B; // it issues, and a takeover has made void that it does
    f.next = "";
    ck_assert_int_eq(look(), CA_ROLL_USE);
    ck_assert_int_eq(ca_roll_may_change(&f, why, sizeof why), ERR_CONFLICT); // all would drop it
    f.held = "not now";
    ck_waits("not now");
    ck_assert_int_eq(ca_roll_may_change(&f, why, sizeof why), ERR_BUSY);
    f.held = NULL;
    f.in_use = A;
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
    setup();
    ck_assert_int_eq(ca_roll_may_begin(&f, why, sizeof why), 0);
    f.held = "not the writer";
    ck_assert_int_eq(ca_roll_may_begin(&f, why, sizeof why), ERR_BUSY);
    f.held = NULL;
    f.next = B; // made by the command before
    ck_assert_int_eq(ca_roll_may_begin(&f, why, sizeof why), ERR_EXISTS);
    trusting();
    ck_assert_int_eq(ca_roll_may_begin(&f, why, sizeof why), ERR_BUSY);
    record.step = CA_STEP_USE;
    ck_assert_int_eq(ca_roll_may_begin(&f, why, sizeof why), ERR_BUSY);
    record.step = CA_STEP_CANCELLED;
    ck_assert_int_eq(ca_roll_may_begin(&f, why, sizeof why), 0);
    f.alone = false;
    ck_assert_int_eq(ca_roll_may_begin(&f, why, sizeof why), ERR_CONFLICT);
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
    ck_assert_str_eq(x.without, "r3 (an older version: upgrade meridiand there), r4");
    ck_assert_uint_eq(x.n_old, 2);
    ck_assert_str_eq(x.old, "r0, r1");
    ck_assert_uint_eq(x.n_away, 1);
    ck_assert_str_eq(x.away, "r2");
    fleet_answers_free(a);
}
END_TEST

// --- a writer elsewhere ---

static void may(const struct ca_record *now, enum ca_step step, int want)
{
    struct ca_record next = record;
    next.step = step;
    ck_assert_int_eq(ca_record_may_follow(now, &next, NULL), want);
}

START_TEST(a_record_comes_after_the_one_before_it)
{
    setup();
    struct ca_record now = record;
    may(NULL, CA_STEP_TRUST, 0);
    may(NULL, CA_STEP_USE, ERR_DENIED);
    may(NULL, CA_STEP_DONE, ERR_DENIED);
    may(NULL, CA_STEP_CANCELLED, ERR_DENIED);
    may(&now, CA_STEP_TRUST, 0); // without those that are away
    may(&now, CA_STEP_USE, 0);
    may(&now, CA_STEP_CANCELLED, 0);
    may(&now, CA_STEP_DONE, ERR_DENIED);
    now.step = CA_STEP_USE;
    may(&now, CA_STEP_TRUST, ERR_DENIED);
    may(&now, CA_STEP_CANCELLED, ERR_DENIED); // it has issued
    may(&now, CA_STEP_USE, ERR_DENIED);
    may(&now, CA_STEP_DONE, 0);
    now.step = CA_STEP_DONE;
    may(&now, CA_STEP_TRUST, 0);
    may(&now, CA_STEP_USE, ERR_DENIED);
    now.step = CA_STEP_CANCELLED;
    may(&now, CA_STEP_TRUST, 0);
    may(&now, CA_STEP_USE, ERR_DENIED);
    now = record;
    memcpy(now.next, C, 65); // that of another CA
    may(&now, CA_STEP_TRUST, ERR_DENIED);
    may(&now, CA_STEP_USE, ERR_DENIED);
    now = record;
    now.issue_ms++; // clients were told another time
    may(&now, CA_STEP_USE, ERR_DENIED);
    now = record;
    now.step = CA_STEP_USE;
    memcpy(now.old, B, 65);
    memcpy(now.next, A, 65);
    may(&now, CA_STEP_USE, 0); // the way back
}
END_TEST

static struct topology *two_regions(struct region_keys *east, struct region_keys *west)
{
    struct topology *t = NULL;
    AUTO_FREE char *text = mem_printf(
        "version: 7\ndomain: meridian.test\nregions:\n"
        "  - { name: eastus, peer: 192.0.2.1:8443, stamps: [{ name: s, ipv4: [192.0.2.1] }] }\n"
        "  - { name: westeurope, peer: 192.0.2.2:8443, stamps: [{ name: s, ipv4: [192.0.2.2] }] }\n"
        "name_servers: [s.eastus]\ncertificates: { ca_region: westeurope }\nidentities:\n"
        "  eastus: { feed_keys: [{ id: %s, key: \"%s\" }] }\n"
        "  westeurope: { feed_keys: [{ id: %s, key: \"%s\" }] }\n",
        region_keys_feed_id(east), region_keys_feed_spki(east), region_keys_feed_id(west),
        region_keys_feed_spki(west));
    struct diag d;
    diag_init(&d);
    if (topology_parse(text, strlen(text), "t", &d, &t))
        diag_print(&d, stderr);
    diag_done(&d);
    ck_assert_ptr_nonnull(t);
    return t;
}

static struct region_keys *keys_of(const char *region)
{
    struct region_keys *k = NULL;
    AUTO_FREE char *path = mem_printf("%s/%s", dir, region);
    ck_assert_int_eq(region_keys_create(path, region, NULL), 0);
    ck_assert_int_eq(region_keys_open(path, region, NULL, &k), 0);
    return k;
}

static int request_judged(const struct topology *t, const char *from, const struct buf *body,
                          const char *says)
{
    struct diag d;
    struct ca_record got;
    struct control_place place;
    diag_init(&d);
    int rc = ca_request_parse(t, from, bytes_of(body->p, body->n), &d, &got, &place);
    AUTO_FREE char *text = diag_text(&d);
    diag_done(&d);
    if (rc) {
        ck_assert_msg(text && *says && strstr(text, says) != NULL, "%s", text);
        return rc;
    }
    ck_assert_int_eq(memcmp(&got, &record, sizeof got), 0);
    ck_assert_uint_eq(place.seq, 9);
    return 0;
}

START_TEST(only_the_region_that_has_the_ca_asks_with_its_feed_key)
{
    const struct control_place place = {.epoch = 2, .seq = 9, .hash = {1, 2}};
    AUTO_BUF struct buf good, stolen;
    buf_init(&good, 0);
    buf_init(&stolen, 0);
    setup();
    snprintf(dir, sizeof dir, "%s", "ca-roll-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    struct region_keys *east = keys_of("eastus"), *west = keys_of("westeurope");
    struct topology *t = two_regions(east, west);
    ck_assert_int_eq(ca_request_format(t, "westeurope", &record, &place, west, &good), 0);
    ck_assert_int_eq(ca_request_format(t, "westeurope", &record, &place, east, &stolen), 0);
    ck_assert_int_eq(request_judged(t, "westeurope", &good, ""), 0);
    ck_assert_int_eq(request_judged(t, "eastus", &good, "not that region's"), ERR_DENIED);
    ck_assert_int_eq(request_judged(t, "westeurope", &stolen, "no feed key"), ERR_DENIED);
    char *in = strstr(buf_cstr(&good), "trust");
    ck_assert_ptr_nonnull(in);
    memcpy(in, "crust", 5);
    ck_assert_int_eq(request_judged(t, "westeurope", &good, "not of the region's feed key"),
                     ERR_DENIED);
    snapshot_unref(t);
    region_keys_free(east);
    region_keys_free(west);
    dir_remove_tree(dir);
}
END_TEST

CHECK_MAIN("fleet/ca_roll", a_whole_roll, a_record_comes_after_the_one_before_it,
           only_the_region_that_has_the_ca_asks_with_its_feed_key,
           nothing_is_issued_by_it_before_all_that_answer_trust_it,
           a_region_that_is_away_holds_it_up_until_people_say_otherwise, clients_have_their_time,
           one_begins_by_itself_when_the_end_is_near, the_way_back_is_for_a_key_that_is_lost,
           what_is_not_so_all_the_while_begins_anew, each_step_goes_on_after_a_crash,
           what_may_not_write_or_has_a_wrong_clock_does_nothing, files_that_are_not_there_are_told,
           the_old_one_stays_while_anything_may_hang_on_it,
           one_at_a_time_and_not_over_a_change_by_hand, records_are_read_as_they_are_written,
           what_regions_say_is_counted)
