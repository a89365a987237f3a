// SPDX-License-Identifier: Apache-2.0
// The deep document of a region (design section 5): what a node's /healthz tells peers beside up or
// down: its headroom, and the registries that it cannot serve. The public probe alone decides
// whether a region can be reached.
//
//   {"status":"up","region":R,"stamp":S,"storeWritable":true,"writesClosed":null,
//    "metadataWritable":true,
//    "tokenSigning":true,"diskFreeBytes":N,"headroom":0..100,"impaired":["contoso"],"checkedMs":N,
//    "conditions":[{"name","severity":"warning"|"down","since","sentence"}]}
//
// When down also "reason" (as the public document has it).
// A document of a node that knows no headroom or no impaired registries yet is read as full and
// none.
#ifndef MERIDIAN_HEALTH_DEEP_H
#define MERIDIAN_HEALTH_DEEP_H

#include "base/bytes.h"
#include "health/health.h"

#define HEALTH_DEEP_MAX_BYTES 16384
// a region with more is in trouble as a whole: its public probe must say so
#define HEALTH_DEEP_IMPAIRED_MAX 64

struct health_deep {
    // that spoke; "" if it did not say
    char stamp[HOSTNAME_LABEL_SIZE];
    unsigned headroom_percent;
    // "status":"short"
    bool is_short;
    size_t n_impaired;
    // login labels
    char impaired[HEALTH_DEEP_IMPAIRED_MAX][HOSTNAME_LABEL_SIZE];
};

// ERR_CORRUPT; *out is untouched then.
int health_deep_parse(struct bytes text, const char *region, struct health_deep *out);

// Percent in tenths, with hysteresis: what wavers around a step does not move clients to and fro.
uint8_t health_headroom_step(uint8_t was, unsigned percent);

#endif
