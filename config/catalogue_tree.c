// SPDX-License-Identifier: Apache-2.0
// The persistent tree of buckets; see catalogue_priv.h for what may be changed when. Called by
// catalogue.c, on whatever thread builds a topology; references are dropped on any.
#include "config/catalogue_priv.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/htab.h"
#include "base/mem.h"
#include "config/policy.h"

#include <assert.h>
#include <stdatomic.h>
#include <sys/mman.h>

// records at least, at building; twice that at most, unless all fit in one node's
#define BUCKET_MEAN 24

static void ref(_Atomic uint32_t *refs)
{
    atomic_fetch_add_explicit(refs, 1, memory_order_relaxed);
}

static bool last(_Atomic uint32_t *refs)
{
    return atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

static bool only_ours(_Atomic uint32_t *refs)
{
    return atomic_load_explicit(refs, memory_order_acquire) == 1;
}

// ---- buckets ----

static uint8_t slot_bits_for(size_t n)
{
    uint8_t bits = 2;
    while (((size_t)1 << bits) < n + n / 2)
        bits++;
    return bits;
}

#define HUGE_BYTES ((size_t)2 << 20)

// In huge pages: a lookup then costs no walk of page tables. Its room is given back with the last
// of its buckets; what changes replace is a hole until then, so that a tree takes at most twice its
// size.
struct catalogue_slab {
    _Atomic uint32_t refs;
    uint8_t *p;
    size_t n, used;
};

static void slab_unref(struct catalogue_slab *s)
{
    if (!s || !last(&s->refs))
        return;
    munmap(s->p, s->n);
    free(s);
}

// Holds one reference of its own. NULL: out of memory.
static struct catalogue_slab *slab_new(size_t n)
{
    struct catalogue_slab *s = mem_zalloc(sizeof *s);
    if (!s)
        return NULL;
    n = (n + 2 * HUGE_BYTES - 1) & ~(HUGE_BYTES - 1);
    uint8_t *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        free(s);
        return NULL;
    }
    atomic_init(&s->refs, 1);
    s->p = p;
    s->n = n;
    s->used = (HUGE_BYTES - (uintptr_t)p % HUGE_BYTES) % HUGE_BYTES;
    (void)madvise(p, n, MADV_HUGEPAGE); // without it, it is only slower
    return s;
}

static uintptr_t bucket_tagged(const struct catalogue_bucket *b)
{
    return (uintptr_t)b | b->slot_bits;
}

static size_t bucket_bytes(size_t n, size_t bytes)
{
    size_t slots = ((size_t)1 << slot_bits_for(n)) * sizeof(struct catalogue_slot);
    return (sizeof(struct catalogue_bucket) + slots + bytes + BUCKET_ALIGN - 1) &
           ~(size_t)(BUCKET_ALIGN - 1);
}

// For n records of so many bytes together. In the slab, if there is one: it has room.
static struct catalogue_bucket *bucket_new(struct catalogue_slab *slab, size_t n, size_t bytes)
{
    uint8_t bits = slot_bits_for(n);
    if (bits >= BUCKET_ALIGN || bytes / RECORD_UNIT > UINT16_MAX - 1)
        return NULL;
    size_t slots = ((size_t)1 << bits) * sizeof(struct catalogue_slot);
    struct catalogue_bucket *b;
    if (slab) {
        b = (struct catalogue_bucket *)(void *)(slab->p + slab->used);
        slab->used += bucket_bytes(n, bytes);
        assert(slab->used <= slab->n);
        ref(&slab->refs);
    } else {
        b = mem_alloc(sizeof *b + slots + bytes);
    }
    if (!b)
        return NULL;
    assert(((uintptr_t)b & (BUCKET_ALIGN - 1)) == 0);
    memset(b, 0, sizeof *b + slots);
    atomic_init(&b->refs, 1);
    b->slot_bits = bits;
    b->slab = slab;
    return b;
}

