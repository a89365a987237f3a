// SPDX-License-Identifier: Apache-2.0
// store/meta in two processes, as in a restart: the forerunner hands the store over and ends its
// uploads while the successor opens it and writes entries. Nothing is lost on either side, no
// sequence is given twice, and a forerunner that does not know the schema any more writes nothing.
#include "tests/support/leases.h"
#include "tests/unit/store/meta_support.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_WRITES 60
#define ROUNDS 6

static struct region_store region;

static void upload_id(char out[32], int i)
{
    snprintf(out, 32, "eastus.%08x", i);
}

static void uploads_create(int n)
{
    for (int i = 0; i < n; i++) {
        char id[32];
        upload_id(id, i);
        const struct upload_row row = {
            .id = id, .registry = REG, .repository = "app", .principal = "ada"};
        ck_assert_int_eq(meta_upload_create(region.m, &row, NULL, NULL), 0);
    }
}

static int tag_push(struct region_store *s, const char *who, int i)
{
    char text[64], name[32];
    snprintf(text, sizeof text, "{\"who\":\"%s\",\"push\":%d}", who, i);
    snprintf(name, sizeof name, "%s-%d", who, i % 5);
    return put(s, "app", name, text);
}

// ---- two processes; both are forked while nobody has the store open: SQLite's state must not be
// inherited ----

struct other {
    pid_t pid;
    // it waits for a byte here; it says a number here
    int go_fd, said_fd;
};

static struct other other_begin(void (*act)(int said_fd))
{
    int go[2], said[2];
    ck_assert(pipe(go) == 0 && pipe(said) == 0);
    struct other o = {.pid = fork(), .go_fd = go[1], .said_fd = said[0]};
    ck_assert_int_ge(o.pid, 0);
    if (o.pid == 0) {
        char c;
        close(go[1]);
        if (read(go[0], &c, 1) != 1)
            _exit(9);
        act(said[1]);
        _exit(0);
    }
    close(go[0]);
    close(said[1]);
    return o;
}

static void other_go(const struct other *o)
{
    ck_assert_int_eq(write(o->go_fd, "g", 1), 1);
}

static int other_said(const struct other *o) // -1: it has ended
{
    int i;
    return read(o->said_fd, &i, sizeof i) == sizeof i ? i : -1;
}

static int other_end(struct other *o)
{
    int status;
    close(o->go_fd);
    ck_assert_int_eq(waitpid(o->pid, &status, 0), o->pid);
    close(o->said_fd);
    return status;
}

static void say(int fd, int i)
{
    if (write(fd, &i, sizeof i) != sizeof i)
        _exit(8);
}

// ---- what they do ----

static void successor_pushes(int fd)
{
    store_reopen(&region);
    say(fd, 0);
    for (int i = 0; i < N_WRITES; i++)
        if (tag_push(&region, "new", i))
            _exit(3);
        else
            say(fd, i + 1);
    meta_close(region.m);
}

static int upload_end(int i)
{
    char id[32], text[32];
    upload_id(id, i);
    snprintf(text, sizeof text, "blob %d", i);
    struct digest d = digest_str(text);
    const struct upload_end end = {id, "ada"};
    int rc = meta_upload_progress(region.m, id, (uint64_t)i + 1, clock_mono_ms(), NULL);
    if (!rc && i % 2)
        rc = lease_give(region.m, REG, "app", &d, (uint64_t)i + 1, &end);
    return rc;
}

static void forerunner_ends_uploads(int fd)
{
    store_reopen(&region);
    meta_hand_over(region.m);
    say(fd, 0);
    for (int i = 0; i < N_WRITES; i++)
        if (upload_end(i))
            _exit(3);
        else
            say(fd, i + 1);
    meta_close(region.m);
}

static void expect_ended(struct arena *a, int i)
{
    char id[32], text[32];
    upload_id(id, i);
    snprintf(text, sizeof text, "blob %d", i);
    struct digest d = digest_str(text);
    struct upload_row row = {0};
    uint64_t size = 0;
    ck_assert_int_eq(meta_upload_get(region.m, id, a, &row), i % 2 ? ERR_NOTFOUND : 0);
    if (i % 2)
        ck_assert_int_eq(lease_look(region.m, REG, "app", &d, &size), 0);
    ck_assert_uint_eq(i % 2 ? size : row.size, (uint64_t)i + 1);
}

// What either was told is there, and the log has no gap.
static void judge(int n_ended, int n_pushed)
{
    struct arena a;
    arena_init(&a, 0);
    store_reopen(&region);
    for (int i = 0; i < n_ended; i++)
        expect_ended(&a, i);
    for (int i = n_pushed > 5 ? n_pushed - 5 : 0; i < n_pushed; i++) {
        char name[32];
        struct manifest_row row;
        snprintf(name, sizeof name, "new-%d", i % 5);
        ck_assert_int_eq(meta_manifest_get(region.m, REG, "app", name, NULL, &a, &row), 0);
    }
    feed_verify(&region, "eastus");
    ck_assert_uint_ge(head_seq(&region, "eastus"), (uint64_t)n_pushed);
    arena_done(&a);
}

