// SPDX-License-Identifier: Apache-2.0
// daemon/drill_watch: what is written, and how often it is tried where nothing can be written.
#include "daemon/drill_watch.h"

#include "base/mem.h"
#include "health/priv.h"
#include "net/traffic.h"
#include "tests/support/check_main.h"
#include "tests/support/wait_for.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

// As in drill_watch.c.
#define SAVE_MS 10000

static const char document[] = "version: 7\ndomain: example.io\nregions:\n"
                               "  - { name: eastus, stamps: [{ name: s-1, ipv4: [127.77.0.1] }] }\n"
                               "name_servers: [s-1.eastus]\n"
                               "registries:\n"
                               "  - { name: contoso, replicas: [{ region: eastus }] }\n";

static struct snapshot cell;
static struct node node = {.region = "eastus"};
static struct health checker;
static struct app app = {.node = &node, .topology = &cell, .health = &checker};
static char dir[] = "/tmp/drills.XXXXXX", path[64];

static void world_up(void)
{
    struct topology *t = NULL;
    struct diag d;
    diag_init(&d);
    if (topology_parse(document, strlen(document), "t.yaml", &d, &t))
        diag_print(&d, stderr);
    diag_done(&d);
    ck_assert_ptr_nonnull(t);
    snapshot_init(&cell);
    snapshot_publish(&cell, t);
    pthread_mutex_init(&checker.lock, NULL);
    int64_t wall = clock_wall_ms();
    checker.drills.n = 1;
    checker.drills.list[0] = (struct health_drill){.id = "00000000000000aa",
                                                   .region = "eastus",
                                                   .by = "root@eastus",
                                                   .at_ms = wall,
                                                   .begun_ms = wall,
                                                   .for_ms = 600000,
                                                   .state = HEALTH_DRILL_RUNS,
                                                   .end_mono_ms = clock_mono_ms() + 600000};
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/drills.json", dir);
}

static void world_down(void)
{
    ck_assert_int_eq(rmdir(dir), 0);
    pthread_mutex_destroy(&checker.lock);
    snapshot_done(&cell);
}

static void drill_ends(void)
{
    pthread_mutex_lock(&checker.lock);
    checker.drills.list[0].state = HEALTH_DRILL_STOPPED;
    checker.drills.list[0].ended_ms = clock_wall_ms();
    pthread_mutex_unlock(&checker.lock);
}

// Of the one record; -1: there is none.
static json_int_t number(struct drill_watch *w, const char *member)
{
    json_t *list = drill_watch_json(w);
    json_t *one = json_array_get(list, 0);
    json_int_t n = -1;
    if (one)
        n = json_integer_value(json_object_get(one, member));
    json_decref(list);
    return n;
}

// A look that comes after this call is seen by what it counts.
static void another_look(struct drill_watch *w)
{
    const struct http_request req = {.kind = TRAFFIC_MANIFEST, .listener = LISTENER_PUBLIC};
    json_int_t before = number(w, "requests");
    traffic_answered(&req, 200);
    WAIT_FOR(number(w, "requests") > before, 20000);
}

// Temporaries that were made since the last call: one for each try to write.
static size_t tries(int watch)
{
    char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    size_t n = 0;
    for (ssize_t got; (got = read(watch, events, sizeof events)) > 0;)
        for (char *p = events; p < events + got;) {
            const struct inotify_event *e = (const struct inotify_event *)p;
            n += strstr(e->name, ".tmp.") != NULL;
            p += sizeof *e + e->len;
        }
    return n;
}

START_TEST(a_write_that_fails_is_not_tried_at_every_look)
{
    struct drill_watch *w = NULL;
    world_up();
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    ck_assert_int_ge(inotify_add_watch(watch, dir, IN_CREATE), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0); // nothing is put in its place
    int64_t begun_ms = clock_mono_ms();
    ck_assert_int_eq(drill_watch_start(&app, path, &w), 0);
    WAIT_FOR(number(w, "requests") >= 0, 20000);
    for (unsigned i = 0; i < 4; i++)
        another_look(w);
    size_t n = tries(watch);
    int64_t most = 1 + (clock_mono_ms() - begun_ms) / SAVE_MS;
    ck_assert_uint_ge(n, 1);
    ck_assert_int_le((int64_t)n, most);
    // it can be written again: what it owes is there at the end at the latest
    ck_assert_int_eq(rmdir(path), 0);
    drill_ends();
    WAIT_FOR(number(w, "ended") > 0, 20000);
    drill_watch_stop(w);
    ck_assert_int_eq(unlink(path), 0);
    close(watch);
    world_down();
}
END_TEST

START_TEST(the_first_look_and_the_end_are_written_at_once)
{
    struct drill_watch *w = NULL;
    struct stat first, then;
    world_up();
    ck_assert_int_eq(drill_watch_start(&app, path, &w), 0);
    WAIT_FOR(!access(path, F_OK), 20000);
    ck_assert_int_eq(stat(path, &first), 0);
    drill_ends();
    WAIT_FOR(!stat(path, &then) && then.st_ino != first.st_ino, 20000);
    drill_watch_stop(w);
    // a later process knows of it
    ck_assert_int_eq(drill_watch_start(&app, path, &w), 0);
    ck_assert_int_gt(number(w, "ended"), 0);
    drill_watch_stop(w);
    ck_assert_int_eq(unlink(path), 0);
    world_down();
}
END_TEST

CHECK_MAIN("daemon/drill_watch", a_write_that_fails_is_not_tried_at_every_look,
           the_first_look_and_the_end_are_written_at_once)
