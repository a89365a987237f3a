// SPDX-License-Identifier: Apache-2.0
// Verdicts on disk: health.json in the data directory, so that a restart gives the same answers. Called by the
// checker's thread only. A file that is damaged or of another version is refused whole: all targets then start as
// unknown, which counts as up.
#ifndef MERIDIAN_RESOLVER_HEALTH_STATE_H
#define MERIDIAN_RESOLVER_HEALTH_STATE_H

#include "resolver/health.h"

#define HEALTH_STATE_MAX_BYTES (4u << 20)

// Restores verdict, force, hold-down and reason of those targets that the file knows; runs of good and bad start anew.
// ERR_NOTFOUND: no file yet; ERR_CORRUPT. Targets are untouched on failure.
int health_state_load(const char *path, const struct health_settings *s, int64_t wall_ms, struct health_target *targets,
                      size_t n);
int health_state_save(const char *path, const struct health_target *targets, size_t n);

#endif
