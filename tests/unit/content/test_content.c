// SPDX-License-Identifier: Apache-2.0
// content/: a blob comes from scripted sources, in order, once for all who want it; what broke off
// goes on, what is wrong is passed over, what does not fit is given up.
#include "content/grade.h"
#include "store/files/files_test.h"
#include "tests/support/full_disk.h"
#include "tests/unit/content/one_blob.h"

#include <pthread.h>

#define N_WAITERS 8

static void begin(void)
{
    blob_begin();
    content_make(&(struct content_options){0});
}

// From the two, in this order; either may be NULL.
static int get(const struct script *first, const struct script *second)
{
    struct source *list[2];
    size_t n = 0;
    if (first)
        list[n++] = first->source;
    if (second)
        list[n++] = second->source;
    struct content_want w = want_of(list, n);
    return content_blob(content, &w, &out);
}

static void expect_absent(void)
{
    ck_assert(!serves);
}

static bool in_doubt(const struct script *s)
{
    struct source_view v;
    source_look(s->source, &v);
    return v.n_failures > 0;
}

// --- order ---

START_TEST(the_first_that_has_it_gives_it)
{
    begin();
    struct script east = script_whole("eastus"), asia = script_whole("southeastasia");
    script_start(&east);
    script_start(&asia);
    ck_assert_int_eq(get(&east, &asia), 0);
    expect_here();
    ck_assert_str_eq(out.error, "");
    ck_assert_uint_eq(east.n_asked, 1);
    ck_assert_uint_eq(asia.n_asked, 0);
    ck_assert_int_eq(get(&east, &asia), 0); // it is here: nobody is asked
    ck_assert_uint_eq(east.n_asked, 1);
    script_end(&asia);
    script_end(&east);
    end();
}
END_TEST

START_TEST(sources_that_lack_it_are_named)
{
    begin();
    struct script east = {.name = "eastus"}, asia = {.name = "southeastasia"};
    script_start(&east);
    script_start(&asia);
    ck_assert_int_eq(get(&east, &asia), ERR_NOTFOUND);
    ck_assert_str_eq(out.error, "content that it refers to is not there in eastus, southeastasia");
    ck_assert(!in_doubt(&east));
    ck_assert_int_eq(out.not_before_mono, 0);
    script_end(&asia);
    script_end(&east);
    end();
}
END_TEST

START_TEST(of_several_failures_the_worst_is_told)
{
    begin();
    struct script east = {.name = "eastus", .refuses = ERR_PROTO},
                  asia = {.name = "southeastasia", .refuses = ERR_TIMEOUT};
    script_start(&east);
    script_start(&asia);
    ck_assert_int_gt(grade_of(ERR_PROTO), grade_of(ERR_TIMEOUT));
    ck_assert_int_eq(get(&east, &asia), ERR_PROTO);
    ck_assert_str_eq(out.error, "eastus: refuses");
    ck_assert(in_doubt(&asia));
    ck_assert_int_eq(get(&asia, NULL), ERR_UNREACHABLE); // it rests: nobody could be asked
    ck_assert_str_eq(out.error, "");
    ck_assert_int_gt(out.not_before_mono, clock_mono_ms() - 1);
    ck_assert_uint_eq(asia.n_asked, 1);
    ck_assert_int_eq(get(NULL, NULL), ERR_UNREACHABLE);
    ck_assert_int_eq(out.not_before_mono, 0);
    script_end(&asia);
    script_end(&east);
    end();
}
END_TEST

// --- resume ---

START_TEST(what_broke_off_goes_on_at_the_next_source)
{
    begin();
    struct script east = script_whole("eastus"), asia = script_whole("southeastasia");
    east.cut_after = 100000;
    script_start(&east);
    script_start(&asia);
    ck_assert_int_eq(get(&east, &asia), 0);
    ck_assert_uint_eq(asia.asked_from, 100000);
    expect_here();
    ck_assert(in_doubt(&east));
    script_end(&asia);
    script_end(&east);
    end();
}
END_TEST

