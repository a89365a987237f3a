// SPDX-License-Identifier: Apache-2.0
// Nonces: random numbers, each good for one request for a certificate. The CA's node gives one to a
// region, and takes it back with that region's signed request. They are kept in memory and expire
// by the monotonic clock, so no wall clock matters, and after a restart of the CA's node a region
// asks again. Bounded: a region has NONCES_PER_REGION at a time, and a new one replaces its oldest,
// so that no region can use up the room of another.
//
//   char text[NONCE_TEXT_SIZE];
//   rc = nonces_give(&n, "westeurope", clock_mono_ms(), text);
//   ok = nonces_take(&n, "westeurope", text, clock_mono_ms());   // once
//
// Any thread.
#ifndef MERIDIAN_CERTS_NONCES_H
#define MERIDIAN_CERTS_NONCES_H

#include "config/topology.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define NONCE_TEXT_SIZE 65  // 32 random bytes in hex, and NUL
#define NONCE_LIFE_MS 60000 // a request follows at once
#define NONCES_PER_REGION 4 // it asks for one certificate after the other
#define NONCES_MAX (NONCES_PER_REGION * TOPOLOGY_MAX_REGIONS)

struct nonce {
    // "": the place is free
    char region[HOSTNAME_REGION_SIZE];
    char text[NONCE_TEXT_SIZE];
    int64_t until_mono_ms;
};

struct nonces {
    pthread_mutex_t lock;
    struct nonce list[NONCES_MAX];
};

void nonces_init(struct nonces *n);
void nonces_done(struct nonces *n);
// ERR_BUSY: every place is taken, by regions that have since left the topology. ERR_CRYPTO: no
// random bytes.
int nonces_give(struct nonces *n, const char *region, int64_t mono_ms, char out[NONCE_TEXT_SIZE]);
// Was it given to this region, and not too long ago? It is good for nothing afterwards.
bool nonces_take(struct nonces *n, const char *region, const char *text, int64_t mono_ms);

#endif
