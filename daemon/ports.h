// SPDX-License-Identifier: Apache-2.0
// Are the edge's ports free? Asked by the supervisor before it starts anything, so that a port that
// another program has is one clear sentence and the end, not an nginx that is tried again for ever.
// A forerunner that is just ending gets a few seconds.
#ifndef MERIDIAN_DAEMON_PORTS_H
#define MERIDIAN_DAEMON_PORTS_H

#include "base/addr.h"
#include "base/diag.h"

#include <stddef.h>
#include <stdint.h>

// Waits until then (clock_mono_ms) for all of them; then a sentence in diag for each that is still
// not to be had.
int ports_free(const struct endpoint *at, size_t n, int64_t until_mono_ms, struct diag *diag);

#endif
