// SPDX-License-Identifier: Apache-2.0
// What every topology source promises (control/source.h), of each source: files, and one that lies
// in memory.
#include "control/source.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "control/change.h"
#include "control/file_source.h"
#include "tests/support/check_main.h"
#include "tests/support/memory_source.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define DOCUMENT                                                                              \
    "version: 5\ndomain: example.io\nregions:\n"                                              \
    "  - {name: eastus, peer: 10.0.0.1:8443, stamps: [{name: s-1, ipv4: [192.0.2.1]}]}\n"     \
    "  - {name: westus, peer: 10.0.0.2:8443, stamps: [{name: s-1, ipv4: [192.0.2.2]}]}\n"     \
    "name_servers: [s-1.eastus]\nviews:\n  - {name: corp, sources: [10.1.0.0/16]}\n"          \
    "registries:\n  - {name: contoso, replicas: [{region: eastus}, {region: westus, weight: " \
    "7}]}\n"

enum { FILES, MEMORY, KINDS };

struct fixture {
    int kind;
    char dir[32], topology[64], state[64];
    struct memory_store memory;
    struct topology_source *s;
    struct snapshot cell;
    struct diag diag;
    _Atomic int n_changes;
};

static void count_change(void *ctx, bool frame)
{
    ck_assert(!frame); // nothing here changes more than registries
    atomic_fetch_add(&((struct fixture *)ctx)->n_changes, 1);
}

static void open_source(struct fixture *f)
{
    const struct file_source_options o = {
        .topology = f->topology, .form = TOPOLOGY_FULL, .state_dir = f->state};
    if (f->kind == FILES)
        ck_assert_int_eq(file_source_open(&o, &f->s), 0);
    else
        ck_assert_int_eq(memory_source_open(&f->memory, &f->s), 0);
    snapshot_init(&f->cell);
}

static int load(struct fixture *f)
{
    const struct source_cells cells = {.topology = &f->cell};
    return topology_source_load(f->s, &cells, &f->diag);
}

static void close_source(struct fixture *f)
{
    topology_source_close(f->s);
    snapshot_done(&f->cell);
}

static struct fixture *setup(int kind)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->kind = kind;
    strcpy(f->dir, "/tmp/source.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(f->dir));
    snprintf(f->topology, sizeof f->topology, "%s/topology.yaml", f->dir);
    snprintf(f->state, sizeof f->state, "%s/state", f->dir);
    ck_assert_int_eq(file_write_atomic(f->topology, DOCUMENT, strlen(DOCUMENT), 0600), 0);
    ck_assert_int_eq(
        topology_parse(DOCUMENT, strlen(DOCUMENT), "memory", NULL, &f->memory.topology), 0);
    diag_init(&f->diag);
    open_source(f);
    ck_assert_int_eq(load(f), 0);
    ck_assert_int_eq(topology_source_follow(f->s, count_change, f), 0);
    return f;
}

static void teardown(struct fixture *f)
{
    close_source(f);
    memory_store_done(&f->memory);
    diag_done(&f->diag);
    ck_assert_int_eq(dir_remove_tree(f->dir), 0);
    free(f);
}

static int propose(struct fixture *f, uint64_t expected, const char *text, uint64_t *out_version)
{
    const struct proposal p = {"a proposal", text, strlen(text)};
    diag_done(&f->diag);
    diag_init(&f->diag);
    return topology_source_propose(f->s, expected, &p, &f->diag, out_version);
}

static void is_in_force(struct fixture *f, uint64_t version)
{
    struct topology_status t, p;
    topology_source_look(f->s);
    struct topology *now = snapshot_get(&f->cell);
    ck_assert_uint_eq(now->version, version);
    snapshot_unref(now);
    topology_source_status(f->s, &t, &p);
    ck_assert_uint_eq(t.version, version);
    ck_assert_ptr_null(t.refused_why);
    ck_assert_ptr_null(t.changes_why);
    ck_assert_uint_eq(p.version, 0);
}

static bool has(struct fixture *f, const char *registry)
{
    struct topology *now = snapshot_get(&f->cell);
    bool is_there = topology_registry(now, registry) != NULL;
    snapshot_unref(now);
    return is_there;
}

#define FABRIKAM "registries: [{name: fabrikam, replicas: [{region: eastus}]}]\n"

START_TEST(a_proposal_is_followed_and_durable)
{
    struct fixture *f = setup(_i);
    uint64_t version = 0;
    is_in_force(f, 5);
    ck_assert_int_eq(propose(f, 5, FABRIKAM, &version), 0);
    ck_assert_uint_eq(version, 6);
    is_in_force(f, 6);
    ck_assert(has(f, "fabrikam"));
    ck_assert_int_eq(atomic_load(&f->n_changes), 1);
    close_source(f);
    open_source(f);
    ck_assert_int_eq(load(f), 0);
    ck_assert_int_eq(topology_source_follow(f->s, count_change, f), 0);
    is_in_force(f, 6);
    ck_assert(has(f, "fabrikam"));
    teardown(f);
}
END_TEST

