// SPDX-License-Identifier: Apache-2.0
// Verdicts on disk: health.json in the data directory, so that a restart gives the same answers.
// Called by the checker's thread only. A file that is damaged or of another version is refused
// whole: all targets then start as unknown, which counts as up.
#ifndef MERIDIAN_HEALTH_STATE_H
#define MERIDIAN_HEALTH_STATE_H

#include "health/drill.h"
#include "health/orders.h"

#define HEALTH_STATE_MAX_BYTES (4u << 20)

struct health_saved { // beside the targets
    // of the last run's observations; 0 none
    uint64_t boot;
    struct health_orders orders;
    // loaded, they have resumed: those whose time is up meanwhile have ended
    struct health_drills drills;
};

// Restores verdict, hold-down, damping and reason of those targets that the file knows, and the
// operators' orders; runs of good and bad start anew. Reads files of version 1, which had neither
// damping nor orders, and those of before forces were orders: what was forced becomes one.
// ERR_NOTFOUND: no file yet; ERR_CORRUPT. All is untouched on failure.
int health_state_load(const char *path, const struct health_settings *s, int64_t wall_ms,
                      struct health_target *targets, size_t n, struct health_saved *out);
int health_state_save(const char *path, const struct health_target *targets, size_t n,
                      const struct health_saved *saved);

#endif
