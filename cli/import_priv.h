// SPDX-License-Identifier: Apache-2.0
// What the files of `meridian import` share, in the order in which they are used:
//
//   import.c              the command: options, repositories, report
//   import_lists.c        what a registry lists: repositories, tags, referrers
//   import_repository.c   one repository: which tags, in which order, batch by batch
//   import_tree.c         what hangs on a tag: indexes, images, referrers
//   import_blob.c         one blob, streamed
//   import_report.c       what was done, and what differs
//   import_lanes.c        work in parallel
//
// Who asks the target what it has needs no file of state: an import that was killed is run again
// and copies what is missing.
//
// Invariants
// 1. A manifest is put after all that it refers to and that the source has.
// 2. A tag is put after all older tags of its repository, as far as the source tells their age.
// 3. Bytes whose digest is not the one that was asked for never end an upload.
// 4. A tag of the target is replaced only if --replace says so.
#ifndef MERIDIAN_CLI_IMPORT_PRIV_H
#define MERIDIAN_CLI_IMPORT_PRIV_H

#include "base/digest.h"
#include "base/htab.h"
#include "cli/import_source.h"
#include "cli/import_target.h"
#include "store/manifest.h"

#include <pthread.h>
#include <stdatomic.h>

#define IMPORT_JOBS_MAX 64
#define MANIFEST_MAX_BYTES (4u << 20)
#define MANIFEST_TYPES                                                                      \
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, " \
    "application/vnd.docker.distribution.manifest.list.v2+json, "                           \
    "application/vnd.docker.distribution.manifest.v2+json"

// ---- the whole ----

// What a digest is called in tables: the bytes behind those in use are nobody's.
static inline size_t digest_key_bytes(const struct digest *d)
{
    return 2 + (size_t)d->n;
}

struct import_counts {
    _Atomic uint64_t tags, tags_there, manifests, blobs, blobs_there, mounted, bytes, foreign,
        failed, kept;
};

struct import {
    struct cli *c;
    struct import_source *source;
    struct import_target target;
    const char *source_host;
    // globs, separated by commas; NULL: all
    const char *repositories, *tags;
    // put before the names of the target's repositories, or NULL
    const char *prefix;
    bool dry_run, replace;
    unsigned n_jobs;
    // one for each job: of a blob on its way
    uint8_t *pieces[IMPORT_JOBS_MAX];
    // the source has said that it knows no list of referrers
    _Atomic bool no_referrers;
    // which of the target's repositories has a blob: digest to name; under the lock
    pthread_mutex_t places_lock;
    struct htab *places;
    // manifests of tags that wait for their turn
    _Atomic uint64_t kept_bytes;
    struct import_counts n;
    // {"repositories": [...]}; the main thread's
    json_t *report;
};

// ---- import_lanes.c ----

// Calls fn(ctx, lane, i) for each i below n, on n_jobs threads; the caller waits and shows progress.
// 0 or ERR_NOMEM.
int lanes_run(struct import *im, size_t n, void (*fn)(void *ctx, unsigned lane, size_t i),
              void *ctx, const char *what);

// ---- import_lists.c ----

struct name_list { // heap
    char **names;
    size_t n, cap;
    // how many there may be
    size_t max;
};
int name_list_add(struct name_list *l, const char *name);
void name_list_done(struct name_list *l);
// All errors come with a sentence. Names that are not of the grammar are an error of the source.
int list_repositories(struct import *im, struct name_list *out, char why[IMPORT_WHY_SIZE]);
int list_tags(struct import *im, const char *repository, struct name_list *out,
              char why[IMPORT_WHY_SIZE]);
// Names of manifests ("sha256:…") that refer to `subject`: the referrers API, or the tag schema if
// the source knows no such API and has the tag among `tags`.
int list_referrers(struct import *im, const char *repository, const struct digest *subject,
                   const struct htab *tags, struct name_list *out, char why[IMPORT_WHY_SIZE]);
// Tags of the target: {"tag": "sha256:…"}. An empty object when it has no such repository.
int list_target_tags(struct import *im, const char *repository, json_t **out,
                     char why[IMPORT_WHY_SIZE]);

// ---- import_tree.c ----

struct node { // one manifest
    struct digest digest;
    // of its root's arena
    const char *media_type;
    struct bytes content;
    struct manifest m;
    // the target has it
    bool there;
    // hangs on another manifest by its subject
    bool referrer;
    // it cannot be copied; NULL: it can
    const char *why;
};

enum root_state {
    ROOT_NEW,    // the target lacks the tag
    ROOT_SAME,   // the target's tag has the digest
    ROOT_MOVED,  // the target's tag has another digest
    ROOT_FAILED, // see why
};

struct root { // a tag of the source, and all that hangs on it
    const char *tag;
    enum root_state state;
    struct digest digest;
    // what the target's tag has now, or ""
    const char *target_digest;
    // an image's age, if it tells one
    bool dated;
    int64_t created_ms;
    // the manifest, as it came with the tag; NULL: not kept
    char *content;
    size_t n_content;
    char media_type[MEDIA_TYPE_SIZE];
    char why[IMPORT_WHY_SIZE];
    // filled by root_build: children before parents, referrers after their subjects
    struct arena arena;
    struct node *nodes;
    size_t n_nodes, cap_nodes;
};

struct repository_names {
    const char *from, *to;
    // all tags of the source, by name
    const struct htab *tags;
};

// The manifest of a tag at the source: digest, content, age.
void root_look(struct import *im, const struct repository_names *names, struct root *r);
// All manifests that hang on it. Fills why and ROOT_FAILED when one that must be there is not.
void root_build(struct import *im, const struct repository_names *names, struct root *r);
void root_done(struct import *im, struct root *r);

// ---- import_blob.c ----

// Copies a blob unless the target has it. 0, or an error with a sentence.
int blob_copy(struct import *im, unsigned lane, const struct repository_names *names,
              const struct digest *digest, uint64_t size, char why[IMPORT_WHY_SIZE]);

// ---- import_repository.c ----

// One repository. What fails is in the report and counted; the others go on.
void repository_import(struct import *im, const char *from, const char *to);

// ---- import_report.c ----

json_t *import_report_repository(struct import *im, const char *from, const char *to);
// "copied", "would-copy", "differs", "failed", "only-in-target", "superseded", …
void import_report_add(json_t *repository, const char *kind, const char *tag, const char *digest,
                       const char *target_digest, const char *why);
int import_report_print(struct import *im);

#endif
