// SPDX-License-Identifier: Apache-2.0
// What was written, as one region says it to another that is to have it too (POST …/stored): an
// array of JSON, an object for each register.
//
//   [{"manifest": "sha256:…", "digest": "sha256:…", "origin": "eastus", "epoch": "1", "stamp": "…"},
//    {"tag": "1.0", "digest": "sha256:…", "origin": "eastus", "epoch": "1", "stamp": "…"}]
//
//   manifest    of a manifest's presence: which; else `tag`
//   digest      of the value; left out where it has none (a tag's tombstone)
//   generation  of a create-only value, and only there
//   gone        true: a tombstone; else left out
//
// Any thread; no state.
#ifndef MERIDIAN_REPLICATION_WRITTEN_H
#define MERIDIAN_REPLICATION_WRITTEN_H

#include "base/arena.h"
#include "content/elsewhere.h"

#define WRITTEN_TEXT_MAX (128u << 10)
// so long a question may wait for its answer
#define STORED_WAIT_MAX_MS 25000

// ERR_NOMEM, or out's own error.
int written_format(const struct written *list, size_t n, struct buf *out);
// Texts hang off the arena. ERR_INVAL: it is none, or more than WRITTEN_MAX; ERR_NOMEM.
int written_parse(struct bytes text, struct arena *a, struct written **out, size_t *out_n);

#endif