START_TEST(a_later_fetch_goes_on_where_an_earlier_one_stopped)
{
    begin();
    struct script east = script_whole("eastus");
    east.cut_after = 100000;
    script_start(&east);
    ck_assert_int_eq(get(&east, NULL), ERR_CLOSED);
    ck_assert_str_eq(out.error, "eastus: broke off");
    expect_absent();
    ck_assert_uint_eq(blob_partial_size(blobs, &digest), 100000);
    source_recovered(east.source);
    ck_assert_int_eq(get(&east, NULL), ERR_CLOSED);
    ck_assert_uint_eq(east.asked_from, 100000);
    source_recovered(east.source);
    east.cut_after = 0;
    ck_assert_int_eq(get(&east, NULL), 0);
    ck_assert_uint_eq(east.asked_from, 200000);
    expect_here();
    script_end(&east);
    end();
}
END_TEST

START_TEST(a_source_that_gives_the_whole_begins_anew)
{
    begin();
    struct script east = script_whole("eastus"), asia = script_whole("southeastasia");
    east.cut_after = 1000;
    asia.whole_only = true;
    script_start(&east);
    script_start(&asia);
    ck_assert_int_eq(get(&east, &asia), 0);
    ck_assert_uint_eq(asia.asked_from, 1000);
    expect_here();
    script_end(&asia);
    script_end(&east);
    end();
}
END_TEST

START_TEST(bytes_that_came_whole_before_a_crash_are_not_asked_for)
{
    begin();
    struct script east = script_whole("eastus");
    struct blob_upload *u;
    script_start(&east);
    ck_assert_int_eq(blob_partial_open(blobs, &digest, &u), 0);
    ck_assert_int_eq(blob_upload_write(u, bytes, sizeof bytes), 0);
    blob_upload_close(u);
    ck_assert_int_eq(get(&east, NULL), 0);
    ck_assert_uint_eq(east.n_asked, 0);
    expect_here();
    script_end(&east);
    end();
}
END_TEST

// --- wrong bytes ---

START_TEST(a_source_of_wrong_bytes_is_passed_over_and_named)
{
    begin();
    struct script east = script_whole("eastus"), asia = script_whole("southeastasia");
    east.lies = true;
    script_start(&east);
    script_start(&asia);
    ck_assert_int_eq(get(&east, &asia), 0);
    expect_here();
    ck_assert_uint_eq(asia.asked_from, 0); // nothing of what was wrong is kept
    ck_assert_uint_eq(n_wrong(&east), 1);
    ck_assert_uint_eq(east.n_told, 1);
    ck_assert_uint_eq(n_wrong(&asia), 0);
    script_end(&asia);
    script_end(&east);
    end();
}
END_TEST

START_TEST(wrong_bytes_of_all_sources_are_an_error_and_not_kept)
{
    begin();
    struct script east = script_whole("eastus");
    east.lies = true;
    script_start(&east);
    ck_assert_int_eq(get(&east, NULL), ERR_DIGEST);
    ck_assert_ptr_nonnull(strstr(out.error, "eastus: wrong bytes for blob sha256:"));
    ck_assert(!out.own_fault);
    expect_absent();
    ck_assert_uint_eq(blob_partial_size(blobs, &digest), 0);
    script_end(&east);
    end();
}
END_TEST

START_TEST(a_source_is_not_blamed_for_bytes_of_before)
{
    begin();
    struct script east = script_whole("eastus");
    struct blob_upload *u;
    script_start(&east);
    ck_assert_int_eq(blob_partial_open(blobs, &digest, &u), 0);
    ck_assert_int_eq(blob_upload_write(u, "wrong", 5), 0);
    blob_upload_close(u);
    ck_assert_int_eq(get(&east, NULL), 0);
    expect_here();
    ck_assert_uint_eq(east.n_asked, 2); // behind the five bytes, then for all
    ck_assert_uint_eq(n_wrong(&east), 0);
    ck_assert_uint_eq(east.n_told, 0);
    script_end(&east);
    end();
}
END_TEST

