// SPDX-License-Identifier: Apache-2.0
// Registries that this node cannot serve as it should: their metadata or blobs give I/O errors or
// are damaged, while others are well. The registry room tells of each such failure; the deep
// document lists who has had several of late, and the resolvers send new clients of those elsewhere
// (design section 5).
//
// IMPAIRMENT_FAULTS failures within a minute impair a registry for a minute; if they come again
// after that, for twice as long, up to 16 minutes: with its clients sent elsewhere nothing else
// would show that it is well again. Half an hour without a failure forgets it. Bounded; when more
// are in trouble than it holds, the region is not the place to be and its store's own probe says
// so. Any thread. What nginx reads from disk by itself (the bytes of blobs that the daemon has
// already found and opened) is not seen here.
#ifndef MERIDIAN_DAEMON_IMPAIRMENT_H
#define MERIDIAN_DAEMON_IMPAIRMENT_H

#include "config/hostname.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define IMPAIRMENT_MAX 64
#define IMPAIRMENT_FAULTS 3

struct impairment {
    pthread_mutex_t lock;
    size_t n;
    struct impaired {
        char label[HOSTNAME_LABEL_SIZE];
        // in this minute; impaired so often before
        unsigned n_faults, n_times;
        // monotonic
        int64_t since_ms, last_ms, impaired_until_ms;
    } list[IMPAIRMENT_MAX];
};

void impairment_init(struct impairment *m);
void impairment_fault(struct impairment *m, const char *label, int64_t now_ms);
// Login labels of those impaired now. Returns how many.
size_t impairment_list(struct impairment *m, int64_t now_ms,
                       char out[IMPAIRMENT_MAX][HOSTNAME_LABEL_SIZE]);

#endif
