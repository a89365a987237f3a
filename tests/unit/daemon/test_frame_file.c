// SPDX-License-Identifier: Apache-2.0
// daemon/frame_file: what the worker leaves is what the supervisor reads, and nothing that somebody puts
// in its place is opened on trust.
#include "daemon/frame_file.h"

#include "base/err.h"
#include "base/fd.h"
#include "tests/support/check_main.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], path[128];

static void place_make(void)
{
    strcpy(dir, "/tmp/frame.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/frame.yaml", dir);
}

static struct topology *topology_of(void)
{
    static const char text[] =
        "version: 7\ndomain: example.io\nregions:\n  - name: eastus\n    stamps:\n"
        "      - { name: s-1, ipv4: [127.77.0.1] }\nname_servers: [s-1.eastus]\n"
        "registries:\n  - name: contoso\n    replicas: [{ region: eastus }]\n";
    struct topology *t = NULL;
    struct diag d;
    diag_init(&d);
    if (topology_parse(text, strlen(text), "t.yaml", &d, &t))
        diag_print(&d, stderr);
    diag_done(&d);
    ck_assert_ptr_nonnull(t);
    return t;
}

START_TEST(what_is_left_is_read)
{
    place_make();
    ck_assert_ptr_null(frame_file_topology(path, geteuid()));
    struct topology *t = topology_of();
    ck_assert_int_eq(frame_file_write(path, t), 0);
    snapshot_unref(t);
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    struct topology *read = frame_file_topology(path, geteuid());
    ck_assert_ptr_nonnull(read);
    ck_assert_str_eq(read->domain, "example.io");
    ck_assert_uint_eq(read->n_regions, 1);
    ck_assert_uint_eq(read->n_registries, 0);
    snapshot_unref(read);
    dir_remove_tree(dir);
}
END_TEST

START_TEST(what_is_put_in_its_place_is_not_opened_on_trust)
{
    place_make();
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0); // nobody writes into it
    ck_assert_int_eq(frame_file_read(path, geteuid(), &text), ERR_DENIED);
    unlink(path);
    ck_assert_int_eq(symlink("/etc/hostname", path), 0);
    ck_assert_int_ne(frame_file_read(path, geteuid(), &text), 0);
    unlink(path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_ne(frame_file_read(path, geteuid(), &text), 0);
    rmdir(path);
    ck_assert_uint_eq(text.n, 0);

    ck_assert_int_eq(file_write_atomic(path, "x", 1, 0600), 0);
    if (geteuid() == 0) { // of a third user
        ck_assert_int_eq(chown(path, 12345, 12345), 0);
        ck_assert_int_eq(frame_file_read(path, 54321, &text), ERR_DENIED);
        ck_assert_int_eq(frame_file_read(path, 12345, &text), 0);
    }
    ck_assert_int_eq(truncate(path, FRAME_FILE_MAX_BYTES + 1), 0);
    ck_assert_int_eq(frame_file_read(path, 12345, &text), ERR_TOOBIG);
    ck_assert_ptr_null(frame_file_topology(path, 12345));
    dir_remove_tree(dir);
}
END_TEST

CHECK_MAIN("daemon/frame_file", what_is_left_is_read,
           what_is_put_in_its_place_is_not_opened_on_trust)
