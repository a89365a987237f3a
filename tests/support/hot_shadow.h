// SPDX-License-Identifier: Apache-2.0
// Every look of a test at a manifest or a blob is held against what store/hot.h would have said: what
// it still believes must be what the metadata shows. So each history of the tests of the metadata is
// one of the cache, too, whatever kinds of changes it has. A program whose threads write while others
// look says HOT_SHADOW_OFF before it includes this.
#ifndef MERIDIAN_TESTS_HOT_SHADOW_H
#define MERIDIAN_TESTS_HOT_SHADOW_H

#include "base/err.h"
#include "store/blob_backend.h"
#include "store/hot.h"
#include "store/meta.h"
#include "tests/support/check_main.h"

#define SHADOWS_MAX 16

static struct hot_shadow {
    struct meta *meta;
    struct hot *hot;
} hot_shadows[SHADOWS_MAX];
// has no blobs; no file goes
static inline int hot_shadow_open(struct blob_store *bs, const struct blob_name *name,
                                  struct blob_reader **out)
{
    (void)bs, (void)name, (void)out;
    return ERR_NOTFOUND;
}
static const struct blob_backend hot_shadow_backend = {.reader_open = hot_shadow_open};
static struct blob_store hot_shadow_blobs = {.backend = &hot_shadow_backend};

static inline struct hot *hot_shadow_of(struct meta *m)
{
    struct hot_shadow *empty = NULL;
    for (size_t i = 0; i < SHADOWS_MAX; i++) {
        if (hot_shadows[i].meta == m)
            return hot_shadows[i].hot;
        if (!hot_shadows[i].meta)
            empty = &hot_shadows[i];
    }
    if (!empty || hot_new(m, &hot_shadow_blobs, 0, &empty->hot))
        return NULL; // memory fails: that is what is tested
    empty->meta = m;
    return empty->hot;
}

static inline void hot_shadow_end(struct meta *m)
{
    for (size_t i = 0; m && i < SHADOWS_MAX; i++)
        if (hot_shadows[i].meta == m) {
            hot_free(hot_shadows[i].hot);
            hot_shadows[i] = (struct hot_shadow){0};
        }
}

static inline int hot_shadow_manifest(struct meta *m, const char *registry, const char *repository,
                                      const char *tag, const struct digest *d, struct arena *a,
                                      struct manifest_row *out)
{
    const struct hot_key key = {registry, repository, tag, d};
    struct hot *h = hot_shadow_of(m);
    struct manifest_row was, is;
    if (!h || !tag == !d)
        return meta_manifest_get(m, registry, repository, tag, d, a, out);
    bool hit = !hot_manifest(h, &key, a, &was);
    int rc = hot_manifest_read(h, &key, a, &is);
    ck_assert_msg(!hit || rc != ERR_NOTFOUND, "%s/%s: gone, but hot", repository, tag ? tag : "");
    if (rc)
        return rc;
    if (hit) {
        ck_assert(digest_equal(&was.digest, &is.digest));
        ck_assert(bytes_equal(was.content, is.content));
        ck_assert_str_eq(was.media_type, is.media_type);
        ck_assert_str_eq(was.origin, is.origin);
        ck_assert(was.stamp == is.stamp && was.epoch == is.epoch);
    }
    *out = is;
    return 0;
}

static inline int hot_shadow_blob(struct meta *m, const char *registry, const char *repository,
                                  const struct digest *d, struct blob_here *out)
{
    const struct hot_key key = {.registry = registry, .repository = repository, .digest = d};
    const struct blob_serve serve = {.kind = BLOB_SERVE_PATH};
    struct hot *h = hot_shadow_of(m);
    struct hot_look look;
    struct hot_blob was;
    struct blob_here is;
    if (!h)
        return meta_blob_look(m, registry, repository, d, out);
    bool hit = !hot_blob(h, &key, NULL, &was);
    int rc = hot_blob_look(h, &key, &look, &is);
    ck_assert_msg(!hit || rc != ERR_NOTFOUND, "%s: a blob that is gone is hot", repository);
    if (rc)
        return rc;
    ck_assert(!hit || (blob_name_equal(&was.here.name, &is.name) && was.here.size == is.size &&
                       was.here.linked == is.linked));
    hot_blob_end(h, &key, &look, &is, &serve);
    *out = is;
    return 0;
}

static inline void hot_shadow_close(struct meta *m)
{
    hot_shadow_end(m);
    meta_close(m);
}

#ifndef HOT_SHADOW_OFF
#define meta_manifest_get hot_shadow_manifest
#define meta_blob_look hot_shadow_blob
#define meta_close hot_shadow_close
#endif

#endif
