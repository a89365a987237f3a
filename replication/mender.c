// SPDX-License-Identifier: Apache-2.0
// The thread that looks at suspected blobs and mends damaged ones; see mender.h. The log says what
// it finds.
#include "replication/mender_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/exposition.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wait.h"
#include "store/publish.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define VERIFY_BYTES_PER_S (64u << 20)
#define MEND_MAX 64 // in one turn
#define LINKS_MAX 8 // repositories through which one blob is asked for
#define MEND_FIRST_MS 2000
#define MEND_MAX_MS 60000

int mender_suspect(struct mender *m, const char *by, const char *registry, const char *repository,
                   const struct digest *d)
{
    if (!by)
        by = "";
    pthread_mutex_lock(&m->lock);
    int rc = suspects_add(&m->suspects, by, registry, repository, d);
    pthread_cond_signal(&m->due);
    pthread_mutex_unlock(&m->lock);
    return rc;
}

void mender_source_is_back(struct mender *m)
{
    pthread_mutex_lock(&m->lock);
    m->source_is_back = true;
    pthread_cond_signal(&m->due);
    pthread_mutex_unlock(&m->lock);
}

// --- verifying ---

static void blob_judged(const struct suspect *s, int rc)
{
    char text[DIGEST_TEXT_SIZE];
    const char *by = s->by;
    if (!*by)
        by = "a reader here";
    digest_format(&s->digest, text);
    switch (rc) {
    case ERR_DIGEST:
        log_error("replication: blob %s of %s/%s is damaged on this disk, as %s found: it was set "
                  "aside, counts as absent, and is fetched anew from another region; look at the "
                  "disk",
                  text, s->registry, s->repository, by);
        return;
    case ERR_NOTFOUND:
        log_error("replication: blob %s of %s/%s is lost on this disk, as %s found: it is fetched "
                  "anew from another region; look at the disk",
                  text, s->registry, s->repository, by);
        return;
    case 0:
        log_warn(
            "replication: %s says that blob %s of %s/%s is damaged here: it was read and is whole",
            by, text, s->registry, s->repository);
        return;
    case ERR_CANCELED:
        return;
    default:
        log_error("replication: blob %s of %s/%s, which %s found damaged, cannot be read: %s", text,
                  s->registry, s->repository, by, err_text(rc));
    }
}

static enum verdict suspect_look(struct mender *m, const struct suspect *s)
{
    struct blob_here is;
    int rc = meta_blob_look(m->o.meta, s->registry, s->repository, &s->digest, &is);
    if (rc == ERR_NOTFOUND) {
        if (manifest_look(m, s))
            return VERDICT_DAMAGED;
        return VERDICT_WHOLE;
    }
    if (rc)
        return VERDICT_UNKNOWN;
    rc = blob_verify(m->o.blobs, &is.name, VERIFY_BYTES_PER_S, m->o.stop);
    if (rc == ERR_NOTFOUND && blob_damaged_note(m->o.blobs, &s->digest))
        log_warn("replication: a lost blob cannot be noted: it is fetched anew when it is asked "
                 "for again");
    blob_judged(s, rc);
    switch (rc) {
    case 0:
        return VERDICT_WHOLE;
    case ERR_DIGEST:
    case ERR_NOTFOUND:
        return VERDICT_DAMAGED;
    default: // it cannot be read
        return VERDICT_UNKNOWN;
    }
}

// Looks at one, so that what is known to be damaged is mended in between. true: one more is.
static bool suspects_look(struct mender *m)
{
    struct suspect s;
    if (*m->o.stop)
        return false;
    pthread_mutex_lock(&m->lock);
    bool any = suspects_first(&m->suspects, &s);
    pthread_mutex_unlock(&m->lock);
    if (!any)
        return false;
    enum verdict v = suspect_look(m, &s);
    pthread_mutex_lock(&m->lock);
    suspects_judge(&m->suspects, s.by, &s.digest, v);
    pthread_mutex_unlock(&m->lock);
    return v == VERDICT_DAMAGED;
}

