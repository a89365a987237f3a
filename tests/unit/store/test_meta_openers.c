// SPDX-License-Identifier: Apache-2.0
// The rules of the metadata over one state that several processes have open, as a database for many
// machines is: transactions that lose a conflict and run again, commits that readers see late.
#define HOT_SHADOW_OFF
#include "tests/support/leases.h"
#include "tests/unit/store/meta_support.h"

#include <pthread.h>

static struct memory_db *db;
static struct region_store one, two;

static void opener(struct region_store *s)
{
    struct meta_options o = {.region = "eastus",
                             .key_id = "feed-key-1",
                             .sign = test_sign,
                             .sign_ctx = s,
                             .on_commit = test_on_commit,
                             .on_commit_ctx = s};
    *s = (struct region_store){.region = "eastus"};
    ck_assert_int_eq(memory_meta_open(db, &o, &s->m), 0);
    meta_gate_open(s->m, META_GATE_RECOVERY);
}

static void begin(void)
{
    db = memory_db_new("eastus");
    ck_assert_ptr_nonnull(db);
    opener(&one);
    opener(&two);
}

static void end(void)
{
    meta_close(one.m);
    meta_close(two.m);
    memory_db_free(db);
}

// --- pushes ---

static void rival_pushes(void *ctx)
{
    (void)ctx;
    ck_assert_int_eq(put(&two, "app", "t", "{rival}"), 0);
}

// Another process sets the tag between the look and the commit: the condition is judged again.
START_TEST(a_condition_holds_at_the_commit)
{
    begin();
    struct digest was = digest_str("{first}");
    struct manifest_put p = {.registry = REG,
                             .repository = "app",
                             .digest = digest_str("{mine}"),
                             .media_type = TYPE,
                             .content = bytes_str("{mine}"),
                             .tag = "t",
                             .if_match = &was};
    struct put_result r;
    ck_assert_int_eq(put(&one, "app", "t", "{first}"), 0);
    memory_db_before_commit(db, rival_pushes, NULL);
    ck_assert_int_eq(meta_manifest_put(one.m, &p, &r), ERR_CONFLICT);
    expect_tag(&one, "app", "t", "{rival}");
    feed_verify(&one, "eastus");
    end();
}
END_TEST

// Without a condition both are acknowledged, and the one that commits last wins: it is stamped above
// the other.
START_TEST(the_last_commit_wins)
{
    begin();
    memory_db_before_commit(db, rival_pushes, NULL);
    ck_assert_int_eq(put(&one, "app", "t", "{mine}"), 0);
    expect_tag(&two, "app", "t", "{mine}");
    ck_assert_uint_eq(head_seq(&one, "eastus"), 4);
    feed_verify(&two, "eastus");
    ck_assert_int_ge(one.n_commits, 1);
    ck_assert_int_ge(two.n_commits, 1);
    end();
}
END_TEST

START_TEST(a_run_that_lost_leaves_nothing)
{
    begin();
    memory_db_conflicts(db, 3);
    uint64_t n_runs = memory_db_n_runs(db), n_commits = memory_db_n_commits(db);
    ck_assert_int_eq(put(&one, "app", "t", "{1}"), 0);
    ck_assert_uint_eq(memory_db_n_runs(db) - n_runs, 4);
    ck_assert_uint_eq(memory_db_n_commits(db) - n_commits, 1);
    ck_assert_int_eq(one.n_commits, 1);
    ck_assert_uint_eq(head_seq(&one, "eastus"), 2);
    feed_verify(&one, "eastus");
    // and when it is given up
    memory_db_fail(db, 0, ERR_IO);
    ck_assert_int_eq(put(&one, "app", "t", "{2}"), ERR_IO);
    memory_db_fail(db, 0, 0);
    ck_assert_int_eq(one.n_commits, 1);
    expect_tag(&one, "app", "t", "{1}");
    ck_assert_int_eq(put(&one, "app", "t", "{3}"), 0);
    ck_assert_uint_eq(head_seq(&one, "eastus"), 4);
    feed_verify(&one, "eastus");
    end();
}
END_TEST

START_TEST(a_late_reader_does_not_mislead_a_writer)
{
    begin();
    struct digest first = digest_str("{first}"), second = digest_str("{second}");
    struct manifest_put p = {.registry = REG,
                             .repository = "app",
                             .digest = digest_str("{third}"),
                             .media_type = TYPE,
                             .content = bytes_str("{third}"),
                             .tag = "t",
                             .if_match = &first};
    struct put_result r;
    ck_assert_int_eq(put(&one, "app", "t", "{first}"), 0);
    memory_db_hold(db, true);
    ck_assert_int_eq(put(&one, "app", "t", "{second}"), 0);
    expect_tag(&two, "app", "t", "{first}"); // not seen yet
    ck_assert_uint_eq(head_seq(&two, "eastus"), 2);
    ck_assert_int_eq(meta_manifest_put(two.m, &p, &r), ERR_CONFLICT);
    p.if_match = &second;
    ck_assert_int_eq(meta_manifest_put(two.m, &p, &r), 0);
    expect_tag(&two, "app", "t", "{first}");
    feed_verify(&two, "eastus"); // what is seen has no gap
    memory_db_hold(db, false);
    expect_tag(&one, "app", "t", "{third}");
    feed_verify(&one, "eastus");
    end();
}
END_TEST

