// SPDX-License-Identifier: Apache-2.0
// The catalogue: lookups, labels, ranges of clients; see catalogue.h, and catalogue_priv.h for the
// records. Names are chosen by customers: the hash is keyed.
#include "config/catalogue.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/prefix_map.h"
#include "config/catalogue_priv.h"

#include <sys/random.h>

#define REGION_SLOTS 256 // at most 64 regions
// records per bucket on average, that make larger trees worth their building
#define REGROW_FROM 128

struct impl { // what it points to, but for the root, is the frame's
    struct catalogue c;
    struct catalogue_root *root;
    size_t n;
    bool full;
    const struct region *region_list;
    // to the override's place, plus one
    struct prefix_map overrides;
    const struct routing_override *override_list;
    uint64_t key[2];
    // index plus one
    uint8_t region_slots[REGION_SLOTS];
};

static const struct impl *impl_of(const struct catalogue *c)
{
    return (const struct impl *)(const void *)c;
}

static struct impl *own_of(struct catalogue *c)
{
    return (struct impl *)(void *)c;
}

// Up to 8 bytes; letters of either case give the same. (Other bytes may too: the label itself is
// compared later.)
static uint64_t load(const uint8_t *p, size_t n)
{
    uint64_t x = 0;
    uint32_t a, b;
    if (n >= 8) {
        memcpy(&x, p, 8);
    } else if (n >= 4) {
        memcpy(&a, p, 4);
        memcpy(&b, p + n - 4, 4);
        x = (uint64_t)a << 32 | b;
    } else {
        for (size_t i = 0; i < n; i++)
            x = x << 8 | p[i];
    }
    return x | 0x2020202020202020;
}

static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 m = (unsigned __int128)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t hash_of(const uint64_t key[2], const void *name, size_t n)
{
    const uint8_t *p = name;
    uint64_t h = key[0] + n;
    for (; n > 8; p += 8, n -= 8)
        h = fold(h ^ load(p, 8), key[1]);
    h = fold(h ^ load(p, n), key[1]);
    return fold(h, key[1] ^ key[0]);
}

// Of a registry: by its name, which is a part of the label.
static uint64_t hash_of_label(const struct impl *i, const void *label, size_t n)
{
    return hash_of(i->key, label, catalogue_name_bytes(label, n));
}

const struct catalogue_registry *catalogue_find(const struct catalogue *c, const char *label,
                                                size_t n)
{
    const struct impl *i = impl_of(c);
    uint64_t h = hash_of_label(i, label, n);
    uintptr_t p = root_bucket(i->root, h);
    uint8_t bits = p & (BUCKET_ALIGN - 1);
    const struct catalogue_bucket *b = bucket_of(p);
    size_t mask = ((size_t)1 << bits) - 1;
    for (size_t s = h & mask; b && b->slots[s].at; s = (s + 1) & mask) {
        if (b->slots[s].tag != slot_tag(h))
            continue;
        const struct catalogue_registry *r = bucket_record(b, bits, b->slots[s].at);
        if (r->label_n == n && !memcmp(catalogue_label(r), label, n))
            return r;
    }
    return NULL;
}

const struct catalogue_registry *catalogue_find_name(const struct catalogue *c, const char *name)
{
    const struct impl *i = impl_of(c);
    size_t n = strlen(name);
    if (n >= HOSTNAME_REGISTRY_SIZE)
        return NULL;
    return tree_find_name(i->root, hash_of(i->key, name, n), name, n);
}

uint64_t catalogue_hint(const struct catalogue *c, const uint8_t *label, size_t n)
{
    const struct impl *i = impl_of(c);
    uint64_t h = hash_of_label(i, label, n);
    uintptr_t p = root_bucket(i->root, h);
    if (p)
        __builtin_prefetch(bucket_slot(p, h));
    return h;
}

void catalogue_hint_follow(const struct catalogue *c, uint64_t hint)
{
    uintptr_t p = root_bucket(impl_of(c)->root, hint);
    if (!p || !bucket_slot(p, hint)->at)
        return;
    const uint8_t *r = (const uint8_t *)bucket_record(bucket_of(p), p & (BUCKET_ALIGN - 1),
                                                      bucket_slot(p, hint)->at);
    __builtin_prefetch(r);
    __builtin_prefetch(r + RECORD_USUAL - 1); // it may lie across two lines
}

int catalogue_region_find(const struct catalogue *c, const char *name, size_t n)
{
    const struct impl *i = impl_of(c);
    for (size_t s = hash_of(i->key, name, n) % REGION_SLOTS; i->region_slots[s];
         s = (s + 1) % REGION_SLOTS) {
        const char *known = i->region_list[i->region_slots[s] - 1].name;
        if (!strncmp(known, name, n) && !known[n])
            return i->region_slots[s] - 1;
    }
    return -1;
}

