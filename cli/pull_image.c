// SPDX-License-Identifier: Apache-2.0
// What an image is called; see pull.h.
#include "cli/pull.h"

#include "base/digest.h"
#include "base/err.h"
#include "config/repository.h"

#include <string.h>

#define TAG_MAX 128

// docker calls the tag so when there is none.
static const char tag_default[] = "latest";

// OCI distribution-spec 1.1, "Pulling manifests".
static bool tag_ok(const char *s)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    static const char rest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t n = strlen(s);
    return n && n <= TAG_MAX && strchr(first, *s) && strspn(s, rest) == n;
}

static int wrong(const char **out_why, const char *why)
{
    *out_why = why;
    return ERR_INVAL;
}

// What stands before the first slash is a host where it has a dot or a port.
static int take_host(const char *host, const char *domain, struct arena *a, struct pull_image *out,
                     const char **out_why)
{
    struct hostname h;
    if (!strpbrk(host, ".:")) {
        out->kind = NAME_GLOBAL;
        out->label = host;
        return 0;
    }
    out->host = arena_strndup(a, host, strcspn(host, ":"));
    out->kind = hostname_parse_http_host(host, domain, &h);
    out->label = arena_strdup(a, h.label);
    if (!out->host || !out->label)
        return ERR_NOMEM;
    if (out->kind == NAME_REGIONAL && !(out->region = arena_strdup(a, h.region)))
        return ERR_NOMEM;
    if (out->kind == NAME_GLOBAL || out->kind == NAME_REGIONAL)
        return 0;
    if (out->kind == NAME_FOREIGN)
        return wrong(out_why, "that host is not of this fleet's domain");
    if (out->kind == NAME_DATA || out->kind == NAME_DATA_PRIVATE)
        return wrong(out_why, "a data name serves blobs alone: give the registry's global name, or "
                              "a regional one");
    if (out->kind == NAME_GLOBAL_PRIVATE || out->kind == NAME_REGIONAL_PRIVATE)
        return wrong(out_why, "clients call the public name, which leads to the private one: give "
                              "that, and --view");
    return wrong(out_why, "that host is no name of a registry");
}

int pull_image_parse(const char *text, const char *domain, struct arena *arena,
                     struct pull_image *out, const char **out_why)
{
    static const char scheme[] = "docker://";
    struct pull_image image = {.reference = tag_default};
    struct digest d;
    if (!strncmp(text, scheme, sizeof scheme - 1))
        text += sizeof scheme - 1;
    char *copy = arena_strdup(arena, text);
    if (!copy)
        return ERR_NOMEM;
    char *slash = strchr(copy, '/');
    if (!slash || slash == copy)
        return wrong(out_why, "give REGISTRY/REPOSITORY:TAG, or HOST/REPOSITORY:TAG");
    *slash = 0;
    char *repository = slash + 1, *at = strchr(repository, '@');
    if (at)
        *at = 0;
    char *colon = strrchr(repository, ':');
    if (colon) {
        *colon = 0;
        image.reference = colon + 1;
        if (!tag_ok(image.reference))
            return wrong(out_why, "that is no tag");
    }
    if (at) {
        image.reference = at + 1;
        image.by_digest = true;
        if (digest_parse(at + 1, strlen(at + 1), &d))
            return wrong(out_why, "that is no digest: sha256: and 64 hexadecimal digits");
    }
    image.repository = repository;
    if (!repository_name_ok(repository, strlen(repository)))
        return wrong(out_why, "that is no repository: lower-case letters, digits and separators");
    int rc = take_host(copy, domain, arena, &image, out_why);
    if (!rc)
        *out = image;
    return rc;
}
