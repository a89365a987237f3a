// SPDX-License-Identifier: Apache-2.0
// What hangs on a tag: the manifests of an index, and those that refer to any of them by their
// subject, in the order in which they can be put. What the target has is read from there, so that an
// import that goes on asks the source for little. On the lanes; see import_priv.h.
#include "cli/import_priv.h"

#include "base/err.h"
#include "base/mem.h"
#include "cli/import_words.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 8
#define NODES_MAX 20000
// of the manifests that hang on one tag; a batch of tags is in memory at once
#define TREE_MAX_BYTES (16u << 20)
#define CONFIG_MAX_BYTES (8u << 20)
#define KEPT_MAX_BYTES (64u << 20)
#define PATH_SIZE 1024

struct tree {
    struct import *im;
    const struct repository_names *names;
    struct root *r;
    // digests that are in `nodes` or on their way there
    struct htab *seen;
    size_t bytes;
};

// ---- a manifest ----

// The media type of an answer, without parameters.
static void type_of(const struct fetch_result *res, char out[MEDIA_TYPE_SIZE])
{
    *out = 0;
    if (!fetch_result_header(res, "Content-Type", out, MEDIA_TYPE_SIZE))
        *out = 0;
    out[strcspn(out, "; \t")] = 0;
}

static int wrong_digest(const struct digest *got, char why[IMPORT_WHY_SIZE])
{
    char text[DIGEST_TEXT_SIZE];
    snprintf(why, IMPORT_WHY_SIZE, "the source's bytes have another digest: %s",
             digest_format(got, text));
    return ERR_CRYPTO;
}

static int digest_judge(const struct fetch_result *res, const struct digest *wanted,
                        char why[IMPORT_WHY_SIZE])
{
    struct digest got;
    int rc = digest_of(wanted->alg, res->body.p, res->body.n, &got);
    if (rc)
        return rc;
    if (!digest_equal(&got, wanted))
        return wrong_digest(&got, why);
    return 0;
}

// From the target (ERR_NOTFOUND: it has it not), or from the source.
static int manifest_get(struct tree *t, bool from_target, const char *reference,
                        struct fetch_result *res, char why[IMPORT_WHY_SIZE])
{
    char path[PATH_SIZE];
    const char *name = t->names->from;
    if (from_target)
        name = t->names->to;
    snprintf(path, sizeof path, "/v2/%s/manifests/%s", name, reference);
    int rc;
    if (from_target)
        rc = target_expect(&t->im->target,
                           &(struct target_request){.url = path,
                                                    .repository = name,
                                                    .headers = {"Accept: " MANIFEST_TYPES},
                                                    .max_bytes = MANIFEST_MAX_BYTES},
                           200, 404, res, why);
    else
        rc = source_ask(t->im->source,
                        &(struct source_request){.path = path,
                                                 .repository = name,
                                                 .accept = MANIFEST_TYPES,
                                                 .max_bytes = MANIFEST_MAX_BYTES},
                        res, why);
    if (!rc && res->status == 404) {
        snprintf(why, IMPORT_WHY_SIZE, "the source has no manifest %.140s", reference);
        return ERR_NOTFOUND;
    }
    return rc;
}

static const char *what_is_wrong(struct root *r, const struct diag *d)
{
    AUTO_FREE char *text = diag_text(d);
    if (!text)
        return "it is no manifest";
    text[strcspn(text, "\n")] = 0;
    return arena_printf(&r->arena, "%.300s", text);
}

// Adds a node whose bytes are known. Its references are read; what is wrong with them is in `why`.
static int node_add(struct tree *t, struct node n, const void *p, size_t size, const char *type)
{
    struct root *r = t->r;
    struct diag d;
    if (r->n_nodes == NODES_MAX || size > TREE_MAX_BYTES - t->bytes)
        return ERR_TOOBIG;
    t->bytes += size;
    if (r->n_nodes == r->cap_nodes) {
        size_t cap = r->cap_nodes ? 2 * r->cap_nodes : 16;
        struct node *nodes = mem_realloc(r->nodes, cap * sizeof *nodes);
        if (!nodes)
            return ERR_NOMEM;
        r->nodes = nodes;
        r->cap_nodes = cap;
    }
    void *copy = arena_copy(&r->arena, p, size);
    if (!copy)
        return ERR_NOMEM;
    n.content = bytes_of(copy, size);
    n.media_type = arena_strdup(&r->arena, type);
    diag_init(&d);
    int rc = manifest_parse(n.content, type, &r->arena, &d, &n.m);
    if (rc == ERR_NOMEM) {
        diag_done(&d);
        return rc;
    }
    if (rc)
        n.why = what_is_wrong(r, &d);
    else
        n.media_type = n.m.media_type;
    diag_done(&d);
    r->nodes[r->n_nodes++] = n;
    return 0;
}

