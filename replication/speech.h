// SPDX-License-Identifier: Apache-2.0
// Which version of the feed each other region speaks, by its last word (design section 9). A region
// says it when it asks for a feed, for the time or for a mark ("speaks=2" in the query), and when
// it answers ("speaks": 2). Who says nothing speaks version 1. A region that is away counts by its
// last word, which outlives a restart; one that was never heard counts as version 1.
//
//   speech_heard(speech, "westeurope", 2);
//   if (speech_is_behind(speech, "contoso@42", name))
//       … an entry of contoso is minted in version 1: `name` cannot read more …
//
// Threads: any. speech_heard and speech_is_behind do not block, and may be called inside
// transactions; speech_keep blocks on the store.
//
// Invariants
//   1. A word is 1 or 2. A program that speaks more counts as one of version 2.
//   2. A word that was heard and is not in the store yet counts already.
#ifndef MERIDIAN_REPLICATION_SPEECH_H
#define MERIDIAN_REPLICATION_SPEECH_H

#include "base/snapshot.h"
#include "config/hostname.h"
#include "net/http.h"

#include <jansson.h>

#define SPEECH_OLD 1 // says nothing of what it speaks
#define SPEECH_NOW 2 // what this program speaks
#define SPEECH_QUERY "speaks=2"

struct meta;
struct speech;

// `topology` holds struct topology; both outlive it. The words of before come from the store.
int speech_new(const char *region, struct snapshot *topology, struct meta *meta,
               struct speech **out);
void speech_free(struct speech *s); // NULL is ignored

// Another region's word; whatever is above SPEECH_NOW counts as that. Of this region itself, or
// past TOPOLOGY_MAX_REGIONS regions, nothing is noted.
void speech_heard(struct speech *s, const char *region, unsigned version);
// 0: never heard.
unsigned speech_of(struct speech *s, const char *region);
// Writes what was heard since into the store.
int speech_keep(struct speech *s);

// Does another region hold the registry of this key, whose last word is not that of this program?
// The first of them, in the topology's order. A key that the topology does not have: nobody does.
bool speech_is_behind(struct speech *s, const char *registry_key,
                      char out_region[HOSTNAME_REGION_SIZE]);

// One gauge per region that was heard.
void speech_metrics(struct speech *s, struct buf *out);

// --- words on the wire ---

// What a request says.
unsigned speech_asked(struct http_request *req);
// What the member "speaks" of an answer says; NULL: no such member.
unsigned speech_answered(const json_t *member);

#endif
