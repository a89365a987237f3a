// SPDX-License-Identifier: Apache-2.0
// Impaired registries: those whose metadata or blobs give I/O errors or are damaged on this node,
// while other registries work. The registry room reports each such failure here; the deep document
// lists the registries that had several of late, and the resolvers send new clients of these to
// other regions (design section 5).
//
// IMPAIRMENT_FAULTS failures within a minute impair a registry for a minute, and each time that
// they come again for twice as long, up to 16 minutes. The time limit is the way back: once its
// clients go elsewhere, nothing else would show that the registry works again. Half an hour without
// a failure forgets a registry. The list is bounded: when more registries fail than it holds, the
// whole store is at fault, and the store's own probe reports that. Any thread. Errors of nginx,
// which reads the bytes of blobs from the disk by itself, do not arrive here.
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
