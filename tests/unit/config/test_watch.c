// SPDX-License-Identifier: Apache-2.0
// config/watch in a real directory: good edits swap, bad ones keep the old and say why, versions only go up.
#include "config/watch.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/principals.h"
#include "config/topology.h"
#include "tests/support/check_main.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOPOLOGY(version, more)                                        \
    "version: " #version "\ndomain: example.io\nregions:\n"            \
    "  - {name: eastus, stamps: [{name: eus-1, ipv4: [192.0.2.1]}]}\n" \
    "name_servers: [eus-1.eastus]\n" more
#define HASH "$2b$05$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234"
#define PRINCIPALS(name) "users:\n  - {name: " name ", password_hash: \"" HASH "\"}\n"

struct fixture {
    char dir[32], topology[64], principals[64], state[64];
    struct snapshot tcell, pcell;
    struct config_watch *w;
    struct diag diag;
    _Atomic int n_changes;
};

static void put(const char *path, const char *text)
{
    ck_assert_int_eq(file_write_atomic(path, text, strlen(text), 0600), 0);
}

static void count_change(void *ctx, bool frame)
{
    (void)frame;
    atomic_fetch_add(&((struct fixture *)ctx)->n_changes, 1);
}

static int start(struct fixture *f)
{
    f->w = NULL;
    return config_watch_start(f->topology, TOPOLOGY_FULL, f->principals, f->state, &f->tcell, &f->pcell, count_change,
                              f, &f->diag, &f->w);
}

static struct fixture *setup(void)
{
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->dir, "/tmp/watch.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(f->dir));
    snprintf(f->topology, sizeof f->topology, "%s/topology.yaml", f->dir);
    snprintf(f->principals, sizeof f->principals, "%s/principals.yaml", f->dir);
    snprintf(f->state, sizeof f->state, "%s/state", f->dir);
    snapshot_init(&f->tcell);
    snapshot_init(&f->pcell);
    diag_init(&f->diag);
    put(f->topology, TOPOLOGY(5, ""));
    put(f->principals, PRINCIPALS("ada"));
    return f;
}

static void teardown(struct fixture *f)
{
    config_watch_stop(f->w);
    snapshot_done(&f->tcell);
    snapshot_done(&f->pcell);
    diag_done(&f->diag);
    ck_assert_int_eq(dir_remove_tree(f->dir), 0);
    free(f);
}

static uint64_t version(struct fixture *f)
{
    struct topology *t = snapshot_get(&f->tcell);
    uint64_t v = t->version;
    snapshot_unref(t);
    return v;
}

static bool has_user(struct fixture *f, const char *name)
{
    struct principals *p = snapshot_get(&f->pcell);
    bool has = principals_find(p, name) != NULL;
    snapshot_unref(p);
    return has;
}

// What is in force, how many refusals, and a fragment of the reason (NULL: none).
static void expect(struct fixture *f, uint64_t want, uint64_t refused, const char *why)
{
    struct config_status t, p;
    config_watch_status(f->w, &t, &p);
    ck_assert_uint_eq(version(f), want);
    ck_assert_uint_eq(t.version, want);
    ck_assert_uint_eq(t.refused, refused);
    ck_assert_msg(why ? t.refused_why && strstr(t.refused_why, why) : !t.refused_why, "%s",
                  t.refused_why ? t.refused_why : "no reason");
    free(t.refused_why);
    free(p.refused_why);
}

START_TEST(edits_swap_or_say_why)
{
    struct fixture *f = setup();
    ck_assert_int_eq(start(f), 0);
    expect(f, 5, 0, NULL);
    put(f->topology, TOPOLOGY(6, ""));
    config_watch_poke(f->w);
    expect(f, 6, 0, NULL);
    ck_assert_int_eq(atomic_load(&f->n_changes), 1);
    put(f->topology, TOPOLOGY(7, "regoins: []\n"));
    config_watch_poke(f->w);
    config_watch_poke(f->w); // the same refusal is told once
    expect(f, 6, 1, "topology.yaml:6: regoins: unknown key");
    put(f->topology, TOPOLOGY(5, ""));
    config_watch_poke(f->w);
    expect(f, 6, 2, "version 5 is lower than 6, which is in force");
    put(f->topology, TOPOLOGY(6, "https_port: 8443\n"));
    config_watch_poke(f->w);
    expect(f, 6, 3, "has version 6, as the one in force, but other content");
    ck_assert_int_eq(unlink(f->topology), 0);
    config_watch_poke(f->w);
    expect(f, 6, 4, "not found");
    put(f->topology, TOPOLOGY(6, ""));
    config_watch_poke(f->w);
    expect(f, 6, 4, NULL);
    put(f->topology, TOPOLOGY(7, ""));
    config_watch_poke(f->w);
    expect(f, 7, 4, NULL);
    ck_assert_int_eq(atomic_load(&f->n_changes), 2);
    teardown(f);
}
END_TEST

