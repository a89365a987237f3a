// SPDX-License-Identifier: Apache-2.0
// What config/ writes, with the disk full at each step: the old file stays whole, what is in force
// is not changed by it, and the file is written once there is room.
#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "control/changes_file.h"
#include "control/compiled.h"
#include "control/file_source.h"
#include "control/topology_file.h"
#include "control/topology_saver.h"
#include "tests/support/check_main.h"
#include "tests/support/full_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TOPOLOGY(version)                                              \
    "version: " #version "\ndomain: example.io\nregions:\n"            \
    "  - {name: eastus, stamps: [{name: eus-1, ipv4: [192.0.2.1]}]}\n" \
    "name_servers: [eus-1.eastus]\nregistries:\n"                      \
    "  - { name: contoso, replicas: [{ region: eastus }] }\n"
#define HASH "$2b$05$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234"
#define PRINCIPALS(name) "users:\n  - {name: " name ", password_hash: \"" HASH "\"}\n"
#define LIMIT_MS 20000

static char dir[64], path[96];

static void begin(void)
{
    strcpy(dir, "/tmp/meridian-full-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/file", dir);
}

static size_t files(void)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static bool holds(const char *at, const char *text)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 1 << 20);
    return !file_read(at, 1 << 20, &b) && b.n == strlen(text) && !memcmp(b.p, text, b.n);
}

// All files that are replaced go through this.
START_TEST(a_replaced_file_is_the_old_one_or_the_new_one)
{
    static const char old[] = "what was there", new[] = "what comes, which is longer";
    for (int alone = 0; alone < 2; alone++) {
        bool met = true;
        begin();
        for (long n = 1; met; n++) {
            ck_assert_int_eq(file_write_atomic(path, old, strlen(old), 0600), 0);
            (alone ? full_disk_at : full_disk_from)(n);
            int rc = file_write_atomic(path, new, strlen(new), 0600);
            met = full_disk_off() > 0;
            ck_assert(rc == (met ? ERR_NOSPACE : 0));
            ck_assert(holds(path, new) || (rc && holds(path, old)));
            ck_assert_uint_eq(files(), 1); // nothing beside it
        }
        ck_assert_int_eq(dir_remove_tree(dir), 0);
    }
}
END_TEST

static struct topology *parse(const char *yaml)
{
    struct topology *t = NULL;
    ck_assert_int_eq(topology_parse_as(TOPOLOGY_COMPACT, yaml, strlen(yaml), "t", NULL, &t), 0);
    return t;
}

static bool kept(const char *at, uint64_t version)
{
    struct topology *t = NULL;
    bool is = !topology_file_load(at, NULL, &t) && t->version == version;
    snapshot_unref(t);
    return is;
}

static void wait_kept(const char *at, uint64_t version)
{
    for (int64_t until = clock_mono_ms() + LIMIT_MS; !kept(at, version);) {
        ck_assert_int_lt(clock_mono_ms(), until);
        clock_sleep_ms(20);
    }
}

static void wait_hits(long n)
{
    for (int64_t until = clock_mono_ms() + LIMIT_MS; full_disk_hits() < n;) {
        ck_assert_int_lt(clock_mono_ms(), until);
        clock_sleep_ms(5);
    }
}

START_TEST(what_was_offered_is_kept_once_there_is_room)
{
    struct topology *one = parse(TOPOLOGY(1)), *two = parse(TOPOLOGY(2));
    struct topology_saver *k;
    begin();
    ck_assert_int_eq(topology_saver_start(path, &k), 0);
    topology_saver_offer(k, one);
    wait_kept(path, 1);
    full_disk_from(1);
    topology_saver_offer(k, two);
    wait_hits(1);
    ck_assert(kept(path, 1)); // whole
    full_disk_off();
    wait_kept(path, 2);
    topology_saver_stop(k);
    ck_assert_uint_eq(snapshot_refs(one), 1);
    ck_assert_uint_eq(snapshot_refs(two), 1);
    snapshot_unref(one);
    snapshot_unref(two);
    ck_assert_int_eq(dir_remove_tree(dir), 0);
}
END_TEST

START_TEST(a_stop_does_not_wait_for_room)
{
    struct topology *one = parse(TOPOLOGY(1));
    struct topology_saver *k;
    begin();
    ck_assert_int_eq(topology_saver_start(path, &k), 0);
    full_disk_from(1);
    topology_saver_offer(k, one);
    topology_saver_stop(k);
    full_disk_off();
    ck_assert_uint_eq(snapshot_refs(one), 1);
    snapshot_unref(one);
    ck_assert_int_eq(dir_remove_tree(dir), 0);
}
END_TEST

static void put(const char *at, const char *text)
{
    ck_assert_int_eq(file_write_atomic(at, text, strlen(text), 0600), 0);
}

// An operator's file, replaced without the steps that are counted.
static void operator_puts(const char *at, const char *text, const char *beside)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, beside, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(syscall(SYS_write, fd, text, strlen(text)), (long)strlen(text));
    close(fd);
    ck_assert_int_eq(syscall(SYS_renameat2, AT_FDCWD, beside, AT_FDCWD, at, 0), 0);
}