// Room for the next record, which the caller fills with exactly so many bytes.
static struct catalogue_registry *bucket_add(struct catalogue_bucket *b, uint64_t hash,
                                             size_t bytes)
{
    size_t mask = ((size_t)1 << b->slot_bits) - 1, s = hash & mask;
    while (b->slots[s].at)
        s = (s + 1) & mask;
    b->slots[s] = (struct catalogue_slot){slot_tag(hash), (uint16_t)(b->n_units + 1)};
    b->n_units += (uint32_t)(bytes / RECORD_UNIT);
    b->n++;
    return (struct catalogue_registry *)(uintptr_t)bucket_record(b, b->slot_bits, b->slots[s].at);
}

// The record after `r` (NULL: the first) in a bucket's order, or NULL.
static const struct catalogue_registry *bucket_next(const struct catalogue_bucket *b,
                                                    const struct catalogue_registry *r)
{
    const uint8_t *first = (const uint8_t *)bucket_record(b, b->slot_bits, 1);
    const uint8_t *p = first;
    if (r)
        p = (const uint8_t *)r + record_size(r);
    if (p < first + (size_t)b->n_units * RECORD_UNIT)
        return (const struct catalogue_registry *)(const void *)p;
    return NULL;
}

static void bucket_unref(struct catalogue_bucket *b)
{
    if (!b || !last(&b->refs))
        return;
    for (const struct catalogue_registry *r = bucket_next(b, NULL); r; r = bucket_next(b, r))
        extra_unref(record_extra(r));
    free(b->registries);
    if (b->slab)
        slab_unref(b->slab);
    else
        free(b);
}

// struct registry of each record, in one block with what hangs off them.
static int bucket_expand(struct catalogue_bucket *b)
{
    size_t bytes = b->n * sizeof(struct registry), i = 0;
    for (const struct catalogue_registry *r = bucket_next(b, NULL); r; r = bucket_next(b, r))
        bytes += record_unpacked_bytes(r);
    struct registry *all = mem_alloc(bytes);
    if (!all)
        return ERR_NOMEM;
    uint8_t *room = (uint8_t *)(all + b->n);
    for (const struct catalogue_registry *r = bucket_next(b, NULL); r; r = bucket_next(b, r), i++) {
        record_unpack(r, room, &all[i]);
        room += record_unpacked_bytes(r);
    }
    free(b->registries);
    b->registries = all;
    return 0;
}

// ---- nodes and roots ----

static void node_unref(struct catalogue_node *n)
{
    if (!n || !last(&n->refs))
        return;
    for (size_t i = 0; i < ARRAY_LEN(n->buckets); i++)
        bucket_unref(bucket_of(n->buckets[i]));
    free(n);
}

void tree_unref(struct catalogue_root *r)
{
    if (!r || !last(&r->refs))
        return;
    for (size_t i = 0; i < (size_t)1 << r->bits; i++)
        node_unref(r->nodes[i]);
    free(r);
}

static struct catalogue_root *root_new(uint8_t bits)
{
    size_t n = (size_t)1 << bits;
    struct catalogue_root *r = mem_zalloc(sizeof *r + n * sizeof r->nodes[0]);
    if (!r)
        return NULL;
    atomic_init(&r->refs, 1);
    r->bits = bits;
    return r;
}

struct catalogue_root *tree_copy(const struct catalogue_root *from)
{
    struct catalogue_root *r = root_new(from->bits);
    if (r)
        r->n_private = from->n_private;
    for (size_t i = 0; r && i < (size_t)1 << r->bits; i++) {
        r->nodes[i] = from->nodes[i];
        ref(&r->nodes[i]->refs);
    }
    return r;
}

static struct catalogue_node *node_copy(const struct catalogue_node *from)
{
    struct catalogue_node *n = mem_alloc(sizeof *n);
    if (!n)
        return NULL;
    memcpy(n->buckets, from->buckets, sizeof n->buckets);
    atomic_init(&n->refs, 1);
    for (size_t i = 0; i < ARRAY_LEN(n->buckets); i++)
        if (n->buckets[i])
            ref(&bucket_of(n->buckets[i])->refs);
    return n;
}

