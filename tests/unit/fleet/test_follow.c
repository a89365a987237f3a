// SPDX-License-Identifier: Apache-2.0
// Who says that it has more of the control feed than the writer: a restored writer takes back what it
// had written, and writes over nothing that it cannot be shown; a region that lies stops nobody.
#include "base/clock.h"
#include "base/err.h"
#include "tests/support/check_main.h"
#include "tests/unit/fleet/regions.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static struct fleet_world w; // its own in each case, which is forked

static struct world_region *at(size_t i)
{
    return &w.regions[i];
}

static void cut(size_t a, size_t b, bool is_cut)
{
    w.cut[a][b] = w.cut[b][a] = is_cut;
}

static struct fleet_stored stored(size_t i, const struct control_place *p)
{
    struct fleet_stored s;
    ck_assert_int_eq(fleet_stored(at(i)->fleet, p, &s), 0);
    return s;
}

// All are there, and have said so to the writer.
static void fleet_make(size_t n)
{
    world_make(&w, n);
    world_feed(&w);
    world_up(&w);
    const struct control_place p = region_place(at(0));
    until(region_writes(at(0)));
    until(stored(0, &p).stored == ((region_set)1 << n) - 1);
}

START_TEST(a_writer_whose_disk_was_restored_takes_back_what_it_had_written)
{
    struct control_place p;
    fleet_make(3);
    until(region_change(at(0), "keptone", &p) == 0);
    until(stored(0, &p).stored == 7);
    region_down(at(0));
    region_copy(at(0));
    region_up(at(0));
    until(region_writes(at(0)));
    until(region_change(at(0), "forgotten", &p) == 0);
    until(stored(0, &p).stored == 7);
    region_down(at(0));
    region_restore(at(0));
    region_up(at(0));
    until(region_writes(at(0)));
    ck_assert(region_has(at(0), "forgotten")); // before it may write again
    until(region_change(at(0), "nextone", &p) == 0);
    until(region_has(at(2), "nextone") && region_has(at(1), "nextone"));
    world_done(&w);
}
END_TEST

// What it wrote last was done with westus alone, and westus hears it and is not reached by it.
static void restored_and_half_cut(void)
{
    struct control_place p;
    fleet_make(3);
    until(region_change(at(0), "keptone", &p) == 0);
    until(stored(0, &p).stored == 7);
    region_down(at(0));
    region_copy(at(0));
    region_down(at(2));
    region_up(at(0));
    until(region_change(at(0), "forgotten", &p) == 0);
    until(stored(0, &p).majority);
    region_down(at(0));
    region_restore(at(0));
    cut(1, 2, true);
    w.cut[0][1] = true;
    region_up(at(2));
    region_up(at(0));
}

START_TEST(a_restored_writer_does_not_write_over_what_it_cannot_be_shown)
{
    char why[600];
    struct control_place p;
    restored_and_half_cut();
    // until its operator is told why, which is after two silences, it is tried all the time
    bool told = false;
    for (int64_t end = clock_mono_ms() + 20000; !told && clock_mono_ms() < end;) {
        ck_assert_int_eq(region_change(at(0), "writtenover", NULL), ERR_DENIED);
        told = fleet_alarm(at(0)->fleet, why, sizeof why) && strstr(why, "westus");
        clock_sleep_ms(2);
    }
    ck_assert_msg(told, "%s", why);
    ck_assert_ptr_nonnull(strstr(why, "meridian control confirm"));
    ck_assert_uint_lt(strlen(why), 512); // what a condition holds
    ck_assert(!region_has(at(2), "writtenover"));
    w.cut[0][1] = false;
    until(region_writes(at(0)));
    ck_assert(region_has(at(0), "forgotten"));
    until(region_change(at(0), "nextone", &p) == 0);
    until(region_has(at(2), "nextone") && region_has(at(1), "nextone"));
    world_done(&w);
}
END_TEST

static void root_confirms(struct world_region *r)
{
    AUTO_BUF struct buf draft, line;
    struct diag d;
    struct control_place at = region_place(r), p;
    buf_init(&draft, 0);
    buf_init(&line, 0);
    diag_init(&d);
    ck_assert_int_eq(control_feed_confirm_draft(r->feed, &at, &d, &draft), 0);
    ck_assert_int_eq(control_entry_sign(bytes_of(draft.p, draft.n), w.root, &d, &line), 0);
    ck_assert_int_eq(control_feed_signed(r->feed, bytes_of(line.p, line.n), &d, &p), 0);
    diag_done(&d);
}

START_TEST(the_root_key_says_that_who_cannot_be_asked_has_no_more)
{
    char name[32], why[600];
    restored_and_half_cut();
    until(fleet_alarm(at(0)->fleet, why, sizeof why) && strstr(why, "westus"));
    ck_assert_int_eq(region_change(at(0), "notyet", NULL), ERR_DENIED);
    root_confirms(at(0));
    for (int i = 0; i < 20; i++) { // once is enough
        snprintf(name, sizeof name, "contoso%d", i);
        until(region_change(at(0), name, NULL) == 0);
    }
    until(region_has(at(2), "contoso19"));
    world_done(&w);
}
END_TEST