START_TEST(more_here_than_there_is_begins_anew)
{
    begin();
    struct script east = script_whole("eastus");
    struct blob_upload *u;
    script_start(&east);
    ck_assert_int_eq(blob_partial_open(blobs, &digest, &u), 0);
    ck_assert_int_eq(blob_upload_write(u, bytes, sizeof bytes), 0);
    ck_assert_int_eq(blob_upload_write(u, "more", 4), 0);
    blob_upload_close(u);
    struct content_want w = want_of(&east.source, 1);
    w.size = sizeof bytes + 100; // its manifest says too much
    ck_assert_int_eq(content_blob(content, &w, &out), ERR_PROTO);
    ck_assert_uint_eq(blob_partial_size(blobs, &digest), 0);
    ck_assert_int_eq(content_blob(content, &w, &out), 0);
    expect_here();
    script_end(&east);
    end();
}
END_TEST

START_TEST(no_more_comes_than_an_exact_want_says)
{
    begin();
    struct script east = script_whole("eastus");
    script_start(&east);
    struct content_want w = want_of(&east.source, 1);
    w.exact = true;
    w.size = sizeof bytes - 1;
    ck_assert_int_eq(content_blob(content, &w, &out), ERR_TOOBIG);
    expect_absent();
    ck_assert_uint_le(blob_partial_size(blobs, &digest), w.size);
    w.size = sizeof bytes;
    ck_assert_int_eq(content_blob(content, &w, &out), 0);
    expect_here();
    script_end(&east);
    end();
}
END_TEST

START_TEST(a_cut_blob_of_the_store_is_fetched_again)
{
    begin();
    struct script east = script_whole("eastus");
    script_start(&east);
    ck_assert_int_eq(get(&east, NULL), 0);
    AUTO_FREE char *path = files_test_path(dir, &serving);
    ck_assert_int_eq(truncate(path, 1000), 0);
    ck_assert_int_eq(get(&east, NULL), 0);
    expect_here();
    ck_assert_uint_eq(east.n_asked, 2);
    script_end(&east);
    end();
}
END_TEST

// --- manifests ---

START_TEST(a_manifest_comes_verified)
{
    begin();
    struct script east = script_whole("eastus"), asia = script_whole("southeastasia");
    east.lies = true;
    script_start(&east);
    script_start(&asia);
    struct source *list[] = {east.source, asia.source};
    struct content_want w = want_of(list, 2);
    struct buf body;
    ck_assert_int_eq(content_manifest(content, &w, &body, &out), 0);
    ck_assert_uint_eq(body.n, sizeof bytes);
    ck_assert_mem_eq(body.p, bytes, sizeof bytes);
    buf_done(&body);
    ck_assert_uint_eq(n_wrong(&east), 1);
    w.n_sources = 1;
    ck_assert_int_eq(content_manifest(content, &w, &body, &out), ERR_DIGEST);
    ck_assert_ptr_nonnull(strstr(out.error, "eastus: wrong bytes for manifest sha256:"));
    expect_absent(); // nothing is stored
    script_end(&asia);
    script_end(&east);
    end();
}
END_TEST

// --- many who want one ---

struct waiter {
    pthread_t thread;
    struct source *const *sources;
    bool (*may_wait)(void *ctx);
    void *ctx;
    int rc;
    struct content_outcome out;
};

static void *waiter_main(void *arg)
{
    struct waiter *x = arg;
    struct space_charge mine;
    ck_assert_int_eq(space_take(NULL, 0, &mine), 0);
    struct content_want w = want_of(x->sources, 1);
    w.charge = &mine;
    w.may_wait = x->may_wait;
    w.ctx = x->ctx;
    x->rc = content_blob(content, &w, &x->out);
    space_return(&mine);
    return NULL;
}

static void waiter_start(struct waiter *x, struct script *s)
{
    x->sources = &s->source;
    ck_assert_int_eq(pthread_create(&x->thread, NULL, waiter_main, x), 0);
}

