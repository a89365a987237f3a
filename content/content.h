// SPDX-License-Identifier: Apache-2.0
// Where bytes come from: manifests and blobs that this region lacks are asked for at sources, in
// the caller's order, one after the other until one gives them. A fetch of a blob goes on where an
// earlier one stopped, is verified, and only then is published in the blob store. Many who want one
// blob share one fetch (content/flight.h).
//
//   struct content_want want = {.registry = "contoso", .repository = "app", .digest = d,
//                               .size = size, .sources = list, .n_sources = n,
//                               .max_running = UINT_MAX, .charge = &charge};
//   struct content_outcome out;
//   rc = content_blob(content, &want, &out);           // here, or an error and out.error
//
// Who may see the content is not decided here, and no lease, tag or entry is written: that is the
// caller's. Nor is room on the disk granted here: the caller has charged what is known to come
// (store/space.h) and gives the charge.
//
// Threads: any; the calls block, for as long as sources and disk take. Nothing is called back while
// a lock of this room is held.
//
// Invariants
//   1. Nothing is kept whose digest is not the one asked for; who sent it makes no difference.
//   2. A source is blamed for wrong bytes only when all of them came from it.
//   3. An error of this region's own disk is never held against the source.
#ifndef MERIDIAN_CONTENT_CONTENT_H
#define MERIDIAN_CONTENT_CONTENT_H

#include "base/bytes.h"
#include "content/flight.h"
#include "content/source.h"
#include "store/blob.h"
#include "store/space.h"

#define CONTENT_MANIFEST_MAX (32u << 20)
// of one blob, beside the first
#define CONTENT_STREAMS_MAX 7

struct content;
struct content_options {
    struct blob_store *blobs;
    // Which generation of the digest serves here (meta_blob_find). ERR_NOTFOUND: the blob is not
    // here.
    int (*find)(void *ctx, const struct digest *d, struct blob_name *out, uint64_t *out_size);
    void *find_ctx;
    // this region's name, for messages; copied
    const char *region;
    // so many blobs may be fetched at once
    size_t max_flights;
    // threads that all large blobs share, for streams beside the first (content_want.streams);
    // 0: none. Half of them are for blobs that are urgent when their streams begin.
    unsigned n_streams;
    // So long no part of a blob comes by those streams while the first has nothing to do: then it goes
    // on alone. 0: 5 s.
    unsigned stall_ms;
};
int content_new(const struct content_options *o, struct content **out);
// All calls that run end with ERR_CANCELED soon, and so do later ones.
void content_stop(struct content *c);
void content_free(struct content *c); // after all calls have returned; NULL is ignored

struct content_want {
    const char *registry, *repository;
    struct digest digest;
    // of a blob, as the manifest says; what comes may be larger or smaller
    uint64_t size;
    // what comes is no larger than that
    bool exact;
    // in the order to ask them
    struct source *const *sources;
    size_t n_sources;
    // so many requests may run to one source
    unsigned max_running;
    // its requests have no part in that, nor in that of others (source_enter_besides)
    bool besides;
    // A large blob may come in so many streams at once, from one source or several (content/ranges.h);
    // 0, 1: in order. Only the first has a part in max_running.
    unsigned streams;
    // Somebody waits for it who goes before all: it is not held back (content_ask.urgent), nor is the
    // fetch of another thread for which it waits.
    bool urgent;
    // For the bytes of a blob. It grows by windows when more comes than was charged.
    struct space_charge *charge;

    // The rest may be NULL; `ctx` is for all of them.

    // Turns true when the fetch is to end with ERR_CANCELED, in place of content_stop; what came is
    // kept. Who waits for the same blob goes on with it.
    const _Atomic bool *stop;

    // The bytes came and were committed under this name: notes them, so that the name serves
    // (store/publish.h), before others who want the blob look. On the thread that fetches; an error
    // is this region's own, and is the result. Not called when the blob was here already. NULL:
    // nobody needs them.
    int (*published)(void *ctx, const struct blob_name *name, uint64_t size);
    // May bytes count that this region has already, for whomever? False: they must come from a
    // source, which proves that it has them for this repository. NULL: they may.
    bool (*may_take)(void *ctx);
    // Another thread fetches the same blob. May this one wait for it? Asked again and again;
    // false: content_blob returns ERR_BUSY.
    bool (*may_wait)(void *ctx);
    // so many bytes of the blob are here
    void (*arrived)(void *ctx, uint64_t bytes);
    // Is it worth to go on with these sources? Asked on the thread that fetches, after each piece that
    // came. False: it ends with ERR_CANCELED; what came is kept, and no source has failed.
    bool (*goes_on)(void *ctx);
    // A write of the blob failed for want of space. So many bytes of it are here; they are given up
    // when this returns.
    void (*no_space)(void *ctx, uint64_t bytes);
    void *ctx;
};

struct content_outcome {
    // why, for people; "" when the code says all
    char error[CONTENT_TEXT_SIZE];
    // a source that could not be asked may be asked then; 0: all were asked
    int64_t not_before_mono;
    // the error is this region's own, whoever sent the bytes
    bool own_fault;
};

// Makes the blob be here, whole; waits while another thread fetches it. On an error:
//   ERR_NOTFOUND     all sources that could be asked said that they have not got it
//   ERR_BUSY         the sources that are left have enough to do, or may_wait said no
//   ERR_UNREACHABLE  no source could be asked (error is ""), or none answered
//   ERR_DIGEST       the bytes that came were wrong
//   ERR_NOSPACE      its bytes do not fit on the disk; what came is given up
//   ERR_CANCELED     content_stop was called, *stop is true, or goes_on said no
// or else the worst error of those sources that failed.
int content_blob(struct content *c, const struct content_want *w, struct content_outcome *out);
// Gets the manifest's bytes, at most CONTENT_MANIFEST_MAX. *out_body is the caller's to free with
// buf_done. Errors as above; nothing is stored.
int content_manifest(struct content *c, const struct content_want *w, struct buf *out_body,
                     struct content_outcome *out);

// For those who join a blob's flight themselves, to wait for its bytes: the leader calls
// content_run, on the thread that is to fetch. It returns when the flight has ended, with how it
// ended; what *w points to lives so long.
struct flights *content_flights(struct content *c);
int content_run(struct content *c, const struct content_want *w, struct flight *f,
                struct content_outcome *out);

#endif
