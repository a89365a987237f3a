// SPDX-License-Identifier: Apache-2.0
// control/file_source in a real directory: good edits swap, bad ones keep the old and say why, versions
// only go up.
#include "control/file_source.h"

#include "base/clock.h"
#include "base/clock_test.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/frontend.h"
#include "config/principals.h"
#include "config/topology.h"
#include "control/compiled.h"
#include "control/topology_file.h"
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
    struct topology_source *w;
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

static int start_with(struct fixture *f, const char *principals, topology_source_change *on_change,
                      struct diag *diag)
{
    const struct file_source_options o = {f->topology, TOPOLOGY_FULL, principals, f->state};
    const struct source_cells cells = {&f->tcell, &f->pcell};
    f->w = NULL;
    ck_assert_int_eq(file_source_open(&o, &f->w), 0);
    int rc = topology_source_load(f->w, &cells, diag);
    if (!rc)
        rc = topology_source_follow(f->w, on_change, f);
    if (!rc)
        return 0;
    topology_source_close(f->w);
    f->w = NULL;
    return rc;
}

static int start(struct fixture *f)
{
    return start_with(f, f->principals, count_change, &f->diag);
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
    topology_source_close(f->w);
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
    struct topology_status t, p;
    topology_source_status(f->w, &t, &p);
    ck_assert_uint_eq(version(f), want);
    ck_assert_uint_eq(t.version, want);
    ck_assert_uint_eq(t.refused, refused);
    ck_assert_msg(why ? t.refused_why && strstr(t.refused_why, why) : !t.refused_why, "%s",
                  t.refused_why ? t.refused_why : "no reason");
    free(t.refused_why);
    free(t.changes_why);
    free(p.refused_why);
}

START_TEST(edits_swap_or_say_why)
{
    struct fixture *f = setup();
    ck_assert_int_eq(start(f), 0);
    expect(f, 5, 0, NULL);
    put(f->topology, TOPOLOGY(6, ""));
    topology_source_look(f->w);
    expect(f, 6, 0, NULL);
    ck_assert_int_eq(atomic_load(&f->n_changes), 1);
    put(f->topology, TOPOLOGY(7, "regoins: []\n"));
    topology_source_look(f->w);
    topology_source_look(f->w); // the same refusal is told once
    expect(f, 6, 1, "topology.yaml:6: regoins: unknown key");
    put(f->topology, TOPOLOGY(5, ""));
    topology_source_look(f->w);
    expect(f, 6, 2, "version 5 is lower than 6, which is in force");
    put(f->topology, TOPOLOGY(6, "https_port: 8443\n"));
    topology_source_look(f->w);
    expect(f, 6, 3, "has version 6, as the one in force, but other content");
    ck_assert_int_eq(unlink(f->topology), 0);
    topology_source_look(f->w);
    expect(f, 6, 4, "not found");
    put(f->topology, TOPOLOGY(6, ""));
    topology_source_look(f->w);
    expect(f, 6, 4, NULL);
    put(f->topology, TOPOLOGY(7, ""));
    topology_source_look(f->w);
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
    topology_source_look(f->w);
    ck_assert(has_user(f, "bob") && !has_user(f, "ada"));
    ck_assert_int_eq(chmod(f->principals, 0644), 0);
    topology_source_look(f->w);
    struct topology_status t, p;
    topology_source_status(f->w, &t, &p);
    ck_assert_uint_eq(p.refused, 1);
    ck_assert_ptr_nonnull(strstr(p.refused_why, "chmod 600"));
    ck_assert_ptr_null(t.refused_why);
    free(p.refused_why);
    ck_assert(has_user(f, "bob"));
    put(f->principals, "version: 2\n" PRINCIPALS("carol"));
    topology_source_look(f->w);
    ck_assert(has_user(f, "carol"));
    put(f->principals, "version: 1\n" PRINCIPALS("dave"));
    topology_source_look(f->w);
    ck_assert(has_user(f, "carol"));
    ck_assert_int_eq(atomic_load(&f->n_changes), 0);
    teardown(f);
}
END_TEST

