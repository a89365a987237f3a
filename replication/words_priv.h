// SPDX-License-Identifier: Apache-2.0
// What words.c (what others told) and words_tell.c (what this region tells) share.
#ifndef MERIDIAN_REPLICATION_WORDS_PRIV_H
#define MERIDIAN_REPLICATION_WORDS_PRIV_H

#include "replication/lock.h"
#include "replication/word_page.h"
#include "replication/words.h"
#include "store/meta_words.h"

#include <jansson.h>
#include <pthread.h>

// An origin's promises: the one that counts, and those whose place is not read yet.
struct origin_word {
    char origin[HOSTNAME_REGION_SIZE];
    // stamp 0: none
    struct promise reached, waits, next;
};

struct words {
    struct replicator *r;
    pthread_t thread;
    bool started;

    struct lock lock;
    // Under the lock.
    bool kicked;
    // {member: {key: {"floor","applied","seals"?,"heard"?,"until","moved"}}}, this region's own words
    // too; heard: the floor of it that the store was told of
    json_t *members;
    struct origin_word origins[TOPOLOGY_MAX_REGIONS];
    size_t n_origins;

    // Of the thread alone.
    // the promise that was made last, and when (mono)
    struct promise mine;
    int64_t promised_mono;
    // our wall clock less the monotonic one, at the last round
    int64_t base_us;
};

// That origin's feed is read up to there: the highest stamp that it has promised for a place at or
// before it; 0: none.
uint64_t words_promised(struct words *w, const char *origin, const struct feed_mark *read);
// Where the topology seals regions that hold this registry: {region: CURSOR}. A new reference; NULL:
// out of memory.
json_t *words_seals(const struct topology *t, const struct registry *reg);
// Keeps rows of a member, as {key: {"floor","applied","seals"}}: those of registries that it shares with
// this region. They count for HORIZON_LEASE_MS.
int words_keep(struct words *w, const struct topology *t, const struct region *member, json_t *rows,
               size_t *out_kept);

#endif
