// SPDX-License-Identifier: Apache-2.0
// Uploads whose connection breaks: what came is kept and counts once its client was told, a piece
// that is sent again blindly stands in the blob once, and what a principal leaves behind is
// bounded.
#include "base/clock_test.h"
#include "net/http_test.h"
#include "tests/unit/registry/upload_support.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

START_TEST(a_piece_that_is_sent_again_blindly_counts_once)
{
    world_up();
    AUTO_FREE char *at = upload_start("team/app");
    ck_assert_int_eq(piece(at, NULL, "abc"), 202);
    piece_cut(at, NULL, "defgh");
    ck_assert_int_eq(file_bytes(at), 8);
    piece_cut(at, NULL, "def"); // again, and it comes less far
    ck_assert_int_eq(file_bytes(at), 6);
    ck_assert_int_eq(piece(at, NULL, "defghi"), 202);
    expect_told(at, "0-8");
    ck_assert_int_eq(ended_as(at, "abcdefghi"), 201);
    world_down();
}
END_TEST

START_TEST(what_came_counts_once_a_get_tells_it)
{
    world_up();
    AUTO_FREE char *at = upload_start("team/app");
    piece_cut(at, NULL, "hello");
    expect_told(at, "0-4");
    expect_told(at, "0-4");
    ck_assert_int_eq(piece(at, "5-7", " wo"), 202);
    piece_cut(at, "8-100", "rl");
    expect_told(at, "0-9");
    ck_assert_int_eq(piece(at, NULL, "d"), 202);
    ck_assert_uint_eq(files_test_redigested(world_blobs), 0); // the digest went on, too
    ck_assert_int_eq(ended_as(at, "hello world"), 201);
    world_down();
}
END_TEST

START_TEST(what_came_counts_once_a_416_tells_it)
{
    world_up();
    AUTO_FREE char *at = upload_start("team/app");
    ck_assert_int_eq(piece(at, NULL, "abc"), 202);
    piece_cut(at, NULL, "def");
    // Nobody was told of 6 yet: a client that names it guesses, and is told.
    struct exchange x =
        send_with("PATCH", at, REGIONAL, token_push, "Content-Range", "6-7", "gh", 2, 1);
    ck_assert_int_eq(x.resp.status, 416);
    ck_assert_str_eq(header_of(&x, "Range"), "0-5");
    ck_assert(body_has(&x, "stands (at 6 bytes)"));
    exchange_end(&x);
    ck_assert_int_eq(file_bytes(at), 6);
    ck_assert_int_eq(piece(at, "3-5", "xyz"), 416); // what was told stays
    ck_assert_int_eq(piece(at, NULL, "gh"), 202);
    ck_assert_int_eq(ended_as(at, "abcdefgh"), 201);
    world_down();
}
END_TEST

START_TEST(a_client_may_go_on_where_it_knows_it_stands)
{
    world_up();
    AUTO_FREE char *at = upload_start("team/app");
    ck_assert_int_eq(piece(at, NULL, "abc"), 202);
    piece_cut(at, NULL, "lost");
    ck_assert_int_eq(piece(at, "3-4", "de"), 202);
    ck_assert_int_eq(file_bytes(at), 5);
    ck_assert_int_eq(ended_as(at, "abcde"), 201);
    world_down();
}
END_TEST

START_TEST(a_put_that_is_cut_is_kept_like_a_piece)
{
    world_up();
    char digest[DIGEST_TEXT_SIZE];
    digest_text("abcdef", 6, digest);
    AUTO_FREE char *at = upload_start("team/app"), *end = with_digest(at, digest);
    struct hand h = hand_begin("PUT", end, NULL);
    ck_assert_int_eq(hand_send(&h, "abcd", 4), 0);
    hand_cut(&h);
    expect_told(at, "0-3");
    ck_assert_int_eq(
        status_of(send_with("PUT", end, REGIONAL, token_push, "Content-Range", "4-5", "ef", 2, 1)),
        201);
    // A whole blob that begins and ends in one request has no name to go on by: nothing of it
    // stays.
    AUTO_FREE char *whole = mem_printf(UPLOADS "?digest=%s", EMPTY_DIGEST);
    h = hand_begin("POST", whole, NULL);
    ck_assert_int_eq(hand_send(&h, "abcd", 4), 0);
    hand_cut(&h);
    ck_assert_uint_eq(uploads_left(), 0);
    world_down();
}
END_TEST

