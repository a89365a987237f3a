// SPDX-License-Identifier: Apache-2.0
// See retire.h.
#include "daemon/retire.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "config/repository.h"
#include "config/topology.h"
#include "store/meta.h"
#include "store/meta_delete.h"
#include "store/meta_usage.h"

#include <stdio.h>
#include <string.h>

#define PAGE 100 // manifests of one look
#define PAGES_MAX 50
#define BY "registry deleted"

void retire_init(struct retire *r, struct meta *meta, struct snapshot *topology, retire_due *due_ms,
                 void *ctx)
{
    *r = (struct retire){.meta = meta, .topology = topology, .due_ms = due_ms, .ctx = ctx};
}

// Gone from the topology, and its time has come?
static bool is_due(const struct retire *r, const char *key)
{
    struct topology *t = snapshot_get(r->topology);
    bool is_there = !t || topology_registry_by_key(t, key);
    snapshot_unref(t);
    if (is_there)
        return false;
    int64_t due_ms = r->due_ms(r->ctx, key);
    return due_ms >= 0 && clock_wall_ms() >= due_ms;
}

static bool has_content(const struct usage_row *row)
{
    return row->usage.manifests || row->usage.tags;
}

void retire_schedule(void *ctx)
{
    struct retire *r = ctx;
    struct arena a;
    struct usage_row *rows;
    size_t n = 0;
    arena_init(&a, 0);
    int rc = meta_usage_registries(r->meta, &a, &rows, &n);
    for (size_t i = 0; !rc && i < n; i++) {
        const struct task_new t = {
            .kind = TASK_RETIRE, .key = rows[i].registry, .registry = rows[i].registry};
        if (has_content(&rows[i]) && is_due(r, rows[i].registry))
            rc = meta_task_add(r->meta, &t);
    }
    arena_done(&a);
    if (rc)
        log_warn("daemon: content of deleted registries could not be looked for: %s; it is tried "
                 "again",
                 err_text(rc));
}

// ---- one manifest ----

static int unlock(const struct retire *r, const char *registry, const char *repository,
                  const struct manifest_detail *d)
{
    struct lock_request lock = {.registry = registry, .repository = repository, .by = BY};
    uint64_t stamp;
    int rc = meta_lock_set(r->meta, &lock, &stamp); // of the repository
    lock.digest = &d->digest;
    if (!rc)
        rc = meta_lock_set(r->meta, &lock, &stamp);
    lock.digest = NULL;
    for (size_t i = 0; !rc && i < d->n_tags; i++) {
        lock.tag = d->tags[i];
        rc = meta_lock_set(r->meta, &lock, &stamp);
    }
    return rc;
}

// *out_n: one more went. What a live index refers to goes after that.
static int delete_one(const struct retire *r, const char *registry, const char *repository,
                      const struct manifest_detail *d, struct arena *a, size_t *out_n)
{
    const struct delete_request q = {
        .registry = registry, .repository = repository, .digest = &d->digest, .by = BY};
    struct delete_result gone;
    int rc = meta_manifest_delete(r->meta, &q, a, &gone);
    if (rc == ERR_LOCKED) {
        rc = unlock(r, registry, repository, d);
        if (!rc)
            rc = meta_manifest_delete(r->meta, &q, a, &gone);
    }
    if (!rc)
        ++*out_n;
    if (rc == ERR_CONFLICT || rc == ERR_NOTFOUND)
        return 0;
    return rc;
}

// ---- one repository ----

// From `after` on; *out_last: where the page ended, if there may be more.
static int delete_page(const struct retire *r, const char *registry, const char *repository,
                       struct digest *after, bool *more, size_t *out_n)
{
    struct arena a;
    struct manifest_detail *list;
    size_t n = 0;
    arena_init(&a, 0);
    int rc = meta_manifests_list(r->meta, registry, repository, *more ? after : NULL, PAGE, &a,
                                 &list, &n);
    for (size_t i = 0; !rc && i < n; i++)
        rc = delete_one(r, registry, repository, &list[i], &a, out_n);
    *more = !rc && n == PAGE;
    if (*more)
        *after = list[n - 1].digest;
    arena_done(&a);
    return rc;
}

// Some of what is there. *out_n: how many went; 0: nothing more can go.
static int delete_some(const struct retire *r, const char *registry, const char *repository,
                       const struct task_step *s, size_t *out_n)
{
    struct digest after;
    bool more = false;
    *out_n = 0;
    for (int i = 0; i < PAGES_MAX && !task_stops(s); i++) {
        int rc = delete_page(r, registry, repository, &after, &more, out_n);
        if (rc || *out_n || !more)
            return rc;
    }
    return 0;
}

// The first repository after the one in the payload. "": there is none.
static int next_repository(const struct retire *r, const struct task_step *s, char *out, size_t cap)
{
    struct arena a;
    const char **names;
    size_t n = 0;
    const char *after = NULL;
    if (*s->task->payload)
        after = s->task->payload;
    arena_init(&a, 0);
    int rc = meta_repositories_list(r->meta, s->task->key, after, 1, &a, &names, &n);
    if (!rc)
        snprintf(out, cap, "%s", n ? names[0] : "");
    arena_done(&a);
    return rc;
}

int retire_step(void *ctx, struct task_step *s)
{
    const struct retire *r = ctx;
    char repository[REPOSITORY_NAME_MAX + 1];
    size_t n = 0;
    if (!is_due(r, s->task->key))
        return 0;
    int rc = next_repository(r, s, repository, sizeof repository);
    if (rc || !*repository)
        return rc;
    rc = delete_some(r, s->task->key, repository, s, &n);
    if (rc)
        return rc;
    if (n)
        log_info("daemon: registry %s was deleted: %zu manifests of %s went", s->task->key, n,
                 repository);
    else
        snprintf(s->payload, sizeof s->payload, "%s", repository);
    s->again_ms = 0;
    return 0;
}