START_TEST(many_who_want_one_blob_share_one_fetch)
{
    begin();
    struct script east = script_whole("eastus");
    struct waiter x[N_WAITERS] = {0};
    east.until = 1000;
    script_start(&east);
    for (size_t i = 0; i < N_WAITERS; i++)
        waiter_start(&x[i], &east);
    WAIT_FOR(blob_partial_size(blobs, &digest) == 1000, 10000);
    ck_assert(flights_have(content_flights(content), &digest));
    east.until = SIZE_MAX;
    for (size_t i = 0; i < N_WAITERS; i++) {
        pthread_join(x[i].thread, NULL);
        ck_assert_int_eq(x[i].rc, 0);
    }
    ck_assert_uint_eq(east.n_asked, 1);
    ck_assert(!flights_have(content_flights(content), &digest));
    expect_here();
    script_end(&east);
    end();
}
END_TEST

START_TEST(when_the_leader_fails_a_waiter_asks_its_own_sources)
{
    begin();
    struct script east = script_whole("eastus"), asia = script_whole("southeastasia");
    struct waiter leads = {0}, waits = {0};
    east.until = 1000;
    east.cut_after = 2000;
    script_start(&east);
    script_start(&asia);
    waiter_start(&leads, &east);
    WAIT_FOR(blob_partial_size(blobs, &digest) == 1000, 10000);
    waiter_start(&waits, &asia);
    east.until = SIZE_MAX;
    pthread_join(leads.thread, NULL);
    pthread_join(waits.thread, NULL);
    ck_assert_int_eq(leads.rc, ERR_CLOSED);
    ck_assert_int_eq(waits.rc, 0);
    ck_assert_uint_eq(asia.asked_from, 2000); // what came already is not asked for again
    expect_here();
    script_end(&asia);
    script_end(&east);
    end();
}
END_TEST

static bool ask_flag(void *ctx)
{
    return *(_Atomic bool *)ctx;
}

START_TEST(who_may_not_wait_is_told_that_it_is_busy)
{
    begin();
    struct script east = script_whole("eastus");
    _Atomic bool may = true;
    struct waiter leads = {0}, waits = {.may_wait = ask_flag, .ctx = &may};
    east.until = 1000;
    script_start(&east);
    waiter_start(&leads, &east);
    WAIT_FOR(blob_partial_size(blobs, &digest) == 1000, 10000);
    waiter_start(&waits, &east);
    clock_sleep_ms(20);
    may = false;
    pthread_join(waits.thread, NULL);
    ck_assert_int_eq(waits.rc, ERR_BUSY);
    east.until = SIZE_MAX;
    pthread_join(leads.thread, NULL);
    ck_assert_int_eq(leads.rc, 0);
    ck_assert_uint_eq(east.n_asked, 1);
    script_end(&east);
    end();
}
END_TEST

// --- a flight that others run for those who wait ---

struct run {
    pthread_t thread;
    struct content_want want;
    struct flight *flight;
    int rc;
    struct content_outcome out;
};

static void *run_main(void *arg)
{
    struct run *r = arg;
    r->rc = content_run(content, &r->want, r->flight, &r->out);
    return NULL;
}

// The caller waits, and another thread fetches.
static void run_start(struct run *r, struct script *s)
{
    bool leads;
    r->want = want_of(&s->source, 1);
    ck_assert_int_eq(
        flight_join(content_flights(content), &digest, FLIGHT_FOR_WAITERS, &r->flight, &leads), 0);
    ck_assert(leads);
    ck_assert_int_eq(pthread_create(&r->thread, NULL, run_main, r), 0);
}

