// SPDX-License-Identifier: Apache-2.0
// The part of the query fuzzer that knows of keys: domains signed with either algorithm, with and
// without cuts, asked from inside and outside their private views. Whatever is answered with DO is
// judged as a validator would, and held against the answer of the same domain without keys.
#ifndef MERIDIAN_TESTS_FUZZ_RESOLVER_QUERY_SIGNED_H
#define MERIDIAN_TESTS_FUZZ_RESOLVER_QUERY_SIGNED_H

#include <stddef.h>
#include <stdint.h>

// Aborts when something is wrong. `query` may be any octets.
void query_signed(const uint8_t *query, size_t n);

#endif
