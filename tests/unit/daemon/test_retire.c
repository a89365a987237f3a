// SPDX-License-Identifier: Apache-2.0
// daemon/retire: content of a deleted registry goes when its time has come, locks, tags and indexes
// and all; that of others stays. Over a store in memory.
#include "daemon/retire.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/topology.h"
#include "store/meta.h"
#include "store/meta_delete.h"
#include "store/meta_usage.h"
#include "tests/support/check_main.h"
#include "tests/support/memory_backend.h"

#include <stdio.h>
#include <string.h>

static struct memory_db *db;
static struct meta *m;
static struct snapshot cell;
static struct retire retire;
static struct task_runner *runner;
static int64_t due_ms;

static int sign(void *ctx, const void *p, size_t n, uint8_t sig[ENTRY_SIG_BYTES])
{
    (void)ctx;
    sha256(p, n, sig);
    sha256(p, n, sig + 32);
    return 0;
}

static int64_t due(void *ctx, const char *key)
{
    (void)ctx;
    if (!strcmp(key, "unsaid"))
        return -1;
    return due_ms;
}

static void publish(const char *registries)
{
    struct topology *t;
    AUTO_FREE char *text =
        mem_printf("version: 1\ndomain: example.io\nregions:\n"
                   "  - { name: eastus, stamps: [{ name: eus-1, ipv4: [192.0.2.1] }], peer: "
                   "\"192.0.2.1:8443\" }\nname_servers: [eus-1.eastus]\nregistries:\n%s",
                   registries);
    ck_assert_int_eq(topology_parse(text, strlen(text), "test", NULL, &t), 0);
    snapshot_publish(&cell, t);
}

static struct digest push(const char *registry, const char *repository, const char *tag,
                          const char *text, const struct digest *child)
{
    struct put_result r;
    struct manifest_put p = {.registry = registry,
                             .repository = repository,
                             .media_type = "application/vnd.oci.image.manifest.v1+json",
                             .content = bytes_of(text, strlen(text)),
                             .tag = tag};
    struct manifest_ref ref = {.kind = REF_MANIFEST};
    if (child) {
        p.media_type = "application/vnd.oci.image.index.v1+json";
        ref.digest = *child;
        p.refs = &ref;
        p.n_refs = 1;
    }
    ck_assert_int_eq(digest_of(DIGEST_SHA256, text, strlen(text), &p.digest), 0);
    ck_assert_int_eq(meta_manifest_put(m, &p, &r), 0);
    return p.digest;
}

static uint64_t manifests_of(const char *registry)
{
    struct usage u;
    ck_assert_int_eq(meta_usage_get(m, registry, NULL, &u), 0);
    return u.manifests;
}

static void begin(void)
{
    const struct meta_options o = {.region = "eastus", .key_id = "k", .sign = sign};
    db = memory_db_new("eastus");
    ck_assert_int_eq(memory_meta_open(db, &o, &m), 0);
    meta_gate_open(m, META_GATE_RECOVERY);
    snapshot_init(&cell);
    retire_init(&retire, m, &cell, due, NULL);
    ck_assert_int_eq(task_runner_new(m, &runner), 0);
    due_ms = clock_wall_ms() - 1;
}

static void end(void)
{
    task_runner_free(runner);
    snapshot_done(&cell);
    meta_close(m);
    memory_db_free(db);
}

static int go(const char *key, char payload[TASK_PAYLOAD_MAX + 1], int64_t *out_again_ms)
{
    const struct task t = {.kind = TASK_RETIRE, .key = key, .registry = key, .payload = payload};
    struct task_step s = {.task = &t, .runner = runner, .again_ms = -1};
    int rc = retire_step(&retire, &s);
    if (*s.payload)
        memcpy(payload, s.payload, sizeof s.payload);
    *out_again_ms = s.again_ms;
    return rc;
}

static void run_all(const char *key)
{
    static char payload[TASK_PAYLOAD_MAX + 1];
    int64_t again_ms = 0;
    payload[0] = 0;
    for (int i = 0; i < 100 && again_ms >= 0; i++)
        ck_assert_int_eq(go(key, payload, &again_ms), 0);
    ck_assert_int_lt(again_ms, 0);
}

static bool is_queued(const char *key)
{
    struct arena a;
    struct task t;
    arena_init(&a, 0);
    int rc = meta_task_get(m, TASK_RETIRE, key, &a, &t);
    arena_done(&a);
    return rc == 0;
}

START_TEST(all_that_a_deleted_registry_had_goes)
{
    begin();
    struct digest child = push("contoso", "a/b", NULL, "{}", NULL);
    push("contoso", "a/b", "index", "{\"index\":1}", &child);
    for (int i = 0; i < 250; i++) {
        char text[32], tag[32];
        snprintf(text, sizeof text, "{\"n\":%d}", i);
        snprintf(tag, sizeof tag, "v%d", i);
        push("contoso", "many", tag, text, NULL);
    }
    push("fabrikam", "app", "v1", "{}", NULL);
    uint64_t stamp;
    const struct lock_request lock = {
        .registry = "contoso", .repository = "many", .tag = "v7", .del = true};
    const struct lock_request all = {.registry = "contoso", .repository = "a/b", .del = true};
    ck_assert_int_eq(meta_lock_set(m, &lock, &stamp), 0);
    ck_assert_int_eq(meta_lock_set(m, &all, &stamp), 0);
    ck_assert_uint_eq(manifests_of("contoso"), 252);
    publish("  - { name: fabrikam, replicas: [{ region: eastus }] }\n");
    retire_schedule(&retire);
    ck_assert(is_queued("contoso"));
    ck_assert(!is_queued("fabrikam"));
    run_all("contoso");
    ck_assert_uint_eq(manifests_of("contoso"), 0);
    ck_assert_uint_eq(manifests_of("fabrikam"), 1);
    end();
}
END_TEST

START_TEST(not_before_its_time_and_not_unasked)
{
    begin();
    push("contoso", "app", "v1", "{}", NULL);
    push("unsaid", "app", "v1", "{}", NULL);
    retire_schedule(&retire); // there is no topology yet
    publish("  - { name: fabrikam, replicas: [{ region: eastus }] }\n");
    due_ms = clock_wall_ms() + 100000;
    retire_schedule(&retire);
    ck_assert(!is_queued("contoso"));
    ck_assert(!is_queued("unsaid"));
    run_all("contoso");
    run_all("unsaid");
    ck_assert_uint_eq(manifests_of("contoso"), 1);
    ck_assert_uint_eq(manifests_of("unsaid"), 1);
    // one that is there is never touched
    due_ms = 0;
    publish("  - { name: contoso, replicas: [{ region: eastus }] }\n");
    run_all("contoso");
    ck_assert_uint_eq(manifests_of("contoso"), 1);
    end();
}
END_TEST

CHECK_MAIN("daemon/retire", all_that_a_deleted_registry_had_goes,
           not_before_its_time_and_not_unasked)
