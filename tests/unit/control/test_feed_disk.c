// SPDX-License-Identifier: Apache-2.0
// control/feed on a disk that is full, that loses a request, or under a process that is killed, at
// each of its steps: what was acknowledged is there, what was refused is not, what is torn goes, and
// the node goes on. Damage is put aside and said.
#include "control/feed.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/feed_priv.h"
#include "tests/support/check_main.h"
#include "tests/support/full_disk.h"
#include "tests/unit/control/fleet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROW(name) "registries: [{ name: " name ", replicas: [{ region: eastus }] }]\n"
#define PER_SEGMENT 3

static struct small_fleet *fleet(size_t n)
{
    log_setup(LOG_ERROR, "test");
    struct small_fleet *fl = small_fleet_new(n);
    fl->no_keeper = true;
    fl->how.segment_entries = PER_SEGMENT;
    fl->how.keep_entries = PER_SEGMENT;
    for (size_t i = 0; i < n; i++)
        small_fleet_start(fl, i);
    return fl;
}

static int change(struct small_fleet *fl, size_t i, unsigned number)
{
    char text[128];
    snprintf(text, sizeof text, ROW("contoso%u"), number);
    return small_fleet_try_change(fl, i, text);
}

static bool has(struct small_fleet *fl, size_t i, unsigned number)
{
    char name[32];
    snprintf(name, sizeof name, "contoso%u", number);
    return small_fleet_has(fl, i, name);
}

static void restart(struct small_fleet *fl, size_t i)
{
    small_fleet_stop(fl, i);
    small_fleet_start(fl, i);
}

// ---- the writer ----

typedef void break_at(long n);

static void full_at(long n)
{
    full_disk_at(n);
}

static void full_from(long n)
{
    full_disk_from(n);
}

static void lost_at(long n)
{
    full_disk_fails_at(n, EIO);
}

// Changes and turns of the keeper until nothing fails any more. Whatever failed: the change is there
// or it is not, as was said, also after a restart; and the next one works.
static void writer_meets(break_at *breaks)
{
    struct small_fleet *fl = fleet(1);
    unsigned number = 0;
    bool met = true;
    for (long n = 1; met; n++) {
        ck_assert_int_eq(change(fl, 0, number++), 0);
        feed_keeper_turn(fl->nodes[0].feed);
        breaks(n);
        int rc = change(fl, 0, number);
        int rc2 = change(fl, 0, number + 1);
        feed_keeper_turn(fl->nodes[0].feed);
        met = full_disk_off() > 0;
        ck_assert(met || (!rc && !rc2));
        ck_assert_int_eq(has(fl, 0, number), !rc);
        ck_assert_int_eq(has(fl, 0, number + 1), !rc2);
        restart(fl, 0);
        ck_assert_msg(has(fl, 0, number) == !rc, "step %ld", n);
        ck_assert_msg(has(fl, 0, number + 1) == !rc2, "step %ld", n);
        ck_assert(has(fl, 0, number - 1));
        ck_assert(small_fleet_alarm(fl, 0, NULL));
        number += 2;
    }
    ck_assert_uint_gt(number, 9);
    small_fleet_free(fl);
}

START_TEST(a_change_that_finds_no_room_never_was)
{
    writer_meets(full_at);
    writer_meets(full_from);
}
END_TEST

START_TEST(a_change_that_the_disk_lost_never_was)
{
    writer_meets(lost_at);
}
END_TEST

// ---- another region ----

