// SPDX-License-Identifier: Apache-2.0
// The grammar of repository names (OCI distribution-spec 1.1, "Pulling manifests"), for all rooms:
//
//   [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*     at most 255 bytes
//
// Pure; any thread.
#ifndef MERIDIAN_CONFIG_REPOSITORY_H
#define MERIDIAN_CONFIG_REPOSITORY_H

#include <stdbool.h>
#include <stddef.h>

#define REPOSITORY_NAME_MAX 255

bool repository_name_ok(const char *s, size_t n);

#endif
