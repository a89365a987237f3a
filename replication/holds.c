// SPDX-License-Identifier: Apache-2.0
// What this region holds, for another member of the registry, and copying ahead of a manifest:
//
//   POST /replication/v1/holds?registry=R&repository=N     body and answer: replication/holding.h
//   POST /replication/v1/ahead?registry=R&repository=N&digest=D&size=S[&later=1][&origin=O][&by=P]
//       The region that asks has this blob, and its client may come here next (without `later`),
//       or a manifest will: it is copied from there, under a lease and nothing more. 200: it is here already; 202: it is coming; 503: not
//       now, as when so many bytes wait for their manifests already (replication/ahead.h). With `origin`
//       a relay hands on what came from there; with `by` that relay will tell of it again, and until then it is
//       not copied (replication/relay.h).
//
//   POST /replication/v1/ahead?registry=R&repository=N&upload=ID[&later=1]
//       The same of an upload that still runs there: it is copied while its bytes come
//       (replication/upload_copy.h). Once it has ended the first form says which blob it is, with
//       `upload`.
//
// Both are for regions that hold the registry too. "Held" is what a GET of this repository would
// serve. On the work pool; nothing waits.
#include "replication/ahead.h"
#include "replication/gather.h"
#include "replication/holding.h"
#include "replication/peers.h"
#include "replication/relays.h"
#include "replication/replication_priv.h"
#include "replication/upload_copy.h"

#include "base/clock.h"
#include "base/err.h"
#include "store/publish.h"

#include <stdlib.h>
#include <string.h>

// so long a copy waits for one that another thread makes
#define AHEAD_MS 60000

struct holds_ask {
    struct replicator *r;
    const char *registry, *repository;
    // of `ahead`; origin: it is not `from`, a relay, that wrote it; by: who will tell of it again
    const char *from, *origin, *by;
    // NULL: none was named
    const char *upload;
    // n 0: it is not known yet
    struct digest digest;
    uint64_t size;
    bool later;
};

static bool blob_held(struct replicator *r, const struct holds_ask *a, struct holding *h)
{
    struct blob_here here;
    int rc = meta_blob_look(r->o.meta, a->registry, a->repository, &h->digest, &here);
    if (!rc)
        rc = blob_is_here(r->o.blobs, &here.name, here.size);
    h->has_size = true;
    if (!rc)
        h->size = here.size;
    return !rc;
}

static bool manifest_held(struct replicator *r, const struct holds_ask *a, struct holding *h)
{
    struct arena arena;
    struct manifest_row row;
    arena_init(&arena, 0);
    int rc =
        meta_manifest_get(r->o.meta, a->registry, a->repository, NULL, &h->digest, &arena, &row);
    arena_done(&arena);
    h->has_size = false;
    return !rc;
}

static bool held(struct replicator *r, const struct holds_ask *a, struct holding *h)
{
    switch (h->kind) {
    case CONTENT_BLOB:
        return blob_held(r, a, h);
    case CONTENT_MANIFEST:
        return manifest_held(r, a, h);
    }
    return false;
}

// ERR_INVAL: the question is malformed.
static int look(struct replicator *r, const struct holds_ask *a, struct bytes body, struct buf *out)
{
    const char *p = (const char *)body.p, *end = p + body.n;
    for (size_t n = 0; p < end; n++) {
        struct holding h;
        if (n == ELSEWHERE_ITEMS_MAX || holding_parse(&p, end, &h))
            return ERR_INVAL;
        if (held(r, a, &h))
            holding_format(&h, out);
    }
    return out->err;
}

static void holds_run(struct http_request *req, struct http_response *resp)
{
    const struct holds_ask *a = req->ctx;
    if (!life_enter(a->r->life)) {
        serve_refuse(req, resp, 503, "stopping");
        return;
    }
    AUTO_BUF struct buf out;
    buf_init(&out, HOLDINGS_TEXT_MAX);
    int rc = look(a->r, a, req->body, &out);
    life_leave(a->r->life);
    if (rc == ERR_INVAL)
        serve_refuse(req, resp, 400, "a line is no content: blob or manifest, and a digest");
    else if (rc || http_response_text(req, resp, 200, "%s", buf_cstr(&out)))
        serve_refuse(req, resp, 503, "no memory for the answer");
}

