// SPDX-License-Identifier: Apache-2.0
// daemon/retention: which repositories get a task, when, and what ends it. Over a store in memory.
#include "daemon/retention.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/policy.h"
#include "store/meta.h"
#include "store/meta_feed.h"
#include "store/meta_jobs.h"
#include "tests/support/check_main.h"
#include "tests/support/memory_backend.h"

#include <stdio.h>
#include <string.h>

#define N_REPOSITORIES 12

static struct memory_db *db;
static struct meta *m;
static struct snapshot cell;
static struct retention retention;

static int sign(void *ctx, const void *p, size_t n, uint8_t sig[ENTRY_SIG_BYTES])
{
    (void)ctx;
    sha256(p, n, sig);
    sha256(p, n, sig + 32);
    return 0;
}

static void publish(int version, const char *rules)
{
    struct topology *t;
    struct diag d;
    diag_init(&d);
    AUTO_FREE char *text =
        mem_printf("version: %d\ndomain: example.io\nhostmaster: hostmaster@example.io\nregions:\n"
                   "  - { name: eastus, stamps: [{ name: eus-1, ipv4: [192.0.2.1] }], peer: "
                   "\"192.0.2.1:8443\" }\n"
                   "  - { name: westus, stamps: [{ name: wus-1, ipv4: [192.0.2.2] }], peer: "
                   "\"192.0.2.2:8443\" }\n"
                   "name_servers: [eus-1.eastus, wus-1.westus]\nregistries:\n"
                   "  - name: contoso\n    replicas: [{ region: eastus }, { region: westus }]\n%s"
                   "  - name: fabrikam\n    replicas: [{ region: eastus }]\n",
                   version, rules);
    int rc = topology_parse(text, strlen(text), "test", &d, &t);
    if (rc)
        diag_print(&d, stderr);
    diag_done(&d);
    ck_assert_int_eq(rc, 0);
    snapshot_publish(&cell, t);
}

static void push_to(struct meta *to, const char *registry, const char *repository, const char *tag)
{
    struct put_result r;
    static const char text[] = "{}";
    struct manifest_put p = {.registry = registry,
                             .repository = repository,
                             .media_type = "application/vnd.oci.image.manifest.v1+json",
                             .content = bytes_of(text, 2),
                             .tag = tag};
    ck_assert_int_eq(digest_of(DIGEST_SHA256, text, 2, &p.digest), 0);
    ck_assert_int_eq(meta_manifest_put(to, &p, &r), 0);
}

static void push(const char *registry, const char *repository, const char *tag)
{
    push_to(m, registry, repository, tag);
}

static void begin(void)
{
    const struct meta_options o = {.region = "eastus", .key_id = "k", .sign = sign};
    db = memory_db_new("eastus");
    ck_assert_int_eq(memory_meta_open(db, &o, &m), 0);
    meta_gate_open(m, META_GATE_RECOVERY);
    snapshot_init(&cell);
    retention_init(&retention, m, &cell, "eastus");
    for (int i = 0; i < N_REPOSITORIES; i++) {
        char name[32];
        snprintf(name, sizeof name, "prod/%d", i);
        push("contoso", name, "v1");
    }
    push("contoso", "play", "v1");
    push("fabrikam", "prod/0", "v1");
}

static void end(void)
{
    retention_done(&retention);
    snapshot_done(&cell);
    meta_close(m);
    memory_db_free(db);
}

static const char some_rules[] =
    "    repositories: [{ match: \"prod/*\", retention: { keep_last: 3 } }]\n";

static size_t listed(struct arena *a, struct task **out)
{
    size_t n;
    ck_assert_int_eq(meta_tasks_list(m, TASK_RETAIN, NULL, 99, a, out, &n), 0);
    return n;
}

static bool is_ours(const char *repository)
{
    struct topology *t = snapshot_get(&cell);
    const struct registry *reg = topology_registry(t, "contoso");
    bool ours = policy_runner(t, reg, repository) == 0; // eastus
    snapshot_unref(t);
    return ours;
}

