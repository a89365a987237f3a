// SPDX-License-Identifier: Apache-2.0
// What a manifest that is put lacks here, fetched from other members of the registry; see gather.h.
// It is gone through by levels: the manifest's own references, then those of its children that lack
// too, and so on. Each level is one question to all members. Blobs are fetched once all levels are
// known, so that nothing is fetched for a push that is refused; then the children are put, the
// deepest first.
//
// Invariants
//   1. Nothing is put and no byte of a blob is fetched before each content that lacks was found, or
//      is a child that nobody has.
//   2. A child is put only after all that it refers to.
#include "registry/gather.h"

#include "registry/registry_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define GATHER_TRIES 4
// contents of children, and what is parsed from them
#define GATHER_ARENA_MAX (64u << 20)

struct child { // a manifest that came from elsewhere
    struct digest digest;
    struct bytes content;
    struct manifest parsed;
};

struct walk {
    struct op *op;
    struct arena arena;
    int64_t until_mono;
    // all that lacks, level after level
    struct elsewhere_item *items;
    size_t n_items;
    // of this level, the first
    size_t level;
    struct child *children;
    size_t n_children;
    // children that nobody has
    size_t n_nowhere;
    // something was fetched
    bool came;
    // the members that cannot be asked
    char silent[CONTENT_TEXT_SIZE];
    char error[CONTENT_TEXT_SIZE];
};

// --- answers ---

static void not_now(struct op *op, struct http_response *resp, const char *why)
{
    oci_error(op->req, resp, 503, OCI_UNAVAILABLE, NULL, "%s", why);
    answer_header(op, resp, "Retry-After", "5");
}

static void absent(struct walk *w, const struct elsewhere_item *item, struct http_response *resp)
{
    char text[DIGEST_TEXT_SIZE];
    struct op *op = w->op;
    digest_format(&item->digest, text);
    if (*w->silent) {
        oci_error(op->req, resp, 503, OCI_UNAVAILABLE, text,
                  "it refers to %s, which is not in region %s, and %s cannot be asked now: try "
                  "again",
                  text, op->s->region, w->silent);
        answer_header(op, resp, "Retry-After", "5");
        return;
    }
    oci_error(op->req, resp, 404, OCI_MANIFEST_BLOB_UNKNOWN, text,
              "it refers to %s, which is not in this repository, in any region", text);
}

static void quota_full(struct op *op, struct http_response *resp)
{
    struct usage_over over;
    int rc = meta_quota_look(op->s->meta, op->registry, op->route.name, &op->limits, 1, &over);
    if (rc == ERR_QUOTA)
        quota_refused(op, resp, &over);
    else
        oci_error(op->req, resp, 403, OCI_DENIED, NULL,
                  "what it refers to does not fit into the quota");
}

// A step came to nothing.
static void failed(struct walk *w, int rc, struct http_response *resp)
{
    struct op *op = w->op;
    switch (rc) {
    case ERR_CANCELED:
        not_now(op, resp, "this region is being restarted: try again");
        return;
    case ERR_TIMEOUT:
        not_now(op, resp,
                "what it refers to is being copied from another region, which takes longer than a "
                "request may: try again");
        return;
    case ERR_TOOBIG:
        oci_error(op->req, resp, 503, OCI_UNAVAILABLE, NULL,
                  "more of what it refers to went to other regions than one request may fetch: try "
                  "again once replication has caught up, or push to one region");
        answer_header(op, resp, "Retry-After", "30");
        return;
    case ERR_QUOTA:
        quota_full(op, resp);
        return;
    case ERR_UNREACHABLE:
    case ERR_PROTO:
    case ERR_CRYPTO:
    case ERR_DIGEST:
        oci_error(op->req, resp, 503, OCI_UNAVAILABLE, NULL,
                  "what it refers to is in another region, and could not be copied: %s: try again",
                  w->error);
        answer_header(op, resp, "Retry-After", "5");
        return;
    default:
        answer_error(op, resp, rc, "gathering a manifest's content");
    }
}

// --- what lacks ---

// 0: it is here; ERR_NOTFOUND.
static int look_here(struct walk *w, enum content_kind kind, const struct digest *d)
{
    struct op *op = w->op;
    struct manifest_row row;
    struct blob_here here;
    struct arena a;
    if (kind == CONTENT_BLOB)
        return meta_blob_look(op->s->meta, op->registry, op->route.name, d, &here);
    arena_init(&a, 0);
    int rc = meta_manifest_get(op->s->meta, op->registry, op->route.name, NULL, d, &a, &row);
    arena_done(&a);
    return rc;
}

static bool is_noted(const struct walk *w, enum content_kind kind, const struct digest *d)
{
    for (size_t i = 0; i < w->n_items; i++)
        if (w->items[i].kind == kind && digest_equal(&w->items[i].digest, d))
            return true;
    return false;
}