// What both routes ask about; NULL: answered.
static struct holds_ask *ask_new(struct replicator *r, struct http_request *req,
                                 const struct topology *t, const struct region *peer,
                                 struct http_plan *plan)
{
    const char *repository = http_query_get(req, "repository", 0);
    const struct registry *reg = shared_registry(r, t, peer, http_query_get(req, "registry", 0));
    if (!reg) {
        serve_refuse(req, &plan->response, 403, "registry: not one that both regions hold");
        return NULL;
    }
    if (!repository || !entry_repository_ok(repository)) {
        serve_refuse(req, &plan->response, 400, "repository: a repository name is needed");
        return NULL;
    }
    struct holds_ask *a = arena_alloc(&req->arena, sizeof *a);
    if (a) {
        a->r = r;
        a->registry = arena_strdup(&req->arena, reg->key);
        a->repository = repository;
        a->from = arena_strdup(&req->arena, peer->name);
        a->origin = a->by = NULL;
    }
    if (!a || !a->registry || !a->from) {
        serve_refuse(req, &plan->response, 503, err_text(ERR_NOMEM));
        return NULL;
    }
    return a;
}

void holds_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                 const struct region *peer, struct http_plan *plan)
{
    struct holds_ask *a = ask_new(r, req, t, peer, plan);
    if (!a)
        return;
    // the collected body and its answer
    if (req->arena.max_bytes)
        req->arena.max_bytes += 2 * (size_t)HOLDINGS_TEXT_MAX;
    plan->kind = HTTP_PLAN_COLLECT;
    plan->body_max = HOLDINGS_TEXT_MAX;
    plan->run = holds_run;
    plan->ctx = a;
    plan->pool = r->o.pool;
}

// --- a copy ahead ---

int ahead_copy(struct replicator *r, const struct ahead_copy *c)
{
    const struct ahead_key key = {.registry = c->registry,
                                  .repository = c->repository,
                                  .digest = c->digest,
                                  .origin = c->origin};
    struct elsewhere_item item = {
        .kind = CONTENT_BLOB, .digest = c->digest, .size = c->size, .held = ELSEWHERE_HELD};
    const struct elsewhere_want want = {.registry = c->registry,
                                        .repository = c->repository,
                                        .items = &item,
                                        .n_items = 1,
                                        .later = c->later,
                                        .until_mono = clock_mono_ms() + AHEAD_MS};
    snprintf(item.holder, sizeof item.holder, "%s", c->from);
    if (gather_coming(r->gather, c->registry, c->repository, &c->digest))
        return 0;
    int rc = ahead_note(r->ahead, &key, c->size);
    bool noted = !rc;
    if (rc && rc != ERR_EXISTS) // noted, and lost since: it counts once
        return rc;
    rc = gather_begin(r->gather, &want, noted, c->hands_on);
    if (rc && noted)
        ahead_end(r->ahead, &key, rc);
    return rc;
}

static struct ahead_copy copy_of(const struct holds_ask *a)
{
    struct ahead_copy c = {.registry = a->registry,
                           .repository = a->repository,
                           .from = a->from,
                           .origin = a->from,
                           .digest = a->digest,
                           .size = a->size,
                           .later = a->later,
                           .hands_on = !a->origin};
    if (a->origin)
        c.origin = a->origin;
    return c;
}

// A relay will tell of it; until then it is expected. false: it is copied like any other.
static bool is_expected(const struct holds_ask *a)
{
    const struct ahead_key key = {.registry = a->registry,
                                  .repository = a->repository,
                                  .digest = a->digest,
                                  .origin = a->from};
    int64_t ms = relay_patience_ms(a->r->o.relay_patience_ms, a->size);
    return a->by &&
           !expected_add(relays_expected(a->r->relays), &key, a->size, clock_mono_ms() + ms);
}

static int ahead_start(const struct holds_ask *a)
{
    const struct ahead_copy c = copy_of(a);
    if (is_expected(a))
        return 0;
    int rc = ahead_copy(a->r, &c);
    if (!rc) // from now on it is coming
        (void)expected_take(relays_expected(a->r->relays), a->registry, a->repository, &a->digest,
                            NULL);
    return rc;
}

// What is here already may be news to the others of the group.
static void here_already(const struct holds_ask *a)
{
    const struct ahead_key key = {.registry = a->registry,
                                  .repository = a->repository,
                                  .digest = a->digest,
                                  .origin = a->from};
    if (!a->origin && !a->by)
        relays_hand_on(a->r, &key, a->size, a->later);
}

