// SPDX-License-Identifier: Apache-2.0
// See retention.h.
#include "daemon/retention.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/htab.h"
#include "base/log.h"
#include "config/policy.h"
#include "config/repository.h"
#include "store/meta.h"
#include "store/meta_jobs.h"
#include "store/meta_retention.h"

#include <stdio.h>
#include <string.h>

#define PER_STEP 100 // rows that go in one step
#define DAY_MS 86400000
#define AGAIN_MS 10000      // a step that took something away may have made more of it untagged
#define SETTLE_MS 10000     // pushes come in series
#define UNAPPLIED_MS 900000 // what is read from other regions and not applied yet may change more
#define ALL_EVERY_MS 3600000
#define CHANGED_EVERY_MS 10000
#define REPOSITORIES_PAGE 500
#define BATCH_MAX 200
#define TOUCHED_PAGE 1000
#define TOUCHED_PAGES_MAX 20 // in one look

void retention_init(struct retention *r, struct meta *meta, struct snapshot *topology,
                    const char *region)
{
    *r = (struct retention){.meta = meta, .topology = topology, .region = region, .touched = -1};
}

void retention_done(struct retention *r)
{
    htab_free(r->marks);
    r->marks = NULL;
}

// The rules that this region runs there; NULL: none.
static const struct repository_policy *rules_of(const struct retention *r, const struct topology *t,
                                                const struct registry *reg, const char *repository)
{
    if (!reg || !reg->policy)
        return NULL;
    const struct repository_policy *p = policy_of(reg, repository);
    if (!policy_retains(p))
        return NULL;
    const struct region *own = topology_region(t, r->region);
    uint8_t runner = policy_runner(t, reg, repository);
    return own && own == &t->regions[runner] ? p : NULL;
}

// --- what is queued ---

// Tasks that are queued in one transaction.
struct batch {
    struct retention *r;
    struct arena a;
    struct task_new list[BATCH_MAX];
    size_t n;
};

static void batch_begin(struct batch *b, struct retention *r)
{
    b->r = r;
    b->n = 0;
    arena_init(&b->a, 0);
}

static int batch_write(struct batch *b)
{
    int rc = meta_tasks_add(b->r->meta, b->list, b->n);
    arena_done(&b->a);
    arena_init(&b->a, 0);
    b->n = 0;
    return rc;
}

// Ends it; `rc` of what came before.
static int batch_end(struct batch *b, int rc)
{
    if (!rc)
        rc = batch_write(b);
    arena_done(&b->a);
    return rc;
}

static int batch_ask(struct batch *b, const struct registry *reg, const char *repository,
                     int64_t due_ms)
{
    struct task_new t = {.kind = TASK_RETAIN, .due_ms = due_ms};
    t.key = arena_printf(&b->a, "%s/%s", reg->key, repository);
    t.registry = arena_strdup(&b->a, reg->key);
    if (!t.key || !t.registry)
        return ERR_NOMEM;
    for (size_t i = 0; i < b->n; i++)
        if (strcmp(b->list[i].key, t.key) == 0)
            return 0; // a series of pushes to it
    b->list[b->n++] = t;
    if (b->n < BATCH_MAX)
        return 0;
    return batch_write(b);
}

static bool is_queued(struct retention *r, const struct registry *reg, const char *repository)
{
    struct arena a;
    struct task t;
    arena_init(&a, 0);
    const char *key = arena_printf(&a, "%s/%s", reg->key, repository);
    int rc = key ? meta_task_get(r->meta, TASK_RETAIN, key, &a, &t) : ERR_NOMEM;
    arena_done(&a);
    return rc == 0;
}

// One page of a registry's repositories. *after: its last name, in `last`; NULL: the end.
static int repositories_page(struct batch *b, const struct topology *t, const struct registry *reg,
                             bool all, const char **after, char *last, size_t cap)
{
    struct arena a;
    const char **names;
    size_t n = 0;
    arena_init(&a, 0);
    int rc =
        meta_repositories_list(b->r->meta, reg->key, *after, REPOSITORIES_PAGE, &a, &names, &n);
    for (size_t i = 0; !rc && i < n; i++) {
        if (!rules_of(b->r, t, reg, names[i]))
            continue;
        if (all || !is_queued(b->r, reg, names[i]))
            rc = batch_ask(b, reg, names[i], 0);
    }
    *after = NULL;
    if (!rc && n == REPOSITORIES_PAGE) {
        snprintf(last, cap, "%s", names[n - 1]);
        *after = last;
    }
    arena_done(&a);
    return rc;
}

