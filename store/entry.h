// SPDX-License-Identifier: Apache-2.0
// One entry of a region's feed (design section 9): its members, its signed text, its running hash,
// its JSON line. Pure functions; any thread.
//
//   rc = entry_parse(line, &arena, &e);       // then verify e.sig over entry_sign_input
//   rc = entry_format(&e, &out);              // the same line again
//
// Signed text: "meridian-feed-1\n", then origin, epoch, partition, seq, stamp, restates, kind,
// registry, repository, tag, digest, media_type, size, each followed by "\n" (numbers in decimal,
// absent strings empty, the kind as its JSON name; no field may hold a control byte). Running hash:
// SHA-256(previous hash || signed text); the previous hash of an origin's first entry is 32 zero
// bytes, and a new epoch goes on from the last hash of the epoch before. Signature: Ed25519 over
// (signed text || running hash), by the origin's feed key `key`. Authority is the signature, not
// the connection.
//
// JSON line:
// {"v":1,"origin":…,"epoch":n,"partition":n,"seq":n,"stamp":"decimal","restates":"decimal"?,
// "kind":"manifest","registry":…,"repository":…,"tag":…?,"digest":…,"mediaType":…?,"size":n?,
// "content":base64?,"hash":hex,"key":…,"sig":b64url}
#ifndef MERIDIAN_STORE_ENTRY_H
#define MERIDIAN_STORE_ENTRY_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "config/hostname.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

// The kinds of entries, a row each: constant, its number in the log (for ever), its name in code.
//   manifest  asserts that a manifest is present in a repository
//   tag       a tag register takes a value
// 3 and 4 are kept for the tombstones of both. What a kind is and does stands in tables that are
// built from these rows: see store/entry_kind.h.
#define ENTRY_KINDS(KIND)             \
    KIND(ENTRY_MANIFEST, 1, manifest) \
    KIND(ENTRY_TAG, 2, tag)

enum entry_kind {
#define ENTRY_KIND_CONSTANT(constant, number, ident) constant = number,
    ENTRY_KINDS(ENTRY_KIND_CONSTANT)
#undef ENTRY_KIND_CONSTANT
};

#define ENTRY_KEY_SIZE 129 // an id of a feed key, and NUL
#define ENTRY_HASH_BYTES 32
#define ENTRY_SIG_BYTES 64
#define ENTRY_INLINE_MAX (64u << 10) // manifests up to this travel in the entry
#define ENTRY_LINE_MAX (256u << 10)

struct feed_mark { // a position in an origin's feed: the last entry read (or applied)
    uint64_t epoch;
    uint32_t partition;
    // 0: before the first
    uint64_t seq;
    uint8_t hash[ENTRY_HASH_BYTES];
};

struct feed_entry {
    // region
    const char *origin;
    uint64_t epoch;
    uint32_t partition;
    uint64_t seq;
    // hybrid logical; minted in the writer's transaction, monotone with seq
    uint64_t stamp;
    // 0, or the stamp of the recovered write that this entry announces again: it counts for the
    // register
    uint64_t restates;
    enum entry_kind kind;
    const char *registry, *repository;
    // of a kind with ENTRY_HAS_TAG (store/entry_kind.h); else ""
    const char *tag;
    struct digest digest;
    // of a kind with ENTRY_HAS_CONTENT; else ""
    const char *media_type;
    // of the content in bytes; without ENTRY_HAS_CONTENT 0
    uint64_t size;
    // inline, or n == 0 (not signed: the digest binds it)
    struct bytes content;
    uint8_t hash[ENTRY_HASH_BYTES];
    // at most ENTRY_KEY_SIZE - 1 octets
    const char *key;
    uint8_t sig[ENTRY_SIG_BYTES];
};

// ERR_INVAL: a member holds a control byte, or there is no such kind.
int entry_signed_text(const struct feed_entry *e, struct buf *out);
int entry_hash(const uint8_t prev[ENTRY_HASH_BYTES], const struct feed_entry *e,
               uint8_t out[ENTRY_HASH_BYTES]);
// What is signed: signed text || e->hash.
int entry_sign_input(const struct feed_entry *e, struct buf *out);
// The JSON line with its "\n". ERR_INVAL: entry_parse would refuse it.
int entry_format(const struct feed_entry *e, struct buf *out);
// Strict: ERR_PROTO for a line that entry_format would not write so. It verifies inline content
// against the digest, and no signature. Strings hang off the arena.
int entry_parse(struct bytes line, struct arena *arena, struct feed_entry *out);
bool entry_repository_ok(const char *s); // distribution-spec 1.1 <name>, at most 255 bytes
bool entry_tag_ok(const char *s);        // distribution-spec 1.1 <reference> as a tag

static inline uint64_t entry_register_stamp(const struct feed_entry *e)
{
    return e->restates ? e->restates : e->stamp;
}

// An entry announces again only what was written before it. An entry that says otherwise is read
// like any other and then passed over: it never counts for a register.
static inline bool entry_malformed(const struct feed_entry *e)
{
    return e->restates && e->restates >= e->stamp;
}

// Places of one feed: below 0 when a lies before b, 0 at the same place, whatever the hashes.
static inline int feed_mark_order(const struct feed_mark *a, const struct feed_mark *b)
{
    if (a->epoch != b->epoch)
        return a->epoch < b->epoch ? -1 : 1;
    return (a->seq > b->seq) - (a->seq < b->seq);
}

static inline struct feed_mark entry_mark(const struct feed_entry *e)
{
    struct feed_mark m = {.epoch = e->epoch, .partition = e->partition, .seq = e->seq};
    memcpy(m.hash, e->hash, ENTRY_HASH_BYTES);
    return m;
}

#endif
