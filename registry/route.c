// SPDX-License-Identifier: Apache-2.0
// Paths of the registry; see route.h. A repository name may itself hold segments like "blobs" or
// "tags", so a path is read from its end. Called by service.c on HTTP threads.
#include "registry/route.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

static bool lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool tag_ok(const char *s)
{
    size_t n = strlen(s);
    if (!n || n > 128)
        return false;
    for (size_t i = 0; i < n; i++) {
        bool word = lower_alnum(s[i]) || (s[i] >= 'A' && s[i] <= 'Z') || s[i] == '_';
        if (!word && (!i || (s[i] != '.' && s[i] != '-')))
            return false;
    }
    return true;
}

bool upload_id_ok(const char *id)
{
    const char *dot = strchr(id, '.');
    if (!dot || dot == id || dot - id > 31 || strlen(dot + 1) != UPLOAD_ID_HEX ||
        !(id[0] >= 'a' && id[0] <= 'z'))
        return false;
    for (const char *p = id; p < dot; p++)
        if (!lower_alnum(*p))
            return false;
    return strspn(dot + 1, "0123456789abcdef") == UPLOAD_ID_HEX;
}

bool upload_id_of_region(const char *id, const char *region)
{
    size_t n = strlen(region);
    return !strncmp(id, region, n) && id[n] == '.';
}

static bool segment_is(struct bytes s, const char *word)
{
    return bytes_equal(s, bytes_str(word));
}

// Cuts the last segment off `rest`. False when there is none.
static bool segment_pop(struct bytes *rest, struct bytes *out)
{
    const char *p = (const char *)rest->p;
    const char *slash = NULL;
    if (rest->n)
        slash = memrchr(p, '/', rest->n);
    if (!slash)
        return false;
    size_t at = (size_t)(slash - p);
    *out = bytes_of(p + at + 1, rest->n - at - 1);
    rest->n = at;
    return true;
}

static int name_take(struct arena *a, struct bytes raw, struct route *r)
{
    if (!repository_name_ok((const char *)raw.p, raw.n)) {
        r->fault = ROUTE_BAD_NAME;
        return 0;
    }
    r->name = arena_strndup(a, (const char *)raw.p, raw.n);
    if (r->name)
        return 0;
    return ERR_NOMEM;
}

// A reference: what has a colon is a digest, all else a tag.
static void reference_take(struct arena *a, struct bytes raw, struct route *r)
{
    const char *text = http_path_decode(a, (const char *)raw.p, raw.n);
    bool digest_only = r->kind != ROUTE_MANIFEST;
    if (r->fault)
        return;
    if (!text) {
        if (digest_only)
            r->fault = ROUTE_BAD_DIGEST;
        else
            r->fault = ROUTE_BAD_TAG;
    } else if (digest_only || strchr(text, ':')) {
        if (digest_parse(text, strlen(text), &r->digest))
            r->fault = ROUTE_BAD_DIGEST;
    } else if (tag_ok(text)) {
        r->tag = text;
    } else {
        r->fault = ROUTE_BAD_TAG;
    }
}

static int upload_take(struct arena *a, struct bytes raw, struct route *r)
{
    char *id = arena_strndup(a, (const char *)raw.p, raw.n);
    if (!id)
        return ERR_NOMEM;
    if (upload_id_ok(id))
        r->upload_id = id;
    else if (!r->fault)
        r->fault = ROUTE_BAD_UPLOAD;
    return 0;
}

// rest: NAME; two: the segment before the last one.
static enum route_kind kind_of(struct bytes two, struct bytes last)
{
    if (segment_is(two, "tags") && segment_is(last, "list"))
        return ROUTE_TAGS;
    if (segment_is(two, "manifests"))
        return ROUTE_MANIFEST;
    if (segment_is(two, "referrers"))
        return ROUTE_REFERRERS;
    if (segment_is(two, "blobs")) {
        if (segment_is(last, "uploads"))
            return ROUTE_UPLOADS;
        return ROUTE_BLOB;
    }
    return ROUTE_NONE;
}