START_TEST(what_comes_is_in_force_although_the_disk_is_full)
{
    struct small_fleet *fl = fleet(2);
    ck_assert_int_eq(change(fl, 0, 1), 0);
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    struct control_place stored = small_fleet_place(fl, 1), now;
    ck_assert_int_eq(change(fl, 0, 2), 0);
    const char revoked[] = "users: []\n";
    const struct control_draft d = {.principals = bytes_str(revoked)};
    ck_assert_int_eq(control_feed_append(fl->nodes[0].feed, &d, NULL, &now), 0);
    full_disk_from(1);
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), ERR_NOSPACE);
    // a revocation reached it, and it does not say that it has stored it
    struct principals *p = snapshot_get(&fl->nodes[1].pcell);
    ck_assert_uint_eq(p->n_users, 0);
    snapshot_unref(p);
    ck_assert(has(fl, 1, 2));
    struct control_view v;
    control_feed_view(fl->nodes[1].feed, &v);
    ck_assert(control_place_same(&v.place, &stored));
    ck_assert(control_place_same(&v.applied, &now));
    ck_assert_ptr_nonnull(strstr(v.alarm, "cannot be written"));
    control_view_done(&v);
    // asked for the same again: it is here already
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    ck_assert_int_eq(change(fl, 0, 3), ERR_NOSPACE); // the writer itself refuses
    ck_assert_int_gt(full_disk_off(), 0);
    feed_keeper_turn(fl->nodes[1].feed);
    stored = small_fleet_place(fl, 1);
    ck_assert(control_place_same(&stored, &now));
    ck_assert(small_fleet_alarm(fl, 1, NULL));
    restart(fl, 1);
    ck_assert(has(fl, 1, 2));
    ck_assert_int_eq(change(fl, 0, 3), 0);
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    ck_assert(has(fl, 1, 3));
    small_fleet_free(fl);
}
END_TEST

START_TEST(a_takeover_on_a_full_disk_voids_what_waits)
{
    struct small_fleet *fl = fleet(3);
    for (size_t i = 1; i < 3; i++)
        ck_assert_int_eq(small_fleet_pass(fl, 0, i), 0);
    ck_assert_int_eq(change(fl, 0, 1), 0);
    full_disk_from(1);
    ck_assert_int_eq(small_fleet_pass(fl, 0, 2), ERR_NOSPACE);
    full_disk_off();
    ck_assert_int_eq(small_fleet_takeover(fl, 1, 1), 0);
    ck_assert_int_eq(change(fl, 1, 2), 0);
    full_disk_from(1);
    // node 2 has entry 1:1 in memory alone, and goes back over it
    ck_assert_int_eq(small_fleet_pass(fl, 1, 2), ERR_NOSPACE);
    full_disk_off();
    ck_assert_int_eq(small_fleet_pass(fl, 1, 2), 0);
    ck_assert(!has(fl, 2, 1));
    ck_assert(has(fl, 2, 2));
    feed_keeper_turn(fl->nodes[2].feed);
    restart(fl, 2);
    ck_assert(!has(fl, 2, 1));
    ck_assert(has(fl, 2, 2));
    small_fleet_free(fl);
}
END_TEST

// ---- killed ----

enum work { WRITER, FOLLOWER, N_WORKS };

static void acknowledge(int fd, uint8_t what)
{
    ck_assert_int_eq(write(fd, &what, 1), 1);
}

static void work(struct small_fleet *fl, enum work w, int fd, unsigned number)
{
    small_fleet_start(fl, 0);
    if (w == WRITER) {
        for (unsigned i = 0; i < PER_SEGMENT + 1; i++) {
            if (!change(fl, 0, number + i))
                acknowledge(fd, (uint8_t)i);
            feed_keeper_turn(fl->nodes[0].feed);
        }
        return;
    }
    AUTO_BUF struct buf base;
    buf_init(&base, 0);
    if (!control_feed_base_write(fl->nodes[1].feed, &base))
        control_feed_base_take(fl->nodes[0].feed, bytes_of(base.p, base.n), NULL);
    if (!small_fleet_pass(fl, 1, 0))
        acknowledge(fd, 0);
    feed_keeper_turn(fl->nodes[0].feed);
}

// Returns whether it was killed. *out_acked: what it had acknowledged, as a mask.
static bool work_killed(struct small_fleet *fl, enum work w, long n, unsigned number,
                        unsigned *out_acked)
{
    int fds[2], status;
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        full_disk_dies_at(n);
        work(fl, w, fds[1], number);
        _exit(0);
    }
    close(fds[1]);
    *out_acked = 0;
    for (uint8_t b; read(fds[0], &b, 1) == 1;)
        *out_acked |= 1u << b;
    close(fds[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status);
}

