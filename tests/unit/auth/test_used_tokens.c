// SPDX-License-Identifier: Apache-2.0
// auth/used_tokens: once is once, also after a restart and with two processes; bounded.
#include "auth/used_tokens_priv.h"

#include "base/clock.h"
#include "base/clock_test.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "tests/support/check_main.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOW 1800000000

static char dir[64], inner[100];

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/mer-used-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(inner, sizeof inner, "%s/exchanged", dir);
    clock_virtual_set((int64_t)NOW * 1000);
}

static void teardown(void)
{
    clock_virtual_off();
    dir_remove_tree(dir);
}

static int take(struct used_tokens *u, unsigned n, int64_t expires_s, int64_t now_s)
{
    uint8_t id[SHA256_BYTES] = {0};
    memcpy(id, &n, sizeof n);
    return used_tokens_take(u, id, expires_s, now_s);
}

static struct used_tokens *open_again(const char *where)
{
    struct used_tokens *u;
    ck_assert_int_eq(used_tokens_new(where, &u), 0);
    return u;
}

START_TEST(once_is_once)
{
    setup();
    const char *const places[] = {inner, NULL};
    for (size_t i = 0; i < 2; i++) {
        struct used_tokens *u = open_again(places[i]);
        ck_assert_int_eq(take(u, 1, NOW + 100, NOW), 0);
        ck_assert_int_eq(take(u, 1, NOW + 100, NOW + 50), ERR_EXISTS);
        ck_assert_int_eq(take(u, 2, NOW + 100, NOW), 0);
        ck_assert_int_eq(take(u, 3, NOW + 5000, NOW), 0);
        ck_assert_int_eq(take(u, 3, NOW + 5000, NOW + 4000), ERR_EXISTS);
        ck_assert_int_eq(take(u, 4, NOW - 1, NOW), ERR_INVAL);
        ck_assert_int_eq(take(u, 4, NOW + USED_AHEAD_MAX_S + 1, NOW), ERR_INVAL);
        used_tokens_free(u);
    }
    teardown();
}
END_TEST

START_TEST(a_restart_forgets_none)
{
    setup();
    struct used_tokens *u = open_again(inner);
    ck_assert_int_eq(take(u, 1, NOW + 100, NOW), 0);
    used_tokens_free(u);
    char path[200];
    struct stat st;
    snprintf(path, sizeof path, "%s/%d", inner, (NOW + 100) / 3600);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    int fd = open(path, O_WRONLY | O_APPEND); // a crash in the middle of a record
    ck_assert_int_eq(write(fd, "torn", 4), 4);
    close(fd);
    u = open_again(inner);
    ck_assert_int_eq(take(u, 1, NOW + 100, NOW), ERR_EXISTS);
    ck_assert_int_eq(take(u, 2, NOW + 100, NOW), 0);
    used_tokens_free(u);
    u = open_again(inner);
    ck_assert_int_eq(take(u, 2, NOW + 100, NOW), ERR_EXISTS);
    // hours later the file is gone, and so is what it held
    ck_assert_int_eq(take(u, 3, NOW + 8000, NOW + 7200), 0);
    ck_assert_int_ne(stat(path, &st), 0);
    used_tokens_free(u);
    teardown();
}
END_TEST

// A restart without a gap: the old process and the new one.
START_TEST(two_processes_see_each_other)
{
    setup();
    struct used_tokens *a = open_again(inner), *b = open_again(inner);
    for (unsigned n = 0; n < 20; n += 2) {
        ck_assert_int_eq(take(a, n, NOW + 100, NOW), 0);
        ck_assert_int_eq(take(b, n, NOW + 100, NOW), ERR_EXISTS);
        ck_assert_int_eq(take(b, n + 1, NOW + 100, NOW), 0);
        ck_assert_int_eq(take(a, n + 1, NOW + 100, NOW), ERR_EXISTS);
    }
    used_tokens_free(a);
    used_tokens_free(b);
    teardown();
}
END_TEST

static struct used_tokens *shared;
static _Atomic int n_taken;

static void *take_all(void *arg)
{
    (void)arg;
    for (unsigned n = 0; n < 200; n++)
        if (!take(shared, n, NOW + 100, NOW))
            atomic_fetch_add(&n_taken, 1);
    return NULL;
}

START_TEST(of_many_at_once_one_has_it)
{
    setup();
    pthread_t t[4];
    shared = open_again(NULL);
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, take_all, NULL), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    ck_assert_int_eq(atomic_load(&n_taken), 200);
    used_tokens_free(shared);
    teardown();
}
END_TEST

START_TEST(memory_is_bounded_and_nothing_is_forgotten)
{
    setup();
    struct used_tokens *u = open_again(NULL);
    for (unsigned n = 0; n < USED_MAX; n++)
        ck_assert_int_eq(take(u, n, NOW + 100, NOW), 0);
    ck_assert_int_eq(take(u, USED_MAX, NOW + 100, NOW), ERR_FULL);
    ck_assert_int_eq(take(u, 0, NOW + 100, NOW), ERR_EXISTS);
    used_tokens_free(u);
    teardown();
}
END_TEST

// A disk that takes nothing: what is in memory holds.
START_TEST(without_a_disk_the_memory_holds)
{
    setup();
    int fd = open(inner, O_CREAT | O_WRONLY | O_CLOEXEC, 0600); // a file where the folder should be
    close(fd);
    struct used_tokens *u = open_again(inner);
    ck_assert_int_eq(take(u, 1, NOW + 100, NOW), 0);
    ck_assert_int_eq(take(u, 1, NOW + 100, NOW), ERR_EXISTS);
    used_tokens_free(u);
    teardown();
}
END_TEST

CHECK_MAIN("auth/used_tokens", once_is_once, a_restart_forgets_none, two_processes_see_each_other,
           of_many_at_once_one_has_it, memory_is_bounded_and_nothing_is_forgotten,
           without_a_disk_the_memory_holds)
