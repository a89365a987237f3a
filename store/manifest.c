// SPDX-License-Identifier: Apache-2.0
// What a manifest refers to; see manifest.h. Called by the registry on a push and by the replicator
// on arrival, on the pool. A pure function of its input.
#include "store/manifest.h"

#include "base/err.h"

#include <assert.h>
#include <jansson.h>
#include <string.h>

#define OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define DOCKER_V1 "application/vnd.docker.distribution.manifest.v1"

static const struct manifest_type {
    const char *name;
    bool index, oci;
} manifest_types[] = {{OCI_MANIFEST, false, true},
                      {OCI_INDEX, true, true},
                      {DOCKER_MANIFEST, false, false},
                      {DOCKER_LIST, true, false}};

static const struct manifest_type *type_find(const char *name)
{
    for (size_t i = 0; i < sizeof manifest_types / sizeof manifest_types[0]; i++)
        if (strcmp(manifest_types[i].name, name) == 0)
            return &manifest_types[i];
    return NULL;
}

// RFC 6838 section 4.2, restricted-name.
static size_t restricted_name(const char *s)
{
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    static const char rest[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&-^_.+";
    if (!strspn(s, first))
        return 0;
    size_t n = strspn(s, rest);
    if (n <= 127)
        return n;
    return 0;
}

bool media_type_ok(const char *s)
{
    size_t n = restricted_name(s);
    if (!n || s[n] != '/')
        return false;
    size_t m = restricted_name(s + n + 1);
    return m && s[n + 1 + m] == 0 && n + 1 + m < MEDIA_TYPE_SIZE;
}

struct parse {
    struct arena *arena;
    struct diag *diag;
    const struct manifest_type *type;
    struct manifest_ref *refs;
    size_t n_refs, cap;
};

// Non-distributable layers stay where their URLs say (image-spec 1.0 layer.md; Docker schema 2
// "foreign").
static bool layer_is_foreign(const char *type)
{
    static const char oci[] = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    static const char docker[] = "application/vnd.docker.image.rootfs.foreign.diff.tar";
    return strncmp(type, oci, sizeof oci - 1) == 0 || strncmp(type, docker, sizeof docker - 1) == 0;
}

static bool absent_or(json_t *j, const char *key, json_type type)
{
    json_t *member = json_object_get(j, key);
    return !member || json_typeof(member) == type;
}

static bool optional_members_ok(json_t *j)
{
    if (!absent_or(j, "urls", JSON_ARRAY))
        return false;
    if (!absent_or(j, "annotations", JSON_OBJECT))
        return false;
    return absent_or(j, "data", JSON_STRING);
}

// image-spec 1.1 descriptor.md. What is wrong with it, or NULL.
static const char *descriptor_read(json_t *j, struct manifest_ref *ref, const char **out_type)
{
    const char *type = json_string_value(json_object_get(j, "mediaType"));
    const char *text = json_string_value(json_object_get(j, "digest"));
    json_t *size = json_object_get(j, "size");
    if (!json_is_object(j))
        return "is not an object";
    if (!type || !media_type_ok(type))
        return "has no mediaType of the form type/subtype";
    if (!text || digest_parse(text, strlen(text), &ref->digest))
        return "has no digest of the form sha256:<64 lower-case hex digits> or sha512:<128>";
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return "has no size that is a whole number of bytes";
    if (!optional_members_ok(j))
        return "has urls, annotations or data of the wrong JSON type";
    ref->size = (uint64_t)json_integer_value(size);
    *out_type = type;
    return NULL;
}

static int descriptor_add(struct parse *p, const char *where, json_t *j, enum ref_kind kind)
{
    struct manifest_ref ref = {.kind = kind};
    const char *type = NULL;
    const char *what = descriptor_read(j, &ref, &type);
    if (what) {
        diag_add(p->diag, NULL, 0, "%s: the descriptor %s", where, what);
        return ERR_INVAL;
    }
    if (kind == REF_BLOB && layer_is_foreign(type))
        ref.kind = REF_FOREIGN;
    if (kind == REF_MANIFEST && !type_find(type))
        ref.kind = REF_BLOB; // build caches list plain blobs in an index
    assert(p->n_refs < p->cap);
    p->refs[p->n_refs++] = ref;
    return 0;
}

static int array_add(struct parse *p, json_t *top, const char *key, enum ref_kind kind)
{
    json_t *array = json_object_get(top, key);
    if (!json_is_array(array)) {
        diag_add(p->diag, NULL, 0, "a manifest of this type needs the array \"%s\"", key);
        return ERR_INVAL;
    }
    for (size_t i = 0; i < json_array_size(array); i++) {
        char where[64];
        snprintf(where, sizeof where, "%s[%zu]", key, i);
        int rc = descriptor_add(p, where, json_array_get(array, i), kind);
        if (rc)
            return rc;
    }
    return 0;
}

// One document must not be readable as both kinds (image-spec 1.0.2, CVE-2021-41190).
static int shape_check(struct parse *p, json_t *top)
{
    bool list = json_object_get(top, "manifests");
    bool image = json_object_get(top, "config") || json_object_get(top, "layers");
    const char *extra = NULL;
    if (p->type->index && image)
        extra = "config or layers";
    if (!p->type->index && list)
        extra = "manifests";
    if (!extra)
        return 0;
    diag_add(p->diag, NULL, 0, "%s must not have %s", p->type->name, extra);
    return ERR_INVAL;
}

static const char *type_given(json_t *top, const char *said, const char *content_type)
{
    if (content_type && *content_type)
        return content_type;
    if (said)
        return said;
    if (json_object_get(top, "manifests")) // neither says: the shape does
        return OCI_INDEX;
    return OCI_MANIFEST;
}

static bool schema_is_2(json_t *top)
{
    json_t *version = json_object_get(top, "schemaVersion");
    return json_is_integer(version) && json_integer_value(version) == 2;
}

static int type_choose(struct parse *p, json_t *top, const char *content_type)
{
    json_t *own = json_object_get(top, "mediaType");
    const char *said = json_string_value(own);
    if (own && !said) {
        diag_add(p->diag, NULL, 0, "mediaType is not a string");
        return ERR_INVAL;
    }
    const char *given = type_given(top, said, content_type);
    if (strncmp(given, DOCKER_V1, sizeof DOCKER_V1 - 1) == 0) {
        diag_add(p->diag, NULL, 0,
                 "manifest schema 1 is not accepted: push the image with a client of today");
        return ERR_INVAL;
    }
    const struct manifest_type *type = type_find(given);
    if (!type) {
        diag_add(p->diag, NULL, 0, "%.255s is not a media type of manifests", given);
        return ERR_UNSUPPORTED;
    }
    if (said && strcmp(said, given) != 0) {
        diag_add(p->diag, NULL, 0, "the media type sent, %s, is not the manifest's own, %.255s",
                 given, said);
        return ERR_INVAL;
    }
    if (!schema_is_2(top)) {
        diag_add(p->diag, NULL, 0, "schemaVersion is not 2");
        return ERR_INVAL;
    }
    p->type = type;
    return 0;
}

static int image_refs(struct parse *p, json_t *top)
{
    int rc = descriptor_add(p, "config", json_object_get(top, "config"), REF_BLOB);
    if (rc)
        return rc;
    return array_add(p, top, "layers", REF_BLOB);
}

static int refs_collect(struct parse *p, json_t *top)
{
    const char *key = p->type->index ? "manifests" : "layers";
    json_t *subject = json_object_get(top, "subject");
    size_t n = json_array_size(json_object_get(top, key)) + 2;
    if (n > MANIFEST_MAX_REFS) {
        diag_add(p->diag, NULL, 0, "more than %d entries in \"%s\"", MANIFEST_MAX_REFS - 2, key);
        return ERR_INVAL;
    }
    p->refs = arena_array(p->arena, n, sizeof *p->refs);
    if (!p->refs)
        return ERR_NOMEM;
    p->cap = n;
    int rc;
    if (p->type->index)
        rc = array_add(p, top, key, REF_MANIFEST);
    else
        rc = image_refs(p, top);
    if (rc || !p->type->oci || !subject)
        return rc;
    return descriptor_add(p, "subject", subject, REF_SUBJECT);
}

static int artifact_type(struct parse *p, json_t *top, const char **out)
{
    json_t *j = json_object_get(top, "artifactType");
    const char *s = json_string_value(j);
    if (!j || !p->type->oci)
        return 0;
    if (s && !*s)
        return 0; // some writers put "" for none
    if (!s || !media_type_ok(s)) {
        diag_add(p->diag, NULL, 0, "artifactType is not of the form type/subtype");
        return ERR_INVAL;
    }
    *out = arena_strdup(p->arena, s);
    if (*out)
        return 0;
    return ERR_NOMEM;
}

static int top_parse(struct parse *p, json_t *top, const char *content_type, struct manifest *out)
{
    struct manifest m = {0};
    if (!json_is_object(top)) {
        diag_add(p->diag, NULL, 0, "a manifest is a JSON object");
        return ERR_INVAL;
    }
    int rc = type_choose(p, top, content_type);
    if (rc)
        return rc;
    rc = shape_check(p, top);
    if (rc)
        return rc;
    rc = refs_collect(p, top);
    if (rc)
        return rc;
    rc = artifact_type(p, top, &m.artifact_type);
    if (rc)
        return rc;
    m.media_type = p->type->name;
    m.is_index = p->type->index;
    m.refs = p->refs;
    m.n_refs = p->n_refs;
    *out = m;
    return 0;
}

int manifest_parse(struct bytes content, const char *content_type, struct arena *arena,
                   struct diag *diag, struct manifest *out)
{
    json_error_t err;
    // A key given twice would mean one thing to us and another to a client: refused.
    json_t *top = json_loadb((const char *)content.p, content.n, JSON_REJECT_DUPLICATES, &err);
    if (!top) {
        diag_add(diag, NULL, 0, "not valid JSON: line %d, column %d: %s", err.line, err.column,
                 err.text);
        if (json_error_code(&err) == json_error_out_of_memory)
            return ERR_NOMEM;
        return ERR_INVAL;
    }
    struct parse p = {.arena = arena, .diag = diag};
    int rc = top_parse(&p, top, content_type, out);
    json_decref(top);
    return rc;
}
