// SPDX-License-Identifier: Apache-2.0
// What a manifest refers to (OCI image-spec 1.1 manifest and index; Docker schema 2 manifest and
// list). Used when one is pushed and when one arrives from a peer, so it lives below both. Bytes
// are never changed.
#ifndef MERIDIAN_STORE_MANIFEST_H
#define MERIDIAN_STORE_MANIFEST_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "base/digest.h"

#include <stdbool.h>
#include <stdint.h>

enum ref_kind {
    REF_BLOB,     // config or layer: must be linked in the repository
    REF_MANIFEST, // child of an index: must be visible in the repository
    REF_FOREIGN,  // non-distributable layer: need not be there
    REF_SUBJECT,  // need not be there
};

struct manifest_ref {
    enum ref_kind kind;
    struct digest digest;
    // as the manifest states it
    uint64_t size;
};

struct manifest {
    // from the content's mediaType, else as given
    const char *media_type;
    // or NULL
    const char *artifact_type;
    bool is_index;
    const struct manifest_ref *refs;
    size_t n_refs;
};

#define MANIFEST_MAX_REFS 10000

// `content_type` is the header's media type (parameters cut off by the caller). ERR_INVAL with the
// sentence in diag when the JSON is malformed, a descriptor is, the media types disagree, or the
// schema is unknown (schema 1 is refused); ERR_UNSUPPORTED for a media type that is not a manifest.
int manifest_parse(struct bytes content, const char *content_type, struct arena *arena,
                   struct diag *diag, struct manifest *out);

#define MEDIA_TYPE_SIZE 256 // the longest media type that is stored, and NUL
// RFC 6838 type/subtype: what may be stored and sent back.
bool media_type_ok(const char *s);

#endif
