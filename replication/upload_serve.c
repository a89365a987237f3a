// SPDX-License-Identifier: Apache-2.0
// An upload that runs here, for a region that copies it ahead:
//
//   GET /replication/v1/upload?registry=R&repository=N&upload=ID
//       Its bytes from the beginning, as they come, until a commit makes a blob of it: then the
//       answer ends. It is cut off when the upload is dropped, when a part is taken back that was
//       sent, when nothing comes for QUIET_MS, and when the topology gives that region no right to it
//       any more. 404: there is no such upload in that repository.
//
// Nothing of it is verified, and no client gets any of it: only regions that hold the registry ask,
// and they publish nothing before the commit here tells them the digest. The upload's file says how
// far it is (store/blob.h), whichever process writes to it. On the pool.
#include "replication/replication_priv.h"
#include "replication/response_producer.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

// of one look
#define PIECE_BYTES (256u << 10)
#define LOOK_MS 25
#define QUIET_MS 60000

struct upload_out {
    struct replicator *r;
    const char *registry, *repository, *upload, *peer;
    // by which the peer may read it
    uint64_t topology_version;
    char who[128];
    struct blob_reader *reader;
    uint64_t sent;
    int64_t grew_mono;
    // all of it was sent, and it is a blob
    bool whole;
    struct arena arena;
};

static void upload_free(void *ctx)
{
    struct upload_out *s = ctx;
    blob_reader_close(s->reader);
    arena_done(&s->arena);
    free(s);
}

// Appends what can be read beyond what was sent. False: it cannot be.
static bool piece_add(struct upload_out *s, uint64_t size, struct buf *out)
{
    size_t n = PIECE_BYTES, got = 0;
    if (size - s->sent < n)
        n = (size_t)(size - s->sent);
    if (!n)
        return true;
    char *to = buf_room(out, n);
    if (!to || blob_reader_read(s->reader, s->sent, to, n, &got))
        return false;
    out->n += got;
    s->sent += got;
    s->grew_mono = clock_mono_ms();
    return got == n;
}

// NULL: the registry is not one that both regions hold.
static const struct registry *registry_shared_of(struct replicator *r, const struct topology *t,
                                                 const struct region *peer, const char *key)
{
    if (!peer || peer->sealed)
        return NULL;
    return shared_registry(r, t, peer, key);
}

// The region may still read it. What another version of the topology has changed is judged anew.
static bool is_allowed(struct upload_out *s)
{
    struct replicator *r = s->r;
    struct topology *t = snapshot_get(r->o.topology);
    bool allowed = t != NULL;
    if (t && t->version != s->topology_version) {
        const struct registry *reg =
            registry_shared_of(r, t, topology_region(t, s->peer), s->registry);
        allowed = reg && r->o.fence(t, reg, s->repository, s->peer);
        s->topology_version = t->version;
    }
    snapshot_unref(t);
    return allowed;
}

static bool upload_produce(void *ctx, struct buf *out, bool *out_end)
{
    struct upload_out *s = ctx;
    enum blob_growth growth;
    int rc = blob_follow_look(s->reader, &growth);
    uint64_t size = blob_reader_size(s->reader);
    bool lost = rc || growth == BLOB_IS_DROPPED || size < s->sent;
    bool quiet = clock_mono_ms() - s->grew_mono > QUIET_MS;
    if (lost || !is_allowed(s) || !piece_add(s, size, out)) {
        *out_end = true;
        return false;
    }
    if (s->sent < size)
        return true;
    s->whole = growth == BLOB_IS_WHOLE;
    *out_end = s->whole || quiet;
    return false;
}

static bool upload_whole(void *ctx)
{
    const struct upload_out *s = ctx;
    return s->whole;
}

static const struct response_producer_ops upload_ops = {.produce = upload_produce,
                                                        .free_ctx = upload_free,
                                                        .whole = upload_whole,
                                                        .buffer_bytes = PIECE_BYTES + 1,
                                                        .tick_ms = LOOK_MS};

// ERR_NOTFOUND also for one of another repository.
static int upload_open(struct upload_out *s, struct arena *a)
{
    struct upload_row row;
    int rc = meta_upload_get(s->r->o.meta, s->upload, a, &row);
    if (rc)
        return rc;
    if (strcmp(row.registry, s->registry) != 0 || strcmp(row.repository, s->repository) != 0)
        return ERR_NOTFOUND;
    return blob_follow_open(s->r->o.blobs, s->upload, &s->reader);
}

static void upload_run(struct http_request *req, struct http_response *resp)
{
    struct upload_out *s = req->ctx;
    int rc = ERR_CLOSED;
    if (life_enter(s->r->life)) {
        rc = upload_open(s, &req->arena);
        s->grew_mono = clock_mono_ms();
        if (!rc)
            rc = response_producer_start(s->r, &upload_ops, s, s->who, "application/octet-stream",
                                         resp);
        life_leave(s->r->life);
    }
    if (!rc)
        req->ctx = NULL; // the answer's now
    else if (rc == ERR_NOTFOUND || rc == ERR_INVAL)
        serve_refuse(req, resp, 404, "upload: none of that name runs in the repository");
    else
        serve_refuse(req, resp, 503, err_text(rc));
}

static void upload_done(struct http_request *req)
{
    if (req->ctx)
        upload_free(req->ctx);
}

static int upload_ask(struct upload_out *s, const char *registry, const char *repository,
                      const char *upload, const char *peer)
{
    s->registry = arena_strdup(&s->arena, registry);
    s->repository = arena_strdup(&s->arena, repository);
    s->upload = arena_strdup(&s->arena, upload);
    s->peer = arena_strdup(&s->arena, peer);
    if (!s->registry || !s->repository || !s->upload || !s->peer)
        return ERR_NOMEM;
    int n = snprintf(s->who, sizeof s->who, "upload %s %s", peer, upload);
    if (n < 0 || (size_t)n >= sizeof s->who)
        return ERR_TOOBIG; // no id is so long
    return 0;
}

void upload_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                  const struct region *peer, struct http_plan *plan)
{
    const char *repository = http_query_get(req, "repository", 0);
    const char *upload = http_query_get(req, "upload", 0);
    const struct registry *reg = shared_registry(r, t, peer, http_query_get(req, "registry", 0));
    if (!reg) {
        serve_refuse(req, &plan->response, 403, "registry: not one that both regions hold");
        return;
    }
    if (!upload || !repository || !entry_repository_ok(repository)) {
        serve_refuse(req, &plan->response, 400, "repository and upload: both are needed");
        return;
    }
    if (!r->o.fence(t, reg, repository, peer->name)) {
        serve_refuse(req, &plan->response, 403,
                     "the repository's fence leaves that region outside");
        return;
    }
    struct upload_out *s = mem_zalloc(sizeof *s);
    if (!s) {
        serve_refuse(req, &plan->response, 503, err_text(ERR_NOMEM));
        return;
    }
    s->r = r;
    s->topology_version = t->version;
    arena_init(&s->arena, 8192);
    int rc = upload_ask(s, reg->key, repository, upload, peer->name);
    if (rc) {
        serve_refuse(req, &plan->response, 400, err_text(rc));
        upload_free(s);
        return;
    }
    plan->kind = HTTP_PLAN_RUN;
    plan->run = upload_run;
    plan->done = upload_done;
    plan->ctx = s;
    plan->pool = r->o.pool;
}
