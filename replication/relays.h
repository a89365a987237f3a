// SPDX-License-Identifier: Apache-2.0
// Relays at work: the choice of replication/relay.h for the members of a registry as the topology
// has them, and as they are heard here.
//
//   n = relays_sources(r, t, reg, "team/app", "eastus", sources);  // to ask before the origin
//
// Only blobs go by relays. Entries come from their origin: each region reads the feed of each other
// one, which tells it at once what is new and who is away.
//
// Threads: any. Nothing blocks, but for relays_hand_on, which sends without waiting for answers.
#ifndef MERIDIAN_REPLICATION_RELAYS_H
#define MERIDIAN_REPLICATION_RELAYS_H

#include "replication/expected.h"
#include "replication/relay.h"
#include "replication/replication_priv.h"

struct relays_view { // of one repository and origin, as it is now; names are the topology's
    struct relay_map map;
    // SIZE_MAX: no member
    size_t self, origin;
    bool heard[RELAY_MEMBERS_MAX];
    struct peer *peers[RELAY_MEMBERS_MAX];
};

int relays_new(struct relays **out);
void relays_free(struct relays *s); // NULL is ignored
// What is to come by relays.
struct expected *relays_expected(struct relays *s);

// Members are those whom the repository's fence lets have it.
void relays_look(struct replicator *r, const struct topology *t, const struct registry *reg,
                 const char *repository, const char *origin, struct relays_view *out);
// Whom this region asks for a blob of that origin before it asks the origin; how many.
size_t relays_sources(struct replicator *r, const struct topology *t, const struct registry *reg,
                      const char *repository, const char *origin, struct source *out[RELAY_TRIES]);
// What came of asking them.
void relays_count(struct relays *s, int rc, enum relay_next next);
// What a relay is known for, by its name. One that let the time of several blobs in a row run out, each
// of which the origin then gave, is not asked for a minute: the next one is, or the origin. After that
// minute each such blob begins another one, and the first that it gives ends it. Times are monotonic.
void relays_brought(struct relays *s, const char *name);
void relays_late(struct relays *s, const char *name, int64_t now_mono);
bool relays_passed_over(struct relays *s, const char *name, int64_t now_mono);
// A blob that this region was told of by its origin (key.origin) is here: tells those who get it from
// here.
void relays_hand_on(struct replicator *r, const struct ahead_key *key, uint64_t size, bool later);
// Names of the regions that stand between this one and the origin now: json_t *, a new reference;
// NULL: none.
json_t *relays_json(struct replicator *r, const struct topology *t, const struct registry *reg,
                    const char *origin);
void relays_metrics(struct relays *s, struct buf *out);

#endif
