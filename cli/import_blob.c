// SPDX-License-Identifier: Apache-2.0
// One blob, from the source to the target, with a piece of it in memory at a time. Bytes are
// digested as they come; a line that breaks is taken up where it broke (Range); bytes that are not
// the digest's never end an upload (invariant 3 of import_priv.h). A blob of one piece is verified
// before the target hears of it. On the lanes.
#include "cli/import_priv.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PIECE_BYTES ((size_t)4 << 20)
#define RESUMES_MAX 8
#define ANEW_MAX 2
#define PATH_SIZE 1024
#define LOCATION_SIZE 4096

struct blob {
    struct import *im;
    const struct repository_names *names;
    const struct digest *digest;
    uint64_t size;
    struct hasher *hasher;
    uint8_t *piece;
    // in the piece; of all that came; of what the target has
    size_t n_piece;
    uint64_t got, sent;
    // the upload's, "": none yet
    char location[LOCATION_SIZE];
    // an error of the target's side, which ends the source's request
    int err;
    char *why;
};

// ---- the target ----

static int location_take(struct blob *b, const struct fetch_result *r)
{
    if (fetch_result_header(r, "Location", b->location, sizeof b->location) && *b->location)
        return 0;
    snprintf(b->why, IMPORT_WHY_SIZE, "%s: an answer without the upload's location",
             b->im->target.region->name);
    return ERR_PROTO;
}

static int upload_begin(struct blob *b)
{
    char path[PATH_SIZE];
    struct fetch_result r;
    const char *algorithm = "";
    if (b->digest->alg != DIGEST_SHA256)
        algorithm = "?digest-algorithm=sha512";
    snprintf(path, sizeof path, "/v2/%s/blobs/uploads/%s", b->names->to, algorithm);
    const struct target_request q = {
        .method = "POST", .url = path, .repository = b->names->to, .body = bytes_of("", 0)};
    int rc = target_expect(&b->im->target, &q, 202, 202, &r, b->why);
    if (!rc)
        rc = location_take(b, &r);
    fetch_result_done(&r);
    return rc;
}

static int piece_send(struct blob *b)
{
    char range[96];
    struct fetch_result r;
    int rc = 0;
    if (!*b->location)
        rc = upload_begin(b);
    if (rc)
        return rc;
    snprintf(range, sizeof range, "Content-Range: %" PRIu64 "-%" PRIu64, b->sent,
             b->sent + b->n_piece - 1);
    const struct target_request q = {.method = "PATCH",
                                     .url = b->location,
                                     .repository = b->names->to,
                                     .headers = {"Content-Type: application/octet-stream", range},
                                     .body = bytes_of(b->piece, b->n_piece),
                                     .once = true};
    rc = target_expect(&b->im->target, &q, 202, 202, &r, b->why);
    if (!rc)
        rc = location_take(b, &r);
    fetch_result_done(&r);
    if (rc)
        return rc;
    atomic_fetch_add(&b->im->n.bytes, b->n_piece);
    b->sent += b->n_piece;
    b->n_piece = 0;
    return 0;
}

static int upload_end(struct blob *b)
{
    char text[DIGEST_TEXT_SIZE];
    struct fetch_result r;
    int rc = 0;
    if (!*b->location)
        rc = upload_begin(b);
    if (rc)
        return rc;
    AUTO_FREE char *url =
        mem_printf("%s%cdigest=%s", b->location, strchr(b->location, '?') ? '&' : '?',
                   digest_format(b->digest, text));
    if (!url)
        return ERR_NOMEM;
    const struct target_request q = {.method = "PUT",
                                     .url = url,
                                     .repository = b->names->to,
                                     .headers = {"Content-Type: application/octet-stream"},
                                     .body = bytes_of(b->piece, b->n_piece)};
    rc = target_expect(&b->im->target, &q, 201, 201, &r, b->why);
    fetch_result_done(&r);
    if (!rc)
        atomic_fetch_add(&b->im->n.bytes, b->n_piece);
    return rc;
}