const struct catalogue_registry *tree_next(const struct catalogue_root *root,
                                           struct catalogue_iter *it,
                                           const struct catalogue_bucket **out_bucket)
{
    size_t n = (size_t)1 << (root->bits + NODE_BITS);
    for (; it->bucket < n; it->bucket++, it->record = NULL) {
        uintptr_t p =
            root->nodes[it->bucket >> NODE_BITS]->buckets[it->bucket & ((1u << NODE_BITS) - 1)];
        if (!p)
            continue;
        *out_bucket = bucket_of(p);
        it->record = bucket_next(*out_bucket, it->record);
        if (it->record)
            return it->record;
    }
    return NULL;
}

// ---- building ----

struct size_of_bucket {
    uint32_t n;
    uint32_t bytes;
};

struct building {
    const struct catalogue_source *src;
    const struct catalogue_hasher *hasher;
    struct catalogue_root *root;
    struct size_of_bucket *sizes;
    // of a large tree
    struct catalogue_slab *slab;
    // extras without private endpoints, by their content
    struct htab *shared;
};

static size_t index_of(const struct catalogue_root *root, uint64_t hash)
{
    return hash >> (64 - NODE_BITS - root->bits);
}

static void measure(struct building *b)
{
    struct registry r;
    struct catalogue_extra *extra;
    b->src->rewind(b->src->ctx);
    while (b->src->next(b->src->ctx, &r, &extra)) {
        struct size_of_bucket *s =
            &b->sizes[index_of(b->root, b->hasher->hash(b->hasher->key, r.name, strlen(r.name)))];
        s->n++;
        s->bytes += (uint32_t)record_bytes(&r);
    }
}

static int allocate(struct building *b)
{
    size_t total = 0;
    for (size_t i = 0; i < (size_t)1 << (b->root->bits + NODE_BITS); i++) {
        if (b->sizes[i].n)
            total += bucket_bytes(b->sizes[i].n, b->sizes[i].bytes);
    }
    if (total >= 2 * HUGE_BYTES && !(b->slab = slab_new(total)))
        return ERR_NOMEM;
    for (size_t i = 0; i < (size_t)1 << b->root->bits; i++) {
        struct catalogue_node *n = b->root->nodes[i] = mem_zalloc(sizeof *n);
        if (!n)
            return ERR_NOMEM;
        atomic_init(&n->refs, 1);
        for (size_t k = 0; k < ARRAY_LEN(n->buckets); k++) {
            const struct size_of_bucket *s = &b->sizes[(i << NODE_BITS) + k];
            struct catalogue_bucket *bucket = NULL;
            if (s->n)
                bucket = bucket_new(b->slab, s->n, s->bytes);
            if (s->n && !bucket)
                return ERR_NOMEM;
            if (bucket)
                n->buckets[k] = bucket_tagged(bucket);
            else
                n->buckets[k] = 0;
        }
    }
    return 0;
}

static void put_stages(struct buf *key, const struct registry *r)
{
    const uint8_t of_all[] = {r->stage, r->regional_stage, r->data_stage, r->dnl_scope};
    buf_add(key, of_all, sizeof of_all);
    for (size_t i = 0; i < r->n_replicas; i++)
        if (r->replicas[i].stage)
            buf_printf(key, "%u:%u;", r->replicas[i].region, r->replicas[i].stage);
    if (r->owner)
        buf_str(key, r->owner);
    buf_u8(key, 0);
}

