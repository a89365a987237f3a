// SPDX-License-Identifier: Apache-2.0
// Gets content from other regions over the ordinary registry API: manifests by digest, blobs with
// Range, going on where an earlier try stopped. Any region that holds the registry may give it, the
// origin first. On fetch workers.
//
// Invariants (design section 9)
//   4. Nothing is kept whose digest is not the one asked for; who sent it makes no difference.
//   6. A source that cannot be reached is left alone for a while, and never has all the workers.
#include "net/response_reader.h"
#include "replication/mender.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SOURCE_FIRST_MS 500
#define SOURCE_MAX_MS 15000
#define AWAY_LOOK_MS 500 // its first word wakes the jobs sooner
#define MANIFEST_FETCH_MAX (32u << 20)
// A descriptor's size is what its manifest's author wrote; the digest is what binds. So the ceiling
// is generous.
#define SIZE_SLACK (1ull << 30)

static const char *const manifest_types =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "*/*";

// --- sources ---

// When the source may be asked; 0: now. Under r->lock.
static int64_t source_from(const struct replicator *r, const struct peer *p, int64_t now)
{
    // 6: where there are others, one worker at least stays free of this one; a doubtful one gets
    // one at a time.
    unsigned most = UINT32_MAX;
    if (p->source_failures)
        most = 1;
    else if (r->n_peers > 1 && r->n_workers > 1)
        most = (unsigned)r->n_workers - 1;
    if (p->away)
        return now + AWAY_LOOK_MS;
    if (now < p->source_retry_mono)
        return p->source_retry_mono;
    if (p->source_busy >= most)
        return now + 200;
    return 0;
}

// May the source be asked now? Counts the request if so. Else *not_before takes the earliest time
// for another try, and *busy whether that is all that speaks against it.
static bool source_enter(struct replicator *r, struct peer *p, int64_t *not_before, bool *busy)
{
    pthread_mutex_lock(&r->lock);
    int64_t now = clock_mono_ms(), at = source_from(r, p, now);
    p->source_busy += !at;
    *busy = *busy || (at && !p->away && now >= p->source_retry_mono);
    pthread_mutex_unlock(&r->lock);
    if (at && (!*not_before || at < *not_before))
        *not_before = at;
    return !at;
}

bool sources_free(struct replicator *r, const struct topology *t, const struct registry *reg)
{
    int64_t now = clock_mono_ms();
    bool any = false;
    for (size_t i = 0; i < reg->n_replicas && !any; i++) {
        const struct peer *p = replicator_peer(r, t->regions[reg->replicas[i].region].name);
        pthread_mutex_lock(&r->lock);
        any = p && !source_from(r, p, now);
        pthread_mutex_unlock(&r->lock);
    }
    return any;
}

static void source_leave(struct replicator *r, struct peer *p, int rc)
{
    bool down = rc == ERR_UNREACHABLE || rc == ERR_TIMEOUT || rc == ERR_CRYPTO || rc == ERR_IO ||
                rc == ERR_CLOSED;
    pthread_mutex_lock(&r->lock);
    p->source_busy--;
    if (down) {
        p->source_retry_mono =
            clock_mono_ms() + wait_backoff_ms(p->source_failures, SOURCE_FIRST_MS, SOURCE_MAX_MS);
        p->source_failures++;
    } else if (!rc || rc == ERR_NOTFOUND) {
        p->source_failures = 0;
        p->source_retry_mono = 0;
    }
    pthread_mutex_unlock(&r->lock);
}

// Regions that may hold it, the origin first; never ourselves.
static size_t sources_list(struct worker *w, const struct topology *t, const struct registry *reg,
                           struct peer *out[TOPOLOGY_MAX_REGIONS])
{
    size_t n = 0;
    const char *origin = w->job.entry.origin;
    const struct region *o = topology_region(t, origin);
    struct peer *first = NULL;
    if (o && registry_replica(reg, o->index))
        first = replicator_peer(w->r, origin);
    if (first)
        out[n++] = first;
    for (size_t i = 0; i < reg->n_replicas && n < TOPOLOGY_MAX_REGIONS; i++) {
        struct peer *p = replicator_peer(w->r, t->regions[reg->replicas[i].region].name);
        if (p && p != first)
            out[n++] = p;
    }
    return n;
}

typedef int (*get_fn)(struct worker *w, const struct topology *t, const struct registry *reg,
                      struct peer *p, void *arg, char error[ERROR_TEXT_SIZE]);

