// SPDX-License-Identifier: Apache-2.0
// One repository of an import: its tags by age, in batches that bound what is kept in memory. Of a
// batch the trees are read and the blobs copied in parallel, then the manifests are put one after
// the other, oldest first, so that the target's history tells the order in which they were made.
// What fails is told and left out, with all that needs it; see import_priv.h.
#include "cli/import_priv.h"

#include "base/err.h"
#include "base/mem.h"
#include "cli/import_words.h"

#include <stdio.h>
#include <string.h>

#define BATCH_ROOTS 32
#define PATH_SIZE 1024

struct blob_job {
    struct digest digest;
    uint64_t size;
    // it could not be copied; "": it is there now
    char why[IMPORT_WHY_SIZE];
};

struct work { // on one repository
    struct import *im;
    struct repository_names names;
    json_t *report;
    struct root *roots;
    size_t n_roots;
    // the batch: roots from `first` on
    size_t first;
    struct blob_job *blobs;
    size_t n_blobs, cap_blobs;
    // digest to job, of the batch
    struct htab *by_digest;
    // manifests that could not be put, of the repository: digest to why
    struct htab *bad;
    // manifests that are in the target: digest
    struct htab *put;
    // blobs that are in the target: digest
    struct htab *have;
};

// ---- tags and their order ----

static int by_age(const void *pa, const void *pb)
{
    const struct root *a = pa, *b = pb;
    if (a->dated != b->dated)
        return a->dated ? 1 : -1; // what tells no age is old
    if (a->dated && a->created_ms != b->created_ms)
        return a->created_ms < b->created_ms ? -1 : 1;
    return strcmp(a->tag, b->tag);
}

static void look_at(void *ctx, unsigned lane, size_t i)
{
    (void)lane;
    struct work *w = ctx;
    root_look(w->im, &w->names, &w->roots[i]);
}

// The tags that are wanted become roots.
static int roots_make(struct work *w, const struct name_list *tags, const json_t *target)
{
    w->roots = mem_zalloc_array(tags->n + 1, sizeof *w->roots);
    if (!w->roots)
        return ERR_NOMEM;
    for (size_t i = 0; i < tags->n; i++) {
        const char *tag = tags->names[i];
        const char *there = json_string_value(json_object_get(target, tag));
        if (!globs_match(w->im->tags, tag))
            continue;
        if (tag_schema_ok(tag)) {
            import_report_add(
                w->report, "superseded", tag, NULL, NULL,
                "a list of referrers by the tag schema: the target lists them itself");
            continue;
        }
        struct root *r = &w->roots[w->n_roots++];
        r->tag = tag;
        r->target_digest = there ? there : "";
        arena_init(&r->arena, 0);
    }
    return 0;
}

static void only_there(struct work *w, const struct htab *tags, json_t *target)
{
    const char *tag;
    json_t *digest;
    json_object_foreach(target, tag, digest)
    {
        if (!htab_get(tags, tag, strlen(tag)) && globs_match(w->im->tags, tag))
            import_report_add(w->report, "only-in-target", tag, NULL, json_string_value(digest),
                              NULL);
    }
}

// ---- blobs of a batch ----

static void build(void *ctx, unsigned lane, size_t i)
{
    (void)lane;
    struct work *w = ctx;
    struct root *r = &w->roots[w->first + i];
    if (r->state == ROOT_FAILED || (r->state == ROOT_MOVED && !w->im->replace))
        return;
    root_build(w->im, &w->names, r);
}

static int blob_want(struct work *w, const struct manifest_ref *ref)
{
    if (htab_get(w->by_digest, &ref->digest, digest_key_bytes(&ref->digest)) ||
        htab_get(w->have, &ref->digest, digest_key_bytes(&ref->digest)))
        return 0;
    if (w->n_blobs == w->cap_blobs) {
        size_t cap = w->cap_blobs ? 2 * w->cap_blobs : 64;
        struct blob_job *jobs = mem_realloc(w->blobs, cap * sizeof *jobs);
        if (!jobs)
            return ERR_NOMEM;
        w->blobs = jobs;
        w->cap_blobs = cap;
    }
    w->blobs[w->n_blobs++] = (struct blob_job){.digest = ref->digest, .size = ref->size};
    // places move when the array grows: the table keeps the number, from 1
    return htab_put(w->by_digest, &ref->digest, digest_key_bytes(&ref->digest),
                    (void *)(uintptr_t)w->n_blobs);
}

static struct blob_job *blob_job(struct work *w, const struct digest *d)
{
    uintptr_t i = (uintptr_t)htab_get(w->by_digest, d, digest_key_bytes(d));
    if (i)
        return &w->blobs[i - 1];
    return NULL;
}

