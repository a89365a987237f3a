// SPDX-License-Identifier: Apache-2.0
// The thread that verifies suspected blobs and mends damaged ones; see mender.h. It fetches like a
// worker that has no job; the log says what it finds.
#include "replication/mender.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/exposition.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SUSPECTS_MAX 32
#define SUSPECTS_OF_PEER 8
#define VERIFY_BYTES_PER_S (64u << 20)
#define LOOKED_MAX 64 // what was looked at lately is not looked at again, whoever asks
#define LOOKED_MS 600000
#define ALARM_REST_MS 10000 // after a claim that was not so; doubled each time
#define ALARM_REST_MAX_MS 3600000
#define MEND_MAX 64 // in one turn
#define LINKS_MAX 8 // repositories through which one blob is asked for
#define MEND_FIRST_MS 2000
#define MEND_MAX_MS 60000
#define SAID_MAX 8 // sentences in status

struct suspect {
    // NULL: found here
    struct peer *by;
    char registry[64], repository[256];
    struct digest digest;
};

struct looked {
    struct digest digest;
    int64_t at_mono;
};

struct faults { // what is to be mended, in words
    size_t n;
    char text[SAID_MAX][ERROR_TEXT_SIZE + 160];
};

struct mender {
    struct replicator *r;
    pthread_t thread;
    bool started;
    // the mender's own: no job, but names of what is fetched
    struct worker w;

    // Under r->lock.

    // the first is being looked at
    struct suspect suspects[SUSPECTS_MAX];
    size_t n_suspects;
    struct looked looked[LOOKED_MAX];
    // of the last turn
    struct faults said;
    // known to be
    size_t n_damaged;
    uint64_t n_found, n_mended, n_false;

    // The thread's own.
    struct faults turn;
    // turns that left something, one after the other
    unsigned n_failed;
    unsigned n_returns;
    int64_t turn_mono;
};

// --- suspicion ---

static bool waits_already(const struct mender *m, const struct digest *d)
{
    for (size_t i = 0; i < m->n_suspects; i++)
        if (digest_equal(&m->suspects[i].digest, d))
            return true;
    return false;
}

static bool looked_lately(const struct mender *m, const struct digest *d)
{
    int64_t now = clock_mono_ms();
    for (size_t i = 0; i < LOOKED_MAX; i++)
        if (digest_equal(&m->looked[i].digest, d) && now - m->looked[i].at_mono < LOOKED_MS)
            return true;
    return false;
}

static bool peer_may(const struct mender *m, const struct peer *by)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_suspects; i++)
        n += m->suspects[i].by == by;
    return n < SUSPECTS_OF_PEER && clock_mono_ms() >= by->alarms_from_mono;
}

int mender_suspect(struct mender *m, struct peer *by, const char *registry, const char *repository,
                   const struct digest *d)
{
    struct suspect s = {.by = by, .digest = *d};
    int a = snprintf(s.registry, sizeof s.registry, "%s", registry);
    int b = snprintf(s.repository, sizeof s.repository, "%s", repository);
    if (a >= (int)sizeof s.registry || b >= (int)sizeof s.repository)
        return ERR_TOOBIG;
    int rc = 0;
    pthread_mutex_lock(&m->r->lock);
    if (by && !peer_may(m, by))
        rc = ERR_FULL;
    else if (waits_already(m, d) || looked_lately(m, d))
        rc = 0;
    else if (m->n_suspects == SUSPECTS_MAX)
        rc = ERR_FULL;
    else
        m->suspects[m->n_suspects++] = s;
    pthread_cond_broadcast(&m->r->changed);
    pthread_mutex_unlock(&m->r->lock);
    return rc;
}

static bool suspect_first(struct mender *m, struct suspect *out)
{
    pthread_mutex_lock(&m->r->lock);
    bool any = m->n_suspects > 0;
    if (any)
        *out = m->suspects[0];
    pthread_mutex_unlock(&m->r->lock);
    return any;
}

enum suspicion { FALSE_ALARM, CONFIRMED, UNKNOWN };