static struct upload_copy_key upload_of(const struct holds_ask *a)
{
    return (struct upload_copy_key){.registry = a->registry,
                                    .repository = a->repository,
                                    .origin = a->from,
                                    .upload = a->upload};
}

// The blob is here, or is coming by its digest; then as the copy of its upload, if there is one.
static int blob_ahead(const struct holds_ask *a, bool *out_here)
{
    struct holding h = {.kind = CONTENT_BLOB, .digest = a->digest};
    const struct upload_copy_key key = upload_of(a);
    int rc = 0;
    *out_here = blob_held(a->r, a, &h);
    if (!*out_here && a->upload)
        upload_copy_known(a->r->copies, &key, &a->digest, a->size);
    if (!*out_here)
        rc = ahead_start(a);
    bool unwanted = *out_here || rc;
    if (unwanted && a->upload)
        upload_copy_drop(a->r->copies, &key);
    if (*out_here)
        here_already(a);
    return rc;
}

static int upload_ahead(const struct holds_ask *a)
{
    const struct upload_copy_key key = upload_of(a);
    return upload_copy_begin(a->r->copies, &key);
}

static void ahead_run(struct http_request *req, struct http_response *resp)
{
    const struct holds_ask *a = req->ctx;
    int rc = ERR_CLOSED;
    bool here = false, entered = life_enter(a->r->life);
    if (entered && a->digest.n)
        rc = blob_ahead(a, &here);
    else if (entered)
        rc = upload_ahead(a);
    if (entered)
        life_leave(a->r->life);
    if (rc)
        serve_refuse(req, resp, 503, err_text(rc));
    else if (here)
        http_response_text(req, resp, 200, "it is here\n");
    else
        http_response_text(req, resp, 202, "it is coming\n");
}

// The parameter, where it names another member of the registry; else NULL. On the arena.
static const char *member_of(const struct topology *t, const struct registry *reg,
                             struct http_request *req, const char *parameter)
{
    const char *name = http_query_get(req, parameter, 0);
    const struct region *region = NULL;
    if (name)
        region = topology_region(t, name);
    if (!region || !registry_replica(reg, region->index))
        return NULL;
    return arena_strdup(&req->arena, name);
}

static bool number_of(struct http_request *req, const char *key, uint64_t max, uint64_t *out)
{
    const char *text = http_query_get(req, key, 0);
    if (!text || !*text || strlen(text) > 18 || strspn(text, "0123456789") != strlen(text))
        return false;
    *out = strtoull(text, NULL, 10);
    return *out <= max;
}

// A blob without bytes has the digest of nothing.
static bool size_can_be(const struct digest *d, uint64_t size)
{
    struct digest nothing;
    if (size)
        return true;
    return !digest_of((enum digest_alg)d->alg, "", 0, &nothing) && digest_equal(d, &nothing);
}

// False: answered.
static bool blob_read(struct http_request *req, struct holds_ask *a, struct http_plan *plan)
{
    const char *digest = http_query_get(req, "digest", 0);
    if (!digest && a->upload)
        return true;
    if (digest && !digest_parse(digest, strlen(digest), &a->digest) &&
        number_of(req, "size", INT64_MAX, &a->size) && size_can_be(&a->digest, a->size))
        return true;
    serve_refuse(req, &plan->response, 400, "digest and size: both are needed, of one blob");
    return false;
}

void ahead_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                 const struct region *peer, struct http_plan *plan)
{
    struct holds_ask *a = ask_new(r, req, t, peer, plan);
    if (!a)
        return;
    const struct registry *reg = topology_registry_by_key(t, a->registry);
    if (!reg || !r->o.fence(t, reg, a->repository, r->o.region)) {
        serve_refuse(req, &plan->response, 403,
                     "the repository's fence leaves this region outside");
        return;
    }
    a->upload = http_query_get(req, "upload", 0);
    if (a->upload && !upload_copy_id_ok(a->upload, a->from)) {
        serve_refuse(req, &plan->response, 400, "upload: not one of the region that asks");
        return;
    }
    if (!blob_read(req, a, plan))
        return;
    a->later = http_query_get(req, "later", 0) != NULL;
    a->origin = member_of(t, reg, req, "origin");
    a->by = member_of(t, reg, req, "by");
    plan->kind = HTTP_PLAN_RUN;
    plan->run = ahead_run;
    plan->ctx = a;
    plan->pool = r->o.pool;
}
