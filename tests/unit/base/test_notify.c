// SPDX-License-Identifier: Apache-2.0
// base/notify: names of sockets, what arrives there, a manager that is gone or does not read.
#include "base/notify.h"

#include "base/err.h"
#include "tests/support/check_main.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64], path[96];

static int listen_at(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t n = strlen(name);
    memcpy(at.sun_path, name, n + 1);
    if (*name == '@')
        at.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, size), 0);
    return fd;
}

static void environment(const char *name, const char *usec, const char *pid)
{
    const char *const rows[][2] = {
        {"NOTIFY_SOCKET", name}, {"WATCHDOG_USEC", usec}, {"WATCHDOG_PID", pid}};
    for (size_t i = 0; i < 3; i++) {
        if (rows[i][1])
            setenv(rows[i][0], rows[i][1], 1);
        else
            unsetenv(rows[i][0]);
    }
}

static void folder(void)
{
    strcpy(dir, "/tmp/test-notify-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/socket", dir);
}

static const char *received(int fd)
{
    static char text[300];
    ssize_t n = recv(fd, text, sizeof text - 1, 0);
    if (n < 0)
        return NULL;
    text[n] = 0;
    return text;
}

START_TEST(what_is_sent_arrives_whole_at_either_kind_of_socket)
{
    char abstract[64];
    folder();
    snprintf(abstract, sizeof abstract, "@meridian-test-notify-%d", (int)getpid());
    const char *const names[] = {path, abstract};
    for (size_t i = 0; i < 2; i++) {
        int fd = listen_at(names[i]);
        struct notify n;
        environment(names[i], NULL, NULL);
        ck_assert_int_eq(notify_from_env(&n), 0);
        ck_assert(n.on);
        ck_assert_int_eq(n.watchdog_ms, 0);
        ck_assert_int_eq(notify_send(&n, "READY=1\nSTATUS=serving"), 0);
        ck_assert_str_eq(received(fd), "READY=1\nSTATUS=serving");
        ck_assert_ptr_null(received(fd));
        close(fd);
    }
    ck_assert_str_eq(getenv("NOTIFY_SOCKET"), abstract); // a program that takes over needs it
    unlink(path);
    rmdir(dir);
}
END_TEST

START_TEST(nobody_asks)
{
    struct notify n;
    environment(NULL, "1000000", NULL);
    ck_assert_int_eq(notify_from_env(&n), 0);
    ck_assert(!n.on);
    ck_assert_int_eq(n.watchdog_ms, 0);
    ck_assert_int_eq(notify_send(&n, "READY=1"), 0);
    environment("", NULL, NULL);
    ck_assert_int_eq(notify_from_env(&n), 0);
    ck_assert(!n.on);
}
END_TEST

START_TEST(what_is_no_unix_socket_is_refused_and_off)
{
    char long_name[200];
    memset(long_name, 'n', sizeof long_name);
    long_name[0] = '/';
    long_name[sizeof long_name - 1] = 0;
    const struct {
        const char *name;
        int rc;
    } rows[] = {{"vsock:2:1234", ERR_UNSUPPORTED},
                {"relative", ERR_INVAL},
                {"/", ERR_INVAL},
                {"@", ERR_INVAL},
                {long_name, ERR_INVAL}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct notify n;
        environment(rows[i].name, NULL, NULL);
        ck_assert_int_eq(notify_from_env(&n), rows[i].rc);
        ck_assert(!n.on);
    }
    // the longest name that fits, with its NUL
    long_name[107] = 0;
    struct notify n;
    environment(long_name, NULL, NULL);
    ck_assert_int_eq(notify_from_env(&n), 0);
    ck_assert(n.on);
}
END_TEST

START_TEST(the_watchdog_is_of_the_process_it_names)
{
    char self[16], other[16];
    snprintf(self, sizeof self, "%d", (int)getpid());
    snprintf(other, sizeof other, "%d", (int)getpid() + 1);
    const struct {
        const char *usec, *pid;
        int64_t ms;
    } rows[] = {
        {"3000000", self, 3000}, {"3000000", NULL, 3000}, {"3000000", other, 0},
        {"3000000", "none", 0},  {"-1", self, 0},         {"3s", self, 0},
        {"", self, 0},           {NULL, self, 0},         {"99999999999999999999", self, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct notify n;
        environment("@x", rows[i].usec, rows[i].pid);
        ck_assert_int_eq(notify_from_env(&n), 0);
        ck_assert_msg(n.watchdog_ms == rows[i].ms, "row %zu: %lld", i, (long long)n.watchdog_ms);
    }
}
END_TEST

START_TEST(a_manager_that_is_gone_or_does_not_read_holds_nobody_up)
{
    folder();
    int fd = listen_at(path), rc = 0;
    struct notify n;
    environment(path, NULL, NULL);
    ck_assert_int_eq(notify_from_env(&n), 0);
    for (int i = 0; i < 100000 && !rc; i++)
        rc = notify_send(&n, "STATUS=again");
    ck_assert_int_eq(rc, ERR_BUSY);
    close(fd);
    ck_assert_int_ne(notify_send(&n, "READY=1"), 0);
    unlink(path);
    ck_assert_int_eq(notify_send(&n, "READY=1"), ERR_NOTFOUND);
    rmdir(dir);
}
END_TEST

START_TEST(no_descriptor_is_left_behind)
{
    folder();
    int fd = listen_at(path);
    struct notify n;
    environment(path, NULL, NULL);
    ck_assert_int_eq(notify_from_env(&n), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(notify_send(&n, "WATCHDOG=1"), 0);
    int next = open("/dev/null", O_RDONLY);
    ck_assert_int_eq(next, fd + 1);
    close(next);
    close(fd);
    unlink(path);
    rmdir(dir);
}
END_TEST

START_TEST(text_of_others_makes_no_lines_of_its_own)
{
    char text[] = "nginx: no\nREADY=1\tx\177\001 \303\251";
    notify_text(text);
    ck_assert_str_eq(text, "nginx: no READY=1 x   \303\251");
}
END_TEST

CHECK_MAIN("base/notify", what_is_sent_arrives_whole_at_either_kind_of_socket, nobody_asks,
           what_is_no_unix_socket_is_refused_and_off, the_watchdog_is_of_the_process_it_names,
           a_manager_that_is_gone_or_does_not_read_holds_nobody_up, no_descriptor_is_left_behind,
           text_of_others_makes_no_lines_of_its_own)
