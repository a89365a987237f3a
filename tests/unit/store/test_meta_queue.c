// SPDX-License-Identifier: Apache-2.0
// store/meta_queue.h: whose turn it is, what a try leaves behind, what is asked for while a task
// runs, and bounds.
#include "store/meta_queue.h"

#include "store/meta_priv.h"
#include "tests/unit/store/meta_support.h"

static struct region_store east;

static void ask(const char *registry, const char *key, int64_t due_ms)
{
    const struct task_new t = {
        .kind = TASK_RETAIN, .key = key, .registry = registry, .due_ms = due_ms};
    ck_assert_int_eq(meta_task_add(east.m, &t), 0);
}

static size_t due(int64_t now_ms, size_t max, struct arena *a, struct task **out, int64_t *out_next)
{
    size_t n;
    ck_assert_int_eq(meta_tasks_due(east.m, TASK_RETAIN, now_ms, max, a, out, &n, out_next), 0);
    return n;
}

static size_t listed(struct arena *a, struct task **out)
{
    size_t n;
    ck_assert_int_eq(meta_tasks_list(east.m, TASK_RETAIN, NULL, 99, a, out, &n), 0);
    return n;
}

START_TEST(kinds_have_names)
{
    for (int i = 0; i < TASK_N_KINDS; i++)
        ck_assert_int_eq(task_kind_named(task_kind_name((enum task_kind)i)), i);
    ck_assert_int_eq(task_kind_named("no such kind"), TASK_N_KINDS);
    ck_assert_str_eq(task_kind_name(TASK_N_KINDS), "");
    ck_assert_str_eq(task_kind_name(TASK_APPLY), "apply");
}
END_TEST

// A registry with many tasks delays no other.
START_TEST(registries_take_turns)
{
    store_begin(&east, "eastus");
    struct arena a;
    struct task *t;
    int64_t next;
    unsigned first[2] = {0};
    arena_init(&a, 0);
    for (int i = 0; i < 20; i++) {
        char key[32];
        snprintf(key, sizeof key, "contoso/%d", i);
        ask("contoso", key, 0);
    }
    ask("fabrikam", "fabrikam/a", 0);
    ask("fabrikam", "fabrikam/b", 0);
    ck_assert_uint_eq(due(1, 6, &a, &t, &next), 6);
    ck_assert_int_eq(next, 1); // more are due
    size_t n_fabrikam = 0;
    for (size_t i = 0; i < 6; i++)
        n_fabrikam += t[i].registry[0] == 'f';
    ck_assert_uint_eq(n_fabrikam, 2);
    for (int i = 0; i < 8; i++) { // with one place, the first one changes
        ck_assert_uint_eq(due(1, 1, &a, &t, &next), 1);
        first[t[0].registry[0] == 'f']++;
    }
    ck_assert(first[0] == 4 && first[1] == 4);
    ck_assert_uint_eq(due(1, 99, &a, &t, &next), 22);
    ck_assert_int_eq(next, INT64_MAX);
    arena_done(&a);
    store_end(&east);
}
END_TEST

START_TEST(a_task_ends_only_when_nobody_asked_for_it_meanwhile)
{
    store_begin(&east, "eastus");
    struct arena a;
    struct task *ran, *t;
    int64_t next;
    arena_init(&a, 0);
    ask("contoso", "contoso/app", 5);
    ck_assert_uint_eq(due(4, 9, &a, &ran, &next), 0);
    ck_assert_int_eq(next, 5);
    ck_assert_uint_eq(due(5, 9, &a, &ran, &next), 1);
    ask("contoso", "contoso/app", 1000); // while it runs
    ck_assert_int_eq(meta_task_done(east.m, ran->id, ran->revision), 0);
    ck_assert_uint_eq(due(5, 9, &a, &t, &next), 1); // so it runs once more
    ck_assert_int_eq(meta_task_done(east.m, t->id, t->revision), 0);
    ck_assert_uint_eq(listed(&a, &t), 0);
    ck_assert_int_eq(meta_task_done(east.m, ran->id, ran->revision), 0); // it has ended
    ck_assert_int_eq(meta_task_later(east.m, ran->id, ran->revision, 9, NULL), ERR_NOTFOUND);
    ck_assert_int_eq(meta_task_retry(east.m, ran->id, 9, "late"), ERR_NOTFOUND);
    arena_done(&a);
    store_end(&east);
}
END_TEST