struct search { // of one thing, source by source
    struct worker *w;
    unsigned n_absent, n_failed;
    // a source has enough to do with us; that is all
    bool busy;
    // of the source whose error is the worst
    int rc;
    // those that have not got it
    char absent[ERROR_TEXT_SIZE / 2];
};

static void search_absent(struct search *s, const struct peer *p)
{
    size_t n = strlen(s->absent);
    snprintf(s->absent + n, sizeof s->absent - n, "%s%s", n ? ", " : "", p->name);
    s->n_absent++;
}

// Nobody gave it. One that has not got it yet, or is busy, is no failure.
static int search_end(const struct search *s, char error[ERROR_TEXT_SIZE])
{
    if (s->n_failed)
        return s->rc;
    if (s->n_absent) {
        snprintf(error, ERROR_TEXT_SIZE, "content that it refers to is not there in %s", s->absent);
        return ERR_NOTFOUND;
    }
    if (s->busy)
        return ERR_BUSY;
    snprintf(error, ERROR_TEXT_SIZE, "%s: no region that has it can be reached",
             s->w->job.entry.origin);
    return ERR_UNREACHABLE;
}

// Asks one source after the other until one gives it. ERR_NOTFOUND: all that could be asked said
// that they have not got it. ERR_BUSY: see APPLY_BUSY. ERR_UNREACHABLE when none could be asked.
static int sources_try(struct worker *w, const struct topology *t, const struct registry *reg,
                       get_fn get, void *arg, int64_t *out_not_before, char error[ERROR_TEXT_SIZE])
{
    struct peer *sources[TOPOLOGY_MAX_REGIONS];
    struct search s = {.w = w};
    size_t n = sources_list(w, t, reg, sources);
    int64_t not_before = 0;
    for (size_t i = 0; i < n && !w->r->stopping; i++) {
        if (!source_enter(w->r, sources[i], &not_before, &s.busy))
            continue;
        char said[ERROR_TEXT_SIZE] = "";
        int rc = get(w, t, reg, sources[i], arg, said);
        source_leave(w->r, sources[i], w->own_fault ? ERR_CANCELED : rc);
        if (!rc)
            return 0;
        if (rc == ERR_NOTFOUND) {
            search_absent(&s, sources[i]);
            continue;
        }
        if (!s.n_failed || error_grade(rc) >= error_grade(s.rc)) {
            memcpy(error, said, sizeof said);
            s.rc = rc;
        }
        s.n_failed++;
        if (w->own_fault || rc == ERR_NOMEM) // no other source helps
            return rc;
    }
    if (not_before)
        *out_not_before = not_before;
    return search_end(&s, error);
}

static void target_format(char *out, size_t cap, const struct feed_entry *e, const char *kind,
                          const struct digest *d)
{
    char text[DIGEST_TEXT_SIZE];
    snprintf(out, cap, "/v2/%s/%s/%s", e->repository, kind, digest_format(d, text));
}

// --- manifests ---

static int manifest_get(struct worker *w, const struct topology *t, const struct registry *reg,
                        struct peer *p, void *arg, char error[ERROR_TEXT_SIZE])
{
    struct buf *out = arg, body;
    const struct feed_entry *e = &w->job.entry;
    char target[512];
    target_format(target, sizeof target, e, "manifests", &e->digest);
    int status = 0;
    int rc = peer_get(w->r, t, p->name, target, reg, manifest_types, MANIFEST_FETCH_MAX, &status,
                      &body, error);
    if (rc)
        return rc;
    struct digest d;
    if (status != 200) {
        if (status == 404)
            rc = ERR_NOTFOUND;
        else
            rc = ERR_PROTO;
        snprintf(error, ERROR_TEXT_SIZE, "%s: manifest: answered %d", p->name, status);
    } else if (digest_of(e->digest.alg, body.p, body.n, &d) || !digest_equal(&d, &e->digest)) {
        rc = ERR_DIGEST; // 4
        wrong_bytes(w, t, p, "manifest", &e->digest, error);
    }
    if (rc) {
        buf_done(&body);
        return rc;
    }
    *out = body;
    return 0;
}

int manifest_fetch(struct worker *w, const struct topology *t, const struct registry *reg,
                   struct buf *out, int64_t *out_not_before_mono, char error[ERROR_TEXT_SIZE])
{
    return sources_try(w, t, reg, manifest_get, out, out_not_before_mono, error);
}

// --- one flight per digest ---

