// SPDX-License-Identifier: Apache-2.0
// JSON documents as texts in buffers, and bytes in them as base64url (RFC 4648, section 5, without
// padding): what signed requests, answers and tokens of all rooms are made of.
//
//   json_t *o = json_pack("{s:s, s:o}", "request", text, "signature", json_binary(sig, sizeof sig));
//   rc = json_text_add(o, out);
//   …
//   if (!json_binary_take(o, "signature", sig, sizeof sig))
//       refuse
//
// Any thread; no state.
#ifndef MERIDIAN_NET_JSON_H
#define MERIDIAN_NET_JSON_H

#include "base/bytes.h"

#include <jansson.h>

// The compact text of `o` onto `out`. Takes `o`. ERR_NOMEM, also of NULL, which is a document that
// could not be made; ERR_TOOBIG: more than `out` may hold.
int json_text_add(json_t *o, struct buf *out);
// A new string; NULL: no memory.
json_t *json_binary(const void *p, size_t n);
// The member is a string of exactly n bytes. `out` may be written where it is not.
bool json_binary_take(const json_t *o, const char *member, void *out, size_t n);

#endif