const struct catalogue_registry *catalogue_next(const struct catalogue *c,
                                                struct catalogue_iter *it)
{
    const struct catalogue_bucket *b;
    return tree_next(impl_of(c)->root, it, &b);
}

const struct catalogue_registry *catalogue_next_private(const struct catalogue *c,
                                                        struct catalogue_iter *it)
{
    const struct catalogue_registry *r;
    if (it->n_private >= catalogue_count_private(c))
        return NULL;
    do
        r = catalogue_next(c, it);
    while (r && !(r->flags & CATALOGUE_ENDPOINTS));
    it->n_private++;
    return r;
}

size_t catalogue_count_private(const struct catalogue *c)
{
    return impl_of(c)->root->n_private;
}

size_t catalogue_count(const struct catalogue *c)
{
    return impl_of(c)->n;
}

const struct registry *catalogue_full(const struct catalogue *c, const struct catalogue_registry *r)
{
    const struct impl *i = impl_of(c);
    const struct catalogue_bucket *b =
        bucket_of(root_bucket(i->root, hash_of_label(i, catalogue_label(r), r->label_n)));
    if (b && b->registries)
        return &b->registries[r->ordinal];
    return NULL;
}

// ---- building ----

// Text like "eus-1.eastus.fe" to labels. `words` end with NULL.
static struct catalogue_labels labels_new(struct arena *a, const char *const *words)
{
    uint8_t wire[256];
    size_t n = 0;
    for (; *words; words++) {
        size_t len = strlen(*words);
        wire[n++] = (uint8_t)len;
        memcpy(wire + n, *words, len);
        n += len;
    }
    return (struct catalogue_labels){arena_copy(a, wire, n), n};
}

static int build_mailbox(struct impl *i, const struct topology *t)
{
    char local[64];
    size_t n = strcspn(t->hostmaster, "@");
    if (n >= sizeof local || !t->hostmaster[n] || strcmp(t->hostmaster + n + 1, t->domain))
        return 0;
    memcpy(local, t->hostmaster, n);
    local[n] = '\0';
    i->c.mailbox = labels_new(&t->frame->arena, (const char *const[]){local, NULL});
    if (i->c.mailbox.p)
        return 0;
    return ERR_NOMEM;
}

static int build_regions(struct impl *i, const struct topology *t)
{
    struct arena *a = &t->frame->arena;
    struct catalogue_region *out = arena_array(a, t->n_regions, sizeof *out);
    if (!out)
        return ERR_NOMEM;
    for (size_t k = 0; k < t->n_regions; k++) {
        const struct region *r = &t->regions[k];
        struct catalogue_labels *fe = arena_array(a, r->n_stamps, sizeof *fe);
        out[k].geo_private =
            labels_new(a, (const char *const[]){r->name, "geo", "privatelink", NULL});
        out[k].data_private =
            labels_new(a, (const char *const[]){r->name, "data", "privatelink", NULL});
        if (!fe || !out[k].geo_private.p || !out[k].data_private.p)
            return ERR_NOMEM;
        for (size_t s = 0; s < r->n_stamps; s++) {
            fe[s] = labels_new(a, (const char *const[]){r->stamps[s].name, r->name, "fe", NULL});
            if (!fe[s].p)
                return ERR_NOMEM;
        }
        out[k].frontends = fe;
        out[k].first_stamp = i->c.n_stamps;
        i->c.n_stamps += (uint32_t)r->n_stamps;
        size_t s = hash_of(i->key, r->name, strlen(r->name)) % REGION_SLOTS;
        while (i->region_slots[s])
            s = (s + 1) % REGION_SLOTS;
        i->region_slots[s] = (uint8_t)(k + 1);
    }
    i->c.regions = out;
    i->c.global_private = labels_new(a, (const char *const[]){"privatelink", NULL});
    if (i->c.global_private.p)
        return build_mailbox(i, t);
    return ERR_NOMEM;
}

static void build_apex(struct impl *i, const struct topology *t)
{
    size_t n = 0;
    for (const char *p = t->domain; *p;) {
        size_t len = strcspn(p, ".");
        i->c.apex[n++] = (uint8_t)len;
        memcpy(i->c.apex + n, p, len);
        n += len;
        p += len + (p[len] == '.');
    }
    i->c.apex_n = n + 1;
}

// ---- client networks ----