// ---- the tree ----

static int tree_add(struct tree *t, const struct digest *digest, bool referrer, unsigned depth,
                    char why[IMPORT_WHY_SIZE]);

// All children of what was read. One that the source lacks is left out: an index may name images
// that nobody has, and the target judges it.
static int children_add(struct tree *t, const struct manifest *m, unsigned depth,
                        char why[IMPORT_WHY_SIZE])
{
    int rc = 0;
    for (size_t i = 0; i < m->n_refs && !rc; i++) {
        if (m->refs[i].kind != REF_MANIFEST)
            continue;
        rc = tree_add(t, &m->refs[i].digest, false, depth + 1, why);
        if (rc == ERR_NOTFOUND)
            rc = 0;
    }
    return rc;
}

static int node_take(struct tree *t, struct node n, const void *p, size_t size, const char *type,
                     unsigned depth, char why[IMPORT_WHY_SIZE])
{
    struct arena scratch;
    struct diag d;
    struct manifest m;
    arena_init(&scratch, TREE_MAX_BYTES);
    diag_init(&d);
    int rc = 0;
    if (!manifest_parse(bytes_of(p, size), type, &scratch, &d, &m))
        rc = children_add(t, &m, depth, why);
    diag_done(&d);
    arena_done(&scratch);
    if (!rc)
        rc = node_add(t, n, p, size, type);
    if (rc == ERR_TOOBIG)
        snprintf(why, IMPORT_WHY_SIZE, "more hangs on it than %d manifests or %u MiB of them",
                 NODES_MAX, TREE_MAX_BYTES >> 20);
    return rc;
}

static int seen_before(struct tree *t, const struct digest *digest, bool *out)
{
    int rc = htab_put(t->seen, digest, digest_key_bytes(digest), t);
    *out = rc == ERR_EXISTS;
    if (*out)
        return 0;
    return rc;
}

static int tree_add(struct tree *t, const struct digest *digest, bool referrer, unsigned depth,
                    char why[IMPORT_WHY_SIZE])
{
    char text[DIGEST_TEXT_SIZE], type[MEDIA_TYPE_SIZE];
    struct fetch_result res;
    bool seen;
    int rc = seen_before(t, digest, &seen);
    if (rc || seen)
        return rc;
    if (depth > DEPTH_MAX) {
        snprintf(why, IMPORT_WHY_SIZE, "indexes in indexes, more than %d deep", DEPTH_MAX);
        return ERR_TOOBIG;
    }
    digest_format(digest, text);
    struct node n = {.digest = *digest, .referrer = referrer, .there = true};
    rc = manifest_get(t, true, text, &res, why);
    if (rc == ERR_NOTFOUND) {
        fetch_result_done(&res);
        n.there = false;
        rc = manifest_get(t, false, text, &res, why);
    }
    if (!rc)
        rc = digest_judge(&res, digest, why);
    if (!rc) {
        type_of(&res, type);
        rc = node_take(t, n, res.body.p, res.body.n, type, depth, why);
    }
    fetch_result_done(&res);
    return rc;
}

// The tag's own manifest, which the look at it may have kept.
static int root_add(struct tree *t, char why[IMPORT_WHY_SIZE])
{
    struct root *r = t->r;
    if (!r->content)
        return tree_add(t, &r->digest, false, 0, why);
    bool seen;
    int rc = seen_before(t, &r->digest, &seen);
    if (rc)
        return rc;
    return node_take(t, (struct node){.digest = r->digest}, r->content, r->n_content, r->media_type,
                     0, why);
}

static bool names_subject(const struct node *n, const struct digest *subject)
{
    for (size_t i = 0; i < n->m.n_refs; i++)
        if (n->m.refs[i].kind == REF_SUBJECT && digest_equal(&n->m.refs[i].digest, subject))
            return true;
    return false;
}