START_TEST(what_was_acknowledged_survives_a_kill_at_each_step)
{
    struct small_fleet *fl = fleet(1);
    unsigned number = 0, acked;
    bool killed = true;
    small_fleet_stop(fl, 0);
    for (long n = 1; killed; n++) {
        killed = work_killed(fl, WRITER, n, number, &acked);
        small_fleet_start(fl, 0);
        unsigned unsaid = 0;
        for (unsigned i = 0; i < PER_SEGMENT + 1; i++) {
            if (acked >> i & 1)
                ck_assert_msg(has(fl, 0, number + i), "step %ld", n);
            else
                unsaid += has(fl, 0, number + i); // it was on its way
        }
        ck_assert_uint_le(unsaid, 1);
        ck_assert(small_fleet_alarm(fl, 0, NULL));
        number += PER_SEGMENT + 1;
        ck_assert_int_eq(change(fl, 0, number++), 0);
        small_fleet_stop(fl, 0);
    }
    ck_assert_uint_gt(number, 30);
    small_fleet_start(fl, 0);
    ck_assert(has(fl, 0, number - 1));
    small_fleet_free(fl);
}
END_TEST

// Node 0 here takes what node 1, the writer, has: a base first, then entries.
START_TEST(a_node_that_takes_survives_a_kill_at_each_step)
{
    struct small_fleet *fl = fleet(2);
    bool killed = true;
    unsigned acked;
    // node 1 writes from the start
    ck_assert_int_eq(small_fleet_takeover(fl, 1, 1), 0);
    for (unsigned i = 0; i < 4 * PER_SEGMENT; i++) {
        ck_assert_int_eq(change(fl, 1, i), 0);
        feed_keeper_turn(fl->nodes[1].feed);
    }
    small_fleet_stop(fl, 0);
    char control[300], kept[300], command[1000];
    snprintf(control, sizeof control, "%s/control", fl->nodes[0].state);
    snprintf(kept, sizeof kept, "%s/kept", fl->dir);
    snprintf(command, sizeof command, "cp -a %s %s", control, kept);
    ck_assert_int_eq(system(command), 0);
    long n = 1;
    for (; killed; n++) {
        snprintf(command, sizeof command, "rm -rf %s && cp -a %s %s", control, kept, control);
        ck_assert_int_eq(system(command), 0);
        killed = work_killed(fl, FOLLOWER, n, 0, &acked);
        small_fleet_start(fl, 0);
        if (acked)
            ck_assert(has(fl, 0, 4 * PER_SEGMENT - 1));
        // and it comes to all of it now
        AUTO_BUF struct buf base;
        buf_init(&base, 0);
        ck_assert_int_eq(control_feed_base_write(fl->nodes[1].feed, &base), 0);
        int rc = control_feed_base_take(fl->nodes[0].feed, bytes_of(base.p, base.n), NULL);
        ck_assert(!rc || rc == ERR_EXISTS);
        ck_assert_int_eq(small_fleet_pass(fl, 1, 0), 0);
        struct control_place a = small_fleet_place(fl, 0), b = small_fleet_place(fl, 1);
        ck_assert_msg(control_place_same(&a, &b), "step %ld", n);
        ck_assert(small_fleet_alarm(fl, 0, NULL));
        small_fleet_stop(fl, 0);
    }
    ck_assert_int_gt(n, 6);
    small_fleet_free(fl);
}
END_TEST

// ---- torn and damaged ----

static int newest_log(struct small_fleet *fl, size_t i, char path[300], struct buf *out)
{
    struct control_place p = small_fleet_place(fl, i);
    buf_clear(out);
    for (uint64_t seq = p.seq; seq <= p.seq; seq--) {
        snprintf(path, 300, "%s/control/%llu-%llu.log", fl->nodes[i].state,
                 (unsigned long long)p.epoch, (unsigned long long)seq);
        if (!access(path, F_OK))
            return file_read(path, 1 << 20, out);
    }
    return ERR_NOTFOUND;
}

START_TEST(a_torn_end_goes_wherever_it_was_torn)
{
    struct small_fleet *fl = fleet(1);
    fl->how.segment_entries = 1000;
    restart(fl, 0);
    ck_assert_int_eq(change(fl, 0, 1), 0);
    AUTO_BUF struct buf first, both;
    buf_init(&first, 0);
    buf_init(&both, 0);
    char path[300];
    ck_assert_int_eq(newest_log(fl, 0, path, &first), 0);
    ck_assert_int_eq(change(fl, 0, 2), 0);
    ck_assert_int_eq(newest_log(fl, 0, path, &both), 0);
    small_fleet_stop(fl, 0);
    for (size_t n = first.n; n < both.n; n++) {
        ck_assert_int_eq(file_write_atomic(path, both.p, n, 0600), 0);
        small_fleet_start(fl, 0);
        ck_assert(has(fl, 0, 1));
        ck_assert(!has(fl, 0, 2));
        ck_assert(small_fleet_alarm(fl, 0, NULL)); // it was never done
        small_fleet_stop(fl, 0);
    }
    small_fleet_start(fl, 0);
    ck_assert_int_eq(change(fl, 0, 3), 0);
    small_fleet_free(fl);
}
END_TEST