START_TEST(a_region_that_claims_the_future_stops_nobody)
{
    struct control_place p, future = {.epoch = 9, .seq = 999, .hash = {7}};
    fleet_make(3);
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(region_claims(at(2), 0, &future), 200);
        clock_sleep_ms(5);
    }
    until(region_change(at(0), "contoso", &p) == 0);
    until(region_has(at(1), "contoso") && region_has(at(2), "contoso"));
    world_done(&w);
}
END_TEST

struct liar {
    pthread_t thread;
    _Atomic bool ends;
    _Atomic unsigned n;
};

// northeurope's own word, in its own name: it is further each time.
static void *liar_main(void *arg)
{
    struct liar *l = arg;
    struct control_place p = {.epoch = 9, .seq = 1000, .hash = {7}};
    while (!atomic_load(&l->ends)) {
        p.seq++;
        if (region_claims(at(2), 0, &p) == 200)
            l->n++;
        clock_sleep_ms(2);
    }
    return NULL;
}

// How many of so many changes were denied, while the liar went on.
static unsigned denied_of(struct liar *l, int n_changes)
{
    unsigned denied = 0, before = l->n;
    char name[32];
    for (int i = 0; i < n_changes; i++) {
        static int n;
        snprintf(name, sizeof name, "contoso%d", n++);
        int rc = region_change(at(0), name, NULL);
        ck_assert(rc == 0 || rc == ERR_DENIED);
        denied += rc == ERR_DENIED;
        clock_sleep_ms(2);
    }
    until(l->n > before);
    return denied;
}

// It says nothing true: `says` is all that it answers, and it is not let call itself.
static void liar_start(struct liar *l, const char *says)
{
    w.cut[2][0] = w.cut[2][1] = true;
    at(2)->says = says;
    ck_assert_int_eq(pthread_create(&l->thread, NULL, liar_main, l), 0);
    until(l->n > 2);
}

static void liar_stop(struct liar *l)
{
    atomic_store(&l->ends, true);
    pthread_join(l->thread, NULL);
}

START_TEST(a_region_that_claims_more_and_more_stops_nobody)
{
    struct liar l = {.n = 0};
    fleet_make(3);
    liar_start(&l, "nothing of a feed\n");
    ck_assert_uint_eq(denied_of(&l, 100), 0);
    // nor a writer that begins under its lies: it is asked, and not believed for a while
    region_down(at(0));
    region_up(at(0));
    until(region_writes(at(0)));
    ck_assert_uint_eq(denied_of(&l, 100), 0);
    char why[600];
    ck_assert(fleet_alarm(at(0)->fleet, why, sizeof why));
    ck_assert_ptr_nonnull(strstr(why, "northeurope says that it has more"));
    liar_stop(&l);
    world_done(&w);
}
END_TEST

START_TEST(a_region_that_claims_more_and_cannot_be_asked_stops_no_writer_that_is_sure)
{
    struct liar l = {.n = 0};
    fleet_make(3);
    w.cut[0][2] = true;
    liar_start(&l, "nothing of a feed\n");
    ck_assert_uint_eq(denied_of(&l, 100), 0);
    liar_stop(&l);
    world_done(&w);
}
END_TEST

// An entry of far ahead, as anybody may write one; what the log of a writer has in it.
#define HASH "abababababababababababababababababababababababababababababababab"
#define SIG "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

START_TEST(nobody_but_the_writer_has_a_base_read_by_an_entry_of_far_ahead)
{
    char line[800];
    fleet_make(3);
    snprintf(line, sizeof line,
             "{\"e\":1,\"s\":900,\"p\":\"" HASH "\",\"k\":\"%s\",\"g\":\"" SIG
             "\",\"b\":\"{\\\"kind\\\":\\\"checkpoint\\\",\\\"time\\\":1,\\\"by\\\":\\\"eastus\\\","
             "\\\"topology\\\":7,\\\"principals\\\":0,\\\"checkpoint\\\":{\\\"at\\\":\\\"1:1:" HASH
             "\\\",\\\"digest\\\":\\\"" HASH "\\\"}}\"}\n",
             region_keys_control_id(at(0)->keys));
    w.cut[1][0] = true; // westus reads from northeurope alone
    at(2)->says = line;
    unsigned before = at(2)->n_polls;
    until(at(2)->n_polls - before >= 4);
    ck_assert_uint_eq(at(2)->n_bases, 0);
    world_done(&w);
}
END_TEST

START_TEST(a_base_that_is_none_is_not_read_again_and_again)
{
    fleet_make(3);
    w.cut[1][0] = w.cut[0][2] = true; // only westus reads from northeurope
    at(2)->says_status = 410;
    at(2)->says = "no base\n";
    unsigned before = at(2)->n_polls;
    until(at(2)->n_polls - before >= 6);
    ck_assert_uint_eq(at(2)->n_bases, 1);
    world_done(&w);
}
END_TEST

CHECK_MAIN("fleet/follow", a_writer_whose_disk_was_restored_takes_back_what_it_had_written,
           a_restored_writer_does_not_write_over_what_it_cannot_be_shown,
           the_root_key_says_that_who_cannot_be_asked_has_no_more,
           a_region_that_claims_the_future_stops_nobody,
           a_region_that_claims_more_and_more_stops_nobody,
           a_region_that_claims_more_and_cannot_be_asked_stops_no_writer_that_is_sure,
           nobody_but_the_writer_has_a_base_read_by_an_entry_of_far_ahead,
           a_base_that_is_none_is_not_read_again_and_again)