// --- mending ---

struct mending {
    struct mender *m;
    const struct link_row *link;
    const struct digest *digest;
};

static bool may_wait(void *ctx)
{
    const struct mending *x = ctx;
    return !x->m->o.may_wait || x->m->o.may_wait(x->m->o.ctx);
}

// What came serves from now on, in place of what is damaged or lost.
static int published(void *ctx, const struct blob_name *name, uint64_t size)
{
    const struct mending *x = ctx;
    const struct lease_add add = {.registry = x->link->registry,
                                  .repository = x->link->repository,
                                  .digest = *x->digest,
                                  .published = name,
                                  .size = size};
    struct lease_result result;
    return blob_publish(x->m->o.blobs, x->m->o.meta, &add, &result);
}

void mender_want(struct mender *m, const struct topology *t, const struct registry *reg,
                 struct source *sources[TOPOLOGY_MAX_REGIONS], struct content_want *want)
{
    want->sources = sources;
    want->n_sources = m->o.sources(m->o.ctx, t, reg, sources, &want->max_running);
}

static int fetch(struct mender *m, const struct topology *t, const struct registry *reg,
                 const struct link_row *l, const struct digest *d, struct space_charge *charge,
                 char error[CONTENT_TEXT_SIZE])
{
    struct source *sources[TOPOLOGY_MAX_REGIONS];
    struct mending mending = {m, l, d};
    struct content_want want = {.registry = l->registry,
                                .repository = l->repository,
                                .digest = *d,
                                .size = l->size,
                                .charge = charge,
                                .published = published,
                                .may_wait = may_wait,
                                .ctx = &mending};
    mender_want(m, t, reg, sources, &want);
    struct content_outcome outcome;
    int rc = content_blob(m->o.content, &want, &outcome);
    if (*outcome.error)
        memcpy(error, outcome.error, sizeof outcome.error);
    else if (rc == ERR_UNREACHABLE)
        snprintf(error, CONTENT_TEXT_SIZE, "%s: no region that has it can be reached", m->o.region);
    return rc;
}

// Through one repository that links it. ERR_NOTFOUND: it cannot be asked for there.
static int mend_through(struct mender *m, const struct topology *t, const struct link_row *l,
                        const struct digest *d, char error[CONTENT_TEXT_SIZE])
{
    const struct registry *reg = topology_registry_by_key(t, l->registry);
    if (!reg)
        return ERR_NOTFOUND;
    struct space_charge charge = {0};
    int rc = room_take(m->o.room, l->size, &charge);
    if (rc == ERR_NOSPACE)
        room_say(m->o.room, l->registry, l->repository, l->size, error);
    if (!rc)
        rc = fetch(m, t, reg, l, d, &charge, error);
    space_return(&charge);
    if (rc == ERR_NOSPACE) // the damaged bytes themselves may be in the way
        (void)blob_damaged_release(m->o.blobs, d);
    return rc;
}

void mender_fault_add(struct mender *m, const char *registry, const char *text)
{
    struct faults *f = &m->turn;
    if (f->n == SAID_MAX)
        return;
    struct said *s = &f->of[f->n++];
    snprintf(s->registry, sizeof s->registry, "%s", registry);
    snprintf(s->text, sizeof s->text, "%s", text);
}

static void fault_add(struct mender *m, const struct link_row *l, const struct digest *d,
                      const char *error)
{
    char text[DIGEST_TEXT_SIZE], said[sizeof(((struct said *)0)->text)];
    snprintf(said, sizeof said,
             "blob %.19s of %s/%s is damaged or lost here and set aside: it is fetched anew; "
             "so far: %s",
             digest_format(d, text), l->registry, l->repository, error);
    mender_fault_add(m, l->registry, said);
}

static void mended_note(struct mender *m, const struct link_row *l, const struct digest *d)
{
    char text[DIGEST_TEXT_SIZE];
    log_info("replication: blob %s of %s/%s is whole again", digest_format(d, text), l->registry,
             l->repository);
    pthread_mutex_lock(&m->lock);
    m->n_mended++;
    suspects_forget(&m->suspects, d);
    pthread_mutex_unlock(&m->lock);
}

