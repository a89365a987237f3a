// SPDX-License-Identifier: Apache-2.0
// See hot.h.
//
// Invariants
//   1. An entry never changes. Who found it has a reference, and copies from it without the lock.
//   2. The bytes of all entries in the table are at most max_bytes.
//   3. An entry counts only after meta_seen_holds said so; one that does not hold goes on sight.
#include "store/hot.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/siphash.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define SETS 1024u
#define WAYS 8u
#define KEY_MAX 1024
// one entry is at most this part of all
#define PART 16

struct entry {
    _Atomic uint32_t refs;
    uint64_t hash;
    size_t bytes, n_key;
    struct meta_seen seen;
    // found since the hand went by
    _Atomic bool used;
    // of a blob
    struct hot_blob blob;
    uint64_t removals;
    int64_t until_ms;
    // of a manifest; media type and origin end by NUL
    struct digest digest;
    uint64_t stamp, epoch;
    size_t n_media_type, n_origin;
    // also of a small blob
    size_t n_content;
    // key, media type, origin, content
    uint8_t data[];
};

struct hot {
    struct meta *meta;
    struct blob_store *blobs;
    size_t max_bytes;
    struct siphash_key secret;
    _Atomic uint64_t hits, misses;
    pthread_mutex_t lock;
    // under the lock
    struct entry *slots[SETS * WAYS];
    size_t n, bytes, hand;
};

int hot_new(struct meta *m, struct blob_store *bs, size_t max_bytes, struct hot **out)
{
    uint8_t secret[SIPHASH_KEY_BYTES];
    struct hot *h = mem_zalloc(sizeof *h);
    if (!h)
        return ERR_NOMEM;
    int rc = random_bytes(secret, sizeof secret);
    if (rc) {
        free(h);
        return rc;
    }
    h->secret = siphash_key_of(secret);
    h->meta = m;
    h->blobs = bs;
    h->max_bytes = max_bytes ? max_bytes : HOT_BYTES_DEFAULT;
    pthread_mutex_init(&h->lock, NULL);
    *out = h;
    return 0;
}

static void entry_unref(struct entry *e)
{
    if (e && atomic_fetch_sub(&e->refs, 1) == 1)
        free(e);
}

void hot_free(struct hot *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < SETS * WAYS; i++)
        entry_unref(h->slots[i]);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

void hot_stats_get(struct hot *h, struct hot_stats *out)
{
    pthread_mutex_lock(&h->lock);
    *out = (struct hot_stats){.hits = atomic_load(&h->hits),
                              .misses = atomic_load(&h->misses),
                              .n = h->n,
                              .bytes = h->bytes};
    pthread_mutex_unlock(&h->lock);
}

// --- keys ---

enum kind { KIND_MANIFEST = 'm', KIND_BLOB = 'b' };

struct key {
    uint64_t hash;
    size_t n;
    uint8_t p[KEY_MAX];
};

static void key_add(struct key *k, const void *p, size_t n)
{
    if (n > KEY_MAX - k->n) {
        k->n = KEY_MAX;
        return;
    }
    memcpy(k->p + k->n, p, n);
    k->n += n;
}

static void key_add_text(struct key *k, const char *s)
{
    key_add(k, s, strlen(s) + 1);
}

// Names have no NUL, so no two keys read alike. False: it is too long to be remembered.
static bool key_make(const struct hot *h, enum kind kind, const struct hot_key *of, struct key *k)
{
    const uint8_t word = (uint8_t)kind;
    k->n = 0;
    key_add(k, &word, 1);
    key_add_text(k, of->registry);
    key_add_text(k, of->repository);
    if (of->tag) {
        key_add_text(k, of->tag);
    } else {
        key_add(k, "", 1); // no tag is empty
        key_add(k, &of->digest->alg, 1);
        key_add(k, of->digest->b, of->digest->n);
    }
    if (k->n == KEY_MAX)
        return false;
    k->hash = siphash24(&h->secret, k->p, k->n);
    return true;
}

static bool entry_is(const struct entry *e, const struct key *k)
{
    return e->hash == k->hash && e->n_key == k->n && !memcmp(e->data, k->p, k->n);
}

// --- the table, under the lock ---

static struct entry **set_of(struct hot *h, const struct key *k)
{
    return &h->slots[k->hash % SETS * WAYS];
}

static void slot_clear(struct hot *h, struct entry **slot)
{
    struct entry *e = take_ptr(*slot);
    if (!e)
        return;
    h->n--;
    h->bytes -= e->bytes;
    entry_unref(e);
}

