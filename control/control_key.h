// SPDX-License-Identifier: Apache-2.0
// A region's control key in a document: the one that counts, in the place of all that it had. What
// comes out is good for a takeover alone (control/state.h).
//
//   rc = control_key_only(frame, n, t, "eastus", spki, &arena, &out);
//
// Pure; any thread.
#ifndef MERIDIAN_CONTROL_CONTROL_KEY_H
#define MERIDIAN_CONTROL_CONTROL_KEY_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "config/topology.h"

#define CONTROL_KEY_ID_SIZE 64

// As certs/keys.h makes it: "eastus-ctl-1a2b3c4d". ERR_INVAL: `spki` is no base64.
int control_key_id(const char *region, const char *spki, char out[CONTROL_KEY_ID_SIZE]);
// Appends `frame`, which is that of `t`, with the section identities written anew. ERR_INVAL, with a
// sentence; ERR_NOMEM.
int control_key_only(const char *frame, size_t n, const struct topology *t, const char *region,
                     const char *spki, struct arena *a, struct diag *diag, struct buf *out);

#endif
