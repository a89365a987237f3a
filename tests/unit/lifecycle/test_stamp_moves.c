// SPDX-License-Identifier: Apache-2.0
// lifecycle/stamp_move: a replica moves to another stamp under clients, by the phases of its header,
// with a writer that dies, a destination that dies, and people who call it off; and is refused where
// stamps have stores of their own.
#include "lifecycle/stamp_move.h"

#include "base/clock.h"
#include "base/mem.h"
#include "lifecycle/record.h"
#include "tests/support/check_main.h"
#include "tests/unit/lifecycle/moved.h"

#include <string.h>

#define REGIONAL_S 300
#define FRONTEND_S 60
#define OVERLAP_S (REGIONAL_S + FRONTEND_S + 60)
#define DENIALS_S 65 // the negative TTL and what clocks may be apart
#define DONE "warm:done wait:done switch:done overlap:done drain:done wait:done"

static struct moved m;

static void begin(void)
{
    moved_init(&m);
    moved_pass(&m, 400); // resolvers have learnt at times of their own
}

static void expect_end(const char *state)
{
    moved_until(&m, "");
    json_t *o = moved_operation(&m);
    ck_assert_msg(!strcmp(record_text(o, "state"), state), "%s", json_dumps(o, 0));
    json_decref(o);
}

// The message of the error; static.
static const char *refused(const char *arguments, int status)
{
    static char text[1024];
    json_t *body;
    ck_assert_int_eq(asked(&m.a, "replication update", "contoso/eastus", arguments, &body), status);
    snprintf(text, sizeof text, "%s", record_text(json_object_get(body, "error"), "message"));
    json_decref(body);
    return text;
}

// 29, 31
START_TEST(clients_move_and_no_request_fails)
{
    begin();
    ck_assert_uint_eq(moved_at(&m, 0), MOVED_CLIENTS);
    int64_t asked_s = moved_now_s(&m);
    moved_ask(&m, "eus-2");
    ck_assert_str_eq(moved_row(&m), "eus-2 was eus-1");
    // one resolver has the old answer from the very last second
    moved_until(&m, "wait");
    for (int i = 0; i < 2000 && strcmp(moved_phase(&m), "overlap") != 0; i++) {
        m.resolvers[0].name_until_s = moved_now_s(&m) + REGIONAL_S;
        moved_pass(&m, 1);
    }
    int64_t switched_s = moved_now_s(&m);
    ck_assert_int_ge(switched_s - asked_s, DENIALS_S);
    ck_assert_uint_eq(m.stamps[1].n_served, 0);
    moved_until(&m, "drain");
    // as long as a resolver may have the old answer, it is served there
    ck_assert_int_ge(m.stamps[0].last_s - switched_s, REGIONAL_S - 2);
    ck_assert_int_ge(moved_now_s(&m) - switched_s, OVERLAP_S);
    expect_end("Succeeded");
    ck_assert_str_eq(moved_phases(&m), DONE);
    ck_assert_str_eq(moved_row(&m), "eus-2");
    moved_pass(&m, 100);
    ck_assert_uint_eq(moved_at(&m, 1), MOVED_CLIENTS);
    ck_assert_uint_eq(m.n_failed, 0);
    moved_done(&m);
}
END_TEST

// The same where the check is wrong and each stamp has a store of its own: this test would see it.
START_TEST(with_two_stores_requests_would_fail)
{
    begin();
    m.stamps[1].store = 1;
    moved_ask(&m, "eus-2");
    expect_end("Succeeded");
    ck_assert_uint_gt(m.n_failed, MOVED_CLIENTS);
    moved_done(&m);
}
END_TEST