static int blobs_collect(struct work *w, size_t n)
{
    int rc = 0;
    for (size_t i = w->first; i < w->first + n; i++) {
        const struct root *r = &w->roots[i];
        for (size_t k = 0; k < r->n_nodes && !rc; k++) {
            const struct node *node = &r->nodes[k];
            if (node->there || node->why ||
                htab_get(w->put, &node->digest, digest_key_bytes(&node->digest)))
                continue;
            for (size_t j = 0; j < node->m.n_refs && !rc; j++)
                if (node->m.refs[j].kind == REF_BLOB)
                    rc = blob_want(w, &node->m.refs[j]);
                else if (node->m.refs[j].kind == REF_FOREIGN)
                    atomic_fetch_add(&w->im->n.foreign, 1);
        }
    }
    return rc;
}

static void blob_do(void *ctx, unsigned lane, size_t i)
{
    struct work *w = ctx;
    struct blob_job *b = &w->blobs[i];
    int rc = blob_copy(w->im, lane, &w->names, &b->digest, b->size, b->why);
    if (rc && !*b->why)
        snprintf(b->why, sizeof b->why, "%s", err_text(rc));
    if (!rc)
        *b->why = 0;
}

static int blob_note(struct work *w, const struct blob_job *b)
{
    if (*b->why)
        return 0;
    int rc = htab_put(w->have, &b->digest, digest_key_bytes(&b->digest), w);
    if (rc == ERR_EXISTS)
        return 0;
    return rc;
}

// ---- manifests ----

// Why it cannot be put: a blob that is not there, a child that was refused. Arena; NULL: it can.
static const char *in_the_way(struct work *w, const struct node *n)
{
    char text[DIGEST_TEXT_SIZE];
    if (n->why)
        return n->why;
    for (size_t i = 0; i < n->m.n_refs; i++) {
        const struct manifest_ref *ref = &n->m.refs[i];
        const char *why = NULL, *what = "manifest";
        if (ref->kind == REF_BLOB && !n->there) {
            const struct blob_job *b = blob_job(w, &ref->digest);
            what = "blob";
            if (b && *b->why)
                why = b->why;
        } else if (ref->kind == REF_MANIFEST)
            why = htab_get(w->bad, &ref->digest, digest_key_bytes(&ref->digest));
        if (why)
            return arena_printf(&w->im->c->arena, "%s %s: %s", what,
                                digest_format(&ref->digest, text), why);
    }
    return NULL;
}

static int manifest_put(struct work *w, const struct node *n, const char *tag, bool create_only,
                        char why[IMPORT_WHY_SIZE])
{
    char path[PATH_SIZE], type[MEDIA_TYPE_SIZE + 16], text[DIGEST_TEXT_SIZE];
    struct fetch_result r;
    digest_format(&n->digest, text);
    if (!tag)
        snprintf(path, sizeof path, "/v2/%s/manifests/%s", w->names.to, text);
    else if (n->digest.alg == DIGEST_SHA256)
        snprintf(path, sizeof path, "/v2/%s/manifests/%s", w->names.to, tag);
    else // by the tag's name it would get a sha256 digest
        snprintf(path, sizeof path, "/v2/%s/manifests/%s?tag=%s", w->names.to, text, tag);
    snprintf(type, sizeof type, "Content-Type: %s", n->media_type);
    struct target_request q = {.method = "PUT",
                               .url = path,
                               .repository = w->names.to,
                               .headers = {type},
                               .body = n->content};
    if (tag && create_only && n->digest.alg == DIGEST_SHA256)
        q.headers[1] = "If-None-Match: *";
    int rc = target_expect(&w->im->target, &q, 201, 201, &r, why);
    fetch_result_done(&r);
    return rc;
}

static int bad_note(struct work *w, const struct digest *d, const char *why)
{
    int rc = htab_put(w->bad, d, digest_key_bytes(d), (void *)(uintptr_t)why);
    if (rc == ERR_EXISTS)
        return 0;
    return rc;
}

// One manifest of a tree; `tag` with the root's. The reason why it is not there, or NULL.
static const char *node_put(struct work *w, struct root *r, struct node *n, const char *tag)
{
    char why[IMPORT_WHY_SIZE] = "";
    const char *bad = in_the_way(w, n);
    bool known = n->there || htab_get(w->put, &n->digest, digest_key_bytes(&n->digest));
    if (!bad && (!known || tag) && !w->im->dry_run &&
        manifest_put(w, n, tag, r->state == ROOT_NEW, why))
        bad = arena_strdup(&w->im->c->arena, why);
    if (bad) {
        (void)bad_note(w, &n->digest, bad);
        return bad;
    }
    if (!known)
        atomic_fetch_add(&w->im->n.manifests, 1);
    (void)htab_put(w->put, &n->digest, digest_key_bytes(&n->digest), w);
    return NULL;
}

static void root_failed(struct work *w, struct root *r, const char *digest, const char *why)
{
    atomic_fetch_add(&w->im->n.failed, 1);
    import_report_add(w->report, "failed", r->tag, digest, NULL, why);
}

