// SPDX-License-Identifier: Apache-2.0
// Records of a phase, and how long caches may hold private addresses: what steps of registries and of
// connections have in common.
#ifndef MERIDIAN_LIFECYCLE_CONNECTION_STEP_H
#define MERIDIAN_LIFECYCLE_CONNECTION_STEP_H

#include "control/connections.h"
#include "lifecycle/verb.h"

// Puts a record into the phase, in the place of one of its key. ERR_NOMEM.
int phase_record(const struct plan_ctx *x, struct phase *p, const struct control_record *r);
// The record of a connection, likewise. ERR_TOOBIG: it is too large.
int phase_connection(const struct plan_ctx *x, struct phase *p, const struct connection *c);
// Seconds that an edge serves a private address for, once DNS does not lead there any more.
uint32_t private_rest_s(const struct plan_ctx *x);

#endif
