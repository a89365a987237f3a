// SPDX-License-Identifier: Apache-2.0
// A state of the control feed as bytes (docs/control-feed.md): what a node starts from instead of
// reading the feed from its beginning, on its own disk, or from another region. Numbers are
// big-endian.
//
//   "MERIDCB1"     magic and format
//   u64            length of the whole
//   32 bytes       SHA-256 of all that follows: the digest that a checkpoint signs
//   place          u64 epoch, u64 seq, 32 bytes hash
//   u64, u64       time of the last entry; when the ledger was swept
//   place, place   the root key's word; what the epoch goes on from (epoch 0: neither)
//   u64, …         the line of the takeover that opened the epoch; empty: it is the first
//   u64, …         the topology, compiled (control/compiled.h)
//   u64, …         the principals as their canonical document; empty: there are none
//   u64, records   of the ledger, in the order of their keys: u16, key, u32, value
//
// The same state gives the same bytes at every node of a release, whatever form its topology has.
//
//   rc = control_base_format(s, &out);
//   rc = control_base_parse(form, bytes, home, "…/1-4096.base", &diag, &s);
//
// Nothing in it is believed: lengths, the digest, the documents and the records are checked as they
// are in a document. Who signed the digest is for control/feed.h. Any thread.
#ifndef MERIDIAN_CONTROL_BASE_FORM_H
#define MERIDIAN_CONTROL_BASE_FORM_H

#include "base/bytes.h"
#include "base/diag.h"
#include "control/state.h"

#define CONTROL_BASE_MAX_BYTES (1u << 30)

struct control_base_info { // what stands in front
    struct control_place place;
    uint8_t digest[SHA256_BYTES];
    // of the whole
    uint64_t length;
};

// ERR_UNSUPPORTED: the topology cannot be compiled. out->err.
int control_base_format(const struct control_state *s, struct buf *out);
// The digest of what control_base_format appended at `p`.
void control_base_digest(const void *p, uint8_t out[SHA256_BYTES]);
// Of the front; checks no digest. ERR_CORRUPT: it is none; ERR_VERSION: of another format.
int control_base_info(struct bytes b, struct control_base_info *out);
// `home`: the path that relative paths in the topology are from. Bytes after the base are not
// looked at. ERR_CORRUPT, ERR_DIGEST, ERR_VERSION, ERR_INVAL: diag says what is wrong; ERR_NOMEM.
int control_base_parse(enum topology_form form, struct bytes b, const char *home,
                       const char *source, struct diag *diag, struct control_state **out);

#endif
