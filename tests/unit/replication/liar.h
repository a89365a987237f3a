// SPDX-License-Identifier: Apache-2.0
// Entries of a region that lies: truly signed and chained, whatever they say. For tests.
#ifndef MERIDIAN_TESTS_REPLICATION_LIAR_H
#define MERIDIAN_TESTS_REPLICATION_LIAR_H

#include "tests/unit/replication/regions.h"

#include "base/clock.h"
#include "base/mem.h"

#include <inttypes.h>
#include <string.h>

// A tag entry that a reader would take; the caller changes what it likes, then calls liar_line.
static inline struct feed_entry liar_entry(struct test_region *r, const struct feed_mark *after,
                                           uint64_t stamp, const char *repository, const char *tag)
{
    struct feed_entry e = {.origin = r->name,
                           .epoch = after->epoch ? after->epoch : 1,
                           .seq = after->seq + 1,
                           .stamp = stamp,
                           .kind = ENTRY_TAG,
                           .registry = "contoso",
                           .repository = repository,
                           .tag = tag,
                           .media_type = "",
                           .key = region_keys_feed_id(r->keys)};
    digest_of(DIGEST_SHA256, tag, strlen(tag), &e.digest);
    return e;
}

static inline void liar_sign(struct test_region *r, const uint8_t prev[ENTRY_HASH_BYTES],
                             struct feed_entry *e)
{
    struct buf b;
    buf_init(&b, 0);
    memset(e->hash, 0, sizeof e->hash);
    (void)entry_hash(prev, e, e->hash); // a text that cannot be signed stays without
    if (!entry_sign_input(e, &b))
        (void)region_keys_sign_feed(r->keys, b.p, b.n, e->sig);
    buf_done(&b);
}

// The line, by no rule but JSON's: entry_format would refuse much of what a liar says.
static inline void liar_line(const struct feed_entry *e, struct buf *out)
{
    char digest[DIGEST_TEXT_SIZE], hash[2 * ENTRY_HASH_BYTES + 1], sig[b64_size(ENTRY_SIG_BYTES)];
    hex_format(e->hash, ENTRY_HASH_BYTES, hash);
    b64url_format(e->sig, ENTRY_SIG_BYTES, sig);
    buf_printf(out,
               "{\"v\":1,\"origin\":\"%s\",\"epoch\":%" PRIu64 ",\"partition\":%" PRIu32
               ",\"seq\":%" PRIu64 ",\"stamp\":\"%" PRIu64 "\"",
               e->origin, e->epoch, e->partition, e->seq, e->stamp);
    if (e->restates)
        buf_printf(out, ",\"restates\":\"%" PRIu64 "\"", e->restates);
    buf_printf(out, ",\"kind\":\"%s\",\"registry\":\"%s\",\"repository\":\"%s\"",
               e->kind == ENTRY_MANIFEST ? "manifest" : "tag", e->registry, e->repository);
    if (e->kind == ENTRY_TAG)
        buf_printf(out, ",\"tag\":\"%s\"", e->tag);
    buf_printf(out, ",\"digest\":\"%s\"", digest_format(&e->digest, digest));
    if (e->kind == ENTRY_MANIFEST)
        buf_printf(out, ",\"mediaType\":\"%s\",\"size\":%" PRIu64, e->media_type, e->size);
    if (e->content.n) {
        buf_str(out, ",\"content\":\"");
        char *to = buf_room(out, b64_size(e->content.n));
        if (to)
            out->n += b64_format(e->content.p, e->content.n, to);
        buf_str(out, "\"");
    }
    buf_printf(out, ",\"hash\":\"%s\",\"key\":\"%s\",\"sig\":\"%s\"}\n", hash, e->key, sig);
}

// Signs, writes, and moves the place. The line that follows is chained to this one.
static inline void liar_say(struct test_region *r, struct feed_mark *at, struct feed_entry *e,
                            struct buf *out)
{
    liar_sign(r, at->hash, e);
    liar_line(e, out);
    *at = (struct feed_mark){.epoch = e->epoch, .seq = e->seq};
    memcpy(at->hash, e->hash, sizeof at->hash);
}

static inline uint64_t stamp_in_ms(int64_t ms)
{
    return hlc_from_wall(clock_wall_ms() + ms);
}

#endif
