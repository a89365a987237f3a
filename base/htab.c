// SPDX-License-Identifier: Apache-2.0
// Chained hash table with a keyed hash (SipHash-1-3); see htab.h.
#include "base/htab.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

struct entry {
    struct entry *next;
    uint64_t hash;
    void *value;
    size_t n;
    char key[];
};

struct htab {
    struct entry **slots;
    size_t n_slots, n;
    uint64_t k0, k1;
};

#define ROTL(x, b) ((x) << (b) | (x) >> (64 - (b)))

static void sip_round(uint64_t v[4])
{
    v[0] += v[1], v[1] = ROTL(v[1], 13), v[1] ^= v[0], v[0] = ROTL(v[0], 32);
    v[2] += v[3], v[3] = ROTL(v[3], 16), v[3] ^= v[2];
    v[0] += v[3], v[3] = ROTL(v[3], 21), v[3] ^= v[0];
    v[2] += v[1], v[1] = ROTL(v[1], 17), v[1] ^= v[2], v[2] = ROTL(v[2], 32);
}

static uint64_t hash_of(const struct htab *t, const uint8_t *p, size_t n)
{
    uint64_t v[4] = {t->k0 ^ 0x736f6d6570736575, t->k1 ^ 0x646f72616e646f6d,
                     t->k0 ^ 0x6c7967656e657261, t->k1 ^ 0x7465646279746573};
    uint64_t last = (uint64_t)n << 56;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t m;
        memcpy(&m, p + i, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    for (size_t j = 0; i + j < n; j++)
        last |= (uint64_t)p[i + j] << (8 * j);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int k = 0; k < 3; k++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct htab *htab_new(void)
{
    struct htab *t = mem_zalloc(sizeof *t);
    if (!t)
        return NULL;
    t->n_slots = 16;
    t->slots = mem_zalloc_array(t->n_slots, sizeof *t->slots);
    uint64_t k[2] = {0, 0};
    ssize_t got = getrandom(k, sizeof k, GRND_NONBLOCK);
    (void)got; // early in boot there may be none yet: the table then works with a known key
    t->k0 = k[0];
    t->k1 = k[1];
    if (!t->slots) {
        free(t);
        return NULL;
    }
    return t;
}

void htab_free(struct htab *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_slots; i++)
        for (struct entry *e = t->slots[i]; e;) {
            struct entry *next = e->next;
            free(e);
            e = next;
        }
    free(t->slots);
    free(t);
}

static struct entry **find(const struct htab *t, const void *key, size_t n, uint64_t h)
{
    struct entry **pp = &t->slots[h & (t->n_slots - 1)];
    for (; *pp; pp = &(*pp)->next)
        if ((*pp)->hash == h && (*pp)->n == n && (!n || !memcmp((*pp)->key, key, n)))
            break;
    return pp;
}

static void grow(struct htab *t)
{
    size_t n = t->n_slots * 2;
    struct entry **slots = mem_zalloc_array(n, sizeof *slots);
    if (!slots)
        return; // longer chains, still right
    for (size_t i = 0; i < t->n_slots; i++)
        for (struct entry *e = t->slots[i]; e;) {
            struct entry *next = e->next;
            e->next = slots[e->hash & (n - 1)];
            slots[e->hash & (n - 1)] = e;
            e = next;
        }
    free(t->slots);
    t->slots = slots;
    t->n_slots = n;
}

int htab_set(struct htab *t, const void *key, size_t n, void *value, void **out_old)
{
    assert(value); // htab_get could not tell it from nothing
    uint64_t h = hash_of(t, key, n);
    struct entry *e = *find(t, key, n, h);
    if (e) {
        *out_old = e->value;
        e->value = value;
        return 0;
    }
    e = mem_alloc(sizeof *e + n);
    if (!e)
        return ERR_NOMEM;
    if (t->n >= t->n_slots)
        grow(t);
    *e = (struct entry){t->slots[h & (t->n_slots - 1)], h, value, n};
    if (n)
        memcpy(e->key, key, n);
    t->slots[h & (t->n_slots - 1)] = e;
    t->n++;
    *out_old = NULL;
    return 0;
}

int htab_put(struct htab *t, const void *key, size_t n, void *value)
{
    if (htab_get(t, key, n))
        return ERR_EXISTS;
    void *old;
    return htab_set(t, key, n, value, &old);
}

void *htab_get(const struct htab *t, const void *key, size_t n)
{
    struct entry *e = *find(t, key, n, hash_of(t, key, n));
    if (e)
        return e->value;
    return NULL;
}

void *htab_del(struct htab *t, const void *key, size_t n)
{
    struct entry **pp = find(t, key, n, hash_of(t, key, n)), *e = *pp;
    if (!e)
        return NULL;
    void *value = e->value;
    assert(t->n > 0);
    *pp = e->next;
    free(e);
    t->n--;
    return value;
}

size_t htab_count(const struct htab *t)
{
    return t->n;
}
