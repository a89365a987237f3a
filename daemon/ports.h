// SPDX-License-Identifier: Apache-2.0
// Checks that the edge's ports are free. The supervisor calls it before it starts anything: if
// another program has a port, the node says so in one sentence and ends, instead of starting nginx
// again and again. A forerunner that is about to end gets a few seconds to release its ports.
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
