// SPDX-License-Identifier: Apache-2.0
// Random lines of a region that lies: entries with each field at its extremes, truly signed and
// chained unless that is the lie. Deterministic by its seed and the clock. For tests.
#ifndef MERIDIAN_TESTS_REPLICATION_HOSTILE_H
#define MERIDIAN_TESTS_REPLICATION_HOSTILE_H

#include "tests/unit/replication/liar.h"

#define HOSTILE_SAID 1024

struct hostile {
    // of the generator; not 0
    uint64_t state;
    // what the readers go by
    uint32_t skew_ms;
    // places after which its feed can never go on, too
    bool dead_ends;
    // stamp that it said last; 0: none
    uint64_t last;
    // so that it knows the stamp of the place where a reader goes on
    struct {
        uint8_t hash[8];
        uint64_t stamp;
    } said[HOSTILE_SAID];
    size_t n_said;
    const char *origin, *key, *other_key;
    void (*sign)(void *ctx, const void *p, size_t n, uint8_t sig[ENTRY_SIG_BYTES]);
    void *ctx;
};

static inline uint32_t hostile_rnd(struct hostile *h, uint32_t below) // xorshift64*
{
    h->state ^= h->state >> 12;
    h->state ^= h->state << 25;
    h->state ^= h->state >> 27;
    return (uint32_t)((h->state * 0x2545f4914f6cdd1dull) >> 33) % below;
}

#define HOSTILE_PICK(h, ...)                                      \
    ({                                                            \
        const uint64_t picks_[] = {__VA_ARGS__};                  \
        picks_[hostile_rnd(h, sizeof picks_ / sizeof picks_[0])]; \
    })

static inline uint64_t hostile_stamp(struct hostile *h)
{
    uint64_t now = stamp_in_ms(0), edge = stamp_in_ms(h->skew_ms);
    return HOSTILE_PICK(h, 0, 1, h->last, h->last - 1, h->last + 1, now, stamp_in_ms(-3600000),
                        stamp_in_ms(1000), edge, edge | 0xffff, (edge | 0xffff) + 1,
                        stamp_in_ms(h->skew_ms + 1000), stamp_in_ms(86400000), INT64_MAX - 10,
                        INT64_MAX - 1, INT64_MAX, 1ull << 63, UINT64_MAX);
}

static inline void hostile_field(struct hostile *h, struct feed_entry *e)
{
    static char long_name[300], big[ENTRY_INLINE_MAX];
    static const char *const names[] = {"",        "x",    "contoso", "fabrikam", "tailspin",
                                        "Contoso", "../x", "a\\\"b",  long_name};
    static const char *const repositories[] = {"app", "a/b/c", "A", "", "..", "a//b", long_name};
    static const char *const tags[] = {"v1", "latest", "", "-", ".", "a b", long_name};
    memset(long_name, 'a', sizeof long_name - 1);
    switch (hostile_rnd(h, 18)) {
    case 0:
        e->epoch = HOSTILE_PICK(h, 0, 1, e->epoch + 1, e->epoch - 1, h->dead_ends ? INT64_MAX : 2,
                                h->dead_ends ? INT64_MAX - 1 : 3, 1ull << 63, UINT64_MAX);
        e->seq = hostile_rnd(h, 2) ? 1 : e->seq;
        break;
    case 1:
        e->seq = HOSTILE_PICK(h, 0, 1, e->seq - 1, e->seq + 1, e->seq + 1000,
                              h->dead_ends ? INT64_MAX : 2, 1ull << 63, UINT64_MAX);
        break;
    case 2:
        e->partition = (uint32_t)HOSTILE_PICK(h, 1, 2, INT32_MAX, UINT32_MAX);
        break;
    case 3:
    case 9:
    case 10:
        e->restates = HOSTILE_PICK(h, 1, e->stamp - 1, e->stamp, e->stamp + 1, hostile_stamp(h),
                                   INT64_MAX, UINT64_MAX);
        break;
    case 4:
        e->registry = names[hostile_rnd(h, sizeof names / sizeof names[0])];
        break;
    case 5:
        e->repository = repositories[hostile_rnd(h, sizeof repositories / sizeof repositories[0])];
        break;
    case 6:
        e->tag = tags[hostile_rnd(h, sizeof tags / sizeof tags[0])];
        break;
    case 7:
        e->kind = ENTRY_MANIFEST;
        e->media_type =
            hostile_rnd(h, 4) ? "application/vnd.oci.image.manifest.v1+json" : long_name;
        e->size = HOSTILE_PICK(h, 0, 1, 2, ENTRY_INLINE_MAX, 1ull << 40, INT64_MAX, UINT64_MAX);
        e->content = bytes_of(big, hostile_rnd(h, 2) ? 0 : hostile_rnd(h, sizeof big));
        if (hostile_rnd(h, 2) && e->content.n) {
            e->size = e->content.n;
            digest_of(DIGEST_SHA256, e->content.p, e->content.n, &e->digest);
        }
        break;
    case 8:
        e->key = hostile_rnd(h, 2) ? h->other_key : "nobody";
        break;
    default:
        e->stamp = hostile_stamp(h);
    }
}

