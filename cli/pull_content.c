// SPDX-License-Identifier: Apache-2.0
// The content of a pull on one way: the manifest, those of an index, and each blob that they need. A
// blob is asked for as a client does, its first byte, also where that leads to the data host: so the
// bytes are looked for on the disk, and not in the metadata. See pull_walk.h.
#include "cli/pull_walk.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHILDREN_MAX 64
#define BLOBS_MAX 1024
#define ACCEPT                                                    \
    "Accept: application/vnd.oci.image.index.v1+json, "           \
    "application/vnd.oci.image.manifest.v1+json, "                \
    "application/vnd.docker.distribution.manifest.list.v2+json, " \
    "application/vnd.docker.distribution.manifest.v2+json"

struct blob {
    const char *digest;
    uint64_t size;
};

struct looking { // of one way
    struct pull_run *run;
    struct pull_way *way;
    struct blob *blobs;
    size_t n;
};

// ---- what a manifest needs ----

// What stands in a manifest becomes a part of a path only if it is one.
static bool is_digest(const char *text)
{
    struct digest d;
    return text && !digest_parse(text, strlen(text), &d);
}

// One more of those that are not there, or not right; the first is told.
static void lacks(struct looking *l, size_t *count, const char *what, const char *words)
{
    struct pull_findings *f = &l->way->f;
    (*count)++;
    if (f->blobs.first)
        return;
    f->blobs.first = arena_strdup(&l->run->c->arena, what);
    f->blobs.words = words;
}

static void blob_note(struct looking *l, const json_t *descriptor)
{
    const char *digest = json_string_value(json_object_get(descriptor, "digest"));
    json_int_t size = json_integer_value(json_object_get(descriptor, "size"));
    // layers with addresses of their own are not the registry's to have
    if (json_array_size(json_object_get(descriptor, "urls")))
        return;
    if (!is_digest(digest) || size < 0) {
        lacks(l, &l->way->f.blobs.n_missing, "what is no digest with a size", "in the manifest");
        return;
    }
    for (size_t i = 0; i < l->n; i++)
        if (!strcmp(l->blobs[i].digest, digest))
            return;
    if (l->n == BLOBS_MAX) {
        l->way->f.blobs.n_left_out++;
        return;
    }
    l->blobs[l->n++] = (struct blob){arena_strdup(&l->run->c->arena, digest), (uint64_t)size};
}

static void blobs_of(struct looking *l, const json_t *manifest)
{
    size_t i;
    json_t *one;
    if (json_is_object(json_object_get(manifest, "config")))
        blob_note(l, json_object_get(manifest, "config"));
    json_array_foreach(json_object_get(manifest, "layers"), i, one) blob_note(l, one);
}

static const char *manifest_path(struct looking *l, const char *reference)
{
    return arena_printf(&l->run->c->arena, "/v2/%s/manifests/%s", l->run->image.repository,
                        reference);
}

static void children_of(struct looking *l, const json_t *index)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(index, "manifests"), i, one)
    {
        const char *digest = json_string_value(json_object_get(one, "digest"));
        if (i >= CHILDREN_MAX) {
            l->way->f.blobs.n_left_out++;
            continue;
        }
        if (!is_digest(digest)) {
            lacks(l, &l->way->f.blobs.n_children_missing, "what is no digest", "in the index");
            continue;
        }
        struct pull_reply a = pull_get(l->run, l->way, NULL, manifest_path(l, digest), ACCEPT);
        json_t *child = NULL;
        if (!a.err && a.status == 200)
            child = json_loadb((const char *)a.body.p, a.body.n, 0, NULL);
        if (child)
            blobs_of(l, child);
        else
            lacks(l, &l->way->f.blobs.n_children_missing, digest, a.words);
        json_decref(child);
    }
}

// ---- blobs ----

// "bytes 0-0/1234"
static bool range_says(const char *range, uint64_t size)
{
    const char *slash = strchr(range, '/');
    char *end;
    if (!slash || slash[1] < '0' || slash[1] > '9')
        return false;
    return strtoull(slash + 1, &end, 10) == size && !*end;
}