// Weights, networks, policies and owners that many registries have alike are kept once.
static int extra_shared(struct building *b, const struct registry *r, struct catalogue_extra **out)
{
    if (!extra_needed(r) || r->n_private_endpoints)
        return extra_new(r, out);
    AUTO_BUF struct buf key;
    buf_init(&key, 0);
    if (r->weights)
        buf_add(&key, r->weights, TOPOLOGY_MAX_REGIONS);
    buf_u8(&key, r->weights != NULL);
    for (size_t i = 0; i < r->n_moves; i++)
        buf_printf(&key, "%u,%u,%lld;", r->moves[i].region, r->moves[i].was,
                   (long long)r->moves[i].since_s);
    buf_u8(&key, r->n_moves);
    buf_u8(&key, r->policy != NULL);
    if (r->policy)
        policy_put(&key, r->policy);
    put_stages(&key, r);
    buf_add(&key, r->public_cidrs, r->n_public_cidrs * sizeof *r->public_cidrs);
    if (key.err || (!b->shared && !(b->shared = htab_new())))
        return ERR_NOMEM;
    *out = htab_get(b->shared, key.p, key.n);
    if (*out) {
        ref(&(*out)->refs);
        return 0;
    }
    int rc = extra_new(r, out);
    if (!rc)
        // without memory for that it is only not shared
        (void)htab_put(b->shared, key.p, key.n, *out);
    return rc;
}

static int fill(struct building *b)
{
    struct registry r;
    struct catalogue_extra *extra;
    b->src->rewind(b->src->ctx);
    while (b->src->next(b->src->ctx, &r, &extra)) {
        uint64_t h = b->hasher->hash(b->hasher->key, r.name, strlen(r.name));
        struct catalogue_bucket *bucket = bucket_of(root_bucket(b->root, h));
        if (extra)
            ref(&extra->refs);
        else if (extra_shared(b, &r, &extra))
            return ERR_NOMEM;
        uint16_t ordinal = bucket->n;
        record_pack(&r, extra, ordinal, bucket_add(bucket, h, record_bytes(&r)));
        b->root->n_private += r.n_private_endpoints != 0;
    }
    return 0;
}

static int expand_all(struct catalogue_root *root)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < (size_t)1 << (root->bits + NODE_BITS); i++) {
        struct catalogue_bucket *b =
            bucket_of(root->nodes[i >> NODE_BITS]->buckets[i & ((1u << NODE_BITS) - 1)]);
        if (b)
            rc = bucket_expand(b);
        else
            rc = 0;
    }
    return rc;
}

int tree_build(const struct catalogue_source *src, size_t n, const struct catalogue_hasher *hasher,
               bool full, struct catalogue_root **out)
{
    uint8_t bits = 0;
    while (((size_t)2 << (bits + NODE_BITS)) * BUCKET_MEAN <= n)
        bits++;
    struct building b = {.src = src, .hasher = hasher, .root = root_new(bits)};
    b.sizes = mem_zalloc_array((size_t)1 << (bits + NODE_BITS), sizeof *b.sizes);
    int rc = ERR_NOMEM;
    if (b.root && b.sizes)
        rc = 0;
    if (!rc) {
        measure(&b);
        rc = allocate(&b);
    }
    if (!rc)
        rc = fill(&b);
    if (!rc && full)
        rc = expand_all(b.root);
    htab_free(b.shared);
    free(b.sizes);
    slab_unref(b.slab);
    if (rc)
        tree_unref(b.root);
    else
        *out = b.root;
    return rc;
}

// ---- one registry ----

static bool has_name(const struct catalogue_registry *r, const char *name, size_t n)
{
    return r->label_n >= n && !memcmp(catalogue_label(r), name, n) &&
           catalogue_name_bytes(catalogue_label(r), r->label_n) == n;
}

struct edit {
    const struct catalogue_hasher *hasher;
    // to leave out; NULL: none
    const struct catalogue_registry *old;
    // to add; NULL: none
    const struct registry *r;
    // its own; handed over
    struct catalogue_extra *extra;
};

