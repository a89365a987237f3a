// SPDX-License-Identifier: Apache-2.0
// SipHash-2-4; see siphash.h. The names are the paper's.
#include "base/siphash.h"

#include <endian.h>
#include <string.h>

struct state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t get_le64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

// The last octets, fewer than 8.
static inline uint64_t get_tail(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    if (n & 4) {
        uint32_t four;
        memcpy(&four, p, sizeof four);
        v = le32toh(four);
        p += 4;
    }
    for (unsigned at = n & 4, i = 0; i < (n & 3); i++)
        v |= (uint64_t)p[i] << 8 * (at + i);
    return v;
}

static uint64_t rotl(uint64_t v, int bits)
{
    return v << bits | v >> (64 - bits);
}

static inline void rounds(struct state *s, int n)
{
    for (int i = 0; i < n; i++) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotl(s->v1, 13) ^ s->v0;
        s->v3 = rotl(s->v3, 16) ^ s->v2;
        s->v0 = rotl(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = rotl(s->v1, 17) ^ s->v2;
        s->v3 = rotl(s->v3, 21) ^ s->v0;
        s->v2 = rotl(s->v2, 32);
    }
}

static inline void take(struct state *s, uint64_t m, int n_rounds)
{
    s->v3 ^= m;
    rounds(s, n_rounds);
    s->v0 ^= m;
}

struct siphash_key siphash_key_of(const uint8_t secret[SIPHASH_KEY_BYTES])
{
    return (struct siphash_key){get_le64(secret), get_le64(secret + 8)};
}

// n_take and n_end are constants of the callers, so that each has code of its own.
static inline __attribute__((always_inline)) uint64_t
hash(const struct siphash_key *k, const void *data, size_t n, int n_take, int n_end)
{
    const uint8_t *p = data;
    struct state s = {k->k0 ^ 0x736f6d6570736575, k->k1 ^ 0x646f72616e646f6d,
                      k->k0 ^ 0x6c7967656e657261, k->k1 ^ 0x7465646279746573};
    uint64_t last = (uint64_t)n << 56;
    size_t whole = n & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8)
        take(&s, get_le64(p + i), n_take);
    last |= get_tail(p + whole, n - whole);
    take(&s, last, n_take);
    s.v2 ^= 0xff;
    rounds(&s, n_end);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t siphash24(const struct siphash_key *k, const void *data, size_t n)
{
    return hash(k, data, n, 2, 4);
}

uint64_t siphash13(const struct siphash_key *k, const void *data, size_t n)
{
    return hash(k, data, n, 1, 3);
}

void siphash_put(uint64_t h, uint8_t out[8])
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(h >> 8 * i);
}
