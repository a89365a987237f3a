// SPDX-License-Identifier: Apache-2.0
// `meridiand --sample WHAT` and `meridiand --manual WHAT`: what the parser's own rows say of
// meridiand.yaml ("node") and of the topology ("topology"), on standard output. Returns the exit
// status: 2 for any other WHAT.
#ifndef MERIDIAN_DAEMON_MANUAL_H
#define MERIDIAN_DAEMON_MANUAL_H

#include <stdbool.h>

int manual_print(const char *what, bool manual);

#endif
