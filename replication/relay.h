// SPDX-License-Identifier: Apache-2.0
// Who gets a blob from whom in a registry of many members: its origin sends it once for each group
// of members, to the group's relay, and the relay gives it to the others of the group. So an origin
// with 59 others sends it 7 times. Every member comes to the same answer from the same topology;
// nothing is agreed on, and nothing depends on it but who sends: signatures and digests are checked
// as ever.
//
//   struct relay_map map = {.n = n, .members = {…}};
//   relay_map_make(&map, least);                     // its groups
//   n = relay_tries(&map, origin, self, heard, try); // whom to ask before the origin, best first
//   …all of them answer that they have not got it…
//   if (relay_next(ERR_NOTFOUND, age_ms, relay_patience_ms(0, size)) == RELAY_LOOK_AGAIN)
//       …again in relay_look_ms(age_ms)…
//
// Members stand in a row: by longitude if the topology has the place of each, else by name. The row
// is cut into isqrt(n) groups that differ by one member at most. Within a group each origin has an
// order of its own, by a hash of both names: the first one that is heard is its relay, and each
// member may ask those that stand before it, and nobody else.
//
// Pure; any thread. Times in milliseconds.
//
// Invariants
//   1. Whom a member may ask stands before it in an order that follows from two names alone. So
//      nobody waits in a circle, whatever each region knows of the topology and of who is heard.
//   2. Who has nobody to ask asks the origin. So each member is served.
#ifndef MERIDIAN_REPLICATION_RELAY_H
#define MERIDIAN_REPLICATION_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RELAY_MEMBERS_MAX 64
// so many are asked before the origin
#define RELAY_TRIES 2
// A relay has so long, and besides the time for the bytes at 4 MiB/s, but not more than the last.
#define RELAY_PATIENCE_MS 5000
#define RELAY_PATIENCE_MAX_MS 600000
#define RELAY_LOOK_MIN_MS 250
#define RELAY_LOOK_MAX_MS 4000

struct relay_member {
    // borrowed
    const char *name;
    // the topology says where it is
    bool placed;
    // in 1/10000 degree
    int32_t longitude;
};

struct relay_map {
    // the caller's, at most RELAY_MEMBERS_MAX, no name twice
    size_t n;
    struct relay_member members[RELAY_MEMBERS_MAX];
    // 0: all ask the origin
    size_t n_groups;
    uint8_t group[RELAY_MEMBERS_MAX];
};

// Makes the groups. `least`: with fewer members there are none; 0: there are never any.
void relay_map_make(struct relay_map *map, unsigned least);
// The index of a name; SIZE_MAX: it is no member.
size_t relay_find(const struct relay_map *map, const char *name);

// Of these indexes none needs to be a member's: then the answer is that of a registry without
// relays. heard[i]: member i answers, as far as the caller knows.

// Whom `self` asks for what `origin` wrote before it asks the origin; how many.
size_t relay_tries(const struct relay_map *map, size_t origin, size_t self, const bool heard[],
                   uint8_t out[RELAY_TRIES]);
// From whom `self` gets it: the first of these, else the origin.
size_t relay_of(const struct relay_map *map, size_t origin, size_t self, const bool heard[]);

enum relay_word {
    // somebody else tells it
    RELAY_SAY_NOTHING,
    // it copies the blob from who tells it
    RELAY_SAY_HERE,
    // it will hear of the blob from its relay
    RELAY_SAY_EXPECT,
};
// What `from`, which has a blob that came to `origin`, tells `to` about it. `later`: no client may
// be about to ask for it there.
enum relay_word relay_word(const struct relay_map *map, size_t origin, size_t from, size_t to,
                           bool later, const bool heard[]);

enum relay_next {
    // the code is the result
    RELAY_DONE,
    RELAY_LOOK_AGAIN,
    // the origin is asked now, and all others
    RELAY_ASK_ORIGIN,
};
// After the relays were asked for a blob. rc: as of content_blob (content/content.h); age_ms: since
// they had not got it for the first time.
enum relay_next relay_next(int rc, int64_t age_ms, int64_t patience_ms);
// For a blob of that size. `least_ms` in place of RELAY_PATIENCE_MS; 0: that.
int64_t relay_patience_ms(int64_t least_ms, uint64_t size);
// How long until they are asked again.
int64_t relay_look_ms(int64_t age_ms);

#endif
