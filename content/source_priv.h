// SPDX-License-Identifier: Apache-2.0
// What source.c and wrong_bytes.c share: a source from inside.
#ifndef MERIDIAN_CONTENT_SOURCE_PRIV_H
#define MERIDIAN_CONTENT_SOURCE_PRIV_H

#include "content/source.h"

#include <pthread.h>

#define SOURCE_TOLD_MAX 64

struct told {
    struct digest digest;
    // 0: none
    int64_t at_mono;
};

struct source {
    char name[SOURCE_NAME_SIZE];
    const struct source_ops *ops;
    void *ctx;
    pthread_mutex_t lock;

    // Under the lock.

    // requests that run to it, and those that run besides
    unsigned n_running, n_besides;
    unsigned n_failures;
    // it rests until then
    int64_t retry_mono;
    uint64_t n_wrong;
    char wrong[CONTENT_TEXT_SIZE];
    // of what it was told lately that it is damaged
    struct told told[SOURCE_TOLD_MAX];
};

#endif