// `all`: what is queued already is due now, too.
static int registry_look(struct retention *r, const struct topology *t, const struct registry *reg,
                         bool all)
{
    struct batch b;
    char last[REPOSITORY_NAME_MAX + 1];
    const char *after = NULL;
    int rc;
    batch_begin(&b, r);
    do {
        rc = repositories_page(&b, t, reg, all, &after, last, sizeof last);
    } while (!rc && after);
    return batch_end(&b, rc);
}

static bool has_rules(const struct registry *reg)
{
    for (size_t i = 0; reg->policy && i < reg->policy->n_repositories; i++)
        if (policy_retains(&reg->policy->repositories[i]))
            return true;
    return false;
}

// Of all that decides which rules run here in the registry. Never NULL, unless memory ended.
static void *rules_mark(const struct topology *t, const struct registry *reg)
{
    AUTO_BUF struct buf text;
    uint8_t hash[SHA256_BYTES];
    uintptr_t mark;
    buf_init(&text, 0);
    policy_put(&text, reg->policy);
    for (size_t i = 0; i < reg->n_replicas; i++)
        buf_printf(&text, " %s", t->regions[reg->replicas[i].region].name);
    if (text.err)
        return NULL;
    sha256(text.p, text.n, hash);
    memcpy(&mark, hash, sizeof mark);
    return (void *)(mark | 1);
}

// Looks into a registry when its rules changed, or (`full`) in any case; what it goes by is kept in
// `marks`.
static int registry_visit(struct retention *r, const struct topology *t, const struct registry *reg,
                          bool full, struct htab *marks)
{
    const void *was = NULL;
    void *mark = rules_mark(t, reg);
    if (!mark)
        return ERR_NOMEM;
    if (r->marks)
        was = htab_get(r->marks, reg->key, strlen(reg->key));
    int rc = htab_put(marks, reg->key, strlen(reg->key), mark);
    if (rc || (was == mark && !full))
        return rc;
    return registry_look(r, t, reg, was && was != mark);
}

// Walks all registries of the topology: after changes, which may come in series, not each time.
static int all_look(struct retention *r, const struct topology *t, bool full)
{
    struct catalogue_iter it = {0};
    const struct registry *reg;
    struct htab *marks = htab_new();
    int rc = marks ? 0 : ERR_NOMEM;
    while (!rc && (reg = topology_next(t, &it)))
        if (has_rules(reg))
            rc = registry_visit(r, t, reg, full, marks);
    if (rc) {
        htab_free(marks);
        return rc;
    }
    htab_free(r->marks);
    r->marks = marks;
    r->version = t->version;
    r->changed_ms = clock_mono_ms() + CHANGED_EVERY_MS;
    if (full)
        r->all_ms = clock_mono_ms() + ALL_EVERY_MS;
    return 0;
}

// --- what changed ---

static int touched_page(struct retention *r, const struct topology *t, bool *out_more)
{
    struct arena a;
    struct batch b;
    struct feed_touched *list;
    size_t n = 0;
    int64_t upto = r->touched;
    arena_init(&a, 0);
    batch_begin(&b, r);
    int rc = meta_feed_touched(r->meta, r->touched, TOUCHED_PAGE, &a, &list, &n, &upto);
    for (size_t i = 0; !rc && i < n; i++) {
        const struct registry *reg = topology_registry_by_key(t, list[i].registry);
        if (rules_of(r, t, reg, list[i].repository))
            rc = batch_ask(&b, reg, list[i].repository, clock_mono_ms() + SETTLE_MS);
    }
    rc = batch_end(&b, rc);
    arena_done(&a);
    if (rc)
        return rc;
    *out_more = upto > r->touched && r->touched >= 0;
    r->touched = upto;
    return 0;
}

static int touched_look(struct retention *r, const struct topology *t)
{
    bool more = true;
    int rc = 0;
    for (int i = 0; !rc && more && i < TOUCHED_PAGES_MAX; i++)
        rc = touched_page(r, t, &more);
    return rc;
}