static int note_ref(struct walk *w, const struct manifest_ref *ref)
{
    enum content_kind kind = CONTENT_BLOB;
    if (ref->kind == REF_MANIFEST)
        kind = CONTENT_MANIFEST;
    else if (ref->kind != REF_BLOB)
        return 0; // it need not be here
    if (is_noted(w, kind, &ref->digest))
        return 0;
    int rc = look_here(w, kind, &ref->digest);
    if (rc != ERR_NOTFOUND)
        return rc;
    if (w->n_items == ELSEWHERE_ITEMS_MAX)
        return ERR_TOOBIG;
    w->items[w->n_items++] =
        (struct elsewhere_item){.kind = kind, .digest = ref->digest, .size = ref->size};
    return 0;
}

static int note_refs(struct walk *w, const struct manifest_ref *refs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int rc = note_ref(w, &refs[i]);
        if (rc)
            return rc;
    }
    return 0;
}

// --- one level ---

static struct elsewhere_want want_of(struct walk *w, struct elsewhere_item *items, size_t n)
{
    return (struct elsewhere_want){.registry = w->op->registry,
                                   .repository = w->op->route.name,
                                   .items = items,
                                   .n_items = n,
                                   .until_mono = w->until_mono};
}

// Where the level's contents are. False: answered, since one of them is nowhere to be had.
static bool level_find(struct walk *w, struct http_response *resp)
{
    const struct elsewhere *e = w->op->s->elsewhere;
    struct elsewhere_want want = want_of(w, w->items + w->level, w->n_items - w->level);
    int rc = e->ops->ask(e->ctx, &want, w->silent);
    if (rc) {
        failed(w, rc, resp);
        return false;
    }
    for (size_t i = w->level; i < w->n_items; i++) {
        const struct elsewhere_item *item = &w->items[i];
        if (item->held != ELSEWHERE_NOWHERE)
            continue;
        if (item->kind == CONTENT_BLOB || *w->silent) {
            absent(w, item, resp);
            return false;
        }
        w->n_nowhere++; // a child: where the repository allows it, it may stay away
    }
    return true;
}

// Fetches those of that kind that are held elsewhere; their copies with the outcome are in *out.
static int fetch(struct walk *w, enum content_kind kind, size_t from, struct elsewhere_item **out,
                 size_t *out_n)
{
    const struct elsewhere *e = w->op->s->elsewhere;
    size_t n = 0;
    struct elsewhere_item *list =
        arena_alloc(&w->arena, (w->n_items - from + 1) * sizeof w->items[0]);
    if (!list)
        return ERR_NOMEM;
    for (size_t i = from; i < w->n_items; i++)
        if (w->items[i].kind == kind && w->items[i].held != ELSEWHERE_NOWHERE)
            list[n++] = w->items[i];
    struct elsewhere_want want = want_of(w, list, n);
    int rc = 0;
    if (n)
        rc = e->ops->fetch(e->ctx, &want, w->error);
    w->came = w->came || n;
    *out = list;
    *out_n = n;
    return rc;
}

// A step failed. ERR_NOTFOUND: who had it has lost it since, so all is looked for again; or a region
// that cannot be asked has not got it either.
static enum gathered step_failed(struct walk *w, int rc, const struct elsewhere_item *list,
                                 size_t n, struct http_response *resp)
{
    if (rc != ERR_NOTFOUND) {
        failed(w, rc, resp);
        return GATHER_ANSWERED;
    }
    for (size_t i = 0; i < n; i++) {
        if (list[i].rc != ERR_NOTFOUND || list[i].held != ELSEWHERE_PERHAPS)
            continue;
        absent(w, &list[i], resp);
        return GATHER_ANSWERED;
    }
    return GATHER_AGAIN;
}

// An index and an image may leave their media type to the header that brought them.
static const char *kind_of(const json_t *root)
{
    const char *own = json_string_value(json_object_get(root, "mediaType"));
    if (own)
        return own;
    if (json_object_get(root, "manifests"))
        return "application/vnd.oci.image.index.v1+json";
    return "application/vnd.oci.image.manifest.v1+json";
}

static int child_parse(struct walk *w, struct child *c)
{
    struct diag diag;
    json_t *root =
        json_loadb((const char *)c->content.p, c->content.n, JSON_REJECT_DUPLICATES, NULL);
    diag_init(&diag);
    int rc = manifest_parse(c->content, kind_of(root), &w->arena, &diag, &c->parsed);
    diag_done(&diag);
    json_decref(root);
    if (rc == ERR_INVAL || rc == ERR_UNSUPPORTED) {
        snprintf(w->error, sizeof w->error, "it is no manifest");
        return ERR_PROTO; // the region that gave it took it as one
    }
    return rc;
}

static int child_take(struct walk *w, const struct elsewhere_item *item)
{
    struct child *c = &w->children[w->n_children];
    c->digest = item->digest;
    c->content = bytes_of(arena_copy(&w->arena, item->body.p, item->body.n), item->body.n);
    if (!c->content.p)
        return ERR_NOMEM;
    int rc = child_parse(w, c);
    if (!rc)
        w->n_children++;
    return rc;
}