static bool flight_find(const struct replicator *r, const struct digest *d)
{
    const struct flight *f = r->flights;
    while (f && !digest_equal(&f->digest, d))
        f = f->next;
    return f;
}

bool blob_in_flight(struct replicator *r, const struct digest *d)
{
    pthread_mutex_lock(&r->lock);
    bool is = flight_find(r, d);
    pthread_mutex_unlock(&r->lock);
    return is;
}

static bool worker_idle(const struct replicator *r)
{
    bool idle = false;
    for (size_t i = 0; i < r->n_workers; i++)
        idle = idle || !r->workers[i].busy;
    return idle;
}

// Waits while another worker fetches the same blob, unless that takes the last worker from the
// others (6): ERR_BUSY.
static int flight_enter(struct replicator *r, struct flight *f)
{
    int rc = 0;
    pthread_mutex_lock(&r->lock);
    while (!rc && flight_find(r, &f->digest)) {
        if (r->stopping)
            rc = ERR_CANCELED;
        else if (worker_idle(r))
            rc = 0;
        else
            rc = ERR_BUSY;
        if (!rc)
            wait_cond(&r->changed, &r->lock, 200);
    }
    if (!rc) {
        f->next = r->flights;
        r->flights = f;
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

static void flight_leave(struct replicator *r, struct flight *f)
{
    pthread_mutex_lock(&r->lock);
    struct flight **at = &r->flights;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

// --- blobs ---

struct blob_want {
    struct digest digest;
    // as the manifest says
    uint64_t size;
    struct blob_upload *u;
    // bytes of the job that come after this blob
    uint64_t left_after;
    // of all bytes that are here; NULL: of several, or of before
    struct peer *giver;
};

static void left_set(struct worker *w, const struct blob_want *b)
{
    uint64_t have = blob_upload_size(b->u);
    pthread_mutex_lock(&w->r->lock);
    w->bytes_left = b->left_after + (have < b->size ? b->size - have : 0);
    pthread_mutex_unlock(&w->r->lock);
}

// Our own disk did not take it.
static int own_failed(struct worker *w, const struct blob_want *b, int rc)
{
    w->own_fault = true;
    if (rc == ERR_NOSPACE)
        room_failed(w, &b->digest, b->size, blob_upload_size(b->u), b->left_after);
    return rc;
}

// The body into the file. 0 when it came whole.
static int blob_flow(struct worker *w, struct blob_want *b, struct response_reader *f)
{
    AUTO_FREE uint8_t *piece = mem_alloc(128 << 10);
    if (!piece)
        return ERR_NOMEM;
    ssize_t n;
    while ((n = response_reader_read(f, piece, 128 << 10, SOURCE_IDLE_MS)) > 0) {
        if (blob_upload_size(b->u) + (uint64_t)n > b->size + SIZE_SLACK)
            return ERR_TOOBIG;
        int rc = space_grow(&w->charge, (uint64_t)n);
        if (!rc)
            rc = blob_upload_write(b->u, piece, (size_t)n);
        if (rc)
            return own_failed(w, b, rc);
        space_spend(&w->charge, (uint64_t)n);
        left_set(w, b);
    }
    return (int)n;
}

static int blob_commit(struct worker *w, struct blob_want *b)
{
    uint64_t size;
    int rc = blob_upload_commit(b->u, &b->digest, &size);
    if (rc == ERR_DIGEST) // 4: what was kept of it is worth nothing
        blob_upload_truncate(b->u);
    else if (rc)
        return own_failed(w, b, rc);
    return rc;
}

static int blob_answered(struct worker *w, struct blob_want *b, struct peer *p,
                         struct response_reader *f, int status, uint64_t from)
{
    if (status < 0)
        return status;
    if (status == 200 && from) { // it gives the whole: begin again
        int rc = blob_upload_truncate(b->u);
        b->giver = p;
        if (rc)
            return rc;
        return blob_flow(w, b, f);
    }
    if (status == 200 || status == 206)
        return blob_flow(w, b, f);
    if (status == 416) // what we have is longer than what there is
        blob_upload_truncate(b->u);
    if (status == 404)
        return ERR_NOTFOUND;
    return ERR_PROTO;
}

static void blob_error(const struct worker *w, const struct peer *p, int rc, int status,
                       const char *message, char error[ERROR_TEXT_SIZE])
{
    if (w->own_fault)
        snprintf(error, ERROR_TEXT_SIZE, "%s cannot keep a blob: %s", w->r->o.region, err_text(rc));
    else if (rc == status)
        snprintf(error, ERROR_TEXT_SIZE, "%s: blob: %s", p->name,
                 *message ? message : err_text(rc));
    else if (rc == ERR_PROTO || rc == ERR_NOTFOUND)
        snprintf(error, ERROR_TEXT_SIZE, "%s: blob: answered %d", p->name, status);
    else
        snprintf(error, ERROR_TEXT_SIZE, "%s: blob: %s", p->name, err_text(rc));
}

static int blob_get_once(struct worker *w, const struct topology *t, const struct registry *reg,
                         struct peer *p, struct blob_want *b, char error[ERROR_TEXT_SIZE])
{
    char target[512];
    target_format(target, sizeof target, &w->job.entry, "blobs", &b->digest);
    struct dial d;
    struct response_reader *f = NULL;
    uint64_t from = blob_upload_size(b->u);
    int rc = peer_dial(w->r, t, p->name, target, reg, &d), status = 0;
    w->own_fault = false;
    if (from && b->giver != p)
        b->giver = NULL;
    else
        b->giver = p;
    if (from) {
        snprintf(d.range, sizeof d.range, "Range: bytes=%" PRIu64 "-", from);
        d.headers[d.q.n_headers++] = d.range;
    }
    d.q.idle_timeout_ms = SOURCE_IDLE_MS;
    if (!rc)
        rc = response_reader_open(w->r->o.fetcher, &d.q, &w->r->stopping, &f);
    if (!rc) {
        status = response_reader_status(f, PEER_ANSWER_MS);
        rc = blob_answered(w, b, p, f, status, from);
    }
    if (!rc)
        rc = blob_commit(w, b);
    if (rc)
        blob_error(w, p, rc, status, f ? response_reader_message(f) : "", error);
    response_reader_close(f);
    return rc;
}

// What does not give the digest is the source's fault only if all of it came from there: else it is
// asked for the whole.
static int blob_get(struct worker *w, const struct topology *t, const struct registry *reg,
                    struct peer *p, void *arg, char error[ERROR_TEXT_SIZE])
{
    struct blob_want *b = arg;
    int rc = blob_get_once(w, t, reg, p, b, error);
    if (rc == ERR_DIGEST && b->giver != p)
        rc = blob_get_once(w, t, reg, p, b, error);
    if (rc == ERR_DIGEST)
        wrong_bytes(w, t, p, "blob", &b->digest, error);
    return rc;
}

static int blob_get_any(struct worker *w, const struct topology *t, const struct registry *reg,
                        struct blob_want *b, int64_t *out_not_before, char error[ERROR_TEXT_SIZE])
{
    uint64_t size;
    int rc = blob_stat(w->r->o.blobs, &b->digest, &size);
    if (!rc && size < b->size) // it is cut, or its manifest says too much
        rc = blob_verify(w->r->o.blobs, &b->digest, 0, &w->r->stopping);
    if (rc == ERR_DIGEST) {
        log_error("replication: a blob in the store is damaged: %" PRIu64 " of %" PRIu64
                  " bytes; it is fetched again",
                  size, b->size);
        rc = ERR_NOTFOUND;
    }
    if (rc != ERR_NOTFOUND)
        return rc;
    rc = blob_partial_open(w->r->o.blobs, &b->digest, &b->u);
    if (rc)
        return rc;
    // All of it may be here since before a crash: then only the digest is left to see to.
    if (b->size && blob_upload_size(b->u) >= b->size)
        rc = blob_commit(w, b);
    else
        rc = ERR_NOTFOUND;
    if (rc == ERR_NOTFOUND || rc == ERR_DIGEST)
        rc = sources_try(w, t, reg, blob_get, b, out_not_before, error);
    if (rc == ERR_NOSPACE) // what cannot become whole holds no space
        blob_upload_drop(b->u);
    else
        blob_upload_close(b->u);
    return rc;
}

int blob_fetch(struct worker *w, const struct topology *t, const struct registry *reg,
               const struct digest *d, uint64_t size, int64_t *out_not_before_mono,
               char error[ERROR_TEXT_SIZE])
{
    struct blob_want b = {.digest = *d, .size = size};
    if (w->bytes_left > size)
        b.left_after = w->bytes_left - size;
    else
        b.left_after = 0;
    struct flight f = {.digest = *d};
    int rc = flight_enter(w->r, &f);
    if (rc)
        return rc;
    rc = blob_get_any(w, t, reg, &b, out_not_before_mono, error);
    flight_leave(w->r, &f);
    return rc;
}
