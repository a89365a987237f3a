// SPDX-License-Identifier: Apache-2.0
// One entry of the control feed (docs/control-feed.md): a change of the topology, of the principals
// and of the ledger that takes effect as one, signed by the control key of the writer region, or by
// the fleet's root key. On the wire and on disk it is one line of JSON:
//
//   {"e":1,"s":42,"p":"<hex>","k":"eastus-ctl-1a2b3c4d","g":"<base64url>","b":"<body>"}
//
//   e, s  its epoch and sequence     p  hash of the entry before
//   k, g  the key and its signature (Ed25519, RFC 8032) over CONTROL_ENTRY_PREFIX, e, s, p and the
//         SHA-256 of b in hex, each ended by a newline; the entry's hash is the SHA-256 of the same
//   b     the body, a JSON object as a string: the very bytes are signed. Members that are not
//         known here are kept and passed on; a kind that is not known stops the feed here
//
//   rc = control_entry_parse(line, &arena, &diag, &e);
//   rc = control_entry_verify(&e, spki);                // then control/state.h judges it
//   control_entry_format(&e, &out);                     // the one form that is stored and sent
//
// What control_entry_parse gives lives in the arena. Pure functions; any thread.
#ifndef MERIDIAN_CONTROL_ENTRY_H
#define MERIDIAN_CONTROL_ENTRY_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "control/place.h"

#include <jansson.h>

#define CONTROL_ENTRY_MAX_BYTES (24u << 20) // of a line
#define CONTROL_ENTRY_PREFIX "meridian control entry 1\n"
#define CONTROL_KEY_ROOT "root"
#define CONTROL_KEY_MAX 128
#define CONTROL_SIGNATURE_BYTES 64
#define CONTROL_RECORD_KEY_MAX 200
#define CONTROL_RECORDS_MAX 100000

enum control_kind {
    CONTROL_CHANGE,
    // another writer, or another key of the writer, from a place on; signed by the root key
    CONTROL_TAKEOVER,
    // the digest of the state at a place, for those who begin there
    CONTROL_CHECKPOINT,
    // the root key's word that everything up to a place is done, where no majority can say so
    CONTROL_CONFIRM,
    // of a later release
    CONTROL_UNKNOWN,
};

// Of the ledger (control/ledger.h).
struct control_record {
    // "operation/0123456789abcdef"
    const char *key;
    // JSON; NULL: it goes
    const char *value;
};

struct control_body {
    enum control_kind kind;
    // wall; never before that of the entry before
    int64_t time_ms;
    // who asked: "operator:ada", "root@eastus", "root-key", or the writer region itself
    const char *by;
    // nonce of the request; NULL: none
    const char *request;
    // versions after the entry; of principals 0: there are none
    uint64_t topology, principals;
    // documents; empty: as they are. `frame`: the topology without registries and private
    // endpoints; `change`: control/change.h
    struct bytes frame, change, principals_text;
    const struct control_record *records;
    size_t n_records;
    // of a takeover: the place that it goes on from; of a checkpoint: the place of the digest; of a
    // confirmation: up to where
    struct control_place at;
    // of a checkpoint
    uint8_t digest[SHA256_BYTES];
};

struct control_entry {
    // its own, with its hash
    struct control_place place;
    // the hash of the entry before
    uint8_t before[SHA256_BYTES];
    const char *key;
    uint8_t signature[CONTROL_SIGNATURE_BYTES];
    // the very bytes, and what they say
    struct bytes text;
    struct control_body body;
};

const char *control_kind_name(enum control_kind k); // "change"

// One line, with or without its newline. ERR_INVAL: diag says what is wrong; ERR_TOOBIG, ERR_NOMEM.
int control_entry_parse(struct bytes line, struct arena *a, struct diag *diag,
                        struct control_entry *out);
// Appends the line with its newline. out->err.
void control_entry_format(const struct control_entry *e, struct buf *out);
// Appends what is signed and hashed: of place (but its hash), before and text.
void control_entry_signed(const struct control_entry *e, struct buf *out);
// Sets place.hash from the rest.
int control_entry_hash(struct control_entry *e);
// 0; ERR_AUTH: that key did not sign it.
int control_entry_verify(const struct control_entry *e, const char *spki_b64);

// The line that control_feed_takeover_draft or control_feed_confirm_draft (control/feed.h) made,
// signed by the fleet's root key, where that is: on nobody's node. Appends it.
struct signing_key;
int control_entry_sign(struct bytes line, const struct signing_key *root, struct diag *diag,
                       struct buf *out);

// ---- bodies ----

// Appends the JSON text. ERR_INVAL: a record's key or value is none; ERR_TOOBIG, ERR_NOMEM.
int control_body_format(const struct control_body *b, struct buf *out);
int control_body_parse(struct bytes text, struct arena *a, struct diag *diag,
                       struct control_body *out);
// 1 to CONTROL_RECORD_KEY_MAX bytes of letters, digits and ._@:/-
bool control_record_key_ok(const char *key);
// A value as the ledger keeps it, the same at every node: compact, members sorted. NULL: memory
// ended, or it is NULL. Heap.
char *control_record_text(const json_t *value);

#endif
