// SPDX-License-Identifier: Apache-2.0
// Backups and restores on a disk that is full, that loses a request, and under kill -9, at each step
// of them in turn: the backup before is as it was, or the new one is whole; a restore that was broken
// off lets no store open, and goes on.
#include "tests/support/full_disk.h"
#include "tests/unit/backup/backup_support.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#define STEPS_MAX 2000

static struct world w;
static struct backup_report done;

// Two heads: that of the backup before, and that of now.
static uint64_t before, now;

static void begin(void)
{
    world_begin(&w);
    ck_assert_int_eq(image_push(&w, 0), 0);
    ck_assert_int_eq(take(&w, &done), 0);
    before = done.form.facts.head.seq;
    ck_assert_int_eq(image_push(&w, 1), 0);
    now = head_seq(&w.region, "eastus");
    world_close(&w); // forks follow
}

// As it was before: the first backup alone. A backup that is whole goes on from nothing.
static void backup_reset(void)
{
    world_open(&w);
    ck_assert_int_eq(dir_remove_tree(w.backup), 0);
    image_delete(&w, 1);
    ck_assert_int_eq(take(&w, &done), 0);
    before = done.form.facts.head.seq;
    ck_assert_int_eq(image_push(&w, 1), 0);
    now = head_seq(&w.region, "eastus");
    world_close(&w);
}

static void backup_check(long n, bool made)
{
    int rc = verify(&w, &done);
    if (rc)
        said_show(&w.d);
    ck_assert_msg(rc == 0, "step %ld: %s", n, err_text(rc));
    uint64_t is = done.form.facts.head.seq;
    ck_assert_msg(is == now || (!made && is == before), "step %ld: neither backup is there", n);
}

static void takes(void (*fault)(long))
{
    bool met = true;
    begin();
    for (long n = 1; met; n++) {
        ck_assert_int_lt(n, STEPS_MAX);
        fault(n);
        int rc = take(&w, &done);
        met = full_disk_off() > 0;
        ck_assert_msg(!rc || diag_count(&w.d), "step %ld: nothing is said", n);
        ck_assert_msg(met || !rc, "step %ld: %s", n, err_text(rc));
        backup_check(n, !rc);
        if (!rc && met)
            backup_reset();
    }
    world_end(&w);
}

static void io_error_at(long n)
{
    full_disk_fails_at(n, EIO);
}

START_TEST(a_full_disk_leaves_the_backup_before)
{
    takes(full_disk_from);
}
END_TEST

START_TEST(one_step_without_room_leaves_the_backup_before)
{
    takes(full_disk_at);
}
END_TEST

START_TEST(a_lost_request_leaves_the_backup_before)
{
    takes(io_error_at);
}
END_TEST

// Runs `act` in a process that dies at the n-th step. false: it came to its end.
static bool dies(long n, int (*act)(void))
{
    int status;
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        full_disk_dies_at(n);
        int rc = act();
        full_disk_off();
        _exit(rc ? 1 : 0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) {
        ck_assert_int_eq(WTERMSIG(status), SIGKILL);
        return true;
    }
    ck_assert_int_eq(status, 0);
    return false;
}

static int take_act(void)
{
    return take(&w, &done);
}

START_TEST(a_kill_at_any_step_leaves_the_backup_before_or_the_new_one)
{
    begin();
    bool died = true;
    for (long n = 1; died; n++) {
        ck_assert_int_lt(n, STEPS_MAX);
        died = dies(n, take_act);
        backup_check(n, !died);
    }
    ck_assert_int_eq(take(&w, &done), 0); // and the next one is made over what was left
    backup_check(0, true);
    world_end(&w);
}
END_TEST

// --- restoring ---

static int restore_act(void)
{
    return restore(&w, &done);
}

// A store opens only where the restore came to its end.
static void not_half(long n)
{
    bool mark = there(w.data, "meta/" SQLITE_RESTORE_MARK);
    bool db = there(w.data, "meta/meta.db");
    if (!mark && !db)
        return; // it had not begun
    if (mark)
        ck_assert_msg(store_try(&w.region, NULL) == ERR_BUSY, "step %ld: a half store opens", n);
}

START_TEST(a_restore_that_is_killed_lets_no_store_open_and_goes_on)
{
    begin();
    ck_assert_int_eq(take(&w, &done), 0);
    bool died = true;
    for (long n = 1; died; n++) {
        ck_assert_int_lt(n, STEPS_MAX);
        world_lose(&w);
        died = dies(n, restore_act);
        not_half(n);
        int rc = died ? restore(&w, &done) : 0;
        if (rc == ERR_EXISTS) // it died behind its last step
            ck_assert(!there(w.data, "meta/" SQLITE_RESTORE_MARK));
        else
            ck_assert_msg(rc == 0, "step %ld: %s", n, err_text(rc));
        world_open(&w);
        ck_assert_uint_eq(head_seq(&w.region, "eastus"), now);
        image_check(&w, 0);
        image_check(&w, 1);
        world_close(&w);
    }
    world_end(&w);
}
END_TEST

START_TEST(a_restore_onto_a_full_disk_goes_on_when_there_is_room)
{
    begin();
    ck_assert_int_eq(take(&w, &done), 0);
    bool met = true;
    for (long n = 1; met; n++) {
        ck_assert_int_lt(n, STEPS_MAX);
        world_lose(&w);
        full_disk_from(n);
        int rc = restore(&w, &done);
        met = full_disk_off() > 0;
        ck_assert_msg(met || !rc, "step %ld: %s", n, err_text(rc));
        ck_assert_msg(!rc || diag_count(&w.d), "step %ld: nothing is said", n);
        not_half(n);
        if (rc)
            rc = restore(&w, &done);
        ck_assert_msg(rc == 0 || (rc == ERR_EXISTS && !there(w.data, "meta/" SQLITE_RESTORE_MARK)),
                      "step %ld: %s", n, err_text(rc));
        world_open(&w);
        image_check(&w, 1);
        world_close(&w);
    }
    world_end(&w);
}
END_TEST

CHECK_MAIN("backup/faults", a_full_disk_leaves_the_backup_before,
           one_step_without_room_leaves_the_backup_before, a_lost_request_leaves_the_backup_before,
           a_kill_at_any_step_leaves_the_backup_before_or_the_new_one,
           a_restore_that_is_killed_lets_no_store_open_and_goes_on,
           a_restore_onto_a_full_disk_goes_on_when_there_is_room)
