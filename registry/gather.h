// SPDX-License-Identifier: Apache-2.0
// Pushes that scattered: a manifest is put here whose blobs or children went to another region. They
// are looked for at the other members of the registry, fetched, and linked, and then the put is
// tried again. A HEAD of a blob never does this: it tells what is here, and asks nobody.
//
//   for (;;) {
//       rc = …put the manifest…;
//       if (rc != ERR_NOTFOUND)
//           break;
//       enum gathered how = gather(op, resp, m.refs, m.n_refs);
//       if (how == GATHER_ANSWERED)
//           return;                       // refused, or the same handler runs again elsewhere
//       if (how == GATHER_NOTHING)
//           break;                        // the children that lack are nowhere
//   }
//
// A blob is absent (404) only when every other member said that it has not got it. While one cannot
// be asked the answer is 503, naming it.
//
// The caller's right is the push that brought him here. On the pool for what waits; the first call
// only moves there. Bounds: GATHER_MS for one request, ELSEWHERE_ITEMS_MAX contents, GATHER_DEPTH
// levels of children.
#ifndef MERIDIAN_REGISTRY_GATHER_H
#define MERIDIAN_REGISTRY_GATHER_H

#include "store/manifest.h"

#include <stddef.h>

struct http_response;
struct op;

#define GATHER_MS 50000
#define GATHER_DEPTH 4

enum gathered { GATHER_NOTHING, GATHER_AGAIN, GATHER_ANSWERED };

enum gathered gather(struct op *op, struct http_response *resp, const struct manifest_ref *refs,
                     size_t n_refs);

#endif