// The host and the path of "https://HOST[:PORT]/PATH", which must be the registry's data name.
static bool data_target(struct looking *l, const char *location, const char **out_host,
                        const char **out_path)
{
    static const char scheme[] = "https://";
    struct arena *a = &l->run->c->arena;
    struct hostname h;
    if (strncmp(location, scheme, sizeof scheme - 1) != 0)
        return false;
    const char *host = location + sizeof scheme - 1, *path = strchr(host, '/');
    if (!path)
        return false;
    *out_host = arena_strndup(a, host, strcspn(host, ":/"));
    *out_path = path;
    enum name_kind kind = hostname_parse(*out_host, l->run->c->topo->domain, &h);
    return kind == NAME_DATA && !strcmp(h.label, l->run->registry->label);
}

static struct pull_reply blob_get(struct looking *l, const struct blob *b)
{
    static const char first_byte[] = "Range: bytes=0-0";
    const char *path = arena_printf(&l->run->c->arena, "/v2/%s/blobs/%s", l->run->image.repository,
                                    b->digest),
               *host;
    struct pull_reply a = pull_get(l->run, l->way, NULL, path, first_byte);
    if (a.err || a.status != 307)
        return a;
    if (data_target(l, a.location, &host, &path))
        return pull_get(l->run, l->way, host, path, first_byte);
    a.words = "it leads to a host that is not the registry's data host";
    return a;
}

static void look_at_blob(struct looking *l, const struct blob *b)
{
    struct pull_findings *f = &l->way->f;
    struct pull_reply a = blob_get(l, b);
    bool there = !a.err && (a.status == 206 || a.status == 200 || (a.status == 416 && !b->size));
    bool right = a.status != 206 || range_says(a.range, b->size);
    if (there && right)
        return;
    if (there)
        lacks(l, &f->blobs.n_wrong, b->digest, a.words);
    else
        lacks(l, &f->blobs.n_missing, b->digest, a.words);
}

static void look_at_blobs(struct looking *l)
{
    struct pull_findings *f = &l->way->f;
    f->blobs.tried = true;
    f->blobs.n = l->n;
    for (size_t i = 0; i < l->n; i++) {
        f->blobs.bytes += l->blobs[i].size;
        look_at_blob(l, &l->blobs[i]);
    }
}

// ---- the manifest ----

// What the region says of a manifest that it lacks.
static void ask_why(struct looking *l)
{
    struct cli *c = l->run->c;
    const struct pull_image *image = &l->run->image;
    const char *path =
        arena_printf(&c->arena, "/replication/v1/have?registry=%s&repository=%s&%s=%s",
                     l->run->registry->name, cli_urlencode(c, image->repository),
                     image->by_digest ? "digest" : "tag", cli_urlencode(c, image->reference));
    struct pull_reply a = pull_get(l->run, l->way, NULL, path, NULL);
    json_t *doc = NULL;
    if (!a.err && a.status == 200)
        doc = json_loadb((const char *)a.body.p, a.body.n, 0, NULL);
    l->way->f.manifest.gone = json_is_true(json_object_get(doc, "gone"));
    l->way->f.manifest.no_space = json_object_get(doc, "noSpace") != NULL;
    l->way->f.manifest.clock_ahead = json_is_true(json_object_get(doc, "clockAhead"));
    json_decref(doc);
}

void pull_look_at_content(struct pull_run *run, struct pull_way *way)
{
    struct looking l = {.run = run, .way = way};
    l.blobs = arena_array(&run->c->arena, BLOBS_MAX, sizeof *l.blobs);
    if (!l.blobs)
        return;
    struct pull_reply a = pull_get(run, way, NULL, manifest_path(&l, run->image.reference), ACCEPT);
    way->f.manifest.tried = true;
    way->f.manifest.status = a.err ? 0 : a.status;
    way->f.manifest.words = a.words;
    if (*a.digest)
        way->f.manifest.digest = a.digest;
    if (!a.err && a.status == 404)
        ask_why(&l);
    if (a.err || a.status != 200)
        return;
    json_t *manifest = json_loadb((const char *)a.body.p, a.body.n, 0, NULL);
    if (json_is_array(json_object_get(manifest, "manifests")))
        children_of(&l, manifest);
    else
        blobs_of(&l, manifest);
    json_decref(manifest);
    look_at_blobs(&l);
}