// Where a new entry goes: on its older self, in an empty slot, or on what was not used lately.
static struct entry **slot_choose(struct hot *h, const struct key *k)
{
    struct entry **set = set_of(h, k), **empty = NULL, **idle = NULL;
    for (size_t i = 0; i < WAYS; i++) {
        if (!set[i]) {
            empty = &set[i];
            continue;
        }
        if (entry_is(set[i], k))
            return &set[i];
        if (!atomic_exchange(&set[i]->used, false))
            idle = &set[i];
    }
    if (empty)
        return empty;
    if (idle)
        return idle;
    return &set[k->hash / SETS % WAYS];
}

// What was not used since the hand went by goes until there is room (2).
static void room_make(struct hot *h, size_t bytes)
{
    while (h->bytes + bytes > h->max_bytes) {
        struct entry **slot = &h->slots[h->hand];
        h->hand = (h->hand + 1) % (SETS * WAYS);
        if (*slot && !atomic_exchange(&(*slot)->used, false))
            slot_clear(h, slot);
    }
}

// --- finding and remembering ---

// With a reference.
static struct entry *entry_take(struct hot *h, const struct key *k)
{
    struct entry *found = NULL;
    pthread_mutex_lock(&h->lock);
    struct entry **set = set_of(h, k);
    for (size_t i = 0; i < WAYS && !found; i++)
        if (set[i] && entry_is(set[i], k))
            found = set[i];
    if (found)
        atomic_fetch_add(&found->refs, 1);
    pthread_mutex_unlock(&h->lock);
    return found;
}

static void entry_drop(struct hot *h, const struct key *k, const struct entry *e)
{
    pthread_mutex_lock(&h->lock);
    struct entry **set = set_of(h, k);
    for (size_t i = 0; i < WAYS; i++)
        if (set[i] == e)
            slot_clear(h, &set[i]);
    pthread_mutex_unlock(&h->lock);
}

static bool entry_holds(struct hot *h, enum kind kind, const struct entry *e)
{
    if (kind == KIND_BLOB &&
        (blob_removals(h->blobs) != e->removals || clock_mono_ms() >= e->until_ms))
        return false;
    return meta_seen_holds(h->meta, &e->seen);
}

// With a reference; NULL: nothing that holds.
static struct entry *entry_find(struct hot *h, enum kind kind, const struct hot_key *key)
{
    struct key k;
    struct entry *e = NULL;
    if (key_make(h, kind, key, &k))
        e = entry_take(h, &k);
    if (e && !entry_holds(h, kind, e)) {
        entry_drop(h, &k, e); // 3
        entry_unref(take_ptr(e));
    }
    if (!e) {
        atomic_fetch_add_explicit(&h->misses, 1, memory_order_relaxed);
        return NULL;
    }
    atomic_store_explicit(&e->used, true, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->hits, 1, memory_order_relaxed);
    return e;
}

// Room for `n` bytes behind the key. NULL: it is not to be remembered.
static struct entry *entry_new(const struct hot *h, const struct key *k,
                               const struct meta_seen *seen, size_t n)
{
    size_t bytes = sizeof(struct entry) + k->n + n;
    if (!seen->repo_number || !seen->blob_number || n > h->max_bytes || bytes > h->max_bytes / PART)
        return NULL;
    struct entry *e = mem_zalloc(bytes);
    if (!e)
        return NULL;
    atomic_store(&e->refs, 1);
    e->hash = k->hash;
    e->bytes = bytes;
    e->n_key = k->n;
    e->seen = *seen;
    memcpy(e->data, k->p, k->n);
    return e;
}

// Takes the reference.
static void entry_put(struct hot *h, const struct key *k, struct entry *e)
{
    pthread_mutex_lock(&h->lock);
    struct entry **slot = slot_choose(h, k);
    slot_clear(h, slot);
    room_make(h, e->bytes);
    *slot = e;
    h->n++;
    h->bytes += e->bytes;
    assert(h->bytes <= h->max_bytes); // 2
    pthread_mutex_unlock(&h->lock);
}

// --- manifests ---

static int manifest_copy(const struct entry *e, struct arena *a, struct manifest_row *out)
{
    const char *media_type = (const char *)e->data + e->n_key;
    const char *origin = media_type + e->n_media_type;
    struct manifest_row row = {
        .digest = e->digest,
        .media_type = arena_strdup(a, media_type),
        .origin = arena_strdup(a, origin),
        .content = {arena_copy(a, origin + e->n_origin, e->n_content), e->n_content},
        .stamp = e->stamp,
        .epoch = e->epoch};
    if (!row.media_type || !row.origin || !row.content.p)
        return ERR_NOMEM;
    *out = row;
    return 0;
}