static int build_overrides(struct impl *i, const struct topology *t)
{
    AUTO_FREE struct prefix_entry *e = mem_zalloc_array(t->n_overrides + 1, sizeof *e);
    if (!e)
        return ERR_NOMEM;
    i->override_list = t->overrides;
    for (uint32_t k = 0; k < t->n_overrides; k++)
        e[k] = (struct prefix_entry){.cidr = t->overrides[k].cidr, .value = k + 1};
    return prefix_map_build(&t->frame->arena, e, t->n_overrides, &i->overrides);
}

const struct routing_override *catalogue_override(const struct catalogue *c,
                                                  const struct ip *client)
{
    const struct impl *i = impl_of(c);
    uint32_t at = prefix_map_get(&i->overrides, client);
    if (at)
        return &i->override_list[at - 1];
    return NULL;
}

uint8_t catalogue_override_depth(const struct catalogue *c, const struct ip *client)
{
    return prefix_map_depth(&impl_of(c)->overrides, client);
}

void catalogue_free(struct catalogue *c)
{
    if (!c)
        return;
    tree_unref(own_of(c)->root);
    free(c);
}

static uint64_t hash_name(const void *key, const char *name, size_t n)
{
    return hash_of(key, name, n);
}

static struct catalogue_hasher hasher_of(const struct impl *i)
{
    return (struct catalogue_hasher){hash_name, i->key};
}

int catalogue_new(const struct topology *t, const struct catalogue_source *src, size_t n, bool full,
                  struct catalogue **out)
{
    struct impl *i = mem_zalloc(sizeof *i);
    if (!i)
        return ERR_NOMEM;
    i->region_list = t->regions;
    i->full = full;
    i->n = n;
    ssize_t got = getrandom(i->key, sizeof i->key, GRND_NONBLOCK);
    (void)got; // early in boot there may be none yet: the table then works with a known key
    i->key[1] |= 1;
    build_apex(i, t);
    int rc = build_regions(i, t);
    if (!rc)
        rc = build_overrides(i, t);
    struct catalogue_hasher hasher = hasher_of(i);
    if (!rc)
        rc = tree_build(src, n, &hasher, full, &i->root);
    if (rc)
        catalogue_free(&i->c);
    else
        *out = &i->c;
    return rc;
}

// ---- changes ----

struct catalogue *catalogue_copy(const struct catalogue *c)
{
    struct impl *i = mem_alloc(sizeof *i);
    if (!i)
        return NULL;
    memcpy(i, impl_of(c), sizeof *i);
    i->root = tree_copy(i->root);
    if (i->root)
        return &i->c;
    free(i);
    return NULL;
}

struct walk { // the records of one tree as the source of another
    const struct catalogue_root *root;
    struct catalogue_iter it;
    struct registry_room room;
};

static void walk_rewind(void *ctx)
{
    ((struct walk *)ctx)->it = (struct catalogue_iter){0};
}

static bool walk_next(void *ctx, struct registry *out, struct catalogue_extra **out_extra)
{
    struct walk *w = ctx;
    const struct catalogue_bucket *b;
    const struct catalogue_registry *r = tree_next(w->root, &w->it, &b);
    if (!r)
        return false;
    catalogue_expand(r, &w->room, out);
    *out_extra = record_extra(r);
    return true;
}

// Buckets grow with what is put into them; once they are several times what they were built for,
// the tree is built again with more. That costs a look at every registry, and comes once for each
// doubling twice over.
static int regrow(struct impl *i)
{
    size_t n_buckets = (size_t)1 << (i->root->bits + NODE_BITS);
    if (i->n / n_buckets < REGROW_FROM)
        return 0;
    struct walk w = {.root = i->root};
    struct catalogue_source src = {&w, walk_rewind, walk_next};
    struct catalogue_hasher hasher = hasher_of(i);
    struct catalogue_root *root;
    int rc = tree_build(&src, i->n, &hasher, i->full, &root);
    if (rc)
        return rc;
    tree_unref(i->root);
    i->root = root;
    return 0;
}

int catalogue_put(struct catalogue *c, const struct registry *r)
{
    struct impl *i = own_of(c);
    struct catalogue_hasher hasher = hasher_of(i);
    bool was;
    int rc = tree_set(i->root, &hasher, r->name, r, i->full, &was);
    if (rc || was)
        return rc;
    i->n++;
    return regrow(i);
}

int catalogue_remove(struct catalogue *c, const char *name)
{
    struct impl *i = own_of(c);
    struct catalogue_hasher hasher = hasher_of(i);
    bool was;
    int rc = tree_set(i->root, &hasher, name, NULL, i->full, &was);
    if (!rc && !was)
        return ERR_NOTFOUND;
    if (!rc)
        i->n--;
    return rc;
}