START_TEST(last_good_serves_a_restart)
{
    struct fixture *f = setup();
    ck_assert_int_eq(start(f), 0);
    topology_source_close(f->w);
    put(f->topology, "version: [\n");
    put(f->principals, "users: 5\n");
    ck_assert_int_eq(start(f), 0);
    expect(f, 5, 1, "not YAML");
    ck_assert(has_user(f, "ada"));
    struct topology_status t, p;
    topology_source_status(f->w, &t, &p);
    ck_assert(t.from_last_good && p.from_last_good);
    free(t.refused_why);
    free(t.changes_why);
    free(p.refused_why);
    topology_source_close(f->w);
    put(f->topology, TOPOLOGY(4, "")); // a rollback while it was down
    ck_assert_int_eq(start(f), 0);
    expect(f, 5, 1, "version 4 is lower than 5");
    put(f->topology, TOPOLOGY(6, ""));
    topology_source_look(f->w);
    expect(f, 6, 1, NULL);
    topology_source_status(f->w, &t, &p);
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
    ck_assert_int_eq(start_with(f, NULL, NULL, NULL), 0);
    ck_assert_ptr_null(snapshot_get(&f->pcell));
    teardown(f);
}
END_TEST

static void append(struct fixture *f, const char *text)
{
    char path[80];
    snprintf(path, sizeof path, "%s.changes", f->topology);
    FILE *out = fopen(path, "a");
    ck_assert_ptr_nonnull(out);
    fputs(text, out);
    fclose(out);
    topology_source_look(f->w);
}

static void expect_changes(struct fixture *f, uint64_t want, uint64_t taken, uint64_t refused,
                           const char *why)
{
    struct topology_status t, p;
    topology_source_status(f->w, &t, &p);
    ck_assert_uint_eq(version(f), want);
    ck_assert_uint_eq(t.version, want);
    ck_assert_uint_eq(t.n_changes, taken);
    ck_assert_uint_eq(t.changes_refused, refused);
    ck_assert_msg(why ? t.changes_why && strstr(t.changes_why, why) : !t.changes_why, "%s",
                  t.changes_why ? t.changes_why : "no reason");
    free(t.changes_why);
    free(t.refused_why);
    free(p.refused_why);
}

#define ADD(name) "registries: [{ name: " name ", replicas: [{ region: eastus }] }]\n...\n"

START_TEST(changes_are_followed)
{
    struct fixture *f = setup();
    char path[80];
    snprintf(path, sizeof path, "%s.changes", f->topology);
    ck_assert_int_eq(start(f), 0);
    expect_changes(f, 5, 0, 0, NULL);
    append(f, "version: 6\n" ADD("alpha"));
    expect_changes(f, 6, 1, 0, NULL);
    append(f, "version: 7\nregistries: [{ name: bravo, repl"); // torn: waits
    topology_source_look(f->w);
    expect_changes(f, 6, 1, 0, NULL);
    append(f, "icas: [{ region: eastus }] }]\n...");
    expect_changes(f, 6, 1, 0, NULL);
    append(f, "\nversion: 7\nremove: [bravo]\n...\n"); // and a duplicate, which is passed over
    expect_changes(f, 7, 2, 0, NULL);
    append(f, "version: 9\nremove: [bravo]\n...\n"); // a gap
    expect_changes(f, 7, 2, 1, "topology.yaml.changes:10: version 9 does not follow 7");
    append(f, "version: 8\nremove: [nobody]\n...\n");
    expect_changes(f, 7, 2, 2, "topology.yaml.changes:14: remove: there is no registry nobody");
    append(f, "version: 8\n" ADD("charlie") "version: 9\nremove: [alpha]\n...\n");
    expect_changes(f, 9, 4, 2, NULL);
    int n_changes = atomic_load(&f->n_changes);
    // A restart: the same, whether or not the node could keep it; and no sign of anything wrong.
    for (int i = 0; i < 2; i++) {
        char kept[80];
        topology_source_close(f->w);
        snprintf(kept, sizeof kept, "%s/topology.last", f->state);
        if (i)
            ck_assert_int_eq(unlink(kept), 0);
        ck_assert_int_eq(start(f), 0);
        expect(f, 9, 0, NULL);
        struct topology *t = snapshot_get(&f->tcell);
        ck_assert_uint_eq(t->n_registries, 2);
        ck_assert(topology_registry(t, "bravo") && topology_registry(t, "charlie"));
        snapshot_unref(t);
    }
    ck_assert_int_eq(atomic_load(&f->n_changes), n_changes);
    // The document again, below what is in force; then one that supersedes the changes, and a
    // change to that.
    put(f->topology, TOPOLOGY(8, ""));
    topology_source_look(f->w);
    expect(f, 9, 1, "version 8 is lower than 9");
    put(f->topology, TOPOLOGY(20, ""));
    topology_source_look(f->w);
    expect(f, 20, 1, NULL);
    append(f, "version: 21\n" ADD("delta"));
    expect(f, 21, 1, NULL);
    // Another file in its place is read from its start.
    put(path, "version: 22\nremove: [delta]\n...\n");
    topology_source_look(f->w);
    expect(f, 22, 1, NULL);
    teardown(f);
}
END_TEST