// Two on one upload: the second is refused, and told nothing that may yet change.
START_TEST(what_is_under_way_is_told_to_nobody)
{
    world_up();
    AUTO_FREE char *at = upload_start("team/app");
    ck_assert_int_eq(piece(at, NULL, "abc"), 202);
    piece_cut(at, NULL, "defgh");
    struct hand h = hand_begin("PATCH", at, NULL);
    ck_assert_int_eq(hand_send(&h, "de", 2), 0);
    ck_assert_int_eq(piece(at, NULL, "xyz"), 409);
    expect_told(at, "0-2");
    hand_cut(&h);
    expect_told(at, "0-4");
    ck_assert_int_eq(piece(at, NULL, "f"), 202);
    ck_assert_int_eq(ended_as(at, "abcdef"), 201);
    world_down();
}
END_TEST

START_TEST(what_came_outlives_a_restart)
{
    world_up();
    AUTO_FREE char *told = upload_start("team/app"), *blind = upload_start("team/app");
    piece_cut(told, NULL, "hello");
    piece_cut(blind, NULL, "hello");
    store_down();
    store_up();
    expect_told(told, "0-4");
    store_down();
    store_up();
    ck_assert_int_eq(piece(told, NULL, " again"), 202);
    ck_assert_int_eq(ended_as(told, "hello again"), 201);
    ck_assert_int_eq(piece(blind, NULL, "hello again"), 202);
    ck_assert_int_eq(ended_as(blind, "hello again"), 201);
    world_down();
}
END_TEST

// A child with the store open gets that far, and dies of SIGKILL.
static void killed_after(const char *at, const char *text)
{
    store_down();
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        store_up();
        struct hand h = hand_begin("PATCH", at, NULL);
        if (hand_send(&h, text, strlen(text)))
            _exit(1);
        raise(SIGKILL);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    store_up();
}

START_TEST(killed_between_the_bytes_and_their_record)
{
    world_up();
    AUTO_FREE char *at = upload_start("team/app");
    ck_assert_int_eq(piece(at, NULL, "abc"), 202);
    killed_after(at, "defgh");
    ck_assert_int_eq(file_bytes(at), 8);
    expect_told(at, "0-2");
    piece_cut(at, NULL, "de");    // recorded
    killed_after(at, "DEFGHIJK"); // written over what was recorded
    expect_told(at, "0-2");
    ck_assert_int_eq(piece(at, NULL, "def"), 202);
    ck_assert_int_eq(ended_as(at, "abcdef"), 201);
    world_down();
}
END_TEST

// --- every short history ---

struct model { // what the upload's blob would be
    char told[64], received[64];
    int n_pieces;
};

static void model_tell(struct model *m)
{
    memcpy(m->told, m->received, sizeof m->told);
}

static void model_back(struct model *m)
{
    memcpy(m->received, m->told, sizeof m->received);
}

static void expect_model(const char *at, struct model *m)
{
    char range[32];
    model_tell(m);
    size_t n = strlen(m->told);
    snprintf(range, sizeof range, "0-%zu", n ? n - 1 : 0);
    expect_told(at, range);
}

static void wrong_end(const char *at, const char *text)
{
    AUTO_FREE char *end = with_digest(at, EMPTY_DIGEST);
    ck_assert_int_eq(status_of(send_body("PUT", end, text, strlen(text))), 400);
}

// At the last byte that was received: told already or not.
static void at_received(const char *at, struct model *m, const char *text)
{
    char range[32];
    size_t n = strlen(m->received);
    bool known = n == strlen(m->told);
    snprintf(range, sizeof range, "%zu-%zu", n, n + strlen(text) - 1);
    ck_assert_int_eq(piece(at, range, text), known ? 202 : 416);
    if (known)
        strcat(m->received, text);
    model_tell(m);
}