static inline void hostile_sign(struct hostile *h, const uint8_t prev[ENTRY_HASH_BYTES],
                                struct feed_entry *e)
{
    struct buf b;
    buf_init(&b, 0);
    if (entry_hash(prev, e, e->hash))
        memset(e->hash, 7, sizeof e->hash);
    if (!entry_sign_input(e, &b))
        h->sign(h->ctx, b.p, b.n, e->sig);
    buf_done(&b);
    if (hostile_rnd(h, 40) == 0)
        e->sig[hostile_rnd(h, ENTRY_SIG_BYTES)] ^= 1;
    if (hostile_rnd(h, 40) == 0)
        e->hash[hostile_rnd(h, ENTRY_HASH_BYTES)] ^= 1;
}

// n lines that go on from `after`, of which about every `one_in`-th lies.
static inline void hostile_lines(struct hostile *h, const struct feed_mark *after, size_t n,
                                 uint32_t one_in, struct buf *out)
{
    struct feed_mark at = *after;
    h->last = stamp_in_ms(-60000);
    for (size_t i = h->n_said > HOSTILE_SAID ? h->n_said - HOSTILE_SAID : 0; i < h->n_said; i++)
        if (memcmp(h->said[i % HOSTILE_SAID].hash, after->hash, 8) == 0)
            h->last = h->said[i % HOSTILE_SAID].stamp;
    for (size_t i = 0; i < n; i++) {
        char tag[16];
        snprintf(tag, sizeof tag, "t%u", hostile_rnd(h, 50));
        struct feed_entry e = {.origin = h->origin,
                               .epoch = at.epoch ? at.epoch : 1,
                               .seq = at.seq + 1,
                               .stamp = h->last + 1 + hostile_rnd(h, 1000),
                               .kind = ENTRY_TAG,
                               .registry = "contoso",
                               .repository = "app",
                               .tag = tag,
                               .media_type = "",
                               .key = h->key};
        digest_of(DIGEST_SHA256, tag, strlen(tag), &e.digest);
        for (uint32_t lies = hostile_rnd(h, one_in) ? 0 : 1 + hostile_rnd(h, 3); lies; lies--)
            hostile_field(h, &e);
        hostile_sign(h, at.hash, &e);
        liar_line(&e, out);
        if (e.stamp <= INT64_MAX)
            h->last = e.stamp;
        memcpy(h->said[h->n_said % HOSTILE_SAID].hash, e.hash, 8);
        h->said[h->n_said++ % HOSTILE_SAID].stamp = e.stamp;
        at = (struct feed_mark){.epoch = e.epoch, .seq = e.seq};
        memcpy(at.hash, e.hash, sizeof at.hash);
    }
}

#endif