START_TEST(changes_are_noticed_unasked)
{
    struct fixture *f = setup();
    ck_assert_int_eq(start(f), 0);
    for (unsigned i = 0; i < 20; i++) {
        char path[80], text[100];
        snprintf(path, sizeof path, "%s.changes", f->topology);
        snprintf(
            text, sizeof text,
            "version: %u\nregistries: [{ name: tenant%u, replicas: [{ region: eastus }] }]\n...\n",
            6 + i, i);
        FILE *out = fopen(path, "a");
        fputs(text, out);
        fclose(out);
        int64_t limit = clock_mono_ms() + 10000;
        while (version(f) != 6 + i && clock_mono_ms() < limit)
            clock_sleep_ms(1);
        ck_assert_uint_eq(version(f), 6 + i);
    }
    teardown(f);
}
END_TEST

START_TEST(either_form_is_watched)
{
    struct fixture *f = setup();
    ck_assert_int_eq(start(f), 0);
    for (int k = 6; k <= 8; k += 2) { // compiled, with changes after it; then a document again
        AUTO_BUF struct buf out;
        struct diag d;
        struct topology *t = NULL;
        buf_init(&out, 0);
        diag_init(&d);
        ck_assert_int_eq(topology_parse(TOPOLOGY(6, ""), strlen(TOPOLOGY(6, "")), "t", &d, &t), 0);
        t->version = (uint64_t)k;
        ck_assert_int_eq(compiled_format(t, &out), 0);
        ck_assert_int_eq(file_write_atomic(f->topology, out.p, out.n, 0600), 0);
        snapshot_unref(t);
        diag_done(&d);
        topology_source_look(f->w);
        expect(f, (uint64_t)k, 0, NULL);
        char change[100];
        snprintf(change, sizeof change, "version: %d\n" ADD("tenant"), k + 1);
        append(f, change);
        expect(f, (uint64_t)k + 1, 0, NULL);
        topology_source_close(f->w);
        ck_assert_int_eq(start(f), 0);
        expect(f, (uint64_t)k + 1, 0, NULL);
    }
    put(f->topology, TOPOLOGY(10, ""));
    topology_source_look(f->w);
    expect(f, 10, 0, NULL);
    teardown(f);
}
END_TEST

#define KEYED(version, more)                                                                      \
    TOPOLOGY(version, "dnssec:\n  keys:\n"                                                        \
                      "    - {id: d-1, zone: D, role: csk, algorithm: ed25519, state: active, "   \
                      "since: \"2026-11-23T19:58:50Z\", "                                         \
                      "key: \"l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=\"}\n"                  \
                      "    - {id: fe-1, zone: fe, role: csk, algorithm: ed25519, state: active, " \
                      "since: \"2026-11-23T19:58:50Z\""                                           \
                      ", key: \"uyXwPeDdyVKObfaQn3nzW95dnK5YDQJzyWhBYwzBDd0=\"}\n" more)

