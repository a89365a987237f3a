// SPDX-License-Identifier: Apache-2.0
// One entry of a region's feed (design section 9): its members, its signed text, its running hash,
// its JSON line. Pure functions; any thread.
//
//   rc = entry_parse(line, &arena, &e);       // then verify e.sig over entry_sign_input
//   rc = entry_format(&e, &out);              // the same line again
//
// Running hash: SHA-256(previous hash || signed text); the previous hash of an origin's first entry
// is 32 zero bytes, and a new epoch goes on from the last hash of the epoch before. Signature:
// Ed25519 over (signed text || running hash), by the origin's feed key `key`. Authority is the
// signature, not the connection.
//
// Version 2. The signed text (`body`) is kept and relayed to the byte as it came. Lines in this
// order, each ended by "\n", UTF-8, no other control byte, at most ENTRY_BODY_MAX bytes:
//
//   meridian-feed-2
//   origin=eastus
//   epoch=1
//   partition=0
//   seq=7
//   stamp=123456
//   restates=0
//   registry=contoso@42
//   registry-seq=3
//   registry-prev=<64 hex digits: SHA-256 of the body of the origin's entry before in this registry>
//   repository=app
//   must=0
//   subject=tag:latest
//   attribute=value
//   value={"digest":"sha256:…"}
//
// then up to ENTRY_EXTRA_MAX lines name=text of a later version. Subject, attribute and value say
// what is written about what. What this version cannot read there, or behind it, makes the entry
// one of kind ENTRY_UNKNOWN, never a malformed one: it is kept, relayed, and applied after an
// upgrade. `must`: whoever does not know all of the entry may not change its repository. Without
// it, members that are not known are passed over.
// JSON line: {"v":2,"body":…,"hash":hex,"key":…,"sig":b64url,"content":base64?}; other members are
// passed over.
//
// Version 1 knows two kinds. Signed text: "meridian-feed-1\n", then origin, epoch, partition, seq,
// stamp, restates, kind, registry, repository, tag, digest, media_type, size, each followed by "\n"
// (numbers in decimal, absent strings empty, the kind as its JSON name; no field may hold a control
// byte). JSON line:
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
//   manifest         asserts that a manifest is present in a repository
//   tag              a tag register takes a value
//   manifest_gone    a manifest was deleted
//   tag_gone         a tag was deleted
//   manifest_lock, tag_lock, repository_lock   says what may be changed
// What a kind is and does stands in tables that are built from these rows: see store/entry_kind.h.
#define ENTRY_KINDS(KIND)                       \
    KIND(ENTRY_MANIFEST, 1, manifest)           \
    KIND(ENTRY_TAG, 2, tag)                     \
    KIND(ENTRY_MANIFEST_GONE, 3, manifest_gone) \
    KIND(ENTRY_TAG_GONE, 4, tag_gone)           \
    KIND(ENTRY_MANIFEST_LOCK, 5, manifest_lock) \
    KIND(ENTRY_TAG_LOCK, 6, tag_lock)           \
    KIND(ENTRY_REPOSITORY_LOCK, 7, repository_lock)

enum entry_kind {
    // of version 2, and of a later program: no row of the tables
    ENTRY_UNKNOWN = 0,
#define ENTRY_KIND_CONSTANT(constant, number, ident) constant = number,
    ENTRY_KINDS(ENTRY_KIND_CONSTANT)
#undef ENTRY_KIND_CONSTANT
};

// What an entry is about; in the text "manifest:DIGEST", "tag:TAG", "repository:".
enum entry_subject { SUBJECT_OTHER, SUBJECT_MANIFEST, SUBJECT_TAG, SUBJECT_REPOSITORY };

#define ENTRY_KEY_SIZE 129 // an id of a feed key, and NUL
#define ENTRY_HASH_BYTES 32
#define ENTRY_SIG_BYTES 64
#define ENTRY_INLINE_MAX (64u << 10) // manifests up to this travel in the entry
#define ENTRY_LINE_MAX (256u << 10)
#define ENTRY_BODY_MAX (64u << 10)
#define ENTRY_VALUE_MAX (32u << 10)
#define ENTRY_ATTRIBUTE_SIZE 65 // and NUL
#define ENTRY_EXTRA_MAX 16      // lines behind the value
#define ENTRY_EXTRA_LINE_MAX 1024
#define ENTRY_BY_MAX 512 // bytes of a principal's name
#define ENTRY_RULE_MAX 128

struct feed_mark { // a position in an origin's feed: the last entry read (or applied)
    uint64_t epoch;
    uint32_t partition;
    // 0: before the first
    uint64_t seq;
    uint8_t hash[ENTRY_HASH_BYTES];
};

