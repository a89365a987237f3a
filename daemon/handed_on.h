// SPDX-License-Identifier: Apache-2.0
// What the writer region said to a request that this node handed on to it, for who asked here.
//
//   int status;
//   json_t *body = handed_on_answer("eastus", &answer, &status);
//
// An answer of the engine is passed on as it is. Anything else comes from something in between, most
// often from the writer's edge while its daemon is away: then the body is an error that says who
// answered what, and that the change may have been made. Any thread.
#ifndef MERIDIAN_DAEMON_HANDED_ON_H
#define MERIDIAN_DAEMON_HANDED_ON_H

#include "fleet/fleet.h"

#include <jansson.h>

// A new reference; NULL: out of memory.
json_t *handed_on_answer(const char *writer, const struct fleet_answer *a, int *out_status);

#endif