int hot_manifest(struct hot *h, const struct hot_key *key, struct arena *a,
                 struct manifest_row *out)
{
    struct entry *e = entry_find(h, KIND_MANIFEST, key);
    if (!e)
        return ERR_NOTFOUND;
    int rc = manifest_copy(e, a, out);
    entry_unref(e);
    return rc;
}

static void manifest_remember(struct hot *h, const struct hot_key *key,
                              const struct manifest_row *row, const struct meta_seen *seen)
{
    struct key k;
    size_t n_media_type = strlen(row->media_type) + 1, n_origin = strlen(row->origin) + 1;
    if (!key_make(h, KIND_MANIFEST, key, &k) || !row->content.n)
        return;
    struct entry *e = entry_new(h, &k, seen, n_media_type + n_origin + row->content.n);
    if (!e)
        return;
    e->digest = row->digest;
    e->stamp = row->stamp;
    e->epoch = row->epoch;
    e->n_media_type = n_media_type;
    e->n_origin = n_origin;
    e->n_content = row->content.n;
    uint8_t *to = e->data + k.n;
    memcpy(to, row->media_type, n_media_type);
    memcpy(to + n_media_type, row->origin, n_origin);
    memcpy(to + n_media_type + n_origin, row->content.p, row->content.n);
    entry_put(h, &k, e);
}

static bool is_whole(const struct manifest_row *row)
{
    struct digest d;
    int rc = digest_of((enum digest_alg)row->digest.alg, row->content.p, row->content.n, &d);
    return !rc && digest_equal(&d, &row->digest);
}

int hot_manifest_read(struct hot *h, const struct hot_key *key, struct arena *a,
                      struct manifest_row *out)
{
    struct meta_seen seen;
    struct manifest_row row;
    int rc = meta_manifest_see(h->meta, key->registry, key->repository, key->tag, key->digest, a,
                               &row, &seen);
    if (rc)
        return rc;
    if (!is_whole(&row))
        return ERR_DIGEST;
    manifest_remember(h, key, &row, &seen);
    *out = row;
    return 0;
}

// --- blobs ---

int hot_blob(struct hot *h, const struct hot_key *key, struct arena *a, struct hot_blob *out)
{
    struct entry *e = entry_find(h, KIND_BLOB, key);
    if (!e)
        return ERR_NOTFOUND;
    *out = e->blob;
    if (a && e->n_content) // else it is served from the file
        out->content =
            (struct bytes){arena_copy(a, e->data + e->n_key, e->n_content), e->n_content};
    entry_unref(e);
    return 0;
}

// Of a small blob, if it is what its digest says. What is damaged is the scrub's to find.
static bool content_read(struct hot *h, const struct blob_here *here, uint8_t *to)
{
    struct blob_reader *r;
    struct digest is;
    size_t n;
    if (blob_reader_open(h->blobs, &here->name, &r))
        return false;
    int rc = blob_reader_read(r, 0, to, here->size, &n);
    blob_reader_close(r);
    if (rc || n != here->size)
        return false;
    rc = digest_of((enum digest_alg)here->name.digest.alg, to, n, &is);
    return !rc && digest_equal(&is, &here->name.digest);
}

int hot_blob_look(struct hot *h, const struct hot_key *key, struct hot_look *look,
                  struct blob_here *out)
{
    struct hot_look l = {.removals = blob_removals(h->blobs)};
    int rc = meta_blob_see(h->meta, key->registry, key->repository, key->digest, out, &l.seen);
    if (rc)
        return rc;
    *look = l;
    return 0;
}

void hot_blob_end(struct hot *h, const struct hot_key *key, const struct hot_look *look,
                  const struct blob_here *here, const struct blob_serve *serve)
{
    struct key k;
    size_t n = here->size;
    if (n > HOT_BLOB_MAX || serve->kind != BLOB_SERVE_PATH || !key_make(h, KIND_BLOB, key, &k))
        return;
    struct entry *e = entry_new(h, &k, &look->seen, n);
    if (!e)
        return;
    if (n && content_read(h, here, e->data + k.n))
        e->n_content = n;
    e->blob = (struct hot_blob){.here = *here, .serve = *serve};
    e->blob.here.age_ms = 0;
    e->removals = look->removals;
    e->until_ms = clock_mono_ms() + HOT_STAT_MS;
    entry_put(h, &k, e);
}