// Texts that are not said are "" or NULL.
struct feed_entry {
    // 2; any other: 1
    unsigned version;
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
    // the registry's key
    const char *registry;
    const char *repository;
    // the subject's, of a kind with ENTRY_HAS_TAG (store/entry_kind.h)
    const char *tag;
    // Of a kind with ENTRY_HAS_DIGEST: the subject's, and of ENTRY_TAG the value. Else n is 0.
    struct digest digest;
    // of a kind with ENTRY_HAS_CONTENT
    const char *media_type;
    // of the content in bytes; without ENTRY_HAS_CONTENT 0
    uint64_t size;
    // inline, or n == 0 (not signed: the digest binds it)
    struct bytes content;

    // --- of version 2 alone ---
    // place in the chain of the origin's entries of version 2 in this registry, from 1 on
    uint64_t registry_seq;
    // SHA-256 of the body before in that chain; zeros for the first
    uint8_t registry_prev[ENTRY_HASH_BYTES];
    bool must;
    enum entry_subject subject;
    const char *attribute;
    // ENTRY_HAS_CONTENT: bit i of byte i/8, from the lowest, is set when the i-th child manifest is
    // absent; n 0: none is
    struct bytes absent;
    // ENTRY_TAG: the lowest of a generation wins
    bool create_only;
    uint64_t generation;
    // ENTRY_IS_GONE: a rule judged this value of the register and found that it goes
    bool judged;
    uint64_t judged_stamp;
    const char *judged_origin;
    uint64_t judged_epoch;
    // ENTRY_IS_GONE: the rule's name
    const char *rule;
    // ENTRY_IS_LOCK: refuses writes, refuses deletion
    bool lock_write, lock_delete;
    // the principal who wrote it
    const char *by;
    // As they came. Where `body` is given for an entry that is to be minted, all from the repository
    // on is taken from it, and the members above that are not about its place are not read.
    struct bytes value, body;

    uint8_t hash[ENTRY_HASH_BYTES];
    // at most ENTRY_KEY_SIZE - 1 octets
    const char *key;
    uint8_t sig[ENTRY_SIG_BYTES];

    // Not signed: the entry is there for its place in the chain and counts for no register, as what it said
    // was deleted (store/meta_drop.h).
    bool ended;
};

// --- the signed text and what is made of it ---

// The text that is signed: of version 2 the body, which is there. ERR_INVAL: there is none, a member
// holds a control byte, or version 1 has no such kind.
int entry_signed_text(const struct feed_entry *e, struct buf *out);
int entry_hash(const uint8_t prev[ENTRY_HASH_BYTES], const struct feed_entry *e,
               uint8_t out[ENTRY_HASH_BYTES]);
// What is signed: signed text || e->hash.
int entry_sign_input(const struct feed_entry *e, struct buf *out);

// --- bodies of version 2 ---

// The body of an entry that is to be minted, from its members. ERR_INVAL: it would not be read back
// as this entry.
int entry_body_make(const struct feed_entry *e, struct buf *out);
// Fills *out from a body, which must live as long as the arena: hash, key, sig and content are the
// line's. ERR_PROTO.
int entry_body_parse(struct bytes body, struct arena *arena, struct feed_entry *out);
// The next entry's registry_prev.
void entry_body_hash(const struct feed_entry *e, uint8_t out[ENTRY_HASH_BYTES]);
// Has version 1 no form for this entry?
bool entry_needs_v2(const struct feed_entry *e);

// --- lines ---

// The JSON line with its "\n". ERR_INVAL: entry_parse would refuse it, or (version 1) it is
// malformed.
int entry_format(const struct feed_entry *e, struct buf *out);
// ERR_PROTO for a line that is none; of version 1, for a line that entry_format would not write so.
// It verifies inline content against the digest, and no signature. Strings hang off the arena.
// Inline content of an unknown entry is dropped: nothing binds it.
int entry_parse(struct bytes line, struct arena *arena, struct feed_entry *out);

bool entry_repository_ok(const char *s); // distribution-spec 1.1 <name>, at most 255 bytes
bool entry_tag_ok(const char *s);        // distribution-spec 1.1 <reference> as a tag

// --- its register ---
// The value that an entry gives to its register counts as written by (stamp, origin, epoch): those
// of the value that a rule judged, else those of the entry, or the stamp that it restates.

static inline uint64_t entry_register_stamp(const struct feed_entry *e)
{
    if (e->judged)
        return e->judged_stamp;
    return e->restates ? e->restates : e->stamp;
}

static inline const char *entry_register_origin(const struct feed_entry *e)
{
    return e->judged ? e->judged_origin : e->origin;
}

static inline uint64_t entry_register_epoch(const struct feed_entry *e)
{
    return e->judged ? e->judged_epoch : e->epoch;
}

// An entry announces again, judges and knows only what was written before it. An entry that says
// otherwise is read like any other and then passed over: it never counts for a register.
static inline bool entry_malformed(const struct feed_entry *e)
{
    if (e->restates && e->restates >= e->stamp)
        return true;
    if (e->judged && e->judged_stamp >= e->stamp)
        return true;
    return e->generation && e->generation >= e->stamp;
}

// --- places ---

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

// A number of an entry as a text: decimal, no sign, no leading zero, below 2^63. ERR_PROTO.
int entry_decimal_parse(struct bytes text, uint64_t *out);

#endif