// It was looked at. CONFIRMED: it is damaged, or lost.
static void suspect_end(struct mender *m, const struct suspect *s, enum suspicion found)
{
    struct peer *by = s->by;
    pthread_mutex_lock(&m->r->lock);
    memmove(m->suspects, m->suspects + 1, --m->n_suspects * sizeof m->suspects[0]);
    struct looked *oldest = &m->looked[0];
    for (size_t i = 1; i < LOOKED_MAX; i++)
        if (m->looked[i].at_mono < oldest->at_mono)
            oldest = &m->looked[i];
    *oldest = (struct looked){s->digest, clock_mono_ms()};
    m->n_found += found == CONFIRMED;
    if (by && found == CONFIRMED) {
        by->n_false_alarms = 0;
    } else if (by && found == FALSE_ALARM) {
        unsigned shift = 10;
        if (by->n_false_alarms < 10)
            shift = by->n_false_alarms;
        int64_t rest = (int64_t)ALARM_REST_MS << shift;
        by->alarms_from_mono =
            clock_mono_ms() + (rest < ALARM_REST_MAX_MS ? rest : ALARM_REST_MAX_MS);
        by->n_false_alarms++;
        m->n_false++;
    }
    pthread_mutex_unlock(&m->r->lock);
}

// --- verifying ---

static void blob_judged(const struct suspect *s, int rc)
{
    char text[DIGEST_TEXT_SIZE];
    const char *by = "a reader here";
    if (s->by)
        by = s->by->name;
    digest_format(&s->digest, text);
    if (rc == ERR_DIGEST)
        log_error("replication: blob %s of %s/%s is damaged on this disk, as %s found: it was set "
                  "aside, counts as "
                  "absent, and is fetched anew from another region; look at the disk",
                  text, s->registry, s->repository, by);
    else if (rc == ERR_NOTFOUND)
        log_error("replication: blob %s of %s/%s is lost on this disk, as %s found: it is fetched "
                  "anew from another "
                  "region; look at the disk",
                  text, s->registry, s->repository, by);
    else if (!rc || rc == ERR_BUSY)
        log_warn(
            "replication: %s says that blob %s of %s/%s is damaged here: it was read and is whole",
            by, text, s->registry, s->repository);
    else if (rc != ERR_CANCELED)
        log_error("replication: blob %s of %s/%s, which %s found damaged, cannot be read: %s", text,
                  s->registry, s->repository, by, err_text(rc));
}

// A manifest's content stands in the metadata, whose pages are judged by SQLite: only said.
static bool manifest_damaged(struct mender *m, const struct suspect *s)
{
    struct arena a;
    struct manifest_row row;
    struct digest is;
    char text[DIGEST_TEXT_SIZE];
    arena_init(&a, 64 << 20);
    int rc =
        meta_manifest_get(m->r->o.meta, s->registry, s->repository, NULL, &s->digest, &a, &row);
    bool damaged =
        !rc && (digest_of((enum digest_alg)s->digest.alg, row.content.p, row.content.n, &is) ||
                !digest_equal(&is, &s->digest));
    arena_done(&a);
    if (damaged)
        log_error("replication: manifest %s of %s/%s is damaged in the metadata: stop this region "
                  "and restore meta.db, "
                  "or take meta.db away: the other regions fill a new one",
                  digest_format(&s->digest, text), s->registry, s->repository);
    return damaged;
}

static enum suspicion suspect_look(struct mender *m, const struct suspect *s)
{
    struct replicator *r = m->r;
    uint64_t size;
    int rc = meta_link_get(r->o.meta, s->registry, s->repository, &s->digest, &size);
    if (rc == ERR_NOTFOUND) {
        if (manifest_damaged(m, s))
            return CONFIRMED;
        return FALSE_ALARM;
    }
    if (rc)
        return UNKNOWN;
    rc = blob_verify(r->o.blobs, &s->digest, VERIFY_BYTES_PER_S, &r->stopping);
    if (rc == ERR_NOTFOUND && blob_damaged_note(r->o.blobs, &s->digest))
        log_warn("replication: a lost blob cannot be noted: it is fetched anew when it is asked "
                 "for again");
    blob_judged(s, rc);
    if (rc == ERR_DIGEST || rc == ERR_NOTFOUND)
        return CONFIRMED;
    if (rc) // it cannot be read, or is another file by now
        return UNKNOWN;
    return FALSE_ALARM;
}

// One, so that what is known to be damaged is mended in between. True: one more is.
static bool suspects_look(struct mender *m)
{
    struct suspect s;
    if (m->r->stopping || !suspect_first(m, &s))
        return false;
    enum suspicion found = suspect_look(m, &s);
    suspect_end(m, &s, found);
    return found == CONFIRMED;
}

// --- mending ---

