// SPDX-License-Identifier: Apache-2.0
// Warnings about a topology that is valid, for `meridian topology check` and `meridian config
// check`. Pure; any thread.
//
//   topology_advise(t, path, &d);        // one sentence for each warning
//
// Today: answers above 512 octets, the most that a client without EDNS takes over UDP.
#ifndef MERIDIAN_CONFIG_ADVICE_H
#define MERIDIAN_CONFIG_ADVICE_H

#include "config/topology.h"

void topology_advise(const struct topology *t, const char *source, struct diag *d);

#endif
