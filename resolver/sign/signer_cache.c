// SPDX-License-Identifier: Apache-2.0
// Slots and their hash; see signer_cache.h. SipHash-1-3 with 128 bits of output, by its authors'
// description: nobody outside sees a hash, so that the fewer rounds, which are meant for tables,
// are enough.
#include "resolver/sign/signer_cache.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>
#include <sys/mman.h>

struct cache_slot { // a sequence lock: odd while it is written
    _Atomic uint32_t seq, expires_s;
    _Atomic uint64_t a, b;
    _Atomic uint64_t sig[DNS_SIGNATURE_BYTES / 8];
};

struct cache_set {
    // low half of slot's a: one line tells which slot to look at
    _Atomic uint32_t tags[CACHE_WAYS];
    struct cache_slot slots[CACHE_WAYS];
};

static size_t table_bytes(const struct signer_cache *c)
{
    return c->n_sets * sizeof *c->sets;
}

// Untouched pages cost nothing.
int signer_cache_init(struct signer_cache *c, size_t slots, const uint64_t secret[2])
{
    c->n_sets = 1;
    while (c->n_sets * CACHE_WAYS < slots)
        c->n_sets *= 2;
    void *p =
        mmap(NULL, table_bytes(c), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return ERR_NOMEM;
    c->sets = p;
    memcpy(c->secret, secret, sizeof c->secret);
    return 0;
}

void signer_cache_done(struct signer_cache *c)
{
    if (c->sets)
        munmap(c->sets, table_bytes(c));
    c->sets = NULL;
}

// ---- hash ----

static inline uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

static inline void sip_word(uint64_t v[4], uint64_t m)
{
    v[3] ^= m;
    sip_round(v);
    v[0] ^= m;
}

static uint64_t sip_end(uint64_t v[4])
{
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct cache_hash signer_cache_hash(const struct signer_cache *c, uint64_t uid, const uint8_t *p,
                                    size_t n)
{
    uint64_t k0 = c->secret[0], k1 = c->secret[1], m;
    uint64_t v[4] = {0x736f6d6570736575 ^ k0, 0x646f72616e646f6d ^ k1 ^ 0xee,
                     0x6c7967656e657261 ^ k0, 0x7465646279746573 ^ k1};
    size_t at = 0;
    sip_word(v, uid);
    for (; at + 8 <= n; at += 8) {
        memcpy(&m, p + at, 8);
        sip_word(v, m);
    }
    m = 0;
    memcpy(&m, p + at, n - at);
    sip_word(v, m | (uint64_t)n << 56);
    struct cache_hash h;
    v[2] ^= 0xee;
    h.a = sip_end(v);
    v[1] ^= 0xdd;
    h.b = sip_end(v) | 1; // never 0: an empty slot is no signature
    return h;
}

// ---- slots ----

// A signature stands in one of two sets. With one alone, a table that is half full has sets that
// are more than full: their names would evict each other for as long as they are asked for, with
// room beside them. With two, no signature is evicted before some seven slots in ten are taken.
static struct cache_set *first_set(const struct signer_cache *c, struct cache_hash h)
{
    return &c->sets[(h.a >> 32) & (c->n_sets - 1)];
}

static struct cache_set *second_set(const struct signer_cache *c, struct cache_hash h)
{
    return &c->sets[(h.b >> 32) & (c->n_sets - 1)];
}

// A sequence lock without fences, which ThreadSanitizer does not know: what is read of a slot is
// acquired and what is written is released, so that who sees a part of a new signature sees the odd
// sequence too.
static bool slot_read(const struct cache_slot *s, struct cache_hash h,
                      uint64_t out[DNS_SIGNATURE_BYTES / 8])
{
    uint32_t before = atomic_load_explicit(&s->seq, memory_order_acquire);
    if (before & 1 || atomic_load_explicit(&s->a, memory_order_acquire) != h.a ||
        atomic_load_explicit(&s->b, memory_order_acquire) != h.b)
        return false;
    for (size_t i = 0; i < DNS_SIGNATURE_BYTES / 8; i++)
        out[i] = atomic_load_explicit(&s->sig[i], memory_order_acquire);
    return atomic_load_explicit(&s->seq, memory_order_relaxed) == before;
}

static bool set_get(const struct cache_set *set, struct cache_hash h,
                    uint8_t out[DNS_SIGNATURE_BYTES])
{
    uint64_t sig[DNS_SIGNATURE_BYTES / 8];
    for (size_t i = 0; i < CACHE_WAYS; i++) {
        if (atomic_load_explicit(&set->tags[i], memory_order_relaxed) != (uint32_t)h.a ||
            !slot_read(&set->slots[i], h, sig))
            continue;
        memcpy(out, sig, sizeof sig);
        return true;
    }
    return false;
}

bool signer_cache_get(const struct signer_cache *c, struct cache_hash h,
                      uint8_t out[DNS_SIGNATURE_BYTES])
{
    return set_get(first_set(c, h), h, out) || set_get(second_set(c, h), h, out);
}

static bool way_of(const struct cache_set *set, struct cache_hash h, size_t *out_way)
{
    for (size_t i = 0; i < CACHE_WAYS; i++) {
        const struct cache_slot *s = &set->slots[i];
        if (atomic_load_explicit(&s->a, memory_order_relaxed) == h.a &&
            atomic_load_explicit(&s->b, memory_order_relaxed) == h.b) {
            *out_way = i;
            return true;
        }
    }
    return false;
}

// Slots that were never used, or whose signature has expired. The first of them in *out_way.
static size_t n_free(const struct cache_set *set, uint32_t now_s, size_t *out_way)
{
    size_t n = 0;
    for (size_t i = CACHE_WAYS; i-- > 0;)
        if (atomic_load_explicit(&set->slots[i].expires_s, memory_order_relaxed) <= now_s) {
            *out_way = i;
            n++;
        }
    return n;
}

// Readers look at the first set first, so it is used until it is more than half full; then the
// emptier one. When both are full each slot goes in turn: were it a matter of the hash, two
// signatures of one answer could be at odds over a slot for as long as the sets are full, and the
// answer would never be whole.
static struct cache_set *choose(struct signer_cache *c, struct cache_hash h, uint32_t now_s,
                                size_t *out_way)
{
    struct cache_set *first = first_set(c, h), *second = second_set(c, h);
    size_t first_way = 0, second_way = 0;
    size_t first_free = n_free(first, now_s, &first_way),
           second_free = n_free(second, now_s, &second_way);
    if (first_free >= CACHE_WAYS / 2 || (first_free && first_free >= second_free)) {
        *out_way = first_way;
        return first;
    }
    if (second_free) {
        *out_way = second_way;
        return second;
    }
    unsigned turn = c->turn++;
    *out_way = turn & (CACHE_WAYS - 1);
    if (turn & CACHE_WAYS)
        return second;
    return first;
}

static struct cache_set *place(struct signer_cache *c, struct cache_hash h, uint32_t now_s,
                               size_t *out_way)
{
    if (way_of(first_set(c, h), h, out_way))
        return first_set(c, h);
    if (way_of(second_set(c, h), h, out_way))
        return second_set(c, h);
    return choose(c, h, now_s, out_way);
}

void signer_cache_put(struct signer_cache *c, struct cache_hash h, uint32_t expires_s,
                      uint32_t now_s, const uint8_t sig[DNS_SIGNATURE_BYTES])
{
    size_t way;
    struct cache_set *set = place(c, h, now_s, &way);
    struct cache_slot *s = &set->slots[way];
    uint64_t words[DNS_SIGNATURE_BYTES / 8];
    uint64_t old_a = atomic_load_explicit(&s->a, memory_order_relaxed),
             old_b = atomic_load_explicit(&s->b, memory_order_relaxed);
    bool other = old_a != h.a || old_b != h.b;
    c->used += !old_b;
    c->evicted +=
        old_b && other && atomic_load_explicit(&s->expires_s, memory_order_relaxed) > now_s;
    memcpy(words, sig, sizeof words);
    uint32_t seq = atomic_load_explicit(&s->seq, memory_order_relaxed);
    atomic_store_explicit(&s->seq, seq + 1, memory_order_relaxed);
    atomic_store_explicit(&s->a, h.a, memory_order_release);
    atomic_store_explicit(&s->b, h.b, memory_order_release);
    atomic_store_explicit(&s->expires_s, expires_s, memory_order_release);
    for (size_t i = 0; i < DNS_SIGNATURE_BYTES / 8; i++)
        atomic_store_explicit(&s->sig[i], words[i], memory_order_release);
    atomic_store_explicit(&s->seq, seq + 2, memory_order_release);
    atomic_store_explicit(&set->tags[way], (uint32_t)h.a, memory_order_relaxed);
}