START_TEST(repositories_with_rules_get_a_task_in_one_region)
{
    struct arena a;
    struct task *t;
    size_t n_ours = 0;
    begin();
    arena_init(&a, 0);
    retention_schedule(&retention); // there is no topology yet
    publish(1, some_rules);
    retention_schedule(&retention);
    for (int i = 0; i < N_REPOSITORIES; i++) {
        char name[32], key[48];
        struct task one;
        snprintf(name, sizeof name, "prod/%d", i);
        snprintf(key, sizeof key, "contoso/%s", name);
        int rc = meta_task_get(m, TASK_RETAIN, key, &a, &one);
        ck_assert_int_eq(rc, is_ours(name) ? 0 : ERR_NOTFOUND);
        n_ours += rc == 0;
    }
    ck_assert(n_ours > 0 && n_ours < N_REPOSITORIES); // the other region has its share
    ck_assert_uint_eq(listed(&a, &t), n_ours);
    ck_assert_str_eq(t[0].registry, "contoso");
    ck_assert_int_eq(t[0].due_ms, 0);
    arena_done(&a);
    end();
}
END_TEST

static struct task_step step_of(const struct task *t)
{
    struct task_step s = {.task = t, .again_ms = -1};
    ck_assert_int_eq(retention_step(&retention, &s), 0);
    return s;
}

START_TEST(a_task_goes_on_until_its_rules_end)
{
    struct arena a;
    struct task *t;
    begin();
    arena_init(&a, 0);
    publish(1, some_rules);
    retention_schedule(&retention);
    ck_assert_uint_gt(listed(&a, &t), 0);
    struct task_step s = step_of(t);
    ck_assert_int_eq(s.again_ms, 86400000);
    ck_assert_str_ne(s.payload, "");
    publish(2, "    repositories: [{ match: \"test/*\", retention: { keep_last: 3 } }]\n");
    s = step_of(t);
    ck_assert_int_lt(s.again_ms, 0);
    publish(3, "");
    s = step_of(t);
    ck_assert_int_lt(s.again_ms, 0);
    struct task other = {.key = "contoso", .registry = "contoso", .payload = ""};
    ck_assert_int_lt(step_of(&other).again_ms, 0);
    other.key = "gone/app";
    other.registry = "gone"; // a registry that was removed
    ck_assert_int_lt(step_of(&other).again_ms, 0);
    arena_done(&a);
    end();
}
END_TEST

START_TEST(tags_beyond_the_newest_go)
{
    struct arena a;
    struct task *t;
    begin();
    arena_init(&a, 0);
    publish(1, some_rules);
    retention_schedule(&retention);
    ck_assert_uint_gt(listed(&a, &t), 0);
    const char *repository = t->key + strlen("contoso/");
    static const char *const more[] = {"v2", "v3", "v4", "v5"};
    for (size_t i = 0; i < ARRAY_LEN(more); i++)
        push("contoso", repository, more[i]);
    (void)step_of(t);
    const char **tags;
    size_t n;
    ck_assert_int_eq(meta_tags_list(m, "contoso", repository, NULL, 9, &a, &tags, &n), 0);
    ck_assert_uint_eq(n, 3);
    ck_assert_str_eq(tags[0], "v3");
    arena_done(&a);
    end();
}
END_TEST

// A change of the rules, not one of the topology alone, makes all of them due.
START_TEST(changed_rules_are_run_at_once)
{
    struct arena a;
    struct task *t;
    begin();
    arena_init(&a, 0);
    publish(1, some_rules);
    retention_schedule(&retention);
    size_t n = listed(&a, &t);
    int64_t far_ms = clock_mono_ms() + 80000000;
    for (size_t i = 0; i < n; i++) {
        const struct task_new later = {
            .kind = TASK_RETAIN, .key = t[i].key, .registry = t[i].registry, .due_ms = far_ms};
        ck_assert_int_eq(meta_task_move(m, &later), 0);
    }
    publish(2, some_rules);
    retention.changed_ms = 0; // as after some seconds
    retention_schedule(&retention);
    ck_assert_uint_eq(listed(&a, &t), n);
    ck_assert_int_eq(t[0].due_ms, far_ms);
    publish(3, "    repositories: [{ match: \"prod/*\", retention: { keep_last: 2 } }]\n");
    retention_schedule(&retention); // too soon after the last change
    ck_assert_uint_eq(listed(&a, &t), n);
    ck_assert_int_eq(t[0].due_ms, far_ms);
    retention.changed_ms = 0;
    retention_schedule(&retention);
    ck_assert_uint_eq(listed(&a, &t), n);
    ck_assert_int_eq(t[0].due_ms, 0);
    arena_done(&a);
    end();
}
END_TEST

