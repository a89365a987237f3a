// SPDX-License-Identifier: Apache-2.0
// What the files of fleet/peer_roll share. Nobody else includes it.
#ifndef MERIDIAN_FLEET_PEER_ROLL_PRIV_H
#define MERIDIAN_FLEET_PEER_ROLL_PRIV_H

#include "fleet/peer_roll.h"

#include <jansson.h>

// The fingerprint that member `key` is; false: it is none.
bool peer_print_take(const json_t *o, const char *key, char out[65]);

#endif