START_TEST(no_document_lowers_a_serial)
{
    struct fixture *f = setup();
    put(f->topology, KEYED(6, ""));
    ck_assert_int_eq(start(f), 0);
    expect(f, 6, 0, NULL);
    put(f->topology, TOPOLOGY(7, ""));
    topology_source_look(f->w);
    expect(f, 6, 1, "the serial of fe.D would go down");
    topology_source_close(f->w);
    ck_assert_int_eq(start(f), 0); // nor does a restart take it
    expect(f, 6, 1, "the serial of fe.D would go down");
    put(f->topology, TOPOLOGY(8, "zone_serial: {offset: 900000}\n"));
    topology_source_look(f->w);
    expect(f, 8, 1, NULL);
    teardown(f);
}
END_TEST

// The serial and the frame's version, where a node starts from a form that has changes in it, and
// starts again from what it kept.
START_TEST(the_version_of_the_frame_outlives_the_process)
{
    struct fixture *f = setup();
    AUTO_BUF struct buf out;
    struct topology *t = NULL;
    buf_init(&out, 0);
    ck_assert_int_eq(topology_parse(TOPOLOGY(6, ""), strlen(TOPOLOGY(6, "")), "t", NULL, &t), 0);
    t->version = 9; // by three changes
    ck_assert_int_eq(compiled_format(t, &out), 0);
    ck_assert_int_eq(file_write_atomic(f->topology, out.p, out.n, 0600), 0);
    snapshot_unref(t);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(start(f), 0);
        expect(f, i == 0 ? 9 : 10, i == 2, i == 2 ? "ends after" : NULL);
        t = snapshot_get(&f->tcell);
        ck_assert_uint_eq(t->frame->version, 6);
        ck_assert_uint_eq(frontend_serial(t, 0), 6);
        snapshot_unref(t);
        if (i == 0)
            append(f, "version: 10\n" ADD("tenant"));
        topology_source_close(f->w);
        if (i == 1) // only what it kept is left
            ck_assert_int_eq(file_write_atomic(f->topology, out.p, 8, 0600), 0);
    }
    f->w = NULL;
    teardown(f);
}
END_TEST

// In force: the path of the file of latencies, and of the database.
static void expect_paths(struct fixture *f, const char *latency, const char *maxmind)
{
    char want[128];
    struct topology *t = snapshot_get(&f->tcell);
    snprintf(want, sizeof want, "%s/%s", f->dir, latency);
    ck_assert_str_eq(t->routing.latency_file, want);
    ck_assert_str_eq(t->routing.maxmind_file, maxmind);
    ck_assert_str_eq(t->source, f->topology);
    snapshot_unref(t);
}

START_TEST(paths_are_relative_to_the_topology_and_not_to_what_was_kept_of_it)
{
    struct fixture *f = setup();
    put(f->topology,
        "version: 5\ndomain: example.io\nregions:\n"
        "  - {name: eastus, location: \"1,2\", stamps: [{name: eus-1, ipv4: [192.0.2.1]}]}\n"
        "name_servers: [eus-1.eastus]\n"
        "routing: { latency_file: measured/ms.csv, maxmind_file: /usr/share/city.mmdb }\n");
    ck_assert_int_eq(start(f), 0);
    expect_paths(f, "measured/ms.csv", "/usr/share/city.mmdb");
    topology_source_close(f->w);
    ck_assert_int_eq(start(f), 0); // the same document: what was kept of it is taken
    expect(f, 5, 0, NULL);
    expect_paths(f, "measured/ms.csv", "/usr/share/city.mmdb");
    append(f, "version: 6\n" ADD("alpha"));
    expect(f, 6, 0, NULL);
    expect_paths(f, "measured/ms.csv", "/usr/share/city.mmdb");
    topology_source_close(f->w);
    put(f->topology, "version: seven\n"); // of no use
    ck_assert_int_eq(start(f), 0);
    expect(f, 6, 1, "topology.yaml");
    expect_paths(f, "measured/ms.csv", "/usr/share/city.mmdb");
    teardown(f);
}
END_TEST

