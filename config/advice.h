// SPDX-License-Identifier: Apache-2.0
// What a topology may say and its author should know of: no errors, but words for who checks it
// (`meridian topology check`, `meridian config check`). Pure; any thread.
//
//   topology_advise(t, path, &d);        // one line for each thing; none: nothing to say
//
// Today: answers that do not fit 512 octets, which is all that a client without EDNS takes over
// UDP.
#ifndef MERIDIAN_CONFIG_ADVICE_H
#define MERIDIAN_CONFIG_ADVICE_H

#include "config/topology.h"

void topology_advise(const struct topology *t, const char *source, struct diag *d);

#endif
