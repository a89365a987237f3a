// SPDX-License-Identifier: Apache-2.0
// For tests only: how many calls the cache has answered.
#ifndef MERIDIAN_AUTH_SIGNATURE_CACHE_TEST_H
#define MERIDIAN_AUTH_SIGNATURE_CACHE_TEST_H

#include "auth/signature_cache.h"

uint64_t signature_cache_hits(void);

#endif