// Other repositories wait for their day.
START_TEST(what_was_pushed_to_is_looked_at_soon)
{
    struct arena a;
    struct task *t;
    begin();
    arena_init(&a, 0);
    publish(1, some_rules);
    retention_schedule(&retention);
    size_t n = listed(&a, &t);
    ck_assert_uint_gt(n, 1);
    int64_t far_ms = clock_mono_ms() + 80000000;
    for (size_t i = 0; i < n; i++) {
        const struct task_new later = {
            .kind = TASK_RETAIN, .key = t[i].key, .registry = t[i].registry, .due_ms = far_ms};
        ck_assert_int_eq(meta_task_move(m, &later), 0);
    }
    push("contoso", t[1].key + strlen("contoso/"), "v2");
    push("contoso", "play", "v2"); // has no rules
    retention_schedule(&retention);
    ck_assert_uint_eq(listed(&a, &t), n);
    ck_assert_int_eq(t[0].due_ms, far_ms);
    ck_assert_int_lt(t[1].due_ms, clock_mono_ms() + 60000);
    arena_done(&a);
    end();
}
END_TEST

// All that westus wrote is read here and not applied yet.
static void ingest(struct meta *west, struct arena *a)
{
    static const struct feed_mark start;
    struct feed_mark upto;
    struct feed_entry *e;
    size_t n;
    ck_assert_int_eq(meta_feed_read(west, "westus", &start, NULL, 0, 99, a, &e, &n, &upto), 0);
    ck_assert_uint_gt(n, 0);
    ck_assert_int_eq(meta_ingest(m, "westus", e, n, &upto), 0);
}

static void jobs_end(struct arena *a)
{
    struct job *list;
    size_t n;
    ck_assert_int_eq(meta_pending(m, "contoso", 99, a, &list, &n), 0);
    ck_assert_uint_gt(n, 0);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(meta_job_drop(m, list[i].id), 0);
}

// A backlog can last longer than the wait after a push: the look at what changed does not come back.
START_TEST(what_is_read_and_not_applied_is_looked_at_again)
{
    const struct meta_options o = {.region = "westus", .key_id = "k", .sign = sign};
    struct memory_db *west_db = memory_db_new("westus");
    struct meta *west;
    struct arena a;
    struct task *t;
    begin();
    arena_init(&a, 0);
    publish(1, some_rules);
    retention_schedule(&retention);
    size_t n_before = listed(&a, &t);
    ck_assert_int_eq(memory_meta_open(west_db, &o, &west), 0);
    meta_gate_open(west, META_GATE_RECOVERY);
    const char *name = NULL;
    for (int i = 0; !name || !is_ours(name); i++)
        name = arena_printf(&a, "prod/new%d", i);
    push_to(west, "contoso", name, "v1");
    ingest(west, &a);
    retention_schedule(&retention);
    ck_assert_uint_eq(listed(&a, &t), n_before + 1);
    const char *key = arena_printf(&a, "contoso/%s", name);
    struct task one;
    ck_assert_int_eq(meta_task_get(m, TASK_RETAIN, key, &a, &one), 0);
    ck_assert_int_eq(step_of(&one).again_ms, 10000); // it is not there yet
    ck_assert_int_eq(step_of(t).again_ms, 900000);   // more of another one may come
    jobs_end(&a);
    ck_assert_int_lt(step_of(&one).again_ms, 0); // nor will it be
    ck_assert_int_eq(step_of(t).again_ms, 86400000);
    arena_done(&a);
    meta_close(west);
    memory_db_free(west_db);
    end();
}
END_TEST

CHECK_MAIN("daemon/retention", repositories_with_rules_get_a_task_in_one_region,
           a_task_goes_on_until_its_rules_end, tags_beyond_the_newest_go,
           changed_rules_are_run_at_once, what_was_pushed_to_is_looked_at_soon,
           what_is_read_and_not_applied_is_looked_at_again)