enum { PUSHERS = 4, PUSHES = 25 };

struct pusher {
    struct region_store *s;
    int number;
    pthread_t thread;
};

static void *pusher_main(void *arg)
{
    const struct pusher *p = arg;
    for (int i = 0; i < PUSHES; i++) {
        char text[32];
        snprintf(text, sizeof text, "{%d.%d}", p->number, i);
        ck_assert_int_eq(put(p->s, "app", "t", text), 0);
    }
    return NULL;
}

START_TEST(pushes_of_two_processes_make_one_feed)
{
    begin();
    struct pusher list[PUSHERS];
    for (int i = 0; i < PUSHERS; i++) {
        list[i] = (struct pusher){.s = i % 2 ? &two : &one, .number = i};
        ck_assert_int_eq(pthread_create(&list[i].thread, NULL, pusher_main, &list[i]), 0);
    }
    for (int i = 0; i < PUSHERS; i++)
        pthread_join(list[i].thread, NULL);
    ck_assert_uint_eq(head_seq(&one, "eastus"), 2 * PUSHERS * PUSHES);
    feed_verify(&one, "eastus");
    feed_verify(&two, "eastus");
    end();
}
END_TEST

// --- uploads ---

struct drops {
    int n_asked, n_gone;
    char last[8];
};

static bool yields(void *ctx, const char *id)
{
    struct drops *d = ctx;
    (void)id;
    d->n_asked++;
    return true;
}

static void gone(void *ctx, const char *id)
{
    struct drops *d = ctx;
    d->n_gone++;
    snprintf(d->last, sizeof d->last, "%s", id);
}

static int start(struct region_store *s, const char *id, int64_t touched_ms,
                 const struct upload_bounds *b)
{
    struct upload_row row = {.id = id,
                             .registry = REG,
                             .repository = "app",
                             .principal = "ci",
                             .touched_ms = touched_ms};
    return meta_upload_create(s->m, &row, b, NULL);
}

static void rival_moves(void *ctx)
{
    (void)ctx;
    ck_assert_int_eq(meta_upload_progress(two.m, "a", 5, 1000, NULL), 0);
}

// The oldest upload gets bytes in another process while it is being dropped here: another one goes,
// and only of that one the owner is told.
START_TEST(only_what_was_dropped_is_told)
{
    begin();
    struct drops d = {0};
    struct upload_row row;
    struct arena a;
    const struct upload_bounds bounds = {
        .of_principal = 2, .yields = yields, .gone = gone, .ctx = &d};
    arena_init(&a, 0);
    ck_assert_int_eq(start(&one, "a", 100, NULL), 0);
    ck_assert_int_eq(start(&one, "b", 200, NULL), 0);
    memory_db_before_commit(db, rival_moves, NULL);
    ck_assert_int_eq(start(&one, "c", 300, &bounds), 0);
    ck_assert_int_eq(d.n_asked, 2);
    ck_assert_int_eq(d.n_gone, 1);
    ck_assert_str_eq(d.last, "b");
    ck_assert_int_eq(meta_upload_get(one.m, "a", &a, &row), 0);
    ck_assert_uint_eq(row.size, 5);
    ck_assert_int_eq(meta_upload_get(one.m, "b", &a, &row), ERR_NOTFOUND);
    memory_db_fail(db, 0, ERR_NOSPACE); // nobody is told of what fails
    ck_assert_int_eq(start(&one, "d", 400, &bounds), ERR_NOSPACE);
    ck_assert_int_eq(d.n_gone, 1);
    arena_done(&a);
    end();
}
END_TEST

// --- gates and epochs ---

START_TEST(who_handed_over_writes_uploads_and_mints_nothing)
{
    begin();
    meta_hand_over(one.m);
    ck_assert_int_eq(put(&one, "app", "t", "{1}"), ERR_CLOSED);
    ck_assert_int_eq(put(&two, "app", "t", "{2}"), 0);
    struct digest d = digest_str("blob");
    ck_assert_int_eq(lease_give(one.m, REG, "app", &d, 4, NULL), 0);
    uint64_t size;
    ck_assert_int_eq(lease_look(two.m, REG, "app", &d, &size), 0);
    feed_verify(&two, "eastus");
    end();
}
END_TEST

CHECK_MAIN("store/meta_openers", a_condition_holds_at_the_commit, the_last_commit_wins,
           a_run_that_lost_leaves_nothing, a_late_reader_does_not_mislead_a_writer,
           pushes_of_two_processes_make_one_feed, only_what_was_dropped_is_told,
           who_handed_over_writes_uploads_and_mints_nothing)
