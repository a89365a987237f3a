// SPDX-License-Identifier: Apache-2.0
// What a registry lists, page by page. A list of a stranger's ends: by the number of its names, and
// by a page that brings none that is new; see import_priv.h.
#include "cli/import_priv.h"

#include "base/err.h"
#include "base/mem.h"
#include "cli/import_words.h"
#include "config/repository.h"
#include "net/outbound.h"

#include <stdio.h>
#include <string.h>

#define REPOSITORIES_MAX 1000000
#define TAGS_MAX 1000000
#define REFERRERS_MAX 10000
#define PAGES_MAX 100000
#define PAGE_MAX_BYTES (16u << 20)
#define PATH_SIZE 4096

// ---- lists ----

int name_list_add(struct name_list *l, const char *name)
{
    if (l->n == l->max)
        return ERR_TOOBIG;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        char **names = mem_realloc(l->names, cap * sizeof *names);
        if (!names)
            return ERR_NOMEM;
        l->names = names;
        l->cap = cap;
    }
    l->names[l->n] = mem_strdup(name);
    if (!l->names[l->n])
        return ERR_NOMEM;
    l->n++;
    return 0;
}

void name_list_done(struct name_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->names[i]);
    free(l->names);
    *l = (struct name_list){0};
}

// ---- pages of the source ----

struct listing {
    struct import *im;
    // whose token, or NULL; and what it is called in sentences
    const char *repository, *about;
    const char *accept;
    // "repositories", "tags", "manifests" (of which the digests are taken)
    const char *member;
    bool (*name_ok)(const char *name);
    struct name_list *out;
    // a name twice is no new one
    struct htab *seen;
    char *why;
    // the first page was answered with 404
    bool absent;
};

static int entry_take(struct listing *l, const json_t *entry, size_t *n_new)
{
    const char *name = json_string_value(entry);
    if (json_is_object(entry))
        name = json_string_value(json_object_get(entry, "digest"));
    if (!name || !l->name_ok(name)) {
        snprintf(l->why, IMPORT_WHY_SIZE, "its list of %s has an entry that is no name", l->about);
        return ERR_PROTO;
    }
    int rc = htab_put(l->seen, name, strlen(name), l);
    if (rc == ERR_EXISTS)
        return 0;
    if (!rc)
        rc = name_list_add(l->out, name);
    ++*n_new;
    if (rc == ERR_TOOBIG)
        snprintf(l->why, IMPORT_WHY_SIZE, "its list of %s has more than %zu entries", l->about,
                 l->out->max);
    else if (rc)
        snprintf(l->why, IMPORT_WHY_SIZE, "out of memory");
    return rc;
}

static int page_take(struct listing *l, const struct fetch_result *r, size_t *n_new)
{
    json_t *doc = json_loadb(buf_cstr(&r->body), r->body.n, 0, NULL);
    const json_t *list = json_object_get(doc, l->member);
    int rc = 0;
    *n_new = 0;
    if (!json_is_array(list) && !json_is_null(list)) { // docker-registry: null for none
        snprintf(l->why, IMPORT_WHY_SIZE, "its list of %s is not JSON with \"%s\"", l->about,
                 l->member);
        rc = ERR_PROTO;
    }
    for (size_t i = 0; !rc && i < json_array_size(list); i++)
        rc = entry_take(l, json_array_get(list, i), n_new);
    json_decref(doc);
    return rc;
}

// The path of the next page, or "".
static int next_page(struct listing *l, const struct fetch_result *r, size_t n_new, char *path)
{
    char link[PATH_SIZE], next[PATH_SIZE];
    int rc = ERR_NOTFOUND;
    if (fetch_result_header(r, "Link", link, sizeof link))
        rc = link_next_parse(link, next, sizeof next);
    if (rc == ERR_NOTFOUND) {
        *path = 0;
        return 0;
    }
    if (rc) {
        snprintf(l->why, IMPORT_WHY_SIZE, "its list of %s names a next page that is no path of it",
                 l->about);
        return ERR_PROTO;
    }
    if (!n_new || !strcmp(next, path)) {
        snprintf(l->why, IMPORT_WHY_SIZE,
                 "its list of %s does not end: a page has brought nothing new and names a next one",
                 l->about);
        return ERR_PROTO;
    }
    memcpy(path, next, sizeof next);
    return 0;
}

static int page_ask(struct listing *l, char *path, bool first)
{
    const struct source_request q = {.path = path,
                                     .repository = l->repository,
                                     .accept = l->accept,
                                     .max_bytes = PAGE_MAX_BYTES};
    struct fetch_result r;
    size_t n_new = 0;
    int rc = source_ask(l->im->source, &q, &r, l->why);
    if (!rc && r.status == 404) {
        l->absent = first;
        *path = 0;
        if (!first) {
            answer_tell(&r, l->why);
            rc = ERR_PROTO;
        }
    } else if (!rc) {
        rc = page_take(l, &r, &n_new);
        if (!rc)
            rc = next_page(l, &r, n_new, path);
    }
    fetch_result_done(&r);
    return rc;
}

