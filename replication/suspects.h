// SPDX-License-Identifier: Apache-2.0
// Blobs that may be damaged or lost here, in the order in which they are looked at, and what claims
// of other regions are worth.
//
//   rc = suspects_add(&s, "eastus", "contoso", "app", &digest);    // "": found by this region
//   while (suspects_first(&s, &one))
//       suspects_judge(&s, one.by, &one.digest, look(&one));       // the first goes
//
// A claim costs the region that believes it one paced read of one file. So few wait, what was
// looked at lately is not looked at again, and a region whose claims were false is not listened to
// for a while, each time longer, up to an hour.
//
// Threads: the owner's lock guards it. Zeroed memory is an empty list.
//
// Invariants
//   1. No digest waits twice, and one region has at most SUSPECTS_OF_REGION waiting.
//   2. The first is the one that is being looked at: it goes by suspects_judge alone.
#ifndef MERIDIAN_REPLICATION_SUSPECTS_H
#define MERIDIAN_REPLICATION_SUSPECTS_H

#include "base/digest.h"
#include "config/topology.h"

#define SUSPECTS_MAX 32
#define SUSPECTS_OF_REGION 8
#define LOOKED_MAX 64

struct suspect {
    // the region that says so; "": this one found it
    char by[HOSTNAME_REGION_SIZE];
    char registry[64], repository[256];
    struct digest digest;
};

struct looked { // at what was looked lately
    struct digest digest;
    int64_t at_mono;
};

struct claimant { // a region that made false claims
    char region[HOSTNAME_REGION_SIZE];
    // one after the other
    unsigned n_false;
    // until then it is not listened to
    int64_t from_mono;
};

struct suspects {
    struct suspect list[SUSPECTS_MAX];
    size_t n;
    struct looked looked[LOOKED_MAX];
    struct claimant claimants[TOPOLOGY_MAX_REGIONS];
    size_t n_claimants;
    // judged to be damaged or lost; judged to be whole though a region claimed otherwise
    uint64_t n_confirmed, n_false;
};

enum verdict { VERDICT_WHOLE, VERDICT_DAMAGED, VERDICT_UNKNOWN };

// ERR_FULL: too many wait, or the region is not listened to now. ERR_TOOBIG: no such names. 0 also
// when it waits already, or was looked at lately.
int suspects_add(struct suspects *s, const char *by, const char *registry, const char *repository,
                 const struct digest *d);
bool suspects_first(const struct suspects *s, struct suspect *out); // false: none waits
// The first was looked at; it is `d`, and was claimed by `by`.
void suspects_judge(struct suspects *s, const char *by, const struct digest *d, enum verdict v);
// It was mended: if it is damaged again it is looked at again, however soon.
void suspects_forget(struct suspects *s, const struct digest *d);

#endif