// One that cannot be had fails alone: the image is worth more without its signature than not at all.
static int referrer_add(struct tree *t, const char *text, const struct digest *subject)
{
    struct root *r = t->r;
    char why[IMPORT_WHY_SIZE] = "";
    struct digest d;
    size_t before = r->n_nodes;
    if (digest_parse(text, strlen(text), &d))
        return 0;
    int rc = tree_add(t, &d, true, 1, why);
    if (rc == ERR_NOMEM || rc == ERR_TOOBIG) {
        snprintf(r->why, sizeof r->why, "%s", why);
        return rc;
    }
    if (rc) {
        struct node n = {.digest = d, .referrer = true};
        rc = node_add(t, n, "{}", 2, "");
        if (!rc)
            r->nodes[r->n_nodes - 1].why = arena_strdup(&r->arena, why);
        return rc;
    }
    if (r->n_nodes > before && !names_subject(&r->nodes[r->n_nodes - 1], subject) &&
        !r->nodes[r->n_nodes - 1].why)
        r->nodes[r->n_nodes - 1].why = "the source lists it as a referrer, but it does not name "
                                       "its subject: no registry would list it";
    return 0;
}

static int referrers_add(struct tree *t, char why[IMPORT_WHY_SIZE])
{
    struct root *r = t->r;
    for (size_t i = 0; i < r->n_nodes; i++) {
        struct name_list list = {0};
        struct digest subject = r->nodes[i].digest;
        if (r->nodes[i].why)
            continue;
        int rc = list_referrers(t->im, t->names->from, &subject, t->names->tags, &list, why);
        for (size_t k = 0; k < list.n && !rc; k++)
            rc = referrer_add(t, list.names[k], &subject);
        name_list_done(&list);
        if (rc)
            return rc;
    }
    return 0;
}

static void content_drop(struct import *im, struct root *r)
{
    if (!r->content)
        return;
    atomic_fetch_sub(&im->kept_bytes, r->n_content);
    free(take_ptr(r->content));
}

void root_build(struct import *im, const struct repository_names *names, struct root *r)
{
    struct tree t = {.im = im, .names = names, .r = r, .seen = htab_new()};
    char why[IMPORT_WHY_SIZE] = "";
    arena_init(&r->arena, 2 * TREE_MAX_BYTES);
    int rc = t.seen ? 0 : ERR_NOMEM;
    if (!rc)
        rc = root_add(&t, why);
    if (!rc)
        rc = referrers_add(&t, why);
    htab_free(t.seen);
    content_drop(im, r);
    if (!rc)
        return;
    r->state = ROOT_FAILED;
    if (!*r->why)
        snprintf(r->why, sizeof r->why, "%s", *why ? why : err_text(rc));
}

void root_done(struct import *im, struct root *r)
{
    content_drop(im, r);
    free(take_ptr(r->nodes));
    r->n_nodes = r->cap_nodes = 0;
    arena_done(&r->arena);
    arena_init(&r->arena, 0);
}

// ---- the look at a tag ----

// The descriptor of an image's configuration, or of the first image of an index.
static const json_t *dated_descriptor(const json_t *top, bool *out_config)
{
    static const char *const configs[] = {"application/vnd.oci.image.config.v1+json",
                                          "application/vnd.docker.container.image.v1+json"};
    const json_t *config = json_object_get(top, "config");
    const char *type = json_string_value(json_object_get(config, "mediaType"));
    *out_config = true;
    for (size_t i = 0; type && i < ARRAY_LEN(configs); i++)
        if (!strcmp(type, configs[i]))
            return config;
    *out_config = false;
    return json_array_get(json_object_get(top, "manifests"), 0);
}

static bool created_take(struct root *r, const json_t *holder, const char *member)
{
    const char *text = json_string_value(json_object_get(holder, member));
    r->dated = text && !created_parse(text, &r->created_ms);
    return r->dated;
}

