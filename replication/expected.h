// SPDX-License-Identifier: Apache-2.0
// Blobs that this region does not copy yet: their origin has said that a relay will tell of them
// (replication/relay.h). A client that asks for one meanwhile is not told that it is unknown; if it
// waits, the blob is fetched from its origin at once.
//
//   rc = expected_add(e, &key, size, until_mono);         // key.origin: who has it
//   if (expected_has(e, "contoso", "app", &digest)) …it will come…
//   if (expected_take(e, "contoso", "app", &digest, &it))
//       …copy it from it.origin now…, expected_item_done(&it);
//
// One that does not come by then is forgotten: the blob comes with its manifest's entry.
// Threads: any; a lock of its own, held for no other call.
#ifndef MERIDIAN_REPLICATION_EXPECTED_H
#define MERIDIAN_REPLICATION_EXPECTED_H

#include "replication/ahead.h"

#define EXPECTED_MAX 1024

struct expected;
struct expected_item {
    char *origin;
    uint64_t size;
};

int expected_new(struct expected **out);
void expected_free(struct expected *e); // NULL is ignored
// The strings are copied. One that is there already gets the new time. ERR_FULL; ERR_NOMEM.
int expected_add(struct expected *e, const struct ahead_key *key, uint64_t size,
                 int64_t until_mono);
bool expected_has(struct expected *e, const char *registry, const char *repository,
                  const struct digest *d);
// Forgets it, and gives what is known of it; false: it is not expected. `out` may be NULL.
bool expected_take(struct expected *e, const char *registry, const char *repository,
                   const struct digest *d, struct expected_item *out);
void expected_item_done(struct expected_item *it);

#endif