static void begin_closed(void)
{
    store_begin(&region, "eastus");
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(tag_push(&region, "old", i), 0);
    uploads_create(N_WRITES);
    meta_close(region.m);
    region.m = NULL;
}

START_TEST(uploads_end_while_the_successor_writes)
{
    begin_closed();
    struct other old = other_begin(forerunner_ends_uploads), new = other_begin(successor_pushes);
    other_go(&old);
    ck_assert_int_eq(other_said(&old), 0); // handed over
    other_go(&new);
    while (other_said(&new) >= 0)
        ;
    while (other_said(&old) >= 0)
        ;
    ck_assert_int_eq(other_end(&new), 0);
    ck_assert_int_eq(other_end(&old), 0);
    judge(N_WRITES, N_WRITES);
    store_end(&region);
}
END_TEST

// One of them is killed while both write: the other one goes on.
START_TEST(either_may_be_killed)
{
    for (int round = 0; round < ROUNDS; round++) {
        begin_closed();
        struct other both[2] = {other_begin(forerunner_ends_uploads),
                                other_begin(successor_pushes)};
        int done[2] = {0}, victim = round % 2, n;
        other_go(&both[0]);
        ck_assert_int_eq(other_said(&both[0]), 0);
        other_go(&both[1]);
        for (int i = 0; i < 5 + 7 * round && (n = other_said(&both[victim])) >= 0; i++)
            done[victim] = n;
        ck_assert_int_eq(kill(both[victim].pid, SIGKILL), 0);
        for (int k = 0; k < 2; k++)
            while ((n = other_said(&both[k])) >= 0)
                done[k] = n;
        ck_assert(WIFSIGNALED(other_end(&both[victim])));
        ck_assert_int_eq(other_end(&both[1 - victim]), 0);
        ck_assert_int_eq(done[1 - victim], N_WRITES);
        judge(done[0], done[1]);
        store_end(&region);
    }
}
END_TEST

START_TEST(who_has_handed_over_mints_nothing)
{
    store_begin(&region, "eastus");
    uploads_create(1);
    meta_hand_over(region.m);
    uint64_t head = head_seq(&region, "eastus");
    ck_assert_int_eq(tag_push(&region, "late", 1), ERR_CLOSED);
    const struct upload_row row = {
        .id = "eastus.ff", .registry = REG, .repository = "app", .principal = "ada"};
    ck_assert_int_eq(meta_upload_create(region.m, &row, NULL, NULL), ERR_CLOSED);
    ck_assert_int_eq(meta_probe(region.m), ERR_CLOSED);
    ck_assert_int_eq(upload_end(0), 0);
    ck_assert_uint_eq(head_seq(&region, "eastus"), head);
    store_end(&region);
}
END_TEST

static void successor_changes_the_schema(int fd)
{
    sqlite3 *db;
    if (sqlite3_open(region.path, &db) ||
        sqlite3_exec(db, "PRAGMA user_version=9999", NULL, NULL, NULL))
        _exit(3);
    sqlite3_close(db);
    (void)fd;
}

START_TEST(a_forerunner_of_another_schema_writes_nothing)
{
    begin_closed();
    struct other new = other_begin(successor_changes_the_schema);
    store_reopen(&region);
    meta_hand_over(region.m);
    ck_assert_int_eq(upload_end(0), 0);
    other_go(&new);
    ck_assert_int_eq(other_end(&new), 0);
    ck_assert_int_eq(upload_end(2), ERR_VERSION);
    store_end(&region);
}
END_TEST

static void tries_to_open(int fd)
{
    struct diag d;
    diag_init(&d);
    say(fd, store_try(&region, &d));
    diag_done(&d);
}

START_TEST(until_then_the_store_is_one_processes)
{
    begin_closed();
    struct other first = other_begin(tries_to_open), second = other_begin(tries_to_open);
    store_reopen(&region);
    other_go(&first);
    ck_assert_int_eq(other_said(&first), ERR_BUSY);
    meta_hand_over(region.m);
    other_go(&second);
    ck_assert_int_eq(other_said(&second), 0);
    ck_assert_int_eq(other_end(&first), 0);
    ck_assert_int_eq(other_end(&second), 0);
    store_end(&region);
}
END_TEST

CHECK_MAIN("store/meta_shared", uploads_end_while_the_successor_writes, either_may_be_killed,
           who_has_handed_over_mints_nothing, a_forerunner_of_another_schema_writes_nothing,
           until_then_the_store_is_one_processes)
