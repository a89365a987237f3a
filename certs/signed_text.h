// SPDX-License-Identifier: Apache-2.0
// What a region asks another for, signed with that region's own feed key, which no edge holds. This
// signature proves which region asks. The peer certificate does not: nginx reports it to the daemon,
// the certificate is public, and nginx is the less trusted process (docs/security.md, "What a broken
// edge can still do").
//
//   {"request": TEXT, "key": id of the feed key,
//    "signature": base64url of Ed25519 over the prefix and TEXT}
//   TEXT: {"v":1,"domain":D,"region":R, …}
//
// A prefix for each kind of request keeps its signature from being taken for that of another kind,
// of a feed entry or of a health observation. Any thread; no state.
#ifndef MERIDIAN_CERTS_SIGNED_TEXT_H
#define MERIDIAN_CERTS_SIGNED_TEXT_H

#include "base/bytes.h"
#include "base/diag.h"
#include "certs/keys.h"
#include "config/topology.h"

#include <jansson.h>

#define SIGNED_TEXT_MAX_BYTES (48u << 10)

// Takes `o`, which has v, domain and region; NULL: out of memory.
int signed_text_format(const char *prefix, json_t *o, struct region_keys *keys, struct buf *out);
// `from`: the region whose peer certificate came with it; it may ask for itself only. *out: what was
// signed, which the caller releases; its domain and region are right. ERR_DENIED with a sentence for
// the asking region; ERR_NOMEM.
int signed_text_parse(const struct topology *t, const char *from, const char *prefix,
                      struct bytes body, struct diag *diag, json_t **out);
// The same sentence for what the caller finds in it. ERR_DENIED.
int signed_text_refuse(struct diag *diag, const char *why);
// NULL: it has no such text.
const char *signed_text_member(const json_t *o, const char *key);

#endif