START_TEST(edits_are_noticed_unasked)
{
    struct fixture *f = setup();
    ck_assert_int_eq(start(f), 0);
    put(f->topology, TOPOLOGY(6, ""));
    int64_t limit = clock_mono_ms() + 10000;
    while (version(f) != 6 && clock_mono_ms() < limit)
        clock_sleep_ms(5);
    expect(f, 6, 0, NULL);
    teardown(f);
}
END_TEST

START_TEST(principals_swap)
{
    struct fixture *f = setup();
    ck_assert_int_eq(start(f), 0);
    ck_assert(has_user(f, "ada"));
    put(f->principals, PRINCIPALS("bob"));
    config_watch_poke(f->w);
    ck_assert(has_user(f, "bob") && !has_user(f, "ada"));
    ck_assert_int_eq(chmod(f->principals, 0644), 0);
    config_watch_poke(f->w);
    struct config_status t, p;
    config_watch_status(f->w, &t, &p);
    ck_assert_uint_eq(p.refused, 1);
    ck_assert_ptr_nonnull(strstr(p.refused_why, "chmod 600"));
    ck_assert_ptr_null(t.refused_why);
    free(p.refused_why);
    ck_assert(has_user(f, "bob"));
    put(f->principals, "version: 2\n" PRINCIPALS("carol"));
    config_watch_poke(f->w);
    ck_assert(has_user(f, "carol"));
    put(f->principals, "version: 1\n" PRINCIPALS("dave"));
    config_watch_poke(f->w);
    ck_assert(has_user(f, "carol"));
    ck_assert_int_eq(atomic_load(&f->n_changes), 0);
    teardown(f);
}
END_TEST

START_TEST(last_good_serves_a_restart)
{
    struct fixture *f = setup();
    ck_assert_int_eq(start(f), 0);
    config_watch_stop(f->w);
    put(f->topology, "version: [\n");
    put(f->principals, "users: 5\n");
    ck_assert_int_eq(start(f), 0);
    expect(f, 5, 1, "not YAML");
    ck_assert(has_user(f, "ada"));
    struct config_status t, p;
    config_watch_status(f->w, &t, &p);
    ck_assert(t.from_last_good && p.from_last_good);
    free(t.refused_why);
    free(p.refused_why);
    config_watch_stop(f->w);
    put(f->topology, TOPOLOGY(4, "")); // a rollback while it was down
    ck_assert_int_eq(start(f), 0);
    expect(f, 5, 1, "version 4 is lower than 5");
    put(f->topology, TOPOLOGY(6, ""));
    config_watch_poke(f->w);
    expect(f, 6, 1, NULL);
    config_watch_status(f->w, &t, &p);
    ck_assert(!t.from_last_good && p.from_last_good);
    free(p.refused_why);
    teardown(f);
}
END_TEST

START_TEST(nothing_usable_is_an_error)
{
    struct fixture *f = setup();
    put(f->topology, "version: 0\n");
    ck_assert_int_eq(unlink(f->principals), 0);
    ck_assert_int_ne(start(f), 0);
    ck_assert_ptr_null(f->w);
    char *all = diag_text(&f->diag);
    ck_assert_ptr_nonnull(strstr(all, "topology.yaml:1: version: 0 is out of range"));
    ck_assert_ptr_nonnull(strstr(all, "principals.yaml: cannot read the principals: not found"));
    free(all);
    put(f->topology, TOPOLOGY(5, ""));
    ck_assert_int_eq(
        config_watch_start(f->topology, TOPOLOGY_FULL, NULL, f->state, &f->tcell, &f->pcell, NULL, NULL, NULL, &f->w),
        0);
    ck_assert_ptr_null(snapshot_get(&f->pcell));
    teardown(f);
}
END_TEST

CHECK_MAIN("config/watch", edits_swap_or_say_why, edits_are_noticed_unasked, principals_swap,
           last_good_serves_a_restart, nothing_usable_is_an_error)