// /v2/NAME/blobs/uploads/ID, or with the slash alone: NAME is what stands before "blobs/uploads".
static bool is_upload(struct bytes rest, struct bytes two, struct bytes last,
                      struct bytes *out_name, enum route_kind *out_kind)
{
    struct bytes three, name = rest;
    if (!segment_is(two, "uploads") || !segment_pop(&name, &three))
        return false;
    if (!segment_is(three, "blobs"))
        return false;
    *out_name = name;
    *out_kind = ROUTE_UPLOADS;
    if (last.n)
        *out_kind = ROUTE_UPLOAD;
    return true;
}

// What follows /v2/, read from its end.
static int repository_parse(struct arena *a, struct bytes rest, struct route *r)
{
    struct bytes last, two, name;
    if (!segment_pop(&rest, &last) || !segment_pop(&rest, &two))
        return 0;
    name = rest;
    r->kind = kind_of(two, last);
    if (r->kind == ROUTE_NONE && !is_upload(rest, two, last, &name, &r->kind))
        return 0;
    if (name_take(a, name, r))
        return ERR_NOMEM;
    switch (r->kind) {
    case ROUTE_UPLOAD:
        return upload_take(a, last, r);
    case ROUTE_MANIFEST:
    case ROUTE_BLOB:
    case ROUTE_REFERRERS:
        reference_take(a, last, r);
        return 0;
    default:
        return 0;
    }
}

void route_query(struct route *r, unsigned takes, const char *repository, const char *tag,
                 const char *digest)
{
    if ((takes & ROUTE_TAKES_REPOSITORY) && repository &&
        repository_name_ok(repository, strlen(repository)))
        r->name = repository;
    else if (takes & ROUTE_TAKES_REPOSITORY)
        r->fault = ROUTE_BAD_NAME;
    if (r->fault)
        return;
    if ((takes & ROUTE_TAKES_TAG) && tag && tag_ok(tag))
        r->tag = tag;
    else if (((takes & ROUTE_TAKES_TAG) && tag) || (takes & ROUTE_NEEDS_TAG))
        r->fault = ROUTE_BAD_TAG;
    if (r->fault || !(takes & ROUTE_TAKES_DIGEST))
        return;
    if (!digest && !(takes & ROUTE_NEEDS_DIGEST))
        return;
    if (!digest || digest_parse(digest, strlen(digest), &r->digest))
        r->fault = ROUTE_BAD_DIGEST;
}

static enum route_kind extension_kind(const char *word)
{
    static const struct {
        const char *word;
        enum route_kind kind;
    } words[] = {{"repositories", ROUTE_X_REPOSITORIES}, {"usage", ROUTE_X_USAGE},
                 {"repository", ROUTE_X_REPOSITORY},     {"tags", ROUTE_X_TAGS},
                 {"manifests", ROUTE_X_MANIFESTS},       {"history", ROUTE_X_HISTORY},
                 {"restore", ROUTE_X_RESTORE},           {"lock", ROUTE_X_LOCK},
                 {"retention", ROUTE_X_RETENTION},       {"audit", ROUTE_X_AUDIT}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (!strcmp(word, words[i].word))
            return words[i].kind;
    return ROUTE_NONE;
}

int route_parse(struct arena *a, const char *path, struct route *out)
{
    static const char extension[] = "/registry/v1/";
    struct route r = {0};
    int rc = 0;
    if (!strcmp(path, "/v2") || !strcmp(path, "/v2/"))
        r.kind = ROUTE_BASE;
    else if (!strcmp(path, "/v2/_catalog"))
        r.kind = ROUTE_CATALOG;
    else if (!strncmp(path, "/v2/", 4))
        rc = repository_parse(a, bytes_str(path + 4), &r);
    else if (!strncmp(path, extension, sizeof extension - 1))
        r.kind = extension_kind(path + sizeof extension - 1);
    if (rc)
        return rc;
    *out = r;
    return 0;
}
