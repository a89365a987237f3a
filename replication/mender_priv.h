// SPDX-License-Identifier: Apache-2.0
// What the mender's files share: mender.c, blobs, and mender_manifests.c. See mender.h.
#ifndef MERIDIAN_REPLICATION_MENDER_PRIV_H
#define MERIDIAN_REPLICATION_MENDER_PRIV_H

#include "config/registry_key.h"
#include "replication/damaged_manifests.h"
#include "replication/mender.h"

#include <pthread.h>

#define SAID_MAX 8 // sentences in status

struct faults { // what is to be mended, in words
    size_t n;
    struct said {
        // its key
        char registry[REGISTRY_KEY_SIZE];
        char text[CONTENT_TEXT_SIZE + 160];
    } of[SAID_MAX];
};

struct mender {
    struct mender_options o;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    // there is something to look at or to mend
    pthread_cond_t due;

    // Under the lock.

    struct suspects suspects;
    // what the last turn left
    struct faults said;
    size_t n_damaged, n_manifests;
    uint64_t n_mended;
    // a source answers again
    bool source_is_back;

    // The thread's own.

    struct damaged_manifests manifests;
    // what this turn left
    struct faults turn;
    // turns that left something, one after the other
    unsigned n_failed;
    // when the next turn is due
    int64_t turn_mono;
};

// Where to ask for content of a registry. The memory is the caller's.
void mender_want(struct mender *m, const struct topology *t, const struct registry *reg,
                 struct source *sources[TOPOLOGY_MAX_REGIONS], struct content_want *want);
// A sentence about what this turn left.
void mender_fault_add(struct mender *m, const char *registry, const char *text);
// It was claimed that something is wrong with this manifest. True: it is, and is to be mended.
bool manifest_look(struct mender *m, const struct suspect *s);
// Fetches those that are damaged anew. How many are left.
size_t manifests_mend(struct mender *m, const struct topology *t);

#endif