// 30: where it began, as long as that serves; with what is there already at the other stamp after that
START_TEST(an_upload_that_began_before_ends)
{
    begin();
    moved_ask(&m, "eus-2");
    moved_until(&m, "wait");
    moved_pass(&m, 60);
    for (unsigned i = 0; i < MOVED_CLIENTS; i++)
        moved_upload(&m, i, i % 2 ? 30 : 1000);
    moved_until(&m, "overlap");
    unsigned taken = m.parts[0];
    ck_assert_uint_gt(taken, 0);
    ck_assert_uint_eq(m.parts[1], 0);
    moved_pass(&m, 30); // no resolver has forgotten for as long
    for (unsigned i = 1; i < MOVED_CLIENTS; i += 2)
        ck_assert_uint_eq(m.clients[i].parts_left, 0);
    expect_end("Succeeded");
    moved_pass(&m, 1000);
    for (unsigned i = 0; i < MOVED_CLIENTS; i++) {
        ck_assert_uint_eq(m.clients[i].parts_left, 0);
        ck_assert_uint_eq(m.stores[0].uploaded[i], i % 2 ? 30 : 1000);
    }
    ck_assert_uint_gt(m.parts[1], 0);
    ck_assert_uint_eq(m.n_failed, 0);
    moved_done(&m);
}
END_TEST

// Entry by entry, before it is durable and after; another begins half a minute later.
static bool dies_at(unsigned entry, enum toy_death how)
{
    begin();
    moved_ask(&m, "eus-2");
    m.a.fleet.dies = how;
    m.a.fleet.dies_in = entry;
    for (int i = 0; i < 1000 && !m.a.fleet.dead; i++)
        moved_pass(&m, 1);
    bool died = m.a.fleet.dead;
    if (died) {
        moved_pass(&m, 30);
        asked_restart(&m.a);
    }
    expect_end("Succeeded");
    ck_assert_str_eq(moved_phases(&m), DONE);
    ck_assert_str_eq(moved_row(&m), "eus-2");
    ck_assert_uint_eq(m.n_failed, 0);
    moved_pass(&m, 100);
    ck_assert_uint_eq(moved_at(&m, 1), MOVED_CLIENTS);
    moved_done(&m);
    return died;
}

START_TEST(a_writer_that_dies_in_any_phase_goes_on)
{
    unsigned n = 0;
    for (unsigned entry = 1; dies_at(entry, TOY_DIES_BEFORE); entry++)
        n++;
    for (unsigned entry = 1; dies_at(entry, TOY_DIES_AFTER); entry++)
        n++;
    ck_assert_uint_ge(n, 12);
}
END_TEST

// Called off in the overlap, and the writer dies at that entry of the way back.
static bool dies_going_back_at(unsigned entry, enum toy_death how)
{
    begin();
    moved_ask(&m, "eus-2");
    moved_until(&m, "overlap");
    moved_pass(&m, 150);
    m.a.fleet.dies = how;
    m.a.fleet.dies_in = entry + 1; // the call itself is one
    ck_assert_int_eq(asked(&m.a, "operation cancel", m.id, "{}", NULL), 202);
    for (int i = 0; i < 1000 && !m.a.fleet.dead; i++)
        moved_pass(&m, 1);
    bool died = m.a.fleet.dead;
    if (died) {
        moved_pass(&m, 30);
        asked_restart(&m.a);
    }
    expect_end("Canceled");
    ck_assert_str_eq(moved_row(&m), "eus-1");
    moved_pass(&m, 100);
    ck_assert_uint_eq(moved_at(&m, 0), MOVED_CLIENTS);
    ck_assert_uint_eq(m.n_failed, 0);
    moved_done(&m);
    return died;
}

START_TEST(a_writer_that_dies_on_the_way_back_goes_on)
{
    unsigned n = 0;
    for (unsigned entry = 1; dies_going_back_at(entry, TOY_DIES_BEFORE); entry++)
        n++;
    for (unsigned entry = 1; dies_going_back_at(entry, TOY_DIES_AFTER); entry++)
        n++;
    ck_assert_uint_ge(n, 6);
}
END_TEST