static bool names(const char *at, const char *user)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 1 << 20);
    return !file_read(at, 1 << 20, &b) && strstr(buf_cstr(&b), user) &&
           strstr(buf_cstr(&b), "grants");
}

// An edit while the state's disk is full is in force all the same, and kept for the next start once
// there is room.
START_TEST(an_edit_is_in_force_and_is_kept_later)
{
    struct snapshot tcell, pcell;
    struct topology_source *w;
    struct diag d;
    char topology[96], principals[96], topology_last[128], principals_last[128];
    begin();
    snprintf(topology, sizeof topology, "%s/topology.yaml", dir);
    snprintf(principals, sizeof principals, "%s/principals.yaml", dir);
    snprintf(topology_last, sizeof topology_last, "%s/state/topology.last", dir);
    snprintf(principals_last, sizeof principals_last, "%s/state/principals.last.yaml", dir);
    put(topology, TOPOLOGY(5));
    put(principals, PRINCIPALS("ada"));
    snapshot_init(&tcell);
    snapshot_init(&pcell);
    diag_init(&d);
    char state[96];
    snprintf(state, sizeof state, "%s/state", dir);
    const struct file_source_options o = {topology, TOPOLOGY_FULL, principals, state};
    const struct source_cells cells = {&tcell, &pcell};
    ck_assert_int_eq(file_source_open(&o, &w), 0);
    ck_assert_int_eq(topology_source_load(w, &cells, &d), 0);
    ck_assert_int_eq(topology_source_follow(w, NULL, NULL), 0);
    wait_kept(topology_last, 5);
    ck_assert(names(principals_last, "ada"));
    char beside[96];
    snprintf(beside, sizeof beside, "%s/beside", dir);
    full_disk_from(1); // of the state's disk; the operator's files are on another
    operator_puts(topology, TOPOLOGY(6), beside);
    operator_puts(principals, PRINCIPALS("grace"), beside);
    topology_source_look(w);
    for (int64_t until = clock_mono_ms() + LIMIT_MS;;) {
        struct topology_status t, p;
        topology_source_status(w, &t, &p);
        free(t.refused_why);
        free(t.changes_why);
        free(p.refused_why);
        if (t.version == 6)
            break;
        ck_assert_int_lt(clock_mono_ms(), until);
        clock_sleep_ms(20);
    }
    wait_hits(2); // of the one file and of the other
    ck_assert(kept(topology_last, 5) && names(principals_last, "ada"));
    full_disk_off();
    wait_kept(topology_last, 6);
    for (int64_t until = clock_mono_ms() + LIMIT_MS; !names(principals_last, "grace");) {
        ck_assert_int_lt(clock_mono_ms(), until);
        clock_sleep_ms(20);
    }
    topology_source_close(w);
    snapshot_done(&tcell);
    snapshot_done(&pcell);
    diag_done(&d);
    ck_assert_int_eq(dir_remove_tree(dir), 0);
}
END_TEST

// A change of registries that finds no room is refused; the file of changes goes on behind the last
// whole one.
START_TEST(a_change_is_appended_whole_or_refused)
{
    bool met = true;
    begin();
    for (long n = 1; met; n++) {
        static const char text[] =
            "registries:\n  - { name: fabrikam, replicas: [{ region: eastus }] }\n";
        uint64_t v = 0;
        size_t applied;
        struct topology *t = NULL;
        struct diag d;
        diag_init(&d);
        unlink(path);
        AUTO_FREE char *changes = mem_printf("%s.changes", path);
        unlink(changes);
        put(path, TOPOLOGY(5));
        full_disk_from(n);
        int rc = changes_append(path, 0, text, strlen(text), "f", &d, &v);
        met = full_disk_off() > 0;
        ck_assert_msg(rc == (met ? ERR_NOSPACE : 0), "step %ld: %s", n, err_text(rc));
        ck_assert(!rc || diag_count(&d) > 0);
        if (rc) { // what is there may be read, and goes on
            static const char more[] =
                "registries:\n  - { name: tailspin, replicas: [{ region: eastus }] }\n";
            ck_assert_int_eq(changes_append(path, 0, more, strlen(more), "f", NULL, &v), 0);
        }
        ck_assert_int_eq(topology_file_load(path, NULL, &t), 0);
        ck_assert_int_eq(changes_load(path, NULL, &t, &applied), 0);
        ck_assert_uint_eq(t->version, v);
        snapshot_unref(t);
        diag_done(&d);
    }
    ck_assert_int_eq(dir_remove_tree(dir), 0);
}
END_TEST

CHECK_MAIN("config/full_disk", a_replaced_file_is_the_old_one_or_the_new_one,
           what_was_offered_is_kept_once_there_is_room, a_stop_does_not_wait_for_room,
           an_edit_is_in_force_and_is_kept_later, a_change_is_appended_whole_or_refused)