// The target keeps nothing of what is given up.
static void upload_drop(struct blob *b)
{
    char why[IMPORT_WHY_SIZE];
    struct fetch_result r;
    if (!*b->location)
        return;
    (void)target_ask(
        &b->im->target,
        &(struct target_request){
            .method = "DELETE", .url = b->location, .repository = b->names->to, .once = true},
        &r, why);
    fetch_result_done(&r);
}

static int is_there(struct blob *b, bool *out)
{
    char path[PATH_SIZE], text[DIGEST_TEXT_SIZE];
    struct fetch_result r;
    snprintf(path, sizeof path, "/v2/%s/blobs/%s", b->names->to, digest_format(b->digest, text));
    const struct target_request q = {.method = "HEAD", .url = path, .repository = b->names->to};
    int rc = target_expect(&b->im->target, &q, 200, 404, &r, b->why);
    *out = r.status == 200;
    fetch_result_done(&r);
    return rc;
}

// A repository of the target that has it, or NULL.
static const char *place_of(struct blob *b)
{
    struct import *im = b->im;
    pthread_mutex_lock(&im->places_lock);
    const char *place = htab_get(im->places, b->digest, digest_key_bytes(b->digest));
    pthread_mutex_unlock(&im->places_lock);
    if (place && strcmp(place, b->names->to) != 0)
        return place;
    return NULL;
}

// Without memory for it, it is only not known.
static void place_note(struct blob *b)
{
    struct import *im = b->im;
    pthread_mutex_lock(&im->places_lock);
    (void)htab_put(im->places, b->digest, digest_key_bytes(b->digest),
                   (void *)(uintptr_t)b->names->to);
    pthread_mutex_unlock(&im->places_lock);
}

// From another repository of the target (distribution-spec, "Mounting a blob"). Where that is not
// granted, an upload has begun instead, or it is copied as if nobody had it.
static int mount(struct blob *b, const char *place, bool *out)
{
    char path[PATH_SIZE], text[DIGEST_TEXT_SIZE];
    struct fetch_result r;
    snprintf(path, sizeof path, "/v2/%s/blobs/uploads/?mount=%s&from=%s", b->names->to,
             digest_format(b->digest, text), place);
    const struct target_request q = {.method = "POST",
                                     .url = path,
                                     .repository = b->names->to,
                                     .mounts_from = place,
                                     .body = bytes_of("", 0)};
    int rc = target_ask(&b->im->target, &q, &r, b->why);
    *out = !rc && r.status == 201;
    if (!rc && r.status == 202)
        rc = location_take(b, &r);
    fetch_result_done(&r);
    return rc;
}

// ---- the source ----

static int too_long(struct blob *b)
{
    snprintf(b->why, IMPORT_WHY_SIZE,
             "the source sends more than the %" PRIu64 " bytes that its manifest states", b->size);
    return ERR_TOOBIG;
}

static int on_data(void *ctx, const uint8_t *p, size_t n)
{
    struct blob *b = ctx;
    if (n > b->size - b->got) {
        b->err = too_long(b);
        return b->err;
    }
    hasher_update(b->hasher, p, n);
    b->got += n;
    while (n) {
        size_t some = PIECE_BYTES - b->n_piece;
        if (n < some)
            some = n;
        memcpy(b->piece + b->n_piece, p, some);
        b->n_piece += some;
        p += some;
        n -= some;
        if (b->n_piece < PIECE_BYTES || (b->got == b->size && !n))
            continue; // the last piece ends the upload
        b->err = piece_send(b);
        if (b->err)
            return b->err;
    }
    return 0;
}

static int fetch_rest(struct blob *b)
{
    char path[PATH_SIZE], text[DIGEST_TEXT_SIZE];
    struct fetch_result r;
    snprintf(path, sizeof path, "/v2/%s/blobs/%s", b->names->from, digest_format(b->digest, text));
    const struct source_request q = {.path = path,
                                     .repository = b->names->from,
                                     .max_bytes = b->size ? b->size : 1,
                                     .from = b->got,
                                     .on_data = on_data,
                                     .ctx = b};
    char why[IMPORT_WHY_SIZE] = "";
    int rc = source_ask(b->im->source, &q, &r, why);
    if (!rc && r.status == 404) {
        snprintf(b->why, IMPORT_WHY_SIZE, "the source has not got it");
        rc = ERR_NOTFOUND;
    } else if (b->err)
        rc = b->err; // told where it came up
    else if (rc == ERR_TOOBIG)
        rc = too_long(b);
    else if (rc)
        memcpy(b->why, why, sizeof why);
    fetch_result_done(&r);
    return rc;
}