// 32
START_TEST(a_destination_that_dies_in_the_overlap_is_left)
{
    begin();
    moved_ask(&m, "eus-2");
    moved_until(&m, "overlap");
    moved_pass(&m, 150);
    ck_assert_uint_gt(moved_at(&m, 1), 0);
    ck_assert_uint_gt(moved_at(&m, 0), 0);
    m.stamps[1].dead = true;
    int64_t died_s = moved_now_s(&m);
    moved_pass(&m, 13);
    ck_assert_str_eq(moved_row(&m), "eus-1 was eus-2");
    expect_end("Failed");
    ck_assert_str_eq(moved_row(&m), "eus-1");
    json_t *o = moved_operation(&m);
    const json_t *error = json_object_get(o, "error");
    ck_assert_str_eq(record_text(error, "code"), "StampUnanswered");
    ck_assert_ptr_nonnull(
        strstr(record_text(error, "message"), "eus-2 does not answer for contoso"));
    json_decref(o);
    // Those whose resolvers had been told of it, and until they forget; nobody else, and none after.
    ck_assert_int_le(m.last_failed_s, died_s + 13 + REGIONAL_S);
    ck_assert_uint_gt(m.n_failed, 0);
    ck_assert_uint_eq(m.failed_at[0], 0);
    unsigned failed = m.n_failed;
    m.stamps[1].dead = false;
    moved_pass(&m, 600);
    ck_assert_uint_eq(m.n_failed, failed);
    ck_assert_uint_eq(moved_at(&m, 0), MOVED_CLIENTS);
    moved_done(&m);
}
END_TEST

// A restart is no death.
START_TEST(a_destination_that_is_away_for_a_moment_is_kept)
{
    begin();
    moved_ask(&m, "eus-2");
    moved_until(&m, "overlap");
    m.stamps[1].dead = true;
    moved_pass(&m, 8);
    m.stamps[1].dead = false;
    expect_end("Succeeded");
    ck_assert_str_eq(moved_row(&m), "eus-2");
    moved_done(&m);
}
END_TEST

START_TEST(a_destination_that_never_serves_is_not_led_to)
{
    begin();
    m.stamps[1].stuck = true;
    moved_ask(&m, "eus-2");
    moved_pass(&m, 600);
    json_t *o = moved_operation(&m);
    ck_assert_str_eq(record_text(record_running(o), "name"), "warm");
    ck_assert_str_eq(record_text(record_running(o), "lacks"), "eus-2 does not answer for contoso");
    json_decref(o);
    expect_end("Failed");
    ck_assert_str_eq(moved_phases(&m), "warm:failed document:done");
    ck_assert_str_eq(moved_row(&m), "eus-1");
    moved_pass(&m, 100);
    ck_assert_uint_eq(m.n_failed, 0);
    ck_assert_uint_eq(m.stamps[1].n_served, 0);
    // and one that dies while resolvers forget
    m.stamps[1].stuck = false;
    moved_ask(&m, "eus-2");
    moved_until(&m, "wait");
    m.stamps[1].dead = true;
    expect_end("Failed");
    ck_assert_str_eq(moved_row(&m), "eus-1");
    ck_assert_uint_eq(m.n_failed, 0);
    moved_done(&m);
}
END_TEST

// The negative TTL begins when the last one has the name.
START_TEST(nobody_is_led_there_before_all_have_its_name)
{
    begin();
    m.lacking = "secondary 192.0.2.54";
    moved_ask(&m, "eus-2");
    moved_pass(&m, 500);
    json_t *o = moved_operation(&m);
    ck_assert_str_eq(record_text(record_running(o), "name"), "warm");
    ck_assert_str_eq(record_text(record_running(o), "lacks"),
                     "secondary 192.0.2.54 has not got eus-2");
    json_decref(o);
    m.lacking = NULL;
    int64_t has_s = moved_now_s(&m);
    moved_until(&m, "overlap");
    ck_assert_int_ge(moved_now_s(&m) - has_s, DENIALS_S);
    ck_assert_int_lt(moved_now_s(&m) - has_s, DENIALS_S + 5);
    expect_end("Succeeded");
    ck_assert_uint_eq(m.n_failed, 0);
    // one that never gets it
    moved_done(&m);
    begin();
    m.lacking = "secondary 192.0.2.54";
    moved_ask(&m, "eus-2");
    expect_end("Failed");
    ck_assert_str_eq(moved_row(&m), "eus-1");
    moved_done(&m);
}
END_TEST

static int cancel(void)
{
    return asked(&m.a, "operation cancel", m.id, "{}", NULL);
}