void retention_schedule(void *ctx)
{
    struct retention *r = ctx;
    struct topology *t = snapshot_get(r->topology);
    if (!t)
        return;
    bool changed = t->version != r->version && clock_mono_ms() >= r->changed_ms;
    bool full = clock_mono_ms() >= r->all_ms;
    int rc = touched_look(r, t);
    if (!rc && (changed || full))
        rc = all_look(r, t, full);
    snapshot_unref(t);
    if (rc)
        log_warn("daemon: retention rules could not be scheduled: %s; it is tried again",
                 err_text(rc));
}

// --- one repository ---

static int64_t again_ms(const struct retention_policy *rules, const struct retention_done *done)
{
    if (done->next)
        return 0;
    if (done->n_manifests) // what hung on them goes next
        return AGAIN_MS;
    if (!rules->untagged_ms || rules->untagged_ms > DAY_MS)
        return DAY_MS;
    if (rules->untagged_ms < AGAIN_MS)
        return AGAIN_MS;
    return (int64_t)rules->untagged_ms;
}

// Entries of the registry were read and are not applied yet. The look at what changed has seen them
// when they were read, and does not see them again.
static bool is_unapplied(struct retention *r, const struct registry *reg)
{
    struct arena a;
    struct job *list;
    size_t n = 0;
    arena_init(&a, 0);
    int rc = meta_pending(r->meta, reg->key, 1, &a, &list, &n);
    arena_done(&a);
    return rc || n;
}

static void outcome(const struct retention_query *q, const struct retention_done *done,
                    struct task_step *s)
{
    if (done->n_tags || done->n_manifests)
        log_info(
            "daemon: retention of %s/%s: %zu tags and %zu manifests went, %zu stay, for a lock "
            "or because they changed",
            q->registry, q->repository, done->n_tags, done->n_manifests, done->n_kept);
    s->again_ms = again_ms(&q->policy->retention, done);
    snprintf(s->payload, sizeof s->payload, "%s", done->next ? done->next : RETENTION_FROM_START);
}

static void failure(struct retention *r, const struct registry *reg, int rc, struct task_step *s)
{
    char region[HOSTNAME_REGION_SIZE];
    struct arena a;
    arena_init(&a, 0);
    const char *closed = NULL;
    if (rc == ERR_BUSY)
        closed = meta_closed_why(r->meta, &a);
    if (closed)
        snprintf(s->reason, sizeof s->reason, "writes are closed: %s", closed);
    if (rc == ERR_BEHIND && meta_behind(r->meta, reg->key, region))
        snprintf(s->reason, sizeof s->reason,
                 "region %s runs a version that does not know deletion: upgrade it", region);
    arena_done(&a);
}

static int run(struct retention *r, const struct registry *reg, const char *repository,
               const struct repository_policy *policy, struct task_step *s)
{
    struct arena a;
    struct retention_done done;
    const struct retention_query q = {.registry = reg->key,
                                      .repository = repository,
                                      .policy = policy,
                                      .now_ms = clock_wall_ms(),
                                      .max = PER_STEP,
                                      .after = s->task->payload};
    arena_init(&a, 0);
    int rc = meta_retention_run(r->meta, &q, &a, &done);
    bool is_gone = rc == ERR_NOTFOUND; // or its first entry is not applied yet
    if (is_gone)
        rc = 0;
    else if (!rc)
        outcome(&q, &done, s);
    else
        failure(r, reg, rc, s);
    if (is_gone && is_unapplied(r, reg))
        s->again_ms = AGAIN_MS;
    else if (s->again_ms > UNAPPLIED_MS && is_unapplied(r, reg))
        s->again_ms = UNAPPLIED_MS;
    arena_done(&a);
    return rc;
}

int retention_step(void *ctx, struct task_step *s)
{
    struct retention *r = ctx;
    const char *repository = s->task->key + strlen(s->task->registry);
    int rc = 0;
    if (*repository != '/')
        return 0; // no task of ours
    repository++;
    struct topology *t = snapshot_get(r->topology);
    if (!t)
        return ERR_BUSY;
    const struct registry *reg = topology_registry_by_key(t, s->task->registry);
    const struct repository_policy *policy = rules_of(r, t, reg, repository);
    if (policy)
        rc = run(r, reg, repository, policy, s);
    snapshot_unref(t);
    return rc;
}