START_TEST(who_comes_second_is_refused)
{
    struct fixture *f = setup(_i);
    uint64_t version = 0;
    ck_assert_int_eq(propose(f, 5, FABRIKAM, &version), 0);
    ck_assert_int_eq(propose(f, 5, "remove: [contoso]\n", &version), ERR_CONFLICT);
    ck_assert_uint_gt(diag_count(&f->diag), 0);
    ck_assert_uint_eq(version, 6);
    is_in_force(f, 6);
    ck_assert(has(f, "contoso"));
    ck_assert_int_eq(propose(f, 6, "remove: [contoso]\n", &version), 0);
    is_in_force(f, 7);
    ck_assert(!has(f, "contoso"));
    teardown(f);
}
END_TEST

START_TEST(what_cannot_be_is_refused_whole)
{
    static const char *const wrong[] = {
        "remove: [nobody1]\n",
        "registries: [{name: fabrikam, replicas: [{region: mars}]}]\n",
        "regoins: []\n",
        FABRIKAM "remove: [fabrikam]\n",
        "private_endpoints: [\n",
        "private_endpoints: [{name: p, registry: contoso, view: lab, addresses: {registry: "
        "1.2.3.4}}]"};
    struct fixture *f = setup(_i);
    uint64_t version = 0;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        ck_assert_int_eq(propose(f, 5, wrong[i], &version), ERR_INVAL);
        ck_assert_uint_gt(diag_count(&f->diag), 0);
    }
    ck_assert_uint_eq(version, 0);
    is_in_force(f, 5);
    ck_assert_int_eq(atomic_load(&f->n_changes), 0);
    teardown(f);
}
END_TEST

// A row as it is in force, with one word changed, changes nothing else.
START_TEST(a_value_is_proposed)
{
    struct fixture *f = setup(_i);
    struct arena a;
    struct spec_registry row;
    uint64_t version = 0;
    arena_init(&a, 0);
    struct topology *t = snapshot_get(&f->cell);
    ck_assert_int_eq(change_registry_row(t, topology_registry(t, "contoso"), &a, &row), 0);
    ck_assert_ptr_null(change_replica(&row, "mars"));
    change_replica(&row, "westus")->drained = true;
    const struct change change = {.registries = &row, .n_registries = 1};
    ck_assert_int_eq(topology_source_propose_change(f->s, 5, &change, &f->diag, &version), 0);
    snapshot_unref(t);
    is_in_force(f, 6);
    t = snapshot_get(&f->cell);
    const struct registry *r = topology_registry(t, "contoso");
    ck_assert(!r->replicas[0].drained && r->replicas[1].drained);
    ck_assert_uint_eq(r->weights[0], 100);
    ck_assert_uint_eq(r->weights[1], 7);
    snapshot_unref(t);
    arena_done(&a);
    teardown(f);
}
END_TEST

struct racer {
    struct fixture *f;
    int number, n_won;
    pthread_t thread;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    for (uint64_t expected = 5; expected < 25; expected++) {
        char text[128];
        uint64_t version;
        snprintf(text, sizeof text,
                 "registries: [{name: racer%d0%d, replicas: [{region: eastus}]}]\n", r->number,
                 (int)expected);
        const struct proposal p = {"a proposal", text, strlen(text)};
        int rc = topology_source_propose(r->f->s, expected, &p, NULL, &version);
        ck_assert(rc == 0 || rc == ERR_CONFLICT);
        if (!rc)
            r->n_won++;
        topology_source_look(r->f->s);
    }
    return NULL;
}

// Of those who propose on one version, one wins, and so the version goes up by one each time.
START_TEST(one_of_many_wins_each_version)
{
    struct fixture *f = setup(_i);
    struct racer racers[3];
    int won = 0;
    for (int i = 0; i < 3; i++) {
        racers[i] = (struct racer){.f = f, .number = i};
        ck_assert_int_eq(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(racers[i].thread, NULL);
        won += racers[i].n_won;
    }
    topology_source_look(f->s);
    struct topology *now = snapshot_get(&f->cell);
    ck_assert_uint_eq(now->version, 5 + (unsigned)won);
    ck_assert_uint_eq(now->n_registries, 1 + (unsigned)won);
    ck_assert_int_eq(won, 20);
    snapshot_unref(now);
    teardown(f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("control/source");
    TCase *c = tcase_create("all");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, a_proposal_is_followed_and_durable, 0, KINDS);
    tcase_add_loop_test(c, who_comes_second_is_refused, 0, KINDS);
    tcase_add_loop_test(c, what_cannot_be_is_refused_whole, 0, KINDS);
    tcase_add_loop_test(c, a_value_is_proposed, 0, KINDS);
    tcase_add_loop_test(c, one_of_many_wins_each_version, 0, KINDS);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int n_failed = srunner_ntests_failed(r);
    srunner_free(r);
    return n_failed != 0;
}