static void step(const char *at, char what, struct model *m)
{
    char text[8];
    snprintf(text, sizeof text, "%d%c", m->n_pieces++, what);
    switch (what) {
    case 'p': // a piece, whole
        model_back(m);
        strcat(m->received, text);
        model_tell(m);
        ck_assert_int_eq(piece(at, NULL, text), 202);
        break;
    case 'c': // one that is cut
        model_back(m);
        strcat(m->received, text);
        piece_cut(at, NULL, text);
        break;
    case 'a':
        at_received(at, m, text);
        break;
    case 'w': // a refused end
        model_back(m);
        wrong_end(at, text);
        break;
    case 'g':
        expect_model(at, m);
        break;
    default: // a restart
        store_down();
        store_up();
    }
}

static void history(const char *steps)
{
    struct model m = {0};
    AUTO_FREE char *at = upload_start("team/app");
    for (const char *s = steps; *s; s++)
        step(at, *s, &m);
    ck_assert_msg(file_bytes(at) <= (off_t)strlen(m.received), "%s leaves bytes", steps);
    expect_model(at, &m);
    ck_assert_msg(ended_as(at, m.told) == 201, "%s does not end as %s", steps, m.told);
}

static void histories(const char *kinds, int length)
{
    size_t n_kinds = strlen(kinds), n = 1;
    for (int i = 0; i < length; i++)
        n *= n_kinds;
    for (size_t h = 0; h < n; h++) {
        char steps[8] = "";
        size_t left = h;
        for (int i = 0; i < length; i++, left /= n_kinds)
            steps[i] = kinds[left % n_kinds];
        history(steps);
    }
}