// The level's children, and what they refer to as the next level. GATHER_NOTHING: go on.
static enum gathered level_descend(struct walk *w, struct http_response *resp)
{
    struct elsewhere_item *list = NULL;
    size_t n = 0, first = w->n_children, next = w->n_items;
    int rc = fetch(w, CONTENT_MANIFEST, w->level, &list, &n);
    for (size_t i = 0; i < n; i++) {
        if (!rc)
            rc = child_take(w, &list[i]);
        buf_done(&list[i].body);
    }
    w->level = next;
    for (size_t i = first; i < w->n_children && !rc; i++)
        rc = note_refs(w, w->children[i].parsed.refs, w->children[i].parsed.n_refs);
    if (rc)
        return step_failed(w, rc, list, n, resp);
    return GATHER_NOTHING;
}

// --- the end ---

static enum gathered blobs_fetch(struct walk *w, struct http_response *resp)
{
    struct elsewhere_item *list = NULL;
    size_t n = 0;
    int rc = fetch(w, CONTENT_BLOB, 0, &list, &n);
    if (rc)
        return step_failed(w, rc, list, n, resp);
    return GATHER_NOTHING;
}

// Invariant 2: the deepest were noted last.
static int children_put(struct walk *w)
{
    struct op *op = w->op;
    for (size_t i = w->n_children; i-- > 0;) {
        const struct child *c = &w->children[i];
        const struct manifest_put p = {.registry = op->registry,
                                       .repository = op->route.name,
                                       .digest = c->digest,
                                       .media_type = c->parsed.media_type,
                                       .content = c->content,
                                       .refs = c->parsed.refs,
                                       .n_refs = c->parsed.n_refs,
                                       .by = op->principal,
                                       .limits = &op->limits};
        struct put_result result;
        int rc = manifest_put_charged(op, &p, &result);
        if (rc)
            return rc;
    }
    return 0;
}

// Level by level, until nothing more lacks. GATHER_NOTHING: all is found.
static enum gathered levels_find(struct walk *w, struct http_response *resp)
{
    for (unsigned depth = 0; w->level < w->n_items; depth++) {
        if (depth == GATHER_DEPTH) {
            failed(w, ERR_TOOBIG, resp);
            return GATHER_ANSWERED;
        }
        if (!level_find(w, resp))
            return GATHER_ANSWERED;
        enum gathered how = level_descend(w, resp);
        if (how != GATHER_NOTHING)
            return how;
    }
    return GATHER_NOTHING;
}

static enum gathered walk(struct walk *w, struct http_response *resp,
                          const struct manifest_ref *refs, size_t n_refs)
{
    int rc = note_refs(w, refs, n_refs);
    if (rc) {
        failed(w, rc, resp);
        return GATHER_ANSWERED;
    }
    if (!w->n_items && w->op->n_gathers > 1) // whatever the store lacks, it is none of these
        return GATHER_NOTHING;
    enum gathered how = levels_find(w, resp);
    if (how == GATHER_NOTHING)
        how = blobs_fetch(w, resp);
    if (how != GATHER_NOTHING)
        return how;
    rc = children_put(w);
    if (rc && rc != ERR_NOTFOUND) {
        failed(w, rc, resp);
        return GATHER_ANSWERED;
    }
    if (w->n_nowhere && !w->came)
        return GATHER_NOTHING;
    return GATHER_AGAIN; // a child that lacks is looked for once more, now that the rest is here
}

enum gathered gather(struct op *op, struct http_response *resp, const struct manifest_ref *refs,
                     size_t n_refs)
{
    if (!op->s->elsewhere || op->sole_replica)
        return GATHER_NOTHING;
    bool first = !op->gather_until;
    if (first)
        op->gather_until = clock_mono_ms() + GATHER_MS;
    if (first && op->s->waiting) {
        http_response_again(resp, op->s->waiting);
        return GATHER_ANSWERED;
    }
    if (op->req->hurried || op->n_gathers == GATHER_TRIES) {
        not_now(op, resp,
                "what it refers to went to another region, and too much is being copied "
                "from there: try again");
        return GATHER_ANSWERED;
    }
    op->n_gathers++;
    struct walk w = {.op = op, .until_mono = op->gather_until};
    arena_init(&w.arena, GATHER_ARENA_MAX);
    w.items = arena_alloc(&w.arena, ELSEWHERE_ITEMS_MAX * sizeof w.items[0]);
    w.children = arena_alloc(&w.arena, ELSEWHERE_ITEMS_MAX * sizeof w.children[0]);
    enum gathered how = GATHER_ANSWERED;
    if (w.items && w.children)
        how = walk(&w, resp, refs, n_refs);
    else
        failed(&w, ERR_NOMEM, resp);
    arena_done(&w.arena);
    return how;
}
