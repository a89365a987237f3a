// SPDX-License-Identifier: Apache-2.0
// How fast the bytes of a copied upload have to come (replication/upload_copy.h). A client that sends
// slowly gains nothing by a copy, which takes a place that another upload could use. And once the
// copy's digest is known, whoever wants that blob waits for the copy: then it has to come as fast as
// a fetch would, or end.
//
//   struct copy_pace pace = {0};
//   copy_pace_known(&pace, 5000);                    // once
//   if (copy_pace_is_slow(&pace, waited_ms, n)) …give the copy up…
//
// Only time in which the other region was waited for counts, not what this region's disk and
// bandwidth take. No clock, no threads.
#ifndef MERIDIAN_REPLICATION_COPY_PACE_H
#define MERIDIAN_REPLICATION_COPY_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// In so long so many bytes must come.
#define COPY_LEAST_MS 30000
#define COPY_LEAST_BYTES (1u << 20)
// Bytes a second, once somebody may wait for the blob; and so long it may take in all.
#define COPY_KNOWN_RATE (512u << 10)
#define COPY_KNOWN_MAX_MS 600000

struct copy_pace { // zero at birth
    // since the last look
    int64_t waited_ms;
    uint64_t bytes;
    // since the digest is known, if it is
    bool known;
    int64_t known_waited_ms;
    uint64_t known_bytes;
    int64_t grace_ms;
};

// The digest is known: so much more time there is than the rate gives. Later calls change nothing.
void copy_pace_known(struct copy_pace *p, int64_t grace_ms);
// The other region was waited for so long, and n bytes came. true: it is too slow.
bool copy_pace_is_slow(struct copy_pace *p, int64_t waited_ms, size_t n);

#endif
