// SPDX-License-Identifier: Apache-2.0
// The other regions of a replay, as their peer listeners show them: deep documents, and resolvers
// that exchange observations. Scripted; the observations are real ones, signed (by a stand-in for
// Ed25519) and read by the real parser.
#ifndef MERIDIAN_TESTS_SCENARIO_PEERS_H
#define MERIDIAN_TESTS_SCENARIO_PEERS_H

#include "health/priv.h"
#include "net/fetch.h"

// Commands: see replay.c. False: there is none such.
bool peers_voter(const char *region, const char *what, char **rest);
bool peers_deep(const char *region, const char *what, char **rest);

// Is the request one to a peer listener? Then fills the result and the time it takes.
bool peers_answer(const struct topology *t, const struct fetch_request *q, struct fetch_result *out,
                  int64_t *out_ms);

void peers_key(const char *region, char out[64]); // base64, as in the topology
// For the options of the checker at hand, and the keys in the topology.
int peers_sign(void *key, const void *p, size_t n, uint8_t out[64]);
int peers_verify(const char *key, const void *p, size_t n, const uint8_t sig[64]);

#define PEERS_MAX 5 // the first three are in every topology
extern const char *const peers_regions[PEERS_MAX], *const peers_stamps[PEERS_MAX];

#endif
