// SPDX-License-Identifier: Apache-2.0
// Regions that come and go, as edits of a document's text: the row in `regions`, and wherever else a
// document names a region in a list. Other sections, and comments outside of the rewritten ones,
// stay as they are. Text to text, pure; who calls it has the outcome judged as a node judges it.
//
//   struct region_row row = {.name = "westeurope", .stamp = "weu-1", .ipv4 = &ip, .n_ipv4 = 1,
//                            .peer = peer};
//   rc = regions_add(text, n, &row, &arena, &out);             // as the last one
//   rc = regions_remove(text, n, "westeurope", &arena, &out);
//
// Identities are another section: control/identity_list.h.
#ifndef MERIDIAN_CONTROL_REGIONS_H
#define MERIDIAN_CONTROL_REGIONS_H

#include "base/addr.h"
#include "base/arena.h"
#include "base/bytes.h"
#include "config/topology.h"

#include <stddef.h>

#define REGION_ROW_ADDRESSES_MAX 16

struct region_row { // a region with one stamp
    const char *name, *stamp;
    const struct ip *ipv4, *ipv6;
    size_t n_ipv4, n_ipv6;
    struct endpoint peer;
    // "52.37, 4.90"; NULL: not said
    const char *location;
    // its stamp is to be a name server of D too
    bool name_server;
};

// ERR_EXISTS: it has a region of that name; ERR_INVAL: the text is no document, or the row has no
// form; ERR_NOMEM, ERR_TOOBIG. Appends the whole document to `out`.
int regions_add(const char *text, size_t n, const struct region_row *row, struct arena *a,
                struct buf *out);
// Also from name_servers, routing.order, routing.overrides and identities. ERR_NOTFOUND: it has
// none.
int regions_remove(const char *text, size_t n, const char *region, struct arena *a,
                   struct buf *out);

// What keeps a region from being taken out, as a sentence for people: it is the writer, it answers
// for the CA, registries have replicas there, it alone serves DNS. NULL: nothing.
const char *regions_why_stays(const struct topology *t, const char *region, struct arena *a);

#endif
