// SPDX-License-Identifier: Apache-2.0
// Waits for what a test's own process says in its log, for tests of a thread that answers nobody: a line is written after its work.
//
//   said_begin();                                   // stderr goes to a file in memory from here on
//   …
//   said_wait("the cookie secret stays as it was"); // fails the test after 20 s
#ifndef MERIDIAN_TESTS_SAID_H
#define MERIDIAN_TESTS_SAID_H

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SAID_LOOKS 4000
#define SAID_LOOK_US 5000
#define SAID_MAX_BYTES (256u << 10)

static int said_fd = -1;

static inline void said_begin(void)
{
    said_fd = memfd_create("log", MFD_CLOEXEC);
    ck_assert_int_ge(said_fd, 0);
    ck_assert_int_ge(dup2(said_fd, STDERR_FILENO), 0);
}

static inline void said_wait(const char *text)
{
    char *log = malloc(SAID_MAX_BYTES);
    ck_assert_ptr_nonnull(log);
    for (int i = 0; i < SAID_LOOKS; i++) {
        ssize_t n = pread(said_fd, log, SAID_MAX_BYTES - 1, 0);
        ck_assert_int_ge(n, 0);
        log[n] = '\0';
        if (strstr(log, text)) {
            free(log);
            return;
        }
        usleep(SAID_LOOK_US);
    }
    ck_abort_msg("not said: %s; but:\n%s", text, log);
}

#endif