// A copy of the bucket (NULL: an empty one) with the edit. NULL when out of memory.
static struct catalogue_bucket *bucket_with(const struct catalogue_bucket *from,
                                            const struct edit *e)
{
    size_t n = (from ? from->n : 0u) - (e->old ? 1u : 0u) + (e->r ? 1u : 0u);
    size_t bytes = (from ? (size_t)from->n_units * RECORD_UNIT : 0) -
                   (e->old ? record_size(e->old) : 0) + (e->r ? record_bytes(e->r) : 0);
    struct catalogue_bucket *b = bucket_new(NULL, n, bytes);
    if (!b)
        return NULL;
    for (const struct catalogue_registry *r = from ? bucket_next(from, NULL) : NULL; r;
         r = bucket_next(from, r)) {
        if (r == e->old)
            continue;
        const char *label = (const char *)catalogue_label(r);
        uint64_t h =
            e->hasher->hash(e->hasher->key, label, catalogue_name_bytes(label, r->label_n));
        uint16_t ordinal = b->n;
        struct catalogue_registry *copy = bucket_add(b, h, record_size(r));
        memcpy(copy, r, record_size(r));
        copy->ordinal = ordinal;
        if (record_extra(r))
            ref(&record_extra(r)->refs);
    }
    if (e->r) {
        uint64_t h = e->hasher->hash(e->hasher->key, e->r->name, strlen(e->r->name));
        uint16_t ordinal = b->n;
        record_pack(e->r, e->extra, ordinal, bucket_add(b, h, record_bytes(e->r)));
    }
    return b;
}

// The node that leads to the bucket, the caller's own.
static struct catalogue_node *own_node(struct catalogue_root *root, size_t index)
{
    struct catalogue_node **at = &root->nodes[index >> NODE_BITS];
    if (only_ours(&(*at)->refs))
        return *at;
    struct catalogue_node *copy = node_copy(*at);
    if (!copy)
        return NULL;
    node_unref(*at);
    return *at = copy;
}

static const struct catalogue_registry *find_name(const struct catalogue_bucket *b,
                                                  const char *name, size_t n)
{
    const struct catalogue_registry *r = NULL;
    if (b)
        r = bucket_next(b, NULL);
    while (r && !has_name(r, name, n))
        r = bucket_next(b, r);
    return r;
}

const struct catalogue_registry *tree_find_name(const struct catalogue_root *root, uint64_t hash,
                                                const char *name, size_t n)
{
    return find_name(bucket_of(root_bucket(root, hash)), name, n);
}

// Most registries with an extra have nothing in it but an owner, and few owners have many: where one
// of the same bucket has the same, it is shared. NULL: none has.
static struct catalogue_extra *extra_of_neighbour(const struct catalogue_bucket *b,
                                                  const struct registry *r)
{
    const struct catalogue_registry *x = NULL;
    if (b && extra_is_life_alone(r))
        x = bucket_next(b, NULL);
    for (; x; x = bucket_next(b, x)) {
        struct catalogue_extra *e = record_extra(x);
        if (e && extra_has_life_alone(e, r)) {
            ref(&e->refs);
            return e;
        }
    }
    return NULL;
}

int tree_set(struct catalogue_root *root, const struct catalogue_hasher *hasher, const char *name,
             const struct registry *r, bool full, bool *out_was)
{
    assert(only_ours(&root->refs));
    size_t n = strlen(name), at = index_of(root, hasher->hash(hasher->key, name, n));
    struct catalogue_bucket *from =
        bucket_of(root->nodes[at >> NODE_BITS]->buckets[at & ((1u << NODE_BITS) - 1)]);
    struct edit e = {.hasher = hasher, .old = find_name(from, name, n), .r = r};
    *out_was = e.old != NULL;
    if (!e.old && !r)
        return 0;
    struct catalogue_node *node = own_node(root, at);
    if (r)
        e.extra = extra_of_neighbour(from, r);
    if (!node || (r && !e.extra && extra_new(r, &e.extra))) {
        extra_unref(e.extra);
        return ERR_NOMEM;
    }
    struct catalogue_bucket *to = NULL;
    if (r || from->n > 1) {
        to = bucket_with(from, &e);
        if (!to)
            extra_unref(e.extra);
        if (!to || (full && bucket_expand(to))) {
            bucket_unref(to);
            return ERR_NOMEM;
        }
    }
    root->n_private += r && r->n_private_endpoints;
    root->n_private -= e.old && e.old->flags & CATALOGUE_ENDPOINTS;
    bucket_unref(from);
    node->buckets[at & ((1u << NODE_BITS) - 1)] = to ? bucket_tagged(to) : 0;
    return 0;
}