// Through one repository after the other.
static int mend_linked(struct mender *m, const struct topology *t, const struct link_row *links,
                       size_t n, const struct digest *d)
{
    char error[CONTENT_TEXT_SIZE] = "no region that has it can be asked";
    int rc = ERR_NOTFOUND;
    for (size_t i = 0; i < n && !*m->o.stop; i++) {
        rc = mend_through(m, t, &links[i], d, error);
        if (!rc)
            break;
    }
    if (rc)
        fault_add(m, &links[0], d, error);
    else
        mended_note(m, &links[0], d);
    return rc;
}

// As far as its length tells.
static bool is_whole(struct mender *m, const struct digest *d)
{
    struct blob_name name;
    uint64_t size;
    if (meta_blob_find(m->o.meta, d, &name, &size))
        return false;
    return blob_is_here(m->o.blobs, &name, size) == 0;
}

// true: nothing is left to do for this blob.
static bool mend_one(struct mender *m, const struct topology *t, const struct digest *d)
{
    struct arena a;
    struct link_row *links = NULL;
    size_t n = 0;
    if (is_whole(m, d)) // published, and still listed
        return blob_damaged_forget(m->o.blobs, d) == 0;
    arena_init(&a, 1 << 20);
    int rc = meta_links_of(m->o.meta, d, LINKS_MAX, &a, &links, &n);
    if (!rc && n)
        rc = mend_linked(m, t, links, n, d);
    else if (!rc)
        rc = blob_damaged_forget(m->o.blobs, d); // no repository links it: invariant 1
    arena_done(&a);
    return !rc;
}

// How many of the listed blobs are left to mend.
static size_t mend_all(struct mender *m, const struct topology *t, const struct digest *list,
                       size_t n)
{
    size_t left = 0;
    for (size_t i = 0; i < n && !*m->o.stop; i++)
        if (!mend_one(m, t, &list[i]))
            left++;
    return left;
}

static void mend_turn(struct mender *m)
{
    struct digest list[MEND_MAX];
    struct topology *t = snapshot_get(m->o.topology);
    size_t n = 0;
    m->turn.n = 0;
    pthread_mutex_lock(&m->lock);
    m->source_is_back = false;
    pthread_mutex_unlock(&m->lock);
    int rc = blob_damaged_list(m->o.blobs, list, MEND_MAX, &n);
    pthread_mutex_lock(&m->lock);
    m->n_damaged = n;
    m->n_manifests = m->manifests.n;
    pthread_mutex_unlock(&m->lock);
    // without a topology nobody knows whom to ask
    size_t left = t ? mend_all(m, t, list, n) : n;
    size_t manifests_left = t ? manifests_mend(m, t) : m->manifests.n;
    snapshot_unref(t);
    assert(left <= n);
    pthread_mutex_lock(&m->lock);
    m->n_damaged = left;
    m->n_manifests = manifests_left;
    m->said = m->turn;
    pthread_mutex_unlock(&m->lock);
    if (left || manifests_left || rc)
        m->n_failed++;
    else
        m->n_failed = 0;
    int64_t rest_ms = wait_backoff_ms(m->n_failed, MEND_FIRST_MS, MEND_MAX_MS);
    bool more = n == MEND_MAX && left < n; // behind those that were listed
    if (more)
        rest_ms = 0;
    m->turn_mono = clock_mono_ms() + rest_ms;
}

// Has a push brought what was damaged? Status is not to call it damaged for longer.
static bool mended_elsewhere(struct mender *m, size_t n_damaged)
{
    struct digest list[MEND_MAX];
    size_t n;
    if (!n_damaged)
        return false;
    int rc = blob_damaged_list(m->o.blobs, list, MEND_MAX, &n);
    return !rc && n < n_damaged;
}