static void root_finish(struct work *w, struct root *r)
{
    char text[DIGEST_TEXT_SIZE];
    digest_format(&r->digest, text);
    if (r->state == ROOT_SAME) {
        atomic_fetch_add(&w->im->n.tags_there, 1);
        return;
    }
    atomic_fetch_add(&w->im->n.tags, 1);
    const char *kind = "copied";
    if (w->im->dry_run)
        kind = "would-copy";
    import_report_add(w->report, kind, r->tag, text, *r->target_digest ? r->target_digest : NULL,
                      NULL);
}

static void root_put(struct work *w, struct root *r)
{
    char text[DIGEST_TEXT_SIZE];
    bool failed = false;
    for (size_t i = 0; i < r->n_nodes; i++) {
        struct node *n = &r->nodes[i];
        bool is_root = digest_equal(&n->digest, &r->digest);
        const char *tag = NULL;
        if (is_root && r->state != ROOT_SAME)
            tag = r->tag;
        if (failed && n->referrer)
            continue; // its subject is not there
        const char *why = node_put(w, r, n, tag);
        if (why && n->referrer) {
            atomic_fetch_add(&w->im->n.failed, 1);
            import_report_add(w->report, "referrer-failed", r->tag, digest_format(&n->digest, text),
                              NULL, why);
        } else if (why && is_root) {
            failed = true;
            root_failed(w, r, digest_format(&n->digest, text), why);
        } else if (is_root)
            root_finish(w, r);
    }
}

static void root_end(struct work *w, struct root *r)
{
    char text[DIGEST_TEXT_SIZE];
    if (r->state == ROOT_FAILED)
        root_failed(w, r, NULL, r->why);
    else if (r->state == ROOT_MOVED && !w->im->replace) {
        atomic_fetch_add(&w->im->n.kept, 1);
        import_report_add(w->report, "differs", r->tag, digest_format(&r->digest, text),
                          r->target_digest,
                          "the target's tag is kept: --replace takes the source's");
    } else
        root_put(w, r);
    root_done(w->im, r);
}

// ---- batches ----

static int batch_run(struct work *w, size_t n)
{
    w->n_blobs = 0;
    w->by_digest = htab_new();
    if (!w->by_digest)
        return ERR_NOMEM;
    int rc = lanes_run(w->im, n, build, w, w->names.from);
    if (!rc)
        rc = blobs_collect(w, n);
    if (!rc && w->n_blobs)
        rc = lanes_run(w->im, w->n_blobs, blob_do, w, w->names.from);
    for (size_t i = 0; i < w->n_blobs && !rc; i++)
        rc = blob_note(w, &w->blobs[i]);
    for (size_t i = 0; i < n && !rc; i++)
        root_end(w, &w->roots[w->first + i]);
    htab_free(take_ptr(w->by_digest));
    return rc;
}

static int roots_run(struct work *w)
{
    int rc = lanes_run(w->im, w->n_roots, look_at, w, w->names.from);
    if (w->n_roots)
        qsort(w->roots, w->n_roots, sizeof *w->roots, by_age);
    for (w->first = 0; w->first < w->n_roots && !rc; w->first += BATCH_ROOTS) {
        size_t n = w->n_roots - w->first;
        if (n > BATCH_ROOTS)
            n = BATCH_ROOTS;
        rc = batch_run(w, n);
    }
    return rc;
}

static int tags_run(struct work *w, const struct name_list *tags, struct htab *set,
                    char why[IMPORT_WHY_SIZE])
{
    json_t *target = NULL;
    int rc = 0;
    for (size_t i = 0; i < tags->n && !rc; i++)
        rc = htab_put(set, tags->names[i], strlen(tags->names[i]), w);
    w->names.tags = set;
    if (!rc)
        rc = list_target_tags(w->im, w->names.to, &target, why);
    if (!rc)
        rc = roots_make(w, tags, target);
    if (!rc)
        only_there(w, set, target);
    if (!rc)
        rc = roots_run(w);
    for (size_t i = 0; i < w->n_roots; i++)
        root_done(w->im, &w->roots[i]);
    json_decref(target);
    return rc;
}

void repository_import(struct import *im, const char *from, const char *to)
{
    char why[IMPORT_WHY_SIZE] = "";
    struct name_list tags = {0};
    struct work w = {.im = im, .names = {.from = from, .to = to}};
    w.report = import_report_repository(im, from, to);
    w.bad = htab_new();
    w.put = htab_new();
    w.have = htab_new();
    struct htab *set = htab_new();
    int rc = ERR_NOMEM;
    if (w.bad && w.put && w.have && set)
        rc = list_tags(im, from, &tags, why);
    if (!rc)
        rc = tags_run(&w, &tags, set, why);
    if (rc) {
        atomic_fetch_add(&im->n.failed, 1);
        import_report_add(w.report, "failed", NULL, NULL, NULL, *why ? why : err_text(rc));
    }
    name_list_done(&tags);
    htab_free(set);
    htab_free(w.bad);
    htab_free(w.put);
    htab_free(w.have);
    free(w.blobs);
    free(w.roots);
}