START_TEST(a_damaged_entry_is_put_aside_and_taken_again_from_others)
{
    struct small_fleet *fl = fleet(2);
    fl->how.segment_entries = 1000;
    for (size_t i = 0; i < 2; i++)
        restart(fl, i);
    for (unsigned i = 1; i <= 5; i++)
        ck_assert_int_eq(change(fl, 0, i), 0);
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    AUTO_BUF struct buf log;
    buf_init(&log, 0);
    char path[300];
    ck_assert_int_eq(newest_log(fl, 1, path, &log), 0);
    small_fleet_stop(fl, 1);
    char *third = strstr(log.p, "contoso3");
    ck_assert_ptr_nonnull(third);
    third[7] = '9'; // the body is not what was hashed
    ck_assert_int_eq(file_write_atomic(path, log.p, log.n, 0600), 0);
    small_fleet_start(fl, 1);
    ck_assert(has(fl, 1, 2));
    ck_assert(!has(fl, 1, 9) && !has(fl, 1, 3) && !has(fl, 1, 4));
    ck_assert(small_fleet_alarm(fl, 1, "damaged"));
    ck_assert_int_eq(small_fleet_pass(fl, 0, 1), 0);
    ck_assert(has(fl, 1, 5));
    restart(fl, 1);
    ck_assert(has(fl, 1, 5));
    small_fleet_free(fl);
}
END_TEST

START_TEST(a_damaged_base_is_passed_over_for_an_earlier_one)
{
    struct small_fleet *fl = fleet(1);
    fl->how.keep_entries = 1000;
    restart(fl, 0);
    for (unsigned i = 1; i <= 3 * PER_SEGMENT; i++) {
        ck_assert_int_eq(change(fl, 0, i), 0);
        feed_keeper_turn(fl->nodes[0].feed);
    }
    char path[300] = "";
    struct control_place p = small_fleet_place(fl, 0);
    for (uint64_t seq = p.seq; seq > 0; seq--) {
        snprintf(path, sizeof path, "%s/control/1-%llu.base", fl->nodes[0].state,
                 (unsigned long long)seq);
        if (!access(path, F_OK))
            break;
    }
    AUTO_BUF struct buf base;
    buf_init(&base, 0);
    ck_assert_int_eq(file_read(path, 1 << 20, &base), 0);
    small_fleet_stop(fl, 0);
    base.p[base.n / 2] ^= 1;
    ck_assert_int_eq(file_write_atomic(path, base.p, base.n, 0600), 0);
    small_fleet_start(fl, 0);
    ck_assert(has(fl, 0, 3 * PER_SEGMENT));
    ck_assert_int_eq(change(fl, 0, 100), 0);
    // none at all: it says what to do
    small_fleet_stop(fl, 0);
    char command[400];
    snprintf(command, sizeof command, "rm %s/control/*.base", fl->nodes[0].state);
    ck_assert_int_eq(system(command), 0);
    ck_assert_int_eq(small_fleet_try_start(fl, 0), ERR_CORRUPT);
    ck_assert(small_fleet_said(&fl->nodes[0], "move the folder away"));
    small_fleet_free(fl);
}
END_TEST

CHECK_MAIN("control/feed_disk", a_change_that_finds_no_room_never_was,
           a_change_that_the_disk_lost_never_was, what_comes_is_in_force_although_the_disk_is_full,
           a_takeover_on_a_full_disk_voids_what_waits,
           what_was_acknowledged_survives_a_kill_at_each_step,
           a_node_that_takes_survives_a_kill_at_each_step, a_torn_end_goes_wherever_it_was_torn,
           a_damaged_entry_is_put_aside_and_taken_again_from_others,
           a_damaged_base_is_passed_over_for_an_earlier_one)