START_TEST(a_waiter_hears_of_the_bytes_as_they_come)
{
    begin();
    struct script east = script_whole("eastus");
    struct run r;
    struct flight_progress p = {0};
    uint64_t last = 0;
    east.until = 1000;
    script_start(&east);
    run_start(&r, &east);
    while (!p.ended) {
        flight_wait(r.flight, &p, 10000);
        ck_assert_uint_ge(p.bytes, last);
        last = p.bytes;
        if (p.bytes == east.until)
            east.until = east.until + 50000;
    }
    pthread_join(r.thread, NULL);
    flight_leave(r.flight);
    ck_assert_int_eq(r.rc, 0);
    ck_assert_int_eq(p.rc, 0);
    ck_assert_uint_eq(p.bytes, sizeof bytes);
    ck_assert_uint_eq(p.n_restarts, 0);
    expect_here();
    script_end(&east);
    end();
}
END_TEST

START_TEST(when_all_have_left_the_fetch_ends_and_a_later_one_goes_on)
{
    begin();
    struct script east = script_whole("eastus");
    struct run r;
    east.until = 1000;
    script_start(&east);
    run_start(&r, &east);
    WAIT_FOR(blob_partial_size(blobs, &digest) == 1000, 10000);
    flight_leave(r.flight);
    pthread_join(r.thread, NULL);
    ck_assert_int_eq(r.rc, ERR_CANCELED);
    ck_assert(!in_doubt(&east));
    expect_absent();
    east.until = SIZE_MAX;
    ck_assert_int_eq(get(&east, NULL), 0);
    ck_assert_uint_eq(east.asked_from, 1000);
    expect_here();
    script_end(&east);
    end();
}
END_TEST

// Nobody waits for the bytes that one fetches, so they are held back; then somebody does.
START_TEST(who_goes_before_all_hurries_the_fetch_of_another)
{
    begin();
    struct script east = script_whole("eastus");
    struct waiter leads = {0};
    struct source *list[] = {east.source};
    east.holds_back = true;
    script_start(&east);
    waiter_start(&leads, &east);
    WAIT_FOR(east.n_asked == 1, 10000);
    ck_assert(flights_have(content_flights(content), &digest));
    list[0] = east.source;
    struct content_want w = want_of(list, 1);
    w.urgent = true;
    ck_assert_int_eq(content_blob(content, &w, &out), 0);
    pthread_join(leads.thread, NULL);
    ck_assert_int_eq(leads.rc, 0);
    ck_assert_uint_eq(east.n_asked, 1);
    expect_here();
    serves = false;
    east.n_asked = 0;
    waiter_start(&leads, &east);
    WAIT_FOR(east.n_asked == 1, 10000);
    flights_hurry(content_flights(content), &digest);
    pthread_join(leads.thread, NULL);
    ck_assert_int_eq(leads.rc, 0);
    script_end(&east);
    end();
}
END_TEST

START_TEST(a_stop_ends_a_fetch_whose_source_hangs)
{
    begin();
    struct script east = script_whole("eastus");
    struct waiter leads = {0}, waits = {0};
    east.until = 1000;
    script_start(&east);
    waiter_start(&leads, &east);
    WAIT_FOR(blob_partial_size(blobs, &digest) == 1000, 10000);
    waiter_start(&waits, &east);
    content_stop(content);
    pthread_join(leads.thread, NULL);
    pthread_join(waits.thread, NULL);
    ck_assert_int_eq(leads.rc, ERR_CANCELED);
    ck_assert_int_eq(waits.rc, ERR_CANCELED);
    ck_assert_int_eq(get(&east, NULL), ERR_CANCELED);
    script_end(&east);
    end();
}
END_TEST

// --- room ---

struct disk {
    struct space_disk view;
};

static int disk_measure(void *ctx, struct space_disk *view)
{
    const struct disk *d = ctx;
    *view = d->view;
    return 0;
}

// What note_no_space was told, and what was on the disk of the partial fetch when it was.
static uint64_t lacked_at, had_then;

static void note_no_space(void *ctx, uint64_t n)
{
    (void)ctx;
    lacked_at = n;
    had_then = blob_partial_size(blobs, &digest);
}

static int get_charged(struct script *s, uint64_t size)
{
    struct content_want w = want_of(&s->source, 1);
    w.size = size;
    w.no_space = note_no_space;
    lacked_at = UINT64_MAX;
    return content_blob(content, &w, &out);
}

