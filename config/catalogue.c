// SPDX-License-Identifier: Apache-2.0
// The catalogue; see catalogue.h. Records lie in one block, none across a cache line that it could do without; slots in
// another, at most half full, so that probing ends soon whatever a client asks for. Names are chosen by customers: the
// hash is keyed.
#include "config/catalogue.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#define LINE_BYTES 64
#define HUGE_BYTES ((size_t)2 << 20)
#define REGION_SLOTS 256 // at most 64 regions
#define UNIT_BYTES 8     // of a record's place

struct slot {
    uint32_t tag; // upper half of the hash
    uint32_t at;  // place of the record in units, plus one; 0: free
};

struct range { // clients from `from` up to the next range
    uint64_t from[2];
    const struct routing_override *override_;
};

struct impl {
    struct catalogue c;
    const struct topology *t;
    struct slot *slots;
    size_t mask;
    uint8_t *records;
    struct range *ranges; // sorted; the first begins at zero
    size_t n_ranges;
    uint64_t key[2];
    uint8_t region_slots[REGION_SLOTS]; // index plus one
    void *slot_block, *record_block;
    struct arena arena;
};

static const struct impl *impl_of(const struct catalogue *c)
{
    return (const struct impl *)(const void *)c;
}

// Up to 8 bytes; letters of either case give the same. (Other bytes may too: the label itself is compared later.)
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

static uint64_t hash_of(const struct impl *i, const void *key, size_t n)
{
    const uint8_t *p = key;
    uint64_t h = i->key[0] + n;
    for (; n > 8; p += 8, n -= 8)
        h = fold(h ^ load(p, 8), i->key[1]);
    h = fold(h ^ load(p, n), i->key[1]);
    return fold(h, i->key[1] ^ i->key[0]);
}

static const struct catalogue_registry *record_at(const struct impl *i, uint32_t at)
{
    return (const struct catalogue_registry *)(const void *)(i->records + (size_t)(at - 1) * UNIT_BYTES);
}

const struct catalogue_registry *catalogue_find(const struct catalogue *c, const char *label, size_t n)
{
    const struct impl *i = impl_of(c);
    uint64_t h = hash_of(i, label, n);
    for (size_t s = h & i->mask; i->slots[s].at; s = (s + 1) & i->mask) {
        if (i->slots[s].tag != (uint32_t)(h >> 32))
            continue;
        const struct catalogue_registry *r = record_at(i, i->slots[s].at);
        if (r->label_n == n && !memcmp(catalogue_label(r), label, n))
            return r;
    }
    return NULL;
}

uint64_t catalogue_hint(const struct catalogue *c, const uint8_t *label, size_t n)
{
    const struct impl *i = impl_of(c);
    uint64_t h = hash_of(i, label, n);
    __builtin_prefetch(&i->slots[h & i->mask]);
    return h;
}

void catalogue_hint_follow(const struct catalogue *c, uint64_t hint)
{
    const struct impl *i = impl_of(c);
    uint32_t at = i->slots[hint & i->mask].at;
    if (at)
        __builtin_prefetch(record_at(i, at));
}

int catalogue_region_find(const struct catalogue *c, const char *name, size_t n)
{
    const struct impl *i = impl_of(c);
    for (size_t s = hash_of(i, name, n) % REGION_SLOTS; i->region_slots[s]; s = (s + 1) % REGION_SLOTS) {
        const char *known = i->t->regions[i->region_slots[s] - 1].name;
        if (!strncmp(known, name, n) && !known[n])
            return i->region_slots[s] - 1;
    }
    return -1;
}

static const struct registry *registry_of(const struct catalogue *c, const struct catalogue_registry *r)
{
    return &impl_of(c)->t->registries[r->index];
}

region_set catalogue_on(const struct catalogue *c, const struct catalogue_registry *r)
{
    const struct registry *full = registry_of(c, r);
    region_set on = 0;
    for (size_t i = 0; i < full->n_replicas; i++)
        if (full->replicas[i].global_routing)
            on |= (region_set)1 << full->replicas[i].region;
    return on;
}

const uint8_t *catalogue_weights(const struct catalogue *c, const struct catalogue_registry *r)
{
    return registry_of(c, r)->weights;
}

size_t catalogue_private_endpoints(const struct catalogue *c, const struct catalogue_registry *r,
                                   const struct private_endpoint *const **out)
{
    const struct registry *full = registry_of(c, r);
    *out = full->private_endpoints;
    return full->n_private_endpoints;
}

// ---- building ----