static bool turn_due(struct mender *m)
{
    pthread_mutex_lock(&m->lock);
    size_t n = m->n_damaged, n_manifests = m->n_manifests;
    bool back = m->source_is_back;
    pthread_mutex_unlock(&m->lock);
    if ((n || n_manifests) && back)
        return true;
    if (clock_mono_ms() >= m->turn_mono)
        return true;
    return mended_elsewhere(m, n);
}

static void *mender_main(void *arg)
{
    struct mender *m = arg;
    pthread_setname_np(pthread_self(), "mender");
    while (!*m->o.stop) {
        if (suspects_look(m) || turn_due(m))
            mend_turn(m);
        pthread_mutex_lock(&m->lock);
        bool back = (m->n_damaged || m->n_manifests) && m->source_is_back;
        if (!*m->o.stop && !m->suspects.n && !back)
            wait_cond(&m->due, &m->lock, 1000);
        pthread_mutex_unlock(&m->lock);
    }
    return NULL;
}

// --- from outside ---

int mender_new(const struct mender_options *o, struct mender **out)
{
    struct mender *m = mem_zalloc(sizeof *m);
    if (!m)
        return ERR_NOMEM;
    m->o = *o;
    pthread_mutex_init(&m->lock, NULL);
    wait_cond_init(&m->due);
    *out = m;
    return 0;
}

int mender_start(struct mender *m)
{
    m->started = pthread_create(&m->thread, NULL, mender_main, m) == 0;
    if (!m->started)
        return ERR_NOMEM;
    return 0;
}

void mender_stop(struct mender *m)
{
    if (!m || !m->started)
        return;
    pthread_mutex_lock(&m->lock);
    pthread_cond_signal(&m->due);
    pthread_mutex_unlock(&m->lock);
    pthread_join(m->thread, NULL);
    m->started = false;
}

void mender_free(struct mender *m)
{
    if (!m)
        return;
    pthread_cond_destroy(&m->due);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

void mender_faults(struct mender *m, const char *registry, json_t *list)
{
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->said.n; i++)
        if (!registry || strcmp(m->said.of[i].registry, registry) == 0)
            json_array_append_new(list, json_string(m->said.of[i].text));
    size_t n = m->n_damaged + m->n_manifests;
    if (!registry && n > m->said.n && m->said.n == SAID_MAX)
        json_array_append_new(list, json_sprintf("%zu more blobs and manifests are damaged or lost "
                                                 "here",
                                                 n - SAID_MAX));
    pthread_mutex_unlock(&m->lock);
}

size_t mender_damaged(struct mender *m, char *out, size_t cap)
{
    pthread_mutex_lock(&m->lock);
    size_t n = m->n_damaged, n_manifests = m->n_manifests;
    pthread_mutex_unlock(&m->lock);
    if (n || n_manifests)
        snprintf(
            out, cap,
            "%zu blobs and %zu manifests are damaged or lost on this disk: they are not served "
            "and are fetched anew from other regions, blobs also mended by a push; look at "
            "the disk; `meridian status` on this node names them",
            n, n_manifests);
    return n + n_manifests;
}

void mender_metrics(struct mender *m, struct buf *out)
{
    pthread_mutex_lock(&m->lock);
    exposition_single(out, "meridian_blobs_damaged", "gauge",
                      "Blobs that are set aside and not mended yet.", (double)m->n_damaged);
    exposition_single(out, "meridian_manifests_damaged", "gauge",
                      "Manifests whose content is damaged and not mended yet.",
                      (double)m->n_manifests);
    exposition_single(out, "meridian_blobs_damaged_total", "counter",
                      "Blobs that were found damaged or lost.", (double)m->suspects.n_confirmed);
    exposition_single(out, "meridian_blobs_mended_total", "counter",
                      "Of these, fetched anew from another region.", (double)m->n_mended);
    exposition_single(out, "meridian_blobs_false_alarms_total", "counter",
                      "Blobs that another region called damaged, and that are whole.",
                      (double)m->suspects.n_false);
    pthread_mutex_unlock(&m->lock);
}
