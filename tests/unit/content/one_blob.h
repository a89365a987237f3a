// SPDX-License-Identifier: Apache-2.0
// One blob of BLOB_BYTES that scripted sources have, a store in a folder, and a content over it. Who
// includes this may say BLOB_BYTES before.
//
//   blob_begin();
//   content_make(&(struct content_options){.n_streams = 3});
//   …
//   end();
#ifndef MERIDIAN_TESTS_CONTENT_ONE_BLOB_H
#define MERIDIAN_TESTS_CONTENT_ONE_BLOB_H

#include "content/content.h"

#include "base/fd.h"
#include "store/files/files.h"
#include "tests/unit/content/scripted.h"

#include <limits.h>
#include <unistd.h>

#ifndef BLOB_BYTES
#define BLOB_BYTES 300000
#endif

static char dir[64];
static struct blob_store *blobs;
static struct content *content;
static char bytes[BLOB_BYTES];
static struct digest digest;
static struct space_charge charge;
static struct content_outcome out;

// What a caller's metadata would say of the one blob.
static struct blob_name serving;
static uint64_t serving_size;
static _Atomic bool serves;

static int find(void *ctx, const struct digest *d, struct blob_name *out_name, uint64_t *out_size)
{
    (void)ctx;
    if (!serves || !digest_equal(d, &serving.digest))
        return ERR_NOTFOUND;
    *out_name = serving;
    *out_size = serving_size;
    return 0;
}

static int published(void *ctx, const struct blob_name *name, uint64_t size)
{
    (void)ctx;
    serving = *name;
    serving_size = size;
    serves = true;
    return 0;
}

static void blob_begin(void)
{
    strcpy(dir, "/tmp/meridian-content-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(blob_files_open(dir, &blobs), 0);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    ck_assert_int_eq(digest_of(DIGEST_SHA256, bytes, sizeof bytes, &digest), 0);
    ck_assert_int_eq(space_take(NULL, 0, &charge), 0);
}

static void content_make(const struct content_options *more)
{
    struct content_options o = *more;
    o.blobs = blobs;
    o.find = find;
    o.region = "westeurope";
    o.max_flights = 4;
    ck_assert_int_eq(content_new(&o, &content), 0);
}

static void end(void)
{
    space_return(&charge);
    content_free(content);
    blob_store_close(blobs);
    ck_assert_int_eq(dir_remove_tree(dir), 0);
}

static struct script script_whole(const char *name)
{
    return (struct script){.name = name, .bytes = bytes, .n = sizeof bytes};
}

static struct content_want want_of(struct source *const *sources, size_t n)
{
    return (struct content_want){.registry = "contoso",
                                 .repository = "app",
                                 .digest = digest,
                                 .size = sizeof bytes,
                                 .sources = sources,
                                 .n_sources = n,
                                 .max_running = UINT_MAX,
                                 .charge = &charge,
                                 .published = published};
}

static void expect_here(void)
{
    uint64_t size;
    ck_assert(serves);
    ck_assert_int_eq(blob_stat(blobs, &serving, &size), 0);
    ck_assert_uint_eq(size, sizeof bytes);
    ck_assert_int_eq(blob_verify(blobs, &serving, 0, NULL), 0);
    ck_assert_uint_eq(blob_partial_size(blobs, &digest), 0);
}

static unsigned n_wrong(const struct script *s)
{
    struct source_view v;
    source_look(s->source, &v);
    return (unsigned)v.n_wrong;
}

#endif