#define NOW_MS 1800000000000 // 2027-01-15T08:00:00Z
#define MOVING(version, replica)                                                             \
    "version: " version "\ndomain: example.io\nregions:\n"                                   \
    "  - {name: eastus, stamps: [{name: eus-1, ipv4: [192.0.2.1]}, {name: eus-2, ipv4: "     \
    "[192.0.2.2]}]}\n"                                                                       \
    "name_servers: [eus-1.eastus]\nregistries:\n  - name: contoso\n    replicas: [{region: " \
    "eastus, " replica "}]\n"
#define MOVE ", stamp_was: eus-1, stamp_since: '2027-01-15T08:01:00Z'"

static void wait_for_version(struct fixture *f, uint64_t want)
{
    for (int i = 0; i < 2000 && version(f) != want; i++)
        usleep(5000);
    ck_assert_uint_eq(version(f), want);
}

START_TEST(a_replica_moves_only_when_the_document_says_since_when)
{
    struct fixture *f = setup();
    clock_virtual_set(NOW_MS);
    put(f->topology, MOVING("5", "stamp: eus-1"));
    ck_assert_int_eq(start(f), 0);
    put(f->topology, MOVING("6", "stamp: eus-2"));
    topology_source_look(f->w);
    expect(f, 5, 1,
           "topology.yaml:8: registry contoso: replicas: eastus: names would lead from stamp eus-1 "
           "to eus-2");
    topology_source_close(f->w); // a restart judges by what was kept
    ck_assert_int_eq(start(f), 0);
    expect(f, 5, 1, "names would lead from stamp eus-1 to eus-2 at once");
    put(f->topology, MOVING("6", "stamp: eus-2" MOVE));
    topology_source_look(f->w);
    expect(f, 6, 1, NULL);
    // before its time: taken when that has come, without a word from anybody
    put(f->topology, MOVING("7", "stamp: eus-2"));
    topology_source_look(f->w);
    expect(f, 6, 2, "names lead to stamp eus-1 until 2027-01-15T08:01:00Z");
    clock_virtual_advance(60000);
    wait_for_version(f, 7);
    topology_source_look(f->w);
    expect(f, 7, 2, NULL);
    topology_source_close(f->w); // one that has nothing in force takes any
    ck_assert_int_eq(dir_remove_tree(f->state), 0);
    put(f->topology, MOVING("8", "stamp: eus-1"));
    ck_assert_int_eq(start(f), 0);
    expect(f, 8, 0, NULL);
    teardown(f);
    clock_virtual_off();
}
END_TEST

static uint64_t n_changes_refused(struct fixture *f)
{
    struct topology_status t, p;
    topology_source_status(f->w, &t, &p);
    free(t.refused_why);
    free(t.changes_why);
    free(p.refused_why);
    return t.changes_refused;
}

START_TEST(a_change_that_is_early_waits_with_those_after_it)
{
    struct fixture *f = setup();
    char changes[96];
    snprintf(changes, sizeof changes, "%s.changes", f->topology);
    clock_virtual_set(NOW_MS);
    put(f->topology, MOVING("5", "stamp: eus-2" MOVE));
    ck_assert_int_eq(start(f), 0);
    put(changes, "version: 6\nregistries: [{name: contoso, replicas: [{region: eastus, stamp: "
                 "eus-2}]}]\n...\n"
                 "version: 7\nregistries: [{name: fabrikam, replicas: [{region: eastus}]}]\n...\n");
    for (int i = 0; i < 3; i++) // told once
        topology_source_look(f->w);
    ck_assert_uint_eq(version(f), 5);
    ck_assert_uint_eq(n_changes_refused(f), 1);
    clock_virtual_advance(60000);
    wait_for_version(f, 7);
    ck_assert_uint_eq(n_changes_refused(f), 1);
    teardown(f);
    clock_virtual_off();
}
END_TEST

CHECK_MAIN("control/file_source", changes_are_followed, changes_are_noticed_unasked,
           either_form_is_watched, edits_swap_or_say_why, edits_are_noticed_unasked,
           principals_swap, last_good_serves_a_restart, nothing_usable_is_an_error,
           no_document_lowers_a_serial, the_version_of_the_frame_outlives_the_process,
           paths_are_relative_to_the_topology_and_not_to_what_was_kept_of_it,
           a_replica_moves_only_when_the_document_says_since_when,
           a_change_that_is_early_waits_with_those_after_it)
