// SPDX-License-Identifier: Apache-2.0
// daemon/service_manager: what a service manager is told over a node's life, and what makes it end
// one that hangs.
#include "daemon/service_manager.h"

#include "tests/support/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int manager_fd;
static struct service_manager m;

static void start(const char *watchdog_usec, bool restarted)
{
    char name[64];
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int n = snprintf(name, sizeof name, "@meridian-test-manager-%d", (int)getpid());
    memcpy(at.sun_path + 1, name + 1, (size_t)n - 1);
    manager_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(manager_fd, (struct sockaddr *)&at,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n)),
                     0);
    setenv("NOTIFY_SOCKET", name, 1);
    unsetenv("WATCHDOG_PID");
    unsetenv("WATCHDOG_USEC");
    if (watchdog_usec)
        setenv("WATCHDOG_USEC", watchdog_usec, 1);
    service_manager_init(&m, restarted);
}

// The next message; "" when there is none.
static const char *told(void)
{
    static char text[1500];
    ssize_t n = recv(manager_fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static void turn(enum service_phase phase, bool edge_runs, const char *error, int64_t now_ms)
{
    const struct service_state s = {.phase = phase,
                                    .region = "eastus",
                                    .stamp = "eus-1",
                                    .edge_wanted = true,
                                    .edge_runs = edge_runs,
                                    .edge_error = error};
    service_manager_turn(&m, &s, now_ms);
}

START_TEST(ready_is_told_once_when_all_is_served)
{
    start(NULL, false);
    turn(SERVICE_STARTING, false, "", 1000);
    ck_assert_str_eq(told(), "STATUS=region eastus, stamp eus-1: starting");
    turn(SERVICE_STARTING, false, "", 1200);
    ck_assert_str_eq(told(), "");
    turn(SERVICE_SERVING, false, "", 1400); // names, but the edge is still to start
    ck_assert_str_eq(
        told(), "STATUS=region eastus, stamp eus-1: names are answered, the edge does not run");
    turn(SERVICE_SERVING, true, "", 1600);
    ck_assert_str_eq(told(), "READY=1\nSTATUS=region eastus, stamp eus-1: serving");
    turn(SERVICE_SERVING, true, "", 1800);
    ck_assert_str_eq(told(), "");
}
END_TEST

START_TEST(a_node_without_an_edge_is_ready_with_its_names)
{
    start(NULL, false);
    const struct service_state s = {
        .phase = SERVICE_SERVING, .region = "eastus", .stamp = "eus-1", .edge_error = ""};
    service_manager_turn(&m, &s, 1000);
    ck_assert_str_eq(told(), "READY=1\nSTATUS=region eastus, stamp eus-1: serving");
}
END_TEST

START_TEST(a_broken_edge_holds_ready_up_for_half_a_minute_only)
{
    start(NULL, false);
    turn(SERVICE_SERVING, false, "", 1000);
    (void)told();
    turn(SERVICE_SERVING, false, "nginx: bad\nREADY=1", 3000);
    ck_assert_str_eq(told(), "STATUS=region eastus, stamp eus-1: names are answered, the edge does "
                             "not run: nginx: bad READY=1");
    turn(SERVICE_SERVING, false, "nginx: bad\nREADY=1", 30999);
    ck_assert_str_eq(told(), "");
    turn(SERVICE_SERVING, false, "nginx: bad\nREADY=1", 31000);
    ck_assert_int_eq(strncmp(told(), "READY=1\nSTATUS=region eastus, stamp eus-1: names", 45), 0);
    turn(SERVICE_SERVING, true, "", 40000);
    ck_assert_str_eq(told(), "STATUS=region eastus, stamp eus-1: serving");
    turn(SERVICE_SERVING, false, "it died", 41000); // later it is a status, and no more
    ck_assert_str_eq(told(), "STATUS=region eastus, stamp eus-1: names are answered, the edge does "
                             "not run: it died");
}
END_TEST

static void up(const char *watchdog_usec)
{
    start(watchdog_usec, false);
    turn(SERVICE_SERVING, true, "", 1000);
    ck_assert_int_eq(strncmp(told(), "READY=1\n", 8), 0);
}

START_TEST(a_reload_begins_and_ends)
{
    up(NULL);
    service_manager_reloading(&m, "looking");
    long long us = 0;
    char rest[32] = "";
    ck_assert_int_eq(sscanf(told(), "RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=%31s", &us, rest), 2);
    ck_assert_str_eq(rest, "looking");
    ck_assert(us > 0);
    turn(SERVICE_SERVING, true, "", 1200);
    ck_assert_str_eq(told(), "READY=1\nSTATUS=region eastus, stamp eus-1: serving");
    turn(SERVICE_SERVING, true, "", 1400);
    ck_assert_str_eq(told(), "");
}
END_TEST

START_TEST(a_reload_is_not_told_before_it_is_up)
{
    start(NULL, false);
    service_manager_reloading(&m, "looking");
    ck_assert_str_eq(told(), "");
    turn(SERVICE_STARTING, false, "", 1000);
    ck_assert_int_eq(strncmp(told(), "STATUS=", 7), 0);
}
END_TEST

START_TEST(a_restart_is_a_reload_over_two_programs)
{
    up(NULL);
    service_manager_reloading(&m, "another program takes over"); // then exec
    ck_assert_int_eq(strncmp(told(), "RELOADING=1\n", 12), 0);
    close(manager_fd);
    start(NULL, true);
    turn(SERVICE_RESTARTING, true, "", 2000);
    ck_assert_str_eq(told(), "STATUS=region eastus, stamp eus-1: another program takes over");
    // a reload meanwhile ends no earlier
    service_manager_reloading(&m, "looking");
    (void)told();
    turn(SERVICE_RESTARTING, true, "", 2100);
    ck_assert_str_eq(told(), "STATUS=region eastus, stamp eus-1: another program takes over");
    // its end is told at once, whatever the edge is like
    turn(SERVICE_SERVING, false, "gone", 2200);
    ck_assert_int_eq(strncmp(told(), "READY=1\nSTATUS=region eastus, stamp eus-1: names", 45), 0);
}
END_TEST

START_TEST(a_stop_says_how_long_it_may_take)
{
    up(NULL);
    service_manager_stopping(&m, NULL, 72500);
    ck_assert_str_eq(told(), "STOPPING=1\nSTATUS=stopping: requests in flight end, within 72 s\n"
                             "EXTEND_TIMEOUT_USEC=77500000");
    service_manager_stopping(&m, "the worker died", 0);
    ck_assert_str_eq(told(),
                     "STOPPING=1\nSTATUS=stopping: the worker died\nEXTEND_TIMEOUT_USEC=5000000");
    service_manager_failed(&m, "port 53 is\ntaken");
    ck_assert_str_eq(told(), "STATUS=cannot start: port 53 is taken");
}
END_TEST

START_TEST(the_watchdog_hears_of_a_worker_that_answers)
{
    up("4000000"); // 4 s: asked each second
    ck_assert(service_manager_ask(&m, 1000));
    ck_assert_str_eq(told(), "WATCHDOG=1"); // one that never answered is vouched for
    ck_assert(!service_manager_ask(&m, 1999));
    service_manager_answered(&m);
    ck_assert_str_eq(told(), "WATCHDOG=1");
    ck_assert(service_manager_ask(&m, 2000));
    ck_assert_str_eq(told(), ""); // from now on its answer counts
    ck_assert(service_manager_ask(&m, 3000));
    ck_assert(service_manager_ask(&m, 60000));
    ck_assert_str_eq(told(), "");
    service_manager_vouch(&m, 60500);
    ck_assert_str_eq(told(), "");
    service_manager_vouch(&m, 61000); // the supervisor is busy, and says so
    ck_assert_str_eq(told(), "WATCHDOG=1");
    service_manager_other_worker(&m);
    ck_assert(service_manager_ask(&m, 62000));
    ck_assert_str_eq(told(), "WATCHDOG=1");
}
END_TEST

START_TEST(without_a_watchdog_nobody_is_asked)
{
    up(NULL);
    ck_assert(!service_manager_ask(&m, 1000));
    service_manager_vouch(&m, 100000);
    service_manager_answered(&m);
    ck_assert_str_eq(told(), "");
}
END_TEST

START_TEST(without_a_manager_nothing_is_told)
{
    start("4000000", false);
    unsetenv("NOTIFY_SOCKET");
    service_manager_init(&m, false);
    turn(SERVICE_SERVING, true, "", 1000);
    service_manager_reloading(&m, "looking");
    service_manager_stopping(&m, NULL, 1000);
    ck_assert(!service_manager_ask(&m, 5000));
    ck_assert_str_eq(told(), "");
}
END_TEST

CHECK_MAIN("daemon/service_manager", ready_is_told_once_when_all_is_served,
           a_node_without_an_edge_is_ready_with_its_names,
           a_broken_edge_holds_ready_up_for_half_a_minute_only, a_reload_begins_and_ends,
           a_reload_is_not_told_before_it_is_up, a_restart_is_a_reload_over_two_programs,
           a_stop_says_how_long_it_may_take, the_watchdog_hears_of_a_worker_that_answers,
           without_a_watchdog_nobody_is_asked, without_a_manager_nothing_is_told)