START_TEST(what_does_not_fit_is_given_up_and_not_held_against_the_source)
{
    begin();
    struct script east = script_whole("eastus");
    struct disk disk = {.view = {.total_bytes = 1u << 30, .free_bytes = 100000}};
    struct space_options o = {.measure = disk_measure, .measure_ctx = &disk};
    struct space *space;
    ck_assert_int_eq(space_open(&o, &space), 0);
    charge = (struct space_charge){.space = space}; // nothing is charged: it must grow
    struct blob_upload *u;
    ck_assert_int_eq(blob_partial_open(blobs, &digest, &u), 0);
    ck_assert_int_eq(blob_upload_write(u, bytes, 1000), 0);
    blob_upload_close(u);
    script_start(&east);
    ck_assert_int_eq(get_charged(&east, sizeof bytes), ERR_NOSPACE);
    ck_assert_uint_eq(lacked_at, 1000); // given up after that was told
    ck_assert_uint_eq(had_then, 1000);
    ck_assert(out.own_fault);
    ck_assert_ptr_nonnull(strstr(out.error, "westeurope cannot keep a blob"));
    ck_assert_uint_eq(blob_partial_size(blobs, &digest), 0);
    ck_assert(!in_doubt(&east));
    ck_assert_uint_eq(n_wrong(&east), 0);
    disk.view.free_bytes = 1u << 29;
    struct space_view v;
    ck_assert_int_eq(space_look(space, &v), 0);
    ck_assert_int_eq(get_charged(&east, sizeof bytes), 0);
    expect_here();
    script_end(&east);
    space_return(&charge);
    space_close(space);
    charge = (struct space_charge){0};
    end();
}
END_TEST

// At whatever step the disk is full: the blob is here whole, or it is not, and no source is blamed.
START_TEST(a_disk_that_is_full_at_any_step)
{
    for (long n = 1; n < 100; n++) {
        begin();
        struct script east = script_whole("eastus");
        script_start(&east);
        full_disk_from(n);
        int rc = get_charged(&east, sizeof bytes);
        bool met = full_disk_off() > 0;
        ck_assert(!in_doubt(&east));
        ck_assert_uint_eq(n_wrong(&east), 0);
        if (rc) {
            ck_assert(met);
            ck_assert_int_eq(rc, ERR_NOSPACE);
            ck_assert_uint_eq(blob_partial_size(blobs, &digest), 0);
            ck_assert_int_eq(get(&east, NULL), 0);
        }
        expect_here();
        script_end(&east);
        end();
        if (!met)
            return;
    }
    ck_abort_msg("it never got through");
}
END_TEST

CHECK_MAIN("content/content", the_first_that_has_it_gives_it, sources_that_lack_it_are_named,
           of_several_failures_the_worst_is_told, what_broke_off_goes_on_at_the_next_source,
           a_later_fetch_goes_on_where_an_earlier_one_stopped,
           a_source_that_gives_the_whole_begins_anew,
           bytes_that_came_whole_before_a_crash_are_not_asked_for,
           a_source_of_wrong_bytes_is_passed_over_and_named,
           wrong_bytes_of_all_sources_are_an_error_and_not_kept,
           a_source_is_not_blamed_for_bytes_of_before, more_here_than_there_is_begins_anew,
           no_more_comes_than_an_exact_want_says, a_cut_blob_of_the_store_is_fetched_again,
           a_manifest_comes_verified, many_who_want_one_blob_share_one_fetch,
           when_the_leader_fails_a_waiter_asks_its_own_sources,
           who_may_not_wait_is_told_that_it_is_busy, a_waiter_hears_of_the_bytes_as_they_come,
           when_all_have_left_the_fetch_ends_and_a_later_one_goes_on,
           who_goes_before_all_hurries_the_fetch_of_another, a_stop_ends_a_fetch_whose_source_hangs,
           what_does_not_fit_is_given_up_and_not_held_against_the_source,
           a_disk_that_is_full_at_any_step)
