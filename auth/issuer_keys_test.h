// SPDX-License-Identifier: Apache-2.0
// For tests: keys that have grown old.
#ifndef MERIDIAN_AUTH_ISSUER_KEYS_TEST_H
#define MERIDIAN_AUTH_ISSUER_KEYS_TEST_H

#include "auth/issuer_keys_priv.h"

// As if so much time had passed since all that happened.
void issuer_keys_test_age(struct issuer_keys *k, int64_t ms);

#endif