// Through one repository that links it. ERR_NOTFOUND: it cannot be asked for there.
static int mend_through(struct mender *m, const struct topology *t, const struct link_row *l,
                        const struct digest *d, char error[ERROR_TEXT_SIZE])
{
    struct worker *w = &m->w;
    const struct registry *reg = topology_registry(t, l->registry);
    int64_t not_before = 0;
    if (!reg)
        return ERR_NOTFOUND;
    w->own_fault = false;
    w->lacks = 0;
    w->job = (struct job){
        .entry = {.origin = m->r->o.region, .registry = l->registry, .repository = l->repository}};
    int rc = room_take(w, l->size);
    if (rc)
        room_say(w, error);
    if (!rc)
        rc = blob_fetch(w, t, reg, d, l->size, &not_before, error);
    space_return(&w->charge);
    if (rc == ERR_NOSPACE) // the damaged bytes themselves may be in the way
        (void)blob_damaged_release(m->r->o.blobs, d);
    return rc;
}

static void fault_add(struct mender *m, const struct link_row *l, const struct digest *d,
                      const char *error)
{
    char text[DIGEST_TEXT_SIZE];
    struct faults *f = &m->turn;
    if (f->n < SAID_MAX)
        snprintf(f->text[f->n++], sizeof f->text[0],
                 "blob %.19s of %s/%s is damaged or lost here and set aside: it is fetched anew; "
                 "so far: %s",
                 digest_format(d, text), l->registry, l->repository, error);
}

// It may be damaged again: then it is looked at again, however soon.
static void mended_note(struct mender *m, const struct digest *d)
{
    pthread_mutex_lock(&m->r->lock);
    m->n_mended++;
    for (size_t i = 0; i < LOOKED_MAX; i++)
        if (digest_equal(&m->looked[i].digest, d))
            m->looked[i] = (struct looked){0};
    pthread_mutex_unlock(&m->r->lock);
}

// true: nothing is left to do for this blob.
static bool mend_one(struct mender *m, const struct topology *t, const struct digest *d)
{
    struct arena a;
    struct link_row *links = NULL;
    size_t n = 0;
    uint64_t size;
    char error[ERROR_TEXT_SIZE] = "no region that has it can be asked", text[DIGEST_TEXT_SIZE];
    if (blob_stat(m->r->o.blobs, d, &size) == 0) // published, and still listed
        return blob_damaged_forget(m->r->o.blobs, d) == 0;
    arena_init(&a, 1 << 20);
    int rc = meta_links_of(m->r->o.meta, d, LINKS_MAX, &a, &links, &n);
    if (!rc && !n) {
        rc = blob_damaged_forget(m->r->o.blobs, d); // nobody wants it any more
    } else if (!rc) {
        rc = ERR_NOTFOUND;
        for (size_t i = 0; rc && i < n && !m->r->stopping; i++)
            rc = mend_through(m, t, &links[i], d, error);
        if (rc)
            fault_add(m, &links[0], d, error);
        else
            log_info("replication: blob %s of %s/%s is whole again", digest_format(d, text),
                     links[0].registry, links[0].repository);
        if (!rc)
            mended_note(m, d);
    }
    arena_done(&a);
    return !rc;
}

static void mend_turn(struct mender *m)
{
    struct digest list[MEND_MAX];
    size_t n = 0, left = 0;
    struct topology *t = snapshot_get(m->r->o.topology);
    int rc = 0;
    if (t)
        rc = blob_damaged_list(m->r->o.blobs, list, MEND_MAX, &n);
    m->turn.n = 0;
    pthread_mutex_lock(&m->r->lock);
    m->n_damaged = n;
    m->n_returns = m->r->n_returns;
    pthread_mutex_unlock(&m->r->lock);
    for (size_t i = 0; i < n && !m->r->stopping; i++)
        left += !mend_one(m, t, &list[i]);
    snapshot_unref(t);
    pthread_mutex_lock(&m->r->lock);
    m->n_damaged = left;
    m->said = m->turn;
    pthread_mutex_unlock(&m->r->lock);
    if (left || rc)
        m->n_failed = m->n_failed + 1;
    else
        m->n_failed = 0;
    bool more = n == MEND_MAX && left < n;
    m->turn_mono =
        clock_mono_ms() + (more ? 0 : wait_backoff_ms(m->n_failed, MEND_FIRST_MS, MEND_MAX_MS));
}