START_TEST(a_try_leaves_its_reason_or_its_place)
{
    store_begin(&east, "eastus");
    struct arena a;
    struct task *ran, *t;
    char long_reason[2 * TASK_REASON_MAX], longest[TASK_PAYLOAD_MAX + 2];
    int64_t next;
    arena_init(&a, 0);
    ask("contoso", "contoso/app", 0);
    ck_assert_uint_eq(due(1, 9, &a, &ran, &next), 1);
    memset(long_reason, 'x', sizeof long_reason);
    memcpy(long_reason + TASK_REASON_MAX - 1, "\xc3\xa4", 2); // would be cut in its middle
    long_reason[sizeof long_reason - 1] = '\0';
    ck_assert_int_eq(meta_task_retry(east.m, ran->id, 70, "no disk"), 0);
    ck_assert_int_eq(meta_task_retry(east.m, ran->id, 80, long_reason), 0);
    ck_assert_uint_eq(listed(&a, &t), 1);
    ck_assert(t->attempts == 2 && t->due_ms == 80);
    ck_assert_uint_eq(strlen(t->reason), TASK_REASON_MAX - 1);
    ask("contoso", "contoso/app", 500); // asking again forgives nothing, and delays nothing
    ck_assert_uint_eq(listed(&a, &t), 1);
    ck_assert(t->attempts == 2 && t->due_ms == 80);
    ck_assert_int_eq(meta_task_later(east.m, t->id, t->revision, 90, "page 2"), 0);
    ck_assert_uint_eq(listed(&a, &t), 1);
    ck_assert(t->attempts == 0 && t->due_ms == 90);
    ck_assert_ptr_null(t->reason);
    ck_assert_str_eq(t->payload, "page 2");
    // Asked for again since `ran`: no later than that.
    ck_assert_int_eq(meta_task_later(east.m, t->id, ran->revision, 400, NULL), 0);
    ck_assert_uint_eq(listed(&a, &t), 1);
    ck_assert_int_eq(t->due_ms, 90);
    ck_assert_str_eq(t->payload, "page 2");
    memset(longest, 'p', sizeof longest);
    longest[TASK_PAYLOAD_MAX + 1] = '\0';
    ck_assert_int_eq(meta_task_later(east.m, t->id, t->revision, 1, longest), ERR_TOOBIG);
    longest[TASK_PAYLOAD_MAX] = '\0';
    ck_assert_int_eq(meta_task_later(east.m, t->id, t->revision, 1, longest), 0);
    arena_done(&a);
    store_end(&east);
}
END_TEST

START_TEST(what_is_no_task_is_refused)
{
    store_begin(&east, "eastus");
    char key[TASK_KEY_MAX + 2], payload[TASK_PAYLOAD_MAX + 2];
    memset(key, 'k', sizeof key);
    key[TASK_KEY_MAX + 1] = '\0';
    memset(payload, 'p', sizeof payload);
    payload[TASK_PAYLOAD_MAX + 1] = '\0';
    struct task_new t = {.kind = TASK_RETAIN, .key = key, .registry = REG};
    ck_assert_int_eq(meta_task_add(east.m, &t), ERR_TOOBIG);
    t.key = "k";
    t.payload = payload;
    ck_assert_int_eq(meta_task_add(east.m, &t), ERR_TOOBIG);
    ck_assert_int_eq(meta_task_move(east.m, &t), ERR_TOOBIG);
    t.payload = NULL;
    t.kind = TASK_APPLY;
    ck_assert_int_eq(meta_task_add(east.m, &t), ERR_INVAL);
    t.kind = TASK_N_KINDS;
    ck_assert_int_eq(meta_task_add(east.m, &t), ERR_INVAL);
    t = (struct task_new){.kind = TASK_RETAIN, .key = "", .registry = REG};
    ck_assert_int_eq(meta_task_add(east.m, &t), ERR_INVAL);
    store_end(&east);
}
END_TEST

START_TEST(many_are_queued_at_once_or_none)
{
    store_begin(&east, "eastus");
    struct arena a;
    struct task *t;
    struct task_new list[] = {{.kind = TASK_RETAIN, .key = "a", .registry = REG},
                              {.kind = TASK_RETAIN, .key = "b", .registry = REG},
                              {.kind = TASK_RETAIN, .key = "", .registry = REG}};
    arena_init(&a, 0);
    ck_assert_int_eq(meta_tasks_add(east.m, list, 3), ERR_INVAL);
    ck_assert_uint_eq(listed(&a, &t), 0);
    ck_assert_int_eq(meta_tasks_add(east.m, list, 2), 0);
    ck_assert_int_eq(meta_tasks_add(east.m, list, 0), 0);
    ck_assert_uint_eq(listed(&a, &t), 2);
    arena_done(&a);
    store_end(&east);
}
END_TEST

static int add_and_fail(struct tx *tx, void *arg)
{
    const struct task_new t = {.kind = TASK_RETAIN, .key = "k", .registry = REG};
    int rc = task_add(tx, &t);
    return rc ? rc : *(const int *)arg;
}

// A rule's task is there if and only if its change is.
START_TEST(a_task_comes_with_its_transaction)
{
    store_begin(&east, "eastus");
    struct arena a;
    struct task *t;
    int outcome = ERR_CANCELED;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_write(east.m, add_and_fail, &outcome, false), ERR_CANCELED);
    ck_assert_uint_eq(listed(&a, &t), 0);
    outcome = 0;
    ck_assert_int_eq(meta_write(east.m, add_and_fail, &outcome, false), 0);
    ck_assert_uint_eq(listed(&a, &t), 1);
    const struct task_new later = {
        .kind = TASK_RETAIN, .key = "k", .registry = REG, .due_ms = INT64_MAX};
    ck_assert_int_eq(meta_task_move(east.m, &later), 0);
    ck_assert_uint_eq(listed(&a, &t), 1);
    ck_assert_int_eq(t->due_ms, INT64_MAX);
    meta_close(east.m);
    store_reopen(&east); // and it is durable; then all are due
    ck_assert_uint_eq(listed(&a, &t), 1);
    ck_assert_int_eq(t->due_ms, 0);
    ck_assert_int_eq(meta_task_cancel(east.m, TASK_RETAIN, "k"), 0);
    ck_assert_int_eq(meta_task_cancel(east.m, TASK_RETAIN, "k"), 0);
    ck_assert_uint_eq(listed(&a, &t), 0);
    arena_done(&a);
    store_end(&east);
}
END_TEST

CHECK_MAIN("store/meta queue", kinds_have_names, registries_take_turns,
           a_task_ends_only_when_nobody_asked_for_it_meanwhile,
           a_try_leaves_its_reason_or_its_place, what_is_no_task_is_refused,
           many_are_queued_at_once_or_none, a_task_comes_with_its_transaction)