// An image's age is no reason to fail: without one it counts as old.
static void date_find(struct import *im, const struct repository_names *names, struct root *r,
                      const char *text, size_t n, unsigned depth)
{
    char path[PATH_SIZE], why[IMPORT_WHY_SIZE];
    bool config;
    json_t *top = json_loadb(text, n, 0, NULL);
    const json_t *at = dated_descriptor(top, &config);
    const char *digest = json_string_value(json_object_get(at, "digest"));
    struct digest d;
    if (created_take(r, json_object_get(top, "annotations"), "org.opencontainers.image.created") ||
        !digest || digest_parse(digest, strlen(digest), &d) || depth > 2) {
        json_decref(top);
        return;
    }
    const char *kind = config ? "blobs" : "manifests";
    snprintf(path, sizeof path, "/v2/%s/%s/%s", names->from, kind, digest);
    struct fetch_result res;
    int rc = source_ask(im->source,
                        &(struct source_request){.path = path,
                                                 .repository = names->from,
                                                 .accept = config ? NULL : MANIFEST_TYPES,
                                                 .max_bytes = CONFIG_MAX_BYTES},
                        &res, why);
    bool good = !rc && res.status == 200;
    if (good && config) {
        json_t *doc = json_loadb(buf_cstr(&res.body), res.body.n, 0, NULL);
        created_take(r, doc, "created");
        json_decref(doc);
    } else if (good)
        date_find(im, names, r, buf_cstr(&res.body), res.body.n, depth + 1);
    fetch_result_done(&res);
    json_decref(top);
}

static int root_fetch(struct tree *t, const char *method, struct fetch_result *res,
                      char why[IMPORT_WHY_SIZE])
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "/v2/%s/manifests/%s", t->names->from, t->r->tag);
    int rc = source_ask(t->im->source,
                        &(struct source_request){.method = method,
                                                 .path = path,
                                                 .repository = t->names->from,
                                                 .accept = MANIFEST_TYPES,
                                                 .max_bytes = MANIFEST_MAX_BYTES},
                        res, why);
    if (!rc && res->status == 404) {
        snprintf(why, IMPORT_WHY_SIZE, "the source lists the tag and has no manifest for it");
        return ERR_NOTFOUND;
    }
    return rc;
}

// What the source says the digest is; else it is that of the bytes.
static bool digest_told(const struct fetch_result *res, struct digest *out)
{
    char text[DIGEST_TEXT_SIZE];
    return fetch_result_header(res, "Docker-Content-Digest", text, sizeof text) &&
           !digest_parse(text, strlen(text), out);
}

static void root_state_set(struct root *r)
{
    char text[DIGEST_TEXT_SIZE];
    if (!*r->target_digest)
        r->state = ROOT_NEW;
    else if (!strcmp(digest_format(&r->digest, text), r->target_digest))
        r->state = ROOT_SAME;
    else
        r->state = ROOT_MOVED;
}

// Of so many tags that they would not fit, some are fetched again when it is their turn.
static void content_keep(struct import *im, struct root *r, struct buf *body)
{
    size_t n = body->n;
    if (atomic_fetch_add(&im->kept_bytes, n) + n > KEPT_MAX_BYTES) {
        atomic_fetch_sub(&im->kept_bytes, n);
        return;
    }
    r->content = buf_take(body);
    r->n_content = n;
    if (!r->content)
        atomic_fetch_sub(&im->kept_bytes, n);
}

void root_look(struct import *im, const struct repository_names *names, struct root *r)
{
    struct tree t = {.im = im, .names = names, .r = r};
    struct fetch_result res;
    int rc = 0;
    if (*r->target_digest) { // is it what the target has? A HEAD costs less than the manifest
        rc = root_fetch(&t, "HEAD", &res, r->why);
        bool told = !rc && digest_told(&res, &r->digest);
        fetch_result_done(&res);
        root_state_set(r);
        if (told && (r->state == ROOT_SAME || !im->replace))
            return;
    }
    if (!rc) {
        rc = root_fetch(&t, "GET", &res, r->why);
        if (!rc && !digest_told(&res, &r->digest))
            rc = digest_of(DIGEST_SHA256, res.body.p, res.body.n, &r->digest);
        else if (!rc)
            rc = digest_judge(&res, &r->digest, r->why);
        if (!rc) {
            type_of(&res, r->media_type);
            root_state_set(r);
            date_find(im, names, r, buf_cstr(&res.body), res.body.n, 0);
            content_keep(im, r, &res.body);
        }
        fetch_result_done(&res);
    }
    if (!rc)
        return;
    r->state = ROOT_FAILED;
    if (!*r->why)
        snprintf(r->why, sizeof r->why, "%s", err_text(rc));
}