static int pages_ask(struct listing *l, const char *first)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s", first);
    l->seen = htab_new();
    int rc = l->seen ? 0 : ERR_NOMEM;
    for (size_t i = 0; !rc && *path && i < PAGES_MAX; i++)
        rc = page_ask(l, path, i == 0);
    htab_free(l->seen);
    return rc;
}

// ---- what is listed ----

static bool repository_ok(const char *name)
{
    return repository_name_ok(name, strlen(name));
}

static bool digest_text_ok(const char *text)
{
    struct digest d;
    return !digest_parse(text, strlen(text), &d);
}

int list_repositories(struct import *im, struct name_list *out, char why[IMPORT_WHY_SIZE])
{
    struct listing l = {.im = im,
                        .about = "repositories",
                        .member = "repositories",
                        .name_ok = repository_ok,
                        .out = out,
                        .why = why};
    out->max = REPOSITORIES_MAX;
    int rc = pages_ask(&l, "/v2/_catalog?n=1000");
    if (!rc && l.absent) {
        snprintf(why, IMPORT_WHY_SIZE, "it lists no repositories: name one (HOST/REPOSITORY)");
        return ERR_NOTFOUND;
    }
    return rc;
}

int list_tags(struct import *im, const char *repository, struct name_list *out,
              char why[IMPORT_WHY_SIZE])
{
    char path[PATH_SIZE];
    struct listing l = {.im = im,
                        .repository = repository,
                        .about = "tags",
                        .member = "tags",
                        .name_ok = tag_name_ok,
                        .out = out,
                        .why = why};
    out->max = TAGS_MAX;
    snprintf(path, sizeof path, "/v2/%s/tags/list?n=1000", repository);
    int rc = pages_ask(&l, path);
    if (!rc && l.absent) {
        snprintf(why, IMPORT_WHY_SIZE, "it has no repository %s", repository);
        return ERR_NOTFOUND;
    }
    return rc;
}

int list_referrers(struct import *im, const char *repository, const struct digest *subject,
                   const struct htab *tags, struct name_list *out, char why[IMPORT_WHY_SIZE])
{
    char path[PATH_SIZE], text[DIGEST_TEXT_SIZE], tag[TAG_SCHEMA_SIZE];
    struct listing l = {.im = im,
                        .repository = repository,
                        .about = "referrers",
                        .accept = "application/vnd.oci.image.index.v1+json",
                        .member = "manifests",
                        .name_ok = digest_text_ok,
                        .out = out,
                        .why = why};
    out->max = REFERRERS_MAX;
    digest_format(subject, text);
    if (!atomic_load(&im->no_referrers)) {
        snprintf(path, sizeof path, "/v2/%s/referrers/%s", repository, text);
        int rc = pages_ask(&l, path);
        if (rc || !l.absent)
            return rc;
        atomic_store(&im->no_referrers, true);
    }
    tag_schema_format(subject, tag);
    if (!htab_get(tags, tag, strlen(tag)))
        return 0;
    snprintf(path, sizeof path, "/v2/%s/manifests/%s", repository, tag);
    l.absent = false;
    return pages_ask(&l, path);
}

// ---- the target's tags ----

static int target_page(struct import *im, const char *repository, const char *path, json_t *all,
                       char **next, char why[IMPORT_WHY_SIZE])
{
    struct fetch_result r;
    const struct target_request q = {
        .url = path, .repository = repository, .max_bytes = PAGE_MAX_BYTES};
    int rc = target_expect(&im->target, &q, 200, 404, &r, why);
    json_t *doc = NULL;
    if (!rc && r.status == 200)
        doc = json_loadb(buf_cstr(&r.body), r.body.n, 0, NULL);
    const json_t *rows = json_object_get(doc, "tags");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *tag = json_string_value(json_object_get(row, "tag"));
        json_t *digest = json_object_get(row, "digest");
        if (tag && json_is_string(digest))
            json_object_set(all, tag, digest);
    }
    const char *more = json_string_value(json_object_get(doc, "next"));
    *next = NULL;
    if (more && json_array_size(rows))
        *next = mem_strdup(more);
    json_decref(doc);
    fetch_result_done(&r);
    return rc;
}

int list_target_tags(struct import *im, const char *repository, json_t **out,
                     char why[IMPORT_WHY_SIZE])
{
    struct cli *c = im->c;
    json_t *all = json_object();
    char *next = NULL;
    int rc = all ? 0 : ERR_NOMEM;
    const char *name = cli_urlencode(c, repository);
    do {
        const char *last = "";
        if (next)
            last = arena_printf(&c->arena, "&last=%s", cli_urlencode(c, next));
        free(next);
        next = NULL;
        const char *path =
            arena_printf(&c->arena, "/registry/v1/tags?repository=%s&n=1000%s", name, last);
        if (!rc)
            rc = target_page(im, repository, path, all, &next, why);
    } while (!rc && next);
    free(next);
    if (rc)
        json_decref(all);
    else
        *out = all;
    return rc;
}
