// SPDX-License-Identifier: Apache-2.0
// What the files of ranges share: one fetch in ranges from inside (ranges.h).
#ifndef MERIDIAN_CONTENT_RANGES_PRIV_H
#define MERIDIAN_CONTENT_RANGES_PRIV_H

#include "content/ranges.h"

#include <pthread.h>

// A range, in chunks: a share of what lacks. A shorter one is over sooner than its round trip; a longer
// one keeps those waiting who read in order.
#define RUN_MIN 4
#define RUN_MAX 64
#define GIVER_NONE UINT8_MAX // it was here before

enum chunk_state { CHUNK_FREE, CHUNK_TAKEN, CHUNK_HERE };

struct run { // of chunks
    size_t first, n;
};

struct offer {
    struct pool_job job;
    struct ranges *ranges;
};

struct ranges {
    // borrowed until it is closed
    struct blob_get *get;
    uint64_t whole;
    size_t n_chunks;
    // others are to end, and none begins any more
    _Atomic bool stop;
    // the leader's
    bool offered;
    uint64_t synced_at;
    // from which source it fetches now
    size_t leads;
    // After wrong bytes: a sum of each chunk as it was given; NULL: not known.
    struct digest *sums;
    pthread_mutex_t lock;
    pthread_cond_t changed;

    // Under the lock.

    // the leader, and each offer that the pool has
    unsigned refs;
    unsigned n_running;
    bool closed;
    // why our own disk did not take the bytes of another stream
    int own_rc;
    size_t n_here, n_taken;
    uint64_t bytes_here;
    // from which source the others go on
    size_t source;
    struct offer offers[CONTENT_STREAMS_MAX];
    uint8_t *givers;
    uint8_t states[];
};

static inline uint64_t chunk_at(size_t i)
{
    return (uint64_t)i * BLOB_CHUNK_BYTES;
}

static inline uint64_t chunk_end(const struct ranges *rs, size_t i)
{
    uint64_t end = chunk_at(i + 1);
    if (end > rs->whole)
        end = rs->whole;
    return end;
}

// Enters with the lock and leaves without.
void ranges_leave(struct ranges *rs);
bool ranges_all_here(struct ranges *rs);

// --- one range (ranges_run.c), on any stream's thread ---
// What the leader does after each piece; NULL: it is another stream.
typedef int (*between_fn)(struct ranges *rs);
// The next chunks that nobody has or fetches. False: there are none.
bool run_take(struct ranges *rs, struct run *out);
// Fetches what was taken; what did not come is free again.
int run_fetch(struct ranges *rs, size_t source, const struct run *r, between_fn between,
              const _Atomic bool *stop, char error[CONTENT_TEXT_SIZE]);
// What all its sources are asked for: the blob, of which a range is set.
struct content_ask ranges_ask(const struct ranges *rs);
// Our own disk did not take it: the leader tells. Returns rc.
int ranges_own_failed(struct ranges *rs, int rc);
int ranges_own_error(struct ranges *rs);

// --- other streams (ranges_stream.c) ---
// On the leader, once a source has answered; later calls do nothing.
void streams_offer(struct ranges *rs, size_t source);

// --- wrong bytes (ranges_blame.c) ---
// Who gave all chunks; NULL: several, or an earlier fetch.
const struct source *ranges_giver(const struct ranges *rs);

#endif
