// SPDX-License-Identifier: Apache-2.0
// What an import did, and in what the two registries differ after it; see import_priv.h. On the
// main thread.
#include "cli/import_priv.h"

#include "cli/import_words.h"
#include "cli/show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WHY_MAX 1024

json_t *import_report_repository(struct import *im, const char *from, const char *to)
{
    json_t *list = json_object_get(im->report, "repositories");
    json_t *o = json_pack("{s:s, s:s, s:[]}", "source", from, "target", to, "entries");
    json_array_append_new(list, o);
    return o;
}

void import_report_add(json_t *repository, const char *kind, const char *tag, const char *digest,
                       const char *target_digest, const char *why)
{
    char words[WHY_MAX];
    if (why) {
        words_clean(why, words, sizeof words);
        why = words;
    }
    json_array_append_new(json_object_get(repository, "entries"),
                          json_pack("{s:s, s:s*, s:s*, s:s*, s:s*}", "what", kind, "tag", tag,
                                    "digest", digest, "targetDigest", target_digest, "why", why));
}

static json_t *count(const _Atomic uint64_t *n)
{
    return json_integer((json_int_t)atomic_load(n));
}

static json_t *summary(const struct import *im)
{
    const struct import_counts *n = &im->n;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "tags", count(&n->tags),
                     "tagsThere", count(&n->tags_there), "manifests", count(&n->manifests), "blobs",
                     count(&n->blobs), "blobsThere", count(&n->blobs_there), "blobsMounted",
                     count(&n->mounted), "bytes", count(&n->bytes), "foreignLayers",
                     count(&n->foreign), "differing", count(&n->kept), "failed", count(&n->failed));
}

static void print_entry(const char *repository, const json_t *e)
{
    const char *tag = json_text(e, "tag"), *why = json_text(e, "why");
    const char *digest = json_text(e, "digest"), *target = json_text(e, "targetDigest");
    printf("%-15s %s%s%s", json_text(e, "what"), repository, *tag ? ":" : "", tag);
    if (*digest)
        printf(" %s", digest);
    if (*target)
        printf(" (target: %s)", target);
    if (*why)
        printf(": %s", why);
    putchar('\n');
}

static void print_text(const struct import *im)
{
    const json_t *list = json_object_get(im->report, "repositories");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *repo = json_array_get(list, i), *entries = json_object_get(repo, "entries");
        for (size_t k = 0; k < json_array_size(entries); k++)
            print_entry(json_text(repo, "target"), json_array_get(entries, k));
    }
    const struct import_counts *n = &im->n;
    printf("%s%" PRIu64 " tags, %" PRIu64 " manifests, %" PRIu64 " blobs, %" PRIu64
           " bytes; there already: %" PRIu64 " tags, %" PRIu64 " blobs, %" PRIu64
           " mounted; %" PRIu64 " tags differ and were kept; %" PRIu64 " failed",
           im->dry_run ? "would copy " : "copied ", atomic_load(&n->tags),
           atomic_load(&n->manifests), atomic_load(&n->blobs), atomic_load(&n->bytes),
           atomic_load(&n->tags_there), atomic_load(&n->blobs_there), atomic_load(&n->mounted),
           atomic_load(&n->kept), atomic_load(&n->failed));
    if (atomic_load(&n->foreign))
        printf("; %" PRIu64 " layers stay where their URLs say", atomic_load(&n->foreign));
    putchar('\n');
}

int import_report_print(struct import *im)
{
    int rc = EXIT_DONE;
    if (cli_json(im->c)) {
        json_object_set_new(im->report, "summary", summary(im));
        rc = cli_print_json(im->c, json_incref(im->report));
    } else
        print_text(im);
    if (rc)
        return rc;
    if (atomic_load(&im->n.failed) || atomic_load(&im->n.kept))
        return EXIT_FAILED;
    if (im->dry_run && (atomic_load(&im->n.tags) || atomic_load(&im->n.manifests)))
        return EXIT_CHANGES;
    return EXIT_DONE;
}