// Thousands of commits: on a file system in memory where one may be mounted.
static void mount_memory(void)
{
    if (!unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        (void)!mount("none", world_dir, "tmpfs", 0, "size=64m");
}

START_TEST(every_short_history_ends_as_the_right_blob)
{
    world_dir_made = mount_memory;
    world_up();
    world_dir_made = NULL;
    histories("pcagw", 4);
    histories("pcagwr", 3);
    ck_assert(!files_test_any_open(world_blobs));
    store_down();
    umount2(world_dir, MNT_DETACH);
    store_up(); // world_down wants one
    world_down();
}
END_TEST

// --- bounds ---

static int start_as(const char *token)
{
    return status_of(send_with("POST", UPLOADS, REGIONAL, token, NULL, NULL, NULL, 0, 0));
}

static int told_status(const char *at)
{
    return status_of(send_plain("GET", at));
}

START_TEST(a_full_bound_drops_the_oldest_idle_partial)
{
    world_uploads = (struct upload_bounds){.of_principal = 3};
    world_up();
    AUTO_FREE char *bob = token_of("\"bob\"");
    ck_assert_int_eq(start_as(bob), 202);
    char *at[8];
    // a client that begins anew each time: the bound locks it out of nothing
    for (int i = 0; i < 8; i++) {
        clock_virtual_advance(1000);
        at[i] = upload_start("team/app");
        piece_cut(at[i], NULL, "0123456789");
    }
    for (int i = 0; i < 8; i++) {
        ck_assert_int_eq(told_status(at[i]), i < 5 ? 404 : 204);
        ck_assert_int_eq(file_bytes(at[i]), i < 5 ? -1 : 10);
    }
    clock_virtual_advance(1000);
    ck_assert_int_eq(piece(at[5], NULL, "x"), 202); // no longer the oldest
    store_down();
    store_up();
    ck_assert_int_eq(start_as(token_push), 202);
    ck_assert_int_eq(told_status(at[5]), 204);
    ck_assert_int_eq(told_status(at[6]), 404);
    ck_assert_int_eq(told_status(at[7]), 204);
    for (int i = 0; i < 8; i++)
        free(at[i]);
    world_down();
    world_uploads = (struct upload_bounds){0};
}
END_TEST

START_TEST(what_has_a_request_under_way_is_never_dropped)
{
    world_uploads = (struct upload_bounds){.of_principal = 3};
    world_up();
    struct hand h[3];
    char *at[3];
    for (int i = 0; i < 3; i++) {
        at[i] = upload_start("team/app");
        h[i] = hand_begin("PATCH", at[i], NULL); // its head was read, and none of its body yet
    }
    struct exchange x = send_plain("POST", UPLOADS);
    ck_assert_int_eq(x.resp.status, 429);
    ck_assert(body_has(&x, "ada has 3 uploads open here") && body_has(&x, "none of them is idle"));
    exchange_end(&x);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(hand_send(&h[i], "abc", 3), 0);
    ck_assert_int_eq(start_as(token_push), 429);
    ck_assert_int_eq(hand_end(&h[1]), 202);
    ck_assert_int_eq(start_as(token_push), 202);
    ck_assert_int_eq(told_status(at[1]), 404);
    ck_assert_int_eq(hand_end(&h[0]), 202);
    hand_cut(&h[2]);
    expect_told(at[2], "0-2");
    for (int i = 0; i < 3; i++)
        free(at[i]);
    world_down();
    world_uploads = (struct upload_bounds){0};
}
END_TEST

// The registry's bound: one's own make room, another's never.
START_TEST(at_the_registrys_bound_everybody_drops_his_own)
{
    world_uploads = (struct upload_bounds){.of_principal = 3, .of_registry = 4};
    world_up();
    AUTO_FREE char *bob = token_of("\"bob\""), *carl = token_of("\"carl\"");
    AUTO_FREE char *first = upload_start("team/app"), *second = upload_start("team/app");
    ck_assert_int_eq(start_as(bob), 202);
    ck_assert_int_eq(start_as(bob), 202);
    struct exchange x = send_with("POST", UPLOADS, REGIONAL, carl, NULL, NULL, NULL, 0, 0);
    ck_assert_int_eq(x.resp.status, 429);
    ck_assert(body_has(&x, "the registry has 4 uploads open here") &&
              body_has(&x, "none of your own is idle"));
    exchange_end(&x);
    ck_assert_int_eq(start_as(bob), 202);
    ck_assert_int_eq(told_status(first), 204);
    clock_virtual_advance(1000);
    ck_assert_int_eq(piece(first, NULL, "x"), 202);
    ck_assert_int_eq(start_as(token_push), 202);
    ck_assert_int_eq(told_status(first), 204);
    ck_assert_int_eq(told_status(second), 404);
    world_down();
    world_uploads = (struct upload_bounds){0};
}
END_TEST

START_TEST(bytes_that_are_left_behind_are_bounded)
{
    world_uploads = (struct upload_bounds){.bytes_of_principal = 10};
    world_up();
    AUTO_FREE char *empty = upload_start("team/app"), *a = upload_start("team/app"),
                   *b = upload_start("team/app");
    AUTO_FREE char *c = upload_start("team/app"), *d = upload_start("team/app");
    piece_cut(a, NULL, "123456");
    expect_told(a, "0-5");
    clock_virtual_advance(UPLOAD_RESTS_MS);
    piece_cut(b, NULL, "123456"); // the oldest goes
    ck_assert_int_eq(told_status(a), 404);
    ck_assert_int_eq(file_bytes(a), -1);
    expect_told(b, "0-5");
    ck_assert_int_eq(told_status(empty), 204); // has nothing to give
    // So short a time is no rest: b may be growing. What was cut of c is not kept, what it was told
    // before is.
    ck_assert_int_eq(piece(c, NULL, "1"), 202);
    piece_cut(c, NULL, "23456");
    expect_told(c, "0-0");
    ck_assert_int_eq(file_bytes(c), 1);
    expect_told(b, "0-5");
    // Neither is one with a request under way.
    struct hand h = hand_begin("PATCH", b, NULL);
    clock_virtual_advance(UPLOAD_RESTS_MS);
    // what is acknowledged stays whatever else has to go
    ck_assert_int_eq(piece(d, NULL, "0123456789"), 202);
    ck_assert_int_eq(told_status(c), 404);
    ck_assert_int_eq(hand_send(&h, "7", 1), 0);
    ck_assert_int_eq(hand_end(&h), 202);
    expect_told(b, "0-6");
    expect_told(d, "0-9");
    world_down();
    world_uploads = (struct upload_bounds){0};
}
END_TEST

// What is acknowledged is taken from nobody while it grows. Once it is left, the sweep drops it
// down to the bound, but for the last.
START_TEST(acknowledged_bytes_that_are_left_go_with_the_sweep)
{
    world_uploads = (struct upload_bounds){.bytes_of_principal = 10};
    world_up();
    AUTO_FREE char *a = upload_start("team/app"), *b = upload_start("team/app"),
                   *c = upload_start("team/app");
    size_t n = 0;
    ck_assert_int_eq(piece(a, NULL, "0123456"), 202);
    clock_virtual_advance(1000);
    ck_assert_int_eq(piece(b, NULL, "0123456"), 202);
    clock_virtual_advance(1000);
    ck_assert_int_eq(piece(c, NULL, "0123456789abcdef"), 202);
    ck_assert_int_eq(registry_uploads_expire(world_service, 3600 * 1000, &n), 0);
    ck_assert_uint_eq(n, 0);
    clock_virtual_advance(UPLOAD_RESTS_MS - 2000);
    ck_assert_int_eq(registry_uploads_expire(world_service, 3600 * 1000, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(told_status(a), 404);
    ck_assert_int_eq(file_bytes(a), -1);
    clock_virtual_advance(UPLOAD_RESTS_MS);
    ck_assert_int_eq(registry_uploads_expire(world_service, 3600 * 1000, &n), 0);
    ck_assert_int_eq(told_status(b), 404);
    expect_told(c, "0-15");
    world_down();
    world_uploads = (struct upload_bounds){0};
}
END_TEST

START_TEST(the_sweep_comes_as_often_as_its_limit_asks)
{
    ck_assert_uint_eq(registry_uploads_sweep_ms(60), 3750);
    ck_assert_uint_eq(registry_uploads_sweep_ms(600), 37500);
    ck_assert_uint_eq(registry_uploads_sweep_ms(86400), 60000);
    ck_assert_uint_eq(registry_uploads_sweep_ms(2592000), 60000);
}
END_TEST

// Several at the bound at once, each of which drops what the others leave: whoever goes on with an
// upload either finds it as it was told, or gone.
enum { RACERS = 4, ROUNDS = 60, RACE_BOUND = 6 };

static char *start_quietly(int *status)
{
    struct exchange x = send_plain("POST", UPLOADS);
    *status = x.resp.status;
    char *at = *status == 202 ? target_of(header_of(&x, "Location"), REGIONAL) : NULL;
    exchange_end(&x);
    return at;
}

static int race_round(const char *at, int round)
{
    struct hand h = hand_begin("PATCH", at, NULL);
    if (h.plan.kind != HTTP_PLAN_STREAM) { // it is being dropped
        http_request_test_free(h.req);
        return 409;
    }
    h.plan.sink->write(h.req, (const uint8_t *)"0123456789", 10);
    if (round % 3) {
        hand_cut(&h);
        return status_of(send_plain("GET", at));
    }
    int status = hand_end(&h);
    return status == 202 && round % 2 ? ended_as(at, "0123456789") : status;
}

static void *race_run(void *arg)
{
    int *n_odd = arg;
    for (int round = 0; round < ROUNDS; round++) {
        int status;
        AUTO_FREE char *at = start_quietly(&status);
        if (at)
            status = race_round(at, round);
        // 204, 202, 201: it went well; 404, 409: dropped between two requests
        *n_odd += status != 201 && status != 202 && status != 204 && status != 404 && status != 409;
    }
    return NULL;
}

START_TEST(racers_at_the_bound_drop_only_what_rests)
{
    world_uploads = (struct upload_bounds){.of_principal = RACE_BOUND, .bytes_of_principal = 40};
    world_up();
    pthread_t threads[RACERS];
    int n_odd[RACERS] = {0};
    for (int i = 0; i < RACERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, race_run, &n_odd[i]), 0);
    for (int i = 0; i < RACERS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(n_odd[i], 0);
    }
    ck_assert_uint_le(uploads_left(), RACE_BOUND); // no file without its upload
    ck_assert_int_eq(start_as(token_push), 202);
    size_t n = 0;
    clock_virtual_advance(120 * 1000);
    ck_assert_int_eq(registry_uploads_expire(world_service, 60 * 1000, &n), 0);
    ck_assert_uint_le(n, RACE_BOUND);
    ck_assert_uint_eq(uploads_left(), 0);
    ck_assert(!files_test_any_open(world_blobs));
    world_down();
    world_uploads = (struct upload_bounds){0};
}
END_TEST

// --- what was left ---

START_TEST(the_sweep_passes_over_what_is_under_way)
{
    world_up();
    enum { MANY = 300 }; // more than it takes at once
    static struct hand h[MANY];
    static char *at[MANY];
    size_t n = 0;
    for (int i = 0; i < MANY; i++) {
        at[i] = upload_start("team/app");
        h[i] = hand_begin("PATCH", at[i], NULL);
    }
    clock_virtual_advance(1000);
    AUTO_FREE char *left = upload_start("team/app");
    clock_virtual_advance(61 * 1000);
    ck_assert_int_eq(registry_uploads_expire(world_service, 60 * 1000, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(told_status(left), 404);
    for (int i = 0; i < MANY; i++) {
        hand_cut(&h[i]);
        free(at[i]);
    }
    world_down();
}
END_TEST

// A process that dies leaves the file of a whole blob, of which nobody knows: ten minutes are
// enough for it.
START_TEST(files_of_nobody_go_soon)
{
    world_up();
    AUTO_FREE char *at = upload_start("team/app");
    AUTO_FREE char *path = mem_printf("%s/store/uploads/eastus.dead", world_dir);
    size_t n = 0;
    ck_assert_int_eq(piece(at, NULL, "abc"), 202);
    clock_virtual_off(); // files have the times of the world
    ck_assert_int_eq(file_write_atomic(path, "left", 4, 0640), 0);
    ck_assert_int_eq(registry_uploads_expire(world_service, 86400000, &n), 0);
    ck_assert_uint_eq(n, 0);
    struct timespec old[2] = {{.tv_sec = time(NULL) - 660}, {.tv_sec = time(NULL) - 660}};
    ck_assert_int_eq(utimensat(AT_FDCWD, path, old, 0), 0);
    ck_assert_int_eq(registry_uploads_expire(world_service, 86400000, &n), 0);
    ck_assert_uint_eq(n, 1);
    clock_virtual_set(NOW_MS);
    expect_told(at, "0-2");
    world_down();
}
END_TEST

CHECK_MAIN("registry/uploads_cut", a_piece_that_is_sent_again_blindly_counts_once,
           what_came_counts_once_a_get_tells_it, what_came_counts_once_a_416_tells_it,
           a_client_may_go_on_where_it_knows_it_stands, a_put_that_is_cut_is_kept_like_a_piece,
           what_is_under_way_is_told_to_nobody, what_came_outlives_a_restart,
           killed_between_the_bytes_and_their_record, every_short_history_ends_as_the_right_blob,
           a_full_bound_drops_the_oldest_idle_partial,
           what_has_a_request_under_way_is_never_dropped,
           at_the_registrys_bound_everybody_drops_his_own, bytes_that_are_left_behind_are_bounded,
           acknowledged_bytes_that_are_left_go_with_the_sweep,
           the_sweep_comes_as_often_as_its_limit_asks, racers_at_the_bound_drop_only_what_rests,
           the_sweep_passes_over_what_is_under_way, files_of_nobody_go_soon)