// Somebody pushed what was damaged: status is not to call it so for longer.
static bool mended_elsewhere(struct mender *m, size_t n_damaged)
{
    struct digest list[MEND_MAX];
    size_t n;
    return n_damaged && blob_damaged_list(m->r->o.blobs, list, MEND_MAX, &n) == 0 && n < n_damaged;
}

static bool turn_due(struct mender *m)
{
    pthread_mutex_lock(&m->r->lock);
    size_t n = m->n_damaged;
    bool back = n && m->n_returns != m->r->n_returns; // a region that may give it
    pthread_mutex_unlock(&m->r->lock);
    return back || clock_mono_ms() >= m->turn_mono || mended_elsewhere(m, n);
}

static void *mender_main(void *arg)
{
    struct mender *m = arg;
    struct replicator *r = m->r;
    pthread_setname_np(pthread_self(), "mender");
    while (!r->stopping) {
        if (suspects_look(m) || turn_due(m))
            mend_turn(m);
        pthread_mutex_lock(&r->lock);
        if (!r->stopping && !m->n_suspects)
            wait_cond(&r->changed, &r->lock, 1000);
        pthread_mutex_unlock(&r->lock);
    }
    return NULL;
}

// --- from outside ---

void replicator_suspect(struct replicator *r, const char *registry, const char *repository,
                        const struct digest *d)
{
    if (r && !r->stopping)
        // if too many wait: when it is missed again
        (void)mender_suspect(r->mender, NULL, registry, repository, d);
}

int mender_start(struct replicator *r, struct mender **out)
{
    struct mender *m = mem_zalloc(sizeof *m);
    if (!m)
        return ERR_NOMEM;
    m->r = r;
    m->w.r = r;
    *out = m;
    m->started = pthread_create(&m->thread, NULL, mender_main, m) == 0;
    if (m->started)
        return 0;
    return ERR_NOMEM;
}

void mender_stop(struct mender *m)
{
    if (m && m->started)
        pthread_join(m->thread, NULL);
    if (m)
        m->started = false;
}

void mender_free(struct mender *m)
{
    free(m);
}

void mender_faults(struct mender *m, json_t *list)
{
    if (!m)
        return;
    pthread_mutex_lock(&m->r->lock);
    for (size_t i = 0; i < m->said.n; i++)
        json_array_append_new(list, json_string(m->said.text[i]));
    if (m->n_damaged > m->said.n && m->said.n == SAID_MAX)
        json_array_append_new(
            list, json_sprintf("%zu more blobs are damaged or lost here", m->n_damaged - SAID_MAX));
    pthread_mutex_unlock(&m->r->lock);
}

size_t replicator_damaged(struct replicator *r, char *out, size_t cap)
{
    struct mender *m = NULL;
    if (r)
        m = r->mender;
    if (!m)
        return 0;
    pthread_mutex_lock(&r->lock);
    size_t n = m->n_damaged;
    if (n)
        snprintf(out, cap,
                 "%zu blobs are damaged or lost on this disk: they count as absent and are fetched "
                 "anew from other "
                 "regions, or mended by a push; look at the disk and at the log%s%s",
                 n, m->said.n ? "; " : "", m->said.n ? m->said.text[0] : "");
    pthread_mutex_unlock(&r->lock);
    return n;
}

void mender_metrics(struct mender *m, struct buf *out)
{
    if (!m)
        return;
    struct replicator *r = m->r;
    pthread_mutex_lock(&r->lock);
    exposition_single(out, "meridian_blobs_damaged", "gauge",
                      "Blobs that are set aside and not mended yet.", (double)m->n_damaged);
    exposition_single(out, "meridian_blobs_damaged_total", "counter",
                      "Blobs that were found damaged or lost.", (double)m->n_found);
    exposition_single(out, "meridian_blobs_mended_total", "counter",
                      "Of these, fetched anew from another region.", (double)m->n_mended);
    exposition_single(out, "meridian_blobs_false_alarms_total", "counter",
                      "Blobs that another region called damaged, and that are whole.",
                      (double)m->n_false);
    exposition_family(out, "meridian_replication_wrong_bytes_total", "counter",
                      "Contents of a region that were not what their digest says.");
    for (size_t i = 0; i < r->n_peers; i++) {
        exposition_begin(out, "meridian_replication_wrong_bytes_total");
        exposition_label(out, "region", r->peers[i]->name);
        struct source_view v;
        source_look(r->peers[i]->source, &v);
        exposition_value(out, (double)v.n_wrong);
    }
    pthread_mutex_unlock(&r->lock);
}