// Zeroed memory; in huge pages when it is large: a lookup then costs no walk of page tables.
static void *block_new(size_t n, void **out_block)
{
    bool huge = n >= 2 * HUGE_BYTES;
    uint8_t *p = mem_zalloc(n + (huge ? HUGE_BYTES : LINE_BYTES));
    if (!p)
        return NULL;
    *out_block = p;
    size_t unit = huge ? HUGE_BYTES : LINE_BYTES;
    p += (unit - (uintptr_t)p % unit) % unit;
    if (huge)
        (void)madvise(p, n - n % HUGE_BYTES, MADV_HUGEPAGE); // without it, it is only slower
    return p;
}

static size_t record_bytes(const struct registry *r)
{
    size_t n = offsetof(struct catalogue_registry, bytes) + r->n_replicas + strlen(r->label);
    return (n + UNIT_BYTES - 1) / UNIT_BYTES * UNIT_BYTES;
}

// Where a record of that size goes when the block is filled up to `at`.
static size_t record_place(size_t at, size_t n)
{
    size_t lines = (n + LINE_BYTES - 1) / LINE_BYTES, spans = (at % LINE_BYTES + n + LINE_BYTES - 1) / LINE_BYTES;
    return spans > lines ? (at + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES : at;
}

static void record_fill(struct catalogue_registry *out, const struct registry *r)
{
    out->replicas = r->replica_set;
    out->index = r->index;
    out->label_n = (uint8_t)strlen(r->label);
    out->flags = (r->regional_endpoints ? CATALOGUE_REGIONAL : 0) | (r->n_private_endpoints ? CATALOGUE_PRIVATE : 0) |
                 (r->data_endpoints || r->n_private_endpoints ? CATALOGUE_DATA : 0);
    for (size_t i = 0; i < r->n_replicas; i++) {
        const struct replica *rep = &r->replicas[i];
        region_set bit = (region_set)1 << rep->region;
        out->bytes[__builtin_popcountll(r->replica_set & (bit - 1))] = rep->stamp;
        if (rep->global_routing && !rep->drained)
            out->open |= bit;
    }
    memcpy(out->bytes + r->n_replicas, r->label, out->label_n);
}

static int build_registries(struct impl *i)
{
    const struct topology *t = i->t;
    size_t n_slots = 16, n = 0;
    while (n_slots < 2 * t->n_registries)
        n_slots *= 2;
    for (size_t k = 0; k < t->n_registries; k++)
        n = record_place(n, record_bytes(&t->registries[k])) + record_bytes(&t->registries[k]);
    i->mask = n_slots - 1;
    i->slots = block_new(n_slots * sizeof *i->slots, &i->slot_block);
    i->records = block_new(n ? n : 1, &i->record_block);
    if (!i->slots || !i->records)
        return ERR_NOMEM;
    n = 0;
    for (size_t k = 0; k < t->n_registries; k++) {
        const struct registry *r = &t->registries[k];
        n = record_place(n, record_bytes(r));
        struct catalogue_registry *out = (struct catalogue_registry *)(void *)(i->records + n);
        record_fill(out, r);
        uint64_t h = hash_of(i, r->label, out->label_n);
        size_t s = h & i->mask;
        while (i->slots[s].at)
            s = (s + 1) & i->mask;
        i->slots[s] = (struct slot){(uint32_t)(h >> 32), (uint32_t)(n / UNIT_BYTES) + 1};
        n += record_bytes(r);
    }
    return 0;
}

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

static int build_regions(struct impl *i)
{
    const struct topology *t = i->t;
    struct arena *a = &i->arena;
    struct catalogue_region *out = arena_array(a, t->n_regions, sizeof *out);
    if (!out)
        return ERR_NOMEM;
    for (size_t k = 0; k < t->n_regions; k++) {
        const struct region *r = &t->regions[k];
        struct catalogue_labels *fe = arena_array(a, r->n_stamps, sizeof *fe);
        out[k].geo_private = labels_new(a, (const char *const[]){r->name, "geo", "privatelink", NULL});
        out[k].data_private = labels_new(a, (const char *const[]){r->name, "data", "privatelink", NULL});
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
        size_t s = hash_of(i, r->name, strlen(r->name)) % REGION_SLOTS;
        while (i->region_slots[s])
            s = (s + 1) % REGION_SLOTS;
        i->region_slots[s] = (uint8_t)(k + 1);
    }
    i->c.regions = out;
    i->c.global_private = labels_new(a, (const char *const[]){"privatelink", NULL});
    return i->c.global_private.p ? 0 : ERR_NOMEM;
}

static void build_apex(struct impl *i)
{
    size_t n = 0;
    for (const char *p = i->t->domain; *p;) {
        size_t len = strcspn(p, ".");
        i->c.apex[n++] = (uint8_t)len;
        memcpy(i->c.apex + n, p, len);
        n += len;
        p += len + (p[len] == '.');
    }
    i->c.apex_n = n + 1;
}

// ---- client networks ----

static void ip_halves(const uint8_t b[16], uint64_t out[2])
{
    uint64_t x[2];
    memcpy(x, b, sizeof x);
    out[0] = __builtin_bswap64(x[0]);
    out[1] = __builtin_bswap64(x[1]);
}

static bool not_after(const uint64_t a[2], const uint64_t b[2])
{
    return a[0] < b[0] || (a[0] == b[0] && a[1] <= b[1]);
}

// The first address after the prefix. False: there is none.
static bool prefix_end(const struct cidr *c, uint64_t out[2])
{
    uint64_t x[2];
    ip_halves(c->ip.b, x);
    if (c->bits == 0)
        return false;
    uint64_t step = (uint64_t)1 << (c->bits > 64 ? 128 - c->bits : 64 - c->bits);
    if (c->bits > 64) {
        x[1] += step;
        x[0] += x[1] == 0;
        if (x[1] == 0 && x[0] == 0)
            return false;
    } else {
        x[0] += step;
        if (x[0] == 0)
            return false;
    }
    memcpy(out, x, sizeof x);
    return true;
}

static int by_start(const void *a, const void *b)
{
    const struct routing_override *x = *(const struct routing_override *const *)a,
                                  *y = *(const struct routing_override *const *)b;
    int c = memcmp(x->cidr.ip.b, y->cidr.ip.b, 16);
    return c ? c : (int)x->cidr.bits - (int)y->cidr.bits; // the wider one first: the narrower lies inside
}

static void range_add(struct impl *i, const uint64_t from[2], const struct routing_override *o)
{
    struct range *last = i->n_ranges ? &i->ranges[i->n_ranges - 1] : NULL;
    if (last && !memcmp(last->from, from, sizeof last->from)) {
        last->override_ = o;
        return;
    }
    struct range *r = &i->ranges[i->n_ranges++];
    memcpy(r->from, from, sizeof r->from);
    r->override_ = o;
}

// Prefixes nest or are disjoint, and at most 129 nest: a sweep with a stack cuts them into ranges.
static void sweep(struct impl *i, const struct routing_override *const *sorted)
{
    const struct routing_override *open[130];
    size_t depth = 0;
    uint64_t at[2] = {0, 0}, end[2];
    range_add(i, at, NULL);
    for (size_t k = 0; k <= i->t->n_overrides; k++) {
        if (k < i->t->n_overrides)
            ip_halves(sorted[k]->cidr.ip.b, at);
        // Close what ends before the next one begins; after the last, all that end at all.
        while (depth && prefix_end(&open[depth - 1]->cidr, end) && (k == i->t->n_overrides || not_after(end, at))) {
            depth--;
            range_add(i, end, depth ? open[depth - 1] : NULL);
        }
        if (k == i->t->n_overrides)
            break;
        range_add(i, at, sorted[k]);
        open[depth++] = sorted[k];
    }
}

static int build_ranges(struct impl *i)
{
    size_t n = i->t->n_overrides;
    AUTO_FREE const struct routing_override **sorted = mem_zalloc_array(n + 1, sizeof *sorted);
    i->ranges = mem_zalloc_array(2 * n + 1, sizeof *i->ranges);
    if (!sorted || !i->ranges)
        return ERR_NOMEM;
    for (size_t k = 0; k < n; k++)
        sorted[k] = &i->t->overrides[k];
    qsort(sorted, n, sizeof *sorted, by_start);
    sweep(i, sorted);
    return 0;
}

const struct routing_override *catalogue_override(const struct catalogue *c, const struct ip *client)
{
    const struct impl *i = impl_of(c);
    uint64_t at[2];
    ip_halves(client->b, at);
    size_t low = 0, n = i->n_ranges; // the last range that begins at or before the client
    while (n > 1) {
        size_t half = n / 2;
        low += not_after(i->ranges[low + half].from, at) ? half : 0;
        n -= half;
    }
    return i->ranges[low].override_;
}

void catalogue_free(struct catalogue *c)
{
    struct impl *i = (struct impl *)(void *)c;
    if (!i)
        return;
    arena_done(&i->arena);
    free(i->slot_block);
    free(i->record_block);
    free(i->ranges);
    free(i);
}

int catalogue_new(const struct topology *t, struct catalogue **out)
{
    struct impl *i = mem_zalloc(sizeof *i);
    if (!i)
        return ERR_NOMEM;
    i->t = t;
    arena_init(&i->arena, 0);
    ssize_t got = getrandom(i->key, sizeof i->key, GRND_NONBLOCK);
    (void)got; // early in boot there may be none yet: the table then works with a known key
    i->key[1] |= 1;
    build_apex(i);
    int rc = build_regions(i);
    if (!rc)
        rc = build_registries(i);
    if (!rc)
        rc = build_ranges(i);
    if (rc) {
        catalogue_free(&i->c);
        return rc;
    }
    *out = &i->c;
    return 0;
}