static bool can_go_on(int rc)
{
    return !rc || rc == ERR_UNREACHABLE || rc == ERR_TIMEOUT || rc == ERR_PROTO;
}

// All bytes, over as many requests as it takes, as long as each brings some.
static int fetch_all(struct blob *b)
{
    for (unsigned i = 0; i < RESUMES_MAX; i++) {
        uint64_t before = b->got;
        int rc = fetch_rest(b);
        if (b->got == b->size && !b->err)
            return rc == ERR_NOTFOUND ? rc : 0;
        if (!can_go_on(rc) || b->err)
            return rc;
        if (b->got > before)
            continue;
        if (rc)
            return rc;
        break;
    }
    snprintf(b->why, IMPORT_WHY_SIZE,
             "the source sends %" PRIu64 " of the %" PRIu64 " bytes that its manifest states",
             b->got, b->size);
    return ERR_TRUNC;
}

static int verify(struct blob *b)
{
    struct digest got;
    char text[DIGEST_TEXT_SIZE];
    int rc = hasher_final(b->hasher, &got);
    if (rc || digest_equal(&got, b->digest))
        return rc;
    snprintf(b->why, IMPORT_WHY_SIZE, "the source's bytes have another digest: %s",
             digest_format(&got, text));
    return ERR_CRYPTO;
}

static int copy(struct blob *b)
{
    b->hasher = hasher_new(b->digest->alg);
    if (!b->hasher)
        return ERR_NOMEM;
    int rc = 0;
    rc = fetch_all(b);
    if (!rc)
        rc = verify(b);
    assert(rc || b->got == b->size);
    if (!rc)
        rc = upload_end(b);
    if (rc)
        upload_drop(b);
    hasher_free(b->hasher);
    return rc;
}

// The target was away while a piece went to it, and nobody knows how much it has.
static int copy_anew(struct blob *b)
{
    b->n_piece = 0;
    b->got = b->sent = 0;
    *b->location = 0;
    b->err = 0;
    return copy(b);
}

// What need not come from the source. *out: it is in the repository now.
static int without_source(struct blob *b, bool *out)
{
    struct import *im = b->im;
    int rc = is_there(b, out);
    if (rc)
        return rc;
    if (*out) {
        atomic_fetch_add(&im->n.blobs_there, 1);
        return 0;
    }
    const char *place = place_of(b);
    if (!place)
        return 0;
    if (im->dry_run)
        *out = true;
    else
        rc = mount(b, place, out);
    if (*out)
        atomic_fetch_add(&im->n.mounted, 1);
    return rc;
}

static int from_source(struct blob *b, unsigned lane)
{
    struct import *im = b->im;
    if (im->dry_run) {
        atomic_fetch_add(&im->n.bytes, b->size);
        return 0;
    }
    if (!im->pieces[lane])
        im->pieces[lane] = mem_alloc(PIECE_BYTES);
    b->piece = im->pieces[lane];
    if (!b->piece)
        return ERR_NOMEM;
    int rc = copy(b);
    for (unsigned i = 0; b->err == ERR_UNREACHABLE && i < ANEW_MAX; i++)
        rc = copy_anew(b);
    return rc;
}

int blob_copy(struct import *im, unsigned lane, const struct repository_names *names,
              const struct digest *digest, uint64_t size, char why[IMPORT_WHY_SIZE])
{
    struct blob b = {.im = im, .names = names, .digest = digest, .size = size, .why = why};
    bool there = false;
    *why = 0;
    int rc = without_source(&b, &there);
    if (!rc && !there) {
        rc = from_source(&b, lane);
        if (!rc)
            atomic_fetch_add(&im->n.blobs, 1);
    }
    if (!rc)
        place_note(&b);
    return rc;
}