// Called off in that phase after some time: back, and no request fails.
static void called_off(const char *phase, int64_t after_s, const char *row)
{
    begin();
    moved_ask(&m, "eus-2");
    moved_until(&m, phase);
    moved_pass(&m, after_s);
    ck_assert_int_eq(cancel(), 202);
    moved_pass(&m, 2);
    ck_assert_str_eq(moved_row(&m), row);
    expect_end("Canceled");
    ck_assert_str_eq(moved_row(&m), "eus-1");
    moved_pass(&m, 700);
    ck_assert_uint_eq(moved_at(&m, 0), MOVED_CLIENTS);
    ck_assert_uint_eq(m.n_failed, 0);
    moved_done(&m);
}

START_TEST(it_can_be_called_off_until_it_drains)
{
    called_off("wait", 30, "eus-1");
    called_off("overlap", 0, "eus-1 was eus-2");
    called_off("overlap", 200, "eus-1 was eus-2");
    called_off("overlap", OVERLAP_S - 2, "eus-1 was eus-2");
    begin();
    m.lacking = "secondary 192.0.2.54";
    moved_ask(&m, "eus-2");
    moved_pass(&m, 5);
    ck_assert_int_eq(cancel(), 202);
    expect_end("Canceled");
    ck_assert_str_eq(moved_row(&m), "eus-1");
    moved_done(&m);
    begin();
    moved_ask(&m, "eus-2");
    moved_until(&m, "drain");
    moved_pass(&m, 2);
    ck_assert_int_eq(cancel(), 409);
    expect_end("Succeeded");
    moved_done(&m);
}
END_TEST

START_TEST(there_and_back_again)
{
    begin();
    moved_ask(&m, "eus-2");
    expect_end("Succeeded");
    moved_ask(&m, "eus-1");
    expect_end("Succeeded");
    moved_pass(&m, 100);
    ck_assert_uint_eq(m.n_failed, 0);
    ck_assert_str_eq(moved_row(&m), "eus-1");
    moved_done(&m);
}
END_TEST

// What a plain `replication rebind` left in the row is no hindrance once its time is past.
START_TEST(after_a_rebind)
{
    char arguments[128], since[CLOCK_TEXT_SIZE];
    begin();
    clock_format_s(moved_now_s(&m) + 100, since);
    snprintf(arguments, sizeof arguments, "{'stamp':'eus-2','was':'eus-1','since':'%s'}", since);
    ck_assert_int_eq(asked(&m.a, "replication rebind", "contoso/eastus", arguments, NULL), 202);
    asked_settle(&m.a, 20);
    ck_assert_ptr_nonnull(strstr(refused("{'stamp':'eus-2'}", 409), "lead to eus-2 from"));
    ck_assert_ptr_nonnull(strstr(refused("{'stamp':'eus-1'}", 409), "lead to eus-2 from"));
    moved_pass(&m, 600);
    moved_ask(&m, "eus-1");
    expect_end("Succeeded");
    moved_pass(&m, 100);
    ck_assert_uint_eq(m.n_failed, 0);
    ck_assert_str_eq(moved_row(&m), "eus-1");
    moved_done(&m);
}
END_TEST

// TTLs that were shortened lately count with what they were.
START_TEST(longer_ttls_of_before_are_waited_for)
{
    AUTO_BUF struct buf text;
    struct control_place p;
    struct diag diag;
    begin();
    const struct topology_frame *f = m.a.fleet.t->frame;
    buf_init(&text, 0);
    diag_init(&diag);
    buf_add(&text, f->text, f->text_n);
    buf_str(&text, "ttl: { regional: 20s, global: 20s, data: 20s, private: 10s, frontend: 5s, "
                   "negative: 5s }\n");
    const struct control_draft d = {.by = "hand", .frame = bytes_of(text.p, text.n)};
    ck_assert_int_eq(m.a.fleet.deps.append(&m.a.fleet, &d, &diag, &p), 0);
    int64_t shortened_s = moved_now_s(&m);
    moved_ask(&m, "eus-2");
    moved_until(&m, "drain");
    ck_assert_int_ge(moved_now_s(&m) - shortened_s, REGIONAL_S + FRONTEND_S);
    expect_end("Succeeded");
    ck_assert_uint_eq(m.n_failed, 0);
    diag_done(&diag);
    moved_done(&m);
}
END_TEST

static bool has_note(const json_t *what_if, const char *text)
{
    const json_t *notes = json_object_get(what_if, "notes");
    for (size_t i = 0; i < json_array_size(notes); i++)
        if (strstr(record_text_at(notes, i), text))
            return true;
    return false;
}

