// SPDX-License-Identifier: Apache-2.0
// net/share: one network gets a third, the next ones parts of what is left, and a newcomer finds a
// place.
#include "net/share_test.h"

#include "base/mem.h"
#include "base/mem_test.h"
#include "tests/support/check_main.h"

#include <pthread.h>
#include <stdio.h>

static struct ip address(int network, int host)
{
    struct ip ip;
    char text[64];
    snprintf(text, sizeof text, "10.%d.%d.%d", network / 256 % 256, network % 256, host % 256);
    ck_assert_int_eq(ip_parse(text, &ip), 0);
    return ip;
}

static size_t fill(struct share *s, int network) // as much as it gets
{
    size_t n = 0;
    struct ip ip = address(network, (int)n);
    while (share_take(s, &ip))
        ip = address(network, (int)++n);
    return n;
}

START_TEST(one_network_gets_a_third_and_the_next_finds_room)
{
    struct share *s = share_new(900);
    ck_assert_uint_eq(fill(s, 1), 300);
    ck_assert_uint_eq(fill(s, 2), 200);
    ck_assert_uint_eq(fill(s, 3), 134);
    for (int i = 4; i < 12; i++)
        ck_assert_uint_ge(fill(s, i), 1);
    struct ip newcomer = address(100, 1);
    ck_assert(share_take(s, &newcomer));
    ck_assert_uint_lt(share_taken(s), 900);
    share_free(s);
}
END_TEST

START_TEST(what_is_given_back_is_free_again)
{
    struct share *s = share_new(9);
    struct ip a = address(1, 1), a2 = address(1, 200), b = address(2, 1);
    ck_assert_uint_eq(fill(s, 1), 3);
    ck_assert(!share_take(s, &a));
    ck_assert(share_take(s, &b));
    for (int i = 0; i < 3; i++)
        share_give(s, &a2); // by network, whatever the host
    share_give(s, &b);
    ck_assert_uint_eq(share_taken(s), 0);
    ck_assert_uint_eq(fill(s, 1), 3);
    share_free(s);
}
END_TEST

START_TEST(the_last_place_is_somebodys_first)
{
    struct share *s = share_new(4);
    for (int i = 0; i < 4; i++) {
        struct ip ip = address(i, 1);
        ck_assert(share_take(s, &ip));
    }
    struct ip ip = address(9, 1);
    ck_assert(!share_take(s, &ip));
    ip = address(2, 1);
    share_give(s, &ip);
    ip = address(9, 1);
    ck_assert(share_take(s, &ip));
    share_free(s);
}
END_TEST

static void *come_and_go(void *arg)
{
    struct share *s = arg;
    static _Atomic int next;
    int me = next++;
    for (int i = 0; i < 2000; i++) {
        struct ip ip = address((me + i) % 5, i);
        if (share_take(s, &ip))
            share_give(s, &ip);
    }
    return NULL;
}

START_TEST(threads_leave_nothing_behind)
{
    struct share *s = share_new(8);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, come_and_go, s), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(share_taken(s), 0);
    share_free(s);
}
END_TEST

START_TEST(sizes_and_memory)
{
    ck_assert_ptr_null(share_new(0));
    ck_assert_ptr_null(share_new(SHARE_MAX + 1));
    for (long n = 1; n <= 3; n++) {
        mem_fault_after(n);
        struct share *s = share_new(8);
        mem_fault_after(0);
        ck_assert_ptr_null(s);
    }
    share_free(NULL);
}
END_TEST

CHECK_MAIN("net/share", one_network_gets_a_third_and_the_next_finds_room,
           what_is_given_back_is_free_again, the_last_place_is_somebodys_first,
           threads_leave_nothing_behind, sizes_and_memory)