START_TEST(what_if_shows_phases_and_times)
{
    static const char *const phases[] = {"warm", "wait", "switch", "overlap", "drain", "wait"};
    json_t *body;
    moved_init(&m);
    ck_assert_int_eq(asked(&m.a, "replication update", "contoso/eastus",
                           "{'stamp':'eus-2','whatIf':true}", &body),
                     200);
    const json_t *shown = json_object_get(body, "whatIf");
    ck_assert_int_eq(record_number(shown, "exit"), 10);
    ck_assert_uint_eq(json_array_size(json_object_get(shown, "phases")), ARRAY_LEN(phases));
    for (size_t i = 0; i < ARRAY_LEN(phases); i++)
        ck_assert_str_eq(record_text_at(json_object_get(shown, "phases"), i), phases[i]);
    ck_assert(has_note(shown, "eus-2 opens it first"));
    ck_assert(has_note(shown, "have had its name for 65 s"));
    ck_assert(has_note(shown, "both serve for 420 s, until no cache leads to eus-1"));
    char *dns = json_dumps(json_object_get(shown, "dns"), 0);
    ck_assert_ptr_nonnull(strstr(dns, "eus-2.eastus.fe.example.io"));
    free(dns);
    json_decref(body);
    ck_assert_str_eq(moved_row(&m), "eus-1");
    moved_done(&m);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    moved_init(&m);
    ck_assert_ptr_nonnull(strstr(refused("{'stamp':'eus-9'}", 404), "has no stamp eus-9"));
    ck_assert_ptr_nonnull(strstr(refused("{'stamp':'eus-2','weight':5}", 400), "ask for it alone"));
    ck_assert_int_eq(asked(&m.a, "replication update", "contoso/eastus", "{'stamp':'eus-1'}", NULL),
                     200);
    ck_assert_int_eq(asked(&m.a, "replication update", "contoso/north", "{'stamp':'nor-1'}", NULL),
                     404);
    m.unfit = "headroom for 20 % more is not there";
    ck_assert_str_eq(refused("{'stamp':'eus-2'}", 409),
                     "stamp eus-2: headroom for 20 % more is not there");
    m.unfit = NULL;
    ck_assert_uint_eq(m.a.fleet.t->version, 40);
    moved_ask(&m, "eus-2");
    ck_assert_int_eq(asked(&m.a, "replication update", "contoso/eastus", "{'weight':5}", NULL),
                     409);
    moved_done(&m);
}
END_TEST

// As every release is up to now.
START_TEST(stamps_with_stores_of_their_own_do_not_move)
{
    moved_init(&m);
    m.a.fleet.deps.stamps = NULL;
    asked_restart(&m.a);
    static const char *const asked_how[] = {"{'stamp':'eus-2'}", "{'stamp':'eus-2','whatIf':true}"};
    for (size_t i = 0; i < ARRAY_LEN(asked_how); i++) {
        const char *why = refused(asked_how[i], 409);
        ck_assert_ptr_nonnull(
            strstr(why, "two stamps of one region serve over one store only with a store engine"));
        ck_assert_ptr_nonnull(
            strstr(why, "meridian replication rebind -r contoso --region eastus --stamp eus-2"));
    }
    ck_assert_uint_eq(m.a.fleet.t->version, 40);
    moved_done(&m);
}
END_TEST

CHECK_MAIN("lifecycle/stamp_moves", clients_move_and_no_request_fails,
           with_two_stores_requests_would_fail, an_upload_that_began_before_ends,
           a_writer_that_dies_in_any_phase_goes_on, a_writer_that_dies_on_the_way_back_goes_on,
           a_destination_that_dies_in_the_overlap_is_left,
           a_destination_that_is_away_for_a_moment_is_kept,
           a_destination_that_never_serves_is_not_led_to,
           nobody_is_led_there_before_all_have_its_name, it_can_be_called_off_until_it_drains,
           there_and_back_again, after_a_rebind, longer_ttls_of_before_are_waited_for,
           what_if_shows_phases_and_times, what_cannot_be_is_refused,
           stamps_with_stores_of_their_own_do_not_move)
